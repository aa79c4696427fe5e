package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

// A run is one: it reads, plans and is guarded as a whole, because brakes and digests speak of the whole. What takes long in it are the
// requests, customer by customer. Those are cut into parts that other daemons may work on. A part is known by its run, and
// writes nothing once that run is over. What it came to stands in the store and the journal; its answer only tells of it.

// Spreader has parts of a run worked on, here or by others.
type Spreader interface {
	// Spread returns when all came to an end; an answer is nil where that is not known. part gives the i-th part for its n-th try.
	Spread(ctx context.Context, run string, keys []string, part func(i, try int) Part) ([]json.RawMessage, error)
}

// Part is some customers' share of a run: to read, or to write.
type Part struct {
	Run   string
	Try   int
	Read  *ReadPart  `json:",omitempty"`
	Write *WritePart `json:",omitempty"`
}

// Accounts are those that a part needs.
func (p Part) Accounts() []string {
	var names []string
	if p.Read != nil {
		names = append(names, p.Read.Account)
	}
	if p.Write != nil {
		for _, c := range p.Write.Changes {
			names = append(names, c.Account, c.Pair.VendorAccount, c.Pair.PSAAccount)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// ReadPart lists a kind under some parents.
type ReadPart struct {
	Account, Kind string
	Parents       []string
}

// WritePart applies some customers' changes of a plan.
type WritePart struct {
	Flow, Digest string
	Created      map[string]string // what the run made before, by change
	Changes      []plan.Change
}

// partDone is the answer of a part.
type partDone struct {
	Received int           // records read
	Refused  string        // why the account refused us, which ends the run
	Outcome  apply.Outcome // without its failures
	Failures []partFailure // in place of them
}

type partFailure struct {
	Change  string
	Class   connectors.Class
	Reason  string
	Skipped bool
}

// partSize is how many parents or changes a part has: seconds of work at usual budgets.
const partSize = 50

// Work does a part of a run that another process may have begun.
func (e *Engine) Work(ctx context.Context, p Part) (any, error) {
	ctx, end := e.attend(ctx, p.Run)
	defer end()
	if err := e.Store.Heard(ctx, p.Run); err != nil {
		return nil, err // the run is over: nothing of it is done any more
	}
	if p.Read != nil {
		return e.readPart(ctx, p.Run, *p.Read)
	}
	return e.writePart(ctx, p)
}

// attend shows, while a part is worked on, that its run is alive, and ends the part with the run.
func (e *Engine) attend(ctx context.Context, run string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := e.Store.Heard(ctx, run); errors.Is(err, state.ErrOver) {
					cancel(err)
				}
				if stop, err := e.Store.StopRequested(ctx, run); err == nil && stop {
					cancel(ErrStopped)
				}
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		watching.Wait()
	}
}

// spreadable reports whether the records of a kind are better listed in parts. A connector that learns from its listings must see them itself.
func (e *Engine) spreadable(r *reading, parents []string) bool {
	_, learns := r.Connector.(connectors.Learner)
	return e.Spread != nil && !learns && len(parents) > 2*partSize
}

// listParts lists a kind under all its parents, in parts. Until a part is done, its parents count as not read.
func (e *Engine) listParts(ctx context.Context, run *activeRun, r *reading, kind string, parents []string) error {
	waiting := make([]connectors.Gap, len(parents))
	for i, parent := range parents {
		waiting[i] = connectors.Gap{Parent: parent, Class: connectors.ClassTransient, Reason: "the part of the run that should read it did not come to an end"}
	}
	if err := e.Store.SetGaps(ctx, r.Name, kind, waiting); err != nil {
		return err
	}
	chunks := slices.Collect(slices.Chunk(parents, partSize))
	keys := make([]string, len(chunks))
	for i := range chunks {
		keys[i] = fmt.Sprintf("%s reads %s %s %d", run.ID, r.Name, kind, i)
	}
	answers, err := e.Spread.Spread(ctx, run.ID, keys, func(i, try int) Part {
		return Part{Run: run.ID, Try: try, Read: &ReadPart{r.Name, kind, chunks[i]}}
	})
	if err != nil {
		return err
	}
	received := 0
	for _, answer := range answers {
		var done partDone
		if answer != nil && json.Unmarshal(answer, &done) == nil {
			received += done.Received
		}
		if done.Refused != "" {
			return &connectors.Error{Class: connectors.ClassAuth, Message: done.Refused}
		}
	}
	run.count(r.Name+" "+kind, received)
	run.markListed(r.Name, kind)
	gaps, err := e.Store.Gaps(ctx, r.Name, kind)
	if err != nil {
		return err
	}
	r.gaps[kind] = gaps
	except := []string{}
	for _, g := range gaps {
		except = append(except, g.Parent)
	}
	if slices.Contains(except, "") {
		return nil
	}
	_, err = e.Store.MarkGone(ctx, r.Name, kind, nil, except, run.ID) // those of parents that are gone themselves
	return err
}

func (e *Engine) readPart(ctx context.Context, id string, p ReadPart) (any, error) {
	account, err := e.account(p.Account)
	if err != nil {
		return nil, err
	}
	run := &activeRun{Run: state.Run{ID: id}, engine: e, counts: map[string]int{}}
	r := &reading{Account: account, gaps: map[string][]connectors.Gap{}}
	err = e.list(ctx, run, r, p.Kind, p.Parents)
	if isFatal(err) {
		return partDone{Refused: err.Error()}, nil
	}
	return partDone{Received: run.counts[p.Account+" "+p.Kind]}, err
}

// applyParts writes a plan: what customers share here, then each customer's changes, in parts.
func (e *Engine) applyParts(ctx context.Context, run *activeRun, flow Flow, result Result) (apply.Outcome, error) {
	var shared []plan.Change
	customers := map[string][]plan.Change{}
	for _, c := range result.Plan.Changes {
		if c.Customer == "" {
			shared = append(shared, c)
		} else {
			customers[c.Customer] = append(customers[c.Customer], c)
		}
	}
	own := e.applier(run, flow, result.Digest)
	outcome, err := own.Apply(ctx, shared)
	if err != nil {
		return outcome, err
	}
	var parts [][]plan.Change
	for _, customer := range slices.Sorted(maps.Keys(customers)) {
		if n := len(parts); n > 0 && len(parts[n-1])+len(customers[customer]) <= partSize {
			parts[n-1] = append(parts[n-1], customers[customer]...)
		} else {
			parts = append(parts, customers[customer])
		}
	}
	keys := make([]string, len(parts))
	for i := range parts {
		keys[i] = fmt.Sprintf("%s writes %d", run.ID, i)
	}
	answers, err := e.Spread.Spread(ctx, run.ID, keys, func(i, try int) Part {
		return Part{Run: run.ID, Try: try, Write: &WritePart{flow.Name, result.Digest, own.Created(), parts[i]}}
	})
	if err != nil {
		return outcome, err
	}
	for i, answer := range answers {
		var done partDone
		if answer == nil || json.Unmarshal(answer, &done) != nil {
			if done, err = e.fromJournal(ctx, run.ID, parts[i]); err != nil {
				return outcome, err
			}
		}
		outcome = outcome.Plus(done.outcome(parts[i]))
	}
	return outcome, nil
}

// writePart applies a part. What an earlier try of it began is looked at first, and what that settled is not done again.
func (e *Engine) writePart(ctx context.Context, p Part) (any, error) {
	run := &activeRun{Run: state.Run{ID: p.Run}, engine: e, counts: map[string]int{}}
	applier := e.applier(run, Flow{Name: p.Write.Flow}, p.Write.Digest)
	applier.Made = maps.Clone(p.Write.Created)
	changes, settled := p.Write.Changes, partDone{}
	if p.Try > 1 {
		if err := applier.RecoverOnly(ctx, changes); err != nil {
			return nil, err
		}
		var err error
		if settled, changes, err = e.settled(ctx, p.Run, changes, applier); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(changes, plan.InOrder)
	outcome, err := applier.Apply(ctx, changes)
	if err != nil {
		return nil, err
	}
	done := partDone{Outcome: outcome, Failures: settled.Failures}
	done.Outcome.Done += settled.Outcome.Done
	done.Outcome.Failed += settled.Outcome.Failed
	done.Outcome.Unknown += settled.Outcome.Unknown
	for _, f := range outcome.Failures {
		done.Failures = append(done.Failures, partFailure{f.Change.ID, f.Class, f.Err.Error(), f.Skipped})
	}
	done.Outcome.Failures = nil
	return done, nil
}

// settled takes out of changes what the journal has an outcome of in this run, or does not know the outcome of.
func (e *Engine) settled(ctx context.Context, run string, changes []plan.Change, applier *apply.Applier) (partDone, []plan.Change, error) {
	last, err := e.lastEntries(ctx, run)
	if err != nil {
		return partDone{}, nil, err
	}
	var done partDone
	left := slices.DeleteFunc(slices.Clone(changes), func(c plan.Change) bool {
		entry, known := last[c.ID]
		if !known || entry.State == state.JournalAbandoned {
			return false
		}
		if entry.State == state.JournalDone {
			applier.Made[c.ID] = entry.Ref.ID
		}
		done.add(c, entry)
		return true
	})
	return done, left, nil
}

// fromJournal is what became of a part that nobody told of.
func (e *Engine) fromJournal(ctx context.Context, run string, changes []plan.Change) (partDone, error) {
	last, err := e.lastEntries(ctx, run)
	var done partDone
	for _, c := range changes {
		if entry, known := last[c.ID]; known && entry.State != state.JournalAbandoned {
			done.add(c, entry)
			continue
		}
		done.Outcome.Skipped++
		done.Failures = append(done.Failures, partFailure{c.ID, connectors.ClassTransient, "not tried: the part of the run that should write it did not come to an end", true})
	}
	return done, err
}

// add counts a change by the journal's last word on it.
func (d *partDone) add(c plan.Change, entry state.Entry) {
	switch entry.State {
	case state.JournalDone:
		d.Outcome.Done++
		return
	case state.JournalFailed:
		d.Outcome.Failed++
	default:
		d.Outcome.Unknown++
	}
	d.Failures = append(d.Failures, partFailure{c.ID, cmp.Or(entry.Class, connectors.ClassUnknown), entry.Note, false})
}

// lastEntries are the journal's last words of a run, by change.
func (e *Engine) lastEntries(ctx context.Context, run string) (map[string]state.Entry, error) {
	entries, err := e.Store.Journal(ctx, state.JournalFilter{Run: run})
	last := map[string]state.Entry{}
	seen := map[string]bool{}
	for _, entry := range entries { // newest first
		var c struct{ ID string }
		if seen[entry.Intent] || json.Unmarshal(entry.Body, &c) != nil {
			continue
		}
		seen[entry.Intent] = true
		if _, newer := last[c.ID]; !newer {
			last[c.ID] = entry
		}
	}
	return last, err
}

// outcome is the answer with the changes it speaks of.
func (d partDone) outcome(changes []plan.Change) apply.Outcome {
	out := d.Outcome
	for _, f := range d.Failures {
		if i := slices.IndexFunc(changes, func(c plan.Change) bool { return c.ID == f.Change }); i >= 0 {
			out.Failures = append(out.Failures, apply.Failure{Change: changes[i], Class: f.Class, Err: errors.New(f.Reason), Skipped: f.Skipped})
		}
	}
	return out
}
