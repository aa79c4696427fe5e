package connectwisetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

var (
	additionsPath = regexp.MustCompile(`^finance/agreements/(\d+)/additions(/.*)?$`)
	sitesPath     = regexp.MustCompile(`^company/companies/(\d+)/sites(/.*)?$`)
	listParams    = []string{"conditions", "childConditions", "customFieldConditions", "orderBy", "fields", "page", "pageSize", "pageId"}
)

// route finds the resource and the verb.
func (s *Server) route(c *call) (answer, error) {
	for name := range c.URL.Query() {
		if !slices.Contains(listParams, name) && c.path != "system/audittrail" {
			return answer{}, refuse(http.StatusBadRequest, "InvalidParameter", "Unknown query parameter "+name)
		}
	}
	if strings.HasPrefix(c.path, "system/") && s.wrong["forbid"] == "system" {
		return answer{}, forbidden()
	}
	switch c.path {
	case "system/info":
		if c.Method != http.MethodGet {
			return answer{}, notAllowed(c)
		}
		return answer{status: http.StatusOK, body: map[string]any{"version": strings.TrimSuffix(s.codebase, "/"), "isCloud": true, "serverTimeZone": s.opts.TimeZone, "cloudRegion": "EU", "licenseBits": []any{}}}, nil
	case "system/audittrail":
		return s.auditTrail(c)
	}
	if parts := additionsPath.FindStringSubmatch(c.path); parts != nil {
		if s.wrong["forbid"] == "additions" {
			return answer{}, forbidden()
		}
		agreement := s.tables["agreement"].rows[asID(json.Number(parts[1]))]
		if s.wrong["refuse_agreement"] == parts[1] {
			return answer{}, forbidden()
		}
		if agreement == nil {
			return answer{}, refuse(http.StatusNotFound, "NotFound", "Agreement "+parts[1]+" not found")
		}
		return s.resource(c, s.tables["addition"], agreement.id, strings.TrimPrefix(parts[2], "/"))
	}
	if parts := deskPath.FindStringSubmatch(c.path); parts != nil {
		above, under := s.tables[deskParents[parts[1]]], s.tables[deskChildren[parts[3]]]
		if s.wrong["forbid"] == above.module {
			return answer{}, forbidden()
		}
		parent := above.rows[asID(json.Number(parts[2]))]
		if parent == nil {
			return answer{}, refuse(http.StatusNotFound, "NotFound", above.title+" "+parts[2]+" not found")
		}
		return s.resource(c, under, parent.id, strings.TrimPrefix(parts[4], "/"))
	}
	if parts := sitesPath.FindStringSubmatch(c.path); parts != nil {
		company := s.tables["company"].rows[asID(json.Number(parts[1]))]
		if company == nil {
			return answer{}, refuse(http.StatusNotFound, "NotFound", "Company "+parts[1]+" not found")
		}
		return s.resource(c, s.tables["site"], company.id, strings.TrimPrefix(parts[2], "/"))
	}
	var best *table
	for _, t := range s.tables {
		if t.path != "" && (c.path == t.path || strings.HasPrefix(c.path, t.path+"/")) && (best == nil || len(t.path) > len(best.path)) {
			best = t
		}
	}
	if best == nil {
		return answer{}, refuse(http.StatusNotFound, "NotFound", "The resource does not exist.")
	}
	if s.wrong["forbid"] == best.module {
		return answer{}, forbidden()
	}
	return s.resource(c, best, 0, strings.TrimPrefix(strings.TrimPrefix(c.path, best.path), "/"))
}

func forbidden() error {
	return refuse(http.StatusForbidden, "Forbidden", "You do not have security permission to perform this action.")
}

func notAllowed(c *call) error {
	return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The requested resource does not support http method '"+c.Method+"'.")
}

func (s *Server) resource(c *call, t *table, parent int, rest string) (answer, error) {
	switch {
	case rest == "" && c.Method == http.MethodGet:
		return s.list(c, t, parent, false)
	case rest == "" && c.Method == http.MethodPost && t.writes:
		return s.post(c, t, parent)
	case rest == "count" && c.Method == http.MethodGet:
		return s.list(c, t, parent, true)
	case rest == "" || rest == "count":
		return answer{}, notAllowed(c)
	}
	r := t.rows[asID(json.Number(rest))]
	if r == nil || r.parent != parent {
		return answer{}, refuse(http.StatusNotFound, "NotFound", t.title+" "+rest+" not found")
	}
	switch {
	case c.Method == http.MethodGet:
		return answer{status: http.StatusOK, body: s.render(t, r)}, nil
	case c.Method == http.MethodPatch && t.writes:
		return s.patch(c, t, r)
	case c.Method == http.MethodDelete && t.writes:
		s.remove(t, r, s.opts.Member, "API")
		return answer{status: http.StatusNoContent}, nil
	}
	return answer{}, notAllowed(c) // PUT too: nobody should wipe the fields he did not name
}

