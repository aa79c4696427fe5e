package connectortest

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/model"
)

// buyable is what the vendor in memory can do.
type buyable interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Changer
	connectors.Scheduler
}

// bentVendor is the vendor in memory with some of its methods replaced.
type bentVendor struct {
	buyable
	schedule func(context.Context, connectors.ChangeRequest) (connectors.Record, error)
	change   func(context.Context, connectors.ChangeRequest) (connectors.Record, error)
}

func (b *bentVendor) Schedule(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
	return b.schedule(ctx, r)
}
func (b *bentVendor) Change(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
	return b.change(ctx, r)
}

const scheduledSeats = "scheduledNextTermInstructions.quantity"

// vendorBench is the scenario's bench over a bent vendor with one customer and one subscription.
func vendorBench(t *testing.T, bend func(*bentVendor)) *bench {
	return &bench{T: t, subject: Subject{New: func(t testing.TB, _ *zap.Logger) Instance {
		w := memory.NewVendor(memory.Options{Now: func() time.Time { return time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC) }})
		for _, rec := range []connectors.Record{{Kind: "customer", ID: "c1"}, {Kind: "subscription", ID: "s1", Parent: "c1", Fields: model.Fields{"quantity": model.Int(9)}}} {
			if _, err := w.Add(rec); err != nil {
				t.Fatal(err)
			}
		}
		c := w.Connect().(buyable)
		b := &bentVendor{c, c.Schedule, c.Change}
		bend(b)
		return Instance{Connector: b, Requests: func() int { return len(w.Requests()) }, Effects: w.TotalEffects, Kinds: map[string]Kind{
			"customer": {}, "price": {},
			"subscription": {Ref: connectors.Ref{Kind: "subscription", ID: "s1", Parent: "c1"}, Missing: connectors.Ref{Kind: "subscription", ID: "none", Parent: "c1"}},
		}}
	}}}
}

// Each way to get scheduling wrong is noticed.
func TestBrokenSchedulersAreNoticed(t *testing.T) {
	t.Parallel()
	asked := func(alter func(connectors.ChangeRequest) connectors.ChangeRequest) func(*bentVendor) {
		return func(b *bentVendor) {
			b.schedule = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				r.Edits = maps.Clone(r.Edits)
				return b.buyable.Schedule(ctx, alter(r))
			}
		}
	}
	for _, tt := range []struct {
		name, says string
		bend       func(*bentVendor)
	}{
		{"as it should be", "", func(*bentVendor) {}},
		{"schedules nothing", "had 0 effects", asked(func(r connectors.ChangeRequest) connectors.ChangeRequest {
			delete(r.Edits, scheduledSeats)
			return r
		})},
		{"overwrites what a person scheduled", "no error, want class [\"stale\"]", asked(func(r connectors.ChangeRequest) connectors.ChangeRequest {
			for name, e := range r.Edits {
				r.Edits[name] = connectors.Edit{To: e.To}
			}
			return r
		})},
		{"schedules again what is scheduled", "scheduling the same again had 2 effects", func(b *bentVendor) {
			b.schedule = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				anew := connectors.ChangeRequest{Ref: r.Ref, Key: r.Key, Edits: map[string]connectors.Edit{}}
				for name, e := range r.Edits {
					if err := withdraw(ctx, b.buyable, r, name, e); err != nil {
						return connectors.Record{}, err
					}
					anew.Edits[name] = connectors.Edit{To: e.To}
				}
				return b.buyable.Schedule(ctx, anew)
			}
		}},
		{"lowers at once", "before the term ended", func(b *bentVendor) {
			b.schedule = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				rec, err := b.buyable.Schedule(ctx, r)
				if e, ok := r.Edits[scheduledSeats]; ok && err == nil && !e.To.Blank() {
					return b.buyable.Change(ctx, connectors.ChangeRequest{Ref: r.Ref, Key: r.Key + "-now", Edits: map[string]connectors.Edit{"quantity": {To: e.To}}})
				}
				return rec, err
			}
		}},
		{"loses the schedule with a change", "inside the term left", func(b *bentVendor) {
			b.change = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				if _, err := b.buyable.Change(ctx, r); err != nil {
					return connectors.Record{}, err
				}
				return b.buyable.Schedule(ctx, connectors.ChangeRequest{Ref: r.Ref, Key: r.Key + "-lost", Edits: map[string]connectors.Edit{scheduledSeats: {To: model.Empty(model.TypeQuantity)}}})
			}
		}},
		{"cannot withdraw", "withdrawing: it reads back as", asked(func(r connectors.ChangeRequest) connectors.ChangeRequest {
			for name, e := range r.Edits {
				if e.To.Blank() {
					delete(r.Edits, name)
				}
			}
			return r
		})},
		{"asks before it refuses", "requests were sent", func(b *bentVendor) {
			b.schedule = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				if _, err := b.Read(ctx, r.Ref); err != nil {
					return connectors.Record{}, err
				}
				return b.buyable.Schedule(ctx, r)
			}
		}},
		{"returns what it was sent", "scheduled and read", func(b *bentVendor) {
			b.schedule = func(ctx context.Context, r connectors.ChangeRequest) (connectors.Record, error) {
				rec, err := b.buyable.Schedule(ctx, r)
				if err == nil {
					rec.Fields["termEndAction"] = model.Text("elsewhere")
				}
				return rec, err
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := schedule(vendorBench(t, tt.bend))
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("want %q, got %v", tt.says, err)
			}
		})
	}
}

