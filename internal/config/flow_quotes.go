package config

import (
	"strings"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// readQuotes reads "quotes: {since: 2031-03-01, when: [Signed], approve: required, price_tolerance: 2%}". Without it nothing is ordered.
func readQuotes(n *strictyaml.Node, guards plan.Guards) engine.QuoteRules {
	rules := engine.QuoteRules{}
	if !n.Present() {
		return rules
	}
	m := n.Map()
	defer m.Close()
	if !n.IsMap() {
		return rules // said by Map
	}
	since := m.Need("since")
	if text := since.Text(); since.IsScalar() {
		var err error
		if rules.Since, err = model.ParseDay(text); err != nil || rules.Since.IsZero() {
			since.Complain("write the first day whose accepted quotes are to be ordered, like 2031-03-01", "%q is not a day", text)
		}
	}
	when := m.Get("when")
	for _, item := range when.List() {
		switch status := strings.TrimSpace(item.Text()); {
		case !item.IsScalar():
		case status == "":
			item.Complain("write a status as the PSA shows it", "the status is empty")
		default:
			rules.When = append(rules.When, status)
		}
	}
	if when.IsList() && len(when.List()) == 0 {
		when.Complain("name at least one, or remove the line for what the mapping calls accepted", "the list is empty: no quote would ever be ordered")
	}
	approve := m.Get("approve")
	rules.Approve = oneOf(approve, engine.ApproveEach, engine.ApproveEach, engine.ApproveGuards)
	if rules.Approve == engine.ApproveGuards && (guards.PerChange.Cost == nil || guards.PerRun.Cost == nil) {
		approve.Complain("set guards.per_change.cost and guards.per_run.cost, or write approve: required", "orders that no person looks at need limits to what they cost")
	}
	if t := m.Get("price_tolerance"); t.Present() {
		rules.Tolerance = percent(t)
	}
	return rules
}
