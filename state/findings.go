package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Finding is something a person should know. The open ones are the inbox.
type Finding struct {
	Key      string // stable: the same matter has the same key in every run
	Flow     string // filled in by SyncFindings
	Kind     string // drift, unmatched, held, ...
	Customer string
	Title    string
	Detail   string
	Next     string    // the next step
	Money    string    // amount a month with its currency, "" when it costs nothing
	Since    time.Time // given to SyncFindings: a new one is open since then; the store's clock when left zero. Not kept
	Opened   time.Time // these three are filled in by SyncFindings
	Updated  time.Time // when its text last became different
	Closed   time.Time // zero while open
}

const findingColumns = `finding, flow, kind, customer, title, detail, next_step, amount, opened_at, updated_at, closed_at`

func (f *Finding) row() []any {
	return []any{&f.Key, &f.Flow, &f.Kind, &f.Customer, &f.Title, &f.Detail, &f.Next, &f.Money,
		moment{&f.Opened}, moment{&f.Updated}, moment{&f.Closed}}
}

// FindingCounts says what SyncFindings did.
type FindingCounts struct{ Opened, Updated, Closed int }

// SyncFindings makes the open findings of a flow those that a run found: new ones are opened (or opened again), known ones updated,
// and those no longer found closed. What was not compared is not clean: an open finding for which unread reports true stays
// as it is; a nil unread says that everything was compared.
func (s *Store) SyncFindings(ctx context.Context, flow, run string, found []Finding, unread func(Finding) bool) (FindingCounts, error) {
	var counts FindingCounts
	err := s.update(ctx, "keep the findings of flow "+flow, func(t tx) error {
		counts = FindingCounts{}
		now := t.now
		open, err := findings(ctx, t, ` AND flow = ? AND closed_at = ''`, flow)
		if err != nil {
			return err
		}
		was := make(map[string]Finding, len(open))
		for _, f := range open {
			was[f.Key] = f
		}
		is := make(map[string]bool, len(found))
		var write []Finding
		for _, f := range found {
			if f.Key == "" || is[f.Key] {
				return fmt.Errorf("finding %q (%s) needs a key of its own; its key is %q", f.Title, f.Kind, f.Key)
			}
			is[f.Key] = true
			f.Flow, f.Opened, f.Updated, f.Closed = flow, now, now, time.Time{}
			f.Customer, f.Title, f.Detail, f.Next = storable(f.Customer), storable(f.Title), storable(f.Detail), storable(f.Next)
			if !f.Since.IsZero() {
				f.Opened, f.Since = f.Since, time.Time{}
			}
			before, known := was[f.Key]
			if !known {
				counts.Opened++
				write = append(write, f)
				continue
			}
			f.Opened, f.Updated = before.Opened, before.Updated
			if f != before {
				f.Updated = now
				counts.Updated++
				write = append(write, f)
			}
		}
		for _, f := range open {
			if !is[f.Key] && (unread == nil || !unread(f)) {
				f.Closed = now
				counts.Closed++
				write = append(write, f)
			}
		}
		return t.insert(ctx, `findings`, findingColumns+`, run`,
			`ON CONFLICT (tenant, flow, finding) DO UPDATE SET kind = excluded.kind, customer = excluded.customer, title = excluded.title,
				detail = excluded.detail, next_step = excluded.next_step, amount = excluded.amount, opened_at = excluded.opened_at,
				updated_at = excluded.updated_at, closed_at = excluded.closed_at, run = excluded.run`,
			len(write), func(i int) []any { return append(write[i].row(), run) })
	})
	if err != nil {
		return FindingCounts{}, err
	}
	return counts, nil
}

// Findings are those of a flow ("" for all flows), all or only the open ones, oldest first.
func (s *Store) Findings(ctx context.Context, openOnly bool, flow string) (found []Finding, err error) {
	where, args := ``, []any{}
	if openOnly {
		where = ` AND closed_at = ''`
	}
	if flow != "" {
		where, args = where+` AND flow = ?`, append(args, flow)
	}
	err = s.view(ctx, "read findings", func(t tx) error {
		found, err = findings(ctx, t, where, args...)
		return err
	})
	return found, err
}

func findings(ctx context.Context, t tx, where string, args ...any) ([]Finding, error) {
	var found []Finding
	err := t.each(ctx, func(rows *sql.Rows) error {
		var f Finding
		err := rows.Scan(f.row()...)
		found = append(found, f)
		return err
	}, `SELECT `+findingColumns+` FROM findings WHERE tenant = @tenant`+where+` ORDER BY opened_at, flow, finding`, args...)
	return found, err
}
