package connectwisetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// Company is a customer. Empty members are left to the server's defaults. Status, types, country and currency are given by
// name (country "United Kingdom", currency "GBP").
type Company struct {
	ID             int               `json:"id,omitempty"`
	Identifier     string            `json:"identifier"`
	Name           string            `json:"name"`
	Status         string            `json:"status,omitempty"`
	Types          []string          `json:"types,omitempty"`
	AddressLine1   string            `json:"addressLine1,omitempty"`
	AddressLine2   string            `json:"addressLine2,omitempty"`
	City           string            `json:"city,omitempty"`
	State          string            `json:"state,omitempty"`
	Zip            string            `json:"zip,omitempty"`
	Country        string            `json:"country,omitempty"`
	PhoneNumber    string            `json:"phoneNumber,omitempty"`
	Website        string            `json:"website,omitempty"`
	TaxIdentifier  string            `json:"taxIdentifier,omitempty"`
	Currency       string            `json:"currency,omitempty"`
	DefaultContact int               `json:"defaultContact,omitempty"`
	Deleted        bool              `json:"deleted,omitempty"`
	Custom         map[string]string `json:"custom,omitempty"` // by caption
	LastUpdated    time.Time         `json:"lastUpdated,omitzero"`
	UpdatedBy      string            `json:"updatedBy,omitempty"`
}

// Contact is a person at a company.
type Contact struct {
	ID          int       `json:"id,omitempty"`
	Company     int       `json:"company"`
	FirstName   string    `json:"firstName"`
	LastName    string    `json:"lastName,omitempty"`
	Email       string    `json:"email,omitempty"`
	Phone       string    `json:"phone,omitempty"`
	Default     bool      `json:"default,omitempty"`
	Inactive    bool      `json:"inactive,omitempty"`
	LastUpdated time.Time `json:"lastUpdated,omitzero"`
	UpdatedBy   string    `json:"updatedBy,omitempty"`
}

// CatalogItem is a product. Subcategory and type default to "Cloud" and "Service", the class to "Agreement".
type CatalogItem struct {
	ID                  int               `json:"id,omitempty"`
	Identifier          string            `json:"identifier"`
	Description         string            `json:"description,omitempty"` // the identifier when empty
	CustomerDescription string            `json:"customerDescription,omitempty"`
	Class               string            `json:"class,omitempty"`
	Price               json.Number       `json:"price,omitempty"`
	Cost                json.Number       `json:"cost,omitempty"`
	VendorSKU           string            `json:"vendorSku,omitempty"`
	PartNumber          string            `json:"manufacturerPartNumber,omitempty"`
	Inactive            bool              `json:"inactive,omitempty"`
	Custom              map[string]string `json:"custom,omitempty"`
	LastUpdated         time.Time         `json:"lastUpdated,omitzero"`
	UpdatedBy           string            `json:"updatedBy,omitempty"`
}

// AgreementType is a kind of agreement; the billing cycle is "Monthly" when empty.
type AgreementType struct {
	ID           int    `json:"id,omitempty"`
	Name         string `json:"name"`
	BillingCycle string `json:"billingCycle,omitempty"`
	Prorate      bool   `json:"prorate,omitempty"`
	Default      bool   `json:"default,omitempty"`
}

// Agreement is a contract. Type is a name; days are 2031-02-28. An agreement without an end has no ending date.
type Agreement struct {
	ID          int               `json:"id,omitempty"`
	Name        string            `json:"name"`
	Company     int               `json:"company"`
	Contact     int               `json:"contact,omitempty"`
	Type        string            `json:"type,omitempty"` // the first type when empty
	Start       string            `json:"start,omitempty"`
	End         string            `json:"end,omitempty"`
	Parent      int               `json:"parent,omitempty"`
	Cancelled   bool              `json:"cancelled,omitempty"`
	Currency    string            `json:"currency,omitempty"`
	NextInvoice string            `json:"nextInvoice,omitempty"`
	Custom      map[string]string `json:"custom,omitempty"`
	LastUpdated time.Time         `json:"lastUpdated,omitzero"`
	UpdatedBy   string            `json:"updatedBy,omitempty"`
}

