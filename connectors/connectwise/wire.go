package connectwise

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

const (
	stampLayout = "2006-01-02T15:04:05Z"

	// The vendor's reference; its pages need a free developer account.
	docs = "https://developer.connectwise.com/Products/ConnectWise_PSA/REST"
)

// member is one field: how trueup sees it and where it is in the vendor's JSON.
type member struct {
	connectors.Field
	at     string // path in the JSON; the field's name when empty
	ref    bool   // travels as an object with this id
	lookup string // a name; travels as the id it has in the table at this path
	label  string // the same for a ticket's labels; %s in the path is the board
	spare  bool   // a lookup that a new record may go without
	read   func(object) model.Value
}

func fieldsOf(members []member) []connectors.Field {
	fields := make([]connectors.Field, len(members))
	for i, m := range members {
		m.Field.Link = docs
		fields[i] = m.Field
	}
	return fields
}

// The functions below are short for the tables.
func field(name string, t model.Type, doc string) member {
	return member{Field: connectors.Field{Name: name, Type: t, Doc: doc}}
}
func text(name, doc string) member { return field(name, model.TypeText, doc) }
func (m member) from(path string) member {
	m.at = path
	return m
}
func (m member) id() member {
	m.ref = true
	return m
}
func (m member) named(table string) member {
	m.lookup = table
	return m
}
func (m member) orNone() member {
	m.spare = true
	return m
}
func (m member) longest(n int) member {
	m.MaxLen = n
	return m
}
func (m member) writable() member {
	m.Writable = true
	return m
}
func (m member) create() member {
	m.Create = true
	return m
}
func (m member) required() member {
	m.Required = true
	return m
}
func (m member) costs() member {
	m.Costs = true
	return m
}
func (m member) oneOf(words ...string) member {
	m.Allowed = words
	return m
}
func (m member) by(read func(object) model.Value) member {
	m.read = read
	return m
}

var companyMembers = []member{
	text("id", "Record id."),
	text("identifier", "Short unique name, made from the name when it is not given.").longest(25).create(),
	text("name", "Company name.").longest(50).writable().required(),
	text("status", "Status by its name; the MSP names them.").from("status/name"),
	field("types", model.TypeList, "Types by name: Customer, Vendor and what else the MSP has.").by(func(o object) model.Value {
		var names []string
		list, _ := o["types"].([]any)
		for _, item := range list {
			names = append(names, textOf(walk(item, "name")))
		}
		return model.List(names...)
	}),
	text("addressLine1", "Street.").longest(50).writable(),
	text("addressLine2", "Second address line.").longest(50).writable(),
	text("city", "City.").longest(50).writable(),
	text("state", "State or region.").longest(50).writable(),
	text("zip", "Postal code.").longest(12).writable(),
	text("country", "Country by its name in the PSA.").from("country/name"),
	text("countryCode", "Country, ISO 3166-1 alpha-2. Written by the code that the PSA's own list of countries gives it; read where a company shows such a code "+
		"(unverified: the reference's identifier).").from("country/identifier").named("/company/countries").orNone().writable().by(countryCode),
	text("phoneNumber", "Main telephone number.").longest(30).writable(),
	text("website", "Web site.").longest(255).writable(),
	text("taxIdentifier", "Tax or registration number.").writable(),
	text("currency", "Currency code of the company, where it has one of its own.").from("currency/currencyCode"),
	text("defaultContact", "Id of the default contact.").from("defaultContact/id"),
	field("deletedFlag", model.TypeBool, "Deleted; such companies are not listed."),
}

var contactMembers = []member{
	text("id", "Record id."),
	text("company", "Id of the company.").from("company/id").id().create().required(),
	text("firstName", "Given name.").longest(30).writable().required(),
	text("lastName", "Family name.").longest(30).writable(),
	text("email", "Default e-mail address, or the first one. It is written to that item, or to a new one.").longest(250).writable().by(communication("Email")),
	text("phone", "Default telephone number, or the first one. It is written as email is.").longest(250).writable().by(communication("Phone")),
	field("defaultFlag", model.TypeBool, "The company's default contact. Making one the default takes it from the other.").writable(),
	field("inactiveFlag", model.TypeBool, "No longer in use."),
}

