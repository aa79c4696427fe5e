package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Quotes become orders. A line of an accepted quote that offers one of the vendor's products is ordered once: the kept link between the line and the
// subscription it became says that it was, the journal that it may have been. Everything that an order needs is asked before it is planned, and
// what is in the way is one reason. Then come, in one plan and in this order, the order, the contract line, and the note on the quote; what
// an interruption leaves undone the next run plans anew, from what is there.

// QuoteApproval says who lets an order through.
type QuoteApproval string

const (
	ApproveEach   QuoteApproval = "required" // a person, for each plan
	ApproveGuards QuoteApproval = "guards"   // the flow's limits
)

// QuoteRules say which quotes become orders; without Since none does.
type QuoteRules struct {
	Since     model.Day // quotes accepted before are left alone
	When      []string  // statuses that mean accepted, by name; none: what the mapping calls accepted
	Approve   QuoteApproval
	Tolerance int // percent by which a price may have risen since the quote was made
}

// On reports that quotes become orders.
func (r QuoteRules) On() bool { return !r.Since.IsZero() }

// nouns are what has to be read for quotes.
func (r QuoteRules) nouns() []model.Kind {
	if !r.On() {
		return nil
	}
	return []model.Kind{model.KindQuote, model.KindQuoteLine}
}

func (r QuoteRules) accepts(q model.Record) bool {
	if len(r.When) == 0 {
		return q.Fields["accepted"].True()
	}
	return slices.ContainsFunc(r.When, func(status string) bool { return strings.EqualFold(status, q.Text("status")) })
}

// howQuoted is the evidence of a link between a line of a quote and the subscription that was ordered for it.
const howQuoted = "accepted quote"

// quote is an accepted quote with its lines.
type quote struct {
	model.Record
	lines []model.Record
}

// orderedLine is a line of a quote that was ordered.
type orderedLine struct {
	link     state.Link
	line     model.Record // empty when it is not there any more
	accepted bool         // the quote is still accepted
	quantity model.Value  // as it was ordered
}

// WantedKinds are the kinds of an account that some flow wants: those that a discovery lists, and whose age says how fresh the account is. Quotes are read only where a flow has read them before: an account need not have the rights.
func (e *Engine) WantedKinds(ctx context.Context, a *apply.Account) ([]string, error) {
	kinds := a.MappedKinds()
	for _, noun := range (QuoteRules{Since: model.NewDay(1, 1, 1)}).nouns() {
		kind, ok := a.NativeKind(noun)
		if !ok {
			continue
		}
		_, swept, err := e.Store.Swept(ctx, a.Name, kind.Name)
		if err != nil {
			return nil, err
		}
		if swept {
			kinds = append(kinds, kind.Name)
		}
	}
	return kinds, nil
}

// loadQuotes reads the accepted quotes, and what was ordered before.
func (e *Engine) loadQuotes(ctx context.Context, w *world) error {
	rules := w.flow.Quotes
	w.quotes, w.ordered, w.quoted = map[string][]quote{}, map[string]orderedLine{}, map[string]orderedLine{}
	if !rules.On() {
		return nil
	}
	accepted, stands, undated := map[string]*quote{}, map[string]bool{}, 0
	err := e.eachRecord(ctx, w, w.psa, model.KindQuote, nil, func(r model.Record, _ state.Stored) {
		at, dated := r.Fields["accepted_at"].Time()
		stands[r.ID] = rules.accepts(r)
		switch {
		case !stands[r.ID]:
		case !dated:
			undated++
		case model.DayOf(at.In(e.Location)).Cmp(rules.Since) >= 0:
			accepted[r.ID] = &quote{Record: r}
		}
	})
	if err != nil {
		return err
	}
	if undated > 0 {
		w.findings = append(w.findings, plan.Finding{Key: plan.ChangeID("undated", w.flow.Name), Kind: plan.QuoteUndated,
			Title: fmt.Sprintf("%s: %s", w.psa.Name, plan.QuoteUndated.Sentence()), Detail: fmt.Sprintf("%d of them; whether they were accepted since %s cannot be told", undated, rules.Since),
			Next: "give those that are to be ordered a date on which they were closed"})
	}
	err = e.Store.LinksWithMemory(ctx, w.flow.Name, model.KindQuoteLine, "", func(l state.Link, m state.Memory) error {
		w.ordered[l.PSA.ID] = orderedLine{link: l, quantity: m.PSA.Fields["quantity"]}
		return nil
	})
	if err != nil {
		return err
	}
	err = e.eachRecord(ctx, w, w.psa, model.KindQuoteLine, nil, func(r model.Record, _ state.Stored) {
		q := accepted[r.Text("quote")]
		if o, ok := w.ordered[r.ID]; ok {
			o.line, o.accepted = r, stands[r.Text("quote")] && !r.Fields["dropped"].True()
			w.ordered[r.ID] = o
		}
		if q != nil {
			q.lines = append(q.lines, r)
		}
	})
	for _, o := range w.ordered {
		w.quoted[flightKey("", o.link.Vendor.Parent, o.link.Vendor.ID)] = o
	}
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		q := *accepted[id]
		slices.SortFunc(q.lines, func(a, b model.Record) int { return strings.Compare(a.ID, b.ID) })
		w.quotes[q.Text("customer")] = append(w.quotes[q.Text("customer")], q)
	}
	return err
}

