package rest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
)

// diary is a vault and a sign-in that write down, in order, what was done.
type diary struct {
	mu      sync.Mutex
	lines   []string
	kept    string
	putErr  error
	getErr  error
	refused map[string]bool
	n       int
	life    time.Duration // 0: no expiry
	rotate  bool
}

func (d *diary) note(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) Get(context.Context, string) (connectors.Secret, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return connectors.NewSecret(d.kept), d.kept != "", d.getErr
}

func (d *diary) Put(ctx context.Context, name string, value connectors.Secret) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.putErr != nil {
		d.note("refuse %s", value.Reveal())
		return fmt.Errorf("%w: %s", d.putErr, value.Reveal())
	}
	d.kept = value.Reveal()
	d.note("keep %s", d.kept)
	return nil
}

func (d *diary) fetch(_ context.Context, refresh connectors.Secret) (access connectors.Secret, expires time.Time, rotated connectors.Secret, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note("fetch with %s", refresh.Reveal())
	if d.refused[refresh.Reveal()] {
		err = &connectors.Error{Class: connectors.ClassAuth, Message: "refused " + refresh.Reveal()}
		return access, expires, rotated, err
	}
	d.n++
	if d.rotate {
		rotated = connectors.NewSecret(fmt.Sprintf("refresh-%d", d.n))
	}
	if d.life > 0 {
		expires = time.Now().Add(d.life)
	}
	return connectors.NewSecret(fmt.Sprintf("access-%d", d.n)), expires, rotated, nil
}

func (d *diary) token() *Token {
	return NewToken(TokenOptions{Fetch: d.fetch, Vault: d, VaultKey: "microsoft", Initial: connectors.NewSecret("initial")})
}

func get(t *testing.T, token *Token) string {
	t.Helper()
	access, err := token.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return access.Reveal()
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, d.lines); diff != "" {
		t.Error(diff)
	}
}

func TestTokenIsCachedAndRotated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &diary{rotate: true, life: 10 * time.Minute}
		token := d.token()
		for _, step := range []struct {
			pass time.Duration
			want string
		}{{0, "access-1"}, {9*time.Minute - time.Nanosecond, "access-1"}, {time.Nanosecond, "access-2"}} {
			<-time.After(step.pass)
			if got := get(t, token); got != step.want {
				t.Errorf("after %s: %s, want %s", step.pass, got, step.want)
			}
		}
		token.Forget()
		if got := get(t, token); got != "access-3" {
			t.Errorf("after Forget: %s", got)
		}
		d.expect(t, "fetch with initial", "keep refresh-1", "fetch with refresh-1", "keep refresh-2", "fetch with refresh-2", "keep refresh-3")
	})
}

func TestTokenWithoutExpiry(t *testing.T) {
	t.Parallel()
	d := &diary{}
	token := d.token()
	if a, b := get(t, token), get(t, token); a != "access-1" || b != "access-1" {
		t.Errorf("got %s and %s", a, b)
	}
	d.expect(t, "fetch with initial")
}

func TestVaultWins(t *testing.T) {
	t.Parallel()
	d := &diary{kept: "kept"}
	get(t, d.token())
	d.expect(t, "fetch with kept")
}

// A person who replaces a revoked token in the settings is heard, though the vault still holds the old one.
func TestRevokedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	d := &diary{kept: "revoked", refused: map[string]bool{"revoked": true}}
	token := d.token()
	get(t, token)
	token.Forget()
	get(t, token)
	d.expect(t, "fetch with revoked", "fetch with initial", "keep initial", "fetch with initial")

	both := &diary{kept: "revoked", refused: map[string]bool{"revoked": true, "initial": true}}
	_, err := both.token().Get(t.Context())
	if e := fault(t, err); e.Class != connectors.ClassAuth || e.Error() != "sign in: refused <secret>" {
		t.Errorf("got %s: %v", e.Class, e)
	}
}

// Without a kept refresh token nobody gets the access token; once the vault works again nothing was lost.
func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	d := &diary{rotate: true, putErr: errors.New("disk is full")}
	token := d.token()
	for range 2 {
		access, err := token.Get(t.Context())
		if access.Reveal() != "" {
			t.Error("an access token was given out although its refresh token is not safe")
		}
		if e := fault(t, err); e.Error() != "keep the new refresh token in the vault: disk is full: <secret>" || !errors.Is(err, d.putErr) {
			t.Errorf("got %v", e)
		}
	}
	token.Forget()
	d.putErr = nil
	if got := get(t, token); got != "access-2" {
		t.Errorf("got %s", got)
	}
	d.expect(t, "fetch with initial", "refuse refresh-1", "refuse refresh-1", "keep refresh-1", "fetch with refresh-1", "keep refresh-2")
}

func TestVaultCannotBeRead(t *testing.T) {
	t.Parallel()
	d := &diary{getErr: errors.New("vault is locked")}
	_, err := d.token().Get(t.Context())
	if e := fault(t, err); e.Class != connectors.ClassTransient || !strings.Contains(e.Error(), "vault is locked") {
		t.Errorf("got %v", e)
	}
	d.expect(t)
}

func TestRotationWithoutVault(t *testing.T) {
	t.Parallel()
	d := &diary{rotate: true}
	token := NewToken(TokenOptions{Fetch: d.fetch})
	access, err := token.Get(t.Context())
	if err == nil || access.Reveal() != "" {
		t.Errorf("got %q, %v; want a refusal", access.Reveal(), err)
	}
}

// The rotated token is kept even when the caller gives up while the reply arrives.
func TestRotatedTokenSurvivesCancel(t *testing.T) {
	t.Parallel()
	d := &diary{rotate: true}
	ctx, cancel := context.WithCancel(t.Context())
	token := NewToken(TokenOptions{
		Fetch: func(ctx context.Context, refresh connectors.Secret) (connectors.Secret, time.Time, connectors.Secret, error) {
			cancel()
			return d.fetch(ctx, refresh)
		}, Vault: d, VaultKey: "microsoft", Initial: connectors.NewSecret("initial"),
	})
	if _, err := token.Get(ctx); err != nil {
		t.Fatal(err)
	}
	d.expect(t, "fetch with initial", "keep refresh-1")
}

func TestOneFetchAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		gate := make(chan struct{})
		token := NewToken(TokenOptions{
			Fetch: func(context.Context, connectors.Secret) (connectors.Secret, time.Time, connectors.Secret, error) {
				fetches.Add(1)
				<-gate
				return connectors.NewSecret("access"), time.Now().Add(time.Hour), connectors.Secret{}, nil
			},
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := get(t, token); got != "access" {
					t.Errorf("got %s", got)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		impatient := make(chan error)
		go func() { _, err := token.Get(ctx); impatient <- err }()
		synctest.Wait()
		cancel()
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled wait gave %v", err)
		}
		close(gate)
		wg.Wait()
		if fetches.Load() != 1 {
			t.Errorf("%d fetches", fetches.Load())
		}
	})
}

func TestNoAccessToken(t *testing.T) {
	t.Parallel()
	token := NewToken(TokenOptions{
		Fetch: func(context.Context, connectors.Secret) (a connectors.Secret, e time.Time, r connectors.Secret, err error) {
			return a, e, r, nil
		},
	})
	if _, err := token.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "gave no access token") {
		t.Errorf("got %v", err)
	}
}
