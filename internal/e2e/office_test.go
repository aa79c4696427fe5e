package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/model"
)

// seats is what every subscription and line of an office starts with. As many as window may be taken back at first.
const (
	seats  = 10
	window = 4
	pages  = 2 // records a page, on both sides, so that every list of an office has several
)

// good is a product as both sides know it.
type good struct {
	key, product, sku, term, billing, name string
	price, erp                             string // a term
	cost, list                             string // a month
}

var goods = []good{
	{"CFQ7TTC0LCHC:0002 P1Y monthly", "CFQ7TTC0LCHC", "0002", "P1Y", "Monthly", "Microsoft 365 Business Premium", "222.768", "277.20", "18.564", "23.10"},
	{"CFQ7TTC0LH18:0001 P1M monthly", "CFQ7TTC0LH18", "0001", "P1M", "Monthly", "Microsoft 365 Business Basic", "5.76", "7.20", "5.76", "7.20"},
}

// pair is a subscription of an office and the line that bills it.
type pair struct {
	id, tenant               string
	company, agreement, line int
	good                     good
}

// office is a small MSP in a bubble: a vendor, a PSA, and trueup between them.
type office struct {
	*installation
	t      *testing.T
	vendor *partnercentertest.Server
	psa    *connectwisetest.Server
	toVendor,
	toPSA *recorder
	items    []int  // catalog items, as goods
	pairs    []pair // two for every tenant, in order: goods[0], goods[1]
	accounts []account
	vault    connectors.Vault
	stirred  bool
	before   int // writes to the PSA when stir was done
}

// plot is what an office starts with.
type plot struct {
	customers int
	flow      string
	settings  map[string]string // of the vendor's account, beyond what reaches it
	account   string            // account type of the vendor
	fill      func(o *office)   // adds more, or other, customers
	options   func(vendor *partnercentertest.Options)
}

// inOffice runs a test in the bubble of an office that trueup has already seen in step.
func inOffice(t *testing.T, p plot, test func(t *testing.T, o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, p)
		o.must(t, engine.Options{Apply: true})
		if links := o.links(t, model.KindLine); p.fill == nil && len(links) != len(o.pairs) {
			t.Fatalf("%d of %d pairs were linked: the office is not in step", len(links), len(o.pairs))
		}
		o.toVendor.take()
		o.toPSA.take()
		test(t, o)
	})
}

func newOffice(t *testing.T, p plot) *office {
	t.Helper()
	options := partnercentertest.Options{PageSize: pages, Country: "GB", Currency: "GBP", AccountType: p.account}
	if p.options != nil {
		p.options(&options)
	}
	o := &office{t: t, vault: newVault(),
		vendor: partnercentertest.New(options),
		psa:    connectwisetest.New(connectwisetest.Options{PageSize: pages}),
	}
	for _, g := range goods {
		o.vendor.SetPrice(partnercentertest.Price{ProductID: g.product, SkuID: g.sku, ProductTitle: g.name, SkuTitle: g.name, Term: g.term,
			BillingPlan: g.billing, UnitPrice: g.price, ERPPrice: g.erp, Start: time.Now().AddDate(0, -2, 0)})
		o.items = append(o.items, o.psa.AddCatalogItem(connectwisetest.CatalogItem{Identifier: g.key, Description: g.name, VendorSKU: g.product + ":" + g.sku,
			PartNumber: g.key, Cost: json.Number(g.cost), Price: json.Number(g.list)}))
	}
	for n := range p.customers {
		o.addCustomer(n, "", "")
	}
	if p.fill != nil {
		p.fill(o)
	}
	vendorHTTP, toVendor := record(serve(t, o.vendor.Handler()))
	psaHTTP, toPSA := record(serve(t, o.psa.Handler()))
	o.toVendor, o.toPSA = toVendor, toPSA
	// Nothing listens there: the transports reach the stand-ins whatever is asked for.
	base, site := "http://127.0.0.1:8485", "http://127.0.0.1:8486"
	settings := o.vendor.Settings(base)
	for name, value := range p.settings {
		settings[name] = value
	}
	psa := o.psa.Account(site)
	o.accounts = []account{
		{"microsoft", "partnercenter", settings, o.vendor.Secrets(), vendorHTTP},
		{"psa", "connectwise", psa.Settings, psa.Secrets, psaHTTP},
	}
	if p.flow == "" {
		p.flow = rules
	}
	o.installation = install(t, t.TempDir(), p.flow, time.Now, o.vault, o.accounts...)
	return o
}

