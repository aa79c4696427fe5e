package state_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// databases are the places that can be copied from and to: SQLite always, PostgreSQL where there is a server.
func databases() map[string]func(t testing.TB) string {
	all := map[string]func(t testing.TB) string{
		"SQLite": func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "trueup.db") },
	}
	if server != "" {
		all["PostgreSQL"] = schema
	}
	return all
}

func opened(t testing.TB, dsn string, opts ...state.Option) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), dsn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fill writes at least one row into every table that is kept, of two tenants, with texts that databases like to change.
func fill(t testing.TB, dsn string) {
	t.Helper()
	ctx := t.Context()
	for _, tenant := range []string{"", "north"} {
		s := opened(t, dsn, state.WithTenant(tenant))
		run, err := s.StartRun(ctx, state.Run{Kind: state.RunFlow, Name: "flow", Trigger: state.TriggerManual})
		if err != nil {
			t.Fatal(err)
		}
		end := state.End{Account: "microsoft", Kind: "subscription", Parent: "c1", ID: "s1"}
		done := intended("i1")
		done.State, done.Note, done.Body = state.JournalDone, "ä \n'\"\\ \u2028", []byte(`{"a":  1}`)
		var records []connectors.Record
		for _, id := range []string{"b", "B", "ä", "a", "_"} {
			records = append(records, connectors.Record{Kind: "customer", ID: id, Fields: model.Fields{"name": model.Text("Ünï \x00 " + id)}})
		}
		_, upsertErr := s.UpsertRecords(ctx, "microsoft", records, run.ID)
		_, findingErr := s.SyncFindings(ctx, "flow", run.ID, []state.Finding{{Key: "k", Kind: "drift", Title: "t"}}, nil)
		_, wishErr := s.PutWish(ctx, state.Wish{Flow: "flow", Company: "1", Person: "ann"})
		_, hintErr := s.GiveHints(ctx, []state.Message{{Account: "psa", ID: "m1", Expires: run.Started.AddDate(1, 0, 0), Hints: []state.Hint{{Flow: "flow", Account: "psa", Ref: connectors.Ref{Kind: "addition", Parent: "7"}}}}})
		_, decideErr := s.Decide(ctx, state.Decision{Digest: "d1", Flow: "flow", Person: "ann", Verdict: state.Rejected})
		_, endErr := s.DecideEnd(ctx, state.EndDecision{Flow: "flow", Customer: "c1", Subscription: "s1", TermEnd: model.NewDay(2031, 3, 31), Action: "renew", Person: "ann"})
		for _, err := range []error{
			write(s), s.SetSwept(ctx, "microsoft", "customer", run.Started), s.SetGaps(ctx, "microsoft", "customer", []connectors.Gap{{Parent: "c"}}),
			upsertErr, findingErr, decideErr, wishErr, hintErr, endErr, s.PutTold(ctx, state.Told{Flow: "flow", Matter: "m", Account: "psa", Ticket: "7"}),
			s.PutLinks(ctx, []state.Link{{ID: "l1", Flow: "flow", Kind: model.KindLine, Vendor: end, PSA: end}}),
			s.Append(ctx, intended("i1"), intended("i2")),
			s.Settle(ctx, done, []state.Snapshot{{Link: "l1", Side: state.SidePSA, Fields: model.Fields{"quantity": model.Int(3)}}}, nil),
			s.SavePlan(ctx, "d1", "flow", run.ID, run.Started, []byte(`{"x":  "ä"}`)),
			s.FinishRun(ctx, run.ID, state.RunCompleted, "", nil),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever is copied where, it arrives with every row of every tenant, and the journal with its numbers and hashes.
func TestCopy(t *testing.T) {
	t.Parallel()
	for fromName, from := range databases() {
		for toName, to := range databases() {
			t.Run(fromName+" to "+toName, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				there, here := from(t), to(t)
				fill(t, there)
				source, target := opened(t, there), opened(t, here)
				done, err := state.Copy(ctx, source, target)
				if err != nil {
					t.Fatal(err)
				}
				for table, n := range done.Rows {
					if n < 2 {
						t.Errorf("%d rows of %s were copied, and there are at least two", n, table)
					}
				}
				for _, tenant := range []string{"", "north"} {
					one, two := opened(t, there, state.WithTenant(tenant)), opened(t, here, state.WithTenant(tenant))
					want, err := one.Journal(ctx, state.JournalFilter{})
					if err != nil {
						t.Fatal(err)
					}
					got, err := two.Journal(ctx, state.JournalFilter{})
					if diff := cmp.Diff(want, got); err != nil || diff != "" {
						t.Errorf("journal of %q: %v (-source +copy):\n%s", tenant, err, diff)
					}
					head, err := two.VerifyJournal(ctx)
					if err != nil || head != done.Journals[tenant] || head.Seq != 3 {
						t.Errorf("head of %q: %v, %v, want %v", tenant, head, err, done.Journals[tenant])
					}
					if err := two.Append(ctx, state.Entry{Intent: "i2", State: state.JournalDone, Flow: "flow"}); err != nil {
						t.Errorf("the work does not go on: %v", err)
					}
				}
				_, err = state.Copy(ctx, source, target)
				wantError(t, err, state.ErrNotEmpty, "rows of cursors", "name a new file")
			})
		}
	}
}

// Every table of either database is copied but the lease and goose's own, and both have the same tables with the same columns.
func TestCopyForgetsNoTable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	lite, err := open(t, path).Column(t.Context(), `SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT IN ('lease', 'budgets', 'trueup_schema') ORDER BY m.name || '.' || c.name`)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]bool{}
	for _, column := range lite {
		table, _, _ := strings.Cut(column, ".")
		tables[table] = true
	}
	kept := state.Kept()
	slices.Sort(kept)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(tables)), kept); diff != "" {
		t.Errorf("(-tables +copied):\n%s", diff)
	}
	if server == "" {
		t.Log("NOT TESTED: PostgreSQL, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	big, err := openPostgres(t, schema(t)).Column(t.Context(), `SELECT (table_name || '.' || column_name) COLLATE "C" AS name FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name NOT IN ('lease', 'budgets', 'trueup_schema') ORDER BY name`)
	if diff := cmp.Diff(lite, big); err != nil || diff != "" {
		t.Errorf("%v (-SQLite +PostgreSQL):\n%s", err, diff)
	}
}

// What arrives changed is not kept.
func TestCopyIsCompared(t *testing.T) {
	t.Parallel()
	from, to := filepath.Join(t.TempDir(), "trueup.db"), filepath.Join(t.TempDir(), "trueup.db")
	fill(t, "sqlite:"+from)
	target := open(t, to)
	exec(t, raw(t, to), "CREATE TRIGGER worse AFTER INSERT ON plans BEGIN UPDATE plans SET body = '{}' WHERE digest = new.digest; END")
	_, err := state.Copy(t.Context(), open(t, from), target)
	wantError(t, err, state.ErrNotSame, "table plans", "copy again")
	if cursor, _, err := target.Cursor(t.Context(), "microsoft"); err != nil || cursor != "" {
		t.Errorf("got %q, %v: some of it was kept", cursor, err)
	}
}

// A journal that is broken is not carried on as if it were whole.
func TestCopyOfABrokenJournal(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "trueup.db")
	fill(t, "sqlite:"+from)
	exec(t, raw(t, from), "DROP TRIGGER journal_never_changes", "UPDATE journal SET note = 'x' WHERE seq = 2 AND tenant = 'north'")
	_, err := state.Copy(t.Context(), open(t, from), open(t, filepath.Join(t.TempDir(), "trueup.db")))
	wantError(t, err, state.ErrBroken, "at entry 2")
}

