package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

const nextProduct = "nextProduct"

func (o *office) decideEnd(subscription, action, seats string) {
	o.t.Helper()
	deciding, err := o.engine.Decide(o.t.Context(), o.flow)
	if err != nil {
		o.t.Fatal(err)
	}
	_, _, err = deciding.End(o.t.Context(), state.EndDecision{Subscription: subscription, Action: action, Seats: seats, Person: "ana@desk", Reason: "asked Kea"})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) renewal(subscription string) engine.Renewal {
	o.t.Helper()
	all, err := o.engine.Renewals(o.t.Context(), o.flow, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(r engine.Renewal) bool { return r.Subscription == subscription })
	if i < 0 {
		o.t.Fatalf("no renewal of %s in %+v", subscription, all)
	}
	return all[i]
}

// A decision is kept, told in the next run through the journal with who decided, and not told again when somebody changes it later.
func TestDecisionsAreToldOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action, seats string
		vendor, line  map[string]string
	}{
		{"renew", "", map[string]string{nextSeats: "14", nextAction: "renew"}, map[string]string{onTheLine: "14"}},
		{"renew", "9", map[string]string{nextSeats: "9", nextAction: "renew"}, map[string]string{onTheLine: "9"}},
		{"cancel", "", map[string]string{nextSeats: "", nextAction: "cancel"}, map[string]string{onTheLine: ""}},
		{"extend", "", map[string]string{nextSeats: "", nextAction: "extend"}, map[string]string{onTheLine: ""}},
	} {
		t.Run(tt.action+tt.seats, func(t *testing.T) {
			t.Parallel()
			o, sub, line := committed(t)
			o.flow.Guards.Cancel = plan.CancelHold // a person's own word is enough
			if r := o.renewal(sub.ID); !r.Undecided() || r.Silence.Price.String() != "2719.5 GBP" || !r.DecideBy.Equal(time.Date(2032, 3, 5, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("undecided: %+v", r)
			}
			o.decideEnd(sub.ID, tt.action, tt.seats)
			if r := o.renewal(sub.ID); r.Decision != tt.action || r.Told || !strings.HasPrefix(r.By, "ana@desk at 2031-03-14T") {
				t.Errorf("decided: %+v", r)
			}
			result := o.sync()
			if shown := text(result.Plan); !strings.Contains(shown, "decided by ana@desk at 2031-03-14T") || !strings.Contains(shown, "(asked Kea)") {
				t.Errorf("the plan does not say who decided:\n%s", shown)
			}
			o.holds(o.vendor, sub, tt.vendor)
			o.holds(o.psa, line, tt.line)
			o.settled()
			if r := o.renewal(sub.ID); r.Decision != tt.action || !r.Told || !strings.HasPrefix(r.By, "ana@desk") {
				t.Errorf("told: %+v", r)
			}
			entries, err := o.engine.Store.Journal(t.Context(), state.JournalFilter{})
			if err != nil || !slices.ContainsFunc(entries, func(e state.Entry) bool {
				return e.Op == "schedule" && strings.Contains(string(e.Body), "decided by ana@desk")
			}) {
				t.Errorf("the journal does not say who decided: %v", err)
			}
			// What somebody says later in the portal stands.
			o.edit(o.vendor, sub, nextAction, model.Text("renew"))
			o.edit(o.vendor, sub, nextSeats, model.Int(11))
			o.sync()
			o.holds(o.vendor, sub, map[string]string{nextSeats: "11"})
			o.settled()
		})
	}
}

// What was to renew as it is follows the seats, on both sides.
func TestRenewalFollowsTheSeats(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.decideEnd(sub.ID, "renew", "")
	o.sync()
	o.edit(o.psa, line, "quantity", model.Int(16))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "16", nextSeats: "16"})
	o.holds(o.psa, line, map[string]string{"quantity": "16", onTheLine: "16"})
	o.settled()
}

