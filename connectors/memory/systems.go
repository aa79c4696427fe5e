package memory

import (
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

var settings = []connectors.Setting{
	{Name: "token", Secret: true, Doc: "What the world was told to ask for; leave it out when it asks for nothing."},
}

var limits = connectors.Limits{PerMinute: 60000, Parallel: 4, PageSize: 100, Doc: "A map in memory; the limits exist to be declared."}

func text(name, doc string) connectors.Field {
	return connectors.Field{Name: name, Type: model.TypeText, Doc: doc}
}

func field(name string, t model.Type, doc string) connectors.Field {
	return connectors.Field{Name: name, Type: t, Doc: doc}
}

func writable(f connectors.Field) connectors.Field { f.Writable = true; return f }
func atCreate(f connectors.Field) connectors.Field { f.Create = true; return f }
func required(f connectors.Field) connectors.Field { f.Required = true; return f }
func costs(f connectors.Field) connectors.Field    { f.Costs = true; return f }

func scheduled(f connectors.Field) connectors.Field { f.Scheduled = true; return f }

func limited(f connectors.Field, characters int) connectors.Field { f.MaxLen = characters; return f }

func oneOf(f connectors.Field, words ...string) connectors.Field { f.Allowed = words; return f }

var vendorSystem = system{
	descriptor: connectors.Descriptor{
		System: "memoryvendor",
		Title:  "Vendor in memory",
		Role:   connectors.RoleVendor,
		Kinds: []connectors.Kind{
			{
				Name: "customer", Title: "Customer", Doc: "A company the MSP buys for. A new one has a domain that no other has.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
				Fields: []connectors.Field{
					text("id", "Id of the customer."),
					text("companyProfile.companyName", "Company name."),
					required(atCreate(text("companyProfile.domain", "First domain."))),
					text("companyProfile.tenantId", "Tenant id."),
					field("domains", model.TypeList, "All domains."),
					field("agreed", model.TypeBool, "Accepted what the vendor asks customers to accept."),
					required(writable(text("billingProfile.companyName", "Company name on bills."))),
					required(writable(text("billingProfile.email", "Billing e-mail address."))),
					writable(text("billingProfile.firstName", "Given name of the person bills go to.")),
					writable(text("billingProfile.lastName", "Family name of the person bills go to.")),
					writable(text("billingProfile.phoneNumber", "Telephone number of the person bills go to.")),
					writable(text("billingProfile.addressLine1", "Street.")),
					writable(text("billingProfile.addressLine2", "Second address line.")),
					writable(text("billingProfile.city", "City.")),
				},
			},
			{
				Name: "subscription", Title: "Subscription", Parent: "customer", Doc: "What is bought for a customer.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange, connectors.AbilitySchedule},
				Terms: &connectors.TermRules{DecreaseHours: 168, CancelHours: 168, ExtendedPercent: 23, TrialFixed: true, SuspendedFixed: true, AddOnsFollow: true,
					Terms:    []model.Term{{Duration: "P1M", Billing: "monthly"}, {Duration: "P1Y", Billing: "monthly"}, {Duration: "P1Y", Billing: "annual"}},
					Increase: "At any time.", Verified: "by the tests of this package"},
				Fields: []connectors.Field{
					text("id", "Id of the subscription."),
					required(atCreate(text("sku", "SKU; leading zeros stay."))),
					text("offerName", "Product name."),
					writable(limited(text("friendlyName", "Nickname."), 64)),
					text("productType", "Which rules it lives by."),
					required(costs(writable(field("quantity", model.TypeQuantity, "Seats.")))),
					field("assigned", model.TypeQuantity, "Seats given to users."),
					text("parentSubscriptionId", "The subscription this add-on belongs to."),
					field("creationDate", model.TypeInstant, "When it was bought, UTC."),
					field("effectiveStartDate", model.TypeDay, "First day of the term, UTC."),
					field("commitmentEndDate", model.TypeDay, "Last day of the term, UTC."),
					field("cancellationAllowedUntilDate", model.TypeInstant, "End of the refund window, UTC."),
					text("status", "active, suspended, deleted; other words may come."),
					writable(field("autoRenewEnabled", model.TypeBool, "Renews by itself.")),
					field("isTrial", model.TypeBool, "A trial."),
					required(atCreate(text("termDuration", "P1M, P1Y or P3Y."))),
					required(atCreate(text("billingCycle", "monthly, annual or triennial."))),
					field("refundableQuantity.totalQuantity", model.TypeQuantity, "Seats that may be removed with a refund."),
					field("refundable", model.TypeList, "The open windows for removing seats."),
					scheduled(costs(field("scheduledNextTermInstructions.quantity", model.TypeQuantity, "Seats of the next term."))),
					scheduled(oneOf(text("termEndAction", "What is to happen when the term ends."), "renew", "cancel", "extend")),
					scheduled(costs(text("nextProduct", "Product of the next term, as prices name it."))),
					field("minimumQuantity", model.TypeQuantity, "Fewest seats."),
					field("maximumQuantity", model.TypeQuantity, "Most seats."),
					text("promotionId", "Promotion it was bought with."),
					text("scheduledNextTermInstructions.termDuration", "The next term."),
					text("partnerId", "The indirect reseller."),
				},
			},
			{
				Name: "price", Title: "Price", Doc: "A row of the price sheet.",
				Abilities: []connectors.Ability{connectors.AbilityList},
				Fields: []connectors.Field{
					text("id", "SKU, term and billing plan."),
					text("sku", "SKU; leading zeros stay."),
					text("productTitle", "Product family."),
					text("skuTitle", "Product name."),
					text("termDuration", "P1M, P1Y or P3Y."),
					text("billingPlan", "monthly, annual or triennial."),
					field("unitCostMonth", model.TypeMoney, "Cost of a seat and month, all digits."),
					field("erpPriceMonth", model.TypeMoney, "Recommended price of a seat and month, all digits."),
				},
			},
		},
		Settings: settings,
		Feed:     true,
		Limits:   limits,
		Rejects:  []connectors.Reject{{What: "A subscription has whole seats, one or more.", Verified: "by the tests of this package"}},
	},
	initial: map[string]model.Fields{
		"customer": {"agreed": model.Bool(true)},
		"subscription": {
			"productType": model.Text("OnlineServicesNCE"), "status": model.Text(model.StatusActive),
			"isTrial": model.Bool(false), "autoRenewEnabled": model.Bool(true),
		},
	},
	check: func(kind, name string, v model.Value) string {
		if kind != "subscription" || name != "quantity" && (name != nextQuantity || v.Blank()) {
			return ""
		}
		if q, ok := v.Quantity(); !ok || !q.Whole() || q.Sign() <= 0 {
			return "a subscription has whole seats, one or more"
		}
		return ""
	},
	derive:   newTenant,
	schedule: scheduleTermEnd,
	ordered: func(now time.Time, fields model.Fields) {
		start := model.DayOf(now)
		fields["creationDate"], fields["effectiveStartDate"] = model.Instant(now), model.DayValue(start)
		fields["commitmentEndDate"] = model.DayValue(start.AddMonths(model.Term{Duration: fields["termDuration"].String()}.Months()).Add(-1))
		fields["cancellationAllowedUntilDate"] = model.Instant(now.Add(168 * time.Hour))
		fields["offerName"] = model.Text("Order of " + fields["sku"].String())
		fields["refundableQuantity.totalQuantity"] = fields["quantity"]
	},
}

// newTenant gives a customer that was created what it does not choose itself.
func newTenant(kind string, fields model.Fields) {
	if kind != "customer" || !fields["companyProfile.companyName"].Blank() || fields["billingProfile.companyName"].Blank() {
		return
	}
	fields["companyProfile.companyName"], fields["companyProfile.tenantId"] = fields["billingProfile.companyName"], fields["id"]
	fields["domains"] = model.List(fields[domainField].String())
}

const domainField = "companyProfile.domain"

// The fields in which a subscription says what happens at the end of its term.
const (
	nextQuantity = "scheduledNextTermInstructions.quantity"
	nextAction   = "termEndAction"
)

// scheduleTermEnd completes what was asked for: a number of seats means renewing, renewing as it is means the seats of today, cancelling
// leaves no seats to renew.
func scheduleTermEnd(now, edits model.Fields) {
	seats, seatsAsked := edits[nextQuantity]
	action, actionAsked := edits[nextAction]
	switch {
	case actionAsked && action.String() == "renew" && !seatsAsked && now[nextQuantity].Blank():
		edits[nextQuantity] = now["quantity"]
	case actionAsked && action.String() != "renew":
		edits[nextQuantity] = model.Empty(model.TypeQuantity)
	case seatsAsked && seats.Blank():
		edits[nextAction] = model.Empty(model.TypeText)
	case seatsAsked:
		edits[nextAction] = model.Text("renew")
	}
}

// ticketStatuses are the words that a ticket's status may be.
var ticketStatuses = []string{"New", "In Progress", "Approved", "Rejected", "Completed"}

var psaSystem = system{
	descriptor: connectors.Descriptor{
		System: "memorypsa",
		Title:  "PSA in memory",
		Role:   connectors.RolePSA,
		Kinds: []connectors.Kind{
			{
				Name: "company", Title: "Company", Doc: "A company the MSP bills.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
				Custom:    "custom.", Own: "custom.Vendor Tenant Ids",
				Fields: []connectors.Field{
					text("id", "Id of the company."),
					required(writable(limited(text("name", "Company name."), 50))),
					writable(text("addressLine1", "Street.")),
					writable(text("addressLine2", "Second address line.")),
					writable(text("city", "City.")),
					writable(text("state", "State or region.")),
					writable(limited(text("zip", "Postal code; leading zeros stay."), 12)),
					text("country", "Country."),
					text("status", "Active, Credit Hold or another word."),
					writable(text("phoneNumber", "Telephone number.")),
					writable(text("website", "Web address.")),
					writable(text("taxIdentifier", "Tax number.")),
					field("types", model.TypeList, "Types by name."),
					field("deletedFlag", model.TypeBool, "Deleted, and kept for the records."),
				},
			},
			{
				Name: "contact", Title: "Contact", Doc: "A person at a company.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
				Fields: []connectors.Field{
					text("id", "Id of the contact."),
					required(atCreate(text("company", "Id of the company."))),
					required(writable(text("firstName", "Given name."))),
					writable(text("lastName", "Family name.")),
					writable(text("email", "E-mail address.")),
					writable(text("phone", "Telephone number.")),
					writable(field("defaultFlag", model.TypeBool, "The company's main contact.")),
				},
			},
			{
				Name: "catalogItem", Title: "Catalog item", Doc: "A product that lines can bill.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate},
				Fields: []connectors.Field{
					text("id", "Id of the item."),
					required(atCreate(limited(text("identifier", "Short name."), 60))),
					required(atCreate(text("description", "Product name."))),
					atCreate(text("customerDescription", "Text on the invoice.")),
					atCreate(oneOf(text("productClass", "What kind of item it is."), "Agreement", "Service", "NonInventory")),
					atCreate(text("vendorSku", "The vendor's SKU; leading zeros stay.")),
					atCreate(text("manufacturerPartNumber", "Product key.")),
					atCreate(field("price", model.TypeMoney, "Price.")),
					atCreate(field("cost", model.TypeMoney, "Cost.")),
					field("inactiveFlag", model.TypeBool, "Not for new lines."),
				},
			},
			{
				Name: "agreement", Title: "Agreement", Doc: "A contract of a company.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate},
				Fields: []connectors.Field{
					text("id", "Id of the agreement."),
					required(atCreate(text("name", "Name."))),
					required(atCreate(text("type", "Agreement type, by name."))),
					required(atCreate(text("company", "Id of the company."))),
					required(atCreate(field("startDate", model.TypeDay, "First day."))),
					atCreate(field("endDate", model.TypeDay, "Last day; empty while it is open.")),
					field("cancelledFlag", model.TypeBool, "Cancelled."),
				},
			},
			{
				Name: "addition", Title: "Addition", Parent: "agreement", Doc: "A line of an agreement.",
				Abilities: []connectors.Ability{
					connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange, connectors.AbilityEnd,
				},
				Custom: "custom.", Own: "custom.Vendor Subscription Id",
				Fields: []connectors.Field{
					text("id", "Id of the addition."),
					required(atCreate(text("product", "Id of the catalog item."))),
					required(costs(writable(field("quantity", model.TypeQuantity, "Seats on the line.")))),
					costs(writable(field("lessIncluded", model.TypeQuantity, "Seats in the base fee."))),
					field("billedQuantity", model.TypeQuantity, "quantity less lessIncluded."),
					costs(writable(field("unitPrice", model.TypeMoney, "Price of a seat."))),
					writable(field("unitCost", model.TypeMoney, "Cost of a seat.")),
					required(atCreate(field("effectiveDate", model.TypeDay, "First billed day."))),
					field("cancelledDate", model.TypeDay, "Last billed day; empty while it bills."),
					costs(writable(oneOf(text("billCustomer", "Whether the customer pays."), "Billable", "NoCharge", "DoNotBill"))),
					writable(text("invoiceDescription", "Text on the invoice.")),
					text("updatedBy", "Who changed it last: trueup or user."),
				},
			},
			{
				Name: "opportunity", Title: "Opportunity", Doc: "An offer to a company.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityChange},
				Fields: []connectors.Field{
					text("id", "Id of the opportunity."),
					text("name", "Title."),
					text("company", "Id of the company."),
					text("status", "Status, by name."),
					field("won", model.TypeBool, "The company said yes."),
					field("closedDate", model.TypeInstant, "When it did, UTC."),
					field("validUntil", model.TypeDay, "Last day of the offer."),
					writable(text("result", "What became of it.")),
				},
			},
			{
				Name: "productItem", Title: "Product on an opportunity", Doc: "What is offered.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead},
				Fields: []connectors.Field{
					text("id", "Id of the product item."),
					text("opportunity", "Id of the opportunity."),
					text("catalogItem", "Id of the catalog item."),
					text("description", "What the offer calls it."),
					field("quantity", model.TypeQuantity, "Seats."),
					field("price", model.TypeMoney, "Price of a seat."),
					field("cost", model.TypeMoney, "Cost of a seat."),
					field("cancelledFlag", model.TypeBool, "Taken off."),
				},
			},
			{
				Name: "ticket", Title: "Ticket", Doc: "A service ticket.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
				Fields: []connectors.Field{
					text("id", "Id of the ticket."),
					required(writable(limited(text("summary", "One line."), 100))),
					required(atCreate(text("company", "Id of the company."))),
					required(atCreate(text("board", "Board by name; there is one, called Cloud."))),
					writable(oneOf(text("status", "Status by name."), ticketStatuses...)),
					atCreate(text("type", "Type by name.")),
					atCreate(oneOf(text("priority", "Priority by name."), "Low", "Medium", "High")),
					atCreate(limited(text("externalXRef", "Id in another system."), 100)),
					atCreate(text("analysis", "What it said when it was opened.")),
					field("closedFlag", model.TypeBool, "Its status is Completed."),
					text("updatedBy", "Who changed it last: trueup or user."),
				},
			},
			{
				Name: "ticketNote", Title: "Ticket note", Parent: "ticket", Doc: "A note on a ticket.",
				Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate},
				Fields: []connectors.Field{
					text("id", "Id of the note."),
					required(atCreate(text("text", "What it says."))),
				},
			},
		},
		Settings: settings,
		Feed:     true,
		Limits:   limits,
		Rejects: []connectors.Reject{
			{What: "A line cannot end before it starts.", Verified: "by the tests of this package"},
			{What: "An agreement needs an existing company, a line an existing catalog item, a ticket an existing company and a board called Cloud.", Verified: "by the tests of this package"},
		},
	},
	references: map[[2]string]string{
		{"agreement", "company"}: "company",
		{"contact", "company"}:   "company",
		{"addition", "product"}:  "catalogItem",
		{"ticket", "company"}:    "company",
	},
	initial: map[string]model.Fields{
		"company":     {"deletedFlag": model.Bool(false), "status": model.Text("Active")},
		"contact":     {"defaultFlag": model.Bool(false)},
		"ticket":      {"status": model.Text("New"), "priority": model.Text("Medium")},
		"catalogItem": {"inactiveFlag": model.Bool(false), "productClass": model.Text("Agreement")},
		"agreement":   {"cancelledFlag": model.Bool(false)},
		"opportunity": {"won": model.Bool(false), "status": model.Text("Open")},
		"productItem": {"cancelledFlag": model.Bool(false)},
		"addition":    {"lessIncluded": model.Int(0), "billCustomer": model.Text("Billable")},
	},
	check: func(kind, name string, v model.Value) string {
		if kind == "ticket" && name == "board" && v.String() != "Cloud" {
			return "there is no board of this name"
		}
		if kind != "addition" || (name != "quantity" && name != "lessIncluded") {
			return ""
		}
		if q, ok := v.Quantity(); !ok || q.Sign() < 0 {
			return "a line counts seats from zero up"
		}
		return ""
	},
	derive: func(kind string, fields model.Fields) {
		if kind == "ticket" {
			fields["closedFlag"] = model.Bool(fields["status"].String() == "Completed")
		}
		if kind != "addition" {
			return
		}
		quantity, _ := fields["quantity"].Quantity()
		included, _ := fields["lessIncluded"].Quantity()
		fields["billedQuantity"] = model.QuantityValue(quantity.Sub(included))
	},
	signature:  "updatedBy",
	startField: "effectiveDate",
	endField:   "cancelledDate",
}
