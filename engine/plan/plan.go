// Package plan decides what to change, and only decides. Compute is a calculation: the same Input gives the same Plan, byte
// for byte. It reads no clock, holds no lock, logs nothing and knows no system; whatever it needs, the time included,
// comes in as values.
//
// A pair is one thing seen from both sides: a subscription and the contract line that bills it, a vendor customer and a
// PSA company. Each side is compared with its own memory (what it looked like when last read), never first with the other
// side, because systems round, trim and re-case what they are given. "Changed" means "differs from that side's memory":
//
//	vendor changed | PSA changed | agree after canonicalising | result
//	no             | no          | -                          | nothing
//	yes            | no          | -                          | write the PSA
//	no             | yes         | -                          | write the vendor
//	yes            | yes         | yes                        | remember both, write nothing
//	yes            | yes         | no                         | conflict: the field's rule; held by default
//	no memory      |             | yes                        | remember
//	no memory      |             | no                         | the flow's first rule (vendor, psa or hold)
//
// Ownership then filters the result: a field that one side owns never flows the other way; the foreign edit is a finding,
// and is put back only if the flow says so.
//
// A Plan is data: what, where, from, to, why, and what it does to the bill. It can be printed, saved, compared and named by
// its Digest. Guard takes a Plan and returns a Plan in which whatever breaks a limit is held, with the figures.
package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Side is one of the two sides of a flow.
type Side string

const (
	Vendor Side = "vendor"
	PSA    Side = "psa"
)

// Ref names a record of an account in the model's words.
type Ref struct {
	Kind   model.Kind `json:"kind"`
	ID     string     `json:"id"`
	Parent string     `json:"parent,omitempty"` // native id of the record it lives under
}

// Op is what a change does.
type Op string

const (
	OpCreate Op = "create"
	OpChange Op = "change"
	OpEnd    Op = "end" // stop billing after Last; nothing is deleted
	// OpSchedule tells the vendor what to do when the term ends; until then nothing changes.
	OpSchedule Op = "schedule"
)

// Change is one write. It never contains a function.
type Change struct {
	ID       string        `json:"id"` // stable: the same change has the same id in every plan
	Op       Op            `json:"op"`
	Side     Side          `json:"side"`
	Account  string        `json:"account"`
	Target   Ref           `json:"target"` // for create: kind and parent only
	Label    string        `json:"label"`
	Customer string        `json:"customer"`
	Fields   []FieldChange `json:"fields,omitempty"`
	Last     model.Day     `json:"last,omitzero"`    // for end: the last billed day
	AtEnd    *AtEnd        `json:"at_end,omitempty"` // for schedule: when it takes effect, and what waiting costs
	// Keeps is what the vendor has scheduled for the end of the term and deletes with this change; the connector schedules it again.
	Keeps []FieldChange `json:"keeps,omitempty"`
	Pair  PairRef       `json:"pair"` // the pair this change settles
	After []string      `json:"after,omitempty"`
	// Refs are fields of a create whose value is the id of a record that an earlier change creates: field -> change id.
	Refs map[string]string `json:"refs,omitempty"`
	// Key names the intent to the system where it must be the same in every run: an order of one line of a quote. "" takes the journal's own.
	Key string `json:"key,omitempty"`
	// Together names changes that share their seats: where one is held, all are.
	Together string `json:"together,omitempty"`
	// Members are the links whose seats this change settles, where there are several or the line counts in its own way.
	Members []Member `json:"members,omitempty"`
	Shares  string   `json:"shares,omitempty"` // for people: how the seats of several records make one number
	Reason  Reason   `json:"reason"`
	Effect  Effect   `json:"effect"`
	// Detail is why, where the reason alone does not say it: what the vendor answered to an edit that is put back.
	Detail string `json:"detail,omitempty"`
	// Released says who let a change through that a limit held, when and why; it is filled in when that is used, and no part of the digest.
	Released string `json:"released,omitempty"`
	// Tells is what a ticket says when this change to it is done.
	Tells *Tells `json:"tells,omitempty"`
}

// Tells is how a ticket of a flow's matter stands after a write.
type Tells struct {
	Matter  string    `json:"matter"`
	Purpose string    `json:"purpose"`
	Said    string    `json:"said"`             // names the text that it was told last
	Digest  string    `json:"digest,omitempty"` // the plan that it asks people to approve
	Closed  time.Time `json:"closed,omitzero"`  // UTC
}

