package partnercentertest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

const (
	harbour = "3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001"
	premium = "CFQ7TTC0LCHC"
)

// shopper sends raw orders.
type shopper struct {
	caller
	clock *clock
	token string
}

func shop(t *testing.T, opt partnercentertest.Options) *shopper {
	c, at := serve(t, opt)
	c.s.Sample()
	return &shopper{c, at, c.token(nil)}
}

func (s *shopper) post(path, body string) answer {
	return s.do("POST", "/api/v1/customers/"+harbour+path, s.token, http.Header{"Content-Type": {"application/json"}, "MS-RequestId": {uuid.NewString()}}, body)
}

// item is what Business Premium is sold as in the commercial segment now.
func (s *shopper) item() string {
	s.t.Helper()
	list := s.get("/v1/customers/"+harbour+"/products/"+premium+"/skus/0002/availabilities", s.token).json(s.t)
	return list["items"].([]any)[0].(map[string]any)["catalogItemId"].(string)
}

func (s *shopper) cart(item string, seats int, term, cycle string) answer {
	return s.post("/carts", fmt.Sprintf(`{"lineItems":[{"id":0,"catalogItemId":%q,"quantity":%d,"termDuration":%q,"billingCycle":%q,"friendlyName":"quote 7/1"}]}`, item, seats, term, cycle))
}

