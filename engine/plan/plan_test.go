package plan_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

func seats(n int64) model.Fields { return model.Fields{"quantity": model.Int(n)} }

func money(s string) model.Value {
	v, err := model.Parse(model.TypeMoney, s)
	if err != nil {
		panic(err)
	}
	return v
}

func amount(s string) *model.Money {
	m, err := model.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return &m
}

// pair is a subscription of `vendor` seats and a line of `psa` seats that last agreed on `memory`.
func pair(id string, memory, vendor, psa int64) plan.Pair {
	both := map[string]bool{"quantity": true}
	return plan.Pair{
		Ref: plan.PairRef{Kind: model.KindLine, Link: "link-" + id,
			Vendor: plan.Ref{Kind: model.KindSubscription, ID: "sub-" + id, Parent: "c1"}, PSA: plan.Ref{Kind: model.KindLine, ID: "line-" + id, Parent: "a1"}},
		Label: "Business Premium " + id, Customer: "Kea Logistics",
		Vendor:   plan.End{Account: "microsoft", Now: seats(vendor), Memory: seats(memory), Writable: both},
		PSA:      plan.End{Account: "psa", Now: seats(psa), Memory: seats(memory), Writable: both},
		Rules:    map[string]plan.FieldRule{"quantity": {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}},
		UnitCost: money("10.05 GBP"), UnitPrice: money("15 GBP"), Complete: true, Reducible: model.Int(0),
	}
}

func compute(pairs ...plan.Pair) plan.Plan {
	return plan.Compute(plan.Input{Flow: "f", First: plan.FirstVendor, Pairs: pairs})
}

func TestSeatChangeIsPricedAndPointsAtTheRightSide(t *testing.T) {
	t.Parallel()
	p := compute(pair("up", 10, 10, 13), pair("down", 10, 8, 10), pair("still", 10, 10, 10))
	if len(p.Changes) != 2 || p.Counts.InStep != 1 {
		t.Fatalf("got %d changes and %d in step, want 2 and 1", len(p.Changes), p.Counts.InStep)
	}
	up, down := p.Changes[0], p.Changes[1]
	if up.Side != plan.Vendor || up.Target.ID != "sub-up" || up.Reason != plan.PSAChanged || up.Effect.Cost.String() != "30.15 GBP" {
		t.Errorf("raised in the PSA: got %+v", up)
	}
	if down.Side != plan.PSA || down.Target.ID != "line-down" || down.Reason != plan.VendorChanged || down.Effect.Bill.String() != "-30 GBP" {
		t.Errorf("lowered at the vendor: got %+v", down)
	}
}

