//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/internal/sandbox"
)

// service is a trueup run that was started as systemd starts one: with a socket to tell and a watchdog to feed.
type service struct {
	*exec.Cmd
	t      *testing.T
	dir    string
	listen string
	socket *net.UnixConn
	client *http.Client
	secret map[string]string // the credentials, by name

	mu     sync.Mutex
	stderr bytes.Buffer
	read   sync.WaitGroup
}

// patience is how long a test waits for what should come at once.
const patience = time.Minute

func startService(t *testing.T) *service {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Options{Customers: 2, PerCustomer: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, dir: t.TempDir(), listen: free.Addr().String(), client: &http.Client{Timeout: patience}}
	_ = free.Close()
	c := box.Connection()
	s.secret = c.Env
	s.write("trueup.yaml", "version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\nlisten: "+s.listen+"\naccounts:\n"+
		accountYAML("microsoft", c.Vendor.System, c.Vendor.Settings, c.Vendor.Budget)+accountYAML("psa", c.PSA.System, c.PSA.Settings, c.PSA.Budget)+"flows: [flows/*.yaml]\n")
	s.write("flows/cloud.yaml", demoFlow)

	short, err := os.MkdirTemp("", "trueup") //nolint:usetesting // t.TempDir may be too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	name := filepath.Join(short, "notify")
	if s.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.socket.Close() })

	path, err := exec.LookPath("trueup")
	if err != nil {
		t.Fatal(err)
	}
	s.Cmd = exec.Command(path, "run")
	s.Dir = s.dir
	s.Env = append(os.Environ(), "NOTIFY_SOCKET="+name, "WATCHDOG_USEC=900000")
	for key, value := range c.Env {
		s.Env = append(s.Env, key+"="+value)
	}
	errors, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill()
			s.end()
		}
		if t.Failed() {
			t.Logf("standard error:\n%s", s.log())
		}
	})
	s.read.Go(func() {
		for lines := bufio.NewScanner(errors); lines.Scan(); {
			s.mu.Lock()
			s.stderr.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
		}
	})
	return s
}

func (s *service) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// end waits for the process and gives its exit code.
func (s *service) end() int {
	s.read.Wait()
	_ = s.Wait() // the exit code tells
	return s.ProcessState.ExitCode()
}

// told waits for the next words to systemd that are not the watchdog's food, or for that when it is asked for.
func (s *service) told() string {
	s.t.Helper()
	for {
		if words := s.hear(); words != "WATCHDOG=1" {
			return words
		}
	}
}

// hear waits for the next words to systemd.
func (s *service) hear() string {
	s.t.Helper()
	buffer := make([]byte, 4096)
	if err := s.socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	n, err := s.socket.Read(buffer)
	if err != nil {
		s.t.Fatalf("systemd was told nothing more: %v", err)
	}
	return string(buffer[:n])
}

// until asks at each turn of the loop, which feeds the watchdog, until something is true.
func (s *service) until(what string, isTrue func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !isTrue(); {
		if time.Now().After(end) {
			s.t.Fatalf("it never came: %s", what)
		}
		if words := s.hear(); words != "WATCHDOG=1" {
			s.t.Fatalf("waiting for %s: systemd was told %q", what, words)
		}
	}
}

func (s *service) get(path string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.listen+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// secretless looks for the credentials in all that somebody without rights may see of the service: its pages, its log, and the list of processes.
func (s *service) secretless() {
	s.t.Helper()
	seen := map[string]string{"the log": s.log(), "the command line": strings.Join(s.Args, " ")}
	for _, page := range []string{"/healthz", "/readyz", "/metrics"} {
		_, seen[page] = s.get(page)
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.Process.Pid)); err == nil { // other systems have no such file
		seen["the list of processes"] = string(line)
	}
	for where, text := range seen {
		if text == "" {
			s.t.Errorf("%s is empty", where)
		}
		for name, secret := range s.secret {
			if strings.Contains(text, secret) {
				s.t.Errorf("%s holds the secret %s", where, name)
			}
		}
		if token := issuedToken.FindString(text); token != "" {
			s.t.Errorf("%s holds a token that the sandbox issued: %s", where, token)
		}
	}
}

func (s *service) shows(metric string) bool {
	_, body := s.get("/metrics")
	return strings.Contains(body, "\n"+metric)
}

