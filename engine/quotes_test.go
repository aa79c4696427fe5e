package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// sale is an office in which a customer that buys nothing yet was made an offer of five seats.
type sale struct {
	*office
	tenant, company, agreement, item connectors.Ref
	offer, line                      connectors.Ref
}

func newSale(t *testing.T) *sale {
	t.Helper()
	s := &sale{office: newOffice(t)}
	s.tenant, s.company = s.office.tenant("t1", "Contoso", "contoso.example"), s.office.company("Contoso", "contoso.example")
	s.agreement, s.item = s.office.agreement(s.company), s.office.item(premiumM)
	s.flow.Quotes = engine.QuoteRules{Since: model.NewDay(2031, 3, 1), Approve: engine.ApproveGuards}
	s.offer, s.line = s.quote("5")
	s.sync() // the two sides know each other; an open offer is nobody's order
	return s
}

// quote adds an open offer with one line.
func (s *sale) quote(seats string) (offer, line connectors.Ref) {
	s.t.Helper()
	offer = s.add(s.psa, connectors.Record{Kind: "opportunity", Fields: model.Fields{"name": model.Text("New office"), "company": model.Text(s.company.ID)}})
	quantity, err := model.Parse(model.TypeQuantity, seats)
	if err != nil {
		s.t.Fatal(err)
	}
	return offer, s.add(s.psa, connectors.Record{Kind: "productItem", Fields: model.Fields{"opportunity": model.Text(offer.ID), "catalogItem": model.Text(s.item.ID),
		"description": model.Text("Premium for the new office"), "quantity": quantity, "price": money(s.t, "20 GBP"), "cost": money(s.t, "16.1875 GBP")}})
}

// accept says yes to an offer.
func (s *sale) accept(offer connectors.Ref) {
	s.t.Helper()
	s.edit(s.psa, offer, "status", model.Text("Signed"))
	s.edit(s.psa, offer, "won", model.Bool(true))
	s.edit(s.psa, offer, "closedDate", model.Instant(s.now))
}

// outcome is what the two systems hold now: seats bought and billed, at what price, and what the quote says.
func (s *sale) outcome() string {
	s.t.Helper()
	var said []string
	for _, sub := range s.vendor.Records("subscription") {
		said = append(said, fmt.Sprintf("bought %s %s", sub.Fields["quantity"], sub.Fields["termDuration"]))
	}
	for _, l := range s.psa.Records("addition") {
		said = append(said, fmt.Sprintf("billed %s at %s", l.Fields["quantity"], l.Fields["unitPrice"]))
	}
	offer, _ := s.psa.Get(s.offer)
	return strings.Join(append(said, offer.Fields["result"].String()), "; ")
}

const fulfilled = "bought 5 P1Y; billed 5 at 20 GBP; Ordered: 5 x Business Premium, P1Y monthly"

func TestAnAcceptedQuoteIsOrderedOnce(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.accept(s.offer)
	result := s.sync()
	shown := text(result.Plan)
	for _, want := range []string{"vendor cost +80.94 GBP a month", "customers' bills +100.00 GBP a month", "create subscription in microsoft: Contoso · Business Premium, P1Y monthly", "create line in psa", "change quote in psa", "(a quote was accepted)"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the plan does not say %q:\n%s", want, shown)
		}
	}
	if got := s.outcome(); got != fulfilled {
		t.Errorf("got %s", got)
	}
	for range 3 {
		s.settled()
	}
	for _, id := range []string{s.line.ID, s.offer.ID} {
		why, err := s.engine.Why(context.Background(), []engine.Flow{s.flow}, id)
		if err != nil || len(why) != 1 || why[0].How != "accepted quote" || len(why[0].History) != 2 || !strings.Contains(strings.Join(why[0].History[0].Changes, " "), "(a quote was accepted)") {
			t.Errorf("why %s: %v, %+v", id, err, why)
		}
	}
	if _, err := s.engine.Store.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
}

// Seats of an order follow like all others afterwards; the quote is history.
func TestAfterTheOrderTheContractLineRules(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.accept(s.offer)
	s.sync()
	s.edit(s.psa, s.onlyLine(), "quantity", model.Int(8))
	s.sync()
	if got := s.outcome(); !strings.HasPrefix(got, "bought 8 P1Y; billed 8 at 20 GBP") {
		t.Errorf("got %s", got)
	}
	s.settled()
}

