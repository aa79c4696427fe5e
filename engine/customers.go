package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// people are the contacts that matter: each company's main one, and those that are linked.
type people struct {
	main    map[string]model.Record // by PSA customer
	any     map[string]bool         // PSA customers that have a contact, main or not
	byID    map[string]model.Record // the linked ones
	vendor  map[string]model.Record // the person that the vendor knows, by vendor customer
	links   map[string]state.Link   // by vendor customer
	reading bool                    // contacts are read at all
}

// followsCustomers reports that the flow keeps something of customers current besides their links.
func (f Flow) followsCustomers() bool {
	return len(f.Customers.Fields) > 0 || f.Customers.Contact != nil
}

// wantsPeople reports that the flow follows contacts, or may make customers, which need one.
func (e *Engine) wantsPeople(ctx context.Context, flow Flow) (bool, error) {
	c := flow.Customers
	if c.Contact != nil || c.MissingPSA == MissingCreate || c.MissingVendor == MissingCreate {
		return true, nil
	}
	wishes, err := e.Store.Wishes(ctx, flow.Name)
	return len(wishes) > 0, err
}

// loadPeople reads the stored contacts.
func (e *Engine) loadPeople(ctx context.Context, w *world) error {
	p := people{main: map[string]model.Record{}, any: map[string]bool{}, byID: map[string]model.Record{}, vendor: map[string]model.Record{}, links: map[string]state.Link{}}
	var err error
	if p.reading, err = e.wantsPeople(ctx, w.flow); err != nil || !p.reading {
		w.people = p
		return err
	}
	linked := map[string]bool{}
	err = e.Store.Links(ctx, w.flow.Name, model.KindContact, func(l state.Link) error {
		p.links[l.Vendor.ID], linked[l.PSA.ID] = l, true
		return nil
	})
	if err != nil {
		return err
	}
	err = e.eachRecord(ctx, w, w.psa, model.KindContact, nil, func(r model.Record, _ state.Stored) {
		company := r.Text("customer")
		if company == "" {
			return
		}
		p.any[company] = true
		if linked[r.ID] {
			p.byID[r.ID] = r
		}
		if _, there := p.main[company]; !there && r.Fields["primary"].True() {
			p.main[company] = r
		}
	})
	if err != nil {
		return err
	}
	err = e.eachRecord(ctx, w, w.vendor, model.KindContact, nil, func(r model.Record, _ state.Stored) { p.vendor[r.ID] = r })
	w.people = p
	return err
}

// customerMemories reads what is remembered of a group's links of customers and contacts.
func (e *Engine) customerMemories(ctx context.Context, w *world, g *group) (map[string]state.Memory, error) {
	var ids []string
	for _, id := range g.links {
		ids = append(ids, id)
	}
	for _, tenant := range g.tenants {
		if l, ok := w.people.links[tenant.ID]; ok {
			ids = append(ids, l.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return e.Store.Snapshots(ctx, ids)
}

// customerPairs compares the customers' own fields. The vendor ids that the company keeps are one set for all its tenants, so the first
// tenant's pair carries them, and whatever else the vendor owns: of two tenants only one can say what the company holds.
func (w *world) customerPairs(g *group, memories map[string]state.Memory) []plan.Pair {
	kind, _ := w.vendor.NativeKind(model.KindCustomer)
	psaKind, _ := w.psa.NativeKind(model.KindCustomer)
	ids := g.psa.Fields["tenant_ids"].Items()
	for _, tenant := range g.tenants {
		if !slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(id, tenant.ID) }) {
			ids = append(ids, tenant.ID)
		}
	}
	var pairs []plan.Pair
	for i, tenant := range g.tenants {
		rules := map[string]plan.FieldRule{}
		now, psaNow := model.Fields{}, model.Fields{}
		for field, rule := range w.flow.Customers.Fields {
			if i > 0 && rule.Owner != plan.OwnerPSA {
				continue
			}
			v, here := tenant.Fields[field], g.psa.Fields[field]
			if field == "name" && rule.Owner == plan.OwnerPSA && !w.vendor.Writable(model.KindCustomer, field) {
				// The vendor's own name of a customer is fixed; what can follow is the name on its bills.
				field, v = "billing_name", tenant.Fields["billing_name"]
			}
			if w.mayNotEmpty(rule, model.KindCustomer, field, v, here) {
				continue
			}
			rules[field] = rule
			if v.Known() {
				now[field] = v
			}
			if here.Known() {
				psaNow[field] = here
			}
		}
		if i == 0 {
			rules["tenant_ids"] = plan.FieldRule{Owner: plan.OwnerVendor, Keep: true}
			now["tenant_ids"], psaNow["tenant_ids"] = model.List(ids...), g.psa.Fields["tenant_ids"]
		}
		memory := memories[g.links[tenant.ID]]
		p := plan.Pair{
			Ref: plan.PairRef{Kind: model.KindCustomer, Link: g.links[tenant.ID], How: g.how[tenant.ID],
				VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindCustomer, ID: tenant.ID},
				PSAAccount: w.psa.Name, PSA: plan.Ref{Kind: model.KindCustomer, ID: g.psa.ID}},
			Label: "customer " + tenant.Text("name"), Customer: g.label, Rules: rules,
			Vendor:   plan.End{Account: w.vendor.Name, Now: now, Memory: memory.Vendor.Fields, Writable: writable(w.vendor.Account, model.KindCustomer, rules)},
			PSA:      plan.End{Account: w.psa.Name, Now: psaNow, Memory: memory.PSA.Fields, Writable: writable(w.psa.Account, model.KindCustomer, rules)},
			Complete: w.vendor.complete(kind.Name, "") && w.psa.complete(psaKind.Name, ""),
		}
		p.InFlight = w.flying(p.Ref)
		w.seenAs(&p, model.KindCustomer)
		pairs = append(pairs, p)
	}
	return pairs
}

