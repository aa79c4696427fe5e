package connectwise_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectortest"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

// TestConformance is not parallel: the scenario "leaks" needs the process to itself.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Subject{New: subject, Skips: map[string]string{
		"ticket.initialInternalAnalysis": "the PSA takes it when a ticket is opened and never delivers it",
	}})
}

const planted = "planted-private-key-4711"

// ticking is a clock that moves whenever somebody looks, so that stamps with whole seconds become distinct.
func ticking() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

func subject(t testing.TB, log *zap.Logger) connectortest.Instance {
	fake := connectwisetest.New(connectwisetest.Options{Now: ticking(), PageSize: 2, PrivateKey: planted})
	product := fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "M365-BP", Description: "Microsoft 365 Business Premium", Price: "22.00", Cost: "18.1234",
		VendorSKU: "CFQ7TTC0LCHC:0002", PartNumber: "CFQ7TTC0LCHC:0002 P1Y monthly"})
	for i := range 4 {
		fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "ITEM-" + strconv.Itoa(i), Price: "3.5", Class: []string{"Service", "Bundle"}[i%2]})
	}
	var companies, agreements, lines, people, tickets []int
	for i := range 3 {
		n := strconv.Itoa(i)
		company := fake.AddCompany(connectwisetest.Company{Identifier: "customer" + n, Name: "Customer " + n, City: "Leeds", Zip: "0123" + n, Country: "United Kingdom",
			Website: "https://customer" + n + ".example.com", Currency: "GBP", Types: []string{"Customer"}, Custom: map[string]string{"Vendor Tenant Ids": "tenant-" + n}})
		companies = append(companies, company)
		people = append(people, fake.AddContact(connectwisetest.Contact{Company: company, FirstName: "Ada", LastName: "Smith", Email: "ada@customer" + n + ".example.com", Phone: "0100", Default: true}))
		agreement := fake.AddAgreement(connectwisetest.Agreement{Name: "Cloud " + n, Company: company, Contact: people[i], Start: "2031-01-01", NextInvoice: "2031-03-01"})
		agreements = append(agreements, agreement)
		tickets = append(tickets, fake.AddTicket(connectwisetest.Ticket{Company: company, Board: "Cloud", Summary: "Held", ExternalXRef: "trueup-" + n, Notes: []string{"first", "second", "third"}}))
		fake.AddTicket(connectwisetest.Ticket{Company: company, Board: "Help Desk", Summary: "The printer is out of paper"})
		for j := range 3 {
			lines = append(lines, fake.AddAddition(connectwisetest.Addition{Agreement: agreement, Product: product, Quantity: "7", LessIncluded: "1", UnitPrice: "12.5", UnitCost: "9.1234",
				Custom: map[string]string{"Vendor Subscription Id": "subscription-" + n + "-" + strconv.Itoa(j)}}))
		}
	}
	fake.AddCompany(connectwisetest.Company{Identifier: "gone", Name: "Gone", Deleted: true})
	var offers, offered []int
	for i := range 3 {
		offers = append(offers, fake.AddOpportunity(connectwisetest.Opportunity{Name: "Seats " + strconv.Itoa(i), Company: companies[i], Contact: people[i], Status: []string{"Open", "Signed", "Lost"}[i],
			Expected: "2031-02-28", CustomerPO: "PO-7", Custom: map[string]string{"Cloud Order": "none yet"}}))
		offered = append(offered, fake.AddOffered(connectwisetest.Offered{Opportunity: offers[i], Product: product, Quantity: "5", Price: "20", Cost: "18.5"}))
	}

	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	wire := connectortest.NewWire(http.DefaultTransport.(*http.Transport).Clone(), nil)
	t.Cleanup(wire.Close)
	connect := func() connectors.Connector {
		account := fake.Account(server.URL)
		account.HTTP, account.Log = wire.Client(), log
		c, err := connectwise.New(account)
		if err != nil {
			t.Fatal(err)
		}
		// Opportunities are followed once they were listed.
		if _, err := c.(connectors.Lister).List(t.Context(), connectors.ListRequest{Kind: "opportunity"}, func(connectors.Record) error { return nil }); err != nil {
			t.Fatal(err)
		}
		return c
	}
	faults := wire.Faults()
	for name, misbehaviour := range map[string][2]string{
		connectortest.DropLastPage: {"drop_last_page", ""},
		connectortest.CapPages:     {"cap_pages", "1"},
		connectortest.EmptyList:    {"empty_list", ""},
		connectortest.PartialList:  {"refuse_agreement", strconv.Itoa(agreements[2])},
		connectortest.FaultIn200:   {"error_in_200", ""},
	} {
		faults[name] = func(on bool) {
			fake.Behave(misbehaviour[0])
			if on {
				if err := fake.Misbehave(misbehaviour[0], misbehaviour[1]); err != nil {
					t.Error(err)
				}
			}
		}
	}
	ref := func(kind string, id int) connectors.Ref { return connectors.Ref{Kind: kind, ID: strconv.Itoa(id)} }
	line := connectors.Ref{Kind: "addition", ID: strconv.Itoa(lines[4]), Parent: strconv.Itoa(agreements[1])}
	note := connectors.Ref{Kind: "ticketNote", ID: strconv.Itoa(fake.IDs("ticketNote")[4]), Parent: strconv.Itoa(tickets[1])}
	edit := func(field string) func(connectors.Ref, model.Value) {
		return func(ref connectors.Ref, v model.Value) {
			id, _ := strconv.Atoi(ref.ID)
			var value any = v.String()
			if q, ok := v.Quantity(); ok {
				value = q.Int()
			}
			if err := fake.Edit(ref.Kind, id, "jdoe", map[string]any{field: value}); err != nil {
				t.Error(err)
			}
		}
	}
	count := func(kind string) func() int {
		return func() int {
			return len(slices.DeleteFunc(fake.IDs(kind), func(id int) bool { return fake.Record(kind, id)["deletedFlag"] == true }))
		}
	}
	create := func(kind, parent string, fields model.Fields) func() connectors.CreateRequest {
		return func() connectors.CreateRequest {
			return connectors.CreateRequest{Kind: kind, Parent: parent, Fields: fields.Clone()}
		}
	}
	return connectortest.Instance{
		Connector: connect(), Again: connect,
		Requests: wire.Requests, Answer: wire.Answer, Effects: fake.Writes, Faults: faults,
		Secrets: []string{planted},
		Kinds: map[string]connectortest.Kind{
			"company": {
				Ref: ref("company", companies[1]), Missing: ref("company", 99999), Count: count("company"),
				EditField: "name", Edit: edit("name"), Next: map[string]model.Value{"countryCode": model.Text("US")},
				Add: func() connectors.Ref {
					return ref("company", fake.AddCompany(connectwisetest.Company{Identifier: "added", Name: "Added", LastUpdated: time.Date(2031, 2, 1, 9, 30, 0, 0, time.UTC)}))
				},
				Create: create("company", "", model.Fields{"name": model.Text("New & Co"), "city": model.Text("York"), "countryCode": model.Text("DE"), "custom.Vendor Tenant Ids": model.Text("tenant-9")}),
			},
			"contact": {
				Ref: ref("contact", people[1]), Missing: ref("contact", 99999), Count: count("contact"), EditField: "lastName", Edit: edit("lastName"),
				Create: create("contact", "", model.Fields{"company": model.Text(strconv.Itoa(companies[2])), "firstName": model.Text("Eve"), "lastName": model.Text("Moss"),
					"email": model.Text("eve@customer2.example.com"), "phone": model.Text("0200"), "defaultFlag": model.Bool(true)}),
			},
			"catalogItem": {
				Ref: ref("catalogItem", product), Missing: ref("catalogItem", 99999), Count: count("catalogItem"),
				EditField: "description", Edit: edit("description"),
				Create: create("catalogItem", "", model.Fields{"identifier": model.Text("NEW"), "description": model.Text("New"), "price": money(t, "3.123456 GBP")}),
			},
			"agreement": {
				Ref: ref("agreement", agreements[1]), Missing: ref("agreement", 99999), Count: count("agreement"), EditField: "name", Edit: edit("name"),
				Create: create("agreement", "", model.Fields{"name": model.Text("New"), "type": model.Text("Cloud Services"),
					"company": model.Text(strconv.Itoa(companies[1])), "startDate": model.DayValue(model.NewDay(2031, 2, 1))}),
			},
			"addition": {
				Ref: line, Missing: connectors.Ref{Kind: "addition", ID: "99999", Parent: line.Parent}, Count: count("addition"),
				EditField: "quantity", Edit: edit("quantity"),
				Create: create("addition", line.Parent, model.Fields{"product": model.Text(strconv.Itoa(product)), "quantity": model.Int(3),
					"effectiveDate": model.DayValue(model.NewDay(2031, 2, 1)), "custom.Vendor Subscription Id": model.Text("subscription-9")}),
				Last: model.NewDay(2031, 3, 31),
			},
			"opportunity": {
				Ref: ref("opportunity", offers[1]), Missing: ref("opportunity", 99999), Count: count("opportunity"),
				EditField: "custom.Cloud Order", Edit: edit("custom.Cloud Order"),
			},
			"productItem": {
				Ref: ref("productItem", offered[1]), Missing: ref("productItem", 99999), Count: count("productItem"), EditField: "description", Edit: edit("description"),
			},
			"ticket": {
				Ref: ref("ticket", tickets[1]), Missing: ref("ticket", 99999), EditField: "summary", Edit: edit("summary"),
				Next: map[string]model.Value{"status": model.Text("In Progress")},
				Count: func() int {
					return len(slices.DeleteFunc(fake.IDs("ticket"), func(id int) bool { return fake.Record("ticket", id)["externalXRef"] == nil }))
				},
				Create: create("ticket", "", model.Fields{"summary": model.Text("New"), "company": model.Text(strconv.Itoa(companies[1])), "board": model.Text("Cloud"),
					"status": model.Text("In Progress"), "type": model.Text("Subscription"), "priority": model.Text("High"), "externalXRef": model.Text("trueup-new")}),
			},
			"ticketNote": {
				Ref: note, Missing: connectors.Ref{Kind: "ticketNote", ID: "99999", Parent: note.Parent}, Count: count("ticketNote"), EditField: "text", Edit: edit("text"),
				Create: create("ticketNote", note.Parent, model.Fields{"text": model.Text("14 March 2031: it changed\nand goes on")}),
			},
		},
	}
}

func money(t testing.TB, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeMoney, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
