package soak

import (
	"testing"

	"github.com/trueup-sync/trueup/connectors/memory"
)

// Histories that broke a promise once, as small as they became, and those that somebody thought of.
func TestKeptHistories(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a line whose creation was not answered is edited before it is found", []step{
			{op: order, n: 1}, {op: misbehave, side: 1, fault: memory.ErrorAfterCommit, value: "1"}, {op: run}, {op: bill, at: 2}}},
		{"a line whose creation was not answered is looked for in an empty list, and edited", []step{
			{op: run}, {op: order, n: 1}, {op: misbehave, side: 1, fault: memory.ErrorAfterCommit, value: "1"}, {op: run}, {op: bill, at: 2},
			{op: misbehave, side: 1, fault: memory.EmptyList, value: "1"}, {op: run}, {op: buy, at: 2}, {op: run}}},
		{"killed before a line's creation is settled, and it is edited", []step{
			{op: order, n: 1}, {op: dieBefore, n: 2}, {op: bill, at: 2}, {op: run}}},
		{"a line is lowered while the vendor follows its raise", []step{{op: bill, at: 1}, {op: editDuring, side: 1, at: 1, n: 1}, {op: run}}},
		{"a line is lowered, and seats are bought while that is scheduled", []step{{op: bill, at: 0}, {op: bill, at: 0}, {op: editDuring, at: 0, n: 1}, {op: run}}},
		{"all subscriptions of a customer vanish", []step{{op: remove, at: 3}, {op: remove, at: 2}}},
		{"all subscriptions of a customer vanish, and one of its lines is edited", []step{{op: remove, at: 3}, {op: remove, at: 2}, {op: bill, at: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, rounds := range []bool{false, true} {
				h := history{rounds: rounds, steps: c.steps}
				if _, err := live(h); err != nil {
					t.Errorf("%v\n%s", err, h)
				}
			}
		})
	}
}
