package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
)

// members decodes JSON with its numbers as they were written.
func members(t *testing.T, body string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// one asserts that exactly one write was sent, and returns it.
func one(t *testing.T, writes []sent) sent {
	t.Helper()
	if len(writes) != 1 {
		t.Fatalf("%d writes, wanted 1: %v", len(writes), writes)
	}
	return writes[0]
}

// same compares a body with what it should be, member by member.
func (o *office) same(what, body, want string) {
	o.t.Helper()
	if diff := cmp.Diff(members(o.t, want), members(o.t, body)); diff != "" {
		o.t.Errorf("%s (-want +sent):\n%s", what, diff)
	}
}

// A seat change in the PSA is one operation on the quantity: no price, no id, nothing else.
func TestSeatChangeInThePSAIsOneOperation(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		p := o.pairs[1]
		price := o.psa.Record("addition", p.line)["unitPrice"]
		o.buy(p, seats+3)
		o.sync(engine.Options{})
		w := one(t, o.toPSA.take())
		if want := fmt.Sprintf("/v2026_1/apis/3.0/finance/agreements/%d/additions/%d", p.agreement, p.line); w.method != "PATCH" || w.path != want {
			t.Errorf("%s %s, wanted PATCH %s", w.method, w.path, want)
		}
		o.same("the change", w.body, `[{"op": "replace", "path": "quantity", "value": 13}]`)
		if after := o.psa.Record("addition", p.line)["unitPrice"]; after != price {
			t.Errorf("the price went from %v to %v", price, after)
		}
		if n := len(o.toVendor.take()); n > 0 {
			t.Errorf("%d writes to the vendor", n)
		}
	})
}

// A seat change at the vendor is the whole resource as it was read, with another quantity: what is not sent would be lost.
func TestSeatChangeAtTheVendorIsTheWholeResource(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		p := o.pairs[0]
		next := partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "CFQ7TTC0TRUE", BillingCycle: "annual",
			Term: "P1Y", PromotionID: "39NFJQT1X13N", Quantity: 7}
		o.vendor.SetPromotion(partnercentertest.Promotion{ID: next.PromotionID})
		o.vendor.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LCHC:0002", Availability: next.AvailabilityID, Plans: []string{"P1Y monthly", "P1Y annual"}})
		if err := o.vendor.Edit(p.id, func(s *partnercentertest.Subscription) { s.Next = &next }); err != nil {
			t.Fatal(err)
		}
		o.settled()
		o.bill(p, seats+2)
		o.sync(engine.Options{})
		writes := o.toVendor.take()
		if len(writes) != 2 { // the change deletes what was scheduled for the renewal, so that is put back
			t.Fatalf("%d writes, wanted the change and the restoration: %v", len(writes), writes)
		}
		for i, w := range writes {
			if want := "/api/v1/customers/" + p.tenant + "/subscriptions/" + p.id; w.method != "PATCH" || w.path != want {
				t.Errorf("%s %s, wanted PATCH %s", w.method, w.path, want)
			}
			was, _ := members(t, w.was).(map[string]any)
			was["quantity"] = json.Number("12")
			if i == 1 {
				was["scheduledNextTermInstructions"] = members(t, writes[0].was).(map[string]any)["scheduledNextTermInstructions"]
			}
			if was["autoRenewEnabled"] != true || was["scheduledNextTermInstructions"] == nil || was["fulfilmentHint"] == nil {
				t.Fatalf("the resource lacks what this test looks at: %v", was)
			}
			if diff := cmp.Diff(any(was), members(t, w.body)); diff != "" {
				t.Errorf("write %d (-the resource with 12 seats +sent):\n%s", i+1, diff)
			}
			if !strings.Contains(w.body, `"weight":0.10`) {
				t.Errorf("write %d spells a number that nobody asked about in another way: %s", i+1, w.body)
			}
		}
		after := o.bought(p)
		if !after.AutoRenew || after.Next == nil || *after.Next != next || after.Quantity != seats+2 || after.Term != "P1Y" || after.BillingCycle != "monthly" {
			t.Errorf("the subscription is now %+v, its next term %+v", after, after.Next)
		}
		if n := len(o.toPSA.take()); n > 0 {
			t.Errorf("%d writes to the PSA", n)
		}
		o.settled()
	})
}

// What ends is cancelled on its last billed day, and nothing else about it changes.
func TestEndingALineIsOneDate(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		o.cancel(o.pairs[2])
		o.sync(engine.Options{})
		o.same("the end", one(t, o.toPSA.take()).body, `[{"op": "replace", "path": "cancelledDate", "value": "2000-01-01T00:00:00Z"}]`)
		o.settled()
	})
}

