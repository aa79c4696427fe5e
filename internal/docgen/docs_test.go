package docgen_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/internal/vault"
	"github.com/trueup-sync/trueup/mapping"
)

const root = "../.."

// document is a Markdown file of the repository.
type document struct {
	name string // from the root, with slashes
	text string
}

// documents reads what people read: the pages at the root and everything under docs.
func documents(t *testing.T) []document {
	t.Helper()
	var found []document
	tree := os.DirFS(root)
	add := func(name string) error {
		text, err := fs.ReadFile(tree, name)
		found = append(found, document{name, string(text)})
		return err
	}
	top, err := fs.Glob(tree, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range top {
		if err := add(name); err != nil {
			t.Fatal(err)
		}
	}
	err = fs.WalkDir(tree, "docs", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".md" {
			return err
		}
		return add(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d documents were found; the test looks in the wrong place", len(found))
	}
	return found
}

var (
	fence      = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	target     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// prose is a document without its code.
func (d document) prose() string {
	return inlineCode.ReplaceAllString(fence.ReplaceAllString(d.text, ""), "")
}

// anchors are the names under which a document's headings can be linked.
func (d document) anchors() map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(d.text, ""), -1) {
		names[strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-")] = true
	}
	return names
}

// Every link inside the repository leads to a file, and to a heading in it where it names one; and every page is linked.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	docs := documents(t)
	byName := map[string]document{}
	for _, d := range docs {
		byName[d.name] = d
	}
	checked, linked := 0, map[string]bool{}
	for _, d := range docs {
		for _, m := range target.FindAllStringSubmatch(d.prose(), -1) {
			link := m[1]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(link, "#")
			name := d.name
			if file != "" {
				name = path.Join(path.Dir(d.name), file)
				linked[name] = true
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s links to %s, which is not there", d.name, link)
				continue
			}
			if anchor != "" && !byName[name].anchors()[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", d.name, link, name)
			}
		}
	}
	for _, d := range docs {
		if strings.HasPrefix(d.name, "docs/") && !linked[d.name] {
			t.Errorf("no page links to %s; name it in the README.md beside it", d.name)
		}
	}
	if checked < 50 {
		t.Errorf("only %d links were looked at", checked)
	}
}

// block is a piece of YAML in a document. Its word is what follows yaml in the fence: nothing for a whole file that loads,
// fragment for a part that only parses, wrong for a file whose complaints follow in a text block.
type block struct {
	word, text, complaints string
}

func (d document) blocks(t *testing.T) []block {
	t.Helper()
	var list []block
	fences := fence.FindAllStringSubmatch(d.text, -1)
	for i, m := range fences {
		word, isYAML := strings.CutPrefix(m[1], "yaml")
		if !isYAML {
			continue
		}
		b := block{word: strings.TrimSpace(word), text: m[2]}
		switch b.word {
		case "", "fragment":
		case "wrong":
			if i+1 == len(fences) || fences[i+1][1] != "text" {
				t.Errorf("%s: no text block with the complaints follows\n%s", d.name, b.text)
				continue
			}
			b.complaints = fences[i+1][2]
		default:
			t.Errorf("%s: yaml %s is not one of yaml, yaml fragment, yaml wrong", d.name, b.word)
		}
		list = append(list, b)
	}
	return list
}

// Every piece of YAML in the documents is what it says it is.
func TestYAMLInDocumentsIsTrue(t *testing.T) {
	t.Parallel()
	words := map[string]int{}
	for _, d := range documents(t) {
		lastMapping := ""
		for _, b := range d.blocks(t) {
			words[b.word]++
			got := ""
			if b.word == "fragment" {
				var problems diag.List
				strictyaml.Parse("fragment", []byte(b.text), &problems)
				got = complaints(problems)
			} else {
				got = load(t, b, lastMapping)
			}
			if topKey(b.text) == "records" && b.word == "" {
				lastMapping = b.text
			}
			if diff := cmp.Diff(b.complaints, got); diff != "" {
				t.Errorf("%s: this block is not as the page says (-page +loader):\n%s\n%sThe loader says:\n%s", d.name, diff, b.text, got)
			}
		}
	}
	for _, word := range []string{"", "fragment", "wrong"} {
		if words[word] == 0 {
			t.Errorf("no block is marked %q; the test looks at nothing", word)
		}
	}
}

var topKeys = regexp.MustCompile(`(?m)^(accounts|flow|records|tests):`)

// topKey says which file a block is, by the key that only this file has.
func topKey(text string) string {
	m := topKeys.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

// load reads a block as the file it is and returns the complaints, one a line.
func load(t *testing.T, b block, lastMapping string) string {
	t.Helper()
	switch topKey(b.text) {
	case "accounts":
		return loadConfig(t, "trueup.yaml", b)
	case "flow":
		return loadConfig(t, "flows/microsoft-connectwise.yaml", b)
	case "records":
		_, said := loadMapping(b.text)
		return said
	case "tests":
		m, said := loadMapping(lastMapping)
		if m == nil {
			return "the mapping above these tests does not load:\n" + said
		}
		var problems diag.List
		_, failures := mapping.RunTests(m, "connectwise.test.yaml", []byte(b.text), &problems)
		for _, f := range failures {
			said += f.String() + "\n"
		}
		return complaints(problems) + said
	}
	return "neither a trueup.yaml, a flow, a mapping nor mapping tests; mark it yaml fragment\n"
}

func loadMapping(text string) (*mapping.Mapping, string) {
	system, _ := all.Find(mapping.SystemOf([]byte(text)))
	var problems diag.List
	m := mapping.Load(system.Descriptor.System+".yaml", []byte(text), system.Descriptor, &problems)
	return m, complaints(problems)
}

var secretFile = regexp.MustCompile(`\$\{file:([^}/][^}]*)\}`)

// loadConfig puts a block in its place among the files that trueup init writes. The environment holds what those ask for.
func loadConfig(t *testing.T, name string, b block) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, configs.FS); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(name, b.text)
	if b.word == "" {
		for _, m := range secretFile.FindAllStringSubmatch(b.text, -1) {
			write(m[1], "invented\n")
		}
	}
	known := map[string]bool{"MS_CLIENT_SECRET": true, "MS_REFRESH_TOKEN": true, "CW_PUBLIC_KEY": true, "CW_PRIVATE_KEY": true}
	env := func(name string) (string, bool) { return "invented", known[name] }
	if _, err := config.Load(filepath.Join(dir, "trueup.yaml"), all.Descriptors(), env, vault.Memory()); err != nil {
		return strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
	}
	return ""
}

func complaints(problems diag.List) string {
	if err := problems.Err(); err != nil {
		return err.Error() + "\n"
	}
	return ""
}
