// Package connectors is the contract between trueup and the systems it speaks to.
//
// A connector turns one system's records into native Records (the vendor's own field names, typed values) and back. It
// knows no other connector, no SQL, no plan and no mapping. Two things are mandatory: a Descriptor, which is data, and
// Check. Everything else is an optional interface of one method; the descriptor states the same abilities, and the suite
// in connectortest checks that descriptor and code agree.
//
// Every error that leaves a connector is an *Error with a Class. Nothing above a connector reads a status code.
//
// A write that costs money carries a Key: the same key means the same intent. When the reply to a write is lost the
// connector returns ClassUnknown and does not try again; the caller looks (Reader, Lister) before it decides.
package connectors

import (
	"context"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Connector is one configured connection to a system.
type Connector interface {
	// Descriptor is constant for the life of the connector.
	Descriptor() Descriptor
	// Check signs in and says what this account may do, and for whom. It changes nothing. The error is for failing to
	// find out (a dead network, refused credentials); a missing right is a line in the report.
	Check(ctx context.Context) (Report, error)
}

// Record is one thing in a system, in native form: the system's field names (nested names joined by dots), typed values.
// A field that was not delivered is absent from Fields; a field known to be empty holds model.Empty.
type Record struct {
	Kind    string
	ID      string
	Parent  string // id of the record of Kind.Parent that it belongs to; "" for top-level kinds
	Fields  model.Fields
	Changed time.Time // when the system says it last changed, UTC; zero when it does not say
}

// Ref names one record.
type Ref struct {
	Kind   string
	ID     string
	Parent string
}

// Lister reads all records of a kind, or those of some parents.
type Lister interface {
	// List calls yield for each record, from one goroutine, in a stable order; an error from yield stops the listing and
	// is returned. An error that spoils only part of the listing (one customer is refused) becomes a Gap. When the whole
	// listing fails the error is returned and what was yielded proves nothing.
	List(ctx context.Context, req ListRequest, yield func(Record) error) (Listing, error)
}

// ListRequest says what to list.
type ListRequest struct {
	Kind    string
	Parents []string // for kinds that have a parent: list only under these; nil means under all of them
}

// Listing says how far the records that were yielded can be believed. Absence is evidence only inside a complete listing:
// a record may be called gone when Gaps is empty, or when every gap names another parent.
type Listing struct {
	Received int
	Gaps     []Gap
}

// Complete reports whether everything asked for was read.
func (l Listing) Complete() bool { return len(l.Gaps) == 0 }

// Gap is a part of a listing that was not read.
type Gap struct {
	Parent string // the parent whose records are missing; "" for the whole listing
	Class  Class
	Reason string // a plain sentence: what is missing, why, what to do
}

// Reader reads one record as it is now. A record that is gone is ClassMissing.
type Reader interface {
	Read(ctx context.Context, ref Ref) (Record, error)
}

// Creator makes one record and returns it as the system now holds it.
type Creator interface {
	Create(ctx context.Context, req CreateRequest) (Record, error)
}

// CreateRequest asks for a new record. Fields are native; only writable ones are allowed.
type CreateRequest struct {
	Kind   string
	Parent string
	Fields model.Fields
	Key    string // idempotency key: unique to the intent, the same when the intent is repeated
}

// Finder looks for the record that a create made, for kinds whose new records a listing shows late. Where a connector has it, it is asked
// instead of a listing when the reply to a create was lost.
type Finder interface {
	// Finds reports whether records of a kind are looked for in this way.
	Finds(kind string) bool
	// Find returns the record that was made for a request. ClassMissing says that none was made and none will show any more; any
	// other error, that it cannot be told yet.
	Find(ctx context.Context, req FindRequest) (Record, error)
}

// FindRequest is a create whose outcome is not known.
type FindRequest struct {
	CreateRequest
	Began time.Time // when it was sent, or a moment before; UTC
}

// What stands in the way of a create, as the Code of the error of CreateChecker, where the engine has a word of its own for it.
const (
	CodeAgreement   = "agreement"   // the customer has not accepted what the vendor asks customers to accept
	CodeContact     = "contact"     // the customer has nobody the vendor could write to
	CodeUnavailable = "unavailable" // not sold to this customer, or not in this term and billing cycle
	CodeQuantity    = "quantity"    // fewer or more than are sold at once
)

// CreateChecker says what would stand in the way of creating a record, before anybody decides about it.
type CreateChecker interface {
	// CheckCreate asks the system and changes nothing. An error of ClassInvalid is what stands in the way, and its Hint what to do
	// about it; any other error says that it could not be found out. Create checks again.
	CheckCreate(ctx context.Context, req CreateRequest) error
}

// Changer changes fields of one record and returns it as the system now holds it.
type Changer interface {
	// Change refuses with ClassStale when a field no longer holds its From value (compared canonically). Fields not named
	// keep their values, whatever the system's own habits are.
	Change(ctx context.Context, req ChangeRequest) (Record, error)
}

// ChangeRequest asks for new values.
type ChangeRequest struct {
	Ref   Ref
	Edits map[string]Edit // by native field
	Key   string
}

// Edit is one field's value before and after. A From that is not Known is not compared.
type Edit struct{ From, To model.Value }

// Ender stops a record from billing, without deleting it: last is its last billed day.
type Ender interface {
	End(ctx context.Context, req EndRequest) (Record, error)
}

// EndRequest names what to end and when.
type EndRequest struct {
	Ref  Ref
	Last model.Day
	Key  string
}

// Scheduler says what happens to a record when its term ends: with how many seats it renews, or that it is cancelled. Nothing
// changes before then. What is scheduled is read as the record's own fields, those that the descriptor calls Scheduled.
type Scheduler interface {
	// Schedule sets scheduled fields and returns the record as the system now holds it; an empty value withdraws what was
	// scheduled. It refuses as Change does: ClassStale when a field no longer holds its From value.
	//
	// What is scheduled survives every Change of the same record that does not name it. Where a system deletes it with a
	// change inside the term, the connector schedules it again before Change returns.
	Schedule(ctx context.Context, req ChangeRequest) (Record, error)
}

// ChangeFeed tells what changed since a cursor, cheaply.
type ChangeFeed interface {
	// Changes reads what moved since the cursor. An empty cursor asks for a cursor to start from and reports no changes.
	// Cursors overlap on purpose, so a change may be told twice, never zero times.
	Changes(ctx context.Context, since string) (Changes, error)
}

// Learner is a change feed that learns from listings how far it can be trusted. A process may end after a listing and before the feed
// is read again, so the cursor must carry what was learnt.
type Learner interface {
	// Learnt returns a cursor that Changes gave, with what was learnt since. It asks the system nothing.
	Learnt(cursor string) string
}

// Changes is what a feed told. Records holds those that the feed delivered whole. Relist names parents under which
// records of a kind must be listed again. Kinds not covered by a trusted feed are in Scan: list them whole, and the reason why.
type Changes struct {
	Records []Record
	Relist  []Relist
	Scan    map[string]string
	Cursor  string
}

// Relist asks for a fresh listing of a kind under some parents.
type Relist struct {
	Kind    string
	Parents []string
}

// Canonicalizer says what the system will make of a value: rounding, trimming, case. Applying it twice changes nothing
// more. Without it values are kept as they are.
type Canonicalizer interface {
	Canonical(kind, field string, v model.Value) model.Value
}

// Report is what Check found.
type Report struct {
	Identity string  // who we are signed in as, in the system's words
	Rights   []Right // sorted: missing ones first
}

// Right is one thing the account may or may not do. Customer is empty for rights that concern the whole account.
type Right struct {
	Name     string // plain words: "read subscriptions"
	Customer string // customer name and id, when it concerns one customer
	Granted  bool
	Optional bool   // needed for some uses only; where it is not granted, these are not to be had
	Reason   string // why not, and the next step
}

// Missing lists the rights that are needed and not granted.
func (r Report) Missing() []Right {
	var missing []Right
	for _, right := range r.Rights {
		if !right.Granted && !right.Optional {
			missing = append(missing, right)
		}
	}
	return missing
}
