package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

const (
	domainField  = "companyProfile.domain"
	tenantDomain = ".onmicrosoft.com"
	addressField = billingProfile + "defaultAddress."
)

// registrationField is taken only from companies of some countries; from others it is refused with code 600002, so it is not sent.
const registrationField = "companyProfile.organizationRegistrationNumber"

var registrationCountries = []string{"AE", "AM", "AZ", "BR", "BY", "HU", "IN", "IQ", "KG", "KZ", "MD", "MM", "PL", "RU", "SA", "SS", "TH", "TJ", "TR", "UA", "UZ", "VE", "VN", "ZA"}

var domainRule = regexp.MustCompile(`^[a-z0-9]{1,27}\.onmicrosoft\.com$`)

// creation is one call of Create or CheckCreate.
type creation struct {
	*Connector
	connectors.CreateRequest
	op string
}

func (n creation) fail(class connectors.Class, field, message, hint string) *connectors.Error {
	return &connectors.Error{Class: class, Op: n.op, Record: "in " + n.account.Name, Field: field, Message: message, Hint: hint}
}

// Create makes a customer, which is a new tenant with its first administrator. A customer of the same domain and name that the account
// has already is what was wanted: the reply to an earlier request was lost.
func (c *Connector) Create(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	n := creation{c, req, "create customer"}
	if err := n.validate(); err != nil {
		return connectors.Record{}, err
	}
	if n.Key == "" {
		return connectors.Record{}, n.fail(connectors.ClassInvalid, "", "it has no key to be recognised by when it is repeated", "this is a fault of trueup; please report it")
	}
	if rec, ours, err := n.ours(ctx); err != nil || ours {
		return rec, err
	}
	if err := n.possible(ctx); err != nil {
		return connectors.Record{}, err
	}
	return n.send(ctx)
}

// CheckCreate asks for the domain and the address. The request needs no key.
func (c *Connector) CheckCreate(ctx context.Context, req connectors.CreateRequest) error {
	n := creation{c, req, "create customer"}
	if err := n.validate(); err != nil {
		return err
	}
	rec, ours, err := n.ours(ctx)
	switch {
	case err != nil:
		return err
	case ours:
		return n.fail(connectors.ClassInvalid, domainField, fmt.Sprintf("customer %s has this domain and this name already", rec.ID), "link the two: trueup links add")
	}
	return n.possible(ctx)
}

// validate refuses what could never be sent.
func (n creation) validate() error {
	if n.Kind != kindCustomer {
		return unknownKind("create", n.Kind)
	}
	kind, _ := descriptor.Kind(kindCustomer)
	for _, name := range slices.Sorted(maps.Keys(n.Fields)) {
		field, ok := kind.Field(name)
		switch v := n.Fields[name]; {
		case !ok || !field.Writable && !field.Create:
			return n.fail(connectors.ClassInvalid, name, "Partner Center does not take this for a new customer", "take it out of the mapping")
		case v.Type() != field.Type:
			return n.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q is not a value of type %s", v, field.Type), "")
		}
	}
	for _, field := range kind.Fields {
		if field.Required && n.Fields[field.Name].Blank() {
			return n.fail(connectors.ClassInvalid, field.Name, "a new customer needs it", "fill it in on the company in the PSA, or map a value to it")
		}
	}
	switch country := n.Fields[addressField+"country"].String(); {
	case !domainRule.MatchString(n.domain()):
		return n.fail(connectors.ClassInvalid, domainField, fmt.Sprintf("%q is not a tenant's domain", n.domain()), "write it like harbourdental or harbourdental.onmicrosoft.com: letters and digits, 27 at most")
	case len(country) != 2:
		return n.fail(connectors.ClassInvalid, addressField+"country", fmt.Sprintf("%q is not a country code of two letters", country), "give one like GB")
	case n.account.Settings["account_type"] == indirectProvider && n.reseller == "":
		return n.fail(connectors.ClassInvalid, "", "an indirect provider's new customer needs its reseller, or it becomes the provider's own", "set reseller in this account")
	}
	return nil
}

// domain is the whole one; a request may name its first part alone.
func (n creation) domain() string {
	domain := strings.ToLower(n.Fields[domainField].String())
	if !strings.Contains(domain, ".") {
		domain += tenantDomain
	}
	return domain
}

