// Package jobs hands work to whichever daemon of a database is free: runs of flows and discoveries, parts of a run, and alerts.
//
// The queue is River (docs/decisions). What is ours is small: jobs of one tenant stay among its daemons, a job is named by a key so that
// daemons that want the same thing queue it once, and the parts of a daemon that died are queued again. A job is only a request to
// do something; whether it was done, the store and the journal say. So doing one twice is harmless, and losing one is not: what
// is due is found again from the store.
package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/trueup-sync/trueup/state"
)

// Kind is what a job asks for.
type Kind string

// The kinds of jobs. Each has its own places, so that runs that wait for their parts leave room for them.
const (
	Run   Kind = "run"   // a run of a flow or a discovery
	Part  Kind = "part"  // a part of a run
	Alert Kind = "alert" // tell people how the daemons are
)

// places is how many jobs of a kind one daemon works on at once.
var places = map[Kind]int{Run: 32, Part: 2, Alert: 1}

// Job is something to do once.
type Job struct {
	Kind Kind
	Key  string // of its kind and tenant; a key that was queued within a day is not queued again
	Body any    // what the handler is given, as JSON
}

// Handler does a job. What it returns is told to who waits for the job; it must be possible to do it again. An error ends the job, unless it is
// Again or Retry.
type Handler func(ctx context.Context, call Call) (answer any, err error)

// Call is a job when it is done.
type Call struct {
	Body json.RawMessage
	Try  int           // 1, and one more after each Retry
	Age  time.Duration // since it was queued
}

// Again hands a job on: it is done after a while, by the same daemon or another, as if it had not been tried.
type Again struct {
	After time.Duration
	Err   error // why
}

func (a Again) Error() string { return a.Err.Error() }
func (a Again) Unwrap() error { return a.Err }

// Retry asks for another try of a job that failed, after Backoff. The last of Tries ends it.
type Retry struct{ Err error }

func (r Retry) Error() string { return r.Err.Error() }
func (r Retry) Unwrap() error { return r.Err }

// Tries is how often a run is tried.
const Tries = 4

// Backoff is how long a job rests after its n-th try: 5, 15 and 45 minutes.
func Backoff(try int) time.Duration {
	rest := 5 * time.Minute
	for range try - 1 {
		rest *= 3
	}
	return rest
}

// Options say who works and how.
type Options struct {
	ID       string // of this daemon: the token of its lease
	Handlers map[Kind]Handler
	Poll     time.Duration // how often jobs that other processes queued are looked for; 0 means a second
	Log      *slog.Logger  // of the queue's own words; nil for none
}

// Queue is the queue of one tenant.
type Queue struct {
	client *river.Client[*sql.Tx]
	store  *state.Store
	tenant string
	poll   time.Duration
}

// Open prepares the queue's tables beside those of the store.
func Open(ctx context.Context, store *state.Store, o Options) (*Queue, error) {
	db, server := store.Database()
	var driver riverdriver.Driver[*sql.Tx] = file{riversqlite.New(db)}
	if server {
		driver = riverdatabasesql.New(db)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case !server: // nobody else queues anything, and what this process queues is looked at at once
		o.Poll = time.Minute
	case o.Poll == 0:
		o.Poll = time.Second
	}
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("prepare the job queue: %w", err)
	}
	err = store.WithSchema(ctx, func() error { // not in one transaction: a step may need the one before committed
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[runArgs]{handle: o.Handlers[Run]})
	river.AddWorker(workers, &worker[partArgs]{handle: o.Handlers[Part]})
	river.AddWorker(workers, &worker[alertArgs]{handle: o.Handlers[Alert]})
	q := &Queue{store: store, tenant: store.Tenant(), poll: o.Poll}
	queues := map[string]river.QueueConfig{}
	for kind, n := range places {
		queues[q.name(kind)] = river.QueueConfig{MaxWorkers: n}
	}
	q.client, err = river.NewClient(driver, &river.Config{
		ID: o.ID, Logger: o.Log, Workers: workers, Queues: queues,
		PollOnly: true, FetchPollInterval: o.Poll, // lib/pq does not listen
		LeaderElectionDisabled:      !server, // a file has one daemon, which is not asked to write a row every few seconds for that; see Tidy
		JobTimeout:                  -1,      // a first read of everything takes as long as the budget makes it
		CompletedJobRetentionPeriod: keptFor, CancelledJobRetentionPeriod: keptFor, DiscardedJobRetentionPeriod: keptFor,
	})
	if err != nil {
		return nil, fmt.Errorf("open the job queue: %w", err)
	}
	return q, nil
}

