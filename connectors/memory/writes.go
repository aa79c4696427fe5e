package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// Create makes a record. A repeated key gives the record that the first use made.
func (c connection) Create(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	op := "create " + req.Kind
	kind, err := c.kind(op, req.Kind, connectors.AbilityCreate)
	if err != nil {
		return connectors.Record{}, err
	}
	if (kind.Parent != "") != (req.Parent != "") {
		return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op,
			Message: fmt.Sprintf("parent %q does not fit its place", req.Parent), Hint: "name the parent of kinds that have one"}
	}
	for _, name := range slices.Sorted(maps.Keys(req.Fields)) {
		if err := c.acceptable(op, "", kind, name, req.Fields[name], connectors.AbilityCreate); err != nil {
			return connectors.Record{}, err
		}
	}
	for _, f := range kind.Fields {
		if f.Required && req.Fields[f.Name].Blank() {
			return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Field: f.Name,
				Message: "it must be given", Hint: "map a value to it"}
		}
	}
	if err := c.ask(ctx, op, "", Request{Op: "create", Kind: req.Kind, Parent: req.Parent, Key: req.Key}); err != nil {
		return connectors.Record{}, err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf("create %s %s %v", req.Kind, req.Parent, req.Fields)
	if used, rec, err := w.used(op, req.Key, what); used {
		return rec, err
	}
	if _, ok := w.records[place{kind.Parent, req.Parent}]; kind.Parent != "" && !ok {
		return connectors.Record{}, &connectors.Error{Class: connectors.ClassMissing, Op: op, Record: "under " + req.Parent,
			Message: fmt.Sprintf("the %s is not there", kind.Parent)}
	}
	if err := w.taken(op, req); err != nil {
		return connectors.Record{}, err
	}
	if err := w.strike(op, "", LostBeforeCommit); err != nil {
		return connectors.Record{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(req.Fields)) {
		target := w.system.references[[2]string{kind.Name, name}]
		if _, ok := w.records[place{target, req.Fields[name].String()}]; target != "" && !ok {
			return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Field: name,
				Message: fmt.Sprintf("there is no %s %s", target, req.Fields[name]), Hint: "create it first"}
		}
	}
	if above, ok := w.records[place{kind.Parent, req.Parent}]; ok && above.Fields["agreed"].Known() && !above.Fields["agreed"].True() {
		return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: "under " + req.Parent, Message: notAgreed, Hint: "have it accepted"}
	}
	if ref, found := w.twin(kind.Name, req.Fields); found {
		return w.read(op, ref) // nothing is altered
	}
	made := connectors.Record{Kind: req.Kind, Parent: req.Parent, Fields: req.Fields}
	if w.system.ordered != nil && req.Kind == "subscription" {
		made.Fields = req.Fields.Clone()
		w.system.ordered(w.options.Now().UTC(), made.Fields)
	}
	ref := w.insert(kind, made, SignedByTrueup)
	if kind.Name == "ticketNote" { // a note is a change of its ticket
		w.put(w.records[place{kind.Parent, req.Parent}], nil, SignedByTrueup)
	}
	return w.commit(op, req.Key, what, ref)
}

// twin finds a ticket with the reference that another is to be opened with.
func (w *World) twin(kind string, fields model.Fields) (connectors.Ref, bool) {
	reference := fields["externalXRef"]
	if kind != "ticket" || reference.Blank() {
		return connectors.Ref{}, false
	}
	for _, id := range w.children[place{kind, ""}] {
		if rec := w.records[place{kind, id}]; rec.Fields["externalXRef"] == reference {
			return refOf(rec), true
		}
	}
	return connectors.Ref{}, false
}

const notAgreed = "the customer has not agreed to the vendor's terms"

// CheckCreate says whether the domain of a new customer is taken, that the customer of an order has not agreed, or that something is not in the price sheet.
func (c vendor) CheckCreate(ctx context.Context, req connectors.CreateRequest) error {
	op := "create " + req.Kind
	if err := c.ask(ctx, op, "", Request{Op: "check create", Kind: req.Kind}); err != nil {
		return err
	}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if req.Kind == "subscription" {
		return c.world.sold(op, req)
	}
	return c.world.taken(op, req)
}

