package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func cursors(t *testing.T, b *bench) {
	ctx := t.Context()
	cursor, at, err := b.Cursor(ctx, "microsoft")
	ok(t, err)
	equal(t, "cursor before the first", []any{cursor, at}, []any{"", time.Time{}})
	ok(t, b.SetCursor(ctx, "microsoft", "page-1"))
	ok(t, b.SetCursor(ctx, "psa", "other"))
	later := b.clock.Advance(time.Minute)
	ok(t, b.SetCursor(ctx, "microsoft", "page-2"))
	cursor, at, err = b.Cursor(ctx, "microsoft")
	ok(t, err)
	equal(t, "cursor", []any{cursor, at}, []any{"page-2", later})
}

func sweeps(t *testing.T, b *bench) {
	ctx := t.Context()
	_, swept, err := b.Swept(ctx, "psa", "company")
	ok(t, err)
	equal(t, "swept before the first", swept, false)
	at := b.clock.Now().Add(-time.Hour)
	ok(t, b.SetSwept(ctx, "psa", "agreement", at.Add(time.Minute)))
	ok(t, b.SetSwept(ctx, "psa", "company", at.Add(-time.Minute)))
	ok(t, b.SetSwept(ctx, "psa", "company", at))
	got, swept, err := b.Swept(ctx, "psa", "company")
	ok(t, err)
	equal(t, "swept", []any{got, swept}, []any{at, true})
}

func times(t *testing.T, b *bench) {
	ctx := t.Context()
	at := time.Date(2031, 3, 30, 2, 30, 0, 7, time.FixedZone("", 3600))
	ok(t, b.SetSwept(ctx, "psa", "company", at))
	got, _, err := b.Swept(ctx, "psa", "company")
	ok(t, err)
	equal(t, "time", got.Format(time.RFC3339Nano), "2031-03-30T01:30:00.000000007Z")
}

func subscription(parent, id string, seats int64) connectors.Record {
	return connectors.Record{Kind: "subscription", Parent: parent, ID: id, Fields: model.Fields{
		"quantity": model.Int(seats), "friendlyName": model.Text("Plan " + id)}}
}

func refs(records ...connectors.Record) []connectors.Ref {
	var out []connectors.Ref
	for _, r := range records {
		out = append(out, connectors.Ref{Kind: r.Kind, Parent: r.Parent, ID: r.ID})
	}
	return out
}

// stream lists a kind as parent/id.
func stream(t testing.TB, b *bench, kind string, filter state.RecordFilter) []string {
	t.Helper()
	var got []string
	ok(t, b.Records(t.Context(), "microsoft", kind, filter, func(r state.Stored) error {
		got = append(got, r.Parent+"/"+r.ID)
		return nil
	}))
	return got
}

func recordsUnchanged(t *testing.T, b *bench) {
	ctx := t.Context()
	one, two := subscription("c1", "s1", 10), subscription("c1", "s2", 20)
	first := b.clock.Now()
	equal(t, "new", must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one, two}, "run-1")), 2)
	second := b.clock.Advance(time.Hour)
	two = subscription("c1", "s2", 21)
	equal(t, "changed", must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one, two}, "run-2")), 1)
	equal(t, "again", must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one, two}, "run-2")), 0)

	var got []state.Stored
	ok(t, b.Records(ctx, "microsoft", "subscription", state.RecordFilter{}, func(r state.Stored) error {
		got = append(got, r)
		return nil
	}))
	equal(t, "records", got, []state.Stored{
		{Record: one, SeenRun: "run-2", SeenAt: second, ChangedAt: first},
		{Record: two, SeenRun: "run-2", SeenAt: second, ChangedAt: second},
	})
	_, found, err := b.Record(ctx, "another", refs(one)[0])
	ok(t, err)
	equal(t, "in another account", found, false)

	// The system's own time of change is part of the content.
	one.Changed = first
	equal(t, "touched", must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one}, "run-3")), 1)
	stored, _, err := b.Record(ctx, "microsoft", refs(one)[0])
	ok(t, err)
	equal(t, "touched record", stored.Record, one)
}

