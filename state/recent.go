package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Written is a change that was done, or may have been: its outcome is not known.
type Written struct {
	Intent string
	At     time.Time // when it was written down that it may be sent, UTC; the last time, when it was more than once
	Body   json.RawMessage
}

// WrittenSince are the changes that a flow wrote from an instant on, oldest first. What was refused or given up is not among them; what created
// something is only with creations.
func (s *Store) WrittenSince(ctx context.Context, flow string, since time.Time, creations bool) (found []Written, err error) {
	states := append([]JournalState{JournalDone}, openStates...)
	query := `SELECT intent, written_at, body FROM journal j WHERE tenant = @tenant AND flow = ? AND written_at >= ? AND state = ?
		AND EXISTS (SELECT 1 FROM intents i WHERE i.tenant = j.tenant AND i.intent = j.intent AND i.state IN ` + marks(1, len(states)) + `)`
	args := []any{flow, stamp(since), JournalIntended}
	for _, state := range states {
		args = append(args, state)
	}
	if !creations {
		query += ` AND op <> 'create'`
	}
	at := map[string]int{}
	err = s.view(ctx, "read what was written lately", func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var w Written
			if err := rows.Scan(&w.Intent, moment{&w.At}, verbatim{&w.Body}); err != nil {
				return err
			}
			if i, again := at[w.Intent]; again {
				found[i].At = w.At
				return nil
			}
			at[w.Intent] = len(found)
			found = append(found, w)
			return nil
		}, query+` ORDER BY seq`, args...)
	})
	return found, err
}
