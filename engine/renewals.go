package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Renewal is the end of one subscription's term: what was decided about it, and what follows if nobody decides.
type Renewal struct {
	Flow         string         `json:"flow"`
	Customer     string         `json:"customer"`
	CustomerID   string         `json:"customer_id"`
	Subscription string         `json:"subscription"`
	Label        string         `json:"label"`
	Product      string         `json:"product"` // key of the product of today
	Linked       bool           `json:"linked"`  // a contract line bills it
	Seats        model.Quantity `json:"seats"`
	End          model.Day      `json:"term_end"`  // last day of the term, the vendor's day (UTC)
	DecideBy     time.Time      `json:"decide_by"` // the vendor must have been told before this moment
	Decision     string         `json:"decision"`  // renew, cancel, extend, another word of the vendor; "" when nobody decided
	NextSeats    string         `json:"next_seats,omitempty"`
	NextProduct  string         `json:"next_product,omitempty"`
	By           string         `json:"decided_by,omitempty"` // the vendor's record, the line, or who decided it and when
	Told         bool           `json:"told"`                 // the vendor has been told
	Silence      plan.Silence   `json:"silence"`              // what follows without a decision
	Month        model.Money    `json:"month,omitzero"`       // what the seats of today cost a month
}

// Undecided reports that nobody has said what follows the term.
func (r Renewal) Undecided() bool { return r.Decision == "" }

// Renewals are the term ends of a flow's subscriptions, linked or not, that are at most some days away, the nearest first; 0 days for
// all. It reads what the store holds and asks no system.
func (e *Engine) Renewals(ctx context.Context, flow Flow, days int) ([]Renewal, error) {
	w, err := e.offline(ctx, flow)
	if err != nil {
		return nil, err
	}
	found := []Renewal{}
	err = e.eachTerm(ctx, w, func(g *group, pair plan.Pair, sub subscription) {
		r := w.renewal(g, pair, sub)
		if left := model.DayOf(w.now.UTC()).Until(r.End); left >= 0 && (days <= 0 || left <= days) {
			found = append(found, r)
		}
	})
	slices.SortFunc(found, func(a, b Renewal) int {
		return cmp.Or(a.End.Cmp(b.End), strings.Compare(a.Customer, b.Customer), strings.Compare(a.Label, b.Label), strings.Compare(a.Subscription, b.Subscription))
	})
	return found, err
}

// renewal describes the end of one term.
func (w *world) renewal(g *group, pair plan.Pair, sub subscription) Renewal {
	t := pair.Term
	r := Renewal{Flow: w.flow.Name, Customer: g.label, CustomerID: sub.tenant, Subscription: sub.ID, Label: pair.Label, Product: t.Product, Linked: pair.Ref.Kind != "", End: t.End,
		DecideBy: t.End.Add(1).Midnight(time.UTC), Silence: plan.SilenceOf(pair)}
	r.Seats, _ = pair.Vendor.Now["quantity"].Quantity()
	if cost, priced := pair.UnitCost.Money(); priced {
		r.Month = cost.Times(r.Seats)
	}
	action := pair.Vendor.Now["at_end"].String()
	next := pair.Vendor.Now["next_quantity"]
	d, open := w.decided(sub)
	switch {
	case open:
		r.Decision, r.NextSeats, r.NextProduct, r.By, r.Told = d.Action, d.Seats, d.Product, decidedBy(d), plan.ToldAlready(pair)
	case action == plan.EndExtend && d.ID == "", action == "" && next.Blank():
		// An extended term that nobody asked for is what follows silence.
	default:
		r.Decision, r.NextSeats, r.Told, r.By = cmp.Or(action, plan.EndRenew), next.String(), true, "at "+w.vendor.Name
		if product := pair.Vendor.Now["next_product"].String(); product != t.Product {
			r.NextProduct = product
		}
		if d.ID != "" && d.Action == r.Decision {
			r.By = decidedBy(d)
		}
	}
	switch shown := pair.PSA.Now["next_quantity"]; {
	case r.Decision != "" || pair.Locked != "":
	case pair.Ref.Kind != "" && !pair.LineEnd.IsZero() && pair.LineEnd.Cmp(t.End) <= 0:
		r.Decision, r.By = plan.EndCancel, "the line ends on "+pair.LineEnd.String()
	case !shown.Blank():
		r.Decision, r.NextSeats, r.By = plan.EndRenew, shown.String(), "seats at renewal on the line"
	}
	return r
}

