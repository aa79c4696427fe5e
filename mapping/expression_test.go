package mapping_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// TestExpressions computes each expression over one ware, as the noun field whose type the expression has.
func TestExpressions(t *testing.T) {
	t.Parallel()
	ware := connectors.Record{Kind: "ware", ID: "w1", Fields: model.Fields{
		"sku": model.Text("0042"), "term": model.Text("P1Y"), "cycle": model.Text(""),
		"yearly": money("120.12 EUR"), "monthly": money("10.01 EUR"), "stock": count("7"), "tags": model.List("old", "blue"),
	}}
	hollow := connectors.Record{Kind: "ware", ID: "w2", Fields: model.Fields{
		"sku": model.Text(""), "yearly": model.Empty(model.TypeMoney), "monthly": money("1 EUR"), "stock": model.Empty(model.TypeQuantity), "tags": model.List(),
	}}
	const (
		text, truth, cash, number, list = "name", "active", "unit_cost", "quantity", "domains"
	)
	tests := []struct {
		field, expression string
		rec               connectors.Record
		want              string
	}{
		{number, "0.1 + 0.2", ware, "0.3"},
		{number, "1 / 3", ware, "0.3333333333"},
		{number, "2 / 3", ware, "0.6666666667"},
		{number, "0.12345678901234567890123 + 0", ware, "0.12345678901234567890123"},
		{number, "1_000 * 1.000_1", ware, "1000.1"},
		{number, "stock + 1", ware, "8"},
		{number, "10 - stock", ware, "3"},
		{number, "-stock * -2", ware, "14"},
		{number, "stock * (stock - 2) / 2", ware, "17.5"},
		{number, "stock > 5 ? stock : 0", ware, "7"},
		{number, "stock > 7 ? stock : -1", ware, "-1"},
		{number, "round(stock / 3, 1)", ware, "2.3"},
		{number, "round(0.125, 2)", ware, "0.12"},
		{number, "number(sku) + 1", ware, "43"},
		{number, "let x = stock / 2; x * 2 + 1", ware, "8"},
		{number, "yearly / monthly", ware, "12"},
		{number, "len(tags)", ware, "2"},
		{number, "stock + 1", hollow, ""},
		{number, "stock > 0 ? stock : 3", hollow, "3"},
		{cash, "yearly / 12", ware, "10.01 EUR"},
		{cash, "12 * monthly", ware, "120.12 EUR"},
		{cash, "-monthly", ware, "-10.01 EUR"},
		{cash, "yearly - monthly * 12 + monthly", ware, "10.01 EUR"},
		{cash, "round(yearly / stock, 4)", ware, "17.16 EUR"},
		{cash, "round(monthly / 3 * 0.5, 3)", ware, "1.668 EUR"},
		{cash, "stock > 0 ? monthly : yearly", ware, "10.01 EUR"},
		{cash, "yearly / 12", hollow, ""},
		{truth, "yearly == monthly * 12", ware, "true"},
		{truth, "monthly > 10 and monthly >= 10.01 and monthly <= 10.01 and monthly != 10", ware, "true"},
		{truth, "not (monthly < 10.01)", ware, "true"},
		{truth, "stock == 7.0", ware, "true"},
		{truth, "len(tags) > 1", ware, "true"},
		{truth, "any(tags, # == 'blue') and not all(tags, # == 'blue') and none(tags, # == 'red')", ware, "true"},
		{truth, "'blue' in tags", ware, "true"},
		{truth, "stock == 0 or stock != 0", hollow, "true"},
		{truth, "stock < 1 or stock >= 1", hollow, "false"},
		{truth, "blank(sku) and blank(yearly) and blank(stock) and blank(tags)", hollow, "true"},
		{truth, "blank(sku) or blank(yearly) or blank(stock) or blank(tags)", ware, "false"},
		{truth, "cycle == ''", hollow, "not delivered"},
		{text, "product_key(sku, term, cycle)", ware, "0042 P1Y"},
		{text, "upper(trim(' a ')) + id", ware, "Aw1"},
		{text, "cycle != '' ? cycle : field('term')", ware, "P1Y"},
		{text, "host('https://www.Example.com')", ware, "example.com"},
		{text, "replace(trimPrefix(sku, '00'), '4', 'x')", ware, "x2"},
		{list, "split('b,a', ',')", ware, "a\nb"},
		{list, "tags", ware, "blue\nold"},
		{number, "stock / (stock - 7)", ware, "problem: the expression fails: cannot divide by zero"},
		{number, "number(term)", ware, `problem: the expression fails: "P1Y" is not a quantity`},
		{number, "round(stock, 21)", ware, "problem: the expression fails: round keeps 0 to 20 decimals, not 21"},
	}
	for _, test := range tests {
		t.Run(test.expression+" of "+test.rec.ID, func(t *testing.T) {
			t.Parallel()
			noun := map[string]string{number: "line", list: "customer"}[test.field]
			if noun == "" {
				noun = "product"
			}
			source := head + "  " + noun + ":\n    from: ware\n    fields:\n      " + test.field + ": {value: \"" + test.expression + "\"}\n"
			m := load(t, source)
			got, _, problems := m.ToModel(model.Kind(noun), test.rec)
			v := got.Fields[test.field]
			text := v.String()
			switch {
			case len(problems) > 0:
				text = "problem: " + problems[0].Message
			case !v.Known():
				text = "not delivered"
			}
			if text != test.want {
				t.Errorf("%s = %s, want %s", test.expression, text, test.want)
			}
		})
	}
}

