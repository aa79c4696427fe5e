package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/trueup-sync/trueup/model"
)

// Input is everything Compute needs to know about a group of pairs.
type Input struct {
	Flow  string
	First First
	Pairs []Pair
	// Groups are subscriptions and lines that do not stand one to one.
	Groups []Group
}

// Pair is one thing, seen from both sides, with the rules of its fields.
type Pair struct {
	Ref       PairRef
	Label     string
	Customer  string
	Vendor    End
	PSA       End
	Rules     map[string]FieldRule
	UnitCost  model.Value // money a seat and month, for pricing; not known when there is no price
	UnitPrice model.Value
	// Complete is false when the read of either side was incomplete where this pair stands.
	Complete bool
	// InFlight is true while an earlier write to either record has no known outcome.
	InFlight bool
	// Locked says in a plain sentence why the vendor takes no change now (a trial, a suspended subscription); "" when it does.
	Locked string
	// Reducible is how many seats the vendor would take back now; not known when it does not say.
	Reducible model.Value
	Term      Term
	LineEnd   model.Day // last billed day of the line; zero while it is open
	Reform    bool      // the kept link had another shape
}

// End is one side of a pair.
type End struct {
	Account  string
	Now      model.Fields // what the side holds, in this pair's words
	AsOther  model.Fields // the same values as the other side would hold them (rounded, trimmed); only where they differ from Now
	Memory   model.Fields // what it held when last read; nil when there is no memory
	Writable map[string]bool
}

// cell is one field on one side.
type cell struct {
	now, asOther, memory model.Value
}

func (e End) cell(field string) cell {
	c := cell{now: e.Now[field], asOther: e.AsOther[field], memory: e.Memory[field]}
	if !c.asOther.Known() {
		c.asOther = c.now
	}
	return c
}

func (c cell) remembered() bool { return c.memory.Known() }
func (c cell) changed() bool    { return c.remembered() && c.now != c.memory }

// verdict is what to do about one field.
type verdict struct {
	write  Side // "" for nothing
	hold   bool
	found  bool // a foreign edit to report
	reason Reason
}

// decide is the table in the package comment, then ownership.
func decide(rule FieldRule, first First, vendor, psa cell) verdict {
	agree := vendor.now == psa.now || vendor.asOther == psa.now || psa.asOther == vendor.now
	if rule.Keep {
		switch {
		case agree:
			return verdict{}
		case psa.changed() && !psa.now.Blank():
			return verdict{write: PSA, reason: IDOverwritten}
		}
		return verdict{write: PSA, reason: KeepID}
	}
	if !vendor.remembered() || !psa.remembered() {
		switch {
		case agree:
			return verdict{}
		case rule.Owner != OwnerBoth: // who is right is not in question
			return verdict{write: toward(rule.Owner, first), reason: OwnerDiffers}
		case first == FirstHold:
			return verdict{write: PSA, hold: true, reason: FirstHeld}
		}
		return verdict{write: toward(rule.Owner, first), reason: FirstMet}
	}
	vendorChanged, psaChanged := vendor.changed(), psa.changed()
	switch {
	case !vendorChanged && !psaChanged, agree:
		return verdict{}
	case rule.Owner == OwnerVendor && !vendorChanged:
		return foreign(rule, PSA)
	case rule.Owner == OwnerPSA && !psaChanged:
		return foreign(rule, Vendor)
	case rule.Owner == OwnerVendor:
		return verdict{write: PSA, reason: VendorChanged}
	case rule.Owner == OwnerPSA:
		return verdict{write: Vendor, reason: PSAChanged}
	case !psaChanged:
		return verdict{write: PSA, reason: VendorChanged}
	case !vendorChanged:
		return verdict{write: Vendor, reason: PSAChanged}
	}
	return conflict(rule.Conflict, vendor.now, psa.now)
}

// toward is the side to write when one side's value counts.
func toward(owner Owner, first First) Side {
	if owner == OwnerPSA || (owner == OwnerBoth && first == FirstPSA) {
		return Vendor
	}
	return PSA
}

// foreign is an edit on a side that does not own the field.
func foreign(rule FieldRule, edited Side) verdict {
	if rule.PutBack {
		return verdict{write: edited, reason: ForeignPutBack}
	}
	return verdict{found: true, reason: ForeignEdit}
}

