package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// speaking is a connector whose system sends messages. The body of a message is the contract that it names.
type speaking struct {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Changer
	connectors.ChangeFeed
	d *day
}

func (s speaking) Hints(_ context.Context, m connectors.Message) (connectors.Told, error) {
	if m.Header.Get("Signature") != "good" {
		return connectors.Told{}, &connectors.Error{Class: connectors.ClassAuth, Message: "it is not signed"}
	}
	told := connectors.Told{ID: m.Header.Get("Id"), Until: s.d.now().Add(time.Hour)}
	if len(m.Body) > 0 {
		told.Places = []connectors.Ref{{Kind: "addition", Parent: string(m.Body)}}
	}
	return told, nil
}

func (s speaking) Watch(context.Context) ([]connectors.Ref, error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.glances++
	edited := s.d.edited
	s.d.edited = nil
	return edited, s.d.blind
}

// day is an MSP in a bubble whose PSA tells the daemon of edits.
type day struct {
	*month
	daemon *daemon.Daemon

	heard   map[string]int
	glances int
	edited  []connectors.Ref
	blind   error
}

// aDay lives a day of a world in which both sides are in step, and in which the schedule comes at noon and midnight only.
func aDay(t *testing.T, every time.Duration, live func(t *testing.T, d *day)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trueup.db")
	if err := statetest.Blank(file); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := &day{month: &month{t: t, month: time.March, location: time.UTC, file: file}, heard: map[string]int{}}
		d.offset = time.Until(time.Date(2031, 3, 1, 0, 15, 0, 0, time.UTC))
		d.vendor, d.psa = memory.NewVendor(memory.Options{Now: d.now}), memory.NewPSA(memory.Options{Now: d.now})
		d.fill()
		d.speaks = func(account string, c connectors.Connector) connectors.Connector {
			if account != "psa" {
				return c
			}
			return speaking{c, c.(connectors.Lister), c.(connectors.Reader), c.(connectors.Changer), c.(connectors.ChangeFeed), d}
		}
		d.more = func(made *daemon.Daemon) {
			d.daemon = made
			made.Tick = time.Minute
			made.Sooner = map[string]daemon.Sooner{"psa": {Webhook: true, Every: every}}
			made.Heard = func(account, outcome string, n int) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.heard[account+" "+outcome] += n
			}
		}
		d.start()
		live(t, d)
		d.stops()
	})
}

// say sends a message about a pair's contract.
func (d *day) say(id string, n int) {
	d.t.Helper()
	if err := d.send(id, d.lines[n].Parent); err != nil {
		d.t.Fatal(err)
	}
}

func (d *day) send(id, body string) error {
	return d.daemon.Receive(d.t.Context(), "psa", connectors.Message{Header: map[string][]string{"Signature": {"good"}, "Id": {id}}, Body: []byte(body)})
}

// looks counts the runs that followed hints.
func (d *day) looks() int {
	counts, _ := d.came("cloud")
	n := 0
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		if what == string(state.TriggerHint) {
			n += counts[what]
		}
	}
	return n
}

func (d *day) bought(n int, want string) {
	d.t.Helper()
	sub, _ := d.vendor.Get(d.subs[n])
	if got := sub.Fields["quantity"].String(); got != want {
		d.t.Errorf("pair %d: %s seats are bought, wanted %s", n, got, want)
	}
}

func (d *day) outcomes(want map[string]int) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, d.heard); diff != "" {
		d.t.Errorf("what became of messages (-want +got):\n%s", diff)
	}
}

func (d *day) pass(by time.Duration) {
	<-time.After(by)
	synctest.Wait()
}

// An edit that is told is followed within a moment, without any schedule; nobody else is looked at; a copy of the message does nothing; what no one
// told waits for noon.
func TestHintsAreFollowed(t *testing.T) {
	t.Parallel()
	aDay(t, 0, func(t *testing.T, d *day) {
		d.until(1, 9, 0)
		d.bills(0, 12)
		d.bills(2, 14) // of the other customer
		d.say("m1", 0)
		d.pass(time.Second)
		d.bought(0, "12")
		d.bought(2, "10")
		d.say("m1", 0)
		d.pass(time.Minute)
		if got := d.looks(); got != 1 {
			t.Errorf("%d looks", got)
		}
		d.outcomes(map[string]int{"psa taken": 1, "psa repeated": 1})
		d.until(1, 12, 1)
		d.bought(2, "14")
		counts, _ := d.came("cloud")
		if diff := cmp.Diff(map[string]int{"catch-up": 1, "schedule": 1, "hint": 1}, counts); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	})
}

