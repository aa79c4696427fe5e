// Package state is trueup's memory: everything that must survive being killed at any instruction.
//
// A Store keeps, for one tenant of one database:
//
//   - cursors, sweeps and gaps: how far each account has been read, and what was not (cursors.go, gaps.go);
//   - records: what each account holds, in native form; never deleted, only marked gone (records.go);
//   - links and snapshots: which records are the same thing, and what each side looked like last time (links.go, snapshots.go);
//   - runs, findings and plans: what was done, what a person should know, what was proposed (runs.go, findings.go, plans.go);
//   - the journal: every intended change and what became of it; append-only and hash-chained (journal.go, docs/journal.md);
//   - the lock: which daemons are alive, by leases that expire; one of a file, several of a server (lock.go);
//   - told: which ticket tells people of a matter, and what it said last (told.go);
//   - budgets: when the next request of an account may begin, whoever sends it (budgets.go).
//
// The database is SQLite (sqlite.go) or PostgreSQL (postgres.go); what differs is a dialect, and both pass the same suite (statetest).
// The SQL is plain and every statement names the tenant as @tenant; one that does not is refused, so that none can see another
// tenant's rows. Copy moves everything from one database to another (copy.go).
//
// Exported methods open the transaction; unexported functions are given it. Writers of a tenant take turns, between processes too.
// Reading never waits for writing and may go on inside a stream: a yield function may call any method of the Store. A writing
// transaction that the database gave up in favour of another is run again, so what it collects begins anew inside it.
// Times are UTC; the zero time is "never". They are those of the clock that all who use the database share: a file's machine has one, and a server
// gives its own to every machine, whose clocks may differ.
//
// Errors say what was being done, the cause and the next step. Those that a caller decides on wrap one of the Err values.
package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// Store is an open state database. It is safe for concurrent use. Close it when done.
type Store struct {
	name     string // as the user wrote it, without what may be secret; for messages
	tenant   string
	wait     time.Duration
	write    *sqlx.DB // one connection: writers take turns here instead of failing as busy
	read     *sqlx.DB
	dialect  dialect
	fence    atomic.Pointer[Lock] // the lease without which no intent is written; nil where this process is no daemon
	migrated Migrated
	cleanup  func() error
}

// dialect is what differs between databases.
type dialect struct {
	explain  func(error) error               // adds cause and next step to the driver's errors
	again    func(error) bool                // the database gave the transaction up and it may be run again
	begin    func(context.Context, tx) error // what a writing transaction says first
	alone    func(context.Context, tx) error // keeps writers of all tenants out until the transaction ends
	change   sql.TxOptions                   // how a transaction that writes sees the others
	time     clockOf                         // the clock that all who use the database share
	look     sql.TxOptions                   // how a transaction that only reads sees one unchanging picture
	shared   bool                            // several daemons may work on one database
	prepares bool                            // a prepared statement pays, and cannot end up on another connection
}

// Option changes how a Store is opened.
type Option func(*options)

type options struct {
	now    func() time.Time
	server func() time.Time
	wait   time.Duration
	tenant string
}

// WithClock replaces the clock of this machine, by which a file lives.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithServerClock replaces the clock of the server, by which everything in its databases lives; for tests.
func WithServerClock(now func() time.Time) Option { return func(o *options) { o.server = now } }

// WithWait sets how long to wait for another process that is writing; 10 seconds by default.
func WithWait(d time.Duration) Option { return func(o *options) { o.wait = d } }

// WithTenant makes everything that the Store does that of one tenant; "" by default. Tenants of one database see nothing of each other.
func WithTenant(name string) Option { return func(o *options) { o.tenant = name } }

// Close closes the database.
func (s *Store) Close() error {
	err := errors.Join(s.read.Close(), s.write.Close())
	if s.cleanup != nil {
		err = errors.Join(err, s.cleanup())
	}
	return err
}

// Now is the time of the clock that all who use the database share.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.view(ctx, "ask "+s.name+" for the time", func(t tx) error {
		now, err = t.dialect.time(ctx, t)
		return err
	})
	return now, err
}

// clockOf asks for the time of whoever's clock counts, in UTC.
type clockOf func(ctx context.Context, t tx) (time.Time, error)

// showing is a clock that needs no asking.
func showing(now func() time.Time) clockOf {
	return func(context.Context, tx) (time.Time, error) { return now().UTC(), nil }
}

// tx is a transaction of a tenant. Its statements are written with ? for arguments, @tenant for the tenant and @now for its time, whatever
// the database calls them.
type tx struct {
	*sqlx.Tx
	tenant  string
	dialect *dialect
	now     time.Time // when a transaction that writes got its turn
}

// bind puts the tenant, and the time of the transaction as @now, among the arguments. A statement that does not name the tenant would reach
// every tenant's rows.
func (t tx) bind(query string, args []any) (string, []any, error) {
	bound, named, lacks := make([]any, 0, len(args)+2), false, false
	text := marked.ReplaceAllStringFunc(query, func(mark string) string {
		switch {
		case mark == "@tenant":
			named, bound = true, append(bound, t.tenant)
		case mark == "@now":
			bound = append(bound, stamp(t.now))
		case len(args) == 0:
			lacks = true
		default:
			bound, args = append(bound, args[0]), args[1:]
		}
		return "?"
	})
	switch {
	case !named:
		return "", nil, fmt.Errorf("the statement %q does not name the tenant", query)
	case lacks:
		return "", nil, fmt.Errorf("the statement %q lacks arguments", query)
	}
	return t.Rebind(text), append(bound, args...), nil
}

