package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) approveCommand() *cobra.Command {
	var reason string
	var lasts time.Duration
	c := &cobra.Command{
		Use:   "approve DIGEST",
		Short: "Let one plan go over the flow's limits",
		Long: `approve releases what only the limits of a flow hold (guards), for one plan and one time. The digest is the one that plan prints
under what is held; it names the whole plan with what would be let through. If anything moves, the plan has another digest and the
approval is worth nothing. What is held for any other reason stays held. Approving writes to no system: trueup apply DIGEST does what was
approved, and a flow with mode: write does it in its next run.

Beside the whole plan, inbox and tickets name a digest for each single matter: a change that is over a limit, or all changes that the
limit of one customer or of the run holds together. Approving that lets through exactly this matter, and nothing else.

Who approved, when and why is kept, and written into the journal with each change that was let through. Where the flow says
approve: {people: 2}, two different people must approve; ann@desk and ann@laptop are one. Where it says by: [ticket] only, the status
of a ticket approves and rejects, and this command is refused.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			if lasts <= 0 && c.Flags().Changed("for") {
				return usageError{fmt.Errorf("--for %s is no time in which the approval could be used", lasts)}
			}
			return a.decide(c.Context(), given[0], state.Decision{Verdict: state.Approved, Reason: reason}, lasts)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	c.Flags().DurationVar(&lasts, "for", 0, "how long the approval can be used (default: what the flow says, or 24h)")
	return c
}

func (a *app) rejectCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:   "reject DIGEST",
		Short: "Refuse to let one plan go over the flow's limits",
		Long: `reject is the opposite of approve: the plan, or the single matter, stays within the limits whatever others approve, until the same
person approves it. The line and the ticket say who rejected it.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			return a.decide(c.Context(), given[0], state.Decision{Verdict: state.Rejected, Reason: reason}, 0)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	return c
}

// decisionJSON is what approve and reject print with --json.
type decisionJSON struct {
	Digest   string      `json:"digest"`
	Flow     string      `json:"flow"`
	Verdict  string      `json:"verdict"`
	Person   string      `json:"person"`
	Reason   string      `json:"reason"`
	Expires  time.Time   `json:"expires,omitzero"`
	Approved []string    `json:"approved_by"`
	Rejected []string    `json:"rejected_by"`
	Needed   int         `json:"people_needed"`
	Lifted   []plan.Held `json:"lifted"`
}

// decide keeps what the person at the keyboard says about a plan. An approval lasts as long as it says, or as the flow says.
func (a *app) decide(ctx context.Context, digest string, d state.Decision, lasts time.Duration) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	saved, err := s.store.Plan(ctx, digest)
	if err != nil {
		return usageError{err}
	}
	var document plan.Document
	if err := json.Unmarshal(saved.Body, &document); err != nil {
		return fmt.Errorf("read plan %s from the state: %w", saved.Digest, err)
	}
	flow, ok := s.Flow(saved.Flow)
	switch {
	case !ok:
		return usageError{fmt.Errorf("plan %s is for flow %q, which %s does not name any more", saved.Digest, saved.Flow, s.File)}
	case flow.Approve.NoCLI:
		return usageError{fmt.Errorf("flow %s is approved and rejected on tickets only; set the status of the ticket, or name cli in approve.by in %s", flow.Name, flow.File)}
	case len(document.Lifted) == 0 && document.Release != "":
		return usageError{fmt.Errorf("plan %s stays within the limits; what they hold is named by %s", saved.Digest, document.Release)}
	case len(document.Lifted) == 0:
		return usageError{fmt.Errorf("plan %s goes over no limit, so there is nothing to release; what is held otherwise is settled at its cause", saved.Digest)}
	}
	if d.Person, err = a.person(); err != nil {
		return err
	}
	d.Digest, d.Flow = saved.Digest, saved.Flow
	if d.Verdict == state.Approved {
		d.Expires = time.Now().Add(cmp.Or(lasts, flow.Approve.Lasts()))
	}
	if d, err = s.store.Decide(ctx, d); err != nil {
		return err
	}
	all, err := s.store.Decisions(ctx, d.Digest)
	if err != nil {
		return err
	}
	approved, rejected := state.Standing(all, d.At)
	out := decisionJSON{d.Digest, d.Flow, string(d.Verdict), d.Person, d.Reason, d.Expires, people(approved), people(rejected), max(flow.Approvals, 1), document.Lifted}
	if err := a.show(out, func(w io.Writer) { writeDecision(w, out, document) }); err != nil {
		return err
	}
	switch missing := out.Needed - len(out.Approved); {
	case len(out.Rejected) > 0:
		a.say("it stays within the limits: rejected by %s", out.Rejected[0])
	case missing > 0:
		a.say("%d of %d people approved it; the next one says: trueup approve %s", len(out.Approved), out.Needed, out.Digest)
	case flow.Mode == engine.ModeWrite:
		a.say("the next run of %s does it; to do it now: trueup apply %s", out.Flow, out.Digest)
	default:
		a.say("to do it: trueup apply %s", out.Digest)
	}
	return nil
}

func people(decisions []state.Decision) []string {
	names := []string{}
	for _, d := range decisions {
		names = append(names, d.Person)
	}
	return names
}

func writeDecision(w io.Writer, d decisionJSON, document plan.Document) {
	until := ""
	if !d.Expires.IsZero() {
		until = ", until " + d.Expires.Local().Format(time.DateTime)
	}
	fmt.Fprintf(w, "%s by %s%s: plan %s for flow %s, %d changes, %d of them over a limit\n", d.Verdict, d.Person, until, d.Digest, d.Flow, len(document.Changes), len(d.Lifted))
	for _, m := range document.Price.Cost {
		fmt.Fprintf(w, "  vendor cost %s a month\n", m.Round(model.MinorDigits(m.Currency())).Display())
	}
	for _, m := range document.Price.Bill {
		fmt.Fprintf(w, "  customers' bills %s a month\n", m.Round(model.MinorDigits(m.Currency())).Display())
	}
	for _, h := range d.Lifted {
		fmt.Fprintf(w, "  %s · %s: %s\n      %s\n", h.Change.Customer, h.Change.Label, h.Reason.Sentence(), h.Detail)
	}
}

// person is who decides, as the machine knows them. Who works as another user by sudo is named by their own account.
func (a *app) person() (string, error) {
	who, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find out who you are, since a decision needs a name: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find out the name of this machine: %w", err)
	}
	behind, _ := a.env("SUDO_USER")
	return cmp.Or(behind, who.Username) + "@" + host, nil
}
