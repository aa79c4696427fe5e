package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// helpers work on the parts of a run as other daemons do: each with an engine and a store of its own, and told of nothing that its leader is told.
type helpers struct {
	engines []*engine.Engine
	began   func() // before the first part
	once    sync.Once
	working sync.WaitGroup

	mu     sync.Mutex
	ended  time.Time // the last part
	errors []error
}

// Spread implements engine.Spreader.
func (h *helpers) Spread(ctx context.Context, _ string, keys []string, part func(i, try int) engine.Part) ([]json.RawMessage, error) {
	h.once.Do(h.began)
	for i := range keys {
		h.working.Go(func() {
			_, err := h.engines[i%len(h.engines)].Work(context.Background(), part(i, 1))
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ended, h.errors = time.Now(), append(h.errors, err)
		})
	}
	<-ctx.Done() // the parts hang
	return make([]json.RawMessage, len(keys)), context.Cause(ctx)
}

// A run whose parts several daemons write is stopped by trueup runs stop within five seconds, although the PSA answers nobody; the writes in flight are
// finished when it does, and each is known.
func TestASpreadRunStops(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "trueup.db")
	if err := statetest.Blank(file); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.now = time.Now()
		store := func() *state.Store {
			s, err := state.Open(t.Context(), "sqlite:"+file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		o.engine.Store = store()
		o.item(premium + " P1Y monthly")
		for c := range 30 {
			tenant, domain := fmt.Sprintf("t-%02d", c), fmt.Sprintf("c%02d.example", c)
			o.tenant(tenant, "Customer "+tenant, domain)
			company := o.company("Customer "+tenant, domain)
			o.agreement(company)
			for s := range 4 {
				o.subscription(tenant, fmt.Sprintf("s-%02d-%d", c, s), int64(10+s), "P1Y")
			}
		}
		h := &helpers{}
		for range 2 {
			e := *o.engine
			e.Store = store()
			h.engines = append(h.engines, &e)
		}
		inParts := make(chan struct{})
		h.began = func() {
			o.misbehave(o.psa, memory.Slow, "")
			close(inParts)
		}
		o.engine.Spread = h

		type end struct {
			result engine.Result
			err    error
			at     time.Time
		}
		before := o.psa.TotalEffects()
		ended := make(chan end, 1)
		go func() {
			result, err := o.engine.Run(context.Background(), o.flow, engine.Options{Apply: true})
			ended <- end{result, err, time.Now()}
		}()
		<-inParts
		synctest.Wait() // every helper waits for an answer
		person := store()
		runs, err := person.Runs(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if err := person.RequestStop(t.Context(), runs[0].ID); err != nil {
			t.Fatal(err)
		}
		got := <-ended
		if took := got.at.Sub(asked); took > 5*time.Second || got.result.Run.State != state.RunStopped || !errors.Is(got.err, engine.ErrStopped) {
			t.Errorf("after %s the run is %s: %v", took, got.result.Run.State, got.err)
		}
		<-time.After(5*time.Second - time.Since(asked))
		synctest.Wait()
		inFlight := len(o.open(person))
		if inFlight != 3*o.engine.Workers { // three parts
			t.Errorf("%d writes are in flight", inFlight)
		}
		answered := time.Now()
		o.psa.Behave(memory.Slow)
		h.working.Wait()
		if took := h.ended.Sub(answered); took > 5*time.Second {
			t.Errorf("the parts ended %s after the PSA answered", took)
		}
		for _, err := range h.errors {
			if err == nil {
				t.Error("a part says that it came to its end")
			}
		}
		if open := o.open(person); len(open) > 0 {
			t.Errorf("writes in flight have no outcome: %v", open)
		}
		if n := o.psa.TotalEffects() - before; n != inFlight {
			t.Errorf("%d writes were in flight and %d were done", inFlight, n)
		}

		// The next run does the rest.
		o.engine.Spread = nil
		o.now = time.Now()
		o.sync()
		o.settled()
		billed := map[model.Value]int{}
		for _, line := range o.psa.Records("addition") {
			billed[line.Fields["custom.Vendor Subscription Id"]]++
		}
		if len(billed) != 120 || len(o.psa.Records("addition")) != 120 {
			t.Errorf("%d subscriptions are billed by %d lines, wanted 120 each", len(billed), len(o.psa.Records("addition")))
		}
	})
}

// open are the intents without an outcome.
func (o *office) open(s *state.Store) []state.Entry {
	o.t.Helper()
	entries, err := s.OpenIntents(context.Background(), "")
	if err != nil {
		o.t.Fatal(err)
	}
	return entries
}
