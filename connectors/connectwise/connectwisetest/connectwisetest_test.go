package connectwisetest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2031, 2, 1, 12, 0, 0, 0, time.UTC)

// tenant is a small seeded server that is asked without a network.
type tenant struct {
	*testing.T
	*Server
	company, contact, product, bundle, deal, line int
}

func newTenant(t *testing.T, o Options) *tenant {
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	n := &tenant{T: t, Server: New(o)}
	n.company = n.AddCompany(Company{Identifier: "contoso", Name: "Contoso", Website: "https://contoso.example.com", Country: "United Kingdom"})
	n.contact = n.AddContact(Contact{Company: n.company, FirstName: "Ada", LastName: "Smith", Email: "ada@example.com", Default: true})
	n.product = n.AddCatalogItem(CatalogItem{Identifier: "BP", Description: "Business Premium", Price: "22", Cost: "18.1234"})
	n.bundle = n.AddCatalogItem(CatalogItem{Identifier: "PACK", Class: "Bundle"})
	n.deal = n.AddAgreement(Agreement{Name: "Cloud", Company: n.company, Contact: n.contact, Start: "2031-01-01"})
	n.line = n.AddAddition(Addition{Agreement: n.deal, Product: n.product, Quantity: "10", LessIncluded: "2"})
	return n
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

func (n *tenant) ask(method, path, body string, header ...string) reply {
	n.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/v2026_1/apis/3.0/" + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth("acme+public-key", "private-key")
	r.Header.Set("clientId", n.opts.ClientID)
	r.Header.Set("Accept", "application/vnd.connectwise.com+json; version=2022.1")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	n.Handler().ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Result().Body)
	if err != nil {
		n.Fatal(err)
	}
	return reply{w.Code, w.Result().Header, string(raw)}
}

func (n *tenant) object(r reply) map[string]any {
	n.Helper()
	value, err := decode([]byte(r.body))
	object, ok := value.(map[string]any)
	if err != nil || !ok {
		n.Fatalf("no object: %d %s", r.status, r.body)
	}
	return object
}

