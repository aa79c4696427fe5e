package partnercenter

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// post collects the messages that the service sends.
type post struct {
	mu   sync.Mutex
	sent []partnercentertest.Message
}

func (p *post) take() []partnercentertest.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

func (p *post) send(m partnercentertest.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
}

const hookURL = "https://trueup.example.com/hooks/microsoft"

// listening is a world whose tenant has our registration.
func listening(t *testing.T) (*world, *post) {
	t.Helper()
	p := &post{}
	w := start(t, setup{options: partnercentertest.Options{Send: p.send}})
	w.fake.SetRegistration(hookURL, eventUpdated)
	return w, p
}

func (w *world) hints(m partnercentertest.Message) (connectors.Told, error) {
	return w.Hints(w.t.Context(), connectors.Message{Header: m.Header, Body: m.Body})
}

// eventBody is a message's body about a subscription that changed some time ago.
func (w *world) eventBody(ago time.Duration) []byte {
	return fmt.Appendf(nil, `{"EventName":"subscription-updated","ResourceUri":"https://api.partnercenter.microsoft.com/webhooks/v1/customers/%s/subscriptions/%s","ResourceName":"subscription","AuditUri":null,"ResourceChangeUtcDate":%q}`,
		strings.ToUpper(harbour), strings.ToUpper(yearly), w.clock.Now().Add(-ago).UTC().Format("2006-01-02T15:04:05.0000000+00:00"))
}

