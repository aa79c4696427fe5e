package model_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/trueup-sync/trueup/model"
)

func TestValuesAreEqualWhenTheyMeanTheSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  model.Type
		a, b string
		same bool
	}{
		{model.TypeQuantity, "14", "14.000", true},
		{model.TypeQuantity, "1.4e1", "14", true},
		{model.TypeQuantity, "14", "14.5", false},
		{model.TypeMoney, "12.50 GBP", "12.5 GBP", true},
		{model.TypeMoney, "12.50 GBP", "12.50 EUR", false},
		{model.TypeText, "007", "7", false},
		{model.TypeText, "12.10", "12.1", false},
		{model.TypeInstant, "2031-02-01T10:00:00+01:00", "2031-02-01T09:00:00Z", true},
		{model.TypeInstant, "2031-02-01T09:15:07.1200000Z", "2031-02-01T09:15:07.12Z", true},
		{model.TypeList, "b\na\nb", "a\nb", true},
	} {
		a, errA := model.Parse(c.typ, c.a)
		b, errB := model.Parse(c.typ, c.b)
		if errA != nil || errB != nil {
			t.Errorf("%s %q, %q: %v, %v", c.typ, c.a, c.b, errA, errB)
		} else if (a == b) != c.same {
			t.Errorf("%s: %q == %q is %v, want %v", c.typ, c.a, c.b, a == b, c.same)
		}
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	t.Parallel()
	for typ, texts := range map[model.Type][]string{
		model.TypeQuantity: {"many", "1,000", "1e999999999"},
		model.TypeMoney:    {"12.50", "12.50 pounds", "GBP 12.50", "12.50 gbp"},
		model.TypeDay:      {"2031-02-30", "01/02/2031", "2031-2-1"},
		model.TypeInstant:  {"2031-02-01", "soon"},
		model.TypeBool:     {"yes", "1", "True"},
		"colour":           {"red"},
	} {
		for _, text := range texts {
			if v, err := model.Parse(typ, text); err == nil {
				t.Errorf("%s took %q as %q", typ, text, v)
			}
		}
	}
}

func TestNotDeliveredIsNotEmpty(t *testing.T) {
	t.Parallel()
	var absent model.Value
	empty := model.Empty(model.TypeDay)
	if absent == empty || absent.Known() || !empty.Known() || !absent.Blank() || !empty.Blank() {
		t.Error("a value that was not delivered must differ from one known to be empty")
	}
	if _, err := json.Marshal(model.Fields{"x": absent}); err == nil {
		t.Error("a value that was not delivered was stored")
	}
}

func TestStoredFormRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fields := model.Fields{
			"text":     model.Text(rapid.String().Draw(t, "text")),
			"quantity": model.Int(rapid.Int64().Draw(t, "quantity")),
			"list":     model.List(rapid.SliceOf(rapid.StringMatching(`[a-z]{1,5}`)).Draw(t, "list")...),
			"instant":  model.Instant(time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns"))),
			"day":      model.DayValue(model.NewDay(2031, 1, rapid.IntRange(1, 900).Draw(t, "day"))),
			"bool":     model.Bool(rapid.Bool().Draw(t, "bool")),
		}
		stored, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var back model.Fields
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatal(err)
		}
		for name, v := range fields {
			if back[name] != v {
				t.Fatalf("%s: stored %q, read %q", name, v, back[name])
			}
		}
	})
}

func TestMoneyIsExactAndRefusesMixing(t *testing.T) {
	t.Parallel()
	price, err := model.ParseMoney("45.229361234567890123 EUR")
	if err != nil {
		t.Fatal(err)
	}
	total := price.Times(model.NewQuantity(500))
	if total.String() != "22614.6806172839450615 EUR" {
		t.Errorf("500 seats cost %s", total)
	}
	pounds, _ := model.ParseMoney("1 GBP")
	var mixed model.MixedCurrencies
	if _, err := total.Add(pounds); !errors.As(err, &mixed) {
		t.Errorf("euros and pounds were added: %v", err)
	}
	sum, err := model.Money{}.Add(pounds)
	if err != nil || sum.String() != "1 GBP" {
		t.Errorf("nothing plus a pound is %s, %v", sum, err)
	}
	if _, err := model.NewMoney(decimal.NewFromInt(1), "EURO"); err == nil {
		t.Error("EURO is not a currency code")
	}
}

