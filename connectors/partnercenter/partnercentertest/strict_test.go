package partnercentertest_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2031, time.February, 4, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// caller sends raw requests, so that the fake is tested by itself.
type caller struct {
	t    *testing.T
	base string
	http *http.Client
	s    *partnercentertest.Server
}

func serve(t *testing.T, opt partnercentertest.Options) (caller, *clock) {
	t.Helper()
	c := newClock()
	opt.Now = c.Now
	s := partnercentertest.New(opt)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return caller{t, server.URL, server.Client(), s}, c
}

type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(a.Body, []byte("\ufeff")), &v); err != nil {
		t.Fatalf("status %d, body is not JSON: %v: %s", a.Status, err, a.Body)
	}
	return v
}

func (a answer) code(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(a.Status, " ", a.json(t)["code"])
}

func (c caller) do(method, path, token string, header http.Header, body string) answer {
	c.t.Helper()
	r, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

func (c caller) get(path, token string) answer {
	c.t.Helper()
	return c.do("GET", "/api"+path, token, nil, "")
}

func (c caller) exchange(form url.Values) answer {
	c.t.Helper()
	all := url.Values{
		"client_id": {"51b2a9d4-6f0e-4c0b-9a51-3c8e7f1d0002"}, "client_secret": {"invented-client-secret"},
		"resource": {partnercentertest.AudienceAPI}, "grant_type": {"refresh_token"}, "refresh_token": {"invented-refresh-token"},
	}
	for name, values := range form {
		all[name] = values
	}
	return c.do("POST", "/sign-in/7f0c2d10-1c1b-4a53-8a0e-2b7a5d9e0001/oauth2/token", "",
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, all.Encode())
}

func (c caller) token(form url.Values) string {
	c.t.Helper()
	a := c.exchange(form)
	text, ok := a.json(c.t)["access_token"].(string)
	if !ok {
		c.t.Fatalf("no access token: %d %s", a.Status, a.Body)
	}
	return text
}

func (c caller) patch(sub partnercentertest.Subscription, token, requestID, body string) answer {
	c.t.Helper()
	return c.do("PATCH", "/api/v1/customers/"+sub.Customer+"/subscriptions/"+sub.ID, token,
		http.Header{"Content-Type": {"application/json"}, "MS-RequestId": {requestID}}, body)
}

// full is the whole resource with members replaced.
func (c caller) full(sub partnercentertest.Subscription, token string, members map[string]any) string {
	c.t.Helper()
	resource := c.get("/v1/customers/"+sub.Customer+"/subscriptions/"+sub.ID, token).json(c.t)
	for name, value := range members {
		resource[name] = value
	}
	b, err := json.Marshal(resource)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func (c caller) seats(sub partnercentertest.Subscription) partnercentertest.Subscription {
	c.t.Helper()
	for _, s := range c.s.Subscriptions(sub.Customer) {
		if s.ID == sub.ID {
			return s
		}
	}
	c.t.Fatalf("subscription %s is gone", sub.ID)
	return partnercentertest.Subscription{}
}

func TestSignInIsStrict(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{})
	for name, form := range map[string]url.Values{
		"AADSTS7000215": {"client_secret": {"wrong"}},
		"AADSTS700016":  {"client_id": {"wrong"}},
		"AADSTS500011":  {"resource": {"https://graph.windows.net"}},
		"AADSTS700082":  {"refresh_token": {"wrong"}},
		"AADSTS70003":   {"grant_type": {"password"}},
	} {
		if got := fmt.Sprint(c.exchange(form).json(t)["error_description"]); !strings.HasPrefix(got, name+":") {
			t.Errorf("%s: got %s", name, got)
		}
	}

	first := c.exchange(nil).json(t)
	if _, ok := first["expires_in"].(string); !ok {
		t.Errorf("expires_in is %T, want the v1 endpoint's text", first["expires_in"])
	}
	if got := c.exchange(nil).Status; got != 200 {
		t.Errorf("the replaced refresh token, first use after: %d, want 200 (grace)", got)
	}
	if got := c.exchange(nil).Status; got != 400 {
		t.Errorf("the replaced refresh token, second use after: %d, want 400", got)
	}
	fresh := url.Values{"refresh_token": {fmt.Sprint(first["refresh_token"])}}
	token := c.token(fresh)
	if got := c.get("/v1/customers", token).Status; got != 200 {
		t.Errorf("list with a good token: %d", got)
	}
	clock.Advance(time.Hour)
	if got := c.get("/v1/customers", token).Status; got != 401 {
		t.Errorf("list with an expired token: %d, want 401", got)
	}
}

func TestTokensAreForOneHostAndOneKindOfCaller(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	user := c.token(nil)
	app := c.token(url.Values{"grant_type": {"client_credentials"}})
	prices := c.token(url.Values{"resource": {partnercentertest.AudiencePrices}, "grant_type": {"client_credentials"}})
	sheet := "/prices/v1.0/sales/pricesheets(Market='US',PricesheetView='updatedlicensebased')/$value"
	for _, tc := range []struct{ name, path, token, want string }{
		{"made up token", "/api/v1/customers", "made-up", "401 400"},
		{"wrong audience", "/api/v1/customers", prices, "401 900420"},
		{"activity log for an application", "/api/v1/auditrecords", app, "403 900329"},
		{"resellers for an application", "/api/v1/relationships?relationship_type=IsIndirectCloudSolutionProviderOf", app, "403 900329"},
		{"price sheet for an application", sheet, prices, "403 900329"},
		{"price sheet with an API token", sheet, user, "401 900420"},
		{"unknown path", "/api/v1/nothing", user, "404 1000"},
		{"unknown customer", "/api/v1/customers/" + uuid.NewString() + "/subscriptions", user, "403 20002"},
		{"relationships without a type", "/api/v1/relationships", user, "400 2000"},
		{"filter with another operator", "/api/v1/customers?filter=" + url.QueryEscape(`{"Field":"CompanyName","Value":"h","Operator":"substring"}`), user, "400 2000"},
		{"filter on another field", "/api/v1/customers?filter=" + url.QueryEscape(`{"Field":"Email","Value":"h","Operator":"starts_with"}`), user, "400 2000"},
		{"bad page size", "/api/v1/customers?size=many", user, "400 2000"},
		{"activity of another century", "/api/v1/auditrecords?startDate=1931-01-01", user, "400 800002"},
		{"activity of more than 30 days", "/api/v1/auditrecords?startDate=2030-12-01", user, "400 800002"},
		{"activity filter", "/api/v1/auditrecords?filter=" + url.QueryEscape(`{"Field":"CustomerId","Value":"x","Operator":"substring"}`), user, "400 800002"},
	} {
		if got := c.do("GET", tc.path, tc.token, nil, "").code(t); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	if got := c.do("DELETE", "/api/v1/customers", user, nil, "").Status; got != 405 {
		t.Errorf("wrong verb: %d, want 405", got)
	}
}

func TestPagingTokensWorkOnce(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{PageSize: 2})
	for i := range 3 {
		c.s.AddCustomer(partnercentertest.Customer{Name: fmt.Sprint("Customer ", i)})
	}
	token := c.token(nil)
	next := func(a answer) (path string, header http.Header) {
		link := a.json(t)["links"].(map[string]any)["next"].(map[string]any)
		h := link["headers"].([]any)[0].(map[string]any)
		return "/api/v1" + link["uri"].(string), http.Header{h["key"].(string): {h["value"].(string)}}
	}
	path, header := next(c.get("/v1/customers?size=500", token))
	if got := c.do("GET", path, token, nil, "").code(t); got != "400 2000" {
		t.Errorf("next page without its token: %s, want 400 2000", got)
	}
	last := c.do("GET", path, token, header, "").json(t)
	if got := len(last["items"].([]any)); got != 1 {
		t.Errorf("last page has %d items, want 1", got)
	}
	if got := c.do("GET", path, token, header, "").code(t); got != "400 2000" {
		t.Errorf("page token used twice: %s, want 400 2000", got)
	}
	path, header = next(c.get("/v1/customers?size=500", token))
	clock.Advance(11 * time.Minute)
	if got := c.do("GET", path, token, header, "").code(t); got != "400 2000" {
		t.Errorf("page token after 11 minutes: %s, want 400 2000", got)
	}
}

func TestPatchRules(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{TokenLife: 1000 * time.Hour})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
	locked := c.s.AddCustomer(partnercentertest.Customer{Name: "Moa Motors", Locked: true})
	token := c.token(nil)
	next := &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "CFQ7TTC0TRUE", Term: "P1Y", BillingCycle: "monthly", Quantity: 11}
	add := func(change func(*partnercentertest.Subscription)) partnercentertest.Subscription {
		sub := partnercentertest.Subscription{Customer: customer.ID, Quantity: 14, MaxSeats: 300, AutoRenew: true, Next: next}
		if change != nil {
			change(&sub)
		}
		return c.s.AddSubscription(sub)
	}
	old := func(sub *partnercentertest.Subscription) { sub.Created = clock.Now().AddDate(0, -2, 0) }
	id := func() string { return uuid.NewString() }

	for _, tc := range []struct {
		name   string
		change func(*partnercentertest.Subscription)
		body   string
		want   string
	}{
		{"closed window", old, `{"quantity": 13}`, "400 900257"},
		{"partly open window", func(s *partnercentertest.Subscription) {
			s.Batches = []partnercentertest.Batch{{Quantity: 4, Until: clock.Now().Add(time.Hour)}}
		}, `{"quantity": 9}`, "400 800090"},
		{"above the maximum", nil, `{"quantity": 301}`, "400 2002"},
		{"below the minimum", nil, `{"quantity": 0}`, "400 2002"},
		{"half a seat", nil, `{"quantity": 14.5}`, "400 800002"},
		{"trial", func(s *partnercentertest.Subscription) { s.Trial = true }, `{"quantity": 15}`, "400 800095"},
		{"suspended", func(s *partnercentertest.Subscription) { s.Status = "suspended" }, `{"quantity": 15}`, "400 2001"},
		{"deleted", func(s *partnercentertest.Subscription) { s.Status = "deleted" }, `{"quantity": 15}`, "400 2011"},
		{"expired", func(s *partnercentertest.Subscription) { s.Status = "expired" }, `{"quantity": 15}`, "400 900277"},
		{"worn out", func(s *partnercentertest.Subscription) { s.Updates = 1200 }, `{"quantity": 15}`, "400 900311"},
		{"cancel too late", old, `{"status": "deleted"}`, "400 900213"},
		{"locked customer", func(s *partnercentertest.Subscription) { s.Customer = locked.ID }, `{"quantity": 15}`, "403 900416"},
		{"not JSON", nil, `quantity=15`, "400 800002"},
		{"id of another", nil, `{"id": "` + uuid.NewString() + `"}`, "400 800002"},
	} {
		if got := c.patch(add(tc.change), token, id(), tc.body).code(t); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}

	sub := add(nil)
	if got := c.patch(sub, token, "", `{}`).code(t); got != "400 800002" {
		t.Errorf("write without MS-RequestId: %s", got)
	}
	if got := c.patch(sub, token, "not-a-guid", `{}`).code(t); got != "400 800002" {
		t.Errorf("write with a wrong MS-RequestId: %s", got)
	}
	if got := c.do("PATCH", "/api/v1/customers/"+locked.ID+"/subscriptions/"+sub.ID, token, http.Header{"MS-RequestId": {id()}}, `{}`).code(t); got != "403 900416" {
		t.Errorf("write under another customer: %s", got)
	}

	// The whole body, another member changed: everything stays.
	c.patch(sub, token, id(), c.full(sub, token, map[string]any{"friendlyName": "Front desk", "strange": true}))
	if got := c.seats(sub); !got.AutoRenew || got.Next == nil || got.FriendlyName != "Front desk" {
		t.Errorf("after a full body: %+v", got)
	}
	// The whole body, other seats: the schedule goes, auto-renewal stays.
	c.patch(sub, token, id(), c.full(sub, token, map[string]any{"quantity": 16}))
	if got := c.seats(sub); !got.AutoRenew || got.Next != nil || got.Quantity != 16 {
		t.Errorf("after other seats: %+v", got)
	}
	// A short body: auto-renewal and the schedule go.
	short := add(nil)
	c.patch(short, token, id(), `{"friendlyName": "Short"}`)
	if got := c.seats(short); got.AutoRenew || got.Next != nil {
		t.Errorf("after a short body: %+v", got)
	}
	// Seats that were added go again for a week, the first batch to close first.
	clock.Advance(5 * 24 * time.Hour)
	c.patch(sub, token, id(), c.full(sub, token, map[string]any{"quantity": 20}))
	clock.Advance(3 * 24 * time.Hour) // the first 16 are fixed now
	if got := c.patch(sub, token, id(), c.full(sub, token, map[string]any{"quantity": 15})).code(t); got != "400 800090" {
		t.Errorf("below the fixed seats: %s", got)
	}
	if got := c.patch(sub, token, id(), c.full(sub, token, map[string]any{"quantity": 16})).Status; got != 200 {
		t.Errorf("down to the fixed seats: %d", got)
	}
}

