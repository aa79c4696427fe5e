package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Secret is a text that never shows itself: it prints as <secret> and refuses to be marshalled. The text stands behind a
// pointer because fmt does not ask Format of unexported fields: a printed struct that holds a Secret shows an address.
type Secret struct{ text *string }

// NewSecret wraps a secret text; the empty text is the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// Reveal gives the text to the one place that sends it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format prints <secret> for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }

// MarshalText always fails: a secret is never written out.
func (s Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("a secret cannot be marshalled")
}

// Account is everything a connector is made from.
type Account struct {
	Name     string            // the name in trueup.yaml; it appears in every error
	Settings map[string]string // plain settings, defaults filled in
	Secrets  map[string]Secret // secret settings
	Vault    Vault             // where rotated tokens are kept; never nil
	Budget   Budget            // requests the account may make; zero means the descriptor's limits
	Turns    Turns             // the budget where other processes share it; nil when this one is alone
	HTTP     *http.Client      // transport for tests and the sandbox's own CA; nil for the default
	Log      *zap.Logger       // never nil
	Now      func() time.Time  // never nil
	Location *time.Location    // the billing time zone of trueup.yaml; never nil
	Observe  func(Exchange)    // told of every request that was sent, from many goroutines; nil for nobody
}

// Exchange is one request that was sent and what came of it. It names no record and no address, so that it may be counted
// and shown.
type Exchange struct {
	Class     Class         // of the failure; "" when it succeeded
	Took      time.Duration // until the last byte of the reply, or until it was given up
	PerMinute int           // the budget it counts against, in requests a minute; 0 when it counts against none
}

// Budget overrides a descriptor's limits; zero leaves one as it is.
type Budget struct {
	PerMinute int `json:"per_minute"` // requests a minute
	Parallel  int `json:"parallel"`   // requests in flight
}

// Or fills in what is not set from a descriptor's limits.
func (b Budget) Or(l Limits) Budget {
	if b.PerMinute <= 0 {
		b.PerMinute = l.PerMinute
	}
	if b.Parallel <= 0 {
		b.Parallel = l.Parallel
	}
	return b
}

// Vault keeps secrets that a system replaces while we run, such as rotated refresh tokens. Put returns only when the
// value is safely stored.
type Vault interface {
	Get(ctx context.Context, name string) (Secret, bool, error)
	Put(ctx context.Context, name string, value Secret) error
}

// PasswordKey is the name under which a vault keeps the user name and the password, with a blank between them, of the first administrator
// of a customer that an account made. A vendor tells them once.
func PasswordKey(account, customer string) string {
	return account + ".first_password." + strings.ToLower(customer)
}

// System is an entry of the list in connectors/all.
type System struct {
	Descriptor Descriptor
	New        func(Account) (Connector, error)
}
