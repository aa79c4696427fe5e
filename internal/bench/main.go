// Command bench measures trueup and prints figures; it asserts nothing. `make bench` runs it.
//
// What is measured is the built program, as its own process, so that time, processor seconds and peak memory are trueup's alone.
// The sandbox is another process; its control API counts the requests that reached it. Machines are noisy: ratios and counts say more
// than seconds.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a folder with the built program in it.
type bench struct{ dir, binary string }

// run measures the named parts, or all. The folder is removed unless it was asked for.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	keep := flags.String("keep", "", "work in this folder and leave everything there, to look into a figure")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench [-keep folder] [plan] [first] [quiet] [changes] [scan]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	only, dir := flags.Args(), *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "trueup-bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	b := &bench{dir: dir, binary: filepath.Join(dir, "trueup")}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/trueup") //nolint:gosec // a folder of our own
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build trueup: %w", err)
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{{"plan", b.planning}, {"first", b.firstSync}, {"quiet", b.quiet}, {"changes", b.changes}, {"scan", b.scan}} {
		if len(only) > 0 && !slices.Contains(only, part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// figures are what one process used.
type figures struct {
	wall   time.Duration
	cpu    time.Duration
	peak   int64 // bytes
	stdout string
}

func (f figures) String() string {
	return fmt.Sprintf("%.1f s wall, %.1f s CPU, %d MiB peak", f.wall.Seconds(), f.cpu.Seconds(), f.peak>>20)
}

// trueup runs the program and measures it. Exit code 3, something held for a person, is no failure.
func (b *bench) trueup(ctx context.Context, env []string, args ...string) (figures, error) {
	command := exec.CommandContext(ctx, b.binary, args...) //nolint:gosec // the program just built
	command.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	start := time.Now()
	err := command.Run()
	f := figures{wall: time.Since(start), stdout: out.String()}
	if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.peak, f.cpu = usage.Maxrss<<10, command.ProcessState.UserTime()+command.ProcessState.SystemTime()
	}
	if err != nil && command.ProcessState.ExitCode() != 3 {
		return f, fmt.Errorf("trueup %s: %w\n%s%s", strings.Join(args, " "), err, errs.String(), out.String())
	}
	return f, nil
}

// sandbox is a running one.
type sandbox struct {
	Control string            `json:"control"`
	Env     map[string]string `json:"env"`
	Vendor  side              `json:"vendor"`
	PSA     side              `json:"psa"`

	config string
	env    []string
	stop   func()
}

type side struct {
	System   string            `json:"system"`
	Settings map[string]string `json:"settings"`
}

// start starts a sandbox and writes a configuration for it, with budget requests a minute for each side.
func (b *bench) start(ctx context.Context, name string, budget int, flags ...string) (*sandbox, error) {
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, b.binary, append([]string{"sandbox"}, flags...)...) //nolint:gosec // the program just built
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	stdout, err := command.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := command.Start(); err != nil {
		cancel()
		return nil, err
	}
	s := &sandbox{stop: func() { cancel(); _ = command.Wait() }}
	if err := json.NewDecoder(stdout).Decode(s); err != nil {
		s.stop()
		return nil, fmt.Errorf("read the sandbox's addresses: %w", err)
	}
	for name, value := range s.Env {
		s.env = append(s.env, name+"="+value)
	}
	folder := filepath.Join(b.dir, name)
	var yaml strings.Builder
	yaml.WriteString("version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\naccounts:\n")
	for account, side := range map[string]side{"microsoft": s.Vendor, "psa": s.PSA} {
		fmt.Fprintf(&yaml, "  %s:\n    system: %s\n    budget: {per_minute: %d, parallel: 8}\n    settings:\n", account, side.System, budget)
		for key, value := range side.Settings {
			fmt.Fprintf(&yaml, "      %s: %q\n", key, value)
		}
	}
	yaml.WriteString("flows: [flow.yaml]\n")
	s.config = filepath.Join(folder, "trueup.yaml")
	if err := writeAll(folder, map[string]string{"trueup.yaml": yaml.String(), "flow.yaml": flow}); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func writeAll(folder string, files map[string]string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// flow lets everything through, so that nothing but the work is measured.
const flow = `version: 1
flow: bench
vendor: microsoft
psa: psa
mode: write
customers: {missing: {psa: propose, vendor: ignore}}
products:  {missing: {psa: create}}
contracts: {type: Cloud Services, missing: {psa: create}}
lines:
  first: vendor
  missing: {psa: create}
  fields:
    quantity:   {owner: both, conflict: vendor}
    unit_cost:  {owner: vendor}
    unit_price: {owner: psa}
guards:
  per_customer: {share: 100%}
  per_run:      {share: 100%}
`

// traffic counts requests by side; sign-in is part of it.
type traffic struct{ vendor, psa, writes int }

func (t traffic) String() string {
	return fmt.Sprintf("%d requests (%d vendor, %d PSA), %d of them writes", t.vendor+t.psa, t.vendor, t.psa, t.writes)
}

// requests returns what reached the sandbox since the last call.
func (s *sandbox) requests(ctx context.Context) (traffic, error) {
	var log []struct{ Side, Method, Path string }
	var t traffic
	if err := s.control(ctx, http.MethodGet, "/v1/requests", nil, &log); err != nil {
		return t, err
	}
	for _, r := range log {
		if r.Side == "vendor" {
			t.vendor++
		} else {
			t.psa++
		}
		if r.Method != http.MethodGet && !strings.Contains(r.Path, "oauth2") {
			t.writes++
		}
	}
	return t, s.control(ctx, http.MethodDelete, "/v1/requests", nil, nil)
}

func (s *sandbox) control(ctx context.Context, method, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, s.Control+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode >= 300:
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}

func title(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

func line(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
