// Package partnercentertest is a local Partner Center: a strict, honest stand-in for the service, for tests and for
// `trueup sandbox`. All data in it is invented.
//
//	s := partnercentertest.New(partnercentertest.Options{})
//	s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
//	account := partnercentertest.Start(t, s) // in a test; elsewhere serve s.Handler()
//
// One handler serves three hosts of the service under three prefixes: /api (Partner Center), /sign-in (tokens) and
// /prices (price sheets). Links inside answers are relative, as the service's are.
//
// It enforces what the service is documented to enforce, by its own rules and not by the connector's: tokens are the
// ones it issued, for the host they were issued for; calls that need a user refuse an application alone; writes carry a
// GUID in MS-RequestId and are done once per GUID; paging tokens work once; a subscription changed without its full
// body loses auto-renewal and its scheduled changes; seats can be taken away only inside the window of the batch they
// came in, never below what an add-on has; what is scheduled names an availability of today; a billing profile is replaced whole, under its
// etag; a new customer needs a free domain and an address that can be found, and its password is told once; nothing is bought for a customer that
// has not accepted the customer agreement, in a term that is not sold, with an availability of yesterday, or from a cart that was checked out or is
// older than 7 days; every write leaves an audit record. Time is the clock it was given: terms renew, windows close and tokens
// expire when that clock says so.
//
// Webhooks: a tenant has one registration; changed subscriptions are told with messages that are signed with a certificate of the
// server's own authority, also to the program that made the change.
//
// Misbehaviours lists the ways in which it can be told to fail.
package partnercentertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
)

// Account types.
const (
	Direct           = "direct"
	IndirectProvider = "indirect_provider"
)

// The audiences that tokens are issued for: the service's own names, whatever host the fake listens on.
const (
	AudienceAPI    = "https://api.partnercenter.microsoft.com"
	AudiencePrices = "https://api.partner.microsoft.com"
)

// Options shape a Server. The zero value is a direct partner in the United States with no request limit.
type Options struct {
	Now          func() time.Time // nil: time.Now
	AccountType  string           // Direct (default) or IndirectProvider
	Tenant       string           // the partner's own tenant; the other four are invented too when empty
	ClientID     string
	ClientSecret string
	RefreshToken string // the first refresh token
	PageSize     int    // most customers or audit records a page; 500 when 0
	PerMinute    int    // API requests a minute, refused ones included; 0 for no limit
	Latency      time.Duration
	TokenLife    time.Duration // of an access token; one hour when 0
	Country      string        // market of the price sheet; US when empty
	Currency     string        // of added prices that name none; USD when empty
	// ExtendedTerms lets a subscription that neither renews nor is cancelled go on month by month, paid for.
	ExtendedTerms bool
	// Send is given the webhook messages that a registration asks for, while the server is locked: it must return at once and not
	// call the server. Nil sends none.
	Send func(Message)
}

// Server is the fake. Its methods may be called while it serves.
type Server struct {
	opt Options

	mu            sync.Mutex
	customers     []*Customer
	resellers     []Reseller
	subscriptions []*subscription
	prices        []Price
	products      []Product
	promotions    []Promotion
	carts         []*cart
	orders        []*order
	audit         []AuditRecord
	taken         []string // domains of tenants that are nobody's customers
	passwords     []string // every one that was given out
	access        map[string]grant
	refresh       map[string]int // uses left of each refresh token
	pages         map[string]page
	done          map[string]outcome // finished writes by MS-RequestId
	calls         []time.Time        // API calls of the last minute
	log           []RequestLog
	misbehaving   map[string]string

	registration *registration
	authority    *Authority
	signer       *Signer           // of messages; made when the first is sent
	published    map[string][]byte // certificates by name
	base         string            // where this server is, once Settings told somebody
}

// RequestLog is one request as it was answered. It holds no secret: no header but MS-RequestId, no query, no body.
type RequestLog struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Status int       `json:"status"` // 0 when the connection was dropped
	Key    string    `json:"key"`    // MS-RequestId
}

