package plan

import (
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Owner says which side's value counts.
type Owner string

const (
	OwnerVendor Owner = "vendor" // flows from the vendor to the PSA only
	OwnerPSA    Owner = "psa"    // flows from the PSA to the vendor only, where the vendor takes it
	OwnerBoth   Owner = "both"   // either side may change it
)

// Conflict says what happens when both sides changed a field to different values.
type Conflict string

const (
	ConflictHold    Conflict = "hold"
	ConflictVendor  Conflict = "vendor"
	ConflictPSA     Conflict = "psa"
	ConflictHighest Conflict = "highest"
	ConflictLowest  Conflict = "lowest"
)

// First says whose value counts when a pair is met for the first time and differs.
type First string

const (
	FirstVendor First = "vendor"
	FirstPSA    First = "psa"
	FirstHold   First = "hold"
)

// FieldRule governs one field of a pair.
type FieldRule struct {
	Owner    Owner
	Conflict Conflict
	PutBack  bool // a foreign edit of an owned field is overwritten instead of only reported
	Keep     bool // an id kept on the PSA side so that a lost link can be rebuilt: always put back, never held
}

// Refusal says what happens to an edit in the PSA that the vendor does not take.
type Refusal string

const (
	RefusalHold    Refusal = "hold"     // both sides stay as they are and a person is asked
	RefusalPutBack Refusal = "put_back" // the line gets the vendor's seats again
)

// Guards are the limits a plan must stay within. A nil or zero limit does not apply.
type Guards struct {
	PerChange   ChangeLimit
	PerCustomer GroupLimit
	PerRun      GroupLimit
	Decrease    Decrease
	Cancel      Cancel
	// FourEyes says that one person's decision is not enough to cancel.
	FourEyes bool
	// Together is for how long what was done counts together with a plan, as if it were one; 0 for the plan alone. The caller collects it (Recent).
	Together time.Duration
	// Unattended says that nobody reviews a plan before it is applied. Then what new lines would bill counts, too.
	Unattended bool
	// OnHold are the customers for whom no seats are added, since the PSA has them on credit hold.
	OnHold map[string]bool
	// FrozenUntil is until when nothing that costs is written; zero when everything is.
	FrozenUntil time.Time
}

// ChangeLimit bounds one change of something that exists.
type ChangeLimit struct {
	Increase *model.Quantity // seats added
	Decrease *model.Quantity // seats taken away
	Share    int             // percent of the seats of the record that may be taken away; 0 for no limit
	Cost     *model.Money    // vendor cost added a month
	Drop     *model.Money    // vendor cost, or customers' bills, taken away a month
}

// GroupLimit bounds a customer's or a run's changes taken together.
//
// Share is measured in seats, so that ending the only line of a small customer counts as everything while one seat less of ten counts as a
// tenth. Taking a single seat never breaks it, because of two or three seats one is a large share and an ordinary day; taking the last
// one does, unless the share is 100 percent, which is no limit.
//
// Vendor cost and customers' bills are each compared with Drop, never added up: a seat that is neither bought nor billed any more is one
// seat. What goes up elsewhere does not make up for what goes down. New lines count in Bill alone, and only where Guards.Unattended.
type GroupLimit struct {
	Share    int             // percent of the seats on existing lines that may be lowered or ended; 0 and 100 for no limit
	Increase *model.Quantity // seats added to what exists
	Decrease *model.Quantity // seats taken away from what exists
	Count    int             // changes to existing lines; 0 for no limit
	Cost     *model.Money    // vendor cost added a month
	Drop     *model.Money    // vendor cost, or customers' bills, taken away a month
	Bill     *model.Money    // customers' bills added a month
}

// Decrease says what happens to a lower seat count outside the vendor's refund window.
type Decrease string

const (
	DecreaseWindow Decrease = "window" // inside the window now, otherwise scheduled for the end of the term
	DecreaseHold   Decrease = "hold"   // always held for a person
)

// Cancel says what happens to a subscription whose line ends in the PSA.
type Cancel string

const (
	CancelTermEnd Cancel = "term_end" // the vendor is told to cancel it at the end of its term
	CancelHold    Cancel = "hold"     // always held for a person
)