// quotesOf plans what a customer's quotes ask for.
func (c *creations) quotesOf(ctx context.Context, g *group, pairs []pairing, p *plan.Plan) error {
	for _, q := range c.world.quotes[g.psa.ID] {
		note := noteOf{quote: q}
		for _, line := range q.lines {
			if err := c.quoteLine(ctx, g, q, line, pairs, p, &note); err != nil {
				return err
			}
		}
		c.tellQuote(g, note, p)
	}
	for _, id := range slices.Sorted(maps.Keys(c.ordered)) {
		if o := c.ordered[id]; !o.accepted && slices.ContainsFunc(g.tenants, func(t model.Record) bool { return t.ID == o.link.Vendor.Parent }) {
			p.Findings = append(p.Findings, c.quoteFinding(g, o, plan.QuoteWithdrawn, "", "cancel the subscription at the vendor, or end its contract line, if it is not wanted"))
		}
	}
	return nil
}

// noteOf collects what became of a quote.
type noteOf struct {
	quote
	said  []string
	after []string // changes of this plan that have to be done before it is true
}

func (n *noteOf) add(quantity model.Value, label string, after ...string) {
	n.said = append(n.said, fmt.Sprintf("%s x %s", quantity, label))
	n.after = append(n.after, after...)
}

func (c *creations) quoteLine(ctx context.Context, g *group, q quote, line model.Record, pairs []pairing, p *plan.Plan, note *noteOf) error {
	if o, ok := c.ordered[line.ID]; ok {
		c.orderedBefore(g, q, line, o, pairs, p, note)
		return nil
	}
	key := c.psaProductByID[line.Text("product")].Text("key")
	product, sold := c.vendorProducts[key]
	if line.Fields["dropped"].True() || !sold && !looksSold(key) {
		return nil // taken off, or something else than the vendor's
	}
	order := c.order(g, q, line, key, product)
	reason, detail, next, err := c.orderInTheWay(ctx, g, q, line, order, sold)
	switch {
	case err != nil:
		return err
	case reason != "" && reason != plan.OrderApproval:
		p.Held = append(p.Held, plan.Held{Change: order, Reason: reason, Detail: detail, Next: next})
		return nil
	case reason != "":
		p.Held = append(p.Held, plan.Held{Change: order, Reason: reason, Detail: detail, Next: next})
	default:
		p.Changes = append(p.Changes, order)
	}
	after := []string{order.ID}
	if !g.hasFreeLine(c.world, key) { // a line that is there already is taken over once the subscription is
		after = append(after, c.lineOfOrder(g, line, order, key, product, p))
	}
	note.add(line.Fields["quantity"], order.Label, after...)
	return nil
}

// looksSold reports a product key of the form that the vendor's have.
func looksSold(key string) bool {
	parts := strings.Split(key, " ")
	return len(parts) == 3 && slices.Contains(model.Durations, parts[1]) && slices.Contains(model.BillingCycles, parts[2])
}