// A change in the portal is told by a message that is believed, names the place in our spelling, and is known when it comes again. The
// certificate is fetched once.
func TestMessagesAreBelieved(t *testing.T) {
	t.Parallel()
	w, p := listening(t)
	if err := w.fake.EditQuantity(yearly, 15); err != nil {
		t.Fatal(err)
	}
	sent := p.take()
	if len(sent) != 1 || sent[0].URL != hookURL {
		t.Fatalf("the service sent %v", sent)
	}
	told, err := w.hints(sent[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]connectors.Ref{{Kind: kindSubscription, Parent: harbour, ID: yearly}}, told.Places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	again, err := w.hints(sent[0])
	if err != nil || again.ID != told.ID || told.ID == "" {
		t.Errorf("a copy is %q, %v, and the first was %q", again.ID, err, told.ID)
	}
	fetched := 0
	for _, r := range w.fake.Requests() {
		if strings.HasPrefix(r.Path, "/certificates/") {
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("the certificate was fetched %d times", fetched)
	}
	older, err := w.hints(w.fake.Message(w.eventBody(48 * time.Hour)))
	if err != nil || len(older.Places) != 1 || older.ID == told.ID {
		t.Errorf("a message that is two days late: %+v, %v", older, err)
	}
	test, err := w.hints(w.fake.Message(fmt.Appendf(nil, `{"EventName":"test-created","ResourceUri":"http://localhost:16722/v1/webhooks/registration/test","ResourceChangeUtcDate":%q}`, w.clock.Now().Format(time.RFC3339))))
	if err != nil || len(test.Places) != 0 {
		t.Errorf("a test message: %+v, %v", test, err)
	}
}

// Every way in which a message is not Microsoft's, or not for now, is refused, and nothing of it is told.
func TestMessagesAreRefused(t *testing.T) {
	t.Parallel()
	type message = partnercentertest.Message
	signed := func(w *world, by *partnercentertest.Authority, o partnercentertest.CertificateOptions) message {
		signer := by.Signer(o)
		w.fake.Publish("x.cer", signer.DER())
		return w.fake.Signed(signer, "x.cer", hookURL, w.eventBody(0), true)
	}
	header := func(name, value string) func(*world, message) message {
		return func(_ *world, m message) message {
			m.Header.Set(name, value)
			return m
		}
	}
	for name, tc := range map[string]struct {
		change func(*world, message) message
		class  connectors.Class
	}{
		"another body":         {func(_ *world, m message) message { m.Body = append(m.Body, ' '); return m }, connectors.ClassAuth},
		"no signature":         {header("X-MS-Signature", ""), connectors.ClassAuth},
		"not base64":           {header("X-MS-Signature", "Signature ?"), connectors.ClassAuth},
		"a token instead":      {header("X-MS-Signature", "Bearer QUJD"), connectors.ClassAuth},
		"sha1":                 {header("X-MS-Signature-Algorithm", "rsa-sha1"), connectors.ClassAuth},
		"no algorithm":         {header("X-MS-Signature-Algorithm", "none"), connectors.ClassAuth},
		"another host":         {header("X-MS-Certificate-Url", "https://evil.blob.core.windows.net/cert/x.cer"), connectors.ClassAuth},
		"a host that ends so":  {header("X-MS-Certificate-Url", "https://evil.example.com#127.0.0.1"), connectors.ClassAuth},
		"a query":              {func(_ *world, m message) message { return with(m, m.Header.Get("X-MS-Certificate-Url")+"?sas=1") }, connectors.ClassAuth},
		"no certificate there": {func(_ *world, m message) message { return with(m, m.Header.Get("X-MS-Certificate-Url")+"x") }, connectors.ClassAuth},
		"something else there": {func(w *world, m message) message {
			w.fake.Publish("text.cer", []byte("hello"))
			return with(m, strings.Replace(m.Header.Get("X-MS-Certificate-Url"), "notifications", "text", 1))
		}, connectors.ClassAuth},
		"another authority": {func(w *world, _ message) message {
			return signed(w, partnercentertest.NewAuthority(partnercentertest.CertificateOptions{}), partnercentertest.CertificateOptions{})
		}, connectors.ClassAuth},
		"given to somebody else, by somebody else": {func(w *world, _ message) message {
			return signed(w, w.fake.Authority().Authority(partnercentertest.CertificateOptions{Organization: "Evil Ltd"}), partnercentertest.CertificateOptions{Organization: "Evil Ltd"})
		}, connectors.ClassAuth},
		"expired": {func(w *world, _ message) message {
			return signed(w, w.fake.Authority(), partnercentertest.CertificateOptions{To: w.clock.Now().Add(-time.Minute)})
		}, connectors.ClassAuth},
		"not in force yet": {func(w *world, _ message) message {
			return signed(w, w.fake.Authority(), partnercentertest.CertificateOptions{From: w.clock.Now().Add(time.Minute)})
		}, connectors.ClassAuth},
		"a short key": {func(w *world, _ message) message {
			return signed(w, w.fake.Authority(), partnercentertest.CertificateOptions{Bits: 1024})
		}, connectors.ClassAuth},
		"too old":       {func(w *world, _ message) message { return w.fake.Message(w.eventBody(50 * time.Hour)) }, connectors.ClassInvalid},
		"in the future": {func(w *world, _ message) message { return w.fake.Message(w.eventBody(-time.Hour)) }, connectors.ClassInvalid},
		"no event":      {func(w *world, _ message) message { return w.fake.Message([]byte(`{"hello":1}`)) }, connectors.ClassInvalid},
		"no JSON":       {func(w *world, _ message) message { return w.fake.Message([]byte(`hello`)) }, connectors.ClassInvalid},
		"no time": {func(w *world, _ message) message {
			return w.fake.Message([]byte(`{"EventName":"subscription-updated"}`))
		}, connectors.ClassInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := listening(t)
			good := w.fake.Message(w.eventBody(0))
			signature := good.Header.Get("X-MS-Signature")
			told, err := w.hints(tc.change(w, good))
			if connectors.ClassOf(err) != tc.class || len(told.Places) != 0 || told.ID != "" {
				t.Errorf("told %+v, %v; want %s", told, err, tc.class)
			}
			if err != nil && strings.Contains(err.Error(), signature) {
				t.Errorf("the error shows what was sent: %v", err)
			}
		})
	}
}

func with(m partnercentertest.Message, certificate string) partnercentertest.Message {
	m.Header.Set("X-MS-Certificate-Url", certificate)
	return m
}

// A certificate whose issuer is published apart is followed to the root, and one that is renewed at its address is fetched anew.
func TestCertificatesAreFollowedAndRenewed(t *testing.T) {
	t.Parallel()
	w, _ := listening(t)
	between := w.fake.Authority().Authority(partnercentertest.CertificateOptions{})
	w.fake.Publish("between.cer", between.DER())
	base := strings.TrimSuffix(w.fake.Message(nil).Header.Get("X-MS-Certificate-Url"), "notifications.cer")
	use := func(name string, by *partnercentertest.Authority, issuedAt string) (connectors.Told, error) {
		signer := by.Signer(partnercentertest.CertificateOptions{IssuedAt: issuedAt})
		w.fake.Publish(name, signer.DER())
		return w.hints(w.fake.Signed(signer, name, hookURL, w.eventBody(0), false))
	}
	if _, err := use("leaf.cer", between, base+"between.cer"); err != nil {
		t.Errorf("an issuer that is published apart: %v", err)
	}
	if _, err := use("other.cer", between, "http://evil.example.com/between.cer"); connectors.ClassOf(err) != connectors.ClassAuth {
		t.Errorf("an issuer on a host that is not named: %v", err)
	}
	w.clock.Advance(2 * time.Minute)
	if _, err := use("leaf.cer", w.fake.Authority(), ""); err != nil {
		t.Errorf("a renewed certificate at the same address: %v", err)
	}
}

// Messages that cannot be verified make few requests, whatever addresses they name.
func TestFetchingIsBounded(t *testing.T) {
	t.Parallel()
	w, _ := listening(t)
	m := w.fake.Message(w.eventBody(0))
	before, limited := len(w.fake.Requests()), 0
	for i := range 50 {
		_, err := w.hints(with(m, fmt.Sprintf("%s%d", m.Header.Get("X-MS-Certificate-Url"), i)))
		if connectors.ClassOf(err) == connectors.ClassLimited {
			limited++
		}
	}
	if sent := len(w.fake.Requests()) - before; sent > 7 || limited < 43 {
		t.Errorf("%d requests were made for fifty made-up addresses, %d were put off", sent, limited)
	}
}

// The tenant's registration is made, added to, kept and given up; what others registered stays, and doing it again does nothing.
func TestRegister(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		url    string
		events []string
		remove bool
		want   []string // nil: refused
		steps  int
	}{
		"none":                  {"", nil, false, []string{eventUpdated}, 1},
		"ours, about invoices":  {hookURL, []string{"invoice-ready"}, false, []string{"invoice-ready", eventUpdated}, 1},
		"another's":             {"https://other.example.com/x", []string{"invoice-ready"}, false, nil, 0},
		"another's, remove":     {"https://other.example.com/x", []string{eventUpdated}, true, []string{eventUpdated}, 0},
		"ours, remove":          {hookURL, []string{"invoice-ready", eventUpdated}, true, []string{"invoice-ready"}, 1},
		"only ours, remove":     {hookURL, []string{eventUpdated}, true, nil, 0},
		"nothing to be removed": {"", nil, true, []string{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{})
			if tc.url != "" {
				w.fake.SetRegistration(tc.url, tc.events...)
			}
			writes := func() (n int) {
				for _, r := range w.fake.Requests() {
					if r.Method != http.MethodGet && strings.HasPrefix(r.Path, "/webhooks/") {
						n++
					}
				}
				return n
			}
			r := connectors.Registration{URL: hookURL, Remove: tc.remove, Dry: true, Key: "k"}
			dry, err := w.Register(t.Context(), r)
			if writes() != 0 || (err != nil) != (tc.want == nil) || len(dry.Steps) != tc.steps {
				t.Fatalf("dry: %d writes, %v, %v", writes(), dry.Steps, err)
			}
			r.Dry = false
			done, err := w.Register(t.Context(), r)
			url, events := w.fake.Registration()
			if tc.want == nil {
				if connectors.ClassOf(err) != connectors.ClassInvalid || url != tc.url || writes() != 0 {
					t.Errorf("it should be refused and left alone: %v, %s %v", err, url, events)
				}
				return
			}
			if err != nil || len(events) != len(tc.want) || len(tc.want) > 0 && !cmp.Equal(events, tc.want) || writes() != tc.steps {
				t.Fatalf("registered for %s: %v, want %v; %v, %d writes", url, events, tc.want, err, writes())
			}
			if tc.steps > 0 && !tc.remove && (len(done.Hooks) != 1 || !done.Hooks[0].Ours) {
				t.Errorf("hooks: %+v", done.Hooks)
			}
			if again, err := w.Register(t.Context(), r); err != nil || len(again.Steps) != 0 || writes() != tc.steps {
				t.Errorf("again: %v, %v, %d writes", again.Steps, err, writes())
			}
		})
	}
}

