package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

const status = "custom.Vendor Status"

// telling is linked in a PSA whose administrator made the field for notes.
func telling(t *testing.T) (o *office, sub, line connectors.Ref) {
	t.Helper()
	o, sub, line = linked(t)
	o.edit(o.psa, line, status, model.Text(""))
	o.settled()
	return o, sub, line
}

// tells asserts what the line says, and that saying it once was enough.
func (o *office) tells(line connectors.Ref, want string) {
	o.t.Helper()
	rec, _ := o.psa.Get(line)
	if diff := cmp.Diff(want, rec.Fields[status].String()); diff != "" {
		o.t.Errorf("the line tells (-want +got):\n%s", diff)
	}
	before := o.writes()
	for range 3 {
		o.sync()
	}
	o.now = o.now.Add(25 * time.Hour)
	o.sync()
	if after := o.writes(); after != before {
		o.t.Errorf("%d writes although there is no news", after-before)
	}
	if again, _ := o.psa.Get(line); again.Fields[status] != rec.Fields[status] {
		o.t.Errorf("without news the line came to tell %q", again.Fields[status])
	}
}

func TestLineTellsThatAnEditIsDone(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	before := o.writes()
	o.edit(o.psa, line, "quantity", model.Int(17))
	result := o.sync()
	if got := o.writes() - before; got != 2 || result.Told.Done != 1 || result.Outcome.Done != 1 {
		t.Errorf("%d writes, want the seats and the note; told %+v", got, result.Told)
	}
	o.tells(line, "Done, 14 March 2031: 14 to 17 seats at Vendor in memory")
	o.edit(o.psa, line, "quantity", model.Int(19))
	o.sync()
	o.tells(line, "Done, 15 March 2031: 17 to 19 seats at Vendor in memory")
}

// TestLineTellsWhyAnEditWaits: each way to be held is told once, and taken back when the sides agree again.
func TestLineTellsWhyAnEditWaits(t *testing.T) {
	t.Parallel()
	limit := model.Int(2)
	two, _ := limit.Quantity()
	for _, c := range []struct {
		name    string
		prepare func(o *office, sub, line connectors.Ref)
		want    string
	}{
		{"over a limit", func(o *office, _, line connectors.Ref) {
			o.flow.Guards.PerChange.Increase = &two
			o.edit(o.psa, line, "quantity", model.Int(17))
		}, "Waiting for approval, 14 March 2031: 14 to 17 seats: over the limit for one change. 14 seats would become 17: 3 more, the limit is 2; " +
			"check it, then release it for this plan with trueup approve, or raise guards.per_change.increase in the flow"},
		{"no seats at all", func(o *office, _, line connectors.Ref) {
			o.edit(o.psa, line, "quantity", model.Int(0))
		}, "Refused, 14 March 2031: 14 to 0 seats: the vendor does not take back these seats now. " +
			"14 seats are committed and at most 0 may be taken back today, so not fewer than 14; 0 was asked; put the line back to 14 or more, or lower it at the end of the term"},
		{"not a number of seats", func(o *office, _, line connectors.Ref) {
			o.refuse(line, "14.5")
		}, "Refused, 14 March 2031: 14 to 14.5 seats: a value cannot be read. 14.5 is not a number of seats; mend the quantity on the line"},
		{"both sides", func(o *office, sub, line connectors.Ref) {
			o.edit(o.psa, line, "quantity", model.Int(17))
			o.edit(o.vendor, sub, "quantity", model.Int(12))
		}, "On hold, 14 March 2031: changed on both sides to different values: quantity: vendor 12, PSA 17 (last agreed: vendor 14, PSA 14); " +
			"make the two sides equal, or give quantity a conflict rule (vendor, psa, highest, lowest) in the flow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o, sub, line := telling(t)
			c.prepare(o, sub, line)
			if result := o.sync(); result.Told.Done != 1 {
				t.Errorf("told %+v", result.Told)
			}
			o.tells(line, c.want)
			rec, _ := o.vendor.Get(sub)
			o.edit(o.psa, line, "quantity", rec.Fields["quantity"])
			o.sync()
			o.tells(line, "In step, 15 March 2031: "+rec.Fields["quantity"].String()+" seats on both sides")
		})
	}
}