var productMembers = []member{
	text("id", "Record id."),
	text("identifier", "Unique product id.").longest(60).create().required(),
	text("description", "Product name.").longest(60).writable().required(),
	text("customerDescription", "Text for quotes and invoices; the description when it is not given.").longest(6000).writable(),
	text("productClass", "Class; Agreement when it is not given. A Bundle cannot be an addition and is not made here.").oneOf("Agreement", "Bundle", "Inventory", "NonInventory", "Service").create(),
	text("category", "Category by name.").from("category/name"),
	text("subcategory", "Subcategory by name; the setting default_subcategory when it is not given.").from("subcategory/name").named("/procurement/subcategories/").create(),
	text("type", "Product type by name; the setting default_product_type when it is not given.").from("type/name").named("/procurement/types").create(),
	field("price", model.TypeMoney, "Price for one unit, in the account's currency.").writable(),
	field("cost", model.TypeMoney, "Cost of one unit, in the account's currency.").writable(),
	text("vendorSku", "The vendor's SKU; not unique.").longest(50).writable(),
	text("manufacturerPartNumber", "Part number; trueup keeps the product key here.").longest(50).writable(),
	field("inactiveFlag", model.TypeBool, "No longer sold."),
}

var agreementMembers = []member{
	text("id", "Record id."),
	text("name", "Name of the agreement.").longest(100).create().required(),
	text("type", "Agreement type by name.").from("type/name").named("/finance/agreements/types").create().required(),
	text("company", "Id of the company.").from("company/id").id().create().required(),
	text("contact", "Id of the contact; the company's default contact, or its first, when it is not given.").from("contact/id").id().create(),
	field("startDate", model.TypeDay, "First day.").create(),
	field("endDate", model.TypeDay, "Last day; empty when open.").create(),
	field("noEndingDateFlag", model.TypeBool, "Open: has no last day. Set by itself when an agreement is made without one."),
	text("billingCycle", "How often it is invoiced, by name; comes with the type.").from("billingCycle/name"),
	field("prorateFlag", model.TypeBool, "Parts of a period are billed by the day."),
	text("agreementStatus", "Active, Cancelled, Expired or Inactive; derived by the PSA from the dates."),
	field("cancelledFlag", model.TypeBool, "Cancelled."),
	field("nextInvoiceDate", model.TypeDay, "Day of the next invoice."),
	text("currency", "Currency code of the agreement, where it has one.").from("currency/currencyCode"),
	text("parentAgreement", "Id of the agreement that this one bills through.").from("parentAgreement/id").id().create(),
	field("dateEntered", model.TypeInstant, "When it was made, UTC.").from("_info/dateEntered"),
}

var additionMembers = []member{
	text("id", "Record id."),
	text("product", "Id of the catalog item.").from("product/id").id().create().required(),
	text("productIdentifier", "Unique product id of the catalog item.").from("product/identifier"),
	field("quantity", model.TypeQuantity, "Seats on the line, before anything included.").writable().required().costs(),
	field("lessIncluded", model.TypeQuantity, "Seats covered by the base fee.").writable().costs(),
	field("billedQuantity", model.TypeQuantity, "Quantity less what is included; derived by the PSA."),
	field("unitPrice", model.TypeMoney, "Price for one seat and billing period, in the account's currency. From the product when it is not given.").writable().costs(),
	field("unitCost", model.TypeMoney, "Cost of one seat and billing period, in the account's currency. From the product when it is not given.").writable(),
	field("effectiveDate", model.TypeDay, "First billed day; today, as the PSA counts, when it is not given.").create(),
	field("cancelledDate", model.TypeDay, "Last billed day, inclusive; empty while it bills. Set by ending the line."),
	text("billCustomer", "Whether the customer is charged; Billable when it is not given.").oneOf("Billable", "DoNotBill", "NoCharge").writable().costs(),
	text("invoiceDescription", "Text on the invoice. From the product when it is not given.").longest(6000).writable(),
	text("description", "Name of the product."),
	text("serialNumber", "Serial number."),
	field("sequenceNumber", model.TypeQuantity, "Place on the agreement."),
	field("taxableFlag", model.TypeBool, "Taxed."),
	text("agreementStatus", "Status of the agreement; does not say whether the line bills."),
	text("updatedBy", "Member who changed it last.").from("_info/updatedBy"),
	field("dateEntered", model.TypeInstant, "When it was made, UTC.").from("_info/dateEntered"),
}

