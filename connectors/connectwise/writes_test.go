package connectwise

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

func edits(pairs ...any) map[string]connectors.Edit {
	all := map[string]connectors.Edit{}
	for i := 0; i < len(pairs); i += 3 {
		all[pairs[i].(string)] = connectors.Edit{From: pairs[i+1].(model.Value), To: pairs[i+2].(model.Value)}
	}
	return all
}

// Only what differs travels: a quantity never takes a price along, references and custom fields go whole.
func TestWhatAChangeSends(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		edits map[string]connectors.Edit
		want  string // %d is the id of the first custom field, then of the second
	}{
		"a quantity": {edits("quantity", model.Int(10), model.Int(17)), `[{"op":"replace","path":"quantity","value":17}]`},
		"a price":    {edits("unitPrice", gbp(t, "12.5"), gbp(t, "13.98765")), `[{"op":"replace","path":"unitPrice","value":13.9876}]`},
		"one of two that differs": {edits("quantity", model.Int(10), model.Int(10), "billCustomer", model.Text("Billable"), model.Text("NoCharge")),
			`[{"op":"replace","path":"billCustomer","value":"NoCharge"}]`},
		"a custom field": {edits("custom.Vendor Subscription Id", model.Text("sub-1"), model.Text("sub-2")),
			`[{"op":"replace","path":"customFields","value":[{"id":%d,"value":"sub-2"},{"id":%d,"value":4.5}]}]`},
		"a custom number": {edits("custom.Discount", model.Text("4.5"), model.Text("6")),
			`[{"op":"replace","path":"customFields","value":[{"id":%d,"value":"sub-1"},{"id":%d,"value":6}]}]`},
		"a custom field emptied": {edits("custom.Discount", model.Text("4.5"), model.Text("")),
			`[{"op":"replace","path":"customFields","value":[{"id":%d,"value":"sub-1"},{"id":%d,"value":null}]}]`},
		"nothing that differs": {edits("quantity", model.Int(9), model.Int(10)), ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first := w.fake.Record("addition", w.line)["customFields"].([]any)[0].(map[string]any)["id"]
			second := w.fake.AddCustomField("addition", "Discount", "Number")
			w.edit("addition", w.line, map[string]any{"custom.Discount": 4.5})
			if _, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: test.edits}); err != nil {
				t.Fatal(err)
			}
			var want []string
			if test.want != "" {
				body := test.want
				if strings.Contains(body, "%d") {
					body = fmt.Sprintf(body, first, second)
				}
				want = []string{fmt.Sprintf("PATCH finance/agreements/%d/additions/%d %s", w.deal, w.line, body)}
			}
			diff(t, "writes", want, w.writes())
		})
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		field string
		to    model.Value
		says  string
	}{
		"another currency":      {"unitPrice", value(t, model.TypeMoney, "9 USD"), "not in GBP"},
		"below zero":            {"quantity", model.Int(-1), "below zero"},
		"an emptied quantity":   {"quantity", model.Empty(model.TypeQuantity), "cannot be emptied"},
		"nothing":               {"quantity", model.Value{}, "no value"},
		"too long":              {"invoiceDescription", model.Text(strings.Repeat("x", 6001)), "6001 characters are too many: ConnectWise takes 6000"},
		"too long an id":        {"custom.Vendor Subscription Id", model.Text(strings.Repeat("x", 51)), "takes 50"},
		"a derived field":       {"billedQuantity", model.Int(1), "the PSA sets it itself"},
		"the end, by changing":  {"cancelledDate", model.DayValue(model.NewDay(2031, 5, 1)), "the PSA sets it itself"},
		"a field that is fixed": {"product", model.Text("1"), "fixed once the record is made"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: map[string]connectors.Edit{test.field: {To: test.to}}})
			wantError(t, err, connectors.ClassInvalid, test.field, test.says)
			if n := len(w.fake.Requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestStaleChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.edit("addition", w.line, map[string]any{"quantity": 11})
	_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("quantity", model.Int(10), model.Int(9))})
	wantError(t, err, connectors.ClassStale, "quantity", `"10"`, `"11"`)
	diff(t, "writes", []string(nil), w.writes())
}

// The PSA can answer 200 and change nothing.
func TestFalse200(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.misbehave("false_200", "")
	_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("quantity", model.Int(10), model.Int(9))})
	wantError(t, err, connectors.ClassInvalid, "quantity", `still holds "10"`, "audit trail")
	if n := len(w.writes()); n != 1 {
		t.Errorf("%d writes, want one", n)
	}
	_, err = w.c.End(t.Context(), connectors.EndRequest{Ref: w.lineRef(), Last: model.NewDay(2031, 2, 28)})
	wantError(t, err, connectors.ClassInvalid, "cancelledDate", "still holds")
}

