package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/daemon"
)

// Whatever is wrong with a message, the sender learns that it was not taken and nothing else; the log says why, not what it held.
func TestHooks(t *testing.T) {
	t.Parallel()
	const good = `{"planted-secret": 1}`
	for name, tc := range map[string]struct {
		method, path, kind, body string
		err                      error
		code                     int
		logged                   string
	}{
		"taken":               {"POST", "/hooks/psa", "application/json; charset=utf-8", good, nil, http.StatusAccepted, ""},
		"wrong signature":     {"POST", "/hooks/psa", "application/json", good, &connectors.Error{Class: connectors.ClassAuth, Message: "its signature is not the PSA's"}, http.StatusUnauthorized, "its signature is not the PSA's"},
		"too old":             {"POST", "/hooks/psa", "application/json", good, &connectors.Error{Class: connectors.ClassInvalid, Message: "too old"}, http.StatusUnauthorized, "too old"},
		"cannot be verified":  {"POST", "/hooks/psa", "application/json", good, &connectors.Error{Class: connectors.ClassTransient, Message: "no certificate"}, http.StatusServiceUnavailable, "no certificate"},
		"too many":            {"POST", "/hooks/psa", "application/json", good, daemon.ErrTooMany, http.StatusServiceUnavailable, "too many"},
		"no hook any more":    {"POST", "/hooks/psa", "application/json", good, daemon.ErrNoHook, http.StatusNotFound, ""},
		"another account":     {"POST", "/hooks/microsoft", "application/json", good, nil, http.StatusNotFound, ""},
		"no account":          {"POST", "/hooks/", "application/json", good, nil, http.StatusNotFound, ""},
		"huge":                {"POST", "/hooks/psa", "application/json", strings.Repeat("x", largestMessage+1), nil, http.StatusRequestEntityTooLarge, ""},
		"the largest":         {"POST", "/hooks/psa", "application/json", strings.Repeat("x", largestMessage), nil, http.StatusAccepted, ""},
		"a form":              {"POST", "/hooks/psa", "application/x-www-form-urlencoded", good, nil, http.StatusUnsupportedMediaType, ""},
		"no type":             {"POST", "/hooks/psa", "", good, nil, http.StatusUnsupportedMediaType, ""},
		"looking":             {"GET", "/hooks/psa", "application/json", "", nil, http.StatusMethodNotAllowed, ""},
		"a body for /healthz": {"POST", "/healthz", "application/json", good, nil, http.StatusMethodNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(well())
			core, logs := observer.New(zapcore.DebugLevel)
			s.Log = zap.New(core)
			took := 0
			s.Takes = func(account string) bool { return account == "psa" }
			s.Hooks = func(_ context.Context, account string, m connectors.Message) error {
				took++
				if account != "psa" || len(m.Body) != len(tc.body) {
					t.Errorf("given %s, %d bytes", account, len(m.Body))
				}
				return tc.err
			}
			request := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, bytes.NewReader([]byte(tc.body)))
			request.Header.Set("Content-Type", tc.kind)
			answer := httptest.NewRecorder()
			s.Handler().ServeHTTP(answer, request)
			if answer.Code != tc.code || strings.HasPrefix(tc.path, "/hooks/psa") && tc.method == "POST" && answer.Body.Len() > 0 {
				t.Errorf("%d %q, wanted %d and nothing said", answer.Code, answer.Body, tc.code)
			}
			said := fmt.Sprint(logs.All())
			if !strings.Contains(said, tc.logged) || (tc.logged == "") != (logs.Len() == 0) || strings.Contains(said, "planted-secret") {
				t.Errorf("logged %s", said)
			}
			if tc.code == http.StatusAccepted && took != 1 {
				t.Errorf("it was given %d times", took)
			}
		})
	}
}

// Names that no account has are counted nowhere, so that nobody fills the memory with them.
func TestHooksCountNoStrangers(t *testing.T) {
	t.Parallel()
	s := serve(well())
	s.Takes, s.Hooks = func(string) bool { return false }, func(context.Context, string, connectors.Message) error { return nil }
	for n := range 100 {
		ask(t, s, http.MethodPost, fmt.Sprintf("/hooks/x%d", n))
	}
	if _, body := ask(t, s, http.MethodGet, "/metrics"); strings.Contains(body, "trueup_messages_total{") {
		t.Error("strangers are counted by their names")
	}
}
