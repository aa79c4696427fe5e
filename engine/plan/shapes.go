package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Shape says how the seats of subscriptions and of contract lines belong together.
type Shape string

const (
	ShapeOne    Shape = ""       // a line bills what one subscription has
	ShapeCount  Shape = "count"  // a line bills one subscription in a way of its own: an allowance, a minimum, seats in use
	ShapeSum    Shape = "sum"    // a line bills several subscriptions of one product together
	ShapeSplit  Shape = "split"  // several lines bill parts of one subscription
	ShapeBundle Shape = "bundle" // a line bills several products in a ratio
)

// Sentence is the shape in plain English.
func (s Shape) Sentence() string {
	return map[Shape]string{ShapeOne: "one line bills one subscription", ShapeCount: "the line counts in its own way", ShapeSum: "one line bills several subscriptions together",
		ShapeSplit: "several lines bill parts of one subscription", ShapeBundle: "one line bills several products in a ratio"}[s]
}

// Group is subscriptions and lines whose seats are decided together. One of the two sides is a single record, which is the same in every part.
type Group struct {
	Shape  Shape
	Rule   FieldRule // of the quantity
	Count  Count     // of a count and a sum
	Agreed model.Value
	Parts  []Part
}

// Part is a link of a group. Its pair has rules for every field but the quantity, which is decided for the group. The vendor's end has the
// subscription's quantity, and what is assigned of it; the PSA's end has the line's quantity.
//
// What is remembered of a quantity is the part's own. In a sum, a count and a bundle both sides remember seats of the subscription: those
// it had, and those of them that the line stood for. In a split both remember seats of the line.
type Part struct {
	Pair
	Of    string    // of a bundle: the product it is a part of
	Ratio int64     // of a bundle: seats for each one on the line
	Rest  bool      // of a split: this line takes what the others leave
	Over  bool      // the part's own record has ended: it counts as none
	Since time.Time // when the subscription was bought
}

// record names the record of the side on which a group has several.
func (g Group) record(i int) string {
	if g.Shape == ShapeSplit {
		return "line " + g.Parts[i].Ref.PSA.ID
	}
	return g.Parts[i].Ref.Vendor.ID
}

// share is what a record has, and what is known about changing it.
type share struct {
	id         string
	now        model.Quantity
	refundable model.Quantity // of what it has, so many may be taken away now
	closed     bool           // it takes no change: ended, suspended, a trial
	since      time.Time
	end        model.Day // last day of its term
	decided    bool      // it is not to renew as it is
}

// wantSum spreads seats over subscriptions of one product so that they add up to a target. The same shares come to the same result.
//
// Fewer: those that are refunded go first, of the newest subscription first; then others, of the newest first. Each keeps one seat: it is
// cancelled by ending its line, not by lowering it. More: all to the subscription whose term ends first, where they are committed for the
// shortest time, but rather to one for which nothing else is decided at that end. What could not be spread is left.
func wantSum(shares []share, target model.Quantity) (want []model.Quantity, left model.Quantity) {
	var open []int
	left = target
	for i, s := range shares {
		want = append(want, s.now)
		left = left.Sub(s.now)
		if !s.closed {
			open = append(open, i)
		}
	}
	switch {
	case left.Sign() == 0 || len(open) == 0:
		return want, left
	case len(shares) == 1:
		return []model.Quantity{target}, model.Quantity{}
	case left.Sign() > 0:
		slices.SortFunc(open, func(a, b int) int {
			x, y := shares[a], shares[b]
			return cmp.Or(compareBool(x.decided, y.decided), compareBool(x.end.IsZero(), y.end.IsZero()), x.end.Cmp(y.end), cmp.Compare(x.id, y.id))
		})
		want[open[0]] = want[open[0]].Add(left)
		return want, model.Quantity{}
	}
	slices.SortFunc(open, func(a, b int) int {
		return cmp.Or(shares[b].since.Compare(shares[a].since), cmp.Compare(shares[b].id, shares[a].id))
	})
	one := model.NewQuantity(1)
	take := func(i int, atMost model.Quantity) {
		n := least(left.Neg(), atMost, want[i].Sub(one))
		if n.Sign() > 0 {
			want[i], left = want[i].Sub(n), left.Add(n)
		}
	}
	for _, i := range open {
		take(i, shares[i].refundable)
	}
	for _, i := range open {
		take(i, want[i])
	}
	return want, left
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func least(of ...model.Quantity) model.Quantity { return slices.MinFunc(of, model.Quantity.Cmp) }

// wantBundle is how many seats of a product a bundle's line stands for.
func wantBundle(line model.Quantity, ratio int64) model.Quantity {
	return line.Times(max(ratio, 1))
}

// wantSplit is what the lines of a split bill so that they add up to what is bought: the line of the rest takes the difference. left is
// what it could not take.
func wantSplit(lines []model.Quantity, rest int, bought model.Quantity) (want []model.Quantity, left model.Quantity) {
	want = slices.Clone(lines)
	left = bought.Sub(sum(lines))
	if rest < 0 || left.Sign() == 0 {
		return want, left
	}
	taken := want[rest].Add(left)
	if taken.Sign() < 0 {
		return want, left
	}
	want[rest] = taken
	return want, model.Quantity{}
}

// wantBack is what the lines of a split bill when seats that were taken off them are committed: those that were lowered get them back,
// the one that was lowered most first.
func wantBack(lines, before []model.Quantity, bought model.Quantity) []model.Quantity {
	want, left := slices.Clone(lines), bought.Sub(sum(lines))
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return before[b].Sub(lines[b]).Cmp(before[a].Sub(lines[a])) })
	for _, i := range order {
		if n := least(left, before[i].Sub(lines[i])); n.Sign() > 0 {
			want[i], left = want[i].Add(n), left.Sub(n)
		}
	}
	if left.Sign() > 0 && len(want) > 0 { // they were lowered before trueup had seen them
		want[order[0]] = want[order[0]].Add(left)
	}
	return want
}

