package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// Fields of an order beside quantity and friendlyName.
const (
	fieldSKU   = "sku"
	fieldTerm  = "termDuration"
	fieldCycle = "billingCycle"
)

// Values of the setting partner_attestation.
const (
	attestationMissing = "not_accepted"
	attestationGiven   = "accepted"
)

// customerAgreement is the agreement that a customer must have accepted before anything is bought for it.
const customerAgreement = "MicrosoftCustomerAgreement"

// An order shows in lists up to 15 minutes after it was placed; the call that places it takes a few more. Before that its absence says nothing.
const orderSettle = 25 * time.Minute

// order is what a create asks for.
type order struct {
	customer, product, sku, term, cycle, reference, key string
	quantity                                            string
}

func (o order) name() string {
	return fmt.Sprintf("%s seats of %s:%s, %s %s, for customer %s", o.quantity, o.product, o.sku, o.term, o.cycle, o.customer)
}

// is reports an item of the catalogue or of an order that is what was asked for.
func (o order) is(offer string) bool { return strings.EqualFold(skuOf(offer), o.product+":"+o.sku) }

// orderOf checks a request before anything is sent.
func (c *Connector) orderOf(op string, req connectors.CreateRequest) (order, error) {
	if req.Kind != kindSubscription {
		return order{}, unknownKind(op, req.Kind)
	}
	refuse := func(field, message, hint string) (order, error) {
		return order{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: "for customer " + req.Parent + " in " + c.account.Name, Field: field, Message: message, Hint: hint}
	}
	kind, _ := descriptor.Kind(kindSubscription)
	for _, name := range slices.Sorted(maps.Keys(req.Fields)) {
		field, known := kind.Field(name)
		switch {
		case !known || !field.Writable && !field.Create || name == "autoRenewEnabled":
			return refuse(name, "an order does not take it", "take it out of the create section of the mapping")
		case req.Fields[name].Type() != field.Type:
			return refuse(name, fmt.Sprintf("%q is not a value of type %s", req.Fields[name], field.Type), "correct the mapping")
		}
	}
	for _, field := range kind.Fields {
		if field.Required && req.Fields[field.Name].Blank() {
			return refuse(field.Name, "it must be given", "map a value to it")
		}
	}
	product, sku, split := strings.Cut(req.Fields[fieldSKU].String(), ":")
	q, _ := req.Fields["quantity"].Quantity()
	switch {
	case !split || product == "" || sku == "" || strings.Contains(sku, ":"):
		return refuse(fieldSKU, fmt.Sprintf("%q is not ProductId:SkuId", req.Fields[fieldSKU]), "correct the product key")
	case !q.Whole() || q.Sign() <= 0 || len(q.String()) > 9:
		return refuse("quantity", fmt.Sprintf("%s is not a whole number of seats above zero", q), "correct the quantity")
	case req.Parent == "":
		return refuse("", "it names no customer", "this is a fault of trueup; please report it")
	case c.account.Settings["account_type"] == indirectProvider && c.reseller == "":
		return refuse("", "an indirect provider orders for a reseller, and this account names none", "set reseller in this account")
	case c.account.Settings["account_type"] == indirectProvider && c.account.Settings["partner_attestation"] != attestationGiven:
		return refuse("", "Microsoft wants an attestation of the partner on record with each order", "set partner_attestation: accepted in this account, if you give it")
	}
	if _, err := model.NewTerm(req.Fields[fieldTerm].String(), req.Fields[fieldCycle].String()); err != nil {
		return refuse(fieldTerm, err.Error(), "correct the product key")
	}
	return order{customer: req.Parent, product: product, sku: sku, term: req.Fields[fieldTerm].String(), cycle: req.Fields[fieldCycle].String(),
		reference: req.Fields["friendlyName"].String(), key: req.Key, quantity: q.String()}, nil
}

// Create makes a customer, or orders a subscription.
func (c *Connector) Create(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	if req.Kind == kindCustomer {
		return c.createCustomer(ctx, req)
	}
	return c.placeOrder(ctx, req)
}

// CheckCreate asks what a create would meet. The request needs no key.
func (c *Connector) CheckCreate(ctx context.Context, req connectors.CreateRequest) error {
	if req.Kind == kindCustomer {
		return c.checkCustomer(ctx, req)
	}
	return c.checkOrder(ctx, req)
}