func TestWritesAreDoneOncePerRequestID(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{TokenLife: 1000 * time.Hour})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
	sub := c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 14})
	token, key := c.token(nil), uuid.NewString()
	c.patch(sub, token, key, `{"quantity": 15}`)
	if err := c.s.EditQuantity(sub.ID, 20); err != nil {
		t.Fatal(err)
	}
	if got := c.patch(sub, token, key, `{"quantity": 15}`); got.Status != 200 || c.seats(sub).Quantity != 20 {
		t.Errorf("repeated: %d, %d seats; want 200 and 20 seats", got.Status, c.seats(sub).Quantity)
	}
	clock.Advance(25 * time.Hour)
	c.patch(sub, token, key, `{"quantity": 15}`)
	if got := c.seats(sub).Quantity; got != 15 {
		t.Errorf("a day later it is a new request: %d seats, want 15", got)
	}

	operations := []string{}
	for _, a := range c.s.Dump().Audit {
		operations = append(operations, a.Operation+" "+a.Status)
	}
	want := []string{"add_customer succeeded", "create_order succeeded", "update_subscription succeeded", "update_subscription succeeded", "update_subscription succeeded"}
	if diff := cmp.Diff(want, operations); diff != "" {
		t.Errorf("activity log (-want +got):\n%s", diff)
	}
}

