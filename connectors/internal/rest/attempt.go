package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
)

type callKey struct{}

// call is what Do, its attempts and the retry policy share. Attempts of one call follow each other, so it needs no lock.
type call struct {
	client *Client
	req    Request
	record string // with the account
	write  bool
	repeat bool

	attempts    int
	repeats     int  // without the one after a 401
	reauthorize bool // the one try after a 401 was used
	doubt       bool // some attempt of a write may have been done
	bearer      string

	response Response
	fault    *connectors.Error // of the last attempt; nil for success
	again    bool
	wait     time.Duration
}

// checkRetry and backoff hand the decision made after each attempt to the retry loop, which would otherwise repeat every
// method after every 5xx.
func checkRetry(ctx context.Context, _ *http.Response, _ error) (bool, error) {
	cl, ok := ctx.Value(callKey{}).(*call)
	return ok && cl.again, nil
}

func backoff(_, _ time.Duration, _ int, resp *http.Response) time.Duration {
	return resp.Request.Context().Value(callKey{}).(*call).wait
}

// attempter is the client seen as a transport: one RoundTrip is one attempt, from waiting for its turn to the last byte.
type attempter Client

func (a *attempter) RoundTrip(r *http.Request) (*http.Response, error) {
	c := (*Client)(a)
	ctx := r.Context()
	cl := ctx.Value(callKey{}).(*call)
	cl.response, cl.fault, cl.again, cl.wait = Response{}, nil, false, 0
	cl.attempts++

	status, header := c.attempt(ctx, cl, r)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if cl.fault != nil && cl.write && cl.fault.Class == connectors.ClassUnknown {
		cl.doubt = true
	}
	// Failures travel as a response too: the loop's own error would carry the URL with its query.
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, Request: r,
	}, nil
}

// attempt sends once and leaves its outcome in cl. It returns the status and headers, zero when there were none.
func (c *Client) attempt(ctx context.Context, cl *call, r *http.Request) (int, http.Header) {
	leave, err := c.pace.enter(ctx)
	if err != nil {
		cl.fault = notSent(err)
		return 0, nil
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, fmt.Errorf("no answer within %s", c.limit))
	defer cancel()

	generation := c.currentGeneration()
	var seen progress
	out := r.Clone(httptrace.WithClientTrace(ctx, seen.trace()))
	if c.o.Authorize != nil {
		if err := c.o.Authorize(ctx, out); err != nil {
			cl.fault = signInFault(ctx, err)
			return 0, nil
		}
	}
	if _, credentials, ok := strings.Cut(out.Header.Get("Authorization"), " "); ok {
		cl.bearer = credentials
	}
	if name := unsendable(out.Header); name != "" {
		cl.fault = &connectors.Error{
			Class: connectors.ClassInvalid, Message: fmt.Sprintf("the header %s has a character that cannot be sent", name),
			Hint: "look for a line break in the settings and secrets of this account",
		}
		return 0, nil
	}

	if cl.write {
		if err := connectors.Permitted(ctx); err != nil {
			cl.fault = &connectors.Error{Class: connectors.ClassTransient, Message: "not sent: " + err.Error(), Err: err}
			return 0, nil
		}
	}
	start := time.Now()
	c.sent.Add(1)
	resp, err := c.base.RoundTrip(out)
	var body []byte
	tooLong := false
	if err == nil {
		body, tooLong, err = readBody(resp.Body, c.o.MaxBody)
		if resp.StatusCode < 200 || resp.StatusCode > 299 {
			err, tooLong = nil, false // the status says enough
		}
	}
	status := 0
	var header http.Header
	if resp != nil {
		status, header = resp.StatusCode, resp.Header
		cl.response = Response{Status: status, Header: header, Body: body, from: cl}
	}
	c.o.Log.Debug("request", zap.String("account", c.o.Account), zap.String("system", c.o.System),
		zap.String("method", r.Method), zap.String("path", c.cut.text(r.URL.Path)), zap.Int("status", status),
		zap.Duration("took", time.Since(start)), zap.Int("attempt", cl.attempts))

	switch {
	case err != nil:
		c.afterLoss(ctx, cl, r, err, seen.nothingSent())
	case tooLong:
		cl.fault = &connectors.Error{
			Class: connectors.ClassInvalid, Message: fmt.Sprintf("the reply is longer than %d bytes", c.o.MaxBody),
			Hint: "ask for smaller pages",
		}
		if cl.write {
			cl.fault.Class = connectors.ClassUnknown
			cl.fault.Hint = "read the record to see what was done"
		}
	default:
		cl.fault = c.judge(cl, cl.response)
		if cl.fault != nil {
			c.afterReply(r.Context(), cl, generation)
		}
	}
	c.observe(cl.fault, time.Since(start))
	return status, header
}

// observe tells of an attempt that was sent.
func (c *Client) observe(fault *connectors.Error, took time.Duration) {
	if c.o.Observe == nil {
		return
	}
	sent := connectors.Exchange{Took: took, PerMinute: c.o.PerMinute}
	if fault != nil {
		sent.Class = fault.Class
	}
	c.o.Observe(sent)
}

