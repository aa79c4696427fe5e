package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
)

const goodTests = `version: 1
tests:
  - name: a company
    kind: customer
    native: {id: c1, profile.name: Contoso, website: contoso.example, custom.Vendor Tenants: "b, a", hidden: false, custom.Tax No: 007}
    expect: {name: Contoso, domains: [contoso.example], tenant_ids: [a, b], active: true, tax_id: 007}
    change: {fields: {name: Fabrikam, tenant_ids: [c, a]}, native: {profile.name: Fabrikam, custom.Vendor Tenants: "a,c"}}
  - name: an old ware is left out
    kind: product
    native: {sku: 1, tags: [old, new]}
    skipped: true
  - name: a line with one bad value
    kind: line
    native: {id: 4711, parent: c1, count: 12.50, price: 12.10 GBP, ends: , billing: Sometimes}
    expect: {contract: c1, quantity: 12.5, unit_price: 12.1 GBP, end: ''}
    problems: [bill]
  - name: a new line
    kind: line
    create: {fields: {product: w1, quantity: 5}, native: {ware: w1, count: 5, taxable: true, note: 007, billing: Billable}}
`

func TestRunTests(t *testing.T) {
	t.Parallel()
	var problems diag.List
	passed, failures := mapping.RunTests(load(t, shopFile), "shop.test.yaml", []byte(goodTests), &problems)
	if err := problems.Err(); err != nil || passed != 4 || len(failures) > 0 {
		t.Fatalf("%d passed, failures %v, problems %v", passed, failures, err)
	}
}

func TestRunTestsThatFail(t *testing.T) {
	t.Parallel()
	const top = "version: 1\ntests:\n"
	tests := []struct{ name, source, want string }{
		{"another value", `{name: x, kind: line, native: {parent: c1, count: 3}, expect: {quantity: 4, contract: c1}}`,
			"quantity is 3, expected 4 (both: count, shop.yaml:26:17)"},
		{"nothing delivered", `{name: x, kind: line, native: {count: 3, ends: ''}, expect: {end: 2031-02-28, less_included: 1, changed_by: me}}`, `
changed_by is not delivered, expected "me" (the mapping does not have this field)
end is "", expected 2031-02-28 (from: ends, shop.yaml:30:12)
less_included is not delivered, expected 1 (from: included, as: default(0), shop.yaml:27:22)`},
		{"read instead of skipped", `{name: x, kind: product, native: {sku: 1, tags: []}, skipped: true}`, "the record was read, but should be skipped"},
		{"skipped instead of read", `{name: x, kind: product, native: {sku: 1, tags: [old]}, expect: {sku: 1}}`, "the record was skipped, but should be read"},
		{"a problem nobody expected", `{name: x, kind: line, native: {id: 7, billing: Never}, expect: {}, problems: [quantity]}`, `
shop.yaml:32:13: line 7: field bill: "Never" has no word in the mapping; add it to words
quantity is not delivered, but should be refused`},
		{"change", `{name: x, kind: line, change: {fields: {quantity: 3, unit_price: 1 EUR}, native: {count: 4, note: a}}}`, `
change writes count 3, expected 4
change writes note not delivered, expected "a"
change writes price 1 EUR, which is not expected`},
		{"change of what is read only", `{name: x, kind: line, change: {fields: {end: 2031-02-28}, native: {}}}`,
			"write line.end in shop: shop.yaml:30:12 only reads it (from: ends); write {both: ...} there if the system takes it"},
		{"create", `{name: x, kind: line, create: {fields: {quantity: 3}, native: {count: 3}}}`,
			"create line in shop: the system requires ware; it comes from the model field product (shop.yaml:34:13), which has no value"},
	}
	m := load(t, shopFile)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var problems diag.List
			passed, failures := mapping.RunTests(m, "t.yaml", []byte(top+"  - "+test.source+"\n"), &problems)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			if passed != 0 || len(failures) != 1 {
				t.Fatalf("%d passed, failures %v", passed, failures)
			}
			if diff := cmp.Diff(strings.TrimSpace(test.want), failures[0].Message); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got, want := failures[0].String(), "t.yaml:3:5: x: "; !strings.HasPrefix(got, want) {
				t.Errorf("%q does not begin with %q", got, want)
			}
		})
	}
}

// TestRoundTrip: a text that reads as a quantity but is not spelled like one would be rewritten by a change of nothing.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	m := load(t, head+"  line:\n    from: row\n    fields:\n      quantity: {both: custom.Seats}\n      bill: {both: billing}\n")
	source := "version: 1\ntests:\n  - {name: x, kind: line, native: {custom.Seats: 007}, expect: {quantity: 7}}\n  - {name: y, kind: line, native: {custom.Seats: 7}, expect: {quantity: 7}}\n"
	var problems diag.List
	passed, failures := mapping.RunTests(m, "t.yaml", []byte(source), &problems)
	if passed != 1 || len(failures) != 1 || !problems.Empty() {
		t.Fatalf("%d passed, failures %v", passed, failures)
	}
	want := `writing quantity back changes custom.Seats from "007" to "7" (both: custom.Seats, shop.yaml:7:17)`
	if failures[0].Message != want {
		t.Errorf("got  %s\nwant %s", failures[0].Message, want)
	}
}

func TestTestFilesAreReadStrictly(t *testing.T) {
	t.Parallel()
	const source = `version: 1
tests:
  - {name: a, kind: lines, native: {count: 3}}
  - {name: b, kind: line, native: {cuont: 3}, expect: {quantiy: 3}}
  - {name: c, kind: line, native: {count: three}, expect: {quantity: 3, end: tomorrow}}
  - {name: d, kind: line, skipped: true}
  - {name: d, kind: line, native: {count: 3}}
  - {name: e, kind: line, native: {count: 3}, skipped: yes, expect: {quantity: 3}}
  - {name: f, kind: line, native: {count: 3}, skipped: true, expect: {quantity: 3}}
  - {name: g, kind: line, change: {fields: {quantity: 3}}, expected: {quantity: 3}}
  - {kind: line, native: {count: 3}, expect: {quantity: 3}}
`
	want := `
t.yaml:3:21: the mapping has no "lines" (did you mean "line"?)
t.yaml:4:36: unknown field "cuont" of row (did you mean "count"?)
t.yaml:4:56: unknown field "quantiy" of line (did you mean "quantity"?)
t.yaml:5:43: count is quantity: "three" is not a quantity
t.yaml:5:78: end is day: "tomorrow" is not a day like 2031-02-28
t.yaml:6:5: the test does nothing (add native, change or create)
t.yaml:7:5: the test expects nothing (add expect)
t.yaml:7:5: a test called "d" stands in line 6 already (give it another name)
t.yaml:8:56: "yes" is not true or false (write true or false)
t.yaml:9:5: a skipped record has no fields to expect (remove expect or skipped)
t.yaml:10:35: "native" is missing (add it)
t.yaml:10:60: unknown key "expected" (did you mean "expect"?)
t.yaml:11:5: "name" is missing (add it)`
	var problems diag.List
	passed, failures := mapping.RunTests(load(t, shopFile), "t.yaml", []byte(source), &problems)
	if passed != 0 || failures != nil {
		t.Errorf("%d passed, failures %v", passed, failures)
	}
	var got []string
	for _, p := range problems.Problems() {
		got = append(got, p.String())
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.Join(got, "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
