package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// choices turns bytes into picks, so that the fuzzer plays with meanings and not with letters.
type choices struct {
	bytes []byte
	at    int
}

func (c *choices) below(n int) int {
	if c.at >= len(c.bytes) {
		return 0
	}
	c.at++
	return int(c.bytes[c.at-1]) % n
}

func (c *choices) of(words ...string) string { return words[c.below(len(words))] }

// expression is one that may compile: names, literals, operators and functions that exist, in any order.
func (c *choices) expression(depth int) string {
	if depth == 0 || c.below(3) == 0 {
		return c.of("sku", "term", "cycle", "yearly", "monthly", "stock", "tags", `"x"`, `""`, "7", "0.1", "1e30", "1e999999999", "true", `field("sku")`, "nothing", "#")
	}
	a, b := c.expression(depth-1), c.expression(depth-1)
	switch c.below(9) {
	case 0:
		return a + " " + c.of("+", "-", "*", "/", "==", "!=", "<", ">=", "and", "or", "in", "%", "^", "??") + " " + b
	case 1:
		return c.of("upper", "lower", "trim", "host", "len", "blank", "number", "not ", "-") + "(" + a + ")"
	case 2:
		return "round(" + a + ", " + c.of("0", "2", "-1", "99", b) + ")"
	case 3:
		return c.of("any", "all", "none") + "(tags, # == " + a + ")"
	case 4:
		return a + " ? " + b + " : " + c.expression(depth-1)
	case 5:
		return c.of("split", "hasPrefix", "trimSuffix", "join") + "(" + a + ", " + b + ")"
	case 6:
		return "product_key(" + a + ", " + b + ", cycle)"
	case 7:
		return "replace(" + a + ", " + b + `, "y")`
	}
	return "(" + a + ")"
}

func (c *choices) file() string {
	var b strings.Builder
	b.WriteString("version: 1\nsystem: shop\nrecords:\n  product:\n    from: ware\n")
	if c.below(2) == 1 {
		fmt.Fprintf(&b, "    where: '%s'\n", strings.ReplaceAll(c.expression(2), "'", "''"))
	}
	b.WriteString("    fields:\n")
	for _, field := range []string{"key", "sku", "name", "family", "unit_cost", "list_price", "active"} {
		if c.below(2) == 1 {
			fmt.Fprintf(&b, "      %s: {value: '%s'}\n", field, strings.ReplaceAll(c.expression(3), "'", "''"))
		}
	}
	b.WriteString("      term: term\n  line:\n    from: row\n    fields:\n      contract: parent\n")
	for _, field := range []string{"subscription", "quantity", "less_included", "unit_price", "unit_cost", "start", "end", "description", "bill", "next_quantity"} {
		if c.below(2) == 0 {
			continue
		}
		source := c.of("count", "included", "price", "cost", "billing", "begins", "ends", "bought", "state", "note", "taxable", "custom.X", "id", "parent")
		as := c.of("", "", "", ", as: day", ", as: not", ", as: trim", ", as: [trim, upper]", ", as: prefix(ms-)", ", as: split", ", as: 'split(\"; \")'", ", as: default(0)", ", as: 'default(x)'",
			", words: {billable: Billable, no_charge: NoCharge, do_not_bill: DoNotBill}", ", words: {billable: [a, b], no_charge: c}")
		fmt.Fprintf(&b, "      %s: {%s: %s%s}\n", field, c.of("from", "both"), source, as)
	}
	fmt.Fprintf(&b, "    create:\n      ware: %s\n      count: %s\n      note: {field: %s, cut: %s}\n", c.of("x", "{field: product}"), c.of("1", "{field: quantity}", "'1e999999999'"),
		c.of("description", "subscription", "quantity"), c.of("4", "10", "99", "0"))
	return b.String()
}

func (c *choices) value(t model.Type) model.Value {
	text := c.of("", "x", "ms-1", " a ; b ", "Billable", "a", "12", "-3.50", "0", "1e30", "12.5 GBP", "0.1 USD", "true", "2031-02-28", "2031-03-04T10:00:00Z", "\x00", "Ü;ü")
	if v, err := model.Parse(t, text); err == nil {
		return v
	}
	return []model.Value{{}, model.Empty(t)}[c.below(2)]
}

// A file of meaningful parts loads or is complained about. One that loads reads every record, or says which field of it it cannot read; what it
// read it writes, or says why not; and what it wrote it reads as the same again.
func FuzzDepth(f *testing.F) {
	for _, seed := range []string{"", "\x01\x00\x02\x01\x00\x05\x03\x01\x01", "\x00\x01\x03\x02\x01\x09\x00\x01\x05\x01\x00\x00\x01\x0a", strings.Repeat("\x01", 80), strings.Repeat("\x01\x02\x03", 40), strings.Repeat("\x07\x01\x00\x0c", 30)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		c := &choices{bytes: bytes}
		file := c.file()
		var problems diag.List
		m := mapping.Load("m.yaml", []byte(file), shop, &problems)
		if (m == nil) == problems.Empty() {
			t.Fatalf("mapping %v with problems %v:\n%s", m != nil, problems.Problems(), file)
		}
		if m == nil {
			for _, p := range problems.Problems() {
				if p.Pos.Line == 0 || p.Message == "" {
					t.Errorf("a complaint without a place: %v\n%s", p, file)
				}
			}
			return
		}
		for _, kind := range shop.Kinds {
			rec := connectors.Record{Kind: kind.Name, ID: "1", Parent: "p", Fields: model.Fields{}}
			for _, field := range kind.Fields {
				if v := c.value(field.Type); v.Known() {
					rec.Fields[field.Name] = v
				}
			}
			for _, noun := range m.ModelKinds(kind.Name) {
				again(t, m, noun, rec, file)
			}
		}
	})
}

// again reads a record, writes what is two-way of it, and reads that.
func again(t *testing.T, m *mapping.Mapping, noun model.Kind, rec connectors.Record, file string) {
	t.Helper()
	read, accepted, problems := m.ToModel(noun, rec)
	for _, p := range problems {
		if p.Message == "" || p.Pos.Line == 0 {
			t.Errorf("a problem that says nothing: %+v\n%s", p, file)
		}
	}
	if !accepted {
		return
	}
	_, _ = m.NativeCreate(noun, read.Fields)
	m.Preview(noun, rec)
	for name, v := range read.Fields {
		if !m.Writable(noun, name) {
			continue
		}
		written, err := m.ToNative(noun, model.Fields{name: v})
		if err != nil {
			continue // it says why
		}
		for native, value := range written {
			rec.Fields[native] = value
		}
		back, ok, _ := m.ToModel(noun, rec)
		if got := back.Fields[name]; ok && got != v {
			t.Errorf("%s of %s was read as %q, written as %v and read as %q\n%s", name, noun, v, written, got, file)
		}
	}
}
