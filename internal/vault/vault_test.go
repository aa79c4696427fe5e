package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/vault"
)

// planted is the secret that no error and no file may show.
const planted = "planted-0.AXcA~refresh"

// TestMain also plays the other process: see TestProcessesTakeTurns.
func TestMain(m *testing.M) {
	if dir := os.Getenv("VAULT_TEST_WRITER_DIR"); dir != "" {
		if err := putMany(vault.Open(dir), os.Getenv("VAULT_TEST_WRITER_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const many = 20

func putMany(v connectors.Vault, prefix string) error {
	for i := range many {
		name := fmt.Sprintf("%s.%d", prefix, i)
		if err := v.Put(context.Background(), name, connectors.NewSecret("value of "+name)); err != nil {
			return err
		}
	}
	return nil
}

func put(t *testing.T, v connectors.Vault, name, value string) {
	t.Helper()
	if err := v.Put(t.Context(), name, connectors.NewSecret(value)); err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
}

func wantValue(t *testing.T, v connectors.Vault, name, want string) {
	t.Helper()
	got, ok, err := v.Get(t.Context(), name)
	if err != nil || !ok || got.Reveal() != want {
		t.Errorf("get %s: got %q, %v, %v; want %q", name, got.Reveal(), ok, err, want)
	}
}

func wantNone(t *testing.T, v connectors.Vault, name string) {
	t.Helper()
	if _, ok, err := v.Get(t.Context(), name); ok || err != nil {
		t.Errorf("get %s: got %v, %v; want none", name, ok, err)
	}
}

func TestBothVaultsKeepWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]connectors.Vault{"file": vault.Open(t.TempDir()), "memory": vault.Memory()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantNone(t, v, "microsoft.refresh_token")
			put(t, v, "microsoft.refresh_token", "first")
			put(t, v, "microsoft.refresh_token", planted)
			put(t, v, "odd", "bytes \xff\x00\n and an umlaut ü")
			put(t, v, "empty", "")
			wantValue(t, v, "microsoft.refresh_token", planted)
			wantValue(t, v, "odd", "bytes \xff\x00\n and an umlaut ü")
			wantValue(t, v, "empty", "")
			wantNone(t, v, "other")
		})
	}
}

func TestReadingMakesNoFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wantNone(t, vault.Open(dir), "anything")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("a Get left %v (%v); want an untouched folder", entries, err)
	}
}

func TestFilesAreTheOwnersAndSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, vault.Open(dir), "name-of-secret", planted)
	for _, name := range []string{vault.KeyFile, vault.FileName} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o; want 600", name, info.Mode().Perm())
		}
		text := readFile(t, path)
		if strings.Contains(text, planted) || strings.Contains(text, "name-of-secret") {
			t.Errorf("%s shows the secret or its name", name)
		}
	}
	wantValue(t, vault.Open(dir), "name-of-secret", planted) // a later process
}

func TestGoroutinesTakeTurns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared := vault.Open(dir)
	var writers sync.WaitGroup
	for i := range 4 {
		v := shared
		if i%2 == 1 {
			v = vault.Open(dir)
		}
		writers.Go(func() {
			if err := putMany(v, fmt.Sprintf("writer%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	for i := range 4 {
		wantMany(t, shared, fmt.Sprintf("writer%d", i))
	}
}

func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for i := range 3 {
		writers.Go(func() {
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), "VAULT_TEST_WRITER_DIR="+dir, fmt.Sprintf("VAULT_TEST_WRITER_NAME=process%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
	}
	writers.Wait()
	for i := range 3 {
		wantMany(t, vault.Open(dir), fmt.Sprintf("process%d", i))
	}
}

func wantMany(t *testing.T, v connectors.Vault, prefix string) {
	t.Helper()
	for i := range many {
		name := fmt.Sprintf("%s.%d", prefix, i)
		wantValue(t, v, name, "value of "+name)
	}
}

// Each fault is made in a vault that holds the planted secret. Get and Put must both say what is wrong and what to do,
// and must never show the secret or the key.
func TestFaultsAreExplained(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   []string // texts in the errors of both Get and Put
	}{
		{"key gone", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, vault.KeyFile)) },
			[]string{vault.KeyFile, "is gone", "bring the key back from a backup"}},
		{"key of another vault", func(t *testing.T, dir string) {
			other := t.TempDir()
			put(t, vault.Open(other), "x", "y")
			write(t, filepath.Join(dir, vault.KeyFile), readFile(t, filepath.Join(other, vault.KeyFile)))
		}, []string{"does not open", "they belong to different vaults"}},
		{"key cut short", func(t *testing.T, dir string) {
			path := filepath.Join(dir, vault.KeyFile)
			text := readFile(t, path)
			write(t, path, text[:len(text)-20])
		}, []string{vault.KeyFile, "holds no key that can be used"}},
		{"key unreadable", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, vault.KeyFile))
			mkdir(t, filepath.Join(dir, vault.KeyFile))
		}, []string{vault.KeyFile, "is a directory"}},
		{"vault cut short", func(t *testing.T, dir string) {
			path := filepath.Join(dir, vault.FileName)
			text := readFile(t, path)
			write(t, path, text[:len(text)-5])
		}, []string{vault.FileName, "is damaged"}},
		{"vault is something else", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, vault.FileName), planted)
		}, []string{vault.FileName, "is damaged"}},
		{"vault unreadable", func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, vault.FileName))
			mkdir(t, filepath.Join(dir, vault.FileName))
		}, []string{vault.FileName, "is a directory"}},
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			v := vault.Open(dir)
			put(t, v, "token", planted)
			key := readFile(t, filepath.Join(dir, vault.KeyFile))
			fault.damage(t, dir)
			_, _, getErr := v.Get(t.Context(), "token")
			putErr := v.Put(t.Context(), "token", connectors.NewSecret(planted+"2"))
			for op, err := range map[string]error{`read secret "token": `: getErr, `store secret "token": `: putErr} {
				if err == nil {
					t.Errorf("%s went well; want an error", op)
					continue
				}
				for _, want := range append(fault.want, op) {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				wantNoSecret(t, err, key)
			}
		})
	}
}

func TestAFailedPutLeavesTheOldValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := vault.Open(dir)
	put(t, v, "token", "old")
	mkdir(t, filepath.Join(dir, vault.FileName+".new", "in the way"))
	err := v.Put(t.Context(), "token", connectors.NewSecret(planted))
	if err == nil {
		t.Fatal("put went well; want an error")
	}
	wantNoSecret(t, err, "")
	wantValue(t, v, "token", "old")
}

func TestWhatACrashLeftBehindIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, vault.FileName+".new"), "half a vau")
	write(t, filepath.Join(dir, vault.KeyFile+".new"), "half a k")
	v := vault.Open(dir)
	put(t, v, "token", planted)
	wantValue(t, v, "token", planted)
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{vault.KeyFile, vault.FileName, vault.FileName + ".lock"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestAFolderThatIsMissing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nowhere")
	err := vault.Open(dir).Put(t.Context(), "token", connectors.NewSecret(planted))
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v; want an error that names %s", err, dir)
	}
}

func TestACancelledCallDoesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := vault.Open(dir)
	if err := v.Put(ctx, "token", connectors.NewSecret(planted)); err == nil {
		t.Error("put with an ended context went well")
	}
	if _, _, err := v.Get(ctx, "token"); err == nil {
		t.Error("get with an ended context went well")
	}
	wantNone(t, v, "token")
}

func TestWaitingForAnotherProcessEndsWithTheContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lockedfile.MutexAt(filepath.Join(dir, vault.FileName+".lock")).Lock()
	if err != nil {
		t.Fatal(err)
	}
	v := vault.Open(dir)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = v.Put(ctx, "token", connectors.NewSecret(planted))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v; want to hear that another process has the vault", err)
	}
	unlock()
	put(t, v, "token", planted)
	wantValue(t, v, "token", planted)
}

func wantNoSecret(t *testing.T, err error, key string) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, line := range append(strings.Fields(key), planted) {
		if len(line) > 20 && strings.Contains(text, line[:20]) {
			t.Errorf("the error shows a secret: %s", text)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// The vault knows when each secret was put, and putting one does not make another look younger.
func TestWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v := vault.Open(dir)
	if at, ok, err := v.Written(t.Context(), "first"); ok || err != nil || !at.IsZero() {
		t.Errorf("an empty vault says %s, %v, %v", at, ok, err)
	}
	before := time.Now()
	put(t, v, "first", planted)
	first, ok, err := v.Written(t.Context(), "first")
	if err != nil || !ok || first.Before(before.Add(-time.Second)) || first.After(time.Now()) {
		t.Errorf("the first was put at %s, %v, %v; it was now", first, ok, err)
	}
	put(t, v, "second", planted)
	again, _, err := vault.Open(dir).Written(t.Context(), "first")
	if err != nil || !again.Equal(first) {
		t.Errorf("the first is of %s after the second was put, it was of %s (%v)", again, first, err)
	}
	put(t, v, "first", planted)
	if again, _, err = v.Written(t.Context(), "first"); err != nil || !again.After(first) {
		t.Errorf("the first is of %s after it was put anew, it was of %s (%v)", again, first, err)
	}
}
