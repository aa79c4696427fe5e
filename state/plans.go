package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Plan is a saved plan. Its body is the plan's JSON, byte for byte.
type Plan struct {
	Digest string
	Flow   string
	Run    string
	At     time.Time
	Body   []byte
}

func (p *Plan) row() []any { return []any{&p.Digest, &p.Flow, &p.Run, moment{&p.At}, &p.Body} }

const planColumns = `digest, flow, run, made_at, body`

// SavePlan keeps a plan under its digest. The same plan made again keeps its body and becomes the latest of its flow.
func (s *Store) SavePlan(ctx context.Context, digest, flow, run string, at time.Time, body []byte) error {
	if digest == "" || !json.Valid(body) {
		return fmt.Errorf("keep plan %q of flow %s: a plan needs a digest and a JSON body", digest, flow)
	}
	return s.update(ctx, "keep plan "+digest, func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO plans (tenant, `+planColumns+`) VALUES (@tenant, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, digest) DO UPDATE SET run = excluded.run, made_at = excluded.made_at`,
			digest, flow, run, stamp(at), string(body))
		return err
	})
}

// Plan finds a plan by the beginning of its digest: ErrNotFound when there is none, ErrAmbiguous when there are several.
func (s *Store) Plan(ctx context.Context, prefix string) (Plan, error) {
	var found []Plan
	err := s.view(ctx, fmt.Sprintf("find plan %q", prefix), func(t tx) error {
		if prefix == "" {
			return fmt.Errorf("no digest given; %w", ErrNotFound)
		}
		// Digests are letters, digits and punctuation below the tilde.
		err := t.each(ctx, func(rows *sql.Rows) error {
			var p Plan
			err := rows.Scan(p.row()...)
			found = append(found, p)
			return err
		}, `SELECT `+planColumns+` FROM plans WHERE tenant = @tenant AND digest >= ? AND digest < ? ORDER BY digest LIMIT 2`, prefix, prefix+"~")
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return fmt.Errorf("plan %w; make a new plan and use its digest", ErrNotFound)
		case len(found) > 1 && found[0].Digest != prefix:
			return fmt.Errorf("%w: %s and %s; give more of the digest", ErrAmbiguous, found[0].Digest, found[1].Digest)
		}
		return nil
	})
	if err != nil {
		return Plan{}, err
	}
	return found[0], nil
}

// LatestPlan is the newest plan of a flow.
func (s *Store) LatestPlan(ctx context.Context, flow string) (p Plan, ok bool, err error) {
	err = s.view(ctx, "find the latest plan of flow "+flow, func(t tx) error {
		ok, err = t.one(ctx, p.row(), `SELECT `+planColumns+` FROM plans WHERE tenant = @tenant AND flow = ? ORDER BY made_at DESC, digest DESC LIMIT 1`, flow)
		return err
	})
	return p, ok, err
}
