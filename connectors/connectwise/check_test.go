package connectwise

import (
	"slices"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
)

// lines are a report's rights as text, a minus before those that are missing.
func lines(r connectors.Report) []string {
	all := make([]string, len(r.Rights))
	for i, right := range r.Rights {
		all[i] = right.Name
		if !right.Granted {
			all[i] = "- " + right.Name
		}
	}
	return all
}

func TestCheck(t *testing.T) {
	t.Parallel()
	all := []string{"keep subscription ids on additions", "keep tenant ids on companies", "read additions", "read agreements", "read catalog items", "read companies", "read contacts",
		"read opportunities (for quotes)", "read products on opportunities (for quotes)", "read system information", "read tickets"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(names, s) })
	}
	cases := map[string]struct {
		options      []option
		forbid       string
		want         []string
		reasons      []string
		misbehaviour string
	}{
		"everything": {want: all},
		"no catalog": {forbid: "catalog", want: append([]string{"- read catalog items"}, without("read catalog items")...), reasons: []string{"security role"}},
		"no agreements": {forbid: "agreements", want: append([]string{"- read agreements"}, without("read agreements", "read additions", "keep subscription ids on additions")...),
			reasons: []string{"security role"}},
		"no opportunities": {forbid: "opportunities", want: append([]string{"- read opportunities (for quotes)", "- read products on opportunities (for quotes)"},
			without("read opportunities (for quotes)", "read products on opportunities (for quotes)")...), reasons: []string{"security role"}},
		"no additions": {forbid: "additions", want: append([]string{"- read additions"}, without("read additions", "keep subscription ids on additions")...), reasons: []string{"security role"}},
		// Tickets are needed only where a flow opens them, so that nothing is missing without them.
		"no tickets": {forbid: "tickets", want: without("read tickets")},
		"no system":  {forbid: "system", want: append([]string{"- read system information"}, without("read system information")...)},
		"no custom fields": {options: []option{server(func(o *connectwisetest.Options) { o.Bare = true })},
			want: append([]string{"- keep tenant ids on companies"}, without("keep tenant ids on companies")...), reasons: []string{`no custom field "Vendor Tenant Ids"`, "in the serial number"}},
		"types": {options: []option{setting("agreement_types", "Cloud Services,Clouds")}, want: append([]string{`- look at agreements of type "Clouds"`},
			slices.Insert(slices.Clone(all), 2, `look at agreements of type "Cloud Services"`)...), reasons: []string{"Cloud Services, Managed Services"}},
		"no company seen": {misbehaviour: "empty_list", want: append([]string{"- read companies"}, without("read companies", "keep tenant ids on companies", "read additions", "keep subscription ids on additions")...),
			reasons: []string{"no company at all"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.options...)
			if test.forbid != "" {
				w.misbehave("forbid", test.forbid)
			}
			if test.misbehaviour != "" {
				w.misbehave(test.misbehaviour, "count")
			}
			report, err := w.c.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "rights", test.want, lines(report))
			var said strings.Builder
			for _, right := range report.Rights {
				said.WriteString(right.Reason + "\n")
				if !right.Granted && right.Reason == "" {
					t.Errorf("%s is missing without a reason", right.Name)
				}
			}
			for _, reason := range test.reasons {
				if !strings.Contains(said.String(), reason) {
					t.Errorf("the report does not say %q:\n%s", reason, said.String())
				}
			}
			if want := "company acme (Acme Managed IT), version v2026_1, server time zone GMT Standard Time"; test.forbid != "system" && report.Identity != want {
				t.Errorf("identity %q, want %q", report.Identity, want)
			}
			if missing := report.Missing(); test.forbid == "opportunities" && len(missing) > 0 {
				t.Errorf("what only quotes need is called missing: %+v", missing)
			}
			if w.fake.Writes() != 0 {
				t.Error("a check wrote something")
			}
		})
	}
}

func TestCheckWithWrongKeys(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ misbehaviour, value, says string }{
		"refused":           {"reject_keys", "", "Provided credentials are not valid"},
		"as the cloud does": {"reject_keys", "404", "404 to wrong keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.misbehave(test.misbehaviour, test.value)
			_, err := w.c.Check(t.Context())
			wantError(t, err, connectors.ClassAuth, "", test.says)
		})
	}
	t.Run("no client id", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, setting("client_id", "another"))
		_, err := w.c.Check(t.Context())
		wantError(t, err, connectors.ClassAuth, "", "clientId", "check client_id")
	})
}
