package memory_test

import (
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectortest"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/model"
)

// The vendor's suite. The PSA's is in package connectortest, whose own tests are made from it.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Subject{
		KeysRemembered: true,
		Skips: map[string]string{
			connectortest.HTMLAnswer: "a map in memory has no proxy before it",
			connectortest.FaultIn200: "a map in memory has no statuses",
			connectortest.LostReply:  "error_after_commit loses the reply",
			"status-classes":         "a map in memory has no statuses",
		},
		New: vendorInstance,
	})
}

func vendorInstance(t testing.TB, _ *zap.Logger) connectortest.Instance {
	const token = "planted-token-4711"
	clock := time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC)
	w := memory.NewVendor(memory.Options{Now: func() time.Time { return clock }, PageSize: 2, TrimText: true, Token: token})
	for i := range 5 {
		n := strconv.Itoa(i)
		add(t, w, "customer", "c"+n, "", model.Fields{"companyProfile.companyName": model.Text("Customer " + n)})
		add(t, w, "price", "sku-"+n, "", model.Fields{"sku": model.Text("000" + n), "unitCostMonth": money(t, "7.123456 GBP")})
		for j := range 3 {
			add(t, w, "subscription", "s"+n+strconv.Itoa(j), "c"+n, model.Fields{"sku": model.Text("0001"), "quantity": model.Int(9)})
		}
	}
	toggle := func(name, value string) func(bool) {
		return func(on bool) {
			if !on {
				w.Behave(name)
				return
			}
			if err := w.Misbehave(name, value); err != nil {
				t.Error(err)
			}
		}
	}
	edit := func(field string) func(connectors.Ref, model.Value) {
		return func(ref connectors.Ref, v model.Value) {
			if err := w.Edit(ref, field, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func(kind string) func() int { return func() int { return len(w.Records(kind)) } }
	connect := func() connectors.Connector {
		c, err := w.System().New(connectors.Account{Secrets: map[string]connectors.Secret{"token": connectors.NewSecret(token)}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return connectortest.Instance{
		Connector: connect(),
		Again:     connect,
		Requests:  func() int { return len(w.Requests()) },
		Effects:   w.TotalEffects,
		Secrets:   []string{token},
		Faults: map[string]func(bool){
			connectortest.DropLastPage:      toggle(memory.DropLastPage, ""),
			connectortest.CapPages:          toggle(memory.CapPages, ""),
			connectortest.EmptyList:         toggle(memory.EmptyList, ""),
			connectortest.PartialList:       toggle(memory.Partial, "c3"),
			connectortest.ErrorAfterCommit:  toggle(memory.ErrorAfterCommit, ""),
			connectortest.LostBeforeCommit:  toggle(memory.LostBeforeCommit, ""),
			connectortest.Slow:              toggle(memory.Slow, ""),
			connectortest.RejectCredentials: toggle(memory.RejectToken, ""),
			connectortest.Limited:           toggle(memory.Limited, ""),
		},
		Kinds: map[string]connectortest.Kind{
			"customer": {
				Ref: connectors.Ref{Kind: "customer", ID: "c1"}, Missing: connectors.Ref{Kind: "customer", ID: "none"},
				Count: count("customer"), EditField: "billingProfile.companyName", Edit: edit("billingProfile.companyName"),
				Add: func() connectors.Ref { return add(t, w, "customer", "", "", nil) },
				Create: func() connectors.CreateRequest {
					return connectors.CreateRequest{Kind: "customer", Fields: model.Fields{"companyProfile.domain": model.Text("kea"),
						"billingProfile.companyName": model.Text("Kea"), "billingProfile.email": model.Text("it@kea.example")}}
				},
			},
			"subscription": {
				Ref:     connectors.Ref{Kind: "subscription", ID: "s11", Parent: "c1"},
				Missing: connectors.Ref{Kind: "subscription", ID: "none", Parent: "c1"},
				Count:   count("subscription"), EditField: "quantity", Edit: edit("quantity"),
				Add: func() connectors.Ref {
					return add(t, w, "subscription", "", "c1", model.Fields{"quantity": model.Int(2)})
				},
			},
			"price": {Ref: connectors.Ref{Kind: "price", ID: "sku-1"}, Count: count("price"),
				EditField: "unitCostMonth", Edit: edit("unitCostMonth")},
		},
	}
}

func add(t testing.TB, w *memory.World, kind, id, parent string, fields model.Fields) connectors.Ref {
	t.Helper()
	ref, err := w.Add(connectors.Record{Kind: kind, ID: id, Parent: parent, Fields: fields})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func misbehave(t testing.TB, w *memory.World, name, value string) {
	t.Helper()
	if err := w.Misbehave(name, value); err != nil {
		t.Fatal(err)
	}
}

func money(t testing.TB, s string) model.Value {
	t.Helper()
	m, err := model.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return model.MoneyValue(m)
}
