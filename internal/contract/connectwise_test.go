//go:build contract

package contract

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

var connectWiseBase = regexp.MustCompile(`^/[^/]+/apis/3\.0`)

func connectWisePath(e Exchange) string { return connectWiseBase.ReplaceAllString(e.Path, "") }

// checkConnectWise judges an exchange. Finding the code base is described by the reference page only; the header clientId,
// which the vendor requires on every call, was left out of the document.
func checkConnectWise(document *OpenAPI, e Exchange) []string {
	if strings.HasPrefix(e.Path, "/login/companyinfo/") {
		return nil
	}
	problems := document.Check(e, connectWisePath(e))
	if e.Header.Get("clientId") == "" {
		problems = append(problems, e.Method+" was sent without the header clientId")
	}
	return problems
}

func TestConnectWiseTraffic(t *testing.T) {
	t.Parallel()
	document := connectWiseDocument(t)
	for name, options := range map[string]connectwisetest.Options{
		"forward only": {PageSize: 2}, "page numbers": {PageSize: 2, NoForwardOnly: true}, "no custom fields": {Bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2031, time.February, 3, 9, 0, 0, 0, time.UTC)
			options.Now = func() time.Time { return now }
			fake := connectwisetest.New(options)
			seedConnectWise(fake)
			account := connectwisetest.Start(t, fake)
			account.Budget = connectors.Budget{PerMinute: 60000, Parallel: 4}
			recorder := recording(&account)
			defer func() { // also when a step fails
				report(t, recorder.Exchanges(), func(e Exchange) []string { return checkConnectWise(document, e) })
			}()
			c, err := connectwise.New(account)
			if err != nil {
				t.Fatal(err)
			}
			if report, err := c.Check(t.Context()); err != nil {
				t.Fatalf("check: %v, %v", report, err)
			}
			cursor := quiet(t, c)
			records := readAll(t, c)
			writeConnectWise(t, c, records, options.Bare)
			if _, err := c.(connectors.ChangeFeed).Changes(t.Context(), cursor); err != nil {
				t.Fatalf("read changes: %v", err)
			}
			covers(t, recorder.Exchanges(), connectWisePath,
				"GET company/companies", "GET company/companies/{0}", "POST company/companies", "PATCH company/companies/{0}",
				"GET company/contacts", "GET company/contacts/{0}", "POST company/contacts", "PATCH company/contacts/{0}", "GET company/communicationTypes", "GET company/countries",
				"GET procurement/catalog", "GET procurement/catalog/{0}", "POST procurement/catalog",
				"GET finance/agreements", "GET finance/agreements/{0}", "POST finance/agreements",
				"GET sales/opportunities/statuses", "GET sales/opportunities", "GET procurement/products",
				"GET service/tickets", "GET service/tickets/{0}", "POST service/tickets", "PATCH service/tickets/{0}",
				"GET service/tickets/{0}/notes", "GET service/tickets/{0}/notes/{1}", "POST service/tickets/{0}/notes",
				"GET service/boards", "GET service/boards/{0}/statuses", "GET service/boards/{0}/types", "GET service/priorities",
				"GET finance/agreements/{0}/additions", "GET finance/agreements/{0}/additions/{1}", "POST finance/agreements/{0}/additions", "PATCH finance/agreements/{0}/additions/{1}")
		})
	}
}

// The check of traffic must be able to object, too.
func TestConnectWiseTrafficObjects(t *testing.T) {
	t.Parallel()
	document := connectWiseDocument(t)
	good := Exchange{Method: http.MethodGet, Path: "/v2026_1/apis/3.0/finance/agreements", Header: http.Header{"Clientid": {"x"}}, Status: 200, Response: []byte(`[]`)}
	if problems := checkConnectWise(document, good); len(problems) > 0 {
		t.Errorf("a good exchange has problems: %v", problems)
	}
	for name, spoil := range map[string]func(*Exchange){
		"path":      func(e *Exchange) { e.Path = "/v2026_1/apis/3.0/finance/contracts" },
		"client id": func(e *Exchange) { e.Header = nil },
		"answer":    func(e *Exchange) { e.Response = []byte(`[{"name": "a", "seats": 3}]`) },
	} {
		bad := good
		spoil(&bad)
		if len(checkConnectWise(document, bad)) == 0 {
			t.Errorf("a wrong %s went unnoticed", name)
		}
	}
}

func seedConnectWise(fake *connectwisetest.Server) {
	product := fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "SEAT", Price: "27.5", Cost: "22.0000000001", VendorSKU: "CFQ7TTC0LCHC:0002", PartNumber: "PN-1"})
	fake.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "OLD", Inactive: true})
	for _, identifier := range []string{"harbour", "northwind", "lakeside"} {
		company := fake.AddCompany(connectwisetest.Company{
			Identifier: identifier, Name: identifier, Types: []string{"Customer"}, AddressLine1: "1 Quay", AddressLine2: "Floor 2", City: "Bath", State: "Somerset",
			Zip: "00123", Country: "United Kingdom", PhoneNumber: "5550100", Website: identifier + ".example.com", TaxIdentifier: "GB1", Currency: "GBP",
		})
		contact := fake.AddContact(connectwisetest.Contact{Company: company, FirstName: "Ada", LastName: "Moss", Email: "ada@example.com", Phone: "5550101", Default: true})
		agreement := fake.AddAgreement(connectwisetest.Agreement{
			Name: "Cloud", Company: company, Contact: contact, Type: "Cloud Services", Start: "2031-01-01", End: "2033-12-31", Currency: "GBP", NextInvoice: "2031-03-01",
		})
		fake.AddTicket(connectwisetest.Ticket{Company: company, Board: "Cloud", Summary: "Held", ExternalXRef: "trueup-" + identifier, Notes: []string{"one", "two", "three"}})
		fake.AddAgreement(connectwisetest.Agreement{Name: "Child", Company: company, Contact: contact, Type: "Managed Services", Parent: agreement, Cancelled: true})
		offer := fake.AddOpportunity(connectwisetest.Opportunity{Name: "Seats", Company: company, Contact: contact, Status: "Signed", Expected: "2031-02-28", CustomerPO: "PO-1"})
		fake.AddOffered(connectwisetest.Offered{Opportunity: offer, Product: product, Quantity: "5", Price: "25"})
		fake.AddAddition(connectwisetest.Addition{Agreement: agreement, Product: product, Quantity: "10", LessIncluded: "2", Effective: "2031-01-01"})
		fake.AddAddition(connectwisetest.Addition{Agreement: agreement, Product: product, Quantity: "3", Effective: "2031-01-01", Cancelled: "2031-01-31", SerialNumber: "S-1"})
	}
}

