package connectwisetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill puts the ids of a tenant into a text.
func (n *tenant) fill(s string) string {
	return strings.NewReplacer("{company}", fmt.Sprint(n.company), "{contact}", fmt.Sprint(n.contact), "{product}", fmt.Sprint(n.product),
		"{bundle}", fmt.Sprint(n.bundle), "{deal}", fmt.Sprint(n.deal), "{line}", fmt.Sprint(n.line),
		"{type}", fmt.Sprint(n.IDs("agreementType")[0]), "{subcategory}", fmt.Sprint(n.IDs("subcategory")[0]), "{productType}", fmt.Sprint(n.IDs("productType")[0]),
		"{field}", fmt.Sprint(n.custom["addition"][0].id), "{long}", strings.Repeat("x", 61)).Replace(s)
}

func TestPost(t *testing.T) {
	t.Parallel()
	const additions = "finance/agreements/{deal}/additions"
	cases := map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"company":                        {"company/companies", `{"identifier":"new","name":"New"}`, 201, `"updatedBy":"trueup-api"`},
		"company without a name":         {"company/companies", `{"identifier":"new"}`, 400, `"field":"name"`},
		"company with an empty name":     {"company/companies", `{"identifier":"new","name":""}`, 400, "MissingRequiredField"},
		"company that exists":            {"company/companies", `{"identifier":"CONTOSO","name":"New"}`, 400, "ObjectExists"},
		"identifier of 26":               {"company/companies", `{"identifier":"abcdefghijklmnopqrstuvwxyz","name":"New"}`, 400, "MaxLength"},
		"25 of two bytes each":           {"company/companies", `{"identifier":"äääääääääääääääääääääääää","name":"New"}`, 201, "ä"},
		"unknown member":                 {"company/companies", `{"identifier":"new","name":"New","colour":"red"}`, 400, "colour"},
		"reference to nobody":            {"company/companies", `{"identifier":"new","name":"New","status":{"id":9999}}`, 400, "InvalidReference"},
		"reference without an object":    {"company/companies", `{"identifier":"new","name":"New","status":1}`, 400, "InvalidReference"},
		"reference by identifier":        {"company/companies", `{"identifier":"new","name":"New","country":{"identifier":"DE"}}`, 201, "Germany"},
		"an array":                       {"company/companies", `[]`, 400, "not a JSON object"},
		"no JSON":                        {"company/companies", `{`, 400, "not a JSON object"},
		"agreement":                      {"finance/agreements", `{"name":"New","type":{"id":{type}},"company":{"id":{company}},"contact":{"id":{contact}},"noEndingDateFlag":true}`, 201, `"billingCycle":{"id"`},
		"agreement without a contact":    {"finance/agreements", `{"name":"New","type":{"id":{type}},"company":{"id":{company}},"noEndingDateFlag":true}`, 400, `"field":"contact"`},
		"agreement without any end":      {"finance/agreements", `{"name":"New","type":{"id":{type}},"company":{"id":{company}},"contact":{"id":{contact}}}`, 400, "endDate"},
		"agreement that ends too early":  {"finance/agreements", `{"name":"New","type":{"id":{type}},"company":{"id":{company}},"contact":{"id":{contact}},"startDate":"2031-02-01T00:00:00Z","endDate":"2031-01-31T00:00:00Z"}`, 400, "InvalidDate"},
		"catalog item":                   {"procurement/catalog", `{"identifier":"N","description":"N","customerDescription":"N","subcategory":{"id":{subcategory}},"type":{"id":{productType}}}`, 201, `"productClass":"NonInventory"`},
		"catalog item without a type":    {"procurement/catalog", `{"identifier":"N","description":"N","customerDescription":"N","subcategory":{"id":{subcategory}}}`, 400, `"field":"type"`},
		"catalog item of 61 characters":  {"procurement/catalog", `{"identifier":"{long}","description":"N","customerDescription":"N","subcategory":{"id":{subcategory}},"type":{"id":{productType}}}`, 400, "60"},
		"addition":                       {additions, `{"product":{"id":{product}},"billCustomer":"Billable"}`, 201, `"unitPrice":22.0`},
		"addition by product identifier": {additions, `{"product":{"identifier":"BP"},"billCustomer":"Billable"}`, 201, `"identifier":"BP"`},
		"addition with a price":          {additions, `{"product":{"id":{product}},"billCustomer":"Billable","unitPrice":1.23456}`, 201, `"unitPrice":1.2346`},
		"addition with a custom field":   {additions, `{"product":{"id":{product}},"billCustomer":"Billable","customFields":[{"id":{field},"value":"s-1"}]}`, 201, `"value":"s-1"`},
		"an unknown custom field":        {additions, `{"product":{"id":{product}},"billCustomer":"Billable","customFields":[{"id":1,"value":"s-1"}]}`, 400, "custom field"},
		"a number in a text field":       {additions, `{"product":{"id":{product}},"billCustomer":"Billable","customFields":[{"id":{field},"value":1}]}`, 400, "wrong type"},
		"addition without billCustomer":  {additions, `{"product":{"id":{product}}}`, 400, `"field":"billCustomer"`},
		"an unknown billCustomer":        {additions, `{"product":{"id":{product}},"billCustomer":"Maybe"}`, 400, "Billable, DoNotBill, NoCharge"},
		"addition without product":       {additions, `{"billCustomer":"Billable"}`, 400, `"field":"product"`},
		"a bundle":                       {additions, `{"product":{"id":{bundle}},"billCustomer":"Billable"}`, 400, "Bundle"},
		"a derived field":                {additions, `{"product":{"id":{product}},"billCustomer":"Billable","extPrice":1}`, 400, "ReadOnlyField"},
		"a quantity in quotes":           {additions, `{"product":{"id":{product}},"billCustomer":"Billable","quantity":"5"}`, 400, "must be a number"},
		"a negative quantity":            {additions, `{"product":{"id":{product}},"billCustomer":"Billable","quantity":-5}`, 400, "negative"},
		"a date without a time":          {additions, `{"product":{"id":{product}},"billCustomer":"Billable","effectiveDate":"2031-02-01"}`, 400, "must be a date"},
		"a date with an offset":          {additions, `{"product":{"id":{product}},"billCustomer":"Billable","effectiveDate":"2031-02-01T00:00:00+01:00"}`, 400, "must be a date"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, Options{})
			r := n.ask("POST", n.fill(test.path), n.fill(test.body))
			if r.status != test.status || !strings.Contains(r.body, test.says) {
				t.Errorf("%d %s, want %d and %q", r.status, r.body, test.status, test.says)
			}
			if want := map[bool]int{true: 1}[test.status == 201]; n.Writes() != want {
				t.Errorf("%d writes, want %d", n.Writes(), want)
			}
		})
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body   string
		o      Options
		status int
		want   map[string]any // members afterwards; of a refused PATCH too
	}{
		"quantity":              {`[{"op":"replace","path":"quantity","value":12}]`, Options{}, 200, map[string]any{"quantity": json.Number("12.0"), "billedQuantity": json.Number("10.0"), "extPrice": json.Number("220.0"), "unitPrice": json.Number("22.0")}},
		"a leading slash":       {`[{"op":"replace","path":"/quantity","value":12}]`, Options{}, 200, map[string]any{"quantity": json.Number("12.0")}},
		"remove":                {`[{"op":"remove","path":"invoiceDescription"}]`, Options{}, 200, map[string]any{"invoiceDescription": nil}},
		"the end":               {`[{"op":"add","path":"cancelledDate","value":"2031-03-31T00:00:00Z"}]`, Options{}, 200, map[string]any{"cancelledDate": "2031-03-31T00:00:00Z"}},
		"no end":                {`[{"op":"replace","path":"cancelledDate","value":""}]`, Options{}, 200, map[string]any{"cancelledDate": nil}},
		"another product":       {`[{"op":"replace","path":"unitPrice","value":5},{"op":"replace","path":"product","value":{"id":{bundle}}}]`, Options{}, 400, map[string]any{"unitPrice": json.Number("22.0")}},
		"all or nothing":        {`[{"op":"replace","path":"quantity","value":12},{"op":"replace","path":"colour","value":1}]`, Options{}, 400, map[string]any{"quantity": json.Number("10.0")}},
		"not the case":          {`[{"op":"replace","path":"Quantity","value":12}]`, Options{}, 400, map[string]any{"quantity": json.Number("10.0")}},
		"a derived field":       {`[{"op":"replace","path":"description","value":"x"}]`, Options{}, 400, nil},
		"an object":             {`{"quantity":12}`, Options{}, 400, map[string]any{"quantity": json.Number("10.0")}},
		"an unknown op":         {`[{"op":"Replace","path":"quantity","value":12}]`, Options{}, 400, nil},
		"no path":               {`[{"op":"replace","value":12}]`, Options{}, 400, nil},
		"before the first day":  {`[{"op":"replace","path":"cancelledDate","value":"2030-12-31T00:00:00Z"}]`, Options{}, 400, map[string]any{"cancelledDate": nil}},
		"serial number of 61":   {`[{"op":"replace","path":"serialNumber","value":"{long}"}]`, Options{}, 400, nil},
		"required is removed":   {`[{"op":"remove","path":"product"}]`, Options{}, 400, nil},
		"a sub-path":            {`[{"op":"replace","path":"product/id","value":{bundle}}]`, Options{}, 200, map[string]any{"unitPrice": json.Number("22.0"), "description": "Business Premium"}},
		"a sub-path that works": {`[{"op":"replace","path":"product/id","value":{bundle}}]`, Options{SubPaths: true}, 400, nil},
		"a sub-path of nothing": {`[{"op":"replace","path":"quantity/id","value":1}]`, Options{}, 400, nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newTenant(t, test.o)
			r := n.ask("PATCH", n.fill("finance/agreements/{deal}/additions/{line}"), n.fill(test.body))
			if r.status != test.status {
				t.Errorf("%d %s, want %d", r.status, r.body, test.status)
			}
			shown := n.Record("addition", n.line)
			for member, want := range test.want {
				if d := cmp.Diff(want, shown[member]); d != "" {
					t.Errorf("%s: %s", member, d)
				}
			}
		})
	}
}