func recordsExact(t *testing.T, b *bench) {
	ctx := t.Context()
	price, err := model.ParseMoney("12.3456789012345678901 EUR")
	ok(t, err)
	r := connectors.Record{Kind: "subscription", ID: "s:1/'\"%_", Changed: b.clock.Now(), Fields: model.Fields{
		"account":  model.Text("007"),
		"name":     model.Text(" <b>Müller & Søn</b> \u2028 \x00 日本 "),
		"nothing":  model.Empty(model.TypeDay),
		"list":     model.List("b", "a:c"),
		"price":    model.MoneyValue(price),
		"quantity": model.Int(-3),
		"day":      model.DayValue(model.NewDay(2032, 2, 29)),
		"moment":   model.Instant(b.clock.Now().Add(time.Nanosecond)),
		"on":       model.Bool(false),
	}}
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{r}, "run"))
	got, found, err := b.Record(ctx, "microsoft", connectors.Ref{Kind: r.Kind, ID: r.ID})
	ok(t, err)
	equal(t, "found", found, true)
	equal(t, "record", got.Record, r)
}

func recordsTwice(t *testing.T, b *bench) {
	ctx := t.Context()
	n := must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c1", "s1", 2)}, "run"))
	equal(t, "changed", n, 1)
	got, _, err := b.Record(ctx, "microsoft", connectors.Ref{Kind: "subscription", Parent: "c1", ID: "s1"})
	ok(t, err)
	equal(t, "quantity", got.Fields["quantity"], model.Int(2))
}

func recordsRefused(t *testing.T, b *bench) {
	bad := subscription("c1", "s2", 1)
	bad.Fields["quantity"] = model.Value{}
	_, err := b.UpsertRecords(t.Context(), "microsoft", []connectors.Record{subscription("c1", "s1", 1), bad}, "run")
	if err == nil || !strings.Contains(err.Error(), "subscription s2") {
		t.Errorf("a value that was not delivered: got %v, want an error naming the record", err)
	}
	if _, err := b.UpsertRecords(t.Context(), "microsoft", []connectors.Record{{Kind: "subscription"}}, "run"); err == nil {
		t.Error("a record without id was stored")
	}
	equal(t, "kept", stream(t, b, "subscription", state.RecordFilter{}), []string(nil))
}

func recordsFiltered(t *testing.T, b *bench) {
	ctx := t.Context()
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{
		subscription("c2", "s3", 1), subscription("c10", "s2", 1), subscription("c1", "s2", 1), subscription("c1", "s1", 1), subscription("C1", "s9", 1),
		{Kind: "customer", ID: "c1"},
	}, "run"))
	for _, c := range []struct {
		name   string
		filter state.RecordFilter
		want   []string
	}{
		{"all, in the order of bytes", state.RecordFilter{}, []string{"C1/s9", "c1/s1", "c1/s2", "c10/s2", "c2/s3"}},
		{"parents", state.RecordFilter{Parents: []string{"c2", "c1"}}, []string{"c1/s1", "c1/s2", "c2/s3"}},
		{"ids", state.RecordFilter{IDs: []string{"s2"}}, []string{"c1/s2", "c10/s2"}},
		{"both", state.RecordFilter{Parents: []string{"c1"}, IDs: []string{"s2", "s3"}}, []string{"c1/s2"}},
		{"no parents is nothing", state.RecordFilter{Parents: []string{}}, nil},
	} {
		equal(t, c.name, stream(t, b, "subscription", c.filter), c.want)
	}
	equal(t, "customers", stream(t, b, "customer", state.RecordFilter{}), []string{"/c1"})
}

func recordsLongFilter(t *testing.T, b *bench) {
	var all []connectors.Record
	var parents, want []string
	for i := range 1200 {
		parent := fmt.Sprintf("c%04d", i)
		all = append(all, subscription(parent, "s", 1))
		if i%2 == 0 {
			parents, want = append(parents, parent), append(want, parent+"/s")
		}
	}
	must[int](t)(b.UpsertRecords(t.Context(), "microsoft", all, "run"))
	equal(t, "parents", stream(t, b, "subscription", state.RecordFilter{Parents: parents}), want)
}

