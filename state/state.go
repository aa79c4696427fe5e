// Package state is trueup's memory: everything that must survive being killed at any instruction.
//
// A Store keeps, for one installation:
//
//   - cursors, sweeps and gaps: how far each account has been read, and what was not (cursors.go, gaps.go);
//   - records: what each account holds, in native form; never deleted, only marked gone (records.go);
//   - links and snapshots: which records are the same thing, and what each side looked like last time (links.go, snapshots.go);
//   - runs, findings and plans: what was done, what a person should know, what was proposed (runs.go, findings.go, plans.go);
//   - the journal: every intended change and what became of it; append-only and hash-chained (journal.go, docs/journal.md);
//   - the lock: one daemon at a time, by a lease that expires (lock.go).
//
// The SQL is plain, so that another database can pass the same suite (statetest). Exported methods open the transaction;
// unexported functions are given it. Reading never waits for writing and may go on inside a stream: a yield function may call any
// method of the Store. Times are UTC; the zero time is "never".
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
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// Store is an open state database. It is safe for concurrent use. Close it when done.
type Store struct {
	name    string // as the user wrote it, for messages
	now     func() time.Time
	write   *sqlx.DB // one connection: writers take turns here instead of failing as busy
	read    *sqlx.DB
	explain func(error) error // adds cause and next step to the driver's errors
	cleanup func() error
}

// Option changes how a Store is opened.
type Option func(*options)

type options struct {
	now  func() time.Time
	wait time.Duration
}

// WithClock replaces the wall clock.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithWait sets how long to wait for another process that is writing; 10 seconds by default.
func WithWait(d time.Duration) Option { return func(o *options) { o.wait = d } }

// Close closes the database.
func (s *Store) Close() error {
	err := errors.Join(s.read.Close(), s.write.Close())
	if s.cleanup != nil {
		err = errors.Join(err, s.cleanup())
	}
	return err
}

func (s *Store) clock() time.Time { return s.now().UTC() }

// tx is a transaction whose statements are written with ? marks, whatever the database calls them.
type tx struct{ *sqlx.Tx }

func (t tx) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	res, err := t.ExecContext(ctx, t.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// one scans the only row into targets; found is false when there is none.
func (t tx) one(ctx context.Context, targets []any, query string, args ...any) (found bool, err error) {
	err = t.QueryRowContext(ctx, t.Rebind(query), args...).Scan(targets...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls row for every row; row scans it.
func (t tx) each(ctx context.Context, row func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.QueryContext(ctx, t.Rebind(query), args...)
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

// insert writes n rows by statements of many rows each: head VALUES (?, ?), (?, ?) tail.
func (t tx) insert(ctx context.Context, head, tail string, n int, row func(i int) []any) error {
	if n == 0 {
		return nil
	}
	width := len(row(0))
	size := min(n, max(1, batchArgs/width))
	full, err := t.PrepareContext(ctx, t.Rebind(head+" VALUES "+marks(size, width)+" "+tail))
	if err != nil {
		return err
	}
	defer full.Close()
	args := make([]any, 0, size*width)
	for i := 0; i < n; i += size {
		count := min(size, n-i)
		args = args[:0]
		for j := range count {
			args = append(args, row(i+j)...)
		}
		if count == size {
			_, err = full.ExecContext(ctx, args...)
		} else {
			_, err = t.exec(ctx, head+" VALUES "+marks(count, width)+" "+tail, args...)
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

// update runs change in one transaction that is committed when it returns nil. doing names the work in errors.
func (s *Store) update(ctx context.Context, doing string, change func(tx) error) error {
	return s.transact(ctx, s.write, nil, doing, change)
}

// view runs look on one unchanging picture of the database.
func (s *Store) view(ctx context.Context, doing string, look func(tx) error) error {
	return s.transact(ctx, s.read, &sql.TxOptions{ReadOnly: true}, doing, look)
}

func (s *Store) transact(ctx context.Context, db *sqlx.DB, opts *sql.TxOptions, doing string, work func(tx) error) error {
	t, err := db.BeginTxx(ctx, opts)
	if err != nil {
		return s.failed(doing, err)
	}
	defer t.Rollback() //nolint:errcheck // after a commit this does nothing; before one, the first error is the one to tell
	if err := work(tx{t}); err != nil {
		return s.failed(doing, err)
	}
	if err := t.Commit(); err != nil {
		return s.failed(doing, err)
	}
	return nil
}

// stopped carries an error of the caller's own yield function through the layers untouched.
type stopped struct{ error }

func (s *Store) failed(doing string, err error) error {
	if own, ok := errors.AsType[stopped](err); ok {
		return own.error
	}
	return fmt.Errorf("%s: %w", doing, s.explain(err))
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
