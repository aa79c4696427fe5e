package plan_test

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// The table is read on the clock of London, where the night of 30 March 2031 is an hour short and that of 26 October an hour long.
func TestFrozenUntil(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	holidays := plan.Freeze{From: model.NewDay(2031, 12, 20), To: model.NewDay(2032, 1, 2)}
	nights := plan.Freeze{Begin: 22 * 60, End: 6 * 60}
	weekends := plan.Freeze{Days: []time.Weekday{time.Saturday, time.Sunday}, Begin: 0, End: 24 * 60}
	friday := plan.Freeze{Days: []time.Weekday{time.Friday}, Begin: 17 * 60, End: 24 * 60}
	skipped := plan.Freeze{Begin: 90, End: 150} // 01:30 to 02:30: on 30 March the clock goes from 00:59 to 02:00
	twice := plan.Freeze{Begin: 0, End: 90}     // until 01:30, which comes twice on 26 October
	for _, c := range []struct {
		name    string
		windows []plan.Freeze
		at      string // UTC
		want    string // UTC; "" when nothing is frozen
	}{
		{"before the holidays", []plan.Freeze{holidays}, "2031-12-19T23:59:59Z", ""},
		{"their first moment", []plan.Freeze{holidays}, "2031-12-20T00:00:00Z", "2032-01-03T00:00:00Z"},
		{"their last", []plan.Freeze{holidays}, "2032-01-02T23:59:59Z", "2032-01-03T00:00:00Z"},
		{"after them", []plan.Freeze{holidays}, "2032-01-03T00:00:00Z", ""},
		{"a summer day begins an hour earlier in UTC", []plan.Freeze{{From: model.NewDay(2031, 7, 1), To: model.NewDay(2031, 7, 1)}}, "2031-06-30T23:00:00Z", "2031-07-01T23:00:00Z"},
		{"the evening", []plan.Freeze{nights}, "2031-03-14T22:00:00Z", "2031-03-15T06:00:00Z"},
		{"the morning after", []plan.Freeze{nights}, "2031-03-15T05:59:59Z", "2031-03-15T06:00:00Z"},
		{"the day", []plan.Freeze{nights}, "2031-03-15T06:00:00Z", ""},
		{"the short night ends at six by the clock", []plan.Freeze{nights}, "2031-03-29T22:30:00Z", "2031-03-30T05:00:00Z"},
		{"the long night too", []plan.Freeze{nights}, "2031-10-25T21:30:00Z", "2031-10-26T06:00:00Z"},
		{"in the second of two equal hours", []plan.Freeze{nights}, "2031-10-26T01:15:00Z", "2031-10-26T06:00:00Z"},
		{"a window that begins in the skipped hour", []plan.Freeze{skipped}, "2031-03-30T01:10:00Z", ""},
		{"and has begun when that hour is over", []plan.Freeze{skipped}, "2031-03-30T01:29:00Z", ""},
		{"Friday evening and the weekend are one", []plan.Freeze{friday, weekends}, "2031-03-14T18:00:00Z", "2031-03-17T00:00:00Z"},
		{"Thursday evening", []plan.Freeze{friday, weekends}, "2031-03-13T18:00:00Z", ""},
		{"a weekend that runs into the holidays", []plan.Freeze{holidays, weekends}, "2032-01-02T12:00:00Z", "2032-01-05T00:00:00Z"},
		{"until the second of two equal times", []plan.Freeze{twice}, "2031-10-26T00:10:00Z", "2031-10-26T01:30:00Z"},
		{"always", []plan.Freeze{{Begin: 0, End: 0}}, "2031-03-14T12:00:00Z", "2032-03-15T00:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if until := plan.FrozenUntil(c.windows, at.In(london)); !until.IsZero() {
				got = until.UTC().Format(time.RFC3339)
			}
			if got != c.want {
				t.Errorf("frozen until %q, want %q", got, c.want)
			}
		})
	}
}

