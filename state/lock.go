package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// LeaseTime is how long a lock lasts without being renewed. Renew it every third of that.
const LeaseTime = 45 * time.Second

// Lock says that its holder is a daemon of this database: the only one of a file, one of several on a server. It is a lease: who
// stops renewing it loses it.
type Lock struct {
	store *Store
	name  string
	token string
}

const daemonLease = "daemon"

// Token tells this daemon from every other that ever worked on the database.
func (l *Lock) Token() string { return l.token }

// Join makes this process a daemon of the database: as the only one where it is a file (Lock), beside others where it is a server. From then on
// the journal takes a new intent of this Store only while the lease lasts, and each intent renews it, so that a process that was
// taken for dead cannot begin a write (ErrLockLost).
func (s *Store) Join(ctx context.Context, holder string) (*Lock, error) {
	if !s.dialect.shared {
		l, err := s.Lock(ctx, holder)
		if err == nil {
			s.fence.Store(l)
		}
		return l, err
	}
	token := uuid.NewString()
	l := &Lock{s, daemonLease + " " + token, token}
	err := s.update(ctx, "join the daemons of "+s.name, func(t tx) error {
		now := t.now
		if _, err := t.exec(ctx, `DELETE FROM lease WHERE tenant = @tenant AND expires_at <= ?`, stamp(now)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO lease (tenant, name, token, holder, started_at, renewed_at, expires_at) VALUES (@tenant, ?, ?, ?, ?, ?, ?)`,
			l.name, l.token, holder, stamp(now), stamp(now), stamp(now.Add(LeaseTime)))
		return err
	})
	if err != nil {
		return nil, err
	}
	s.fence.Store(l)
	return l, nil
}

// Daemons are the tokens of those whose lease lasts, with the text that names each.
func (s *Store) Daemons(ctx context.Context) (map[string]string, error) {
	live := map[string]string{}
	err := s.view(ctx, "list the daemons of "+s.name, func(t tx) error {
		now, err := t.dialect.time(ctx, t)
		if err != nil {
			return err
		}
		return t.each(ctx, func(rows *sql.Rows) error {
			var token, holder string
			err := rows.Scan(&token, &holder)
			live[token] = holder
			return err
		}, `SELECT token, holder FROM lease WHERE tenant = @tenant AND expires_at > ?`, stamp(now))
	})
	return live, err
}

// permit lets a new intent of a run be written: the run goes on, and this process is not taken for dead. Being asked counts as a sign of life of
// both, so that nobody takes over within LeaseTime of it.
func (s *Store) permit(ctx context.Context, t tx, run string, now time.Time) error {
	if l := s.fence.Load(); l != nil {
		lasts := stamp(now) // on a server others take over what a lease that ended belonged to; that of a file is lost when another has it
		if !s.dialect.shared {
			lasts = ""
		}
		n, err := t.exec(ctx, `UPDATE lease SET renewed_at = ?, expires_at = ? WHERE tenant = @tenant AND name = ? AND token = ? AND expires_at > ?`,
			stamp(now), stamp(now.Add(LeaseTime)), l.name, l.token, lasts)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: it was not renewed in time, so others take over; nothing new is sent", ErrLockLost)
		}
	}
	if n, err := t.exec(ctx, `UPDATE runs SET alive_at = ? WHERE tenant = @tenant AND id = ? AND state = 'in progress'`, stamp(now), run); err != nil || n == 1 {
		return err
	}
	if r, known, err := runByID(ctx, t, run); err != nil || known {
		return errors.Join(err, fmt.Errorf("%w: run %s ended %s; nothing new is sent for it", ErrOver, run, r.State))
	}
	return nil // a journal may be kept without runs
}

// Permit asks whether a write of a run may still begin; ErrOver and ErrLockLost say that it may not. The answer is good for Permitted.
func (s *Store) Permit(ctx context.Context, run string) error {
	return s.update(ctx, "ask whether run "+run+" may go on", func(t tx) error { return s.permit(ctx, t, run, t.now) })
}

// Permitted is how long a permission lasts: a write must begin within it. Who takes over waits for longer than that.
const Permitted = LeaseTime / 6

// Lock takes the lock for holder, a text for people that names process and machine. ErrLocked names who has it, since when,
// until when, and what to do. A lock that has expired is taken over.
func (s *Store) Lock(ctx context.Context, holder string) (*Lock, error) {
	l := &Lock{s, daemonLease, uuid.NewString()}
	err := s.update(ctx, "lock "+s.name, func(t tx) error {
		now := t.now
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
		now := t.now
		n, err := t.exec(ctx, `UPDATE lease SET renewed_at = ?, expires_at = ? WHERE tenant = @tenant AND name = ? AND token = ?`,
			stamp(now), stamp(now.Add(LeaseTime)), l.name, l.token)
		if err != nil || n == 1 {
			return err
		}
		var other string
		taken, err := t.one(ctx, []any{&other}, `SELECT holder FROM lease WHERE tenant = @tenant AND name = ?`, l.name)
		switch {
		case err != nil:
			return err
		case taken:
			return fmt.Errorf("%w: it was not renewed in time and %s took it over; stop this process", ErrLockLost, other)
		}
		return fmt.Errorf("%w: it was released, or not renewed in time; start this process again", ErrLockLost)
	})
}

// Release gives the lock up. Releasing a lock that was lost changes nothing.
func (l *Lock) Release(ctx context.Context) error {
	l.store.fence.CompareAndSwap(l, nil)
	return l.store.update(ctx, "release the lock of "+l.store.name, func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM lease WHERE tenant = @tenant AND name = ? AND token = ?`, l.name, l.token)
		return err
	})
}
