package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// figures are what histories came to.
type figures struct {
	deaths, faults int
	edits          int // of seats, by people
	opposed        int // of those, met by one on the other side
	reported       int // subscriptions whose two sides differ in the end, each held or reported
	intents        int // written in the journal
	effects        int // that intents had
	perIntent      int // the most that one had
	lost           int // edits that nobody opposed, neither on both sides nor reported
	runs           int // that it took to settle, at most
}

func (f *figures) add(g figures) {
	f.deaths, f.faults, f.edits, f.opposed, f.reported = f.deaths+g.deaths, f.faults+g.faults, f.edits+g.edits, f.opposed+g.opposed, f.reported+g.reported
	f.intents, f.effects, f.lost = f.intents+g.intents, f.effects+g.effects, f.lost+g.lost
	f.perIntent, f.runs = max(f.perIntent, g.perIntent), max(f.runs, g.runs)
}

// typed are the numbers of seats that people typed for one subscription since its two sides were last equal; "" for none.
type typed struct {
	vendor, psa string
	scheduled   bool // what was typed in the PSA was scheduled for the end of the term before anything was typed at the vendor
	amid        bool // what was typed at the vendor was typed while a run went on
}

// bought are the seats of a subscription at the vendor since an instant.
type bought struct {
	seats string
	since time.Time
}

// oracle watches both systems and knows what people did to them.
type oracle struct {
	figures
	vendorWorld, psaWorld *memory.World
	open                  map[string]typed           // by subscription
	onLine                map[string]map[string]bool // by subscription: the numbers of seats that people typed on its line
	committed             map[string]bool            // subscriptions of which the vendor takes no seat back before the end of the term
	had                   map[string][]bought        // by subscription: what was bought, oldest first
	agreed                map[string]string          // by subscription: the seats when both sides were last equal, or the vendor last followed the line
	waits                 map[string][]string        // by subscription: numbers that wait for the end of the term, oldest first
	onLines               map[string][]string        // by subscription: the seats on its line when the run began, and those typed there since; nil between runs
	ever                  map[string]map[string]bool // by subscription: all numbers of seats that people typed
	paid                  map[string]model.Value     // by line: the price that a person typed
	deleted, vanished     map[string]bool            // subscriptions
	endedByUser           map[string]bool            // lines
	overtyped             map[string][]time.Time     // by line: when a person typed its cost, which the vendor owns; it may be put there again
	missed                bool                       // the feed lost something
	last                  engine.Result
	lastErr               error
}

func newOracle(vendor, psa *memory.World) *oracle {
	return &oracle{vendorWorld: vendor, psaWorld: psa, open: map[string]typed{}, onLine: map[string]map[string]bool{}, committed: map[string]bool{},
		had: map[string][]bought{}, agreed: map[string]string{}, waits: map[string][]string{}, ever: map[string]map[string]bool{}, paid: map[string]model.Value{}, deleted: map[string]bool{}, vanished: map[string]bool{}, endedByUser: map[string]bool{}, overtyped: map[string][]time.Time{}}
}

func (o *oracle) total() int { return o.vendorWorld.TotalEffects() + o.psaWorld.TotalEffects() }

// billed is the subscription that a line bills.
func billed(line connectors.Record) string {
	return line.Fields["custom.Vendor Subscription Id"].String()
}

func ended(line connectors.Record) bool { return !line.Fields["cancelledDate"].Blank() }

// lines are the lines that are not ended.
func (o *oracle) lines() []connectors.Ref {
	var refs []connectors.Ref
	for _, rec := range o.psaWorld.Records("addition") {
		if !ended(rec) {
			refs = append(refs, connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent})
		}
	}
	return refs
}

