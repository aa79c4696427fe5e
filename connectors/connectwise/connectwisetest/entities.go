package connectwisetest

import (
	"fmt"
	"slices"
	"time"
)

// kind is how a field's value looks in JSON.
type kind int

const (
	text    kind = iota
	number       // a double
	integer      // an int32
	flag         // true or false
	date         // 2031-02-28T00:00:00Z
	ref          // an object with an id
	refs         // several
	items        // objects kept as they are
)

// field is one member of a resource.
type field struct {
	name     string
	kind     kind
	max      int      // characters
	of       string   // for ref and refs: the table
	allowed  []string // for text
	required bool     // in a POST
	derived  bool     // the server computes it; refused in a PATCH and a POST
	unshown  bool     // taken in a POST only, and never delivered
}

// table is one resource with its rows.
type table struct {
	name   string // our word: company
	title  string // the vendor's: Company
	path   string // company/companies; for additions below an agreement
	module string // what forbid= refuses
	unique string // a text field in which no two rows may agree
	shown  []string
	fields []field
	writes bool
	next   int
	rows   map[int]*row
}

// row is one record. References are kept as ids, derived fields are not kept.
type row struct {
	id, parent         int
	values             map[string]any
	custom             map[int]any
	updated, entered   time.Time
	updatedBy, enterer string
}

var (
	billable = []string{"Billable", "DoNotBill", "NoCharge"}
	defaults = []string{"Billable", "DoNotBill", "NoCharge", "NoDefault"}
)