// Member is one of several links that a change settles, and what is remembered of its two sides when the change is done.
type Member struct {
	Pair   PairRef      `json:"pair"`
	Vendor model.Fields `json:"vendor,omitempty"`
	PSA    model.Fields `json:"psa,omitempty"`
}

// PairRef says which records a change joins, so that the link and its memory can be kept when the change is done.
type PairRef struct {
	Kind          model.Kind `json:"kind,omitempty"`
	Link          string     `json:"link,omitempty"` // kept link; "" for a new pair
	VendorAccount string     `json:"vendor_account,omitempty"`
	Vendor        Ref        `json:"vendor,omitzero"`
	PSAAccount    string     `json:"psa_account,omitempty"`
	PSA           Ref        `json:"psa,omitzero"`
	How           string     `json:"how,omitempty"`   // evidence for the pair
	Was           string     `json:"-"`               // the vendor record that the link led to until now; the vendor renewed it under another id
	Shape         Shape      `json:"shape,omitempty"` // "" where one line bills what one subscription has
}

// FieldChange keeps old and new together.
type FieldChange struct {
	Field  string      `json:"field"`
	From   model.Value `json:"from,omitzero"`
	To     model.Value `json:"to"`
	Reason Reason      `json:"reason"`
}

// Effect is what a change does to the money, a month: cost is what the vendor will charge the MSP more or less, bill is what
// the MSP will charge the customer more or less. A zero amount is no effect; Unpriced says that it could not be told.
type Effect struct {
	Cost     model.Money `json:"cost,omitzero"`
	Bill     model.Money `json:"bill,omitzero"`
	Unpriced bool        `json:"unpriced,omitempty"`
}

// Held is a change that is not done and waits for a person.
type Held struct {
	Change Change `json:"change"`
	Reason Reason `json:"reason"`
	Detail string `json:"detail"` // the figures
	Next   string `json:"next"`   // what the person can do
}

// Finding is something a person should know that is not a change.
type Finding struct {
	Key      string      `json:"key"` // stable, so that one thing is one finding however many runs see it
	Matter   string      `json:"-"`   // what it is about, where one matter is found anew under several keys
	Kind     Reason      `json:"kind"`
	Customer string      `json:"customer"`
	Title    string      `json:"title"`
	Detail   string      `json:"detail"`
	Next     string      `json:"next"`
	Money    model.Money `json:"money,omitzero"` // at stake a month
}

// Memory is what to remember about a pair that is in step.
type Memory struct {
	Pair   PairRef
	Label  string
	Vendor model.Fields
	PSA    model.Fields
}

// Counts are the figures under a plan.
type Counts struct {
	Customers   int `json:"customers"`
	Pairs       int `json:"pairs"`
	InStep      int `json:"in_step"`
	NotCompared int `json:"not_compared"` // pairs that could not be looked at; they are not called clean
	NotBilled   int `json:"not_billed"`   // subscriptions that need no line: trials, ended ones
}

// Plan is everything one run proposes.
type Plan struct {
	Flow    string   `json:"flow"`
	Undoes  string   `json:"undoes,omitempty"` // the run whose changes it puts back
	Changes []Change `json:"changes"`
	Held    []Held   `json:"held"`
	Lifted  []Held   `json:"lifted,omitempty"` // what Release let through: among the changes, and what had held it
	// Rejected says who refused to let a held change through, when and why, by the change's id. It stays held whatever others approve.
	Rejected map[string]string `json:"rejected,omitempty"`
	Findings []Finding         `json:"findings"`
	Partial  []string          `json:"partial,omitempty"` // what was not read, in plain sentences
	Counts   Counts            `json:"counts"`
	Remember []Memory          `json:"-"`
	// Fulfilled are the decisions about the end of a term that the vendor has been told, by id.
	Fulfilled []string `json:"-"`
	Close     []string `json:"-"` // kept links that others have taken the place of
}

// Empty reports whether there is nothing to write.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Merge adds another customer's plan.
func (p *Plan) Merge(o Plan) {
	p.Changes = append(p.Changes, o.Changes...)
	p.Held = append(p.Held, o.Held...)
	p.Findings = append(p.Findings, o.Findings...)
	p.Remember = append(p.Remember, o.Remember...)
	p.Fulfilled = append(p.Fulfilled, o.Fulfilled...)
	p.Close = append(p.Close, o.Close...)
	p.Lifted = append(p.Lifted, o.Lifted...)
	p.Partial = append(p.Partial, o.Partial...)
	p.Counts.Customers += o.Counts.Customers
	p.Counts.Pairs += o.Counts.Pairs
	p.Counts.InStep += o.Counts.InStep
	p.Counts.NotCompared += o.Counts.NotCompared
	p.Counts.NotBilled += o.Counts.NotBilled
}

