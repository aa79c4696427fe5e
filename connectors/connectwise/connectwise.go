// Package connectwise speaks to ConnectWise PSA (Manage), where an MSP keeps its customers (companies), what it sells
// (catalog items) and what it bills: agreements with their lines, called additions.
//
// Sign-in is an API member's key pair plus the client id of the integration. The path of the API (the codebase) is asked
// from the login page of the tenant, and asked again when a path that worked is suddenly gone, because hosted tenants move
// on release days.
//
// Reading. Lists are read forward only, by id; where the server does not offer that, page by page in id order. Every full
// listing is checked against the server's own count: one that is short becomes a gap, and so does a PSA that shows no
// company at all. Additions can only be read agreement by agreement, which costs two requests for each; several are read
// at once.
//
// Ids of the other side. The vendor's subscription id is kept on an addition as custom.<id_field>: in the custom field of
// that caption where additions have one, otherwise in the serial number. Tenant ids are kept on a company as
// custom.<tenant_field>, for which an administrator has to add the custom field.
//
// Changing. The PSA has no compare-and-set and no idempotency key. A change reads the record, compares what the caller
// believed, sends only the fields that differ and looks at what came back; an answer of 200 that changed nothing is
// found. A create first looks for the record it would make: an addition with the same subscription id and product, an
// agreement with the same company, type and name, a catalog item with the same identifier and part number, a contact of the
// same name at the company, a company of the same name that keeps the same tenant id. After making an agreement or a catalog
// item it looks again, because a person may have made the same at that moment: the older one counts. A write whose reply was
// lost is never repeated here.
//
// A new company gets a short name made from its name, one site for its address, and the type in default_company_type. A company
// of the same name that does not keep the tenant id is never taken for it: the create is refused, and a person links the two.
//
// Tickets. Only tickets that trueup opened are listed; a create first looks for one with the same external reference, and a note for
// one with the same text on the ticket. What they say is internal, and no contact is sent an e-mail.
//
// A seat change is made in place: it counts for the whole open billing period, as the PSA does not prorate an edited
// quantity. Days travel as midnights UTC, so a day never shifts.
//
// Additions carry no currency: prices and costs are in the currency setting.
//
// Quotes. An opportunity whose status is one that counts as won is an accepted quote; its products are the quote's lines. Both are only
// read, except for the custom field custom.<result_field>, into which is written what became of the quote.
//
// Looking sooner. Callbacks about agreements and companies are hints; their signature is verified with a key that is fetched from the PSA's own host. There
// are none for additions, so one small search for agreements with a new stamp, every few seconds, takes their place.
//
// What moved. Companies, contacts, agreements, catalog items and opportunities with their products are asked for by their change stamp, one request each. The
// PSA cannot list additions by stamp, and whether editing one moves its agreement's stamp is not documented, so it is
// learnt: see evidence in feed.go.
package connectwise

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// System is the entry for the list of systems.
var System = connectors.System{Descriptor: descriptor, New: New}

// The kinds of records.
const (
	kindCompany   = "company"
	kindContact   = "contact"
	kindProduct   = "catalogItem"
	kindAgreement = "agreement"
	kindAddition  = "addition"
	kindOffer     = "opportunity"
	kindOffered   = "productItem"
	kindTicket    = "ticket"
	kindNote      = "ticketNote"
)

const (
	customPrefix       = "custom."
	defaultIDField     = "Vendor Subscription Id"
	defaultTenantField = "Vendor Tenant Ids"
	defaultResultField = "Cloud Order"

	literalDatetime = "datetime"
	literalDate     = "date"

	defaultPerMinute = 200
	defaultParallel  = 4
)

