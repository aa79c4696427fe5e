package rest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// One refused request slows all of them.
func TestLimitSlowsEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var refused atomic.Bool
		var mu sync.Mutex
		var at []time.Duration
		c := offline(func(*http.Request) (*http.Response, error) {
			if refused.CompareAndSwap(false, true) {
				return answer(429, "", "Retry-After", "30"), nil
			}
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			return answer(200, "{}"), nil
		}, nil)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Do(t.Context(), Request{Path: "/first"}) })
		synctest.Wait()
		for range 5 {
			wg.Go(func() { _, _ = c.Do(t.Context(), Request{Path: "/other"}) })
		}
		wg.Wait()
		if len(at) != 6 || slices.Min(at) < 30*time.Second {
			t.Errorf("sent at %v, want 6 after 30s", at)
		}
	})
}

// A request that waits for the budget when the limit strikes waits for its end too.
func TestLimitReachesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var sent []time.Duration
		c := offline(func(*http.Request) (*http.Response, error) {
			sent = append(sent, time.Since(start))
			if len(sent) == 1 {
				<-time.After(59 * time.Second)
				return answer(429, "", "Retry-After", "90"), nil
			}
			return answer(200, "{}"), nil
		}, func(o *Options) { o.PerMinute, o.Retries = 1, -1 })
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.Do(t.Context(), Request{Path: "/first"}) })
		synctest.Wait()
		wg.Go(func() { _, _ = c.Do(t.Context(), Request{Path: "/second"}) })
		wg.Wait()
		if len(sent) != 2 || sent[1] < 149*time.Second {
			t.Errorf("sent at %v, want the second not before 2m29s", sent)
		}
	})
}

func TestPacing(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []int{1, 7, 60, 200, 1000} {
		t.Run(fmt.Sprint(perMinute), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var mu sync.Mutex
				var at []time.Duration
				c := offline(func(*http.Request) (*http.Response, error) {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Since(start))
					return answer(200, "{}"), nil
				}, func(o *Options) { o.PerMinute, o.Parallel = perMinute, 4 })
				total := perMinute*3 + 1
				var wg sync.WaitGroup
				for range total {
					wg.Go(func() {
						if _, err := c.Do(t.Context(), Request{Path: "/things"}); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				slices.Sort(at)
				// Full minutes are filled to the budget, and no window of a minute holds more than the budget.
				if at[total-1] < 3*time.Minute || at[total-1] > 3*time.Minute+10*time.Second && perMinute > 1 {
					t.Errorf("%d requests took %s", total, at[total-1])
				}
				for i := perMinute; i < total; i++ {
					if window := at[i] - at[i-perMinute]; window < time.Minute {
						t.Fatalf("requests %d to %d were sent within %s", i-perMinute, i, window)
					}
				}
			})
		})
	}
}

func TestParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		c := offline(func(*http.Request) (*http.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			if n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Second)
			return answer(200, "{}"), nil
		}, func(o *Options) { o.Parallel = 3 })
		start := time.Now()
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() { _, _ = c.Do(t.Context(), Request{Path: "/things"}) })
		}
		wg.Wait()
		if most.Load() != 3 || time.Since(start) != 3*time.Second {
			t.Errorf("%d at once in %s, want 3 at once in 3s", most.Load(), time.Since(start))
		}
	})
}
