// Package rest is the one place where connectors speak HTTP. It owns pacing, repeating, Retry-After, credentials, body
// limits, error classes and the cutting out of secrets, so that a connector only says what it wants.
//
// What is sent again. Only the caller knows whether a request may be repeated, and says so: GET and HEAD may, a Safe
// request may, a write only with Repeat (the system honours an idempotency key). What happens after a failed attempt:
//
//	                          reads         writes with Repeat   other writes
//	429, Fault says limited   waits, again  waits, again         waits, again: it was refused before it was done
//	401 with Reauthorize      again once    again once           again once: the same
//	network error, timeout    again         again                not again: unknown, or transient when nothing was sent
//	408, 5xx (not 501, 505)   again         again                not again: unknown
//	anything else             not again     not again            not again
//
// When the repeats are used up a read is transient or limited. A write that may have been done at any attempt is unknown,
// whatever a later attempt was answered: somebody has to look.
//
// How fast. PerMinute paces ahead of the system's limit and Parallel caps what is in flight. A 429, or a 503 with
// Retry-After, makes the whole client wait, because rejected calls count too. A wait longer than MaxRetryAfter is
// returned as an error with RetryAfter instead of being slept; until it is over, nothing is sent. With Turns all of that holds for
// every process that shares the account, and a write begins only while connectors.Permitted says so.
//
// Signing in. Authorize sets the credentials of each attempt, usually from a Token, which fetches, caches and rotates; its
// Fetch needs a second Client, without Authorize.
//
// What is said. Errors name the operation, the record and the account, never a query or a body in full; logs hold method,
// path, status, duration and attempt. Options.Secrets, their encoded forms and the Authorization header are cut out of both.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
)

// Options describe one account's connection.
type Options struct {
	Account, System string           // for errors and logs
	BaseURL         string           // scheme, host and an optional prefix, without a slash at the end
	HTTP            *http.Client     // nil for a shared default; its Timeout, or 2 minutes, bounds one attempt
	PerMinute       int              // requests sent in any minute; 0 for no limit
	Parallel        int              // requests in flight; 0 for no limit
	Turns           connectors.Turns // the budget where other processes share it; nil when this one is alone
	Log             *zap.Logger      // nil for none
	Now             func() time.Time // reads the dates in Retry-After; nil for time.Now
	// Observe is told of every attempt that was sent, before it is decided whether another follows; nil for nobody.
	Observe func(connectors.Exchange)

	MaxBody       int64         // bytes of a reply after decompression; default 32 MiB
	MaxRetryAfter time.Duration // the longest wait the system may ask for that is slept; default 2 minutes
	Retries       int           // repeats after the first attempt; default 3, negative for none

	// Authorize sets the credentials of each attempt. It must not use the same Client: signing in needs one without Authorize.
	Authorize func(ctx context.Context, r *http.Request) error
	// Reauthorize forgets the credentials after a 401; the request is then tried once more. Requests that were refused with
	// the same credentials share one call. It must not wait for anything that uses this Client.
	Reauthorize func(ctx context.Context)
	// Fault reads the system's error body of any reply that is not 2xx. Nil, or an empty Class, leaves the class to the
	// status. A class decides whether the request is repeated: limited promises that nothing was done. Transient is not
	// believed for a write answered 408 or 5xx; that stays unknown.
	Fault     func(Response) *connectors.Error
	RequestID func(http.Header) string // what the vendor's support asks for
	Secrets   []connectors.Secret      // cut out of every error and log line
}

// Request is one thing to ask. Path begins with a slash, its segments are escaped, and it may have a query; a whole URL (a
// link to the next page) is accepted when it has the scheme and host of BaseURL.
type Request struct {
	Method string // default GET
	Path   string
	Query  url.Values
	Header http.Header
	Body   any  // sent as JSON; []byte and json.RawMessage are sent as they are; nil for none
	Repeat bool // a write that may be sent again, because the system takes an idempotency key
	Safe   bool // changes nothing, whatever the method: a search by POST, a sign-in
	Op     string
	Record string // Op and Record are for errors: "list subscriptions", "of customer 3b1e"
}

// Response is a reply whose body has been read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte

	from *call // nil for a Response made by hand
}

// Client sends requests for one account. It is safe for concurrent use.
type Client struct {
	o     Options
	http  *retryablehttp.Client
	base  http.RoundTripper
	limit time.Duration // of one attempt
	pace  *pacer
	cut   *cutter
	sent  atomic.Int64

	signin     sync.Mutex
	generation int64 // counts Reauthorize calls; guarded by signin
}

const (
	defaultMaxBody       = 32 << 20
	defaultMaxRetryAfter = 2 * time.Minute
	defaultRetries       = 3
	defaultAttempt       = 2 * time.Minute
)

