package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Reversal is a change that a run did, and what both sides of its pair hold now.
type Reversal struct {
	Done  Change
	Wrote model.Fields // what the written side held after it, as read back
	Pair  Pair         // as it stands now; its memory is not looked at
	Found bool         // the records of the pair are still there and linked
	Gone  bool         // the written record was looked for and is not there any more

	// These are for lines.
	Ended  model.Day // last billed day; zero while it bills
	CanEnd bool      // the system lets lines be ended

	// These are for subscriptions; they are empty where the vendor does not say.
	Windows []string  // how many seats the vendor takes back until when, in words
	Until   time.Time // last moment (UTC) at which it takes back the whole subscription
	TermEnd model.Day // last day of the current term
}

// Reverse plans to put back what a run changed; today is the last billed day of lines that it had created. dones are in the order in
// which they were done.
//
// A field goes back to what it was if its record still holds what the run wrote; otherwise it moved on since, and a person decides.
// A run carries an edit from one side to the other, so the side of the edit is put back too: otherwise the next run would carry it
// over again. What the flow would write again for another reason (an owner, a rule) is held and says so. Seats go down at the vendor
// only as far as it takes them back now. Ids that were kept stay. What already is as it was counts as in step, so undoing twice is
// an empty plan.
func Reverse(flow, run string, today model.Day, dones []Reversal) Plan {
	r := reverser{plan: Plan{Flow: flow, Undoes: run}, today: today}
	for _, done := range slices.Backward(dones) {
		r.plan.Counts.Pairs++
		switch c := done.Done; {
		case c.Pair.Shape != ShapeOne:
			r.cannot(c, "its seats are shared or counted ("+c.Pair.Shape.Sentence()+"), and an undo of one record would be read as an edit of the others",
				"type the number that is wanted on the line or at the vendor; the others follow")
		case c.Op == OpEnd:
			r.end(done)
		case c.Op == OpCreate:
			r.create(done)
		case c.Op == OpSchedule:
			r.cannot(c, "it is scheduled for the end of the term on "+c.AtEnd.After.String(), "change the seats at renewal on the line, open the line again, or take it back at the vendor's portal")
		case slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return f.Reason == Committed }):
			r.cannot(c, "these seats are committed until the end of the term", "leave the line as it is; it follows when the term ends")
		default:
			r.change(done)
		}
	}
	r.finish()
	r.plan.Sort()
	return r.plan
}

type reverser struct {
	plan  Plan
	today model.Day
	pairs []*putBack
}

// putBack is what is to be written to the two sides of one pair.
type putBack struct {
	Reversal
	vendor, psa []FieldChange
}

func (r *reverser) cannot(done Change, detail, next string) {
	r.plan.Counts.NotCompared++
	r.plan.Findings = append(r.plan.Findings, Finding{Key: ChangeID("not undone", r.plan.Undoes, done.ID), Kind: NotUndone, Customer: done.Customer,
		Title: fmt.Sprintf("%s %s: %s", done.Op, done.Label, NotUndone.Sentence()), Detail: detail, Next: next})
}

func (r *reverser) hold(c Change, reason Reason, detail, next string) {
	r.plan.Held = append(r.plan.Held, Held{c, reason, detail, next})
}

func (r *reverser) end(done Reversal) {
	if done.Found && done.Ended.IsZero() {
		r.plan.Counts.InStep++ // somebody opened it again
		return
	}
	r.cannot(done.Done, fmt.Sprintf("the line was ended on %s, and an ended line cannot be opened again from here", done.Done.Last),
		"open it by hand in "+done.Done.Account)
}