func TestTermsEndOnTheirDay(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{})
	customer := c.s.AddCustomer(partnercentertest.Customer{Name: "Harbour Dental"})
	month := func(renew bool, next *partnercentertest.NextTerm) partnercentertest.Subscription {
		return c.s.AddSubscription(partnercentertest.Subscription{Customer: customer.ID, Quantity: 9, Term: "P1M", AutoRenew: renew, Next: next})
	}
	renewing := month(true, nil)
	ending := month(false, nil)
	smaller := month(true, &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "X", Term: "P1Y", BillingCycle: "annual", Quantity: 5})
	show := func(sub partnercentertest.Subscription) string {
		s := c.seats(sub)
		return fmt.Sprintf("%s %d %s %s..%s", s.Status, s.Quantity, s.Term, s.TermStart.Format(time.DateOnly), s.TermEnd.Format(time.DateOnly))
	}
	var got []string
	for _, days := range []int{27, 1, 31, 95} {
		clock.Advance(time.Duration(days) * 24 * time.Hour)
		got = append(got, clock.Now().Format(time.DateOnly)+": "+show(renewing)+" | "+show(ending)+" | "+show(smaller))
	}
	want := []string{
		"2031-03-03: active 9 P1M 2031-02-04..2031-03-03 | active 9 P1M 2031-02-04..2031-03-03 | active 9 P1M 2031-02-04..2031-03-03",
		"2031-03-04: active 9 P1M 2031-03-04..2031-04-03 | expired 9 P1M 2031-02-04..2031-03-03 | active 5 P1Y 2031-03-04..2032-03-03",
		"2031-04-04: active 9 P1M 2031-04-04..2031-05-03 | disabled 9 P1M 2031-02-04..2031-03-03 | active 5 P1Y 2031-03-04..2032-03-03",
		"2031-07-08: active 9 P1M 2031-07-04..2031-08-03 | deleted 9 P1M 2031-02-04..2031-03-03 | active 5 P1Y 2031-03-04..2032-03-03",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
}

