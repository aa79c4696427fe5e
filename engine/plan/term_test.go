package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/model"
)

func day(t *testing.T, s string) model.Day {
	t.Helper()
	d, err := model.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The charges still to come are counted in calendar months from the first day of the term: over each term and billing cycle, from the
// 31st, and around 29 February.
func TestChargesStillToCome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		start, end, term, billing, on string
		want                          int
	}{
		{"2031-03-05", "2031-04-04", "P1M", "monthly", "2031-03-05", 0},
		{"2031-03-05", "2032-03-04", "P1Y", "monthly", "2031-03-05", 11},
		{"2031-03-05", "2032-03-04", "P1Y", "monthly", "2031-04-04", 11},
		{"2031-03-05", "2032-03-04", "P1Y", "monthly", "2031-04-05", 10},
		{"2031-03-05", "2032-03-04", "P1Y", "monthly", "2032-02-05", 0},
		{"2031-03-05", "2032-03-04", "P1Y", "annual", "2031-03-05", 0}, // it is paid for already
		{"2031-03-05", "2034-03-04", "P3Y", "monthly", "2031-03-05", 35},
		{"2031-03-05", "2034-03-04", "P3Y", "annual", "2031-03-05", 2},
		{"2031-03-05", "2034-03-04", "P3Y", "annual", "2033-03-04", 1},
		{"2031-03-05", "2034-03-04", "P3Y", "annual", "2033-03-05", 0},
		{"2031-03-05", "2034-03-04", "P3Y", "triennial", "2031-03-05", 0},
		{"2031-01-31", "2032-01-30", "P1Y", "monthly", "2031-02-27", 11}, // the next charge is on 28 February
		{"2031-01-31", "2032-01-30", "P1Y", "monthly", "2031-02-28", 10},
		{"2031-01-31", "2032-01-30", "P1Y", "monthly", "2031-03-30", 10}, // and the one after on the 31st again
		{"2031-01-31", "2032-01-30", "P1Y", "monthly", "2031-03-31", 9},
		{"2032-02-29", "2033-02-27", "P1Y", "monthly", "2032-02-29", 11},
		{"2032-02-29", "2035-02-27", "P3Y", "annual", "2033-02-27", 2},
		{"2032-02-29", "2035-02-27", "P3Y", "annual", "2033-02-28", 1},
		{"2031-03-05", "2031-09-30", "P1Y", "monthly", "2031-03-05", 6}, // a first term cut short to end with another
		{"2031-03-05", "2032-03-04", "P1Y", "weekly", "2031-03-05", 0},  // nothing is made up
	} {
		term := Term{Start: day(t, tt.start), End: day(t, tt.end), Duration: tt.term, Billing: tt.billing}
		if got := term.charges(day(t, tt.on)); got != tt.want {
			t.Errorf("%s %s from %s, on %s: %d charges, want %d", tt.term, tt.billing, tt.start, tt.on, got, tt.want)
		}
	}
}

// lowered is a pair whose line was lowered from ten seats, with two windows: three seats of the purchase, two of a later increase.
func lowered(t *testing.T, to int64, alter func(*Pair)) Pair {
	t.Helper()
	field := map[string]bool{"quantity": true, "next_quantity": true}
	ten, none := model.Int(10), model.Empty(model.TypeQuantity)
	p := Pair{Ref: PairRef{Kind: model.KindLine, Link: "l", Vendor: Ref{Kind: model.KindSubscription, ID: "s", Parent: "c"}, PSA: Ref{Kind: model.KindLine, ID: "1", Parent: "9"}},
		Label: "Seats", Customer: "Kea", Rules: map[string]FieldRule{"quantity": {Owner: OwnerBoth, Conflict: ConflictHold}, "next_quantity": {Owner: OwnerBoth, Conflict: ConflictHold}},
		Vendor:   End{Account: "v", Now: model.Fields{"quantity": ten, "next_quantity": none, "at_end": model.Text("")}, Memory: model.Fields{"quantity": ten, "next_quantity": none, "at_end": model.Text("")}, Writable: field},
		PSA:      End{Account: "p", Now: model.Fields{"quantity": model.Int(to), "next_quantity": none}, Memory: model.Fields{"quantity": ten, "next_quantity": none, "at_end": model.Text("")}, Writable: field},
		Complete: true, Reducible: model.Int(5), UnitCost: amount(t, "10 GBP"), UnitPrice: amount(t, "12 GBP"),
		Term: Term{Now: time.Date(2031, 3, 10, 9, 0, 0, 0, time.UTC), Start: day(t, "2031-03-05"), End: day(t, "2032-03-04"), Duration: "P1Y", Billing: "monthly", Schedulable: true,
			Windows: []string{"3 until 2031-03-12T09:15:07Z", "2 until 2031-03-16T10:00:00Z"}, AutoRenew: model.Bool(true)}}
	if alter != nil {
		alter(&p)
	}
	return p
}