// Fewer seats outside the window: the line says what follows and until when it bills the rest, also when a part is taken back at once.
func TestLineTellsWhatIsScheduled(t *testing.T) {
	t.Parallel()
	o, sub, line := telling(t)
	o.flow.Guards.Cancel = plan.CancelTermEnd
	o.edit(o.psa, line, onTheLine, model.Text(""))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(11))
	o.sync()
	o.tells(line, "Scheduled, 14 March 2031: 11 seats from 2032-03-05 on; 14 are committed and billed until then")
	o.edit(o.vendor, sub, "refundable", model.List("1 until 2031-03-20T10:00:00Z"))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(9))
	o.sync()
	o.tells(line, "Scheduled, 15 March 2031: 9 seats from 2032-03-05 on; 13 are committed and billed until then")
	o.edit(o.psa, line, onTheLine, model.Text(""))
	o.sync()
	o.tells(line, "Done, 16 March 2031: nothing is scheduled any more for the end of the term on 2032-03-04")
	o.flow.Guards.Decrease = plan.DecreaseHold
	o.edit(o.psa, line, "quantity", model.Int(8))
	o.sync()
	rec, _ := o.psa.Get(line)
	if got := rec.Fields[status].String(); !strings.HasPrefix(got, "Waiting for approval, 17 March 2031: ") {
		t.Errorf("the line tells %q", got)
	}
}

// refuse types a number on the line that no vendor takes.
func (o *office) refuse(line connectors.Ref, number string) {
	o.t.Helper()
	v, err := model.Parse(model.TypeQuantity, number)
	if err != nil {
		o.t.Fatal(err)
	}
	o.edit(o.psa, line, "quantity", v)
}

// refusing is telling with a vendor that refuses a decrease which its own data allows.
func refusing(t *testing.T) (o *office, sub, line connectors.Ref) {
	t.Helper()
	o, sub, line = telling(t)
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(5))
	o.misbehave(o.vendor, memory.RefuseDecrease, "")
	o.edit(o.psa, line, "quantity", model.Int(11))
	return o, sub, line
}

// changes counts the changes that the vendor was asked for.
func (o *office) changes() (n int) {
	for _, r := range o.vendor.Requests() {
		if r.Op == "change" {
			n++
		}
	}
	return n
}

func TestRefusedEditIsHeldAndNotSentEveryRun(t *testing.T) {
	t.Parallel()
	o, sub, line := refusing(t)
	before := o.changes()
	o.sync()
	for range 3 {
		if result := o.sync(); reasons(result.Plan) != "[held refused]" || result.Run.State != state.RunHeld {
			t.Fatalf("got %s, run %s", reasons(result.Plan), result.Run.State)
		}
	}
	if got := o.changes() - before; got != 1 {
		t.Errorf("the vendor was asked %d times within a day, want once", got)
	}
	o.tells(line, "Refused, 14 March 2031: 14 to 11 seats: the vendor refused it. it cannot go down from 14 to 11 now; wait for the end of the term; it is tried again after a day")
	if got := o.changes() - before; got != 2 {
		t.Errorf("the vendor was asked %d times in a day and an hour, want twice", got)
	}
	o.edit(o.psa, line, "quantity", model.Int(12))
	o.vendor.Behave(memory.RefuseDecrease)
	o.sync()
	if got := o.seats(o.vendor, sub); got != "12" {
		t.Errorf("another number is another edit: the vendor has %s, want 12", got)
	}
	o.tells(line, "Done, 15 March 2031: 14 to 12 seats at Vendor in memory")
}

