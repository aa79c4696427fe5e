package connectortest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// bent is the reference with some of its methods replaced.
type bent struct {
	everything
	descriptor func() connectors.Descriptor
	check      func(context.Context) (connectors.Report, error)
	list       func(context.Context, connectors.ListRequest, func(connectors.Record) error) (connectors.Listing, error)
	read       func(context.Context, connectors.Ref) (connectors.Record, error)
	create     func(context.Context, connectors.CreateRequest) (connectors.Record, error)
	change     func(context.Context, connectors.ChangeRequest) (connectors.Record, error)
	end        func(context.Context, connectors.EndRequest) (connectors.Record, error)
	changes    func(context.Context, string) (connectors.Changes, error)
	canonical  func(kind, field string, v model.Value) model.Value
}

func straight(e everything) *bent {
	return &bent{e, e.Descriptor, e.Check, e.List, e.Read, e.Create, e.Change, e.End, e.Changes, e.Canonical}
}

func (b *bent) Descriptor() connectors.Descriptor { return b.descriptor() }
func (b *bent) Check(ctx context.Context) (connectors.Report, error) {
	return b.check(ctx)
}
func (b *bent) List(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
	return b.list(ctx, r, yield)
}
func (b *bent) Read(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
	return b.read(ctx, r)
}
func (b *bent) Create(ctx context.Context, r connectors.CreateRequest) (connectors.Record, error) {
	return b.create(ctx, r)
}
func (b *bent) Change(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
	return b.change(ctx, r)
}
func (b *bent) End(ctx context.Context, r connectors.EndRequest) (connectors.Record, error) {
	return b.end(ctx, r)
}
func (b *bent) Changes(ctx context.Context, since string) (connectors.Changes, error) {
	return b.changes(ctx, since)
}
func (b *bent) Canonical(kind, field string, v model.Value) model.Value {
	return b.canonical(kind, field, v)
}

// without hides every ability but the mandatory ones.
type without struct{ connectors.Connector }

// broken is a connector with one fault of its own, the scenario that has to notice, and a part of what it has to say.
type broken struct {
	name     string
	scenario string
	says     string
	bend     func(b *bent, log *zap.Logger)
}

func ofKind(d connectors.Descriptor, name string, alter func(*connectors.Kind)) connectors.Descriptor {
	d.Kinds = slices.Clone(d.Kinds)
	for i := range d.Kinds {
		if d.Kinds[i].Name == name {
			d.Kinds[i].Fields = slices.Clone(d.Kinds[i].Fields)
			d.Kinds[i].Abilities = slices.Clone(d.Kinds[i].Abilities)
			alter(&d.Kinds[i])
		}
	}
	return d
}

// lies replaces the description of the kind "addition".
func lies(alter func(*connectors.Kind)) func(*bent, *zap.Logger) {
	return func(b *bent, _ *zap.Logger) {
		b.descriptor = func() connectors.Descriptor { return ofKind(b.everything.Descriptor(), "addition", alter) }
	}
}

// told replaces the records of a listing.
func told(alter func([]connectors.Record) []connectors.Record) func(*bent, *zap.Logger) {
	return func(b *bent, _ *zap.Logger) {
		b.list = func(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
			var records []connectors.Record
			listing, err := b.everything.List(ctx, r, func(rec connectors.Record) error { records = append(records, rec); return nil })
			if err != nil {
				return listing, err
			}
			records = alter(records)
			listing.Received = len(records)
			for _, rec := range records {
				if err := yield(rec); err != nil {
					return listing, err
				}
			}
			return listing, nil
		}
	}
}

// failed replaces the errors of reading and changing.
func failed(alter func(*connectors.Error) error) func(*bent, *zap.Logger) {
	return func(b *bent, _ *zap.Logger) {
		altered := func(err error) error {
			var e *connectors.Error
			if errors.As(err, &e) {
				return alter(e)
			}
			return err
		}
		b.read = func(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
			rec, err := b.everything.Read(ctx, r)
			return rec, altered(err)
		}
		b.change = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
			rec, err := b.everything.Change(ctx, r)
			return rec, altered(err)
		}
	}
}

// changed replaces what is asked of Change.
func changed(alter func(connectors.ChangeRequest) connectors.ChangeRequest) func(*bent, *zap.Logger) {
	return func(b *bent, _ *zap.Logger) {
		b.change = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
			r.Edits = maps.Clone(r.Edits)
			return b.everything.Change(ctx, alter(r))
		}
	}
}

