package plan_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

func changeIDs(changes []plan.Change) (ids []string) {
	for _, c := range changes {
		ids = append(ids, c.Target.ID)
	}
	slices.Sort(ids)
	return ids
}

// Every reason to hold is either the flow's own limit or not; a new one must be thought about here.
func TestOnlyLimitsCanBeReleased(t *testing.T) {
	t.Parallel()
	conflict, committed, incomplete := pair("conflict", 10, 12, 13), pair("committed", 10, 10, 6), pair("incomplete", 10, 8, 10)
	incomplete.Complete = false
	limit := model.NewQuantity(25)
	p := plan.Guard(compute(pair("free", 10, 10, 12), pair("large", 10, 10, 60), conflict, committed, incomplete),
		plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}}, nil, plan.Recent{})
	released, ok := plan.Release(p)
	if !ok {
		t.Fatal("nothing was released")
	}
	if diff := cmp.Diff([]string{"sub-free", "sub-large"}, changeIDs(released.Changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	var still []plan.Reason
	for _, h := range released.Held {
		still = append(still, h.Reason)
	}
	slices.Sort(still)
	if diff := cmp.Diff([]plan.Reason{plan.ConflictHeld, plan.Incomplete, plan.TermWindow}, still); diff != "" {
		t.Errorf("still held (-want +got):\n%s", diff)
	}
	for reason, want := range map[plan.Reason]bool{plan.OverChangeLimit: true, plan.OverCustomer: true, plan.OverRun: true, plan.DecreaseHeld: true,
		plan.ConflictHeld: false, plan.FirstHeld: false, plan.Incomplete: false, plan.TermWindow: false, plan.InFlight: false, plan.NoPrice: false, plan.MovedSince: false, plan.ComesBack: false} {
		if reason.Releasable() != want {
			t.Errorf("%s: releasable is %v, want %v", reason, !want, want)
		}
	}
	if _, ok := plan.Release(compute(pair("free", 10, 10, 12), conflict)); ok {
		t.Error("a plan was released in which no limit holds anything")
	}
}

// The digest of a released plan belongs to these changes over these limits: never to the plan within the limits, nor to one without limits.
func TestAReleaseHasADigestOfItsOwn(t *testing.T) {
	t.Parallel()
	limit, wide := model.NewQuantity(25), model.NewQuantity(500)
	guards := func(q *model.Quantity) plan.Guards { return plan.Guards{PerChange: plan.ChangeLimit{Increase: q}} }
	world := func(large int64) plan.Plan { return compute(pair("free", 10, 10, 12), pair("large", 10, 10, large)) }
	within := plan.Guard(world(60), guards(&limit), nil, plan.Recent{})
	released, _ := plan.Release(within)
	moved, _ := plan.Release(plan.Guard(world(61), guards(&limit), nil, plan.Recent{}))
	unlimited := plan.Guard(world(60), guards(&wide), nil, plan.Recent{})
	seen := map[string]bool{}
	for _, p := range []plan.Plan{within, released, moved, unlimited} {
		seen[p.Digest()] = true
	}
	if len(seen) != 4 {
		t.Errorf("four plans have %d digests", len(seen))
	}
	again, _ := plan.Release(plan.Guard(world(60), guards(&limit), nil, plan.Recent{}))
	if again.Digest() != released.Digest() {
		t.Error("the same release has two digests")
	}
	var text bytes.Buffer
	if err := plan.Render(&text, within, plan.FormatText, 0); err != nil {
		t.Fatal(err)
	}
	if want := "trueup approve " + released.Digest(); !strings.Contains(text.String(), want) {
		t.Errorf("the plan does not say %q:\n%s", want, text.String())
	}
}

func TestWhatWaitsForAReleasedChangeGoesWithIt(t *testing.T) {
	t.Parallel()
	limit := model.NewQuantity(25)
	p := compute(pair("large", 10, 10, 60))
	line := plan.Change{ID: "line", Op: plan.OpChange, Side: plan.PSA, Account: "psa", Target: plan.Ref{Kind: model.KindLine, ID: "line-large", Parent: "a1"}, After: []string{p.Changes[0].ID}}
	p.Changes = append(p.Changes, line)
	held := plan.Guard(p, plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}}, nil, plan.Recent{})
	if len(held.Held) != 2 {
		t.Fatalf("%d are held, want both", len(held.Held))
	}
	released, _ := plan.Release(held)
	if len(released.Changes) != 2 || len(released.Held) != 0 || len(released.Lifted) != 1 {
		t.Errorf("%d changes, %d held, %d lifted; want 2, 0, 1", len(released.Changes), len(released.Held), len(released.Lifted))
	}
}
