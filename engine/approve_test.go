package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// braked is a flow in which somebody raised a line by 46 seats, and the limit is 25. In both modes nothing happens by itself.
func braked(t *testing.T, mode engine.Mode) (o *office, sub, line connectors.Ref, release string) {
	t.Helper()
	o, sub, line = linked(t)
	o.flow.Mode = mode
	limit := model.NewQuantity(25)
	o.flow.Guards.PerChange.Increase = &limit
	o.edit(o.psa, line, "quantity", model.Int(60))
	result := o.planned()
	if got := reasons(result.Plan); got != "[held over_change_limit]" {
		t.Fatalf("got %s", got)
	}
	if detail := result.Plan.Held[0].Detail; detail != "14 seats would become 60: 46 more, the limit is 25" {
		t.Errorf("the brake says %q", detail)
	}
	release = plan.DocumentOf(result.Plan).Release
	inbox, err := o.engine.Store.Findings(t.Context(), true, o.flow.Name)
	if err != nil || len(inbox) != 1 || !strings.HasSuffix(inbox[0].Next, "trueup approve "+release) {
		t.Errorf("the inbox says %+v, %v", inbox, err)
	}
	if release == "" || release == result.Digest {
		t.Fatalf("the release is named %q, the plan %q", release, result.Digest)
	}
	return o, sub, line, release
}

func (o *office) planned() engine.Result {
	o.t.Helper()
	result, err := o.run(engine.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	return result
}

func (o *office) decide(digest, person string, verdict state.Verdict) {
	o.t.Helper()
	_, err := o.engine.Store.Decide(o.t.Context(), state.Decision{Digest: digest, Flow: o.flow.Name, Person: person, Verdict: verdict,
		Reason: "asked the customer", Expires: o.now.Add(engine.ApprovedFor)})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) applied(digest string) (engine.Result, error) {
	return o.run(engine.Options{Apply: true, Digest: digest})
}

func TestABrakeIsReleasedForOnePlan(t *testing.T) {
	t.Parallel()
	o, sub, line, release := braked(t, engine.ModePropose)
	writes := o.writes()
	result, err := o.applied(release)
	if !errors.Is(err, state.ErrNotApproved) || o.writes() != writes || result.Run.State != state.RunHeld {
		t.Fatalf("nobody approved it: %v, run %s, %d writes", err, result.Run.State, o.writes()-writes)
	}
	o.decide(release, "ann@desk", state.Approved)
	if result, err = o.applied(release); err != nil || result.Outcome.Done != 1 || o.seats(o.vendor, sub) != "60" {
		t.Fatalf("approved: %v, %+v, the vendor has %s", err, result.Outcome, o.seats(o.vendor, sub))
	}

	// The journal says who let it through.
	entries, err := o.engine.Store.Journal(t.Context(), state.JournalFilter{Run: result.Run.ID})
	if err != nil || len(entries) != 2 || !strings.Contains(string(entries[0].Body), `"released":"ann@desk at 2031-03-14T`) || !strings.Contains(string(entries[0].Body), "asked the customer") {
		t.Errorf("%v, journal: %s", err, entries[0].Body)
	}
	if _, err := o.engine.Store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}

	// The same plan again is not released again.
	o.edit(o.psa, line, "quantity", model.Int(14))
	o.edit(o.vendor, sub, "quantity", model.Int(14))
	o.planned()
	o.flow.Guards = plan.Guards{}
	o.flow.Mode = engine.ModeWrite
	o.sync()
	limit := model.NewQuantity(25)
	o.flow.Guards.PerChange.Increase = &limit
	o.edit(o.psa, line, "quantity", model.Int(60))
	if again := plan.DocumentOf(o.planned().Plan).Release; again != release {
		t.Fatalf("the same changes are named %s and %s", release, again)
	}
	if _, err := o.applied(release); !errors.Is(err, state.ErrNotApproved) || !strings.Contains(err.Error(), "once") {
		t.Errorf("an approval was used twice: %v", err)
	}
}

