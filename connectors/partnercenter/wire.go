package partnercenter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// object is a decoded resource. Numbers are json.Number. Names are found whatever their case, as the service mixes it.
type object map[string]any

func (o object) member(name string) (any, bool) {
	if v, ok := o[name]; ok {
		return v, true
	}
	for key, v := range o {
		if strings.EqualFold(key, name) {
			return v, true
		}
	}
	return nil, false
}

// at follows a dotted path; ok is false when it was not delivered.
func (o object) at(path string) (v any, ok bool) {
	name, rest, nested := strings.Cut(path, ".")
	v, ok = o.member(name)
	if !ok || !nested {
		return v, ok
	}
	inner, isObject := v.(map[string]any)
	if !isObject {
		return nil, false
	}
	return object(inner).at(rest)
}

// text is the text or number at a path, "" when there is none.
func (o object) text(path string) string {
	v, _ := o.at(path)
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// objects are the members of a list of objects.
func (o object) objects(path string) []object {
	v, _ := o.at(path)
	list, _ := v.([]any)
	var found []object
	for _, item := range list {
		if inner, ok := item.(map[string]any); ok {
			found = append(found, object(inner))
		}
	}
	return found
}

// member is one native field and how it is read.
type member struct {
	connectors.Field
	optional bool                       // the service leaves it out when it is empty; without this, left out means not delivered
	compute  func(o object) model.Value // for fields made of several members; nil reads the path Field.Name
}

func text(name, doc string) member {
	return member{Field: connectors.Field{Name: name, Type: model.TypeText, Doc: doc}}
}

func optional(name string, t model.Type, doc string) member {
	return member{Field: connectors.Field{Name: name, Type: t, Doc: doc}, optional: true}
}

func typed(name string, t model.Type, doc string) member {
	return member{Field: connectors.Field{Name: name, Type: t, Doc: doc}}
}

func computed(name string, t model.Type, doc string, compute func(o object) model.Value) member {
	return member{Field: connectors.Field{Name: name, Type: t, Doc: doc}, compute: compute}
}

// customerMembers: https://learn.microsoft.com/partner-center/developer/customer-resources
var customerMembers = []member{
	computed("id", model.TypeText, "The customer's tenant id, lower case.", func(o object) model.Value { return lower(o, "id") }),
	text("companyProfile.companyName", "Company name."),
	atCreate(text("companyProfile.domain", "The customer's onmicrosoft domain. A new customer gets it with its tenant, and keeps it for ever; its first part is enough to ask for it."), true),
	computed("companyProfile.tenantId", model.TypeText, "Tenant id, the same as id.", func(o object) model.Value { return lower(o, "companyProfile.tenantId") }),
	text("relationshipToPartner", "reseller, advisor, syndication, microsoft_support or none."),
	computed("domains", model.TypeList, "companyProfile.domain as a list, lower case. Custom domains are in customDomains.", domains),
	typed("customDomains", model.TypeList, "All domains of the customer, the onmicrosoft one included. Only when one customer is read."),
	text("companyProfile.email", "Company e-mail address. Only when one customer is read."),
	text("companyProfile.address.addressLine1", "Street. Only when one customer is read, as all of the address."),
	text("companyProfile.address.addressLine2", "Second address line."),
	text("companyProfile.address.city", "City."),
	text("companyProfile.address.region", "State or region."),
	text("companyProfile.address.postalCode", "Postal code."),
	text("companyProfile.address.country", "Country, ISO 3166-1 alpha-2."),
	text("companyProfile.address.phoneNumber", "Telephone number."),
	billing("companyName", "Company name on bills. Only when one customer is read, as all of the billing profile.", true),
	billing("email", "Billing e-mail address.", true),
	atCreate(billing("culture", "Culture, such as en-GB; made of language and country when a new customer names none.", false), false),
	atCreate(billing("language", "Language, such as en; the setting language when a new customer names none.", false), false),
	billing("defaultAddress.firstName", "Given name of the person bills go to.", true),
	billing("defaultAddress.lastName", "Family name of the person bills go to.", true),
	billing("defaultAddress.addressLine1", "Street of the billing address.", true),
	billing("defaultAddress.addressLine2", "Second line of the billing address.", true),
	billing("defaultAddress.city", "City of the billing address.", true),
	billing("defaultAddress.state", "State of the billing address.", true),
	billing("defaultAddress.postalCode", "Postal code of the billing address.", true),
	atCreate(billing("defaultAddress.country", "Country of the billing address, ISO 3166-1 alpha-2; it cannot be changed later.", false), true),
	billing("defaultAddress.phoneNumber", "Telephone number of the billing address.", true),
	text("associatedPartnerId", "Tenant id of the customer's indirect reseller; the setting reseller decides it for a new customer. Only when one customer is read."),
	atCreate(text("companyProfile.organizationRegistrationNumber", "Company registration number. Sent with a new customer in those countries that want one (unverified list), and left out elsewhere. Only when one customer is read."), false),
}

// billing is a member of the billing profile. Where the profile was delivered, a member that it lacks is empty.
func billing(name, doc string, writable bool) member {
	path := billingProfile + name
	within, _, _ := cutLast(path)
	m := member{Field: connectors.Field{Name: path, Type: model.TypeText, Doc: doc, Writable: writable}}
	m.Required = requiredInProfile[name]
	m.compute = func(o object) model.Value {
		if v, ok := o.at(within); !ok || v == nil {
			return model.Value{}
		}
		return model.Text(o.text(path))
	}
	return m
}

const billingProfile = "billingProfile."

// requiredInProfile are the members without which the service takes no billing profile.
var requiredInProfile = map[string]bool{"companyName": true, "email": true, "defaultAddress.addressLine1": true, "defaultAddress.city": true}

func cutLast(path string) (before, after string, found bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// atCreate is a member that only a new customer takes.
func atCreate(m member, required bool) member {
	m.Writable, m.Create, m.Required = false, true, required
	return m
}

// subscriptionMembers: https://learn.microsoft.com/partner-center/developer/subscription-resources
var subscriptionMembers = []member{
	computed("id", model.TypeText, "Subscription id, lower case. Unique within its customer; stays through renewals, changes on a transition.", func(o object) model.Value { return lower(o, "id") }),
	text("offerId", "ProductId:SkuId:AvailabilityId; a GUID for legacy offers. The availability changes over time."),
	{Field: connectors.Field{Name: fieldSKU, Type: model.TypeText, Create: true, Required: true, Doc: "ProductId:SkuId out of offerId, leading zeros kept; empty for legacy offers."},
		compute: func(o object) model.Value { return model.Text(skuOf(o.text("offerId"))) }},
	text("offerName", "Product name."),
	{Field: connectors.Field{Name: "friendlyName", Type: model.TypeText, Writable: true, Required: true,
		Doc: "Nickname the partner gave it. An order is found again by it, so it must be one that no other order of the customer has."}, optional: true},
	text("productType.id", "OnlineServicesNCE for New Commerce seats; OnlineServices for legacy ones; Azure, Software, SaaS and others."),
	{Field: connectors.Field{Name: "quantity", Type: model.TypeQuantity, Writable: true, Required: true, Costs: true, Doc: "Seats purchased, a whole number."}},
	text("unitType", "What is counted: Licenses, Usage-based, Benefit."),
	computed(fieldAssigned, model.TypeQuantity, "Seats given to users, its share of the product's figure; not delivered with assigned: skip, or where the customer gives no right to it.",
		func(object) model.Value { return model.Value{} }), // filled in by seats.go
	{Field: connectors.Field{Name: "parentSubscriptionId", Type: model.TypeText, Doc: "Base subscription of a legacy add-on; empty otherwise."},
		compute: func(o object) model.Value { return model.Text(strings.ToLower(o.text("parentSubscriptionId"))) }},
	typed("creationDate", model.TypeInstant, "When it was bought, UTC."),
	typed("effectiveStartDate", model.TypeDay, "First day of the current term, UTC."),
	optional("commitmentEndDate", model.TypeDay, "Last day of the current term, inclusive, UTC; empty without a term."),
	optional("cancellationAllowedUntilDate", model.TypeInstant, "Last moment to cancel, UTC; empty when the window is closed."),
	text("status", "active, suspended, expired, disabled, deleted, pending, none, or a word that is new; kept as delivered."),
	{Field: connectors.Field{Name: "autoRenewEnabled", Type: model.TypeBool, Writable: true, Doc: "Renews by itself at the end of the term. Switching it off deletes what is scheduled for the renewal."}},
	typed("isTrial", model.TypeBool, "A trial: quantity and status are locked."),
	text("billingType", "license, usage, benefit or none."),
	{Field: connectors.Field{Name: fieldCycle, Type: model.TypeText, Create: true, Required: true, Doc: "monthly, annual, triennial, one_time, none or unknown."}},
	{Field: connectors.Field{Name: fieldTerm, Type: model.TypeText, Create: true, Required: true, Doc: "P1M, P1Y or P3Y; empty for usage and perpetual products."}, optional: true},
	computed("refundOptions", model.TypeList, `What cancelling now gives back: "Full until 2031-02-02T00:00:00Z".`, refundOptions),
	optional("refundableQuantity.totalQuantity", model.TypeQuantity, "Seats that may be removed right now."),
	computed("refundable", model.TypeList, `The open windows for removing seats: "4 until 2031-03-11T13:04:55Z".`, refundable),
	optional("scheduledNextTermInstructions.product.productId", model.TypeText, "Product scheduled for the renewal; empty when nothing is scheduled, as all of these."),
	optional("scheduledNextTermInstructions.product.skuId", model.TypeText, "SKU scheduled for the renewal."),
	optional("scheduledNextTermInstructions.product.billingCycle", model.TypeText, "Billing cycle scheduled for the renewal."),
	optional("scheduledNextTermInstructions.product.termDuration", model.TypeText, "Term scheduled for the renewal."),
	optional("scheduledNextTermInstructions.product.promotionId", model.TypeText, "Promotion scheduled for the renewal."),
	{Field: connectors.Field{Name: nextQuantity, Type: model.TypeQuantity, Scheduled: true, Costs: true, Doc: "Seats scheduled for the renewal."}, optional: true},
	{Field: connectors.Field{Name: nextProduct, Type: model.TypeText, Scheduled: true, Costs: true,
		Doc: `What is scheduled for the renewal in one text, "ProductId:SkuId TermDuration billing" as in the price sheet; empty when nothing is scheduled. It is scheduled together with its seats.`},
		compute: nextProductKey},
	optional("scheduledNextTermInstructions.customTermEndDate", model.TypeDay, "Last day scheduled for the next term, UTC."),
	{Field: connectors.Field{Name: termEnd, Type: model.TypeText, Scheduled: true, Costs: true, Allowed: []string{actionRenew, actionCancel, actionExtend, actionTransition, actionOther},
		Doc: "What is told to happen when the term ends, out of scheduledActions and scheduledNextTermInstructions: renew, cancel, extend, transition or other; empty when nobody said. trueup schedules renew, cancel and extend."},
		compute: nextTermAction},
	typed("minimumQuantity", model.TypeQuantity, "Fewest seats of this product in one subscription, out of the catalogue; not delivered where the catalogue does not say."),
	typed("maximumQuantity", model.TypeQuantity, "Most seats of this product in one subscription, out of the catalogue."),
	optional("promotionId", model.TypeText, "Promotion it was bought with."),
	optional("partnerId", model.TypeText, "MPN id of the indirect reseller; empty for direct customers."),
	optional("orderId", model.TypeText, "Order it came from."),
	typed("hasPurchasableAddons", model.TypeBool, "Add-ons can be bought for it."),
	optional("suspensionReasons", model.TypeList, "Why it is suspended."),
	optional("actions", model.TypeList, "What the service offers to do with it: edit, cancel."),
}

func lower(o object, path string) model.Value {
	if v, ok := o.at(path); !ok || v == nil {
		return model.Value{}
	}
	return model.Text(strings.ToLower(o.text(path)))
}

// skuOf is ProductId:SkuId of a catalogue item id.
func skuOf(offer string) string {
	parts := strings.Split(offer, ":")
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + ":" + parts[1]
}

// domains holds the same in lists and when one customer is read: a list that is sometimes short would look like a change.
func domains(o object) model.Value {
	return model.List(strings.ToLower(o.text("companyProfile.domain")))
}

func refundOptions(o object) model.Value {
	var found []string
	for _, option := range o.objects("refundOptions") {
		until := option.text("expiresAt")
		if until == "" {
			until = option.text("expiresAfter") // the documents use both names
		}
		found = append(found, option.text("type")+" until "+moment(until))
	}
	return model.List(found...)
}

func refundable(o object) model.Value {
	var found []string
	for _, detail := range o.objects("refundableQuantity.details") {
		found = append(found, detail.text("quantity")+" until "+moment(detail.text("allowedUntilDateTime")))
	}
	return model.List(found...)
}

// moment writes a time in the one form we use, and leaves what is not a time as it is.
func moment(s string) string {
	if t, err := parseTime(s); err == nil && !t.IsZero() {
		return t.UTC().Format(time.RFC3339)
	}
	return s
}

// parseTime reads the vendor's times: with a zone or without one (UTC), with any number of fractional digits. Year 1 and
// year 9999 stand for "none"; they give the zero time.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if t = t.UTC(); t.Year() <= 1 || t.Year() >= 9999 {
			return time.Time{}, nil
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time", s)
}

// decodeObject keeps numbers exact.
func decodeObject(raw json.RawMessage) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("the service sent %s where a record was expected", firstLine(string(raw)))
	}
	return o, nil
}

