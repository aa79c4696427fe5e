package state_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// server is the URL of a PostgreSQL server on which tests may make schemas and databases; "" when there is none. make test says
// then what was not tested, and the build does not go without.
var server = os.Getenv("TRUEUP_TEST_POSTGRES")

var schemas atomic.Int64

// schema is the URL of a new, empty schema that lives until the end of the test.
func schema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	admin(t, "CREATE SCHEMA "+name)
	t.Cleanup(func() { admin(t, "DROP SCHEMA "+name+" CASCADE") })
	return with(t, func(u *url.URL) { u.RawQuery += "&search_path=" + name })
}

// with is the server's URL, changed.
func with(t testing.TB, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("TRUEUP_TEST_POSTGRES is not a URL")
	}
	change(u)
	return u.String()
}

func admin(t testing.TB, statements ...string) {
	t.Helper()
	on(t, server, statements...)
}

// on runs statements on a database as another program would.
func on(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	exec(t, db, statements...)
}

func openPostgres(t testing.TB, dsn string, opts ...state.Option) *state.Store {
	t.Helper()
	s, err := state.Open(t.Context(), dsn, opts...)
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

// TestPostgres is everything that needs a server.
func TestPostgres(t *testing.T) {
	t.Parallel()
	if server == "" {
		t.Log("NOT TESTED: PostgreSQL, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	t.Run("suite", func(t *testing.T) {
		t.Parallel()
		statetest.Run(t, func(t testing.TB) statetest.Opener {
			dsn := schema(t)
			return func(opts ...state.Option) *state.Store { return openPostgres(t, dsn, opts...) }
		})
	})
	for name, test := range map[string]func(*testing.T){
		"refusals":                      postgresRefusals,
		"opened by many at once":        postgresOpenedByMany,
		"the journal never changes":     postgresJournalNeverChanges,
		"tampering is named":            postgresTampered,
		"two processes write one chain": postgresTwoProcesses,
		"the server's clock counts":     postgresClock,
		"busy while another writes":     postgresBusy,
		"whatever level is the default": postgresIsolation,
		"a copy shuts out all tenants":  postgresCopyAlone,
		"the server came back":          postgresRestarted,
		"a statement takes too long":    postgresStatementTimeout,
		"a lost connection":             postgresLostConnection,
		"a deadlock is tried again":     postgresDeadlock,
		"commits are on the disk":       postgresDurability,
		"nothing stays on a connection": postgresPooler,
		"order is that of bytes":        postgresOrder,
		"a new database says so":        postgresMigrated,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func postgresRefusals(t *testing.T) {
	const planted = "pl4nted-s3cret"
	fresh := func(t *testing.T) string { return schema(t) }
	for _, c := range []struct {
		name  string
		make  func(t *testing.T) string
		cause error
		words []string
	}{
		{"a wrong password", func(t *testing.T) string {
			return with(t, func(u *url.URL) { u.User = url.UserPassword("trueup", planted) })
		}, state.ErrSignIn, []string{"check the user, the password"}},
		{"a user that is not there", func(t *testing.T) string {
			return with(t, func(u *url.URL) { u.User = url.UserPassword("nobody", planted) })
		}, state.ErrSignIn, nil},
		{"a database that is not there", func(t *testing.T) string {
			return with(t, func(u *url.URL) { u.Path = "/nowhere" })
		}, state.ErrNoFolder, []string{"the database does not exist", "CREATE DATABASE", "/nowhere"}},
		{"a schema that is not there", func(t *testing.T) string {
			return with(t, func(u *url.URL) { u.RawQuery += "&search_path=nowhere" })
		}, state.ErrNoFolder, []string{"search_path"}},
		{"no TLS", func(t *testing.T) string {
			return with(t, func(u *url.URL) { u.RawQuery = "sslmode=require" })
		}, state.ErrSignIn, []string{"TLS", "sslmode=disable"}},
		{"another program's tables", func(t *testing.T) string {
			dsn := fresh(t)
			on(t, dsn, "CREATE TABLE theirs (x int)")
			return dsn
		}, state.ErrNotDatabase, []string{"another program", "search_path=trueup"}},
		{"a newer schema", func(t *testing.T) string {
			dsn := fresh(t)
			openPostgres(t, dsn)
			on(t, dsn, "INSERT INTO trueup_schema (version_id, is_applied) VALUES (9000, true)")
			return dsn
		}, state.ErrNewer, []string{"9000", "upgrade trueup"}},
		{"a user that may not write", func(t *testing.T) string {
			dsn := fresh(t)
			u, err := url.Parse(dsn)
			if err != nil {
				t.Fatal(err)
			}
			role := "r_" + u.Query().Get("search_path")
			admin(t, "CREATE ROLE "+role+" LOGIN PASSWORD '"+planted+"'", "GRANT USAGE ON SCHEMA "+u.Query().Get("search_path")+" TO "+role)
			t.Cleanup(func() { admin(t, "DROP OWNED BY "+role, "DROP ROLE "+role) })
			u.User = url.UserPassword(role, planted)
			return u.String()
		}, state.ErrReadOnly, []string{"create and write tables"}},
		{"a database that is not UTF-8", func(t *testing.T) string {
			name := fmt.Sprintf("latin_%d", os.Getpid())
			admin(t, "CREATE DATABASE "+name+" ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
			t.Cleanup(func() { admin(t, "DROP DATABASE "+name+" WITH (FORCE)") })
			return with(t, func(u *url.URL) { u.Path = "/" + name })
		}, state.ErrNotDatabase, []string{"LATIN1", "ENCODING 'UTF8'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn := c.make(t)
			s, err := state.Open(t.Context(), dsn, state.WithWait(time.Second))
			if err == nil {
				_ = s.Close()
			}
			wantError(t, err, c.cause, append(c.words, "open state postgres://")...)
			u, _ := url.Parse(dsn)
			if password, _ := u.User.Password(); strings.Contains(err.Error(), password) {
				t.Error("the message shows the password")
			}
		})
	}
}

// What needs no server: names that cannot be read, and a server that is not there.
func TestPostgresIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = state.Open(t.Context(), "postgres://trueup:hunter2@"+address+"/trueup?sslmode=disable")
	wantError(t, err, state.ErrLost, "open state postgres://"+address+"/trueup", "check the server")
	for _, dsn := range []string{"postgres://trueup:hunter2@db.example.com", "postgres://trueup:hun/ter2@db.example.com/%zz",
		"postgres://trueup:hunter2@db.example.com/trueup?sslmode=hunter2"} {
		_, err := state.Open(t.Context(), dsn)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("got %v, want an error without the password", err)
		}
	}
}

func postgresOpenedByMany(t *testing.T) {
	dsn := schema(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := state.Open(t.Context(), dsn)
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

func postgresJournalNeverChanges(t *testing.T) {
	s := openPostgres(t, schema(t))
	if err := s.Append(t.Context(), intended("i1")); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE journal SET note = 'x'", "DELETE FROM journal", "TRUNCATE journal", "DELETE FROM journal WHERE seq = 99"} {
		if err := s.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "only ever appended to") {
			t.Errorf("%s: got %v, want a refusal", statement, err)
		}
	}
}

func postgresTampered(t *testing.T) {
	dsn := schema(t)
	s := openPostgres(t, dsn)
	for _, intent := range []string{"i1", "i2", "i3"} {
		if err := s.Append(t.Context(), intended(intent)); err != nil {
			t.Fatal(err)
		}
	}
	on(t, dsn, "DROP TRIGGER journal_only_grows ON journal; UPDATE journal SET note = 'x' WHERE seq = 2")
	_, err := s.VerifyJournal(t.Context())
	wantError(t, err, state.ErrBroken, "at entry 2")
}

func postgresTwoProcesses(t *testing.T) { writeOneChain(t, schema(t)) }

// A machine whose clock is two minutes slow keeps the times of the server, as one whose clock is right sees them.
func postgresClock(t *testing.T) {
	dsn := schema(t)
	slow, right := openPostgres(t, dsn, state.WithClock(func() time.Time { return time.Now().Add(-2 * time.Minute) })), openPostgres(t, dsn)
	before, err := right.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Join(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	run, err := slow.StartRun(t.Context(), state.Run{Kind: state.RunFlow, Name: "flow", Trigger: state.TriggerManual})
	if err != nil {
		t.Fatal(err)
	}
	after, err := right.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if run.Started.Before(before) || run.Started.After(after) {
		t.Errorf("a run began at %s, between %s and %s", run.Started, before, after)
	}
	if live, err := right.Daemons(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("another machine sees %v (%v)", live, err)
	}
}

// At a higher level the picture is taken before the lock is there, and every writer that had to wait would number its entry like the one before.
func postgresIsolation(t *testing.T) {
	for _, level := range []string{"repeatable%20read", "serializable"} {
		dsn := schema(t) + "&default_transaction_isolation=" + level
		got, err := openPostgres(t, dsn).Setting(t.Context(), "transaction_isolation")
		if err != nil || got != "read committed" {
			t.Errorf("a writer works at %q, %v, want read committed", got, err)
		}
		writeOneChain(t, dsn)
	}
}

// A daemon of another tenant that begins while a copy is written waits for it; it must not write between the look whether all is empty and the end.
func postgresCopyAlone(t *testing.T) {
	dsn := schema(t)
	target := openPostgres(t, dsn)
	other := openPostgres(t, dsn, state.WithTenant("another"), state.WithWait(20*time.Millisecond))
	err := target.Alone(t.Context(), func() {
		wantError(t, write(other), state.ErrBusy, "another trueup writes")
		if _, _, err := other.Cursor(t.Context(), "microsoft"); err != nil {
			t.Errorf("reading waits: %v", err)
		}
	})
	if err := errors.Join(err, write(other)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A restart of the server breaks the connections that wait in the pool; nobody was using them, so nobody hears of it.
func postgresRestarted(t *testing.T) {
	ctx := t.Context()
	name := "restarted_" + fmt.Sprint(os.Getpid())
	s := openPostgres(t, schema(t)+"&application_name="+name)
	for range 3 {
		if err := errors.Join(write(s), s.Append(ctx, intended("before"))); err != nil && !errors.Is(err, state.ErrTransition) {
			t.Fatal(err)
		}
		admin(t, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '"+name+"'")
		if _, _, err := s.Cursor(ctx, "microsoft"); err != nil {
			t.Errorf("reading: %v", err)
		}
		if err := write(s); err != nil {
			t.Errorf("writing: %v", err)
		}
	}
	if head, err := s.VerifyJournal(ctx); err != nil || head.Seq != 1 {
		t.Errorf("got %v, %v", head, err)
	}
}

func postgresStatementTimeout(t *testing.T) {
	s := openPostgres(t, schema(t)+"&statement_timeout=200")
	_, err := s.Column(t.Context(), "SELECT pg_sleep(10)::text")
	wantError(t, err, state.ErrBusy, "statement_timeout", "ALTER ROLE")
}

func writeOneChain(t *testing.T, dsn string) {
	var all sync.WaitGroup
	for i := range 3 {
		s := openPostgres(t, dsn)
		all.Go(func() {
			for j := range 30 {
				if err := s.Append(t.Context(), intended(fmt.Sprint(i, j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if head, err := openPostgres(t, dsn).VerifyJournal(t.Context()); err != nil || head.Seq != 90 {
		t.Errorf("got %d entries, %v, want 90 in one chain", head.Seq, err)
	}
}

func postgresBusy(t *testing.T) {
	dsn := schema(t)
	one, two := openPostgres(t, dsn), openPostgres(t, dsn, state.WithWait(20*time.Millisecond))
	other := openPostgres(t, dsn, state.WithTenant("another"), state.WithWait(20*time.Millisecond))
	err := one.Update(t.Context(), func() {
		wantError(t, write(two), state.ErrBusy, "keep the cursor of microsoft", "another trueup writes")
		if _, _, err := two.Cursor(t.Context(), "microsoft"); err != nil {
			t.Errorf("reading waits for writing: %v", err)
		}
		if err := write(other); err != nil {
			t.Errorf("another tenant waits: %v", err)
		}
	})
	if err := errors.Join(err, write(two)); err != nil {
		t.Errorf("after the other finished: %v", err)
	}
}

// A server that goes away is an error with a next step, and forgotten as soon as it is back.
func postgresLostConnection(t *testing.T) {
	s := openPostgres(t, schema(t))
	err := s.Update(t.Context(), func() {
		pid, err := s.Backend(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		admin(t, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
	})
	wantError(t, err, state.ErrLost, "check the server")
	if err := write(s); err != nil {
		t.Errorf("with a new connection: %v", err)
	}
}

func postgresDeadlock(t *testing.T) {
	s := openPostgres(t, schema(t))
	tries := 0
	if err := s.FailOnce(t.Context(), func() { tries++ }); err != nil || tries != 2 {
		t.Errorf("got %v after %d tries, want the second to succeed", err, tries)
	}
}

func postgresDurability(t *testing.T) {
	s := openPostgres(t, schema(t)+"&synchronous_commit=off")
	got, err := s.Setting(t.Context(), "synchronous_commit")
	if err != nil || got != "on" {
		t.Errorf("synchronous_commit is %q, %v, want on", got, err)
	}
}

// A pooler gives the next transaction another connection: no prepared statement, lock or setting may be left on one.
func postgresPooler(t *testing.T) {
	ctx := t.Context()
	s := openPostgres(t, schema(t))
	for i := range 3 {
		if err := errors.Join(write(s), s.Append(ctx, intended(fmt.Sprint(i)))); err != nil {
			t.Fatal(err)
		}
	}
	left, err := s.LeftOnConnection(ctx)
	if err != nil || left != "0 prepared statements, 0 locks, lock_timeout 0" {
		t.Errorf("got %q, %v", left, err)
	}
}

func postgresOrder(t *testing.T) {
	s := openPostgres(t, schema(t))
	for _, id := range []string{"b", "B", "a", "ä", "A", "a-", "_"} {
		if err := s.SetCursor(t.Context(), id, "x"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Column(t.Context(), "SELECT account FROM cursors ORDER BY account")
	if want := "A B _ a a- b ä"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	left, err := s.Column(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
	if err != nil || len(left) > 0 {
		t.Errorf("columns that another language could order: %v, %v", left, err)
	}
}

func postgresMigrated(t *testing.T) {
	dsn := schema(t)
	first := openPostgres(t, dsn).Migrated()
	if first.From != 0 || first.To == 0 || len(first.Applied) == 0 {
		t.Errorf("got %+v, want the steps from nothing", first)
	}
	if second := openPostgres(t, dsn).Migrated(); second.From != first.To || second.To != first.To || len(second.Applied) > 0 {
		t.Errorf("got %+v, want nothing to do at %d", second, first.To)
	}
	if lite := open(t, ":memory:").Migrated(); lite.To != first.To {
		t.Errorf("PostgreSQL is at version %d and SQLite at %d", first.To, lite.To)
	}
}
