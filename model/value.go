package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Type says how a Value is read.
type Type string

const (
	TypeText     Type = "text"     // free text, exactly as the system holds it
	TypeQuantity Type = "quantity" // exact decimal count, no unit
	TypeMoney    Type = "money"    // exact decimal amount with its ISO 4217 currency
	TypeDay      Type = "day"      // calendar day in the billing time zone, no clock
	TypeInstant  Type = "instant"  // moment in UTC
	TypeBool     Type = "bool"     // true or false
	TypeList     Type = "list"     // set of texts, sorted, without repeats
)

// Types lists every type, in documentation order.
var Types = []Type{TypeText, TypeQuantity, TypeMoney, TypeDay, TypeInstant, TypeBool, TypeList}

// Value is one typed, immutable field value. Its text is canonical: two values mean the same exactly when they are ==,
// so a Value can be compared, hashed, stored and used as a map key. The zero Value is "no value delivered", which is
// different from a value known to be empty (see Empty).
type Value struct {
	typ  Type
	text string
}

// Empty is the known-empty value of a type: the system was asked and holds nothing.
func Empty(t Type) Value { return Value{typ: t} }

// Text keeps s byte for byte.
func Text(s string) Value { return Value{TypeText, s} }

// Bool makes a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{TypeBool, "true"}
	}
	return Value{TypeBool, "false"}
}

// QuantityValue makes a quantity value.
func QuantityValue(q Quantity) Value { return Value{TypeQuantity, q.String()} }

// Int makes a whole quantity.
func Int(n int64) Value { return QuantityValue(NewQuantity(n)) }

// MoneyValue makes a money value.
func MoneyValue(m Money) Value { return Value{TypeMoney, m.String()} }

// DayValue makes a day value; the zero Day is the known-empty day.
func DayValue(d Day) Value { return Value{TypeDay, d.String()} }

// Instant makes a moment in UTC; the zero time is the known-empty instant.
func Instant(t time.Time) Value {
	if t.IsZero() {
		return Empty(TypeInstant)
	}
	return Value{TypeInstant, t.UTC().Format(time.RFC3339Nano)}
}

// List makes a set of texts: sorted, repeats and empty texts removed.
func List(items ...string) Value {
	kept := make([]string, 0, len(items))
	for _, s := range items {
		if s = strings.ReplaceAll(strings.TrimSpace(s), "\n", " "); s != "" {
			kept = append(kept, s)
		}
	}
	slices.Sort(kept)
	return Value{TypeList, strings.Join(slices.Compact(kept), "\n")}
}

// Parse reads s as a value of type t. An empty or blank s is the known-empty value, except for text, which is kept.
func Parse(t Type, s string) (Value, error) {
	if t == TypeText {
		return Text(s), nil
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return Empty(t), nil
	}
	switch t {
	case TypeQuantity:
		q, err := ParseQuantity(s)
		if err != nil {
			return Value{}, err
		}
		return QuantityValue(q), nil
	case TypeMoney:
		m, err := ParseMoney(s)
		if err != nil {
			return Value{}, err
		}
		return MoneyValue(m), nil
	case TypeDay:
		d, err := ParseDay(s)
		if err != nil {
			return Value{}, err
		}
		return DayValue(d), nil
	case TypeInstant:
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return Value{}, fmt.Errorf("%q is not a moment like 2031-02-01T09:15:07Z", s)
		}
		return Instant(at), nil
	case TypeBool:
		switch s {
		case "true":
			return Bool(true), nil
		case "false":
			return Bool(false), nil
		}
		return Value{}, fmt.Errorf("%q is not true or false", s)
	case TypeList:
		return List(strings.Split(s, "\n")...), nil
	}
	return Value{}, fmt.Errorf("unknown type %q", t)
}

// Type reports the value's type; "" for the zero Value.
func (v Value) Type() Type { return v.typ }

// Known reports whether the system delivered this field at all.
func (v Value) Known() bool { return v.typ != "" }

// Blank reports whether there is nothing in it: not delivered, or known to be empty.
func (v Value) Blank() bool { return v.text == "" }

// String is the canonical text, for people and for keys. It loses the type; use MarshalText to keep it.
func (v Value) String() string { return v.text }

// Quantity is the number held; ok is false when the value is not a quantity or is empty.
func (v Value) Quantity() (q Quantity, ok bool) {
	if v.typ != TypeQuantity || v.text == "" {
		return Quantity{}, false
	}
	d, err := decimal.NewFromString(v.text)
	return Quantity{d}, err == nil
}

// Money is the amount held; ok is false when the value is not money or is empty.
func (v Value) Money() (m Money, ok bool) {
	if v.typ != TypeMoney || v.text == "" {
		return Money{}, false
	}
	m, err := ParseMoney(v.text)
	return m, err == nil
}

// Day is the day held; ok is false when the value is not a day or is empty.
func (v Value) Day() (d Day, ok bool) {
	if v.typ != TypeDay || v.text == "" {
		return Day{}, false
	}
	d, err := ParseDay(v.text)
	return d, err == nil
}

// Time is the moment held; ok is false when the value is not an instant or is empty.
func (v Value) Time() (t time.Time, ok bool) {
	if v.typ != TypeInstant || v.text == "" {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, v.text)
	return t, err == nil
}

// True reports whether the value is the boolean true.
func (v Value) True() bool { return v.typ == TypeBool && v.text == "true" }

// Items are the texts of a list, or the one text of a text value.
func (v Value) Items() []string {
	if v.text == "" {
		return nil
	}
	if v.typ == TypeList {
		return strings.Split(v.text, "\n")
	}
	return []string{v.text}
}

// MarshalText writes "type:text", the stored form.
func (v Value) MarshalText() ([]byte, error) {
	if v.typ == "" {
		return nil, errors.New("a value that was not delivered cannot be stored")
	}
	return []byte(string(v.typ) + ":" + v.text), nil
}

// UnmarshalText reads the stored form.
func (v *Value) UnmarshalText(b []byte) error {
	typ, text, ok := strings.Cut(string(b), ":")
	if !ok || !slices.Contains(Types, Type(typ)) {
		return fmt.Errorf("stored value %q has no known type", b)
	}
	*v = Value{Type(typ), text}
	return nil
}
