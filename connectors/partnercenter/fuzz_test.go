package partnercenter

import (
	"encoding/json"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
)

// Whatever Partner Center sends, a record is read the same each time or refused, and a number keeps every digit of what was sent.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		`{"id":"s-1","quantity":14,"status":"active","offerId":"CFQ7TTC0LCHC:0002:CFQ7","refundOptions":[{"type":"Full","expiresAt":"2031-03-09T00:00:00Z"}],"refundableQuantity":{"totalQuantity":4}}`,
		`{"Id":"s-1","QUANTITY":1e2,"effectiveStartDate":"2031-03-05T00:00:00.1234567Z","commitmentEndDate":"0001-01-01T00:00:00"}`,
		`{"companyProfile":{"tenantId":"t","companyName":"Contoso","domain":"c.example"}}`, `{"quantity":null,"refundOptions":{}}`, `null`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		if !json.Valid(source) {
			return
		}
		o, err := decodeObject(source)
		if err != nil {
			return
		}
		for _, members := range [][]member{customerMembers, subscriptionMembers} {
			read, err := fields(members, o)
			if err != nil {
				continue
			}
			again, err := fields(members, o)
			if err != nil {
				t.Errorf("read once and not twice: %v", err)
			}
			for name, v := range read {
				if again[name] != v {
					t.Errorf("%s is %s and then %s", name, v, again[name])
				}
				sent, _ := o.at(name)
				number, isNumber := sent.(json.Number)
				quantity, isQuantity := v.Quantity()
				if !isNumber || !isQuantity {
					continue
				}
				if want, err := decimal.NewFromString(string(number)); err != nil || !want.Equal(quantity.Decimal()) {
					t.Errorf("%s: %s was sent and %s read (%v)", name, number, quantity, err)
				}
			}
		}
	})
}

// A line of the activity log is read or refused, and one that is read has a time.
func FuzzReadAudit(f *testing.F) {
	f.Add([]byte(`{"id":"1","customerId":"C","resourceType":"subscription","operationType":"update_subscription","operationDate":"2031-03-04T10:00:00Z","operationStatus":"succeeded"}`))
	f.Add([]byte(`{"operationDate":"yesterday"}`))
	f.Add([]byte(`{"operationDate":"0001-01-01T00:00:00"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, source []byte) {
		if !json.Valid(source) {
			return
		}
		r, err := readAudit(source)
		if err != nil {
			if class := connectors.ClassOf(err); class == connectors.ClassUnknown {
				t.Errorf("a read whose outcome is unknown: %v", err)
			}
			return
		}
		_, _, _ = r.touchesCustomer(), r.gone(), r.touchesSubscriptions()
	})
}

// A resource that is sent back keeps every member that was not set, digit by digit.
func FuzzResource(f *testing.F) {
	f.Add([]byte(`{"quantity":14,"unknown":1.10000000000000000001,"Nested":{"a":[1e-7]}}`))
	f.Add([]byte(`{"Quantity":1,"quantity":2}`))
	f.Fuzz(func(t *testing.T, source []byte) {
		var r resource
		if json.Unmarshal(source, &r) != nil || r == nil {
			return
		}
		before := r.clone()
		r.set("quantity", json.RawMessage("15"))
		for name, raw := range before {
			if name != before.key("quantity") && string(r[name]) != string(raw) {
				t.Errorf("%s was %s and became %s", name, raw, r[name])
			}
		}
	})
}
