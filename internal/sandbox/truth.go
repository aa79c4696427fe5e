package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
)

// Truth is what is right in the world as it was made, told by whoever made it: which records belong together, what
// differs on purpose, and what only a person can decide.
type Truth struct {
	Seed          uint64              `json:"seed"`
	Start         time.Time           `json:"start"`
	ContractType  string              `json:"contract_type"` // the agreements that bill subscriptions; others are to be left alone
	Customers     []Customer          `json:"customers"`
	Subscriptions []Subscription      `json:"subscriptions"`
	Drift         []Drift             `json:"drift"`
	VendorOnly    []VendorOnly        `json:"vendor_only"` // tenants that nothing sure connects to a company
	PSAOnly       []PSAOnly           `json:"psa_only"`    // companies without a tenant
	StrayLines    []StrayLine         `json:"stray_lines"` // lines that bill a vendor's product without a subscription
	OtherLines    []string            `json:"other_lines"` // lines of other agreements, which nobody should touch
	Expected      map[plan.Reason]int `json:"expected"`    // what a careful program reports, by kind, besides the plain drift
	Quotes        []string            `json:"quotes"`      // opportunities that wait for the customer's word
	Awkward       map[string][]string `json:"awkward"`     // ids of what is awkward, by kind; AwkwardKinds explains
}

// Customer is a PSA company with the vendor tenants that are surely it.
type Customer struct {
	Company string   `json:"company"` // PSA company id
	Name    string   `json:"name"`    // in the PSA
	Tenants []Tenant `json:"tenants"`
}

// Tenant is one vendor customer of a company.
type Tenant struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Match string `json:"match"` // what connects it: MatchKeptID or MatchDomain
}

// How a tenant is recognised.
const (
	MatchKeptID = "kept_id" // the company keeps the tenant id
	MatchDomain = "domain"  // the company's website is the tenant's domain
)

// Expect says what a careful program makes of a subscription when it first sees it.
type Expect string

const (
	ExpectLinked    Expect = "linked"    // its line carries its id
	ExpectAdopt     Expect = "adopt"     // the one subscription and the one line of this product belong together
	ExpectCreate    Expect = "create"    // no line bills it: one must be created
	ExpectHold      Expect = "hold"      // a line must be created, but a person must clear something first; Reason says what
	ExpectPerson    Expect = "person"    // which line is its own, only a person knows; Line tells
	ExpectEnd       Expect = "end"       // it ended, and its line must end
	ExpectNothing   Expect = "nothing"   // it is not billed: a trial, ended, not a seat subscription
	ExpectUncertain Expect = "uncertain" // its customer is not surely linked, so it is not compared
)

// Subscription is one vendor subscription and its right line.
type Subscription struct {
	ID      string      `json:"id"`
	Tenant  string      `json:"tenant"`
	Company string      `json:"company,omitempty"` // "" when no company exists
	Product string      `json:"product"`           // "SKU term billing cycle"; the offer id for what is not sold by seat
	Name    string      `json:"name"`
	Seats   int         `json:"seats"`
	Status  string      `json:"status"`
	Line    string      `json:"line"` // id of its right line; "" when there is none
	Expect  Expect      `json:"expect"`
	Reason  plan.Reason `json:"reason,omitempty"` // for hold and person
	Needs   []string    `json:"needs,omitempty"`  // for create: what has to be made first, contract or product
}

// Kinds of drift.
const (
	DriftSeatsMoreInPSA = "seats_more_in_psa" // the line bills more seats than were bought
	DriftSeatsLessInPSA = "seats_less_in_psa" // seats are bought that nobody bills
	DriftCostOld        = "cost_old"          // the line still has a former cost
	DriftEnded          = "ended_still_billed"
)

