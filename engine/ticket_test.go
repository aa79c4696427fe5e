package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// ticketing is linked in a flow that opens tickets for everything, and takes approvals from them.
func ticketing(t *testing.T) (o *office, sub, line connectors.Ref) {
	t.Helper()
	o, sub, line = linked(t)
	labels := engine.TicketRules{Board: "Cloud", Status: "New", Closed: "Completed", Type: "Subscription", Priority: "High", Company: "Kea Logistics"}
	o.flow.Tell.Tickets = map[engine.Purpose]engine.TicketRules{}
	for _, purpose := range []engine.Purpose{engine.TellHeld, engine.TellRefused, engine.TellRenewal, engine.TellUnmatched, engine.TellDrift} {
		o.flow.Tell.Tickets[purpose] = labels
	}
	o.flow.Approve = engine.ApproveRules{Tickets: true, Approved: "Approved", Rejected: "Rejected"}
	o.settled()
	return o, sub, line
}

// limited lets at most 25 seats be added, and the PSA user asks for more.
func (o *office) limited(line connectors.Ref, seats int64) {
	o.t.Helper()
	limit := model.NewQuantity(25)
	o.flow.Guards.PerChange.Increase = &limit
	o.edit(o.psa, line, "quantity", model.Int(seats))
}

// tickets are all tickets as "status: summary", in the order in which they were opened.
func (o *office) tickets() (all []string) {
	for _, rec := range o.psa.Records("ticket") {
		all = append(all, rec.Fields["status"].String()+": "+rec.Fields["summary"].String())
	}
	return all
}

func (o *office) ticket() connectors.Ref {
	o.t.Helper()
	all := o.psa.Records("ticket")
	if len(all) != 1 {
		o.t.Fatalf("%d tickets, want one: %v", len(all), o.tickets())
	}
	return connectors.Ref{Kind: "ticket", ID: all[0].ID}
}

// notes are the first lines of what a ticket was told, with what it was opened with.
func (o *office) notes() (lines []string) {
	o.t.Helper()
	rec, _ := o.psa.Get(o.ticket())
	texts := []string{rec.Fields["analysis"].String()}
	for _, n := range o.psa.Records("ticketNote") {
		texts = append(texts, n.Fields["text"].String())
	}
	for _, text := range texts {
		first, _, _ := strings.Cut(text, "\n")
		lines = append(lines, first)
	}
	return lines
}

// quiet asserts that further runs write nothing.
func (o *office) quiet() {
	o.t.Helper()
	before := o.writes()
	for range 3 {
		o.sync()
	}
	o.now = o.now.Add(25 * time.Hour)
	o.sync()
	if after := o.writes(); after != before {
		o.t.Errorf("%d writes although nothing changed", after-before)
	}
}