func TestAnOrderWaitsForApproval(t *testing.T) {
	t.Parallel()
	for _, mode := range []engine.Mode{engine.ModePropose, engine.ModeWrite} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := newSale(t)
			s.flow.Quotes.Approve = engine.ApproveEach
			s.flow.Mode = mode
			s.accept(s.offer)
			run := s.planned
			if mode == engine.ModeWrite {
				run = s.sync
			}
			run()
			result := run()
			if got := reasons(result.Plan); got != "[held order_approval held waits_for held waits_for]" {
				t.Fatalf("got %s\n%s", got, text(result.Plan))
			}
			if detail := result.Plan.Held[0].Detail; detail != "5 seats at 16.1875 GBP a month each, billed at 20.00 GBP" {
				t.Errorf("it is held with %q", detail)
			}
			if len(s.vendor.Records("subscription")) != 0 {
				t.Fatalf("ordered without approval: %s", s.outcome())
			}
			release := plan.DocumentOf(result.Plan).Release
			if _, err := s.applied(release); !errors.Is(err, state.ErrNotApproved) || len(s.vendor.Records("subscription")) != 0 {
				t.Fatalf("nobody approved it: %v", err)
			}
			s.decide(release, "ann@desk", state.Approved)
			if mode == engine.ModeWrite {
				s.sync()
			} else if _, err := s.applied(release); err != nil {
				t.Fatal(err)
			}
			if got := s.outcome(); got != fulfilled {
				t.Errorf("approved: %s", got)
			}
			if mode == engine.ModeWrite {
				s.settled()
			}
		})
	}
}

// Whatever is in the way is one plain reason, nothing is ordered, and once it is settled the order goes its way.
func TestWhatIsInTheWayOfAnOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil  func(*sale)
		want   plan.Reason
		detail string
		mend   func(*sale)
	}{
		"agreement": {func(s *sale) { s.edit(s.vendor, s.tenant, "agreed", model.Bool(false)) }, plan.AgreementMissing, "has not agreed",
			func(s *sale) { s.edit(s.vendor, s.tenant, "agreed", model.Bool(true)) }},
		"price": {func(s *sale) { s.edit(s.vendor, s.priceRef(), "unitCostMonth", money(s.t, "17.25 GBP")) }, plan.PriceMoved, "a seat and month costs 17.25 GBP now, and the quote reckons with 16.1875 GBP",
			func(s *sale) { s.edit(s.psa, s.line, "cost", money(s.t, "17.25 GBP")) }},
		"price in another currency": {func(s *sale) { s.edit(s.vendor, s.priceRef(), "unitCostMonth", money(s.t, "16.1875 USD")) }, plan.PriceMoved, "16.1875 USD",
			func(s *sale) { s.edit(s.vendor, s.priceRef(), "unitCostMonth", money(s.t, "16.1875 GBP")) }},
		"sold for nothing": {func(s *sale) { s.edit(s.psa, s.line, "price", money(s.t, "0 GBP")) }, plan.DoubtfulPrice, "the quote sells it for nothing",
			func(s *sale) { s.edit(s.psa, s.line, "price", money(s.t, "20 GBP")) }},
		"no cost on the quote": {func(s *sale) { s.edit(s.psa, s.line, "cost", model.Empty(model.TypeMoney)) }, plan.QuoteIncomplete, "no cost with which",
			func(s *sale) { s.edit(s.psa, s.line, "cost", money(s.t, "16.1875 GBP")) }},
		"half a seat": {func(s *sale) { s.edit(s.psa, s.line, "quantity", quantity(s.t, "4.5")) }, plan.QuoteIncomplete, "not a number of seats",
			func(s *sale) { s.edit(s.psa, s.line, "quantity", model.Int(5)) }},
		"accepted too late": {func(s *sale) { s.edit(s.psa, s.offer, "validUntil", model.DayValue(model.NewDay(2031, 3, 13))) }, plan.QuoteIncomplete, "valid until 2031-03-13 and accepted on 2031-03-14",
			func(s *sale) { s.edit(s.psa, s.offer, "validUntil", model.DayValue(model.NewDay(2031, 3, 14))) }},
		"not sold": {func(s *sale) { s.edit(s.psa, s.item, "manufacturerPartNumber", model.Text(premium+" P3Y monthly")) }, plan.NotSold, "no price for " + premium + " P3Y monthly",
			func(s *sale) { s.edit(s.psa, s.item, "manufacturerPartNumber", model.Text(premiumM)) }},
		"two contracts": {func(s *sale) { s.agreement = s.office.agreement(s.company) }, plan.AmbiguousMatch, "2 active contracts",
			func(s *sale) { s.edit(s.psa, s.agreement, "cancelledFlag", model.Bool(true)) }},
		"two customers": {func(s *sale) { s.office.tenant("t2", "Contoso", "contoso.example") }, plan.QuoteCustomer, "2 customers at microsoft",
			func(s *sale) {
				if err := s.vendor.Remove(connectors.Ref{Kind: "customer", ID: "t2"}); err != nil {
					s.t.Fatal(err)
				}
				if err := s.engine.Store.CloseLink(s.t.Context(), plan.ChangeID("link", s.flow.Name, "customer", "", "t2")); err != nil {
					s.t.Fatal(err)
				}
			}},
		"the vendor does not answer": {func(s *sale) {
			s.misbehave(s.vendor, memory.Partial, "t1")
			s.misbehave(s.vendor, memory.FeedForgets, "1")
		}, plan.Incomplete, "may have been ordered already",
			func(s *sale) { s.vendor.Behave(memory.Partial) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSale(t)
			s.settled()
			s.accept(s.offer)
			tt.spoil(s)
			for range 2 {
				result := s.sync()
				var held []plan.Held
				for _, h := range result.Plan.Held {
					if h.Change.Target.Kind == model.KindSubscription {
						held = append(held, h)
					}
				}
				if len(held) != 1 || held[0].Reason != tt.want || !strings.Contains(held[0].Detail, tt.detail) || held[0].Next == "" {
					t.Fatalf("held: %+v, want %s with %q\n%s", held, tt.want, tt.detail, text(result.Plan))
				}
			}
			if n := len(s.vendor.Records("subscription")); n != 0 {
				t.Fatalf("%d orders", n)
			}
			tt.mend(s)
			s.sync()
			if got := s.outcome(); !strings.HasPrefix(got, "bought 5 P1Y; billed 5 at 20 GBP; Ordered: 5 x Business Premium") {
				t.Errorf("mended: %s\n%s", got, text(s.planned().Plan))
			}
		})
	}
}

