package daemon

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// shop is a system with one customer, whose listing can fail, lack parts or take its time.
type shop struct {
	now func() time.Time

	mu     sync.Mutex
	listed []string // when, as the clocks showed it in UTC
	fail   error
	gaps   []connectors.Gap
	wait   chan struct{} // a listing goes on when it is closed, whatever its context says; nil for at once
}

func (s *shop) Descriptor() connectors.Descriptor {
	return connectors.Descriptor{System: "shop", Title: "Shop", Role: connectors.RoleVendor, Kinds: []connectors.Kind{{
		Name: "customer", Title: "Customer", Abilities: []connectors.Ability{connectors.AbilityList},
		Fields: []connectors.Field{{Name: "name", Type: model.TypeText}},
	}}}
}

func (s *shop) Check(context.Context) (connectors.Report, error) { return connectors.Report{}, nil }

func (s *shop) List(_ context.Context, _ connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
	s.mu.Lock()
	s.listed = append(s.listed, s.now().UTC().Format("2006-01-02 15:04"))
	fail, gaps, wait := s.fail, s.gaps, s.wait
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
	if fail != nil {
		return connectors.Listing{}, fail
	}
	err := yield(connectors.Record{Kind: "customer", ID: "1", Fields: model.Fields{"name": model.Text("Contoso")}})
	return connectors.Listing{Received: 1, Gaps: gaps}, err
}

// set changes how the shop behaves.
func (s *shop) set(change func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// take returns when it was listed since the last call.
func (s *shop) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := s.listed
	s.listed = nil
	return listed
}

const shopMapping = "version: 1\nsystem: shop\nrecords:\n  customer:\n    from: customer\n    fields:\n      name: name\n"

// house is a daemon that reads one shop, in a bubble of fake time whose clocks can be set.
type house struct {
	*Daemon
	t       *testing.T
	shop    *shop
	file    string
	offset  atomic.Int64
	changes chan Work
	logs    *observer.ObservedLogs
	stop    context.CancelFunc
	ended   chan error
}

// clock is what the clocks on the wall show.
func (h *house) clock() time.Time { return time.Now().Add(time.Duration(h.offset.Load())) }

// setClock makes the clocks show another time.
func (h *house) setClock(to string) {
	h.t.Helper()
	at, err := time.Parse("2006-01-02 15:04", to)
	if err != nil {
		h.t.Fatal(err)
	}
	h.offset.Store(int64(time.Until(at)))
}

// pass lets time go by.
func (h *house) pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// tick is longer than the daemon's own, so that days pass in little time, and short enough for the lease.
const tick = 25 * time.Second

// build makes a house whose clocks show a time; the daemon does not run yet.
func build(t *testing.T, at, spec string, location *time.Location) *house {
	t.Helper()
	h := &house{t: t, file: filepath.Join(t.TempDir(), "trueup.db"), changes: make(chan Work), ended: make(chan error, 1)}
	h.setClock(at)
	h.shop = &shop{now: h.clock}
	core, logs := observer.New(zapcore.InfoLevel)
	h.logs = logs
	if err := statetest.Blank(h.file); err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(t.Context(), "sqlite:"+h.file, state.WithClock(h.clock), state.WithWait(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var problems diag.List
	m := mapping.Load("shop.yaml", []byte(shopMapping), h.shop.Descriptor(), &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	e := &engine.Engine{Store: store, Accounts: map[string]*apply.Account{"shop": {Name: "shop", Connector: h.shop, Mapping: m}},
		Log: zap.NewNop(), Now: h.clock, Location: location}
	h.Daemon = &Daemon{Engine: e, Discovers: map[string]string{"shop": spec}, Log: zap.New(core), Changes: h.changes, Tick: tick}
	return h
}

// begin runs the daemon until the test ends, or end is called.
func (h *house) begin() {
	h.t.Helper()
	var ctx context.Context
	ctx, h.stop = context.WithCancel(h.t.Context())
	go func() { h.ended <- h.Run(ctx) }()
	synctest.Wait()
	h.pass(time.Second) // what is due at once is queued, and taken from the queue
}

// end stops the daemon and gives what it returned.
func (h *house) end() error {
	h.stop()
	return <-h.ended
}

func inHouse(t *testing.T, at, spec string, location *time.Location, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, at, spec, location)
		h.begin()
		test(h)
		if err := h.end(); err != nil {
			t.Errorf("the daemon ended with: %v", err)
		}
	})
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// inbox are the kinds and titles of the daemon's own findings.
func (h *house) inbox() []string {
	h.t.Helper()
	findings, err := h.Engine.Store.Findings(h.t.Context(), true, Inbox)
	if err != nil {
		h.t.Fatal(err)
	}
	var titles []string
	for _, f := range findings {
		if f.Next == "" || f.Detail == "" {
			h.t.Errorf("finding %q says not what to do: %+v", f.Title, f)
		}
		titles = append(titles, f.Kind+": "+f.Title)
	}
	return titles
}

// A daemon through the nights on which clocks change: one run each day.
func TestSeasons(t *testing.T) {
	t.Parallel()
	london := zone(t, "Europe/London")
	t.Run("spring", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-30 00:50", "30 1 * * *", london, func(h *house) {
			h.shop.take() // it never ran before
			h.pass(time.Hour)
			h.setClock("2031-03-31 00:20")
			h.pass(20 * time.Minute)
			same(t, "runs", []string{"2031-03-30 01:30", "2031-03-31 00:30"}, h.shop.take())
		})
	})
	t.Run("autumn", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-10-26 00:20", "30 1 * * *", london, func(h *house) {
			h.shop.take()
			h.pass(2 * time.Hour) // half past one comes twice
			h.setClock("2031-10-27 01:20")
			h.pass(20 * time.Minute)
			same(t, "runs", []string{"2031-10-26 00:30", "2031-10-27 01:30"}, h.shop.take())
		})
	})
}