// marked finds what stands for a value in a statement.
var marked = regexp.MustCompile(`\?|@tenant|@now`)

func (t tx) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	query, args, err = t.bind(query, args)
	if err != nil {
		return 0, err
	}
	res, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// one scans the only row into targets; found is false when there is none.
func (t tx) one(ctx context.Context, targets []any, query string, args ...any) (found bool, err error) {
	query, args, err = t.bind(query, args)
	if err != nil {
		return false, err
	}
	err = t.QueryRowContext(ctx, query, args...).Scan(targets...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls row for every row; row scans it.
func (t tx) each(ctx context.Context, row func(*sql.Rows) error, query string, args ...any) error {
	query, args, err := t.bind(query, args)
	if err != nil {
		return err
	}
	return t.rows(ctx, row, query, args...)
}

func (t tx) rows(ctx context.Context, row func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := row(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// batchArgs bounds the arguments of one statement. Databases allow more, but longer statements are no faster.
const batchArgs = 2000

// insert writes n rows of the tenant by statements of many rows each; tail says what to do with those that are there.
func (t tx) insert(ctx context.Context, table, columns, tail string, n int, row func(i int) []any) error {
	return t.fill(ctx, table, "tenant, "+columns, tail, n, func(i int) []any { return append([]any{t.tenant}, row(i)...) })
}

// fill is insert where the rows name their tenant themselves.
func (t tx) fill(ctx context.Context, table, columns, tail string, n int, row func(i int) []any) error {
	if n == 0 {
		return nil
	}
	width := len(row(0))
	size := min(n, max(1, batchArgs/width))
	statement := func(rows int) string {
		return t.Rebind("INSERT INTO " + table + " (" + columns + ") VALUES " + marks(rows, width) + " " + tail)
	}
	whole := statement(size)
	run := func(args []any) (sql.Result, error) { return t.ExecContext(ctx, whole, args...) }
	if t.dialect.prepares {
		prepared, err := t.PrepareContext(ctx, whole)
		if err != nil {
			return err
		}
		defer func() { _ = prepared.Close() }()
		run = func(args []any) (sql.Result, error) { return prepared.ExecContext(ctx, args...) }
	}
	args := make([]any, 0, size*width)
	for i := 0; i < n; i += size {
		count := min(size, n-i)
		args = args[:0]
		for j := range count {
			args = append(args, row(i+j)...)
		}
		var err error
		if count == size {
			_, err = run(args)
		} else {
			_, err = t.ExecContext(ctx, statement(count), args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// marks is (?, ?), (?, ?) for rows of a width.
func marks(rows, width int) string {
	row := "(" + strings.Repeat("?, ", width-1) + "?)"
	return strings.Repeat(row+", ", rows-1) + row
}

// attempts is how often a writing transaction is tried that the database gives up in favour of another.
const attempts = 5

// update runs change in one transaction that is committed when it returns nil. doing names the work in errors.
func (s *Store) update(ctx context.Context, doing string, change func(tx) error) error {
	var err error
	for range attempts {
		err = s.transact(ctx, s.write, &s.dialect.change, func(t tx) error {
			err := s.dialect.begin(ctx, t)
			if err != nil {
				return err
			}
			if t.now, err = s.dialect.time(ctx, t); err != nil {
				return err
			}
			return change(t)
		})
		if err == nil {
			return nil
		}
		if !s.dialect.again(err) {
			break
		}
	}
	return s.failed(ctx, doing, err)
}

// view runs look on one unchanging picture of the database.
func (s *Store) view(ctx context.Context, doing string, look func(tx) error) error {
	if err := s.transact(ctx, s.read, &s.dialect.look, look); err != nil {
		return s.failed(ctx, doing, err)
	}
	return nil
}

func (s *Store) transact(ctx context.Context, db *sqlx.DB, opts *sql.TxOptions, work func(tx) error) error {
	t, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // after a commit this does nothing; before one, the first error is the one to tell
	if err := work(tx{Tx: t, tenant: s.tenant, dialect: &s.dialect}); err != nil {
		return err
	}
	return t.Commit()
}

// stopped carries an error of the caller's own yield function through the layers untouched.
type stopped struct{ error }

func (s *Store) failed(ctx context.Context, doing string, err error) error {
	if own, ok := errors.AsType[stopped](err); ok {
		return own.error
	}
	if cancelled := ctx.Err(); cancelled != nil && !errors.Is(err, cancelled) {
		err = fmt.Errorf("%w (%w)", cancelled, err) // a driver may have words of its own for it
	}
	return fmt.Errorf("%s: %w", doing, s.dialect.explain(err))
}

// stored is the one form of a time in the database: fixed width, so that text order is time order.
const stored = "2006-01-02T15:04:05.000000000Z"

// moment reads and writes a time as text; the zero time is "".
type moment struct{ t *time.Time }

func (m moment) Value() (driver.Value, error) { return stamp(*m.t), nil }

func (m moment) Scan(src any) error {
	*m.t = time.Time{}
	text, err := scanned(src)
	if err != nil || text == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("stored time %q cannot be read: %w", text, err)
	}
	*m.t = t.UTC()
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stored)
}

// document reads and writes a value as JSON text; NULL, from an outer join, leaves the value as it was.
type document struct{ v any }

func (d document) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

func (d document) Scan(src any) error {
	text, err := scanned(src)
	if err != nil || text == "" {
		return err
	}
	return json.Unmarshal([]byte(text), d.v)
}

func scanned(src any) (string, error) {
	switch v := src.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("stored %T where text was expected", src)
}
