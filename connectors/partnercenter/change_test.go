package partnercenter

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

func TestSeatsAreChangedAndNothingElse(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	before, err := w.Read(t.Context(), yearlyRef)
	if err != nil {
		t.Fatal(err)
	}
	after, err := w.change(seats(14, 16), "intent-1")
	if err != nil {
		t.Fatal(err)
	}
	want := before.Fields.Clone()
	want["quantity"] = model.Int(16)
	want["refundableQuantity.totalQuantity"] = model.Int(6)
	want["refundable"] = model.List("2 until 2031-02-11T10:00:00Z", "4 until 2031-02-09T10:00:00Z")
	if diff := cmp.Diff(show(want), show(after.Fields)); diff != "" {
		t.Errorf("after the change (-want +got):\n%s", diff)
	}
	if got := w.really(); !got.AutoRenew || got.Quantity != 16 || w.patches() != 1 {
		t.Errorf("%d writes, auto-renewal %v, %d seats", w.patches(), got.AutoRenew, got.Quantity)
	}
	// The same intent again finds its work done.
	if _, err := w.change(seats(14, 16), "intent-1"); err != nil || w.patches() != 1 {
		t.Errorf("again: %d writes, %v", w.patches(), err)
	}
}

func TestScheduleForTheRenewalIsPutBack(t *testing.T) {
	t.Parallel()
	next := &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "CFQ7TTC0TRUE", BillingCycle: "monthly", Term: "P1Y", Quantity: 11}
	w := start(t, setup{})
	set := func(n *partnercentertest.NextTerm) {
		if err := w.fake.Edit(yearly, func(s *partnercentertest.Subscription) { s.Next = n }); err != nil {
			t.Fatal(err)
		}
	}
	set(next)
	rec, err := w.change(seats(14, 16), "intent-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.really(); got.Quantity != 16 || !got.AutoRenew || got.Next == nil || *got.Next != *next {
		t.Errorf("really: %+v, next %+v", got, got.Next)
	}
	if rec.Fields["scheduledNextTermInstructions.quantity"] != model.Int(11) || w.patches() != 2 {
		t.Errorf("record says %s in %d writes", rec.Fields["scheduledNextTermInstructions.quantity"], w.patches())
	}

	// Switching auto-renewal off means that nothing is scheduled any more.
	if _, err := w.change(map[string]connectors.Edit{"autoRenewEnabled": {To: model.Bool(false)}}, "intent-2"); err != nil {
		t.Fatal(err)
	}
	if got := w.really(); got.AutoRenew || got.Next != nil || w.patches() != 3 {
		t.Errorf("after switching off: auto-renewal %v, next %+v, %d writes", got.AutoRenew, got.Next, w.patches())
	}
}

func TestScheduleThatCannotBePutBackIsSaid(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	if err := w.fake.Edit(yearly, func(s *partnercentertest.Subscription) {
		s.Updates = 1199 // one more is taken
		s.Next = &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "CFQ7TTC0TRUE", BillingCycle: "monthly", Term: "P1Y", Quantity: 11}
	}); err != nil {
		t.Fatal(err)
	}
	_, err := w.change(seats(14, 16), "intent-1")
	wants(t, err, connectors.ClassUnknown, "the change was made", "could not be put back", "900311", "11 seats, CFQ7TTC0LCHC, 0002, P1Y, monthly")
}

func TestChangesRefusedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	edit := func(change func(*partnercentertest.Subscription)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			if err := w.fake.Edit(yearly, change); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		arrange func(*testing.T, *world)
		edits   map[string]connectors.Edit
		key     string
		class   connectors.Class
		words   []string
	}{
		"somebody else was faster":    {edits: seats(13, 16), class: connectors.ClassStale, words: []string{`it holds "14" and not "13"`}},
		"more than the open windows":  {edits: seats(14, 9), class: connectors.ClassInvalid, words: []string{"14 seats cannot go down to 9 now: the lowest possible is 10", "4 until 2031-02-09T10:00:00Z", "2031-12-05"}},
		"trial":                       {edit(func(s *partnercentertest.Subscription) { s.Trial = true }), seats(14, 15), "k", connectors.ClassInvalid, []string{"trial"}},
		"suspended":                   {edit(func(s *partnercentertest.Subscription) { s.Status = "suspended" }), seats(14, 15), "k", connectors.ClassInvalid, []string{"reactivate"}},
		"expired":                     {edit(func(s *partnercentertest.Subscription) { s.Status = "expired" }), seats(14, 15), "k", connectors.ClassInvalid, []string{`"expired"`}},
		"all windows closed":          {edit(func(s *partnercentertest.Subscription) { s.Batches = []partnercentertest.Batch{} }), seats(14, 13), "k", connectors.ClassInvalid, []string{"no window for removing seats is open"}},
		"half a seat":                 {edits: map[string]connectors.Edit{"quantity": {To: mustQuantity(t, "14.5")}}, class: connectors.ClassInvalid, words: []string{"whole number"}},
		"no seats":                    {edits: seats(14, 0), class: connectors.ClassInvalid, words: []string{"above zero"}},
		"field that is not writable":  {edits: map[string]connectors.Edit{"status": {To: model.Text("deleted")}}, class: connectors.ClassInvalid, words: []string{"field status"}},
		"value of another type":       {edits: map[string]connectors.Edit{"quantity": {To: model.Text("15")}}, class: connectors.ClassInvalid, words: []string{"type quantity"}},
		"known to be empty is no end": {edits: map[string]connectors.Edit{"quantity": {To: model.Empty(model.TypeQuantity)}}, class: connectors.ClassInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{})
			if tc.arrange != nil {
				tc.arrange(t, w)
			}
			_, err := w.change(tc.edits, "k")
			wants(t, err, tc.class, tc.words...)
			if w.patches() != 0 {
				t.Errorf("%d writes were sent", w.patches())
			}
		})
	}
	w := start(t, setup{})
	_, err := w.change(seats(14, 15), "")
	wants(t, err, connectors.ClassInvalid, "no key")
}

