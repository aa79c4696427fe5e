//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// figures are what one process used.
type figures struct {
	wall   time.Duration
	cpu    time.Duration
	peak   int64 // bytes
	stdout string
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
	f.peak, f.cpu = peakOf(command), command.ProcessState.UserTime()+command.ProcessState.SystemTime()
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

// traffic counts requests. Signing in and looking up where the PSA's API is are part of a side's number; a daemon does them once.
type traffic struct{ vendor, psa, signIn, writes int }

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
		switch {
		case strings.Contains(r.Path, "/oauth2/"), strings.Contains(r.Path, "login/companyinfo/"):
			t.signIn++
		case r.Method != http.MethodGet:
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
