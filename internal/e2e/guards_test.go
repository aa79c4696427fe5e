package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

// When much of what is bought goes at once, what has to do with existing lines is held with the figures, and stays held:
// everything when half of each customer goes, and the customer's own when it goes as a whole.
func TestTheBrakesHold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		goes   func(i int) bool
		held   map[plan.Reason]int
		detail string
		orders int
	}{
		{"half of every customer", func(i int) bool { return i%2 == 0 }, map[plan.Reason]int{plan.OverRun: 6},
			"this run: 40 of 82 seats would be lowered or ended (48.8%), the limit is 25%", 0},
		{"half of the customers", func(i int) bool { return i < 4 }, map[plan.Reason]int{plan.OverCustomer: 4},
			"20 of 20 seats would be lowered or ended (100%), the limit is 80%", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 4, flow: rules + brakes}, func(t *testing.T, o *office) {
				for i, p := range o.pairs {
					switch {
					case test.goes(i):
						o.cancel(p)
					case i > 4 && i%2 == 1:
						o.bill(p, seats+1)
					}
				}
				before := o.psa.Writes()
				o.sync(engine.Options{})
				for range 2 {
					result := o.settled()
					held := map[plan.Reason]int{}
					for _, h := range result.Plan.Held {
						held[h.Reason]++
						if !strings.Contains(h.Detail, test.detail) || h.Next == "" {
							t.Errorf("held with %q and the next step %q, wanted the figures: %s", h.Detail, h.Next, test.detail)
						}
					}
					if diff := cmp.Diff(test.held, held); diff != "" || result.Run.State != state.RunHeld {
						t.Errorf("the run is %s; held (-want +got):\n%s\n%s", result.Run.State, diff, text(result.Plan))
					}
				}
				if o.psa.Writes() != before || len(o.orders()) != test.orders {
					t.Errorf("%d writes to the PSA and %d orders, wanted none and %d", o.psa.Writes()-before, len(o.orders()), test.orders)
				}
			})
		})
	}
}

// Customers whose relationship ended are gone from a complete list. That ends nothing by itself; each line is held by name.
func TestHalfTheCustomersAreNotListedAnyMore(t *testing.T) {
	t.Parallel()
	for _, sweep := range []bool{false, true} {
		t.Run(map[bool]string{false: "feed", true: "sweep"}[sweep], func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 4, flow: rules + loose}, func(t *testing.T, o *office) {
				var want, held []string
				for i, p := range o.pairs {
					if i < 4 {
						want = append(want, p.id)
						o.vendor.RemoveCustomer(p.tenant)
					}
				}
				o.bill(o.pairs[6], seats+1)
				before := o.psa.Writes()
				result := o.sync(engine.Options{Sweep: sweep})
				for _, h := range result.Plan.Held {
					if h.Reason == plan.VanishedAtVendor && strings.Contains(h.Detail, "its line bills 10 seats") && h.Next != "" {
						held = append(held, h.Change.Pair.Vendor.ID)
					}
				}
				slices.Sort(held)
				if diff := cmp.Diff(want, held); diff != "" || result.Run.State != state.RunHeld {
					t.Errorf("the run is %s; held as vanished (-want +got):\n%s\n%s", result.Run.State, diff, text(result.Plan))
				}
				if o.psa.Writes() != before {
					t.Errorf("%d writes to the PSA", o.psa.Writes()-before)
				}
				if diff := cmp.Diff(map[string]int{o.pairs[6].id: 1}, o.orders()); diff != "" {
					t.Errorf("the others are worked for (-want +got):\n%s", diff)
				}
				o.settled()
			})
		})
	}
}

// One customer whom the vendor refuses, to be read or to be written, stops nobody else and is not lowered.
func TestOneCustomerIsRefused(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(*office) func(){
		"reading and writing": func(o *office) func() {
			return o.misbehave(trouble{side: "vendor", name: "forbid_customer", value: id(1, 1)})
		},
		"writing": func(o *office) func() {
			o.lock(id(1, 1), true)
			return func() { o.lock(id(1, 1), false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 4, flow: rules + loose}, func(t *testing.T, o *office) {
				o.Workers = 1 // so that the refused customer comes before others
				allow := refuse(o)
				for i, p := range o.pairs {
					if i%2 == 0 {
						o.bill(p, seats+1)
					} else {
						o.buy(p, seats-1)
					}
				}
				result := o.sync(engine.Options{})
				if result.Run.State != state.RunPartial || !strings.Contains(result.Run.Reason, "microsoft") || !strings.Contains(result.Run.Reason, id(1, 1)) {
					t.Errorf("the run is %s and does not name account and customer: %s", result.Run.State, result.Run.Reason)
				}
				for i, p := range o.pairs {
					wantVendor, wantPSA := seats+1, seats+1
					if i%2 == 1 {
						wantVendor, wantPSA = seats-1, seats-1
					}
					refused := p.tenant == id(1, 1)
					if refused && i%2 == 0 {
						wantVendor = seats
					}
					if refused && i%2 == 1 && name != "writing" {
						wantPSA = seats // not read, so not lowered
					}
					if quantity, _, _ := o.billed(p); quantity != wantPSA || o.bought(p).Quantity != wantVendor {
						t.Errorf("pair %d: %d bought and %d billed, wanted %d and %d", i, o.bought(p).Quantity, quantity, wantVendor, wantPSA)
					}
				}
				allow()
				o.sync(engine.Options{})
				o.settled()
				for i, p := range o.pairs {
					want := seats + 1 - 2*(i%2)
					if quantity, _, _ := o.billed(p); quantity != want || o.bought(p).Quantity != want {
						t.Errorf("pair %d: %d bought and %d billed in the end, wanted %d", i, o.bought(p).Quantity, quantity, want)
					}
				}
				for sub, n := range o.orders() {
					if n != 1 {
						t.Errorf("subscription %s was ordered %d times", sub, n)
					}
				}
			})
		})
	}
}

// An account that refuses everybody is not asked for everybody: after a few customers in a row it is left alone.
func TestAnAccountThatRefusesAllIsLeftAlone(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 5, flow: rules + loose}, func(t *testing.T, o *office) {
		o.Workers = 1
		for i, p := range o.pairs {
			o.lock(p.tenant, true)
			if i%2 == 0 {
				o.bill(p, seats+1)
			}
		}
		result := o.sync(engine.Options{})
		if result.Outcome.Failed != 3 || result.Outcome.Skipped != 2 || len(o.toVendor.take()) != 3 {
			t.Errorf("%+v, wanted 3 refused and 2 not tried", result.Outcome)
		}
	})
}
