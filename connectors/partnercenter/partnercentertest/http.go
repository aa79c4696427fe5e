package partnercentertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// reply is an answer that has not been sent yet, so that a misbehaviour can spoil it and a write can be answered twice.
type reply struct {
	status int
	header map[string]string
	body   []byte
	again  []byte // what a repetition is answered with; nil for body
}

// fault is a refusal in the service's form.
type fault struct {
	status            int
	code, description string
}

func (f *fault) reply() reply {
	return asJSON(f.status, map[string]any{"code": f.code, "description": f.description, "data": []any{}, "source": "PartnerFD"})
}

func asJSON(status int, body any) reply {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // only maps, texts, numbers and booleans are marshalled here
	}
	return reply{status: status, header: map[string]string{"Content-Type": "application/json; charset=utf-8"}, body: b}
}

func html(status int) reply {
	return reply{status: status, header: map[string]string{"Content-Type": "text/html"},
		body: []byte("<html><head><title>Bad gateway</title></head><body><h1>Our services aren't available right now</h1></body></html>")}
}

// call is one authorised API request.
type call struct {
	*http.Request
	grant grant
	body  []byte
}

const requestIDLife = 24 * time.Hour

// outcome is a finished write, kept to answer a repetition with.
type outcome struct {
	at     time.Time
	target string // method and path
	reply  reply
}

type endpoint struct {
	pattern string
	user    bool // needs a signed-in user: an application alone is refused
	serve   func(*Server, call) reply
	idle    bool // a write that changes nothing anybody pays for: making a cart
}

// safe are the calls that change nothing, whatever their method.
func (c call) safe() bool {
	return c.Method == http.MethodGet || c.Method == http.MethodHead || strings.HasPrefix(c.URL.Path, "/v1/validations/")
}

var endpoints = []endpoint{
	{"GET /v1/customers", false, (*Server).listCustomers, false},
	{"POST /v1/customers", false, (*Server).createCustomer, false},
	{"GET /v1/customers/relationshiprequests", false, (*Server).invitation, false},
	{"GET /v1/customers/{customer}", false, (*Server).getCustomer, false},
	{"GET /v1/customers/{customer}/profiles/billing", false, (*Server).getBilling, false},
	{"PUT /v1/customers/{customer}/profiles/billing", false, (*Server).putBilling, false},
	{"HEAD /v1/domains/{domain}", false, (*Server).headDomain, false},
	{"POST /v1/validations/address", false, (*Server).validateAddress, false},
	{"GET /v1/customers/{customer}/subscriptions", false, (*Server).listSubscriptions, false},
	{"GET /v1/customers/{customer}/subscriptions/{subscription}", false, (*Server).getSubscription, false},
	{"PATCH /v1/customers/{customer}/subscriptions/{subscription}", false, (*Server).patchSubscription, false},
	{"GET /v1/customers/{customer}/subscriptions/{subscription}/provisioningstatus", false, (*Server).provisioningStatus, false},
	{"GET /v1/customers/{customer}/subscribedskus", true, (*Server).subscribedSKUs, false},
	{"GET /v1/customers/{customer}/agreements", true, (*Server).listAgreements, false},
	{"GET /v1/customers/{customer}/directSignedMicrosoftCustomerAgreementStatus", true, (*Server).directSigned, false},
	{"GET /v1/customers/{customer}/products/{product}/skus/{sku}", false, (*Server).getSKU, false},
	{"GET /v1/customers/{customer}/products/{product}/skus/{sku}/availabilities", false, (*Server).listAvailabilities, false},
	{"POST /v1/customers/{customer}/carts", false, (*Server).postCart, true},
	{"GET /v1/customers/{customer}/carts/{cart}", false, (*Server).getCart, false},
	{"POST /v1/customers/{customer}/carts/{cart}/checkout", false, (*Server).checkOut, false},
	{"GET /v1/customers/{customer}/orders", false, (*Server).listOrders, false},
	{"GET /v1/customers/{customer}/orders/{order}", false, (*Server).getOrder, false},
	{"GET /v1/auditrecords", true, (*Server).listAudit, false},
	{"GET /v1/relationships", true, (*Server).listRelationships, false},
	{"GET /webhooks/v1/registration", false, (*Server).getRegistration, false},
	{"POST /webhooks/v1/registration", false, (*Server).postRegistration, false},
	{"PUT /webhooks/v1/registration", false, (*Server).putRegistration, false},
	{"GET /webhooks/v1/registration/events", false, (*Server).listEvents, false},
}

// API serves the Partner Center host.
func (s *Server) API() http.Handler {
	mux := http.NewServeMux()
	paths := map[string]bool{}
	for _, e := range endpoints {
		mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, AudienceAPI, e) })
		_, path, _ := strings.Cut(e.pattern, " ")
		paths[path] = true
	}
	delete(paths, "/v1/customers/relationshiprequests") // other methods there are those of a customer of that id
	for path := range paths {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			f := fault{http.StatusMethodNotAllowed, "800042", "Not supported"}
			s.send(w, r, f.reply())
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f := fault{http.StatusNotFound, "1000", "Not found"}
		s.send(w, r, f.reply())
	})
	return mux
}

