package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// undo plans to put back what a run did.
func (o *office) undo(run state.Run) engine.Result {
	o.t.Helper()
	result, err := o.run(engine.Options{Undo: run.ID})
	if err != nil {
		o.t.Fatal(err)
	}
	return result
}

// undone plans and applies it.
func (o *office) undone(run state.Run) engine.Result {
	o.t.Helper()
	reviewed := o.undo(run)
	result, err := o.run(engine.Options{Undo: run.ID, Apply: true, Digest: reviewed.Digest})
	if err != nil {
		o.t.Fatal(err)
	}
	if result.Outcome.Done != len(reviewed.Plan.Changes) {
		o.t.Fatalf("%d of %d done: %+v", result.Outcome.Done, len(reviewed.Plan.Changes), result.Outcome.Failures)
	}
	return result
}

func TestUndoSeatsBothWays(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	both := func(want string) {
		t.Helper()
		if v, p := o.seats(o.vendor, sub), o.seats(o.psa, line); v != want || p != want {
			t.Errorf("vendor %s, PSA %s, want %s on both", v, p, want)
		}
	}
	o.edit(o.psa, line, "quantity", model.Int(17))
	raised := o.sync()
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(3))
	o.edit(o.vendor, sub, "cancellationAllowedUntilDate", model.Instant(o.now.Add(24*time.Hour)))
	looked := o.undo(raised.Run)
	both("17")
	if got := reasons(looked.Plan); got != "[found refund_window]" || !strings.Contains(looked.Plan.Findings[0].Detail, "until 2031-03-15T") {
		t.Errorf("the plan says %s, %+v", got, looked.Plan.Findings)
	}
	o.undone(raised.Run)
	both("14")
	o.settled()

	// The other way, downward; and the undoing is undone.
	o.edit(o.vendor, sub, "quantity", model.Int(11))
	lowered := o.sync()
	back := o.undone(lowered.Run)
	both("14")
	o.settled()
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(3))
	o.undone(back.Run)
	both("11")
	o.settled()
}

func TestUndoTwiceIsEmpty(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.vendor, sub, "quantity", model.Int(11))
	lowered := o.sync()
	o.undone(lowered.Run)
	writes := o.writes()
	second := o.undone(lowered.Run)
	if !second.Plan.Empty() || len(second.Plan.Held) != 0 || second.Plan.Counts.InStep != 1 || o.writes() != writes {
		t.Errorf("%d writes, plan:\n%s", o.writes()-writes, text(second.Plan))
	}
	if got := o.seats(o.psa, line); got != "14" {
		t.Errorf("the line has %s", got)
	}
}

func TestUndoLeavesWhatMovedSince(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.vendor, sub, "quantity", model.Int(11))
	lowered := o.sync()
	reviewed := o.undo(lowered.Run)
	o.edit(o.psa, line, "quantity", model.Int(20))

	// What was reviewed is not what would be done now.
	writes := o.writes()
	_, err := o.run(engine.Options{Undo: lowered.Run.ID, Apply: true, Digest: reviewed.Digest})
	if !errors.Is(err, engine.ErrMoved) || o.writes() != writes {
		t.Errorf("got %v and %d writes", err, o.writes()-writes)
	}
	now := o.undo(lowered.Run)
	if got := reasons(now.Plan); got != "[held moved_since]" || !strings.Contains(now.Plan.Held[0].Detail, "quantity went from 14 to 11 in psa; it holds 20 now") {
		t.Errorf("got %s: %+v", got, now.Plan.Held)
	}
	if now.Run.State != state.RunHeld || !strings.Contains(now.Run.Reason, "trueup undo "+lowered.Run.ID) {
		t.Errorf("the run is %s: %s", now.Run.State, now.Run.Reason)
	}
}

func TestUndoOfCreations(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	first := o.sync()
	line := o.onlyLine()
	looked := o.undo(first.Run)
	if len(looked.Plan.Changes) != 1 || looked.Plan.Changes[0].Op != plan.OpEnd || looked.Plan.Changes[0].Effect.Bill.String() != "-282.8 GBP" {
		t.Fatalf("want the line's end, priced:\n%s", text(looked.Plan))
	}
	if got := reasons(looked.Plan); got != "[found not_undone found not_undone]" {
		t.Errorf("contract and product cannot be deleted; got %s", got)
	}
	o.undone(first.Run)
	rec, _ := o.psa.Get(line)
	if got := rec.Fields["cancelledDate"].String(); got != "2031-03-14" {
		t.Errorf("last billed day is %q", got)
	}
	if company := o.psa.Records("company")[0]; company.Fields["custom.Vendor Tenant Ids"].String() != "t-kea" {
		t.Error("the id that was kept is gone")
	}
	if again := o.undone(first.Run); !again.Plan.Empty() {
		t.Errorf("the second plan is not empty:\n%s", text(again.Plan))
	}
	// Nobody creates the line anew, and somebody is told that the subscription goes on.
	o.now = o.now.Add(24 * time.Hour)
	if got := reasons(o.settled().Plan); got != "[found ended_in_psa]" {
		t.Errorf("the day after: %s", got)
	}
	if got := len(o.psa.Records("addition")); got != 1 {
		t.Errorf("%d lines", got)
	}
}

