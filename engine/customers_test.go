package engine_test

import (
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// person adds a company's main contact.
func (o *office) person(company connectors.Ref, first, last, mail string) connectors.Ref {
	return o.add(o.psa, connectors.Record{Kind: "contact", Fields: model.Fields{"company": model.Text(company.ID), "firstName": model.Text(first),
		"lastName": model.Text(last), "email": model.Text(mail), "defaultFlag": model.Bool(true)}})
}

func (o *office) text(w *memory.World, ref connectors.Ref, field string) string {
	o.t.Helper()
	rec, ok := w.Get(ref)
	if !ok {
		o.t.Fatalf("%v is not there", ref)
	}
	return rec.Fields[field].String()
}

// prospect is a company with a person and no tenant.
func prospect(t *testing.T) (*office, connectors.Ref) {
	t.Helper()
	o := newOffice(t)
	o.tenant("t-other", "Somebody Else", "else.example") // a vendor that shows nobody is not believed
	o.company("Somebody Else", "else.example")
	company := o.add(o.psa, connectors.Record{Kind: "company", Fields: model.Fields{"name": model.Text("Kea & Sons Ltd"), "website": model.Text("https://www.kea-sons.example"),
		"addressLine1": model.Text("4 Quay Road"), "city": model.Text("Nelson"), "status": model.Text("Active"), "types": model.List("Cloud Customer", "Owner"),
		"custom.Vendor Tenant Ids": model.Text("")}})
	o.person(company, "Ana", "Rewi", "ana@kea-sons.example")
	o.flow.Customers.MissingVendor, o.flow.Customers.NewTypes = engine.MissingCreate, []string{"cloud customer"}
	return o, company
}

// approve releases the latest plan of the flow as it is.
func (o *office) approve(p plan.Plan) string {
	o.t.Helper()
	released, ok := plan.Release(p)
	if !ok {
		o.t.Fatalf("nothing to release:\n%s", text(p))
	}
	_, err := o.engine.Store.Decide(o.t.Context(), state.Decision{Digest: released.Digest(), Flow: o.flow.Name, Person: "ann@desk", Verdict: state.Approved, Expires: o.now.Add(engine.ApprovedFor)})
	if err != nil {
		o.t.Fatal(err)
	}
	return released.Digest()
}

func (o *office) tenants() int { return len(o.vendor.Records("customer")) }

func TestCompanyBecomesACustomerWhenApproved(t *testing.T) {
	t.Parallel()
	o, company := prospect(t)
	o.sync() // keeps the other company's id
	waiting := o.sync()
	if got := reasons(waiting.Plan); got != "[held new_customer held waits_for]" || o.tenants() != 1 {
		t.Fatalf("got %s and %d customers, want a new one that waits:\n%s", got, o.tenants(), text(waiting.Plan))
	}
	for _, word := range []string{`tenant_domain "keasons"`, `billing_name "Kea & Sons Ltd"`, `address_line1 "4 Quay Road"`, `email "ana@kea-sons.example"`, `contact_first_name "Ana"`} {
		if !strings.Contains(waiting.Plan.Held[0].Detail, word) {
			t.Errorf("what is approved does not say %s: %s", word, waiting.Plan.Held[0].Detail)
		}
	}
	o.approve(waiting.Plan)
	done := o.sync()
	if done.Outcome.Done != 2 || o.tenants() != 2 {
		t.Fatalf("done %d, %d customers:\n%s\n%+v", done.Outcome.Done, o.tenants(), text(done.Plan), done.Outcome.Failures)
	}
	made := o.vendor.Records("customer")[1]
	if got := o.text(o.psa, company, "custom.Vendor Tenant Ids"); got != made.ID {
		t.Errorf("the company keeps %q, want %s", got, made.ID)
	}
	if done.Plan.Changes[0].Released == "" {
		t.Error("the journal does not say who approved it")
	}
	o.settled()
	// Losing the memory loses nothing: the id on the company links the two.
	o.newStore()
	o.settled()
}

// Undoing takes no tenant back, and says so. What follows an owner would come back, so that is settled on the owner's side.
func TestUndoOfCustomers(t *testing.T) {
	t.Parallel()
	undo := func(o *office, run string) engine.Result {
		o.t.Helper()
		result, err := o.run(engine.Options{Undo: run, Apply: true})
		if err != nil {
			o.t.Fatal(err)
		}
		return result
	}
	t.Run("a new tenant", func(t *testing.T) {
		t.Parallel()
		o, company := prospect(t)
		o.sync()
		o.approve(o.sync().Plan)
		done := o.sync()
		kept := o.text(o.psa, company, "custom.Vendor Tenant Ids")
		result := undo(o, done.Run.ID)
		if got := reasons(result.Plan); got != "[found not_undone]" || o.tenants() != 2 || o.text(o.psa, company, "custom.Vendor Tenant Ids") != kept {
			t.Errorf("got %s, %d customers, and the company keeps %q", got, o.tenants(), o.text(o.psa, company, "custom.Vendor Tenant Ids"))
		}
		o.settled()
	})
	t.Run("a new name of the contact", func(t *testing.T) {
		t.Parallel()
		o, tenant, _, contact := owned(t, plan.OwnerPSA)
		o.settled()
		o.edit(o.psa, contact, "lastName", model.Text("Moss"))
		done := o.sync()
		result := undo(o, done.Run.ID)
		if got := reasons(result.Plan) + " " + o.text(o.vendor, tenant, "billingProfile.lastName"); got != "[held comes_back] Moss" {
			t.Errorf("got %s:\n%s", got, text(result.Plan))
		}
		o.settled()
	})
}

func TestWishOfAPerson(t *testing.T) {
	t.Parallel()
	o, company := prospect(t)
	o.flow.Customers.MissingVendor = engine.MissingIgnore
	o.sync()
	o.settled()
	if _, err := o.engine.Store.PutWish(t.Context(), state.Wish{Flow: o.flow.Name, Company: company.ID, Domain: "keadental", Person: "ann@desk"}); err != nil {
		t.Fatal(err)
	}
	waiting := o.sync()
	o.approve(waiting.Plan)
	o.sync()
	if got := o.vendor.Records("customer")[1].Fields["companyProfile.domain"].String(); got != "keadental" {
		t.Errorf("the domain is %q", got)
	}
	o.settled()
}

// Approving names one plan: what changed since is not what was approved.
func TestApprovalOfANewCustomerIsForWhatItSaid(t *testing.T) {
	t.Parallel()
	o, company := prospect(t)
	o.sync()
	o.approve(o.sync().Plan)
	o.edit(o.psa, company, "city", model.Text("Picton"))
	if again := o.sync(); o.tenants() != 1 || !strings.Contains(reasons(again.Plan), "new_customer") {
		t.Errorf("%d customers: %s", o.tenants(), reasons(again.Plan))
	}
}

func TestNeverASecondTenant(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		arrange func(o *office)
		want    string
		says    string
	}{
		"the domain is taken": {func(o *office) { o.vendor.TakeDomain("keasons") }, "[held not_creatable]", "ask it for a relationship"},
		"a customer of the same name": {func(o *office) { o.tenant("t-kea", "KEA and Sons Limited", "") },
			"[held twin_exists found name_only]", "trueup links add"},
		"a linked company of the same name": {func(o *office) {
			o.company("Kea and Sons", "keatwin.example")
			o.tenant("t-twin", "Twin", "keatwin.example")
		},
			"[held twin_exists]", "merge the two companies"},
		"not all customers were read": {func(o *office) {
			o.tenant("t-more", "More", "more.example")
			o.misbehave(o.vendor, memory.CapPages, "1")
		}, "[held incomplete_read]", ""},
		"nothing to send": {func(o *office) {
			o.edit(o.psa, connectors.Ref{Kind: "contact", ID: o.psa.Records("contact")[0].ID}, "email", model.Text(""))
		},
			"[held not_creatable]", "email"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, _ := prospect(t)
			c.arrange(o)
			before := o.tenants()
			o.sync()
			result := o.sync()
			if got := reasons(result.Plan); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if all := text(result.Plan); !strings.Contains(all, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, all)
			}
			if _, ok := plan.Release(result.Plan); ok {
				t.Error("it can be approved")
			}
			if o.tenants() != before {
				t.Errorf("%d customers, want %d", o.tenants(), before)
			}
		})
	}
}

