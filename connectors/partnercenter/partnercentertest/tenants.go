package partnercentertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// profile is a customer's billing profile as it stands.
func (c *Customer) profile() Billing {
	if c.Billing != nil {
		return *c.Billing
	}
	return Billing{CompanyName: c.Name, Email: c.Email, Culture: "en-" + c.Address.Country, Language: "en", Address: c.Address}
}

func (b Billing) etag() string { return fmt.Sprintf("-7119022334%05d", 45566+b.Version) }

// wire writes a profile as the service does: members without a value are left out.
func (b Billing) wire(c *Customer) map[string]any {
	address := map[string]any{"country": b.Address.Country}
	for name, value := range map[string]string{"state": b.Address.Region, "city": b.Address.City, "addressLine1": b.Address.Line1, "addressLine2": b.Address.Line2,
		"postalCode": b.Address.PostalCode, "phoneNumber": b.Address.Phone, "firstName": b.FirstName, "lastName": b.LastName} {
		if value != "" {
			address[name] = value
		}
	}
	return map[string]any{
		"id": strings.ToLower(c.ID), "email": b.Email, "culture": b.Culture, "language": b.Language, "companyName": b.CompanyName, "defaultAddress": address,
		"attributes": map[string]any{"etag": b.etag(), "objectType": "CustomerBillingProfile"},
	}
}

func (s *Server) getBilling(c call) reply {
	customer := s.customer(c.PathValue("customer"))
	return asJSON(http.StatusOK, customer.profile().wire(customer))
}

// profileBody is a billing profile as it is sent. What is left out of it is emptied.
type profileBody struct {
	ID             string      `json:"id"`
	Email          string      `json:"email"`
	Culture        string      `json:"culture"`
	Language       string      `json:"language"`
	CompanyName    string      `json:"companyName"`
	DefaultAddress *addressing `json:"defaultAddress"`
}

type addressing struct {
	Country, City, State, Region, AddressLine1, AddressLine2, PostalCode, FirstName, LastName, PhoneNumber string
}

func (a addressing) address() Address {
	return Address{Line1: a.AddressLine1, Line2: a.AddressLine2, City: a.City, Region: a.State, PostalCode: a.PostalCode, Country: strings.ToUpper(a.Country), Phone: a.PhoneNumber}
}

// incomplete is why a profile is refused; nil when it is whole.
func (p profileBody) incomplete() *fault {
	bad := func(what string) *fault {
		return &fault{http.StatusBadRequest, "800002", "Invalid request input: " + what}
	}
	for _, needed := range []struct{ name, value string }{{"email", p.Email}, {"culture", p.Culture}, {"language", p.Language}, {"companyName", p.CompanyName}} {
		if strings.TrimSpace(needed.value) == "" {
			return bad("billingProfile." + needed.name)
		}
	}
	a := p.DefaultAddress
	switch {
	case a == nil || len(a.Country) != 2 || a.City == "" || a.AddressLine1 == "":
		return bad("billingProfile.defaultAddress")
	case verdict(*a) != "Verified" && verdict(*a) != "VerifiedShippable":
		return bad("billingProfile.defaultAddress cannot be found")
	}
	return nil
}

func (s *Server) putBilling(c call) reply {
	customer := s.customer(c.PathValue("customer"))
	before := customer.profile()
	refuse := func(f *fault) reply {
		s.record(customer.ID, s.partner(c), "customer", "update_customer_billing_profile", "failed", nil, nil)
		return f.reply()
	}
	if strings.Trim(c.Header.Get("If-Match"), `"`) != before.etag() {
		return refuse(&fault{http.StatusBadRequest, "2055", "Etag is no longer valid"})
	}
	var body profileBody
	if err := json.Unmarshal(c.body, &body); err != nil {
		return refuse(&fault{http.StatusBadRequest, "800002", "Invalid request input"})
	}
	if f := body.incomplete(); f != nil {
		return refuse(f)
	}
	switch {
	case !strings.EqualFold(body.ID, customer.ID):
		return refuse(&fault{http.StatusBadRequest, "800002", "Invalid request input: id"})
	case !strings.EqualFold(body.DefaultAddress.Country, before.Address.Country):
		return refuse(&fault{http.StatusBadRequest, "800002", "Invalid request input: the country cannot be changed"})
	}
	customer.Billing = &Billing{CompanyName: body.CompanyName, Email: body.Email, FirstName: body.DefaultAddress.FirstName, LastName: body.DefaultAddress.LastName,
		Culture: body.Culture, Language: body.Language, Address: body.DefaultAddress.address(), Version: before.Version + 1}
	s.record(customer.ID, s.partner(c), "customer", "update_customer_billing_profile", "succeeded", nil, nil)
	return asJSON(http.StatusOK, customer.profile().wire(customer))
}

// EditBilling changes a customer's billing profile as somebody in the portal would: the same checks, an audit record.
func (s *Server) EditBilling(id string, change func(*Billing)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.customer(id)
	if c == nil {
		return fmt.Errorf("edit billing profile: there is no customer %s", id)
	}
	b := c.profile()
	change(&b)
	b.Version++
	c.Billing = &b
	s.record(c.ID, portal(), "customer", "update_customer_billing_profile", "succeeded", nil, nil)
	return nil
}

// partner is who makes a call.
func (s *Server) partner(c call) actor {
	by := actor{application: s.opt.ClientID, correlation: c.Header.Get("MS-CorrelationId")}
	if !c.grant.appOnly {
		by.user = "service@tasmancloud.example"
	}
	return by
}