// types notes that a person is about to type a number of seats on one side.
func (o *oracle) types(sub string, onPSA bool, seats string) {
	if o.ever[sub] == nil {
		o.ever[sub], o.onLine[sub] = map[string]bool{}, map[string]bool{}
	}
	o.ever[sub][seats] = true
	o.edits++
	t := o.open[sub]
	t.scheduled = t.scheduled || t.psa != "" && t.psa == o.atRenewal(sub)
	if onPSA {
		o.onLine[sub][seats] = true
		t.psa, t.scheduled = seats, false
		if o.onLines != nil {
			o.onLines[sub] = append(o.onLines[sub], seats)
		}
	} else {
		t.vendor, t.amid = seats, o.onLines != nil
	}
	if t.vendor != "" && t.psa != "" {
		o.opposed++
	}
	o.open[sub] = t
}

// sides are the seats of a subscription at the vendor and on its line; ok is false unless both are there and neither is over.
func (o *oracle) sides(id string) (vendor, psa string, ok bool) {
	for _, sub := range o.vendorWorld.Records("subscription") {
		if sub.ID == id && !o.deleted[id] {
			vendor = sub.Fields["quantity"].String()
		}
	}
	for _, line := range o.psaWorld.Records("addition") {
		if billed(line) == id && !ended(line) {
			psa = line.Fields["quantity"].String()
		}
	}
	return vendor, psa, vendor != "" && psa != ""
}

// watch notes what is bought, at an instant.
func (o *oracle) watch(now time.Time) {
	for _, sub := range o.vendorWorld.Records("subscription") {
		seats, had := sub.Fields["quantity"].String(), o.had[sub.ID]
		if len(had) == 0 || had[len(had)-1].seats != seats {
			o.had[sub.ID] = append(had, bought{seats, now})
		}
	}
}

// begins notes what a run that begins can read.
func (o *oracle) begins() {
	o.onLines = map[string][]string{}
	for _, line := range o.psaWorld.Records("addition") {
		if sub := billed(line); !ended(line) {
			o.onLines[sub] = append(o.onLines[sub], line.Fields["quantity"].String())
		}
	}
}

// ends notes what a run that is over scheduled: the number on the line, and no other. What was typed at the vendor meanwhile came while that was on
// its way, and nothing that the vendor answers tells one from the other: it counts as typed afterwards.
func (o *oracle) ends(now time.Time) error {
	for _, sub := range o.vendorWorld.Records("subscription") {
		next, waits := sub.Fields["scheduledNextTermInstructions.quantity"].String(), o.waits[sub.ID]
		if next != "" && (len(waits) == 0 || waits[len(waits)-1] != next) {
			if !slices.Contains(o.onLines[sub.ID], next) {
				return fmt.Errorf("subscription %s renews with %s seats, and its line had %s", sub.ID, next, o.onLines[sub.ID])
			}
			o.waits[sub.ID] = append(waits, next)
		}
		if seats := sub.Fields["quantity"].String(); o.open[sub.ID].vendor == "" && slices.Contains(o.onLines[sub.ID], seats) {
			o.agreed[sub.ID] = seats // from the line, on which somebody may have typed another number since
		}
		if t := o.open[sub.ID]; t.amid {
			t.amid, t.scheduled = false, t.scheduled || t.psa != "" && t.psa == next
			o.open[sub.ID] = t
		}
	}
	o.onLines = nil
	o.watch(now)
	return nil
}

// boughtAt reports whether so many seats were bought at an instant, or until then; at any time before, once a feed has not told of a change.
func (o *oracle) boughtAt(sub, seats string, at time.Time) bool {
	had := o.had[sub]
	for i, b := range had {
		if b.seats == seats && !b.since.After(at) && (o.missed || i+1 == len(had) || !had[i+1].since.Before(at)) {
			return true
		}
	}
	return false
}

// fewer compares two numbers of seats.
func fewer(a, b string) bool {
	x, _ := model.ParseQuantity(a)
	y, _ := model.ParseQuantity(b)
	return x.Cmp(y) < 0
}