// sold refuses an order that would be refused.
func (w *World) sold(op string, req connectors.CreateRequest) error {
	refuse := func(code, message, hint string) error {
		return &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: "under " + req.Parent, Code: code, Message: message, Hint: hint}
	}
	customer, ok := w.records[place{"customer", req.Parent}]
	key := model.ProductKey(req.Fields["sku"].String(), req.Fields["termDuration"].String(), req.Fields["billingCycle"].String())
	_, priced := w.records[place{"price", key}]
	switch {
	case !ok:
		return &connectors.Error{Class: connectors.ClassMissing, Op: op, Record: "under " + req.Parent, Message: "the customer is not there"}
	case !customer.Fields["agreed"].True():
		return refuse(connectors.CodeAgreement, notAgreed, "have it accepted")
	case !priced:
		return refuse(connectors.CodeUnavailable, key+" is not in the price sheet", "offer another product")
	}
	return nil
}

// taken refuses a customer whose domain another one has, or a tenant that is no customer (TakeDomain).
func (w *World) taken(op string, req connectors.CreateRequest) error {
	domain := req.Fields[domainField]
	if req.Kind != "customer" || domain.Blank() {
		return nil
	}
	refuse := func(message, hint string) error {
		return &connectors.Error{Class: connectors.ClassInvalid, Op: op, Field: domainField, Message: message, Hint: hint}
	}
	for _, id := range w.children[place{"customer", ""}] {
		if w.records[place{"customer", id}].Fields[domainField] == domain {
			return refuse(fmt.Sprintf("customer %s has the domain %s", id, domain), "link that one")
		}
	}
	if slices.Contains(w.domains, domain.String()) {
		return refuse(fmt.Sprintf("the domain %s is taken by a tenant that is no customer of ours", domain), "ask it for a relationship")
	}
	return nil
}

// TakeDomain says that a tenant which is no customer has a domain.
func (w *World) TakeDomain(domain string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.domains = append(w.domains, domain)
}

// Change alters fields that are not yet at their new value, and refuses when one of those moved since it was read.
func (c connection) Change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	return c.alter(ctx, req, connectors.AbilityChange)
}

// Schedule says what happens to a record when its term ends, in the way of Change.
func (c vendor) Schedule(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	return c.alter(ctx, req, connectors.AbilitySchedule)
}

func (c connection) alter(ctx context.Context, req connectors.ChangeRequest, ability connectors.Ability) (connectors.Record, error) {
	op := string(ability) + " " + req.Ref.Kind
	kind, err := c.kind(op, req.Ref.Kind, ability)
	if err != nil {
		return connectors.Record{}, err
	}
	names := slices.Sorted(maps.Keys(req.Edits))
	for _, name := range names {
		if err := c.acceptable(op, describe(req.Ref), kind, name, req.Edits[name].To, ability); err != nil {
			return connectors.Record{}, err
		}
	}
	if err := c.ask(ctx, op, describe(req.Ref), Request{Op: string(ability), Kind: req.Ref.Kind, ID: req.Ref.ID, Parent: req.Ref.Parent, Key: req.Key}); err != nil {
		return connectors.Record{}, err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf("%s %v %v", ability, req.Ref, req.Edits)
	if used, rec, err := w.used(op, req.Key, what); used {
		return rec, err
	}
	rec, err := w.read(op, req.Ref)
	if err != nil {
		return rec, err
	}
	if err := w.strike(op, describe(req.Ref), Stale, LostBeforeCommit); err != nil {
		return connectors.Record{}, err
	}
	edits := model.Fields{}
	for _, name := range names {
		from, to, now := w.canonical(req.Edits[name].From), w.canonical(req.Edits[name].To), rec.Fields[name]
		if to == now {
			continue
		}
		if from.Known() && from != now {
			return connectors.Record{}, &connectors.Error{Class: connectors.ClassStale, Op: op, Record: describe(req.Ref), Field: name,
				Message: fmt.Sprintf("it was %q when it was read and is %q now", from, now), Hint: "read it and decide again"}
		}
		if before, ok := now.Quantity(); ok && ability == connectors.AbilityChange {
			if after, ok := to.Quantity(); ok && after.Cmp(before) < 0 && w.strikes(RefuseDecrease) {
				return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: describe(req.Ref), Field: name,
					Message: fmt.Sprintf("it cannot go down from %s to %s now", before, after), Hint: "wait for the end of the term"}
			}
		}
		edits[name] = to
	}
	if len(edits) == 0 {
		w.remember(req.Key, what, req.Ref)
		return rec, nil
	}
	if ability == connectors.AbilitySchedule {
		w.system.schedule(rec.Fields, edits)
	}
	w.put(rec, edits, SignedByTrueup)
	return w.commit(op, req.Key, what, req.Ref)
}

