// Package connectwisetest is a strict local ConnectWise PSA: it refuses what the real one refuses and can be told to
// misbehave as real ones have.
//
// Seed it with typed records, serve it, and read what became of it:
//
//	s := connectwisetest.New(connectwisetest.Options{Now: clock})
//	company := s.AddCompany(connectwisetest.Company{Identifier: "contoso", Name: "Contoso"})
//	account := connectwisetest.Start(t, s)      // settings and secrets for connectwise.New
//	s.Edit("addition", id, "jdoe", map[string]any{"quantity": 12})   // as a PSA user would
//	s.Record("addition", id)["quantity"]        // json.Number: what the PSA holds now
//
// What it checks on its own: the codebase in the path, Basic keys and clientId, the versioned Accept header, the grammar
// and the field names of conditions and orderBy, both kinds of paging, the PATCH dialect, required fields and lengths,
// references that exist, unique identifiers, that a Bundle is not an addition, a budget a minute. An opportunity is closed when its status
// says so, at the server's time. What it derives as the
// PSA does: extended amounts, billed quantity, agreement status, the re-pricing of a swapped product, change stamps with
// their author, audit trail rows. An edited addition moves its agreement's stamp unless stale_agreement_stamp is on.
//
// Tickets: status and type are those of the board and not inactive, a note says for whom it is, what a ticket is opened with is never
// shown again and stands among its notes, closedFlag follows the status. There are the boards "Cloud" and "Help Desk".
//
// Where the real server's behaviour is not documented the fake takes the less convenient side: a derived field in a PATCH
// is refused, an unknown member of a POST is refused, a sub-path in a PATCH answers 200 and changes nothing (see
// Options.SubPaths), and Link headers name another host than the one called. Numbers travel as doubles ("5.0").
//
// Callbacks are sent for the types that /system/callbacks has entries of, signed with a key that the server shows to anybody who asks.
// Editing an addition sends none, unless Options.AdditionCallbacks says so.
//
// Seeded records look a month old, so that a change feed starts quiet; give LastUpdated to change that.
package connectwisetest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
)

// Options shape the server. The zero value is a usable cloud-like tenant.
type Options struct {
	Now           func() time.Time // the server's clock; time.Now when nil
	Company       string           // login company; "acme"
	PublicKey     string           // "public-key"
	PrivateKey    string           // "private-key"
	ClientID      string           // "00000000-0000-4000-8000-000000000001"
	Member        string           // the API member behind the keys; "trueup-api"
	Codebase      string           // advertised by companyinfo; "v2026_1/"
	TimeZone      string           // server time zone as Windows names it; "GMT Standard Time"
	PageSize      int              // largest page; 1000
	PerMinute     int              // requests allowed in any minute, refused ones included; 0 for no limit
	Latency       time.Duration    // added to every answer
	NoForwardOnly bool             // an old server that pages by number only
	SubPaths      bool             // PATCH paths like type/id work, instead of answering 200 without effect
	Bare          bool             // without the custom fields that trueup keeps ids in
	// AdditionCallbacks sends the callback of an agreement when one of its additions is edited. Whether the real server does is not documented.
	AdditionCallbacks bool
	// Send is given the callbacks that entries ask for, while the server is locked: it must return at once and not call the server. Nil
	// sends none.
	Send func(Callback)
}

// Server is one fake tenant. Its methods may be called while it serves.
type Server struct {
	opts Options

	mu       sync.Mutex
	tables   map[string]*table
	custom   map[string][]customField // by kind
	audit    []auditRow
	codebase string
	wrong    map[string]string // misbehaviours that are on
	left     map[string]int    // how often a counted misbehaviour will still happen
	requests []Request
	recent   []time.Time // requests of the last minute

	signingKey string // of callbacks
	base       string // where this server is, once Account told somebody
}

// Request is one line of the server's log. It holds no headers and so no secrets.
type Request struct {
	Time   time.Time
	Method string
	Path   string // below apis/3.0, without a leading slash
	Query  string // raw
	Status int    // 0 when the connection was dropped
	Body   string
}