// atRenewal are the seats that are scheduled for the end of a subscription's term; "" for none.
func (o *oracle) atRenewal(id string) string {
	for _, sub := range o.vendorWorld.Records("subscription") {
		if sub.ID == id {
			return sub.Fields["scheduledNextTermInstructions.quantity"].String()
		}
	}
	return ""
}

// settled closes what was typed when both sides are equal, and says what was lost.
func (o *oracle) settled(id string) error {
	vendor, psa, ok := o.sides(id)
	if !ok || vendor != psa {
		return nil
	}
	t, before := o.open[id], o.agreed[id]
	delete(o.open, id)
	o.agreed[id] = vendor
	lowered := fewer(t.psa, before)
	if t.vendor != "" {
		before = t.vendor
	}
	scheduled := t.vendor == "" || t.scheduled || o.missed // what a feed does not tell of, nobody can see as opposed
	switch {
	case t.psa != "" && t.psa == o.atRenewal(id) && vendor == before && scheduled && o.committed[id] && lowered:
		// The vendor takes them back at the end of the term only, and was told so. Until then both sides have what was bought before, or what was typed
		// at the vendor since.
	case t.vendor != "" && t.psa != "":
		return fmt.Errorf("subscription %s: people typed %s at the vendor and %s in the PSA, and both became %s without being asked", id, t.vendor, t.psa, vendor)
	case t.vendor != "" && t.vendor != vendor || t.psa != "" && t.psa != vendor:
		o.lost++
		return fmt.Errorf("subscription %s: an edit that nobody opposed was lost: typed vendor %q, PSA %q, and both are %s", id, t.vendor, t.psa, vendor)
	}
	return nil
}

// look checks what must hold after every run, however it ended.
func (o *oracle) look() error {
	seen := map[string]string{}
	for _, check := range []struct {
		kind, what string
		key        func(connectors.Record) string
	}{
		{"addition", "subscription", billed},
		{"company", "customer", func(r connectors.Record) string { return r.Fields["custom.Vendor Tenant Ids"].String() }},
		{"agreement", "company", func(r connectors.Record) string { return r.Fields["company"].String() }},
		{"catalogItem", "product", func(r connectors.Record) string { return r.Fields["manufacturerPartNumber"].String() }},
	} {
		for _, rec := range o.psaWorld.Records(check.kind) {
			key := check.kind + " " + check.key(rec)
			if other := seen[key]; other != "" && check.key(rec) != "" {
				return fmt.Errorf("%s %s has two of %s: %s and %s", check.what, check.key(rec), check.kind, other, rec.ID)
			}
			seen[key] = rec.ID
		}
	}
	for _, line := range o.psaWorld.Records("addition") {
		sub := billed(line)
		switch seats := line.Fields["quantity"].String(); {
		case !o.ever[sub][seats]:
			return fmt.Errorf("line %s of %s has %s seats, which nobody typed", line.ID, sub, seats)
		case ended(line) && !o.endedByUser[line.ID] && !o.deleted[sub]:
			return fmt.Errorf("line %s was ended although subscription %s goes on", line.ID, sub)
		case o.paid[line.ID].Known() && line.Fields["unitPrice"] != o.paid[line.ID]:
			return fmt.Errorf("line %s: a person typed the price %s, and it is %s", line.ID, o.paid[line.ID], line.Fields["unitPrice"])
		}
	}
	for _, sub := range o.vendorWorld.Records("subscription") {
		if seats := sub.Fields["quantity"].String(); !o.ever[sub.ID][seats] {
			return fmt.Errorf("subscription %s has %s seats, which nobody typed", sub.ID, seats)
		}
		if err := o.settled(sub.ID); err != nil {
			return err
		}
	}
	return nil
}