// ours finds the customer of the same domain among the account's own. One with another name is somebody else.
func (n creation) ours(ctx context.Context) (rec connectors.Record, ours bool, err error) {
	filter, err := json.Marshal(map[string]string{"Field": "Domain", "Value": n.domain(), "Operator": "starts_with"})
	if err != nil {
		return rec, false, n.fail(connectors.ClassInvalid, domainField, err.Error(), "")
	}
	_, err = n.pages(ctx, n.op, "(look for the domain)", "/v1/customers", url.Values{"filter": {string(filter)}}, 0, func(raw json.RawMessage) error {
		found, err := record(kindCustomer, "", customerMembers, raw)
		if err == nil && strings.EqualFold(found.Fields[domainField].String(), n.domain()) {
			rec = found
		}
		return err
	})
	if err != nil || rec.ID == "" {
		return rec, false, err
	}
	if n.reseller != "" {
		tenant, err := n.resellerTenant(ctx)
		if err != nil {
			return rec, false, err
		}
		whole, err := n.Read(ctx, connectors.Ref{Kind: kindCustomer, ID: rec.ID})
		if err != nil || !strings.EqualFold(whole.Fields["associatedPartnerId"].String(), tenant) {
			return connectors.Record{}, false, n.fail(connectors.ClassInvalid, domainField, "the domain belongs to a customer of another reseller", "choose another domain")
		}
	}
	name := n.Fields[billingProfile+"companyName"].String()
	if !strings.EqualFold(rec.Fields["companyProfile.companyName"].String(), name) {
		return rec, false, n.fail(connectors.ClassInvalid, domainField, fmt.Sprintf("the domain belongs to customer %s, %q", rec.ID, rec.Fields["companyProfile.companyName"]),
			"link that customer if it is the same (trueup links add), or choose another domain")
	}
	rec, err = n.Read(ctx, connectors.Ref{Kind: kindCustomer, ID: rec.ID})
	return rec, err == nil, err
}

// possible asks whether the domain is free, and whether the address is one.
func (n creation) possible(ctx context.Context) error {
	_, err := n.api.Do(ctx, rest.Request{Method: http.MethodHead, Path: "/v1/domains/" + url.PathEscape(n.domain()), Header: headers(), Op: n.op, Record: "(look for the domain)"})
	switch {
	case err == nil:
		return n.fail(connectors.ClassInvalid, domainField, fmt.Sprintf("the domain %s is taken by a tenant that is no customer of ours", n.domain()),
			"if it is the company's own tenant, ask it for a reseller relationship"+n.invitation(ctx)+" and link it then; a second tenant is never made. Otherwise choose another domain")
	case connectors.ClassOf(err) != connectors.ClassMissing: // missing means: nobody has it
		return err
	}
	address := map[string]any{}
	for name, v := range n.Fields {
		if member, ok := strings.CutPrefix(name, addressField); ok && !v.Blank() {
			address[member] = v.String()
		}
	}
	return n.checkAddress(ctx, n.op, "in "+n.account.Name, address)
}

// invitation is the address under which a company grants a relationship; "" when it cannot be had.
func (n creation) invitation(ctx context.Context) string {
	resp, err := n.api.Do(ctx, rest.Request{Path: "/v1/customers/relationshiprequests", Header: headers(), Op: n.op, Record: "(ask for the invitation)"})
	var answer struct {
		URL string `json:"url"`
	}
	if err != nil || resp.Decode(n.op, &answer) != nil || answer.URL == "" {
		return ""
	}
	return " at " + answer.URL
}

// sure are the verdicts on an address that can be used as it is.
var sure = []string{"Verified", "VerifiedShippable"}

