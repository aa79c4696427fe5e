package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// contractType is the type of the agreements that bill subscriptions; it and otherType come with every PSA stand-in.
const (
	contractType = "Cloud Services"
	otherType    = "Managed Services"

	idField     = "Vendor Subscription Id"
	tenantField = "Vendor Tenant Ids"
)

// world is the sandbox's content while it is made. Everything random comes from rng, in one order, so a seed decides all.
type world struct {
	o        Options
	rng      *rand.Rand
	clock    *clock
	vendor   *partnercentertest.Server
	psa      *connectwisetest.Server
	start    time.Time
	today    model.Day // UTC
	goods    []*good
	byKey    map[string]*good
	ordinary []*good // what is bought at random
	services [3]int  // catalog items that have nothing to do with the vendor
	bought   []partnercentertest.Subscription
	truth    Truth
}

// build makes the world in both stand-ins and returns what is right in it.
func build(o Options, c *clock, vendor *partnercentertest.Server, psa *connectwisetest.Server) Truth {
	w := &world{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x7472756575700000)), clock: c, vendor: vendor, psa: psa, start: o.Start, today: model.DayOf(o.Start),
		byKey: map[string]*good{},
		truth: Truth{Seed: o.Seed, Start: o.Start, ContractType: contractType, Expected: map[plan.Reason]int{}, Awkward: map[string][]string{}},
	}
	size := o.Customers * (o.PerCustomer + 2)
	w.bought, w.truth.Subscriptions = make([]partnercentertest.Subscription, 0, size), make([]Subscription, 0, size)
	w.addGoods()
	for _, g := range w.goods {
		if g.special == "" {
			w.ordinary = append(w.ordinary, g)
		}
	}
	for i := range o.Customers {
		w.addSite(i)
	}
	w.addOtherCompanies()
	w.order()
	return w.truth
}

// order hands the subscriptions to the vendor in the order they were bought, each at its time, so that the activity log
// reads like one.
func (w *world) order() {
	slices.SortStableFunc(w.bought, func(a, b partnercentertest.Subscription) int { return a.Created.Compare(b.Created) })
	for _, sub := range w.bought {
		w.clock.freeze(sub.Created)
		w.vendor.AddSubscription(sub)
	}
	w.clock.freeze(w.start)
}

func (w *world) awkward(kind string, ids ...string) {
	w.truth.Awkward[kind] = append(w.truth.Awkward[kind], ids...)
}

func (w *world) expected(reason plan.Reason) { w.truth.Expected[reason]++ }

// id is a GUID out of the seed.
func (w *world) id() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b).String()
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func pick[T any](w *world, from []T) T { return from[w.rng.IntN(len(from))] }

// site is one customer on both sides.
type site struct {
	*world
	trait
	name       string
	tenants    []string
	company    int   // 0 when there is none
	contact    int   // its default contact
	agreements []int // active, of the contract's type
	other      int   // an agreement of another type; 0 when there is none
	used       map[string]bool
	subs       []int // of this site, as indexes of truth.Subscriptions
}

// sure reports that the company and the tenants are linked without a person.
func (s *site) sure() bool { return s.match == MatchKeptID || s.match == MatchDomain }

// addSite makes the i-th customer.
func (w *world) addSite(i int) {
	s := &site{world: w, trait: traitOf(i), used: map[string]bool{}}
	name, unusual := nameOf(i - s.sameNameAs)
	s.name = name
	host := fmt.Sprintf("%s%d.example", slug(s.name), i)
	w.addTenants(s, i, host)
	if s.match != matchNone {
		w.addCompany(s, i, host)
		if unusual {
			w.awkward("name_unusual", strconv.Itoa(s.company))
		}
	}
	if s.more != nil {
		s.more(s)
	}
	if !s.nothing {
		s.fill(1 + w.rng.IntN(2*w.o.PerCustomer-1))
	}
	s.settle()
	s.offer()
}

// openQuotes is how many customers have an offer that they have not accepted yet.
const openQuotes = 3

// offer makes an ordinary customer an offer of five seats, at the prices of today. Nothing is drawn for it, so the rest of the world is the same without.
func (s *site) offer() {
	if len(s.truth.Quotes) >= openQuotes || !s.sure() || len(s.tenants) != 1 || len(s.agreements) != 1 || s.locked || s.nothing {
		return
	}
	g := s.ordinary[len(s.truth.Quotes)*len(common)]
	id := s.psa.AddOpportunity(connectwisetest.Opportunity{Name: "Seats for the new office", Company: s.company, Contact: s.contact, Expected: s.today.Add(14).String()})
	s.psa.AddOffered(connectwisetest.Offered{Opportunity: id, Product: g.item, Quantity: "5", Price: json.Number(g.price), Cost: json.Number(g.cost)})
	s.truth.Quotes = append(s.truth.Quotes, strconv.Itoa(id))
}