// id makes an invented id that can be recognised.
func id(of, n int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", of, n) }

// addCustomer adds a tenant with two subscriptions, and the company with the lines that bill them. reseller and mpn are of
// an indirect provider.
func (o *office) addCustomer(n int, reseller, mpn string) {
	name := fmt.Sprintf("Customer %02d", n)
	tenant := o.vendor.AddCustomer(partnercentertest.Customer{ID: id(1, n), Name: name, AssociatedPartner: reseller,
		Domain: fmt.Sprintf("customer%02d.onmicrosoft.example", n)}).ID
	company := o.psa.AddCompany(connectwisetest.Company{Identifier: fmt.Sprintf("customer%02d", n), Name: name, Custom: map[string]string{"Vendor Tenant Ids": tenant}})
	o.psa.AddContact(connectwisetest.Contact{Company: company, FirstName: "Ada", LastName: name, Default: true})
	agreement := o.psa.AddAgreement(connectwisetest.Agreement{Name: "Cloud Services", Company: company, Type: "Cloud Services", Start: "1999-06-01"})
	const day = 24 * time.Hour
	for i, g := range goods {
		now := time.Now()
		sub := o.vendor.AddSubscription(partnercentertest.Subscription{ID: id(2, 10*n+i), Customer: tenant, OfferID: g.product + ":" + g.sku + ":CFQ7TTC0TRUE",
			OfferName: g.name, Quantity: seats, AutoRenew: true, Created: now.Add(-20 * day), Term: g.term, BillingCycle: strings.ToLower(g.billing), PartnerID: mpn,
			CancelUntil: now.Add(5 * day), Batches: []partnercentertest.Batch{{Quantity: seats - window, Until: now.Add(-13 * day)}, {Quantity: window, Until: now.Add(5 * day)}}})
		line := o.psa.AddAddition(connectwisetest.Addition{Agreement: agreement, Product: o.items[i], Quantity: "10", UnitCost: json.Number(g.cost), UnitPrice: "25",
			Custom: map[string]string{"Vendor Subscription Id": sub.ID}})
		o.pairs = append(o.pairs, pair{sub.ID, tenant, company, agreement, line, g})
	}
}

// restart starts trueup anew on the same state, as after a crash or an update.
func (o *office) restart() {
	o.t.Helper()
	if err := o.Store.Close(); err != nil {
		o.t.Fatal(err)
	}
	flow := o.flow
	o.installation = install(o.t, filepath.Clean(o.dir), rules, time.Now, o.vault, o.accounts...)
	o.flow = flow
}

// pass lets time go by, as between two runs. In the bubble that takes no time.
func (o *office) pass(d time.Duration) { <-time.After(d) }

// sync runs the flow five minutes later.
func (o *office) sync(opts engine.Options) engine.Result {
	o.t.Helper()
	o.pass(5 * time.Minute)
	opts.Apply = true
	return o.must(o.t, opts)
}

// settled runs the flow and asserts that it neither plans nor sends anything.
func (o *office) settled() engine.Result {
	o.t.Helper()
	o.toVendor.take()
	o.toPSA.take()
	result := o.sync(engine.Options{})
	if !result.Plan.Empty() {
		o.t.Errorf("the plan is not empty:\n%s", text(result.Plan))
	}
	if writes := append(o.toVendor.take(), o.toPSA.take()...); len(writes) > 0 {
		o.t.Errorf("%d writes although nothing changed: %v", len(writes), writes)
	}
	return result
}

// bought is a subscription as the vendor holds it, however late its readers are.
func (o *office) bought(p pair) partnercentertest.Subscription {
	o.t.Helper()
	subs := o.vendor.Subscriptions(p.tenant)
	i := slices.IndexFunc(subs, func(s partnercentertest.Subscription) bool { return s.ID == p.id })
	if i < 0 {
		o.t.Fatalf("the vendor has no subscription %s", p.id)
	}
	return subs[i]
}

// billed is the line of a pair as the PSA holds it: whole seats, the last billed day ("" for none) and the kept id.
func (o *office) billed(p pair) (quantity int, last, kept string) {
	o.t.Helper()
	record := o.psa.Record("addition", p.line)
	n, _ := record["quantity"].(json.Number)
	d, err := decimal.NewFromString(n.String())
	if err != nil || !d.IsInteger() {
		o.t.Fatalf("line %d has quantity %v", p.line, record["quantity"])
	}
	last, _ = record["cancelledDate"].(string)
	kept, _ = record["custom.Vendor Subscription Id"].(string)
	return int(d.IntPart()), last, kept
}

// buy changes seats in the vendor's pages.
func (o *office) buy(p pair, seats int) {
	o.t.Helper()
	if err := o.vendor.EditQuantity(p.id, seats); err != nil {
		o.t.Fatal(err)
	}
}

// cancel ends a subscription in the vendor's pages.
func (o *office) cancel(p pair) {
	o.t.Helper()
	err := o.vendor.Edit(p.id, func(s *partnercentertest.Subscription) { s.Status, s.AutoRenew = "deleted", false })
	if err != nil {
		o.t.Fatal(err)
	}
}

// lock has the vendor refuse every write for a customer, or not any more.
func (o *office) lock(tenant string, locked bool) {
	o.t.Helper()
	if err := o.vendor.EditCustomer(tenant, func(c *partnercentertest.Customer) { c.Locked = locked }); err != nil {
		o.t.Fatal(err)
	}
}

// bill changes seats in the PSA's screens.
func (o *office) bill(p pair, seats int) {
	o.t.Helper()
	if err := o.psa.EditAddition(p.line, "jdoe", map[string]any{"quantity": seats}); err != nil {
		o.t.Fatal(err)
	}
}

// orders counts what trueup changed at the vendor, by subscription, whatever became of the replies.
func (o *office) orders() map[string]int {
	o.t.Helper()
	made := map[string]int{}
	for _, a := range o.vendor.Dump().Audit {
		if a.Operation != "update_subscription" || a.Status != "succeeded" || !strings.HasPrefix(a.User, "service@") {
			continue
		}
		var before, after struct {
			ID       string `json:"Id"`
			Quantity int
		}
		if err := json.Unmarshal([]byte(a.Old), &before); err != nil {
			o.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(a.New), &after); err != nil {
			o.t.Fatal(err)
		}
		made[after.ID]++
	}
	return made
}
