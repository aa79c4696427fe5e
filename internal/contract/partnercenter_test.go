//go:build contract

package contract

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/model"
)

// partnerCenterPath is the path without the prefix under which the stand-in serves each host, and without the version.
func partnerCenterPath(e Exchange) string {
	for _, base := range []string{"/api/v1", "/prices/v1.0", "/sign-in"} {
		if path, ok := strings.CutPrefix(e.Path, base); ok {
			return path
		}
	}
	return e.Path
}

func (p partnerCenter) check(e Exchange) []string {
	path := partnerCenterPath(e)
	problems := p.endpoints.Check(path, slices.Collect(maps.Keys(e.Query)))
	switch {
	case strings.HasPrefix(e.Path, "/api/"):
		problems = append(problems, p.checkBodies(e, path)...)
	case samePath("sales/{sheet}/$value", path) && e.Status < http.StatusBadRequest:
		problems = append(problems, p.checkPrices(e.Response)...)
	}
	return problems
}

// checkPrices judges the first line of a price sheet, which comes as CSV or as a ZIP archive with one CSV in it.
func (p partnerCenter) checkPrices(sheet []byte) (problems []string) {
	var source io.Reader = bytes.NewReader(sheet)
	if bytes.HasPrefix(sheet, []byte("PK\x03\x04")) {
		archive, err := zip.NewReader(bytes.NewReader(sheet), int64(len(sheet)))
		if err != nil || len(archive.File) != 1 {
			return []string{fmt.Sprintf("the price sheet is not an archive of one file: %v", err)}
		}
		file, err := archive.File[0].Open()
		if err != nil {
			return []string{fmt.Sprintf("the file in the price sheet cannot be opened: %v", err)}
		}
		defer file.Close()
		source = file
	}
	header, err := csv.NewReader(source).Read()
	if err != nil {
		return []string{fmt.Sprintf("the price sheet has no first line: %v", err)}
	}
	for i, column := range header {
		if column = strings.Trim(column, "\ufeff"); i >= len(p.priceColumns) || column != p.priceColumns[i] {
			problems = append(problems, fmt.Sprintf("the price sheet has a column %q in place %d, documented are %q", column, i+1, p.priceColumns))
		}
	}
	return problems
}

func (p partnerCenter) checkBodies(e Exchange, path string) (problems []string) {
	subscriptions := Shape{"totalCount": nil, "items": p.subscription, "links": p.customers["links"], "attributes": p.customers["attributes"]}
	shapes := []struct {
		path  string
		shape Shape
	}{
		{"customers/relationshiprequests", p.invitation},
		{"validations/address", p.validation},
		{"domains/{0}", Shape{}}, // asked by HEAD: there are no bodies
		{"customers", p.customers},
		{"customers/{0}", p.customer},
		{"customers/{0}/profiles/company", p.company},
		{"customers/{0}/profiles/billing", p.billing},
		{"customers/{0}/subscriptions", subscriptions},
		{"customers/{0}/subscriptions/{1}", p.subscription},
		{"customers/{0}/agreements", listOf(agreementShape)},
		{"customers/{0}/directSignedMicrosoftCustomerAgreementStatus", signedShape},
		{"customers/{0}/products/{1}/skus/{2}", skuShape},
		{"customers/{0}/products/{1}/skus/{2}/availabilities", listOf(availabilityShape)},
		{"customers/{0}/carts", cartShape},
		{"customers/{0}/carts/{1}/checkout", checkoutShape},
		{"customers/{0}/orders", listOf(orderShape)},
		{"customers/{0}/orders/{1}", orderShape},
		{"auditrecords", p.auditRecords},
		{"relationships", p.relationships},
	}
	i := slices.IndexFunc(shapes, func(s struct {
		path  string
		shape Shape
	}) bool {
		return samePath(s.path, path)
	})
	if i < 0 {
		return []string{fmt.Sprintf("no document describes the bodies of %s", path)}
	}
	judge := func(what string, body []byte) {
		if len(body) == 0 {
			return
		}
		value, err := decode(body)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s %s: %v", shapes[i].path, what, err))
			return
		}
		for _, name := range shapes[i].shape.Unknown(value) {
			problems = append(problems, fmt.Sprintf("%s %s: unknown member %s", shapes[i].path, what, name))
		}
	}
	if shape := shapes[i].shape; e.Method == http.MethodPost && shapes[i].path == "customers" {
		shapes[i].shape = p.customer // one is sent to the list, and answered
	} else if shapes[i].path == "validations/address" {
		shapes[i].shape = p.address
		judge("sent", e.Request)
		shapes[i].shape = shape
		e.Request = nil
	}
	judge("sent", e.Request)
	if e.Status < http.StatusBadRequest {
		judge("answered", e.Response)
	}
	return problems
}

