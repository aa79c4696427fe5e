package connectwise

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
)

func TestSendCustom(t *testing.T) {
	t.Parallel()
	cases := []struct {
		kind, text string
		want       any
		refused    string
	}{
		{"Text", "a", "a", ""},
		{"TextArea", "007", "007", ""},
		{"Number", "12.50", json.Number("12.5"), ""},
		{"Percent", "5", json.Number("5"), ""},
		{"Number", "many", nil, "not a number"},
		{"Checkbox", "true", true, ""},
		{"Checkbox", "maybe", nil, "not true or false"},
		{"Checkbox", "", nil, ""},
	}
	for _, test := range cases {
		t.Run(test.kind+" "+test.text, func(t *testing.T) {
			t.Parallel()
			got, err := sendCustom(customField{kind: test.kind}, test.text)
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Errorf("error %v, want %q", err, test.refused)
			}
		})
	}
}

// answering is a server that answers every list with the given pages, one after the other, and counts ten records.
func answering(t *testing.T, pages ...string) *Connector {
	t.Helper()
	served := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/login/"):
			fmt.Fprint(w, `{"Codebase":"v2026_1/"}`)
		case strings.HasSuffix(r.URL.Path, "/count"):
			fmt.Fprint(w, `{"count":10}`)
		default:
			page := pages[min(served, len(pages)-1)]
			served++
			w.Header().Set("Link", fmt.Sprintf(`<https://elsewhere.example.com/x?pageId=%d>; rel="next"`, served))
			fmt.Fprint(w, page)
		}
	}))
	t.Cleanup(server.Close)
	c, err := build(connectwisetest.New(connectwisetest.Options{}).Account(server.URL), -1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPagesThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		pages []string
		class connectors.Class
		says  string
	}{
		"the same page again": {[]string{`[{"id":1},{"id":2}]`}, connectors.ClassTransient, "1 came after 2"},
		"a repeated record":   {[]string{`[{"id":1},{"id":1}]`}, connectors.ClassTransient, "1 came after 1"},
		"a record without id": {[]string{`[{"name":"x"}]`}, connectors.ClassTransient, "-1 came after"},
		"nothing":             {[]string{`null`}, connectors.ClassTransient, "something else than what was asked for"},
		"half a page":         {[]string{`[{"id":1},{"i`}, connectors.ClassTransient, "cannot be read"},
		"refused in a 200":    {[]string{`{"code":"Unauthorized","message":"Expired"}`}, connectors.ClassAuth, "Expired"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := answering(t, test.pages...)
			_, err := c.List(t.Context(), connectors.ListRequest{Kind: kindCompany}, func(connectors.Record) error { return nil })
			wantError(t, err, test.class, "", test.says)
		})
	}
}

// A record that cannot be read is neither told nor gone. The second page is empty and still links to a next one: an empty
// page is the end, whatever it links to.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	c := answering(t, `[{"id":1,"name":"A","startDate":"next week"},{"id":2,"name":"B"}]`, `[]`)
	var told []string
	listing, err := c.List(t.Context(), connectors.ListRequest{Kind: kindAgreement}, func(r connectors.Record) error {
		told = append(told, r.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "told", []string{"2"}, told)
	if text := reasons(listing); !strings.Contains(text, `"next week" is not a date`) || !strings.Contains(text, "startDate") || !strings.Contains(text, "counts 10 records but sent 2") {
		t.Errorf("gaps: %s", text)
	}
}
