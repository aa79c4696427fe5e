package state

import (
	"context"
	"slices"

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

// SetGapsUnder replaces the gaps of some parents, and leaves those of others and of the whole kind as they are. A gap of the whole kind among
// the new ones is kept beside them.
func (s *Store) SetGapsUnder(ctx context.Context, account, kind string, parents []string, gaps []connectors.Gap) error {
	return s.update(ctx, "keep the gaps of "+account+" "+kind, func(t tx) error {
		var kept []connectors.Gap
		_, err := t.one(ctx, []any{document{&kept}}, `SELECT gaps FROM gaps WHERE tenant = @tenant AND account = ? AND kind = ?`, account, kind)
		if err != nil {
			return err
		}
		listed := make(map[string]bool, len(parents))
		for _, p := range parents {
			listed[p] = true
		}
		kept = append(slices.DeleteFunc(kept, func(g connectors.Gap) bool { return listed[g.Parent] }), gaps...)
		if len(kept) == 0 {
			_, err = t.exec(ctx, `DELETE FROM gaps WHERE tenant = @tenant AND account = ? AND kind = ?`, account, kind)
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO gaps (tenant, account, kind, gaps) VALUES (@tenant, ?, ?, ?)
			ON CONFLICT (tenant, account, kind) DO UPDATE SET gaps = excluded.gaps`, account, kind, document{kept})
		return err
	})
}

// CountRecords counts the records of a kind that are not gone: all of them, or those under the given parents.
func (s *Store) CountRecords(ctx context.Context, account, kind string, parents ...string) (n int, err error) {
	const query = `SELECT COUNT(*) FROM records WHERE tenant = @tenant AND account = ? AND kind = ? AND gone_at = ''`
	err = s.view(ctx, "count "+account+" "+kind, func(t tx) error {
		if len(parents) == 0 {
			_, err := t.one(ctx, []any{&n}, query, account, kind)
			return err
		}
		for chunk := range slices.Chunk(parents, narrowInSQL) {
			args := []any{account, kind}
			for _, parent := range chunk {
				args = append(args, parent)
			}
			var some int
			if _, err := t.one(ctx, []any{&some}, query+` AND parent IN `+marks(1, len(chunk)), args...); err != nil {
				return err
			}
			n += some
		}
		return nil
	})
	return n, err
}