// Addition is a line of an agreement. Price and cost are the product's when empty; it bills from Effective, or since the
// agreement's start; Cancelled is its last billed day.
type Addition struct {
	ID                 int               `json:"id,omitempty"`
	Agreement          int               `json:"agreement"`
	Product            int               `json:"product"`
	Quantity           json.Number       `json:"quantity,omitempty"`
	LessIncluded       json.Number       `json:"lessIncluded,omitempty"`
	UnitPrice          json.Number       `json:"unitPrice,omitempty"`
	UnitCost           json.Number       `json:"unitCost,omitempty"`
	BillCustomer       string            `json:"billCustomer,omitempty"` // Billable when empty
	Effective          string            `json:"effective,omitempty"`
	Cancelled          string            `json:"cancelled,omitempty"`
	InvoiceDescription string            `json:"invoiceDescription,omitempty"`
	SerialNumber       string            `json:"serialNumber,omitempty"`
	Custom             map[string]string `json:"custom,omitempty"`
	LastUpdated        time.Time         `json:"lastUpdated,omitzero"`
	UpdatedBy          string            `json:"updatedBy,omitempty"`
}

// customField is a field an administrator added to a kind.
type customField struct {
	id            int
	caption, kind string
}

// auditRow is a line of the audit trail.
type auditRow struct {
	kind, subKind, text, by, source string
	of                              int
	at                              time.Time
}

// AddCustomField adds a field to a kind ("company", "agreement", "addition", "catalogItem") and returns its id. The type is
// the PSA's: Text, TextArea, Number, Checkbox.
func (s *Server) AddCustomField(kind, caption, typ string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.insert(s.tables["userDefinedField"], &row{values: map[string]any{"podId": json.Number(fmt.Sprint(len(kind))), "caption": caption,
		"sequenceNumber": json.Number("1"), "fieldTypeIdentifier": typ, "entryTypeIdentifier": "EntryField"}})
	s.custom[kind] = append(s.custom[kind], customField{r.id, caption, typ})
	return r.id
}

