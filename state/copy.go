package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kept are the tables that are copied, each with the key that orders it, those that others refer to first. Leases, budgets and
// the tables of the job queue are not: they belong to the daemons on a database, not to what it remembers.
var kept = []struct{ table, key string }{
	{"cursors", "tenant, account"},
	{"sweeps", "tenant, account, kind"},
	{"gaps", "tenant, account, kind"},
	{"records", "tenant, account, kind, parent, id"},
	{"links", "tenant, id"},
	{"snapshots", "tenant, link, side"},
	{"runs", "tenant, id"},
	{"findings", "tenant, flow, finding"},
	{"plans", "tenant, digest"},
	{"journal", "tenant, seq"},
	{"intents", "tenant, intent"},
	{"decisions", "tenant, id"},
	{"told", "tenant, flow, matter"},
	{"wishes", "tenant, flow, company"},
	{"hints", "tenant, flow, account, kind, parent, id"},
	{"hints_seen", "tenant, account, message"},
	{"end_decisions", "tenant, id"},
}

// Copied says what a copy holds.
type Copied struct {
	Rows     map[string]int64 // by table
	Journals map[string]Head  // by tenant, where there is an entry; each chain was verified in the copy
}

// Copy writes everything that one database remembers, of the given tenants or without any of all, into another that remembers nothing of
// them: all or nothing, row by row, and from one unchanging picture. Before it is kept, the copy is read again and compared with what was read, and every journal's chain
// is verified in it. ErrNotEmpty refuses a target that holds something, ErrNotSame a copy that turned out different,
// ErrNotFound a source that holds nothing of the tenants that were given. Whoever goes on with the copy must know that nobody goes on with the source, see Idle.
func Copy(ctx context.Context, from, to *Store, tenants ...string) (Copied, error) {
	of := among(tenants)
	done := Copied{}
	doing := "copy " + from.name + " to " + to.name
	if from.migrated.To != to.migrated.To {
		return done, fmt.Errorf("%s: the schemas are of versions %d and %d; bring both up to date with trueup state migrate", doing, from.migrated.To, to.migrated.To)
	}
	err := from.view(ctx, "read "+from.name, func(source tx) error {
		err := to.update(ctx, doing, func(target tx) error {
			done = Copied{Rows: map[string]int64{}, Journals: map[string]Head{}}
			all := int64(0)
			if err := target.dialect.alone(ctx, target); err != nil {
				return err
			}
			if err := empty(ctx, target, of); err != nil {
				return err
			}
			for _, k := range kept {
				n, err := copyTable(ctx, source, target, of, k.table, k.key)
				if err != nil {
					return fmt.Errorf("table %s: %w", k.table, err)
				}
				done.Rows[k.table] = n
				all += n
			}
			if all == 0 && len(tenants) > 0 {
				return because(ErrNotFound, fmt.Sprintf("there is nothing of tenant %s in it; look at tenant: in trueup.yaml", strings.Join(tenants, ", ")), nil)
			}
			var err error
			done.Journals, err = journals(ctx, target, of)
			return err
		})
		if err != nil {
			return stopped{err} // it says already where it happened
		}
		return nil
	})
	if err != nil {
		return Copied{}, err
	}
	return done, nil
}

func keptTables() (names []string) {
	for _, k := range kept {
		names = append(names, k.table)
	}
	return names
}

// filter is the rows of some tenants.
type filter struct {
	where string
	args  []any
}

func among(tenants []string) filter {
	if len(tenants) == 0 {
		return filter{where: ` WHERE 1 = 1`}
	}
	f := filter{where: ` WHERE tenant IN ` + marks(1, len(tenants))}
	for _, tenant := range tenants {
		f.args = append(f.args, tenant)
	}
	return f
}

func empty(ctx context.Context, target tx, of filter) error {
	for _, k := range kept {
		var n int64
		if err := target.QueryRowContext(ctx, target.Rebind(`SELECT count(*) FROM `+k.table+of.where), of.args...).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return because(ErrNotEmpty, fmt.Sprintf("it holds %d rows of %s; name a new file or an empty database, or move the old one away", n, k.table), nil)
		}
	}
	return nil
}

// copyBatch is how many rows are held at a time.
const copyBatch = 200

func copyTable(ctx context.Context, source, target tx, of filter, table, key string) (int64, error) {
	columns, err := columnsOf(ctx, source, table)
	if err != nil {
		return 0, err
	}
	list := strings.Join(columns, ", ")
	query := `SELECT ` + list + ` FROM ` + table + of.where + ` ORDER BY ` + key
	read, written := sha256.New(), sha256.New()
	var n int64
	var batch [][]any
	flush := func() error {
		err := target.fill(ctx, table, list, ``, len(batch), func(i int) []any { return batch[i] })
		batch = batch[:0]
		return err
	}
	err = source.rows(ctx, func(rows *sql.Rows) error {
		row, err := scanRow(rows, len(columns), read)
		if err != nil {
			return err
		}
		n++
		if batch = append(batch, row); len(batch) == copyBatch {
			return flush()
		}
		return nil
	}, source.Rebind(query), of.args...)
	if err == nil {
		err = flush()
	}
	if err != nil {
		return 0, err
	}
	err = target.rows(ctx, func(rows *sql.Rows) error {
		_, err := scanRow(rows, len(columns), written)
		return err
	}, target.Rebind(query), of.args...)
	if err == nil && hex.EncodeToString(read.Sum(nil)) != hex.EncodeToString(written.Sum(nil)) {
		err = because(ErrNotSame, "nothing was kept of it; check the disk of the target, and copy again", nil)
	}
	return n, err
}

