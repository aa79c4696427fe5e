package memory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// World is one outside system with everything that is in it.
type World struct {
	system   system
	options  Options
	pageSize int

	mu       sync.Mutex
	nextID   int
	records  map[place]connectors.Record // Fields are replaced, never altered, so that a listing can hold them
	children map[place][]string          // ids of a kind under a parent ("" for top level), in the order they came
	events   []event
	faults   map[string]*fault
	requests []Request
	done     map[string]intent // by key
	effects  map[string]int    // by key
	domains  []string          // of tenants that are no customers
}

// place is a record's kind and id, or a kind and the parent of its records.
type place struct{ kind, id string }

// event is one entry of the change feed.
type event struct {
	ref    connectors.Ref
	hidden bool // lost by the fault feed_misses
}

// intent is what a key was used for.
type intent struct {
	what string
	ref  connectors.Ref
}

// Request is one thing a connector asked of the world. A listing asks once for each page.
type Request struct {
	At     time.Time
	Op     string // check, list, read, create, change, schedule, end, changes
	Kind   string
	ID     string
	Parent string
	Key    string
}

// Requests is everything that was asked, in order.
func (w *World) Requests() []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// Effects is how often a write with this key altered the world. Anything above one is a double order.
func (w *World) Effects(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[key]
}

// TotalEffects is how often connectors altered the world, whatever the key.
func (w *World) TotalEffects() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	total := 0
	for _, n := range w.effects {
		total += n
	}
	return total
}

// Add puts a record in, as a user of the system would. A missing ID is given out ("1001", "1002" and so on), declared
// fields that are not given get the system's own first values, or are known to be empty.
func (w *World) Add(rec connectors.Record) (connectors.Ref, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind, ok := w.system.descriptor.Kind(rec.Kind)
	if !ok {
		return connectors.Ref{}, fmt.Errorf("add to %s: no kind %q", w.system.descriptor.System, rec.Kind)
	}
	if (kind.Parent != "") != (rec.Parent != "") {
		return connectors.Ref{}, fmt.Errorf("add %s to %s: parent %q does not fit its place", kind.Name, w.system.descriptor.System, rec.Parent)
	}
	if _, ok := w.records[place{kind.Parent, rec.Parent}]; kind.Parent != "" && !ok {
		return connectors.Ref{}, fmt.Errorf("add %s to %s: no %s %q", kind.Name, w.system.descriptor.System, kind.Parent, rec.Parent)
	}
	if _, ok := w.records[place{kind.Name, rec.ID}]; ok {
		return connectors.Ref{}, fmt.Errorf("add %s to %s: %q is there already", kind.Name, w.system.descriptor.System, rec.ID)
	}
	for name, v := range rec.Fields {
		if err := fits(kind, name, v); err != nil {
			return connectors.Ref{}, err
		}
	}
	return w.insert(kind, rec, SignedByUser), nil
}

// Edit sets one field as a user of the system would: any declared field, writable by trueup or not.
func (w *World) Edit(ref connectors.Ref, name string, v model.Value) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind, _ := w.system.descriptor.Kind(ref.Kind)
	rec, ok := w.find(ref)
	if !ok {
		return fmt.Errorf("edit %s: not there", describe(ref))
	}
	if err := fits(kind, name, v); err != nil {
		return err
	}
	w.put(rec, model.Fields{name: v}, SignedByUser)
	return nil
}

// Remove deletes a record and everything under it, as a user of the system would.
func (w *World) Remove(ref connectors.Ref) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec, ok := w.find(ref)
	if !ok {
		return fmt.Errorf("remove %s: not there", describe(ref))
	}
	for _, kind := range w.system.descriptor.Kinds {
		if kind.Parent != rec.Kind {
			continue
		}
		for _, id := range slices.Clone(w.children[place{kind.Name, rec.ID}]) {
			w.drop(w.records[place{kind.Name, id}])
		}
	}
	w.drop(rec)
	return nil
}

// Get is a record as it is now.
func (w *World) Get(ref connectors.Ref) (connectors.Record, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rec, ok := w.find(ref)
	return handOut(rec), ok
}

// Records are all records of a kind, in the order a listing tells them.
func (w *World) Records(kind string) []connectors.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []connectors.Record
	for _, parent := range w.parents(kind) {
		for _, id := range w.children[place{kind, parent}] {
			all = append(all, handOut(w.records[place{kind, id}]))
		}
	}
	return all
}