// AddCompany seeds a company and returns its id.
func (s *Server) AddCompany(c Company) int {
	values := map[string]any{"identifier": c.Identifier, "name": c.Name, "deletedFlag": c.Deleted}
	put(values, "addressLine1", c.AddressLine1, "addressLine2", c.AddressLine2, "city", c.City, "state", c.State, "zip", c.Zip,
		"phoneNumber", c.PhoneNumber, "website", c.Website, "taxIdentifier", c.TaxIdentifier)
	if c.Status == "" {
		c.Status = "Active"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refer(values, "status", "companyStatus", "name", c.Status)
	s.refer(values, "country", "country", "name", c.Country)
	s.refer(values, "currency", "currency", "currencyCode", c.Currency)
	types := []any{}
	for _, name := range c.Types {
		holder := map[string]any{}
		s.refer(holder, "type", "companyType", "name", name)
		types = append(types, holder["type"])
	}
	values["types"] = types
	if c.DefaultContact != 0 {
		values["defaultContact"] = c.DefaultContact
	}
	id := s.add("company", row{id: c.ID, values: values, updated: c.LastUpdated, updatedBy: c.UpdatedBy}, c.Custom)
	s.addSite(s.tables["company"].rows[id], "Main")
	return id
}

// AddContact seeds a contact and returns its id; a default one becomes its company's default contact.
func (s *Server) AddContact(c Contact) int {
	values := map[string]any{"firstName": c.FirstName, "company": c.Company, "defaultFlag": c.Default, "inactiveFlag": c.Inactive}
	put(values, "lastName", c.LastName)
	communication := []any{}
	for i, item := range []struct{ typ, kind, value string }{{"Email", "Email", c.Email}, {"Direct", "Phone", c.Phone}} {
		if item.value != "" {
			communication = append(communication, map[string]any{"id": json.Number(fmt.Sprint(i + 1)), "value": item.value, "defaultFlag": true,
				"communicationType": item.kind, "type": map[string]any{"id": json.Number(fmt.Sprint(i + 1)), "name": item.typ}})
		}
	}
	values["communicationItems"] = communication
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.add("contact", row{id: c.ID, values: values, updated: c.LastUpdated, updatedBy: c.UpdatedBy}, nil)
	if company := s.tables["company"].rows[c.Company]; company != nil && c.Default {
		company.values["defaultContact"] = id
	}
	return id
}

// AddAgreementType adds a kind of agreement and returns its id.
func (s *Server) AddAgreementType(a AgreementType) int {
	values := map[string]any{"name": a.Name, "defaultFlag": a.Default, "prorateFlag": a.Prorate, "employeeCompRate": "Actual", "employeeCompNotExceed": "Billing",
		"invoicingCycle": "CalendarYear", "billTime": "Billable", "billExpenses": "Billable", "billProducts": "Billable"}
	if a.BillingCycle == "" {
		a.BillingCycle = "Monthly"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refer(values, "billingCycle", "billingCycle", "name", a.BillingCycle)
	return s.add("agreementType", row{id: a.ID, values: values}, nil)
}

// AddCatalogItem seeds a product and returns its id.
func (s *Server) AddCatalogItem(c CatalogItem) int {
	orElse := func(text, other string) string {
		if text == "" {
			return other
		}
		return text
	}
	c.Description = orElse(c.Description, c.Identifier)
	values := map[string]any{"identifier": c.Identifier, "description": c.Description, "customerDescription": orElse(c.CustomerDescription, c.Description),
		"productClass": orElse(c.Class, "Agreement"), "inactiveFlag": c.Inactive, "taxableFlag": true,
		"price": double(c.Price), "cost": double(c.Cost)}
	put(values, "vendorSku", c.VendorSKU, "manufacturerPartNumber", c.PartNumber)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refer(values, "subcategory", "subcategory", "name", "Cloud")
	s.refer(values, "category", "category", "name", "Software")
	s.refer(values, "type", "productType", "name", "Service")
	return s.add("catalogItem", row{id: c.ID, values: values, updated: c.LastUpdated, updatedBy: c.UpdatedBy}, c.Custom)
}

// AddAgreement seeds an agreement and returns its id.
func (s *Server) AddAgreement(a Agreement) int {
	values := map[string]any{"name": a.Name, "company": a.Company, "cancelledFlag": a.Cancelled, "noEndingDateFlag": a.End == ""}
	putDay(values, "startDate", a.Start, "endDate", a.End, "nextInvoiceDate", a.NextInvoice)
	s.mu.Lock()
	defer s.mu.Unlock()
	types := s.tables["agreementType"]
	if a.Type == "" {
		a.Type = types.rows[types.ids()[0]].values["name"].(string)
	}
	s.refer(values, "type", "agreementType", "name", a.Type)
	s.refer(values, "currency", "currency", "currencyCode", a.Currency)
	typ := types.rows[values["type"].(int)]
	values["billingCycle"], values["prorateFlag"] = typ.values["billingCycle"], typ.values["prorateFlag"]
	if a.Contact != 0 {
		values["contact"] = a.Contact
	}
	if a.Parent != 0 {
		values["parentAgreement"] = a.Parent
	}
	return s.add("agreement", row{id: a.ID, values: values, updated: a.LastUpdated, updatedBy: a.UpdatedBy}, a.Custom)
}

// AddAddition seeds a line and returns its id. It moves the agreement's stamp to the line's, as an edit would.
func (s *Server) AddAddition(a Addition) int {
	if a.BillCustomer == "" {
		a.BillCustomer = "Billable"
	}
	if a.Quantity == "" {
		a.Quantity = "1"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	agreement, product := s.tables["agreement"].rows[a.Agreement], s.tables["catalogItem"].rows[a.Product]
	if agreement == nil || product == nil {
		panic(fmt.Sprintf("connectwisetest: addition of agreement %d and product %d: both must be added first", a.Agreement, a.Product))
	}
	values := map[string]any{"product": a.Product, "quantity": double(a.Quantity), "lessIncluded": double(a.LessIncluded), "billCustomer": a.BillCustomer,
		"unitPrice": product.values["price"], "unitCost": product.values["cost"], "taxableFlag": true,
		"invoiceDescription": product.values["customerDescription"], "effectiveDate": agreement.values["startDate"]}
	if a.UnitPrice != "" {
		values["unitPrice"] = double(a.UnitPrice)
	}
	if a.UnitCost != "" {
		values["unitCost"] = double(a.UnitCost)
	}
	put(values, "invoiceDescription", a.InvoiceDescription, "serialNumber", a.SerialNumber)
	putDay(values, "effectiveDate", a.Effective, "cancelledDate", a.Cancelled)
	line := row{id: a.ID, parent: a.Agreement, values: values, updated: a.LastUpdated, updatedBy: a.UpdatedBy}
	if line.updated.IsZero() {
		line.updated = s.opts.Now().AddDate(0, 0, -30)
		line.entered = line.updated // never edited, so it says nothing about who moves whose stamp
	}
	id := s.add("addition", line, a.Custom)
	values["sequenceNumber"] = json.Number(fmt.Sprint(id))
	if _, stale := s.wrong["stale_agreement_stamp"]; !stale {
		if line := s.tables["addition"].rows[id]; line.updated.After(agreement.updated) || a.LastUpdated.IsZero() {
			agreement.updated = line.updated
		}
	}
	return id
}

// Edit changes fields as the named person would in the PSA's own screens: stamps, audit trail and derived fields follow.
// Fields are those of the API; a custom field is written as custom.<caption>.
func (s *Server) Edit(kind string, id int, by string, fields map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[kind]
	if t == nil || t.rows[id] == nil {
		return fmt.Errorf("edit %s %d: there is none", kind, id)
	}
	ops := make([]patch, 0, len(fields))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		raw, err := json.Marshal(fields[name])
		if err != nil {
			return fmt.Errorf("edit %s of %s %d: %w", name, kind, id, err)
		}
		value, err := decode(raw)
		if err != nil {
			return fmt.Errorf("edit %s of %s %d: %w", name, kind, id, err)
		}
		ops = append(ops, patch{"replace", name, value})
	}
	if err := s.change(t, t.rows[id], ops, by, "Client"); err != nil {
		return fmt.Errorf("edit %s %d: %w", kind, id, err)
	}
	return nil
}

// EditAddition is Edit of an addition.
func (s *Server) EditAddition(id int, by string, fields map[string]any) error {
	return s.Edit("addition", id, by, fields)
}

// Remove deletes a record as a person would.
func (s *Server) Remove(kind string, id int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[kind]
	if t == nil || t.rows[id] == nil {
		return fmt.Errorf("remove %s %d: there is none", kind, id)
	}
	s.remove(t, t.rows[id], "jdoe", "Client")
	return nil
}

// Record is what the PSA holds now, as the API shows it; custom fields also as "custom.<caption>". Nil when there is none.
func (s *Server) Record(kind string, id int) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[kind]
	if t == nil || t.rows[id] == nil {
		return nil
	}
	shown := s.render(t, t.rows[id])
	for _, f := range s.custom[kind] {
		if value := t.rows[id].custom[f.id]; value != nil {
			shown["custom."+f.caption] = value
		}
	}
	return shown
}

// IDs are the ids of a kind's records, ascending.
func (s *Server) IDs(kind string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[kind] == nil {
		return nil
	}
	return s.tables[kind].ids()
}

// Dump is everything a person can edit, by kind, as the API shows it.
func (s *Server) Dump() map[string][]map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	dump := map[string][]map[string]any{}
	for name, t := range s.tables {
		if !t.writes {
			continue
		}
		dump[name] = []map[string]any{}
		for _, id := range t.ids() {
			dump[name] = append(dump[name], s.render(t, t.rows[id]))
		}
	}
	return dump
}

