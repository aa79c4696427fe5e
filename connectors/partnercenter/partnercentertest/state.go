package partnercentertest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Customer is a company that buys through the partner.
type Customer struct {
	ID                string   `json:"id"` // its tenant id
	Name              string   `json:"name"`
	Domain            string   `json:"domain"` // the onmicrosoft domain
	CustomDomains     []string `json:"custom_domains"`
	Relationship      string   `json:"relationship"`       // reseller, none, ...
	AssociatedPartner string   `json:"associated_partner"` // tenant id of the indirect reseller
	Locked            bool     `json:"locked"`             // every write is refused with 900416
	Email             string   `json:"email"`
	Registration      string   `json:"registration"` // company registration number
	Agreement         string   `json:"agreement"`    // who confirmed the customer agreement: partner (when empty), customer, or nobody: every write but a cart is refused with 13605
	Address           Address  `json:"address"`
	Billing           *Billing `json:"billing"` // nil: made of the members above
	Hidden            int      `json:"hidden"`  // how many lists of customers still lack it, as those of the service lack what was just made
	InUse             []InUse  `json:"in_use"`
	NoDirectory       bool     `json:"no_directory"` // gives the partner no right in its directory (GDAP): seats in use are refused
}

// Billing is a customer's billing profile.
type Billing struct {
	CompanyName string  `json:"company_name"`
	Email       string  `json:"email"`
	FirstName   string  `json:"first_name"`
	LastName    string  `json:"last_name"`
	Culture     string  `json:"culture"`
	Language    string  `json:"language"`
	Address     Address `json:"address"`
	Version     int     `json:"version"` // the etag follows it
}

// InUse is how many seats of a product a customer has given to its users.
type InUse struct {
	Product   string `json:"product"`   // ProductId:SkuId
	Assigned  int    `json:"assigned"`  // may be more than there are
	Elsewhere int    `json:"elsewhere"` // seats of it that were bought elsewhere
}