// checkAddress has the service validate an address. It always answers 200; the verdict is in the body.
// https://learn.microsoft.com/partner-center/developer/validate-an-address
func (c *Connector) checkAddress(ctx context.Context, op, record string, address map[string]any) error {
	resp, err := c.api.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/v1/validations/address", Header: headers(), Body: address, Safe: true, Op: op, Record: record})
	if err != nil {
		return err
	}
	var answer struct {
		Status    string            `json:"status"`
		Message   string            `json:"validationMessage"`
		Suggested []json.RawMessage `json:"suggestedAddresses"`
	}
	if err := resp.Decode(op, &answer); err != nil {
		return err
	}
	if slices.Contains(sure, answer.Status) {
		return nil
	}
	refusal := &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: record, Field: addressField + "addressLine1", Code: answer.Status,
		Message: "Microsoft does not find this address", Hint: "correct the address in the PSA"}
	if answer.Message != "" {
		refusal.Message += ": " + firstLine(answer.Message)
	}
	if len(answer.Suggested) > 0 {
		if o, err := decodeObject(answer.Suggested[0]); err == nil {
			var parts []string
			for _, member := range []string{"addressLine1", "addressLine2", "city", "state", "region", "postalCode", "country"} {
				if text := o.text(member); text != "" {
					parts = append(parts, text)
				}
			}
			refusal.Hint += "; it suggests " + strings.Join(parts, ", ")
		}
	}
	return refusal
}

