package partnercenter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
)

// follow asks for changes, the time of an interval after the last look.
func (w *world) follow(cursor string) connectors.Changes {
	w.t.Helper()
	w.clock.Advance(5 * time.Minute)
	changes, err := w.Changes(w.t.Context(), cursor)
	if err != nil {
		w.t.Fatal(err)
	}
	return changes
}

func kindsIn(scan map[string]string) []string {
	var kinds []string
	for kind := range scan {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

func TestFeed(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	w.clock.Advance(3 * time.Hour) // the world was made long ago
	cursor := w.follow("").Cursor

	before := len(w.fake.Requests())
	quiet := w.follow(cursor)
	if len(quiet.Relist)+len(quiet.Scan) != 0 || len(w.fake.Requests())-before != 2 { // one of them signs in
		t.Errorf("quiet: %+v in %d requests", quiet, len(w.fake.Requests())-before)
	}
	before = len(w.fake.Requests())
	cursor = w.follow(quiet.Cursor).Cursor
	if n := len(w.fake.Requests()) - before; n != 1 {
		t.Errorf("a quiet look took %d requests, want 1", n)
	}

	// A person in the portal: told at once, and again until the change must be visible; then no more.
	if err := w.fake.EditQuantity(yearly, 17); err != nil {
		t.Fatal(err)
	}
	var told []bool
	for range 8 {
		changes := w.follow(cursor)
		if len(changes.Relist) > 0 {
			if diff := cmp.Diff([]connectors.Relist{{Kind: kindSubscription, Parents: []string{harbour}}}, changes.Relist); diff != "" {
				t.Errorf("relist (-want +got):\n%s", diff)
			}
		}
		told = append(told, len(changes.Relist) > 0)
		cursor = changes.Cursor
	}
	if diff := cmp.Diff([]bool{true, true, true, true, true, false, false, false}, told); diff != "" {
		t.Errorf("told at each look (-want +got):\n%s", diff)
	}

	added := w.fake.AddCustomer(partnercentertest.Customer{Name: "Tui Tours"})
	w.clock.Advance(time.Minute)
	w.fake.RemoveCustomer(kea)
	changes := w.follow(cursor)
	if changes.Scan[kindCustomer] == "" || changes.Scan[kindSubscription] != "" || len(changes.Relist) != 1 || !slices.Equal(changes.Relist[0].Parents, []string{added.ID}) {
		t.Errorf("after an added and a removed customer: %+v", changes)
	}
}

func TestFeedThatCannotBeTrustedAsksForAScan(t *testing.T) {
	t.Parallel()
	w := start(t, setup{})
	cursor := w.follow("").Cursor
	w.clock.Advance(91 * 24 * time.Hour)
	old := w.follow(cursor)
	if diff := cmp.Diff([]string{kindCustomer, kindPrice, kindSubscription}, kindsIn(old.Scan)); diff != "" {
		t.Errorf("old cursor (-want +got):\n%s", diff)
	}
	if changes := w.follow(old.Cursor); len(changes.Scan) != 0 {
		t.Errorf("the new cursor: %+v", changes)
	}
	w.clock.Advance(25 * 24 * time.Hour)
	if changes := w.follow(old.Cursor); len(changes.Scan) != 1 || changes.Scan[kindPrice] == "" {
		t.Errorf("25 days later: %+v", changes.Scan)
	}

	app := start(t, setup{account: func(a *connectors.Account) { delete(a.Secrets, "refresh_token") }})
	changes := app.follow("")
	if diff := cmp.Diff([]string{kindCustomer, kindSubscription}, kindsIn(changes.Scan)); diff != "" || !strings.Contains(changes.Scan[kindCustomer], "set refresh_token") {
		t.Errorf("application only: %v", changes.Scan)
	}
	if _, listing, err := app.list(kindSubscription); err != nil || !listing.Complete() {
		t.Errorf("an application can list: %+v, %v", listing, err)
	}

	if _, err := w.Changes(t.Context(), "yesterday"); connectors.ClassOf(err) != connectors.ClassInvalid {
		t.Errorf("nonsense cursor: %v", err)
	}
}

func TestFeedReadsAllPages(t *testing.T) {
	t.Parallel()
	w := start(t, setup{options: partnercentertest.Options{PageSize: 2}})
	w.clock.Advance(3 * time.Hour)
	cursor := w.follow("").Cursor
	for _, sub := range w.fake.Dump().Subscriptions {
		if err := w.fake.Edit(sub.ID, func(s *partnercentertest.Subscription) { s.FriendlyName = "Touched" }); err != nil {
			t.Fatal(err)
		}
	}
	changes := w.follow(cursor)
	if len(changes.Scan) != 0 || len(changes.Relist) != 1 || len(changes.Relist[0].Parents) != 4 {
		t.Errorf("%+v", changes)
	}
}
