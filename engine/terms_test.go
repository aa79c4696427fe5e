package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

const (
	nextSeats  = "scheduledNextTermInstructions.quantity"
	nextAction = "termEndAction"
	onTheLine  = "custom.Seats At Renewal"
)

// committed is linked, with a field on the line for the seats at renewal, and the flow lets everything through.
func committed(t *testing.T) (o *office, sub, line connectors.Ref) {
	t.Helper()
	o, sub, line = linked(t)
	o.flow.Guards.Decrease, o.flow.Guards.Cancel = plan.DecreaseWindow, plan.CancelTermEnd
	o.edit(o.psa, line, onTheLine, model.Text(""))
	o.settled()
	return o, sub, line
}

func (o *office) holds(w *memory.World, ref connectors.Ref, want map[string]string) {
	o.t.Helper()
	rec, _ := w.Get(ref)
	for field, v := range want {
		if got := rec.Fields[field].String(); got != v {
			o.t.Errorf("%s of %s is %q, want %q", field, ref.ID, got, v)
		}
	}
}

// Fewer seats outside the window: scheduled, the line bills what is committed and says what follows, and nothing is planned again.
func TestDecreaseOutsideTheWindowIsScheduled(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.edit(o.psa, line, "quantity", model.Int(10))
	result := o.sync()
	shown := text(result.Plan)
	// 14 March to 4 March: eleven monthly charges are still to come, for four seats.
	for _, want := range []string{"schedule subscription in microsoft", "next_quantity: empty -> 10", "14 seats until 2032-03-04; waiting costs 712.25 GBP; 64.75 GBP a month less from 2032-03-05",
		"quantity: 10 -> 14 (committed until the end of the term"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the plan does not say %q:\n%s", want, shown)
		}
	}
	o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: "10", nextAction: "renew"})
	o.holds(o.psa, line, map[string]string{"quantity": "14", onTheLine: "10"})
	for range 3 {
		o.settled()
	}

	// A second thought follows, up or down.
	o.edit(o.psa, line, "quantity", model.Int(8))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: "8"})
	o.holds(o.psa, line, map[string]string{"quantity": "14", onTheLine: "8"})
	o.settled()

	// More seats now keep what is scheduled, and the plan says so.
	o.edit(o.psa, line, "quantity", model.Int(16))
	if shown := text(o.sync().Plan); !strings.Contains(shown, "next_quantity stays 8 (the vendor deletes what is scheduled with a change inside the term") {
		t.Errorf("the plan does not say what is kept:\n%s", shown)
	}
	o.holds(o.vendor, sub, map[string]string{"quantity": "16", nextSeats: "8"})
	o.settled()

	// Raised back: the field on the line is emptied, and the schedule is withdrawn.
	o.edit(o.psa, line, onTheLine, model.Text(""))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "16", nextSeats: "", nextAction: ""})
	o.settled()

	// Somebody schedules at the vendor's portal: the line shows it.
	o.edit(o.vendor, sub, nextSeats, model.Int(12))
	o.sync()
	o.holds(o.psa, line, map[string]string{"quantity": "16", onTheLine: "12"})
	o.settled()
}

// A part that the vendor takes back now is taken back now.
func TestPartOfADecreaseIsDoneNow(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.edit(o.vendor, sub, "refundable", model.List("3 until 2031-03-20T10:00:00Z", "2 until 2031-03-14T09:00:00Z"))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(10))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "11", nextSeats: "10"})
	o.holds(o.psa, line, map[string]string{"quantity": "11", onTheLine: "10"})
	o.edit(o.vendor, sub, "refundable", model.List())
	o.settled()
}

// Without a field for it on the line the line goes on billing what is committed all the same.
func TestDecreaseIsScheduledWithoutAFieldOnTheLine(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "quantity", model.Int(10))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: "10"})
	o.holds(o.psa, line, map[string]string{"quantity": "14"})
	o.settled()
}

// Interrupted between scheduling and the line: the next run finishes it, and schedules nothing twice.
func TestInterruptedSchedulingIsFinished(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		for _, side := range []string{"vendor", "psa"} {
			t.Run(fault+" "+side, func(t *testing.T) {
				t.Parallel()
				o, sub, line := committed(t)
				o.edit(o.psa, line, "quantity", model.Int(10))
				w := o.vendor
				if side == "psa" {
					w = o.psa
				}
				before := o.writes()
				o.misbehave(w, fault, "1")
				o.sync()
				o.sync()
				o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextSeats: "10"})
				o.holds(o.psa, line, map[string]string{"quantity": "14", onTheLine: "10"})
				o.settled()
				if got := o.writes() - before; got != 2 {
					t.Errorf("%d writes, want one at each side", got)
				}
			})
		}
	}
}

