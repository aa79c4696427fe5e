package connectortest

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

var abilities = []connectors.Ability{connectors.AbilityList, connectors.AbilityRead, connectors.AbilityCreate,
	connectors.AbilityChange, connectors.AbilityEnd, connectors.AbilitySchedule}

// descriptor compares what is said with what is there. Everything above a connector believes the descriptor: a flow is
// linted against it before anybody has signed in.
func descriptor(b *bench) error {
	var c complaints
	in := b.fresh()
	d := in.descriptor
	if !reflect.DeepEqual(d, in.Connector.Descriptor()) {
		c.add("two descriptors of one connector differ")
	}
	if d.System == "" || d.Title == "" || len(d.Kinds) == 0 {
		c.add("system %q and title %q have to be given, and at least one kind", d.System, d.Title)
	}
	if d.Role != connectors.RoleVendor && d.Role != connectors.RolePSA {
		c.add("role %q is not known", d.Role)
	}
	if d.Limits.PerMinute <= 0 || d.Limits.Parallel <= 0 || d.Limits.PageSize <= 0 {
		c.add("limits have to be stated: %+v", d.Limits)
	}
	for _, r := range d.Rejects {
		if r.What == "" || r.Verified == "" {
			c.add("reject %q has to say what, and when that was seen", r.What)
		}
	}
	checkImplemented(&c, in)
	seen := map[string]bool{}
	for _, k := range d.Kinds {
		if k.Name == "" || seen[k.Name] {
			c.add("kind %q has no name, or is named twice", k.Name)
		}
		if k.Parent != "" && !seen[k.Parent] {
			c.add("kind %s comes before its parent %q", k.Name, k.Parent)
		}
		seen[k.Name] = true
		checkKind(&c, k)
	}
	names := map[string]bool{}
	for _, s := range d.Settings {
		if s.Name == "" || s.Doc == "" || names[s.Name] {
			c.add("setting %q needs a name of its own and a doc", s.Name)
		}
		if s.Secret && s.Default != "" {
			c.add("secret setting %q has a default", s.Name)
		}
		names[s.Name] = true
	}
	c.wrap("unstated abilities", refusesUnstated(b, in))
	return c.err()
}

func checkImplemented(c *complaints, in *instance) {
	_, list := in.Connector.(connectors.Lister)
	_, read := in.Connector.(connectors.Reader)
	_, create := in.Connector.(connectors.Creator)
	_, change := in.Connector.(connectors.Changer)
	_, end := in.Connector.(connectors.Ender)
	_, schedule := in.Connector.(connectors.Scheduler)
	code := map[connectors.Ability]bool{
		connectors.AbilityList: list, connectors.AbilityRead: read, connectors.AbilityCreate: create,
		connectors.AbilityChange: change, connectors.AbilityEnd: end, connectors.AbilitySchedule: schedule,
	}
	for _, a := range abilities {
		switch said := len(in.kindsThat(a)) > 0; {
		case said && !code[a]:
			c.add("ability %q is stated, but the connector has no such method", a)
		case !said && code[a]:
			c.add("the connector has a method for ability %q, but no kind states it", a)
		}
	}
	_, hints := in.Connector.(connectors.Hinter)
	_, registers := in.Connector.(connectors.Registrar)
	_, watches := in.Connector.(connectors.Watcher)
	if s := in.descriptor.Sooner; hints != (s.Webhook != "") || registers != hints || watches != (s.Watch != "") {
		c.add("the descriptor says that it sends messages (%t) and can be watched (%t), but the connector has Hints: %t, Register: %t and Watch: %t",
			s.Webhook != "", s.Watch != "", hints, registers, watches)
	}
	if _, ok := in.Connector.(connectors.ChangeFeed); ok != in.descriptor.Feed {
		c.add("Feed is %t, but the connector has Changes: %t", in.descriptor.Feed, ok)
	}
}