func fed(alter func(since string, c connectors.Changes) connectors.Changes) func(*bent, *zap.Logger) {
	return func(b *bent, _ *zap.Logger) {
		b.changes = func(ctx context.Context, since string) (connectors.Changes, error) {
			c, err := b.everything.Changes(ctx, since)
			return alter(since, c), err
		}
	}
}

var brokenConnectors = []broken{
	{"hides a kind's parent order", "descriptor", "comes before its parent", func(b *bent, _ *zap.Logger) {
		b.descriptor = func() connectors.Descriptor {
			d := b.everything.Descriptor()
			d.Kinds = slices.Clone(d.Kinds)
			slices.Reverse(d.Kinds)
			return d
		}
	}},
	{"promises no feed", "descriptor", "Feed is false", func(b *bent, _ *zap.Logger) {
		b.descriptor = func() connectors.Descriptor { d := b.everything.Descriptor(); d.Feed = false; return d }
	}},
	{"does not state that it ends", "descriptor", "no kind states it", lies(func(k *connectors.Kind) {
		k.Abilities = slices.DeleteFunc(k.Abilities, func(a connectors.Ability) bool { return a == connectors.AbilityEnd })
	})},
	{"requires what may not be sent", "descriptor", "may not be sent", lies(func(k *connectors.Kind) {
		k.Fields[0].Required = true
	})},
	{"declares another type", "fields", "declared money", lies(func(k *connectors.Kind) { k.Fields[2].Type = model.TypeMoney })},
	{"declares a field that never comes", "fields", "no record delivers it", lies(func(k *connectors.Kind) {
		k.Fields = append(k.Fields, connectors.Field{Name: "ghost", Type: model.TypeText, Doc: "Never seen."})
	})},
	{"delivers an undeclared field", "fields", "not declared", told(func(records []connectors.Record) []connectors.Record {
		for _, rec := range records {
			rec.Fields["surprise"] = model.Text("x")
		}
		return records
	})},
	{"delivers fields without a value", "fields", `is "", declared`, told(func(records []connectors.Record) []connectors.Record {
		for _, rec := range records {
			rec.Fields["id"] = model.Value{}
		}
		return records
	})},
	{"does not know who it is", "check", "who we are", func(b *bent, _ *zap.Logger) {
		b.check = func(context.Context) (connectors.Report, error) { return connectors.Report{}, nil }
	}},
	{"buries a missing right", "check", "after granted", func(b *bent, _ *zap.Logger) {
		b.check = func(context.Context) (connectors.Report, error) {
			return connectors.Report{Identity: "x", Rights: []connectors.Right{{Name: "a", Granted: true}, {Name: "b", Reason: "no"}}}, nil
		}
	}},
	{"drops the last record", "listing", "the world holds 5", told(func(records []connectors.Record) []connectors.Record {
		return records[:max(0, len(records)-1)]
	})},
	{"lists in another order each time", "listing", "another order", func(b *bent, log *zap.Logger) {
		odd := make(chan bool, 1)
		odd <- false
		told(func(records []connectors.Record) []connectors.Record {
			flip := <-odd
			odd <- !flip
			if flip {
				slices.Reverse(records)
			}
			return records
		})(b, log)
	}},
	{"tells the wrong parent's records", "listing-by-parent", "another order", func(b *bent, _ *zap.Logger) {
		b.list = func(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
			r.Parents = nil
			return b.everything.List(ctx, r, yield)
		}
	}},
	{"goes on after enough", "listing-stops", "called 5 times", func(b *bent, _ *zap.Logger) {
		b.list = func(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
			var first error
			listing, err := b.everything.List(ctx, r, func(rec connectors.Record) error {
				if err := yield(rec); first == nil {
					first = err
				}
				return nil
			})
			return listing, errors.Join(err, first)
		}
	}},
	{"calls every listing complete", "incomplete-listing", "nothing says so", func(b *bent, _ *zap.Logger) {
		b.list = func(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
			listing, err := b.everything.List(ctx, r, yield)
			listing.Gaps = nil
			return listing, err
		}
	}},
	{"blames the wrong parent for a gap", "incomplete-listing", "nothing says so", func(b *bent, _ *zap.Logger) {
		b.list = func(ctx context.Context, r connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
			listing, err := b.everything.List(ctx, r, yield)
			for i := range listing.Gaps {
				listing.Gaps[i].Parent = "a0"
			}
			return listing, err
		}
	}},
	{"reads something else than it lists", "read", "fields of", func(b *bent, _ *zap.Logger) {
		b.read = func(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
			rec, err := b.everything.Read(ctx, r)
			if err == nil {
				rec.Fields["id"] = model.Text("another")
			}
			return rec, err
		}
	}},
	{"returns bare errors", "read", "is not a *connectors.Error", failed(func(e *connectors.Error) error { return errors.New(e.Error()) })},
	{"calls what is gone invalid", "read", `class "invalid"`, failed(func(e *connectors.Error) error { e.Class = connectors.ClassInvalid; return e })},
	{"tells no changes", "feed", "moved, but the feed tells", fed(func(_ string, c connectors.Changes) connectors.Changes {
		c.Records = nil
		return c
	})},
	{"repeats changes for ever", "feed", "does not fall silent", fed(func(since string, c connectors.Changes) connectors.Changes {
		if since != "" {
			c.Cursor = since
		}
		return c
	})},
	{"follows any cursor", "feed", "nobody gave out", fed(func(_ string, c connectors.Changes) connectors.Changes {
		c.Scan = nil
		return c
	})},
	{"resets a neighbour", "change", "was not meant", changed(func(r connectors.ChangeRequest) connectors.ChangeRequest {
		if _, meant := r.Edits["lessIncluded"]; !meant && r.Ref.Kind == "addition" {
			r.Edits["lessIncluded"] = connectors.Edit{To: model.Int(2)}
		}
		return r
	})},
	{"does not change", "change", "reads back as", changed(func(r connectors.ChangeRequest) connectors.ChangeRequest {
		delete(r.Edits, "quantity")
		return r
	})},
	{"returns what it was sent", "change", "changed and read", func(b *bent, _ *zap.Logger) {
		b.change = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
			rec, err := b.everything.Change(ctx, r)
			for name, e := range r.Edits {
				if err == nil {
					rec.Fields[name] = e.To
				}
			}
			return rec, err
		}
	}},
	{"drops what it cannot write", "refuse-change", "no error", changed(func(r connectors.ChangeRequest) connectors.ChangeRequest {
		delete(r.Edits, "billedQuantity")
		return r
	})},
	{"asks before it refuses", "refuse-change", "requests were sent", func(b *bent, _ *zap.Logger) {
		b.change = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
			if _, err := b.everything.Read(ctx, r.Ref); err != nil {
				return connectors.Record{}, err
			}
			return b.everything.Change(ctx, r)
		}
	}},
	{"does not say that it rounds", "settle", "second plan is not empty", func(b *bent, _ *zap.Logger) {
		b.canonical = func(_, _ string, v model.Value) model.Value { return v }
	}},
	{"creates without a required field", "create", "no error", func(b *bent, _ *zap.Logger) {
		b.create = func(ctx context.Context, r connectors.CreateRequest) (connectors.Record, error) {
			if r.Fields["effectiveDate"].Blank() && r.Kind == "addition" {
				r.Fields = r.Fields.Clone()
				r.Fields["effectiveDate"] = model.DayValue(model.NewDay(2031, 1, 1))
			}
			return b.everything.Create(ctx, r)
		}
	}},
	{"creates twice", "create", "had 2 effects", func(b *bent, _ *zap.Logger) {
		b.create = func(ctx context.Context, r connectors.CreateRequest) (connectors.Record, error) {
			if _, err := b.everything.Create(ctx, r); err != nil {
				return connectors.Record{}, err
			}
			r.Key += "-again"
			return b.everything.Create(ctx, r)
		}
	}},
	{"ends a day later each time", "end", "ending addition again had 1 effects", func(b *bent, _ *zap.Logger) {
		b.end = func(ctx context.Context, r connectors.EndRequest) (connectors.Record, error) {
			rec, err := b.everything.Read(ctx, r.Ref)
			if last, ok := rec.Fields["cancelledDate"].Day(); ok && err == nil {
				r.Last = last.Add(1)
			}
			r.Key += rec.Fields["cancelledDate"].String()
			return b.everything.End(ctx, r)
		}
	}},
	{"overwrites a person's edit", "stale-write", "no error", changed(func(r connectors.ChangeRequest) connectors.ChangeRequest {
		for name, e := range r.Edits {
			r.Edits[name] = connectors.Edit{To: e.To}
		}
		return r
	})},
	{"forgets its keys", "lost-answer", "had 2 effects in all", func(b *bent, _ *zap.Logger) {
		b.create = func(ctx context.Context, r connectors.CreateRequest) (connectors.Record, error) {
			r.Key = newKey()
			return b.everything.Create(ctx, r)
		}
	}},
	{"creates again when the reply is lost", "lost-answer", "had 2 effects, want 1", func(b *bent, _ *zap.Logger) {
		b.create = func(ctx context.Context, r connectors.CreateRequest) (connectors.Record, error) {
			rec, err := b.everything.Create(ctx, r)
			if connectors.ClassOf(err) == connectors.ClassUnknown {
				r.Key = newKey()
				return b.everything.Create(ctx, r)
			}
			return rec, err
		}
	}},
	{"calls a lost reply a failure", "lost-answer", `class "transient"`, failed(func(e *connectors.Error) error {
		if e.Class == connectors.ClassUnknown {
			e.Class = connectors.ClassTransient
		}
		return e
	})},
	{"takes refused credentials for a bad day", "auth", `class "transient"`, failed(func(e *connectors.Error) error {
		if e.Class == connectors.ClassAuth {
			e.Class = connectors.ClassTransient
		}
		return e
	})},
	{"does not say how long to wait", "limited", "not for how long", failed(func(e *connectors.Error) error { e.RetryAfter = 0; return e })},
	{"does not listen to its caller", "cancel", "gave up", func(b *bent, _ *zap.Logger) {
		b.read = func(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
			deaf, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer stop()
			return b.everything.Read(deaf, r)
		}
	}},
	{"puts its token into errors", "secrets", "planted secret is seen", failed(func(e *connectors.Error) error { e.Message += " (token " + planted + ")"; return e })},
	{"puts its token into the log", "secrets", "planted secret is seen", func(b *bent, log *zap.Logger) {
		b.check = func(ctx context.Context) (connectors.Report, error) {
			log.Debug("signing in", zap.String("authorization", "Bearer "+planted))
			return b.everything.Check(ctx)
		}
	}},
	{"rounds again and again", "canonical", "and then", func(b *bent, _ *zap.Logger) {
		b.canonical = func(_, _ string, v model.Value) model.Value {
			if v.Type() == model.TypeText && strings.HasSuffix(v.String(), " ") {
				return model.Text(strings.TrimSuffix(v.String(), " "))
			}
			return v
		}
	}},
	{"makes something of nothing", "canonical", "becomes", func(b *bent, _ *zap.Logger) {
		b.canonical = func(_, _ string, v model.Value) model.Value {
			if v.Type() == model.TypeQuantity && v.Blank() {
				return model.Int(0)
			}
			return v
		}
	}},
}

