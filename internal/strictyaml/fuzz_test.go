package strictyaml_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// Whatever is typed, a reading ends, gives the same complaints again, and each of them names a line that the file has.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a: [1, {b: *c}]", "- !x &y z", "a: |\n  b\n---\n...", "\xef\xbb\xbfa: 1", "{a: {a: {a: ", "a: 1\nb: [x, 'y']\n", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a:\n  - b: {c: 007}\n", "a: !!binary aGk=\n", "---\na: 1\n---\nb: 2\n",
		"<<: {a: 1}\n", "a: \"\\u0000\"\n", "a: ${env:X}\n", "- - - x\n", "a:\tb\n", "\xff\xfe", "? [a]\n: b\n", "a: |\n  text\n b\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		lines := bytes.Count(bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n")), []byte("\n")) + bytes.Count(source, []byte("\r")) +
			strings.Count(string(source), "\u0085") + strings.Count(string(source), "\u2028") + strings.Count(string(source), "\u2029") + 1
		read := func() string {
			var problems diag.List
			root := strictyaml.Parse("x.yaml", source, &problems)
			if root == nil && problems.Empty() {
				t.Error("nothing was read, and nothing is said of it")
			}
			reading(root)
			for _, p := range problems.Problems() {
				if p.Pos.File != "x.yaml" || p.Pos.Line < 0 || p.Pos.Line > lines || p.Message == "" {
					t.Errorf("the file has %d lines, and a complaint is about %v: %q", lines, p.Pos, p.Message)
				}
			}
			if err := problems.Err(); err != nil {
				return err.Error()
			}
			return ""
		}
		if first, second := read(), read(); first != second {
			t.Errorf("read twice:\n%s\n%s", first, second)
		}
	})
}
