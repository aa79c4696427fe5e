package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/model"
)

// roomy is a pair of ten seats that may all be taken back now.
func roomy(t *testing.T, to int64, alter func(*Pair)) Pair {
	return lowered(t, to, func(p *Pair) {
		p.Term.Windows, p.Reducible = nil, model.Int(10)
		if alter != nil {
			alter(p)
		}
	})
}

// Numbers that the vendor does not sell, add-ons and seats in use hold a change in the plan, with the figures and a next step.
func TestSeatsThatAreHeld(t *testing.T) {
	t.Parallel()
	closed := func(p *Pair) { p.Reducible = model.Int(0) }
	both := func(a, b func(*Pair)) func(*Pair) { return func(p *Pair) { a(p); b(p) } }
	limits := func(p *Pair) { p.Term.Least, p.Term.Most = model.Int(5), model.Int(12) }
	addOn := func(seats int64, ends bool) func(*Pair) {
		return func(p *Pair) { p.Term.AddOns = []AddOn{{"Audio", model.NewQuantity(seats), ends}} }
	}
	uses := func(n int64) func(*Pair) { return func(p *Pair) { p.Term.Assigned = model.Int(n) } }
	for name, tt := range map[string]struct {
		to     int64
		alter  func(*Pair)
		want   string
		detail string
	}{
		"as many as are sold":             {12, limits, "change vendor quantity=12", ""},
		"more than are sold":              {13, limits, "held seat_limits", "10 seats would become 13; the vendor sells at most 12"},
		"as few as are sold":              {5, limits, "change vendor quantity=5", ""},
		"fewer than are sold":             {4, limits, "held seat_limits", "10 seats would become 4; the vendor sells at least 5"},
		"fewer than are sold, later":      {4, both(limits, closed), "held seat_limits", "10 seats would become 4; the vendor sells at least 5"},
		"more than the base":              {11, func(p *Pair) { p.Term.Base = &Base{"Premium", model.NewQuantity(10)} }, "held add_on", "10 seats of the add-on would become 11; its base, Premium, has 10"},
		"as many as the base":             {11, func(p *Pair) { p.Term.Base = &Base{"Premium", model.NewQuantity(11)} }, "change vendor quantity=11", ""},
		"fewer than an add-on":            {8, addOn(9, false), "held add_on", "10 seats would become 8; the add-on Audio has 9"},
		"fewer than an add-on that ends":  {8, addOn(9, true), "change vendor quantity=8", ""},
		"as many as an add-on":            {9, addOn(9, false), "change vendor quantity=9", ""},
		"as many as are in use":           {7, uses(7), "change vendor quantity=7", ""},
		"fewer than are in use":           {6, uses(7), "held seats_in_use", "10 seats would become 6, and 7 are in use: 1 users would lose theirs"},
		"fewer than are in use, later":    {6, both(uses(7), closed), "held seats_in_use", "10 seats would become 6, and 7 are in use"},
		"more than there are in use":      {11, uses(20), "change vendor quantity=11", ""},
		"a base that ends with its line":  {10, both(addOn(9, false), func(p *Pair) { p.LineEnd = p.Term.End }), "held add_on", "it would be cancelled on 2032-03-04, and with it the add-ons Audio (9 seats), which go on in the PSA"},
		"a base and its add-on that ends": {10, both(addOn(9, true), func(p *Pair) { p.LineEnd = p.Term.End }), "schedule vendor at_end=cancel", ""},
		"a trial":                         {11, func(p *Pair) { p.Locked = "this is a trial: its quantity is fixed" }, "held no_change_now", "this is a trial"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Guard(Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{roomy(t, tt.to, tt.alter)}}), Guards{Cancel: CancelTermEnd}, Extent{"Kea": model.NewQuantity(100)}, Recent{})
			got := summary(p)
			if i := strings.Index(got, ", held waits_for"); i > 0 {
				got = got[:i] // the line waits for what is held at the vendor
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Fatalf("plan (-want +got):\n%s", diff)
			}
			if tt.detail == "" {
				return
			}
			if h := p.Held[0]; !strings.Contains(h.Detail, tt.detail) || h.Next == "" {
				t.Errorf("held: %s; next: %s", h.Detail, h.Next)
			}
		})
	}
}

// Only seats in use may be let through by a person: what the vendor does not do, nobody can release.
func TestWhatIsInUseCanBeReleased(t *testing.T) {
	t.Parallel()
	for reason, want := range map[Reason]bool{InUse: true, SeatLimits: false, AddOnFollows: false, NoChangeNow: false} {
		if reason.Releasable() != want {
			t.Errorf("%s: releasable %t", reason, !want)
		}
	}
}

