//go:build unix

package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPostgresTranscripts runs the transcripts that need a PostgreSQL server, where TRUEUP_TEST_POSTGRES names one. Each finds the URLs
// of two empty schemas in the files first and second.
func TestPostgresTranscripts(t *testing.T) {
	t.Parallel()
	server := os.Getenv("TRUEUP_TEST_POSTGRES")
	if server == "" {
		t.Log("NOT TESTED: PostgreSQL, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	base, err := url.Parse(server)
	if err != nil {
		t.Fatal("TRUEUP_TEST_POSTGRES is not a URL")
	}
	db, err := sql.Open("postgres", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	transcripts(t, filepath.Join("testdata", "postgres"), func(e *testscript.Env) error {
		password, _ := base.User.Password()
		e.Setenv("PASSWORD", password)
		for _, name := range []string{"first", "second"} {
			schema := fmt.Sprintf("%s_%d", name, os.Getpid())
			if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
				return err
			}
			e.Defer(func() {
				_, err := db.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
				if err != nil {
					t.Error(err)
				}
			})
			u := *base
			u.RawQuery += "&search_path=" + schema
			if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(u.String()), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}
