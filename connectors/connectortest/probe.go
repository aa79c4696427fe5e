package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// kindsThat lists the kinds with an ability, in dependency order.
func (in *instance) kindsThat(a connectors.Ability) []connectors.Kind {
	return slices.DeleteFunc(slices.Clone(in.descriptor.Kinds), func(k connectors.Kind) bool { return !k.Can(a) })
}

// list collects a listing. The append is not guarded on purpose: yield comes from one goroutine, and the race detector
// says so when it does not.
func (in *instance) list(ctx context.Context, req connectors.ListRequest) ([]connectors.Record, connectors.Listing, error) {
	lister, ok := in.Connector.(connectors.Lister)
	if !ok {
		return nil, connectors.Listing{}, fmt.Errorf("the descriptor says that %s can be listed, but there is no List", req.Kind)
	}
	var records []connectors.Record
	listing, err := lister.List(ctx, req, func(r connectors.Record) error {
		records = append(records, r)
		return nil
	})
	return records, listing, err
}

// listAll is a listing that has to be complete.
func (in *instance) listAll(ctx context.Context, kind string) ([]connectors.Record, error) {
	records, listing, err := in.list(ctx, connectors.ListRequest{Kind: kind})
	switch {
	case err != nil:
		return nil, fmt.Errorf("list %s: %w", kind, err)
	case !listing.Complete():
		return nil, fmt.Errorf("list %s in an untroubled world has gaps: %+v", kind, listing.Gaps)
	case listing.Received != len(records):
		return nil, fmt.Errorf("list %s: Received is %d, but %d records were yielded", kind, listing.Received, len(records))
	}
	return records, nil
}

func (in *instance) read(ctx context.Context, ref connectors.Ref) (connectors.Record, error) {
	reader, ok := in.Connector.(connectors.Reader)
	if !ok {
		return connectors.Record{}, fmt.Errorf("the descriptor says that %s can be read, but there is no Read", ref.Kind)
	}
	rec, err := reader.Read(ctx, ref)
	if err != nil {
		return rec, fmt.Errorf("read %s: %w", ref.Kind, err)
	}
	return rec, nil
}

// look is a record as it is now, by Read or, for kinds without it, by listing.
func (in *instance) look(ctx context.Context, ref connectors.Ref) (connectors.Record, error) {
	if kind, _ := in.descriptor.Kind(ref.Kind); kind.Can(connectors.AbilityRead) {
		return in.read(ctx, ref)
	}
	records, err := in.listAll(ctx, ref.Kind)
	if err != nil {
		return connectors.Record{}, err
	}
	i := slices.IndexFunc(records, func(r connectors.Record) bool { return r.ID == ref.ID && r.Parent == ref.Parent })
	if i < 0 {
		return connectors.Record{}, fmt.Errorf("%s %s is not in its listing", ref.Kind, ref.ID)
	}
	return records[i], nil
}

func (in *instance) change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	changer, ok := in.Connector.(connectors.Changer)
	if !ok {
		return connectors.Record{}, fmt.Errorf("the descriptor says that %s can be changed, but there is no Change", req.Ref.Kind)
	}
	return changer.Change(ctx, req)
}

// canonical is what the system makes of a value.
func (in *instance) canonical(kind, field string, v model.Value) model.Value {
	if c, ok := in.Connector.(connectors.Canonicalizer); ok {
		return c.Canonical(kind, field, v)
	}
	return v
}

func (in *instance) same(kind, field string, a, b model.Value) bool {
	return in.canonical(kind, field, a) == in.canonical(kind, field, b)
}

// writableFields are the fields of a kind that Change takes, with the one that keeps the other side's id.
func writableFields(k connectors.Kind) []connectors.Field {
	var fields []connectors.Field
	for _, f := range k.Fields {
		if f.Writable {
			fields = append(fields, f)
		}
	}
	if f, ok := k.Field(k.Own); ok && !slices.Contains(k.FieldNames(), k.Own) {
		fields = append(fields, f)
	}
	return fields
}

// scheduledFields are the fields of a kind that Schedule takes.
func scheduledFields(k connectors.Kind) []connectors.Field {
	return slices.DeleteFunc(slices.Clone(k.Fields), func(f connectors.Field) bool { return !f.Scheduled })
}