// What the vendor deletes with a change in its own portal is scheduled again, and the plan says so; what somebody withdrew stays withdrawn.
func TestWhatAPortalChangeDeletedIsScheduledAgain(t *testing.T) {
	t.Parallel()
	scheduled := func(p *Pair) {
		p.Vendor.Memory["next_quantity"], p.PSA.Memory["next_quantity"], p.PSA.Now["next_quantity"] = model.Int(4), model.Int(4), model.Int(4)
		p.Vendor.Memory["at_end"], p.Vendor.Memory["term_end"] = model.Text(EndRenew), model.DayValue(p.Term.End)
		p.Vendor.Now["quantity"] = model.Int(12) // raised in the portal; the instructions are gone with it
	}
	for name, tt := range map[string]struct {
		alter func(*Pair)
		want  string
	}{
		"deleted with the seats": {scheduled, "schedule vendor next_quantity=4, change psa quantity=12"},
		"withdrawn, the seats stay": {func(p *Pair) { scheduled(p); p.Vendor.Now["quantity"] = model.Int(10) },
			"change psa next_quantity="},
		"auto-renewal was switched off": {func(p *Pair) { scheduled(p); p.Term.AutoRenew = model.Bool(false) }, "change psa next_quantity=, change psa quantity=12"},
		"renewed with them": {func(p *Pair) {
			scheduled(p)
			p.Vendor.Memory["term_end"] = model.DayValue(p.Term.End.AddMonths(-12))
		}, "change psa next_quantity=, change psa quantity=12"},
		"the line says another number at the same time": {func(p *Pair) { scheduled(p); p.PSA.Now["next_quantity"] = model.Int(6) },
			"schedule vendor next_quantity=6, change psa quantity=12"},
		"the line has no such field": {func(p *Pair) {
			scheduled(p)
			delete(p.PSA.Now, "next_quantity")
			delete(p.Rules, "next_quantity")
		}, "schedule vendor next_quantity=4, change psa quantity=12"},
		"a cancellation": {func(p *Pair) {
			scheduled(p)
			p.Vendor.Memory["next_quantity"], p.PSA.Memory["next_quantity"], p.PSA.Now["next_quantity"] = model.Empty(model.TypeQuantity), model.Empty(model.TypeQuantity), model.Empty(model.TypeQuantity)
			p.Vendor.Memory["at_end"] = model.Text(EndCancel)
		}, "schedule vendor at_end=cancel, change psa quantity=12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{lowered(t, 10, tt.alter)}})
			if diff := cmp.Diff(tt.want, summary(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			for _, c := range p.Changes {
				if c.Op == OpSchedule && c.Fields[0].From != model.Empty(model.TypeQuantity) && c.Fields[0].Field == "next_quantity" {
					t.Errorf("the vendor would be told that it holds %q", c.Fields[0].From)
				}
			}
		})
	}
}

// What was to renew as it is renews with the seats of today, up and down; another number stays.
func TestRenewalAsItIsFollowsTheSeats(t *testing.T) {
	t.Parallel()
	asIs := func(p *Pair) {
		for _, fields := range []model.Fields{p.Vendor.Now, p.Vendor.Memory, p.PSA.Now, p.PSA.Memory} {
			fields["next_quantity"] = model.Int(10)
		}
		p.Vendor.Now["at_end"] = model.Text(EndRenew)
	}
	for to, want := range map[int64]string{
		12: "change vendor quantity=12, schedule vendor next_quantity=12, change psa next_quantity=12",
		9:  "change vendor quantity=9, schedule vendor next_quantity=9, change psa next_quantity=9",
	} {
		p := Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{roomy(t, to, asIs)}})
		if got := summary(p); got != want {
			t.Errorf("to %d: %s, want %s", to, got, want)
		}
	}
}

