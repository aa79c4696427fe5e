// Package daemon runs flows and discoveries when their schedules say so, until it is told to stop.
//
// One daemon works on a SQLite file: it holds a lease in the store and renews it, and a second one is refused with the
// name of the first. On a PostgreSQL server any number share the work: whoever finds something due queues it, once (internal/jobs),
// whoever is free does it, and what a dead daemon was doing is found by its silence and queued again (share.go). A run whose time passed while no daemon was running is caught up once, however many were missed. A
// run that is still going on when its time comes again is not doubled; the second is recorded as skipped. Being told to
// stop lets the writes in flight finish, and the lease is kept until they have.
//
// The store is what makes writing safe, so without it nothing begins. While the lease cannot be renewed (a full disk, a file
// that another program locks) no run starts; when it could not be renewed for as long as it lasts, or when the state file was
// removed or replaced (Intact), the daemon stops with an error.
//
// Somebody may say that something moved (Receive), or it may be seen at a glance; then only those customers are looked at, at once (hints.go).
//
// Clocks that are set forward, set back or changed with the season neither double nor leave out a day (schedule.go). What a
// person or a monitor should know about the daemon itself is Health: schedules that were missed, reads that are too old, runs
// that end in error again and again, secrets that are about to be forgotten. The same things are in the inbox, under the name
// Inbox instead of a flow.
package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
)

// Daemon is everything that is run on a schedule. The callbacks may be nil; those about runs are called from several goroutines.
type Daemon struct {
	Engine      *engine.Engine
	Flows       []engine.Flow
	Discovers   map[string]string // account name -> cron
	Credentials func(context.Context) ([]Credential, error)
	Sooner      map[string]Sooner // by account
	Log         *zap.Logger

	Changes <-chan Work   // each replaces what is run; runs in progress end as they began
	Poll    time.Duration // how often jobs that other daemons queued are looked for; 0 means a second
	Tick    time.Duration // how often the loop turns at least; 0 means 10 seconds, less than 20 is good
	Intact  func() error  // asked at each turn and before runs begin; an error stops the daemon

	// OpenQueue opens another queue than that of internal/jobs; for tests in which months pass, as that one looks around every second.
	OpenQueue func(ctx context.Context, store *state.Store, o jobs.Options) (Queue, error)

	Ready    func()                                  // called once the lease is held and the schedules run
	Turned   func()                                  // called after each turn of the loop; the watchdog is fed here
	Planned  func(flow string, result engine.Result) // called after each run of a flow, before Finished
	Finished func(run state.Run, err error)          // called after each run
	Replaced func(flows, discoveries int, err error) // called after each of Changes
	Heard    func(account, outcome string, n int)    // called for what became of messages and glances

	hintsOnce sync.Once
	hinted    *hinting
	rewatch   chan struct{} // the work was replaced

	queue   Queue
	several bool        // daemons may work on the database
	stale   atomic.Bool // a run ended since the health was looked at

	mu     sync.Mutex // guards the rest
	work   Work
	jobs   map[jobKey]*job
	health Health
	turned time.Time
	told   []state.Finding // as they were last put into the inbox
}

// Queue hands out jobs; *jobs.Queue is one, and says what each method promises.
type Queue interface {
	Start(ctx context.Context) error
	Stopped() <-chan struct{}
	Add(ctx context.Context, list ...jobs.Job) error
	Do(ctx context.Context, kind jobs.Kind, keys []string, body func(i, try int) any) ([]json.RawMessage, error)
	Tidy(ctx context.Context) error
}

// Work is what a daemon runs.
type Work struct {
	Engine      *engine.Engine // its store must be that of the engine it replaces
	Flows       []engine.Flow
	Discovers   map[string]string
	Credentials func(context.Context) ([]Credential, error)
	Sooner      map[string]Sooner
}

const (
	defaultTick = 10 * time.Second // well under the life of a lease
	lookEvery   = time.Minute      // how often the health is looked at, besides after runs
)

