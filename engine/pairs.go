package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// plan goes through the customers one at a time and keeps what is to be done. What is found in step is remembered on the way, also
// when nothing will be applied: otherwise an edit made before the first apply would look like a first meeting, and be put back.
func (e *Engine) plan(ctx context.Context, run *activeRun, w *world) (plan.Plan, error) {
	total := plan.Plan{Flow: w.flow.Name}
	groups, findings, err := e.linkCustomers(ctx, w)
	if err != nil {
		return total, err
	}
	total.Findings = append(total.Findings, findings...)
	planned, err := e.planNewAtVendor(ctx, w, groups, &total)
	if err != nil {
		return total, err
	}
	total.Findings = append(total.Findings, w.companiesAlone(groups, planned)...)
	total.Findings = append(total.Findings, w.contractTypeUnknown()...)
	if err := e.unlinkedCustomers(ctx, w, groups, &total); err != nil {
		return total, err
	}
	shared := &creations{world: w, plan: &total, products: map[string]string{}, planned: map[string]bool{}}
	if err := e.planGroups(ctx, run, w, groups, shared); err != nil {
		return total, err
	}
	shared.quotesAlone(groups)
	for _, tenant := range w.newCustomers {
		if err := e.planNewCustomer(ctx, w, tenant, shared); err != nil {
			return total, err
		}
	}
	total.Findings = append(total.Findings, w.findings...)
	total.Partial = append(total.Partial, w.partial...)
	err = e.remember(ctx, run, w, &total)
	total.Sort()
	whole := model.Quantity{}
	for _, q := range w.extent {
		whole = whole.Add(q)
	}
	run.count(seats, int(whole.Decimal().IntPart()))
	return total, err
}

// planGroups plans customers one at a time.
func (e *Engine) planGroups(ctx context.Context, run *activeRun, w *world, groups []*group, shared *creations) error {
	shared.plan.Counts.Customers = len(groups)
	for i, g := range groups {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.planGroup(ctx, w, g, shared); err != nil {
			return err
		}
		g.subs, g.lines, g.shapes = nil, nil, nil // only what is to be done is kept
		if len(shared.plan.Remember)+len(shared.plan.Close) >= batch {
			if err := e.remember(ctx, run, w, shared.plan); err != nil {
				return err
			}
		}
		if i%50 == 49 || i == len(groups)-1 {
			e.tellProgress(Progress{Run: run.ID, Step: "planning", Done: i + 1, Total: len(groups)})
		}
	}
	return nil
}

// planGroup plans one customer.
func (e *Engine) planGroup(ctx context.Context, w *world, g *group, shared *creations) error {
	if err := e.load(ctx, w, g); err != nil {
		return err
	}
	pairs, alone, findings, err := e.linkLines(ctx, w, g)
	if err != nil {
		return err
	}
	p := plan.Plan{Flow: w.flow.Name, Findings: findings}
	p.Counts.NotCompared += len(findings)
	input := plan.Input{Flow: w.flow.Name, First: w.flow.Lines.First}
	for _, pair := range pairs {
		if s, counted := w.counted(g, pair, &p); counted {
			g.shapes = append(g.shapes, s...)
			continue
		}
		w.planPair(g, pair, &input, &p)
	}
	for _, s := range g.shapes {
		w.planShape(g, s, &input, &p)
	}
	p.Close = append(p.Close, g.stale...)
	memories, err := e.customerMemories(ctx, w, g)
	if err != nil {
		return err
	}
	input.Pairs = append(input.Pairs, w.customerPairs(g, memories)...)
	input.Pairs = append(input.Pairs, w.contactPairs(g, memories, &p)...)
	p.Merge(plan.Compute(input))
	if err := e.refuseAgain(ctx, w, input, &p); err != nil {
		return err
	}
	w.notice(g, input.Pairs, p)
	for _, sub := range g.subs {
		if !billable(sub) && !sub.gone {
			p.Counts.NotBilled++
		}
	}
	w.planAlone(g, pairs, &p)
	shared.lines(g, alone, &p)
	if err := shared.quotesOf(ctx, g, pairs, &p); err != nil {
		return err
	}
	p.Findings = append(p.Findings, w.strayLines(g)...)
	shared.plan.Merge(p)
	return nil
}

