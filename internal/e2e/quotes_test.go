package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

const (
	limits = `guards:
  per_change:   {cost: 5000 GBP}
  per_customer: {share: 100%}
  per_run:      {share: 100%, cost: 5000 GBP}
`
	byGuards   = limits + "quotes: {since: 2000-01-01, approve: guards}\n"
	byApproval = limits + "quotes: {since: 2000-01-01}\n"
)

// deal is an offer to the office's customer: five seats of goods[0] for 22.50 each.
type deal struct {
	*office
	offer, line int
	tenant      string
}

// offered runs a test in an office with an open offer.
func offered(t *testing.T, flow string, test func(t *testing.T, d *deal)) {
	t.Helper()
	inOffice(t, plot{customers: 1, flow: rules + flow, fill: func(o *office) {
		company := o.pairs[0].company
		contact := o.psa.AddContact(connectwisetest.Contact{Company: company, FirstName: "Bo", Email: "bo@example.com"})
		offer := o.psa.AddOpportunity(connectwisetest.Opportunity{Name: "New office", Company: company, Contact: contact})
		o.psa.AddOffered(connectwisetest.Offered{Opportunity: offer, Product: o.items[0], Quantity: "5", Price: "22.5", Cost: json.Number(goods[0].cost)})
		if err := o.vendor.EditCustomer(o.pairs[0].tenant, func(c *partnercentertest.Customer) { c.Email = "accounts@example.com" }); err != nil {
			t.Fatal(err)
		}
	}}, func(t *testing.T, o *office) {
		test(t, &deal{o, o.psa.IDs("opportunity")[0], o.psa.IDs("productItem")[0], o.pairs[0].tenant})
	})
}

