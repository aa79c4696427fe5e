package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
)

// IsPostgres reports whether a data source name is that of a PostgreSQL database.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// openPostgres says how trueup uses PostgreSQL.
//
// Parameters travel with their statement (binary_parameters), and everything that belongs to a transaction is said inside it: a pooler
// that hands out connections for one transaction each may stand between. Writers of a tenant take turns by an advisory lock that ends
// with the transaction, as SQLite's do by the file: numbers of the journal have no gaps, and what was looked up before
// writing is still true. The lock is taken before anything is read, so at READ COMMITTED every statement sees what
// the one before committed. A server or user may have another level as default; there the picture would be older than the lock.
func openPostgres(ctx context.Context, dsn string, o options) (*Store, error) {
	name, full, err := postgresURL(dsn)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	connector, err := pq.NewConnector(full)
	if err != nil { // the cause may quote the URL
		return nil, fmt.Errorf("open state %s: an option of the URL cannot be read; see the guide for those that are usual", name)
	}
	s := &Store{name: name, tenant: o.tenant, wait: o.wait, dialect: dialect{
		explain: explainPostgres,
		again:   gaveUp,
		time:    serverClock,
		shared:  true,
		look:    sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		change:  sql.TxOptions{Isolation: sql.LevelReadCommitted},
		alone: func(ctx context.Context, t tx) error {
			_, err := t.ExecContext(ctx, `LOCK TABLE `+strings.Join(keptTables(), ", ")+` IN EXCLUSIVE MODE`) // reading goes on
			return err
		},
		begin: func(ctx context.Context, t tx) error {
			_, err := t.ExecContext(ctx, takeTurns("state of "+t.tenant, o.wait))
			return err
		},
	}}
	if o.server != nil {
		s.dialect.time = showing(o.server)
	}
	s.write, s.read = sqlx.NewDb(sql.OpenDB(connector), "postgres"), sqlx.NewDb(sql.OpenDB(connector), "postgres")
	s.write.SetMaxOpenConns(1)
	s.read.SetMaxIdleConns(4) // not limited, for the same reason as with SQLite
	if s.migrated, err = migratePostgres(ctx, s, o.wait); err == nil {
		err = s.transact(ctx, s.write, &s.dialect.change, func(t tx) error { return s.dialect.begin(ctx, t) })
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", name, errors.Join(explainPostgres(err), s.Close()))
	}
	return s, nil
}

// postgresURL adds what trueup needs to the URL. name is for people: without user, password and options.
func postgresURL(dsn string) (name, full string, err error) {
	u, err := url.Parse(dsn)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		// The text is not repeated: there may be a password in it.
		return "", "", errors.New("the URL of the database cannot be read; it must look like postgres://trueup@db.example.com/trueup, and special characters in a password must be written as %40 and the like")
	}
	q := u.Query()
	for key, value := range map[string]string{"connect_timeout": "10", "application_name": "trueup"} {
		if !q.Has(key) {
			q.Set(key, value)
		}
	}
	q.Set("binary_parameters", "yes")
	u.RawQuery = q.Encode()
	return (&url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path}).String(), u.String(), nil
}

// takeTurns is what a transaction says to be the only one of its kind in this schema. A server that confirms commits before they are on the
// disk is told not to: a forgotten intent is an order that could be sent twice.
func takeTurns(what string, wait time.Duration) string {
	return fmt.Sprintf(`SET LOCAL lock_timeout = %d;
		SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
		SELECT pg_advisory_xact_lock(hashtextextended('trueup ' || current_schema() || ' ' || %s, 0))`,
		max(1, wait.Milliseconds()), pq.QuoteLiteral(what)) // 0 would mean for ever
}

