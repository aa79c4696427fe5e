package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// desk works out what is to be written on tickets in one run.
type desk struct {
	engine *Engine
	world  *world
	result *Result
	told   map[string]state.Told
	topics map[string]topic
	open   int // tickets that are open for trueup, with those that this run opens

	first, notes, last []plan.Change // opened, opened again or asked again; told; closed
}

// ticketLink is under what name the journal keeps the writes to the ticket of a matter.
func ticketLink(matter string) string { return "ticket " + matter }

// tellTickets opens, updates and closes tickets: one for a matter, however many runs see it. What did not change is not written. again says
// for which matters the status of the ticket is put back, and why.
func (e *Engine) tellTickets(ctx context.Context, run *activeRun, w *world, again map[string]string, result *Result) error {
	if result.Plan.Undoes != "" || run.narrow != nil {
		return nil // what it says about one run is for who asked; after a hint the next run of the whole tells
	}
	told, err := e.Store.Told(ctx, w.flow.Name)
	if err != nil || len(w.flow.Tell.Tickets) == 0 {
		return err
	}
	d := &desk{engine: e, world: w, result: result, told: told, topics: e.topics(w, result)}
	for _, t := range told {
		if t.Closed.IsZero() {
			d.open++
		}
	}
	for _, h := range result.Plan.Lifted {
		if matter, _ := plan.MatterOf(result.Plan.Flow, h); d.topics[matter].matter != "" && again[matter] == "" {
			again[matter] = "It was approved and could not be done."
		}
	}
	for _, matter := range slices.Sorted(maps.Keys(d.topics)) {
		d.tell(d.topics[matter], again[matter])
	}
	if len(run.unread) == 0 { // what could not be looked at this time is not settled
		for _, matter := range slices.Sorted(maps.Keys(told)) {
			d.close(told[matter])
		}
	}
	byCustomer := func(a, b plan.Change) int {
		return cmp.Or(cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.ID, b.ID))
	}
	var changes []plan.Change
	for _, step := range [][]plan.Change{d.first, d.notes, d.last} {
		slices.SortFunc(step, byCustomer)
		for _, c := range step {
			again, failure, err := e.refusedTicket(ctx, c)
			switch {
			case err != nil:
				return err
			case again:
				result.Tickets.Failures = append(result.Tickets.Failures, failure) // it would be refused again
			default:
				changes = append(changes, c)
			}
		}
	}
	outcome, err := e.applier(run, w.flow, result.Digest).Apply(ctx, changes)
	result.Tickets = result.Tickets.Plus(outcome)
	for _, f := range outcome.Failures {
		if f.Class == connectors.ClassMissing && f.Change.Tells != nil && !f.Skipped {
			err = errors.Join(err, e.Store.ForgetTold(ctx, w.flow.Name, f.Change.Tells.Matter)) // somebody deleted it; the next run opens another
		}
	}
	run.count("tickets", outcome.Done)
	return err
}

// tell brings the ticket of an open matter up to date.
func (d *desk) tell(t topic, again string) {
	rules, wanted := d.world.flow.Tell.Tickets[t.purpose]
	row, known := d.told[t.matter]
	if known {
		rules, wanted = d.world.flow.Tell.Tickets[Purpose(row.Purpose)]
	}
	if !wanted || d.world.inFlight[ticketLink(t.matter)] {
		return
	}
	tells := plan.Tells{Matter: t.matter, Purpose: cmp.Or(row.Purpose, string(t.purpose)), Said: t.said(), Digest: t.digest}
	before := plan.Tells{Matter: t.matter, Purpose: row.Purpose, Said: row.Said, Digest: row.Digest}
	closed := known && !row.Closed.IsZero()
	if (!known || closed) && d.open >= cmp.Or(d.world.flow.Tell.Most, MostTickets) {
		return // it is in the inbox; too many tickets are open already
	}
	switch {
	case !known:
		d.create(t, rules, tells)
	case closed:
		d.open++
		moved := d.move(row, t.customer, rules.Status, before)
		d.first = append(d.first, moved)
		d.note(row, t.customer, "It is open again.\n\n"+t.text(d.world.flow), tells, moved.ID)
	case again != "":
		moved := d.move(row, t.customer, rules.Status, before)
		d.first = append(d.first, moved)
		d.note(row, t.customer, again+"\n\n"+t.text(d.world.flow), tells, moved.ID)
	case row.Said != tells.Said:
		d.note(row, t.customer, t.text(d.world.flow), tells, "")
	}
}