// Another product or term goes with the seats; a later decision about the same term replaces it.
func TestDecisionForAnotherProduct(t *testing.T) {
	t.Parallel()
	o, sub, _ := committed(t)
	o.price(premium, "P3Y", "annual", "14 GBP", "19 GBP")
	o.sync()
	deciding, err := o.engine.Decide(t.Context(), o.flow)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = deciding.End(t.Context(), state.EndDecision{Subscription: sub.ID, Action: "renew", Product: premium + " P3Y annual", Person: "ana@desk"})
	if err != nil {
		t.Fatal(err)
	}
	o.sync()
	o.holds(o.vendor, sub, map[string]string{nextSeats: "14", nextProduct: premium + " P3Y annual"})
	o.settled()
	o.decideEnd(sub.ID, "renew", "12")
	o.sync()
	o.holds(o.vendor, sub, map[string]string{nextSeats: "12", nextProduct: premium + " P1Y monthly"})
	o.settled()
}

func TestDecisionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		arrange func(o *office, sub connectors.Ref)
		d       state.EndDecision
		want    string
	}{
		"no such subscription": {nil, state.EndDecision{Subscription: "s-9", Action: "renew"}, "knows no subscription of that id"},
		"no such product":      {nil, state.EndDecision{Action: "renew", Product: premium + " P3Y annual"}, "it has: " + premium + " P1M monthly, " + premium + " P1Y monthly"},
		"a suspended one":      {func(o *office, sub connectors.Ref) { o.edit(o.vendor, sub, "status", model.Text("suspended")) }, state.EndDecision{Action: "renew"}, "suspended"},
		"a term that is over":  {func(o *office, _ connectors.Ref) { o.now = time.Date(2032, 3, 5, 0, 0, 1, 0, time.UTC) }, state.EndDecision{Action: "renew"}, "its term ended on 2032-03-04"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, sub, _ := committed(t)
			if tt.arrange != nil {
				tt.arrange(o, sub)
				o.run(engine.Options{})
			}
			if tt.d.Subscription == "" {
				tt.d.Subscription = sub.ID
			}
			tt.d.Person = "ana@desk"
			deciding, err := o.engine.Decide(t.Context(), o.flow)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := deciding.End(t.Context(), tt.d); !errors.Is(err, engine.ErrNoTerm) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A subscription without a line, even of a customer that is not linked, renews in silence too: it is told, and can be decided.
func TestTermsWithoutALineAreDecided(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	o.flow.TermEnds = []int{400}
	o.flow.Lines.MissingPSA = engine.MissingIgnore
	o.tenant("t-9", "Nobody's", "nobody.example")
	stranger := o.subscription("t-9", "s-9", 3, "P1Y")
	told := map[string]bool{}
	for _, f := range o.sync().Plan.Findings {
		if f.Kind == plan.UndecidedEnd {
			told[f.Customer] = true
		}
	}
	if !told["Nobody's"] || len(told) != 2 {
		t.Errorf("told of %v", told)
	}
	o.decideEnd("s-9", "cancel", "")
	o.sync()
	o.holds(o.vendor, stranger, map[string]string{nextAction: "cancel"})
	o.settled()
	if r := o.renewal("s-9"); !r.Told || r.Linked || r.Customer != "Nobody's" {
		t.Errorf("%+v", r)
	}
}

// renewedAs lets the vendor renew a subscription under a new id: the old one is over, or is not listed any more, and another begins.
func (o *office) renewedAs(old connectors.Ref, id string, seats int64, start model.Day, listed bool) connectors.Ref {
	o.t.Helper()
	sub := o.subscription(old.Parent, id, seats, "P1Y")
	o.edit(o.vendor, sub, "effectiveStartDate", model.DayValue(start))
	o.edit(o.vendor, sub, "commitmentEndDate", model.DayValue(start.AddMonths(12).Add(-1)))
	if listed {
		o.edit(o.vendor, old, "status", model.Text("deleted"))
	} else if err := o.vendor.Remove(old); err != nil {
		o.t.Fatal(err)
	}
	return sub
}

// A renewal under a new id keeps its line: the stored id is written once, nothing else moves, and there is no second line.
func TestRenewalUnderANewIDKeepsItsLine(t *testing.T) {
	t.Parallel()
	for _, listed := range []bool{true, false} {
		for name, seats := range map[string]int64{"as it was": 14, "with other seats": 9} {
			t.Run(fmt.Sprintf("%s, the old one is listed %t", name, listed), func(t *testing.T) {
				t.Parallel()
				o, old, line := committed(t)
				if seats != 14 {
					o.decideEnd(old.ID, "renew", "9")
					o.sync()
				}
				o.settled()
				o.now = time.Date(2032, 3, 5, 6, 0, 0, 0, time.UTC)
				renewed := o.renewedAs(old, "a-new", seats, model.NewDay(2032, 3, 5), listed)
				before := o.writes()
				result := o.sync()
				if diff := cmp.Diff([]string{"change line"}, ops(result.Plan)); diff != "" {
					t.Errorf("changes (-want +got):\n%s\n%s", diff, text(result.Plan))
				}
				if n := o.writes() - before; n != 1 {
					t.Errorf("%d writes", n)
				}
				o.holds(o.psa, line, map[string]string{"custom.Vendor Subscription Id": renewed.ID, "quantity": fmt.Sprint(seats), onTheLine: ""})
				o.onlyLine()
				for range 2 {
					o.settled()
				}
				chains, err := o.engine.Why(t.Context(), []engine.Flow{o.flow}, renewed.ID)
				if err != nil || len(chains) != 1 || !strings.Contains(chains[0].How, "renewed under a new id: s-1 ended on 2032-03-04, a-new began on 2032-03-05") {
					t.Errorf("why: %+v, %v", chains, err)
				}
				// The line is followed as before.
				o.edit(o.psa, line, "quantity", model.Int(seats+1))
				o.sync()
				o.holds(o.vendor, renewed, map[string]string{"quantity": fmt.Sprint(seats + 1)})
			})
		}
	}
}

func ops(p plan.Plan) (all []string) {
	for _, c := range p.Changes {
		all = append(all, string(c.Op)+" "+string(c.Target.Kind))
	}
	return all
}

// What only looks like a renewal waits for a person: no new line, and the old one goes on.
func TestDoubtfulRenewalsWait(t *testing.T) {
	t.Parallel()
	type arrange func(o *office, old connectors.Ref)
	began := func(seats int64, on model.Day) arrange {
		return func(o *office, old connectors.Ref) { o.renewedAs(old, "a-new", seats, on, true) }
	}
	first := model.NewDay(2032, 3, 5)
	for name, tt := range map[string]struct {
		arrange arrange
		want    string
	}{
		"other seats":  {began(11, first), "held perhaps_renewed found ambiguous_line"},
		"a week later": {began(14, first.Add(7)), "held perhaps_renewed found ambiguous_line"},
		"two that began": {func(o *office, old connectors.Ref) {
			began(14, first)(o, old)
			o.renewedAs(old, "b-new", 14, first, true)
		}, "held perhaps_renewed found ambiguous_line found ambiguous_line"},
		"three months ago": {began(14, first.Add(-90)), ""}, // another purchase: its own line
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, old, line := committed(t)
			o.now = time.Date(2032, 3, 14, 6, 0, 0, 0, time.UTC)
			tt.arrange(o, old)
			result := o.sync()
			if got := strings.Trim(reasons(result.Plan), "[]"); got != tt.want {
				t.Errorf("got %q, want %q\n%s", got, tt.want, text(result.Plan))
			}
			if tt.want == "" {
				if diff := cmp.Diff([]string{"create line", "end line"}, slices.Sorted(slices.Values(ops(result.Plan)))); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				return
			}
			if len(result.Plan.Changes) != 0 {
				t.Errorf("changes although it is not clear:\n%s", text(result.Plan))
			}
			// A person writes the new id on the line: that settles it.
			o.edit(o.psa, line, "custom.Vendor Subscription Id", model.Text("a-new"))
			o.sync()
			o.sync()
			if got := o.psa.Records("addition"); name != "two that began" && len(got) != 1 {
				t.Errorf("%d lines", len(got))
			}
			o.holds(o.psa, line, map[string]string{"custom.Vendor Subscription Id": "a-new", "cancelledDate": ""})
		})
	}
}

