// Package model holds the nouns of trueup: customer, contact, product, subscription, contract, line, ticket, quote,
// invoice and usage, and the exact values they are made of: Money, Quantity, Day and Term.
//
// A noun is a field table (Tables). A Record is one thing, in the model's words, with a typed Value for each field that
// was delivered. Everything that must know a noun's fields (mapping, lint, planner, documentation) reads the table, so
// a field is described once. The package imports nothing else of trueup.
package model

import (
	"maps"
	"strings"
)

// Record is one thing in the model's words.
type Record struct {
	Kind   Kind
	ID     string // the id in the system it came from
	Fields Fields
}

// Fields are the delivered values by field name. A missing key means "not delivered", never "empty".
type Fields map[string]Value

// Clone copies the map.
func (f Fields) Clone() Fields { return maps.Clone(f) }

// Text is the canonical text of a field, "" when absent.
func (r Record) Text(field string) string { return r.Fields[field].String() }

// ProductKey identifies what is sold: the same SKU under another term or billing cycle is another product.
func ProductKey(sku, term, billing string) string {
	return strings.TrimSpace(strings.Join([]string{sku, term, billing}, " "))
}
