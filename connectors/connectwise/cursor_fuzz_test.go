package connectwise

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// Whatever stands where a cursor was kept, it is refused as invalid, or followed to a cursor that can be followed again and does not go back.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"since":"2031-02-01T08:00:00Z"}`, `{"v":1,"since":"2031-02-01T08:00:00Z","seen":{"company:2":"0011223344556677","agreement:5":"00~"},"evidence":{}}`,
		`{"v":2,"since":"2031-02-01T08:00:00Z"}`, `{"v":1,"since":"0001-01-01T00:00:00Z"}`, `{"v":1,"since":"9999-12-31T23:59:59Z"}`,
		`{"v":1,"since":"2031-02-01T08:00:00+23:59","seen":{"":""}}`, `{"v":1,"since":"-"}`, `[]`, `null`, `x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := newWorld(t)
		learnt := w.c.Learnt(text)
		if again := w.c.Learnt(learnt); again != learnt {
			t.Errorf("learnt %q and then %q", learnt, again)
		}
		changes, err := w.c.Changes(t.Context(), text)
		if err != nil {
			if connectors.ClassOf(err) != connectors.ClassInvalid {
				t.Errorf("refused as %s: %v", connectors.ClassOf(err), err)
			}
			return
		}
		var was, is cursor
		if err := json.Unmarshal([]byte(changes.Cursor), &is); err != nil {
			t.Fatalf("it gave the cursor %q: %v", changes.Cursor, err)
		}
		if text != "" && json.Unmarshal([]byte(text), &was) == nil && is.Since.Before(was.Since) {
			t.Errorf("the cursor goes back from %s to %s", was.Since, is.Since)
		}
		w.clock.Add(time.Minute)
		if _, err := w.c.Changes(t.Context(), changes.Cursor); err != nil {
			t.Errorf("its own cursor is refused: %v", err)
		}
	})
}
