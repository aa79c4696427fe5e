package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/model"
)

// full is a connector with every ability; the PSA in memory is one.
type full interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.Changer
	connectors.Ender
	connectors.ChangeFeed
	connectors.Canonicalizer
}

var start = time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC)

// smallPSA is one company with one agreement and one line of seven seats.
func smallPSA(t testing.TB, o memory.Options) (*memory.World, full, connectors.Ref) {
	t.Helper()
	o.Now = func() time.Time { return start }
	w := memory.NewPSA(o)
	day := model.DayValue(model.NewDay(2031, 1, 15))
	add(t, w, "company", "contoso", "", model.Fields{"name": model.Text("Contoso")})
	add(t, w, "catalogItem", "m365", "", model.Fields{"identifier": model.Text("M365"), "description": model.Text("M365")})
	add(t, w, "agreement", "cloud", "", model.Fields{"name": model.Text("Cloud"), "type": model.Text("Cloud"),
		"company": model.Text("contoso"), "startDate": day})
	line := add(t, w, "addition", "line", "cloud", model.Fields{"product": model.Text("m365"), "quantity": model.Int(7), "effectiveDate": day})
	return w, w.Connect().(full), line
}

func setQuantity(ref connectors.Ref, key string, from, to int64) connectors.ChangeRequest {
	return connectors.ChangeRequest{Ref: ref, Key: key, Edits: map[string]connectors.Edit{"quantity": {From: model.Int(from), To: model.Int(to)}}}
}

func quantity(t testing.TB, w *memory.World, ref connectors.Ref) string {
	t.Helper()
	rec, ok := w.Get(ref)
	if !ok {
		t.Fatalf("%v is not there", ref)
	}
	return rec.Fields["quantity"].String()
}

func wantClass(t testing.TB, err error, want connectors.Class) {
	t.Helper()
	var e *connectors.Error
	if !errors.As(err, &e) || e.Class != want {
		t.Errorf("got %v, want an error of class %s", err, want)
	}
}

