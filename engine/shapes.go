package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Words of a line's seat rule beside a count.
const (
	rulePart = "part" // several lines bill one subscription; what this one bills is typed here
	ruleRest = "rest" // this one takes what the others leave
)

// shape is subscriptions and lines of a customer whose seats are decided together: a part for each link.
type shape struct {
	kind  plan.Shape
	count plan.Count
	parts []shaped
}

type shaped struct {
	pairing
	of    string // of a bundle: the product it is a part of
	ratio int64
	rest  bool
	over  bool // its own record has ended
}

// keptLine is a kept link of a line with what is remembered.
type keptLine struct {
	state.Link
	pairing
}

// stands reports that the link still accounts for seats.
func (k keptLine) stands() bool {
	q, ok := k.memory.PSA.Fields["quantity"].Quantity()
	return ok && q.Sign() > 0
}

// seatRule is what a line says itself: nothing, part, rest, or a count.
func (l line) seatRule() string { return strings.ToLower(strings.TrimSpace(l.Text("seat_rule"))) }

func (l line) isPart() bool { return l.seatRule() == rulePart || l.seatRule() == ruleRest }

// countOf is how a line counts its seats.
func (w *world) countOf(l *line) (plan.Count, error) {
	if rule := l.seatRule(); rule != "" && !l.isPart() {
		return plan.ParseCount(rule)
	}
	return w.flow.Lines.Count, nil
}

// forming finds the shapes of one customer.
type forming struct {
	*world
	g        *group
	kept     []keptLine
	findings []plan.Finding
}

// formShapes finds the subscriptions and lines of a customer that do not stand one to one, and takes them out of what stands so. What
// contradicts itself is taken out too, and reported.
func (w *world) formShapes(g *group, kept []keptLine) []plan.Finding {
	f := &forming{world: w, g: g, kept: kept}
	f.splits()
	for _, b := range w.flow.Bundles {
		f.bundle(b)
	}
	if w.flow.Lines.Group == GroupProduct {
		f.sums()
	}
	f.regrouped()
	f.departed()
	return f.findings
}

func (f *forming) open(l *line) bool { return !l.claimed && !l.ended(f.today) }

func subscriptionOn(l *line) string {
	return strings.ToLower(strings.TrimSpace(l.Text("subscription")))
}

func (f *forming) keyOf(l *line) string { return f.psaProductByID[l.Text("product")].Text("key") }

// keptOf is the kept link of two records.
func (f *forming) keptOf(sub, line string) (keptLine, bool) {
	i := slices.IndexFunc(f.kept, func(k keptLine) bool { return k.Vendor.ID == sub && k.PSA.ID == line })
	if i < 0 {
		return keptLine{}, false
	}
	return f.kept[i], true
}

// part joins a subscription and a line as a part of a shape.
func (f *forming) part(kind plan.Shape, sub *subscription, l *line) shaped {
	sub.shaped, l.claimed, l.shaped = true, true, true
	p := shaped{pairing: pairing{how: howKeptID}}
	if kind == plan.ShapeSum || kind == plan.ShapeBundle {
		p.how = "line of its product"
	}
	if k, ok := f.keptOf(sub.ID, l.ID); ok {
		p.pairing = k.pairing
	}
	p.sub, p.line = *sub, l
	return p
}

// complain reports what contradicts itself and keeps everybody's hands off its records.
func (f *forming) complain(key string, kind plan.Reason, subs []*subscription, lines []*line, title, detail, next string) {
	for _, s := range subs {
		s.shaped = true
	}
	for _, l := range lines {
		l.claimed, l.shaped = true, true
	}
	f.findings = append(f.findings, plan.Finding{Key: plan.ChangeID("shape", f.flow.Name, key), Kind: kind, Customer: f.g.label, Title: title, Detail: detail, Next: next})
}

