package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/trueup-sync/trueup/connectors"
)

func TestFault(t *testing.T) {
	t.Parallel()
	vendor := func(r Response) *connectors.Error {
		var body struct{ Code, Text, Class string }
		if r.Decode("read the error", &body) != nil {
			return nil
		}
		return &connectors.Error{Class: connectors.Class(body.Class), Code: body.Code, Message: body.Text, Hint: "ask less"}
	}
	for _, tt := range []struct {
		name   string
		method string
		reply  func() (*http.Response, error)
		want   connectors.Error
		sent   int64
	}{
		{
			"vendor's words, class by status", "POST",
			says(400, `{"Code":"800002","Text":"quantity is too large"}`, "X-Request-Id", "r-17"),
			connectors.Error{Class: "invalid", Code: "800002", Message: "quantity is too large", Hint: "ask less", RequestID: "r-17"}, 1,
		},
		{
			"validation that arrives as 500 is not repeated", "GET",
			says(500, `{"Code":"v1","Text":"field is required","Class":"invalid"}`),
			connectors.Error{Class: "invalid", Code: "v1", Message: "field is required", Hint: "ask less"}, 1,
		},
		{
			"a limit that arrives as 500 is waited for", "POST",
			says(500, `{"Code":"threads","Text":"too many threads","Class":"limited"}`),
			connectors.Error{Class: "limited", Code: "threads", Message: "too many threads", Hint: "ask less"}, 4,
		},
		{
			"transient is not believed of a write", "POST",
			says(502, `{"Code":"b","Text":"bad day","Class":"transient"}`),
			connectors.Error{Class: "unknown", Code: "b", Message: "bad day", Hint: "ask less"}, 1,
		},
		{
			"transient on another status", "GET",
			says(423, `{"Code":"l","Text":"locked","Class":"transient"}`),
			connectors.Error{Class: "transient", Code: "l", Message: "locked", Hint: "ask less"}, 4,
		},
		{
			"a body that is not a fault", "POST", says(422, "no  such\n product"),
			connectors.Error{Class: "invalid", Message: "connectwise answered 422 Unprocessable Entity: no such product"}, 1,
		},
		{
			"a page for browsers is not quoted", "GET", says(404, "<html><body>Not here</body></html>"),
			connectors.Error{Class: "missing", Message: "connectwise answered 404 Not Found"}, 1,
		},
		{
			"maintenance with an end", "GET", says(503, "", "Retry-After", "600"),
			connectors.Error{Class: "transient", Message: "connectwise answered 503 Service Unavailable", Hint: "it is tried again later; look at the system's status page when this stays", RetryAfter: 10 * time.Minute}, 1,
		},
		{
			"redirect", "GET", says(301, "", "Location", "https://login.example.net/in?token=1"),
			connectors.Error{Class: "invalid", Message: "connectwise answered 301 Moved Permanently, a redirect to login.example.net, which is not followed",
				Hint: "check the address in the settings of this account"}, 1,
		},
		{
			"redirect that is no URL", "GET", says(307, "", "Location", "https://%zz"),
			connectors.Error{Class: "invalid", Message: "connectwise answered 307 Temporary Redirect, a redirect to another address, which is not followed",
				Hint: "check the address in the settings of this account"}, 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := offline(script(tt.reply), func(o *Options) {
					o.Fault = vendor
					o.RequestID = func(h http.Header) string { return h.Get("X-Request-Id") }
				})
				resp, err := c.Do(t.Context(), Request{Method: tt.method, Path: "/things", Op: "change quantity", Record: "of line 7"})
				tt.want.Op, tt.want.Record = "change quantity", "of line 7 in psa"
				if diff := cmp.Diff(&tt.want, fault(t, err), cmpopts.IgnoreFields(connectors.Error{}, "Err")); diff != "" {
					t.Error(diff)
				}
				if c.Sent() != tt.sent || resp.Status == 0 {
					t.Errorf("sent %d, status %d; want %d and the status of the reply", c.Sent(), resp.Status, tt.sent)
				}
			})
		})
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "NaN": 0, "17": 17 * time.Second, " 17 ": 17 * time.Second, "1.5": 1500 * time.Millisecond,
		"99999999999999999999":           maxWait,
		"Sun, 29 Mar 2026 01:31:00 GMT":  time.Minute,
		"Sun, 29 Mar 2026 01:29:00 GMT":  0,
		"Sunday, 29-Mar-26 01:30:10 GMT": 10 * time.Second,
		"Sun, 29 Mar 2126 01:31:00 GMT":  maxWait,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	long := func(w http.ResponseWriter, status int) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z := gzip.NewWriter(w) // small on the wire, large in memory
		_, _ = z.Write(bytes.Repeat([]byte("x"), 1<<20))
		_ = z.Close()
	}
	for _, tt := range []struct {
		method string
		status int
		limit  int64
		want   connectors.Class
		text   string
	}{
		{"GET", 200, 1<<20 - 1, connectors.ClassInvalid, "the reply is longer than 1048575 bytes; ask for smaller pages"},
		{"POST", 200, 1000, connectors.ClassUnknown, "the reply is longer than 1000 bytes; read the record to see what was done"},
		{"POST", 400, 1000, connectors.ClassInvalid, "answered 400 Bad Request"},
		{"GET", 200, 1 << 20, "", ""},
	} {
		t.Run(fmt.Sprint(tt.method, tt.status, tt.limit), func(t *testing.T) {
			t.Parallel()
			c := online(t, func(w http.ResponseWriter, _ *http.Request) { long(w, tt.status) }, func(o *Options) { o.MaxBody = tt.limit; o.Retries = 3 })
			resp, err := c.Do(t.Context(), Request{Method: tt.method, Path: "/things"})
			if got := connectors.ClassOf(err); got != tt.want || c.Sent() != 1 || int64(len(resp.Body)) != tt.limit {
				t.Errorf("class %q, %d sent, %d bytes (%v)", got, c.Sent(), len(resp.Body), err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q lacks %q", err, tt.text)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       string // of the number, or of the error
	}{
		{"plain", `{"n": 12.10}`, "12.10"},
		{"byte order mark", "\ufeff{\"n\": 12345678901234567890.123456789}", "12345678901234567890.123456789"},
		{"mark among white space", "\r\n \ufeff\n{\"n\": 1}\n", "1"},
		{"empty", " \n", "read things: the reply (status 200) is empty where JSON was expected"},
		{"html", "\n<!DOCTYPE html>\n<title>Sign in</title>", "read things: the reply (status 200) is HTML or XML where JSON was expected: <!DOCTYPE html> <title>Sign in</title>; something in front of the system answered, or its address is wrong"},
		{"text", "upstream timed out", "read things: the reply (status 200, 18 bytes) cannot be read as JSON: invalid character 'u' looking for beginning of value; it starts: upstream timed out"},
		{"half", `{"n": 1`, `read things: the reply (status 200, 7 bytes) cannot be read as JSON: unexpected EOF; it starts: {"n": 1`},
		{"two", `{"n": 1}{"n": 2}`, `read things: the reply (status 200) has more after its JSON; it starts: {"n": 1}{"n": 2}`},
		{"stray bytes", `x{"n": 1}`, `read things: the reply (status 200, 9 bytes) cannot be read as JSON: invalid character 'x' looking for beginning of value; it starts: x{"n": 1}`},
		{"shape", `{"n": {"a": 1}}`, "read things (field N): the reply holds object here where number was expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var into struct{ N json.Number }
			var got string
			if err := (Response{Status: 200, Body: []byte(tt.body)}).Decode("read things", &into); err != nil {
				got = err.Error()
			} else {
				got = into.N.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeNumbers(t *testing.T) {
	t.Parallel()
	var into any
	if err := (Response{Body: []byte(`[0.1, 10000000000000000.01]`)}).Decode("read prices", &into); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{json.Number("0.1"), json.Number("10000000000000000.01")}, into); diff != "" {
		t.Error(diff)
	}
}

// A 2xx that cannot be read was done all the same when it answers a write.
func TestDecodeClass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		req  Request
		body string
		want connectors.Class
	}{
		{Request{}, "<html>", connectors.ClassTransient},
		{Request{}, `{"n": []}`, connectors.ClassInvalid},
		{Request{Method: "POST", Safe: true}, "", connectors.ClassTransient},
		{Request{Method: "POST"}, "<html>", connectors.ClassUnknown},
		{Request{Method: "POST", Repeat: true}, `{"n": []}`, connectors.ClassUnknown},
	} {
		c := offline(script(says(200, tt.body)), nil)
		tt.req.Path, tt.req.Record = "/things", "of line 7"
		resp, err := c.Do(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var into struct{ N int }
		e := fault(t, resp.Decode("read things", &into))
		if e.Class != tt.want || !strings.HasPrefix(e.Error(), "read things of line 7 in psa") {
			t.Errorf("%s %q: %s: %v; want %s", tt.req.Method, tt.body, e.Class, e, tt.want)
		}
	}
}

// A planted secret must not come out of anything, in any of the forms in which it travels.
func TestSecretsAreCut(t *testing.T) {
	t.Parallel()
	const planted = `pl"nt/d s+cret&<é>\`
	const bearer = "eyJhbGciOi.token.of-the-call"
	quoted, err := json.Marshal(planted)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"plain": planted, "query": url.QueryEscape(planted), "path": url.PathEscape(planted), "json": string(quoted), "go": fmt.Sprintf("%q", planted),
		"base64": base64.StdEncoding.EncodeToString([]byte(planted)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(planted)),
		"basic 1": base64.StdEncoding.EncodeToString([]byte("acme+key:" + planted)),
		"basic 2": base64.StdEncoding.EncodeToString([]byte("acme+ke:" + planted + "x")),
		"basic 3": base64.StdEncoding.EncodeToString([]byte("acme+k:" + planted + "xy")),
		"bearer":  bearer,
	}
	leaks := func(text string) string {
		for name, form := range forms {
			// Nothing of a form longer than the ends it shares with its neighbours.
			for i := 0; i+12 <= len(form); i++ {
				if strings.HasPrefix(name, "basic") && i < 14 {
					continue // the user name in front
				}
				if strings.Contains(text, form[i:i+12]) {
					return name
				}
			}
		}
		return ""
	}
	for name, form := range forms {
		var logs bytes.Buffer
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logs), zap.DebugLevel))
		options := func(o *Options) {
			o.Log, o.Retries = log, -1
			o.Secrets = []connectors.Secret{connectors.NewSecret("other"), connectors.NewSecret(planted)}
			o.Authorize = func(_ context.Context, r *http.Request) error {
				r.Header.Set("Authorization", "Bearer "+bearer)
				return nil
			}
			o.RequestID = func(h http.Header) string { return h.Get("X-Id") }
		}
		req := Request{Path: "/things/" + url.PathEscape(planted), Query: url.Values{"key": {planted}}, Op: "read " + form, Record: form}
		texts := map[string]error{}
		_, texts["status"] = offline(script(says(400, "bad: "+form, "X-Id", form)), options).Do(t.Context(), req)
		_, texts["transport"] = offline(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("refused " + form)}
		}, options).Do(t.Context(), req)
		_, texts["redirect"] = offline(script(says(302, "", "Location", "https://"+form+".example.com/"+form)), options).Do(t.Context(), req)
		_, texts["fault"] = offline(script(says(400, "")), func(o *Options) {
			options(o)
			o.Fault = func(Response) *connectors.Error {
				return &connectors.Error{Code: form, Message: form, Hint: form, Field: form, Err: errors.New(form)}
			}
		}).Do(t.Context(), req)
		resp, err := offline(script(says(200, strings.Repeat("x", 150)+form)), options).Do(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		texts["decode"] = resp.Decode("read "+form, &struct{}{})
		for place, err := range texts {
			for ; err != nil; err = errors.Unwrap(err) {
				if leaked := leaks(err.Error() + fmt.Sprintf("%+v %#v", err, err.Error())); leaked != "" {
					t.Errorf("%s in %s error: %s form leaks: %v", name, place, leaked, err)
				}
			}
			if e := new(connectors.Error); errors.As(texts[place], &e) && leaks(e.RequestID) != "" {
				t.Errorf("%s leaks in the request id", name)
			}
		}
		if leaked := leaks(logs.String()); leaked != "" || !strings.Contains(logs.String(), `"path":"/v4/things/`) {
			t.Errorf("%s leaks into the log, or nothing was logged: %s", leaked, logs.String())
		}
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	got := excerpt(nil, []byte("\ufeff a\n\tb "+strings.Repeat("é", 200)+"\xff"))
	if want := "a b " + strings.Repeat("é", 78) + "…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A network error must be readable without the URL, whose query may hold anything.
func TestNoURLInErrors(t *testing.T) {
	t.Parallel()
	withURL := &url.Error{Op: "Get", URL: "https://api.example.com/things?apikey=zzz", Err: io.ErrUnexpectedEOF}
	for cause, want := range map[error]string{
		io.ErrUnexpectedEOF:              "unexpected EOF",
		withURL:                          "unexpected EOF",
		fmt.Errorf("proxy: %w", withURL): "proxy: unexpected EOF",
	} {
		c := offline(func(*http.Request) (*http.Response, error) { return nil, cause }, func(o *Options) {
			o.BaseURL, o.Retries = "https://someone:word@api.example.com", -1
		})
		_, err := c.Do(t.Context(), Request{Path: "/things?apikey=zzz", Op: "list things"})
		e := fault(t, err)
		want := "list things in psa: no reply from api.example.com: " + want + "; check the network and the system's status page"
		if e.Error() != want || !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(e.Err.Error(), "zzz") {
			t.Errorf("got %v (%v), want %s", e, e.Err, want)
		}
	}
}