// End sets the last billed day. Ending twice on one day does nothing more.
func (c psa) End(ctx context.Context, req connectors.EndRequest) (connectors.Record, error) {
	op := "end " + req.Ref.Kind
	if _, err := c.kind(op, req.Ref.Kind, connectors.AbilityEnd); err != nil {
		return connectors.Record{}, err
	}
	if req.Last.IsZero() {
		return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: describe(req.Ref),
			Message: "the last billed day is missing", Hint: "name the day"}
	}
	if err := c.ask(ctx, op, describe(req.Ref), Request{Op: "end", Kind: req.Ref.Kind, ID: req.Ref.ID, Parent: req.Ref.Parent, Key: req.Key}); err != nil {
		return connectors.Record{}, err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf("end %v %v", req.Ref, req.Last)
	if used, rec, err := w.used(op, req.Key, what); used {
		return rec, err
	}
	rec, err := w.read(op, req.Ref)
	if err != nil {
		return rec, err
	}
	if err := w.strike(op, describe(req.Ref), LostBeforeCommit); err != nil {
		return connectors.Record{}, err
	}
	if start, ok := rec.Fields[w.system.startField].Day(); ok && req.Last.Cmp(start) < 0 {
		return connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: describe(req.Ref), Field: w.system.endField,
			Message: fmt.Sprintf("it cannot end on %s, before its first day %s", req.Last, start), Hint: "choose a later day"}
	}
	if rec.Fields[w.system.endField] == model.DayValue(req.Last) {
		w.remember(req.Key, what, req.Ref)
		return rec, nil
	}
	w.put(rec, model.Fields{w.system.endField: model.DayValue(req.Last)}, SignedByTrueup)
	return w.commit(op, req.Key, what, req.Ref)
}

// acceptable checks a value before anything is sent.
func (c connection) acceptable(op, record string, kind connectors.Kind, name string, v model.Value, ability connectors.Ability) error {
	refuse := func(message, hint string) error {
		return &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: record, Field: name, Message: message, Hint: hint}
	}
	f, _ := kind.Field(name)
	if err := fits(kind, name, v); err != nil {
		return refuse(err.Error(), "correct the mapping")
	}
	takes := f.Writable || ability == connectors.AbilityCreate && f.Create
	if ability == connectors.AbilitySchedule {
		takes = f.Scheduled
	}
	switch {
	case !takes:
		return refuse("the system sets it itself", "take it out of the mapping")
	case len(f.Allowed) > 0 && !v.Blank() && !slices.Contains(f.Allowed, v.String()):
		return refuse(fmt.Sprintf("%q is not one of %q", v, f.Allowed), "map it to one of them")
	case f.MaxLen > 0 && utf8.RuneCountInString(v.String()) > f.MaxLen:
		return refuse(fmt.Sprintf("it is longer than %d characters", f.MaxLen), "shorten it")
	}
	if why := c.world.system.check(kind.Name, name, v); why != "" {
		return refuse(why, "correct the value")
	}
	return nil
}

// used answers a key that is known: the same intent gets the record as it is now, another one is refused.
func (w *World) used(op, key, what string) (bool, connectors.Record, error) {
	was, ok := w.done[key]
	if key == "" || !ok {
		return false, connectors.Record{}, nil
	}
	if was.what != what {
		return true, connectors.Record{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: describe(was.ref),
			Message: "this key was used for another intent", Hint: "make a new key for each intent"}
	}
	rec, err := w.read(op, was.ref)
	return true, rec, err
}

func (w *World) remember(key, what string, ref connectors.Ref) {
	if key != "" {
		w.done[key] = intent{what, ref}
	}
}

// commit closes a write that was done; its reply may still be lost.
func (w *World) commit(op, key, what string, ref connectors.Ref) (connectors.Record, error) {
	w.remember(key, what, ref)
	w.effects[key]++
	if err := w.strike(op, describe(ref), ErrorAfterCommit); err != nil {
		return connectors.Record{}, err
	}
	return w.read(op, ref)
}
