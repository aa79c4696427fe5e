package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
)

const seatRuleField, agreedField = "Seat Rule", "Agreed Seats"

// shaped is an office with one customer, and the records of a shape.
type shaped struct {
	*office
	subs  []pair // by subscription
	lines []pair // by line
}

// numbers are the seats of both sides: bought, with those of the next term, and billed.
func (s *shaped) numbers() string {
	s.t.Helper()
	var parts []string
	for _, p := range s.subs {
		sub := s.bought(p)
		text := fmt.Sprint(sub.Quantity)
		if sub.Next != nil {
			text += fmt.Sprintf("→%d", sub.Next.Quantity)
		}
		parts = append(parts, text)
	}
	parts = append(parts, "|")
	for _, p := range s.lines {
		quantity, _, _ := s.billed(p)
		parts = append(parts, fmt.Sprint(quantity))
	}
	return strings.Join(parts, " ")
}

// more adds a subscription of the yearly product, bought two days ago: the vendor takes all of it back.
func (o *office) more(n, seats int) pair {
	p := o.pairs[0]
	sub := o.vendor.AddSubscription(partnercentertest.Subscription{ID: id(3, n), Customer: p.tenant, OfferID: p.good.product + ":" + p.good.sku + ":CFQ7TTC0TRUE",
		OfferName: p.good.name, Quantity: seats, AutoRenew: true, Created: time.Now().Add(-48 * time.Hour), Term: p.good.term, BillingCycle: strings.ToLower(p.good.billing),
		CancelUntil: time.Now().Add(5 * 24 * time.Hour), Batches: []partnercentertest.Batch{{Quantity: seats, Until: time.Now().Add(5 * 24 * time.Hour)}}})
	p.id = sub.ID
	return p
}

// shapes are offices of one shape each, and what people do there.
var shapes = map[string]struct {
	flow  string
	fill  func(o *office, s *shaped)
	start string
	steps []shapeStep
}{
	"sum of two subscriptions": {
		flow:  strings.Replace(rules, "lines:\n", "lines:\n  group: product\n", 1) + loose,
		fill:  func(o *office, s *shaped) { s.subs, s.lines = []pair{o.pairs[0], o.more(1, 5)}, o.pairs[:1] },
		start: "10 5 | 15",
		steps: []shapeStep{
			{"both are raised at the vendor", func(s *shaped) { s.buy(s.subs[0], 11); s.buy(s.subs[1], 7) }, "11 7 | 18", 0, 1},
			{"raised in the PSA", func(s *shaped) { s.bill(s.lines[0], 20) }, "13 7 | 20", 1, 0},
			// Four of the window, one and two of the raises: eleven are refunded of these, and seven of the newer.
			{"lowered in the PSA", func(s *shaped) { s.bill(s.lines[0], 12) }, "11 1 | 12", 2, 0},
		},
	},
	"split over two lines": {
		flow: rules + loose,
		fill: func(o *office, s *shaped) {
			first := o.pairs[0]
			o.edit(first.line, map[string]any{"quantity": 6, "custom." + seatRuleField: "rest"})
			second := first
			second.line = o.psa.AddAddition(connectwisetest.Addition{Agreement: first.agreement, Product: o.items[0], Quantity: "4", UnitCost: json.Number(first.good.cost), UnitPrice: "25",
				Custom: map[string]string{"Vendor Subscription Id": first.id, seatRuleField: "part"}})
			s.subs, s.lines = []pair{first}, []pair{first, second}
		},
		start: "10 | 6 4",
		steps: []shapeStep{
			{"a part is raised", func(s *shaped) { s.bill(s.lines[1], 7) }, "13 | 6 7", 1, 0},
			{"raised at the vendor", func(s *shaped) { s.buy(s.subs[0], 15) }, "15 | 8 7", 0, 1},
			{"moved from one part to the other", func(s *shaped) { s.bill(s.lines[0], 10); s.bill(s.lines[1], 5) }, "15 | 10 5", 0, 0},
			{"a part is lowered, more than is taken back", func(s *shaped) { s.bill(s.lines[0], 0) }, "6→5 | 1 5", 2, 1}, // nine are in their windows
		},
	},
	"bundle of two products": {
		flow: rules + "bundles:\n  - {line: WORKPLACE, of: {\"" + goods[0].key + "\": 1, \"" + goods[1].key + "\": 2}}\n" + loose,
		fill: func(o *office, s *shaped) {
			o.buy(o.pairs[1], 20)
			item := o.psa.AddCatalogItem(connectwisetest.CatalogItem{Identifier: "WORKPLACE", Description: "Workplace", PartNumber: "WORKPLACE", Cost: "30", Price: "40"})
			line := o.pairs[0]
			line.line = o.psa.AddAddition(connectwisetest.Addition{Agreement: line.agreement, Product: item, Quantity: "10", UnitCost: "30", UnitPrice: "40"})
			for _, p := range o.pairs {
				o.edit(p.line, map[string]any{"custom.Vendor Subscription Id": "", "cancelledDate": time.Now().AddDate(0, 0, -3).Format(time.DateOnly) + "T00:00:00Z"})
			}
			s.subs, s.lines = o.pairs[:2], []pair{line}
		},
		start: "10 20 | 10",
		steps: []shapeStep{
			{"raised in the PSA", func(s *shaped) { s.bill(s.lines[0], 13) }, "13 26 | 13", 2, 0},
			{"raised at the vendor", func(s *shaped) { s.buy(s.subs[0], 14); s.buy(s.subs[1], 28) }, "14 28 | 14", 0, 1},
			{"lowered in the PSA", func(s *shaped) { s.bill(s.lines[0], 12) }, "12 24 | 12", 2, 0},
		},
	},
	"an allowance": {
		flow: rules + loose,
		fill: func(o *office, s *shaped) {
			o.edit(o.pairs[0].line, map[string]any{"quantity": 7, "custom." + seatRuleField: "purchased - 3"})
			s.subs, s.lines = o.pairs[:1], o.pairs[:1]
		},
		start: "10 | 7",
		steps: []shapeStep{
			{"raised in the PSA", func(s *shaped) { s.bill(s.lines[0], 9) }, "12 | 9", 1, 0},
			{"raised at the vendor", func(s *shaped) { s.buy(s.subs[0], 15) }, "15 | 12", 0, 1},
			{"a minimum in its place", func(s *shaped) {
				s.edit(s.lines[0].line, map[string]any{"custom." + seatRuleField: "larger(purchased, 20)"})
			}, "15 | 20", 0, 1},
		},
	},
	"seats in use or agreed": {
		flow: strings.Replace(strings.Replace(rules, "lines:\n", "lines:\n  count: larger(assigned, agreed) - 1\n", 1), "{owner: both, conflict: hold}", "{owner: vendor}", 1) + loose,
		fill: func(o *office, s *shaped) {
			s.assign(o, 6)
			for _, p := range o.pairs {
				o.edit(p.line, map[string]any{"quantity": 7, "custom." + agreedField: "8"})
			}
			s.subs, s.lines = o.pairs[:1], o.pairs[:1]
		},
		start: "10 | 7",
		steps: []shapeStep{
			{"more are in use", func(s *shaped) { s.assign(s.office, 9) }, "10 | 8", 0, 1},
			{"more are agreed", func(s *shaped) { s.edit(s.lines[0].line, map[string]any{"custom." + agreedField: "12"}) }, "10 | 11", 0, 1},
			{"bought, and neither in use nor agreed", func(s *shaped) { s.buy(s.subs[0], 14) }, "14 | 11", 0, 0},
		},
	},
}

