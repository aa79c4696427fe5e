package config

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/internal/vault"
)

const (
	stateHint     = "write sqlite:trueup.db, or postgres://trueup:${env:DB_PASSWORD}@db.example.com/trueup"
	elsewhereHint = "write ${env:NAME} or ${file:/path} in its place"
)

// readState sets State, StateDir and the vault. It comes before the accounts, whose secrets may be in the vault.
func (l *loader) readState(n *strictyaml.Node) {
	dsn := defaultState
	if n.Present() {
		var ok bool
		if dsn, ok = l.stateName(n); !ok {
			return
		}
	}
	if isPostgres(dsn) {
		l.config.State, l.config.StateDir = dsn, l.config.Dir
		l.openVault()
		return
	}
	name, found := strings.CutPrefix(dsn, "sqlite:")
	switch {
	case !found:
		n.Complain(stateHint, "the state must be a SQLite file or a PostgreSQL database")
		return
	case name == "" || strings.HasPrefix(name, ":memory:"):
		n.Complain(stateHint, "the state needs a file: what trueup has done must be remembered")
		return
	}
	name = l.path(name)
	l.config.State, l.config.StateDir = "sqlite:"+name, filepath.Dir(name)
	l.openVault()
}

func (l *loader) openVault() {
	if l.vault == nil {
		l.vault = vault.Open(l.config.StateDir)
	}
	l.config.Vault = l.vault
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// stateName follows the references in the name of a store. What stands in the file is looked at before, for a password written in clear.
func (l *loader) stateName(n *strictyaml.Node) (string, bool) {
	written := n.Text()
	if !isPostgres(written) {
		v, ok := l.resolve(n, false)
		return v.text, ok
	}
	// Letters in place of references, so that what is left is what somebody wrote.
	u, err := url.Parse(reference.ReplaceAllLiteralString(written, "REFERENCE"))
	if err != nil { // the cause would quote the text
		n.Complain(stateHint, "the URL of the database cannot be read")
		return "", false
	}
	password, _ := u.User.Password()
	for _, clear := range []string{password, u.Query().Get("password"), u.Query().Get("sslpassword")} {
		if strings.ReplaceAll(clear, "REFERENCE", "") != "" {
			n.Complain(elsewhereHint, "the password of the database must not stand in the file")
			return "", false
		}
	}
	good := true
	dsn := reference.ReplaceAllStringFunc(written, func(ref string) string {
		text, ok := l.follow(n, ref, false)
		good = good && ok
		return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	})
	return dsn, good
}

// StateName reads the name of a store as it would be under state: in a configuration in the folder dir; what names it in complaints.
func StateName(what, written, dir string, env func(string) (string, bool)) (string, error) {
	source := []byte("state: " + strconv.Quote(written) + "\n") // a quoted text of Go is one of YAML
	l := &loader{config: &Config{File: what, Dir: dir}, env: env, vault: vault.Memory()}
	if root := strictyaml.Parse(what, source, &l.problems); root != nil {
		l.readState(root.Map().Get("state"))
	}
	if err := l.problems.Err(); err != nil {
		return "", err
	}
	return l.config.State, nil
}
