package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

const creating = connectors.AbilityCreate

// creations plans what must come to exist for subscriptions that no line bills: the line, and the product and contract it
// needs. A product is created once however many lines need it; what is missing and may not be created is one finding.
type creations struct {
	*world
	plan     *plan.Plan
	products map[string]string // product key -> change that creates it
	planned  map[string]bool   // contracts planned already, by change
}

// lines plans the lines of subscriptions that nothing bills.
func (c *creations) lines(g *group, alone []subscription, p *plan.Plan) {
	for len(alone) > 0 {
		together := alone[:1]
		if c.flow.Lines.Group == GroupProduct {
			together = nil
			for _, sub := range alone {
				if sub.Text("product") == alone[0].Text("product") {
					together = append(together, sub)
				}
			}
		}
		c.line(g, together, p)
		first := together[0].Text("product")
		if len(together) == 1 {
			alone = alone[1:]
			continue
		}
		alone = slices.DeleteFunc(slices.Clone(alone), func(s subscription) bool { return s.Text("product") == first })
	}
}

// line plans a new line for a subscription, or for several of one product, or holds it and says what is in the way.
func (c *creations) line(g *group, subs []subscription, p *plan.Plan) {
	sub := subs[0]
	p.Counts.Pairs++
	if c.flow.Lines.MissingPSA == MissingIgnore {
		p.Counts.NotBilled++
		return
	}
	product := c.vendorProducts[sub.Text("product")]
	pair := plan.PairRef{Kind: model.KindLine, How: howCreated, VendorAccount: c.vendor.Name, PSAAccount: c.psa.Name,
		Vendor: plan.Ref{Kind: model.KindSubscription, ID: sub.ID, Parent: sub.tenant}, PSA: plan.Ref{Kind: model.KindLine}}
	change := plan.Change{Op: plan.OpCreate, Side: plan.PSA, Account: c.psa.Name, Target: plan.Ref{Kind: model.KindLine}, Label: lineLabel(sub),
		Customer: g.label, Pair: pair, Refs: map[string]string{}, Reason: plan.NewAtVendor}
	change.ID = plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindLine), sub.tenant, sub.ID)

	set := func(field string, v model.Value) {
		if v.Known() && !v.Blank() {
			change.Fields = append(change.Fields, plan.FieldChange{Field: field, To: v, Reason: plan.NewAtVendor})
		}
	}
	values := vendorFields(sub, product)
	missing := c.countNew(subs, values, &change)
	for _, field := range []string{"subscription", "quantity", "unit_cost", "unit_price", "description"} {
		set(field, values[field])
	}
	start := c.firstBilled(sub)
	for _, other := range subs[1:] {
		if day := c.firstBilled(other); day.Cmp(start) < 0 {
			start = day
		}
	}
	set("start", model.DayValue(start))
	change.Effect = priceOf(values)

	hold := func(reason plan.Reason, detail, next string) {
		p.Held = append(p.Held, plan.Held{Change: change, Reason: reason, Detail: detail, Next: next})
	}
	if slices.ContainsFunc(subs, func(s subscription) bool { return s.broken }) {
		p.Counts.NotCompared++
		return
	}
	if missing != "" {
		p.Counts.NotCompared++
		hold(plan.NotCounted, fmt.Sprintf("the flow counts %s, and how many seats are %s is not known", c.flow.Lines.Count, missing), "create the line by hand with the number that is meant, and write "+sub.ID+" into it")
		return
	}
	if c.inFlight[plan.ChangeID("link", c.flow.Name, string(model.KindLine), sub.tenant, sub.ID)] {
		hold(plan.InFlight, "creating this line was interrupted and its outcome has not been seen", "it is looked for before the next run")
		return
	}
	if !c.readWhole(g) {
		hold(plan.Incomplete, "the customer's contract lines were not all read, so it may have a line already", "find out why the read was incomplete (trueup status), then run again")
		return
	}
	if _, priced := values["unit_cost"]; !priced {
		hold(plan.NoPrice, fmt.Sprintf("%s lists no price for %s", c.vendor.Name, sub.Text("product")), "create the line by hand and write "+sub.ID+" into it, or wait for the price list")
		return
	}
	if c.flow.Lines.MissingPSA == MissingPropose {
		hold(plan.NewAtVendor, "the flow only proposes new lines", "create it by hand, or set lines.missing: {psa: create} in the flow")
		return
	}
	if cost, price := values["unit_cost"], values["unit_price"]; costsButBillsNothing(cost, price) {
		hold(plan.DoubtfulPrice, fmt.Sprintf("a seat costs %s and the price list says it sells for nothing", cost), "look at the price list at the vendor; create the line by hand and write "+sub.ID+" into it")
		return
	}
	// Everything that may be in the way is asked before anything is planned: nothing is created for a line that is held.
	template := c.flow.Contracts.of(product)
	if reason, detail, next := c.inTheWay(g, sub.Text("product"), template); reason != "" {
		hold(reason, detail, next)
		return
	}
	c.product(sub.Text("product"), product, set, &change, p)
	c.contract(g, template, set, &change, p)
	p.Changes = append(p.Changes, change)
}