// placeOrder orders a subscription through a cart and returns it once it can be read. An order of the same nickname and product that is
// there already is returned instead.
func (c *Connector) placeOrder(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	o, err := c.orderOf("order", req)
	switch {
	case err != nil:
		return connectors.Record{}, err
	case o.key == "":
		return connectors.Record{}, c.orderFault(connectors.ClassInvalid, o, "", "it has no key to be recognised by when it is repeated", "this is a fault of trueup; please report it")
	}
	placed, found, err := c.placed(ctx, o)
	if err != nil {
		return connectors.Record{}, err
	}
	if !found {
		cart, err := c.fill(ctx, o)
		if err != nil {
			return connectors.Record{}, err
		}
		if placed, err = c.checkOut(ctx, o, cart); err != nil {
			return connectors.Record{}, err
		}
	}
	return c.bought(ctx, o, placed)
}

// Finds is true of subscriptions, which are ordered.
func (c *Connector) Finds(kind string) bool { return kind == kindSubscription }

// Find looks for an order whose reply was lost.
func (c *Connector) Find(ctx context.Context, req connectors.FindRequest) (connectors.Record, error) {
	o, err := c.orderOf("look for an order", req.CreateRequest)
	if err != nil {
		return connectors.Record{}, err
	}
	placed, found, err := c.placed(ctx, o)
	switch {
	case err != nil:
		return connectors.Record{}, err
	case found && placed.subscription == "":
		return connectors.Record{}, c.orderFault(connectors.ClassTransient, o, "", "order "+placed.id+" was placed and has no subscription yet", hintLater)
	case found:
		_, rec, err := c.subscription(ctx, connectors.Ref{Kind: kindSubscription, ID: placed.subscription, Parent: o.customer})
		if connectors.ClassOf(err) == connectors.ClassMissing {
			return rec, c.orderFault(connectors.ClassTransient, o, "", "subscription "+placed.subscription+" cannot be read yet", hintLater)
		}
		return rec, err
	}
	if until := req.Began.Add(orderSettle); c.account.Now().Before(until) {
		return connectors.Record{}, c.orderFault(connectors.ClassTransient, o, "", "no order shows, but one may until "+until.UTC().Format(time.RFC3339), hintLater)
	}
	return connectors.Record{}, c.orderFault(connectors.ClassMissing, o, "", "no order of this name was placed", "")
}

func (c *Connector) orderFault(class connectors.Class, o order, field, message, hint string) *connectors.Error {
	return &connectors.Error{Class: class, Op: "order", Record: o.name() + " in " + c.account.Name, Field: field, Message: message, Hint: hint}
}

// placedOrder is an order as far as it is known.
type placedOrder struct{ id, subscription string }

// placed looks for an order by its nickname, among the orders and the subscriptions of the customer. Either list may be ahead of the other.
func (c *Connector) placed(ctx context.Context, o order) (p placedOrder, found bool, err error) {
	doubt, err := c.pages(ctx, "list orders", "of customer "+o.customer, customerPath(o.customer)+"/orders", url.Values{}, 0, func(raw json.RawMessage) error {
		order, err := decodeObject(raw)
		if err != nil {
			return unreadable("order of customer "+o.customer, err)
		}
		if line, ok := o.line(order); ok && !found && !strings.EqualFold(order.text("status"), "cancelled") {
			p, found = placedOrder{order.text("id"), strings.ToLower(line.text("subscriptionId"))}, true
		}
		return nil
	})
	if err != nil || found && p.subscription != "" {
		return p, found, err
	}
	b := c.subscriptionsOf(ctx, o.customer)
	if b.err != nil || len(b.gaps) > 0 {
		return p, found, errors.Join(b.err, gapsError(o, b.gaps))
	}
	for _, rec := range b.records {
		if rec.Fields["friendlyName"].String() == o.reference && o.is(rec.Fields["offerId"].String()) {
			return placedOrder{rec.Fields["orderId"].String(), rec.ID}, true, nil
		}
	}
	if doubt != "" && !found {
		return p, found, gapsError(o, []connectors.Gap{{Class: connectors.ClassTransient, Reason: "the list of orders may be incomplete: " + doubt}})
	}
	return p, found, nil
}

