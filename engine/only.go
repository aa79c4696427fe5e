package engine

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// A run that follows hints looks at some customers only: it reads what both sides hold of them, and plans, guards and writes as a whole run
// does. What it leaves out is as it was: nothing there is called clean, gone or settled. The brakes of a run count what such runs did since the last
// whole one, so that many small runs get no further than a large one. Whatever it does not find the next whole run does.

// Place is where something may have moved, in one of the accounts.
type Place struct {
	Account string
	Ref     connectors.Ref // ID is empty for everything of the kind under the parent
}

// mostPlaces is how many customers are worth looking at one by one; asking what changed is cheaper for more.
const mostPlaces = 20

// Known are those of some places that one of the flow's accounts holds. A message about anything else, such as a customer of another partner,
// moves nothing.
func (e *Engine) Known(ctx context.Context, flow Flow, places []Place) ([]Place, error) {
	var known []Place
	for _, p := range places {
		account := e.Accounts[p.Account]
		if account == nil || p.Account != flow.Vendor && p.Account != flow.PSA {
			continue
		}
		ref := p.Ref
		if kind, ok := account.Descriptor().Kind(ref.Kind); ok && kind.Parent != "" {
			ref = connectors.Ref{Kind: kind.Parent, ID: ref.Parent}
		}
		stored, ok, err := e.Store.Record(ctx, p.Account, ref)
		if err != nil {
			return nil, err
		}
		if ok && stored.Gone.IsZero() {
			known = append(known, p)
		}
	}
	return known, nil
}

// narrow is what a run looks at when it does not look everywhere.
type narrow struct {
	groups []*group
	names  map[string]bool // the customers' labels
}

// mayNarrow reports whether what is stored of both accounts is recent enough to look at some customers only.
func (e *Engine) mayNarrow(ctx context.Context, flow Flow, opts Options) (bool, error) {
	if len(opts.Only) == 0 || len(opts.Only) > mostPlaces || opts.Sweep || opts.Offline || opts.Undo != "" {
		return false, nil
	}
	accounts, err := e.flowSides(ctx, flow)
	if err != nil {
		return false, err
	}
	for _, side := range accounts {
		account, err := e.account(side.account)
		if err != nil {
			return false, err
		}
		due, err := e.sweepDue(ctx, &reading{Account: account}, account.KindsOf(side.nouns...))
		if err != nil || due {
			return false, err
		}
	}
	return true, nil
}

// look plans for the customers of some places, whose records it reads anew.
func (e *Engine) look(ctx context.Context, run *activeRun, flow Flow, places []Place) (plan.Plan, *world, error) {
	var s sides
	into := []**reading{&s.vendor, &s.psa}
	accounts, err := e.flowSides(ctx, flow)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	for i, side := range accounts {
		account, err := e.account(side.account)
		if err != nil {
			return plan.Plan{}, nil, err
		}
		r := &reading{Account: account}
		if err := e.loadGaps(ctx, r, account.KindsOf(side.nouns...)); err != nil {
			return plan.Plan{}, nil, err
		}
		*into[i] = r
	}
	if err := e.readAlone(ctx, run, s, places); err != nil {
		return plan.Plan{}, nil, err
	}
	w, err := e.translate(ctx, flow, s)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	groups, _, err := e.linkCustomers(ctx, w)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	n := &narrow{names: map[string]bool{}}
	for _, g := range groups {
		if w.concerns(g, places) {
			n.groups, n.names[g.label] = append(n.groups, g), true
		}
	}
	run.narrow = n
	if err := e.readGroups(ctx, run, w, n); err != nil {
		return plan.Plan{}, nil, err
	}
	total := plan.Plan{Flow: flow.Name, Partial: w.partial}
	shared := &creations{world: w, plan: &total, products: map[string]string{}, planned: map[string]bool{}}
	if err := e.planGroups(ctx, run, w, n.groups, shared); err != nil {
		return total, nil, err
	}
	total.Findings = append(total.Findings, w.findings...)
	err = e.remember(ctx, run, w, &total)
	total.Sort()
	return total, w, err
}

