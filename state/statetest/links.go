package statetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func vendorEnd(parent, id string) state.End {
	return state.End{Account: "microsoft", Kind: "subscription", Parent: parent, ID: id}
}

func lineEnd(id string) state.End {
	return state.End{Account: "psa", Kind: "addition", Parent: "a1", ID: id}
}

func line(id, flow string, vendor, psa state.End) state.Link {
	return state.Link{ID: id, Flow: flow, Kind: model.KindLine, Vendor: vendor, PSA: psa, Label: "Contoso", How: "kept id"}
}

// activeLinks lists the ids in the order of the stream.
func activeLinks(t testing.TB, b *bench, flow string, kind model.Kind) []string {
	t.Helper()
	var ids []string
	ok(t, b.Links(t.Context(), flow, kind, func(l state.Link) error {
		ids = append(ids, l.ID)
		return nil
	}))
	return ids
}

// refused checks that an error is of a kind and names everything it must.
func refused(t testing.TB, err, kind error, names ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %q", err, name)
		}
	}
}

func links(t *testing.T, b *bench) {
	ctx := t.Context()
	l1, l2 := line("l1", "flow", vendorEnd("c2", "s1"), lineEnd("1")), line("l2", "flow", vendorEnd("c1", "s2"), lineEnd("2"))
	ok(t, b.PutLinks(ctx, []state.Link{l1, l2}))
	l1.State, l1.Created = state.LinkActive, b.clock.Now()
	equal(t, "order", activeLinks(t, b, "flow", model.KindLine), []string{"l2", "l1"})
	equal(t, "another flow", activeLinks(t, b, "other", ""), []string(nil))
	equal(t, "any", activeLinks(t, b, "", ""), []string{"l2", "l1"})

	got, found, err := b.LinkByVendor(ctx, "flow", model.KindLine, l1.Vendor)
	ok(t, err)
	equal(t, "by vendor", []any{got, found}, []any{l1, true})
	got, found, err = b.LinkByPSA(ctx, "flow", model.KindLine, l1.PSA)
	ok(t, err)
	equal(t, "by PSA", []any{got, found}, []any{l1, true})
	_, found, err = b.LinkByVendor(ctx, "flow", model.KindLine, vendorEnd("c1", "s1"))
	ok(t, err)
	equal(t, "under another parent", found, false)

	// Written again it keeps its creation.
	l1.Label = "Contoso Ltd"
	b.clock.Advance(time.Hour)
	again := l1
	again.Created = time.Time{}
	ok(t, b.PutLinks(ctx, []state.Link{again}))
	got, _, err = b.Link(ctx, "l1")
	ok(t, err)
	equal(t, "written again", got, l1)

	l1.State, l1.Closed = state.LinkClosed, b.clock.Advance(time.Hour)
	ok(t, b.CloseLink(ctx, "l1"))
	b.clock.Advance(time.Hour)
	ok(t, b.CloseLink(ctx, "l1"))
	got, _, err = b.Link(ctx, "l1")
	ok(t, err)
	equal(t, "closed", got, l1)
	_, found, err = b.LinkByPSA(ctx, "flow", model.KindLine, l1.PSA)
	ok(t, err)
	equal(t, "closed link found by PSA", found, false)
	equal(t, "left", activeLinks(t, b, "flow", model.KindLine), []string{"l2"})
	refused(t, b.CloseLink(ctx, "nobody"), state.ErrNotFound, "nobody")
}

