package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// What a note begins with. It says where an edit of a line's seats stands.
const (
	noteRequested = "Requested"            // sent or to be sent; not done yet
	noteWaiting   = "Waiting for approval" // over a limit of the flow
	noteHeld      = "On hold"              // a person must settle it
	noteRefused   = "Refused"              // the vendor does not take it
	notePutBack   = "Put back"             // refused, and the line has the vendor's seats again
	noteDone      = "Done"
	noteScheduled = "Scheduled" // the vendor does it when the term ends
	noteInStep    = "In step"   // what was open before is settled
)

// openNotes are those that say something is not settled.
var openNotes = []string{noteRequested, noteWaiting, noteHeld, noteRefused}

// note is what a line tells. Its text names the day on which it was told first, so that it does not change from day to day.
type note struct {
	status, body string
	day          model.Day
}

func (n note) text() string {
	return fmt.Sprintf("%s, %s: %s", n.status, n.day.Midnight(time.UTC).Format("2 January 2006"), n.body)
}

// says reports that a text tells the same, whatever its day.
func (n note) says(text string) bool {
	return strings.HasPrefix(text, n.status+", ") && strings.HasSuffix(text, ": "+n.body)
}

// told is a pair whose line has a place for a note, and about which there may be news.
type told struct {
	ref     plan.PairRef
	label   string
	owner   string // the customer
	now     string // what the line holds
	last    string // what was told last, or is to be told
	due     bool   // last was not told yet
	settled bool   // both sides hold the same seats
	seats   model.Quantity
}

// open reports that what the line tells is not settled.
func (t told) open() bool {
	return slices.ContainsFunc(openNotes, func(status string) bool { return strings.HasPrefix(t.last, status+", ") })
}

// notice keeps the lines of a group about which there may be news. A PSA shows the field for notes even when it is empty; where nobody made
// it, nothing is told.
func (w *world) notice(g *group, pairs []plan.Pair, p plan.Plan) {
	if w.flow.Tell.Lines == TellNothing || !w.psa.Writable(model.KindLine, apply.NoteField) {
		return
	}
	places := map[string]string{}
	for _, l := range g.lines {
		if v := l.Fields[apply.NoteField]; v.Known() {
			places[l.ID] = v.String()
		}
	}
	planned := map[plan.PairRef]bool{}
	for _, c := range p.Changes {
		planned[c.Pair] = true
	}
	for _, h := range p.Held {
		planned[h.Change.Pair] = true
	}
	for _, pair := range pairs {
		now, has := places[pair.Ref.PSA.ID]
		if !has || pair.Ref.Kind != model.KindLine {
			continue
		}
		seats, _ := pair.PSA.Now["quantity"].Quantity()
		t := told{ref: pair.Ref, label: pair.Label, owner: g.label, now: now, last: now, seats: seats,
			settled: pair.Vendor.Now["quantity"] == pair.PSA.Now["quantity"] && pair.Complete && !pair.InFlight}
		if memory := pair.Vendor.Memory[apply.NoteField]; memory.Known() {
			t.last, t.due = memory.String(), !pair.PSA.Memory[apply.NoteField].Known()
		}
		if t.due || t.open() || planned[pair.Ref] {
			w.told[apply.LinkID(w.flow.Name, pair.Ref)] = t
		}
	}
}

// noteOf is what a done change tells: an edit that reached the vendor, or one that was put back. Asked of the applier, in the
// transaction that settles the change.
func (e *Engine) noteOf(flow Flow) func(context.Context, plan.Change) (model.Value, error) {
	return func(ctx context.Context, c plan.Change) (model.Value, error) {
		n, ok := e.doneNote(c)
		if !ok || flow.Tell.Lines == TellNothing {
			return model.Value{}, nil
		}
		psa, err := e.account(flow.PSA)
		if err != nil || !psa.Writable(model.KindLine, apply.NoteField) {
			return model.Value{}, err
		}
		kind, _ := psa.NativeKind(model.KindLine)
		stored, _, err := e.Store.Record(ctx, psa.Name, connectors.Ref{Kind: kind.Name, ID: c.Pair.PSA.ID, Parent: c.Pair.PSA.Parent})
		if err != nil {
			return model.Value{}, err
		}
		if line, _, _ := psa.Mapping.ToModel(model.KindLine, stored.Record); !line.Fields[apply.NoteField].Known() {
			return model.Value{}, nil
		}
		return model.Text(n.text()), nil
	}
}

func (e *Engine) doneNote(c plan.Change) (note, bool) {
	if what, scheduled, ok := c.Deferred(); ok {
		if !scheduled {
			return note{noteDone, what, e.today()}, true
		}
		return note{noteScheduled, what, e.today()}, true
	}
	if from, to, ok := c.Edited(); ok {
		return note{noteDone, fmt.Sprintf("%s to %s seats at %s", from, to, e.title(c.Account)), e.today()}, true
	}
	for _, f := range c.Fields {
		if f.Field == "quantity" && f.Reason == plan.RefusedPutBack {
			return note{notePutBack, fmt.Sprintf("%s to %s seats was not taken: %s. The line has %s again", f.To, f.From, c.Detail, f.To), e.today()}, true
		}
	}
	return note{}, false
}

