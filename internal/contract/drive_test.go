//go:build contract

package contract

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
)

// recording puts a Recorder in front of an account's transport.
func recording(account *connectors.Account) *Recorder {
	client := *account.HTTP
	recorder := &Recorder{Next: client.Transport}
	client.Transport = recorder
	account.HTTP = &client
	return recorder
}

// readAll lists every kind that can be listed and reads one record of every kind that can be read. It returns the
// records by kind.
func readAll(t *testing.T, c connectors.Connector) map[string][]connectors.Record {
	t.Helper()
	records := map[string][]connectors.Record{}
	for _, kind := range c.Descriptor().Kinds {
		if kind.Can(connectors.AbilityList) {
			listing, err := c.(connectors.Lister).List(t.Context(), connectors.ListRequest{Kind: kind.Name}, func(r connectors.Record) error {
				records[kind.Name] = append(records[kind.Name], r)
				return nil
			})
			if err != nil || !listing.Complete() || listing.Received == 0 {
				t.Fatalf("list %s: %d records, gaps %v, error %v", kind.Name, listing.Received, listing.Gaps, err)
			}
		}
		if kind.Can(connectors.AbilityRead) && len(records[kind.Name]) > 0 {
			first := records[kind.Name][0]
			if _, err := c.(connectors.Reader).Read(t.Context(), connectors.Ref{Kind: kind.Name, ID: first.ID, Parent: first.Parent}); err != nil {
				t.Fatalf("read %s %s: %v", kind.Name, first.ID, err)
			}
		}
	}
	return records
}

// quiet reads the feed twice: once for a cursor, once from it.
func quiet(t *testing.T, c connectors.Connector) (cursor string) {
	t.Helper()
	for range 2 {
		changes, err := c.(connectors.ChangeFeed).Changes(t.Context(), cursor)
		if err != nil {
			t.Fatalf("read changes: %v", err)
		}
		cursor = changes.Cursor
	}
	return cursor
}

// report turns the problems of many exchanges into one line each, with how often it was met.
func report(t *testing.T, exchanges []Exchange, check func(Exchange) []string) {
	t.Helper()
	met, first := map[string]int{}, map[string]Exchange{}
	for _, e := range exchanges {
		for _, problem := range check(e) {
			problem = anyIndex(problem)
			if met[problem]++; met[problem] == 1 {
				first[problem] = e
			}
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(met)) {
		t.Errorf("%s (%d times, first: %v)", problem, met[problem], first[problem])
	}
}

var index = regexp.MustCompile(`/\d+(/|:)`)

// anyIndex makes one of the problems "/0/x: …" and "/1/x: …".
func anyIndex(problem string) string { return index.ReplaceAllString(problem, "/*$1") }

// covers fails when one of the calls, as "GET path/{0}", was never made with success: what was not exchanged was not checked.
func covers(t *testing.T, exchanges []Exchange, path func(Exchange) string, calls ...string) {
	t.Helper()
	for _, call := range calls {
		method, template, _ := strings.Cut(call, " ")
		if !slices.ContainsFunc(exchanges, func(e Exchange) bool {
			return e.Method == method && e.Status < http.StatusBadRequest && samePath(template, path(e))
		}) {
			t.Errorf("%s was never answered, so it was not checked; made were:\n%s", call, made(exchanges, path))
		}
	}
}

func made(exchanges []Exchange, path func(Exchange) string) string {
	lines := map[string]bool{}
	for _, e := range exchanges {
		lines[fmt.Sprintf("  %s %s answered %d", e.Method, path(e), e.Status)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(lines)), "\n")
}
