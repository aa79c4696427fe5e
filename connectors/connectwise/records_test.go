package connectwise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

func TestListPages(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*connectwisetest.Options){
		"forward only":     func(o *connectwisetest.Options) { o.PageSize = 3 },
		"by number":        func(o *connectwisetest.Options) { o.PageSize, o.NoForwardOnly = 3, true },
		"one page":         func(*connectwisetest.Options) {},
		"exactly one page": func(o *connectwisetest.Options) { o.PageSize = 8 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, server(change))
			want := []string{"company " + strconv.Itoa(w.company)}
			for i := range 7 {
				want = append(want, "company "+strconv.Itoa(w.fake.AddCompany(connectwisetest.Company{Identifier: fmt.Sprint("c", i), Name: fmt.Sprint("C", i)})))
			}
			records, listing := w.list(kindCompany)
			diff(t, "companies", want, ids(records))
			if !listing.Complete() || listing.Received != 8 {
				t.Errorf("listing %+v, want 8 and complete", listing)
			}
		})
	}
}

func TestListAdditionsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *connectwisetest.Options, a *connectors.Account) {
		if a != nil {
			a.Budget.Parallel = 3
		}
	})
	want := []string{"addition " + strconv.Itoa(w.line), "addition " + strconv.Itoa(w.second)}
	for i := range 20 {
		deal := w.fake.AddAgreement(connectwisetest.Agreement{Name: fmt.Sprint("A", i), Company: w.company})
		want = append(want, "addition "+strconv.Itoa(w.fake.AddAddition(connectwisetest.Addition{Agreement: deal, Product: w.product})))
	}
	records, listing := w.list(kindAddition)
	diff(t, "additions", want, ids(records))
	if !listing.Complete() {
		t.Errorf("gaps: %s", reasons(listing))
	}
}

func TestOnlyTheNamedAgreementTypes(t *testing.T) {
	t.Parallel()
	odd := `Cloud "special" \ 1`
	w := newWorld(t, setting("agreement_types", "Managed Services, "+odd))
	w.fake.AddAgreementType(connectwisetest.AgreementType{Name: odd})
	var want, lines []string
	for _, typ := range []string{"Managed Services", "Cloud Services", odd} {
		deal := w.fake.AddAgreement(connectwisetest.Agreement{Name: typ, Company: w.company, Type: typ})
		line := w.fake.AddAddition(connectwisetest.Addition{Agreement: deal, Product: w.product})
		if typ != "Cloud Services" {
			want = append(want, fmt.Sprint("agreement ", deal))
			lines = append(lines, fmt.Sprint("addition ", line))
		}
	}
	records, _ := w.list(kindAgreement)
	diff(t, "agreements", want, ids(records))
	additions, _ := w.list(kindAddition)
	diff(t, "additions", lines, ids(additions))
}

// What is not there is believed only when the PSA's own count agrees.
func TestShortListsAreGaps(t *testing.T) {
	t.Parallel()
	cases := []struct {
		misbehaviour, value, kind, reason string
		class                             connectors.Class
	}{
		{"empty_list", "", kindCompany, "counts 1 records but sent 0", connectors.ClassTransient},
		{"empty_list", "count", kindCompany, "no company at all", connectors.ClassAuth},
		{"empty_list", "", kindContact, "counts 1 records but sent 0", connectors.ClassTransient},
		{"drop_last_page", "", kindProduct, "counts 2 records but sent 0", connectors.ClassTransient},
		{"cap_pages", "1", kindProduct, "counts 2 records but sent 1", connectors.ClassTransient},
	}
	for _, test := range cases {
		t.Run(test.misbehaviour+test.value+" "+test.kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.misbehave(test.misbehaviour, test.value)
			_, listing := w.list(test.kind)
			if len(listing.Gaps) != 1 || listing.Gaps[0].Class != test.class || listing.Gaps[0].Parent != "" || !strings.Contains(listing.Gaps[0].Reason, test.reason) {
				t.Errorf("gaps %+v, want one of class %s that says %q", listing.Gaps, test.class, test.reason)
			}
		})
	}
}

