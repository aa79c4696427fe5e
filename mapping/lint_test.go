package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// head is what stands above the part a lint test is about; that part begins in line 4.
const head = "version: 1\nsystem: shop\nrecords:\n"

func TestLint(t *testing.T) {
	t.Parallel()
	line := func(s string) string { return head + "  line:\n    from: row\n    fields:\n      " + s + "\n" }
	product := func(s string) string { return head + "  product:\n    from: ware\n    fields:\n      " + s + "\n" }
	tests := []struct{ name, source, want string }{
		{"nothing at all", "", "m.yaml: the file is empty (see the examples in configs)"},
		{"everything missing", "{}", `
m.yaml:1:1: "version" is missing (add it)
m.yaml:1:1: "system" is missing (add it)
m.yaml:1:1: "records" is missing (add it)`},
		{"other version and system", "version: 2\nsystem: shoop\nrecords: {}\nextra: 1", `
m.yaml:1:10: "2" is not allowed here (did you mean "1"?)
m.yaml:2:9: "shoop" is not allowed here (did you mean "shop"?)
m.yaml:4:1: unknown key "extra" (known: records, system, version)`},
		{"unknown noun and native kind", head + "  lin:\n    from: rows\n    fields: {}", `
m.yaml:4:3: unknown noun "lin" (did you mean "line"?)
m.yaml:5:11: shop has no records called "rows" (did you mean "row"?)`},
		{"nouns that are not maps", head + "  line: row", `m.yaml:4:9: expected a map of keys and values, found the text "row"`},
		{"unknown fields on both sides", line("quantiy: count\n      quantity: {both: cuont}\n      description: kustom.x"), `
m.yaml:7:7: unknown field "quantiy" of line (did you mean "quantity"?)
m.yaml:8:24: unknown field "cuont" of row (did you mean "count"?)
m.yaml:9:20: unknown field "kustom.x" of row (known: begins, billing, bought, cost, count, ends, id, included, note, parent, price, state, taxable, ware)`},
		{"an expression where a field belongs", line("description: note + state"),
			`m.yaml:7:20: unknown field "note + state" of row (write {value: '...'} for an expression)`},
		{"a field twice", line("quantity: count\n      quantity: included"),
			`m.yaml:8:7: key "quantity" is written twice; the first is in line 7 (remove one of them)`},
		{"two sources", line("quantity: {from: count, both: count}"),
			`m.yaml:7:17: a field needs exactly one of from (read only), both (read and written) and value (an expression)`},
		{"no source, unknown key", line("quantity: {as: not, form: count}"), `
m.yaml:7:17: a field needs exactly one of from (read only), both (read and written) and value (an expression)
m.yaml:7:27: unknown key "form" (did you mean "from"?)`},
		{"a list for a source", line("quantity: [count]"), `m.yaml:7:17: expected a native field or an expression`},
		{"types that do not fit", line("quantity: price\n      start: bought\n      unit_price: count"), `
m.yaml:7:17: quantity is quantity, but from: price gives money
m.yaml:8:14: start is day, but from: bought gives instant (add as: day)
m.yaml:9:19: unit_price is money, but from: count gives quantity`},
		{"two-way on what cannot be written", line("end: {both: ends}\n      start: {both: begins}\n      contract: {both: parent}"), `
m.yaml:7:19: ends of row cannot be changed, so it cannot be two-way (write from instead of both)
m.yaml:8:21: begins of row cannot be changed, so it cannot be two-way (write from here, and send it in the create section)
m.yaml:9:24: parent of row cannot be changed, so it cannot be two-way (write from instead of both)`},
		{"two-way through a one-way converter", line("description: {both: note, as: [prefix(x), lower]}"),
			`m.yaml:7:49: the converter lower runs one way only, so it cannot stand in a two-way field (write from instead of both, or use one of split, prefix, not, words)`},
		{"two-way from a text to a list", head + "  customer:\n    from: client\n    fields:\n      domains: {both: website}",
			`m.yaml:7:16: domains is list and website is text: that converts one way only (add as: split)`},
		{"converters that do not exist or fit", line("description: {from: note, as: uper}\n      bill: {both: billing, as: 'words(a=b)'}\n      quantity: {from: count, as: lower}\n      subscription: {from: note, as: prefix}\n      end: {from: ends, as: 'default(soon)'}\n      start: {from: begins, as: ''}\n      product: {from: ware, as: lower(x)}\n      unit_price: {from: price, as: [[x]]}"), `
m.yaml:7:37: unknown converter "uper" (did you mean "upper"?)
m.yaml:8:33: words is not a converter (write them beside as:, like words: {billable: Billable, no_charge: NoCharge})
m.yaml:9:35: the converter lower cannot take quantity (it takes text or list)
m.yaml:10:38: the converter prefix needs its text in brackets (write prefix(text))
m.yaml:11:29: "soon" is not a day like 2031-02-28
m.yaml:12:33: "" is not a converter (write a converter like lower or split(";"))
m.yaml:13:33: the converter lower takes nothing in brackets (write lower)
m.yaml:14:38: expected the name of a converter (write as: lower, or as: [trim, lower])`},
		{"words", line("bill: {both: billing, words: {bilable: Billable, no_charge: [NoCharge, DoNotBill], do_not_bill: Never}}"), `
m.yaml:7:37: "bilable" is not one of the words of bill (did you mean "billable"?)
m.yaml:7:67: a two-way field needs exactly one native word for each of its words (write one word, or from instead of both)
m.yaml:7:103: billing never holds "Never" (known: Billable, DoNotBill, NoCharge)`},
		{"a word with two meanings, no words, words of money", line("bill: {from: billing, words: {billable: Billable, no_charge: Billable}}\n      description: {from: note, words: {}}\n      unit_cost: {from: price, words: {a: b}}"), `
m.yaml:7:68: "Billable" already means billable (remove one of them)
m.yaml:8:40: no words are given (write words: {billable: Billable})
m.yaml:9:39: words cannot translate money`},
		{"one native field written twice", line("quantity: {both: count}\n      less_included: {both: count}\n    create: {count: {field: quantity}, ware: x}"), `
m.yaml:8:29: count is written by quantity already (make one of them read only)
m.yaml:9:14: count is written by quantity already (make one of them read only)`},
		{"creation", line("end: ends\n    create:\n      begins: 2031-02-30\n      billing: Bilable\n      note: far too long a note\n      taxable: ''\n      price: {field: quantity}\n      cost: 1 GBP\n      nowhere: 1\n      custom.X: {feld: start}"), `
m.yaml:9:7: shop requires ware in a new row (add ware: here)
m.yaml:9:7: shop requires count in a new row (add count: here)
m.yaml:9:15: begins is day: "2031-02-30" is not a day like 2031-02-28
m.yaml:10:16: billing does not take "Bilable" (did you mean "Billable"?)
m.yaml:11:13: note takes at most 10 characters (shorten it)
m.yaml:12:16: taxable is given nothing (remove the line, or give a value)
m.yaml:13:22: price is money, but the model field quantity is quantity
m.yaml:14:7: cost of row cannot be written
m.yaml:15:7: unknown field "nowhere" of row (known: begins, billing, bought, cost, count, ends, id, included, note, parent, price, state, taxable, ware)
m.yaml:16:17: "field" is missing (add it)
m.yaml:16:18: unknown key "feld" (did you mean "field"?)`},
		{"creation from an unknown model field", line("quantity: {both: count}\n    create:\n      ware: {field: produkt}"),
			`m.yaml:9:21: unknown field "produkt" of line (did you mean "product"?)`},
		{"cutting", line("quantity: {both: count}\n    create:\n      ware: {field: product, cut: 0}\n      begins: {field: start, cut: 3}"), `
m.yaml:9:35: only a text can be cut, and to 1 letter or more (write how many letters the system takes, as in cut: 60)
m.yaml:10:35: only a text can be cut, and to 1 letter or more (write how many letters the system takes, as in cut: 60)`},
		{"creation where there is none", product("sku: sku\n    create: {sku: x}"),
			"m.yaml:8:13: trueup cannot create ware in shop (remove the section)"},
		{"two-way where nothing changes", head + "  product:\n    from: ware\n    fields:\n      sku: {both: sku}",
			`m.yaml:7:19: sku of ware cannot be changed, so it cannot be two-way (write from instead of both)`},
		{"parent of a top-level kind", product("name: parent"),
			`m.yaml:7:13: unknown field "parent" of ware (known: cycle, id, monthly, sku, stock, tags, term, yearly)`},
		{"expressions: unknown names, all of them", product(`name: {value: 'skuu + trm + field("custom.x") + fild("sku") + profile.nam'}`), `
m.yaml:7:22: unknown field "skuu" of ware (did you mean "sku"?)
m.yaml:7:29: unknown field "trm" of ware (did you mean "term"?)
m.yaml:7:41: unknown field "custom.x" of ware (known: cycle, id, monthly, sku, stock, tags, term, yearly)
m.yaml:7:55: unknown function "fild" (did you mean "field"?)
m.yaml:7:69: unknown field "profile.nam" of ware (known: cycle, id, monthly, sku, stock, tags, term, yearly)`},
		{"expressions: dotted names", head + "  customer:\n    from: client\n    fields:\n      name: {value: profile.nmae}",
			`m.yaml:7:21: unknown field "profile.nmae" of client (did you mean "profile.name"?)`},
		{"expressions: after quotes in quotes", product(`name: {value: 'sku + ''x'' + trm'}`),
			`m.yaml:7:36: unknown field "trm" of ware (did you mean "term"?)`},
		{"the last word of a dotted name", head + "  customer:\n    from: client\n    fields:\n      country: Country\n      name: {value: name}", `
m.yaml:7:16: unknown field "Country" of client (did you mean "profile.country"?)
m.yaml:8:21: unknown field "name" of client (did you mean "profile.name"?)`},
		{"expressions: in a block", product("name:\n        value: >\n          sku +\n          trm"),
			`m.yaml:10:11: unknown field "trm" of ware (did you mean "term"?)`},
		{"expressions: types", product("name: {value: sku + stock}\n      sku: {value: sku == 7}\n      key: {value: yearly > 3}\n      family: {value: 'yearly + 3'}\n      unit_cost: {value: stock / 2}\n      list_price: {value: monthly * yearly}"), `
m.yaml:7:25: invalid operation: + (mismatched types text and quantity)
m.yaml:8:24: invalid operation: == (mismatched types text and int)
m.yaml:10:31: invalid operation: + (mismatched types money and quantity)
m.yaml:11:18: unit_cost is money, but value: stock / 2 gives quantity
m.yaml:12:35: invalid operation: * (mismatched types money and money)`},
		{"expressions: what is not offered", product("name: {value: 'string(now())'}\n      family: {value: '$env[\"sku\"]'}\n      sku: {value: '[sku]'}\n      unit_cost: {value: 'stock in [1] ? yearly : monthly'}\n      key: {value: 'field(sku)'}\n      active: {value: 'count(tags, # == sku) > 1'}"), `
m.yaml:7:22: unknown function "string" (known: all, any, blank, field, hasPrefix, hasSuffix, host, join, len, lower, none, number, product_key, replace, round, split, trim, trimPrefix, trimSuffix, upper)
m.yaml:7:29: unknown function "now" (known: all, any, blank, field, hasPrefix, hasSuffix, host, join, len, lower, none, number, product_key, replace, round, split, trim, trimPrefix, trimSuffix, upper)
m.yaml:8:24: unknown field "$env.sku" of ware (known: cycle, id, monthly, sku, stock, tags, term, yearly)
m.yaml:9:21: the expression gives a mixed list, which no field can hold (it must give a text, a quantity, money, true or false, or a list)
m.yaml:10:33: in does not work with quantities and money (compare with == and or)
m.yaml:11:21: field() takes one name in quotes (write field("the field's name"))
m.yaml:12:24: unknown function "count" (did you mean "round"?)`},
		{"expressions: cut off by YAML", product("active: {value: any(tags, # == sku)}"),
			"m.yaml:7:7: not valid YAML: did not find expected node content"},
		{"expressions: cut off by a YAML comment", head + "  product:\n    from: ware\n    where: any(tags, # == sku)\n    fields: {sku: sku}",
			"m.yaml:6:20: the expression ends too early (put it in single quotes: without them YAML takes # for a comment and, between braces, a comma for the end)"},
		{"where", head + "  product:\n    from: ware\n    where: sku\n    fields: {sku: sku}",
			"m.yaml:6:12: where must give true or false, not text (compare something, as in quantity > 0)"},
		{"where is a map", head + "  product:\n    from: ware\n    where: {a: b}\n    fields: {sku: sku}",
			"m.yaml:6:12: expected an expression (write it in quotes)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var problems diag.List
			m := mapping.Load("m.yaml", []byte(test.source), shop, &problems)
			if m != nil {
				t.Error("a faulty file gave a mapping")
			}
			var got []string
			for _, p := range problems.Problems() {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(strings.TrimSpace(test.want), strings.Join(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(shopFile)
	f.Add(head + "  product: {from: ware, where: 'sku == \"', fields: {name: {value: \"a\\n.b\"}}}")
	f.Fuzz(func(t *testing.T, source string) {
		var problems diag.List
		m := mapping.Load("m.yaml", []byte(source), shop, &problems)
		if (m == nil) == problems.Empty() {
			t.Fatalf("mapping %v with problems %v", m != nil, problems.Problems())
		}
		if m == nil {
			return
		}
		for _, kind := range m.Kinds() {
			if _, ok := model.TableOf(kind); !ok {
				t.Errorf("unknown noun %q was accepted", kind)
			}
		}
	})
}
