package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Side is one end of a link.
type Side string

const (
	SideVendor Side = "vendor"
	SidePSA    Side = "psa"
)

// Snapshot is what one side of a link looked like, in the model's words, when it was last read.
type Snapshot struct {
	Link   string
	Side   Side
	Fields model.Fields
	At     time.Time // when it was read; the store's clock when left zero
	Run    string
}

// Known reports whether there is a snapshot at all.
func (s Snapshot) Known() bool { return s.Link != "" }

// Memory is what is remembered of a link's two sides; a side that was never remembered is not Known.
type Memory struct{ Vendor, PSA Snapshot }

// PutSnapshots remembers sides of links, replacing what was remembered of them.
func (s *Store) PutSnapshots(ctx context.Context, snapshots []Snapshot) error {
	return s.update(ctx, "keep snapshots", func(t tx) error { return putSnapshots(ctx, t, snapshots, t.now) })
}

func putSnapshots(ctx context.Context, t tx, snapshots []Snapshot, now time.Time) error {
	type end struct {
		link string
		side Side
	}
	last := make(map[end]int, len(snapshots)) // the last one given counts
	var kept []Snapshot
	for _, snap := range snapshots {
		if snap.Link == "" || snap.Side != SideVendor && snap.Side != SidePSA {
			return fmt.Errorf("a snapshot of side %q of link %q cannot be kept: it needs a link, and a side that is vendor or psa", snap.Side, snap.Link)
		}
		if snap.At.IsZero() {
			snap.At = now
		}
		if i, twice := last[end{snap.Link, snap.Side}]; twice {
			kept[i] = snap
			continue
		}
		last[end{snap.Link, snap.Side}] = len(kept)
		kept = append(kept, snap)
	}
	return t.insert(ctx, `snapshots`, `link, side, fields, read_at, run`,
		`ON CONFLICT (tenant, link, side) DO UPDATE SET fields = excluded.fields, read_at = excluded.read_at, run = excluded.run`,
		len(kept), func(i int) []any {
			snap := &kept[i]
			return []any{snap.Link, snap.Side, document{&snap.Fields}, moment{&snap.At}, snap.Run}
		})
}

// Snapshots is what is remembered of some links, by link id. Links without memory are not in the map.
func (s *Store) Snapshots(ctx context.Context, links []string) (map[string]Memory, error) {
	found := make(map[string]Memory, len(links))
	err := s.view(ctx, "read snapshots", func(t tx) error {
		for rest := links; len(rest) > 0; {
			size := min(len(rest), narrowInSQL)
			in := narrow(rest[:size])
			err := t.each(ctx, func(rows *sql.Rows) error {
				var snap Snapshot
				if err := rows.Scan(&snap.Link, &snap.Side, document{&snap.Fields}, moment{&snap.At}, &snap.Run); err != nil {
					return err
				}
				m := found[snap.Link]
				if snap.Side == SideVendor {
					m.Vendor = snap
				} else {
					m.PSA = snap
				}
				found[snap.Link] = m
				return nil
			}, `SELECT link, side, fields, read_at, run FROM snapshots WHERE tenant = @tenant AND link IN `+marks(1, len(in.args)), in.args...)
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
	return found, nil
}

// LinksWithMemory streams the active links of a flow and kind with what is remembered of both sides, in one query and in flat memory, in
// order of the vendor record's parent and id. vendorParent limits it to links whose vendor record is under that parent;
// "" means all. An error from yield ends it and is returned as it is.
func (s *Store) LinksWithMemory(ctx context.Context, flow string, kind model.Kind, vendorParent string, yield func(Link, Memory) error) error {
	query := `SELECT ` + linkColumns + `, v.link, v.fields, v.read_at, v.run, p.link, p.fields, p.read_at, p.run FROM links
		LEFT JOIN snapshots v ON v.tenant = links.tenant AND v.link = links.id AND v.side = 'vendor'
		LEFT JOIN snapshots p ON p.tenant = links.tenant AND p.link = links.id AND p.side = 'psa'
		WHERE links.tenant = @tenant AND links.state = 'active' AND links.flow = ? AND links.kind = ?`
	args := []any{flow, kind}
	if vendorParent != "" {
		query += ` AND links.vendor_parent = ?`
		args = append(args, vendorParent)
	}
	return s.view(ctx, "read links of flow "+flow, func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var l Link
			vendor, psa := outer{side: SideVendor}, outer{side: SidePSA}
			if err := rows.Scan(append(append(l.row(), vendor.row()...), psa.row()...)...); err != nil {
				return err
			}
			if err := yield(l, Memory{vendor.snapshot(), psa.snapshot()}); err != nil {
				return stopped{err}
			}
			return nil
		}, query+` ORDER BY links.vendor_parent, links.vendor_id, links.id`, args...)
	})
}

// outer is a snapshot from an outer join, where all columns may be NULL.
type outer struct {
	side      Side
	link, run sql.NullString
	snap      Snapshot
}

func (o *outer) row() []any {
	return []any{&o.link, document{&o.snap.Fields}, moment{&o.snap.At}, &o.run}
}

func (o *outer) snapshot() Snapshot {
	if !o.link.Valid {
		return Snapshot{}
	}
	o.snap.Link, o.snap.Side, o.snap.Run = o.link.String, o.side, o.run.String
	return o.snap
}
