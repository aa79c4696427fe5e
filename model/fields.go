package model

import "slices"

// Kind names one of the model's nouns.
type Kind string

const (
	KindCustomer     Kind = "customer"
	KindContact      Kind = "contact"
	KindProduct      Kind = "product"
	KindSubscription Kind = "subscription"
	KindContract     Kind = "contract"
	KindLine         Kind = "line"
	KindTicket       Kind = "ticket"
	KindTicketNote   Kind = "ticket_note"
	KindQuote        Kind = "quote"
	KindQuoteLine    Kind = "quote_line"
	KindInvoice      Kind = "invoice"
	KindUsage        Kind = "usage"
)

// Field describes one field of a noun. Mapping, lint, documentation and the editor schema are all made from it.
type Field struct {
	Name    string
	Type    Type
	Allowed []string // the only texts it may hold; nil for any
	Ref     Kind     // for references: the noun whose native id it holds
	Doc     string   // meaning, unit, time zone, rounding
}

// Table is a noun: what it is and its fields, in documentation order.
type Table struct {
	Kind   Kind
	Doc    string
	Fields []Field
}

// Field finds a field by name.
func (t Table) Field(name string) (Field, bool) {
	i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return t.Fields[i], true
}

// Names lists the field names in documentation order.
func (t Table) Names() []string {
	names := make([]string, len(t.Fields))
	for i, f := range t.Fields {
		names[i] = f.Name
	}
	return names
}

// TableOf finds a noun by name.
func TableOf(k Kind) (Table, bool) {
	i := slices.IndexFunc(Tables, func(t Table) bool { return t.Kind == k })
	if i < 0 {
		return Table{}, false
	}
	return Tables[i], true
}

// Subscription states. A suspended New Commerce subscription is still charged by the vendor.
const (
	StatusActive    = "active"
	StatusSuspended = "suspended"
	StatusPending   = "pending"
	StatusEnded     = "ended"
	StatusUnknown   = "unknown"
)

var statuses = []string{StatusActive, StatusSuspended, StatusPending, StatusEnded, StatusUnknown}

