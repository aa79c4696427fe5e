package state_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t testing.TB) statetest.Opener {
		path := filepath.Join(t.TempDir(), "trueup.db")
		return func(opts ...state.Option) *state.Store { return open(t, path, opts...) }
	})
}

func open(t testing.TB, path string, opts ...state.Option) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), "sqlite:"+path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raw opens the file as another program would.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// wantError checks the cause and that the message names what a person needs.
func wantError(t testing.TB, err, cause error, words ...string) {
	t.Helper()
	if !errors.Is(err, cause) {
		t.Fatalf("got %v, want %v", err, cause)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func write(s *state.Store) error { return s.SetCursor(context.Background(), "microsoft", "page") }

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, path string)
		query string
		cause error
		words []string
	}{
		{"locked by another process", func(t *testing.T, path string) {
			open(t, path).Close()
			db := raw(t, path)
			exec(t, db, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "CREATE TABLE theirs (x)")
		}, "", state.ErrBusy, []string{"close the other program"}},
		{"not a database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("name,seats\n"), 500), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "", state.ErrNotDatabase, []string{"trueup.yaml"}},
		{"another program's database", func(t *testing.T, path string) {
			exec(t, raw(t, path), "CREATE TABLE theirs (x)")
		}, "", state.ErrNotDatabase, []string{"another program"}},
		{"a folder in its place", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "", state.ErrNotDatabase, []string{"folder"}},
		{"no folder", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, "", state.ErrNoFolder, []string{"create the folder"}},
		{"a file as its folder", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, "", state.ErrNoFolder, nil},
		{"newer schema", func(t *testing.T, path string) {
			open(t, path).Close()
			exec(t, raw(t, path), "INSERT INTO trueup_schema (version_id, is_applied) VALUES (9000, 1)")
		}, "", state.ErrNewer, []string{"9000", "upgrade trueup"}},
		{"damaged", func(t *testing.T, path string) {
			s := open(t, path)
			if err := errors.Join(write(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 3000), 100) // the schema's page, after the header
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
		}, "", state.ErrCorrupt, []string{"restore a backup"}},
		{"only looked at, and not there", func(t *testing.T, path string) {}, "?mode=ro", state.ErrNotFound, nil},
		{"only looked at, and empty", func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "?mode=ro", state.ErrNotDatabase, []string{"empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data", "trueup.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(t, path)
			s, err := state.Open(t.Context(), "sqlite:"+path+c.query, state.WithWait(20*time.Millisecond))
			if err == nil {
				s.Close()
			}
			wantError(t, err, c.cause, append(c.words, "open state "+path)...)
		})
	}
}

func TestOpenNames(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "trueup.db", "sqlite:", "mysql://trueup:hunter2@db.example.com/trueup", "sqlite:trueup.db?cache=shared"} {
		_, err := state.Open(t.Context(), dsn)
		if err == nil {
			t.Errorf("%q was opened", dsn)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q shows the password", err)
		}
	}
	// Every character a file name may have.
	dir := t.TempDir()
	open(t, filepath.Join(dir, "a b%20#ü&=+.db"))
	if _, err := os.Stat(filepath.Join(dir, "a b%20#ü&=+.db")); err != nil {
		t.Error(err)
	}
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	one, two := open(t, ":memory:"), open(t, ":memory:")
	if err := write(one); err != nil {
		t.Fatal(err)
	}
	if cursor, _, err := two.Cursor(t.Context(), "microsoft"); err != nil || cursor != "" {
		t.Errorf("got %q, %v: two temporary stores are one", cursor, err)
	}
}

// The file holds customers' names and prices.
func TestFileIsPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	if err := write(open(t, path)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("got %v, %v, want the file and its log", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", file, info.Mode(), err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	if err := write(open(t, path)); err != nil {
		t.Fatal(err)
	}
	looking := open(t, path+"?mode=ro")
	if cursor, _, err := looking.Cursor(t.Context(), "microsoft"); err != nil || cursor != "page" {
		t.Errorf("got %q, %v, want the cursor", cursor, err)
	}
	wantError(t, write(looking), state.ErrReadOnly, "keep the cursor of microsoft", "write permission")
}

func TestReopened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	s := open(t, path)
	if err := errors.Join(write(s), s.Append(t.Context(), intended("i1")), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if cursor, _, err := s.Cursor(t.Context(), "microsoft"); err != nil || cursor != "page" {
		t.Errorf("got %q, %v, want what was kept", cursor, err)
	}
	if left, err := s.OpenIntents(t.Context(), "flow"); err != nil || len(left) != 1 {
		t.Errorf("got %v, %v, want the open intent", left, err)
	}
}