// New makes an empty service: no customers, no subscriptions, no prices.
func New(opt Options) *Server {
	defaults := []struct {
		to    *string
		value string
	}{
		{&opt.AccountType, Direct},
		{&opt.Tenant, "7f0c2d10-1c1b-4a53-8a0e-2b7a5d9e0001"},
		{&opt.ClientID, "51b2a9d4-6f0e-4c0b-9a51-3c8e7f1d0002"},
		{&opt.ClientSecret, "invented-client-secret"},
		{&opt.RefreshToken, "invented-refresh-token"},
		{&opt.Country, "US"},
		{&opt.Currency, "USD"},
	}
	for _, d := range defaults {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.PageSize == 0 {
		opt.PageSize = 500
	}
	if opt.TokenLife == 0 {
		opt.TokenLife = time.Hour
	}
	return &Server{
		opt:         opt,
		access:      map[string]grant{},
		refresh:     map[string]int{opt.RefreshToken: unlimited},
		pages:       map[string]page{},
		done:        map[string]outcome{},
		misbehaving: map[string]string{},
		authority:   NewAuthority(CertificateOptions{}),
		published:   map[string][]byte{},
	}
}

// Handler serves the three hosts under /api, /sign-in and /prices, and the certificates of webhook messages under /certificates.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", s.API()))
	mux.Handle("/sign-in/", http.StripPrefix("/sign-in", s.SignIn()))
	mux.HandleFunc("GET /certificates/", s.certificates)
	mux.Handle("/prices/", http.StripPrefix("/prices", s.Prices()))
	return mux
}

// TakeDomain says that a tenant which is no customer has the domain, such as harbourdental.onmicrosoft.com.
func (s *Server) TakeDomain(domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, domain)
}

// Passwords are the first administrators' passwords that were given out, so that a test can look for them where they must not be.
func (s *Server) Passwords() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.passwords...)
}

// Requests are the requests answered so far, oldest first.
func (s *Server) Requests() []RequestLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]RequestLog(nil), s.log...)
}

// Settings are the plain settings of an account that talks to this server at base (http://127.0.0.1:8485).
func (s *Server) Settings(base string) map[string]string {
	s.mu.Lock()
	s.base = base
	s.mu.Unlock()
	return map[string]string{
		"webhook_hosts": base,
		"webhook_roots": s.authority.PEM(),
		"tenant":        s.opt.Tenant,
		"client_id":     s.opt.ClientID,
		"account_type":  s.opt.AccountType,
		"country":       s.opt.Country,
		"api":           base + "/api",
		"sign_in":       base + "/sign-in",
		"prices":        base + "/prices",
	}
}

// Secrets are the secret settings that go with Settings. Without refresh_token the account signs in as an application only.
func (s *Server) Secrets() map[string]connectors.Secret {
	return map[string]connectors.Secret{
		"client_secret": connectors.NewSecret(s.opt.ClientSecret),
		"refresh_token": connectors.NewSecret(s.opt.RefreshToken),
	}
}

// TB is the part of testing.TB that Start needs, so that serving a sandbox does not carry the test framework with it.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start serves s on loopback until the test ends and returns an account for it, with a vault in memory and the
// server's clock.
func Start(t TB, s *Server) connectors.Account {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen on loopback: %v", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(listener) // always http.ErrServerClosed, by the Close below
	}()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-stopped
	})
	return connectors.Account{
		Name:     "microsoft",
		Settings: s.Settings("http://" + listener.Addr().String()),
		Secrets:  s.Secrets(),
		Vault:    &memoryVault{kept: map[string]connectors.Secret{}},
		HTTP:     &http.Client{Transport: transport},
		Log:      zap.NewNop(),
		Now:      s.opt.Now,
		Location: time.UTC,
	}
}

// memoryVault is a vault for tests.
type memoryVault struct {
	mu   sync.Mutex
	kept map[string]connectors.Secret
}

func (v *memoryVault) Get(_ context.Context, name string) (connectors.Secret, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	secret, ok := v.kept[name]
	return secret, ok, nil
}

func (v *memoryVault) Put(_ context.Context, name string, value connectors.Secret) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kept[name] = value
	return nil
}

func (s *Server) now() time.Time { return s.opt.Now().UTC() }

func newID() string { return uuid.NewString() }

// newToken is an unguessable opaque text.
func newToken(prefix string) string { return fmt.Sprintf("%s-%s", prefix, uuid.NewString()) }
