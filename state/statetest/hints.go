package statetest

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/state"
)

func about(account, agreement string) []state.Hint {
	return []state.Hint{{Flow: "flow", Account: account, Ref: connectors.Ref{Kind: "addition", Parent: agreement}}}
}

// places are the parents of the hints that wait.
func places(t testing.TB, b *bench) (parents []string) {
	t.Helper()
	for _, h := range must[[]state.Hint](t)(b.WaitingHints(t.Context())) {
		parents = append(parents, h.Account+" "+h.Ref.Parent)
	}
	return parents
}

func hintsGiven(t *testing.T, b *bench) {
	ctx := t.Context()
	first := b.clock.Now()
	equal(t, "new", must[[]bool](t)(b.GiveHints(ctx, []state.Message{{Account: "psa", Hints: about("psa", "7")}, {Account: "psa", Hints: about("psa", "8")}})), []bool{true, true})
	b.clock.Advance(time.Second)
	equal(t, "no message has to have an id", must[[]bool](t)(b.GiveHints(ctx, []state.Message{{Account: "psa", Hints: about("psa", "7")}, {Account: "other", Hints: about("other", "7")}})), []bool{true, true})
	equal(t, "each place waits once", places(t, b), []string{"psa 7", "psa 8", "other 7"})
	waiting := must[[]state.Hint](t)(b.WaitingHints(ctx))
	equal(t, "given", waiting[0].Given, first)
	ok(t, b.TakeHints(ctx, waiting[:2]))
	equal(t, "what is left", places(t, b), []string{"other 7"})
	must[[]bool](t)(b.GiveHints(ctx, []state.Message{{Account: "psa", Hints: about("psa", "7")}}))
	equal(t, "given again after it was taken", places(t, b), []string{"other 7", "psa 7"})
}

func hintsSeen(t *testing.T, b *bench) {
	ctx := t.Context()
	message := func(account, id string) state.Message {
		return state.Message{Account: account, ID: id, Expires: b.clock.Now().Add(time.Hour), Hints: about(account, id)}
	}
	equal(t, "one that comes twice at once", must[[]bool](t)(b.GiveHints(ctx, []state.Message{message("psa", "m1"), message("psa", "m1")})), []bool{true, false})
	ok(t, b.TakeHints(ctx, must[[]state.Hint](t)(b.WaitingHints(ctx))))
	equal(t, "sent again, and its like to another account", must[[]bool](t)(b.GiveHints(ctx, []state.Message{message("psa", "m1"), message("other", "m1")})), []bool{false, true})
	equal(t, "what waits", places(t, b), []string{"other m1"})
	again := message("psa", "m1")
	again.Again = true
	equal(t, "sent again while it may be another", must[[]bool](t)(b.GiveHints(ctx, []state.Message{again})), []bool{true})
	equal(t, "what waits then", places(t, b), []string{"other m1", "psa m1"})
	b.clock.Advance(2 * time.Hour)
	equal(t, "nothing", must[[]bool](t)(b.GiveHints(ctx, nil)), []bool{})
	equal(t, "forgotten when its copy would be too old", must[[]bool](t)(b.GiveHints(ctx, []state.Message{message("psa", "m1")})), []bool{true})
}

func hintsRuns(t *testing.T, b *bench) {
	ctx := t.Context()
	whole := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	running, there, err := b.InProgress(ctx, state.RunFlow, "flow")
	ok(t, err)
	equal(t, "in progress", []any{running.ID, there}, []any{whole.ID, true})
	ok(t, b.FinishRun(ctx, whole.ID, state.RunCompleted, "", nil))
	b.clock.Advance(time.Minute)
	hinted := newRun("flow")
	hinted.Trigger = state.TriggerHint
	hinted = must[state.Run](t)(b.StartRun(ctx, hinted))
	last, known, err := b.LastRun(ctx, state.RunFlow, "flow")
	ok(t, err)
	equal(t, "the last that looked everywhere", []any{last.ID, known}, []any{whole.ID, true})
	b.clock.Advance(2 * state.LeaseTime)
	_, there, err = b.InProgress(ctx, state.RunFlow, "flow")
	ok(t, err)
	equal(t, "one that is dead", there, false)
	equal(t, "runs", len(must[[]state.Run](t)(b.Runs(ctx, 10))), 2)
	_ = hinted
}
