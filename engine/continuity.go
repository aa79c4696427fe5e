package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// howRenewed begins the evidence of a link that was carried to another id.
const howRenewed = "renewed under a new id"

// nearRenewal is how many days may lie between the end of one subscription and the beginning of another before they have nothing to do
// with each other.
const nearRenewal = 31

// carryOn lets links lead on where the vendor renewed a subscription under a new id: the line goes on billing it, and its stored id is
// written once. It is certain when of one customer exactly one subscription of that product ended on the day before exactly one began, with the
// seats it had or was to renew with; or when a person wrote the new id on the line. What only looks like it waits for a person: a new line
// would bill the customer twice, an ended one not at all. What is left of the subscriptions is returned.
func (w *world) carryOn(g *group, pairs []pairing, unlinked []subscription) (left []subscription, findings []plan.Finding) {
	claims := map[int][]int{} // by pair, the subscriptions that continue it for certain
	maybe := map[int][]int{}  // by subscription, the pairs that it may continue
	for n, sub := range unlinked {
		if !billable(sub) || sub.gone || sub.broken {
			continue
		}
		var certain []int
		for i, old := range pairs {
			sure, near := w.continues(sub, old)
			if sure {
				certain = append(certain, i)
			}
			if near {
				maybe[n] = append(maybe[n], i)
			}
		}
		if len(certain) == 1 {
			claims[certain[0]] = append(claims[certain[0]], n)
		}
	}
	taken := map[int]bool{}
	for i, by := range claims {
		if len(by) != 1 {
			continue
		}
		old, sub := pairs[i], unlinked[by[0]]
		taken[by[0]] = true
		pairs[i].sub, pairs[i].was = sub, old.sub.ID
		pairs[i].how = fmt.Sprintf("%s: %s ended on %s, %s began on %s", howRenewed, old.sub.ID, old.sub.Text("term_end"), sub.ID, sub.Text("start"))
		// What was scheduled for the old term and decided about it is over with it.
		pairs[i].memory.Vendor.Fields, pairs[i].memory.PSA.Fields = withoutEnd(old.memory.Vendor.Fields), withoutEnd(old.memory.PSA.Fields)
	}
	for n, sub := range unlinked {
		old := slices.DeleteFunc(slices.Clone(maybe[n]), func(i int) bool { return pairs[i].was != "" })
		if taken[n] || len(old) == 0 {
			if !taken[n] {
				left = append(left, sub)
			}
			continue
		}
		f := perhapsRenewed(w, g, sub, pairs[old[0]])
		findings = append(findings, f)
		for _, i := range old {
			if !pairs[i].sub.gone { // one that is gone is held already
				pairs[i].doubt = &f
			}
		}
	}
	return left, findings
}

// continues reports whether a subscription is certainly, or perhaps, what a linked one was renewed as.
func (w *world) continues(sub subscription, old pairing) (certain, near bool) {
	over := old.sub.gone || old.sub.Text("status") == model.StatusEnded
	product := sub.Text("product")
	same := product == old.sub.Text("product") || product != "" && product == old.sub.Text("next_product")
	if !over || old.link == "" || old.sub.tenant != sub.tenant || !same || !sub.complete || old.sub.ID == sub.ID {
		return false, false
	}
	end, ends := old.sub.Fields["term_end"].Day()
	if last, ended := old.line.Fields["end"].Day(); ended && (last.Cmp(w.today) < 0 || ends && last.Cmp(end) <= 0) {
		return false, false // somebody ended the line: what came is not wanted on it
	}
	if strings.EqualFold(strings.TrimSpace(old.line.Text("subscription")), sub.ID) {
		return true, true // a person wrote it there
	}
	start, starts := sub.Fields["start"].Day()
	if !ends || !starts {
		return false, old.sub.gone
	}
	days := end.Until(start)
	quantity := sub.Fields["quantity"]
	seats := quantity == old.sub.Fields["quantity"] || quantity == old.sub.Fields["next_quantity"]
	near = old.sub.gone || days >= -nearRenewal && days <= nearRenewal
	return near && (days == 0 || days == 1) && seats && quantity.Known(), near
}

// withoutEnd is a memory without what concerns the end of a term.
func withoutEnd(f model.Fields) model.Fields {
	f = f.Clone()
	for _, field := range []string{"at_end", "next_quantity", "term_end", "unused_since"} {
		delete(f, field)
	}
	return f
}

// perhapsRenewed is a subscription that came while another of its product went: vendors renew under a new id. A new line for it would
// bill the customer twice as long as the old one's line goes on.
func perhapsRenewed(w *world, g *group, sub subscription, old pairing) plan.Finding {
	became := "is not listed by " + w.vendor.Name + " any more"
	if !old.sub.gone {
		became = "ended on " + old.sub.Text("term_end")
	}
	return plan.Finding{Key: plan.ChangeID("ambiguous", w.flow.Name, sub.ID), Kind: plan.AmbiguousLine, Customer: g.label,
		Title: fmt.Sprintf("%s, %s seats: does it replace a subscription that is gone?", lineLabel(sub), sub.Text("quantity")),
		Detail: fmt.Sprintf("subscription %s of the same product %s, and line %s still bills %s seats for it; %s began on %s with %s seats",
			old.sub.ID, became, old.line.ID, old.line.Text("quantity"), sub.ID, sub.Text("start"), sub.Text("quantity")),
		Next: fmt.Sprintf("if it does: write %s into the line's subscription id; if not, end line %s", sub.ID, old.line.ID)}
}