// planPair decides what kind of pair it is: one to compare, one to end, or one a person must look at.
func (w *world) planPair(g *group, pair pairing, input *plan.Input, p *plan.Plan) {
	sub, l := pair.sub, pair.line
	ref := w.pairRef(pair)
	label := lineLabel(sub)
	seats, _ := l.Fields["quantity"].Quantity()
	ended := l.ended(w.today)
	switch {
	case sub.broken:
		p.Counts.NotCompared++
	case pair.doubt != nil:
		p.Counts.NotCompared++
		p.Held = append(p.Held, plan.Held{Change: w.endOf(g, pair, ref, label), Reason: plan.PerhapsRenewed, Detail: pair.doubt.Detail, Next: pair.doubt.Next})
	case ended && (sub.gone || !billable(sub)):
		// Over on both sides.
	case sub.gone:
		p.Counts.NotCompared++
		p.Held = append(p.Held, plan.Held{Change: w.endOf(g, pair, ref, label), Reason: plan.VanishedAtVendor,
			Detail: fmt.Sprintf("subscription %s is not listed by %s any more; its line bills %s seats", sub.ID, w.vendor.Name, seats),
			Next:   "find out what became of it at the vendor; end the line by hand if it is over"})
	case sub.Text("status") == model.StatusUnknown:
		p.Counts.NotCompared++
		p.Findings = append(p.Findings, plan.Finding{Key: plan.ChangeID("status", sub.ID), Kind: plan.UnknownStatus, Customer: g.label,
			Title: fmt.Sprintf("%s at %s: %s", label, w.vendor.Name, plan.UnknownStatus.Sentence()), Detail: "subscription " + sub.ID + " is left as it is",
			Next: "look at it at the vendor; add the word to the mapping of status if it is a new one"})
	case sub.Text("status") == model.StatusEnded:
		w.planEnd(g, pair, ref, label, p)
	case ended:
		p.Counts.NotCompared++
		p.Findings = append(p.Findings, endedInPSA(w, g, sub, l))
		p.Merge(plan.ComputeEnd(*input, w.comparable(g, pair, ref, label)))
	default:
		w.measure(g, pair)
		compared := w.comparable(g, pair, ref, label)
		input.Pairs = append(input.Pairs, compared)
		if f, ok := plan.Undecided(compared, w.flow.TermEnds); ok {
			p.Findings = append(p.Findings, f)
		}
		if f, ok := plan.Unused(compared, w.flow.Unused); ok {
			p.Findings = append(p.Findings, f)
		}
	}
}

func (w *world) pairRef(pair pairing) plan.PairRef {
	return plan.PairRef{Kind: model.KindLine, Link: pair.link, How: pair.how, Was: pair.was,
		VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindSubscription, ID: pair.sub.ID, Parent: pair.sub.tenant},
		PSAAccount: w.psa.Name, PSA: plan.Ref{Kind: model.KindLine, ID: pair.line.ID, Parent: pair.line.parent}}
}

// flying reports that a write to either record of a pair, or the creation of its line, has no known outcome yet. The line may be seen before
// its creation is settled; until then what stands on it cannot be told from what was sent.
func (w *world) flying(ref plan.PairRef) bool {
	return w.inFlight[apply.LinkID(w.flow.Name, ref)] || w.inFlight[flightKey(w.vendor.Name, ref.Vendor.Parent, ref.Vendor.ID)] ||
		w.inFlight[flightKey(w.psa.Name, ref.PSA.Parent, ref.PSA.ID)]
}

func lineLabel(sub subscription) string {
	label := sub.Text("name")
	if term := strings.TrimSpace(sub.Text("term") + " " + sub.Text("billing_cycle")); term != "" {
		label += ", " + term
	}
	return label
}

// comparable makes the pair that Compute compares field by field.
func (w *world) comparable(g *group, pair pairing, ref plan.PairRef, label string) plan.Pair {
	sub, l := pair.sub, pair.line
	product := w.vendorProducts[sub.Text("product")]
	rules := map[string]plan.FieldRule{"subscription": {Owner: plan.OwnerVendor, Keep: true}}
	for field, rule := range w.flow.Lines.Fields {
		rules[field] = rule
	}
	p := plan.Pair{
		Ref: ref, Label: label, Customer: g.label, Rules: rules,
		Vendor:   plan.End{Account: w.vendor.Name, Now: vendorFields(sub, product), Memory: pair.memory.Vendor.Fields, Writable: writable(w.vendor.Account, model.KindSubscription, rules)},
		PSA:      plan.End{Account: w.psa.Name, Now: ruled(l.Fields, rules), Memory: pair.memory.PSA.Fields, Writable: writable(w.psa.Account, model.KindLine, rules)},
		UnitCost: product.Fields["unit_cost"], UnitPrice: l.Fields["unit_price"],
		Complete: sub.complete && l.complete, Reducible: sub.Fields["reducible"], Locked: w.locked(sub),
		InFlight: w.flying(ref), Reform: pair.link != "" && pair.shape != ref.Shape,
	}
	w.termOf(g, &p, sub, l)
	if strings.EqualFold(p.PSA.Now["subscription"].String(), sub.ID) {
		p.Vendor.Now["subscription"] = p.PSA.Now["subscription"] // ids differ in case from one system to another
	}
	p.Vendor.AsOther = canonical(w.psa.Account, model.KindLine, p.Vendor.Now, p.PSA.Now)
	p.PSA.AsOther = canonical(w.vendor.Account, model.KindSubscription, p.PSA.Now, p.Vendor.Now)
	return p
}

