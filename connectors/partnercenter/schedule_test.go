package partnercenter

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

func (w *world) schedule(field string, from, to model.Value, key string) (connectors.Record, error) {
	return w.Schedule(w.t.Context(), connectors.ChangeRequest{Ref: yearlyRef, Key: key, Edits: map[string]connectors.Edit{field: {From: from, To: to}}})
}

var (
	noSeats  = model.Empty(model.TypeQuantity)
	noAction = model.Text("")
)

// Fewer seats for the next term: nothing changes now, the term renews with them, and the window is open again.
func TestFewerSeatsAreScheduledForTheRenewal(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.fake.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LCHC:0002", Availability: "CFQ7TTC0TRUE"})
	rec, err := w.schedule(nextQuantity, noSeats, model.Int(9), "k1")
	if err != nil || rec.Fields[nextQuantity] != model.Int(9) || rec.Fields[termEnd].String() != actionRenew || rec.Fields["quantity"] != model.Int(14) {
		t.Fatalf("scheduled: %v, %v, %v seats, %v", rec.Fields[nextQuantity], rec.Fields[termEnd], rec.Fields["quantity"], err)
	}
	if got := w.really().Next; got == nil || got.ProductID != "CFQ7TTC0LCHC" || got.SkuID != "0002" || got.Term != "P1Y" || got.BillingCycle != "monthly" || got.AvailabilityID != "CFQ7TTC0TRUE" {
		t.Fatalf("next term: %+v", got)
	}
	if _, err := w.schedule(nextQuantity, noSeats, model.Int(7), "k2"); connectors.ClassOf(err) != connectors.ClassStale {
		t.Errorf("somebody else's schedule was overwritten: %v", err)
	}
	w.clock.Advance(w.really().TermEnd.AddDate(0, 0, 1).Sub(w.clock.Now()) - time.Second)
	if got := w.really().Quantity; got != 14 {
		t.Errorf("one second before the renewal: %d seats", got)
	}
	w.clock.Advance(time.Second)
	if got := w.really(); got.Quantity != 9 || got.Next != nil || got.TermStart != w.clock.Now() || !got.CancelUntil.Equal(w.clock.Now().Add(7*24*time.Hour)) {
		t.Errorf("renewed: %+v", got)
	}
}

// Cancelling is an instruction; merely switching auto-renewal off is not, and a paid extended term follows it.
func TestCancelledAtTheEndIsNotExtended(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tell     string
		renews   bool
		status   string
		extended bool
	}{
		"told to cancel, auto-renewal on":  {actionCancel, true, "expired", false},
		"told to cancel, auto-renewal off": {actionCancel, false, "expired", false},
		"told to extend, auto-renewal on":  {actionExtend, true, "active", true},
		"told to extend, auto-renewal off": {actionExtend, false, "active", true},
		"auto-renewal merely off":          {"", false, "active", true},
		"nobody said anything":             {"", true, "active", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{options: partnercentertest.Options{ExtendedTerms: true}})
			if err := w.fake.Edit(yearly, func(s *partnercentertest.Subscription) { s.AutoRenew = tc.renews }); err != nil {
				t.Fatal(err)
			}
			if tc.tell != "" {
				if _, err := w.schedule(termEnd, model.Value{}, model.Text(tc.tell), "k"); err != nil {
					t.Fatal(err)
				}
			}
			w.clock.Advance(w.really().TermEnd.AddDate(0, 0, 1).Sub(w.clock.Now()))
			if got := w.really(); got.Status != tc.status || got.Extended != tc.extended {
				t.Errorf("afterwards: %s, extended %t", got.Status, got.Extended)
			}
		})
	}
}

