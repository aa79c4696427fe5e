package plan

// Reason is why something is done, held or reported: a stable word for logs, metrics and JSON. Sentence gives it in plain
// English; the same word appears in the plan, the log and the guide.
type Reason string

const (
	// Reasons to write.
	VendorChanged  Reason = "vendor_changed"
	PSAChanged     Reason = "psa_changed"
	FirstMet       Reason = "first_met"
	OwnerDiffers   Reason = "owner_differs"
	ForeignPutBack Reason = "put_back"
	RuleDecided    Reason = "conflict_rule"
	NewAtVendor    Reason = "new_at_vendor"
	EndedAtVendor  Reason = "ended_at_vendor"
	KeepID         Reason = "keep_id"
	IDOverwritten  Reason = "id_overwritten"
	Undo           Reason = "undo"
	AtTermEnd      Reason = "at_term_end"
	Committed      Reason = "committed"
	EndedByPSA     Reason = "ended_by_psa"
	ReopenedByPSA  Reason = "reopened_by_psa"
	KeepsSchedule  Reason = "keeps_schedule"
	QuoteAccepted  Reason = "quote_accepted"
	QuoteResult    Reason = "quote_result"
	NewInPSA       Reason = "new_in_psa"
	ScheduleLost   Reason = "schedule_lost"
	FollowsSeats   Reason = "follows_seats"
	Decided        Reason = "decided"
	RefusedPutBack Reason = "refused_put_back"
	Told           Reason = "told"
	TicketOpened   Reason = "ticket_opened"
	TicketNoted    Reason = "ticket_noted"
	TicketMoved    Reason = "ticket_moved"
	CountChanged   Reason = "count_changed"
	NewPart        Reason = "new_part"

	// Reasons to hold.
	ConflictHeld     Reason = "conflict"
	FirstHeld        Reason = "first_differs"
	Incomplete       Reason = "incomplete_read"
	TermWindow       Reason = "term_window"
	DecreaseHeld     Reason = "decrease_held"
	CancelHeld       Reason = "cancel_held"
	NoChangeNow      Reason = "no_change_now"
	SeatLimits       Reason = "seat_limits"
	AddOnFollows     Reason = "add_on"
	InUse            Reason = "seats_in_use"
	NotEditable      Reason = "not_editable"
	OverChangeLimit  Reason = "over_change_limit"
	OverCustomer     Reason = "over_customer_limit"
	OverRun          Reason = "over_run_limit"
	NoPrice          Reason = "no_price"
	DoubtfulPrice    Reason = "doubtful_price"
	AmbiguousLine    Reason = "ambiguous_line"
	AmbiguousMatch   Reason = "ambiguous_contract"
	AmbiguousProduct Reason = "ambiguous_product"
	NoContract       Reason = "no_contract"
	NoProduct        Reason = "no_product"
	WaitsFor         Reason = "waits_for"
	InFlight         Reason = "in_flight"
	MovedSince       Reason = "moved_since"
	ComesBack        Reason = "comes_back"
	OrderApproval    Reason = "order_approval"
	AgreementMissing Reason = "agreement_missing"
	ContactMissing   Reason = "contact_missing"
	PriceMoved       Reason = "price_moved"
	NotSold          Reason = "not_sold"
	SoldOtherwise    Reason = "sold_in_other_numbers"
	OrderedAlready   Reason = "ordered_already"
	QuoteCustomer    Reason = "quote_customer"
	QuoteIncomplete  Reason = "quote_incomplete"
	NotChecked       Reason = "order_not_checked"
	NewCustomerHeld  Reason = "new_customer"
	NotCreatable     Reason = "not_creatable"
	TwinExists       Reason = "twin_exists"
	Refused          Reason = "refused"
	CreditHold       Reason = "credit_hold"
	Frozen           Reason = "frozen"

	OverChangeTogether   Reason = "over_change_limit_together"
	OverCustomerTogether Reason = "over_customer_limit_together"
	OverRunTogether      Reason = "over_run_limit_together"
	OutOfCount           Reason = "out_of_count"
	OutOfRatio           Reason = "out_of_ratio"
	NoRest               Reason = "no_rest"
	LastSeat             Reason = "last_seat"
	NotCounted           Reason = "not_counted"

	// Findings.
	ForeignEdit       Reason = "foreign_edit"
	UnmatchedCustomer Reason = "unmatched_customer"
	NameOnly          Reason = "name_only"
	AmbiguousCustomer Reason = "ambiguous_customer"
	UnmatchedLine     Reason = "unmatched_line"
	OrphanedLine      Reason = "orphaned_line"
	VanishedAtVendor  Reason = "vanished_at_vendor"
	VanishedInPSA     Reason = "vanished_in_psa"
	EndedInPSA        Reason = "ended_in_psa"
	BadValue          Reason = "bad_value"
	UnknownStatus     Reason = "unknown_status"
	DeclaredTwice     Reason = "subscription_on_two_lines"
	NotUndone         Reason = "not_undone"
	RefundWindow      Reason = "refund_window"
	UndecidedEnd      Reason = "undecided_term_end"
	QuoteAgain        Reason = "quote_accepted_again"
	QuoteChanged      Reason = "quote_changed"
	QuoteWithdrawn    Reason = "quote_withdrawn"
	QuoteUndated      Reason = "quote_undated"
	CompanyMoved      Reason = "company_moved"
	CompanyGone       Reason = "company_gone"
	NoContactPerson   Reason = "no_contact_person"
	UnusedSeats       Reason = "unused_seats"
	PerhapsRenewed    Reason = "perhaps_renewed"
	BadRule           Reason = "bad_seat_rule"
	Regrouped         Reason = "regrouped"
)