func TestRoundedPrices(t *testing.T) {
	t.Parallel()
	for digits, want := range map[string]string{"2": "12.35 GBP", "3": "12.346 GBP", "4": "12.3456 GBP"} {
		t.Run(digits, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.misbehave("round_prices", digits)
			rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("unitPrice", gbp(t, "12.5"), gbp(t, "12.3456"))})
			if err != nil || rec.Fields["unitPrice"].String() != want {
				t.Errorf("price %q, error %v, want %s", rec.Fields["unitPrice"], err, want)
			}
		})
	}
	t.Run("whole pounds are not rounding", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.misbehave("round_prices", "0")
		_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("unitPrice", gbp(t, "12.5"), gbp(t, "12.3456"))})
		wantError(t, err, connectors.ClassInvalid, "unitPrice", "still holds")
	})
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	for _, misbehaviour := range []string{"lost_reply", "error_after_commit"} {
		t.Run("create, "+misbehaviour, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			req := connectors.CreateRequest{Kind: kindAddition, Parent: strconv.Itoa(w.deal), Key: "k1", Fields: model.Fields{
				"product": model.Text(strconv.Itoa(w.product)), "quantity": model.Int(3), w.c.idField: model.Text("sub-9")}}
			w.misbehave(misbehaviour, "1")
			_, err := w.c.Create(t.Context(), req)
			wantError(t, err, connectors.ClassUnknown, "")
			before := w.fake.IDs("addition")
			rec, err := w.c.Create(t.Context(), req)
			if err != nil || rec.ID != strconv.Itoa(before[len(before)-1]) {
				t.Errorf("the second create gave %q, %v, want the line that the first one made", rec.ID, err)
			}
			if w.fake.Writes() != 1 {
				t.Errorf("%d writes, want 1", w.fake.Writes())
			}
		})
		t.Run("change, "+misbehaviour, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.misbehave(misbehaviour, "1")
			req := connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("quantity", model.Int(10), model.Int(9))}
			_, err := w.c.Change(t.Context(), req)
			wantError(t, err, connectors.ClassUnknown, "")
			if rec, err := w.c.Change(t.Context(), req); err != nil || rec.Fields["quantity"] != model.Int(9) {
				t.Errorf("again: %v, %v", rec.Fields["quantity"], err)
			}
			if w.fake.Writes() != 1 {
				t.Errorf("%d writes, want 1", w.fake.Writes())
			}
		})
	}
}

func TestErrorIn200OfAWriteIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ops := []operation{{"replace", "quantity", 9}}
	if _, err := w.c.Read(t.Context(), w.lineRef()); err != nil {
		t.Fatal(err)
	}
	w.misbehave("error_in_200", "")
	_, err := w.c.patch(t.Context(), "change addition", resourceOf(kindAddition), w.lineRef(), ops, model.Fields{"quantity": model.Int(9)})
	wantError(t, err, connectors.ClassUnknown, "", "200 with an error in it", "read the record")
}

// The id of the subscription is kept in the custom field, or in the serial number where there is none.
func TestWhereTheSubscriptionIdIsKept(t *testing.T) {
	t.Parallel()
	create := func(w *world, id string) connectors.Record {
		w.Helper()
		rec, err := w.c.Create(w.Context(), connectors.CreateRequest{Kind: kindAddition, Parent: strconv.Itoa(w.deal), Fields: model.Fields{
			"product": model.Text(strconv.Itoa(w.product)), "quantity": model.Int(3), w.c.idField: model.Text(id)}})
		if err != nil {
			w.Fatal(err)
		}
		if got := rec.Fields[w.c.idField].String(); got != id {
			w.Errorf("the new line holds %q, want %q", got, id)
		}
		return rec
	}
	t.Run("custom field, in one write", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		rec := create(w, "sub-9")
		id, _ := strconv.Atoi(rec.ID)
		shown := w.fake.Record("addition", id)
		if shown["custom.Vendor Subscription Id"] != "sub-9" || shown["serialNumber"] != nil || w.fake.Writes() != 1 {
			t.Errorf("custom %v, serial %v, %d writes", shown["custom.Vendor Subscription Id"], shown["serialNumber"], w.fake.Writes())
		}
	})
	t.Run("serial number", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, server(func(o *connectwisetest.Options) { o.Bare = true }))
		rec := create(w, "sub-9")
		id, _ := strconv.Atoi(rec.ID)
		if got := w.fake.Record("addition", id)["serialNumber"]; got != "sub-9" {
			t.Errorf("serial number %v", got)
		}
		rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: connectors.Ref{Kind: kindAddition, ID: rec.ID, Parent: rec.Parent},
			Edits: edits(w.c.idField, model.Text("sub-9"), model.Text("sub-10"))})
		if err != nil || rec.Fields[w.c.idField].String() != "sub-10" || w.fake.Record("addition", id)["serialNumber"] != "sub-10" {
			t.Errorf("after the change: %q, %v", rec.Fields[w.c.idField], err)
		}
	})
	t.Run("the first line of a PSA", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for _, id := range []int{w.line, w.second} {
			if err := w.fake.Remove("addition", id); err != nil {
				t.Fatal(err)
			}
		}
		rec := create(w, "sub-9")
		id, _ := strconv.Atoi(rec.ID)
		shown := w.fake.Record("addition", id)
		if shown["custom.Vendor Subscription Id"] != "sub-9" || shown["serialNumber"] != "" {
			t.Errorf("custom %v, serial %q: the custom field should hold it alone", shown["custom.Vendor Subscription Id"], shown["serialNumber"])
		}
	})
}

