package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// world is what both sides hold, in the model's words: customers, products and contracts are indexed here; subscriptions and
// lines are read one customer at a time.
type world struct {
	flow        Flow
	vendor, psa *reading
	now         time.Time
	today       model.Day

	vendorCustomers []model.Record // sorted by id
	psaCustomers    []model.Record
	psaByID         map[string]model.Record
	psaNames        map[string]int            // how many PSA customers share a name
	vendorProducts  map[string]model.Record   // by product key
	psaProducts     map[string][]model.Record // by product key
	psaProductByID  map[string]model.Record
	contracts       map[string][]model.Record // active, of the flow's types, by PSA customer
	contractOwner   map[string]string         // PSA customer by contract, whatever its type and state
	contractTypes   map[string]string         // types in use, as written, by their lower case

	quotes  map[string][]quote     // accepted, by PSA customer
	ordered map[string]orderedLine // lines of quotes that were ordered, by their id
	quoted  map[string]orderedLine // the same, by the subscription they became (see flightKey, without the account)

	people       people
	wishes       map[string]state.Wish // companies that a person wants at the vendor, by id
	offline      bool                  // nothing may be asked
	newCustomers []model.Record        // vendor customers for which the flow creates a company

	inFlight  map[string]bool // records and creates whose last write has no known outcome
	extent    plan.Extent
	ends      map[string]state.EndDecision // what people decided about term ends, by endKey
	heldSince map[string]time.Time         // by customer, see heldSince
	// heldTogether is since when something is held over a limit together with what was done before, by customer; under "" for the run.
	heldTogether map[string]time.Time
	findings     []plan.Finding
	partial      []string
	told         map[string]told // lines about which there may be news, by link
}

// translate reads both sides' stored records into the model.
func (e *Engine) translate(ctx context.Context, flow Flow, s sides) (*world, error) {
	w := &world{flow: flow, vendor: s.vendor, psa: s.psa, now: e.Now(), today: e.today(), psaByID: map[string]model.Record{}, psaNames: map[string]int{},
		vendorProducts: map[string]model.Record{}, psaProducts: map[string][]model.Record{}, psaProductByID: map[string]model.Record{},
		contracts: map[string][]model.Record{}, contractOwner: map[string]string{}, contractTypes: map[string]string{}, wishes: map[string]state.Wish{}, inFlight: map[string]bool{}, extent: plan.Extent{}, told: map[string]told{}}
	for _, load := range []struct {
		side *reading
		noun model.Kind
		keep func(model.Record, state.Stored)
	}{
		{w.vendor, model.KindCustomer, func(r model.Record, _ state.Stored) { w.vendorCustomers = append(w.vendorCustomers, r) }},
		{w.psa, model.KindCustomer, func(r model.Record, _ state.Stored) {
			w.psaCustomers = append(w.psaCustomers, r)
			w.psaByID[r.ID] = r
			w.psaNames[r.Text("name")]++
		}},
		{w.vendor, model.KindProduct, func(r model.Record, _ state.Stored) { w.vendorProducts[r.Text("key")] = r }},
		{w.psa, model.KindProduct, func(r model.Record, _ state.Stored) {
			w.psaProductByID[r.ID] = r
			if key := r.Text("key"); key != "" && active(r) {
				w.psaProducts[key] = append(w.psaProducts[key], r)
			}
		}},
		{w.psa, model.KindContract, func(r model.Record, _ state.Stored) {
			w.contractTypes[strings.ToLower(r.Text("type"))] = r.Text("type")
			customer := r.Text("customer")
			w.contractOwner[r.ID] = customer
			if flow.Contracts.takes(r.Text("type")) && active(r) {
				w.contracts[customer] = append(w.contracts[customer], r)
			}
		}},
	} {
		if err := e.eachRecord(ctx, w, load.side, load.noun, nil, load.keep); err != nil {
			return nil, err
		}
	}
	if err := e.loadEnds(ctx, w); err != nil {
		return nil, err
	}
	if err := e.loadPeople(ctx, w); err != nil {
		return nil, err
	}
	wishes, err := e.Store.Wishes(ctx, flow.Name)
	if err != nil {
		return nil, err
	}
	for _, wish := range wishes {
		w.wishes[wish.Company] = wish
	}
	if w.heldSince, w.heldTogether, err = e.heldSince(ctx, flow.Name); err != nil {
		return nil, err
	}
	open, err := e.Store.OpenIntents(ctx, flow.Name)
	if err != nil {
		return nil, err
	}
	for _, entry := range open {
		w.inFlight[flightKey(entry.Account, entry.Ref.Parent, entry.Ref.ID)] = true
		w.inFlight[entry.Link] = true
		var change struct{ ID string }
		if err := json.Unmarshal(entry.Body, &change); err != nil {
			return nil, fmt.Errorf("read intent %s from the journal: %w", entry.Intent, err)
		}
		w.inFlight[change.ID] = true
	}
	if err := e.loadQuotes(ctx, w); err != nil {
		return nil, err
	}
	for _, side := range []*reading{w.vendor, w.psa} {
		w.partial = append(w.partial, side.unread()...)
	}
	return w, nil
}

