package state

import (
	"context"

	"github.com/trueup-sync/trueup/connectors"
)

// Gaps are the parts of a kind that the last read of an account did not deliver; they hold until a later read does.
func (s *Store) Gaps(ctx context.Context, account, kind string) (gaps []connectors.Gap, err error) {
	err = s.view(ctx, "read the gaps of "+account+" "+kind, func(t tx) error {
		_, err := t.one(ctx, []any{document{&gaps}}, `SELECT gaps FROM gaps WHERE tenant = @tenant AND account = ? AND kind = ?`, account, kind)
		return err
	})
	return gaps, err
}

// SetGaps replaces them; none at all says that the last read was complete.
func (s *Store) SetGaps(ctx context.Context, account, kind string, gaps []connectors.Gap) error {
	return s.update(ctx, "keep the gaps of "+account+" "+kind, func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM gaps WHERE tenant = @tenant AND account = ? AND kind = ?`, account, kind)
		if err != nil || len(gaps) == 0 {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO gaps (tenant, account, kind, gaps) VALUES (@tenant, ?, ?, ?)`, account, kind, document{gaps})
		return err
	})
}

// CountRecords counts the records of a kind that are not gone.
func (s *Store) CountRecords(ctx context.Context, account, kind string) (n int, err error) {
	err = s.view(ctx, "count "+account+" "+kind, func(t tx) error {
		_, err := t.one(ctx, []any{&n}, `SELECT COUNT(*) FROM records WHERE tenant = @tenant AND account = ? AND kind = ? AND gone_at = ''`, account, kind)
		return err
	})
	return n, err
}