// add inserts a seed with its custom fields by caption.
func (s *Server) add(kind string, r row, custom map[string]string) int {
	r.custom = map[int]any{}
	for caption, value := range custom {
		i := slices.IndexFunc(s.custom[kind], func(f customField) bool { return f.caption == caption })
		if i < 0 {
			panic(fmt.Sprintf("connectwisetest: %s has no custom field %q: add it first", kind, caption))
		}
		r.custom[s.custom[kind][i].id] = value
	}
	return s.insert(s.tables[kind], &r).id
}

// refer stores a reference by the target's name; an empty name stores none.
func (s *Server) refer(values map[string]any, member, kind, by, name string) {
	if name == "" {
		return
	}
	target := s.tables[kind].named(by, name)
	if target == nil {
		panic(fmt.Sprintf("connectwisetest: there is no %s %q", kind, name))
	}
	values[member] = target.id
}

// put stores texts that are not empty: name, value, name, value.
func put(values map[string]any, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values[pairs[i]] = pairs[i+1]
		}
	}
}

// putDay stores days as the midnights they travel as.
func putDay(values map[string]any, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values[pairs[i]] = pairs[i+1] + "T00:00:00Z"
		}
	}
}

// double is how a number is stored; nothing is zero.
func double(n json.Number) json.Number {
	d, err := decimal.NewFromString(string(n))
	if err != nil {
		d = decimal.Zero
	}
	return numberOf(d)
}

// numberOf writes a decimal as the double it would come back as: always with a point.
func numberOf(d decimal.Decimal) json.Number {
	if d.IsInteger() {
		return json.Number(d.StringFixed(1))
	}
	return json.Number(d.String())
}