func TestLoweringIsHeldWhere(t *testing.T) {
	t.Parallel()
	incomplete := pair("i", 10, 8, 10)
	incomplete.Complete = false
	committed := pair("c", 10, 10, 6)
	window := pair("w", 10, 10, 6)
	window.Reducible = model.Int(4)
	trial := pair("t", 25, 25, 30)
	trial.Locked = "this is a trial: its quantity is fixed"
	flying := pair("f", 10, 12, 10)
	flying.InFlight = true
	p := compute(incomplete, committed, window, trial, flying)
	var held []string
	for _, h := range p.Held {
		held = append(held, h.Change.Pair.Vendor.ID+" "+string(h.Reason))
		if h.Detail == "" || h.Next == "" {
			t.Errorf("%s says no detail or next step", h.Reason)
		}
	}
	slices.Sort(held)
	want := []string{"sub-c term_window", "sub-f in_flight", "sub-i incomplete_read", "sub-t no_change_now"}
	if diff := cmp.Diff(want, held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	if len(p.Changes) != 1 || p.Changes[0].Target.ID != "sub-w" {
		t.Errorf("inside the window the decrease goes through; got %+v", p.Changes)
	}
}

func TestIncompleteReadMayStillRaise(t *testing.T) {
	t.Parallel()
	up := pair("u", 10, 14, 10)
	up.Complete = false
	if p := compute(up); len(p.Changes) != 1 || len(p.Held) != 0 {
		t.Errorf("got %d changes, %d held; want 1, 0", len(p.Changes), len(p.Held))
	}
}

func TestWhatWasNotDeliveredIsNotInStep(t *testing.T) {
	t.Parallel()
	p := pair("x", 10, 10, 10)
	p.PSA.Now = model.Fields{}
	if got := compute(p); got.Counts.InStep != 0 || len(got.Changes) != 0 {
		t.Errorf("got %+v, want neither in step nor changed", got.Counts)
	}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	limit := model.NewQuantity(25)
	extent := plan.Extent{"Kea Logistics": model.NewQuantity(40)}
	for _, c := range []struct {
		name   string
		guards plan.Guards
		pairs  []plan.Pair
		want   plan.Reason // "" for let through
		figure string
	}{
		{"increase within the limit", plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}}, []plan.Pair{pair("a", 10, 10, 35)}, "", ""},
		{"increase over the limit", plan.Guards{PerChange: plan.ChangeLimit{Increase: &limit}}, []plan.Pair{pair("a", 10, 10, 36)}, plan.OverChangeLimit, "26 more, the limit is 25"},
		{"cost over the limit", plan.Guards{PerChange: plan.ChangeLimit{Cost: amount("100 GBP")}}, []plan.Pair{pair("a", 10, 10, 20)}, plan.OverChangeLimit, "100.50 GBP more a month, the limit is 100.00 GBP"},
		{"cost in another currency cannot be checked", plan.Guards{PerChange: plan.ChangeLimit{Cost: amount("100 EUR")}}, []plan.Pair{pair("a", 10, 10, 11)}, plan.OverChangeLimit, "another currency"},
		{"a small customer loses everything", plan.Guards{PerCustomer: plan.GroupLimit{Share: 30}}, []plan.Pair{pair("a", 20, 0, 20)}, plan.OverCustomer, "20 of 40 seats"},
		{"a small customer loses little", plan.Guards{PerCustomer: plan.GroupLimit{Share: 30}}, []plan.Pair{pair("a", 20, 10, 20)}, "", ""},
		{"too many changes for a customer", plan.Guards{PerCustomer: plan.GroupLimit{Count: 1}}, []plan.Pair{pair("a", 1, 2, 1), pair("b", 1, 2, 1)}, plan.OverCustomer, "2 changes to existing lines, the limit is 1"},
		{"the run costs too much", plan.Guards{PerRun: plan.GroupLimit{Cost: amount("50 GBP")}}, []plan.Pair{pair("a", 1, 1, 5), pair("b", 1, 1, 5)}, plan.OverRun, "80.40 GBP more a month"},
		{"half the vendor vanishes", plan.Guards{PerRun: plan.GroupLimit{Share: 10}}, []plan.Pair{pair("a", 20, 0, 20)}, plan.OverRun, "50%"},
		{"every decrease is held", plan.Guards{Decrease: plan.DecreaseHold}, []plan.Pair{pair("a", 5, 4, 5)}, plan.DecreaseHeld, "5 seats would become 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := plan.Guard(compute(c.pairs...), c.guards, extent, plan.Recent{})
			if c.want == "" {
				if len(p.Held) != 0 || len(p.Changes) != len(c.pairs) {
					t.Fatalf("held %+v", p.Held)
				}
				return
			}
			if len(p.Changes) != 0 || len(p.Held) != len(c.pairs) {
				t.Fatalf("let through %+v", p.Changes)
			}
			if h := p.Held[0]; h.Reason != c.want || !strings.Contains(h.Detail, c.figure) || h.Next == "" {
				t.Errorf("got %s %q (next %q), want %s with %q", h.Reason, h.Detail, h.Next, c.want, c.figure)
			}
		})
	}
}