// file is the driver of a file that only this process works on: it needs no messages through the database to look at once at what it queued.
type file struct{ riverdriver.Driver[*sql.Tx] }

// SupportsListener and SupportsListenNotify are of riverdriver.Driver.
func (file) SupportsListener() bool     { return false }
func (file) SupportsListenNotify() bool { return false }

// GetExecutor is of riverdriver.Driver.
func (f file) GetExecutor() riverdriver.Executor { return fileExecutor{f.Driver.GetExecutor()} }

// fileExecutor spares an idle daemon a look every other second whether somebody paused a queue, for which trueup has no word.
type fileExecutor struct{ riverdriver.Executor }

// QueueGet is of riverdriver.Executor.
func (fileExecutor) QueueGet(_ context.Context, params *riverdriver.QueueGetParams) (*rivertype.Queue, error) {
	return &rivertype.Queue{Name: params.Name, Metadata: []byte("{}")}, nil
}

// keptFor is how long a job that ended keeps its key: longer than daemons' clocks differ and runs last.
const keptFor = 24 * time.Hour

// Tidy does for a file what the queue does by itself on a server: it forgets the jobs that ended a day ago, and makes those ready that rested long
// enough.
func (q *Queue) Tidy(ctx context.Context) error {
	if _, server := q.store.Database(); server {
		return nil
	}
	resting, err := q.client.JobList(ctx, river.NewJobListParams().First(1000).States(rivertype.JobStateRetryable, rivertype.JobStateScheduled))
	if err != nil {
		return fmt.Errorf("look for jobs to be done again: %w", err)
	}
	for _, row := range resting.Jobs {
		if row.ScheduledAt.After(time.Now()) {
			continue
		}
		if _, err := q.client.JobRetry(ctx, row.ID); err != nil {
			return fmt.Errorf("make a job ready again: %w", err)
		}
	}
	_, err = q.client.JobDeleteMany(ctx, river.NewJobDeleteManyParams().First(10_000).
		States(rivertype.JobStateCompleted, rivertype.JobStateCancelled, rivertype.JobStateDiscarded).Where(`finalized_at < datetime('now', '-1 day')`))
	if err != nil {
		return fmt.Errorf("forget old jobs: %w", err)
	}
	return nil
}

// name is the queue of a kind; tenants' names are lower-case letters, digits and dashes.
func (q *Queue) name(kind Kind) string {
	if q.tenant == "" {
		return string(kind)
	}
	return string(kind) + "_" + q.tenant
}

// Start works on jobs until ctx ends, which the jobs in progress are told.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("start the job queue: %w", err)
	}
	return nil
}

// Stopped is closed when all jobs of this daemon have returned after the end of Start's context.
func (q *Queue) Stopped() <-chan struct{} { return q.client.Stopped() }

// Add queues jobs, all or none, except those whose keys were queued before.
func (q *Queue) Add(ctx context.Context, jobs ...Job) error {
	_, err := q.add(ctx, jobs)
	return err
}

func (q *Queue) add(ctx context.Context, jobs []Job) ([]int64, error) {
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		body, err := json.Marshal(j.Body)
		if err != nil {
			return nil, fmt.Errorf("write down job %s: %w", j.Key, err)
		}
		a := args{Tenant: q.tenant, Key: j.Key, Body: body}
		params[i] = river.InsertManyParams{Args: a.of(j.Kind), InsertOpts: &river.InsertOpts{
			Queue: q.name(j.Kind), MaxAttempts: attempts[j.Kind], UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()}}}
	}
	results, err := q.client.InsertMany(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("queue %d jobs: %w", len(jobs), err)
	}
	ids := make([]int64, len(results))
	for i, r := range results {
		ids[i] = r.Job.ID
	}
	return ids, nil
}

// attempts is how often a job is tried whose handler asks for it.
var attempts = map[Kind]int{Run: Tries, Part: 1, Alert: 1}