// A suite that cannot fail proves nothing: each broken connector is noticed by the scenario that is meant for it.
func TestBrokenConnectorsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, b := range brokenConnectors {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			err := findScenario(t, b.scenario).run(&bench{T: t, subject: reference(func(e everything, log *zap.Logger) connectors.Connector {
				c := straight(e)
				b.bend(c, log)
				return c
			})})
			if err == nil || !strings.Contains(err.Error(), b.says) {
				t.Errorf("scenario %s has to say %q, and says: %v", b.scenario, b.says, err)
			}
		})
	}
}

// Every scenario is known to notice something; three of them have tests of their own.
func TestEveryScenarioCanFail(t *testing.T) {
	t.Parallel()
	elsewhere := []string{"leaks", "schedule", "status-classes"}
	for _, sc := range scenarios {
		if !slices.Contains(elsewhere, sc.name) && !slices.ContainsFunc(brokenConnectors, func(b broken) bool { return b.scenario == sc.name }) {
			t.Errorf("no broken connector shows that scenario %q can fail", sc.name)
		}
	}
}

func findScenario(t *testing.T, name string) scenario {
	t.Helper()
	i := slices.IndexFunc(scenarios, func(sc scenario) bool { return sc.name == name })
	if i < 0 {
		t.Fatalf("no scenario %q", name)
	}
	return scenarios[i]
}

