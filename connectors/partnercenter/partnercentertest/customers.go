package partnercentertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// filter is the service's filter grammar for lists: one field, one operator.
type filter struct {
	Field, Value, Operator string
}

func (s *Server) listCustomers(c call) reply {
	kept := s.customers
	if text := c.URL.Query().Get("filter"); text != "" {
		var f filter
		known := map[string]func(*Customer) string{
			"companyname":      func(c *Customer) string { return c.Name },
			"domain":           func(c *Customer) string { return c.Domain },
			"indirectreseller": func(c *Customer) string { return c.AssociatedPartner },
		}
		err := json.Unmarshal([]byte(text), &f)
		field, ok := known[strings.ToLower(f.Field)]
		if err != nil || !ok || !strings.EqualFold(f.Operator, "starts_with") || f.Value == "" {
			f := fault{http.StatusBadRequest, "2000", "The filter is not valid"}
			return f.reply()
		}
		if strings.EqualFold(f.Field, "IndirectReseller") && s.opt.AccountType != IndirectProvider {
			f := fault{http.StatusForbidden, "2032", "Access denied"}
			return f.reply()
		}
		kept = nil
		for _, customer := range s.customers {
			if strings.HasPrefix(strings.ToLower(field(customer)), strings.ToLower(f.Value)) {
				kept = append(kept, customer)
			}
		}
	}
	kept = slices.DeleteFunc(slices.Clone(kept), func(c *Customer) bool {
		c.Hidden--
		return c.Hidden >= 0
	})
	if s.misbehaving["empty_list"] == "customers" {
		kept = nil
	}
	items := make([]map[string]any, len(kept))
	for i, customer := range kept {
		items[i] = s.shortForm(customer)
	}
	return s.paged(c, "customers", items)
}

// shortForm is what lists hold: no address, no billing profile, no custom domains.
func (s *Server) shortForm(c *Customer) map[string]any {
	return map[string]any{
		"id": s.id(c.ID),
		"companyProfile": map[string]any{
			"tenantId":    s.id(c.ID),
			"domain":      c.Domain,
			"companyName": c.Name,
			"attributes":  map[string]any{"objectType": "CustomerCompanyProfile"},
		},
		"relationshipToPartner": c.Relationship,
		"attributes":            map[string]any{"objectType": "Customer"},
	}
}

func (s *Server) getCustomer(c call) reply {
	customer := s.customer(c.PathValue("customer"))
	body := s.shortForm(customer)
	address := map[string]any{"country": customer.Address.Country}
	optional := map[string]string{
		"region": customer.Address.Region, "city": customer.Address.City, "addressLine1": customer.Address.Line1,
		"addressLine2": customer.Address.Line2, "postalCode": customer.Address.PostalCode, "phoneNumber": customer.Address.Phone,
	}
	for name, value := range optional {
		if value != "" {
			address[name] = value
		}
	}
	company := body["companyProfile"].(map[string]any)
	company["address"] = address
	company["email"] = customer.Email
	if customer.Registration != "" {
		company["organizationRegistrationNumber"] = customer.Registration
	}
	body["billingProfile"] = customer.profile().wire(customer)
	body["allowDelegatedAccess"] = true
	body["customDomains"] = append([]string{customer.Domain}, customer.CustomDomains...)
	if customer.AssociatedPartner != "" {
		body["associatedPartnerId"] = customer.AssociatedPartner
	}
	return asJSON(http.StatusOK, body)
}

func (s *Server) listRelationships(c call) reply {
	kind := c.URL.Query().Get("relationship_type")
	if !slices.Contains([]string{"IsIndirectCloudSolutionProviderOf", "IsIndirectResellerOf"}, kind) {
		f := fault{http.StatusBadRequest, "2000", "relationship_type is missing or not valid"}
		return f.reply()
	}
	items := []map[string]any{}
	if kind == "IsIndirectCloudSolutionProviderOf" && s.opt.AccountType == IndirectProvider {
		for _, r := range s.resellers {
			items = append(items, map[string]any{
				"id": s.id(r.ID), "name": r.Name, "relationshipType": "is_indirect_cloud_solution_provider_of",
				"state": "Active", "mpnId": r.MPNID, "location": s.opt.Country,
			})
		}
	}
	return asJSON(http.StatusOK, map[string]any{
		"totalCount": len(items), "items": items, "attributes": map[string]any{"objectType": "Collection"},
	})
}

// id writes an id in the case of the moment: the service does not keep to one.
func (s *Server) id(id string) string {
	if _, on := s.misbehaving["guid_case"]; on {
		return strings.ToUpper(id)
	}
	return id
}