func TestMoneyDisplay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"12.5 GBP": "12.50 GBP", "12 GBP": "12.00 GBP", "19.12345 GBP": "19.12345 GBP", "1500 JPY": "1500 JPY", "0.5 JPY": "0.5 JPY", "-3.1 EUR": "-3.10 EUR",
		"1.5 KWD": "1.500 KWD",
	} {
		m, err := model.ParseMoney(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Display(); got != want {
			t.Errorf("%s shows as %q, want %q", text, got, want)
		}
	}
}

func TestDividingNamesItsDigits(t *testing.T) {
	t.Parallel()
	year, _ := model.ParseMoney("388.80 NZD")
	if got := year.Over(12, 10).String(); got != "32.4 NZD" {
		t.Errorf("a twelfth of 388.80 is %s", got)
	}
	third, _ := model.ParseMoney("100 NZD")
	if got := third.Over(3, 4).String(); got != "33.3333 NZD" {
		t.Errorf("a third of 100 is %s", got)
	}
	half, _ := model.ParseMoney("0.125 NZD")
	if got := half.Round(2).String(); got != "0.12 NZD" {
		t.Errorf("half to even: %s", got)
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	end := model.NewDay(2031, time.January, 31)
	for months, want := range map[int]string{1: "2031-02-28", 12: "2032-01-31", 13: "2032-02-29", -2: "2030-11-30"} {
		if got := end.AddMonths(months).String(); got != want {
			t.Errorf("%s plus %d months is %s, want %s", end, months, got, want)
		}
	}
	if got := end.Until(model.NewDay(2031, time.March, 1)); got != 29 {
		t.Errorf("%d days from 31 January to 1 March 2031", got)
	}
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	evening := time.Date(2031, 2, 1, 12, 30, 0, 0, time.UTC)
	if got := model.DayOf(evening.In(auckland)).String(); got != "2031-02-02" {
		t.Errorf("that moment is %s in Auckland", got)
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		duration, billing, problem string
	}{
		{"P1M", "monthly", ""}, {"P1Y", "monthly", ""}, {"P1Y", "annual", ""}, {"P3Y", "triennial", ""}, {"P3Y", "annual", ""},
		{"P1M", "annual", "longer than the term"}, {"P1Y", "triennial", "longer than the term"},
		{"P2Y", "monthly", "unknown term"}, {"P1Y", "weekly", "unknown billing cycle"}, {"monthly", "P1M", "unknown term"},
	} {
		_, err := model.NewTerm(c.duration, c.billing)
		if (err == nil) != (c.problem == "") || (err != nil && !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s billed %s: %v, want %q", c.duration, c.billing, err, c.problem)
		}
	}
}

// TestTablesAreWellFormed: every noun's fields are named once, typed, documented, and refer only to nouns that exist.
func TestTablesAreWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[model.Kind]bool{}
	for _, table := range model.Tables {
		if seen[table.Kind] || table.Doc == "" {
			t.Errorf("noun %s is repeated or undocumented", table.Kind)
		}
		seen[table.Kind] = true
		names := map[string]bool{}
		for _, f := range table.Fields {
			if names[f.Name] || f.Doc == "" || !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s.%s is repeated or its doc is not a sentence", table.Kind, f.Name)
			}
			names[f.Name] = true
			if _, err := model.Parse(f.Type, ""); err != nil {
				t.Errorf("%s.%s: %v", table.Kind, f.Name, err)
			}
			if _, ok := model.TableOf(f.Ref); f.Ref != "" && !ok {
				t.Errorf("%s.%s refers to %q, which is no noun", table.Kind, f.Name, f.Ref)
			}
		}
	}
	if diff := cmp.Diff(12, len(model.Tables)); diff != "" {
		t.Error(diff)
	}
}
