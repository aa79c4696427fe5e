package statetest

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
)

func journalWritten(t *testing.T, b *bench) {
	ctx := t.Context()
	noon := time.Date(2031, 3, 14, 12, 0, 0, 0, time.UTC)
	at := func(minutes int, intent string, s state.JournalState) state.Entry {
		e := entry(intent, s)
		e.At = noon.Add(time.Duration(minutes) * time.Minute)
		return e
	}
	created, other := at(4, "created", state.JournalIntended), at(5, "other flow", state.JournalIntended)
	created.Op, other.Flow = "create", "other"
	ok(t, b.Append(ctx, at(-1, "before", state.JournalIntended), at(0, "first", state.JournalIntended), at(1, "planned", state.JournalPlanned),
		at(2, "refused", state.JournalIntended), at(3, "lost", state.JournalIntended), created, other, at(6, "sent", state.JournalIntended),
		at(7, "first", state.JournalDone), at(8, "refused", state.JournalFailed), at(9, "lost", state.JournalUnknown), at(10, "lost", state.JournalIntended),
		at(11, "sent", state.JournalSent), at(12, "given up", state.JournalIntended), at(13, "given up", state.JournalAbandoned)))
	body := entry("", state.JournalDone).Body
	want := []state.Written{{Intent: "first", At: noon, Body: body}, {Intent: "lost", At: noon.Add(10 * time.Minute), Body: body}, {Intent: "sent", At: noon.Add(6 * time.Minute), Body: body}}
	equal(t, "changes", must[[]state.Written](t)(b.WrittenSince(ctx, "flow", noon, false)), want)
	want = []state.Written{want[0], want[1], {Intent: "created", At: created.At, Body: body}, want[2]}
	equal(t, "with creations", must[[]state.Written](t)(b.WrittenSince(ctx, "flow", noon, true)), want)
	equal(t, "later", must[[]state.Written](t)(b.WrittenSince(ctx, "flow", noon.Add(time.Hour), true)), []state.Written(nil))
}
