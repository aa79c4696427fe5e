package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// The two sides, as control calls name them.
const (
	sideVendor = "vendor"
	sidePSA    = "psa"
)

var sides = []string{sideVendor, sidePSA}

// control is what the control API itself remembers.
type control struct {
	mu      sync.Mutex
	told    map[string]string // PSA misbehaviours that were turned on
	cleared map[string]int    // how many requests of a side's log were cleared
}

// refusal is a control call that was not obeyed.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(format string, args ...any) error {
	return refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return refusal{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// Endpoint is one call of the control API.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Doc    string `json:"doc"`
	Body   string `json:"body,omitempty"` // an example

	query []string // parameters it knows
	serve func(*Sandbox, *http.Request) (status int, answer any, err error)
}

// Endpoints are the calls of the control API, in documentation order.
func Endpoints() []Endpoint { return slices.Clone(endpoints) }

var endpoints []Endpoint

// endpoints describes itself, which the compiler takes for a cycle.
func init() {
	endpoints = []Endpoint{
		{Method: "GET", Path: "/v1", Doc: "This description.", serve: (*Sandbox).describe},
		{Method: "GET", Path: "/v1/connection", Doc: "Addresses, credentials and settings, as printed at the start.", serve: (*Sandbox).getConnection},
		{Method: "GET", Path: "/v1/state/{side}", Doc: "Everything that vendor or psa holds.", serve: (*Sandbox).getState},
		{Method: "GET", Path: "/v1/state/{side}/{kind}/{id}", Doc: "One record: customer or subscription of the vendor, any kind of the psa.", serve: (*Sandbox).getRecord},
		{Method: "GET", Path: "/v1/truth", Doc: "What is right in the world as it was made; ?format=text for reading.", query: []string{"format"}, serve: (*Sandbox).getTruth},
		{Method: "POST", Path: "/v1/edit", Doc: "Changes or deletes a record as somebody at that system would, by its rules.",
			Body: `{"side": "psa", "kind": "addition", "id": 612, "by": "jane", "set": {"quantity": 12}}`, serve: (*Sandbox).postEdit},
		{Method: "POST", Path: "/v1/add", Doc: "Adds a record as somebody at that system would, and answers with it.",
			Body: `{"side": "vendor", "kind": "subscription", "record": {"customer": "TENANT", "quantity": 5, "term": "P1M"}}`, serve: (*Sandbox).postAdd},
		{Method: "GET", Path: "/v1/misbehave/{side}", Doc: "The misbehaviours of a side, and which are on.", serve: (*Sandbox).getMisbehaviours},
		{Method: "POST", Path: "/v1/misbehave/{side}", Doc: "Turns one on.", Body: `{"name": "lost_reply", "value": "1"}`, serve: (*Sandbox).postMisbehave},
		{Method: "DELETE", Path: "/v1/misbehave/{side}", Doc: "Turns all of them off.", serve: (*Sandbox).deleteMisbehave},
		{Method: "GET", Path: "/v1/misbehave/{side}/{name}", Doc: "One misbehaviour.", serve: (*Sandbox).getMisbehaviours},
		{Method: "POST", Path: "/v1/misbehave/{side}/{name}", Doc: "Turns it on.", Body: `{"value": "1"}`, serve: (*Sandbox).postMisbehave},
		{Method: "DELETE", Path: "/v1/misbehave/{side}/{name}", Doc: "Turns it off.", serve: (*Sandbox).deleteMisbehave},
		{Method: "GET", Path: "/v1/clock", Doc: "What the clock shows.", serve: (*Sandbox).getClock},
		{Method: "POST", Path: "/v1/clock", Doc: "Moves the clock forward by a duration, or to a moment.", Body: `{"advance": "24h"}`, serve: (*Sandbox).postClock},
		{Method: "GET", Path: "/v1/requests", Doc: "The requests both systems answered, oldest first.", serve: (*Sandbox).getRequests},
		{Method: "DELETE", Path: "/v1/requests", Doc: "Clears that log.", serve: (*Sandbox).deleteRequests},
	}
}

func (s *Sandbox) controlHandler() http.Handler {
	s.control.told, s.control.cleared = map[string]string{}, map[string]int{}
	mux := http.NewServeMux()
	for _, e := range endpoints {
		mux.HandleFunc(e.Method+" "+e.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := knownQuery(r, e.query); err != nil {
				answer(w, 0, nil, err)
				return
			}
			status, body, err := e.serve(s, r)
			answer(w, status, body, err)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 0, nil, notFound("there is no %s %s; GET /v1 lists what there is", r.Method, r.URL.Path))
	})
	return mux
}

func knownQuery(r *http.Request, known []string) error {
	for name := range r.URL.Query() {
		if !slices.Contains(known, name) {
			return refuse("unknown parameter %q; %s", name, knownNames(known))
		}
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		status = http.StatusInternalServerError
		if r := (refusal{}); errors.As(err, &r) {
			status = r.status
		}
		body = map[string]string{"error": err.Error()}
	}
	if text, ok := body.(string); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text)) // the caller may have left
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
}

