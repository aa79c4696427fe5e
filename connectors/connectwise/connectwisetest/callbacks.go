package connectwisetest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Callback is a message as the PSA sends it.
type Callback struct {
	URL    string
	Header http.Header
	Body   []byte
}

// keyPath is where the signing key is served, to anybody.
const keyPath = "/v4_6_release/services/signing/key"

// callbackTable is /system/callbacks. There is no type for additions.
func callbackTable() *table {
	return &table{name: "callback", title: "CallbackEntry", path: "system/callbacks", module: "system", writes: true, shown: []string{"description"}, fields: []field{
		{name: "url", required: true}, {name: "objectId", kind: integer, required: true}, {name: "description", max: 100},
		{name: "type", required: true, allowed: []string{"activity", "agreement", "company", "configuration", "contact", "expense", "invoice", "member", "opportunity",
			"productcatalog", "project", "purchaseorder", "schedule", "ticket", "time"}},
		{name: "level", required: true, allowed: []string{"owner", "type", "company", "agreement", "status", "territory", "integratortag"}},
		{name: "memberId", kind: integer}, {name: "payloadVersion"}, {name: "inactiveFlag", kind: flag}, {name: "isSelfSuppressedFlag", kind: flag},
	}}
}

// reachable refuses an address that the PSA would not call; the fake also calls a loopback.
func reachable(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return invalid("CallbackEntry", "url", "InvalidUrl", "The url field is not an address.")
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()) {
		return invalid("CallbackEntry", "url", "InvalidUrl", "The url field must begin with https.")
	}
	return nil
}

// call tells of a record, where an active entry asked for its type, but not a member of its own changes that does not want to know.
func (s *Server) call(t *table, r *row, what, source string) {
	if s.opts.Send == nil {
		return
	}
	entries := s.tables["callback"]
	for _, id := range entries.ids() {
		entry := entries.rows[id].values
		if entry["type"] != t.name || entry["inactiveFlag"] == true || source == "API" && entry["isSelfSuppressedFlag"] == true {
			continue
		}
		switch level := entry["level"]; {
		case level == "owner":
		case level == t.name && asID(entry["objectId"]) == r.id:
		default:
			continue
		}
		action := map[string]string{"Created": "added", "Updated": "updated", "Deleted": "deleted"}[what]
		var entity any
		if action != "deleted" {
			shown, err := json.Marshal(s.render(t, r))
			check(err)
			entity = string(shown)
		}
		body, err := json.Marshal(map[string]any{"Action": action, "CompanyId": s.opts.Company, "Entity": entity, "FromUrl": strings.TrimPrefix(s.base, "http://"),
			"ID": r.id, "MemberId": r.updatedBy, "Metadata": map[string]any{"key_url": s.base + keyPath}, "Type": t.name})
		check(err)
		address, _ := entry["url"].(string)
		if strings.HasSuffix(address, "?id=") {
			address += fmt.Sprintf("%d&action=%s", r.id, action)
		}
		s.opts.Send(Callback{address, s.signed(body), body})
	}
}

func check(err error) {
	if err != nil {
		panic(err) // only what was JSON before is marshalled here
	}
}

// Callback signs a body as the PSA would.
func (s *Server) Callback(body []byte) Callback { return Callback{Header: s.signed(body), Body: body} }

// KeyURL is where the signing key is.
func (s *Server) KeyURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base + keyPath
}

// RotateKey makes a new signing key at the same address.
func (s *Server) RotateKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signingKey = rand.Text()
}

func (s *Server) signed(body []byte) http.Header {
	key := sha256.Sum256([]byte(s.signingKey))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(body)
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return header
}

// Callbacks are the types that are registered for an address, sorted.
func (s *Server) Callbacks(address string) (types []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.tables["callback"].rows {
		if r.values["url"] == address && r.values["inactiveFlag"] != true {
			types = append(types, fmt.Sprint(r.values["type"]))
		}
	}
	slices.Sort(types)
	return types
}
