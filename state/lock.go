package state

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// LeaseTime is how long a lock lasts without being renewed. Renew it every third of that.
const LeaseTime = time.Minute

// Lock says that its holder is the one daemon on this database. It is a lease: who stops renewing it loses it.
type Lock struct {
	store *Store
	token string
}

const daemonLease = "daemon"

// Lock takes the lock for holder, a text for people that names process and machine. ErrLocked names who has it, since when,
// until when, and what to do. A lock that has expired is taken over.
func (s *Store) Lock(ctx context.Context, holder string) (*Lock, error) {
	l := &Lock{s, uuid.NewString()}
	err := s.update(ctx, "lock "+s.name, func(t tx) error {
		now := s.clock()
		var other string
		var started, renewed, expires time.Time
		taken, err := t.one(ctx, []any{&other, moment{&started}, moment{&renewed}, moment{&expires}},
			`SELECT holder, started_at, renewed_at, expires_at FROM lease WHERE tenant = @tenant AND name = ?`, daemonLease)
		if err != nil {
			return err
		}
		if taken && now.Before(expires) {
			return fmt.Errorf("%w: %s, since %s, last heard of %s; stop that process, or if it is dead wait until %s, when its lock ends by itself",
				ErrLocked, other, started.Format(time.RFC3339), renewed.Format(time.RFC3339), expires.Format(time.RFC3339))
		}
		_, err = t.exec(ctx, `INSERT INTO lease (tenant, name, token, holder, started_at, renewed_at, expires_at) VALUES (@tenant, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant, name) DO UPDATE SET token = excluded.token, holder = excluded.holder, started_at = excluded.started_at,
				renewed_at = excluded.renewed_at, expires_at = excluded.expires_at`,
			daemonLease, l.token, holder, stamp(now), stamp(now), stamp(now.Add(LeaseTime)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Renew makes the lock last for another LeaseTime from now. ErrLockLost means that another daemon took it over: stop writing at once.
func (l *Lock) Renew(ctx context.Context) error {
	s := l.store
	return s.update(ctx, "renew the lock of "+s.name, func(t tx) error {
		now := s.clock()
		n, err := t.exec(ctx, `UPDATE lease SET renewed_at = ?, expires_at = ? WHERE tenant = @tenant AND name = ? AND token = ?`,
			stamp(now), stamp(now.Add(LeaseTime)), daemonLease, l.token)
		if err != nil || n == 1 {
			return err
		}
		var other string
		taken, err := t.one(ctx, []any{&other}, `SELECT holder FROM lease WHERE tenant = @tenant AND name = ?`, daemonLease)
		switch {
		case err != nil:
			return err
		case taken:
			return fmt.Errorf("%w: it was not renewed in time and %s took it over; stop this process", ErrLockLost, other)
		}
		return fmt.Errorf("%w: it was released; take it again", ErrLockLost)
	})
}

// Release gives the lock up. Releasing a lock that was lost changes nothing.
func (l *Lock) Release(ctx context.Context) error {
	return l.store.update(ctx, "release the lock of "+l.store.name, func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM lease WHERE tenant = @tenant AND name = ? AND token = ?`, daemonLease, l.token)
		return err
	})
}
