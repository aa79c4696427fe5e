package plan_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// bought is a subscription in a scene, with the vendor's own rules: seats go down only as far as they are refunded, each subscription keeps
// one, and a change inside the term deletes what is scheduled.
type bought struct {
	seats, refundable, assigned int64
	next                        int64 // scheduled for the end of the term; 0 for nothing
	ends                        model.Day
	since                       int // day in January on which it was bought
	locked                      string
	of                          string
	ratio                       int64
	over                        bool
}

// lineOf is a line in a scene.
type lineOf struct {
	seats      int64
	rest, over bool
}

// scene is both sides of a group, and what is remembered of each link.
type scene struct {
	shape     plan.Shape
	count     plan.Count
	rule      plan.FieldRule
	agreed    int64 // 0 for none
	subs      []bought
	lines     []lineOf
	memory    []plan.Memory // by part
	writes    map[string]int
	scheduled bool // by the plan, ever
}

var termEnd = model.NewDay(2032, 3, 4)

func (s *scene) parts() int { return max(len(s.subs), len(s.lines)) }

func (s *scene) at(part int) (sub *bought, line *lineOf) {
	return &s.subs[min(part, len(s.subs)-1)], &s.lines[min(part, len(s.lines)-1)]
}

func subID(i int) string  { return fmt.Sprintf("s%d", i+1) }
func lineID(i int) string { return fmt.Sprintf("l%d", i+1) }

func quantityOrNone(n int64) model.Value {
	if n == 0 {
		return model.Empty(model.TypeQuantity)
	}
	return model.Int(n)
}

// group is the scene as the engine would show it.
func (s *scene) group() plan.Group {
	g := plan.Group{Shape: s.shape, Count: s.count, Rule: s.rule}
	if s.agreed > 0 {
		g.Agreed = model.Int(s.agreed)
	}
	both := map[string]bool{"quantity": true}
	for i := range s.parts() {
		sub, line := s.at(i)
		p := plan.Part{Of: sub.of, Ratio: sub.ratio, Rest: line.rest, Over: sub.over || line.over, Since: time.Date(2031, 1, sub.since, 0, 0, 0, 0, time.UTC)}
		p.Pair = plan.Pair{
			Ref: plan.PairRef{Kind: model.KindLine, Shape: s.shape, Link: fmt.Sprintf("link%d", i+1),
				Vendor: plan.Ref{Kind: model.KindSubscription, ID: subID(min(i, len(s.subs)-1)), Parent: "c1"}, PSA: plan.Ref{Kind: model.KindLine, ID: lineID(min(i, len(s.lines)-1)), Parent: "a1"}},
			Label: "Business Premium", Customer: "Kea Logistics", UnitCost: money("10 GBP"), UnitPrice: money("15 GBP"), Complete: true, Rules: map[string]plan.FieldRule{},
			Vendor: plan.End{Account: "microsoft", Writable: both, Now: model.Fields{"quantity": model.Int(sub.seats), "assigned": model.Int(sub.assigned), "next_quantity": quantityOrNone(sub.next), "at_end": model.Text("")}},
			PSA:    plan.End{Account: "psa", Writable: both, Now: model.Fields{"quantity": model.Int(line.seats)}},
			Locked: sub.locked, Reducible: model.Int(sub.refundable),
			Term: plan.Term{Now: time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC), Start: model.NewDay(2031, 3, 5), End: termEnd, Duration: "P1Y", Billing: "monthly", AutoRenew: model.Bool(true), Schedulable: true},
		}
		if !sub.ends.IsZero() {
			p.Term.End = sub.ends
		}
		if len(s.memory) > i {
			p.Vendor.Memory, p.PSA.Memory = s.memory[i].Vendor, s.memory[i].PSA
		}
		g.Parts = append(g.Parts, p)
	}
	return g
}

func (s *scene) plan() plan.Plan {
	p := plan.Compute(plan.Input{Flow: "f", First: plan.FirstVendor, Groups: []plan.Group{s.group()}})
	p.Sort()
	return p
}

func whole(v model.Value) int64 {
	q, _ := v.Quantity()
	return q.Int()
}

