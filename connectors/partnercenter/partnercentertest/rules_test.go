package partnercentertest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// A customer's directory counts by its own ids, adds up what was sold from anywhere, and is closed to applications and to partners without
// a right in it.
func TestSeatsInUseAreCountedByProduct(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental", InUse: []partnercentertest.InUse{{Product: "CFQ7TTC0LCHC:0002", Assigned: 23, Elsewhere: 2}}})
	a := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 14})
	b := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 6, Term: "P1M", OfferID: "CFQ7TTC0LCHC:0002:CFQ7TTC0OTHER"})
	c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 3, Status: "suspended"})
	token := c.token(nil)
	path := "/v1/customers/" + customer.ID + "/subscribedskus"
	rows, _ := c.get(path, token).json(t)["items"].([]any)
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	row := rows[0].(map[string]any)
	got := fmt.Sprint(row["activeUnits"], row["consumedUnits"], row["availableUnits"], row["suspendedUnits"], row["totalUnits"])
	if got != "22 23 -1 3 22" {
		t.Errorf("units: %s", got)
	}
	id := row["productSku"].(map[string]any)["id"]
	for _, sub := range []partnercentertest.Subscription{a, b} {
		if status := c.get("/v1/customers/"+customer.ID+"/subscriptions/"+sub.ID+"/provisioningstatus", token).json(t); !strings.EqualFold(fmt.Sprint(status["skuId"]), fmt.Sprint(id)) {
			t.Errorf("provisioned as %v, counted as %v", status["skuId"], id)
		}
	}
	if got := c.get(path, c.token(url.Values{"grant_type": {"client_credentials"}})).code(t); got != "403 900329" {
		t.Errorf("an application alone: %s", got)
	}
	if err := c.s.EditCustomer(customer.ID, func(c *partnercentertest.Customer) { c.NoDirectory = true }); err != nil {
		t.Fatal(err)
	}
	if got := c.get(path, token).code(t); got != "403 900308" {
		t.Errorf("without a right in the directory: %s", got)
	}
}

// What is scheduled must be sold today, in those numbers, and under a promotion that is open: by the service's own rules.
func TestInstructionsAreStrict(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
	c.s.SamplePrices()
	c.s.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LH18:0001", Title: "Basic", MinSeats: 2, MaxSeats: 20, Availability: "CFQ7TTC0B001"})
	c.s.SetPromotion(partnercentertest.Promotion{ID: "spring", End: clock.Now().AddDate(0, 1, 0), MaxSeats: 10})
	sub := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 14, MaxSeats: 300, AutoRenew: true})
	token := c.token(nil)
	next := func(product, sku, availability, term, cycle, promotion string, seats int) map[string]any {
		p := map[string]any{"productId": product, "skuId": sku, "availabilityId": availability, "termDuration": term, "billingCycle": cycle}
		if promotion != "" {
			p["promotionId"] = promotion
		}
		return map[string]any{"product": p, "quantity": seats}
	}
	try := func(instructions map[string]any) string {
		t.Helper()
		a := c.patch(sub, token, uuid.NewString(), c.full(sub, token, map[string]any{"scheduledNextTermInstructions": instructions}))
		if a.Status == http.StatusOK {
			return "200"
		}
		return a.code(t)
	}
	for _, tc := range []struct {
		name string
		next map[string]any
		want string
	}{
		{"as it is", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "", 14), "200"},
		{"an id of another time", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0PAST", "P1Y", "monthly", "", 14), "404 400019"},
		{"no such SKU", next("CFQ7TTC0LCHC", "0099", "CFQ7TTC0TRUE", "P1Y", "monthly", "", 14), "404 400018"},
		{"no such term", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P2Y", "monthly", "", 14), "400 900268"},
		{"no such cycle", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "weekly", "", 14), "400 900269"},
		{"a cycle longer than the term", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1M", "annual", "", 14), "400 900270"},
		{"not on the price sheet", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P3Y", "triennial", "", 14), "403 800028"},
		{"too many", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "", 301), "400 2002"},
		{"too many of the other product", next("CFQ7TTC0LH18", "0001", "CFQ7TTC0B001", "P1Y", "monthly", "", 21), "400 2002"},
		{"too few of the other product", next("CFQ7TTC0LH18", "0001", "CFQ7TTC0B001", "P1Y", "monthly", "", 1), "400 2002"},
		{"another product", next("CFQ7TTC0LH18", "0001", "CFQ7TTC0B001", "P1Y", "monthly", "", 20), "200"},
		{"no such promotion", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "winter", 9), "400 27007"},
		{"more than the promotion is for", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "spring", 11), "400 900275"},
		{"a promotion", next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "spring", 10), "200"},
	} {
		if got := try(tc.next); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	clock.Advance(32 * 24 * time.Hour)
	token = c.token(nil)
	if got := try(next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "spring", 9)); got == "200" {
		t.Error("a promotion that is over was taken")
	}
	if err := c.s.EditCustomer(customer.ID, func(c *partnercentertest.Customer) { c.Agreement = "nobody" }); err != nil {
		t.Fatal(err)
	}
	if got := try(next("CFQ7TTC0LCHC", "0002", "CFQ7TTC0TRUE", "P1Y", "monthly", "", 14)); got != "403 13605" {
		t.Errorf("without the customer agreement: %s", got)
	}
}

// An add-on has no more seats than its base, is suspended and over with it, and does not come back before it.
func TestAddOnsFollowTheirBase(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
	base := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 14, AutoRenew: true})
	addOn := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 12, AutoRenew: true, Parent: base.ID, OfferID: "CFQ7TTC0ADDN:0001:CFQ7TTC0ADD1"})
	token := c.token(nil)
	set := func(sub partnercentertest.Subscription, member string, value any) string {
		t.Helper()
		members := map[string]any{member: value}
		if value == "suspended" {
			members["autoRenewEnabled"] = false
		}
		a := c.patch(sub, token, uuid.NewString(), c.full(sub, token, members))
		if a.Status == http.StatusOK {
			return "200"
		}
		return a.code(t)
	}
	for _, step := range []struct {
		sub    partnercentertest.Subscription
		member string
		value  any
		want   string
	}{
		{addOn, "quantity", 15, "400 900275"},
		{base, "quantity", 11, "400 900275"},
		{base, "quantity", 16, "200"},
		{addOn, "quantity", 15, "200"},
		{base, "status", "suspended", "200"},
		{addOn, "status", "active", "409 27009"},
		{base, "status", "active", "200"},
		{addOn, "status", "active", "200"},
	} {
		if got := set(step.sub, step.member, step.value); got != step.want {
			t.Errorf("%s of %s to %v: %s, want %s", step.member, step.sub.OfferID, step.value, got, step.want)
		}
	}
	if err := c.s.Edit(base.ID, func(s *partnercentertest.Subscription) { s.AutoRenew = false }); err != nil {
		t.Fatal(err)
	}
	clock.Advance(366 * 24 * time.Hour)
	if got := c.seats(addOn).Status; got != "expired" {
		t.Errorf("the base is over, its add-on is %s", got)
	}
}