// hasFreeLine reports a line of a product that bills no subscription: the quote was turned into it in the PSA.
func (g *group) hasFreeLine(w *world, key string) bool {
	return slices.ContainsFunc(g.lines, func(l line) bool {
		return !l.claimed && !l.ended(w.today) && l.Text("subscription") == "" && w.psaProductByID[l.Text("product")].Text("key") == key
	})
}

func quoteLinkID(flow, line string) string {
	return plan.ChangeID("link", flow, string(model.KindQuoteLine), line)
}

// nickname is how an order is called at the vendor, and found again by.
func nickname(product string, q quote, line model.Record) string {
	const longest = 60
	tail := fmt.Sprintf(" (quote %s/%s)", q.ID, line.ID)
	name := []rune(product)
	if room := max(longest-len([]rune(tail)), 0); len(name) > room {
		name = name[:room]
	}
	return strings.TrimSpace(strings.TrimSpace(string(name)) + tail)
}

// order is the change that buys a line of a quote, priced.
func (c *creations) order(g *group, q quote, line model.Record, key string, product model.Record) plan.Change {
	parts := append(strings.Split(key, " "), "", "")
	tenant := ""
	if len(g.tenants) == 1 {
		tenant = g.tenants[0].ID
	}
	target := plan.Ref{Kind: model.KindSubscription, Parent: tenant}
	name := product.Text("name")
	if name == "" {
		name = line.Text("name")
	}
	change := plan.Change{Op: plan.OpCreate, Side: plan.Vendor, Account: c.vendor.Name, Target: target, Label: strings.TrimSpace(name + ", " + parts[1] + " " + parts[2]), Customer: g.label,
		Pair: plan.PairRef{Kind: model.KindQuoteLine, Link: quoteLinkID(c.flow.Name, line.ID), How: howQuoted, VendorAccount: c.vendor.Name, Vendor: target,
			PSAAccount: c.psa.Name, PSA: plan.Ref{Kind: model.KindQuoteLine, ID: line.ID}}, Reason: plan.QuoteAccepted}
	change.ID = plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindSubscription), "quote", line.ID)
	change.Key = plan.ChangeID("order", c.flow.Name, c.psa.Name, line.ID)
	for _, f := range []struct {
		field string
		value model.Value
	}{{"quantity", line.Fields["quantity"]}, {"reference", model.Text(nickname(name, q, line))}, {"sku", model.Text(parts[0])}, {"term", model.Text(parts[1])}, {"billing_cycle", model.Text(parts[2])}} {
		change.Fields = append(change.Fields, plan.FieldChange{Field: f.field, To: f.value, Reason: plan.QuoteAccepted})
	}
	seats, _ := line.Fields["quantity"].Quantity()
	cost, priced := product.Fields["unit_cost"].Money()
	change.Effect = plan.Effect{Cost: cost.Times(seats), Unpriced: !priced}
	return change
}

