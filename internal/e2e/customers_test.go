package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// bothWays are rules under which customers come to be on either side.
func bothWays(fields string) string {
	return strings.Replace(rules, "  missing: {psa: propose, vendor: ignore}\n", "  missing: {psa: create, vendor: create}\n  new: {types: [Customer]}\n"+fields, 1) + loose
}

// harbour is a company that is to become a customer.
func (o *office) harbour() int {
	id := o.psa.AddCompany(connectwisetest.Company{Identifier: "harbour", Name: "Harbour Dental & Sons Ltd", Types: []string{"Customer"}, AddressLine1: "4 Quay Road", City: "Bath", Zip: "BA1 0AA",
		Country: "United Kingdom", PhoneNumber: "0117 4960000", Website: "https://www.harbourdental.example/", TaxIdentifier: "GB 123", LastUpdated: time.Now()})
	o.psa.AddContact(connectwisetest.Contact{Company: id, FirstName: "Ana", LastName: "Rewi", Email: "ana@harbourdental.example", Phone: "0117 4960001", Default: true, LastUpdated: time.Now()})
	return id
}

// approve releases what a plan holds.
func (o *office) approve(p plan.Plan) {
	o.t.Helper()
	released, ok := plan.Release(p)
	if !ok {
		o.t.Fatalf("nothing can be released:\n%s", text(p))
	}
	_, err := o.Store.Decide(o.t.Context(), state.Decision{Digest: released.Digest(), Flow: o.flow.Name, Person: "ann@desk", Verdict: state.Approved, Expires: o.Now().Add(engine.ApprovedFor)})
	if err != nil {
		o.t.Fatal(err)
	}
}

// A company of the PSA becomes a customer without a word typed again; its password is in the vault and nowhere else.
func TestCompanyBecomesACustomer(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: bothWays("")}, func(t *testing.T, o *office) {
		core, logs := observer.New(zap.DebugLevel)
		o.Log = zap.New(core)
		company := o.harbour()
		waiting := o.settled()
		if len(waiting.Plan.Held) == 0 || waiting.Plan.Held[0].Reason != plan.NewCustomerHeld || !strings.Contains(text(waiting.Plan), `tenant_domain "harbourdental"`) {
			t.Fatalf("the plan does not show it:\n%s", text(waiting.Plan))
		}
		o.approve(waiting.Plan)
		done := o.sync(engine.Options{})
		if done.Outcome.Done != 2 {
			t.Fatalf("done %d: %+v", done.Outcome.Done, done.Outcome.Failures)
		}
		made := o.vendor.Dump().Customers[2]
		address := partnercentertest.Address{Line1: "4 Quay Road", City: "Bath", PostalCode: "BA1 0AA", Country: "GB", Phone: "0117 4960000"}
		if made.Name != "Harbour Dental & Sons Ltd" || made.Domain != "harbourdental.onmicrosoft.com" || made.Address != address || made.Email != "ana@harbourdental.example" ||
			made.Billing.FirstName != "Ana" || made.Billing.LastName != "Rewi" || made.Billing.Culture != "en-GB" || made.Registration != "" {
			t.Errorf("made %+v, %+v", made, made.Billing)
		}
		if kept := o.psa.Record("company", company)["custom.Vendor Tenant Ids"]; kept != made.ID {
			t.Errorf("the company keeps %v, want %s", kept, made.ID)
		}
		o.settled()

		password := o.vendor.Passwords()[0]
		secret, ok, err := o.vault.Get(t.Context(), connectors.PasswordKey("microsoft", made.ID))
		if err != nil || !ok || !strings.HasSuffix(secret.Reveal(), password) {
			t.Errorf("the vault keeps the password: %t, %v", ok, err)
		}
		var all bytes.Buffer
		if _, err := o.Store.ExportJournal(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		for _, entry := range logs.All() {
			fmt.Fprintln(&all, entry.Message, entry.ContextMap())
		}
		fmt.Fprintln(&all, text(done.Plan), text(waiting.Plan))
		err = o.Store.Records(t.Context(), "microsoft", "customer", state.RecordFilter{}, func(s state.Stored) error {
			fmt.Fprintln(&all, s)
			return nil
		})
		if err != nil || all.Len() < 1000 {
			t.Fatalf("%d bytes to look through, %v", all.Len(), err)
		}
		if strings.Contains(all.String(), password) {
			t.Error("the password stands in the journal, the log, the plan or the state")
		}
	})
}

// The reply to the creation is lost, and lists do not show the new customer for a while.
func TestLostReplyOfANewCustomerMakesOne(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"lost_reply", "error_after_commit", "late_customer"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 2, flow: bothWays("")}, func(t *testing.T, o *office) {
				company := o.harbour()
				o.approve(o.settled().Plan)
				value := "9" // more often than a request is repeated
				if fault == "late_customer" {
					value = "2"
				}
				if err := o.vendor.Misbehave(fault, value); err != nil {
					t.Fatal(err)
				}
				o.sync(engine.Options{})
				o.vendor.Behave(fault)
				o.restart()
				for range 6 {
					o.sync(engine.Options{Sweep: true})
				}
				if n := len(o.vendor.Dump().Customers); n != 3 {
					t.Fatalf("%d customers, want 3", n)
				}
				if kept := o.psa.Record("company", company)["custom.Vendor Tenant Ids"]; kept != o.vendor.Dump().Customers[2].ID {
					t.Errorf("the company keeps %v", kept)
				}
				o.settled()
			})
		})
	}
}