// costsButBillsNothing reports a price of zero for something that is paid for. What is free on both sides is billed as it is.
func costsButBillsNothing(cost, price model.Value) bool {
	paid, _ := cost.Money()
	billed, told := price.Money()
	return told && billed.Sign() == 0 && paid.Sign() > 0
}

// planNewCustomer plans the company of a vendor customer that nothing matches, with its contract and lines. A customer with nothing to
// bill gets none.
func (e *Engine) planNewCustomer(ctx context.Context, w *world, tenant model.Record, c *creations) error {
	g := &group{tenants: []model.Record{tenant}, label: tenant.Text("name"),
		created: plan.ChangeID(w.flow.Name, string(plan.OpCreate), string(model.KindCustomer), tenant.ID)}
	if err := e.load(ctx, w, g); err != nil {
		return err
	}
	g.subs = slices.DeleteFunc(g.subs, func(s subscription) bool { return s.gone || !billable(s) })
	if len(g.subs) == 0 {
		return nil
	}
	p := plan.Plan{Flow: w.flow.Name}
	create := plan.Change{ID: g.created, Op: plan.OpCreate, Side: plan.PSA, Account: w.psa.Name, Target: plan.Ref{Kind: model.KindCustomer},
		Label: "customer " + g.label, Customer: g.label, Reason: plan.NewAtVendor, Pair: plan.PairRef{Kind: model.KindCustomer, How: howCreated,
			VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindCustomer, ID: tenant.ID}, PSAAccount: w.psa.Name, PSA: plan.Ref{Kind: model.KindCustomer}}}
	table, _ := model.TableOf(model.KindCustomer)
	for _, field := range table.Names() {
		if v := tenant.Fields[field]; v.Known() && !v.Blank() && w.psa.Mapping.Writable(model.KindCustomer, field) && field != "tenant_ids" {
			create.Fields = append(create.Fields, plan.FieldChange{Field: field, To: v, Reason: plan.NewAtVendor})
		}
	}
	create.Fields = append(create.Fields, plan.FieldChange{Field: "tenant_ids", To: model.List(tenant.ID), Reason: plan.KeepID})
	kind, _ := w.psa.NativeKind(model.KindCustomer)
	hold := func(reason plan.Reason, detail, next string) {
		p.Held = append(p.Held, plan.Held{Change: create, Reason: reason, Detail: detail, Next: next})
	}
	switch {
	case w.inFlight[apply.LinkID(w.flow.Name, create.Pair)]:
		hold(plan.InFlight, "creating this company was interrupted and its outcome has not been seen", "it is looked for before the next run")
	case !w.psa.complete(kind.Name, ""):
		hold(plan.Incomplete, "the companies were not all read, so it may be there already", "find out why the read was incomplete (trueup status), then run again")
	case !w.psa.Can(model.KindCustomer, connectors.AbilityCreate):
		hold(plan.NotEditable, w.psa.Name+" does not let companies be created", "create it by hand")
	default:
		p.Changes = append(p.Changes, create)
		c.contact(g, &p)
	}
	c.lines(g, g.subs, &p)
	c.plan.Merge(p)
	return nil
}

