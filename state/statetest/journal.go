package statetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/state"
)

func entry(intent string, s state.JournalState) state.Entry {
	return state.Entry{Intent: intent, State: s, Flow: "flow", Run: "run-1", Plan: "abc1", Link: "l1", Account: "psa", Op: "change",
		Ref:  connectors.Ref{Kind: "addition", Parent: "a1", ID: "1"},
		Body: json.RawMessage(`{"quantity": {"from": 12, "to": 14},  "reason":"seats changed"}`)}
}

// paths lead to each state by allowed steps.
var paths = map[state.JournalState][]state.JournalState{
	"":                     nil,
	state.JournalPlanned:   {state.JournalPlanned},
	state.JournalHeld:      {state.JournalHeld},
	state.JournalIntended:  {state.JournalPlanned, state.JournalHeld, state.JournalIntended},
	state.JournalSent:      {state.JournalIntended, state.JournalSent},
	state.JournalUnknown:   {state.JournalIntended, state.JournalSent, state.JournalUnknown},
	state.JournalDone:      {state.JournalIntended, state.JournalDone},
	state.JournalFailed:    {state.JournalIntended, state.JournalFailed},
	state.JournalAbandoned: {state.JournalHeld, state.JournalAbandoned},
}

func journalTransitions(t *testing.T, b *bench) {
	ctx := t.Context()
	allowed := 0
	for from, path := range paths {
		for _, next := range append(state.JournalStates(), "nonsense", "") {
			intent := fmt.Sprintf("%s to %s", from, next)
			for _, s := range path {
				ok(t, b.Append(ctx, entry(intent, s)))
			}
			before := len(must[[]state.Entry](t)(b.Journal(ctx, state.JournalFilter{Intent: intent})))
			err := b.Append(ctx, entry(intent, next))
			after := len(must[[]state.Entry](t)(b.Journal(ctx, state.JournalFilter{Intent: intent})))
			if state.CanFollow(from, next) {
				allowed++
				if err != nil || after != before+1 {
					t.Errorf("%s: got %v and %d entries more, want one more", intent, err, after-before)
				}
			} else if !errors.Is(err, state.ErrTransition) || after != before {
				t.Errorf("%s: got %v and %d entries more, want ErrTransition and none", intent, err, after-before)
			}
		}
	}
	equal(t, "paths lead to every state", len(paths), len(state.JournalStates())+1)
	if allowed < len(paths) {
		t.Errorf("only %d steps are allowed", allowed)
	}
	must[state.Head](t)(b.VerifyJournal(ctx))
}

func journalAtomic(t *testing.T, b *bench) {
	ctx := t.Context()
	refused(t, b.Append(ctx, entry("i1", state.JournalIntended), entry("i1", state.JournalSent), entry("i1", state.JournalPlanned)),
		state.ErrTransition, "i1", "sent", "planned")
	broken := entry("i1", state.JournalIntended)
	broken.Body = json.RawMessage(`{`)
	if err := b.Append(ctx, entry("i2", state.JournalIntended), broken); err == nil {
		t.Error("a body that is not JSON was written")
	}
	if err := b.Append(ctx, entry("", state.JournalIntended)); err == nil {
		t.Error("an entry without intent was written")
	}
	equal(t, "written", must[[]state.Entry](t)(b.Journal(ctx, state.JournalFilter{})), []state.Entry(nil))

	ok(t, b.Append(ctx, entry("i1", state.JournalIntended), entry("i1", state.JournalSent)))
	stray := entry("i1", state.JournalDone)
	stray.Flow = "other"
	if err := b.Append(ctx, stray); err == nil {
		t.Error("an intent went on in another flow")
	}
	ok(t, b.Append(ctx))
}

