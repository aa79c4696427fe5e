package engine

import "github.com/trueup-sync/trueup/engine/plan"

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
	Guards    plan.Guards
	TermEnds  []int // days before the end of a term at which an open decision is told
	Approvals int   // different people who must approve a plan that goes over the guards; 0 means one
	Tell      TellRules
}

// TellRules say where people are told besides the inbox.
type TellRules struct {
	Lines TellLines
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
}

// ProductRules say what happens to a product that the PSA does not have. Products are paired by their key: SKU, term and
// billing cycle together.
type ProductRules struct {
	MissingPSA Missing
}

// ContractRules say which PSA contract a line belongs on.
type ContractRules struct {
	Type       string  // the PSA's contract type, by name
	MissingPSA Missing // no contract of that type for the customer
}

// LineFields are the fields of a line that a flow may rule.
var LineFields = []string{"quantity", "unit_cost", "unit_price", "description"}

// LineRules govern subscription and line.
type LineRules struct {
	First      plan.First
	MissingPSA Missing // a subscription without a line
	Fields     map[string]plan.FieldRule
	Refused    plan.Refusal // an edit of seats that the vendor does not take; "" is hold
}
