package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/state"
)

const noteField = "Vendor Status"

// told is what the line of a pair tells its PSA user.
func (o *office) told(p pair) string {
	o.t.Helper()
	text, _ := o.psa.Record("addition", p.line)["custom."+noteField].(string)
	return text
}

// inTellingOffice runs a test in an office whose PSA has the field for notes.
func inTellingOffice(t *testing.T, flow string, test func(t *testing.T, o *office)) {
	t.Helper()
	inOffice(t, plot{customers: 2, flow: flow}, func(t *testing.T, o *office) {
		o.psa.AddCustomField("addition", noteField, "TextArea")
		if _, err := o.run(t.Context(), engine.Options{Apply: true, Sweep: true}); err != nil {
			t.Fatal(err)
		}
		o.settled()
		test(t, o)
	})
}

// The PSA user raises seats, lowers others further than the vendor takes back, and types none on a third line: each says what became of it,
// once, and the note's own change stamp is no edit.
func TestThePSAUserSeesWhatBecameOfAnEdit(t *testing.T) {
	t.Parallel()
	inTellingOffice(t, rules+loose, func(t *testing.T, o *office) {
		raised, lowered, none := o.pairs[0], o.pairs[1], o.pairs[2]
		o.bill(raised, seats+2)
		o.bill(lowered, 5)
		o.bill(none, 0)
		o.sync(engine.Options{})
		if vendor, psa := o.toVendor.take(), o.toPSA.take(); len(vendor) != 3 || len(psa) != 4 {
			t.Errorf("%d writes to the vendor and %d to the PSA, want the seats raised, lowered and scheduled, what is committed on the line, and three notes: %v %v", len(vendor), len(psa), vendor, psa)
		}
		if got, want := o.told(raised), "Done, 1 January 2000: 10 to 12 seats at Microsoft Partner Center"; got != want {
			t.Errorf("the raised line tells %q, want %q", got, want)
		}
		next := o.bought(lowered).TermEnd.AddDate(0, 0, 1).Format(time.DateOnly)
		if got, want := o.told(lowered), "Scheduled, 1 January 2000: 5 seats from "+next+" on; 6 are committed and billed until then"; got != want {
			t.Errorf("the lowered line tells %q, want %q", got, want)
		}
		if got, want := o.told(none), "Refused, 1 January 2000: 10 to 0 seats: "; !strings.HasPrefix(got, want) {
			t.Errorf("the line without seats tells %q, want %q", got, want)
		}
		for range 3 {
			o.pass(24 * time.Hour)
			o.settled()
		}
		if _, _, kept := o.billed(raised); kept != raised.id {
			t.Errorf("the other custom field of the line became %q", kept)
		}
		o.bill(none, seats)
		o.sync(engine.Options{})
		if got, want := o.told(none), "In step, 4 January 2000: 10 seats on both sides"; got != want {
			t.Errorf("the line tells %q, want %q", got, want)
		}
		o.settled()
	})
}

// A flow that puts back what the vendor does not take.
func TestALineIsPutBackAndSaysWhy(t *testing.T) {
	t.Parallel()
	flow := strings.Replace(rules, "  first: vendor\n", "  first: vendor\n  refused: put_back\n", 1)
	inTellingOffice(t, flow, func(t *testing.T, o *office) {
		o.bill(o.pairs[0], 0)
		o.sync(engine.Options{})
		if quantity, _, _ := o.billed(o.pairs[0]); quantity != seats || len(o.toVendor.take()) != 0 {
			t.Errorf("the line has %d seats, want %d, and the vendor was asked for nothing", quantity, seats)
		}
		got := o.told(o.pairs[0])
		if want := "Put back, 1 January 2000: 10 to 0 seats was not taken: "; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ". The line has 10 again") {
			t.Errorf("the line tells %q, want %q", got, want)
		}
		for range 2 {
			o.settled()
		}
	})
}

// Killed when the seats were sent, between them and the note, or when the note was sent: the seats are ordered once, and the note is there.
func TestNoteAfterADeath(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int{"the seats were sent": 1, "the note was sent": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inTellingOffice(t, "", func(t *testing.T, o *office) {
				after := o.killAt(at)
				o.bill(o.pairs[0], seats+2)
				o.sync(engine.Options{})
				after()
				o.toPSA.take()
				o.sync(engine.Options{})
				o.checkTold(t)
			})
		})
	}
	t.Run("between the seats and the note", func(t *testing.T) {
		t.Parallel()
		inTellingOffice(t, "", func(t *testing.T, o *office) {
			o.Journal = dying{o.Store}
			o.bill(o.pairs[0], seats+2)
			o.pass(5 * time.Minute)
			if _, err := o.run(t.Context(), engine.Options{Apply: true}); !errors.Is(err, errDied) || o.told(o.pairs[0]) != "" {
				t.Fatalf("the process lives: %v, the line tells %q", err, o.told(o.pairs[0]))
			}
			o.restart()
			o.sync(engine.Options{})
			o.checkTold(t)
		})
	})
}

// checkTold asserts the outcome of an edit that went through a death.
func (o *office) checkTold(t *testing.T) {
	t.Helper()
	if got, want := o.told(o.pairs[0]), "Done, 1 January 2000: 10 to 12 seats at Microsoft Partner Center"; got != want {
		t.Errorf("the line tells %q, want %q", got, want)
	}
	if made := o.orders()[o.pairs[0].id]; made != 1 {
		t.Errorf("the seats were ordered %d times", made)
	}
	o.settled()
	if _, err := o.Store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
}

// dying is a store under which the process dies before a note is intended.
type dying struct{ *state.Store }

func (d dying) Append(ctx context.Context, entries ...state.Entry) error {
	if strings.Contains(string(entries[0].Body), string(plan.Told)) {
		return errDied
	}
	return d.Store.Append(ctx, entries...)
}