// orderInTheWay asks everything that may stand in the way of an order, in the order in which a person would settle it; "" when nothing does.
func (c *creations) orderInTheWay(ctx context.Context, g *group, q quote, line model.Record, order plan.Change, sold bool) (reason plan.Reason, detail, next string, err error) {
	subKind, _ := c.vendor.NativeKind(model.KindSubscription)
	seats, counted := line.Fields["quantity"].Quantity()
	key := c.psaProductByID[line.Text("product")].Text("key")
	price := line.Fields["unit_price"]
	validUntil, limited := q.Fields["valid_until"].Day()
	at, _ := q.Fields["accepted_at"].Time()
	switch {
	case len(g.tenants) != 1:
		return plan.QuoteCustomer, fmt.Sprintf("%s has %d customers at %s", g.label, len(g.tenants), c.vendor.Name), "order it at the vendor by hand, for the right one", nil
	case c.inFlight[order.Pair.Link]:
		return plan.InFlight, "placing this order was interrupted and its outcome has not been seen", "it is looked for before the next run; nothing is ordered meanwhile", nil
	case !c.vendor.Can(model.KindSubscription, connectors.AbilityCreate):
		return plan.NotEditable, c.vendor.Name + " does not let subscriptions be ordered from here", "order it at the vendor by hand", nil
	case !c.vendor.complete(subKind.Name, g.tenants[0].ID) || !c.readWhole(g):
		return plan.Incomplete, "what the customer has was not all read, so it may have been ordered already", "find out why the read was incomplete (trueup status), then run again", nil
	case !counted || !seats.Whole() || seats.Sign() <= 0:
		return plan.QuoteIncomplete, fmt.Sprintf("%q is not a number of seats", line.Fields["quantity"]), "correct the quantity on the quote", nil
	case !price.Known() || price.Blank():
		return plan.QuoteIncomplete, "the quote has no price for it", "give it a price on the quote", nil
	case limited && validUntil.Cmp(model.DayOf(at)) < 0:
		return plan.QuoteIncomplete, fmt.Sprintf("the quote was valid until %s and accepted on %s", validUntil, model.DayOf(at)), "make a new quote", nil
	case !sold:
		return plan.NotSold, fmt.Sprintf("%s has no price for %s", c.vendor.Name, key), "offer another product", nil
	}
	product := c.vendorProducts[key]
	if reason, detail, next := c.priceInTheWay(line, product); reason != "" {
		return reason, detail, next, nil
	}
	if reason, detail, next := c.inTheWay(g, key, c.flow.Contracts.of(product)); reason != "" {
		return reason, detail, next, nil
	}
	for _, sub := range g.subs {
		made, told := sub.Fields["created"].Time()
		_, ours := c.quoted[flightKey("", sub.tenant, sub.ID)]
		if !ours && !sub.gone && told && !made.Before(at) && sub.Text("product") == key {
			return plan.OrderedAlready, fmt.Sprintf("subscription %s, %s seats, was bought on %s; the quote was accepted on %s", sub.ID, sub.Text("quantity"), made.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339)),
				"if that is this order, take the line off the quote; if not, order it at the vendor by hand", nil
		}
	}
	if c.offline {
		return plan.NotChecked, "nothing was asked, because the plan is made from what was read before", "plan without --offline", nil
	}
	values := model.Fields{}
	for _, f := range order.Fields {
		values[f.Field] = f.To
	}
	err = c.vendor.CheckCreate(ctx, model.KindSubscription, g.tenants[0].ID, values)
	switch {
	case ctx.Err() != nil:
		return "", "", "", context.Cause(ctx)
	case err != nil:
		said := apply.Answer(err)
		return reasonOf(err), said.Message, cmp.Or(said.Hint, "settle that; it is asked again in the next run"), nil
	case c.flow.Quotes.Approve != ApproveGuards:
		return plan.OrderApproval, fmt.Sprintf("%s seats at %s a month each, billed at %s", seats, shownMoney(product.Fields["unit_cost"]), shownMoney(price)), "check it, then release it for this plan with trueup approve", nil
	}
	return "", "", "", nil
}

// reasonOf is the word for what stands in the way of an order.
func reasonOf(err error) plan.Reason {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		switch e.Code {
		case connectors.CodeAgreement:
			return plan.AgreementMissing
		case connectors.CodeContact:
			return plan.ContactMissing
		case connectors.CodeUnavailable:
			return plan.NotSold
		case connectors.CodeQuantity:
			return plan.SoldOtherwise
		}
	}
	return plan.NotChecked
}

func shownMoney(v model.Value) string {
	if m, ok := v.Money(); ok {
		return m.Display()
	}
	return v.String()
}

// priceInTheWay compares what the vendor asks now with what the quote reckons with. A lower price is nobody's trouble.
func (c *creations) priceInTheWay(line, product model.Record) (reason plan.Reason, detail, next string) {
	now, priced := product.Fields["unit_cost"].Money()
	then, reckoned := line.Fields["unit_cost"].Money()
	billed := line.Fields["unit_price"]
	switch {
	case !priced:
		return plan.NoPrice, fmt.Sprintf("%s lists no price for %s", c.vendor.Name, product.Text("key")), "wait for the price list, or order it at the vendor by hand"
	case costsButBillsNothing(product.Fields["unit_cost"], billed):
		return plan.DoubtfulPrice, fmt.Sprintf("a seat costs %s and the quote sells it for nothing", now.Display()), "correct the price on the quote"
	case !reckoned:
		return plan.QuoteIncomplete, "the quote says no cost with which the price of today could be compared", "give the line its cost on the quote: " + now.Display()
	}
	// The quote keeps as many decimals as the PSA does.
	if kept, ok := c.psa.Canonical(model.KindQuoteLine, "unit_cost", product.Fields["unit_cost"]).Money(); ok {
		now = kept
	}
	limit := then.Amount().Mul(decimal.NewFromInt(int64(100 + c.flow.Quotes.Tolerance))).Div(decimal.NewFromInt(100))
	if now.Currency() == then.Currency() && now.Amount().LessThanOrEqual(limit) {
		return "", "", ""
	}
	return plan.PriceMoved, fmt.Sprintf("a seat and month costs %s now, and the quote reckons with %s; it may have risen by %d%%", now.Display(), then.Display(), c.flow.Quotes.Tolerance),
		"make a new quote, or write the cost of today on its line if that is all right"
}