func (s *Server) domainTaken(domain string) bool {
	return slices.ContainsFunc(s.taken, func(d string) bool { return strings.EqualFold(d, domain) }) ||
		slices.ContainsFunc(s.customers, func(c *Customer) bool { return strings.EqualFold(c.Domain, domain) })
}

// headDomain answers 404 for a domain that nobody has.
func (s *Server) headDomain(c call) reply {
	if s.domainTaken(c.PathValue("domain")) {
		return reply{status: http.StatusOK}
	}
	return reply{status: http.StatusNotFound}
}

// verdict judges an address by its looks: a street has a number, and nobody lives in Nowhere.
func verdict(a addressing) string {
	switch {
	case strings.Contains(strings.ToLower(a.City+" "+a.AddressLine1), "nowhere"):
		return "None"
	case !strings.ContainsAny(a.AddressLine1, "0123456789"):
		return "StreetPartial"
	}
	return "Verified"
}

// validateAddress always answers 200; the verdict is in the body.
func (s *Server) validateAddress(c call) reply {
	var a addressing
	if err := json.Unmarshal(c.body, &a); err != nil || a.AddressLine1 == "" || a.City == "" || len(a.Country) != 2 {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input: address"}
		return f.reply()
	}
	body := map[string]any{"originalAddress": json.RawMessage(c.body), "suggestedAddresses": []any{}, "status": verdict(a)}
	switch verdict(a) {
	case "StreetPartial":
		body["suggestedAddresses"] = []any{map[string]any{"country": a.Country, "city": a.City, "addressLine1": "1 " + a.AddressLine1, "postalCode": a.PostalCode}}
	case "None":
		body["validationMessage"] = "No address matches."
	}
	return asJSON(http.StatusOK, body)
}

func (s *Server) invitation(call) reply {
	return asJSON(http.StatusOK, map[string]any{"url": "https://admin.example.com/relationship?partner=" + s.opt.Tenant, "attributes": map[string]any{"objectType": "RelationshipRequest"}})
}

// registered are some of the countries that want a company registration number.
var registered = []string{"AM", "AZ", "BY", "HU", "KZ", "KG", "MD", "RU", "TJ", "UZ", "UA"}

var newDomain = regexp.MustCompile(`^[a-z0-9]{1,27}\.onmicrosoft\.com$`)

func (s *Server) createCustomer(c call) reply {
	bad := func(code, what string) reply {
		f := fault{http.StatusBadRequest, code, what}
		return f.reply()
	}
	var body struct {
		AssociatedPartnerID string `json:"associatedPartnerId"`
		CompanyProfile      struct {
			Domain                         string `json:"domain"`
			OrganizationRegistrationNumber string `json:"organizationRegistrationNumber"`
		} `json:"companyProfile"`
		BillingProfile profileBody     `json:"billingProfile"`
		Credentials    json.RawMessage `json:"userCredentials"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || body.Credentials != nil {
		return bad("800002", "Invalid request input")
	}
	profile, domain := body.BillingProfile, strings.ToLower(body.CompanyProfile.Domain)
	if f := profile.incomplete(); f != nil {
		return f.reply()
	}
	country, number := strings.ToUpper(profile.DefaultAddress.Country), body.CompanyProfile.OrganizationRegistrationNumber
	known := slices.ContainsFunc(s.resellers, func(r Reseller) bool { return strings.EqualFold(r.ID, body.AssociatedPartnerID) })
	switch {
	case !newDomain.MatchString(domain):
		return bad("800002", "Invalid request input: companyProfile.domain")
	case s.domainTaken(domain):
		return bad("800002", "Invalid request input: the domain is taken")
	case slices.Contains(registered, country) && number == "":
		return bad("600049", "Organization registration ID information is missing")
	case slices.Contains(registered, country) && profile.DefaultAddress.PhoneNumber == "":
		return bad("600051", "Customer phone number is missing")
	case !slices.Contains(registered, country) && number != "":
		return bad("600002", "Organization registration ID value is not supported")
	case body.AssociatedPartnerID != "" && !known:
		return bad("800002", "Invalid request input: associatedPartnerId")
	}
	made := &Customer{ID: newID(), Name: profile.CompanyName, Domain: domain, Relationship: "reseller", AssociatedPartner: body.AssociatedPartnerID, Email: profile.Email,
		Registration: number, Address: profile.DefaultAddress.address(), Billing: &Billing{CompanyName: profile.CompanyName, Email: profile.Email,
			FirstName: profile.DefaultAddress.FirstName, LastName: profile.DefaultAddress.LastName, Culture: profile.Culture, Language: profile.Language,
			Address: profile.DefaultAddress.address()}}
	if lists, on := s.misbehaving["late_customer"]; on {
		made.Hidden = count(lists)
	}
	s.customers = append(s.customers, made)
	s.record(made.ID, s.partner(c), "customer", "add_customer", "succeeded", nil, nil)
	password := newToken("Invented-Pa55")
	s.passwords = append(s.passwords, password)
	answer := s.shortForm(made)
	answer["billingProfile"] = made.profile().wire(made)
	again := asJSON(http.StatusCreated, answer).body // a repetition does not tell the password again
	answer["userCredentials"] = map[string]any{"userName": "admin@" + domain, "password": password}
	told := asJSON(http.StatusCreated, answer)
	told.again = again
	return told
}