func journalSettle(t *testing.T, b *bench) {
	ctx := t.Context()
	ok(t, b.Append(ctx, entry("i1", state.JournalIntended)))
	done := entry("i1", state.JournalDone)
	done.Reply, done.Note, done.Class = "{\"ok\":true} \x00\xff", "read back", ""
	l := line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1"))
	snap := state.Snapshot{Link: "l1", Side: state.SidePSA, Fields: seats(14), At: b.clock.Now(), Run: "run-1"}

	// A link that is claimed spoils the whole settlement.
	ok(t, b.PutLinks(ctx, []state.Link{line("l0", "other", vendorEnd("c1", "s1"), lineEnd("1"))}))
	refused(t, b.Settle(ctx, done, []state.Snapshot{snap}, []state.Link{l}), state.ErrClaimed, "other")
	equal(t, "open after the refusal", len(must[[]state.Entry](t)(b.OpenIntents(ctx, "flow"))), 1)
	equal(t, "memory after the refusal", len(must[map[string]state.Memory](t)(b.Snapshots(ctx, []string{"l1"}))), 0)

	ok(t, b.CloseLink(ctx, "l0"))
	ok(t, b.Settle(ctx, done, []state.Snapshot{snap}, []state.Link{l}))
	equal(t, "open", len(must[[]state.Entry](t)(b.OpenIntents(ctx, "flow"))), 0)
	equal(t, "memory", must[map[string]state.Memory](t)(b.Snapshots(ctx, []string{"l1"})), map[string]state.Memory{"l1": {PSA: snap}})
	equal(t, "links", activeLinks(t, b, "flow", ""), []string{"l1"})
	last := must[[]state.Entry](t)(b.Journal(ctx, state.JournalFilter{Intent: "i1", Limit: 1}))[0]
	equal(t, "what no database keeps is replaced", last.Reply, "{\"ok\":true} \uFFFD\uFFFD")

	// A settled intent does not settle again.
	refused(t, b.Settle(ctx, done, nil, nil), state.ErrTransition, "i1")
	must[state.Head](t)(b.VerifyJournal(ctx))
}

func journalOpen(t *testing.T, b *bench) {
	ctx := t.Context()
	for s, path := range paths {
		for _, step := range path {
			ok(t, b.Append(ctx, entry("ends "+string(s), step)))
		}
	}
	other := entry("of another flow", state.JournalIntended)
	other.Flow = "other"
	ok(t, b.Append(ctx, other))

	got := map[string]state.JournalState{}
	last := int64(0)
	for _, e := range must[[]state.Entry](t)(b.OpenIntents(ctx, "flow")) {
		got[e.Intent] = e.State
		if e.Seq <= last {
			t.Errorf("entry %d comes after %d", e.Seq, last)
		}
		last = e.Seq
	}
	equal(t, "open", got, map[string]state.JournalState{
		"ends intended": state.JournalIntended, "ends sent": state.JournalSent, "ends unknown": state.JournalUnknown})
	equal(t, "of all flows", len(must[[]state.Entry](t)(b.OpenIntents(ctx, ""))), 4)
}

func journalFilter(t *testing.T, b *bench) {
	ctx := t.Context()
	one, two, three := entry("i1", state.JournalIntended), entry("i1", state.JournalDone), entry("i2", state.JournalHeld)
	two.Run, two.Class, two.Reply, two.Note = "run-2", connectors.ClassLimited, "200 OK", "as planned"
	three.Link, three.Ref.ID, three.Ref.Parent, three.Account, three.Body = "l2", "2", "a2", "microsoft", nil
	ok(t, b.Append(ctx, one))
	b.clock.Advance(time.Second)
	ok(t, b.Append(ctx, two, three))

	for _, c := range []struct {
		name   string
		filter state.JournalFilter
		want   []int64
	}{
		{"all", state.JournalFilter{}, []int64{3, 2, 1}},
		{"limited", state.JournalFilter{Limit: 2}, []int64{3, 2}},
		{"intent", state.JournalFilter{Intent: "i1"}, []int64{2, 1}},
		{"link", state.JournalFilter{Link: "l2"}, []int64{3}},
		{"run", state.JournalFilter{Run: "run-2"}, []int64{2}},
		{"record", state.JournalFilter{Account: "psa", Ref: connectors.Ref{Kind: "addition", ID: "1"}}, []int64{2, 1}},
		{"record under another parent", state.JournalFilter{Account: "psa", Ref: connectors.Ref{Kind: "addition", ID: "1", Parent: "a9"}}, nil},
		{"record in another account", state.JournalFilter{Account: "psa", Ref: connectors.Ref{ID: "2"}}, nil},
	} {
		var got []int64
		for _, e := range must[[]state.Entry](t)(b.Journal(ctx, c.filter)) {
			got = append(got, e.Seq)
		}
		equal(t, c.name, got, c.want)
	}
	got := must[[]state.Entry](t)(b.Journal(ctx, state.JournalFilter{Limit: 2}))
	two.Seq, two.At, two.Hash = 2, b.clock.Now(), got[1].Hash
	three.Seq, three.At, three.Hash = 3, b.clock.Now(), got[0].Hash
	equal(t, "entries keep everything", got, []state.Entry{three, two})
}

