package connectwise

import (
	"strconv"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

func newCompany(name, tenant string) connectors.CreateRequest {
	return connectors.CreateRequest{Kind: kindCompany, Fields: model.Fields{"name": model.Text(name), "addressLine1": model.Text("1 Quay"),
		"city": model.Text("Bath"), "countryCode": model.Text("GB"), "custom.Vendor Tenant Ids": model.Text(tenant)}}
}

func TestNewCompanyHasSiteTypeAndCountry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting("default_company_type", "customer"))
	rec, err := w.c.Create(t.Context(), newCompany("Kea & Sons Ltd", "t-1"))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "types", "Customer", rec.Fields["types"].String())
	diff(t, "country", "United Kingdom", rec.Fields["country"].String())
	id, _ := strconv.Atoi(rec.ID)
	site := w.fake.Record("site", w.fake.Record("company", id)["site"].(map[string]any)["id"].(int))
	diff(t, "site", "Main", site["name"].(string))
	diff(t, "street of the site", "1 Quay", site["addressLine1"].(string))

	change := connectors.ChangeRequest{Ref: connectors.Ref{Kind: kindCompany, ID: rec.ID}, Edits: map[string]connectors.Edit{
		"addressLine1": {From: model.Text("1 Quay"), To: model.Text("2 Quay")}, "countryCode": {From: model.Text("GB"), To: model.Text("DE")}}}
	if rec, err = w.c.Change(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	diff(t, "country", "Germany", rec.Fields["country"].String())
	diff(t, "street of the site", "2 Quay", w.fake.Record("site", site["id"].(int))["addressLine1"].(string))
}

// A reply that was lost, or a person who made the same company meanwhile: the ids that it keeps tell the two apart.
func TestCompanyOfTheSameName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, err := w.c.Create(t.Context(), newCompany("Kea", "t-1"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.c.Create(t.Context(), newCompany("Kea", "T-1"))
	if err != nil || again.ID != first.ID {
		t.Errorf("the same company again: %s, %v, want %s", again.ID, err, first.ID)
	}
	_, err = w.c.Create(t.Context(), newCompany("Kea", "t-2"))
	wantError(t, err, connectors.ClassInvalid, "name", "company "+first.ID+" is called", "trueup links add")
	if n := len(w.writes()); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

func TestCreateContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	request := connectors.CreateRequest{Kind: kindContact, Fields: model.Fields{"company": model.Text(strconv.Itoa(w.company)), "firstName": model.Text("Eve"),
		"lastName": model.Text("Moss"), "email": model.Text("eve@example.com"), "phone": model.Text("0100"), "defaultFlag": model.Bool(true)}}
	rec, err := w.c.Create(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "e-mail", "eve@example.com", rec.Fields["email"].String())
	diff(t, "telephone", "0100", rec.Fields["phone"].String())
	company, err := w.c.Read(t.Context(), connectors.Ref{Kind: kindCompany, ID: strconv.Itoa(w.company)})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "default contact", rec.ID, company.Fields["defaultContact"].String())
	if again, err := w.c.Create(t.Context(), request); err != nil || again.ID != rec.ID {
		t.Errorf("the same person again: %s, %v, want %s", again.ID, err, rec.ID)
	}
	if n := len(w.writes()); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}

// Items that are not the default ones keep their values when another is changed.
func TestChangeOfOneItemKeepsTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := connectors.Ref{Kind: kindContact, ID: strconv.Itoa(w.contact)}
	steps := []struct {
		field, to   string
		mail, phone string
	}{
		{"phone", "0300", "ada@example.com", "0300"},
		{"email", "ada.smith@example.com", "ada.smith@example.com", "0300"},
		{"phone", "", "ada.smith@example.com", ""},
	}
	for _, step := range steps {
		rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Edits: map[string]connectors.Edit{step.field: {To: model.Text(step.to)}}})
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "e-mail", step.mail, rec.Fields["email"].String())
		diff(t, "telephone", step.phone, rec.Fields["phone"].String())
	}
}

// Somebody makes the same thing between our look and our write.
func TestRaceOfTwoCreations(t *testing.T) {
	t.Parallel()
	t.Run("agreement", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var theirs int
		w.beforePost("finance/agreements", func() {
			theirs = w.fake.AddAgreement(connectwisetest.Agreement{Name: "Cloud Services", Company: w.company, Contact: w.contact, Type: "Cloud Services", Start: "2031-02-01"})
		})
		rec, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindAgreement, Fields: model.Fields{"name": model.Text("Cloud Services"),
			"type": model.Text("Cloud Services"), "company": model.Text(strconv.Itoa(w.company)), "startDate": model.DayValue(model.NewDay(2031, 2, 1))}})
		if err != nil || rec.ID != strconv.Itoa(theirs) {
			t.Errorf("agreement %s, %v: want the older one, %d", rec.ID, err, theirs)
		}
	})
	t.Run("catalog item", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		var theirs int
		w.beforePost("procurement/catalog", func() {
			theirs = w.fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "E5", PartNumber: "SKU P1Y monthly"})
		})
		rec, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindProduct, Fields: model.Fields{"identifier": model.Text("E5"),
			"description": model.Text("E5"), "manufacturerPartNumber": model.Text("SKU P1Y monthly")}})
		if err != nil || rec.ID != strconv.Itoa(theirs) {
			t.Errorf("item %s, %v: want the one that is there, %d", rec.ID, err, theirs)
		}
		if n := w.fake.Writes(); n != 0 {
			t.Errorf("%d writes took effect, want none", n)
		}
	})
}