// A person's decision replaces what was to be scheduled, is told to the vendor once, and passes the guards.
func TestDecisions(t *testing.T) {
	t.Parallel()
	decide := func(action string, alter func(*Decision, *Pair)) func(*Pair) {
		return func(p *Pair) {
			p.Term.Product = "sku P1Y monthly"
			p.Term.Decision = &Decision{ID: "d", Action: action, By: "ana@desk"}
			p.Vendor.Now["next_product"] = model.Text("")
			if alter != nil {
				alter(p.Term.Decision, p)
			}
		}
	}
	for name, tt := range map[string]struct {
		to     int64
		alter  func(*Pair)
		guards Guards
		want   string
		done   bool
	}{
		"renew":                 {10, decide(EndRenew, nil), Guards{}, "schedule vendor next_quantity=10, change psa next_quantity=10", false},
		"renew with more seats": {12, decide(EndRenew, nil), Guards{}, "change vendor quantity=12, schedule vendor next_quantity=12, change psa next_quantity=12", false},
		"renew with some": {10, decide(EndRenew, func(d *Decision, _ *Pair) { d.Seats = model.Int(8) }), Guards{},
			"schedule vendor next_quantity=8, change psa next_quantity=8", false},
		"renew as another product": {10, decide(EndRenew, func(d *Decision, _ *Pair) { d.Product = model.Text("other P3Y annual") }), Guards{},
			"schedule vendor next_quantity=10, schedule vendor next_product=other P3Y annual, change psa next_quantity=10", false},
		"renew as it is, another was scheduled": {10, decide(EndRenew, func(_ *Decision, p *Pair) {
			p.Vendor.Now["next_quantity"], p.Vendor.Now["next_product"] = model.Int(10), model.Text("other P3Y annual")
		}), Guards{}, "schedule vendor next_quantity=10, schedule vendor next_product=sku P1Y monthly, change psa next_quantity=10", false},
		"cancel is the person's word":    {10, decide(EndCancel, nil), Guards{Cancel: CancelHold}, "schedule vendor at_end=cancel", false},
		"cancel, and two people must":    {10, decide(EndCancel, nil), Guards{Cancel: CancelHold, FourEyes: true}, "held cancel_held", false},
		"extend":                         {10, decide(EndExtend, nil), Guards{}, "schedule vendor at_end=extend", false},
		"fewer seats than are in use":    {10, decide(EndRenew, func(d *Decision, p *Pair) { d.Seats, p.Term.Assigned = model.Int(8), model.Int(9) }), Guards{}, "held seats_in_use", false},
		"more seats than are sold":       {10, decide(EndRenew, func(d *Decision, p *Pair) { d.Seats, p.Term.Most = model.Int(18), model.Int(12) }), Guards{}, "held seat_limits", false},
		"decreases are held":             {10, decide(EndRenew, func(d *Decision, _ *Pair) { d.Seats = model.Int(8) }), Guards{Decrease: DecreaseHold}, "held decrease_held", false},
		"a lower line is not scheduled":  {4, decide(EndExtend, func(_ *Decision, p *Pair) { p.Term.Windows, p.Reducible = nil, model.Int(0) }), Guards{}, "schedule vendor at_end=extend, change psa quantity=10", false},
		"the vendor was told to renew":   {10, decide(EndRenew, func(_ *Decision, p *Pair) { p.Vendor.Now["next_quantity"] = model.Int(10) }), Guards{}, "change psa next_quantity=10", true},
		"the vendor was told to cancel":  {10, decide(EndCancel, func(_ *Decision, p *Pair) { p.Vendor.Now["at_end"] = model.Text(EndCancel) }), Guards{}, "", true},
		"the vendor cannot schedule":     {10, decide(EndCancel, func(_ *Decision, p *Pair) { p.Term.Schedulable = false }), Guards{}, "", false},
		"a suspended subscription waits": {10, decide(EndCancel, func(_ *Decision, p *Pair) { p.Locked = "suspended" }), Guards{}, "held no_change_now", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Guard(Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{lowered(t, tt.to, tt.alter)}}), tt.guards, Extent{"Kea": model.NewQuantity(100)}, Recent{})
			got, _, _ := strings.Cut(summary(p), ", held waits_for")
			got = strings.TrimPrefix(got, "change psa next_quantity=8, ")
			got = strings.TrimPrefix(got, "change psa next_quantity=18, ")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if (len(p.Fulfilled) == 1) != tt.done {
				t.Errorf("fulfilled: %v", p.Fulfilled)
			}
			for _, c := range p.Changes {
				if c.Op == OpSchedule && (c.Reason != Decided || c.Detail != "decided by ana@desk") {
					t.Errorf("%s because of %s: %s", c.Op, c.Reason, c.Detail)
				}
			}
		})
	}
}

// The price of silence over three years, and of a promotion that ends.
func TestPriceOfSilence(t *testing.T) {
	t.Parallel()
	p := lowered(t, 10, func(p *Pair) {
		p.Term.Duration, p.Term.Billing, p.Term.Promotion = "P3Y", "annual", "spring"
		p.Term.Now = time.Date(2032, 2, 25, 0, 0, 0, 0, time.UTC)
	})
	f, ok := Undecided(p, []int{60, 30, 10})
	if want := "without a decision it renews by itself for P3Y with 10 seats: 3600.00 GBP for the term; promotion spring ends with the term"; !ok || f.Detail != want {
		t.Errorf("told %t: %s", ok, f.Detail)
	}
	p.Term.Decision = &Decision{Action: EndRenew}
	if _, ok := Undecided(p, []int{60, 30, 10}); ok {
		t.Error("decided, and told all the same")
	}
}