func TestAnApprovalIsWorthNothingOnceTheWorldMoved(t *testing.T) {
	t.Parallel()
	for _, mode := range []engine.Mode{engine.ModePropose, engine.ModeWrite} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			o, sub, line, release := braked(t, mode)
			o.decide(release, "ann@desk", state.Approved)
			o.edit(o.psa, line, "quantity", model.Int(61))
			if _, err := o.applied(release); !errors.Is(err, engine.ErrMoved) {
				t.Errorf("got %v", err)
			}
			if mode == engine.ModeWrite {
				o.sync()
			}
			if got := o.seats(o.vendor, sub); got != "14" {
				t.Errorf("the vendor has %s", got)
			}
			o.edit(o.psa, line, "quantity", model.Int(60)) // as it was when it was approved
			if _, err := o.applied(release); err != nil || o.seats(o.vendor, sub) != "60" {
				t.Errorf("back again: %v, the vendor has %s", err, o.seats(o.vendor, sub))
			}
		})
	}
}

// A flow that writes on its own does what was approved in its next run, and nothing more.
func TestADaemonDoesWhatWasApproved(t *testing.T) {
	t.Parallel()
	o, sub, line, release := braked(t, engine.ModeWrite)
	o.sync()
	if got := o.seats(o.vendor, sub); got != "14" {
		t.Fatalf("without an approval the vendor has %s", got)
	}
	o.decide(release, "ann@desk", state.Approved)
	o.sync()
	if got := o.seats(o.vendor, sub); got != "60" {
		t.Errorf("approved, and the vendor has %s", got)
	}
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(100))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "60" {
		t.Errorf("the next plan was released too: %s", got)
	}
}

func TestFourEyes(t *testing.T) {
	t.Parallel()
	o, sub, _, release := braked(t, engine.ModeWrite)
	o.flow.Approvals = 2
	refused := func(words ...string) {
		t.Helper()
		_, err := o.applied(release)
		for _, word := range words {
			if !errors.Is(err, state.ErrNotApproved) || !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want %q", err, word)
			}
		}
		if got := o.seats(o.vendor, sub); got != "14" {
			t.Fatalf("the vendor has %s", got)
		}
	}
	o.decide(release, "ann@desk", state.Approved)
	o.decide(release, "ann@desk", state.Approved)
	refused("1 of 2")
	o.sync() // the daemon neither
	o.decide(release, "bob@desk", state.Rejected)
	refused("bob@desk rejected it")
	o.decide(release, "eve@desk", state.Approved)
	refused("bob@desk rejected it")
	o.decide(release, "bob@desk", state.Approved)
	if _, err := o.applied(release); err != nil || o.seats(o.vendor, sub) != "60" {
		t.Errorf("three approve: %v", err)
	}
}

func TestAnApprovalExpires(t *testing.T) {
	t.Parallel()
	o, _, _, release := braked(t, engine.ModePropose)
	o.decide(release, "ann@desk", state.Approved)
	o.now = o.now.Add(engine.ApprovedFor)
	if _, err := o.applied(release); !errors.Is(err, state.ErrNotApproved) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got %v", err)
	}
}

// Approving releases limits and nothing else: a conflict beside them stays, and an observing flow writes nothing.
func TestAnApprovalReleasesOnlyLimits(t *testing.T) {
	t.Parallel()
	o, sub, _, _ := braked(t, engine.ModePropose)
	o.edit(o.vendor, sub, "quantity", model.Int(20)) // both sides changed: a conflict now
	result := o.planned()
	if got := reasons(result.Plan); got != "[held conflict]" || plan.DocumentOf(result.Plan).Release != "" {
		t.Errorf("got %s, release %q", got, plan.DocumentOf(result.Plan).Release)
	}

	watched, sub, _, release := braked(t, engine.ModeObserve)
	watched.decide(release, "ann@desk", state.Approved)
	if _, err := watched.applied(release); err == nil || !strings.Contains(err.Error(), "only observes") || watched.seats(watched.vendor, sub) != "14" {
		t.Errorf("an observing flow: %v", err)
	}
	standing, err := watched.engine.Store.Decisions(t.Context(), release)
	if err != nil || len(standing) != 1 || !standing[0].Used.IsZero() {
		t.Errorf("the approval was used up: %+v, %v", standing, err)
	}
}

func TestASavedReleaseCanBeFound(t *testing.T) {
	t.Parallel()
	o, _, _, release := braked(t, engine.ModePropose)
	saved, err := o.engine.Store.Plan(t.Context(), release)
	if err != nil || !strings.Contains(string(saved.Body), `"lifted"`) {
		t.Errorf("%v: %s", err, saved.Body)
	}
}