func gapsError(o order, gaps []connectors.Gap) error {
	if len(gaps) == 0 {
		return nil
	}
	return &connectors.Error{Class: gaps[0].Class, Op: "order", Record: o.name(), Message: "whether it was placed before cannot be told: " + gaps[0].Reason, Hint: hintLater}
}

// line is the line of an order that is ours.
func (o order) line(placed object) (object, bool) {
	for _, line := range placed.objects("lineItems") {
		if line.text("friendlyName") == o.reference && o.is(line.text("offerId")) {
			return line, true
		}
	}
	return nil, false
}

// catalogItem is what a SKU is sold as to a customer.
// https://learn.microsoft.com/partner-center/developer/get-a-list-of-availabilities-for-a-sku
func (c *Connector) catalogItem(ctx context.Context, o order) (item string, err error) {
	path := fmt.Sprintf("%s/products/%s/skus/%s/availabilities", customerPath(o.customer), url.PathEscape(o.product), url.PathEscape(o.sku))
	var terms []string
	_, err = c.pages(ctx, "read availabilities", "of "+o.product+":"+o.sku+" for customer "+o.customer, path, url.Values{}, 0, func(raw json.RawMessage) error {
		a, err := decodeObject(raw)
		if err != nil {
			return unreadable("availability of "+o.product+":"+o.sku, err)
		}
		sold, _ := a.at("isPurchasable")
		if sold != true || !strings.EqualFold(a.text("segment"), "commercial") {
			return nil
		}
		for _, term := range a.objects("terms") {
			terms = append(terms, term.text("duration")+" "+strings.ToLower(term.text("billingCycle")))
			if item == "" && strings.EqualFold(term.text("duration"), o.term) && strings.EqualFold(term.text("billingCycle"), o.cycle) {
				item = a.text("catalogItemId")
			}
		}
		return nil
	})
	if err != nil || item != "" {
		return item, err
	}
	if len(terms) == 0 {
		return "", c.orderFault(connectors.ClassInvalid, o, fieldSKU, "it is not sold to this customer in the commercial segment", "offer another product")
	}
	slices.Sort(terms)
	return "", c.orderFault(connectors.ClassInvalid, o, fieldTerm, fmt.Sprintf("it is not sold as %s %s; sold as: %s", o.term, o.cycle, strings.Join(slices.Compact(terms), ", ")), "offer one of these")
}

// fill makes a cart with the one line. A cart costs nothing and is forgotten after 7 days, so it may be asked for again; one
// order always gets the same cart. https://learn.microsoft.com/partner-center/developer/create-a-cart
func (c *Connector) fill(ctx context.Context, o order) (cart string, err error) {
	item, err := c.catalogItem(ctx, o)
	if err != nil {
		return "", err
	}
	line := map[string]any{"id": 0, "catalogItemId": item, "quantity": json.Number(o.quantity), "termDuration": o.term, "billingCycle": o.cycle, "friendlyName": o.reference}
	body := map[string]any{"lineItems": []any{line}}
	if c.reseller != "" {
		line["participants"] = []any{map[string]string{"key": "transaction_reseller", "value": c.reseller}}
		body["partnerOnRecordAttestationAccepted"] = true
	}
	h := headers()
	h.Set("MS-RequestId", requestID(strings.Join([]string{o.key, "cart", item, o.quantity, o.term, o.cycle}, " ")))
	resp, err := c.api.Do(ctx, rest.Request{Method: http.MethodPost, Path: customerPath(o.customer) + "/carts", Header: h, Body: body, Repeat: true, Op: "make a cart", Record: "for " + o.name()})
	if err != nil {
		return "", err
	}
	answer, err := c.answered(resp, o, "make a cart")
	if err != nil {
		return "", err
	}
	// A cart is answered with success even when a line of it cannot be bought.
	lines := answer.objects("lineItems")
	for _, line := range lines {
		if v, refused := line.at("error"); refused && v != nil {
			return "", c.orderFault(connectors.ClassInvalid, o, "", cartRefusal(line), "correct the order, or place it in Partner Center")
		}
	}
	if len(lines) != 1 || lines[0].text("quantity") != o.quantity || !o.is(lines[0].text("catalogItemId")) || answer.text("id") == "" {
		return "", c.orderFault(connectors.ClassInvalid, o, "", "the service answered with a cart that holds something else", "nothing was ordered; "+hintSupport)
	}
	return answer.text("id"), nil
}