// An id that is kept on the other side touches nothing that is billed: no brake counts it, and none holds it.
func TestABrakeDoesNotHoldAKeptID(t *testing.T) {
	t.Parallel()
	over := pair("over", 5, 5, 5) // another id was typed over this one
	over.Rules = map[string]plan.FieldRule{"subscription": {Owner: plan.OwnerVendor, Keep: true}}
	over.Vendor.Now, over.PSA.Now = model.Fields{"subscription": model.Text("sub-over")}, model.Fields{"subscription": model.Text("sub-typed")}
	over.Vendor.Memory, over.PSA.Memory = over.Vendor.Now, over.Vendor.Now
	over.PSA.Writable = map[string]bool{"subscription": true}
	met := pair("met", 5, 5, 5)
	met.Rules = map[string]plan.FieldRule{"subscription": {Owner: plan.OwnerVendor, Keep: true}}
	met.Vendor.Now, met.PSA.Now = model.Fields{"subscription": model.Text("sub-met")}, model.Fields{"subscription": model.Empty(model.TypeText)}
	met.PSA.Writable = map[string]bool{"subscription": true}
	p := plan.Guard(compute(pair("gone", 20, 1, 20), met, over), plan.Guards{PerCustomer: plan.GroupLimit{Share: 30, Count: 1}}, plan.Extent{"Kea Logistics": model.NewQuantity(30)}, plan.Recent{})
	var why []plan.Reason
	for _, c := range p.Changes {
		why = append(why, c.Reason)
	}
	slices.Sort(why)
	if len(p.Held) != 1 || p.Held[0].Reason != plan.OverCustomer || !slices.Equal(why, []plan.Reason{plan.IDOverwritten, plan.KeepID}) {
		t.Errorf("held %+v, let through %+v; wanted the seats held and the ids kept", p.Held, p.Changes)
	}
}

func TestWhatNeedsAHeldChangeIsHeldToo(t *testing.T) {
	t.Parallel()
	p := compute()
	p.Changes = []plan.Change{
		{ID: "line", Op: plan.OpCreate, After: []string{"contract"}, Target: plan.Ref{Kind: model.KindLine}},
		{ID: "contract", Op: plan.OpCreate, After: []string{"company"}, Target: plan.Ref{Kind: model.KindContract}},
	}
	p = plan.Guard(p, plan.Guards{}, nil, plan.Recent{})
	if len(p.Changes) != 0 || len(p.Held) != 2 {
		t.Fatalf("got %d changes, %d held; want 0, 2", len(p.Changes), len(p.Held))
	}
}

func TestOrderIsByDependency(t *testing.T) {
	t.Parallel()
	var p plan.Plan
	for _, k := range []model.Kind{model.KindLine, model.KindProduct, model.KindContract, model.KindCustomer} {
		p.Changes = append(p.Changes, plan.Change{ID: string(k), Target: plan.Ref{Kind: k}})
	}
	p.Sort()
	var got []string
	for _, c := range p.Changes {
		got = append(got, c.ID)
	}
	if diff := cmp.Diff([]string{"customer", "contract", "product", "line"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSameInputSameBytes: neither the order of the input nor anything hidden may show in the plan.
func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pairs := rapid.SliceOfN(rapid.Custom(drawPair), 1, 12).Draw(t, "pairs")
		for i := range pairs {
			id := string(rune('a' + i))
			pairs[i].Ref.Link, pairs[i].Ref.Vendor.ID, pairs[i].Ref.PSA.ID, pairs[i].Label = id, "s"+id, "l"+id, id
		}
		shuffled := slices.Clone(pairs)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		one, two := render(plan.Guard(compute(pairs...), plan.Guards{}, nil, plan.Recent{})), render(plan.Guard(compute(shuffled...), plan.Guards{}, nil, plan.Recent{}))
		if one != two {
			t.Fatalf("the order of the input shows:\n%s", cmp.Diff(one, two))
		}
	})
}

func drawPair(t *rapid.T) plan.Pair {
	n := rapid.Int64Range(0, 30)
	return pair("", n.Draw(t, "memory"), n.Draw(t, "vendor"), n.Draw(t, "psa"))
}

