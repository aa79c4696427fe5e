package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/model"
)

// EndDecision is what one person decided about the end of one term of one subscription.
type EndDecision struct {
	ID           string // given by the store
	Flow         string
	Customer     string // native id of the vendor customer
	Subscription string
	TermEnd      model.Day // last day of the term it is about
	Action       string    // renew, cancel or extend
	Seats        string    // to renew with; "" for as many as there are then
	Product      string    // product key to renew as; "" for the product of today
	Person       string    // who, as the machine knows them: user@host
	Reason       string    // in the person's words; may be empty
	At           time.Time // given by the store
	Run          string    // the run that saw that the vendor was told; "" until then
	Told         time.Time
}

const endColumns = `id, flow, customer, subscription, term_end, action, seats, product, person, reason, decided_at, told_run, told_at`

// DecideEnd keeps what a person decided and returns it with its id and time. A later decision about the same term replaces the earlier one;
// nothing is deleted.
func (s *Store) DecideEnd(ctx context.Context, d EndDecision) (EndDecision, error) {
	d.Run, d.Told = "", time.Time{}
	if d.Flow == "" || d.Subscription == "" || d.TermEnd.IsZero() || d.Action == "" || d.Person == "" {
		return d, fmt.Errorf("keep a decision about the end of subscription %q: it needs a flow, a term end, an action and a person", d.Subscription)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return d, fmt.Errorf("make an id: %w", err)
	}
	d.ID, d.Reason = id.String(), storable(d.Reason)
	err = s.update(ctx, "keep a decision about the end of subscription "+d.Subscription, func(t tx) error {
		d.At = t.now
		return t.insert(ctx, `end_decisions`, endColumns, ``, 1, func(int) []any {
			return []any{d.ID, d.Flow, d.Customer, d.Subscription, d.TermEnd.String(), d.Action, d.Seats, d.Product, d.Person, d.Reason, moment{&d.At}, d.Run, moment{&d.Told}}
		})
	})
	return d, err
}

// EndDecisions are the decisions of a flow about terms that end on a day or later, the standing one of each term, oldest first.
func (s *Store) EndDecisions(ctx context.Context, flow string, from model.Day) (found []EndDecision, err error) {
	err = s.view(ctx, "read the decisions about term ends of flow "+flow, func(t tx) error {
		found = nil
		place := map[[3]string]int{}
		return t.each(ctx, func(rows *sql.Rows) error {
			var d EndDecision
			var end string
			err := rows.Scan(&d.ID, &d.Flow, &d.Customer, &d.Subscription, &end, &d.Action, &d.Seats, &d.Product, &d.Person, &d.Reason, moment{&d.At}, &d.Run, moment{&d.Told})
			if err != nil {
				return err
			}
			if d.TermEnd, err = model.ParseDay(end); err != nil {
				return err
			}
			key := [3]string{d.Customer, d.Subscription, end}
			if i, earlier := place[key]; earlier {
				found[i] = d
				return nil
			}
			place[key] = len(found)
			found = append(found, d)
			return nil
		}, `SELECT `+endColumns+` FROM end_decisions WHERE tenant = @tenant AND flow = ? AND term_end >= ? ORDER BY decided_at, id`, flow, from.String())
	})
	return found, err
}

// EndsTold notes that a run saw at the vendor what was decided.
func (s *Store) EndsTold(ctx context.Context, ids []string, run string) error {
	if len(ids) == 0 {
		return nil
	}
	return s.update(ctx, "note which decisions about term ends are done", func(t tx) error {
		now := stamp(t.now)
		for _, id := range ids {
			if _, err := t.exec(ctx, `UPDATE end_decisions SET told_run = ?, told_at = ? WHERE tenant = @tenant AND id = ? AND told_at = ''`, run, now, id); err != nil {
				return err
			}
		}
		return nil
	})
}
