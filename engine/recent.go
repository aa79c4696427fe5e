package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
)

// recent collects what the flow did lately and nobody released, so that small steps are seen as the large one that they make together. While
// something is held for what was done before, that goes on counting: waiting is not enough to let it through.
func (e *Engine) recent(ctx context.Context, w *world, p plan.Plan) (plan.Recent, error) {
	g := w.flow.Guards
	r := plan.Recent{From: w.now.Add(-g.Together), Since: map[string]time.Time{}}
	if g.Together <= 0 || p.Empty() {
		return r, nil
	}
	first := r.From
	for of, at := range w.heldTogether {
		if at = at.Add(-g.Together); at.Before(r.From) {
			r.Since[of] = at
			if at.Before(first) {
				first = at
			}
		}
	}
	bills := w.flow.Mode == ModeWrite && (g.PerCustomer.Bill != nil || g.PerRun.Bill != nil)
	written, err := e.Store.WrittenSince(ctx, w.flow.Name, first, bills)
	if err != nil {
		return r, err
	}
	for _, entry := range written {
		done := plan.Done{At: entry.At}
		if err := json.Unmarshal(entry.Body, &done.Change); err != nil {
			return r, fmt.Errorf("read intent %s of the journal: %w", entry.Intent, err)
		}
		if done.Released == "" {
			r.Done = append(r.Done, done)
		}
	}
	return r, nil
}