// mayNotEmpty reports a field whose owner holds nothing where the other side cannot be without a value.
func (w *world) mayNotEmpty(rule plan.FieldRule, noun model.Kind, field string, vendor, psa model.Value) bool {
	switch rule.Owner {
	case plan.OwnerPSA:
		return psa.Blank() && w.vendor.Required(noun, field)
	case plan.OwnerVendor:
		return vendor.Blank() && w.psa.Required(noun, field)
	}
	return false
}

// seenAs fills in what each side's values look like on the other. At the first meeting spellings of the same name, address or number are
// the same: nobody edited anything. Later an owner's new spelling follows like any other edit.
func (w *world) seenAs(p *plan.Pair, noun model.Kind) {
	p.Vendor.AsOther = canonical(w.psa.Account, noun, p.Vendor.Now, p.PSA.Now)
	p.PSA.AsOther = canonical(w.vendor.Account, noun, p.PSA.Now, p.Vendor.Now)
	for field, v := range p.Vendor.Now {
		if here := p.PSA.Now[field]; v.Type() == model.TypeText && !p.Vendor.Memory[field].Known() && spelled(field, v.String()) == spelled(field, here.String()) {
			p.Vendor.AsOther[field] = here
		}
	}
}

// spelled is a text without what differs between two spellings of the same.
func spelled(field, s string) string {
	switch field {
	case "name", "billing_name":
		return strings.Join(plainName(s), "")
	case "phone":
		return strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return r
			}
			return -1
		}, s)
	case "postal_code":
		return strings.ToLower(strings.Join(strings.Fields(s), ""))
	}
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// contactPairs compares the person that the vendor knows of a customer with the company's main contact. Where the vendor owns it, it is the
// contact that was linked: somebody who becomes the main contact is not renamed.
func (w *world) contactPairs(g *group, memories map[string]state.Memory, p *plan.Plan) []plan.Pair {
	rule := w.flow.Customers.Contact
	if rule == nil || !w.people.reading {
		return nil
	}
	kind, _ := w.psa.NativeKind(model.KindContact)
	vendorKind, _ := w.vendor.NativeKind(model.KindCustomer)
	var pairs []plan.Pair
	for i, tenant := range g.tenants {
		there, known := w.people.vendor[tenant.ID]
		if !known || i > 0 && rule.Owner != plan.OwnerPSA {
			continue
		}
		link := w.people.links[tenant.ID]
		person, found := w.people.main[g.psa.ID]
		if kept, ok := w.people.byID[link.PSA.ID]; ok && rule.Owner != plan.OwnerPSA && kept.Text("customer") == g.psa.ID {
			person, found = kept, true
		}
		if !found {
			if w.psa.complete(kind.Name, "") && (w.people.any[g.psa.ID] || rule.Owner == plan.OwnerPSA) {
				p.Findings = append(p.Findings, plan.Finding{Key: plan.ChangeID("contact", w.flow.Name, g.psa.ID), Kind: plan.NoContactPerson, Customer: g.label,
					Title:  fmt.Sprintf("%s company %q: %s", w.psa.Name, g.psa.Text("name"), plan.NoContactPerson.Sentence()),
					Detail: fmt.Sprintf("%s knows %s", w.vendor.Name, personOf(there)), Next: "mark one contact of the company as its default"})
			}
			continue
		}
		rules, now, psaNow := map[string]plan.FieldRule{}, model.Fields{}, model.Fields{}
		for _, field := range ContactFields {
			v, here := there.Fields[field], person.Fields[field]
			if !v.Known() || !here.Known() || w.mayNotEmpty(*rule, model.KindContact, field, v, here) {
				continue
			}
			rules[field], now[field], psaNow[field] = *rule, v, here
		}
		memory := memories[link.ID]
		pair := plan.Pair{
			Ref: plan.PairRef{Kind: model.KindContact, Link: link.ID, How: howMain,
				VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindContact, ID: tenant.ID},
				PSAAccount: w.psa.Name, PSA: plan.Ref{Kind: model.KindContact, ID: person.ID}},
			Label: "contact of " + tenant.Text("name"), Customer: g.label, Rules: rules,
			Vendor:   plan.End{Account: w.vendor.Name, Now: now, Memory: memory.Vendor.Fields, Writable: writable(w.vendor.Account, model.KindContact, rules)},
			PSA:      plan.End{Account: w.psa.Name, Now: psaNow, Memory: memory.PSA.Fields, Writable: writable(w.psa.Account, model.KindContact, rules)},
			Complete: w.vendor.complete(vendorKind.Name, "") && w.psa.complete(kind.Name, ""),
		}
		if link.PSA.ID != "" && link.PSA.ID != person.ID {
			pair.Ref.Link = "" // the link moves to the new main contact
		}
		pair.InFlight = w.flying(pair.Ref)
		w.seenAs(&pair, model.KindContact)
		pairs = append(pairs, pair)
	}
	return pairs
}

