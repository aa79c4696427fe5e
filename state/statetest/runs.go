package statetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
)

func newRun(name string) state.Run {
	return state.Run{Kind: state.RunFlow, Name: name, Trigger: state.TriggerSchedule}
}

func runs(t *testing.T, b *bench) {
	ctx := t.Context()
	want := newRun("flow")
	want.State, want.Started = state.RunInProgress, b.clock.Now()
	got := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	if got.ID == "" {
		t.Fatal("the run has no id")
	}
	want.ID = got.ID
	equal(t, "started", got, want)

	want.Counts = map[string]int{"read": 10}
	ok(t, b.Progress(ctx, got.ID, want.Counts))
	stored, found, err := b.RunByID(ctx, got.ID)
	ok(t, err)
	equal(t, "in progress", []any{stored, found}, []any{want, true})

	want.State, want.Reason, want.Finished = state.RunHeld, "2 changes wait for a person", b.clock.Advance(time.Minute)
	ok(t, b.FinishRun(ctx, got.ID, state.RunHeld, want.Reason, nil))
	second := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	ok(t, b.FinishRun(ctx, second.ID, state.RunCompleted, "", map[string]int{"read": 11, "written": 1}))
	second.State, second.Finished, second.Counts = state.RunCompleted, b.clock.Now(), map[string]int{"read": 11, "written": 1}
	b.clock.Advance(time.Minute)
	third := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	equal(t, "newest first", must[[]state.Run](t)(b.Runs(ctx, 10)), []state.Run{third, second, want})
	equal(t, "limited", must[[]state.Run](t)(b.Runs(ctx, 1)), []state.Run{third})
}

func runsSkipped(t *testing.T, b *bench) {
	ctx := t.Context()
	first := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	at := b.clock.Advance(10 * time.Second)
	second, err := b.StartRun(ctx, newRun("flow"))
	refused(t, err, state.ErrRunning, first.ID, "flow", "trueup runs stop "+first.ID, "if its process was killed, it ends by itself at 2031-01-31T06:")
	want := newRun("flow")
	want.ID, want.State, want.Reason, want.Started, want.Finished = second.ID, state.RunStopped, "skipped: run "+first.ID+" is still in progress", at, at
	equal(t, "skipped", second, want)
	stored, _, err := b.RunByID(ctx, second.ID)
	ok(t, err)
	equal(t, "stored", stored, want)

	// Another name, or another kind of the same name, is another run.
	must[state.Run](t)(b.StartRun(ctx, newRun("other")))
	startRun(t, b, "flow")
	ok(t, b.FinishRun(ctx, first.ID, state.RunCompleted, "", nil))
	must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
}

