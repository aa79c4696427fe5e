package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/trueup-sync/trueup/model"
)

// Count says which number a contract line bills. It is a small expression:
//
//	purchased                       the seats that are paid for at the vendor; the zero Count
//	assigned                        those that are given to users
//	agreed                          the number typed into the PSA's own field for it
//	purchased - 5                   an allowance: five seats are not billed
//	larger(purchased, 10)           a minimum: never fewer than ten are billed
//	larger(assigned, agreed) - 5    of both
//
// Fewer than none is none.
type Count struct{ top *countNode }

// The words of a count.
const (
	countPurchased = "purchased"
	countAssigned  = "assigned"
	countAgreed    = "agreed"
	countLarger    = "larger"
)

var countWords = []string{countPurchased, countAssigned, countAgreed, countLarger}

// countNode is a word, a number, larger(a, b) or a sum with a number.
type countNode struct {
	word  string // "" for a number and a sum
	args  []*countNode
	shift int64 // of a number its value; of a sum what is added
}

// CountError is why a text is no count, and at which letter, counted from 0.
type CountError struct {
	At            int
	Problem, Hint string
}

func (e *CountError) Error() string { return e.Problem + "; " + e.Hint }

const countHint = "write purchased, assigned, agreed, larger(assigned, agreed), and a number of seats after + or -"

// ParseCount reads a count; its error is a *CountError.
func ParseCount(text string) (Count, error) {
	p := &countParser{text: []rune(text)}
	top := p.sum()
	if p.next(); p.err == nil && p.at < len(p.text) {
		p.fail(p.at, countHint, "%q does not belong here", string(p.text[p.at:]))
	}
	if p.err == nil && len(top.paths(0)) == 0 && !top.names(countAssigned) && !top.names(countAgreed) {
		p.fail(0, countHint, "%q is the same number whatever happens", text)
	}
	if p.err != nil {
		return Count{}, p.err
	}
	return Count{top}, nil
}

type countParser struct {
	text []rune
	at   int
	err  *CountError
}

func (p *countParser) fail(at int, hint, format string, args ...any) *countNode {
	if p.err == nil {
		p.err = &CountError{at, fmt.Sprintf(format, args...), hint}
	}
	p.at = len(p.text)
	return &countNode{}
}

