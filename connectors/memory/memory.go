// Package memory holds two systems that live in memory, a vendor and a PSA. They are the executable meaning of the
// connector contract: what package connectors says in words, these do, and connectortest passes on them first.
//
// A World is the outside system: it keeps records, rounds and trims as it was told to, and has people who edit things
// (Add, Edit, Remove). Connect gives the connector that trueup holds; several connectors may share one World. Everything
// is safe for use from many goroutines, and time comes only from Options.Now.
//
//	world := memory.NewVendor(memory.Options{Now: clock})
//	ref, err := world.Add(connectors.Record{Kind: "customer", ID: "contoso", Fields: model.Fields{
//		"companyProfile.companyName": model.Text("Contoso"),
//	}})
//	vendor := world.Connect()
//
// The field names are close to those of partnercenter and connectwise, so that the same mappings nearly fit.
//
// A World can be told to misbehave in every way that we have met in real systems (Misbehave, Misbehaviours). It counts what
// a write did: Requests is the ordered log of what it was asked for, Effects says how often a key altered something.
//
// # What the reference decides where the contract leaves room
//
// A field that is already at its new value is left alone, whatever From says; a change that finds every field there has
// no effect and is no error. A key that was used is answered with the record as it is now; used for something else, it is
// refused. A listing that sees none of the first kind (no customer at all) is never called complete. A cursor that the
// feed cannot follow asks for a scan of everything instead of failing.
package memory

import (
	"cmp"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// Options describe a world. Only Now is needed.
type Options struct {
	Now         func() time.Time
	PageSize    int    // records a page; 0 means 100
	PriceDigits int32  // decimals kept of money, half to even; 0 keeps all
	TrimText    bool   // text loses blanks at both ends
	Token       string // what the setting "token" must hold; "" asks for none
}

// NewVendor makes an empty world of the system "memoryvendor": customers, their subscriptions, and a price sheet.
func NewVendor(o Options) *World { return newWorld(vendorSystem, o) }

// NewPSA makes an empty world of the system "memorypsa": companies, contacts, catalog items, agreements and their additions.
func NewPSA(o Options) *World { return newWorld(psaSystem, o) }

func newWorld(s system, o Options) *World {
	return &World{
		system:   s,
		options:  o,
		pageSize: cmp.Or(o.PageSize, 100),
		nextID:   1000,
		records:  map[place]connectors.Record{},
		children: map[place][]string{},
		faults:   map[string]*fault{},
		done:     map[string]intent{},
		effects:  map[string]int{},
	}
}

// System is the world's entry for a list of systems; accounts made from it share this world.
func (w *World) System() connectors.System {
	return connectors.System{
		Descriptor: w.system.descriptor,
		New: func(a connectors.Account) (connectors.Connector, error) {
			return w.connect(a.Secrets["token"]), nil
		},
	}
}

// Connect gives a connector that holds the right token.
func (w *World) Connect() connectors.Connector {
	return w.connect(connectors.NewSecret(w.options.Token))
}

func (w *World) connect(token connectors.Secret) connectors.Connector {
	c := connection{world: w, token: token}
	if w.system.descriptor.Role == connectors.RolePSA {
		return psa{c}
	}
	return vendor{c}
}

// vendor adds scheduling for the end of a term; it has no ending.
type vendor struct{ connection }

// psa adds ending.
type psa struct{ connection }

// system is a descriptor with the little behaviour that data cannot say.
type system struct {
	descriptor connectors.Descriptor
	references map[[2]string]string                           // {kind, field} -> the kind whose id it holds
	initial    map[string]model.Fields                        // by kind: values of fields that were not given
	check      func(kind, field string, v model.Value) string // why a value is refused; "" when it is fine
	derive     func(kind string, fields model.Fields)
	schedule   func(now, edits model.Fields) // completes what is scheduled for the end of a term
	signature  string                        // the field that tells who changed a record last
	endField   string                        // the day that ends a record
	startField string
}

// Names that a PSA world signs changes with.
const (
	SignedByTrueup = "trueup"
	SignedByUser   = "user"
)
