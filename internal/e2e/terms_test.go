package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
)

const renewalField = "Seats At Renewal"

// withTerms is a flow that lets everything through, cancellations too, over offices whose lines have a field for the seats at renewal.
var withTerms = plot{customers: 1, flow: rules + strings.Replace(loose, "guards:\n", "guards:\n  cancel: term_end\n", 1),
	options: func(v *partnercentertest.Options) { v.ExtendedTerms = true },
	fill:    func(o *office) { o.psa.AddCustomField("addition", renewalField, "Text") }}

// onLine writes into a field of a pair's line in the PSA's screens.
func (o *office) onLine(p pair, field string, value any) {
	o.t.Helper()
	if err := o.psa.EditAddition(p.line, "jdoe", map[string]any{field: value}); err != nil {
		o.t.Fatal(err)
	}
}

// yearly is the pair whose term is a year.
func (o *office) yearly() pair {
	for _, p := range o.pairs {
		if p.good.term == "P1Y" {
			return p
		}
	}
	o.t.Fatal("no pair has a yearly term")
	return pair{}
}

// A PSA user lowers seats on day 8: over both systems' own interfaces, to the renewal and beyond.
func TestLoweredOnDayEight(t *testing.T) {
	t.Parallel()
	inOffice(t, withTerms, func(t *testing.T, o *office) {
		p := o.yearly()
		o.pass(8 * 24 * time.Hour) // every window is closed
		o.sync(engine.Options{})
		o.bill(p, seats-3)
		shown := text(o.sync(engine.Options{}).Plan)
		for _, want := range []string{"schedule subscription in microsoft", "waiting costs", "a month less from", "quantity: 7 -> 10 (committed until the end of the term"} {
			if !strings.Contains(shown, want) {
				t.Errorf("the plan does not say %q:\n%s", want, shown)
			}
		}
		after := func(bought, next, billed int, field string) {
			t.Helper()
			sub := o.bought(p)
			got := 0
			if sub.Next != nil {
				got = sub.Next.Quantity
			}
			quantity, _, _ := o.billed(p)
			kept, _ := o.psa.Record("addition", p.line)["custom."+renewalField].(string) // an emptied field is left out
			if sub.Quantity != bought || got != next || quantity != billed || kept != field {
				t.Errorf("bought %d, next %d, billed %d, on the line %q; wanted %d, %d, %d, %q", sub.Quantity, got, quantity, kept, bought, next, billed, field)
			}
			o.settled()
			o.settled()
		}
		after(seats, seats-3, seats, "7")

		o.bill(p, seats+2) // more seats now: the vendor deletes the schedule, and it is made again
		o.sync(engine.Options{})
		after(seats+2, seats-3, seats+2, "7")

		o.onLine(p, "custom."+renewalField, "") // raised back
		o.sync(engine.Options{})
		after(seats+2, 0, seats+2, "")

		o.onLine(p, "custom."+renewalField, "9")
		o.sync(engine.Options{})
		after(seats+2, 9, seats+2, "9")

		why, err := o.Why(t.Context(), []engine.Flow{o.flow}, p.id)
		if err != nil || len(why) != 1 || !strings.Contains(strings.Join(why[0].History[0].Changes, " ")+why[0].History[0].Op, "schedule") {
			t.Errorf("why does not tell of the schedule: %v, %+v", err, why)
		}

		o.pass(time.Until(o.bought(p).TermEnd.AddDate(0, 0, 1)) + 12*time.Hour) // the term ends
		o.sync(engine.Options{})
		after(9, 0, 9, "")
	})
}

// A year of term ends: nothing renews, lapses or goes on without having been decided, or told beforehand.
func TestAYearOfTermEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		decide   func(o *office, p pair)
		renews   bool   // auto-renewal at the vendor
		status   string // afterwards
		seats    int
		extended bool
		told     []string // what is told beforehand, by days before the end
	}{
		"nobody says anything":       {nil, true, "active", seats, false, []string{"within 60 days", "within 30 days", "within 10 days"}},
		"auto-renewal is merely off": {nil, false, "active", seats, true, []string{"within 60 days", "within 30 days", "within 10 days"}},
		"renewed as it is":           {func(o *office, p pair) { o.onLine(p, "custom."+renewalField, "10") }, true, "active", seats, false, nil},
		"renewed with fewer":         {func(o *office, p pair) { o.bill(p, 6) }, true, "active", 6, false, nil},
		"the line ends with the term": {func(o *office, p pair) {
			o.onLine(p, "cancelledDate", o.bought(p).TermEnd.Format(time.DateOnly)+"T00:00:00Z")
		}, true, "expired", seats, false, nil},
		"ended, auto-renewal merely off": {func(o *office, p pair) {
			o.onLine(p, "cancelledDate", o.bought(p).TermEnd.Format(time.DateOnly)+"T00:00:00Z")
		}, false, "expired", seats, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inOffice(t, withTerms, func(t *testing.T, o *office) {
				p := o.yearly()
				if err := o.vendor.Edit(p.id, func(s *partnercentertest.Subscription) { s.AutoRenew = tt.renews }); err != nil {
					t.Fatal(err)
				}
				o.pass(30 * 24 * time.Hour)
				o.sync(engine.Options{})
				if tt.decide != nil {
					tt.decide(o, p)
				}
				end := o.bought(p).TermEnd
				seen := []string{}
				for time.Now().Before(end.AddDate(0, 0, 1)) {
					for _, f := range o.sync(engine.Options{}).Plan.Findings {
						i := strings.Index(f.Title, "within ")
						if f.Kind != plan.UndecidedEnd || i < 0 || !strings.Contains(f.Title, end.Format(time.DateOnly)) {
							continue
						}
						if band := strings.Join(strings.Fields(f.Title[i:])[:3], " "); len(seen) == 0 || seen[len(seen)-1] != strings.TrimSuffix(band, ",") {
							seen = append(seen, strings.TrimSuffix(band, ","))
						}
						if f.Money.Sign() <= 0 {
							t.Errorf("the price of silence is missing: %+v", f)
						}
					}
					o.pass(9 * 24 * time.Hour)
				}
				if got, want := strings.Join(seen, "; "), strings.Join(tt.told, "; "); got != want {
					t.Errorf("told beforehand: %q, want %q", got, want)
				}
				o.sync(engine.Options{})
				if sub := o.bought(p); sub.Status != tt.status || sub.Quantity != tt.seats || sub.Extended != tt.extended {
					t.Errorf("afterwards it is %s with %d seats, extended %t; want %s, %d, %t", sub.Status, sub.Quantity, sub.Extended, tt.status, tt.seats, tt.extended)
				}
				o.settled()
			})
		})
	}
}