// Seats that are not in use are told after some days, with what they cost and when they can go; the day counts from when it was first seen.
func TestUnusedSeatsAreTold(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.flow.Unused = 30
	told := func(day int) string {
		t.Helper()
		o.now = time.Date(2031, 3, day, 9, 0, 0, 0, time.UTC)
		for _, f := range o.sync().Plan.Findings {
			if f.Kind == plan.UnusedSeats {
				return f.Title + ": " + f.Detail
			}
		}
		return ""
	}
	report := func() engine.UnusedReport {
		t.Helper()
		r, err := o.engine.Unused(t.Context(), o.flow)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := report(); r.Unknown != 1 || r.Counted != 0 || len(r.Unused) != 0 {
		t.Errorf("nobody counts: %+v", r)
	}
	o.edit(o.vendor, sub, "assigned", model.Int(11))
	for _, step := range []struct {
		day, assigned int
		want          string
	}{
		{15, 11, ""}, {44, 11, ""},
		{45, 11, "Business Premium, P1Y monthly: 3 of 14 seats were not in use since 2031-03-15: 48.56 GBP a month; lowering saves from 2032-03-05"},
		{46, 14, ""}, {47, 11, ""}, {76, 11, ""},
		{77, 10, "Business Premium, P1Y monthly: 4 of 14 seats were not in use since 2031-04-16: 64.75 GBP a month; lowering saves from 2032-03-05"},
	} {
		o.edit(o.vendor, sub, "assigned", model.Int(int64(step.assigned)))
		if got := told(step.day); got != step.want {
			t.Errorf("day %d: %q, want %q", step.day, got, step.want)
		}
	}
	o.edit(o.vendor, sub, "refundable", model.List("3 until 2031-05-20T10:00:00Z"))
	o.sync()
	u := report().Unused[0]
	if got := fmt.Sprintln(u.Seats, u.Assigned, u.Unused, u.Now, u.Until.Format(time.RFC3339), u.Day, u.Month, u.Renewal, u.Decided, u.Since); got != "14 10 4 3 2031-05-20T10:00:00Z 2031-05-16 64.75 GBP 10 false 2031-04-16\n" {
		t.Errorf("report: %s", got)
	}
	// Never below what is in use, without a person's word.
	o.edit(o.vendor, sub, "refundable", model.List())
	o.sync()
	o.edit(o.psa, line, "quantity", model.Int(9))
	if got := reasons(o.sync().Plan); !strings.Contains(got, "held seats_in_use") {
		t.Errorf("below what is in use: %s", got)
	}
	o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: ""})
	// The ready plan: renew with what is in use.
	o.edit(o.psa, line, "quantity", model.Int(14))
	o.decideEnd(sub.ID, "renew", u.Renewal)
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: "10"})
	if u := report().Unused[0]; !u.Decided {
		t.Errorf("decided: %+v", u)
	}
	if got := told(120); got != "" {
		t.Errorf("decided, and told: %s", got)
	}
}

