package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Chain is why a linked pair's numbers are what they are: both records, the mapping line of each value, what was remembered,
// the rule, and every write with its plan, time and reply.
type Chain struct {
	Link    string       `json:"link"`
	Flow    string       `json:"flow"`
	Label   string       `json:"label"`
	How     string       `json:"linked_by"`
	Since   time.Time    `json:"linked_at"`
	Vendor  ChainEnd     `json:"vendor"`
	PSA     ChainEnd     `json:"psa"`
	Shape   string       `json:"shape,omitempty"` // how its seats belong together with those of others, in words
	Fields  []ChainField `json:"fields"`
	History []ChainEntry `json:"history"`
}

// ChainEnd is one record of the pair.
type ChainEnd struct {
	Account string    `json:"account"`
	Kind    string    `json:"kind"`
	Parent  string    `json:"parent,omitempty"`
	ID      string    `json:"id"`
	Read    time.Time `json:"read_at,omitzero"`
	Run     string    `json:"read_by_run,omitempty"`
	Gone    time.Time `json:"gone_at,omitzero"`
}

// ChainField is one value on both sides with where it comes from.
type ChainField struct {
	Field  string     `json:"field"`
	Rule   string     `json:"rule"`
	Vendor ChainValue `json:"vendor"`
	PSA    ChainValue `json:"psa"`
}

// ChainValue is a value, the mapping line that made it, the native fields it was made from and the memory of it.
type ChainValue struct {
	Now        string `json:"now"`
	Remembered string `json:"remembered,omitempty"`
	Native     string `json:"native,omitempty"`
	Mapping    string `json:"mapping,omitempty"`
}

// ChainEntry is one line of the journal about the pair.
type ChainEntry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	State   string    `json:"state"`
	Op      string    `json:"op"`
	Account string    `json:"account"`
	Changes []string  `json:"changes"`
	Run     string    `json:"run"`
	Plan    string    `json:"plan"`
	Note    string    `json:"note,omitempty"`
}