func TestGapsOfAdditions(t *testing.T) {
	t.Parallel()
	t.Run("short under one agreement", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		lonely := w.fake.AddAgreement(connectwisetest.Agreement{Name: "Lonely", Company: w.company})
		w.fake.AddAddition(connectwisetest.Addition{Agreement: lonely, Product: w.product})
		if _, listing := w.list(kindAgreement); !listing.Complete() {
			t.Fatal(reasons(listing))
		}
		w.misbehave("cap_pages", "1")
		var records []connectors.Record
		listing, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindAddition, Parents: []string{strconv.Itoa(lonely), strconv.Itoa(w.deal)}},
			func(r connectors.Record) error { records = append(records, r); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(listing.Gaps) != 1 || listing.Gaps[0].Parent != strconv.Itoa(w.deal) || len(records) != 2 {
			t.Errorf("gaps %+v and %d records, want a gap of agreement %d only and 2 records", listing.Gaps, len(records), w.deal)
		}
	})
	t.Run("an agreement that is gone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		listing, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindAddition, Parents: []string{"99999", strconv.Itoa(w.deal)}}, func(connectors.Record) error { return nil })
		if err != nil || listing.Received != 2 || len(listing.Gaps) != 1 || listing.Gaps[0].Class != connectors.ClassMissing || listing.Gaps[0].Parent != "99999" {
			t.Errorf("listing %+v, error %v", listing, err)
		}
	})
	t.Run("the role lacks additions", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for i := range 5 {
			w.fake.AddAgreement(connectwisetest.Agreement{Name: fmt.Sprint("A", i), Company: w.company})
		}
		w.misbehave("forbid", "additions")
		_, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindAddition}, func(connectors.Record) error { return nil })
		wantError(t, err, connectors.ClassAuth, "", "security role")
	})
	t.Run("an agreement list that is short", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.misbehave("empty_list", "")
		_, listing := w.list(kindAddition)
		if len(listing.Gaps) != 1 || listing.Gaps[0].Parent != "" {
			t.Errorf("gaps %+v, want one of the whole listing", listing.Gaps)
		}
	})
}

func TestWrongKeysOfACloudTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.misbehave("reject_keys", "404")
	_, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kindCompany}, func(connectors.Record) error { return nil })
	wantError(t, err, connectors.ClassAuth, "", "404 to wrong keys", "public_key")
}

func TestUnknownCompany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting("company", "Acme"))
	_, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindCompany, ID: "1"})
	wantError(t, err, connectors.ClassAuth, "", `does not know the company "Acme"`, "case")
}

func TestFieldsOfAnAddition(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{"", "null", "text"} {
		t.Run("unset dates as "+empty, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if empty != "" {
				w.misbehave("empty_dates", empty)
			}
			w.edit(kindAddition, w.line, map[string]any{"lessIncluded": 2, "custom.Vendor Subscription Id": "\u200bsub-1\ufeff "})
			rec, err := w.c.Read(t.Context(), w.lineRef())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for name, v := range rec.Fields {
				got[name] = string(v.Type()) + " " + v.String()
			}
			diff(t, "fields", map[string]string{
				"id": "text " + strconv.Itoa(w.line), "product": "text " + strconv.Itoa(w.product), "productIdentifier": "text M365-BP",
				"quantity": "quantity 10", "lessIncluded": "quantity 2", "billedQuantity": "quantity 8",
				"unitPrice": "money 12.5 GBP", "unitCost": "money 9 GBP", "effectiveDate": "day 2031-01-01", "cancelledDate": "day ",
				"billCustomer": "text Billable", "invoiceDescription": "text Business Premium", "description": "text Business Premium",
				"serialNumber": "text ", "sequenceNumber": "quantity " + strconv.Itoa(w.line), "taxableFlag": "bool true",
				"agreementStatus": "text Active", "updatedBy": "text jdoe", "dateEntered": "instant 2031-01-02T09:00:00Z",
				"custom.Vendor Subscription Id": "text sub-1",
			}, got)
			if rec.Parent != strconv.Itoa(w.deal) || !rec.Changed.Equal(w.clock.Now()) {
				t.Errorf("parent %q, changed %s", rec.Parent, rec.Changed)
			}
		})
	}
}