func TestStatedAbilityWithoutCode(t *testing.T) {
	t.Parallel()
	err := descriptor(&bench{T: t, subject: reference(func(e everything, _ *zap.Logger) connectors.Connector { return without{e} })})
	if err == nil || !strings.Contains(err.Error(), `ability "create" is stated, but`) {
		t.Errorf("a connector without its stated methods went unnoticed: %v", err)
	}
}

// Not parallel: it counts goroutines.
func TestLeakIsNoticed(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	err := leaks(&bench{T: t, subject: reference(func(e everything, _ *zap.Logger) connectors.Connector {
		c := straight(e)
		c.read = func(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
			go func() { <-forever }()
			return e.Read(ctx, r)
		}
		return c
	})})
	if err == nil || !strings.Contains(err.Error(), "left running") {
		t.Errorf("a leak went unnoticed: %v", err)
	}
}

// A connector that sorts each status by a table of its own passes with the right table, and not with a wrong line in it.
func TestStatusClasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		wrong int
		says  string
	}{{0, ""}, {404, `class "limited", want one of ["missing"]`}, {500, `class "limited", want one of ["unknown"]`}} {
		s := reference(func(e everything, _ *zap.Logger) connectors.Connector { return straight(e) })
		build := s.New
		s.New = func(t testing.TB, log *zap.Logger) Instance {
			in := build(t, log)
			c := in.Connector.(*bent)
			var code int
			var writesOnly bool
			in.Answer = func(status int, writes bool) { code, writesOnly = status, writes }
			refused := func(write bool) error {
				if code == 0 || (writesOnly && !write) {
					return nil
				}
				line := statuses[slices.IndexFunc(statuses, func(s status) bool { return s.code == code })]
				e := &connectors.Error{Op: "ask"}
				if e.Class = connectors.ClassLimited; code != tt.wrong && write {
					e.Class = line.write[0]
				} else if code != tt.wrong {
					e.Class = line.read[0]
				}
				return e
			}
			c.read = func(ctx context.Context, r connectors.Ref) (connectors.Record, error) {
				if err := refused(false); err != nil {
					return connectors.Record{}, err
				}
				return c.everything.Read(ctx, r)
			}
			c.create = func(context.Context, connectors.CreateRequest) (connectors.Record, error) {
				return connectors.Record{}, refused(true)
			}
			c.change = func(context.Context, connectors.ChangeRequest) (connectors.Record, error) {
				return connectors.Record{}, refused(true)
			}
			c.end = func(context.Context, connectors.EndRequest) (connectors.Record, error) {
				return connectors.Record{}, refused(true)
			}
			return in
		}
		err := statusClasses(&bench{T: t, subject: s})
		if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("wrong line %d: want %q, got %v", tt.wrong, tt.says, err)
		}
	}
}