func TestRefusedEditIsPutBackWhereTheFlowSaysSo(t *testing.T) {
	t.Parallel()
	o, sub, line := refusing(t)
	o.flow.Lines.Refused = plan.RefusalPutBack
	o.sync()
	o.sync()
	if v, p := o.seats(o.vendor, sub), o.seats(o.psa, line); v != "14" || p != "14" {
		t.Errorf("vendor %s, PSA %s, want 14 on both", v, p)
	}
	o.tells(line, "Put back, 14 March 2031: 14 to 11 seats was not taken: it cannot go down from 14 to 11 now. The line has 14 again")
	o.settled()
}

func TestPutBackHoldsAnEditThatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	o.flow.Lines.Refused = plan.RefusalPutBack
	limit, _ := model.Int(2).Quantity()
	o.flow.Guards.PerChange.Increase = &limit
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.sync()
	if result := o.sync(); reasons(result.Plan) != "[held over_change_limit]" || o.seats(o.psa, line) != "17" {
		t.Errorf("got %s, the line has %s", reasons(result.Plan), o.seats(o.psa, line))
	}
}

var errKilled = errors.New("killed")

// mute lets the process die at a write to the store about a note: before it is intended, or after it was sent.
type mute struct {
	apply.Store
	at state.JournalState
}

func (m mute) Append(ctx context.Context, entries ...state.Entry) error {
	if m.at == state.JournalIntended && strings.Contains(string(entries[0].Body), string(plan.Told)) {
		return errKilled
	}
	return m.Store.Append(ctx, entries...)
}

func (m mute) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	if m.at == state.JournalDone && strings.Contains(string(outcome.Body), string(plan.Told)) {
		return errKilled
	}
	return m.Store.Settle(ctx, outcome, snapshots, links)
}

func TestNoteSurvivesADeathAndIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, at := range []state.JournalState{state.JournalIntended, state.JournalDone} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			o, sub, line := telling(t)
			o.refuse(line, "13.5") // refused by the rules: the line was told something before
			o.sync()
			before := o.writes()
			o.edit(o.psa, line, "quantity", model.Int(17))
			o.engine.Journal = mute{o.engine.Store, at}
			if _, err := o.run(engine.Options{Apply: true}); !errors.Is(err, errKilled) {
				t.Fatalf("got %v, want to be killed", err)
			}
			if got := o.seats(o.vendor, sub); got != "17" {
				t.Fatalf("the vendor has %s when the process died, want 17", got)
			}
			o.engine.Journal = nil
			o.now = o.now.Add(24 * time.Hour)
			o.sync()
			o.tells(line, "Done, 14 March 2031: 14 to 17 seats at Vendor in memory")
			if got := o.writes() - before; got != 2 {
				t.Errorf("%d writes, want the seats and the note once", got)
			}
		})
	}
}

func TestWhatAPersonWritesStaysAlsoAfterADeath(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.engine.Journal = mute{o.engine.Store, state.JournalIntended}
	if _, err := o.run(engine.Options{Apply: true}); !errors.Is(err, errKilled) {
		t.Fatalf("got %v, want to be killed", err)
	}
	o.engine.Journal = nil
	o.edit(o.psa, line, status, model.Text("Done, 14 March 2031: 14 to 17 seats at Vendor in memory")) // as the dead process had written it
	o.settled()
	o.edit(o.psa, line, status, model.Text("thanks. Ada"))
	o.tells(line, "thanks. Ada")
}

func TestLostReplyToANoteIsLookedFor(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	o.refuse(line, "14.5") // refused by the rules, so that the note is the only write
	before := o.writes()
	o.misbehave(o.psa, memory.ErrorAfterCommit, "1")
	result := o.sync()
	if result.Told.Unknown != 1 || !strings.Contains(o.inbox(), "not told on the line") {
		t.Errorf("told %+v, inbox %q", result.Told, o.inbox())
	}
	o.sync()
	if got := o.writes() - before; got != 1 || strings.Contains(o.inbox(), "not told on the line") {
		t.Errorf("%d writes, inbox %q", got, o.inbox())
	}
}

