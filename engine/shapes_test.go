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
	"github.com/trueup-sync/trueup/state"
)

const (
	seatRule    = "custom.Seat Rule"
	agreedSeats = "custom.Agreed Seats"
)

func counting(t *testing.T, text string) plan.Count {
	t.Helper()
	c, err := plan.ParseCount(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// numbers asserts quantities, first of subscriptions, then of lines.
func (o *office) numbers(want string, subs []connectors.Ref, lines ...connectors.Ref) {
	o.t.Helper()
	var got []string
	for _, ref := range subs {
		text := o.seats(o.vendor, ref)
		if rec, _ := o.vendor.Get(ref); !rec.Fields[nextSeats].Blank() {
			text += "→" + rec.Fields[nextSeats].String()
		}
		got = append(got, text)
	}
	got = append(got, "|")
	for _, ref := range lines {
		got = append(got, o.seats(o.psa, ref))
	}
	if text := strings.Join(got, " "); text != want {
		o.t.Errorf("seats are %s, want %s", text, want)
	}
}

// summed is a customer with two subscriptions of a product, the second bought later, and the one line that bills both.
func summed(t *testing.T) (o *office, subs []connectors.Ref, line connectors.Ref) {
	t.Helper()
	o, first := kea(t)
	o.flow.Lines.Group = engine.GroupProduct
	second := o.subscription("t-kea", "s-2", 4, "P1Y")
	o.edit(o.vendor, second, "effectiveStartDate", model.DayValue(model.NewDay(2031, 3, 10)))
	result := o.sync()
	if result.Outcome.Done != 4 || !strings.Contains(text(result.Plan), "18 on the line = 14 (s-1) + 4 (s-2)") {
		t.Fatalf("want one line for both:\n%s", text(result.Plan))
	}
	subs, line = []connectors.Ref{first, second}, o.onlyLine()
	o.numbers("14 4 | 18", subs, line)
	o.settled()
	return o, subs, line
}

func TestSumOfSubscriptions(t *testing.T) {
	t.Parallel()
	o, subs, line := summed(t)
	step := func(want string) engine.Result {
		t.Helper()
		result := o.sync()
		o.numbers(want, subs, line)
		o.settled()
		return result
	}
	o.edit(o.vendor, subs[1], "quantity", model.Int(6))
	if shown := text(step("14 6 | 20").Plan); !strings.Contains(shown, "quantity: 18 -> 20 (changed at the vendor)") || !strings.Contains(shown, "20 on the line = 14 (s-1) + 6 (s-2)") {
		t.Errorf("the plan does not say why:\n%s", shown)
	}
	// Seats that came with the newest and are refunded go first; the rest waits for the ends of the terms, and the line goes on billing it.
	o.edit(o.vendor, subs[0], "refundableQuantity.totalQuantity", model.Int(1))
	o.edit(o.psa, line, "quantity", model.Int(18))
	step("13 6→5 | 19")
	o.edit(o.vendor, subs[0], "refundableQuantity.totalQuantity", model.Int(0))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(21)) // more goes to the one for which nothing is decided
	step("15 6→5 | 21")

	// A third is bought; one ends at the vendor; then all.
	subs = append(subs, o.subscription("t-kea", "s-3", 5, "P1Y"))
	step("15 6→5 5 | 26")
	o.edit(o.vendor, subs[1], "status", model.Text("deleted"))
	step("15 6→5 5 | 20")
	o.newStore()
	o.settled()
	o.edit(o.vendor, subs[0], "quantity", model.Int(16))
	step("16 6→5 5 | 21")
	o.edit(o.vendor, subs[0], "status", model.Text("deleted"))
	step("16 6→5 5 | 5")
	if got := len(o.psa.Records("addition")); got != 1 {
		t.Errorf("%d lines, want the one", got)
	}
	// One is left: it is an ordinary pair now, and a next one joins it.
	o.edit(o.psa, line, "quantity", model.Int(8))
	step("16 6→5 8 | 8")
	subs = append(subs, o.subscription("t-kea", "s-4", 2, "P1Y"))
	step("16 6→5 8 2 | 10")
	for _, sub := range subs {
		o.edit(o.vendor, sub, "status", model.Text("deleted"))
	}
	o.sync()
	o.holds(o.psa, line, map[string]string{"cancelledDate": "2031-03-14"})
	o.settled()
}

// A line that ends cancels every subscription it bills.
func TestEndedSumCancelsAll(t *testing.T) {
	t.Parallel()
	o, subs, line := summed(t)
	o.flow.Guards.Cancel = plan.CancelTermEnd
	o.edit(o.psa, line, "cancelledDate", model.DayValue(model.NewDay(2031, 9, 30)))
	o.sync()
	for _, sub := range subs {
		o.holds(o.vendor, sub, map[string]string{nextAction: "cancel"})
	}
	o.settled()
}

// What was two lines is not made one by guessing.
func TestSumWithTwoLinesIsAsked(t *testing.T) {
	t.Parallel()
	o, first := kea(t)
	o.subscription("t-kea", "s-2", 4, "P1Y")
	o.sync()
	if got := len(o.psa.Records("addition")); got != 2 {
		t.Fatalf("%d lines, want one for each", got)
	}
	o.flow.Lines.Group = engine.GroupProduct
	if got := reasons(o.settled().Plan); got != "[found ambiguous_line]" {
		t.Errorf("got %s", got)
	}
	o.edit(o.vendor, first, "quantity", model.Int(20))
	o.settled()
}

// A sum that nobody asks for any more bills nobody twice and buys nothing.
func TestSumThatIsNotGroupedAnyMoreIsAsked(t *testing.T) {
	t.Parallel()
	o, subs, line := summed(t)
	o.flow.Lines.Group = engine.GroupNone
	result := o.settled()
	if got := reasons(result.Plan); got != "[found regrouped found regrouped]" {
		t.Errorf("got %s:\n%s", got, text(result.Plan))
	}
	o.edit(o.psa, line, "quantity", model.Int(30))
	o.settled()
	o.numbers("14 4 | 30", subs, line)
}

// split is a customer with one subscription that two lines bill.
func split(t *testing.T) (o *office, sub connectors.Ref, lines []connectors.Ref) {
	t.Helper()
	o, sub, line := linked(t)
	rec, _ := o.psa.Get(line)
	o.edit(o.psa, line, "quantity", model.Int(9))
	o.edit(o.psa, line, seatRule, model.Text("Rest"))
	other := o.line(connectors.Ref{ID: line.Parent}, connectors.Ref{ID: rec.Fields["product"].String()}, "s-1", 5)
	o.edit(o.psa, other, seatRule, model.Text("part"))
	for _, ref := range []connectors.Ref{line, other} {
		o.edit(o.psa, ref, "unitCost", money(t, "16.1875 GBP"))
	}
	return o, sub, []connectors.Ref{line, other}
}

func TestSplitOverLines(t *testing.T) {
	t.Parallel()
	o, sub, lines := split(t)
	subs := []connectors.Ref{sub}
	o.settled()
	o.numbers("14 | 9 5", subs, lines...)
	step := func(want string) engine.Result {
		t.Helper()
		result := o.sync()
		o.numbers(want, subs, lines...)
		o.settled()
		return result
	}
	o.edit(o.psa, lines[1], "quantity", model.Int(8))
	if shown := text(step("17 | 9 8").Plan); !strings.Contains(shown, "9 (line "+lines[0].ID+") + 8 (line "+lines[1].ID+") = 17 bought") {
		t.Errorf("the plan does not say how they add up:\n%s", shown)
	}
	o.edit(o.vendor, sub, "quantity", model.Int(19))
	step("19 | 11 8")
	o.edit(o.psa, lines[0], "quantity", model.Int(10)) // moved from one part to the other
	o.edit(o.psa, lines[1], "quantity", model.Int(9))
	o.settled()
	o.newStore()
	o.settled()
	o.edit(o.psa, lines[1], "quantity", model.Int(7)) // committed: scheduled, and the part goes on
	step("19→17 | 10 9")
	third := o.line(connectors.Ref{ID: lines[0].Parent}, connectors.Ref{ID: o.psa.Records("catalogItem")[0].ID}, "s-1", 4)
	o.edit(o.psa, third, seatRule, model.Text("part")) // a new part buys nothing: it comes from the rest
	lines = append(lines, third)
	if shown := text(step("19→17 | 6 9 4").Plan); !strings.Contains(shown, "a new part takes its seats from the line that bills the rest") {
		t.Errorf("the plan does not say why:\n%s", shown)
	}
	o.edit(o.psa, lines[0], seatRule, model.Text("part"))
	o.edit(o.vendor, sub, "quantity", model.Int(25))
	if got := reasons(o.settled().Plan); got != "[held no_rest]" {
		t.Errorf("nobody takes the rest: %s", got)
	}
	o.edit(o.psa, lines[2], "quantity", model.Int(10))
	o.settled()
	o.numbers("25→17 | 6 9 10", subs, lines...)

	// One part ends: its seats are not wanted any more.
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(25))
	o.settled()
	o.edit(o.psa, lines[2], "cancelledDate", model.DayValue(model.NewDay(2031, 3, 13)))
	step("15→17 | 6 9 10")
	o.edit(o.vendor, sub, "status", model.Text("deleted"))
	o.sync()
	for _, ref := range lines[:2] {
		o.holds(o.psa, ref, map[string]string{"cancelledDate": "2031-03-14"})
	}
	o.settled()
}