// Clocks that are set neither double a day nor leave one out, and a schedule does not wait for a time that was a mistake.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	t.Run("back over a run", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:00", "0 6 * * *", time.UTC, func(h *house) {
			h.shop.take()
			h.pass(65 * time.Minute)
			h.setClock("2031-03-14 05:35")
			h.pass(time.Hour)
			h.setClock("2031-03-15 05:50")
			h.pass(20 * time.Minute)
			same(t, "runs", []string{"2031-03-14 06:00", "2031-03-15 06:00"}, h.shop.take())
		})
	})
	t.Run("back by a year", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2032-03-14 05:00", "*/15 * * * *", time.UTC, func(h *house) {
			h.shop.take()
			h.setClock("2031-03-14 05:01")
			h.pass(35 * time.Minute)
			same(t, "runs", []string{"2031-03-14 05:15", "2031-03-14 05:30"}, h.shop.take())
			if h.logs.FilterMessage("the clock was set back; the schedule follows it").Len() != 1 {
				t.Errorf("nothing was said: %v", h.logs.All())
			}
		})
	})
	t.Run("forward over a run", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 05:00", "0 6 * * *", time.UTC, func(h *house) {
			h.shop.take()
			h.pass(time.Minute)
			h.setClock("2031-03-16 08:00") // a machine that slept for two days looks the same
			h.pass(30 * time.Second)
			same(t, "runs", []string{"2031-03-16 08:00"}, h.shop.take())
			h.setClock("2031-03-17 05:50")
			h.pass(20 * time.Minute)
			same(t, "runs of the next day", []string{"2031-03-17 06:00"}, h.shop.take())
		})
	})
}

// A run that does not come to an end is missed: it is in the inbox, and trueup is not ready. With the end it goes away.
func TestMissedSchedule(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:00", "*/5 * * * *", time.UTC, func(h *house) {
		if reasons := h.Health().NotReady(); len(reasons) != 1 || !strings.Contains(reasons[0], "never read completely") {
			t.Errorf("at the start it is not ready because of %q", reasons)
		}
		h.pass(2 * time.Minute)
		if reasons := h.Health().NotReady(); len(reasons) != 0 {
			t.Errorf("after the first read it is not ready because of %q", reasons)
		}
		wait := make(chan struct{})
		h.shop.set(func(s *shop) { s.wait = wait })
		h.pass(17 * time.Minute) // 06:19: due at 06:05, late at 06:20
		if missed := h.inbox(); missed != nil {
			t.Errorf("too early: %q", missed)
		}
		h.pass(3 * time.Minute)
		const said = "discovery shop was due at 2031-03-14 06:05 UTC and has not come to an end since"
		same(t, "inbox", []string{"missed_schedule: " + said}, h.inbox())
		same(t, "readiness", []string{said}, h.Health().NotReady())
		if dead := h.Health().Alive(); dead != "" {
			t.Errorf("it is alive, although a run hangs: %s", dead)
		}
		if n := h.logs.FilterMessage(said).Len(); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		h.shop.set(func(s *shop) { s.wait = nil })
		close(wait)
		h.pass(6 * time.Minute)
		same(t, "inbox after it", nil, h.inbox())
		same(t, "readiness after it", []string{}, h.Health().NotReady())
	})
}

