package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

// activeRun is a run while it goes on. Its counts are written to the store every second, so that another process can watch
// them and see that this one is alive.
type activeRun struct {
	state.Run
	engine *Engine
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu       sync.Mutex
	counts   map[string]int
	unread   []string        // what was not read, in sentences
	narrow   *narrow         // which customers are looked at; nil for all
	lists    map[string]bool // "account kind" listed whole in this run
	watching sync.WaitGroup
}

const watchEvery = time.Second

// begin records that a run starts. The returned context ends when a person asks the run to stop.
func (e *Engine) begin(ctx context.Context, kind state.RunKind, name string, trigger state.Trigger) (*activeRun, context.Context, error) {
	record, err := e.Store.StartRun(ctx, state.Run{Kind: kind, Name: name, Trigger: trigger})
	run := &activeRun{Run: record, engine: e, done: make(chan struct{}), counts: map[string]int{}}
	if err != nil {
		return run, ctx, err
	}
	ctx, run.cancel = context.WithCancelCause(ctx)
	run.watching.Go(func() { run.watch(ctx) })
	return run, ctx, nil
}

// watch writes progress and obeys a request to stop, until the run is done.
func (r *activeRun) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := r.flush(ctx); errors.Is(err, state.ErrOver) {
				// This process was suspended so long that it was taken for dead; another run may be going on.
				r.cancel(err)
			}
			if stop, err := r.engine.Store.StopRequested(ctx, r.ID); err == nil && stop {
				r.cancel(ErrStopped)
			}
		}
	}
}

func (r *activeRun) flush(ctx context.Context) error {
	r.mu.Lock()
	counts := maps.Clone(r.counts)
	r.mu.Unlock()
	return r.engine.Store.Progress(ctx, r.ID, counts)
}

// count sets a figure of the run.
func (r *activeRun) count(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[name] = n
}

// add raises a figure of the run.
func (r *activeRun) add(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[name] += n
}

// missed notes what was not read of an account; it makes the run partial.
func (r *activeRun) missed(side *reading) {
	r.unread = append(r.unread, side.unread()...)
}

// markListed and listed remember which kinds were listed in this run, so that a scan does not follow a sweep.
func (r *activeRun) markListed(account, kind string) {
	if r.lists == nil {
		r.lists = map[string]bool{}
	}
	r.lists[account+" "+kind] = true
}

func (r *activeRun) listed(account, kind string) bool { return r.lists[account+" "+kind] }

// finish records how the run ended. It works even when the run's context has ended.
func (r *activeRun) finish(err error, result Result) state.Run {
	close(r.done)
	r.cancel(nil)
	r.watching.Wait()
	r.State, r.Reason = r.verdict(err, result)
	r.Finished = r.engine.Now().UTC()
	r.Counts = r.counts
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if saveErr := r.engine.Store.FinishRun(ctx, r.ID, r.State, r.Reason, r.counts); saveErr != nil {
		r.engine.Log.Sugar().Errorw("the end of the run could not be recorded", "run", r.ID, "error", saveErr)
	}
	return r.Run
}

func (r *activeRun) verdict(err error, result Result) (state.RunState, string) {
	outcome := result.Outcome
	switch {
	case errors.Is(err, ErrStopped):
		return state.RunStopped, "stopped on request"
	case errors.Is(err, context.Canceled):
		return state.RunStopped, "trueup was told to stop"
	case errors.Is(err, state.ErrNotApproved):
		return state.RunHeld, err.Error()
	case err != nil:
		return state.RunError, err.Error()
	case outcome.Failed+outcome.Unknown > 0:
		return state.RunPartial, fmt.Sprintf("%s: %s; see trueup inbox", notDone(outcome), first(failures(outcome)))
	case len(r.unread) > 0:
		return state.RunPartial, first(r.unread) + "; nothing was lowered or ended there, and the next run reads it again"
	case len(notUnderstood(result.Plan)) > 0:
		return state.RunPartial, first(notUnderstood(result.Plan)) + "; nothing was lowered or ended there; see trueup inbox"
	case len(result.Plan.Held) > 0 && result.Plan.Undoes != "":
		return state.RunHeld, fmt.Sprintf("%d changes of run %s could not be put back; see trueup undo %[2]s", len(result.Plan.Held), result.Plan.Undoes)
	case len(result.Plan.Held) > 0 && onlyFrozen(result.Plan):
		return state.RunHeld, fmt.Sprintf("%d changes wait, since the flow writes nothing that costs now: %s", len(result.Plan.Held), result.Plan.Held[0].Detail)
	case len(result.Plan.Held) > 0:
		return state.RunHeld, fmt.Sprintf("%d changes wait for a person; see trueup inbox", len(result.Plan.Held))
	}
	return state.RunCompleted, ""
}