var descriptor = connectors.Descriptor{
	System: "connectwise",
	Title:  "ConnectWise PSA",
	Role:   connectors.RolePSA,
	Kinds: []connectors.Kind{
		{
			Name: kindCompany, Title: "Company",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
			Fields:    fieldsOf(companyMembers), Custom: customPrefix, Own: customPrefix + defaultTenantField,
			Doc: "A customer. Deleted companies are not listed. An inactive company is one with a status that the MSP named so.",
		},
		{
			Name: kindContact, Title: "Contact",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
			Fields:    fieldsOf(contactMembers),
			Doc:       "A person. E-mail and telephone are its default communication items.",
		},
		{
			Name: kindProduct, Title: "Catalog item",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
			Fields:    fieldsOf(productMembers), Custom: customPrefix, Own: "manufacturerPartNumber",
			Doc: "A product. A new price in the catalog does not change additions that exist.",
		},
		{
			Name: kindAgreement, Title: "Agreement",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate},
			Fields:    fieldsOf(agreementMembers), Custom: customPrefix,
			Doc: "A contract that bills one company. Agreements of every status are listed; the setting agreement_types narrows them.",
		},
		{
			Name: kindAddition, Title: "Addition", Parent: kindAgreement,
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange, connectors.AbilityEnd},
			Fields:    fieldsOf(additionMembers), Custom: customPrefix, Own: customPrefix + defaultIDField,
			Doc: "A line of an agreement. Its dates decide whether it bills, not its status.",
		},
		{
			Name: kindOffer, Title: "Opportunity",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityChange},
			Fields:    fieldsOf(offerMembers), Custom: customPrefix, Own: customPrefix + defaultResultField,
			Doc: "A sale in the making. Whether it was won is said by its status, whose meaning is read from the PSA's table of statuses. Read only where a flow turns quotes into orders.",
		},
		{
			Name: kindOffered, Title: "Product on an opportunity",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead},
			Fields:    fieldsOf(offeredMembers),
			Doc:       "A product that stands on an opportunity. Products of tickets, projects and orders are not read.",
		},
		{
			Name: kindTicket, Title: "Service ticket",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
			Fields:    fieldsOf(ticketMembers), Custom: customPrefix,
			Doc: "A service ticket. Only those that trueup opened are listed: the ones whose external reference begins with trueup-. Board, status, type and priority are given by their names; one that is inactive is refused.",
		},
		{
			Name: kindNote, Title: "Ticket note", Parent: kindTicket,
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate},
			Fields:    fieldsOf(noteMembers),
			Doc:       "A note on a ticket. Those that trueup writes are internal: customers do not see them.",
		},
	},
	Settings: []connectors.Setting{
		{Name: "site", Required: true, Doc: "Where the PSA is: api-eu.myconnectwise.net, the address of its screens, or the host of an own installation."},
		{Name: "company", Required: true, Doc: "The company typed at the login page; its case matters."},
		{Name: "public_key", Required: true, Secret: true, Doc: "Public key of the API member."},
		{Name: "private_key", Required: true, Secret: true, Doc: "Private key of the API member."},
		{Name: "client_id", Required: true, Doc: "Client id of the integration, from the vendor's developer site."},
		{Name: "currency", Required: true, Doc: "Currency the PSA bills in, ISO 4217: its prices carry none."},
		{Name: "agreement_types", Doc: "Names of the agreement types to look at, separated by commas; all when empty. Additions of other agreements are not read."},
		{Name: "id_field", Default: defaultIDField, Doc: "Caption of the custom field on additions that keeps the vendor's subscription id. Where additions have no such field the serial number is used."},
		{Name: "tenant_field", Default: defaultTenantField, Doc: "Caption of the custom field on companies that keeps the vendor's tenant ids."},
		{Name: "result_field", Default: defaultResultField, Doc: "Caption of the custom field on opportunities into which is written what became of a quote. Optional."},
		{Name: "default_company_type", Doc: "Company type, by name, of companies that trueup makes, such as Customer; none when empty."},
		{Name: "default_subcategory", Doc: "Subcategory, by name, of catalog items that trueup makes."},
		{Name: "default_product_type", Doc: "Product type, by name, of catalog items that trueup makes."},
		{Name: "date_literal", Default: literalDatetime, Allowed: []string{literalDatetime, literalDate}, Doc: "How moments are written in searches. Set date when incremental reading finds nothing: one own installation understood only days."},
		{Name: "codebase", Doc: "Path of the API, such as v4_6_release/; asked from the site when empty."},
	},
	Feed: true,
	Sooner: connectors.Sooner{
		Webhook: "Callbacks tell of changed agreements and companies; whether editing an addition sends the callback of its agreement is not documented. Each takes one entry in the PSA (`trueup hooks add`).",
		Watch: "One request shows which agreements were edited since, and with them their additions, where the PSA moves the stamp of an agreement with its additions; " +
			"`hints: {every: 5s}` asks so often. Where it does not, the schedule alone carries edits of additions.",
	},
	Limits: connectors.Limits{
		PerMinute: defaultPerMinute, Parallel: defaultParallel, PageSize: pageSize, Unconfirmed: true,
		Doc: "The vendor publishes no limit; integrators report about 1,000 requests a minute for a tenant. A full reading of additions costs two requests an agreement.",
	},
	Rejects: rejects,
}

// Connector is one account of ConnectWise PSA. It is safe for concurrent use.
type Connector struct {
	account     connectors.Account
	rest        *rest.Client
	currency    string
	types       []string // agreement types to look at; nil for all
	idField     string   // native name: custom.Vendor Subscription Id
	tenantField string
	resultField string
	dateOnly    bool
	parallel    int
	descriptor  connectors.Descriptor
	asking      chan struct{} // held while the codebase is asked

	mu       sync.Mutex
	codebase string // with a slash at the end; "" until it was asked
	pinned   bool   // the codebase is a setting
	worked   bool   // some request under the codebase succeeded
	title    string // the company's own name, from the login page
	member   string // our API member, once a write showed its name
	captions map[string]map[string]customField
	evidence evidence
	offers   bool                         // opportunities were listed
	won      map[string]bool              // opportunity statuses by id: whether they mean a sale
	stamps   map[string]connectors.Record // agreements as they were last listed or told of, for their stamps only

	callbacks *callbacks
	watched   map[string]watched // agreements that Watch told of or found, in the time it looks back
	watchedAt time.Time          // by the PSA's clock
}

