package docgen

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/web"
)

// yamlExample marks YAML that shows a form and cannot be used as it stands.
const yamlExample = "yaml fragment"

func configuration(src *source) string {
	return "# trueup.yaml and flow files\n\n" + markdown(src.packageComment("internal/config", "trueup"), yamlExample)
}

func mappingFiles(src *source) string {
	var b strings.Builder
	b.WriteString("# Mapping files\n\n" + markdown(src.packageComment("mapping", "A mapping"), yamlExample))
	b.WriteString("## Converters\n\nThese stand after `as:`. Several in a row are written as a list, `as: [trim, lower]`. Those that run both ways may stand in a `{both: ...}`.\n\n")
	var rows [][]string
	for _, c := range mapping.Converters {
		form := c.Name
		switch {
		case strings.HasPrefix(c.Argument, "["):
			form = fmt.Sprintf("%s`, `%s(%s)", c.Name, c.Name, strings.Trim(c.Argument, "[]"))
		case c.Argument != "":
			form += "(" + c.Argument + ")"
		}
		gives := string(c.Gives)
		if gives == "" {
			gives = "the same"
		}
		rows = append(rows, []string{code(form), words(c.Takes), gives, mark(c.TwoWay), c.Doc})
	}
	table(&b, []string{"converter", "takes", "gives", "both ways", "meaning"}, rows)
	b.WriteString("## Functions\n\nThese may be called in `value:` and `where:`.\n\n")
	rows = nil
	for _, f := range mapping.Functions {
		rows = append(rows, []string{code(f.Call), f.Doc})
	}
	table(&b, []string{"function", "meaning"}, rows)
	b.WriteString("## Tests beside a mapping\n\n" + markdown(src.comment("mapping", "RunTests", "trueup mapping test"), yamlExample))
	return b.String()
}

func words[T ~string](list []T) string {
	parts := make([]string, len(list))
	for i, w := range list {
		parts[i] = string(w)
	}
	return strings.Join(parts, ", ")
}

func nouns(src *source) string {
	var b strings.Builder
	b.WriteString("# The model\n\n" + markdown(src.packageComment("model", "The model"), "") + "## Types\n\n")
	var rows [][]string
	for _, c := range src.constants("model", "Type") {
		rows = append(rows, []string{code(c.Value), c.Doc})
	}
	table(&b, []string{"type", "meaning"}, rows)
	for _, t := range model.Tables {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", t.Kind, t.Doc)
		rows = nil
		for _, f := range t.Fields {
			typ := string(f.Type)
			if f.Ref != "" {
				typ = fmt.Sprintf("%s, a [%s](#%s)", typ, f.Ref, f.Ref)
			}
			doc := f.Doc
			if f.Allowed != nil {
				doc += " One of " + codes(f.Allowed) + "."
			}
			rows = append(rows, []string{code(f.Name), typ, doc})
		}
		table(&b, []string{"field", "type", "meaning"}, rows)
	}
	return b.String()
}

func reasons(src *source) string {
	var b strings.Builder
	b.WriteString("# Reasons, run states and failures\n\nEvery change, every held change and every finding carries one of these reasons. The word is in JSON, logs and the " +
		"inbox and stays the same from version to version; the sentence is what plans show.\n\n")
	group := ""
	var rows [][]string
	flush := func() {
		if len(rows) > 0 {
			fmt.Fprintf(&b, "## %s\n\n", strings.TrimSuffix(group, "."))
			table(&b, []string{"reason", "sentence"}, rows)
		}
		rows = nil
	}
	for _, c := range src.constants("engine/plan", "Reason") {
		if c.Group != group {
			flush()
			group = c.Group
		}
		rows = append(rows, []string{code(c.Value), plan.Reason(c.Value).Sentence()})
	}
	flush()
	b.WriteString("## Run states\n\n")
	for _, c := range src.constants("state", "RunState") {
		rows = append(rows, []string{code(c.Value), c.Doc})
	}
	table(&b, []string{"state", "meaning"}, rows)
	b.WriteString("## Classes of failures\n\nThe class of a failed write says what to do about it.\n\n")
	rows = nil
	for _, c := range src.constants("connectors", "Class") {
		rows = append(rows, []string{code(c.Value), c.Doc})
	}
	table(&b, []string{"class", "what to do"}, rows)
	return b.String()
}

var (
	exitList = regexp.MustCompile(`(?s)Exit codes: (.*?)\.`)
	exitCode = regexp.MustCompile(`^(\d+) (.+)$`)
)

func metrics(src *source) string {
	var b strings.Builder
	b.WriteString("# Health and metrics\n\n" + markdown(strings.ReplaceAll(src.packageComment("web", "trueup"), "; Table lists them", ", listed below"), "") + "## Metrics\n\n")
	var rows [][]string
	for _, m := range web.Table {
		rows = append(rows, []string{code(m.Name), m.Type, codes(m.Labels), m.Help})
	}
	table(&b, []string{"metric", "type", "labels", "meaning"}, rows)
	return b.String()
}

// exits reads the exit codes from the sentence in the program's comment, and holds it against the constants.
func exits(src *source, manual string) [][]string {
	var rows [][]string
	var said []string
	sentence := exitList.FindStringSubmatch(manual)
	if sentence == nil {
		src.fail("the package comment of cmd/trueup lists no exit codes")
		return nil
	}
	for item := range strings.SplitSeq(strings.ReplaceAll(sentence[1], "\n", " "), ", ") {
		m := exitCode.FindStringSubmatch(strings.TrimSpace(item))
		if m == nil {
			src.fail("the package comment of cmd/trueup: %q is not an exit code and its meaning", item)
			continue
		}
		said = append(said, m[1])
		rows = append(rows, []string{m[1], m[2]})
	}
	for _, c := range src.constants("cmd/trueup", "") {
		if strings.HasPrefix(c.Name, "exit") && !slices.Contains(said, c.Value) {
			src.fail("the package comment of cmd/trueup does not say what exit code %s (%s) means", c.Value, c.Name)
		}
	}
	return rows
}

func commandLine(src *source, program *cobra.Command) string {
	var b strings.Builder
	manual := src.packageComment("cmd/trueup", "trueup")
	fmt.Fprintf(&b, "# The command line\n\n%s## Exit codes\n\n", markdown(manual, ""))
	table(&b, []string{"code", "meaning"}, exits(src, manual))
	b.WriteString("## Flags of every command\n\n")
	flags(&b, program.PersistentFlags())
	describe(&b, program)
	return b.String()
}

// describe writes the commands below c, in the order of their names.
func describe(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		fmt.Fprintf(b, "## %s\n\n%s.\n\n", sub.CommandPath(), strings.TrimSuffix(sub.Short, "."))
		if sub.Long != "" {
			b.WriteString(sub.Long + "\n\n")
		}
		if sub.Runnable() {
			fmt.Fprintf(b, "```\n%s\n```\n\n", sub.UseLine())
		}
		flags(b, sub.LocalNonPersistentFlags())
		describe(b, sub)
	}
}

func flags(b *strings.Builder, set *pflag.FlagSet) {
	var rows [][]string
	set.VisitAll(func(f *pflag.Flag) {
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name += ", `-" + f.Shorthand + "`"
		}
		byDefault := f.DefValue
		if f.Value.Type() == "bool" || f.Name == "help" {
			byDefault = ""
		}
		if f.Name != "help" {
			rows = append(rows, []string{name, code(byDefault), f.Usage})
		}
	})
	if len(rows) > 0 {
		table(b, []string{"flag", "default", "meaning"}, rows)
	}
}
