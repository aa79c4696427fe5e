package partnercentertest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// directory makes the ids under which a customer's directory counts seats. They have nothing in common with the ids of the catalogue.
var directory = uuid.MustParse("cbdc14ab-0000-4000-8000-000000000001")

// directoryID is the directory's SKU of an offer: the same for every availability, term and customer.
func directoryID(offer string) string {
	return uuid.NewSHA1(directory, []byte(strings.ToUpper(productOf(offer)))).String()
}

// productOf is ProductId:SkuId of an offer, or a legacy offer's own id.
func productOf(offer string) string {
	parts := strings.Split(offer, ":")
	return strings.Join(parts[:min(2, len(parts))], ":")
}

// Assign gives seats of a product (ProductId:SkuId) to a customer's users through the partner's pages, which leaves a trace in the activity
// log. Licenses that a customer gives out by itself leave none: EditCustomer.
func (s *Server) Assign(customer, product string, seats int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.customer(customer)
	if c == nil {
		return fmt.Errorf("assign seats: there is no customer %s", customer)
	}
	i := slices.IndexFunc(c.InUse, func(used InUse) bool { return used.Product == product })
	if i < 0 {
		c.InUse = append(c.InUse, InUse{Product: product})
		i = len(c.InUse) - 1
	}
	c.InUse[i].Assigned = seats
	s.record(c.ID, portal(), "license", "update_customer_user_licenses", "succeeded", nil, nil)
	return nil
}

// provisioningStatus says what of a subscription has reached the directory.
// https://learn.microsoft.com/partner-center/developer/get-subscription-provisioning-status
func (s *Server) provisioningStatus(c call) reply {
	sub, f := s.subscriptionOf(c)
	switch {
	case f != nil:
		return f.reply()
	case !strings.HasPrefix(sub.ProductType, "OnlineServices"):
		f := fault{http.StatusNotFound, "800007", "Unable to retrieve provisioning information"}
		return f.reply()
	}
	return asJSON(http.StatusOK, map[string]any{
		"skuId": s.id(directoryID(sub.OfferID)), "status": "success", "quantity": sub.Quantity, "endDate": sub.TermEnd.UTC().Format("2006-01-02T15:04:05Z"),
		"attributes": map[string]any{"objectType": "SubscriptionProvisioningStatus"},
	})
}

// subscribedSKUs is what the customer's directory holds: one row for each product, whoever sold it and in however many subscriptions.
// https://learn.microsoft.com/partner-center/developer/license-resources
func (s *Server) subscribedSKUs(c call) reply {
	customer := s.customer(c.PathValue("customer"))
	if customer.NoDirectory {
		f := fault{http.StatusForbidden, "900308", "Insufficient privileges to complete the operation."}
		return f.reply()
	}
	rows := []map[string]any{}
	products := []string{}
	for _, sub := range s.subscriptions {
		if strings.EqualFold(sub.Customer, customer.ID) && strings.HasPrefix(sub.ProductType, "OnlineServices") {
			products = append(products, productOf(sub.OfferID))
		}
	}
	for _, used := range customer.InUse {
		products = append(products, used.Product)
	}
	slices.Sort(products)
	for _, product := range slices.Compact(products) {
		count := map[string]int{}
		name := product
		for _, sub := range s.subscriptions {
			if !strings.EqualFold(sub.Customer, customer.ID) || productOf(sub.OfferID) != product {
				continue
			}
			count[sub.Status] += sub.Quantity
			name = sub.OfferName
		}
		consumed := 0
		for _, used := range customer.InUse {
			if used.Product == product {
				consumed += used.Assigned
				count["active"] += used.Elsewhere
			}
		}
		// An expired subscription still works for thirty days: its seats are there with a warning.
		total := count["active"] + count["expired"]
		capability := "Enabled"
		switch {
		case count["active"] > 0:
		case count["expired"] > 0:
			capability = "Warning"
		case count["suspended"] > 0 || count["disabled"] > 0:
			capability = "Suspended"
		default:
			continue
		}
		rows = append(rows, map[string]any{
			"availableUnits": total - consumed, "activeUnits": count["active"], "consumedUnits": consumed,
			"suspendedUnits": count["suspended"] + count["disabled"], "totalUnits": total, "warningUnits": count["expired"], "capabilityStatus": capability,
			"productSku": map[string]any{
				"id": s.id(directoryID(product)), "name": name, "skuPartNumber": strings.ToUpper(strings.ReplaceAll(name, " ", "_")),
				"targetType": "User", "licenseGroupId": "Group1",
			},
			"servicePlans": []any{},
			"attributes":   map[string]any{"objectType": "SubscribedSku"},
		})
	}
	return asJSON(http.StatusOK, map[string]any{
		"totalCount": len(rows), "items": rows,
		"links":      map[string]any{"self": link(strings.TrimPrefix(c.URL.RequestURI(), "/v1"))},
		"attributes": map[string]any{"objectType": "Collection"},
	})
}