// splits finds subscriptions of which several lines bill a part.
func (f *forming) splits() {
	for i := range f.g.lines {
		if l := &f.g.lines[i]; f.open(l) && l.isPart() && subscriptionOn(l) == "" {
			f.complain(l.ID, plan.BadRule, nil, []*line{l}, fmt.Sprintf("line %s says %s and names no subscription", l.ID, l.seatRule()),
				"several lines that bill one subscription all carry its id", "write the subscription's id into the line, or empty its seat rule")
		}
	}
	for i := range f.g.subs {
		sub := &f.g.subs[i]
		var parts, others, rests []*line
		for j := range f.g.lines {
			l := &f.g.lines[j]
			if !f.open(l) || subscriptionOn(l) != strings.ToLower(sub.ID) {
				continue
			}
			if l.isPart() {
				parts = append(parts, l)
			} else {
				others = append(others, l)
			}
			if l.seatRule() == ruleRest {
				rests = append(rests, l)
			}
		}
		var vanished []string
		var ended []keptLine
		for _, k := range f.kept {
			switch {
			case k.Vendor.ID != sub.ID || k.Shape != string(plan.ShapeSplit) || !k.stands():
			case k.line == nil:
				vanished = append(vanished, k.PSA.ID)
			case k.line.ended(f.today):
				ended = append(ended, k)
			}
		}
		title := fmt.Sprintf("%s, %s seats: ", lineLabel(*sub), sub.Text("quantity"))
		switch {
		case len(parts) == 0:
		case len(others) > 0:
			f.complain(sub.ID, plan.BadRule, []*subscription{sub}, slices.Concat(parts, others), title+"some of its lines are parts and some are not",
				"lines "+lineIDs(slices.Concat(parts, others)), "write part or rest into the seat rule of each, or take the id off those that are none")
		case len(rests) > 1:
			f.complain(sub.ID, plan.BadRule, []*subscription{sub}, parts, title+"more than one line takes the rest", "lines "+lineIDs(rests), "leave rest in the seat rule of one of them")
		case len(vanished) > 0:
			f.complain(sub.ID, plan.VanishedInPSA, []*subscription{sub}, parts, title+plan.VanishedInPSA.Sentence(),
				"line "+strings.Join(vanished, ", ")+" billed a part of it", "if it was deleted on purpose: trueup links forget "+f.linkOf(sub.ID, vanished[0]))
		default:
			s := shape{kind: plan.ShapeSplit}
			for _, l := range parts {
				p := f.part(plan.ShapeSplit, sub, l)
				p.rest = l.seatRule() == ruleRest
				s.parts = append(s.parts, p)
			}
			for _, k := range ended {
				p := f.part(plan.ShapeSplit, sub, k.line)
				p.over = true
				s.parts = append(s.parts, p)
			}
			f.g.shapes = append(f.g.shapes, s)
		}
	}
}

func (f *forming) linkOf(sub, line string) string {
	k, _ := f.keptOf(sub, line)
	return k.Link.ID
}

func lineIDs(lines []*line) string {
	var ids []string
	for _, l := range lines {
		ids = append(ids, fmt.Sprintf("%s (%s seats)", l.ID, l.Text("quantity")))
	}
	return strings.Join(ids, ", ")
}

// elsewhere reports a subscription that a line of its own bills.
func (f *forming) elsewhere(sub *subscription, than *line) bool {
	for i := range f.g.lines {
		if l := &f.g.lines[i]; l != than && !l.ended(f.today) && subscriptionOn(l) == strings.ToLower(sub.ID) {
			return true
		}
	}
	return slices.ContainsFunc(f.kept, func(k keptLine) bool {
		return k.Vendor.ID == sub.ID && k.PSA.ID != than.ID && k.line != nil && !k.line.ended(f.today)
	})
}

