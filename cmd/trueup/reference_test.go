package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/docgen"
)

//go:generate go test -run ^TestReferenceIsUpToDate$ . -write-reference

var writeReference = flag.Bool("write-reference", false, "write docs/reference instead of comparing it")

// TestReferenceIsUpToDate makes the reference pages and compares them with those in the repository.
func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	const folder = "../../docs/reference"
	a := &app{stdout: io.Discard, stderr: io.Discard}
	pages, err := docgen.Reference(os.DirFS("../.."), a.root())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, page := range pages {
		known[page.Name] = true
		name := filepath.Join(folder, page.Name)
		if *writeReference {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(page.Text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatalf("%v; make generate writes it", err)
		}
		if diff := cmp.Diff(string(have), page.Text); diff != "" {
			t.Errorf("docs/reference/%s is stale; make generate writes it anew:\n%s", page.Name, diff)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("docs/reference/%s is not made from the code any more; delete it", e.Name())
		}
	}
}

var (
	spanOfCode = regexp.MustCompile("`(trueup [a-z][^`\n]*)`")
	lineOfCode = regexp.MustCompile(`(?m)^(?:\$ )?(trueup (?:-c \S+ )?[a-z][^\n#|]*)`)
	fences     = regexp.MustCompile("(?ms)^```(?:sh|console)\n(.*?)^```$")
)

// TestDocumentsNameRealCommands: every trueup command that a page shows exists, with its flags.
func TestDocumentsNameRealCommands(t *testing.T) {
	t.Parallel()
	pages := []string{"../../README.md", "../../CHANGELOG.md", "../../CONTRIBUTING.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		found := spanOfCode.FindAllStringSubmatch(string(text), -1)
		for _, fence := range fences.FindAllStringSubmatch(string(text), -1) {
			found = append(found, lineOfCode.FindAllStringSubmatch(fence[1], -1)...)
		}
		for _, m := range found {
			checked++
			if err := realCommand(m[1]); err != nil {
				t.Errorf("%s shows %q: %v", page, m[1], err)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were looked at", checked)
	}
}

func realCommand(line string) error {
	root := (&app{}).root()
	var words, flags []string
	given := strings.Fields(line)[1:]
	for i := 0; i < len(given); i++ {
		switch word := given[i]; {
		case word == "-c":
			i++
		case strings.HasPrefix(word, "--"):
			flags = append(flags, strings.TrimPrefix(strings.SplitN(word, "=", 2)[0], "--"))
		default:
			words = append(words, word)
		}
	}
	c, rest, err := root.Find(words)
	switch {
	case err != nil:
		return err
	case c == root:
		return errors.New("it names no command")
	case c.HasSubCommands() && !c.Runnable() && len(rest) > 0:
		return fmt.Errorf("%s has no command %s", c.CommandPath(), rest[0])
	}
	for _, name := range flags {
		if c.Flag(name) == nil && name != "help" {
			return fmt.Errorf("%s has no flag --%s", c.CommandPath(), name)
		}
	}
	return nil
}