func TestBudgetCountsRefusedCalls(t *testing.T) {
	t.Parallel()
	c, clock := serve(t, partnercentertest.Options{PerMinute: 3})
	token := c.token(nil)
	statuses := func(n int) (got []int) {
		for range n {
			got = append(got, c.get("/v1/customers", token).Status)
		}
		return got
	}
	if diff := cmp.Diff([]int{200, 200, 200, 429}, statuses(4)); diff != "" {
		t.Errorf("first minute (-want +got):\n%s", diff)
	}
	clock.Advance(30 * time.Second)
	refused := c.get("/v1/customers", token)
	if refused.Status != 429 || refused.Header.Get("Retry-After") == "" || refused.json(t)["statusCode"] != 429.0 {
		t.Errorf("refusal: %d, Retry-After %q, body %s", refused.Status, refused.Header.Get("Retry-After"), refused.Body)
	}
	clock.Advance(31 * time.Second)
	if diff := cmp.Diff([]int{200, 200, 429}, statuses(3)); diff != "" {
		t.Errorf("the refused call still counts (-want +got):\n%s", diff)
	}
}

func TestPriceSheetIsZippedOnRequest(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	c.s.Sample()
	token := c.token(url.Values{"resource": {partnercentertest.AudiencePrices}})
	path := "/prices/v1.0/sales/pricesheets(Market='US',PricesheetView='updatedlicensebased')/$value"
	plain := c.do("GET", path, token, http.Header{"Accept-Encoding": {"identity"}}, "")
	packed := c.do("GET", path, token, http.Header{"Accept-Encoding": {"deflate"}}, "")
	archive, err := zip.NewReader(bytes.NewReader(packed.Body), int64(len(packed.Body)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.Open(archive.File[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(plain.Body), string(unpacked)); diff != "" {
		t.Errorf("the archive differs from the plain file:\n%s", diff)
	}
	if !bytes.HasPrefix(plain.Body, []byte("\ufeffChangeIndicator,")) || bytes.Count(plain.Body, []byte("\n")) != 6 {
		t.Errorf("sheet:\n%s", plain.Body)
	}
	if got := c.do("GET", strings.Replace(path, "US", "NZ", 1), token, nil, "").Status; got != 404 {
		t.Errorf("another market: %d, want 404", got)
	}
}

func TestMisbehavioursDoWhatTheySay(t *testing.T) {
	t.Parallel()
	values := map[string]string{"reads": "2", "pages": "1", "duration": "1h", "kind": "customers", "customer id": "", "status": "dreaming", "times": "1"}
	for _, m := range partnercentertest.Misbehaviours() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, partnercentertest.Options{PageSize: 2})
			c.s.Sample()
			customer := "3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001"
			sub := partnercentertest.Subscription{Customer: customer, ID: "a7c20f6e-55d1-4a55-b5c4-90b7d7b10a01"}
			observe := func() string { // everything a client can see, without what differs each time
				var seen []string
				signIn := c.exchange(url.Values{"refresh_token": {"invented-refresh-token"}})
				seen = append(seen, fmt.Sprint(signIn.Status))
				token := "none"
				if signIn.Status == 200 {
					token = fmt.Sprint(signIn.json(t)["access_token"])
				}
				first := c.do("GET", "/api/v1/customers?size=5", token, http.Header{"ValidateMfa": {"true"}}, "")
				seen = append(seen, fmt.Sprint(first.Status, first.Header.Get("isMfaCompliant"), strings.Count(string(first.Body), "tenantId"),
					strings.Contains(string(first.Body), `"next"`), strings.HasPrefix(string(first.Body), "\ufeff"), strings.Contains(string(first.Body), "page-again"),
					strings.Contains(string(first.Body), "3B1E0C52"), strings.Contains(string(first.Body), `"items"`)))
				var page struct {
					Links struct {
						Next struct {
							URI     string
							Headers []struct{ Key, Value string }
						}
					}
				}
				_ = json.Unmarshal(bytes.TrimPrefix(first.Body, []byte("\ufeff")), &page)
				if page.Links.Next.URI != "" {
					second := c.do("GET", "/api/v1"+page.Links.Next.URI, token, http.Header{page.Links.Next.Headers[0].Key: {page.Links.Next.Headers[0].Value}}, "")
					seen = append(seen, fmt.Sprint(second.Status, strings.Contains(string(second.Body), `"next"`)))
				}
				list := c.get("/v1/customers/"+customer+"/subscriptions", token)
				seen = append(seen, fmt.Sprint(list.Status, strings.Contains(string(list.Body), "dreaming"), strings.Count(string(list.Body), "offerId")))
				seen = append(seen, fmt.Sprint(c.get("/v1/auditrecords", token).Status))
				changed := c.patch(sub, token, uuid.NewString(), `{"quantity": 15}`)
				read := c.get("/v1/customers/"+customer+"/subscriptions/"+sub.ID, token)
				seen = append(seen, fmt.Sprint(changed.Status, c.seats(sub).Quantity, strings.Contains(string(read.Body), `"quantity":15`)))
				return strings.Join(seen, "\n")
			}
			value := values[m.Value]
			if m.Value == "customer id" {
				value = customer
			}
			if m.Name == "no_price_sheet" { // seen only by the price sheet
				path := "/prices/v1.0/sales/pricesheets(Market='US',PricesheetView='updatedlicensebased')/$value"
				token := c.token(url.Values{"resource": {partnercentertest.AudiencePrices}})
				if err := c.s.Misbehave(m.Name, value); err != nil {
					t.Fatal(err)
				}
				if got := c.do("GET", path, token, nil, "").Status; got != 404 {
					t.Errorf("status %d, want 404", got)
				}
				return
			}
			if m.Name == "late_orders" { // seen only by who orders; TestOrdersShowLate
				return
			}
			if m.Name == "late_customer" { // seen only of a new one
				token := c.token(nil)
				if err := c.s.Misbehave(m.Name, value); err != nil {
					t.Fatal(err)
				}
				if got := c.newCustomer(token, uuid.NewString(), ""); got.Status != 201 {
					t.Fatalf("created %d: %s", got.Status, got.Body)
				}
				var seen []bool
				for range 3 {
					seen = append(seen, strings.Contains(string(c.get(`/v1/customers?filter={"Field":"Domain","Value":"keadental","Operator":"starts_with"}`, token).Body), "Kea Dental"))
				}
				if diff := cmp.Diff([]bool{false, false, true}, seen); diff != "" {
					t.Errorf("seen in lists:\n%s", diff)
				}
				return
			}
			if m.Name == "slow" { // seen only by a caller without patience
				if err := c.s.Misbehave(m.Name, value); err != nil {
					t.Fatal(err)
				}
				impatient := http.Client{Timeout: 20 * time.Millisecond}
				resp, err := impatient.Get(c.base + "/api/v1/customers")
				if err == nil {
					resp.Body.Close()
					t.Errorf("answered %d at once", resp.StatusCode)
				}
				return
			}
			if err := c.s.Misbehave(m.Name, value); err != nil {
				t.Fatal(err)
			}
			wrong := observe()

			good, _ := serve(t, partnercentertest.Options{PageSize: 2})
			good.s.Sample()
			c = good
			if right := observe(); right == wrong {
				t.Errorf("nothing differs:\n%s", right)
			}
		})
	}
}