// vendorFields are a subscription's values under the names of a line's fields.
func vendorFields(sub subscription, product model.Record) model.Fields {
	f := model.Fields{"subscription": model.Text(sub.ID)}
	for field, v := range map[string]model.Value{"quantity": sub.Fields["quantity"], "description": sub.Fields["name"],
		"unit_cost": product.Fields["unit_cost"], "unit_price": product.Fields["list_price"]} {
		if v.Known() && !v.Blank() {
			f[field] = v
		}
	}
	return f
}

func ruled(fields model.Fields, rules map[string]plan.FieldRule) model.Fields {
	out := model.Fields{}
	for field := range rules {
		if v, ok := fields[field]; ok {
			out[field] = v
		}
	}
	return out
}

func writable(a *apply.Account, noun model.Kind, rules map[string]plan.FieldRule) map[string]bool {
	out := map[string]bool{}
	for field := range rules {
		out[field] = a.Writable(noun, field)
	}
	return out
}

// canonical is what a's system would make of the values, where they differ from what stands there.
func canonical(a *apply.Account, noun model.Kind, values, there model.Fields) model.Fields {
	out := model.Fields{}
	for field, v := range values {
		if v != there[field] {
			out[field] = a.Canonical(noun, field, v)
		}
	}
	return out
}

// planEnd ends the line of a subscription that ended at the vendor.
func (w *world) planEnd(g *group, pair pairing, ref plan.PairRef, label string, p *plan.Plan) {
	end := w.endOf(g, pair, ref, label)
	w.measure(g, pair)
	if current, ok := pair.line.Fields["end"].Day(); ok && current.Cmp(end.Last) <= 0 {
		p.Counts.Pairs++
		p.Counts.InStep++
		return // it already ends by then
	}
	hold := func(reason plan.Reason, detail, next string) {
		p.Held = append(p.Held, plan.Held{Change: end, Reason: reason, Detail: detail, Next: next})
	}
	switch {
	case !pair.sub.complete || !pair.line.complete:
		hold(plan.Incomplete, "the line would end on "+end.Last.String(), "find out why the read was incomplete (trueup status), then run again")
	case w.flying(ref):
		hold(plan.InFlight, "an earlier write to this line was interrupted", "it is looked at before the next run")
	case !w.psa.Can(model.KindLine, connectors.AbilityEnd):
		hold(plan.NotEditable, "the line should end on "+end.Last.String(), "end it by hand")
	default:
		p.Changes = append(p.Changes, end)
	}
	p.Counts.Pairs++
}

// endOf is the change that ends a pair's line: on the last day of the vendor's term when that has passed, but never before this
// month, since earlier ones are invoiced; otherwise today.
func (w *world) endOf(g *group, pair pairing, ref plan.PairRef, label string) plan.Change {
	last := w.today
	if end, ok := pair.sub.Fields["term_end"].Day(); ok && end.Cmp(last) < 0 {
		last = end
	}
	last = laterOf(last, firstOfMonth(w.today).Add(-1))
	l := pair.line
	seats, _ := l.Fields["quantity"].Quantity()
	c := plan.Change{Op: plan.OpEnd, Side: plan.PSA, Account: w.psa.Name, Target: ref.PSA, Label: label, Customer: g.label, Pair: ref, Last: last, Reason: plan.EndedAtVendor,
		Fields: []plan.FieldChange{{Field: "quantity", From: l.Fields["quantity"], To: model.Int(0), Reason: plan.EndedAtVendor}}}
	c.ID = plan.ChangeID(w.flow.Name, string(c.Side), string(c.Op), string(c.Target.Kind), c.Target.Parent, c.Target.ID)
	if price, ok := l.Fields["unit_price"].Money(); ok {
		c.Effect.Bill = price.Times(seats).Neg()
	} else {
		c.Effect.Unpriced = true
	}
	return c
}

func firstOfMonth(d model.Day) model.Day {
	t := d.Midnight(time.UTC)
	return model.NewDay(t.Year(), t.Month(), 1)
}

