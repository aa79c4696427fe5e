package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// change walks through the writable fields one by one.
func change(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, k := range b.fresh().kindsThat(connectors.AbilityChange) {
		for _, f := range writableFields(k) {
			in := b.fresh()
			rec, err := in.look(ctx, in.Kinds[k.Name].Ref)
			if err != nil {
				return err
			}
			to, err := in.next(k.Name, f, rec.Fields[f.Name])
			if err == nil {
				err = changeOnce(ctx, in, rec, map[string]model.Value{f.Name: to})
			}
			c.wrap(fmt.Sprintf("change %s.%s to %q", k.Name, f.Name, to), err)
		}
		in := b.fresh()
		req := connectors.ChangeRequest{Ref: in.Kinds[k.Name].Missing, Key: newKey(), Edits: map[string]connectors.Edit{}}
		for _, f := range writableFields(k)[:1] {
			to, err := in.next(k.Name, f, model.Value{})
			if err != nil {
				return err
			}
			req.Edits[f.Name] = connectors.Edit{To: to}
		}
		_, effects, err := in.counted(func() error { _, err := in.change(ctx, req); return err })
		c.wrap("change what is not there", hasClass("change "+k.Name, err, connectors.ClassMissing))
		if effects != 0 {
			c.add("changing a %s that is not there had %d effects", k.Name, effects)
		}
	}
	return c.err()
}

// changeOnce brings a record to new values, reads it back, and asks for the same values again: nothing more may happen.
func changeOnce(ctx context.Context, in *instance, rec connectors.Record, want map[string]model.Value) error {
	request := func(now connectors.Record) connectors.ChangeRequest {
		edits := map[string]connectors.Edit{}
		for name, to := range want {
			edits[name] = connectors.Edit{From: now.Fields[name], To: to}
		}
		return connectors.ChangeRequest{Ref: refOf(rec), Edits: edits, Key: newKey()}
	}
	var changed connectors.Record
	_, effects, err := in.counted(func() (err error) {
		changed, err = in.change(ctx, request(rec))
		return err
	})
	if err != nil {
		return err
	}
	var c complaints
	if effects == 0 {
		c.add("the world saw no effect")
	}
	now, err := in.look(ctx, refOf(rec))
	if err != nil {
		return err
	}
	c.wrap("what Change returned", sameFields("changed and read", changed, now))
	for name, to := range want {
		if !in.same(rec.Kind, name, now.Fields[name], to) {
			c.add("%s reads back as %q, want %q", name, now.Fields[name], in.canonical(rec.Kind, name, to))
		}
	}
	kind, _ := in.descriptor.Kind(rec.Kind)
	for _, f := range writableFields(kind) {
		if _, meant := want[f.Name]; !meant && now.Fields[f.Name] != rec.Fields[f.Name] {
			c.add("%s was not meant, and went from %q to %q", f.Name, rec.Fields[f.Name], now.Fields[f.Name])
		}
	}
	_, effects, err = in.counted(func() error { _, err := in.change(ctx, request(now)); return err })
	c.wrap("the same again", err)
	if effects != 0 {
		c.add("asking for what is there already had %d effects", effects)
	}
	return c.err()
}

// refuseChange asks for what cannot be: fields that are read only or not there, values of another type, words that are not
// allowed, texts that are too long. None of it needs the system to say no.
func refuseChange(b *bench) error {
	var c complaints
	ctx := b.Context()
	in := b.fresh()
	for _, k := range in.kindsThat(connectors.AbilityChange) {
		rec, err := in.look(ctx, in.Kinds[k.Name].Ref)
		if err != nil {
			return err
		}
		refused := func(what, name string, to model.Value) {
			requests, effects, err := in.counted(func() error {
				_, err := in.change(ctx, connectors.ChangeRequest{Ref: refOf(rec), Key: newKey(),
					Edits: map[string]connectors.Edit{name: {From: rec.Fields[name], To: to}}})
				return err
			})
			c.wrap(fmt.Sprintf("%s of %s.%s", what, k.Name, name), hasClass("change", err, connectors.ClassInvalid))
			if e := (*connectors.Error)(nil); errors.As(err, &e) && e.Field != name {
				c.add("%s of %s.%s: the error names field %q", what, k.Name, name, e.Field)
			}
			if requests+effects != 0 {
				c.add("%s of %s.%s: %d requests were sent, %d had an effect", what, k.Name, name, requests, effects)
			}
		}
		refused("an unknown field", "no-such-field", model.Text("x"))
		for _, f := range k.Fields {
			if !f.Writable {
				to, err := in.next(k.Name, f, rec.Fields[f.Name])
				if err != nil { // money in a world without prices: any amount will do, it is refused anyway
					to = model.Empty(f.Type)
				}
				refused("a read-only value", f.Name, to)
				continue
			}
			wrong := model.Text("no")
			if f.Type == model.TypeText {
				wrong = model.Bool(true)
			}
			refused("a value of another type", f.Name, wrong)
			if len(f.Allowed) > 0 {
				refused("a word that is not allowed", f.Name, model.Text("no such word"))
			}
			if f.MaxLen > 0 {
				refused("a text that is too long", f.Name, model.Text(strings.Repeat("é", f.MaxLen+1)))
			}
		}
	}
	return c.err()
}