func TestLostReplyOfANewCustomer(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			o, company := prospect(t)
			o.sync()
			o.approve(o.sync().Plan)
			o.misbehave(o.vendor, fault, "1")
			o.sync()
			o.vendor.Behave(fault)
			for range 2 {
				if result := o.sync(); fault == memory.LostBeforeCommit && o.tenants() == 1 {
					o.approve(result.Plan) // it was not made, so it is asked for again
				}
			}
			o.sync()
			if o.tenants() != 2 {
				t.Fatalf("%d customers, want 2", o.tenants())
			}
			if got := o.text(o.psa, company, "custom.Vendor Tenant Ids"); got != o.vendor.Records("customer")[1].ID {
				t.Errorf("the company keeps %q", got)
			}
			o.settled()
		})
	}
}

func TestVendorCustomerBecomesACompanyWithAContact(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.flow.Customers.MissingPSA = engine.MissingCreate
	o.add(o.vendor, connectors.Record{Kind: "customer", ID: "t-kea", Fields: model.Fields{"companyProfile.companyName": model.Text("Kea"), "companyProfile.tenantId": model.Text("t-kea"),
		"billingProfile.firstName": model.Text("Ana"), "billingProfile.lastName": model.Text("Rewi"), "billingProfile.email": model.Text("ana@kea.example")}})
	o.company("Somebody", "some.example") // a PSA that shows nobody is not believed
	o.subscription("t-kea", "s-1", 5, "P1Y")
	first := o.sync()
	var order []string
	for _, c := range first.Plan.Changes {
		order = append(order, string(c.Target.Kind))
	}
	if got := strings.Join(order, " "); got != "customer contact contract product line" || first.Outcome.Done != 5 {
		t.Fatalf("did %d of %s:\n%+v", first.Outcome.Done, got, first.Outcome.Failures)
	}
	people := o.psa.Records("contact")
	if len(people) != 1 || people[0].Fields["firstName"].String() != "Ana" || !people[0].Fields["defaultFlag"].True() || people[0].Fields["company"].String() != o.psa.Records("company")[1].ID {
		t.Errorf("contacts %v", people)
	}
	o.settled()
}

