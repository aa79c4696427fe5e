package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// topic is what a ticket tells: one matter as it stands in this run. Its words are those of the note on the line.
type topic struct {
	matter   string
	purpose  Purpose
	customer string // "" for a run as a whole
	summary  string
	note     note
	more     []string // further lines
	digest   string   // what people are asked to approve; "" when nothing
}

// said names the text of a topic, whatever the day.
func (t topic) said() string {
	return plan.ChangeID(append([]string{t.note.status, t.note.body, t.digest}, t.more...)...)
}

// noTicket are reasons to hold that settle themselves, or that a person has asked for: nobody needs a ticket for them.
var noTicket = []plan.Reason{plan.WaitsFor, plan.InFlight, plan.Incomplete, plan.Frozen, plan.MovedSince, plan.ComesBack}

// purposes say for which findings a ticket is opened, and what for.
var purposes = map[plan.Reason]Purpose{
	plan.UndecidedEnd:      TellRenewal,
	plan.UnmatchedCustomer: TellUnmatched,
	plan.UnmatchedLine:     TellUnmatched,
	plan.OrphanedLine:      TellUnmatched,
	plan.ForeignEdit:       TellDrift,
	plan.VanishedInPSA:     TellDrift,
	plan.DeclaredTwice:     TellDrift,
}

// matterOf names what a finding is a matter of.
func matterOf(flow string, f plan.Finding) string {
	if f.Matter != "" {
		return plan.ChangeID("matter", flow, f.Matter)
	}
	return plan.ChangeID("matter", flow, f.Key)
}

// refusedReason reports that the vendor does not take an edit, so that a ticket is one of refused edits.
func refusedReason(r plan.Reason) bool {
	return r == plan.Refused || r == plan.TermWindow || r == plan.BadValue
}

// topics are the matters that a run leaves open, by name.
func (e *Engine) topics(w *world, result *Result) map[string]topic {
	topics, p := map[string]topic{}, result.Plan
	keep := func(t topic) {
		if _, first := topics[t.matter]; !first {
			topics[t.matter] = t
		}
	}
	for _, ask := range plan.Asks(p) {
		keep(e.askTopic(p, ask))
	}
	for _, h := range p.Held {
		if slices.Contains(noTicket, h.Reason) {
			continue // what limits hold was kept above, unless it shares its seats with something else that is held
		}
		purpose := TellHeld
		if refusedReason(h.Reason) {
			purpose = TellRefused
		}
		matter, customer := plan.MatterOf(p.Flow, h)
		keep(topic{matter: matter, purpose: purpose, customer: customer, summary: h.Change.Label, note: e.heldText(h, "")})
	}
	lifted := map[string]plan.Held{}
	for _, h := range p.Lifted {
		lifted[h.Change.ID] = h
	}
	for _, f := range result.Outcome.Failures {
		n, edited := e.failedNote(f)
		if !edited {
			n = note{noteRequested, fmt.Sprintf("%s %s: it could not be done yet", f.Change.Op, f.Change.Label), e.today()}
		}
		t := topic{matter: plan.MatterOfChange(p.Flow, f.Change), purpose: TellRefused, customer: f.Change.Customer, summary: f.Change.Label, note: n}
		if f.Class == connectors.ClassInvalid && !f.Skipped {
			keep(t)
		}
		if h, released := lifted[f.Change.ID]; released { // what was approved and not done is asked again
			t.matter, t.customer = plan.MatterOf(p.Flow, h)
			t.purpose = TellHeld
			keep(t)
		}
	}
	for _, f := range p.Findings {
		purpose, known := purposes[f.Kind]
		if !known || purpose == TellUnmatched && f.Money.Sign() <= 0 {
			continue
		}
		body := strings.Join(slices.DeleteFunc([]string{f.Detail, f.Next}, func(s string) bool { return s == "" }), "; ")
		keep(topic{matter: matterOf(p.Flow, f), purpose: purpose, customer: f.Customer, summary: f.Title, note: note{noteHeld, f.Title + ". " + body, e.today()}})
	}
	return topics
}

// askTopic is the topic of an approval that people are asked for.
func (e *Engine) askTopic(p plan.Plan, ask plan.Asked) topic {
	first, rejected := ask.Held[0], p.Rejected[ask.Held[0].Change.ID]
	t := topic{matter: ask.Matter, purpose: TellHeld, customer: ask.Customer, summary: first.Change.Label, note: e.heldText(first, rejected), digest: ask.Plan.Digest()}
	if ask.Matter != plan.MatterOfChange(p.Flow, first.Change) {
		t.summary = fmt.Sprintf("changes %s", first.Reason.Sentence())
		t.note = note{noteWaiting, fmt.Sprintf("%d changes: %s. %s; %s", len(ask.Held), first.Reason.Sentence(), first.Detail, first.Next), e.today()}
		if rejected != "" {
			t.note = note{noteRefused, fmt.Sprintf("%d changes: rejected by %s", len(ask.Held), rejected), e.today()}
		}
		t.more = changeLines(ask.Held)
	}
	cost, bill, unpriced := plan.Totals(ask.Plan.Changes)
	for _, m := range cost {
		t.more = append(t.more, "Vendor cost a month, more or less: "+m.Round(model.MinorDigits(m.Currency())).Display())
	}
	for _, m := range bill {
		t.more = append(t.more, "Customers' bills a month, more or less: "+m.Round(model.MinorDigits(m.Currency())).Display())
	}
	if unpriced > 0 {
		t.more = append(t.more, fmt.Sprintf("The price of %d changes is not known.", unpriced))
	}
	return t
}

