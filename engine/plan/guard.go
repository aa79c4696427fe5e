package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/model"
)

// Extent is how much exists already: the seats on linked lines, by customer. Shares are measured against it. It must not contain lines that
// were made while something was held over a limit, or waiting would be enough to let it through.
type Extent map[string]model.Quantity

// Guard holds back what breaks a limit: first each change alone, then each customer's changes together, then the run; each by itself and
// together with what was done shortly before. What depends on a held change is held too. The result is sorted.
func Guard(p Plan, g Guards, extent Extent, recent Recent) Plan {
	p.Changes = slices.Clone(p.Changes)
	p.Held = slices.Clone(p.Held)
	p.holdWhere(g.onCreditHold)
	p.holdWhere(func(c Change) (Held, bool) { return g.change(c) })
	done := map[string][]step{} // by customer
	for _, c := range p.Changes {
		if _, known := done[c.Customer]; !known {
			done[c.Customer] = recent.steps(c.Customer)
		}
	}
	p.holdWhere(func(c Change) (Held, bool) {
		if !counted(c) {
			return Held{}, false
		}
		return g.changeTogether(c, done[c.Customer], recent.since(c.Customer))
	})

	customers := map[string][]Change{}
	for _, c := range p.Changes {
		customers[c.Customer] = append(customers[c.Customer], c)
	}
	for customer, changes := range customers {
		of := func(c Change) bool { return c.Customer == customer }
		if p.brake(g.PerCustomer.trips(stepsOf(changes), extent[customer], g.Unattended), of, OverCustomer, customer, "guards.per_customer") {
			continue
		}
		t := g.PerCustomer.tripsTogether(changes, done[customer], recent.since(customer), extent[customer], g.Unattended)
		p.brake(t, of, OverCustomerTogether, customer, "guards.per_customer")
	}

	var total model.Quantity
	for _, seats := range extent {
		total = total.Add(seats)
	}
	all := func(Change) bool { return true }
	if !p.brake(g.PerRun.trips(stepsOf(p.Changes), total, g.Unattended), all, OverRun, "this run", "guards.per_run") {
		t := g.PerRun.tripsTogether(p.Changes, recent.steps(""), recent.since(""), total, g.Unattended)
		p.brake(t, all, OverRunTogether, "this run", "guards.per_run")
	}

	p.holdWhere(g.frozen) // last: what goes over a limit asks its approval meanwhile
	p.holdDependents()
	p.holdNeedless()
	p.Sort()
	return p
}

// frozen holds what costs while the flow is frozen.
func (g Guards) frozen(c Change) (Held, bool) {
	if g.FrozenUntil.IsZero() || c.Target.Kind != model.KindLine && !counted(c) || c.idOnly() {
		return Held{}, false
	}
	return Held{Change: c, Reason: Frozen, Detail: "until " + g.FrozenUntil.Format("2 January 2006, 15:04 MST"),
		Next: "nothing needs to be done: the first run after that writes it; the times are guards.freeze in the flow"}, true
}

// onCreditHold holds seats that would be bought for a customer who is on credit hold in the PSA, now or for the next term.
func (g Guards) onCreditHold(c Change) (Held, bool) {
	from, to, seats := c.Seats()
	if !g.OnHold[c.Customer] || c.Side != Vendor || !seats || to.Cmp(from) <= 0 {
		return Held{}, false
	}
	return Held{Change: c, Reason: CreditHold, Detail: fmt.Sprintf("%s seats would become %s", from, to),
		Next: "take the customer off credit hold in the PSA, or put the line back to " + from.String()}, true
}