// withdraw takes back what is scheduled, if anything is, so that scheduling it once more has an effect.
func withdraw(ctx context.Context, c buyable, r connectors.ChangeRequest, name string, e connectors.Edit) error {
	rec, err := c.Read(ctx, r.Ref)
	if err != nil || rec.Fields[name] != e.To || e.To.Blank() {
		return nil // whatever is wrong with the request is for the real one to say
	}
	_, err = c.Schedule(ctx, connectors.ChangeRequest{Ref: r.Ref, Key: r.Key + "-withdraw", Edits: map[string]connectors.Edit{name: {To: model.Empty(e.To.Type())}}})
	return err
}

// A descriptor that states scheduling without rules, or the other way round, is not well formed.
func TestScheduledFieldsNeedTermRules(t *testing.T) {
	t.Parallel()
	kind, _ := memory.NewVendor(memory.Options{}).System().Descriptor.Kind("subscription")
	for _, tt := range []struct {
		says  string
		alter func(*connectors.Kind)
	}{
		{"", func(*connectors.Kind) {}},
		{"has no term rules", func(k *connectors.Kind) { k.Terms = nil }},
		{"exactly when it has scheduled fields", func(k *connectors.Kind) { k.Abilities = k.Abilities[:3] }},
		{"is not set by Change or Create", func(k *connectors.Kind) {
			for i := range k.Fields {
				k.Fields[i].Writable = k.Fields[i].Writable || k.Fields[i].Scheduled
			}
		}},
		{"cycle is longer than the term", func(k *connectors.Kind) {
			rules := *k.Terms
			rules.Terms = []model.Term{{Duration: "P1M", Billing: "annual"}}
			k.Terms = &rules
		}},
		{"below zero", func(k *connectors.Kind) { rules := *k.Terms; rules.CancelHours = -1; k.Terms = &rules }},
		{"when seats may be added", func(k *connectors.Kind) { rules := *k.Terms; rules.Increase = ""; k.Terms = &rules }},
	} {
		bent := ofKind(connectors.Descriptor{Kinds: []connectors.Kind{kind}}, "subscription", tt.alter).Kinds[0]
		var c complaints
		checkKind(&c, bent)
		if err := c.err(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("want %q, got %v", tt.says, err)
		}
	}
}