// list answers a listing or its count.
func (s *Server) list(c *call, t *table, parent int, count bool) (answer, error) {
	query := c.URL.Query()
	keep, err := s.filter(t, query)
	if err != nil {
		return answer{}, err
	}
	var found []map[string]any
	for _, id := range t.ids() {
		if t.rows[id].parent != parent {
			continue
		}
		shown := s.render(t, t.rows[id])
		ok, err := keep(shown)
		if err != nil {
			return answer{}, err
		}
		if ok {
			found = append(found, shown)
		}
	}
	how, empty := s.wrong["empty_list"]
	if count {
		if empty && how == "count" {
			found = nil
		}
		return answer{status: http.StatusOK, body: map[string]any{"count": len(found)}}, nil
	}
	if empty {
		return answer{status: http.StatusOK, body: []any{}}, nil
	}
	return s.page(c, t, query, found)
}

// page cuts the asked page out of the found rows.
func (s *Server) page(c *call, t *table, query url.Values, found []map[string]any) (answer, error) {
	size, err := whole(query, "pageSize", 25)
	if err != nil {
		return answer{}, err
	}
	size = min(max(size, 1), s.opts.PageSize)
	forward := c.Header.Get("pagination-type") == "forward-only" && !s.opts.NoForwardOnly
	if order := query.Get("orderBy"); order != "" {
		if forward {
			return answer{}, refuse(http.StatusBadRequest, "InvalidParameter", "orderBy is not allowed with forward-only pagination.")
		}
		if err := sortRows(t, order, found); err != nil {
			return answer{}, err
		}
	}
	start, next := 0, url.Values{}
	page, err := whole(query, "page", 1)
	if err != nil {
		return answer{}, err
	}
	if forward {
		after, err := whole(query, "pageId", 0)
		if err != nil {
			return answer{}, err
		}
		for start < len(found) && asID(found[start]["id"]) <= after {
			start++
		}
	} else {
		start = min((max(page, 1)-1)*size, len(found))
	}
	capped := s.wrong["cap_pages"]
	if capped != "" {
		size = min(size, asID(json.Number(capped)))
	}
	rows := found[start:min(start+size, len(found))]
	more := start+len(rows) < len(found)
	if _, drops := s.wrong["drop_last_page"]; drops {
		if !more {
			rows = nil
		} else if start+2*size >= len(found) {
			more = false
		}
	}
	a := answer{status: http.StatusOK, header: http.Header{}}
	if more && capped == "" {
		for name, values := range query {
			next[name] = values
		}
		if forward {
			next.Set("pageId", fmt.Sprint(rows[len(rows)-1]["id"]))
		} else {
			next.Set("page", strconv.Itoa(page+1))
		}
		// Another host, as behind a load balancer: only the query is of use to a client.
		a.header.Set("Link", "<https://internal-node.example.com"+c.URL.Path+"?"+next.Encode()+`>; rel="next"`)
	}
	body := make([]any, 0, len(rows))
	for _, shown := range rows {
		narrow, err := project(t, query.Get("fields"), shown)
		if err != nil {
			return answer{}, err
		}
		body = append(body, narrow)
	}
	a.body = body
	return a, nil
}

func whole(query url.Values, name string, otherwise int) (int, error) {
	if !query.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(query.Get(name))
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, "InvalidParameter", "The "+name+" parameter is not a whole number.")
	}
	return n, nil
}

func sortRows(t *table, order string, found []map[string]any) error {
	name, direction, _ := strings.Cut(strings.TrimSpace(order), " ")
	k, ok := t.typeOf(name)
	if direction = strings.ToLower(strings.TrimSpace(direction)); !ok || direction != "" && direction != "asc" && direction != "desc" {
		return refuse(http.StatusBadRequest, "ApiFindCondition", "orderBy: "+order+" is not a field and a direction.")
	}
	slices.SortStableFunc(found, func(a, b map[string]any) int {
		n := compare(k, lookup(a, name), lookup(b, name))
		if direction == "desc" {
			return -n
		}
		return n
	})
	return nil
}

// project keeps the asked members; _info stays only when it is asked for.
func project(t *table, fields string, shown map[string]any) (map[string]any, error) {
	if fields == "" {
		return shown, nil
	}
	narrow := map[string]any{}
	for name := range strings.SplitSeq(fields, ",") {
		name, _, _ = strings.Cut(strings.TrimSpace(name), "/")
		if _, known := t.field(name); !known && name != "id" && name != "_info" && name != "customFields" {
			return nil, refuse(http.StatusBadRequest, "InvalidField", "Unknown field "+name)
		}
		if value, ok := shown[name]; ok {
			narrow[name] = value
		}
	}
	return narrow, nil
}