// TestLiveRecords checks what only a live system does: wrong types and undelivered fields in expressions.
func TestLiveRecords(t *testing.T) {
	t.Parallel()
	m := load(t, head+"  line:\n    from: ware\n    fields:\n      quantity: {value: stock + 1}\n      product: sku\n")
	got, _, problems := m.ToModel(model.KindLine, connectors.Record{Kind: "ware", ID: "w", Fields: model.Fields{"stock": model.Text("7"), "sku": model.Text("1")}})
	want := []mapping.Problem{{Kind: "line", ID: "w", Field: "quantity", Native: "stock", Pos: diag.Pos{File: "shop.yaml", Line: 7, Column: 17},
		Message: "the connector delivered stock as text, but declares it as quantity"}}
	if diff := cmp.Diff(want, problems, cmp.Comparer(func(a, b model.Value) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Text("product") != "1" {
		t.Errorf("the other field is %q", got.Text("product"))
	}
}

func TestConvertersAndFunctionsAreDescribed(t *testing.T) {
	t.Parallel()
	for _, c := range mapping.Converters {
		if c.Doc == "" || len(c.Takes) == 0 {
			t.Errorf("converter %s is not described", c.Name)
		}
	}
	for _, f := range mapping.Functions {
		if f.Doc == "" || !strings.HasSuffix(f.Call, ")") {
			t.Errorf("function %s is not described", f.Call)
		}
	}
}

func BenchmarkToModel(b *testing.B) {
	m := load(b, shopFile)
	rec := connectors.Record{Kind: "row", ID: "r", Parent: "c1", Fields: model.Fields{"custom.Subscription": model.Text("ms-a7"), "count": count("12.5"),
		"included": model.Int(2), "price": money("12.10 GBP"), "bought": must(model.Parse(model.TypeInstant, "2031-02-01T09:15:07Z")), "ends": day("2032-01-31"),
		"billing": model.Text("NoCharge"), "note": model.Text("x"), "state": model.Text("on")}}
	for _, kind := range []model.Kind{model.KindLine, model.KindSubscription} {
		b.Run(string(kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, problems := m.ToModel(kind, rec); !ok || len(problems) > 0 {
					b.Fatal(ok, problems)
				}
			}
		})
	}
}