// A change inside the term deletes what was scheduled, a cancellation too; it is put back, and the renewal is told apart from it.
func TestCancellationSurvivesMoreSeats(t *testing.T) {
	t.Parallel()
	for _, renews := range []bool{true, false} {
		w := start(t, setup{})
		if err := w.fake.Edit(yearly, func(s *partnercentertest.Subscription) { s.AutoRenew = renews }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.schedule(termEnd, noAction, model.Text(actionCancel), "k1"); err != nil {
			t.Fatal(err)
		}
		rec, err := w.change(seats(14, 15), "k2")
		if err != nil || rec.Fields[termEnd].String() != actionCancel || len(w.really().Actions) != 1 || w.really().AutoRenew != renews {
			t.Errorf("auto-renewal %t: %v, really %+v, %v", renews, rec.Fields[termEnd], w.really().Actions, err)
		}
		if w.patches() != 3 {
			t.Errorf("%d writes, want the cancellation, the seats and putting it back", w.patches())
		}
	}
}

// One instruction replaces the other, and withdrawing leaves none.
func TestInstructionsReplaceEachOther(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	for i, step := range []struct {
		field   string
		to      model.Value
		seats   string // afterwards
		action  string
		actions int
	}{
		{termEnd, model.Text(actionRenew), "14", "renew", 0},
		{nextQuantity, model.Int(16), "16", "renew", 0},
		{termEnd, model.Text(actionCancel), "", "cancel", 1},
		{nextQuantity, model.Int(12), "12", "renew", 0},
		{termEnd, noAction, "", "", 0},
		{termEnd, model.Text(actionCancel), "", "cancel", 1},
		{termEnd, noAction, "", "", 0},
		{nextQuantity, model.Int(12), "12", "renew", 0},
		{nextQuantity, noSeats, "", "", 0},
	} {
		rec, err := w.schedule(step.field, model.Value{}, step.to, "k"+string(rune('a'+i)))
		if err != nil || rec.Fields[nextQuantity].String() != step.seats || rec.Fields[termEnd].String() != step.action || len(w.really().Actions) != step.actions {
			t.Errorf("step %d: seats %q, action %q, %d actions, %v", i, rec.Fields[nextQuantity], rec.Fields[termEnd], len(w.really().Actions), err)
		}
	}
	if !w.really().AutoRenew {
		t.Error("auto-renewal went off on the way")
	}
}

func TestSchedulingThatIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange func(*partnercentertest.Subscription)
		field   string
		to      model.Value
		class   connectors.Class
		words   []string
		sent    int
	}{
		"trial":          {func(s *partnercentertest.Subscription) { s.Trial = true }, nextQuantity, model.Int(3), connectors.ClassInvalid, []string{"trial"}, 0},
		"suspended":      {func(s *partnercentertest.Subscription) { s.Status = "suspended" }, termEnd, model.Text(actionCancel), connectors.ClassInvalid, []string{`"suspended"`}, 0},
		"no seats":       {nil, nextQuantity, model.Int(0), connectors.ClassInvalid, []string{"cancel at the end"}, 0},
		"half a seat":    {nil, nextQuantity, mustQuantity(t, "1.5"), connectors.ClassInvalid, []string{"whole number"}, 0},
		"transition":     {nil, termEnd, model.Text(actionTransition), connectors.ClassInvalid, []string{"cannot be scheduled by trueup"}, 0},
		"no product":     {nil, nextProduct, model.Text("Business Premium"), connectors.ClassInvalid, []string{"names no product", "price sheet"}, 0},
		"impossible":     {nil, nextProduct, model.Text("CFQ7TTC0LCHC:0002 P1M annual"), connectors.ClassInvalid, []string{"names no product"}, 0},
		"not sold":       {nil, nextProduct, model.Text("CFQ7TTC0LCHC:0002 P3Y triennial"), connectors.ClassInvalid, []string{"not sold to this customer for P3Y, billed triennial"}, 0},
		"unknown SKU":    {nil, nextProduct, model.Text("CFQ7TTC0LCHC:0099 P1Y monthly"), connectors.ClassMissing, []string{"400018", "no such SKU"}, 0},
		"no agreement":   {nil, nextQuantity, model.Int(3), connectors.ClassAuth, []string{"13605", "Customer Agreement"}, 1},
		"legacy offer":   {func(s *partnercentertest.Subscription) { s.OfferID = "031c9e47" }, nextQuantity, model.Int(3), connectors.ClassInvalid, []string{"names no product"}, 0},
		"above the most": {nil, nextQuantity, model.Int(301), connectors.ClassInvalid, []string{"2002", "minimum or above its maximum"}, 1},
		"too often":      {func(s *partnercentertest.Subscription) { s.Updates = 1200 }, nextQuantity, model.Int(3), connectors.ClassInvalid, []string{"900311"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{})
			if tc.arrange != nil {
				if err := w.fake.Edit(yearly, tc.arrange); err != nil {
					t.Fatal(err)
				}
			}
			if name == "no agreement" {
				if err := w.fake.EditCustomer(harbour, func(c *partnercentertest.Customer) { c.Agreement = "nobody" }); err != nil {
					t.Fatal(err)
				}
			}
			_, err := w.schedule(tc.field, model.Value{}, tc.to, "k")
			wants(t, err, tc.class, tc.words...)
			if w.patches() != tc.sent {
				t.Errorf("%d writes were sent, want %d", w.patches(), tc.sent)
			}
		})
	}
	w := start(t, setup{})
	w.misbehave("pending_operation", "1")
	_, err := w.schedule(nextQuantity, noSeats, model.Int(3), "k")
	wants(t, err, connectors.ClassTransient, "another operation", "900278")
	_, err = w.schedule(nextQuantity, noSeats, model.Int(3), "")
	wants(t, err, connectors.ClassInvalid, "no key")
}