func (s *Sandbox) describe(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"name": "trueup sandbox", "endpoints": endpoints, "awkward_kinds": AwkwardKinds,
		"misbehaviours": map[string]any{sideVendor: s.misbehaviours(sideVendor), sidePSA: s.misbehaviours(sidePSA)},
		"edit":          map[string]any{sideVendor: vendorEdits, sidePSA: psaEdits},
		"add":           map[string]any{sideVendor: vendorAdds(), sidePSA: psaAdds()},
	}, nil
}

func (s *Sandbox) getConnection(*http.Request) (int, any, error) {
	return http.StatusOK, s.Connection(), nil
}

// sideOf reads the side of the path.
func sideOf(r *http.Request) (string, error) {
	side := r.PathValue("side")
	if !slices.Contains(sides, side) {
		return "", notFound("there is no side %q; %s", side, knownNames(sides))
	}
	return side, nil
}

func (s *Sandbox) getState(r *http.Request) (int, any, error) {
	side, err := sideOf(r)
	if err != nil {
		return 0, nil, err
	}
	if side == sideVendor {
		return http.StatusOK, s.vendor.Dump(), nil
	}
	return http.StatusOK, s.psa.Dump(), nil
}

func (s *Sandbox) getRecord(r *http.Request) (int, any, error) {
	side, err := sideOf(r)
	if err != nil {
		return 0, nil, err
	}
	record, err := s.find(side, r.PathValue("kind"), r.PathValue("id"))
	return http.StatusOK, record, err
}

// find is one record of a side as it is now.
func (s *Sandbox) find(side, kind, id string) (any, error) {
	if side == sidePSA {
		if _, ok := psaEdits[kind]; !ok {
			return nil, refuse("unknown kind %q of the psa; %s", kind, knownNames(slices.Sorted(maps.Keys(psaEdits))))
		}
		n, err := wholeID(id)
		if err != nil {
			return nil, err
		}
		if record := s.psa.Record(kind, n); record != nil {
			return record, nil
		}
		return nil, notFound("the psa has no %s %s", kind, id)
	}
	state := s.vendor.Dump()
	switch kind {
	case kindCustomer:
		for _, c := range state.Customers {
			if strings.EqualFold(c.ID, id) {
				return c, nil
			}
		}
	case kindSubscription:
		for _, sub := range state.Subscriptions {
			if strings.EqualFold(sub.ID, id) {
				return sub, nil
			}
		}
	default:
		return nil, refuse("unknown kind %q of the vendor; %s", kind, knownNames([]string{kindCustomer, kindSubscription}))
	}
	return nil, notFound("the vendor has no %s %s", kind, id)
}

func (s *Sandbox) getTruth(r *http.Request) (int, any, error) {
	switch format := r.URL.Query().Get("format"); format {
	case "", "json":
		return http.StatusOK, s.truth, nil
	case "text":
		return http.StatusOK, s.truth.Summary(), nil
	default:
		return 0, nil, refuse("unknown format %q; known are json and text", format)
	}
}

// Misbehaviour is one way in which a side can be told to fail.
type Misbehaviour struct {
	Name  string  `json:"name"`
	Doc   string  `json:"doc"`
	On    bool    `json:"on"`
	Value *string `json:"value,omitempty"` // as it was told; at the vendor a count shows what is left
}

func (s *Sandbox) misbehaviours(side string) []Misbehaviour {
	var all []Misbehaviour
	var on map[string]string
	if side == sideVendor {
		on = s.vendor.Dump().Misbehaving
		for _, m := range partnercentertest.Misbehaviours() {
			doc := m.Doc
			if m.Value != "" {
				doc += " Value: " + m.Value + "."
			}
			all = append(all, Misbehaviour{Name: m.Name, Doc: doc})
		}
	} else {
		s.control.mu.Lock()
		on = maps.Clone(s.control.told)
		s.control.mu.Unlock()
		for _, m := range connectwisetest.Misbehaviours() {
			all = append(all, Misbehaviour{Name: m.Name, Doc: strings.ToUpper(m.Doc[:1]) + m.Doc[1:] + "."})
		}
	}
	for i := range all {
		if value, ok := on[all[i].Name]; ok {
			all[i].On, all[i].Value = true, &value
		}
	}
	return all
}

func (s *Sandbox) getMisbehaviours(r *http.Request) (int, any, error) {
	side, err := sideOf(r)
	if err != nil {
		return 0, nil, err
	}
	all := s.misbehaviours(side)
	if name := r.PathValue("name"); name != "" {
		i := slices.IndexFunc(all, func(m Misbehaviour) bool { return m.Name == name })
		if i < 0 {
			return 0, nil, notFound("%s has no misbehaviour %q; GET /v1/misbehave/%s lists them", side, name, side)
		}
		return http.StatusOK, all[i], nil
	}
	return http.StatusOK, all, nil
}

