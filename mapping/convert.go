package mapping

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/model"
)

// step changes a value on its way from the system to the model, and back where it can.
type step struct {
	out       model.Type
	read      func(model.Value) (model.Value, error)
	write     func(model.Value) (model.Value, error) // nil: one-way
	in        model.Type
	blanks    bool // read wants empty values too; otherwise they stay empty
	unordered bool // writing may reorder what was read
}

func (s step) forward(v model.Value) (model.Value, error) {
	if v.Blank() && !s.blanks {
		return model.Empty(s.out), nil
	}
	return s.read(v)
}

func (s step) backward(v model.Value) (model.Value, error) {
	if v.Blank() && !s.blanks {
		return model.Empty(s.in), nil
	}
	return s.write(v)
}

// Converter is one of the words that may stand after as:.
type Converter struct {
	Name     string
	Argument string // what stands in the brackets; "" for none, in [] when it may be left out
	Takes    []model.Type
	Gives    model.Type // "" for the type it takes
	TwoWay   bool
	Doc      string
	build    func(in model.Type, argument string) (step, error)
}

// Converters are all of them, in documentation order.
var Converters = []Converter{
	{"lower", "", textOrList, "", false, "Lower case.", eachText(strings.ToLower)},
	{"upper", "", textOrList, "", false, "Upper case.", eachText(strings.ToUpper)},
	{"trim", "", textOrList, "", false, "Without white space at both ends.", eachText(strings.TrimSpace)},
	{"host", "", textOrList, "", false, "The domain of a web address or e-mail address, lower case, without www.", eachText(host)},
	{"split", "[separator]", []model.Type{model.TypeText}, model.TypeList, true,
		"A text of several entries as a list; the separator is a comma unless given. Written back in alphabetical order.", buildSplit},
	{"prefix", "text", []model.Type{model.TypeText}, "", true, "The system's value begins with this text, the model's does not.", buildPrefix},
	{"not", "", []model.Type{model.TypeBool}, "", true, "true becomes false and false becomes true.", buildNot},
	{"day", "", []model.Type{model.TypeInstant}, model.TypeDay, false, "The calendar day of a moment, in UTC.", buildDay},
	{"default", "value", []model.Type{model.TypeText, model.TypeQuantity, model.TypeMoney, model.TypeDay, model.TypeInstant, model.TypeBool}, "", false,
		"This value where the system holds nothing.", buildDefault},
}

var textOrList = []model.Type{model.TypeText, model.TypeList}

var converterSyntax = regexp.MustCompile(`^\s*([A-Za-z_]+)\s*(?:\((.*)\))?\s*$`)

// compileConverter reads one entry of as:. The hint is the next step for the error.
func compileConverter(text string, in model.Type) (s step, twoWay bool, hint string, err error) {
	parts := converterSyntax.FindStringSubmatch(text)
	if parts == nil {
		return step{}, false, `write a converter like lower or split(";")`, fmt.Errorf("%q is not a converter", text)
	}
	name, argument := parts[1], strings.TrimSpace(parts[2])
	if name == "words" {
		return step{}, false, "write them beside as:, like words: {billable: Billable, no_charge: NoCharge}", errors.New("words is not a converter")
	}
	i := slices.IndexFunc(Converters, func(c Converter) bool { return c.Name == name })
	if i < 0 {
		return step{}, false, diag.DidYouMean(name, converterNames()), fmt.Errorf("unknown converter %q", name)
	}
	c := Converters[i]
	if len(argument) > 1 && (argument[0] == '"' || argument[0] == '\'') && argument[len(argument)-1] == argument[0] {
		argument = argument[1 : len(argument)-1]
	}
	bracketed := strings.Contains(text, "(")
	switch optional := strings.HasPrefix(c.Argument, "["); {
	case c.Argument == "" && bracketed:
		return step{}, false, "write " + name, fmt.Errorf("the converter %s takes nothing in brackets", name)
	case c.Argument != "" && !optional && argument == "":
		return step{}, false, fmt.Sprintf("write %s(%s)", name, c.Argument), fmt.Errorf("the converter %s needs its %s in brackets", name, c.Argument)
	case !slices.Contains(c.Takes, in):
		return step{}, false, "it takes " + joinTypes(c.Takes), fmt.Errorf("the converter %s cannot take %s", name, in)
	}
	s, err = c.build(in, argument)
	s.in = in
	if s.out = c.Gives; s.out == "" {
		s.out = in
	}
	return s, c.TwoWay, "", err
}

func converterNames() []string {
	names := make([]string, len(Converters))
	for i, c := range Converters {
		names[i] = c.Name
	}
	return names
}

