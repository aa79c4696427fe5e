package state

import (
	"context"
	"database/sql"
)

// Database is the connection that writes, for the job queue, which keeps its own tables beside the store's; server tells a server from a file.
// Nothing else may use it: what the store keeps is changed through its methods.
func (s *Store) Database() (db *sql.DB, server bool) { return s.write.DB, s.dialect.shared }

// Tenant is the tenant whose rows the store sees.
func (s *Store) Tenant() string { return s.tenant }

// WithSchema runs work, which changes tables by itself, while nobody else does, so that daemons that start together do it once.
func (s *Store) WithSchema(ctx context.Context, work func() error) error {
	err := func() error {
		if !s.dialect.shared {
			return work()
		}
		return s.transact(ctx, s.read, nil, func(t tx) error { // another connection: the one that writes is for the work
			if _, err := t.ExecContext(ctx, takeTurns("schema", s.wait)); err != nil {
				return err
			}
			return work()
		})
	}()
	if err != nil {
		return s.failed(ctx, "bring the job queue of "+s.name+" up to date", err)
	}
	return nil
}
