package state

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// Hint is a place of an account where something may have moved. It decides nothing; losing one costs only time, as schedules look everywhere.
type Hint struct {
	Flow    string // that is to look
	Account string
	Ref     connectors.Ref // ID is empty for everything of a kind under a parent
	Given   time.Time      // when the first message about it came that was not followed yet; filled in by the store
}

const hintColumns = `flow, account, kind, parent, id, given_at`

func (h *Hint) row() []any {
	return []any{&h.Flow, &h.Account, &h.Ref.Kind, &h.Ref.Parent, &h.Ref.ID, moment{&h.Given}}
}

// Message is one that carried hints, or none.
type Message struct {
	Account string
	ID      string    // the same for the same message
	Expires time.Time // from then on a copy of it is refused for its age, and it need not be remembered
	Again   bool      // it counts as new although it was seen
	Hints   []Hint
}

// GiveHints keeps the hints of messages that were not seen before, and says of each whether it was new. A place that waits already is not
// given twice, so that ten thousand messages about one place are one hint.
func (s *Store) GiveHints(ctx context.Context, messages []Message) (fresh []bool, err error) {
	err = s.update(ctx, "keep hints", func(t tx) error {
		now := t.now
		fresh = make([]bool, len(messages))
		seen, err := seenMessages(ctx, t, messages)
		if err != nil {
			return err
		}
		var remember []Message
		var give []Hint
		given := map[Hint]bool{}
		for i, m := range messages {
			key := m.Account + "\x00" + m.ID
			fresh[i] = m.ID == "" || !seen[key] || m.Again
			if m.ID != "" && !seen[key] {
				seen[key] = true
				remember = append(remember, m)
			}
			for _, h := range m.Hints {
				if h.Given = now; fresh[i] && !given[h] {
					given[h] = true
					give = append(give, h)
				}
			}
		}
		err = t.insert(ctx, `hints_seen`, `account, message, expires_at`, `ON CONFLICT (tenant, account, message) DO NOTHING`, len(remember), func(i int) []any {
			return []any{remember[i].Account, remember[i].ID, stamp(remember[i].Expires)}
		})
		if err != nil {
			return err
		}
		err = t.insert(ctx, `hints`, hintColumns, `ON CONFLICT (tenant, flow, account, kind, parent, id) DO NOTHING`, len(give), func(i int) []any { return give[i].row() })
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM hints_seen WHERE tenant = @tenant AND expires_at < ?`, stamp(now))
		return err
	})
	return fresh, err
}

// seenMessages are those of some messages that were seen before, by account and id.
func seenMessages(ctx context.Context, t tx, messages []Message) (map[string]bool, error) {
	seen := map[string]bool{}
	for chunk := range slices.Chunk(messages, narrowInSQL) {
		args := make([]any, len(chunk))
		for i, m := range chunk {
			args[i] = m.ID
		}
		err := t.each(ctx, func(rows *sql.Rows) error {
			var account, id string
			err := rows.Scan(&account, &id)
			seen[account+"\x00"+id] = true
			return err
		}, `SELECT account, message FROM hints_seen WHERE tenant = @tenant AND message IN `+marks(1, len(chunk)), args...)
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// WaitingHints are the hints of all flows that nobody took yet, oldest first.
func (s *Store) WaitingHints(ctx context.Context) (hints []Hint, err error) {
	err = s.view(ctx, "read the hints that wait", func(t tx) error {
		hints = nil
		return t.each(ctx, func(rows *sql.Rows) error {
			var h Hint
			err := rows.Scan(h.row()...)
			hints = append(hints, h)
			return err
		}, `SELECT `+hintColumns+` FROM hints WHERE tenant = @tenant ORDER BY given_at, flow, account, kind, parent, id`)
	})
	return hints, err
}

// TakeHints takes hints out that are going to be followed. One that is given again meanwhile waits anew.
func (s *Store) TakeHints(ctx context.Context, hints []Hint) error {
	return s.update(ctx, "take hints", func(t tx) error {
		for _, h := range hints {
			_, err := t.exec(ctx, `DELETE FROM hints WHERE tenant = @tenant AND flow = ? AND account = ? AND kind = ? AND parent = ? AND id = ?`,
				h.Flow, h.Account, h.Ref.Kind, h.Ref.Parent, h.Ref.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// InProgress is the run of a kind and name that goes on; ok is false when there is none, or when it was silent so long that it is dead.
func (s *Store) InProgress(ctx context.Context, kind RunKind, name string) (r Run, ok bool, err error) {
	err = s.view(ctx, "look for a run in progress", func(t tx) error {
		now, err := t.dialect.time(ctx, t)
		if err != nil {
			return err
		}
		ok, err = t.one(ctx, r.row(), `SELECT `+runColumns+` FROM runs WHERE tenant = @tenant AND state = 'in progress' AND kind = ? AND name = ? AND alive_at >= ?`,
			kind, name, stamp(now.Add(-aliveFor)))
		return err
	})
	return r, ok, err
}
