package connectors

import (
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/model"
)

// Ability names an optional capability.
type Ability string

const (
	AbilityList     Ability = "list"
	AbilityRead     Ability = "read"
	AbilityCreate   Ability = "create"
	AbilityChange   Ability = "change"
	AbilityEnd      Ability = "end"
	AbilitySchedule Ability = "schedule"
)

// Descriptor describes a system as data. Lint, documentation, check and the conformance suite read it.
type Descriptor struct {
	System   string // the word in YAML: partnercenter
	Title    string // the vendor's own name for it
	Role     Role
	Kinds    []Kind // in dependency order: a kind comes after its parent
	Settings []Setting
	Feed     bool // implements ChangeFeed
	Sooner   Sooner
	Limits   Limits
	Rejects  []Reject
}

// Sooner says how a system lets us know that something moved, before its schedule comes.
type Sooner struct {
	Webhook string // what the messages that it sends tell; "" when it sends none. With it the connector is a Hinter and a Registrar
	Watch   string // what one request shows; "" when there is none such. With it the connector is a Watcher
}

// Role says on which side of a flow a system can stand.
type Role string

const (
	RoleVendor Role = "vendor"
	RolePSA    Role = "psa"
)

// Kind is one kind of record.
type Kind struct {
	Name      string
	Title     string
	Parent    string // the kind it lives under; "" for top level
	Abilities []Ability
	Fields    []Field
	Custom    string // prefix of admin-defined fields ("custom."); "" when there are none. Custom fields are text.
	Own       string // the field in which trueup keeps the other side's id; "" when there is no room
	Detail    bool   // reading one record gives fields that a listing leaves out
	Late      int    // minutes for which a new record may be missing from listings; 0 when it is there at once
	Terms     *TermRules
	Doc       string
}

// TermRules say what a system allows inside a commitment. They are data: engine/plan reckons with them, the documentation
// shows them, and the stand-in of the system enforces the same rules by code of its own.
type TermRules struct {
	Terms         []model.Term // commitments with the billing cycles they come in
	DecreaseHours int          // seats may be taken away so many hours after they came; 0: never inside the term
	CancelHours   int          // a record may be cancelled so many hours after purchase or renewal; 0: never inside the term
	// ExtendedPercent is how much dearer a term becomes, at most, that ends without renewal and without being cancelled, where
	// the system extends it month by month; 0 where such a term just ends.
	ExtendedPercent int
	TrialFixed      bool   // a trial takes no change of seats
	SuspendedFixed  bool   // a suspended record takes no change of seats
	AddOnsFollow    bool   // an add-on has no more seats than its base, takes no change while the base is not active, and is over with it
	Increase        string // when seats may be added, in a sentence
	Limits          string // what bounds the number of seats
	AddOns          string // how add-ons and their base depend on each other
	Suspended       string // what a suspended record allows
	Trials          string
	Promotions      string
	Verified        string // date last seen to be so, or "unverified" with its source
}

// Field is one native field.
type Field struct {
	Name     string
	Type     model.Type
	Writable bool // may be sent in Create and Change
	Create   bool // may be sent in Create only
	// Scheduled fields say what happens when the term ends; they are set by Schedule, and empty when nothing is scheduled.
	Scheduled bool
	Required  bool // must be sent in Create
	Costs     bool // changing it spends or bills money
	Allowed   []string
	MaxLen    int // in characters; 0 for no limit known
	Doc       string
	Link      string // public documentation of the vendor
}

// Setting is one key under settings: in an account.
type Setting struct {
	Name     string
	Required bool
	Secret   bool
	Default  string
	Allowed  []string
	IdleDays int // the system forgets this secret when it was not used for so many days; 0 when it does not
	Doc      string
}

// Limits is what the account may be asked for.
type Limits struct {
	PerMinute   int // requests a minute that trueup allows itself by default
	Parallel    int // requests in flight
	PageSize    int // records a page, at most
	Unconfirmed bool
	Doc         string
}

// Reject is something a system is known to refuse or alter.
type Reject struct {
	What     string
	Verified string // date last seen to do so, or "unverified" with its source
}

// Kind finds a kind by name.
func (d Descriptor) Kind(name string) (Kind, bool) {
	i := slices.IndexFunc(d.Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return d.Kinds[i], true
}

// KindNames lists the kinds in dependency order.
func (d Descriptor) KindNames() []string {
	names := make([]string, len(d.Kinds))
	for i, k := range d.Kinds {
		names[i] = k.Name
	}
	return names
}

// Field finds a field by name; a custom field is a writable text.
func (k Kind) Field(name string) (Field, bool) {
	i := slices.IndexFunc(k.Fields, func(f Field) bool { return f.Name == name })
	if i >= 0 {
		return k.Fields[i], true
	}
	if k.Custom != "" && strings.HasPrefix(name, k.Custom) && len(name) > len(k.Custom) {
		return Field{Name: name, Type: model.TypeText, Writable: true, Doc: "Custom field defined in the system."}, true
	}
	return Field{}, false
}

// FieldNames lists the declared fields.
func (k Kind) FieldNames() []string {
	names := make([]string, len(k.Fields))
	for i, f := range k.Fields {
		names[i] = f.Name
	}
	return names
}

// Can reports whether a kind has an ability.
func (k Kind) Can(a Ability) bool { return slices.Contains(k.Abilities, a) }
