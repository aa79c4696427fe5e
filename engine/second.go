package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/trueup-sync/trueup/connectors"
)

// fewMissing is up to how many records are read alone before anything is listed a second time.
const fewMissing = 10

// lookAgain looks a second time at what a listing left out and the store knows, before it is called gone: systems answer short now and
// then, and say nothing. It asks only when something is missing, so that a quiet run costs nothing, and at most once for a listing.
//
// A few records are read alone. Where the system knows none of them any more, they are gone. Otherwise the listing is asked for again, as a
// whole or under the parents that lost something. What only the second listing shows is there; the two disagree, so its place is a gap until a
// later run. What both leave out is outside what the account lists, even where it can be read: a company may have been given to somebody else.
func (e *Engine) lookAgain(ctx context.Context, run *activeRun, r *reading, request connectors.ListRequest, parents []string, first connectors.Listing) (connectors.Listing, error) {
	except := []string{}
	for _, g := range first.Gaps {
		if g.Parent == "" {
			return first, nil // nothing is gone from this listing anyway
		}
		except = append(except, g.Parent)
	}
	missing, err := e.Store.NotSeen(ctx, r.Name, request.Kind, parents, except, run.ID)
	if err != nil {
		return first, err
	}
	described, _ := r.Descriptor().Kind(request.Kind)
	if described.Parent != "" {
		// The parents that are gone themselves were looked for twice already; nobody lists under them.
		missing = slices.DeleteFunc(missing, func(ref connectors.Ref) bool { return !slices.Contains(request.Parents, ref.Parent) })
	}
	if len(missing) == 0 {
		return first, nil
	}
	run.add("looked at again", len(missing))
	if gone, err := e.allGone(ctx, r, described, missing); gone || err != nil {
		return first, err
	}
	if described.Parent != "" {
		request.Parents = nil
		for _, ref := range missing { // in the order of their parents
			request.Parents = append(request.Parents, ref.Parent)
		}
		request.Parents = slices.Compact(request.Parents)
	}
	var pending []connectors.Record
	store := func() error {
		_, err := e.Store.UpsertRecords(ctx, r.Name, pending, run.ID)
		pending = pending[:0]
		return err
	}
	second, err := r.Connector.(connectors.Lister).List(ctx, request, func(rec connectors.Record) error {
		if pending = append(pending, rec); len(pending) < batch {
			return nil
		}
		return store()
	})
	if storeErr := store(); err == nil {
		err = storeErr
	}
	switch {
	case ctx.Err() != nil:
		return first, context.Cause(ctx)
	case err != nil && isFatal(err):
		return first, err
	case err != nil: // what was missing was seen by nobody a second time
		first.Gaps = append(first.Gaps, gapsOf(request.Parents, connectors.ClassOf(err),
			fmt.Sprintf("%d %s records of %s were not listed, and a second look failed: %s", len(missing), request.Kind, r.Name, err))...)
		return first, nil
	}
	first.Gaps = append(first.Gaps, second.Gaps...)
	still, err := e.Store.NotSeen(ctx, r.Name, request.Kind, parents, except, run.ID)
	if err != nil {
		return first, err
	}
	back := map[string]int{}
	for _, ref := range missing {
		if !slices.Contains(still, ref) {
			back[ref.Parent]++
		}
	}
	for _, parent := range append(request.Parents, "") {
		if back[parent] > 0 {
			first.Gaps = append(first.Gaps, connectors.Gap{Parent: parent, Class: connectors.ClassTransient,
				Reason: fmt.Sprintf("%s listed %s twice and gave two answers: %d were missing from the first and in the second; run again", r.Name, request.Kind, back[parent])})
		}
	}
	return first, nil
}

// allGone reads a few records alone and reports that the system knows none of them any more. Doubt is no answer: it is false then.
func (e *Engine) allGone(ctx context.Context, r *reading, kind connectors.Kind, missing []connectors.Ref) (bool, error) {
	reader, ok := r.Connector.(connectors.Reader)
	if !ok || !kind.Can(connectors.AbilityRead) || len(missing) > fewMissing {
		return false, nil
	}
	for _, ref := range missing {
		_, err := reader.Read(ctx, ref)
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case err == nil || connectors.ClassOf(err) != connectors.ClassMissing:
			return false, nil // it is there, or it was refused: listing again tells
		}
	}
	return true, nil
}

// gapsOf is one gap for each parent, or one for the whole kind where there are none.
func gapsOf(parents []string, class connectors.Class, reason string) (gaps []connectors.Gap) {
	if len(parents) == 0 {
		return []connectors.Gap{{Class: class, Reason: reason}}
	}
	for _, parent := range parents {
		gaps = append(gaps, connectors.Gap{Parent: parent, Class: class, Reason: reason})
	}
	return gaps
}
