//go:build contract

package contract

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// published reads a document; without it nothing was checked, so that is a failure.
func published(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("TRUEUP_SPECS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "specs")
	}
	document, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("read a published document: %v; name the folder that has them in TRUEUP_SPECS", err)
	}
	return document
}

func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func connectWiseDocument(t *testing.T) *OpenAPI {
	t.Helper()
	return must(NewOpenAPI(published(t, "openapi/connectwise-psa-2022.1.trimmed.reconstructed.json")))(t)
}

// partnerCenter is everything published about the parts of Partner Center that we use.
type partnerCenter struct {
	endpoints                                                         Endpoints
	customers, customer, company, billing, auditRecords, subscription Shape
	relationships, invitation, address, validation                    Shape
	priceColumns                                                      []string
}

// Paths and parameters that the list of the vendor's own client lacks, each with the section of the reference page that
// documents it.
var documentedElsewhere = Endpoints{
	{Path: "{tenant}/oauth2/token", Source: "section 1.3, another host"},
	{Path: "sales/{sheet}/$value", Source: "section 7, another host"},
	{Path: "auditrecords", Parameters: []string{"seekOperation"}, Source: "sections 2.5 and 13: audit records are read page by page as customers are"},
}

func partnerCenterDocuments(t *testing.T) partnerCenter {
	t.Helper()
	const contracts = "Microsoft.Partner.Service.Customers.Contracts.V1."
	endpoints := must(ReadEndpoints(published(t, "microsoft/sdk-endpoints.json"), "the vendor's own client"))(t)
	customers := published(t, "microsoft/openapi2-customers.json")
	shape := func(name string) Shape { return must(SwaggerShape(customers, name))(t) }
	list := shape("Microsoft.Partner.Core.Collections.ResourceCollection[" + contracts + "Customer]")
	list["continuationToken"] = nil // section 2.5: some bodies carry it beside the link
	subscription := must(TableShape(string(published(t, "microsoft-partner-center.md")), "### 5.2", "links"))(t)
	subscription["fulfilmentHint"] = nil // invented: the stand-in sends it to see that clients bring back what they do not know
	return partnerCenter{
		endpoints:  append(endpoints, documentedElsewhere...),
		customers:  list,
		customer:   shape(contracts + "Customer"),
		company:    shape(contracts + "CustomerCompanyProfile"),
		invitation: shape(contracts + "RelationshipRequest"),
		address:    shape(contracts + "Address"),
		// Section 4.3 of the reference page; the document gives the answer no form.
		validation:    Shape{"status": nil, "validationMessage": nil, "originalAddress": shape(contracts + "Address"), "suggestedAddresses": shape(contracts + "Address")},
		billing:       shape(contracts + "CustomerBillingProfile"),
		relationships: shape("Microsoft.Partner.Core.Collections.ResourceCollection[" + contracts + "PartnerRelationship]"),
		auditRecords:  must(SwaggerShape(published(t, "microsoft/openapi2-audit.json"), "PagedResourceCollection[AuditRecord]"))(t),
		subscription:  subscription,
		priceColumns:  priceColumns(t, published(t, "microsoft/billing-columns.csv")),
	}
}

// priceColumns reads the columns of the price sheet from a table of dataset, column and more.
func priceColumns(t *testing.T, table []byte) (columns []string) {
	t.Helper()
	for _, row := range must(csv.NewReader(bytes.NewReader(table)).ReadAll())(t) {
		if row[0] == "price_sheet_updatedlicensebased" {
			columns = append(columns, row[1])
		}
	}
	if len(columns) == 0 {
		t.Fatal("the table of columns has none of the price sheet")
	}
	return columns
}