// judge checks what must hold in the end, when the last plan is empty.
func (o *oracle) judge(store *state.Store) error {
	if err := o.once(store); err != nil {
		return err
	}
	bySub := map[string]connectors.Record{}
	for _, line := range o.psaWorld.Records("addition") {
		bySub[billed(line)] = line
		if sub := billed(line); o.vanished[sub] && !ended(line) && !o.says(sub) {
			return fmt.Errorf("subscription %s vanished, line %s goes on, and nothing is said of it", sub, line.ID)
		}
	}
	for _, sub := range o.vendorWorld.Records("subscription") {
		line, there := bySub[sub.ID]
		if err := o.scheduled(sub.ID); err != nil {
			return err
		}
		what := ""
		switch {
		case o.deleted[sub.ID] && there && !ended(line):
			what = "is over and its line is not"
		case o.deleted[sub.ID]:
		case !there:
			what = "has no line"
		case ended(line):
			what = "goes on and its line is ended"
		case line.Fields["quantity"] != sub.Fields["quantity"]:
			what = fmt.Sprintf("has %s seats and its line %s", sub.Fields["quantity"], line.Fields["quantity"])
		case strings.TrimSpace(line.Fields["invoiceDescription"].String()) != strings.TrimSpace(sub.Fields["offerName"].String()):
			what = fmt.Sprintf("is called %q and its line %q", sub.Fields["offerName"], line.Fields["invoiceDescription"])
		default:
			if err := o.costs(sub, line); err != nil {
				return err
			}
		}
		if what == "" {
			continue
		}
		o.reported++
		if !o.says(sub.ID) {
			o.lost++
			return fmt.Errorf("subscription %s %s, and nothing is said of it:\n%s", sub.ID, what, text(o.last.Plan))
		}
	}
	_, err := store.VerifyJournal(context.Background())
	return err
}

// scheduled checks that the vendor was told the last number that waits for the end of the term, and no other.
func (o *oracle) scheduled(sub string) error {
	next, waits := o.atRenewal(sub), o.waits[sub]
	if len(waits) > 0 && next != waits[len(waits)-1] {
		return fmt.Errorf("subscription %s renews with %q seats, and %s were typed last of those that wait for the end of its term", sub, next, waits[len(waits)-1])
	}
	return nil
}

// costs compares a line's cost with the price sheet; what a person typed into it is reported as a foreign edit.
func (o *oracle) costs(sub, line connectors.Record) error {
	id := strings.Join([]string{sub.Fields["sku"].String(), sub.Fields["termDuration"].String(), sub.Fields["billingCycle"].String()}, " ")
	sheet, _ := o.vendorWorld.Get(connectors.Ref{Kind: "price", ID: id})
	want, have := sheet.Fields["unitCostMonth"], line.Fields["unitCost"]
	rounded := want
	if m, ok := want.Money(); ok {
		rounded = model.MoneyValue(m.Round(2))
	}
	if have == want || have == rounded {
		return nil
	}
	for _, f := range o.last.Plan.Findings {
		if f.Kind == plan.ForeignEdit {
			return nil
		}
	}
	return fmt.Errorf("line %s of %s costs %s, the price sheet says %s, and nothing is said of it:\n%s", line.ID, sub.ID, have, want, text(o.last.Plan))
}

// says reports whether the last plan holds or reports something about a subscription.
func (o *oracle) says(sub string) bool {
	for _, h := range o.last.Plan.Held {
		if h.Change.Pair.Vendor.ID == sub && h.Detail != "" {
			return true
		}
	}
	named := regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(sub) + `($|[^\w-])`)
	for _, f := range o.last.Plan.Findings {
		if named.MatchString(f.Title + " " + f.Detail + " " + f.Next) {
			return true
		}
	}
	return false
}