// columnsOf are a table's columns in the order of their names, which is the same in every database.
func columnsOf(ctx context.Context, t tx, table string) ([]string, error) {
	rows, err := t.QueryContext(ctx, `SELECT * FROM `+table+` LIMIT 0`)
	if err != nil {
		return nil, err
	}
	columns, err := rows.Columns()
	slices.Sort(columns)
	return columns, errors.Join(err, rows.Err(), rows.Close())
}

// scanRow reads a row of texts and whole numbers and adds it to a sum, each value as its length and its text.
func scanRow(rows *sql.Rows, width int, sum hash.Hash) ([]any, error) {
	row, targets := make([]any, width), make([]any, width)
	for i := range row {
		targets[i] = &row[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	for i, value := range row {
		if b, ok := value.([]byte); ok {
			row[i] = string(b)
		}
		switch row[i].(type) {
		case string, int64:
		default:
			return nil, fmt.Errorf("a stored value is %T, where only texts and numbers are kept", value)
		}
		text := fmt.Sprint(row[i])
		fmt.Fprintf(sum, "%d:%s", len(text), text)
	}
	return row, nil
}

// journals verifies the chain of every tenant among some.
func journals(ctx context.Context, t tx, of filter) (map[string]Head, error) {
	var tenants []string
	err := t.rows(ctx, func(rows *sql.Rows) error {
		var tenant string
		err := rows.Scan(&tenant)
		tenants = append(tenants, tenant)
		return err
	}, t.Rebind(`SELECT DISTINCT tenant FROM journal`+of.where+` ORDER BY tenant`), of.args...)
	heads := make(map[string]Head, len(tenants))
	for _, tenant := range tenants {
		if err == nil {
			heads[tenant], err = verifyJournal(ctx, tx{Tx: t.Tx, tenant: tenant, dialect: t.dialect})
		}
	}
	return heads, err
}

// Idle refuses with ErrLocked a database that somebody works on for the given tenants, or without any for one of all: a daemon that holds its
// lease, or a run that reported progress lately. What they do after a copy was made would be missing in it.
func (s *Store) Idle(ctx context.Context, tenants ...string) error {
	return s.view(ctx, "look whether "+s.name+" is in use", func(t tx) error {
		now, err := t.dialect.time(ctx, t)
		if err != nil {
			return err
		}
		of := among(tenants)
		busy := map[string]bool{}
		name := func(rows *sql.Rows) error {
			var who string
			err := rows.Scan(&who)
			busy[who] = true
			return err
		}
		err = t.rows(ctx, name, t.Rebind(`SELECT holder FROM lease`+of.where+` AND expires_at > ?`), append(slices.Clone(of.args), stamp(now))...)
		if err == nil {
			err = t.rows(ctx, name, t.Rebind(`SELECT 'run ' || id FROM runs`+of.where+` AND state = 'in progress' AND alive_at > ?`),
				append(slices.Clone(of.args), stamp(now.Add(-aliveFor)))...)
		}
		if err == nil && len(busy) > 0 {
			err = fmt.Errorf("%w: %s; stop it, or if it was killed wait %s, and try again", ErrLocked, strings.Join(slices.Sorted(maps.Keys(busy)), ", "), max(aliveFor, LeaseTime))
		}
		return err
	})
}

// Backup writes everything that the database remembers, of the given tenants or without any of all, as it is at one moment into a new SQLite file, readable for its
// owner only. The database may be in use. The file appears when it is complete and verified.
func (s *Store) Backup(ctx context.Context, file string, tenants ...string) (done Copied, err error) {
	if _, err := os.Lstat(file); err == nil {
		return done, because(ErrNotEmpty, fmt.Sprintf("%s is there already; name a new file", file), nil)
	}
	// A folder of its own beside the file: nobody finds half a backup, and renaming stays on one disk.
	dir, err := os.MkdirTemp(filepath.Dir(file), ".trueup-backup-")
	if err != nil {
		return done, because(ErrNoFolder, "create the folder of "+file+", or let this user write to it", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := filepath.Join(dir, filepath.Base(file))
	to, err := Open(ctx, "sqlite:"+part)
	if err != nil {
		return done, err
	}
	done, err = Copy(ctx, s, to, tenants...)
	if err == nil {
		// In one file, without a log beside it that could be forgotten.
		_, err = to.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return done, err
	}
	return done, os.Rename(part, file)
}