// answer takes a request through everything that stands before and after the work itself.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, audience string, e endpoint) {
	if !s.delay(r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input"}
		s.send(w, r, f.reply())
		return
	}
	s.mu.Lock()
	s.settle()
	rep, drop := s.decide(call{Request: r, body: body}, audience, e)
	s.mu.Unlock()
	if drop {
		s.note(r, 0)
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	s.send(w, r, rep)
}

// delay waits out the latency; false when the caller left.
func (s *Server) delay(r *http.Request) bool {
	s.mu.Lock()
	wait := s.opt.Latency
	if value, ok := s.misbehaving["slow"]; ok {
		wait = duration(value)
	}
	s.mu.Unlock()
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// decide is the order in which the service looks at a request.
func (s *Server) decide(c call, audience string, e endpoint) (rep reply, drop bool) {
	write := !c.safe()
	switch {
	case s.once("html_error"):
		return html(http.StatusBadGateway), false
	case s.once("throttle_storm"):
		return throttled(1), false
	case s.once("server_error"):
		f := fault{http.StatusInternalServerError, "800003", "Unexpected service error"}
		return f.reply(), false
	}
	if wait, over := s.overBudget(); over {
		return throttled(wait), false
	}
	var f *fault
	if c.grant, f = s.authorise(c.Request, audience); f != nil {
		return f.reply(), false
	}
	if e.user && c.grant.appOnly {
		f := fault{http.StatusForbidden, "900329", "The resource does not support application-only authentication."}
		return f.reply(), false
	}
	if c.PathValue("customer") != "" {
		if f := s.admit(c); f != nil {
			return f.reply(), false
		}
	}
	id, target := c.Header.Get("MS-RequestId"), c.Method+" "+c.URL.Path
	if write {
		if _, err := uuid.Parse(id); err != nil {
			f := fault{http.StatusBadRequest, "800002", "Invalid request input: MS-RequestId must be a GUID"}
			return f.reply(), false
		}
		if before, ok := s.done[id]; ok && s.now().Sub(before.at) < requestIDLife {
			if !strings.EqualFold(before.target, target) {
				f := fault{http.StatusBadRequest, "800002", "Invalid request input: MS-RequestId belongs to another request"}
				return f.reply(), false
			}
			return before.reply, false
		}
		if s.once("pending_operation") {
			f := fault{http.StatusConflict, "900278", "There is a pending operation on this subscription. Retry after 24 hours."}
			return f.reply(), false
		}
	}
	rep = e.serve(s, c)
	if write && rep.status < 300 {
		kept := rep
		if rep.again != nil {
			kept.body = rep.again
		}
		s.done[id] = outcome{s.now(), target, kept}
		switch {
		case e.idle:
		case s.once("lost_reply"):
			return reply{}, true
		case s.once("error_after_commit"):
			f := fault{http.StatusInternalServerError, "800094", "Update subscription is not successful"}
			return f.reply(), false
		}
	}
	if c.Header.Get("ValidateMfa") == "true" {
		rep = rep.with("isMfaCompliant", strconv.FormatBool(c.grant.mfa))
	}
	if !write && rep.status == http.StatusOK {
		switch {
		case s.once("fault_in_200"):
			f := fault{http.StatusOK, "800003", "Unexpected service error"}
			return f.reply(), false
		case s.once("missing_items"):
			return asJSON(http.StatusOK, map[string]any{"totalCount": 0, "attributes": map[string]any{"objectType": "Collection"}}), false
		}
	}
	return rep, false
}

// admit checks that the partner may deal with the customer of the path, and writes for it.
func (s *Server) admit(c call) *fault {
	customer := s.customer(c.PathValue("customer"))
	switch {
	case customer == nil:
		return &fault{http.StatusForbidden, "20002", fmt.Sprintf("The partner ID %s has no commerce relationship with the customer ID %s.", s.opt.Tenant, c.PathValue("customer"))}
	case strings.EqualFold(s.misbehaving["forbid_customer"], customer.ID):
		return &fault{http.StatusForbidden, "2032", "Access denied"}
	case customer.Agreement == "nobody" && !c.safe() && !strings.HasSuffix(c.URL.Path, "/carts"):
		return &fault{http.StatusForbidden, "13605", "Either a partner confirmation of the customer acceptance of the Microsoft Customer Agreement must be provided or the customer must accept it."}
	case customer.Locked && !c.safe():
		return &fault{http.StatusForbidden, "900416", "The customer account is locked for transactions."}
	}
	return nil
}

// overBudget counts this call, refused or not, and says how many seconds to wait when it was one too many.
func (s *Server) overBudget() (seconds int, over bool) {
	if s.opt.PerMinute == 0 {
		return 0, false
	}
	now := s.now()
	for len(s.calls) > 0 && now.Sub(s.calls[0]) >= time.Minute {
		s.calls = s.calls[1:]
	}
	s.calls = append(s.calls, now)
	if len(s.calls) <= s.opt.PerMinute {
		return 0, false
	}
	oldest := s.calls[len(s.calls)-s.opt.PerMinute]
	return int(time.Minute-now.Sub(oldest))/int(time.Second) + 1, true
}

func throttled(seconds int) reply {
	// The gateway answers, not the service: the body is not a fault.
	return asJSON(http.StatusTooManyRequests, map[string]any{
		"statusCode": 429, "message": fmt.Sprintf("Rate limit is exceeded. Try again in %d seconds.", seconds),
	}).with("Retry-After", strconv.Itoa(seconds))
}

func (r reply) with(key, value string) reply {
	header := map[string]string{key: value}
	for k, v := range r.header {
		header[k] = v
	}
	r.header = header
	return r
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, rep reply) {
	s.mu.Lock()
	_, bom := s.misbehaving["bom"]
	s.mu.Unlock()
	s.note(r, rep.status)
	for key, value := range rep.header {
		w.Header().Set(key, value)
	}
	for _, key := range []string{"MS-RequestId", "MS-CorrelationId"} {
		if value := r.Header.Get(key); value != "" {
			w.Header().Set(key, value)
		}
	}
	w.Header().Set("MS-CV", "invented.0")
	w.WriteHeader(rep.status)
	body := rep.body
	if bom && bytes.HasPrefix(body, []byte("{")) {
		body = append([]byte("\xef\xbb\xbf"), body...)
	}
	_, _ = w.Write(body) // the client may have left; there is nobody to tell
}

func (s *Server) note(r *http.Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, RequestLog{s.now(), r.Method, r.URL.Path, status, r.Header.Get("MS-RequestId")})
}

