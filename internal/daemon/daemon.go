// Package daemon runs flows and discoveries when their schedules say so, until it is told to stop.
//
// One daemon works on a SQLite file: it holds a lease in the store and renews it, and a second one is refused with the
// name of the first. A run whose time passed while no daemon was running is caught up once, however many were missed. A
// run that is still going on when its time comes again is not doubled; the second is recorded as skipped. Being told to
// stop lets the writes in flight finish.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/state"
)

// Daemon is everything that is run on a schedule.
type Daemon struct {
	Engine    *engine.Engine
	Flows     []engine.Flow
	Discovers map[string]string // account name -> cron
	Log       *zap.Logger
	Ready     func()                         // called once the lease is held and the schedules run; may be nil
	Finished  func(run state.Run, err error) // called after each run; may be nil

	running sync.WaitGroup
}

// renewEvery is well under the life of a lease.
const renewEvery = 10 * time.Second

// Run works until ctx ends, then waits for what is in flight. It fails at once when another daemon holds the store, and when
// it loses its lease.
func (d *Daemon) Run(ctx context.Context) error {
	store := d.Engine.Store
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	lock, err := store.Lock(ctx, fmt.Sprintf("trueup run, process %d on %s", os.Getpid(), host))
	if err != nil {
		return err
	}
	defer func() {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := lock.Release(release); err != nil {
			d.Log.Warn("the lease could not be given back; it expires by itself", zap.Error(err))
		}
	}()
	if n, err := store.AbandonRuns(ctx, "the daemon that ran it ended without saying so"); err != nil {
		return err
	} else if n > 0 {
		d.Log.Info("interrupted runs were closed", zap.Int("runs", n))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	schedule, err := d.schedule(ctx)
	if err != nil {
		return err
	}
	schedule.Start()
	if d.Ready != nil {
		d.Ready()
	}
	err = d.hold(ctx, lock)
	cancel(err)
	<-schedule.Stop().Done()
	d.running.Wait()
	return err
}

// hold renews the lease until ctx ends.
func (d *Daemon) hold(ctx context.Context, lock *state.Lock) error {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := lock.Renew(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("stop, because the lease is lost: %w", err)
			}
		}
	}
}

// job is one thing with a schedule.
type job struct {
	kind state.RunKind
	name string
	spec string
	run  func(ctx context.Context, trigger state.Trigger) (state.Run, error)
}

func (d *Daemon) jobs() []job {
	var jobs []job
	for name, spec := range d.Discovers {
		jobs = append(jobs, job{state.RunDiscovery, name, spec, func(ctx context.Context, trigger state.Trigger) (state.Run, error) {
			return d.Engine.Discover(ctx, name, trigger)
		}})
	}
	for _, flow := range d.Flows {
		jobs = append(jobs, job{state.RunFlow, flow.Name, flow.Schedule, func(ctx context.Context, trigger state.Trigger) (state.Run, error) {
			result, err := d.Engine.Run(ctx, flow, engine.Options{Trigger: trigger, Apply: flow.Mode == engine.ModeWrite})
			return result.Run, err
		}})
	}
	return jobs
}

// schedule prepares the jobs and starts what was missed.
func (d *Daemon) schedule(ctx context.Context) (*cron.Cron, error) {
	c := cron.New(cron.WithLocation(d.Engine.Location))
	for _, j := range d.jobs() {
		spec, err := cron.ParseStandard(j.spec)
		if err != nil {
			return nil, fmt.Errorf("schedule %q of %s %s: %w", j.spec, j.kind, j.name, err)
		}
		c.Schedule(spec, cron.FuncJob(func() { d.execute(ctx, j, state.TriggerSchedule) }))
		missed, err := d.missed(ctx, j, spec)
		if err != nil {
			return nil, err
		}
		if missed {
			d.running.Go(func() { d.execute(ctx, j, state.TriggerCatchUp) })
		}
	}
	return c, nil
}

// missed reports that a job's time came after its last run and before now. A job that never ran is due.
func (d *Daemon) missed(ctx context.Context, j job, spec cron.Schedule) (bool, error) {
	last, ok, err := d.Engine.Store.LastRun(ctx, j.kind, j.name)
	if err != nil {
		return false, err
	}
	return !ok || !spec.Next(last.Started.In(d.Engine.Location)).After(d.Engine.Now()), nil
}

func (d *Daemon) execute(ctx context.Context, j job, trigger state.Trigger) {
	if ctx.Err() != nil {
		return
	}
	log := d.Log.With(zap.String("kind", string(j.kind)), zap.String("name", j.name), zap.String("trigger", string(trigger)))
	run, err := j.run(ctx, trigger)
	if d.Finished != nil {
		d.Finished(run, err)
	}
	switch {
	case errors.Is(err, state.ErrRunning):
		log.Info("skipped: the last one is still going on", zap.String("run", run.ID))
	case err != nil && ctx.Err() == nil:
		log.Error("run failed", zap.String("run", run.ID), zap.Error(err))
	default:
		log.Info("run finished", zap.String("run", run.ID), zap.String("state", string(run.State)), zap.String("reason", run.Reason), zap.Any("counts", run.Counts))
	}
}
