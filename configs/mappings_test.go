package configs_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
)

var systems = []connectors.Descriptor{connectwise.System.Descriptor, partnercenter.System.Descriptor}

func read(t *testing.T, name string) []byte {
	t.Helper()
	source, err := configs.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func load(t *testing.T, d connectors.Descriptor) *mapping.Mapping {
	t.Helper()
	name := "mappings/" + d.System + ".yaml"
	var problems diag.List
	m := mapping.Load(name, read(t, name), d, &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShippedMappings(t *testing.T) {
	t.Parallel()
	for _, d := range systems {
		t.Run(d.System, func(t *testing.T) {
			t.Parallel()
			m := load(t, d)
			name := "mappings/" + d.System + ".test.yaml"
			var problems diag.List
			passed, failures := mapping.RunTests(m, name, read(t, name), &problems)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			for _, f := range failures {
				t.Error(f)
			}
			if passed == 0 {
				t.Error("no test passed")
			}
		})
	}
}

// TestEveryFieldIsTested reads the test files for what they expect: a mapped field without an expectation is untested.
func TestEveryFieldIsTested(t *testing.T) {
	t.Parallel()
	for _, d := range systems {
		m := load(t, d)
		var file struct {
			Tests []struct {
				Kind   model.Kind
				Expect map[string]any
				Change struct{ Fields map[string]any }
			}
		}
		if err := yaml.Unmarshal(read(t, "mappings/"+d.System+".test.yaml"), &file); err != nil {
			t.Fatal(err)
		}
		expected := map[string]bool{}
		for _, test := range file.Tests {
			for field := range test.Expect {
				expected[fmt.Sprintf("%s.%s", test.Kind, field)] = true
			}
		}
		for _, kind := range m.Kinds() {
			for _, field := range m.Fields(kind) {
				if !expected[fmt.Sprintf("%s.%s", kind, field)] {
					t.Errorf("no test of %s expects %s.%s", d.System, kind, field)
				}
			}
		}
	}
}

func TestShippedMappingsFitTheEditorSchema(t *testing.T) {
	t.Parallel()
	for _, d := range systems {
		text, err := mapping.Schema(d)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("mapping.json", document); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile("mapping.json")
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(read(t, "mappings/"+d.System+".yaml"), &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", d.System, err)
		}
	}
}

// TestWhatWeWrite lists every native field trueup may change: adding one to a shipped mapping is a decision to be seen.
func TestWhatWeWrite(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"partnercenter": {
			"customer.billingProfile.companyName", "customer.billingProfile.defaultAddress.addressLine1", "customer.billingProfile.defaultAddress.addressLine2", "customer.billingProfile.defaultAddress.city",
			"customer.billingProfile.defaultAddress.firstName", "customer.billingProfile.defaultAddress.lastName", "customer.billingProfile.defaultAddress.phoneNumber", "customer.billingProfile.defaultAddress.postalCode",
			"customer.billingProfile.defaultAddress.state", "customer.billingProfile.email", "subscription.autoRenewEnabled", "subscription.nextProduct", "subscription.quantity",
			"subscription.scheduledNextTermInstructions.quantity", "subscription.termEndAction"},
		"connectwise": {
			"addition.billCustomer", "addition.custom.Seats At Renewal", "addition.custom.Vendor Status", "addition.custom.Vendor Subscription Id", "addition.invoiceDescription", "addition.quantity", "addition.unitCost", "addition.unitPrice",
			"catalogItem.cost", "catalogItem.manufacturerPartNumber", "catalogItem.price", "catalogItem.vendorSku",
			"company.addressLine1", "company.addressLine2", "company.city", "company.countryCode", "company.custom.Vendor Tenant Ids", "company.name", "company.phoneNumber",
			"company.state", "company.taxIdentifier", "company.zip",
			"contact.defaultFlag", "contact.email", "contact.firstName", "contact.lastName", "contact.phone", "opportunity.custom.Cloud Order",
			"ticket.status",
		},
	}
	for _, d := range systems {
		m := load(t, d)
		var got []string
		for _, kind := range m.Kinds() {
			native, _ := m.NativeKind(kind)
			for _, field := range m.Fields(kind) {
				if m.Writable(kind, field) {
					got = append(got, native+"."+m.NativeField(kind, field))
				}
			}
		}
		slices.Sort(got)
		if g, w := strings.Join(got, "\n"), strings.Join(want[d.System], "\n"); g != w {
			t.Errorf("%s writes\n%s\nwant\n%s", d.System, g, w)
		}
	}
}
