package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

// ApprovedFor is how long an approval counts unless its maker says otherwise: a person looks at today's plan.
const ApprovedFor = 24 * time.Hour

// choose says which plan is applied: the one within the flow's limits, or the one that lets through what they hold, if that is the one
// that was reviewed, or the flow writes on its own, and enough people approved exactly it. Its approvals are used up.
func (e *Engine) choose(ctx context.Context, run *activeRun, flow Flow, opts Options, within Result) (Result, error) {
	released, ok := plan.Release(within.Plan)
	chosen := within
	if over := released.Digest(); ok && (opts.Digest == "" || opts.Digest == over) {
		chosen.Plan, chosen.Digest = released, over
	}
	if err := mayApply(flow, opts, chosen); err != nil || chosen.Digest == within.Digest {
		return within, err
	}
	used, err := e.Store.UseApproval(ctx, chosen.Digest, flow.Approvals, run.ID)
	switch {
	case errors.Is(err, state.ErrNotApproved) && opts.Digest == "":
		return within, nil // the limits hold
	case err != nil:
		return within, err
	}
	lifted := map[string]bool{}
	for _, h := range released.Lifted {
		lifted[h.Change.ID] = true
	}
	for i, c := range chosen.Plan.Changes {
		if lifted[c.ID] {
			chosen.Plan.Changes[i].Released = releasedBy(used)
		}
	}
	return chosen, nil
}

// releasedBy is who approved a plan, for the journal.
func releasedBy(used []state.Decision) string {
	var said []string
	for _, d := range used {
		text := fmt.Sprintf("%s at %s", d.Person, d.At.UTC().Format(time.RFC3339))
		if d.Reason != "" {
			text += fmt.Sprintf(" (%s)", d.Reason)
		}
		said = append(said, text)
	}
	return strings.Join(said, ", ")
}

// releaseOf is the digest that people would approve; "" when nothing can be released, or when changes of this run were applied meanwhile,
// since the next plan, without them, has another one.
func releaseOf(result Result) string {
	o := result.Outcome
	released, ok := plan.Release(result.Plan)
	if !ok || o.Done+o.Failed+o.Unknown+o.Skipped > 0 {
		return ""
	}
	return released.Digest()
}
