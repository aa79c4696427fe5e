package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// finding is what looking at the other side showed.
type finding int

const (
	notSeen   finding = iota // could not look; the outcome stays unknown
	happened                 // the write is there
	notThere                 // the write is not there
	movedOnto                // the record holds something else: neither before nor after
)

// identity names the fields that recognise a record we created.
var identity = map[model.Kind][]string{
	model.KindCustomer: {"tenant_ids"},
	model.KindContact:  {"customer", "first_name", "last_name"},
	model.KindContract: {"customer", "type", "name"},
	model.KindProduct:  {"key"},
	model.KindLine:     {"subscription"},
	model.KindTicket:   {"external_id"},
	// An order is called after its quote.
	model.KindSubscription: {"reference", "sku"},

	model.KindTicketNote: {"text"},
}

// newAtVendor recognises a customer that we made at the vendor.
var newAtVendor = []string{"tenant_domain"}

// Recover looks at every write of the flow whose outcome is not known and closes what the other side shows. What cannot be
// looked at stays open, and nothing is planned for that record meanwhile.
func (a *Applier) Recover(ctx context.Context) error {
	return a.recover(ctx, func(state.Entry) bool { return true })
}

// RecoverOnly is Recover for some changes of the applier's run, which another process began.
func (a *Applier) RecoverOnly(ctx context.Context, changes []plan.Change) error {
	mine := map[string]bool{}
	for _, c := range changes {
		mine[c.ID] = true
	}
	return a.recover(ctx, func(entry state.Entry) bool {
		var c struct{ ID string }
		return entry.Run == a.Run && json.Unmarshal(entry.Body, &c) == nil && mine[c.ID]
	})
}

