// Package engine runs the cycle: read both accounts, translate their records into the model, link what is the same thing,
// plan, guard, apply through the journal, and tell. Run is that sentence.
//
// It knows no vendor, no SQL and no YAML. What it needs from a system it asks through the contract in connectors; what it
// must remember it keeps in the store; what to do it leaves to engine/plan, and how to do it safely to engine/apply.
//
// Memory stays flat however many subscriptions there are: customers, products and contracts are indexed, subscriptions and
// lines are looked at one customer at a time, and only what is to be done is kept.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Engine is what a run needs besides its flow.
type Engine struct {
	Store    *state.Store
	Journal  apply.Store // where writes are kept on their way; nil for Store
	Accounts map[string]*apply.Account
	Log      *zap.Logger
	Now      func() time.Time
	Location *time.Location // the time zone in which a moment becomes a billing day
	Workers  int            // writes in flight, at most; 0 means 8
	Progress func(Progress) // told while a run goes on; may be nil
	Spread   Spreader       // has long runs worked on in parts; nil to do everything here
}

// Progress is how far a run is.
type Progress struct {
	Run   string
	Step  string // "reading microsoft subscription", "planning", "applying"
	Done  int
	Total int // 0 when not known yet
}

// Options say what one run may do.
type Options struct {
	Trigger state.Trigger
	Apply   bool   // write what the guards let through
	Digest  string // with Apply: only if the plan has this digest
	Sweep   bool   // read everything anew instead of what changed
	Offline bool   // read nothing: plan from the store
	Undo    string // plan to put back what this run of the flow changed, instead of comparing the two sides
	// Only looks at the customers of some places, as hints named them; none looks at all. It is ignored where there are many, or where what is
	// stored is old.
	Only []Place
}

// Result is what a run came to.
type Result struct {
	Run     state.Run
	Plan    plan.Plan
	Digest  string
	Outcome apply.Outcome
	Told    apply.Outcome // what became of the notes to PSA users
	Tickets apply.Outcome // what became of the tickets that tell people of open matters
}

// ErrMoved is returned when the plan is not the one that was reviewed.
var ErrMoved = errors.New("the world moved since this plan was made")

// ErrStopped is the cause of a context that a person stopped.
var ErrStopped = errors.New("stopped on request")

// Run executes a flow once: read, translate, link, plan, guard, apply, tell.
func (e *Engine) Run(ctx context.Context, flow Flow, opts Options) (Result, error) {
	run, ctx, err := e.begin(ctx, state.RunFlow, flow.Name, opts.Trigger)
	if err != nil {
		return Result{Run: run.Run}, err
	}
	result := Result{}
	err = func() error {
		proposed, world, err := e.propose(ctx, run, flow, opts)
		if err != nil {
			return err
		}
		if run.narrow != nil {
			if err := e.elsewhere(ctx, run, world); err != nil {
				return err
			}
		}
		recent, err := e.recent(ctx, world, proposed)
		if err != nil {
			return err
		}
		guards := world.flow.Guards
		guards.Unattended, guards.FourEyes = flow.Mode == ModeWrite, flow.Approvals > 1
		guards.OnHold, guards.FrozenUntil = world.creditHold(), plan.FrozenUntil(flow.Freeze, e.Now().In(e.Location))
		result.Plan = plan.Guard(proposed, guards, world.extent, recent)
		again, err := e.hear(ctx, run, world, opts, &result.Plan)
		if err != nil {
			return err
		}
		result.Digest = result.Plan.Digest()
		if err := e.keepPlan(ctx, run, result.Plan); err != nil {
			return err
		}
		if opts.Apply {
			if result, err = e.choose(ctx, run, flow, opts, result, guards.FrozenUntil); err != nil {
				return err
			}
			if result.Outcome, err = e.apply(ctx, run, flow, result); err != nil {
				return err
			}
			if err = e.tellLines(ctx, run, world, &result); err != nil {
				return err
			}
			if err = e.tellTickets(ctx, run, world, again, &result); err != nil {
				return err
			}
		}
		return e.tell(ctx, run, flow, &result)
	}()
	err = whyStopped(ctx, err)
	result.Run = run.finish(err, result)
	return result, err
}

