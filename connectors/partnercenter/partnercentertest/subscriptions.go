package partnercentertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxUpdates = 1200 // changes in the life of a subscription

func (s *Server) listSubscriptions(c call) reply {
	query := c.URL.Query()
	items := []map[string]any{}
	for _, sub := range s.subscriptions {
		switch {
		case !strings.EqualFold(sub.Customer, c.PathValue("customer")), sub.visible.After(s.now()):
		case query.Has("mpn_id") && sub.PartnerID != query.Get("mpn_id"):
		case query.Has("order_id") && !strings.EqualFold(sub.OrderID, query.Get("order_id")):
		case s.misbehaving["empty_list"] == "subscriptions":
		default:
			items = append(items, s.resource(sub.read()))
		}
	}
	total := len(items)
	if _, on := s.misbehaving["lost_items"]; on && total > 0 {
		items = items[:total-1]
	}
	return asJSON(http.StatusOK, map[string]any{
		"totalCount": total, "items": items,
		"links":      map[string]any{"self": link(strings.TrimPrefix(c.URL.RequestURI(), "/v1"))},
		"attributes": map[string]any{"objectType": "Collection"},
	})
}

func (s *Server) getSubscription(c call) reply {
	sub, f := s.subscriptionOf(c)
	if f != nil {
		return f.reply()
	}
	return asJSON(http.StatusOK, s.resource(sub.read()))
}

func (s *Server) subscriptionOf(c call) (*subscription, *fault) {
	sub := s.find(c.PathValue("subscription"))
	if sub == nil || !strings.EqualFold(sub.Customer, c.PathValue("customer")) || sub.visible.After(s.now()) {
		return nil, &fault{http.StatusNotFound, "20003", fmt.Sprintf("Subscription with ID %s not found.", c.PathValue("subscription"))}
	}
	return sub, nil
}

// read is the state a reader gets: the old one while reads lag behind.
func (s *subscription) read() Subscription {
	if s.readsLeft > 0 {
		s.readsLeft--
		return *s.shown
	}
	s.shown = nil
	return s.Subscription
}

// resource writes a subscription as the service does: members without a value are left out, times come in several
// formats, and there is more in it than anybody asked for.
func (s *Server) resource(sub Subscription) map[string]any {
	now := s.now()
	r := map[string]any{
		"id": s.id(sub.ID), "offerId": sub.OfferID, "offerName": sub.OfferName, "friendlyName": sub.FriendlyName,
		"productType": map[string]any{"id": sub.ProductType, "displayName": sub.ProductType},
		"quantity":    sub.Quantity, "unitType": "Licenses", "hasPurchasableAddons": false,
		"creationDate":          sub.Created.UTC().Format("2006-01-02T15:04:05.0000000Z"),
		"effectiveStartDate":    sub.TermStart.UTC().Format(time.RFC3339),
		"commitmentEndDate":     sub.TermEnd.UTC().Format("2006-01-02T15:04:05"),
		"commitmentEndDateTime": sub.TermEnd.AddDate(0, 0, 1).Add(-time.Second).UTC().Format(time.RFC3339),
		"status":                sub.Status, "autoRenewEnabled": sub.AutoRenew, "isTrial": sub.Trial, "billingType": "license",
		"billingCycle": sub.BillingCycle, "termDuration": sub.Term, "renewalTermDuration": "", "isMicrosoftProduct": true,
		"partnerId": sub.PartnerID, "attentionNeeded": false, "actionTaken": false, "contractType": "subscription",
		"publisherName": "Microsoft Corporation", "orderId": sub.OrderID,
		"links": map[string]any{"self": link("/customers/" + sub.Customer + "/subscriptions/" + sub.ID)},
		// A member that no document lists: clients must bring it back untouched.
		"fulfilmentHint": map[string]any{"ring": 1, "weight": json.Number("0.10")},
		"attributes":     map[string]any{"objectType": "Subscription"},
	}
	if status, on := s.misbehaving["unknown_status"]; on {
		r["status"] = status
	}
	total, open := sub.reducible(now)
	details := []any{}
	for _, b := range open {
		details = append(details, map[string]any{"quantity": b.Quantity, "allowedUntilDateTime": b.Until.UTC().Format(time.RFC3339)})
	}
	r["refundableQuantity"] = map[string]any{"totalQuantity": total, "details": details}
	if sub.CancelUntil.After(now) {
		until := sub.CancelUntil.UTC().Format(time.RFC3339)
		r["cancellationAllowedUntilDate"] = until
		r["refundOptions"] = []any{map[string]any{"type": "Partial", "expiresAt": until}}
	}
	if sub.Parent != "" {
		r["parentSubscriptionId"] = s.id(sub.Parent)
	}
	if sub.PromotionID != "" {
		r["promotionId"] = sub.PromotionID
	}
	if len(sub.Reasons) > 0 {
		r["suspensionReasons"] = sub.Reasons
	}
	if sub.Next != nil {
		r["scheduledNextTermInstructions"] = sub.Next.wire()
	}
	actions := slices.Clone(sub.Actions)
	if s.opt.ExtendedTerms && sub.Status == "active" && !sub.AutoRenew && !sub.cancels() {
		actions = append(actions, Action{"TermEnd", "RenewToExtendedServiceTerm"})
	}
	if len(actions) > 0 {
		r["scheduledActions"] = actions
	}
	return r
}

