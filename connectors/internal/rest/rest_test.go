package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/trueup-sync/trueup/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a transport without a network, for tests in fake time.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// answer is a reply; headers come in pairs.
func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// script answers each request with the next of the steps, and the last one for ever.
func script(steps ...func() (*http.Response, error)) wire {
	var n atomic.Int64
	return func(*http.Request) (*http.Response, error) {
		return steps[min(int(n.Add(1)), len(steps))-1]()
	}
}

func says(status int, body string, headers ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return answer(status, body, headers...), nil }
}

func lost() (*http.Response, error) { return nil, errors.New("connection reset by peer") }

func offline(w wire, change func(*Options)) *Client {
	o := Options{Account: "psa", System: "connectwise", BaseURL: "https://api.example.com/v4", HTTP: &http.Client{Transport: w}}
	if change != nil {
		change(&o)
	}
	return New(o)
}

func online(t *testing.T, h http.HandlerFunc, change func(*Options)) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	o := Options{Account: "psa", System: "connectwise", BaseURL: srv.URL, HTTP: srv.Client(), Retries: -1}
	if change != nil {
		change(&o)
	}
	return New(o)
}

func fault(t *testing.T, err error) *connectors.Error {
	t.Helper()
	var e *connectors.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want a *connectors.Error", err, err)
	}
	return e
}

// TestEveryStatus walks every status code with a read, a write that may be repeated and one that may not: the class, and
// how often it was sent with three repeats allowed.
func TestEveryStatus(t *testing.T) {
	t.Parallel()
	auth := []int{401, 403, 407}
	missing := []int{404, 410}
	stale := []int{409, 412}
	for status := 300; status <= 599; status++ {
		if http.StatusText(status) == "" && status != 520 {
			continue
		}
		read, write := connectors.ClassInvalid, connectors.ClassInvalid
		readSent, repeatSent, onceSent := 1, 1, 1
		switch {
		case slices.Contains(auth, status):
			read, write = connectors.ClassAuth, connectors.ClassAuth
		case slices.Contains(missing, status):
			read, write = connectors.ClassMissing, connectors.ClassMissing
		case slices.Contains(stale, status):
			read, write = connectors.ClassStale, connectors.ClassStale
		case status == 302 || status == 303:
			write = connectors.ClassUnknown
		case status == 429:
			read, write = connectors.ClassLimited, connectors.ClassLimited
			readSent, repeatSent, onceSent = 4, 4, 4
		case status == 501 || status == 505:
			read, write = connectors.ClassTransient, connectors.ClassUnknown
		case status == 408 || status >= 500:
			read, write = connectors.ClassTransient, connectors.ClassUnknown
			readSent, repeatSent = 4, 4
		}
		type outcome struct {
			Class connectors.Class
			Sent  int
		}
		for _, tt := range []struct {
			name string
			req  Request
			want outcome
		}{
			{"get", Request{Method: "GET"}, outcome{read, readSent}},
			{"head", Request{Method: "HEAD"}, outcome{read, readSent}},
			{"search by post", Request{Method: "POST", Safe: true}, outcome{read, readSent}},
			{"post with key", Request{Method: "POST", Repeat: true}, outcome{write, repeatSent}},
			{"put with key", Request{Method: "PUT", Repeat: true}, outcome{write, repeatSent}},
			{"post", Request{Method: "POST"}, outcome{write, onceSent}},
			{"put", Request{Method: "PUT"}, outcome{write, onceSent}},
			{"patch", Request{Method: "PATCH"}, outcome{write, onceSent}},
			{"delete", Request{Method: "DELETE"}, outcome{write, onceSent}},
		} {
			t.Run(fmt.Sprintf("%d %s", status, tt.name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := offline(script(says(status, "")), nil)
					tt.req.Path = "/things"
					_, err := c.Do(t.Context(), tt.req)
					got := outcome{fault(t, err).Class, int(c.Sent())}
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Error(diff)
					}
				})
			})
		}
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	ok := says(200, `{}`)
	for _, tt := range []struct {
		name  string
		req   Request
		steps wire
		class connectors.Class
		sent  int64
	}{
		{"read survives lost replies", Request{}, script(lost, lost, ok), "", 3},
		{"read gives up", Request{}, script(lost), connectors.ClassTransient, 4},
		{"write with a lost reply is looked at, not repeated", Request{Method: "POST"}, script(lost, ok), connectors.ClassUnknown, 1},
		{"write with key survives", Request{Method: "POST", Repeat: true}, script(lost, says(503, ""), ok), "", 3},
		{"write answered 503 once", Request{Method: "POST"}, script(says(503, "", "Retry-After", "1"), ok), connectors.ClassUnknown, 1},
		{"refused by 429 before it was done", Request{Method: "POST"}, script(says(429, ""), ok), "", 2},
		{"429, then lost", Request{Method: "POST"}, script(says(429, ""), lost, ok), connectors.ClassUnknown, 2},
		{
			"a later refusal does not undo an earlier doubt", Request{Method: "POST", Repeat: true},
			script(lost, says(409, "")), connectors.ClassUnknown, 2,
		},
		{
			"nor does a later limit", Request{Method: "POST", Repeat: true},
			script(lost, says(429, "")), connectors.ClassUnknown, 4,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := offline(tt.steps, nil)
				tt.req.Path = "/things"
				_, err := c.Do(t.Context(), tt.req)
				if got := connectors.ClassOf(err); got != tt.class || c.Sent() != tt.sent {
					t.Errorf("class %q after %d requests (%v), want %q after %d", got, c.Sent(), err, tt.class, tt.sent)
				}
			})
		})
	}
}