// afterLoss decides after an attempt without a reply.
func (c *Client) afterLoss(ctx context.Context, cl *call, r *http.Request, err error, nothingSent bool) {
	if ended := r.Context().Err(); ended != nil {
		cl.fault = stopped(ended)
		if cl.write && !nothingSent {
			cl.fault.Class = connectors.ClassUnknown
		}
		return
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cl.fault = &connectors.Error{
		Class:   connectors.ClassTransient,
		Message: fmt.Sprintf("no reply from %s: %s", r.URL.Host, causeText(err)),
		Hint:    "check the network and the system's status page",
		Err:     err,
	}
	if cl.write && !nothingSent {
		cl.fault.Class = connectors.ClassUnknown
		cl.fault.Hint = "it may or may not have been done; read the record before trying again"
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		cl.fault.Hint = "the certificate is not trusted: check the address, the clock and any proxy in between"
		return
	}
	if cl.repeat {
		c.plan(r.Context(), cl, growing(cl.repeats))
	}
}

// afterReply decides after a reply that was not 2xx; cl.fault says what it means.
func (c *Client) afterReply(ctx context.Context, cl *call, generation int64) {
	status, fault := cl.response.Status, cl.fault
	if status == http.StatusUnauthorized && c.o.Reauthorize != nil && !cl.reauthorize {
		cl.reauthorize, cl.again = true, true
		c.forget(ctx, generation)
		return
	}
	limited := fault.Class == connectors.ClassLimited
	wait := growing(cl.repeats)
	if fault.RetryAfter > 0 {
		wait = fault.RetryAfter + rand.N(min(fault.RetryAfter/10+1, time.Second))
	}
	if limited || fault.RetryAfter > 0 && status == http.StatusServiceUnavailable {
		c.pace.hold(wait)
	}
	if (limited || cl.repeat && repeatable(status, fault.Class)) && fault.RetryAfter <= c.o.MaxRetryAfter {
		c.plan(ctx, cl, wait)
	}
}

// plan has the call repeated after a wait, if it has repeats left and time to wait: what the system said is a better answer
// than a deadline that passed in sleep.
func (c *Client) plan(ctx context.Context, cl *call, wait time.Duration) {
	deadline, limited := ctx.Deadline()
	if cl.repeats >= c.o.Retries || limited && time.Until(deadline) < wait {
		return
	}
	cl.again, cl.wait = true, wait
	cl.repeats++
}

// repeatable says whether a failure may pass when the request is sent again. Fault may call any status transient.
func repeatable(status int, class connectors.Class) bool {
	if status == http.StatusNotImplemented || status == http.StatusHTTPVersionNotSupported {
		return false
	}
	return class == connectors.ClassTransient ||
		class == connectors.ClassUnknown && (status >= 500 || status == http.StatusRequestTimeout)
}

// growing is the wait before repeat n+1: about 1, 2, 4 seconds and so on up to 30, half of it by chance so that clients
// which failed together do not return together.
func growing(n int) time.Duration {
	d := min(time.Second<<min(n, 10), 30*time.Second)
	return d/2 + rand.N(d/2)
}

func (c *Client) currentGeneration() int64 {
	c.signin.Lock()
	defer c.signin.Unlock()
	return c.generation
}

// forget calls Reauthorize unless somebody did since the refused attempt took its credentials.
func (c *Client) forget(ctx context.Context, generation int64) {
	c.signin.Lock()
	defer c.signin.Unlock()
	if generation == c.generation {
		c.generation++
		c.o.Reauthorize(ctx)
	}
}

// progress follows an attempt through the transport, to know whether the system can have seen anything of it.
type progress struct{ asked, connected, wrote atomic.Bool }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { p.asked.Store(true); p.connected.Store(false) },
		GotConn:      func(httptrace.GotConnInfo) { p.connected.Store(true) },
		WroteHeaders: func() { p.wrote.Store(true) },
	}
}

// nothingSent is true only when it is certain: a connection was asked for and never had. Writing starts right after, on
// another goroutine, so a connection counts as sent. A transport that reports nothing is not certain.
func (p *progress) nothingSent() bool {
	return p.asked.Load() && !p.connected.Load() && !p.wrote.Load()
}

// readBody reads up to limit bytes and tells whether there was more.
func readBody(body io.ReadCloser, limit int64) (data []byte, tooLong bool, err error) {
	defer func() { _ = body.Close() }()
	data, err = io.ReadAll(io.LimitReader(body, limit+1))
	if int64(len(data)) > limit {
		return data[:limit], true, nil
	}
	return data, false, err
}

// unsendable names a header that net/http would refuse, which it does without saying whether anything was sent.
func unsendable(h http.Header) string {
	for name, values := range h {
		for _, v := range values {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return name
			}
		}
	}
	return ""
}