// Several processes may start on a file that is not there yet.
func TestOpenedByManyAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := state.Open(t.Context(), "sqlite:"+path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(write(s), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// The daemon and a command work on one file: who has read first must still be able to write.
func TestTwoProcessesWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	var all sync.WaitGroup
	for i := range 2 {
		s := open(t, path)
		all.Go(func() {
			for j := range 50 {
				if err := s.Append(t.Context(), intended(fmt.Sprint(i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if head, err := open(t, path).VerifyJournal(t.Context()); err != nil || head.Seq != 100 {
		t.Errorf("got %d entries, %v, want 100 in one chain", head.Seq, err)
	}
}

func TestBusyWhileWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	s := open(t, path, state.WithWait(20*time.Millisecond))
	db := raw(t, path)
	exec(t, db, "BEGIN IMMEDIATE")
	wantError(t, write(s), state.ErrBusy, "keep the cursor of microsoft", "close the other program")
	if _, _, err := s.Cursor(t.Context(), "microsoft"); err != nil {
		t.Errorf("reading waits for writing: %v", err)
	}
	exec(t, db, "COMMIT")
	if err := write(s); err != nil {
		t.Errorf("after the other finished: %v", err)
	}
}

// A full disk keeps nothing of the step, says so, and is forgotten as soon as there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	records := make([]connectors.Record, 2000)
	for i := range records {
		records[i] = connectors.Record{Kind: "customer", ID: fmt.Sprint(i), Fields: model.Fields{"name": model.Text(strings.Repeat("x", 200))}}
	}
	if err := s.Exec(ctx, "PRAGMA max_page_count = 50"); err != nil {
		t.Fatal(err)
	}
	_, err := s.UpsertRecords(ctx, "microsoft", records, "run")
	wantError(t, err, state.ErrFull, "store records of microsoft", "free some space")
	var huge error
	for i := 0; huge == nil && i < 1000; i++ {
		e := intended(fmt.Sprint(i))
		e.Note = strings.Repeat("x", 4000)
		huge = s.Append(ctx, e)
	}
	wantError(t, huge, state.ErrFull, "write the journal")
	count := 0
	err = s.Records(ctx, "microsoft", "customer", state.RecordFilter{}, func(state.Stored) error { count++; return nil })
	if err != nil || count != 0 {
		t.Errorf("got %d records, %v, want none", count, err)
	}
	if _, err := s.VerifyJournal(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Exec(ctx, "PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.UpsertRecords(ctx, "microsoft", records, "run"); err != nil || n != len(records) {
		t.Errorf("with room again: %d, %v", n, err)
	}
}

// Power may fail at any time: a commit must be on the disk.
func TestDurability(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "fullfsync": "1"} {
		if got, err := s.Pragma(t.Context(), pragma); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func intended(intent string) state.Entry {
	return state.Entry{Intent: intent, State: state.JournalIntended, Flow: "flow", Account: "psa", Op: "change"}
}

func TestJournalNeverChanges(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	if err := s.Append(t.Context(), intended("i1")); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE journal SET note = 'x'", "DELETE FROM journal"} {
		if err := s.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "only ever appended to") {
			t.Errorf("%s: got %v, want a refusal", statement, err)
		}
	}
}

// Whatever is done to the file behind trueup's back, verifying names the first entry that is wrong.
func TestTamperedJournal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, statement, entry string }{
		{"a note changed", "UPDATE journal SET note = 'x' WHERE seq = 3", "at entry 3"},
		{"a body changed", "UPDATE journal SET body = '{}' WHERE seq = 1", "at entry 1"},
		{"text moved to the next column", "UPDATE journal SET account = 'ps', op = 'achange' WHERE seq = 2", "at entry 2"},
		{"an entry removed", "DELETE FROM journal WHERE seq = 2", "at entry 2"},
		{"the first entry removed", "DELETE FROM journal WHERE seq = 1", "at entry 1"},
		{"the last entry removed", "DELETE FROM journal WHERE seq = 4", "at entry 4"},
		{"two entries swapped", "UPDATE journal SET seq = 12 - seq WHERE seq IN (2, 3); UPDATE journal SET seq = seq - 7 WHERE seq > 8", "at entry 2"},
		{"a hash changed", "UPDATE journal SET hash = '' WHERE seq = 4", "at entry 4"},
		{"a time that is none", "UPDATE journal SET written_at = 'noon' WHERE seq = 2", "at entry 2"},
		{"an intent said to be done", "UPDATE intents SET state = 'done' WHERE intent = 'i3'", "at entry 3"},
		{"an intent forgotten", "DELETE FROM intents WHERE intent = 'i4'", "at entry 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			path := filepath.Join(t.TempDir(), "trueup.db")
			s := open(t, path)
			for _, intent := range []string{"i1", "i2", "i3", "i4"} {
				if err := s.Append(ctx, intended(intent)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.VerifyJournal(ctx); err != nil {
				t.Fatal(err)
			}
			exec(t, raw(t, path), "DROP TRIGGER journal_never_changes", "DROP TRIGGER journal_never_shrinks", c.statement)
			_, err := s.VerifyJournal(ctx)
			wantError(t, err, state.ErrBroken, c.entry)
		})
	}
}

// A customer base of a distributor: read for the first time, read again unchanged, streamed.
func BenchmarkRecords(b *testing.B) {
	const n = 100_000
	records := make([]connectors.Record, n)
	for i := range records {
		records[i] = connectors.Record{Kind: "subscription", Parent: fmt.Sprintf("customer-%05d", i/10), ID: fmt.Sprintf("subscription-%06d", i), Fields: model.Fields{
			"friendlyName": model.Text("Business Premium"), "quantity": model.Int(int64(i % 300)), "status": model.Text("active"),
			"termDuration": model.Text("P1Y"), "billingCycle": model.Text("monthly"), "autoRenewEnabled": model.Bool(true),
			"commitmentEndDate": model.Instant(time.Date(2031, 6, 30, 0, 0, 0, 0, time.UTC)), "offerId": model.Text("CFQ7TTC0LH18:0001:CFQ7TTC0K59P"),
		}}
	}
	b.ReportAllocs()
	upsert := func(b *testing.B, s *state.Store, run string) {
		if _, err := s.UpsertRecords(b.Context(), "microsoft", records, run); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			s := open(b, filepath.Join(b.TempDir(), "trueup.db"))
			upsert(b, s, "run")
		}
	})
	s := open(b, filepath.Join(b.TempDir(), "trueup.db"))
	upsert(b, s, "run")
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			upsert(b, s, "run-2")
		}
	})
	b.Run("stream", func(b *testing.B) {
		for b.Loop() {
			count := 0
			err := s.Records(b.Context(), "microsoft", "subscription", state.RecordFilter{}, func(state.Stored) error { count++; return nil })
			if err != nil || count != n {
				b.Fatal(count, err)
			}
		}
	})
}
