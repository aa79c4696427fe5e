package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// newAtOnce is how many new customers one plan prepares: the vendor is asked about each, in every plan.
const newAtOnce = 20

// planNewAtVendor plans a customer at the vendor for each company that is chosen and linked with none: by the flow's rule, or by a person.
// A new tenant cannot be taken back, so each waits for approval; and what looks like something that exists is never made. It returns the
// companies that were dealt with.
func (e *Engine) planNewAtVendor(ctx context.Context, w *world, groups []*group, total *plan.Plan) (map[string]bool, error) {
	linked, dealt := map[string]bool{}, map[string]bool{}
	names := map[string][]string{} // linked companies by their plain name
	asked := 0
	for _, g := range groups {
		linked[g.psa.ID] = true
		for _, name := range plainName(g.psa.Text("name")) {
			names[name] = append(names[name], g.psa.ID)
		}
	}
	for _, company := range w.psaCustomers {
		wish, wanted := w.wishes[company.ID]
		if linked[company.ID] || !wanted && !w.chosen(company) {
			continue
		}
		if ctx.Err() != nil {
			return dealt, context.Cause(ctx)
		}
		dealt[company.ID] = true
		create, keep := w.newAtVendor(company, wish.Domain)
		hold := func(reason plan.Reason, detail, next string) {
			total.Held = append(total.Held, plan.Held{Change: create, Reason: reason, Detail: detail, Next: next})
		}
		kind, _ := w.vendor.NativeKind(model.KindCustomer)
		twin, hint := w.twin(company, names)
		switch {
		case w.inFlight[apply.LinkID(w.flow.Name, create.Pair)]:
			hold(plan.InFlight, "creating this customer was interrupted and its outcome has not been seen", "it is looked for before the next run")
		case !w.vendor.complete(kind.Name, ""):
			hold(plan.Incomplete, "the customers of "+w.vendor.Name+" were not all read, so it may be one already", "find out why the read was incomplete (trueup status), then run again")
		case !w.vendor.Can(model.KindCustomer, creating):
			hold(plan.NotEditable, w.vendor.Name+" does not let customers be created", "create it at the vendor and link it")
		case twin != "":
			hold(plan.TwinExists, twin, hint)
		case asked == newAtOnce:
			hold(plan.NotCreatable, fmt.Sprintf("%d new customers are prepared in this plan already", newAtOnce), "approve or settle those; the others follow")
		default:
			asked++
			reason, detail, next := e.checkCreate(ctx, w, create)
			if reason != "" {
				hold(reason, detail, next)
				continue
			}
			total.Changes = append(total.Changes, create, keep)
		}
	}
	return dealt, nil
}

// chosen reports a company that the flow's rule makes a customer.
func (w *world) chosen(company model.Record) bool {
	rules := w.flow.Customers
	in := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(word string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, word) })
		})
	}
	return rules.MissingVendor == MissingCreate && active(company) && in(rules.NewTypes, company.Fields["types"].Items()...) && in(rules.NewStatuses, company.Text("status"))
}

// newAtVendor is the customer of a company, and the id written back onto the company once it is there.
func (w *world) newAtVendor(company model.Record, domain string) (create, keep plan.Change) {
	label := w.label(company.ID)
	pair := plan.PairRef{Kind: model.KindCustomer, How: howCreated, VendorAccount: w.vendor.Name, Vendor: plan.Ref{Kind: model.KindCustomer},
		PSAAccount: w.psa.Name, PSA: plan.Ref{Kind: model.KindCustomer, ID: company.ID}}
	create = plan.Change{ID: plan.ChangeID(w.flow.Name, string(plan.Vendor), string(plan.OpCreate), string(model.KindCustomer), company.ID), Op: plan.OpCreate,
		Side: plan.Vendor, Account: w.vendor.Name, Target: plan.Ref{Kind: model.KindCustomer}, Label: "customer " + label, Customer: label, Pair: pair, Reason: plan.NewInPSA}
	values := company.Fields.Clone()
	person := w.people.main[company.ID]
	for field, of := range map[string]string{"contact_first_name": "first_name", "contact_last_name": "last_name", "email": "email", "phone": "phone"} {
		if v := person.Fields[of]; values[field].Blank() && !v.Blank() {
			values[field] = v
		}
	}
	if domain == "" {
		domain = values["tenant_domain"].String()
	}
	if domain == "" {
		domain = domainOf(company)
	}
	values["tenant_domain"] = model.Text(strings.ToLower(domain))
	if values["billing_name"].Blank() {
		values["billing_name"] = values["name"]
	}
	table, _ := model.TableOf(model.KindCustomer)
	for _, field := range table.Names() {
		if v := values[field]; !v.Blank() && w.vendor.Mapping.Creates(model.KindCustomer, field) {
			create.Fields = append(create.Fields, plan.FieldChange{Field: field, To: v, Reason: plan.NewInPSA})
		}
	}
	keep = plan.Change{Op: plan.OpChange, Side: plan.PSA, Account: w.psa.Name, Target: plan.Ref{Kind: model.KindCustomer, ID: company.ID}, Label: create.Label, Customer: label,
		Fields: []plan.FieldChange{{Field: "tenant_ids", From: company.Fields["tenant_ids"], To: model.Empty(model.TypeList), Reason: plan.KeepID}},
		Refs:   map[string]string{"tenant_ids": create.ID}, After: []string{create.ID}, Reason: plan.KeepID}
	keep.ID = plan.ChangeID(w.flow.Name, string(keep.Side), string(keep.Op), string(model.KindCustomer), "", company.ID)
	return create, keep
}