func startRun(t testing.TB, b *bench, name string) string {
	t.Helper()
	return must[state.Run](t)(b.StartRun(t.Context(), state.Run{Kind: state.RunDiscovery, Name: name, Trigger: state.TriggerManual})).ID
}

func recordsGone(t *testing.T, b *bench) {
	ctx := t.Context()
	one, two := subscription("c1", "s1", 1), subscription("c1", "s2", 2)
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one, two, {Kind: "customer", ID: "c1"}}, "run-1"))
	b.clock.Advance(time.Hour)
	run := startRun(t, b, "microsoft")
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one}, run))
	at := b.clock.Advance(time.Second)
	equal(t, "gone", must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", nil, nil, run)), refs(two))
	equal(t, "gone the second time", must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", nil, nil, run)), []connectors.Ref(nil))
	equal(t, "stream", stream(t, b, "subscription", state.RecordFilter{}), []string{"c1/s1"})
	equal(t, "stream with gone", stream(t, b, "subscription", state.RecordFilter{IncludeGone: true}), []string{"c1/s1", "c1/s2"})
	equal(t, "another kind", stream(t, b, "customer", state.RecordFilter{}), []string{"/c1"})
	got, _, err := b.Record(ctx, "microsoft", refs(two)[0])
	ok(t, err)
	equal(t, "gone record", []any{got.Gone, got.Record}, []any{at, two})

	back := b.clock.Advance(time.Hour)
	equal(t, "back", must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{two}, "run-3")), 1)
	got, _, err = b.Record(ctx, "microsoft", refs(two)[0])
	ok(t, err)
	equal(t, "record that is back", got, state.Stored{Record: two, SeenRun: "run-3", SeenAt: back, ChangedAt: back})
}

// A listing with a gap proves nothing about the parent in the gap; a listing of some parents nothing about the others.
func recordsGoneParents(t *testing.T, b *bench) {
	ctx := t.Context()
	one, two, three := subscription("c1", "s1", 1), subscription("c2", "s2", 2), subscription("c3", "s3", 3)
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{one, two, three}, "run-1"))
	b.clock.Advance(time.Hour)
	run := startRun(t, b, "microsoft")
	gone := func(parents, except []string) []connectors.Ref {
		return must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", parents, except, run))
	}
	equal(t, "no parents", gone([]string{}, nil), []connectors.Ref(nil))
	equal(t, "listed parents without those in a gap", gone([]string{"c1", "c2"}, []string{"c2"}), refs(one))
	equal(t, "all without those in a gap", gone(nil, []string{"c3"}), refs(two))
	equal(t, "stream", stream(t, b, "subscription", state.RecordFilter{}), []string{"c3/s3"})
}

// While one run lists, another reads a record back that it has just written. The first must not call it gone.
func recordsGoneOverlap(t *testing.T, b *bench) {
	ctx := t.Context()
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1)}, "run-0"))
	b.clock.Advance(time.Hour)
	sweep := startRun(t, b, "microsoft")
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c1", "s2", 1)}, "run-other"))
	equal(t, "gone", must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", nil, nil, sweep)), []connectors.Ref(nil))
}

