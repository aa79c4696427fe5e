package state

import (
	"context"
	"time"
)

// Cursor is where an account's change feed was last read to, and when that was set. Both are zero before the first time.
func (s *Store) Cursor(ctx context.Context, account string) (cursor string, at time.Time, err error) {
	err = s.view(ctx, "read the cursor of "+account, func(t tx) error {
		_, err := t.one(ctx, []any{&cursor, moment{&at}}, `SELECT cursor, set_at FROM cursors WHERE tenant = @tenant AND account = ?`, account)
		return err
	})
	return cursor, at, err
}

// SetCursor remembers where to go on reading. Set it after what was read is stored, never before.
func (s *Store) SetCursor(ctx context.Context, account, cursor string) error {
	return s.update(ctx, "keep the cursor of "+account, func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO cursors (tenant, account, cursor, set_at) VALUES (@tenant, ?, ?, ?)
			ON CONFLICT (tenant, account) DO UPDATE SET cursor = excluded.cursor, set_at = excluded.set_at`,
			account, cursor, stamp(t.now))
		return err
	})
}

// Swept is when all records of a kind were last read completely; ok is false when they never were.
func (s *Store) Swept(ctx context.Context, account, kind string) (at time.Time, ok bool, err error) {
	err = s.view(ctx, "read the last sweep of "+account+" "+kind, func(t tx) error {
		ok, err = t.one(ctx, []any{moment{&at}}, `SELECT swept_at FROM sweeps WHERE tenant = @tenant AND account = ? AND kind = ?`, account, kind)
		return err
	})
	return at, ok, err
}

// SetSwept remembers a complete read. at is when the reading began, so that nothing that changed meanwhile is overlooked.
func (s *Store) SetSwept(ctx context.Context, account, kind string, at time.Time) error {
	return s.update(ctx, "keep the last sweep of "+account+" "+kind, func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO sweeps (tenant, account, kind, swept_at) VALUES (@tenant, ?, ?, ?)
			ON CONFLICT (tenant, account, kind) DO UPDATE SET swept_at = excluded.swept_at`, account, kind, stamp(at))
		return err
	})
}