// onlyFrozen reports that everything that is held waits for the end of a freeze.
func onlyFrozen(p plan.Plan) bool {
	return !slices.ContainsFunc(p.Held, func(h plan.Held) bool { return h.Reason != plan.Frozen })
}

// first is the first of some sentences, and how many more there are.
func first(sentences []string) string {
	if len(sentences) == 1 {
		return sentences[0]
	}
	return fmt.Sprintf("%s (and %d more)", sentences[0], len(sentences)-1)
}

// notDone counts what failed and what is not known.
func notDone(outcome apply.Outcome) string {
	var parts []string
	for _, count := range []struct {
		n         int
		one, many string
	}{{outcome.Failed, "change failed", "changes failed"}, {outcome.Unknown, "change has no known outcome yet", "changes have no known outcome yet"}} {
		switch {
		case count.n == 1:
			parts = append(parts, "1 "+count.one)
		case count.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", count.n, count.many))
		}
	}
	return strings.Join(parts, " and ")
}

// notUnderstood are the titles of what was read and could not be compared, because a value of it makes no sense.
func notUnderstood(p plan.Plan) (titles []string) {
	for _, f := range p.Findings {
		if f.Kind == plan.UnknownStatus || f.Kind == plan.BadValue {
			titles = append(titles, f.Title)
		}
	}
	return titles
}

// failures are why changes were tried and not done.
func failures(outcome apply.Outcome) (sentences []string) {
	for _, f := range outcome.Failures {
		if !f.Skipped {
			sentences = append(sentences, f.Err.Error())
		}
	}
	return sentences
}

// keepPlan saves the plan under its digest, so that it can be shown and reviewed; and, before it, the plan that lets through what
// only the flow's limits hold, and the plans of its single matters, so that people can approve them.
func (e *Engine) keepPlan(ctx context.Context, run *activeRun, within plan.Plan) error {
	if run.narrow != nil { // what is approved is a plan of the whole
		return e.savePlan(ctx, run, within, e.Now())
	}
	released, ok := plan.Release(within)
	for _, ask := range plan.Asks(within) {
		digest := ask.Plan.Digest()
		if _, err := e.Store.Plan(ctx, digest); err == nil || digest == released.Digest() {
			continue
		} else if !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if err := e.savePlan(ctx, run, ask.Plan, e.Now().Add(-time.Second)); err != nil { // so that the plan itself is the latest
			return err
		}
	}
	if ok {
		if err := e.savePlan(ctx, run, released, e.Now()); err != nil {
			return err
		}
	}
	return e.savePlan(ctx, run, within, e.Now())
}

func (e *Engine) savePlan(ctx context.Context, run *activeRun, p plan.Plan, at time.Time) error {
	var body bytes.Buffer
	if err := plan.Render(&body, p, plan.FormatJSON, 0); err != nil {
		return fmt.Errorf("write down the plan: %w", err)
	}
	return e.Store.SavePlan(ctx, p.Digest(), p.Flow, run.ID, at, body.Bytes())
}

