package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/trueup-sync/trueup/model"
)

// computeGroup decides about the seats of a group in one go, and about everything else part by part. The numbers of both sides are brought to
// what the line bills; the table in the package comment says which side counts; the shape says what each record is to hold. What is written
// adds up to what the lines say, and where one write is held all are.
func computeGroup(p *Plan, in Input, g Group) {
	whole, flying := true, false
	for _, part := range g.Parts {
		whole, flying = whole && part.Complete, flying || part.InFlight
	}
	others, quiet := Plan{Flow: in.Flow}, true
	memories := make([]Memory, len(g.Parts))
	for i := range g.Parts {
		part := &g.Parts[i]
		part.Complete, part.InFlight = whole, flying
		inStep, kept := others.Counts.InStep, len(others.Remember)
		computePair(&others, in, part.Pair)
		quiet = quiet && others.Counts.InStep > inStep
		if memories[i] = settledOf(part.Pair); len(others.Remember) > kept {
			memories[i] = others.Remember[kept]
		}
	}
	d := decider{Group: g, in: in, plan: Plan{Flow: in.Flow}, memories: memories}
	quiet = d.decide() && quiet
	d.bind()
	p.Findings = append(p.Findings, d.plan.Findings...)
	p.Findings = append(p.Findings, others.Findings...)
	p.Held = append(p.Held, d.plan.Held...)
	p.Held = append(p.Held, others.Held...)
	p.Counts.NotCompared += d.plan.Counts.NotCompared
	p.Changes = append(p.Changes, merged(g, d.plan.Changes, others.Changes)...)
	if quiet {
		p.Counts.InStep++
	}
	for i, part := range g.Parts {
		if needsMemory(part.Pair, memories[i]) || part.PSA.Memory[fieldCounts] != memories[i].PSA[fieldCounts] || part.PSA.Memory[fieldAgreed] != memories[i].PSA[fieldAgreed] {
			p.Remember = append(p.Remember, memories[i])
		}
	}
}

