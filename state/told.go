package state

import (
	"cmp"
	"context"
	"database/sql"
	"time"
)

// Told is a ticket that tells people of one matter of a flow: something that is held, refused or found. There is one ticket for a matter,
// however many runs see it and however often it comes back.
type Told struct {
	Flow    string
	Matter  string // stable: the same matter has the same name in every run
	Purpose string // for which of the flow's purposes it was opened: held, refused, renewal, ...
	Account string
	Ticket  string    // native id of the ticket
	Said    string    // names what the ticket was told last; another text has another name
	Digest  string    // the plan that the ticket asks people to approve; "" when it asks for nothing
	By      string    // who wrote the ticket last when trueup wrote it, in the system's words; "" when it does not say
	Opened  time.Time // these two are filled in by the store
	Updated time.Time
	Closed  time.Time // zero while the ticket is open for trueup
	Heard   time.Time // change stamp of the ticket, in the system's time, when a person's word was last taken from it
}

const toldColumns = `flow, matter, purpose, account, ticket, said, digest, written_by, opened_at, updated_at, closed_at, heard_at`

func (t *Told) row() []any {
	return []any{&t.Flow, &t.Matter, &t.Purpose, &t.Account, &t.Ticket, &t.Said, &t.Digest, &t.By, moment{&t.Opened}, moment{&t.Updated}, moment{&t.Closed}, moment{&t.Heard}}
}

// Told are the tickets of a flow, by matter.
func (s *Store) Told(ctx context.Context, flow string) (map[string]Told, error) {
	found := map[string]Told{}
	err := s.view(ctx, "read the tickets of flow "+flow, func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var told Told
			err := rows.Scan(told.row()...)
			found[told.Matter] = told
			return err
		}, `SELECT `+toldColumns+` FROM told WHERE tenant = @tenant AND flow = ?`, flow)
	})
	return found, err
}

// PutTold keeps a ticket of a matter. Who wrote it stays as it is known when it is not said.
func (s *Store) PutTold(ctx context.Context, told Told) error {
	return s.update(ctx, "keep the ticket of "+told.Matter, func(t tx) error { return putTold(ctx, t, told) })
}

// ForgetTold forgets the ticket of a matter that is gone from its system, so that another can be opened.
func (s *Store) ForgetTold(ctx context.Context, flow, matter string) error {
	return s.update(ctx, "forget the ticket of "+matter, func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM told WHERE tenant = @tenant AND flow = ? AND matter = ?`, flow, matter)
		return err
	})
}

// SettleTold is Settle for a write that told people: its outcome and what the ticket says now are kept together.
func (s *Store) SettleTold(ctx context.Context, outcome Entry, told Told) error {
	return s.update(ctx, "settle intent "+outcome.Intent, func(t tx) error {
		if err := appendEntries(ctx, t, []Entry{outcome}, t.now); err != nil {
			return err
		}
		return putTold(ctx, t, told)
	})
}

func putTold(ctx context.Context, t tx, told Told) error {
	was := Told{Opened: t.now}
	if _, err := t.one(ctx, was.row(), `SELECT `+toldColumns+` FROM told WHERE tenant = @tenant AND flow = ? AND matter = ?`, told.Flow, told.Matter); err != nil {
		return err
	}
	told.By, told.Opened, told.Updated = cmp.Or(told.By, was.By), was.Opened, t.now
	if was.Heard.After(told.Heard) {
		told.Heard = was.Heard
	}
	return t.insert(ctx, `told`, toldColumns,
		`ON CONFLICT (tenant, flow, matter) DO UPDATE SET purpose = excluded.purpose, account = excluded.account, ticket = excluded.ticket, said = excluded.said, digest = excluded.digest,
			written_by = excluded.written_by, updated_at = excluded.updated_at, closed_at = excluded.closed_at, heard_at = excluded.heard_at`,
		1, func(int) []any { return told.row() })
}
