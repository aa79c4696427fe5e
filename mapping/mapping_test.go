package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// shop is a small system with a field of every type and every right.
var shop = connectors.Descriptor{
	System: "shop",
	Title:  "A shop",
	Kinds: []connectors.Kind{
		{Name: "client", Custom: "custom.", Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityChange}, Fields: []connectors.Field{
			{Name: "profile.name", Type: model.TypeText, Writable: true},
			{Name: "profile.country", Type: model.TypeText},
			{Name: "profile.address.city", Type: model.TypeText},
			{Name: "aliases", Type: model.TypeList},
			{Name: "website", Type: model.TypeText, Writable: true},
			{Name: "hidden", Type: model.TypeBool, Writable: true},
		}},
		{Name: "ware", Abilities: []connectors.Ability{connectors.AbilityList}, Fields: []connectors.Field{
			{Name: "sku", Type: model.TypeText},
			{Name: "term", Type: model.TypeText},
			{Name: "cycle", Type: model.TypeText},
			{Name: "yearly", Type: model.TypeMoney},
			{Name: "monthly", Type: model.TypeMoney},
			{Name: "stock", Type: model.TypeQuantity},
			{Name: "tags", Type: model.TypeList},
		}},
		{Name: "row", Parent: "client", Custom: "custom.",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityCreate, connectors.AbilityChange}, Fields: []connectors.Field{
				{Name: "ware", Type: model.TypeText, Create: true, Required: true},
				{Name: "count", Type: model.TypeQuantity, Writable: true, Required: true, Costs: true},
				{Name: "included", Type: model.TypeQuantity},
				{Name: "price", Type: model.TypeMoney, Writable: true},
				{Name: "cost", Type: model.TypeMoney},
				{Name: "billing", Type: model.TypeText, Writable: true, Allowed: []string{"Billable", "NoCharge", "DoNotBill"}},
				{Name: "begins", Type: model.TypeDay, Create: true},
				{Name: "ends", Type: model.TypeDay},
				{Name: "bought", Type: model.TypeInstant},
				{Name: "state", Type: model.TypeText},
				{Name: "note", Type: model.TypeText, Writable: true, MaxLen: 10},
				{Name: "taxable", Type: model.TypeBool, Writable: true},
			}},
	},
}

const shopFile = `version: 1
system: shop
records:
  customer:
    from: client
    fields:
      name: {both: profile.name}
      country: {from: profile.country, as: [trim, upper]}
      domains: {from: website, as: host}
      tenant_ids: {both: custom.Vendor Tenants, as: split}
      tax_id: {value: 'field("custom.Tax No") + ""'}
      active: {both: hidden, as: not}
  product:
    from: ware
    where: 'sku != "" and not any(tags, # == "old")'
    fields:
      key: {value: 'product_key(sku, term, cycle)'}
      sku: sku
      unit_cost: {value: 'round(yearly / 12, 2)'}
      list_price: {value: yearly * 0.1 + monthly}
  line:
    from: row
    fields:
      contract: parent
      subscription: {both: custom.Subscription, as: prefix(ms-)}
      quantity: {both: count}
      less_included: {from: included, as: default(0)}
      unit_price: {both: price}
      start: {from: bought, as: day}
      end: ends
      description: note
      bill: {both: billing, words: {billable: Billable, no_charge: NoCharge, do_not_bill: DoNotBill}}
    create:
      ware: {field: product}
      begins: {field: start}
      taxable: true
      note: "007"
      billing: Billable
      custom.Short: {field: description, cut: 4}
  subscription:
    from: row
    where: count > 0
    fields:
      customer: parent
      quantity: {value: count - included}
      status: {from: state, words: {active: [on, ON], ended: off}}
      created: bought
`

