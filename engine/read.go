package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// reading is one account and how far its stored records can be believed.
type reading struct {
	*apply.Account
	gaps map[string][]connectors.Gap // by native kind
}

// complete reports whether the records of a kind under a parent ("" for the whole kind) were all read.
func (r *reading) complete(kind, parent string) bool {
	for _, g := range r.gaps[kind] {
		if g.Parent == "" || g.Parent == parent {
			return false
		}
	}
	return true
}

// unread says in sentences what was not read, sorted.
func (r *reading) unread() []string {
	var sentences []string
	for kind, gaps := range r.gaps {
		for _, g := range gaps {
			sentences = append(sentences, fmt.Sprintf("%s %s: %s", r.Name, kind, g.Reason))
		}
	}
	slices.Sort(sentences)
	return sentences
}

// sweepAfter is how old a full sweep may be before a run sweeps by itself: half a day and some slack, so that the scheduled
// sweeps normally come first.
const sweepAfter = 25 * time.Hour

// batch is how many records are kept in memory before they are stored.
const batch = 500

// Discover sweeps an account: every mapped kind that some flow may want is listed whole.
func (e *Engine) Discover(ctx context.Context, name string, trigger state.Trigger) (state.Run, error) {
	account, err := e.account(name)
	if err != nil {
		return state.Run{}, err
	}
	run, ctx, err := e.begin(ctx, state.RunDiscovery, name, trigger)
	if err != nil {
		return run.Run, err
	}
	r := &reading{Account: account}
	kinds, err := e.WantedKinds(ctx, account)
	if err == nil {
		err = whyStopped(ctx, e.sweep(ctx, run, r, kinds))
	}
	run.missed(r)
	return run.finish(err, Result{}), err
}

// flowSide is an account of a flow and what is read of it.
type flowSide struct {
	account string
	nouns   []model.Kind
}

// flowSides are the vendor's and the PSA's. Contacts and quotes are read only where the flow has a use for them.
func (e *Engine) flowSides(ctx context.Context, flow Flow) ([]flowSide, error) {
	psa := append([]model.Kind{model.KindCustomer, model.KindProduct, model.KindContract, model.KindLine}, flow.Quotes.nouns()...)
	people, err := e.wantsPeople(ctx, flow)
	if people {
		psa = append(psa, model.KindContact)
	}
	return []flowSide{{flow.Vendor, []model.Kind{model.KindCustomer, model.KindProduct, model.KindSubscription}}, {flow.PSA, psa}}, err
}

// read brings the store up to date with both accounts.
func (e *Engine) read(ctx context.Context, run *activeRun, flow Flow, opts Options) (sides, error) {
	var s sides
	into := []**reading{&s.vendor, &s.psa}
	sides, err := e.flowSides(ctx, flow)
	if err != nil {
		return s, err
	}
	for i, side := range sides {
		account, err := e.account(side.account)
		if err != nil {
			return s, err
		}
		r := &reading{Account: account}
		*into[i] = r
		if err := e.refresh(ctx, run, r, account.KindsOf(side.nouns...), opts); err != nil {
			return s, fmt.Errorf("read %s: %w", side.account, err)
		}
		if !opts.Offline && flow.followsCustomers() {
			if err := e.renewDetails(ctx, run, r); err != nil {
				return s, fmt.Errorf("read %s: %w", side.account, err)
			}
		}
		run.missed(r)
	}
	return s, nil
}

// refresh reads what changed, where a change feed can be trusted, and lists the rest.
func (e *Engine) refresh(ctx context.Context, run *activeRun, r *reading, kinds []string, opts Options) error {
	if err := e.loadGaps(ctx, r, kinds); err != nil {
		return err
	}
	cursor, _, err := e.Store.Cursor(ctx, r.Name)
	if err != nil {
		return err
	}
	due, err := e.sweepDue(ctx, r, kinds)
	switch {
	case err != nil:
		return err
	case opts.Offline:
		if due && cursor == "" {
			return fmt.Errorf("account %s was never read; run trueup discover %s first", r.Name, r.Name)
		}
		return nil
	case opts.Sweep || due || cursor == "" || !r.HasFeed():
		return e.sweep(ctx, run, r, kinds)
	}
	return e.follow(ctx, run, r, kinds, cursor)
}

