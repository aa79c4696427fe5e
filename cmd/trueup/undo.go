package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) undoCommand() *cobra.Command {
	var format string
	var everything bool
	c := &cobra.Command{
		Use:   "undo RUN",
		Short: "Show a plan that puts back what a run changed; change nothing",
		Long: `undo reads again what a run wrote to and shows a plan that puts it back, priced: a field goes back to what it was if its
record still holds what the run wrote; a line that was created is ended today. What moved on since, what the vendor does not take
back now and what cannot be put back from here is listed with the reason. Apply the plan with trueup apply DIGEST; it goes through
the same guards and the same journal as every other.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if a.json {
				format = string(plan.FormatJSON)
			}
			if known := []string{string(plan.FormatText), string(plan.FormatJSON), string(plan.FormatMarkdown)}; !slices.Contains(known, format) {
				return usageError{fmt.Errorf("unknown plan format %q (%s)", format, diag.DidYouMean(format, known))}
			}
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			run, ok, err := s.store.RunByID(c.Context(), given[0])
			switch {
			case err != nil:
				return err
			case !ok:
				return usageError{fmt.Errorf("there is no run %q; list them with trueup runs", given[0])}
			case run.Kind != state.RunFlow:
				return usageError{fmt.Errorf("run %s is a %s: it wrote nothing to any system, so there is nothing to undo", run.ID, run.Kind)}
			case run.State == state.RunInProgress:
				return fmt.Errorf("run %s is still in progress; wait for it, or ask it to stop: trueup runs stop %[1]s", run.ID)
			}
			flow, ok := s.Flow(run.Name)
			if !ok {
				return usageError{fmt.Errorf("run %s is of flow %q, which %s does not name any more", run.ID, run.Name, s.File)}
			}
			result, err := a.runFlow(c.Context(), s, flow, engine.Options{Trigger: state.TriggerManual, Undo: run.ID})
			if err != nil {
				return err
			}
			limit := shortList
			if everything {
				limit = 0
			}
			if err := plan.Render(a.stdout, result.Plan, plan.Format(format), limit); err != nil {
				return err
			}
			if !result.Plan.Empty() && flow.Mode != engine.ModeObserve {
				a.say("\nto do this: trueup apply %s", result.Digest)
			}
			return a.verdict(result)
		},
	}
	c.Flags().StringVar(&format, "format", string(plan.FormatText), "text, json or markdown")
	c.Flags().BoolVar(&everything, "all", false, "show every change, not only the first of each kind")
	return c
}

// undoneBy is the run that a saved plan puts back; "" for an ordinary plan.
func undoneBy(saved state.Plan) string {
	var document struct{ Undoes string }
	_ = json.Unmarshal(saved.Body, &document) // the store keeps nothing that is not JSON
	return document.Undoes
}
