//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sooner measures how long it takes from an edit of a line in the PSA until the vendor shows it, through a daemon: with callbacks, with a glance each
// second, and with the schedule alone, each answer 20 ms late.
func (b *bench) sooner(ctx context.Context, p *part) error {
	for _, way := range []struct {
		name, hints, schedule, aim string
		edits                      int
		flags                      []string
	}{
		{"callbacks", "url: %q", "*/5 * * * *", "p99 0.5 s", 60, []string{"--addition-callbacks"}},
		{"a glance each second", "every: 1s", "*/5 * * * *", "p99 1.5 s", 20, nil},
		{"the schedule alone", "", "* * * * *", "65 s", 2, nil},
	} {
		took, writes, err := b.follow(ctx, way.name, way.hints, way.schedule, way.edits, way.flags)
		if err != nil {
			return err
		}
		slices.Sort(took)
		at := func(percent int) time.Duration {
			return took[min(len(took)*percent/100, len(took)-1)].Round(time.Millisecond)
		}
		p.note("sooner: %d edits in the PSA, followed by %s: p50 %s, p90 %s, p99 %s, longest %s (aim %s); %d vendor writes",
			len(took), way.name, at(50), at(90), at(99), at(100), way.aim, writes)
	}
	p.note("sooner: 60 customers x 4, 20 ms latency, two edits in three seconds; the floor of a vendor write is three requests, 60 ms. One request a second finds edited agreements.")
	return nil
}

// follow makes edits one after the other and waits for each.
func (b *bench) follow(ctx context.Context, name, hints, schedule string, edits int, flags []string) (took []time.Duration, writes int, err error) {
	folder := "sooner-" + strings.ReplaceAll(name, " ", "-")
	s, err := b.start(ctx, folder, noBudget, append([]string{"--customers", "60", "--subscriptions", "4", "--latency", "20ms"}, flags...)...)
	if err != nil {
		return nil, 0, err
	}
	defer s.stop()
	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	listen := free.Addr().String()
	_ = free.Close()
	if err := change(s.config, "accounts:\n", "listen: "+listen+"\naccounts:\n"); err != nil {
		return nil, 0, err
	}
	if strings.Contains(hints, "%q") {
		hints = fmt.Sprintf(hints, "http://"+listen+"/hooks/psa")
	}
	if hints != "" {
		if err := change(s.config, "  psa:\n", "  psa:\n    hints: {"+hints+"}\n"); err != nil {
			return nil, 0, err
		}
	}
	if err := change(strings.Replace(s.config, "trueup.yaml", "flow.yaml", 1), "mode: write\n", fmt.Sprintf("mode: write\nschedule: %q\n", schedule)); err != nil {
		return nil, 0, err
	}
	for range 3 {
		if _, _, err := b.again(ctx, s); err != nil {
			return nil, 0, err
		}
	}
	if strings.HasPrefix(hints, "url") {
		if _, err := b.trueup(ctx, s.env, "-c", s.config, "hooks", "add", "psa", "--yes"); err != nil {
			return nil, 0, err
		}
	}
	pairs, err := b.pairs(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	daemon := exec.CommandContext(ctx, b.binary, "-c", s.config, "run") //nolint:gosec // the program just built
	daemon.Env = append(os.Environ(), s.env...)
	if err := daemon.Start(); err != nil {
		return nil, 0, err
	}
	defer func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
	}()
	if err := pause(ctx, 10*time.Second); err != nil { // it reads everything anew at first
		return nil, 0, err
	}
	if _, err := s.requests(ctx); err != nil {
		return nil, 0, err
	}
	for n := range edits {
		pair := &pairs[n%len(pairs)]
		pair.seats++
		began := time.Now()
		edit := map[string]any{"side": "psa", "kind": "addition", "id": pair.psa, "set": map[string]int{"quantity": pair.seats}}
		if err := s.control(ctx, http.MethodPost, "/v1/edit", edit, nil); err != nil {
			return nil, 0, err
		}
		for {
			var sub struct {
				Quantity int `json:"quantity"`
			}
			if err := s.control(ctx, http.MethodGet, "/v1/state/vendor/subscription/"+pair.vendor, nil, &sub); err != nil {
				return nil, 0, err
			}
			if sub.Quantity == pair.seats {
				break
			}
			if time.Since(began) > 3*time.Minute {
				return nil, 0, fmt.Errorf("edit %d, %s: the vendor did not follow within three minutes", n, name)
			}
			if err := pause(ctx, 2*time.Millisecond); err != nil {
				return nil, 0, err
			}
		}
		took = append(took, time.Since(began))
		if err := pause(ctx, 1500*time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
	writes, err = s.vendorWrites(ctx)
	return took, writes, err
}

// vendorWrites counts what was sent to the vendor to change something.
func (s *sandbox) vendorWrites(ctx context.Context) (n int, err error) {
	var log []struct{ Side, Method, Path string }
	if err := s.control(ctx, http.MethodGet, "/v1/requests", nil, &log); err != nil {
		return 0, err
	}
	for _, r := range log {
		if r.Side == "vendor" && r.Method == http.MethodPatch {
			n++
		}
	}
	return n, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change replaces a text in a file, once.
func change(file, from, to string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("%s does not hold %q", file, from)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o600) //nolint:gosec // a file of our own folder
}