func load(t testing.TB, source string) *mapping.Mapping {
	t.Helper()
	var problems diag.List
	m := mapping.Load("shop.yaml", []byte(source), shop, &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func money(s string) model.Value { return must(model.Parse(model.TypeMoney, s)) }
func count(s string) model.Value { return must(model.Parse(model.TypeQuantity, s)) }
func day(s string) model.Value   { return must(model.Parse(model.TypeDay, s)) }
func truth(b bool) model.Value   { return model.Bool(b) }
func fields(r model.Record) map[string]string {
	out := map[string]string{}
	for name, v := range r.Fields {
		out[name] = string(v.Type()) + " " + v.String()
	}
	return out
}

func TestToModel(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	bought := model.Instant(time.Date(2031, 1, 31, 23, 30, 0, 0, time.FixedZone("", -3600)))
	tests := []struct {
		name     string
		kind     model.Kind
		rec      connectors.Record
		want     map[string]string
		skipped  bool
		problems []string
	}{
		{
			name: "plain fields, converters and expressions", kind: model.KindCustomer,
			rec: connectors.Record{Kind: "client", ID: "c1", Fields: model.Fields{
				"profile.name": model.Text("Contoso"), "profile.country": model.Text(" gb "), "website": model.Text("https://www.Contoso.example/shop?x=1"),
				"custom.Vendor Tenants": model.Text("t2, t1"), "custom.Tax No": model.Text("007"), "hidden": truth(false),
			}},
			want: map[string]string{"name": "text Contoso", "country": "text GB", "domains": "list contoso.example", "tenant_ids": "list t1\nt2",
				"tax_id": "text 007", "active": "bool true"},
		},
		{
			name: "not delivered stays undelivered, empty stays empty", kind: model.KindCustomer,
			rec:  connectors.Record{Kind: "client", ID: "c1", Fields: model.Fields{"website": model.Text(""), "hidden": model.Empty(model.TypeBool)}},
			want: map[string]string{"domains": "list ", "active": "bool "},
		},
		{
			name: "an e-mail address has a host too", kind: model.KindCustomer,
			rec:  connectors.Record{Kind: "client", ID: "c1", Fields: model.Fields{"website": model.Text("Info@Fabrikam.example")}},
			want: map[string]string{"domains": "list fabrikam.example"},
		},
		{
			name: "money is exact", kind: model.KindProduct,
			rec: connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"sku": model.Text("0042"), "term": model.Text("P1Y"), "cycle": model.Text("annual"),
				"yearly": money("100.10 GBP"), "monthly": money("0.2 GBP"), "tags": model.List()}},
			want: map[string]string{"key": "text 0042 P1Y annual", "sku": "text 0042", "unit_cost": "money 8.34 GBP", "list_price": "money 10.21 GBP"},
		},
		{
			name: "computing with nothing gives nothing", kind: model.KindProduct,
			rec: connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"sku": model.Text("1"), "yearly": model.Empty(model.TypeMoney),
				"monthly": money("0.2 GBP"), "tags": model.List("new")}},
			want: map[string]string{"sku": "text 1", "unit_cost": "money ", "list_price": "money "},
		},
		{
			name: "two currencies do not mix; the other fields still come", kind: model.KindProduct,
			rec: connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"sku": model.Text("1"), "yearly": money("12 GBP"),
				"monthly": money("0.2 EUR"), "tags": model.List()}},
			want:     map[string]string{"sku": "text 1", "unit_cost": "money 1 GBP"},
			problems: []string{"shop.yaml:20:19: product w: field list_price: the expression fails: cannot combine GBP with EUR: no exchange rate was declared"},
		},
		{
			name: "where says no", kind: model.KindProduct, skipped: true,
			rec: connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"sku": model.Text("1"), "tags": model.List("old")}},
		},
		{
			name: "where cannot be decided", kind: model.KindProduct, skipped: true,
			rec:      connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"sku": model.Text("1")}},
			problems: []string{"shop.yaml:15:12: product w: where: tags was not delivered, so the condition cannot be decided"},
		},
		{
			name: "another native kind", kind: model.KindProduct, skipped: true,
			rec: connectors.Record{Kind: "row", ID: "r"},
		},
		{
			name: "parent, day in UTC, default, words", kind: model.KindLine,
			rec: connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"custom.Subscription": model.Text("ms-a7"), "count": count("12.50"),
				"included": model.Empty(model.TypeQuantity), "price": money("12.10 GBP"), "bought": bought, "ends": day(""), "billing": model.Text("NoCharge")}},
			want: map[string]string{"contract": "text c1", "subscription": "text a7", "quantity": "quantity 12.5", "less_included": "quantity 0",
				"unit_price": "money 12.1 GBP", "start": "day 2031-02-01", "end": "day ", "bill": "text no_charge"},
		},
		{
			name: "bad values are problems of their field", kind: model.KindLine,
			rec: connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"custom.Subscription": model.Text("a7"),
				"count": model.Text("3"), "billing": model.Text("Sometimes"), "ends": day("2031-02-28")}},
			want: map[string]string{"contract": "text c1", "end": "day 2031-02-28"},
			problems: []string{
				`shop.yaml:25:21: line r: field subscription: "a7" does not begin with "ms-" and go on`,
				`shop.yaml:26:17: line r: field quantity: the connector delivered count as text, but declares it as quantity`,
				`shop.yaml:32:13: line r: field bill: "Sometimes" has no word in the mapping; add it to words`,
			},
		},
		{
			name: "one native kind feeds two nouns; a new status is unknown", kind: model.KindSubscription,
			rec: connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"count": count("10"), "included": count("3"),
				"state": model.Text("paused"), "bought": bought}},
			want: map[string]string{"customer": "text c1", "quantity": "quantity 7", "status": "text unknown", "created": "instant 2031-02-01T00:30:00Z"},
		},
		{
			name: "several words mean one", kind: model.KindSubscription,
			rec:  connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"count": count("1"), "state": model.Text("ON")}},
			want: map[string]string{"customer": "text c1", "status": "text active"},
		},
		{
			name: "nothing is not more than zero", kind: model.KindSubscription, skipped: true,
			rec: connectors.Record{Kind: "row", ID: "r", Fields: model.Fields{"count": model.Empty(model.TypeQuantity)}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rec, accepted, problems := m.ToModel(test.kind, test.rec)
			if accepted == test.skipped {
				t.Fatalf("accepted = %v", accepted)
			}
			var messages []string
			for _, p := range problems {
				messages = append(messages, p.String())
			}
			if diff := cmp.Diff(test.problems, messages); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if test.skipped {
				return
			}
			if diff := cmp.Diff(test.want, fields(rec)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if rec.ID != test.rec.ID || rec.Kind != test.kind {
				t.Errorf("got %s %s", rec.Kind, rec.ID)
			}
		})
	}
}

