package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

var (
	soak = flag.Int("soak", 0, "how many random histories TestSoak lives through; 0 for a few")
	seed = flag.Uint64("soak.seed", 0, "the first seed of TestSoak; 0 for one of today with -soak, and always the same without")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *soak == 0 {
		// The build lives through the same histories each time; new ones are looked for by make soak.
		_ = flag.Set("rapid.seed", "1")
	}
	goleak.VerifyTestMain(m)
}

// folder is an empty folder for one history's store, in memory where the machine offers that: thousands of histories wait for no disk.
func folder() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "trueup-soak-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "trueup-soak-")
}

func live(h history) (figures, error) {
	dir, err := folder()
	if err != nil {
		return figures{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return playOut(dir, h)
}

// Histories that rapid makes up, and makes smaller when one fails.
func TestHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := draw(func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) })
		if _, err := live(h); err != nil {
			t.Fatalf("%v\n%s", err, h)
		}
	})
}

// Many histories, each of its own seed, on all cores; the figures are printed.
func TestSoak(t *testing.T) {
	t.Parallel()
	n, first, began := *soak, *seed, time.Now()
	switch {
	case n == 0:
		n, first = 30, max(first, 1)
	case first == 0:
		first = uint64(began.Unix()) * 1_000_000
	}
	var (
		mu    sync.Mutex
		total figures
		broke int
		group sync.WaitGroup
		next  = make(chan uint64)
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for s := range next {
				source := rand.New(rand.NewPCG(s, 0))
				h := draw(func(n int, _ string) int { return source.IntN(n) })
				f, err := live(h)
				mu.Lock()
				total.add(f)
				if err != nil {
					broke++
				}
				mu.Unlock()
				if err != nil {
					t.Errorf("seed %d: %v\n%s", s, err, h)
				}
			}
		})
	}
	for i := range n {
		next <- first + uint64(i)
	}
	close(next)
	group.Wait()
	if total.deaths == 0 || total.faults == 0 || total.opposed == 0 || total.effects == 0 {
		t.Errorf("these histories were too quiet to prove anything: %+v", total)
	}
	if *soak > 0 {
		fmt.Printf("%d histories in %s, first seed %d: killed %d times, %d faults\n", n, time.Since(began).Round(time.Second), first, total.deaths, total.faults)
		fmt.Printf("effects per intent: at most %d (%d intents, %d effects)\n", total.perIntent, total.intents, total.effects)
		fmt.Printf("lost unopposed edits: %d (%d edits of seats, %d opposed; %d subscriptions held or reported in the end)\n", total.lost, total.edits, total.opposed, total.reported)
		fmt.Printf("runs to settle: at most %d\n", total.runs)
		fmt.Printf("histories that broke a promise: %d\n", broke)
	}
}
