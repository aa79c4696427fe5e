package partnercenter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

// keaDental is what a PSA company gives a new customer; more are native fields and their values.
func keaDental(more ...string) connectors.CreateRequest {
	fields := model.Fields{}
	for _, pairs := range [][]string{{domainField, "keadental.onmicrosoft.com", billingProfile + "companyName", "Kea Dental", billingProfile + "email", "it@kea.example",
		addressField + "firstName", "Ana", addressField + "lastName", "Rewi", addressField + "addressLine1", "4 Quay Road", addressField + "city", "Nelson", addressField + "country", "NZ"}, more} {
		for i := 0; i < len(pairs); i += 2 {
			fields[pairs[i]] = model.Text(pairs[i+1])
		}
	}
	return connectors.CreateRequest{Kind: kindCustomer, Fields: fields, Key: "create kea"}
}

func TestNewCustomerAndItsPassword(t *testing.T) {
	t.Parallel()
	v := &vault{}
	w := start(t, setup{empty: true, account: func(a *connectors.Account) { a.Vault = v }})
	if err := w.CheckCreate(t.Context(), keaDental()); err != nil {
		t.Errorf("nothing stands in the way, and yet: %v", err)
	}
	rec, err := w.Create(t.Context(), keaDental())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"companyProfile.companyName": "Kea Dental", domainField: "keadental.onmicrosoft.com", "relationshipToPartner": "reseller",
		billingProfile + "culture": "en-NZ", billingProfile + "language": "en", addressField + "firstName": "Ana", addressField + "addressLine2": ""}
	for field, value := range want {
		if got, ok := rec.Fields[field]; !ok || got.String() != value {
			t.Errorf("%s is %q, want %q", field, got, value)
		}
	}
	password := w.fake.Passwords()[0]
	kept, ok, _ := v.Get(t.Context(), connectors.PasswordKey("microsoft", rec.ID))
	if !ok || kept.Reveal() != "admin@keadental.onmicrosoft.com "+password {
		t.Errorf("the vault keeps the password: %t", ok)
	}
	if strings.Contains(fmt.Sprintf("%+v", rec), password) {
		t.Error("the record holds the password")
	}
	// A reply that was lost: the next intent has another key, and finds the customer by its domain.
	again := keaDental()
	again.Key = "create kea once more"
	if found, err := w.Create(t.Context(), again); err != nil || found.ID != rec.ID {
		t.Errorf("once more: %s, %v, want %s", found.ID, err, rec.ID)
	}
	if n := len(w.fake.Dump().Customers); n != 1 {
		t.Errorf("%d customers, want 1", n)
	}
}

// The list lacks what was just made. The domain is taken by then, so there is no second tenant.
func TestCustomerThatListsDoNotShowYet(t *testing.T) {
	t.Parallel()
	w := start(t, setup{empty: true})
	w.misbehave("late_customer", "2")
	w.misbehave("lost_reply", "1")
	_, err := w.Create(t.Context(), keaDental())
	wants(t, err, connectors.ClassUnknown)
	again := keaDental()
	again.Key = "another intent"
	_, err = w.Create(t.Context(), again)
	wants(t, err, connectors.ClassInvalid, "taken")
	if _, _, err := w.list(kindCustomer); err != nil {
		t.Fatal(err)
	}
	if rec, err := w.Create(t.Context(), again); err != nil || rec.Fields[domainField].String() != "keadental.onmicrosoft.com" {
		t.Errorf("once it shows: %v", err)
	}
	if n := len(w.fake.Dump().Customers); n != 1 {
		t.Errorf("%d customers, want 1", n)
	}
}

// A tax number is sent only where the service takes it.
func TestRegistrationNumberByCountry(t *testing.T) {
	t.Parallel()
	for country, want := range map[string]string{"NZ": "", "HU": "12345"} {
		w := start(t, setup{empty: true})
		rec, err := w.Create(t.Context(), keaDental(addressField+"country", country, registrationField, "12345", addressField+"phoneNumber", "5550101"))
		if err != nil {
			t.Fatal(err)
		}
		if got := rec.Fields[registrationField].String(); got != want {
			t.Errorf("%s: number %q, want %q", country, got, want)
		}
	}
}

func TestWhatStandsInTheWayOfANewCustomer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		request connectors.CreateRequest
		words   []string
	}{
		"no street":       {keaDental(addressField+"addressLine1", ""), []string{"a new customer needs it", "on the company in the PSA"}},
		"not a domain":    {keaDental(domainField, "kea.example"), []string{"not a tenant's domain"}},
		"country by name": {keaDental(addressField+"country", "New Zealand"), []string{"two letters"}},
		"read only":       {keaDental("relationshipToPartner", "reseller"), []string{"does not take this"}},
		"taken":           {keaDental(domainField, "taken.onmicrosoft.com"), []string{"no customer of ours", "relationship at https://admin.example.com", "a second tenant is never made"}},
		"ours, renamed":   {keaDental(domainField, "kiwi.onmicrosoft.com"), []string{`"Kiwi Orchards"`, "trueup links add"}},
		"no such address": {keaDental(addressField+"city", "Nowhere"), []string{"does not find this address", "No address matches"}},
		"part of address": {keaDental(addressField+"addressLine1", "Quay Road"), []string{"it suggests 1 Quay Road, Nelson"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{empty: true})
			w.fake.TakeDomain("taken.onmicrosoft.com")
			w.fake.AddCustomer(partnercentertest.Customer{Name: "Kiwi Orchards", Domain: "kiwi.onmicrosoft.com"})
			wants(t, w.CheckCreate(t.Context(), test.request), connectors.ClassInvalid, test.words...)
			_, err := w.Create(t.Context(), test.request)
			wants(t, err, connectors.ClassInvalid, test.words...)
			if n := len(w.fake.Dump().Customers); n != 1 {
				t.Errorf("%d customers, want the one there was", n)
			}
		})
	}
	t.Run("ours, same name", func(t *testing.T) {
		t.Parallel()
		w := start(t, setup{empty: true})
		w.fake.AddCustomer(partnercentertest.Customer{Name: "KEA Dental", Domain: "keadental.onmicrosoft.com"})
		wants(t, w.CheckCreate(t.Context(), keaDental()), connectors.ClassInvalid, "already", "trueup links add")
	})
}