func TestToNative(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	tests := []struct {
		name   string
		kind   model.Kind
		fields model.Fields
		want   model.Fields
		err    string
	}{
		{"two-way fields", model.KindLine,
			model.Fields{"quantity": count("14"), "bill": model.Text("do_not_bill"), "subscription": model.Text("a7"), "unit_price": money("1.5 GBP")},
			model.Fields{"count": count("14"), "billing": model.Text("DoNotBill"), "custom.Subscription": model.Text("ms-a7"), "price": money("1.5 GBP")}, ""},
		{"lists are joined, not is turned", model.KindCustomer,
			model.Fields{"tenant_ids": model.List("b", "a"), "active": truth(true)},
			model.Fields{"custom.Vendor Tenants": model.Text("a,b"), "hidden": truth(false)}, ""},
		{"emptying", model.KindCustomer, model.Fields{"tenant_ids": model.List()}, model.Fields{"custom.Vendor Tenants": model.Text("")}, ""},
		{"read only", model.KindLine, model.Fields{"end": day("2031-02-28")}, nil,
			"write line.end in shop: shop.yaml:30:12 only reads it (from: ends); write {both: ...} there if the system takes it"},
		{"an expression", model.KindSubscription, model.Fields{"quantity": count("1")}, nil,
			"write subscription.quantity in shop: shop.yaml:45:17 only reads it (value: count - included); write {both: ...} there if the system takes it"},
		{"not mapped", model.KindLine, model.Fields{"changed_by": model.Text("x")}, nil,
			"write line.changed_by in shop: shop.yaml:21:3 does not map it; add it there as {both: ...}"},
		{"noun not mapped", model.KindTicket, model.Fields{}, nil, "write ticket in shop: the mapping has no ticket"},
		{"wrong type", model.KindLine, model.Fields{"quantity": model.Text("3")}, nil,
			`write line.quantity in shop (shop.yaml:26:17): "3" is text, but the field is quantity`},
		{"word without a native word", model.KindLine, model.Fields{"bill": model.Text("later")}, nil,
			`write line.bill in shop (shop.yaml:32:13): "later" has no word in the mapping; add it to words`},
		{"an entry with the separator in it", model.KindCustomer, model.Fields{"tenant_ids": model.List("a,b")}, nil,
			`write customer.tenant_ids in shop (shop.yaml:10:19): "a,b" contains the separator ","`},
		{"no value", model.KindLine, model.Fields{"quantity": {}}, nil, "write line.quantity in shop: there is no value to write"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := m.ToNative(test.kind, test.fields)
			checkFields(t, got, test.want, err, test.err)
		})
	}
}

