package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// Stored is a record as it was last read, and when.
type Stored struct {
	connectors.Record
	Gone      time.Time // when it was found missing from a complete listing; zero while it is there
	SeenRun   string    // the run that saw it last
	SeenAt    time.Time
	ChangedAt time.Time // when its content last became different, or it appeared or came back
}

// RecordFilter narrows a stream of records; its zero value lets all of a kind through that are not gone.
type RecordFilter struct {
	Parents     []string // nil for all
	IDs         []string // nil for all
	IncludeGone bool
}

const recordColumns = `kind, parent, id, fields, changed, seen_run, seen_at, changed_at, gone_at`

func (r *Stored) row() []any {
	return []any{&r.Kind, &r.Parent, &r.ID, document{&r.Fields}, moment{&r.Changed}, &r.SeenRun, moment{&r.SeenAt},
		moment{&r.ChangedAt}, moment{&r.Gone}}
}

// UpsertRecords stores what a run read from an account, in one transaction. It returns how many records are new, different or
// back again; the others are only marked as seen. A record that occurs twice counts as its last occurrence.
func (s *Store) UpsertRecords(ctx context.Context, account string, records []connectors.Record, run string) (changed int, err error) {
	err = s.update(ctx, "store records of "+account, func(t tx) error {
		changed = 0
		for rest := records; len(rest) > 0; {
			size := min(len(rest), recordBatch)
			n, err := upsertRecords(ctx, t, account, rest[:size], run, stamp(t.now))
			if err != nil {
				return err
			}
			changed += n
			rest = rest[size:]
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

const recordBatch = 500

type recordBody struct {
	record connectors.Record
	fields string
	hash   string
}

func upsertRecords(ctx context.Context, t tx, account string, records []connectors.Record, run, now string) (int, error) {
	bodies := make(map[connectors.Ref]recordBody, len(records))
	keys := make([]any, 0, 3*len(records)+1)
	order := make([]connectors.Ref, 0, len(records))
	keys = append(keys, account)
	for _, r := range records {
		body, err := bodyOf(r)
		if err != nil {
			return 0, err
		}
		ref := connectors.Ref{Kind: r.Kind, ID: r.ID, Parent: r.Parent}
		if _, twice := bodies[ref]; !twice {
			order = append(order, ref)
			keys = append(keys, ref.Kind, ref.Parent, ref.ID)
		}
		bodies[ref] = body
	}

	same := make(map[connectors.Ref]bool, len(order))
	in := ` WHERE tenant = @tenant AND account = ? AND (kind, parent, id) IN (VALUES ` + marks(len(order), 3) + `)`
	err := t.each(ctx, func(rows *sql.Rows) error {
		var ref connectors.Ref
		var hash, gone string
		if err := rows.Scan(&ref.Kind, &ref.Parent, &ref.ID, &hash, &gone); err != nil {
			return err
		}
		if hash == bodies[ref].hash && gone == "" {
			same[ref] = true
		}
		return nil
	}, `SELECT kind, parent, id, hash, gone_at FROM records`+in, keys...)
	if err != nil {
		return 0, err
	}

	if len(same) > 0 {
		args := []any{run, now, account}
		for ref := range same {
			args = append(args, ref.Kind, ref.Parent, ref.ID)
		}
		_, err := t.exec(ctx, `UPDATE records SET seen_run = ?, seen_at = ?
			WHERE tenant = @tenant AND account = ? AND (kind, parent, id) IN (VALUES `+marks(len(same), 3)+`)`, args...)
		if err != nil {
			return 0, err
		}
	}
	fresh := make([]recordBody, 0, len(order)-len(same))
	for _, ref := range order {
		if !same[ref] {
			fresh = append(fresh, bodies[ref])
		}
	}
	err = t.insert(ctx, `records`, `account, kind, parent, id, fields, changed, hash, seen_run, seen_at, changed_at, gone_at`,
		`ON CONFLICT (tenant, account, kind, parent, id) DO UPDATE SET fields = excluded.fields, changed = excluded.changed, hash = excluded.hash,
			seen_run = excluded.seen_run, seen_at = excluded.seen_at, changed_at = excluded.changed_at, gone_at = ''`,
		len(fresh), func(i int) []any {
			b := fresh[i]
			return []any{account, b.record.Kind, b.record.Parent, b.record.ID, b.fields, stamp(b.record.Changed), b.hash, run, now, now, ""}
		})
	return len(fresh), err
}

// bodyOf is a record's content in its one canonical form (JSON writes map keys sorted), and the hash that tells contents apart.
func bodyOf(r connectors.Record) (recordBody, error) {
	if r.Kind == "" || r.ID == "" {
		return recordBody{}, fmt.Errorf("a record of kind %q with id %q cannot be stored: both must be filled", r.Kind, r.ID)
	}
	fields, err := json.Marshal(r.Fields)
	if err != nil {
		return recordBody{}, fmt.Errorf("%s %s: %w", r.Kind, r.ID, err)
	}
	sum := sha256.New()
	sum.Write(fields)
	sum.Write([]byte(stamp(r.Changed)))
	return recordBody{r, string(fields), hex.EncodeToString(sum.Sum(nil))}, nil
}

// MarkGone marks as gone the records of a kind that nobody has seen since the run began, and returns them in order of parent and id.
// Call it only for what the run listed completely: parents limits it to records under these (nil for all), except leaves
// out those under parents whose listing has a gap. A record seen by another run meanwhile stays: it was there. Nothing
// is deleted; a record that is read again is no longer gone. The run must have been started with StartRun.
func (s *Store) MarkGone(ctx context.Context, account, kind string, parents, except []string, run string) ([]connectors.Ref, error) {
	var gone []connectors.Ref
	err := s.update(ctx, "mark missing "+kind+" records of "+account, func(t tx) (err error) {
		if gone, err = notSeen(ctx, t, account, kind, parents, except, run); err != nil {
			return err
		}
		for rest := gone; len(rest) > 0; {
			size := min(len(rest), recordBatch)
			args := []any{stamp(t.now), account, kind}
			for _, ref := range rest[:size] {
				args = append(args, ref.Parent, ref.ID)
			}
			_, err := t.exec(ctx, `UPDATE records SET gone_at = ?
				WHERE tenant = @tenant AND account = ? AND kind = ? AND (parent, id) IN (VALUES `+marks(size, 2)+`)`, args...)
			if err != nil {
				return err
			}
			rest = rest[size:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// NotSeen is what MarkGone would mark now, in the same order; it marks nothing.
func (s *Store) NotSeen(ctx context.Context, account, kind string, parents, except []string, run string) (refs []connectors.Ref, err error) {
	err = s.view(ctx, "look for missing "+kind+" records of "+account, func(t tx) error {
		refs, err = notSeen(ctx, t, account, kind, parents, except, run)
		return err
	})
	return refs, err
}

func notSeen(ctx context.Context, t tx, account, kind string, parents, except []string, run string) (refs []connectors.Ref, err error) {
	r, ok, err := runByID(ctx, t, run)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("run %s %w: start it first, as only what was not seen since then may be gone", run, ErrNotFound)
	}
	in := narrow(parents)
	not := narrow(except)
	args := append([]any{account, kind, run, stamp(r.Started)}, in.args...)
	err = t.each(ctx, func(rows *sql.Rows) error {
		ref := connectors.Ref{Kind: kind}
		if err := rows.Scan(&ref.Parent, &ref.ID); err != nil {
			return err
		}
		if in.has(ref.Parent) && (except == nil || !not.has(ref.Parent)) {
			refs = append(refs, ref)
		}
		return nil
	}, `SELECT parent, id FROM records WHERE tenant = @tenant AND account = ? AND kind = ? AND gone_at = '' AND seen_run <> ? AND seen_at < ?`+
		in.and("parent")+` ORDER BY parent, id`, args...)
	return refs, err
}

// Records streams the records of a kind in order of parent and id, in flat memory. An error from yield ends it and is returned as it is.
func (s *Store) Records(ctx context.Context, account, kind string, filter RecordFilter, yield func(Stored) error) error {
	parents, ids := narrow(filter.Parents), narrow(filter.IDs)
	query := `SELECT ` + recordColumns + ` FROM records WHERE tenant = @tenant AND account = ? AND kind = ?` + parents.and("parent") + ids.and("id")
	if !filter.IncludeGone {
		query += ` AND gone_at = ''`
	}
	args := append(append([]any{account, kind}, parents.args...), ids.args...)
	return s.view(ctx, "read "+kind+" records of "+account, func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var r Stored
			if err := rows.Scan(r.row()...); err != nil {
				return err
			}
			if !parents.has(r.Parent) || !ids.has(r.ID) {
				return nil
			}
			if err := yield(r); err != nil {
				return stopped{err}
			}
			return nil
		}, query+` ORDER BY parent, id`, args...)
	})
}

// Record is one record, also when it is gone; ok is false when it was never seen.
func (s *Store) Record(ctx context.Context, account string, ref connectors.Ref) (r Stored, ok bool, err error) {
	err = s.view(ctx, "read "+ref.Kind+" "+ref.ID+" of "+account, func(t tx) error {
		ok, err = t.one(ctx, r.row(), `SELECT `+recordColumns+` FROM records WHERE tenant = @tenant AND account = ? AND kind = ? AND parent = ? AND id = ?`,
			account, ref.Kind, ref.Parent, ref.ID)
		return err
	})
	return r, ok, err
}

// narrowing keeps the rows whose column is one of some values: a few by SQL, which uses the index; many by looking them
// up here, as a statement takes only so many arguments and splitting it would lose the order.
type narrowing struct {
	args []any
	set  map[string]bool
	all  bool
}

const narrowInSQL = 500

func narrow(values []string) narrowing {
	n := narrowing{all: values == nil, set: make(map[string]bool, len(values))}
	for _, v := range values {
		n.set[v] = true
	}
	if len(values) <= narrowInSQL {
		for _, v := range values {
			n.args = append(n.args, v)
		}
	}
	return n
}

func (n narrowing) and(column string) string {
	if len(n.args) == 0 {
		return ""
	}
	return ` AND ` + column + ` IN ` + marks(1, len(n.args))
}

func (n narrowing) has(value string) bool { return n.all || n.set[value] }