// title is what people call the system of an account.
func (e *Engine) title(account string) string {
	a, err := e.account(account)
	if err != nil {
		return account
	}
	return a.Descriptor().Title
}

// asks is what an edit in the PSA asks of the vendor, at once or for the end of the term.
func asks(c plan.Change) (what string, ok bool) {
	if from, to, ok := c.Edited(); ok {
		return fmt.Sprintf("%s to %s seats", from, to), true
	}
	what, _, ok = c.Deferred()
	return what, ok
}

// heldNote is what a held edit tells. rejected says who refused to let it through; "" when nobody did.
func (e *Engine) heldNote(h plan.Held, rejected string) (note, bool) {
	what, edited := asks(h.Change)
	status := noteHeld
	switch {
	case h.Reason == plan.InFlight:
		return note{}, false // what was told before still stands
	case !edited && h.Reason == plan.ConflictHeld:
		if _, _, seats := h.Change.Seats(); !seats {
			return note{}, false
		}
		return note{noteHeld, fmt.Sprintf("%s: %s; %s", h.Reason.Sentence(), h.Detail, h.Next), e.today()}, true
	case !edited:
		return note{}, false
	case rejected != "":
		return note{noteRefused, fmt.Sprintf("%s: rejected by %s; put the line back, or ask them to approve it", what, rejected), e.today()}, true
	case h.Reason == plan.Frozen:
		status = noteRequested
	case h.Reason.Releasable():
		status = noteWaiting
	case h.Reason.Refusal():
		status = noteRefused
	}
	return note{status, fmt.Sprintf("%s: %s. %s; %s", what, h.Reason.Sentence(), h.Detail, h.Next), e.today()}, true
}

// failedNote is what an edit tells that was tried and not done, or not tried. What changes from run to run (a vendor's request number, a
// waiting time) is left to the inbox, so that the note is written once.
func (e *Engine) failedNote(f apply.Failure) (note, bool) {
	asked, edited := asks(f.Change)
	if !edited {
		return note{}, false
	}
	what := asked + " at " + e.title(f.Change.Account)
	switch {
	case f.Skipped:
		return note{noteRequested, what + "; not sent yet, it is tried again", e.today()}, true
	case f.Class == connectors.ClassInvalid:
		detail, next := refusedText(apply.Answer(f.Err))
		return note{noteRefused, fmt.Sprintf("%s: %s. %s; %s", asked, plan.Refused.Sentence(), detail, next), e.today()}, true
	case f.Class == connectors.ClassUnknown:
		return note{noteRequested, what + "; it is not known yet whether it was done, and it is looked for", e.today()}, true
	}
	return note{noteRequested, what + "; it could not be done yet, and is tried again", e.today()}, true
}

// refusedFor is how long what a system refused is not sent again. Then it is tried once more: what was in the way may be gone.
const refusedFor = 24 * time.Hour

// refusedText is what a vendor said about an edit that it refused, and the next step.
func refusedText(said apply.Said) (detail, next string) {
	next = "put the line back, or settle it with the vendor"
	if said.Hint != "" {
		next = said.Hint
	}
	return strings.TrimSuffix(said.Message, "."), next + "; it is tried again after a day"
}

// refusal is the last write of a link to an account, if it was refused as it stands less than a day ago; was is what had been asked.
func (e *Engine) refusal(ctx context.Context, link, account string) (was plan.Change, said apply.Said, refused bool, err error) {
	entries, err := e.Store.Journal(ctx, state.JournalFilter{Link: link, Account: account, Limit: 1})
	if err != nil || len(entries) == 0 || entries[0].State != state.JournalFailed || entries[0].Class != connectors.ClassInvalid ||
		e.Now().Sub(entries[0].At) >= refusedFor {
		return was, said, false, err
	}
	last := entries[0]
	said.Message = last.Note
	err = json.Unmarshal(last.Body, &was)
	if err == nil && last.Reply != "" {
		err = json.Unmarshal([]byte(last.Reply), &said)
	}
	if err != nil {
		return was, said, false, fmt.Errorf("read entry %d of the journal: %w", last.Seq, err)
	}
	return was, said, true, nil
}

// refusedBefore looks in the journal whether the vendor refused the same edit, and what it said.
func (e *Engine) refusedBefore(ctx context.Context, flow string, c plan.Change) (detail, next string, refused bool, err error) {
	from, to, edited := c.Edited()
	if !edited {
		return "", "", false, nil
	}
	was, said, refused, err := e.refusal(ctx, apply.LinkID(flow, c.Pair), c.Account)
	if err != nil || !refused {
		return "", "", false, err
	}
	if before, after, _ := was.Edited(); before.Cmp(from) != 0 || after.Cmp(to) != 0 {
		return "", "", false, nil
	}
	detail, next = refusedText(said)
	return detail, next, true, nil
}