func TestNativeCreate(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	full := model.Fields{"product": model.Text("w1"), "quantity": count("5"), "start": day("2031-02-01"), "unit_price": model.Empty(model.TypeMoney),
		"end": day("2031-02-28"), "contract": model.Text("c1")}
	with := func(field string, v model.Value) model.Fields {
		f := full.Clone()
		f[field] = v
		return f
	}
	without := func(field string) model.Fields {
		f := full.Clone()
		delete(f, field)
		return f
	}
	tests := []struct {
		name   string
		kind   model.Kind
		fields model.Fields
		want   model.Fields
		err    string
	}{
		{"two-way fields and the create section", model.KindLine, full,
			model.Fields{"ware": model.Text("w1"), "count": count("5"), "begins": day("2031-02-01"), "taxable": truth(true), "note": model.Text("007"),
				"billing": model.Text("Billable")}, ""},
		{"a two-way field goes before the constant", model.KindLine, with("bill", model.Text("no_charge")),
			model.Fields{"ware": model.Text("w1"), "count": count("5"), "begins": day("2031-02-01"), "taxable": truth(true), "note": model.Text("007"),
				"billing": model.Text("NoCharge")}, ""},
		{"a text is cut where the system ends", model.KindLine, with("description", model.Text("äöü long")),
			model.Fields{"ware": model.Text("w1"), "count": count("5"), "begins": day("2031-02-01"), "taxable": truth(true), "note": model.Text("007"),
				"billing": model.Text("Billable"), "custom.Short": model.Text("äöü")}, ""},
		{"a required field of the create section", model.KindLine, without("product"), nil,
			"create line in shop: the system requires ware; it comes from the model field product (shop.yaml:34:13), which has no value"},
		{"a required two-way field", model.KindLine, without("quantity"), nil,
			"create line in shop: the system requires count; it comes from the model field quantity (shop.yaml:26:17), which has no value"},
		{"no create section", model.KindSubscription, full, nil,
			"create subscription in shop: the mapping does not say how; add a create section to shop.yaml:40:3"},
		{"noun not mapped", model.KindTicket, full, nil, "create ticket in shop: the mapping has no ticket"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := m.NativeCreate(test.kind, test.fields)
			checkFields(t, got, test.want, err, test.err)
		})
	}
}