var offerMembers = []member{
	text("id", "Record id."),
	text("name", "Title."),
	text("company", "Id of the company.").from("company/id"),
	text("contact", "Id of the contact.").from("contact/id"),
	text("status", "Status by its name; the MSP names them.").from("status/name"),
	field("won", model.TypeBool, "Its status is one that counts as won.").from("status/won"),
	field("closedDate", model.TypeInstant, "When it was closed, UTC; midnight when only the day was given."),
	field("expectedCloseDate", model.TypeDay, "Day on which it is expected to be closed."),
	text("customerPO", "The customer's order number."),
	field("dateEntered", model.TypeInstant, "When it was made, UTC.").from("_info/dateEntered"),
}

var offeredMembers = []member{
	text("id", "Record id."),
	text("opportunity", "Id of the opportunity.").from("opportunity/id"),
	text("catalogItem", "Id of the catalog item.").from("catalogItem/id"),
	text("description", "Name of the product."),
	field("quantity", model.TypeQuantity, "Units offered."),
	field("price", model.TypeMoney, "Price offered for one unit, in the account's currency."),
	field("cost", model.TypeMoney, "Cost of one unit that the offer reckons with, in the account's currency."),
	field("cancelledFlag", model.TypeBool, "Taken off the offer."),
	text("productClass", "Class of the catalog item."),
}

// resource is one kind and where it lives.
type resource struct {
	kind    string
	path    string // below the API; %s is the agreement, or the ticket
	members []member
	noun    string // in errors
}

var resources = []resource{
	{kindCompany, "/company/companies", companyMembers, "companies"},
	{kindContact, "/company/contacts", contactMembers, "contacts"},
	{kindProduct, "/procurement/catalog", productMembers, "catalog items"},
	{kindAgreement, "/finance/agreements", agreementMembers, "agreements"},
	{kindAddition, "/finance/agreements/%s/additions", additionMembers, "additions"},
	{kindOffer, "/sales/opportunities", offerMembers, "opportunities"},
	{kindOffered, "/procurement/products", offeredMembers, "products on opportunities"},
	{kindTicket, "/service/tickets", ticketMembers, "tickets"},
	{kindNote, "/service/tickets/%s/notes", noteMembers, "notes"},
}

// above is the kind that records of a kind live under; "" for those that live alone.
var above = map[string]string{kindAddition: kindAgreement, kindNote: kindTicket}

// resourceOf finds one of resources; kind is a constant of this package.
func resourceOf(kind string) resource {
	return resources[slices.IndexFunc(resources, func(r resource) bool { return r.kind == kind })]
}

// collection is the path of a kind's records.
func (r resource) collection(parent string) string {
	if strings.Contains(r.path, "%s") {
		return fmt.Sprintf(r.path, parent)
	}
	return r.path
}

func (r resource) member(name string) (member, bool) {
	i := slices.IndexFunc(r.members, func(m member) bool { return m.Name == name })
	if i < 0 {
		return member{}, false
	}
	return r.members[i], true
}

// customField is a field that an administrator added.
type customField struct {
	id   json.Number
	kind string
}

