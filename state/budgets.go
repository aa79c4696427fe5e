package state

import (
	"context"
	"time"
)

// Turns is the request budget of an account, shared by every process on the database. It is a connectors.Turns.
type Turns struct {
	store   *Store
	account string
}

// Turns is the budget of an account.
func (s *Store) Turns(account string) Turns { return Turns{s, account} }

// Take reserves n turns that follow each other by interval, behind all that were reserved before. It says how long it is until the first, how
// long the system still wants to be left alone, and how many daemons share what the account may have in flight. Turns that are
// not used are lost.
func (b Turns) Take(ctx context.Context, n int, interval time.Duration) (wait, hold time.Duration, sharers int, err error) {
	err = b.store.update(ctx, "take turns of account "+b.account, func(t tx) error {
		now := t.now
		var next, held time.Time
		_, err := t.one(ctx, []any{moment{&next}, moment{&held}}, `SELECT next_at, held_until FROM budgets WHERE tenant = @tenant AND account = ?`, b.account)
		if err != nil {
			return err
		}
		first := now
		if limit := now.Add(farAhead); next.After(limit) {
			next = now // the clock was set back
		}
		if next.After(first) {
			first = next
		}
		if held.After(now.Add(farAhead)) {
			held = time.Time{}
		}
		if held.After(first) {
			first = held
		}
		wait, hold = first.Sub(now), max(0, held.Sub(now))
		if _, err := t.one(ctx, []any{&sharers}, `SELECT COUNT(*) FROM lease WHERE tenant = @tenant AND expires_at > ?`, stamp(now)); err != nil {
			return err
		}
		sharers = max(1, sharers)
		return b.put(ctx, t, first.Add(time.Duration(n)*interval), held)
	})
	return wait, hold, sharers, err
}

// farAhead is further than turns are reserved or a system asks for: a time beyond it comes from a clock that was wrong.
const farAhead = time.Hour

// Hold lets no process send for a while; a longer hold stays.
func (b Turns) Hold(ctx context.Context, wait time.Duration) error {
	return b.store.update(ctx, "hold account "+b.account, func(t tx) error {
		now := t.now
		var next, held time.Time
		_, err := t.one(ctx, []any{moment{&next}, moment{&held}}, `SELECT next_at, held_until FROM budgets WHERE tenant = @tenant AND account = ?`, b.account)
		if err != nil {
			return err
		}
		if until := now.Add(wait); until.After(held) || held.After(now.Add(farAhead)) {
			held = until
		}
		return b.put(ctx, t, next, held)
	})
}

func (b Turns) put(ctx context.Context, t tx, next, held time.Time) error {
	_, err := t.exec(ctx, `INSERT INTO budgets (tenant, account, next_at, held_until) VALUES (@tenant, ?, ?, ?)
		ON CONFLICT (tenant, account) DO UPDATE SET next_at = excluded.next_at, held_until = excluded.held_until`, b.account, stamp(next), stamp(held))
	return err
}