func newTables() map[string]*table {
	list := []*table{
		{name: "company", title: "Company", path: "company/companies", module: "companies", unique: "identifier", shown: []string{"identifier", "name"}, writes: true, fields: []field{
			{name: "identifier", max: 25, required: true}, {name: "name", max: 50, required: true},
			{name: "status", kind: ref, of: "companyStatus"}, {name: "types", kind: refs, of: "companyType"},
			{name: "addressLine1", max: 50}, {name: "addressLine2", max: 50}, {name: "city", max: 50}, {name: "state", max: 50}, {name: "zip", max: 12},
			{name: "country", kind: ref, of: "country"}, {name: "phoneNumber", max: 30}, {name: "website", max: 255},
			{name: "accountNumber"}, {name: "taxIdentifier"}, {name: "currency", kind: ref, of: "currency"},
			{name: "defaultContact", kind: ref, of: "contact"}, {name: "deletedFlag", kind: flag},
			{name: "site", kind: ref, of: "site"},
		}},
		{name: "companyStatus", title: "CompanyStatus", path: "company/companies/statuses", module: "companies", fields: []field{
			{name: "name", max: 50}, {name: "defaultFlag", kind: flag}, {name: "inactiveFlag", kind: flag},
		}},
		{name: "companyType", title: "CompanyType", path: "company/companies/types", module: "companies", fields: []field{{name: "name", max: 50}}},
		{name: "contact", title: "Contact", path: "company/contacts", module: "contacts", writes: true, fields: []field{
			{name: "firstName", max: 30, required: true}, {name: "lastName", max: 30}, {name: "company", kind: ref, of: "company"}, {name: "title", max: 100},
			{name: "defaultFlag", kind: flag}, {name: "inactiveFlag", kind: flag}, {name: "communicationItems", kind: items},
		}},
		{name: "agreementType", title: "AgreementType", path: "finance/agreements/types", module: "agreements", fields: []field{
			{name: "name", max: 50}, {name: "defaultFlag", kind: flag}, {name: "inactiveFlag", kind: flag}, {name: "billingCycle", kind: ref, of: "billingCycle"}, {name: "prorateFlag", kind: flag},
			{name: "employeeCompRate", allowed: []string{"Actual", "Hourly"}}, {name: "employeeCompNotExceed", allowed: []string{"Billing", "Amount", "Percent"}},
			{name: "invoicingCycle", allowed: []string{"ContractYear", "CalendarYear"}},
			{name: "billTime", allowed: defaults}, {name: "billExpenses", allowed: defaults}, {name: "billProducts", allowed: defaults},
		}},
		{name: "agreement", title: "Agreement", path: "finance/agreements", module: "agreements", shown: []string{"name"}, writes: true, fields: []field{
			{name: "name", max: 100, required: true}, {name: "type", kind: ref, of: "agreementType", required: true},
			{name: "company", kind: ref, of: "company", required: true}, {name: "contact", kind: ref, of: "contact", required: true},
			{name: "parentAgreement", kind: ref, of: "agreement"}, {name: "customerPO", max: 50},
			{name: "startDate", kind: date}, {name: "endDate", kind: date}, {name: "noEndingDateFlag", kind: flag},
			{name: "cancelledFlag", kind: flag}, {name: "dateCancelled", kind: date}, {name: "reasonCancelled", max: 100},
			{name: "billingCycle", kind: ref, of: "billingCycle"}, {name: "billAmount", kind: number}, {name: "prorateFlag", kind: flag},
			{name: "currency", kind: ref, of: "currency"}, {name: "nextInvoiceDate", kind: date, derived: true},
			{name: "agreementStatus", derived: true},
		}},
		{name: "addition", title: "Addition", module: "additions", writes: true, fields: []field{
			{name: "product", kind: ref, of: "catalogItem", required: true}, {name: "quantity", kind: number}, {name: "lessIncluded", kind: number},
			{name: "unitPrice", kind: number}, {name: "unitCost", kind: number}, {name: "billCustomer", allowed: billable, required: true},
			{name: "effectiveDate", kind: date}, {name: "cancelledDate", kind: date}, {name: "taxableFlag", kind: flag},
			{name: "serialNumber", max: 50}, {name: "invoiceDescription", max: 6000}, {name: "sequenceNumber", kind: number},
			{name: "agreementId", kind: integer, derived: true}, {name: "description", derived: true}, {name: "billedQuantity", kind: number, derived: true},
			{name: "uom", derived: true}, {name: "extPrice", kind: number, derived: true}, {name: "extCost", kind: number, derived: true},
			{name: "margin", kind: number, derived: true}, {name: "agreementStatus", derived: true},
		}},
		{name: "catalogItem", title: "CatalogItem", path: "procurement/catalog", module: "catalog", unique: "identifier", shown: []string{"identifier"}, writes: true, fields: []field{
			{name: "identifier", max: 60, required: true}, {name: "description", max: 60, required: true}, {name: "customerDescription", max: 6000, required: true},
			{name: "subcategory", kind: ref, of: "subcategory", required: true}, {name: "type", kind: ref, of: "productType", required: true},
			{name: "category", kind: ref, of: "category"}, {name: "productClass", allowed: []string{"Agreement", "Bundle", "Inventory", "NonInventory", "Service"}},
			{name: "price", kind: number}, {name: "cost", kind: number}, {name: "taxableFlag", kind: flag},
			{name: "vendorSku", max: 50}, {name: "manufacturerPartNumber", max: 50}, {name: "integrationXRef", max: 50}, {name: "inactiveFlag", kind: flag},
		}},
		{name: "subcategory", title: "SubCategory", path: "procurement/subcategories", module: "catalog", fields: []field{
			{name: "name", max: 50}, {name: "category", kind: ref, of: "category"}, {name: "inactiveFlag", kind: flag},
		}},
		{name: "category", title: "ProductCategory", path: "procurement/categories", module: "catalog", fields: []field{{name: "name", max: 50}}},
		{name: "productType", title: "ProductType", path: "procurement/types", module: "catalog", fields: []field{{name: "name", max: 50}, {name: "inactiveFlag", kind: flag}}},
		{name: "billingCycle", title: "BillingCycle", path: "finance/billingCycles", module: "agreements", fields: []field{
			{name: "identifier", max: 5}, {name: "name", max: 50}, {name: "billingOptions"},
		}},
		{name: "currency", title: "Currency", shown: []string{"currencyCode", "symbol", "name"}, fields: []field{{name: "currencyCode"}, {name: "symbol"}, {name: "name"}}},
		{name: "country", title: "Country", path: "company/countries", module: "companies", shown: []string{"identifier", "name"}, fields: []field{
			{name: "name", max: 50}, {name: "countryCode", max: 2},
		}},
		{name: "opportunityStatus", title: "OpportunityStatus", path: "sales/opportunities/statuses", module: "opportunities", fields: []field{
			{name: "name", max: 30}, {name: "wonFlag", kind: flag}, {name: "lostFlag", kind: flag}, {name: "closedFlag", kind: flag}, {name: "inactiveFlag", kind: flag}, {name: "defaultFlag", kind: flag},
		}},
		{name: "member", title: "Member", shown: []string{"identifier", "name"}, fields: []field{{name: "identifier"}, {name: "name"}}},
		{name: "opportunity", title: "Opportunity", path: "sales/opportunities", module: "opportunities", writes: true, fields: []field{
			{name: "name", max: 100, required: true}, {name: "status", kind: ref, of: "opportunityStatus"}, {name: "company", kind: ref, of: "company", required: true},
			{name: "contact", kind: ref, of: "contact", required: true}, {name: "primarySalesRep", kind: ref, of: "member", required: true},
			{name: "expectedCloseDate", kind: date}, {name: "closedDate", kind: date, derived: true}, {name: "closedBy", kind: ref, of: "member", derived: true},
			{name: "customerPO", max: 25}, {name: "source", max: 50}, {name: "notes"},
		}},
		{name: "productItem", title: "ProductItem", path: "procurement/products", module: "opportunities", writes: true, fields: []field{
			{name: "catalogItem", kind: ref, of: "catalogItem", required: true}, {name: "opportunity", kind: ref, of: "opportunity"}, {name: "description", max: 2000},
			{name: "quantity", kind: number}, {name: "price", kind: number}, {name: "cost", kind: number}, {name: "billableOption", allowed: billable},
			{name: "cancelledFlag", kind: flag}, {name: "productClass", derived: true},
		}},
		{name: "userDefinedField", title: "UserDefinedField", path: "system/userDefinedFields", module: "system", fields: []field{
			{name: "podId", kind: integer}, {name: "caption", max: 25}, {name: "sequenceNumber", kind: integer}, {name: "fieldTypeIdentifier"}, {name: "entryTypeIdentifier"},
		}},
		{name: "site", title: "CompanySite", module: "companies", fields: []field{
			{name: "name", max: 50, required: true}, {name: "addressLine1", max: 50}, {name: "addressLine2", max: 50}, {name: "city", max: 50}, {name: "zip", max: 12},
			{name: "country", kind: ref, of: "country"}, {name: "phoneNumber", max: 30}, {name: "primaryAddressFlag", kind: flag}, {name: "defaultBillingFlag", kind: flag},
		}},
		{name: "communicationType", title: "CommunicationType", path: "company/communicationTypes", module: "contacts", shown: []string{"name"}, fields: []field{
			{name: "description", max: 50}, {name: "phoneFlag", kind: flag}, {name: "faxFlag", kind: flag}, {name: "emailFlag", kind: flag}, {name: "defaultFlag", kind: flag},
			{name: "iphoneXref", max: 50}, {name: "androidXref", max: 50},
		}},
	}
	list = append(list, callbackTable()) // behind the others, as a table's place gives its ids
	list = append(list, deskTables()...)
	tables := map[string]*table{}
	for i, t := range list {
		if t.shown == nil {
			t.shown = []string{"name"}
		}
		t.next, t.rows = 100*i+1, map[int]*row{}
		tables[t.name] = t
	}
	return tables
}

