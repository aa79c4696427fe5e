package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// Kinds of the vendor.
const (
	kindCustomer     = "customer"
	kindSubscription = "subscription"
	kindPrice        = "price"
)

const (
	customPrefix  = "custom."
	defaultMember = "jdoe"
)

// vendorEdits and psaEdits are what may be set, by kind. The PSA's names are those of its API; a custom field is
// custom.<caption>.
var (
	vendorEdits = map[string][]string{
		kindCustomer:     {},
		kindSubscription: {"quantity", "status", "auto_renew", "friendly_name"},
	}
	psaEdits = map[string][]string{
		"company": {"name", "identifier", "status", "types", "addressLine1", "addressLine2", "city", "state", "zip", "country", "phoneNumber", "website",
			"accountNumber", "taxIdentifier", "currency", "defaultContact", "deletedFlag"},
		"contact": {"firstName", "lastName", "company", "title", "defaultFlag", "inactiveFlag", "communicationItems"},
		"agreement": {"name", "type", "company", "contact", "parentAgreement", "customerPO", "startDate", "endDate", "noEndingDateFlag", "cancelledFlag",
			"dateCancelled", "reasonCancelled", "billingCycle", "billAmount", "prorateFlag", "currency"},
		"addition": {"product", "quantity", "lessIncluded", "unitPrice", "unitCost", "billCustomer", "effectiveDate", "cancelledDate", "taxableFlag",
			"serialNumber", "invoiceDescription", "sequenceNumber"},
		"catalogItem": {"identifier", "description", "customerDescription", "subcategory", "type", "category", "productClass", "price", "cost", "taxableFlag",
			"vendorSku", "manufacturerPartNumber", "integrationXRef", "inactiveFlag"},
		"opportunity": {"name", "status", "company", "contact", "primarySalesRep", "expectedCloseDate", "customerPO", "source", "notes"},
		"productItem": {"catalogItem", "opportunity", "description", "quantity", "price", "cost", "billableOption", "cancelledFlag"},
	}
)

// edit is the body of POST /v1/edit.
type edit struct {
	Side   string          `json:"side"`
	Kind   string          `json:"kind"`
	ID     json.RawMessage `json:"id"`
	Parent json.RawMessage `json:"parent"` // when given, it must be the right one
	By     string          `json:"by"`     // psa only
	Set    json.RawMessage `json:"set"`
	Delete bool            `json:"delete"`
}

// postEdit changes or deletes a record.
func (s *Sandbox) postEdit(r *http.Request) (int, any, error) {
	var e edit
	if err := decodeBody(r, &e); err != nil {
		return 0, nil, err
	}
	id, err := idText(e.ID)
	if err != nil {
		return 0, nil, err
	}
	parent, err := idText(e.Parent)
	switch {
	case err != nil:
		return 0, nil, err
	case id == "":
		return 0, nil, refuse("id is missing")
	case e.Delete == (len(e.Set) > 0):
		return 0, nil, refuse(`give either set, with what to change, or "delete": true`)
	}
	switch e.Side {
	case sideVendor:
		err = s.editVendor(e, id, parent)
	case sidePSA:
		err = s.editPSA(e, id, parent)
	default:
		err = refuse("unknown side %q; %s", e.Side, knownNames(sides))
	}
	if err != nil || e.Delete {
		return http.StatusOK, map[string]any{"deleted": id}, err
	}
	record, err := s.find(e.Side, e.Kind, id)
	return http.StatusOK, record, err
}

// vendorSet is what may be set on a subscription.
type vendorSet struct {
	Quantity     *int    `json:"quantity"`
	Status       *string `json:"status"`
	AutoRenew    *bool   `json:"auto_renew"`
	FriendlyName *string `json:"friendly_name"`
}