// Drift is a difference between a subscription and its right line, planted on purpose.
type Drift struct {
	Kind         string `json:"kind"`
	Company      string `json:"company"`
	Subscription string `json:"subscription"`
	Line         string `json:"line"`
	VendorSeats  int    `json:"vendor_seats"`
	PSASeats     int    `json:"psa_seats"`
	VendorCost   string `json:"vendor_cost,omitempty"` // for cost_old: one seat and month
	PSACost      string `json:"psa_cost,omitempty"`
}

// VendorOnly is a tenant without a sure company.
type VendorOnly struct {
	Tenant string      `json:"tenant"`
	Name   string      `json:"name"`
	Reason plan.Reason `json:"reason"`           // name_only, ambiguous_customer or unmatched_customer
	Really string      `json:"really,omitempty"` // the company it is, for a person who knows; "" when there is none
	Looks  []string    `json:"looks,omitempty"`  // the companies it looks like
	Seats  int         `json:"seats"`            // of its billable subscriptions
	Subs   int         `json:"subscriptions"`    // how many those are
	Lines  int         `json:"lines"`            // how many of them have a right line
}

// PSAOnly is a company without a tenant.
type PSAOnly struct {
	Company string `json:"company"`
	Name    string `json:"name"`
	Why     string `json:"why"`
}

// StrayLine is a line that bills a vendor's product and has no subscription.
type StrayLine struct {
	Line      string      `json:"line"`
	Company   string      `json:"company"`
	Agreement string      `json:"agreement"`
	Reason    plan.Reason `json:"reason"` // orphaned_line or unmatched_line
	Named     string      `json:"named"`  // the subscription id on it
}

// AwkwardKind is one kind of awkwardness; ids of Truth.Awkward under its name are of Of.
type AwkwardKind struct {
	Name string `json:"name"`
	Of   string `json:"of"` // tenant, company, subscription, agreement, line, product
	Doc  string `json:"doc"`
}

// AwkwardKinds are all of them.
var AwkwardKinds = []AwkwardKind{
	{"add_on", "subscription", "An add-on: it names the subscription it belongs to."},
	{"agreement_none", "company", "No agreement of the flow's type."},
	{"agreement_over", "agreement", "An agreement of the flow's type that ended, beside one that goes on."},
	{"agreements_two", "company", "Two active agreements of the flow's type."},
	{"auto_renew_off", "subscription", "Does not renew by itself."},
	{"company_deleted", "company", "A deleted company that still keeps a live tenant's id."},
	{"company_on_hold", "company", "A company with the status Credit Hold."},
	{"domain_shared", "tenant", "Two companies have the tenant's domain as website."},
	{"domain_written_oddly", "company", "The website is a full address in mixed case."},
	{"ended", "subscription", "Expired, disabled or deleted."},
	{"ended_still_billed", "subscription", "Ended, and its line goes on billing."},
	{"free", "subscription", "A product that costs nothing."},
	{"id_in_other_case", "line", "The subscription id on the line is in upper case with spaces around it."},
	{"legacy", "subscription", "A legacy subscription: another product type and a GUID as offer."},
	{"less_included", "line", "Some seats of the line are covered by a base fee."},
	{"line_ended", "line", "The line of a subscription that goes on was ended."},
	{"lines_ambiguous", "subscription", "Two subscriptions and two lines of one product, and no ids."},
	{"locked", "tenant", "The vendor refuses every change for this customer."},
	{"name_only", "tenant", "A company has the same name and nothing else in common."},
	{"name_twice", "company", "Another company has exactly the same name."},
	{"name_unusual", "company", "Another script, an ampersand, quotes, an apostrophe or an umlaut in the name."},
	{"name_with_spaces", "tenant", "Spaces at the end of the name at the vendor."},
	{"nickname", "subscription", "The partner gave the subscription a name of its own."},
	{"nothing_bought", "tenant", "A customer without subscriptions."},
	{"orphaned_line", "line", "The line names a subscription that does not exist."},
	{"other_agreement", "line", "A vendor's product on an agreement of another type."},
	{"price_changed", "product", "The price sheet has a former and a present price."},
	{"price_missing", "subscription", "A product that the price sheet does not list."},
	{"product_missing", "subscription", "A product that the PSA's catalog does not have."},
	{"product_twice", "subscription", "Two catalog items carry the product's key."},
	{"same_sku_other_terms", "subscription", "The same SKU three times under different terms."},
	{"same_sku_same_term", "subscription", "The same SKU and term twice; ids on the lines tell them apart."},
	{"scheduled", "subscription", "Another quantity is scheduled for the renewal."},
	{"suspended", "subscription", "Suspended, and still charged."},
	{"tenant_id_in_other_case", "company", "The kept tenant id is in upper case."},
	{"tenants_two", "company", "Two tenants belong to one company."},
	{"trial", "subscription", "A trial: free, its quantity locked."},
	{"two_lines", "subscription", "Two lines name the same subscription."},
	{"unmatched_line", "line", "A line of a vendor's product without an id and without a subscription."},
	{"window_closed", "subscription", "Seats cannot be taken back, and the line has fewer."},
	{"window_open", "subscription", "Some seats can be taken back, and the line has fewer."},
}

