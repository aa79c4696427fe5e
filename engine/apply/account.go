package apply

import (
	"context"
	"maps"
	"slices"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

// Account is one configured connection with the mapping that translates it.
type Account struct {
	Name      string
	Connector connectors.Connector
	Mapping   *mapping.Mapping
}

// Descriptor is the connector's.
func (a *Account) Descriptor() connectors.Descriptor { return a.Connector.Descriptor() }

// HasFeed reports whether the account can tell what changed.
func (a *Account) HasFeed() bool {
	_, ok := a.Connector.(connectors.ChangeFeed)
	return ok
}

// MappedKinds are the native kinds that some noun is made from, parents before children. Tickets are left out: trueup writes them, and looks
// at one when it matters. So are quotes, which only some flows read: see WantedKinds of the engine.
func (a *Account) MappedKinds() []string {
	return a.KindsOf(slices.DeleteFunc(slices.Clone(a.Mapping.Kinds()), func(noun model.Kind) bool {
		return slices.Contains([]model.Kind{model.KindTicket, model.KindTicketNote, model.KindQuote, model.KindQuoteLine}, noun)
	})...)
}

// KindsOf are the native kinds of the given nouns, each once, parents before children, with the parents they live under.
func (a *Account) KindsOf(nouns ...model.Kind) []string {
	wanted := map[string]bool{}
	for _, noun := range nouns {
		name, _ := a.Mapping.NativeKind(noun)
		for name != "" && !wanted[name] {
			wanted[name] = true
			kind, _ := a.Descriptor().Kind(name)
			name = kind.Parent
		}
	}
	return slices.DeleteFunc(a.Descriptor().KindNames(), func(name string) bool { return !wanted[name] })
}

// NativeKind describes the native kind of a noun; ok is false when the mapping has none.
func (a *Account) NativeKind(noun model.Kind) (connectors.Kind, bool) {
	name, ok := a.Mapping.NativeKind(noun)
	if !ok {
		return connectors.Kind{}, false
	}
	return a.Descriptor().Kind(name)
}

// Writable reports whether trueup can change a field of an existing record.
func (a *Account) Writable(noun model.Kind, field string) bool {
	kind, ok := a.NativeKind(noun)
	if !ok || !kind.Can(connectors.AbilityChange) || !a.Mapping.Writable(noun, field) {
		return false
	}
	native, ok := kind.Field(a.Mapping.NativeField(noun, field))
	return ok && native.Writable
}

// Required reports a field that a record of the account's system cannot be without.
func (a *Account) Required(noun model.Kind, field string) bool {
	kind, ok := a.NativeKind(noun)
	if !ok {
		return false
	}
	native, ok := kind.Field(a.Mapping.NativeField(noun, field))
	return ok && native.Required
}

// Schedulable reports whether trueup can schedule a field for the end of the term.
func (a *Account) Schedulable(noun model.Kind, field string) bool {
	kind, ok := a.NativeKind(noun)
	if !ok || !kind.Can(connectors.AbilitySchedule) || !a.Mapping.Writable(noun, field) {
		return false
	}
	native, ok := kind.Field(a.Mapping.NativeField(noun, field))
	return ok && native.Scheduled
}

// Can reports whether records of a noun have an ability.
func (a *Account) Can(noun model.Kind, ability connectors.Ability) bool {
	kind, ok := a.NativeKind(noun)
	return ok && kind.Can(ability)
}

// Canonical is what the account's system will make of a value.
func (a *Account) Canonical(noun model.Kind, field string, v model.Value) model.Value {
	canonicalizer, ok := a.Connector.(connectors.Canonicalizer)
	if !ok {
		return v
	}
	kind, _ := a.Mapping.NativeKind(noun)
	return a.Mapping.AsWritten(noun, field, v, func(native string, v model.Value) model.Value {
		return canonicalizer.Canonical(kind, native, v)
	})
}

// edits turns field changes into native edits. What the field held before is given as the system spells it, when the stored record
// still means the same: "007" and "7" may be one quantity, and only one of them stands there.
func (a *Account) edits(noun model.Kind, fields map[string]edit, stored connectors.Record) (map[string]connectors.Edit, error) {
	edits := map[string]connectors.Edit{}
	known, _, _ := a.Mapping.ToModel(noun, stored)
	for field, e := range fields {
		to, err := a.Mapping.ToNative(noun, model.Fields{field: e.to})
		if err != nil {
			return nil, err
		}
		from := model.Fields{}
		switch {
		case !e.from.Known():
		case known.Fields[field] == e.from:
			from = stored.Fields
		default:
			if from, err = a.Mapping.ToNative(noun, model.Fields{field: e.from}); err != nil {
				return nil, err
			}
		}
		for native, v := range to {
			edits[native] = connectors.Edit{From: from[native], To: v}
		}
	}
	return edits, nil
}

// CheckCreate asks what stands in the way of a record with these values; nil when nothing does, or when the system cannot be asked.
func (a *Account) CheckCreate(ctx context.Context, noun model.Kind, parent string, values model.Fields) error {
	checker, ok := a.Connector.(connectors.CreateChecker)
	if !ok {
		return nil
	}
	kind, _ := a.NativeKind(noun)
	fields, err := a.Mapping.NativeCreate(noun, values)
	if err != nil {
		return err
	}
	return checker.CheckCreate(ctx, connectors.CreateRequest{Kind: kind.Name, Parent: parent, Fields: fields})
}

// AsMade is what a field of a record made with these values will read as, where that follows from them.
func (a *Account) AsMade(noun model.Kind, field string, values model.Fields) model.Value {
	given, err := a.Mapping.NativeCreate(noun, values)
	if err != nil {
		return model.Value{}
	}
	kind, _ := a.NativeKind(noun)
	made := model.Fields{}
	for _, f := range kind.Fields {
		made[f.Name] = model.Empty(f.Type)
	}
	maps.Copy(made, given)
	return a.Mapping.Reads(noun, field, connectors.Record{Kind: kind.Name, Fields: made})
}

type edit struct{ from, to model.Value }