func linksVendorOnce(t *testing.T, b *bench) {
	ctx := t.Context()
	ok(t, b.PutLinks(ctx, []state.Link{line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1"))}))
	err := b.PutLinks(ctx, []state.Link{line("l2", "flow", vendorEnd("c1", "s1"), lineEnd("2"))})
	refused(t, err, state.ErrClaimed, "s1", "linked to 1", "linked to 2", "l1")
	ok(t, b.CloseLink(ctx, "l1"))
	ok(t, b.PutLinks(ctx, []state.Link{line("l2", "flow", vendorEnd("c1", "s1"), lineEnd("2"))}))
}

func linksClaimed(t *testing.T, b *bench) {
	ctx := t.Context()
	ok(t, b.PutLinks(ctx, []state.Link{line("l1", "microsoft-psa", vendorEnd("c1", "s1"), lineEnd("1"))}))
	err := b.PutLinks(ctx, []state.Link{line("l2", "adobe-psa", vendorEnd("c1", "other"), lineEnd("1"))})
	refused(t, err, state.ErrClaimed, "microsoft-psa", "adobe-psa", "addition 1", "l1")
	equal(t, "kept", activeLinks(t, b, "", ""), []string{"l1"})

	// The same number in another PSA is another line.
	elsewhere := lineEnd("1")
	elsewhere.Account = "second-psa"
	ok(t, b.PutLinks(ctx, []state.Link{line("l3", "adobe-psa", vendorEnd("c1", "other"), elsewhere)}))
}

// Seats that are decided together share a line or a vendor record, and nobody else gets in between.
func linksShapes(t *testing.T, b *bench) {
	ctx := t.Context()
	shaped := func(id, flow, sub, line, shape string) state.Link {
		return state.Link{ID: id, Flow: flow, Kind: model.KindLine, Vendor: vendorEnd("c1", sub), PSA: lineEnd(line), How: "kept id", Shape: shape}
	}
	ok(t, b.PutLinks(ctx, []state.Link{shaped("l1", "flow", "s1", "1", state.ShapeSum), shaped("l2", "flow", "s2", "1", state.ShapeSum)}))
	ok(t, b.PutLinks(ctx, []state.Link{shaped("l3", "flow", "s3", "1", state.ShapeSum)})) // bought later
	ok(t, b.PutLinks(ctx, []state.Link{shaped("l4", "flow", "s4", "4", state.ShapeSplit), shaped("l5", "flow", "s4", "5", state.ShapeSplit)}))
	ok(t, b.PutLinks(ctx, []state.Link{shaped("l6", "flow", "s6", "6", state.ShapeBundle), shaped("l7", "flow", "s7", "6", state.ShapeBundle)}))
	equal(t, "kept", activeLinks(t, b, "flow", model.KindLine), []string{"l1", "l2", "l3", "l4", "l5", "l6", "l7"})
	for name, l := range map[string]state.Link{
		"a line of its own":                       shaped("x", "flow", "s9", "1", ""),
		"another shape":                           shaped("x", "flow", "s9", "1", state.ShapeBundle),
		"another flow":                            shaped("x", "other", "s9", "1", state.ShapeSum),
		"a second line for a part of a sum":       shaped("x", "flow", "s1", "9", state.ShapeSum),
		"a second vendor record on a split's":     shaped("x", "flow", "s9", "4", state.ShapeSplit),
		"a split subscription on its own line":    shaped("x", "flow", "s4", "9", ""),
		"a count on a line that is shared":        shaped("x", "flow", "s9", "6", "count"),
		"a second line for a part of a bundle":    shaped("x", "flow", "s6", "9", state.ShapeBundle),
		"the same line of another flow's a split": shaped("x", "other", "s4", "4", state.ShapeSplit),
	} {
		if err := b.PutLinks(ctx, []state.Link{l}); !errors.Is(err, state.ErrClaimed) {
			t.Errorf("%s: got %v, want %v", name, err, state.ErrClaimed)
		}
	}
	got, _, err := b.Link(ctx, "l5")
	ok(t, err)
	equal(t, "shape", got.Shape, state.ShapeSplit)

	// When the others are gone the one that is left stands alone.
	ok(t, b.CloseLink(ctx, "l2"))
	ok(t, b.CloseLink(ctx, "l3"))
	ok(t, b.PutLinks(ctx, []state.Link{shaped("l1", "flow", "s1", "1", "")}))
	refused(t, b.PutLinks(ctx, []state.Link{shaped("l2", "flow", "s2", "1", state.ShapeSum)}), state.ErrClaimed, "l1")
}

// Two tenants may be one company, in one flow or in several.
func linksShared(t *testing.T, b *bench) {
	ctx := t.Context()
	company := state.End{Account: "psa", Kind: "company", ID: "42"}
	var all []state.Link
	for i, flow := range []string{"flow", "flow", "other"} {
		tenant := state.End{Account: "microsoft", Kind: "customer", ID: fmt.Sprintf("tenant-%d", i)}
		all = append(all, state.Link{ID: fmt.Sprintf("l%d", i), Flow: flow, Kind: model.KindCustomer, Vendor: tenant, PSA: company})
	}
	ok(t, b.PutLinks(ctx, all))
	got, _, err := b.LinkByPSA(ctx, "flow", model.KindCustomer, company)
	ok(t, err)
	equal(t, "the oldest", got.ID, "l0")
}

func linksClaimedInBatch(t *testing.T, b *bench) {
	ctx := t.Context()
	err := b.PutLinks(ctx, []state.Link{line("l1", "one", vendorEnd("c1", "s1"), lineEnd("1")), line("l2", "two", vendorEnd("c1", "s1"), lineEnd("1"))})
	refused(t, err, state.ErrClaimed, "one", "two")
	if err := b.PutLinks(ctx, []state.Link{line("l1", "one", vendorEnd("c1", "s1"), lineEnd("1")), line("l1", "one", vendorEnd("c1", "s2"), lineEnd("2"))}); err == nil {
		t.Error("a link given twice was taken")
	}
	equal(t, "kept", activeLinks(t, b, "", ""), []string(nil))
}

func linksReplaced(t *testing.T, b *bench) {
	ctx := t.Context()
	old := line("old", "flow", vendorEnd("c1", "s1"), lineEnd("1"))
	ok(t, b.PutLinks(ctx, []state.Link{old}))
	old.State = state.LinkClosed
	ok(t, b.PutLinks(ctx, []state.Link{line("new", "flow", vendorEnd("c1", "s1"), lineEnd("1")), old}))
	equal(t, "active", activeLinks(t, b, "", ""), []string{"new"})
}

func linksRefused(t *testing.T, b *bench) {
	good := line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1"))
	for name, spoil := range map[string]func(*state.Link){
		"no id":     func(l *state.Link) { l.ID = "" },
		"no flow":   func(l *state.Link) { l.Flow = "" },
		"no kind":   func(l *state.Link) { l.Kind = "" },
		"no vendor": func(l *state.Link) { l.Vendor.ID = "" },
		"no psa":    func(l *state.Link) { l.PSA.ID = "" },
	} {
		l := good
		spoil(&l)
		if err := b.PutLinks(t.Context(), []state.Link{l}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func seats(n int64) model.Fields { return model.Fields{"quantity": model.Int(n)} }

func snapshots(t *testing.T, b *bench) {
	ctx := t.Context()
	ok(t, b.PutLinks(ctx, []state.Link{line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1")), line("l2", "flow", vendorEnd("c1", "s2"), lineEnd("2"))}))
	vendor := state.Snapshot{Link: "l1", Side: state.SideVendor, Fields: seats(10), At: b.clock.Now().Add(-time.Minute), Run: "run-1"}
	psa := state.Snapshot{Link: "l1", Side: state.SidePSA, Fields: seats(11), Run: "run-1"}
	ok(t, b.PutSnapshots(ctx, []state.Snapshot{vendor, psa}))
	psa.At = b.clock.Now()
	vendor.Fields, vendor.Run = seats(12), "run-2"
	stale := vendor
	stale.Fields = seats(1)
	ok(t, b.PutSnapshots(ctx, []state.Snapshot{stale, vendor}))
	equal(t, "snapshots", must[map[string]state.Memory](t)(b.Snapshots(ctx, []string{"l1", "l2", "nobody"})), map[string]state.Memory{"l1": {Vendor: vendor, PSA: psa}})
	equal(t, "known", []bool{vendor.Known(), state.Memory{}.PSA.Known()}, []bool{true, false})
}

func linksWithMemory(t *testing.T, b *bench) {
	ctx := t.Context()
	const n = 1100
	var all []state.Link
	var memory []state.Snapshot
	for i := range n {
		id := fmt.Sprintf("l%04d", i)
		all = append(all, line(id, "flow", vendorEnd(fmt.Sprintf("c%d", i%2), fmt.Sprintf("s%04d", i)), lineEnd(id)))
		switch i % 3 {
		case 0:
			memory = append(memory, state.Snapshot{Link: id, Side: state.SideVendor, Fields: seats(int64(i)), Run: "r"}, state.Snapshot{Link: id, Side: state.SidePSA, Fields: seats(int64(-i)), Run: "r"})
		case 1:
			memory = append(memory, state.Snapshot{Link: id, Side: state.SidePSA, Fields: seats(int64(-i)), Run: "r"})
		}
	}
	all = append(all, line("elsewhere", "other", vendorEnd("c0", "s0"), lineEnd("elsewhere")))
	ok(t, b.PutLinks(ctx, all))
	ok(t, b.PutSnapshots(ctx, memory))
	ok(t, b.CloseLink(ctx, "l0000"))

	count, last := 0, ""
	ok(t, b.LinksWithMemory(ctx, "flow", model.KindLine, "", func(l state.Link, m state.Memory) error {
		count++
		key := l.Vendor.Parent + l.Vendor.ID
		if key <= last {
			return fmt.Errorf("%s comes after %s", key, last)
		}
		last = key
		var i int64
		if _, err := fmt.Sscanf(l.ID, "l%d", &i); err != nil {
			return err
		}
		var want state.Memory
		if i%3 == 0 {
			want.Vendor = state.Snapshot{Link: l.ID, Side: state.SideVendor, Fields: seats(i), At: b.clock.Now(), Run: "r"}
		}
		if i%3 != 2 {
			want.PSA = state.Snapshot{Link: l.ID, Side: state.SidePSA, Fields: seats(-i), At: b.clock.Now(), Run: "r"}
		}
		equal(t, "memory of "+l.ID, m, want)
		return nil
	}))
	equal(t, "links", count, n-1)

	count = 0
	ok(t, b.LinksWithMemory(ctx, "flow", model.KindLine, "c1", func(l state.Link, _ state.Memory) error {
		count++
		equal(t, "parent", l.Vendor.Parent, "c1")
		return nil
	}))
	equal(t, "links of one parent", count, n/2)
	enough := errors.New("enough")
	if err := b.LinksWithMemory(ctx, "flow", model.KindLine, "", func(state.Link, state.Memory) error { return enough }); err != enough {
		t.Errorf("got %v, want the caller's own error", err)
	}
}

func snapshotsRefused(t *testing.T, b *bench) {
	for name, snap := range map[string]state.Snapshot{
		"of no link":         {Side: state.SideVendor, Fields: seats(1)},
		"of an unknown link": {Link: "nobody", Side: state.SideVendor, Fields: seats(1)},
		"of an unknown side": {Link: "nobody", Side: "middle", Fields: seats(1)},
	} {
		if err := b.PutSnapshots(t.Context(), []state.Snapshot{snap}); err == nil {
			t.Errorf("a snapshot %s was kept", name)
		}
	}
}

func linksMoved(t *testing.T, b *bench) {
	ctx := t.Context()
	customer := line("c1", "old", vendorEnd("", "t1"), lineEnd("company"))
	customer.Kind = model.KindCustomer
	again := customer
	again.ID, again.Flow = "c2", "new" // a first run under the new name met the customer again, and then the line that the old name holds
	ok(t, b.PutLinks(ctx, []state.Link{customer, line("l1", "old", vendorEnd("t1", "s1"), lineEnd("1")), again, line("l9", "third", vendorEnd("t1", "s9"), lineEnd("9"))}))
	ok(t, b.PutSnapshots(ctx, []state.Snapshot{{Link: "l1", Side: state.SidePSA, Fields: seats(3), Run: "run-1"}}))
	refused(t, b.PutLinks(ctx, []state.Link{line("l2", "new", vendorEnd("t1", "s1"), lineEnd("1"))}), state.ErrClaimed,
		"if flow old was renamed to new: trueup links move old new; otherwise close it with trueup links forget l1")
	must[state.FindingCounts](t)(b.SyncFindings(ctx, "old", "run-1", []state.Finding{{Key: "k", Kind: "drift", Title: "t"}}, nil))

	_, err := b.MoveLinks(ctx, "nobody", "new")
	refused(t, err, state.ErrNotFound, "nobody")
	open := entry("i1", state.JournalIntended)
	open.Flow = "old"
	ok(t, b.Append(ctx, open))
	_, err = b.MoveLinks(ctx, "old", "new")
	refused(t, err, state.ErrUnsettled, "i1", "under its old name")
	open.State = state.JournalAbandoned
	ok(t, b.Append(ctx, open))
	run := must[state.Run](t)(b.StartRun(ctx, newRun("old")))
	_, err = b.MoveLinks(ctx, "old", "new")
	refused(t, err, state.ErrRunning, run.ID)
	ok(t, b.FinishRun(ctx, run.ID, state.RunCompleted, "", nil))
	other := line("l3", "new", vendorEnd("t1", "s1"), lineEnd("2"))
	ok(t, b.PutLinks(ctx, []state.Link{other}))
	_, err = b.MoveLinks(ctx, "old", "new")
	refused(t, err, state.ErrClaimed, "l3")
	equal(t, "after the refusals", activeLinks(t, b, "old", ""), []string{"c1", "l1"})
	ok(t, b.CloseLink(ctx, "l3"))

	equal(t, "moved", must[int](t)(b.MoveLinks(ctx, "old", "new")), 2)
	equal(t, "new name", activeLinks(t, b, "new", ""), []string{"c1", "l1"})
	equal(t, "old name", activeLinks(t, b, "old", ""), []string(nil))
	equal(t, "another flow", activeLinks(t, b, "third", ""), []string{"l9"})
	equal(t, "memory", must[map[string]state.Memory](t)(b.Snapshots(ctx, []string{"l1"}))["l1"].PSA.Fields, seats(3))
	equal(t, "inbox", must[[]state.Finding](t)(b.Findings(ctx, true, "old")), []state.Finding(nil))
}

// strangeTexts are names as a vendor may send them: with a zero byte, or cut in the middle of a letter.
func strangeTexts(t *testing.T, b *bench) {
	ctx := t.Context()
	const strange, kept = "Kea\x00 \xc3", "Kea\uFFFD \uFFFD"
	l := line("l1", "flow", vendorEnd("c1", "s1"), lineEnd("1"))
	l.Label, l.How = strange, strange
	ok(t, b.PutLinks(ctx, []state.Link{l}))
	got, _, err := b.Link(ctx, "l1")
	ok(t, err)
	equal(t, "label", []string{got.Label, got.How}, []string{kept, kept})
	finding := state.Finding{Key: "k", Kind: "drift", Customer: strange, Title: strange, Detail: strange, Next: strange}
	must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", "run-1", []state.Finding{finding}, nil))
	equal(t, "found again", must[state.FindingCounts](t)(b.SyncFindings(ctx, "flow", "run-1", []state.Finding{finding}, nil)), state.FindingCounts{})
	f := must[[]state.Finding](t)(b.Findings(ctx, true, ""))[0]
	equal(t, "finding", []string{f.Customer, f.Title, f.Detail, f.Next}, []string{kept, kept, kept, kept})
	run := must[state.Run](t)(b.StartRun(ctx, newRun("flow")))
	ok(t, b.FinishRun(ctx, run.ID, state.RunError, strange, nil))
	run, _, err = b.RunByID(ctx, run.ID)
	ok(t, err)
	equal(t, "reason", run.Reason, kept)
}