func TestASwappedProductSetsThePricesAgain(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	other := n.AddCatalogItem(CatalogItem{Identifier: "E3", Description: "E3", Price: "40", Cost: "30"})
	path := n.fill("finance/agreements/{deal}/additions/{line}")
	n.ask("PATCH", path, `[{"op":"replace","path":"unitPrice","value":20}]`)
	n.ask("PATCH", path, fmt.Sprintf(`[{"op":"replace","path":"unitCost","value":29},{"op":"replace","path":"product","value":{"id":%d}}]`, other))
	shown := n.Record("addition", n.line)
	// The product's price again, but the cost that the same PATCH gave.
	want := []any{json.Number("40.0"), json.Number("29.0"), "E3", "E3"}
	if d := cmp.Diff(want, []any{shown["unitPrice"], shown["unitCost"], shown["description"], shown["invoiceDescription"]}); d != "" {
		t.Error(d)
	}
}

func TestCustomFieldsGoWhole(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	second := n.AddCustomField("addition", "Note", "Text")
	path := n.fill("finance/agreements/{deal}/additions/{line}")
	n.ask("PATCH", path, n.fill(fmt.Sprintf(`[{"op":"replace","path":"customFields","value":[{"id":{field},"value":"s-1"},{"id":%d,"value":"keep"}]}]`, second)))
	if got := n.Record("addition", n.line)["custom.Note"]; got != "keep" {
		t.Fatalf("note %v", got)
	}
	n.ask("PATCH", path, n.fill(`[{"op":"replace","path":"customFields","value":[{"id":{field},"value":"s-2"}]}]`))
	shown := n.Record("addition", n.line)
	if shown["custom.Note"] != nil || shown["custom.Vendor Subscription Id"] != "s-2" {
		t.Errorf("note %v, id %v: what was left out should be empty", shown["custom.Note"], shown["custom.Vendor Subscription Id"])
	}
}