func eachText(f func(string) string) func(model.Type, string) (step, error) {
	return func(in model.Type, _ string) (step, error) {
		if in == model.TypeText {
			return step{read: func(v model.Value) (model.Value, error) { return model.Text(f(v.String())), nil }}, nil
		}
		return step{read: func(v model.Value) (model.Value, error) {
			items := v.Items()
			for i := range items {
				items[i] = f(items[i])
			}
			return model.List(items...), nil
		}}, nil
	}
}

// host finds the domain in what people type into a website or e-mail field.
func host(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if at := strings.LastIndexByte(s, '@'); at >= 0 && !strings.Contains(s, "/") {
		return strings.TrimSuffix(s[at+1:], ".")
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSuffix(u.Hostname(), "."), "www.")
}

func buildSplit(_ model.Type, separator string) (step, error) {
	if separator == "" {
		separator = ","
	}
	return step{
		unordered: true,
		read: func(v model.Value) (model.Value, error) {
			return model.List(strings.Split(v.String(), separator)...), nil
		},
		write: func(v model.Value) (model.Value, error) {
			for _, item := range v.Items() {
				if strings.Contains(item, separator) {
					return model.Value{}, fmt.Errorf("%q contains the separator %q", item, separator)
				}
			}
			return model.Text(strings.Join(v.Items(), separator)), nil
		},
	}, nil
}

func buildPrefix(_ model.Type, prefix string) (step, error) {
	return step{
		read: func(v model.Value) (model.Value, error) {
			rest, ok := strings.CutPrefix(v.String(), prefix)
			if !ok || rest == "" {
				return model.Value{}, fmt.Errorf("%q does not begin with %q and go on", v, prefix)
			}
			return model.Text(rest), nil
		},
		write: func(v model.Value) (model.Value, error) { return model.Text(prefix + v.String()), nil },
	}, nil
}

func buildNot(model.Type, string) (step, error) {
	flip := func(v model.Value) (model.Value, error) { return model.Bool(!v.True()), nil }
	return step{read: flip, write: flip}, nil
}

func buildDay(model.Type, string) (step, error) {
	return step{read: func(v model.Value) (model.Value, error) {
		at, ok := v.Time()
		if !ok {
			return model.Value{}, fmt.Errorf("%q is not a moment", v)
		}
		return model.DayValue(model.DayOf(at.UTC())), nil
	}}, nil
}

func buildDefault(in model.Type, argument string) (step, error) {
	fallback, err := model.Parse(in, argument)
	return step{blanks: true, read: func(v model.Value) (model.Value, error) {
		if v.Blank() {
			return fallback, nil
		}
		return v, nil
	}}, err
}

// implicit is the conversion that needs no converter: between the same types, between text and what a text can spell,
// and from a text to a list of one. ok is false when there is none. identical means that there is nothing to do.
func implicit(from, to model.Type) (s step, identical, ok bool) {
	s = step{in: from, out: to}
	switch {
	case from == to:
		return s, true, true
	case from == model.TypeText && to == model.TypeList:
		s.read = func(v model.Value) (model.Value, error) { return model.List(v.String()), nil }
	case from == model.TypeText:
		s.read = parse(to)
		s.write = spell
	case to == model.TypeText && from != model.TypeList:
		s.read = spell
		s.write = parse(from)
	default:
		return step{}, false, false
	}
	return s, false, true
}

func spell(v model.Value) (model.Value, error) { return model.Text(v.String()), nil }

func parse(t model.Type) func(model.Value) (model.Value, error) {
	return func(v model.Value) (model.Value, error) { return model.Parse(t, v.String()) }
}

// wordTable is what words: says: the system's word for each of the model's.
type wordTable struct {
	toModel  map[string]string
	toNative map[string]string
}

// step reads and writes by the table. Words it does not know are a problem, or unknown where the model has that word.
func (w wordTable) step(in model.Type, hasUnknown bool) step {
	_, blanks := w.toModel[""]
	return step{
		in: in, out: model.TypeText, blanks: blanks,
		read: func(v model.Value) (model.Value, error) {
			word, ok := w.toModel[v.String()]
			switch {
			case ok:
				return model.Text(word), nil
			case v.Blank():
				return model.Empty(model.TypeText), nil
			case hasUnknown:
				return model.Text(model.StatusUnknown), nil
			}
			return model.Value{}, fmt.Errorf("%q has no word in the mapping; add it to words", v)
		},
		write: func(v model.Value) (model.Value, error) {
			word, ok := w.toNative[v.String()]
			if !ok {
				return model.Value{}, fmt.Errorf("%q has no word in the mapping; add it to words", v)
			}
			return model.Parse(in, word)
		},
	}
}

func (w wordTable) String() string {
	parts := make([]string, 0, len(w.toModel))
	for _, native := range slices.Sorted(maps.Keys(w.toModel)) {
		parts = append(parts, w.toModel[native]+": "+native)
	}
	slices.Sort(parts)
	return "words: {" + strings.Join(parts, ", ") + "}"
}

func joinTypes(types []model.Type) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return strings.Join(words, " or ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
