package plan

import "slices"

// Releasable reports whether a person may let through what is held for this reason. Only the flow's own limits and the wish to be
// asked before an order can be released: what
// is not known, contradicts itself or is against a system's rules is settled at its cause.
func (r Reason) Releasable() bool {
	return slices.Contains([]Reason{DecreaseHeld, CancelHeld, InUse, OverChangeLimit, OverCustomer, OverRun, OverChangeTogether, OverCustomerTogether, OverRunTogether, NewCustomerHeld, OrderApproval}, r)
}

// releasable reports whether a person may let through a held change: a limit of the flow holds it, and nobody rejected it.
func (p Plan) releasable(h Held) bool { return h.Reason.Releasable() && p.Rejected[h.Change.ID] == "" }

// Release is the plan in which everything that only the flow's limits hold is let through, together with what waited for nothing
// else; ok is false when there is nothing of that kind. It has a digest of its own, never that of a plan within the limits: approving
// that digest approves these changes, over these limits, and nothing else.
func Release(p Plan) (released Plan, ok bool) {
	released = p
	released.Changes, released.Held, released.Lifted = slices.Clone(p.Changes), nil, nil
	for _, h := range p.Held {
		if p.releasable(h) {
			released.Changes = append(released.Changes, h.Change)
			released.Lifted = append(released.Lifted, h)
		} else {
			released.Held = append(released.Held, h)
		}
	}
	if len(released.Lifted) == 0 {
		return p, false
	}
	for released.takeWaiting() {
	}
	released.Sort()
	return released, true
}

// takeWaiting takes up what waits only for changes that are in the plan; it reports whether there was any.
func (p *Plan) takeWaiting() bool {
	present := map[string]bool{}
	for _, c := range p.Changes {
		present[c.ID] = true
	}
	before := len(p.Held)
	stays := map[string]bool{} // what shares its seats with a change that is not released
	for _, h := range p.Held {
		stays[h.Change.Together] = stays[h.Change.Together] || h.Change.Together != "" && h.Reason != WaitsFor
	}
	p.Held = slices.DeleteFunc(p.Held, func(h Held) bool {
		free := h.Reason == WaitsFor && !stays[h.Change.Together] && !slices.ContainsFunc(h.Change.After, func(id string) bool { return !present[id] })
		if free {
			p.Changes = append(p.Changes, h.Change)
		}
		return free
	})
	return len(p.Held) < before
}
