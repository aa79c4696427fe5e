package partnercentertest

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Message is a webhook message as the service sends it.
type Message struct {
	URL    string
	Header http.Header
	Body   []byte
}

// registration is the tenant's one, whoever made it.
type registration struct {
	URL       string   `json:"webhookUrl"`
	Events    []string `json:"webhookEvents"`
	OwnHeader bool     `json:"signatureTokenToMsSignatureHeader"`
}

var knownEvents = []string{
	"test-created", "subscription-updated", "usagerecords-thresholdExceeded", "invoice-ready", "referral-created", "referral-updated", "related-referral-created",
	"related-referral-updated", "reseller-relationship-accepted-by-customer", "azure-fraud-event-detected", "new-commerce-migration-created",
	"new-commerce-migration-completed", "new-commerce-migration-failed", "granular-admin-relationship-approved", "granular-admin-relationship-terminated",
}

func (s *Server) listEvents(call) reply { return asJSON(http.StatusOK, knownEvents) }

func (s *Server) getRegistration(call) reply {
	if s.registration == nil {
		f := fault{http.StatusNotFound, "1000", "No registration was found for the tenant"}
		return f.reply()
	}
	return asJSON(http.StatusOK, s.registration)
}

func (s *Server) postRegistration(c call) reply {
	if s.registration != nil {
		f := fault{http.StatusConflict, "800042", "Registration already exists, use the PUT method to update a registration."}
		return f.reply()
	}
	return s.register(c)
}

func (s *Server) putRegistration(c call) reply {
	if s.registration == nil {
		return s.getRegistration(c)
	}
	return s.register(c)
}

// register takes a registration. The vendor sends over https; the fake also to a loopback.
func (s *Server) register(c call) reply {
	bad := func(why string) reply {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input: " + why}
		return f.reply()
	}
	decoder := json.NewDecoder(bytes.NewReader(c.body))
	decoder.DisallowUnknownFields()
	var r registration
	if err := decoder.Decode(&r); err != nil {
		return bad("webhook registration")
	}
	u, err := url.Parse(r.URL)
	ip := net.ParseIP(u.Hostname())
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()):
		return bad("webhookUrl must be an https address")
	case len(r.Events) == 0:
		return bad("webhookEvents is empty")
	}
	for _, event := range r.Events {
		if !slices.Contains(knownEvents, event) {
			return bad("webhookEvents: " + event)
		}
	}
	s.registration = &r
	return asJSON(http.StatusOK, r)
}

// Registration is what the tenant registered: the address and the events; "" when nothing is.
func (s *Server) Registration() (url string, events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registration == nil {
		return "", nil
	}
	return s.registration.URL, slices.Clone(s.registration.Events)
}

// SetRegistration registers as another program of the tenant would.
func (s *Server) SetRegistration(url string, events ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registration = &registration{URL: url, Events: events}
}

// notify tells of a changed subscription, if somebody asked for that. Its own changes are told to a program, too.
func (s *Server) notify(customer, id string) {
	const event = "subscription-updated"
	if s.registration == nil || !slices.Contains(s.registration.Events, event) || s.opt.Send == nil {
		return
	}
	body, err := json.Marshal(map[string]any{
		"EventName": event, "ResourceName": "subscription", "AuditUri": nil,
		"ResourceUri":           AudienceAPI + "/webhooks/v1/customers/" + s.id(customer) + "/subscriptions/" + s.id(id),
		"ResourceChangeUtcDate": s.now().Format("2006-01-02T15:04:05.0000000+00:00"),
	})
	check(err)
	s.opt.Send(s.message(s.registration.URL, body, s.registration.OwnHeader))
}

// Message signs a body as the service would, for whatever address is registered.
func (s *Server) Message(body []byte) Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.message("", body, true)
}

func (s *Server) message(to string, body []byte, ownHeader bool) Message {
	if s.signer == nil {
		s.signer = s.authority.Signer(CertificateOptions{})
		s.published["notifications.cer"] = s.signer.DER()
	}
	return s.Signed(s.signer, "notifications.cer", to, body, ownHeader)
}

// Signed is a message that a signer signs, whose certificate is published here under a name.
func (s *Server) Signed(by *Signer, name, to string, body []byte, ownHeader bool) Message {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("X-MS-Certificate-Url", s.base+"/certificates/"+name)
	header.Set("X-MS-Signature-Algorithm", "rsa-sha256")
	where := "Authorization"
	if ownHeader {
		where = "X-MS-Signature"
	}
	header.Set(where, "Signature "+by.Sign(body))
	return Message{to, header, body}
}

// Publish serves a certificate under /certificates/name, as the service's storage does.
func (s *Server) Publish(name string, der []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published[name] = der
}

// Authority is the one whose certificate the settings trust.
func (s *Server) Authority() *Authority { return s.authority }

// certificates serves what was published. Nobody has to sign in.
func (s *Server) certificates(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	der := s.published[strings.TrimPrefix(r.URL.Path, "/certificates/")]
	s.mu.Unlock()
	s.note(r, map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[der != nil])
	if der == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-cert")
	_, _ = w.Write(der)
}