// Killed between company and contact: each is finished once.
func TestInterruptedCompanyAndContact(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{memory.ErrorAfterCommit, memory.LostBeforeCommit} {
		for _, first := range []string{"company", "contact"} {
			t.Run(fault+" of the "+first, func(t *testing.T) {
				t.Parallel()
				o := newOffice(t)
				o.flow.Customers.MissingPSA = engine.MissingCreate
				o.add(o.vendor, connectors.Record{Kind: "customer", ID: "t-kea", Fields: model.Fields{"companyProfile.companyName": model.Text("Kea"), "companyProfile.tenantId": model.Text("t-kea"),
					"billingProfile.email": model.Text("ana@kea.example")}})
				o.company("Somebody", "some.example")
				if first == "contact" { // the company is there, as after a kill between the two
					o.edit(o.psa, o.company("Kea", ""), "custom.Vendor Tenant Ids", model.Text("t-kea"))
				}
				o.subscription("t-kea", "s-1", 5, "P1Y")
				o.misbehave(o.psa, fault, "1")
				if lost := o.sync(); lost.Outcome.Unknown != 1 {
					t.Fatalf("%d writes are unknown, want the %s", lost.Outcome.Unknown, first)
				}
				o.psa.Behave(fault)
				for range 2 {
					o.sync()
				}
				if c, p, a, l := len(o.psa.Records("company")), len(o.psa.Records("contact")), len(o.psa.Records("agreement")), len(o.psa.Records("addition")); c != 2 || p != 1 || a != 1 || l != 1 {
					t.Errorf("%d companies, %d contacts, %d agreements, %d lines", c, p, a, l)
				}
				if name := o.psa.Records("contact")[0].Fields["firstName"].String(); name != "ana" {
					t.Errorf("the contact is called %q", name)
				}
				o.settled()
			})
		}
	}
}

