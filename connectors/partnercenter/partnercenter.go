// Package partnercenter speaks to Microsoft Partner Center, where a Cloud Solution Provider sees its customers, their
// subscriptions and the prices it pays.
//
// Sign-in is Microsoft's secure application model: an application (client_id, client_secret) acting for a partner user
// whose refresh token is exchanged for access tokens. Microsoft replaces the refresh token at every exchange; the new one
// is in the vault before its access token is used. Without a refresh token the account signs in as an application only:
// customers and subscriptions work, the activity log (so: cheap incremental reading) and the price sheet do not.
//
// Reading. Customers are listed in pages, subscriptions customer by customer, several at once. A customer that is
// refused becomes a gap of the listing; a token that sees no customers at all makes a gap of everything, never an empty
// world. Subscription ids are unique only within a customer, so the customer is the record's parent.
//
// Changing. The service has no compare-and-set, so a change reads the subscription, compares what the caller believed,
// sends the whole resource back with one member changed (a shorter body would switch auto-renewal off), and reads it
// again until the change shows. Every write carries a GUID made from the caller's key, so a repetition is recognised.
// A change of quantity inside the term deletes what was scheduled for the renewal; it is put back.
//
// Seats can be taken away only while the window in which they came is open. The service says how many that is now; a
// larger decrease is refused here, with the lowest possible quantity and the open windows in the message.
//
// Customers. What is changed of a customer is its billing profile, which travels whole and under the etag it was read with. A new
// customer is a new tenant: the domain is asked for first and the address is validated, and a customer of the same domain that is
// ours already is taken for the one that was wanted. The first administrator's password goes from the answer into the vault, and
// nowhere else.
//
// Seats in use are read on request (the setting assigned), in one more request for each customer. The service counts them by the
// directory's own SKU, which a subscription's provisioning status names: one request for each product, once. Several subscriptions
// of one product share one figure. It is laid on those that end last first, so that what is not in use stands where it can go soonest.
//
// Scheduling. What happens at the end of the term is told explicitly: instructions for the next term with a number of seats, or an
// action that cancels or extends. Auto-renewal that is merely off is none of them; a paid extended term may follow it. Another product or
// term for the renewal is looked up in the catalogue first, because the ids under which things are sold change.
//
// Ordering. A subscription is bought with a cart of one line: the availability is read anew, the cart's answer is looked through for
// refusals, and the cart is checked out. It carries a nickname by which the order is found again; before anything is sent it is looked for, and
// carts and checkouts carry GUIDs made from the caller's key, so that an order cannot be placed twice. Lists show an order up
// to 15 minutes late: until then nobody is told that it was not made.
//
// Looking sooner. Webhook messages about changed subscriptions are hints. The signature is verified over the bytes of the body, by a certificate from a
// host in webhook_hosts that is in force, was given to or by Microsoft and leads to a trusted root; one with another algorithm, or about an event of more
// than two days ago, is refused.
package partnercenter

import (
	"context"
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
	kindCustomer     = "customer"
	kindSubscription = "subscription"
	kindPrice        = "price"
)

const indirectProvider = "indirect_provider"

var descriptor = connectors.Descriptor{
	System: "partnercenter",
	Title:  "Microsoft Partner Center",
	Role:   connectors.RoleVendor,
	Kinds: []connectors.Kind{
		{
			Name: kindCustomer, Title: "Customer",
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange},
			Fields:    fieldsOf(customerMembers),
			Detail:    true,
			Late:      15,
			Doc: "A company that buys through the partner. Lists hold only id, company name, domain, tenant id and relationship; " +
				"reading one customer gives the rest, as far as the partner's rights in that customer reach. A change writes the billing profile; " +
				"the company's own profile is its administrators' and only read. A new customer is a new tenant, which nobody can take back.",
		},
		{
			Name: kindSubscription, Title: "Subscription", Parent: kindCustomer,
			Abilities: []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate, connectors.AbilityChange, connectors.AbilitySchedule},
			Fields:    fieldsOf(subscriptionMembers),
			Terms:     &termRules,
			Doc:       "What one customer has bought. A suspended subscription is still charged; an expired, disabled or deleted one is not.",
		},
		{
			Name: kindPrice, Title: "Price",
			Abilities: []connectors.Ability{connectors.AbilityList},
			Fields:    priceFields,
			Doc: "One row of the license price sheet of the account's country: commercial segment, in force today, lowest price tier. " +
				"unitPrice and erpPrice are for the whole term, as the sheet is understood; whether that also holds for yearly terms " +
				"billed monthly is unverified, so compare one price with an invoice before trusting unitCostMonth and erpPriceMonth.",
		},
	},
	Settings: []connectors.Setting{
		{Name: "tenant", Required: true, Doc: "Tenant id of the partner's own directory."},
		{Name: "client_id", Required: true, Doc: "Application (client) id of the app registration."},
		{Name: "client_secret", Required: true, Secret: true, Doc: "Secret of the app registration."},
		{Name: "refresh_token", Secret: true, IdleDays: 90, Doc: "Refresh token of a partner user who signed in with multi-factor authentication and consented. " +
			"Without it the account is an application only: no activity log, no price sheet, no reseller."},
		{Name: "account_type", Default: "direct", Allowed: []string{"direct", indirectProvider},
			Doc: "How the partner buys: direct from Microsoft, or as indirect provider for resellers. Indirect resellers have no access to the API."},
		{Name: "reseller", Doc: "Partner (MPN) id of one indirect reseller: only its customers and their subscriptions are seen. For indirect providers."},
		{Name: "partner_attestation", Default: attestationMissing, Allowed: []string{attestationMissing, attestationGiven},
			Doc: "For indirect providers: accepted says that you attest, with each order that trueup places, that the reseller on record is the right one. Without it orders are refused."},
		{Name: "language", Default: "en", Doc: "Language of new customers' bills and of their first administrator, ISO 639-1."},
		{Name: "country", Doc: "Market of the price sheet, ISO 3166-1 alpha-2. Prices are not read without it: a wrong market gives wrong prices."},
		{Name: "assigned", Default: assignedSkip, Allowed: []string{assignedSkip, assignedRead},
			Doc: "Whether to read how many seats are in use: read or skip. It costs one more request for each customer that has subscriptions, and needs refresh_token and a " +
				"delegated admin relationship (GDAP) with each customer; where that is missing the figure is not known and everything else goes on."},
		{Name: "api", Default: "https://api.partnercenter.microsoft.com", Doc: "Address of Partner Center."},
		{Name: "sign_in", Default: "https://login.microsoftonline.com", Doc: "Address of the token service."},
		{Name: "prices", Default: "https://api.partner.microsoft.com", Doc: "Address of the price sheets."},
		{Name: "webhook_hosts", Default: "https://3psostorageacct.blob.core.windows.net, http://www.microsoft.com, http://caissuers.microsoft.com",
			Doc: "Hosts from which the certificates of webhook messages, and of those who issued them, may be fetched. Whoever can write to the first can sign messages."},
		{Name: "webhook_roots", Doc: "Certificates in PEM form, as `${file:/path}`, to one of which the certificate of a webhook message must lead; those that this machine trusts when empty."},
	},
	Feed: true,
	Sooner: connectors.Sooner{
		Webhook: "Webhook messages tell of changed subscriptions, at most two days late, now and then twice or never. A partner tenant has one registration for all programs (`trueup hooks add`).",
	},
	Limits: connectors.Limits{
		PerMinute: 200, Parallel: 4, PageSize: pageSize, Unconfirmed: true,
		Doc: "500 requests a minute are documented for customers, subscriptions and orders of a partner; other limits are unpublished, " +
			"differ by customer and are lower for writes. A full sweep costs one request a customer and one for each 500 customers, and one for each product in the life of the process; with assigned: read one more a customer.",
	},
	Rejects: rejects,
}

