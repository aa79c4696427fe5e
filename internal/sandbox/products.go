package sandbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

// product is one SKU of the vendor.
type product struct {
	id, sku, name string
	month         string // list of one seat and month under a yearly term, paid yearly
	offers        []offer
	maxSeats      int
	special       string // why it is not bought at random
}

// offer is a term and billing cycle, and what it does to the price.
type offer struct {
	term, cycle, plan string
	factor            string
}

var (
	monthly   = offer{"P1M", "monthly", "Monthly", "1.2"}
	yearly    = offer{"P1Y", "monthly", "Monthly", "1.05"}
	prepaid   = offer{"P1Y", "annual", "Annual", "1"}
	triennial = offer{"P3Y", "annual", "Annual", "0.9475"}

	common  = []offer{monthly, yearly, prepaid}
	allFour = []offer{monthly, yearly, prepaid, triennial}
)

// Why a product is not bought at random.
const (
	specialFree    = "free"
	specialNoPrice = "price_missing"
	specialNoItem  = "product_missing"
	specialTwice   = "product_twice"
	specialAddOn   = "add_on"
)

var products = []product{
	{id: "CFQ7TTC0LCHC", sku: "0002", name: "Microsoft 365 Business Premium", month: "17.6125", offers: allFour, maxSeats: 300},
	{id: "CFQ7TTC0LDPB", sku: "0001", name: "Microsoft 365 Business Standard", month: "10.125", offers: allFour, maxSeats: 300},
	{id: "CFQ7TTC0LH18", sku: "0001", name: "Microsoft 365 Business Basic", month: "4.85", offers: allFour, maxSeats: 300},
	{id: "CFQ7TTC0LH1G", sku: "0001", name: "Microsoft 365 Apps for business", month: "8.3333", offers: common, maxSeats: 300},
	{id: "CFQ7TTC0LFLX", sku: "0001", name: "Microsoft 365 E3", month: "31.79", offers: allFour},
	{id: "CFQ7TTC0LFLZ", sku: "0002", name: "Microsoft 365 E5", month: "50.9017", offers: allFour},
	{id: "CFQ7TTC0MBMD", sku: "0010", name: "Microsoft 365 F3", month: "6.44", offers: common},
	{id: "CFQ7TTC0LH16", sku: "0001", name: "Exchange Online (Plan 1)", month: "3.2467", offers: common},
	{id: "CFQ7TTC0LH1P", sku: "0001", name: "Exchange Online (Plan 2)", month: "6.4933", offers: common},
	{id: "CFQ7TTC0LH0L", sku: "0001", name: "Exchange Online Archiving", month: "2.42", offers: common},
	{id: "CFQ7TTC0LHPM", sku: "000J", name: "Power BI Pro", month: "8.075", offers: common},
	{id: "CFQ7TTC0HL8W", sku: "0001", name: "Power BI Premium Per User", month: "16.15", offers: common},
	{id: "CFQ7TTC0HD32", sku: "0002", name: "Visio Plan 2", month: "12.1125", offers: common},
	{id: "CFQ7TTC0HDB1", sku: "0001", name: "Planner & Project Plan 3", month: "24.225", offers: common},
	{id: "CFQ7TTC0LH0T", sku: "0003", name: "Defender for Business – Schutz", month: "2.44", offers: common},
	{id: "CFQ7TTC0LFK5", sku: "0007", name: "Entra ID P1", month: "4.87", offers: allFour},
	{id: "CFQ7TTC0LCH4", sku: "0009", name: "Intune \"Suite\"", month: "8.1075", offers: common},
	{id: "CFQ7TTC0J203", sku: "0001", name: "Windows 365 Business 2 vCPU, 4 GB", month: "25.8333", offers: []offer{monthly, prepaid}, maxSeats: 300},
	{id: "CFQ7TTC0TEAM", sku: "0004", name: "Teams Essentials", month: "3.26", offers: common, maxSeats: 300},
	{id: "CFQ7TTC0ADD1", sku: "0011", name: "Audio Conferencing", month: "0", offers: []offer{prepaid}, special: specialFree},
	{id: "CFQ7TTC0NEWP", sku: "0002", name: "Copilot Preview", month: "24.70", offers: []offer{prepaid}, special: specialNoPrice},
	{id: "CFQ7TTC0HX99", sku: "0020", name: "Dynamics 365 Sales", month: "53.3333", offers: []offer{prepaid, monthly}, special: specialNoItem},
	{id: "CFQ7TTC0HX42", sku: "0042", name: "Power Apps Premium", month: "16.1475", offers: []offer{prepaid}, special: specialTwice},
	{id: "CFQ7TTC0ADD2", sku: "0001", name: "Teams Phone Standard", month: "6.4875", offers: []offer{yearly}, special: specialAddOn},
}