// tell puts everything a person should know into the inbox.
func (e *Engine) tell(ctx context.Context, run *activeRun, flow Flow, result *Result) error {
	p := result.Plan
	told, err := e.Store.Told(ctx, flow.Name)
	if err != nil {
		return err
	}
	onTicket := func(matter string) string {
		if t := told[matter]; t.Ticket != "" && t.Closed.IsZero() {
			return "; see ticket " + t.Ticket
		}
		return ""
	}
	var findings []state.Finding
	for _, f := range p.Findings {
		findings = append(findings, state.Finding{Key: f.Key, Kind: string(f.Kind), Customer: f.Customer, Title: f.Title,
			Detail: f.Detail, Next: f.Next + onTicket(matterOf(p.Flow, f)), Money: f.Money.String()})
	}
	release := releaseOf(*result)
	single := map[string]string{}
	if run.narrow != nil {
		release = ""
	}
	for _, ask := range plan.Asks(p) {
		single[ask.Matter] = ask.Plan.Digest()
	}
	for _, h := range p.Held {
		matter, _ := plan.MatterOf(p.Flow, h)
		detail, next := h.Detail, h.Next+onTicket(matter)
		if by := p.Rejected[h.Change.ID]; by != "" {
			detail += "; rejected by " + by
		} else if one := single[matter]; release != "" && one != "" && one != release {
			next += "; to release only this: trueup approve " + one
		}
		if release != "" && h.Reason.Releasable() && p.Rejected[h.Change.ID] == "" {
			next += "; to release the plan as it is: trueup approve " + release
		}
		findings = append(findings, state.Finding{Key: "held-" + h.Change.ID + "-" + string(h.Reason), Kind: string(h.Reason), Customer: h.Change.Customer,
			Title: fmt.Sprintf("held: %s %s: %s", h.Change.Op, h.Change.Label, h.Reason.Sentence()), Detail: detail, Next: next, Money: atStake(h.Change.Effect),
			Since: run.Started}) // before anything this run creates, see measure
	}
	for _, f := range result.Outcome.Failures {
		findings = append(findings, state.Finding{Key: "failed-" + f.Change.ID, Kind: "failed_" + string(f.Class), Customer: f.Change.Customer,
			Title: fmt.Sprintf("not done: %s %s", f.Change.Op, f.Change.Label), Detail: f.Err.Error(), Next: "it is planned again in the next run", Money: atStake(f.Change.Effect)})
	}
	for _, f := range result.Told.Failures {
		findings = append(findings, state.Finding{Key: "told-" + f.Change.ID, Kind: "failed_" + string(f.Class), Customer: f.Change.Customer,
			Title: "not told on the line: " + f.Change.Label, Detail: f.Err.Error(), Next: "the edit itself is not affected; the note is tried again, one that was refused after a day"})
	}
	for _, f := range result.Tickets.Failures {
		findings = append(findings, state.Finding{Key: "ticket-" + f.Change.ID, Kind: "failed_" + string(f.Class), Customer: f.Change.Customer,
			Title: "not written: " + f.Change.Label, Detail: f.Err.Error(), Next: "the matter itself is in this inbox; the ticket is tried again, one that was refused after a day"})
	}
	run.count("changes", len(p.Changes))
	run.count("held", len(p.Held))
	run.count("findings", len(findings))
	run.count("in step", p.Counts.InStep)
	if p.Undoes != "" {
		return nil // what it says about one run is for who asked; the inbox is about how the two sides stand
	}
	if run.narrow != nil {
		return e.tellOf(ctx, run, flow, findings)
	}
	_, err = e.Store.SyncFindings(ctx, flow.Name, run.ID, findings, func(state.Finding) bool {
		return len(run.unread) > 0 // what could not be looked at this time is not settled
	})
	return err
}

// atStake is the larger of what a change does to cost and bill, as an amount.
func atStake(effect plan.Effect) string {
	m := effect.Cost
	if m.Sign() == 0 {
		m = effect.Bill
	}
	if m.Sign() < 0 {
		m = m.Neg()
	}
	if m.Sign() == 0 {
		return ""
	}
	return m.String()
}
