package connectwise

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

// Whether an opportunity was won is said by the table of statuses, not by their names.
func TestWonIsWhatTheStatusSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offer := w.fake.AddOpportunity(connectwisetest.Opportunity{Name: "Seats", Company: w.company, Contact: w.contact})
	w.fake.AddOffered(connectwisetest.Offered{Opportunity: offer, Product: w.product, Quantity: "5", Price: "20.5", Cost: "18.1"})
	status := map[string]int{}
	for _, id := range w.fake.IDs("opportunityStatus") {
		status[w.fake.Record("opportunityStatus", id)["name"].(string)] = id
	}
	for _, tt := range []struct {
		status string
		won    bool
		closed bool
	}{{"Open", false, false}, {"Lost", false, true}, {"Signed", true, true}, {"Open", false, false}} {
		w.edit("opportunity", offer, map[string]any{"status": map[string]any{"id": status[tt.status]}})
		records, _ := w.list(kindOffer)
		if f := records[0].Fields; f["won"] != model.Bool(tt.won) || f["status"].String() != tt.status || f["closedDate"].Blank() == tt.closed {
			t.Errorf("%s: won %s, closed %s", tt.status, f["won"], f["closedDate"])
		}
	}
	lines, _ := w.list(kindOffered)
	if f := lines[0].Fields; len(lines) != 1 || f["opportunity"].String() != strconv.Itoa(offer) || f["quantity"] != model.Int(5) || f["price"].String() != "20.5 GBP" || f["cost"].String() != "18.1 GBP" {
		t.Errorf("%d lines: %v", len(lines), lines[0].Fields)
	}
}

// A feed asks for opportunities only where somebody lists them, and goes on to after a restart.
func TestOpportunitiesAreFollowedWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	offer := w.fake.AddOpportunity(connectwisetest.Opportunity{Name: "Seats", Company: w.company, Contact: w.contact})
	changes := func(c *Connector, since string) connectors.Changes {
		t.Helper()
		got, err := c.Changes(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	asked := func(mark int) bool {
		return slices.ContainsFunc(w.since(mark), func(r connectwisetest.Request) bool { return strings.HasPrefix(r.Path, "sales/opportunities") })
	}
	cursor := changes(w.c, "").Cursor
	if asked(0) {
		t.Error("opportunities were asked for although nobody wants them")
	}
	w.list(kindOffer)
	cursor = w.c.Learnt(cursor)
	w.clock.Add(time.Minute)
	w.edit("opportunity", offer, map[string]any{"name": "More seats"})
	again := w.connect()
	told := changes(again, cursor)
	if !slices.ContainsFunc(told.Records, func(r connectors.Record) bool {
		return r.Kind == kindOffer && r.Fields["name"].String() == "More seats" && r.Fields["won"] == model.Bool(false)
	}) {
		t.Errorf("the feed does not tell: %+v", told.Records)
	}
	mark := len(w.fake.Requests())
	if changes(w.connect(), told.Cursor); !asked(mark) {
		t.Error("they are forgotten by the next cursor")
	}
}

// The result goes into one custom field; the others keep their values.
func TestTheResultIsWrittenOnTheOpportunity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fake.AddCustomField("opportunity", "Region", "Text")
	offer := w.fake.AddOpportunity(connectwisetest.Opportunity{Name: "Seats", Company: w.company, Contact: w.contact, Custom: map[string]string{"Region": "North"}})
	ref := connectors.Ref{Kind: kindOffer, ID: strconv.Itoa(offer)}
	rec, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Key: "k", Edits: map[string]connectors.Edit{"custom.Cloud Order": {To: model.Text("Ordered: 5 x premium")}}})
	if err != nil || rec.Fields["custom.Cloud Order"].String() != "Ordered: 5 x premium" || rec.Fields["custom.Region"].String() != "North" {
		t.Errorf("%v, %v", rec.Fields, err)
	}
}
