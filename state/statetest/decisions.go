package statetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
)

func decision(person string, verdict state.Verdict, expires time.Time) state.Decision {
	return state.Decision{Digest: "d1", Flow: "flow", Person: person, Verdict: verdict, Reason: "checked", Expires: expires}
}

func approvals(t *testing.T, b *bench) {
	ctx := t.Context()
	use := func(people int) error {
		t.Helper()
		_, err := b.UseApproval(ctx, "d1", people, "run-1")
		return err
	}
	tomorrow := b.clock.Now().Add(24 * time.Hour)
	refused(t, use(1), state.ErrNotApproved, "0 of 1", "trueup approve d1")

	kept := must[state.Decision](t)(b.Decide(ctx, decision("ann@desk", state.Approved, tomorrow)))
	equal(t, "of the plan", must[[]state.Decision](t)(b.Decisions(ctx, "d1")), []state.Decision{kept})
	equal(t, "of another plan", must[[]state.Decision](t)(b.Decisions(ctx, "d")), []state.Decision(nil))

	// Twice the same person is one person.
	must[state.Decision](t)(b.Decide(ctx, decision("Ann@psa", state.Approved, tomorrow)))
	refused(t, use(2), state.ErrNotApproved, "1 of 2")

	// A rejection stands whatever others say, until the same person approves.
	must[state.Decision](t)(b.Decide(ctx, decision("bob@desk", state.Rejected, time.Time{})))
	refused(t, use(1), state.ErrNotApproved, "bob@desk", "checked")
	must[state.Decision](t)(b.Decide(ctx, decision("bob@desk", state.Approved, tomorrow.Add(time.Hour))))

	// What expired does not count.
	b.clock.Advance(24*time.Hour + time.Minute)
	refused(t, use(2), state.ErrNotApproved, "1 of 2")
	must[state.Decision](t)(b.Decide(ctx, decision("ann@desk", state.Approved, b.clock.Now().Add(time.Hour))))

	used := must[[]state.Decision](t)(b.UseApproval(ctx, "d1", 2, "run-2"))
	if len(used) != 2 || used[0].Person != "ann@desk" || used[0].Run != "run-2" || !used[0].Used.Equal(b.clock.Now()) {
		t.Errorf("used %+v", used)
	}
	refused(t, use(1), state.ErrNotApproved, "0 of 1", "run-2", "once")
	all := must[[]state.Decision](t)(b.Decisions(ctx, "d1"))
	if len(all) != 5 || all[4].Run != "run-2" || all[0].Run != "" {
		t.Errorf("kept %+v", all)
	}
}

func approvalsExpired(t *testing.T, b *bench) {
	ctx := t.Context()
	must[state.Decision](t)(b.Decide(ctx, decision("ann@desk", state.Approved, b.clock.Now().Add(time.Hour))))
	b.clock.Advance(time.Hour)
	_, err := b.UseApproval(ctx, "d1", 1, "run-1")
	refused(t, err, state.ErrNotApproved, "0 of 1", "expired")
}

func approvalsRefused(t *testing.T, b *bench) {
	now := b.clock.Now()
	nobody, unsaid, nothing := decision("", state.Approved, now.Add(time.Hour)), decision("ann", "maybe", now.Add(time.Hour)), decision("ann", state.Approved, now.Add(time.Hour))
	nothing.Digest = ""
	for name, d := range map[string]state.Decision{"nobody": nobody, "no verdict": unsaid, "no plan": nothing, "expired before it begins": decision("ann", state.Approved, now)} {
		if _, err := b.Decide(t.Context(), d); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	equal(t, "kept", len(must[[]state.Decision](t)(b.Decisions(t.Context(), "d1"))), 0)
}

func journalExport(t *testing.T, b *bench) {
	ctx := t.Context()
	export := func() ([]byte, state.Head) {
		t.Helper()
		var file bytes.Buffer
		head := must[state.Head](t)(b.ExportJournal(ctx, &file))
		return file.Bytes(), head
	}
	verified := func(file []byte, known state.Head) state.Export {
		t.Helper()
		return must[state.Export](t)(state.VerifyExport(bytes.NewReader(file), known))
	}
	empty, head := export()
	equal(t, "an empty journal", []any{verified(empty, state.Head{}).Count, head}, []any{int64(0), state.Head{}})

	hard := entry("i1", state.JournalIntended)
	hard.Note, hard.Reply, hard.Flow = "<b> & \u2028 \"quoted\" \\ ü\n", "{\"a\": 1,  \"b\":\"\\u003c\"}\x00\xff", "other"
	ok(t, b.Append(ctx, entry("i0", state.JournalIntended), hard))
	early, first := export()
	ok(t, b.Append(ctx, entry("i0", state.JournalDone)))
	file, last := export()
	got := verified(file, first)
	equal(t, "count and flows", []any{got.Count, got.Flows, got.Head}, []any{int64(3), []string{"flow", "other"}, last})
	equal(t, "the head is that of the store", last, must[state.Head](t)(b.VerifyJournal(ctx)))
	_, err := state.VerifyExport(bytes.NewReader(early), last)
	refused(t, err, state.ErrBroken, "ends at entry 2", "entry 3", "cut off")
	equal(t, "lines", strings.Count(string(file), "\n"), 5)

	ok(t, b.VerifyHead(ctx, first))
	refused(t, b.VerifyHead(ctx, state.Head{Seq: 2, Hash: last.Hash}), state.ErrBroken, "entry 2")
	refused(t, b.VerifyHead(ctx, state.Head{Seq: 4, Hash: last.Hash}), state.ErrBroken, "entry 4", "cut off")
}