// The life of a service: it says when it is ready, feeds the watchdog, becomes ready when everything was read, refuses a wrong
// configuration and goes on with the old one, takes a right one, and ends when it is told to.
func TestService(t *testing.T) {
	t.Parallel()
	s := startService(t)
	if words := s.told(); words != "READY=1" {
		t.Fatalf("first it told systemd %q", words)
	}
	if code, body := s.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d %s", code, body)
	}
	s.until("readiness", func() bool { code, _ := s.get("/readyz"); return code == http.StatusOK })
	s.until("a run", func() bool {
		return s.shows(`trueup_runs_total{kind="flow",name="microsoft-connectwise",`) && s.shows(`trueup_changes_total{flow="microsoft-connectwise",op="create",outcome="done"}`)
	})
	for _, metric := range []string{`trueup_requests_total{account="microsoft",class="ok"}`, `trueup_budget_left{account="psa"}`, `trueup_configuration_current 1`,
		`trueup_last_good_read_age_seconds{account="microsoft",kind="subscription"}`} {
		if !s.shows(metric) {
			t.Errorf("/metrics lacks %s", metric)
		}
	}
	s.secretless()

	reload := func(flow string) {
		t.Helper()
		s.write("flows/cloud.yaml", flow)
		if err := s.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if words := s.told(); !strings.HasPrefix(words, "RELOADING=1\nMONOTONIC_USEC=") {
			t.Errorf("it told systemd %q", words)
		}
		if words := s.told(); words != "READY=1" {
			t.Errorf("then it told systemd %q", words)
		}
	}
	reload(strings.Replace(demoFlow, "mode: write", "mode: go\nmodus: write", 1))
	for _, said := range []string{`go\" is not allowed here`, `unknown key \"modus\"`} {
		s.until("the complaint "+said, func() bool { return strings.Contains(s.log(), said) })
		if n := strings.Count(s.log(), said); n != 1 {
			t.Errorf("%s was said %d times", said, n)
		}
	}
	if !s.shows("trueup_configuration_current 0") {
		t.Error("the metric does not say that the files are wrong")
	}
	if code, body := s.get("/readyz"); code != http.StatusOK {
		t.Errorf("with the old configuration /readyz says %d %s", code, body)
	}
	reload(strings.Replace(demoFlow, "flow: microsoft-connectwise", "flow: second", 1))
	s.until("the new flow", func() bool { return s.shows(`trueup_runs_total{kind="flow",name="second",`) })
	if !s.shows("trueup_configuration_current 1") || s.shows(`trueup_held{flow="microsoft-connectwise"}`) {
		t.Error("the metrics do not show the new configuration")
	}

	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if words := s.told(); words != "STOPPING=1" {
		t.Errorf("it told systemd %q", words)
	}
	if code := s.end(); code != exitOK {
		t.Errorf("it ended with %d", code)
	}
}

// A state file that is removed under the daemon ends it, with a line that says why.
func TestServiceLosesItsState(t *testing.T) {
	t.Parallel()
	s := startService(t)
	if words := s.told(); words != "READY=1" {
		t.Fatalf("first it told systemd %q", words)
	}
	if err := os.Remove(filepath.Join(s.dir, "trueup.db")); err != nil {
		t.Fatal(err)
	}
	if code := s.end(); code != exitFailed {
		t.Errorf("it ended with %d", code)
	}
	if !strings.Contains(s.log(), "\ntrueup: the state file trueup.db was removed while trueup ran; what is done from now on would be forgotten") {
		t.Error("it does not say why")
	}
}

// A port that somebody else has is said, before anything runs.
func TestServicePortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	dir := t.TempDir()
	yaml := fmt.Sprintf("version: 1\ntimezone: Europe/London\nlisten: %s\naccounts:\n  microsoft: {system: partnercenter, settings: {tenant: a, client_id: b, client_secret: \"${env:S}\"}}\n"+
		"  psa: {system: connectwise, settings: {site: psa.example.com, company: a, public_key: \"${env:S}\", private_key: \"${env:S}\", client_id: c, currency: GBP}}\nflows: [cloud.yaml]\n", taken.Addr())
	for name, text := range map[string]string{"trueup.yaml": yaml, "cloud.yaml": demoFlow} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "trueup", "run")
	command.Dir, command.Env = dir, append(os.Environ(), "S=x")
	said, err := command.CombinedOutput()
	if command.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(said), "listen: of trueup.yaml cannot be used: ") || !strings.Contains(string(said), "choose another port") {
		t.Errorf("%v: %s", err, said)
	}
}