// Run works until ctx ends, then waits for what is in flight. It fails at once when another daemon holds the store, and when
// it loses its lease.
func (d *Daemon) Run(ctx context.Context) error {
	store := d.Engine.Store
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	lock, err := store.Join(ctx, fmt.Sprintf("trueup run, process %d on %s", os.Getpid(), host))
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
	if _, d.several = store.Database(); !d.several {
		if n, err := store.AbandonRuns(ctx, "the daemon that ran it ended without saying so"); err != nil {
			return err
		} else if n > 0 {
			d.Log.Info("interrupted runs were closed", zap.Int("runs", n))
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	open := d.OpenQueue
	if open == nil {
		open = func(ctx context.Context, store *state.Store, o jobs.Options) (Queue, error) {
			return jobs.Open(ctx, store, o)
		}
	}
	if d.queue, err = open(ctx, store, jobs.Options{ID: lock.Token(), Poll: d.Poll,
		Handlers: map[jobs.Kind]jobs.Handler{jobs.Run: d.doRun, jobs.Part: d.doPart, jobs.Alert: d.doAlert}}); err != nil {
		return err
	}
	d.rewatch = make(chan struct{}, 1)
	if err := d.replace(ctx, Work{d.Engine, d.Flows, d.Discovers, d.Credentials, d.Sooner}); err != nil {
		return err
	}
	if err := d.queue.Start(ctx); err != nil {
		return err
	}
	d.look(ctx)
	d.turn(true)
	if d.Ready != nil {
		d.Ready()
	}
	var sooner sync.WaitGroup
	sooner.Go(func() { d.keepHints(ctx) })
	sooner.Go(func() { d.watch(ctx) })
	err = d.loop(ctx, lock)
	cancel(err)
	sooner.Wait()
	d.drain(context.WithoutCancel(ctx), lock)
	return err
}

func (d *Daemon) tick() time.Duration { return cmp.Or(d.Tick, defaultTick) }

// now is the time as the clocks show it. The monotonic reading is dropped: it would hide that a clock was set.
func (d *Daemon) now() time.Time { return d.Engine.Now().Round(0) }

// loop renews the lease, looks at the health and starts what is due, until ctx ends.
func (d *Daemon) loop(ctx context.Context, lock *state.Lock) error {
	l := &lease{lock: lock, renewed: time.Now(), shown: d.now()}
	turned, looked := time.Now(), time.Now()
	for {
		if time.Since(turned) >= d.tick() || d.now().Sub(l.shown).Abs() > state.LeaseTime/2 {
			turned = time.Now()
			if err := d.intact(); err != nil {
				return err
			}
			if err := d.renew(ctx, l); err != nil {
				return err
			}
			if err := d.takeOver(ctx); err != nil {
				d.Log.Error("work of dead daemons cannot be looked for", zap.Error(err))
			}
			if time.Since(looked) >= lookEvery || d.stale.Swap(false) {
				looked = turned
				d.look(ctx)
				if err := d.queue.Tidy(ctx); err != nil && ctx.Err() == nil {
					d.Log.Warn("the job queue grows", zap.Error(err))
				}
			}
			d.turn(l.trouble == nil)
		}
		wait := d.tick() - time.Since(turned)
		if l.trouble == nil {
			until, err := d.start(ctx)
			if err != nil {
				return err
			}
			wait = min(wait, until, d.follows(ctx))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case work := <-d.Changes:
			timer.Stop()
			d.change(ctx, work)
		case <-d.hints().waiting:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// lease is the lock and how long it is good for.
type lease struct {
	lock    *state.Lock
	renewed time.Time // with its monotonic reading
	shown   time.Time // what the clocks showed then: a machine that slept, or whose clock was set, may have lost the lease
	trouble error     // why it could not be renewed the last time
}

// renew makes the lease last. Its error is a reason to stop: the lease is lost, or may be by now.
func (d *Daemon) renew(ctx context.Context, l *lease) error {
	err := l.lock.Renew(ctx)
	age := time.Since(l.renewed)
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, state.ErrLockLost):
		return fmt.Errorf("stop, because the lease is lost: %w", err)
	case err != nil && age+d.tick() >= state.LeaseTime:
		return fmt.Errorf("stop, because the lease could not be renewed for %s and another daemon may take it: %w", age.Round(time.Second), err)
	case err != nil && l.trouble == nil:
		d.Log.Error("the lease cannot be renewed; no run begins until it can", zap.Error(err))
	case err == nil && l.trouble != nil:
		d.Log.Info("the lease is renewed again; runs begin as before")
	}
	if l.trouble = err; err == nil {
		l.renewed = time.Now()
	}
	l.shown = d.now()
	return nil
}

// turn notes that the loop came round.
func (d *Daemon) turn(lease bool) {
	d.mu.Lock()
	d.turned, d.health.Lease = time.Now(), lease
	d.mu.Unlock()
	if d.Turned != nil {
		d.Turned()
	}
}

func (d *Daemon) intact() error {
	if d.Intact == nil {
		return nil
	}
	return d.Intact()
}

// drain waits for what is in flight and keeps the lease as long, so that no other daemon looks at writes that are still going on.
func (d *Daemon) drain(ctx context.Context, lock *state.Lock) {
	d.mu.Lock()
	d.health.Stopping = true
	d.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-d.queue.Stopped()
	}()
	tick := time.NewTicker(d.tick())
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			err := lock.Renew(ctx)
			if err != nil {
				d.Log.Warn("the lease cannot be renewed while writes in flight finish", zap.Error(err))
			}
			d.turn(err == nil)
		}
	}
}

