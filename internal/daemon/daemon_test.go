package daemon

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/state"
)

// restart is another process on the same file: nothing is known but what the store kept.
func (h *house) restart() {
	h.Daemon = &Daemon{Engine: h.Engine, Discovers: h.Discovers, Log: h.Log, Changes: h.changes, Tick: tick}
	h.begin()
}

// runs are the state, trigger and reason of each run, oldest first.
func (h *house) runs() []string {
	h.t.Helper()
	runs, err := h.Engine.Store.Runs(h.t.Context(), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	told := make([]string, len(runs))
	for i, r := range runs {
		reason, _, _ := strings.Cut(r.Reason, " 0") // a run's id
		told[len(runs)-1-i] = strings.TrimSpace(r.Started.UTC().Format("15:04 ") + string(r.State) + ", " + string(r.Trigger) + " " + reason)
	}
	return told
}

// Whatever was missed while no daemon ran is caught up once, at once, and the schedule goes on from there.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 05:59", "0 * * * *", time.UTC, func(h *house) {
		h.pass(2 * time.Minute)
		same(t, "the first daemon's reads", []string{"2031-03-14 05:59", "2031-03-14 06:00"}, h.shop.take())
		if err := h.end(); err != nil {
			h.t.Fatal(err)
		}
		h.setClock("2031-03-14 11:20") // five were missed
		h.restart()
		same(t, "caught up", []string{"2031-03-14 11:20"}, h.shop.take())
		h.pass(41 * time.Minute)
		same(t, "afterwards", []string{"2031-03-14 12:00"}, h.shop.take())
		same(t, "runs", []string{"05:59 completed, catch-up", "06:00 completed, schedule", "11:20 completed, catch-up", "12:00 completed, schedule"}, h.runs())

		// Nothing was missed: nothing is caught up.
		if err := h.end(); err != nil {
			h.t.Fatal(err)
		}
		h.setClock("2031-03-14 12:40")
		h.restart()
		same(t, "nothing was missed", nil, h.shop.take())
	})
}

// A run whose time comes while the last one goes on is not doubled. It is recorded, with the reason.
func TestOverlap(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:01", "*/5 * * * *", time.UTC, func(h *house) {
		h.shop.take()
		wait := make(chan struct{})
		h.shop.set(func(s *shop) { s.wait = wait })
		h.pass(10 * time.Minute) // due at 06:05, which waits, and at 06:10
		same(t, "reads", []string{"2031-03-14 06:05"}, h.shop.take())
		h.shop.set(func(s *shop) { s.wait = nil })
		close(wait)
		h.pass(5 * time.Minute)
		same(t, "reads after it", []string{"2031-03-14 06:15"}, h.shop.take())
		same(t, "runs", []string{"06:01 completed, catch-up", "06:05 completed, schedule", "06:10 stopped, schedule skipped: run", "06:15 completed, schedule"}, h.runs())
	})
}

// A second daemon on the file is refused at once, with the name of the first, and runs nothing.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:01", "*/5 * * * *", time.UTC, func(h *house) {
		h.shop.take()
		second := &Daemon{Engine: h.Engine, Discovers: h.Discovers, Log: zap.NewNop(), Ready: func() { h.t.Error("the second daemon says that it is ready") }}
		began := time.Now()
		err := second.Run(h.t.Context())
		if !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "trueup run, process ") {
			h.t.Errorf("the second daemon ended with: %v", err)
		}
		if took := time.Since(began); took != 0 {
			h.t.Errorf("it took %s to be refused", took)
		}
		same(h.t, "reads", nil, h.shop.take())
		h.pass(5 * time.Minute)
		same(h.t, "the first goes on", []string{"2031-03-14 06:05"}, h.shop.take())
	})
}

// A daemon that was killed leaves its lease and its runs behind. When the lease has ended, the next one closes the runs.
func TestAfterAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, "2031-03-14 06:01", "0 7 * * *", time.UTC)
		if _, err := h.Engine.Store.Lock(t.Context(), "trueup run, process 1 on elsewhere"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Engine.Store.StartRun(t.Context(), state.Run{Kind: state.RunDiscovery, Name: "shop", Trigger: state.TriggerSchedule}); err != nil {
			t.Fatal(err)
		}
		h.pass(state.LeaseTime - time.Second)
		if err := h.Run(t.Context()); !errors.Is(err, state.ErrLocked) {
			t.Errorf("within the lease it ended with: %v", err)
		}
		h.pass(2 * time.Second)
		h.restart()
		h.pass(time.Minute)
		same(t, "runs", []string{"06:01 error, schedule interrupted: the daemon that ran it ended without saying so"}, h.runs())
		if err := h.end(); err != nil {
			t.Errorf("the daemon ended with: %v", err)
		}
	})
}

// A daemon with nothing in flight ends at once when it is told to, and gives the lease back.
func TestStopEndsAtOnce(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:01", "0 7 * * *", time.UTC, func(h *house) {
		h.pass(time.Minute)
		began := time.Now()
		if err := h.end(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s to end", took)
		}
		h.restart()
		synctest.Wait()
		if err := h.end(); err != nil {
			t.Errorf("the next one ended with: %v", err)
		}
		h.restart()
	})
}