// New makes a connector; nothing is sent.
func New(a connectors.Account) (connectors.Connector, error) { return build(a, 0) }

// build takes the number of repeats of a failed request; 0 is the default.
func build(a connectors.Account, retries int) (*Connector, error) {
	setting := func(name string) string {
		value := strings.TrimSpace(a.Settings[name])
		if i := slices.IndexFunc(descriptor.Settings, func(s connectors.Setting) bool { return s.Name == name }); value == "" && i >= 0 {
			value = descriptor.Settings[i].Default
		}
		return value
	}
	refuse := func(message, hint string) (*Connector, error) {
		return nil, &connectors.Error{Class: connectors.ClassInvalid, Op: "set up account", Record: a.Name, Message: message, Hint: hint}
	}
	for _, s := range descriptor.Settings {
		value := setting(s.Name)
		if s.Secret {
			value = a.Secrets[s.Name].Reveal()
		}
		switch {
		case s.Required && value == "":
			return refuse("the setting "+s.Name+" is missing", "add it: "+s.Doc)
		case len(s.Allowed) > 0 && !slices.Contains(s.Allowed, value):
			return refuse("the setting "+s.Name+" is "+strconv.Quote(value), "it may be "+strings.Join(s.Allowed, " or "))
		}
	}
	site, err := siteURL(setting("site"))
	if err != nil {
		return refuse("the setting site "+err.Error(), "give a host like api-eu.myconnectwise.net")
	}
	if _, err := model.ParseMoney("0 " + setting("currency")); err != nil {
		return refuse("the setting currency is "+strconv.Quote(setting("currency")), "give a code like GBP")
	}
	budget := a.Budget.Or(descriptor.Limits)
	c := &Connector{
		account: a, currency: setting("currency"), parallel: budget.Parallel,
		idField: customPrefix + setting("id_field"), tenantField: customPrefix + setting("tenant_field"),
		resultField: customPrefix + setting("result_field"),
		dateOnly:    setting("date_literal") == literalDate,
		codebase:    setting("codebase"), pinned: setting("codebase") != "",
		captions: map[string]map[string]customField{}, stamps: map[string]connectors.Record{}, asking: make(chan struct{}, 1),
	}
	if c.pinned {
		c.codebase = strings.Trim(c.codebase, "/") + "/"
	}
	for name := range strings.SplitSeq(setting("agreement_types"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			c.types = append(c.types, name)
		}
	}
	c.descriptor = descriptor
	c.descriptor.Kinds = slices.Clone(descriptor.Kinds)
	for i := range c.descriptor.Kinds {
		switch c.descriptor.Kinds[i].Name {
		case kindAddition:
			c.descriptor.Kinds[i].Own = c.idField
		case kindCompany:
			c.descriptor.Kinds[i].Own = c.tenantField
		case kindOffer:
			c.descriptor.Kinds[i].Own = c.resultField
		}
	}
	user := setting("company") + "+" + a.Secrets["public_key"].Reveal()
	private := a.Secrets["private_key"].Reveal()
	options := rest.Options{
		Account: a.Name, System: descriptor.Title, BaseURL: site, HTTP: a.HTTP, Log: a.Log, Now: a.Now, Retries: retries,
		PerMinute: budget.PerMinute, Parallel: budget.Parallel, Turns: a.Turns, Fault: readFault, Observe: a.Observe,
		Authorize: authorize(user, private, setting("client_id")),
		Secrets:   []connectors.Secret{a.Secrets["public_key"], a.Secrets["private_key"]},
	}
	c.rest, c.callbacks = rest.New(options), newCallbacks(site, options)
	return c, nil
}

// Descriptor implements connectors.Connector.
func (c *Connector) Descriptor() connectors.Descriptor { return c.descriptor }

// cloudHosts are the hosts of the screens whose API has another host.
var cloudHosts = []string{
	"na.myconnectwise.net", "eu.myconnectwise.net", "au.myconnectwise.net", "aus.myconnectwise.net", "za.myconnectwise.net",
	"staging.connectwisedev.com",
}

type siteError string

func (e siteError) Error() string { return string(e) }

// siteURL makes the base address from what people paste: a host, or the address of the screens. Plain http is for a
// loopback only, since the keys travel with every request.
func siteURL(site string) (string, error) {
	if !strings.Contains(site, "://") {
		site = "https://" + site
	}
	u, err := url.Parse(site)
	if err != nil || u.Host == "" || u.User != nil {
		return "", siteError("is not a host or address")
	}
	host := strings.ToLower(u.Host)
	switch {
	case slices.Contains(cloudHosts, host):
		host = "api-" + host
	case u.Scheme == "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return "", siteError("is plain http, which would show the keys to the network; use https")
		}
	case u.Scheme != "https":
		return "", siteError("must begin with https://")
	}
	return u.Scheme + "://" + host, nil
}

var _ interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.Changer
	connectors.Ender
	connectors.ChangeFeed
	connectors.Learner
	connectors.Canonicalizer
	connectors.Hinter
	connectors.Watcher
	connectors.Registrar
} = (*Connector)(nil)