// A copied line is a mistake until both say that they are parts.
func TestCopiedLineIsNoSplit(t *testing.T) {
	t.Parallel()
	o, sub, lines := split(t)
	o.edit(o.psa, lines[1], seatRule, model.Text(""))
	if got := reasons(o.settled().Plan); got != "[found bad_seat_rule]" {
		t.Errorf("one says so and one does not: %s", got)
	}
	o.edit(o.psa, lines[0], seatRule, model.Text(""))
	o.edit(o.psa, lines[0], "quantity", model.Int(14))
	if got := reasons(o.settled().Plan); got != "[found subscription_on_two_lines]" {
		t.Errorf("none says so: %s", got)
	}
	o.edit(o.psa, lines[1], "custom.Vendor Subscription Id", model.Text(""))
	o.edit(o.psa, lines[1], seatRule, model.Text("part"))
	if got := reasons(o.settled().Plan); got != "[found bad_seat_rule]" {
		t.Errorf("a part of nothing: %s", got)
	}
	o.numbers("14 | 14 5", []connectors.Ref{sub}, lines...)
}

// bundled is a customer whose line bills ten of a bundle: one seat of the one product and two of the other for each.
func bundled(t *testing.T) (o *office, subs []connectors.Ref, line connectors.Ref) {
	t.Helper()
	o, first := kea(t)
	o.edit(o.vendor, first, "quantity", model.Int(10))
	second := o.subscription("t-kea", "s-2", 20, "P1M")
	o.flow.Bundles = []engine.Bundle{{Product: "WORKPLACE", Of: []engine.BundlePart{{Product: premiumM, Ratio: 1}, {Product: premium + " P1M monthly", Ratio: 2}}}}
	company := o.psa.Records("company")[0]
	line = o.line(o.agreement(connectors.Ref{ID: company.ID}), o.item("WORKPLACE"), "", 10)
	o.sync()
	o.settled()
	return o, []connectors.Ref{first, second}, line
}

