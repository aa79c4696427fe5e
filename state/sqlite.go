package state

import (
	"context"
	"embed"
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

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

func init() { sqlx.BindDriver("sqlite", sqlx.QUESTION) }

// Open opens the state database that dsn names, creates it when it is not there, and brings its schema up to date.
//
//	sqlite:trueup.db                      a file; its folder must exist
//	sqlite:/backup/trueup.db?mode=ro      a file that is only looked at; every write fails with ErrReadOnly
//	sqlite::memory:                       a temporary file that Close removes, for tests and demonstrations
func Open(ctx context.Context, dsn string, opts ...Option) (*Store, error) {
	o := options{now: time.Now, wait: 10 * time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok || path == "" {
		// The text is not repeated: it may be a database URL with a password in it.
		return nil, errors.New("open state: the setting must look like sqlite:trueup.db")
	}
	path, query, asked := strings.Cut(path, "?")
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
	s := &Store{name: path, now: o.now, write: write, read: read, explain: explainSQLite}
	if err := migrate(ctx, write, readOnly); err != nil {
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

// schemaTable is where goose keeps the version. Its name also tells a trueup file from any other database.
const schemaTable = "trueup_schema"

// migrate brings the schema up to date, or refuses a file that is not ours or is newer than this program.
func migrate(ctx context.Context, db *sqlx.DB, readOnly bool) error {
	var ours, tables int
	err := db.QueryRowContext(ctx, `SELECT coalesce(sum(name = '`+schemaTable+`'), 0), count(*) FROM sqlite_master WHERE type = 'table'`).
		Scan(&ours, &tables)
	switch {
	case err != nil:
		return err
	case ours == 0 && tables > 0:
		return because(ErrNotDatabase, "it is the database of another program; name another file under state: in trueup.yaml", nil)
	case ours == 0 && readOnly:
		return because(ErrNotDatabase, "it is empty; a file that is only looked at must have been written by trueup", nil)
	}
	files, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.DB, files, goose.WithTableName(schemaTable),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema version: %w", err)
	case current > target:
		return because(ErrNewer, fmt.Sprintf("its schema is version %d and this program knows %d; upgrade trueup", current, target), nil)
	case current < target && readOnly:
		return because(ErrReadOnly, fmt.Sprintf("its schema is version %d and must become %d; open it once without mode=ro", current, target), nil)
	case current == target:
		return nil
	}
	if _, err = provider.Up(ctx); err == nil {
		return nil
	}
	// Another process may have been creating the same file; then its work is as good as ours.
	if now, _, again := provider.GetVersions(ctx); again == nil && now == target {
		return nil
	}
	return fmt.Errorf("bring the schema from version %d to %d: %w", current, target, err)
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