func (r *reverser) create(done Reversal) {
	c := done.Done
	switch {
	case c.Target.Kind != model.KindLine:
		r.cannot(c, fmt.Sprintf("the %s was created in %s, and nothing is deleted from here", c.Target.Kind, c.Account), "make it inactive by hand if nothing needs it")
		return
	case done.Gone, done.Found && !done.Ended.IsZero() && done.Ended.Cmp(r.today) <= 0:
		r.plan.Counts.InStep++ // it is gone, or bills no more
		return
	case !done.Found:
		r.cannot(c, fmt.Sprintf("line %s is not linked with a subscription any more", c.Target.ID), "end it by hand if it still bills")
		return
	}
	end := newChange(r.plan.Flow, done.Pair, PSA, OpEnd)
	end.Op, end.Last, end.Reason = OpEnd, r.today, Undo
	end.ID = ChangeID(r.plan.Flow, string(end.Side), string(end.Op), string(end.Target.Kind), end.Target.Parent, end.Target.ID)
	now := done.Pair.PSA.Now["quantity"]
	end.Fields = []FieldChange{{Field: "quantity", From: now, To: model.Int(0), Reason: Undo}}
	seats, _ := now.Quantity()
	price, priced := done.Pair.UnitPrice.Money()
	end.Effect = Effect{Bill: price.Times(seats).Neg(), Unpriced: !priced}
	wrote := written(done, "quantity", valueIn(c.Fields, "quantity"))
	switch {
	case done.Pair.InFlight:
		r.hold(end, InFlight, "an earlier write to this line was interrupted and its outcome has not been seen", "it is looked at before the next run")
	case !slices.Contains(wrote, now):
		r.hold(end, MovedSince, fmt.Sprintf("it was created with %s seats and has %s now; a created line cannot be deleted, only ended", shown(wrote[0]), shown(now)), "end it by hand if it is not wanted")
	case !done.CanEnd:
		r.hold(end, NotEditable, "a created line cannot be deleted, and "+c.Account+" does not let it be ended", "end it by hand")
	default:
		r.plan.Changes = append(r.plan.Changes, end)
	}
}

// written are the values that count as what the run left in a field.
func written(done Reversal, field string, to model.Value) []model.Value {
	values := []model.Value{to}
	if v := done.Wrote[field]; v.Known() {
		values = append(values, v)
	}
	return values
}

func valueIn(fields []FieldChange, name string) model.Value {
	for _, f := range fields {
		if f.Field == name {
			return f.To
		}
	}
	return model.Value{}
}

func (r *reverser) change(done Reversal) {
	if done.Done.idOnly() {
		r.plan.Counts.InStep++ // ids that were kept stay
		return
	}
	switch {
	case !done.Found:
		r.cannot(done.Done, "its record is not there or not linked any more", "look at it by hand: trueup why "+done.Done.Target.ID)
		return
	case !done.Ended.IsZero() && done.Ended.Cmp(r.today) < 0:
		r.cannot(done.Done, fmt.Sprintf("the line ended on %s", done.Ended), "look at it by hand: trueup why "+done.Done.Target.ID)
		return
	}
	back := r.of(done)
	said := func() int { return len(r.plan.Held) + len(r.plan.Findings) + len(back.vendor) + len(back.psa) }
	before := said()
	for _, f := range done.Done.Fields {
		if !f.Reason.keeps() {
			r.field(done, back, f)
		}
	}
	if before == said() {
		r.plan.Counts.InStep++
	}
}

// of is the pair's place, shared by all changes of the run to that pair.
func (r *reverser) of(done Reversal) *putBack {
	for _, p := range r.pairs {
		if p.Pair.Ref.Vendor == done.Pair.Ref.Vendor && p.Pair.Ref.PSA == done.Pair.Ref.PSA && p.Pair.Ref.Kind == done.Pair.Ref.Kind {
			return p
		}
	}
	r.pairs = append(r.pairs, &putBack{Reversal: done})
	return r.pairs[len(r.pairs)-1]
}

