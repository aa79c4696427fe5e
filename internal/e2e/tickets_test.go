package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/engine"
)

// desk is a flow that opens tickets and takes approvals from them.
const desk = rules + `guards:
  per_change:   {increase: 5}
  per_customer: {share: 100%}
  per_run:      {share: 100%}
  credit_hold:  increase
  freeze:
    - {from: 2000-02-01, to: 2000-02-07}
approve:
  by: [cli, ticket]
  people: PEOPLE
  expires: 3 days
  ticket: {approved: "Approved", rejected: "Rejected"}
tell:
  held:    {ticket: {board: Cloud, status: New, closed: Completed, type: Subscription, priority: High}}
  refused: {ticket: {board: Cloud, status: New, closed: Completed}}
  renewal: {days: [60, 30, 10], ticket: {board: Help Desk, status: New, closed: Completed}}
`

// atDesk runs a test in an office with a service desk. The renewals that are due are told before it begins.
func atDesk(t *testing.T, people string, test func(t *testing.T, o *office)) {
	t.Helper()
	inOffice(t, plot{customers: 2, flow: strings.ReplaceAll(desk, "PEOPLE", people)}, func(t *testing.T, o *office) {
		o.psa.AddCustomField("addition", noteField, "TextArea")
		if _, err := o.run(t.Context(), engine.Options{Apply: true, Sweep: true}); err != nil {
			t.Fatal(err)
		}
		o.settled()
		test(t, o)
	})
}

// tickets are those on the board Cloud, as "status: summary".
func (o *office) tickets() (all []string) {
	for _, id := range o.psa.IDs("ticket") {
		rec := o.psa.Record("ticket", id)
		name := func(member string) string {
			ref, _ := rec[member].(map[string]any)
			text, _ := ref["name"].(string)
			return text
		}
		if name("board") == "Cloud" {
			summary, _ := rec["summary"].(string)
			all = append(all, name("status")+": "+summary)
		}
	}
	return all
}

// ticket is the newest ticket.
func (o *office) ticket() int {
	o.t.Helper()
	ids := o.psa.IDs("ticket")
	if len(ids) == 0 {
		o.t.Fatal("there is no ticket")
	}
	return ids[len(ids)-1]
}

// decides sets the status of the newest ticket in the PSA's screens.
func (o *office) decides(by, status string) {
	o.t.Helper()
	if err := o.psa.SetTicketStatus(o.ticket(), by, status); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) isTold(want ...string) {
	o.t.Helper()
	if got := o.tickets(); !slices.Equal(got, want) {
		o.t.Errorf("tickets %q, want %q", got, want)
	}
}

const raisedTicket = "Customer 00: Microsoft 365 Business Premium, P1Y monthly"

