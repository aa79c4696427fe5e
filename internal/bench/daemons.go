//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// serverVariable names the PostgreSQL server that daemons share, as in the tests.
const serverVariable = "TRUEUP_TEST_POSTGRES"

// daemons lets one, two and three daemons on a PostgreSQL database do the same first day: both accounts are discovered, and the flow runs once.
func (b *bench) daemons(ctx context.Context, p *part) error {
	server := os.Getenv(serverVariable)
	if server == "" {
		p.note("daemons: NOT MEASURED, because %s names no server; see .ci/postgres", serverVariable)
		return nil
	}
	const customers, subscriptions = 200, 5
	for n := 1; n <= 3; n++ {
		f, t, err := b.firstDay(ctx, server, n, customers, subscriptions)
		if err != nil {
			return fmt.Errorf("with %d daemons: %w", n, err)
		}
		p.add(row{what: fmt.Sprintf("first day, %d customers x %d, daemons: %d", customers, subscriptions, n), aim: "-", traffic: &t,
			ratio: f.wall.Seconds() / (float64(max(t.vendor, t.psa)) / perSecond), records: customers * subscriptions, figures: f})
	}
	p.note("daemons: 20 ms latency, %d requests/s for each side, shared by all daemons. The floor is what the requests of the busier side take at that budget: the budget is", perSecond)
	p.note("  the limit and not the processors, so more daemons do not make it faster. CPU is that of all daemons together, without the server's; memory that of the largest.")
	return nil
}

// firstDay runs n daemons until both accounts are discovered and the flow ran.
func (b *bench) firstDay(ctx context.Context, server string, n, customers, subscriptions int) (f figures, t traffic, err error) {
	dsn, drop, err := statetest.Schema(ctx, server, fmt.Sprintf("bench_%d_%d", os.Getpid(), n))
	if err != nil {
		return f, t, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	s, err := b.start(ctx, fmt.Sprintf("daemons-%d", n), perSecond*60, "--customers", fmt.Sprint(customers), "--subscriptions", fmt.Sprint(subscriptions), "--latency", "20ms",
		"--vendor-budget", fmt.Sprint(perSecond*60), "--psa-budget", fmt.Sprint(perSecond*60))
	if err != nil {
		return f, t, err
	}
	defer s.stop()
	text, err := os.ReadFile(s.config)
	if err != nil {
		return f, t, err
	}
	changed := strings.Replace(string(text), "state: sqlite:trueup.db", "state: ${env:STATE}", 1)
	if err := writeAll(filepath.Dir(s.config), map[string]string{filepath.Base(s.config): changed}); err != nil {
		return f, t, err
	}
	store, err := state.Open(ctx, dsn) // the tables are there before it begins
	if err != nil {
		return f, t, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := s.requests(ctx); err != nil {
		return f, t, err
	}
	began := time.Now()
	var procs []*exec.Cmd
	var words []*bytes.Buffer
	for range n {
		c := exec.CommandContext(ctx, b.binary, "-c", s.config, "run") //nolint:gosec // the program just built
		c.Env = append(append(os.Environ(), s.env...), "STATE="+dsn)
		said := &bytes.Buffer{}
		if c.Stderr = said; c.Start() != nil {
			err = errors.New("start a daemon")
			break
		}
		procs, words = append(procs, c), append(words, said)
	}
	if err == nil {
		err = dayEnds(ctx, store)
	}
	f.wall = time.Since(began)
	for i, c := range procs {
		err = errors.Join(err, c.Process.Signal(syscall.SIGTERM))
		if ended := c.Wait(); ended != nil {
			err = errors.Join(err, fmt.Errorf("daemon %d: %w\n%s", i+1, ended, words[i]))
		}
		f.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		f.peak = max(f.peak, peakOf(c))
	}
	if err != nil {
		return f, t, err
	}
	t, err = s.requests(ctx)
	return f, t, err
}

// peakOf is the largest resident set of an ended process, in bytes.
func peakOf(c *exec.Cmd) int64 {
	usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return usage.Maxrss
	}
	return usage.Maxrss << 10 // everybody else counts in KiB
}

// dayEnds waits until both accounts are discovered and the flow ran, and refuses runs that went wrong.
func dayEnds(ctx context.Context, store *state.Store) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		ended := 0
		for _, want := range []struct {
			kind state.RunKind
			name string
		}{{state.RunDiscovery, "microsoft"}, {state.RunDiscovery, "psa"}, {state.RunFlow, "bench"}} {
			run, ran, err := store.LastRun(ctx, want.kind, want.name)
			switch {
			case err != nil:
				return err
			case ran && (run.State == state.RunError || run.State == state.RunStopped):
				return fmt.Errorf("%s %s ended %s: %s", want.kind, want.name, run.State, run.Reason)
			case ran && run.State != state.RunInProgress:
				ended++
			}
		}
		if ended == 3 {
			return nil
		}
	}
}