// find lists ids.
func (n *tenant) find(path string, query url.Values, header ...string) ([]int, reply) {
	n.Helper()
	r := n.ask("GET", path+"?"+query.Encode(), "", header...)
	var rows []struct{ ID int }
	if err := json.Unmarshal([]byte(r.body), &rows); err != nil {
		n.Fatalf("no list: %d %s", r.status, r.body)
	}
	ids := make([]int, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return ids, r
}

// Every request here is wrong, or right beside one that is wrong.
func TestAdmission(t *testing.T) {
	t.Parallel()
	const companies = "company/companies"
	cases := map[string]struct {
		method, path, body string
		header             []string
		status             int
		says               string
	}{
		"good":                        {"GET", companies, "", nil, 200, "contoso"},
		"by the router path":          {"GET", "/v4_6_release/apis/3.0/company/companies", "", nil, 200, "contoso"},
		"another codebase":            {"GET", "/v2025_1/apis/3.0/company/companies", "", nil, 404, "<html>"},
		"a doubled slash":             {"GET", "/v2026_1//apis/3.0/company/companies", "", nil, 404, "<html>"},
		"no client id":                {"GET", companies, "", []string{"clientId", ""}, 403, "clientId"},
		"no keys":                     {"GET", companies, "", []string{"Authorization", ""}, 401, "Unauthorized"},
		"wrong keys":                  {"GET", companies, "", []string{"Authorization", "Basic eDp5"}, 401, "Unauthorized"},
		"plain accept":                {"GET", companies, "", []string{"Accept", "application/json"}, 200, "contoso"},
		"any accept":                  {"GET", companies, "", []string{"Accept", "*/*"}, 406, "version"},
		"a version that is none":      {"GET", companies, "", []string{"Accept", "application/vnd.connectwise.com+json; version=latest"}, 406, "version"},
		"a body of another type":      {"POST", companies, "x=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, ""},
		"an unknown resource":         {"GET", "company/customers", "", nil, 404, "NotFound"},
		"an unknown record":           {"GET", companies + "/999", "", nil, 404, "NotFound"},
		"PUT of a record":             {"PUT", "company/companies/{company}", "{}", nil, 405, "PUT"},
		"POST to a count":             {"POST", companies + "/count", "{}", nil, 405, ""},
		"an unknown query parameter":  {"GET", companies + "?filter=x", "", nil, 400, "filter"},
		"system info without keys":    {"GET", "system/info", "", []string{"Authorization", "", "clientId", ""}, 200, "GMT Standard Time"},
		"setup tables are read only":  {"POST", "finance/agreements/types", `{"name":"x"}`, nil, 405, ""},
		"subcategories, with a slash": {"GET", "procurement/subcategories/", "", nil, 200, "Cloud"},
		"additions of no agreement":   {"GET", "finance/agreements/999/additions", "", nil, 404, "Agreement 999"},
		"an addition elsewhere":       {"GET", "finance/agreements/999/additions/{line}", "", nil, 404, ""},
		"company info":                {"GET", "/login/companyinfo/acme", "", []string{"Authorization", ""}, 200, `"Codebase":"v2026_1/"`},
		"company info of nobody":      {"GET", "/login/companyinfo/Acme", "", nil, 200, "null"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, Options{})
			path := strings.NewReplacer("{company}", fmt.Sprint(n.company), "{line}", fmt.Sprint(n.line)).Replace(test.path)
			r := n.ask(test.method, path, test.body, test.header...)
			if r.status != test.status || !strings.Contains(r.body, test.says) {
				t.Errorf("%d %s, want %d and %q", r.status, r.body, test.status, test.says)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	fabrikam := n.AddCompany(Company{Identifier: "fabrikam", Name: `Fabrikam "East" & Co`, City: "Leeds", LastUpdated: noon, Custom: map[string]string{"Vendor Tenant Ids": "t-9"}})
	none, one, two, both := []int{}, []int{n.company}, []int{fabrikam}, []int{n.company, fabrikam}
	cases := []struct {
		conditions string
		want       []int // nil for a refusal
	}{
		{``, both},
		{`id=` + fmt.Sprint(fabrikam), two},
		{`identifier="CONTOSO"`, one},
		{`identifier != "contoso"`, two},
		{`name="Fabrikam \"East\" & Co"`, two},
		{`name contains "east"`, two},
		{`name like "con*"`, one},
		{`name like "%o"`, both},
		{`name not like "con*"`, two},
		{`identifier in ("contoso","fabrikam")`, both},
		{`identifier not in ("contoso")`, two},
		{`country/name="United Kingdom"`, one},
		{`country/name=null`, two},
		{`deletedFlag=False and (city="Leeds" or city="York")`, two},
		{`city="Leeds" or city="York" and deletedFlag=true`, two},
		{`lastUpdated > [2031-01-31T00:00:00Z]`, two},
		{`_info/lastUpdated >= [2031-02-01]`, two},
		{`lastUpdated < [2031-01-31T00:00:00Z]`, one},
		{`status/id = 201 and id > 0`, none},
		{`lastUpdated > "2031-01-31"`, nil},
		{`lastUpdated > 2031-01-31`, nil},
		{`identifier='contoso'`, nil},
		{`identifier=contoso`, nil},
		{`nickname="x"`, nil},
		{`status="Active"`, nil},
		{`company/id=1`, nil},
		{`id="1"`, nil},
		{`deletedFlag=0`, nil},
		{`id=1 and`, nil},
		{`(id=1`, nil},
		{`id=1 id=2`, nil},
		{`identifier in "contoso"`, nil},
		{`id contains "1"`, nil},
		{`id not = 1`, nil},
	}
	for _, test := range cases {
		t.Run(test.conditions, func(t *testing.T) {
			t.Parallel()
			query := url.Values{"conditions": {test.conditions}}
			if test.want == nil {
				if r := n.ask("GET", "company/companies?"+query.Encode(), ""); r.status != 400 || !strings.Contains(r.body, "ApiFindCondition") {
					t.Errorf("%d %s, want 400 ApiFindCondition", r.status, r.body)
				}
				return
			}
			got, _ := n.find("company/companies", query)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			if count := n.object(n.ask("GET", "company/companies/count?"+query.Encode(), ""))["count"]; count != json.Number(fmt.Sprint(len(test.want))) {
				t.Errorf("count %v, want %d", count, len(test.want))
			}
		})
	}
	t.Run("custom fields", func(t *testing.T) {
		t.Parallel()
		got, _ := n.find("company/companies", url.Values{"customFieldConditions": {`caption="Vendor Tenant Ids" and value="t-9"`}})
		if d := cmp.Diff(two, got); d != "" {
			t.Error(d)
		}
	})
	t.Run("children", func(t *testing.T) {
		t.Parallel()
		for value, want := range map[string][]int{"ada@example.com": {n.contact}, "eve@example.com": {}} {
			got, _ := n.find("company/contacts", url.Values{"childConditions": {`communicationItems/value="` + value + `" and communicationItems/communicationType="Email"`}})
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
	})
}

func TestPaging(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{PageSize: 30})
	for i := range 39 {
		n.AddCompany(Company{Identifier: fmt.Sprint("c", i), Name: fmt.Sprint("C", i)})
	}
	all := n.IDs("company")
	forward := []string{"pagination-type", "forward-only"}
	cases := map[string]struct {
		query  url.Values
		header []string
		want   []int
		next   string // in the Link header
	}{
		"25 unless asked":              {nil, nil, all[:25], "page=2"},
		"silently capped":              {url.Values{"pageSize": {"500"}}, nil, all[:30], "page=2"},
		"second page":                  {url.Values{"pageSize": {"30"}, "page": {"2"}}, nil, all[30:], ""},
		"past the end":                 {url.Values{"page": {"9"}}, nil, []int{}, ""},
		"last first":                   {url.Values{"pageSize": {"2"}, "orderBy": {"id desc"}}, nil, []int{all[39], all[38]}, "orderBy=id+desc"},
		"forward only":                 {url.Values{"pageSize": {"10"}}, forward, all[:10], fmt.Sprint("pageId=", all[9])},
		"forward only, onward":         {url.Values{"pageSize": {"10"}, "pageId": {fmt.Sprint(all[9])}}, forward, all[10:20], fmt.Sprint("pageId=", all[19])},
		"forward only, end":            {url.Values{"pageSize": {"10"}, "pageId": {fmt.Sprint(all[29])}}, forward, all[30:], ""},
		"forward only ignores page":    {url.Values{"pageSize": {"10"}, "page": {"3"}}, forward, all[:10], "pageId="},
		"the link keeps the condition": {url.Values{"pageSize": {"10"}, "conditions": {"id > 0"}}, forward, all[:10], "conditions=id+%3E+0"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, r := n.find("company/companies", test.query, test.header...)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			if link := r.header.Get("Link"); (test.next == "") != (link == "") || !strings.Contains(link, test.next) {
				t.Errorf("Link %q, want %q in it", link, test.next)
			}
		})
	}
	for name, query := range map[string]string{"orderBy with forward only": "orderBy=id", "a page size that is none": "pageSize=many"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := n.ask("GET", "company/companies?"+query, "", forward...); r.status != 400 {
				t.Errorf("%d, want 400", r.status)
			}
		})
	}
	t.Run("an old server ignores forward only", func(t *testing.T) {
		t.Parallel()
		old := newTenant(t, Options{NoForwardOnly: true, PageSize: 1})
		_, r := old.find("procurement/catalog", nil, forward...)
		if link := r.header.Get("Link"); !strings.Contains(link, "page=2") || strings.Contains(link, "pageId") {
			t.Errorf("Link %q, want the second page by number", link)
		}
	})
	t.Run("fields", func(t *testing.T) {
		t.Parallel()
		r := n.ask("GET", "company/companies?pageSize=1&fields=id,name", "")
		if want := fmt.Sprintf(`[{"id":%d,"name":"Contoso"}]`, n.company); r.body != want {
			t.Errorf("%s, want %s: _info stays only when it is asked for", r.body, want)
		}
		if r := n.ask("GET", "company/companies?fields=id,colour", ""); r.status != 400 {
			t.Errorf("an unknown field gives %d, want 400", r.status)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	now := noon
	n := newTenant(t, Options{PerMinute: 2, Now: func() time.Time { return now }})
	for i, want := range []int{200, 200, 429, 429} {
		r := n.ask("GET", "company/companies", "")
		if r.status != want || (want == 429) != (r.header.Get("Retry-After") != "") {
			t.Errorf("request %d: %d with Retry-After %q, want %d", i+1, r.status, r.header.Get("Retry-After"), want)
		}
	}
	now = now.Add(time.Minute)
	if r := n.ask("GET", "company/companies", ""); r.status != 200 {
		t.Errorf("after a minute: %d", r.status)
	}
}

func TestMisbehaviours(t *testing.T) {
	t.Parallel()
	list := Misbehaviours()
	if !slices.IsSortedFunc(list, func(a, b Misbehaviour) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the list is not sorted")
	}
	for _, m := range list {
		if m.Doc == "" {
			t.Errorf("%s is not documented", m.Name)
		}
	}
	n := newTenant(t, Options{})
	for _, wrong := range [][2]string{{"unheard_of", ""}, {"cap_pages", ""}, {"cap_pages", "0"}, {"forbid", "everything"}, {"slow", "long"},
		{"lost_reply", "twice"}, {"switch_codebase", "v2026_2"}, {"round_prices", "99"}, {"empty_dates", "zero"}} {
		if err := n.Misbehave(wrong[0], wrong[1]); err == nil {
			t.Errorf("%s takes %q", wrong[0], wrong[1])
		}
	}
	cases := []struct {
		name, value, method, path, body string
		check                           func(reply) string // what is wrong
	}{
		{"bom", "", "GET", "company/companies", "", says(200, "\ufeff[")},
		{"html_error", "", "GET", "company/companies", "", says(200, "<!DOCTYPE html>")},
		{"html_error", "502", "GET", "company/companies", "", says(502, "<!DOCTYPE html>")},
		{"error_in_200", "", "GET", "company/companies", "", says(200, `"code":"InternalServerError"`)},
		{"reject_keys", "", "GET", "company/companies", "", says(401, "Unauthorized")},
		{"reject_keys", "404", "GET", "company/companies", "", says(404, "NotFound")},
		{"forbid", "contacts", "GET", "company/contacts", "", says(403, "permission")},
		{"forbid", "contacts", "GET", "company/companies", "", says(200, "contoso")},
		{"forbid", "system", "GET", "system/info", "", says(403, "permission")},
		{"empty_list", "", "GET", "company/companies", "", says(200, "[]")},
		{"empty_list", "", "GET", "company/companies/count", "", says(200, `"count":1`)},
		{"empty_list", "count", "GET", "company/companies/count", "", says(200, `"count":0`)},
		{"drop_last_page", "", "GET", "procurement/catalog?pageSize=1", "", says(200, "BP")},
		{"throttle_storm", "1 7", "GET", "company/companies", "", func(r reply) string {
			if r.status != 429 || r.header.Get("Retry-After") != "7" {
				return fmt.Sprint(r.status, " Retry-After ", r.header.Get("Retry-After"))
			}
			return ""
		}},
		{"error_after_commit", "1", "PATCH", "company/companies/{company}", `[{"op":"replace","path":"city","value":"York"}]`, says(500, "Timeout")},
		{"false_200", "1", "PATCH", "company/companies/{company}", `[{"op":"replace","path":"name","value":"Other"}]`, says(200, `"name":"Contoso"`)},
		{"empty_dates", "text", "GET", "finance/agreements", "", says(200, `"endDate":""`)},
		{"empty_dates", "null", "GET", "finance/agreements", "", says(200, `"endDate":null`)},
		{"switch_codebase", "v2026_2/", "GET", "company/companies", "", says(404, "<html>")},
		{"switch_codebase", "v2026_2/", "GET", "/v4_6_release/apis/3.0/company/companies", "", says(404, "<html>")},
		{"switch_codebase", "v2026_2/", "GET", "/v2026_2/apis/3.0/company/companies", "", says(200, "contoso")},
		{"refuse_agreement", "{deal}", "GET", "finance/agreements/{deal}/additions", "", says(403, "permission")},
	}
	for _, test := range cases {
		t.Run(strings.TrimSpace(test.name+" "+test.value), func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, Options{})
			fill := strings.NewReplacer("{company}", fmt.Sprint(n.company), "{deal}", fmt.Sprint(n.deal))
			if err := n.Misbehave(test.name, fill.Replace(test.value)); err != nil {
				t.Fatal(err)
			}
			if wrong := test.check(n.ask(test.method, fill.Replace(test.path), test.body)); wrong != "" {
				t.Error(wrong)
			}
			n.Behave(test.name)
			if strings.HasPrefix(test.name, "switch") {
				return // a tenant does not move back
			}
			if r := n.ask("GET", "company/companies", ""); r.status != 200 || !strings.HasPrefix(r.body, "[{") {
				t.Errorf("afterwards: %d %s", r.status, r.body)
			}
		})
	}
}

func says(status int, text string) func(reply) string {
	return func(r reply) string {
		if r.status != status || !strings.Contains(r.body, text) {
			return fmt.Sprintf("%d %s, want %d and %q", r.status, r.body, status, text)
		}
		return ""
	}
}

func TestLostReplyIsDone(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	account := Start(t, n.Server)
	if err := n.Misbehave("lost_reply", "1"); err != nil {
		t.Fatal(err)
	}
	send := func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "DELETE", account.Settings["site"]+fmt.Sprintf("/v2026_1/apis/3.0/finance/agreements/%d/additions/%d", n.deal, n.line), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("acme+public-key", "private-key")
		r.Header.Set("clientId", n.opts.ClientID)
		r.Header.Set("Accept", "application/json")
		return account.HTTP.Do(r)
	}
	if resp, err := send(); err == nil {
		t.Errorf("got %s, want a dropped connection", resp.Status)
	}
	if n.Record("addition", n.line) != nil || n.Writes() != 1 {
		t.Error("the write was not done")
	}
	last := n.Requests()[len(n.Requests())-1]
	if last.Status != 0 || last.Method != "DELETE" {
		t.Errorf("logged %+v", last)
	}
}

func TestTheLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	n.ask("GET", "company/companies", "")
	if text := fmt.Sprintf("%+v %+v", n.Requests(), n.Dump()); strings.Contains(text, "private-key") || strings.Contains(text, "YWNtZ") {
		t.Error("a key is in the log or the dump")
	}
}
