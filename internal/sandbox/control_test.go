package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/model"
)

// pickLinked is a subscription with a line of its own that nothing is wrong with.
func pickLinked(t *testing.T, box *sandbox.Sandbox) sandbox.Subscription {
	t.Helper()
	truth := box.Truth()
	for _, sub := range truth.Subscriptions {
		drifts := slices.ContainsFunc(truth.Drift, func(d sandbox.Drift) bool { return d.Subscription == sub.ID })
		if sub.Expect == sandbox.ExpectLinked && sub.Status == "active" && !drifts && sub.Seats < 100 {
			return sub
		}
	}
	t.Fatal("there is no linked subscription")
	return sandbox.Subscription{}
}

func TestEditsOfTheVendorShowThroughTheConnector(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, _ := connect(t, box)
	sub := pickLinked(t, box)
	for _, c := range []struct{ set, field, want string }{
		{fmt.Sprintf(`{"quantity": %d}`, sub.Seats+4), "quantity", strconv.Itoa(sub.Seats + 4)},
		{`{"friendly_name": "Zweigstelle & Co"}`, "friendlyName", "Zweigstelle & Co"},
		{`{"auto_renew": false}`, "autoRenewEnabled", "false"},
		{`{"status": "suspended"}`, "status", "suspended"},
		{`{"status": "active"}`, "status", "active"},
	} {
		must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"vendor","kind":"subscription","id":%q,"parent":%q,"set":%s}`, sub.ID, sub.Tenant, c.set))
		got := read(t, vendor, connectors.Ref{Kind: "subscription", ID: sub.ID, Parent: sub.Tenant})
		if got.Fields[c.field].String() != c.want {
			t.Errorf("after %s: %s is %q, want %q", c.set, c.field, got.Fields[c.field], c.want)
		}
	}
}

func TestTheVendorsRulesHoldForItsUsers(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	truth := box.Truth()
	example := func(kind string) string { return truth.Awkward[kind][0] }
	for _, c := range []struct{ about, id, set, want string }{
		{"few open seats", example("window_open"), `{"quantity": 1}`, "cannot be decreased"},
		{"a closed window", example("window_closed"), `{"quantity": 19}`, "7-day window"},
		{"a closed window for cancelling", example("window_closed"), `{"status": "deleted"}`, "could be cancelled until"},
		{"a trial", example("trial"), `{"quantity": 30}`, "Cannot update the seat quantity"},
		{"a trial's status", example("trial"), `{"status": "suspended"}`, "is a trial"},
		{"an ended one", example("ended"), `{"friendly_name": "x"}`, "takes no changes"},
		{"renewal of a suspended one", example("suspended"), `{"auto_renew": true}`, "cannot renew by itself"},
		{"seats of a suspended one", example("suspended"), `{"quantity": 200}`, "suspended"},
		{"an unknown status", example("add_on"), `{"status": "paused"}`, "known are active, suspended and deleted"},
	} {
		before := box.Vendor().Dump().Subscriptions
		status, answer, _ := call(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"vendor","kind":"subscription","id":%q,"set":%s}`, c.id, c.set))
		if text, _ := answer["error"].(string); status != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %q, want 400 with %q", c.about, status, text, c.want)
		}
		if diff := cmp.Diff(before, box.Vendor().Dump().Subscriptions); diff != "" {
			t.Errorf("%s: refused, and changed (-before +after):\n%s", c.about, diff)
		}
	}
	// Inside its window a subscription can be cancelled; what was scheduled is forgotten when renewal is switched off.
	made := must(t, box, "POST", "/v1/add", fmt.Sprintf(`{"side":"vendor","kind":"subscription","record":{"customer":%q,"quantity":3,"auto_renew":true}}`, truth.Customers[0].Tenants[0].ID))
	after := must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"vendor","kind":"subscription","id":%q,"set":{"status":"deleted"}}`, made["id"]))
	if after["status"] != "deleted" || after["auto_renew"] != false {
		t.Errorf("cancelled: %v", after)
	}
	after = must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"vendor","kind":"subscription","id":%q,"set":{"auto_renew":false}}`, example("scheduled")))
	if after["next"] != nil {
		t.Errorf("renewal is off and %v is scheduled", after["next"])
	}
}