// page is the state behind a continuation token.
type page struct {
	kind    string
	from    int
	number  int
	expires time.Time
}

const pageLife = 10 * time.Minute

// paged cuts one page out of items, as seek paging does: a token that works once, and a next link whenever the page is
// full, without looking whether anything follows.
func (s *Server) paged(c call, kind string, items []map[string]any) reply {
	query := c.URL.Query()
	size, err := strconv.Atoi(cmp.Or(query.Get("size"), "0"))
	if err != nil || size < 0 {
		f := fault{http.StatusBadRequest, "2000", "The page size is not valid"}
		return f.reply()
	}
	if size == 0 || size > s.opt.PageSize {
		size = s.opt.PageSize
	}
	at := page{kind: kind, number: 1}
	if query.Has("seekOperation") {
		token := c.Header.Get("MS-ContinuationToken")
		known, ok := s.pages[token]
		if !strings.EqualFold(query.Get("seekOperation"), "next") || !ok || known.kind != kind || s.now().After(known.expires) {
			f := fault{http.StatusBadRequest, "2000", "The continuation token is missing, was used already or has expired"}
			return f.reply()
		}
		delete(s.pages, token)
		at = known
	}
	from, to := min(at.from, len(items)), min(at.from+size, len(items))
	shown := items[from:to]
	more := len(shown) == size
	if kind == "customers" {
		if _, on := s.misbehaving["drop_last_page"]; on && to+size >= len(items) {
			more = false
		}
		if limit, on := s.misbehaving["cap_pages"]; on && at.number >= count(limit) {
			more = false
		}
	}
	total := len(shown)
	if _, on := s.misbehaving["lost_items"]; on && len(shown) > 0 {
		shown = shown[:len(shown)-1]
	}
	body := map[string]any{
		"totalCount": total,
		"items":      shown,
		"attributes": map[string]any{"objectType": "Collection"},
	}
	self := link(strings.TrimPrefix(c.URL.RequestURI(), "/v1"))
	links := map[string]any{"self": self}
	if more {
		token := newToken("page")
		s.pages[token] = page{kind, to, at.number + 1, s.now().Add(pageLife)}
		query.Set("seekOperation", "Next")
		next := link(strings.TrimPrefix(c.URL.Path, "/v1") + "?" + query.Encode())
		next["headers"] = []any{map[string]any{"key": "MS-ContinuationToken", "value": token}}
		if _, on := s.misbehaving["repeat_page"]; on {
			next, s.pages["page-again"] = link(strings.TrimPrefix(c.URL.Path, "/v1")+"?"+query.Encode()), page{kind, at.from, 1, s.now().Add(pageLife)}
			next["headers"] = []any{map[string]any{"key": "MS-ContinuationToken", "value": "page-again"}}
		}
		links["next"] = next
		body["continuationToken"] = token
	}
	body["links"] = links
	return asJSON(http.StatusOK, body)
}

func link(uri string) map[string]any {
	return map[string]any{"uri": uri, "method": "GET", "headers": []any{}}
}