func journalVerify(t *testing.T, b *bench) {
	ctx := t.Context()
	equal(t, "empty", must[state.Head](t)(b.VerifyJournal(ctx)), state.Head{})
	ok(t, b.Append(ctx, entry("i1", state.JournalIntended)))
	first := must[state.Head](t)(b.VerifyJournal(ctx))
	ok(t, b.Append(ctx, entry("i2", state.JournalIntended)))
	second := must[state.Head](t)(b.VerifyJournal(ctx))
	equal(t, "numbers", []int64{first.Seq, second.Seq}, []int64{1, 2})
	if len(first.Hash) != 64 || first.Hash == second.Hash || strings.Trim(first.Hash, "0123456789abcdef") != "" {
		t.Errorf("hashes %q and %q, want two different SHA-256", first.Hash, second.Hash)
	}
}

func journalRace(t *testing.T, b *bench) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				intent := fmt.Sprintf("i%d-%d", i, j)
				if err := b.Append(t.Context(), entry(intent, state.JournalIntended)); err != nil {
					t.Error(err)
				}
				if err := b.Settle(t.Context(), entry(intent, state.JournalDone), nil, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	equal(t, "entries", must[state.Head](t)(b.VerifyJournal(t.Context())).Seq, int64(160))
}

func lockOnce(t *testing.T, b *bench) {
	ctx := t.Context()
	lock, err := b.Lock(ctx, "trueup on alpha, process 41")
	ok(t, err)
	b.clock.Advance(10 * time.Second)
	_, err = b.Lock(ctx, "trueup on beta, process 42")
	refused(t, err, state.ErrLocked, "alpha, process 41", "since 2031-01-31T06:00:00Z", "until 2031-01-31T06:00:45Z", "stop that process")
	ok(t, lock.Release(ctx))
	ok(t, lock.Release(ctx))
	refused(t, lock.Renew(ctx), state.ErrLockLost)
	second, err := b.Lock(ctx, "trueup on beta, process 42")
	ok(t, err)
	ok(t, second.Renew(ctx))
}

func lockExpires(t *testing.T, b *bench) {
	ctx := t.Context()
	lock, err := b.Lock(ctx, "alpha")
	ok(t, err)
	for range 5 {
		b.clock.Advance(state.LeaseTime * 2 / 3)
		ok(t, lock.Renew(ctx))
	}
	b.clock.Advance(state.LeaseTime - time.Nanosecond)
	_, err = b.Lock(ctx, "beta")
	refused(t, err, state.ErrLocked, "alpha")

	b.clock.Advance(time.Nanosecond)
	second, err := b.Lock(ctx, "beta")
	ok(t, err)
	refused(t, lock.Renew(ctx), state.ErrLockLost, "beta")
	ok(t, lock.Release(ctx)) // a lock that was lost must not release the other's
	ok(t, second.Renew(ctx))
}