func TestCreateCompany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindCompany, Fields: model.Fields{
		"name": model.Text("Müller & Söhne Großhandel GmbH Leipzig"), "zip": model.Text("04109"), "custom.Vendor Tenant Ids": model.Text("t-1")}})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "identifier", "MüllerSöhneGroßhandelGmbH", rec.Fields["identifier"].String())
	diff(t, "postal code", "04109", rec.Fields["zip"].String())
	diff(t, "tenant", "t-1", rec.Fields["custom.Vendor Tenant Ids"].String())

	_, err = w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindCompany, Fields: model.Fields{"name": model.Text("CON toso!")}})
	wantError(t, err, connectors.ClassInvalid, "identifier", "already exists", "link the record that exists")

	_, err = w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindCompany, Fields: model.Fields{"name": model.Text("New"), "custom.Colour": model.Text("red")}})
	wantError(t, err, connectors.ClassInvalid, "custom.Colour", `no custom field "Colour"`, "administrator")
	if n := len(w.writes()); n != 2 {
		t.Errorf("%d writes, want 2: the last company was refused before it was sent", n)
	}
}

func TestCreateCatalogItem(t *testing.T) {
	t.Parallel()
	fields := func(more ...string) model.Fields {
		f := model.Fields{"identifier": model.Text("E5"), "description": model.Text("Microsoft 365 E5"), "price": gbp(t, "50.25")}
		for i := 0; i < len(more); i += 2 {
			f[more[i]] = model.Text(more[i+1])
		}
		return f
	}
	t.Run("by the defaults", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		rec, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindProduct, Fields: fields("manufacturerPartNumber", "SKU:0001 P1Y monthly")})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"productClass": "Agreement", "subcategory": "Cloud", "type": "Service", "customerDescription": "Microsoft 365 E5", "price": "50.25 GBP"} {
			diff(t, name, want, rec.Fields[name].String())
		}
	})
	cases := map[string]struct {
		more, says []string
		option     option
		field      string
	}{
		"an unknown subcategory": {more: []string{"subcategory", "Clouds"}, field: "subcategory", says: []string{`no subcategory named "Clouds"`, "it knows Cloud"}},
		"no product type":        {option: setting("default_product_type", ""), field: "type", says: []string{"default_product_type"}},
		"a bundle":               {more: []string{"productClass", "Bundle"}, field: "productClass", says: []string{"cannot be an addition"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options []option
			if test.option != nil {
				options = append(options, test.option)
			}
			w := newWorld(t, options...)
			_, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindProduct, Fields: fields(test.more...)})
			wantError(t, err, connectors.ClassInvalid, test.field, test.says...)
			diff(t, "writes", []string(nil), w.writes())
		})
	}
}