func (a *Applier) recover(ctx context.Context, wanted func(state.Entry) bool) error {
	open, err := a.Store.OpenIntents(ctx, a.Flow)
	if err != nil {
		return err
	}
	for _, entry := range open {
		if !wanted(entry) {
			continue
		}
		if err := a.recoverOne(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

func (a *Applier) recoverOne(ctx context.Context, entry state.Entry) error {
	var c plan.Change
	if err := json.Unmarshal(entry.Body, &c); err != nil {
		return fmt.Errorf("read intent %s from the journal: %w", entry.Intent, err)
	}
	account, ok := a.Accounts[entry.Account]
	if !ok {
		return nil // the account is not configured any more; the intent waits for it
	}
	entry.Run = a.Run
	known, err := a.knownBeside(ctx, entry)
	if err != nil {
		return err
	}
	began, err := a.began(ctx, entry)
	if err != nil {
		return err
	}
	rec, seen, note := account.look(ctx, entry, c, known, began)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if seen == notThere && c.Op == plan.OpCreate {
		if seen, note, err = a.stillComing(ctx, account, entry, began, note); err != nil {
			return err
		}
	}
	a.Log.Info("looked at an interrupted write", zap.String("run", a.Run), zap.String("intent", entry.Intent), zap.String("account", account.Name), zap.String("found", note))
	entry.Note = note
	switch seen {
	case happened:
		return a.done(ctx, account, c, entry, rec, true)
	case notThere, movedOnto:
		entry.State = state.JournalAbandoned
		return a.Store.Append(ctx, entry)
	}
	entry.State, entry.Class = state.JournalUnknown, connectors.ClassUnknown
	return a.Store.Append(ctx, entry)
}

// onItsWay is how long a system may still be making what it was asked for, when whoever asked died or the reply was lost: requests wait in networks and
// queues, and a list may show a record later than it is there. No system we know says how long; it is longer than a request is waited for, and what is
// made twice is billed twice, while a minute more costs nothing.
const onItsWay = callTimeout

// stillComing leaves open for a while a creation that is not there: it may have been sent a moment ago.
func (a *Applier) stillComing(ctx context.Context, account *Account, entry state.Entry, began time.Time, note string) (finding, string, error) {
	now, err := a.Store.Now(ctx)
	if err != nil {
		return notSeen, note, err
	}
	kind, _ := account.Descriptor().Kind(entry.Ref.Kind)
	wait := max(onItsWay, time.Duration(kind.Late)*time.Minute)
	if age := now.Sub(began); age < wait {
		return notSeen, fmt.Sprintf("looked: it is not there yet, %s after it was to be sent; it may still come, and is looked for again after %s",
			age.Round(time.Second), wait), nil
	}
	return notThere, note, nil
}

// knownBeside counts the records that are known to stand where a creation would stand.
func (a *Applier) knownBeside(ctx context.Context, entry state.Entry) (int, error) {
	if entry.Ref.Parent == "" {
		return a.Store.CountRecords(ctx, entry.Account, entry.Ref.Kind)
	}
	return a.Store.CountRecords(ctx, entry.Account, entry.Ref.Kind, entry.Ref.Parent)
}

// began is when an intent was last sent, or a moment before.
func (a *Applier) began(ctx context.Context, entry state.Entry) (time.Time, error) {
	history, err := a.Store.Journal(ctx, state.JournalFilter{Intent: entry.Intent})
	for _, e := range history { // newest first
		if e.State == state.JournalIntended {
			return e.At, err
		}
	}
	return entry.At, err
}

// look asks the system what became of a write. known is how many records it should show beside one that was created.
func (a *Account) look(ctx context.Context, entry state.Entry, c plan.Change, known int, began time.Time) (connectors.Record, finding, string) {
	if finder, ok := a.Connector.(connectors.Finder); ok && c.Op == plan.OpCreate && finder.Finds(entry.Ref.Kind) {
		return a.find(ctx, finder, entry, c, began)
	}
	if c.Op == plan.OpCreate {
		return a.lookForCreated(ctx, entry, c, known)
	}
	reader, ok := a.Connector.(connectors.Reader)
	if !ok {
		return connectors.Record{}, notSeen, "the system cannot be asked for one record"
	}
	rec, err := reader.Read(ctx, entry.Ref)
	if connectors.ClassOf(err) == connectors.ClassMissing {
		return rec, notThere, "looked: the record is gone"
	}
	if err != nil {
		return rec, notSeen, "could not look: " + err.Error()
	}
	read, accepted, _ := a.Mapping.ToModel(c.Target.Kind, rec)
	if !accepted {
		return rec, movedOnto, "looked: the record is not one that is mapped any more"
	}
	if c.Op == plan.OpEnd {
		if end, ok := read.Fields["end"].Day(); ok && end == c.Last {
			return rec, happened, "looked: it ends on " + c.Last.String()
		}
		return rec, notThere, "looked: it was not ended"
	}
	after, before := true, true
	var shown []string
	for _, f := range c.Fields {
		now := read.Fields[f.Field]
		after = after && (now == f.To || now == a.Canonical(c.Target.Kind, f.Field, f.To))
		before = before && now == f.From
		shown = append(shown, f.Field+" is "+now.String())
	}
	text := "looked: " + strings.Join(shown, ", ")
	switch {
	case after:
		return rec, happened, text
	case before:
		return rec, notThere, text
	}
	return rec, movedOnto, text + ", neither before nor after; the next plan decides"
}

// find asks a connector that knows how to look for what it made.
func (a *Account) find(ctx context.Context, finder connectors.Finder, entry state.Entry, c plan.Change, began time.Time) (connectors.Record, finding, string) {
	fields, err := a.Mapping.NativeCreate(c.Target.Kind, valuesOf(c))
	if err != nil {
		return connectors.Record{}, notSeen, "could not look: " + err.Error()
	}
	rec, err := finder.Find(ctx, connectors.FindRequest{Began: began,
		CreateRequest: connectors.CreateRequest{Kind: entry.Ref.Kind, Parent: entry.Ref.Parent, Fields: fields, Key: keyOf(c, entry)}})
	switch {
	case err == nil:
		return rec, happened, "looked: found as " + rec.ID
	case connectors.ClassOf(err) == connectors.ClassMissing:
		return rec, notThere, "looked: it was not created: " + err.Error()
	}
	return rec, notSeen, "could not look: " + err.Error()
}

// lookForCreated searches for the record by the ids written into it.
func (a *Account) lookForCreated(ctx context.Context, entry state.Entry, c plan.Change, known int) (connectors.Record, finding, string) {
	lister, ok := a.Connector.(connectors.Lister)
	if !ok {
		return connectors.Record{}, notSeen, "the system cannot be searched"
	}
	request := connectors.ListRequest{Kind: entry.Ref.Kind}
	if entry.Ref.Parent != "" {
		request.Parents = []string{entry.Ref.Parent}
	}
	wanted := valuesOf(c)
	fields := identity[c.Target.Kind]
	if c.Side == plan.Vendor && c.Target.Kind == model.KindCustomer {
		fields = newAtVendor
	}
	var found []connectors.Record
	received := 0
	listing, err := lister.List(ctx, request, func(rec connectors.Record) error {
		received++
		if read, accepted, _ := a.Mapping.ToModel(c.Target.Kind, rec); accepted && sameThing(fields, read.Fields, wanted) {
			found = append(found, rec)
		}
		return nil
	})
	switch {
	case len(found) > 0:
		return found[0], happened, fmt.Sprintf("looked: found as %s", found[0].ID)
	case err != nil:
		return connectors.Record{}, notSeen, "could not look: " + err.Error()
	case received == 0 && known > 0:
		return connectors.Record{}, notSeen, fmt.Sprintf("could not look: nothing was listed where %d records were before, and an empty answer is not believed", known)
	case !listing.Complete():
		return connectors.Record{}, notSeen, "could not look everywhere: " + listing.Gaps[0].Reason
	}
	return connectors.Record{}, notThere, "looked: it was not created"
}

func sameThing(fields []string, read, wanted model.Fields) bool {
	for _, field := range fields {
		if wanted[field].Blank() && field != "last_name" || !strings.EqualFold(read[field].String(), wanted[field].String()) {
			return false
		}
	}
	return len(fields) > 0
}