func TestKeyMeansOneIntent(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	for range 3 {
		if _, err := c.Change(t.Context(), setQuantity(line, "k1", 7, 9)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Effects("k1"); n != 1 {
		t.Errorf("three requests with one key had %d effects, want 1", n)
	}
	// A person goes on; the old intent, repeated, does not fight with it.
	if err := w.Edit(line, "quantity", model.Int(11)); err != nil {
		t.Fatal(err)
	}
	rec, err := c.Change(t.Context(), setQuantity(line, "k1", 7, 9))
	if err != nil || rec.Fields["quantity"] != model.Int(11) {
		t.Errorf("got %s, %v; want the record as it is now", rec.Fields["quantity"], err)
	}
	_, err = c.Change(t.Context(), setQuantity(line, "k1", 11, 12))
	wantClass(t, err, connectors.ClassInvalid)
	if got := quantity(t, w, line); got != "11" {
		t.Errorf("quantity is %s, want 11", got)
	}
}

func TestRequestsAreLogged(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	if _, err := c.Read(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change(t.Context(), setQuantity(line, "k1", 7, 9)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.End(t.Context(), connectors.EndRequest{Ref: line, Last: model.NewDay(2031, 2, 28), Key: "k2"}); err != nil {
		t.Fatal(err)
	}
	want := []memory.Request{
		{At: start, Op: "read", Kind: "addition", ID: "line", Parent: "cloud"},
		{At: start, Op: "change", Kind: "addition", ID: "line", Parent: "cloud", Key: "k1"},
		{At: start, Op: "end", Kind: "addition", ID: "line", Parent: "cloud", Key: "k2"},
	}
	if diff := cmp.Diff(want, w.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if n := w.TotalEffects(); n != 2 {
		t.Errorf("%d effects, want 2", n)
	}
}

// What a system makes of a value is the same whether trueup or a person wrote it, and Canonical says it beforehand.
func TestRoundingAndTrimming(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{PriceDigits: 2, TrimText: true})
	for _, tt := range []struct {
		field    string
		in, want model.Value
	}{
		{"unitPrice", money(t, "12.345 GBP"), money(t, "12.34 GBP")},
		{"unitPrice", money(t, "12.355 GBP"), money(t, "12.36 GBP")},
		{"invoiceDescription", model.Text("  Seats "), model.Text("Seats")},
		{"quantity", model.Int(8), model.Int(8)},
	} {
		if got := c.Canonical("addition", tt.field, tt.in); got != tt.want {
			t.Errorf("Canonical(%s, %q) = %q, want %q", tt.field, tt.in, got, tt.want)
		}
		if err := w.Edit(line, tt.field, tt.in); err != nil {
			t.Fatal(err)
		}
		if rec, _ := w.Get(line); rec.Fields[tt.field] != tt.want {
			t.Errorf("%s holds %q, want %q", tt.field, rec.Fields[tt.field], tt.want)
		}
	}
}

func TestDerivedAndSignedFields(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	req := setQuantity(line, "k1", 7, 10)
	req.Edits["lessIncluded"] = connectors.Edit{To: model.Int(4)}
	rec, err := c.Change(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Fields["billedQuantity"] != model.Int(6) || rec.Fields["updatedBy"] != model.Text(memory.SignedByTrueup) {
		t.Errorf("billed %s, signed by %s; want 6 and trueup", rec.Fields["billedQuantity"], rec.Fields["updatedBy"])
	}
	if err := w.Edit(line, "quantity", model.Int(5)); err != nil {
		t.Fatal(err)
	}
	if rec, _ := w.Get(line); rec.Fields["billedQuantity"] != model.Int(1) || rec.Fields["updatedBy"] != model.Text(memory.SignedByUser) {
		t.Errorf("billed %s, signed by %s; want 1 and user", rec.Fields["billedQuantity"], rec.Fields["updatedBy"])
	}
}

// Each fault does what its documentation says to a change, to the world, and nothing after Behave.
func TestFaultsOfWrites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault    string
		class    connectors.Class
		quantity string
	}{
		{memory.ErrorAfterCommit, connectors.ClassUnknown, "5"},
		{memory.LostBeforeCommit, connectors.ClassUnknown, "7"},
		{memory.Transient, connectors.ClassTransient, "7"},
		{memory.Limited, connectors.ClassLimited, "7"},
		{memory.RejectToken, connectors.ClassAuth, "7"},
		{memory.Stale, connectors.ClassStale, "7"},
		{memory.RefuseDecrease, connectors.ClassInvalid, "7"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			w, c, line := smallPSA(t, memory.Options{})
			misbehave(t, w, tt.fault, "1")
			_, err := c.Change(t.Context(), setQuantity(line, "k1", 7, 5))
			wantClass(t, err, tt.class)
			if got := quantity(t, w, line); got != tt.quantity {
				t.Errorf("quantity is %s, want %s", got, tt.quantity)
			}
			// The fault was good for one time.
			if _, err := c.Change(t.Context(), setQuantity(line, "k1", 7, 5)); err != nil {
				t.Errorf("after the fault: %v", err)
			}
			if got, n := quantity(t, w, line), w.Effects("k1"); got != "5" || n != 1 {
				t.Errorf("quantity is %s after %d effects, want 5 after 1", got, n)
			}
		})
	}
}

func TestSlowWaitsForCallerOrBehave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, line := smallPSA(t, memory.Options{})
		misbehave(t, w, memory.Slow, "")
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		began := time.Now()
		_, err := c.Change(ctx, setQuantity(line, "k1", 7, 9))
		if waited := time.Since(began); waited != time.Minute || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("came back after %s with %v, want a minute and the deadline", waited, err)
		}
		wantClass(t, err, connectors.ClassUnknown)
		answered := make(chan error)
		go func() { _, err := c.Read(t.Context(), line); answered <- err }()
		synctest.Wait()
		w.Behave(memory.Slow)
		if err := <-answered; err != nil {
			t.Errorf("after Behave: %v", err)
		}
	})
}