// A tenant that is nobody's customer has the domain: it is asked for a relationship, and no second tenant is made.
func TestTakenDomainProposesARelationship(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: bothWays("")}, func(t *testing.T, o *office) {
		o.harbour()
		o.vendor.TakeDomain("harbourdental.onmicrosoft.com")
		result := o.settled()
		if len(result.Plan.Held) != 1 || result.Plan.Held[0].Reason != plan.NotCreatable || !strings.Contains(result.Plan.Held[0].Next, "reseller relationship at https://") {
			t.Errorf("held %+v", result.Plan.Held)
		}
	})
}

// A new tenant gets its company, with a site and a contact, an agreement and its lines; killed at any step of it, one of each.
func TestNewTenantKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for step := range 24 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 1, flow: bothWays("")}, func(t *testing.T, o *office) {
				tenant := o.vendor.AddCustomer(partnercentertest.Customer{Name: "Kea & Co Limited", Domain: "kea.onmicrosoft.com", Email: "tui@kea.example",
					Address: partnercentertest.Address{Line1: "9 Hill Road", City: "Leeds", PostalCode: "LS1", Country: "GB"}}).ID
				if err := o.vendor.EditBilling(tenant, func(b *partnercentertest.Billing) { b.FirstName, b.LastName = "Tui", "Kahu" }); err != nil {
					t.Fatal(err)
				}
				g := goods[0]
				o.vendor.AddSubscription(partnercentertest.Subscription{Customer: tenant, OfferID: g.product + ":" + g.sku + ":CFQ7TTC0TRUE", OfferName: g.name, Quantity: 3, AutoRenew: true, Term: g.term, BillingCycle: "monthly"})
				o.Journal = &mortal{Store: o.Store, n: step + 1, die: func() {}}
				if _, err := o.run(t.Context(), engine.Options{Apply: true, Sweep: true}); step < 16 && !errors.Is(err, errDied) {
					t.Fatalf("step %d: %v, want a death", step, err)
				}
				o.restart()
				for range 3 {
					o.sync(engine.Options{})
				}
				var companies []int
				for _, id := range o.psa.IDs("company") {
					if o.psa.Record("company", id)["name"] == "Kea & Co Limited" {
						companies = append(companies, id)
					}
				}
				if len(companies) != 1 || len(o.psa.IDs("contact")) != 2 || len(o.psa.IDs("agreement")) != 2 || len(o.psa.IDs("addition")) != 3 {
					t.Fatalf("companies %v, contacts %v, agreements %v, lines %v", companies, o.psa.IDs("contact"), o.psa.IDs("agreement"), o.psa.IDs("addition"))
				}
				company, contact := o.psa.Record("company", companies[0]), o.psa.Record("contact", o.psa.IDs("contact")[1])
				if company["custom.Vendor Tenant Ids"] != tenant || company["addressLine1"] != "9 Hill Road" || fmt.Sprint(company["country"]) == "" || company["site"] == nil {
					t.Errorf("company %v", company)
				}
				if contact["firstName"] != "Tui" || contact["lastName"] != "Kahu" || contact["defaultFlag"] != true || !strings.Contains(fmt.Sprint(contact["communicationItems"]), "tui@kea.example") {
					t.Errorf("contact %v", contact)
				}
				o.settled()
			})
		})
	}
}

const ownedBy = "  fields: {name: {owner: OWNER}, billing_address: {owner: OWNER}, primary_contact: {owner: OWNER}}\n"

