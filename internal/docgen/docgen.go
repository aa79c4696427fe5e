// Package docgen writes the reference pages in docs/reference from what the program itself is made of, so that nothing is
// described twice: systems from their descriptors, nouns from the model's tables, mapping files from the converters and
// functions that are compiled in, commands from the command line, and everything else (file formats, reasons, failures,
// exit codes) from the comments beside the code that means it.
//
// Reading comments needs the repository, so the pages are made where trueup is built and not where it runs. "make
// generate" writes them; the tests of cmd/trueup fail when one is stale.
package docgen

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors/all"
)

// Page is one reference page.
type Page struct {
	Name string // file name, without a folder
	Text string // Markdown
}

const notice = "<!-- Generated from the code; make generate writes it anew. -->\n\n"

// Reference makes every page. repository is the root of the source tree; program is the command line.
func Reference(repository fs.FS, program *cobra.Command) ([]Page, error) {
	src := &source{tree: repository}
	pages := []Page{
		{"configuration.md", configuration(src)},
		{"mapping.md", mappingFiles(src)},
		{"model.md", nouns(src)},
		{"reasons.md", reasons(src)},
		{"metrics.md", metrics(src)},
		{"cli.md", commandLine(src, program)},
	}
	for _, s := range all.Systems {
		text, err := system(src, s.Descriptor)
		if err != nil {
			return nil, err
		}
		pages = append(pages, Page{s.Descriptor.System + ".md", text})
	}
	pages = append(pages, Page{"README.md", index()})
	for i := range pages {
		pages[i].Text = notice + strings.TrimSpace(pages[i].Text) + "\n"
	}
	return pages, errors.Join(src.failed...)
}

func index() string {
	var b strings.Builder
	b.WriteString("# Reference\n\nThese pages are made from the code. The [guide](../guide/README.md) says how to use what is listed here.\n\n")
	rows := [][]string{
		{"[cli.md](cli.md)", "commands, flags, exit codes"},
		{"[configuration.md](configuration.md)", "trueup.yaml and flow files"},
		{"[mapping.md](mapping.md)", "mapping files and their tests, converters, functions"},
		{"[model.md](model.md)", "the nouns and their fields"},
		{"[reasons.md](reasons.md)", "why something is written, held or reported; run states; classes of failures"},
		{"[metrics.md](metrics.md)", "what the daemon serves over HTTP: health, readiness, metrics"},
	}
	for _, s := range all.Systems {
		d := s.Descriptor
		rows = append(rows, []string{fmt.Sprintf("[%s.md](%s.md)", d.System, d.System), d.Title + ": settings, records, fields, limits, what it refuses"})
	}
	table(&b, []string{"page", "what it lists"}, rows)
	return b.String()
}

// table writes a Markdown table; bars and line ends inside a cell are made harmless.
func table(b *strings.Builder, heading []string, rows [][]string) {
	line := func(cells []string) {
		for i, c := range cells {
			cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(c)
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(heading)
	b.WriteString("|" + strings.Repeat("---|", len(heading)) + "\n")
	for _, row := range rows {
		line(row)
	}
	b.WriteString("\n")
}

// code is a name as typed; nothing stays nothing.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func codes[T ~string](words []T) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = code(string(w))
	}
	return strings.Join(parts, ", ")
}

func mark(yes bool) string {
	if yes {
		return "yes"
	}
	return ""
}