// Summary is the truth for reading: counts, then every difference that somebody should find.
func (t Truth) Summary() string {
	var b strings.Builder
	tenants, seats, byExpect := 0, 0, map[Expect]int{}
	for _, c := range t.Customers {
		tenants += len(c.Tenants)
	}
	for _, s := range t.Subscriptions {
		seats += s.Seats
		byExpect[s.Expect]++
	}
	fmt.Fprintf(&b, "seed %d, made for %s\n\n", t.Seed, t.Start.Format(time.RFC3339))
	fmt.Fprintf(&b, "customers      %d companies with %d tenants; %d tenants without a sure company; %d companies without a tenant\n",
		len(t.Customers), tenants, len(t.VendorOnly), len(t.PSAOnly))
	fmt.Fprintf(&b, "subscriptions  %d with %d seats\n", len(t.Subscriptions), seats)
	for _, e := range slices.Sorted(maps.Keys(byExpect)) {
		fmt.Fprintf(&b, "  %-10s %6d  %s\n", e, byExpect[e], expectDocs[e])
	}
	b.WriteString("\nto be reported\n")
	for _, reason := range slices.Sorted(maps.Keys(t.Expected)) {
		fmt.Fprintf(&b, "  %-26s %4d  %s\n", reason, t.Expected[reason], reason.Sentence())
	}
	b.WriteString("\ndrift\n")
	for _, d := range t.Drift {
		fmt.Fprintf(&b, "  %-18s company %s, line %s, subscription %s: vendor %d seats, PSA %d", d.Kind, d.Company, d.Line, d.Subscription, d.VendorSeats, d.PSASeats)
		if d.VendorCost != "" {
			fmt.Fprintf(&b, "; cost %s, on the line %s", d.VendorCost, d.PSACost)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\ntenants without a sure company\n")
	for _, v := range t.VendorOnly {
		fmt.Fprintf(&b, "  %-18s %s %q: %d subscriptions, %d seats\n", v.Reason, v.Tenant, v.Name, v.Subs, v.Seats)
	}
	b.WriteString("\nlines without a subscription\n")
	for _, l := range t.StrayLines {
		fmt.Fprintf(&b, "  %-18s line %s of company %s names %q\n", l.Reason, l.Line, l.Company, l.Named)
	}
	return b.String()
}

var expectDocs = map[Expect]string{
	ExpectLinked: "line carries the id", ExpectAdopt: "only subscription and only line of the product", ExpectCreate: "needs a line",
	ExpectHold: "needs a line, and a person first", ExpectPerson: "only a person knows the line", ExpectEnd: "ended: the line must end",
	ExpectNothing: "not billed", ExpectUncertain: "customer not surely linked",
}
