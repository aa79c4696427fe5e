package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// kea is one customer with one subscription and nothing in the PSA but the company.
func kea(t *testing.T, options ...func(*memory.Options)) (o *office, sub connectors.Ref) {
	t.Helper()
	o = newOffice(t, options...)
	o.tenant("t-kea", "Kea Logistics Limited", "kea.example")
	o.company("Kea Logistics", "https://www.kea.example/home")
	return o, o.subscription("t-kea", "s-1", 14, "P1Y")
}

// linked is kea after the first sync.
func linked(t *testing.T, options ...func(*memory.Options)) (o *office, sub, line connectors.Ref) {
	t.Helper()
	o, sub = kea(t, options...)
	o.sync()
	return o, sub, o.onlyLine()
}

func TestFirstSyncCreatesWhatIsMissingOnce(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	first := o.sync()
	if first.Outcome.Done != len(first.Plan.Changes) || first.Outcome.Done != 4 {
		t.Fatalf("done %d of %d changes, expected company id, contract, product and line:\n%s\n%+v", first.Outcome.Done, len(first.Plan.Changes), text(first.Plan), first.Outcome.Failures)
	}
	line, _ := o.psa.Get(o.onlyLine())
	for field, want := range map[string]string{"quantity": "14", "unitCost": "16.1875 GBP", "unitPrice": "20.2 GBP", "effectiveDate": "2031-03-05",
		"custom.Vendor Subscription Id": "s-1", "invoiceDescription": "Business Premium", "billCustomer": "Billable"} {
		if got := line.Fields[field].String(); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	company := o.psa.Records("company")[0]
	if got := company.Fields["custom.Vendor Tenant Ids"].String(); got != "t-kea" {
		t.Errorf("the company keeps tenant ids %q", got)
	}
	if second := o.settled(); second.Plan.Counts.InStep != 2 || second.Run.State != state.RunCompleted {
		t.Errorf("second run: %+v, %s", second.Plan.Counts, second.Run.State)
	}
}

func TestSeatsFollowEitherSideOnce(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	before := o.writes()
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "17" {
		t.Errorf("raised on the contract: the vendor has %s", got)
	}
	o.settled()
	o.edit(o.vendor, sub, "quantity", model.Int(20))
	o.sync()
	if got := o.seats(o.psa, line); got != "20" {
		t.Errorf("raised at the vendor: the contract has %s", got)
	}
	o.settled()
	if got := o.writes() - before; got != 2 {
		t.Errorf("two edits caused %d writes", got)
	}
}

func TestQuantityWritesCarryNoPrice(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "unitPrice", money(t, "22.5 GBP"))
	o.edit(o.vendor, sub, "quantity", model.Int(15))
	result := o.sync()
	if len(result.Plan.Changes) != 1 || len(result.Plan.Changes[0].Fields) != 1 {
		t.Fatalf("want the quantity alone:\n%s", text(result.Plan))
	}
	rec, _ := o.psa.Get(line)
	if got := rec.Fields["unitPrice"].String(); got != "22.5 GBP" {
		t.Errorf("the customer's price became %s", got)
	}
	if got := result.Plan.Changes[0].Effect.Bill.String(); got != "22.5 GBP" {
		t.Errorf("one seat more is priced %s, want the customer's own price", got)
	}
	o.settled()
}

func TestConflictIsHeldUntilTheSidesAgree(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.edit(o.vendor, sub, "quantity", model.Int(12))
	before := o.writes()
	result := o.sync()
	if o.writes() != before || reasons(result.Plan) != "[held conflict]" || result.Run.State != state.RunHeld {
		t.Fatalf("got %s, run %s, %d writes", reasons(result.Plan), result.Run.State, o.writes()-before)
	}
	o.edit(o.psa, line, "quantity", model.Int(12))
	o.settled()
	o.edit(o.psa, line, "quantity", model.Int(13))
	o.sync()
	if got := o.seats(o.vendor, sub); got != "13" {
		t.Errorf("after the conflict was settled the vendor has %s, want 13", got)
	}
}

