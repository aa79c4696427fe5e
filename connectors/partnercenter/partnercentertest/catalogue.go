package partnercentertest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// SetProduct puts a SKU into the catalogue, or replaces it. Subscriptions that are there keep their own bounds.
func (s *Server) SetProduct(p Product) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.products, func(o Product) bool { return o.ID == p.ID }); i >= 0 {
		s.products[i] = p
		return
	}
	s.products = append(s.products, p)
}

// SetPromotion adds a promotion, or replaces it.
func (s *Server) SetPromotion(p Promotion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promotions = slices.DeleteFunc(s.promotions, func(o Promotion) bool { return o.ID == p.ID })
	s.promotions = append(s.promotions, p)
}

// product is what the catalogue says of a SKU: what it was told, and else what was sold to the customer, or to anybody, and what the price
// sheet lists.
func (s *Server) product(customer, id string) (Product, bool) {
	p := Product{ID: id, Title: id}
	known := false
	name, sku, _ := strings.Cut(id, ":")
	for _, price := range s.listed(name, sku) {
		known, p.Title = true, price.SkuTitle
		if p.Plans == nil {
			p.Plans = []string{}
		}
		if plan := price.plan(); price.commercial() && !slices.Contains(p.Plans, plan) {
			p.Plans = append(p.Plans, plan)
		}
	}
	for _, sub := range s.subscriptions {
		if productOf(sub.OfferID) != id {
			continue
		}
		if !known || strings.EqualFold(sub.Customer, customer) {
			p.Title, p.MinSeats, p.MaxSeats = sub.OfferName, sub.MinSeats, sub.MaxSeats
		}
		known = known || !s.everListed(name, sku)
		if plan := sub.Term + " " + sub.BillingCycle; len(p.Plans) > 0 && !slices.Contains(p.Plans, plan) {
			p.Plans = append(p.Plans, plan)
		}
	}
	for _, o := range s.products {
		if o.ID == id {
			known = known || !s.everListed(name, sku)
			o.Title = first(o.Title, p.Title)
			if o.Plans == nil {
				o.Plans = p.Plans
			}
			p = o
		}
	}
	p.MinSeats = max(p.MinSeats, 1)
	p.Availability = first(p.Availability, s.availabilityID(commercial))
	if p.Plans == nil {
		p.Plans = []string{"P1M monthly", "P1Y monthly", "P1Y annual", "P3Y monthly", "P3Y annual", "P3Y triennial"}
	}
	return p, known
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func (s *Server) productOfPath(c call) (Product, *fault) {
	p, known := s.product(c.PathValue("customer"), c.PathValue("product")+":"+c.PathValue("sku"))
	if known {
		return p, nil
	}
	for _, other := range s.subscriptions {
		if strings.HasPrefix(other.OfferID, c.PathValue("product")+":") || s.everListed(c.PathValue("product"), c.PathValue("sku")) {
			return p, &fault{http.StatusNotFound, "400018", "SKU not found"}
		}
	}
	return p, &fault{http.StatusNotFound, "400013", "Product not found"}
}

// getSKU is one SKU as this customer may buy it. https://learn.microsoft.com/partner-center/developer/product-resources
func (s *Server) getSKU(c call) reply {
	p, f := s.productOfPath(c)
	if f != nil {
		return f.reply()
	}
	sku := map[string]any{
		"id": c.PathValue("sku"), "productId": c.PathValue("product"), "title": p.Title, "minimumQuantity": p.MinSeats, "isTrial": false,
		"supportedBillingCycles": []string{"monthly", "annual"}, "purchasePrerequisites": []any{}, "inventoryVariables": []any{}, "provisioningVariables": []any{},
		"dynamicAttributes": map[string]any{"isAddon": false}, "attributes": map[string]any{"objectType": "Sku"},
	}
	if p.MaxSeats > 0 {
		sku["maximumQuantity"] = p.MaxSeats
	}
	return asJSON(http.StatusOK, sku)
}

// listAvailabilities is under which id a SKU is sold today, and in which terms.
func (s *Server) listAvailabilities(c call) reply {
	p, f := s.productOfPath(c)
	if f != nil {
		return f.reply()
	}
	items := []any{}
	for _, segment := range []string{commercial, education} {
		at, plans := s.offered(p, segment)
		if len(plans) == 0 {
			continue
		}
		terms := []any{}
		for i, plan := range plans {
			duration, cycle, _ := strings.Cut(plan, " ")
			terms = append(terms, map[string]any{"id": fmt.Sprintf("t%d", i), "duration": duration, "billingCycle": strings.ToUpper(cycle[:1]) + cycle[1:],
				"cancellationPolicies": []any{map[string]any{"refundOptions": []any{map[string]any{"sequenceId": 0, "type": "Full", "expiresAfter": "P1D"}, map[string]any{"sequenceId": 1, "type": "Partial", "expiresAfter": "P7D"}}}}})
		}
		items = append(items, map[string]any{
			"id": at, "productId": c.PathValue("product"), "skuId": c.PathValue("sku"), "catalogItemId": p.ID + ":" + at,
			"defaultCurrency": map[string]any{"code": s.opt.Currency, "symbol": "$"}, "segment": segment, "country": s.opt.Country,
			"isPurchasable": !p.Withdrawn, "isRenewable": true, "terms": terms, "attributes": map[string]any{"objectType": "Availability"},
		})
	}
	return collection(c, items)
}

// The segments in which things are sold.
const (
	commercial = "commercial"
	education  = "education"
)

// offered is under which id a product is sold today in a segment, and in which plans.
func (s *Server) offered(p Product, segment string) (availability string, plans []string) {
	if segment == commercial {
		return p.Availability, p.Plans
	}
	name, sku, _ := strings.Cut(p.ID, ":")
	for _, price := range s.listed(name, sku) {
		if !price.commercial() {
			plans = append(plans, price.plan())
		}
	}
	return s.availabilityID(segment), plans
}

// listed are the rows of the price sheet by which a SKU is sold now.
func (s *Server) listed(product, sku string) (rows []Price) {
	now := s.now()
	for _, p := range s.prices {
		if strings.EqualFold(p.ProductID, product) && p.SkuID == sku && !p.Start.After(now) && (p.End.IsZero() || p.End.After(now)) && p.TierMin == "" {
			rows = append(rows, p)
		}
	}
	return rows
}

// everListed reports that the price sheet has a SKU at all, now or another time.
func (s *Server) everListed(product, sku string) bool {
	return slices.ContainsFunc(s.prices, func(p Price) bool { return strings.EqualFold(p.ProductID, product) && p.SkuID == sku })
}

// boughtAs reports that a customer has a subscription that was bought under this id, which may be renewed under it unless the catalogue says otherwise.
func (s *Server) boughtAs(customer, offer string) bool {
	if slices.ContainsFunc(s.products, func(p Product) bool { return p.ID == productOf(offer) && p.Availability != "" }) {
		return false
	}
	return slices.ContainsFunc(s.subscriptions, func(sub *subscription) bool {
		return strings.EqualFold(sub.Customer, customer) && strings.EqualFold(sub.OfferID, offer)
	})
}

func (p Price) commercial() bool { return p.Segment == "" || strings.EqualFold(p.Segment, commercial) }

func (p Price) plan() string { return p.Term + " " + strings.ToLower(p.BillingPlan) }

// availabilityID names what is sold today in a segment; tomorrow it has another name.
func (s *Server) availabilityID(segment string) string {
	return fmt.Sprintf("%s%04X", map[bool]string{true: "CFQ7TTC0", false: "DZH318Z0"}[segment == commercial], midnight(s.now()).Unix()/86400%0x10000)
}

// sameProduct reports instructions that differ in nothing but the seats.
func (n *NextTerm) sameProduct(o *NextTerm) bool {
	a, b := *n, *o
	a.Quantity, b.Quantity = 0, 0
	return a == b
}

// sold refuses instructions for what is not sold to the customer today.
func (s *Server) sold(customer string, next *NextTerm) *fault {
	p, known := s.product(customer, next.ProductID+":"+next.SkuID)
	months := map[string]int{"monthly": 1, "annual": 12, "triennial": 36}
	term, cycle := map[string]int{"P1M": 1, "P1Y": 12, "P3Y": 36}[next.Term], months[strings.ToLower(next.BillingCycle)]
	switch {
	case !known:
		return &fault{http.StatusNotFound, "400018", "SKU not found"}
	case next.AvailabilityID != p.Availability && !s.boughtAs(customer, p.ID+":"+next.AvailabilityID):
		return &fault{http.StatusNotFound, "400019", "Availability not found"}
	case term == 0:
		return &fault{http.StatusBadRequest, "900268", "The term duration is invalid."}
	case cycle == 0:
		return &fault{http.StatusBadRequest, "900269", "The billing cycle is invalid."}
	case cycle > term:
		return &fault{http.StatusBadRequest, "900270", "The billing cycle may not be longer than the term."}
	case !slices.Contains(p.Plans, next.Term+" "+strings.ToLower(next.BillingCycle)):
		return &fault{http.StatusForbidden, "800028", "The initial purchase term is no longer available for purchase/update"}
	}
	return nil
}

// bounds refuses numbers of seats that the product, or a promotion, is not sold in.
func (s *Server) bounds(sub *Subscription, next *NextTerm) *fault {
	least, most := sub.MinSeats, sub.MaxSeats
	if id := next.ProductID + ":" + next.SkuID; id != productOf(sub.OfferID) {
		p, _ := s.product(sub.Customer, id)
		least, most = p.MinSeats, p.MaxSeats
	}
	if next.Quantity < least || most > 0 && next.Quantity > most {
		return &fault{http.StatusBadRequest, "2002", "Subscription quantity is not within minimum and maximum allowed quantity"}
	}
	if next.PromotionID == "" {
		return nil
	}
	i := slices.IndexFunc(s.promotions, func(p Promotion) bool { return p.ID == next.PromotionID })
	switch {
	case i < 0, !s.promotions[i].End.IsZero() && s.now().After(s.promotions[i].End):
		return &fault{http.StatusBadRequest, "27007", "Invalid promotion code"}
	case s.promotions[i].MaxSeats > 0 && next.Quantity > s.promotions[i].MaxSeats:
		return &fault{http.StatusBadRequest, "900275", "The requested quantity is outside the allowed range of the promotion."}
	}
	return nil
}

// addOnSeats is the largest number of seats that an add-on of a subscription has.
func (s *Server) addOnSeats(base *Subscription) (most int) {
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.Parent, base.ID) && sub.Status == "active" {
			most = max(most, sub.Quantity)
		}
	}
	return most
}
