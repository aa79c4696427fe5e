package partnercentertest

import "time"

// Sample fills an empty server with an invented partner's world: a customer with a yearly and a monthly subscription,
// one with leftovers (expired, suspended, legacy), one with a trial, one with nothing and one that is locked; and prices
// for what they have. An indirect provider also gets two resellers, of whom the first serves the first customer.
func (s *Server) Sample() {
	now := s.now()
	var tasman Reseller
	if s.opt.AccountType == IndirectProvider {
		tasman = s.AddReseller(Reseller{ID: "5e110000-0000-4000-8000-000000000001", Name: "Tasman IT", MPNID: "5550017"})
		s.AddReseller(Reseller{ID: "5e110000-0000-4000-8000-000000000002", Name: "Cook Computing", MPNID: "5550018"})
	}
	harbour := s.AddCustomer(Customer{ID: "3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001", Name: "Harbour Dental", CustomDomains: []string{"harbourdental.example"},
		AssociatedPartner: tasman.ID, Email: "ap@harbourdental.example", Address: Address{Line1: "4 Quay Rd", City: "Nelson", PostalCode: "07010", Phone: "35550101"}})
	kea := s.AddCustomer(Customer{ID: "4c2f1d63-8b55-4a2c-8e3f-7a1b62d9f002", Name: "Kea Logistics", Email: "accounts@kealogistics.example"})
	rata := s.AddCustomer(Customer{ID: "5d3a2e74-9c66-4b3d-9f4a-8b2c73eaa003", Name: "Rata Law", Email: "office@ratalaw.example"})
	s.AddCustomer(Customer{ID: "6e4b3f85-ad77-4c4e-8a5b-9c3d84fbb004", Name: "Weka Cafe"})
	locked := s.AddCustomer(Customer{ID: "7f5c4a96-be88-4d5f-9b6c-ad4e950cc005", Name: "Moa Motors", Locked: true})

	premium := func(customer string, seats int, age time.Duration) Subscription {
		return Subscription{Customer: customer, Quantity: seats, AutoRenew: true, Created: now.Add(-age), MaxSeats: 300}
	}
	const day = 24 * time.Hour
	yearly := premium(harbour.ID, 14, 60*day)
	yearly.ID, yearly.FriendlyName, yearly.PartnerID = "a7c20f6e-55d1-4a55-b5c4-90b7d7b10a01", "M365 BP front desk", tasman.MPNID
	yearly.Batches = []Batch{{10, now.Add(-53 * day)}, {4, now.Add(5 * day)}}
	s.AddSubscription(yearly)
	s.AddSubscription(Subscription{ID: "b8d31a7f-66e2-4b66-86d5-a1c8e8c21b02", Customer: harbour.ID, OfferID: "CFQ7TTC0LH18:0001:CFQ7TTC0M001",
		OfferName: "Microsoft 365 Business Basic", Quantity: 3, Term: "P1M", AutoRenew: true, Created: now.Add(-3 * day), PartnerID: tasman.MPNID})

	s.AddSubscription(Subscription{Customer: kea.ID, OfferID: "031c9e47-4802-4248-838e-778fb1d2cc05", OfferName: "Office 365 Business Essentials",
		ProductType: "OnlineServices", Quantity: 5, Created: now.Add(-200 * day)})
	expired := premium(kea.ID, 8, 375*day)
	expired.AutoRenew = false
	s.AddSubscription(expired)
	suspended := premium(kea.ID, 2, 90*day)
	suspended.AutoRenew, suspended.Status, suspended.Reasons = false, "suspended", []string{"Partner"}
	s.AddSubscription(suspended)

	trial := premium(rata.ID, 25, 10*day)
	trial.Trial, trial.Term = true, "P1M"
	s.AddSubscription(trial)
	s.AddSubscription(premium(locked.ID, 6, 30*day))

	s.SamplePrices()
}

// SamplePrices fills the price sheet with two products, in force since a month.
func (s *Server) SamplePrices() {
	for _, p := range []Price{
		{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", ProductTitle: "Microsoft 365 Business Premium", SkuTitle: "Microsoft 365 Business Premium", Term: "P1Y", BillingPlan: "Monthly", UnitPrice: "222.768", ERPPrice: "277.20"},
		{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", ProductTitle: "Microsoft 365 Business Premium", SkuTitle: "Microsoft 365 Business Premium", Term: "P1Y", BillingPlan: "Annual", UnitPrice: "212.16", ERPPrice: "264"},
		{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", ProductTitle: "Microsoft 365 Business Premium", SkuTitle: "Microsoft 365 Business Premium", Term: "P1M", BillingPlan: "Monthly", UnitPrice: "21.12", ERPPrice: "26.40"},
		{ProductID: "CFQ7TTC0LH18", SkuID: "0001", ProductTitle: "Microsoft 365 Business Basic", SkuTitle: "Microsoft 365 Business Basic", Term: "P1M", BillingPlan: "Monthly", UnitPrice: "5.76", ERPPrice: "7.20"},
		{ProductID: "CFQ7TTC0LH18", SkuID: "0001", ProductTitle: "Microsoft 365 Business Basic", SkuTitle: "Microsoft 365 Business Basic", Term: "P1Y", BillingPlan: "Monthly", UnitPrice: "60.48", ERPPrice: "75.60"},
	} {
		p.Start = midnight(s.now()).AddDate(0, -1, 0)
		s.SetPrice(p)
	}
}
