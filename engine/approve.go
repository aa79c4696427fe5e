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

// choose says which plan is applied: the one within the flow's limits, or one that lets through what they hold, if that is the one that was
// reviewed, or the flow writes on its own, and enough people approved exactly it: all that the limits hold, or single matters. The approvals
// are used up. While the flow is frozen, approvals wait.
func (e *Engine) choose(ctx context.Context, run *activeRun, flow Flow, opts Options, within Result, frozenUntil time.Time) (Result, error) {
	released, ok := plan.Release(within.Plan)
	chosen := within
	switch over := released.Digest(); {
	case ok && (opts.Digest == "" || opts.Digest == over):
		chosen.Plan, chosen.Digest = released, over
	case opts.Digest != "":
		for _, ask := range plan.Asks(within.Plan) {
			if ask.Plan.Digest() == opts.Digest { // also of a matter that somebody rejected: using its approvals says who
				alone := within.Plan
				alone.Changes = nil
				chosen.Plan, chosen.Digest = plan.Lift(alone, []plan.Asked{ask}), opts.Digest
			}
		}
	}
	switch err := mayApply(flow, opts, chosen); {
	case err != nil || chosen.Digest == within.Digest:
		return within, err
	case opts.Digest == "" && (!frozenUntil.IsZero() || run.narrow != nil):
		return within, nil
	case !frozenUntil.IsZero():
		return within, fmt.Errorf("%w: the flow writes nothing that costs until %s; apply it then", state.ErrNotApproved, frozenUntil.Format("2 January 2006, 15:04 MST"))
	}
	used, err := e.Store.UseApproval(ctx, chosen.Digest, flow.Approvals, run.ID)
	switch {
	case errors.Is(err, state.ErrNotApproved) && opts.Digest == "":
		return e.liftSome(ctx, run, flow, within)
	case err != nil:
		return within, err
	}
	markReleased(chosen.Plan, used)
	return chosen, nil
}

// liftSome lets through the single matters that enough people approved. The limits hold the others.
func (e *Engine) liftSome(ctx context.Context, run *activeRun, flow Flow, within Result) (Result, error) {
	var lifted []plan.Asked
	by := map[string][]state.Decision{}
	for _, ask := range plan.Asks(within.Plan) {
		digest := ask.Plan.Digest()
		all, err := e.Store.Decisions(ctx, digest)
		if err != nil {
			return within, err
		}
		if approved, rejected := state.Standing(all, e.Now()); len(rejected) > 0 || len(approved) < max(flow.Approvals, 1) {
			continue
		}
		used, err := e.Store.UseApproval(ctx, digest, flow.Approvals, run.ID)
		switch {
		case errors.Is(err, state.ErrNotApproved):
			continue // used or withdrawn since
		case err != nil:
			return within, err
		}
		for _, h := range ask.Held {
			by[h.Change.ID] = used
		}
		lifted = append(lifted, ask)
	}
	if len(lifted) == 0 {
		return within, nil
	}
	chosen := within
	chosen.Plan = plan.Lift(within.Plan, lifted)
	for i, c := range chosen.Plan.Changes {
		chosen.Plan.Changes[i].Released = releasedBy(by[c.ID])
	}
	chosen.Digest = chosen.Plan.Digest()
	return chosen, e.savePlan(ctx, run, chosen.Plan, e.Now().Add(-time.Second))
}

// markReleased writes into the changes of a plan who let them through.
func markReleased(p plan.Plan, used []state.Decision) {
	lifted := map[string]bool{}
	for _, h := range p.Lifted {
		lifted[h.Change.ID] = true
	}
	for i, c := range p.Changes {
		if lifted[c.ID] {
			p.Changes[i].Released = releasedBy(used)
		}
	}
}

// releasedBy is who approved a plan, for the journal.
func releasedBy(used []state.Decision) string {
	var said []string
	for _, d := range used {
		said = append(said, saidBy(d))
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