func TestEditsOfThePSAShowThroughTheConnector(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	_, psa := connect(t, box)
	sub := pickLinked(t, box)
	line, err := strconv.Atoi(sub.Line)
	if err != nil {
		t.Fatal(err)
	}
	agreement := fmt.Sprint(box.PSA().Record("addition", line)["agreementId"])
	at := connectors.Ref{Kind: "addition", ID: sub.Line, Parent: agreement}
	for _, c := range []struct{ set, field, want string }{
		{`{"quantity": 77}`, "quantity", "77"},
		{`{"unitPrice": 12.3456}`, "unitPrice", "12.3456 GBP"},
		{`{"custom.Vendor Subscription Id": "someone else's"}`, "custom.Vendor Subscription Id", "someone else's"},
		{`{"cancelledDate": "2031-12-31T00:00:00Z"}`, "cancelledDate", "2031-12-31"},
	} {
		must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"psa","kind":"addition","id":%s,"parent":%s,"by":"jane","set":%s}`, sub.Line, agreement, c.set))
		got := read(t, psa, at)
		if got.Fields[c.field].String() != c.want || got.Fields["updatedBy"].String() != "jane" {
			t.Errorf("after %s: %s is %q by %s, want %q by jane", c.set, c.field, got.Fields[c.field], got.Fields["updatedBy"], c.want)
		}
	}
	must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"psa","kind":"company","id":%s,"set":{"phoneNumber":"+44 1"}}`, sub.Company))
	if got := read(t, psa, connectors.Ref{Kind: "company", ID: sub.Company}); got.Fields["phoneNumber"].String() != "+44 1" {
		t.Errorf("the telephone number is %q", got.Fields["phoneNumber"])
	}
	must(t, box, "POST", "/v1/edit", fmt.Sprintf(`{"side":"psa","kind":"addition","id":%q,"delete":true}`, sub.Line))
	if _, err := psa.(connectors.Reader).Read(t.Context(), at); connectors.ClassOf(err) != connectors.ClassMissing {
		t.Errorf("reading the deleted line: %v, want missing", err)
	}
}

