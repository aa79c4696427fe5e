package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// End names the record at one end of a link.
type End struct {
	Account string // the account it was read from
	Kind    string // its native kind
	Parent  string
	ID      string
}

// LinkState says whether a link is followed.
type LinkState string

const (
	LinkActive LinkState = "active"
	LinkClosed LinkState = "closed" // kept for the record, followed no more
)

// Link is a kept pair: two records that are the same thing.
type Link struct {
	ID      string
	Flow    string
	Kind    model.Kind
	Vendor  End
	PSA     End
	Label   string // for people: "Contoso: Business Premium"
	State   LinkState
	How     string    // the evidence: "tenant id", "kept id", "created", "by hand"
	Shape   string    // how seats belong together: "" for a line of its own; a ShapeSum, a ShapeBundle and a ShapeSplit share a record
	Created time.Time // the store's clock when left zero
	Closed  time.Time // zero while active
}

// Links of these shapes share a record with others of the same shape and flow: a line is billed for several vendor records, or a vendor
// record is billed on several lines.
const (
	ShapeSum    = "sum"
	ShapeBundle = "bundle"
	ShapeSplit  = "split"
)

const linkColumns = `links.id, links.flow, links.kind, links.vendor_account, links.vendor_kind, links.vendor_parent, links.vendor_id,
	links.psa_account, links.psa_kind, links.psa_parent, links.psa_id, links.label, links.state, links.how, links.created_at, links.closed_at, links.shape`

func (l *Link) row() []any {
	return []any{&l.ID, &l.Flow, &l.Kind, &l.Vendor.Account, &l.Vendor.Kind, &l.Vendor.Parent, &l.Vendor.ID,
		&l.PSA.Account, &l.PSA.Kind, &l.PSA.Parent, &l.PSA.ID, &l.Label, &l.State, &l.How, moment{&l.Created}, moment{&l.Closed}, &l.Shape}
}

// PutLinks writes links, new or known by their id, all or none. A vendor record has one active link in a flow and kind, and a
// contract line is billed through one active link in all flows, unless their shape says that they share it; what breaks this is refused with
// ErrClaimed, naming both.
func (s *Store) PutLinks(ctx context.Context, links []Link) error {
	return s.update(ctx, "keep links", func(t tx) error { return putLinks(ctx, t, links, t.now) })
}

func putLinks(ctx context.Context, t tx, links []Link, now time.Time) error {
	links = slices.Clone(links)
	for i := range links {
		l := &links[i]
		l.Label, l.How = storable(l.Label), storable(l.How)
		if l.ID == "" || l.Flow == "" || l.Kind == "" || l.Vendor.ID == "" || l.PSA.ID == "" {
			return fmt.Errorf("link %q of flow %q cannot be kept: it needs an id, a flow, a kind and a record at both ends", l.ID, l.Flow)
		}
		if l.State == "" {
			l.State = LinkActive
		}
		if l.Created.IsZero() {
			l.Created = now
		}
		switch {
		case l.State == LinkActive:
			l.Closed = time.Time{}
		case l.Closed.IsZero():
			l.Closed = now
		}
	}
	// Closed ones first: they make room for the new.
	slices.SortStableFunc(links, func(a, b Link) int {
		switch {
		case a.State == b.State:
			return 0
		case a.State == LinkClosed:
			return -1
		}
		return 1
	})
	if err := refuseClaimed(ctx, t, links); err != nil {
		return err
	}
	return t.insert(ctx, `links`, `id, flow, kind, vendor_account, vendor_kind, vendor_parent, vendor_id, psa_account, psa_kind,
			psa_parent, psa_id, label, state, how, created_at, closed_at, shape`,
		`ON CONFLICT (tenant, id) DO UPDATE SET flow = excluded.flow, kind = excluded.kind, vendor_account = excluded.vendor_account,
			vendor_kind = excluded.vendor_kind, vendor_parent = excluded.vendor_parent, vendor_id = excluded.vendor_id,
			psa_account = excluded.psa_account, psa_kind = excluded.psa_kind, psa_parent = excluded.psa_parent, psa_id = excluded.psa_id,
			label = excluded.label, state = excluded.state, how = excluded.how, closed_at = excluded.closed_at, shape = excluded.shape`,
		len(links), func(i int) []any { return links[i].row() })
}