func checkFields(t *testing.T, got, want model.Fields, err error, message string) {
	t.Helper()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != message {
		t.Errorf("error:\n got %s\nwant %s", text, message)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b model.Value) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLookups(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	native, _ := m.NativeKind(model.KindLine)
	_, mapped := m.NativeKind(model.KindQuote)
	got := map[string]any{
		"system": m.System(), "kinds": m.Kinds(), "native": native, "mapped": mapped, "from row": m.ModelKinds("row"), "from nothing": m.ModelKinds("x"),
		"fields":            m.Fields(model.KindProduct),
		"writable":          []bool{m.Writable(model.KindLine, "quantity"), m.Writable(model.KindLine, "end"), m.Writable(model.KindQuote, "name")},
		"native fields":     []string{m.NativeField(model.KindLine, "quantity"), m.NativeField(model.KindProduct, "key"), m.NativeField(model.KindLine, "product")},
		"origin":            m.Origin(model.KindProduct, "key"),
		"origin with words": m.Origin(model.KindSubscription, "status").Rule,
		"origin with as":    m.Origin(model.KindCustomer, "country").Rule,
	}
	want := map[string]any{
		"system": "shop", "kinds": []model.Kind{"customer", "product", "subscription", "line"}, "native": "row", "mapped": false,
		"from row": []model.Kind{"subscription", "line"}, "from nothing": []model.Kind(nil),
		"fields":            []string{"key", "sku", "unit_cost", "list_price"},
		"writable":          []bool{true, false, false},
		"native fields":     []string{"count", "", ""},
		"origin":            mapping.Origin{Pos: diag.Pos{File: "shop.yaml", Line: 17, Column: 12}, Rule: "value: product_key(sku, term, cycle)", Native: "cycle, sku, term"},
		"origin with words": "from: state, words: {active: ON, active: on, ended: off}",
		"origin with as":    "from: profile.country, as: trim, as: upper",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := mapping.SystemOf([]byte(shopFile)); got != "shop" {
		t.Errorf("SystemOf = %q", got)
	}
	if got := mapping.SystemOf([]byte("- list")); got != "" {
		t.Errorf("SystemOf a list = %q", got)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	lines := m.Preview(model.KindLine, connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"count": count("3"), "billing": model.Text("Never")}})
	var got []string
	for _, l := range lines {
		parts := []string{l.Field, l.Value.String(), l.Origin.Pos.String()}
		for _, n := range l.Native {
			parts = append(parts, n.Field+"="+n.Value.String())
		}
		got = append(got, strings.Join(append(parts, l.Problem), "|"))
	}
	want := []string{
		"contract|c1|shop.yaml:24:17|parent=c1|",
		"subscription||shop.yaml:25:21|custom.Subscription=|",
		"quantity|3|shop.yaml:26:17|count=3|",
		"less_included||shop.yaml:27:22|included=|",
		"unit_price||shop.yaml:28:19|price=|",
		"start||shop.yaml:29:14|bought=|",
		"end||shop.yaml:30:12|ends=|",
		"description||shop.yaml:31:20|note=|",
		`bill||shop.yaml:32:13|billing=Never|"Never" has no word in the mapping; add it to words`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	product := m.Preview(model.KindProduct, connectors.Record{Kind: "ware", Fields: model.Fields{"sku": model.Text("7")}})
	if diff := cmp.Diff([]mapping.NativeValue{{Field: "cycle"}, {Field: "sku", Value: model.Text("7")}, {Field: "term"}}, product[0].Native,
		cmp.Comparer(func(a, b model.Value) bool { return a == b })); diff != "" {
		t.Errorf("an expression shows all it looks at (-want +got):\n%s", diff)
	}
	if m.Preview(model.KindQuote, connectors.Record{}) != nil {
		t.Error("a noun that is not mapped has a preview")
	}
}

func TestAsWritten(t *testing.T) {
	t.Parallel()
	m := load(t, shopFile)
	upper := func(native string, v model.Value) model.Value {
		return model.Text(strings.ToUpper(v.String()) + native[:1])
	}
	tests := []struct {
		name  string
		field string
		v     model.Value
		want  model.Value
	}{
		{"altered by the system", "subscription", model.Text("a7"), model.Text("a7")}, // the prefix is gone, so it cannot be read back
		{"plain", "quantity", count("5"), model.Text("5c")},
		{"read only", "description", model.Text("x"), model.Text("x")},
		{"does not fit", "quantity", model.Text("x"), model.Text("x")},
		{"nothing", "quantity", model.Value{}, model.Value{}},
	}
	for _, test := range tests {
		if got := m.AsWritten(model.KindLine, test.field, test.v, upper); got != test.want {
			t.Errorf("%s: %s = %q, want %q", test.name, test.field, got, test.want)
		}
	}
}

// TestSmallMappings are cases that need a mapping of their own: one field, one client.
func TestSmallMappings(t *testing.T) {
	t.Parallel()
	client := connectors.Record{Kind: "client", ID: "c1", Fields: model.Fields{"profile.name": model.Text(" Contoso "), "profile.country": model.Text("GB"),
		"profile.address.city": model.Text("Leeds"), "aliases": model.List("WWW.One.example", "two.example"), "custom.Term": model.Text("P5Y"),
		"custom.Seats": model.Text("007"), "custom.Day": model.Text("soon"), "website": model.Text("http://[broken"), "hidden": truth(true)}}
	tests := []struct{ noun, rule, want string }{
		{"customer", "name: {value: 'trim(profile.name) + \", \" + profile.address.city + \", \" + profile.country'}", "text Contoso, Leeds, GB"},
		{"customer", "domains: {from: aliases, as: [lower, host]}", "list one.example\ntwo.example"},
		{"customer", "domains: {from: website, as: host}", "list "},
		{"customer", "domains: profile.country", "list GB"},
		{"customer", "name: {from: hidden, words: {shown: false, secret: true}}", "text secret"},
		{"customer", "name: hidden", "text true"},
		{"customer", "active: {value: 'profile.name startsWith \" C\" and hidden'}", "bool true"},
		{"line", "quantity: custom.Seats", "quantity 7"},
		{"line", "quantity: {value: 'number(field(\"custom.Seats\")) * -0.5'}", "quantity -3.5"},
		{"line", "quantity: {value: '(hidden ? -1 : 1) * -number(field(\"custom.Seats\")) + (hidden ? 0.5 : 1)'}", "quantity 7.5"},
		{"line", "start: custom.Day", `"soon" is not a day like 2031-02-28`},
		{"product", "term: custom.Term", `"P5Y" is not one of the words of term (P1M, P1Y, P3Y)`},
		{"subscription", "status: custom.Term", "text unknown"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			t.Parallel()
			m := load(t, head+"  "+test.noun+":\n    from: client\n    fields:\n      "+test.rule+"\n")
			rec, _, problems := m.ToModel(model.Kind(test.noun), client)
			field, _, _ := strings.Cut(test.rule, ":")
			got := fields(rec)[field]
			if len(problems) > 0 {
				got = problems[0].Message
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
