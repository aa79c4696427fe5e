package connectwise

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
)

// Whatever the PSA sends, a record is read the same each time or refused as invalid, and an amount keeps every digit of what was sent.
func FuzzRecord(f *testing.F) {
	for kind, seeds := range map[int][]string{
		0: {`{"id":1,"name":"Contoso","website":"c.example","customFields":[{"id":3,"caption":"Vendor Tenant Ids","type":"Text","value":"x"}]}`},
		3: {`{"id":7,"name":"Cloud","company":{"id":1},"startDate":"2031-01-01T00:00:00Z"}`},
		4: {`{"id":9,"quantity":14.0,"unitCost":16.1875,"unitPrice":21,"cancelledDate":null,"_info":{"lastUpdated":"2031-03-04T10:00:00Z"}}`,
			`{"id":9,"quantity":1e3,"unitCost":0.1000000000000000055511151231257827,"unitPrice":-0}`, `{"quantity":"12","unitCost":{}}`},
	} {
		for _, seed := range seeds {
			f.Add(kind, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind int, source []byte) {
		var o object
		d := json.NewDecoder(bytes.NewReader(source))
		d.UseNumber()
		if d.Decode(&o) != nil || o == nil {
			return
		}
		r := resources[uint(kind)%uint(len(resources))]
		c := &Connector{currency: "GBP", captions: map[string]map[string]customField{}, idField: "custom.Vendor Subscription Id"}
		rec, err := c.record(r, "1", o)
		if err != nil {
			if connectors.ClassOf(err) != connectors.ClassInvalid {
				t.Errorf("refused as %s: %v", connectors.ClassOf(err), err)
			}
			return
		}
		again, err := c.record(r, "1", o)
		if err != nil {
			t.Errorf("read once and not twice: %v", err)
		}
		for name, v := range rec.Fields {
			if again.Fields[name] != v {
				t.Errorf("%s is %s and then %s", name, v, again.Fields[name])
			}
			m, _ := r.member(name)
			sent, isNumber := o[name].(json.Number)
			if !isNumber || m.read != nil || m.at != "" {
				continue
			}
			var got decimal.Decimal
			if money, ok := v.Money(); ok {
				got = money.Amount()
			} else if quantity, ok := v.Quantity(); ok {
				got = quantity.Decimal()
			} else {
				continue
			}
			if want, err := decimal.NewFromString(string(sent)); err != nil || !want.Equal(got) {
				t.Errorf("%s: %s was sent and %s read (%v)", name, sent, got, err)
			}
		}
	})
}
