// Package archtest keeps the house in order: it reads every Go file of the repository and reports what breaks the map.
//
// Arrows between packages point down to model and never turn back; each forbidden arrow is reported with the reason it is
// forbidden (Rules). It also reports packages without a package comment, files too long to read, tests that sleep or skip,
// and amounts that pass through a float (see Check).
//
// Only source text is read, so a fake tree tests the checker itself.
package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// MaxLines is the longest a Go file may be: what one sitting can review.
const MaxLines = 700

// Rule says what the packages that match Of may import. A path is relative to the module; "x/**" is x and everything
// below it, "*" is one path element.
type Rule struct {
	Of      string
	Except  []string // packages under Of that the rule does not bind
	Ours    []string // the only packages of ours that may be imported; nil leaves them free. Under a "/**" rule a package may also import what is below it.
	Tests   []string // what test files may import besides
	Foreign []string // imports from elsewhere that are refused outside test files, with everything below them
	Because string
}

var database = []string{"database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq", "modernc.org/sqlite", "github.com/pressly/goose"}

// Rules are the map as a table. Every rule that matches a package binds it.
var Rules = []Rule{
	{
		Of:      "model/**",
		Ours:    []string{},
		Because: "the nouns stand alone: whatever they imported, everything would import",
	},
	{
		Of:      "engine/plan/**",
		Ours:    []string{"model"},
		Foreign: []string{"os", "net", "log", "sync", "math/rand", "go.uber.org/zap", "golang.org/x/sync", "database/sql"},
		Because: "planning is a calculation: the same input gives the same bytes, and nothing in it can block",
	},
	{
		Of:      "engine/**",
		Except:  []string{"engine/plan/**"},
		Ours:    []string{"model", "mapping", "connectors", "state", "engine/**"},
		Tests:   []string{"connectors/memory/**", "state/**", "internal/**", "configs"},
		Because: "the cycle names no vendor and reads no configuration: cmd hands in what it works with",
	},
	{
		Of:      "connectors",
		Ours:    []string{"model"},
		Because: "the contract is what both ends agree on; it must not know either end",
	},
	{
		Of:      "connectors/*/**",
		Except:  []string{"connectors/all", "connectors/connectortest/**", "connectors/internal/**", "connectors/*/*test/**"},
		Ours:    []string{"model", "connectors", "connectors/internal/**"},
		Tests:   []string{"connectors/connectortest"},
		Because: "a connector speaks to one system: it knows no other connector, no mapping, no plan and no store, so that one more touches nothing else",
	},
	{
		Of:      "connectors/*/*test/**",
		Ours:    []string{"model", "connectors"},
		Because: "a fake judges its connector: sharing the connector's code would share its mistakes",
	},
	{
		Of:      "connectors/connectortest/**",
		Ours:    []string{"model", "connectors"},
		Tests:   []string{"connectors/memory/**"},
		Because: "the suite is the contract made executable: it knows what every connector promises and nothing of any one",
	},
	{
		Of:      "connectors/all",
		Ours:    []string{"model", "connectors", "connectors/*"},
		Because: "it is the list of systems and nothing else",
	},
	{
		Of:      "connectors/internal/**",
		Ours:    []string{"model", "connectors", "connectors/internal/**"},
		Because: "plumbing under the connectors serves all of them, so it knows none",
	},
	{
		Of:      "mapping/**",
		Ours:    []string{"model", "connectors", "internal/diag", "internal/strictyaml"},
		Tests:   []string{"connectors/**"},
		Because: "translation knows what connectors say about their fields, not how they speak, and nothing of plans or stores",
	},
	{
		Of:      "state/**",
		Ours:    []string{"model", "connectors", "engine/plan", "state/**"},
		Because: "memory keeps records and plans; it decides nothing and speaks to no system",
	},
	{
		Of:      "**",
		Except:  []string{"state/**", "cmd/**", "internal/jobs"},
		Foreign: database,
		Because: "SQL stays in state, behind one store for both databases; internal/jobs only hands its connection to the queue",
	},
	{
		Of:      "internal/diag",
		Ours:    []string{},
		Because: "complaints are the bottom of the plumbing: every loader uses them",
	},
	{
		Of:      "internal/strictyaml",
		Ours:    []string{"internal/diag"},
		Because: "it reads YAML for any loader, so it knows no loader",
	},
}

