package engine_test

import (
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/model"
)

// TestHardNames: who is linked by what, and who is not. A wrong link would bill one customer for another.
func TestHardNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, tenant, domain string
		companies            [][2]string // name, website
		want                 string      // the company linked; "" for none
		finding              string
	}{
		{"domain, whatever the names", "Smith & Söhne GmbH", "smith.example", [][2]string{{"Smith and Soehne", "smith.example"}}, "Smith and Soehne", ""},
		{"www, scheme and path do not matter", "Kea", "kea.example", [][2]string{{"Kea", "http://www.KEA.example/start"}}, "Kea", ""},
		{"a name alone only proposes", "Rata Law Ltd", "rata.example", [][2]string{{"Rata Law Limited", ""}}, "", "name_only"},
		{"one domain at two companies", "Twin", "twin.example", [][2]string{{"Twin North", "twin.example"}, {"Twin South", "twin.example"}}, "", "ambiguous_customer"},
		{"a mailbox provider's domain is nobody's", "Solo", "gmail.com", [][2]string{{"Other", "gmail.com"}}, "", "unmatched_customer"},
		{"the vendor's own domain is nobody's", "Solo", "solo.onmicrosoft.com", [][2]string{{"Other", "solo.onmicrosoft.com"}}, "", "unmatched_customer"},
		{"two companies of the same name", "Acme", "acme.example", [][2]string{{"Acme", ""}, {"ACME, Inc.", ""}}, "", "ambiguous_customer"},
		{"nothing in common", "Nova", "nova.example", [][2]string{{"Orion", "orion.example"}}, "", "unmatched_customer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.tenant("t-1", c.tenant, c.domain)
			o.subscription("t-1", "s-1", 5, "P1Y")
			for _, company := range c.companies {
				o.company(company[0], company[1])
			}
			result := o.sync()
			var linked string
			for _, rec := range o.psa.Records("company") {
				if strings.Contains(rec.Fields["custom.Vendor Tenant Ids"].String(), "t-1") {
					linked += rec.Fields["name"].String()
				}
			}
			if linked != c.want {
				t.Errorf("linked to %q, want %q", linked, c.want)
			}
			want := "[]"
			if c.finding != "" {
				want = "[found " + c.finding + "]"
			}
			if got := reasons(result.Plan); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if c.finding != "" && result.Plan.Findings[0].Money.String() != "80.9375 GBP" {
				t.Errorf("the unmatched customer's money is %s", result.Plan.Findings[0].Money)
			}
			o.settled()
		})
	}
}

func TestTwoTenantsOfOneCompany(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea Logistics", "kea.example")
	o.tenant("t-2", "Kea Warehousing", "kea.example")
	o.subscription("t-1", "s-1", 5, "P1Y")
	o.subscription("t-2", "s-2", 7, "P1Y")
	o.company("Kea", "kea.example")
	o.sync()
	o.settled()
	if got := o.psa.Records("company")[0].Fields["custom.Vendor Tenant Ids"].String(); got != "t-1,t-2" {
		t.Errorf("the company keeps %q", got)
	}
	if got := len(o.psa.Records("addition")); got != 2 {
		t.Errorf("%d lines, want 2", got)
	}
	if got := len(o.psa.Records("agreement")); got != 1 {
		t.Errorf("%d agreements, want 1", got)
	}
}

// TestSameProductUnderDifferentTerms: two monthly and one yearly subscription of one SKU are three lines, and an edit of one
// reaches exactly that one.
func TestSameProductUnderDifferentTerms(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	o.company("Kea", "kea.example")
	subs := map[string]connectors.Ref{
		"s-1": o.subscription("t-1", "s-1", 5, "P1M"), "s-2": o.subscription("t-1", "s-2", 6, "P1M"), "s-3": o.subscription("t-1", "s-3", 7, "P1Y"),
	}
	o.sync()
	o.settled()
	for _, line := range o.psa.Records("addition") {
		if line.Fields["custom.Vendor Subscription Id"].String() == "s-2" {
			o.edit(o.psa, connectors.Ref{Kind: "addition", ID: line.ID, Parent: line.Parent}, "quantity", model.Int(9))
		}
	}
	o.sync()
	for id, want := range map[string]string{"s-1": "5", "s-2": "9", "s-3": "7"} {
		if got := o.seats(o.vendor, subs[id]); got != want {
			t.Errorf("%s has %s seats, want %s", id, got, want)
		}
	}
	o.settled()
}

// TestAdoptingLinesThatExist: an MSP has lines before it has trueup. A line is adopted when it can only be that one.
func TestAdoptingLinesThatExist(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	agreement := o.agreement(o.company("Kea", "kea.example"))
	item := o.item(premiumM)
	o.subscription("t-1", "s-1", 5, "P1Y")
	line := o.line(agreement, item, "", 4)
	result := o.sync()
	if len(o.psa.Records("addition")) != 1 || o.seats(o.psa, line) != "5" {
		t.Fatalf("the line was not adopted:\n%s", text(result.Plan))
	}
	rec, _ := o.psa.Get(line)
	if got := rec.Fields["custom.Vendor Subscription Id"].String(); got != "s-1" {
		t.Errorf("the line keeps %q", got)
	}
	o.settled()
}