// render is a row as the API shows it.
func (s *Server) render(t *table, r *row) map[string]any {
	shown := map[string]any{"id": r.id}
	for _, f := range t.fields {
		value, has := r.values[f.name]
		switch {
		case f.unshown:
		case !has || value == nil:
			if f.kind == date {
				switch s.wrong["empty_dates"] {
				case "null":
					shown[f.name] = nil
				case "text":
					shown[f.name] = ""
				}
			}
		case f.kind == ref:
			shown[f.name] = s.reference(f.of, asID(value))
		case f.kind == refs:
			list := []any{}
			for _, id := range value.([]any) {
				list = append(list, s.reference(f.of, asID(id)))
			}
			shown[f.name] = list
		default:
			shown[f.name] = value
		}
	}
	switch t.name {
	case "agreement":
		shown["agreementStatus"] = s.agreementStatus(r)
	case "addition":
		s.derive(r, shown)
	case "productItem":
		shown["productClass"] = s.tables["catalogItem"].rows[asID(r.values["catalogItem"])].values["productClass"]
	case "ticket":
		shown["closedFlag"] = s.closes(r)
	case "ticketNote":
		shown["ticketId"], shown["dateCreated"], shown["createdBy"] = r.parent, r.entered.Format(stamp), r.enterer
	}
	if t.writes && !slices.Contains([]string{"contact", "callback", "ticketNote"}, t.name) {
		custom := []any{}
		for _, f := range s.custom[t.name] {
			value := map[string]any{"id": f.id, "caption": f.caption, "type": f.kind, "entryMethod": "EntryField", "numberOfDecimals": 0}
			if v, ok := r.custom[f.id]; ok {
				value["value"] = v
			}
			custom = append(custom, value)
		}
		shown["customFields"] = custom
	}
	shown["_info"] = map[string]any{"lastUpdated": r.updated.Format(stamp), "updatedBy": r.updatedBy, "dateEntered": r.entered.Format(stamp), "enteredBy": r.enterer}
	return shown
}

// reference shows what a reference points to.
func (s *Server) reference(kind string, id int) map[string]any {
	shown := map[string]any{"id": id}
	t := s.tables[kind]
	target := t.rows[id]
	if target == nil {
		return shown
	}
	for _, name := range t.shown {
		if value, ok := target.values[name]; ok {
			shown[name] = value
		}
	}
	if kind == "contact" {
		last, _ := target.values["lastName"].(string)
		shown["name"] = strings.TrimSpace(fmt.Sprint(target.values["firstName"]) + " " + last)
	}
	return shown
}

func (s *Server) agreementStatus(r *row) string {
	today := s.opts.Now().UTC().Format("2006-01-02") + "T00:00:00Z"
	start, _ := r.values["startDate"].(string)
	end, _ := r.values["endDate"].(string)
	switch {
	case r.values["cancelledFlag"] == true:
		return "Cancelled"
	case end != "" && end < today:
		return "Expired"
	case start > today:
		return "Inactive"
	}
	return "Active"
}

// derive computes the members of an addition that nobody may write.
func (s *Server) derive(r *row, shown map[string]any) {
	product := s.tables["catalogItem"].rows[asID(r.values["product"])]
	billed := decimal.Max(decimalOf(r.values["quantity"]).Sub(decimalOf(r.values["lessIncluded"])), decimal.Zero)
	price, cost := billed.Mul(decimalOf(r.values["unitPrice"])), billed.Mul(decimalOf(r.values["unitCost"]))
	shown["agreementId"], shown["uom"] = r.parent, "Each"
	shown["billedQuantity"] = numberOf(billed)
	shown["extPrice"], shown["extCost"], shown["margin"] = numberOf(price), numberOf(cost), numberOf(price.Sub(cost))
	shown["agreementStatus"] = s.agreementStatus(s.tables["agreement"].rows[r.parent])
	if product != nil {
		shown["description"] = product.values["description"]
	}
}

// auditTrail pages by number only, whatever the header asks.
func (s *Server) auditTrail(c *call) (answer, error) {
	query := c.URL.Query()
	size, err := whole(query, "pageSize", 25)
	if err != nil {
		return answer{}, err
	}
	page, err := whole(query, "page", 1)
	if err != nil {
		return answer{}, err
	}
	rows := []any{}
	for _, a := range s.audit {
		if a.kind == query.Get("type") && (!query.Has("id") || query.Get("id") == strconv.Itoa(a.of)) {
			rows = append(rows, map[string]any{"text": a.text, "enteredDate": a.at.Format(stamp), "enteredBy": a.by, "auditType": a.kind, "auditSubType": a.subKind, "auditSource": a.source})
		}
	}
	start := min((max(page, 1)-1)*size, len(rows))
	return answer{status: http.StatusOK, body: rows[start:min(start+size, len(rows))]}, nil
}

// asID reads an id however it is held; 0 when it is none.
func asID(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case json.Number:
		n, err := strconv.Atoi(string(v))
		if err == nil {
			return n
		}
	}
	return 0
}

func decimalOf(v any) decimal.Decimal {
	n, _ := v.(json.Number)
	d, err := decimal.NewFromString(string(n))
	if err != nil {
		return decimal.Zero
	}
	return d
}