func TestBundle(t *testing.T) {
	t.Parallel()
	o, subs, line := bundled(t)
	step := func(want string) engine.Result {
		t.Helper()
		result := o.sync()
		o.numbers(want, subs, line)
		o.settled()
		return result
	}
	o.edit(o.psa, line, "quantity", model.Int(12))
	if shown := text(step("12 24 | 12").Plan); !strings.Contains(shown, "12 on the line: 12 of "+premiumM+" (1 for each), 24 of "+premium+" P1M monthly (2 for each)") {
		t.Errorf("the plan does not say how:\n%s", shown)
	}
	o.edit(o.vendor, subs[0], "quantity", model.Int(13))
	if got := reasons(o.settled().Plan); got != "[held out_of_ratio]" {
		t.Errorf("one part alone: %s", got)
	}
	o.edit(o.vendor, subs[1], "quantity", model.Int(26))
	step("13 26 | 13")
	o.edit(o.psa, line, "quantity", model.Int(11))
	if got := reasons(o.settled().Plan); got != "[held term_window]" {
		t.Errorf("committed parts: %s", got)
	}
	for _, sub := range subs {
		o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(4))
	}
	step("11 22 | 11")
	o.newStore()
	o.settled()
	o.flow.Bundles = nil
	if got := reasons(o.settled().Plan); got != "[found regrouped found regrouped]" {
		t.Errorf("a bundle that the flow does not know any more: %s", got)
	}
	if got := len(o.psa.Records("addition")); got != 1 {
		t.Errorf("%d lines, want the bundle's alone", got)
	}
}

