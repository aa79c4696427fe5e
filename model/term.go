package model

import "fmt"

// Term is a commitment and how it is charged: P1M, P1Y or P3Y, billed monthly, annual or triennial.
type Term struct {
	Duration string // P1M, P1Y, P3Y
	Billing  string // monthly, annual, triennial
}

// Durations and BillingCycles are the allowed words, shortest first.
var (
	Durations     = []string{"P1M", "P1Y", "P3Y"}
	BillingCycles = []string{"monthly", "annual", "triennial"}
)

var months = map[string]int{"P1M": 1, "P1Y": 12, "P3Y": 36, "monthly": 1, "annual": 12, "triennial": 36}

// NewTerm checks both words and that the billing cycle is not longer than the commitment.
func NewTerm(duration, billing string) (Term, error) {
	t := Term{duration, billing}
	switch {
	case months[duration] == 0 || duration[0] != 'P':
		return Term{}, fmt.Errorf("unknown term %q (known: P1M, P1Y, P3Y)", duration)
	case months[billing] == 0 || billing[0] == 'P':
		return Term{}, fmt.Errorf("unknown billing cycle %q (known: monthly, annual, triennial)", billing)
	case t.BillingMonths() > t.Months():
		return Term{}, fmt.Errorf("a %s term cannot be billed %s: the cycle is longer than the term", duration, billing)
	}
	return t, nil
}

// Months is the length of the commitment.
func (t Term) Months() int { return months[t.Duration] }

// BillingMonths is the length of one charge cycle.
func (t Term) BillingMonths() int { return months[t.Billing] }

// String is "P1Y billed monthly".
func (t Term) String() string { return t.Duration + " billed " + t.Billing }