// editVendor works as somebody in the vendor's web pages would, whose name is always the same there.
func (s *Sandbox) editVendor(e edit, id, parent string) error {
	if e.By != "" {
		return refuse("by is for the psa; the vendor's activity log always names the same person")
	}
	record, err := s.find(sideVendor, e.Kind, id)
	if err != nil {
		return err
	}
	if e.Kind == kindCustomer {
		if !e.Delete {
			return refuse("a customer of the vendor can be deleted, which ends the relationship, but not changed")
		}
		s.vendor.RemoveCustomer(id)
		return nil
	}
	sub, ok := record.(partnercentertest.Subscription)
	switch {
	case !ok:
		return refuse("unknown kind %q", e.Kind)
	case parent != "" && !strings.EqualFold(parent, sub.Customer):
		return refuse("subscription %s belongs to customer %s, not to %s", id, sub.Customer, parent)
	case e.Delete:
		return refuse(`a subscription cannot be deleted; cancel it: "set": {"status": "deleted"}`)
	}
	var set vendorSet
	if err := decodeStrict(e.Set, &set); err != nil {
		return err
	}
	if err := set.allowed(sub, s.Now()); err != nil {
		return err
	}
	if set.Quantity != nil {
		if err := s.vendor.EditQuantity(id, *set.Quantity); err != nil {
			return refuse("%v", err)
		}
	}
	if set.Status == nil && set.AutoRenew == nil && set.FriendlyName == nil {
		return nil
	}
	now := s.Now()
	if err := s.vendor.Edit(id, func(sub *partnercentertest.Subscription) { set.apply(sub, now) }); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// allowed refuses what the vendor would; the quantity has its rules in the stand-in.
func (set vendorSet) allowed(sub partnercentertest.Subscription, now time.Time) error {
	over := slices.Contains([]string{"expired", "disabled", "deleted"}, sub.Status)
	switch {
	case set.Status == nil && set.AutoRenew == nil && set.FriendlyName == nil && set.Quantity == nil:
		return refuse("set is empty; %s", knownNames(vendorEdits[kindSubscription]))
	case over:
		return refuse("subscription %s is %s and takes no changes", sub.ID, sub.Status)
	case set.Quantity != nil && (set.Status != nil || set.AutoRenew != nil):
		return refuse("set the quantity alone: a change of status or renewal is another visit to the vendor's pages")
	case set.AutoRenew != nil && *set.AutoRenew && sub.Status != "active":
		return refuse("subscription %s is %s and cannot renew by itself", sub.ID, sub.Status)
	case set.Status == nil:
		return nil
	case sub.Trial:
		return refuse("subscription %s is a trial: its status cannot be changed", sub.ID)
	case !slices.Contains([]string{"active", "suspended", "deleted"}, *set.Status):
		return refuse("status %q cannot be set; %s", *set.Status, knownNames([]string{"active", "suspended", "deleted"}))
	case *set.Status == "deleted" && now.After(sub.CancelUntil):
		return refuse("subscription %s could be cancelled until %s only", sub.ID, sub.CancelUntil.Format(time.RFC3339))
	}
	return nil
}

// apply does what the vendor does: leaving the active status ends automatic renewal, and switching that off forgets what
// was scheduled.
func (set vendorSet) apply(sub *partnercentertest.Subscription, now time.Time) {
	if set.FriendlyName != nil {
		sub.FriendlyName = *set.FriendlyName
	}
	if set.AutoRenew != nil {
		sub.AutoRenew = *set.AutoRenew
	}
	if set.Status != nil && *set.Status != sub.Status {
		sub.Status, sub.StatusAt, sub.Reasons = *set.Status, now, nil
		if sub.Status == "suspended" {
			sub.Reasons = []string{"Partner"}
		}
		if sub.Status != "active" {
			sub.AutoRenew = false
		}
	}
	if !sub.AutoRenew {
		sub.Next = nil
	}
	sub.Updates++
}

// editPSA works as a member would in the PSA's screens.
func (s *Sandbox) editPSA(e edit, id, parent string) error {
	if _, err := s.find(sidePSA, e.Kind, id); err != nil {
		return err
	}
	n, err := wholeID(id)
	if err != nil {
		return err
	}
	if parent != "" {
		if e.Kind != "addition" {
			return refuse("parent is for additions: it names their agreement")
		}
		if is := fmt.Sprint(s.psa.Record(e.Kind, n)["agreementId"]); is != parent {
			return refuse("addition %s stands on agreement %s, not on %s", id, is, parent)
		}
	}
	if e.Delete {
		if e.By != "" {
			return refuse("by is not kept of a deletion; leave it out")
		}
		if err := s.psa.Remove(e.Kind, n); err != nil {
			return refuse("%v", err)
		}
		return nil
	}
	if e.By == "" {
		e.By = defaultMember
	}
	fields := map[string]any{}
	if len(e.Set) == 0 || e.Set[0] != '{' {
		return refuse("set must be an object")
	}
	err = eachMember(e.Set, func(name string, value json.RawMessage) error {
		if !slices.Contains(psaEdits[e.Kind], name) && !strings.HasPrefix(name, customPrefix) {
			return refuse("unknown member %q in set; %s; a custom field is %s<caption>", name, knownNames(psaEdits[e.Kind]), customPrefix)
		}
		fields[name] = value
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(fields) == 0:
		return refuse("set is empty; %s", knownNames(psaEdits[e.Kind]))
	}
	if err := s.psa.Edit(e.Kind, n, e.By, fields); err != nil {
		return refuse("%v%s", err, details(err))
	}
	return nil
}

// details are the fields that the PSA blames. They are in the answer that an API client would get, which is what the error
// is in JSON, and not in its text.
func details(err error) string {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	raw, marshalErr := json.Marshal(errors.Unwrap(err))
	if marshalErr != nil || json.Unmarshal(raw, &answer) != nil {
		return ""
	}
	text := ""
	for _, e := range answer.Errors {
		text += ": " + e.Message
	}
	return text
}

// newRecord is the body of POST /v1/add.
type newRecord struct {
	Side   string          `json:"side"`
	Kind   string          `json:"kind"`
	Record json.RawMessage `json:"record"`
}

// vendorAdds and psaAdds are the members of new records, by kind.
func vendorAdds() map[string][]string { return recordMembers(vendorRecords) }
func psaAdds() map[string][]string    { return recordMembers(psaRecords) }

var (
	vendorRecords = map[string]reflect.Type{
		kindCustomer: reflect.TypeFor[partnercentertest.Customer](), kindSubscription: reflect.TypeFor[partnercentertest.Subscription](),
		kindPrice: reflect.TypeFor[partnercentertest.Price](),
	}
	psaRecords = map[string]reflect.Type{
		"company": reflect.TypeFor[connectwisetest.Company](), "contact": reflect.TypeFor[connectwisetest.Contact](),
		"catalogItem": reflect.TypeFor[connectwisetest.CatalogItem](), "agreement": reflect.TypeFor[connectwisetest.Agreement](),
		"addition": reflect.TypeFor[connectwisetest.Addition](), "opportunity": reflect.TypeFor[connectwisetest.Opportunity](), "productItem": reflect.TypeFor[connectwisetest.Offered](),
	}
)

func recordMembers(records map[string]reflect.Type) map[string][]string {
	found := map[string][]string{}
	for kind, t := range records {
		found[kind] = memberNames(t)
	}
	return found
}

// postAdd makes a record.
func (s *Sandbox) postAdd(r *http.Request) (int, any, error) {
	var body newRecord
	if err := decodeBody(r, &body); err != nil {
		return 0, nil, err
	}
	records := map[string]map[string]reflect.Type{sideVendor: vendorRecords, sidePSA: psaRecords}[body.Side]
	t, ok := records[body.Kind]
	switch {
	case records == nil:
		return 0, nil, refuse("unknown side %q; %s", body.Side, knownNames(sides))
	case !ok:
		return 0, nil, refuse("unknown kind %q of %s; %s", body.Kind, body.Side, knownNames(slices.Sorted(maps.Keys(records))))
	case len(body.Record) == 0:
		return 0, nil, refuse("record is missing; %s", knownNames(memberNames(t)))
	}
	record := reflect.New(t)
	if err := decodeStrict(body.Record, record.Interface()); err != nil {
		return 0, nil, err
	}
	made, err := s.add(record.Elem().Interface())
	return http.StatusCreated, made, err
}

// add hands a record to its stand-in, after checking what the stand-in takes on trust from its own tests. What is left,
// such as an unknown status name or custom field, makes the stand-in panic, with the reason.
func (s *Sandbox) add(record any) (made any, err error) {
	defer func() {
		reason := recover()
		text, _ := reason.(string)
		what, known := strings.CutPrefix(text, "connectwisetest: ")
		switch {
		case known:
			made, err = nil, refuse("%s", what)
		case reason != nil:
			panic(reason)
		}
	}()
	exists := func(kind string, id int) error {
		if s.psa.Record(kind, id) == nil {
			return refuse("the psa has no %s %d", kind, id)
		}
		return nil
	}
	free := func(kind string, id int) error {
		if id < 0 || id > 0 && s.psa.Record(kind, id) != nil {
			return refuse("%s id %d is taken or not above zero; leave it out", kind, id)
		}
		return nil
	}
	stamp := func(updated *time.Time, by *string) {
		if updated.IsZero() {
			*updated = s.Now() // otherwise the stand-in takes it for a seed, a month old
		}
		if *by == "" {
			*by = defaultMember
		}
	}
	psa := func(kind string, add func() int, checks ...error) (any, error) {
		for _, err := range checks {
			if err != nil {
				return nil, err
			}
		}
		return s.psa.Record(kind, add()), nil
	}
	switch r := record.(type) {
	case partnercentertest.Customer:
		if r.Name == "" {
			return nil, refuse("a customer needs a name")
		}
		if _, err := s.find(sideVendor, kindCustomer, r.ID); r.ID != "" && err == nil {
			return nil, refuse("customer %s exists already", r.ID)
		}
		return s.vendor.AddCustomer(r), nil
	case partnercentertest.Subscription:
		if _, err := s.find(sideVendor, kindCustomer, r.Customer); err != nil {
			return nil, refuse("customer: the vendor has no customer %q", r.Customer)
		}
		if _, err := s.find(sideVendor, kindSubscription, r.ID); r.ID != "" && err == nil {
			return nil, refuse("subscription %s exists already", r.ID)
		}
		if r.Quantity < 1 {
			return nil, refuse("quantity must be above zero")
		}
		return s.vendor.AddSubscription(r), nil
	case partnercentertest.Price:
		if r.ProductID == "" || r.SkuID == "" {
			return nil, refuse("a price needs product_id and sku_id")
		}
		if _, err := decimal.NewFromString(r.UnitPrice); err != nil {
			return nil, refuse("unit_price %q is not an amount", r.UnitPrice)
		}
		s.vendor.SetPrice(r)
		return r, nil
	case connectwisetest.Company:
		if r.Identifier == "" || r.Name == "" {
			return nil, refuse("a company needs an identifier and a name")
		}
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("company", func() int { return s.psa.AddCompany(r) }, free("company", r.ID), s.identifierFree("company", r.Identifier))
	case connectwisetest.Contact:
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("contact", func() int { return s.psa.AddContact(r) }, free("contact", r.ID), exists("company", r.Company))
	case connectwisetest.CatalogItem:
		if r.Identifier == "" {
			return nil, refuse("a catalog item needs an identifier")
		}
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("catalogItem", func() int { return s.psa.AddCatalogItem(r) }, free("catalogItem", r.ID), s.identifierFree("catalogItem", r.Identifier))
	case connectwisetest.Agreement:
		if r.Name == "" {
			return nil, refuse("an agreement needs a name")
		}
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("agreement", func() int { return s.psa.AddAgreement(r) }, free("agreement", r.ID), exists("company", r.Company))
	case connectwisetest.Addition:
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("addition", func() int { return s.psa.AddAddition(r) }, free("addition", r.ID), exists("agreement", r.Agreement), exists("catalogItem", r.Product))
	case connectwisetest.Opportunity:
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("opportunity", func() int { return s.psa.AddOpportunity(r) }, free("opportunity", r.ID), exists("company", r.Company), exists("contact", r.Contact))
	case connectwisetest.Offered:
		stamp(&r.LastUpdated, &r.UpdatedBy)
		return psa("productItem", func() int { return s.psa.AddOffered(r) }, free("productItem", r.ID), exists("opportunity", r.Opportunity), exists("catalogItem", r.Product))
	}
	return nil, refuse("this cannot be added")
}

// identifierFree refuses an identifier that another record has, whatever its case.
func (s *Sandbox) identifierFree(kind, identifier string) error {
	for _, id := range s.psa.IDs(kind) {
		if has, _ := s.psa.Record(kind, id)["identifier"].(string); strings.EqualFold(has, identifier) {
			return refuse("%s %s has the identifier %q already", kind, strconv.Itoa(id), identifier)
		}
	}
	return nil
}
