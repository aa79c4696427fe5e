package state_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/trueup-sync/trueup/state"
)

// A file of the schema before tenants keeps everything; it then belongs to the tenant "". The journal's numbers and hashes stay, so that heads
// and exports from before still hold.
func TestTenantsAreAddedToAFile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "trueup.db")
	db := raw(t, path)
	migrations, err := fs.Sub(os.DirFS("migrations"), "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithTableName("trueup_schema"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, 4); err != nil {
		t.Fatal(err)
	}
	// The rows of a new store, as they were before they had a tenant.
	source := filepath.Join(t.TempDir(), "trueup.db")
	fill(t, "sqlite:"+source)
	head, err := open(t, source).VerifyJournal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "ATTACH '"+source+"' AS new")
	later := map[string]bool{} // tables of later steps
	for _, table := range append(state.Kept(), "lease") {
		var columns string
		var there int
		if err := db.QueryRow("SELECT count(*) FROM main.sqlite_master WHERE type = 'table' AND name = ?", table).Scan(&there); err != nil {
			t.Fatal(err)
		}
		if there == 0 {
			later[table] = true
			continue
		}
		if err := db.QueryRow("SELECT group_concat(name, ', ') FROM pragma_table_info(?) WHERE name <> 'tenant'", table).Scan(&columns); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "INSERT INTO main."+table+" ("+columns+") SELECT "+columns+" FROM new."+table+" WHERE tenant = ''")
	}
	exec(t, db, "DETACH new")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s := open(t, path)
	if m := s.Migrated(); m.From != 4 || cmp.Diff([]string{"00005_tenant"}, m.Applied[:1]) != "" {
		t.Errorf("got %+v, want the step from 4", m)
	}
	if got, err := s.VerifyJournal(ctx); err != nil || got != head {
		t.Errorf("got %v, %v, want the head as it was, %v", got, err, head)
	}
	want, err := state.Copy(ctx, open(t, path), open(t, filepath.Join(t.TempDir(), "trueup.db")))
	if err != nil {
		t.Fatal(err)
	}
	for table, n := range want.Rows {
		if n == 0 && !later[table] {
			t.Errorf("the rows of %s are gone", table)
		}
	}
	if err := s.Exec(ctx, "DELETE FROM journal"); err == nil {
		t.Error("the journal may be emptied")
	}
	if err := s.Exec(ctx, "DELETE FROM links"); err == nil {
		t.Error("snapshots do not need their link any more")
	}
}