// FuzzEvent: whatever body was signed, it is refused as invalid or tells ids in our spelling, and the same for the same bytes.
func FuzzEvent(f *testing.F) {
	c := &Connector{account: connectors.Account{Name: "microsoft", Now: func() time.Time { return time.Date(2031, 2, 4, 12, 0, 0, 0, time.UTC) }}}
	for _, seed := range []string{
		`{"EventName":"subscription-updated","ResourceUri":"https://x/customers/3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001/subscriptions/A7C20F6E-7a44-4f1b-9d2e-6f0a51c8e001","ResourceChangeUtcDate":"2031-02-04T10:11:12.1234567+00:00"}`,
		`{"EventName":"test-created","ResourceUri":null,"ResourceChangeUtcDate":"2031-02-04T10:11:12Z"}`, `{"EventName":1}`, `[]`, `{"EventName":"x","ResourceChangeUtcDate":"0001-01-01T00:00:00Z"}`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		told, err := c.readEvent(body)
		if err != nil {
			if connectors.ClassOf(err) != connectors.ClassInvalid || told.ID != "" || len(told.Places) != 0 {
				t.Errorf("refused as %s, and it tells %+v", connectors.ClassOf(err), told)
			}
			return
		}
		again, err := c.readEvent(body)
		if err != nil || again.ID != told.ID || !json.Valid(body) {
			t.Errorf("%+v and then %+v, %v", told, again, err)
		}
		for _, p := range told.Places {
			if p.Kind != kindSubscription || p.Parent != strings.ToLower(p.Parent) || len(p.Parent) != 36 || len(p.ID) != 36 {
				t.Errorf("place %+v", p)
			}
		}
	})
}
