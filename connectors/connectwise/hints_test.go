package connectwise

import (
	"encoding/json"
	"fmt"
	"net/url"
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

const hookURL = "https://trueup.example.com/hooks/psa"

// post collects the callbacks that the PSA sends.
type post struct {
	mu   sync.Mutex
	sent []connectwisetest.Callback
}

func (p *post) send(c connectwisetest.Callback) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, c)
}

func (p *post) take() []connectwisetest.Callback {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

// listening is a world with our callbacks registered.
func listening(t *testing.T, additions bool) (*world, *post) {
	t.Helper()
	p := &post{}
	w := newWorld(t, server(func(o *connectwisetest.Options) { o.Send, o.AdditionCallbacks = p.send, additions }))
	if _, err := w.c.Register(t.Context(), connectors.Registration{URL: hookURL}); err != nil {
		t.Fatal(err)
	}
	return w, p
}

func (w *world) hints(c connectwisetest.Callback) (connectors.Told, error) {
	return w.c.Hints(w.Context(), connectors.Message{Header: c.Header, Body: c.Body})
}

// body is that of a callback about the agreement, with what a test changes.
func (w *world) body(change map[string]any) []byte {
	b := map[string]any{"Action": "updated", "CompanyId": "acme", "ID": w.deal, "MemberId": "jdoe", "Type": "agreement",
		"Entity": fmt.Sprintf(`{"id":%d,"_info":{"lastUpdated":%q}}`, w.deal, w.clock.Now().UTC().Format(stampLayout)), "Metadata": map[string]any{"key_url": w.fake.KeyURL()}}
	for name, value := range change {
		b[name] = value
	}
	raw, err := json.Marshal(b)
	if err != nil {
		w.Fatal(err)
	}
	return raw
}

// What a person edits in the PSA comes as a callback that is believed, but for additions, of which there are none.
func TestCallbacksAreBelieved(t *testing.T) {
	t.Parallel()
	w, p := listening(t, false)
	p.take()
	w.edit("addition", w.line, map[string]any{"quantity": 12})
	if sent := p.take(); len(sent) != 0 {
		t.Fatalf("there is no callback for additions: %v", sent)
	}
	w.edit("agreement", w.deal, map[string]any{"name": "Cloud 2"})
	w.edit("company", w.company, map[string]any{"name": "Contoso 2"})
	sent := p.take()
	if len(sent) != 2 || !strings.HasPrefix(sent[0].URL, hookURL+"?id="+strconv.Itoa(w.deal)) {
		t.Fatalf("sent: %v", sent)
	}
	want := []connectors.Ref{{Kind: kindAddition, Parent: strconv.Itoa(w.deal)}, {Kind: kindCompany, ID: strconv.Itoa(w.company)}}
	ids := map[string]bool{}
	for i, c := range sent {
		told, err := w.hints(c)
		if err != nil || !cmp.Equal([]connectors.Ref{want[i]}, told.Places) || !told.Again || ids[told.ID] {
			t.Errorf("callback %d: %+v, %v", i, told, err)
		}
		ids[told.ID] = true
	}
	w.clock.Add(time.Minute)
	if told, err := w.hints(sent[0]); err != nil || told.Again || !ids[told.ID] {
		t.Errorf("a copy, a minute later: %+v, %v", told, err)
	}
	keys := 0
	for _, r := range w.fake.Requests() {
		if strings.Contains(r.Path, "signing") {
			keys++
		}
	}
	if keys != 1 {
		t.Errorf("the signing key was fetched %d times", keys)
	}
}

// Our own writes are not called back, and a server that tells of edited additions is understood.
func TestCallbacksOfAdditions(t *testing.T) {
	t.Parallel()
	w, p := listening(t, true)
	p.take()
	w.edit("addition", w.line, map[string]any{"quantity": 12})
	sent := p.take()
	if len(sent) != 1 {
		t.Fatalf("sent: %v", sent)
	}
	if told, err := w.hints(sent[0]); err != nil || !cmp.Equal([]connectors.Ref{{Kind: kindAddition, Parent: strconv.Itoa(w.deal)}}, told.Places) {
		t.Errorf("%+v, %v", told, err)
	}
	_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Key: "k", Edits: map[string]connectors.Edit{"invoiceDescription": {To: model.Text("y")}}})
	if err != nil {
		t.Fatal(err)
	}
	if sent := p.take(); len(sent) != 0 {
		t.Errorf("our own write came back: %v", sent)
	}
}