func TestStampsAndAuditTrail(t *testing.T) {
	t.Parallel()
	now := noon
	n := newTenant(t, Options{Now: func() time.Time { return now }})
	stampOf := func(kind string, id int) string {
		info := n.Record(kind, id)["_info"].(map[string]any)
		return fmt.Sprint(info["lastUpdated"], " ", info["updatedBy"])
	}
	now = now.Add(time.Hour)
	if err := n.EditAddition(n.line, "jane", map[string]any{"quantity": 12, "custom.Vendor Subscription Id": "s-1"}); err != nil {
		t.Fatal(err)
	}
	for kind, id := range map[string]int{"addition": n.line, "agreement": n.deal} {
		if got := stampOf(kind, id); got != "2031-02-01T13:00:00Z jane" {
			t.Errorf("%s is stamped %s", kind, got)
		}
	}
	if err := n.Misbehave("stale_agreement_stamp", ""); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	n.ask("PATCH", n.fill("finance/agreements/{deal}/additions/{line}"), `[{"op":"replace","path":"quantity","value":13}]`)
	if got := stampOf("addition", n.line); got != "2031-02-01T14:00:00Z trueup-api" {
		t.Errorf("addition is stamped %s", got)
	}
	if got := stampOf("agreement", n.deal); got != "2031-02-01T13:00:00Z jane" {
		t.Errorf("agreement is stamped %s, want the stale stamp", got)
	}
	r := n.ask("GET", n.fill("system/audittrail?type=AgreementAddition&id={line}"), "", "pagination-type", "forward-only")
	for _, want := range []string{`"text":"quantity changed from 10.0 to 12.0"`, `"enteredBy":"jane"`, `"auditSource":"Client"`, `"text":"quantity changed from 12.0 to 13.0"`, `"auditSource":"API"`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the audit trail has no %s: %s", want, r.body)
		}
	}
	if n.Writes() != 1 {
		t.Errorf("%d writes over the API, want 1", n.Writes())
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	if r := n.ask("DELETE", n.fill("company/companies/{company}"), ""); r.status != 204 || r.body != "" {
		t.Errorf("%d %q, want 204 and nothing", r.status, r.body)
	}
	if n.Record("company", n.company)["deletedFlag"] != true {
		t.Error("a deleted company should stay and say so")
	}
	n.ask("DELETE", n.fill("finance/agreements/{deal}"), "")
	if n.Record("agreement", n.deal) != nil || n.Record("addition", n.line) != nil {
		t.Error("the agreement or its line is still there")
	}
}

func TestAgreementStatus(t *testing.T) {
	t.Parallel()
	n := newTenant(t, Options{})
	for want, a := range map[string]Agreement{
		"Active": {Start: "2031-02-01"}, "Inactive": {Start: "2031-02-02"}, "Expired": {Start: "2030-01-01", End: "2031-01-31"}, "Cancelled": {Start: "2030-01-01", Cancelled: true},
	} {
		a.Name, a.Company = want, n.company
		if got := n.Record("agreement", n.AddAgreement(a))["agreementStatus"]; got != want {
			t.Errorf("%+v is %v, want %s", a, got, want)
		}
	}
}
