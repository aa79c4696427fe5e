package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// RunKind says what a run does.
type RunKind string

const (
	RunDiscovery RunKind = "discovery" // reads an account
	RunFlow      RunKind = "flow"      // runs a flow's cycle
)

// RunState says where a run stands.
type RunState string

const (
	RunNotStarted RunState = "not started" // known but never run; not stored
	RunInProgress RunState = "in progress"
	RunStopped    RunState = "stopped"   // a person stopped it, or it was skipped; the reason says which
	RunError      RunState = "error"     // it could not do its work
	RunCompleted  RunState = "completed" // everything was compared and done
	RunPartial    RunState = "partial"   // some of it could not be read or done
	RunHeld       RunState = "held"      // something waits for a person
)

// finalStates are those a run can finish in.
var finalStates = []RunState{RunStopped, RunError, RunCompleted, RunPartial, RunHeld}

// Trigger says why a run began.
type Trigger string

const (
	TriggerManual   Trigger = "manual"
	TriggerSchedule Trigger = "schedule"
	TriggerCatchUp  Trigger = "catch-up" // its scheduled time passed while trueup was not running
	TriggerHint     Trigger = "hint"     // somebody said that something moved; only those customers were looked at
	TriggerRetry    Trigger = "retry"    // the last one failed by what may pass, and its next time is far off
)

// Run is one execution of a discovery or a flow.
type Run struct {
	ID       string
	Kind     RunKind
	Name     string // of the account or the flow
	State    RunState
	Reason   string // one sentence, for every state that is not completed
	Started  time.Time
	Finished time.Time // zero while in progress
	Counts   map[string]int
	Trigger  Trigger
}

const runColumns = `id, kind, name, state, reason, started_at, finished_at, counts, triggered_by`

func (r *Run) row() []any {
	return []any{&r.ID, &r.Kind, &r.Name, &r.State, &r.Reason, moment{&r.Started}, moment{&r.Finished}, document{&r.Counts}, &r.Trigger}
}

// aliveFor is how long a run in progress may be silent before it counts as dead: its process was killed and could not say so.
const aliveFor = LeaseTime