func (e *Engine) sweepDue(ctx context.Context, r *reading, kinds []string) (bool, error) {
	for _, kind := range kinds {
		at, ok, err := e.Store.Swept(ctx, r.Name, kind)
		if err != nil {
			return false, err
		}
		if !ok || e.Now().Sub(at) > sweepAfter {
			return true, nil
		}
	}
	return false, nil
}

// sweep lists every kind whole. The feed's position is taken before, and the feed is followed once after, so that what
// moves while we look is not lost.
func (e *Engine) sweep(ctx context.Context, run *activeRun, r *reading, kinds []string) error {
	r.gaps = map[string][]connectors.Gap{}
	var cursor string
	if feed, ok := r.Connector.(connectors.ChangeFeed); ok {
		start, err := feed.Changes(ctx, "")
		if err != nil {
			return err
		}
		cursor = start.Cursor
	}
	for _, kind := range kinds {
		if err := e.list(ctx, run, r, kind, nil); err != nil {
			return err
		}
		if r.complete(kind, "") {
			if err := e.Store.SetSwept(ctx, r.Name, kind, e.Now()); err != nil {
				return err
			}
		}
	}
	if cursor == "" {
		return nil
	}
	return e.follow(ctx, run, r, kinds, cursor)
}

// follow reads what the change feed tells, what it cannot tell, and what was missing last time.
func (e *Engine) follow(ctx context.Context, run *activeRun, r *reading, kinds []string, cursor string) error {
	feed := r.Connector.(connectors.ChangeFeed)
	changes, err := feed.Changes(ctx, cursor)
	if err != nil {
		return err
	}
	wanted := slices.DeleteFunc(slices.Clone(changes.Records), func(rec connectors.Record) bool { return !slices.Contains(kinds, rec.Kind) })
	if _, err := e.Store.UpsertRecords(ctx, r.Name, wanted, run.ID); err != nil {
		return err
	}
	for _, kind := range kinds {
		parents, whole := []string{}, false
		for _, relist := range changes.Relist {
			if relist.Kind == kind {
				parents = append(parents, relist.Parents...)
			}
		}
		if !run.listed(r.Name, kind) {
			for _, gap := range r.gaps[kind] {
				parents = append(parents, gap.Parent)
				whole = whole || gap.Parent == ""
			}
			_, scan := changes.Scan[kind]
			whole = whole || scan
		}
		slices.Sort(parents)
		parents, err = e.oursOf(ctx, r, kind, slices.Compact(parents))
		if err != nil {
			return err
		}
		switch {
		case whole:
			err = e.list(ctx, run, r, kind, nil)
		case len(parents) > 0:
			err = e.list(ctx, run, r, kind, parents)
		}
		if err != nil {
			return err
		}
	}
	if learner, ok := r.Connector.(connectors.Learner); ok {
		changes.Cursor = learner.Learnt(changes.Cursor)
	}
	return e.Store.SetCursor(ctx, r.Name, changes.Cursor)
}

// oursOf leaves out the parents that are not this account's, and forgets what was not read of them. A feed may tell of those
// of another reseller, or of a customer that left. Where the parents were not all read, any of them may be ours.
func (e *Engine) oursOf(ctx context.Context, r *reading, kind string, parents []string) ([]string, error) {
	described, _ := r.Descriptor().Kind(kind)
	if len(parents) == 0 || described.Parent == "" || !r.complete(described.Parent, "") {
		return parents, nil
	}
	ids, err := e.liveIDs(ctx, r.Name, described.Parent)
	known := map[string]bool{"": true} // "" is a gap of the whole kind
	for _, id := range ids {
		known[id] = true
	}
	r.gaps[kind] = slices.DeleteFunc(r.gaps[kind], func(g connectors.Gap) bool { return !known[g.Parent] })
	return slices.DeleteFunc(parents, func(id string) bool { return !known[id] }), err
}