type shapeStep struct {
	name         string
	edit         func(s *shaped)
	want         string
	orders, psas int // writes at each side
}

// edit changes an addition in the PSA's screens.
func (o *office) edit(line int, fields map[string]any) {
	o.t.Helper()
	if err := o.psa.EditAddition(line, "jdoe", fields); err != nil {
		o.t.Fatal(err)
	}
}

// assign gives seats of the yearly product to users, and a few of the other.
func (s *shaped) assign(o *office, n int) {
	o.t.Helper()
	for i, g := range goods {
		if err := o.vendor.Assign(o.pairs[0].tenant, g.product+":"+g.sku, n*(1-i)+2*i); err != nil {
			o.t.Fatal(err)
		}
	}
}

// Each shape over both systems' own interfaces: every edit has its outcome by as few writes as it takes, whatever happens on the way.
func TestShapesOverBothSystems(t *testing.T) {
	t.Parallel()
	for name, sh := range shapes {
		for _, a := range accidents {
			t.Run(name+" "+a.name, func(t *testing.T) {
				t.Parallel()
				s := &shaped{}
				settings := map[string]string{}
				if strings.Contains(sh.flow, "assigned") {
					settings["assigned"] = "read"
				}
				start := plot{customers: 1, flow: sh.flow, settings: settings, fill: func(o *office) {
					o.psa.AddCustomField("addition", seatRuleField, "Text")
					o.psa.AddCustomField("addition", agreedField, "Text")
					s.office = o
					sh.fill(o, s)
				}}
				inOffice(t, start, func(t *testing.T, o *office) {
					s.office = o
					o.sync(engine.Options{})
					o.settled()
					if got := s.numbers(); got != sh.start {
						t.Fatalf("it starts with %s, want %s", got, sh.start)
					}
					for _, step := range sh.steps {
						step.edit(s)
						writes := o.psa.Writes()
						before := o.allOrders()
						after := a.cause(o)
						o.sync(engine.Options{})
						after()
						o.sync(engine.Options{})
						o.sync(engine.Options{})
						o.settled()
						if diff := cmp.Diff(step.want, s.numbers()); diff != "" {
							t.Errorf("%s (-want +got):\n%s", step.name, diff)
						}
						if got := o.allOrders() - before; got != step.orders {
							t.Errorf("%s: %d orders at the vendor, want %d", step.name, got, step.orders)
						}
						if got := o.psa.Writes() - writes; got != step.psas {
							t.Errorf("%s: %d writes to the PSA, want %d", step.name, got, step.psas)
						}
					}
				})
			})
		}
	}
}

// allOrders counts what trueup changed at the vendor.
func (o *office) allOrders() int {
	o.t.Helper()
	total := 0
	for _, n := range o.orders() {
		total += n
	}
	return total
}