// New makes a tenant with the tables every PSA has: company statuses and types, billing cycles, currencies, countries, one
// product category, product types, the agreement types "Cloud Services" and "Managed Services", and opportunity statuses, of which
// "Signed" counts as won.
func New(o Options) *Server {
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&o.Company, "acme")
	fill(&o.PublicKey, "public-key")
	fill(&o.PrivateKey, "private-key")
	fill(&o.ClientID, "00000000-0000-4000-8000-000000000001")
	fill(&o.Member, "trueup-api")
	fill(&o.Codebase, "v2026_1/")
	fill(&o.TimeZone, "GMT Standard Time")
	if o.PageSize <= 0 {
		o.PageSize = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{opts: o, tables: newTables(), custom: map[string][]customField{}, codebase: o.Codebase,
		wrong: map[string]string{}, left: map[string]int{}, signingKey: rand.Text()}
	s.seedTables()
	if !o.Bare {
		s.AddCustomField("addition", "Vendor Subscription Id", "Text")
		s.AddCustomField("company", "Vendor Tenant Ids", "TextArea")
		s.AddCustomField("opportunity", "Cloud Order", "TextArea")
	}
	return s
}

// Requests is the log so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Writes counts what was done over the API: records made, changed and deleted, also when the answer was lost.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.audit {
		if a.source == "API" {
			n++
		}
	}
	return n
}

// Handler serves the tenant.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start serves s on a loopback port until the test ends and gives the account that reaches it.
func Start(t TB, s *Server) connectors.Account {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen on the loopback: %v", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(listener)
	}()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-stopped
	})
	account := s.Account("http://" + listener.Addr().String())
	account.HTTP = &http.Client{Transport: transport}
	return account
}

// Account is how a connector reaches the tenant at url; currency is GBP and the budget is out of the way.
func (s *Server) Account(url string) connectors.Account {
	s.mu.Lock()
	s.base = url
	s.mu.Unlock()
	return connectors.Account{
		Name: "psa",
		Settings: map[string]string{
			"site": url, "company": s.opts.Company, "client_id": s.opts.ClientID, "currency": "GBP",
			"default_subcategory": "Cloud", "default_product_type": "Service",
		},
		Budget: connectors.Budget{PerMinute: 60000},
		Secrets: map[string]connectors.Secret{
			"public_key":  connectors.NewSecret(s.opts.PublicKey),
			"private_key": connectors.NewSecret(s.opts.PrivateKey),
		},
		Vault:    noVault{},
		Log:      zap.NewNop(),
		Now:      s.opts.Now,
		Location: time.UTC,
	}
}

// noVault is for an account that keeps no secrets: ConnectWise rotates none.
type noVault struct{}

func (noVault) Get(context.Context, string) (connectors.Secret, bool, error) {
	return connectors.Secret{}, false, nil
}

func (noVault) Put(context.Context, string, connectors.Secret) error {
	return errors.New("a ConnectWise account has nothing to put into the vault")
}

// answer is what goes back: body is JSON-encoded unless raw is set.
type answer struct {
	status int
	header http.Header
	body   any
	raw    string
	drop   bool // close the connection instead
}

// fault is a refusal in the PSA's error format.
type fault struct {
	Code    string       `json:"code"`
	Message string       `json:"message"`
	Errors  []fieldFault `json:"errors"`
	status  int
}

type fieldFault struct {
	Code     string  `json:"code"`
	Message  string  `json:"message"`
	Resource string  `json:"resource"`
	Field    string  `json:"field"`
	Details  *string `json:"details"`
}

func (f *fault) Error() string { return f.Message }

func refuse(status int, code, message string) *fault {
	return &fault{Code: code, Message: message, status: status}
}

