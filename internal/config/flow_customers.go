package config

import (
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// What customers.fields may name besides single fields: things that make sense only as a whole, and follow one owner.
const (
	fieldAddress = "billing_address"
	fieldContact = "primary_contact"
	fieldName    = "name"
)

var addressFields = []string{"address_line1", "address_line2", "city", "region", "postal_code", "country"}

func readCustomers(n *strictyaml.Node) engine.CustomerRules {
	m := n.Map()
	rules := engine.CustomerRules{Match: readMatch(m.Get("match"), "customers", engine.MatchNames())}
	missing := m.Get("missing").Map()
	vendor := missing.Get("vendor")
	rules.MissingPSA, rules.MissingVendor = readMissing(missing.Get("psa")), readMissing(vendor)
	missing.Close()
	readNewCustomers(&rules, m.Get("new"), vendor)
	readCustomerFields(&rules, m.Get("fields"))
	m.Close()
	return rules
}

// readNewCustomers reads which companies become customers at the vendor. A rule that takes every company is refused: a tenant cannot be
// taken back.
func readNewCustomers(rules *engine.CustomerRules, n, vendor *strictyaml.Node) {
	m := n.Map()
	rules.NewTypes, rules.NewStatuses = readNames(m.Get("types")), readNames(m.Get("statuses"))
	m.Close()
	switch creates := rules.MissingVendor == engine.MissingCreate; {
	case creates && len(rules.NewTypes) == 0:
		vendor.Complain("add new: {types: [...]} with the company types that become customers, or write propose and name each company with trueup customers add",
			"missing: {vendor: create} would make a customer of every company")
	case !creates && n.Present():
		n.Complain("write missing: {vendor: create}, or remove the line", "new says which companies become customers at the vendor, and none do")
	}
}

func readNames(n *strictyaml.Node) []string {
	var names []string
	for _, item := range n.List() {
		name := strings.TrimSpace(item.Text())
		if name == "" && item.IsScalar() {
			item.Complain("write the name as the PSA shows it", "the name is empty")
			continue
		}
		names = append(names, name)
	}
	return names
}

// readCustomerFields reads single fields, and the wholes that stand for several.
func readCustomerFields(rules *engine.CustomerRules, n *strictyaml.Node) {
	table, _ := model.TableOf(model.KindCustomer)
	wholes := []string{fieldAddress, fieldContact}
	rules.Fields = readFields(n, table, append(table.Names(), wholes...))
	n.Map().Each(func(key, value *strictyaml.Node) {
		name := key.Text()
		if rules.Fields[name].Owner != plan.OwnerBoth || !slices.Contains(append(wholes, fieldName), name) {
			return
		}
		value.Complain("write owner: vendor or owner: psa", "%s cannot belong to both sides: an address or a person of which each side gave a part would be nobody's", name)
	})
	if rule, ok := rules.Fields[fieldContact]; ok {
		rules.Contact = &rule
		delete(rules.Fields, fieldContact)
	}
	if rule, ok := rules.Fields[fieldAddress]; ok {
		delete(rules.Fields, fieldAddress)
		for _, field := range addressFields {
			if _, alone := rules.Fields[field]; !alone { // a field that is named itself keeps its own rule
				rules.Fields[field] = rule
			}
		}
	}
}

func (l *loader) readContracts(f *flowFile, n *strictyaml.Node) {
	m := n.Map()
	t := m.Need("type")
	f.Contracts.Type = strings.TrimSpace(t.Text())
	if t.IsScalar() && f.Contracts.Type == "" {
		t.Complain("write the name of a contract type as the PSA shows it", "the contract type is empty")
	}
	per, terms := m.Get("per"), m.Get("terms")
	word := per.Text()
	f.Contracts.Terms = readContractTerms(terms)
	switch {
	case per.IsScalar() && word != "customer" && word != "term":
		per.Complain("write per: customer or per: term, or remove the line", "contracts per %q are not offered by this trueup", word)
	case word == "term" && !terms.Present():
		per.Complain("add terms: [{term: P1M, type: ...}]", "contracts per term need to know which term goes where")
	case word != "term" && terms.Present():
		terms.Complain("write per: term, or remove them", "terms are for contracts per term")
	}
	f.Contracts.MissingPSA = readMissingPSA(m)
	m.Close()
}

// readContractTerms reads the templates: which contract the lines of a term go on.
func readContractTerms(n *strictyaml.Node) (terms []engine.ContractTerm) {
	seen := map[engine.ContractTerm]bool{}
	for _, item := range n.List() {
		m := item.Map()
		var t engine.ContractTerm
		t.Term = oneOf(m.Get("term"), "", model.Durations...)
		t.BillingCycle = oneOf(m.Get("billing_cycle"), "", model.BillingCycles...)
		typ, name := m.Need("type"), m.Get("name")
		t.Type, t.Name = strings.TrimSpace(typ.Text()), strings.TrimSpace(name.Text())
		m.Close()
		if typ.IsScalar() && t.Type == "" {
			typ.Complain("write the name of a contract type as the PSA shows it", "the contract type is empty")
		}
		if t.Name == "" {
			t.Name = t.Type
		}
		key := engine.ContractTerm{Term: t.Term, BillingCycle: t.BillingCycle}
		if item.IsMap() && seen[key] {
			item.Complain("remove one of them", "two templates are for the same term and billing cycle; the first one counts")
		}
		seen[key] = true
		terms = append(terms, t)
	}
	if n.IsList() && len(terms) == 0 {
		n.Complain("name at least one, or remove the line", "the list is empty")
	}
	return terms
}
