package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

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

// elsewhere is how long a job rests that this daemon cannot do, because its configuration does not have it, so that another may take it.
const elsewhere = 15 * time.Second

func (d *Daemon) doRun(ctx context.Context, body json.RawMessage) (any, error) {
	var r runJob
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fmt.Errorf("read the job of a run: %w", err)
	}
	d.mu.Lock()
	j := d.jobs[jobKey{r.Kind, r.Name}]
	d.mu.Unlock()
	if j == nil {
		return nil, fmt.Errorf("there is no %s %s in the configuration of this daemon", r.Kind, r.Name)
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
	d.execute(ctx, j, r.Trigger)
	return nil, nil
}

func (d *Daemon) doPart(ctx context.Context, body json.RawMessage) (any, error) {
	var p engine.Part
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("read the part of a run: %w", err)
	}
	d.mu.Lock()
	work := d.work
	d.mu.Unlock()
	if p.Read != nil && work.Engine.Accounts[p.Read.Account] == nil {
		return nil, jobs.Again{After: elsewhere, Err: fmt.Errorf("account %s is not in the configuration of this daemon", p.Read.Account)}
	}
	answer, err := work.Engine.Work(ctx, p)
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("a part of a run failed", zap.String("run", p.Run), zap.Error(err))
	}
	return answer, err
}

// doAlert puts what this daemon knows of all into the inbox.
func (d *Daemon) doAlert(ctx context.Context, _ json.RawMessage) (any, error) {
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
