package engine

import (
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// termOf tells a pair what is known of the vendor's commitment, and what both sides say about its end.
func (w *world) termOf(p *plan.Pair, sub subscription, l *line) {
	kind, _ := w.vendor.NativeKind(model.KindSubscription)
	t := plan.Term{Now: w.now, Duration: sub.Text("term"), Billing: sub.Text("billing_cycle"), Windows: sub.Fields["reducible_until"].Items(),
		AutoRenew: sub.Fields["auto_renew"], Schedulable: w.vendor.Schedulable(model.KindSubscription, "next_quantity")}
	t.Start, _ = sub.Fields["start"].Day()
	t.End, _ = sub.Fields["term_end"].Day()
	if kind.Terms != nil {
		t.ExtendedPercent = kind.Terms.ExtendedPercent
	}
	p.Term = t
	p.LineEnd, _ = l.Fields["end"].Day()
	if !t.Schedulable {
		return
	}
	p.Vendor.Now["next_quantity"] = sub.Fields["next_quantity"]
	if w.vendor.Schedulable(model.KindSubscription, "at_end") && sub.Fields["at_end"].Known() {
		p.Vendor.Now["at_end"] = sub.Fields["at_end"]
	}
	// The seats to renew with follow either side where the PSA has a field for them.
	if next := l.Fields["next_quantity"]; next.Known() && sub.Fields["next_quantity"].Known() {
		p.Rules["next_quantity"] = plan.FieldRule{Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}
		p.PSA.Now["next_quantity"] = next
		p.PSA.Writable["next_quantity"] = w.psa.Writable(model.KindLine, "next_quantity")
		p.Vendor.Writable["next_quantity"] = true
	}
}
