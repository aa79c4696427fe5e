package connectortest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// Wire stands between a connector and an HTTP fake. It counts requests, answers in the server's place, and breaks
// connections, so that a fake only has to know the faults of its own system.
type Wire struct {
	next http.RoundTripper
	api  func(*http.Request) bool

	mu       sync.Mutex
	requests int
	on       map[string]bool
	status   int
	writes   bool // status is for writes only
}

// NewWire makes a wire over a transport. api tells which requests it may trouble, so that signing in can be left alone;
// nil means all of them.
func NewWire(next http.RoundTripper, api func(*http.Request) bool) *Wire {
	if api == nil {
		api = func(*http.Request) bool { return true }
	}
	return &Wire{next: next, api: api, on: map[string]bool{}}
}

// Client is an HTTP client on this wire.
func (w *Wire) Client() *http.Client { return &http.Client{Transport: w} }

// Close closes idle connections.
func (w *Wire) Close() { w.Client().CloseIdleConnections() }

// CloseIdleConnections passes the wish on to the transport below.
func (w *Wire) CloseIdleConnections() {
	if c, ok := w.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Requests counts what was sent, signing in included.
func (w *Wire) Requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}

// Answer makes every request, or every write, get a status; 0 lets the server answer again.
func (w *Wire) Answer(status int, writesOnly bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.writes = status, writesOnly
}

// Faults are the switches of what a wire can do wrong; add those of the fake to the map.
func (w *Wire) Faults() map[string]func(on bool) {
	switches := map[string]func(bool){}
	for _, name := range []string{HTMLAnswer, ErrorAfterCommit, LostReply, LostBeforeCommit, Slow, RejectCredentials, Limited} {
		switches[name] = func(on bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.on[name] = on
		}
	}
	return switches
}

var errDropped = errors.New("connection dropped by the test wire")

// RoundTrip sends a request, or does what it was told to do instead.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.requests++
	write := r.Method != http.MethodGet && r.Method != http.MethodHead
	status, fault := w.status, ""
	if w.writes && !write {
		status = 0
	}
	for _, name := range []string{Slow, RejectCredentials, Limited, HTMLAnswer} {
		if w.on[name] {
			fault = name
		}
	}
	for _, name := range []string{ErrorAfterCommit, LostReply, LostBeforeCommit} {
		if w.on[name] && write {
			fault = name
		}
	}
	w.mu.Unlock()
	switch {
	case !w.api(r):
		return w.next.RoundTrip(r)
	case status != 0:
		return answer(r, status, "application/json", fmt.Sprintf(`{"code":"%d","message":"answered by the test wire"}`, status))
	}
	switch fault {
	case RejectCredentials:
		return answer(r, http.StatusUnauthorized, "application/json", `{"code":"401","message":"credentials refused"}`)
	case Limited:
		return answer(r, http.StatusTooManyRequests, "application/json", `{"code":"429","message":"too many requests"}`)
	case HTMLAnswer:
		return answer(r, http.StatusOK, "text/html", "<!doctype html><html><body>Please sign in to the network</body></html>")
	case LostBeforeCommit:
		pretendSent(r)
		return nil, errDropped
	case "":
		return w.next.RoundTrip(r)
	}
	response, err := w.next.RoundTrip(r)
	if err != nil {
		return response, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	switch fault {
	case Slow:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case LostReply:
		return nil, errDropped
	}
	return answer(r, http.StatusInternalServerError, "application/json", `{"code":"500","message":"something went wrong"}`)
}

// pretendSent swallows a request, as a network does that loses it after it left.
func pretendSent(r *http.Request) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		if trace.WroteHeaders != nil {
			trace.WroteHeaders()
		}
		if trace.WroteRequest != nil {
			trace.WroteRequest(httptrace.WroteRequestInfo{})
		}
	}
}

// answer is a response in the server's place. The wait of ten minutes is longer than any connector waits by itself.
func answer(r *http.Request, status int, contentType, body string) (*http.Response, error) {
	pretendSent(r)
	header := http.Header{"Content-Type": {contentType}}
	if status == http.StatusTooManyRequests {
		header.Set("Retry-After", "600")
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}
