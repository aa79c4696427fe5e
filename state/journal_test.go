package state_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/state"
)

// The drawing in docs/journal.md, the constants and the transitions say the same.
func TestJournalDrawing(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, drawing, ok := strings.Cut(string(doc), "stateDiagram-v2\n")
	drawing, _, closed := strings.Cut(drawing, "```")
	if !ok || !closed {
		t.Fatal("docs/journal.md has no state diagram")
	}
	var drawn, ends []string
	arrow := regexp.MustCompile(`^\s+(\[\*\]|[a-z]+) --> (\[\*\]|[a-z]+)(: .+)?$`)
	for line := range strings.Lines(drawing) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		m := arrow.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case m == nil:
			t.Errorf("cannot read the line %q", line)
		case m[2] == "[*]":
			ends = append(ends, m[1])
		default:
			drawn = append(drawn, strings.TrimPrefix(m[1], "[*]")+" -> "+m[2])
		}
	}
	var allowed, final, states []string
	for from, all := range state.Transitions {
		if from != "" {
			states = append(states, string(from))
		}
		if len(all) == 0 {
			final = append(final, string(from))
		}
		for _, next := range all {
			allowed = append(allowed, string(from)+" -> "+string(next))
		}
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z]+) \| .+ \| (?:no|yes|perhaps).* \|$`).FindAllStringSubmatch(string(doc), -1) {
		rows = append(rows, m[1])
	}
	same := func(what string, got, want []string) {
		t.Helper()
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-code +docs/journal.md):\n%s", what, diff)
		}
	}
	same("arrows", drawn, allowed)
	same("final states", ends, final)
	same("table of states", rows, states)
	same("constants", states, journalConstants(t))
}

// journalConstants reads the constants' values from the source, so that one missing in the transitions is noticed.
func journalConstants(t *testing.T) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "journal.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, decl := range file.Decls {
		block, ok := decl.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, spec := range block.Specs {
			value := spec.(*ast.ValueSpec)
			if typ, ok := value.Type.(*ast.Ident); !ok || typ.Name != "JournalState" {
				continue
			}
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, text)
		}
	}
	return values
}