// What costs is held until the freeze is over; ids are kept all the same, and what goes over a limit is asked meanwhile.
func TestFreezeHoldsWhatCosts(t *testing.T) {
	t.Parallel()
	limit := model.NewQuantity(25)
	guards := plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}, FrozenUntil: time.Date(2032, 1, 3, 0, 0, 0, 0, time.UTC)}
	p := plan.Guard(compute(pair("small", 10, 10, 12), pair("bought", 10, 12, 10), pair("large", 10, 10, 60)), guards, nil, plan.Recent{})
	if len(p.Changes) != 0 || len(p.Held) != 3 {
		t.Fatalf("changes %v, held %v", p.Changes, p.Held)
	}
	for _, h := range p.Held {
		want, detail := plan.Frozen, "until 3 January 2032, 00:00 UTC"
		if h.Change.Target.ID == "sub-large" {
			want, detail = plan.OverChangeLimit, "10 seats would become 60: 50 more, the limit is 25"
		}
		if h.Reason != want || h.Detail != detail {
			t.Errorf("%s is held as %s, %s", h.Change.Target.ID, h.Reason, h.Detail)
		}
	}
	if plan.Frozen.Releasable() || plan.CreditHold.Releasable() {
		t.Error("a freeze or a credit hold can be released by an approval")
	}
}

// Credit hold in the PSA: nothing more is bought for the customer. What was bought is billed, and fewer seats are fewer.
func TestCreditHoldStopsBuying(t *testing.T) {
	t.Parallel()
	on := pair("raised", 10, 10, 12)
	p := compute(on, pair("bought", 10, 12, 10), pair("lowered", 10, 10, 8))
	customer := p.Changes[0].Customer
	held := plan.Guard(p, plan.Guards{OnHold: map[string]bool{customer: true}}, nil, plan.Recent{})
	var got []plan.Reason
	for _, h := range held.Held {
		if h.Change.Target.ID == "sub-raised" || h.Reason == plan.CreditHold {
			got = append(got, h.Reason)
		}
	}
	if len(got) != 1 || got[0] != plan.CreditHold {
		t.Errorf("held %v", held.Held)
	}
	if other := plan.Guard(p, plan.Guards{OnHold: map[string]bool{"somebody else": true}}, nil, plan.Recent{}); len(other.Held) != len(p.Held) {
		t.Errorf("another customer's hold holds %v", other.Held)
	}
}

// Seats added and taken away together, by customer and by run.
func TestSeatsOfAGroupAreLimited(t *testing.T) {
	t.Parallel()
	three := model.NewQuantity(3)
	for name, c := range map[string]struct {
		guards plan.Guards
		want   string // "" when nothing is held
		first  int64  // seats of two pairs that had ten
	}{
		"added to a customer":   {plan.Guards{PerCustomer: plan.GroupLimit{Increase: &three}}, "4 seats would be added, the limit is 3", 12},
		"added in a run":        {plan.Guards{PerRun: plan.GroupLimit{Increase: &three}}, "4 seats would be added, the limit is 3", 12},
		"taken away in a run":   {plan.Guards{PerRun: plan.GroupLimit{Decrease: &three}}, "4 seats would be taken away, the limit is 3", 8},
		"as many as may be":     {plan.Guards{PerRun: plan.GroupLimit{Increase: &three}}, "", 11},
		"the other direction":   {plan.Guards{PerRun: plan.GroupLimit{Decrease: &three}}, "", 12},
		"taken from a customer": {plan.Guards{PerCustomer: plan.GroupLimit{Decrease: &three}}, "4 seats would be taken away, the limit is 3", 8},
	} {
		p := plan.Guard(compute(pair("a", 10, c.first, 10), pair("b", 10, c.first, 10)), c.guards, plan.Extent{"Kea": model.NewQuantity(1000)}, plan.Recent{})
		got := ""
		if len(p.Held) > 0 {
			got = p.Held[0].Detail
		}
		if (c.want == "") != (got == "") || c.want != "" && !contains(got, c.want) {
			t.Errorf("%s: held %q, want %q", name, got, c.want)
		}
	}
}