// A cart is made whatever stands in it; its line says what is wrong, and it cannot be checked out.
func TestCartLinesAreRefused(t *testing.T) {
	t.Parallel()
	s := shop(t, partnercentertest.Options{})
	s.s.SetProduct(partnercentertest.Product{ID: premium + ":0002", MinSeats: 2, MaxSeats: 300})
	item := s.item()
	for name, tt := range map[string]struct {
		item        string
		seats       int
		term, cycle string
		code        string
	}{
		"good":              {item, 300, "P1Y", "monthly", ""},
		"unknown product":   {"CFQ7TTC0NONE:0001" + item[strings.LastIndex(item, ":"):], 3, "P1Y", "monthly", "10001"},
		"old availability":  {premium + ":0002:CFQ7TTC00000", 3, "P1Y", "monthly", "10001"},
		"no such term":      {item, 3, "P3Y", "monthly", "10010"},
		"cycle in capitals": {item, 3, "P1Y", "Monthly", "10010"},
		"too few":           {item, 1, "P1Y", "monthly", "10010"},
		"too many":          {item, 301, "P1Y", "monthly", "10015"},
	} {
		a := s.cart(tt.item, tt.seats, tt.term, tt.cycle)
		cart := a.json(t)
		line := cart["lineItems"].([]any)[0].(map[string]any)
		got := ""
		if refused, ok := line["error"].(map[string]any); ok {
			got = fmt.Sprint(refused["errorCode"])
		}
		if a.Status != 201 || got != tt.code {
			t.Errorf("%s: status %d, line error %q, want %q", name, a.Status, got, tt.code)
		}
		if out := s.post("/carts/"+cart["id"].(string)+"/checkout", ""); tt.code != "" && out.code(t) != "400 800009" {
			t.Errorf("%s: checked out: %s", name, out.code(t))
		}
	}
	if n := len(s.s.Orders()); n != 1 {
		t.Errorf("%d orders, want the good one", n)
	}
	for name, body := range map[string]string{
		"no line":        `{"lineItems":[]}`,
		"unknown member": `{"lineItems":[{"id":0,"sku":"x"}]}`,
		"not from zero":  `{"lineItems":[{"id":1,"catalogItemId":"x","quantity":1}]}`,
		"not JSON":       `lineItems`,
	} {
		if got := s.post("/carts", body).code(t); got != "400 800002" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestACartIsCheckedOutOnce(t *testing.T) {
	t.Parallel()
	s := shop(t, partnercentertest.Options{TokenLife: 1000 * time.Hour})
	fresh := func() string { return "/carts/" + s.cart(s.item(), 3, "P1Y", "monthly").json(t)["id"].(string) }
	cart := fresh()
	if got := s.post(cart+"/checkout", `{}`).code(t); got != "400 800002" {
		t.Errorf("with a body: %s", got)
	}
	key := uuid.NewString()
	again := func() answer {
		return s.do("POST", "/api/v1/customers/"+harbour+cart+"/checkout", s.token, http.Header{"MS-RequestId": {key}}, "")
	}
	if first, second := again(), again(); first.Status != 201 || string(first.Body) != string(second.Body) {
		t.Errorf("the same request: %d %s, then %d %s", first.Status, first.Body, second.Status, second.Body)
	}
	if got := s.post(cart+"/checkout", "").code(t); got != "400 800065" {
		t.Errorf("checked out again: %s", got)
	}
	if got := s.get("/v1/customers/"+harbour+cart, s.token).json(t)["status"]; got != "Ordered" {
		t.Errorf("the cart is %v", got)
	}

	yesterday := fresh()
	s.clock.Advance(24 * time.Hour)
	if got := s.post(yesterday+"/checkout", "").code(t); got != "404 400019" {
		t.Errorf("an availability of yesterday: %s", got)
	}
	old := fresh()
	s.clock.Advance(7 * 24 * time.Hour)
	for _, got := range []string{s.post(old+"/checkout", "").code(t), s.get("/v1/customers/"+harbour+old, s.token).code(t)} {
		if got != "404 800008" {
			t.Errorf("a cart of last week: %s", got)
		}
	}

	refused := fresh()
	if err := s.s.EditCustomer(harbour, func(c *partnercentertest.Customer) { c.Agreement = "nobody" }); err != nil {
		t.Fatal(err)
	}
	if got := s.post(refused+"/checkout", "").code(t); got != "403 13605" {
		t.Errorf("without agreement: %s", got)
	}
	if n := len(s.s.Orders()); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

func TestOrdersShowLate(t *testing.T) {
	t.Parallel()
	s := shop(t, partnercentertest.Options{})
	if err := s.s.Misbehave("late_orders", "15m"); err != nil {
		t.Fatal(err)
	}
	cart := s.cart(s.item(), 3, "P1Y", "monthly").json(t)["id"].(string)
	placed := s.post("/carts/"+cart+"/checkout", "").json(t)["orders"].([]any)[0].(map[string]any)
	path := "/v1/customers/" + harbour
	seen := func() string {
		listed := strings.Count(string(s.get(path+"/orders", s.token).Body), "quote 7/1")
		one := strings.Contains(string(s.get(path+"/orders/"+placed["id"].(string), s.token).Body), "subscriptionId")
		return fmt.Sprint(listed, one, strings.Count(string(s.get(path+"/subscriptions", s.token).Body), "quote 7/1"))
	}
	if got := seen(); got != "0 false 0" {
		t.Errorf("at once: %s", got)
	}
	s.clock.Advance(15 * time.Minute)
	if got := seen(); got != "1 true 1" {
		t.Errorf("after 15 minutes: %s", got)
	}
}

func TestAgreementsAreOfACertainType(t *testing.T) {
	t.Parallel()
	s := shop(t, partnercentertest.Options{})
	path := "/v1/customers/" + harbour
	for who, want := range map[string]string{"": "0 1 false", "customer": "0 0 true", "nobody": "0 0 false"} {
		if err := s.s.EditCustomer(harbour, func(c *partnercentertest.Customer) { c.Agreement = who }); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(s.get(path+"/agreements", s.token).json(t)["totalCount"], " ", s.get(path+"/agreements?agreementType=MicrosoftCustomerAgreement", s.token).json(t)["totalCount"],
			" ", s.get(path+"/directSignedMicrosoftCustomerAgreementStatus", s.token).json(t)["isSigned"])
		if got != want {
			t.Errorf("confirmed by %q: %s, want %s", who, got, want)
		}
	}
}