func runsRace(t *testing.T, b *bench) {
	var started, skipped atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch _, err := b.StartRun(t.Context(), newRun("flow")); {
			case err == nil:
				started.Add(1)
			case errors.Is(err, state.ErrRunning):
				skipped.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	equal(t, "started and skipped", []int32{started.Load(), skipped.Load()}, []int32{1, 19})
	equal(t, "stored", len(must[[]state.Run](t)(b.Runs(t.Context(), 100))), 20)
}

func runsStopped(t *testing.T, b *bench) {
	ctx := t.Context()
	r := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	equal(t, "before", must[bool](t)(b.StopRequested(ctx, r.ID)), false)
	ok(t, b.RequestStop(ctx, r.ID))
	ok(t, b.RequestStop(ctx, r.ID))
	equal(t, "after", must[bool](t)(b.StopRequested(ctx, r.ID)), true)
	ok(t, b.FinishRun(ctx, r.ID, state.RunStopped, "stopped by a person", nil))
	refused(t, b.RequestStop(ctx, "nobody"), state.ErrNotFound, "nobody")
	if err := b.RequestStop(ctx, r.ID); err == nil {
		t.Error("a run that is over was asked to stop")
	}
}

func runsAbandoned(t *testing.T, b *bench) {
	ctx := t.Context()
	over := must[state.Run](t)(b.StartRun(ctx, newRun("one")))
	ok(t, b.FinishRun(ctx, over.ID, state.RunCompleted, "", nil))
	left := must[state.Run](t)(b.StartRun(ctx, newRun("two")))
	at := b.clock.Advance(time.Hour)
	equal(t, "abandoned", must[int](t)(b.AbandonRuns(ctx, "trueup was started again")), 1)
	equal(t, "abandoned again", must[int](t)(b.AbandonRuns(ctx, "")), 0)
	got, _, err := b.RunByID(ctx, left.ID)
	ok(t, err)
	equal(t, "left", []any{got.State, got.Reason, got.Finished}, []any{state.RunError, "interrupted: trueup was started again", at})
	got, _, err = b.RunByID(ctx, over.ID)
	ok(t, err)
	equal(t, "over", got.State, state.RunCompleted)
	must[state.Run](t)(b.StartRun(ctx, newRun("two")))
}

// A killed process cannot say that its run is over. While it reports progress it is alive, however long it takes.
func runsDead(t *testing.T, b *bench) {
	ctx := t.Context()
	first := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	for range 3 {
		b.clock.Advance(state.LeaseTime)
		_, err := b.StartRun(ctx, newRun("flow"))
		refused(t, err, state.ErrRunning, first.ID)
		ok(t, b.Progress(ctx, first.ID, nil))
	}
	at := b.clock.Advance(state.LeaseTime + time.Nanosecond)
	other := must[state.Run](t)(b.StartRun(ctx, newRun("other")))
	second := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	equal(t, "second", second.State, state.RunInProgress)
	dead, _, err := b.RunByID(ctx, first.ID)
	ok(t, err)
	equal(t, "first", []any{dead.State, dead.Reason, dead.Finished}, []any{state.RunError, "interrupted: its process died", at})
	if err := b.Progress(ctx, first.ID, nil); err == nil {
		t.Error("the dead run made progress")
	}
	ok(t, b.Progress(ctx, other.ID, nil))
}

// Whoever looks first takes the work of a dead process over; a run that anybody works for is alive.
func runsTakenOver(t *testing.T, b *bench) {
	ctx := t.Context()
	dead := must[state.Run](t)(b.StartRun(ctx, newRun("dead")))
	alive := must[state.Run](t)(b.StartRun(ctx, newRun("alive")))
	b.clock.Advance(state.LeaseTime)
	equal(t, "too early", len(must[[]state.Run](t)(b.EndSilentRuns(ctx))), 0)
	ok(t, b.Heard(ctx, alive.ID))
	at := b.clock.Advance(time.Nanosecond)
	ended := must[[]state.Run](t)(b.EndSilentRuns(ctx))
	if len(ended) != 1 || ended[0].ID != dead.ID || ended[0].State != state.RunError || !ended[0].Finished.Equal(at) {
		t.Errorf("ended %+v, want only run %s at %s", ended, dead.ID, at)
	}
	equal(t, "the second to look", len(must[[]state.Run](t)(b.EndSilentRuns(ctx))), 0)
	refused(t, b.Heard(ctx, dead.ID), state.ErrOver)
	refused(t, b.Append(ctx, state.Entry{Intent: "late", State: state.JournalIntended, Run: dead.ID}), state.ErrOver, "nothing new is sent")
	refused(t, b.Permit(ctx, dead.ID), state.ErrOver)
	ok(t, b.Permit(ctx, alive.ID))
	ok(t, b.Append(ctx, state.Entry{Intent: "in time", State: state.JournalIntended, Run: alive.ID}))
	ok(t, b.FinishRun(ctx, alive.ID, state.RunCompleted, "", nil))
	ok(t, b.Append(ctx, state.Entry{Intent: "in time", State: state.JournalDone, Run: alive.ID})) // an outcome is never refused
}

func runsRefused(t *testing.T, b *bench) {
	ctx := t.Context()
	r := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	for _, s := range []state.RunState{state.RunInProgress, state.RunNotStarted, "tired"} {
		if err := b.FinishRun(ctx, r.ID, s, "", nil); err == nil {
			t.Errorf("a run ended %q", s)
		}
	}
	ok(t, b.FinishRun(ctx, r.ID, state.RunPartial, "one customer was refused", nil))
	if err := b.FinishRun(ctx, r.ID, state.RunCompleted, "", nil); err == nil {
		t.Error("a run ended twice")
	}
	if err := b.Progress(ctx, r.ID, map[string]int{"read": 1}); err == nil {
		t.Error("a run that is over made progress")
	}
	refused(t, b.FinishRun(ctx, "nobody", state.RunCompleted, "", nil), state.ErrNotFound, "nobody")
	_, found, err := b.RunByID(ctx, "nobody")
	ok(t, err)
	equal(t, "nobody", found, false)
}

func findings(t *testing.T, b *bench) {
	ctx := t.Context()
	drift := state.Finding{Key: "drift/l1", Kind: "drift", Customer: "Contoso", Title: "12 billed, 14 bought", Detail: "since Monday", Next: "apply the plan", Money: "24.60 EUR"}
	unused := state.Finding{Key: "unused/l2", Kind: "unused", Title: "3 seats nobody uses"}
	sync := func(found ...state.Finding) state.FindingCounts {
		t.Helper()
		return must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", "run", found, nil))
	}
	inbox := func(openOnly bool, flow string) []state.Finding {
		t.Helper()
		return must[[]state.Finding](t)(b.Findings(ctx, openOnly, flow))
	}
	first := b.clock.Now()
	equal(t, "first", sync(drift, unused), state.FindingCounts{Opened: 2})
	must[state.FindingCounts](t)(b.SyncFindings(ctx, "other", "run", []state.Finding{{Key: "drift/l1"}}, nil))
	second := b.clock.Advance(time.Hour)
	drift.Title = "12 billed, 15 bought"
	equal(t, "second", sync(drift), state.FindingCounts{Updated: 1, Closed: 1})
	equal(t, "nothing new", sync(drift), state.FindingCounts{})
	drift.Flow, drift.Opened, drift.Updated = "flow", first, second
	unused.Flow, unused.Opened, unused.Updated, unused.Closed = "flow", first, first, second
	equal(t, "open", inbox(true, "flow"), []state.Finding{drift})
	equal(t, "all", inbox(false, "flow"), []state.Finding{drift, unused})
	equal(t, "of all flows", len(inbox(true, "")), 2)

	third := b.clock.Advance(time.Hour)
	equal(t, "third", sync(drift, unused), state.FindingCounts{Opened: 1})
	unused.Opened, unused.Updated, unused.Closed = third, third, time.Time{}
	equal(t, "opened again", inbox(true, "flow"), []state.Finding{drift, unused})
}

func findingsUnread(t *testing.T, b *bench) {
	ctx := t.Context()
	must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", "run-1", []state.Finding{{Key: "a", Customer: "Contoso"}, {Key: "b", Customer: "Fabrikam"}}, nil))
	unread := func(f state.Finding) bool { return f.Customer == "Fabrikam" }
	equal(t, "counts", must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", "run-2", nil, unread)), state.FindingCounts{Closed: 1})
	open := must[[]state.Finding](t)(b.Findings(ctx, true, "flow"))
	if len(open) != 1 || open[0].Key != "b" {
		t.Errorf("open: %v, want the one of the customer that was not read", open)
	}
}

func findingsRefused(t *testing.T, b *bench) {
	for name, found := range map[string][]state.Finding{"no key": {{Title: "x"}}, "a key twice": {{Key: "a"}, {Key: "a"}}} {
		if _, err := b.SyncFindings(t.Context(), "flow", "run", found, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	equal(t, "kept", must[[]state.Finding](t)(b.Findings(t.Context(), false, "")), []state.Finding(nil))
}

func plans(t *testing.T, b *bench) {
	ctx := t.Context()
	at := b.clock.Now()
	body := []byte(`{"changes": [ ],  "b":1,"a":"ü"}`)
	for _, digest := range []string{"abc1", "abc12", "abd3"} {
		ok(t, b.SavePlan(ctx, digest, "flow", "run", at, body))
	}
	want := state.Plan{Digest: "abd3", Flow: "flow", Run: "run", At: at, Body: body}
	equal(t, "by prefix", must[state.Plan](t)(b.Plan(ctx, "abd")), want)
	equal(t, "in full, though another begins with it", must[state.Plan](t)(b.Plan(ctx, "abc1")).Digest, "abc1")
	_, err := b.Plan(ctx, "ab")
	refused(t, err, state.ErrAmbiguous, "abc1", "abc12")
	for _, prefix := range []string{"abe", "ABD", "", "abd34", "%"} {
		_, err := b.Plan(ctx, prefix)
		refused(t, err, state.ErrNotFound, prefix)
	}
	if err := b.SavePlan(ctx, "bad", "flow", "run", at, []byte("{")); err == nil {
		t.Error("a body that is not JSON was kept")
	}
}

func plansLatest(t *testing.T, b *bench) {
	ctx := t.Context()
	_, found, err := b.LatestPlan(ctx, "flow")
	ok(t, err)
	equal(t, "before the first", found, false)
	at := b.clock.Now()
	ok(t, b.SavePlan(ctx, "one", "flow", "run-1", at, []byte(`{}`)))
	ok(t, b.SavePlan(ctx, "two", "flow", "run-2", at.Add(time.Millisecond), []byte(`{}`)))
	ok(t, b.SavePlan(ctx, "other", "other", "run-3", at.Add(time.Hour), []byte(`{}`)))
	got, _, err := b.LatestPlan(ctx, "flow")
	ok(t, err)
	equal(t, "latest", got.Digest, "two")
	ok(t, b.SavePlan(ctx, "one", "flow", "run-4", at.Add(time.Second), []byte(`{}`)))
	got, _, err = b.LatestPlan(ctx, "flow")
	ok(t, err)
	equal(t, "made again", []string{got.Digest, got.Run}, []string{"one", "run-4"})
}