// A listing knows what it misses: under which parent, and why.
func TestListingGaps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault, value string
		req          connectors.ListRequest
		want         []connectors.Gap // without reasons
	}{
		{"", "", connectors.ListRequest{Kind: "addition"}, nil},
		{memory.Partial, "cloud", connectors.ListRequest{Kind: "addition"}, []connectors.Gap{{Parent: "cloud", Class: connectors.ClassAuth}}},
		{memory.DropLastPage, "", connectors.ListRequest{Kind: "addition"}, []connectors.Gap{{Parent: "cloud", Class: connectors.ClassTransient}}},
		{memory.CapPages, "1", connectors.ListRequest{Kind: "catalogItem"}, []connectors.Gap{{Class: connectors.ClassTransient}}},
		{memory.EmptyList, "", connectors.ListRequest{Kind: "company"}, []connectors.Gap{{Class: connectors.ClassAuth}}},
		{memory.EmptyList, "", connectors.ListRequest{Kind: "addition"}, []connectors.Gap{{Class: connectors.ClassAuth}}},
		{"", "", connectors.ListRequest{Kind: "addition", Parents: []string{"gone"}}, []connectors.Gap{{Parent: "gone", Class: connectors.ClassMissing}}},
	} {
		t.Run(tt.fault+" "+tt.req.Kind, func(t *testing.T) {
			t.Parallel()
			w, c, _ := smallPSA(t, memory.Options{})
			add(t, w, "catalogItem", "exchange", "", model.Fields{"identifier": model.Text("EX"), "description": model.Text("EX")})
			if tt.fault != "" {
				misbehave(t, w, tt.fault, tt.value)
			}
			listing, err := c.List(t.Context(), tt.req, func(connectors.Record) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			for i := range listing.Gaps {
				if listing.Gaps[i].Reason == "" {
					t.Errorf("gap %+v has no reason", listing.Gaps[i])
				}
				listing.Gaps[i].Reason = ""
			}
			if diff := cmp.Diff(tt.want, listing.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

// A record that is removed between two pages does not push another one out of sight.
func TestRemovalDuringListing(t *testing.T) {
	t.Parallel()
	w, c, _ := smallPSA(t, memory.Options{PageSize: 2})
	for _, id := range []string{"p2", "p3", "p4", "p5"} {
		add(t, w, "catalogItem", id, "", model.Fields{"identifier": model.Text(id), "description": model.Text(id)})
	}
	var told []string
	listing, err := c.List(t.Context(), connectors.ListRequest{Kind: "catalogItem"}, func(r connectors.Record) error {
		told = append(told, r.ID)
		if r.ID == "p2" {
			return errors.Join(w.Remove(connectors.Ref{Kind: "catalogItem", ID: "m365"}), w.Remove(connectors.Ref{Kind: "catalogItem", ID: "p4"}))
		}
		return nil
	})
	if err != nil || !listing.Complete() {
		t.Fatalf("listing: %v, gaps %+v", err, listing.Gaps)
	}
	if diff := cmp.Diff([]string{"m365", "p2", "p3", "p5"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestFeedFaults(t *testing.T) {
	t.Parallel()
	edited := func(t *testing.T, fault, value string) connectors.Changes {
		w, c, line := smallPSA(t, memory.Options{})
		first, err := c.Changes(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		misbehave(t, w, fault, value)
		if err := w.Edit(line, "quantity", model.Int(8)); err != nil {
			t.Fatal(err)
		}
		changes, err := c.Changes(t.Context(), first.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	if c := edited(t, memory.FeedMisses, "1"); len(c.Records)+len(c.Relist)+len(c.Scan) != 0 {
		t.Errorf("%s: the lost change was told: %+v", memory.FeedMisses, c)
	}
	if c := edited(t, memory.FeedRepeats, ""); len(c.Records) != 4 {
		t.Errorf("%s: %d records told, want all 4", memory.FeedRepeats, len(c.Records))
	}
	if c := edited(t, memory.FeedForgets, ""); len(c.Scan) != 9 || c.Cursor == "" {
		t.Errorf("%s: want a scan of all 9 kinds and a new cursor: %+v", memory.FeedForgets, c)
	}
}

// The feed cannot tell what a removed record was: it asks for a listing of what is left.
func TestFeedOfRemovals(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	first, err := c.Changes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(line); err != nil {
		t.Fatal(err)
	}
	changes, err := c.Changes(t.Context(), first.Cursor)
	if diff := cmp.Diff([]connectors.Relist{{Kind: "addition", Parents: []string{"cloud"}}}, changes.Relist); err != nil || diff != "" {
		t.Errorf("relist after removing a line: %v\n%s", err, diff)
	}
	if err := w.Remove(connectors.Ref{Kind: "agreement", ID: "cloud"}); err != nil {
		t.Fatal(err)
	}
	changes, err = c.Changes(t.Context(), changes.Cursor)
	if err != nil || changes.Scan["agreement"] == "" {
		t.Errorf("after removing an agreement: %v, %+v", err, changes)
	}
}

func TestRulesOfTheSystems(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	_, err := c.End(t.Context(), connectors.EndRequest{Ref: line, Last: model.NewDay(2031, 1, 14), Key: "k1"})
	wantClass(t, err, connectors.ClassInvalid)
	fields := model.Fields{"product": model.Text("none"), "quantity": model.Int(1), "effectiveDate": model.DayValue(model.NewDay(2031, 2, 1))}
	_, err = c.Create(t.Context(), connectors.CreateRequest{Kind: "addition", Parent: "cloud", Fields: fields, Key: "k2"})
	wantClass(t, err, connectors.ClassInvalid)
	fields["product"] = model.Text("m365")
	_, err = c.Create(t.Context(), connectors.CreateRequest{Kind: "addition", Parent: "gone", Fields: fields, Key: "k3"})
	wantClass(t, err, connectors.ClassMissing)
	if n := w.TotalEffects(); n != 0 {
		t.Errorf("refused writes had %d effects", n)
	}
	v := memory.NewVendor(memory.Options{Now: func() time.Time { return start }})
	add(t, v, "customer", "contoso", "", nil)
	sub := add(t, v, "subscription", "sub", "contoso", model.Fields{"quantity": model.Int(7)})
	for _, bad := range []string{"0", "-1", "2.5", ""} {
		to, err := model.Parse(model.TypeQuantity, bad)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Connect().(connectors.Changer).Change(t.Context(), connectors.ChangeRequest{Ref: sub, Key: "k-" + bad,
			Edits: map[string]connectors.Edit{"quantity": {From: model.Int(7), To: to}}})
		wantClass(t, err, connectors.ClassInvalid)
	}
}

func TestWrongTokenIsRefused(t *testing.T) {
	t.Parallel()
	w := memory.NewPSA(memory.Options{Now: func() time.Time { return start }, Token: "right"})
	c, err := w.System().New(connectors.Account{Secrets: map[string]connectors.Secret{"token": connectors.NewSecret("wrong")}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Check(t.Context())
	wantClass(t, err, connectors.ClassAuth)
	if _, err := w.Connect().Check(t.Context()); err != nil {
		t.Errorf("with the right token: %v", err)
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	w, c, _ := smallPSA(t, memory.Options{})
	misbehave(t, w, memory.Partial, "cloud")
	report, err := c.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if missing := report.Missing(); len(missing) != 1 || missing[0].Customer != "cloud" || missing[0] != report.Rights[0] {
		t.Errorf("missing rights %+v in %+v, want one of \"cloud\", first", missing, report.Rights)
	}
}

func TestMisbehaveRefusesNonsense(t *testing.T) {
	t.Parallel()
	w := memory.NewPSA(memory.Options{Now: func() time.Time { return start }})
	for _, bad := range [][2]string{{"no such fault", ""}, {memory.Partial, ""}, {memory.Transient, "often"}, {memory.Transient, "0"}} {
		if err := w.Misbehave(bad[0], bad[1]); err == nil {
			t.Errorf("Misbehave(%q, %q) was taken", bad[0], bad[1])
		}
	}
	for _, m := range w.Misbehaviours() {
		if m.Doc == "" || m.Value == "" {
			t.Errorf("misbehaviour %q is not documented", m.Name)
		}
	}
}

func TestUsersOfTheWorldAreChecked(t *testing.T) {
	t.Parallel()
	w, _, line := smallPSA(t, memory.Options{})
	for what, err := range map[string]error{
		"edit of an unknown field":  w.Edit(line, "colour", model.Text("red")),
		"edit with another type":    w.Edit(line, "quantity", model.Text("7")),
		"edit of what is not there": w.Edit(connectors.Ref{Kind: "addition", ID: "none"}, "quantity", model.Int(1)),
		"edit under another parent": w.Edit(connectors.Ref{Kind: "addition", ID: "line", Parent: "other"}, "quantity", model.Int(1)),
		"removal of nothing":        w.Remove(connectors.Ref{Kind: "addition", ID: "none"}),
		"unknown kind":              second(w.Add(connectors.Record{Kind: "ship"})),
		"orphan":                    second(w.Add(connectors.Record{Kind: "addition", Parent: "none"})),
		"no parent":                 second(w.Add(connectors.Record{Kind: "addition"})),
		"twin":                      second(w.Add(connectors.Record{Kind: "addition", ID: "line", Parent: "cloud"})),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := w.Remove(connectors.Ref{Kind: "agreement", ID: "cloud"}); err != nil {
		t.Fatal(err)
	}
	if left := w.Records("addition"); len(left) != 0 {
		t.Errorf("lines of a removed agreement are left: %v", left)
	}
}

func second(_ connectors.Ref, err error) error { return err }

// What is handed out is the caller's own.
func TestRecordsAreCopies(t *testing.T) {
	t.Parallel()
	w, c, line := smallPSA(t, memory.Options{})
	rec, err := c.Read(t.Context(), line)
	if err != nil {
		t.Fatal(err)
	}
	rec.Fields["quantity"] = model.Int(1000)
	if got := quantity(t, w, line); got != "7" {
		t.Errorf("the world's record was altered through a copy: %s", got)
	}
}