func quantity(t *testing.T, text string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeQuantity, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *sale) priceRef() connectors.Ref { return connectors.Ref{Kind: "price", ID: premiumM} }

// A rise within the tolerance, and any fall, is no news.
func TestThePriceMayMoveALittle(t *testing.T) {
	t.Parallel()
	for price, ordered := range map[string]bool{"16.51125 GBP": true, "16.52 GBP": false, "12 GBP": true} {
		s := newSale(t)
		s.flow.Quotes.Tolerance = 2
		s.accept(s.offer)
		s.edit(s.vendor, s.priceRef(), "unitCostMonth", money(t, price))
		if s.sync(); (len(s.vendor.Records("subscription")) == 1) != ordered {
			t.Errorf("at %s: %s", price, s.outcome())
		}
	}
}

// Somebody who ordered by hand after the customer said yes has done this order.
func TestWhatWasBoughtByHandIsNotOrdered(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.accept(s.offer)
	sub := s.subscription("t1", "s1", 5, "P1Y")
	s.edit(s.vendor, sub, "creationDate", model.Instant(s.now.Add(time.Minute)))
	result := s.sync()
	if got := reasons(result.Plan); got != "[held ordered_already]" || !strings.Contains(result.Plan.Held[0].Detail, "subscription s1, 5 seats, was bought on") {
		t.Errorf("got %s: %+v", got, result.Plan.Held)
	}
	if len(s.vendor.Records("subscription")) != 1 {
		t.Error("it was ordered all the same")
	}
}