var sentences = map[Reason]string{ //nolint:gosec // credit is no credential
	VendorChanged:  "changed at the vendor",
	PSAChanged:     "changed in the PSA",
	FirstMet:       "the two sides differ at their first meeting; the flow's first rule decides",
	OwnerDiffers:   "the owner of this field holds another value",
	ForeignPutBack: "edited on the side that does not own it; the flow puts it back",
	RuleDecided:    "changed on both sides; the field's conflict rule decides",
	NewAtVendor:    "bought at the vendor and not on a contract yet",
	EndedAtVendor:  "ended at the vendor",
	KeepID:         "keeps the other side's id, so that the link can be rebuilt",
	IDOverwritten:  "another id was typed over the one kept here; the link stays, so it is put back (trueup links forget ends the link)",
	Undo:           "puts back what the run had changed",
	AtTermEnd:      "lowered in the PSA outside the vendor's window: scheduled for the end of the term",
	Committed:      "committed until the end of the term, so the contract goes on billing it",
	EndedByPSA:     "the line ends in the PSA: the subscription is cancelled at the end of its term",
	ReopenedByPSA:  "the line was opened again in the PSA: it is not cancelled at the end of its term",
	NewInPSA:       "chosen in the PSA to become a customer at the vendor",
	KeepsSchedule:  "the vendor deletes what is scheduled with a change inside the term; it is scheduled again",
	ScheduleLost:   "the vendor deleted it with a change of seats inside the term; it is scheduled again",
	FollowsSeats:   "it was to renew as it is, so the renewal follows the seats",
	Decided:        "decided by a person for the end of the term",
	QuoteAccepted:  "a quote was accepted",
	QuoteResult:    "tells the quote what became of it",
	RefusedPutBack: "the vendor does not take it; the flow puts the line back",
	Told:           "tells the PSA user what became of an edit",
	TicketOpened:   "opens a ticket for people",
	TicketNoted:    "writes on a ticket what changed",
	TicketMoved:    "closes a ticket, opens it again or asks once more",
	CountChanged:   "the line counts its seats in another way than when it was last written",
	NewPart:        "a new part takes its seats from the line that bills the rest",

	ConflictHeld:     "changed on both sides to different values",
	FirstHeld:        "the two sides differ at their first meeting",
	Incomplete:       "the read was incomplete, and nothing is lowered or ended from an incomplete read",
	TermWindow:       "the vendor does not take back these seats now",
	DecreaseHeld:     "the flow holds every decrease",
	CancelHeld:       "the flow holds every cancellation at the end of a term",
	NoChangeNow:      "the vendor takes no change of this subscription now",
	SeatLimits:       "outside the numbers of seats that the vendor sells",
	AddOnFollows:     "an add-on and its base go together",
	InUse:            "fewer seats than are in use",
	NotEditable:      "the other system does not let this field be changed",
	OverChangeLimit:  "over the limit for one change",
	OverCustomer:     "over the limit for one customer",
	OverRun:          "over the limit for one run",
	NoPrice:          "no price is known for this product",
	DoubtfulPrice:    "an amount is zero or in another currency, where neither was to be expected",
	AmbiguousLine:    "lines of this product exist that are not linked to a subscription",
	AmbiguousMatch:   "the customer has more than one contract of this type",
	AmbiguousProduct: "more than one PSA product has this key",
	NoContract:       "the customer has no contract of this type",
	NoProduct:        "the PSA has no product with this key",
	WaitsFor:         "waits for another change that is held",
	InFlight:         "an earlier write to this record has no known outcome yet",
	MovedSince:       "it was changed again since the run",
	ComesBack:        "the flow would write it again",
	OrderApproval:    "an order waits for approval",
	AgreementMissing: "the customer has not accepted the vendor's agreement",
	ContactMissing:   "the vendor has nobody at the customer to write to",
	PriceMoved:       "the price changed since the quote was made",
	NotSold:          "the vendor does not sell this to the customer, or not in this term",
	SoldOtherwise:    "the vendor sells this in other numbers",
	OrderedAlready:   "the same product was bought after the quote was accepted",
	QuoteCustomer:    "the quote's customer is not linked with exactly one customer at the vendor",
	QuoteIncomplete:  "the quote does not say what an order needs",
	NotChecked:       "what an order would meet could not be found out",
	NewCustomerHeld:  "a new customer at the vendor cannot be taken back, so a person approves each",
	NotCreatable:     "the vendor would not take it as it is",
	TwinExists:       "something very like it is there already",
	Refused:          "the vendor refused it",
	CreditHold:       "the PSA has the customer on credit hold, so no seats are added",
	Frozen:           "the flow writes nothing that costs at this time",

	OverChangeTogether:   "over the limit for one change, together with what was done to it shortly before",
	OverCustomerTogether: "over the limit for one customer, together with what was done there shortly before",
	OverRunTogether:      "over the limit for one run, together with what was done shortly before",
	OutOfCount:           "the way this line counts never comes to this number",
	OutOfRatio:           "the parts of a bundle are not in its ratio",
	NoRest:               "the parts of a subscription do not add up, and no line takes the difference",
	LastSeat:             "a subscription has at least one seat until it is cancelled",
	NotCounted:           "a number that this line counts is not known",

	ForeignEdit:       "edited on the side that does not own the field",
	UnmatchedCustomer: "no counterpart was found",
	NameOnly:          "only the name matches",
	AmbiguousCustomer: "more than one counterpart matches",
	UnmatchedLine:     "a contract line bills a vendor product without a subscription",
	OrphanedLine:      "a contract line bills a subscription that the vendor does not know",
	VanishedAtVendor:  "the subscription is gone from a complete listing",
	VanishedInPSA:     "the contract line is gone from a complete listing",
	EndedInPSA:        "the line was ended in the PSA while the subscription goes on",
	BadValue:          "a value cannot be read",
	UnknownStatus:     "the vendor reports a status that trueup does not know",
	DeclaredTwice:     "two contract lines name the same subscription",
	NotUndone:         "trueup cannot put this back",
	RefundWindow:      "the vendor takes these seats back only for a while",
	UndecidedEnd:      "a term ends soon and nobody has said what follows",
	QuoteAgain:        "a quote was accepted again after its order was placed; nothing is ordered twice",
	QuoteChanged:      "a quote was changed after its order was placed",
	QuoteWithdrawn:    "a quote is not accepted any more, and its order was placed",
	QuoteUndated:      "accepted quotes without a date are left alone",
	CompanyMoved:      "the company is gone, and its contract lines stand on another one's contracts: the link follows",
	CompanyGone:       "the company that it was linked with is gone",
	NoContactPerson:   "no contact is marked as the company's main one",
	UnusedSeats:       "seats are paid for and not in use",
	PerhapsRenewed:    "a subscription came while another of its product went",
	BadRule:           "the seat rule of a line cannot be followed",
	Regrouped:         "records whose seats were decided together are not said to belong together any more",
}

// VendorOnly reports a change that tells the vendor what the PSA does not say, or not yet: the PSA is remembered as it was.
func (r Reason) VendorOnly() bool {
	return r == AtTermEnd || r == ScheduleLost || r == FollowsSeats || r == Decided
}

// keeps reports a change that only writes down the other side's id.
func (r Reason) keeps() bool { return r == KeepID || r == IDOverwritten }

// Sentence is the reason in plain English.
func (r Reason) Sentence() string { return sentences[r] }