// vendorSlot and lineSlot are the places that only one active link may take.
type vendorSlot struct {
	flow string
	kind model.Kind
	end  End
}
type lineSlot End

// beside reports that two links may take one slot of a record together.
func (l Link) beside(other Link, shapes ...string) bool {
	return l.Flow == other.Flow && l.Shape == other.Shape && slices.Contains(shapes, l.Shape)
}

// refuseClaimed compares the links to be written with each other and with the active ones in the database, so that the
// refusal can name both sides; the unique indexes stand behind it.
func refuseClaimed(ctx context.Context, t tx, links []Link) error {
	written := make(map[string]bool, len(links))
	for _, l := range links {
		if written[l.ID] {
			return fmt.Errorf("link %s is given twice", l.ID)
		}
		written[l.ID] = true
	}
	vendors := make(map[vendorSlot]Link, len(links))
	lines := make(map[lineSlot]Link)
	take := func(l Link) error {
		if l.State != LinkActive {
			return nil
		}
		slot := vendorSlot{l.Flow, l.Kind, l.Vendor}
		if other, taken := vendors[slot]; taken && other.ID != l.ID && !l.beside(other, ShapeSplit) {
			return fmt.Errorf("%s %s of %s is %w in flow %s: it is linked to %s and cannot also be linked to %s; close it with trueup links forget %s",
				l.Vendor.Kind, l.Vendor.ID, l.Vendor.Account, ErrClaimed, l.Flow, other.PSA.ID, l.PSA.ID, other.ID)
		}
		vendors[slot] = l
		if l.Kind != model.KindLine {
			return nil
		}
		line := lineSlot(l.PSA)
		if other, taken := lines[line]; taken && other.ID != l.ID && !l.beside(other, ShapeSum, ShapeBundle) {
			return fmt.Errorf("%s %s of %s is %w by flow %s (for %s) and cannot also be claimed by flow %s (for %s); %s",
				l.PSA.Kind, l.PSA.ID, l.PSA.Account, ErrClaimed, other.Flow, other.Vendor.ID, l.Flow, l.Vendor.ID, makeRoom(other, l))
		}
		lines[line] = l
		return nil
	}
	// Those in the database first, so that the message blames the newcomer.
	known := func(rows *sql.Rows) error {
		var l Link
		if err := rows.Scan(l.row()...); err != nil {
			return err
		}
		if written[l.ID] {
			return nil
		}
		vendors[vendorSlot{l.Flow, l.Kind, l.Vendor}] = l
		if l.Kind == model.KindLine {
			lines[lineSlot(l.PSA)] = l
		}
		return nil
	}
	const size = 250
	for rest := links; len(rest) > 0; {
		chunk := rest[:min(len(rest), size)]
		var byVendor, byLine []any
		for _, l := range chunk {
			byVendor = append(byVendor, l.Flow, l.Kind, l.Vendor.Parent, l.Vendor.ID)
			if l.Kind == model.KindLine {
				byLine = append(byLine, l.PSA.Account, l.PSA.Kind, l.PSA.Parent, l.PSA.ID)
			}
		}
		err := t.each(ctx, known, `SELECT `+linkColumns+` FROM links WHERE links.tenant = @tenant AND state = 'active'
			AND (flow, kind, vendor_parent, vendor_id) IN (VALUES `+marks(len(byVendor)/4, 4)+`)`, byVendor...)
		if err != nil {
			return err
		}
		if len(byLine) > 0 {
			err := t.each(ctx, known, `SELECT `+linkColumns+` FROM links WHERE links.tenant = @tenant AND state = 'active' AND kind = 'line'
				AND (psa_account, psa_kind, psa_parent, psa_id) IN (VALUES `+marks(len(byLine)/4, 4)+`)`, byLine...)
			if err != nil {
				return err
			}
		}
		rest = rest[len(chunk):]
	}
	for _, l := range links {
		if err := take(l); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom is the next step of who meets a line that another link holds.
func makeRoom(other, l Link) string {
	next := "close it with trueup links forget " + other.ID
	if other.Flow != l.Flow {
		next = fmt.Sprintf("if flow %s was renamed to %s: trueup links move %s %s; otherwise %s", other.Flow, l.Flow, other.Flow, l.Flow, next)
	}
	return next
}

// MoveLinks gives the active links of a flow, with their memory, to another flow, as when it was renamed, and closes its open findings. It
// returns how many links there were. All or none: ErrRunning refuses while a run of either flow is in progress, ErrUnsettled while the
// outcome of a change is not known, ErrClaimed where the other flow links a record otherwise, and ErrNotFound where there are none. Where the
// other flow links the same two records already, as after a first run under the new name, the older link with its longer memory stays.
func (s *Store) MoveLinks(ctx context.Context, from, to string) (int, error) {
	var moved []Link
	err := s.update(ctx, fmt.Sprintf("move the links of flow %s to flow %s", from, to), func(t tx) error {
		moved = nil
		var run, intent string
		busy, err := t.one(ctx, []any{&run}, `SELECT id FROM runs WHERE tenant = @tenant AND state = 'in progress' AND kind = 'flow' AND name IN (?, ?) AND alive_at > ? LIMIT 1`,
			from, to, stamp(t.now.Add(-aliveFor)))
		if err != nil {
			return err
		}
		args := []any{from}
		for _, state := range openStates {
			args = append(args, state)
		}
		open, err := t.one(ctx, []any{&intent}, `SELECT intent FROM intents WHERE tenant = @tenant AND flow = ? AND state IN `+marks(1, len(openStates))+` ORDER BY seq LIMIT 1`, args...)
		switch {
		case err != nil:
			return err
		case busy:
			return fmt.Errorf("%w as run %s; wait for it, or stop it with trueup runs stop %s", ErrRunning, run, run)
		case open:
			return fmt.Errorf("%w: intent %s of flow %s; run the flow once under its old name, which looks for it", ErrUnsettled, intent, from)
		}
		err = t.each(ctx, func(rows *sql.Rows) error {
			var l Link
			err := rows.Scan(l.row()...)
			l.Flow = to
			moved = append(moved, l)
			return err
		}, `SELECT `+linkColumns+` FROM links WHERE links.tenant = @tenant AND state = 'active' AND flow = ? ORDER BY kind, vendor_parent, vendor_id, id`, from)
		if err != nil {
			return err
		}
		if len(moved) == 0 {
			return fmt.Errorf("active links of flow %s %w; trueup links lists those of the flows in the configuration", from, ErrNotFound)
		}
		_, err = t.exec(ctx, `UPDATE links SET state = 'closed', closed_at = ? WHERE tenant = @tenant AND state = 'active' AND flow = ? AND EXISTS
			(SELECT 1 FROM links o WHERE o.tenant = links.tenant AND o.state = 'active' AND o.flow = ? AND o.kind = links.kind
				AND o.vendor_account = links.vendor_account AND o.vendor_kind = links.vendor_kind AND o.vendor_parent = links.vendor_parent AND o.vendor_id = links.vendor_id
				AND o.psa_account = links.psa_account AND o.psa_kind = links.psa_kind AND o.psa_parent = links.psa_parent AND o.psa_id = links.psa_id)`,
			stamp(t.now), to, from)
		if err != nil {
			return err
		}
		if err := putLinks(ctx, t, moved, t.now); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE findings SET closed_at = ? WHERE tenant = @tenant AND flow = ? AND closed_at = ''`, stamp(t.now), from)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(moved), nil
}

// Links streams the active links of a flow and kind in order of the vendor record's parent and id; an empty flow or kind means any.
// An error from yield ends it and is returned as it is.
func (s *Store) Links(ctx context.Context, flow string, kind model.Kind, yield func(Link) error) error {
	query, args := `SELECT `+linkColumns+` FROM links WHERE links.tenant = @tenant AND state = 'active'`, []any{}
	if flow != "" {
		query, args = query+` AND flow = ?`, append(args, flow)
	}
	if kind != "" {
		query, args = query+` AND kind = ?`, append(args, kind)
	}
	return s.view(ctx, "read links", func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var l Link
			if err := rows.Scan(l.row()...); err != nil {
				return err
			}
			if err := yield(l); err != nil {
				return stopped{err}
			}
			return nil
		}, query+` ORDER BY flow, kind, vendor_parent, vendor_id, id`, args...)
	})
}

// Link is a link by its id, active or closed.
func (s *Store) Link(ctx context.Context, id string) (Link, bool, error) {
	return s.link(ctx, `id = ?`, id)
}

// LinkByVendor is the active link of a vendor record in a flow.
func (s *Store) LinkByVendor(ctx context.Context, flow string, kind model.Kind, end End) (Link, bool, error) {
	return s.link(ctx, `state = 'active' AND flow = ? AND kind = ? AND vendor_parent = ? AND vendor_id = ? AND vendor_kind = ?
		AND vendor_account = ?`, flow, kind, end.Parent, end.ID, end.Kind, end.Account)
}

// LinkByPSA is the active link of a PSA record in a flow. Where several vendor records share it (two tenants of one company) it is the oldest.
func (s *Store) LinkByPSA(ctx context.Context, flow string, kind model.Kind, end End) (Link, bool, error) {
	return s.link(ctx, `state = 'active' AND flow = ? AND kind = ? AND psa_parent = ? AND psa_id = ? AND psa_kind = ?
		AND psa_account = ? ORDER BY created_at, id LIMIT 1`, flow, kind, end.Parent, end.ID, end.Kind, end.Account)
}

func (s *Store) link(ctx context.Context, where string, args ...any) (l Link, ok bool, err error) {
	err = s.view(ctx, "read a link", func(t tx) error {
		ok, err = t.one(ctx, l.row(), `SELECT `+linkColumns+` FROM links WHERE links.tenant = @tenant AND `+where, args...)
		return err
	})
	return l, ok, err
}

// LinkedIDs are the ids of an account's records of a native kind that some active link of any flow knows.
func (s *Store) LinkedIDs(ctx context.Context, account, kind string) (map[string]bool, error) {
	ids := map[string]bool{}
	err := s.view(ctx, "list the linked "+kind+" of "+account, func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids[id] = true
			return err
		}, `SELECT vendor_id FROM links WHERE links.tenant = @tenant AND state = 'active' AND vendor_account = ? AND vendor_kind = ?
			UNION SELECT psa_id FROM links WHERE links.tenant = @tenant AND state = 'active' AND psa_account = ? AND psa_kind = ?`, account, kind, account, kind)
	})
	return ids, err
}

// CloseLink stops following a link. Its snapshots and its history stay. Closing a closed link changes nothing.
func (s *Store) CloseLink(ctx context.Context, id string) error {
	return s.update(ctx, "close link "+id, func(t tx) error {
		var state LinkState
		ok, err := t.one(ctx, []any{&state}, `SELECT state FROM links WHERE tenant = @tenant AND id = ?`, id)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("link %w; list the links to see their ids", ErrNotFound)
		}
		_, err = t.exec(ctx, `UPDATE links SET state = 'closed', closed_at = ? WHERE tenant = @tenant AND id = ? AND state = 'active'`, stamp(t.now), id)
		return err
	})
}
