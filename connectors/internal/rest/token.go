package rest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// TokenOptions describe how one account signs in.
type TokenOptions struct {
	// Fetch trades a refresh token (empty when the system uses none) for an access token, when it expires (zero: it is used
	// until Forget), and the refresh token that replaces the one given (empty: it stays).
	Fetch func(ctx context.Context, refresh connectors.Secret) (access connectors.Secret, expires time.Time, rotated connectors.Secret, err error)
	// Vault keeps the rotated refresh token under VaultKey. What it holds wins over Initial; when the system refuses that
	// one and Initial is another, Initial is tried, so that a person can replace a revoked token in the settings.
	Vault    connectors.Vault
	VaultKey string
	Initial  connectors.Secret
	Now      func() time.Time
}

// Token gives access tokens and keeps them fresh. A rotated refresh token is in the vault before the access token that came
// with it is given to anybody: being stopped in between costs a sign-in, not the account. It is safe for concurrent use.
type Token struct {
	o    TokenOptions
	turn chan struct{} // held by the one who fetches; a channel, so that waiting ends with a context

	mu      sync.Mutex
	access  connectors.Secret
	expires time.Time

	unsaved connectors.Secret // rotated, but the vault refused it; guarded by turn
}

// early is how long before its expiry an access token is replaced.
const early = 60 * time.Second

// NewToken makes a token; nothing is fetched.
func NewToken(o TokenOptions) *Token {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Token{o: o, turn: make(chan struct{}, 1)}
}

// Get returns an access token that is good for another minute. One fetch is made at a time and shared by all who wait. Every
// error is a *connectors.Error without secrets.
func (t *Token) Get(ctx context.Context) (connectors.Secret, error) {
	if access, ok := t.cached(); ok {
		return access, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return connectors.Secret{}, t.fault(ctx.Err(), "wait for a sign-in")
	}
	if access, ok := t.cached(); ok {
		return access, nil
	}
	return t.fetch(ctx)
}

// Forget drops the access token, after the system refused it. The refresh token stays.
func (t *Token) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.access, t.expires = connectors.Secret{}, time.Time{}
}

func (t *Token) cached() (connectors.Secret, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access.Reveal() == "" || !t.expires.IsZero() && !t.o.Now().Before(t.expires.Add(-early)) {
		return connectors.Secret{}, false
	}
	return t.access, true
}

// fetch signs in. The caller holds the turn.
func (t *Token) fetch(ctx context.Context) (connectors.Secret, error) {
	if t.unsaved.Reveal() != "" {
		if err := t.save(ctx); err != nil {
			return connectors.Secret{}, err
		}
	}
	refresh, fromVault := t.o.Initial, false
	if t.o.Vault != nil && t.o.VaultKey != "" {
		kept, found, err := t.o.Vault.Get(ctx, t.o.VaultKey)
		if err != nil {
			return connectors.Secret{}, t.fault(err, "read the refresh token from the vault")
		}
		if found && kept.Reveal() != "" {
			refresh, fromVault = kept, true
		}
	}
	access, expires, rotated, err := t.o.Fetch(ctx, refresh)
	if connectors.ClassOf(err) == connectors.ClassAuth && fromVault && t.o.Initial.Reveal() != "" && t.o.Initial != refresh {
		again, until, next, errInitial := t.o.Fetch(ctx, t.o.Initial)
		if errInitial == nil {
			access, expires, rotated, err = again, until, next, nil
			if rotated.Reveal() == "" {
				rotated = t.o.Initial // the vault's is useless now
			}
		}
	}
	if err != nil {
		return connectors.Secret{}, t.fault(err, "sign in", refresh, access, rotated)
	}
	if access.Reveal() == "" {
		return connectors.Secret{}, t.fault(errors.New("the system gave no access token"), "sign in")
	}
	if rotated.Reveal() != "" && rotated != refresh {
		t.unsaved = rotated
		if err := t.save(ctx); err != nil {
			return connectors.Secret{}, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.access, t.expires = access, expires
	return access, nil
}

// save puts the rotated token into the vault, even while ctx ends: the old one may no longer work. One that was refused is
// kept and tried again by the next Get, before anything else.
func (t *Token) save(ctx context.Context) error {
	const op = "keep the new refresh token in the vault"
	if t.o.Vault == nil || t.o.VaultKey == "" {
		return t.fault(errors.New("there is no vault"), op, t.unsaved)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if err := t.o.Vault.Put(ctx, t.o.VaultKey, t.unsaved); err != nil {
		return t.fault(err, op, t.unsaved)
	}
	t.unsaved = connectors.Secret{}
	return nil
}

// fault makes an error that names the step and holds none of the tokens. An error of a connector keeps its own words.
func (t *Token) fault(err error, op string, tokens ...connectors.Secret) error {
	cut := newCutter(append(tokens, t.o.Initial))
	var inner *connectors.Error
	if errors.As(err, &inner) {
		copied := *inner
		if copied.Op == "" {
			copied.Op = op
		}
		return cut.fault(&copied)
	}
	return cut.fault(&connectors.Error{Class: connectors.ClassTransient, Op: op, Message: causeText(err), Err: err})
}
