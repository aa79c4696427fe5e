package connectwisetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Misbehaviour is a fault that the server can be told to show.
type Misbehaviour struct{ Name, Doc string }

var misbehaviours = []Misbehaviour{
	{"bom", "every JSON body begins with a byte order mark"},
	{"cap_pages", "value n: a page holds at most n records, without a link to the next"},
	{"drop_last_page", "the last page of every listing never arrives; a listing of one page is empty"},
	{"empty_dates", "value null or text: how an unset date is shown; otherwise the member is absent"},
	{"empty_list", "every listing is empty; value count: counts are zero too"},
	{"error_after_commit", "a write is done and then answered with 500; value: how many times, empty for always"},
	{"error_in_200", "every answer has status 200 and an error object as its body"},
	{"false_200", "a PATCH is answered with 200 and the unchanged record; value: how many times, empty for always"},
	{"forbid", "value companies, contacts, agreements, additions, catalog, opportunities, tickets or system: the API member lacks this right"},
	{"html_error", "a proxy answers with an HTML page; value: the status, 200 when empty"},
	{"lost_reply", "a write is done and the connection is dropped; value: how many times, empty for always"},
	{"refuse_agreement", "value id: the additions of this agreement are refused with 403"},
	{"reject_keys", "the keys are refused with 401; value 404: with 404, as cloud tenants do"},
	{"round_prices", "value n: unit prices and costs are kept with n decimals"},
	{"slow", "value like 200ms: every answer takes this much longer"},
	{"stale_agreement_stamp", "an edited addition does not move its agreement's change stamp"},
	{"switch_codebase", "value like v2026_2/: the tenant moved to this codebase and every other path is gone"},
	{"throttle_storm", "value \"n\" or \"n seconds\": the next n requests are answered with 429 and this Retry-After (1)"},
}

// counted are those whose value says how often they happen.
var counted = []string{"error_after_commit", "false_200", "lost_reply", "throttle_storm"}

// Misbehaviours lists what Misbehave understands, sorted by name.
func Misbehaviours() []Misbehaviour { return slices.Clone(misbehaviours) }

// Misbehave turns a misbehaviour on. It refuses unknown names and values that make no sense.
func (s *Server) Misbehave(name, value string) error {
	if !slices.ContainsFunc(misbehaviours, func(m Misbehaviour) bool { return m.Name == name }) {
		return fmt.Errorf("unknown misbehaviour %q", name)
	}
	times := -1
	bad := fmt.Errorf("misbehaviour %s does not take the value %q", name, value)
	switch {
	case slices.Contains(counted, name) && value != "":
		n, err := strconv.Atoi(strings.Fields(value)[0])
		if err != nil || n < 0 {
			return bad
		}
		times = n
	case name == "cap_pages", name == "round_prices":
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n == 0 && name == "cap_pages" || n > 9 && name == "round_prices" {
			return bad
		}
	case name == "slow":
		if _, err := time.ParseDuration(value); err != nil {
			return bad
		}
	case name == "switch_codebase" && (value == "" || !strings.HasSuffix(value, "/")),
		name == "empty_dates" && value != "null" && value != "text",
		name == "forbid" && !slices.Contains([]string{"companies", "contacts", "agreements", "additions", "catalog", "opportunities", "tickets", "system"}, value):
		return bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "switch_codebase" {
		s.codebase = value
	}
	s.wrong[name], s.left[name] = value, times
	return nil
}

// Behave turns a misbehaviour off. A switched codebase stays switched.
func (s *Server) Behave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "switch_codebase" {
		delete(s.wrong, name)
		delete(s.left, name)
	}
}

func (s *Server) misbehaves(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, on := s.wrong[name]
	return on
}

// happens uses up one occurrence of a counted misbehaviour.
func (s *Server) happens(name string) bool {
	if _, on := s.wrong[name]; !on || s.left[name] == 0 {
		return false
	}
	if s.left[name] > 0 {
		s.left[name]--
	}
	return true
}

func (s *Server) retryAfter() int {
	if words := strings.Fields(s.wrong["throttle_storm"]); len(words) == 2 {
		if n, err := strconv.Atoi(words[1]); err == nil {
			return n
		}
	}
	return 1
}

func (s *Server) delay() time.Duration {
	d, err := time.ParseDuration(s.wrong["slow"])
	if err != nil {
		return 0
	}
	return d
}

// spoil turns a good answer into a bad one, after the work was done.
func (s *Server) spoil(c *call, a answer) answer {
	if status, on := s.wrong["html_error"]; on {
		code, err := strconv.Atoi(status)
		if err != nil {
			code = http.StatusOK
		}
		return answer{status: code, raw: "<!DOCTYPE html><html><head><title>Service unavailable</title></head><body>Please try again.</body></html>"}
	}
	if strings.HasPrefix(c.URL.Path, "/login/") || a.status >= http.StatusBadRequest {
		return a
	}
	if _, on := s.wrong["error_in_200"]; on {
		return answer{status: http.StatusOK, body: refuse(0, "InternalServerError", "An error occurred while processing the request.")}
	}
	if c.Method == http.MethodGet {
		return a
	}
	if s.happens("error_after_commit") {
		return answer{status: http.StatusInternalServerError, body: json.RawMessage(`{"code":"InternalServerError","message":"Execution Timeout Expired."}`)}
	}
	if s.happens("lost_reply") {
		a.drop = true
	}
	return a
}
