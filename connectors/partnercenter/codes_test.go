package partnercenter

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
)

// Every code that the calls of this connector can be answered with has a class, a plain sentence and a next step. Each row is the vendor's own
// entry: https://learn.microsoft.com/partner-center/developer/error-codes
func TestEveryCodeHasAMeaning(t *testing.T) {
	t.Parallel()
	const (
		invalid, auth, missing = connectors.ClassInvalid, connectors.ClassAuth, connectors.ClassMissing
		stale, transient       = connectors.ClassStale, connectors.ClassTransient
	)
	rows := []struct {
		status int
		code   string
		class  connectors.Class
		word   string // of the sentence
	}{
		{401, "400", auth, "access"}, {404, "1000", missing, "not there"},
		{400, "2001", invalid, "suspended"}, {400, "2002", invalid, "minimum"}, {400, "2006", invalid, "no changes"}, {400, "2011", invalid, "deleted"},
		{400, "2012", invalid, "directory"}, {403, "2030", auth, "country"}, {403, "2032", auth, "denied"}, {400, "2054", invalid, "billing cycle"}, {400, "2055", stale, "somebody else"},
		{400, "2071", invalid, "partner id"}, {404, "2072", invalid, "partner id"}, {403, "2085", invalid, "eligible"}, {403, "2091", invalid, "no longer"},
		{400, "3000", invalid, "not valid"}, {403, "13605", auth, "Customer Agreement"}, {403, "20002", auth, "relationship"}, {404, "20003", missing, "no such subscription"},
		{400, "27006", invalid, "more"}, {400, "27007", invalid, "promotion"}, {409, "27009", transient, "base"}, {404, "60003", missing, "tenant"},
		{404, "400013", missing, "product"}, {404, "400018", missing, "SKU"}, {404, "400019", stale, "sold under that id"}, {200, "400072", invalid, "not available"},
		{400, "600002", invalid, "registration"}, {400, "600049", invalid, "registration"}, {400, "600050", invalid, "registration"}, {400, "600051", invalid, "phone"},
		{401, "800001", auth, "token"}, {400, "800002", invalid, "not valid"}, {500, "800003", transient, ""}, {404, "800007", missing, "provisioned"},
		{400, "800012", invalid, "not active"}, {409, "800014", transient, "adjustment"}, {404, "800015", invalid, "partner id"}, {400, "800016", invalid, "reseller"},
		{403, "800020", invalid, "not sold"}, {400, "800021", invalid, "not a subscription"}, {403, "800023", auth, "credit"}, {400, "800025", auth, "credit"},
		{403, "800027", invalid, "no change of quantity"}, {403, "800028", invalid, "term"}, {417, "800036", stale, "condition"}, {404, "800037", missing, "not there"}, {404, "800038", missing, "billing"},
		{403, "800039", auth, "reseller"}, {400, "800040", invalid, "status"}, {400, "800042", invalid, "not supported"}, {409, "800060", transient, "order"}, {409, "800064", transient, "cart"},
		{403, "800067", invalid, "no more seats"}, {403, "800069", auth, "risk"}, {400, "800070", invalid, "country"}, {400, "800072", transient, "provisioned"},
		{403, "800073", auth, "under review"}, {403, "800074", auth, "under review"}, {403, "800075", auth, "not approved"}, {400, "800080", invalid, "billing cycle"}, {400, "800081", invalid, "activated"},
		{409, "800082", transient, "not ready"}, {500, "800084", transient, "term"}, {403, "800088", invalid, "no more seats"}, {403, "800089", invalid, "own"}, {400, "800090", invalid, "window"},
		{400, "800091", invalid, "suspended"}, {400, "800092", invalid, "Software Assurance"}, {400, "800093", invalid, "renew"}, {500, "800094", transient, "failed"}, {400, "800095", invalid, "locked"},
		{400, "800096", invalid, "status"}, {400, "800097", invalid, "billing cycle"}, {400, "800098", invalid, "partner"}, {400, "800107", invalid, "trial"}, {400, "800121", invalid, "term"}, {400, "800122", invalid, "shorter"},
		{400, "900117", invalid, "cancelled"}, {400, "900118", invalid, "customer"}, {403, "900121", auth, "credit"}, {403, "900123", auth, "reseller"}, {403, "900124", auth, "Partner Agreement"},
		{400, "900126", invalid, "word"}, {400, "900127", invalid, "sandbox"}, {400, "900141", invalid, "not supported"}, {403, "900149", auth, "program"}, {403, "900150", auth, "role"},
		{500, "900192", transient, ""}, {400, "900213", invalid, "cancelled"}, {400, "900214", invalid, "hours"}, {400, "900244", invalid, "end date"}, {400, "900245", invalid, "end date"}, {400, "900246", invalid, "end date"},
		{400, "900257", invalid, "7 days"}, {403, "900263", invalid, "legacy"}, {400, "900267", invalid, "shorter"}, {400, "900268", invalid, "term"}, {400, "900269", invalid, "billing cycle"},
		{400, "900270", invalid, "longer"}, {400, "900275", invalid, "range"}, {400, "900277", invalid, "expiring"}, {409, "900278", transient, "another operation"}, {400, "900279", invalid, "no more changes"},
		{400, "900280", invalid, "at the moment"}, {403, "900308", auth, "may not"}, {403, "900309", auth, "Conditional Access"}, {400, "900311", invalid, "too many times"}, {400, "900316", auth, "token"},
		{403, "900321", invalid, "savings plan"}, {403, "900322", invalid, "sandbox"}, {403, "900329", auth, "application alone"}, {403, "900416", auth, "locked"}, {400, "900419", invalid, "customer"}, {401, "900420", auth, "another address"},
	}
	listed := map[string]bool{}
	for _, row := range rows {
		if listed[row.code] {
			t.Errorf("%s stands here twice", row.code)
		}
		listed[row.code] = true
		e := faultOf(row.status, row.code, "Said by the vendor.\r\nTrace 1")
		switch {
		case e.Class != row.class:
			t.Errorf("%s: class %q, want %q", row.code, e.Class, row.class)
		case !strings.Contains(e.Message, row.word):
			t.Errorf("%s: %q does not speak of %q", row.code, e.Message, row.word)
		case !strings.Contains(e.Message, "Said by the vendor") || strings.Contains(e.Message, "Trace"):
			t.Errorf("%s: the vendor's words are missing, or too many: %q", row.code, e.Message)
		case e.Hint == "" || e.Code != row.code:
			t.Errorf("%s: no next step: %+v", row.code, e)
		case row.status == http.StatusConflict && e.RetryAfter != afterRenewal:
			t.Errorf("%s: it is to be tried again after %s", row.code, e.RetryAfter)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(codes))); diff != "" {
		t.Errorf("codes here and in codes.go (-here +there):\n%s", diff)
	}
	if e := faultOf(http.StatusBadRequest, "999999", "Something new."); e.Class != "" || e.Message != "Something new" {
		t.Errorf("a code that is new: %+v", e)
	}
}