// settle is the product in small: a few desired states in a row, each reached by changing what differs. Then the plan is
// empty. The states go there, back, and there again, with all writable fields at once.
func settle(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, k := range b.fresh().kindsThat(connectors.AbilityChange) {
		in := b.fresh()
		ref := in.Kinds[k.Name].Ref
		first, err := in.look(ctx, ref)
		if err != nil {
			return err
		}
		there, back := model.Fields{}, model.Fields{}
		for _, f := range writableFields(k) {
			v, err := in.next(k.Name, f, first.Fields[f.Name])
			if err != nil {
				return err
			}
			there[f.Name] = v
			if now := first.Fields[f.Name]; now.Known() && len(f.Allowed) == 0 {
				back[f.Name] = now
			}
		}
		for step, desired := range []model.Fields{there, back, there} {
			what := fmt.Sprintf("%s, state %d", k.Name, step+1)
			now, err := in.look(ctx, ref)
			if err != nil {
				return err
			}
			if edits := plan(in, now, desired); len(edits) > 0 {
				_, err := in.change(ctx, connectors.ChangeRequest{Ref: ref, Edits: edits, Key: newKey()})
				c.wrap(what, err)
			}
			if now, err = in.look(ctx, ref); err != nil {
				return err
			}
			if left := plan(in, now, desired); len(left) > 0 {
				c.add("%s: the second plan is not empty: %v", what, left)
			}
		}
	}
	return c.err()
}

// plan is what differs between a record and what is wanted of it.
func plan(in *instance, now connectors.Record, desired model.Fields) map[string]connectors.Edit {
	edits := map[string]connectors.Edit{}
	for name, want := range desired {
		if !in.same(now.Kind, name, now.Fields[name], want) {
			edits[name] = connectors.Edit{From: now.Fields[name], To: want}
		}
	}
	return edits
}

// create makes one record of each kind.
func create(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, k := range b.fresh().kindsThat(connectors.AbilityCreate) {
		in := b.fresh()
		creator, ok := in.Connector.(connectors.Creator)
		if !ok || in.Kinds[k.Name].Create == nil {
			c.add("%s can be created, but there is no Create in the connector or in the subject", k.Name)
			continue
		}
		c.wrap("create "+k.Name, refusesCreate(ctx, in, creator, k))
		c.wrap("create "+k.Name, createOnce(ctx, b, in, creator, k))
	}
	return c.err()
}

func refusesCreate(ctx context.Context, in *instance, creator connectors.Creator, k connectors.Kind) error {
	var c complaints
	refused := func(what, field string, alter func(model.Fields)) {
		req := in.Kinds[k.Name].Create()
		req.Key, req.Fields = newKey(), req.Fields.Clone()
		alter(req.Fields)
		requests, effects, err := in.counted(func() error { _, err := creator.Create(ctx, req); return err })
		c.wrap(what+" "+field, hasClass("create", err, connectors.ClassInvalid))
		if e := (*connectors.Error)(nil); errors.As(err, &e) && e.Field != field {
			c.add("%s %s: the error names field %q", what, field, e.Field)
		}
		if requests+effects != 0 {
			c.add("%s %s: %d requests were sent, %d had an effect", what, field, requests, effects)
		}
	}
	for _, f := range k.Fields {
		if f.Required {
			refused("without", f.Name, func(fields model.Fields) { delete(fields, f.Name) })
		}
		if !f.Writable && !f.Create {
			refused("with read-only", f.Name, func(fields model.Fields) { fields[f.Name] = model.Empty(f.Type) })
		}
	}
	refused("with unknown", "no-such-field", func(fields model.Fields) { fields["no-such-field"] = model.Text("x") })
	return c.err()
}

