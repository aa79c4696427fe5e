package state

import "context"

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