func TestCreateAgreement(t *testing.T) {
	t.Parallel()
	request := func(company int, name, typ string) connectors.CreateRequest {
		return connectors.CreateRequest{Kind: kindAgreement, Fields: model.Fields{"name": model.Text(name), "type": model.Text(typ),
			"company": model.Text(strconv.Itoa(company)), "startDate": model.DayValue(model.NewDay(2031, 2, 28))}}
	}
	t.Run("with the company's contact", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		rec, err := w.c.Create(t.Context(), request(w.company, "New", "cloud services"))
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"type": "Cloud Services", "contact": strconv.Itoa(w.contact), "startDate": "2031-02-28", "endDate": "", "noEndingDateFlag": "true", "agreementStatus": "Inactive", "billingCycle": "Monthly"} {
			diff(t, name, want, rec.Fields[name].String())
		}
		again, err := w.c.Create(t.Context(), request(w.company, "New", "Cloud Services"))
		if err != nil || again.ID != rec.ID || w.fake.Writes() != 1 {
			t.Errorf("again: %q, %v, %d writes; want %q and one write", again.ID, err, w.fake.Writes(), rec.ID)
		}
	})
	t.Run("with the first contact", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		company := w.fake.AddCompany(connectwisetest.Company{Identifier: "fabrikam", Name: "Fabrikam"})
		w.fake.AddContact(connectwisetest.Contact{Company: company, FirstName: "Left", Inactive: true})
		want := w.fake.AddContact(connectwisetest.Contact{Company: company, FirstName: "Here"})
		rec, err := w.c.Create(t.Context(), request(company, "New", "Cloud Services"))
		if err != nil || rec.Fields["contact"].String() != strconv.Itoa(want) {
			t.Errorf("contact %q, %v, want %d", rec.Fields["contact"], err, want)
		}
	})
	t.Run("without a contact", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		company := w.fake.AddCompany(connectwisetest.Company{Identifier: "fabrikam", Name: "Fabrikam"})
		_, err := w.c.Create(t.Context(), request(company, "New", "Cloud Services"))
		wantError(t, err, connectors.ClassInvalid, "contact", "the company has none", "add a contact")
	})
	t.Run("of an unknown type", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		_, err := w.c.Create(t.Context(), request(w.company, "New", "Cloud"))
		wantError(t, err, connectors.ClassInvalid, "type", `no type named "Cloud"`, "Cloud Services, Managed Services")
	})
}

func TestBundleIsNoAddition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bundle := w.fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "PACK", Class: "Bundle"})
	_, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindAddition, Parent: strconv.Itoa(w.deal), Fields: model.Fields{
		"product": model.Text(strconv.Itoa(bundle)), "quantity": model.Int(1)}})
	wantError(t, err, connectors.ClassInvalid, "product", "Bundle")
}

func TestEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		already string // cancelled day before
		last    model.Day
		class   connectors.Class
		says    string
		want    string // the day sent
	}{
		"still billing":         {"", model.NewDay(2031, 2, 28), "", "", "2031-02-28T00:00:00Z"},
		"earlier than planned":  {"2031-06-30", model.NewDay(2031, 2, 28), "", "", "2031-02-28T00:00:00Z"},
		"on that day already":   {"2031-02-28", model.NewDay(2031, 2, 28), "", "", ""},
		"ended before":          {"2031-01-31", model.NewDay(2031, 2, 28), connectors.ClassStale, "would bill again", ""},
		"before its first day":  {"", model.NewDay(2030, 12, 31), connectors.ClassInvalid, "before its first day 2031-01-01", ""},
		"on no day":             {"", model.Day{}, connectors.ClassInvalid, "missing", ""},
		"on its first day only": {"", model.NewDay(2031, 1, 1), "", "", "2031-01-01T00:00:00Z"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if test.already != "" {
				w.edit("addition", w.line, map[string]any{"cancelledDate": test.already + "T00:00:00Z"})
			}
			rec, err := w.c.End(t.Context(), connectors.EndRequest{Ref: w.lineRef(), Last: test.last})
			if test.class != "" {
				wantError(t, err, test.class, "cancelledDate", test.says)
			} else if err != nil || rec.Fields["cancelledDate"] != model.DayValue(test.last) {
				t.Fatalf("ended on %q, %v", rec.Fields["cancelledDate"], err)
			}
			var want []string
			if test.want != "" {
				want = []string{fmt.Sprintf(`PATCH finance/agreements/%d/additions/%d [{"op":"replace","path":"cancelledDate","value":"%s"}]`, w.deal, w.line, test.want)}
			}
			diff(t, "writes", want, w.writes())
		})
	}
}

func TestOurOwnWritesAreRecognised(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: w.lineRef(), Edits: edits("quantity", model.Int(10), model.Int(9))})
	if err != nil || rec.Fields["updatedBy"].String() != "trueup-api" {
		t.Fatalf("changed by %q, %v", rec.Fields["updatedBy"], err)
	}
	report, err := w.c.Check(t.Context())
	if err != nil || !strings.Contains(report.Identity, "API member trueup-api") {
		t.Errorf("identity %q, %v", report.Identity, err)
	}
}
