package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/model"
)

// Format is a way to print a plan.
type Format string

const (
	FormatText     Format = "text"
	FormatJSON     Format = "json"
	FormatMarkdown Format = "markdown"
)

// Document is a plan as JSON: what was decided, its digest and its price.
type Document struct {
	Digest string `json:"digest"`
	Plan
	Release string `json:"release_digest,omitempty"` // names this plan together with what only the flow's limits hold; approving it releases that
	Price   Price  `json:"price"`
}

// Price is what a plan does to the money a month, by currency.
type Price struct {
	Cost     []model.Money `json:"vendor_cost_change"`
	Bill     []model.Money `json:"customer_bill_change"`
	Unpriced int           `json:"unpriced_changes"`
}

// DocumentOf makes the JSON form. Lists are never null, so that a reader need not ask.
func DocumentOf(p Plan) Document {
	d := Document{Digest: p.Digest(), Plan: p}
	d.Price.Cost, d.Price.Bill, d.Price.Unpriced = Totals(p.Changes)
	if released, ok := Release(p); ok {
		d.Release = released.Digest()
	}
	d.Changes, d.Held, d.Findings = orEmpty(d.Changes), orEmpty(d.Held), orEmpty(d.Findings)
	d.Price.Cost, d.Price.Bill = orEmpty(d.Price.Cost), orEmpty(d.Price.Bill)
	return d
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Render prints a plan. limit bounds the lines of each section in text and Markdown; 0 prints all.
func Render(w io.Writer, p Plan, format Format, limit int) error {
	out := &printer{w: w, limit: limit, markdown: format == FormatMarkdown}
	switch format {
	case FormatJSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(DocumentOf(p))
	case FormatText, FormatMarkdown:
		out.plan(p)
		return out.err
	}
	return fmt.Errorf("unknown plan format %q (known: text, json, markdown)", format)
}

type printer struct {
	w        io.Writer
	limit    int
	markdown bool
	err      error
}

func (o *printer) line(format string, args ...any) {
	if o.err == nil {
		_, o.err = fmt.Fprintf(o.w, format+"\n", args...)
	}
}

func (o *printer) heading(format string, args ...any) {
	title := fmt.Sprintf(format, args...)
	if o.markdown {
		o.line("\n## %s\n", title)
		return
	}
	o.line("\n%s", title)
}

func (o *printer) item(format string, args ...any) {
	bullet := "  "
	if o.markdown {
		bullet = "- "
	}
	o.line("%s%s", bullet, fmt.Sprintf(format, args...))
}

// cut reports whether item i is over the limit, and says how many are not shown at the first such item.
func (o *printer) cut(i, n int, all string) bool {
	if o.limit == 0 || i < o.limit {
		return false
	}
	if i == o.limit {
		o.item("… and %d more (%s)", n-i, all)
	}
	return true
}

func (o *printer) plan(p Plan) {
	if o.markdown {
		o.line("# Plan %s for flow %s", p.Digest(), p.Flow)
		o.line("")
	} else {
		o.line("plan %s for flow %s", p.Digest(), p.Flow)
	}
	if p.Undoes != "" {
		o.item("undoes run %s", p.Undoes)
	}
	c := p.Counts
	o.item("%s, %s compared: %d in step, %s, %s held, %s", count(c.Customers, "customer"), count(c.Pairs, "pair"), c.InStep,
		count(len(p.Changes), "change"), count(len(p.Held), "change"), count(len(p.Findings), "finding"))
	if c.NotCompared > 0 {
		o.item("%d could not be compared and are not called clean", c.NotCompared)
	}
	o.price(p)
	for i, part := range p.Partial {
		if o.cut(i, len(p.Partial), "--all shows them") {
			break
		}
		o.item("incomplete: %s", part)
	}
	if p.Empty() && len(p.Held) == 0 {
		o.line("nothing to do")
	} else if p.Empty() {
		o.line("nothing to do without a person")
	}
	if len(p.Changes) > 0 {
		o.heading("Changes, the dearest first")
		for _, line := range tally(p.Changes) {
			o.item("%s", line)
		}
		for i, change := range dearestFirst(p.Changes) {
			if o.cut(i, len(p.Changes), "--all shows them") {
				break
			}
			o.change(change)
		}
	}
	if len(p.Lifted) > 0 {
		o.heading("Let through over a limit, once the plan is approved")
		for i, h := range p.Lifted {
			if o.cut(i, len(p.Lifted), "--all shows them") {
				break
			}
			o.item("%s · %s: %s", h.Change.Customer, h.Change.Label, h.Reason.Sentence())
			o.item("    %s", h.Detail)
		}
	}
	if len(p.Held) > 0 {
		o.heading("Held for a person")
		for _, r := range p.HeldByReason() {
			o.item("%d: %s", r.N, r.Reason.Sentence())
		}
		if released, ok := Release(p); ok {
			o.item("%s only by the flow's limits; to let through exactly this plan with them: trueup approve %s", areHeld(len(released.Lifted)), released.Digest())
		}
		for i, h := range p.Held {
			if o.cut(i, len(p.Held), "--all shows them") {
				break
			}
			o.held(h)
			if by := p.Rejected[h.Change.ID]; by != "" {
				o.item("    rejected by %s; it stays held until the same person approves it", by)
			}
		}
	}
	if len(p.Findings) > 0 {
		o.heading("Findings")
		findings := p.Findings
		if o.limit > 0 {
			findings = alike(findings)
		}
		for i, f := range findings {
			if o.cut(i, len(findings), "--all shows them") {
				break
			}
			o.item("%s: %s", f.Title, f.Detail)
			o.item("    next: %s", f.Next)
		}
	}
}

// tally counts the changes by what they do, in the order in which they are done.
func tally(changes []Change) []string {
	var order []string
	counts := map[string]int{}
	for _, c := range changes {
		what := fmt.Sprintf("%s %s in %s", c.Op, c.Target.Kind, c.Account)
		if c.idOnly() {
			what += " (only the other side's id)"
		}
		if counts[what]++; counts[what] == 1 {
			order = append(order, what)
		}
	}
	for i, what := range order {
		order[i] = fmt.Sprintf("%d: %s", counts[what], what)
	}
	return order
}

// dearestFirst orders changes by the money they move, for reading; they are done in dependency order all the same. Amounts in
// different currencies are ordered by their numbers: it is only a reading order.
func dearestFirst(changes []Change) []Change {
	sorted := slices.Clone(changes)
	moved := func(c Change) decimal.Decimal { return c.Effect.Cost.Amount().Abs().Add(c.Effect.Bill.Amount().Abs()) }
	slices.SortStableFunc(sorted, func(a, b Change) int { return moved(b).Cmp(moved(a)) })
	return sorted
}

func (o *printer) price(p Plan) {
	cost, bill, unpriced := Totals(p.Changes)
	for _, m := range cost {
		o.item("vendor cost %s a month", signed(m))
	}
	for _, m := range bill {
		o.item("customers' bills %s a month", signed(m))
	}
	if unpriced > 0 {
		o.item("%s without a known price", count(unpriced, "change"))
	}
}

func (o *printer) change(c Change) {
	o.item("%s %s in %s: %s · %s%s", c.Op, c.Target.Kind, c.Account, c.Customer, c.Label, effectText(c.Effect))
	if c.Op == OpEnd {
		o.item("    last billed day %s (%s)", c.Last, c.Reason.Sentence())
	}
	if c.Op == OpCreate {
		var parts []string
		for _, f := range c.Fields {
			if !f.To.Blank() {
				parts = append(parts, f.Field+" "+shown(f.To))
			}
		}
		o.item("    %s (%s)", strings.Join(parts, ", "), c.Reason.Sentence())
		if c.Shares != "" {
			o.item("    %s", c.Shares)
		}
		return
	}
	for _, f := range c.Fields {
		o.item("    %s: %s -> %s (%s)", f.Field, shown(f.From), shown(f.To), f.Reason.Sentence())
	}
	for _, f := range c.Keeps {
		o.item("    %s stays %s (%s)", f.Field, shown(f.To), f.Reason.Sentence())
	}
	if c.AtEnd != nil {
		o.item("    %s", c.AtEnd.Text())
	}
	if c.Reason == Decided {
		o.item("    %s", c.Detail)
	}
	if c.Shares != "" {
		o.item("    %s", c.Shares)
	}
}

// Text says when a scheduled change takes effect and what it costs to wait, rounded to the coin.
func (a AtEnd) Text() string {
	text := fmt.Sprintf("%s seats until %s", a.Seats, a.After)
	if a.Waiting.Sign() > 0 {
		text += fmt.Sprintf("; waiting costs %s", roundedText(a.Waiting))
	}
	switch a.Saves.Sign() {
	case 1:
		text += fmt.Sprintf("; %s a month less from %s", roundedText(a.Saves), a.After.Add(1))
	case -1:
		text += fmt.Sprintf("; %s a month more from %s", roundedText(a.Saves.Neg()), a.After.Add(1))
	}
	if a.Promotion != "" {
		text += fmt.Sprintf("; promotion %s ends with the term", a.Promotion)
	}
	return text
}

func (o *printer) held(h Held) {
	o.item("%s · %s: %s", h.Change.Customer, h.Change.Label, h.Reason.Sentence())
	o.item("    %s", h.Detail)
	o.item("    next: %s", h.Next)
}

func effectText(e Effect) string {
	var parts []string
	if e.Cost.Sign() != 0 {
		parts = append(parts, "vendor cost "+signed(e.Cost))
	}
	if e.Bill.Sign() != 0 {
		parts = append(parts, "bill "+signed(e.Bill))
	}
	if e.Unpriced {
		parts = append(parts, "price not known")
	}
	if len(parts) == 0 {
		return ""
	}
	return "  [" + strings.Join(parts, ", ") + "]"
}

// signed shows a step in money with its sign, rounded to the coin for people; the JSON form keeps every digit.
func signed(m model.Money) string {
	text := m.Round(model.MinorDigits(m.Currency())).Display()
	if m.Sign() > 0 {
		return "+" + text
	}
	return text
}

func areHeld(n int) string {
	if n == 1 {
		return "1 is held"
	}
	return fmt.Sprintf("%d are held", n)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
