package sandbox

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine/plan"
)

// Ways in which a tenant is not surely linked.
const (
	matchName   = "name"   // only the name is the same
	matchShared = "shared" // two companies have the domain
	matchNone   = "none"   // no company
)

// trait is what is special about a customer.
type trait struct {
	match                  string
	secondMatch            string // of the second tenant, when it differs
	tenantCount            int    // 1 when 0
	sameNameAs             int    // so many customers back is one with the same name
	nothing                bool   // buys nothing
	noAgreement            bool
	twoAgreements          bool
	locked                 bool
	upperID                bool
	oddWebsite             bool
	otherName              bool // spelt otherwise at the vendor
	spaces                 bool
	vendorProductElsewhere bool
	status                 string
	more                   func(*site)

	tenantNames []string // filled while the customer is made
	twin        int      // a second company that looks like it
}

// cycle is after how many customers the traits begin again.
const cycle = 60

// traits of the first customers of each cycle; the others are plain.
var traits = []trait{
	{match: MatchKeptID},
	{match: MatchDomain, otherName: true},
	{match: MatchKeptID, more: (*site).sameSKUOtherTerms},
	{match: MatchKeptID, tenantCount: 2},
	{match: MatchKeptID, more: (*site).sameSKUSameTerm},
	{match: matchName, otherName: true},
	{match: MatchKeptID, more: (*site).trial},
	{match: MatchDomain, oddWebsite: true, more: (*site).suspended},
	{match: MatchKeptID, upperID: true, spaces: true},
	{match: MatchKeptID, noAgreement: true},
	{match: MatchDomain, more: (*site).linesAmbiguous},
	{match: MatchKeptID, more: (*site).endedStillBilled},
	{match: MatchKeptID, twoAgreements: true},
	{match: matchNone},
	{match: MatchKeptID, more: (*site).strayLines},
	{match: MatchKeptID, more: (*site).addOn},
	{match: MatchKeptID},
	{match: MatchKeptID, sameNameAs: 1, more: (*site).nameTwice},
	{match: MatchKeptID, secondMatch: MatchDomain, tenantCount: 2},
	{match: MatchDomain, more: func(s *site) { s.special(specialFree) }},
	{match: MatchKeptID, more: func(s *site) { s.special(specialNoPrice) }},
	{match: MatchKeptID, more: func(s *site) { s.special(specialNoItem) }},
	{match: MatchKeptID, more: func(s *site) { s.special(specialTwice) }},
	{match: matchShared, more: (*site).secondCompany},
	{match: MatchKeptID, more: (*site).endedAgreement},
	{match: MatchDomain, more: (*site).lineEnded},
	{match: MatchKeptID, more: (*site).twoLines},
	{match: MatchKeptID, locked: true},
	{match: MatchKeptID, more: (*site).legacy},
	{match: MatchKeptID, more: (*site).windows},
	{match: MatchKeptID, status: "Credit Hold"},
	{match: MatchDomain, more: (*site).lessIncluded},
	{match: MatchKeptID, vendorProductElsewhere: true, more: (*site).vendorProductElsewhereLine},
	{match: MatchKeptID, nothing: true, more: func(s *site) { s.awkward("nothing_bought", s.tenants[0]) }},
	{match: MatchKeptID, more: (*site).idInOtherCase},
	{match: MatchKeptID, more: (*site).deletedCompany},
	{match: MatchDomain, more: (*site).scheduled},
	{match: MatchKeptID, more: (*site).seatsDiffer},
	{match: MatchKeptID, more: (*site).costOld},
	{match: MatchKeptID, more: (*site).nickname},
	{match: matchName},
}

func traitOf(i int) trait {
	if n := i % cycle; n < len(traits) {
		return traits[n]
	}
	if i%3 == 0 {
		return trait{match: MatchDomain, otherName: i%2 == 0}
	}
	return trait{match: MatchKeptID}
}

// Positions in products.
const (
	premium  = 0
	standard = 1
)

// take returns an ordinary good that this customer has not got yet and marks it; at the end of the list it repeats.
func (s *site) take() (g *good, again bool) {
	for range 4 * len(s.ordinary) {
		if g = pick(s.world, s.ordinary); !s.used[g.key] {
			s.used[g.key] = true
			return g, false
		}
	}
	return g, true
}

// offered is a product under an offer, marked as taken.
func (s *site) offered(product int, o offer) *good {
	p := products[product]
	for _, g := range s.goods {
		if g.id == p.id && g.offer == o {
			s.used[g.key] = true
			return g
		}
	}
	panic(fmt.Sprintf("sandbox: %s has no offer %s %s", p.name, o.term, o.cycle)) // the tables above are wrong
}

func (s *site) sameSKUOtherTerms() {
	for i, o := range []offer{monthly, yearly, triennial} {
		b := s.buy(0, s.offered(standard, o))
		if i == 2 {
			s.unbilled(b)
		} else {
			s.linked(b)
		}
		s.awkward("same_sku_other_terms", b.ID)
	}
}