// readWhole reports that every place where the group's lines could stand was read.
func (c *creations) readWhole(g *group) bool {
	contractKind, _ := c.psa.NativeKind(model.KindContract)
	lineKind, _ := c.psa.NativeKind(model.KindLine)
	if !c.psa.complete(contractKind.Name, "") || !c.psa.complete(lineKind.Name, "") {
		return false
	}
	for _, contract := range c.contracts[g.psa.ID] {
		if !c.psa.complete(lineKind.Name, contract.ID) {
			return false
		}
	}
	return true
}

// firstBilled is the first day of the current term, but never before this month: earlier months are invoiced.
func (c *creations) firstBilled(sub subscription) model.Day {
	start, ok := sub.Fields["start"].Day()
	if !ok {
		start = c.today
	}
	return laterOf(start, firstOfMonth(c.today))
}

func priceOf(values model.Fields) plan.Effect {
	seats, _ := values["quantity"].Quantity()
	price, ok := values["unit_price"].Money()
	return plan.Effect{Bill: price.Times(seats), Unpriced: !ok}
}

// contractsOf are the contracts on which a group's new line could stand. Where templates share a type, the name tells them apart.
func (c *creations) contractsOf(g *group, template ContractTerm) (found []model.Record) {
	if g.created != "" {
		return nil // the company does not exist yet
	}
	for _, contract := range c.contracts[g.psa.ID] {
		if strings.EqualFold(contract.Text("type"), template.Type) {
			found = append(found, contract)
		}
	}
	named := slices.DeleteFunc(slices.Clone(found), func(r model.Record) bool { return !strings.EqualFold(r.Text("name"), template.Name) })
	if shared := slices.DeleteFunc(slices.Clone(c.flow.Contracts.Terms), func(t ContractTerm) bool { return !strings.EqualFold(t.Type, template.Type) }); len(shared) > 1 {
		return named
	}
	return found
}

// inTheWay says why a line cannot be made for want of one certain product and one certain contract; "" when it can.
func (c *creations) inTheWay(g *group, key string, template ContractTerm) (reason plan.Reason, detail, next string) {
	rules, contracts, products := c.flow.Contracts, c.contractsOf(g, template), c.psaProducts[key]
	const notSeen, later = "creating its %s was interrupted and its outcome has not been seen", "it is looked for before the next run"
	switch {
	case len(products) == 0 && c.inFlight[c.productChange(key)]:
		return plan.InFlight, fmt.Sprintf(notSeen, "product"), later
	case len(contracts) == 0 && c.inFlight[c.contractChange(g, template)]:
		return plan.InFlight, fmt.Sprintf(notSeen, "contract"), later
	case len(products) > 1:
		return plan.AmbiguousProduct, fmt.Sprintf("products %s and %s both carry %s", products[0].ID, products[1].ID, key), "make one of them inactive"
	case len(products) == 0 && (c.flow.Products.MissingPSA != MissingCreate || !c.psa.Can(model.KindProduct, connectors.AbilityCreate)):
		return plan.NoProduct, "no product in " + c.psa.Name + " carries " + key, "create it by hand, or set products.missing: {psa: create} in the flow"
	case len(contracts) > 1:
		return plan.AmbiguousMatch, fmt.Sprintf("%d active contracts of type %q: %s", len(contracts), template.Type, ids(contracts)), "write the line by hand on the right one with the subscription id, or end the contract that is not needed"
	case len(contracts) == 0 && (rules.MissingPSA != MissingCreate || !c.psa.Can(model.KindContract, connectors.AbilityCreate)):
		return plan.NoContract, fmt.Sprintf("%s has no active contract of type %q in %s", g.label, template.Type, c.psa.Name), "create it by hand, or set contracts.missing: {psa: create} in the flow"
	}
	return "", "", ""
}

