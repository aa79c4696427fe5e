package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// feed follows a system by its cursor: start, silence, an edit, silence again; then the same edit from the old cursor, by a
// connector that knows nothing of the first, as after a restart. A kind in Scan is listed whole each time, so it is told by
// definition.
func feed(b *bench) error {
	var c complaints
	ctx := b.Context()
	for _, name := range b.fresh().descriptor.KindNames() {
		in := b.fresh()
		if !in.descriptor.Feed {
			return nil
		}
		facts := in.Kinds[name]
		if facts.Edit != nil {
			c.wrap("edit of "+name, tellsEdit(ctx, in, name))
		}
		if facts.Add != nil {
			c.wrap("new "+name, tellsAdd(ctx, in, name))
		}
	}
	in := b.fresh()
	f := in.Connector.(connectors.ChangeFeed)
	changes, err := f.Changes(ctx, "no cursor of ours")
	if err == nil && len(changes.Scan) < len(in.descriptor.Kinds) {
		c.add("a cursor that nobody gave out was followed: it has to be an error, or ask for a scan of every kind")
	} else if err != nil {
		c.wrap("unknown cursor", hasClass("changes", err, connectors.ClassInvalid))
	}
	return c.err()
}

func tellsEdit(ctx context.Context, in *instance, name string) error {
	facts := in.Kinds[name]
	kind, _ := in.descriptor.Kind(name)
	field, ok := kind.Field(facts.EditField)
	if !ok {
		return fmt.Errorf("the subject edits %q, which is no field", facts.EditField)
	}
	start, err := begin(ctx, in)
	if err != nil {
		return err
	}
	rec, err := in.look(ctx, facts.Ref)
	if err != nil {
		return err
	}
	to, err := in.next(name, field, rec.Fields[field.Name])
	if err != nil {
		return err
	}
	facts.Edit(facts.Ref, to)
	if err := tells(ctx, in, in.Connector, start, facts.Ref); err != nil {
		return err
	}
	if rec, err = in.look(ctx, facts.Ref); err != nil {
		return err
	}
	if !in.same(name, field.Name, rec.Fields[field.Name], to) {
		return fmt.Errorf("%s was set to %q behind our back and reads back as %q", field.Name, to, rec.Fields[field.Name])
	}
	again := in.Connector
	if in.Again != nil {
		again = in.Again()
	}
	if err := tells(ctx, in, again, start, facts.Ref); err != nil {
		return fmt.Errorf("by the old cursor: %w", err)
	}
	return silent(ctx, in, start)
}

func tellsAdd(ctx context.Context, in *instance, name string) error {
	start, err := begin(ctx, in)
	if err != nil {
		return err
	}
	ref := in.Kinds[name].Add()
	if err := tells(ctx, in, in.Connector, start, ref); err != nil {
		return err
	}
	if _, err := in.look(ctx, ref); err != nil {
		return err
	}
	return silent(ctx, in, start)
}

// begin takes a first cursor, which reports no changes, and sees that a quiet system stays quiet.
func begin(ctx context.Context, in *instance) (string, error) {
	f, ok := in.Connector.(connectors.ChangeFeed)
	if !ok {
		return "", errors.New("the descriptor promises a feed, but there is no Changes")
	}
	first, err := f.Changes(ctx, "")
	if err != nil {
		return "", fmt.Errorf("ask for a first cursor: %w", err)
	}
	if first.Cursor == "" || len(first.Records)+len(first.Relist) != 0 {
		return "", fmt.Errorf("the first cursor is %q and comes with %d records and %d relists", first.Cursor, len(first.Records), len(first.Relist))
	}
	return first.Cursor, silent(ctx, in, first.Cursor)
}

// tells asks whether a record that moved is told by a cursor.
func tells(ctx context.Context, in *instance, c connectors.Connector, cursor string, ref connectors.Ref) error {
	changes, err := c.(connectors.ChangeFeed).Changes(ctx, cursor)
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	if changes.Cursor == "" {
		return errors.New("changes come without a new cursor")
	}
	if changes.Scan[ref.Kind] != "" {
		return nil
	}
	for _, r := range changes.Relist {
		if r.Kind == ref.Kind && (r.Parents == nil || slices.Contains(r.Parents, ref.Parent)) {
			return nil
		}
	}
	i := slices.IndexFunc(changes.Records, func(r connectors.Record) bool { return r.Kind == ref.Kind && r.ID == ref.ID })
	if i < 0 {
		return fmt.Errorf("%s %s moved, but the feed tells of %v, relists %v and scans %v", ref.Kind, ref.ID,
			refsOf(changes.Records), changes.Relist, changes.Scan)
	}
	now, err := in.look(ctx, ref)
	if err != nil {
		return err
	}
	return sameFields("told and read", changes.Records[i], now)
}

// looks is how often a feed may be asked until it falls silent: it may repeat a change while the change can still be
// invisible elsewhere in the system, but not for ever.
const looks = 5

// silent follows a cursor until nothing is told.
func silent(ctx context.Context, in *instance, cursor string) error {
	for range looks {
		changes, err := in.Connector.(connectors.ChangeFeed).Changes(ctx, cursor)
		if err != nil {
			return fmt.Errorf("read changes: %w", err)
		}
		for _, name := range in.descriptor.KindNames() {
			if reason, ok := changes.Scan[name]; ok && reason == "" {
				return fmt.Errorf("%s has to be scanned, without a reason", name)
			}
		}
		if len(changes.Records)+len(changes.Relist) == 0 {
			return nil
		}
		cursor = changes.Cursor
	}
	return errors.New("nothing moves, but the feed does not fall silent")
}

// staleWrite: we read, a person edits, we write what we had decided before. The person's value stays.
func staleWrite(b *bench) error {
	var c complaints
	ctx := b.Context()
	in := b.fresh()
	for _, k := range in.kindsThat(connectors.AbilityChange) {
		facts := in.Kinds[k.Name]
		field, ok := k.Field(facts.EditField)
		if facts.Edit == nil || !ok || !field.Writable {
			c.add("the subject has to edit a writable field of %s", k.Name)
			continue
		}
		rec, err := in.look(ctx, facts.Ref)
		if err != nil {
			return err
		}
		theirs, err := in.next(k.Name, field, rec.Fields[field.Name])
		if err != nil {
			return err
		}
		ours, err := in.next(k.Name, field, theirs)
		if err != nil {
			return err
		}
		facts.Edit(facts.Ref, theirs)
		_, effects, err := in.counted(func() error {
			_, err := in.change(ctx, connectors.ChangeRequest{Ref: facts.Ref, Key: newKey(),
				Edits: map[string]connectors.Edit{field.Name: {From: rec.Fields[field.Name], To: ours}}})
			return err
		})
		c.wrap("overwrite a person's edit", hasClass("change "+k.Name, err, connectors.ClassStale))
		now, err := in.look(ctx, facts.Ref)
		c.wrap("afterwards", err)
		if effects != 0 || !in.same(k.Name, field.Name, now.Fields[field.Name], theirs) {
			c.add("%s of %s is %q after %d effects, a person had set %q", field.Name, k.Name, now.Fields[field.Name], effects, theirs)
		}
		// Deciding again from what is there now goes through, and then there is nothing left to do.
		c.wrap("decide again", changeOnce(ctx, in, now, map[string]model.Value{field.Name: ours}))
	}
	return c.err()
}