// The documents themselves must be able to object; a document that lost its content would let everything pass.
func TestDocumentsObject(t *testing.T) {
	t.Parallel()
	t.Run("ConnectWise", func(t *testing.T) {
		t.Parallel()
		document := connectWiseDocument(t)
		const additions = "/finance/agreements/7/additions"
		good := Exchange{
			Method: "POST", Status: 201,
			Request:  []byte(`{"product": {"id": 3}, "quantity": 5, "billCustomer": "Billable", "effectiveDate": "2031-02-01T00:00:00Z"}`),
			Response: []byte(`{"id": 9, "product": {"id": 3, "identifier": "SEAT"}, "quantity": 5.0, "billCustomer": "Billable", "cancelledDate": "", "_info": {"updatedBy": "trueup"}, "customFields": [{"id": 1, "caption": "Id", "type": "Text", "value": "x"}]}`),
		}
		cases := map[string]struct {
			change func(*Exchange)
			path   string
			want   []string
		}{
			"nothing wrong":    {func(*Exchange) {}, additions, nil},
			"path":             {func(*Exchange) {}, "/finance/additions", []string{"the path /finance/additions is not in the document"}},
			"member sent":      {func(e *Exchange) { e.Request = bytes.Replace(e.Request, []byte("quantity"), []byte("qty"), 1) }, additions, []string{`sent: /: property "qty" is unsupported`}},
			"product not sent": {func(e *Exchange) { e.Request = []byte(`{"billCustomer": "Billable"}`) }, additions, []string{`sent: /product: property "product" is missing`}},
			"word sent":        {func(e *Exchange) { e.Request = bytes.Replace(e.Request, []byte("Billable"), []byte("Yes"), 1) }, additions, []string{`sent: /billCustomer: value is not one of the allowed values ["Billable","DoNotBill","NoCharge"]`}},
			"member answered": {func(e *Exchange) {
				e.Response = bytes.Replace(e.Response, []byte("cancelledDate"), []byte("cancelDate"), 1)
			}, additions, []string{`answered: /: property "cancelDate" is unsupported`}},
			"type answered": {func(e *Exchange) { e.Response = bytes.Replace(e.Response, []byte("5.0"), []byte(`"5"`), 1) }, additions, []string{`answered: /quantity: value must be a number`}},
		}
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e := good
				tc.change(&e)
				if diff := cmp.Diff(tc.want, document.Check(e, tc.path)); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
			})
		}
	})
	t.Run("Partner Center", func(t *testing.T) {
		t.Parallel()
		documents := partnerCenterDocuments(t)
		cases := map[string]struct {
			shape Shape
			body  string
			want  []string
		}{
			"customers":    {documents.customers, `{"totalCount": 1, "items": [{"id": "a", "companyProfile": {"companyName": "b", "name": "c"}}], "next": 1}`, []string{"items.companyProfile.name", "next"}},
			"customer":     {documents.customer, `{"billingProfile": {"defaultAddress": {"city": "x", "town": "y"}}, "domains": []}`, []string{"billingProfile.defaultAddress.town", "domains"}},
			"company":      {documents.company, `{"domain": "example.com", "website": "x"}`, []string{"website"}},
			"billing":      {documents.billing, `{"firstName": "A", "givenName": "A"}`, []string{"givenName"}},
			"auditRecords": {documents.auditRecords, `{"items": [{"operationDate": "x", "date": "y"}]}`, []string{"items.date"}},
			"subscription": {documents.subscription, `{"quantity": 3, "seats": 3, "refundableQuantity": {"totalQuantity": 1, "details": [{"quantity": 1, "until": "x"}]}, "scheduledNextTermInstructions": {"product": {"productId": "a", "sku": "b"}}, "links": {"self": {"uri": "x"}, "me": 1}}`, []string{"links.me", "refundableQuantity.details.until", "scheduledNextTermInstructions.product.sku", "seats"}},
		}
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var body any
				if err := json.Unmarshal([]byte(tc.body), &body); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, tc.shape.Unknown(body)); diff != "" {
					t.Errorf("unknown members (-want +got):\n%s", diff)
				}
			})
		}
		t.Run("endpoints", func(t *testing.T) {
			t.Parallel()
			want := []string{"the query parameter mpnid of /customers/a/subscriptions is not documented"}
			if diff := cmp.Diff(want, documents.endpoints.Check("/customers/a/subscriptions", []string{"mpn_id", "mpnid"})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	})
}