func TestRoundingPSAStaysInStep(t *testing.T) {
	t.Parallel()
	o, _, line := linked(t, func(m *memory.Options) { m.PriceDigits, m.TrimText = 2, true })
	rec, _ := o.psa.Get(line)
	if got := rec.Fields["unitCost"].String(); got != "16.19 GBP" {
		t.Fatalf("the PSA should have rounded the cost, it holds %s", got)
	}
	for range 3 {
		o.settled()
	}
}

func TestEndedSubscriptionEndsItsLine(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.vendor, sub, "status", model.Text("deleted"))
	result := o.sync()
	if len(result.Plan.Changes) != 1 || result.Plan.Changes[0].Op != plan.OpEnd || result.Plan.Changes[0].Effect.Bill.String() != "-282.8 GBP" {
		t.Fatalf("want one end, priced:\n%s", text(result.Plan))
	}
	rec, _ := o.psa.Get(line)
	if got := rec.Fields["cancelledDate"].String(); got != "2031-03-14" {
		t.Errorf("last billed day is %q", got)
	}
	o.settled()
	o.now = o.now.AddDate(0, 2, 0)
	o.settled()
}

// TestNothingIsLoweredFromABadRead: each way a vendor can lie by omission causes no write at all.
func TestNothingIsLoweredFromABadRead(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct{ name, value string }{
		{memory.DropLastPage, ""}, {memory.CapPages, "1"}, {memory.EmptyList, ""}, {memory.Partial, "t-kea"}, {memory.RejectToken, ""}, {memory.Transient, ""},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			o, sub, _ := linked(t)
			o.edit(o.vendor, sub, "status", model.Text("deleted"))
			o.misbehave(o.vendor, fault.name, fault.value)
			before := o.writes()
			result, err := o.run(engine.Options{Apply: true, Sweep: true})
			// Capped pages that are followed to the end are a complete read, so there the line rightly ends.
			if fault.name == memory.CapPages {
				if err != nil || len(result.Plan.Changes) != 1 {
					t.Fatalf("small pages were not followed: %v\n%s", err, text(result.Plan))
				}
				return
			}
			if o.writes() != before {
				t.Errorf("%d writes", o.writes()-before)
			}
			if err == nil && result.Run.State != state.RunPartial {
				t.Errorf("run is %s (%s), want partial or error", result.Run.State, result.Run.Reason)
			}
			if err != nil && result.Run.State != state.RunError {
				t.Errorf("run is %s after %v", result.Run.State, err)
			}
			o.vendor.Behave(fault.name)
			if after, err := o.run(engine.Options{Apply: true, Sweep: true}); err != nil || len(after.Plan.Changes) != 1 {
				t.Errorf("when the vendor is well again the line ends: %v\n%s", err, text(after.Plan))
			}
		})
	}
}

func TestVanishedSubscriptionWaitsForAPerson(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.subscription("t-kea", "s-2", 3, "P1M")
	o.sync()
	if err := o.vendor.Remove(sub); err != nil {
		t.Fatal(err)
	}
	result, err := o.run(engine.Options{Apply: true, Sweep: true})
	if err != nil || reasons(result.Plan) != "[held vanished_at_vendor]" {
		t.Fatalf("%v, %s", err, reasons(result.Plan))
	}
	if got := o.seats(o.psa, line); got != "14" {
		t.Errorf("the line bills %s", got)
	}
}

// A customer that is not listed any more takes its subscriptions along; its lines go on billing, so they are not called clean.
func TestVanishedCustomerWaitsForAPerson(t *testing.T) {
	t.Parallel()
	o, _, line := linked(t)
	o.tenant("t-tui", "Tui Tours", "tui.example")
	if err := o.vendor.Remove(connectors.Ref{Kind: "customer", ID: "t-kea"}); err != nil {
		t.Fatal(err)
	}
	for _, sweep := range []bool{true, false} {
		result, err := o.run(engine.Options{Apply: true, Sweep: sweep})
		if err != nil || !strings.Contains(reasons(result.Plan), "held vanished_at_vendor") || len(result.Plan.Changes) > 0 || result.Plan.Counts.NotCompared == 0 {
			t.Fatalf("%v, %s\n%s", err, reasons(result.Plan), text(result.Plan))
		}
	}
	if got := o.seats(o.psa, line); got != "14" {
		t.Errorf("the line bills %s", got)
	}
}

