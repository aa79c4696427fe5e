package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// exact are the folders in which no number is a float at all: whatever passes through them may be an amount.
var exact = []string{"model/**", "engine/**", "mapping/**", "state/**"}

var (
	amountWords = regexp.MustCompile(`(?i)price|cost|amount|money|margin|total|quantity|seats`)
	floatWords  = regexp.MustCompile(`\bfloat(32|64)\b|\bParseFloat\b`)
)

const (
	whyNoFloat = "money is exact: decode json.Number or decimal, never a float"
	whyNoSleep = "a test waits for a signal or uses a fake clock; sleeping is slow and still fails on a busy machine"
	whyNoSkip  = "what was not tested must not look tested; declare it in the descriptor or behind a build tag"
)

// habits checks what single lines may not do.
func (c *checker) habits(name string, files *token.FileSet, parsed *ast.File, folder string, isTest bool) {
	line := func(n ast.Node) int { return files.Position(n.Pos()).Line }
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			c.selector(name, line(n), n, isTest)
		case *ast.Ident:
			if (n.Name == "float64" || n.Name == "float32" || n.Name == "ParseFloat") && matchAny(exact, folder) {
				c.report(name, line(n), whyNoFloat, "%s in %s", n.Name, folder)
			}
		case *ast.Field:
			c.amount(name, line(n), names(n.Names), n.Type)
		case *ast.ValueSpec:
			c.amount(name, line(n), names(n.Names), n.Type)
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if id, ok := left.(*ast.Ident); ok && len(n.Rhs) > 0 {
					c.amount(name, line(n), id.Name, n.Rhs[min(i, len(n.Rhs)-1)])
				}
			}
		}
		return true
	})
}

func (c *checker) selector(file string, line int, n *ast.SelectorExpr, isTest bool) {
	on, isName := n.X.(*ast.Ident)
	switch n.Sel.Name {
	case "Sleep":
		if isTest && isName && on.Name == "time" {
			c.report(file, line, whyNoSleep, "time.Sleep in a test")
		}
	case "Skip", "Skipf", "SkipNow":
		if isTest && isName && (on.Name == "t" || on.Name == "b" || on.Name == "f" || on.Name == "tb") {
			c.report(file, line, whyNoSkip, "%s.%s in a test", on.Name, n.Sel.Name)
		}
	case "NewFromFloat", "NewFromFloat32", "NewFromFloatWithExponent", "InexactFloat64":
		c.report(file, line, whyNoFloat, "%s", n.Sel.Name)
	}
}

// amount reports a name that sounds like an amount together with a type or value that is a float.
func (c *checker) amount(file string, line int, name string, of ast.Expr) {
	if of == nil || !amountWords.MatchString(name) {
		return
	}
	float := false
	ast.Inspect(of, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && floatWords.MatchString(id.Name) {
			float = true
		}
		_, inner := n.(*ast.FuncLit)
		return !inner
	})
	if float {
		c.report(file, line, whyNoFloat, "%s is a float", name)
	}
}

func names(ids []*ast.Ident) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.Name
	}
	return strings.Join(all, ", ")
}
