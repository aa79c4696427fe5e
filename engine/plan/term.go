package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// What a vendor is told to do when a term ends. No word means that nobody said.
const (
	EndRenew  = "renew"
	EndCancel = "cancel"
	EndExtend = "extend" // goes on month by month; vendors also do this when nobody said anything
)

// Term is what is known of the vendor's commitment behind a pair, and the moment at which it is looked at. Days of the term are the
// vendor's; windows close at an instant, so that their last hour is the same hour everywhere.
type Term struct {
	Now             time.Time
	Start, End      model.Day // first and last day of the current term, inclusive; zero without a commitment
	Duration        string    // P1M, P1Y, P3Y
	Billing         string    // monthly, annual, triennial
	Windows         []string  // seats that may be taken away until when: "4 until 2031-03-11T13:04:55Z"
	AutoRenew       model.Value
	Schedulable     bool        // the vendor takes instructions for the end of the term
	ExtendedPercent int         // how much dearer, at most, a term is that goes on because nobody said anything
	Least, Most     model.Value // seats that the vendor sells of the product in one subscription; not known when it does not say
	Assigned        model.Value // seats in use; not known when nobody counts them
	Promotion       string      // its price ends with the term
	Product         string      // key of today's product
	Base            *Base       // of an add-on
	AddOns          []AddOn     // that depend on it
	Decision        *Decision   // what a person said about the end of this term, and the vendor was not told yet
}

// Base is the subscription that an add-on belongs to.
type Base struct {
	Label string
	Seats model.Quantity
}

// AddOn is a subscription that is over with its base, and has no more seats than it.
type AddOn struct {
	Label string
	Seats model.Quantity
	Ends  bool // it is cancelled at the end of the term, or its line ends
}

// Decision is what a person said about the end of one term.
type Decision struct {
	ID      string
	Action  string      // EndRenew, EndCancel, EndExtend
	Seats   model.Value // to renew with; not known for as many as there are then
	Product model.Value // key to renew as; not known for the product of today
	By      string      // who, when and why, for the plan and the journal
}

// AtEnd says when a scheduled change takes effect and what waiting for it costs.
type AtEnd struct {
	After   model.Day      `json:"after"`            // last day of the current term; the change takes effect on the next day
	Seats   model.Quantity `json:"seats"`            // seats until then
	Waiting model.Money    `json:"waiting,omitzero"` // what is still charged until then for seats that are not wanted
	Saves   model.Money    `json:"saves,omitzero"`   // what is charged less a month from then on; below zero for more
	// Promotion is the one whose price ends with the term; what is said about money is reckoned at the list price.
	Promotion string `json:"promotion,omitempty"`
}

// reducible is how many seats the vendor takes back at this moment. Windows that it named close by the clock, also between two
// reads; without them its own figure counts.
func (t Term) reducible(told model.Value) model.Quantity {
	if len(t.Windows) == 0 {
		q, _ := told.Quantity()
		return q
	}
	var open model.Quantity
	for _, window := range t.Windows {
		seats, until, ok := strings.Cut(window, " until ")
		q, err := model.ParseQuantity(seats)
		closes, timeErr := time.Parse(time.RFC3339, until)
		if ok && err == nil && timeErr == nil && closes.After(t.Now) {
			open = open.Add(q)
		}
	}
	return open
}

// charges counts the charges of the current term that are still to come after a day: one at the start of each billing cycle, counted
// in calendar months from the first day of the term, so that a term from the 31st is charged on the last day of shorter months.
func (t Term) charges(after model.Day) int {
	term, err := model.NewTerm(t.Duration, t.Billing)
	if err != nil || t.Start.IsZero() || t.End.IsZero() {
		return 0
	}
	count := 0
	for cycle := 0; ; cycle++ {
		day := t.Start.AddMonths(cycle * term.BillingMonths())
		if day.Cmp(t.End) > 0 {
			return count
		}
		if day.Cmp(after) > 0 {
			count++
		}
	}
}

