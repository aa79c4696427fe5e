package connectortest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// refusal switches a fault on and expects one class of every call. A listing may put it into a gap, and Check into its
// report, because both can be answered in part.
func refusal(b *bench, fault string, class connectors.Class) error {
	ctx := b.Context()
	return b.faulted([]string{fault}, func(in *instance, set func(bool)) error {
		calls, err := in.calls(ctx)
		if err != nil {
			return err
		}
		var c complaints
		set(true)
		defer set(false)
		for _, call := range calls {
			_, effects, err := in.counted(func() error { return call.do(ctx) })
			if kind, isList := strings.CutPrefix(call.name, "list "); isList && err == nil {
				_, listing, _ := in.list(ctx, connectors.ListRequest{Kind: kind})
				if !slices.ContainsFunc(listing.Gaps, func(g connectors.Gap) bool { return g.Class == class }) {
					c.add("%s: no error, and no gap of class %q: %+v", call.name, class, listing.Gaps)
				}
			} else if call.name == "check" && err == nil {
				if report, _ := in.Connector.Check(ctx); len(report.Missing()) == 0 {
					c.add("check: no error, and no right is missing")
				}
			} else {
				c.wrap("refused", hasClass(call.name, err, class))
				var e *connectors.Error
				if errors.As(err, &e) && class == connectors.ClassLimited && e.RetryAfter <= 0 {
					c.add("%s: limited, but not for how long", call.name)
				}
			}
			if effects != 0 {
				c.add("%s had %d effects", call.name, effects)
			}
		}
		return c.err()
	})
}

func auth(b *bench) error    { return refusal(b, RejectCredentials, connectors.ClassAuth) }
func limited(b *bench) error { return refusal(b, Limited, connectors.ClassLimited) }

// status is what one HTTP status means for a read and for a write.
type status struct {
	code        int
	read, write []connectors.Class // nil when a server does not answer so
}

func one(c ...connectors.Class) []connectors.Class { return c }

var statuses = []status{
	{400, one(connectors.ClassInvalid), one(connectors.ClassInvalid)},
	{401, one(connectors.ClassAuth), one(connectors.ClassAuth)},
	{403, one(connectors.ClassAuth), one(connectors.ClassAuth)},
	{404, one(connectors.ClassMissing), one(connectors.ClassMissing)},
	{408, one(connectors.ClassTransient), one(connectors.ClassUnknown)},
	{409, nil, one(connectors.ClassStale)},
	{410, one(connectors.ClassMissing), one(connectors.ClassMissing)},
	{412, nil, one(connectors.ClassStale)},
	{422, one(connectors.ClassInvalid), one(connectors.ClassInvalid)},
	{429, one(connectors.ClassLimited), one(connectors.ClassLimited)},
	{500, one(connectors.ClassTransient), one(connectors.ClassUnknown)},
	{502, one(connectors.ClassTransient), one(connectors.ClassUnknown)},
	{503, one(connectors.ClassTransient), one(connectors.ClassUnknown, connectors.ClassTransient)},
	{504, one(connectors.ClassTransient), one(connectors.ClassUnknown)},
}

// statusClasses has one table for all systems; what a system means by a status of its own is in the subject.
func statusClasses(b *bench) error {
	if in := b.fresh(); in.Answer == nil {
		return errors.New("the subject has no Answer and does not skip the scenario")
	}
	names, err := b.fresh().writes(b.Context())
	if err != nil {
		return err
	}
	type outcome struct {
		status int
		err    error
	}
	outcomes := make(chan outcome)
	for _, s := range statuses {
		if own, ok := b.subject.Statuses[s.code]; ok {
			s.read, s.write = own, own
		}
		// One instance for each request: a connector that was told to wait may wait with everything it is asked next.
		reading, writing := b.fresh(), make([]*instance, len(names))
		for i := range writing {
			writing[i] = b.fresh()
		}
		go func() {
			var c complaints
			c.wrap("read", answeredRead(b.Context(), reading, s))
			for i, in := range writing {
				c.wrap("write", answeredWrite(b.Context(), in, i, s))
			}
			outcomes <- outcome{s.code, c.err()}
		}()
	}
	byStatus := map[int]error{}
	for range statuses {
		o := <-outcomes
		byStatus[o.status] = o.err
	}
	var c complaints
	for _, s := range statuses {
		c.wrap(fmt.Sprintf("status %d", s.code), byStatus[s.code])
	}
	return c.err()
}