func sum(of []model.Quantity) (total model.Quantity) {
	for _, q := range of {
		total = total.Add(q)
	}
	return total
}

// standing is a group's numbers, part by part, now and as remembered.
type standing struct {
	vendor, psa             []model.Quantity // now
	vendorBefore, psaBefore []model.Quantity
	known                   []bool // the part is remembered
	remembered              bool   // some part is
	counts                  Count  // how the line was counted when it was last agreed
}

// standing reads the numbers; ok is false where one was not delivered.
func (g Group) standing() (s standing, ok bool) {
	s.counts = g.Count
	for _, part := range g.Parts {
		vendor, hasVendor := part.Vendor.Now["quantity"].Quantity()
		psa, hasPSA := part.PSA.Now["quantity"].Quantity()
		if !hasVendor || !hasPSA {
			return s, false
		}
		vendorBefore, known := part.Vendor.Memory["quantity"].Quantity()
		psaBefore, knownPSA := part.PSA.Memory["quantity"].Quantity()
		if known = known && knownPSA; known {
			before, said, err := trimmedCount(part.PSA.Memory[fieldCounts].String())
			switch {
			case err != nil:
				known = false
			case said:
				s.counts = before
			case !s.remembered:
				s.counts = Count{}
			}
		}
		if !known {
			vendorBefore, psaBefore = model.Quantity{}, model.Quantity{}
		}
		s.remembered = s.remembered || known
		s.vendor, s.psa, s.known = append(s.vendor, vendor), append(s.psa, psa), append(s.known, known)
		s.vendorBefore, s.psaBefore = append(s.vendorBefore, vendorBefore), append(s.psaBefore, psaBefore)
	}
	return s, len(g.Parts) > 0
}

// Fields of a part's memory beside those of the line.
const (
	fieldCounts   = "counts"   // PSA: how the line was counted
	fieldAgreed   = "agreed"   // PSA: the agreed seats then
	fieldAssigned = "assigned" // vendor: the seats in use then
)

// assigned adds up the seats in use; not known where one of a subscription is not.
func (g Group) assigned(of func(Part) model.Value) model.Value {
	var total model.Quantity
	for _, part := range g.Parts {
		if part.Over {
			continue
		}
		q, ok := of(part).Quantity()
		if !ok {
			return model.Value{}
		}
		total = total.Add(q)
	}
	return model.QuantityValue(total)
}