// writeConnectWise creates, changes and ends records. A bare PSA has no custom field for tenant ids.
func writeConnectWise(t *testing.T, c connectors.Connector, records map[string][]connectors.Record, bare bool) {
	t.Helper()
	gbp := func(s string) model.Value {
		t.Helper()
		m, err := model.ParseMoney(s + " GBP")
		if err != nil {
			t.Fatal(err)
		}
		return model.MoneyValue(m)
	}
	create := func(kind, parent string, fields model.Fields) connectors.Record {
		t.Helper()
		record, err := c.(connectors.Creator).Create(t.Context(), connectors.CreateRequest{Kind: kind, Parent: parent, Fields: fields, Key: "create " + kind})
		if err != nil {
			t.Fatalf("create %s: %v", kind, err)
		}
		return record
	}
	change := func(of connectors.Record, edits map[string]connectors.Edit) {
		t.Helper()
		ref := connectors.Ref{Kind: of.Kind, ID: of.ID, Parent: of.Parent}
		if _, err := c.(connectors.Changer).Change(t.Context(), connectors.ChangeRequest{Ref: ref, Edits: edits, Key: "change " + of.Kind}); err != nil {
			t.Fatalf("change %s: %v", of.Kind, err)
		}
	}
	own := func(kind string) string {
		k, _ := c.Descriptor().Kind(kind)
		return k.Own
	}
	text := func(s string) connectors.Edit { return connectors.Edit{To: model.Text(s)} }

	if !bare {
		change(records["opportunity"][0], map[string]connectors.Edit{own("opportunity"): text("Ordered: 5 x Seat")})
	}
	create("company", "", model.Fields{"identifier": model.Text("riverside"), "name": model.Text("Riverside")})
	company := records["company"][0]
	change(company, map[string]connectors.Edit{"name": text("Harbour Dental"), "addressLine1": text("2 Quay"), "city": text("Bristol"), "website": text("https://example.com")})
	if !bare {
		change(company, map[string]connectors.Edit{own("company"): text("3b1e0c52-7a44-4f1b-9d2e-6f0a51c8e001")})
	}
	contact := create("contact", "", model.Fields{"company": model.Text(company.ID), "firstName": model.Text("Eve"), "lastName": model.Text("Moss"), "email": model.Text("eve@example.com"),
		"phone": model.Text("5550102"), "defaultFlag": model.Bool(true)})
	change(contact, map[string]connectors.Edit{"email": text("eve.moss@example.com"), "lastName": text("Moss-Hill")})
	change(company, map[string]connectors.Edit{"countryCode": text("DE")})
	product := create("catalogItem", "", model.Fields{"identifier": model.Text("SEAT-3Y"), "description": model.Text("Seat for three years"), "price": gbp("25"), "cost": gbp("20.5"), "vendorSku": model.Text("CFQ7TTC0LCHC:0002")})
	agreement := create("agreement", "", model.Fields{"name": model.Text("Cloud from February"), "company": model.Text(company.ID), "type": model.Text("Cloud Services"), "startDate": model.DayValue(model.NewDay(2031, time.February, 1))})
	addition := create("addition", agreement.ID, model.Fields{
		"product": model.Text(product.ID), "quantity": model.Int(4), "unitPrice": gbp("25.1234"), "unitCost": gbp("20.5"), "billCustomer": model.Text("Billable"),
		"effectiveDate": model.DayValue(model.NewDay(2031, time.February, 3)), own("addition"): model.Text("a7c20f6e-55d1-4a55-b5c4-90b7d7b10a01"),
	})
	change(addition, map[string]connectors.Edit{"quantity": {From: model.Int(4), To: model.Int(6)}})
	change(addition, map[string]connectors.Edit{"unitPrice": {To: gbp("26")}, "unitCost": {To: gbp("21")}, "invoiceDescription": text("Seats"), "lessIncluded": {To: model.Int(1)}, "billCustomer": text("NoCharge")})
	ticket := create("ticket", "", model.Fields{"summary": model.Text("Waiting"), "company": model.Text(company.ID), "board": model.Text("Cloud"), "status": model.Text("New"),
		"type": model.Text("Subscription"), "priority": model.Text("High"), "externalXRef": model.Text("trueup-1"), "initialInternalAnalysis": model.Text("14 to 60 seats")})
	create("ticketNote", ticket.ID, model.Fields{"text": model.Text("14 to 61 seats")})
	change(ticket, map[string]connectors.Edit{"status": text("Completed"), "summary": text("Done")})
	end := connectors.EndRequest{Ref: connectors.Ref{Kind: "addition", ID: addition.ID, Parent: agreement.ID}, Last: model.NewDay(2031, time.March, 31), Key: "end"}
	if _, err := c.(connectors.Ender).End(t.Context(), end); err != nil {
		t.Fatalf("end addition: %v", err)
	}
}
