package mapping_test

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/trueup-sync/trueup/mapping"
)

func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := mapping.Schema(shop)
	if err != nil {
		t.Fatal(err)
	}
	again, err := mapping.Schema(shop)
	if err != nil || !bytes.Equal(text, again) {
		t.Error("the same descriptor gave two schemas")
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("mapping.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("mapping.json")
	if err != nil {
		t.Fatal(err)
	}
	line := func(s string) string { return head + "  line:\n    from: row\n    fields:\n      " + s + "\n" }
	tests := []struct {
		name, source string
		valid        bool
	}{
		{"the whole of it", shopFile, true},
		{"another system", "version: 1\nsystem: other\nrecords: {}", false},
		{"unknown noun", head + "  lin: {from: row, fields: {}}", false},
		{"unknown native kind", head + "  line: {from: rows, fields: {}}", false},
		{"a field of another kind", line("quantity: stock"), false},
		{"unknown model field", line("quantiy: count"), false},
		{"two-way on a read-only field", line("end: {both: ends}"), false},
		{"a custom field", line("description: {both: custom.Any thing}"), true},
		{"an unfinished custom field", line("description: {both: custom.}"), false},
		{"two sources", line("quantity: {both: count, from: count}"), false},
		{"unknown word", line("bill: {both: billing, words: {bilable: Billable}}"), false},
		{"unknown converter", line("description: {from: note, as: uper}"), false},
		{"a converter without its argument", line("description: {from: note, as: prefix}"), false},
		{"a list of converters", line("description: {from: note, as: [trim, 'default(x)']}"), true},
		{"a constant in create", line("quantity: count\n    create: {ware: 7, taxable: true, custom.X: y}"), true},
		{"what cannot be created", line("quantity: count\n    create: {cost: 1 GBP}"), false},
		{"a model field that is none", line("quantity: count\n    create: {ware: {field: produkt}}"), false},
		{"create where nothing is created", head + "  product: {from: ware, fields: {sku: sku}, create: {sku: x}}", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var value any
			if err := yaml.Unmarshal([]byte(test.source), &value); err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err == nil) != test.valid {
				t.Errorf("valid = %v, want %v: %v", err == nil, test.valid, err)
			}
		})
	}
}