func render(p plan.Plan) string {
	var b bytes.Buffer
	if err := plan.Render(&b, p, plan.FormatJSON, 0); err != nil {
		panic(err)
	}
	return b.String()
}

// TestSettlesInTwoRuns: whatever was edited, after writing what the plan says the next plan is empty, unless it is held.
func TestSettlesInTwoRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPair(t)
		p.Ref.Link = "l"
		p.Reducible = model.Int(1000)
		rule := plan.FieldRule{
			Owner:    rapid.SampledFrom([]plan.Owner{plan.OwnerBoth, plan.OwnerVendor, plan.OwnerPSA}).Draw(t, "owner"),
			Conflict: rapid.SampledFrom([]plan.Conflict{plan.ConflictHold, plan.ConflictVendor, plan.ConflictPSA, plan.ConflictHighest, plan.ConflictLowest}).Draw(t, "conflict"),
			PutBack:  rapid.Bool().Draw(t, "put back"),
		}
		p.Rules = map[string]plan.FieldRule{"quantity": rule}
		if rapid.Bool().Draw(t, "no memory") {
			p.Vendor.Memory, p.PSA.Memory = nil, nil
		}
		first := compute(p)
		for _, c := range first.Changes {
			_, to, _ := c.Seats()
			fields := model.Fields{"quantity": model.QuantityValue(to)}
			if c.Side == plan.Vendor {
				p.Vendor.Now = fields
			} else {
				p.PSA.Now = fields
			}
			p.Vendor.Memory, p.PSA.Memory = p.Vendor.Now, p.PSA.Now
		}
		for _, m := range first.Remember {
			p.Vendor.Memory, p.PSA.Memory = m.Vendor, m.PSA
		}
		second := compute(p)
		if len(second.Changes) != 0 {
			t.Fatalf("rule %+v: second plan %+v", rule, second.Changes)
		}
		if len(first.Changes) > 0 && len(second.Held)+len(second.Findings) != 0 {
			t.Fatalf("rule %+v: the first run wrote, yet something is left: %+v %+v", rule, second.Held, second.Findings)
		}
	})
}

func TestDigestNamesWhatWouldBeWritten(t *testing.T) {
	t.Parallel()
	one, same, other := compute(pair("a", 10, 12, 10)), compute(pair("a", 10, 12, 10)), compute(pair("a", 10, 13, 10))
	if one.Digest() != same.Digest() || one.Digest() == other.Digest() {
		t.Errorf("digests %s, %s, %s", one.Digest(), same.Digest(), other.Digest())
	}
	if one.Changes[0].ID != other.Changes[0].ID {
		t.Error("the same change on the same record must keep its id when only the amount moves")
	}
}

func TestRenderings(t *testing.T) {
	t.Parallel()
	p := plan.Guard(compute(pair("up", 10, 10, 13), pair("committed", 10, 10, 6)), plan.Guards{}, nil, plan.Recent{})
	var text, markdown bytes.Buffer
	if err := plan.Render(&text, p, plan.FormatText, 20); err != nil {
		t.Fatal(err)
	}
	if err := plan.Render(&markdown, p, plan.FormatMarkdown, 20); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"vendor cost +30.15 GBP a month", "quantity: 10 -> 13 (changed in the PSA)", "Held for a person", "10 seats are committed", p.Digest()} {
		if !strings.Contains(text.String(), want) || !strings.Contains(markdown.String(), want) {
			t.Errorf("%q is missing in\n%s\n%s", want, &text, &markdown)
		}
	}
	if strings.Contains(render(compute()), "null") {
		t.Errorf("an empty plan has null in it:\n%s", render(compute()))
	}
}

// TestEveryReasonHasASentence reads the constants from the source: a reason that reaches a person without words is a bug.
func TestEveryReasonHasASentence(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`Reason\s+= "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(declared) < 30 {
		t.Fatalf("found only %d reasons in reason.go", len(declared))
	}
	for _, m := range declared {
		if plan.Reason(m[1]).Sentence() == "" {
			t.Errorf("reason %q has no sentence", m[1])
		}
	}
}