// An add-on knows its base, and a base its add-ons.
func TestAddOnsAndTheirBase(t *testing.T) {
	t.Parallel()
	o, base, line := committed(t)
	addOn := o.subscription(base.Parent, "a-1", 12, "P1Y")
	o.edit(o.vendor, addOn, "parentSubscriptionId", model.Text(base.ID))
	o.edit(o.vendor, base, "refundable", model.List("14 until 2031-03-20T10:00:00Z"))
	o.sync()
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(11))
	if got := o.settledHeld(); !strings.Contains(got, "held add_on") {
		t.Errorf("the base below its add-on: %s", got)
	}
	o.edit(o.psa, line, "quantity", model.Int(14))
	o.edit(o.psa, line, "cancelledDate", model.DayValue(model.NewDay(2031, 12, 31)))
	if got := o.settledHeld(); !strings.Contains(got, "held add_on") {
		t.Errorf("the base ends without its add-on: %s", got)
	}
	o.decideEnd("a-1", "cancel", "")
	o.sync()
	o.sync()
	o.holds(o.vendor, base, map[string]string{nextAction: "cancel"})
	o.holds(o.vendor, addOn, map[string]string{nextAction: "cancel"})
	o.edit(o.vendor, base, "status", model.Text("suspended"))
	for _, l := range o.psa.Records("addition") {
		if l.Fields["custom.Vendor Subscription Id"].String() == "a-1" {
			o.edit(o.psa, connectors.Ref{Kind: "addition", ID: l.ID, Parent: l.Parent}, "quantity", model.Int(13))
		}
	}
	if got := o.settledHeld(); !strings.Contains(got, "held no_change_now") {
		t.Errorf("the base is suspended: %s", got)
	}
}

// settledHeld runs and says what was held.
func (o *office) settledHeld() string { o.t.Helper(); return reasons(o.sync().Plan) }
