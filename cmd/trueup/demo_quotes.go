package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

// demoQuotes is the part of the demo's flow that turns accepted quotes into orders.
const demoQuotes = `quotes:
  since: 2020-01-01
  approve: required
`

// acceptQuote lets a customer say yes to a quote: the order waits for a person, who approves it, and then everything follows.
func (d *demo) acceptQuote(ctx context.Context, s *session, flow engine.Flow) error {
	open := d.sandbox.Truth().Quotes
	if len(open) == 0 {
		return nil // a small world may hold none
	}
	d.title("A customer accepts a quote")
	id, err := strconv.Atoi(open[0])
	if err != nil {
		return fmt.Errorf("the sandbox's quote %q has no number: %w", open[0], err)
	}
	if err := d.edit(ctx, map[string]any{"side": "psa", "kind": "opportunity", "id": id, "set": map[string]any{"status": map[string]any{"id": d.sandbox.Won()}}}); err != nil {
		return err
	}
	result, err := d.runFlow(ctx, s, flow, engine.Options{Apply: true})
	if err != nil {
		return err
	}
	for _, h := range result.Plan.Held {
		if h.Reason == plan.OrderApproval {
			fmt.Fprintf(d.stdout, "  held: %s · %s: %s\n    %s\n", h.Change.Customer, h.Change.Label, h.Reason.Sentence(), h.Detail)
		}
	}
	release := plan.DocumentOf(result.Plan).Release
	if release == "" {
		return errors.New("the order does not wait for approval: this is a bug in trueup")
	}
	d.tell("trueup approve %s", release)
	if _, err := s.store.Decide(ctx, state.Decision{Digest: release, Flow: flow.Name, Person: "demo", Verdict: state.Approved, Expires: time.Now().Add(engine.ApprovedFor)}); err != nil {
		return err
	}
	if result, err = d.runFlow(ctx, s, flow, engine.Options{Apply: true}); err != nil {
		return err
	}
	for _, c := range result.Plan.Changes {
		fmt.Fprintf(d.stdout, "  %s %s in %s: %s · %s (%s)\n", c.Op, c.Target.Kind, c.Account, c.Customer, c.Label, c.Reason.Sentence())
	}
	if result.Outcome.Done != 3 {
		return fmt.Errorf("expected an order, a line and a note on the quote, there were %d writes: this is a bug in trueup", result.Outcome.Done)
	}
	return d.mustBeEmpty(ctx, s, flow)
}
