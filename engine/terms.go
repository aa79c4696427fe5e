package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// termOf tells a pair what is known of the vendor's commitment, and what both sides say about its end. A subscription without a line has
// no l.
func (w *world) termOf(g *group, p *plan.Pair, sub subscription, l *line) {
	t := plan.Term{Now: w.now, Duration: sub.Text("term"), Billing: sub.Text("billing_cycle"), Windows: sub.Fields["reducible_until"].Items(),
		AutoRenew: sub.Fields["auto_renew"], Schedulable: w.vendor.Schedulable(model.KindSubscription, "next_quantity"),
		Least: sub.Fields["least"], Most: sub.Fields["most"], Assigned: sub.Fields["assigned"], Promotion: sub.Text("promotion"), Product: sub.Text("product")}
	t.Start, _ = sub.Fields["start"].Day()
	t.End, _ = sub.Fields["term_end"].Day()
	if rules := w.termRules(); rules != nil {
		t.ExtendedPercent = rules.ExtendedPercent
		if rules.AddOnsFollow {
			w.family(g, p, &t, sub)
		}
	}
	if d, open := w.decided(sub); open {
		t.Decision = &plan.Decision{ID: d.ID, Action: d.Action, By: decidedBy(d)}
		if d.Seats != "" {
			t.Decision.Seats, _ = model.Parse(model.TypeQuantity, d.Seats)
		}
		if d.Product != "" {
			t.Decision.Product = model.Text(d.Product)
		}
	}
	p.Term = t
	if l != nil {
		p.LineEnd, _ = l.Fields["end"].Day()
	}
	if !t.Schedulable {
		return
	}
	p.Vendor.Now["next_quantity"] = sub.Fields["next_quantity"]
	for _, field := range []string{"at_end", "next_product"} {
		if w.vendor.Schedulable(model.KindSubscription, field) && sub.Fields[field].Known() {
			p.Vendor.Now[field] = sub.Fields[field]
		}
	}
	if l == nil {
		return
	}
	// The seats to renew with follow either side where the PSA has a field for them.
	if next := l.Fields["next_quantity"]; next.Known() && sub.Fields["next_quantity"].Known() {
		p.Rules["next_quantity"] = plan.FieldRule{Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}
		p.PSA.Now["next_quantity"] = next
		p.PSA.Writable["next_quantity"] = w.psa.Writable(model.KindLine, "next_quantity")
		p.Vendor.Writable["next_quantity"] = true
	}
}

// termRules is what the vendor's descriptor says of commitments; nil when it says nothing.
func (w *world) termRules() *connectors.TermRules {
	kind, _ := w.vendor.NativeKind(model.KindSubscription)
	return kind.Terms
}

// family says what a subscription's base allows it, or which add-ons depend on it.
func (w *world) family(g *group, p *plan.Pair, t *plan.Term, sub subscription) {
	base := sub.Text("parent")
	for _, other := range g.subs {
		seats, _ := other.Fields["quantity"].Quantity()
		switch {
		case base != "" && strings.EqualFold(other.ID, base):
			t.Base = &plan.Base{Label: lineLabel(other), Seats: seats}
			if status := other.Text("status"); p.Locked == "" && (other.gone || status == model.StatusEnded || status == model.StatusSuspended) {
				p.Locked = fmt.Sprintf("its base subscription %s (%s) is %s", other.Text("name"), other.ID, gone(other))
			}
		case strings.EqualFold(other.Text("parent"), sub.ID) && billable(other) && !other.gone:
			t.AddOns = append(t.AddOns, plan.AddOn{Label: lineLabel(other), Seats: seats, Ends: endsWith(g, other)})
		}
	}
}

func gone(sub subscription) string {
	if sub.gone {
		return "gone"
	}
	return sub.Text("status")
}

// endsWith reports that an add-on is not wanted after its term: the vendor was told, or its line ends by then.
func endsWith(g *group, sub subscription) bool {
	end, _ := sub.Fields["term_end"].Day()
	return sub.Text("at_end") == plan.EndCancel || slices.ContainsFunc(g.lines, func(l line) bool {
		last, ends := l.Fields["end"].Day()
		return ends && !end.IsZero() && last.Cmp(end) <= 0 && strings.EqualFold(strings.TrimSpace(l.Text("subscription")), sub.ID)
	})
}

// locked says why the vendor takes no seat change now.
func (w *world) locked(sub subscription) string {
	rules := w.termRules()
	switch {
	case sub.Fields["trial"].True() && (rules == nil || rules.TrialFixed):
		return "this is a trial: its quantity is fixed"
	case sub.Text("status") == model.StatusSuspended && (rules == nil || rules.SuspendedFixed):
		return "the subscription is suspended (and is still charged); it takes no seat change until it is active again"
	case sub.Text("status") == model.StatusPending:
		return "the subscription is still being set up"
	}
	return ""
}

// endKey names the end of one term of one subscription.
func endKey(customer, subscription string, end model.Day) string {
	return strings.ToLower(customer) + "\x00" + strings.ToLower(subscription) + "\x00" + end.String()
}

