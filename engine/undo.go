package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// undoing is what a run did, and what reading its records again showed.
type undoing struct {
	run   string
	dones []done

	mu     sync.Mutex
	gone   map[string]bool // records that are not there any more, by flightKey
	unread map[string]bool // records that could not be read again
	why    []string        // in sentences: what is not known about the run
}

// done is a change of the run with its last journal entry.
type done struct {
	plan.Change
	entry state.Entry
}

// undo collects what a run did and reads each of its records anew; nil when no run is to be undone.
func (e *Engine) undo(ctx context.Context, run *activeRun, flow Flow, opts Options) (*undoing, error) {
	if opts.Undo == "" {
		return nil, nil
	}
	target, ok, err := e.Store.RunByID(ctx, opts.Undo)
	switch {
	case err != nil:
		return nil, err
	case !ok || target.Kind != state.RunFlow || target.Name != flow.Name:
		return nil, fmt.Errorf("undo: run %s is no run of flow %s; list them with trueup runs", opts.Undo, flow.Name)
	}
	u := &undoing{run: opts.Undo, gone: map[string]bool{}, unread: map[string]bool{}}
	if err := e.collect(ctx, u); err != nil {
		return nil, err
	}
	if err := e.readAgain(ctx, run, u); err != nil {
		return nil, err
	}
	run.unread = append(run.unread, u.why...)
	return u, nil
}

// collect reads the run's changes from the journal, in the order in which they were done. A write that a later run looked for and found
// belongs to the run that had intended it.
func (e *Engine) collect(ctx context.Context, u *undoing) error {
	entries, err := e.Store.Journal(ctx, state.JournalFilter{Run: u.run})
	if err != nil {
		return err
	}
	for _, intended := range entries {
		if intended.State != state.JournalIntended {
			continue
		}
		history, err := e.Store.Journal(ctx, state.JournalFilter{Intent: intended.Intent, Limit: 1})
		if err != nil {
			return err
		}
		last := history[0]
		var c plan.Change
		if err := json.Unmarshal(last.Body, &c); err != nil {
			return fmt.Errorf("read entry %d of the journal: %w", last.Seq, err)
		}
		if c.Reason == plan.Told || c.Tells != nil {
			continue // what people were told stays told
		}
		switch last.State {
		case state.JournalDone:
		case state.JournalIntended, state.JournalSent, state.JournalUnknown:
			u.why = append(u.why, fmt.Sprintf("%s %s: its outcome is not known yet, so it is not undone", last.Op, last.Note))
			continue
		default:
			continue // it changed nothing
		}
		if c.Op == plan.OpCreate {
			c.Target.ID, c.Target.Parent = last.Ref.ID, last.Ref.Parent
			made := &c.Pair.PSA
			if c.Side == plan.Vendor {
				made = &c.Pair.Vendor
			}
			made.ID, made.Parent = last.Ref.ID, last.Ref.Parent
		}
		u.dones = append(u.dones, done{c, last})
	}
	slices.SortFunc(u.dones, func(a, b done) int { return cmp.Compare(a.entry.Seq, b.entry.Seq) })
	return nil
}

// readAgain reads both records of every pair that the run wrote to, because what was listed may be older than what may be taken back.
func (e *Engine) readAgain(ctx context.Context, run *activeRun, u *undoing) error {
	type end struct {
		account string
		ref     plan.Ref
	}
	wanted := map[end]bool{}
	for _, d := range u.dones {
		if d.Pair.Kind != "" {
			wanted[end{d.Pair.VendorAccount, d.Pair.Vendor}] = true
			wanted[end{d.Pair.PSAAccount, d.Pair.PSA}] = true
		}
	}
	var group errgroup.Group
	group.SetLimit(e.workers())
	for at := range wanted {
		account, err := e.account(at.account)
		if err != nil {
			return err
		}
		kind, _ := account.NativeKind(at.ref.Kind)
		reader, ok := account.Connector.(connectors.Reader)
		if !ok || !kind.Can(connectors.AbilityRead) {
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			rec, err := reader.Read(ctx, connectors.Ref{Kind: kind.Name, ID: at.ref.ID, Parent: at.ref.Parent})
			if err == nil {
				_, err = e.Store.UpsertRecords(ctx, account.Name, []connectors.Record{rec}, run.ID)
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			key := flightKey(account.Name, at.ref.Parent, at.ref.ID)
			u.mu.Lock()
			defer u.mu.Unlock()
			if connectors.ClassOf(err) == connectors.ClassMissing {
				u.gone[key] = true
				return nil
			}
			u.unread[key] = true
			u.why = append(u.why, err.Error())
			return nil
		})
	}
	err := group.Wait()
	slices.Sort(u.why)
	return err
}

