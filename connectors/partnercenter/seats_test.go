package partnercenter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

const premiumSKU = "CFQ7TTC0LCHC:0002"

// counting is a world whose account reads the seats in use.
func counting(t *testing.T) *world {
	return start(t, setup{account: func(a *connectors.Account) { a.Settings["assigned"] = assignedRead }})
}

func (w *world) use(product string, assigned, elsewhere int) {
	w.t.Helper()
	err := w.fake.EditCustomer(harbour, func(c *partnercentertest.Customer) {
		c.InUse = []partnercentertest.InUse{{Product: product, Assigned: assigned, Elsewhere: elsewhere}}
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// One product in two subscriptions and from elsewhere: what is not in use stands on the subscription that ends first, and seats that may
// be in use are never called unused.
func TestSeatsInUseAreSharedByTheSubscriptionsOfAProduct(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		assigned, elsewhere int
		late, soon          string // 14 seats that end last, 6 that end first
	}{
		{0, 0, "0", "0"},
		{11, 0, "11", "0"},
		{14, 0, "14", "0"},
		{17, 0, "14", "3"},
		{20, 0, "14", "6"},
		{23, 0, "17", "6"}, // more in use than there are
		{17, 10, "14", "3"},
		{29, 10, "14", "6"},
		{31, 10, "15", "6"},
	} {
		w := counting(t)
		w.use(premiumSKU, tc.assigned, tc.elsewhere)
		soon := w.fake.AddSubscription(partnercentertest.Subscription{Customer: harbour, Quantity: 6, Term: "P1M", AutoRenew: true})
		found, listing, err := w.list(kindSubscription, harbour)
		if err != nil || !listing.Complete() {
			t.Fatal(err, listing)
		}
		got := map[string]string{}
		for _, rec := range found {
			got[rec.ID] = rec.Fields[fieldAssigned].String()
		}
		if got[yearly] != tc.late || got[soon.ID] != tc.soon {
			t.Errorf("%d in use, %d seats from elsewhere: %s and %s, want %s and %s", tc.assigned, tc.elsewhere, got[yearly], got[soon.ID], tc.late, tc.soon)
		}
	}
}

// The figure costs one request for each customer, and one for each product in the life of the connector.
func TestSeatsInUseCostOneRequestACustomer(t *testing.T) {
	t.Parallel()
	w := counting(t)
	w.use(premiumSKU, 11, 0)
	count := func() (skus, status int) {
		for _, r := range w.fake.Requests() {
			if strings.HasSuffix(r.Path, "/subscribedskus") {
				skus++
			}
			if strings.HasSuffix(r.Path, "/provisioningstatus") {
				status++
			}
		}
		return skus, status
	}
	for round := range 3 {
		if _, _, err := w.list(kindSubscription); err != nil {
			t.Fatal(err)
		}
		skus, status := count()
		// Four of five customers have subscriptions; they have two New Commerce products and a legacy one.
		if got := fmt.Sprint(skus, status); got != fmt.Sprint(4*(round+1), 3) {
			t.Errorf("round %d: %s requests for seats and products", round, got)
		}
	}
	before, _ := count()
	rec, err := w.change(seats(14, 15), "k")
	if after, _ := count(); err != nil || rec.Fields[fieldAssigned] != model.Int(11) || after != before {
		t.Errorf("after a change: %v, %v, %d more requests", rec.Fields[fieldAssigned], err, after-before)
	}
}

// Without the right, or for seats out of use, the figure is not delivered: never zero. Everything else is.
func TestSeatsInUseThatAreNotKnown(t *testing.T) {
	t.Parallel()
	w := counting(t)
	w.use(premiumSKU, 11, 0)
	if err := w.fake.EditCustomer(harbour, func(c *partnercentertest.Customer) { c.NoDirectory = true }); err != nil {
		t.Fatal(err)
	}
	found, listing, err := w.list(kindSubscription)
	if err != nil || !listing.Complete() {
		t.Fatal(err, listing)
	}
	for _, rec := range found {
		_, delivered := rec.Fields[fieldAssigned]
		want := rec.Parent != harbour && strings.EqualFold(rec.Fields["status"].String(), "active")
		if delivered != want {
			t.Errorf("%s of %s (%s): delivered %t", rec.ID, rec.Parent, rec.Fields["status"], delivered)
		}
	}
	report, err := w.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if missing := report.Missing(); len(missing) != 1 || missing[0].Name != "read seats in use" || !strings.Contains(missing[0].Customer, "Harbour Dental") || missing[0].Reason == "" {
		t.Errorf("missing rights: %+v", missing)
	}
	// A right that comes back is seen by reading one record.
	if err := w.fake.EditCustomer(harbour, func(c *partnercentertest.Customer) { c.NoDirectory = false }); err != nil {
		t.Fatal(err)
	}
	if rec, err := w.Read(t.Context(), yearlyRef); err != nil || rec.Fields[fieldAssigned] != model.Int(11) {
		t.Errorf("read alone: %v, %v", rec.Fields[fieldAssigned], err)
	}
	w.misbehave("throttle_storm", "100")
	if _, _, err := w.list(kindSubscription, harbour); connectors.ClassOf(err) != connectors.ClassLimited {
		t.Errorf("throttled: %v", err)
	}
}

// Nothing is asked unless the account says so, and an application alone is told that it cannot.
func TestSeatsInUseAreReadOnRequestOnly(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	found, _, err := w.list(kindSubscription)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range found {
		if v, ok := rec.Fields[fieldAssigned]; ok {
			t.Errorf("%s: %v in use", rec.ID, v)
		}
	}
	for _, r := range w.fake.Requests() {
		if strings.HasSuffix(r.Path, "skus") || strings.HasSuffix(r.Path, "provisioningstatus") {
			t.Errorf("asked %s", r.Path)
		}
	}
	account := partnercentertest.Start(t, w.fake)
	account.Settings["assigned"] = assignedRead
	delete(account.Secrets, "refresh_token")
	_, err = New(account)
	if err == nil || !strings.Contains(err.Error(), "assigned") {
		t.Errorf("an application alone: %v", err)
	}
}

// Licenses that were given out through Partner Center wake the customer, where anybody wants to know.
func TestLicensesGivenOutWakeTheCustomer(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]int{assignedRead: 1, assignedSkip: 0} {
		w := start(t, setup{account: func(a *connectors.Account) { a.Settings["assigned"] = setting }})
		w.clock.Advance(3 * time.Hour)
		cursor := w.follow("").Cursor
		if err := w.fake.Assign(harbour, premiumSKU, 9); err != nil {
			t.Fatal(err)
		}
		if got := w.follow(cursor).Relist; len(got) != want {
			t.Errorf("%s: told of %v", setting, got)
		}
	}
}