func (n *NextTerm) wire() map[string]any {
	product := map[string]any{
		"productId": n.ProductID, "skuId": n.SkuID, "availabilityId": n.AvailabilityID, "billingCycle": n.BillingCycle, "termDuration": n.Term,
	}
	if n.PromotionID != "" {
		product["promotionId"] = n.PromotionID
	}
	w := map[string]any{"product": product, "quantity": n.Quantity}
	if n.CustomTermEnd != "" {
		w["customTermEndDate"] = n.CustomTermEnd
	}
	return w
}

// patchBody is what a change may name. Everything else in the body is taken and left alone.
type patchBody struct {
	ID           *string       `json:"id"`
	FriendlyName *string       `json:"friendlyName"`
	Quantity     *json.Number  `json:"quantity"`
	Status       *string       `json:"status"`
	AutoRenew    *bool         `json:"autoRenewEnabled"`
	PartnerID    *string       `json:"partnerId"`
	BillingCycle *string       `json:"billingCycle"`
	Next         *instructions `json:"scheduledNextTermInstructions"`
	Actions      []Action      `json:"scheduledActions"`
}

type instructions struct {
	Product struct {
		ProductID, SkuID, AvailabilityID, BillingCycle, TermDuration, PromotionID string
	}
	Quantity          json.Number
	CustomTermEndDate string
}

func (s *Server) patchSubscription(c call) reply {
	sub, f := s.subscriptionOf(c)
	if f != nil {
		return f.reply()
	}
	var body patchBody
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	if err := d.Decode(&body); err != nil || !strings.HasPrefix(c.Header.Get("Content-Type"), "application/json") {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input"}
		return f.reply()
	}
	before, next := sub.copy(), sub.copy()
	by := actor{application: s.opt.ClientID, correlation: c.Header.Get("MS-CorrelationId")}
	if !c.grant.appOnly {
		by.user = "service@tasmancloud.example"
	}
	if f := s.patch(&next, body); f != nil {
		s.record(sub.Customer, by, "subscription", "update_subscription", "failed", &before, &before)
		return f.reply()
	}
	next.Updates++
	sub.Subscription = next
	for _, other := range s.subscriptions {
		s.follow(&other.Subscription)
	}
	s.record(sub.Customer, by, "subscription", "update_subscription", "succeeded", &before, &sub.Subscription)
	if reads, on := s.misbehaving["stale_reads"]; on {
		sub.shown, sub.readsLeft = &before, count(reads)
	}
	if reads, on := s.misbehaving["async_patch"]; on {
		sub.shown, sub.readsLeft = &before, count(reads)
		return asJSON(http.StatusAccepted, s.resource(before)).with("Location", "/customers/"+sub.Customer+"/subscriptions/"+sub.ID)
	}
	return asJSON(http.StatusOK, s.resource(sub.Subscription))
}

// patch applies a body by the service's rules: members that the body leaves out keep their values, except auto-renewal
// and the scheduled changes, which are lost; and any change inside the term deletes the scheduled changes.
func (s *Server) patch(sub *Subscription, body patchBody) *fault {
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	switch {
	case body.ID != nil && !strings.EqualFold(*body.ID, sub.ID):
		return bad("800002", "Invalid request input: id")
	case sub.Status == "deleted":
		return bad("2011", fmt.Sprintf("Subscription with ID %s and deleted status cannot be updated.", sub.ID))
	case sub.Status == "expired":
		return bad("900277", "The subscription is being expired. No more updates are allowed.")
	case sub.Status == "disabled":
		return bad("900279", "Updates are no longer allowed on this subscription.")
	case sub.Updates >= maxUpdates:
		return bad("900311", "The subscription was updated too many times. Contact support.")
	}
	midTerm := false
	if body.Quantity != nil {
		seats, err := strconv.Atoi(body.Quantity.String())
		if err != nil {
			return bad("800002", "Invalid request input: quantity")
		}
		if seats != sub.Quantity {
			if f := s.setQuantity(sub, seats); f != nil {
				return f
			}
			midTerm = true
		}
	}
	if body.Status != nil && !strings.EqualFold(*body.Status, sub.Status) {
		if f := s.setStatus(sub, strings.ToLower(*body.Status)); f != nil {
			return f
		}
		midTerm = true
	}
	if body.FriendlyName != nil {
		sub.FriendlyName = *body.FriendlyName
	}
	if body.PartnerID != nil {
		sub.PartnerID = *body.PartnerID
	}
	if body.BillingCycle != nil && !strings.EqualFold(*body.BillingCycle, sub.BillingCycle) {
		return bad("800097", "Cannot update the billing cycle for this subscription") // not played here
	}
	renew := body.AutoRenew != nil && *body.AutoRenew
	switch {
	case renew && !sub.AutoRenew && sub.Status != "active":
		return bad("800093", "The subscription is not eligible to be auto-renewed")
	case sub.Status != "active":
		renew = false
	case sub.AutoRenew && !renew:
		midTerm = true
	}
	sub.AutoRenew = renew
	if f := sub.act(body.Actions, sub.Status == "active" && !midTerm); f != nil {
		return f
	}
	return s.schedule(sub, body.Next, renew && !midTerm && len(sub.Actions) == 0)
}