// planUndo plans to put back what the run changed.
func (e *Engine) planUndo(ctx context.Context, w *world, u *undoing) (plan.Plan, error) {
	groups, _, err := e.linkCustomers(ctx, w)
	if err != nil {
		return plan.Plan{}, err
	}
	stands := map[string]plan.Reversal{} // by link
	for _, g := range groups {
		if ctx.Err() != nil {
			return plan.Plan{}, context.Cause(ctx)
		}
		if err := e.standing(ctx, w, u, g, stands); err != nil {
			return plan.Plan{}, err
		}
	}
	var dones []plan.Reversal
	for _, d := range u.dones {
		r := plan.Reversal{}
		if d.Pair.Kind != "" {
			r = stands[apply.LinkID(w.flow.Name, d.Pair)]
		}
		r.Done = d.Change
		if d.Pair.Kind == model.KindQuoteLine {
			if err := e.takenBack(ctx, w, d, &r); err != nil {
				return plan.Plan{}, err
			}
		}
		if r.Wrote, err = e.wrote(d); err != nil {
			return plan.Plan{}, err
		}
		// The link may lead to another record by now.
		target := r.Pair.Ref.PSA
		if d.Side == plan.Vendor {
			target = r.Pair.Ref.Vendor
		}
		r.Found = r.Found && target.ID == d.Target.ID
		r.Gone = u.gone[flightKey(d.Account, d.Target.Parent, d.Target.ID)]
		dones = append(dones, r)
	}
	p := plan.Reverse(w.flow.Name, u.run, w.today, dones)
	p.Counts.Customers = len(groups)
	p.Partial = append(p.Partial, w.partial...)
	p.Partial = append(p.Partial, u.why...)
	p.Sort()
	return p, nil
}

// wrote is what the record held after a change, as the system answered.
func (e *Engine) wrote(d done) (model.Fields, error) {
	account, err := e.account(d.Account)
	if err != nil {
		return nil, err
	}
	rec := connectors.Record{Kind: d.entry.Ref.Kind, ID: d.entry.Ref.ID, Parent: d.entry.Ref.Parent}
	if err := json.Unmarshal([]byte(d.entry.Reply), &rec.Fields); err != nil {
		return nil, fmt.Errorf("read the reply in entry %d of the journal: %w", d.entry.Seq, err)
	}
	read, _, _ := account.Mapping.ToModel(d.Target.Kind, rec)
	return read.Fields, nil
}

// standing is how a customer's pairs stand now, by link.
func (e *Engine) standing(ctx context.Context, w *world, u *undoing, g *group, stands map[string]plan.Reversal) error {
	if err := e.load(ctx, w, g); err != nil {
		return err
	}
	pairs, _, _, err := e.linkLines(ctx, w, g)
	if err != nil {
		return err
	}
	for _, pairing := range pairs {
		sub, l := pairing.sub, pairing.line
		r := plan.Reversal{Pair: w.comparable(g, pairing, w.pairRef(pairing), lineLabel(sub)), Found: !sub.gone, CanEnd: w.psa.Can(model.KindLine, connectors.AbilityEnd)}
		r.Ended, _ = l.Fields["end"].Day()
		r.Windows = sub.Fields["reducible_until"].Items()
		r.Until, _ = sub.Fields["cancel_until"].Time()
		r.TermEnd, _ = sub.Fields["term_end"].Day()
		if !l.ended(w.today) {
			w.measure(g, pairing)
		}
		r.Pair.Complete = r.Pair.Complete && !sub.broken
		u.judge(&r)
		stands[apply.LinkID(w.flow.Name, r.Pair.Ref)] = r
	}
	for _, s := range g.shapes {
		w.measureShape(g, s)
	}
	for _, pair := range append(w.customerPairs(g, nil), w.contactPairs(g, nil, &plan.Plan{})...) {
		r := plan.Reversal{Pair: pair, Found: true}
		u.judge(&r)
		stands[apply.LinkID(w.flow.Name, pair.Ref)] = r
	}
	return nil
}

// judge takes into account what reading the pair's records again showed.
func (u *undoing) judge(r *plan.Reversal) {
	for _, key := range []string{flightKey(r.Pair.Ref.VendorAccount, r.Pair.Ref.Vendor.Parent, r.Pair.Ref.Vendor.ID), flightKey(r.Pair.Ref.PSAAccount, r.Pair.Ref.PSA.Parent, r.Pair.Ref.PSA.ID)} {
		r.Found = r.Found && !u.gone[key]
		r.Pair.Complete = r.Pair.Complete && !u.unread[key]
	}
}