// Every way in which a callback is not the PSA's, or not this account's, is refused.
func TestCallbacksAreRefused(t *testing.T) {
	t.Parallel()
	type callback = connectwisetest.Callback
	signed := func(change map[string]any) func(*world) callback {
		return func(w *world) callback { return w.fake.Callback(w.body(change)) }
	}
	for name, tc := range map[string]struct {
		make  func(*world) callback
		class connectors.Class
	}{
		"another body": {func(w *world) callback {
			c := w.fake.Callback(w.body(nil))
			c.Body = append(c.Body, ' ')
			return c
		}, connectors.ClassAuth},
		"no signature": {func(w *world) callback { return callback{Body: w.body(nil)} }, connectors.ClassAuth},
		"a short signature": {func(w *world) callback {
			c := w.fake.Callback(w.body(nil))
			c.Header.Set(signatureHeader, "QUJD")
			return c
		}, connectors.ClassAuth},
		"a key of another host": {signed(map[string]any{"Metadata": map[string]any{"key_url": "https://evil.example.com/key"}}), connectors.ClassAuth},
		"no key":                {signed(map[string]any{"Metadata": nil}), connectors.ClassAuth},
		"no key there": {func(w *world) callback {
			return w.fake.Callback(w.body(map[string]any{"Metadata": map[string]any{"key_url": w.fake.KeyURL() + "x"}}))
		}, connectors.ClassAuth},
		"another company":           {signed(map[string]any{"CompanyId": "contoso"}), connectors.ClassInvalid},
		"two days old":              {signed(map[string]any{"Entity": `{"_info":{"lastUpdated":"2031-01-30T08:59:59Z"}}`}), connectors.ClassInvalid},
		"no id":                     {signed(map[string]any{"ID": "../1"}), connectors.ClassInvalid},
		"no type":                   {signed(map[string]any{"Type": ""}), connectors.ClassInvalid},
		"no JSON":                   {func(w *world) callback { return w.fake.Callback([]byte("hello")) }, connectors.ClassInvalid},
		"a form":                    {func(w *world) callback { return w.fake.Callback([]byte(url.Values{"id": {"1"}}.Encode())) }, connectors.ClassInvalid},
		"signed by an earlier key?": {nil, connectors.ClassAuth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := listening(t, false)
			var c callback
			if tc.make != nil {
				c = tc.make(w)
			} else {
				c = w.fake.Callback(w.body(nil))
				w.fake.RotateKey()
			}
			told, err := w.hints(c)
			if connectors.ClassOf(err) != tc.class || len(told.Places) != 0 || told.ID != "" {
				t.Errorf("told %+v, %v; want %s", told, err, tc.class)
			}
		})
	}
}

// A new signing key at the same address is fetched; made-up addresses make few requests; other types are no news; ids may be texts.
func TestCallbackKeys(t *testing.T) {
	t.Parallel()
	w, _ := listening(t, false)
	if _, err := w.hints(w.fake.Callback(w.body(nil))); err != nil {
		t.Fatal(err)
	}
	w.fake.RotateKey()
	w.clock.Add(2 * time.Minute)
	if _, err := w.hints(w.fake.Callback(w.body(nil))); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if told, err := w.hints(w.fake.Callback(w.body(map[string]any{"Type": "ticket", "ID": "77", "CompanyId": "ACME"}))); err != nil || len(told.Places) != 0 {
		t.Errorf("a ticket: %+v, %v", told, err)
	}
	if told, err := w.hints(w.fake.Callback(w.body(map[string]any{"Action": "deleted", "Entity": nil}))); err != nil || len(told.Places) != 1 || told.Until.Before(w.clock.Now().Add(timeless)) {
		t.Errorf("a deletion: %+v, %v", told, err)
	}
	before, limited := len(w.fake.Requests()), 0
	for i := range 50 {
		_, err := w.hints(w.fake.Callback(w.body(map[string]any{"Metadata": map[string]any{"key_url": fmt.Sprintf("%s?%d", w.fake.KeyURL(), i)}})))
		if connectors.ClassOf(err) == connectors.ClassLimited {
			limited++
		}
	}
	if sent := len(w.fake.Requests()) - before; sent > 7 || limited < 43 {
		t.Errorf("%d requests were made for fifty made-up addresses, %d were put off", sent, limited)
	}
}