// Violation is one thing that breaks the map.
type Violation struct {
	File   string // relative to the repository
	Line   int    // 0 when it concerns the whole file or package
	What   string
	Reason string
}

func (v Violation) String() string {
	place := v.File
	if v.Line > 0 {
		place += ":" + strconv.Itoa(v.Line)
	}
	return fmt.Sprintf("%s: %s (%s)", place, v.What, v.Reason)
}

// Check reads the Go files of tree, the root of the module named module, and returns what breaks the rules, sorted by
// place. A file that cannot be parsed is an error.
func Check(tree fs.FS, module string) ([]Violation, error) {
	c := checker{module: module, documented: map[string]bool{}, packages: map[string]string{}}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return c.file(name, source)
	})
	if err != nil {
		return nil, fmt.Errorf("read the source tree: %w", err)
	}
	c.packageComments()
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.What, b.What))
	})
	return c.found, nil
}

type checker struct {
	module     string
	packages   map[string]string // folder -> its first file with code for users
	documented map[string]bool
	found      []Violation
}

func (c *checker) report(file string, line int, reason, format string, args ...any) {
	c.found = append(c.found, Violation{file, line, fmt.Sprintf(format, args...), reason})
}

func (c *checker) file(name string, source []byte) error {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	folder, isTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
	if lines := files.Position(parsed.FileEnd).Line; lines > MaxLines && !ast.IsGenerated(parsed) {
		c.report(name, 0, "a file is as long as one sitting can review", "%d lines, the limit is %d", lines, MaxLines)
	}
	if !isTest {
		if _, seen := c.packages[folder]; !seen {
			c.packages[folder] = name
		}
		text := parsed.Doc.Text()
		if strings.HasPrefix(text, "Package "+parsed.Name.Name+" ") || parsed.Name.Name == "main" && strings.HasPrefix(text, "Command ") {
			c.documented[folder] = true
		}
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: read import %s: %w", name, spec.Path.Value, err)
		}
		c.arrow(name, files.Position(spec.Pos()).Line, folder, imported, isTest)
	}
	c.habits(name, files, parsed, folder, isTest)
	return nil
}

// arrow checks one import against every rule that binds the importing folder.
func (c *checker) arrow(file string, line int, folder, imported string, isTest bool) {
	own, isOurs := strings.CutPrefix(imported, c.module+"/")
	for _, rule := range Rules {
		if !match(rule.Of, folder) || matchAny(rule.Except, folder) {
			continue
		}
		switch {
		case isOurs && rule.Ours != nil:
			inside := strings.HasSuffix(rule.Of, "/**") && strings.HasPrefix(own, folder+"/")
			if own == folder || inside || matchAny(rule.Ours, own) || isTest && matchAny(rule.Tests, own) {
				continue
			}
			c.report(file, line, rule.Because, "%s must not import %s", folder, own)
		case !isOurs && !isTest && slices.ContainsFunc(rule.Foreign, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") }):
			c.report(file, line, rule.Because, "%s must not import %s", folder, imported)
		}
	}
}

func (c *checker) packageComments() {
	for folder, file := range c.packages {
		if !c.documented[folder] {
			c.report(file, 0, "the package comment is the manual", "package %s has no comment that starts with its name", folder)
		}
	}
}

func matchAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, folder) })
}

// match reports whether a folder matches a pattern of Rule.
func match(pattern, folder string) bool {
	if pattern == "**" {
		return true
	}
	base, deep := strings.CutSuffix(pattern, "/**")
	parts, want := strings.Split(folder, "/"), strings.Split(base, "/")
	if len(parts) < len(want) || !deep && len(parts) > len(want) {
		return false
	}
	for i, w := range want {
		if ok, err := path.Match(w, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