// next moves to the next letter that is no blank and returns it; 0 at the end.
func (p *countParser) next() rune {
	for p.at < len(p.text) && unicode.IsSpace(p.text[p.at]) {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *countParser) while(is func(rune) bool) string {
	from := p.at
	for p.at < len(p.text) && is(p.text[p.at]) {
		p.at++
	}
	return string(p.text[from:p.at])
}

func isWord(r rune) bool { return unicode.IsLetter(r) || r == '_' }

func (p *countParser) sum() *countNode {
	n := p.term()
	for p.err == nil {
		sign := p.next()
		if sign != '+' && sign != '-' {
			break
		}
		p.at++
		p.next()
		at := p.at
		seats, ok := p.number()
		if !ok {
			return p.fail(at, "write a number of seats, like purchased - 5", "after %c comes a number", sign)
		}
		if sign == '-' {
			seats = -seats
		}
		n = &countNode{args: []*countNode{n}, shift: seats}
	}
	return n
}

// number reads a whole number of seats.
func (p *countParser) number() (int64, bool) {
	digits := p.while(unicode.IsDigit)
	seats, err := strconv.ParseInt(digits, 10, 32)
	return seats, err == nil
}

func (p *countParser) term() *countNode {
	first := p.next()
	at := p.at
	switch {
	case unicode.IsDigit(first):
		seats, ok := p.number()
		if !ok {
			return p.fail(at, countHint, "this is not a number of seats")
		}
		return &countNode{shift: seats}
	case !isWord(first):
		return p.fail(at, countHint, "a word or a number is missing")
	}
	word := p.while(isWord)
	switch {
	case !slices.Contains(countWords, word):
		return p.fail(at, countHint, "%q is nothing that can be counted", word)
	case word != countLarger:
		return &countNode{word: word}
	}
	n := &countNode{word: countLarger}
	for _, mark := range []rune{'(', ','} {
		if p.next() != mark {
			return p.fail(p.at, "write it like larger(assigned, agreed)", "larger compares two numbers")
		}
		p.at++
		n.args = append(n.args, p.sum())
	}
	if p.err == nil && p.next() != ')' {
		return p.fail(p.at, "write it like larger(assigned, agreed)", "the bracket of larger is not closed")
	}
	p.at++
	return n
}

// String is the count as it would be written.
func (c Count) String() string {
	if c.top == nil {
		return countPurchased
	}
	return c.top.String()
}

func (n *countNode) String() string {
	switch {
	case n.word == countLarger:
		return fmt.Sprintf("larger(%s, %s)", n.args[0], n.args[1])
	case n.word != "":
		return n.word
	case len(n.args) == 0:
		return strconv.FormatInt(n.shift, 10)
	case n.shift < 0:
		return fmt.Sprintf("%s - %d", n.args[0], -n.shift)
	}
	return fmt.Sprintf("%s + %d", n.args[0], n.shift)
}

func (n *countNode) names(word string) bool {
	return n.word == word || slices.ContainsFunc(n.args, func(a *countNode) bool { return a.names(word) })
}

// Names reports whether a word stands in the count.
func (c Count) Names(word string) bool {
	if c.top == nil {
		return word == countPurchased
	}
	return c.top.names(word)
}

// TwoWay reports whether the purchased seats follow from what is billed. Where seats that are assigned or agreed are counted, they do
// not: the line then follows the count, and a number typed over it is a foreign edit.
func (c Count) TwoWay() bool { return !c.Names(countAssigned) && !c.Names(countAgreed) }

// Plain reports that the line bills what is purchased and nothing else.
func (c Count) Plain() bool { return c.String() == countPurchased }

// Equal reports that two counts are the same text.
func (c Count) Equal(other Count) bool { return c.String() == other.String() }

// Seats are the numbers that a count speaks of.
type Seats struct{ Purchased, Assigned, Agreed model.Value }

// Billed is what a line bills; missing is the word whose number is not known.
func (c Count) Billed(s Seats) (billed model.Quantity, missing string) {
	top := c.top
	if top == nil {
		top = &countNode{word: countPurchased}
	}
	billed, missing = top.value(s)
	if billed.Sign() < 0 {
		billed = model.Quantity{}
	}
	return billed, missing
}

func (n *countNode) value(s Seats) (v model.Quantity, missing string) {
	var of []model.Quantity
	for _, a := range n.args {
		q, missing := a.value(s)
		if missing != "" {
			return v, missing
		}
		of = append(of, q)
	}
	switch {
	case n.word == countLarger && of[0].Cmp(of[1]) > 0:
		return of[0], ""
	case n.word == countLarger:
		return of[1], ""
	case n.word != "":
		q, ok := map[string]model.Value{countPurchased: s.Purchased, countAssigned: s.Assigned, countAgreed: s.Agreed}[n.word].Quantity()
		if !ok {
			return v, n.word
		}
		return q, ""
	case len(of) == 1:
		return of[0].Add(model.NewQuantity(n.shift)), ""
	}
	return model.NewQuantity(n.shift), ""
}

// paths are what is added to the purchased seats on each way from them to the top.
func (n *countNode) paths(added int64) (sums []int64) {
	if n.word == countPurchased {
		return []int64{added}
	}
	if n.word == "" && len(n.args) == 1 {
		added += n.shift
	}
	for _, a := range n.args {
		sums = append(sums, a.paths(added)...)
	}
	return sums
}

// Purchased is the largest number of seats that is billed as so many; ok is false when none is. Below an allowance or at a minimum several
// numbers are billed alike, and the largest leaves the customer what the count leaves unbilled.
func (c Count) Purchased(billed model.Quantity) (purchased model.Quantity, ok bool) {
	if c.top == nil {
		return billed, billed.Sign() >= 0
	}
	if !c.TwoWay() {
		return purchased, false
	}
	for _, added := range c.top.paths(0) {
		q := billed.Sub(model.NewQuantity(added))
		again, _ := c.Billed(Seats{Purchased: model.QuantityValue(q)})
		if q.Sign() >= 0 && again.Cmp(billed) == 0 && (!ok || q.Cmp(purchased) > 0) {
			purchased, ok = q, true
		}
	}
	return purchased, ok
}

// trimmedCount reads a count that somebody typed into a field of the PSA; empty is no count.
func trimmedCount(text string) (c Count, said bool, err error) {
	if text = strings.TrimSpace(text); text == "" {
		return Count{}, false, nil
	}
	c, err = ParseCount(strings.ToLower(text))
	return c, true, err
}
