package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// outside says why a vendor would not, or a careful person should not, go from some seats to others now; no reason when nothing speaks
// against it. What stands outside already may stay, and come nearer.
func (t Term) outside(from, to model.Quantity) (reason Reason, detail, next string) {
	least, hasLeast := t.Least.Quantity()
	most, hasMost := t.Most.Quantity()
	raised, lowered := to.Cmp(from) > 0, to.Cmp(from) < 0
	switch {
	case raised && hasMost && to.Cmp(most) > 0:
		return SeatLimits, fmt.Sprintf("%s seats would become %s; the vendor sells at most %s of this product in one subscription", from, to, most),
			fmt.Sprintf("put the line to %s or fewer, and buy another subscription or another product for the rest", most)
	case lowered && hasLeast && to.Cmp(least) < 0:
		return SeatLimits, fmt.Sprintf("%s seats would become %s; the vendor sells at least %s of this product in one subscription", from, to, least),
			fmt.Sprintf("put the line to %s or more, or end it", least)
	case raised && t.Base != nil && to.Cmp(t.Base.Seats) > 0:
		return AddOnFollows, fmt.Sprintf("%s seats of the add-on would become %s; its base, %s, has %s", from, to, t.Base.Label, t.Base.Seats), "raise the base first"
	}
	if !lowered {
		return "", "", ""
	}
	if a, more := t.largest(to); more {
		return AddOnFollows, fmt.Sprintf("%s seats would become %s; the add-on %s has %s and cannot have more than its base", from, to, a.Label, a.Seats), "lower the add-on first"
	}
	if used, counted := t.Assigned.Quantity(); counted && to.Cmp(used) < 0 {
		return InUse, fmt.Sprintf("%s seats would become %s, and %s are in use: %s users would lose theirs", from, to, used, used.Sub(to)),
			"take the seats from the users first; or check it, then release it for this plan with trueup approve"
	}
	return "", "", ""
}

// largest is the add-on with the most seats, when these are more than some seats and it goes on.
func (t Term) largest(than model.Quantity) (largest AddOn, more bool) {
	for _, a := range t.AddOns {
		if !a.Ends && a.Seats.Cmp(than) > 0 && a.Seats.Cmp(largest.Seats) > 0 {
			largest, more = a, true
		}
	}
	return largest, more
}

// outsideNext does the same for what is scheduled: from seats until the end of the term, to those afterwards.
func (t Term) outsideNext(next Change, from, to model.Quantity) (reason Reason, detail, text string) {
	ends := slices.ContainsFunc(next.Fields, func(f FieldChange) bool { return f.Field == "at_end" && f.To.String() == EndCancel })
	if !ends {
		if slices.ContainsFunc(next.Fields, func(f FieldChange) bool { return f.Field == "next_product" && !f.To.Blank() }) {
			t.Least, t.Most = model.Value{}, model.Value{} // they are those of today's product
		}
		return t.outside(from, to)
	}
	var left []string
	for _, a := range t.AddOns {
		if !a.Ends {
			left = append(left, fmt.Sprintf("%s (%s seats)", a.Label, a.Seats))
		}
	}
	if len(left) == 0 {
		return "", "", ""
	}
	return AddOnFollows, fmt.Sprintf("it would be cancelled on %s, and with it the add-ons %s, which go on in the PSA", t.End, joined(left)), "end the lines of the add-ons too, or keep the base"
}

func joined(parts []string) string {
	text := ""
	for i, part := range parts {
		switch {
		case i == 0:
		case i == len(parts)-1:
			text += " and "
		default:
			text += ", "
		}
		text += part
	}
	return text
}

// losses are what the vendor deleted by itself.
type losses struct{ next, end bool }

// lost is what was scheduled for the end of the term and is gone while the seats changed at the vendor inside the same term: nobody
// withdrew it, a change in the vendor's portal took it along. Switching auto-renewal off is somebody's decision.
func (p Pair) lost() losses {
	was, now := p.Vendor.Memory, p.Vendor.Now
	if !p.Term.Schedulable || p.Locked != "" || p.Term.End.IsZero() || was["term_end"] != model.DayValue(p.Term.End) ||
		!was["quantity"].Known() || was["quantity"] == now["quantity"] || p.Term.AutoRenew.Known() && !p.Term.AutoRenew.True() {
		return losses{}
	}
	return losses{next: !was["next_quantity"].Blank() && now["next_quantity"].Known() && now["next_quantity"].Blank() && now["at_end"].String() == "",
		end: was["at_end"].String() == EndCancel && now["at_end"].Known() && now["at_end"].String() == ""}
}