// once checks that no intent had two effects, and that no two intents did the same.
func (o *oracle) once(store *state.Store) error {
	entries, err := store.Journal(context.Background(), state.JournalFilter{})
	if err != nil {
		return err
	}
	slices.Reverse(entries) // oldest first
	done, putBack := map[string]state.Entry{}, map[string]bool{}
	for _, entry := range entries {
		if entry.State != state.JournalIntended {
			continue
		}
		o.intents++
		n := o.vendorWorld.Effects(entry.Intent) + o.psaWorld.Effects(entry.Intent)
		o.figures.effects, o.perIntent = o.figures.effects+n, max(o.perIntent, n)
		if n > 1 {
			return fmt.Errorf("intent %s had %d effects", entry.Intent, n)
		}
		if n == 0 {
			continue
		}
		var c plan.Change
		if err := json.Unmarshal(entry.Body, &c); err != nil {
			return err
		}
		does := []string{c.ID}
		switch c.Op {
		case plan.OpSchedule, plan.OpChange:
			does = nil
			for _, f := range c.Fields {
				if err := o.allowed(c, f, entry.At); err != nil {
					return err
				}
				if f.Reason == plan.Committed { // a number that a person typed gives way to what is bought; that is the same each time
					putBack[c.Pair.Vendor.ID+" "+f.From.String()] = true
					does = append(does, fmt.Sprintf("%s: %s %s is put back", c.ID, f.Field, f.From))
					continue
				}
				what := fmt.Sprintf("%s: %s becomes %s", c.ID, f.Field, f.To)
				if f.Field == "unit_cost" && o.typedBetween(c.Target.ID, done[what].At, entry.At) {
					delete(done, what) // a person typed over the first
				}
				does = append(does, what)
			}
		}
		for _, what := range does {
			if other := done[what]; other.Intent != "" {
				return fmt.Errorf("intents %s and %s did the same: %s %s", other.Intent, entry.Intent, c.Label, what)
			}
			done[what] = entry
		}
	}
	for what := range putBack {
		sub, seats, _ := strings.Cut(what, " ")
		if !slices.Contains(o.waits[sub], seats) {
			return fmt.Errorf("subscription %s: %s seats were put back, and do not wait for the end of the term", sub, seats)
		}
	}
	return nil
}

// allowed checks one field of a change that had an effect against what people typed and the vendor takes.
func (o *oracle) allowed(c plan.Change, f plan.FieldChange, at time.Time) error {
	sub := c.Pair.Vendor.ID
	from, to := f.From.String(), f.To.String()
	switch {
	case c.Op == plan.OpSchedule && (f.Field != "next_quantity" || !o.onLine[sub][to]):
		return fmt.Errorf("subscription %s: %s %s was scheduled, which nobody typed on its line", sub, f.Field, to)
	case c.Op == plan.OpSchedule && !o.committed[sub]:
		return fmt.Errorf("subscription %s: %s seats wait for the end of the term, and the vendor takes seats back at any time", sub, to)
	case c.Op == plan.OpChange && c.Side == plan.Vendor && f.Field == "quantity" && o.committed[sub] && fewer(to, from):
		return fmt.Errorf("subscription %s: %s seats became %s inside a term in which the vendor takes none back", sub, from, to)
	case f.Reason == plan.Committed && (!o.onLine[sub][from] || !fewer(from, to)):
		return fmt.Errorf("subscription %s: %s seats on its line were put back to %s, and nobody had lowered them to that", sub, from, to)
	case f.Reason == plan.Committed && !o.boughtAt(sub, to, at):
		return fmt.Errorf("subscription %s: its line was put back to %s seats, and so many were not bought then", sub, to)
	}
	return nil
}

// typedBetween reports whether a person typed a line's cost between two writes of it.
func (o *oracle) typedBetween(line string, first, second time.Time) bool {
	return slices.ContainsFunc(o.overtyped[line], func(at time.Time) bool { return !at.Before(first) && !at.After(second) })
}

func text(p plan.Plan) string {
	var b strings.Builder
	if err := plan.Render(&b, p, plan.FormatText, 0); err != nil {
		return err.Error()
	}
	return b.String()
}