// answered reads the answer to a write that is a resource. A fault that comes with success is still one, and nothing more is known then.
func (c *Connector) answered(resp rest.Response, o order, op string) (object, error) {
	var raw json.RawMessage
	if err := resp.Decode(op, &raw); err != nil {
		return nil, unknownOrder(c, o, "the answer cannot be read: "+err.Error(), err)
	}
	answer, err := decodeObject(raw)
	if err != nil {
		return nil, unknownOrder(c, o, "the answer cannot be read: "+err.Error(), err)
	}
	return answer, nil
}

func unknownOrder(c *Connector, o order, message string, err error) error {
	e := c.orderFault(connectors.ClassUnknown, o, "", message, "it is looked for before anything is ordered again")
	e.Err = err
	return e
}

// cartCodes: https://learn.microsoft.com/partner-center/developer/cart-resources
var cartCodes = map[string]string{
	"10000": "the currency is not that of the customer's market", "10001": "the product is not in the catalogue any more", "10002": "the customer's quota is used up",
	"10003": "there is no stock", "10004": "this product takes no reseller on record", "10006": "the service cannot process the line", "10007": "the subscription it belongs to is not valid",
	"10008": "reserved instances are not enabled", "10009": "the sandbox allows no more", "10010": "the line is not complete or contradicts itself",
	"10011": "the subscription is not registered", "10012": "the product wants an attestation", "10015": "the product allows no more seats",
}

func cartRefusal(line object) string {
	code := line.text("error.errorCode")
	message := fmt.Sprintf("the cart was refused [code %s]", code)
	if known := cartCodes[code]; known != "" {
		message = fmt.Sprintf("the cart was refused: %s [code %s]", known, code)
	}
	if said := firstLine(line.text("error.errorDescription")); said != "" {
		message += fmt.Sprintf(" (Microsoft says %q)", said)
	}
	return message
}

// checkOut buys what is in a cart. A cart that was checked out before is an order that was placed.
// https://learn.microsoft.com/partner-center/developer/checkout-a-cart
func (c *Connector) checkOut(ctx context.Context, o order, cart string) (placedOrder, error) {
	h := headers()
	h.Set("MS-RequestId", requestID(o.key+" check out "+cart))
	h.Set("Content-Type", "application/json")
	path := customerPath(o.customer) + "/carts/" + url.PathEscape(cart) + "/checkout"
	resp, err := c.api.Do(ctx, rest.Request{Method: http.MethodPost, Path: path, Header: h, Repeat: true, Op: "check out", Record: "cart " + cart + " with " + o.name()})
	if e := (*connectors.Error)(nil); errors.As(err, &e) && (e.Code == cartSubmitted || e.Code == cartInProgress) {
		return placedOrder{}, nil // bought looks for it
	}
	if err != nil {
		return placedOrder{}, err
	}
	answer, err := c.answered(resp, o, "check out")
	if err != nil {
		return placedOrder{}, err
	}
	if refused := answer.objects("orderErrors"); len(refused) > 0 { // the order has one line
		e := faultOf(http.StatusBadRequest, refused[0].text("code"), refused[0].text("description"))
		if e.Class == "" || e.Class == connectors.ClassTransient {
			e.Class = connectors.ClassInvalid
		}
		e.Op, e.Record = "check out", "cart "+cart+" with "+o.name()
		return placedOrder{}, e
	}
	for _, made := range answer.objects("orders") {
		if line, ok := o.line(made); ok {
			return placedOrder{made.text("id"), strings.ToLower(line.text("subscriptionId"))}, nil
		}
	}
	return placedOrder{}, unknownOrder(c, o, "the checkout was accepted, but its answer names no such order", nil)
}