// record turns one JSON object into a native record and remembers the custom fields it shows.
func (c *Connector) record(r resource, parent string, o object) (connectors.Record, error) {
	rec := connectors.Record{Kind: r.kind, ID: strconv.Itoa(idOf(o)), Parent: parent, Fields: model.Fields{}, Changed: stampOf(o, "lastUpdated")}
	for _, m := range r.members {
		v, err := c.value(m, o)
		if err != nil {
			return rec, c.fail(connectors.ClassInvalid, "read "+r.kind, rec.ID, m.Name, err.Error(), "correct it in the PSA")
		}
		if v.Known() {
			rec.Fields[m.Name] = v
		}
	}
	custom, delivered := o["customFields"].([]any)
	if delivered && r.kind != kindContact && r.kind != kindOffered && r.kind != kindNote {
		c.learn(r.kind, custom)
		for _, item := range custom {
			name := customPrefix + textOf(walk(item, "caption"))
			if _, twice := rec.Fields[name]; !twice && len(name) > len(customPrefix) {
				rec.Fields[name] = model.Text(clean(textOf(walk(item, "value"))))
			}
		}
	}
	if r.kind == kindOffer {
		rec.Fields["won"] = model.Bool(c.isWon(o))
	}
	if _, has := rec.Fields[c.idField]; r.kind == kindAddition && !has {
		rec.Fields[c.idField] = model.Text(rec.Fields["serialNumber"].String())
	}
	return rec, nil
}

// learn keeps the ids of a kind's custom fields.
func (c *Connector) learn(kind string, custom []any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := map[string]customField{}
	for _, item := range custom {
		id, _ := walk(item, "id").(json.Number)
		caption := textOf(walk(item, "caption"))
		if _, twice := known[caption]; !twice {
			known[caption] = customField{id, textOf(walk(item, "type"))}
		}
	}
	c.captions[kind] = known
}

// value reads one member. What is absent, null or an empty text is known to be empty, except numbers and flags, which the
// PSA leaves out when it does not say.
func (c *Connector) value(m member, o object) (model.Value, error) {
	if m.read != nil {
		return m.read(o), nil
	}
	at := m.at
	if at == "" {
		at = m.Name
	}
	raw := walk(o, at)
	switch m.Type {
	case model.TypeText:
		return model.Text(clean(textOf(raw))), nil
	case model.TypeBool:
		b, ok := raw.(bool)
		if !ok {
			return model.Value{}, nil
		}
		return model.Bool(b), nil
	case model.TypeDay:
		return dayOf(textOf(raw))
	case model.TypeInstant:
		return model.Parse(model.TypeInstant, textOf(raw))
	}
	number, ok := raw.(json.Number)
	if !ok {
		return model.Value{}, nil
	}
	if m.Type == model.TypeMoney {
		return model.Parse(model.TypeMoney, string(number)+" "+c.currency)
	}
	return model.Parse(model.TypeQuantity, string(number))
}

// dayOf reads a day that travels as a midnight UTC.
func dayOf(text string) (model.Value, error) {
	if text == "" {
		return model.Empty(model.TypeDay), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return model.Value{}, fmt.Errorf("%q is not a date", text)
	}
	return model.DayValue(model.DayOf(at.UTC())), nil
}

// send is a value as it travels in a request.
func (m member) send(v model.Value) any {
	switch m.Type {
	case model.TypeQuantity:
		q, _ := v.Quantity()
		return json.Number(q.Decimal().String())
	case model.TypeMoney:
		amount, _ := v.Money()
		return json.Number(amount.Amount().String())
	case model.TypeDay:
		return v.String() + "T00:00:00Z"
	case model.TypeBool:
		return v.True()
	}
	if m.ref {
		return map[string]any{"id": json.Number(v.String())}
	}
	return v.String()
}

