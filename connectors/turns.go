package connectors

import (
	"context"
	"sync"
	"time"
)

// Turns is an account's request budget where several processes share it.
type Turns interface {
	// Take reserves n turns that follow each other by interval. wait is how long it is until the first, hold how long the system
	// still wants to be left alone, and sharers among how many processes what may be in flight is divided.
	Take(ctx context.Context, n int, interval time.Duration) (wait, hold time.Duration, sharers int, err error)
	// Hold lets no process send for a while.
	Hold(ctx context.Context, wait time.Duration) error
}

type permitKey struct{}

// permit is the right to begin a write. It wears off, as the process may be suspended and taken for dead at any instruction.
type permit struct {
	life time.Duration
	ask  func(context.Context) error

	mu      sync.Mutex
	granted time.Time
}

// WithPermit says that writes may begin for life from granted on; after that ask decides anew.
func WithPermit(ctx context.Context, granted time.Time, life time.Duration, ask func(context.Context) error) context.Context {
	return context.WithValue(ctx, permitKey{}, &permit{life: life, ask: ask, granted: granted})
}

// Permitted says whether a write may begin now; who sends asks right before it does, and sends nothing after an error. Without
// WithPermit everything is permitted.
func Permitted(ctx context.Context) error {
	p, ok := ctx.Value(permitKey{}).(*permit)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	// The monotonic clock may stand still while a machine sleeps; the clock on the wall may be set. Either is reason enough to ask.
	if now.Sub(p.granted) < p.life && now.Round(0).Sub(p.granted.Round(0)).Abs() < p.life {
		return nil
	}
	if err := p.ask(ctx); err != nil {
		return err
	}
	p.granted = now
	return nil
}