// TestNoteThatThePSARefusesIsNotSentInEveryRun: the field may be too short, or of a type that holds no text.
func TestNoteThatThePSARefusesIsNotSentInEveryRun(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	o.engine.Accounts["psa"].Connector = &short{connectionOf: o.engine.Accounts["psa"].Connector.(connectionOf)}
	refusing := o.engine.Accounts["psa"].Connector.(*short)
	o.refuse(line, "14.5")
	for range 4 {
		o.sync()
		if !strings.Contains(o.inbox(), "not told on the line") {
			t.Errorf("inbox %q", o.inbox())
		}
	}
	if refusing.asked != 1 {
		t.Errorf("the PSA was asked %d times within a day, want once", refusing.asked)
	}
	o.now = o.now.Add(25 * time.Hour)
	o.sync()
	if refusing.asked != 2 {
		t.Errorf("the PSA was asked %d times in a day and more, want twice", refusing.asked)
	}
}

// connectionOf is what the engine uses of the PSA in memory.
type connectionOf interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.Changer
	connectors.Ender
	connectors.ChangeFeed
	connectors.Canonicalizer
}

// short is a PSA whose field for notes is too short.
type short struct {
	connectionOf
	asked int
}

func (s *short) Change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	if _, note := req.Edits[status]; !note {
		return s.connectionOf.Change(ctx, req)
	}
	s.asked++
	return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: "change addition", Field: status, Message: "the value is too long"}
}

// inbox is the titles of what is open.
func (o *office) inbox() string {
	o.t.Helper()
	findings, err := o.engine.Store.Findings(context.Background(), true, o.flow.Name)
	if err != nil {
		o.t.Fatal(err)
	}
	var titles []string
	for _, f := range findings {
		titles = append(titles, f.Title)
	}
	return strings.Join(titles, "; ")
}

func TestWhatAPersonWritesOverANoteStaysUntilThereIsNews(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	o.refuse(line, "14.5")
	o.sync()
	o.edit(o.psa, line, status, model.Text("I know. Ada"))
	o.tells(line, "I know. Ada")
	o.refuse(line, "10.5")
	o.sync()
	if rec, _ := o.psa.Get(line); !strings.HasPrefix(rec.Fields[status].String(), "Refused, 15 March 2031: 14 to 10.5 seats") {
		t.Errorf("the line tells %q", rec.Fields[status])
	}
}

func TestNothingIsToldWhereThereIsNoPlaceOrNoWish(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(o *office, line connectors.Ref){
		"no field in the PSA": func(*office, connectors.Ref) {},
		"tell: nothing": func(o *office, line connectors.Ref) {
			o.edit(o.psa, line, status, model.Text(""))
			o.flow.Tell.Lines = engine.TellNothing
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, _, line := linked(t)
			prepare(o, line)
			before := o.writes()
			o.edit(o.psa, line, "quantity", model.Int(17))
			o.sync()
			o.refuse(line, "3.5")
			o.sync()
			if got := o.writes() - before; got != 1 {
				t.Errorf("%d writes, want the seats alone", got)
			}
		})
	}
}

func TestPlanAloneTellsNothing(t *testing.T) {
	t.Parallel()
	o, _, line := telling(t)
	before := o.writes()
	o.refuse(line, "14.5")
	if _, err := o.run(engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := o.writes() - before; got != 0 {
		t.Errorf("%d writes from a plan", got)
	}
}

func TestUndoLeavesWhatWasTold(t *testing.T) {
	t.Parallel()
	o, sub, line := telling(t)
	o.edit(o.vendor, sub, "refundableQuantity.totalQuantity", model.Int(5))
	o.edit(o.psa, line, "quantity", model.Int(17))
	raised := o.sync()
	o.undone(raised.Run)
	if v, p := o.seats(o.vendor, sub), o.seats(o.psa, line); v != "14" || p != "14" {
		t.Errorf("vendor %s, PSA %s, want 14 on both", v, p)
	}
	o.tells(line, "Done, 14 March 2031: 14 to 17 seats at Vendor in memory")
}