// migratePostgres holds a lock of its own while the schema is brought up to date, so that daemons that start together do it once.
func migratePostgres(ctx context.Context, s *Store, wait time.Duration) (done Migrated, err error) {
	err = s.transact(ctx, s.read, nil, func(t tx) error {
		var encoding string
		var schema sql.NullString
		if err := t.QueryRowContext(ctx, `SELECT current_setting('server_encoding'), current_schema()`).Scan(&encoding, &schema); err != nil {
			return err
		}
		switch {
		case encoding != "UTF8":
			return because(notOurs, "its encoding is "+encoding+"; create it with ENCODING 'UTF8'", nil)
		case !schema.Valid:
			return because(noDatabase, "none of the schemas in the search_path exists, or this user may not use it; create one, or take search_path out of the URL", nil)
		}
		if _, err := t.ExecContext(ctx, takeTurns("schema", wait)); err != nil {
			return err
		}
		var ours, tables int
		err := t.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE tablename = '`+schemaTable+`'), count(*) FROM pg_tables WHERE schemaname = current_schema()`).
			Scan(&ours, &tables)
		if err != nil {
			return err
		}
		if ours == 0 && tables > 0 {
			return because(notOurs, "the tables of another program are in it; give trueup a database of its own, or a schema by ?search_path=trueup", nil)
		}
		done, err = migrate(ctx, s.write, goose.DialectPostgres, "migrations/postgres", false)
		return err
	})
	return done, err
}

// The causes in words that fit a server.
var (
	notOurs    = worded{"the database is not one of trueup", ErrNotDatabase}
	noDatabase = worded{"the database does not exist", ErrNoFolder}
	notAllowed = worded{"the database cannot be written", ErrReadOnly}
	serverBusy = worded{"the database is busy", ErrBusy}
	serverFull = worded{"the disk of the database server is full", ErrFull}
	serverDisk = worded{"the disk of the database server answered with an error", ErrDisk}
	damaged    = worded{"the database is damaged", ErrCorrupt}
)

const (
	again = "nothing of this step was kept; "
	// A connection that breaks while a commit is on its way leaves open whether it was kept. Journal entries say what may follow, so
	// that doing it again is refused and not doubled.
	lost = "check the server, its address and the network, then run again; what trueup was doing it looks for first"
)

// explainPostgres adds cause and next step to the errors that a person can do something about.
func explainPostgres(err error) error {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return explainCode(e)
	}
	if _, isNet := errors.AsType[net.Error](err); isNet && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return because(ErrLost, lost, err)
	}
	if errors.Is(err, pq.ErrSSLNotSupported) {
		return because(ErrSignIn, "the server speaks no TLS; switch it on there, or write ?sslmode=disable when nobody else can listen", err)
	}
	return err
}

func explainCode(e *pq.Error) error {
	switch code := string(e.Code); {
	case code == "28P01" || code == "28000":
		return because(ErrSignIn, "check the user, the password (${env:...}, ${file:...}, or PGPASSWORD) and the server's pg_hba.conf", e)
	case code == "3D000":
		return because(noDatabase, "create it (CREATE DATABASE name ENCODING 'UTF8'), or name another under state: in trueup.yaml", e)
	case code == "42501" || code == "25006":
		return because(notAllowed, "let this user create and write tables in its schema, on a server that is not a standby", e)
	case code == "55P03":
		return because(serverBusy, again+"another trueup writes to it; wait for it to finish, and try again", e)
	case code == "53300":
		return because(serverBusy, "all its connections are taken; allow more (max_connections), or put a pooler before it", e)
	case code == "53100":
		return because(serverFull, again+"free some space there and run again", e)
	case code == "58030":
		return because(serverDisk, again+"check it, then run again", e)
	case code == "57014" && strings.Contains(e.Message, "statement timeout"):
		return because(serverBusy, again+"its statement_timeout is too short for this; allow this user more (ALTER ROLE ... SET statement_timeout = '5min')", e)
	case strings.HasPrefix(code, "XX00") && code != "XX000":
		return because(damaged, "stop trueup and restore a backup", e)
	case strings.HasPrefix(code, "08") || code == "57P01" || code == "57P02" || code == "57P03":
		return because(ErrLost, lost, e)
	}
	return e
}

// gaveUp recognises serialization failures and deadlocks: the transaction was rolled back for another's sake.
func gaveUp(err error) bool {
	e, ok := errors.AsType[*pq.Error](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// serverClock is the time of the server, the same for every machine.
func serverClock(ctx context.Context, t tx) (now time.Time, err error) {
	if err = t.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("ask for the time: %w", err)
	}
	return now.UTC(), nil
}
