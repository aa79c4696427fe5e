package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// wordRenewWith is the decision to renew with another number of seats; the other words are those of the plan.
const wordRenewWith = "renew-with"

var endWords = []string{plan.EndRenew, wordRenewWith, plan.EndCancel, plan.EndExtend}

func (a *app) renewalsCommand() *cobra.Command {
	var within int
	var undecided, everything bool
	c := &cobra.Command{
		Use:   "renewals [FLOW]",
		Short: "List the terms that end soon, what was decided about them, and the price of silence",
		Long: `renewals lists the ends of the subscriptions' terms, the nearest first: what follows, who said so, until when it can be decided, and what
follows if nobody does. It covers every subscription that is charged for, on a contract line or not. It reads what was read last and asks no
system; the last moment to decide is shown in the time zone of trueup.yaml. Decide with trueup renewals decide.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, names []string) error {
			if within < 1 {
				return usageError{fmt.Errorf("--within %d is no number of days", within)}
			}
			days := within
			if everything {
				days = 0
			}
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			flows, err := s.pickFlows(names)
			if err != nil {
				return err
			}
			all := []engine.Renewal{}
			for _, flow := range flows {
				found, err := s.engine.Renewals(c.Context(), flow, days)
				if err != nil {
					return err
				}
				all = append(all, found...)
			}
			open := len(all)
			if all = slices.DeleteFunc(all, func(r engine.Renewal) bool { return undecided && !r.Undecided() }); undecided {
				open = len(all)
			} else {
				open -= len(slices.DeleteFunc(slices.Clone(all), engine.Renewal.Undecided))
			}
			if err := a.show(all, func(w io.Writer) { writeRenewals(w, all, s.Timezone) }); err != nil {
				return err
			}
			if open > 0 {
				a.say("%d of these ends are not decided; say what follows: trueup renewals decide SUBSCRIPTION %s", open, strings.Join(endWords, "|"))
			}
			return nil
		},
	}
	c.Flags().IntVar(&within, "within", 90, "days ahead to look")
	c.Flags().BoolVar(&everything, "all", false, "every term, however far its end")
	c.Flags().BoolVar(&undecided, "undecided", false, "only those that nobody decided")
	c.AddCommand(a.decideCommand())
	return c
}

func writeRenewals(w io.Writer, all []engine.Renewal, zone *time.Location) {
	rows := [][]string{{"TERM ENDS", "DECIDE BEFORE", "CUSTOMER", "SUBSCRIPTION", "WHAT", "SEATS", "DECISION", "WITHOUT A DECISION"}}
	for _, r := range all {
		decision, silence := "-", ""
		if !r.Undecided() {
			decision = decisionText(r)
		} else {
			silence = silenceText(r)
		}
		rows = append(rows, []string{r.End.String(), r.DecideBy.In(zone).Format("2006-01-02 15:04 MST"), r.Customer, r.Subscription, r.Label, r.Seats.String(), decision, silence})
	}
	table(w, rows)
}

func decisionText(r engine.Renewal) string {
	text := r.Decision
	if r.NextSeats != "" {
		text += " with " + r.NextSeats
	}
	if r.NextProduct != "" {
		text += " as " + r.NextProduct
	}
	if !r.Told {
		text += ", not told yet"
	}
	return text + " (" + r.By + ")"
}

func silenceText(r engine.Renewal) string {
	price := "no price known"
	if r.Silence.Price.Sign() > 0 {
		price = r.Silence.Price.Round(model.MinorDigits(r.Silence.Price.Currency())).Display()
	}
	if r.Silence.Extends {
		return "may go on month by month, up to " + price + " a month"
	}
	return "renews, " + price + " for the term"
}

func (a *app) decideCommand() *cobra.Command {
	var flowName, customer, product, term, billing, reason string
	c := &cobra.Command{
		Use:   "decide SUBSCRIPTION renew|renew-with SEATS|cancel|extend",
		Short: "Say what follows the present term of a subscription",
		Long: `decide keeps what a person says about the end of a subscription's present term. The next plan tells it to the vendor, through the flow's
guards and the journal; with mode: write that is the next run. A later decision about the same term replaces this one.

  renew              with as many seats as there are when it is told, of the same product
  renew-with SEATS   with another number of seats
  cancel             the vendor is told explicitly; auto-renewal that is merely off cancels nothing
  extend             goes on month by month, dearer, until somebody decides otherwise

--product renews as another product, named as in the price list; --term and --billing keep the product and change its term.`,
		Args: args(cobra.RangeArgs(2, 3)),
		RunE: func(c *cobra.Command, given []string) error {
			d := state.EndDecision{Subscription: given[0], Action: given[1], Product: product, Reason: reason}
			if err := readDecision(&d, given[1:], product != "" || term != "" || billing != ""); err != nil {
				return usageError{err}
			}
			if product != "" && (term != "" || billing != "") {
				return usageError{errors.New("--product names a term and a billing cycle already; leave --term and --billing out")}
			}
			return a.decideEnd(c.Context(), flowName, customer, term, billing, d)
		},
	}
	c.Flags().StringVar(&flowName, "flow", "", "flow whose vendor has the subscription; needed only where there are several")
	c.Flags().StringVar(&customer, "customer", "", "vendor customer, where two have a subscription of this id")
	c.Flags().StringVar(&product, "product", "", "product key to renew as")
	c.Flags().StringVar(&term, "term", "", "term to renew for: P1M, P1Y or P3Y")
	c.Flags().StringVar(&billing, "billing", "", "billing cycle to renew with: monthly, annual or triennial")
	c.Flags().StringVar(&reason, "reason", "", "why, for those who ask later")
	return c
}

// readDecision understands the words of a decision.
func readDecision(d *state.EndDecision, words []string, other bool) error {
	switch {
	case !slices.Contains(endWords, words[0]):
		return fmt.Errorf("unknown decision %q (%s)", words[0], diag.DidYouMean(words[0], endWords))
	case words[0] == wordRenewWith && len(words) < 2:
		return errors.New("renew-with needs the number of seats: renew-with 12")
	case words[0] != wordRenewWith && len(words) > 1:
		return fmt.Errorf("%s takes no %q; to renew with another number of seats write renew-with %[2]s", words[0], words[1])
	case other && words[0] != plan.EndRenew && words[0] != wordRenewWith:
		return fmt.Errorf("%s goes with no product or term; they are for renew and renew-with", words[0])
	}
	if words[0] != wordRenewWith {
		return nil
	}
	seats, err := model.ParseQuantity(words[1])
	if err != nil || !seats.Whole() || seats.Sign() <= 0 {
		return fmt.Errorf("%q is not a whole number of seats above zero; to have none, write cancel", words[1])
	}
	d.Action, d.Seats = plan.EndRenew, seats.String()
	return nil
}

// decideEnd keeps a decision and says what becomes of it.
func (a *app) decideEnd(ctx context.Context, flowName, customer, term, billing string, d state.EndDecision) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var names []string
	if flowName != "" {
		names = []string{flowName}
	}
	flows, err := s.pickFlows(names)
	if err != nil {
		return err
	}
	if d.Person, err = a.person(); err != nil {
		return err
	}
	d.Customer = customer
	flow, deciding, err := s.flowOf(ctx, flows, customer, d.Subscription)
	if err != nil {
		return err
	}
	if now, ok := deciding.Term(customer, d.Subscription); ok && (term != "" || billing != "") {
		if d.Product, err = otherTerm(now.Product, term, billing); err != nil {
			return usageError{err}
		}
	}
	d, r, err := deciding.End(ctx, d)
	if errors.Is(err, engine.ErrNoTerm) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	r.Decision, r.NextSeats, r.NextProduct, r.Told, r.By = d.Action, d.Seats, d.Product, false, d.Person
	if err := a.show(r, func(w io.Writer) {
		fmt.Fprintf(w, "%s · %s, %s seats: after %s: %s\n", r.Customer, r.Label, r.Seats, r.End, decisionText(r))
	}); err != nil {
		return err
	}
	if flow.Mode == engine.ModeWrite {
		a.say("the next run of %s tells it to %s; to look at it first: trueup plan %s", flow.Name, flow.Vendor, flow.Name)
	} else {
		a.say("nothing was sent yet; next: trueup plan %s", flow.Name)
	}
	return nil
}

// flowOf finds the flow whose vendor has a subscription with a term.
func (s *session) flowOf(ctx context.Context, flows []engine.Flow, customer, id string) (flow engine.Flow, found *engine.Deciding, err error) {
	for _, f := range flows {
		deciding, err := s.engine.Decide(ctx, f)
		if err != nil {
			return flow, nil, err
		}
		_, has := deciding.Term(customer, id)
		switch {
		case has && found != nil:
			return flow, nil, usageError{fmt.Errorf("flows %s and %s both have subscription %s; name one with --flow", flow.Name, f.Name, id)}
		case has || len(flows) == 1: // the one flow says itself why it has none
			flow, found = f, deciding
		}
	}
	if found == nil {
		return flow, nil, usageError{fmt.Errorf("no flow knows a subscription %q that is charged for and has a term; see trueup renewals --all", id)}
	}
	return flow, found, nil
}

// otherTerm is a product under another term or billing cycle.
func otherTerm(key, term, billing string) (string, error) {
	parts := strings.Fields(key)
	if len(parts) != 3 {
		return "", fmt.Errorf("product %q has no term that could be changed; name another one with --product", key)
	}
	if term != "" {
		parts[1] = term
	}
	if billing != "" {
		parts[2] = billing
	}
	if _, err := model.NewTerm(parts[1], parts[2]); err != nil {
		return "", err
	}
	return strings.Join(parts, " "), nil
}
