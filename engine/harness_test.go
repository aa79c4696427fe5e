package engine_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// office is an MSP in memory: both worlds, a store and the engine between them.
type office struct {
	t           *testing.T
	vendor, psa *memory.World
	engine      *engine.Engine
	flow        engine.Flow
	now         time.Time
}

const (
	premium  = "CFQ7TTC0LCHC:0002"
	premiumM = premium + " P1Y monthly"
)

func newOffice(t *testing.T, options ...func(*memory.Options)) *office {
	t.Helper()
	o := &office{t: t, now: time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return o.now }
	psaOptions := memory.Options{Now: clock}
	for _, set := range options {
		set(&psaOptions)
	}
	o.vendor, o.psa = memory.NewVendor(memory.Options{Now: clock}), memory.NewPSA(psaOptions)
	o.flow = engine.Flow{
		Name: "cloud", File: "flows/cloud.yaml", Vendor: "microsoft", PSA: "psa", Mode: engine.ModeWrite,
		Customers: engine.CustomerRules{Match: engine.MatchNames(), MissingPSA: engine.MissingPropose},
		Products:  engine.ProductRules{MissingPSA: engine.MissingCreate},
		Contracts: engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingCreate},
		Lines: engine.LineRules{First: plan.FirstVendor, MissingPSA: engine.MissingCreate, Fields: map[string]plan.FieldRule{
			"quantity":    {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold},
			"unit_cost":   {Owner: plan.OwnerVendor},
			"unit_price":  {Owner: plan.OwnerPSA},
			"description": {Owner: plan.OwnerVendor},
		}},
	}
	o.engine = &engine.Engine{Log: zap.NewNop(), Now: clock, Location: time.UTC, Workers: 3}
	o.newStore()
	o.price(premium, "P1Y", "monthly", "16.1875 GBP", "20.2 GBP")
	o.price(premium, "P1M", "monthly", "19.4 GBP", "24.3 GBP")
	return o
}

// newStore gives the engine an empty memory, as after a lost disk.
func (o *office) newStore() {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "trueup.db")
	if err := statetest.Blank(file); err != nil {
		o.t.Fatal(err)
	}
	store, err := state.Open(context.Background(), "sqlite:"+file, state.WithClock(func() time.Time { return o.now }))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = store.Close() })
	o.engine.Store = store
	o.engine.Accounts = map[string]*apply.Account{
		"microsoft": o.account("microsoft", "memoryvendor", o.vendor.Connect()),
		"psa":       o.account("psa", "memorypsa", o.psa.Connect()),
	}
}

func (o *office) account(name, system string, c connectors.Connector) *apply.Account {
	o.t.Helper()
	file := filepath.Join("testdata", system+".yaml")
	source, err := os.ReadFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	var problems diag.List
	m := mapping.Load(file, source, c.Descriptor(), &problems)
	if err := problems.Err(); err != nil {
		o.t.Fatal(err)
	}
	return &apply.Account{Name: name, Connector: c, Mapping: m}
}

func (o *office) price(sku, term, billing, cost, list string) {
	o.t.Helper()
	o.add(o.vendor, connectors.Record{Kind: "price", ID: sku + " " + term + " " + billing, Fields: model.Fields{
		"sku": model.Text(sku), "termDuration": model.Text(term), "billingPlan": model.Text(billing), "skuTitle": model.Text("Business Premium"),
		"unitCostMonth": money(o.t, cost), "erpPriceMonth": money(o.t, list)}})
}