// close closes the ticket of a matter that is settled, and says how.
func (d *desk) close(row state.Told) {
	rules, ours := d.world.flow.Tell.Tickets[Purpose(row.Purpose)]
	if _, open := d.topics[row.Matter]; open || !row.Closed.IsZero() || !ours || d.world.inFlight[ticketLink(row.Matter)] {
		return
	}
	n := d.engine.settledText(d.result, row.Matter)
	said := topic{note: n}.said()
	tells := plan.Tells{Matter: row.Matter, Purpose: row.Purpose, Said: said}
	after := ""
	if row.Said != said {
		d.note(row, "", n.text(), tells, "")
		after = d.notes[len(d.notes)-1].ID
	}
	tells.Closed = d.engine.Now().UTC()
	closed := d.move(row, "", rules.Closed, tells)
	if after != "" {
		closed.After = []string{after}
	}
	d.last = append(d.last, closed)
}

func (d *desk) change(op plan.Op, target plan.Ref, label, customer string, reason plan.Reason, tells plan.Tells) plan.Change {
	return plan.Change{ID: plan.ChangeID("ticket", tells.Matter, string(target.Kind), string(reason)), Op: op, Side: plan.PSA, Account: d.world.psa.Name, Target: target, Label: label,
		Customer: customer, Pair: plan.PairRef{Link: ticketLink(tells.Matter)}, Reason: reason, Tells: &tells}
}

// create opens a ticket.
func (d *desk) create(t topic, rules TicketRules, tells plan.Tells) {
	company := d.world.companyOf(t.customer, rules)
	if company == "" {
		return // it concerns no company of the PSA, and the flow names none for that; it is in the inbox
	}
	d.open++
	c := d.change(plan.OpCreate, plan.Ref{Kind: model.KindTicket}, "ticket: "+t.summary, t.customer, plan.TicketOpened, tells)
	for _, f := range []struct{ field, text string }{{"customer", company}, {"external_id", "trueup-" + t.matter}, {"summary", summaryOf(d.world.psa.Account, t)}, {"body", t.text(d.world.flow)},
		{"board", rules.Board}, {"status", rules.Status}, {"type", rules.Type}, {"priority", rules.Priority}} {
		if f.text != "" {
			c.Fields = append(c.Fields, plan.FieldChange{Field: f.field, To: model.Text(f.text), Reason: plan.TicketOpened})
		}
	}
	sortFields(c.Fields)
	d.first = append(d.first, c)
}

// move gives a ticket another status, whatever it has.
func (d *desk) move(row state.Told, customer, status string, tells plan.Tells) plan.Change {
	c := d.change(plan.OpChange, plan.Ref{Kind: model.KindTicket, ID: row.Ticket}, "ticket "+row.Ticket, customer, plan.TicketMoved, tells)
	c.Fields = []plan.FieldChange{{Field: "status", To: model.Text(status), Reason: plan.TicketMoved}}
	return c
}

// note writes on a ticket.
func (d *desk) note(row state.Told, customer, text string, tells plan.Tells, after string) {
	c := d.change(plan.OpCreate, plan.Ref{Kind: model.KindTicketNote, Parent: row.Ticket}, "ticket "+row.Ticket, customer, plan.TicketNoted, tells)
	c.Fields = []plan.FieldChange{{Field: "text", To: model.Text(text), Reason: plan.TicketNoted}}
	if after != "" {
		c.After = []string{after}
	}
	d.notes = append(d.notes, c)
}

// refusedTicket reports that the PSA refused the same write less than a day ago.
func (e *Engine) refusedTicket(ctx context.Context, c plan.Change) (bool, apply.Failure, error) {
	was, said, refused, err := e.refusal(ctx, c.Pair.Link, c.Account)
	same := refused && was.Tells != nil && was.ID == c.ID && was.Tells.Said == c.Tells.Said && was.Tells.Digest == c.Tells.Digest
	if err != nil || !same {
		return false, apply.Failure{}, err
	}
	return true, apply.Failure{Change: c, Class: connectors.ClassInvalid, Err: fmt.Errorf("%s; it is tried again after a day", said.Message)}, nil
}
