// Package apply writes what a plan says, once.
//
// Each change is an intent in the journal. The intent is committed before the call; the outcome, the link and what both
// sides look like now are committed together after it. A reply that was lost leaves the intent unknown: nothing more is
// written to that record until Recover has looked at the other side. Snapshots come from what the system answered, never
// from what was sent, because systems round, trim and re-case.
//
// Things come to exist in dependency order (customer, contract, product, line); within one kind customers are worked on in
// parallel and one customer's changes in order. Being told to stop finishes the writes in flight and starts no more.
package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Store is what an applier keeps and looks up; *state.Store is one. Every write to the store on the way of a change to its system goes
// through it, so that a test can let the process die at any of them.
type Store interface {
	Append(ctx context.Context, entries ...state.Entry) error
	Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error
	SettleTold(ctx context.Context, outcome state.Entry, told state.Told) error
	OpenIntents(ctx context.Context, flow string) ([]state.Entry, error)
	Record(ctx context.Context, account string, ref connectors.Ref) (state.Stored, bool, error)
	UpsertRecords(ctx context.Context, account string, records []connectors.Record, run string) (changed int, err error)
	Snapshots(ctx context.Context, links []string) (map[string]state.Memory, error)
	CountRecords(ctx context.Context, account, kind string, parents ...string) (int, error)
	Permit(ctx context.Context, run string) error
	Journal(ctx context.Context, filter state.JournalFilter) ([]state.Entry, error)
	Now(ctx context.Context) (time.Time, error) // by the clock that the journal is stamped with
}

// Applier writes the changes of one run.
type Applier struct {
	Store    Store
	Accounts map[string]*Account
	Log      *zap.Logger
	Flow     string
	Run      string
	Digest   string
	Workers  int
	Progress func(done int)    // changes dealt with so far; may be nil
	Made     map[string]string // what the run created before, here or elsewhere: native ids by change
	// Note is what people are to be told of a change that is done, not known for nothing. It is remembered in the same transaction as the
	// outcome, so that it is not lost when the process dies before it tells. May be nil.
	Note func(ctx context.Context, c plan.Change) (model.Value, error)

	mu      sync.Mutex
	created map[string]string // change id -> native id of what it created
	refused map[string]*refusals
	outcome Outcome
	dealt   int
}

// Outcome is what became of the changes.
type Outcome struct {
	Done     int
	Failed   int
	Unknown  int
	Skipped  int // not tried: something they need failed, the account refused us, or the run was stopped
	Failures []Failure
	// Kept are changes that were done and had deleted what was scheduled for the end of the term; it was scheduled again.
	Kept []plan.Change
}

// Plus adds the outcome of other changes.
func (o Outcome) Plus(other Outcome) Outcome {
	return Outcome{o.Done + other.Done, o.Failed + other.Failed, o.Unknown + other.Unknown, o.Skipped + other.Skipped,
		slices.Concat(o.Failures, other.Failures), slices.Concat(o.Kept, other.Kept)}
}

// Failure is a change that was not done, or whose outcome is not known.
type Failure struct {
	Change  plan.Change
	Class   connectors.Class
	Err     error
	Skipped bool // not tried
}

// callTimeout bounds a write in flight, so that being told to stop ends.
const callTimeout = 2 * time.Minute

// Apply writes the changes. Its error means that the journal could not be kept or the run was stopped; a change that fails is
// counted in the outcome and the others go on.
func (a *Applier) Apply(ctx context.Context, changes []plan.Change) (Outcome, error) {
	a.created, a.refused = map[string]string{}, map[string]*refusals{}
	maps.Copy(a.created, a.Made)
	for len(changes) > 0 {
		kind := changes[0].Target.Kind
		n := slices.IndexFunc(changes, func(c plan.Change) bool { return c.Target.Kind != kind })
		if n < 0 {
			n = len(changes)
		}
		if err := a.phase(ctx, changes[:n]); err != nil {
			return a.outcome, err
		}
		changes = changes[n:]
	}
	slices.SortFunc(a.outcome.Failures, func(x, y Failure) int { return compare(x.Change.ID, y.Change.ID) })
	slices.SortFunc(a.outcome.Kept, func(x, y plan.Change) int { return compare(x.ID, y.ID) })
	return a.outcome, nil
}