// Every word the service uses for the end of a term has one of ours, a new one too.
func TestTermEndWords(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`{}`: "", `{"scheduledActions": []}`: "", `{"scheduledNextTermInstructions": null}`: "",
		`{"scheduledNextTermInstructions": {"quantity": 3}}`:                                                                                  "renew",
		`{"scheduledActions": [{"scheduleType": "TermEnd", "actionType": "Cancel"}]}`:                                                         "cancel",
		`{"scheduledActions": [{"scheduleType": "termend", "actionType": "renewToNewTerm"}]}`:                                                 "renew",
		`{"scheduledActions": [{"scheduleType": "TermEnd", "actionType": "RenewToExtendedServiceTerm"}]}`:                                     "extend",
		`{"scheduledActions": [{"scheduleType": "TermEnd", "actionType": "Transition"}]}`:                                                     "transition",
		`{"scheduledActions": [{"scheduleType": "TermEnd", "actionType": "Donate"}]}`:                                                         "other",
		`{"scheduledActions": [{"scheduleType": "CustomDate", "actionType": "Cancel"}]}`:                                                      "",
		`{"scheduledActions": [{"scheduleType": "CustomDate", "actionType": "Cancel"}, {"scheduleType": "TermEnd", "actionType": "Cancel"}]}`: "cancel",
	} {
		o, err := decodeObject([]byte(sent))
		if err != nil {
			t.Fatal(err)
		}
		if got := nextTermAction(o).String(); got != want {
			t.Errorf("%s: %q, want %q", sent, got, want)
		}
	}
}