// addTenants makes the vendor's customers.
func (w *world) addTenants(s *site, i int, host string) {
	for n := range max(1, s.tenantCount) {
		c := partnercentertest.Customer{ID: w.id(), Name: s.name, Domain: fmt.Sprintf("%s%d.onmicrosoft.com", slug(s.name), 10*i+n), CustomDomains: []string{host},
			Email: "accounts@" + host, Locked: s.locked}
		street := pick(w, streets)
		c.Address = partnercentertest.Address{Line1: street.line1, City: street.city, PostalCode: street.zip, Country: w.o.Country, Phone: fmt.Sprintf("0555 01%04d", i)}
		switch {
		case n > 0:
			c.Name += " (Shop)"
		case s.spaces:
			c.Name += "  "
			w.awkward("name_with_spaces", c.ID)
		case s.otherName:
			c.Name = otherSpelling(c.Name)
		}
		if s.match == matchShared {
			c.Domain, c.CustomDomains = host, nil
		}
		if s.locked {
			w.awkward("locked", c.ID)
		}
		w.clock.freeze(w.start.AddDate(-4, 0, 0))
		w.vendor.AddCustomer(c)
		s.tenants = append(s.tenants, c.ID)
		s.tenantNames = append(s.tenantNames, c.Name)
	}
	w.clock.freeze(w.start)
}

// matchOf is what connects the n-th tenant; a second one may differ from the first.
func (s *site) matchOf(n int) string {
	if n > 0 && s.secondMatch != "" {
		return s.secondMatch
	}
	return s.match
}

// addCompany makes the PSA's side of a customer.
func (w *world) addCompany(s *site, i int, host string) {
	street := pick(w, streets)
	c := connectwisetest.Company{
		Identifier: fmt.Sprintf("%s%d", slug(s.name), i), Name: s.name, Types: []string{"Customer"}, Status: s.status, Website: "https://www." + host,
		AddressLine1: street.line1, City: street.city, Zip: street.zip, Country: countries[w.o.Country], PhoneNumber: fmt.Sprintf("+44 555 01%04d", i),
		TaxIdentifier: fmt.Sprintf("GB %09d", 100_000_000+w.rng.IntN(900_000_000)),
	}
	var kept []string
	for n, id := range s.tenants {
		if s.matchOf(n) == MatchKeptID {
			kept = append(kept, id)
		}
	}
	slices.Sort(kept)
	if len(kept) > 0 {
		c.Custom = map[string]string{tenantField: strings.Join(kept, ",")}
	}
	if s.upperID {
		c.Custom[tenantField] = strings.ToUpper(c.Custom[tenantField])
	}
	if s.oddWebsite {
		c.Website = "HTTP://WWW." + strings.ToUpper(host[:1]) + host[1:] + "/de/kontakt?x=1"
	}
	if s.match == matchName {
		c.Website = ""
	}
	s.company = w.psa.AddCompany(c)
	company := strconv.Itoa(s.company)
	for kind, is := range map[string]bool{"tenant_id_in_other_case": s.upperID, "domain_written_oddly": s.oddWebsite, "company_on_hold": s.status != "", "tenants_two": s.tenantCount == 2} {
		if is {
			w.awkward(kind, company)
		}
	}
	contact := w.addContacts(s.company, host)
	s.contact = contact
	begin := w.today.AddMonths(-18)
	count := 1
	switch {
	case s.noAgreement:
		count = 0
		w.awkward("agreement_none", company)
	case s.twoAgreements:
		count = 2
		w.awkward("agreements_two", company)
	}
	for n := range count {
		name := contractType
		if n > 0 {
			name += " (2)"
		}
		s.agreements = append(s.agreements, w.psa.AddAgreement(connectwisetest.Agreement{Name: name, Company: s.company, Contact: contact, Type: contractType, Start: begin.String()}))
	}
	if w.chance(70) || s.vendorProductElsewhere {
		s.other = w.psa.AddAgreement(connectwisetest.Agreement{Name: "Managed IT", Company: s.company, Contact: contact, Type: otherType, Start: begin.String()})
		w.otherLine(s, w.services[w.rng.IntN(len(w.services))])
	}
	if s.sure() {
		truth := Customer{Company: company, Name: s.name}
		for n, id := range s.tenants {
			truth.Tenants = append(truth.Tenants, Tenant{id, s.tenantNames[n], s.matchOf(n)})
		}
		w.truth.Customers = append(w.truth.Customers, truth)
	}
}