// ErrNoTerm refuses a decision about a subscription that has no term end to decide about.
var ErrNoTerm = errors.New("there is no term end to decide")

// Deciding is a flow's term ends at one moment, to decide about many of them.
type Deciding struct {
	engine *Engine
	world  *world
	ends   map[string][]ending // by subscription id, lower case
}

type ending struct {
	renewal Renewal
	pair    plan.Pair
}

// Decide reads what the store holds of a flow's term ends; it asks no system.
func (e *Engine) Decide(ctx context.Context, flow Flow) (*Deciding, error) {
	w, err := e.offline(ctx, flow)
	if err != nil {
		return nil, err
	}
	d := &Deciding{e, w, map[string][]ending{}}
	return d, e.eachTerm(ctx, w, func(g *group, p plan.Pair, sub subscription) {
		id := strings.ToLower(sub.ID)
		d.ends[id] = append(d.ends[id], ending{w.renewal(g, p, sub), p})
	})
}

// Term is the present term of a subscription; ok is false when it has none, or when two customers have a subscription of that id and none
// is named.
func (d *Deciding) Term(customer, subscription string) (r Renewal, ok bool) {
	found := d.find(customer, subscription)
	if len(found) != 1 {
		return r, false
	}
	return found[0].renewal, true
}

func (d *Deciding) find(customer, subscription string) (found []ending) {
	for _, e := range d.ends[strings.ToLower(subscription)] {
		if customer == "" || strings.EqualFold(e.renewal.CustomerID, customer) {
			found = append(found, e)
		}
	}
	return found
}

// End keeps what a person decided about the end of the present term of a subscription. Nothing is sent: the next plan carries it, through the
// flow's guards. The decision's customer is needed only where two customers have a subscription of that id.
func (d *Deciding) End(ctx context.Context, said state.EndDecision) (state.EndDecision, Renewal, error) {
	w := d.world
	found := d.find(said.Customer, said.Subscription)
	refuse := func(format string, args ...any) (state.EndDecision, Renewal, error) {
		return said, Renewal{}, fmt.Errorf("decide the end of subscription %s: %w: %s", said.Subscription, ErrNoTerm, fmt.Sprintf(format, args...))
	}
	switch {
	case len(found) == 0:
		return refuse("%s knows no subscription of that id that is charged for and has a term; see trueup renewals --all", w.vendor.Name)
	case len(found) > 1:
		return refuse("two customers have it; name one with --customer: %s or %s", found[0].renewal.CustomerID, found[1].renewal.CustomerID)
	}
	r, pair := found[0].renewal, found[0].pair
	switch {
	case !pair.Term.Schedulable:
		return refuse("%s takes no instructions for the end of a term; decide in its portal", w.vendor.Name)
	case pair.Locked != "":
		return refuse("%s", pair.Locked)
	case model.DayOf(w.now.UTC()).Cmp(pair.Term.End) > 0:
		return refuse("its term ended on %s; the next run reads what followed", pair.Term.End)
	}
	if said.Product != "" {
		if _, sold := w.vendorProducts[said.Product]; !sold {
			return refuse("the price list of %s has no %q; of this product it has: %s", w.vendor.Name, said.Product, strings.Join(w.plansOf(said.Product, pair.Term.Product), ", "))
		}
		if !w.vendor.Schedulable(model.KindSubscription, "next_product") {
			return refuse("the mapping of %s schedules no other product; map next_product", w.vendor.Name)
		}
	}
	if said.Action != plan.EndRenew && !w.vendor.Schedulable(model.KindSubscription, "at_end") {
		return refuse("the mapping of %s does not say how a term is cancelled or extended; map at_end", w.vendor.Name)
	}
	said.Flow, said.Customer, said.Subscription, said.TermEnd = w.flow.Name, r.CustomerID, r.Subscription, r.End
	kept, err := d.engine.Store.DecideEnd(ctx, said)
	return kept, r, err
}