// do writes one change as both systems and the applier would, and remembers what it settles. It returns why the vendor refuses it.
func (s *scene) do(c plan.Change) string {
	key := string(c.Op) + " " + c.Target.ID
	s.writes[key]++
	for len(s.memory) < s.parts() {
		s.memory = append(s.memory, plan.Memory{Vendor: model.Fields{}, PSA: model.Fields{}})
	}
	to := whole(c.Fields[0].To)
	own := slices.IndexFunc(s.group().Parts, func(p plan.Part) bool { return p.Ref == c.Pair })
	remember := func(part int, vendor, psa model.Fields) {
		m := &s.memory[part]
		m.Vendor, m.PSA = maps.Clone(m.Vendor), maps.Clone(m.PSA)
		if m.Vendor == nil {
			m.Vendor, m.PSA = model.Fields{}, model.Fields{}
		}
		maps.Copy(m.Vendor, vendor)
		maps.Copy(m.PSA, psa)
	}
	if c.Target.Kind == model.KindLine {
		for i := range s.lines {
			if lineID(i) == c.Target.ID {
				s.lines[i].seats = to
			}
		}
	} else {
		var sub *bought
		for i := range s.subs {
			if subID(i) == c.Target.ID {
				sub = &s.subs[i]
			}
		}
		switch {
		case to < 1:
			return fmt.Sprintf("%s: %d seats", key, to)
		case sub.over || sub.locked != "":
			return key + " takes no change"
		case c.Op == plan.OpSchedule:
			sub.next, s.scheduled = to, true
			return ""
		case to < sub.seats-sub.refundable:
			return fmt.Sprintf("%s from %d to %d, and %d are refunded", key, sub.seats, to, sub.refundable)
		case to < sub.seats:
			sub.refundable -= sub.seats - to
		default:
			sub.refundable += to - sub.seats
		}
		sub.seats = to
		sub.next = 0
		for _, f := range c.Keeps {
			sub.next = whole(f.To)
		}
	}
	if len(c.Members) == 0 {
		remember(own, model.Fields{"quantity": model.Int(to)}, model.Fields{"quantity": model.Int(to)})
	}
	for _, m := range c.Members {
		part := slices.IndexFunc(s.group().Parts, func(p plan.Part) bool { return p.Ref == m.Pair })
		remember(part, m.Vendor, m.PSA)
	}
	return ""
}

// settle plans and does everything, or only the first changes.
func (s *scene) settle(atMost int) (p plan.Plan, refused []string) {
	p = s.plan()
	s.keep(p)
	for i, c := range p.Changes {
		if i == atMost {
			break
		}
		if why := s.do(c); why != "" {
			refused = append(refused, why)
		}
	}
	return p, refused
}

// keep remembers what the plan found in step.
func (s *scene) keep(p plan.Plan) {
	parts := s.group().Parts
	for len(s.memory) < len(parts) {
		s.memory = append(s.memory, plan.Memory{})
	}
	for _, m := range p.Remember {
		if i := slices.IndexFunc(parts, func(p plan.Part) bool { return p.Ref == m.Pair }); len(m.Vendor) > 0 {
			s.memory[i] = m
		}
	}
}

// sums says whether what is bought and what is billed belong together by the shape's rule, worked out here once more.
func (s *scene) sums() bool {
	var buys, uses, bills int64
	for _, sub := range s.subs {
		if !sub.over {
			buys, uses = buys+sub.seats, uses+sub.assigned
		}
	}
	for _, line := range s.lines {
		bills += line.seats
	}
	switch {
	case s.shape == plan.ShapeBundle:
		of := map[string]int64{}
		for _, sub := range s.subs {
			of[sub.of] += sub.seats
		}
		for _, sub := range s.subs {
			if of[sub.of] != bills*sub.ratio {
				return false
			}
		}
		return true
	case s.shape == plan.ShapeSplit:
		return bills == buys
	}
	want := map[string]int64{"purchased": buys, "purchased - 5": max(buys-5, 0), "larger(purchased, 10)": max(buys, 10), "larger(purchased - 2, 8)": max(buys-2, 8), "assigned": uses, "agreed": s.agreed,
		"larger(assigned, agreed) - 3": max(max(uses, s.agreed)-3, 0)}[s.count.String()]
	return bills == want
}

