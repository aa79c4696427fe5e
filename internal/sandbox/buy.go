package sandbox

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

const refundWindow = 7 * 24 * time.Hour

var utc = time.UTC

// bought is a subscription on its way into the world.
type bought struct {
	partnercentertest.Subscription
	good *good
}

func termMonths(g *good) int { return model.Term{Duration: g.term}.Months() }

// buy makes a subscription of the n-th tenant; it is done when its line is decided.
func (s *site) buy(n int, g *good, change ...func(*bought)) *bought {
	b := &bought{good: g, Subscription: partnercentertest.Subscription{
		ID: s.id(), Customer: s.tenants[n], OfferID: g.offerID(), OfferName: g.name, FriendlyName: g.name, ProductType: "OnlineServicesNCE",
		Quantity: s.seats(g), MaxSeats: g.maxSeats, AutoRenew: !s.chance(15), Status: "active", Term: g.term, BillingCycle: g.cycle, OrderID: s.id()[:12],
	}}
	b.lifetime(s.world, 1+s.rng.IntN(900))
	for _, f := range change {
		f(b)
	}
	return b
}

// seats of a subscription: mostly few, sometimes many.
func (w *world) seats(g *good) int {
	n := 0
	switch r := w.rng.IntN(100); {
	case r < 15:
		n = 1
	case r < 80:
		n = 2 + w.rng.IntN(24)
	case r < 97:
		n = 26 + w.rng.IntN(65)
	default:
		n = 100 + w.rng.IntN(181)
	}
	if g.maxSeats > 0 {
		n = min(n, g.maxSeats)
	}
	return n
}

// lifetime sets what follows from having been bought so many days ago: the term of today, and the windows.
func (b *bought) lifetime(w *world, daysAgo int) {
	b.Created = w.start.AddDate(0, 0, -daysAgo).Add(-time.Duration(w.rng.IntN(20*3600)) * time.Second)
	first := model.DayOf(b.Created)
	begin, opened := first, b.Created
	for n := 1; ; n++ {
		next := first.AddMonths(n * termMonths(b.good))
		if next.Cmp(w.today) > 0 {
			break
		}
		begin, opened = next, next.Midnight(utc)
	}
	b.TermStart, b.CancelUntil = begin.Midnight(utc), opened.Add(refundWindow)
	b.Batches = []partnercentertest.Batch{{Quantity: b.Quantity, Until: b.CancelUntil}}
}

// undecided reports that the term ends within 60 days and nobody has said what follows; a monthly term that renews is meant to.
func (b *bought) undecided(w *world) bool {
	left := w.today.Until(model.DayOf(b.TermStart).AddMonths(termMonths(b.good)).Add(-1))
	return b.Status == "active" && !b.Trial && b.ProductType == "OnlineServicesNCE" && b.Next == nil && left <= 60 && (b.good.term != "P1M" || !b.AutoRenew)
}

// addition is a line for a good on one of the customer's agreements.
func (s *site) addition(g *good, seats int) connectwisetest.Addition {
	price := g.price
	if s.chance(30) {
		price = decimal.RequireFromString(price).Mul(decimal.RequireFromString("1.1")).RoundBank(2).String()
	}
	return connectwisetest.Addition{Agreement: pick(s.world, s.agreements), Product: g.item, Quantity: json.Number(strconv.Itoa(seats)),
		UnitCost: json.Number(g.cost), UnitPrice: json.Number(price), InvoiceDescription: g.name}
}

// line bills a subscription, in step and with its id unless changed.
func (s *site) line(b *bought, change ...func(*connectwisetest.Addition)) int {
	a := s.addition(b.good, b.Quantity)
	a.Custom, a.InvoiceDescription = map[string]string{idField: b.ID}, b.FriendlyName
	if agreementStart := s.today.AddMonths(-18); model.DayOf(b.Created).Cmp(agreementStart) > 0 {
		a.Effective = model.DayOf(b.Created).String()
	}
	for _, f := range change {
		f(&a)
	}
	return s.psa.AddAddition(a)
}

// linked bills a subscription by the book.
func (s *site) linked(b *bought) { s.note(b, ExpectLinked, s.line(b)) }

// drifted bills another number of seats than was bought.
func (s *site) drifted(kind string, b *bought, seats int) {
	line := s.line(b, func(a *connectwisetest.Addition) { a.Quantity = json.Number(strconv.Itoa(seats)) })
	s.note(b, ExpectLinked, line)
	s.drift(kind, b, line, b.Quantity, seats)
}

func seatDrift(more int) string {
	if more > 0 {
		return DriftSeatsMoreInPSA
	}
	return DriftSeatsLessInPSA
}

