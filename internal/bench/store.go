//go:build unix

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

const (
	storeCustomers = 10_000
	perCustomer    = 10
)

// planning plans 10,000 customers and 100,000 subscriptions from the store, with one seat count in a thousand changed. Filling the
// store is not measured. No system is asked.
func (b *bench) planning(ctx context.Context, p *part) error {
	folder := filepath.Join(b.dir, "planning")
	configuration := `version: 1
state: sqlite:trueup.db
timezone: Europe/London
accounts:
  microsoft:
    system: partnercenter
    settings: {tenant: 7f0c2d10-0000-4000-8000-000000000001, client_id: 7f0c2d10-0000-4000-8000-000000000002, client_secret: "${env:BENCH_SECRET}"}
  psa:
    system: connectwise
    settings: {site: "http://127.0.0.1:1", company: bench, client_id: 7f0c2d10-0000-4000-8000-000000000003, public_key: "${env:BENCH_SECRET}", private_key: "${env:BENCH_SECRET}", currency: GBP}
flows: [flow.yaml]
`
	if err := writeAll(folder, map[string]string{"trueup.yaml": configuration, "flow.yaml": flow}); err != nil {
		return err
	}
	if err := fill(ctx, filepath.Join(folder, "trueup.db")); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	env := []string{"BENCH_SECRET=x"}
	f, err := b.trueup(ctx, env, "-c", filepath.Join(folder, "trueup.yaml"), "plan", "--offline")
	if err != nil {
		return err
	}
	p.add(row{what: fmt.Sprintf("plan %d customers, %d subscriptions from the store", storeCustomers, storeCustomers*perCustomer), aim: "256 MiB, 60 s CPU",
		records: storeCustomers * perCustomer, figures: f})
	p.note("plan: nothing is asked; one seat count in a thousand differs. Filling the store is not measured.")
	return nil
}