// next is another value for a field. Texts end in a blank and money has many decimals, so that a system that trims or
// rounds has to say so in Canonical.
func (in *instance) next(kind string, f connectors.Field, now model.Value) (model.Value, error) {
	if v, ok := in.Kinds[kind].Next[f.Name]; ok && !in.same(kind, f.Name, v, now) {
		return v, nil
	}
	switch f.Type {
	case model.TypeText:
		words := f.Allowed
		if len(words) == 0 {
			words = []string{"Changed by the suite ", "Changed once more "}
		}
		for _, word := range words {
			if f.MaxLen > 0 && utf8.RuneCountInString(word) > f.MaxLen {
				word = string([]rune(word)[len([]rune(word))-f.MaxLen:])
			}
			if !in.same(kind, f.Name, model.Text(word), now) {
				return model.Text(word), nil
			}
		}
	case model.TypeQuantity:
		q, _ := now.Quantity()
		return model.QuantityValue(q.Add(model.NewQuantity(1))), nil
	case model.TypeMoney:
		if m, ok := now.Money(); ok {
			more, err := model.NewMoney(m.Amount().Add(decimal.RequireFromString("1.23456789")), m.Currency())
			return model.MoneyValue(more), err
		}
	case model.TypeBool:
		return model.Bool(!now.True()), nil
	case model.TypeDay:
		if d, ok := now.Day(); ok {
			return model.DayValue(d.Add(1)), nil
		}
		return model.DayValue(model.NewDay(2031, 5, 31)), nil
	case model.TypeInstant:
		if at, ok := now.Time(); ok {
			return model.Instant(at.Add(time.Hour)), nil
		}
		return model.Instant(time.Date(2031, 5, 31, 12, 0, 0, 0, time.UTC)), nil
	case model.TypeList:
		return model.List(append(now.Items(), "suite.example.com")...), nil
	}
	return model.Value{}, fmt.Errorf("the suite has no other value than %q for %s.%s: the subject has to name one in Next", now, kind, f.Name)
}

// edit is the change of one field of a record to its next value.
func (in *instance) edit(rec connectors.Record, f connectors.Field) (connectors.ChangeRequest, error) {
	to, err := in.next(rec.Kind, f, rec.Fields[f.Name])
	return connectors.ChangeRequest{
		Ref:   refOf(rec),
		Edits: map[string]connectors.Edit{f.Name: {From: rec.Fields[f.Name], To: to}},
		Key:   newKey(),
	}, err
}

// counted runs f and reports how many requests and effects it had.
func (in *instance) counted(f func() error) (requests, effects int, err error) {
	r, e := in.Requests(), in.Effects()
	err = f()
	return in.Requests() - r, in.Effects() - e, err
}

func refOf(rec connectors.Record) connectors.Ref {
	return connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent}
}

// hasClass checks that an error left a connector in its proper form and with one of some classes.
func hasClass(what string, err error, classes ...connectors.Class) error {
	if err == nil {
		return fmt.Errorf("%s: no error, want class %q", what, classes)
	}
	var e *connectors.Error
	switch {
	case !errors.As(err, &e):
		return fmt.Errorf("%s: %T is not a *connectors.Error: %w", what, err, err)
	case !slices.Contains(connectors.Classes, e.Class):
		return fmt.Errorf("%s: class %q is not known: %w", what, e.Class, err)
	case e.Op == "":
		return fmt.Errorf("%s: the error does not say what was being done: %w", what, err)
	case !slices.Contains(classes, e.Class):
		return fmt.Errorf("%s: class %q, want one of %q: %w", what, e.Class, classes, err)
	}
	return nil
}

// sameFields compares the fields that both records deliver.
func sameFields(what string, a, b connectors.Record) error {
	if refOf(a) != refOf(b) {
		return fmt.Errorf("%s: another record: %v and %v", what, refOf(a), refOf(b))
	}
	shared := func(one, other model.Fields) map[string]string {
		texts := map[string]string{}
		for name, v := range one {
			if _, ok := other[name]; ok {
				texts[name] = string(v.Type()) + " " + v.String()
			}
		}
		return texts
	}
	if diff := cmp.Diff(shared(a.Fields, b.Fields), shared(b.Fields, a.Fields)); diff != "" {
		return fmt.Errorf("%s: fields of %s %s differ:\n%s", what, a.Kind, a.ID, diff)
	}
	return nil
}

// sameListing compares two listings, order included.
func sameListing(what string, a, b []connectors.Record) error {
	if diff := cmp.Diff(refsOf(a), refsOf(b)); diff != "" {
		return fmt.Errorf("%s: other records or another order:\n%s", what, diff)
	}
	var c complaints
	for i := range a {
		if !maps.Equal(a[i].Fields, b[i].Fields) {
			c.wrap(what, sameFields("value", a[i], b[i]))
			c.add("%s: %s %s does not deliver the same twice", what, a[i].Kind, a[i].ID)
		}
	}
	return c.err()
}

