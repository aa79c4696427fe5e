package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// An approval is about one change, or about all that a customer's or a run's limit holds together; what it names moves with what it does.
func TestAsks(t *testing.T) {
	t.Parallel()
	limit := model.NewQuantity(25)
	guards := plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}}
	p := plan.Guard(compute(pair("free", 10, 10, 12), pair("large", 10, 10, 60), pair("larger", 10, 10, 90), pair("conflict", 10, 12, 13)), guards, nil, plan.Recent{})
	asks := plan.Asks(p)
	if len(asks) != 2 || len(asks[0].Plan.Changes) != 1 || asks[0].Plan.Digest() == asks[1].Plan.Digest() {
		t.Fatalf("asked %+v", asks)
	}
	moved := plan.Asks(plan.Guard(compute(pair("large", 10, 10, 61), pair("larger", 10, 10, 90)), guards, nil, plan.Recent{}))
	if len(moved) != 2 {
		t.Fatalf("asked %+v", moved)
	}
	for i := range moved {
		if same := moved[i].Matter == asks[i].Matter; !same {
			t.Errorf("the matter has another name: %s and %s", asks[i].Matter, moved[i].Matter)
		}
		large := moved[i].Held[0].Change.Target.ID == "sub-large"
		if large == (moved[i].Plan.Digest() == asks[i].Plan.Digest()) {
			t.Errorf("%s: digests %s and %s", moved[i].Held[0].Change.Target.ID, asks[i].Plan.Digest(), moved[i].Plan.Digest())
		}
	}

	lifted := plan.Lift(p, asks[:1])
	want := []string{asks[0].Held[0].Change.Target.ID, "sub-free"}
	if want[0] > want[1] {
		want[0], want[1] = want[1], want[0]
	}
	if diff := cmp.Diff(want, changeIDs(lifted.Changes)); diff != "" || len(lifted.Held) != len(p.Held)-1 || len(lifted.Lifted) != 1 {
		t.Errorf("lifted (-want +got):\n%s\n%v", diff, lifted.Held)
	}
	if len(p.Changes) != 1 || lifted.Digest() == p.Digest() {
		t.Errorf("the plan that was lifted from has %d changes, digest %s", len(p.Changes), p.Digest())
	}
}

// A limit of the run holds changes together, and they are asked together.
func TestAGroupIsAskedOnce(t *testing.T) {
	t.Parallel()
	three := model.NewQuantity(3)
	p := plan.Guard(compute(pair("a", 10, 10, 12), pair("b", 10, 10, 12)), plan.Guards{PerRun: plan.GroupLimit{Increase: &three}}, nil, plan.Recent{})
	asks := plan.Asks(p)
	if len(asks) != 1 || len(asks[0].Held) != 2 || len(asks[0].Plan.Changes) != 2 {
		t.Fatalf("asked %+v", asks)
	}
	released, ok := plan.Release(p)
	if !ok || released.Digest() != asks[0].Plan.Digest() {
		t.Errorf("all that is held is named %s as a whole, and %s as the one matter", released.Digest(), asks[0].Plan.Digest())
	}
	p.Rejected = map[string]string{asks[0].Held[0].Change.ID: "ann@desk"}
	if rest, ok := plan.Release(p); !ok || len(rest.Lifted) != 1 {
		t.Errorf("what was rejected is released with the rest: %+v", rest.Lifted)
	}
}