// A PSA user asks for more than the limit; another approves it on the ticket: exactly one write at the vendor, and line and ticket say so.
func TestApprovedOnATicketOrdersOnce(t *testing.T) {
	t.Parallel()
	atDesk(t, "1", func(t *testing.T, o *office) {
		raised := o.pairs[0]
		o.bill(raised, seats+20)
		o.sync(engine.Options{})
		o.isTold("New: " + raisedTicket)
		rec := o.psa.Record("ticket", o.ticket())
		if company, _ := rec["company"].(map[string]any); company["id"] != raised.company || rec["automaticEmailContactFlag"] != false {
			t.Errorf("the ticket is %v", rec)
		}
		for range 3 {
			o.pass(time.Hour)
			o.settled()
		}
		o.decides("mdavis", "Approved")
		o.toVendor.take()
		o.sync(engine.Options{})
		if writes := o.toVendor.take(); len(writes) != 1 || o.orders()[raised.id] != 1 || o.bought(raised).Quantity != seats+20 {
			t.Errorf("%d writes to the vendor, %d orders, %d seats", len(writes), o.orders()[raised.id], o.bought(raised).Quantity)
		}
		o.isTold("Completed: " + raisedTicket)
		notes := o.psa.TicketNotes(o.ticket())
		if last := notes[len(notes)-1]; !strings.HasPrefix(last, "Done, 1 January 2000: 10 to 30 seats at Microsoft Partner Center; approved by mdavis@psa at ") {
			t.Errorf("the ticket says %q", last)
		}
		if got, want := o.told(raised), "Done, 1 January 2000: 10 to 30 seats at Microsoft Partner Center"; got != want {
			t.Errorf("the line tells %q, want %q", got, want)
		}
		for range 3 {
			o.pass(24 * time.Hour)
			o.settled()
		}
		if _, err := o.Store.VerifyJournal(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Two people are needed: one on the ticket is not enough, the same one again neither, another one is.
func TestTwoPeopleOnOneTicket(t *testing.T) {
	t.Parallel()
	atDesk(t, "2", func(t *testing.T, o *office) {
		o.bill(o.pairs[0], seats+20)
		o.sync(engine.Options{})
		for _, who := range []string{"mdavis", "mdavis"} {
			o.pass(time.Minute)
			o.decides(who, "Approved")
			o.sync(engine.Options{})
			o.isTold("New: " + raisedTicket)
			o.settled()
		}
		notes := o.psa.TicketNotes(o.ticket())
		if last := notes[len(notes)-1]; !strings.HasPrefix(last, "1 of 2 people approved it (mdavis@psa)") || len(o.orders()) != 0 {
			t.Errorf("the ticket says %q, orders %v", last, o.orders())
		}
		o.pass(time.Minute)
		o.decides("jdoe", "Approved")
		o.sync(engine.Options{})
		o.isTold("Completed: " + raisedTicket)
		if o.orders()[o.pairs[0].id] != 1 {
			t.Errorf("orders %v", o.orders())
		}
	})
}

// Rejected on the ticket: the line says who refused it, nothing is bought, and when the user gives in the ticket is closed.
func TestRejectedOnATicket(t *testing.T) {
	t.Parallel()
	atDesk(t, "1", func(t *testing.T, o *office) {
		o.bill(o.pairs[0], seats+20)
		o.sync(engine.Options{})
		o.decides("mdavis", "Rejected")
		o.sync(engine.Options{})
		if got := o.told(o.pairs[0]); !strings.HasPrefix(got, "Refused, 1 January 2000: 10 to 30 seats: rejected by mdavis@psa at ") {
			t.Errorf("the line tells %q", got)
		}
		for range 2 {
			o.pass(24 * time.Hour)
			o.settled()
		}
		o.isTold("Rejected: " + raisedTicket)
		o.bill(o.pairs[0], seats)
		o.sync(engine.Options{})
		o.isTold("Completed: " + raisedTicket)
		if len(o.orders()) != 0 {
			t.Errorf("orders %v", o.orders())
		}
		o.settled()
	})
}

// The company is on credit hold: no seats are bought for it, those of others are. In a freeze nobody's are, until it is over.
func TestCreditHoldAndFreeze(t *testing.T) {
	t.Parallel()
	atDesk(t, "1", func(t *testing.T, o *office) {
		held, free := o.pairs[0], o.pairs[2]
		status := func(id int) {
			t.Helper()
			if err := o.psa.Edit("company", held.company, "jdoe", map[string]any{"status": map[string]any{"id": id}}); err != nil {
				t.Fatal(err)
			}
		}
		states := o.psa.IDs("companyStatus") // Active, Inactive, Credit Hold
		status(states[2])
		o.bill(held, seats+2)
		o.bill(free, seats+2)
		o.sync(engine.Options{})
		if o.bought(held).Quantity != seats || o.bought(free).Quantity != seats+2 {
			t.Errorf("bought %d and %d", o.bought(held).Quantity, o.bought(free).Quantity)
		}
		o.isTold("New: " + raisedTicket)
		if got := o.told(held); !strings.HasPrefix(got, "On hold, 1 January 2000: 10 to 12 seats: the PSA has the customer on credit hold") {
			t.Errorf("the line tells %q", got)
		}
		o.settled()
		status(states[0])
		o.sync(engine.Options{})
		if o.bought(held).Quantity != seats+2 {
			t.Errorf("bought %d", o.bought(held).Quantity)
		}
		o.isTold("Completed: " + raisedTicket)

		o.pass(time.Until(time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)))
		o.bill(free, seats+4)
		result := o.sync(engine.Options{})
		if o.bought(free).Quantity != seats+2 || !strings.Contains(result.Run.Reason, "until 8 February 2000, 00:00 GMT") {
			t.Errorf("bought %d in the freeze; the run says %q", o.bought(free).Quantity, result.Run.Reason)
		}
		if got := o.told(free); !strings.HasPrefix(got, "Requested, 1 February 2000: 10 to 14 seats") && !strings.HasPrefix(got, "Requested, 1 February 2000: 12 to 14 seats") {
			t.Errorf("the line tells %q", got)
		}
		o.settled()
		o.pass(time.Until(time.Date(2000, 2, 8, 0, 0, 0, 0, time.UTC)))
		o.sync(engine.Options{})
		if o.bought(free).Quantity != seats+4 {
			t.Errorf("bought %d after the freeze", o.bought(free).Quantity)
		}
		if got, want := o.told(free), "Done, 8 February 2000: 12 to 14 seats at Microsoft Partner Center"; got != want {
			t.Errorf("the line tells %q, want %q", got, want)
		}
	})
}

// The connection dies after the PSA opened the ticket: it is found, not opened again. And so for the note and the closing.
func TestTicketWhoseReplyWasLost(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int{"opened": 1, "told": 2, "closed": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atDesk(t, "1", func(t *testing.T, o *office) {
				lose := func(step int) {
					if step == at {
						if err := o.psa.Misbehave("lost_reply", "1"); err != nil {
							t.Fatal(err)
						}
					}
				}
				// The line's own note goes first, so it is written beforehand where the ticket's reply is to be lost.
				for i, want := range []int{seats + 20, seats + 30, seats} {
					o.flow.Tell.Lines = engine.TellNothing
					lose(i + 1)
					o.bill(o.pairs[0], want)
					o.sync(engine.Options{})
					o.sync(engine.Options{})
				}
				o.isTold("Completed: " + raisedTicket)
				if notes := o.psa.TicketNotes(o.ticket()); len(notes) != 3 {
					t.Errorf("the ticket says %q", notes)
				}
				o.settled()
			})
		})
	}
}

// Somebody else's ticket is never touched, and one whose label is gone does not stop the seats.
func TestOtherTicketsAreLeftAlone(t *testing.T) {
	t.Parallel()
	atDesk(t, "1", func(t *testing.T, o *office) {
		other := o.psa.AddTicket(connectwisetest.Ticket{Company: o.pairs[0].company, Board: "Cloud", Summary: "Printer", Notes: []string{"private"}})
		before := len(o.psa.TicketNotes(other))
		o.bill(o.pairs[0], seats+20)
		o.bill(o.pairs[2], seats+3)
		o.sync(engine.Options{})
		if len(o.psa.TicketNotes(other)) != before || o.psa.Record("ticket", other)["summary"] != "Printer" {
			t.Error("another ticket was written to")
		}
		if o.bought(o.pairs[2]).Quantity != seats+3 {
			t.Errorf("bought %d", o.bought(o.pairs[2]).Quantity)
		}
	})
}