// bundle finds the line of a bundle and the subscriptions of its parts.
func (f *forming) bundle(b Bundle) {
	var lines []*line
	for i := range f.g.lines {
		if l := &f.g.lines[i]; f.open(l) && f.keyOf(l) == b.Product {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		return
	}
	s := shape{kind: plan.ShapeBundle}
	var subs []*subscription
	var ratios []BundlePart
	for _, of := range b.Of {
		found := 0
		for i := range f.g.subs {
			sub := &f.g.subs[i]
			k, isKept := f.keptOf(sub.ID, lines[0].ID)
			if sub.shaped || sub.Text("product") != of.Product || f.elsewhere(sub, lines[0]) || !(billable(*sub) && !sub.gone) && !(isKept && k.stands()) {
				continue
			}
			found++
			subs, ratios = append(subs, sub), append(ratios, of)
		}
		if found == 0 {
			f.complain("bundle "+lines[0].ID, plan.OutOfRatio, subs, lines, fmt.Sprintf("line %s bills the bundle %s, and nothing is bought of %s", lines[0].ID, b.Product, of.Product),
				"seats on the line: "+lines[0].Text("quantity"), "buy it at the vendor, or end the line")
			return
		}
	}
	if len(lines) > 1 {
		f.complain("bundle "+lines[0].ID, plan.AmbiguousLine, subs, lines, fmt.Sprintf("more than one line bills the bundle %s", b.Product), "lines "+lineIDs(lines), "end those that are not needed")
		return
	}
	for i, sub := range subs {
		p := f.part(plan.ShapeBundle, sub, lines[0])
		p.of, p.ratio, p.over = ratios[i].Product, ratios[i].Ratio, sub.Text("status") == model.StatusEnded
		s.parts = append(s.parts, p)
	}
	f.g.shapes = append(f.g.shapes, s)
}

// sums finds the products of which one line bills several subscriptions.
func (f *forming) sums() {
	members := map[string][]*subscription{}
	var products []string
	for i := range f.g.subs {
		sub := &f.g.subs[i]
		stands := slices.ContainsFunc(f.kept, func(k keptLine) bool {
			return k.Vendor.ID == sub.ID && k.Shape == string(plan.ShapeSum) && k.stands()
		})
		if sub.shaped || !(billable(*sub) && !sub.gone) && !stands {
			continue
		}
		key := sub.Text("product")
		if members[key] == nil {
			products = append(products, key)
		}
		members[key] = append(members[key], sub)
	}
	for _, key := range products {
		subs := members[key]
		var lines []*line
		for i := range f.g.lines {
			l := &f.g.lines[i]
			names := slices.ContainsFunc(subs, func(s *subscription) bool { return subscriptionOn(l) == strings.ToLower(s.ID) })
			if f.open(l) && (names || f.keyOf(l) == key && subscriptionOn(l) == "") {
				lines = append(lines, l)
			}
		}
		switch {
		case len(subs) < 2 || len(lines) == 0: // as without grouping
		case len(lines) > 1:
			f.complain("sum "+subs[0].ID, plan.AmbiguousLine, subs, lines, fmt.Sprintf("%s: the flow bills %d subscriptions on one line, and there are %d", lineLabel(*subs[0]), len(subs), len(lines)),
				"lines "+lineIDs(lines), "put the seats of all on one line and end the others")
		default:
			count, err := f.countOf(lines[0])
			if err != nil {
				f.badCount(lines[0], err, subs)
				continue
			}
			s := shape{kind: plan.ShapeSum, count: count}
			for _, sub := range subs {
				p := f.part(plan.ShapeSum, sub, lines[0])
				p.over = sub.Text("status") == model.StatusEnded
				s.parts = append(s.parts, p)
			}
			f.g.shapes = append(f.g.shapes, s)
		}
	}
}

// badCount is a seat rule that cannot be read.
func (f *forming) badCount(l *line, err error, subs []*subscription) {
	f.complain(l.ID, plan.BadRule, subs, []*line{l}, fmt.Sprintf("line %s: its seat rule %q cannot be followed", l.ID, l.Text("seat_rule")), err.Error(),
		"mend the seat rule on the line, or empty it to count as the flow does")
}

// regrouped reports links of shapes that nobody says any more. Taken for lines of their own, each would bill the seats of all.
func (f *forming) regrouped() {
	for i := range f.g.subs {
		sub := &f.g.subs[i]
		if sub.shaped || sub.gone || !billable(*sub) {
			continue
		}
		for _, k := range f.kept {
			if k.Vendor.ID != sub.ID || k.line == nil || !f.open(k.line) {
				continue
			}
			with := slices.DeleteFunc(slices.Clone(f.kept), func(o keptLine) bool {
				return o.Shape != k.Shape || !o.stands() || k.Shape == string(plan.ShapeSplit) && o.Vendor.ID != sub.ID || k.Shape != string(plan.ShapeSplit) && o.PSA.ID != k.PSA.ID
			})
			if k.Shape == string(plan.ShapeBundle) || (k.Shape == string(plan.ShapeSum) || k.Shape == string(plan.ShapeSplit)) && len(with) > 1 {
				f.complain("regrouped "+k.Link.ID, plan.Regrouped, []*subscription{sub}, nil, lineLabel(*sub)+": "+plan.Regrouped.Sentence(),
					fmt.Sprintf("subscription %s and line %s: %s", sub.ID, k.PSA.ID, plan.Shape(k.Shape).Sentence()),
					"say it again in the flow or on the lines; or bill each on a line of its own, and then: trueup links forget "+k.Link.ID)
				break
			}
		}
	}
	// Their lines are nobody else's meanwhile.
	for i := range f.g.lines {
		l := &f.g.lines[i]
		for _, k := range f.kept {
			if k.line == l && !l.claimed && slices.ContainsFunc(f.g.subs, func(s subscription) bool { return s.shaped && s.ID == k.Vendor.ID }) {
				l.claimed, l.shaped = true, true
			}
		}
	}
}

// departed takes out subscriptions that ended within a sum or a bundle whose line bills none of their seats any more: the line is not theirs
// to end.
func (f *forming) departed() {
	for i := range f.g.subs {
		sub := &f.g.subs[i]
		sub.shaped = sub.shaped || (sub.gone || !billable(*sub)) && slices.ContainsFunc(f.kept, func(k keptLine) bool {
			return k.Vendor.ID == sub.ID && (k.Shape == string(plan.ShapeSum) || k.Shape == string(plan.ShapeBundle)) && !k.stands()
		})
	}
}

// oneToOne are the kept links by subscription; where there are several, that with an open line.
func oneToOne(links []keptLine, today model.Day) map[string]pairing {
	kept := map[string]pairing{}
	for _, k := range links {
		was, twice := kept[k.Vendor.ID]
		if twice && was.line != nil && !was.line.ended(today) && !was.line.shaped {
			continue
		}
		kept[k.Vendor.ID] = k.pairing
	}
	return kept
}

// staleLinks are kept links of records that another link joins now.
func staleLinks(links []keptLine, pairs []pairing, g *group) []string {
	used, records := map[string]bool{}, map[string]bool{}
	use := func(p pairing) {
		used[p.link] = true
		records["sub "+p.sub.ID], records["line "+p.line.ID] = true, true
	}
	for _, p := range pairs {
		use(p)
	}
	for _, s := range g.shapes {
		for _, p := range s.parts {
			use(p.pairing)
		}
	}
	var stale []string
	for _, k := range links {
		if !used[k.Link.ID] && (records["sub "+k.Vendor.ID] || records["line "+k.PSA.ID]) {
			stale = append(stale, k.Link.ID)
		}
	}
	return stale
}

// counted turns a pair whose line counts in its own way into a shape; counted is false for one that bills what is bought. So is a pair whose
// line counted in its own way when it was last agreed.
func (w *world) counted(g *group, pair pairing, p *plan.Plan) (shapes []shape, counted bool) {
	count, err := w.countOf(pair.line)
	if err != nil {
		f := &forming{world: w, g: g}
		f.badCount(pair.line, err, nil)
		p.Findings = append(p.Findings, f.findings...)
		p.Counts.NotCompared++
		return nil, true
	}
	before := pair.memory.PSA.Fields["counts"].String()
	if count.Plain() && (before == "" || before == count.String()) {
		return nil, false
	}
	return []shape{{kind: plan.ShapeCount, count: count, parts: []shaped{{pairing: pair}}}}, true
}

// planShape decides what kind of shape it is: one to compare, one whose line ends, or one a person must look at.
func (w *world) planShape(g *group, s shape, input *plan.Input, p *plan.Plan) {
	head := s.parts[0]
	ref := func(part shaped) plan.PairRef {
		r := w.pairRef(part.pairing)
		r.Shape = s.kind
		return r
	}
	label := lineLabel(head.sub)
	allOver, ended := true, head.line.ended(w.today) && s.kind != plan.ShapeSplit
	for _, part := range s.parts {
		sub := part.sub
		over := sub.Text("status") == model.StatusEnded
		allOver = allOver && (over || sub.gone)
		switch {
		case sub.broken:
			p.Counts.NotCompared++
			return
		case sub.gone && !ended:
			p.Counts.NotCompared++
			change := w.endOf(g, part.pairing, ref(part), lineLabel(sub))
			p.Held = append(p.Held, plan.Held{Change: change, Reason: plan.VanishedAtVendor,
				Detail: fmt.Sprintf("subscription %s is not listed by %s any more; line %s bills %s seats (%s)", sub.ID, w.vendor.Name, part.line.ID, part.line.Text("quantity"), s.kind.Sentence()),
				Next:   "find out what became of it at the vendor; lower or end the line by hand if it is over"})
			return
		case sub.Text("status") == model.StatusUnknown:
			w.planPair(g, part.pairing, input, p)
			return
		}
	}
	switch {
	case allOver && ended:
		// Over on both sides.
	case allOver:
		seen := map[string]bool{}
		for _, part := range s.parts {
			if !seen[part.line.ID] && !part.line.ended(w.today) {
				seen[part.line.ID] = true
				w.planEnd(g, part.pairing, ref(part), lineLabel(part.sub), p)
			}
		}
	case ended:
		for _, part := range s.parts {
			if part.sub.Text("status") != model.StatusEnded {
				p.Counts.NotCompared++
				p.Findings = append(p.Findings, endedInPSA(w, g, part.sub, part.line))
				p.Merge(plan.ComputeEnd(*input, w.comparable(g, part.pairing, ref(part), lineLabel(part.sub))))
			}
		}
	default:
		w.measureShape(g, s)
		group := w.groupOf(g, s, ref, label)
		input.Groups = append(input.Groups, group)
		told := map[string]bool{}
		for _, part := range group.Parts {
			if f, ok := plan.Undecided(part.Pair, w.flow.TermEnds); ok && !part.Over && !told[f.Key] {
				told[f.Key] = true
				p.Findings = append(p.Findings, f)
			}
		}
	}
}

// measureShape adds each line once to what shares are measured against.
func (w *world) measureShape(g *group, s shape) {
	seen := map[string]bool{}
	for _, part := range s.parts {
		if !seen[part.line.ID] && !part.line.ended(w.today) {
			seen[part.line.ID] = true
			w.measure(g, part.pairing)
		}
	}
}

// groupOf makes the group that is decided about together. The line of a sum follows the price and text of one of its subscriptions, whose id
// it keeps; the cost and text of a bundle's line are the PSA's own.
func (w *world) groupOf(g *group, s shape, ref func(shaped) plan.PairRef, label string) plan.Group {
	group := plan.Group{Shape: s.kind, Count: s.count, Rule: w.flow.Lines.Fields["quantity"], Agreed: s.parts[0].line.Fields["agreed"]}
	keeps := -1
	for i, part := range s.parts {
		switch {
		case part.over:
		case subscriptionOn(part.line) == strings.ToLower(part.sub.ID):
			keeps = i
		case keeps < 0:
			keeps = i
		}
	}
	for i, part := range s.parts {
		pair := w.comparable(g, part.pairing, ref(part), label)
		delete(pair.Rules, "quantity")
		delete(pair.Rules, "next_quantity")
		delete(pair.PSA.Now, "next_quantity")
		if v := part.sub.Fields["assigned"]; v.Known() && !v.Blank() {
			pair.Vendor.Now["assigned"] = v
		}
		pair.PSA.Now["quantity"], pair.Vendor.Now["quantity"] = part.line.Fields["quantity"], part.sub.Fields["quantity"]
		several := s.kind == plan.ShapeSum || s.kind == plan.ShapeBundle
		switch {
		case several && (i != keeps || s.kind == plan.ShapeBundle):
			pair.Rules = map[string]plan.FieldRule{}
		case s.kind == plan.ShapeSplit:
			pair.LineEnd = model.Day{} // the end of a part is not the end of the subscription
		}
		switch {
		case part.over && several:
			pair.Vendor.Now["quantity"], pair.Locked = model.Int(0), "it has ended"
		case part.over:
			pair.PSA.Now["quantity"], pair.Rules = model.Int(0), map[string]plan.FieldRule{}
		}
		group.Parts = append(group.Parts, plan.Part{Pair: pair, Of: part.of, Ratio: part.ratio, Rest: part.rest, Over: part.over, Since: boughtAt(part.sub)})
	}
	return group
}

// boughtAt is when a subscription was bought, or when its term began where that is not known.
func boughtAt(sub subscription) time.Time {
	if at, ok := sub.Fields["created"].Time(); ok {
		return at
	}
	start, _ := sub.Fields["start"].Day()
	return start.Midnight(time.UTC)
}

// countNew sets what a new line bills and which subscriptions that settles; missing is the word whose number is not known.
func (c *creations) countNew(subs []subscription, values model.Fields, change *plan.Change) (missing string) {
	count := c.flow.Lines.Count
	if len(subs) == 1 && count.Plain() {
		return ""
	}
	g := plan.Group{Shape: plan.ShapeCount, Count: count}
	if len(subs) > 1 {
		g.Shape = plan.ShapeSum
	}
	change.Pair.Shape = g.Shape
	for _, sub := range subs {
		pair := plan.Pair{Ref: change.Pair}
		pair.Ref.Vendor = plan.Ref{Kind: model.KindSubscription, ID: sub.ID, Parent: sub.tenant}
		pair.Vendor.Now = model.Fields{"quantity": sub.Fields["quantity"], "assigned": sub.Fields["assigned"]}
		g.Parts = append(g.Parts, plan.Part{Pair: pair})
	}
	line, members, shares, missing := g.NewLine()
	if missing != "" {
		return missing
	}
	values["quantity"], change.Members, change.Shares = model.QuantityValue(line), members, shares
	return ""
}
