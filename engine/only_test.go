package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// street is an office with several customers, each with a linked line of ten seats.
type street struct {
	*office
	subs, lines []connectors.Ref
}

func newStreet(t *testing.T, customers int) *street {
	t.Helper()
	s := &street{office: newOffice(t)}
	item := s.item(premiumM)
	for i := range customers {
		tenant, name := fmt.Sprintf("t-%02d", i), fmt.Sprintf("Customer %02d", i)
		s.tenant(tenant, name, fmt.Sprintf("c%02d.example", i))
		agreement := s.agreement(s.company(name, fmt.Sprintf("c%02d.example", i)))
		s.subs = append(s.subs, s.subscription(tenant, fmt.Sprintf("s-%02d", i), 10, "P1Y"))
		s.lines = append(s.lines, s.line(agreement, item, fmt.Sprintf("s-%02d", i), 10))
	}
	s.sync()
	s.settled()
	return s
}

// at is the place that a message about a customer's subscriptions, or a contract's lines, names.
func (s *street) at(account string, n int) engine.Place {
	if account == "psa" {
		return engine.Place{Account: account, Ref: connectors.Ref{Kind: "addition", Parent: s.lines[n].Parent}}
	}
	return engine.Place{Account: account, Ref: connectors.Ref{Kind: "subscription", Parent: s.subs[n].Parent}}
}

func (s *street) look(places ...engine.Place) engine.Result {
	s.t.Helper()
	result, err := s.run(engine.Options{Apply: true, Only: places, Trigger: state.TriggerHint})
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// What moved at the place is followed; what moved elsewhere waits for the next whole run, and is followed then.
func TestOnlyThePlaceIsLookedAt(t *testing.T) {
	t.Parallel()
	for _, account := range []string{"psa", "microsoft"} {
		t.Run(account, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t, 3)
			for n := range 2 {
				if account == "psa" {
					s.edit(s.psa, s.lines[n], "quantity", model.Int(12))
				} else {
					s.edit(s.vendor, s.subs[n], "quantity", model.Int(12))
				}
			}
			result := s.look(s.at(account, 0))
			if len(result.Plan.Changes) != 1 || result.Outcome.Done != 1 || result.Plan.Counts.Customers != 1 || result.Run.State != state.RunCompleted {
				t.Fatalf("the run is %s (%s): %+v\n%s", result.Run.State, result.Run.Reason, result.Outcome, text(result.Plan))
			}
			for n, want := range []string{"12", "10"} {
				if vendor, psa := s.seats(s.vendor, s.subs[n]), s.seats(s.psa, s.lines[n]); account == "psa" && vendor != want || account != "psa" && psa != want {
					t.Errorf("customer %d has %s seats at the vendor and is billed %s", n, vendor, psa)
				}
			}
			if again := s.look(s.at(account, 0)); len(again.Plan.Changes) != 0 {
				t.Errorf("the second look is not empty:\n%s", text(again.Plan))
			}
			if whole := s.sync(); len(whole.Plan.Changes) != 1 {
				t.Errorf("the whole run follows the other edit:\n%s", text(whole.Plan))
			}
			s.settled()
		})
	}
}

// Lines that are gone, lists that are short and a vendor that sees nobody lower nothing at the place either.
func TestOnlyBelievesNoBadRead(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct{ name, value string }{{memory.EmptyList, ""}, {memory.Partial, "t-00"}, {memory.Transient, ""}, {memory.RejectToken, ""}} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t, 2)
			s.edit(s.vendor, s.subs[0], "quantity", model.Int(4))
			s.misbehave(s.vendor, fault.name, fault.value)
			before := s.writes()
			result, err := s.run(engine.Options{Apply: true, Only: []engine.Place{s.at("microsoft", 0)}, Trigger: state.TriggerHint})
			if s.writes() != before {
				t.Errorf("%d writes", s.writes()-before)
			}
			if err == nil && result.Run.State != state.RunPartial || err != nil && result.Run.State != state.RunError {
				t.Errorf("the run is %s (%s), %v", result.Run.State, result.Run.Reason, err)
			}
			s.vendor.Behave(fault.name)
			s.sync()
			s.settled()
		})
	}
}