// A connector's own write shows in the state that the control API dumps.
func TestWritesOfAClientShowInTheState(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, _ := connect(t, box)
	sub := pickLinked(t, box)
	_, err := vendor.(connectors.Changer).Change(t.Context(), connectors.ChangeRequest{
		Ref: connectors.Ref{Kind: "subscription", ID: sub.ID, Parent: sub.Tenant}, Key: "a-key",
		Edits: map[string]connectors.Edit{"quantity": {To: model.Int(int64(sub.Seats + 2))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := must(t, box, "GET", "/v1/state/vendor/subscription/"+sub.ID, "")
	if fmt.Sprint(got["quantity"]) != strconv.Itoa(sub.Seats+2) {
		t.Errorf("the state shows %v seats, want %d", got["quantity"], sub.Seats+2)
	}
	state := must(t, box, "GET", "/v1/state/vendor", "")
	if n := len(state["subscriptions"].([]any)); n != len(box.Truth().Subscriptions) {
		t.Errorf("the state has %d subscriptions", n)
	}
	if n := len(must(t, box, "GET", "/v1/state/psa", "")["addition"].([]any)); n == 0 {
		t.Error("the state of the psa has no additions")
	}
}

func TestAddedRecordsShowThroughTheConnectors(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, psa := connect(t, box)
	add := func(body string) map[string]any { return must(t, box, "POST", "/v1/add", body) }

	customer := add(`{"side":"vendor","kind":"customer","record":{"name":"New & Shiny Ltd","domain":"new.example"}}`)
	sub := add(fmt.Sprintf(`{"side":"vendor","kind":"subscription","record":{"customer":%q,"quantity":5,"term":"P1M","auto_renew":true}}`, customer["id"]))
	got := read(t, vendor, connectors.Ref{Kind: "subscription", ID: sub["id"].(string), Parent: customer["id"].(string)})
	if got.Fields["quantity"].String() != "5" || got.Fields["effectiveStartDate"].String() != "2031-03-04" {
		t.Errorf("the new subscription is %v", got.Fields)
	}
	add(`{"side":"vendor","kind":"price","record":{"product_id":"CFQ7TTC0NEWP","sku_id":"0002","term":"P1Y","billing_plan":"Annual","unit_price":"120.5","start":"2031-01-01T00:00:00Z"}}`)
	if _, there := list(t, vendor, "price")["CFQ7TTC0NEWP:0002 P1Y annual"]; !there {
		t.Error("the new price is not in the price sheet")
	}

	company := add(`{"side":"psa","kind":"company","record":{"identifier":"new","name":"New & Shiny","website":"new.example","custom":{"Vendor Tenant Ids":"x"}}}`)
	contact := add(fmt.Sprintf(`{"side":"psa","kind":"contact","record":{"company":%v,"firstName":"Ada","default":true}}`, company["id"]))
	agreement := add(fmt.Sprintf(`{"side":"psa","kind":"agreement","record":{"company":%v,"contact":%v,"name":"Cloud","type":"Cloud Services","start":"2031-01-01"}}`, company["id"], contact["id"]))
	item := add(`{"side":"psa","kind":"catalogItem","record":{"identifier":"new-item","price":"4.5","manufacturerPartNumber":"P 1"}}`)
	line := add(fmt.Sprintf(`{"side":"psa","kind":"addition","record":{"agreement":%v,"product":%v,"quantity":"5","updatedBy":"jane"}}`, agreement["id"], item["id"]))
	rec := read(t, psa, connectors.Ref{Kind: "addition", ID: fmt.Sprint(line["id"]), Parent: fmt.Sprint(agreement["id"])})
	if rec.Fields["quantity"].String() != "5" || rec.Fields["unitPrice"].String() != "4.5 GBP" || rec.Fields["updatedBy"].String() != "jane" {
		t.Errorf("the new line is %v", rec.Fields)
	}
	if rec.Changed.Before(start) {
		t.Errorf("the new line was last changed on %s, before the world began", rec.Changed)
	}
}

func TestBodiesAreStrict(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	sub := pickLinked(t, box)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/edit", `{"side":"psa","kynd":"addition"}`, 400, `unknown member "kynd"; known are side, kind, id, parent, by, set and delete`},
		{"POST", "/v1/edit", `{"side":"psa","side":"psa"}`, 400, `member "side" comes twice`},
		{"POST", "/v1/edit", `{"side":"psa","Side":"psa"}`, 400, `unknown member "Side"`},
		{"POST", "/v1/edit", `{"side":"psa"} {}`, 400, "not one JSON value"},
		{"POST", "/v1/edit", `[]`, 400, "the body must be an object"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":"x","set":{}}`, 400, "whole numbers"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":1.5,"set":{}}`, 400, "neither a text nor a whole number"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":99999999,"set":{"quantity":1}}`, 404, "the psa has no addition 99999999"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"ticket","id":1,"set":{"quantity":1}}`, 400, "known are addition, agreement, catalogItem, company, contact, opportunity and productItem"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":{"quantiy":1}}`, 400, `unknown member "quantiy" in set; known are product, quantity`},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":{"quantity":"many"}}`, 400, "must be a number"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":{"custom.Nope":"x"}}`, 400, "no custom field Nope"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":{}}`, 400, "set is empty"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":[]}`, 400, "set must be an object"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"parent":1,"set":{"quantity":1}}`, 400, "stands on agreement"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `}`, 400, "give either set"},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","id":` + sub.Line + `,"set":{"quantity":1},"delete":true}`, 400, "give either set"},
		{"POST", "/v1/edit", `{"side":"crm","kind":"addition","id":1,"delete":true}`, 400, `unknown side "crm"; known are vendor and psa`},
		{"POST", "/v1/edit", `{"side":"psa","kind":"addition","delete":true}`, 400, "id is missing"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","set":{"seats":1}}`, 400, "known are quantity, status, auto_renew and friendly_name"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","set":{"quantity":"7"}}`, 400, "member quantity cannot be a string"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","set":{"quantity":7.5}}`, 400, "member quantity cannot be a number"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","by":"jane","set":{"quantity":7}}`, 400, "by is for the psa"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","parent":"x","set":{"quantity":7}}`, 400, "belongs to customer"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"` + sub.ID + `","delete":true}`, 400, "cancel it"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"subscription","id":"nope","set":{"quantity":7}}`, 404, "the vendor has no subscription nope"},
		{"POST", "/v1/edit", `{"side":"vendor","kind":"customer","id":"` + sub.Tenant + `","set":{"name":"x"}}`, 400, "but not changed"},
		{"POST", "/v1/add", `{"side":"vendor","kind":"subscription","record":{"customer":"` + sub.Tenant + `","quantity":5,"batches":[{"quantity":1,"til":"x"}]}}`, 400, `unknown member "til" in batches[0]; known are quantity and until`},
		{"POST", "/v1/add", `{"side":"vendor","kind":"subscription","record":{"customer":"nobody","quantity":5}}`, 400, "no customer"},
		{"POST", "/v1/add", `{"side":"vendor","kind":"subscription","record":{"customer":"` + sub.Tenant + `"}}`, 400, "quantity must be above zero"},
		{"POST", "/v1/add", `{"side":"vendor","kind":"subscription","record":{"id":"` + sub.ID + `","customer":"` + sub.Tenant + `","quantity":1}}`, 400, "exists already"},
		{"POST", "/v1/add", `{"side":"vendor","kind":"reseller","record":{}}`, 400, "known are customer, price and subscription"},
		{"POST", "/v1/add", `{"side":"vendor","kind":"price","record":{"product_id":"A","sku_id":"1","unit_price":"cheap"}}`, 400, "is not an amount"},
		{"POST", "/v1/add", `{"side":"psa","kind":"company"}`, 400, "record is missing; known are id, identifier, name"},
		{"POST", "/v1/add", `{"side":"psa","kind":"company","record":{"identifier":"x","name":"X","status":"Sleeping"}}`, 400, "there is no companyStatus"},
		{"POST", "/v1/add", `{"side":"psa","kind":"company","record":{"identifier":"x","name":"X","custom":{"Nope":"y"}}}`, 400, "no custom field"},
		{"POST", "/v1/add", `{"side":"psa","kind":"company","record":{"id":` + sub.Company + `,"identifier":"x","name":"X"}}`, 400, "is taken"},
		{"POST", "/v1/add", `{"side":"psa","kind":"addition","record":{"agreement":1,"product":1}}`, 400, "the psa has no agreement 1"},
		{"POST", "/v1/clock", `{"advance":"1d"}`, 400, "is not a duration"},
		{"POST", "/v1/clock", `{"set":"tomorrow"}`, 400, "is not a moment"},
		{"POST", "/v1/clock", `{}`, 400, "give either advance"},
		{"POST", "/v1/clock", `{"set":"2001-01-01T00:00:00Z"}`, 400, "only goes forward"},
		{"POST", "/v1/misbehave/psa", `{"name":"sulk"}`, 400, "GET /v1/misbehave/psa explains"},
		{"POST", "/v1/misbehave/vendor", `{"name":"cap_pages","value":"few"}`, 400, "GET /v1/misbehave/vendor explains"},
		{"POST", "/v1/misbehave/vendor/lost_reply", `{"name":"lost_reply"}`, 400, `unknown member "name"; the only one is value`},
		{"GET", "/v1/misbehave/crm", "", 404, "there is no side"},
		{"GET", "/v1/misbehave/psa/sulk", "", 404, "has no misbehaviour"},
		{"DELETE", "/v1/misbehave/psa/sulk", "", 404, "has no misbehaviour"},
		{"GET", "/v1/state/vendor/subscription/nope", "", 404, "the vendor has no subscription"},
		{"GET", "/v1/truth?format=pdf", "", 400, "known are json and text"},
		{"GET", "/v1/truth?fmt=text", "", 400, `unknown parameter "fmt"; the only one is format`},
		{"GET", "/v1/clock?x=1", "", 400, "there are none"},
		{"PUT", "/v1/clock", `{}`, 404, "there is no PUT /v1/clock; GET /v1 lists"},
		{"GET", "/", "", 404, "GET /v1 lists"},
	} {
		status, answer, raw := call(t, box, c.method, c.path, c.body)
		if text, _ := answer["error"].(string); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, status, raw, c.status, c.want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, box.Connection().Control+"/v1/clock", strings.NewReader(`{"advance":"1h"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := box.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a body without a content type: %d, want 415", resp.StatusCode)
	}
}

// What may be set is what the stand-in knows: a name it refuses would be a lie in the description.
func TestEveryEditableFieldIsKnownToThePSA(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	description := must(t, box, "GET", "/v1", "")
	edits := description["edit"].(map[string]any)["psa"].(map[string]any)
	for kind, fields := range edits {
		id := box.PSA().IDs(kind)[0]
		for _, f := range fields.([]any) {
			err := box.PSA().Edit(kind, id, "jane", map[string]any{f.(string): map[string]any{}})
			if err != nil && (strings.Contains(err.Error(), "does not exist") && strings.Contains(err.Error(), "path") || strings.Contains(err.Error(), "read only")) {
				t.Errorf("%s of %s: %v", f, kind, err)
			}
		}
	}
	if len(edits) != 7 {
		t.Errorf("%d kinds can be edited, want 7", len(edits))
	}
}

func TestTheDescriptionNamesEverything(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	description := must(t, box, "GET", "/v1", "")
	if n := len(description["endpoints"].([]any)); n != len(sandbox.Endpoints()) || n < 17 {
		t.Errorf("%d endpoints are described, there are %d", n, len(sandbox.Endpoints()))
	}
	psa := description["misbehaviours"].(map[string]any)["psa"].([]any)
	if len(psa) != len(connectwisetest.Misbehaviours()) {
		t.Errorf("%d misbehaviours of the psa are described", len(psa))
	}
	for _, e := range sandbox.Endpoints() {
		if e.Body != "" && !json.Valid([]byte(e.Body)) {
			t.Errorf("the example of %s %s is not JSON: %s", e.Method, e.Path, e.Body)
		}
	}
}

func TestMisbehavioursAreSetSeenAndCleared(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, psa := connect(t, box)
	check := func(c connectors.Connector) error { _, err := c.Check(t.Context()); return err }
	if err := check(psa); err != nil {
		t.Fatal(err)
	}
	must(t, box, "POST", "/v1/misbehave/psa", `{"name":"reject_keys"}`)
	must(t, box, "POST", "/v1/misbehave/vendor/revoke_refresh", `{}`)
	if got := must(t, box, "GET", "/v1/misbehave/psa/reject_keys", ""); got["on"] != true {
		t.Errorf("reject_keys is shown as %v", got)
	}
	for name, c := range map[string]connectors.Connector{"vendor": vendor, "psa": psa} {
		if err := check(c); connectors.ClassOf(err) != connectors.ClassAuth {
			t.Errorf("%s: %v, want an auth error", name, err)
		}
	}
	must(t, box, "DELETE", "/v1/misbehave/psa/reject_keys", "")
	if got := must(t, box, "DELETE", "/v1/misbehave/vendor", ""); !cmp.Equal(got["cleared"], []any{"revoke_refresh"}) {
		t.Errorf("cleared %v, want revoke_refresh", got["cleared"])
	}
	for name, c := range map[string]connectors.Connector{"vendor": vendor, "psa": psa} {
		if err := check(c); err != nil {
			t.Errorf("%s after it behaves again: %v", name, err)
		}
	}
	_, _, raw := call(t, box, "GET", "/v1/misbehave/vendor", "")
	if strings.Contains(raw, `"on":true`) {
		t.Errorf("something is still on: %s", raw)
	}
}

func TestTheClockIsSharedAndMoves(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	shown := func(answer map[string]any) time.Time {
		at, err := time.Parse(time.RFC3339, answer["now"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := shown(must(t, box, "GET", "/v1/clock", "")); at.Before(start) || at.After(start.Add(time.Hour)) {
		t.Errorf("the clock shows %s", at)
	}
	if at := shown(must(t, box, "POST", "/v1/clock", `{"advance":"24h"}`)); at.Before(start.Add(24*time.Hour)) || at.After(start.Add(25*time.Hour)) {
		t.Errorf("a day later it shows %s", at)
	}
	must(t, box, "POST", "/v1/clock", `{"set":"2031-06-01T00:00:00+01:00"}`)
	vendor, _ := connect(t, box)
	for id, rec := range list(t, vendor, "subscription") {
		if end := rec.Fields["commitmentEndDate"].String(); rec.Fields["status"].String() == "active" && end != "" && end < "2031-05-31" {
			t.Errorf("subscription %s is active and its term ended on %s", id, end)
		}
	}
}

func TestRequestsOfBothSidesAreLogged(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	vendor, psa := connect(t, box)
	list(t, vendor, "customer")
	list(t, psa, "company")
	_, _, raw := call(t, box, "GET", "/v1/requests", "")
	var log []sandbox.Request
	if err := json.Unmarshal([]byte(raw), &log); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, r := range log {
		seen[r.Side+" "+r.Method] = true
		if r.Status != http.StatusOK || r.Path == "" || i > 0 && r.Time.Before(log[i-1].Time) {
			t.Errorf("entry %d is %+v", i, r)
		}
	}
	if !seen["vendor GET"] || !seen["vendor POST"] || !seen["psa GET"] {
		t.Errorf("the log misses requests: %v", seen)
	}
	connection := box.Connection()
	for _, secret := range []string{connection.Vendor.ClientSecret, connection.Vendor.RefreshToken, connection.PSA.PrivateKey} {
		if strings.Contains(raw, secret) {
			t.Error("the log holds a secret")
		}
	}
	if got := must(t, box, "DELETE", "/v1/requests", ""); fmt.Sprint(got["cleared"]) != strconv.Itoa(len(log)) {
		t.Errorf("cleared %v of %d", got["cleared"], len(log))
	}
	list(t, psa, "company")
	if log := box.Requests(); len(log) == 0 || log[0].Side != "psa" {
		t.Errorf("after clearing: %+v", log)
	}
}

func TestTruthIsPrintable(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	_, _, raw := call(t, box, "GET", "/v1/truth", "")
	var truth sandbox.Truth
	if err := json.Unmarshal([]byte(raw), &truth); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(box.Truth(), truth); diff != "" {
		t.Errorf("the truth in JSON (-want +got):\n%s", diff)
	}
	if _, _, text := call(t, box, "GET", "/v1/truth?format=text", ""); text != box.Truth().Summary() {
		t.Errorf("the summary is %q", text)
	}
}
