package plan_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

var nine = time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC)

// before are the changes that one plan would make, as done some hours before nine.
func before(hours int, pairs ...plan.Pair) (done []plan.Done) {
	for _, c := range compute(pairs...).Changes {
		done = append(done, plan.Done{Change: c, At: nine.Add(-time.Duration(hours) * time.Hour)})
	}
	return done
}

func of(customer string, done []plan.Done) []plan.Done {
	for i := range done {
		done[i].Customer = customer
	}
	return done
}

// Steps that are each within the limits, and not together. Each case in testdata/together.txt is a line of figures and one of advice.
func TestStepsCountTogether(t *testing.T) {
	t.Parallel()
	customer := func(l plan.GroupLimit) plan.Guards { return plan.Guards{PerCustomer: l} }
	run := func(l plan.GroupLimit) plan.Guards { return plan.Guards{PerRun: l} }
	one := func(l plan.ChangeLimit) plan.Guards { return plan.Guards{PerChange: l} }
	frozen := map[string]time.Time{"Kea Logistics": nine.Add(-72 * time.Hour)}
	euros := before(3, reducible(pair("a", 10, 10, 9)))
	euros[0].Effect.Cost = *amount("-10 EUR")
	var b strings.Builder
	for _, c := range []struct {
		name   string
		guards plan.Guards
		extent int64
		done   []plan.Done
		since  map[string]time.Time
		pairs  []plan.Pair
	}{
		{"lowered twice", customer(plan.GroupLimit{Share: 30}), 80, before(3, pair("a", 50, 30, 50)), nil, []plan.Pair{pair("b", 50, 35, 50)}},
		{"lowered twice, within", customer(plan.GroupLimit{Share: 35}), 80, before(3, pair("a", 50, 30, 50)), nil, []plan.Pair{pair("b", 50, 35, 50)}},
		{"lowered yesterday", customer(plan.GroupLimit{Share: 30}), 80, before(25, pair("a", 50, 30, 50)), nil, []plan.Pair{pair("b", 50, 35, 50)}},
		{"lowered before yesterday, and held since", customer(plan.GroupLimit{Share: 30}), 80, before(70, pair("a", 50, 30, 50)), frozen, []plan.Pair{pair("b", 50, 35, 50)}},
		{"lowered for another customer", customer(plan.GroupLimit{Share: 30}), 80, of("Moa Museum", before(3, pair("a", 50, 30, 50))), nil, []plan.Pair{pair("b", 50, 35, 50)}},
		{"a seat at a time from a small customer", customer(plan.GroupLimit{Share: 50}), 2, append(before(3, pair("a", 4, 3, 4)), before(2, pair("a", 3, 2, 3))...), nil, []plan.Pair{pair("a", 2, 1, 2)}},
		{"put right again", customer(plan.GroupLimit{Share: 10}), 40, before(3, pair("a", 50, 40, 50)), nil, []plan.Pair{pair("a", 40, 50, 40)}},
		{"lowered, put right, lowered", customer(plan.GroupLimit{Share: 30}), 50, append(before(3, pair("a", 50, 40, 50)), before(2, pair("a", 40, 50, 40))...), nil, []plan.Pair{pair("a", 50, 40, 50)}},
		{"what adds nothing is let through", customer(plan.GroupLimit{Share: 30}), 60, before(3, pair("a", 100, 60, 100)), nil, []plan.Pair{pair("b", 10, 12, 10)}},
		{"changed one line after the other", customer(plan.GroupLimit{Count: 2}), 80, append(before(3, pair("a", 5, 6, 5)), before(2, pair("b", 5, 6, 5))...), nil, []plan.Pair{pair("c", 5, 6, 5)}},
		{"changed the same line again and again", customer(plan.GroupLimit{Count: 1}), 80, append(before(3, pair("a", 5, 6, 5)), before(2, pair("a", 6, 7, 6))...), nil, []plan.Pair{pair("a", 7, 8, 7)}},
		{"bought twice", customer(plan.GroupLimit{Cost: amount("50 GBP")}), 80, before(3, pair("a", 5, 5, 8)), nil, []plan.Pair{pair("b", 5, 5, 8)}},
		{"billed less twice", run(plan.GroupLimit{Drop: amount("50 GBP")}), 80, of("Moa Museum", before(3, pair("a", 20, 18, 20))), nil, []plan.Pair{pair("b", 20, 18, 20)}},
		{"billed more twice", run(plan.GroupLimit{Bill: amount("50 GBP")}), 80, before(3, pair("a", 20, 22, 20)), nil, []plan.Pair{pair("b", 20, 22, 20)}},
		{"lowered for two customers", run(plan.GroupLimit{Share: 10}), 190, of("Moa Museum", before(3, pair("a", 60, 50, 60))), nil, []plan.Pair{pair("b", 60, 45, 60)}},
		{"one subscription, lowered twice", one(plan.ChangeLimit{Decrease: seatsOf(5)}), 80, before(3, reducible(pair("a", 20, 20, 16))), nil, []plan.Pair{reducible(pair("a", 16, 16, 14))}},
		{"one subscription, raised twice", one(plan.ChangeLimit{Increase: seatsOf(25)}), 80, before(3, pair("a", 10, 10, 30)), nil, []plan.Pair{pair("a", 30, 30, 40)}},
		{"one subscription, a part of it twice", one(plan.ChangeLimit{Share: 40}), 80, before(3, reducible(pair("a", 10, 10, 7))), nil, []plan.Pair{reducible(pair("a", 7, 7, 5))}},
		{"one subscription, dearer twice", one(plan.ChangeLimit{Cost: amount("50 GBP")}), 80, before(3, pair("a", 10, 10, 13)), nil, []plan.Pair{pair("a", 13, 13, 16)}},
		{"one subscription, less twice", one(plan.ChangeLimit{Drop: amount("50 GBP")}), 80, before(3, reducible(pair("a", 10, 10, 7))), nil, []plan.Pair{reducible(pair("a", 7, 7, 4))}},
		{"one subscription, lowered after it was raised", one(plan.ChangeLimit{Decrease: seatsOf(5)}), 80, before(3, reducible(pair("a", 10, 10, 18))), nil, []plan.Pair{reducible(pair("a", 18, 18, 13))}},
		{"less in two currencies", customer(plan.GroupLimit{Drop: amount("15 GBP")}), 80, euros, nil, []plan.Pair{reducible(pair("b", 10, 10, 9))}},
	} {
		b.WriteString(c.name + "\n")
		p := plan.Guard(compute(c.pairs...), c.guards, plan.Extent{"Kea Logistics": model.NewQuantity(c.extent)},
			plan.Recent{From: nine.Add(-24 * time.Hour), Since: c.since, Done: c.done})
		for _, h := range p.Held {
			b.WriteString("  " + string(h.Reason) + " " + h.Change.Label + ": " + h.Detail + "\n    next: " + h.Next + "\n")
			if !h.Reason.Releasable() {
				t.Errorf("%s: nobody can release it", c.name)
			}
		}
		if len(p.Held) == 0 {
			b.WriteString("  nothing is held\n")
		}
	}
	const file = "testdata/together.txt"
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