func (s *Sandbox) postMisbehave(r *http.Request) (int, any, error) {
	side, err := sideOf(r)
	if err != nil {
		return 0, nil, err
	}
	name, value := r.PathValue("name"), ""
	if name != "" {
		body := struct {
			Value string `json:"value"`
		}{}
		err = decodeBody(r, &body)
		value = body.Value
	} else {
		body := struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		}{}
		err = decodeBody(r, &body)
		name, value = body.Name, body.Value
	}
	if err != nil {
		return 0, nil, err
	}
	if side == sideVendor {
		err = s.vendor.Misbehave(name, value)
	} else {
		s.control.mu.Lock()
		defer s.control.mu.Unlock()
		if err = s.psa.Misbehave(name, value); err == nil {
			s.control.told[name] = value
		}
	}
	if err != nil {
		return 0, nil, refuse("%v; GET /v1/misbehave/%s explains them", err, side)
	}
	return http.StatusOK, Misbehaviour{Name: name, On: true, Value: &value}, nil
}

func (s *Sandbox) deleteMisbehave(r *http.Request) (int, any, error) {
	side, err := sideOf(r)
	if err != nil {
		return 0, nil, err
	}
	cleared, name := []string{}, r.PathValue("name")
	for _, m := range s.misbehaviours(side) {
		if name != "" && m.Name != name {
			continue
		}
		if side == sideVendor {
			s.vendor.Behave(m.Name)
		} else {
			s.psa.Behave(m.Name)
			s.control.mu.Lock()
			delete(s.control.told, m.Name)
			s.control.mu.Unlock()
		}
		if m.On || name != "" {
			cleared = append(cleared, m.Name)
		}
	}
	if name != "" && len(cleared) == 0 {
		return 0, nil, notFound("%s has no misbehaviour %q; GET /v1/misbehave/%s lists them", side, name, side)
	}
	return http.StatusOK, map[string]any{"cleared": cleared}, nil
}

func (s *Sandbox) getClock(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]time.Time{"now": s.Now(), "started": s.options.Start}, nil
}

func (s *Sandbox) postClock(r *http.Request) (int, any, error) {
	body := struct {
		Advance string `json:"advance"`
		Set     string `json:"set"`
	}{}
	if err := decodeBody(r, &body); err != nil {
		return 0, nil, err
	}
	var to time.Time
	switch {
	case (body.Advance == "") == (body.Set == ""):
		return 0, nil, refuse(`give either advance, like "24h", or set, like "2031-02-28T00:00:00Z"`)
	case body.Advance != "":
		by, err := time.ParseDuration(body.Advance)
		if err != nil {
			return 0, nil, refuse(`advance %q is not a duration like "90m" or "24h"`, body.Advance)
		}
		to = s.Now().Add(by)
	default:
		var err error
		if to, err = time.Parse(time.RFC3339, body.Set); err != nil {
			return 0, nil, refuse("set %q is not a moment like 2031-02-28T00:00:00Z", body.Set)
		}
	}
	if err := s.clock.set(to); err != nil {
		return 0, nil, refuse("%v", err)
	}
	return s.getClock(r)
}

// Request is one request that a system answered. It holds no header and no body, so no secret.
type Request struct {
	Time   time.Time `json:"time"` // by the sandbox's clock
	Side   string    `json:"side"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Query  string    `json:"query,omitempty"` // psa only
	Status int       `json:"status"`          // 0 when the connection was dropped
	Key    string    `json:"key,omitempty"`   // MS-RequestId, vendor only
}

// Requests are the requests both systems answered since the log was last cleared, oldest first.
func (s *Sandbox) Requests() []Request {
	s.control.mu.Lock()
	cleared := maps.Clone(s.control.cleared)
	s.control.mu.Unlock()
	all := []Request{}
	for _, r := range s.vendor.Requests()[cleared[sideVendor]:] {
		all = append(all, Request{Time: r.Time.UTC(), Side: sideVendor, Method: r.Method, Path: r.Path, Status: r.Status, Key: r.Key})
	}
	for _, r := range s.psa.Requests()[cleared[sidePSA]:] {
		all = append(all, Request{Time: r.Time.UTC(), Side: sidePSA, Method: r.Method, Path: r.Path, Query: r.Query, Status: r.Status})
	}
	slices.SortStableFunc(all, func(a, b Request) int { return a.Time.Compare(b.Time) })
	return all
}

func (s *Sandbox) getRequests(*http.Request) (int, any, error) {
	return http.StatusOK, s.Requests(), nil
}

func (s *Sandbox) deleteRequests(*http.Request) (int, any, error) {
	count := len(s.Requests())
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.cleared[sideVendor], s.control.cleared[sidePSA] = len(s.vendor.Requests()), len(s.psa.Requests())
	return http.StatusOK, map[string]int{"cleared": count}, nil
}
