package connectwise

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
)

func (w *world) changes(cursor string) connectors.Changes {
	w.Helper()
	changes, err := w.c.Changes(w.Context(), cursor)
	if err != nil {
		w.Fatal(err)
	}
	return changes
}

// learn edits a line and reads all of them, which shows whether agreements move with their additions.
func (w *world) learn() {
	w.Helper()
	w.edit("addition", w.second, map[string]any{"quantity": 4})
	w.clock.Add(time.Minute)
	w.list(kindAddition)
}

func TestQuietDayIsFourRequests(t *testing.T) {
	t.Parallel()
	for _, literal := range []string{literalDatetime, literalDate} {
		t.Run(literal, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setting("date_literal", literal))
			w.learn()
			cursor := w.changes("").Cursor
			for range 3 {
				w.clock.Add(5 * time.Minute)
				mark := len(w.fake.Requests())
				changes := w.changes(cursor)
				if n := len(changes.Records) + len(changes.Relist) + len(beyondTickets(changes)); n != 0 {
					t.Fatalf("a quiet PSA told %+v", changes)
				}
				if n := len(w.since(mark)); n != 4 {
					t.Errorf("%d requests, want 4", n)
				}
				cursor = changes.Cursor
			}
			if last := w.fake.Requests()[len(w.fake.Requests())-1].Query; strings.Contains(last, "T0") == (literal == literalDate) {
				t.Errorf("searched with %s", last)
			}
		})
	}
}

// TestLearntOutlivesTheProcess: a listing that comes after the feed was read teaches something too, and the process may end there.
func TestLearntOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	changes := w.changes(w.changes("").Cursor)
	if changes.Scan[kindAddition] == "" {
		t.Fatal("the additions need no scan: the test shows nothing")
	}
	w.learn()
	cursor := w.c.Learnt(changes.Cursor)
	w.c = w.connect()
	if why := w.changes(cursor).Scan[kindAddition]; why != "" {
		t.Errorf("scan after a restart: %s", why)
	}
	if got := w.c.Learnt("nonsense"); got != "nonsense" {
		t.Errorf("a strange cursor became %q", got)
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.learn()
	cursor := w.changes("").Cursor
	w.clock.Add(time.Minute)
	w.edit("company", w.company, map[string]any{"city": "York"})
	w.edit("contact", w.contact, map[string]any{"lastName": "Jones"})
	w.edit("catalogItem", w.other, map[string]any{"price": 41})
	w.edit("addition", w.line, map[string]any{"quantity": 11})
	w.clock.Add(time.Minute)
	first := w.changes(cursor)
	deal := strconv.Itoa(w.deal)
	diff(t, "records", []string{"company " + strconv.Itoa(w.company), "contact " + strconv.Itoa(w.contact), "catalogItem " + strconv.Itoa(w.other), "agreement " + deal}, ids(first.Records))
	diff(t, "relist", []connectors.Relist{{Kind: kindAddition, Parents: []string{deal}}}, first.Relist)
	diff(t, "scan", map[string]string{}, beyondTickets(first))
	if again := w.changes(first.Cursor); len(again.Records)+len(again.Relist) != 0 {
		t.Errorf("told again: %+v", again)
	}
	if old := w.changes(cursor); len(old.Records) != 4 {
		t.Errorf("the old cursor tells %v, want the same four", ids(old.Records))
	}
}