// Tables are the model's nouns.
var Tables = []Table{
	{KindCustomer, "A company the MSP buys for and bills.", []Field{
		{Name: "name", Type: TypeText, Doc: "Company name as the system shows it."},
		{Name: "domains", Type: TypeList, Doc: "Internet domains that belong to the company, lower case."},
		{Name: "more_domains", Type: TypeList, Doc: "Further domains of the company, where the system tells them only when the company is read alone."},
		{Name: "tax_id", Type: TypeText, Doc: "Tax or company registration number."},
		{Name: "tenant_ids", Type: TypeList, Doc: "Vendor tenant ids of this company; kept on the PSA side they rebuild lost links."},
		{Name: "address_line1", Type: TypeText, Doc: "Street."},
		{Name: "address_line2", Type: TypeText, Doc: "Second address line."},
		{Name: "city", Type: TypeText, Doc: "City."},
		{Name: "region", Type: TypeText, Doc: "State or region."},
		{Name: "postal_code", Type: TypeText, Doc: "Postal code, as typed: leading zeros stay."},
		{Name: "country", Type: TypeText, Doc: "Country, ISO 3166-1 alpha-2 where the system has it."},
		{Name: "email", Type: TypeText, Doc: "Billing e-mail address."},
		{Name: "phone", Type: TypeText, Doc: "Main telephone number."},
		{Name: "currency", Type: TypeText, Doc: "Billing currency, ISO 4217."},
		{Name: "active", Type: TypeBool, Doc: "The company may be bought for and billed."},
		{Name: "credit_hold", Type: TypeBool, Doc: "The PSA says stop: no seats are added for the company while the flow's guards.credit_hold is increase."},
		{Name: "status", Type: TypeText, Doc: "Status by its name in the PSA."},
		{Name: "types", Type: TypeList, Doc: "Types by name in the PSA, such as Customer."},
		{Name: "billing_name", Type: TypeText, Doc: "Company name on the vendor's bills, where that can be another one."},
		{Name: "tenant_domain", Type: TypeText, Doc: "Name of the tenant: the first part of the domain that the vendor gives a new customer, lower case."},
		{Name: "contact_first_name", Type: TypeText, Doc: "Given name of the person that the vendor's bills go to; sent with a new customer."},
		{Name: "contact_last_name", Type: TypeText, Doc: "Family name of that person."},
	}},
	{KindContact, "A person at a customer.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer."},
		{Name: "first_name", Type: TypeText, Doc: "Given name."},
		{Name: "last_name", Type: TypeText, Doc: "Family name."},
		{Name: "email", Type: TypeText, Doc: "E-mail address."},
		{Name: "phone", Type: TypeText, Doc: "Telephone number."},
		{Name: "primary", Type: TypeBool, Doc: "The company's main contact."},
	}},
	{KindProduct, "Something sold: one SKU under one term and billing cycle.", []Field{
		{Name: "key", Type: TypeText, Doc: "SKU, term and billing cycle in one text, as ProductKey writes it."},
		{Name: "sku", Type: TypeText, Doc: "The vendor's SKU; leading zeros stay."},
		{Name: "term", Type: TypeText, Allowed: Durations, Doc: "Commitment: P1M, P1Y or P3Y."},
		{Name: "billing_cycle", Type: TypeText, Allowed: BillingCycles, Doc: "How often the vendor charges."},
		{Name: "name", Type: TypeText, Doc: "Product name."},
		{Name: "family", Type: TypeText, Doc: "Product family."},
		{Name: "unit_cost", Type: TypeMoney, Doc: "What the MSP pays for one seat and month; all digits kept."},
		{Name: "list_price", Type: TypeMoney, Doc: "The vendor's recommended retail price for one seat and month; all digits kept."},
		{Name: "active", Type: TypeBool, Doc: "May be put on new lines."},
	}},
	{KindSubscription, "What the MSP buys from a vendor for one customer. Its identity is its id, never product plus customer.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer."},
		{Name: "product", Type: TypeText, Ref: KindProduct, Doc: "Product key, as ProductKey writes it."},
		{Name: "sku", Type: TypeText, Doc: "The vendor's SKU; leading zeros stay."},
		{Name: "name", Type: TypeText, Doc: "Product name, or the nickname the MSP gave it."},
		{Name: "quantity", Type: TypeQuantity, Doc: "Seats purchased."},
		{Name: "assigned", Type: TypeQuantity, Doc: "Seats given to users. Several subscriptions of one product share its figure: those that end last are filled first. Not delivered where it is not known."},
		{Name: "term", Type: TypeText, Allowed: Durations, Doc: "Commitment: P1M, P1Y or P3Y; empty without a commitment."},
		{Name: "billing_cycle", Type: TypeText, Allowed: BillingCycles, Doc: "How often the vendor charges."},
		{Name: "status", Type: TypeText, Allowed: statuses, Doc: "active and suspended are charged; ended is not; unknown is a word trueup does not know yet."},
		{Name: "trial", Type: TypeBool, Doc: "A trial: free, quantity locked."},
		{Name: "start", Type: TypeDay, Doc: "First day of the current term (UTC, as the vendor counts)."},
		{Name: "created", Type: TypeInstant, Doc: "When it was first bought, UTC."},
		{Name: "term_end", Type: TypeDay, Doc: "Last day of the current term, inclusive (UTC)."},
		{Name: "cancel_until", Type: TypeInstant, Doc: "Last moment at which it may be cancelled, UTC; empty when the window is closed."},
		{Name: "least", Type: TypeQuantity, Doc: "Fewest seats that the vendor sells of this product in one subscription. Not delivered where it is not known."},
		{Name: "most", Type: TypeQuantity, Doc: "Most seats that the vendor sells of this product in one subscription. Not delivered where it is not known."},
		{Name: "promotion", Type: TypeText, Doc: "Promotion it was bought with; its price ends with the term. Empty without one."},
		{Name: "reducible", Type: TypeQuantity, Doc: "Seats that may be removed right now with a refund."},
		{Name: "reducible_until", Type: TypeList, Doc: "How many of these until when, UTC, each as a text like \"4 until 2031-03-11T13:04:55Z\"."},
		{Name: "auto_renew", Type: TypeBool, Doc: "Renews by itself at the end of the term."},
		{Name: "next_quantity", Type: TypeQuantity, Doc: "Seats scheduled for the next term; empty when nothing is scheduled."},
		{Name: "at_end", Type: TypeText, Allowed: []string{"renew", "cancel", "extend", "transition", "other"}, Doc: "What the vendor is told to do when the term ends; empty when nobody said."},
		{Name: "next_product", Type: TypeText, Ref: KindProduct, Doc: "Product key scheduled for the next term; empty when nothing is scheduled."},
		{Name: "next_term", Type: TypeText, Doc: "Term scheduled after this one; empty when nothing is scheduled."},
		{Name: "reference", Type: TypeText, Doc: "What it is called at the vendor; an order that trueup makes is found again by it."},
		{Name: "parent", Type: TypeText, Ref: KindSubscription, Doc: "The subscription this add-on belongs to; empty for base products."},
		{Name: "reseller", Type: TypeText, Doc: "The indirect reseller's partner id; empty for direct customers."},
		{Name: "unit_cost", Type: TypeMoney, Doc: "What the vendor charges for one seat and month; all digits kept."},
		{Name: "unit_price", Type: TypeMoney, Doc: "Recommended price for one seat and month; all digits kept."},
	}},
	{KindContract, "A PSA agreement that bills a customer.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer."},
		{Name: "name", Type: TypeText, Doc: "Name of the contract."},
		{Name: "type", Type: TypeText, Doc: "Contract type by its name in the PSA."},
		{Name: "start", Type: TypeDay, Doc: "First day (PSA time zone)."},
		{Name: "end", Type: TypeDay, Doc: "Last day, inclusive; empty when open (PSA time zone)."},
		{Name: "active", Type: TypeBool, Doc: "Bills today."},
		{Name: "currency", Type: TypeText, Doc: "Billing currency, ISO 4217."},
	}},
	{KindLine, "A line of a contract that bills one subscription.", []Field{
		{Name: "contract", Type: TypeText, Ref: KindContract, Doc: "Native id of the contract."},
		{Name: "product", Type: TypeText, Ref: KindProduct, Doc: "Native id of the PSA product."},
		{Name: "subscription", Type: TypeText, Ref: KindSubscription, Doc: "Id of the vendor subscription it bills; kept on the line it rebuilds lost links."},
		{Name: "quantity", Type: TypeQuantity, Doc: "Seats on the line, before anything included in a base fee."},
		{Name: "next_quantity", Type: TypeQuantity, Doc: "Seats to renew with at the end of the term; empty when nothing is scheduled."},
		{Name: "agreed", Type: TypeQuantity, Doc: "Seats agreed with the customer, typed beside the quantity; for lines that count agreed seats."},
		{Name: "seat_rule", Type: TypeText, Doc: "How this line counts its seats, where it is not as the flow says: a count like \"purchased - 5\", or part or rest where several lines bill one subscription."},
		{Name: "less_included", Type: TypeQuantity, Doc: "Seats covered by the base fee; billed = quantity - less_included."},
		{Name: "unit_cost", Type: TypeMoney, Doc: "Cost for one seat and billing period; all digits kept."},
		{Name: "unit_price", Type: TypeMoney, Doc: "Price for one seat and billing period; all digits kept."},
		{Name: "start", Type: TypeDay, Doc: "First billed day (PSA time zone)."},
		{Name: "end", Type: TypeDay, Doc: "Last billed day, inclusive; empty while it bills (PSA time zone)."},
		{Name: "description", Type: TypeText, Doc: "Text on the invoice."},
		{Name: "bill", Type: TypeText, Allowed: []string{"billable", "no_charge", "do_not_bill"}, Doc: "Whether the customer is charged."},
		{Name: "note", Type: TypeText, Doc: "What became of the last edit of the line, for the PSA user; written by trueup."},
		{Name: "changed_by", Type: TypeText, Doc: "Who changed it last; recognises our own writes."},
	}},
	{KindTicket, "A service ticket.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer."},
		{Name: "summary", Type: TypeText, Doc: "One line."},
		{Name: "board", Type: TypeText, Doc: "Board, or queue, by its name in the PSA."},
		{Name: "status", Type: TypeText, Doc: "Status by its name on its board."},
		{Name: "type", Type: TypeText, Doc: "Type by its name on its board."},
		{Name: "priority", Type: TypeText, Doc: "Priority by its name in the PSA."},
		{Name: "body", Type: TypeText, Doc: "What it says when it is opened, for technicians only."},
		{Name: "closed", Type: TypeBool, Doc: "Its status is one that closes it."},
		{Name: "external_id", Type: TypeText, Doc: "The matter it belongs to; a ticket whose creation was interrupted is found by it."},
		{Name: "changed_by", Type: TypeText, Doc: "Who changed it last."},
	}},
	{KindTicketNote, "A note on a ticket, for technicians only.", []Field{
		{Name: "ticket", Type: TypeText, Ref: KindTicket, Doc: "Native id of the ticket."},
		{Name: "text", Type: TypeText, Doc: "What it says."},
	}},
	{KindQuote, "An offer to a customer.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer."},
		{Name: "name", Type: TypeText, Doc: "Title."},
		{Name: "status", Type: TypeText, Doc: "Status by its name in the PSA."},
		{Name: "accepted", Type: TypeBool, Doc: "The customer said yes."},
		{Name: "accepted_at", Type: TypeInstant, Doc: "When the customer said yes, UTC; a system that keeps only days says midnight."},
		{Name: "valid_until", Type: TypeDay, Doc: "Last day on which the offer could be accepted (PSA time zone); empty when it has no end."},
		{Name: "reference", Type: TypeText, Doc: "The customer's own order number."},
		{Name: "result", Type: TypeText, Doc: "What became of it; trueup writes it."},
	}},
	{KindQuoteLine, "A product on a quote.", []Field{
		{Name: "quote", Type: TypeText, Ref: KindQuote, Doc: "Native id of the quote."},
		{Name: "product", Type: TypeText, Ref: KindProduct, Doc: "Native id of the PSA product."},
		{Name: "name", Type: TypeText, Doc: "What the quote calls it."},
		{Name: "quantity", Type: TypeQuantity, Doc: "Seats offered."},
		{Name: "unit_price", Type: TypeMoney, Doc: "Price offered for one seat and billing period; all digits kept."},
		{Name: "unit_cost", Type: TypeMoney, Doc: "Cost for one seat and month that the offer reckons with; all digits kept."},
		{Name: "dropped", Type: TypeBool, Doc: "The line was taken off the offer and is kept for the record."},
	}},
	{KindInvoice, "A bill, from a vendor or to a customer.", []Field{
		{Name: "customer", Type: TypeText, Ref: KindCustomer, Doc: "Native id of the customer; empty on a vendor's bill to the MSP."},
		{Name: "number", Type: TypeText, Doc: "Number on the document."},
		{Name: "day", Type: TypeDay, Doc: "Date of the document."},
		{Name: "total", Type: TypeMoney, Doc: "Total before tax."},
	}},
	{KindUsage, "A metered charge.", []Field{
		{Name: "subscription", Type: TypeText, Ref: KindSubscription, Doc: "Native id of the subscription."},
		{Name: "day", Type: TypeDay, Doc: "Day of use (UTC)."},
		{Name: "meter", Type: TypeText, Doc: "What was metered."},
		{Name: "quantity", Type: TypeQuantity, Doc: "How much; exact."},
		{Name: "cost", Type: TypeMoney, Doc: "What the vendor charges; all digits kept."},
	}},
}
