package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) reportCommand() *cobra.Command {
	c := &cobra.Command{Use: "report", Short: "Reports for people who plan ahead"}
	c.AddCommand(a.unusedCommand())
	return c
}

func (a *app) unusedCommand() *cobra.Command {
	var decide bool
	c := &cobra.Command{
		Use:   "unused [FLOW]",
		Short: "List seats that are paid for and not in use, and the next day on which lowering saves money",
		Long: `unused compares the seats of each subscription with those given to users, the dearest difference first. The vendor takes seats back only
within its window, or when the term ends; the report names the next such day and how many seats to renew with. It reads what was read
last and asks no system. What is not counted is not called used; an account counts where it reads the seats in use, such as
assigned: read in the settings of Partner Center.

--decide keeps, for every subscription in the list that renews and that nobody decided, the decision to renew with the seats in use. The next plan
holds them, for the day on which each term ends, to be looked at and applied as any plan.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, names []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			flows, err := s.pickFlows(names)
			if err != nil {
				return err
			}
			all := engine.UnusedReport{Unused: []engine.Unused{}}
			decided := 0
			for _, flow := range flows {
				report, err := s.engine.Unused(c.Context(), flow)
				if err != nil {
					return err
				}
				if decide {
					n, err := a.decideUnused(c, s, flow, report)
					if err != nil {
						return err
					}
					if decided += n; n > 0 {
						if report, err = s.engine.Unused(c.Context(), flow); err != nil {
							return err
						}
					}
				}
				all.Unused = append(all.Unused, report.Unused...)
				all.Counted, all.Unknown = all.Counted+report.Counted, all.Unknown+report.Unknown
			}
			if err := a.show(all, func(w io.Writer) { writeUnused(w, all) }); err != nil {
				return err
			}
			if all.Unknown > 0 {
				a.say("%d of %d subscriptions are not counted: their seats in use are not known", all.Unknown, all.Unknown+all.Counted)
			}
			if decide {
				a.say("%d renewals were decided, to keep only the seats in use; look at them with trueup plan", decided)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&decide, "decide", false, "decide to renew with the seats in use")
	return c
}

// decideUnused decides, for what nobody decided, to renew with the seats in use.
func (a *app) decideUnused(c *cobra.Command, s *session, flow engine.Flow, report engine.UnusedReport) (n int, err error) {
	person, err := a.person()
	if err != nil {
		return 0, err
	}
	deciding, err := s.engine.Decide(c.Context(), flow)
	if err != nil {
		return 0, err
	}
	for _, u := range report.Unused {
		term, ok := deciding.Term(u.CustomerID, u.Subscription)
		if u.Decided || u.Renewal == "" || !ok || !term.Undecided() {
			continue
		}
		_, _, err := deciding.End(c.Context(), state.EndDecision{Customer: u.CustomerID, Subscription: u.Subscription, Action: plan.EndRenew, Seats: u.Renewal,
			Person: person, Reason: fmt.Sprintf("%s of %s seats are in use", u.Assigned, u.Seats)})
		switch {
		case errors.Is(err, engine.ErrNoTerm):
			a.say("%s", err)
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

func writeUnused(w io.Writer, report engine.UnusedReport) {
	if len(report.Unused) == 0 {
		fmt.Fprintf(w, "no unused seats among %d subscriptions\n", report.Counted)
		return
	}
	rows := [][]string{{"A MONTH", "CUSTOMER", "SUBSCRIPTION", "WHAT", "SEATS", "IN USE", "UNUSED", "SAVES FROM", "HOW"}}
	for _, u := range report.Unused {
		money := "not known"
		if u.Month.Sign() > 0 {
			money = u.Month.Round(model.MinorDigits(u.Month.Currency())).Display()
		}
		rows = append(rows, []string{money, u.Customer, u.Subscription, u.Label, u.Seats.String(), u.Assigned.String(), u.Unused.String(), u.Day.String(), howToLower(u)})
	}
	table(w, rows)
}

// howToLower is the ready plan in one line.
func howToLower(u engine.Unused) string {
	var how []string
	if u.Now.Sign() > 0 {
		until := ""
		if !u.Until.IsZero() {
			until = " before " + u.Until.Format("2006-01-02 15:04") + " UTC"
		}
		how = append(how, fmt.Sprintf("lower the line by %s%s", u.Now, until))
	}
	switch {
	case u.Decided:
		how = append(how, fmt.Sprintf("decided for %s", u.End.Add(1)))
	case u.End.IsZero():
	case u.Now.Cmp(u.Unused) >= 0:
	case u.Renewal == "":
		how = append(how, "cancel")
	default:
		how = append(how, "renew-with "+u.Renewal)
	}
	return strings.Join(how, "; ")
}
