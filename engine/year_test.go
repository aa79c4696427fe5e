package engine_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// The race detector makes the whole thousand a matter of minutes: make soak lives through it.
var yearCustomers = flag.Int("year.customers", 100, "customers of the simulated year, at least 100")

// yearEnds are the days on which the terms of a half of the customers end. What is extended then ends a month later.
var yearEnds = []model.Day{model.NewDay(2031, time.May, 15), model.NewDay(2031, time.December, 15)}

// year is an MSP of many customers, with people who answer what they are told.
type year struct {
	*office
	subs  []connectors.Ref
	lines map[string]connectors.Ref // by subscription
	told  map[string]map[string]bool
	asked map[string]int // seats that were asked for outside the window
	ended map[string]int // by what followed
}

func newYear(t *testing.T) *year {
	t.Helper()
	y := &year{office: newOffice(t), lines: map[string]connectors.Ref{}, told: map[string]map[string]bool{}, asked: map[string]int{}, ended: map[string]int{}}
	y.flow.Guards = plan.Guards{Decrease: plan.DecreaseWindow, Cancel: plan.CancelTermEnd, PerRun: plan.GroupLimit{Share: 100}, PerCustomer: plan.GroupLimit{Share: 100}}
	y.flow.TermEnds = []int{60, 30, 10}
	item := y.item(premiumM)
	for i := range *yearCustomers {
		tenant, domain := fmt.Sprintf("t-%04d", i), fmt.Sprintf("c%d.example", i)
		y.tenant(tenant, "Customer "+tenant, domain)
		company := y.company("Customer "+tenant, "https://"+domain)
		y.edit(y.psa, company, "custom.Vendor Tenant Ids", model.Text(tenant))
		agreement := y.agreement(company)
		sub := y.subscription(tenant, "s-"+tenant, int64(10+i%7), "P1Y")
		end := yearEnds[i%len(yearEnds)]
		y.edit(y.vendor, sub, "effectiveStartDate", model.DayValue(end.AddMonths(-12).Add(1)))
		y.edit(y.vendor, sub, "commitmentEndDate", model.DayValue(end))
		y.subs = append(y.subs, sub)
		line := y.line(agreement, item, sub.ID, int64(10+i%7))
		y.edit(y.psa, line, onTheLine, model.Text(""))
		y.lines[sub.ID] = line
	}
	return y
}

// answer is what the people of one customer do about a term that nobody decided: each in their own way, some early and some in the last ten days.
func (y *year) answer(sub connectors.Ref, within string) {
	n := int(sub.ID[len(sub.ID)-1]-'0') + 10*int(sub.ID[len(sub.ID)-2]-'0')
	if when := []string{"within 60 days", "within 30 days", "within 10 days"}[n%3]; within != when && within != "within 10 days" {
		return
	}
	rec, _ := y.vendor.Get(sub)
	end, _ := rec.Fields["commitmentEndDate"].Day()
	decide := func(action, seats string) {
		_, err := y.engine.Store.DecideEnd(y.t.Context(), state.EndDecision{Flow: y.flow.Name, Customer: sub.Parent, Subscription: sub.ID, TermEnd: end, Action: action, Seats: seats, Person: "ana@desk"})
		if err != nil {
			y.t.Fatal(err)
		}
	}
	if rec.Fields["termDuration"].String() == "P1M" {
		decide(plan.EndCancel, "") // one month more was enough
		return
	}
	delete(y.asked, sub.ID) // whatever was asked before, this is the last word
	switch n % 8 {
	case 0:
		decide(plan.EndRenew, "")
	case 1:
		decide(plan.EndRenew, "7")
	case 2:
		decide(plan.EndCancel, "")
	case 3:
		decide(plan.EndExtend, "")
	case 4: // the PSA user writes the seats to renew with on the line
		y.edit(y.psa, y.lines[sub.ID], onTheLine, model.Text("8"))
	case 5: // ends the line
		y.edit(y.psa, y.lines[sub.ID], "cancelledDate", model.DayValue(end))
	case 6: // lowers the line
		q, _ := rec.Fields["quantity"].Quantity()
		y.lower(sub, q.Int()-2)
	case 7: // decides at the vendor's portal
		y.edit(y.vendor, sub, nextSeats, rec.Fields["quantity"])
		y.edit(y.vendor, sub, nextAction, model.Text(plan.EndRenew))
	}
}

func (y *year) lower(sub connectors.Ref, seats int64) {
	y.edit(y.psa, y.lines[sub.ID], "quantity", model.Int(seats))
	y.asked[sub.ID] = int(seats)
}

// work runs the flow at an hour of a day and lets people answer what they are told. The sweeps of the days between are taken as done, so that the run
// reads what changed.
func (y *year) work(day model.Day, hour int) {
	y.t.Helper()
	y.now = day.Midnight(time.UTC).Add(time.Duration(hour) * time.Hour)
	for name, account := range y.engine.Accounts {
		kinds, err := y.engine.WantedKinds(y.t.Context(), account)
		if err != nil {
			y.t.Fatal(err)
		}
		for _, kind := range kinds {
			if err := y.engine.Store.SetSwept(y.t.Context(), name, kind, y.now); err != nil {
				y.t.Fatal(err)
			}
		}
	}
	before := y.quantities()
	result := y.sync()
	for _, f := range result.Plan.Findings {
		if f.Kind != plan.UndecidedEnd {
			continue
		}
		tenant := strings.TrimPrefix(f.Customer, "Customer ")
		sub := connectors.Ref{Kind: "subscription", Parent: tenant, ID: "s-" + tenant}
		for _, within := range []string{"within 60 days", "within 30 days", "within 10 days"} {
			if strings.Contains(f.Title, within) {
				if y.told[sub.ID] == nil {
					y.told[sub.ID] = map[string]bool{}
				}
				y.told[sub.ID][within] = true
				if !strings.Contains(f.Detail, "GBP") {
					y.t.Errorf("%s is told without a price: %s", sub.ID, f.Detail)
				}
				y.answer(sub, within)
			}
		}
	}
	if len(result.Plan.Held) > 0 || result.Outcome.Failed+result.Outcome.Unknown > 0 {
		y.t.Errorf("on %s: %s, %d failed", day, reasons(result.Plan), result.Outcome.Failed)
	}
	// No window is open on the days that are looked at: nothing may be lowered there, and all of it is scheduled.
	for id, after := range y.quantities() {
		if after < before[id] {
			y.t.Errorf("on %s: %s was lowered from %d to %d outside its window", day, id, before[id], after)
		}
	}
}