// What is not signed is refused, an account without webhooks takes none, a contract that nobody knows is not looked for, and a message about
// something else wakes nobody.
func TestHintsThatSayNothing(t *testing.T) {
	t.Parallel()
	aDay(t, 0, func(t *testing.T, d *day) {
		d.until(1, 9, 0)
		err := d.daemon.Receive(t.Context(), "psa", connectors.Message{Body: []byte(d.lines[0].Parent)})
		if connectors.ClassOf(err) != connectors.ClassAuth {
			t.Errorf("not signed: %v", err)
		}
		for _, account := range []string{"microsoft", "nobody"} {
			if err := d.daemon.Receive(t.Context(), account, connectors.Message{}); !errors.Is(err, daemon.ErrNoHook) || d.daemon.Takes(account) {
				t.Errorf("%s: %v", account, err)
			}
		}
		for id, body := range map[string]string{"m1": "4711", "m2": ""} {
			if err := d.send(id, body); err != nil {
				t.Fatal(err)
			}
		}
		d.pass(time.Minute)
		d.outcomes(map[string]int{"psa refused": 1, "psa taken": 1, "psa unknown": 1, "psa nothing": 1})
		if got := d.looks(); got != 0 {
			t.Errorf("%d looks", got)
		}
	})
}

// Ten thousand messages become few runs and one write, and neither the schedule nor anything else is kept waiting.
func TestAStormOfHints(t *testing.T) {
	t.Parallel()
	aDay(t, 0, func(t *testing.T, d *day) {
		d.until(1, 11, 59)
		d.bills(0, 12)
		lost := 0
		for n := range 10_000 {
			if errors.Is(d.send(fmt.Sprint("m", n), d.lines[n%4].Parent), daemon.ErrTooMany) {
				lost++
			}
			if n%500 == 499 {
				d.pass(time.Second)
			}
		}
		d.until(1, 12, 5)
		d.bought(0, "12")
		if got := d.looks(); got < 1 || got > 60 {
			t.Errorf("%d looks for ten thousand messages", got)
		}
		if lost > 0 {
			t.Errorf("%d messages were put off", lost)
		}
		if got := d.vendor.TotalEffects(); got != 1 {
			t.Errorf("%d writes to the vendor", got)
		}
		counts, _ := d.came("cloud")
		if counts["schedule"] != 2 || counts["schedule, stopped"] != 0 {
			t.Errorf("the runs of noon and two minutes later: %v", counts)
		}
	})
}

// A message that comes while the customer is being looked at leads to one more look, after it.
func TestHintsDuringALook(t *testing.T) {
	t.Parallel()
	aDay(t, 0, func(t *testing.T, d *day) {
		d.until(1, 9, 0)
		if err := d.psa.Misbehave(memory.Slow, ""); err != nil {
			t.Fatal(err)
		}
		d.bills(0, 12)
		d.say("m1", 0)
		d.pass(time.Second) // it waits for an answer
		d.bills(1, 13)      // on the same contract, perhaps after it was listed
		d.say("m2", 0)
		d.say("m3", 0)
		d.pass(time.Second)
		d.psa.Behave(memory.Slow)
		d.pass(5 * time.Minute)
		d.bought(0, "12")
		d.bought(1, "13")
		if got := d.looks(); got != 2 {
			t.Errorf("%d looks, wanted two", got)
		}
		if got := d.vendor.TotalEffects(); got != 2 {
			t.Errorf("%d writes to the vendor", got)
		}
	})
}

// An account that is glanced at is asked as often as it is set, and what the glance shows is followed. One that cannot show it is left alone.
func TestGlances(t *testing.T) {
	t.Parallel()
	aDay(t, 10*time.Second, func(t *testing.T, d *day) {
		d.until(1, 9, 0)
		count := func() int {
			d.mu.Lock()
			defer d.mu.Unlock()
			n := d.glances
			d.glances = 0
			return n
		}
		count()
		d.pass(time.Minute)
		if got := count(); got < 5 || got > 6 {
			t.Errorf("%d glances a minute", got)
		}
		d.bills(3, 15)
		d.mu.Lock()
		d.edited = []connectors.Ref{{Kind: "addition", Parent: d.lines[3].Parent}}
		d.mu.Unlock()
		d.pass(11 * time.Second)
		d.bought(3, "15")
		d.outcomes(map[string]int{"psa watched": 1})
		d.mu.Lock()
		d.blind = &connectors.Error{Class: connectors.ClassInvalid, Message: "it does not show"}
		d.mu.Unlock()
		d.pass(time.Minute)
		count()
		d.pass(13 * time.Minute)
		if got := count(); got > 1 {
			t.Errorf("%d glances at a system that does not show it", got)
		}
	})
}

// A flow in which a person decides is in no hurry: its accounts' hints are not kept.
func TestHintsOfAFlowThatProposes(t *testing.T) {
	t.Parallel()
	aDay(t, 0, func(t *testing.T, d *day) {
		d.until(1, 9, 0)
		d.stops()
		more := d.more
		d.more = func(made *daemon.Daemon) {
			more(made)
			made.Flows[0].Mode = engine.ModePropose
		}
		d.start()
		d.bills(0, 12)
		d.say("m1", 0)
		d.pass(time.Minute)
		d.bought(0, "10")
		d.outcomes(map[string]int{"psa nothing": 1})
	})
}
