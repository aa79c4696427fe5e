package docgen

import (
	"fmt"
	"strings"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// system is the page of one system.
func system(src *source, d connectors.Descriptor) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nIn YAML: `system: %s`. It stands on the %s side of a flow.\n\n", d.Title, d.System, d.Role)
	b.WriteString(markdown(src.packageComment("connectors/"+d.System, "The connector"), ""))
	settings(&b, d)
	limits(&b, d)
	b.WriteString("## Records\n\n")
	for _, k := range d.Kinds {
		kind(&b, k)
	}
	if err := shipped(&b, d); err != nil {
		return "", err
	}
	b.WriteString("## What it refuses or alters\n\n")
	var rows [][]string
	for _, r := range d.Rejects {
		rows = append(rows, []string{r.What, r.Verified})
	}
	table(&b, []string{"what", "last seen"}, rows)
	exceptions(&b, src, "connectors/"+d.System)
	return b.String(), nil
}

func settings(b *strings.Builder, d connectors.Descriptor) {
	b.WriteString("## Settings\n\nA secret setting is written as `${env:NAME}`, `${file:/path}` or `${secret:name}`, never as itself.\n\n")
	var rows [][]string
	for _, s := range d.Settings {
		doc := s.Doc
		if len(s.Allowed) > 0 {
			doc += " One of " + codes(s.Allowed) + "."
		}
		rows = append(rows, []string{code(s.Name), mark(s.Required), mark(s.Secret), code(s.Default), doc})
	}
	table(b, []string{"setting", "required", "secret", "default", "meaning"}, rows)
}

func limits(b *strings.Builder, d connectors.Descriptor) {
	b.WriteString("## Limits\n\n" + d.Limits.Doc + "\n\n")
	unconfirmed := ""
	if d.Limits.Unconfirmed {
		unconfirmed = "; nobody has confirmed these numbers with the vendor yet"
	}
	fmt.Fprintf(b, "trueup allows itself %d requests a minute and %d at once, and asks for pages of at most %d records%s. An account's `budget` changes the first two.\n\n",
		d.Limits.PerMinute, d.Limits.Parallel, d.Limits.PageSize, unconfirmed)
	if d.Feed {
		b.WriteString("Between discoveries only what changed is read.\n\n")
	} else {
		b.WriteString("It cannot tell what changed: every run reads everything.\n\n")
	}
	if s := d.Sooner; s.Webhook != "" || s.Watch != "" {
		b.WriteString("## Looking sooner\n\n" + strings.TrimSpace(s.Webhook+" "+s.Watch) + " See [webhooks](../guide/webhooks.md).\n\n")
	}
}

func kind(b *strings.Builder, k connectors.Kind) {
	fmt.Fprintf(b, "### %s\n\n%s\n\n", k.Name, k.Doc)
	facts := []string{"Abilities: " + words(k.Abilities) + "."}
	if k.Parent != "" {
		facts = append(facts, "It lives under a `"+k.Parent+"`.")
	}
	if k.Own != "" {
		facts = append(facts, "The other side's id is kept in `"+k.Own+"`.")
	}
	if k.Custom != "" {
		facts = append(facts, "Custom fields are named `"+k.Custom+"` and their caption.")
	}
	common := commonLink(k)
	if common != "" {
		facts = append(facts, "[The vendor's documentation]("+common+").")
	}
	b.WriteString(strings.Join(facts, " ") + "\n\n")
	var rows [][]string
	for _, f := range k.Fields {
		doc := f.Doc
		if len(f.Allowed) > 0 {
			doc += " One of " + codes(f.Allowed) + "."
		}
		if f.MaxLen > 0 {
			doc += fmt.Sprintf(" At most %d characters.", f.MaxLen)
		}
		if f.Link != common {
			doc += " [More](" + f.Link + ")."
		}
		rows = append(rows, []string{code(f.Name), string(f.Type), written(f), mark(f.Costs), strings.TrimSpace(doc)})
	}
	table(b, []string{"field", "type", "written", "costs money", "meaning"}, rows)
	if k.Terms != nil {
		termRules(b, *k.Terms)
	}
}

// termRules is what a commitment allows.
func termRules(b *strings.Builder, t connectors.TermRules) {
	b.WriteString("What the commitment allows (" + t.Verified + "):\n\n")
	var terms []string
	for _, term := range t.Terms {
		terms = append(terms, term.String())
	}
	rows := [][]string{{"terms", strings.Join(terms, ", ")}, {"more seats", t.Increase},
		{"fewer seats", fmt.Sprintf("Within %d hours after they came, each addition with its own hours; otherwise scheduled for the end of the term.", t.DecreaseHours)},
		{"cancel", fmt.Sprintf("Within %d hours after purchase or renewal; otherwise scheduled for the end of the term.", t.CancelHours)},
	}
	if t.ExtendedPercent > 0 {
		rows = append(rows, []string{"nobody decided", fmt.Sprintf("With auto-renewal on it renews; with it merely off it may go on month by month, up to %d%% dearer.", t.ExtendedPercent)})
	}
	for _, rule := range [][]string{{"number of seats", t.Limits}, {"add-ons", t.AddOns}, {"suspended", t.Suspended}, {"trials", t.Trials}, {"promotions", t.Promotions}} {
		if rule[1] != "" {
			rows = append(rows, rule)
		}
	}
	table(b, []string{"what", "rule"}, rows)
}

// commonLink is the page that all fields refer to; "" when they differ.
func commonLink(k connectors.Kind) string {
	common := ""
	for i, f := range k.Fields {
		if i > 0 && f.Link != common {
			return ""
		}
		common = f.Link
	}
	return common
}

func written(f connectors.Field) string {
	how := ""
	switch {
	case f.Writable:
		how = "yes"
	case f.Create:
		how = "when created"
	case f.Scheduled:
		how = "for the end of the term"
	}
	if f.Required {
		how += ", required"
	}
	return how
}

// shipped shows what the mapping that comes with trueup does.
func shipped(b *strings.Builder, d connectors.Descriptor) error {
	name := "mappings/" + d.System + ".yaml"
	text, err := configs.FS.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read the mapping of %s: %w", d.System, err)
	}
	var problems diag.List
	m := mapping.Load(name, text, d, &problems)
	if m == nil {
		return fmt.Errorf("the mapping of %s cannot be used: %w", d.System, problems.Err())
	}
	fmt.Fprintf(b, "## What the mapping that comes with trueup does\n\nThe file is [configs/%s](../../configs/%s).\n\n", name, name)
	for _, noun := range m.Kinds() {
		native, _ := m.NativeKind(noun)
		fmt.Fprintf(b, "### %s, from %s\n\n", noun, native)
		var rows [][]string
		for _, field := range m.Fields(noun) {
			rows = append(rows, []string{link(noun, field), code(m.Origin(noun, field).Rule), mark(m.Writable(noun, field))})
		}
		table(b, []string{"field", "rule", "written"}, rows)
	}
	return nil
}

func link(noun model.Kind, field string) string {
	return fmt.Sprintf("[`%s`](model.md#%s)", field, noun)
}

// exceptions lists what the conformance suite leaves out for a connector.
func exceptions(b *strings.Builder, src *source, folder string) {
	b.WriteString("## What the conformance suite leaves out\n\n")
	skips := src.skips(folder)
	if len(skips) == 0 {
		b.WriteString("Nothing.\n")
		return
	}
	var rows [][]string
	for _, what := range sortedKeys(skips) {
		rows = append(rows, []string{code(what), skips[what]})
	}
	table(b, []string{"what", "why"}, rows)
}