// Created are the native ids of what the run made so far, by change.
func (a *Applier) Created() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.created)
}

func compare(x, y string) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// phase writes changes of one kind: customers in parallel, each customer's changes in order.
func (a *Applier) phase(ctx context.Context, changes []plan.Change) error {
	var group errgroup.Group
	group.SetLimit(max(a.Workers, 1))
	for len(changes) > 0 {
		n := slices.IndexFunc(changes, func(c plan.Change) bool { return c.Customer != changes[0].Customer })
		if n < 0 {
			n = len(changes)
		}
		mine := changes[:n]
		changes = changes[n:]
		group.Go(func() error {
			for _, c := range mine {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := a.one(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// one writes one change through the journal.
func (a *Applier) one(ctx context.Context, c plan.Change) error {
	account, ok := a.Accounts[c.Account]
	if !ok {
		return fmt.Errorf("no account %q is configured", c.Account)
	}
	c, reason := a.resolve(c)
	if reason == nil {
		reason = a.refusal(c)
	}
	if reason != nil {
		a.record(c, Failure{c, connectors.ClassTransient, reason, true}, func(o *Outcome) { o.Skipped++ })
		return nil
	}
	stored, _, err := a.Store.Record(ctx, account.Name, account.ref(c))
	if err != nil {
		return err
	}
	call, err := account.prepare(c, stored.Record)
	if err != nil {
		a.record(c, Failure{c, connectors.ClassInvalid, err, false}, func(o *Outcome) { o.Failed++ })
		return nil
	}
	began := time.Now()
	entry, err := a.intend(ctx, account, c)
	if err != nil {
		return err
	}
	// The write is carried to its end even when the run is told to stop: a write in flight must not become unknown for that.
	callCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	// Committing the intent was a permission to send. Should this process stand still before it sends, another may have taken over.
	callCtx = connectors.WithPermit(callCtx, began, state.Permitted, func(ctx context.Context) error { return a.Store.Permit(ctx, a.Run) })
	rec, err := call(callCtx, keyOf(c, entry))
	return a.settle(context.WithoutCancel(ctx), account, c, entry, rec, err)
}

// keyOf is what the system is told to know the intent by.
func keyOf(c plan.Change, entry state.Entry) string { return cmp.Or(c.Key, entry.Intent) }

// resolve fills in the ids of what earlier changes of this run created.
func (a *Applier) resolve(c plan.Change) (plan.Change, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.Fields = slices.Clone(c.Fields)
	for field, change := range c.Refs {
		id, ok := a.created[change]
		if !ok {
			return c, fmt.Errorf("it needs change %s, which was not done", change)
		}
		c.Fields = refer(c, field, id)
		if field == string(model.KindContract) && c.Target.Kind == model.KindLine {
			c.Target.Parent = id
		}
		if field == string(model.KindSubscription) && c.Pair.Vendor.Kind == model.KindSubscription {
			c.Pair.Vendor.ID = id
		}
	}
	for _, change := range c.After {
		if _, ok := a.created[change]; !ok {
			return c, fmt.Errorf("it needs change %s, which was not done", change)
		}
	}
	return c, nil
}

// refer fills in the id of what an earlier change made. A change of a record has the field already, with what it holds.
func refer(c plan.Change, field, id string) []plan.FieldChange {
	to := model.Text(id)
	if table, ok := model.TableOf(c.Target.Kind); ok {
		if f, ok := table.Field(field); ok && f.Type == model.TypeList {
			to = model.List(id)
		}
	}
	if i := slices.IndexFunc(c.Fields, func(f plan.FieldChange) bool { return f.Field == field }); i >= 0 {
		if before := c.Fields[i].From; to.Type() == model.TypeList {
			to = model.List(append(before.Items(), id)...)
		}
		c.Fields[i].To = to
		return c.Fields
	}
	return append(c.Fields, plan.FieldChange{Field: field, To: to, Reason: c.Reason})
}

// refusals are how an account refused our credentials or rights. One customer may be locked or out of bounds without the
// others being so; several in a row are taken for the account itself.
type refusals struct {
	places map[string]error // by place
	inRow  int              // places refused since the last write that was taken
	last   error
}

// place is what one refusal speaks for: a customer's records under one parent, such as one of its two tenants.
func place(c plan.Change) string { return c.Customer + "\x00" + c.Target.Parent }

// refusedInRow is how many places in a row may refuse a write before nothing more is sent to the account in this run.
const refusedInRow = 3

// refusal says why a change is not worth sending; nil when it is.
func (a *Applier) refusal(c plan.Change) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.refused[c.Account]
	switch {
	case r == nil:
		return nil
	case r.inRow >= refusedInRow:
		return fmt.Errorf("not tried: account %s refused us: %w", c.Account, r.last)
	case r.places[place(c)] != nil:
		return fmt.Errorf("not tried: account %s refused us for this customer: %w", c.Account, r.places[place(c)])
	}
	return nil
}

// answered notes whether an account took a write or refused it for want of rights.
func (a *Applier) answered(c plan.Change, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.refused[c.Account]
	switch {
	case err == nil && r != nil:
		r.inRow = 0
	case err == nil:
	case r == nil:
		a.refused[c.Account] = &refusals{map[string]error{place(c): err}, 1, err}
	default:
		r.places[place(c)] = err
		r.inRow, r.last = r.inRow+1, err
	}
}

// ref names the record that a change writes; the id of one that is to be created is empty.
func (a *Account) ref(c plan.Change) connectors.Ref {
	kind, _ := a.NativeKind(c.Target.Kind)
	return connectors.Ref{Kind: kind.Name, ID: c.Target.ID, Parent: c.Target.Parent}
}

// prepare turns a change into one call; what cannot be translated is refused before anything is written down.
func (a *Account) prepare(c plan.Change, stored connectors.Record) (func(ctx context.Context, key string) (connectors.Record, error), error) {
	kind, ok := a.NativeKind(c.Target.Kind)
	if !ok {
		return nil, fmt.Errorf("the mapping of account %s has no %s", a.Name, c.Target.Kind)
	}
	ref := a.ref(c)
	switch c.Op {
	case plan.OpCreate:
		creator, ok := a.Connector.(connectors.Creator)
		fields, err := a.Mapping.NativeCreate(c.Target.Kind, valuesOf(c))
		if err != nil || !ok {
			return nil, orCannot(err, a, "create", kind)
		}
		return func(ctx context.Context, key string) (connectors.Record, error) {
			return creator.Create(ctx, connectors.CreateRequest{Kind: kind.Name, Parent: c.Target.Parent, Fields: fields, Key: key})
		}, nil
	case plan.OpEnd:
		ender, ok := a.Connector.(connectors.Ender)
		if !ok {
			return nil, orCannot(nil, a, "end", kind)
		}
		return func(ctx context.Context, key string) (connectors.Record, error) {
			return ender.End(ctx, connectors.EndRequest{Ref: ref, Last: c.Last, Key: key})
		}, nil
	}
	changer, ok := a.Connector.(connectors.Changer)
	scheduler, schedules := a.Connector.(connectors.Scheduler)
	wanted := map[string]edit{}
	for _, f := range c.Fields {
		wanted[f.Field] = edit{f.From, f.To}
	}
	edits, err := a.edits(c.Target.Kind, wanted, stored)
	if c.Op == plan.OpSchedule {
		if err != nil || !schedules {
			return nil, orCannot(err, a, "schedule", kind)
		}
		return func(ctx context.Context, key string) (connectors.Record, error) {
			return scheduler.Schedule(ctx, connectors.ChangeRequest{Ref: ref, Edits: edits, Key: key})
		}, nil
	}
	if err != nil || !ok {
		return nil, orCannot(err, a, "change", kind)
	}
	return func(ctx context.Context, key string) (connectors.Record, error) {
		return changer.Change(ctx, connectors.ChangeRequest{Ref: ref, Edits: edits, Key: key})
	}, nil
}

func orCannot(err error, a *Account, verb string, kind connectors.Kind) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("system %s of account %s cannot %s %s", a.Descriptor().System, a.Name, verb, kind.Name)
}

func valuesOf(c plan.Change) model.Fields {
	values := model.Fields{}
	for _, f := range c.Fields {
		values[f.Field] = f.To
	}
	return values
}

// intend commits the intent before the call.
func (a *Applier) intend(ctx context.Context, account *Account, c plan.Change) (state.Entry, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return state.Entry{}, fmt.Errorf("write down change %s: %w", c.ID, err)
	}
	entry := state.Entry{Intent: uuid.NewString(), State: state.JournalIntended, Flow: a.Flow, Run: a.Run, Plan: a.Digest,
		Link: LinkID(a.Flow, c.Pair), Account: account.Name, Op: string(c.Op),
		Ref: account.ref(c), Body: body, Note: c.Label}
	return entry, a.Store.Append(ctx, entry)
}

// settle commits what became of an intent.
func (a *Applier) settle(ctx context.Context, account *Account, c plan.Change, entry state.Entry, rec connectors.Record, err error) error {
	entry.Class = connectors.ClassOf(err)
	switch {
	case err == nil:
		if err := a.done(ctx, account, c, entry, rec, false); err != nil {
			return err
		}
		a.answered(c, nil)
		a.record(c, Failure{}, func(o *Outcome) {
			if o.Done++; len(c.Keeps) > 0 {
				o.Kept = append(o.Kept, c)
			}
		})
		return nil
	case entry.Class == connectors.ClassUnknown || errors.Is(err, context.DeadlineExceeded):
		entry.State, entry.Class, entry.Note = state.JournalUnknown, connectors.ClassUnknown, err.Error()
		a.record(c, Failure{c, entry.Class, err, false}, func(o *Outcome) { o.Unknown++ })
	default:
		entry.State, entry.Note, entry.Reply = state.JournalFailed, err.Error(), Answer(err).json()
		if entry.Class == connectors.ClassAuth {
			a.answered(c, err)
		}
		a.record(c, Failure{c, entry.Class, err, false}, func(o *Outcome) { o.Failed++ })
	}
	a.Log.Warn("change not done", zap.String("run", a.Run), zap.String("account", account.Name), zap.String("change", c.ID),
		zap.String("class", string(entry.Class)), zap.Error(err))
	return a.Store.Append(ctx, entry)
}

// Said is what a system answered to a write that it refused, as the journal keeps it.
type Said struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Answer is what a failure says about the record, without what differs from one request to the next.
func Answer(err error) Said {
	if e, ok := errors.AsType[*connectors.Error](err); ok && e.Message != "" {
		return Said{e.Message, e.Hint}
	}
	return Said{Message: err.Error()}
}

func (s Said) json() string {
	text, _ := json.Marshal(s) // two texts cannot fail
	return string(text)
}

// done commits outcome, link and memory in one transaction, and keeps the record as it now stands. It was found late when it was looked for
// some time after the write.
func (a *Applier) done(ctx context.Context, account *Account, c plan.Change, entry state.Entry, rec connectors.Record, late bool) error {
	if _, err := a.Store.UpsertRecords(ctx, account.Name, []connectors.Record{rec}, a.Run); err != nil {
		return err
	}
	reply, err := json.Marshal(rec.Fields)
	if err != nil {
		return fmt.Errorf("write down the reply to change %s: %w", c.ID, err)
	}
	if c.Op == plan.OpCreate && c.Side == plan.Vendor && c.Pair.Kind != "" {
		c.Pair.Vendor.ID = rec.ID // from now on it has a link like any other
		entry.Link = LinkID(a.Flow, c.Pair)
	}
	entry.State, entry.Reply, entry.Ref = state.JournalDone, string(reply), connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent}
	a.mu.Lock()
	if a.created == nil {
		a.created = map[string]string{}
	}
	a.created[c.ID] = rec.ID
	a.mu.Unlock()
	if c.Tells != nil {
		return a.Store.SettleTold(ctx, entry, a.told(account, c, rec))
	}
	links, snapshots, err := a.memory(ctx, account, c, rec, late)
	if err != nil {
		return err
	}
	return a.Store.Settle(ctx, entry, snapshots, links)
}

// told is how a ticket stands after a write to it. One that was found instead of being opened may be closed.
func (a *Applier) told(account *Account, c plan.Change, rec connectors.Record) state.Told {
	t := state.Told{Flow: a.Flow, Matter: c.Tells.Matter, Purpose: c.Tells.Purpose, Account: account.Name, Ticket: rec.ID, Said: c.Tells.Said, Digest: c.Tells.Digest, Closed: c.Tells.Closed}
	if c.Target.Kind == model.KindTicketNote {
		t.Ticket = rec.Parent
		return t
	}
	ticket, _, _ := account.Mapping.ToModel(c.Target.Kind, rec)
	t.By = ticket.Text("changed_by")
	if c.Op == plan.OpCreate && ticket.Fields["closed"].True() {
		t.Closed = rec.Changed
	}
	return t
}

// memory is the link a change settles, and both sides of it as they are now: the written side as it was read back, the other
// as it was when the change was planned. Fields the change did not touch keep what was remembered of them. A value that is found late, and
// is not what the system makes of what was sent, was typed since: what was sent is remembered, so that the next plan sees an edit.
func (a *Applier) memory(ctx context.Context, account *Account, c plan.Change, rec connectors.Record, late bool) ([]state.Link, []state.Snapshot, error) {
	if c.Pair.Kind == "" {
		return nil, nil, nil // a product or a contract: found by its key, not by a link
	}
	pair := c.Pair
	switch {
	case c.Op == plan.OpCreate && c.Side == plan.Vendor:
		pair.Vendor.ID, pair.Vendor.Parent = rec.ID, rec.Parent
	case c.Op == plan.OpCreate:
		pair.PSA.ID, pair.PSA.Parent = rec.ID, rec.Parent
	}
	link, err := a.link(c, pair)
	if err != nil {
		return nil, nil, err
	}
	links := []state.Link{link}
	ids := []string{link.ID}
	c.Members = slices.Clone(c.Members)
	for i := range c.Members {
		if c.Op == plan.OpCreate {
			c.Members[i].Pair.PSA = pair.PSA
		}
		if id := LinkID(a.Flow, c.Members[i].Pair); id != link.ID {
			member, err := a.link(c, c.Members[i].Pair)
			if err != nil {
				return nil, nil, err
			}
			links, ids = append(links, member), append(ids, id)
		}
	}
	known, err := a.Store.Snapshots(ctx, ids)
	if err != nil || c.Op == plan.OpEnd && len(known[link.ID].PSA.Fields) == 0 {
		return nil, nil, err
	}
	vendor, psa := overlay(known[link.ID].Vendor.Fields), overlay(known[link.ID].PSA.Fields)
	written, other := psa, vendor
	if c.Side == plan.Vendor {
		written, other = vendor, psa
	}
	if c.Op == plan.OpEnd { // so that the next plan does not take our own ending for somebody's wish to cancel at the vendor
		psa["at_end"] = model.Text(plan.EndCancel)
		return nil, []state.Snapshot{{Link: link.ID, Side: state.SideVendor, Fields: vendor, Run: a.Run}, {Link: link.ID, Side: state.SidePSA, Fields: psa, Run: a.Run}}, nil
	}
	read, accepted, problems := account.Mapping.ToModel(c.Target.Kind, rec)
	if accepted {
		for _, f := range c.Fields {
			v := read.Fields[f.Field]
			if !v.Known() || len(c.Members) > 0 && f.Field == "quantity" {
				continue // the members say whose seats these are
			}
			if sent := account.Canonical(c.Target.Kind, f.Field, f.To); late && v != f.To {
				v = sent
			}
			written[f.Field] = v
			if c.Side == plan.PSA || !f.Reason.VendorOnly() { // what was scheduled at the vendor alone does not stand on the line yet
				other[f.Field] = f.To
			}
		}
		if late {
			forgotten(c, read.Fields, vendor, psa)
		}
	}
	if a.Note != nil && c.Pair.Shape == plan.ShapeOne { // a line of shared or counted seats has no one edit to tell of
		note, err := a.Note(ctx, c)
		if err != nil {
			return nil, nil, err
		}
		if note.Known() {
			vendor[NoteField] = note
			delete(psa, NoteField)
		}
	}
	for _, p := range problems {
		a.Log.Warn("what was read back cannot be understood", zap.String("run", a.Run), zap.String("problem", p.String()))
	}
	known[link.ID] = state.Memory{Vendor: state.Snapshot{Fields: vendor}, PSA: state.Snapshot{Fields: psa}}
	for _, m := range c.Members {
		id := LinkID(a.Flow, m.Pair)
		vendor, psa := overlay(known[id].Vendor.Fields), overlay(known[id].PSA.Fields)
		maps.Copy(vendor, m.Vendor)
		maps.Copy(psa, m.PSA)
		known[id] = state.Memory{Vendor: state.Snapshot{Fields: vendor}, PSA: state.Snapshot{Fields: psa}}
	}
	var snapshots []state.Snapshot
	for _, id := range ids {
		snapshots = append(snapshots, state.Snapshot{Link: id, Side: state.SideVendor, Fields: known[id].Vendor.Fields, Run: a.Run},
			state.Snapshot{Link: id, Side: state.SidePSA, Fields: known[id].PSA.Fields, Run: a.Run})
	}
	return links, snapshots, nil
}

// forgotten remembers what was scheduled for the end of the term and deleted by a change that was interrupted before it was scheduled
// again: the vendor is remembered without it and the PSA too, so that the next plan sees what still stands there as an edit.
func forgotten(c plan.Change, read, vendor, psa model.Fields) {
	for _, f := range c.Keeps {
		if v := read[f.Field]; v.Known() && v != f.To {
			vendor[f.Field], psa[f.Field] = v, v
		}
	}
}

// NoteField is the field of a line that tells its PSA user what became of an edit. It is remembered as other fields are: on the vendor's
// side what is to be told, on the PSA's side what the line was seen to hold after it was told. While only the first is remembered the
// telling is due.
const NoteField = "note"

func overlay(f model.Fields) model.Fields {
	if f == nil {
		return model.Fields{}
	}
	return f.Clone()
}

// LinkID is the id of the link of a vendor record in a flow; it is the same however often the link is made anew.
func LinkID(flow string, pair plan.PairRef) string {
	if pair.Link != "" {
		return pair.Link
	}
	if pair.Kind == "" {
		return ""
	}
	if pair.Vendor.ID == "" { // it is still to be made at the vendor
		return plan.ChangeID("link", flow, string(pair.Kind), "new at the vendor", pair.PSA.ID)
	}
	parts := []string{"link", flow, string(pair.Kind), pair.Vendor.Parent, pair.Vendor.ID}
	if pair.Shape == plan.ShapeSplit { // its lines share the vendor's record
		parts = append(parts, pair.PSA.Parent, pair.PSA.ID)
	}
	return plan.ChangeID(parts...)
}

// link builds the link of a pair from its refs; the two accounts are found by side.
func (a *Applier) link(c plan.Change, pair plan.PairRef) (state.Link, error) {
	return BuildLink(a.Flow, a.Accounts[c.Pair.VendorAccount], a.Accounts[c.Pair.PSAAccount], pair, c.Label)
}

// BuildLink is the kept form of a pair.
func BuildLink(flow string, vendor, psa *Account, pair plan.PairRef, label string) (state.Link, error) {
	if vendor == nil || psa == nil {
		return state.Link{}, fmt.Errorf("the accounts of flow %s are not configured", flow)
	}
	vendorKind, _ := vendor.NativeKind(pair.Vendor.Kind)
	psaKind, _ := psa.NativeKind(pair.PSA.Kind)
	return state.Link{
		ID: LinkID(flow, pair), Flow: flow, Kind: pair.Kind, Label: label, State: state.LinkActive, How: pair.How, Shape: string(pair.Shape),
		Vendor: state.End{Account: vendor.Name, Kind: vendorKind.Name, Parent: pair.Vendor.Parent, ID: pair.Vendor.ID},
		PSA:    state.End{Account: psa.Name, Kind: psaKind.Name, Parent: pair.PSA.Parent, ID: pair.PSA.ID},
	}, nil
}

// record counts an outcome.
func (a *Applier) record(c plan.Change, failure Failure, count func(*Outcome)) {
	a.mu.Lock()
	count(&a.outcome)
	if failure.Err != nil {
		a.outcome.Failures = append(a.outcome.Failures, failure)
	}
	a.dealt++
	dealt := a.dealt
	a.mu.Unlock()
	if a.Progress != nil {
		a.Progress(dealt)
	}
}