// Name, address and main contact are kept current in the direction of their owner.
func TestCustomerFieldsFollowTheirOwner(t *testing.T) {
	t.Parallel()
	fill := func(o *office) {
		o.addCustomer(0, "", "")
		p := o.pairs[0]
		err := errors.Join(
			o.vendor.EditCustomer(p.tenant, func(c *partnercentertest.Customer) {
				c.Email, c.Address = "ada@example.com", partnercentertest.Address{Line1: "1 Mill Lane", City: "Leeds", PostalCode: "LS1 1AA", Country: "GB", Phone: "0113 496 0000"}
			}),
			o.vendor.EditBilling(p.tenant, func(b *partnercentertest.Billing) { b.FirstName, b.LastName = "Ada", "Customer 00" }),
			o.psa.Edit("company", p.company, "jdoe", map[string]any{"addressLine1": "1 mill lane", "city": "LEEDS", "zip": "LS11AA"}),
			o.psa.Edit("contact", o.psa.IDs("contact")[0], "jdoe", map[string]any{"communicationItems": []any{map[string]any{"type": map[string]any{"id": 1}, "value": "ada@example.com", "communicationType": "Email", "defaultFlag": true},
				map[string]any{"type": map[string]any{"id": 2}, "value": "01134960000", "communicationType": "Phone", "defaultFlag": true}}}),
		)
		if err != nil {
			o.t.Fatal(err)
		}
	}
	t.Run("the PSA", func(t *testing.T) {
		t.Parallel()
		inOffice(t, plot{fill: fill, flow: bothWays(strings.ReplaceAll(ownedBy, "OWNER", "psa"))}, func(t *testing.T, o *office) {
			p := o.pairs[0]
			o.settled() // spellings are no edits
			err := errors.Join(
				o.psa.Edit("company", p.company, "jdoe", map[string]any{"name": "Customer Zero & Sons", "addressLine1": "2 Mill Lane", "addressLine2": "Floor 3"}),
				o.psa.Edit("contact", o.psa.IDs("contact")[0], "jdoe", map[string]any{"lastName": "Baker"}))
			if err != nil {
				t.Fatal(err)
			}
			o.sync(engine.Options{})
			got := o.vendor.Dump().Customers[0]
			if got.Name != "Customer 00" || got.Billing.CompanyName != "Customer Zero & Sons" || got.Billing.Address.Line1 != "2 Mill Lane" || got.Billing.Address.Line2 != "Floor 3" ||
				got.Billing.Address.PostalCode != "LS1 1AA" || got.Billing.LastName != "Baker" || got.Billing.Email != "ada@example.com" || got.Billing.Address.Phone != "0113 496 0000" {
				t.Errorf("%+v, %+v", got, got.Billing)
			}
			if n := len(o.toVendor.take()); n != 2 {
				t.Errorf("%d writes, want one for the customer and one for the contact", n)
			}
			o.settled()
			// An edit in the vendor's pages is told, and stays.
			if err := o.vendor.EditBilling(p.tenant, func(b *partnercentertest.Billing) { b.Address.City = "York" }); err != nil {
				t.Fatal(err)
			}
			told := o.settled()
			if len(told.Plan.Findings) != 1 || told.Plan.Findings[0].Kind != plan.ForeignEdit {
				t.Errorf("findings %+v", told.Plan.Findings)
			}
		})
	})
	t.Run("the vendor", func(t *testing.T) {
		t.Parallel()
		inOffice(t, plot{fill: fill, flow: bothWays(strings.ReplaceAll(ownedBy, "OWNER", "vendor"))}, func(t *testing.T, o *office) {
			p := o.pairs[0]
			o.sync(engine.Options{}) // the PSA had no country and no telephone
			o.settled()
			err := o.vendor.EditBilling(p.tenant, func(b *partnercentertest.Billing) {
				b.Address.Line1, b.Email = "7 New Street", "accounts@example.com"
			})
			if err != nil {
				t.Fatal(err)
			}
			o.sync(engine.Options{})
			company, contact := o.psa.Record("company", p.company), o.psa.Record("contact", o.psa.IDs("contact")[0])
			if company["addressLine1"] != "7 New Street" || !strings.Contains(fmt.Sprint(contact["communicationItems"]), "accounts@example.com") {
				t.Errorf("company %v, contact %v", company, contact)
			}
			o.settled()
		})
	})
}

// Companies are merged and renamed in the PSA's screens, and customers at the vendor: their links and lines stay.
func TestMergedAndRenamed(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 3, flow: bothWays("")}, func(t *testing.T, o *office) {
		from, into := o.pairs[0], o.pairs[2]
		lines := len(o.psa.IDs("addition"))
		if err := errors.Join(
			o.psa.Merge(from.company, into.company),
			o.psa.Edit("company", into.company, "jdoe", map[string]any{"name": "Customers & Friends"}),
			o.vendor.EditCustomer(from.tenant, func(c *partnercentertest.Customer) { c.Name = "CUSTOMER 00 LIMITED" })); err != nil {
			t.Fatal(err)
		}
		moved := o.sync(engine.Options{Sweep: true})
		kinds := map[plan.Reason]bool{}
		for _, f := range moved.Plan.Findings {
			kinds[f.Kind] = true
		}
		if !kinds[plan.CompanyMoved] {
			t.Errorf("nothing was told:\n%s", text(moved.Plan))
		}
		o.sync(engine.Options{})
		if got := o.links(t, model.KindCustomer)[from.tenant]; got != fmt.Sprint(into.company) {
			t.Errorf("the tenant is linked with company %s, want %d", got, into.company)
		}
		kept := fmt.Sprint(o.psa.Record("company", into.company)["custom.Vendor Tenant Ids"])
		if !strings.Contains(kept, from.tenant) || !strings.Contains(kept, into.tenant) {
			t.Errorf("the company keeps %s", kept)
		}
		o.bill(from, seats+1)
		o.sync(engine.Options{})
		if got := o.bought(from).Quantity; got != seats+1 {
			t.Errorf("the line of the merged company buys %d", got)
		}
		if n := len(o.psa.IDs("addition")); n != lines {
			t.Errorf("%d lines, want %d", n, lines)
		}
		o.settled()
	})
}