// rank is the order in which things must come to exist.
var rank = []model.Kind{model.KindCustomer, model.KindContact, model.KindContract, model.KindProduct, model.KindSubscription, model.KindLine, model.KindQuote}

// Sort puts changes into dependency order and everything else by customer and label. The order never depends on how the
// plan was put together.
func (p *Plan) Sort() {
	slices.SortFunc(p.Changes, InOrder)
	for _, held := range [][]Held{p.Held, p.Lifted} {
		slices.SortFunc(held, func(a, b Held) int {
			return cmp.Or(InOrder(a.Change, b.Change), cmp.Compare(a.Reason, b.Reason))
		})
	}
	slices.SortFunc(p.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Key, b.Key))
	})
	slices.Sort(p.Partial)
	p.Partial = slices.Compact(p.Partial)
}

// InOrder compares changes by when they are written: what others need comes first, and within a kind each customer's changes are together.
func InOrder(a, b Change) int {
	return cmp.Or(
		cmp.Compare(slices.Index(rank, a.Target.Kind), slices.Index(rank, b.Target.Kind)),
		cmp.Compare(strings.ToLower(a.Customer), strings.ToLower(b.Customer)), cmp.Compare(a.Customer, b.Customer),
		cmp.Compare(a.Label, b.Label), cmp.Compare(createdFirst(a), createdFirst(b)), cmp.Compare(scheduledLast(a), scheduledLast(b)), cmp.Compare(a.ID, b.ID))
}

// createdFirst puts what is made before what is written down about it.
func createdFirst(c Change) int {
	if c.Op == OpCreate {
		return 0
	}
	return 1
}

// scheduledLast puts what is scheduled after what is done now: a change inside the term would delete it.
func scheduledLast(c Change) int {
	if c.Op == OpSchedule {
		return 1
	}
	return 0
}

// Digest names exactly what would be written: the flow and every change with its values, the run that it undoes, and the changes
// that are let through over a limit. Held changes and findings are not part of it, because nothing is done about them.
func (p Plan) Digest() string {
	sorted := p
	sorted.Changes = slices.Clone(p.Changes)
	slices.SortFunc(sorted.Changes, InOrder)
	for i := range sorted.Changes {
		// A pair that was met for the first time in this plan has a kept link in the next; what would be written is the same.
		sorted.Changes[i].Pair.Link = ""
		sorted.Changes[i].Members = slices.Clone(sorted.Changes[i].Members)
		for j := range sorted.Changes[i].Members {
			sorted.Changes[i].Members[j].Pair.Link = ""
		}
	}
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	// Encoding plain data into a hash cannot fail.
	_ = encoder.Encode(p.Flow)
	_ = encoder.Encode(sorted.Changes)
	if p.Undoes != "" || len(p.Lifted) > 0 {
		lifted := []string{}
		for _, h := range p.Lifted {
			lifted = append(lifted, h.Change.ID)
		}
		slices.Sort(lifted)
		_ = encoder.Encode([]any{p.Undoes, lifted})
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// ChangeID makes the stable id of a change from what identifies it: never from values, so that a changed amount keeps its
// place in the plan and only the digest moves.
func ChangeID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:12]
}

// Totals adds the effects of changes by currency, in the order of the currency codes.
func Totals(changes []Change) (cost, bill []model.Money, unpriced int) {
	costs, bills := map[string]model.Money{}, map[string]model.Money{}
	for _, c := range changes {
		if c.Effect.Unpriced {
			unpriced++
		}
		addTo(costs, c.Effect.Cost)
		addTo(bills, c.Effect.Bill)
	}
	return sortedMoney(costs), sortedMoney(bills), unpriced
}

func addTo(totals map[string]model.Money, m model.Money) {
	if m.Sign() == 0 {
		return
	}
	sum, err := totals[m.Currency()].Add(m)
	if err == nil { // the key is the currency, so they cannot differ
		totals[m.Currency()] = sum
	}
}

func sortedMoney(totals map[string]model.Money) []model.Money {
	var list []model.Money
	for _, m := range totals {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b model.Money) int { return cmp.Compare(a.Currency(), b.Currency()) })
	return list
}