func conflict(rule Conflict, vendor, psa model.Value) verdict {
	held := verdict{write: PSA, hold: true, reason: ConflictHeld}
	switch rule {
	case ConflictVendor:
		return verdict{write: PSA, reason: RuleDecided}
	case ConflictPSA:
		return verdict{write: Vendor, reason: RuleDecided}
	case ConflictHighest, ConflictLowest:
		order, comparable := compareValues(vendor, psa)
		if !comparable {
			return held
		}
		if (order > 0) == (rule == ConflictHighest) {
			return verdict{write: PSA, reason: RuleDecided}
		}
		return verdict{write: Vendor, reason: RuleDecided}
	}
	return held
}

// doubtful reports an amount that more often comes from a broken price sheet, or from the wrong one, than from a price: nothing where there
// was something, or another currency.
func doubtful(from, to model.Value) bool {
	before, had := from.Money()
	after, has := to.Money()
	if !had || !has || before.Sign() == 0 {
		return false
	}
	return after.Sign() == 0 || after.Currency() != before.Currency()
}

// compareValues orders two quantities or two amounts of one currency.
func compareValues(a, b model.Value) (order int, ok bool) {
	if x, isQuantity := a.Quantity(); isQuantity {
		y, isQuantity := b.Quantity()
		return x.Cmp(y), isQuantity
	}
	x, isMoney := a.Money()
	y, alsoMoney := b.Money()
	if !isMoney || !alsoMoney {
		return 0, false
	}
	order, err := x.Cmp(y)
	return order, err == nil
}

// Compute decides about every pair. The caller merges the plans of several groups, sorts and guards the whole.
func Compute(in Input) Plan {
	p := Plan{Flow: in.Flow}
	for _, pair := range in.Pairs {
		p.Counts.Pairs++
		computePair(&p, in, pair)
	}
	for _, group := range in.Groups {
		p.Counts.Pairs++
		computeGroup(&p, in, group)
	}
	return p
}

func computePair(p *Plan, in Input, pair Pair) {
	toPSA, toVendor := newChange(in.Flow, pair, PSA, OpChange), newChange(in.Flow, pair, Vendor, OpChange)
	toNext := newChange(in.Flow, pair, Vendor, OpSchedule)
	lost := pair.lost()
	// What is not settled below (held, or written and read back later) keeps its old memory.
	settled := settledOf(pair)
	quiet := true
	for _, field := range slices.Sorted(maps.Keys(pair.Rules)) {
		rule := pair.Rules[field]
		vendor, psa := pair.Vendor.cell(field), pair.PSA.cell(field)
		if rule.Owner == OwnerPSA && !pair.Vendor.Writable[field] || rule.Keep && !pair.PSA.Writable[field] {
			continue // the owner decides and the other side has nowhere to put it: there is nothing to compare
		}
		if !vendor.now.Known() || !psa.now.Known() {
			if !rule.Keep && vendor.now.Known() != psa.now.Known() {
				quiet = false
			}
			continue
		}
		if field == "next_quantity" && lost.next {
			vendor.now, vendor.asOther = vendor.memory, vendor.memory
		}
		v := decide(rule, in.First, vendor, psa)
		change := FieldChange{Field: field, From: psa.now, To: vendor.now, Reason: v.reason}
		target, writable := &toPSA, pair.PSA.Writable[field]
		if v.write == Vendor {
			change.From, change.To = vendor.now, psa.now
			target, writable = &toVendor, pair.Vendor.Writable[field]
			if field == "next_quantity" {
				target = &toNext
			}
		}
		switch {
		case v.found:
			p.Findings = append(p.Findings, foreignEdit(pair, field, rule, vendor.now, psa.now))
			quiet = false
		case v.write == "":
			settled.Vendor[field], settled.PSA[field] = vendor.now, psa.now
		case v.hold:
			held := newChange(in.Flow, pair, v.write, OpChange)
			held.Fields = []FieldChange{change}
			held.Effect = effectOf(pair, held)
			p.Held = append(p.Held, Held{held, v.reason, differ(field, pair, vendor, psa), nextFor(v.reason, field)})
			quiet = false
		case doubtful(change.From, change.To):
			held := newChange(in.Flow, pair, v.write, OpChange)
			held.Fields = []FieldChange{change}
			held.Effect = effectOf(pair, held)
			p.Held = append(p.Held, Held{held, DoubtfulPrice, fmt.Sprintf("%s would become %s where it was %s", field, shown(change.To), shown(change.From)),
				"look at the price sheet at the vendor; if the amount is right, write it into the line by hand"})
			quiet = false
		case !writable:
			held := newChange(in.Flow, pair, v.write, OpChange)
			held.Fields = []FieldChange{change}
			p.Held = append(p.Held, Held{held, NotEditable,
				fmt.Sprintf("%s should become %s in %s, which does not allow it", field, shown(change.To), target.Account), "change it there by hand, or give the field another owner in the flow"})
			quiet = false
		default:
			target.Fields = append(target.Fields, change)
			quiet = false
		}
	}
	pair.reschedule(lost, toVendor, &toNext, &toPSA)
	postpone(pair, &toVendor, &toNext, &toPSA)
	unseen := decideEnd(pair, &toNext, &settled)
	p.fulfil(pair, toVendor, &toNext, &toPSA)
	if len(toNext.Fields) > 0 {
		quiet = false
		if len(toVendor.Fields) > 0 {
			toNext.After = append(toNext.After, toVendor.ID)
		}
		toVendor.Keeps = nil
		if slices.ContainsFunc(toPSA.Fields, func(f FieldChange) bool { return f.Reason == Committed || f.Reason.VendorOnly() }) {
			toPSA.After = append(toPSA.After, toNext.ID) // the line says what the vendor was told, so the vendor comes first
		}
	} else {
		toVendor.Keeps = keeps(pair)
	}
	seats, _ := pair.Vendor.Now["quantity"].Quantity()
	if _, now, changes := toVendor.Seats(); changes {
		seats = now
	}
	p.keepSchedule(pair, toNext, seats, unseen)
	for _, change := range []Change{toVendor, toPSA} {
		if len(change.Fields) == 0 {
			continue
		}
		change.Reason = change.Fields[0].Reason
		change.Effect = effectOf(pair, change)
		if held, why := holdOne(pair, change); held {
			p.Held = append(p.Held, why)
		} else {
			p.Changes = append(p.Changes, change)
		}
	}
	if quiet {
		p.Counts.InStep++
	}
	if needsMemory(pair, settled) {
		p.Remember = append(p.Remember, settled)
	}
}

