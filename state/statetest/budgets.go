package statetest

import (
	"testing"
	"time"
)

func budgets(t *testing.T, b *bench) {
	ctx := t.Context()
	other := b.open(by(b.clock.Now)...)
	wait, hold, sharers, err := b.Turns("psa").Take(ctx, 10, time.Minute)
	ok(t, err)
	equal(t, "the first", []any{wait, hold, sharers}, []any{time.Duration(0), time.Duration(0), 1})
	wait, _, _, err = other.Turns("psa").Take(ctx, 1, time.Minute)
	ok(t, err)
	equal(t, "the wait of another process", wait, 10*time.Minute)
	wait, _, _, err = b.Turns("psa").Take(ctx, 1, time.Minute)
	ok(t, err)
	equal(t, "the wait behind both", wait, 11*time.Minute)
	wait, _, _, err = b.Turns("microsoft").Take(ctx, 1, time.Minute)
	ok(t, err)
	equal(t, "another account", wait, time.Duration(0))
}

func budgetsHeld(t *testing.T, b *bench) {
	ctx := t.Context()
	ok(t, b.Turns("psa").Hold(ctx, 10*time.Minute))
	ok(t, b.Turns("psa").Hold(ctx, time.Minute)) // a longer one stays
	wait, hold, _, err := b.open(by(b.clock.Now)...).Turns("psa").Take(ctx, 1, time.Second)
	ok(t, err)
	equal(t, "the wait", wait, 10*time.Minute)
	equal(t, "the hold", hold, 10*time.Minute)
}
