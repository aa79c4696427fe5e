package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Wish is a PSA company that a person wants to become a customer at a flow's vendor.
type Wish struct {
	Flow    string
	Company string    // id in the PSA
	Domain  string    // name of the new tenant; "" for the one that is made from the company's web site or name
	Person  string    // who asked: user@host
	At      time.Time // given by the store
}

const wishColumns = `flow, company, domain, person, asked_at`

func (w *Wish) row() []any {
	return []any{&w.Flow, &w.Company, &w.Domain, &w.Person, moment{&w.At}}
}

// PutWish keeps a wish; a later one for the same company replaces it.
func (s *Store) PutWish(ctx context.Context, w Wish) (Wish, error) {
	if w.Flow == "" || w.Company == "" || w.Person == "" {
		return w, fmt.Errorf("keep a wish for company %q: it needs a flow, a company and a person", w.Company)
	}
	err := s.update(ctx, "keep a wish for company "+w.Company, func(t tx) error {
		w.At = t.now
		return t.insert(ctx, `wishes`, wishColumns,
			`ON CONFLICT (tenant, flow, company) DO UPDATE SET domain = excluded.domain, person = excluded.person, asked_at = excluded.asked_at`,
			1, func(int) []any { return w.row() })
	})
	return w, err
}

// DropWish takes a wish back; ErrNotFound when there is none.
func (s *Store) DropWish(ctx context.Context, flow, company string) error {
	return s.update(ctx, "take back the wish for company "+company, func(t tx) error {
		n, err := t.exec(ctx, `DELETE FROM wishes WHERE tenant = @tenant AND flow = ? AND company = ?`, flow, company)
		if err == nil && n == 0 {
			return fmt.Errorf("take back the wish for company %s of flow %s: %w", company, flow, ErrNotFound)
		}
		return err
	})
}

// Wishes are those of a flow, by company; "" for those of all flows.
func (s *Store) Wishes(ctx context.Context, flow string) (found []Wish, err error) {
	query, args := `SELECT `+wishColumns+` FROM wishes WHERE tenant = @tenant`, []any{}
	if flow != "" {
		query, args = query+` AND flow = ?`, []any{flow}
	}
	err = s.view(ctx, "read the wishes", func(t tx) error {
		found = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var w Wish
			err := rows.Scan(w.row()...)
			found = append(found, w)
			return err
		}, query+` ORDER BY flow, company`, args...)
	})
	return found, err
}
