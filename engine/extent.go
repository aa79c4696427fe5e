package engine

import (
	"context"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
)

// heldSince is since when something of a customer is held over a limit of the flow; under "" for the run as a whole. together are those that
// are over it only together with what was done before.
func (e *Engine) heldSince(ctx context.Context, flow string) (since, together map[string]time.Time, err error) {
	open, err := e.Store.Findings(ctx, true, flow)
	since, together = map[string]time.Time{}, map[string]time.Time{}
	first := func(of map[string]time.Time, customer string, at time.Time) {
		if before, ok := of[customer]; !ok || at.Before(before) {
			of[customer] = at
		}
	}
	for _, f := range open {
		customer := f.Customer
		switch plan.Reason(f.Kind) {
		case plan.OverRun:
			first(since, "", f.Opened)
		case plan.OverCustomer:
			first(since, customer, f.Opened)
		case plan.OverRunTogether:
			first(since, "", f.Opened)
			first(together, "", f.Opened)
		case plan.OverCustomerTogether:
			first(since, customer, f.Opened)
			first(together, customer, f.Opened)
		case plan.OverChangeTogether:
			first(together, customer, f.Opened)
		}
	}
	return since, together, err
}

// measure adds a pair's seats to what shares are measured against. Lines that trueup made since something was met that is still held do not
// count: they would make a held share smaller from one run to the next, until it went through without anybody having looked.
func (w *world) measure(g *group, p pairing) {
	for _, of := range []string{g.label, ""} {
		if at, held := w.heldSince[of]; held && !p.made.IsZero() && !p.made.Before(at) {
			return
		}
	}
	seats, _ := p.line.Fields["quantity"].Quantity()
	w.extent[g.label] = w.extent[g.label].Add(seats)
}

// madeAt is when trueup made the line of a link; zero for a line that somebody else made.
func madeAt(how string, linked time.Time) time.Time {
	if how != howCreated {
		return time.Time{}
	}
	return linked
}