// lineOfOrder plans the contract line of an order, in the same plan, and returns its change.
func (c *creations) lineOfOrder(g *group, quoted model.Record, order plan.Change, key string, product model.Record, p *plan.Plan) string {
	change := plan.Change{Op: plan.OpCreate, Side: plan.PSA, Account: c.psa.Name, Target: plan.Ref{Kind: model.KindLine}, Label: order.Label, Customer: g.label,
		Pair: plan.PairRef{Kind: model.KindLine, How: howCreated, VendorAccount: c.vendor.Name, PSAAccount: c.psa.Name, Vendor: order.Target, PSA: plan.Ref{Kind: model.KindLine}},
		Refs: map[string]string{"subscription": order.ID}, After: []string{order.ID}, Reason: plan.QuoteAccepted}
	change.ID = plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindLine), "quote", quoted.ID)
	set := func(field string, v model.Value) {
		if v.Known() && !v.Blank() {
			change.Fields = append(change.Fields, plan.FieldChange{Field: field, To: v, Reason: plan.QuoteAccepted})
		}
	}
	description := quoted.Fields["name"]
	if rule, ruled := c.flow.Lines.Fields["description"]; ruled && rule.Owner != plan.OwnerPSA {
		values := model.Fields{}
		for _, f := range order.Fields {
			values[f.Field] = f.To
		}
		description = c.vendor.AsMade(model.KindSubscription, "name", values) // what the vendor will call it
	}
	for _, f := range []struct {
		field string
		value model.Value
	}{{"quantity", quoted.Fields["quantity"]}, {"unit_cost", product.Fields["unit_cost"]}, {"unit_price", quoted.Fields["unit_price"]}, {"description", description}, {"start", model.DayValue(c.today)}} {
		set(f.field, f.value)
	}
	seats, _ := quoted.Fields["quantity"].Quantity()
	price, _ := quoted.Fields["unit_price"].Money()
	change.Effect = plan.Effect{Bill: price.Times(seats)}
	c.product(key, product, set, &change, p)
	c.contract(g, c.flow.Contracts.of(product), set, &change, p)
	p.Changes = append(p.Changes, change)
	return change.ID
}

// orderedBefore looks at a line that was ordered: what is still to be done for it, and whether somebody changed the quote since.
func (c *creations) orderedBefore(g *group, q quote, line model.Record, o orderedLine, pairs []pairing, p *plan.Plan, note *noteOf) {
	if at, ok := q.Fields["accepted_at"].Time(); ok && at.After(o.link.Created) {
		p.Findings = append(p.Findings, c.quoteFinding(g, o, plan.QuoteAgain, fmt.Sprintf("accepted again on %s; ", at.UTC().Format(time.RFC3339)), "make another quote for what is wanted beside it"))
	}
	if now := line.Fields["quantity"]; o.quantity.Known() && now != o.quantity {
		p.Findings = append(p.Findings, c.quoteFinding(g, o, plan.QuoteChanged, fmt.Sprintf("it says %s seats now; ", now), "change the seats on the contract line instead"))
	}
	id := o.link.Vendor.ID
	for _, pair := range pairs {
		if pair.sub.ID == id {
			note.add(o.quantity, o.link.Label)
			return
		}
	}
	planned := plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindLine), o.link.Vendor.Parent, id)
	if slices.ContainsFunc(p.Changes, func(change plan.Change) bool { return change.ID == planned }) {
		note.add(o.quantity, o.link.Label, planned)
	}
}