// Do queues jobs and waits until each came to an end somewhere. The answer of one that failed is nil. body makes a job's body for its
// n-th try: a job of a daemon whose lease ended is queued again. When ctx ends the jobs are cancelled.
func (q *Queue) Do(ctx context.Context, kind Kind, keys []string, body func(i, try int) any) ([]json.RawMessage, error) {
	answers := make([]json.RawMessage, len(keys))
	tries := make([]int, len(keys))
	waiting := map[int64]int{}
	queue := func(indexes []int) error {
		jobs := make([]Job, len(indexes))
		for n, i := range indexes {
			tries[i]++
			jobs[n] = Job{kind, fmt.Sprintf("%s try %d", keys[i], tries[i]), body(i, tries[i])}
		}
		ids, err := q.add(ctx, jobs)
		for n, id := range ids {
			waiting[id] = indexes[n]
		}
		return err
	}
	all := make([]int, len(keys))
	for i := range all {
		all[i] = i
	}
	defer func() { q.cancel(ctx, waiting) }()
	if err := queue(all); err != nil {
		return answers, err
	}
	tick := time.NewTicker(min(q.poll/4, 250*time.Millisecond))
	defer tick.Stop()
	for len(waiting) > 0 {
		select {
		case <-ctx.Done():
			return answers, context.Cause(ctx)
		case <-tick.C:
		}
		lost, err := q.collect(ctx, waiting, answers)
		if err != nil && ctx.Err() != nil {
			return answers, context.Cause(ctx)
		}
		if err != nil {
			return answers, err
		}
		again := []int{}
		for _, i := range lost {
			if tries[i] < maxTries {
				again = append(again, i)
			}
		}
		if len(again) > 0 {
			if err := queue(again); err != nil {
				return answers, err
			}
		}
	}
	return answers, nil
}

// maxTries is how many daemons may die over a part before it is left to the next run.
const maxTries = 5

// collect takes out of waiting what came to an end, and what a daemon worked on that is dead.
func (q *Queue) collect(ctx context.Context, waiting map[int64]int, answers []json.RawMessage) (lost []int, err error) {
	alive, err := q.store.Daemons(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(waiting))
	for id := range waiting {
		ids = append(ids, id)
	}
	for from := 0; from < len(ids); from += 500 {
		some := ids[from:min(from+500, len(ids))]
		list, err := q.client.JobList(ctx, river.NewJobListParams().IDs(some...).First(len(some)))
		if err != nil {
			return nil, fmt.Errorf("look at the parts of a run: %w", err)
		}
		for _, row := range list.Jobs {
			i := waiting[row.ID]
			switch {
			case row.FinalizedAt != nil:
				answers[i] = row.Output()
				delete(waiting, row.ID)
			case row.State == rivertype.JobStateRunning && len(row.AttemptedBy) > 0 && alive[row.AttemptedBy[len(row.AttemptedBy)-1]] == "":
				lost = append(lost, i)
				delete(waiting, row.ID)
			}
		}
	}
	return lost, nil
}

// cancel tells jobs that nobody waits for them any more.
func (q *Queue) cancel(ctx context.Context, waiting map[int64]int) {
	if len(waiting) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	for id := range waiting {
		_, _ = q.client.JobCancel(ctx, id) // a part also looks at its run each second
	}
}

// args are a job as River keeps it.
type args struct {
	Tenant string          `json:"tenant" river:"unique"`
	Key    string          `json:"key" river:"unique"`
	Body   json.RawMessage `json:"body"`
}

type (
	runArgs   struct{ args }
	partArgs  struct{ args }
	alertArgs struct{ args }
)

// The names of the kinds in the queue's table.
func (runArgs) Kind() string   { return "trueup_run" }
func (partArgs) Kind() string  { return "trueup_part" }
func (alertArgs) Kind() string { return "trueup_alert" }

func (a args) of(kind Kind) river.JobArgs {
	switch kind {
	case Run:
		return runArgs{a}
	case Part:
		return partArgs{a}
	}
	return alertArgs{a}
}

func (a args) body() json.RawMessage { return a.Body }

// worker does the jobs of one kind.
type worker[T interface {
	river.JobArgs
	body() json.RawMessage
}] struct {
	river.WorkerDefaults[T]
	handle Handler
}

func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	answer, err := w.handle(ctx, Call{job.Args.body(), job.Attempt, time.Since(job.CreatedAt)})
	if again, ok := errors.AsType[Again](err); ok {
		return river.JobSnooze(again.After)
	}
	if retry, ok := errors.AsType[Retry](err); ok {
		return retry
	}
	if err != nil {
		return river.JobCancel(err)
	}
	if answer == nil {
		return nil
	}
	return river.RecordOutput(ctx, answer)
}

// NextRetry is of river.Worker.
func (w *worker[T]) NextRetry(job *river.Job[T]) time.Time {
	return time.Now().Add(Backoff(job.Attempt))
}
