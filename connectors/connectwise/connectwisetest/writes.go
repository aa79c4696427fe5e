package connectwisetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

const stamp = "2006-01-02T15:04:05Z"

// patch is one operation of a PATCH, decoded.
type patch struct {
	op, path string
	value    any
}

// decode reads JSON with exact numbers.
func decode(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return value, nil
}

func (s *Server) post(c *call, t *table, parent int) (answer, error) {
	value, err := decode(c.body)
	object, ok := value.(map[string]any)
	if err != nil || !ok {
		return answer{}, refuse(http.StatusBadRequest, "InvalidObject", "The body is not a JSON object.")
	}
	r := &row{parent: parent, values: map[string]any{}, custom: map[int]any{}, updatedBy: s.opts.Member}
	site, err := siteName(t, object)
	if err != nil {
		return answer{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if name == "customFields" {
			if err := s.setCustom(t, r, object[name]); err != nil {
				return answer{}, err
			}
			continue
		}
		f, known := t.field(name)
		switch {
		case !known:
			return answer{}, invalid(t.title, name, "UnknownField", "The "+name+" field does not exist.")
		case f.derived:
			return answer{}, invalid(t.title, name, "ReadOnlyField", "The "+name+" field is read only.")
		}
		if err := s.set(t, r, f, object[name]); err != nil {
			return answer{}, err
		}
	}
	for _, f := range t.fields {
		if value := r.values[f.name]; f.required && (value == nil || value == "") {
			return answer{}, invalid(t.title, f.name, "MissingRequiredField", "The "+f.name+" field is required.")
		}
	}
	s.fillDefaults(t, r)
	if err := s.consistent(t, r); err != nil {
		return answer{}, err
	}
	r.updated = s.opts.Now()
	r.entered = r.updated
	s.insert(t, r)
	switch t.name {
	case "addition":
		r.values["sequenceNumber"] = json.Number(fmt.Sprint(r.id))
	case "company":
		s.addSite(r, site)
	case "contact":
		s.makeDefault(r)
	}
	if t.name == "ticket" {
		s.opened(r)
	}
	s.record(t, r, "Created", t.title+" created", s.opts.Member, "API")
	return answer{status: http.StatusCreated, body: s.render(t, r)}, nil
}

// fillDefaults gives a new record what was left out.
func (s *Server) fillDefaults(t *table, r *row) {
	fill := func(name string, value any) {
		if r.values[name] == nil && value != nil {
			r.values[name] = value
		}
	}
	today := s.opts.Now().UTC().Format(time.DateOnly) + "T00:00:00Z"
	switch t.name {
	case "company":
		fill("status", s.tables["companyStatus"].ids()[0])
		fill("deletedFlag", false)
	case "contact":
		fill("inactiveFlag", false)
		fill("defaultFlag", false)
	case "agreement":
		typ := s.tables["agreementType"].rows[r.values["type"].(int)]
		fill("billingCycle", typ.values["billingCycle"])
		fill("prorateFlag", typ.values["prorateFlag"])
		fill("startDate", today)
		fill("noEndingDateFlag", false)
		fill("cancelledFlag", false)
	case "addition":
		fill("quantity", json.Number("1.0"))
		fill("lessIncluded", json.Number("0.0"))
		fill("effectiveDate", today)
		s.price(r, fill)
	case "opportunity":
		fill("status", s.tables["opportunityStatus"].ids()[0])
	case "productItem":
		product := s.tables["catalogItem"].rows[r.values["catalogItem"].(int)]
		fill("description", product.values["description"])
		fill("quantity", json.Number("1.0"))
		fill("price", product.values["price"])
		fill("cost", product.values["cost"])
		fill("billableOption", "Billable")
		fill("cancelledFlag", false)
	case "catalogItem":
		fill("productClass", "NonInventory")
		fill("category", s.tables["subcategory"].rows[r.values["subcategory"].(int)].values["category"])
		fill("price", json.Number("0.0"))
		fill("cost", json.Number("0.0"))
		fill("inactiveFlag", false)
		fill("taxableFlag", false)
	case "ticket":
		s.fillTicket(r, fill)
	case "ticketNote":
		for _, name := range noteKinds {
			fill(name, false)
		}
	}
}

// price gives a line what its product says.
func (s *Server) price(r *row, set func(string, any)) {
	product := s.tables["catalogItem"].rows[r.values["product"].(int)]
	set("unitPrice", product.values["price"])
	set("unitCost", product.values["cost"])
	set("taxableFlag", product.values["taxableFlag"])
	set("invoiceDescription", product.values["customerDescription"])
}

// consistent checks what concerns more than one field.
func (s *Server) consistent(t *table, r *row) error {
	if t.unique != "" {
		for _, other := range t.rows {
			if other != r && other.id != r.id && strings.EqualFold(fmt.Sprint(other.values[t.unique]), fmt.Sprint(r.values[t.unique])) {
				return invalid(t.title, t.unique, "ObjectExists", fmt.Sprintf("A %s with this %s already exists.", t.title, t.unique))
			}
		}
	}
	switch t.name {
	case "callback":
		address, _ := r.values["url"].(string)
		return reachable(address)
	case "agreement":
		contact := s.tables["contact"].rows[asID(r.values["contact"])]
		if contact != nil && contact.values["company"] != r.values["company"] {
			return invalid(t.title, "contact", "InvalidReference", "The contact does not belong to the company.")
		}
		if end, ok := r.values["endDate"].(string); ok && end < fmt.Sprint(r.values["startDate"]) {
			return invalid(t.title, "endDate", "InvalidDate", "The end date is before the start date.")
		}
		if r.values["endDate"] == nil && r.values["noEndingDateFlag"] != true {
			return invalid(t.title, "endDate", "MissingRequiredField", "The endDate field is required unless noEndingDateFlag is true.")
		}
	case "opportunity":
		contact := s.tables["contact"].rows[asID(r.values["contact"])]
		if contact != nil && contact.values["company"] != r.values["company"] {
			return invalid(t.title, "contact", "InvalidReference", "The contact does not belong to the company.")
		}
		s.close(r)
	case "addition":
		if s.tables["catalogItem"].rows[r.values["product"].(int)].values["productClass"] == "Bundle" {
			return invalid(t.title, "product", "InvalidProductClass", "A product of class Bundle cannot be added to an agreement.")
		}
		if end, ok := r.values["cancelledDate"].(string); ok && end < fmt.Sprint(r.values["effectiveDate"]) {
			return invalid(t.title, "cancelledDate", "InvalidDate", "The cancelled date is before the effective date.")
		}
		if q := decimalOf(r.values["quantity"]); q.IsNegative() {
			return invalid(t.title, "quantity", "InvalidQuantity", "The quantity must not be negative.")
		}
	case "ticket", "ticketNote":
		return s.consistentDesk(t, r)
	}
	return nil
}

// close stamps an opportunity whose status closes it, and opens one whose status does not.
func (s *Server) close(r *row) {
	status := s.tables["opportunityStatus"].rows[asID(r.values["status"])]
	switch closed := status != nil && status.values["closedFlag"] == true; {
	case closed && r.values["closedDate"] == nil:
		r.values["closedDate"] = s.opts.Now().UTC().Format(stamp)
		r.values["closedBy"] = s.tables["member"].ids()[0]
	case !closed:
		delete(r.values, "closedDate")
		delete(r.values, "closedBy")
	}
}

func (s *Server) patch(c *call, t *table, r *row) (answer, error) {
	value, err := decode(c.body)
	list, ok := value.([]any)
	if err != nil || !ok {
		return answer{}, refuse(http.StatusBadRequest, "InvalidObject", "The body of a PATCH is an array of operations.")
	}
	var ops []patch
	for _, item := range list {
		object, _ := item.(map[string]any)
		op, _ := object["op"].(string)
		path, _ := object["path"].(string)
		if !slices.Contains([]string{"add", "replace", "remove"}, op) || path == "" {
			return answer{}, refuse(http.StatusBadRequest, "InvalidObject", "An operation has op add, replace or remove and a path.")
		}
		p := patch{op, strings.TrimPrefix(path, "/"), object["value"]}
		if head, _, deep := strings.Cut(p.path, "/"); deep {
			f, known := t.field(head)
			if !known || f.kind != ref {
				return answer{}, invalid(t.title, p.path, "UnknownField", "The path "+p.path+" does not exist.")
			}
			if !s.opts.SubPaths {
				continue // answers 200 and changes nothing
			}
			_, tail, _ := strings.Cut(p.path, "/")
			p = patch{op, head, map[string]any{tail: p.value}}
		}
		ops = append(ops, p)
	}
	if _, lies := s.wrong["false_200"]; !lies || !s.happens("false_200") {
		if err := s.change(t, r, ops, s.opts.Member, "API"); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: s.render(t, r)}, nil
}

// change applies all operations or none.
func (s *Server) change(t *table, r *row, ops []patch, by, source string) error {
	next := &row{id: r.id, parent: r.parent, values: maps.Clone(r.values), custom: maps.Clone(r.custom)}
	// A swapped product sets the line's prices again; what the same PATCH says about them comes after.
	slices.SortStableFunc(ops, func(a, b patch) int { return rank(a.path) - rank(b.path) })
	var changes []string
	for _, op := range ops {
		if op.path == "customFields" {
			if err := s.setCustom(t, next, op.value); err != nil {
				return err
			}
			continue
		}
		if caption, ok := strings.CutPrefix(op.path, "custom."); ok && source != "API" {
			i := slices.IndexFunc(s.custom[t.name], func(f customField) bool { return f.caption == caption })
			if i < 0 {
				return invalid(t.title, op.path, "UnknownField", "There is no custom field "+caption+".")
			}
			next.custom[s.custom[t.name][i].id] = op.value
			continue
		}
		f, known := t.field(op.path)
		switch {
		case !known:
			return invalid(t.title, op.path, "UnknownField", "The path "+op.path+" does not exist.")
		case f.derived || f.unshown:
			return invalid(t.title, op.path, "ReadOnlyField", "The "+op.path+" field is read only.")
		}
		if op.op == "remove" {
			op.value = nil
		}
		if err := s.set(t, next, f, op.value); err != nil {
			return err
		}
		if t.name == "addition" && op.path == "product" && next.values["product"] != r.values["product"] && next.values["product"] != nil {
			s.price(next, func(name string, value any) { next.values[name] = value })
		}
		if f.required && (next.values[f.name] == nil || next.values[f.name] == "") {
			return invalid(t.title, f.name, "MissingRequiredField", "The "+f.name+" field is required.")
		}
	}
	if err := s.consistent(t, next); err != nil {
		return err
	}
	for _, f := range t.fields {
		if before, after := fmt.Sprint(r.values[f.name]), fmt.Sprint(next.values[f.name]); before != after {
			changes = append(changes, fmt.Sprintf("%s changed from %s to %s", f.name, before, after))
		}
	}
	r.values, r.custom = next.values, next.custom
	switch t.name {
	case "company":
		s.keepSite(r)
	case "contact":
		s.makeDefault(r)
	}
	r.updated, r.updatedBy = s.opts.Now().UTC().Truncate(time.Second), by
	s.record(t, r, "Updated", strings.Join(changes, "; "), by, source)
	return nil
}

func rank(path string) int {
	if path == "product" {
		return 0
	}
	return 1
}

// set checks one value and stores it; null stores nothing.
func (s *Server) set(t *table, r *row, f field, value any) error {
	if value == nil {
		delete(r.values, f.name)
		return nil
	}
	wrong := func(want string) error {
		return invalid(t.title, f.name, "InvalidType", "The "+f.name+" field must be "+want+".")
	}
	switch f.kind {
	case text:
		v, ok := value.(string)
		switch {
		case !ok:
			return wrong("a string")
		case f.max > 0 && utf8.RuneCountInString(v) > f.max:
			return invalid(t.title, f.name, "MaxLength", fmt.Sprintf("The %s field cannot exceed %d characters.", f.name, f.max))
		case f.allowed != nil && !slices.Contains(f.allowed, v):
			return wrong("one of " + strings.Join(f.allowed, ", "))
		}
		r.values[f.name] = v
	case number:
		v, ok := value.(json.Number)
		if !ok {
			return wrong("a number")
		}
		d, err := decimal.NewFromString(string(v))
		if err != nil {
			return wrong("a number")
		}
		places := int32(4)
		if digits := s.wrong["round_prices"]; digits != "" && strings.HasPrefix(f.name, "unit") {
			places = int32(digits[0] - '0')
		}
		r.values[f.name] = numberOf(d.Round(places))
	case integer:
		v, ok := value.(json.Number)
		if !ok || strings.ContainsAny(string(v), ".eE") {
			return wrong("an integer")
		}
		r.values[f.name] = v
	case flag:
		v, ok := value.(bool)
		if !ok {
			return wrong("true or false")
		}
		r.values[f.name] = v
	case date:
		v, ok := value.(string)
		if !ok {
			return wrong("a date like 2031-02-28T00:00:00Z")
		}
		if v == "" {
			delete(r.values, f.name)
			return nil
		}
		if _, err := time.Parse(stamp, v); err != nil {
			return wrong("a date like 2031-02-28T00:00:00Z")
		}
		r.values[f.name] = v
	case ref:
		id, err := s.resolve(t, f, value)
		if err != nil {
			return err
		}
		r.values[f.name] = id
	case refs:
		list, ok := value.([]any)
		if !ok {
			return wrong("an array of references")
		}
		ids := []any{}
		for _, item := range list {
			id, err := s.resolve(t, f, item)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		r.values[f.name] = ids
	case items:
		list, ok := value.([]any)
		if !ok {
			return wrong("an array")
		}
		kept, err := s.communication(t, f, list)
		if err != nil {
			return err
		}
		r.values[f.name] = kept
	}
	return nil
}

// resolve finds what a whole reference points to: by id, or by identifier where the target has one.
func (s *Server) resolve(t *table, f field, value any) (int, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return 0, invalid(t.title, f.name, "InvalidReference", "The "+f.name+" field must be an object with an id.")
	}
	target := s.tables[f.of]
	if n, ok := object["id"].(json.Number); ok {
		if id := asID(n); target.rows[id] != nil {
			return id, nil
		}
	} else if name, ok := object["identifier"].(string); ok {
		if slices.Contains(target.shown, "identifier") {
			if r := target.named("identifier", name); r != nil {
				return r.id, nil
			}
		}
	}
	return 0, invalid(t.title, f.name, "InvalidReference", "The "+f.name+" does not exist.")
}

// setCustom replaces all custom fields: one that is not in the array loses its value.
func (s *Server) setCustom(t *table, r *row, value any) error {
	list, ok := value.([]any)
	if !ok {
		return invalid(t.title, "customFields", "InvalidType", "The customFields field must be an array.")
	}
	next := map[int]any{}
	for _, item := range list {
		object, _ := item.(map[string]any)
		n, _ := object["id"].(json.Number)
		i := slices.IndexFunc(s.custom[t.name], func(f customField) bool { return f.id == asID(n) })
		if i < 0 {
			return invalid(t.title, "customFields", "InvalidReference", fmt.Sprintf("There is no custom field %v.", object["id"]))
		}
		v := object["value"]
		switch f := s.custom[t.name][i]; f.kind {
		case "Number":
			_, ok = v.(json.Number)
		case "Checkbox":
			_, ok = v.(bool)
		default:
			_, ok = v.(string)
		}
		if v == nil {
			continue
		}
		if !ok {
			return invalid(t.title, "customFields", "InvalidType", "The value of custom field "+s.custom[t.name][i].caption+" has the wrong type.")
		}
		next[asID(n)] = v
	}
	r.custom = next
	return nil
}

// remove deletes a row and what lives under it. A deleted company stays as a row that says so.
func (s *Server) remove(t *table, r *row, by, source string) {
	s.record(t, r, "Deleted", t.title+" deleted", by, source)
	if t.name == "company" {
		r.values["deletedFlag"] = true
		r.updated, r.updatedBy = s.opts.Now().UTC().Truncate(time.Second), by
		return
	}
	delete(t.rows, r.id)
	if t.name == "agreement" {
		lines := s.tables["addition"]
		for _, id := range lines.ids() {
			if lines.rows[id].parent == r.id {
				delete(lines.rows, id)
			}
		}
	}
}

// record writes the audit trail and moves the agreement's stamp.
func (s *Server) record(t *table, r *row, what, text, by, source string) {
	kinds := map[string]string{"company": "Company", "contact": "Contact", "agreement": "Agreement", "addition": "AgreementAddition", "catalogItem": "ProductCatalog",
		"opportunity": "Opportunity", "ticket": "Ticket", "ticketNote": "Ticket"}
	s.audit = append(s.audit, auditRow{kind: kinds[t.name], subKind: what, text: text, by: by, source: source, of: r.id, at: s.opts.Now().UTC()})
	if t.name == "ticketNote" {
		ticket := s.tables["ticket"].rows[r.parent]
		ticket.updated, ticket.updatedBy = r.updated.UTC().Truncate(time.Second), by
	}
	if _, stale := s.wrong["stale_agreement_stamp"]; t.name == "addition" && !stale {
		agreement := s.tables["agreement"].rows[r.parent]
		agreement.updated, agreement.updatedBy = r.updated.UTC().Truncate(time.Second), by
	}
	s.call(t, r, what, source)
	if t.name == "addition" && s.opts.AdditionCallbacks {
		s.call(s.tables["agreement"], s.tables["agreement"].rows[r.parent], "Updated", source)
	}
}