// loadEnds reads what people decided about terms that are not over for long.
func (e *Engine) loadEnds(ctx context.Context, w *world) error {
	w.ends = map[string]state.EndDecision{}
	decisions, err := e.Store.EndDecisions(ctx, w.flow.Name, w.today.Add(-7))
	for _, d := range decisions {
		w.ends[endKey(d.Customer, d.Subscription, d.TermEnd)] = d
	}
	return err
}

// decided is what a person decided about the end of a subscription's present term; open is true until the vendor was told.
func (w *world) decided(sub subscription) (d state.EndDecision, open bool) {
	end, _ := sub.Fields["term_end"].Day()
	d = w.ends[endKey(sub.tenant, sub.ID, end)]
	return d, d.ID != "" && d.Told.IsZero()
}

func decidedBy(d state.EndDecision) string {
	text := fmt.Sprintf("%s at %s", d.Person, d.At.UTC().Format(time.RFC3339))
	if d.Reason != "" {
		text += fmt.Sprintf(" (%s)", d.Reason)
	}
	return text
}

// alonePair is a subscription that no line bills. It has a term all the same.
func (w *world) alonePair(g *group, sub subscription) plan.Pair {
	p := plan.Pair{
		Ref:   plan.PairRef{VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindSubscription, ID: sub.ID, Parent: sub.tenant}, PSAAccount: w.psa.Name},
		Label: lineLabel(sub), Customer: g.label, Rules: map[string]plan.FieldRule{}, Complete: sub.complete, Locked: w.locked(sub),
		Vendor:   plan.End{Account: w.vendor.Name, Now: model.Fields{"quantity": sub.Fields["quantity"]}, Writable: map[string]bool{}},
		PSA:      plan.End{Account: w.psa.Name, Now: model.Fields{}, Writable: map[string]bool{}},
		UnitCost: w.vendorProducts[sub.Text("product")].Fields["unit_cost"], Reducible: sub.Fields["reducible"],
		InFlight: w.inFlight[flightKey(w.vendor.Name, sub.tenant, sub.ID)],
	}
	w.termOf(g, &p, sub, nil)
	return p
}

// planAlone plans what was decided about the terms of subscriptions that no line bills, and tells of those that nobody decided.
func (w *world) planAlone(g *group, pairs []pairing, p *plan.Plan) {
	for _, sub := range g.subs {
		if sub.gone || sub.broken || sub.shaped || !billable(sub) || slices.ContainsFunc(pairs, func(pair pairing) bool { return pair.sub.ID == sub.ID && pair.sub.tenant == sub.tenant }) {
			continue
		}
		pair := w.alonePair(g, sub)
		if f, ok := plan.Undecided(pair, w.flow.TermEnds); ok {
			p.Findings = append(p.Findings, f)
		}
		if pair.Term.Decision == nil {
			continue
		}
		if _, counted := w.extent[g.label]; !counted { // so that a share is measured against something
			seats, _ := sub.Fields["quantity"].Quantity()
			w.extent[g.label] = seats
		}
		p.Merge(plan.ComputeAlone(w.flow.Name, pair))
	}
}

// offline reads the world from the store, without asking any system.
func (e *Engine) offline(ctx context.Context, flow Flow) (*world, error) {
	var s sides
	for name, into := range map[string]**reading{flow.Vendor: &s.vendor, flow.PSA: &s.psa} {
		account, err := e.account(name)
		if err != nil {
			return nil, err
		}
		*into = &reading{Account: account}
		if err := e.loadGaps(ctx, *into, account.MappedKinds()); err != nil {
			return nil, err
		}
	}
	return e.translate(ctx, flow, s)
}

// eachTerm calls each for every subscription that is charged for and has a term, in order of customers: linked or not, with its line
// or without.
func (e *Engine) eachTerm(ctx context.Context, w *world, each func(g *group, pair plan.Pair, sub subscription)) error {
	groups, _, err := e.linkCustomers(ctx, w)
	if err != nil {
		return err
	}
	linked := map[string]bool{}
	for _, g := range groups {
		for _, tenant := range g.tenants {
			linked[tenant.ID] = true
		}
	}
	for _, tenant := range w.vendorCustomers {
		if !linked[tenant.ID] {
			groups = append(groups, &group{tenants: []model.Record{tenant}, label: tenant.Text("name")})
		}
	}
	for _, g := range groups {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := e.load(ctx, w, g); err != nil {
			return err
		}
		pairs, _, _, err := e.linkLines(ctx, w, g)
		if err != nil {
			return err
		}
		for _, sub := range g.subs {
			if sub.gone || sub.broken || !billable(sub) {
				continue
			}
			if end, ok := sub.Fields["term_end"].Day(); !ok || end.IsZero() {
				continue
			}
			i := slices.IndexFunc(pairs, func(p pairing) bool { return p.sub.ID == sub.ID && p.sub.tenant == sub.tenant })
			if i < 0 {
				each(g, w.alonePair(g, sub), sub)
			} else {
				each(g, w.comparable(g, pairs[i], w.pairRef(pairs[i]), lineLabel(sub)), sub)
			}
		}
		g.subs, g.lines = nil, nil
	}
	return nil
}
