package vault_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/vault"
)

// A link to /dev/full in the place of the temporary file is a disk without space.
func TestAFullDiskLeavesTheOldValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := vault.Open(dir)
	put(t, v, "token", "old")
	if err := os.Symlink("/dev/full", filepath.Join(dir, vault.FileName+".new")); err != nil {
		t.Fatal(err)
	}
	err := v.Put(t.Context(), "token", connectors.NewSecret(planted))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("got %v; want a full disk and what to do", err)
	}
	wantNoSecret(t, err, "")
	wantValue(t, v, "token", "old")
	put(t, v, "token", "new") // the temporary file went away with the failure
	wantValue(t, v, "token", "new")
}