// propose reads, translates, links and plans: everywhere, or at the customers that hints named.
func (e *Engine) propose(ctx context.Context, run *activeRun, flow Flow, opts Options) (plan.Plan, *world, error) {
	narrow, err := e.mayNarrow(ctx, flow, opts)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	if narrow {
		if err := e.recover(ctx, run, flow); err != nil {
			return plan.Plan{}, nil, err
		}
		return e.look(ctx, run, flow, opts.Only)
	}
	sides, err := e.read(ctx, run, flow, opts)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	if err := e.recover(ctx, run, flow); err != nil {
		return plan.Plan{}, nil, err
	}
	undoing, err := e.undo(ctx, run, flow, opts)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	world, err := e.translate(ctx, flow, sides)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	world.offline = opts.Offline
	if undoing != nil {
		proposed, err := e.planUndo(ctx, world, undoing)
		return proposed, world, err
	}
	proposed, err := e.plan(ctx, run, world)
	return proposed, world, err
}

// whyStopped says who told a run to stop, where the error only says that it was.
func whyStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

// mayApply refuses a plan that nobody reviewed, unless the flow writes on its own.
func mayApply(flow Flow, opts Options, result Result) error {
	switch {
	case flow.Mode == ModeObserve:
		return fmt.Errorf("flow %s only observes; set mode: propose or mode: write in %s", flow.Name, flow.File)
	case opts.Digest != "" && opts.Digest != result.Digest:
		return fmt.Errorf("%w: plan %s was reviewed, the plan is now %s; review it with trueup plan, then apply that digest", ErrMoved, opts.Digest, result.Digest)
	case opts.Digest == "" && flow.Mode != ModeWrite:
		return fmt.Errorf("flow %s proposes only; apply a reviewed plan with trueup apply DIGEST, or set mode: write in %s", flow.Name, flow.File)
	}
	return nil
}

// sides are the two accounts of a flow and what was read of them.
type sides struct {
	vendor, psa *reading
}

func (e *Engine) account(name string) (*apply.Account, error) {
	a, ok := e.Accounts[name]
	if !ok {
		return nil, fmt.Errorf("no account %q is configured", name)
	}
	return a, nil
}

// today is the billing day now.
func (e *Engine) today() model.Day { return model.DayOf(e.Now().In(e.Location)) }

func (e *Engine) tellProgress(p Progress) {
	if e.Progress != nil {
		e.Progress(p)
	}
}

// recover looks at writes of earlier runs whose outcome is not known.
func (e *Engine) recover(ctx context.Context, run *activeRun, flow Flow) error {
	applier := e.applier(run, flow, "")
	applier.Note = e.noteOf(flow)
	return applier.Recover(ctx)
}

// apply writes what the plan says, through the journal.
func (e *Engine) apply(ctx context.Context, run *activeRun, flow Flow, result Result) (apply.Outcome, error) {
	if e.Spread != nil && len(result.Plan.Changes) > 2*partSize {
		return e.applyParts(ctx, run, flow, result)
	}
	applier := e.applier(run, flow, result.Digest)
	applier.Note = e.noteOf(flow)
	total := len(result.Plan.Changes)
	applier.Progress = func(done int) {
		e.tellProgress(Progress{Run: run.ID, Step: "applying", Done: done, Total: total})
		run.count("applied", done)
	}
	return applier.Apply(ctx, result.Plan.Changes)
}

func (e *Engine) applier(run *activeRun, flow Flow, digest string) *apply.Applier {
	var journal apply.Store = e.Store
	if e.Journal != nil {
		journal = e.Journal
	}
	return &apply.Applier{Store: journal, Accounts: e.Accounts, Log: e.Log, Flow: flow.Name, Run: run.ID, Digest: digest, Workers: e.workers()}
}

// workers is how many calls are made at once, at most; the connectors keep their own, lower, limits.
func (e *Engine) workers() int { return cmp.Or(e.Workers, 8) }

// classOf says whether a failure is worth going on after.
func isFatal(err error) bool { return connectors.ClassOf(err) == connectors.ClassAuth }
