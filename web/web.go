// Package web serves over HTTP how the daemon is, and takes the messages of systems. It asks nobody to sign in, so it listens on the loopback
// unless trueup.yaml says otherwise; what it shows are names of accounts, flows and kinds, counts, times and the reasons of
// failures, which may name a customer. It never shows a secret. A message is believed for its signature, and only says where to look sooner.
//
//	/healthz   200 while the daemon works: its loop comes round and it holds the lease; otherwise 503 and why.
//	           For whatever starts it anew when it hangs.
//	/readyz    200 while what trueup knows can be trusted: the state can be read, schedules are kept, and every kind of record was
//	           read completely not longer ago than two of its discoveries; otherwise 503. A JSON object says why ("reasons")
//	           and what somebody should look at although nothing is wrong yet ("warnings"), and gives each account's last good
//	           read ("accounts"): as old as the oldest of its kinds, with what was missing the last time.
//	/metrics   Prometheus metrics; Table lists them.
//	/hooks/X   POST, for an account X with hints: {url: ...}: 202 when the message is the system's and will be followed, or was before. This is
//	           the only path that the world outside needs; docs/guide/webhooks.md says how to open it and nothing else.
//
// What is served comes from the daemon's memory: asking often costs neither the store nor any system anything.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/daemon"
)

// Server serves the health of a daemon.
type Server struct {
	Health  func() daemon.Health
	Metrics *Metrics
	Log     *zap.Logger // failures of the server itself, and messages that were refused
	// Takes says whether an account takes messages, and Hooks takes one; nil when none do. Daemon.Takes and Daemon.Receive are such.
	Takes func(account string) bool
	Hooks func(ctx context.Context, account string, m connectors.Message) error

	verifying chan struct{} // holds as many as are verified
	said      *rate.Limiter // what may be said in the log about refused messages
}

// shutdownTime is how long a request that is being answered may hold up the end.
const shutdownTime = 2 * time.Second

// Run serves on a listener until ctx ends, and closes it.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(s.Log),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		_ = server.Close() // those that are still asking have to ask again
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	return nil
}

// Handler answers the requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.Metrics.handler())
	if s.Hooks != nil {
		s.verifying, s.said = make(chan struct{}, verifying), rate.NewLimiter(1, 10)
		mux.HandleFunc("POST /hooks/{account}", s.hook)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		limit := int64(0)
		if strings.HasPrefix(r.URL.Path, "/hooks/") {
			limit = largestMessage
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if dead := s.Health().Alive(); dead != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, dead)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readiness is what /readyz answers.
type readiness struct {
	Ready    bool                   `json:"ready"`
	Reasons  []string               `json:"reasons"`
	Warnings []string               `json:"warnings"`
	Accounts []daemon.AccountHealth `json:"accounts"`
	Looked   time.Time              `json:"looked_at,omitzero"`
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	h := s.Health()
	answer := readiness{Reasons: h.NotReady(), Warnings: h.Warnings(), Accounts: daemon.Accounts(h.Reads), Looked: h.Looked}
	answer.Ready = len(answer.Reasons) == 0
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		s.Log.Debug("the answer was not taken", zap.Error(err))
	}
}