func TestBackup(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			dsn, dir := database(t), t.TempDir()
			fill(t, dsn)
			s := opened(t, dsn)
			if _, err := s.Lock(ctx, "a daemon"); err != nil {
				t.Fatal(err)
			}
			wantError(t, s.Idle(ctx), state.ErrLocked, "a daemon", "stop it")
			file := filepath.Join(dir, "kept.db")
			done, err := s.Backup(ctx, file)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("got %v, %v, want the one file", entries, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
			}
			kept := open(t, file+"?mode=ro")
			if head, err := kept.VerifyJournal(ctx); err != nil || head != done.Journals[""] {
				t.Errorf("got %v, %v, want %v", head, err, done.Journals[""])
			}
			if err := kept.Idle(ctx); err != nil {
				t.Errorf("the daemon's lease is in the backup: %v", err)
			}
			_, err = s.Backup(ctx, file)
			wantError(t, err, state.ErrNotEmpty, "there already")
		})
	}
}

// A run that reports progress is at work; one that is silent is not.
func TestIdle(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"), state.WithTenant("north"))
	run, err := s.StartRun(t.Context(), state.Run{Kind: state.RunFlow, Name: "flow"})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Idle(t.Context()), state.ErrLocked, "run "+run.ID)
	if err := s.Exec(t.Context(), "UPDATE runs SET alive_at = '2001-01-01T00:00:00.000000000Z'"); err != nil {
		t.Fatal(err)
	}
	if err := s.Idle(t.Context()); err != nil {
		t.Errorf("a dead run: %v", err)
	}
}

// A statement that forgets the tenant is refused before it reaches the database.
func TestStatementsNameTheTenant(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	if err := s.Unbound(t.Context(), "DELETE FROM cursors"); err == nil || !strings.Contains(err.Error(), "does not name the tenant") {
		t.Errorf("got %v, want a refusal", err)
	}
	if err := s.Unbound(t.Context(), "DELETE FROM cursors WHERE tenant = @tenant AND account = ?"); err == nil || !strings.Contains(err.Error(), "lacks arguments") {
		t.Errorf("got %v, want a refusal", err)
	}
}