func (y *year) quantities() map[string]int64 {
	all := map[string]int64{}
	for _, rec := range y.vendor.Records("subscription") {
		q, _ := rec.Fields["quantity"].Quantity()
		all[rec.ID] = q.Int()
	}
	return all
}

// midnight is what the vendor does with the terms that ended, by its own rules. What was recorded before must say the same.
func (y *year) midnight(end model.Day) {
	y.t.Helper()
	recorded := map[string]engine.Renewal{}
	all, err := y.engine.Renewals(y.t.Context(), y.flow, 10)
	if err != nil {
		y.t.Fatal(err)
	}
	for _, r := range all {
		recorded[r.Subscription] = r
	}
	for _, ref := range y.subs {
		rec, _ := y.vendor.Get(ref)
		if last, _ := rec.Fields["commitmentEndDate"].Day(); last != end || rec.Fields["status"].String() != "active" {
			continue
		}
		r, known := recorded[ref.ID]
		action, next := rec.Fields[nextAction].String(), rec.Fields[nextSeats]
		follows := "silence"
		months := 12
		switch {
		case action == plan.EndCancel:
			follows = plan.EndCancel
			y.edit(y.vendor, ref, "status", model.Text("deleted"))
		case action == plan.EndExtend:
			follows, months = plan.EndExtend, 1
			y.edit(y.vendor, ref, "termDuration", model.Text("P1M"))
			y.edit(y.vendor, ref, "autoRenewEnabled", model.Bool(false))
		case !next.Blank():
			follows = plan.EndRenew
			y.edit(y.vendor, ref, "quantity", next)
			if asked, waits := y.asked[ref.ID]; waits && next.String() != fmt.Sprint(asked) {
				y.t.Errorf("%s renews with %s seats, and %d were asked for", ref.ID, next, asked)
			}
			delete(y.asked, ref.ID)
		}
		y.ended[follows]++
		if !known || !r.Told || r.Decision != follows {
			y.t.Errorf("%s: the term ended on %s and %s follows; recorded was %q, told %t", ref.ID, end, follows, r.Decision, r.Told)
		}
		y.edit(y.vendor, ref, nextSeats, model.Empty(model.TypeQuantity))
		y.edit(y.vendor, ref, nextAction, model.Text(""))
		y.edit(y.vendor, ref, "effectiveStartDate", model.DayValue(end.Add(1)))
		y.edit(y.vendor, ref, "commitmentEndDate", model.DayValue(end.Add(1).AddMonths(months).Add(-1)))
	}
}

// A year of many customers: no subscription renews, lapses or is extended without a recorded decision, everybody was told with the price of
// silence, and every lowering outside a window is scheduled.
func TestAYearOfTermEnds(t *testing.T) {
	t.Parallel()
	y := newYear(t)
	for half, end := range yearEnds {
		y.work(end.Add(-60), 8)
		y.work(end.Add(-30), 8)
		for i := range *yearCustomers / 25 { // people lower lines of which nobody asked
			sub := y.subs[(97*half+31*i)%*yearCustomers]
			rec, _ := y.vendor.Get(sub)
			last, _ := rec.Fields["commitmentEndDate"].Day()
			if q, _ := rec.Fields["quantity"].Quantity(); rec.Fields["status"].String() == "active" && rec.Fields["termDuration"].String() == "P1Y" && rec.Fields[nextAction].String() == "" && last.Cmp(end) > 0 {
				y.lower(sub, q.Int()-1)
			}
		}
		y.work(end.Add(-10), 8)
		y.work(end.Add(-1), 8)
		y.midnight(end)
		// What was extended is told at once, and ends a month later.
		month := end.Add(1).AddMonths(1).Add(-1)
		y.work(month, 8)
		y.work(month, 16)
		y.midnight(month)
	}
	for _, ref := range y.subs {
		rec, _ := y.vendor.Get(ref)
		if last, _ := rec.Fields["commitmentEndDate"].Day(); rec.Fields["status"].String() == "active" && last.Cmp(yearEnds[1]) <= 0 {
			t.Errorf("%s has a term that ended on %s, and nothing followed", ref.ID, last)
		}
	}
	for _, follows := range []string{plan.EndRenew, plan.EndCancel, plan.EndExtend} {
		if y.ended[follows] < *yearCustomers/20 {
			t.Errorf("%d terms ended with %s: the year shows little", y.ended[follows], follows)
		}
	}
	if y.ended["silence"] != 0 || len(y.told) < *yearCustomers*9/10 {
		t.Errorf("ended: %v, told: %d customers", y.ended, len(y.told))
	}
	late := 0
	for _, stages := range slices.Collect(maps.Values(y.told)) {
		if len(stages) == 3 {
			late++
		}
	}
	if late < *yearCustomers/10 {
		t.Errorf("%d were told at 60, 30 and 10 days, so the late ones were not told each time", late)
	}
	t.Logf("terms ended with %v; %d customers were told, %d of them three times", y.ended, len(y.told), late)
}
