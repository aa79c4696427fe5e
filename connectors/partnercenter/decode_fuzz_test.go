package partnercenter

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

const sheetHead = "ProductTitle,ProductId,SkuId,SkuTitle,TermDuration,BillingPlan,Currency,UnitPrice,EffectiveStartDate,EffectiveEndDate,PricingTierRangeMin,ERP Price,Segment\n"

// Whatever the price sheet holds, it is read the same each time or refused, and quickly: no number in it makes trueup count to the end of days.
func FuzzSheet(f *testing.F) {
	row := func(tier, price, erp string) string {
		return "Microsoft 365,CFQ7TTC0LCHC,0002,Business Premium,P1Y,Monthly,GBP," + price + ",1/1/2031 12:00:00 AM,12/31/9999 11:59:59 PM," + tier + "," + erp + ",Commercial\n"
	}
	for _, seed := range []string{
		"", sheetHead, sheetHead + row("1", "222.768", "277.20"), sheetHead + row("1", "222.768", "") + row("300", "200", "277.20"), "\ufeff" + sheetHead + row("", "0", "0"),
		sheetHead + row("1e999999999", "1", "1") + row("1", "1", "1"), sheetHead + row("1", "1e999999999", "1"), sheetHead + row("-1", "-5", "NaN"), sheetHead + "\"", sheetHead + "a,b\n,,,,\n",
	} {
		f.Add([]byte(seed))
	}
	now := time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, sheet []byte) {
		read := func() (map[string]connectors.Record, string, error) {
			rows, bad, err := readSheet(bytes.NewReader(sheet), now)
			records := map[string]connectors.Record{}
			for id, row := range rows {
				records[id] = row.record()
			}
			return records, bad, err
		}
		rows, bad, err := read()
		again, badAgain, errAgain := read()
		if (err == nil) != (errAgain == nil) || bad != badAgain || !maps.EqualFunc(rows, again, func(a, b connectors.Record) bool { return a.ID == b.ID && maps.Equal(a.Fields, b.Fields) }) {
			t.Errorf("read twice, and not the same: %v, %v; %s, %s", err, errAgain, bad, badAgain)
		}
		for id, rec := range rows {
			if _, ok := rec.Fields["unitPrice"].Money(); !ok || rec.ID != id {
				t.Errorf("row %q has the price %s and the id %q", id, rec.Fields["unitPrice"], rec.ID)
			}
		}
	})
}

// A cursor is refused, or has a time and is the same when it was written and read again.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{`{"at":"2031-03-04T10:00:00Z","looked":"2031-03-04T10:05:00Z","told":["a"]}`, `{"At":"2031-03-04T10:00:00+01:00"}`, `{}`, `null`, `[]`, ``, `"x"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last, err := parseCursor(text)
		if err != nil || text == "" {
			return
		}
		if last.At.IsZero() {
			t.Errorf("%q is a cursor without a time", text)
		}
		written, err := json.Marshal(last)
		if err != nil {
			return // a year that JSON cannot say; Changes refuses it when it writes its own
		}
		if again, err := parseCursor(string(written)); err != nil || !again.At.Equal(last.At) {
			t.Errorf("%q was written as %s and read as %v, %v", text, written, again, err)
		}
	})
}

// Whatever is scheduled already, what is sent for a new number of seats keeps every member that it is not about, and says the number once.
func FuzzInstructed(f *testing.F) {
	for _, seed := range []string{
		`{"id":"s","quantity":14,"status":"active","offerId":"CFQ7:0002:CFQ7AV","billingCycle":"monthly","termDuration":"P1Y","autoRenewEnabled":true,"friendlyName":"x"}`,
		`{"status":"Active","offerId":"a:b:c","billingCycle":"monthly","termDuration":"P1Y","quantity":1,"scheduledNextTermInstructions":{"product":{"productId":"a"},"quantity":5,"customTermEndDate":"2032-01-01"}}`,
		`{"status":"active","offerId":"a:b:c","quantity":1,"scheduledActions":[{"scheduleType":"TermEnd","actionType":"Cancel"},{"scheduleType":"Other","n":1.10}]}`,
		`{"status":"active","offerId":"a","quantity":1,"scheduledActions":{}}`, `{"status":"active","scheduledNextTermInstructions":[]}`, `{"Status":"active","status":"deleted"}`,
	} {
		f.Add([]byte(seed), int64(12))
	}
	f.Fuzz(func(t *testing.T, source []byte, seats int64) {
		var raw resource
		if seats <= 0 || json.Unmarshal(source, &raw) != nil || raw == nil {
			return
		}
		o, err := decodeObject(source)
		if err != nil {
			return
		}
		read, err := fields(subscriptionMembers, o)
		if err != nil {
			return
		}
		ch := change{Connector: &Connector{}, ref: connectors.Ref{Kind: kindSubscription, ID: "s", Parent: "c"}, key: "k", op: "schedule",
			today: func(context.Context, sold) (string, error) { return "AV", nil }}
		before := raw.clone()
		body, err := ch.instructed(t.Context(), raw, connectors.Record{Kind: kindSubscription, ID: "s", Parent: "c", Fields: read}, map[string]model.Value{nextQuantity: model.Int(seats)})
		for name, was := range before {
			if string(raw[name]) != string(was) {
				t.Errorf("%s of what was read was %s and became %s", name, was, raw[name])
			}
		}
		if err != nil {
			return
		}
		for name, was := range before {
			if !strings.EqualFold(name, nextTerm) && !strings.EqualFold(name, nextActions) && !strings.EqualFold(name, "autoRenewEnabled") && string(body[name]) != string(was) {
				t.Errorf("%s was %s and became %s", name, was, body[name])
			}
		}
		var next struct{ Quantity json.Number }
		if err := json.Unmarshal(body.get(nextTerm), &next); err != nil || next.Quantity.String() != model.Int(seats).String() {
			t.Errorf("%d seats are scheduled as %s (%v)", seats, body.get(nextTerm), err)
		}
	})
}
