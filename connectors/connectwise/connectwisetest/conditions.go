package connectwisetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// filter compiles the three condition parameters into one test of a shown record.
func (s *Server) filter(t *table, query url.Values) (func(map[string]any) (bool, error), error) {
	main, err := compile(query.Get("conditions"), t.typeOf)
	if err != nil {
		return nil, err
	}
	custom, err := compile(query.Get("customFieldConditions"), func(path string) (kind, bool) { return text, path == "caption" || path == "value" })
	if err != nil {
		return nil, err
	}
	var array string
	child, err := compile(query.Get("childConditions"), func(path string) (kind, bool) {
		head, _, ok := strings.Cut(path, "/")
		f, known := t.field(head)
		array = head
		return text, ok && known && f.kind == items
	})
	if err != nil {
		return nil, err
	}
	return func(shown map[string]any) (bool, error) {
		return main(func(path string) any { return lookup(shown, path) }) &&
			some(custom, shown["customFields"], "") && some(child, shown[array], array+"/"), nil
	}, nil
}

// some reports whether any element of a list satisfies a condition; no condition is always satisfied.
func some(test test, list any, prefix string) bool {
	if test(nil) {
		return true
	}
	elements, _ := list.([]any)
	return slices.ContainsFunc(elements, func(element any) bool {
		object, _ := element.(map[string]any)
		return test(func(path string) any { return lookup(object, strings.TrimPrefix(path, prefix)) })
	})
}

// typeOf is the kind of a path that conditions may name.
func (t *table) typeOf(path string) (kind, bool) {
	switch path {
	case "id":
		return number, true
	case "lastUpdated", "_info/lastUpdated", "_info/dateEntered":
		return date, true
	case "_info/updatedBy", "_info/enteredBy":
		return text, true
	}
	head, tail, deep := strings.Cut(path, "/")
	f, known := t.field(head)
	switch {
	case !known || deep != (f.kind == ref) || f.kind == refs || f.kind == items:
		return 0, false
	case !deep:
		return f.kind, true
	case tail == "id":
		return number, true
	}
	return text, slices.Contains([]string{"identifier", "name", "currencyCode"}, tail)
}

// lookup walks a path in a shown record.
func lookup(shown map[string]any, path string) any {
	if path == "lastUpdated" {
		path = "_info/lastUpdated"
	}
	var value any = shown
	for name := range strings.SplitSeq(path, "/") {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	if id, ok := value.(int); ok {
		return json.Number(fmt.Sprint(id))
	}
	return value
}

// test decides for one record, given by a function from path to value; nil asks whether there is no condition at all.
type test func(value func(path string) any) bool

var token = regexp.MustCompile(`^\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|<=|>=|!=|[=<>(),]|-?\d+(?:\.\d+)?|[A-Za-z_][A-Za-z0-9_/]*)`)

// compile parses conditions. typeOf says which paths exist and how they compare.
func compile(source string, typeOf func(string) (kind, bool)) (test, error) {
	if strings.TrimSpace(source) == "" {
		return func(func(string) any) bool { return true }, nil
	}
	p := &parser{source: source, rest: source, typeOf: typeOf}
	expression, err := p.or()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = p.fail("a condition ends here")
	}
	if err != nil {
		return nil, err
	}
	return func(value func(string) any) bool { return value != nil && expression(value) }, nil
}

type parser struct {
	source, rest string
	typeOf       func(string) (kind, bool)
}

func (p *parser) fail(want string) error {
	at := len(p.source) - len(p.rest)
	return refuse(http.StatusBadRequest, "ApiFindCondition", fmt.Sprintf("Condition %q is not valid at character %d: %s.", p.source, at+1, want))
}

func (p *parser) peek() string {
	if m := token.FindStringSubmatch(p.rest); m != nil {
		return m[1]
	}
	return ""
}

func (p *parser) next() string {
	m := token.FindStringSubmatch(p.rest)
	if m == nil {
		return ""
	}
	p.rest = p.rest[len(m[0]):]
	return m[1]
}

// accept takes the next token when it is the word, in any case.
func (p *parser) accept(word string) bool {
	if !strings.EqualFold(p.peek(), word) {
		return false
	}
	p.next()
	return true
}

func (p *parser) or() (test, error) {
	return p.chain("or", p.and, func(a, b test) test { return func(v func(string) any) bool { return a(v) || b(v) } })
}

func (p *parser) and() (test, error) {
	return p.chain("and", p.term, func(a, b test) test { return func(v func(string) any) bool { return a(v) && b(v) } })
}

