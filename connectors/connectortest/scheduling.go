package connectortest

import (
	"context"
	"errors"
	"fmt"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// schedule walks through the fields that say what happens when a term ends.
func schedule(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, k := range b.fresh().kindsThat(connectors.AbilitySchedule) {
		for _, f := range scheduledFields(k) {
			in := b.fresh()
			scheduler, ok := in.Connector.(connectors.Scheduler)
			if !ok {
				return fmt.Errorf("the descriptor says that %s can be scheduled, but there is no Schedule", k.Name)
			}
			c.wrap(fmt.Sprintf("schedule %s.%s", k.Name, f.Name), scheduleOnce(ctx, in, scheduler, k, f))
		}
		c.wrap("schedule "+k.Name, refuseSchedule(ctx, b.fresh(), k))
	}
	return c.err()
}

// scheduleOnce schedules a value, reads it back, changes the record inside its term, and withdraws.
func scheduleOnce(ctx context.Context, in *instance, scheduler connectors.Scheduler, k connectors.Kind, f connectors.Field) error {
	var c complaints
	before, err := in.look(ctx, in.Kinds[k.Name].Ref)
	if err != nil {
		return err
	}
	to, err := in.next(k.Name, f, before.Fields[f.Name])
	if err != nil {
		return err
	}
	ask := func(what string, now connectors.Record, to model.Value, want int) connectors.Record {
		var told connectors.Record
		_, effects, err := in.counted(func() (err error) {
			told, err = scheduler.Schedule(ctx, connectors.ChangeRequest{Ref: refOf(before), Key: newKey(), Edits: map[string]connectors.Edit{f.Name: {From: now.Fields[f.Name], To: to}}})
			return err
		})
		c.wrap(what, err)
		if err == nil && (effects > 0) != (want > 0) {
			c.add("%s had %d effects", what, effects)
		}
		after, err := in.look(ctx, refOf(before))
		c.wrap(what, err)
		c.wrap("what Schedule returned", sameFields("scheduled and read", told, after))
		if got := after.Fields[f.Name]; got.Blank() != to.Blank() || !to.Blank() && !in.same(k.Name, f.Name, got, to) {
			c.add("%s: it reads back as %q, want %q", what, got, to)
		}
		for _, other := range writableFields(k) {
			if after.Fields[other.Name] != now.Fields[other.Name] {
				c.add("%s: %s went from %q to %q, before the term ended", what, other.Name, now.Fields[other.Name], after.Fields[other.Name])
			}
		}
		return after
	}
	now := ask("scheduling", before, to, 1)
	now = ask("scheduling the same again", now, to, 0)
	for _, w := range writableFields(k) {
		if w.Type == model.TypeBool {
			continue // switching renewal itself off leaves nothing to schedule
		}
		req, err := in.edit(now, w)
		if err != nil {
			return err
		}
		if _, err = in.change(ctx, req); err != nil {
			return err
		}
		if now, err = in.look(ctx, refOf(before)); err != nil {
			return err
		}
		if !in.same(k.Name, f.Name, now.Fields[f.Name], to) {
			c.add("a change of %s inside the term left %q scheduled, want %q", w.Name, now.Fields[f.Name], to)
		}
	}
	ask("withdrawing", now, model.Empty(f.Type), 1)
	return c.err()
}

// refuseSchedule asks for what cannot be scheduled.
func refuseSchedule(ctx context.Context, in *instance, k connectors.Kind) error {
	var c complaints
	scheduler, ok := in.Connector.(connectors.Scheduler)
	rec, err := in.look(ctx, in.Kinds[k.Name].Ref)
	if err != nil || !ok {
		return err
	}
	refused := func(what, name string, edit connectors.Edit, ref connectors.Ref, unasked bool, class connectors.Class) {
		requests, effects, err := in.counted(func() error {
			_, err := scheduler.Schedule(ctx, connectors.ChangeRequest{Ref: ref, Key: newKey(), Edits: map[string]connectors.Edit{name: edit}})
			return err
		})
		c.wrap(what, hasClass("schedule", err, class))
		if e := (*connectors.Error)(nil); class == connectors.ClassInvalid && errors.As(err, &e) && e.Field != name {
			c.add("%s: the error names field %q, want %q", what, e.Field, name)
		}
		if effects != 0 || unasked && requests != 0 {
			c.add("%s: %d requests were sent, %d had an effect", what, requests, effects)
		}
	}
	refused("an unknown field", "no-such-field", connectors.Edit{To: model.Text("x")}, refOf(rec), true, connectors.ClassInvalid)
	for _, f := range writableFields(k) {
		to, err := in.next(k.Name, f, rec.Fields[f.Name])
		if err != nil {
			return err
		}
		refused("a field that changes now: "+f.Name, f.Name, connectors.Edit{To: to}, refOf(rec), true, connectors.ClassInvalid)
	}
	for _, f := range scheduledFields(k) {
		to, err := in.next(k.Name, f, rec.Fields[f.Name])
		if err != nil {
			return err
		}
		wrong := model.Text("no")
		if f.Type == model.TypeText {
			wrong = model.Bool(true)
		}
		refused("a value of another type", f.Name, connectors.Edit{To: wrong}, refOf(rec), true, connectors.ClassInvalid)
		if len(f.Allowed) > 0 {
			refused("a word that is not allowed", f.Name, connectors.Edit{To: model.Text("no such word")}, refOf(rec), true, connectors.ClassInvalid)
		}
		stale := to
		if f.Type == model.TypeQuantity {
			q, _ := to.Quantity()
			stale = model.QuantityValue(q.Add(model.NewQuantity(5)))
		}
		if stale != to {
			refused("a value that moved", f.Name, connectors.Edit{From: stale, To: to}, refOf(rec), false, connectors.ClassStale)
		}
		refused("what is not there", f.Name, connectors.Edit{To: to}, in.Kinds[k.Name].Missing, false, connectors.ClassMissing)
	}
	return c.err()
}
