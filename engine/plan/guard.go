package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/model"
)

// Extent is how much exists already: the seats on linked lines, by customer. Shares are measured against it.
type Extent map[string]model.Quantity

// Guard holds back what breaks a limit: first each change alone, then each customer's changes together, then the run. What
// depends on a held change is held too. The result is sorted.
func Guard(p Plan, g Guards, extent Extent) Plan {
	p.Changes = slices.Clone(p.Changes)
	p.Held = slices.Clone(p.Held)
	p.holdWhere(func(c Change) (Held, bool) { return g.change(c) })

	customers := map[string][]Change{}
	for _, c := range p.Changes {
		customers[c.Customer] = append(customers[c.Customer], c)
	}
	for customer, changes := range customers {
		if detail, tripped := g.PerCustomer.trips(changes, extent[customer]); tripped {
			p.brake(func(c Change) bool { return c.Customer == customer }, OverCustomer, customer+": "+detail, "guards.per_customer")
		}
	}

	var total model.Quantity
	for _, seats := range extent {
		total = total.Add(seats)
	}
	if detail, tripped := g.PerRun.trips(p.Changes, total); tripped {
		p.brake(func(Change) bool { return true }, OverRun, "this run: "+detail, "guards.per_run")
	}

	p.holdDependents()
	p.Sort()
	return p
}

// change is the limits on one change.
func (g Guards) change(c Change) (Held, bool) {
	from, to, seats := c.Seats()
	switch {
	case c.Op == OpSchedule && g.Cancel != CancelTermEnd && slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return f.To.String() == EndCancel }):
		return Held{c, CancelHeld, fmt.Sprintf("%s seats would end with the term on %s", from, c.AtEnd.After),
			"check it, then release it for this plan with trueup approve, or set guards.cancel: term_end in the flow"}, true
	case c.Op != OpChange && c.Op != OpSchedule:
		return Held{}, false
	case seats && g.Decrease == DecreaseHold && to.Cmp(from) < 0:
		return Held{c, DecreaseHeld, fmt.Sprintf("%s seats would become %s", from, to),
			"check it, then release it for this plan with trueup approve, or set guards.decrease: window in the flow"}, true
	case seats && g.PerChange.Increase != nil && to.Sub(from).Cmp(*g.PerChange.Increase) > 0:
		return Held{c, OverChangeLimit, fmt.Sprintf("%s seats would become %s: %s more, the limit is %s", from, to, to.Sub(from), g.PerChange.Increase),
			"check it, then release it for this plan with trueup approve, or raise guards.per_change.increase in the flow"}, true
	}
	if g.PerChange.Cost == nil || c.Effect.Cost.Sign() <= 0 {
		return Held{}, false
	}
	over, err := c.Effect.Cost.Cmp(*g.PerChange.Cost)
	if err == nil && over <= 0 {
		return Held{}, false
	}
	detail := fmt.Sprintf("it would cost %s more a month, the limit is %s", c.Effect.Cost.Display(), g.PerChange.Cost.Display())
	if err != nil {
		detail += " in another currency"
	}
	return Held{c, OverChangeLimit, detail, "check it, then release it for this plan with trueup approve, or raise guards.per_change.cost in the flow"}, true
}

// counted are the changes a brake looks at: those to things that exist and are billed or paid for.
func counted(c Change) bool {
	return c.Op != OpCreate && c.Target.Kind != model.KindCustomer && !c.idOnly()
}

// trips reports whether a group of changes breaks the limit, with the figures.
func (l GroupLimit) trips(changes []Change, extent model.Quantity) (detail string, tripped bool) {
	var lowered model.Quantity
	count := 0
	costs := map[string]model.Money{}
	for _, c := range changes {
		if !counted(c) {
			continue
		}
		count++
		lowered = lowered.Add(c.seatsLowered())
		if c.Effect.Cost.Sign() > 0 {
			addTo(costs, c.Effect.Cost)
		}
	}
	if l.Share > 0 && l.Share < 100 && lowered.Sign() > 0 && extent.Sign() > 0 {
		share := lowered.Decimal().Mul(decimal.NewFromInt(100)).Div(extent.Decimal())
		if share.GreaterThan(decimal.NewFromInt(int64(l.Share))) {
			return fmt.Sprintf("%s of %s seats would be lowered or ended (%s%%), the limit is %d%%", lowered, extent, share.Round(1), l.Share), true
		}
	}
	if l.Count > 0 && count > l.Count {
		return fmt.Sprintf("%d changes to existing lines, the limit is %d", count, l.Count), true
	}
	if l.Cost != nil {
		for _, m := range sortedMoney(costs) {
			over, err := m.Cmp(*l.Cost)
			if err != nil || over > 0 {
				return fmt.Sprintf("it would cost %s more a month, the limit is %s", m.Display(), l.Cost.Display()), true
			}
		}
	}
	return "", false
}

// idOnly reports a change that only keeps ids and touches nothing that is billed.
func (c Change) idOnly() bool {
	return c.Op == OpChange && !slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return f.Reason != KeepID })
}

func (c Change) seatsLowered() model.Quantity {
	from, to, seats := c.Seats()
	if !seats || to.Cmp(from) >= 0 {
		return model.Quantity{}
	}
	return from.Sub(to)
}

// brake holds all counted changes of a group.
func (p *Plan) brake(in func(Change) bool, reason Reason, detail, limit string) {
	p.holdWhere(func(c Change) (Held, bool) {
		return Held{c, reason, detail, "check the changes, then release them for this plan with trueup approve, or raise " + limit + " in the flow"}, in(c) && counted(c)
	})
}

func (p *Plan) holdWhere(hold func(Change) (Held, bool)) {
	p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool {
		h, held := hold(c)
		if held {
			p.Held = append(p.Held, h)
		}
		return held
	})
}

// holdDependents holds what needs a change that is not in the plan any more.
func (p *Plan) holdDependents() {
	for {
		present := map[string]bool{}
		for _, c := range p.Changes {
			present[c.ID] = true
		}
		before := len(p.Changes)
		p.holdWhere(func(c Change) (Held, bool) {
			missing := slices.IndexFunc(c.After, func(id string) bool { return !present[id] })
			if missing < 0 {
				return Held{}, false
			}
			return Held{c, WaitsFor, fmt.Sprintf("it needs change %s, which is held", c.After[missing]), "settle that one first"}, true
		})
		if len(p.Changes) == before {
			return
		}
	}
}

// HeldByReason groups the held changes by reason, the most frequent first.
func (p Plan) HeldByReason() []ReasonCount {
	count := map[Reason]int{}
	for _, h := range p.Held {
		count[h.Reason]++
	}
	var list []ReasonCount
	for reason, n := range count {
		list = append(list, ReasonCount{reason, n})
	}
	slices.SortFunc(list, func(a, b ReasonCount) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Reason, b.Reason)) })
	return list
}

// ReasonCount is how often a reason occurs.
type ReasonCount struct {
	Reason Reason
	N      int
}