// fields reads an object by a table. An error names the field that cannot be read.
func fields(members []member, o object) (model.Fields, error) {
	read := model.Fields{}
	for _, m := range members {
		v, err := m.value(o)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", m.Name, err)
		}
		if v.Known() {
			read[m.Name] = v
		}
	}
	return read, nil
}

func (m member) value(o object) (model.Value, error) {
	if m.compute != nil {
		return m.compute(o), nil
	}
	v, delivered := o.at(m.Name)
	switch {
	case !delivered && !m.optional:
		return model.Value{}, nil
	case v == nil:
		return model.Empty(m.Type), nil
	}
	switch v := v.(type) {
	case bool:
		if m.Type == model.TypeBool {
			return model.Bool(v), nil
		}
	case json.Number:
		return parseValue(m.Type, v.String())
	case string:
		return parseValue(m.Type, v)
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, fmt.Sprint(item))
		}
		if m.Type == model.TypeList {
			return model.List(items...), nil
		}
	}
	return model.Value{}, fmt.Errorf("the service sent a %T where %s was expected", v, m.Type)
}

func parseValue(t model.Type, s string) (model.Value, error) {
	if t != model.TypeInstant && t != model.TypeDay || s == "" {
		return model.Parse(t, s)
	}
	at, err := parseTime(s)
	switch {
	case err != nil:
		return model.Value{}, err
	case at.IsZero():
		return model.Empty(t), nil
	case t == model.TypeDay:
		return model.DayValue(model.DayOf(at)), nil
	}
	return model.Instant(at), nil
}

// resource is a subscription as it was received, to be sent back whole: members we do not know included, numbers digit by
// digit.
type resource map[string]json.RawMessage

func (r resource) clone() resource { return maps.Clone(r) }

// key is the name under which the service wrote a member; the one that is spelled as asked, where there are two.
func (r resource) key(name string) string {
	if _, exact := r[name]; exact {
		return name
	}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if strings.EqualFold(key, name) {
			return key
		}
	}
	return name
}

// get is a member's JSON; nil when it is absent or null.
func (r resource) get(name string) json.RawMessage {
	raw := r[r.key(name)]
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (r resource) set(name string, raw json.RawMessage) { r[r.key(name)] = raw }

func (r resource) drop(name string) { delete(r, r.key(name)) }