// refuseAgain holds the changes of a group that the vendor refused before, and puts lines back where the flow says so.
func (e *Engine) refuseAgain(ctx context.Context, w *world, in plan.Input, p *plan.Plan) error {
	for _, c := range slices.Clone(p.Changes) {
		detail, next, refused, err := e.refusedBefore(ctx, w.flow.Name, c)
		if err != nil {
			return err
		}
		if refused {
			p.Refuse(c.ID, detail, next)
		}
	}
	if w.flow.Lines.Refused == plan.RefusalPutBack {
		p.PutBack(in)
	}
	return nil
}

// tellLines writes what became of edits where the PSA user looks. What was told before is not told again, and what a person wrote over it
// is left alone until there is news.
func (e *Engine) tellLines(ctx context.Context, run *activeRun, w *world, result *Result) error {
	wanted := map[string]note{}
	want := func(c plan.Change, n note, ok bool) {
		link := apply.LinkID(w.flow.Name, c.Pair)
		if _, said := wanted[link]; ok && w.told[link].ref.Kind != "" && (!said || c.Op == plan.OpSchedule) {
			wanted[link] = n // of an edit that is done in part now and in part later, the later part is told
		}
	}
	failed := map[string]bool{}
	for _, f := range result.Outcome.Failures {
		failed[f.Change.ID] = true
		n, ok := e.failedNote(f)
		want(f.Change, n, ok)
	}
	for _, h := range result.Plan.Held {
		n, ok := e.heldNote(h, result.Plan.Rejected[h.Change.ID])
		want(h.Change, n, ok)
	}
	for _, c := range result.Plan.Changes {
		if n, ok := e.doneNote(c); !failed[c.ID] {
			want(c, n, ok)
		}
	}
	var changes []plan.Change
	for link, t := range w.told {
		text, ok := t.news(wanted[link], e.today())
		if !ok {
			continue
		}
		text = w.psa.Canonical(model.KindLine, apply.NoteField, model.Text(text)).String()
		if text == t.now {
			if t.due {
				if err := e.rememberTold(ctx, run, link, text); err != nil {
					return err
				}
			}
			continue
		}
		was, said, refused, err := e.refusal(ctx, link, w.psa.Name)
		switch {
		case err != nil:
			return err
		case refused && was.Reason == plan.Told && was.Fields[0].To.String() == text:
			result.Told.Failures = append(result.Told.Failures, apply.Failure{Change: was, Class: connectors.ClassInvalid, Err: errors.New(said.Message)})
			continue // it would be refused again
		}
		c := plan.Change{ID: plan.ChangeID("note", link), Op: plan.OpChange, Side: plan.PSA, Account: w.psa.Name, Target: t.ref.PSA, Label: t.label,
			Customer: t.owner, Pair: t.ref, Reason: plan.Told,
			Fields: []plan.FieldChange{{Field: apply.NoteField, From: model.Text(t.now), To: model.Text(text), Reason: plan.Told}}}
		changes = append(changes, c)
	}
	slices.SortFunc(changes, func(a, b plan.Change) int {
		return strings.Compare(a.Customer+"\x00"+a.ID, b.Customer+"\x00"+b.ID)
	})
	outcome, err := e.applier(run, w.flow, result.Digest).Apply(ctx, changes)
	outcome.Failures = append(outcome.Failures, result.Told.Failures...)
	result.Told = outcome
	run.count("told", outcome.Done)
	return err
}

// rememberTold notes that a line was seen to tell what was due: a process told it and died before it could say so.
func (e *Engine) rememberTold(ctx context.Context, run *activeRun, link, text string) error {
	memory, err := e.Store.Snapshots(ctx, []string{link})
	if err != nil {
		return err
	}
	fields := model.Fields{}
	maps.Copy(fields, memory[link].PSA.Fields)
	fields[apply.NoteField] = model.Text(text)
	return e.Store.PutSnapshots(ctx, []state.Snapshot{{Link: link, Side: state.SidePSA, Fields: fields, Run: run.ID}})
}

// news is the text that a line should tell now; ok is false when there is nothing new.
func (t told) news(n note, today model.Day) (text string, ok bool) {
	final := n.status == noteDone || n.status == notePutBack // each is news, also when the same happened before
	switch {
	case n.status == "" && t.due:
		return t.last, true
	case n.status == "" && t.settled && t.open():
		return note{noteInStep, fmt.Sprintf("%s seats on both sides", t.seats), today}.text(), true
	case n.status == "", !final && (n.says(t.now) || n.says(t.last) && !t.due):
		return "", false // told before; a person may have written over it
	}
	return n.text(), true
}