func checkKind(c *complaints, k connectors.Kind) {
	if k.Title == "" || k.Doc == "" {
		c.add("kind %s needs a title and a doc", k.Name)
	}
	for i, a := range k.Abilities {
		if !slices.Contains(abilities, a) || slices.Contains(k.Abilities[:i], a) {
			c.add("kind %s: ability %q is not known, or stated twice", k.Name, a)
		}
	}
	if k.Can(connectors.AbilityChange) != (len(writableFields(k)) > 0) {
		c.add("kind %s: it can be changed (%t) exactly when it has writable fields (%d)", k.Name, k.Can(connectors.AbilityChange), len(writableFields(k)))
	}
	if k.Can(connectors.AbilitySchedule) != (len(scheduledFields(k)) > 0) {
		c.add("kind %s: something can be scheduled for its term end (%t) exactly when it has scheduled fields (%d)", k.Name, k.Can(connectors.AbilitySchedule), len(scheduledFields(k)))
	}
	if k.Can(connectors.AbilitySchedule) && k.Terms == nil {
		c.add("kind %s: something can be scheduled for its term end, but it has no term rules", k.Name)
	}
	if t := k.Terms; t != nil {
		checkTerms(c, k.Name, *t)
	}
	if _, ok := k.Field(k.Own); k.Own != "" && !ok {
		c.add("kind %s: Own names %q, which is no field", k.Name, k.Own)
	}
	seen := map[string]bool{}
	for _, f := range k.Fields {
		switch {
		case f.Name == "" || seen[f.Name]:
			c.add("kind %s: field %q has no name, or is named twice", k.Name, f.Name)
		case !slices.Contains(model.Types, f.Type):
			c.add("field %s.%s: type %q is not known", k.Name, f.Name, f.Type)
		case f.Doc == "":
			c.add("field %s.%s has no doc", k.Name, f.Name)
		case len(f.Allowed) > 0 && f.Type != model.TypeText:
			c.add("field %s.%s: only texts have allowed words", k.Name, f.Name)
		case f.Scheduled && (f.Writable || f.Create || f.Required):
			c.add("field %s.%s: what is scheduled for the term end is not set by Change or Create", k.Name, f.Name)
		case f.Create && f.Writable:
			c.add("field %s.%s: Create says \"in Create only\", Writable says more", k.Name, f.Name)
		case f.Required && !f.Create && !f.Writable:
			c.add("field %s.%s is required in Create, but may not be sent", k.Name, f.Name)
		case (f.Required || f.Create) && !k.Can(connectors.AbilityCreate):
			c.add("field %s.%s is for Create, but %s cannot be created", k.Name, f.Name, k.Name)
		}
		seen[f.Name] = true
	}
}

// checkTerms looks at the rules of a commitment.
func checkTerms(c *complaints, kind string, t connectors.TermRules) {
	if len(t.Terms) == 0 || t.Increase == "" || t.Verified == "" {
		c.add("kind %s: term rules need terms, when seats may be added, and how that is known", kind)
	}
	if t.DecreaseHours < 0 || t.CancelHours < 0 || t.ExtendedPercent < 0 {
		c.add("kind %s: term rules with hours or percent below zero: %+v", kind, t)
	}
	for _, term := range t.Terms {
		if _, err := model.NewTerm(term.Duration, term.Billing); err != nil {
			c.add("kind %s: %w", kind, err)
		}
	}
}

// refusesUnstated asks for what no kind states: it is refused without a request.
func refusesUnstated(b *bench, in *instance) error {
	var c complaints
	ctx := b.Context()
	ask := func(what string, f func() error) {
		requests, effects, err := in.counted(f)
		c.wrap(what, hasClass("refusal", err, connectors.ClassInvalid))
		if requests+effects != 0 {
			c.add("%s: refused only after %d requests", what, requests)
		}
	}
	for _, k := range append(slices.Clone(in.descriptor.Kinds), connectors.Kind{Name: "no-such-kind"}) {
		ref := cmp.Or(in.Kinds[k.Name].Ref, connectors.Ref{Kind: k.Name, ID: "1"})
		if l, ok := in.Connector.(connectors.Lister); ok && !k.Can(connectors.AbilityList) {
			ask("list "+k.Name, func() error {
				_, err := l.List(ctx, connectors.ListRequest{Kind: k.Name}, func(connectors.Record) error { return nil })
				return err
			})
		}
		if r, ok := in.Connector.(connectors.Reader); ok && !k.Can(connectors.AbilityRead) {
			ask("read "+k.Name, func() error { _, err := r.Read(ctx, ref); return err })
		}
		if r, ok := in.Connector.(connectors.Creator); ok && !k.Can(connectors.AbilityCreate) {
			ask("create "+k.Name, func() error {
				_, err := r.Create(ctx, connectors.CreateRequest{Kind: k.Name, Parent: ref.Parent, Key: newKey()})
				return err
			})
		}
		if r, ok := in.Connector.(connectors.Changer); ok && !k.Can(connectors.AbilityChange) {
			ask("change "+k.Name, func() error {
				_, err := r.Change(ctx, connectors.ChangeRequest{Ref: ref, Key: newKey(),
					Edits: map[string]connectors.Edit{"id": {To: model.Text("2")}}})
				return err
			})
		}
		if r, ok := in.Connector.(connectors.Scheduler); ok && !k.Can(connectors.AbilitySchedule) {
			ask("schedule "+k.Name, func() error {
				_, err := r.Schedule(ctx, connectors.ChangeRequest{Ref: ref, Key: newKey(), Edits: map[string]connectors.Edit{"id": {To: model.Text("2")}}})
				return err
			})
		}
		if r, ok := in.Connector.(connectors.Ender); ok && !k.Can(connectors.AbilityEnd) {
			ask("end "+k.Name, func() error {
				_, err := r.End(ctx, connectors.EndRequest{Ref: ref, Last: model.NewDay(2031, 5, 31), Key: newKey()})
				return err
			})
		}
	}
	return c.err()
}