func TestUndoOfALineThatIsGone(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	first := o.sync()
	if err := o.psa.Remove(o.onlyLine()); err != nil {
		t.Fatal(err)
	}
	looked := o.undo(first.Run)
	if !looked.Plan.Empty() || reasons(looked.Plan) != "[found not_undone found not_undone]" {
		t.Errorf("nothing is left of the line, want only contract and product:\n%s", text(looked.Plan))
	}
}

// A record that cannot be read again is not lowered.
func TestUndoLowersNothingThatItCannotRead(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "quantity", model.Int(17))
	raised := o.sync()
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(3))
	o.planned()
	o.misbehave(o.vendor, memory.Transient, "")
	writes := o.writes()
	result, err := o.run(engine.Options{Undo: raised.Run.ID, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := reasons(result.Plan); !strings.Contains(got, "held incomplete_read") || !result.Plan.Empty() || result.Run.State != state.RunPartial || o.writes() != writes {
		t.Errorf("got %s, run %s:\n%s", got, result.Run.State, text(result.Plan))
	}
}

func TestUndoOfAnEnding(t *testing.T) {
	t.Parallel()
	o, sub, _ := linked(t)
	o.edit(o.vendor, sub, "status", model.Text("deleted"))
	ended := o.sync()
	looked := o.undo(ended.Run)
	if !looked.Plan.Empty() || reasons(looked.Plan) != "[found not_undone]" || !strings.Contains(looked.Plan.Findings[0].Next, "open it by hand in psa") {
		t.Errorf("got:\n%s", text(looked.Plan))
	}
}

// What the vendor does not take back stays, and so does the line that bills it.
func TestUndoKeepsWhatTheVendorDoesNotTakeBack(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "quantity", model.Int(17))
	raised := o.sync()
	result := o.undone(raised.Run)
	if got := reasons(result.Plan); got != "[held term_window held waits_for]" || !strings.Contains(result.Plan.Held[0].Detail, "3 seats would go on costing 48.5625 GBP a month") {
		t.Errorf("got %s: %+v", got, result.Plan.Held)
	}
	if v, p := o.seats(o.vendor, sub), o.seats(o.psa, line); v != "17" || p != "17" {
		t.Errorf("vendor %s, PSA %s", v, p)
	}
	o.settled()
}

// A write whose reply was lost belongs to the run that intended it, whoever found it.
func TestUndoFindsWhatALaterRunRecovered(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.vendor, sub, "quantity", model.Int(11))
	o.misbehave(o.psa, memory.ErrorAfterCommit, "1")
	lost := o.sync()
	if lost.Outcome.Unknown != 1 {
		t.Fatalf("the reply should have been lost: %+v", lost.Outcome)
	}
	o.settled()
	o.undone(lost.Run)
	if v, p := o.seats(o.vendor, sub), o.seats(o.psa, line); v != "14" || p != "14" {
		t.Errorf("vendor %s, PSA %s, want 14 on both", v, p)
	}
}

func TestUndoGoesThroughTheGuards(t *testing.T) {
	t.Parallel()
	o, sub, _ := linked(t)
	o.edit(o.vendor, sub, "quantity", model.Int(2))
	lowered := o.sync()
	limit := model.NewQuantity(5)
	o.flow.Guards.PerChange.Increase = &limit
	result := o.undone(lowered.Run)
	if got := reasons(result.Plan); !strings.Contains(got, "held over_change_limit") || !result.Plan.Empty() {
		t.Errorf("got %s:\n%s", got, text(result.Plan))
	}
}

func TestUndoLeavesTheInboxAlone(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.vendor, sub, "quantity", model.Int(11))
	lowered := o.sync()
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.edit(o.vendor, sub, "quantity", model.Int(12))
	o.sync() // a conflict
	inbox := func() (kinds []string) {
		found, err := o.engine.Store.Findings(t.Context(), true, o.flow.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			kinds = append(kinds, f.Kind)
		}
		return kinds
	}
	if looked := o.undo(lowered.Run); len(looked.Plan.Held) == 0 {
		t.Fatal("the undo should have something to say")
	}
	if diff := cmp.Diff([]string{string(plan.ConflictHeld)}, inbox()); diff != "" {
		t.Errorf("the inbox (-want +got):\n%s", diff)
	}
}

func TestUndoRefusesWhatIsNoRunOfTheFlow(t *testing.T) {
	t.Parallel()
	o, _, _ := linked(t)
	discovery, err := o.engine.Discover(t.Context(), "psa", state.TriggerManual)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"nobody", discovery.ID} {
		if _, err := o.run(engine.Options{Undo: id}); err == nil || !strings.Contains(err.Error(), "no run of flow cloud") {
			t.Errorf("run %s: %v", id, err)
		}
	}
}