// A bundle of which a part is not bought says so, and its other parts get no line of their own.
func TestBundleWithoutAPart(t *testing.T) {
	t.Parallel()
	o, subs, line := bundled(t)
	o.newStore()
	o.edit(o.vendor, subs[1], "status", model.Text("deleted"))
	if got := reasons(o.settled().Plan); got != "[found out_of_ratio]" {
		t.Errorf("got %s", got)
	}
	o.numbers("10 20 | 10", subs, line)
}

// A line counts in its own way: by the flow, by itself, and back. What it bills follows; nothing is bought for it.
func TestCountsOfALine(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	subs := []connectors.Ref{sub}
	step := func(want string) engine.Result {
		t.Helper()
		result := o.sync()
		o.numbers(want, subs, line)
		o.settled()
		return result
	}
	o.flow.Lines.Count = counting(t, "purchased - 5")
	if shown := text(step("14 | 9").Plan); !strings.Contains(shown, "the line counts its seats in another way") || !strings.Contains(shown, "9 on the line = purchased - 5 of 14") {
		t.Errorf("the plan does not say why:\n%s", shown)
	}
	o.edit(o.psa, line, "quantity", model.Int(11))
	step("16 | 11")
	o.edit(o.vendor, sub, "quantity", model.Int(17))
	step("17 | 12")
	o.newStore()
	o.settled()
	o.edit(o.psa, line, seatRule, model.Text("larger(purchased, 20)"))
	step("17 | 20")
	o.edit(o.psa, line, "quantity", model.Int(22))
	step("22 | 22")
	o.edit(o.psa, line, "quantity", model.Int(18))
	if got := reasons(o.settled().Plan); got != "[held out_of_count]" {
		t.Errorf("below its minimum: %s", got)
	}
	o.edit(o.psa, line, "quantity", model.Int(22))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(20)) // two fewer, committed
	step("22→20 | 22")

	// The seats in use, and those agreed.
	o.edit(o.psa, line, seatRule, model.Text("larger(assigned, agreed) - 1"))
	if got := reasons(o.settled().Plan); got != "[held not_counted]" {
		t.Errorf("nobody knows how many are in use: %s", got)
	}
	o.edit(o.vendor, sub, "assigned", model.Int(13))
	o.edit(o.psa, line, agreedSeats, model.Text("15"))
	step("22→20 | 14")
	o.edit(o.vendor, sub, "assigned", model.Int(19))
	step("22→20 | 18")
	o.edit(o.psa, line, agreedSeats, model.Text("21"))
	step("22→20 | 20")
	o.edit(o.psa, line, "quantity", model.Int(30))
	if got := reasons(o.settled().Plan); got != "[found foreign_edit]" {
		t.Errorf("typed over a count: %s", got)
	}
	o.edit(o.psa, line, "quantity", model.Int(20))
	o.edit(o.psa, line, seatRule, model.Text("larger(asigned, agreed)"))
	if found := o.settled().Plan.Findings; len(found) != 1 || found[0].Kind != plan.BadRule || !strings.Contains(found[0].Detail, `"asigned" is nothing that can be counted`) {
		t.Errorf("a rule that cannot be read: %+v", found)
	}
	o.edit(o.psa, line, seatRule, model.Text("purchased"))
	step("22→20 | 22")
	o.edit(o.psa, line, seatRule, model.Text(""))
	o.flow.Lines.Count = plan.Count{}
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(24))
	step("24→20 | 24")
}

