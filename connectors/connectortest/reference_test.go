package connectortest

import (
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/model"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Properties fail here on purpose; they shall not leave files with what made them fail.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const planted = "planted-token-0815"

// everything is a connector with every ability.
type everything interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.Changer
	connectors.Ender
	connectors.ChangeFeed
	connectors.Canonicalizer
}

// reference is the PSA in memory as a subject, seen through bend: the broken connectors are made from it.
func reference(bend func(everything, *zap.Logger) connectors.Connector) Subject {
	return Subject{
		KeysRemembered: true,
		Skips: map[string]string{
			HTMLAnswer:       "a map in memory has no proxy before it",
			FaultIn200:       "a map in memory has no statuses",
			LostReply:        "error_after_commit loses the reply",
			"status-classes": "a map in memory has no statuses",
		},
		New: func(t testing.TB, log *zap.Logger) Instance {
			clock := time.Date(2031, 2, 1, 9, 0, 0, 0, time.UTC)
			w := memory.NewPSA(memory.Options{
				Now: func() time.Time { return clock }, PageSize: 2, PriceDigits: 4, TrimText: true, Token: planted,
			})
			add := func(kind, id, parent string, fields model.Fields) connectors.Ref {
				ref, err := w.Add(connectors.Record{Kind: kind, ID: id, Parent: parent, Fields: fields})
				if err != nil {
					t.Fatal(err)
				}
				return ref
			}
			day := model.DayValue(model.NewDay(2031, 1, 1))
			for i := range 5 {
				n := strconv.Itoa(i)
				add("company", "c"+n, "", model.Fields{"name": model.Text("Company " + n)})
				add("opportunity", "o"+n, "", model.Fields{"name": model.Text("Offer"), "company": model.Text("c" + n)})
				add("productItem", "i"+n, "", model.Fields{"opportunity": model.Text("o" + n), "quantity": model.Int(3)})
				add("contact", "h"+n, "", model.Fields{"company": model.Text("c" + n), "firstName": model.Text("Ada"), "email": model.Text("ada@example.com")})
				add("catalogItem", "p"+n, "", model.Fields{"identifier": model.Text("P" + n), "description": model.Text("Product " + n)})
				add("agreement", "a"+n, "", model.Fields{"name": model.Text("Cloud"), "type": model.Text("Cloud"),
					"company": model.Text("c" + n), "startDate": day})
				add("ticket", "t"+n, "", model.Fields{"summary": model.Text("Ticket " + n), "company": model.Text("c" + n), "board": model.Text("Cloud"), "type": model.Text("Subscription"), "externalXRef": model.Text("x" + n)})
				for j := range 2 {
					add("ticketNote", "t"+n+"-"+strconv.Itoa(j), "t"+n, model.Fields{"text": model.Text("Note")})
				}
				for j := range 3 {
					add("addition", "a"+n+"-"+strconv.Itoa(j), "a"+n, model.Fields{"product": model.Text("p0"), "quantity": model.Int(7),
						"unitPrice": money(t, "12.50 GBP"), "unitCost": money(t, "9.1234 GBP"), "effectiveDate": day})
				}
			}
			connect := func() connectors.Connector { return bend(w.Connect().(everything), log) }
			count := func(kind string) func() int { return func() int { return len(w.Records(kind)) } }
			edit := func(field string) func(connectors.Ref, model.Value) {
				return func(ref connectors.Ref, v model.Value) {
					if err := w.Edit(ref, field, v); err != nil {
						t.Fatal(err)
					}
				}
			}
			request := func(kind, parent string, fields model.Fields) func() connectors.CreateRequest {
				return func() connectors.CreateRequest {
					return connectors.CreateRequest{Kind: kind, Parent: parent, Fields: fields.Clone()}
				}
			}
			company := model.Fields{"name": model.Text("New company"), "custom.Vendor Tenant Ids": model.Text("t-1")}
			item := model.Fields{"identifier": model.Text("NEW"), "description": model.Text("New"), "price": money(t, "3.123456 GBP")}
			contract := model.Fields{"name": model.Text("New"), "type": model.Text("Cloud"), "company": model.Text("c1"), "startDate": day}
			line := model.Fields{"product": model.Text("p1"), "quantity": model.Int(3), "effectiveDate": day}
			return Instance{
				Connector: connect(),
				Again:     connect,
				Requests:  func() int { return len(w.Requests()) },
				Effects:   w.TotalEffects,
				Secrets:   []string{planted},
				Faults: map[string]func(bool){
					DropLastPage:      toggle(t, w, memory.DropLastPage, ""),
					CapPages:          toggle(t, w, memory.CapPages, ""),
					EmptyList:         toggle(t, w, memory.EmptyList, ""),
					PartialList:       toggle(t, w, memory.Partial, "a3"),
					ErrorAfterCommit:  toggle(t, w, memory.ErrorAfterCommit, ""),
					LostBeforeCommit:  toggle(t, w, memory.LostBeforeCommit, ""),
					Slow:              toggle(t, w, memory.Slow, ""),
					RejectCredentials: toggle(t, w, memory.RejectToken, ""),
					Limited:           toggle(t, w, memory.Limited, ""),
				},
				Kinds: map[string]Kind{
					"company": {
						Ref: connectors.Ref{Kind: "company", ID: "c1"}, Missing: connectors.Ref{Kind: "company", ID: "none"},
						Count: count("company"), EditField: "name", Edit: edit("name"),
						Add:    func() connectors.Ref { return add("company", "", "", model.Fields{"name": model.Text("Added")}) },
						Create: request("company", "", company),
					},
					"contact": {
						Ref: connectors.Ref{Kind: "contact", ID: "h1"}, Missing: connectors.Ref{Kind: "contact", ID: "none"},
						Count: count("contact"), EditField: "lastName", Edit: edit("lastName"),
						Create: request("contact", "", model.Fields{"company": model.Text("c1"), "firstName": model.Text("Eve")}),
					},
					"catalogItem": {
						Ref: connectors.Ref{Kind: "catalogItem", ID: "p1"}, Missing: connectors.Ref{Kind: "catalogItem", ID: "none"},
						Count: count("catalogItem"), EditField: "description", Edit: edit("description"),
						Create: request("catalogItem", "", item),
					},
					"agreement": {
						Ref: connectors.Ref{Kind: "agreement", ID: "a1"}, Missing: connectors.Ref{Kind: "agreement", ID: "none"},
						Count: count("agreement"), EditField: "endDate", Edit: edit("endDate"),
						Create: request("agreement", "", contract),
					},
					"addition": {
						Ref:     connectors.Ref{Kind: "addition", ID: "a1-1", Parent: "a1"},
						Missing: connectors.Ref{Kind: "addition", ID: "none", Parent: "a1"},
						Count:   count("addition"), EditField: "quantity", Edit: edit("quantity"),
						Create: request("addition", "a1", line), Last: model.NewDay(2031, 3, 31),
					},
					"opportunity": {
						Ref: connectors.Ref{Kind: "opportunity", ID: "o1"}, Missing: connectors.Ref{Kind: "opportunity", ID: "none"},
						Count: count("opportunity"), EditField: "result", Edit: edit("result"),
					},
					"productItem": {
						Ref: connectors.Ref{Kind: "productItem", ID: "i1"}, Missing: connectors.Ref{Kind: "productItem", ID: "none"},
						Count: count("productItem"), EditField: "quantity", Edit: edit("quantity"),
					},
					"ticket": {
						Ref: connectors.Ref{Kind: "ticket", ID: "t1"}, Missing: connectors.Ref{Kind: "ticket", ID: "none"},
						Count: count("ticket"), EditField: "summary", Edit: edit("summary"),
						Create: request("ticket", "", model.Fields{"summary": model.Text("New"), "company": model.Text("c1"), "board": model.Text("Cloud"), "externalXRef": model.Text("x-new")}),
					},
					"ticketNote": {
						Ref: connectors.Ref{Kind: "ticketNote", ID: "t1-1", Parent: "t1"}, Missing: connectors.Ref{Kind: "ticketNote", ID: "none", Parent: "t1"},
						Count: count("ticketNote"), EditField: "text", Edit: edit("text"),
						Create: request("ticketNote", "t1", model.Fields{"text": model.Text("New note")}),
					},
				},
			}
		},
	}
}

func toggle(t testing.TB, w *memory.World, name, value string) func(bool) {
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

func money(t testing.TB, s string) model.Value {
	t.Helper()
	m, err := model.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return model.MoneyValue(m)
}

// The PSA in memory passes first; the vendor in memory has its suite in its own folder.
func TestReference(t *testing.T) {
	Run(t, reference(func(c everything, _ *zap.Logger) connectors.Connector { return c }))
}