func (t *table) field(name string) (field, bool) {
	i := slices.IndexFunc(t.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return t.fields[i], true
}

// ids are sorted: listings without orderBy come in id order.
func (t *table) ids() []int {
	ids := make([]int, 0, len(t.rows))
	for id := range t.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// named finds a row by a text field.
func (t *table) named(name, value string) *row {
	for _, id := range t.ids() {
		if t.rows[id].values[name] == value {
			return t.rows[id]
		}
	}
	return nil
}

// seedTables fills what every tenant has.
func (s *Server) seedTables() {
	plain := func(kind string, rows ...map[string]any) {
		for _, values := range rows {
			s.insert(s.tables[kind], &row{values: values})
		}
	}
	plain("companyStatus", map[string]any{"name": "Active", "defaultFlag": true}, map[string]any{"name": "Inactive", "inactiveFlag": true}, map[string]any{"name": "Credit Hold"})
	plain("companyType", map[string]any{"name": "Customer"}, map[string]any{"name": "Vendor"})
	plain("billingCycle", map[string]any{"identifier": "M", "name": "Monthly", "billingOptions": "Monthly"}, map[string]any{"identifier": "Y", "name": "Yearly", "billingOptions": "Yearly"})
	plain("currency", map[string]any{"currencyCode": "GBP", "symbol": "£", "name": "British Pound"}, map[string]any{"currencyCode": "USD", "symbol": "$", "name": "US Dollar"},
		map[string]any{"currencyCode": "EUR", "symbol": "€", "name": "Euro"})
	plain("opportunityStatus", map[string]any{"name": "Open", "defaultFlag": true}, map[string]any{"name": "Signed", "wonFlag": true, "closedFlag": true},
		map[string]any{"name": "Lost", "lostFlag": true, "closedFlag": true})
	plain("member", map[string]any{"identifier": "jdoe", "name": "Jo Doe"})
	plain("country", map[string]any{"identifier": "GB", "name": "United Kingdom", "countryCode": "GB"},
		map[string]any{"identifier": "US", "name": "United States", "countryCode": "US"}, map[string]any{"identifier": "DE", "name": "Germany", "countryCode": "DE"})
	// Two ways to reach a person by telephone, so that a client has to know which is meant.
	for id, way := range []struct{ name, flag string }{{"Email", "emailFlag"}, {"Direct", "phoneFlag"}, {"Fax", "faxFlag"}, {"Mobile", "phoneFlag"}} {
		s.insert(s.tables["communicationType"], &row{id: id + 1, values: map[string]any{"name": way.name, "description": way.name, "emailFlag": way.flag == "emailFlag",
			"phoneFlag": way.flag == "phoneFlag", "faxFlag": way.flag == "faxFlag", "defaultFlag": way.name != "Mobile", "iphoneXref": way.name, "androidXref": way.name}})
	}
	plain("category", map[string]any{"name": "Software"})
	plain("subcategory", map[string]any{"name": "Cloud", "category": s.tables["category"].ids()[0]})
	plain("productType", map[string]any{"name": "Service"}, map[string]any{"name": "Inventory"})
	s.AddAgreementType(AgreementType{Name: "Cloud Services", Default: true})
	s.AddAgreementType(AgreementType{Name: "Managed Services"})
	s.seedDesk()
}

// insert gives a row its id and stamps; a seed looks a month old.
func (s *Server) insert(t *table, r *row) *row {
	if r.id == 0 {
		r.id = t.next
	}
	t.next = max(t.next, r.id) + 1
	if r.updated.IsZero() {
		r.updated = s.opts.Now().AddDate(0, 0, -30)
	}
	if r.entered.IsZero() {
		r.entered = r.updated.AddDate(0, 0, -30)
	}
	if r.updatedBy == "" {
		r.updatedBy = "jdoe"
	}
	if r.enterer == "" {
		r.enterer = r.updatedBy
	}
	r.updated, r.entered = r.updated.UTC().Truncate(time.Second), r.entered.UTC().Truncate(time.Second)
	if t.rows[r.id] != nil {
		panic(fmt.Sprintf("connectwisetest: two rows of %s have id %d", t.name, r.id))
	}
	t.rows[r.id] = r
	return r
}
