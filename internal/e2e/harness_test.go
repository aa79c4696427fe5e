package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/vault"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The rules of the demo's flow, and its guards. Tests in which no brake may come to the rescue let everything through.
const (
	rules = `version: 1
flow: microsoft-connectwise
vendor: microsoft
psa: psa
schedule: "* * * * *"
mode: write
customers:
  match: [link, tenant_ids, domains, tax_id, name]
  missing: {psa: propose, vendor: ignore}
products:  {missing: {psa: create}}
contracts: {type: Cloud Services, per: customer, missing: {psa: create}}
lines:
  first: vendor
  missing: {psa: create}
  fields:
    quantity:    {owner: both, conflict: hold}
    unit_cost:   {owner: vendor}
    unit_price:  {owner: psa}
`
	loose = `guards:
  per_customer: {share: 100%}
  per_run:      {share: 100%}
`
	brakes = `guards:
  per_change:   {increase: 50, cost: 5000 GBP}
  per_customer: {share: 80%}
  per_run:      {share: 25%, cost: 50000 GBP}
`
)

// account is one account of the configuration that a test writes.
type account struct {
	name, system string
	settings     map[string]string
	secrets      map[string]connectors.Secret
	http         *http.Client
}

// installation is trueup as cmd/trueup puts it together: configuration, connectors, shipped mappings, store and engine.
type installation struct {
	*engine.Engine
	flow engine.Flow
	dir  string
}