// settledOf begins with what is remembered of a pair.
func settledOf(pair Pair) Memory {
	settled := Memory{Pair: pair.Ref, Label: pair.Label, Vendor: model.Fields{}, PSA: model.Fields{}}
	maps.Copy(settled.Vendor, pair.Vendor.Memory)
	maps.Copy(settled.PSA, pair.PSA.Memory)
	return settled
}

// needsMemory reports whether what was found in step is news: a new link, a first meeting, or both sides moved together.
func needsMemory(pair Pair, settled Memory) bool {
	if pair.Ref.Link == "" || pair.Ref.Was != "" || pair.Reform {
		return true
	}
	for field, v := range settled.Vendor {
		if pair.Vendor.Memory[field] != v || pair.PSA.Memory[field] != settled.PSA[field] {
			return true
		}
	}
	return false
}

// holdOne applies what concerns one change alone: completeness, writes in flight and the vendor's own rules.
func holdOne(pair Pair, change Change) (bool, Held) {
	hold := func(reason Reason, detail, next string) (bool, Held) {
		return true, Held{change, reason, detail, next}
	}
	from, to, seats := change.Seats()
	lower := seats && to.Cmp(from) < 0
	switch {
	case pair.InFlight:
		return hold(InFlight, "an earlier write to this record was interrupted and its outcome has not been seen", "it is looked at before the next run; see trueup why "+change.Target.ID)
	case !pair.Complete && lower:
		return hold(Incomplete, fmt.Sprintf("%s seats would become %s", from, to), "find out why the read was incomplete (trueup status), then run again")
	case change.Side != Vendor || !seats:
		return false, Held{}
	case pair.Locked != "":
		return hold(NoChangeNow, pair.Locked, "change it at the vendor's portal, or put the line back to "+from.String())
	case !to.Whole() || to.Sign() < 0:
		return hold(BadValue, fmt.Sprintf("%s is not a number of seats", to), "mend the quantity on the line")
	}
	if reason, detail, next := pair.Term.outside(from, to); reason != "" {
		return hold(reason, detail, next)
	}
	switch {
	case lower:
		floor := from.Sub(pair.Term.reducible(pair.Reducible))
		if to.Cmp(floor) < 0 {
			return hold(TermWindow, fmt.Sprintf("%s seats are committed and at most %s may be taken back today, so not fewer than %s; %s was asked", from, from.Sub(floor), floor, to),
				fmt.Sprintf("put the line back to %s or more, or lower it at the end of the term", floor))
		}
	}
	return false, Held{}
}