// Stamps have whole seconds: what happens in the second of the reading must not be lost.
func TestTheSameSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.learn()
	cursor := w.changes("").Cursor
	w.clock.Add(time.Minute)
	w.edit("addition", w.line, map[string]any{"quantity": 11})
	w.edit("company", w.company, map[string]any{"city": "York"})
	cursor = w.changes(cursor).Cursor
	w.edit("addition", w.line, map[string]any{"quantity": 12})
	w.edit("company", w.company, map[string]any{"city": "Hull"})
	w.clock.Add(time.Minute)
	changes := w.changes(cursor)
	if len(changes.Relist) != 1 || len(changes.Records) != 1 || changes.Records[0].Kind != kindCompany {
		t.Errorf("told %v and relist %v, want the company and the agreement's additions", ids(changes.Records), changes.Relist)
	}
	if again := w.changes(changes.Cursor); len(again.Relist)+len(again.Records) != 0 {
		t.Errorf("told again: %+v", again)
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	t.Run("nothing is trusted before a listing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		changes := w.changes(w.changes("").Cursor)
		if !strings.Contains(changes.Scan[kindAddition], "not known yet") {
			t.Errorf("scan %v", changes.Scan)
		}
		w.list(kindAddition) // no line was edited since it was made: nothing to learn
		if changes = w.changes(changes.Cursor); !strings.Contains(changes.Scan[kindAddition], "not known yet") {
			t.Errorf("scan %v", changes.Scan)
		}
	})
	t.Run("trust outlives a restart", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.learn()
		cursor := w.changes("").Cursor
		w.c = w.connect()
		if changes := w.changes(cursor); len(beyondTickets(changes)) != 0 {
			t.Errorf("scan %v", changes.Scan)
		}
	})
	t.Run("a listing under named agreements teaches too", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.edit("addition", w.second, map[string]any{"quantity": 4})
		w.clock.Add(time.Minute)
		var parents []string
		agreements, _ := w.list(kindAgreement)
		for _, rec := range agreements {
			parents = append(parents, rec.ID)
		}
		ignore := func(connectors.Record) error { return nil }
		if _, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindAddition, Parents: parents}, ignore); err != nil {
			t.Fatal(err)
		}
		if changes := w.changes(w.changes("").Cursor); len(beyondTickets(changes)) != 0 {
			t.Errorf("scan %v", changes.Scan)
		}
	})
	t.Run("a counter-example is final", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.learn()
		cursor := w.changes("").Cursor
		w.misbehave("stale_agreement_stamp", "")
		w.clock.Add(time.Hour)
		w.edit("addition", w.line, map[string]any{"quantity": 11})
		w.list(kindAddition)
		changes := w.changes(cursor)
		want := "addition " + strconv.Itoa(w.line) + " was edited at 2031-02-01T10:01:00Z, its agreement " + strconv.Itoa(w.deal) + " still says 2031-02-01T09:00:00Z"
		if !strings.Contains(changes.Scan[kindAddition], want) || len(changes.Relist) != 0 {
			t.Errorf("scan %v, relist %v, want %q", changes.Scan, changes.Relist, want)
		}
		w.fake.Behave("stale_agreement_stamp")
		w.edit("addition", w.line, map[string]any{"quantity": 12})
		w.c = w.connect()
		w.list(kindAddition)
		if changes = w.changes(changes.Cursor); !strings.Contains(changes.Scan[kindAddition], want) {
			t.Errorf("after a restart: scan %v", changes.Scan)
		}
	})
	t.Run("an edit during the listing proves nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.learn()
		cursor := w.changes("").Cursor
		later := w.fake.AddAgreement(connectwisetest.Agreement{Name: "Later", Company: w.company, Start: "2031-01-01"})
		slow := w.fake.AddAddition(connectwisetest.Addition{Agreement: later, Product: w.product})
		w.clock.Add(time.Hour)
		// The agreement as it was listed before the edit, the addition as it was after it.
		var l lesson
		before, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindAgreement, ID: strconv.Itoa(later)})
		if err != nil {
			t.Fatal(err)
		}
		w.edit("addition", slow, map[string]any{"quantity": 5})
		after, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindAddition, ID: strconv.Itoa(slow), Parent: strconv.Itoa(later)})
		if err != nil {
			t.Fatal(err)
		}
		l.add(before, []connectors.Record{after})
		if l.suspect.ID == "" {
			t.Fatal("the lesson has no suspect: the test shows nothing")
		}
		if err := w.c.conclude(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if changes := w.changes(cursor); changes.Scan[kindAddition] != "" {
			t.Errorf("scan %v", changes.Scan)
		}
	})
}

func TestWhatAFeedCannotTell(t *testing.T) {
	t.Parallel()
	t.Run("a deleted company", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		cursor := w.changes("").Cursor
		w.clock.Add(time.Minute)
		if err := w.fake.Remove("company", w.company); err != nil {
			t.Fatal(err)
		}
		changes := w.changes(cursor)
		if !strings.Contains(changes.Scan[kindCompany], "was deleted") || len(changes.Records) != 0 {
			t.Errorf("scan %v, records %v", changes.Scan, ids(changes.Records))
		}
		if changes = w.changes(changes.Cursor); changes.Scan[kindCompany] != "" {
			t.Errorf("told again: %v", changes.Scan)
		}
	})
	t.Run("a kind that may not be read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.learn()
		cursor := w.changes("").Cursor
		w.misbehave("forbid", "contacts")
		changes := w.changes(cursor)
		if !strings.Contains(changes.Scan[kindContact], "security role") || len(beyondTickets(changes)) != 1 {
			t.Errorf("scan %v", changes.Scan)
		}
	})
	t.Run("agreements that may not be read", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.learn()
		cursor := w.changes("").Cursor
		w.misbehave("forbid", "agreements")
		if changes := w.changes(cursor); changes.Scan[kindAgreement] == "" || changes.Scan[kindAddition] == "" {
			t.Errorf("scan %v, want agreements and their additions", changes.Scan)
		}
	})
	t.Run("agreements of other types", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, setting("agreement_types", "Managed Services"))
		cursor := w.changes("").Cursor
		w.clock.Add(time.Minute)
		w.edit("agreement", w.deal, map[string]any{"name": "Renamed"})
		if changes := w.changes(cursor); len(changes.Records) != 0 {
			t.Errorf("told %v", ids(changes.Records))
		}
	})
}

func TestCursorOfSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, cursor := range []string{"x", "{}", `{"v":2,"since":"2031-01-01T00:00:00Z"}`, `{"v":1}`} {
		_, err := w.c.Changes(t.Context(), cursor)
		wantError(t, err, connectors.ClassInvalid, "", "start again without a cursor")
	}
}

// beyondTickets is what is to be listed whole beside tickets and their notes, which no feed tells.
func beyondTickets(changes connectors.Changes) map[string]string {
	scan := maps.Clone(changes.Scan)
	for _, kind := range []string{kindTicket, kindNote} {
		if scan[kind] == "" {
			scan["not "+kind] = "the feed does not ask for tickets, and must say so"
		}
		delete(scan, kind)
	}
	return scan
}
