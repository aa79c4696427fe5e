package engine

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// Mode says how far a flow may go on its own.
type Mode string

const (
	ModeObserve Mode = "observe" // read and report; no plan can be applied
	ModePropose Mode = "propose" // plan, and wait for a person to apply a digest
	ModeWrite   Mode = "write"   // apply what the guards let through
)

// Missing says what happens to a record that has no counterpart.
type Missing string

const (
	MissingPropose Missing = "propose" // report it in the inbox
	MissingCreate  Missing = "create"  // put its creation into the plan
	MissingIgnore  Missing = "ignore"
)

// Flow pairs a vendor account with a PSA account and says what follows what.
type Flow struct {
	Name      string
	File      string // where it was read, for messages
	Vendor    string // account name
	PSA       string // account name
	Schedule  string // cron, in the configured time zone
	Mode      Mode
	Customers CustomerRules
	Products  ProductRules
	Contracts ContractRules
	Lines     LineRules
	Quotes    QuoteRules
	Bundles   []Bundle
	Guards    plan.Guards
	Unused    int   // days after which seats that are not in use are told; 0 for never
	TermEnds  []int // days before the end of a term at which an open decision is told
	Approvals int   // different people who must approve a plan that goes over the guards; 0 means one
	Approve   ApproveRules
	Freeze    []plan.Freeze // times in which nothing that costs is written
	// CreditHold holds seats that would be bought for a customer whom the PSA has on credit hold.
	CreditHold bool
	Tell       TellRules
}

// ApproveRules say how people approve and reject what goes over the guards.
type ApproveRules struct {
	NoCLI    bool          // trueup approve is refused
	Tickets  bool          // the status of a ticket counts
	Approved string        // the status that approves, by name
	Rejected string        // the status that rejects, by name
	Expires  time.Duration // how long an approval counts; 0 means ApprovedFor
}

// Lasts is how long an approval counts.
func (a ApproveRules) Lasts() time.Duration { return cmp.Or(a.Expires, ApprovedFor) }

// TellRules say where people are told besides the inbox.
type TellRules struct {
	Lines   TellLines
	Tickets map[Purpose]TicketRules
	Most    int // tickets of the flow that are open at once, at most; 0 means MostTickets
}

// Purpose is what a ticket is opened for.
type Purpose string

const (
	TellHeld      Purpose = "held"      // a change that a person must settle or approve
	TellRefused   Purpose = "refused"   // an edit that the vendor does not take
	TellRenewal   Purpose = "renewal"   // a term that ends soon, and nobody has said what follows
	TellUnmatched Purpose = "unmatched" // something that is paid or billed without a counterpart
	TellDrift     Purpose = "drift"     // an edit on the side that does not own the field, or another contradiction
)

// MostTickets is how many tickets of a flow are open at once unless it says otherwise: more of them would be read by nobody.
const MostTickets = 25

// TicketRules are the labels of tickets, by their names in the PSA.
type TicketRules struct {
	Board    string
	Status   string // of a ticket that is open for trueup
	Closed   string // of one whose matter is settled
	Type     string // "" for the PSA's own
	Priority string // "" for the PSA's own
	Company  string // for what concerns no company of the PSA, such as a whole run; "" opens no ticket for that
}

// TellLines says whether a line tells its PSA user what became of an edit of its seats.
type TellLines string

const (
	TellNote    TellLines = "note"    // in the field that the mapping names as note of a line, where the PSA has it; also when not said
	TellNothing TellLines = "nothing" // nothing is written for people
)

// CustomerRules pair customers. Match holds words of MatchNames; a name alone only proposes.
type CustomerRules struct {
	Match         []string
	MissingPSA    Missing // a vendor customer without PSA company
	MissingVendor Missing // a PSA company without vendor customer
	Fields        map[string]plan.FieldRule
	Contact       *plan.FieldRule // the company's main contact, as one thing; nil to leave contacts alone
	// With MissingVendor create, the companies of one of these types and one of these statuses become customers at the vendor, each
	// when a person has approved it. Names are compared without case; an empty list is every one.
	NewTypes    []string
	NewStatuses []string
}

// ContactFields are the fields of a contact that follow its owner together.
var ContactFields = []string{"first_name", "last_name", "email", "phone"}

// ProductRules say what happens to a product that the PSA does not have. Products are paired by their key: SKU, term and
// billing cycle together.
type ProductRules struct {
	MissingPSA Missing
}

// ContractRules say which PSA contract a line belongs on.
type ContractRules struct {
	Type       string  // the PSA's contract type, by name
	MissingPSA Missing // no contract of that type for the customer
	Terms      []ContractTerm
}

// ContractTerm is a template: lines of subscriptions of a term and billing cycle go on contracts of a type of their own.
type ContractTerm struct {
	Term         string // P1M, P1Y, P3Y; "" for any
	BillingCycle string // monthly, annual, triennial; "" for any
	Type         string
	Name         string // of a contract that trueup makes; tells two of one type apart
}

// of is the first template that fits what is sold, else the flow's own contract type.
func (r ContractRules) of(product model.Record) ContractTerm {
	for _, t := range r.Terms {
		if (t.Term == "" || t.Term == product.Text("term")) && (t.BillingCycle == "" || t.BillingCycle == product.Text("billing_cycle")) {
			return t
		}
	}
	return ContractTerm{Type: r.Type, Name: r.Type}
}

// takes reports a contract type on which lines of the flow may stand.
func (r ContractRules) takes(typ string) bool {
	return strings.EqualFold(typ, r.Type) || slices.ContainsFunc(r.Terms, func(t ContractTerm) bool { return strings.EqualFold(typ, t.Type) })
}

// LineFields are the fields of a line that a flow may rule.
var LineFields = []string{"quantity", "unit_cost", "unit_price", "description"}

// LineRules govern subscription and line.
type LineRules struct {
	First      plan.First
	Count      plan.Count // what a line bills, unless it says otherwise itself
	Group      Group
	MissingPSA Missing // a subscription without a line
	Fields     map[string]plan.FieldRule
	Refused    plan.Refusal // an edit of seats that the vendor does not take; "" is hold
}

// Group says which subscriptions of a customer one line bills.
type Group string

const (
	GroupNone    Group = ""        // each its own
	GroupProduct Group = "product" // those of one product together
)

// Bundle is a PSA product whose line bills several vendor products in a ratio.
type Bundle struct {
	Product string // key of the PSA product
	Of      []BundlePart
}

// BundlePart is a vendor product of a bundle and how many of its seats belong to each one on the line.
type BundlePart struct {
	Product string // product key
	Ratio   int64
}