// fields looks at every record that is delivered. A mapping is checked against the declared fields, so a field that is
// declared and never comes is a mapping that never works.
func fields(b *bench) error {
	var c complaints
	in := b.fresh()
	ctx := b.Context()
	ids := map[string]map[string]bool{} // by kind
	for _, k := range in.kindsThat(connectors.AbilityList) {
		records, err := in.listAll(ctx, k.Name)
		if err != nil {
			return err
		}
		ids[k.Name] = map[string]bool{}
		delivered := map[string]bool{}
		for _, rec := range records {
			if at := rec.Parent + "/" + rec.ID; ids[k.Name][at] {
				c.add("%s %s was told twice", k.Name, rec.ID)
			} else {
				ids[k.Name][at] = true
			}
			if k.Can(connectors.AbilityRead) {
				whole, err := in.read(ctx, refOf(rec))
				if err != nil {
					return err
				}
				checkRecord(&c, k, whole, delivered)
			}
			checkRecord(&c, k, rec, delivered)
		}
		for _, name := range k.FieldNames() {
			if _, skipped := b.subject.Skips[k.Name+"."+name]; !delivered[name] && !skipped {
				c.add("field %s.%s is declared, but no record delivers it", k.Name, name)
			}
		}
	}
	return c.err()
}

func checkRecord(c *complaints, k connectors.Kind, rec connectors.Record, delivered map[string]bool) {
	if rec.Kind != k.Name || rec.ID == "" || (rec.Parent != "") != (k.Parent != "") {
		c.add("a record of kind %s came as kind %q, id %q, parent %q", k.Name, rec.Kind, rec.ID, rec.Parent)
	}
	if _, offset := rec.Changed.Zone(); rec.Changed.Location() != time.UTC && (offset != 0 || !rec.Changed.IsZero()) {
		c.add("%s %s: Changed is not in UTC: %s", k.Name, rec.ID, rec.Changed)
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Fields)) {
		v := rec.Fields[name]
		delivered[name] = true
		f, ok := k.Field(name)
		switch {
		case !ok:
			c.add("%s %s delivers field %q, which is not declared", k.Name, rec.ID, name)
		case v.Type() != f.Type:
			c.add("%s %s: field %q is %s, declared %s", k.Name, rec.ID, name, fmt.Sprintf("%q", v.Type()), f.Type)
		case len(f.Allowed) > 0 && !v.Blank() && !slices.Contains(f.Allowed, v.String()):
			c.add("%s %s: field %q holds %q, declared %q", k.Name, rec.ID, name, v, f.Allowed)
		}
	}
}

// check signs in.
func check(b *bench) error {
	var c complaints
	in := b.fresh()
	var report connectors.Report
	_, effects, err := in.counted(func() (err error) {
		report, err = in.Connector.Check(b.Context())
		return err
	})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if effects != 0 {
		c.add("check changed the world %d times", effects)
	}
	if report.Identity == "" || len(report.Rights) == 0 {
		c.add("check says nothing about who we are (%q) or what we may do (%d rights)", report.Identity, len(report.Rights))
	}
	for i, r := range report.Rights {
		if r.Name == "" || (!r.Granted && r.Reason == "") {
			c.add("right %+v needs a name, and a reason when it is missing", r)
		}
		if i > 0 && !r.Granted && report.Rights[i-1].Granted {
			c.add("missing right %q comes after granted ones", r.Name)
		}
	}
	return c.err()
}