// New makes a client; nothing is sent. A BaseURL that cannot be used is reported by Do.
func New(o Options) *Client {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.MaxRetryAfter <= 0 {
		o.MaxRetryAfter = defaultMaxRetryAfter
	}
	switch {
	case o.Retries == 0:
		o.Retries = defaultRetries
	case o.Retries < 0:
		o.Retries = 0
	}
	c := &Client{o: o, limit: defaultAttempt, pace: newPacer(o.PerMinute, o.Parallel, o.MaxRetryAfter, o.Turns), cut: newCutter(o.Secrets)}

	inner := http.Client{Transport: ownTransport}
	if o.HTTP != nil {
		inner = *o.HTTP
	}
	if inner.Timeout > 0 {
		c.limit = inner.Timeout
	}
	c.base = inner.Transport
	if c.base == nil {
		c.base = http.DefaultTransport
	}
	// The time limit is kept per attempt, so that waiting for the budget does not use it up.
	inner.Timeout = 0
	inner.Transport = (*attempter)(c)
	inner.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	c.http = &retryablehttp.Client{
		HTTPClient: &inner,
		// One more than the retries, for the repeat after a 401; each call counts its own.
		RetryMax:     o.Retries + 1,
		CheckRetry:   checkRetry,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return c
}

// ownTransport is shared by clients that were given none, so that their idle connections are bounded together.
var ownTransport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2:     true,
	MaxIdleConns:          64,
	MaxIdleConnsPerHost:   8,
	IdleConnTimeout:       60 * time.Second,
	TLSHandshakeTimeout:   15 * time.Second,
	ResponseHeaderTimeout: 100 * time.Second,
	ExpectContinueTimeout: time.Second,
}

// Sent is the number of requests sent so far, repeats included.
func (c *Client) Sent() int64 { return c.sent.Load() }

// Do sends a request and reads the whole reply. Every error is a *connectors.Error; when ctx ended, errors.Is finds its
// error too. The Response of a failed request holds what was received, if anything.
func (c *Client) Do(ctx context.Context, req Request) (Response, error) {
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	read := req.Safe || req.Method == http.MethodGet || req.Method == http.MethodHead
	cl := &call{
		req: req, write: !read, repeat: read || req.Repeat, client: c,
		record: strings.TrimSpace(req.Record + " in " + c.o.Account),
	}
	if c.o.Account == "" {
		cl.record = req.Record
	}
	target, err := c.address(req)
	if err != nil {
		return Response{}, cl.finish(&connectors.Error{Class: connectors.ClassInvalid, Message: err.Error()})
	}
	body, err := encode(req.Body)
	if err != nil {
		return Response{}, cl.finish(&connectors.Error{
			Class: connectors.ClassInvalid, Message: "cannot write the request as JSON: " + err.Error(), Err: err,
		})
	}
	hr, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, callKey{}, cl), req.Method, target.String(), body)
	if err != nil {
		return Response{}, cl.finish(&connectors.Error{Class: connectors.ClassInvalid, Message: "the request cannot be built", Err: err})
	}
	if body != nil {
		hr.Header.Set("Content-Type", "application/json")
	}
	hr.Header.Set("Accept", "application/json")
	for name, values := range req.Header {
		hr.Header[http.CanonicalHeaderKey(name)] = values
	}

	resp, err := c.http.Do(hr)
	if resp != nil {
		_ = resp.Body.Close() // already read
	}
	switch {
	case err == nil && cl.fault == nil:
		return cl.response, nil
	case cl.again && ctx.Err() != nil:
		ended := stopped(ctx.Err())
		ended.Message += ", waiting to try again after: " + cl.fault.Message
		return cl.response, cl.finish(ended)
	case cl.fault == nil:
		return cl.response, cl.finish(&connectors.Error{Class: connectors.ClassInvalid, Message: "the request cannot be sent", Err: err})
	}
	return cl.response, cl.finish(cl.fault)
}

// address joins base and path. Its errors do not quote the URL, which may hold secrets.
func (c *Client) address(req Request) (*url.URL, error) {
	base, err := url.Parse(c.o.BaseURL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("the address of account %q is not a web address; it should look like https://api.example.com", c.o.Account)
	}
	text := c.o.BaseURL + req.Path
	if strings.HasPrefix(req.Path, "https://") || strings.HasPrefix(req.Path, "http://") {
		text = req.Path
	} else if !strings.HasPrefix(req.Path, "/") {
		return nil, fmt.Errorf("the path of the request does not begin with a slash")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the path of the request is not a valid URL")
	}
	if u.Scheme != base.Scheme || u.Host != base.Host {
		// Credentials would follow a link to wherever it points.
		return nil, fmt.Errorf("a link points to %s://%s instead of %s://%s; it was not followed", u.Scheme, u.Host, base.Scheme, base.Host)
	}
	u.User = base.User
	u.Fragment = ""
	if len(req.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += req.Query.Encode()
	}
	return u, nil
}

// encode gives what retryablehttp rewinds for each attempt: nil for no body.
func encode(body any) (any, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil
	case []byte:
		return b, nil
	case json.RawMessage:
		return []byte(b), nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