func amount(t *testing.T, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeMoney, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// summary is a plan in one line: what is written where, and what is held.
func summary(p Plan) string {
	var parts []string
	p.Sort()
	for _, c := range p.Changes {
		for _, f := range c.Fields {
			parts = append(parts, fmt.Sprintf("%s %s %s=%s", c.Op, c.Side, f.Field, f.To))
		}
	}
	for _, h := range p.Held {
		parts = append(parts, "held "+string(h.Reason))
	}
	return strings.Join(parts, ", ")
}

// What becomes of a lower line, by moment, window and state.
func TestLowerLines(t *testing.T) {
	t.Parallel()
	at := func(moment string) func(*Pair) {
		return func(p *Pair) {
			now, err := time.Parse(time.RFC3339, moment)
			if err != nil {
				t.Fatal(err)
			}
			p.Term.Now = now
		}
	}
	for name, tt := range map[string]struct {
		to    int64
		alter func(*Pair)
		want  string
	}{
		"inside the windows":                {5, nil, "change vendor quantity=5"},
		"more than the windows":             {4, nil, "change vendor quantity=5, schedule vendor next_quantity=4, change psa quantity=5, change psa next_quantity=4"},
		"last second of the first window":   {5, at("2031-03-12T09:15:06Z"), "change vendor quantity=5"},
		"the first window is closed":        {5, at("2031-03-12T09:15:07Z"), "change vendor quantity=8, schedule vendor next_quantity=5, change psa quantity=8, change psa next_quantity=5"},
		"last second, elsewhere, in summer": {8, at("2031-03-16T03:59:59-06:00"), "change vendor quantity=8"},
		"closed, elsewhere":                 {8, at("2031-03-16T20:00:00+10:00"), "schedule vendor next_quantity=8, change psa quantity=10, change psa next_quantity=8"},
		"closed, an hour that is there twice": {8, func(p *Pair) {
			p.Term.Windows = []string{"2 until 2031-10-26T01:30:00Z"}
			at("2031-10-26T01:30:00+00:00")(p)
		}, "schedule vendor next_quantity=8, change psa quantity=10, change psa next_quantity=8"},
		"the same wall clock an hour before": {8, func(p *Pair) {
			p.Term.Windows = []string{"2 until 2031-10-26T01:30:00Z"}
			at("2031-10-26T01:30:00+01:00")(p)
		}, "change vendor quantity=8"},
		"a window that cannot be read": {8, func(p *Pair) { p.Term.Windows = []string{"2 until tomorrow"} }, "schedule vendor next_quantity=8, change psa quantity=10, change psa next_quantity=8"},
		"the vendor names no windows":  {5, func(p *Pair) { p.Term.Windows = nil }, "change vendor quantity=5"},
		"nothing may be taken back":    {8, func(p *Pair) { p.Term.Windows, p.Reducible = nil, model.Int(0) }, "schedule vendor next_quantity=8, change psa quantity=10, change psa next_quantity=8"},
		"scheduled already": {4, func(p *Pair) {
			p.Term.Windows, p.Reducible = nil, model.Int(0)
			p.Vendor.Now["next_quantity"], p.Vendor.Memory["next_quantity"] = model.Int(4), model.Int(4)
		}, "change psa quantity=10, change psa next_quantity=4"},
		"the line has no such field":    {4, func(p *Pair) { delete(p.PSA.Now, "next_quantity"); delete(p.Rules, "next_quantity") }, "change vendor quantity=5, schedule vendor next_quantity=4, change psa quantity=5"},
		"both said at once":             {4, func(p *Pair) { p.PSA.Now["next_quantity"] = model.Int(3) }, "change vendor quantity=5, schedule vendor next_quantity=3, change psa quantity=5"},
		"the vendor cannot schedule":    {4, func(p *Pair) { p.Term.Schedulable = false; delete(p.Rules, "next_quantity") }, "held term_window"},
		"no commitment":                 {4, func(p *Pair) { p.Term.End = model.Day{} }, "held term_window"},
		"a trial":                       {4, func(p *Pair) { p.Locked = "this is a trial" }, "held no_change_now"},
		"the read was incomplete":       {4, func(p *Pair) { p.Complete = false }, "held incomplete_read"},
		"an earlier write is in flight": {4, func(p *Pair) { p.InFlight = true }, "held in_flight"},
		"no seats at all":               {0, nil, "held term_window"},
		"the line ends too": {4, func(p *Pair) { p.LineEnd = day(t, "2031-12-31") },
			"change vendor quantity=5, schedule vendor at_end=cancel, change psa quantity=5"},
		"the line ends after the term":         {10, func(p *Pair) { p.LineEnd = day(t, "2032-03-05") }, ""},
		"the line ends on the term's last day": {10, func(p *Pair) { p.LineEnd = day(t, "2032-03-04") }, "schedule vendor at_end=cancel"},
		"renew with none":                      {10, func(p *Pair) { p.PSA.Now["next_quantity"] = model.Int(0) }, "held bad_value"},
		"renew with half a seat":               {10, func(p *Pair) { p.PSA.Now["next_quantity"] = quantity(t, "2.5") }, "held bad_value"},
		"more seats now keep the schedule": {12, func(p *Pair) {
			p.Vendor.Now["next_quantity"], p.Vendor.Memory["next_quantity"] = model.Int(4), model.Int(4)
		}, "change vendor quantity=12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{lowered(t, tt.to, tt.alter)}})
			if diff := cmp.Diff(tt.want, summary(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func quantity(t *testing.T, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeQuantity, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A change of seats carries what the vendor deletes with it; one that replaces it does not.
func TestChangesKeepWhatIsScheduled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		alter func(*Pair)
		want  string
	}{
		"nothing is scheduled": {nil, ""},
		"seats": {func(p *Pair) {
			p.Vendor.Now["next_quantity"], p.Vendor.Memory["next_quantity"] = model.Int(4), model.Int(4)
		}, "next_quantity=4"},
		"a cancellation": {func(p *Pair) { p.Vendor.Now["at_end"] = model.Text(EndCancel) }, "at_end=cancel"},
		"seats that change with it": {func(p *Pair) {
			p.Vendor.Now["next_quantity"], p.Vendor.Memory["next_quantity"] = model.Int(4), model.Int(4)
			p.PSA.Now["next_quantity"] = model.Int(6)
		}, ""},
	} {
		p := Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{lowered(t, 12, tt.alter)}})
		got := ""
		for _, c := range p.Changes {
			for _, f := range c.Keeps {
				got += f.Field + "=" + f.To.String()
			}
		}
		if got != tt.want {
			t.Errorf("%s: keeps %q, want %q\n%s", name, got, tt.want, summary(p))
		}
	}
}

// Guards and brakes see what is scheduled as what it does to the seats.
func TestGuardsOfScheduledChanges(t *testing.T) {
	t.Parallel()
	tight := func(p *Pair) { p.Term.Windows, p.Reducible = nil, model.Int(0) }
	five := model.NewQuantity(5)
	for name, tt := range map[string]struct {
		to     int64
		alter  func(*Pair)
		guards Guards
		want   string
	}{
		"let through":            {8, tight, Guards{Decrease: DecreaseWindow}, "schedule vendor next_quantity=8, change psa quantity=10, change psa next_quantity=8"},
		"decreases are held":     {8, tight, Guards{Decrease: DecreaseHold}, "held decrease_held, held waits_for"},
		"too large a share":      {1, tight, Guards{PerRun: GroupLimit{Share: 50}}, "held over_run_limit, held over_run_limit"},
		"cancellations are held": {10, func(p *Pair) { p.LineEnd = p.Term.End }, Guards{Cancel: CancelHold}, "held cancel_held"},
		"cancelled":              {10, func(p *Pair) { p.LineEnd = p.Term.End }, Guards{Cancel: CancelTermEnd}, "schedule vendor at_end=cancel"},
		"too many more at the renewal": {10, func(p *Pair) { p.PSA.Now["next_quantity"] = model.Int(16) },
			Guards{PerChange: ChangeLimit{Increase: &five}}, "held over_change_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Compute(Input{Flow: "f", First: FirstVendor, Pairs: []Pair{lowered(t, tt.to, tt.alter)}})
			guarded := Guard(p, tt.guards, Extent{"Kea": model.NewQuantity(10)}, Recent{})
			if diff := cmp.Diff(tt.want, summary(guarded)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if released, ok := Release(guarded); ok && len(released.Held) != 0 {
				t.Errorf("released, and still held: %s", summary(released))
			}
		})
	}
}

// What is done now comes before what is scheduled for the same subscription, whatever their ids: the change would delete the schedule.
func TestScheduledChangesComeLast(t *testing.T) {
	t.Parallel()
	p := Plan{Changes: []Change{{ID: "a", Op: OpSchedule, Label: "Seats"}, {ID: "b", Op: OpChange, Label: "Seats"}}}
	p.Sort()
	if p.Changes[0].Op != OpChange {
		t.Errorf("the schedule comes first: %+v", p.Changes)
	}
}