// oldCost bills with a cost that was right once.
func (s *site) oldCost(b *bought) {
	former := b.good.formerly
	if former == "" {
		former = decimal.RequireFromString(b.good.cost).Mul(decimal.RequireFromString("0.97")).RoundBank(priceDigits).String()
	}
	line := s.line(b, func(a *connectwisetest.Addition) { a.UnitCost = json.Number(former) })
	s.note(b, ExpectLinked, line)
	s.drift(DriftCostOld, b, line, b.Quantity, b.Quantity)
	d := &s.truth.Drift[len(s.truth.Drift)-1]
	d.VendorCost, d.PSACost = b.good.cost, former
}

func (s *site) drift(kind string, b *bought, line, vendor, psa int) {
	s.truth.Drift = append(s.truth.Drift, Drift{Kind: kind, Company: strconv.Itoa(s.company), Subscription: b.ID, Line: strconv.Itoa(line), VendorSeats: vendor, PSASeats: psa})
}

// unbilled decides what becomes of a subscription that no line bills.
func (s *site) unbilled(b *bought) {
	hold := func(reason plan.Reason) { s.note(b, ExpectHold, 0, withReason(reason)) }
	switch {
	case !s.sure():
		s.note(b, ExpectUncertain, 0)
	case b.good.special == specialNoPrice:
		hold(plan.NoPrice)
	case b.good.otherItem != 0:
		hold(plan.AmbiguousProduct)
	case len(s.agreements) > 1:
		hold(plan.AmbiguousMatch)
	default:
		s.note(b, ExpectCreate, 0, func(t *Subscription) {
			if b.good.item == 0 {
				t.Needs = append(t.Needs, "product")
			}
			if len(s.agreements) == 0 {
				t.Needs = append(t.Needs, "contract")
			}
		})
	}
}

func withReason(reason plan.Reason) func(*Subscription) {
	return func(t *Subscription) { t.Reason = reason }
}

// note finishes a subscription: into the vendor's world, and into the truth.
func (s *site) note(b *bought, expect Expect, line int, change ...func(*Subscription)) {
	if len(b.Batches) == 1 {
		b.Batches[0].Quantity = b.Quantity
	}
	if !b.AutoRenew && b.Status == "active" {
		s.awkward("auto_renew_off", b.ID)
	}
	t := Subscription{ID: b.ID, Tenant: b.Customer, Product: b.good.key, Name: b.FriendlyName, Seats: b.Quantity, Status: b.Status, Expect: expect}
	if b.ProductType != "OnlineServicesNCE" {
		t.Product = b.OfferID
	}
	if s.company != 0 {
		t.Company = strconv.Itoa(s.company)
	}
	if line != 0 {
		t.Line = strconv.Itoa(line)
	}
	for _, f := range change {
		f(&t)
	}
	if t.Reason != "" {
		s.expected(t.Reason)
	}
	if expect != ExpectEnd && expect != ExpectNothing && b.undecided(s.world) {
		s.expected(plan.UndecidedEnd)
	}
	s.bought = append(s.bought, b.Subscription)
	s.subs = append(s.subs, len(s.truth.Subscriptions))
	s.truth.Subscriptions = append(s.truth.Subscriptions, t)
}

// fill buys at random, the way an MSP that starts with trueup is found: most lines carry the id, some do not, some are
// wrong, and many subscriptions are not billed.
func (s *site) fill(count int) {
	for range count {
		g, again := s.take()
		b := s.buy(s.rng.IntN(len(s.tenants)), g)
		r := s.rng.IntN(1000)
		if s.match == matchName || s.match == matchShared {
			s.fillUncertain(b, again, r)
			continue
		}
		switch {
		case len(s.agreements) == 0:
			s.unbilled(b)
		case r < 470 || again:
			s.linked(b)
		case r < 565:
			s.note(b, ExpectAdopt, s.line(b, func(a *connectwisetest.Addition) { a.Custom = nil }))
		case r < 580:
			s.drifted(DriftSeatsMoreInPSA, b, b.Quantity+1+s.rng.IntN(3))
		case r < 595 && b.Quantity > 1:
			s.drifted(DriftSeatsLessInPSA, b, b.Quantity-1)
		case r < 615:
			s.oldCost(b)
		default:
			s.unbilled(b)
		}
	}
}

// fillUncertain: nobody linked this customer yet, so no line carries an id.
func (s *site) fillUncertain(b *bought, again bool, r int) {
	if r < 600 && !again {
		s.note(b, ExpectUncertain, s.line(b, func(a *connectwisetest.Addition) { a.Custom = nil }))
		return
	}
	s.note(b, ExpectUncertain, 0)
}
