package statetest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
)

// Schema makes an empty schema on a PostgreSQL server, which is as good as a database of its own, and says how to reach it; drop removes it with
// everything in it.
func Schema(ctx context.Context, server, name string) (dsn string, drop func() error, err error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, errors.New("the address of the server is not a URL") // its text may hold a password
	}
	db, err := sql.Open("postgres", server)
	if err != nil {
		return "", nil, err
	}
	if _, err := db.ExecContext(ctx, "CREATE SCHEMA "+name); err != nil {
		return "", nil, errors.Join(err, db.Close())
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String(), func() error {
		_, err := db.ExecContext(context.WithoutCancel(ctx), "DROP SCHEMA "+name+" CASCADE")
		return errors.Join(err, db.Close())
	}, nil
}