func (s *site) sameSKUSameTerm() {
	g := s.offered(premium, yearly)
	for range 2 {
		b := s.buy(0, g)
		s.linked(b)
		s.awkward("same_sku_same_term", b.ID)
	}
}

func (s *site) trial() {
	b := s.buy(0, s.offered(premium, monthly), func(b *bought) {
		b.Trial, b.Quantity = true, 25
		b.lifetime(s.world, 9)
	})
	s.note(b, ExpectNothing, 0)
	s.awkward("trial", b.ID)
}

func (s *site) suspended() {
	g, _ := s.take()
	b := s.buy(0, g, func(b *bought) {
		b.Status, b.AutoRenew, b.Reasons, b.StatusAt = "suspended", false, []string{"Partner"}, s.start.AddDate(0, 0, -2)
	})
	s.linked(b)
	s.awkward("suspended", b.ID)
}

// linesAmbiguous: two subscriptions of a product, two lines of it, and no ids.
func (s *site) linesAmbiguous() {
	g := s.offered(premium, prepaid)
	for range 2 {
		b := s.buy(0, g)
		line := s.line(b, func(a *connectwisetest.Addition) { a.Custom = nil })
		s.note(b, ExpectPerson, line, withReason(plan.AmbiguousLine))
		s.awkward("lines_ambiguous", b.ID)
	}
}

func (s *site) endedStillBilled() {
	for i, status := range []string{"expired", "disabled", "deleted"} {
		g, _ := s.take()
		days := []int{12, 45, 140}[i]
		b := s.buy(0, g, func(b *bought) {
			end := s.today.Add(-days - 1)
			b.TermStart, b.TermEnd = end.Add(1).AddMonths(-termMonths(g)).Midnight(utc), end.Midnight(utc)
			b.Status, b.AutoRenew, b.StatusAt = status, false, s.today.Add(-days).Midnight(utc)
			b.CancelUntil = b.TermStart.Add(refundWindow)
			b.Batches = []partnercentertest.Batch{{Quantity: b.Quantity, Until: b.CancelUntil}}
			if b.Created.After(b.TermStart) {
				b.Created = b.TermStart
			}
		})
		s.awkward("ended", b.ID)
		if i == 1 { // nothing bills this one any more
			s.note(b, ExpectNothing, 0)
			continue
		}
		line := s.line(b)
		s.note(b, ExpectEnd, line)
		s.drift(DriftEnded, b, line, 0, b.Quantity)
		s.awkward("ended_still_billed", b.ID)
	}
}

// strayLines: one names a subscription that is not there, one bills a product that the customer has not got.
func (s *site) strayLines() {
	for _, named := range []string{s.id(), ""} {
		g, _ := s.take()
		a := s.addition(g, 4)
		reason, kind := plan.UnmatchedLine, "unmatched_line"
		if named != "" {
			a.Custom = map[string]string{idField: named}
			reason, kind = plan.OrphanedLine, "orphaned_line"
		}
		line := strconv.Itoa(s.psa.AddAddition(a))
		s.truth.StrayLines = append(s.truth.StrayLines, StrayLine{line, strconv.Itoa(s.company), strconv.Itoa(a.Agreement), reason, named})
		s.expected(reason)
		s.awkward(kind, line)
	}
}

func (s *site) addOn() {
	base := s.buy(0, s.offered(premium, yearly))
	s.linked(base)
	for _, g := range s.goods {
		if g.special == specialAddOn {
			b := s.buy(0, g, func(b *bought) { b.Parent, b.Quantity = base.ID, min(base.Quantity, 3) })
			s.linked(b)
			s.awkward("add_on", b.ID)
		}
	}
}

func (s *site) nameTwice() {
	pair := s.truth.Customers[len(s.truth.Customers)-2:]
	s.awkward("name_twice", pair[0].Company, pair[1].Company)
}

// special buys a product with a difficulty, which decides what becomes of it.
func (s *site) special(why string) {
	for _, g := range s.goods {
		if g.special != why {
			continue
		}
		b := s.buy(0, g)
		s.awkward(why, b.ID)
		if why == specialFree {
			s.linked(b)
			return
		}
		s.unbilled(b)
		return
	}
}

// secondCompany gives another company the same website.
func (s *site) secondCompany() {
	website, _ := s.psa.Record("company", s.company)["website"].(string)
	s.twin = s.psa.AddCompany(connectwisetest.Company{Identifier: fmt.Sprintf("%s-holding-%d", slug(s.name)[:min(8, len(slug(s.name)))], s.company),
		Name: "Holding of " + s.name, Types: []string{"Customer"}, Website: website})
	s.addContacts(s.twin, "holding.example")
}

