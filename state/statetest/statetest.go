// Package statetest is what every state database must do. A database's own test calls Run and adds only what is special about it:
//
//	func TestSQLite(t *testing.T) {
//		statetest.Run(t, func(t testing.TB) statetest.Opener { ... a new, empty database ... })
//	}
//
// When a method is added to the store, its test goes here.
package statetest

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Opener opens the one database again and again; each store lives until the end of the test.
type Opener func(opts ...state.Option) *state.Store

// Run runs the suite.
func Run(t *testing.T, database func(t testing.TB) Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"cursors are kept per account", cursors},
		{"sweeps are kept per account and kind", sweeps},
		{"what no database takes in a text stops nothing", strangeTexts},
		{"times keep their nanoseconds and become UTC", times},

		{"records: what is the same is only marked as seen", recordsUnchanged},
		{"records: what a value says survives byte for byte", recordsExact},
		{"records: a record that occurs twice counts as its last occurrence", recordsTwice},
		{"records: one that cannot be stored spoils the whole call", recordsRefused},
		{"records: streams are ordered and filtered", recordsFiltered},
		{"records: long filters keep the order", recordsLongFilter},
		{"records: gone, and back again", recordsGone},
		{"records: gone only under the parents that were listed", recordsGoneParents},
		{"records: seen by another run meanwhile is not gone", recordsGoneOverlap},
		{"records: gone needs a run", recordsGoneUnknownRun},
		{"records: many", recordsMany},
		{"records: counted", recordsCounted},
		{"gaps are replaced per account and kind", gaps},
		{"streams: the caller's error comes back as it is", streamErrors},
		{"streams: writing inside a stream works", streamWrites},
		{"a cancelled context stops work and keeps nothing", cancelled},

		{"links: written, found from both sides, closed", links},
		{"links: a vendor record has one active link in a flow", linksVendorOnce},
		{"links: a line is claimed by one flow", linksClaimed},
		{"links: records that are not lines may be shared", linksShared},
		{"links: a line is shared by those of one sum, a vendor record by those of one split", linksShapes},
		{"links: claims inside one call are found and nothing is kept", linksClaimedInBatch},
		{"links: closing and replacing in one call", linksReplaced},
		{"links: what is incomplete is refused", linksRefused},
		{"links: moved to a flow's new name, with their memory", linksMoved},
		{"snapshots: replaced per side", snapshots},
		{"snapshots: streamed with their links", linksWithMemory},
		{"snapshots: need their link", snapshotsRefused},

		{"runs: from start to finish", runs},
		{"runs: a second one is skipped and says so", runsSkipped},
		{"runs: twenty at once are one", runsRace},
		{"runs: asked to stop", runsStopped},
		{"runs: interrupted", runsAbandoned},
		{"runs: one that is silent for long is dead", runsDead},
		{"runs: the work of a dead process is taken over once", runsTakenOver},
		{"runs: what cannot be is refused", runsRefused},
		{"findings: opened, updated, closed, opened again", findings},
		{"findings: what was not compared stays open", findingsUnread},
		{"findings: keys must differ", findingsRefused},
		{"plans: found by the beginning of their digest", plans},
		{"plans: the latest of a flow", plansLatest},

		{"journal: every step that is allowed and every one that is not", journalTransitions},
		{"journal: all entries or none", journalAtomic},
		{"journal: settled in one piece", journalSettle},
		{"journal: open intents", journalOpen},
		{"journal: what a flow wrote lately", journalWritten},
		{"journal: history by link, record, run and intent", journalFilter},
		{"journal: the chain holds and its head moves", journalVerify},
		{"journal: written by many at once", journalRace},
		{"journal: exported, and verified without the database", journalExport},

		{"wishes: companies that are to become customers", wishes},
		{"decisions: people approve and reject one plan, and approvals count once", approvals},
		{"decisions: approvals expire", approvalsExpired},
		{"decisions: what follows a term, the later one stands", termEnds},
		{"decisions: what is incomplete is refused", approvalsRefused},
		{"told: one ticket a matter, settled with its journal", told},

		{"lock: one daemon at a time", lockOnce},
		{"lock: renewed it lasts, forgotten it is taken over", lockExpires},
		{"lock: who is taken for dead begins no write", lockFences},
		{"lock: machines whose clocks differ neither lose nor steal", lockSkewed},
		{"budgets: turns follow each other, whoever takes them", budgets},
		{"budgets: what the system asks holds everybody", budgetsHeld},

		{"hints: given once, taken once, given again", hintsGiven},
		{"hints: a message that was seen says nothing, until it is too old anyway", hintsSeen},
		{"hints: runs that follow them are not the last that looked everywhere", hintsRuns},

		{"tenants: two in one database never see each other", tenants},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := &Clock{now: time.Date(2031, 1, 31, 6, 0, 0, 0, time.UTC)}
			open := database(t)
			c.test(t, &bench{open(by(clock.Now)...), clock, open})
		})
	}
}

// bench is a store with a clock that stands until it is moved.
type bench struct {
	*state.Store
	clock *Clock
	open  Opener
}

// by lets a store live by a clock, whoever's clock counts.
func by(now func() time.Time) []state.Option {
	return []state.Option{state.WithClock(now), state.WithServerClock(now)}
}

// Clock is a clock for tests.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock and returns its new time.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b model.Value) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