func (p *parser) chain(word string, operand func() (test, error), join func(a, b test) test) (test, error) {
	left, err := operand()
	for err == nil && p.accept(word) {
		var right test
		if right, err = operand(); err == nil {
			left = join(left, right)
		}
	}
	return left, err
}

func (p *parser) term() (test, error) {
	if p.accept("(") {
		inner, err := p.or()
		if err == nil && !p.accept(")") {
			err = p.fail("a closing bracket is missing")
		}
		return inner, err
	}
	path := p.next()
	k, known := p.typeOf(path)
	if !known {
		return nil, refuse(http.StatusBadRequest, "ApiFindCondition", fmt.Sprintf("%q is not a field that can be searched.", path))
	}
	negated := p.accept("not")
	switch word := strings.ToLower(p.peek()); word {
	case "contains", "like":
		p.next()
		literal := p.next()
		if k != text || !strings.HasPrefix(literal, `"`) {
			return nil, p.fail(word + " compares text")
		}
		pattern := wildcard(unquote(literal), word == "contains")
		return func(v func(string) any) bool {
			s, ok := v(path).(string)
			return ok && pattern.MatchString(s) != negated
		}, nil
	case "in":
		p.next()
		values, err := p.values(k)
		if err != nil {
			return nil, err
		}
		return func(v func(string) any) bool {
			return slices.ContainsFunc(values, func(want any) bool { return compare(k, v(path), want) == 0 }) != negated
		}, nil
	}
	operator := p.next()
	if negated || !slices.Contains([]string{"=", "!=", "<", "<=", ">", ">="}, operator) {
		return nil, p.fail("an operator is missing")
	}
	want, err := p.value(k)
	if err != nil {
		return nil, err
	}
	return func(v func(string) any) bool {
		have := v(path)
		if have == "" && k == date {
			have = nil
		}
		if want == nil || have == nil {
			return operator == "=" && want == have || operator == "!=" && want != have
		}
		n := compare(k, have, want)
		switch operator {
		case "=":
			return n == 0
		case "!=":
			return n != 0
		case "<":
			return n < 0
		case "<=":
			return n <= 0
		case ">":
			return n > 0
		}
		return n >= 0
	}, nil
}

func (p *parser) values(k kind) ([]any, error) {
	if !p.accept("(") {
		return nil, p.fail("in needs a list in brackets")
	}
	var values []any
	for {
		value, err := p.value(k)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if p.accept(")") {
			return values, nil
		}
		if !p.accept(",") {
			return nil, p.fail("a comma or a closing bracket is missing")
		}
	}
}

// value reads a literal and checks that it suits the field.
func (p *parser) value(k kind) (any, error) {
	literal := p.next()
	if strings.EqualFold(literal, "null") {
		return nil, nil
	}
	switch k {
	case text:
		if strings.HasPrefix(literal, `"`) {
			return unquote(literal), nil
		}
		return nil, p.fail("text is compared with a string in double quotes")
	case number, integer:
		if _, err := decimal.NewFromString(literal); err == nil {
			return json.Number(literal), nil
		}
		return nil, p.fail("a number is compared with a number")
	case flag:
		if strings.EqualFold(literal, "true") || strings.EqualFold(literal, "false") {
			return strings.EqualFold(literal, "true"), nil
		}
		return nil, p.fail("a flag is compared with True or False")
	case date:
		inner := strings.TrimSuffix(strings.TrimPrefix(literal, "["), "]")
		for _, layout := range []string{stamp, time.DateOnly} {
			if at, err := time.Parse(layout, inner); err == nil && strings.HasPrefix(literal, "[") {
				return at.Format(stamp), nil
			}
		}
		return nil, p.fail("a date is compared with [2031-02-28T00:00:00Z]")
	}
	return nil, p.fail("this field cannot be compared")
}

func unquote(literal string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(literal[1 : len(literal)-1])
}

var anything = regexp.MustCompile(`[*%]`)

// wildcard turns * and % into "anything"; contains finds the text anywhere.
func wildcard(text string, anywhere bool) *regexp.Regexp {
	parts := anything.Split(text, -1)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	pattern := strings.Join(parts, ".*")
	if !anywhere {
		pattern = "^" + pattern + "$"
	}
	return regexp.MustCompile("(?is)" + pattern)
}

// compare orders two values of a kind; text without regard to case, as the PSA's database does. Nothing sorts first.
func compare(k kind, a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch k {
	case number, integer:
		return decimalOf(a).Cmp(decimalOf(b))
	case flag:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	}
	return cmp.Compare(strings.ToLower(fmt.Sprint(a)), strings.ToLower(fmt.Sprint(b)))
}