// atEnd prices a scheduled change from the seats until then to others. The vendor's days are in UTC.
func (p Pair) atEnd(from, to model.Quantity) *AtEnd {
	a := &AtEnd{After: p.Term.End, Seats: from, Promotion: p.Term.Promotion}
	cost, known := p.UnitCost.Money()
	if !known {
		return a
	}
	a.Saves = cost.Times(from.Sub(to))
	if term, err := model.NewTerm(p.Term.Duration, p.Term.Billing); err == nil && to.Cmp(from) < 0 {
		months := term.BillingMonths() * p.Term.charges(model.DayOf(p.Term.Now.UTC()))
		a.Waiting = a.Saves.Times(model.NewQuantity(int64(months)))
	}
	return a
}

// later reports whether fewer seats have to wait for the end of the term, and how many are left when all are taken away that the
// vendor takes back now.
func (p Pair) later(from, to model.Quantity) (floor model.Quantity, waits bool) {
	floor = from.Sub(p.Term.reducible(p.Reducible))
	return floor, to.Cmp(floor) < 0 && to.Whole() && to.Sign() > 0 && p.Term.Schedulable && !p.Term.End.IsZero() &&
		p.Complete && !p.InFlight && p.Locked == ""
}

// postpone turns a decrease that the vendor does not take now into three steps: what it takes back now, the rest scheduled for the end
// of the term, and the contract line put back to what is committed until then. What is scheduled already is not scheduled again.
func postpone(pair Pair, toVendor, toNext, toPSA *Change) {
	from, to, seats := toVendor.Seats()
	floor, waits := pair.later(from, to)
	if !seats || !waits {
		return
	}
	i := slices.IndexFunc(toVendor.Fields, func(f FieldChange) bool { return f.Field == "quantity" })
	asked := toVendor.Fields[i].To
	if floor.Cmp(from) < 0 {
		toVendor.Fields[i].To = model.QuantityValue(floor)
	} else {
		toVendor.Fields = slices.Delete(toVendor.Fields, i, i+1)
	}
	// The PSA user may have said at the same time, in its own field, with how many seats to renew.
	if said := len(toNext.Fields) > 0; !said && !pair.cancels() && pair.Vendor.Now["next_quantity"] != asked {
		toNext.Fields = append(toNext.Fields, FieldChange{Field: "next_quantity", From: pair.Vendor.Now["next_quantity"], To: asked, Reason: AtTermEnd})
	}
	toPSA.Fields = slices.DeleteFunc(toPSA.Fields, func(f FieldChange) bool { return f.Field == "next_quantity" })
	toPSA.Fields = append(toPSA.Fields, FieldChange{Field: "quantity", From: pair.PSA.Now["quantity"], To: model.QuantityValue(floor), Reason: Committed})
	renews := pair.Vendor.Now["next_quantity"]
	for _, f := range toNext.Fields {
		renews = f.To
	}
	if shown := pair.PSA.Now["next_quantity"]; renews == asked && shown.Known() && shown != asked && pair.PSA.Writable["next_quantity"] {
		toPSA.Fields = append(toPSA.Fields, FieldChange{Field: "next_quantity", From: shown, To: asked, Reason: AtTermEnd})
	}
}

// keeps is what is scheduled at the vendor and lost with a change inside the term, unless it is scheduled again.
func keeps(pair Pair) []FieldChange {
	if !pair.Term.Schedulable {
		return nil
	}
	var kept []FieldChange
	if next := pair.Vendor.Now["next_quantity"]; !next.Blank() {
		kept = append(kept, FieldChange{Field: "next_quantity", To: next, Reason: KeepsSchedule})
	} else if action := pair.Vendor.Now["at_end"]; action.String() == EndCancel {
		kept = append(kept, FieldChange{Field: "at_end", To: action, Reason: KeepsSchedule})
	}
	return kept
}

// cancels reports that the PSA says that the subscription is not wanted after its term.
func (p Pair) cancels() bool {
	return !p.LineEnd.IsZero() && !p.Term.End.IsZero() && p.LineEnd.Cmp(p.Term.End) <= 0
}

