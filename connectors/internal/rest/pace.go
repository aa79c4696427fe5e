package rest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/trueup-sync/trueup/connectors"
)

// pacer gives requests their turn: a slot in flight, then the end of any hold, then a token of the budget.
type pacer struct {
	slots   *semaphore.Weighted // nil for no cap
	size    int64
	budget  budget // nil for none
	turns   connectors.Turns
	ceiling time.Duration
	sharers atomic.Int64 // processes among which the slots are divided

	mu    sync.Mutex
	until time.Time
}

// budget is what paces requests.
type budget interface {
	Wait(ctx context.Context) error
}

// newPacer allows perMinute requests in any minute. A token bucket lets a burst through on top of its rate, so the rate is
// lowered by what the burst may add; the microsecond keeps rounding on the slow side.
func newPacer(perMinute, parallel int, ceiling time.Duration, turns connectors.Turns) *pacer {
	p := &pacer{ceiling: ceiling, size: int64(parallel)}
	p.sharers.Store(1)
	if parallel > 0 {
		p.slots = semaphore.NewWeighted(p.size)
	}
	if perMinute <= 0 {
		return p
	}
	burst := min(max(perMinute/20, 1), 5)
	interval := time.Minute/time.Duration(perMinute-burst+1) + time.Microsecond
	if turns == nil {
		p.budget = rate.NewLimiter(rate.Every(interval), burst)
		return p
	}
	p.turns = turns
	p.budget = &reserved{pacer: p, interval: interval, size: max(1, perMinute/60), late: time.Duration(burst) * interval}
	return p
}

// reserved are turns of a shared budget, taken for about a second at a time. One that is not used in time is lost: turns saved up and
// used together would be a burst on top of those of other processes.
type reserved struct {
	pacer    *pacer
	interval time.Duration
	size     int
	late     time.Duration // how late a turn may be used

	mu   sync.Mutex
	next time.Time
	left int
}

// Wait waits for the next turn.
func (r *reserved) Wait(ctx context.Context) error {
	turn, err := r.take(ctx)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && turn.After(deadline) {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(time.Until(turn))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reserved) take(ctx context.Context) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for now := time.Now(); r.left > 0 && r.next.Add(r.late).Before(now); r.left-- {
		r.next = r.next.Add(r.interval)
	}
	if r.left == 0 {
		wait, hold, sharers, err := r.pacer.turns.Take(ctx, r.size, r.interval)
		if err != nil {
			return time.Time{}, fmt.Errorf("no turn could be taken: %w", err)
		}
		r.pacer.sharers.Store(int64(max(1, sharers)))
		if hold > 0 {
			r.pacer.holdHere(hold)
			return time.Time{}, nil // whoever waits looks at the hold first, and takes a turn after it
		}
		r.next, r.left = time.Now().Add(wait), r.size
	}
	turn := r.next
	r.next, r.left = r.next.Add(r.interval), r.left-1
	return turn, nil
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
		share := min(p.size, p.sharers.Load())
		if err := p.slots.Acquire(ctx, share); err != nil {
			return nil, err
		}
		leave = func() { p.slots.Release(share) }
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
				if p.turns != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
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

// hold lets nothing start for a while, in any process.
func (p *pacer) hold(wait time.Duration) {
	p.holdHere(wait)
	if p.turns != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.turns.Hold(ctx, wait) // this process waits in any case; the others are told by the system itself
	}
}

// holdHere lets nothing start in this process for a while; a longer hold stays.
func (p *pacer) holdHere(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(wait); until.After(p.until) {
		p.until = until
	}
}