// otherLine is a line on an agreement that has nothing to do with subscriptions.
func (w *world) otherLine(s *site, item int) string {
	line := w.psa.AddAddition(connectwisetest.Addition{Agreement: s.other, Product: item, Quantity: json.Number(strconv.Itoa(1 + w.rng.IntN(20)))})
	w.truth.OtherLines = append(w.truth.OtherLines, strconv.Itoa(line))
	return strconv.Itoa(line)
}

func (w *world) addContacts(company int, host string) (first int) {
	for n := range 1 + w.rng.IntN(3) {
		c := connectwisetest.Contact{Company: company, FirstName: pick(w, firstNames), LastName: pick(w, lastNames), Default: n == 0,
			Email: fmt.Sprintf("contact%d@%s", n+1, host), Phone: fmt.Sprintf("+44 555 02%04d", w.rng.IntN(10_000))}
		if id := w.psa.AddContact(c); n == 0 {
			first = id
		}
	}
	return first
}

// countries are the names under which the PSA stand-in knows countries; a company elsewhere has none.
var countries = map[string]string{"GB": "United Kingdom", "US": "United States", "DE": "Germany"}

// addOtherCompanies makes what a PSA holds besides the vendor's customers.
func (w *world) addOtherCompanies() {
	for n := range max(4, w.o.Customers/15) {
		name, _ := nameOf(w.o.Customers + 2*n + len(unusualNames)*2)
		c := connectwisetest.Company{Identifier: fmt.Sprintf("%s-p%d", slug(name), n), Name: name, Types: []string{"Customer"}, Website: fmt.Sprintf("www.%s-p%d.example", slug(name), n)}
		why := "a prospect"
		switch n % 4 {
		case 1:
			why, c.Status = "an inactive company", "Inactive"
		case 2:
			why, c.Types = "a supplier", []string{"Vendor"}
		case 3:
			why, c.Custom = "keeps the id of a tenant that left", map[string]string{tenantField: w.id()}
		}
		id := w.psa.AddCompany(c)
		contact := w.addContacts(id, strings.TrimPrefix(c.Website, "www."))
		if n%4 == 3 {
			agreement := w.psa.AddAgreement(connectwisetest.Agreement{Name: contractType, Company: id, Contact: contact, Type: contractType, Start: w.today.AddMonths(-18).String()})
			g := pick(w, w.ordinary)
			w.psa.AddAddition(connectwisetest.Addition{Agreement: agreement, Product: g.item, Quantity: "7", Custom: map[string]string{idField: w.id()}})
		}
		w.truth.PSAOnly = append(w.truth.PSAOnly, PSAOnly{strconv.Itoa(id), name, why})
	}
}

// settle writes down a customer that nothing sure connects to a company.
func (s *site) settle() {
	if s.sure() {
		return
	}
	v := VendorOnly{Tenant: s.tenants[0], Name: s.tenantNames[0], Reason: plan.UnmatchedCustomer}
	if s.company != 0 {
		v.Really, v.Looks = strconv.Itoa(s.company), []string{strconv.Itoa(s.company)}
	}
	switch s.match {
	case matchName:
		v.Reason = plan.NameOnly
		s.awkward("name_only", v.Tenant)
	case matchShared:
		v.Reason = plan.AmbiguousCustomer
		v.Looks = append(v.Looks, strconv.Itoa(s.twin))
		s.awkward("domain_shared", v.Tenant)
	}
	for _, i := range s.subs {
		sub := s.truth.Subscriptions[i]
		if sub.Expect != ExpectUncertain {
			continue
		}
		v.Subs, v.Seats = v.Subs+1, v.Seats+sub.Seats
		if sub.Line != "" {
			v.Lines++
		}
	}
	s.truth.VendorOnly = append(s.truth.VendorOnly, v)
	s.expected(v.Reason)
}

// Won is the id of the PSA's status for quotes that were accepted.
func (s *Sandbox) Won() int {
	for _, id := range s.psa.IDs("opportunityStatus") {
		if s.psa.Record("opportunityStatus", id)["wonFlag"] == true {
			return id
		}
	}
	return 0
}