func refsOf(records []connectors.Record) []connectors.Ref {
	refs := make([]connectors.Ref, len(records))
	for i, r := range records {
		refs[i] = refOf(r)
	}
	return refs
}

// call is one thing that a caller may ask of a connector.
type call struct {
	name  string
	write bool
	do    func(context.Context) error
}

// calls prepares one call of each sort that the connector offers. The writes are valid and would have an effect.
func (in *instance) calls(ctx context.Context) ([]call, error) {
	calls := []call{{"check", false, func(ctx context.Context) error {
		_, err := in.Connector.Check(ctx)
		return err
	}}}
	for _, k := range in.kindsThat(connectors.AbilityList) {
		calls = append(calls, call{"list " + k.Name, false, func(ctx context.Context) error {
			_, _, err := in.list(ctx, connectors.ListRequest{Kind: k.Name})
			return err
		}})
	}
	for _, k := range in.kindsThat(connectors.AbilityRead) {
		calls = append(calls, call{"read " + k.Name, false, func(ctx context.Context) error {
			_, err := in.read(ctx, in.Kinds[k.Name].Ref)
			return err
		}})
	}
	if f, ok := in.Connector.(connectors.ChangeFeed); ok {
		start, err := f.Changes(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("ask for a first cursor: %w", err)
		}
		calls = append(calls, call{"changes", false, func(ctx context.Context) error {
			_, err := f.Changes(ctx, start.Cursor)
			return err
		}})
	}
	writes, err := in.writes(ctx)
	return append(calls, writes...), err
}

// writes prepares one write of each sort.
func (in *instance) writes(ctx context.Context) ([]call, error) {
	var calls []call
	for _, k := range in.kindsThat(connectors.AbilityChange) {
		rec, err := in.look(ctx, in.Kinds[k.Name].Ref)
		if err != nil {
			return nil, err
		}
		fields := writableFields(k)
		if len(fields) == 0 {
			return nil, fmt.Errorf("%s can be changed, but has no writable field", k.Name)
		}
		req, err := in.edit(rec, fields[0])
		if err != nil {
			return nil, err
		}
		calls = append(calls, call{"change " + k.Name, true, func(ctx context.Context) error {
			_, err := in.change(ctx, req)
			return err
		}})
	}
	for _, k := range in.kindsThat(connectors.AbilityCreate) {
		creator, ok := in.Connector.(connectors.Creator)
		if !ok || in.Kinds[k.Name].Create == nil {
			return nil, fmt.Errorf("%s can be created, but there is no Create in the connector or in the subject", k.Name)
		}
		req := in.Kinds[k.Name].Create()
		req.Key = newKey()
		calls = append(calls, call{"create " + k.Name, true, func(ctx context.Context) error {
			_, err := creator.Create(ctx, req)
			return err
		}})
	}
	for _, k := range in.kindsThat(connectors.AbilitySchedule) {
		scheduler, ok := in.Connector.(connectors.Scheduler)
		rec, err := in.look(ctx, in.Kinds[k.Name].Ref)
		if err != nil || !ok || len(scheduledFields(k)) == 0 {
			return nil, errors.Join(err, fmt.Errorf("%s can be scheduled (%t), and has %d scheduled fields", k.Name, ok, len(scheduledFields(k))))
		}
		req, err := in.edit(rec, scheduledFields(k)[0])
		if err != nil {
			return nil, err
		}
		calls = append(calls, call{"schedule " + k.Name, true, func(ctx context.Context) error {
			_, err := scheduler.Schedule(ctx, req)
			return err
		}})
	}
	for _, k := range in.kindsThat(connectors.AbilityEnd) {
		ender, ok := in.Connector.(connectors.Ender)
		if !ok || in.Kinds[k.Name].Last.IsZero() {
			return nil, fmt.Errorf("%s can end, but there is no End in the connector or no Last in the subject", k.Name)
		}
		req := connectors.EndRequest{Ref: in.Kinds[k.Name].Ref, Last: in.Kinds[k.Name].Last, Key: newKey()}
		calls = append(calls, call{"end " + k.Name, true, func(ctx context.Context) error {
			_, err := ender.End(ctx, req)
			return err
		}})
	}
	return calls, nil
}