// Address is a company's and its billing address.
type Address struct {
	Line1      string `json:"line1"`
	Line2      string `json:"line2"`
	City       string `json:"city"`
	Region     string `json:"region"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
	Phone      string `json:"phone"`
}

// Reseller is an indirect reseller of the partner.
type Reseller struct {
	ID    string `json:"id"` // tenant id
	Name  string `json:"name"`
	MPNID string `json:"mpn_id"`
}

// Subscription is one subscription. Days are midnight UTC.
type Subscription struct {
	ID           string    `json:"id"`
	Customer     string    `json:"customer"`
	OfferID      string    `json:"offer_id"` // ProductId:SkuId:AvailabilityId
	OfferName    string    `json:"offer_name"`
	FriendlyName string    `json:"friendly_name"`
	ProductType  string    `json:"product_type"` // OnlineServicesNCE when empty
	Quantity     int       `json:"quantity"`
	MinSeats     int       `json:"min_seats"`  // 1 when 0
	MaxSeats     int       `json:"max_seats"`  // no limit when 0
	Parent       string    `json:"parent"`     // the base of an add-on: it has no more seats than its base, and ends with it
	Created      time.Time `json:"created"`    // now when zero
	TermStart    time.Time `json:"term_start"` // day of Created when zero
	TermEnd      time.Time `json:"term_end"`   // inclusive; computed from Term when zero
	CancelUntil  time.Time `json:"cancel_until"`
	Status       string    `json:"status"` // active when empty
	AutoRenew    bool      `json:"auto_renew"`
	Trial        bool      `json:"trial"`
	Term         string    `json:"term"`          // P1Y when empty
	BillingCycle string    `json:"billing_cycle"` // monthly when empty
	Batches      []Batch   `json:"batches"`       // nil: the whole quantity, bought at Created
	Next         *NextTerm `json:"next"`
	Actions      []Action  `json:"actions"`  // scheduled actions
	Extended     bool      `json:"extended"` // goes on month by month, because nobody renewed or cancelled it
	PromotionID  string    `json:"promotion_id"`
	PartnerID    string    `json:"partner_id"` // the reseller's MPN id
	OrderID      string    `json:"order_id"`
	Reasons      []string  `json:"suspension_reasons"`
	Updates      int       `json:"updates"`   // 1,200 are allowed
	StatusAt     time.Time `json:"status_at"` // when Status last changed
}

// Batch is seats that came in together; until its window closes they may go again.
type Batch struct {
	Quantity int       `json:"quantity"`
	Until    time.Time `json:"until"`
}

// Product is what the catalogue says of one SKU. Without one the catalogue is made from what was sold and from the price sheet.
type Product struct {
	ID           string   `json:"id"` // ProductId:SkuId
	Title        string   `json:"title"`
	MinSeats     int      `json:"min_seats"`    // 1 when 0
	MaxSeats     int      `json:"max_seats"`    // no limit when 0
	Availability string   `json:"availability"` // another one each day when empty and nothing was sold yet
	Plans        []string `json:"plans"`        // "P1Y monthly"; nil for what the price sheet lists, and every plan where it is silent
	Withdrawn    bool     `json:"withdrawn"`    // still in the catalogue, and not sold any more
}

// Promotion is a price for some time and some numbers of seats.
type Promotion struct {
	ID       string    `json:"id"`
	End      time.Time `json:"end"`       // last moment to take it; never when zero
	MaxSeats int       `json:"max_seats"` // no limit when 0
}

// NextTerm is what is scheduled for the renewal.
type NextTerm struct {
	ProductID      string `json:"product_id"`
	SkuID          string `json:"sku_id"`
	AvailabilityID string `json:"availability_id"`
	BillingCycle   string `json:"billing_cycle"`
	Term           string `json:"term"`
	PromotionID    string `json:"promotion_id"`
	CustomTermEnd  string `json:"custom_term_end"`
	Quantity       int    `json:"quantity"`
}

// Action is a scheduled action.
type Action struct {
	Schedule string `json:"scheduleType"` // TermEnd
	Type     string `json:"actionType"`   // Cancel, RenewToNewTerm, RenewToExtendedServiceTerm
}

// Price is one row of the price sheet. Amounts are texts, as in the file.
type Price struct {
	ProductID    string    `json:"product_id"`
	SkuID        string    `json:"sku_id"`
	ProductTitle string    `json:"product_title"`
	SkuTitle     string    `json:"sku_title"`
	Term         string    `json:"term"`
	BillingPlan  string    `json:"billing_plan"` // Monthly, Annual, Triennial
	UnitPrice    string    `json:"unit_price"`   // for the whole term
	ERPPrice     string    `json:"erp_price"`
	Currency     string    `json:"currency"` // Options.Currency when empty
	Segment      string    `json:"segment"`  // Commercial when empty
	Start        time.Time `json:"start"`
	End          time.Time `json:"end"` // never when zero
	TierMin      string    `json:"tier_min"`
	TierMax      string    `json:"tier_max"`
}

// AuditRecord is one line of the partner's activity log.
type AuditRecord struct {
	ID            string    `json:"id"`
	Customer      string    `json:"customer"`
	CustomerName  string    `json:"customer_name"`
	User          string    `json:"user"`
	Application   string    `json:"application"`
	ResourceType  string    `json:"resource_type"`
	Operation     string    `json:"operation"`
	Status        string    `json:"status"` // succeeded or failed
	Old           string    `json:"old"`
	New           string    `json:"new"`
	Date          time.Time `json:"date"`
	CorrelationID string    `json:"correlation_id"`
}

// State is everything the server holds, for looking at.
type State struct {
	Customers     []Customer        `json:"customers"`
	Resellers     []Reseller        `json:"resellers"`
	Subscriptions []Subscription    `json:"subscriptions"`
	Prices        []Price           `json:"prices"`
	Products      []Product         `json:"products"`
	Promotions    []Promotion       `json:"promotions"`
	Orders        []Order           `json:"orders"`
	Audit         []AuditRecord     `json:"audit"`
	Misbehaving   map[string]string `json:"misbehaving"`
}

// subscription adds what is nobody's business outside: what late readers still see.
type subscription struct {
	Subscription
	shown     *Subscription // the old state, while reads lag behind
	readsLeft int
	visible   time.Time // readers do not see it before
}

const window = 7 * 24 * time.Hour // to cancel, and to take back seats

// AddCustomer adds a company and returns it with its id. The activity log tells of it.
func (s *Server) AddCustomer(c Customer) Customer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ID == "" {
		c.ID = newID()
	}
	if c.Domain == "" {
		c.Domain = strings.ToLower(strings.ReplaceAll(c.Name, " ", "")) + ".onmicrosoft.com"
	}
	if c.Relationship == "" {
		c.Relationship = "reseller"
	}
	if c.Address.Country == "" {
		c.Address.Country = s.opt.Country
	}
	s.customers = append(s.customers, &c)
	s.record(c.ID, portal(), "customer", "add_customer", "succeeded", nil, nil)
	return c
}

// RemoveCustomer ends the relationship with a customer and forgets its subscriptions.
func (s *Server) RemoveCustomer(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(id, portal(), "partner_relationship", "remove_partner_customer_relationship", "succeeded", nil, nil)
	s.customers = slices.DeleteFunc(s.customers, func(c *Customer) bool { return strings.EqualFold(c.ID, id) })
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub *subscription) bool { return strings.EqualFold(sub.Customer, id) })
}

// EditCustomer changes a customer in any way at all, by no rule and without a trace in the activity log: the way to lock one.
func (s *Server) EditCustomer(id string, change func(*Customer)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.customer(id)
	if c == nil {
		return fmt.Errorf("edit customer: there is no customer %s", id)
	}
	change(c)
	return nil
}

// AddReseller adds an indirect reseller and returns it with its id.
func (s *Server) AddReseller(r Reseller) Reseller {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ID == "" {
		r.ID = newID()
	}
	s.resellers = append(s.resellers, r)
	return r
}

// AddSubscription adds a subscription as an order made in the portal would, and returns it as it was completed.
func (s *Server) AddSubscription(sub Subscription) Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	defaults := []struct {
		to    *string
		value string
	}{
		{&sub.ID, newID()}, {&sub.OfferID, "CFQ7TTC0LCHC:0002:CFQ7TTC0TRUE"}, {&sub.OfferName, "Microsoft 365 Business Premium"},
		{&sub.ProductType, "OnlineServicesNCE"}, {&sub.Status, "active"}, {&sub.Term, "P1Y"},
		{&sub.BillingCycle, "monthly"}, {&sub.OrderID, newID()[:12]}, {&sub.FriendlyName, sub.OfferName},
	}
	for _, d := range defaults {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	if sub.MinSeats == 0 {
		sub.MinSeats = 1
	}
	if sub.Created.IsZero() {
		sub.Created = s.now()
	}
	if sub.TermStart.IsZero() {
		sub.TermStart = midnight(sub.Created)
	}
	if sub.TermEnd.IsZero() {
		sub.TermEnd = termEnd(sub.TermStart, sub.Term)
	}
	if sub.CancelUntil.IsZero() {
		sub.CancelUntil = sub.Created.Add(window)
	}
	if sub.Batches == nil {
		sub.Batches = []Batch{{sub.Quantity, sub.Created.Add(window)}}
	}
	if sub.StatusAt.IsZero() {
		sub.StatusAt = sub.Created
	}
	s.subscriptions = append(s.subscriptions, &subscription{Subscription: sub})
	s.record(sub.Customer, portal(), "order", "create_order", "succeeded", nil, &sub)
	return sub
}

// SetPrice adds a row to the price sheet, or replaces the row with the same product, SKU, term, plan, segment, tier and start.
func (s *Server) SetPrice(p Price) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Currency == "" {
		p.Currency = s.opt.Currency
	}
	if p.Segment == "" {
		p.Segment = "Commercial"
	}
	same := func(o Price) bool {
		return o.ProductID == p.ProductID && o.SkuID == p.SkuID && o.Term == p.Term && o.BillingPlan == p.BillingPlan &&
			o.Segment == p.Segment && o.TierMin == p.TierMin && o.Start.Equal(p.Start)
	}
	if i := slices.IndexFunc(s.prices, same); i >= 0 {
		s.prices[i] = p
		return
	}
	s.prices = append(s.prices, p)
}

// Subscriptions are a customer's subscriptions as they really are, however late reads may be.
func (s *Server) Subscriptions(customer string) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var found []Subscription
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.Customer, customer) {
			found = append(found, sub.copy())
		}
	}
	return found
}

// EditQuantity changes the seats of a subscription as somebody in the portal would: the same rules, an audit record.
func (s *Server) EditQuantity(id string, seats int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	sub := s.find(id)
	if sub == nil {
		return fmt.Errorf("edit quantity: there is no subscription %s", id)
	}
	before := sub.copy()
	if f := s.setQuantity(&sub.Subscription, seats); f != nil {
		return fmt.Errorf("edit quantity of subscription %s: %s [code %s]", id, f.description, f.code)
	}
	sub.Next, sub.Actions = nil, nil
	sub.Updates++
	s.record(sub.Customer, portal(), "subscription", "update_subscription", "succeeded", &before, &sub.Subscription)
	return nil
}

// Edit changes a subscription in any way at all, by no rule, and leaves an audit record: the way to arrange a state.
func (s *Server) Edit(id string, change func(*Subscription)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.find(id)
	if sub == nil {
		return fmt.Errorf("edit: there is no subscription %s", id)
	}
	before := sub.copy()
	change(&sub.Subscription)
	if sub.Status != before.Status {
		sub.StatusAt = s.now()
	}
	s.record(sub.Customer, portal(), "subscription", "update_subscription", "succeeded", &before, &sub.Subscription)
	return nil
}

// Dump is the whole state.
func (s *Server) Dump() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	state := State{
		Resellers:   slices.Clone(s.resellers),
		Prices:      slices.Clone(s.prices),
		Products:    slices.Clone(s.products),
		Promotions:  slices.Clone(s.promotions),
		Audit:       slices.Clone(s.audit),
		Misbehaving: map[string]string{},
	}
	for _, c := range s.customers {
		shown := *c
		if c.Billing != nil {
			billing := *c.Billing
			shown.Billing = &billing
		}
		state.Customers = append(state.Customers, shown)
	}
	for _, o := range s.orders {
		state.Orders = append(state.Orders, o.Order)
	}
	for _, sub := range s.subscriptions {
		state.Subscriptions = append(state.Subscriptions, sub.copy())
	}
	for name, value := range s.misbehaving {
		state.Misbehaving[name] = value
	}
	return state
}

func (s *Server) find(id string) *subscription {
	i := slices.IndexFunc(s.subscriptions, func(sub *subscription) bool { return strings.EqualFold(sub.ID, id) })
	if i < 0 {
		return nil
	}
	return s.subscriptions[i]
}

func (s *Server) customer(id string) *Customer {
	i := slices.IndexFunc(s.customers, func(c *Customer) bool { return strings.EqualFold(c.ID, id) })
	if i < 0 {
		return nil
	}
	return s.customers[i]
}

func (s *Subscription) copy() Subscription {
	c := *s
	c.Batches = slices.Clone(s.Batches)
	c.Reasons = slices.Clone(s.Reasons)
	c.Actions = slices.Clone(s.Actions)
	if s.Next != nil {
		next := *s.Next
		c.Next = &next
	}
	return c
}

// settle lets everything happen that was due by now: terms end, grace periods pass.
func (s *Server) settle() {
	now := s.now()
	for _, sub := range s.subscriptions {
		for sub.step(now, s.opt.ExtendedTerms) {
		}
	}
	for _, sub := range s.subscriptions {
		s.follow(&sub.Subscription)
	}
}

// follow lets an add-on share the fate of its base: it is suspended with it and over with it.
func (s *Server) follow(sub *Subscription) {
	base := s.find(sub.Parent)
	if sub.Parent == "" || base == nil || sub.Status != "active" || base.Status == "active" {
		return
	}
	sub.become(base.Status, base.StatusAt)
	sub.Reasons = slices.Clone(base.Reasons)
}

// step does the next thing that was due and reports whether there was one. A renewal completes at midnight UTC after
// the last day of the term; the service's queue of up to a day is the misbehaviour pending_operation.
func (s *Subscription) step(now time.Time, extends bool) bool {
	ends := s.TermEnd.AddDate(0, 0, 1)
	switch {
	case s.Status == "active" && !now.Before(ends) && s.cancels():
		s.become("expired", ends)
	case s.Status == "active" && !now.Before(ends) && s.AutoRenew && !s.extends():
		s.renew(ends)
	case s.Status == "active" && !now.Before(ends) && (extends || s.extends()):
		s.Extended, s.Term, s.BillingCycle, s.Actions, s.Next, s.AutoRenew = true, "P1M", "monthly", nil, nil, false
		s.TermStart, s.TermEnd = ends, termEnd(ends, "P1M")
	case s.Status == "active" && !now.Before(ends):
		s.become("expired", ends)
	case s.Status == "suspended" && !now.Before(ends):
		s.become("disabled", ends)
	case s.Status == "expired" && !now.Before(s.StatusAt.AddDate(0, 0, 30)):
		s.become("disabled", s.StatusAt.AddDate(0, 0, 30))
	case s.Status == "disabled" && !now.Before(s.StatusAt.AddDate(0, 0, 90)):
		s.become("deleted", s.StatusAt.AddDate(0, 0, 90))
	default:
		return false
	}
	return true
}

// cancels reports an explicit instruction to cancel at the end of the term.
func (s *Subscription) cancels() bool {
	return slices.ContainsFunc(s.Actions, func(a Action) bool { return a.Schedule == "TermEnd" && a.Type == "Cancel" })
}

// extends reports an explicit instruction to go on month by month.
func (s *Subscription) extends() bool {
	return slices.ContainsFunc(s.Actions, func(a Action) bool { return a.Schedule == "TermEnd" && a.Type == "RenewToExtendedServiceTerm" })
}

func (s *Subscription) renew(at time.Time) {
	if s.Next != nil {
		s.OfferID = strings.Join([]string{s.Next.ProductID, s.Next.SkuID, s.Next.AvailabilityID}, ":")
		s.Quantity, s.Term, s.BillingCycle, s.PromotionID = s.Next.Quantity, s.Next.Term, s.Next.BillingCycle, s.Next.PromotionID
		s.Next = nil
	}
	s.Trial, s.Actions = false, nil
	s.TermStart, s.TermEnd = at, termEnd(at, s.Term)
	s.CancelUntil = at.Add(window)
	s.Batches = []Batch{{s.Quantity, at.Add(window)}}
}

func (s *Subscription) become(status string, at time.Time) {
	s.Status, s.StatusAt = status, at
	if status != "active" {
		s.AutoRenew, s.Next, s.Actions = false, nil, nil
	}
}

// reducible is how many seats may go at now, by open batch.
func (s *Subscription) reducible(now time.Time) (total int, open []Batch) {
	for _, b := range s.Batches {
		if b.Quantity > 0 && b.Until.After(now) {
			total += b.Quantity
			open = append(open, b)
		}
	}
	return min(total, s.Quantity), open
}

func termEnd(start time.Time, term string) time.Time {
	months := map[string]int{"P1M": 1, "P1Y": 12, "P3Y": 36}[term]
	return model.DayOf(start).AddMonths(months).Add(-1).Midnight(time.UTC)
}

func midnight(t time.Time) time.Time { return model.DayOf(t.UTC()).Midnight(time.UTC) }

type actor struct{ user, application, correlation string }

// portal is somebody working in the vendor's own web pages.
func portal() actor {
	return actor{user: "ana@tasmancloud.example", application: "00000000-aaaa-4bbb-8ccc-000000000001"}
}

// record writes the activity log.
func (s *Server) record(customer string, by actor, resource, operation, status string, before, after *Subscription) {
	name := ""
	if c := s.customer(customer); c != nil {
		name = c.Name
	}
	text := func(sub *Subscription) string {
		if sub == nil {
			return ""
		}
		// The service puts JSON in a text, with members in PascalCase.
		b, err := json.Marshal(map[string]any{"Id": sub.ID, "Quantity": sub.Quantity, "Status": sub.Status, "AutoRenewEnabled": sub.AutoRenew})
		if err != nil {
			panic(err) // texts, numbers and booleans always marshal
		}
		return string(b)
	}
	s.audit = append(s.audit, AuditRecord{
		ID: newID(), Customer: customer, CustomerName: name, User: by.user, Application: by.application, CorrelationID: by.correlation,
		ResourceType: resource, Operation: operation, Status: status, Old: text(before), New: text(after), Date: s.now(),
	})
	if after != nil && status == "succeeded" {
		s.notify(customer, after.ID)
	}
}