// field puts one field back, on the side that was written and, where the run had carried an edit over, on the side of the edit.
func (r *reverser) field(done Reversal, back *putBack, f FieldChange) {
	pair, side := done.Pair, done.Done.Side
	wroteEnd, otherEnd, other := pair.PSA, pair.Vendor, Vendor
	if side == Vendor {
		wroteEnd, otherEnd, other = pair.Vendor, pair.PSA, PSA
	}
	now, there := wroteEnd.Now[f.Field], otherEnd.Now[f.Field]
	rule := pair.Rules[f.Field]
	was := fmt.Sprintf("%s went from %s to %s in %s", f.Field, shown(f.From), shown(f.To), wroteEnd.Account)
	held := func(reason Reason, detail, next string) {
		c := newChange(r.plan.Flow, pair, side, OpChange)
		c.Reason, c.Fields = Undo, []FieldChange{{Field: f.Field, From: now, To: f.From, Reason: Undo}}
		c.Effect = effectOf(pair, c)
		r.hold(c, reason, detail, next)
	}
	edit := (f.Reason == VendorChanged || f.Reason == PSAChanged) && rule.Owner == OwnerBoth && otherEnd.Writable[f.Field]
	isWritten, isThere := slices.Contains(written(done, f.Field, f.To), now), there == f.To
	switch {
	case !f.From.Known():
		r.cannot(done.Done, f.Field+" was written and what it held before is not known", "put it right by hand in "+wroteEnd.Account)
	case now == f.From && (!edit || there != f.To):
		// It is as it was.
	case !isWritten && now != f.From:
		held(MovedSince, fmt.Sprintf("%s; it holds %s now", was, shown(now)), "put it right by hand, or run trueup undo for the later run first")
	case edit && !isThere && there != f.From:
		held(MovedSince, fmt.Sprintf("%s; %s holds %s now", was, otherEnd.Account, shown(there)), "put both sides right by hand, or run trueup undo for the later run first")
	case !edit && isThere && f.From != f.To && f.Reason != Undo:
		held(ComesBack, fmt.Sprintf("%s (%s), and %s still holds %s", was, f.Reason.Sentence(), otherEnd.Account, shown(there)),
			"change it in "+otherEnd.Account+", or the owner or rule of "+f.Field+" in the flow; then undo again")
	default:
		if isWritten {
			back.add(side, f.Field, now, f.From)
		}
		if edit && isThere {
			back.add(other, f.Field, there, f.From)
		}
	}
}

func (b *putBack) add(side Side, field string, from, to model.Value) {
	list := &b.psa
	if side == Vendor {
		list = &b.vendor
	}
	if from != to && !slices.ContainsFunc(*list, func(f FieldChange) bool { return f.Field == field }) {
		*list = append(*list, FieldChange{Field: field, From: from, To: to, Reason: Undo})
	}
}

// finish makes the changes of each pair. The line follows the subscription, so that nothing is billed for less than is paid: when
// the vendor does not take the seats back, the line is not put back either.
func (r *reverser) finish() {
	for _, back := range r.pairs {
		var vendorSeats string
		for _, side := range []Side{Vendor, PSA} {
			c := newChange(r.plan.Flow, back.Pair, side, OpChange)
			c.Fields, c.Reason = back.psa, Undo
			if side == Vendor {
				c.Fields = back.vendor
			}
			if len(c.Fields) == 0 {
				continue
			}
			slices.SortFunc(c.Fields, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
			c.Effect = effectOf(back.Pair, c)
			_, _, seats := c.Seats()
			if side == Vendor && seats {
				vendorSeats = c.ID
			}
			if side == PSA && seats && vendorSeats != "" {
				c.After = []string{vendorSeats}
			}
			r.propose(back, c)
		}
	}
}

func (r *reverser) propose(back *putBack, c Change) {
	from, to, seats := c.Seats()
	lower := c.Side == Vendor && seats && to.Cmp(from) < 0
	stays, why := holdOne(back.Pair, c)
	if lower && why.Reason == TermWindow && back.Pair.Locked == "" {
		why.Detail += fmt.Sprintf("; %s seats would go on costing %s a month%s", from.Sub(to), c.Effect.Cost.Neg().Display(), back.committed())
		why.Next = "ask for fewer seats at the end of the term, or leave it"
	}
	if stays {
		r.plan.Held = append(r.plan.Held, why)
		return
	}
	r.plan.Changes = append(r.plan.Changes, c)
	if lower {
		until := "the vendor does not say until when; the refund windows are short"
		switch {
		case len(back.Windows) > 0:
			until = strings.Join(back.Windows, ", ")
		case !back.Until.IsZero():
			until = "until " + back.Until.UTC().Format(time.RFC3339)
		}
		r.plan.Findings = append(r.plan.Findings, Finding{Key: ChangeID("refund window", r.plan.Undoes, c.ID), Kind: RefundWindow, Customer: c.Customer,
			Title:  fmt.Sprintf("%s: %s seats can be given back", c.Label, from.Sub(to)),
			Detail: until + back.committed(), Next: "apply the plan in time; afterwards they are paid for to the end of the term", Money: c.Effect.Cost.Neg()})
	}
}

// committed says how long seats are paid for that are not given back.
func (b *putBack) committed() string {
	if b.TermEnd.IsZero() {
		return ""
	}
	return fmt.Sprintf("; what is not given back is paid for until %s", b.TermEnd)
}
