package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/state"
)

// shortList is how many lines of each section are shown without --all.
const shortList = 12

func (a *app) planCommand() *cobra.Command {
	var format string
	var everything, offline, sweep bool
	c := &cobra.Command{
		Use:   "plan [FLOW]",
		Short: "Show what would be changed, why, and what it does to the bill; change nothing",
		Long: `plan reads what changed on both sides and shows what would be written, priced, with everything that is held for a
person and why. Nothing is written to any system. The plan is saved under its digest; apply it with trueup apply DIGEST.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, names []string) error {
			if a.json {
				format = string(plan.FormatJSON)
			}
			if known := []string{string(plan.FormatText), string(plan.FormatJSON), string(plan.FormatMarkdown)}; !slices.Contains(known, format) {
				return usageError{fmt.Errorf("unknown plan format %q (%s)", format, diag.DidYouMean(format, known))}
			}
			limit := shortList
			if everything {
				limit = 0
			}
			return a.withFlows(c.Context(), names, func(ctx context.Context, s *session, flow engine.Flow) error {
				result, err := a.runFlow(ctx, s, flow, engine.Options{Trigger: state.TriggerManual, Offline: offline, Sweep: sweep})
				if err != nil {
					return err
				}
				if err := plan.Render(a.stdout, result.Plan, plan.Format(format), limit); err != nil {
					return err
				}
				a.sayNext(flow, result)
				return a.verdict(result)
			})
		},
	}
	c.Flags().StringVar(&format, "format", string(plan.FormatText), "text, json or markdown")
	c.Flags().BoolVar(&everything, "all", false, "show every change, not only the first of each kind")
	c.Flags().BoolVar(&offline, "offline", false, "plan from what was read last, without asking any system")
	c.Flags().BoolVar(&sweep, "sweep", false, "read everything anew instead of what changed")
	return c
}

func (a *app) applyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply DIGEST",
		Short: "Do exactly what a reviewed plan says; refuse if the world moved since",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			saved, err := s.store.Plan(c.Context(), given[0])
			if err != nil {
				return usageError{err}
			}
			flow, ok := s.Flow(saved.Flow)
			if !ok {
				return usageError{fmt.Errorf("plan %s is for flow %q, which %s does not name any more", saved.Digest, saved.Flow, s.File)}
			}
			result, err := a.runFlow(c.Context(), s, flow, engine.Options{Trigger: state.TriggerManual, Apply: true, Digest: saved.Digest, Undo: undoneBy(saved)})
			switch {
			case errors.Is(err, engine.ErrMoved):
				a.sayDifference(saved, result.Plan)
			case errors.Is(err, state.ErrNotApproved):
				a.say("trueup: %s", err)
				return errHeld
			}
			if err != nil {
				return err
			}
			return a.showOutcome(result)
		},
	}
}

// sayDifference says what is in one plan and not in the other.
func (a *app) sayDifference(saved state.Plan, now plan.Plan) {
	var was plan.Document
	if json.Unmarshal(saved.Body, &was) != nil {
		return
	}
	before, after := describe(was.Changes), describe(now.Changes)
	said := 0
	tell := func(mark, line string) {
		if said++; said <= shortList {
			a.say("  %s %s", mark, line)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] != before[id] {
			tell("-", before[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if before[id] != after[id] {
			tell("+", after[id])
		}
	}
	if said > shortList {
		a.say("  … and %d more", said-shortList)
	}
}

func describe(changes []plan.Change) map[string]string {
	lines := map[string]string{}
	for _, c := range changes {
		line := fmt.Sprintf("%s %s: %s · %s", c.Op, c.Target.Kind, c.Customer, c.Label)
		for _, f := range c.Fields {
			line += fmt.Sprintf(", %s %s -> %s", f.Field, cmp.Or(f.From.String(), "nothing"), cmp.Or(f.To.String(), "nothing"))
		}
		lines[c.ID] = line
	}
	return lines
}

// runFlow executes a flow with progress on standard error.
func (a *app) runFlow(ctx context.Context, s *session, flow engine.Flow, opts engine.Options) (engine.Result, error) {
	p := newProgress(a.stderr)
	s.engine.Progress = p.tell
	result, err := s.engine.Run(ctx, flow, opts)
	p.done()
	return result, err
}

// withFlows opens a session and does something for each chosen flow.
func (a *app) withFlows(ctx context.Context, names []string, do func(context.Context, *session, engine.Flow) error) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	flows, err := s.pickFlows(names)
	if err != nil {
		return err
	}
	if len(flows) == 1 {
		return do(ctx, s, flows[0])
	}
	var worst error
	for _, flow := range flows {
		err := do(ctx, s, flow)
		switch {
		case ctx.Err() != nil:
			return err
		case errors.Is(err, errHeld):
			worst = cmp.Or(worst, err)
		case errors.Is(err, errSaid):
			worst = err
		case err != nil: // the other flows may be well
			a.say("trueup: flow %s: %s", flow.Name, err)
			worst = errSaid
		}
	}
	return worst
}

// sayNext says how what a plan proposes is done.
func (a *app) sayNext(flow engine.Flow, result engine.Result) {
	if !result.Plan.Empty() && flow.Mode != engine.ModeObserve {
		a.say("\nto do this: trueup apply %s", result.Digest)
	}
}

// verdict is how a run ends the program. What was not read or not done outweighs what is held.
func (a *app) verdict(result engine.Result) error {
	switch {
	case result.Run.State == state.RunPartial:
		a.say("partial: %s", result.Run.Reason)
		return errSaid
	case len(result.Plan.Held) > 0:
		return errHeld
	}
	return nil
}

// outcomeJSON is what apply and run --once print with --json.
type outcomeJSON struct {
	Run     string        `json:"run"`
	Flow    string        `json:"flow"`
	State   string        `json:"state"`
	Reason  string        `json:"reason"`
	Digest  string        `json:"digest"`
	Done    int           `json:"done"`
	Failed  int           `json:"failed"`
	Unknown int           `json:"unknown"`
	Skipped int           `json:"skipped"`
	Held    int           `json:"held"`
	Failure []failureJSON `json:"failures"`
	Kept    []keptJSON    `json:"scheduled_again"`
}

// keptJSON is what a vendor deleted with a change inside the term, and was scheduled again with it.
type keptJSON struct {
	Change   string             `json:"change"`
	Customer string             `json:"customer"`
	Label    string             `json:"label"`
	Fields   []plan.FieldChange `json:"fields"`
}

type failureJSON struct {
	Change   string `json:"change"`
	Customer string `json:"customer"`
	Label    string `json:"label"`
	Class    string `json:"class"`
	Error    string `json:"error"`
	Tried    bool   `json:"tried"`
}

func order(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

func (a *app) showOutcome(result engine.Result) error {
	o := result.Outcome
	out := outcomeJSON{Run: result.Run.ID, Flow: result.Plan.Flow, State: string(result.Run.State), Reason: result.Run.Reason, Digest: result.Digest, Done: o.Done,
		Failed: o.Failed, Unknown: o.Unknown, Skipped: o.Skipped, Held: len(result.Plan.Held), Failure: []failureJSON{}, Kept: []keptJSON{}}
	// What was tried comes first: it is why the rest was not.
	slices.SortFunc(o.Failures, func(x, y apply.Failure) int {
		return cmp.Or(order(x.Skipped, y.Skipped), cmp.Compare(x.Change.Customer, y.Change.Customer), cmp.Compare(x.Change.Label, y.Change.Label))
	})
	for _, f := range o.Failures {
		out.Failure = append(out.Failure, failureJSON{f.Change.ID, f.Change.Customer, f.Change.Label, string(f.Class), f.Err.Error(), !f.Skipped})
	}
	for _, c := range o.Kept {
		out.Kept = append(out.Kept, keptJSON{c.ID, c.Customer, c.Label, c.Keeps})
	}
	err := a.show(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d done, %d failed, %d without a known outcome, %d not tried, %d held\n", out.State, out.Done, out.Failed, out.Unknown, out.Skipped, out.Held)
		for i, f := range out.Failure {
			if i == shortList {
				fmt.Fprintf(w, "  … and %d more; see trueup inbox\n", len(out.Failure)-i)
				break
			}
			fmt.Fprintf(w, "  %s · %s: %s\n", f.Customer, f.Label, f.Error)
		}
		for _, k := range out.Kept {
			for _, f := range k.Fields {
				fmt.Fprintf(w, "  %s · %s: %s stays %s; the vendor had deleted it with the change, and it was scheduled again\n", k.Customer, k.Label, f.Field, f.To)
			}
		}
	})
	if err != nil {
		return err
	}
	return a.verdict(result)
}