// merged puts changes of one record together: the line is written once, whatever follows it.
func merged(g Group, seats, others []Change) []Change {
	changes := slices.Clone(seats)
	for _, other := range others {
		i := slices.IndexFunc(changes, func(c Change) bool { return c.ID == other.ID })
		switch {
		case i < 0:
			changes = append(changes, other)
		case other.Op == OpSchedule:
			other.Together, changes[i] = changes[i].Together, other // cancelling replaces a number of seats
		default:
			c := &changes[i]
			c.Fields = append(c.Fields, other.Fields...)
			slices.SortFunc(c.Fields, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
			c.After = append(c.After, other.After...)
			part := slices.IndexFunc(g.Parts, func(p Part) bool { return p.Ref == c.Pair })
			c.Effect = effectOf(g.Parts[max(part, 0)].Pair, *c)
		}
	}
	return changes
}

// decider decides about the seats of one group.
type decider struct {
	Group
	in       Input
	plan     Plan
	memories []Memory
	standing
}

// decide reports whether the seats are in step; what they are is then remembered.
func (d *decider) decide() bool {
	if d.Rule.Owner == "" {
		return true // the flow does not let seats follow
	}
	var ok bool
	if d.standing, ok = d.Group.standing(); !ok {
		return false
	}
	vendor, psa, missing := d.cells(d.standing)
	if missing != "" {
		d.plan.Counts.NotCompared++
		d.hold(PSA, NotCounted, fmt.Sprintf("the line counts %s, and how many seats are %s is not known", d.Count, missing), nextForMissing(missing))
		return false
	}
	rule, head := d.Rule, d.Parts[0].Pair
	if !d.Count.TwoWay() {
		rule.Owner = OwnerVendor
	}
	if rule.Owner == OwnerPSA && !head.Vendor.Writable["quantity"] {
		return true // the PSA decides and the vendor has nowhere to put it
	}
	v := decide(rule, d.in.First, vendor, psa)
	switch {
	case d.newParts() && !vendor.changed() && vendor.now != psa.now:
		v = verdict{write: PSA, reason: NewPart}
	case v.write == PSA && v.reason == VendorChanged && d.recounted():
		v.reason = CountChanged
	}
	switch {
	case v.found:
		d.plan.Findings = append(d.plan.Findings, foreignEdit(head, "quantity", rule, vendor.now, psa.now))
		return false
	case v.write == "":
		d.remember(d.sides())
		return true
	case v.hold:
		d.hold(v.write, v.reason, differ("quantity", head, vendor, psa)+d.inWords(), nextFor(v.reason, "quantity"))
		return false
	case v.write == PSA && !head.PSA.Writable["quantity"], v.write == Vendor && !head.Vendor.Writable["quantity"]:
		d.hold(v.write, NotEditable, differ("quantity", head, vendor, psa), "change it there by hand, or give the field another owner in the flow")
		return false
	}
	if v.write == PSA {
		target, one := vendor.now.Quantity()
		if !one {
			d.hold(PSA, OutOfRatio, "the line bills "+shown(psa.now)+d.inWords(), "buy or give back at the vendor until they are in the ratio again, or change the line: its parts follow it")
			return false
		}
		d.toLines(target, v.reason)
		return false
	}
	target, _ := psa.now.Quantity()
	d.toSubscriptions(target, v.reason)
	return false
}

func nextForMissing(word string) string {
	if word == countAgreed {
		return "type the agreed seats on the line, or count without them"
	}
	return "have the vendor's account read the seats in use, or count without them"
}

// newParts reports that a line was added to a split that is remembered.
func (d *decider) newParts() bool {
	return d.Shape == ShapeSplit && d.remembered && slices.Contains(d.known, false)
}

// recounted reports that nothing moved at the vendor, and that only the way of counting did.
func (d *decider) recounted() bool {
	return d.counts.String() != d.Count.String() && sum(d.vendor).Cmp(sum(d.vendorBefore)) == 0
}

func (d *decider) inWords() string {
	if words := d.words(d.vendor, d.psa); words != "" {
		return "; " + words
	}
	return ""
}

// words say how the parts make the whole.
func (d *decider) words(vendor, psa []model.Quantity) string {
	if d.Shape == ShapeSplit {
		return d.shares(psa, vendor[0])
	}
	return d.shares(vendor, psa[0])
}

// sides are the seats of each part that both sides are remembered with when they are in step as they are.
func (d *decider) sides() []model.Quantity {
	if d.Shape == ShapeSplit {
		return d.psa
	}
	return d.vendor
}

// member is what is remembered of a part whose seats are settled.
func (d *decider) member(i int, seats model.Quantity) Member {
	m := Member{Pair: d.Parts[i].Ref, Vendor: model.Fields{"quantity": model.QuantityValue(seats)}, PSA: model.Fields{"quantity": model.QuantityValue(seats), fieldCounts: model.Text(d.Count.String())}}
	if v := d.Parts[i].Vendor.Now[fieldAssigned]; v.Known() && d.Count.Names(countAssigned) {
		m.Vendor[fieldAssigned] = v
	}
	if d.Agreed.Known() && d.Count.Names(countAgreed) {
		m.PSA[fieldAgreed] = d.Agreed
	}
	return m
}

func (d *decider) members(seats []model.Quantity) []Member {
	members := make([]Member, len(d.Parts))
	for i := range d.Parts {
		members[i] = d.member(i, seats[i])
	}
	return members
}

func (d *decider) remember(seats []model.Quantity) {
	for i, m := range d.members(seats) {
		for field, v := range m.Vendor {
			d.memories[i].Vendor[field] = v
		}
		for field, v := range m.PSA {
			d.memories[i].PSA[field] = v
		}
	}
}

// hold holds the seats of the group; the change that is shown is that of its first record on the side to be written.
func (d *decider) hold(side Side, reason Reason, detail, next string) {
	pair := d.Parts[0].Pair
	held := newChange(d.in.Flow, pair, side, OpChange)
	held.Reason = reason
	d.plan.Held = append(d.plan.Held, Held{held, reason, detail, next})
}

// propose puts a change of a record into the plan, or holds it for a reason of its own.
func (d *decider) propose(pair Pair, c Change) {
	c.Reason = c.Fields[0].Reason
	c.Effect = effectOf(pair, c)
	if held, why := holdOne(pair, c); held {
		d.plan.Held = append(d.plan.Held, why)
		return
	}
	d.plan.Changes = append(d.plan.Changes, c)
}

// bind makes the changes one: where there are several, none is done while another is held.
func (d *decider) bind() {
	if len(d.plan.Changes)+len(d.plan.Held) < 2 {
		return
	}
	name := ChangeID("together", d.in.Flow, d.Parts[0].Ref.Vendor.Parent, d.Parts[0].Ref.Vendor.ID, d.Parts[0].Ref.PSA.ID)
	for i := range d.plan.Changes {
		d.plan.Changes[i].Together = name
	}
	for i := range d.plan.Held {
		d.plan.Held[i].Change.Together = name
	}
	d.plan.holdDependents()
}

// toLines writes what is bought to the line, or to the line of the rest.
func (d *decider) toLines(target model.Quantity, reason Reason) {
	if d.Shape != ShapeSplit {
		d.writeLine(target, d.vendor, reason, nil)
		return
	}
	rest := slices.IndexFunc(d.Parts, func(p Part) bool { return p.Rest && !p.Over })
	want, left := wantSplit(d.psa, rest, target)
	if left.Sign() != 0 {
		what := "no line is marked as the rest"
		if rest >= 0 {
			what = fmt.Sprintf("line %s of the rest bills %s", d.Parts[rest].Ref.PSA.ID, d.psa[rest])
		}
		d.hold(PSA, NoRest, fmt.Sprintf("%s are bought and the lines bill %s: %s; %s", target, sum(d.psa), d.shares(d.psa, target), what),
			"change the parts until they add up, or write rest into the seat rule of the line that takes the difference")
		return
	}
	d.writeParts(want, reason, nil)
}

// writeLine writes the one line of a group; seats are those of its subscriptions then.
func (d *decider) writeLine(target model.Quantity, seats []model.Quantity, reason Reason, after []string) {
	pair := d.Parts[0].Pair
	c := newChange(d.in.Flow, pair, PSA, OpChange)
	c.Fields = []FieldChange{{Field: "quantity", From: pair.PSA.Now["quantity"], To: model.QuantityValue(target), Reason: reason}}
	c.Members, c.After, c.Shares = d.members(seats), after, d.shares(seats, target)
	d.propose(pair, c)
}

// writeParts writes those lines of a split that are to bill something else.
func (d *decider) writeParts(want []model.Quantity, reason Reason, after []string) {
	var changed, still []int
	for i := range want {
		if want[i].Cmp(d.psa[i]) == 0 {
			still = append(still, i)
		} else {
			changed = append(changed, i)
		}
	}
	for n, i := range changed {
		pair := d.Parts[i].Pair
		c := newChange(d.in.Flow, pair, PSA, OpChange)
		c.Fields = []FieldChange{{Field: "quantity", From: pair.PSA.Now["quantity"], To: model.QuantityValue(want[i]), Reason: reason}}
		c.After, c.Shares = after, d.shares(want, sum(want))
		c.Members = []Member{d.member(i, want[i])}
		if n == 0 { // the others are settled with it
			for _, j := range still {
				c.Members = append(c.Members, d.member(j, want[j]))
			}
		}
		d.propose(pair, c)
	}
}

// toSubscriptions writes what the lines bill to the subscriptions.
func (d *decider) toSubscriptions(line model.Quantity, reason Reason) {
	target, ok := line, true
	if d.Shape == ShapeCount || d.Shape == ShapeSum {
		target, ok = d.Count.Purchased(line)
	}
	switch {
	case !ok:
		d.hold(Vendor, OutOfCount, fmt.Sprintf("the line bills %s, and %s never comes to that", line, d.Count)+d.inWords(), "change the line to a number that it can come to, or the way it counts")
		return
	case !target.Whole() || target.Sign() < 0:
		d.hold(Vendor, BadValue, fmt.Sprintf("%s is not a number of seats", line), "mend the quantity on the line")
		return
	case d.Shape == ShapeSplit && target.Sign() > 0:
		d.toOne(target, reason)
		return
	case target.Sign() == 0:
		d.hold(Vendor, LastSeat, fmt.Sprintf("the line bills %s", line)+d.inWords(), "end the line, so that the subscription is cancelled at the end of its term")
		return
	}
	want := slices.Clone(d.vendor)
	for _, of := range d.components() {
		var shares []share
		for _, i := range of {
			shares = append(shares, d.share(i))
		}
		spread, left := wantSum(shares, wantBundle(target, d.Parts[of[0]].Ratio))
		if left.Sign() != 0 {
			d.cannotSpread(of, left)
			return
		}
		for n, i := range of {
			want[i] = spread[n]
		}
	}
	d.writeSubscriptions(want, reason)
}

func (d *decider) share(i int) share {
	part := d.Parts[i]
	next, _ := part.Vendor.Now["next_quantity"].Quantity()
	lower := !part.Vendor.Now["next_quantity"].Blank() && next.Cmp(d.vendor[i]) < 0
	s := share{id: part.Ref.Vendor.ID, now: d.vendor[i], closed: part.Over || part.Locked != "", since: part.Since, end: part.Term.End,
		refundable: part.Term.reducible(part.Reducible), decided: lower || part.Vendor.Now["at_end"].String() == EndCancel || part.Term.AutoRenew.Known() && !part.Term.AutoRenew.True()}
	return s
}

// cannotSpread says why seats could not be spread over subscriptions.
func (d *decider) cannotSpread(of []int, left model.Quantity) {
	for _, i := range of {
		if locked := d.Parts[i].Locked; locked != "" && !d.Parts[i].Over {
			d.hold(Vendor, TermWindow, locked+d.inWords(), "change it at the vendor's portal, or put the line back")
			return
		}
	}
	d.hold(Vendor, LastSeat, fmt.Sprintf("%s more would have to go than can: each subscription keeps one seat%s", left.Neg(), d.inWords()),
		"cancel a subscription at the vendor's portal, or end the line to cancel them all")
}

// writeSubscriptions writes each subscription of a group. Seats that the vendor does not take back now are scheduled for the end of their
// terms, and the line goes on billing what is committed until then.
func (d *decider) writeSubscriptions(want []model.Quantity, reason Reason) {
	soon, waiting := d.soon(want)
	if waiting != "" && d.Shape == ShapeBundle {
		d.hold(Vendor, TermWindow, waiting+"; the line cannot bill one part at another number than the others"+d.inWords(), "put the line back, or lower the parts at the vendor for the end of their terms")
		return
	}
	line := d.psa[0]
	if waiting != "" {
		line, _ = d.Count.Billed(Seats{Purchased: model.QuantityValue(sum(soon))})
	}
	var scheduled []string
	for i, part := range d.Parts {
		c := d.changeOf(i, soon[i], reason)
		if next := d.next(i, want[i], soon[i], waiting != ""); len(next.Fields) > 0 {
			if len(c.Fields) > 0 {
				next.After = append(next.After, c.ID)
			}
			scheduled = append(scheduled, next.ID)
			d.plan.keepSchedule(part.Pair, next, soon[i], false)
		} else {
			c.Keeps = keeps(part.Pair)
		}
		if len(c.Fields) > 0 {
			c.Shares = d.shares(soon, line)
			d.propose(part.Pair, c)
		}
	}
	if line.Cmp(d.psa[0]) != 0 {
		d.writeLine(line, soon, Committed, scheduled)
	}
}

// soon is what each subscription comes to now; waiting says of one why it does not come to all that is wanted.
func (d *decider) soon(want []model.Quantity) (soon []model.Quantity, waiting string) {
	soon = slices.Clone(want)
	for i, part := range d.Parts {
		if floor, waits := part.later(d.vendor[i], want[i]); waits && want[i].Cmp(d.vendor[i]) < 0 {
			soon[i] = floor
			waiting = fmt.Sprintf("%s seats of %s are committed until %s and at most %s may be taken back today", d.vendor[i], part.Ref.Vendor.ID, part.Term.End, d.vendor[i].Sub(floor))
		}
	}
	return soon, waiting
}

func (d *decider) changeOf(i int, to model.Quantity, reason Reason) Change {
	part := d.Parts[i]
	c := newChange(d.in.Flow, part.Pair, Vendor, OpChange)
	if to.Cmp(d.vendor[i]) != 0 {
		c.Fields = []FieldChange{{Field: "quantity", From: part.Vendor.Now["quantity"], To: model.QuantityValue(to), Reason: reason}}
	}
	return c
}

// next is what a subscription is told to renew with. While some seats wait for the end of a term, every subscription is told its share, so
// that what was scheduled for another number before does not stand.
func (d *decider) next(i int, want, soon model.Quantity, waiting bool) Change {
	part := d.Parts[i]
	c := newChange(d.in.Flow, part.Pair, Vendor, OpSchedule)
	stands := part.Vendor.Now["next_quantity"]
	told := !stands.Blank() && stands != model.QuantityValue(want)
	if waiting && part.Term.Schedulable && !part.Over && !part.cancels() && stands != model.QuantityValue(want) && (want.Cmp(soon) < 0 || told) {
		c.Fields = []FieldChange{{Field: "next_quantity", From: stands, To: model.QuantityValue(want), Reason: AtTermEnd}}
	}
	return c
}

// toOne writes the subscription of a split.
func (d *decider) toOne(target model.Quantity, reason Reason) {
	part := d.Parts[0]
	soon := target
	floor, waits := part.later(d.vendor[0], target)
	waits = waits && target.Cmp(d.vendor[0]) < 0
	lines := d.psa
	if waits {
		soon = floor
		lines = wantBack(d.psa, d.psaBefore, floor)
	}
	c := d.changeOf(0, soon, reason)
	var scheduled []string
	if next := d.next(0, target, soon, waits); len(next.Fields) > 0 {
		if len(c.Fields) > 0 {
			next.After = append(next.After, c.ID)
		}
		scheduled = append(scheduled, next.ID)
		d.plan.keepSchedule(part.Pair, next, soon, false)
	} else {
		c.Keeps = keeps(part.Pair)
	}
	if len(c.Fields) > 0 {
		c.Members, c.Shares = d.members(lines), d.shares(lines, soon)
		d.propose(part.Pair, c)
	}
	if waits {
		d.writeParts(lines, Committed, scheduled)
	}
}

// NewLine is what a new line bills for the subscriptions of a sum or a count, and what is remembered of each when it is made; missing is the
// word whose number is not known.
func (g Group) NewLine() (line model.Quantity, members []Member, shares, missing string) {
	d := decider{Group: g}
	for _, part := range g.Parts {
		q, ok := part.Vendor.Now["quantity"].Quantity()
		if !ok {
			return line, nil, "", countPurchased
		}
		d.vendor = append(d.vendor, q)
	}
	line, missing = g.Count.Billed(Seats{model.QuantityValue(sum(d.vendor)), g.assigned(func(p Part) model.Value { return p.Vendor.Now[fieldAssigned] }), g.Agreed})
	if missing != "" {
		return line, nil, "", missing
	}
	return line, d.members(d.vendor), d.shares(d.vendor, line), ""
}