// Runs that end in error are told after the third, and not any more after a good one; the count survives a restart.
func TestFailingRuns(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:00", "*/5 * * * *", time.UTC, func(h *house) {
		h.shop.set(func(s *shop) {
			s.fail = &connectors.Error{Class: connectors.ClassAuth, Message: "the keys are refused", Hint: "make new ones"}
		})
		h.pass(11 * time.Minute)
		same(t, "inbox after two", nil, h.inbox())
		if err := h.end(); err != nil {
			t.Fatal(err)
		}
		h.begin()
		h.pass(5 * time.Minute)
		same(t, "inbox after three", []string{"failing_runs: discovery shop ends in error again and again"}, h.inbox())
		if w := h.Health().Warnings(); len(w) != 1 || !strings.Contains(w[0], "3 times in a row: the keys are refused") {
			t.Errorf("warnings: %q", w)
		}
		h.shop.set(func(s *shop) { s.fail = nil })
		h.pass(7 * time.Minute)
		same(t, "inbox after a good one", nil, h.inbox())
	})
}

// A read that is old is told, and makes trueup not ready. Where parts are missing that is only a warning: the rest was read.
func TestOldReads(t *testing.T) {
	t.Parallel()
	gap := connectors.Gap{Class: connectors.ClassTransient, Reason: "the last page did not come; it is read again"}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 06:00", "0 * * * *", time.UTC, func(h *house) {
			h.shop.set(func(s *shop) { s.gaps = []connectors.Gap{gap} })
			h.pass(178 * time.Minute) // two more of its times, and an hour for reading, are not over
			same(t, "inbox before", nil, h.inbox())
			h.pass(4 * time.Minute)
			const said = "shop customer was last read completely at 2031-03-14 06:00 UTC"
			same(t, "inbox", []string{"old_read: " + said}, h.inbox())
			same(t, "readiness", []string{said + ": " + gap.Reason}, h.Health().NotReady())
		})
	})
	t.Run("in parts", func(t *testing.T) {
		t.Parallel()
		inHouse(t, "2031-03-14 06:00", "0 * * * *", time.UTC, func(h *house) {
			gap := gap
			gap.Parent = "contoso"
			h.shop.set(func(s *shop) { s.gaps = []connectors.Gap{gap} })
			h.pass(182 * time.Minute)
			same(t, "inbox", nil, h.inbox())
			same(t, "readiness", []string{}, h.Health().NotReady())
			same(t, "warnings", []string{"shop customer is read in parts only: " + gap.Reason}, h.Health().Warnings())
		})
	})
}

// A secret that is not used is told of at two thirds and at eight ninths of its time.
func TestCredentialAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, "2031-03-14 06:00", "0 6 * * *", time.UTC)
		h.Credentials = func(context.Context) ([]Credential, error) {
			return []Credential{{"shop", "refresh_token", time.Date(2031, 1, 14, 6, 0, 0, 0, time.UTC), 90}}, nil
		}
		h.setClock("2031-03-15 05:00") // the sixtieth day is not over
		h.begin()
		same(t, "inbox before", nil, h.inbox())
		h.pass(61 * time.Minute)
		same(t, "inbox after 60 days", []string{"credential_age: refresh_token of account shop will be forgotten by the system"}, h.inbox())
		h.setClock("2031-04-04 06:01")
		h.pass(2 * time.Minute)
		same(t, "inbox after 80 days", []string{"credential_age: refresh_token of account shop will soon be forgotten by the system"}, h.inbox())
		if err := h.end(); err != nil {
			t.Error(err)
		}
	})
}