// readAlone reads the customers that places name themselves, as their own fields may have moved.
func (e *Engine) readAlone(ctx context.Context, run *activeRun, s sides, places []Place) error {
	for _, r := range []*reading{s.vendor, s.psa} {
		reader, ok := r.Connector.(connectors.Reader)
		customers, mapped := r.NativeKind(model.KindCustomer)
		if !ok || !mapped {
			continue
		}
		for _, p := range places {
			if p.Account != r.Name || p.Ref.Kind != customers.Name || p.Ref.ID == "" {
				continue
			}
			rec, err := reader.Read(ctx, p.Ref)
			if connectors.ClassOf(err) == connectors.ClassMissing {
				continue // what is gone the next whole run finds out, and looks at twice
			}
			if err != nil {
				return err
			}
			if _, err := e.Store.UpsertRecords(ctx, r.Name, []connectors.Record{rec}, run.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// concerns reports whether a place is at a customer.
func (w *world) concerns(g *group, places []Place) bool {
	vendor, _ := w.vendor.NativeKind(model.KindCustomer)
	psa, _ := w.psa.NativeKind(model.KindCustomer)
	return slices.ContainsFunc(places, func(p Place) bool {
		under := p.Ref.Parent
		if p.Ref.Kind == vendor.Name || p.Ref.Kind == psa.Name {
			under = p.Ref.ID
		}
		is := func(r model.Record) bool { return r.ID == under }
		switch p.Account {
		case w.vendor.Name:
			return slices.ContainsFunc(g.known(), is)
		case w.psa.Name:
			return g.psa.ID == under || slices.ContainsFunc(w.contracts[g.psa.ID], is)
		}
		return false
	})
}

// readGroups reads the subscriptions and lines of some customers, both sides at once.
func (e *Engine) readGroups(ctx context.Context, run *activeRun, w *world, n *narrow) error {
	var tenants, contracts []string
	for _, g := range n.groups {
		for _, t := range g.known() {
			tenants = append(tenants, t.ID)
		}
		for _, c := range w.contracts[g.psa.ID] {
			contracts = append(contracts, c.ID)
		}
	}
	var both errgroup.Group
	for _, side := range []struct {
		r       *reading
		noun    model.Kind
		parents []string
	}{{w.vendor, model.KindSubscription, tenants}, {w.psa, model.KindLine, contracts}} {
		kind, ok := side.r.NativeKind(side.noun)
		slices.Sort(side.parents)
		parents := slices.Compact(side.parents)
		if !ok || len(parents) == 0 {
			continue
		}
		both.Go(func() error { return e.list(ctx, run, side.r, kind.Name, parents) })
	}
	if err := both.Wait(); err != nil {
		return err
	}
	w.partial = nil
	for _, r := range []*reading{w.vendor, w.psa} {
		for kind, gaps := range r.gaps {
			for _, g := range gaps {
				if g.Parent == "" || slices.Contains(tenants, g.Parent) || slices.Contains(contracts, g.Parent) {
					w.partial = append(w.partial, r.Name+" "+kind+": "+g.Reason)
				}
			}
		}
	}
	slices.Sort(w.partial)
	run.unread = slices.Clone(w.partial)
	return nil
}

// seats is the figure of a whole run that says against how many seats the shares of a run are measured.
const seats = "seats"

// elsewhere fills in what a narrow run did not look at, for the brakes: the seats of all other customers, as the last whole run counted them. And what
// was done since then counts together with this run, even where the flow says that runs are counted alone.
func (e *Engine) elsewhere(ctx context.Context, run *activeRun, w *world) error {
	runs, err := e.Store.Runs(ctx, 500)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.ID == run.ID || r.Kind != state.RunFlow || r.Name != w.flow.Name || r.Trigger == state.TriggerHint || r.Counts[seats] == 0 {
			continue
		}
		here := model.Quantity{}
		for _, q := range w.extent {
			here = here.Add(q)
		}
		if rest := model.NewQuantity(int64(r.Counts[seats])).Sub(here); rest.Sign() > 0 {
			w.extent["\x00"] = rest // no customer is called that
		}
		w.flow.Guards.Together = max(w.flow.Guards.Together, w.now.Sub(r.Started))
		return nil
	}
	w.flow.Guards.Together = max(w.flow.Guards.Together, sweepAfter) // the last whole run is not known
	return nil
}

// tellOf puts into the inbox what a narrow run found, and leaves alone what it did not look at. A held change that waits already stays as it is
// told: its digest to approve is that of a whole plan.
func (e *Engine) tellOf(ctx context.Context, run *activeRun, flow Flow, findings []state.Finding) error {
	open, err := e.Store.Findings(ctx, true, flow.Name)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, f := range open {
		whole := !run.narrow.names[f.Customer] || slices.Contains([]string{string(plan.AmbiguousCustomer), string(plan.NameOnly), string(plan.UnmatchedCustomer)}, f.Kind)
		found := slices.ContainsFunc(findings, func(n state.Finding) bool { return n.Key == f.Key })
		keep[f.Key] = whole || found && plan.Reason(f.Kind).Releasable()
	}
	findings = slices.DeleteFunc(findings, func(f state.Finding) bool { return keep[f.Key] })
	_, err = e.Store.SyncFindings(ctx, flow.Name, run.ID, findings, func(f state.Finding) bool { return keep[f.Key] || len(run.unread) > 0 })
	return err
}
