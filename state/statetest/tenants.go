package statetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// live fills a store with one of everything, under ids that every tenant uses, and returns the id of its run in progress.
func live(t testing.TB, b *bench, seatCount int64) (run string) {
	t.Helper()
	ctx := t.Context()
	text := fmt.Sprint(seatCount)
	ok(t, b.SetCursor(ctx, "microsoft", text))
	ok(t, b.SetSwept(ctx, "microsoft", "subscription", b.clock.Now()))
	ok(t, b.SetGaps(ctx, "microsoft", "subscription", []connectors.Gap{{Parent: "c1", Reason: text}}))
	run = must[state.Run](t)(b.StartRun(ctx, newRun("flow"))).ID
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", seatCount)}, run))
	ok(t, b.PutLinks(ctx, []state.Link{line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1"))}))
	ok(t, b.Append(ctx, entry("i1", state.JournalIntended)))
	done := entry("i1", state.JournalDone)
	done.Note = text
	ok(t, b.Settle(ctx, done, []state.Snapshot{{Link: "l1", Side: state.SidePSA, Fields: seats(seatCount), At: b.clock.Now(), Run: run}}, nil))
	ok(t, b.Append(ctx, entry("i2", state.JournalIntended)))
	must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", run, []state.Finding{{Key: "k1", Kind: "drift", Title: text}}, nil))
	ok(t, b.SavePlan(ctx, "abc1", "flow", run, b.clock.Now(), []byte(`{"seats": `+text+`}`)))
	must[[]bool](t)(b.GiveHints(ctx, []state.Message{{Account: "psa", ID: "m1", Expires: b.clock.Now().Add(time.Hour), Hints: about("psa", text)}}))
	d := decision("ann@desk", state.Rejected, b.clock.Now())
	d.Reason = text
	must[state.Decision](t)(b.Decide(ctx, d))
	ok(t, b.PutTold(ctx, state.Told{Flow: "flow", Matter: "m1", Account: "psa", Ticket: "7", Said: text}))
	must[state.Wish](t)(b.PutWish(ctx, wish("1", "kea")))
	end := endDecision("s1", "renew", model.NewDay(2031, time.March, 31))
	end.Seats = text
	must[state.EndDecision](t)(b.DecideEnd(ctx, end))
	return run
}

// picture is all that a store shows through its methods.
func picture(t testing.TB, b *bench, run string) string {
	t.Helper()
	ctx := t.Context()
	var out bytes.Buffer
	tell := func(what string, v ...any) { fmt.Fprintln(&out, append([]any{what}, v...)...) }
	cursor, at, err := b.Cursor(ctx, "microsoft")
	tell("cursor", cursor, at, err)
	swept, known, err := b.Swept(ctx, "microsoft", "subscription")
	tell("swept", swept, known, err)
	tell("gaps", fmt.Sprint(b.Gaps(ctx, "microsoft", "subscription")))
	tell("count", fmt.Sprint(b.CountRecords(ctx, "microsoft", "subscription")))
	ok(t, b.Records(ctx, "microsoft", "subscription", state.RecordFilter{IncludeGone: true}, func(r state.Stored) error {
		tell("record", r)
		return nil
	}))
	record, known, err := b.Record(ctx, "microsoft", connectors.Ref{Kind: "subscription", Parent: "c1", ID: "s1"})
	tell("one record", record, known, err)
	ok(t, b.Links(ctx, "", "", func(l state.Link) error { tell("link", l); return nil }))
	l, known, err := b.Link(ctx, "l1")
	tell("one link", l, known, err)
	l, known, err = b.LinkByVendor(ctx, "flow", model.KindLine, vendorEnd("c1", "s1"))
	tell("by vendor", l, known, err)
	l, known, err = b.LinkByPSA(ctx, "flow", model.KindLine, lineEnd("1"))
	tell("by PSA", l, known, err)
	tell("linked", fmt.Sprint(b.LinkedIDs(ctx, vendorEnd("c1", "s1").Account, vendorEnd("c1", "s1").Kind)))
	tell("snapshots", fmt.Sprint(b.Snapshots(ctx, []string{"l1"})))
	ok(t, b.LinksWithMemory(ctx, "flow", model.KindLine, "", func(l state.Link, m state.Memory) error { tell("memory", l, m); return nil }))
	tell("runs", fmt.Sprint(b.Runs(ctx, 10)))
	r, known, err := b.RunByID(ctx, run)
	tell("run", r, known, err)
	r, known, err = b.LastRun(ctx, state.RunFlow, "flow")
	tell("last run", r, known, err)
	tell("stop", fmt.Sprint(b.StopRequested(ctx, run)))
	tell("findings", fmt.Sprint(b.Findings(ctx, false, "")))
	p, err := b.Plan(ctx, "abc")
	tell("plan", p.Digest, string(p.Body), err)
	p, known, err = b.LatestPlan(ctx, "flow")
	tell("latest", p.Digest, string(p.Body), known, err)
	tell("decisions", fmt.Sprint(b.Decisions(ctx, "d1")))
	tell("told", fmt.Sprint(b.Told(ctx, "flow")))
	tell("wishes", fmt.Sprint(b.Wishes(ctx, "")))
	tell("ends", fmt.Sprint(b.EndDecisions(ctx, "flow", model.Day{})))
	tell("journal", fmt.Sprint(b.Journal(ctx, state.JournalFilter{})))
	tell("hints", fmt.Sprint(b.WaitingHints(ctx)))
	running, known, err := b.InProgress(ctx, state.RunFlow, "flow")
	tell("in progress", running, known, err)
	tell("open", fmt.Sprint(b.OpenIntents(ctx, "")))
	tell("verified", fmt.Sprint(b.VerifyJournal(ctx)))
	var file bytes.Buffer
	_, err = b.ExportJournal(ctx, &file)
	ok(t, err)
	exported, _, _ := strings.Cut(file.String(), `,"exported_at"`) // that moves with the clock
	tell("export", exported)
	return out.String()
}

// tenants lives two tenants side by side under the same ids: neither sees, blocks or changes the other.
func tenants(t *testing.T, b *bench) {
	ctx := t.Context()
	of := func(name string) *bench {
		return &bench{b.open(append(by(b.clock.Now), state.WithTenant(name))...), b.clock, b.open}
	}
	north, south := of("north"), of("south")
	empty := picture(t, north, "")
	ofNorth := live(t, north, 12)
	before := picture(t, north, ofNorth)
	if before == empty || !strings.Contains(before, `"tenant":"north"`) {
		t.Fatal("the picture does not show what is there")
	}
	equal(t, "what south sees of north", strings.ReplaceAll(picture(t, south, ""), "south", "north"), empty)

	ofSouth := live(t, south, 99)
	equal(t, "north after south wrote the same ids", picture(t, north, ofNorth), before)
	equal(t, "the default tenant", must[[]state.Run](t)(b.Runs(ctx, 10)), []state.Run(nil))

	// Every way of changing something, aimed at the other's ids.
	refused(t, south.RequestStop(ctx, ofNorth), state.ErrNotFound)
	refused(t, south.FinishRun(ctx, ofNorth, state.RunError, "", nil), state.ErrNotFound)
	_, err := south.MarkGone(ctx, "microsoft", "subscription", nil, nil, ofNorth)
	refused(t, err, state.ErrNotFound)
	equal(t, "interrupted", must[int](t)(south.AbandonRuns(ctx, "test")), 1)
	second := must[state.Run](t)(south.StartRun(ctx, newRun("flow")))
	b.clock.Advance(time.Second)
	equal(t, "gone", len(must[[]connectors.Ref](t)(south.MarkGone(ctx, "microsoft", "subscription", nil, nil, must[state.Run](t)(south.StartRun(ctx, newRun("other"))).ID))), 1)
	must[state.FindingCounts](t)(south.SyncFindings(ctx, "flow", second.ID, nil, nil))
	ok(t, south.SetGaps(ctx, "microsoft", "subscription", nil))
	ok(t, south.CloseLink(ctx, "l1"))
	ok(t, south.TakeHints(ctx, must[[]state.Hint](t)(north.WaitingHints(ctx))))
	equal(t, "a message of the other tenant", must[[]bool](t)(of("west").GiveHints(ctx, []state.Message{{Account: "psa", ID: "m1"}})), []bool{true})
	ok(t, south.Append(ctx, entry("i2", state.JournalFailed)))
	must[state.Wish](t)(south.PutWish(ctx, wish("9", "")))
	ok(t, south.DropWish(ctx, "flow", "1"))
	must[state.Decision](t)(south.Decide(ctx, decision("ann@desk", state.Approved, b.clock.Now().Add(time.Hour))))
	_, err = south.UseApproval(ctx, "d1", 1, ofSouth)
	ok(t, err)
	_, err = north.UseApproval(ctx, "d1", 1, ofNorth)
	refused(t, err, state.ErrNotApproved, "ann@desk")
	ok(t, south.PutTold(ctx, state.Told{Flow: "flow", Matter: "m1", Account: "psa", Ticket: "8"}))
	ok(t, south.ForgetTold(ctx, "flow", "m1"))
	equal(t, "north after all that", picture(t, north, ofNorth), before)

	// Each has its own daemon.
	lock, err := north.Lock(ctx, "alpha")
	ok(t, err)
	_, err = south.Lock(ctx, "beta")
	ok(t, err)
	ok(t, lock.Renew(ctx))
}