func TestOnlyWhatWasAcceptedInTimeIsOrdered(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.accept(s.offer)
	s.edit(s.psa, s.offer, "closedDate", model.Instant(time.Date(2031, 2, 28, 23, 59, 0, 0, time.UTC)))
	s.settled()
	s.edit(s.psa, s.offer, "closedDate", model.Empty(model.TypeInstant))
	if got := reasons(s.settled().Plan); got != "[found quote_undated]" {
		t.Errorf("without a date: %s", got)
	}
	s.edit(s.psa, s.offer, "closedDate", model.Instant(time.Date(2031, 3, 1, 0, 0, 0, 0, time.UTC)))
	s.flow.Quotes.When = []string{"Confirmed"}
	s.settled() // won, and not one of the flow's words
	s.edit(s.psa, s.offer, "status", model.Text("confirmed"))
	s.sync()
	if got := s.outcome(); got != fulfilled {
		t.Errorf("got %s", got)
	}
	s.flow.Quotes = engine.QuoteRules{}
	s.settled()
}

// What happens to a quote after its order is told, and nothing is ordered for it.
func TestAQuoteThatMovesAfterItsOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		move func(*sale)
		want string
	}{
		"accepted again": {func(s *sale) { s.accept(s.offer) }, "[found quote_accepted_again]"},
		"more seats":     {func(s *sale) { s.edit(s.psa, s.line, "quantity", model.Int(9)) }, "[found quote_changed]"},
		"withdrawn":      {func(s *sale) { s.edit(s.psa, s.offer, "won", model.Bool(false)) }, "[found quote_withdrawn]"},
		"line taken off": {func(s *sale) { s.edit(s.psa, s.line, "cancelledFlag", model.Bool(true)) }, "[found quote_withdrawn]"},
		"deleted": {func(s *sale) {
			if err := s.psa.Remove(s.offer); err != nil {
				s.t.Fatal(err)
			}
		}, "[found quote_withdrawn]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSale(t)
			s.quote("3") // so that a listing is never empty
			s.accept(s.offer)
			s.sync()
			s.now = s.now.Add(time.Hour)
			tt.move(s)
			if got := reasons(s.settled().Plan); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := len(s.vendor.Records("subscription")); got != 1 {
				t.Errorf("%d orders", got)
			}
		})
	}
}

// The guards count an order: each alone, and all together.
func TestTheGuardsCountOrders(t *testing.T) {
	t.Parallel()
	limit := func(text string) *model.Money {
		m, err := model.ParseMoney(text)
		if err != nil {
			t.Fatal(err)
		}
		return &m
	}
	seats := model.NewQuantity(4)
	for name, tt := range map[string]struct {
		guards plan.Guards
		want   plan.Reason
		detail string
	}{
		"cost of one":     {plan.Guards{PerChange: plan.ChangeLimit{Cost: limit("80 GBP")}}, plan.OverChangeLimit, "it would cost 80.9375 GBP more a month, the limit is 80.00 GBP"},
		"seats of one":    {plan.Guards{PerChange: plan.ChangeLimit{Increase: &seats}}, plan.OverChangeLimit, "0 seats would become 5: 5 more, the limit is 4"},
		"cost of the run": {plan.Guards{PerRun: plan.GroupLimit{Cost: limit("80 GBP")}}, plan.OverRun, "it would cost 80.9375 GBP more"},
		"bill of the run": {plan.Guards{PerRun: plan.GroupLimit{Bill: limit("99 GBP")}}, plan.OverRun, "customers would be billed 100.00 GBP more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSale(t)
			s.flow.Guards = tt.guards
			s.accept(s.offer)
			result := s.sync()
			if len(s.vendor.Records("subscription")) != 0 {
				t.Errorf("it was ordered over the limit:\n%s", text(result.Plan))
			}
			var said []string
			for _, h := range result.Plan.Held {
				said = append(said, string(h.Reason)+": "+h.Detail)
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, string(tt.want)+": ") || !strings.Contains(all, tt.detail) {
				t.Errorf("held:\n%s", all)
			}
		})
	}
}

// A quote that was turned into a contract line in the PSA has its line; it is taken over.
func TestALineThatIsThereIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.office.line(s.agreement, s.item, "", 5)
	s.accept(s.offer)
	s.sync()
	s.sync()
	if got := len(s.psa.Records("addition")); got != 1 {
		t.Errorf("%d lines", got)
	}
	if got := s.outcome(); got != "bought 5 P1Y; billed 5 at 21 GBP; Ordered: 5 x Business Premium, P1Y monthly" {
		t.Errorf("got %s", got)
	}
	s.settled()
}