// A new line bills what the flow counts; where that is not known it is held.
func TestNewLineCounts(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	o.flow.Lines.Count = counting(t, "larger(purchased - 2, 5)")
	o.sync()
	line := o.onlyLine()
	if got := o.seats(o.psa, line); got != "12" {
		t.Errorf("the line bills %s, want 12", got)
	}
	o.settled()

	other, _ := kea(t)
	other.flow.Lines.Count = counting(t, "assigned")
	if got := reasons(other.sync().Plan); got != "[held not_counted]" {
		t.Errorf("got %s", got)
	}
}

// Interrupted at any write of a shape: the next runs finish it, each write happens once, and the seats are conserved.
func TestInterruptedShapes(t *testing.T) {
	t.Parallel()
	type world struct {
		o     *office
		subs  []connectors.Ref
		lines []connectors.Ref
	}
	type scenario struct {
		make func(t *testing.T) world
		edit func(w world)
		want string
		n    int // writes
	}
	sum := func(t *testing.T) world { o, subs, line := summed(t); return world{o, subs, []connectors.Ref{line}} }
	parts := func(t *testing.T) world {
		o, sub, lines := split(t)
		o.settled()
		return world{o, []connectors.Ref{sub}, lines}
	}
	bundle := func(t *testing.T) world { o, subs, line := bundled(t); return world{o, subs, []connectors.Ref{line}} }
	psa := func(n int64) func(w world) {
		return func(w world) { w.o.edit(w.o.psa, w.lines[len(w.lines)-1], "quantity", model.Int(n)) }
	}
	for name, s := range map[string]scenario{
		"sum raised at the vendor": {sum, func(w world) {
			w.o.edit(w.o.vendor, w.subs[0], "quantity", model.Int(15))
			w.o.edit(w.o.vendor, w.subs[1], "quantity", model.Int(6))
		}, "15 6 | 21", 1},
		"sum raised in the PSA":      {sum, psa(20), "16 4 | 20", 1},
		"sum lowered, all committed": {sum, psa(13), "14→12 4→1 | 18", 3},
		"split raised in the PSA":    {parts, psa(8), "17 | 9 8", 1},
		"split lowered, committed":   {parts, psa(3), "14→12 | 9 5", 2},
		"split raised at the vendor": {parts, func(w world) { w.o.edit(w.o.vendor, w.subs[0], "quantity", model.Int(16)) }, "16 | 11 5", 1},
		"bundle raised in the PSA":   {bundle, psa(12), "12 24 | 12", 2},
		"bundle raised at the vendor": {bundle, func(w world) {
			w.o.edit(w.o.vendor, w.subs[0], "quantity", model.Int(11))
			w.o.edit(w.o.vendor, w.subs[1], "quantity", model.Int(22))
		}, "11 22 | 11", 1},
	} {
		for _, fault := range []string{memory.ErrorAfterCommit, memory.LostBeforeCommit} {
			t.Run(name+" "+fault, func(t *testing.T) {
				t.Parallel()
				w := s.make(t)
				s.edit(w)
				before := w.o.writes()
				w.o.misbehave(w.o.vendor, fault, "2")
				w.o.misbehave(w.o.psa, fault, "2")
				for range 6 {
					w.o.sync()
				}
				w.o.numbers(s.want, w.subs, w.lines...)
				w.o.settled()
				if got := w.o.writes() - before; got != s.n {
					t.Errorf("%d writes, want %d", got, s.n)
				}
			})
		}
	}
}