// A discovery that missed something says so, with the account and the cause.
func TestIncompleteDiscoveryIsPartial(t *testing.T) {
	t.Parallel()
	o, _, _ := linked(t)
	o.misbehave(o.vendor, memory.Partial, "t-kea")
	run, err := o.engine.Discover(context.Background(), "microsoft", state.TriggerManual)
	if err != nil || run.State != state.RunPartial || !strings.HasPrefix(run.Reason, "microsoft subscription: ") || !strings.Contains(run.Reason, "t-kea") {
		t.Errorf("the discovery is %s: %s (%v)", run.State, run.Reason, err)
	}
}

// TestLostReplies: whether the write was done or not, it has one effect in the end and nothing is sent blind.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		t.Run(fault+" of a change", func(t *testing.T) {
			t.Parallel()
			o, sub, line := linked(t)
			before := o.vendor.TotalEffects()
			o.edit(o.psa, line, "quantity", model.Int(17))
			o.misbehave(o.vendor, fault, "1")
			if result := o.sync(); result.Outcome.Unknown != 1 || result.Run.State != state.RunPartial {
				t.Fatalf("got %+v, %s", result.Outcome, result.Run.State)
			}
			o.sync()
			o.settled()
			if got := o.seats(o.vendor, sub); got != "17" || o.vendor.TotalEffects()-before != 1 {
				t.Errorf("the vendor has %s after %d effects", got, o.vendor.TotalEffects()-before)
			}
		})
		t.Run(fault+" of a creation", func(t *testing.T) {
			t.Parallel()
			o, _, _ := linked(t)
			o.subscription("t-kea", "s-2", 3, "P1M")
			o.item(premium + " P1M monthly")
			o.misbehave(o.psa, fault, "1")
			if result := o.sync(); result.Outcome.Unknown != 1 {
				t.Fatalf("got %+v\n%s", result.Outcome, text(result.Plan))
			}
			o.sync()
			o.settled()
			if got := len(o.psa.Records("addition")); got != 2 {
				t.Errorf("%d lines, want 2", got)
			}
		})
	}
}

func TestStaleWriteIsPlannedAnew(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.edit(o.psa, line, "quantity", model.Int(17))
	o.misbehave(o.vendor, memory.Stale, "1")
	if result := o.sync(); result.Outcome.Failed != 1 || result.Outcome.Failures[0].Class != connectors.ClassStale {
		t.Fatalf("got %+v", result.Outcome)
	}
	o.sync()
	o.settled()
	if got := o.seats(o.vendor, sub); got != "17" {
		t.Errorf("the vendor has %s", got)
	}
}

// TestLosingTheStore: the ids kept on both sides rebuild every link, and nothing is written.
func TestLosingTheStore(t *testing.T) {
	t.Parallel()
	o, _, _ := linked(t)
	o.newStore()
	if result := o.settled(); result.Plan.Counts.InStep != 2 || reasons(result.Plan) != "[]" {
		t.Errorf("%+v %s", result.Plan.Counts, reasons(result.Plan))
	}
}