// A customer without product and contract in the PSA gets both, with the order, in one plan.
func TestWhatAnOrderNeedsIsMade(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.edit(s.psa, s.agreement, "cancelledFlag", model.Bool(true))
	s.accept(s.offer)
	s.sync()
	if got := s.outcome(); got != fulfilled || len(s.psa.Records("agreement")) != 2 {
		t.Errorf("got %s, %d agreements", got, len(s.psa.Records("agreement")))
	}
	s.settled()
}

func TestAQuoteToACustomerNobodyKnows(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	stranger := s.office.company("Stranger", "stranger.example")
	s.edit(s.psa, s.offer, "company", model.Text(stranger.ID))
	s.accept(s.offer)
	result := s.sync()
	if len(result.Plan.Held) != 1 || result.Plan.Held[0].Reason != plan.QuoteCustomer || !strings.Contains(result.Plan.Held[0].Next, "trueup links add cloud CUSTOMER_ID "+stranger.ID) {
		t.Errorf("held: %+v", result.Plan.Held)
	}
}

// Planning from what was read before asks nobody, so nothing is ready to be ordered.
func TestOfflineNothingIsOrdered(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.accept(s.offer)
	s.planned()
	result, err := s.run(engine.Options{Offline: true})
	if err != nil || reasons(result.Plan) != "[held order_not_checked]" {
		t.Errorf("%v: %s", err, reasons(result.Plan))
	}
}

func TestUndoSaysUntilWhenAnOrderCanBeTakenBack(t *testing.T) {
	t.Parallel()
	s := newSale(t)
	s.settled()
	s.accept(s.offer)
	done := s.sync()
	undo := func() plan.Finding {
		t.Helper()
		result, err := s.run(engine.Options{Undo: done.Run.ID})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range result.Plan.Findings {
			if f.Kind == plan.NotUndone && strings.Contains(f.Title, "create Business Premium") {
				return f
			}
		}
		t.Fatalf("nothing is said of the order:\n%s", text(result.Plan))
		return plan.Finding{}
	}
	if f := undo(); !strings.Contains(f.Detail, "can be cancelled until 2031-03-21T") || !strings.Contains(f.Detail, "paid for until 2032-03-13") {
		t.Errorf("inside the window: %s", f.Detail)
	}
	s.now = s.now.Add(8 * 24 * time.Hour)
	if f := undo(); strings.Contains(f.Detail, "can be cancelled") || !strings.Contains(f.Detail, "paid for until 2032-03-13") {
		t.Errorf("afterwards: %s", f.Detail)
	}
}

// mortal is a store that lets the process die at its n-th write on the way of a change: before it, or after it.
type mortal struct {
	apply.Store
	left  int
	after bool
	dead  bool
}

var errMortal = errors.New("killed")

func (d *mortal) die(write func() error) error {
	if d.dead {
		return errMortal
	}
	if d.left--; d.left >= 0 {
		return write()
	}
	d.dead = true
	if d.after {
		if err := write(); err != nil {
			return err
		}
	}
	return errMortal
}

func (d *mortal) Append(ctx context.Context, entries ...state.Entry) error {
	return d.die(func() error { return d.Store.Append(ctx, entries...) })
}

func (d *mortal) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	return d.die(func() error { return d.Store.Settle(ctx, outcome, snapshots, links) })
}

// Killed at any write to the journal, before or after it, and whatever reply is lost beside: one order, one line, one note, and no person is needed.
func TestKilledAtAnyStepAnOrderIsPlacedOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"", memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		for _, after := range []bool{false, true} {
			for step := range 6 {
				t.Run(fmt.Sprintf("%s step %d after %t", fault, step, after), func(t *testing.T) {
					t.Parallel()
					s := newSale(t)
					s.settled()
					s.accept(s.offer)
					journal := &mortal{Store: s.engine.Store, left: step, after: after}
					s.engine.Journal = journal
					if fault != "" {
						s.misbehave(s.vendor, fault, "1")
					}
					_, err := s.run(engine.Options{Apply: true})
					if journal.dead != (err != nil) {
						t.Fatalf("dead %t: %v", journal.dead, err)
					}
					s.engine.Journal = nil
					for range 3 {
						s.now = s.now.Add(time.Hour) // a run that was killed is taken for dead
						s.sync()
					}
					if got := s.outcome(); got != fulfilled {
						t.Errorf("got %s", got)
					}
					s.settled()
				})
			}
		}
	}
}