// list reads a kind, whole or under some parents, into the store, and marks what is gone where the listing proves it.
func (e *Engine) list(ctx context.Context, run *activeRun, r *reading, kind string, parents []string) error {
	lister, ok := r.Connector.(connectors.Lister)
	if !ok {
		return fmt.Errorf("system %s cannot list %s", r.Descriptor().System, kind)
	}
	whole := parents == nil
	// What the store holds is the total to expect, and what makes an empty answer unbelievable.
	known, err := e.Store.CountRecords(ctx, r.Name, kind, parents...)
	if err != nil {
		return err
	}
	request := connectors.ListRequest{Kind: kind, Parents: parents}
	if k, _ := r.Descriptor().Kind(kind); whole && k.Parent != "" {
		if request.Parents, err = e.liveIDs(ctx, r.Name, k.Parent); err != nil {
			return err
		}
	}
	if whole && e.spreadable(r, request.Parents) {
		return e.listParts(ctx, run, r, kind, request.Parents)
	}
	step := fmt.Sprintf("reading %s %s", r.Name, kind)
	var pending []connectors.Record
	received := 0
	described, _ := r.Descriptor().Kind(kind)
	store := func() error {
		if described.Detail {
			if err := e.keepDetails(ctx, r, pending); err != nil {
				return err
			}
		}
		_, err := e.Store.UpsertRecords(ctx, r.Name, pending, run.ID)
		pending = pending[:0]
		run.count(r.Name+" "+kind, received)
		e.tellProgress(Progress{Run: run.ID, Step: step, Done: received, Total: known})
		return err
	}
	listing, err := lister.List(ctx, request, func(rec connectors.Record) error {
		pending = append(pending, rec)
		received++
		if len(pending) < batch {
			return nil
		}
		return store()
	})
	if storeErr := store(); err == nil {
		err = storeErr
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && (isFatal(err) || connectors.ClassOf(err) == connectors.ClassInvalid || whole && known == 0):
		return err
	case err != nil:
		listing.Gaps = append(listing.Gaps, connectors.Gap{Class: connectors.ClassOf(err), Reason: err.Error()})
	}
	if received == 0 && known > 0 && listing.Complete() {
		gone, err := e.missed(ctx, r, kind, parents)
		if err != nil {
			return err
		}
		if !gone {
			listing.Gaps = emptyHanded(r.Name, kind, parents, known)
		}
	}
	if listing, err = e.lookAgain(ctx, run, r, request, parents, listing); err != nil {
		return err
	}
	if err := refuseBlind(listing); err != nil {
		return err
	}
	if whole {
		run.markListed(r.Name, kind)
	}
	if err := e.settleListing(ctx, run, r, kind, parents, listing); err != nil {
		return err
	}
	if whole && described.Detail {
		linked, err := e.Store.LinkedIDs(ctx, r.Name, kind)
		if err != nil {
			return err
		}
		return e.readDetails(ctx, run, r, kind, func(id string) bool { return !linked[id] })
	}
	return nil
}

// keepDetails completes records of a listing with what was known of them from reading them alone: a listing that leaves a field out does
// not say that it is empty.
func (e *Engine) keepDetails(ctx context.Context, r *reading, records []connectors.Record) error {
	for i, rec := range records {
		stored, known, err := e.Store.Record(ctx, r.Name, connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent})
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		records[i].Fields = rec.Fields.Clone()
		for field, v := range stored.Fields {
			if _, told := rec.Fields[field]; !told {
				records[i].Fields[field] = v
			}
		}
	}
	return nil
}

// detailsAfter is how old what was read of linked customers alone may be, where the flow follows it: a feed tells of the changes in between.
const detailsAfter = 24 * time.Hour

// renewDetails reads the linked customers of an account alone, once a day.
func (e *Engine) renewDetails(ctx context.Context, run *activeRun, r *reading) error {
	kind, _ := r.NativeKind(model.KindCustomer)
	if !kind.Detail {
		return nil
	}
	mark := kind.Name + " details"
	at, ok, err := e.Store.Swept(ctx, r.Name, mark)
	if err != nil || ok && e.Now().Sub(at) < detailsAfter {
		return err
	}
	linked, err := e.Store.LinkedIDs(ctx, r.Name, kind.Name)
	if err != nil {
		return err
	}
	if err := e.readDetails(ctx, run, r, kind.Name, func(id string) bool { return linked[id] }); err != nil {
		return err
	}
	return e.Store.SetSwept(ctx, r.Name, mark, e.Now())
}

