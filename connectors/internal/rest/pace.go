package rest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// pacer gives requests their turn: a slot in flight, then the end of any hold, then a token of the budget.
type pacer struct {
	slots   chan struct{} // nil for no cap
	budget  *rate.Limiter // nil for no budget
	ceiling time.Duration

	mu    sync.Mutex
	until time.Time
}

// newPacer allows perMinute requests in any minute. A token bucket lets a burst through on top of its rate, so the rate is
// lowered by what the burst may add; the microsecond keeps rounding on the slow side.
func newPacer(perMinute, parallel int, ceiling time.Duration) *pacer {
	p := &pacer{ceiling: ceiling}
	if parallel > 0 {
		p.slots = make(chan struct{}, parallel)
	}
	if perMinute > 0 {
		burst := min(max(perMinute/20, 1), 5)
		p.budget = rate.NewLimiter(rate.Every(time.Minute/time.Duration(perMinute-burst+1)+time.Microsecond), burst)
	}
	return p
}

// heldError says that the system asked for a longer pause than is slept.
type heldError struct{ wait time.Duration }

func (e *heldError) Error() string {
	return fmt.Sprintf("the system asked to wait another %s", e.wait.Round(time.Second))
}

// enter waits for a turn; leave ends it. The error is a *heldError or wraps that of ctx.
func (p *pacer) enter(ctx context.Context) (leave func(), err error) {
	leave = func() {}
	if p.slots != nil {
		select {
		case p.slots <- struct{}{}:
			leave = func() { <-p.slots }
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := p.turn(ctx); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// turn takes a token and looks again for a hold: tokens taken before a hold and used together after it would be a burst.
func (p *pacer) turn(ctx context.Context) error {
	for {
		if err := p.waitForHold(ctx); err != nil {
			return err
		}
		if p.budget != nil {
			if err := p.budget.Wait(ctx); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return fmt.Errorf("the request budget leaves no turn in time: %w", context.DeadlineExceeded)
			}
		}
		if p.held() <= 0 {
			return ctx.Err()
		}
	}
}

func (p *pacer) waitForHold(ctx context.Context) error {
	for {
		wait := p.held()
		if wait <= 0 {
			return nil
		}
		// A hold carries up to a second of jitter above what was asked.
		if wait > p.ceiling+time.Second {
			return &heldError{wait}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (p *pacer) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.until)
}

// hold lets nothing start for a while; a longer hold stays.
func (p *pacer) hold(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(wait); until.After(p.until) {
		p.until = until
	}
}
