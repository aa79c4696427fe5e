package statetest

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
)

func told(t *testing.T, b *bench) {
	ctx := t.Context()
	all := func() map[string]state.Told {
		t.Helper()
		return must[map[string]state.Told](t)(b.Told(ctx, "flow"))
	}
	equal(t, "at first", len(all()), 0)

	ok(t, b.Append(ctx, entry("i1", state.JournalIntended)))
	first := state.Told{Flow: "flow", Matter: "m1", Purpose: "held", Account: "psa", Ticket: "7", Said: "a", Digest: "d1", By: "api"}
	ok(t, b.SettleTold(ctx, entry("i1", state.JournalDone), first))
	opened := b.clock.Now()
	first.Opened, first.Updated = opened, opened
	equal(t, "settled", all(), map[string]state.Told{"m1": first})
	equal(t, "open intents", len(must[[]state.Entry](t)(b.OpenIntents(ctx, ""))), 0)

	// An outcome that cannot follow leaves the ticket as it was.
	next := first
	next.Said = "b"
	if err := b.SettleTold(ctx, entry("i1", state.JournalDone), next); err == nil {
		t.Error("an intent was settled twice")
	}
	equal(t, "after a refused outcome", all(), map[string]state.Told{"m1": first})

	// Who wrote it and when a person was heard stay known; when it was opened does too.
	b.clock.Advance(time.Hour)
	heard := first
	heard.Heard = b.clock.Now()
	ok(t, b.PutTold(ctx, heard))
	b.clock.Advance(time.Hour)
	ok(t, b.PutTold(ctx, state.Told{Flow: "flow", Matter: "m1", Account: "psa", Ticket: "7", Said: "c", Closed: b.clock.Now()}))
	want := state.Told{Flow: "flow", Matter: "m1", Account: "psa", Ticket: "7", Said: "c", By: "api", Opened: opened, Updated: b.clock.Now(), Closed: b.clock.Now(), Heard: heard.Heard}
	equal(t, "closed", all(), map[string]state.Told{"m1": want})
	equal(t, "of another flow", len(must[map[string]state.Told](t)(b.Told(ctx, "other"))), 0)
	ok(t, b.ForgetTold(ctx, "flow", "m1"))
	equal(t, "forgotten", len(all()), 0)
}