// bought waits until the order's subscription can be read. The order is placed by now: whatever goes wrong here, its outcome is unknown.
func (c *Connector) bought(ctx context.Context, o order, p placedOrder) (connectors.Record, error) {
	for waited, pause := time.Duration(0), time.Second; ; waited, pause = waited+pause, min(2*pause, maxLook) {
		rec, err := c.look(ctx, o, &p)
		switch {
		case err == nil && rec.ID != "":
			return rec, nil
		case err != nil && connectors.ClassOf(err) != connectors.ClassTransient && connectors.ClassOf(err) != connectors.ClassMissing:
			return connectors.Record{}, unknownOrder(c, o, "the order was placed, but could not be looked at afterwards: "+err.Error(), err)
		case waited >= settleTime:
			return connectors.Record{}, unknownOrder(c, o, fmt.Sprintf("the order was placed, but no subscription shows after %s", settleTime), err)
		}
		if err := c.wait(ctx, pause); err != nil {
			return connectors.Record{}, unknownOrder(c, o, "the order was placed, but waiting for its subscription was stopped", err)
		}
	}
}

// look asks for what is still missing of an order: its id, its subscription's id, the subscription itself. An empty record is none yet.
func (c *Connector) look(ctx context.Context, o order, p *placedOrder) (connectors.Record, error) {
	switch {
	case p.id == "":
		found, _, err := c.placed(ctx, o)
		if *p = found; err != nil || p.subscription == "" {
			return connectors.Record{}, err
		}
	case p.subscription == "":
		raw, err := c.get(ctx, "read", "order "+p.id+" of customer "+o.customer, customerPath(o.customer)+"/orders/"+url.PathEscape(p.id))
		if err != nil {
			return connectors.Record{}, err
		}
		made, err := decodeObject(raw)
		if err != nil {
			return connectors.Record{}, unreadable("order "+p.id, err)
		}
		if line, ok := o.line(made); ok {
			p.subscription = strings.ToLower(line.text("subscriptionId"))
		}
		if p.subscription == "" {
			return connectors.Record{}, nil
		}
	}
	_, rec, err := c.subscription(ctx, connectors.Ref{Kind: kindSubscription, ID: p.subscription, Parent: o.customer})
	return rec, err
}

