package sandbox_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/internal/sandbox"
)

var (
	controlCall = regexp.MustCompile(`curl -s (?:-X (\w+) )?"?\$CONTROL(/[^ "\n]*)"?([^\n|]*)`)
	bodyOfCall  = regexp.MustCompile(`-d '([^']*)'`)
)

// Every control call in the guide works as it is printed, in the order of the guide, and every path is in it.
func TestTheGuidesCallsWork(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	box := open(t, small())
	truth := box.Truth()
	var lines []sandbox.Subscription
	for _, sub := range truth.Subscriptions {
		if sub.Expect == sandbox.ExpectLinked && sub.Status == "active" {
			lines = append(lines, sub)
		}
	}
	ids := strings.NewReplacer("612", lines[0].Line, "LINE", lines[1].Line, "SUBSCRIPTION", truth.Awkward["scheduled"][0], "TENANT", lines[0].Tenant)
	text := strings.ReplaceAll(string(guide), "\\\n", " ")
	calls := controlCall.FindAllStringSubmatch(text, -1)
	if len(calls) < 20 {
		t.Fatalf("the guide has %d calls, want at least 20", len(calls))
	}
	for _, c := range calls {
		method, path, body := c[1], ids.Replace(c[2]), ""
		if found := bodyOfCall.FindStringSubmatch(c[3]); found != nil {
			body = ids.Replace(found[1])
		}
		switch {
		case method != "":
		case body != "":
			method = "POST"
		default:
			method = "GET"
		}
		if status, _, raw := call(t, box, method, path, body); status >= 300 {
			t.Errorf("%s %s %s: %d %s", method, path, body, status, raw)
		}
	}
	for _, e := range sandbox.Endpoints() {
		head, _, _ := strings.Cut(e.Path, "/{")
		if !strings.Contains(text, "$CONTROL"+head) {
			t.Errorf("the guide does not show %s %s", e.Method, e.Path)
		}
	}
}