func mustQuantity(t *testing.T, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeQuantity, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestChangesThatTheServiceRefuses(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.misbehave("pending_operation", "1")
	_, err := w.change(seats(14, 15), "k1")
	wants(t, err, connectors.ClassTransient, "another operation", "900278")
	_, err = w.change(seats(14, 301), "k2")
	wants(t, err, connectors.ClassInvalid, "minimum or above its maximum", "2002")
	moa := "7f5c4a96-be88-4d5f-9b6c-ad4e950cc005"
	found, _, err := w.list(kindSubscription, moa)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Change(t.Context(), connectors.ChangeRequest{Ref: connectors.Ref{Kind: kindSubscription, ID: found[0].ID, Parent: moa}, Edits: seats(6, 7), Key: "k3"})
	wants(t, err, connectors.ClassAuth, "locked", "900416", "open the customer in Partner Center")
}

func TestSlowChangesAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"async_patch", "stale_reads"} {
		w := start(t, setup{})
		w.misbehave(fault, "3")
		rec, err := w.change(seats(14, 16), "k")
		if err != nil || rec.Fields["quantity"] != model.Int(16) || w.patches() != 1 {
			t.Errorf("%s: %v in %d writes, %v", fault, rec.Fields["quantity"], w.patches(), err)
		}
		if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, w.waits); diff != "" {
			t.Errorf("%s: waits (-want +got):\n%s", fault, diff)
		}

		w = start(t, setup{})
		w.misbehave(fault, "1000")
		_, err = w.change(seats(14, 16), "k")
		wants(t, err, connectors.ClassUnknown, "does not show after 15m0s")
		var waited time.Duration
		for _, d := range w.waits {
			waited += d
		}
		if waited < settleTime || waited > settleTime+maxLook {
			t.Errorf("%s: waited %s", fault, waited)
		}
	}
}

func TestLostRepliesDoNotBuyTwice(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"lost_reply", "error_after_commit"} {
		w := start(t, setup{retries: 1})
		w.misbehave(fault, "1")
		rec, err := w.change(seats(14, 16), "k")
		if err != nil || rec.Fields["quantity"] != model.Int(16) || w.really().Updates != 1 || w.patches() != 2 {
			t.Errorf("%s, with a repetition: %v, %d updates, %d writes, %v", fault, rec.Fields["quantity"], w.really().Updates, w.patches(), err)
		}

		w = start(t, setup{})
		w.misbehave(fault, "1")
		_, err = w.change(seats(14, 16), "k")
		wants(t, err, connectors.ClassUnknown)
		if w.really().Updates != 1 {
			t.Errorf("%s: %d updates", fault, w.really().Updates)
		}
		keys := map[string]bool{}
		for _, r := range w.fake.Requests() {
			if r.Method == "PATCH" {
				keys[r.Key] = true
			}
		}
		if !keys[requestID("k")] || len(keys) != 1 {
			t.Errorf("%s: keys %v", fault, keys)
		}
	}
}

func TestUnknownMembersGoBackUntouched(t *testing.T) {
	t.Parallel()
	raw := resource{"Quantity": []byte("14"), "autoRenewEnabled": []byte("true"), "odd": []byte(`{"weight":0.10,"n":12345678901234567890}`)}
	got := edited(raw, map[string]model.Value{"quantity": model.Int(15), "friendlyName": model.Text(`say "hi"`)})
	want := resource{"Quantity": []byte("15"), "autoRenewEnabled": []byte("true"), "odd": []byte(`{"weight":0.10,"n":12345678901234567890}`), "friendlyName": []byte(`"say \"hi\""`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if string(raw["Quantity"]) != "14" {
		t.Error("what was read was changed")
	}
}

// Each of the vendor's codes has one reaction; the table is the vendor's list of codes that steer logic.
func TestCodes(t *testing.T) {
	t.Parallel()
	for class, statuses := range map[connectors.Class]map[int]string{
		connectors.ClassInvalid: {400: "800090 900214 900257 900213 900117 2002 900275 2001 800091 2011 900277 900279 900280 900311 800093",
			403: "800067 800088 800089"},
		connectors.ClassTransient: {409: "900278 800082 800014 800060 800064 999999", 500: "800003 800094"},
		connectors.ClassStale:     {400: "2055"},
		connectors.ClassAuth: {403: "900416 800073 800074 800075 900121 800023 800025 13605 20002 900329 900308 900309",
			401: "900420"},
		connectors.ClassMissing: {404: "20003 1000"},
	} {
		for status, list := range statuses {
			for _, code := range strings.Fields(list) {
				e := fault(rest.Response{Status: status, Body: []byte(`{"code":"` + code + `","description":"Vendor words."}`)})
				if e.Class != class || e.Code != code || e.Message == "" || e.Hint == "" || !strings.Contains(e.Message, "Vendor words") {
					t.Errorf("%d %s: %+v", status, code, e)
				}
				if status == 409 && e.RetryAfter == 0 {
					t.Errorf("%s has no time to wait", code)
				}
			}
		}
	}
	unknown := fault(rest.Response{Status: 400, Body: []byte("\ufeff" + `{"code":4711,"description":"New."}`)})
	if unknown.Class != "" || unknown.Code != "4711" || unknown.Message != "New" {
		t.Errorf("unknown code: %+v", unknown)
	}
}