// Seats returns the quantity before and after, when the change touches one. For a scheduled change it is the quantity of today and
// that of the next term: none when the subscription is cancelled, the same when what was scheduled is withdrawn.
func (c Change) Seats() (from, to model.Quantity, ok bool) {
	if c.Op == OpSchedule && c.AtEnd != nil {
		from, to = c.AtEnd.Seats, c.AtEnd.Seats
		for _, f := range c.Fields {
			if q, ok := f.To.Quantity(); ok {
				to = q
			} else if f.To.String() == EndCancel {
				to = model.Quantity{}
			}
		}
		return from, to, true
	}
	for _, f := range c.Fields {
		if f.Field == "quantity" {
			from, _ = f.From.Quantity()
			to, ok = f.To.Quantity()
			return from, to, ok
		}
	}
	return from, to, false
}

func newChange(flow string, pair Pair, side Side, op Op) Change {
	c := Change{Op: op, Side: side, Account: pair.Vendor.Account, Target: pair.Ref.Vendor, Label: pair.Label,
		Customer: pair.Customer, Pair: pair.Ref}
	if side == PSA {
		c.Account, c.Target = pair.PSA.Account, pair.Ref.PSA
	}
	c.ID = ChangeID(flow, string(side), string(c.Op), string(c.Target.Kind), c.Target.Parent, c.Target.ID)
	return c
}

// effectOf prices a change of an existing pair: seats at the vendor cost money, seats and prices in the PSA bill it.
func effectOf(pair Pair, change Change) Effect {
	var e Effect
	from, to, seats := change.Seats()
	cost, hasCost := pair.UnitCost.Money()
	price, hasPrice := pair.UnitPrice.Money()
	if change.Side == Vendor {
		if seats {
			e.Cost, e.Unpriced = cost.Times(to.Sub(from)), !hasCost
		}
		return e
	}
	quantity, _ := pair.PSA.Now["quantity"].Quantity()
	after := quantity
	if seats {
		e.Bill, e.Unpriced = price.Times(to.Sub(from)), !hasPrice
		after = to
	}
	for _, f := range change.Fields {
		if f.Field != "unit_price" {
			continue
		}
		before, hadOne := f.From.Money()
		newPrice, hasOne := f.To.Money()
		step, err := newPrice.Sub(before)
		if !hasOne || (hadOne && err != nil) {
			e.Unpriced = true
			continue
		}
		total, err := e.Bill.Add(step.Times(after))
		if err != nil {
			e.Unpriced = true
			continue
		}
		e.Bill = total
	}
	return e
}

func foreignEdit(pair Pair, field string, rule FieldRule, vendor, psa model.Value) Finding {
	owner, other := "vendor", "PSA"
	if rule.Owner == OwnerPSA {
		owner, other = "PSA", "vendor"
	}
	return Finding{
		Key:      ChangeID("foreign", pair.Ref.Vendor.ID, pair.Ref.PSA.ID, field),
		Kind:     ForeignEdit,
		Customer: pair.Customer,
		Title:    fmt.Sprintf("%s: %s was edited in the %s, but the %s owns it", pair.Label, field, other, owner),
		Detail:   fmt.Sprintf("vendor %s, PSA %s", shown(vendor), shown(psa)),
		Next:     "put it back by hand, or set put_back or another owner for this field in the flow",
	}
}

func differ(field string, pair Pair, vendor, psa cell) string {
	was := ""
	if vendor.remembered() && psa.remembered() {
		was = fmt.Sprintf(" (last agreed: vendor %s, PSA %s)", shown(vendor.memory), shown(psa.memory))
	}
	return fmt.Sprintf("%s: vendor %s, PSA %s%s", field, shown(vendor.now), shown(psa.now), was)
}

func nextFor(reason Reason, field string) string {
	if reason == FirstHeld {
		return "make the two sides equal, or set first: vendor or first: psa in the flow"
	}
	return fmt.Sprintf("make the two sides equal, or give %s a conflict rule (vendor, psa, highest, lowest) in the flow", field)
}

// shown is a value for people.
func shown(v model.Value) string {
	switch {
	case !v.Known():
		return "nothing"
	case v.Blank():
		return "empty"
	}
	if m, ok := v.Money(); ok {
		return m.Display()
	}
	if v.Type() == model.TypeText || v.Type() == model.TypeList {
		return fmt.Sprintf("%q", v.String())
	}
	return v.String()
}