func lockFences(t *testing.T, b *bench) {
	ctx := t.Context()
	lock, err := b.Join(ctx, "alpha")
	ok(t, err)
	equal(t, "daemons", must[map[string]string](t)(b.Daemons(ctx)), map[string]string{lock.Token(): "alpha"})
	run := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	for range 4 { // each intent is a sign of life
		b.clock.Advance(state.LeaseTime * 2 / 3)
		ok(t, b.Permit(ctx, run.ID))
	}
	b.clock.Advance(state.LeaseTime)
	equal(t, "daemons after a silence", len(must[map[string]string](t)(b.Daemons(ctx))), 0)
	ok(t, b.Heard(ctx, run.ID))
	must[*state.Lock](t)(b.open(by(b.clock.Now)...).Join(ctx, "beta"))
	refused(t, b.Append(ctx, state.Entry{Intent: "late", State: state.JournalIntended, Run: run.ID}), state.ErrLockLost)
	ok(t, lock.Release(ctx))
	ok(t, b.Append(ctx, state.Entry{Intent: "late", State: state.JournalIntended, Run: run.ID})) // no daemon any more: a command
}

// Two daemons on machines whose clocks are minutes off share a database by the clock of its server. A file is on one machine, which has one clock.
func lockSkewed(t *testing.T, b *bench) {
	ctx := t.Context()
	machine := func(off time.Duration) *state.Store {
		if _, several := b.Database(); !several {
			off = 0
		}
		return b.open(state.WithServerClock(b.clock.Now), state.WithClock(func() time.Time { return b.clock.Now().Add(off) }))
	}
	fast, slow, right := machine(2*time.Minute), machine(-2*time.Minute), machine(0)
	joined := func(s *state.Store, name string) *state.Lock {
		lock, err := s.Join(ctx, name)
		if _, several := b.Database(); !several && name != "fast" {
			refused(t, err, state.ErrLocked)
			return nil
		}
		ok(t, err)
		return lock
	}
	locks := []*state.Lock{joined(fast, "fast"), joined(slow, "slow"), joined(right, "right")}
	live := len(must[map[string]string](t)(right.Daemons(ctx)))
	run := must[state.Run](t)(fast.StartRun(ctx, newRun("of the fast one")))
	other := must[state.Run](t)(right.StartRun(ctx, newRun("of the right one")))
	equal(t, "when both began", []time.Time{run.Started, other.Started}, []time.Time{b.clock.Now(), b.clock.Now()})

	b.clock.Advance(state.LeaseTime - time.Nanosecond) // all are as silent as they may be
	for name, s := range map[string]*state.Store{"fast": fast, "slow": slow, "right": right} {
		equal(t, "daemons that the "+name+" one sees", len(must[map[string]string](t)(s.Daemons(ctx))), live)
		equal(t, "runs that the "+name+" one takes over", len(must[[]state.Run](t)(s.EndSilentRuns(ctx))), 0)
		_, err := s.StartRun(ctx, newRun("of the fast one"))
		refused(t, err, state.ErrRunning, run.ID)
	}
	for _, lock := range locks {
		if lock != nil {
			ok(t, lock.Renew(ctx))
		}
	}
	ok(t, fast.Heard(ctx, run.ID))
	ok(t, right.Permit(ctx, other.ID))
	_, err := right.UpsertRecords(ctx, "psa", []connectors.Record{{Kind: "addition", ID: "1"}}, other.ID)
	ok(t, err)
	b.clock.Advance(time.Second)
	late := must[state.Run](t)(slow.StartRun(ctx, newRun("of the slow one")))
	_, err = slow.UpsertRecords(ctx, "psa", []connectors.Record{{Kind: "addition", ID: "1"}}, late.ID)
	ok(t, err)
	// What the slow one saw after the fast one began was there.
	equal(t, "gone", len(must[[]connectors.Ref](t)(fast.MarkGone(ctx, "psa", "addition", nil, nil, run.ID))), 0)
	b.clock.Advance(state.LeaseTime) // the runs died; of the daemons too
	equal(t, "taken over by the slow one", len(must[[]state.Run](t)(slow.EndSilentRuns(ctx))), 2)
	equal(t, "daemons in the end", len(must[map[string]string](t)(slow.Daemons(ctx))), 0)
}