// owned is a linked customer whose name, address and contact follow an owner.
func owned(t *testing.T, owner plan.Owner) (o *office, tenant, company, contact connectors.Ref) {
	t.Helper()
	o = newOffice(t)
	tenant = o.add(o.vendor, connectors.Record{Kind: "customer", ID: "t-kea", Fields: model.Fields{"companyProfile.companyName": model.Text("Kea Limited"), "companyProfile.tenantId": model.Text("t-kea"),
		"domains": model.List("kea.example"), "billingProfile.companyName": model.Text("Kea Limited"), "billingProfile.email": model.Text("ana@kea.example"), "billingProfile.firstName": model.Text("Ana"),
		"billingProfile.lastName": model.Text("Rewi"), "billingProfile.phoneNumber": model.Text("+64 3 555 0101"), "billingProfile.addressLine1": model.Text("4 Quay Road"),
		"billingProfile.addressLine2": model.Text(""), "billingProfile.city": model.Text("Nelson")}})
	company = o.add(o.psa, connectors.Record{Kind: "company", Fields: model.Fields{"name": model.Text("KEA Ltd"), "website": model.Text("kea.example"),
		"addressLine1": model.Text("4 Quay  road"), "addressLine2": model.Text(""), "city": model.Text("Nelson"), "custom.Vendor Tenant Ids": model.Text("t-kea")}})
	contact = o.person(company, "Ana", "Rewi", "ANA@kea.example")
	o.edit(o.psa, contact, "phone", model.Text("(643) 5550101"))
	rule := plan.FieldRule{Owner: owner}
	o.flow.Customers.Fields = map[string]plan.FieldRule{"name": rule, "address_line1": rule, "address_line2": rule, "city": rule}
	o.flow.Customers.Contact = &rule
	return o, tenant, company, contact
}

func TestSpellingsAgreeAtTheFirstMeeting(t *testing.T) {
	t.Parallel()
	for _, owner := range []plan.Owner{plan.OwnerVendor, plan.OwnerPSA} {
		o, _, _, _ := owned(t, owner)
		o.settled()
		if result := o.settled(); result.Plan.Counts.InStep != 2 {
			t.Errorf("owner %s: %+v", owner, result.Plan.Counts)
		}
	}
}