// decideEnd compares what the PSA says about the end of the term with what the vendor was told, each with its own memory. A line that
// ends within the term is not wanted after it: the vendor is told to cancel, explicitly. A line that was opened again takes back what
// it had said, and nothing that was decided at the vendor. A line that had ended before it was ever seen open is a guess: held.
func decideEnd(pair Pair, next *Change, settled *Memory) (unseen bool) {
	vendor, memory := pair.Vendor.Now["at_end"], pair.PSA.Memory["at_end"]
	settled.remember("term_end", model.DayValue(pair.Term.End), !pair.Term.End.IsZero())
	settled.remember("unused_since", pair.unusedSince(), true)
	settled.remember("next_quantity", pair.Vendor.Now["next_quantity"], pair.Term.Schedulable && pair.Rules["next_quantity"].Owner == "" && !pair.lost().next)
	if !pair.Term.Schedulable || pair.Term.End.IsZero() || pair.Locked != "" || !vendor.Known() {
		return false
	}
	said := model.Text("")
	if pair.cancels() {
		said = model.Text(EndCancel)
	}
	told := vendor.String() == EndCancel
	change := FieldChange{Field: "at_end", From: vendor, To: said, Reason: EndedByPSA}
	switch {
	case pair.cancels() && !told && memory.Blank():
		next.Fields = []FieldChange{change} // it replaces a number of seats
		return !memory.Known()
	case pair.lost().end:
		if !slices.ContainsFunc(next.Fields, func(f FieldChange) bool { return f.Field == "next_quantity" }) {
			next.Fields = []FieldChange{{Field: "at_end", From: vendor, To: pair.Vendor.Memory["at_end"], Reason: ScheduleLost}}
		}
	case !pair.cancels() && told && memory.String() == EndCancel:
		change.Reason = ReopenedByPSA
		next.Fields = append(slices.DeleteFunc(next.Fields, func(f FieldChange) bool { return f.To.Blank() }), change)
	default:
		settled.Vendor["at_end"], settled.PSA["at_end"] = vendor, said
	}
	return false
}

// ComputeEnd decides only what happens at the end of the term: for a line that bills no more while its subscription goes on.
func ComputeEnd(in Input, pair Pair) Plan {
	p := Plan{Flow: in.Flow}
	settled := settledOf(pair)
	next := newChange(in.Flow, pair, Vendor, OpSchedule)
	unseen := decideEnd(pair, &next, &settled)
	seats, _ := pair.Vendor.Now["quantity"].Quantity()
	toVendor, toPSA := newChange(in.Flow, pair, Vendor, OpChange), newChange(in.Flow, pair, PSA, OpChange)
	p.fulfil(pair, toVendor, &next, &toPSA)
	p.keepSchedule(pair, next, seats, unseen)
	if len(next.Fields) == 0 && pair.Ref.Link != "" && needsMemory(pair, settled) {
		p.Remember = append(p.Remember, settled)
	}
	return p
}

// keepSchedule puts a scheduled change into the plan, or holds it. seats are those until the end of the term.
func (p *Plan) keepSchedule(pair Pair, next Change, seats model.Quantity, unseen bool) {
	if len(next.Fields) == 0 {
		return
	}
	next.Reason = next.Fields[0].Reason
	next.AtEnd = &AtEnd{Seats: seats}
	_, to, _ := next.Seats()
	next.AtEnd = pair.atEnd(seats, to)
	hold := func(reason Reason, detail, text string) { p.Held = append(p.Held, Held{next, reason, detail, text}) }
	switch {
	case pair.InFlight:
		hold(InFlight, "an earlier write to this record was interrupted and its outcome has not been seen", "it is looked at before the next run; see trueup why "+next.Target.ID)
	case !pair.Complete:
		hold(Incomplete, "it was to be scheduled for "+pair.Term.End.String(), "find out why the read was incomplete (trueup status), then run again")
	case pair.Locked != "":
		hold(NoChangeNow, pair.Locked, "schedule it at the vendor's portal")
	case unseen:
		hold(CancelHeld, fmt.Sprintf("the line ended on %s before trueup had seen it open; %s seats would end with the term on %s", pair.LineEnd, seats, pair.Term.End),
			"check it, then release it for this plan with trueup approve, or open the line again")
	case !to.Whole() || to.Sign() < 0:
		hold(BadValue, fmt.Sprintf("%s is not a number of seats to renew with", to), "mend the seats at renewal on the line")
	case to.Sign() == 0 && next.Fields[0].Field == "next_quantity":
		hold(BadValue, "a subscription does not renew with 0 seats", "end the line, so that the subscription is cancelled at the end of its term")
	default:
		if reason, detail, text := pair.Term.outsideNext(next, seats, to); reason != "" {
			hold(reason, detail, text)
			return
		}
		p.Changes = append(p.Changes, next)
	}
}

