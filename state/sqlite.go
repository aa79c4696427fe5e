package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

func init() { sqlx.BindDriver("sqlite", sqlx.QUESTION) }

// openFile opens what follows sqlite: in a data source name.
func openFile(ctx context.Context, name string, o options) (*Store, error) {
	path, query, asked := strings.Cut(name, "?")
	if asked && query != "mode=ro" {
		return nil, fmt.Errorf("open state %s: unknown option after the question mark; the only one is mode=ro", path)
	}
	var cleanup func() error
	if path == ":memory:" {
		dir, err := os.MkdirTemp("", "trueup-state-")
		if err != nil {
			return nil, fmt.Errorf("open temporary state: %w", err)
		}
		path, cleanup = filepath.Join(dir, "trueup.db"), func() error { return os.RemoveAll(dir) }
	}
	s, err := openSQLite(ctx, path, asked, o)
	if err != nil {
		if cleanup != nil {
			err = errors.Join(err, cleanup())
		}
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	s.cleanup = cleanup
	return s, nil
}

func openSQLite(ctx context.Context, path string, readOnly bool, o options) (*Store, error) {
	if err := touch(path, readOnly); err != nil {
		return nil, err
	}
	write, err := sqlx.Open("sqlite", sqliteURI(path, readOnly, false, o.wait))
	if err != nil {
		return nil, err
	}
	read, err := sqlx.Open("sqlite", sqliteURI(path, readOnly, true, o.wait))
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	write.SetMaxOpenConns(1)
	// Readers are not limited: a stream whose yield reads again needs another connection, and waiting for one would be a deadlock.
	read.SetMaxIdleConns(4)
	s := &Store{name: path, tenant: o.tenant, wait: o.wait, write: write, read: read, dialect: dialect{
		explain:  explainSQLite,
		again:    func(error) bool { return false }, // who may write is decided when a transaction begins
		begin:    func(context.Context, tx) error { return nil },
		alone:    func(context.Context, tx) error { return nil }, // the file has one writer at a time
		look:     sql.TxOptions{ReadOnly: true},
		time:     showing(o.now),
		prepares: true,
	}}
	if s.migrated, err = migrateSQLite(ctx, write, readOnly, o.wait); err != nil {
		return nil, errors.Join(explainSQLite(err), s.Close())
	}
	if !readOnly {
		// A file without write permission opens well and fails at the first write; that is too late to be told.
		if err := s.update(ctx, "try to write", func(tx) error { return nil }); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// touch creates the file for its owner only, as it holds customers' data, and gives the clear errors of the operating system.
func touch(path string, readOnly bool) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return because(ErrNoFolder, fmt.Sprintf("create the folder %s or name another place under state: in trueup.yaml", dir), nil)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return because(ErrNotDatabase, "it is a folder or a device; name a file under state: in trueup.yaml", nil)
	}
	flags := os.O_RDWR | os.O_CREATE
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case readOnly && errors.Is(err, fs.ErrNotExist):
		return because(ErrNotFound, "a file that is only looked at must be there already", nil)
	case !readOnly && (errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only")):
		return because(ErrReadOnly, readOnlyNext, err)
	}
	return err
}

const readOnlyNext = "give the user that runs trueup write permission on the file and its folder, or move it under state: in trueup.yaml"

// sqliteURI says how trueup uses SQLite. WAL lets readers and the writer work side by side. synchronous FULL because in
// WAL mode NORMAL may lose the last commits when the power fails, and a forgotten intent is an order that could be sent
// twice; fullfsync because macOS answers a plain fsync before the data is safe. Transactions that will write say so when
// they begin (immediate), as one that has read first cannot wait for another writer.
func sqliteURI(path string, readOnly, reader bool, wait time.Duration) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	q := url.Values{"_error_rc": {"1"}, "_dqs": {"0"}, "_defensive": {"1"}}
	q.Set("_busy_timeout", fmt.Sprint(wait.Milliseconds()))
	q.Set("_foreign_keys", "1")
	q.Set("_synchronous", "FULL")
	q.Add("_pragma", "fullfsync(1)")
	q.Add("_pragma", "journal_size_limit(67108864)")
	switch {
	case readOnly:
		q.Set("mode", "ro")
	default:
		q.Set("mode", "rw")
		q.Set("_journal_mode", "WAL")
	}
	if reader {
		q.Set("_query_only", "1")
	} else {
		q.Set("_txlock", "immediate")
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func migrateSQLite(ctx context.Context, db *sqlx.DB, readOnly bool, wait time.Duration) (done Migrated, err error) {
	var ours, tables int
	err = db.QueryRowContext(ctx, `SELECT coalesce(sum(name = '`+schemaTable+`'), 0), count(*) FROM sqlite_master WHERE type = 'table'`).
		Scan(&ours, &tables)
	switch {
	case err != nil:
		return Migrated{}, err
	case ours == 0 && tables > 0:
		return Migrated{}, because(ErrNotDatabase, "it is the database of another program; name another file under state: in trueup.yaml", nil)
	case ours == 0 && readOnly:
		return Migrated{}, because(ErrNotDatabase, "it is empty; a file that is only looked at must have been written by trueup", nil)
	}
	if ours == 0 {
		// Who opens a new file waits for all who make its tables at the same moment, however slow the disk is.
		if err := patient(ctx, db, max(wait, time.Minute)); err != nil {
			return Migrated{}, err
		}
		defer func() { err = errors.Join(err, patient(ctx, db, wait)) }()
	}
	return migrate(ctx, db, goose.DialectSQLite3, "migrations/sqlite", readOnly)
}

// patient sets how long the one connection waits for another process that writes.
func patient(ctx context.Context, db *sqlx.DB, wait time.Duration) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA busy_timeout = %d`, wait.Milliseconds()))
	return err
}

// explainSQLite adds cause and next step to the errors of SQLite that a person can do something about.
func explainSQLite(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return because(ErrBusy, "close the other program (a database browser, a backup, another trueup) and try again", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return because(ErrReadOnly, readOnlyNext, err)
	case sqlite3.SQLITE_CANTOPEN:
		return because(ErrReadOnly, "trueup also needs to create files beside it; "+readOnlyNext, err)
	case sqlite3.SQLITE_NOTADB:
		return because(ErrNotDatabase, "name another file under state: in trueup.yaml, or restore a backup", err)
	case sqlite3.SQLITE_CORRUPT:
		return because(ErrCorrupt, "stop trueup, keep a copy, and restore a backup; without one start with a new file: links are found again from the ids kept on both sides", err)
	case sqlite3.SQLITE_FULL:
		return because(ErrFull, "nothing of this step was kept; free some space and run again", err)
	case sqlite3.SQLITE_IOERR:
		return because(ErrDisk, "nothing of this step was kept; check the disk and its free space, then run again", err)
	}
	return err
}