// Without the state file nothing begins, and the daemon says why it ends.
func TestStateFileIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, "2031-03-14 06:00", "*/5 * * * *", time.UTC)
		var gone atomic.Bool
		h.Intact = func() error {
			if gone.Load() {
				return errors.New("the state file was removed")
			}
			return nil
		}
		h.begin()
		h.shop.take()
		h.pass(5*time.Minute - 2*time.Second) // between two turns, right before the next run
		gone.Store(true)
		if err := <-h.ended; err == nil || err.Error() != "the state file was removed" {
			t.Errorf("it ended with: %v", err)
		}
		same(t, "runs without it", nil, h.shop.take())
	})
}

// While another program locks the file no run begins; the daemon goes on when it lets go in time, and stops when it does not,
// because its lease may be another's by then.
func TestLeaseCannotBeRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, "2031-03-14 06:00", "* * * * *", time.UTC)
		h.Tick = 10 * time.Second
		h.begin()
		other, err := sql.Open("sqlite", "file:"+h.file)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		block := func() *sql.Tx {
			tx, err := other.BeginTx(t.Context(), nil)
			if err == nil {
				_, err = tx.ExecContext(t.Context(), "UPDATE lease SET holder = holder")
			}
			if err != nil {
				t.Fatal(err)
			}
			return tx
		}
		h.pass(35 * time.Second)
		h.shop.take()
		tx := block()
		h.pass(26 * time.Second) // over the minute, at which a run was due
		same(t, "runs meanwhile", nil, h.shop.take())
		if dead := h.Health().Alive(); dead != "the lease cannot be renewed, so no run begins" {
			t.Errorf("alive: %q", dead)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		h.pass(11 * time.Second)
		same(t, "runs after it", []string{"2031-03-14 06:01"}, h.shop.take())
		if dead := h.Health().Alive(); dead != "" {
			t.Errorf("not alive: %q", dead)
		}
		tx = block()
		err = <-h.ended
		if !errors.Is(err, state.ErrBusy) || !strings.Contains(err.Error(), "another daemon may take it") {
			t.Errorf("it ended with: %v", err)
		}
		same(t, "runs in the end", nil, h.shop.take())
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	})
}

// While what is in flight finishes, however long that takes, no other daemon gets the store.
func TestStoppingKeepsTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := build(t, "2031-03-14 06:00", "*/5 * * * *", time.UTC)
		wait := make(chan struct{})
		h.shop.wait = wait
		h.begin()
		h.stop()
		h.pass(5 * time.Minute)
		if _, err := h.Engine.Store.Lock(t.Context(), "another"); !errors.Is(err, state.ErrLocked) {
			t.Errorf("another daemon was let in: %v", err)
		}
		if health := h.Health(); !health.Stopping || !slices.Contains(health.NotReady(), "trueup is stopping") {
			t.Errorf("it does not say that it is stopping: %q", health.NotReady())
		}
		close(wait)
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
		if _, err := h.Engine.Store.Lock(t.Context(), "another"); err != nil {
			t.Errorf("the lease was not given back: %v", err)
		}
	})
}

// New work takes the place of the old: a schedule that stays keeps its times, one that is new is due, and one that is wrong
// changes nothing.
func TestChanges(t *testing.T) {
	t.Parallel()
	inHouse(t, "2031-03-14 06:02", "*/10 * * * *", time.UTC, func(h *house) {
		h.shop.take()
		replaced := make(chan error, 1)
		h.Replaced = func(_, _ int, err error) { replaced <- err }
		work := func(spec string) Work {
			return Work{Engine: h.Engine, Discovers: map[string]string{"shop": spec}}
		}
		h.changes <- work("*/10 * * * *")
		if err := <-replaced; err != nil {
			t.Error(err)
		}
		h.pass(9 * time.Minute)
		same(t, "the same schedule", []string{"2031-03-14 06:10"}, h.shop.take())
		h.changes <- work("*/2 * * * *")
		if err := <-replaced; err != nil {
			t.Error(err)
		}
		h.pass(4 * time.Minute)
		same(t, "another schedule", []string{"2031-03-14 06:12", "2031-03-14 06:14"}, h.shop.take())
		h.changes <- work("every now and then")
		if err := <-replaced; err == nil {
			t.Error("a schedule that makes no sense was taken")
		}
		h.pass(2 * time.Minute)
		same(t, "the old one after a wrong one", []string{"2031-03-14 06:16"}, h.shop.take())
		h.changes <- Work{Engine: h.Engine}
		if err := <-replaced; err != nil {
			t.Error(err)
		}
		h.pass(time.Hour)
		same(t, "nothing to do", nil, h.shop.take())
	})
}
