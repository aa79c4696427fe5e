package soak

import (
	"fmt"
	"strings"

	"github.com/trueup-sync/trueup/connectors/memory"
)

// op is what happens in one step.
type op string

const (
	buy        op = "vendor seats"     // somebody changes the seats of a subscription at the vendor
	bill       op = "psa seats"        // somebody changes the seats of a line
	price      op = "psa price"        // the PSA owns it: it must stay
	cost       op = "vendor cost"      // the price sheet changes
	foreign    op = "psa cost"         // somebody edits what the vendor owns
	rename     op = "vendor name"      // blanks at the end included
	order      op = "new subscription" //
	cancel     op = "subscription ends"
	suspend    op = "subscription suspended"
	remove     op = "subscription vanishes"
	stopLine   op = "line ended by a user"
	newTenant  op = "new customer" // n odd: with a company in the PSA
	misbehave  op = "misbehave"
	behave     op = "behave"
	wait       op = "wait"          // n minutes
	run        op = "run"           // n odd: sweep
	dieBefore  op = "die before"    // a run; dies instead of the n-th write to its store on the way of a change
	dieAfter   op = "die after"     // the same, right after that write
	dieAsking  op = "die asking"    // a run; dies while a system answers the n-th request
	editDuring op = "edit amid run" // a run; seats of line or subscription at change right after the n-th write to its store
)

// step is one thing that happens. Its numbers are taken modulo what there is, so that a history stays one whatever is cut out of it.
type step struct {
	op    op
	at    int // which subscription, line, customer or product
	n     int
	side  int    // 0 vendor, 1 PSA
	fault string // with misbehave
	value string
}

func (s step) String() string {
	side := []string{"vendor", "psa"}[s.side%2]
	switch s.op {
	case misbehave, behave:
		return fmt.Sprintf("%s: %s %s %s", s.op, side, s.fault, s.value)
	case editDuring:
		return fmt.Sprintf("%s: at write %d, %s %d", s.op, s.n, side, s.at)
	case wait, run, dieBefore, dieAfter, dieAsking:
		return fmt.Sprintf("%s %d", s.op, s.n)
	}
	return fmt.Sprintf("%s: %d, %d", s.op, s.at, s.n)
}

// history is what happens to an MSP, and the PSA it has.
type history struct {
	rounds bool // the PSA keeps two decimals and trims text
	sweep  bool // the first run after all trouble reads everything
	steps  []step
}

func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rounding PSA %t, sweep at the end %t\n", h.rounds, h.sweep)
	for i, s := range h.steps {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, s)
	}
	return b.String()
}

// weights say how often each thing happens.
var weights = []struct {
	op     op
	weight int
}{
	{buy, 14}, {bill, 14}, {price, 3}, {cost, 3}, {foreign, 2}, {rename, 2}, {order, 4}, {cancel, 2}, {suspend, 1}, {remove, 1}, {stopLine, 1},
	{newTenant, 2}, {misbehave, 14}, {behave, 6}, {wait, 4}, {run, 14}, {dieBefore, 5}, {dieAfter, 5}, {dieAsking, 4}, {editDuring, 5},
}

// trouble is every misbehaviour, and the counts it is switched on with. Those that strike without end are switched off by behave, or at
// the end of the history.
var trouble = []struct{ fault, value string }{
	{memory.DropLastPage, "1"}, {memory.DropLastPage, ""}, {memory.CapPages, "2"}, {memory.EmptyList, "1"}, {memory.EmptyList, ""}, {memory.Partial, "*"},
	{memory.ErrorAfterCommit, "1"}, {memory.ErrorAfterCommit, "3"}, {memory.ErrorAfterCommit, ""}, {memory.LostBeforeCommit, "1"}, {memory.LostBeforeCommit, "2"},
	{memory.Transient, "1"}, {memory.Transient, "5"}, {memory.Limited, "2"}, {memory.Limited, "30"}, {memory.Limited, ""}, {memory.RejectToken, "1"}, {memory.RejectToken, ""},
	{memory.Stale, "1"}, {memory.Stale, "2"}, {memory.RefuseDecrease, "1"}, {memory.FeedRepeats, "2"}, {memory.FeedMisses, "3"}, {memory.FeedForgets, "1"},
}

// draw makes a history out of a source of numbers below a bound.
func draw(below func(n int, what string) int) history {
	h := history{rounds: below(2, "rounds") == 1, sweep: below(2, "sweep") == 1}
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	for range 4 + below(24, "steps") {
		s := step{at: below(12, "at"), n: 1 + below(12, "n"), side: below(2, "side")}
		pick := below(total, "op")
		for _, w := range weights {
			if pick -= w.weight; pick < 0 {
				s.op = w.op
				break
			}
		}
		switch s.op {
		case misbehave, behave:
			t := trouble[below(len(trouble), "trouble")]
			s.fault, s.value = t.fault, t.value
		case wait:
			s.n = []int{5, 60, 26 * 60, 31 * 24 * 60}[below(4, "minutes")]
		case dieBefore, dieAfter, editDuring:
			s.n = 1 + below(5, "write")
		case dieAsking:
			s.n = 1 + below(30, "request")
		}
		h.steps = append(h.steps, s)
	}
	return h
}
