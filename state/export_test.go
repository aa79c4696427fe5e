package state

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lib/pq"
)

// Exec runs SQL on the writing connection, for tests that break things.
func (s *Store) Exec(ctx context.Context, query string) error {
	_, err := s.write.ExecContext(ctx, query)
	return err
}

// Transitions is the state machine, for the test of its drawing.
var Transitions = transitions

// Pragma reads a setting of the writing connection.
func (s *Store) Pragma(ctx context.Context, name string) (value string, err error) {
	err = s.write.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}

// Unbound runs a statement that may not name the tenant.
func (s *Store) Unbound(ctx context.Context, query string) error {
	return s.update(ctx, "test", func(t tx) error {
		_, err := t.exec(ctx, query)
		return err
	})
}

// Update calls inside while a writing transaction is open, and then goes on in it.
func (s *Store) Update(ctx context.Context, inside func()) error {
	return s.update(ctx, "test", func(t tx) error {
		inside()
		_, err := t.exec(ctx, `DELETE FROM cursors WHERE tenant = @tenant`)
		return err
	})
}

// Alone calls inside while a copy keeps all others out.
func (s *Store) Alone(ctx context.Context, inside func()) error {
	return s.update(ctx, "test", func(t tx) error {
		err := t.dialect.alone(ctx, t)
		inside()
		return err
	})
}

// FailOnce runs a transaction that a server gives up the first time.
func (s *Store) FailOnce(ctx context.Context, each func()) error {
	failed := false
	return s.update(ctx, "test", func(tx) error {
		each()
		if failed {
			return nil
		}
		failed = true
		return &pq.Error{Code: "40P01", Message: "deadlock detected"}
	})
}

// Backend is the server's process that has a transaction of this store open.
func (s *Store) Backend(ctx context.Context) (pid int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted
			AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('trueup ' || current_schema() || ' state of ' || $1, 0)`, s.tenant).Scan(&pid)
	return pid, err
}

// Setting is a setting inside a writing transaction.
func (s *Store) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.update(ctx, "test", func(t tx) error {
		return t.QueryRowContext(ctx, `SELECT current_setting('`+name+`')`).Scan(&value)
	})
	return value, err
}

// LeftOnConnection says what transactions left on the writing connection.
func (s *Store) LeftOnConnection(ctx context.Context) (string, error) {
	var statements, locks int
	var timeout string
	err := s.write.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM pg_prepared_statements),
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), current_setting('lock_timeout')`).
		Scan(&statements, &locks, &timeout)
	return fmt.Sprintf("%d prepared statements, %d locks, lock_timeout %s", statements, locks, timeout), err
}

// Column reads texts.
func (s *Store) Column(ctx context.Context, query string) (values []string, err error) {
	err = s.view(ctx, "test", func(t tx) error {
		return t.rows(ctx, func(rows *sql.Rows) error {
			var value string
			err := rows.Scan(&value)
			values = append(values, value)
			return err
		}, query)
	})
	return values, err
}

// Kept are the tables that a copy holds.
var Kept = keptTables
