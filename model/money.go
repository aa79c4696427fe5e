package model

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// Quantity is an exact count of seats or units. Systems that hold seats as doubles still mean whole seats; the
// fraction is kept so that a wrong one is seen instead of rounded away.
type Quantity struct{ d decimal.Decimal }

// NewQuantity makes a whole quantity.
func NewQuantity(n int64) Quantity { return Quantity{decimal.NewFromInt(n)} }

// ParseQuantity reads a plain or exponent-form decimal number.
func ParseQuantity(s string) (Quantity, error) {
	d, err := parseDecimal(s)
	if err != nil {
		return Quantity{}, fmt.Errorf("%q is not a quantity", s)
	}
	return Quantity{d}, nil
}

// String is the shortest plain decimal form: "14", "2.5".
func (q Quantity) String() string { return plain(q.d) }

// Decimal is the exact number.
func (q Quantity) Decimal() decimal.Decimal { return q.d }

// Add and Sub are exact.
func (q Quantity) Add(o Quantity) Quantity { return Quantity{q.d.Add(o.d)} }
func (q Quantity) Sub(o Quantity) Quantity { return Quantity{q.d.Sub(o.d)} }

// Times is a multiple, and Neg the same number below zero. Both are exact.
func (q Quantity) Times(n int64) Quantity { return Quantity{q.d.Mul(decimal.NewFromInt(n))} }
func (q Quantity) Neg() Quantity          { return Quantity{q.d.Neg()} }

// Cmp is -1, 0 or 1 as q is less than, equal to or greater than o.
func (q Quantity) Cmp(o Quantity) int { return q.d.Cmp(o.d) }

// Sign is -1, 0 or 1.
func (q Quantity) Sign() int { return q.d.Sign() }

// Whole reports whether there is no fraction.
func (q Quantity) Whole() bool { return q.d.IsInteger() }

// Int is the whole part, toward zero.
func (q Quantity) Int() int64 { return q.d.IntPart() }

// Money is an exact amount in one currency. Unit prices keep all their digits; nothing here rounds unless asked to. The
// zero Money has no currency and can be added to any.
type Money struct {
	amount   decimal.Decimal
	currency string
}

// MixedCurrencies reports arithmetic between two currencies, which trueup never converts on its own.
type MixedCurrencies struct{ A, B string }

func (e MixedCurrencies) Error() string {
	return fmt.Sprintf("cannot combine %s with %s: no exchange rate was declared", e.A, e.B)
}

// NewMoney makes an amount from a decimal and an ISO 4217 code.
func NewMoney(amount decimal.Decimal, currency string) (Money, error) {
	if len(currency) != 3 || strings.ToUpper(currency) != currency || strings.ContainsFunc(currency, notLetter) {
		return Money{}, fmt.Errorf("%q is not a currency code like EUR", currency)
	}
	return Money{amount, currency}, nil
}

// ParseMoney reads "12.50 GBP".
func ParseMoney(s string) (Money, error) {
	number, currency, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		return Money{}, fmt.Errorf("%q is not an amount with its currency, like 12.50 GBP", s)
	}
	d, err := parseDecimal(number)
	if err != nil {
		return Money{}, fmt.Errorf("%q is not an amount with its currency, like 12.50 GBP", s)
	}
	return NewMoney(d, strings.TrimSpace(currency))
}

// String is the exact amount and currency: "12.5 GBP". Use Display for people.
func (m Money) String() string {
	if m.currency == "" {
		return plain(m.amount)
	}
	return plain(m.amount) + " " + m.currency
}

// Display shows at least the currency's minor digits, and every further digit there is: "12.50 GBP".
func (m Money) Display() string {
	places := max(-m.amount.Exponent(), MinorDigits(m.currency))
	text := m.amount.StringFixed(places)
	if places > MinorDigits(m.currency) {
		text = strings.TrimRight(text, "0")
		for point := strings.IndexByte(text, '.'); int32(len(text)-point-1) < MinorDigits(m.currency); {
			text += "0"
		}
		text = strings.TrimSuffix(text, ".")
	}
	return strings.TrimSpace(text + " " + m.currency)
}

// Amount is the exact number.
func (m Money) Amount() decimal.Decimal { return m.amount }

// Currency is the ISO 4217 code; "" only for the zero Money.
func (m Money) Currency() string { return m.currency }

// Sign is -1, 0 or 1.
func (m Money) Sign() int { return m.amount.Sign() }

// Neg is the amount with the other sign.
func (m Money) Neg() Money { return Money{m.amount.Neg(), m.currency} }

// Add is exact; it refuses two different currencies.
func (m Money) Add(o Money) (Money, error) {
	switch {
	case m.currency == "":
		return o.plus(m.amount)
	case o.currency == "" || m.currency == o.currency:
		return m.plus(o.amount)
	}
	return Money{}, MixedCurrencies{m.currency, o.currency}
}

func (m Money) plus(d decimal.Decimal) (Money, error) { return Money{m.amount.Add(d), m.currency}, nil }

// Sub is exact; it refuses two different currencies.
func (m Money) Sub(o Money) (Money, error) { return m.Add(o.Neg()) }

// Times is exact.
func (m Money) Times(q Quantity) Money { return Money{m.amount.Mul(q.d), m.currency} }

// Over divides by n, keeping places decimals, half to even. Dividing is the one operation that cannot be exact, so the
// caller names the digits.
func (m Money) Over(n int64, places int32) Money {
	return Money{m.amount.DivRound(decimal.NewFromInt(n), places+6).RoundBank(places), m.currency}
}

// Round keeps places decimals, half to even.
func (m Money) Round(places int32) Money { return Money{m.amount.RoundBank(places), m.currency} }

// Cmp compares amounts; it refuses two different currencies.
func (m Money) Cmp(o Money) (int, error) {
	d, err := m.Sub(o)
	return d.Sign(), err
}

// MinorDigits is how many decimals a currency's coins have (ISO 4217): two, but none for the yen and three for a few.
func MinorDigits(currency string) int32 {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	}
	return 2
}

// parseDecimal refuses exponents that would make a number of absurd length out of a short text.
func parseDecimal(s string) (decimal.Decimal, error) {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return d, err
	}
	if d.Exponent() > 30 || d.Exponent() < -60 || len(s) > 120 {
		return d, fmt.Errorf("%q is out of range", s)
	}
	return d, nil
}

func plain(d decimal.Decimal) string { return d.String() }

func notLetter(r rune) bool { return r < 'A' || r > 'Z' }

// MarshalText writes the exact amount and currency.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (m *Money) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMoney(string(b))
	return err
}

// IsZero reports no amount and no currency; an amount of nothing in a currency is not zero in this sense.
func (m Money) IsZero() bool { return m.currency == "" && m.amount.IsZero() }