func money(t *testing.T, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeMoney, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (o *office) add(w *memory.World, rec connectors.Record) connectors.Ref {
	o.t.Helper()
	ref, err := w.Add(rec)
	if err != nil {
		o.t.Fatal(err)
	}
	return ref
}

// tenant adds a vendor customer.
func (o *office) tenant(id, name, domain string) connectors.Ref {
	return o.add(o.vendor, connectors.Record{Kind: "customer", ID: id, Fields: model.Fields{
		"companyProfile.companyName": model.Text(name), "companyProfile.tenantId": model.Text(id), "domains": model.List(domain)}})
}

// company adds a PSA company with an empty place for tenant ids.
func (o *office) company(name, website string) connectors.Ref {
	return o.add(o.psa, connectors.Record{Kind: "company", Fields: model.Fields{
		"name": model.Text(name), "website": model.Text(website), "custom.Vendor Tenant Ids": model.Text("")}})
}

// subscription adds what a tenant buys.
func (o *office) subscription(tenant, id string, seats int64, term string) connectors.Ref {
	return o.add(o.vendor, connectors.Record{Kind: "subscription", Parent: tenant, ID: id, Fields: model.Fields{
		"sku": model.Text(premium), "offerName": model.Text("Business Premium"), "quantity": model.Int(seats), "termDuration": model.Text(term),
		"billingCycle": model.Text("monthly"), "effectiveStartDate": model.DayValue(model.NewDay(2031, 3, 5)), "commitmentEndDate": model.DayValue(model.NewDay(2032, 3, 4)),
		"refundableQuantity.totalQuantity": model.Int(0)}})
}

func (o *office) agreement(company connectors.Ref) connectors.Ref {
	return o.add(o.psa, connectors.Record{Kind: "agreement", Fields: model.Fields{"name": model.Text("Cloud Services"), "type": model.Text("Cloud Services"),
		"company": model.Text(company.ID), "startDate": model.DayValue(model.NewDay(2030, 1, 1))}})
}

func (o *office) item(key string) connectors.Ref {
	sku, _, _ := strings.Cut(key, " ")
	return o.add(o.psa, connectors.Record{Kind: "catalogItem", Fields: model.Fields{"identifier": model.Text(key), "description": model.Text("Business Premium"),
		"vendorSku": model.Text(sku), "manufacturerPartNumber": model.Text(key)}})
}

func (o *office) line(agreement, item connectors.Ref, subscription string, seats int64) connectors.Ref {
	return o.add(o.psa, connectors.Record{Kind: "addition", Parent: agreement.ID, Fields: model.Fields{
		"product": model.Text(item.ID), "quantity": model.Int(seats), "unitCost": money(o.t, "16.1875 GBP"), "unitPrice": money(o.t, "21 GBP"),
		"invoiceDescription": model.Text("Business Premium"), "custom.Vendor Subscription Id": model.Text(subscription), "effectiveDate": model.DayValue(model.NewDay(2031, 1, 1))}})
}

// run executes the flow and moves the clock on.
func (o *office) run(opts engine.Options) (engine.Result, error) {
	o.t.Helper()
	o.now = o.now.Add(5 * time.Minute)
	return o.engine.Run(context.Background(), o.flow, opts)
}

// sync applies and fails the test on an error.
func (o *office) sync() engine.Result {
	o.t.Helper()
	result, err := o.run(engine.Options{Apply: true})
	if err != nil {
		o.t.Fatal(err)
	}
	return result
}

// settled asserts that the plan is empty and that looking for it wrote nothing.
func (o *office) settled() engine.Result {
	o.t.Helper()
	before := o.writes()
	result := o.sync()
	if len(result.Plan.Changes) != 0 {
		o.t.Errorf("the plan is not empty:\n%s", text(result.Plan))
	}
	if after := o.writes(); after != before {
		o.t.Errorf("%d writes although nothing changed", after-before)
	}
	return result
}

func (o *office) writes() int { return o.vendor.TotalEffects() + o.psa.TotalEffects() }

func (o *office) seats(w *memory.World, ref connectors.Ref) string {
	o.t.Helper()
	rec, ok := w.Get(ref)
	if !ok {
		o.t.Fatalf("%v is not there", ref)
	}
	return rec.Fields["quantity"].String()
}

func (o *office) edit(w *memory.World, ref connectors.Ref, field string, v model.Value) {
	o.t.Helper()
	if err := w.Edit(ref, field, v); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) misbehave(w *memory.World, name, value string) {
	o.t.Helper()
	if err := w.Misbehave(name, value); err != nil {
		o.t.Fatal(err)
	}
}

// onlyLine is the one addition there is.
func (o *office) onlyLine() connectors.Ref {
	o.t.Helper()
	lines := o.psa.Records("addition")
	if len(lines) != 1 {
		o.t.Fatalf("%d lines, expected 1", len(lines))
	}
	return connectors.Ref{Kind: "addition", ID: lines[0].ID, Parent: lines[0].Parent}
}

func text(p plan.Plan) string {
	var b strings.Builder
	if err := plan.Render(&b, p, plan.FormatText, 0); err != nil {
		return err.Error()
	}
	return b.String()
}

func reasons(p plan.Plan) string {
	var all []string
	for _, h := range p.Held {
		all = append(all, "held "+string(h.Reason))
	}
	for _, f := range p.Findings {
		all = append(all, "found "+string(f.Kind))
	}
	return fmt.Sprint(all)
}