func TestOwnedFieldsOfCustomersFollow(t *testing.T) {
	t.Parallel()
	t.Run("the PSA's", func(t *testing.T) {
		t.Parallel()
		o, tenant, company, contact := owned(t, plan.OwnerPSA)
		o.settled()
		o.edit(o.psa, company, "name", model.Text("Kea & Sons Ltd"))
		o.edit(o.psa, company, "addressLine1", model.Text("5 Quay Road"))
		o.edit(o.psa, contact, "lastName", model.Text("Moss"))
		o.sync()
		for field, want := range map[string]string{"companyProfile.companyName": "Kea Limited", "billingProfile.companyName": "Kea & Sons Ltd", "billingProfile.addressLine1": "5 Quay Road", "billingProfile.lastName": "Moss"} {
			if got := o.text(o.vendor, tenant, field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		o.settled()
		// Somebody else becomes the main contact: the vendor gets the new person, and the old one keeps the name.
		o.edit(o.psa, contact, "defaultFlag", model.Bool(false))
		o.person(company, "Eve", "Kahu", "eve@kea.example")
		o.sync()
		if got := o.text(o.vendor, tenant, "billingProfile.firstName") + " " + o.text(o.psa, contact, "firstName"); got != "Eve Ana" {
			t.Errorf("vendor and old contact: %s", got)
		}
		o.settled()
	})
	t.Run("the vendor's", func(t *testing.T) {
		t.Parallel()
		o, tenant, company, contact := owned(t, plan.OwnerVendor)
		o.settled()
		o.edit(o.vendor, tenant, "companyProfile.companyName", model.Text("Kea Group Limited"))
		o.edit(o.vendor, tenant, "billingProfile.addressLine2", model.Text("Floor 2"))
		o.edit(o.vendor, tenant, "billingProfile.email", model.Text("eve@kea.example"))
		o.sync()
		if got := o.text(o.psa, company, "name") + ", " + o.text(o.psa, company, "addressLine2") + ", " + o.text(o.psa, contact, "email"); got != "Kea Group Limited, Floor 2, eve@kea.example" {
			t.Errorf("the PSA holds %s", got)
		}
		o.settled()
		// A new main contact is not renamed.
		o.edit(o.psa, contact, "defaultFlag", model.Bool(false))
		other := o.person(company, "Tui", "Kahu", "tui@kea.example")
		o.settled()
		if got := o.text(o.psa, other, "firstName"); got != "Tui" {
			t.Errorf("the new main contact is called %s", got)
		}
	})
}

func TestForeignEditsOfCustomers(t *testing.T) {
	t.Parallel()
	o, tenant, company, _ := owned(t, plan.OwnerPSA)
	o.settled()
	o.edit(o.vendor, tenant, "billingProfile.addressLine1", model.Text("9 Other Road"))
	if got := reasons(o.settled().Plan); got != "[found foreign_edit]" {
		t.Errorf("got %s", got)
	}
	o.flow.Customers.Fields["address_line1"] = plan.FieldRule{Owner: plan.OwnerPSA, PutBack: true}
	o.sync()
	if got := o.text(o.vendor, tenant, "billingProfile.addressLine1"); got != "4 Quay  road" {
		t.Errorf("put back: %q", got)
	}
	o.settled()
	// What the vendor cannot be without is not emptied, and what it can, is.
	o.edit(o.psa, company, "city", model.Text(""))
	o.sync()
	if got := o.text(o.vendor, tenant, "billingProfile.city"); got != "" {
		t.Errorf("the city is %q", got)
	}
	o.settled()
}

// Two tenants of one company: only one of them can say what the company holds.
func TestTwoTenantsDoNotTakeTurnsWithOneAddress(t *testing.T) {
	t.Parallel()
	o, _, company, _ := owned(t, plan.OwnerVendor)
	o.edit(o.psa, company, "custom.Vendor Tenant Ids", model.Text("t-kea,t-two"))
	o.add(o.vendor, connectors.Record{Kind: "customer", ID: "t-two", Fields: model.Fields{"companyProfile.companyName": model.Text("Kea Two"), "companyProfile.tenantId": model.Text("t-two"),
		"billingProfile.companyName": model.Text("Kea Two"), "billingProfile.email": model.Text("two@kea.example"), "billingProfile.firstName": model.Text("Two"), "billingProfile.addressLine1": model.Text("2 Two Street"), "billingProfile.city": model.Text("Picton")}})
	o.settled()
	o.settled()
	if got := o.text(o.psa, company, "name"); got != "KEA Ltd" {
		t.Errorf("the company is called %s", got)
	}
}

// merged moves everything of one company to another, as the PSA's own screen does, and takes the first away.
func (o *office) merged(from, into connectors.Ref) {
	o.t.Helper()
	for _, kind := range []string{"agreement", "contact"} {
		for _, rec := range o.psa.Records(kind) {
			if rec.Fields["company"].String() == from.ID {
				o.edit(o.psa, connectors.Ref{Kind: kind, ID: rec.ID}, "company", model.Text(into.ID))
			}
		}
	}
	if err := o.psa.Remove(from); err != nil {
		o.t.Fatal(err)
	}
}

func TestMergedAndRenamedCompaniesKeepTheirLinks(t *testing.T) {
	t.Parallel()
	arrange := func(t *testing.T) (o *office, company, other connectors.Ref) {
		t.Helper()
		o, _, _ = linked(t)
		o.flow.Customers.MissingPSA = engine.MissingCreate
		company = connectors.Ref{Kind: "company", ID: o.psa.Records("company")[0].ID}
		return o, company, o.company("Alpine Holdings", "alpine.example")
	}
	linkedTo := func(o *office) string {
		var ids []string
		err := o.engine.Store.Links(o.t.Context(), o.flow.Name, model.KindCustomer, func(l state.Link) error {
			ids = append(ids, l.PSA.ID)
			return nil
		})
		if err != nil {
			o.t.Fatal(err)
		}
		return strings.Join(ids, " ")
	}
	t.Run("renamed on both sides", func(t *testing.T) {
		t.Parallel()
		o, company, _ := arrange(t)
		o.edit(o.psa, company, "name", model.Text("Alpine Holdings Ltd"))
		o.edit(o.vendor, connectors.Ref{Kind: "customer", ID: "t-kea"}, "companyProfile.companyName", model.Text("Quite & Another"))
		o.settled()
		if linkedTo(o) != company.ID {
			t.Errorf("linked to %s, want %s", linkedTo(o), company.ID)
		}
	})
	t.Run("merged", func(t *testing.T) {
		t.Parallel()
		o, company, other := arrange(t)
		o.merged(company, other)
		result := o.sync()
		if linkedTo(o) != other.ID || !strings.Contains(reasons(result.Plan), "company_moved") {
			t.Errorf("linked to %s, want %s: %s", linkedTo(o), other.ID, reasons(result.Plan))
		}
		if got := o.text(o.psa, other, "custom.Vendor Tenant Ids"); got != "t-kea" {
			t.Errorf("the other company keeps %q", got)
		}
		if n := len(o.psa.Records("addition")); n != 1 {
			t.Errorf("%d lines, want 1", n)
		}
		o.settled()
	})
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		o, company, _ := arrange(t)
		for _, rec := range o.psa.Records("agreement") {
			if err := o.psa.Remove(connectors.Ref{Kind: "agreement", ID: rec.ID}); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.psa.Remove(company); err != nil {
			t.Fatal(err)
		}
		o.sync()
		if got := reasons(o.settled().Plan); got != "[found company_gone]" || len(o.psa.Records("company")) != 1 {
			t.Errorf("got %s and %d companies: nothing is made for what somebody deleted", got, len(o.psa.Records("company")))
		}
	})
	t.Run("deleted, and a twin with the same domain", func(t *testing.T) {
		t.Parallel()
		o, company, _ := arrange(t)
		for _, rec := range o.psa.Records("agreement") {
			if err := o.psa.Remove(connectors.Ref{Kind: "agreement", ID: rec.ID}); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.psa.Remove(company); err != nil {
			t.Fatal(err)
		}
		twin := o.company("Kea Logistics", "kea.example")
		o.sync()
		if linkedTo(o) != twin.ID {
			t.Errorf("linked to %s, want %s", linkedTo(o), twin.ID)
		}
	})
	t.Run("deleted, and a twin with the same name only", func(t *testing.T) {
		t.Parallel()
		o, company, _ := arrange(t)
		for _, rec := range o.psa.Records("agreement") {
			if err := o.psa.Remove(connectors.Ref{Kind: "agreement", ID: rec.ID}); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.psa.Remove(company); err != nil {
			t.Fatal(err)
		}
		o.company("KEA LOGISTICS, Ltd.", "")
		o.sync()
		if got := reasons(o.settled().Plan); got != "[found name_only]" {
			t.Errorf("got %s", got)
		}
	})
}

func TestContractsByTerm(t *testing.T) {
	t.Parallel()
	o, _ := kea(t)
	o.subscription("t-kea", "s-2", 3, "P1M")
	o.flow.Contracts.Terms = []engine.ContractTerm{{Term: "P1M", Type: "Cloud Monthly", Name: "Microsoft monthly"}, {Term: "P1Y", BillingCycle: "monthly", Type: "Cloud Services", Name: "Microsoft yearly"}}
	o.sync()
	var got []string
	for _, rec := range o.psa.Records("agreement") {
		lines := 0
		for _, l := range o.psa.Records("addition") {
			if l.Parent == rec.ID {
				lines++
			}
		}
		got = append(got, rec.Fields["type"].String()+": "+rec.Fields["name"].String())
		if lines != 1 {
			t.Errorf("%d lines on %s", lines, rec.Fields["name"])
		}
	}
	if want := "Cloud Services: Microsoft yearly, Cloud Monthly: Microsoft monthly"; len(got) != 2 || strings.Join(got, ", ") != want && got[0]+", "+got[1] != "Cloud Monthly: Microsoft monthly, Cloud Services: Microsoft yearly" {
		t.Errorf("contracts %v, want %s", got, want)
	}
	o.settled()
}