func TestContactMail(t *testing.T) {
	t.Parallel()
	item := func(kind, value string, standard bool) any {
		return map[string]any{"communicationType": kind, "value": value, "defaultFlag": standard}
	}
	cases := map[string]struct {
		items []any
		want  string
	}{
		"default wins": {[]any{item("Email", "old@example.com", false), item("Email", "new@example.com", true)}, "new@example.com"},
		"else first":   {[]any{item("Phone", "0100", true), item("Email", "a@example.com", false), item("Email", "b@example.com", false)}, "a@example.com"},
		"none":         {[]any{item("Phone", "0100", true)}, ""},
		"no items":     {nil, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diff(t, "mail", model.Text(test.want).String(), communication("Email")(object{"communicationItems": test.items}).String())
		})
	}
}

func TestDeletedCompanies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.fake.AddCompany(connectwisetest.Company{Identifier: "gone", Name: "Gone", Deleted: true})
	records, _ := w.list(kindCompany)
	if len(records) != 1 {
		t.Errorf("%d companies listed, want the one that is not deleted", len(records))
	}
	_, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindCompany, ID: strconv.Itoa(gone)})
	wantError(t, err, connectors.ClassMissing, "", "deleted")
}

func TestCodebaseMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.c.Read(t.Context(), w.lineRef()); err != nil {
		t.Fatal(err)
	}
	w.misbehave("switch_codebase", "v2026_2/")
	if _, err := w.c.Read(t.Context(), w.lineRef()); err != nil {
		t.Fatalf("read after the move: %v", err)
	}
	w.misbehave("switch_codebase", "v2026_3/")
	mark := len(w.fake.Requests())
	rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: map[string]connectors.Edit{"quantity": {To: model.Int(12)}}})
	if err != nil || rec.Fields["quantity"].String() != "12" {
		t.Fatalf("write after the move: %v", err)
	}
	asked := 0
	for _, r := range w.since(mark) {
		if strings.HasPrefix(r.Path, "login/") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the codebase was asked %d times, want once", asked)
	}
	// A record that is gone stays gone: the tenant has not moved.
	_, err = w.c.Read(t.Context(), connectors.Ref{Kind: kindCompany, ID: "99999"})
	wantError(t, err, connectors.ClassMissing, "", "99999")
}

func TestPinnedCodebase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting("codebase", "/v4_6_release"))
	w.list(kindCompany)
	_, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindCompany, ID: "99999"})
	wantError(t, err, connectors.ClassMissing, "")
	if slices.ContainsFunc(w.fake.Requests(), func(r connectwisetest.Request) bool { return strings.HasPrefix(r.Path, "login/") }) {
		t.Error("the login page was asked although the codebase is set")
	}
}

func TestIDsBelongToNoPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, ref := range []connectors.Ref{
		{Kind: kindCompany, ID: "1/merge"}, {Kind: kindCompany, ID: ""}, {Kind: kindAddition, ID: "1", Parent: "../1"}, {Kind: kindAddition, ID: "1"}, {Kind: "invoice", ID: "1"}, {Kind: kindNote, ID: "1"}, {Kind: kindTicket, ID: "1/notes"},
	} {
		_, err := w.c.Read(t.Context(), ref)
		wantError(t, err, connectors.ClassInvalid, "")
	}
	if n := len(w.fake.Requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestStoppedListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 30 {
		deal := w.fake.AddAgreement(connectwisetest.Agreement{Name: fmt.Sprint("A", i), Company: w.company})
		w.fake.AddAddition(connectwisetest.Addition{Agreement: deal, Product: w.product})
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := w.c.List(ctx, connectors.ListRequest{Kind: kindAddition}, func(connectors.Record) error {
		stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that is context.Canceled", err)
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for in, want := range map[model.Value]model.Value{
		gbp(t, "12.34565"):                  gbp(t, "12.3456"),
		gbp(t, "12.5"):                      gbp(t, "12.5"),
		model.Text(" \u200bsub-1\u2060 "):   model.Text("sub-1"),
		model.Int(5):                        model.Int(5),
		value(t, model.TypeQuantity, "5.0"): model.Int(5),
	} {
		if got := w.c.Canonical(kindAddition, "x", in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