// change is the limits on one change.
func (g Guards) change(c Change) (Held, bool) {
	if c.Op == OpCreate && c.Side == Vendor && c.Target.Kind == model.KindCustomer {
		return Held{c, NewCustomerHeld, newCustomer(c), "check every word of it, then release it for this plan with trueup approve"}, true
	}
	if c.Op == OpCreate && !c.buys() {
		return Held{}, false
	}
	from, to, seats := c.Seats()
	decided := c.Reason == Decided && !g.FourEyes
	if c.Op == OpSchedule && g.Cancel != CancelTermEnd && !decided && slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return f.To.String() == EndCancel }) {
		return Held{c, CancelHeld, fmt.Sprintf("%s seats would end with the term on %s", from, c.AtEnd.After),
			"check it, then release it for this plan with trueup approve, or set guards.cancel: term_end in the flow"}, true
	}
	lowered, raised := c.seatsLowered(), model.Quantity{}
	if seats {
		raised = to.Sub(from)
	}
	over := func(limit, format string, args ...any) (Held, bool) {
		return Held{c, OverChangeLimit, fmt.Sprintf(format, args...),
			"check it, then release it for this plan with trueup approve, or raise guards.per_change." + limit + " in the flow"}, true
	}
	l := g.PerChange
	switch {
	case (c.Op == OpChange || c.Op == OpSchedule) && g.Decrease == DecreaseHold && lowered.Sign() > 0:
		return Held{c, DecreaseHeld, fmt.Sprintf("%s seats would become %s", from, to),
			"check it, then release it for this plan with trueup approve, or set guards.decrease: window in the flow"}, true
	case l.Increase != nil && raised.Cmp(*l.Increase) > 0:
		return over("increase", "%s seats would become %s: %s more, the limit is %s", from, to, raised, l.Increase)
	case l.Decrease != nil && lowered.Cmp(*l.Decrease) > 0:
		return over("decrease", "%s seats would become %s: %s fewer, the limit is %s", from, to, lowered, l.Decrease)
	}
	if percent, broken := shareBroken(l.Share, lowered, from); broken {
		return over("share", "%s seats would become %s: %s%% fewer, the limit is %d%%", from, to, percent, l.Share)
	}
	sums := newSums()
	sums.add(c.Effect)
	if m, broken := exceeds(sums.cost, l.Cost); broken {
		return over("cost", "it would cost %s", figures(m, "more", *l.Cost))
	}
	if m, what, broken := sums.dropped(l.Drop); broken {
		return over("drop", "%s %s", what, figures(m, "less", *l.Drop))
	}
	return Held{}, false
}

// newCustomer is what a person approves: everything that is sent for a new customer.
func newCustomer(c Change) string {
	var parts []string
	for _, f := range c.Fields {
		parts = append(parts, fmt.Sprintf("%s %s", f.Field, shown(f.To)))
	}
	return "it would be made with " + strings.Join(parts, ", ")
}

// shareBroken reports that more than a share of what is there would go, and how many percent that is. One seat is an ordinary day, unless
// it is the last.
func shareBroken(limit int, lowered, of model.Quantity) (percent decimal.Decimal, broken bool) {
	if limit <= 0 || limit >= 100 || lowered.Sign() <= 0 {
		return percent, false
	}
	percent = decimal.NewFromInt(100)
	if lowered.Cmp(of) < 0 {
		if lowered.Cmp(model.NewQuantity(1)) <= 0 {
			return percent, false
		}
		percent = lowered.Decimal().Mul(percent).Div(of.Decimal())
	}
	return percent.Round(1), percent.GreaterThan(decimal.NewFromInt(int64(limit)))
}

// sums are what changes do to the money a month, by currency, as amounts above zero.
type sums struct{ cost, bill, lessCost, lessBill map[string]model.Money }

func newSums() sums {
	return sums{map[string]model.Money{}, map[string]model.Money{}, map[string]model.Money{}, map[string]model.Money{}}
}

func (s sums) add(e Effect) {
	for _, part := range []struct {
		m        model.Money
		up, down map[string]model.Money
	}{{e.Cost, s.cost, s.lessCost}, {e.Bill, s.bill, s.lessBill}} {
		if part.m.Sign() > 0 {
			addTo(part.up, part.m)
		} else {
			addTo(part.down, part.m.Neg())
		}
	}
}

// dropped reports that less would be billed or paid than the limit allows.
func (s sums) dropped(limit *model.Money) (m model.Money, what string, broken bool) {
	if m, broken = exceeds(s.lessBill, limit); broken {
		return m, "customers would be billed", true
	}
	m, broken = exceeds(s.lessCost, limit)
	return m, "the vendor would charge", broken
}

// exceeds is the first amount over a limit; one in another currency cannot be compared, and is over it.
func exceeds(amounts map[string]model.Money, limit *model.Money) (model.Money, bool) {
	if limit == nil {
		return model.Money{}, false
	}
	for _, m := range sortedMoney(amounts) {
		if over, err := m.Cmp(*limit); err != nil || over > 0 {
			return m, true
		}
	}
	return model.Money{}, false
}

// figures is an amount and its limit for people.
func figures(m model.Money, direction string, limit model.Money) string {
	text := fmt.Sprintf("%s %s a month, the limit is %s", m.Display(), direction, limit.Display())
	if m.Currency() != limit.Currency() {
		text += ", in another currency"
	}
	return text
}

// counted are the changes a brake looks at: orders, and changes to things that exist and are billed or paid for. What only tells people is not.
func counted(c Change) bool {
	switch {
	case c.Op == OpCreate:
		return c.buys()
	case slices.Contains([]model.Kind{model.KindCustomer, model.KindContact, model.KindQuote}, c.Target.Kind), c.Reason == Told, c.Tells != nil:
		return false
	}
	return !c.idOnly()
}

// buys reports an order.
func (c Change) buys() bool { return c.Op == OpCreate && c.Target.Kind == model.KindSubscription }

// trip is a broken limit: its name, the figures, and which changes it holds.
type trip struct {
	limit, detail string
	holds         func(Change) bool
	shorter       bool // it would not be broken if less of what was done before counted
}

