package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trueup-sync/trueup/internal/config"
)

// A PostgreSQL state: references inside a URL are escaped, a value that is one as a whole is taken as it is.
func TestStateOnAServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, written, want string }{
		{"no password", "postgres://trueup@db.example.com/trueup?sslmode=verify-full", "postgres://trueup@db.example.com/trueup?sslmode=verify-full"},
		{"a password from a file", "postgres://trueup:${file:key.txt}@db.example.com/trueup", "postgres://trueup:p%40ss%2Fw%20ord%25@db.example.com/trueup"},
		{"a password from the environment", "postgres://trueup:${env:SHOP_SECRET}@db.example.com/trueup", "postgres://trueup:" + planted + "@db.example.com/trueup"},
		{"all of it from a file", "${file:url.txt}", "postgres://trueup:p%40ss@db.example.com/trueup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			yaml := "version: 1\nstate: \"" + c.written + "\"\ntimezone: Europe/London\naccounts:\n  desk:\n    system: deskpsa\n    settings:\n      site: psa.example.com\n      private_key: ${env:PSA_KEY}\nflows: []\n"
			dir := lay(t, []txtar.File{
				{Name: "key.txt", Data: []byte("p@ss/w ord%\n")},
				{Name: "url.txt", Data: []byte("postgres://trueup:p%40ss@db.example.com/trueup\n")},
				{Name: "trueup.yaml", Data: []byte(yaml)},
			})
			loaded, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, nil)
			if err != nil {
				t.Fatal(err)
			}
			if loaded.State != c.want || loaded.StateDir != dir || loaded.Vault == nil {
				t.Errorf("got %q in %q, want %q in %q with a vault", loaded.State, loaded.StateDir, c.want, dir)
			}
		})
	}
}

func TestStateName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ written, want, complaint string }{
		{"sqlite:trueup.db", "sqlite:" + filepath.Join("here", "trueup.db"), ""},
		{"postgres://trueup:${env:SHOP_SECRET}@db.example.com/trueup", "postgres://trueup:" + planted + "@db.example.com/trueup", ""},
		{"postgres://trueup:" + planted + "@db.example.com/trueup", "", "TO:1:8: the password of the database must not stand in the file"},
		{"trueup.db", "", "TO:1:8: the state must be a SQLite file or a PostgreSQL database"},
		{"", "", "TO:1:8: "},
		{"${env:NOT_SET}", "", "NOT_SET is not set"},
	} {
		got, err := config.StateName("TO", c.written, "here", env)
		switch {
		case c.complaint == "" && (err != nil || got != c.want):
			t.Errorf("%q: got %q, %v, want %q", c.written, got, err, c.want)
		case c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)):
			t.Errorf("%q: got %q, %v, want %q", c.written, got, err, c.complaint)
		case err != nil && strings.Contains(err.Error(), planted):
			t.Errorf("%q shows the password", err)
		}
	}
}