func personOf(r model.Record) string {
	name := strings.TrimSpace(r.Text("first_name") + " " + r.Text("last_name"))
	if mail := r.Text("email"); mail != "" {
		name = strings.TrimSpace(name + " <" + mail + ">")
	}
	if name == "" {
		return "nobody"
	}
	return name
}

// moved finds where a linked company went that is gone: to the one company on whose contracts its lines stand now, as when two
// companies were merged in the PSA.
func (e *Engine) moved(ctx context.Context, w *world, tenant string) (string, error) {
	owners := map[string]bool{}
	err := e.Store.LinksWithMemory(ctx, w.flow.Name, model.KindLine, tenant, func(l state.Link, _ state.Memory) error {
		if owner := w.contractOwner[l.PSA.Parent]; owner != "" {
			owners[owner] = true
		}
		return nil
	})
	if err != nil || len(owners) != 1 {
		return "", err
	}
	owner := slices.Collect(maps.Keys(owners))[0]
	if _, there := w.psaByID[owner]; !there {
		return "", nil
	}
	return owner, nil
}

// companyMoved tells that a link follows a company into another one.
func (w *world) companyMoved(tenant model.Record, from, to string) plan.Finding {
	return plan.Finding{Key: plan.ChangeID("moved", w.flow.Name, tenant.ID), Kind: plan.CompanyMoved, Customer: w.label(to),
		Title:  fmt.Sprintf("%s customer %q: %s", w.vendor.Name, tenant.Text("name"), plan.CompanyMoved.Sentence()),
		Detail: fmt.Sprintf("it was linked with company %s and is linked with %s now", from, w.names([]string{to})),
		Next:   "nothing, if the two were merged; else trueup links forget, and link it by hand"}
}

// contact plans the person of a company that has none, when the vendor knows one. It returns the change, "" when there is none to make.
func (c *creations) contact(g *group, p *plan.Plan) string {
	if !c.people.reading || len(g.tenants) == 0 || !c.psa.Can(model.KindContact, creating) || g.created == "" && c.people.any[g.psa.ID] {
		return ""
	}
	kind, _ := c.psa.NativeKind(model.KindContact)
	there, known := c.people.vendor[g.tenants[0].ID]
	id := plan.ChangeID(c.flow.Name, string(plan.OpCreate), string(model.KindContact), g.tenants[0].ID)
	if c.planned[id] {
		return id
	}
	if !known || !c.psa.complete(kind.Name, "") {
		return ""
	}
	values := model.Fields{}
	for _, field := range ContactFields {
		if v := there.Fields[field]; !v.Blank() {
			values[field] = v
		}
	}
	if _, named := values["first_name"]; !named {
		mailbox, _, _ := strings.Cut(there.Text("email"), "@")
		if name := strings.TrimSpace(values["last_name"].String()); name != "" {
			mailbox = name
			delete(values, "last_name")
		}
		if mailbox == "" {
			return "" // the vendor knows nobody
		}
		values["first_name"] = model.Text(mailbox)
	}
	values["primary"] = model.Bool(true)
	create := plan.Change{ID: id, Op: plan.OpCreate, Side: plan.PSA, Account: c.psa.Name, Target: plan.Ref{Kind: model.KindContact},
		Label: "contact " + personOf(model.Record{Fields: values}), Customer: g.label, Reason: plan.NewAtVendor, Pair: plan.PairRef{Kind: model.KindContact, How: howCreated,
			VendorAccount: c.vendor.Name, Vendor: plan.Ref{Kind: model.KindContact, ID: g.tenants[0].ID}, PSAAccount: c.psa.Name, PSA: plan.Ref{Kind: model.KindContact}}}
	if g.created != "" {
		create.Refs, create.After = map[string]string{"customer": g.created}, []string{g.created}
	} else {
		values["customer"] = model.Text(g.psa.ID)
	}
	for _, field := range slices.Sorted(maps.Keys(values)) {
		create.Fields = append(create.Fields, plan.FieldChange{Field: field, To: values[field], Reason: plan.NewAtVendor})
	}
	if c.inFlight[apply.LinkID(c.flow.Name, create.Pair)] {
		p.Held = append(p.Held, plan.Held{Change: create, Reason: plan.InFlight, Detail: "creating this contact was interrupted and its outcome has not been seen", Next: "it is looked for before the next run"})
	} else {
		p.Changes = append(p.Changes, create)
	}
	c.planned[id] = true
	return id
}
