package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
)

// A run that fails by what may pass is tried again long before its next time; one that a person must mend, or that would fail alike, is not.
func TestRunsAreTriedAgain(t *testing.T) {
	t.Parallel()
	again := map[connectors.Class]bool{connectors.ClassTransient: true, connectors.ClassLimited: true}
	for _, class := range connectors.Classes {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			inHouse(t, "2031-03-14 05:59", "0 6 * * *", time.UTC, func(h *house) {
				h.shop.take() // it never ran before
				h.shop.set(func(s *shop) { s.fail = &connectors.Error{Class: class, Message: "not now"} })
				if h.pass(10 * time.Minute); again[class] {
					h.pass(2 * time.Hour) // once it fails for the fourth time, it waits for its time
				}
				ends := "partial" // a whole list is missing
				if class == connectors.ClassAuth || class == connectors.ClassInvalid {
					ends = "error"
				}
				want := []string{"06:00 " + ends + ", schedule"}
				if again[class] {
					want = append(want, "5m0s later partial, retry", "15m0s later partial, retry", "45m0s later partial, retry")
				}
				same(t, "runs", want, h.scheduled())
			})
		})
	}
}

// When it works again, or somebody ran it meanwhile, nothing is tried any more; and what comes round soon anyway is not tried in between.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	fail := func(s *shop) { s.fail = &connectors.Error{Class: connectors.ClassTransient, Message: "not now"} }
	mend := func(s *shop) { s.fail = nil }
	t.Run("mended", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:59", "0 6 * * *", time.UTC, func(h *house) {
			h.shop.set(fail)
			h.pass(3 * time.Minute)
			h.shop.set(mend)
			h.pass(25 * time.Minute)
			same(t, "runs", []string{"06:00 partial, schedule", "5m0s later completed, retry"}, h.scheduled())
		})
	})
	t.Run("somebody was faster", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:59", "0 6 * * *", time.UTC, func(h *house) {
			h.shop.set(fail)
			h.pass(3 * time.Minute)
			h.shop.set(mend)
			if _, err := h.Engine.Discover(h.t.Context(), "shop", state.TriggerManual); err != nil {
				t.Fatal(err)
			}
			h.pass(25 * time.Minute)
			same(t, "runs", []string{"06:00 partial, schedule", "06:02 completed, manual"}, h.scheduled())
		})
	})
	t.Run("its next time is near", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:59", "*/10 * * * *", time.UTC, func(h *house) {
			h.shop.set(fail)
			h.pass(12 * time.Minute)
			same(t, "runs", []string{"06:00 partial, schedule", "06:10 partial, schedule"}, h.scheduled())
		})
	})
	t.Run("after a restart", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:59", "0 6 * * *", time.UTC, func(h *house) {
			h.shop.set(fail)
			h.pass(3 * time.Minute)
			if err := h.end(); err != nil {
				t.Fatal(err)
			}
			h.shop.set(mend)
			h.pass(20 * time.Minute)
			h.begin()
			h.pass(3 * time.Minute)
			same(t, "runs", []string{"06:00 partial, schedule", "22m0s later completed, retry"}, h.scheduled())
		})
	})
}

// What ends a run in error counts by its class, however deep it lies; what the store says of itself passes when others are done with it.
func TestPassing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("read psa: %w", &connectors.Error{Class: connectors.ClassTransient}), true},
		{fmt.Errorf("read psa: %w", &connectors.Error{Class: connectors.ClassLimited}), true},
		{fmt.Errorf("read psa: %w", &connectors.Error{Class: connectors.ClassAuth}), false},
		{&connectors.Error{Class: connectors.ClassInvalid}, false},
		{fmt.Errorf("keep records: %w", state.ErrBusy), true},
		{fmt.Errorf("keep records: %w", state.ErrLost), true},
		{fmt.Errorf("keep records: %w", state.ErrFull), false},
		{engine.ErrMoved, false},
		{fmt.Errorf("flow cloud only observes"), false},
	} {
		if got := passing(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

// scheduled are the runs after the first, oldest first: those that are tried again with how long after the one before. The queue of a file is looked into
// once a minute, and so is what rests in it.
func (h *house) scheduled() []string {
	h.t.Helper()
	runs, err := h.Engine.Store.Runs(h.t.Context(), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	var list []string
	for i := len(runs) - 2; i >= 0; i-- {
		began := runs[i].Started.Format("15:04")
		if runs[i].Trigger == state.TriggerRetry {
			after := runs[i].Started.Sub(runs[i+1].Started)
			for _, least := range []time.Duration{jobs.Backoff(1), jobs.Backoff(2), 22 * time.Minute, jobs.Backoff(3)} {
				if after >= least && after < least+150*time.Second {
					after = least
				}
			}
			began = after.String() + " later"
		}
		list = append(list, fmt.Sprintf("%s %s, %s", began, runs[i].State, runs[i].Trigger))
	}
	return list
}

// What only another daemon's configuration has is handed on, for a while, and so is a run whose daemon is told to stop. The one daemon of a file has nobody
// to hand anything to.
func TestHandedOn(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 05:59", "0 6 * * *", time.UTC, func(h *house) {
		stopped, stop := context.WithCancel(h.t.Context())
		stop()
		body := func(v any) json.RawMessage {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		read := engine.Part{Run: "r", Read: &engine.ReadPart{Account: "elsewhere", Kind: "customer"}}
		write := engine.Part{Run: "r", Write: &engine.WritePart{Flow: "cloud", Changes: []plan.Change{{Account: "shop"}, {Account: "elsewhere"}}}}
		for _, tt := range []struct {
			name    string
			ctx     context.Context
			several bool
			do      jobs.Handler
			body    any
			age     time.Duration
			on      bool // handed on
		}{
			{"a flow of another", h.t.Context(), true, h.doRun, runJob{state.RunFlow, "cloud", state.TriggerSchedule}, 0, true},
			{"an account of another", h.t.Context(), true, h.doRun, runJob{state.RunDiscovery, "elsewhere", state.TriggerSchedule}, 59 * time.Minute, true},
			{"one that nobody has", h.t.Context(), true, h.doRun, runJob{state.RunDiscovery, "elsewhere", state.TriggerSchedule}, 61 * time.Minute, false},
			{"of a file", h.t.Context(), false, h.doRun, runJob{state.RunFlow, "cloud", state.TriggerSchedule}, 0, false},
			{"a part that reads", h.t.Context(), true, h.doPart, read, 9 * time.Minute, true},
			{"a part that writes", h.t.Context(), true, h.doPart, write, 0, true},
			{"a part that nobody can do", h.t.Context(), true, h.doPart, write, 11 * time.Minute, false},
			{"a run while stopping", stopped, true, h.doRun, runJob{state.RunDiscovery, "shop", state.TriggerSchedule}, 0, true},
		} {
			h.several = tt.several
			_, err := tt.do(tt.ctx, jobs.Call{Body: body(tt.body), Try: 1, Age: tt.age})
			if _, again := errors.AsType[jobs.Again](err); again != tt.on || err == nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		h.several = false
	})
}