func flightKey(account, parent, id string) string { return account + "\x00" + parent + "\x00" + id }

// active reports that a record does not say it is inactive.
func active(r model.Record) bool {
	v, said := r.Fields["active"]
	return !said || v.Blank() || v.True()
}

// eachRecord reads the stored records of a noun, under some parents or all, in stable order. A record whose value cannot be
// read is a finding and is skipped; the rest goes on.
func (e *Engine) eachRecord(ctx context.Context, w *world, side *reading, noun model.Kind, parents []string, keep func(model.Record, state.Stored)) error {
	kind, ok := side.NativeKind(noun)
	if !ok {
		return nil
	}
	return e.Store.Records(ctx, side.Name, kind.Name, state.RecordFilter{Parents: parents}, func(stored state.Stored) error {
		rec, accepted, problems := side.Mapping.ToModel(noun, stored.Record)
		for _, p := range problems {
			w.findings = append(w.findings, badValue(side, p))
		}
		if accepted {
			keep(rec, stored)
		}
		return nil
	})
}

func badValue(side *reading, p mapping.Problem) plan.Finding {
	what := "field " + p.Field
	if p.Field == "" {
		what = "the condition that says whether it counts"
	}
	return plan.Finding{
		Key: plan.ChangeID("bad", side.Name, string(p.Kind), p.ID, p.Field), Kind: plan.BadValue,
		Title:  fmt.Sprintf("%s %s of %s: %s cannot be read", p.Kind, p.ID, side.Name, what),
		Detail: p.String(),
		Next:   "mend the value in the system, or the mapping at " + p.Pos.String(),
	}
}

// group is one PSA customer with the vendor customers linked to it (a company may have several tenants).
type group struct {
	psa     model.Record
	tenants []model.Record
	lost    []model.Record    // linked vendor customers that the vendor does not list any more: only the id is known
	created string            // the change that creates the company; "" when it exists
	how     map[string]string // evidence by vendor customer id
	links   map[string]string // kept link by vendor customer id
	label   string
	subs    []subscription
	lines   []line
	shapes  []shape  // those that do not stand one to one
	stale   []string // kept links whose records belong to others now
}

// known are the group's vendor customers, those that are not listed any more last: their lines go on billing, so a person is
// told.
func (g *group) known() []model.Record { return slices.Concat(g.tenants, g.lost) }

type subscription struct {
	model.Record
	tenant   string
	complete bool
	gone     bool
	broken   bool // a value of it could not be read
	shaped   bool // decided about together with others
}

type line struct {
	model.Record
	parent   string
	complete bool
	claimed  bool // paired with a subscription
	shaped   bool // decided about together with others
}

// load reads a group's subscriptions and lines from the store.
func (e *Engine) load(ctx context.Context, w *world, g *group) error {
	subKind, _ := w.vendor.NativeKind(model.KindSubscription)
	for i, tenant := range g.known() {
		complete, lost := w.vendor.complete(subKind.Name, tenant.ID), i >= len(g.tenants)
		err := e.Store.Records(ctx, w.vendor.Name, subKind.Name, state.RecordFilter{Parents: []string{tenant.ID}, IncludeGone: true}, func(stored state.Stored) error {
			rec, accepted, problems := w.vendor.Mapping.ToModel(model.KindSubscription, stored.Record)
			for _, p := range problems {
				w.findings = append(w.findings, badValue(w.vendor, p))
			}
			if accepted {
				g.subs = append(g.subs, subscription{Record: rec, tenant: tenant.ID, complete: complete, gone: lost || !stored.Gone.IsZero(), broken: len(problems) > 0})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if g.created != "" {
		return nil // a company that does not exist yet has no lines
	}
	lineKind, _ := w.psa.NativeKind(model.KindLine)
	for _, contract := range w.contracts[g.psa.ID] {
		complete := w.psa.complete(lineKind.Name, contract.ID)
		err := e.eachRecord(ctx, w, w.psa, model.KindLine, []string{contract.ID}, func(rec model.Record, stored state.Stored) {
			g.lines = append(g.lines, line{Record: rec, parent: stored.Parent, complete: complete})
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(g.subs, func(a, b subscription) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// ended reports that a line does not bill any more on a day.
func (l line) ended(on model.Day) bool {
	end, ok := l.Fields["end"].Day()
	return ok && end.Cmp(on) < 0
}
