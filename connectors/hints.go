package connectors

import (
	"context"
	"net/http"
	"time"
)

// Hinter verifies messages that a system sends by itself (webhooks) and tells where they say that something moved. A hint decides nothing: it
// says where to look sooner than the schedule would, and what is found there is read as always.
type Hinter interface {
	// Hints believes only a message that the system signed, for this account, and that is not too old. Nothing in it is followed before
	// that is shown, except an address on a host that the account names, where the means to show it are. ClassAuth: the signature, its
	// certificate or key is not the system's. ClassInvalid: it is no message, too old, or of another account. ClassTransient and
	// ClassLimited: it cannot be verified now.
	Hints(ctx context.Context, m Message) (Told, error)
}

// Message is an HTTP request that came in. Header and Body are as they came.
type Message struct {
	Header http.Header
	Body   []byte
}

// Told is what a verified message says.
type Told struct {
	ID     string    // the same for copies of the message, and for no other
	Until  time.Time // from then on a copy is refused for its age, so that ID need not be remembered any longer
	Again  bool      // what it tells is so young that a message like it may be about another edit in the same second: a copy is followed as well
	Places []Ref     // where to look; ID is empty for everything of the kind under the parent. None when the message is about something else
}

// Watcher asks a system where something moved, by one cheap request, for those places of which the system sends no messages.
type Watcher interface {
	// Watch tells where something moved since it was last asked; the first time it only remembers how things stand. It may tell of a place
	// twice, and may miss one: the change feed tells all. ClassInvalid: this system does not show it, and asking on is of no use.
	Watch(ctx context.Context) ([]Ref, error)
}

// Registrar has a system send its messages.
type Registrar interface {
	// Register looks at what the system has registered, says what is to be done so that the messages that Hints understands are sent to
	// an address (or are not any more), and does it unless Dry. What others registered is left as it is. It returns how things then stand; doing
	// it again does nothing.
	Register(ctx context.Context, r Registration) (Registered, error)
}

// Registration asks for messages.
type Registration struct {
	URL    string // where the system reaches us
	Remove bool   // no messages to it any more
	Dry    bool   // only say what would be done
	Key    string // idempotency key of the write; not needed when Dry
}

// Registered is what is registered and what was done, or would be.
type Registered struct {
	Hooks []Hook
	Steps []string // in words; none when all is as asked for
}

// Hook is one address to which the system sends messages.
type Hook struct {
	ID     string
	URL    string
	About  []string // the system's names of what it tells
	Active bool
	Ours   bool // it is the address that was asked about
}