func (o *office) same(what string, want, got any) {
	o.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		o.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// One matter from its beginning to its end: opened once, told what changed, closed, opened again when it comes back.
func TestOneTicketForAMatter(t *testing.T) {
	t.Parallel()
	o, _, line := ticketing(t)
	o.limited(line, 60)
	result := o.sync()
	o.same("tickets", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	rec, _ := o.psa.Get(o.ticket())
	digest := plan.Asks(result.Plan)[0].Plan.Digest()
	o.same("what it was opened with", strings.Join([]string{
		"Waiting for approval, 14 March 2031: 14 to 60 seats: over the limit for one change. 14 seats would become 60: 46 more, the limit is 25; check it, then release it for this plan with trueup approve, or raise guards.per_change.increase in the flow",
		"", "Customer: Kea Logistics", "Vendor cost a month, more or less: 744.62 GBP", "",
		"Plan " + digest + " is exactly this; if anything about it moves, it is asked anew.",
		`To approve it set the status of this ticket to "Approved", to reject it to "Rejected".`,
		"On the command line: trueup approve " + digest + ", or trueup reject " + digest, "",
		"Written by trueup, flow cloud. It closes this ticket when the matter is settled."}, "\n"), rec.Fields["analysis"].String())
	inbox, err := o.engine.Store.Findings(t.Context(), true, o.flow.Name)
	if err != nil || len(inbox) != 1 || !strings.Contains(inbox[0].Next, "see ticket "+o.ticket().ID) {
		t.Errorf("the inbox says %+v, %v", inbox, err)
	}
	o.quiet()

	o.edit(o.psa, line, "quantity", model.Int(61))
	o.sync()
	o.quiet()
	o.edit(o.psa, line, "quantity", model.Int(14))
	o.sync()
	o.same("closed", []string{"Completed: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	o.quiet()
	o.edit(o.psa, line, "quantity", model.Int(62))
	o.sync()
	o.quiet()
	o.same("open again", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	notes := o.notes()
	want := []string{"Waiting for approval, 14 March 2031: 14 to 60 seats", "Waiting for approval, 15 March 2031: 14 to 61 seats",
		"In step, 16 March 2031: this is settled: nothing of it is held, refused or to be decided any more", "It is open again."}
	if len(notes) != len(want) || slices.ContainsFunc(want, func(s string) bool {
		return !slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, s) })
	}) {
		t.Errorf("told %q, want %q", notes, want)
	}
	if _, err := o.engine.Store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
}

// A person sets the status: exactly that change is made, once, and the ticket says who approved it.
func TestApprovedOnTheTicket(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.limited(line, 60)
	o.sync()
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	orders := o.changes()
	o.sync()
	if got := o.seats(o.vendor, sub); got != "60" || o.changes() != orders+1 {
		t.Errorf("the vendor has %s after %d changes", got, o.changes()-orders)
	}
	o.same("tickets", []string{"Completed: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	last := o.notes()[1]
	if !strings.HasPrefix(last, "Done, 14 March 2031: 14 to 60 seats at Vendor in memory; approved by user@psa at 2031-03-14T") || !strings.Contains(last, "(ticket "+o.ticket().ID+")") {
		t.Errorf("it says %q", last)
	}
	o.quiet()

	// The same edit again is not approved by the status of then.
	o.flow.Guards = plan.Guards{}
	o.edit(o.vendor, sub, "quantity", model.Int(14))
	o.sync()
	o.limited(line, 60)
	o.sync()
	o.sync()
	if got := o.seats(o.vendor, sub); got != "14" {
		t.Errorf("an approval was used twice: the vendor has %s", got)
	}
	o.same("open again", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
}

// What was approved is what was asked: a line that moved meanwhile is asked anew.
func TestApprovedAfterItMoved(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.limited(line, 60)
	o.sync()
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	o.edit(o.psa, line, "quantity", model.Int(90))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "14" {
		t.Fatalf("the vendor has %s", got)
	}
	o.same("tickets", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	if last := o.notes()[1]; !strings.HasPrefix(last, "It moved since it was approved, so that does not count") {
		t.Errorf("it says %q", last)
	}
	o.quiet()
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "90" {
		t.Errorf("approved again: the vendor has %s", got)
	}
}

// A rejection is remembered, the line says so too, and the same person may think better of it.
func TestRejectedOnTheTicket(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.edit(o.psa, line, status, model.Text(""))
	o.limited(line, 60)
	o.sync()
	o.edit(o.psa, o.ticket(), "status", model.Text("Rejected"))
	result := o.sync()
	rec, _ := o.psa.Get(line)
	if got := rec.Fields[status].String(); !strings.HasPrefix(got, "Refused, 14 March 2031: 14 to 60 seats: rejected by user@psa at ") {
		t.Errorf("the line tells %q", got)
	}
	o.quiet()
	if plan.DocumentOf(result.Plan).Release != "" || o.seats(o.vendor, sub) != "14" {
		t.Errorf("it can be released as a part of the whole, or was done: %s", text(result.Plan))
	}
	if shown := text(result.Plan); !strings.Contains(shown, "rejected by user@psa at ") {
		t.Errorf("the plan does not say who rejected it:\n%s", shown)
	}
	ask := plan.Asks(result.Plan)[0].Plan.Digest()
	if _, err := o.applied(ask); err == nil || !strings.Contains(err.Error(), "user@psa rejected it") {
		t.Errorf("apply: %v", err)
	}
	o.same("tickets", []string{"Rejected: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "60" {
		t.Errorf("the vendor has %s", got)
	}
}

// Two people: the first approval puts the status back and says who is missing; a person counts once, whatever they use.
func TestFourEyesWithATicket(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.flow.Approvals = 2
	o.limited(line, 60)
	ask := plan.Asks(o.sync().Plan)[0].Plan.Digest()
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	o.sync()
	o.same("tickets", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	if last := o.notes()[1]; !strings.HasPrefix(last, "1 of 2 people approved it (user@psa).") || o.seats(o.vendor, sub) != "14" {
		t.Errorf("it says %q, the vendor has %s", last, o.seats(o.vendor, sub))
	}
	o.quiet()
	o.decide(ask, "user@desk", state.Approved)
	o.sync()
	if got := o.seats(o.vendor, sub); got != "14" {
		t.Fatalf("one person approved twice: the vendor has %s", got)
	}
	// The first approval has expired by now.
	o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
	o.decide(ask, "eve@desk", state.Approved)
	o.sync()
	if got := o.seats(o.vendor, sub); got != "60" {
		t.Errorf("two people: the vendor has %s", got)
	}
}

// Only the approved matter is done; others stay held.
func TestOneMatterOfSeveralIsApproved(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.flow.Mode = engine.ModePropose
	fabrikam := o.company("Fabrikam", "fabrikam.example")
	o.tenant("fabrikam", "Fabrikam", "fabrikam.example")
	other := o.subscription("fabrikam", "sub-2", 5, "P1Y")
	second := o.line(o.agreement(fabrikam), o.item("x"), "sub-2", 5)
	o.flow.Mode = engine.ModeWrite
	o.sync()
	o.limited(line, 60)
	o.edit(o.psa, second, "quantity", model.Int(50))
	result := o.sync()
	asks := plan.Asks(result.Plan)
	if len(asks) != 2 || len(o.tickets()) != 2 {
		t.Fatalf("%d asks, tickets %v", len(asks), o.tickets())
	}
	i := slices.IndexFunc(asks, func(a plan.Asked) bool { return a.Customer == "Fabrikam" })
	inbox, err := o.engine.Store.Findings(t.Context(), true, o.flow.Name)
	if err != nil || !slices.ContainsFunc(inbox, func(f state.Finding) bool {
		return strings.Contains(f.Next, "to release only this: trueup approve "+asks[i].Plan.Digest())
	}) {
		t.Errorf("the inbox: %+v, %v", inbox, err)
	}
	o.decide(asks[i].Plan.Digest(), "ann@desk", state.Approved)
	o.sync()
	if a, b := o.seats(o.vendor, sub), o.seats(o.vendor, other); a != "14" || b != "50" {
		t.Errorf("the vendor has %s and %s, want 14 and 50", a, b)
	}
}

// Each way in which something is open has its ticket, and what settles itself has none.
func TestWhatOpensATicket(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(o *office, sub, line connectors.Ref)
		want    string // how the ticket begins; "" for none
	}{
		"a conflict": {func(o *office, sub, line connectors.Ref) {
			o.edit(o.psa, line, "quantity", model.Int(17))
			o.edit(o.vendor, sub, "quantity", model.Int(12))
		}, "On hold, 14 March 2031: changed on both sides to different values"},
		"refused by the rules": {func(o *office, _, line connectors.Ref) { o.edit(o.psa, line, "quantity", model.Int(0)) }, "Refused, 14 March 2031: 14 to 0 seats"},
		"refused by the vendor": {func(o *office, sub, line connectors.Ref) {
			o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(5))
			o.misbehave(o.vendor, memory.RefuseDecrease, "")
			o.edit(o.psa, line, "quantity", model.Int(11))
		}, "Refused, 14 March 2031: 14 to 11 seats: the vendor refused it"},
		"a foreign edit": {func(o *office, _, line connectors.Ref) { o.edit(o.psa, line, "unitCost", money(o.t, "3 GBP")) }, "On hold, 14 March 2031: "},
		"a line ended by its user": {func(o *office, _, line connectors.Ref) {
			o.edit(o.psa, line, "cancelledDate", model.DayValue(model.NewDay(2031, 3, 1)))
		}, "Waiting for approval, 14 March 2031: "},
		"credit hold": {func(o *office, _, line connectors.Ref) {
			o.flow.CreditHold = true
			o.edit(o.psa, connectors.Ref{Kind: "company", ID: o.psa.Records("company")[0].ID}, "status", model.Text("Credit Hold"))
			o.edit(o.psa, line, "quantity", model.Int(17))
		}, "On hold, 14 March 2031: 14 to 17 seats: the PSA has the customer on credit hold, so no seats are added. 14 seats would become 17; take the customer off"},
		"an unmatched customer": {func(o *office, _, _ connectors.Ref) {
			o.tenant("lost", "Lost Ltd", "lost.example")
			o.subscription("lost", "sub-lost", 3, "P1Y")
		}, `On hold, 14 March 2031: `},
		"frozen": {func(o *office, _, line connectors.Ref) {
			o.flow.Freeze = []plan.Freeze{{From: model.NewDay(2031, 3, 14), To: model.NewDay(2031, 3, 20)}}
			o.edit(o.psa, line, "quantity", model.Int(17))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, sub, line := ticketing(t)
			c.prepare(o, sub, line)
			o.sync()
			if c.want == "" {
				o.same("tickets", []string(nil), o.tickets())
			} else if all := o.tickets(); len(all) == 0 {
				t.Fatal("no ticket")
			} else if got, _ := o.psa.Get(connectors.Ref{Kind: "ticket", ID: o.psa.Records("ticket")[0].ID}); !strings.HasPrefix(got.Fields["analysis"].String(), c.want) {
				t.Errorf("the first of %q begins %q, want %q", all, got.Fields["analysis"], c.want)
			}
			before := o.writes()
			o.sync()
			o.sync()
			if after := o.writes(); after != before {
				t.Errorf("%d writes although nothing changed", after-before)
			}
		})
	}
}

// Not more tickets than anybody would read: the rest is in the inbox, and moves up.
func TestTicketsAreLimited(t *testing.T) {
	t.Parallel()
	o, _, _ := ticketing(t)
	o.flow.Tell.Most = 3
	lost := []connectors.Ref{}
	for i := range 5 {
		id := fmt.Sprintf("lost%d", i)
		lost = append(lost, o.tenant(id, "Lost "+id, id+".example"))
		o.subscription(id, "sub-"+id, 3, "P1Y")
	}
	o.sync()
	if all := o.tickets(); len(all) != 3 {
		t.Errorf("%d tickets: %v", len(all), all)
	}
	o.quiet()
	for _, ref := range lost[:4] {
		if err := o.vendor.Remove(ref); err != nil {
			t.Fatal(err)
		}
	}
	o.flow.Guards = plan.Guards{}
	for range 4 {
		o.sync()
	}
	open := slices.DeleteFunc(o.tickets(), func(s string) bool { return strings.HasPrefix(s, "Completed") })
	if len(open) != 1 {
		t.Errorf("open are %v of %v", open, o.tickets())
	}
}

// What a run could not read is not settled, and its ticket stays open.
func TestAnIncompleteReadClosesNoTicket(t *testing.T) {
	t.Parallel()
	o, _, line := ticketing(t)
	o.limited(line, 60)
	o.sync()
	o.misbehave(o.vendor, memory.Partial, "t-kea")
	if _, err := o.run(engine.Options{Apply: true, Sweep: true}); err != nil {
		t.Fatal(err)
	}
	o.same("tickets", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
}

// Labels that the PSA does not have: the inbox says so, the flow goes on, and the PSA is not asked every few minutes.
func TestRefusedTicket(t *testing.T) {
	t.Parallel()
	o, sub, line := ticketing(t)
	o.flow.Tell.Tickets[engine.TellHeld] = engine.TicketRules{Board: "Clouds", Status: "New", Closed: "Completed"}
	o.limited(line, 60)
	for range 3 {
		result := o.sync()
		if len(result.Tickets.Failures) != 1 || result.Run.State != state.RunHeld {
			t.Fatalf("%+v, run %s", result.Tickets, result.Run.State)
		}
	}
	entries, err := o.engine.Store.Journal(t.Context(), state.JournalFilter{Account: "psa"})
	if tried := len(slices.DeleteFunc(entries, func(e state.Entry) bool { return e.Ref.Kind != "ticket" || e.State != state.JournalFailed })); err != nil || tried != 1 {
		t.Errorf("tried %d times, %v", tried, err)
	}
	inbox, err := o.engine.Store.Findings(t.Context(), true, o.flow.Name)
	if err != nil || !slices.ContainsFunc(inbox, func(f state.Finding) bool { return strings.Contains(f.Detail, "no board of this name") }) {
		t.Errorf("the inbox: %+v, %v", inbox, err)
	}
	o.edit(o.psa, line, "quantity", model.Int(20))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "20" {
		t.Errorf("the vendor has %s", got)
	}
}

// A ticket that somebody deleted is opened anew; a store that was lost finds the ones that are there.
func TestTicketsThatAreLost(t *testing.T) {
	t.Parallel()
	o, _, line := ticketing(t)
	o.limited(line, 60)
	o.sync()
	if err := o.psa.Remove(o.ticket()); err != nil {
		t.Fatal(err)
	}
	o.sync()
	o.sync()
	o.same("deleted", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())

	o.edit(o.psa, line, "quantity", model.Int(14))
	o.sync()
	o.newStore()
	o.sync()
	o.edit(o.psa, line, "quantity", model.Int(60))
	o.sync()
	o.sync()
	o.same("after the store was lost", []string{"New: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
	o.quiet()
}

// The process dies, or the reply is lost, at each step of a ticket's life: there is one ticket, and it says what it should.
func TestTicketAfterADeath(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"before", "after", memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		steps := 10 // a journal entry before and after each of: opened, told, seats ordered, told, closed
		if strings.Contains(fault, "commit") || fault == memory.ErrorAfterCommit {
			steps = 3 // opened, told, closed
		}
		for at := range steps {
			t.Run(fmt.Sprintf("%s/%d", fault, at), func(t *testing.T) {
				t.Parallel()
				o, sub, line := ticketing(t)
				o.limited(line, 60)
				left, steps := at, 0
				if fault == "before" || fault == "after" {
					o.engine.Journal = &dyingTeller{Store: o.engine.Store, after: fault == "after", dies: func() bool { left--; return left < 0 }}
				}
				step := func() {
					if o.engine.Journal == nil && steps == at && !slices.Contains([]string{"before", "after"}, fault) {
						o.misbehave(o.psa, fault, "1")
					}
					steps++
					if _, err := o.run(engine.Options{Apply: true}); err != nil {
						o.engine.Journal = nil // another process
						o.sync()
					}
				}
				step() // opened
				o.edit(o.psa, line, "quantity", model.Int(61))
				step() // told
				o.sync()
				o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
				orders := o.changes()
				step() // approved, done, closed
				o.engine.Journal = nil
				o.sync()
				if o.seats(o.vendor, sub) != "61" { // the process died with the approval in its hands; it is asked again
					o.edit(o.psa, o.ticket(), "status", model.Text("Approved"))
					o.sync()
					o.sync()
				}
				o.same("seats and orders", []any{"61", 1}, []any{o.seats(o.vendor, sub), o.changes() - orders})
				o.same("tickets", []string{"Completed: Kea Logistics: Business Premium, P1Y monthly"}, o.tickets())
				o.quiet()
				if _, err := o.engine.Store.VerifyJournal(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// dyingTeller is a store under which the process dies at some write on the way of a change.
type dyingTeller struct {
	*state.Store
	after bool
	dies  func() bool
}

func (m *dyingTeller) do(write func() error) error {
	dies := m.dies()
	if dies && !m.after {
		return errDied
	}
	err := write()
	if dies {
		return errDied
	}
	return err
}

func (m *dyingTeller) Append(ctx context.Context, entries ...state.Entry) error {
	return m.do(func() error { return m.Store.Append(ctx, entries...) })
}

func (m *dyingTeller) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	return m.do(func() error { return m.Store.Settle(ctx, outcome, snapshots, links) })
}

func (m *dyingTeller) SettleTold(ctx context.Context, outcome state.Entry, told state.Told) error {
	return m.do(func() error { return m.Store.SettleTold(ctx, outcome, told) })
}

var errDied = errors.New("the process died")