func recordsGoneUnknownRun(t *testing.T, b *bench) {
	must[int](t)(b.UpsertRecords(t.Context(), "microsoft", []connectors.Record{subscription("c1", "s1", 1)}, "run-0"))
	if _, err := b.MarkGone(t.Context(), "microsoft", "subscription", nil, nil, "never started"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Numbers that are no multiple of any batch, changed, unchanged and new in one call.
func recordsMany(t *testing.T, b *bench) {
	ctx := t.Context()
	const n = 1703
	records := make([]connectors.Record, n)
	for i := range records {
		records[i] = subscription(fmt.Sprintf("c%03d", i%100), fmt.Sprintf("s%05d", i), 1)
	}
	equal(t, "new", must[int](t)(b.UpsertRecords(ctx, "microsoft", records[:n-3], "run-1")), n-3)
	b.clock.Advance(time.Hour)
	run := startRun(t, b, "microsoft")
	for i := 0; i < n; i += 100 {
		records[i] = subscription(records[i].Parent, records[i].ID, 2)
	}
	equal(t, "changed", must[int](t)(b.UpsertRecords(ctx, "microsoft", records[5:], run)), 16+3) // 100, 200, ... 1600, and three new ones
	equal(t, "gone", must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", nil, nil, run)), refs(records[:5]...))
	equal(t, "streamed", len(stream(t, b, "subscription", state.RecordFilter{})), n-5)
}

func recordsCounted(t *testing.T, b *bench) {
	ctx := t.Context()
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c2", "s2", 1), {Kind: "customer", ID: "c1"}}, "run"))
	equal(t, "subscriptions", must[int](t)(b.CountRecords(ctx, "microsoft", "subscription")), 2)
	equal(t, "under one parent", must[int](t)(b.CountRecords(ctx, "microsoft", "subscription", "nobody")), 0)
	equal(t, "of another account", must[int](t)(b.CountRecords(ctx, "psa", "subscription")), 0)
	b.clock.Advance(time.Hour)
	must[[]connectors.Ref](t)(b.MarkGone(ctx, "microsoft", "subscription", []string{"c1"}, nil, startRun(t, b, "microsoft")))
	equal(t, "without those gone", must[int](t)(b.CountRecords(ctx, "microsoft", "subscription")), 1)
}

func gaps(t *testing.T, b *bench) {
	ctx := t.Context()
	read := func(account, kind string) []connectors.Gap {
		t.Helper()
		return must[[]connectors.Gap](t)(b.Gaps(ctx, account, kind))
	}
	equal(t, "before the first", read("microsoft", "subscription"), []connectors.Gap(nil))
	first := []connectors.Gap{{Parent: "c1", Class: connectors.ClassAuth, Reason: "refused; ask c1 for the right"}, {Parent: "c2", Class: connectors.ClassTransient}}
	ok(t, b.SetGaps(ctx, "microsoft", "subscription", first))
	ok(t, b.SetGaps(ctx, "microsoft", "price", first[:1]))
	equal(t, "two", read("microsoft", "subscription"), first)
	ok(t, b.SetGaps(ctx, "microsoft", "subscription", first[1:]))
	equal(t, "one", read("microsoft", "subscription"), first[1:])
	ok(t, b.SetGaps(ctx, "microsoft", "subscription", nil))
	equal(t, "complete", read("microsoft", "subscription"), []connectors.Gap(nil))
	equal(t, "another kind", read("microsoft", "price"), first[:1])
	equal(t, "another account", read("psa", "price"), []connectors.Gap(nil))
}

func streamErrors(t *testing.T, b *bench) {
	ctx := t.Context()
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c1", "s2", 1)}, "run"))
	enough, calls := errors.New("enough"), 0
	err := b.Records(ctx, "microsoft", "subscription", state.RecordFilter{}, func(state.Stored) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("got %v after %d calls, want the caller's own error after 1", err, calls)
	}
}

func streamWrites(t *testing.T, b *bench) {
	ctx := t.Context()
	must[int](t)(b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c1", "s2", 1)}, "run"))
	calls := 0
	ok(t, b.Records(ctx, "microsoft", "subscription", state.RecordFilter{}, func(r state.Stored) error {
		calls++
		if _, err := b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "t"+r.ID, 1)}, "run"); err != nil {
			return err
		}
		_, _, err := b.Record(ctx, "microsoft", refs(r.Record)[0])
		return err
	}))
	equal(t, "calls: the stream shows one picture", calls, 2)
	equal(t, "records", len(stream(t, b, "subscription", state.RecordFilter{})), 4)
}

func cancelled(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.UpsertRecords(ctx, "microsoft", []connectors.Record{subscription("c1", "s1", 1)}, "run"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	equal(t, "kept", stream(t, b, "subscription", state.RecordFilter{}), []string(nil))

	// Cancelled in the middle: the store goes on working.
	must[int](t)(b.UpsertRecords(t.Context(), "microsoft", []connectors.Record{subscription("c1", "s1", 1), subscription("c1", "s2", 1)}, "run"))
	ctx, cancel = context.WithCancel(t.Context())
	err := b.Records(ctx, "microsoft", "subscription", state.RecordFilter{}, func(state.Stored) error {
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	equal(t, "afterwards", len(stream(t, b, "subscription", state.RecordFilter{})), 2)
}
