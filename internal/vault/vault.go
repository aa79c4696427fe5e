// Package vault keeps the secrets that a system replaces while we run, such as rotated refresh tokens.
//
// Open names a folder; two files in it are the vault. trueup.key holds the key, made on the first Put. trueup.vault holds
// the secrets, sealed to that key in the age format, so "age -d -i trueup.key trueup.vault" opens it without trueup.
// Both are readable by their owner only. Back them up together and apart from the database: without the key the vault
// is noise, and every account must be given its token again.
//
// Put returns only when the value is on the disk: the new vault is written beside the old one, flushed, and put in its
// place in one step, so that a crash leaves the old or the new one and never half of either. Several goroutines and
// several processes may use one vault at once; a lock file makes writers take turns.
//
// No error of this package contains a secret or the key.
package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/trueup-sync/trueup/connectors"
)

// The names of the files in the vault's folder.
const (
	KeyFile  = "trueup.key"
	FileName = "trueup.vault"
)

// File is a vault in a folder. It implements connectors.Vault.
type File struct {
	key, sealed string // paths
	turn        *lockedfile.Mutex
}

// Open names the folder of a vault. Nothing is read or made until the first Get or Put; the folder must exist by then.
func Open(dir string) *File {
	sealed := filepath.Join(dir, FileName)
	return &File{key: filepath.Join(dir, KeyFile), sealed: sealed, turn: lockedfile.MutexAt(sealed + ".lock")}
}

// Get returns a secret; false when the vault has none of that name or was never written.
func (f *File) Get(ctx context.Context, name string) (connectors.Secret, bool, error) {
	if err := ctx.Err(); err != nil {
		return connectors.Secret{}, false, fmt.Errorf("read secret %q: %w", name, err)
	}
	kept, err := f.read()
	if err != nil {
		return connectors.Secret{}, false, fmt.Errorf("read secret %q: %w", name, err)
	}
	value, ok := kept.Secrets[name]
	return connectors.NewSecret(string(value)), ok, nil
}

// Written is when a secret was last put, UTC; false when the vault has none of that name or was written by a trueup that did
// not keep the time.
func (f *File) Written(ctx context.Context, name string) (time.Time, bool, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, false, fmt.Errorf("read the age of secret %q: %w", name, err)
	}
	kept, err := f.read()
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read the age of secret %q: %w", name, err)
	}
	at, ok := kept.Written[name]
	return at, ok, nil
}

// Put stores a secret, replacing one of the same name, and returns when it is safe on the disk. When it fails the vault
// is as it was.
func (f *File) Put(ctx context.Context, name string, value connectors.Secret) error {
	if err := f.put(ctx, name, value); err != nil {
		return fmt.Errorf("store secret %q: %w", name, err)
	}
	return nil
}

func (f *File) put(ctx context.Context, name string, value connectors.Secret) error {
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := f.read()
	if err != nil {
		return err
	}
	identities, err := f.identities()
	if errors.Is(err, fs.ErrNotExist) {
		identities, err = f.newKey()
	}
	if err != nil {
		return err
	}
	kept.Secrets[name], kept.Written[name] = []byte(value.Reveal()), time.Now().UTC()
	return f.write(kept, identities)
}

// lock waits for this process's turn among all that use the vault, or for ctx to end.
func (f *File) lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type turn struct {
		unlock func()
		err    error
	}
	got := make(chan turn, 1)
	go func() {
		unlock, err := f.turn.Lock()
		got <- turn{unlock, err}
	}()
	select {
	case t := <-got:
		if t.err != nil {
			return nil, fmt.Errorf("lock the vault: %w", explain(t.err))
		}
		return t.unlock, nil
	case <-ctx.Done():
		go func() {
			if t := <-got; t.err == nil {
				t.unlock()
			}
		}()
		return nil, fmt.Errorf("wait for another process to finish with %s: %w", f.sealed, ctx.Err())
	}
}

// content is what is sealed. Values are bytes, so JSON carries them in base64 and cannot alter one.
type content struct {
	Version int                  `json:"version"`
	Secrets map[string][]byte    `json:"secrets"`
	Written map[string]time.Time `json:"written,omitempty"` // when each secret was last put
}