func createOnce(ctx context.Context, b *bench, in *instance, creator connectors.Creator, k connectors.Kind) error {
	var c complaints
	req := in.Kinds[k.Name].Create()
	req.Key = newKey()
	var made connectors.Record
	_, effects, err := in.counted(func() (err error) {
		made, err = creator.Create(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	if effects != 1 {
		c.add("one creation had %d effects", effects)
	}
	now, err := in.look(ctx, refOf(made))
	if err != nil {
		return err
	}
	c.wrap("what Create returned", sameFields("created and read", made, now))
	for _, name := range slices.Sorted(maps.Keys(req.Fields)) {
		if !in.same(k.Name, name, now.Fields[name], req.Fields[name]) {
			c.add("%s reads back as %q, want %q", name, now.Fields[name], req.Fields[name])
		}
	}
	if made.Parent != req.Parent {
		c.add("it was to live under %q and lives under %q", req.Parent, made.Parent)
	}
	if k.Can(connectors.AbilityList) {
		records, err := in.listAll(ctx, k.Name)
		c.wrap("listing", err)
		if !slices.Contains(refsOf(records), refOf(made)) {
			c.add("the new record is not in the listing")
		}
	}
	if k.Can(connectors.AbilityChange) {
		if left := plan(in, now, changeable(k, req.Fields)); len(left) > 0 {
			c.add("the second plan is not empty: %v", left)
		}
	}
	if b.subject.KeysRemembered {
		_, effects, err = in.counted(func() error {
			again, err := creator.Create(ctx, req)
			if err == nil && refOf(again) != refOf(made) {
				return fmt.Errorf("the same key gave another record: %v and %v", refOf(made), refOf(again))
			}
			return err
		})
		c.wrap("the same key again", err)
		if effects != 0 {
			c.add("the same key again had %d effects", effects)
		}
	}
	return c.err()
}

func changeable(k connectors.Kind, fields model.Fields) model.Fields {
	kept := model.Fields{}
	for name, v := range fields {
		if f, ok := k.Field(name); ok && f.Writable {
			kept[name] = v
		}
	}
	return kept
}

// end stops a record, then stops it again: with the same key, as after an interruption, and with another, as a plan made
// anew would.
func end(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, k := range b.fresh().kindsThat(connectors.AbilityEnd) {
		in := b.fresh()
		facts := in.Kinds[k.Name]
		ender, ok := in.Connector.(connectors.Ender)
		if !ok || facts.Last.IsZero() {
			c.add("%s can end, but there is no End in the connector or no Last in the subject", k.Name)
			continue
		}
		key := newKey()
		ended, err := ender.End(ctx, connectors.EndRequest{Ref: facts.Ref, Last: facts.Last, Key: key})
		if err != nil {
			c.wrap("end "+k.Name, err)
			continue
		}
		if in.Effects() == 0 {
			c.add("ending %s had no effect", k.Name)
		}
		now, err := in.look(ctx, facts.Ref)
		c.wrap("afterwards", err)
		c.wrap("what End returned", sameFields("ended and read", ended, now))
		for _, again := range []string{key, newKey()} {
			_, effects, err := in.counted(func() error {
				rec, err := ender.End(ctx, connectors.EndRequest{Ref: facts.Ref, Last: facts.Last, Key: again})
				if err != nil {
					return err
				}
				return sameFields("ended again", now, rec)
			})
			c.wrap("end "+k.Name+" again", err)
			if effects != 0 {
				c.add("ending %s again had %d effects", k.Name, effects)
			}
		}
		_, err = ender.End(ctx, connectors.EndRequest{Ref: facts.Missing, Last: facts.Last, Key: newKey()})
		c.wrap("end what is not there", hasClass("end "+k.Name, err, connectors.ClassMissing))
	}
	return c.err()
}

// lostAnswer loses replies. A seat order cannot be sent twice, so: one effect at most, class unknown, and a look shows what
// became of it. A connector may get through by itself where the system knows a key again; then there is exactly one effect.
func lostAnswer(b *bench) error {
	var c complaints
	ctx := b.Context()
	probe := b.fresh()
	writes, err := probe.writes(ctx)
	if err != nil {
		return err
	}
	for i := range writes {
		c.wrap(writes[i].name, b.faulted([]string{ErrorAfterCommit, LostReply}, func(in *instance, set func(bool)) error {
			return lose(ctx, b, in, set, i, true)
		}))
		c.wrap(writes[i].name, b.faulted([]string{LostBeforeCommit}, func(in *instance, set func(bool)) error {
			return lose(ctx, b, in, set, i, false)
		}))
	}
	return c.err()
}

// lose sends the i-th write while replies get lost, looks, and sends it again with its key where that is allowed.
func lose(ctx context.Context, b *bench, in *instance, set func(bool), i int, done bool) error {
	var c complaints
	writes, err := in.writes(ctx)
	if err != nil {
		return err
	}
	write := writes[i]
	set(true)
	_, effects, err := in.counted(func() error { return write.do(ctx) })
	set(false)
	switch {
	case err == nil && effects == 1 && b.subject.KeysRemembered:
	case done:
		c.wrap("reply lost after the work", hasClass(write.name, err, connectors.ClassUnknown))
		if effects != 1 {
			c.add("a write whose reply was lost had %d effects, want 1", effects)
		}
	default:
		c.wrap("request lost", hasClass(write.name, err, connectors.ClassUnknown, connectors.ClassTransient))
		if effects != 0 {
			c.add("a write that was lost had %d effects", effects)
		}
	}
	if !b.subject.KeysRemembered && (!done || strings.HasPrefix(write.name, "create")) {
		return c.err()
	}
	_, more, err := in.counted(func() error { return write.do(ctx) })
	if err != nil && connectors.ClassOf(err) != connectors.ClassStale {
		c.wrap("the same write again", err)
	}
	if effects+more != 1 {
		c.add("the same write, sent again with its key, had %d effects in all, want 1", effects+more)
	}
	return c.err()
}