// Connector is one account of Partner Center. It is safe for concurrent use.
type Connector struct {
	account  connectors.Account
	reseller string // MPN id, or ""
	country  string
	appOnly  bool
	seats    bool // read the seats in use
	parallel int

	signIn     *rest.Client
	api        *rest.Client
	prices     *rest.Client
	signing    chan struct{} // held while signing in: both tokens renew the same refresh token
	apiToken   *rest.Token
	priceToken *rest.Token
	hooks      *hooks

	wait func(ctx context.Context, d time.Duration) error // between looks at a change that does not show yet

	lookup   sync.Mutex
	tenantOf string // tenant id of the reseller once looked up

	using  turn
	skuIDs map[string]string                 // the directory's SKU by our product; "" when it has none
	limits map[string]limits                 // of our products, out of the catalogue
	inUse  map[string]map[string]model.Value // seats in use by customer and subscription, as last read
}

// turn is a lock that is held while a request is out. It is no mutex, because simulated time does not pass while somebody waits for one.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// New makes a connector; nothing is sent.
func New(a connectors.Account) (connectors.Connector, error) { return build(a, 0) }

// build takes the number of retries of a failed request; 0 is the default.
func build(a connectors.Account, retries int) (*Connector, error) {
	c := &Connector{
		using:    make(turn, 1),
		account:  a,
		reseller: a.Settings["reseller"],
		country:  a.Settings["country"],
		appOnly:  a.Secrets["refresh_token"].Reveal() == "",
		seats:    a.Settings["assigned"] == assignedRead,
		signing:  make(chan struct{}, 1),
		limits:   map[string]limits{},
		skuIDs:   map[string]string{},
		inUse:    map[string]map[string]model.Value{},
		wait:     sleep,
	}
	refuse := func(message, hint string) (*Connector, error) {
		return nil, &connectors.Error{Class: connectors.ClassInvalid, Op: "set up account", Record: a.Name, Message: message, Hint: hint}
	}
	switch {
	case c.reseller != "" && a.Settings["account_type"] != indirectProvider:
		return refuse("the setting reseller needs account_type indirect_provider", "remove one of them")
	case c.reseller != "" && c.appOnly:
		return refuse("the setting reseller needs a refresh_token: an application alone may not ask which customers are whose", "add refresh_token")
	}
	if c.seats && c.appOnly {
		return refuse("the setting assigned needs a refresh_token: an application alone may not ask which seats are in use", "add refresh_token, or set assigned: skip")
	}
	budget := a.Budget.Or(descriptor.Limits)
	c.parallel = budget.Parallel
	return c, c.connect(budget.PerMinute, retries)
}

// Descriptor describes the system.
func (c *Connector) Descriptor() connectors.Descriptor { return descriptor }

var _ interface {
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.CreateChecker
	connectors.Finder
	connectors.Changer
	connectors.Scheduler
	connectors.ChangeFeed
	connectors.Hinter
	connectors.Registrar
} = (*Connector)(nil)

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func fieldsOf(members []member) []connectors.Field {
	fields := make([]connectors.Field, len(members))
	for i, m := range members {
		fields[i] = m.Field
	}
	return fields
}

// today is the day as the vendor counts it.
func (c *Connector) today() model.Day { return model.DayOf(c.account.Now().UTC()) }