// Many small runs get no further than a large one: what the earlier ones did counts in the brakes, until a whole run has looked at everything.
func TestOnlyStaysWithinTheBrakes(t *testing.T) {
	t.Parallel()
	s := newStreet(t, 6)
	s.flow.Guards.PerRun.Share = 10 // of 60 seats
	lower := func(n int, seats int64) engine.Result {
		s.edit(s.vendor, s.subs[n], "quantity", model.Int(seats))
		return s.look(s.at("microsoft", n))
	}
	if r := lower(0, 7); r.Outcome.Done != 1 {
		t.Fatalf("three of sixty seats are within a tenth:\n%s", text(r.Plan))
	}
	if r := lower(1, 7); r.Outcome.Done != 1 {
		t.Fatalf("six of sixty seats are a tenth:\n%s", text(r.Plan))
	}
	if r := lower(2, 8); r.Outcome.Done != 0 || reasons(r.Plan) != "["+"held "+string(plan.OverRunTogether)+"]" {
		t.Errorf("eight of sixty seats are not:\n%s", text(r.Plan))
	}
	if whole := s.sync(); whole.Outcome.Done != 1 {
		t.Errorf("a whole run, which this flow counts alone, looks at what is left:\n%s", text(whole.Plan))
	}
	if r := lower(3, 8); r.Outcome.Done != 1 {
		t.Errorf("after it the brakes are free again:\n%s", text(r.Plan))
	}
}

// The inbox of customers that were not looked at stays as it is, and what a person may approve is always a plan of the whole.
func TestOnlyLeavesTheInboxOfOthersAlone(t *testing.T) {
	t.Parallel()
	s := newStreet(t, 3)
	s.flow.Guards.PerChange.Share = 20
	for n := range 3 {
		s.edit(s.vendor, s.subs[n], "quantity", model.Int(5))
	}
	s.sync()
	inbox := func() (told []string) {
		t.Helper()
		open, err := s.engine.Store.Findings(t.Context(), true, s.flow.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range open {
			told = append(told, f.Customer+": "+f.Next)
		}
		return told
	}
	before := inbox()
	if len(before) != 3 {
		t.Fatalf("three are held:\n%v", before)
	}
	s.look(s.at("microsoft", 1))
	if diff := cmp.Diff(before, inbox()); diff != "" {
		t.Errorf("a look at one of them (-before +after):\n%s", diff)
	}
	s.edit(s.vendor, s.subs[1], "quantity", model.Int(10))
	s.look(s.at("microsoft", 1))
	want := slices.DeleteFunc(before, func(told string) bool { return strings.HasPrefix(told, "Customer 01") })
	if diff := cmp.Diff(want, inbox()); diff != "" || len(want) != 2 {
		t.Errorf("after it was put back (-want +got):\n%s", diff)
	}
}

// A place that nobody knows, such as another partner's customer, is not looked at; neither is one of an account that the flow does not have.
func TestKnownPlaces(t *testing.T) {
	t.Parallel()
	s := newStreet(t, 2)
	given := []engine.Place{
		s.at("microsoft", 1), {Account: "microsoft", Ref: connectors.Ref{Kind: "subscription", Parent: "t-of-another"}},
		s.at("psa", 0), {Account: "psa", Ref: connectors.Ref{Kind: "addition", Parent: "4711"}}, {Account: "elsewhere", Ref: s.at("psa", 0).Ref},
		{Account: "psa", Ref: connectors.Ref{Kind: "company", ID: s.psa.Records("company")[0].ID}},
	}
	known, err := s.engine.Known(t.Context(), s.flow, given)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]engine.Place{given[0], given[2], given[5]}, known); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where looking one by one is no gain, or where what is stored is old, the run looks everywhere.
func TestOnlyLooksEverywhereInstead(t *testing.T) {
	t.Parallel()
	s := newStreet(t, 22)
	var many []engine.Place
	for n := range 21 {
		many = append(many, s.at("psa", n))
	}
	if r := s.look(many...); r.Plan.Counts.Customers != 22 {
		t.Errorf("of 21 places it looked at %d customers", r.Plan.Counts.Customers)
	}
	if r := s.look(many[:20]...); r.Plan.Counts.Customers != 20 {
		t.Errorf("of 20 places it looked at %d customers", r.Plan.Counts.Customers)
	}
	s.now = s.now.AddDate(0, 0, 2)
	if r := s.look(many[0]); r.Plan.Counts.Customers != 22 {
		t.Errorf("two days later it looked at %d customers", r.Plan.Counts.Customers)
	}
}