// reschedule puts into a plan what the vendor deleted, or what must change with the seats: a subscription that was to renew as it is goes
// on doing so.
func (p Pair) reschedule(lost losses, toVendor Change, toNext, toPSA *Change) {
	now := p.Vendor.Now["next_quantity"]
	if lost.next {
		if len(toNext.Fields) > 0 {
			toNext.Fields[0].From = now
			return
		}
		toNext.Fields = append(toNext.Fields, FieldChange{Field: "next_quantity", From: now, To: p.Vendor.Memory["next_quantity"], Reason: ScheduleLost})
		return
	}
	from, to, seats := toVendor.Seats()
	if asIs, ok := now.Quantity(); ok && seats && asIs.Cmp(from) == 0 && len(toNext.Fields) == 0 && p.Term.Schedulable {
		if _, waits := p.later(from, to); waits {
			return // postpone schedules the lower number itself
		}
		toNext.Fields = append(toNext.Fields, FieldChange{Field: "next_quantity", From: now, To: model.QuantityValue(to), Reason: FollowsSeats})
		p.showNext(model.QuantityValue(to), FollowsSeats, toPSA)
	}
}

// showNext writes the seats to renew with on the line, where the line has a field for them.
func (p Pair) showNext(seats model.Value, reason Reason, toPSA *Change) {
	shown := p.PSA.Now["next_quantity"]
	if !shown.Known() || !p.PSA.Writable["next_quantity"] || shown == seats || shown.Blank() && seats.Blank() {
		return
	}
	toPSA.Fields = slices.DeleteFunc(toPSA.Fields, func(f FieldChange) bool { return f.Field == "next_quantity" })
	toPSA.Fields = append(toPSA.Fields, FieldChange{Field: "next_quantity", From: shown, To: seats, Reason: reason})
}

// remember keeps a value that one side alone has.
func (m *Memory) remember(field string, v model.Value, known bool) {
	if known && v.Known() {
		m.Vendor[field] = v
	}
}

// fulfil plans what a person decided about the end of the term, instead of anything else that was to be scheduled. A decision that the vendor
// was told is done: what is scheduled later stands.
func (p *Plan) fulfil(pair Pair, toVendor Change, next, toPSA *Change) {
	d := pair.Term.Decision
	if d == nil || !pair.Term.Schedulable || pair.Term.End.IsZero() {
		return
	}
	seats := pair.Vendor.Now["quantity"]
	if _, to, changes := toVendor.Seats(); changes {
		seats = model.QuantityValue(to)
	}
	if d.Seats.Known() {
		seats = d.Seats
	}
	fields, done := pair.decision(seats)
	if done {
		p.Fulfilled = append(p.Fulfilled, d.ID)
		return
	}
	next.Fields, next.Detail = fields, "decided by "+d.By
	toPSA.Fields = slices.DeleteFunc(toPSA.Fields, func(f FieldChange) bool { return f.Field == "next_quantity" })
	after := model.Empty(model.TypeQuantity)
	if d.Action == EndRenew {
		after = seats
	}
	pair.showNext(after, Decided, toPSA)
}

// decision is what the vendor must be told of a decision; done is true when it says so already. seats are those to renew with.
func (p Pair) decision(seats model.Value) (fields []FieldChange, done bool) {
	d, now := p.Term.Decision, p.Vendor.Now
	if d.Action != EndRenew {
		return []FieldChange{{Field: "at_end", From: now["at_end"], To: model.Text(d.Action), Reason: Decided}}, now["at_end"].String() == d.Action
	}
	fields = []FieldChange{{Field: "next_quantity", From: now["next_quantity"], To: seats, Reason: Decided}}
	done = now["next_quantity"] == seats
	product := d.Product
	if !product.Known() && !now["next_product"].Blank() {
		product = model.Text(p.Term.Product) // another one was scheduled, and is not wanted any more
	}
	if product.Known() && now["next_product"] != product {
		fields, done = append(fields, FieldChange{Field: "next_product", From: now["next_product"], To: product, Reason: Decided}), false
	}
	return fields, done
}

// ToldAlready reports that the vendor says what a person decided.
func ToldAlready(p Pair) bool {
	if p.Term.Decision == nil {
		return false
	}
	seats := p.Vendor.Now["quantity"]
	if p.Term.Decision.Seats.Known() {
		seats = p.Term.Decision.Seats
	}
	_, done := p.decision(seats)
	return done
}

