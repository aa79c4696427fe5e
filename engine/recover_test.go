package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/state"
)

// dying is a journal whose process is killed after the first intent: nothing is kept from then on.
type dying struct {
	*state.Store
	dead bool
}

func (d *dying) Append(ctx context.Context, entries ...state.Entry) error {
	if d.dead {
		return errKilled
	}
	d.dead = true
	return d.Store.Append(ctx, entries...)
}

func (d *dying) Settle(context.Context, state.Entry, []state.Snapshot, []state.Link) error {
	return errKilled
}

// A creation whose process was killed, or whose reply was lost, may still be on its way when it is looked for. It is not made again before it cannot
// come any more.
func TestACreationMayStillCome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		killed bool
		after  time.Duration // between the intent and the look
		open   bool          // after the look
	}{
		{"killed, looked at once", true, 0, true},
		{"killed, looked a little too early", true, 2*time.Minute - time.Second, true},
		{"killed, looked late enough", true, 2 * time.Minute, false},
		{"reply lost, looked too early", false, time.Minute, true},
		{"reply lost, looked late enough", false, 3 * time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, _, _ := linked(t)
			o.subscription("t-kea", "s-2", 3, "P1M")
			o.item(premium + " P1M monthly")
			o.misbehave(o.psa, memory.LostBeforeCommit, "1")
			if tt.killed {
				o.engine.Journal = &dying{Store: o.engine.Store}
				if _, err := o.run(engine.Options{Apply: true}); !errors.Is(err, errKilled) {
					t.Fatalf("it ended with %v", err)
				}
				o.engine.Journal = nil
			} else if result := o.sync(); result.Outcome.Unknown != 1 {
				t.Fatalf("got %+v", result.Outcome)
			}
			sent := o.now
			look := func(after time.Duration) (open, lines int) {
				t.Helper()
				o.now = sent.Add(after - 5*time.Minute) // a run begins five minutes later
				o.sync()
				entries, err := o.engine.Store.OpenIntents(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				return len(entries), len(o.psa.Records("addition"))
			}
			open, lines := look(tt.after)
			if want := map[bool]int{true: 1}[tt.open]; open != want || lines != 2-want {
				t.Errorf("%s after it was to be sent %d intents are open and there are %d lines", tt.after, open, lines)
			}
			if open, lines = look(5 * time.Minute); open != 0 || lines != 2 {
				t.Errorf("in the end %d intents are open and there are %d lines", open, lines)
			}
			o.now = sent.Add(10 * time.Minute)
			o.settled()
		})
	}
}