func TestNoRepeats(t *testing.T) {
	t.Parallel()
	c := offline(script(says(503, "")), func(o *Options) { o.Retries = -1 })
	if _, err := c.Do(t.Context(), Request{Path: "/things"}); err == nil || c.Sent() != 1 {
		t.Errorf("sent %d times, error %v; want once and an error", c.Sent(), err)
	}
}

// A dead address is known not to have received anything, so a write to it is safe to plan again.
func TestNothingSent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + listener.Addr().String()
	_ = listener.Close()
	c := New(Options{Account: "psa", BaseURL: dead, HTTP: &http.Client{Transport: &http.Transport{}}, Retries: -1})
	_, err = c.Do(t.Context(), Request{Method: "POST", Path: "/orders", Body: struct{}{}, Op: "create order"})
	if e := fault(t, err); e.Class != connectors.ClassTransient || !strings.Contains(e.Error(), "create order in psa: no reply from") {
		t.Errorf("got %s: %v", e.Class, e)
	}
}

// Giving up while the address is still being dialled leaves nothing to look for.
func TestCancelledBeforeConnected(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	dial := func(context.Context, string, string) (net.Conn, error) {
		cancel()
		<-release // the transport goes on dialling for those who come later
		return nil, net.ErrClosed
	}
	c := New(Options{BaseURL: "http://api.example.com", HTTP: &http.Client{Transport: &http.Transport{DialContext: dial}}})
	_, err := c.Do(ctx, Request{Method: "POST", Path: "/orders"})
	close(release)
	if e := fault(t, err); e.Class != connectors.ClassTransient || !errors.Is(err, context.Canceled) {
		t.Errorf("got %s: %v, want transient and cancelled", e.Class, e)
	}
}

