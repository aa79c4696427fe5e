package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

var today = model.NewDay(2031, 3, 14)

// wrote is a run's change of seats on one side, and the seats on both sides now.
func wrote(side plan.Side, reason plan.Reason, from, to, vendor, psa int64) plan.Reversal {
	r := plan.Reversal{Pair: pair("x", 0, vendor, psa), Found: true, CanEnd: true}
	c := plan.Change{ID: "c", Op: plan.OpChange, Side: side, Account: "psa", Target: r.Pair.Ref.PSA, Label: "Business Premium", Customer: "Kea Logistics", Pair: r.Pair.Ref,
		Fields: []plan.FieldChange{{Field: "quantity", From: model.Int(from), To: model.Int(to), Reason: reason}}}
	if side == plan.Vendor {
		c.Account, c.Target = "microsoft", r.Pair.Ref.Vendor
	}
	r.Done, r.Wrote = c, seats(to)
	return r
}

// created is a line that a run created with 14 seats, and its seats now.
func created(now int64) plan.Reversal {
	r := wrote(plan.PSA, plan.NewAtVendor, 0, 14, 14, now)
	r.Done.Op, r.Done.Fields = plan.OpCreate, []plan.FieldChange{{Field: "quantity", To: model.Int(14), Reason: plan.NewAtVendor}}
	return r
}

func with(r plan.Reversal, change func(*plan.Reversal)) plan.Reversal {
	change(&r)
	return r
}

// told is a plan in short lines.
func told(p plan.Plan) (lines []string) {
	for _, c := range p.Changes {
		line := fmt.Sprintf("%s %s", c.Op, c.Side)
		for _, f := range c.Fields {
			line += fmt.Sprintf(" %s %s->%s", f.Field, f.From, f.To)
		}
		if !c.Last.IsZero() {
			line += " last " + c.Last.String()
		}
		lines = append(lines, line)
	}
	for _, h := range p.Held {
		lines = append(lines, fmt.Sprintf("held %s %s", h.Change.Side, h.Reason))
	}
	for _, f := range p.Findings {
		lines = append(lines, "found "+string(f.Kind))
	}
	if p.Counts.InStep > 0 {
		lines = append(lines, fmt.Sprintf("in step %d", p.Counts.InStep))
	}
	return lines
}

func TestReverse(t *testing.T) {
	t.Parallel()
	window := func(n int64) func(*plan.Reversal) {
		return func(r *plan.Reversal) { r.Pair.Reducible = model.Int(n) }
	}
	for _, c := range []struct {
		name string
		done plan.Reversal
		want []string
	}{
		{"raised at the vendor, window open: both sides go back", with(wrote(plan.Vendor, plan.PSAChanged, 14, 17, 17, 17), window(3)),
			[]string{"change vendor quantity 17->14", "change psa quantity 17->14", "found refund_window"}},
		{"raised at the vendor, window closed: neither goes back", wrote(plan.Vendor, plan.PSAChanged, 14, 17, 17, 17), []string{"held vendor term_window", "held psa waits_for"}},
		{"raised at the vendor, fewer may go back", with(wrote(plan.Vendor, plan.PSAChanged, 14, 17, 17, 17), window(2)), []string{"held vendor term_window", "held psa waits_for"}},
		{"lowered at the vendor", wrote(plan.Vendor, plan.PSAChanged, 14, 12, 12, 12), []string{"change vendor quantity 12->14", "change psa quantity 12->14"}},
		{"raised in the PSA", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 17, 17), window(3)),
			[]string{"change vendor quantity 17->14", "change psa quantity 17->14", "found refund_window"}},
		{"raised in the PSA, and the edit is gone", wrote(plan.PSA, plan.VendorChanged, 14, 17, 14, 17), []string{"change psa quantity 17->14"}},
		{"already as it was", wrote(plan.PSA, plan.VendorChanged, 14, 17, 14, 14), []string{"in step 1"}},
		{"the written side is as it was, the edit is not", wrote(plan.PSA, plan.VendorChanged, 14, 12, 12, 14), []string{"change vendor quantity 12->14"}},
		{"the written side moved on", wrote(plan.PSA, plan.VendorChanged, 14, 17, 17, 21), []string{"held psa moved_since"}},
		{"the side of the edit moved on", wrote(plan.PSA, plan.VendorChanged, 14, 17, 20, 17), []string{"held psa moved_since"}},
		{"written by the first rule", wrote(plan.PSA, plan.FirstMet, 10, 14, 14, 14), []string{"held psa comes_back"}},
		{"written by a conflict rule", wrote(plan.PSA, plan.RuleDecided, 10, 14, 14, 14), []string{"held psa comes_back"}},
		{"an undone run is undone", wrote(plan.PSA, plan.Undo, 17, 14, 14, 14), []string{"change psa quantity 14->17"}},
		{"what was before is not known", with(wrote(plan.PSA, plan.VendorChanged, 0, 17, 17, 17), func(r *plan.Reversal) { r.Done.Fields[0].From = model.Value{} }), []string{"found not_undone"}},
		{"not linked any more", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 17, 17), func(r *plan.Reversal) { r.Found = false }), []string{"found not_undone"}},
		{"the line ended since", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 17, 17), func(r *plan.Reversal) { r.Ended = today.Add(-1) }), []string{"found not_undone"}},
		{"a read that failed lowers nothing", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 14, 17), func(r *plan.Reversal) { r.Pair.Complete = false }), []string{"held psa incomplete_read"}},
		{"a write in flight", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 14, 17), func(r *plan.Reversal) { r.Pair.InFlight = true }), []string{"held psa in_flight"}},
		{"a trial", with(wrote(plan.Vendor, plan.PSAChanged, 14, 12, 12, 14), func(r *plan.Reversal) { r.Pair.Locked = "this is a trial" }), []string{"held vendor no_change_now"}},
		{"read back otherwise than written", with(wrote(plan.PSA, plan.VendorChanged, 14, 17, 14, 18), func(r *plan.Reversal) { r.Wrote = seats(18) }), []string{"change psa quantity 18->14"}},

		{"a created line is ended", created(14), []string{"end psa quantity 14->0 last 2031-03-14"}},
		{"a created line that moved on", created(15), []string{"held psa moved_since"}},
		{"a created line that ended", with(created(14), func(r *plan.Reversal) { r.Ended = today }), []string{"in step 1"}},
		{"a created line that will end", with(created(14), func(r *plan.Reversal) { r.Ended = today.Add(1) }), []string{"end psa quantity 14->0 last 2031-03-14"}},
		{"a created line that is gone", with(created(14), func(r *plan.Reversal) { r.Found, r.Gone = false, true }), []string{"in step 1"}},
		{"a created line that is not linked any more", with(created(14), func(r *plan.Reversal) { r.Found = false }), []string{"found not_undone"}},
		{"a created line that cannot be ended", with(created(14), func(r *plan.Reversal) { r.CanEnd = false }), []string{"held psa not_editable"}},
		{"a created product stays", with(created(14), func(r *plan.Reversal) { r.Done.Target.Kind = model.KindProduct }), []string{"found not_undone"}},
		{"an ended line stays ended", with(created(14), func(r *plan.Reversal) { r.Done.Op, r.Ended = plan.OpEnd, today }), []string{"found not_undone"}},
		{"an ended line that was opened again", with(created(14), func(r *plan.Reversal) { r.Done.Op = plan.OpEnd }), []string{"in step 1"}},
		{"an id that was kept stays", with(wrote(plan.PSA, plan.KeepID, 0, 1, 1, 1), func(r *plan.Reversal) { r.Done.Fields[0].Field = "subscription" }), []string{"in step 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := plan.Guard(plan.Reverse("f", "run-1", today, []plan.Reversal{c.done}), plan.Guards{}, nil, plan.Recent{})
			if diff := cmp.Diff(c.want, told(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, h := range p.Held {
				if h.Detail == "" || h.Next == "" {
					t.Errorf("%s says no detail or next step", h.Reason)
				}
			}
		})
	}
}