// product finds the PSA product of a line or plans it.
func (c *creations) product(key string, product model.Record, set func(string, model.Value), change *plan.Change, p *plan.Plan) {
	if found := c.psaProducts[key]; len(found) == 1 {
		set("product", model.Text(found[0].ID))
		return
	}
	id, planned := c.products[key]
	if !planned {
		id = c.productChange(key)
		c.products[key] = id
		create := plan.Change{ID: id, Op: plan.OpCreate, Side: plan.PSA, Account: c.psa.Name, Target: plan.Ref{Kind: model.KindProduct},
			Label: product.Text("name") + ", " + strings.TrimSpace(product.Text("term")+" "+product.Text("billing_cycle")), Reason: plan.NewAtVendor}
		table, _ := model.TableOf(model.KindProduct)
		for _, f := range table.Names() {
			if v := product.Fields[f]; v.Known() && !v.Blank() && f != "active" {
				create.Fields = append(create.Fields, plan.FieldChange{Field: f, To: v, Reason: plan.NewAtVendor})
			}
		}
		p.Changes = append(p.Changes, create)
	}
	change.Refs["product"] = id
	change.After = append(change.After, id)
}

// contract finds the contract of a line or plans it.
func (c *creations) contract(g *group, template ContractTerm, set func(string, model.Value), change *plan.Change, p *plan.Plan) {
	if found := c.contractsOf(g, template); len(found) == 1 {
		set("contract", model.Text(found[0].ID))
		change.Target.Parent = found[0].ID
		return
	}
	id := c.contractChange(g, template)
	if !c.planned[id] {
		c.planned[id] = true
		create := plan.Change{ID: id, Op: plan.OpCreate, Side: plan.PSA, Account: c.psa.Name, Target: plan.Ref{Kind: model.KindContract},
			Label: template.Name, Customer: g.label, Reason: plan.NewAtVendor}
		if g.created != "" {
			create.Refs, create.After = map[string]string{"customer": g.created}, []string{g.created}
		} else {
			create.Fields = append(create.Fields, plan.FieldChange{Field: "customer", To: model.Text(g.psa.ID), Reason: plan.NewAtVendor})
		}
		if person := c.contact(g, p); person != "" {
			create.After = append(create.After, person)
		}
		for field, v := range map[string]model.Value{"name": model.Text(template.Name), "type": model.Text(template.Type),
			"start": model.DayValue(firstOfMonth(c.today))} {
			create.Fields = append(create.Fields, plan.FieldChange{Field: field, To: v, Reason: plan.NewAtVendor})
		}
		sortFields(create.Fields)
		p.Changes = append(p.Changes, create)
	}
	change.Refs["contract"] = id
	change.After = append(change.After, id)
}

// productChange and contractChange name the changes that make what a line needs.
func (c *creations) productChange(key string) string {
	return plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindProduct), key)
}

func (c *creations) contractChange(g *group, template ContractTerm) string {
	parts := []string{c.flow.Name, string(plan.OpCreate), string(model.KindContract), g.psa.ID, g.created}
	if len(c.flow.Contracts.Terms) > 0 {
		parts = append(parts, template.Type, template.Name)
	}
	return plan.ChangeID(parts...)
}

func ids(records []model.Record) string {
	var parts []string
	for _, r := range records {
		parts = append(parts, fmt.Sprintf("%s %q", r.ID, r.Text("name")))
	}
	return strings.Join(parts, ", ")
}

func sortFields(fields []plan.FieldChange) {
	slices.SortFunc(fields, func(a, b plan.FieldChange) int { return strings.Compare(a.Field, b.Field) })
}