// The connection is cut after the request arrived: the work may be done.
func TestCutConnection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		write func(http.ResponseWriter)
	}{
		{"before the reply", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		{"inside the reply", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"id":`)
			panic(http.ErrAbortHandler)
		}},
	} {
		for method, want := range map[string]connectors.Class{"POST": connectors.ClassUnknown, "GET": connectors.ClassTransient} {
			t.Run(tt.name+" "+method, func(t *testing.T) {
				t.Parallel()
				c := online(t, func(w http.ResponseWriter, _ *http.Request) { tt.write(w) }, nil)
				_, err := c.Do(t.Context(), Request{Method: method, Path: "/orders"})
				if got := connectors.ClassOf(err); got != want {
					t.Errorf("class %q (%v), want %q", got, err, want)
				}
			})
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in7 := func() string { return time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat) }
		for name, tt := range map[string]struct {
			header func() string
			want   time.Duration
		}{
			"seconds":     {func() string { return "7" }, 7 * time.Second},
			"date":        {in7, 7 * time.Second},
			"the ceiling": {func() string { return "120" }, 2 * time.Minute},
		} {
			c := offline(script(func() (*http.Response, error) {
				return answer(429, "", "Retry-After", tt.header()), nil
			}, says(200, "{}")), nil)
			// A date has whole seconds.
			<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
			start := time.Now()
			if _, err := c.Do(t.Context(), Request{Path: "/things"}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < tt.want || took > tt.want+time.Second {
				t.Errorf("%s: waited %s, want %s and at most a second more", name, took, tt.want)
			}
		}
	})
}

// A pause longer than the ceiling is an answer, not a sleep; until it is over nothing more is sent.
func TestRetryAfterCeiling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline(script(says(429, "", "Retry-After", "300"), says(200, "{}")), nil)
		start := time.Now()
		_, err := c.Do(t.Context(), Request{Path: "/things"})
		if e := fault(t, err); e.Class != connectors.ClassLimited || e.RetryAfter != 5*time.Minute {
			t.Errorf("got %s after %s (%v), want limited after 5m", e.Class, e.RetryAfter, e)
		}
		_, err = c.Do(t.Context(), Request{Method: "POST", Path: "/others"})
		if e := fault(t, err); e.Class != connectors.ClassLimited || e.RetryAfter < 5*time.Minute || c.Sent() != 1 {
			t.Errorf("second request: %s after %s, %d sent; want limited after 5m, 1 sent", e.Class, e.RetryAfter, c.Sent())
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("slept %s", took)
		}
		<-time.After(5*time.Minute + time.Second)
		if _, err := c.Do(t.Context(), Request{Path: "/things"}); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for _, tt := range []struct {
		name   string
		wire   wire
		change func(*Options)
		before int // requests made first
		req    Request
		want   connectors.Class
	}{
		{"waiting for the budget", script(says(200, "{}")), func(o *Options) { o.PerMinute = 1 }, 1, Request{Method: "POST"}, connectors.ClassTransient},
		{"waiting for Retry-After", script(says(429, "", "Retry-After", "60")), nil, 0, Request{Method: "POST"}, connectors.ClassTransient},
		{"reading", hang, nil, 0, Request{}, connectors.ClassTransient},
		{"writing", hang, nil, 0, Request{Method: "POST"}, connectors.ClassUnknown},
		{"waiting to repeat a write that may be done", script(lost), nil, 0, Request{Method: "PUT", Repeat: true}, connectors.ClassUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := offline(tt.wire, tt.change)
				for range tt.before {
					if _, err := c.Do(t.Context(), Request{Path: "/first"}); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					tt.req.Path = "/things"
					_, err = c.Do(ctx, tt.req)
				}()
				synctest.Wait()
				cancel()
				<-done
				if time.Since(start) != 0 || !errors.Is(err, context.Canceled) || fault(t, err).Class != tt.want {
					t.Errorf("after %s: %v (%s), want cancelled at once as %s", time.Since(start), err, connectors.ClassOf(err), tt.want)
				}
			})
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := offline(script(says(429, "", "Retry-After", "60")), nil).Do(ctx, Request{Path: "/things"})
		if e := fault(t, err); e.Class != connectors.ClassLimited || time.Since(start) != 0 {
			t.Errorf("got %v after %s, want limited at once: there is no time to wait", e, time.Since(start))
		}
		busy := offline(script(says(200, "{}")), func(o *Options) { o.PerMinute = 1 })
		_, err = busy.Do(ctx, Request{Path: "/things"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = busy.Do(ctx, Request{Path: "/things"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
}

// One attempt has an end of its own; waiting for the budget does not use it up.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, func(o *Options) { o.Retries = -1; o.HTTP.Timeout = 20 * time.Second; o.PerMinute = 1 })
		for method, want := range map[string]connectors.Class{"GET": connectors.ClassTransient, "POST": connectors.ClassUnknown} {
			_, err := c.Do(t.Context(), Request{Method: method, Path: "/things"})
			if e := fault(t, err); e.Class != want || !strings.Contains(e.Message, "no answer within 20s") {
				t.Errorf("%s: %s: %v", method, e.Class, e)
			}
		}
	})
}

func TestSignInAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		healed  bool
		sent    int64
		forgets int
		class   connectors.Class
	}{
		{"new token works", true, 2, 1, ""},
		{"new token is refused too", false, 2, 1, connectors.ClassAuth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token, forgets := "old", 0
			c := online(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if string(body) != `{"quantity":5}` {
					t.Errorf("body %q", body)
				}
				if !tt.healed || r.Header.Get("Authorization") != "Bearer new" {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}, func(o *Options) {
				o.Authorize = func(_ context.Context, r *http.Request) error {
					r.Header.Set("Authorization", "Bearer "+token)
					return nil
				}
				o.Reauthorize = func(context.Context) { token = "new"; forgets++ }
			})
			_, err := c.Do(t.Context(), Request{Method: "POST", Path: "/orders", Body: map[string]int{"quantity": 5}})
			if connectors.ClassOf(err) != tt.class || c.Sent() != tt.sent || forgets != tt.forgets {
				t.Errorf("%v after %d requests and %d sign-ins", err, c.Sent(), forgets)
			}
		})
	}
}

// Ten requests refused with one old token cause one sign-in.
func TestOneReauthorizeForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var generation, forgets atomic.Int64
		arrived := make(chan struct{}, 10)
		gate := make(chan struct{})
		c := offline(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer 0" {
				arrived <- struct{}{}
				<-gate
				return answer(401, ""), nil
			}
			return answer(200, "{}"), nil
		}, func(o *Options) {
			o.Authorize = func(_ context.Context, r *http.Request) error {
				r.Header.Set("Authorization", fmt.Sprintf("Bearer %d", generation.Load()))
				return nil
			}
			o.Reauthorize = func(context.Context) { generation.Add(1); forgets.Add(1) }
		})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := c.Do(t.Context(), Request{Path: "/things"}); err != nil {
					t.Error(err)
				}
			})
		}
		for range 10 {
			<-arrived
		}
		close(gate)
		wg.Wait()
		if forgets.Load() != 1 {
			t.Errorf("signed in %d times", forgets.Load())
		}
	})
}

// A failed sign-in fails the request without a doubt about it: it was not sent.
func TestSignInFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   error
		class connectors.Class
		text  string
	}{
		{errors.New("vault is locked"), connectors.ClassTransient, "create order in psa: cannot sign in: vault is locked"},
		{&connectors.Error{Class: connectors.ClassAuth, Op: "sign in", Message: "revoked", Code: "invalid_grant", Hint: "consent again"},
			connectors.ClassAuth, "create order in psa: cannot sign in: sign in: revoked [code invalid_grant]; consent again"},
		{&connectors.Error{Class: connectors.ClassUnknown, Op: "sign in", Message: "no reply"}, connectors.ClassTransient,
			"create order in psa: cannot sign in: sign in: no reply"},
	} {
		c := offline(script(says(200, "{}")), func(o *Options) {
			o.Authorize = func(context.Context, *http.Request) error { return tt.err }
		})
		_, err := c.Do(t.Context(), Request{Method: "POST", Path: "/orders", Op: "create order"})
		if e := fault(t, err); e.Class != tt.class || e.Error() != tt.text || c.Sent() != 0 {
			t.Errorf("got %s %q, want %s %q", e.Class, e, tt.class, tt.text)
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, URL, Type, Accept, Extra, Body string }
	for _, tt := range []struct {
		name string
		req  Request
		want seen
	}{
		{"get", Request{Path: "/things", Query: url.Values{"a": {"x y"}}},
			seen{"GET", "https://api.example.com/v4/things?a=x+y", "", "application/json", "", ""}},
		{"query in the path", Request{Path: "/things?b=1", Query: url.Values{"a": {"2"}}},
			seen{"GET", "https://api.example.com/v4/things?b=1&a=2", "", "application/json", "", ""}},
		{"escaped id", Request{Path: "/things/a%2Fb"},
			seen{"GET", "https://api.example.com/v4/things/a%2Fb", "", "application/json", "", ""}},
		{"next link", Request{Path: "https://api.example.com/next?token=1"},
			seen{"GET", "https://api.example.com/next?token=1", "", "application/json", "", ""}},
		{"json", Request{Method: "POST", Path: "/things", Body: map[string]string{"name": "A & B"}, Header: http.Header{"x-extra": {"1"}}},
			seen{"POST", "https://api.example.com/v4/things", "application/json", "application/json", "1", `{"name":"A & B"}`}},
		{"form", Request{Method: "POST", Path: "/token", Body: []byte("a=b"), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
			seen{"POST", "https://api.example.com/v4/token", "application/x-www-form-urlencoded", "application/json", "", "a=b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got seen
			c := offline(func(r *http.Request) (*http.Response, error) {
				var body []byte
				if r.Body != nil {
					body, _ = io.ReadAll(r.Body)
				}
				got = seen{r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("X-Extra"), string(body)}
				return answer(200, "{}"), nil
			}, nil)
			if _, err := c.Do(t.Context(), tt.req); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		base   string
		req    Request
		header string
		want   string
	}{
		{"link to another host", "", Request{Path: "https://evil.example.net/next?token=1"}, "", "a link points to https://evil.example.net instead of"},
		{"link that drops encryption", "", Request{Path: "http://api.example.com/next"}, "", "a link points to http://api.example.com"},
		{"host glued to the base", "https://api.example.com", Request{Path: ".evil.example.net/x"}, "", "does not begin with a slash"},
		{"no base", "api.example.com", Request{Path: "/x"}, "", "is not a web address"},
		{"bad path", "", Request{Path: "/%zz"}, "", "not a valid URL"},
		{"body that is no JSON", "", Request{Path: "/x", Method: "POST", Body: make(chan int)}, "", "cannot write the request as JSON"},
		{"method", "", Request{Path: "/x", Method: "NO WAY"}, "", "the request cannot be built"},
		{"line break in a credential", "", Request{Path: "/x", Method: "POST"}, "key\n", "the header Authorization has a character that cannot be sent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := offline(script(says(200, "{}")), func(o *Options) {
				if tt.base != "" {
					o.BaseURL = tt.base
				}
				o.Authorize = func(_ context.Context, r *http.Request) error {
					r.Header.Set("Authorization", tt.header)
					return nil
				}
			})
			_, err := c.Do(t.Context(), tt.req)
			if e := fault(t, err); e.Class != connectors.ClassInvalid || !strings.Contains(e.Error(), tt.want) || c.Sent() != 0 {
				t.Errorf("got %s: %v, want invalid with %q", e.Class, e, tt.want)
			}
		})
	}
}

// Everything that was sent is told, with its class and the budget it counts against, and nothing that was not sent.
func TestObserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []connectors.Exchange
		c := offline(script(says(503, ""), says(200, "{}"), says(404, ""), lost), func(o *Options) {
			o.PerMinute, o.Retries = 60, 1
			o.Observe = func(e connectors.Exchange) { told = append(told, e) }
		})
		for range 2 {
			_, _ = c.Do(t.Context(), Request{Path: "/a"})
		}
		_, _ = c.Do(t.Context(), Request{Path: "/a", Method: http.MethodPost})
		_, _ = c.Do(t.Context(), Request{Path: "not a path"})
		want := []connectors.Exchange{
			{Class: connectors.ClassTransient, PerMinute: 60}, {PerMinute: 60}, {Class: connectors.ClassMissing, PerMinute: 60},
			{Class: connectors.ClassUnknown, PerMinute: 60},
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}