func TestNewCustomerOfAReseller(t *testing.T) {
	t.Parallel()
	provider := partnercentertest.Options{AccountType: partnercentertest.IndirectProvider}
	w := start(t, setup{options: provider, empty: true})
	wants(t, w.CheckCreate(t.Context(), keaDental()), connectors.ClassInvalid, "set reseller")
	w = start(t, setup{options: provider, empty: true, account: func(a *connectors.Account) { a.Settings["reseller"] = "5550017" }})
	reseller := w.fake.AddReseller(partnercentertest.Reseller{Name: "Tasman IT", MPNID: "5550017"})
	rec, err := w.Create(t.Context(), keaDental())
	if err != nil || rec.Fields["associatedPartnerId"].String() != reseller.ID {
		t.Errorf("reseller %q, %v, want %s", rec.Fields["associatedPartnerId"], err, reseller.ID)
	}
	w.fake.AddCustomer(partnercentertest.Customer{Name: "Kiwi Orchards", Domain: "kiwi.onmicrosoft.com", AssociatedPartner: "another"})
	err = w.CheckCreate(t.Context(), keaDental(domainField, "kiwi.onmicrosoft.com", billingProfile+"companyName", "Kiwi Orchards"))
	wants(t, err, connectors.ClassInvalid, "another reseller")
	if strings.Contains(err.Error(), "Kiwi") {
		t.Errorf("another reseller's customer is named: %v", err)
	}
}

func TestBillingProfileGoesBackWhole(t *testing.T) {
	t.Parallel()
	w := start(t, setup{empty: true})
	customer := w.fake.AddCustomer(partnercentertest.Customer{Name: "Kea Dental", Email: "it@kea.example",
		Address: partnercentertest.Address{Line1: "4 Quay Road", Line2: "Floor 2", City: "Nelson", Country: "NZ", Phone: "5550101"}})
	ref := connectors.Ref{Kind: kindCustomer, ID: customer.ID}
	text := func(from, to string) connectors.Edit {
		return connectors.Edit{From: model.Text(from), To: model.Text(to)}
	}
	change := func(edits map[string]connectors.Edit) (connectors.Record, error) {
		return w.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Edits: edits, Key: fmt.Sprint(edits)})
	}
	if _, err := change(map[string]connectors.Edit{addressField + "addressLine1": text("4 Quay Road", "5 Quay Road"), addressField + "firstName": text("", "Ana")}); err != nil {
		t.Fatal(err)
	}
	want := &partnercentertest.Billing{CompanyName: "Kea Dental", Email: "it@kea.example", FirstName: "Ana", Culture: "en-NZ", Language: "en", Version: 1,
		Address: partnercentertest.Address{Line1: "5 Quay Road", Line2: "Floor 2", City: "Nelson", Country: "NZ", Phone: "5550101"}}
	if diff := cmp.Diff(want, w.fake.Dump().Customers[0].Billing); diff != "" {
		t.Errorf("billing profile (-want +got):\n%s", diff)
	}
	for name, test := range map[string]struct {
		field string
		edit  connectors.Edit
		class connectors.Class
		words []string
	}{
		"moved meanwhile": {billingProfile + "email", text("old@kea.example", "new@kea.example"), connectors.ClassStale, []string{"it@kea.example"}},
		"no address":      {addressField + "addressLine1", text("5 Quay Road", "Quay Road"), connectors.ClassInvalid, []string{"does not find", "suggests"}},
		"emptied":         {billingProfile + "email", text("it@kea.example", ""), connectors.ClassInvalid, []string{"cannot be emptied"}},
		"the country":     {addressField + "country", text("NZ", "AU"), connectors.ClassInvalid, []string{"does not let this be changed"}},
		"the name itself": {"companyProfile.companyName", text("Kea Dental", "Kea"), connectors.ClassInvalid, []string{"does not let this be changed"}},
	} {
		_, err := change(map[string]connectors.Edit{test.field: test.edit})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wants(t, err, test.class, test.words...)
	}
	if v := w.fake.Dump().Customers[0].Billing.Version; v != 1 {
		t.Errorf("%d changes took effect, want 1", v)
	}
}

func TestFeedTellsOfBillingProfiles(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.clock.Advance(3 * time.Hour) // the customers of the sample are no news any more
	begin, err := w.Changes(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	id := w.fake.Dump().Customers[0].ID
	if err := w.fake.EditBilling(id, func(b *partnercentertest.Billing) { b.Email = "new@example.com" }); err != nil {
		t.Fatal(err)
	}
	told, err := w.Changes(t.Context(), begin.Cursor)
	if err != nil {
		t.Fatal(err)
	}
	if len(told.Records) != 1 || told.Records[0].ID != strings.ToLower(id) || told.Records[0].Fields[billingProfile+"email"].String() != "new@example.com" {
		t.Errorf("told %v", told.Records)
	}
	if why := told.Scan[kindCustomer]; why != "" {
		t.Errorf("one profile needs no listing of all customers: %s", why)
	}
}
