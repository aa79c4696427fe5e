package partnercentertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Order is an order placed over the API.
type Order struct {
	ID           string    `json:"id"`
	Customer     string    `json:"customer"`
	Subscription string    `json:"subscription"`
	CatalogItem  string    `json:"catalog_item"`
	FriendlyName string    `json:"friendly_name"`
	Quantity     int       `json:"quantity"`
	Term         string    `json:"term"`
	BillingCycle string    `json:"billing_cycle"`
	PartnerID    string    `json:"partner_id"`
	Created      time.Time `json:"created"`
}

type order struct {
	Order
	visible time.Time // lists do not hold it before
}

// cart is a cart with its one line; the fake refuses carts with more.
type cart struct {
	id, customer string
	created      time.Time
	line         cartLine
	refused      *lineError
	ordered      bool
}

type cartLine struct {
	ID           json.Number
	CatalogItem  string `json:"catalogItemId"`
	Quantity     json.Number
	Term         string `json:"termDuration"`
	BillingCycle string
	FriendlyName string
	Participants []struct{ Key, Value string }
}

type lineError struct {
	code        int
	description string
}

const cartLife = 7 * 24 * time.Hour

// Orders are the orders placed over the API, oldest first, however late readers see them.
func (s *Server) Orders() []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Order
	for _, o := range s.orders {
		all = append(all, o.Order)
	}
	return all
}

func (s *Server) listAgreements(c call) reply {
	customer, items := s.customer(c.PathValue("customer")), []any{}
	// Without a type the service answers about another, older agreement.
	if strings.EqualFold(c.URL.Query().Get("agreementType"), "MicrosoftCustomerAgreement") && (customer.Agreement == "" || customer.Agreement == "partner") {
		items = append(items, map[string]any{
			"primaryContact": map[string]any{"firstName": "Ana", "lastName": "Rewi", "email": "ana@customer.example", "phoneNumber": "35550101"},
			"templateId":     "117a77b0-9360-443b-8795-c6dedc750cf9", "dateAgreed": "2024-05-02T00:00:00Z", "type": "MicrosoftCustomerAgreement",
			"agreementLink": "https://agreements.example.com/", "attributes": map[string]any{"objectType": "Agreement"},
		})
	}
	return collection(c, items)
}

func collection(c call, items []any) reply {
	return asJSON(http.StatusOK, map[string]any{"totalCount": len(items), "items": items, "links": map[string]any{"self": link(strings.TrimPrefix(c.URL.RequestURI(), "/v1"))},
		"attributes": map[string]any{"objectType": "Collection"}})
}

func (s *Server) directSigned(c call) reply {
	return asJSON(http.StatusOK, map[string]any{"isSigned": s.customer(c.PathValue("customer")).Agreement == "customer",
		"attributes": map[string]any{"objectType": "DirectSignedCustomerAgreementStatus"}})
}