func answeredRead(ctx context.Context, in *instance, s status) error {
	readable := in.kindsThat(connectors.AbilityRead)
	if s.read == nil || len(readable) == 0 {
		return nil
	}
	in.Answer(s.code, false)
	_, err := in.read(ctx, in.Kinds[readable[0].Name].Ref)
	return hasClass("read", err, s.read...)
}

func answeredWrite(ctx context.Context, in *instance, i int, s status) error {
	writes, err := in.writes(ctx)
	if err != nil {
		return err
	}
	in.Answer(s.code, true)
	_, effects, err := in.counted(func() error { return writes[i].do(ctx) })
	if effects != 0 {
		return fmt.Errorf("%s had %d effects", writes[i].name, effects)
	}
	return hasClass(writes[i].name, err, s.write...)
}

// prompt is how long a caller that gave up may have to wait; patience is when it gives up.
const (
	prompt   = time.Second
	patience = 50 * time.Millisecond
)

// cancel gives up before asking, and while a system that never answers is being asked.
func cancel(b *bench) error {
	return b.faulted([]string{Slow}, func(in *instance, set func(bool)) error {
		calls, err := in.calls(b.Context())
		if err != nil {
			return err
		}
		var c complaints
		over, stop := context.WithCancel(b.Context())
		stop()
		for _, call := range calls {
			_, effects, err := in.counted(func() error { return call.do(over) })
			c.wrap("asked after giving up", stopped(call, err, context.Canceled))
			if effects != 0 {
				c.add("%s had %d effects after its caller had given up", call.name, effects)
			}
		}
		set(true)
		defer set(false)
		for _, call := range calls {
			c.wrap("never answered", givesUp(b.Context(), call))
		}
		return c.err()
	})
}

func givesUp(ctx context.Context, call call) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- call.do(ctx) }()
	late := time.NewTimer(patience + prompt)
	defer late.Stop()
	select {
	case err := <-done:
		return stopped(call, err, context.DeadlineExceeded)
	case <-late.C:
		return fmt.Errorf("%s had not come back %s after its caller gave up", call.name, prompt)
	}
}

// stopped wants an error that says so. Of a write nobody knows what became of it, unless nothing had been sent.
func stopped(call call, err, cause error) error {
	classes := one(connectors.ClassTransient)
	if call.write {
		classes = one(connectors.ClassTransient, connectors.ClassUnknown)
	}
	if err := hasClass(call.name, err, classes...); err != nil {
		return err
	}
	if !errors.Is(err, cause) {
		return fmt.Errorf("%s: errors.Is does not find %q in: %w", call.name, cause, err)
	}
	return nil
}

// secrets makes as many things go wrong as it can and reads everything that was said about it.
func secrets(b *bench) error {
	var c complaints
	c.wrap("untroubled", speaks(b, b.fresh(), func(bool) {}))
	c.wrap("secrets", b.faulted(faults, func(in *instance, set func(bool)) error { return speaks(b, in, set) }))
	return c.err()
}

// speaks makes every call with a fault on, and looks for secrets in what was said.
func speaks(b *bench, in *instance, set func(bool)) error {
	calls, err := in.calls(b.Context())
	if err != nil {
		return err
	}
	if len(in.Secrets) == 0 {
		return errors.New("the subject plants no secret and does not skip the scenario")
	}
	set(true)
	defer set(false)
	said := []string{fmt.Sprintf("%+v", in.descriptor), fmt.Sprintf("%+v", in.Connector), fmt.Sprintf("%#v", in.Connector)}
	within := func(f func(context.Context)) {
		ctx, stop := context.WithTimeout(b.Context(), 2*patience)
		defer stop()
		f(ctx)
	}
	for _, call := range calls {
		within(func(ctx context.Context) {
			if err := call.do(ctx); err != nil {
				said = append(said, fmt.Sprintf("%v %+v %#v", err, err, err))
			}
		})
	}
	within(func(ctx context.Context) {
		report, err := in.Connector.Check(ctx)
		said = append(said, fmt.Sprintf("%+v %v", report, err))
	})
	for _, entry := range in.logs.All() {
		said = append(said, fmt.Sprintf("%s %s %v", entry.LoggerName, entry.Message, entry.ContextMap()))
	}
	var c complaints
	for _, secret := range in.Secrets {
		for _, text := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if i := slices.IndexFunc(said, func(s string) bool { return strings.Contains(s, text) }); i >= 0 {
				c.add("a planted secret is seen in: %.120s", strings.ReplaceAll(said[i], text, "<here>"))
				break
			}
		}
	}
	return c.err()
}