// domainOf proposes the name of a tenant: the first part of the company's own domain, else the letters and digits of its name.
func domainOf(company model.Record) string {
	text := strings.Join(plainName(company.Text("name")), "")
	for _, domain := range company.Fields["domains"].Items() {
		if !sharedDomain(domain) {
			text, _, _ = strings.Cut(strings.TrimPrefix(strings.ToLower(domain), "www."), ".")
			break
		}
	}
	const longest = 27
	name := []rune{}
	for _, r := range strings.ToLower(text) {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) && len(name) < longest {
			name = append(name, r)
		}
	}
	return string(name)
}

// twin finds what a company has in common with a customer of the vendor, or with a linked company: then it is not new.
func (w *world) twin(company model.Record, linkedNames map[string][]string) (detail, next string) {
	for _, m := range matches {
		mine := m.texts(company)
		for _, tenant := range w.vendorCustomers {
			theirs := m.texts(tenant)
			if slices.ContainsFunc(mine, func(text string) bool { return slices.Contains(theirs, text) }) {
				return fmt.Sprintf("customer %q (%s) of %s has the same %s", tenant.Text("name"), tenant.ID, w.vendor.Name, m.how),
					fmt.Sprintf("if they are the same: trueup links add %s %s %s; if not, make them differ", w.flow.Name, tenant.ID, company.ID)
			}
		}
	}
	for _, name := range plainName(company.Text("name")) {
		if others := linkedNames[name]; len(others) > 0 {
			return fmt.Sprintf("company %s has the same name and is linked with a customer already", w.names(others)), "merge the two companies in the PSA, or give one of them another name"
		}
	}
	return "", ""
}

// checkCreate asks the vendor what stands in the way. Offline nothing is asked; the vendor is asked again before anything is made.
func (e *Engine) checkCreate(ctx context.Context, w *world, create plan.Change) (reason plan.Reason, detail, next string) {
	values := model.Fields{}
	for _, f := range create.Fields {
		values[f.Field] = f.To
	}
	native, err := w.vendor.Mapping.NativeCreate(model.KindCustomer, values)
	if err != nil {
		return plan.NotCreatable, err.Error(), "fill it in on the company in the PSA"
	}
	checker, ok := w.vendor.Connector.(connectors.CreateChecker)
	if !ok || w.offline {
		return "", "", ""
	}
	kind, _ := w.vendor.NativeKind(model.KindCustomer)
	err = checker.CheckCreate(ctx, connectors.CreateRequest{Kind: kind.Name, Fields: native})
	switch connectors.ClassOf(err) {
	case "":
		return "", "", ""
	case connectors.ClassInvalid:
		said := apply.Answer(err)
		return plan.NotCreatable, said.Message, said.Hint
	}
	return plan.NotCreatable, "it could not be checked: " + apply.Answer(err).Message, "it is checked again in the next run"
}

// companiesAlone are PSA companies with a contract of the flow's type and no vendor customer.
func (w *world) companiesAlone(groups []*group, planned map[string]bool) []plan.Finding {
	if w.flow.Customers.MissingVendor != MissingPropose && w.flow.Customers.MissingVendor != MissingCreate {
		return nil
	}
	linked := map[string]bool{}
	for _, g := range groups {
		linked[g.psa.ID] = true
	}
	var findings []plan.Finding
	for _, company := range w.psaCustomers {
		if linked[company.ID] || planned[company.ID] || len(w.contracts[company.ID]) == 0 {
			continue
		}
		findings = append(findings, plan.Finding{Key: plan.ChangeID("company", w.flow.Name, company.ID), Kind: plan.UnmatchedCustomer, Customer: w.label(company.ID),
			Title:  fmt.Sprintf("%s company %q has a contract of type %q and no customer at %s", w.psa.Name, company.Text("name"), w.contracts[company.ID][0].Text("type"), w.vendor.Name),
			Detail: "contract " + ids(w.contracts[company.ID]),
			Next: fmt.Sprintf("end the contract, link it (trueup links add %s CUSTOMER_ID %s), or make it a customer (trueup customers add %s %s)",
				w.flow.Name, company.ID, w.flow.Name, company.ID)})
	}
	return findings
}
