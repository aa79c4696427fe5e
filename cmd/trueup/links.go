package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

type linkJSON struct {
	ID      string    `json:"id"`
	Flow    string    `json:"flow"`
	Kind    string    `json:"kind"`
	Label   string    `json:"label"`
	How     string    `json:"linked_by"`
	Shape   string    `json:"shape,omitempty"`         // how its seats belong together with those of others; "" for a line of its own
	Tenant  string    `json:"vendor_parent,omitempty"` // the vendor customer that a subscription is under
	Vendor  string    `json:"vendor"`
	PSA     string    `json:"psa"`
	Created time.Time `json:"created"`
}

func (a *app) linksCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "links [FLOW]",
		Short: "List what is linked with what, and by which evidence",
		Args:  args(cobra.MaximumNArgs(1)),
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
			links := []linkJSON{}
			for _, flow := range flows {
				for _, kind := range []model.Kind{model.KindCustomer, model.KindContact, model.KindLine} {
					err := s.store.Links(c.Context(), flow.Name, kind, func(l state.Link) error {
						links = append(links, linkJSON{l.ID, l.Flow, string(l.Kind), l.Label, l.How, l.Shape, l.Vendor.Parent, l.Vendor.ID, l.PSA.ID, l.Created})
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
			return a.show(links, func(w io.Writer) {
				rows := [][]string{{"LINK", "KIND", "VENDOR", "PSA", "LINKED BY", "WHAT"}}
				for _, l := range links {
					what := l.Label
					if l.Shape != "" {
						what += " (" + l.Shape + ")"
					}
					rows = append(rows, []string{l.ID, l.Kind, l.Vendor, l.PSA, l.How, what})
				}
				table(w, rows)
			})
		},
	}
	c.AddCommand(&cobra.Command{
		Use:   "add FLOW VENDOR_CUSTOMER PSA_COMPANY",
		Short: "Link a vendor customer with a PSA company by hand",
		Args:  args(cobra.ExactArgs(3)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			flows, err := s.pickFlows(given[:1])
			if err != nil {
				return err
			}
			err = s.store.Links(c.Context(), flows[0].Name, model.KindCustomer, func(l state.Link) error {
				if l.Vendor.ID == given[1] && l.PSA.ID != given[2] {
					return fmt.Errorf("customer %s is linked with company %s already; close that first with trueup links forget %s", l.Vendor.ID, l.PSA.ID, l.ID)
				}
				return nil
			})
			if err != nil {
				return err
			}
			link, err := s.engine.LinkByHand(c.Context(), flows[0], given[1], given[2])
			if err != nil {
				return err
			}
			a.say("linked as %s; the next plan shows what follows from it", link.ID)
			return nil
		},
	}, &cobra.Command{
		Use:   "forget LINK",
		Short: "Close a link; both records stay as they are",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.store.CloseLink(c.Context(), given[0]); err != nil {
				return err
			}
			a.say("closed link %s; nothing was changed on either side", given[0])
			return nil
		},
	}, &cobra.Command{
		Use:   "move OLD_FLOW NEW_FLOW",
		Short: "Give a flow's links to another one, as when it was renamed",
		Long: `move is for a flow that has another name now. Its links and what both sides looked like go on under the new name, so that the next plan is
what it would have been. OLD_FLOW must not be in the configuration any more, and NEW_FLOW must be. Nothing is changed on either side.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if _, still := s.Flow(given[0]); still {
				return usageError{fmt.Errorf("flow %s is still in %s; move is for a flow that has another name now", given[0], s.File)}
			}
			if _, err := s.pickFlows(given[1:]); err != nil {
				return err
			}
			n, err := s.store.MoveLinks(c.Context(), given[0], given[1])
			if err != nil {
				return err
			}
			a.say("moved %d links; next: trueup plan %s", n, given[1])
			return nil
		},
	})
	return c
}

type findingJSON struct {
	Key      string    `json:"key"`
	Flow     string    `json:"flow"`
	Kind     string    `json:"kind"`
	Customer string    `json:"customer"`
	Title    string    `json:"title"`
	Detail   string    `json:"detail"`
	Next     string    `json:"next"`
	Money    string    `json:"money_a_month"`
	Opened   time.Time `json:"opened"`
}

func (a *app) inboxCommand() *cobra.Command {
	var everything bool
	c := &cobra.Command{
		Use:   "inbox [FLOW]",
		Short: "List what waits for a person, the dearest first",
		Args:  args(cobra.MaximumNArgs(1)),
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
			var boxes []string
			if len(names) == 0 {
				boxes = append(boxes, daemon.Inbox)
			}
			for _, flow := range flows {
				boxes = append(boxes, flow.Name)
			}
			inbox := []findingJSON{}
			for _, box := range boxes {
				findings, err := s.store.Findings(c.Context(), true, box)
				if err != nil {
					return err
				}
				for _, f := range findings {
					inbox = append(inbox, findingJSON{f.Key, f.Flow, f.Kind, f.Customer, f.Title, f.Detail, f.Next, f.Money, f.Opened})
				}
			}
			slices.SortStableFunc(inbox, func(x, y findingJSON) int {
				return cmp.Or(-compareMoney(x.Money, y.Money), x.Opened.Compare(y.Opened), cmp.Compare(x.Key, y.Key))
			})
			return a.show(inbox, func(w io.Writer) { writeInbox(w, inbox, everything) })
		},
	}
	c.Flags().BoolVar(&everything, "all", false, "show everything, not only the first")
	return c
}

// compareMoney orders amounts; different currencies keep apart by their code, since nothing converts them.
func compareMoney(x, y string) int {
	a, errA := model.ParseMoney(x)
	b, errB := model.ParseMoney(y)
	switch {
	case errA != nil && errB != nil:
		return 0
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	if order, err := a.Cmp(b); err == nil {
		return order
	}
	return strings.Compare(b.Currency(), a.Currency())
}

func writeInbox(w io.Writer, inbox []findingJSON, everything bool) {
	if len(inbox) == 0 {
		fmt.Fprintln(w, "the inbox is empty")
		return
	}
	if !everything {
		inbox = grouped(inbox)
	}
	for i, f := range inbox {
		if i == shortList && !everything {
			fmt.Fprintf(w, "… and %d more (--all shows them)\n", len(inbox)-i)
			return
		}
		money := ""
		if m, err := model.ParseMoney(f.Money); err == nil && m.Sign() != 0 {
			money = m.Round(model.MinorDigits(m.Currency())).Display() + " a month  "
		}
		who := ""
		if f.Customer != "" {
			who = f.Customer + " · "
		}
		fmt.Fprintf(w, "%s%s%s\n    %s\n    next: %s\n", money, who, f.Title, f.Detail, f.Next)
	}
}

// grouped shows kinds of findings of which there are many as one, in the place of the dearest.
func grouped(inbox []findingJSON) (shown []findingJSON) {
	count := map[string]int{}
	totals := map[string]map[string]model.Money{}
	for _, f := range inbox {
		count[f.Kind]++
		if m, err := model.ParseMoney(f.Money); err == nil {
			if totals[f.Kind] == nil {
				totals[f.Kind] = map[string]model.Money{}
			}
			sum, err := totals[f.Kind][m.Currency()].Add(m)
			if err == nil { // the key is the currency
				totals[f.Kind][m.Currency()] = sum
			}
		}
	}
	said := map[string]bool{}
	for _, f := range inbox {
		title, next, group := plan.Grouped(plan.Reason(f.Kind), count[f.Kind])
		switch {
		case !group:
			shown = append(shown, f)
		case !said[f.Kind]:
			said[f.Kind] = true
			var parts []string
			for _, currency := range slices.Sorted(maps.Keys(totals[f.Kind])) {
				parts = append(parts, totals[f.Kind][currency].Round(model.MinorDigits(currency)).Display()+" a month")
			}
			shown = append(shown, findingJSON{Kind: f.Kind, Title: title, Detail: cmp.Or(strings.Join(parts, ", "), "no price is known"), Next: next})
		}
	}
	return shown
}

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "why ID",
		Short: "Show the chain behind the numbers of a subscription, contract line, customer or link",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			chains, err := s.engine.Why(c.Context(), s.Flows, given[0])
			if err != nil {
				return err
			}
			if len(chains) == 0 {
				return fmt.Errorf("nothing that is linked has the id %q; see trueup links, or trueup inbox for what is not linked", given[0])
			}
			return a.show(chains, func(w io.Writer) {
				for _, chain := range chains {
					writeChain(w, chain)
				}
			})
		},
	}
}

func writeChain(w io.Writer, c engine.Chain) {
	fmt.Fprintf(w, "%s\n  link %s of flow %s, since %s, by %s\n", c.Label, c.Link, c.Flow, c.Since.Local().Format(time.DateTime), c.How)
	if c.Shape != "" {
		fmt.Fprintf(w, "  %s\n", c.Shape)
	}
	for _, end := range []engine.ChainEnd{c.Vendor, c.PSA} {
		state := "read " + ago(end.Read)
		if !end.Gone.IsZero() {
			state = "gone since " + end.Gone.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "  %s: %s %s, %s, by run %s\n", end.Account, end.Kind, end.ID, state, end.Run)
	}
	for _, f := range c.Fields {
		fmt.Fprintf(w, "  %s (%s)\n", f.Field, f.Rule)
		writeValue(w, c.Vendor.Account, f.Vendor)
		writeValue(w, c.PSA.Account, f.PSA)
	}
	if len(c.History) == 0 {
		fmt.Fprintln(w, "  history: trueup never wrote either of them")
	}
	for _, h := range c.History {
		fmt.Fprintf(w, "  %s  %s %s in %s: %s\n      plan %s, run %s, journal line %d\n", h.At.Local().Format(time.DateTime), h.State, h.Op, h.Account,
			strings.Join(h.Changes, "; "), h.Plan, h.Run, h.Seq)
		if h.Note != "" && h.Note != c.Label {
			fmt.Fprintf(w, "      %s\n", h.Note)
		}
	}
}

func writeValue(w io.Writer, account string, v engine.ChainValue) {
	text := v.Now
	if text == "" {
		text = "nothing"
	}
	if v.Remembered != "" && v.Remembered != v.Now {
		text += ", last agreed " + v.Remembered
	}
	fmt.Fprintf(w, "      %s: %s\n", account, text)
	if v.Mapping != "" {
		fmt.Fprintf(w, "          from %s\n", v.Mapping)
	}
}