// good is one product under one offer: what a subscription buys and a catalog item sells.
type good struct {
	product
	offer
	key       string          // as model.ProductKey writes it
	sheet     decimal.Decimal // what the sheet says, for the whole term
	cost      string          // one seat and month as the PSA keeps it: four decimals
	formerly  string          // cost before the price changed; "" when it did not
	price     string          // retail, one seat and month, two decimals
	item      int             // catalog item; 0 when there is none
	otherItem int             // a second one with the same key
}

// priceDigits is how many decimals the PSA keeps of prices and costs.
const priceDigits = 4

var (
	retail       = decimal.RequireFromString("1.25")
	formerFactor = decimal.RequireFromString("0.94")
)

// perMonth divides a term price by the months of its term.
func perMonth(term decimal.Decimal, months int64, digits int32) string {
	return term.DivRound(decimal.NewFromInt(months), 16).RoundBank(10).RoundBank(digits).String()
}

// changedPrice are the products whose price changed three weeks before the start.
var changedPrice = []string{"CFQ7TTC0LCHC", "CFQ7TTC0LFLX"}

// addGoods fills the price sheet and the PSA's catalog.
func (w *world) addGoods() {
	began, changed := w.today.AddMonths(-14).Midnight(time.UTC), w.today.Add(-21).Midnight(time.UTC)
	for _, p := range products {
		for _, o := range p.offers {
			g := &good{product: p, offer: o, key: model.ProductKey(p.id+":"+p.sku, o.term, o.cycle)}
			months := int64(model.Term{Duration: o.term}.Months())
			g.sheet = decimal.RequireFromString(p.month).Mul(decimal.RequireFromString(o.factor)).Mul(decimal.NewFromInt(months)).RoundBank(4)
			g.cost, g.price = perMonth(g.sheet, months, priceDigits), perMonth(g.sheet.Mul(retail), months, 2)
			w.goods, w.byKey[g.key] = append(w.goods, g), g
			row := partnercentertest.Price{ProductID: p.id, SkuID: p.sku, ProductTitle: p.name, SkuTitle: p.name, Term: o.term, BillingPlan: o.plan,
				UnitPrice: g.sheet.String(), ERPPrice: g.sheet.Mul(retail).String(), Start: began}
			if o.term == "P1Y" && (p.id == changedPrice[0] || p.id == changedPrice[1]) {
				former := g.sheet.Mul(formerFactor).RoundBank(4)
				g.formerly = perMonth(former, months, priceDigits)
				old := row
				old.UnitPrice, old.ERPPrice, old.End = former.String(), former.Mul(retail).String(), changed.Add(-time.Second)
				w.vendor.SetPrice(old)
				row.Start = changed
				w.awkward("price_changed", g.key)
			}
			w.vendor.SetProduct(partnercentertest.Product{ID: p.id + ":" + p.sku, MaxSeats: p.maxSeats})
			if p.special != specialNoPrice {
				w.vendor.SetPrice(row)
			}
			w.addItems(g)
		}
	}
	// Rows that nobody should take for the price of today: another segment, a higher tier, a price of next year.
	for i, change := range []func(*partnercentertest.Price){
		func(p *partnercentertest.Price) { p.Segment = "Education" },
		func(p *partnercentertest.Price) { p.TierMin, p.TierMax = "2400", "4999" },
		func(p *partnercentertest.Price) { p.Start = w.today.AddMonths(12).Midnight(time.UTC) },
	} {
		g := w.goods[4*i]
		row := partnercentertest.Price{ProductID: g.id, SkuID: g.sku, ProductTitle: g.name, SkuTitle: g.name, Term: g.term, BillingPlan: g.plan,
			UnitPrice: "1.11", ERPPrice: "1.39", Start: began}
		change(&row)
		w.vendor.SetPrice(row)
	}
	for i, name := range []string{"Managed Workstation", "Server Backup 1 TB", "Firewall Rental"} {
		w.services[i] = w.psa.AddCatalogItem(connectwisetest.CatalogItem{Identifier: fmt.Sprintf("MS-%02d", i+1), Description: name,
			Class: "Service", Price: json.Number(fmt.Sprint(45 + 10*i)), Cost: "12.5"})
	}
}

// addItems puts a good into the PSA's catalog: once, never, or twice.
func (w *world) addItems(g *good) {
	if g.special == specialNoItem {
		return
	}
	item := connectwisetest.CatalogItem{Identifier: fmt.Sprintf("%s-%s-%s-%s", g.id[8:], g.sku, g.term, g.cycle), Description: g.product.name,
		CustomerDescription: g.product.name, VendorSKU: g.id + ":" + g.sku, PartNumber: g.key, Cost: json.Number(g.cost), Price: json.Number(g.price)}
	g.item = w.psa.AddCatalogItem(item)
	if g.special == specialTwice {
		item.Identifier += "-old"
		g.otherItem = w.psa.AddCatalogItem(item)
	}
}

func (g *good) offerID() string { return g.id + ":" + g.sku + ":CFQ7TTC0" + g.id[8:] }
