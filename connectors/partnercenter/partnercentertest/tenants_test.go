package partnercentertest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

const newCustomer = `{"companyProfile": {"domain": "keadental.onmicrosoft.com"}, "billingProfile": {"email": "it@kea.example", "culture": "en-US", "language": "en",
	"companyName": "Kea Dental", "defaultAddress": {"country": "US", "city": "Nelson", "addressLine1": "4 Quay Road", "firstName": "Ana", "lastName": "Rewi"}}}`

// newCustomer asks for a customer; replace is "what with what" in its body.
func (c caller) newCustomer(token, id, replace string) answer {
	body := newCustomer
	if what, with, ok := strings.Cut(replace, " -> "); ok {
		if !strings.Contains(body, what) {
			c.t.Fatalf("the body has no %s", what)
		}
		body = strings.Replace(body, what, with, 1)
	}
	return c.do("POST", "/api/v1/customers", token, http.Header{"MS-RequestId": {id}, "Content-Type": {"application/json"}}, body)
}

func TestNewCustomer(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	c.s.TakeDomain("taken.onmicrosoft.com")
	token := c.token(nil)
	for replace, code := range map[string]string{
		`"domain": "keadental.onmicrosoft.com" -> "domain": "kea.example"`:                 "400 800002",
		`"domain": "keadental.onmicrosoft.com" -> "domain": "taken.onmicrosoft.com"`:       "400 800002",
		`"email": "it@kea.example", -> `:                                                   "400 800002",
		`"culture": "en-US", -> `:                                                          "400 800002",
		`"4 Quay Road" -> "Quay Road"`:                                                     "400 800002",
		`"country": "US" -> "country": "HU"`:                                               "400 600049",
		`"companyProfile": { -> "companyProfile": {"organizationRegistrationNumber": "1",`: "400 600002",
		`{"companyProfile" -> {"userCredentials": {"password": "x"}, "companyProfile"`:     "400 800002",
	} {
		if got := c.newCustomer(token, uuid.NewString(), replace).code(t); got != code {
			t.Errorf("%s: %s, want %s", replace, got, code)
		}
	}
	id := uuid.NewString()
	first := c.newCustomer(token, id, "")
	if first.Status != 201 || !strings.Contains(string(first.Body), c.s.Passwords()[0]) {
		t.Fatalf("created %d: %s", first.Status, first.Body)
	}
	again := c.newCustomer(token, id, "")
	if again.json(t)["id"] != first.json(t)["id"] || strings.Contains(string(again.Body), "password") {
		t.Errorf("the same request again: %s", again.Body)
	}
	if n := len(c.s.Dump().Customers); n != 1 {
		t.Errorf("%d customers, want 1", n)
	}
	if got := c.newCustomer(token, uuid.NewString(), "").code(t); got != "400 800002" {
		t.Errorf("the same domain in another request: %s", got)
	}
	for domain, want := range map[string]int{"keadental.onmicrosoft.com": 200, "taken.onmicrosoft.com": 200, "free.onmicrosoft.com": 404} {
		if got := c.do("HEAD", "/api/v1/domains/"+domain, token, nil, "").Status; got != want {
			t.Errorf("domain %s: %d, want %d", domain, got, want)
		}
	}
}

func TestBillingProfileIsReplacedWholeUnderItsETag(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Kea Dental", Email: "it@kea.example",
		Address: partnercentertest.Address{Line1: "4 Quay Road", Line2: "Floor 2", City: "Nelson"}})
	token, path := c.token(url.Values{}), "/v1/customers/"+customer.ID+"/profiles/billing"
	put := func(etag, body string) answer {
		return c.do("PUT", "/api"+path, token, http.Header{"MS-RequestId": {uuid.NewString()}, "If-Match": {etag}, "Content-Type": {"application/json"}}, body)
	}
	profile := c.get(path, token)
	etag := profile.json(t)["attributes"].(map[string]any)["etag"].(string)
	whole := string(profile.Body)
	if got := put("", whole).code(t); got != "400 2055" {
		t.Errorf("without etag: %s", got)
	}
	if got := put(etag, strings.Replace(whole, `"country":"US"`, `"country":"NZ"`, 1)).code(t); got != "400 800002" {
		t.Errorf("another country: %s", got)
	}
	short := strings.Replace(whole, `"addressLine2":"Floor 2",`, "", 1)
	if got := put(etag, short); got.Status != 200 || strings.Contains(string(c.get(path, token).Body), "Floor 2") {
		t.Errorf("what was left out stays: %s", c.get(path, token).Body)
	}
	if got := put(etag, whole).code(t); got != "400 2055" {
		t.Errorf("with the old etag: %s", got)
	}
}

func TestAddressesAreJudged(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	token := c.token(nil)
	for body, want := range map[string]string{
		`{"addressLine1": "4 Quay Road", "city": "Nelson", "country": "NZ"}`: "Verified",
		`{"addressLine1": "Quay Road", "city": "Nelson", "country": "NZ"}`:   "StreetPartial",
		`{"addressLine1": "4 Road", "city": "Nowhere", "country": "NZ"}`:     "None",
	} {
		got := c.do("POST", "/api/v1/validations/address", token, http.Header{"Content-Type": {"application/json"}}, body)
		if got.Status != 200 || got.json(t)["status"] != want {
			t.Errorf("%s: %d %s, want %s", body, got.Status, got.Body, want)
		}
	}
}
