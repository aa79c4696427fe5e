package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// crowd is a customer with many subscriptions, all of them billed.
func crowd(t *testing.T, subscriptions int) *office {
	t.Helper()
	o := newOffice(t)
	o.tenant("t-kea", "Kea Logistics", "kea.example")
	agreement := o.agreement(o.company("Kea Logistics", "https://kea.example"))
	item := o.item(premiumM)
	for i := range subscriptions {
		id := fmt.Sprintf("s-%02d", i)
		o.subscription("t-kea", id, 5, "P1Y")
		o.line(agreement, item, id, 5)
	}
	o.tenant("t-moa", "Moa Museum", "moa.example")
	o.sync()
	return o
}

func (o *office) known(kind string) (n int) {
	o.t.Helper()
	n, err := o.engine.Store.CountRecords(o.t.Context(), "microsoft", kind)
	if err != nil {
		o.t.Fatal(err)
	}
	return n
}

// asked counts the requests to the vendor of one sort since the last time.
func (o *office) asked(op, kind string, since int) (n int) {
	for _, r := range o.vendor.Requests()[since:] {
		if r.Op == op && r.Kind == kind {
			n++
		}
	}
	return n
}

func TestTwoAnswersAreAGap(t *testing.T) {
	t.Parallel()
	o := crowd(t, 3)
	o.misbehave(o.vendor, memory.ShortList, "1")
	result, err := o.run(engine.Options{Apply: true, Sweep: true})
	if err != nil {
		t.Fatal(err)
	}
	if result.Run.State != state.RunPartial || !strings.Contains(result.Run.Reason, "gave two answers") || o.known("customer") != 2 {
		t.Errorf("run %s (%s), %d customers", result.Run.State, result.Run.Reason, o.known("customer"))
	}
	if next := o.settled(); next.Run.State != state.RunCompleted {
		t.Errorf("then it is %s (%s)", next.Run.State, next.Run.Reason)
	}
}

// What is gone from both looks is gone. A few are read alone; for many the listing is asked for once more, and never a third time.
func TestWhatBothLooksMissIsGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gone, reads, lists int // there are two customers to list under, and one loses something
	}{{0, 0, 2}, {1, 1, 2}, {10, 10, 2}, {11, 0, 3}} {
		t.Run(fmt.Sprint(c.gone), func(t *testing.T) {
			t.Parallel()
			o := crowd(t, 12)
			for i := range c.gone {
				if err := o.vendor.Remove(connectors.Ref{Kind: "subscription", Parent: "t-kea", ID: fmt.Sprintf("s-%02d", i)}); err != nil {
					t.Fatal(err)
				}
			}
			o.now = o.now.Add(5 * time.Minute)
			before := len(o.vendor.Requests())
			result, err := o.engine.Discover(t.Context(), "microsoft", state.TriggerManual)
			if err != nil || result.State != state.RunCompleted {
				t.Fatalf("%s (%s), %v", result.State, result.Reason, err)
			}
			if left := o.known("subscription"); left != 12-c.gone || result.Counts["looked at again"] != c.gone {
				t.Errorf("%d are left, %d were looked at again", left, result.Counts["looked at again"])
			}
			if reads, lists := o.asked("read", "subscription", before), o.asked("list", "subscription", before); reads != c.reads || lists != c.lists {
				t.Errorf("%d were read and %d lists asked for, expected %d and %d", reads, lists, c.reads, c.lists)
			}
		})
	}
}

// A held share stays held however often it is planned again: lines that trueup makes meanwhile do not make it smaller.
func TestABrakeCannotBeWaitedOut(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.flow.Guards = plan.Guards{PerCustomer: plan.GroupLimit{Share: 30}}
	o.tenant("t-kea", "Kea Logistics", "kea.example")
	agreement := o.agreement(o.company("Kea Logistics", "https://kea.example"))
	sub := o.subscription("t-kea", "s-1", 20, "P1Y")
	line := o.line(agreement, o.item(premiumM), "s-1", 20)
	o.sync()
	o.edit(o.vendor, sub, "quantity", model.Int(10))
	o.subscription("t-kea", "s-2", 60, "P1M")
	for range 3 {
		if result := o.sync(); reasons(result.Plan) != "[held over_customer_limit]" || o.seats(o.psa, line) != "20" {
			t.Fatalf("%s, the line has %s seats", reasons(result.Plan), o.seats(o.psa, line))
		}
	}
	// Once nothing is held, the new line is as good as any other.
	o.edit(o.vendor, sub, "quantity", model.Int(20))
	o.settled()
	o.edit(o.vendor, sub, "quantity", model.Int(10))
	if result := o.sync(); o.seats(o.psa, line) != "10" {
		t.Errorf("%s, the line has %s seats", reasons(result.Plan), o.seats(o.psa, line))
	}
}

// New lines are held for their price where nobody looks before, with what they alone would need.
func TestNewLinesCountInTheBill(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode engine.Mode
		held string
	}{{engine.ModeWrite, "[held waits_for held waits_for held over_run_limit]"}, {engine.ModePropose, "[]"}} {
		t.Run(string(c.mode), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.flow.Mode = c.mode
			limit, err := model.ParseMoney("1000 GBP")
			if err != nil {
				t.Fatal(err)
			}
			o.flow.Guards.PerRun.Bill = &limit
			o.tenant("t-kea", "Kea Logistics", "kea.example")
			o.company("Kea Logistics", "https://kea.example")
			o.subscription("t-kea", "s-1", 50, "P1Y")
			result, err := o.run(engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := reasons(result.Plan); got != c.held {
				t.Errorf("got %s\n%s", got, text(result.Plan))
			}
		})
	}
}
