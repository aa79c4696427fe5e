package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

type wishJSON struct {
	Flow     string    `json:"flow"`
	Company  string    `json:"company"`
	Name     string    `json:"name"`
	Domain   string    `json:"domain,omitempty"`
	Customer string    `json:"customer,omitempty"` // the vendor customer it is linked with; empty while it waits
	Person   string    `json:"person"`
	At       time.Time `json:"at"`
}

func (a *app) customersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "customers [FLOW]",
		Short: "List the PSA companies that a person wants to become customers at the vendor",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, names []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			wishes, err := s.wishes(c.Context(), names)
			if err != nil {
				return err
			}
			return a.show(wishes, func(w io.Writer) {
				rows := [][]string{{"FLOW", "COMPANY", "NAME", "DOMAIN", "CUSTOMER", "ASKED BY"}}
				for _, wish := range wishes {
					customer := wish.Customer
					if customer == "" {
						customer = "waits"
					}
					rows = append(rows, []string{wish.Flow, wish.Company, wish.Name, wish.Domain, customer, wish.Person})
				}
				table(w, rows)
			})
		},
	}
	c.AddCommand(a.customersAdd(), a.customersDrop(), a.customersPassword())
	return c
}

// wishes are those of some flows, with what is known of the companies.
func (s *session) wishes(ctx context.Context, names []string) ([]wishJSON, error) {
	flows, err := s.pickFlows(names)
	if err != nil {
		return nil, err
	}
	all := []wishJSON{}
	for _, flow := range flows {
		found, err := s.store.Wishes(ctx, flow.Name)
		if err != nil {
			return nil, err
		}
		linked := map[string]string{}
		err = s.store.Links(ctx, flow.Name, model.KindCustomer, func(l state.Link) error {
			linked[l.PSA.ID] = l.Vendor.ID
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, wish := range found {
			name, _, err := s.company(ctx, flow.PSA, wish.Company)
			if err != nil {
				return nil, err
			}
			all = append(all, wishJSON{wish.Flow, wish.Company, name, wish.Domain, linked[wish.Company], wish.Person, wish.At})
		}
	}
	return all, nil
}

// company is the name of a stored PSA company.
func (s *session) company(ctx context.Context, psa, id string) (name string, known bool, err error) {
	account := s.engine.Accounts[psa]
	kind, _ := account.NativeKind(model.KindCustomer)
	stored, known, err := s.store.Record(ctx, psa, connectors.Ref{Kind: kind.Name, ID: id})
	if err != nil || !known || !stored.Gone.IsZero() {
		return "", false, err
	}
	rec, _, _ := account.Mapping.ToModel(model.KindCustomer, stored.Record)
	return rec.Text("name"), true, nil
}

func (a *app) customersAdd() *cobra.Command {
	var domain string
	c := &cobra.Command{
		Use:   "add FLOW COMPANY",
		Short: "Ask for a PSA company to become a customer at the vendor",
		Long: `add puts a company, by its id in the PSA, on the list of those that become customers at the vendor of a flow. Nothing is typed again: the next
plan shows what would be sent, with the company's name, address, tax number and main contact. A new customer is a new tenant and cannot be
taken back, so it is held until somebody approves that plan (trueup approve DIGEST).

A company that has a customer already, or one that looks like it, is never made a second time: the plan says which, and how to link it. Without
--domain the new tenant is named after the company's web site, or its name.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			if domain != "" && strings.ContainsFunc(domain, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
				return usageError{fmt.Errorf("--domain %s is not a name for a tenant: lower case letters and digits only", domain)}
			}
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			flows, err := s.pickFlows(given[:1])
			if err != nil {
				return err
			}
			flow, company := flows[0], given[1]
			name, known, err := s.company(c.Context(), flow.PSA, company)
			if err != nil {
				return err
			}
			if !known {
				return fmt.Errorf("%s has no company %s that was read; look at its id in the PSA, or read it first: trueup discover %s", flow.PSA, company, flow.PSA)
			}
			err = s.store.Links(c.Context(), flow.Name, model.KindCustomer, func(l state.Link) error {
				if l.PSA.ID == company {
					return fmt.Errorf("company %s (%s) is linked with customer %s already; a second one is not made", company, name, l.Vendor.ID)
				}
				return nil
			})
			if err != nil {
				return err
			}
			who, err := a.person()
			if err != nil {
				return err
			}
			if _, err := s.store.PutWish(c.Context(), state.Wish{Flow: flow.Name, Company: company, Domain: domain, Person: who}); err != nil {
				return err
			}
			a.say("%s (%s) is to become a customer at %s; next: trueup plan %s, then approve what it shows", name, company, flow.Vendor, flow.Name)
			return nil
		},
	}
	c.Flags().StringVar(&domain, "domain", "", "name of the new tenant, such as harbourdental")
	return c
}

func (a *app) customersDrop() *cobra.Command {
	return &cobra.Command{
		Use:   "drop FLOW COMPANY",
		Short: "Take back what add asked for; nothing is changed on either side",
		Args:  args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.store.DropWish(c.Context(), given[0], given[1]); err != nil {
				return err
			}
			a.say("company %s is not asked for any more", given[1])
			return nil
		},
	}
}

func (a *app) customersPassword() *cobra.Command {
	return &cobra.Command{
		Use:   "password ACCOUNT CUSTOMER",
		Short: "Show the first administrator's password of a customer that trueup made, once",
		Long: `password shows what the vendor told of a new customer's first administrator: the user name and the password. It was kept in the sealed vault and
nowhere else; showing it takes it out of there. Sign in with it, or set another one, before it is forgotten.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if _, ok := s.engine.Accounts[given[0]]; !ok {
				return usageError{fmt.Errorf("no account %q in %s (%s)", given[0], s.File, diag.DidYouMean(given[0], slices.Collect(maps.Keys(s.engine.Accounts))))}
			}
			key := connectors.PasswordKey(given[0], given[1])
			secret, kept, err := s.Vault.Get(c.Context(), key)
			if err != nil {
				return err
			}
			if !kept || secret.Reveal() == "" {
				return fmt.Errorf("no password of customer %s is kept: it was shown already, or trueup did not make this customer; set a new one at the vendor", given[1])
			}
			// Taken out before it is shown: what cannot be taken out would be shown twice.
			if err := s.Vault.Put(c.Context(), key, connectors.Secret{}); err != nil {
				return err
			}
			user, password, _ := strings.Cut(secret.Reveal(), " ")
			return a.show(map[string]string{"user": user, "password": password}, func(w io.Writer) { fmt.Fprintf(w, "user      %s\npassword  %s\n", user, password) })
		},
	}
}