// A fault that the subject neither has nor skips is not left out in silence.
func TestMissingFaultIsSaid(t *testing.T) {
	t.Parallel()
	s := reference(func(e everything, _ *zap.Logger) connectors.Connector { return e })
	delete(s.Skips, HTMLAnswer)
	err := incompleteListing(&bench{T: t, subject: s})
	if err == nil || !strings.Contains(err.Error(), HTMLAnswer) {
		t.Errorf("want a complaint about %s, got %v", HTMLAnswer, err)
	}
}

// A fault that troubles nothing proves nothing.
func TestIdleFaultIsSaid(t *testing.T) {
	t.Parallel()
	s := reference(func(e everything, _ *zap.Logger) connectors.Connector { return e })
	build := s.New
	s.New = func(t testing.TB, log *zap.Logger) Instance {
		in := build(t, log)
		in.Faults[CapPages] = func(bool) {}
		return in
	}
	err := incompleteListing(&bench{T: t, subject: s})
	if err == nil || !strings.Contains(err.Error(), "no listing was troubled") {
		t.Errorf("want a complaint about an idle fault, got %v", err)
	}
}

// Exceptions cannot rot: a name that means nothing, a missing reason and a skip of something that works are complaints.
func TestSkipsAreChecked(t *testing.T) {
	t.Parallel()
	s := reference(func(e everything, _ *zap.Logger) connectors.Connector { return e })
	if err := honest(&bench{T: t, subject: s}); err != nil {
		t.Errorf("the reference is not honest: %v", err)
	}
	for name, says := range map[string]string{
		"no-such-scenario": "no scenario, fault or field",
		"addition.ghost":   "no scenario, fault or field",
		Slow:               "there is a switch for it",
		"feed":             "has no reason",
	} {
		bad := s
		reason := "because"
		if name == "feed" {
			reason = ""
		}
		bad.Skips = map[string]string{name: reason}
		if err := honest(&bench{T: t, subject: bad}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("skip %q: want %q, got %v", name, says, err)
		}
	}
}