// The check of traffic must be able to object.
func TestPartnerCenterTrafficObjects(t *testing.T) {
	t.Parallel()
	documents := partnerCenterDocuments(t)
	get := func(path, query, answered string) Exchange {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		return Exchange{Method: http.MethodGet, Path: path, Query: values, Status: http.StatusOK, Response: []byte(answered)}
	}
	sheet := strings.Join(documents.priceColumns, ",") + "\n"
	cases := map[string]struct {
		exchange Exchange
		want     []string
	}{
		"customers":          {get("/api/v1/customers", "size=2", `{"items": []}`), nil},
		"path":               {get("/api/v1/clients", "", `{}`), []string{"the path /clients is not documented", "no document describes the bodies of /clients"}},
		"parameter":          {get("/api/v1/customers", "limit=2", `{"items": []}`), []string{"the query parameter limit of /customers is not documented"}},
		"member answered":    {get("/api/v1/customers/a", "", `{"id": "a", "tenant": "b"}`), []string{"customers/{0} answered: unknown member tenant"}},
		"no JSON":            {get("/api/v1/customers/a", "", `<html>`), []string{"customers/{0} answered: not JSON: invalid character '<' looking for beginning of value"}},
		"member sent":        {Exchange{Method: http.MethodPatch, Path: "/api/v1/customers/a/subscriptions/b", Status: http.StatusOK, Request: []byte(`{"quantity": 3, "seats": 4}`)}, []string{"customers/{0}/subscriptions/{1} sent: unknown member seats"}},
		"sheet":              {get("/prices/v1.0/sales/pricesheets(Market='US')/$value", "", sheet), nil},
		"column renamed":     {get("/prices/v1.0/sales/pricesheets(Market='US')/$value", "", strings.Replace(sheet, "SkuTitle", "Sku Title", 1)), []string{fmt.Sprintf("the price sheet has a column %q in place 5, documented are %q", "Sku Title", documents.priceColumns)}},
		"sheet of nothing":   {get("/prices/v1.0/sales/pricesheets(Market='US')/$value", "", ""), []string{"the price sheet has no first line: EOF"}},
		"refusal not judged": {Exchange{Method: http.MethodGet, Path: "/api/v1/customers/a", Status: http.StatusNotFound, Response: []byte(`{"code": 1}`)}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, documents.check(tc.exchange)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartnerCenterTraffic(t *testing.T) {
	t.Parallel()
	documents := partnerCenterDocuments(t)
	for _, accountType := range []string{partnercentertest.Direct, partnercentertest.IndirectProvider} {
		t.Run(accountType, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2031, time.February, 3, 9, 0, 0, 0, time.UTC)
			var passed, step atomic.Int64 // in seconds; a step with every look at the clock
			clock := func() time.Time { return now.Add(time.Duration(passed.Add(step.Load())) * time.Second) }
			fake := partnercentertest.New(partnercentertest.Options{Now: clock, AccountType: accountType, PageSize: 2})
			const mpn = "1234567"
			reseller := fake.AddReseller(partnercentertest.Reseller{Name: "Quayside IT", MPNID: mpn})
			var last partnercentertest.Customer
			for _, name := range []string{"Harbour Dental", "Northwind Garage", "Lakeside School"} {
				last = fake.AddCustomer(partnercentertest.Customer{
					Name: name, CustomDomains: []string{"mail.example.com"}, AssociatedPartner: reseller.ID, Email: "office@example.com",
					Address: partnercentertest.Address{Line1: "1 Quay", Line2: "Floor 2", City: "Bath", Region: "Somerset", PostalCode: "00123", Country: "US", Phone: "555-0100"},
				})
			}
			subscription := fake.AddSubscription(partnercentertest.Subscription{
				Customer: last.ID, Quantity: 10, AutoRenew: true, PartnerID: mpn, PromotionID: "39NFJQT1X4J8:0001:39NFJQT1Q5KS",
				Next: &partnercentertest.NextTerm{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", AvailabilityID: "CFQ7TTC0TRUE", BillingCycle: "monthly", Term: "P1Y", Quantity: 8},
			})
			fake.AddSubscription(partnercentertest.Subscription{Customer: last.ID, Quantity: 1, Trial: true, PartnerID: mpn})
			fake.AddSubscription(partnercentertest.Subscription{Customer: last.ID, Quantity: 2, Status: "suspended", Reasons: []string{"PartnerSuspended"}, PartnerID: mpn})
			fake.SetPrice(partnercentertest.Price{ProductID: "CFQ7TTC0LCHC", SkuID: "0002", ProductTitle: "Suite", SkuTitle: "Suite", Term: "P1Y", BillingPlan: "Monthly", UnitPrice: "264.00", ERPPrice: "330.00", Start: now.AddDate(-1, 0, 0)})
			account := partnercentertest.Start(t, fake)
			if accountType == partnercentertest.IndirectProvider {
				account.Settings["reseller"], account.Settings["partner_attestation"] = mpn, "accepted"
			}
			account.Budget = connectors.Budget{PerMinute: 60000, Parallel: 4}
			recorder := recording(&account)
			defer func() { report(t, recorder.Exchanges(), documents.check) }() // also when a step fails
			c, err := partnercenter.New(account)
			if err != nil {
				t.Fatal(err)
			}
			if report, err := c.Check(t.Context()); err != nil || len(report.Missing()) > 0 {
				t.Fatalf("check: missing %v, error %v", report.Missing(), err)
			}
			cursor := quiet(t, c)
			readAll(t, c)
			for key, edits := range map[string]map[string]connectors.Edit{
				"seats": {"quantity": {From: model.Int(10), To: model.Int(12)}},
				"name":  {"friendlyName": {To: model.Text("Front desk")}},
				"renew": {"autoRenewEnabled": {To: model.Bool(false)}},
			} {
				ref := connectors.Ref{Kind: "subscription", ID: subscription.ID, Parent: last.ID}
				if _, err := c.(connectors.Changer).Change(t.Context(), connectors.ChangeRequest{Ref: ref, Edits: edits, Key: key}); err != nil {
					t.Fatalf("change %s: %v", key, err)
				}
			}
			for key, edit := range map[string]connectors.Edit{"cancel": {To: model.Text("cancel")}, "withdraw": {To: model.Text("")}, "renew": {To: model.Text("renew")}} {
				request := connectors.ChangeRequest{Ref: connectors.Ref{Kind: "subscription", ID: subscription.ID, Parent: last.ID}, Edits: map[string]connectors.Edit{"termEndAction": edit}, Key: "at the end: " + key}
				if _, err := c.(connectors.Scheduler).Schedule(t.Context(), request); err != nil {
					t.Fatalf("schedule %s: %v", key, err)
				}
			}
			orderPartnerCenter(t, c, fake, last.ID, &step)
			customer := connectors.Ref{Kind: "customer", ID: last.ID}
			if _, err := c.(connectors.Changer).Change(t.Context(), connectors.ChangeRequest{Ref: customer, Key: "move", Edits: map[string]connectors.Edit{
				"billingProfile.defaultAddress.addressLine1": {To: model.Text("2 Quay")}, "billingProfile.defaultAddress.firstName": {To: model.Text("Ana")}}}); err != nil {
				t.Fatalf("change customer: %v", err)
			}
			fields := model.Fields{}
			for name, value := range map[string]string{"companyProfile.domain": "riverside", "billingProfile.companyName": "Riverside", "billingProfile.email": "it@example.com",
				"billingProfile.defaultAddress.addressLine1": "1 Quay", "billingProfile.defaultAddress.city": "Bath", "billingProfile.defaultAddress.country": "US"} {
				fields[name] = model.Text(value)
			}
			if _, err := c.(connectors.Creator).Create(t.Context(), connectors.CreateRequest{Kind: "customer", Fields: fields, Key: "riverside"}); err != nil {
				t.Fatalf("create customer: %v", err)
			}
			fake.TakeDomain("taken.onmicrosoft.com")
			fields["companyProfile.domain"] = model.Text("taken")
			if err := c.(connectors.CreateChecker).CheckCreate(t.Context(), connectors.CreateRequest{Kind: "customer", Fields: fields}); connectors.ClassOf(err) != connectors.ClassInvalid {
				t.Fatalf("a taken domain: %v", err)
			}
			if _, err := c.(connectors.ChangeFeed).Changes(t.Context(), cursor); err != nil {
				t.Fatalf("read changes: %v", err)
			}
			covers(t, recorder.Exchanges(), partnerCenterPath, "GET customers/{0}/agreements", "GET customers/{0}/directSignedMicrosoftCustomerAgreementStatus",
				"GET customers/{0}/products/{1}/skus/{2}", "GET customers/{0}/products/{1}/skus/{2}/availabilities", "POST customers/{0}/carts", "POST customers/{0}/carts/{1}/checkout",
				"GET customers/{0}/orders", "GET customers/{0}/orders/{1}", "GET customers", "GET customers/{0}", "GET customers/{0}/subscriptions", "GET customers/{0}/subscriptions/{1}",
				"POST customers", "HEAD domains/{0}", "POST validations/address", "GET customers/relationshiprequests", "GET customers/{0}/profiles/billing", "PUT customers/{0}/profiles/billing",
				"PATCH customers/{0}/subscriptions/{1}", "GET auditrecords", "GET sales/{0}/$value")
		})
	}
}

// orderPartnerCenter previews and places orders, one that shows at once and one that shows a moment later, and one that is refused in the cart.
func orderPartnerCenter(t *testing.T, c connectors.Connector, fake *partnercentertest.Server, customer string, step *atomic.Int64) {
	t.Helper()
	order := func(name string, seats int64) connectors.CreateRequest {
		return connectors.CreateRequest{Kind: "subscription", Parent: customer, Key: name, Fields: model.Fields{"sku": model.Text("CFQ7TTC0LCHC:0002"), "termDuration": model.Text("P1Y"),
			"billingCycle": model.Text("monthly"), "quantity": model.Int(seats), "friendlyName": model.Text(name)}}
	}
	for _, confirmed := range []string{"partner", "customer"} {
		if err := fake.EditCustomer(customer, func(c *partnercentertest.Customer) { c.Agreement = confirmed }); err != nil {
			t.Fatal(err)
		}
		if err := c.(connectors.CreateChecker).CheckCreate(t.Context(), order("preview", 3)); err != nil {
			t.Fatalf("asked before ordering: %v", err)
		}
	}
	if _, err := c.(connectors.Creator).Create(t.Context(), order("at once", 3)); err != nil {
		t.Fatalf("order: %v", err)
	}
	fake.SetProduct(partnercentertest.Product{ID: "CFQ7TTC0LCHC:0002", MaxSeats: 4})
	if _, err := c.(connectors.Creator).Create(t.Context(), order("too many", 5)); connectors.ClassOf(err) != connectors.ClassInvalid {
		t.Fatalf("an order of too many seats: %v", err)
	}
	if err := fake.Misbehave("late_orders", "10s"); err != nil {
		t.Fatal(err)
	}
	step.Store(1)
	if _, err := c.(connectors.Creator).Create(t.Context(), order("late", 3)); err != nil {
		t.Fatalf("an order that shows late: %v", err)
	}
}
