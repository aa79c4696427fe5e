package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/model"
)

// refusals are the reasons for which a vendor does not take an edit of seats, now or ever.
var refusals = []Reason{Refused, TermWindow, NoChangeNow, SeatLimits, AddOnFollows, BadValue}

// Refusal reports a reason for which a vendor does not take an edit of seats.
func (r Reason) Refusal() bool { return slices.Contains(refusals, r) }

// Edited reports a change of seats at the vendor that an edit in the PSA asked for, done or held, and the seats before and after.
func (c Change) Edited() (from, to model.Quantity, ok bool) {
	if c.Op != OpChange || c.Side != Vendor || c.Target.Kind != model.KindSubscription {
		return from, to, false
	}
	i := slices.IndexFunc(c.Fields, func(f FieldChange) bool {
		return f.Field == "quantity" && (f.Reason == PSAChanged || f.Reason == RuleDecided)
	})
	if i < 0 {
		return from, to, false
	}
	return c.Seats()
}

// Deferred reports a change that says at the vendor what the PSA user wants at the end of the term, done or held: what it says, and
// that something was scheduled, not withdrawn.
func (c Change) Deferred() (what string, scheduled, ok bool) {
	if c.Op != OpSchedule || c.Side != Vendor || c.AtEnd == nil {
		return "", false, false
	}
	for _, f := range c.Fields {
		switch {
		case f.Reason == EndedByPSA:
			return fmt.Sprintf("cancelled when the term ends; %s seats are committed and billed until %s", c.AtEnd.Seats, c.AtEnd.After), true, true
		case f.Reason == ReopenedByPSA:
			return "it is not cancelled any more when the term ends on " + c.AtEnd.After.String(), false, true
		case f.Reason == Decided && f.Field == "at_end":
			return fmt.Sprintf("%s when the term ends on %s, decided by %s", f.To, c.AtEnd.After, c.Detail), true, true
		case f.Field != "next_quantity" || f.Reason != Decided && f.Reason != AtTermEnd && f.Reason != PSAChanged && f.Reason != RuleDecided:
		case f.To.Blank():
			return "nothing is scheduled any more for the end of the term on " + c.AtEnd.After.String(), false, true
		default:
			return fmt.Sprintf("%s seats from %s on; %s are committed and billed until then", f.To, c.AtEnd.After.Add(1), c.AtEnd.Seats), true, true
		}
	}
	return "", false, false
}

// Refuse holds a change that is in the plan because the vendor refused the same one before.
func (p *Plan) Refuse(id, detail, next string) {
	p.holdWhere(func(c Change) (Held, bool) { return Held{c, Refused, detail, next}, c.ID == id })
}

// PutBack turns held edits that the vendor does not take into changes that give the line the vendor's seats again. Where another
// change to the line is planned the seats join it. It is for the plan of one group, whose pairs it is given.
func (p *Plan) PutBack(in Input) {
	var more []Held
	p.Held = slices.DeleteFunc(p.Held, func(h Held) bool {
		_, _, edited := h.Change.Edited()
		i := slices.IndexFunc(in.Pairs, func(pair Pair) bool { return pair.Ref == h.Change.Pair })
		if !edited || i < 0 || !h.Reason.Refusal() || !in.Pairs[i].PSA.Writable["quantity"] {
			return false
		}
		pair := in.Pairs[i]
		back := newChange(in.Flow, pair, PSA, OpChange)
		if j := slices.IndexFunc(p.Changes, func(c Change) bool { return c.ID == back.ID }); j >= 0 {
			back.Fields = p.Changes[j].Fields
			p.Changes = slices.Delete(p.Changes, j, j+1)
		}
		back.Fields = append(slices.Clone(back.Fields), FieldChange{Field: "quantity", From: pair.PSA.Now["quantity"], To: pair.Vendor.Now["quantity"], Reason: RefusedPutBack})
		slices.SortFunc(back.Fields, func(a, b FieldChange) int { return strings.Compare(a.Field, b.Field) })
		back.Reason, back.Detail, back.Effect = back.Fields[0].Reason, h.Detail, effectOf(pair, back)
		if held, why := holdOne(pair, back); held {
			more = append(more, why)
		} else {
			p.Changes = append(p.Changes, back)
		}
		return true
	})
	p.Held = append(p.Held, more...)
}
