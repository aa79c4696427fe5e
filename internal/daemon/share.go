package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
)

// runJob asks for a run of a flow or discovery.
type runJob struct {
	Kind    state.RunKind
	Name    string
	Trigger state.Trigger
}

// A job that this daemon cannot do, because its configuration does not have it, rests for elsewhere, so that another may take it. When none did for
// long it is given up: a run until its next time, a part until the next run.
const (
	elsewhere = 15 * time.Second
	runGoesOn = time.Hour
	partGoes  = 10 * time.Minute
)

// pass hands a job on to the other daemons.
func (d *Daemon) pass(age, limit time.Duration, why error) error {
	if !d.several || age > limit {
		return why
	}
	return jobs.Again{After: elsewhere, Err: why}
}

func (d *Daemon) doRun(ctx context.Context, call jobs.Call) (any, error) {
	var r runJob
	if err := json.Unmarshal(call.Body, &r); err != nil {
		return nil, fmt.Errorf("read the job of a run: %w", err)
	}
	d.mu.Lock()
	j := d.jobs[jobKey{r.Kind, r.Name}]
	d.mu.Unlock()
	if j == nil {
		return nil, d.pass(call.Age, runGoesOn, fmt.Errorf("there is no %s %s in the configuration of this daemon", r.Kind, r.Name))
	}
	if r.Trigger == state.TriggerHint {
		return nil, d.follow(ctx, j)
	}
	done := d.first(ctx, j.jobKey)
	defer done()
	if d.several { // another daemon may be following hints, which takes a moment
		if running, ok, err := d.Engine.Store.InProgress(ctx, r.Kind, r.Name); err == nil && ok && running.Trigger == state.TriggerHint {
			return nil, jobs.Again{After: time.Second, Err: fmt.Errorf("run %s follows hints", running.ID)}
		}
	}
	if call.Try > 1 {
		r.Trigger = state.TriggerRetry
		if last, ran, err := d.Engine.Store.LastRun(ctx, r.Kind, r.Name); err != nil {
			return nil, jobs.Retry{Err: err}
		} else if ran && last.State != state.RunError && last.State != state.RunPartial {
			return nil, nil // another run got through meanwhile, or is at it
		}
	}
	run, err := d.execute(ctx, j, r.Trigger)
	switch {
	case ctx.Err() != nil && d.several && run.State == state.RunStopped:
		return nil, jobs.Again{Err: errors.New("this daemon was told to stop; another does the run")}
	case ctx.Err() == nil && (passing(err) || run.passing) && d.farOff(j, 2*jobs.Backoff(call.Try)):
		if call.Try < jobs.Tries {
			d.Log.Info("the failure may pass, so the run is tried again before its next time", zap.String("kind", string(r.Kind)), zap.String("name", r.Name),
				zap.Duration("after", jobs.Backoff(call.Try)), zap.Int("tries left", jobs.Tries-call.Try))
		}
		return nil, jobs.Retry{Err: cmp.Or(err, errors.New(run.Reason))}
	}
	return nil, nil
}

// passing reports that a run failed by what may go away by itself. What a person must mend, or a repetition does not change, waits for the next regular
// run. What was written stands in the journal whatever the run came to, and the next looks there first.
func passing(err error) bool {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return passes(e.Class)
	}
	return errors.Is(err, state.ErrBusy) || errors.Is(err, state.ErrLost)
}

func passes(c connectors.Class) bool {
	return c == connectors.ClassTransient || c == connectors.ClassLimited
}

// unreadPasses reports that a whole kind of record of some accounts could not be read, and may be soon. What is missing of single customers is not worth
// reading everything again.
func (d *Daemon) unreadPasses(ctx context.Context, w Work, accounts ...string) bool {
	for _, name := range accounts {
		kinds, err := w.Engine.WantedKinds(ctx, w.Engine.Accounts[name])
		if err != nil {
			return false // it is tried at its next time
		}
		for _, kind := range kinds {
			gaps, err := w.Engine.Store.Gaps(ctx, name, kind)
			if err != nil {
				return false // it is tried at its next time
			}
			if slices.ContainsFunc(gaps, func(g connectors.Gap) bool { return g.Parent == "" && passes(g.Class) }) {
				return true
			}
		}
	}
	return false
}

// farOff reports that a job's next regular time is further off than soon.
func (d *Daemon) farOff(j *job, soon time.Duration) bool {
	now := d.now()
	next := j.schedule.next(now)
	return next.IsZero() || next.Sub(now) > soon
}

func (d *Daemon) doPart(ctx context.Context, call jobs.Call) (any, error) {
	var p engine.Part
	if err := json.Unmarshal(call.Body, &p); err != nil {
		return nil, fmt.Errorf("read the part of a run: %w", err)
	}
	d.mu.Lock()
	work := d.work
	d.mu.Unlock()
	for _, name := range p.Accounts() {
		if work.Engine.Accounts[name] == nil {
			return nil, d.pass(call.Age, partGoes, fmt.Errorf("account %s is not in the configuration of this daemon", name))
		}
	}
	answer, err := work.Engine.Work(ctx, p)
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("a part of a run failed", zap.String("run", p.Run), zap.Error(err))
	}
	return answer, err
}

// doAlert puts what this daemon knows of all into the inbox.
func (d *Daemon) doAlert(ctx context.Context, _ jobs.Call) (any, error) {
	return nil, d.tell(ctx, d.Health().findings())
}

// spreader has the parts of runs queued for all daemons.
type spreader struct{ d *Daemon }

// Spread implements engine.Spreader.
func (s spreader) Spread(ctx context.Context, _ string, keys []string, part func(i, try int) engine.Part) ([]json.RawMessage, error) {
	return s.d.queue.Do(ctx, jobs.Part, keys, func(i, try int) any { return part(i, try) })
}

// takeOver queues anew what dead processes were doing.
func (d *Daemon) takeOver(ctx context.Context) error {
	if !d.several {
		return nil // the one daemon of a file closed them when it began
	}
	ended, err := d.Engine.Store.EndSilentRuns(ctx)
	if err != nil {
		return err
	}
	for _, r := range ended {
		d.Log.Warn("a run whose process died is taken over", zap.String("kind", string(r.Kind)), zap.String("name", r.Name), zap.String("run", r.ID))
		err := d.queue.Add(ctx, jobs.Job{Kind: jobs.Run, Key: "after " + r.ID, Body: runJob{r.Kind, r.Name, state.TriggerCatchUp}})
		if err != nil {
			return err
		}
	}
	return nil
}

// hear learns how runs ended that other daemons did.
func (d *Daemon) hear(ctx context.Context) error {
	if !d.several {
		return nil
	}
	runs, err := d.Engine.Store.Runs(ctx, 500)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, j := range d.jobs {
		for _, r := range runs {
			if r.Kind == key.kind && r.Name == key.name && r.State != state.RunInProgress && r.State != state.RunStopped && r.Trigger != state.TriggerHint {
				if r.Started.After(j.last) {
					j.last = r.Started
				}
				break
			}
		}
		j.errors, j.reason = streak(runs, key)
	}
	return nil
}