// One request shows which agreements were edited, with those whose additions were; what was told is not told again.
func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := func(want ...int) {
		t.Helper()
		before := len(w.fake.Requests())
		places, err := w.c.Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, p := range places {
			id, err := strconv.Atoi(p.Parent)
			if err != nil || p.Kind != kindAddition {
				t.Errorf("place %+v", p)
			}
			got = append(got, id)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("moved (-want +got):\n%s", diff)
		}
		if sent := len(w.fake.Requests()) - before; sent > 2 { // the first asks for the codebase, too
			t.Errorf("%d requests", sent)
		}
	}
	w.edit("addition", w.second, map[string]any{"quantity": 4})
	watch() // how things stood
	w.clock.Add(time.Minute)
	watch(w.deal) // edited in the second in which it was looked at: it may have been edited once more
	watch()
	w.edit("addition", w.line, map[string]any{"quantity": 12})
	watch(w.deal)
	w.edit("addition", w.line, map[string]any{"quantity": 13}) // in the same second
	watch(w.deal)
	w.clock.Add(5 * time.Second)
	watch(w.deal)
	watch()
}

// Where the PSA does not show edited additions on their agreement, watching is refused, so that nobody relies on it.
func TestWatchNeedsTheStamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.misbehave("stale_agreement_stamp", "")
	w.edit("addition", w.line, map[string]any{"quantity": 12})
	if _, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindAddition}, func(connectors.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.c.Watch(t.Context()); connectors.ClassOf(err) != connectors.ClassInvalid {
		t.Errorf("%v", err)
	}
}

// Callbacks are registered once, one for each type, switched on again, and removed; those of others stay.
func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := "https://other.example.com/x?id="
	theirs := connectors.Registration{URL: "https://other.example.com/x"}
	if _, err := w.c.Register(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	r := connectors.Registration{URL: hookURL, Dry: true}
	register := func(steps int) connectors.Registered {
		t.Helper()
		done, err := w.c.Register(t.Context(), r)
		if err != nil || len(done.Steps) != steps {
			t.Fatalf("%v, %v", done.Steps, err)
		}
		return done
	}
	before := w.fake.Writes()
	register(2)
	if w.fake.Writes() != before {
		t.Error("a dry run wrote something")
	}
	r.Dry = false
	if done := register(2); len(done.Hooks) != 4 || !done.Hooks[2].Ours || done.Hooks[0].Ours || done.Hooks[2].URL != hookURL {
		t.Errorf("hooks: %+v", done.Hooks)
	}
	register(0)
	if diff := cmp.Diff([]string{"agreement", "company"}, w.fake.Callbacks(hookURL+"?id=")); diff != "" {
		t.Errorf("registered (-want +got):\n%s", diff)
	}
	w.edit("callback", w.fake.IDs("callback")[2], map[string]any{"inactiveFlag": true})
	register(1)
	register(0)
	r.Remove = true
	register(2)
	register(0)
	if left := w.fake.Callbacks(hookURL + "?id="); len(left) != 0 || len(w.fake.Callbacks(other)) != 2 {
		t.Errorf("left: %v, others: %v", left, w.fake.Callbacks(other))
	}
}

// FuzzCallback: whatever body was signed, it is refused as invalid or tells whole numbers.
func FuzzCallback(f *testing.F) {
	c := &Connector{account: connectors.Account{Name: "psa", Settings: map[string]string{"company": "acme"}, Now: func() time.Time { return time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC) }}}
	for _, seed := range []string{
		`{"Action":"updated","CompanyId":"acme","Entity":"{\"id\":812,\"_info\":{\"lastUpdated\":\"2031-02-01T08:00:00Z\"}}","ID":812,"Type":"agreement"}`,
		`{"Action":"deleted","CompanyId":"acme","Entity":null,"ID":"812","Type":"company"}`, `{"CompanyId":["acme"],"ID":{}}`, `{"Entity":"[","CompanyId":"acme","ID":1,"Type":"x"}`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var body callback
		if json.Unmarshal(raw, &body) != nil {
			return
		}
		told, err := c.readCallback(body, raw)
		if err != nil {
			if connectors.ClassOf(err) != connectors.ClassInvalid || told.ID != "" || len(told.Places) != 0 {
				t.Errorf("refused as %s, and it tells %+v", connectors.ClassOf(err), told)
			}
			return
		}
		for _, p := range told.Places {
			if _, err := strconv.ParseUint(p.Parent+p.ID, 10, 64); err != nil || told.Until.Before(c.account.Now()) {
				t.Errorf("%+v", told)
			}
		}
	})
}