// install writes a configuration into dir, loads it and opens what it names. What dir held before is found again.
func install(t *testing.T, dir, flow string, now func() time.Time, kept connectors.Vault, accounts ...account) *installation {
	t.Helper()
	write := func(name, text string) {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{}
	clients := map[string]*http.Client{}
	var yaml strings.Builder
	yaml.WriteString("version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\nflows: [flows/*.yaml]\naccounts:\n")
	for _, a := range accounts {
		clients[a.name] = a.http
		settings := maps.Clone(a.settings)
		for name, secret := range a.secrets {
			variable := strings.ToUpper(a.name + "_" + name)
			env[variable], settings[name] = secret.Reveal(), "${env:"+variable+"}"
		}
		fmt.Fprintf(&yaml, "  %s:\n    system: %s\n    budget: {per_minute: 60000}\n    settings:\n", a.name, a.system)
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			fmt.Fprintf(&yaml, "      %s: %q\n", name, settings[name])
		}
	}
	write("trueup.yaml", yaml.String())
	write("flows/microsoft-connectwise.yaml", flow)
	loaded, err := config.Load(filepath.Join(dir, "trueup.yaml"), all.Descriptors(), func(name string) (string, bool) { v, ok := env[name]; return v, ok }, kept)
	if err != nil {
		t.Fatal(err)
	}
	if file := filepath.Join(dir, "trueup.db"); missing(file) {
		if err := statetest.Blank(file); err != nil {
			t.Fatal(err)
		}
	}
	store, err := state.Open(t.Context(), loaded.State, state.WithClock(now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // some tests close it before
	e := &engine.Engine{Store: store, Accounts: map[string]*apply.Account{}, Log: zap.NewNop(), Now: now, Location: loaded.Timezone}
	for _, a := range loaded.Accounts {
		system, _ := all.Find(a.System)
		connector, err := system.New(connectors.Account{Name: a.Name, Settings: a.Settings, Secrets: a.Secrets, Vault: loaded.Vault, Budget: a.Budget,
			HTTP: clients[a.Name], Log: zap.NewNop(), Now: now, Location: loaded.Timezone})
		if err != nil {
			t.Fatal(err)
		}
		name := "mappings/" + a.System + ".yaml"
		source, err := fs.ReadFile(configs.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		var problems diag.List
		m := mapping.Load(name, source, connector.Descriptor(), &problems)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		e.Accounts[a.Name] = &apply.Account{Name: a.Name, Connector: connector, Mapping: m}
	}
	return &installation{Engine: e, flow: loaded.Flows[0], dir: dir}
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// forget deletes the state file and opens an empty one, as after a lost disk.
func (i *installation) forget(t *testing.T) {
	t.Helper()
	if err := i.Store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(i.dir, "trueup.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("state files: %v %v", files, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	i.reopen(t)
}

// reopen opens the state file that is there now.
func (i *installation) reopen(t *testing.T) {
	t.Helper()
	store, err := state.Open(t.Context(), "sqlite:"+filepath.Join(i.dir, "trueup.db"), state.WithClock(i.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	i.Store = store
}

// run executes the flow; its error is for the caller.
func (i *installation) run(ctx context.Context, opts engine.Options) (engine.Result, error) {
	opts.Trigger = state.TriggerManual
	return i.Run(ctx, i.flow, opts)
}

// must executes the flow and fails the test on an error.
func (i *installation) must(t *testing.T, opts engine.Options) engine.Result {
	t.Helper()
	result, err := i.run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// contextUntil is the test's context, ended when stop is closed.
func contextUntil(t *testing.T, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// links are the PSA ids by vendor id of a kind's links.
func (i *installation) links(t *testing.T, kind model.Kind) map[string]string {
	t.Helper()
	links := map[string]string{}
	err := i.Store.Links(t.Context(), i.flow.Name, kind, func(l state.Link) error {
		links[l.Vendor.ID] = l.PSA.ID
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// text is a plan for a test's output.
func text(p plan.Plan) string {
	var b strings.Builder
	if err := plan.Render(&b, p, plan.FormatText, 0); err != nil {
		return err.Error()
	}
	return b.String()
}

// sent is a write as it left trueup.
type sent struct {
	method, path, body string
	was                string // for a PATCH of a subscription: the resource that was read before it
}

// recorder is a transport that remembers what changes something, and does not count signing in as that.
type recorder struct {
	next http.RoundTripper

	mu      sync.Mutex
	writes  []sent
	read    map[string]string // last good body by path
	onWrite func()            // called before a write is sent; may be nil
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	changes := req.Method != http.MethodGet && req.Method != http.MethodHead && !strings.HasPrefix(req.URL.Path, "/sign-in/") &&
		!strings.Contains(req.URL.Path, "/v1/validations/") // asks, by POST
	var body []byte
	if req.Body != nil && changes {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	if changes {
		r.mu.Lock()
		r.writes = append(r.writes, sent{req.Method, req.URL.Path, string(body), r.read[req.URL.Path]})
		hook := r.onWrite
		r.mu.Unlock()
		if hook != nil {
			hook()
		}
	}
	resp, err := r.next.RoundTrip(req)
	if err != nil || changes || resp.StatusCode != http.StatusOK || !strings.Contains(req.URL.Path, "/subscriptions/") {
		return resp, err
	}
	seen, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(seen))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read[req.URL.Path] = string(seen)
	return resp, nil
}

// take returns the writes since the last call.
func (r *recorder) take() []sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.writes
	r.writes = nil
	return taken
}

// record makes a client whose writes are remembered.
func record(transport http.RoundTripper) (*http.Client, *recorder) {
	r := &recorder{next: transport, read: map[string]string{}}
	return &http.Client{Transport: r}, r
}

// wire is a network of pipes in memory: blocked on it, a goroutine counts as idle in a synctest bubble, which it would not
// on a socket.
type wire struct {
	calls  chan net.Conn
	closed chan struct{}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case conn := <-w.calls:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	close(w.closed)
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.calls <- there:
		return here, nil
	case <-w.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serve answers on a wire until the test ends, and gives the transport that reaches it, whatever host is asked for.
func serve(t *testing.T, handler http.Handler) http.RoundTripper {
	t.Helper()
	w := &wire{calls: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(w) }) // always http.ErrServerClosed, by the Close below
	transport := &http.Transport{DialContext: w.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		serving.Wait()
	})
	return transport
}

// newVault keeps rotated tokens for the life of a test, however often trueup is started anew.
func newVault() connectors.Vault { return vault.Memory() }
