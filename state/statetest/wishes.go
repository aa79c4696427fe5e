package statetest

import (
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
)

func wish(company, domain string) state.Wish {
	return state.Wish{Flow: "flow", Company: company, Domain: domain, Person: "ann@desk"}
}

func wishes(t *testing.T, b *bench) {
	ctx := t.Context()
	first := must[state.Wish](t)(b.PutWish(ctx, wish("2", "kea")))
	b.clock.Advance(time.Minute)
	second := must[state.Wish](t)(b.PutWish(ctx, wish("1", "")))
	equal(t, "by company", must[[]state.Wish](t)(b.Wishes(ctx, "flow")), []state.Wish{second, first})
	equal(t, "of another flow", must[[]state.Wish](t)(b.Wishes(ctx, "other")), []state.Wish(nil))

	b.clock.Advance(time.Minute)
	again := must[state.Wish](t)(b.PutWish(ctx, wish("2", "kiwi")))
	equal(t, "asked again", must[[]state.Wish](t)(b.Wishes(ctx, "")), []state.Wish{second, again})

	ok(t, b.DropWish(ctx, "flow", "1"))
	refused(t, b.DropWish(ctx, "flow", "1"), state.ErrNotFound, "company 1")
	equal(t, "left", must[[]state.Wish](t)(b.Wishes(ctx, "flow")), []state.Wish{again})

	if _, err := b.PutWish(ctx, state.Wish{Flow: "flow", Company: "3"}); err == nil || !strings.Contains(err.Error(), "a person") {
		t.Errorf("a wish of nobody: %v", err)
	}
}