// Undecided is the finding that a term ends soon and nobody has said what follows; ok is false when there is nothing to say. days are
// the distances at which it is said anew, in any order. A monthly term that renews is what it was bought for and needs no decision.
func Undecided(pair Pair, days []int) (f Finding, ok bool) {
	t := pair.Term
	action := pair.Vendor.Now["at_end"]
	if t.End.IsZero() || !t.Schedulable || t.Decision != nil || !action.Known() || pair.Locked != "" || action.String() != "" && action.String() != EndExtend ||
		pair.cancels() && pair.PSA.Memory["at_end"].String() != EndCancel || !pair.PSA.Now["next_quantity"].Blank() {
		return f, false
	}
	left := model.DayOf(t.Now.UTC()).Until(t.End)
	within := 0
	for _, d := range days {
		if left <= d && (within == 0 || d < within) {
			within = d
		}
	}
	silence := SilenceOf(pair)
	if within == 0 || left < 0 || t.Duration == "P1M" && !silence.Extends {
		return f, false
	}
	return Finding{Key: ChangeID("term end", pair.Ref.Vendor.Parent, pair.Ref.Vendor.ID, t.End.String(), fmt.Sprint(within)),
		Matter: ChangeID("term end", pair.Ref.Vendor.Parent, pair.Ref.Vendor.ID, t.End.String()), Kind: UndecidedEnd, Customer: pair.Customer,
		Title:  fmt.Sprintf("%s: the term ends on %s, within %d days, and nobody has said what follows", pair.Label, t.End, within),
		Detail: silence.Text,
		Next:   "trueup renewals decide " + pair.Ref.Vendor.ID + " renew, renew-with SEATS, cancel or extend; or say it on the line, or at the vendor's portal", Money: silence.Month}, true
}

func roundedText(m model.Money) string { return m.Round(model.MinorDigits(m.Currency())).Display() }

// Silence is what follows a term when nobody decides, and what it costs.
type Silence struct {
	Text    string      `json:"text"`
	Extends bool        `json:"extends"`        // it goes on month by month, and dearer; otherwise it renews by itself
	Price   model.Money `json:"price,omitzero"` // of the whole next term, or of a month where it is extended; no currency when no price is known
	Month   model.Money `json:"month,omitzero"`
}

// SilenceOf reckons what follows a term when nobody decides. Money is at the list price.
func SilenceOf(pair Pair) Silence {
	t := pair.Term
	s := Silence{Extends: pair.Vendor.Now["at_end"].String() == EndExtend || t.AutoRenew.Known() && !t.AutoRenew.True()}
	seats, _ := pair.Vendor.Now["quantity"].Quantity()
	cost, priced := pair.UnitCost.Money()
	s.Month = cost.Times(seats)
	price := "no price is known"
	if s.Extends {
		s.Month = s.Month.Times(model.NewQuantity(int64(100+t.ExtendedPercent))).Over(100, 6)
		if priced {
			s.Price, price = s.Month, fmt.Sprintf("up to %s a month", roundedText(s.Month))
		}
		s.Text = fmt.Sprintf("auto-renewal is off and nobody has cancelled: it may go on month by month, up to %d%% dearer (%s)", t.ExtendedPercent, price)
	} else {
		if term, err := model.NewTerm(t.Duration, t.Billing); priced && err == nil {
			s.Price = s.Month.Times(model.NewQuantity(int64(term.Months())))
			price = fmt.Sprintf("%s for the term", roundedText(s.Price))
		}
		s.Text = fmt.Sprintf("without a decision it renews by itself for %s with %s seats: %s", t.Duration, seats, price)
	}
	if t.Promotion != "" {
		s.Text += fmt.Sprintf("; promotion %s ends with the term", t.Promotion)
	}
	return s
}
