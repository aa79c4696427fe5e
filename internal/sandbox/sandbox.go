// Package sandbox serves a small MSP's outside world on loopback: a strict Partner Center, a strict ConnectWise PSA, and a
// control API over both. Nothing in it is real, and nothing leaves the machine.
//
//	box, err := sandbox.Start(ctx, sandbox.Options{Seed: 7})
//	defer box.Close()
//	json.NewEncoder(os.Stdout).Encode(box.Connection())   // addresses, credentials, settings for trueup.yaml
//	fmt.Print(box.Truth().Summary())                      // what is right, and what is wrong on purpose
//
// The world is made from a seed: the same options and the same start give the same records with the same ids. It is awkward
// on purpose. Truth says what a careful person would find in it; Truth.Awkward names an example of every awkward kind.
// From MinComplete customers on, every kind is there.
//
// Both stand-ins share one clock, which runs and can be moved forward. Terms end, windows close and tokens expire by it.
//
// The control API (docs/sandbox.md) shows and edits state as people at either system would, turns misbehaviours on and
// off, moves the clock and returns the log of requests, so that anybody's tests can drive the sandbox from outside.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// Options shape a sandbox. The zero value is 120 customers with about 1,500 subscriptions, strict and without limits.
type Options struct {
	Customers       int    // vendor customers' companies; 120 when 0
	PerCustomer     int    // subscriptions of a customer on average; 12 when 0
	Seed            uint64 // which world
	Latency         time.Duration
	VendorPerMinute int       // requests a minute that Partner Center takes; 0 for no limit
	PSAPerMinute    int       // requests a minute that the PSA takes; 0 for no limit
	TLS             bool      // serve the two systems over HTTPS, with a certificate of a CA made for this sandbox
	Start           time.Time // what the clock shows at first; now when zero
	Addr            string    // loopback host and port: Partner Center there, the PSA one port and control two ports higher; any free ports when the port is 0. "127.0.0.1:0" when empty
	Country         string    // market of the price sheet; GB when empty
	Currency        string    // GBP when empty
	// AdditionCallbacks has the PSA send the callback of an agreement when one of its additions is edited, which nobody has confirmed of a real one.
	AdditionCallbacks bool
}

// MinComplete is from how many customers on a world holds every awkward kind.
const MinComplete = 40

const (
	defaultCustomers   = 120
	defaultPerCustomer = 12
	noLimit            = 60_000 // requests a minute a client may allow itself here
)

// Sandbox is a running one. Its methods may be called from several goroutines.
type Sandbox struct {
	options    Options
	clock      *clock
	vendor     *partnercentertest.Server
	psa        *connectwisetest.Server
	truth      Truth
	connection Connection
	transport  *http.Transport
	folder     string // of the CA's certificate; "" without TLS

	listeners [3]net.Listener
	servers   [3]*http.Server
	serving   sync.WaitGroup
	detach    func() bool
	closing   sync.Once
	closed    error

	control control
	mail    mail
}

// Start makes the world and serves it until Close, or until ctx ends.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	s := &Sandbox{options: o, clock: &clock{at: o.Start, frozen: true}, transport: &http.Transport{}}
	s.vendor = partnercentertest.New(partnercentertest.Options{
		Now: s.clock.now, PerMinute: o.VendorPerMinute, Latency: o.Latency, Country: o.Country, Currency: o.Currency,
		Send: func(m partnercentertest.Message) { s.mail.send(letter{m.URL, m.Header, m.Body}) },
	})
	s.psa = connectwisetest.New(connectwisetest.Options{Now: s.clock.now, PerMinute: o.PSAPerMinute, Latency: o.Latency, AdditionCallbacks: o.AdditionCallbacks,
		Send: func(c connectwisetest.Callback) { s.mail.send(letter{c.URL, c.Header, c.Body}) }})
	s.mail.open()
	s.psa.AddCustomField("addition", "Vendor Status", "TextArea")
	s.truth = build(o, s.clock, s.vendor, s.psa)
	s.clock.run(o.Start)
	if err := s.serve(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start sandbox: %w", err), s.Close())
	}
	s.detach = context.AfterFunc(ctx, func() { _ = s.stop() }) // Close tells how it went
	return s, nil
}