func TestMisbehaveRefusesNonsense(t *testing.T) {
	t.Parallel()
	s := partnercentertest.New(partnercentertest.Options{})
	for name, value := range map[string]string{"explode": "", "bom": "yes", "lost_reply": "often", "slow": "very", "empty_list": "prices", "forbid_customer": "", "cap_pages": ""} {
		if err := s.Misbehave(name, value); err == nil {
			t.Errorf("%s=%q was accepted", name, value)
		}
	}
	if err := s.Misbehave("bom", ""); err != nil {
		t.Fatal(err)
	}
	s.Behave("bom")
	if diff := cmp.Diff(map[string]string{}, s.Dump().Misbehaving); diff != "" {
		t.Errorf("after Behave:\n%s", diff)
	}
}

func TestRequestsAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, partnercentertest.Options{})
	c.get("/v1/customers?filter=planted-secret", c.token(nil))
	log, err := json.Marshal(c.s.Requests())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.s.Requests()); n != 2 {
		t.Errorf("%d requests logged, want 2: %s", n, log)
	}
	for _, secret := range []string{"planted-secret", "invented-client-secret", "invented-refresh-token", "access-", "Bearer"} {
		if bytes.Contains(log, []byte(secret)) {
			t.Errorf("the log holds %q: %s", secret, log)
		}
	}
}
