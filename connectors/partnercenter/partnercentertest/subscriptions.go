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
	if f := next.patch(body, s.now()); f != nil {
		s.record(sub.Customer, by, "subscription", "update_subscription", "failed", &before, &before)
		return f.reply()
	}
	next.Updates++
	sub.Subscription = next
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
func (s *Subscription) patch(body patchBody, now time.Time) *fault {
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	switch {
	case body.ID != nil && !strings.EqualFold(*body.ID, s.ID):
		return bad("800002", "Invalid request input: id")
	case s.Status == "deleted":
		return bad("2011", fmt.Sprintf("Subscription with ID %s and deleted status cannot be updated.", s.ID))
	case s.Status == "expired":
		return bad("900277", "The subscription is being expired. No more updates are allowed.")
	case s.Status == "disabled":
		return bad("900279", "Updates are no longer allowed on this subscription.")
	case s.Updates >= maxUpdates:
		return bad("900311", "The subscription was updated too many times. Contact support.")
	}
	midTerm := false
	if body.Quantity != nil {
		seats, err := strconv.Atoi(body.Quantity.String())
		if err != nil {
			return bad("800002", "Invalid request input: quantity")
		}
		if seats != s.Quantity {
			if f := s.setQuantity(seats, now); f != nil {
				return f
			}
			midTerm = true
		}
	}
	if body.Status != nil && !strings.EqualFold(*body.Status, s.Status) {
		if f := s.setStatus(strings.ToLower(*body.Status), now); f != nil {
			return f
		}
		midTerm = true
	}
	if body.FriendlyName != nil {
		s.FriendlyName = *body.FriendlyName
	}
	if body.PartnerID != nil {
		s.PartnerID = *body.PartnerID
	}
	if body.BillingCycle != nil && !strings.EqualFold(*body.BillingCycle, s.BillingCycle) {
		return bad("800097", "Cannot update the billing cycle for this subscription") // not played here
	}
	renew := body.AutoRenew != nil && *body.AutoRenew
	switch {
	case renew && !s.AutoRenew && s.Status != "active":
		return bad("800093", "The subscription is not eligible to be auto-renewed")
	case s.Status != "active":
		renew = false
	case s.AutoRenew && !renew:
		midTerm = true
	}
	s.AutoRenew = renew
	if f := s.act(body.Actions, s.Status == "active" && !midTerm); f != nil {
		return f
	}
	return s.schedule(body.Next, renew && !midTerm && !s.cancels())
}

// act replaces the scheduled actions. What the service told of an extended term by itself comes back in the body and means nothing.
func (s *Subscription) act(actions []Action, allowed bool) *fault {
	s.Actions = nil
	if !allowed {
		return nil
	}
	for _, a := range actions {
		switch {
		case a.Schedule == "TermEnd" && (a.Type == "Cancel" || a.Type == "RenewToNewTerm"):
			s.Actions = append(s.Actions, a)
		case a.Schedule != "TermEnd" || a.Type != "RenewToExtendedServiceTerm":
			return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledActions"}
		}
	}
	if len(s.Actions) > 1 {
		return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledActions"}
	}
	return nil
}

// schedule replaces what happens at the renewal.
func (s *Subscription) schedule(next *instructions, allowed bool) *fault {
	s.Next = nil
	if next == nil || !allowed {
		return nil
	}
	seats, err := strconv.Atoi(next.Quantity.String())
	if err != nil || next.Product.ProductID == "" || next.Product.SkuID == "" || next.Product.AvailabilityID == "" {
		return &fault{http.StatusBadRequest, "800002", "Invalid request input: scheduledNextTermInstructions"}
	}
	if seats < s.MinSeats || s.MaxSeats > 0 && seats > s.MaxSeats {
		return &fault{http.StatusBadRequest, "2002", "Subscription quantity is not within minimum and maximum allowed quantity"}
	}
	s.Next = &NextTerm{
		ProductID: next.Product.ProductID, SkuID: next.Product.SkuID, AvailabilityID: next.Product.AvailabilityID,
		BillingCycle: next.Product.BillingCycle, Term: next.Product.TermDuration, PromotionID: next.Product.PromotionID,
		CustomTermEnd: next.CustomTermEndDate, Quantity: seats,
	}
	return nil
}

// setQuantity adds seats, which opens a window for them, or takes seats away out of open windows, the first to close first.
func (s *Subscription) setQuantity(seats int, now time.Time) *fault {
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	allowed, open := s.reducible(now)
	switch {
	case s.Status == "suspended":
		return bad("2001", "Subscription quantity cannot be increased or decreased while subscription is being suspended")
	case s.Status != "active":
		return bad("900279", "Updates are no longer allowed on this subscription.")
	case s.Trial:
		return bad("800095", "Cannot update the seat quantity for this subscription")
	case seats < s.MinSeats, s.MaxSeats > 0 && seats > s.MaxSeats:
		return bad("2002", "Subscription quantity is not within minimum and maximum allowed quantity")
	case seats < s.Quantity && allowed == 0:
		return bad("900257", "You have passed your 7-day window for reducing seats for this subscription.")
	case seats < s.Quantity && s.Quantity-seats > allowed:
		return bad("800090", "Subscription quantity cannot be decreased")
	}
	if seats > s.Quantity {
		s.Batches = append(open, Batch{seats - s.Quantity, now.Add(window)})
		s.Quantity = seats
		return nil
	}
	for gone := s.Quantity - seats; gone > 0; {
		take := min(gone, open[0].Quantity)
		gone -= take
		if open[0].Quantity -= take; open[0].Quantity == 0 {
			open = open[1:]
		}
	}
	s.Batches, s.Quantity = open, seats
	return nil
}

func (s *Subscription) setStatus(status string, now time.Time) *fault {
	bad := func(code, description string) *fault { return &fault{http.StatusBadRequest, code, description} }
	switch {
	case s.Trial:
		return bad("800096", "Cannot update the status for this subscription")
	case status == "deleted" && now.After(s.CancelUntil):
		return bad("900213", "You have passed your 168-hour cancellation window. We are unable to cancel your purchase.")
	case status != "deleted" && status != "suspended" && status != "active":
		return bad("800040", fmt.Sprintf("Asset status cannot be changed to %s from %s", status, s.Status))
	}
	s.become(status, now)
	if status == "suspended" {
		s.Reasons = []string{"Partner"}
	} else {
		s.Reasons = nil
	}
	return nil
}
