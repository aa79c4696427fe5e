package statetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/trueup-sync/trueup/state"
)

// Blank writes a state file that holds nothing and has the newest schema, as state.Open makes it where none is. Making the schema takes many times as
// long as all that a small test keeps in it, so it is made once for a test binary and copied from then on.
func Blank(file string) error {
	data, err := blank()
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

var blank = sync.OnceValues(func() (data []byte, err error) {
	dir, err := os.MkdirTemp("", "trueup-blank-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "trueup.db")
	store, err := state.Open(context.Background(), "sqlite:"+file)
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})