func TestWhatCannotBeDecidedIsAFindingAndNotALine(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	agreement := o.agreement(o.company("Kea", "kea.example"))
	item := o.item(premiumM)
	o.subscription("t-1", "s-1", 5, "P1Y")
	o.subscription("t-1", "s-2", 5, "P1Y")
	o.line(agreement, item, "", 4)
	o.line(agreement, item, "s-gone", 2)
	before := o.writes()
	result := o.sync()
	if got := reasons(result.Plan); got != "[found ambiguous_line found ambiguous_line found orphaned_line]" {
		t.Errorf("got %s", got)
	}
	if written := o.writes() - before; written != 1 { // the company's tenant id
		t.Errorf("%d writes:\n%s", written, text(result.Plan))
	}
}

func TestContractsThatCannotBeChosen(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	company := o.company("Kea", "kea.example")
	o.agreement(company)
	o.agreement(company)
	o.subscription("t-1", "s-1", 5, "P1Y")
	if got := reasons(o.sync().Plan); !strings.Contains(got, "held ambiguous_contract") {
		t.Errorf("got %s", got)
	}
	if n := len(o.psa.Records("addition")) + len(o.psa.Records("catalogItem")); n != 0 {
		t.Errorf("%d lines and products; nothing is made for a line that is held", n)
	}
}

func TestTrialsAndUnpricedProducts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	o.company("Kea", "kea.example")
	trial := o.subscription("t-1", "s-trial", 25, "P1M")
	o.edit(o.vendor, trial, "isTrial", model.Bool(true))
	o.subscription("t-1", "s-unpriced", 5, "P3Y")
	result := o.sync()
	if got := reasons(result.Plan); got != "[held no_price]" || result.Plan.Counts.NotBilled != 1 {
		t.Errorf("got %s, %d not billed", got, result.Plan.Counts.NotBilled)
	}
	if n := len(o.psa.Records("addition")); n != 0 {
		t.Errorf("%d lines", n)
	}
}

// TestCreatingWhatIsMissingFromTheCompanyDown: company, contract, product and line come to exist in this order, once.
func TestCreatingWhatIsMissingFromTheCompanyDown(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.flow.Customers.MissingPSA = engine.MissingCreate
	o.company("Somebody else", "else.example")
	o.tenant("t-1", "Kea & Sons", "kea.example")
	o.subscription("t-1", "s-1", 5, "P1Y")
	o.subscription("t-1", "s-2", 3, "P1M")
	o.tenant("t-2", "Nothing To Bill", "empty.example")
	result := o.sync()
	var order []string
	for _, c := range result.Plan.Changes {
		order = append(order, string(c.Target.Kind))
	}
	if got := strings.Join(order, " "); got != "customer contract product product line line" || result.Outcome.Done != 6 {
		t.Fatalf("planned %s, %d done:\n%s\n%+v", got, result.Outcome.Done, text(result.Plan), result.Outcome.Failures)
	}
	o.settled()
	companies, lines := o.psa.Records("company"), o.psa.Records("addition")
	if len(companies) != 2 || len(lines) != 2 || companies[1].Fields["custom.Vendor Tenant Ids"].String() != "t-1" || companies[1].Fields["name"].String() != "Kea & Sons" {
		t.Errorf("companies %+v, %d lines", companies, len(lines))
	}
}

// TestAFailedCompanyTakesItsLinesWithIt: what needs it is not tried, and nothing is left half made.
func TestAFailedCompanyTakesItsLinesWithIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.flow.Customers.MissingPSA = engine.MissingCreate
	o.company("Somebody else", "else.example")
	o.tenant("t-1", "Kea", "kea.example")
	o.subscription("t-1", "s-1", 5, "P1Y")
	o.misbehave(o.psa, memory.LostBeforeCommit, "1")
	result := o.sync()
	if result.Outcome.Unknown != 1 || result.Outcome.Skipped != 2 || len(o.psa.Records("addition")) != 0 {
		t.Fatalf("%+v", result.Outcome)
	}
	o.sync()
	o.settled()
	if len(o.psa.Records("company")) != 2 || len(o.psa.Records("addition")) != 1 {
		t.Errorf("%d companies, %d lines", len(o.psa.Records("company")), len(o.psa.Records("addition")))
	}
}

// TestNothingIsSoldForNothing: a list price of zero for something that is paid for holds the new line; what is free stays free.
func TestNothingIsSoldForNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.tenant("t-1", "Kea", "kea.example")
	o.company("Kea", "kea.example")
	o.price(premium, "P3Y", "monthly", "12.5 GBP", "0 GBP")
	o.price("CFQ7TTC0FREE:0001", "P1M", "monthly", "0 GBP", "0 GBP")
	o.subscription("t-1", "s-paid", 5, "P3Y")
	free := o.subscription("t-1", "s-free", 5, "P1M")
	o.edit(o.vendor, free, "sku", model.Text("CFQ7TTC0FREE:0001"))
	result := o.sync()
	if got := reasons(result.Plan); got != "[held doubtful_price]" {
		t.Errorf("got %s\n%s", got, text(result.Plan))
	}
	lines := o.psa.Records("addition")
	if len(lines) != 1 || lines[0].Fields["custom.Vendor Subscription Id"].String() != "s-free" {
		t.Errorf("lines %+v", lines)
	}
	if n := len(o.psa.Records("catalogItem")); n != 1 {
		t.Errorf("%d products, want the free one alone: nothing is made for a line that is held", n)
	}
}