// sendCustom is a custom field's value in the type the administrator gave it; an empty one clears the field.
func sendCustom(f customField, text string) (any, error) {
	if text == "" {
		return nil, nil
	}
	switch f.kind {
	case "Number", "Currency", "Percent":
		q, err := model.ParseQuantity(text) // which bounds its length: written out, 1e999999999 fills the memory
		if err != nil {
			return nil, fmt.Errorf("%q is not a number, which this custom field holds", text)
		}
		return json.Number(q.String()), nil
	case "Checkbox":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not true or false, which this custom field holds", text)
		}
		return b, nil
	}
	return text, nil
}

// unfit says why a value cannot be sent, "" when it can.
func (c *Connector) unfit(f connectors.Field, v model.Value) (why, next string) {
	switch {
	case !v.Known():
		return "there is no value to send", "map a value to it"
	case v.Type() != f.Type:
		return fmt.Sprintf("it holds %s, not %s", f.Type, v.Type()), "correct the mapping"
	case len(f.Allowed) > 0 && !slices.Contains(f.Allowed, v.String()):
		return fmt.Sprintf("%q is not one of %s", v, strings.Join(f.Allowed, ", ")), "map it to one of them"
	case f.MaxLen > 0 && utf8.RuneCountInString(v.String()) > f.MaxLen:
		return fmt.Sprintf("%d characters are too many: ConnectWise takes %d", utf8.RuneCountInString(v.String()), f.MaxLen), "shorten it"
	case v.Blank() && (f.Type != model.TypeText || f.Required):
		return "it cannot be emptied", "give a value"
	}
	if m, ok := v.Money(); ok && m.Currency() != c.currency {
		return fmt.Sprintf("%s is not in %s, the currency of this account", m, c.currency), "convert it in the flow, or correct the setting currency"
	}
	if q, ok := v.Quantity(); ok && q.Sign() < 0 {
		return "it is below zero", "correct it"
	}
	return "", ""
}

// Canonical implements connectors.Canonicalizer: prices keep four decimals, text loses the invisible characters and the
// outer spaces that the PSA's screens let in.
func (c *Connector) Canonical(_, field string, v model.Value) model.Value {
	if field == "countryCode" && v.Type() == model.TypeText {
		return model.Text(strings.ToUpper(clean(v.String())))
	}
	if m, ok := v.Money(); ok {
		return model.MoneyValue(m.Round(priceDigits))
	}
	if v.Type() == model.TypeText {
		return model.Text(clean(v.String()))
	}
	return v
}

var invisible = strings.NewReplacer("\u200b", "", "\u200c", "", "\u200d", "", "\u2060", "", "\ufeff", "")

func clean(s string) string { return strings.TrimSpace(invisible.Replace(s)) }

// walk follows a path of object members.
func walk(v any, path string) any {
	for name := range strings.SplitSeq(path, "/") {
		switch o := v.(type) {
		case object:
			v = o[name]
		case map[string]any:
			v = o[name]
		default:
			return nil
		}
	}
	return v
}

// textOf is how a JSON scalar reads.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// stampOf is a moment in _info; zero when there is none.
func stampOf(o object, name string) time.Time {
	at, err := time.Parse(time.RFC3339, textOf(walk(o, "_info/"+name)))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// countryCode is a country's code where the reference shows one; some installations keep the name there, which is no code.
func countryCode(o object) model.Value {
	code := clean(textOf(walk(o, "country/identifier")))
	if code != "" && len(code) != 2 {
		return model.Value{}
	}
	return model.Text(strings.ToUpper(code))
}

// communication picks the default item of a kind, else the first.
func communication(kind string) func(object) model.Value {
	return func(o object) model.Value {
		first := ""
		list, _ := o["communicationItems"].([]any)
		for _, item := range list {
			if walk(item, "communicationType") != kind {
				continue
			}
			value := clean(textOf(walk(item, "value")))
			if walk(item, "defaultFlag") == true {
				return model.Text(value)
			}
			if first == "" {
				first = value
			}
		}
		return model.Text(first)
	}
}
