package connectortest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each fault of the wire: what the caller sees of a write, and whether the server did it.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault  string
		status int // 0: an error instead of an answer
		body   string
		done   int64
	}{
		{"", 200, "done", 1},
		{HTMLAnswer, 200, "<!doctype html>", 0},
		{ErrorAfterCommit, 500, "something went wrong", 1},
		{LostReply, 0, "dropped", 1},
		{LostBeforeCommit, 0, "dropped", 0},
		{RejectCredentials, 401, "refused", 0},
		{Limited, 429, "too many", 0},
	} {
		t.Run("fault "+tt.fault, func(t *testing.T) {
			t.Parallel()
			var done atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				done.Add(1)
				_, _ = io.WriteString(w, "done")
			}))
			t.Cleanup(server.Close)
			wire := NewWire(&http.Transport{}, func(r *http.Request) bool { return r.URL.Path != "/token" })
			t.Cleanup(wire.Close)
			if tt.fault != "" {
				wire.Faults()[tt.fault](true)
			}
			sent := false
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent = true }})
			status, text := post(ctx, t, wire, server.URL+"/api")
			if status != tt.status || !strings.Contains(text, tt.body) || done.Load() != tt.done {
				t.Errorf("status %d, %q, done %d times; want %d, %q, %d", status, text, done.Load(), tt.status, tt.body, tt.done)
			}
			if !sent {
				t.Error("the caller was not told that its request left")
			}
			if status, _ := post(t.Context(), t, wire, server.URL+"/token"); status != 200 {
				t.Errorf("signing in was troubled: status %d", status)
			}
			if n := wire.Requests(); n != 2 {
				t.Errorf("%d requests counted, want 2", n)
			}
		})
	}
}

func TestWireAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }))
	t.Cleanup(server.Close)
	wire := NewWire(&http.Transport{}, nil)
	t.Cleanup(wire.Close)
	wire.Answer(http.StatusConflict, true)
	if status, _ := post(t.Context(), t, wire, server.URL); status != http.StatusConflict {
		t.Errorf("write: status %d, want 409", status)
	}
	response, err := wire.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("read: status %d, want 200", response.StatusCode)
	}
	wire.Answer(0, true)
	if status, _ := post(t.Context(), t, wire, server.URL); status != http.StatusOK {
		t.Errorf("afterwards: status %d, want 200", status)
	}
}

func TestWireIsSlow(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }))
	t.Cleanup(server.Close)
	wire := NewWire(&http.Transport{}, nil)
	t.Cleanup(wire.Close)
	wire.Faults()[Slow](true)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if status, text := post(ctx, t, wire, server.URL); status != 0 || !strings.Contains(text, context.DeadlineExceeded.Error()) {
		t.Errorf("got status %d, %q; want the caller's own deadline", status, text)
	}
}

// post gives the status and body, or 0 and the error.
func post(ctx context.Context, t *testing.T, wire *Wire, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := wire.Client().Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