// cells are the two sides in the line's words; missing is what the count needs and is not known.
func (g Group) cells(s standing) (vendor, psa cell, missing string) {
	switch g.Shape {
	case ShapeSplit:
		vendor.now, psa.now = model.QuantityValue(s.vendor[0]), model.QuantityValue(sum(s.psa))
		if s.remembered {
			vendor.memory, psa.memory = model.QuantityValue(sum(s.vendorBefore)), model.QuantityValue(sum(s.psaBefore))
		}
	case ShapeBundle:
		vendor.now, psa.now = g.inRatio(s.vendor), model.QuantityValue(s.psa[0])
		if s.remembered {
			vendor.memory, psa.memory = g.inRatio(s.vendorBefore), g.inRatio(s.psaBefore)
		}
	default:
		now, missing := g.Count.Billed(Seats{model.QuantityValue(sum(s.vendor)), g.assigned(func(p Part) model.Value { return p.Vendor.Now[fieldAssigned] }), g.Agreed})
		if missing != "" {
			return vendor, psa, missing
		}
		vendor.now, psa.now = model.QuantityValue(now), model.QuantityValue(s.psa[0])
		if !s.remembered {
			break
		}
		assigned, agreed := g.assigned(func(p Part) model.Value {
			if !p.Vendor.Memory[fieldAssigned].Known() {
				return model.Int(0) // it came later
			}
			return p.Vendor.Memory[fieldAssigned]
		}), model.Value{}
		for _, part := range g.Parts {
			if v := part.PSA.Memory[fieldAgreed]; v.Known() {
				agreed = v
			}
		}
		was, unknown := s.counts.Billed(Seats{model.QuantityValue(sum(s.vendorBefore)), assigned, agreed})
		stood, _ := s.counts.Billed(Seats{model.QuantityValue(sum(s.psaBefore)), assigned, agreed})
		if unknown == "" {
			vendor.memory, psa.memory = model.QuantityValue(was), model.QuantityValue(stood)
		}
	}
	vendor.asOther, psa.asOther = vendor.now, psa.now
	return vendor, psa, ""
}

// inRatio is the one number of bundles that seats make up; where they are not in the ratio it is a text of them all, which equals no number.
func (g Group) inRatio(seats []model.Quantity) model.Value {
	var parts []string
	for _, of := range g.components() {
		var total model.Quantity
		for _, i := range of {
			total = total.Add(seats[i])
		}
		ratio := model.NewQuantity(g.Parts[of[0]].Ratio).Decimal()
		parts = append(parts, total.Decimal().Div(ratio).String())
	}
	if len(slices.Compact(slices.Clone(parts))) == 1 {
		if q, err := model.ParseQuantity(parts[0]); err == nil && q.Whole() {
			return model.QuantityValue(q)
		}
	}
	return model.Text(strings.Join(parts, " / "))
}

// components are the parts that one number is spread over: those of each product of a bundle, or all.
func (g Group) components() (of [][]int) {
	place := map[string]int{}
	for i, part := range g.Parts {
		at, seen := place[part.Of]
		if !seen {
			at = len(of)
			place[part.Of], of = at, append(of, nil)
		}
		of[at] = append(of[at], i)
	}
	return of
}

// shares says in words how the parts' seats make the line's.
func (g Group) shares(seats []model.Quantity, line model.Quantity) string {
	var parts []string
	for i, q := range seats {
		switch {
		case g.Parts[i].Over && q.Sign() == 0:
		case g.Shape == ShapeBundle:
			parts = append(parts, fmt.Sprintf("%s of %s (%d for each)", q, g.Parts[i].Of, g.Parts[i].Ratio))
		case len(seats) > 1:
			parts = append(parts, fmt.Sprintf("%s (%s)", q, g.record(i)))
		}
	}
	text := strings.Join(parts, " + ")
	switch {
	case g.Shape == ShapeBundle:
		return fmt.Sprintf("%s on the line: %s", line, strings.Join(parts, ", "))
	case g.Shape == ShapeSplit:
		return fmt.Sprintf("%s = %s bought", text, line)
	case !g.Count.Plain() && text != "":
		return fmt.Sprintf("%s on the line = %s of %s", line, g.Count, text)
	case !g.Count.Plain():
		return fmt.Sprintf("%s on the line = %s of %s", line, g.Count, sum(seats))
	case text == "":
		return ""
	}
	return fmt.Sprintf("%s on the line = %s", line, text)
}