// ComputeAlone plans what a person decided about the end of a term, for a subscription that no line bills.
func ComputeAlone(flow string, pair Pair) Plan {
	p := Plan{Flow: flow}
	next, none := newChange(flow, pair, Vendor, OpSchedule), newChange(flow, pair, PSA, OpChange)
	p.fulfil(pair, newChange(flow, pair, Vendor, OpChange), &next, &none)
	seats, _ := pair.Vendor.Now["quantity"].Quantity()
	p.keepSchedule(pair, next, seats, false)
	return p
}

// unusedSince is the day since which a pair has seats that are not in use; empty when it has none, not known when nobody counts.
func (p Pair) unusedSince() model.Value {
	seats, _ := p.Vendor.Now["quantity"].Quantity()
	used, counted := p.Term.Assigned.Quantity()
	before := p.Vendor.Memory["unused_since"]
	switch {
	case !counted:
		return before
	case used.Cmp(seats) >= 0:
		return model.Empty(model.TypeDay)
	case before.Blank():
		return model.DayValue(model.DayOf(p.Term.Now.UTC()))
	}
	return before
}

// Saving is when seats that are not in use can go, and what that saves.
type Saving struct {
	Seats  model.Quantity // not in use
	Now    model.Quantity // of them the vendor takes back now, until the first of its windows closes
	Until  time.Time      // when that is, UTC; zero when nothing can go now, or the vendor does not say
	Day    model.Day      // the next day on which lowering saves money
	Month  model.Money    // what all of them cost a month; no currency when no price is known
	Decree bool           // the renewal is scheduled with no more seats than are in use, or cancelled
}

// Save reckons with seats that are not in use; ok is false when there are none, or nobody counts.
func Save(p Pair) (s Saving, ok bool) {
	seats, _ := p.Vendor.Now["quantity"].Quantity()
	used, counted := p.Term.Assigned.Quantity()
	if !counted || used.Cmp(seats) >= 0 {
		return s, false
	}
	s.Seats = seats.Sub(used)
	if cost, priced := p.UnitCost.Money(); priced {
		s.Month = cost.Times(s.Seats)
	}
	if !p.Term.End.IsZero() {
		s.Day = p.Term.End.Add(1)
	}
	next, scheduled := p.Vendor.Now["next_quantity"].Quantity()
	s.Decree = p.Vendor.Now["at_end"].String() == EndCancel || scheduled && next.Cmp(used) <= 0
	if p.Locked != "" {
		return s, true
	}
	if s.Now = p.Term.reducible(p.Reducible); s.Now.Cmp(s.Seats) > 0 {
		s.Now = s.Seats
	}
	if s.Now.Sign() > 0 {
		s.Day, s.Until = model.DayOf(p.Term.Now.UTC()), p.Term.firstClose()
	}
	return s, true
}

// firstClose is when the first open window closes.
func (t Term) firstClose() (first time.Time) {
	for _, window := range t.Windows {
		_, until, _ := strings.Cut(window, " until ")
		if closes, err := time.Parse(time.RFC3339, until); err == nil && closes.After(t.Now) && (first.IsZero() || closes.Before(first)) {
			first = closes
		}
	}
	return first
}

// Unused is the finding that seats are paid for and were not in use for some days; 0 days for never.
func Unused(pair Pair, after int) (f Finding, ok bool) {
	s, unused := Save(pair)
	since, known := pair.unusedSince().Day()
	if !unused || !known || after <= 0 || s.Decree || since.Until(model.DayOf(pair.Term.Now.UTC())) < after {
		return f, false
	}
	seats, _ := pair.Vendor.Now["quantity"].Quantity()
	cost, saves := "no price is known", "the end of a term is not known"
	if s.Month.Sign() > 0 {
		cost = roundedText(s.Month) + " a month"
	}
	if !s.Day.IsZero() {
		saves = "lowering saves from " + s.Day.String()
	}
	return Finding{Key: ChangeID("unused", pair.Ref.Vendor.Parent, pair.Ref.Vendor.ID), Kind: UnusedSeats, Customer: pair.Customer,
		Title:  fmt.Sprintf("%s: %s of %s seats were not in use since %s", pair.Label, s.Seats, seats, since),
		Detail: fmt.Sprintf("%s; %s", cost, saves),
		Next:   "trueup report unused shows when they can go; lower the line, or decide how many seats renew", Money: s.Month}, true
}