// trips finds the first limit that a group of steps breaks; nil when there is none.
func (l GroupLimit) trips(steps []step, extent model.Quantity, unattended bool) *trip {
	count, existing, billed := 0, newSums(), newSums()
	for _, s := range steps {
		if s.counted || unattended && s.bills {
			billed.add(s.effect)
		}
		if s.counted {
			count++
			existing.add(s.effect)
		}
	}
	bills := func(c Change) bool {
		s := stepOf(c)
		return s.counted || unattended && s.bills
	}
	lowered, raised := seatsTaken(steps), seatsAdded(steps)
	if percent, broken := shareBroken(l.Share, lowered, extent); broken {
		detail := fmt.Sprintf("%s of %s seats would be lowered or ended (%s%%), the limit is %d%%", lowered, extent, percent, l.Share)
		if lowered.Cmp(extent) > 0 {
			detail = fmt.Sprintf("%s seats would be lowered or ended, the limit is %d%% of %s; lines made while a change is held do not count", lowered, l.Share, extent)
		}
		return &trip{limit: "share", detail: detail, holds: counted}
	}
	if l.Increase != nil && raised.Cmp(*l.Increase) > 0 {
		return &trip{limit: "increase", detail: fmt.Sprintf("%s seats would be added, the limit is %s", raised, l.Increase), holds: counted}
	}
	if l.Decrease != nil && lowered.Cmp(*l.Decrease) > 0 {
		return &trip{limit: "decrease", detail: fmt.Sprintf("%s seats would be taken away, the limit is %s", lowered, l.Decrease), holds: counted}
	}
	if l.Count > 0 && count > l.Count {
		return &trip{limit: "count", detail: fmt.Sprintf("%d changes to existing lines, the limit is %d", count, l.Count), holds: counted}
	}
	if m, broken := exceeds(existing.cost, l.Cost); broken {
		return &trip{limit: "cost", detail: "it would cost " + figures(m, "more", *l.Cost), holds: counted}
	}
	if m, what, broken := existing.dropped(l.Drop); broken {
		return &trip{limit: "drop", detail: what + " " + figures(m, "less", *l.Drop), holds: counted}
	}
	if m, broken := exceeds(billed.bill, l.Bill); broken {
		return &trip{limit: "bill", detail: "customers would be billed " + figures(m, "more", *l.Bill), holds: bills}
	}
	return nil
}

// idOnly reports a change that only keeps ids and touches nothing that is billed.
func (c Change) idOnly() bool {
	return c.Op == OpChange && !slices.ContainsFunc(c.Fields, func(f FieldChange) bool { return !f.Reason.keeps() })
}

func (c Change) seatsLowered() model.Quantity {
	from, to, seats := c.Seats()
	if !seats || to.Cmp(from) >= 0 {
		return model.Quantity{}
	}
	return from.Sub(to)
}

// brake holds the changes of a group that a broken limit is about, if one is broken.
func (p *Plan) brake(t *trip, in func(Change) bool, reason Reason, group, limits string) (broken bool) {
	if t == nil {
		return false
	}
	mend := "raise " + limits + "." + t.limit
	if t.shorter {
		mend += " or shorten guards.together"
	}
	p.holdWhere(func(c Change) (Held, bool) {
		return Held{c, reason, group + ": " + t.detail, "check the changes, then release them for this plan with trueup approve, or " + mend + " in the flow"},
			in(c) && t.holds(c)
	})
	return true
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

// holdDependents holds what needs a change that is not in the plan any more, and what shares its seats with one that is held.
func (p *Plan) holdDependents() {
	for {
		held := map[string]string{}
		for _, h := range p.Held {
			if name := h.Change.Together; name != "" {
				held[name] = h.Change.ID
			}
		}
		present := map[string]bool{}
		for _, c := range p.Changes {
			present[c.ID] = true
		}
		before := len(p.Changes)
		p.holdWhere(func(c Change) (Held, bool) {
			if other, ok := held[c.Together]; ok && c.Together != "" {
				return Held{c, WaitsFor, fmt.Sprintf("it shares its seats with change %s, which is held", other), "settle that one first"}, true
			}
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

// holdNeedless holds what would be made only for changes that are held: a contract without a line is of no use to anybody.
func (p *Plan) holdNeedless() {
	for {
		needed, waiting := map[string]bool{}, map[string]bool{}
		for _, c := range p.Changes {
			for _, id := range c.After {
				needed[id] = true
			}
		}
		for _, h := range p.Held {
			for _, id := range h.Change.After {
				waiting[id] = true
			}
		}
		before := len(p.Changes)
		p.holdWhere(func(c Change) (Held, bool) {
			return Held{c, WaitsFor, "it would be made only for changes that are held", "settle those first"}, c.Op == OpCreate && waiting[c.ID] && !needed[c.ID]
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
