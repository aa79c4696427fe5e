package partnercentertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// The activity log is kept for auditDays and answers for auditWindow days at a time.
const (
	auditDays   = 90
	auditWindow = 30
)

func (s *Server) listAudit(c call) reply {
	bad := func(why string) reply {
		f := fault{http.StatusBadRequest, "800002", "Invalid request input: " + why}
		return f.reply()
	}
	if _, on := s.misbehaving["no_audit"]; on {
		f := fault{http.StatusForbidden, "900308", "Insufficient privileges to complete the operation."}
		return f.reply()
	}
	query, today := c.URL.Query(), midnight(s.now())
	start, end := today.AddDate(0, 0, -auditWindow), today
	for name, day := range map[string]*time.Time{"startDate": &start, "endDate": &end} {
		if text := query.Get(name); text != "" {
			t, err := time.Parse(time.DateOnly, text)
			if err != nil {
				return bad(name + " is not yyyy-mm-dd")
			}
			*day = t
		}
	}
	switch {
	case start.Before(today.AddDate(0, 0, -auditDays)):
		return bad("startDate is older than 90 days")
	case end.Before(start):
		return bad("endDate is before startDate")
	case end.Sub(start) > auditWindow*24*time.Hour:
		return bad("the range is longer than 30 days")
	}
	matches := func(AuditRecord) bool { return true }
	if text := query.Get("filter"); text != "" {
		var f filter
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return bad("filter")
		}
		switch strings.ToLower(f.Field + " " + f.Operator) {
		case "companyname substring":
			matches = func(a AuditRecord) bool {
				return strings.Contains(strings.ToLower(a.CustomerName), strings.ToLower(f.Value))
			}
		case "customerid equals":
			matches = func(a AuditRecord) bool { return strings.EqualFold(a.Customer, f.Value) }
		case "resourcetype equals":
			matches = func(a AuditRecord) bool { return strings.EqualFold(a.ResourceType, f.Value) }
		default:
			return bad("filter field or operator")
		}
	}
	items := []map[string]any{}
	for i := len(s.audit) - 1; i >= 0; i-- { // newest first
		a := s.audit[i]
		if a.Date.Before(start) || !a.Date.Before(end.AddDate(0, 0, 1)) || !matches(a) {
			continue
		}
		items = append(items, map[string]any{
			"id": a.ID, "partnerId": s.opt.Tenant, "customerId": s.id(a.Customer), "customerName": a.CustomerName,
			"userPrincipalName": a.User, "applicationId": a.Application, "resourceType": a.ResourceType,
			"resourceOldValue": a.Old, "resourceNewValue": a.New, "operationType": a.Operation,
			"operationDate": a.Date.Format("2006-01-02T15:04:05.0000000Z"), "operationStatus": a.Status,
			"originalCorrelationId": a.CorrelationID, "customizedData": []any{},
			"attributes": map[string]any{"objectType": "AuditRecord"},
		})
	}
	return s.paged(c, "audit", items)
}
