package statetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func endDecision(subscription, action string, end model.Day) state.EndDecision {
	return state.EndDecision{Flow: "flow", Customer: "c1", Subscription: subscription, TermEnd: end, Action: action, Person: "ann@desk", Reason: "asked the customer"}
}

func termEnds(t *testing.T, b *bench) {
	ctx := t.Context()
	march, april := model.NewDay(2031, time.March, 31), model.NewDay(2031, time.April, 30)
	read := func(from model.Day) []state.EndDecision {
		t.Helper()
		return must[[]state.EndDecision](t)(b.EndDecisions(ctx, "flow", from))
	}
	equal(t, "nothing decided", fmt.Sprint(read(march)), fmt.Sprint([]state.EndDecision(nil)))
	for name, bad := range map[string]state.EndDecision{"no end": endDecision("s1", "renew", model.Day{}), "no action": endDecision("s1", "", march)} {
		if _, err := b.DecideEnd(ctx, bad); err == nil {
			t.Errorf("%s: kept", name)
		}
	}

	first := must[state.EndDecision](t)(b.DecideEnd(ctx, endDecision("s1", "renew", march)))
	with := endDecision("s2", "renew", april)
	with.Seats, with.Product = "12", "sku P3Y annual"
	other := must[state.EndDecision](t)(b.DecideEnd(ctx, with))
	equal(t, "both", fmt.Sprint(read(march)), fmt.Sprint([]state.EndDecision{first, other}))
	equal(t, "from April on", fmt.Sprint(read(april)), fmt.Sprint([]state.EndDecision{other}))
	if first.ID == "" || !first.At.Equal(b.clock.Now()) {
		t.Errorf("kept %+v", first)
	}

	// Another decision about the same term stands instead; the next term is another matter.
	b.clock.Advance(time.Hour)
	second := must[state.EndDecision](t)(b.DecideEnd(ctx, endDecision("s1", "cancel", march)))
	equal(t, "the later one", fmt.Sprint(read(march)), fmt.Sprint([]state.EndDecision{second, other}))

	ok(t, b.EndsTold(ctx, []string{second.ID}, "run-1"))
	b.clock.Advance(time.Hour)
	ok(t, b.EndsTold(ctx, []string{second.ID}, "run-2")) // known already
	told := read(march)[0]
	if told.Run != "run-1" || !told.Told.Equal(b.clock.Now().Add(-time.Hour)) || read(march)[1].Run != "" {
		t.Errorf("told %+v", read(march))
	}
	equal(t, "of another flow", fmt.Sprint(must[[]state.EndDecision](t)(b.EndDecisions(ctx, "other", march))), fmt.Sprint([]state.EndDecision(nil)))
}