// A vendor that loses the schedule with an interrupted change is told again.
func TestScheduleLostWithAnInterruptedChangeIsToldAgain(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.edit(o.psa, line, onTheLine, model.Text("9"))
	o.sync()
	o.edit(o.psa, line, "quantity", model.Int(15))
	o.misbehave(o.vendor, memory.ErrorAfterCommit, "1")
	o.sync()
	o.edit(o.vendor, sub, nextSeats, model.Empty(model.TypeQuantity)) // what the vendor does with the change
	o.edit(o.vendor, sub, nextAction, model.Text(""))
	o.sync()
	o.holds(o.vendor, sub, map[string]string{"quantity": "15", nextSeats: "9"})
	o.holds(o.psa, line, map[string]string{"quantity": "15", onTheLine: "9"})
	o.settled()
}

// A line that is ended cancels its subscription, explicitly and at the end of the term; opened again, it takes that back.
func TestEndedLineCancelsAtTheEndOfTheTerm(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]model.Day{"within the term": model.NewDay(2031, 9, 30), "already over": model.NewDay(2031, 3, 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, sub, line := committed(t)
			o.flow.Guards.Cancel = plan.CancelHold
			o.edit(o.psa, line, "cancelledDate", model.DayValue(last))
			if got := reasons(o.settled().Plan); !strings.Contains(got, "held cancel_held") {
				t.Fatalf("a flow that holds cancellations: %s", got)
			}
			o.flow.Guards.Cancel = plan.CancelTermEnd
			if shown := text(o.sync().Plan); !strings.Contains(shown, "at_end: empty -> \"cancel\" (the line ends in the PSA") {
				t.Errorf("the plan does not say why:\n%s", shown)
			}
			o.holds(o.vendor, sub, map[string]string{"quantity": "14", nextAction: "cancel", "autoRenewEnabled": "true", "status": "active"})
			o.settled()
			o.edit(o.psa, line, "cancelledDate", model.Empty(model.TypeDay))
			o.sync()
			o.holds(o.vendor, sub, map[string]string{nextAction: ""})
			o.settled()
		})
	}
}

// What was decided at the vendor's portal stays, whatever the line says.
func TestCancelledAtTheVendorStays(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.edit(o.vendor, sub, nextAction, model.Text("cancel"))
	o.settled()
	o.edit(o.psa, line, "cancelledDate", model.DayValue(model.NewDay(2031, 9, 30)))
	o.settled()
	// Withdrawn at the portal while the line still ends: a person's decision there, and not undone.
	o.edit(o.vendor, sub, nextAction, model.Text(""))
	o.settled()
	o.holds(o.vendor, sub, map[string]string{nextAction: ""})
}

// A line that had ended before it was ever seen open says nothing certain about the vendor.
func TestLineNeverSeenOpenCancelsNothing(t *testing.T) {
	t.Parallel()
	o, sub := kea(t)
	o.flow.Guards.Cancel = plan.CancelTermEnd
	company := o.psa.Records("company")[0]
	line := o.line(o.agreement(connectors.Ref{ID: company.ID}), o.item(premiumM), "s-1", 14)
	o.edit(o.psa, line, "cancelledDate", model.DayValue(model.NewDay(2031, 9, 30)))
	if got := reasons(o.sync().Plan); !strings.Contains(got, "held cancel_held") {
		t.Errorf("got %s", got)
	}
	o.holds(o.vendor, sub, map[string]string{nextAction: ""})
}

// An end that nobody decided is told at 60, 30 and 10 days, with the price of silence; any decision ends that.
func TestUndecidedEndsAreTold(t *testing.T) {
	t.Parallel()
	o, sub, line := committed(t)
	o.flow.TermEnds = []int{60, 30, 10}
	told := func(at string) (titles []string) {
		t.Helper()
		day, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		o.now = day
		result, err := o.run(engine.Options{Apply: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range result.Plan.Findings {
			if f.Kind == plan.UndecidedEnd {
				titles = append(titles, f.Title+": "+f.Detail)
			}
		}
		return titles
	}
	for _, tt := range []struct{ at, want string }{
		{"2032-01-03", ""}, {"2032-01-04", "within 60 days"}, {"2032-02-02", "within 60 days"}, {"2032-02-03", "within 30 days"}, {"2032-02-23", "within 10 days"}, {"2032-03-04", "within 10 days"}, {"2032-03-05", ""},
	} {
		got := strings.Join(told(tt.at), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("on %s: %q, want %q", tt.at, got, tt.want)
		}
		if tt.want != "" && !strings.Contains(got, "renews by itself for P1Y with 14 seats: 2,719.50 GBP for the term") && !strings.Contains(got, "2719.50 GBP for the term") {
			t.Errorf("on %s the price of silence is missing: %s", tt.at, got)
		}
	}
	o.edit(o.vendor, sub, "autoRenewEnabled", model.Bool(false))
	if got := strings.Join(told("2032-02-24"), ""); !strings.Contains(got, "up to 23% dearer (up to 278.75 GBP a month)") {
		t.Errorf("auto-renewal merely off: %s", got)
	}
	o.edit(o.psa, line, onTheLine, model.Text("14")) // renew as it is
	told("2032-02-25")
	if got := told("2032-02-26"); len(got) != 0 {
		t.Errorf("decided, and still told: %v", got)
	}
	o.holds(o.vendor, sub, map[string]string{nextSeats: "14", nextAction: "renew"})
}