// A new subscription gets a line with exactly what bills it.
func TestNewLineHasTheExpectedMembers(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		p, g := o.pairs[0], goods[1]
		if err := o.psa.Remove("addition", o.pairs[1].line); err != nil { // its subscription is gone as well, so the product is free
			t.Fatal(err)
		}
		o.cancel(o.pairs[1])
		sub := o.vendor.AddSubscription(partnercentertest.Subscription{ID: id(3, 1), Customer: p.tenant, OfferID: g.product + ":" + g.sku + ":CFQ7TTC0TRUE",
			OfferName: g.name, Quantity: 4, AutoRenew: true, Term: g.term, BillingCycle: strings.ToLower(g.billing)})
		o.sync(engine.Options{Sweep: true})
		w := one(t, o.toPSA.take())
		if want := fmt.Sprintf("/v2026_1/apis/3.0/finance/agreements/%d/additions", p.agreement); w.method != "POST" || w.path != want {
			t.Errorf("%s %s, wanted POST %s", w.method, w.path, want)
		}
		field := o.psa.Record("addition", p.line)["customFields"].([]any)[0].(map[string]any)["id"]
		o.same("the new line", w.body, fmt.Sprintf(`{
			"product": {"id": %d}, "quantity": 4, "unitCost": 5.76, "unitPrice": 7.2, "billCustomer": "Billable",
			"effectiveDate": "2000-01-01T00:00:00Z", "invoiceDescription": %q,
			"customFields": [{"id": %v, "value": %q}]}`, o.items[1], g.name, field, sub.ID))
		o.settled()
	})
}

// What a new customer's first line needs is made in order, each thing once: the product, the agreement, the line.
func TestFirstLineOfACustomer(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 1, flow: rules + loose}, func(t *testing.T, o *office) {
		tenant := o.vendor.AddCustomer(partnercentertest.Customer{ID: id(1, 70), Name: "Rata Law"}).ID
		company := o.psa.AddCompany(connectwisetest.Company{Identifier: "rata", Name: "Rata Law", Custom: map[string]string{"Vendor Tenant Ids": tenant}})
		contact := o.psa.AddContact(connectwisetest.Contact{Company: company, FirstName: "Ada", Default: true})
		o.vendor.SetPrice(partnercentertest.Price{ProductID: "CFQ7TTC0LDPB", SkuID: "0001", ProductTitle: "Exchange Online", SkuTitle: "Exchange Online (Plan 1)",
			Term: "P1Y", BillingPlan: "Annual", UnitPrice: "38.40", ERPPrice: "48", Start: time.Now().AddDate(0, -1, 0)})
		for n := range 2 {
			o.vendor.AddSubscription(partnercentertest.Subscription{ID: id(3, n), Customer: tenant, OfferID: "CFQ7TTC0LDPB:0001:CFQ7TTC0TRUE",
				OfferName: "Exchange Online (Plan 1)", Quantity: 5 + n, Term: "P1Y", BillingCycle: "annual"})
		}
		o.sync(engine.Options{Sweep: true})
		var paths []string
		writes := o.toPSA.take()
		for _, w := range writes {
			paths = append(paths, w.method+" "+strings.TrimPrefix(w.path, "/v2026_1/apis/3.0"))
		}
		agreements := o.psa.IDs("agreement")
		agreement := agreements[len(agreements)-1]
		lines := fmt.Sprintf("POST /finance/agreements/%d/additions", agreement)
		if diff := cmp.Diff([]string{"POST /finance/agreements", "POST /procurement/catalog", lines, lines}, paths); diff != "" {
			t.Fatalf("writes (-want +sent):\n%s", diff)
		}
		types := o.psa.Record("agreement", o.pairs[0].agreement)["type"].(map[string]any)["id"]
		o.same("the agreement", writes[0].body, fmt.Sprintf(`{"company": {"id": %d}, "contact": {"id": %d}, "type": {"id": %v}, "name": "Cloud Services",
			"startDate": "2000-01-01T00:00:00Z", "noEndingDateFlag": true}`, company, contact, types))
		item := o.psa.Record("catalogItem", o.items[0])
		o.same("the product", writes[1].body, fmt.Sprintf(`{"identifier": "CFQ7TTC0LDPB:0001 P1Y annual", "description": "Exchange Online (Plan 1)",
			"customerDescription": "Exchange Online (Plan 1)", "productClass": "Agreement", "manufacturerPartNumber": "CFQ7TTC0LDPB:0001 P1Y annual",
			"vendorSku": "CFQ7TTC0LDPB:0001", "cost": 3.2, "price": 4, "subcategory": {"id": %v}, "type": {"id": %v}}`,
			item["subcategory"].(map[string]any)["id"], item["type"].(map[string]any)["id"]))
		o.settled()
	})
}