func (s *Server) postCart(c call) reply {
	bad := func(why string) reply {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input: " + why}
		return f.reply()
	}
	var body struct {
		Lines       []cartLine `json:"lineItems"`
		Attestation bool       `json:"partnerOnRecordAttestationAccepted"`
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	d.DisallowUnknownFields()
	switch err := d.Decode(&body); {
	case err != nil || !strings.HasPrefix(c.Header.Get("Content-Type"), "application/json"):
		return bad("cart")
	case len(body.Lines) != 1 || body.Lines[0].ID != "0":
		return bad("lineItems")
	case s.opt.AccountType == IndirectProvider && !body.Attestation:
		f := fault{http.StatusBadRequest, "900206", "PartnerOnRecordAttestationAccepted is required."}
		return f.reply()
	}
	made := &cart{id: newID(), customer: c.PathValue("customer"), created: s.now(), line: body.Lines[0]}
	made.refused = s.refusedLine(made)
	s.carts = append(s.carts, made)
	return asJSON(http.StatusCreated, s.cartResource(made))
}

// refusedLine is what is wrong with a line; the cart is made all the same.
func (s *Server) refusedLine(c *cart) *lineError {
	l := c.line
	parts := strings.Split(l.CatalogItem, ":")
	seats, err := l.Quantity.Int64()
	switch {
	case err != nil || seats < 1:
		return &lineError{10010, "The quantity is not valid."}
	case len(parts) != 3:
		return &lineError{10001, "The catalog item ID is not valid."}
	}
	p, known := s.product(c.customer, parts[0]+":"+parts[1])
	var plans []string
	for _, segment := range []string{commercial, education} {
		if at, sold := s.offered(p, segment); at == parts[2] {
			plans = sold
		}
	}
	switch {
	case !known || p.Withdrawn || len(plans) == 0 || len(s.listed(parts[0], parts[1])) == 0:
		return &lineError{10001, "The catalog item ID was not found."}
	case !slices.Contains(plans, l.Term+" "+l.BillingCycle):
		return &lineError{10010, "The term or billing cycle is not valid for this catalog item."}
	case int(seats) < p.MinSeats:
		return &lineError{10010, "The quantity is below the minimum."}
	case p.MaxSeats > 0 && int(seats) > p.MaxSeats:
		return &lineError{10015, "The quantity exceeds the maximum number of seats."}
	}
	for _, p := range l.Participants {
		if s.opt.AccountType != IndirectProvider || p.Key != "transaction_reseller" || !slices.ContainsFunc(s.resellers, func(r Reseller) bool { return r.MPNID == p.Value }) {
			return &lineError{10004, "Participants are not supported."}
		}
	}
	return nil
}

func (s *Server) cartResource(c *cart) map[string]any {
	quantity, _ := c.line.Quantity.Int64()
	line := map[string]any{"id": 0, "catalogItemId": c.line.CatalogItem, "quantity": quantity, "termDuration": c.line.Term, "billingCycle": c.line.BillingCycle,
		"friendlyName": c.line.FriendlyName, "currencyCode": s.opt.Currency, "orderGroup": "0"}
	if c.refused != nil {
		line["error"] = map[string]any{"errorCode": c.refused.code, "errorDescription": c.refused.description}
	} else {
		unit := s.unitPrice(c.line)
		price := map[string]any{}
		for _, name := range []string{"listPrice", "discountedPrice", "proratedPrice", "price"} {
			price[name] = json.Number(unit.String())
		}
		price["extendedPrice"] = json.Number(unit.Mul(decimal.NewFromInt(quantity)).String())
		line["pricing"] = price
	}
	status := "Active"
	if c.ordered {
		status = "Ordered"
	}
	return map[string]any{"id": c.id, "creationTimestamp": c.created.Format(time.RFC3339), "lastModifiedTimestamp": c.created.Format(time.RFC3339),
		"expirationTimestamp": c.created.Add(cartLife).Format(time.RFC3339), "lastModifiedUser": "", "status": status, "lineItems": []any{line},
		"links": map[string]any{"self": link("/customers/" + c.customer + "/carts/" + c.id)}, "attributes": map[string]any{"objectType": "Cart"}}
}

func (s *Server) unitPrice(l cartLine) decimal.Decimal {
	parts := strings.Split(l.CatalogItem, ":")
	for _, p := range s.listed(parts[0], parts[1]) {
		if p.commercial() && p.Term == l.Term && strings.EqualFold(p.BillingPlan, l.BillingCycle) {
			unit, _ := decimal.NewFromString(p.UnitPrice)
			return unit
		}
	}
	return decimal.Zero
}

func (s *Server) cartOf(c call) (*cart, *fault) {
	for _, known := range s.carts {
		if known.id == c.PathValue("cart") && strings.EqualFold(known.customer, c.PathValue("customer")) && s.now().Sub(known.created) < cartLife {
			return known, nil
		}
	}
	return nil, &fault{http.StatusNotFound, "800008", "Unable to retrieve cart ID"}
}

func (s *Server) getCart(c call) reply {
	found, f := s.cartOf(c)
	if f != nil {
		return f.reply()
	}
	return asJSON(http.StatusOK, s.cartResource(found))
}

// checkOut buys what is in a cart, once.
func (s *Server) checkOut(c call) reply {
	found, f := s.cartOf(c)
	switch {
	case f != nil:
	case len(c.body) > 0:
		f = &fault{http.StatusBadRequest, "800002", "Invalid request input: the body must be empty"}
	case found.ordered:
		f = &fault{http.StatusBadRequest, "800065", fmt.Sprintf("Cannot check out an already submitted cart %s.", found.id)}
	case found.refused != nil:
		f = &fault{http.StatusBadRequest, "800009", "Error in Cart item(s)"}
	default:
		if found.refused = s.refusedLine(found); found.refused != nil { // yesterday's availability
			f = &fault{http.StatusNotFound, "400019", "The availability was not found."}
		}
	}
	if f != nil {
		return f.reply()
	}
	found.ordered = true
	made := s.place(found, c)
	return asJSON(http.StatusCreated, map[string]any{"orders": []any{s.orderResource(made, true)}, "orderErrors": []any{}, "attributes": map[string]any{"objectType": "CartCheckoutResult"}})
}

// place makes the order and its subscription.
func (s *Server) place(c *cart, by call) *order {
	now, parts := s.now(), strings.Split(c.line.CatalogItem, ":")
	seats, _ := c.line.Quantity.Int64()
	k, _ := s.product(c.customer, parts[0]+":"+parts[1])
	title := k.Title
	made := &order{Order: Order{ID: strings.ReplaceAll(newID(), "-", "")[:12], Customer: c.customer, Subscription: newID(), CatalogItem: c.line.CatalogItem, FriendlyName: c.line.FriendlyName,
		Quantity: int(seats), Term: c.line.Term, BillingCycle: c.line.BillingCycle, Created: now}}
	for _, p := range c.line.Participants {
		made.PartnerID = p.Value
	}
	if late, on := s.misbehaving["late_orders"]; on {
		made.visible = now.Add(duration(late))
	}
	name := made.FriendlyName
	if name == "" {
		name = title
	}
	start := midnight(now)
	sub := Subscription{ID: made.Subscription, Customer: c.customer, OfferID: made.CatalogItem, OfferName: title, FriendlyName: name, ProductType: "OnlineServicesNCE", Quantity: made.Quantity,
		MinSeats: k.MinSeats, MaxSeats: k.MaxSeats, Created: now, TermStart: start, TermEnd: termEnd(start, made.Term), CancelUntil: now.Add(window), Status: "active", AutoRenew: true,
		Term: made.Term, BillingCycle: made.BillingCycle, Batches: []Batch{{made.Quantity, now.Add(window)}}, PartnerID: made.PartnerID, OrderID: made.ID, StatusAt: now}
	s.orders = append(s.orders, made)
	s.subscriptions = append(s.subscriptions, &subscription{Subscription: sub, visible: made.visible})
	who := actor{application: s.opt.ClientID, correlation: by.Header.Get("MS-CorrelationId")}
	if !by.grant.appOnly {
		who.user = "service@tasmancloud.example"
	}
	s.record(c.customer, who, "order", "create_order", "succeeded", nil, &sub)
	return made
}

// orderResource writes an order; its subscription's id is left out until that is provisioned.
func (s *Server) orderResource(o *order, fresh bool) map[string]any {
	line := map[string]any{"lineItemNumber": 0, "offerId": o.CatalogItem, "termDuration": o.Term, "transactionType": "New", "friendlyName": o.FriendlyName, "quantity": o.Quantity,
		"links": map[string]any{"product": link("/products/" + strings.Split(o.CatalogItem, ":")[0])}}
	if o.PartnerID != "" {
		line["partnerIdOnRecord"] = o.PartnerID
	}
	status := "pending"
	if !o.visible.After(s.now()) {
		status, line["subscriptionId"] = "completed", s.id(o.Subscription)
	}
	r := map[string]any{"id": o.ID, "alternateId": o.ID, "referenceCustomerId": o.Customer, "billingCycle": o.BillingCycle, "currencyCode": s.opt.Currency, "currencySymbol": "$",
		"lineItems": []any{line}, "creationDate": o.Created.UTC().Format("2006-01-02T15:04:05.0000000Z"), "status": status, "transactionType": "UserPurchase",
		"links": map[string]any{"self": link("/customers/" + o.Customer + "/orders/" + o.ID)}, "attributes": map[string]any{"objectType": "Order"}}
	if fresh {
		r["links"].(map[string]any)["provisioningStatus"] = link("/customers/" + o.Customer + "/orders/" + o.ID + "/provisioningstatus")
	}
	return r
}

func (s *Server) listOrders(c call) reply {
	items := []any{}
	for _, o := range s.orders {
		if strings.EqualFold(o.Customer, c.PathValue("customer")) && !o.visible.After(s.now()) {
			items = append(items, s.orderResource(o, false))
		}
	}
	return collection(c, items)
}

func (s *Server) getOrder(c call) reply {
	for _, o := range s.orders {
		if o.ID == c.PathValue("order") && strings.EqualFold(o.Customer, c.PathValue("customer")) {
			return asJSON(http.StatusOK, s.orderResource(o, false))
		}
	}
	f := fault{http.StatusNotFound, "1000", "Order was not found."}
	return f.reply()
}