func (c *creations) quoteFinding(g *group, o orderedLine, kind plan.Reason, detail, next string) plan.Finding {
	return plan.Finding{Key: plan.ChangeID(string(kind), o.link.ID), Kind: kind, Customer: g.label, Title: fmt.Sprintf("%s: %s", o.link.Label, kind.Sentence()),
		Detail: fmt.Sprintf("%s%s seats were ordered on %s as subscription %s (quote %s, line %s)", detail, o.quantity, o.link.Created.UTC().Format(time.RFC3339), o.link.Vendor.ID, o.line.Text("quote"), o.link.PSA.ID),
		Next:   next}
}

// tellQuote plans the note on a quote, where there is a field for it.
func (c *creations) tellQuote(g *group, note noteOf, p *plan.Plan) {
	now := note.Fields["result"]
	if len(note.said) == 0 || !now.Known() || !c.psa.Writable(model.KindQuote, "result") || c.inFlight[flightKey(c.psa.Name, "", note.ID)] {
		return
	}
	to := model.Text("Ordered: " + strings.Join(note.said, "; "))
	if now == to || now == c.psa.Canonical(model.KindQuote, "result", to) {
		return
	}
	target := plan.Ref{Kind: model.KindQuote, ID: note.ID}
	p.Changes = append(p.Changes, plan.Change{ID: plan.ChangeID(c.flow.Name, string(plan.PSA), string(plan.OpChange), string(model.KindQuote), note.ID), Op: plan.OpChange, Side: plan.PSA,
		Account: c.psa.Name, Target: target, Label: "quote " + note.ID + ", " + note.Text("name"), Customer: g.label, After: note.after, Reason: plan.QuoteResult,
		Fields: []plan.FieldChange{{Field: "result", From: now, To: to, Reason: plan.QuoteResult}}})
}

// quotesAlone holds what is quoted to customers whom nothing links.
func (c *creations) quotesAlone(groups []*group) {
	linked := map[string]bool{}
	for _, g := range groups {
		linked[g.psa.ID] = true
	}
	for _, customer := range slices.Sorted(maps.Keys(c.world.quotes)) {
		if linked[customer] {
			continue
		}
		g := &group{psa: c.psaByID[customer], label: c.label(customer)}
		for _, q := range c.world.quotes[customer] {
			for _, line := range q.lines {
				key := c.psaProductByID[line.Text("product")].Text("key")
				if product, sold := c.vendorProducts[key]; sold && !line.Fields["dropped"].True() {
					c.plan.Held = append(c.plan.Held, plan.Held{Change: c.order(g, q, line, key, product), Reason: plan.QuoteCustomer,
						Detail: fmt.Sprintf("company %s of quote %s has no customer at %s", customer, q.ID, c.vendor.Name), Next: fmt.Sprintf("link them: trueup links add %s CUSTOMER_ID %s", c.flow.Name, customer)})
				}
			}
		}
	}
}

// onQuote reports that a link is of a line of the quote with an id.
func (e *Engine) onQuote(ctx context.Context, l state.Link, id string) bool {
	account, err := e.account(l.PSA.Account)
	if err != nil {
		return false
	}
	stored, ok, err := e.Store.Record(ctx, account.Name, connectors.Ref{Kind: l.PSA.Kind, Parent: l.PSA.Parent, ID: l.PSA.ID})
	if err != nil || !ok {
		return false
	}
	line, _, _ := account.Mapping.ToModel(model.KindQuoteLine, stored.Record)
	return line.Text("quote") == id
}

// takenBack tells until when an order can be taken back, for who undoes a run.
func (e *Engine) takenBack(ctx context.Context, w *world, d done, r *plan.Reversal) error {
	stored, ok, err := e.Store.Record(ctx, d.Account, d.entry.Ref)
	if err != nil || !ok {
		return err
	}
	sub, _, _ := w.vendor.Mapping.ToModel(model.KindSubscription, stored.Record)
	if until, open := sub.Fields["cancel_until"].Time(); open && until.After(w.now) {
		r.Until = until
	}
	r.TermEnd, _ = sub.Fields["term_end"].Day()
	return nil
}