// A brake that holds one write of a shape holds them all, and releasing it lets them all through.
func TestBrakeHoldsAShapeWhole(t *testing.T) {
	t.Parallel()
	o, subs, line := bundled(t)
	limit := model.NewQuantity(5)
	o.flow.Guards.PerChange.Increase = &limit
	o.edit(o.psa, line, "quantity", model.Int(14)) // four of one and eight of the other
	result := o.settled()
	if got := reasons(result.Plan); got != "[held waits_for held over_change_limit]" {
		t.Fatalf("got %s", got)
	}
	released, ok := plan.Release(result.Plan)
	if !ok || len(released.Changes) != 2 {
		t.Errorf("%d changes are released, want both", len(released.Changes))
	}
	o.numbers("10 20 | 14", subs, line)
}

// From what was not read whole nothing is lowered, and a member that vanished is asked about.
func TestShapesAndWhatWasNotRead(t *testing.T) {
	t.Parallel()
	o, subs, line := summed(t)
	if err := o.vendor.Remove(subs[1]); err != nil {
		t.Fatal(err)
	}
	result, err := o.run(engine.Options{Apply: true, Sweep: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := reasons(result.Plan); got != "[held vanished_at_vendor]" || !strings.Contains(result.Plan.Held[0].Detail, "one line bills several subscriptions together") {
		t.Errorf("got %s: %+v", got, result.Plan.Held)
	}
	o.numbers("14 | 18", subs[:1], line)
}

// An undo of shared seats is refused in words; the chain of a shared number names everybody who has a part in it.
func TestUndoAndWhyOfShapes(t *testing.T) {
	t.Parallel()
	o, subs, line := summed(t)
	o.edit(o.psa, line, "quantity", model.Int(20))
	raised := o.sync()
	undone := o.undo(raised.Run)
	if got := reasons(undone.Plan); got != "[found not_undone]" || !strings.Contains(undone.Plan.Findings[0].Detail, "one line bills several subscriptions together") {
		t.Errorf("got %s: %+v", got, undone.Plan.Findings)
	}
	for id, links := range map[string]int{subs[1].ID: 1, line.ID: 2} {
		chains, err := o.engine.Why(t.Context(), []engine.Flow{o.flow}, id)
		if err != nil || len(chains) != links {
			t.Fatalf("%d chains for %s, want %d (%v)", len(chains), id, links, err)
		}
		if want := "one line bills several subscriptions together: 16 (s-1) + 4 (s-2)"; chains[0].Shape != want {
			t.Errorf("the chain of %s says %q, want %q", id, chains[0].Shape, want)
		}
		for _, chain := range chains {
			written := false // the line was made for both
			for _, h := range chain.History {
				written = written || h.Op == "create" && h.State == "done"
			}
			if !written {
				t.Errorf("the chain of %s does not tell how the line came to be: %+v", chain.Vendor.ID, chain.History)
			}
		}
	}
	var kept []string
	err := o.engine.Store.Links(t.Context(), o.flow.Name, model.KindLine, func(l state.Link) error {
		kept = append(kept, l.Vendor.ID+" "+l.PSA.ID+" "+l.Shape)
		return nil
	})
	if want := "s-1 " + line.ID + " sum, s-2 " + line.ID + " sum"; err != nil || strings.Join(kept, ", ") != want {
		t.Errorf("links are %v, want %s (%v)", kept, want, err)
	}
}

// A thousand quiet minutes write nothing for any shape.
func TestShapesAreQuiet(t *testing.T) {
	t.Parallel()
	o, _, _ := summed(t)
	before := o.writes()
	for range 20 {
		o.now = o.now.Add(time.Hour)
		o.sync()
	}
	if got := o.writes() - before; got != 0 {
		t.Errorf("%d writes although nothing changed", got)
	}
}