// send is the one request that makes the tenant. The service knows a repetition by its GUID.
func (n creation) send(ctx context.Context) (connectors.Record, error) {
	body := map[string]any{"companyProfile": map[string]any{}, "billingProfile": map[string]any{"defaultAddress": map[string]any{}}}
	for name, v := range n.Fields {
		if v.Blank() || name == registrationField && !slices.Contains(registrationCountries, strings.ToUpper(n.Fields[addressField+"country"].String())) {
			continue
		}
		within := body
		path := strings.Split(name, ".")
		for _, member := range path[:len(path)-1] {
			within = within[member].(map[string]any)
		}
		within[path[len(path)-1]] = v.String()
	}
	body["companyProfile"].(map[string]any)["domain"] = n.domain()
	profile := body["billingProfile"].(map[string]any)
	if profile["language"] == nil {
		profile["language"] = n.language()
	}
	if profile["culture"] == nil {
		profile["culture"] = fmt.Sprintf("%s-%s", profile["language"], strings.ToUpper(n.Fields[addressField+"country"].String()))
	}
	if n.reseller != "" {
		tenant, err := n.resellerTenant(ctx)
		if err != nil {
			return connectors.Record{}, err
		}
		body["associatedPartnerId"] = tenant
	}
	h := headers()
	h.Set("MS-RequestId", requestID(n.Key))
	resp, err := n.api.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/v1/customers", Header: h, Body: body, Repeat: true, Op: n.op, Record: n.domain()})
	if err != nil {
		return connectors.Record{}, err
	}
	unknown := func(err error) error {
		e := n.fail(connectors.ClassUnknown, "", "it was accepted, but the answer cannot be understood", "look for the domain "+n.domain()+" among the customers")
		e.Err = err
		return e
	}
	var answer struct {
		ID          string `json:"id"`
		Credentials struct {
			UserName string `json:"userName"`
			Password string `json:"password"`
		} `json:"userCredentials"`
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.ID == "" {
		// The cause is left out: it could quote the password that stands in the answer.
		return connectors.Record{}, unknown(nil)
	}
	if password := answer.Credentials.Password; password != "" {
		key := connectors.PasswordKey(n.account.Name, answer.ID)
		if err := n.account.Vault.Put(ctx, key, connectors.NewSecret(answer.Credentials.UserName+" "+password)); err != nil {
			n.account.Log.Error("the first administrator's password could not be kept; reset it in Partner Center",
				zap.String("account", n.account.Name), zap.String("customer", answer.ID), zap.Error(err))
		}
	}
	return n.made(ctx, answer.ID, resp.Body, unknown)
}

// made is the new customer as it is read; where reading lags behind it is taken from the answer.
func (n creation) made(ctx context.Context, id string, answer []byte, unknown func(error) error) (connectors.Record, error) {
	if rec, err := n.Read(ctx, connectors.Ref{Kind: kindCustomer, ID: id}); err == nil {
		return rec, nil
	}
	rec, err := record(kindCustomer, "", customerMembers, answer) // only declared members are taken; the credentials are none
	if err != nil {
		return rec, unknown(err)
	}
	return rec, nil
}

func (c *Connector) language() string {
	if language := c.account.Settings["language"]; language != "" {
		return language
	}
	return "en"
}

// customer changes a customer's billing profile. The whole profile goes back, under the etag that it came with, because the service
// replaces it: what is left out is emptied. https://learn.microsoft.com/partner-center/developer/update-a-customer-s-billing-profile
func (ch change) customer(ctx context.Context) (connectors.Record, error) {
	if err := ch.validate(); err != nil {
		return connectors.Record{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(ch.edits)) {
		if requiredInProfile[strings.TrimPrefix(name, billingProfile)] && ch.edits[name].To.Blank() {
			return connectors.Record{}, ch.fail(connectors.ClassInvalid, name, "it cannot be emptied: the service takes no billing profile without it", "fill it in on the company in the PSA")
		}
	}
	before, err := ch.Read(ctx, ch.ref)
	if err != nil {
		return before, err
	}
	path, name := customerPath(ch.ref.ID)+"/profiles/billing", "billing profile of customer "+ch.ref.ID
	raw, err := ch.get(ctx, ch.op, name, path)
	if err != nil {
		return connectors.Record{}, err
	}
	profile, err := decodeObject(raw)
	if err != nil {
		return connectors.Record{}, unreadable(name, err)
	}
	if _, ok := profile.at("defaultAddress"); !ok {
		return connectors.Record{}, ch.fail(connectors.ClassAuth, "", "its billing profile came without an address, so it cannot be sent back whole", "check the partner's rights in this customer")
	}
	now := connectors.Record{Fields: model.Fields{}} // the profile is what is compared and sent, read in one piece
	for _, m := range customerMembers {
		if strings.HasPrefix(m.Name, billingProfile) {
			now.Fields[m.Name] = m.compute(object{"billingProfile": map[string]any(profile)})
		}
	}
	wanted, err := ch.wanted(now)
	if err != nil || len(wanted) == 0 {
		return before, err
	}
	moves := false
	for field, v := range wanted {
		within := map[string]any(profile)
		member := strings.TrimPrefix(field, billingProfile)
		if inner, ok := strings.CutPrefix(member, "defaultAddress."); ok {
			v, _ := profile.at("defaultAddress")
			within, _ = v.(map[string]any)
			member, moves = inner, moves || !slices.Contains([]string{"firstName", "lastName", "phoneNumber"}, inner)
		}
		for key := range within { // the service mixes the case of names
			if strings.EqualFold(key, member) {
				member = key
			}
		}
		within[member] = v.String()
	}
	if moves {
		v, _ := profile.at("defaultAddress")
		address, _ := v.(map[string]any)
		if err := ch.checkAddress(ctx, ch.op, "customer "+ch.ref.ID+" in "+ch.account.Name, address); err != nil {
			return connectors.Record{}, err
		}
	}
	etag := profile.text("attributes.etag")
	if etag == "" {
		return connectors.Record{}, ch.fail(connectors.ClassInvalid, "", "its billing profile came without an etag, and the service takes none back without it", hintSupport)
	}
	h := headers()
	h.Set("MS-RequestId", requestID(ch.key))
	h.Set("If-Match", `"`+strings.Trim(etag, `"`)+`"`)
	if _, err := ch.api.Do(ctx, rest.Request{Method: http.MethodPut, Path: path, Header: h, Body: map[string]any(profile), Repeat: true, Op: ch.op, Record: name}); err != nil {
		return connectors.Record{}, err
	}
	return ch.shown(ctx, wanted)
}

// shown reads the customer until the change shows.
func (ch change) shown(ctx context.Context, wanted map[string]model.Value) (connectors.Record, error) {
	unknown := func(message string, err error) error {
		e := ch.fail(connectors.ClassUnknown, "", message, "read it again before deciding anything")
		e.Err = err
		return e
	}
	for waited, pause := time.Duration(0), time.Second; ; waited, pause = waited+pause, min(2*pause, maxLook) {
		rec, err := ch.Read(ctx, ch.ref)
		switch {
		case err == nil && holds(rec, wanted):
			return rec, nil
		case err != nil && connectors.ClassOf(err) != connectors.ClassTransient:
			return rec, unknown("the change was accepted, but the customer could not be read afterwards: "+err.Error(), err)
		case waited >= settleTime:
			return rec, unknown(fmt.Sprintf("the change was accepted, but does not show after %s", settleTime), err)
		}
		if err := ch.wait(ctx, pause); err != nil {
			return rec, unknown("the change was accepted, but waiting for it to show was stopped", errors.Join(err, ctx.Err()))
		}
	}
}
