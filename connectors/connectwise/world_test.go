package connectwise

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a small tenant and a connector to it.
type world struct {
	*testing.T
	fake                                   *connectwisetest.Server
	c                                      *Connector
	clock                                  *clock
	account                                connectors.Account
	company, contact, product, other, deal int
	line, second                           int
}

type option func(*connectwisetest.Options, *connectors.Account)

func setting(name, value string) option {
	return func(_ *connectwisetest.Options, a *connectors.Account) {
		if a != nil {
			a.Settings[name] = value
		}
	}
}

func server(change func(*connectwisetest.Options)) option {
	return func(o *connectwisetest.Options, _ *connectors.Account) {
		if o != nil {
			change(o)
		}
	}
}

func newWorld(t *testing.T, options ...option) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{now: time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC)}}
	o := connectwisetest.Options{Now: w.clock.Now}
	for _, option := range options {
		option(&o, nil)
	}
	w.fake = connectwisetest.New(o)
	w.company = w.fake.AddCompany(connectwisetest.Company{Identifier: "contoso", Name: "Contoso"})
	w.contact = w.fake.AddContact(connectwisetest.Contact{Company: w.company, FirstName: "Ada", LastName: "Smith", Email: "ada@example.com", Default: true})
	w.product = w.fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "M365-BP", Description: "Business Premium", Price: "22", Cost: "18.1"})
	w.other = w.fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "M365-E3", Description: "E3", Price: "40", Cost: "30"})
	w.deal = w.fake.AddAgreement(connectwisetest.Agreement{Name: "Cloud", Company: w.company, Contact: w.contact, Start: "2031-01-01"})
	line := connectwisetest.Addition{Agreement: w.deal, Product: w.product, Quantity: "10", UnitPrice: "12.5", UnitCost: "9"}
	if !o.Bare {
		line.Custom = map[string]string{"Vendor Subscription Id": "sub-1"}
	}
	w.line = w.fake.AddAddition(line)
	w.second = w.fake.AddAddition(connectwisetest.Addition{Agreement: w.deal, Product: w.other, Quantity: "3"})
	w.account = connectwisetest.Start(t, w.fake)
	for _, option := range options {
		option(nil, &w.account)
	}
	w.c = w.connect()
	return w
}

// connect makes another connector to the same tenant; it does not repeat failed requests, so that tests do not wait.
func (w *world) connect() *Connector {
	w.Helper()
	c, err := build(w.account, -1)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) misbehave(name, value string) {
	w.Helper()
	if err := w.fake.Misbehave(name, value); err != nil {
		w.Fatal(err)
	}
}

func (w *world) edit(kind string, id int, fields map[string]any) {
	w.Helper()
	if err := w.fake.Edit(kind, id, "jdoe", fields); err != nil {
		w.Fatal(err)
	}
}

func (w *world) list(kind string) ([]connectors.Record, connectors.Listing) {
	w.Helper()
	var records []connectors.Record
	listing, err := w.c.List(w.Context(), connectors.ListRequest{Kind: kind}, func(r connectors.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return records, listing
}

func (w *world) lineRef() connectors.Ref {
	return connectors.Ref{Kind: kindAddition, ID: strconv.Itoa(w.line), Parent: strconv.Itoa(w.deal)}
}

// writes are the bodies of the writes sent so far: method, path and body.
func (w *world) writes() []string {
	var sent []string
	for _, r := range w.fake.Requests() {
		if r.Method != "GET" {
			sent = append(sent, r.Method+" "+r.Path+" "+r.Body)
		}
	}
	return sent
}

// since counts the requests after a mark.
func (w *world) since(mark int) []connectwisetest.Request { return w.fake.Requests()[mark:] }

func value(t *testing.T, typ model.Type, s string) model.Value {
	t.Helper()
	v, err := model.Parse(typ, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func gbp(t *testing.T, s string) model.Value { return value(t, model.TypeMoney, s+" GBP") }

// wantError checks class, field and that the text names everything in words.
func wantError(t *testing.T, err error, class connectors.Class, field string, words ...string) {
	t.Helper()
	var e *connectors.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a *connectors.Error of class %s", err, err, class)
	}
	if e.Class != class || e.Field != field {
		t.Errorf("class %q field %q, want %q %q: %v", e.Class, e.Field, class, field, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func ids(records []connectors.Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = r.Kind + " " + r.ID
	}
	return all
}

func reasons(l connectors.Listing) string {
	texts := make([]string, len(l.Gaps))
	for i, g := range l.Gaps {
		texts[i] = g.Reason
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

// beforePost lets something happen when the next POST to a collection has been sent and not yet served.
func (w *world) beforePost(path string, happen func()) {
	w.Helper()
	next := w.account.HTTP.Transport
	var once sync.Once
	w.account.HTTP = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, path) {
			once.Do(happen)
		}
		return next.RoundTrip(r)
	})}
	w.c = w.connect()
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