// act replaces the scheduled actions. What the service told of an extended term by itself comes back in the body and means nothing.
func (s *Subscription) act(actions []Action, allowed bool) *fault {
	s.Actions = nil
	if !allowed {
		return nil
	}
	for _, a := range actions {
		switch {
		case a.Schedule == "TermEnd" && a.Type == "RenewToExtendedServiceTerm" && !s.AutoRenew:
		case a.Schedule == "TermEnd" && (a.Type == "Cancel" || a.Type == "RenewToNewTerm" || a.Type == "RenewToExtendedServiceTerm"):
			s.Actions = append(s.Actions, a)
		default:
			return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledActions"}
		}
	}
	if len(s.Actions) > 1 {
		return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledActions"}
	}
	return nil
}

// schedule replaces what happens at the renewal. What stands already may come back as it was; anything new must be sold today.
func (s *Server) schedule(sub *Subscription, next *instructions, allowed bool) *fault {
	standing := sub.Next
	sub.Next = nil
	if next == nil || !allowed {
		return nil
	}
	seats, err := strconv.Atoi(next.Quantity.String())
	if err != nil || next.Product.ProductID == "" || next.Product.SkuID == "" || next.Product.AvailabilityID == "" {
		return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledNextTermInstructions"}
	}
	asked := &NextTerm{
		ProductID: next.Product.ProductID, SkuID: next.Product.SkuID, AvailabilityID: next.Product.AvailabilityID,
		BillingCycle: next.Product.BillingCycle, Term: next.Product.TermDuration, PromotionID: next.Product.PromotionID,
		CustomTermEnd: next.CustomTermEndDate, Quantity: seats,
	}
	if standing == nil || !standing.sameProduct(asked) {
		if f := s.sold(sub.Customer, asked); f != nil {
			return f
		}
	}
	if f := s.bounds(sub, asked); f != nil {
		return f
	}
	sub.Next = asked
	return nil
}

// setQuantity adds seats, which opens a window for them, or takes seats away out of open windows, the first to close first.
func (s *Server) setQuantity(sub *Subscription, seats int) *fault {
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	now := s.now()
	allowed, open := sub.reducible(now)
	base := s.find(sub.Parent)
	switch {
	case sub.Status == "suspended":
		return bad("2001", "Subscription quantity cannot be increased or decreased while subscription is being suspended")
	case sub.Status != "active":
		return bad("900279", "Updates are no longer allowed on this subscription.")
	case sub.Trial:
		return bad("800095", "Cannot update the seat quantity for this subscription")
	case seats < sub.MinSeats, sub.MaxSeats > 0 && seats > sub.MaxSeats:
		return bad("2002", "Subscription quantity is not within minimum and maximum allowed quantity")
	case base != nil && seats > sub.Quantity && seats > base.Quantity:
		return bad("900275", "The requested quantity of the add-on is outside the allowed range: its base has fewer seats.")
	case seats < sub.Quantity && s.addOnSeats(sub) > seats:
		return bad("900275", "The requested quantity is outside the allowed range: an add-on has more seats.")
	case seats < sub.Quantity && allowed == 0:
		return bad("900257", "You have passed your 7-day window for reducing seats for this subscription.")
	case seats < sub.Quantity && sub.Quantity-seats > allowed:
		return bad("800090", "Subscription quantity cannot be decreased")
	}
	if seats > sub.Quantity {
		sub.Batches = append(open, Batch{seats - sub.Quantity, now.Add(window)})
		sub.Quantity = seats
		return nil
	}
	for gone := sub.Quantity - seats; gone > 0; {
		take := min(gone, open[0].Quantity)
		gone -= take
		if open[0].Quantity -= take; open[0].Quantity == 0 {
			open = open[1:]
		}
	}
	sub.Batches, sub.Quantity = open, seats
	return nil
}

func (s *Server) setStatus(sub *Subscription, status string) *fault {
	now := s.now()
	base := s.find(sub.Parent)
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	switch {
	case sub.Trial:
		return bad("800096", "Cannot update the status for this subscription")
	case status == "deleted" && now.After(sub.CancelUntil):
		return bad("900213", "You have passed your 168-hour cancellation window. We are unable to cancel your purchase.")
	case base != nil && status == "active" && base.Status != "active":
		return &fault{http.StatusConflict, "27009", "Cannot enable a child subscription, when the parent subscription is not Active"}
	case status != "deleted" && status != "suspended" && status != "active":
		return bad("800040", fmt.Sprintf("Asset status cannot be changed to %s from %s", status, sub.Status))
	}
	sub.become(status, now)
	if status == "suspended" {
		sub.Reasons = []string{"Partner"}
	} else {
		sub.Reasons = nil
	}
	return nil
}