func laterOf(a, b model.Day) model.Day {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

// unlinkedCustomers adds up what vendor customers without a company cost, so that matched and unmatched sum to the vendor's total,
// and plans their companies where the flow says so.
func (e *Engine) unlinkedCustomers(ctx context.Context, w *world, groups []*group, total *plan.Plan) error {
	linked := map[string]bool{}
	for _, t := range w.newCustomers {
		linked[t.ID] = true // planned, not left over
	}
	for _, g := range groups {
		for _, t := range g.tenants {
			linked[t.ID] = true
		}
	}
	stake := map[string]model.Money{}
	for _, tenant := range w.vendorCustomers {
		if linked[tenant.ID] {
			continue
		}
		g := &group{tenants: []model.Record{tenant}, label: tenant.Text("name")}
		if err := e.load(ctx, w, g); err != nil {
			return err
		}
		w.planAlone(g, nil, total)
		sum := model.Money{}
		for _, sub := range g.subs {
			if sub.gone || !billable(sub) {
				continue
			}
			total.Counts.NotCompared++
			cost, _ := w.vendorProducts[sub.Text("product")].Fields["unit_cost"].Money()
			seats, _ := sub.Fields["quantity"].Quantity()
			more, err := sum.Add(cost.Times(seats))
			if mixed := (model.MixedCurrencies{}); errors.As(err, &mixed) {
				continue // the price sheet of one account has one currency; another one is not added up
			}
			sum = more
		}
		stake[plan.ChangeID("customer", w.flow.Name, tenant.ID)] = sum
	}
	for i, f := range total.Findings {
		if m, ok := stake[f.Key]; ok {
			total.Findings[i].Money = m
		}
	}
	return nil
}

// contractTypeUnknown says so when the PSA holds contracts, and none of the type that the flow names.
func (w *world) contractTypeUnknown() []plan.Finding {
	types := slices.Sorted(maps.Keys(w.contractTypes))
	if len(types) == 0 || w.contractTypes[strings.ToLower(w.flow.Contracts.Type)] != "" {
		return nil
	}
	var names []string
	for _, t := range types {
		names = append(names, fmt.Sprintf("%q", w.contractTypes[t]))
	}
	return []plan.Finding{{Key: plan.ChangeID("contract type", w.flow.Name), Kind: plan.NoContract,
		Title:  fmt.Sprintf("%s has no contract of type %q", w.psa.Name, w.flow.Contracts.Type),
		Detail: "types in use: " + strings.Join(names, ", "),
		Next:   "write one of them as contracts.type in " + w.flow.File}}
}

// strayLines are lines that bill a vendor's product without a subscription.
func (w *world) strayLines(g *group) []plan.Finding {
	known := map[string]bool{}
	for _, sub := range g.subs {
		if !sub.gone {
			known[strings.ToLower(sub.ID)] = true
		}
	}
	var findings []plan.Finding
	for _, l := range g.lines {
		if l.claimed || l.ended(w.today) {
			continue
		}
		id := strings.ToLower(strings.TrimSpace(l.Text("subscription")))
		product := w.psaProductByID[l.Text("product")]
		_, sold := w.vendorProducts[product.Text("key")]
		reason := plan.UnmatchedLine
		switch {
		case id != "" && !known[id]:
			reason = plan.OrphanedLine
		case id != "" || !sold:
			continue
		}
		seats, _ := l.Fields["quantity"].Quantity()
		price, _ := l.Fields["unit_price"].Money()
		findings = append(findings, plan.Finding{Key: plan.ChangeID("stray", w.flow.Name, l.ID), Kind: reason, Customer: g.label,
			Title:  fmt.Sprintf("line %s, %s: %s", l.ID, product.Text("name"), reason.Sentence()),
			Detail: fmt.Sprintf("%s seats are billed on contract %s; subscription id on the line: %q", seats, l.parent, l.Text("subscription")),
			Next:   "end the line, or write the right subscription id into it", Money: price.Times(seats)})
	}
	return findings
}

// remember keeps what is in step, in batches.
func (e *Engine) remember(ctx context.Context, run *activeRun, w *world, p *plan.Plan) error {
	var links []state.Link
	var snapshots []state.Snapshot
	for _, m := range p.Remember {
		link, err := apply.BuildLink(w.flow.Name, w.vendor.Account, w.psa.Account, m.Pair, m.Label)
		if err != nil {
			return err
		}
		links = append(links, link)
		if len(m.Vendor) == 0 {
			continue
		}
		snapshots = append(snapshots,
			state.Snapshot{Link: link.ID, Side: state.SideVendor, Fields: m.Vendor, Run: run.ID},
			state.Snapshot{Link: link.ID, Side: state.SidePSA, Fields: m.PSA, Run: run.ID})
	}
	if err := e.Store.EndsTold(ctx, p.Fulfilled, run.ID); err != nil {
		return err
	}
	for _, id := range p.Close {
		if err := e.Store.CloseLink(ctx, id); err != nil {
			return err
		}
	}
	p.Remember, p.Close, p.Fulfilled = p.Remember[:0], nil, nil
	if err := e.Store.PutLinks(ctx, links); err != nil {
		return err
	}
	return e.Store.PutSnapshots(ctx, snapshots)
}