// Another product or term for the renewal: the id under which it is sold is the one of today, and the seats stay unless said otherwise.
func TestAnotherProductIsScheduledForTheRenewal(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.fake.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LH18:0001", Title: "Business Basic", MaxSeats: 300, Availability: "CFQ7TTC0NEW1", Plans: []string{"P3Y annual"}})
	rec, err := w.schedule(nextProduct, noAction, model.Text("CFQ7TTC0LH18:0001 P3Y annual"), "k1")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.really().Next; got == nil || got.ProductID != "CFQ7TTC0LH18" || got.SkuID != "0001" || got.AvailabilityID != "CFQ7TTC0NEW1" || got.Term != "P3Y" || got.BillingCycle != "annual" || got.Quantity != 14 {
		t.Fatalf("next term: %+v", got)
	}
	if rec.Fields[nextProduct].String() != "CFQ7TTC0LH18:0001 P3Y annual" || rec.Fields[termEnd].String() != actionRenew {
		t.Errorf("it reads back as %v, %v", rec.Fields[nextProduct], rec.Fields[termEnd])
	}
	// Another number of seats keeps the product, also when it is sold under another id by now.
	w.fake.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LH18:0001", Title: "Business Basic", MaxSeats: 300, Availability: "CFQ7TTC0NEW2", Plans: []string{"P3Y annual"}})
	if _, err := w.schedule(nextQuantity, model.Int(14), model.Int(9), "k2"); err != nil {
		t.Fatal(err)
	}
	if got := w.really().Next; got.AvailabilityID != "CFQ7TTC0NEW1" || got.Quantity != 9 {
		t.Errorf("next term: %+v", got)
	}
	// Back to the product of today.
	if _, err := w.schedule(nextProduct, model.Text("CFQ7TTC0LH18:0001 P3Y annual"), model.Text("CFQ7TTC0LCHC:0002 P1Y monthly"), "k3"); err != nil {
		t.Fatal(err)
	}
	if got := w.really().Next; got.ProductID != "CFQ7TTC0LCHC" || got.Term != "P1Y" || got.Quantity != 9 {
		t.Errorf("next term: %+v", got)
	}
	w.clock.Advance(w.really().TermEnd.AddDate(0, 0, 1).Sub(w.clock.Now()))
	if got := w.really(); got.Quantity != 9 || got.Term != "P1Y" {
		t.Errorf("renewed: %+v", got)
	}
}

// Instructions name what is sold today: an id that was good when the subscription was bought may be gone.
func TestInstructionsNameWhatIsSoldToday(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.fake.SetProduct(partnercentertest.Product{ID: premiumSKU, Title: "Business Premium", MaxSeats: 300, Availability: "CFQ7TTC0THIS"})
	if _, err := w.schedule(nextQuantity, noSeats, model.Int(9), "k"); err != nil {
		t.Fatal(err)
	}
	if got := w.really().Next.AvailabilityID; got != "CFQ7TTC0THIS" {
		t.Errorf("scheduled %s", got)
	}
}

// Day 6, the last hour of day 7 and day 8, counted in hours from the vendor's stamp: also over the days on which clocks elsewhere change.
func TestWindowsAreCountedInHours(t *testing.T) {
	t.Parallel()
	for _, bought := range []string{"2031-02-04T10:00:00Z", "2031-03-27T00:30:00Z", "2031-10-23T00:30:00Z"} { // Europe changes on 30 March and 26 October
		at, err := time.Parse(time.RFC3339, bought)
		if err != nil {
			t.Fatal(err)
		}
		for after, want := range map[time.Duration]bool{
			6 * 24 * time.Hour: true, 7*24*time.Hour - time.Hour: true, 7*24*time.Hour - time.Second: true, 7 * 24 * time.Hour: false, 8 * 24 * time.Hour: false,
		} {
			w := start(t, setup{})
			w.clock.Advance(at.Sub(w.clock.Now()))
			sub := w.fake.AddSubscription(partnercentertest.Subscription{Customer: harbour, Quantity: 14, AutoRenew: true})
			w.clock.Advance(after)
			ref := connectors.Ref{Kind: kindSubscription, ID: sub.ID, Parent: harbour}
			before, err := w.Read(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Key: "k", Edits: seats(14, 10)})
			if (err == nil) != want || (before.Fields["refundableQuantity.totalQuantity"] == model.Int(14)) != want {
				t.Errorf("bought %s, %s later: reducible %s, lowering: %v", bought, after, before.Fields["refundableQuantity.totalQuantity"], err)
			}
			// The fake refuses by its own count, whoever asks.
			if got := w.fake.EditQuantity(sub.ID, 9) == nil; got != want {
				t.Errorf("bought %s, %s later: the portal lowered it: %t", bought, after, got)
			}
		}
	}
}
