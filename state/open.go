package state

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// Open opens the state database that dsn names, creates its tables when they are not there, and brings its schema up to date.
//
//	sqlite:trueup.db                      a file; its folder must exist
//	sqlite:/backup/trueup.db?mode=ro      a file that is only looked at; every write fails with ErrReadOnly
//	sqlite::memory:                       a temporary file that Close removes, for tests and demonstrations
//	postgres://trueup@db.example.com/trueup?sslmode=verify-full   a database of a PostgreSQL server, which must exist
//
// A password is never part of an error.
func Open(ctx context.Context, dsn string, opts ...Option) (*Store, error) {
	o := options{now: time.Now, wait: 10 * time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	if name, ok := strings.CutPrefix(dsn, "sqlite:"); ok && name != "" {
		return openFile(ctx, name, o)
	}
	if IsPostgres(dsn) {
		return openPostgres(ctx, dsn, o)
	}
	// The text is not repeated: it may be a database URL with a password in it.
	return nil, errors.New("open state: the setting must look like sqlite:trueup.db or postgres://trueup@db.example.com/trueup")
}

// Migrated says what opening did to the schema.
type Migrated struct {
	From, To int64    // versions; From is 0 for a database that was empty
	Applied  []string // names of the steps, in their order; none when it was up to date
}

// Migrated is what Open did to the schema.
func (s *Store) Migrated() Migrated { return s.migrated }

// schemaTable is where goose keeps the version. Its name also tells a trueup database from any other.
const schemaTable = "trueup_schema"

//go:embed migrations/*/*.sql
var migrations embed.FS

// migrate brings the schema up to date, or refuses a database that is newer than this program. Each step is a transaction.
func migrate(ctx context.Context, db *sqlx.DB, dialect goose.Dialect, folder string, readOnly bool) (Migrated, error) {
	var done Migrated
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return done, err
	}
	provider, err := goose.NewProvider(dialect, db.DB, files, goose.WithTableName(schemaTable),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return done, err
	}
	current, target, err := provider.GetVersions(ctx)
	done.From, done.To = current, target
	switch {
	case err != nil:
		return done, fmt.Errorf("read the schema version: %w", err)
	case current > target:
		return done, because(ErrNewer, fmt.Sprintf("its schema is version %d and this program knows %d; upgrade trueup", current, target), nil)
	case current < target && readOnly:
		return done, because(ErrReadOnly, fmt.Sprintf("its schema is version %d and must become %d; open it once without mode=ro", current, target), nil)
	case current == target:
		return done, nil
	}
	for seen := current; ; {
		results, err := provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
		}
		for _, r := range results {
			done.Applied = append(done.Applied, strings.TrimSuffix(path.Base(r.Source.Path), ".sql"))
		}
		if err == nil {
			return done, nil
		}
		// Another process may be doing the same to a file, which has no lock for it: each step is done by one of the two, and found done by the other. What
		// that one did is as good as ours, so we go on from there.
		now, _, again := provider.GetVersions(ctx)
		switch {
		case again == nil && now == target:
			return done, nil
		case again != nil || now == seen:
			return done, fmt.Errorf("bring the schema from version %d to %d: %w", current, target, err)
		}
		seen = now
	}
}