// endedAgreement puts an agreement that is over beside the one that goes on, with a line that is over too.
func (s *site) endedAgreement() {
	end := s.today.AddMonths(-8)
	old := s.psa.AddAgreement(connectwisetest.Agreement{Name: contractType + " (former)", Company: s.company, Type: contractType,
		Start: s.today.AddMonths(-30).String(), End: end.String()})
	g, _ := s.take()
	s.psa.AddAddition(connectwisetest.Addition{Agreement: old, Product: g.item, Quantity: "9", Cancelled: end.String()})
	s.awkward("agreement_over", strconv.Itoa(old))
}

func (s *site) lineEnded() {
	g, _ := s.take()
	b := s.buy(0, g)
	line := s.line(b, func(a *connectwisetest.Addition) { a.Cancelled = s.today.AddMonths(-2).String() })
	s.note(b, ExpectPerson, line, withReason(plan.EndedInPSA))
	s.awkward("line_ended", strconv.Itoa(line))
}

func (s *site) twoLines() {
	g, _ := s.take()
	b := s.buy(0, g)
	line := s.line(b)
	s.line(b, func(a *connectwisetest.Addition) { a.Quantity = "1" })
	s.note(b, ExpectPerson, line, withReason(plan.DeclaredTwice))
	s.awkward("two_lines", b.ID)
}

func (s *site) legacy() {
	b := s.buy(0, s.goods[0], func(b *bought) {
		b.ProductType, b.OfferID, b.OfferName = "OnlineServices", s.id(), "Office 365 Business Essentials (legacy)"
		b.FriendlyName = b.OfferName
	})
	s.note(b, ExpectNothing, 0)
	s.awkward("legacy", b.ID)
}

// windows: the line has fewer seats than were bought, once inside and once outside the window for taking them back.
func (s *site) windows() {
	for _, open := range []bool{true, false} {
		g := s.offered(standard, yearly)
		kind := "window_closed"
		if open {
			g, kind = s.offered(premium, yearly), "window_open"
		}
		b := s.buy(0, g, func(b *bought) {
			b.Quantity = 20
			b.lifetime(s.world, 40)
			if open {
				b.Batches = []partnercentertest.Batch{{Quantity: 15, Until: b.Created.Add(refundWindow)}, {Quantity: 5, Until: s.start.AddDate(0, 0, 4)}}
			}
		})
		s.drifted(DriftSeatsLessInPSA, b, 17)
		s.awkward(kind, b.ID)
	}
}

func (s *site) lessIncluded() {
	g, _ := s.take()
	b := s.buy(0, g, func(b *bought) { b.Quantity = 10 })
	line := s.line(b, func(a *connectwisetest.Addition) { a.LessIncluded = "2" })
	s.note(b, ExpectLinked, line)
	s.awkward("less_included", strconv.Itoa(line))
}

func (s *site) vendorProductElsewhereLine() {
	s.awkward("other_agreement", s.otherLine(s, s.offered(standard, prepaid).item))
}

func (s *site) idInOtherCase() {
	g, _ := s.take()
	b := s.buy(0, g)
	line := s.line(b, func(a *connectwisetest.Addition) {
		a.Custom = map[string]string{idField: " " + strings.ToUpper(b.ID) + " "}
	})
	s.note(b, ExpectLinked, line)
	s.awkward("id_in_other_case", strconv.Itoa(line))
}

func (s *site) deletedCompany() {
	id := s.psa.AddCompany(connectwisetest.Company{Identifier: fmt.Sprintf("deleted-%d", s.company), Name: s.name, Types: []string{"Customer"},
		Deleted: true, Custom: map[string]string{tenantField: s.tenants[0]}})
	s.awkward("company_deleted", strconv.Itoa(id))
}

func (s *site) scheduled() {
	g := s.offered(premium, yearly)
	b := s.buy(0, g, func(b *bought) {
		b.Quantity, b.AutoRenew = 12, true
		b.lifetime(s.world, 200)
		b.Next = &partnercentertest.NextTerm{ProductID: g.id, SkuID: g.sku, AvailabilityID: b.OfferID[strings.LastIndexByte(b.OfferID, ':')+1:],
			BillingCycle: g.cycle, Term: g.term, Quantity: 8}
	})
	s.linked(b)
	s.awkward("scheduled", b.ID)
}

func (s *site) seatsDiffer() {
	for _, more := range []int{2, -1} {
		g, _ := s.take()
		b := s.buy(0, g, func(b *bought) { b.Quantity = 6 })
		s.drifted(seatDrift(more), b, b.Quantity+more)
	}
}

// costOld: the price changed, and the line still has the former cost.
func (s *site) costOld() {
	s.oldCost(s.buy(0, s.offered(premium, prepaid)))
}

func (s *site) nickname() {
	g, _ := s.take()
	b := s.buy(0, g, func(b *bought) { b.FriendlyName = "Café & Bar – Kasse 3" })
	s.linked(b)
	s.awkward("nickname", b.ID)
}