// Why finds the links that an id names: a link, or a record on either side.
func (e *Engine) Why(ctx context.Context, flows []Flow, id string) ([]Chain, error) {
	var chains []Chain
	for _, flow := range flows {
		for _, kind := range []model.Kind{model.KindLine, model.KindCustomer, model.KindContact} {
			var found, all []sharing
			memory := map[string]state.Memory{}
			err := e.Store.LinksWithMemory(ctx, flow.Name, kind, "", func(l state.Link, m state.Memory) error {
				if l.ID == id || strings.EqualFold(l.Vendor.ID, id) || l.PSA.ID == id {
					found = append(found, sharing{l, m})
					memory[l.ID] = m
				}
				if l.Shape != "" {
					all = append(all, sharing{l, m})
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			for _, f := range found {
				l := f.Link
				chain, err := e.chain(ctx, flow, l, memory[l.ID])
				if err != nil {
					return nil, err
				}
				chain.Shape = inShape(l, memory[l.ID], all)
				chains = append(chains, chain)
			}
		}
	}
	return chains, nil
}

// sharing is a link with its memory.
type sharing struct {
	state.Link
	memory state.Memory
}

// inShape says how a link's seats belong together with those of others; "" where a line bills one subscription.
func inShape(l state.Link, m state.Memory, all []sharing) string {
	if l.Shape == "" {
		return ""
	}
	text := plan.Shape(l.Shape).Sentence()
	if counts := m.PSA.Fields["counts"].String(); counts != "" && counts != "purchased" {
		text += " (" + counts + ")"
	}
	var parts []string
	for _, other := range all {
		seats := other.memory.PSA.Fields["quantity"]
		switch {
		case other.Shape != l.Shape || seats.Blank():
		case l.Shape == state.ShapeSplit && other.Vendor == l.Vendor:
			parts = append(parts, fmt.Sprintf("%s (line %s)", seats, other.PSA.ID))
		case l.Shape != state.ShapeSplit && other.PSA == l.PSA:
			parts = append(parts, fmt.Sprintf("%s (%s)", seats, other.Vendor.ID))
		}
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, " + ")
	}
	return text
}

func (e *Engine) chain(ctx context.Context, flow Flow, l state.Link, m state.Memory) (Chain, error) {
	c := Chain{Link: l.ID, Flow: l.Flow, Label: l.Label, How: l.How, Since: l.Created, Fields: []ChainField{}, History: []ChainEntry{}}
	vendor, errVendor := e.account(l.Vendor.Account)
	psa, errPSA := e.account(l.PSA.Account)
	if err := errors.Join(errVendor, errPSA); err != nil {
		return c, err
	}
	vendorNoun, psaNoun := model.KindSubscription, model.KindLine
	rules := maps.Clone(flow.Lines.Fields)
	switch l.Kind {
	case model.KindCustomer:
		vendorNoun, psaNoun, rules = model.KindCustomer, model.KindCustomer, maps.Clone(flow.Customers.Fields)
	case model.KindContact:
		vendorNoun, psaNoun, rules = model.KindContact, model.KindContact, map[string]plan.FieldRule{}
		for _, field := range ContactFields {
			if flow.Customers.Contact != nil {
				rules[field] = *flow.Customers.Contact
			}
		}
	}
	var vendorNow, psaNow model.Fields
	var err error
	if c.Vendor, vendorNow, err = e.chainEnd(ctx, vendor, vendorNoun, l.Vendor); err != nil {
		return c, err
	}
	if c.PSA, psaNow, err = e.chainEnd(ctx, psa, psaNoun, l.PSA); err != nil {
		return c, err
	}
	var product model.Record
	if l.Kind == model.KindLine {
		if product, err = e.productOf(ctx, vendor, vendorNow["product"].String()); err != nil {
			return c, err
		}
		vendorNow = vendorFields(subscription{Record: model.Record{ID: l.Vendor.ID, Fields: vendorNow}}, product)
	}
	for _, field := range slices.Sorted(maps.Keys(rules)) {
		noun, source := vendorNoun, field
		if l.Kind == model.KindLine {
			noun, source = vendorSource(field)
		}
		f := ChainField{Field: field, Rule: ruleText(rules[field]),
			Vendor: chainValue(vendor, noun, source, vendorNow[field], m.Vendor.Fields[field]),
			PSA:    chainValue(psa, psaNoun, field, psaNow[field], m.PSA.Fields[field])}
		if l.Shape != "" && field == "quantity" {
			f.Vendor.Remembered, f.PSA.Remembered = "", "" // of shared seats it is this link's part; the shape says so in words
		}
		c.Fields = append(c.Fields, f)
	}
	entries, err := e.historyOf(ctx, l)
	for _, entry := range entries {
		c.History = append(c.History, chainEntry(entry))
	}
	return c, err
}

// historyOf is the journal of a link, the newest first; where its records are shared, what was written to them for others too.
func (e *Engine) historyOf(ctx context.Context, l state.Link) ([]state.Entry, error) {
	entries, err := e.Store.Journal(ctx, state.JournalFilter{Link: l.ID})
	if l.Shape == "" || err != nil {
		return entries, err
	}
	for _, end := range []state.End{l.Vendor, l.PSA} {
		more, err := e.Store.Journal(ctx, state.JournalFilter{Account: end.Account, Ref: connectors.Ref{Kind: end.Kind, Parent: end.Parent, ID: end.ID}})
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	slices.SortFunc(entries, func(a, b state.Entry) int { return cmp.Compare(b.Seq, a.Seq) })
	return slices.CompactFunc(entries, func(a, b state.Entry) bool { return a.Seq == b.Seq }), nil
}

// vendorSource says which noun and field of the vendor a line's field comes from.
func vendorSource(field string) (model.Kind, string) {
	switch field {
	case "unit_cost":
		return model.KindProduct, "unit_cost"
	case "unit_price":
		return model.KindProduct, "list_price"
	case "description":
		return model.KindSubscription, "name"
	}
	return model.KindSubscription, field
}

func (e *Engine) chainEnd(ctx context.Context, a *apply.Account, noun model.Kind, end state.End) (ChainEnd, model.Fields, error) {
	out := ChainEnd{Account: end.Account, Kind: end.Kind, Parent: end.Parent, ID: end.ID}
	stored, ok, err := e.Store.Record(ctx, end.Account, connectors.Ref{Kind: end.Kind, Parent: end.Parent, ID: end.ID})
	if err != nil || !ok {
		return out, nil, err
	}
	out.Read, out.Run, out.Gone = stored.SeenAt, stored.SeenRun, stored.Gone
	rec, _, _ := a.Mapping.ToModel(noun, stored.Record)
	return out, rec.Fields, nil
}

func (e *Engine) productOf(ctx context.Context, a *apply.Account, key string) (model.Record, error) {
	kind, ok := a.NativeKind(model.KindProduct)
	if !ok {
		return model.Record{}, nil
	}
	stored, ok, err := e.Store.Record(ctx, a.Name, connectors.Ref{Kind: kind.Name, ID: key})
	if err != nil || !ok {
		return model.Record{}, err
	}
	rec, _, _ := a.Mapping.ToModel(model.KindProduct, stored.Record)
	return rec, nil
}

func chainValue(a *apply.Account, noun model.Kind, field string, now, memory model.Value) ChainValue {
	v := ChainValue{Now: now.String(), Remembered: memory.String()}
	if origin := a.Mapping.Origin(noun, field); origin.Rule != "" {
		v.Native, v.Mapping = origin.Native, fmt.Sprintf("%s: %s", origin.Pos, origin.Rule)
	}
	return v
}

func ruleText(r plan.FieldRule) string {
	text := "owner " + string(r.Owner)
	if r.Owner == plan.OwnerBoth {
		text += ", conflict " + string(r.Conflict)
	}
	if r.PutBack {
		text += ", put back"
	}
	return text
}

func chainEntry(entry state.Entry) ChainEntry {
	out := ChainEntry{Seq: entry.Seq, At: entry.At, State: string(entry.State), Op: entry.Op, Account: entry.Account, Run: entry.Run, Plan: entry.Plan, Note: entry.Note, Changes: []string{}}
	var change plan.Change
	if json.Unmarshal(entry.Body, &change) == nil {
		if change.Released != "" {
			out.Note = "let through over the flow's limits by " + change.Released
		}
		for _, f := range change.Fields {
			if f.From.Known() {
				out.Changes = append(out.Changes, fmt.Sprintf("%s %s -> %s (%s)", f.Field, f.From, f.To, f.Reason.Sentence()))
			} else {
				out.Changes = append(out.Changes, fmt.Sprintf("%s %s (%s)", f.Field, f.To, f.Reason.Sentence()))
			}
		}
	}
	return out
}

// LinkByHand links a vendor customer with a PSA company because a person says so. Both must have been read.
func (e *Engine) LinkByHand(ctx context.Context, flow Flow, vendorID, psaID string) (state.Link, error) {
	vendor, errVendor := e.account(flow.Vendor)
	psa, errPSA := e.account(flow.PSA)
	if err := errors.Join(errVendor, errPSA); err != nil {
		return state.Link{}, err
	}
	var label string
	for _, end := range []struct {
		a  *apply.Account
		id string
	}{{vendor, vendorID}, {psa, psaID}} {
		kind, _ := end.a.NativeKind(model.KindCustomer)
		stored, ok, err := e.Store.Record(ctx, end.a.Name, connectors.Ref{Kind: kind.Name, ID: end.id})
		if err != nil {
			return state.Link{}, err
		}
		if !ok || !stored.Gone.IsZero() {
			return state.Link{}, fmt.Errorf("account %s has no %s %q among what was read; look at trueup inbox for the ids, or read anew with trueup discover %s", end.a.Name, kind.Name, end.id, end.a.Name)
		}
		rec, _, _ := end.a.Mapping.ToModel(model.KindCustomer, stored.Record)
		label = "customer " + rec.Text("name")
	}
	link, err := apply.BuildLink(flow.Name, vendor, psa, plan.PairRef{Kind: model.KindCustomer, How: howByHand,
		Vendor: plan.Ref{Kind: model.KindCustomer, ID: vendorID}, PSA: plan.Ref{Kind: model.KindCustomer, ID: psaID}}, label)
	if err != nil {
		return link, err
	}
	return link, e.Store.PutLinks(ctx, []state.Link{link})
}