type jobKey struct {
	kind state.RunKind
	name string
}

// job is one thing with a schedule.
type job struct {
	jobKey
	spec     string
	schedule schedule
	run      func(ctx context.Context, trigger state.Trigger) (ran, error)
	look     func(ctx context.Context, places []engine.Place) (state.Run, error) // only there; nil for what does not write on its own
	known    func(ctx context.Context, places []engine.Place) ([]engine.Place, error)

	due    time.Time // when it begins next
	last   time.Time // when the last run that came to an end began, or when the job became known
	errors int       // runs in a row that ended in error
	reason string    // of the last of them
}

// ran is how a run ended.
type ran struct {
	state.Run
	passing bool // it ended, but not well, by what may go away by itself
}

func (d *Daemon) listJobs(w Work) []job {
	var list []job
	for name, spec := range w.Discovers {
		list = append(list, job{jobKey: jobKey{state.RunDiscovery, name}, spec: spec, run: func(ctx context.Context, trigger state.Trigger) (ran, error) {
			run, err := w.Engine.Discover(ctx, name, trigger)
			return ran{run, run.State == state.RunPartial && d.unreadPasses(ctx, w, name)}, err
		}})
	}
	for _, flow := range w.Flows {
		run := func(ctx context.Context, o engine.Options) (ran, error) {
			o.Apply = flow.Mode == engine.ModeWrite
			result, err := w.Engine.Run(ctx, flow, o)
			if d.Planned != nil {
				d.Planned(flow.Name, result)
			}
			failed := slices.ContainsFunc(result.Outcome.Failures, func(f apply.Failure) bool { return !f.Skipped && passes(f.Class) })
			return ran{result.Run, result.Run.State == state.RunPartial && (failed || d.unreadPasses(ctx, w, flow.Vendor, flow.PSA))}, err
		}
		j := job{jobKey: jobKey{state.RunFlow, flow.Name}, spec: flow.Schedule, run: func(ctx context.Context, trigger state.Trigger) (ran, error) {
			return run(ctx, engine.Options{Trigger: trigger})
		}}
		if flow.Mode == engine.ModeWrite {
			j.look = func(ctx context.Context, places []engine.Place) (state.Run, error) {
				r, err := run(ctx, engine.Options{Trigger: state.TriggerHint, Only: places})
				return r.Run, err
			}
			j.known = func(ctx context.Context, places []engine.Place) ([]engine.Place, error) {
				return w.Engine.Known(ctx, flow, places)
			}
		}
		list = append(list, j)
	}
	return list
}

// change takes new work, or keeps the old when the new cannot be used.
func (d *Daemon) change(ctx context.Context, w Work) {
	err := d.replace(ctx, w)
	if err != nil {
		d.Log.Error("the new schedules cannot be used; the old ones stay", zap.Error(err))
	}
	if d.Replaced != nil {
		d.Replaced(len(w.Flows), len(w.Discovers), err)
	}
}