// fill writes what a long-running installation would hold: records of both sides, links and memory.
func fill(ctx context.Context, file string) (err error) {
	store, err := state.Open(ctx, "sqlite:"+file)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	run, err := store.StartRun(ctx, state.Run{Kind: state.RunFlow, Name: "fill", Trigger: state.TriggerManual})
	if err != nil {
		return err
	}
	start, end := model.DayValue(model.NewDay(2026, 1, 1)), model.DayValue(model.NewDay(2027, 12, 31))
	cost, price := money("16.1875 GBP"), money("20.2 GBP")
	const product = "CFQ7TTC0LCHC:0002 P1Y monthly"
	var vendor, psa []connectors.Record
	var links []state.Link
	var memory []state.Snapshot
	flush := func() {
		for account, records := range map[string][]connectors.Record{"microsoft": vendor, "psa": psa} {
			if err == nil {
				_, err = store.UpsertRecords(ctx, account, records, run.ID)
			}
		}
		if err == nil {
			err = store.PutLinks(ctx, links)
		}
		if err == nil {
			err = store.PutSnapshots(ctx, memory)
		}
		vendor, psa, links, memory = nil, nil, nil, nil
	}
	vendor = append(vendor, connectors.Record{Kind: "price", ID: product, Fields: model.Fields{"sku": model.Text("CFQ7TTC0LCHC:0002"), "termDuration": model.Text("P1Y"),
		"billingPlan": model.Text("monthly"), "skuTitle": model.Text("Business Premium"), "productTitle": model.Text("Microsoft 365"), "unitCostMonth": cost, "erpPriceMonth": price}})
	psa = append(psa, connectors.Record{Kind: "catalogItem", ID: "1", Fields: model.Fields{"manufacturerPartNumber": model.Text(product), "vendorSku": model.Text("CFQ7TTC0LCHC:0002"), "inactiveFlag": model.Bool(false)}})
	for c := range storeCustomers {
		if err != nil {
			return err
		}
		tenant, company, agreement := fmt.Sprintf("7f0c2d10-0000-4000-8000-%012d", c), fmt.Sprint(c+1), fmt.Sprint(c+100_001)
		name := fmt.Sprintf("Customer %d & Sons", c)
		vendor = append(vendor, connectors.Record{Kind: "customer", ID: tenant, Fields: model.Fields{"companyProfile.companyName": model.Text(name), "companyProfile.tenantId": model.Text(tenant),
			"domains": model.List(fmt.Sprintf("c%d.example", c)), "relationshipToPartner": model.Text("reseller")}})
		psa = append(psa,
			connectors.Record{Kind: "company", ID: company, Fields: model.Fields{"name": model.Text(name), "website": model.Text(fmt.Sprintf("c%d.example", c)), "custom.Vendor Tenant Ids": model.Text(tenant), "deletedFlag": model.Bool(false)}},
			connectors.Record{Kind: "agreement", ID: agreement, Fields: model.Fields{"company": model.Text(company), "name": model.Text("Cloud Services"), "type": model.Text("Cloud Services"), "startDate": start,
				"agreementStatus": model.Text("Active"), "cancelledFlag": model.Bool(false), "currency": model.Text("GBP")}})
		links = append(links, link(model.KindCustomer, "customer", "", tenant, "company", "", company))
		for i := range perCustomer {
			n := c*perCustomer + i
			seats, subscription, addition := model.Int(int64(5+i)), fmt.Sprintf("a7c20f6e-0000-4000-8000-%012d", n), fmt.Sprint(n+1_000_001)
			now := seats
			if n%1000 == 0 {
				now = model.Int(int64(6 + i))
			}
			vendor = append(vendor, connectors.Record{Kind: "subscription", Parent: tenant, ID: subscription, Fields: model.Fields{"sku": model.Text("CFQ7TTC0LCHC:0002"), "offerName": model.Text("Business Premium"),
				"friendlyName": model.Text("Business Premium"), "productType.id": model.Text("OnlineServicesNCE"), "quantity": now, "termDuration": model.Text("P1Y"), "billingCycle": model.Text("monthly"), "status": model.Text("active"),
				"isTrial": model.Bool(false), "effectiveStartDate": start, "commitmentEndDate": end, "autoRenewEnabled": model.Bool(true), "refundableQuantity.totalQuantity": model.Int(0), "partnerId": model.Text("")}})
			psa = append(psa, connectors.Record{Kind: "addition", Parent: agreement, ID: addition, Fields: model.Fields{"product": model.Text("1"), "quantity": seats, "lessIncluded": model.Int(0), "unitCost": cost, "unitPrice": price,
				"effectiveDate": start, "cancelledDate": model.Empty(model.TypeDay), "billCustomer": model.Text("Billable"), "invoiceDescription": model.Text("Business Premium"), "custom.Vendor Subscription Id": model.Text(subscription), "updatedBy": model.Text("trueup")}})
			l := link(model.KindLine, "subscription", tenant, subscription, "addition", agreement, addition)
			links = append(links, l)
			fields := model.Fields{"quantity": seats, "unit_cost": cost, "subscription": model.Text(subscription)}
			memory = append(memory, state.Snapshot{Link: l.ID, Side: state.SideVendor, Fields: fields}, state.Snapshot{Link: l.ID, Side: state.SidePSA, Fields: fields})
		}
		if c%100 == 99 || c == storeCustomers-1 {
			flush()
		}
	}
	for account, kinds := range map[string][]string{"microsoft": {"customer", "subscription", "price"}, "psa": {"company", "catalogItem", "agreement", "addition"}} {
		for _, kind := range kinds {
			if err == nil {
				err = store.SetSwept(ctx, account, kind, time.Now())
			}
		}
	}
	if err == nil {
		err = store.FinishRun(ctx, run.ID, state.RunCompleted, "", nil)
	}
	return err
}

func link(kind model.Kind, vendorKind, vendorParent, vendorID, psaKind, psaParent, psaID string) state.Link {
	return state.Link{ID: apply.LinkID("bench", plan.PairRef{Kind: kind, Vendor: plan.Ref{Parent: vendorParent, ID: vendorID}}), Flow: "bench", Kind: kind, State: state.LinkActive, How: "kept id",
		Vendor: state.End{Account: "microsoft", Kind: vendorKind, Parent: vendorParent, ID: vendorID}, PSA: state.End{Account: "psa", Kind: psaKind, Parent: psaParent, ID: psaID}}
}

func money(text string) model.Value {
	m, err := model.ParseMoney(text)
	if err != nil {
		panic(err) // the texts are written above
	}
	return model.MoneyValue(m)
}
