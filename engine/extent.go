package engine

import (
	"context"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
)

// heldSince is since when something of a customer is held over a limit of the flow; under "" for the run as a whole.
func (e *Engine) heldSince(ctx context.Context, flow string) (map[string]time.Time, error) {
	open, err := e.Store.Findings(ctx, true, flow)
	since := map[string]time.Time{}
	for _, f := range open {
		customer := f.Customer
		switch plan.Reason(f.Kind) {
		case plan.OverRun:
			customer = ""
		case plan.OverCustomer:
		default:
			continue
		}
		if at, ok := since[customer]; !ok || f.Opened.Before(at) {
			since[customer] = f.Opened
		}
	}
	return since, err
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