// parents are the ids that records of a kind can live under, in order; for a top-level kind the one "".
func (w *World) parents(kind string) []string {
	k, _ := w.system.descriptor.Kind(kind)
	if k.Parent == "" {
		return []string{""}
	}
	var ids []string
	for _, grandparent := range w.parents(k.Parent) {
		ids = append(ids, w.children[place{k.Parent, grandparent}]...)
	}
	return ids
}

// find knows a record by kind and id; a parent that is named must be the right one.
func (w *World) find(ref connectors.Ref) (connectors.Record, bool) {
	rec, ok := w.records[place{ref.Kind, ref.ID}]
	if !ok || (ref.Parent != "" && ref.Parent != rec.Parent) {
		return connectors.Record{}, false
	}
	return rec, true
}

func (w *World) insert(kind connectors.Kind, rec connectors.Record, by string) connectors.Ref {
	if rec.ID == "" {
		w.nextID++
		rec.ID = strconv.Itoa(w.nextID)
	}
	given := rec.Fields
	rec.Fields = model.Fields{}
	for _, f := range kind.Fields {
		rec.Fields[f.Name] = model.Empty(f.Type)
	}
	if kind.Own != "" {
		rec.Fields[kind.Own] = model.Empty(model.TypeText)
	}
	for name, v := range w.system.initial[kind.Name] {
		rec.Fields[name] = v
	}
	at := place{kind.Name, rec.Parent}
	w.children[at] = append(w.children[at], rec.ID)
	w.put(rec, given, by)
	return refOf(rec)
}

// put stores a record with some fields replaced, as the system would: rounded, trimmed, signed and stamped.
func (w *World) put(rec connectors.Record, edits model.Fields, by string) {
	rec.Fields = rec.Fields.Clone()
	for name, v := range edits {
		rec.Fields[name] = w.canonical(v)
	}
	rec.Fields["id"] = model.Text(rec.ID)
	if kind, _ := w.system.descriptor.Kind(rec.Kind); w.system.signature != "" {
		if _, ok := kind.Field(w.system.signature); ok {
			rec.Fields[w.system.signature] = model.Text(by)
		}
	}
	w.system.derive(rec.Kind, rec.Fields)
	rec.Changed = w.options.Now().UTC()
	w.records[place{rec.Kind, rec.ID}] = rec
	w.tell(refOf(rec))
}

func (w *World) drop(rec connectors.Record) {
	at := place{rec.Kind, rec.Parent}
	w.children[at] = slices.DeleteFunc(w.children[at], func(id string) bool { return id == rec.ID })
	delete(w.records, place{rec.Kind, rec.ID})
	w.tell(refOf(rec))
}

func (w *World) tell(ref connectors.Ref) {
	w.events = append(w.events, event{ref: ref, hidden: w.strikes(FeedMisses)})
}

// canonical is what the system makes of a value.
func (w *World) canonical(v model.Value) model.Value {
	if m, ok := v.Money(); ok && w.options.PriceDigits > 0 {
		return model.MoneyValue(m.Round(w.options.PriceDigits))
	}
	if v.Type() == model.TypeText && w.options.TrimText {
		return model.Text(strings.TrimSpace(v.String()))
	}
	return v
}

// fits says whether a declared field can hold a value at all.
func fits(kind connectors.Kind, name string, v model.Value) error {
	f, ok := kind.Field(name)
	switch {
	case !ok:
		return fmt.Errorf("%s has no field %q", kind.Name, name)
	case v.Type() != f.Type:
		return fmt.Errorf("field %q of %s holds %s, not %s", name, kind.Name, f.Type, typeName(v))
	}
	return nil
}

func typeName(v model.Value) string {
	if !v.Known() {
		return "nothing"
	}
	return string(v.Type())
}

func refOf(rec connectors.Record) connectors.Ref {
	return connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent}
}

// handOut gives a caller its own map.
func handOut(rec connectors.Record) connectors.Record {
	rec.Fields = rec.Fields.Clone()
	return rec
}

func describe(ref connectors.Ref) string {
	if ref.Parent == "" {
		return fmt.Sprintf("%s %s", ref.Kind, ref.ID)
	}
	return fmt.Sprintf("%s %s under %s", ref.Kind, ref.ID, ref.Parent)
}
