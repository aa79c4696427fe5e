package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// A vendor that loses a few seats in every reading, each time fewer than a limit, is stopped at the limit; a day of waiting does not let it
// through, a person does, and what the person let through counts no more.
func TestSmallStepsAreSeenAsOne(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.flow.Guards = plan.Guards{PerCustomer: plan.GroupLimit{Share: 30}, Together: 24 * time.Hour}
	for _, seats := range []int64{12, 10} {
		o.edit(o.vendor, sub, "quantity", model.Int(seats))
		o.sync()
		o.settled()
	}
	o.edit(o.vendor, sub, "quantity", model.Int(9))
	o.sync()
	if got := o.seats(o.psa, line); got != "10" {
		t.Fatalf("the line has %s seats", got)
	}
	o.now = o.now.Add(40 * time.Hour)
	result := o.sync()
	if got := reasons(result.Plan); got != "[held over_customer_limit_together]" || o.seats(o.psa, line) != "10" {
		t.Fatalf("two days later: %s, the line has %s seats", got, o.seats(o.psa, line))
	}
	if held := result.Plan.Held[0]; !strings.Contains(held.Detail, "5 of 14 seats would be lowered or ended (35.7%), the limit is 30%; counted since 2031-03-13 09:") ||
		!strings.HasSuffix(held.Detail, "done already: 4 seats") {
		t.Errorf("it says %s", held.Detail)
	}
	release := plan.DocumentOf(result.Plan).Release
	o.decide(release, "ann@desk", state.Approved)
	if result, err := o.applied(release); err != nil || result.Outcome.Done != 1 || o.seats(o.psa, line) != "9" {
		t.Fatalf("released: %v, %+v, the line has %s seats", err, result.Outcome, o.seats(o.psa, line))
	}
	o.settled()
	o.edit(o.vendor, sub, "quantity", model.Int(8))
	o.sync()
	if got := o.seats(o.psa, line); got != "8" {
		t.Errorf("a day after all that one seat less is held: the line has %s", got)
	}
}

// Putting right what was wrong is no further step.
func TestPuttingRightIsNoFurtherStep(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.flow.Guards = plan.Guards{PerCustomer: plan.GroupLimit{Share: 30, Count: 1, Drop: amountOf(t, "50 GBP")}, Together: 24 * time.Hour}
	o.edit(o.vendor, sub, "quantity", model.Int(12))
	o.sync()
	o.edit(o.vendor, sub, "quantity", model.Int(14))
	if got := o.sync(); len(got.Plan.Held) > 0 || o.seats(o.psa, line) != "14" {
		t.Fatalf("put right at the vendor: %s", text(got.Plan))
	}
	o.settled()
}

func amountOf(t *testing.T, s string) *model.Money {
	t.Helper()
	m, err := model.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return &m
}