// complete fills defaults in and refuses what makes no sense.
func (o *Options) complete() error {
	if o.Customers == 0 {
		o.Customers = defaultCustomers
	}
	if o.PerCustomer == 0 {
		o.PerCustomer = defaultPerCustomer
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	o.Start = o.Start.UTC().Truncate(time.Second)
	for value, otherwise := range map[*string]string{&o.Addr: "127.0.0.1:0", &o.Country: "GB", &o.Currency: "GBP"} {
		if *value == "" {
			*value = otherwise
		}
	}
	switch {
	case o.Customers < 1 || o.PerCustomer < 1:
		return errors.New("customers and subscriptions per customer must be above zero")
	case o.Latency < 0 || o.VendorPerMinute < 0 || o.PSAPerMinute < 0:
		return errors.New("latency and requests a minute must not be below zero")
	case len(o.Country) != 2 || len(o.Currency) != 3:
		return fmt.Errorf("country %q and currency %q must be codes like GB and GBP", o.Country, o.Currency)
	}
	return nil
}

// serve opens the three listeners and answers on them.
func (s *Sandbox) serve(ctx context.Context) error {
	if err := s.listen(ctx); err != nil {
		return err
	}
	scheme, certificate := "http", (*authority)(nil)
	if s.options.TLS {
		var err error
		if certificate, err = newAuthority(time.Now()); err != nil {
			return err
		}
		if s.folder, err = os.MkdirTemp("", "trueup-sandbox-"); err != nil {
			return fmt.Errorf("make a folder for the CA certificate: %w", err)
		}
		if s.connection.CAFile, err = certificate.write(s.folder); err != nil {
			return err
		}
		scheme, s.transport.TLSClientConfig = "https", certificate.clientConfig()
	}
	s.connect(scheme)
	handlers := [3]http.Handler{s.vendor.Handler(), s.psa.Handler(), s.controlHandler()}
	for i, handler := range handlers {
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: 10 * time.Second,
			// A client that gives up in the middle of a handshake is not news.
			ErrorLog: log.New(io.Discard, "", 0),
		}
		listener := s.listeners[i]
		if certificate != nil && i != controlSlot {
			listener = certificate.listener(listener)
		}
		s.servers[i] = server
		s.serving.Go(func() { _ = server.Serve(listener) }) // always http.ErrServerClosed, by stop
	}
	return nil
}

const (
	vendorSlot = iota
	psaSlot
	controlSlot
)

func (s *Sandbox) listen(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.options.Addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", s.options.Addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("address %q is not on the loopback; the sandbox prints its credentials, so it is for this machine only: use 127.0.0.1", s.options.Addr)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil || first > 65535-2 {
		return fmt.Errorf("address %q: the port must be a number up to 65533", s.options.Addr)
	}
	var config net.ListenConfig
	for i := range s.listeners {
		at := first
		if first > 0 {
			at += uint64(i)
		}
		if s.listeners[i], err = config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.FormatUint(at, 10))); err != nil {
			return fmt.Errorf("listen on the loopback: %w", err)
		}
	}
	return nil
}

// Close stops serving and removes the CA's certificate. It may be called more than once.
func (s *Sandbox) Close() error {
	if s.detach != nil {
		s.detach()
	}
	return s.stop()
}

func (s *Sandbox) stop() error {
	s.closing.Do(func() {
		for i := range s.listeners {
			switch {
			case s.servers[i] != nil:
				s.closed = errors.Join(s.closed, s.servers[i].Close())
			case s.listeners[i] != nil:
				s.closed = errors.Join(s.closed, s.listeners[i].Close())
			}
		}
		s.serving.Wait()
		s.mail.close()
		s.transport.CloseIdleConnections()
		if s.folder != "" {
			s.closed = errors.Join(s.closed, os.RemoveAll(s.folder))
		}
	})
	return s.closed
}

// Truth is what is right in the world as it was made. Later edits and a moved clock do not change it.
func (s *Sandbox) Truth() Truth { return s.truth }

// Now is what the sandbox's clock shows. A program that runs in the same process as the sandbox should live by it.
func (s *Sandbox) Now() time.Time { return s.clock.now() }

// Advance moves the clock forward. Terms end and windows close as the systems next look at them.
func (s *Sandbox) Advance(by time.Duration) error { return s.clock.set(s.clock.now().Add(by)) }

// Vendor is the stand-in of Partner Center, for what the control API does not offer.
func (s *Sandbox) Vendor() *partnercentertest.Server { return s.vendor }

// PSA is the stand-in of ConnectWise PSA.
func (s *Sandbox) PSA() *connectwisetest.Server { return s.psa }

// HTTP is a client that trusts the sandbox's CA. It stops working when the sandbox is closed.
func (s *Sandbox) HTTP() *http.Client { return &http.Client{Transport: s.transport} }

// Accounts are the two accounts that reach the sandbox, for a program in the same process: with its clock and its CA, but
// without a vault, which whoever uses them must add.
func (s *Sandbox) Accounts() (vendor, psa connectors.Account) {
	vendor = connectors.Account{
		Name: "microsoft", Settings: s.vendorSettings(), Secrets: s.vendor.Secrets(), Budget: s.connection.Vendor.Budget,
		HTTP: s.HTTP(), Log: zap.NewNop(), Now: s.Now, Location: time.UTC,
	}
	psa = s.psa.Account(s.connection.PSA.Site)
	psa.Settings, psa.Budget, psa.HTTP, psa.Vault = s.psaSettings(), s.connection.PSA.Budget, s.HTTP(), nil
	return vendor, psa
}

// clock is the time both systems live by.
type clock struct {
	mu     sync.Mutex
	at     time.Time // what it showed at since
	since  time.Time
	frozen bool // while the world is made
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *clock) read() time.Time {
	if c.frozen {
		return c.at
	}
	return c.at.Add(time.Since(c.since))
}

// freeze shows a fixed moment; only while the world is made.
func (c *clock) freeze(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.frozen = at, true
}

// run lets the clock go from a moment on.
func (c *clock) run(from time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.since, c.frozen = from, time.Now(), false
}

// set moves the clock forward. Backward is refused: what has expired and renewed cannot be undone.
func (c *clock) set(to time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.read(); to.Before(now) {
		return fmt.Errorf("move the clock to %s: it shows %s already, and it only goes forward", to.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	c.at, c.since = to.UTC(), time.Now()
	return nil
}
