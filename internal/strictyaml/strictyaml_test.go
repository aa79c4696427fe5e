package strictyaml_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
)

func TestScalarsAreAsTyped(t *testing.T) {
	t.Parallel()
	const source = `
account: 007
price: 12.10
day: 2026-01-02
answer: no
big: 1_000
octal: 0o17
quoted: " two "
folded: >-
  one
  two
null_word: ~
nothing:
nothing_quoted: ""
`
	want := map[string]string{
		"account": "007", "price": "12.10", "day": "2026-01-02", "answer": "no", "big": "1_000", "octal": "0o17",
		"quoted": " two ", "folded": "one two", "null_word": "", "nothing": "", "nothing_quoted": "",
	}
	var problems diag.List
	m := strictyaml.Parse("a.yaml", []byte(source), &problems).Map()
	got := map[string]string{}
	m.Each(func(key, value *strictyaml.Node) { got[key.Text()] = value.Text() })
	m.Close()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("texts (-want +got):\n%s", diff)
	}
	if err := problems.Err(); err != nil {
		t.Error(err)
	}
}

// reading is what the cases of TestComplaints do with a document: every kind of question once.
func reading(root *strictyaml.Node) {
	m := root.Map()
	m.Get("text").Text()
	m.Get("flag").Bool()
	m.Get("count").Int()
	m.Get("word").OneOf("vendor", "psa")
	m.Get("list").Texts()
	inner := m.Get("map").Map()
	inner.Need("needed")
	inner.Close()
	m.Close()
}

func TestComplaints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, source, want string }{
		{"all is well", "text: a\nflag: true\ncount: -3\nword: psa\nlist: [a, b]\nmap: {needed: x}", ""},
		{"nothing is asked of absent keys", "{}", ""},
		{"empty", "", "a.yaml: the file is empty (see the examples in configs)"},
		{"only a comment", "# nothing\n", "a.yaml: the file is empty (see the examples in configs)"},
		{"not YAML: the line that is out of step, not the block it breaks", "records:\n  one:\n    a: 1\n two:\n    b: 2\n", "a.yaml:4:2: not valid YAML: did not find expected key"},
		{"not YAML: a quote that is never closed", "a: 1\nb: \"x\nc: 2\n", "a.yaml:2:1: not valid YAML: found unexpected end of stream"},
		{"not YAML", "text: a\n\tflag: true\n", "a.yaml:2:1: not valid YAML: found a tab character that violates indentation"},
		{"two documents", "text: a\n---\ntext: b\n", "a.yaml:2:1: a second YAML document in one file is not read (put it into a file of its own)"},
		{"wrong root", "[a]", "a.yaml:1:1: expected a map of keys and values, found a list"},
		{"repeated key", "text: a\nflag: true\ntext: b\n", `a.yaml:3:1: key "text" is written twice; the first is in line 1 (remove one of them)`},
		{"unknown key", "txet: a\n", `a.yaml:1:1: unknown key "txet" (did you mean "text"?)`},
		{"unknown key far from any", "surprise: a\n", `a.yaml:1:1: unknown key "surprise" (known: count, flag, list, map, text, word)`},
		{"missing key", "map: {}\n", `a.yaml:1:6: "needed" is missing (add it)`},
		{"no space after the colon", "{text:planted}", `a.yaml:1:2: unknown key "text:..." (write a space after the colon)`},
		{"text", "text: [a]", "a.yaml:1:7: expected a text, found a list"},
		{"flag", "flag: yes", `a.yaml:1:7: "yes" is not true or false (write true or false)`},
		{"flag shape", "flag: {a: b}", "a.yaml:1:7: expected a text, found a map"},
		{"count", "count: 3.0", `a.yaml:1:8: "3.0" is not a whole number`},
		{"count shape", "count: [3]", "a.yaml:1:8: expected a text, found a list"},
		{"word", "word: vendr", `a.yaml:1:7: "vendr" is not allowed here (did you mean "vendor"?)`},
		{"word shape", "word: [psa]", "a.yaml:1:7: expected a text, found a list"},
		{"list", "list: a", `a.yaml:1:7: expected a list, found the text "a" (write it as [one, two])`},
		{"list item", "list: [a, {b: c}]", "a.yaml:1:11: expected a text, found a map"},
		{"map", "map: a", `a.yaml:1:6: expected a map of keys and values, found the text "a"`},
		{"key shape", "{[a]: b}", "a.yaml:1:2: expected a text, found a list\n" + `a.yaml:1:2: unknown key "" (known: count, flag, list, map, text, word)`},
		{"merge key", "map: {<<: {needed: x}}", `a.yaml:1:6: "needed" is missing (add it)` + "\n" + `a.yaml:1:7: unknown key "<<" (known: needed)`},
		{"anchor", "text: &planted a", "a.yaml:1:7: anchors and aliases are not allowed (write the value out in each place; a text that starts with * or & needs quotes)"},
		{"alias without anchor", "text: *planted", "a.yaml:1:1: anchors and aliases are not allowed (write the value out in each place; a text that starts with * or & needs quotes)"},
		{"tag", "text: !planted a", "a.yaml:1:7: tags are not allowed (a text that starts with ! needs quotes)"},
		{"several at once", "flag: 1\nextra: x\ncount: a\n", `a.yaml:1:7: "1" is not true or false (write true or false)
a.yaml:2:1: unknown key "extra" (known: count, flag, list, map, text, word)
a.yaml:3:8: "a" is not a whole number`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var problems diag.List
			reading(strictyaml.Parse("a.yaml", []byte(c.source), &problems))
			got := ""
			if err := problems.Err(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAbsentNodeAnswersWithNothing(t *testing.T) {
	t.Parallel()
	var n *strictyaml.Node
	n.Complain("", "never seen")
	if n.Present() || n.IsMap() || n.IsList() || n.IsScalar() || n.Bool() {
		t.Error("an absent node claims to be something")
	}
	if n.Text() != "" || n.Int() != 0 || n.List() != nil || n.Texts() != nil || n.OneOf("a") != "" {
		t.Error("an absent node has a value")
	}
	if n.Pos() != (diag.Pos{}) {
		t.Errorf("an absent node stands at %s", n.Pos())
	}
	m := n.Map()
	if m.Get("a") != nil || m.Need("b") != nil {
		t.Error("an absent map has keys")
	}
	m.Each(func(key, _ *strictyaml.Node) { t.Errorf("an absent map has key %q", key.Text()) })
	m.Close()
}
