package web

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/daemon"
)

const (
	largestMessage = 64 << 10 // bytes; messages have a few hundred
	verifyTime     = 15 * time.Second
	verifying      = 16 // messages at once
)

// hook takes a message of a system. What is wrong with one that is refused, only the log says: the sender learns nothing but that it was.
func (s *Server) hook(w http.ResponseWriter, r *http.Request) {
	account := r.PathValue("account")
	if !s.Takes(account) { // before anything is counted under the name
		w.WriteHeader(http.StatusNotFound)
		return
	}
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.Metrics.Heard(account, daemon.HintRefused, 1)
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.Metrics.Heard(account, daemon.HintRefused, 1)
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), verifyTime)
	defer cancel()
	err = s.Hooks(ctx, account, connectors.Message{Header: r.Header, Body: body})
	status := http.StatusAccepted
	switch class := connectors.ClassOf(err); {
	case err == nil:
	case errors.Is(err, daemon.ErrNoHook): // the configuration was replaced meanwhile
		status = http.StatusNotFound
	case errors.Is(err, daemon.ErrTooMany), class == connectors.ClassTransient, class == connectors.ClassLimited:
		status = http.StatusServiceUnavailable // the sender tries again
	default:
		status = http.StatusUnauthorized
	}
	if err != nil && status != http.StatusNotFound && s.said.Allow() { // whoever sends much does not fill the log
		s.Log.Warn("a message was not taken", zap.String("account", account), zap.Error(err))
	}
	w.WriteHeader(status)
}
