package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is a Tuesday morning.
var start = time.Date(2031, time.March, 4, 10, 0, 0, 0, time.UTC)

// open starts a sandbox that ends with the test.
func open(t testing.TB, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = start
	}
	box, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return box
}

// small is a world that has everything and is made quickly.
func small() sandbox.Options {
	return sandbox.Options{Customers: sandbox.MinComplete, PerCustomer: 3, Seed: 7}
}

// connect makes the real connectors on a sandbox.
func connect(t *testing.T, box *sandbox.Sandbox) (vendor, psa connectors.Connector) {
	t.Helper()
	vendorAccount, psaAccount := box.Accounts()
	vendorAccount.Vault, psaAccount.Vault = vault.Memory(), vault.Memory()
	vendor, err := partnercenter.New(vendorAccount)
	if err != nil {
		t.Fatal(err)
	}
	if psa, err = connectwise.New(psaAccount); err != nil {
		t.Fatal(err)
	}
	return vendor, psa
}

// read is one record as a connector sees it now.
func read(t *testing.T, c connectors.Connector, ref connectors.Ref) connectors.Record {
	t.Helper()
	rec, err := c.(connectors.Reader).Read(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// list counts and collects a kind.
func list(t *testing.T, c connectors.Connector, kind string) map[string]connectors.Record {
	t.Helper()
	found := map[string]connectors.Record{}
	listing, err := c.(connectors.Lister).List(t.Context(), connectors.ListRequest{Kind: kind}, func(r connectors.Record) error {
		found[r.ID] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !listing.Complete() {
		t.Fatalf("listing of %s has gaps: %v", kind, listing.Gaps)
	}
	return found
}

// call is one request to the control API; its answer is decoded into a value of any JSON.
func call(t *testing.T, box *sandbox.Sandbox, method, path, body string) (status int, answer map[string]any, raw string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, box.Connection().Control+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := box.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	_ = decoder.Decode(&answer) // lists and texts are looked at raw
	return resp.StatusCode, answer, string(b)
}

// must is a call that succeeds.
func must(t *testing.T, box *sandbox.Sandbox, method, path, body string) map[string]any {
	t.Helper()
	status, answer, raw := call(t, box, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s %s: %d %s", method, path, body, status, raw)
	}
	return answer
}

func TestRealConnectorsReadTheWholeWorld(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, psa := connect(t, box)
	for name, c := range map[string]connectors.Connector{"vendor": vendor, "psa": psa} {
		report, err := c.Check(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if missing := report.Missing(); len(missing) > 0 {
			t.Errorf("%s lacks rights: %v", name, missing)
		}
	}
	truth := box.Truth()
	tenants := len(truth.VendorOnly)
	for _, c := range truth.Customers {
		tenants += len(c.Tenants)
	}
	if found := list(t, vendor, "customer"); len(found) != tenants {
		t.Errorf("%d customers are listed, want %d", len(found), tenants)
	}
	subs := list(t, vendor, "subscription")
	if len(subs) != len(truth.Subscriptions) {
		t.Errorf("%d subscriptions are listed, want %d", len(subs), len(truth.Subscriptions))
	}
	lines := list(t, psa, "addition")
	for _, sub := range truth.Subscriptions {
		if got := subs[sub.ID]; got.Fields["quantity"].String() != fmt.Sprint(sub.Seats) || got.Parent != sub.Tenant {
			t.Errorf("subscription %s of %s has %s seats, want %d of %s", sub.ID, got.Parent, got.Fields["quantity"], sub.Seats, sub.Tenant)
		}
		if _, there := lines[sub.Line]; !there && sub.Line != "" {
			t.Errorf("line %s of subscription %s is not listed", sub.Line, sub.ID)
		}
	}
	if prices := list(t, vendor, "price"); len(prices) < 40 {
		t.Errorf("%d prices are in force, want at least 40", len(prices))
	}
}

// A client that was given the CA file and nothing else reaches both systems; one without it does not.
func TestTLSNeedsOnlyTheCA(t *testing.T) {
	t.Parallel()
	o := small()
	o.TLS = true
	box := open(t, o)
	connection := box.Connection()
	pem, err := os.ReadFile(connection.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("the CA file holds no certificate")
	}
	get := func(config *tls.Config, url string) (int, error) {
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	for _, url := range []string{connection.PSA.Site + "/login/companyinfo/" + connection.PSA.Company, connection.Vendor.API + "/v1/customers"} {
		if !strings.HasPrefix(url, "https://") {
			t.Errorf("%s is not https", url)
		}
		status, err := get(&tls.Config{RootCAs: pool}, url)
		if err != nil || status != http.StatusOK && status != http.StatusUnauthorized {
			t.Errorf("with the CA: %s: %d, %v", url, status, err)
		}
		if _, err := get(&tls.Config{}, url); err == nil {
			t.Errorf("without the CA: %s answered, want a certificate error", url)
		}
	}
	vendor, _ := connect(t, box)
	if _, err := vendor.Check(t.Context()); err != nil {
		t.Errorf("the connector, with the sandbox's client: %v", err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(connection.CAFile); !os.IsNotExist(err) {
		t.Errorf("the CA file is still there after Close: %v", err)
	}
}

func TestTheSandboxEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	box, err := sandbox.Start(ctx, small())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := box.Close(); err != nil { // waits until it has ended
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, box.Connection().Control+"/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := box.HTTP().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("it still answers")
	}
}

func TestConnectionIsOneJSONObjectWithReadySettings(t *testing.T) {
	t.Parallel()
	o := small()
	o.VendorPerMinute = 90
	box := open(t, o)
	c := must(t, box, "GET", "/v1/connection", "")
	for path, want := range map[string]string{
		"vendor.settings.client_secret":  "${env:TRUEUP_SANDBOX_CLIENT_SECRET}",
		"vendor.settings.country":        "GB",
		"vendor.settings.api":            box.Connection().Vendor.API,
		"psa.settings.currency":          "GBP",
		"psa.settings.site":              box.Connection().PSA.Site,
		"psa.settings.private_key":       "${env:TRUEUP_SANDBOX_PRIVATE_KEY}",
		"env.TRUEUP_SANDBOX_PRIVATE_KEY": box.Connection().PSA.PrivateKey,
		"control":                        box.Connection().Control,
	} {
		var at any = c
		for name := range strings.SplitSeq(path, ".") {
			at, _ = at.(map[string]any)[name]
		}
		if at != want {
			t.Errorf("%s is %v, want %s", path, at, want)
		}
	}
	if got := box.Connection().Vendor.Budget.PerMinute; got != 90 {
		t.Errorf("the vendor's budget is %d, want 90", got)
	}
	if _, has := c["ca_file"]; has {
		t.Error("there is a ca_file without TLS")
	}
	for system, settings := range map[string]map[string]string{"vendor": box.Connection().Vendor.Settings, "psa": box.Connection().PSA.Settings} {
		descriptor := map[string]connectors.Descriptor{"vendor": partnercenter.System.Descriptor, "psa": connectwise.System.Descriptor}[system]
		known := map[string]bool{}
		for _, s := range descriptor.Settings {
			known[s.Name] = true
			if s.Required && settings[s.Name] == "" {
				t.Errorf("%s: required setting %s is not there", system, s.Name)
			}
		}
		for name := range settings {
			if !known[name] {
				t.Errorf("%s: %s is no setting of the connector", system, name)
			}
		}
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]sandbox.Options{
		"customers and subscriptions per customer": {Customers: -1},
		"is not on the loopback":                   {Addr: "0.0.0.0:0"},
		"port must be a number":                    {Addr: "127.0.0.1:65534"},
		"missing port":                             {Addr: "127.0.0.1"},
		"must not be below zero":                   {Latency: -time.Second},
		"must be codes like GB":                    {Country: "GBR"},
	} {
		if want != "customers and subscriptions per customer" {
			o.Customers = 1
		}
		box, err := sandbox.Start(t.Context(), o)
		if err == nil {
			_ = box.Close()
			t.Errorf("%+v started, want a refusal: %s", o, want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %q does not say %q", o, err, want)
		}
	}
}

// Latency and budgets reach the systems.
func TestBudgetsAreKept(t *testing.T) {
	t.Parallel()
	o := small()
	o.PSAPerMinute = 1
	box := open(t, o)
	statuses := []int{}
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, box.Connection().PSA.Site+"/v4_6_release/apis/3.0/system/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := box.HTTP().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
	if diff := cmp.Diff([]int{200, 429}, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}