func TestReverseSaysUntilWhenAndWhatItCosts(t *testing.T) {
	t.Parallel()
	open := wrote(plan.Vendor, plan.PSAChanged, 14, 17, 17, 17)
	open.Pair.Reducible, open.Until, open.TermEnd = model.Int(3), time.Date(2031, 3, 21, 9, 15, 0, 0, time.UTC), model.NewDay(2032, 3, 4)
	windows := open
	windows.Windows = []string{"2 until 2031-03-15T09:15:00Z", "1 until 2031-03-21T09:15:00Z"}
	if got := plan.Reverse("f", "run-1", today, []plan.Reversal{windows}).Findings[0].Detail; !strings.HasPrefix(got, "2 until 2031-03-15T09:15:00Z, 1 until 2031-03-21T09:15:00Z; ") {
		t.Errorf("the windows are told as %q", got)
	}
	closed := open
	closed.Pair.Reducible = model.Int(1)
	back := plan.Reverse("f", "run-1", today, []plan.Reversal{open})
	if len(back.Changes) != 2 || back.Changes[0].Effect.Cost.String() != "-30.15 GBP" || back.Changes[1].Effect.Bill.String() != "-45 GBP" {
		t.Errorf("prices: %+v", back.Changes)
	}
	if f := back.Findings[0]; !strings.Contains(f.Detail, "until 2031-03-21T09:15:00Z") || !strings.Contains(f.Detail, "2032-03-04") || f.Money.String() != "30.15 GBP" {
		t.Errorf("the window is told as %+v", f)
	}
	held := plan.Reverse("f", "run-1", today, []plan.Reversal{closed}).Held[0]
	for _, word := range []string{"at most 1 may be taken back today", "3 seats would go on costing 30.15 GBP a month", "until 2032-03-04"} {
		if !strings.Contains(held.Detail, word) {
			t.Errorf("held says %q, without %q", held.Detail, word)
		}
	}
}

// The order in which changes were done, or are given, decides nothing; changes of one pair are one write to each side.
func TestReverseIsOnePlanForARun(t *testing.T) {
	t.Parallel()
	first, second := wrote(plan.PSA, plan.VendorChanged, 14, 12, 12, 12), wrote(plan.PSA, plan.VendorChanged, 0, 0, 12, 12)
	for _, r := range []*plan.Reversal{&first, &second} {
		r.Pair.PSA.Now["unit_price"] = money("16 GBP")
		r.Pair.Rules["unit_price"] = plan.FieldRule{Owner: plan.OwnerPSA}
	}
	second.Done.Fields = []plan.FieldChange{{Field: "unit_price", From: money("15 GBP"), To: money("16 GBP"), Reason: plan.Undo}}
	dones := []plan.Reversal{first, second}
	p := plan.Reverse("f", "run-1", today, dones)
	want := []string{"change vendor quantity 12->14", "change psa quantity 12->14 unit_price 16 GBP->15 GBP"}
	if diff := cmp.Diff(want, told(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slices.Reverse(dones)
	if again := plan.Reverse("f", "run-1", today, dones); again.Digest() != p.Digest() {
		t.Error("the order in which they are given changes the plan")
	}
	if other := plan.Reverse("f", "run-2", today, dones); other.Digest() == p.Digest() {
		t.Error("plans that undo different runs have one digest")
	}
}