// read opens the vault; one that was never written is empty.
func (f *File) read() (content, error) {
	sealed, err := os.ReadFile(f.sealed)
	if errors.Is(err, fs.ErrNotExist) {
		return content{1, map[string][]byte{}, map[string]time.Time{}}, nil
	}
	if err != nil {
		return content{}, explain(err)
	}
	identities, err := f.identities()
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, fmt.Errorf("the key %s is gone, so %s cannot be opened; bring the key back from a backup, "+
			"or remove the vault and give each account its token again", f.key, f.sealed)
	}
	if err != nil {
		return content{}, err
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	var wrongKey *age.NoIdentityMatchError
	if errors.As(err, &wrongKey) {
		return content{}, fmt.Errorf("the key %s does not open %s; they belong to different vaults: bring back the pair from "+
			"one backup, or remove the vault and give each account its token again", f.key, f.sealed)
	}
	if err != nil {
		return content{}, f.damaged()
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return content{}, f.damaged()
	}
	var c content
	if json.Unmarshal(text, &c) != nil {
		return content{}, f.damaged()
	}
	if c.Version != 1 {
		return content{}, fmt.Errorf("%s was written by a newer trueup (vault version %d); use that version", f.sealed, c.Version)
	}
	if c.Secrets == nil {
		c.Secrets = map[string][]byte{}
	}
	if c.Written == nil {
		c.Written = map[string]time.Time{}
	}
	return c, nil
}

// damaged does not wrap its cause: a decoder's words may quote what it read.
func (f *File) damaged() error {
	return fmt.Errorf("%s is damaged; bring it back from a backup, or remove it and give each account its token again", f.sealed)
}

// identities reads the key. Only a missing file is fs.ErrNotExist.
func (f *File) identities() ([]age.Identity, error) {
	text, err := os.ReadFile(f.key)
	if err != nil {
		return nil, explain(err)
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil { // its text may quote the key
		return nil, fmt.Errorf("%s holds no key that can be used; bring it back from a backup", f.key)
	}
	return identities, nil
}

// newKey makes the key file. The caller holds the lock and has seen that there is no vault that another key sealed.
func (f *File) newKey() ([]age.Identity, error) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	text := "# Opens " + FileName + " beside it. Keep it secret; back both up together.\n" + identity.String() + "\n"
	if err := replace(f.key, []byte(text)); err != nil {
		return nil, err
	}
	return []age.Identity{identity}, nil
}

func (f *File) write(kept content, identities []age.Identity) error {
	var recipients []age.Recipient
	for _, identity := range identities {
		switch identity := identity.(type) {
		case *age.HybridIdentity:
			recipients = append(recipients, identity.Recipient())
		case *age.X25519Identity:
			recipients = append(recipients, identity.Recipient())
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipients...)
	if err != nil {
		return fmt.Errorf("seal the vault with the key in %s: %w", f.key, err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("seal the vault: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("seal the vault: %w", err)
	}
	return replace(f.sealed, sealed.Bytes())
}

// replace puts data in the place of a file in one step. The temporary name is always the same: only the holder of the
// lock writes, and what a crash left behind is overwritten by the next write.
func replace(path string, data []byte) error {
	temporary := path + ".new"
	if err := writeSynced(temporary, data); err != nil {
		_ = os.Remove(temporary)
		return explain(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		_ = os.Remove(temporary)
		return explain(err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return explain(err)
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Sync(); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// syncFolder makes a rename survive a power cut. Windows has no such call and does it by itself.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}

// explain adds the next step to what the operating system said.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; free some space on that disk, nothing was changed", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; run trueup as the user that owns the folder, or make the folder writable for it", err)
	}
	return err
}

// Memory is a vault that forgets everything when the program ends, for tests and demonstrations.
func Memory() connectors.Vault { return &memory{secrets: map[string]connectors.Secret{}} }

type memory struct {
	mu      sync.Mutex
	secrets map[string]connectors.Secret
}

func (m *memory) Get(_ context.Context, name string) (connectors.Secret, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.secrets[name]
	return value, ok, nil
}

func (m *memory) Put(_ context.Context, name string, value connectors.Secret) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets[name] = value
	return nil
}