func TestOnlyTheReviewedPlanIsApplied(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.flow.Mode = engine.ModePropose
	o.edit(o.psa, line, "quantity", model.Int(17))
	reviewed, err := o.run(engine.Options{})
	if err != nil || len(reviewed.Plan.Changes) != 1 {
		t.Fatalf("%v\n%s", err, text(reviewed.Plan))
	}
	if _, err := o.run(engine.Options{Apply: true}); err == nil || !strings.Contains(err.Error(), "trueup apply") {
		t.Errorf("a proposing flow applied without a digest: %v", err)
	}
	o.edit(o.psa, line, "quantity", model.Int(18))
	if _, err := o.run(engine.Options{Apply: true, Digest: reviewed.Digest}); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("the world moved, yet: %v", err)
	}
	if got := o.seats(o.vendor, sub); got != "14" {
		t.Fatalf("the vendor has %s", got)
	}
	again, err := o.run(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.run(engine.Options{Apply: true, Digest: again.Digest}); err != nil {
		t.Fatal(err)
	}
	if got := o.seats(o.vendor, sub); got != "18" {
		t.Errorf("the vendor has %s", got)
	}
}

func TestPlanningChangesNothing(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	one, err := o.run(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := o.run(engine.Options{})
	if err != nil || one.Digest != two.Digest || o.writes() != 0 {
		t.Errorf("%v, digests %s and %s, %d writes", err, one.Digest, two.Digest, o.writes())
	}
}

// TestSweepFindsWhatTheFeedMissed: the feed is only a hint; the full sweep is the truth.
func TestSweepFindsWhatTheFeedMissed(t *testing.T) {
	t.Parallel()
	o, sub, line := linked(t)
	o.misbehave(o.vendor, memory.FeedMisses, "")
	o.edit(o.vendor, sub, "quantity", model.Int(15))
	o.settled()
	if _, err := o.run(engine.Options{Apply: true, Sweep: true}); err != nil {
		t.Fatal(err)
	}
	if got := o.seats(o.psa, line); got != "15" {
		t.Errorf("the contract has %s", got)
	}
}

func TestQuietRunsAskLittle(t *testing.T) {
	t.Parallel()
	o, _, _ := linked(t)
	o.settled()
	vendor, psa := len(o.vendor.Requests()), len(o.psa.Requests())
	o.settled()
	asked := append(o.vendor.Requests()[vendor:], o.psa.Requests()[psa:]...)
	if len(asked) > 3 {
		t.Errorf("a quiet run asked %d times, want one look at each feed and one at the prices, which have none: %+v", len(asked), asked)
	}
}

func TestSameRunTwiceIsSkipped(t *testing.T) {
	t.Parallel()
	o, _, _ := linked(t)
	if _, err := o.engine.Store.StartRun(t.Context(), state.Run{Kind: state.RunFlow, Name: "cloud", Trigger: state.TriggerManual}); err != nil {
		t.Fatal(err)
	}
	result, err := o.engine.Run(t.Context(), o.flow, engine.Options{Apply: true})
	if !errors.Is(err, state.ErrRunning) || result.Run.State != state.RunStopped || !strings.HasPrefix(result.Run.Reason, "skipped") {
		t.Errorf("a second run of the flow: %v, %+v", err, result.Run)
	}
	// Its process was killed: after two silent minutes it is in nobody's way.
	if _, err := o.run(engine.Options{Apply: true}); err != nil {
		t.Errorf("a dead run stands in the way: %v", err)
	}
}

// TestAnEditBeforeTheFirstApplyIsAnEdit: pairs that are in step are remembered by a plan alone, so that a flow that only proposes does
// not take an edit for a first meeting and put it back.
func TestAnEditBeforeTheFirstApplyIsAnEdit(t *testing.T) {
	t.Parallel()
	o, _, line := linked(t)
	o.newStore() // as after a lost disk: everything is in step, and nothing was ever applied here
	o.flow.Mode = engine.ModePropose
	if first, err := o.run(engine.Options{}); err != nil || len(first.Plan.Changes) != 0 {
		t.Fatalf("%v\n%s", err, text(first.Plan))
	}
	o.edit(o.psa, line, "quantity", model.Int(17))
	second, err := o.run(engine.Options{})
	if err != nil || len(second.Plan.Changes) != 1 || second.Plan.Changes[0].Side != plan.Vendor || second.Plan.Changes[0].Reason != plan.PSAChanged {
		t.Errorf("%v\n%s", err, text(second.Plan))
	}
}
