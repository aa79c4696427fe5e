package plan

import (
	"slices"
	"strings"
)

// Asked is what one approval is about: one change that a limit holds, or all changes of a customer or of a run that are held together.
type Asked struct {
	Matter   string // stable: the same matter has the same name in every plan
	Reason   Reason
	Customer string // "" for a run as a whole
	Held     []Held // what is over the limit
	// Plan is nothing but these changes, with what waits for them alone. Its digest names exactly what is approved or rejected: if anything
	// about them moves, they are another plan.
	Plan Plan
}

// Asks are the approvals that a plan asks for, by matter: whatever the flow's own limits hold, rejected or not.
func Asks(p Plan) []Asked {
	asks := map[string]*Asked{}
	for _, h := range p.Held {
		if !h.Reason.Releasable() {
			continue
		}
		if p.stuck(h.Change.Together) {
			continue // it shares its seats with something that no approval lets through
		}
		matter, customer := MatterOf(p.Flow, h)
		a := asks[matter]
		if a == nil {
			a = &Asked{Matter: matter, Reason: h.Reason, Customer: customer}
			asks[matter] = a
		}
		a.Held = append(a.Held, h)
	}
	list := make([]Asked, 0, len(asks))
	for _, a := range asks {
		a.Plan = p.only(a.Held)
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b Asked) int { return strings.Compare(a.Matter, b.Matter) })
	return list
}

// stuck reports that one of the changes that share their seats is held for a reason that cannot be approved away.
func (p Plan) stuck(together string) bool {
	return together != "" && slices.ContainsFunc(p.Held, func(h Held) bool {
		return h.Change.Together == together && h.Reason != WaitsFor && !h.Reason.Releasable()
	})
}

// MatterOf names what a held change is a matter of, and whose: its own, or that of the customer or the run whose limit holds it together with
// others.
func MatterOf(flow string, h Held) (matter, customer string) {
	switch h.Reason {
	case OverCustomer, OverCustomerTogether:
		return ChangeID("matter", flow, string(OverCustomer), h.Change.Customer), h.Change.Customer
	case OverRun, OverRunTogether:
		return ChangeID("matter", flow, string(OverRun)), ""
	}
	return MatterOfChange(flow, h.Change), h.Change.Customer
}

// MatterOfChange names the matter of one change, whether it is held, refused or failed. Changes that share their seats are one matter.
func MatterOfChange(flow string, c Change) string {
	if c.Together != "" {
		return ChangeID("matter", flow, "together", c.Together)
	}
	return ChangeID("matter", flow, c.ID)
}

// only is the plan of some held changes and of what waits for nothing but them: what they need, and what needs them.
func (p Plan) only(held []Held) Plan {
	one := Plan{Flow: p.Flow, Undoes: p.Undoes, Lifted: slices.Clone(held)}
	taken := map[string]bool{}
	for _, h := range held {
		taken[h.Change.ID] = true
		one.Changes = append(one.Changes, h.Change)
	}
	for _, h := range p.Held {
		if h.Reason == WaitsFor && !taken[h.Change.ID] {
			one.Held = append(one.Held, h)
		}
	}
	present := map[string]bool{}
	for _, c := range p.Changes {
		present[c.ID] = true
	}
	for {
		before := len(one.Held)
		one.Held = slices.DeleteFunc(one.Held, func(h Held) bool {
			needed := slices.ContainsFunc(one.Changes, func(c Change) bool { return slices.Contains(c.After, h.Change.ID) })
			shares := h.Change.Together != "" && slices.ContainsFunc(one.Changes, func(c Change) bool { return c.Together == h.Change.Together })
			needs := slices.ContainsFunc(h.Change.After, func(id string) bool { return taken[id] })
			free := !slices.ContainsFunc(h.Change.After, func(id string) bool { return !taken[id] && !present[id] && !waits(one.Held, id) })
			if needed || shares || needs && free {
				taken[h.Change.ID] = true
				one.Changes = append(one.Changes, h.Change)
				return true
			}
			return false
		})
		if len(one.Held) == before {
			break
		}
	}
	one.Held = nil
	one.Sort()
	return one
}

func waits(held []Held, id string) bool {
	return slices.ContainsFunc(held, func(h Held) bool { return h.Change.ID == id })
}

// Lift is the plan with what some approvals let through.
func Lift(p Plan, approved []Asked) Plan {
	p.Changes, p.Held, p.Lifted = slices.Clone(p.Changes), slices.Clone(p.Held), slices.Clone(p.Lifted)
	for _, a := range approved {
		for _, c := range a.Plan.Changes {
			if !slices.ContainsFunc(p.Changes, func(have Change) bool { return have.ID == c.ID }) {
				p.Changes = append(p.Changes, c)
			}
		}
		p.Lifted = append(p.Lifted, a.Held...)
		p.Held = slices.DeleteFunc(p.Held, func(h Held) bool {
			return (h.Reason.Releasable() || h.Reason == WaitsFor) && slices.ContainsFunc(a.Plan.Changes, func(c Change) bool { return c.ID == h.Change.ID })
		})
	}
	p.Sort()
	return p
}