// leaks uses a connector, closes its world, and counts what is left running.
func leaks(b *bench) error {
	before := goleak.IgnoreCurrent()
	var c complaints
	b.Run("use", func(t *testing.T) {
		in := b.freshFor(t)
		ctx := t.Context()
		enough := errors.New("enough")
		for _, k := range in.kindsThat(connectors.AbilityList) {
			_, err := in.listAll(ctx, k.Name)
			c.wrap("list", err)
			_, err = in.Connector.(connectors.Lister).List(ctx, connectors.ListRequest{Kind: k.Name}, func(connectors.Record) error { return enough })
			if !errors.Is(err, enough) {
				c.add("list %s: yield's error did not come back: %v", k.Name, err)
			}
		}
		calls, err := in.calls(ctx)
		c.wrap("prepare", err)
		set, err := b.fault(in, Slow)
		c.wrap("prepare", err)
		if set == nil {
			return
		}
		set(true)
		defer set(false)
		for _, call := range calls {
			c.wrap("give up", givesUp(ctx, call))
		}
	})
	c.wrap("left running", goleak.Find(before))
	return c.err()
}

// canonical draws values for every declared field. What the system made of a value it leaves alone the second time, the
// type stays, and nothing is made out of nothing.
func canonical(b *bench) error {
	in := b.fresh()
	canonicalizer, ok := in.Connector.(connectors.Canonicalizer)
	if !ok {
		return nil
	}
	var c complaints
	for _, kind := range in.descriptor.Kinds {
		for _, f := range append(slices.Clone(kind.Fields), writableFields(kind)...) {
			for _, nothing := range []model.Value{{}, model.Empty(f.Type)} {
				if made := canonicalizer.Canonical(kind.Name, f.Name, nothing); made != nothing {
					c.add("%s.%s: nothing (type %q) becomes %s %q", kind.Name, f.Name, nothing.Type(), made.Type(), made)
				}
			}
		}
	}
	c.wrap("drawn values", ask(b.Name(), func(t *rapid.T) {
		for _, kind := range in.descriptor.Kinds {
			for _, f := range append(slices.Clone(kind.Fields), writableFields(kind)...) {
				v := value(f).Draw(t, kind.Name+"."+f.Name)
				once := canonicalizer.Canonical(kind.Name, f.Name, v)
				if twice := canonicalizer.Canonical(kind.Name, f.Name, once); twice != once {
					t.Fatalf("%s.%s: %q becomes %q, and then %q", kind.Name, f.Name, v, once, twice)
				}
				if once.Type() != v.Type() {
					t.Fatalf("%s.%s: %s %q becomes %s %q", kind.Name, f.Name, v.Type(), v, once.Type(), once)
				}
			}
		}
	}))
	return c.err()
}

// value draws a value that a field can hold.
func value(f connectors.Field) *rapid.Generator[model.Value] {
	return rapid.Custom(func(t *rapid.T) model.Value {
		text := rapid.StringMatching(`[ \t\x{200B}aZ9é&.,-]{0,80}`)
		number := rapid.StringMatching(`-?[0-9]{1,7}\.[0-9]{1,11}`)
		var s string
		switch f.Type {
		case model.TypeText:
			return model.Text(text.Draw(t, "text"))
		case model.TypeList:
			return model.List(rapid.SliceOf(text).Draw(t, "list")...)
		case model.TypeQuantity:
			s = number.Draw(t, "quantity")
		case model.TypeMoney:
			s = number.Draw(t, "amount") + " " + rapid.SampledFrom([]string{"GBP", "JPY", "KWD"}).Draw(t, "currency")
		case model.TypeDay:
			return model.DayValue(model.NewDay(2031, 1, rapid.IntRange(1, 2000).Draw(t, "day")))
		case model.TypeInstant:
			return model.Instant(time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "second"), rapid.Int64Range(0, 999999999).Draw(t, "nano")))
		case model.TypeBool:
			return model.Bool(rapid.Bool().Draw(t, "bool"))
		}
		v, err := model.Parse(f.Type, s)
		if err != nil {
			t.Fatalf("the suite drew a bad value: %v", err)
		}
		return v
	})
}