func (s *scene) String() string {
	var parts []string
	for i, sub := range s.subs {
		text := fmt.Sprintf("%s %d", subID(i), sub.seats)
		if sub.next > 0 {
			text += fmt.Sprintf(" (then %d)", sub.next)
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ", ") + " |"
	for i, line := range s.lines {
		text += fmt.Sprintf(" %s %d", lineID(i), line.seats)
	}
	return text
}

// scenes are the shapes, each in step.
func scenes(t interface{ Fatal(...any) }) map[string]func() *scene {
	both := plan.FieldRule{Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}
	make := func(shape plan.Shape, text string, agreed int64, subs []bought, lines ...lineOf) func() *scene {
		return func() *scene {
			s := &scene{shape: shape, count: count(t, text), rule: both, agreed: agreed, subs: slices.Clone(subs), lines: slices.Clone(lines), writes: map[string]int{}}
			if first, _ := s.settle(-1); len(first.Changes)+len(first.Held) > 0 || !s.sums() {
				t.Fatal("the scene is not in step: ", s, render(first))
			}
			return s
		}
	}
	open := bought{seats: 14, refundable: 14, assigned: 9, since: 5}
	one := func(alter func(*bought)) []bought {
		b := open
		if alter != nil {
			alter(&b)
		}
		return []bought{b}
	}
	closed := func(b *bought) { b.refundable = 0 }
	line := func(n int64) lineOf { return lineOf{seats: n} }
	two := []bought{{seats: 10, refundable: 1, since: 5}, {seats: 4, refundable: 3, since: 20, ends: model.NewDay(2031, 9, 30)}}
	return map[string]func() *scene{
		"01 one to one":                    make(plan.ShapeCount, "purchased", 0, one(nil), line(14)),
		"02 allowance":                     make(plan.ShapeCount, "purchased - 5", 0, one(nil), line(9)),
		"03 allowance, committed":          make(plan.ShapeCount, "purchased - 5", 0, one(closed), line(9)),
		"04 minimum":                       make(plan.ShapeCount, "larger(purchased, 10)", 0, one(func(b *bought) { b.seats = 9 }), line(10)),
		"05 allowance and minimum":         make(plan.ShapeCount, "larger(purchased - 2, 8)", 0, one(nil), line(12)),
		"06 seats in use":                  make(plan.ShapeCount, "assigned", 0, one(nil), line(9)),
		"07 agreed":                        make(plan.ShapeCount, "agreed", 12, one(nil), line(12)),
		"08 the larger, less an allowance": make(plan.ShapeCount, "larger(assigned, agreed) - 3", 12, one(nil), line(9)),
		"09 sum of two":                    make(plan.ShapeSum, "purchased", 0, two, line(14)),
		"10 sum of two, committed":         make(plan.ShapeSum, "purchased", 0, []bought{{seats: 10, since: 5}, {seats: 4, since: 20}}, line(14)),
		"11 sum of three, one suspended":   make(plan.ShapeSum, "purchased", 0, []bought{{seats: 10, refundable: 10, since: 5}, {seats: 4, refundable: 4, since: 20}, {seats: 3, since: 25, locked: "it is suspended"}}, line(17)),
		"12 sum with an allowance":         make(plan.ShapeSum, "purchased - 5", 0, two, line(9)),
		"13 split with a rest":             make(plan.ShapeSplit, "purchased", 0, one(nil), lineOf{seats: 8, rest: true}, line(6)),
		"14 split without a rest":          make(plan.ShapeSplit, "purchased", 0, one(nil), line(8), line(6)),
		"15 split in three, committed":     make(plan.ShapeSplit, "purchased", 0, one(closed), lineOf{seats: 7, rest: true}, line(4), line(3)),
		"16 bundle, one of each":           make(plan.ShapeBundle, "purchased", 0, []bought{{seats: 14, refundable: 14, of: "mail", ratio: 1}, {seats: 14, refundable: 14, of: "phone", ratio: 1}}, line(14)),
		"17 bundle, one and two":           make(plan.ShapeBundle, "purchased", 0, []bought{{seats: 14, refundable: 14, of: "mail", ratio: 1}, {seats: 28, refundable: 28, of: "storage", ratio: 2}}, line(14)),
		"18 bundle, a part bought twice":   make(plan.ShapeBundle, "purchased", 0, []bought{{seats: 10, refundable: 10, since: 5, of: "mail", ratio: 1}, {seats: 4, refundable: 4, since: 20, of: "mail", ratio: 1}, {seats: 14, refundable: 14, of: "phone", ratio: 1}}, line(14)),
		"19 bundle, one part is committed": make(plan.ShapeBundle, "purchased", 0, []bought{{seats: 14, refundable: 14, of: "mail", ratio: 1}, {seats: 14, of: "phone", ratio: 1}}, line(14)),
		"20 sum, one is told not to renew": make(plan.ShapeSum, "purchased", 0, []bought{{seats: 10, next: 2, since: 5, ends: model.NewDay(2031, 4, 1)}, {seats: 4, since: 20}}, line(14)),
	}
}

// edits are what people do on both sides.
var shapeEdits = []struct {
	name string
	edit func(*scene)
}{
	{"vendor +3", func(s *scene) { s.buy(3) }},
	{"vendor -2", func(s *scene) { s.buy(-2) }},
	{"psa +3", func(s *scene) { s.lines[len(s.lines)-1].seats += 3 }},
	{"psa -2", func(s *scene) { s.lines[len(s.lines)-1].seats -= 2 }},
	{"both +3", func(s *scene) { s.buy(3); s.lines[0].seats += 3 }},
	{"vendor +3, psa -2", func(s *scene) { s.buy(3); s.lines[0].seats -= 2 }},
	{"in use +6", func(s *scene) { s.subs[0].assigned += 6 }},
	{"agreed +4", func(s *scene) { s.agreed += 4 }},
}

// buy changes the first subscription in the vendor's pages; of a bundle, every product in its ratio.
func (s *scene) buy(n int64) {
	seen := map[string]bool{}
	for i := range s.subs {
		sub := &s.subs[i]
		if !seen[sub.of] {
			sub.seats += n * max(sub.ratio, 1)
			sub.refundable = max(0, sub.refundable+n*max(sub.ratio, 1))
		}
		seen[sub.of] = true
	}
}

// TestShapesAndEdits: for each shape and edit the outcome is the one in testdata/shapes.txt; what was written adds up, no record is
// written twice, and the next plan is empty. A part of the writes alone leads to the same outcome.
func TestShapesAndEdits(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	all := scenes(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&got, "%s: %s\n", name, all[name]())
		for _, e := range shapeEdits {
			s := all[name]()
			e.edit(s)
			before := s.String()
			p, refused := s.settle(-1)
			outcome := s.String()
			var held []string
			for _, h := range p.Held {
				held = append(held, string(h.Reason))
				if h.Detail == "" || h.Next == "" {
					t.Errorf("%s, %s: held without a detail or a next step: %+v", name, e.name, h)
				}
			}
			for _, f := range p.Findings {
				held = append(held, string(f.Kind))
			}
			switch {
			case len(refused) > 0:
				t.Errorf("%s, %s: the vendor refuses %v", name, e.name, refused)
			case len(held) > 0 && outcome != before:
				t.Errorf("%s, %s: %v, and yet %s became %s", name, e.name, held, before, outcome)
			case len(held) == 0 && !s.sums():
				t.Errorf("%s, %s: it does not add up: %s", name, e.name, outcome)
			}
			for write, n := range s.writes {
				if n != 1 {
					t.Errorf("%s, %s: %s was written %d times", name, e.name, write, n)
				}
			}
			for range 2 {
				if again, _ := s.settle(-1); len(again.Changes) > 0 {
					t.Errorf("%s, %s: after %s the plan is not empty:\n%s", name, e.name, outcome, render(again))
				}
			}
			if text := strings.TrimSpace(outcome + " " + strings.Join(held, " ")); len(held) > 0 || outcome != all[name]().String() {
				fmt.Fprintf(&got, "  %-18s %s\n", e.name, text)
			}
			if len(held) == 0 && s.count.TwoWay() { // what was written is remembered with the writing: a next edit is one side's
				s := all[name]()
				e.edit(s)
				s.settle(-1)
				s.lines[0].seats++
				if next := s.plan(); slices.ContainsFunc(next.Held, func(h plan.Held) bool { return h.Reason == plan.ConflictHeld }) {
					t.Errorf("%s, %s: an edit after the writes is taken for a conflict: %+v", name, e.name, next.Held)
				}
			}
			for done := range p.Changes { // the run is stopped after some of the writes
				s := all[name]()
				e.edit(s)
				s.settle(done)
				for range 2 {
					if _, refused := s.settle(-1); len(refused) > 0 {
						t.Errorf("%s, %s, stopped after %d: the vendor refuses %v", name, e.name, done, refused)
					}
				}
				if s.String() != outcome {
					t.Errorf("%s, %s: stopped after %d writes it ends as %s, not as %s", name, e.name, done, s, outcome)
				}
			}
		}
	}
	const file = "testdata/shapes.txt"
	if os.Getenv("TRUEUP_SHAPES") == "write" {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// A line that is added to a split buys nothing: it takes its seats from the line of the rest, and where that has too few it is held.
func TestNewPartOfASplit(t *testing.T) {
	t.Parallel()
	for seats, want := range map[int64]string{3: "s1 14 | l1 5 l2 6 l3 3", 9: "s1 14 | l1 8 l2 6 l3 9 no_rest"} {
		s := scenes(t)["13 split with a rest"]()
		s.lines = append(s.lines, lineOf{seats: seats})
		p, _ := s.settle(-1)
		got := s.String()
		for _, h := range p.Held {
			got += " " + string(h.Reason)
		}
		if again, _ := s.settle(-1); got != want || len(again.Changes) > 0 {
			t.Errorf("%d seats: got %s, want %s; then %d changes", seats, got, want, len(again.Changes))
		}
	}
}

// TestShapesSettle: whatever is edited, and wherever the run is stopped, seats are conserved and never written twice for one edit.
func TestShapesSettle(t *testing.T) {
	t.Parallel()
	all := scenes(t)
	names := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "scene")
		s := all[name]()
		s.rule.Conflict = rapid.SampledFrom([]plan.Conflict{plan.ConflictHold, plan.ConflictVendor, plan.ConflictPSA, plan.ConflictHighest, plan.ConflictLowest}).Draw(t, "conflict")
		s.rule.Owner = rapid.SampledFrom([]plan.Owner{plan.OwnerBoth, plan.OwnerBoth, plan.OwnerVendor, plan.OwnerPSA}).Draw(t, "owner")
		step := rapid.Int64Range(-9, 9)
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for i := range s.subs {
				sub := &s.subs[i]
				if rapid.Bool().Draw(t, "buy") {
					n := max(step.Draw(t, "vendor"), 1-sub.seats)
					sub.seats, sub.refundable = sub.seats+n, max(0, sub.refundable+n)
				}
			}
			for i := range s.lines {
				if rapid.Bool().Draw(t, "bill") {
					s.lines[i].seats = max(0, s.lines[i].seats+step.Draw(t, "psa"))
				}
			}
			s.agreed = max(s.agreed, rapid.Int64Range(0, 20).Draw(t, "agreed")*min(s.agreed, 1))
			for range 3 {
				_, refused := s.settle(rapid.IntRange(0, 3).Draw(t, "done"))
				if len(refused) > 0 {
					t.Fatalf("%s: the vendor refuses %v", name, refused)
				}
			}
			s.settle(-1)
			before := s.String()
			p, _ := s.settle(-1)
			if len(p.Changes) > 0 {
				t.Fatalf("%s %+v: it does not settle: %s\n%s", name, s.rule, before, render(p))
			}
			if len(p.Held)+len(p.Findings) == 0 && s.rule.Owner != plan.OwnerPSA && !s.sums() {
				t.Fatalf("%s %+v: it is called in step and does not add up: %s", name, s.rule, s)
			}
		}
	})
}