func invalid(resource, field, code, message string) *fault {
	return &fault{Code: "InvalidObject", Message: resource + " object is invalid", status: http.StatusBadRequest,
		Errors: []fieldFault{{Code: code, Message: message, Resource: resource, Field: field}}}
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	if !s.wait(r.Context()) {
		return
	}
	a := s.answer(r, body)
	if a.drop {
		// The server did its part and the line went dead: no status, no body.
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("api-current-version", "2026.1")
	raw := []byte(a.raw)
	if a.raw == "" && a.body != nil {
		w.Header().Set("Content-Type", "application/vnd.connectwise.com+json; version=2022.1")
		if raw, err = json.Marshal(a.body); err != nil {
			raw, a.status = []byte(err.Error()), http.StatusInternalServerError
		}
		if s.misbehaves("bom") {
			raw = append([]byte("\ufeff"), raw...)
		}
	} else if a.raw != "" {
		w.Header().Set("Content-Type", "text/html")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(raw)
}

// wait delays the answer; false when the caller gave up first.
func (s *Server) wait(ctx context.Context) bool {
	s.mu.Lock()
	delay := s.opts.Latency + s.delay()
	s.mu.Unlock()
	if delay == 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

var apiPath = regexp.MustCompile(`^/([^/]+/)apis/3\.0/(.*)$`)

// answer serves one request under the lock and logs it.
func (s *Server) answer(r *http.Request, body []byte) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := &call{Request: r, path: strings.TrimPrefix(r.URL.Path, "/"), body: body}
	var a answer
	if company, ok := strings.CutPrefix(r.URL.Path, "/login/companyinfo/"); ok {
		a = s.companyInfo(company)
	} else if r.URL.Path == keyPath && r.Method == http.MethodGet {
		a = answer{status: http.StatusOK, body: map[string]any{"signing_key": s.signingKey}}
	} else {
		a = s.api(call)
	}
	a = s.spoil(call, a)
	logged := Request{Time: s.opts.Now(), Method: r.Method, Path: call.path, Query: r.URL.RawQuery, Status: a.status, Body: string(body)}
	if a.drop {
		logged.Status = 0
	}
	s.requests = append(s.requests, logged)
	return a
}

func (s *Server) companyInfo(company string) answer {
	if company != s.opts.Company {
		return answer{status: http.StatusOK, body: json.RawMessage("null")}
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"CompanyName": "Acme Managed IT", "Codebase": s.codebase, "VersionCode": strings.TrimSuffix(s.codebase, "/"),
		"VersionNumber": "v4.6.99999", "CompanyID": company, "IsCloud": true, "SiteUrl": "api-eu.example.com", "LicenseBits": map[string]any{},
	}}
}

// call is one API request on its way through the checks.
type call struct {
	*http.Request
	path string // below apis/3.0
	body []byte
}

func (s *Server) api(c *call) answer {
	parts := apiPath.FindStringSubmatch(c.URL.Path)
	if parts == nil || parts[1] != s.codebase && (parts[1] != "v4_6_release/" || s.wrong["switch_codebase"] != "") {
		return answer{status: http.StatusNotFound, raw: "<html><body>404 - File or directory not found.</body></html>"}
	}
	c.path = strings.Trim(parts[2], "/")
	if refused := s.admit(c); refused != nil {
		return s.refusal(refused)
	}
	a, err := s.route(c)
	if err != nil {
		var f *fault
		if !errors.As(err, &f) {
			f = refuse(http.StatusInternalServerError, "InternalServerError", err.Error())
		}
		return s.refusal(f)
	}
	return a
}

func (s *Server) refusal(f *fault) answer {
	a := answer{status: f.status, body: f, header: http.Header{}}
	if f.status == http.StatusTooManyRequests {
		a.header.Set("Retry-After", strconv.Itoa(s.retryAfter()))
	}
	return a
}

var versioned = regexp.MustCompile(`^application/vnd\.connectwise\.com\+json; ?version=20\d\d\.\d+$`)

// admit checks everything that does not depend on the resource.
func (s *Server) admit(c *call) *fault {
	now := s.opts.Now()
	for len(s.recent) > 0 && now.Sub(s.recent[0]) >= time.Minute {
		s.recent = s.recent[1:]
	}
	s.recent = append(s.recent, now)
	if s.opts.PerMinute > 0 && len(s.recent) > s.opts.PerMinute || s.happens("throttle_storm") {
		return refuse(http.StatusTooManyRequests, "ConnectWiseAPI", "Too many requests. Please try again later.")
	}
	if c.path == "system/info" && s.wrong["forbid"] != "system" {
		return nil // answers without keys, as a self-hosted one was seen to: it proves nothing about them
	}
	if c.Header.Get("clientId") != s.opts.ClientID {
		return refuse(http.StatusForbidden, "Forbidden", "A valid clientId header is required.")
	}
	keys := s.opts.Company + "+" + s.opts.PublicKey + ":" + s.opts.PrivateKey
	if how, on := s.wrong["reject_keys"]; on || c.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(keys)) {
		if how == "404" {
			return refuse(http.StatusNotFound, "NotFound", "Company not found")
		}
		return refuse(http.StatusUnauthorized, "Unauthorized", "Provided credentials are not valid.")
	}
	accept := c.Header.Get("Accept")
	if accept != "application/json" && !versioned.MatchString(accept) {
		return refuse(http.StatusNotAcceptable, "NotAcceptable", "The requested version is not supported.")
	}
	if len(c.body) > 0 && !strings.HasPrefix(c.Header.Get("Content-Type"), "application/json") {
		return refuse(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "The request content type is not supported.")
	}
	return nil
}