// status gives the offer a status by its name.
func (d *deal) status(name string) {
	d.t.Helper()
	for _, id := range d.psa.IDs("opportunityStatus") {
		if d.psa.Record("opportunityStatus", id)["name"] == name {
			if err := d.psa.Edit("opportunity", d.offer, "jdoe", map[string]any{"status": map[string]any{"id": id}}); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

// outcome is what both systems hold of the deal.
func (d *deal) outcome() string {
	d.t.Helper()
	var said []string
	for _, o := range d.vendor.Orders() {
		said = append(said, fmt.Sprintf("ordered %d %s %s as %q", o.Quantity, o.Term, o.BillingCycle, o.FriendlyName))
		for _, id := range d.psa.IDs("addition") {
			if line := d.psa.Record("addition", id); line["custom.Vendor Subscription Id"] == o.Subscription {
				said = append(said, fmt.Sprintf("billed %v at %v for %v", line["quantity"], line["unitPrice"], line["unitCost"]))
			}
		}
	}
	if note, ok := d.psa.Record("opportunity", d.offer)["custom.Cloud Order"].(string); ok {
		said = append(said, note)
	}
	return strings.Join(said, "; ")
}

// fulfilled is the one right end.
func (d *deal) fulfilled() string {
	return fmt.Sprintf("ordered 5 P1Y monthly as %q; billed 5.0 at 22.5 for 18.564; Ordered: 5 x Microsoft 365 Business Premium, P1Y monthly",
		fmt.Sprintf("Microsoft 365 Business Premium (quote %d/%d)", d.offer, d.line))
}

func (d *deal) must(want string) {
	d.t.Helper()
	if got := d.outcome(); got != want {
		d.t.Errorf("the deal is\n  %s\nwant\n  %s", got, want)
	}
}

func TestAQuoteIsOrderedOverBothSystems(t *testing.T) {
	t.Parallel()
	offered(t, byGuards, func(t *testing.T, d *deal) {
		d.settled()
		d.must("")
		d.status("Signed")
		result := d.sync(engine.Options{})
		d.must(d.fulfilled())
		if shown := text(result.Plan); !strings.Contains(shown, "vendor cost +92.82 GBP a month") || !strings.Contains(shown, "customers' bills +112.50 GBP a month") {
			t.Errorf("the plan is not priced:\n%s", shown)
		}
		d.settled()
		links := d.links(t, model.KindQuoteLine)
		if len(links) != 1 || links[d.vendor.Orders()[0].Subscription] != strconv.Itoa(d.line) {
			t.Errorf("links: %v", links)
		}
		// Accepted again, by a hand that opened it and closed it: told, and ordered once.
		d.pass(time.Hour)
		d.status("Open")
		if got := kinds(d.settled().Plan); got != string(plan.QuoteWithdrawn) {
			t.Errorf("open again: %s", got)
		}
		d.status("Signed")
		if got := kinds(d.settled().Plan); got != string(plan.QuoteAgain) {
			t.Errorf("accepted again: %s", got)
		}
		d.must(d.fulfilled())
	})
}

func kinds(p plan.Plan) string {
	var all []string
	for _, f := range p.Findings {
		all = append(all, string(f.Kind))
	}
	return strings.Join(all, " ")
}

func TestAQuoteWaitsForApprovalOverBothSystems(t *testing.T) {
	t.Parallel()
	offered(t, byApproval, func(t *testing.T, d *deal) {
		d.status("Signed")
		d.sync(engine.Options{})
		result := d.settled()
		d.must("")
		release := plan.DocumentOf(result.Plan).Release
		if release == "" || result.Run.State != state.RunHeld {
			t.Fatalf("the run is %s, release %q:\n%s", result.Run.State, release, text(result.Plan))
		}
		if _, err := d.Store.Decide(t.Context(), state.Decision{Digest: release, Flow: d.flow.Name, Person: "ann@desk", Verdict: state.Approved, Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		d.sync(engine.Options{})
		d.must(d.fulfilled())
		d.settled()
	})
}

// Lost replies, orders that show late, and both: one order, and everything else follows without a person.
func TestALostCheckoutIsLookedFor(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][][2]string{
		"reply lost":            {{"lost_reply", "1"}},
		"error after the order": {{"error_after_commit", "1"}},
		"late":                  {{"late_orders", "14m"}},
		"lost and late":         {{"lost_reply", "4"}, {"late_orders", "14m"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offered(t, byGuards, func(t *testing.T, d *deal) {
				for _, f := range faults {
					if err := d.vendor.Misbehave(f[0], f[1]); err != nil {
						t.Fatal(err)
					}
				}
				d.status("Signed")
				waited := false
				for range 8 {
					d.pass(5 * time.Minute)
					result, err := d.run(t.Context(), engine.Options{Apply: true})
					if err != nil {
						t.Fatal(err)
					}
					waited = waited || slices.ContainsFunc(result.Plan.Held, func(h plan.Held) bool { return h.Reason == plan.InFlight && h.Change.Op == plan.OpCreate })
				}
				if late := strings.Contains(name, "late"); waited != late {
					t.Errorf("an order of unknown outcome was waited for: %t, want %t", waited, late)
				}
				d.must(d.fulfilled())
				d.settled()
			})
		})
	}
}

// What the vendor would refuse, and a price that moved, hold the order with one plain reason; once it is settled the order is placed.
func TestWhatTheVendorWouldRefuseIsHeld(t *testing.T) {
	t.Parallel()
	customer := func(change func(*partnercentertest.Customer)) func(*deal) {
		return func(d *deal) {
			if err := d.vendor.EditCustomer(d.tenant, change); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	sku := func(k partnercentertest.Product) func(*deal) {
		k.ID = goods[0].product + ":" + goods[0].sku
		return func(d *deal) { d.vendor.SetProduct(k) }
	}
	for name, tt := range map[string]struct {
		spoil, mend func(*deal)
		reason      plan.Reason
		detail      string
	}{
		"agreement": {customer(func(c *partnercentertest.Customer) { c.Agreement = "nobody" }), customer(func(c *partnercentertest.Customer) { c.Agreement = "customer" }),
			plan.AgreementMissing, "has not accepted the Microsoft Customer Agreement"},
		"contact": {customer(func(c *partnercentertest.Customer) { c.Email = "" }), customer(func(c *partnercentertest.Customer) { c.Email = "a@example.com" }),
			plan.ContactMissing, "no e-mail address"},
		"withdrawn": {sku(partnercentertest.Product{Withdrawn: true}), sku(partnercentertest.Product{}), plan.NotSold, "not sold to this customer"},
		"too many":  {sku(partnercentertest.Product{MaxSeats: 4}), sku(partnercentertest.Product{}), plan.SoldOtherwise, "the largest number sold is 4"},
		"price": {func(d *deal) { d.offerCost("17.00") }, func(d *deal) { d.offerCost("18.564") },
			plan.PriceMoved, "a seat and month costs 18.564 GBP now, and the quote reckons with 17.00 GBP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offered(t, byGuards, func(t *testing.T, d *deal) {
				tt.spoil(d)
				d.status("Signed")
				d.sync(engine.Options{})
				result := d.settled()
				if len(result.Plan.Held) != 1 || result.Plan.Held[0].Reason != tt.reason || !strings.Contains(result.Plan.Held[0].Detail, tt.detail) || result.Plan.Held[0].Next == "" {
					t.Errorf("held: %+v", result.Plan.Held)
				}
				d.must("")
				tt.mend(d)
				d.sync(engine.Options{})
				d.must(d.fulfilled())
				d.settled()
			})
		})
	}
}

func (d *deal) offerCost(cost string) {
	d.t.Helper()
	if err := d.psa.Edit("productItem", d.line, "jdoe", map[string]any{"cost": json.Number(cost)}); err != nil {
		d.t.Fatal(err)
	}
}

// Stopped between the order and the line, and started anew on the same state: the line follows, and nothing is ordered again.
func TestStoppedBetweenOrderAndLine(t *testing.T) {
	t.Parallel()
	offered(t, byGuards, func(t *testing.T, d *deal) {
		d.status("Signed")
		d.pass(5 * time.Minute)
		ctx, stop := context.WithCancel(t.Context())
		d.toVendor.onWrite = stop // a write in flight is carried to its end, and no other begins
		if _, err := d.run(ctx, engine.Options{Apply: true}); err == nil {
			t.Fatal("the run was not stopped")
		}
		d.toVendor.onWrite = nil
		if got := d.outcome(); !strings.HasPrefix(got, "ordered 5") || strings.Contains(got, "billed") {
			t.Fatalf("stopped too early or too late: %s", got)
		}
		d.restart()
		d.sync(engine.Options{})
		d.must(d.fulfilled())
		d.settled()
	})
}
