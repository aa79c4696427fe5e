//go:build unix

package main

import (
	"bytes"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

var (
	daemonsCustomers = flag.Int("daemons.customers", 130, "customers whom three daemons bill in TestDaemons")
	daemonsKills     = flag.Int("daemons.kills", 3, "how often one of the three daemons is killed meanwhile")
)

// fleet is several daemons on one PostgreSQL database.
type fleet struct {
	t     *testing.T
	dir   string
	env   []string
	mu    sync.Mutex
	words bytes.Buffer
	procs []*exec.Cmd
	cpu   time.Duration // of those that ended
	peak  int64         // bytes, of the largest
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
	dsn, drop, err := statetest.Schema(t.Context(), server, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	}()

	box, err := sandbox.Start(t.Context(), sandbox.Options{Customers: *daemonsCustomers, PerCustomer: 4, Seed: 7, VendorPerMinute: 3000, PSAPerMinute: 6000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	conn := box.Connection()
	f := &fleet{t: t, dir: t.TempDir(), env: append(os.Environ(), "STATE="+dsn)}
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

	store, err := state.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	before := billed(box)
	began := time.Now()
	for range 3 {
		f.procs = append(f.procs, f.start())
	}
	defer func() {
		for _, p := range f.procs {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
		if t.Failed() {
			t.Logf("standard error:\n%.200000s", f.words.String())
		}
	}()

	// Each time some more is read or written one is killed: whoever leads the run, and whoever works on a part of it, among them.
	want := box.Truth()
	create := 0
	for _, s := range want.Subscriptions {
		if s.Expect == sandbox.ExpectCreate {
			create++
		}
	}
	step := (len(want.Subscriptions) + weight*create) / (*daemonsKills + 1)
	deadline := began.Add(4*time.Minute + time.Duration(*daemonsCustomers)*time.Second/2 + time.Duration(*daemonsKills)*time.Minute)
	killed, settled := 0, false
	for tick := time.NewTicker(200 * time.Millisecond); !settled; {
		<-tick.C
		if time.Now().After(deadline) {
			t.Fatal("the daemons did not come to an end")
		}
		if killed < *daemonsKills && f.progress(db, schema) >= (killed+1)*step {
			p := f.procs[killed%3]
			if err := p.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait()
			f.used(p)
			f.procs[killed%3] = f.start()
			killed++
		}
		settled = killed == *daemonsKills && f.settled(store)
	}
	took := time.Since(began)
	f.stop()
	t.Logf("%d daemons were killed in %s; they used %s of processor time, %d MiB at most, and sent %d requests to the vendor and %d to the PSA\n%s", killed, took.Round(time.Second),
		f.cpu.Round(time.Second), f.peak>>20, len(box.Vendor().Requests()), len(box.PSA().Requests()), want.Summary()[:strings.Index(want.Summary(), "\nto be reported")])
	f.check(box, store, before)
}

// weight is how many subscriptions read are worth one change made, when it is time to kill again.
const weight = 3

// progress measures how far the fleet is, in subscriptions read and changes made.
func (f *fleet) progress(db *sql.DB, schema string) (n int) {
	f.t.Helper()
	err := db.QueryRowContext(f.t.Context(), fmt.Sprintf(`SELECT (SELECT count(*) FROM %[1]s.records WHERE kind = 'subscription') + %d * (SELECT count(*) FROM %[1]s.intents WHERE state = 'done')`, schema, weight)).Scan(&n)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// used adds what an ended process used.
func (f *fleet) used(c *exec.Cmd) {
	f.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak := usage.Maxrss
		if runtime.GOOS != "darwin" {
			peak <<= 10 // everybody else counts in KiB
		}
		f.peak = max(f.peak, peak)
	}
}

// made counts what the journal says was made, by kind.
func (f *fleet) made(store *state.Store) map[string]int {
	f.t.Helper()
	entries, err := store.Journal(f.t.Context(), state.JournalFilter{})
	if err != nil {
		f.t.Fatal(err)
	}
	made, seen := map[string]int{}, map[string]bool{}
	for _, e := range entries {
		if e.State != state.JournalDone || e.Op != "create" {
			continue
		}
		if id := e.Ref.Kind + " " + e.Ref.ID; seen[id] {
			f.t.Errorf("the journal made %s twice", id)
		} else {
			seen[id] = true
		}
		made[e.Ref.Kind]++
	}
	return made
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
		f.used(p)
	}
	f.procs = nil
}

// world is what a PSA holds: how many lines bill each subscription, and how many records there are of each kind that trueup may make.
type world struct{ lines, records map[string]int }

func billed(box *sandbox.Sandbox) world {
	w := world{map[string]int{}, map[string]int{}}
	dump := box.PSA().Dump()
	for _, kind := range []string{"addition", "agreement", "catalogItem"} {
		w.records[kind] = len(dump[kind])
	}
	for _, addition := range dump["addition"] {
		fields, _ := addition["customFields"].([]any)
		for _, field := range fields {
			m, ok := field.(map[string]any)
			if !ok || m["caption"] != "Vendor Subscription Id" {
				continue
			}
			if id, _ := m["value"].(string); strings.TrimSpace(id) != "" {
				w.lines[strings.ToLower(strings.TrimSpace(id))]++
			}
		}
	}
	return w
}

// check compares what the PSA holds with what was to be billed.
func (f *fleet) check(box *sandbox.Sandbox, store *state.Store, before world) {
	f.t.Helper()
	truth, after, made := box.Truth(), billed(box), f.made(store)
	for kind, n := range after.records {
		if n != before.records[kind]+made[kind] {
			f.t.Errorf("there were %d %ss, the journal made %d, and now there are %d", before.records[kind], kind, made[kind], n)
		}
	}
	for id, n := range after.lines { // the world is made with one kind of subscription that two lines bill, and nothing else may be billed twice
		if n > 1 && !slices.Contains(truth.Awkward["two_lines"], id) || n > 2 {
			f.t.Errorf("subscription %s is billed by %d lines, and was by %d", id, n, before.lines[id])
		}
	}
	for _, s := range truth.Subscriptions {
		if s.Expect == sandbox.ExpectCreate && after.lines[strings.ToLower(s.ID)] != 1 {
			f.t.Errorf("subscription %s of company %s should have a line, and has %d", s.ID, s.Company, after.lines[strings.ToLower(s.ID)])
		}
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
