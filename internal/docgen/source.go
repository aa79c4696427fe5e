package docgen

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// source reads comments and constants of the repository. A failure is kept and ends the whole; the caller goes on.
type source struct {
	tree   fs.FS
	failed []error
}

func (s *source) fail(format string, args ...any) {
	s.failed = append(s.failed, fmt.Errorf(format, args...))
}

// files parses the Go files of a folder: its tests, or everything else.
func (s *source) files(folder string, tests bool) []*ast.File {
	names, err := fs.Glob(s.tree, path.Join(folder, "*.go"))
	if err != nil || len(names) == 0 {
		s.fail("read %s: no Go files there (%v)", folder, err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		text, err := fs.ReadFile(s.tree, name)
		if err != nil {
			s.fail("read %s: %w", name, err)
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		if err != nil {
			s.fail("read %s: %w", name, err)
			continue
		}
		files = append(files, file)
	}
	return files
}

// packageComment is the manual of a package, as text. It begins with subject instead of "Package x".
func (s *source) packageComment(folder, subject string) string {
	for _, file := range s.files(folder, false) {
		if words := strings.SplitN(file.Doc.Text(), " ", 3); len(words) == 3 {
			return subject + " " + words[2]
		}
	}
	s.fail("%s has no package comment", folder)
	return ""
}

// comment is the comment of a function. It begins with subject instead of the function's name.
func (s *source) comment(folder, function, subject string) string {
	for _, file := range s.files(folder, false) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == function && f.Doc != nil {
				return subject + strings.TrimPrefix(f.Doc.Text(), function)
			}
		}
	}
	s.fail("%s has no function %s with a comment", folder, function)
	return ""
}

// constant is a text or number constant with what its comments say.
type constant struct {
	Name, Value string
	Doc         string // the comment behind it
	Group       string // the comment above it, or above those before it in its paragraph
}

// constants lists the constants of a type in the order of the source; an empty type means those without one.
func (s *source) constants(folder, typ string) []constant {
	var list []constant
	for _, file := range s.files(folder, false) {
		for _, decl := range file.Decls {
			if block, ok := decl.(*ast.GenDecl); ok && block.Tok == token.CONST {
				list = append(list, constantsIn(block, typ)...)
			}
		}
	}
	if len(list) == 0 {
		s.fail("%s has no constants of type %q", folder, typ)
	}
	return list
}

func constantsIn(block *ast.GenDecl, typ string) (list []constant) {
	group := ""
	for _, spec := range block.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		if v.Doc != nil {
			group = strings.TrimSpace(v.Doc.Text())
		}
		name := ""
		if id, ok := v.Type.(*ast.Ident); ok {
			name = id.Name
		}
		if name != typ || len(v.Values) != 1 {
			continue
		}
		value, ok := literal(v.Values[0], nil)
		if ok {
			list = append(list, constant{Name: v.Names[0].Name, Value: value, Doc: strings.TrimSpace(v.Comment.Text()), Group: group})
		}
	}
	return list
}

// literal evaluates texts, numbers and joined texts; names are looked up in known.
func literal(e ast.Expr, known map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return e.Value, true
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, okLeft := literal(e.X, known)
		right, okRight := literal(e.Y, known)
		return left + right, okLeft && okRight && e.Op == token.ADD
	case *ast.SelectorExpr:
		text, ok := known[e.Sel.Name]
		return text, ok
	}
	return "", false
}

// skips are the exceptions that a connector's conformance test declares: what is left out, and why.
func (s *source) skips(folder string) map[string]string {
	faults := map[string]string{}
	for _, c := range s.constants("connectors/connectortest", "") {
		faults[c.Name] = c.Value
	}
	found := map[string]string{}
	for _, file := range s.files(folder, true) {
		ast.Inspect(file, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := pair.Key.(*ast.Ident)
			table, isTable := pair.Value.(*ast.CompositeLit)
			if !isName || !isTable || key.Name != "Skips" {
				return true
			}
			for _, e := range table.Elts {
				entry, isEntry := e.(*ast.KeyValueExpr)
				if !isEntry {
					continue
				}
				what, ok := literal(entry.Key, faults)
				why, ok2 := literal(entry.Value, faults)
				if !ok || !ok2 {
					s.fail("%s: a skip is not written out as text", folder)
				}
				found[what] = why
			}
			return true
		})
	}
	return found
}

// markdown turns a Go comment into Markdown; blocks of code get the given language.
func markdown(text, language string) string {
	var b strings.Builder
	var p comment.Parser
	printer := comment.Printer{HeadingLevel: 2, HeadingID: func(*comment.Heading) string { return "" }, DocLinkURL: func(*comment.DocLink) string { return "" }}
	for _, block := range p.Parse(text).Content {
		if c, ok := block.(*comment.Code); ok {
			fmt.Fprintf(&b, "```%s\n%s```\n\n", language, c.Text)
			continue
		}
		b.WriteString(strings.TrimSpace(string(printer.Markdown(&comment.Doc{Content: []comment.Block{block}}))) + "\n\n")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