// StartRun begins a run of r's kind, name and trigger; it fills in the id when it is empty, the state and the start. When a run
// of the same kind and name is in progress the new one is stored as stopped, with the reason, and returned together with ErrRunning.
// A run that has not shown that it is alive for LeaseTime is dead; it is ended as an error and does not stand in the way.
func (s *Store) StartRun(ctx context.Context, r Run) (Run, error) {
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return Run{}, fmt.Errorf("make a run id: %w", err)
		}
		r.ID = id.String()
	}
	var running Run
	var alive time.Time
	err := s.update(ctx, fmt.Sprintf("start %s %s", r.Kind, r.Name), func(t tx) error {
		r.State, r.Reason, r.Started, r.Finished = RunInProgress, "", t.now, time.Time{}
		_, err := t.exec(ctx, `UPDATE runs SET state = 'error', reason = ?, finished_at = ? WHERE tenant = @tenant AND state = 'in progress' AND kind = ? AND name = ? AND alive_at < ?`,
			interrupted, stamp(r.Started), r.Kind, r.Name, stamp(r.Started.Add(-aliveFor)))
		if err != nil {
			return err
		}
		busy, err := t.one(ctx, append(running.row(), moment{&alive}), `SELECT `+runColumns+`, alive_at FROM runs WHERE tenant = @tenant AND state = 'in progress' AND kind = ? AND name = ?`, r.Kind, r.Name)
		if err != nil {
			return err
		}
		if busy {
			r.State, r.Finished = RunStopped, r.Started
			r.Reason = fmt.Sprintf("skipped: run %s is still in progress", running.ID)
		}
		_, err = t.exec(ctx, `INSERT INTO runs (tenant, `+runColumns+`, stop_at, alive_at) VALUES (@tenant, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(r.row(), "", stamp(r.Started))...)
		return err
	})
	if err != nil {
		return Run{}, err
	}
	if r.State == RunStopped {
		return r, fmt.Errorf("start %s %s: %w as run %s since %s, last heard of %s; wait for it, or stop it with trueup runs stop %s; if its process was killed, it ends by itself at %s",
			r.Kind, r.Name, ErrRunning, running.ID, running.Started.Format(time.RFC3339), alive.Format(time.RFC3339), running.ID, alive.Add(aliveFor).Format(time.RFC3339))
	}
	return r, nil
}

// Progress replaces the counts of a run in progress and shows that it is alive.
func (s *Store) Progress(ctx context.Context, id string, counts map[string]int) error {
	return s.changeRun(ctx, "keep the progress of run "+id, `counts = ?, alive_at = @now`, id, document{counts})
}

// FinishRun ends a run in progress in a final state. Nil counts leave those of the last Progress.
func (s *Store) FinishRun(ctx context.Context, id string, state RunState, reason string, counts map[string]int) error {
	if !slices.Contains(finalStates, state) {
		return fmt.Errorf("finish run %s: a run cannot end %q; it ends in one of %v", id, state, finalStates)
	}
	set, args := `state = ?, reason = ?, finished_at = @now`, []any{state, storable(reason)}
	if counts != nil {
		set, args = set+`, counts = ?`, append(args, document{counts})
	}
	return s.changeRun(ctx, "finish run "+id, set, id, args...)
}

// RequestStop asks a run in progress to stop; the run finds out by StopRequested, also when it is another process that runs it.
func (s *Store) RequestStop(ctx context.Context, id string) error {
	return s.changeRun(ctx, "ask run "+id+" to stop", `stop_at = @now`, id)
}

// changeRun changes a run that is in progress.
func (s *Store) changeRun(ctx context.Context, doing, set, id string, args ...any) error {
	return s.update(ctx, doing, func(t tx) error {
		n, err := t.exec(ctx, `UPDATE runs SET `+set+` WHERE tenant = @tenant AND id = ? AND state = 'in progress'`, append(args, id)...)
		if err != nil || n > 0 {
			return err
		}
		r, ok, err := runByID(ctx, t, id)
		switch {
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("run %w; list the runs to see their ids", ErrNotFound)
		}
		return fmt.Errorf("%w: it ended %s at %s", ErrOver, r.State, r.Finished.Format(time.RFC3339))
	})
}

// StopRequested reports whether somebody asked the run to stop.
func (s *Store) StopRequested(ctx context.Context, id string) (bool, error) {
	var at time.Time
	err := s.view(ctx, "look whether run "+id+" should stop", func(t tx) error {
		_, err := t.one(ctx, []any{moment{&at}}, `SELECT stop_at FROM runs WHERE tenant = @tenant AND id = ?`, id)
		return err
	})
	return !at.IsZero(), err
}

// EndSilentRuns ends the runs whose process died: nothing was heard of them for LeaseTime. It returns them, so that the one caller that finds
// a run takes its work over.
func (s *Store) EndSilentRuns(ctx context.Context) (ended []Run, err error) {
	err = s.update(ctx, "end the runs of dead processes", func(t tx) error {
		ended = nil
		now := t.now
		err := t.each(ctx, func(rows *sql.Rows) error {
			var r Run
			err := rows.Scan(r.row()...)
			ended = append(ended, r)
			return err
		}, `SELECT `+runColumns+` FROM runs WHERE tenant = @tenant AND state = 'in progress' AND alive_at < ? ORDER BY started_at, id`, stamp(now.Add(-aliveFor)))
		if err != nil || len(ended) == 0 {
			return err
		}
		for i := range ended {
			ended[i].State, ended[i].Reason, ended[i].Finished = RunError, interrupted, now
		}
		_, err = t.exec(ctx, `UPDATE runs SET state = 'error', reason = ?, finished_at = ? WHERE tenant = @tenant AND state = 'in progress' AND alive_at < ?`,
			interrupted, stamp(now), stamp(now.Add(-aliveFor)))
		return err
	})
	return ended, err
}

// interrupted is why a run ended that could not say so itself.
const interrupted = "interrupted: its process died"

// Heard notes that some process works for a run. ErrOver says that the run is over.
func (s *Store) Heard(ctx context.Context, id string) error {
	return s.changeRun(ctx, "keep run "+id+" alive", `alive_at = @now`, id)
}

// AbandonRuns ends the runs that a dead daemon left in progress, as errors that say "interrupted" and the reason, and returns
// how many there were. Only the holder of the lock may call it, before it starts runs of its own.
func (s *Store) AbandonRuns(ctx context.Context, reason string) (int, error) {
	if reason = "interrupted: " + reason; reason == "interrupted: " {
		reason = "interrupted"
	}
	var n int64
	err := s.update(ctx, "end interrupted runs", func(t tx) (err error) {
		n, err = t.exec(ctx, `UPDATE runs SET state = 'error', reason = ?, finished_at = ? WHERE tenant = @tenant AND state = 'in progress'`, reason, stamp(t.now))
		return err
	})
	return int(n), err
}

// Runs are the newest runs, newest first, at most limit.
func (s *Store) Runs(ctx context.Context, limit int) ([]Run, error) {
	var runs []Run
	err := s.view(ctx, "list runs", func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var r Run
			err := rows.Scan(r.row()...)
			runs = append(runs, r)
			return err
		}, `SELECT `+runColumns+` FROM runs WHERE tenant = @tenant ORDER BY started_at DESC, id DESC LIMIT ?`, limit)
	})
	return runs, err
}

// RunByID is one run.
func (s *Store) RunByID(ctx context.Context, id string) (r Run, ok bool, err error) {
	err = s.view(ctx, "read run "+id, func(t tx) error {
		r, ok, err = runByID(ctx, t, id)
		return err
	})
	return r, ok, err
}

func runByID(ctx context.Context, t tx, id string) (r Run, ok bool, err error) {
	ok, err = t.one(ctx, r.row(), `SELECT `+runColumns+` FROM runs WHERE tenant = @tenant AND id = ?`, id)
	return r, ok, err
}

// LastRun is the newest run of a kind and name that was not skipped and looked everywhere, so none that followed hints; ok is false when
// there is none.
func (s *Store) LastRun(ctx context.Context, kind RunKind, name string) (r Run, ok bool, err error) {
	err = s.view(ctx, fmt.Sprintf("find the last %s %s", kind, name), func(t tx) error {
		ok, err = t.one(ctx, r.row(), `SELECT `+runColumns+` FROM runs WHERE tenant = @tenant AND kind = ? AND name = ? AND NOT (state = 'stopped' AND reason LIKE 'skipped:%')
			AND triggered_by <> 'hint' ORDER BY started_at DESC, id DESC LIMIT 1`, kind, name)
		return err
	})
	return r, ok, err
}