// checkOrder asks what an order would meet: the customer's agreement and contact, and whether and how the product is sold to it.
func (c *Connector) checkOrder(ctx context.Context, req connectors.CreateRequest) error {
	o, err := c.orderOf("order", req)
	if err != nil {
		return err
	}
	for _, ask := range []func(context.Context, order) error{c.agreed, c.contact, c.countSold, c.sold} {
		if err := ask(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// inTheWay is what would be refused, under one of the codes that have a word.
func (c *Connector) inTheWay(o order, code, message, hint string) error {
	e := c.orderFault(connectors.ClassInvalid, o, "", message, hint)
	e.Code = code
	return e
}

// agreed looks for a confirmation that the customer accepted the customer agreement, by the partner or by the customer itself.
// https://learn.microsoft.com/partner-center/developer/get-confirmation-of-customer-agreement
func (c *Connector) agreed(ctx context.Context, o order) error {
	if c.appOnly {
		return c.orderFault(connectors.ClassAuth, o, "", "whether the customer accepted the Microsoft Customer Agreement can only be asked by a signed-in partner user", "set refresh_token in this account")
	}
	accepted := false
	_, err := c.pages(ctx, "read agreements", "of customer "+o.customer, customerPath(o.customer)+"/agreements", url.Values{"agreementType": {customerAgreement}}, 0, func(raw json.RawMessage) error {
		a, err := decodeObject(raw)
		if err != nil {
			return unreadable("agreement of customer "+o.customer, err)
		}
		accepted = accepted || strings.EqualFold(a.text("type"), customerAgreement) && a.text("dateAgreed") != ""
		return nil
	})
	if err != nil || accepted {
		return err
	}
	resp, err := c.api.Do(ctx, rest.Request{Path: customerPath(o.customer) + "/directSignedMicrosoftCustomerAgreementStatus", Header: headers(), Op: "read the agreement", Record: "that customer " + o.customer + " signed itself"})
	if err != nil {
		return err
	}
	var status struct {
		IsSigned bool `json:"isSigned"`
	}
	if err := resp.Decode("read the agreement", &status); err != nil || status.IsSigned {
		return err
	}
	return c.inTheWay(o, connectors.CodeAgreement, "the customer has not accepted the Microsoft Customer Agreement", "have it accepted in the Microsoft admin centre, or confirm the acceptance in Partner Center")
}

// contact looks whether the vendor has an address to write to. What is not delivered is not missing: reading it needs rights in the customer.
func (c *Connector) contact(ctx context.Context, o order) error {
	rec, err := c.Read(ctx, connectors.Ref{Kind: kindCustomer, ID: o.customer})
	if email := rec.Fields["billingProfile.email"]; err != nil || !email.Known() || strings.TrimSpace(email.String()) != "" {
		return err
	}
	return c.inTheWay(o, connectors.CodeContact, "the customer's billing profile has no e-mail address", "add one in Partner Center")
}

// countSold compares the quantity with what is sold at once. https://learn.microsoft.com/partner-center/developer/get-a-sku-by-id
func (c *Connector) countSold(ctx context.Context, o order) error {
	raw, err := c.get(ctx, "read", "SKU "+o.product+":"+o.sku, fmt.Sprintf("%s/products/%s/skus/%s", customerPath(o.customer), url.PathEscape(o.product), url.PathEscape(o.sku)))
	if connectors.ClassOf(err) == connectors.ClassMissing {
		return c.inTheWay(o, connectors.CodeUnavailable, o.product+":"+o.sku+" is not in the customer's catalogue", "offer another product")
	}
	if err != nil {
		return err
	}
	sku, err := decodeObject(raw)
	if err != nil {
		return unreadable("SKU "+o.product+":"+o.sku, err)
	}
	asked, _ := model.ParseQuantity(o.quantity) // it was one before
	for _, bound := range []struct {
		member, word string
		wrong        func(int) bool
	}{{"minimumQuantity", "smallest", func(order int) bool { return order < 0 }}, {"maximumQuantity", "largest", func(order int) bool { return order > 0 }}} {
		limit, err := model.ParseQuantity(sku.text(bound.member))
		if err == nil && limit.Sign() > 0 && bound.wrong(asked.Cmp(limit)) {
			return c.inTheWay(o, connectors.CodeQuantity, fmt.Sprintf("%s seats are asked for, and the %s number sold is %s", asked, bound.word, limit), "correct the quantity, or offer another product")
		}
	}
	return nil
}

// sold looks whether the product is sold to the customer in this term and billing cycle.
func (c *Connector) sold(ctx context.Context, o order) error {
	_, err := c.catalogItem(ctx, o)
	e := (*connectors.Error)(nil)
	switch {
	case connectors.ClassOf(err) == connectors.ClassMissing:
		return nil // the product is not there: countSold says so
	case errors.As(err, &e) && e.Class == connectors.ClassInvalid && e.Field != "":
		return c.inTheWay(o, connectors.CodeUnavailable, e.Message, e.Hint)
	}
	return err
}

// A cart that is or was checked out.
const (
	cartSubmitted  = "800065"
	cartInProgress = "800064"
)

const hintOrder = "correct the order, or place it in Partner Center"

// orderCodes are refusals of carts and orders. https://learn.microsoft.com/partner-center/developer/error-codes
var orderCodes = map[string]meaning{
	cartSubmitted: {connectors.ClassStale, "the cart was checked out before", "the order is looked for"},
	"800008":      {connectors.ClassMissing, "there is no such cart; carts are kept for 7 days", "a new cart is made with the next try"},
	"800009":      {connectors.ClassInvalid, "a line of the cart cannot be bought", hintOrder},
	"800010":      {connectors.ClassInvalid, "there is no stock of this product", "offer another product"},
	"800017":      {connectors.ClassInvalid, "the product is not sold in this quantity", "correct the quantity"},
	"800022":      {connectors.ClassInvalid, "this order is not allowed", hintSupport},
	"800024":      {connectors.ClassInvalid, "this order is not allowed", hintSupport},
	"800026":      {connectors.ClassInvalid, "this order is not allowed", hintSupport},
	"800062":      {connectors.ClassInvalid, "this order is not allowed", hintSupport},
	"800066":      {connectors.ClassInvalid, "the customer may not have more subscriptions of this product", "add seats to one it has"},
	"900142":      {connectors.ClassInvalid, "the order names no product", hintOrder},
	"900203":      {connectors.ClassInvalid, "the product wants an attestation of the customer", "place the order in Partner Center"},
	"900206":      {connectors.ClassInvalid, "Microsoft wants an attestation of the partner on record", "set partner_attestation: accepted in this account, if you give it"},
}
