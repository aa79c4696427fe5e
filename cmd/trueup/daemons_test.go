//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/state"
)

var daemonsCustomers = flag.Int("daemons.customers", 130, "customers whom three daemons that are killed one after the other bill in TestDaemons")

// fleet is several daemons on one PostgreSQL database.
type fleet struct {
	t     *testing.T
	dir   string
	env   []string
	mu    sync.Mutex
	words bytes.Buffer
	procs []*exec.Cmd
}

func (f *fleet) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.words.Write(p)
}

func (f *fleet) start() *exec.Cmd {
	f.t.Helper()
	c := exec.Command("trueup", "run")
	c.Dir, c.Env, c.Stderr = f.dir, f.env, f
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Three daemons on one database bill customers for the first time, while one after the other is killed and started again. Everything is billed
// once, no run stays behind, and afterwards nothing is left to do.
func TestDaemons(t *testing.T) {
	t.Parallel()
	server := os.Getenv("TRUEUP_TEST_POSTGRES")
	if server == "" {
		t.Log("NOT TESTED: several daemons, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	db, err := sql.Open("postgres", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	schema := fmt.Sprintf("daemons_%d", os.Getpid())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = db.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") }()
	dsn, err := url.Parse(server)
	if err != nil {
		t.Fatal("TRUEUP_TEST_POSTGRES is not a URL")
	}
	dsn.RawQuery += "&search_path=" + schema

	box, err := sandbox.Start(t.Context(), sandbox.Options{Customers: *daemonsCustomers, PerCustomer: 4, Seed: 7, VendorPerMinute: 3000, PSAPerMinute: 6000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	conn := box.Connection()
	f := &fleet{t: t, dir: t.TempDir(), env: append(os.Environ(), "STATE="+dsn.String())}
	for key, value := range conn.Env {
		f.env = append(f.env, key+"="+value)
	}
	write := func(name, text string) {
		file := filepath.Join(f.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("trueup.yaml", "version: 1\nstate: ${env:STATE}\ntimezone: Europe/London\naccounts:\n"+
		accountYAML("microsoft", conn.Vendor.System, conn.Vendor.Settings, conn.Vendor.Budget)+accountYAML("psa", conn.PSA.System, conn.PSA.Settings, conn.PSA.Budget)+"flows: [flows/*.yaml]\n")
	write("flows/cloud.yaml", strings.Replace(demoFlow, "mode: propose", "mode: write", 1))

	store, err := state.Open(t.Context(), dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	before := billed(box) // some are billed twice in this world from the start
	for range 3 {
		f.procs = append(f.procs, f.start())
	}
	defer func() {
		for _, p := range f.procs {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("standard error:\n%s", f.words.String())
		}
	}()

	// Each time some more is done, one is killed: whoever leads the run, and whoever writes a part of it, among them.
	want := box.Truth()
	deadline := time.Now().Add(4 * time.Minute)
	killed, seen := 0, 0
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		<-tick.C
		if time.Now().After(deadline) {
			t.Fatal("the daemons did not come to an end")
		}
		done := f.done(store)
		if done-seen > 40 && killed < 3 {
			p := f.procs[killed%3]
			if err := p.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait()
			f.procs[killed%3] = f.start()
			killed, seen = killed+1, done
		}
		if killed >= 2 && f.settled(store) {
			break
		}
	}
	f.stop()
	t.Logf("%d daemons were killed; %d changes; %s", killed, f.done(store), want.Summary())
	f.check(box, store, before)
}

// done counts what the journal says is done.
func (f *fleet) done(store *state.Store) int {
	f.t.Helper()
	entries, err := store.Journal(f.t.Context(), state.JournalFilter{})
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.State == state.JournalDone {
			n++
		}
	}
	return n
}

// made counts the lines that the journal says were made.
func (f *fleet) made(store *state.Store) int {
	f.t.Helper()
	entries, err := store.Journal(f.t.Context(), state.JournalFilter{})
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.State == state.JournalDone && e.Op == "create" && e.Ref.Kind == "addition" {
			n++
		}
	}
	return n
}

// settled reports that the last run of the flow looked at everything and had nothing to write.
func (f *fleet) settled(store *state.Store) bool {
	f.t.Helper()
	run, ran, err := store.LastRun(f.t.Context(), state.RunFlow, "microsoft-connectwise")
	if err != nil {
		f.t.Fatal(err)
	}
	open, err := store.OpenIntents(f.t.Context(), "")
	if err != nil {
		f.t.Fatal(err)
	}
	return ran && (run.State == state.RunCompleted || run.State == state.RunHeld || run.State == state.RunPartial) && run.Counts["changes"] == 0 && len(open) == 0
}

// stop asks all daemons to stop, and waits.
func (f *fleet) stop() {
	f.t.Helper()
	for _, p := range f.procs {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range f.procs {
		if err := p.Wait(); err != nil {
			f.t.Errorf("a daemon that was told to stop ended with %v", err)
		}
	}
	f.procs = nil
}

// billed counts the lines of each subscription in the PSA.
func billed(box *sandbox.Sandbox) map[string]int {
	lines := map[string]int{}
	for _, addition := range box.PSA().Dump()["addition"] {
		fields, _ := addition["customFields"].([]any)
		for _, field := range fields {
			if m, ok := field.(map[string]any); ok && m["caption"] == "Vendor Subscription Id" && m["value"] != nil && m["value"] != "" {
				lines[fmt.Sprint(m["value"])]++
			}
		}
	}
	return lines
}

// check compares what the PSA holds with what was to be billed.
func (f *fleet) check(box *sandbox.Sandbox, store *state.Store, before map[string]int) {
	f.t.Helper()
	lines := billed(box)
	for id, n := range lines {
		if n > max(1, before[id]) {
			f.t.Errorf("subscription %s is billed by %d lines, and was by %d", id, n, before[id])
		}
	}
	if made := f.made(store); made < *daemonsCustomers || len(lines) < made {
		f.t.Errorf("the journal says that %d lines were made for %d customers; %d subscriptions have one", made, *daemonsCustomers, len(lines))
	}
	if _, err := store.VerifyJournal(f.t.Context()); err != nil {
		f.t.Error(err)
	}
	live, err := store.Daemons(f.t.Context())
	if err != nil || len(live) > 0 {
		f.t.Errorf("daemons that are said to be alive: %v (%v)", live, err)
	}
	c := exec.CommandContext(f.t.Context(), "trueup", "plan", "--json")
	c.Dir, c.Env = f.dir, f.env
	out, _ := c.Output()
	if !strings.Contains(string(out), `"changes": []`) {
		f.t.Errorf("something is left to do:\n%.2000s", out)
	}
}