// readDetails reads some records alone: those that no link knows yet, because a listing leaves out what they could be recognised by, and
// those whose details the flow follows. One that cannot be read keeps what is known of it.
func (e *Engine) readDetails(ctx context.Context, run *activeRun, r *reading, kind string, wanted func(id string) bool) error {
	reader, ok := r.Connector.(connectors.Reader)
	if !ok {
		return nil
	}
	ids, err := e.liveIDs(ctx, r.Name, kind)
	if err != nil {
		return err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !wanted(id) })
	var group errgroup.Group
	group.SetLimit(e.workers())
	var done atomic.Int64
	for _, id := range ids {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			rec, err := reader.Read(ctx, connectors.Ref{Kind: kind, ID: id})
			if err != nil {
				e.Log.Sugar().Infow("details could not be read", "run", run.ID, "account", r.Name, "kind", kind, "id", id, "error", err)
				return nil
			}
			e.tellProgress(Progress{Run: run.ID, Step: fmt.Sprintf("reading %s %s details", r.Name, kind), Done: int(done.Add(1)), Total: len(ids)})
			_, err = e.Store.UpsertRecords(ctx, r.Name, []connectors.Record{rec}, run.ID)
			return err
		})
	}
	return group.Wait()
}

// missed reports whether the system, asked for every record that was known under some parents, says of each by its id that it is not there.
// That is what an empty answer alone does not say. A whole kind is never asked for like that.
func (e *Engine) missed(ctx context.Context, r *reading, kind string, parents []string) (bool, error) {
	reader, ok := r.Connector.(connectors.Reader)
	described, _ := r.Descriptor().Kind(kind)
	if !ok || parents == nil || !described.Can(connectors.AbilityRead) {
		return false, nil
	}
	var known []connectors.Ref
	err := e.Store.Records(ctx, r.Name, kind, state.RecordFilter{Parents: parents}, func(s state.Stored) error {
		known = append(known, connectors.Ref{Kind: kind, ID: s.ID, Parent: s.Parent})
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, ref := range known {
		_, err := reader.Read(ctx, ref)
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case err == nil || connectors.ClassOf(err) != connectors.ClassMissing:
			return false, nil
		}
	}
	return true, nil
}

// emptyHanded are the gaps of a listing that gave nothing where there was something: of the whole kind, or of each parent asked for. Only a
// later listing that gives something else of the kind, or asking for each record by its id, can show that they are empty.
func emptyHanded(account, kind string, parents []string, known int) (gaps []connectors.Gap) {
	reason := fmt.Sprintf("%s listed no %s at all, and %d were there before; an empty answer is not believed", account, kind, known)
	return gapsOf(parents, connectors.ClassTransient, reason)
}

// refuseBlind turns a listing that failed for want of rights into an error: a token that sees nobody is not an empty world.
func refuseBlind(listing connectors.Listing) error {
	for _, g := range listing.Gaps {
		if g.Parent == "" && g.Class == connectors.ClassAuth {
			return &connectors.Error{Class: connectors.ClassAuth, Message: g.Reason}
		}
	}
	return nil
}

// settleListing marks records gone where their absence proves it and keeps the gaps for the next run.
func (e *Engine) settleListing(ctx context.Context, run *activeRun, r *reading, kind string, parents []string, listing connectors.Listing) error {
	except, whole := []string{}, true
	for _, g := range listing.Gaps {
		except = append(except, g.Parent)
		whole = whole && g.Parent != ""
		e.Log.Sugar().Warnw("incomplete read", "run", run.ID, "account", r.Name, "kind", kind, "parent", g.Parent, "class", g.Class, "reason", g.Reason)
	}
	if whole {
		if _, err := e.Store.MarkGone(ctx, r.Name, kind, parents, except, run.ID); err != nil {
			return err
		}
	}
	kept := slices.Clone(listing.Gaps)
	for _, old := range r.gaps[kind] {
		// Gaps of parents that were not looked at this time stay.
		if parents != nil && !slices.Contains(parents, old.Parent) {
			kept = append(kept, old)
		}
	}
	r.gaps[kind] = kept
	if parents != nil { // other processes may be reading other parents
		return e.Store.SetGapsUnder(ctx, r.Name, kind, parents, listing.Gaps)
	}
	return e.Store.SetGaps(ctx, r.Name, kind, kept)
}

func (e *Engine) loadGaps(ctx context.Context, r *reading, kinds []string) error {
	r.gaps = map[string][]connectors.Gap{}
	for _, kind := range kinds {
		gaps, err := e.Store.Gaps(ctx, r.Name, kind)
		if err != nil {
			return err
		}
		r.gaps[kind] = gaps
	}
	return nil
}

func (e *Engine) liveIDs(ctx context.Context, account, kind string) ([]string, error) {
	ids := []string{}
	err := e.Store.Records(ctx, account, kind, state.RecordFilter{}, func(s state.Stored) error {
		ids = append(ids, s.ID)
		return nil
	})
	return ids, err
}