// replace makes the jobs of some work. What is known of a job whose schedule stays is kept; another one is due when its time
// passed since its last run, and at once when it never ran.
func (d *Daemon) replace(ctx context.Context, w Work) error {
	now := d.now()
	runs, err := w.Engine.Store.Runs(ctx, 500)
	if err != nil {
		return err
	}
	found := map[jobKey]*job{}
	for _, j := range d.listJobs(w) {
		if j.schedule, err = parseSchedule(j.spec, w.Engine.Location); err != nil {
			return fmt.Errorf("%s %s: %w", j.kind, j.name, err)
		}
		j.due, j.last = j.schedule.next(now), now
		last, ran, err := w.Engine.Store.LastRun(ctx, j.kind, j.name)
		if err != nil {
			return err
		}
		switch {
		case !ran:
			j.due = now
		case !j.schedule.next(last.Started).After(now):
			j.due = now
			if d.several { // all that find it missed name it alike
				j.due = j.schedule.next(last.Started)
			}
		}
		j.errors, j.reason = streak(runs, j.jobKey)
		found[j.jobKey] = &j
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, j := range found {
		if old := d.jobs[key]; old != nil && old.spec == j.spec && old.schedule.location.String() == j.schedule.location.String() {
			j.due, j.last, j.errors, j.reason = old.due, old.last, old.errors, old.reason
		}
	}
	w.Engine.Spread = spreader{d}
	d.work, d.jobs = w, found
	select {
	case d.rewatch <- struct{}{}:
	default:
	}
	return nil
}

// streak counts the newest runs of a job that ended in error, one after the other.
func streak(newest []state.Run, key jobKey) (n int, reason string) {
	for _, r := range newest {
		switch {
		case r.Kind != key.kind || r.Name != key.name || r.State == state.RunInProgress || r.State == state.RunStopped || r.Trigger == state.TriggerHint:
		case r.State != state.RunError:
			return n, reason
		default:
			n, reason = n+1, cmp.Or(reason, r.Reason)
		}
	}
	return n, reason
}

// start begins what is due and returns how long it is until something is due again.
func (d *Daemon) start(ctx context.Context) (until time.Duration, err error) {
	now := d.now()
	type begin struct {
		*job
		at      time.Time
		trigger state.Trigger
	}
	var due []begin
	until = d.tick()
	d.mu.Lock()
	for _, j := range d.jobs {
		next := j.schedule.next(now)
		if second := j.schedule.next(next); j.due.After(second) {
			d.Log.Warn("the clock was set back; the schedule follows it", zap.String("kind", string(j.kind)), zap.String("name", j.name),
				zap.Time("was due", j.due), zap.Time("is due", next))
			j.due = next
		}
		if !j.due.IsZero() && !j.due.After(now) {
			trigger := state.TriggerSchedule
			if now.Sub(j.due) > d.tick() || j.due.Equal(j.last) { // the clock jumped, the machine slept, or it was due when it became known
				trigger = state.TriggerCatchUp
			}
			due = append(due, begin{j, j.due, trigger})
			j.due = next
		}
		if !j.due.IsZero() {
			until = min(until, j.due.Sub(now))
		}
	}
	d.mu.Unlock()
	if len(due) == 0 {
		return until, nil
	}
	if err := d.intact(); err != nil {
		return 0, err
	}
	slices.SortFunc(due, func(a, b begin) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	queued := make([]jobs.Job, len(due))
	for i, b := range due {
		queued[i] = jobs.Job{Kind: jobs.Run, Key: fmt.Sprintf("%s %s due %s", b.kind, b.name, stored(b.at)), Body: runJob{b.kind, b.name, b.trigger}}
	}
	if err := d.queue.Add(ctx, queued...); err != nil && ctx.Err() == nil {
		d.Log.Error("what is due cannot be queued; it is tried again", zap.Error(err))
		d.mu.Lock()
		for _, b := range due {
			b.due = b.at
		}
		d.mu.Unlock()
		return d.tick(), nil
	}
	return until, nil
}

// stored is a time as all daemons write it, whatever their time zone.
func stored(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// execute runs a job's work.
func (d *Daemon) execute(ctx context.Context, j *job, trigger state.Trigger) (ran, error) {
	if ctx.Err() != nil {
		return ran{Run: state.Run{State: state.RunStopped}}, context.Cause(ctx)
	}
	log := d.Log.With(zap.String("kind", string(j.kind)), zap.String("name", j.name), zap.String("trigger", string(trigger)))
	run, err := j.run(ctx, trigger)
	if ctx.Err() == nil {
		d.note(j.jobKey, run.Run, err)
		d.stale.Store(true)
	}
	if d.Finished != nil {
		d.Finished(run.Run, err)
	}
	switch {
	case errors.Is(err, state.ErrRunning):
		log.Info("skipped: the last one is still going on", zap.String("run", run.ID))
	case err != nil && ctx.Err() == nil:
		log.Error("run failed", zap.String("run", run.ID), zap.Error(err))
	default:
		log.Info("run finished", zap.String("run", run.ID), zap.String("state", string(run.State)), zap.String("reason", run.Reason), zap.Any("counts", run.Counts))
	}
	return run, err
}

// note remembers how a run ended, unless it was skipped.
func (d *Daemon) note(key jobKey, run state.Run, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j := d.jobs[key]
	switch {
	case j == nil || errors.Is(err, state.ErrRunning):
		return
	case run.ID == "": // it could not even be recorded
		j.errors, j.reason = j.errors+1, err.Error()
		return
	case run.State == state.RunError:
		j.errors, j.reason = j.errors+1, run.Reason
	case run.State != state.RunStopped:
		j.errors, j.reason = 0, ""
	}
	j.last = run.Started
}