// plansOf are the products that may have been meant: of the same SKU as the one asked for, and of today's.
func (w *world) plansOf(asked, today string) []string {
	sku, _, _ := strings.Cut(asked, " ")
	own, _, _ := strings.Cut(today, " ")
	var keys []string
	for key := range w.vendorProducts {
		if strings.HasPrefix(key, sku+" ") || strings.HasPrefix(key, own+" ") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Unused is a subscription with seats that are paid for and not in use, and when they can go.
type Unused struct {
	Flow         string         `json:"flow"`
	Customer     string         `json:"customer"`
	CustomerID   string         `json:"customer_id"`
	Subscription string         `json:"subscription"`
	Label        string         `json:"label"`
	Seats        model.Quantity `json:"seats"`
	Assigned     model.Quantity `json:"assigned"`
	Unused       model.Quantity `json:"unused"`
	Now          model.Quantity `json:"lower_now"`                // so many the vendor takes back now
	Until        time.Time      `json:"lower_now_until,omitzero"` // when the first of its windows closes
	Day          model.Day      `json:"saves_from"`               // next day on which lowering saves money
	Month        model.Money    `json:"month,omitzero"`           // what the unused seats cost a month
	Decided      bool           `json:"decided"`                  // the renewal is scheduled without them, or cancelled
	Since        model.Day      `json:"unused_since,omitzero"`    // where a run saw it
	End          model.Day      `json:"term_end"`
	Renewal      string         `json:"renew_with"` // seats to renew with, so that none is unused: the ready plan for the term end
}

// UnusedReport is what is known of the seats in use.
type UnusedReport struct {
	Unused  []Unused `json:"unused"`
	Counted int      `json:"counted"`     // subscriptions whose seats in use are known
	Unknown int      `json:"not_counted"` // those of which nothing is known; they are not called used
}

// Unused are the subscriptions of a flow with seats that are not in use, the dearest first. It reads what the store holds and asks no
// system.
func (e *Engine) Unused(ctx context.Context, flow Flow) (UnusedReport, error) {
	report := UnusedReport{Unused: []Unused{}}
	w, err := e.offline(ctx, flow)
	if err != nil {
		return report, err
	}
	err = e.eachTerm(ctx, w, func(g *group, pair plan.Pair, sub subscription) {
		used, counted := pair.Term.Assigned.Quantity()
		if !counted {
			report.Unknown++
			return
		}
		report.Counted++
		s, unused := plan.Save(pair)
		if !unused {
			return
		}
		u := Unused{Flow: flow.Name, Customer: g.label, CustomerID: sub.tenant, Subscription: sub.ID, Label: pair.Label, Assigned: used, Unused: s.Seats, Now: s.Now, Until: s.Until,
			Day: s.Day, Month: s.Month, Decided: s.Decree, End: pair.Term.End, Renewal: used.String()}
		u.Seats, _ = pair.Vendor.Now["quantity"].Quantity()
		u.Since, _ = pair.Vendor.Memory["unused_since"].Day()
		if least, known := pair.Term.Least.Quantity(); known && used.Cmp(least) < 0 {
			u.Renewal = least.String()
		}
		if r := w.renewal(g, pair, sub); r.Decision == plan.EndCancel || r.Decision == plan.EndRenew && r.NextSeats == u.Renewal {
			u.Decided = true
		}
		if used.Sign() == 0 && u.Renewal == "0" {
			u.Renewal = "" // nobody uses it: cancel it instead
		}
		report.Unused = append(report.Unused, u)
	})
	slices.SortFunc(report.Unused, func(a, b Unused) int {
		return cmp.Or(b.Month.Amount().Cmp(a.Month.Amount()), b.Unused.Cmp(a.Unused), strings.Compare(a.Customer, b.Customer), strings.Compare(a.Subscription, b.Subscription))
	})
	return report, err
}