// mostLines is how many changes a ticket lists; the plan has all of them.
const mostLines = 20

func changeLines(held []plan.Held) []string {
	var lines []string
	for i, h := range held {
		if i == mostLines {
			return append(lines, fmt.Sprintf("and %d more", len(held)-i))
		}
		line := fmt.Sprintf("- %s: %s %s", h.Change.Customer, h.Change.Op, h.Change.Label)
		if from, to, ok := h.Change.Seats(); ok {
			line += fmt.Sprintf(", %s to %s seats", from, to)
		}
		lines = append(lines, line)
	}
	return lines
}

// heldText is what a ticket tells of a held change: the note of the line where there is one.
func (e *Engine) heldText(h plan.Held, rejected string) note {
	if n, ok := e.heldNote(h, rejected); ok {
		return n
	}
	status := noteHeld
	if h.Reason.Releasable() {
		status = noteWaiting
	}
	if rejected != "" {
		return note{noteRefused, fmt.Sprintf("%s %s: rejected by %s", h.Change.Op, h.Change.Label, rejected), e.today()}
	}
	return note{status, fmt.Sprintf("%s %s: %s. %s; %s", h.Change.Op, h.Change.Label, h.Reason.Sentence(), h.Detail, h.Next), e.today()}
}

// settledText is what a ticket tells whose matter is not open any more.
func (e *Engine) settledText(result *Result, matter string) note {
	p, failed := result.Plan, map[string]bool{}
	for _, f := range result.Outcome.Failures {
		failed[f.Change.ID] = true
	}
	lifted, by := 0, ""
	released := map[string]string{}
	for _, c := range p.Changes {
		released[c.ID] = c.Released
		if failed[c.ID] || plan.MatterOfChange(p.Flow, c) != matter {
			continue
		}
		n, ok := e.doneNote(c)
		if !ok {
			n = note{noteDone, fmt.Sprintf("%s %s", c.Op, c.Label), e.today()}
		}
		if c.Released != "" {
			n.body += "; approved by " + c.Released
		}
		return n
	}
	for _, h := range p.Lifted {
		if m, _ := plan.MatterOf(p.Flow, h); m == matter && !failed[h.Change.ID] {
			lifted, by = lifted+1, released[h.Change.ID]
		}
	}
	if lifted > 0 {
		return note{noteDone, fmt.Sprintf("%d changes, approved by %s", lifted, by), e.today()}
	}
	return note{noteInStep, "this is settled: nothing of it is held, refused or to be decided any more", e.today()}
}

// text is all that a ticket is told of a topic.
func (t topic) text(flow Flow) string {
	lines := []string{t.note.text(), ""}
	if t.customer != "" {
		lines = append(lines, "Customer: "+t.customer)
	}
	lines = append(lines, t.more...)
	if t.digest != "" {
		lines = append(lines, "", "Plan "+t.digest+" is exactly this; if anything about it moves, it is asked anew.")
		if flow.Approve.Tickets {
			lines = append(lines, fmt.Sprintf("To approve it set the status of this ticket to %q, to reject it to %q.", flow.Approve.Approved, flow.Approve.Rejected))
		}
		if !flow.Approve.NoCLI {
			lines = append(lines, "On the command line: trueup approve "+t.digest+", or trueup reject "+t.digest)
		}
	}
	return strings.Join(append(lines, "", fmt.Sprintf("Written by trueup, flow %s. It closes this ticket when the matter is settled.", flow.Name)), "\n")
}

// companyOf is the PSA company that a topic's ticket belongs to; "" when there is none.
func (w *world) companyOf(customer string, rules TicketRules) string {
	var byName []string
	for _, c := range w.psaCustomers {
		if customer != "" && w.label(c.ID) == customer {
			return c.ID
		}
		if rules.Company != "" && strings.EqualFold(c.Text("name"), rules.Company) {
			byName = append(byName, c.ID)
		}
	}
	if len(byName) == 1 {
		return byName[0]
	}
	return ""
}

// creditHold are the customers whom the PSA has on credit hold, where the flow heeds that.
func (w *world) creditHold() map[string]bool {
	if !w.flow.CreditHold {
		return nil
	}
	held := map[string]bool{}
	for _, c := range w.psaCustomers {
		if c.Fields["credit_hold"].True() {
			held[w.label(c.ID)] = true
		}
	}
	return held
}

// summaryOf is a ticket's one line, as long as the PSA takes.
func summaryOf(account *apply.Account, t topic) string {
	kind, _ := account.NativeKind(model.KindTicket)
	field, _ := kind.Field(account.Mapping.NativeField(model.KindTicket, "summary"))
	letters := []rune(strings.TrimSpace(t.summary))
	if t.customer != "" && !strings.Contains(t.summary, t.customer) {
		letters = []rune(t.customer + ": " + t.summary)
	}
	if field.MaxLen > 0 && len(letters) > field.MaxLen {
		letters = append(letters[:field.MaxLen-1], '…')
	}
	return string(letters)
}
