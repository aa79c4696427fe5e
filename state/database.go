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

// WithSchema runs work in one transaction while nobody else changes the tables, so that daemons that start together do it once.
func (s *Store) WithSchema(ctx context.Context, work func(*sql.Tx) error) error {
	err := s.transact(ctx, s.write, nil, func(t tx) error {
		if s.dialect.shared {
			if _, err := t.ExecContext(ctx, takeTurns("schema", s.wait)); err != nil {
				return err
			}
		}
		return work(t.Tx.Tx)
	})
	if err != nil {
		return s.failed(ctx, "bring the job queue of "+s.name+" up to date", err)
	}
	return nil
}
