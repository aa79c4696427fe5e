package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// What a flow does when its file does not say. New flows only propose, what differs at first sight waits for a person,
// and the brakes are on.
const (
	defaultSchedule         = "*/5 * * * *"
	defaultPerCustomerShare = 50 // percent
	defaultPerRunShare      = 10 // percent
)

// productMatches are what products are always matched by; a flow may say so.
var productMatches = []string{"link", "key"}

// flowFile is a flow with the places that later complaints point at.
type flowFile struct {
	engine.Flow
	name diag.Pos
}

func (l *loader) readFlows(n *strictyaml.Node) {
	for _, path := range l.flowPaths(n) {
		source, err := os.ReadFile(path)
		if err != nil {
			l.problems.Add(diag.Pos{File: path}, "", "the flow cannot be read: %s", osReason(err))
			continue
		}
		if root := l.parse(path, source); root != nil {
			l.readFlow(path, root)
		}
	}
	for _, f := range l.flows {
		l.config.Flows = append(l.config.Flows, f.Flow)
	}
}

// flowPaths expands the patterns; a file named by two of them is read once.
func (l *loader) flowPaths(n *strictyaml.Node) []string {
	found := map[string]bool{}
	for _, item := range n.List() {
		pattern := item.Text()
		if pattern == "" {
			if item.IsScalar() {
				item.Complain("name a file or a pattern like flows/*.yaml", "an empty text names no flow")
			}
			continue
		}
		paths, err := filepath.Glob(l.path(pattern))
		switch {
		case errors.Is(err, filepath.ErrBadPattern):
			item.Complain("write it like flows/*.yaml", "%q is not a pattern", pattern)
		case len(paths) == 0:
			item.Complain("the path is relative to "+l.config.File, "no flow file matches %q", pattern)
		}
		for _, path := range paths {
			found[path] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (l *loader) readFlow(path string, root *strictyaml.Node) {
	f := flowFile{Flow: engine.Flow{File: path, Schedule: defaultSchedule}}
	m := root.Map()
	if !root.IsMap() {
		return // said by Map
	}
	l.version(m)
	l.readFlowName(&f, m.Need("flow"))
	f.Vendor = l.flowAccount(m.Need("vendor"), connectors.RoleVendor)
	f.PSA = l.flowAccount(m.Need("psa"), connectors.RolePSA)
	if s := m.Get("schedule"); s.Present() {
		f.Schedule = schedule(s)
	}
	f.Mode = oneOf(m.Get("mode"), engine.ModePropose, engine.ModeObserve, engine.ModePropose, engine.ModeWrite)
	f.Customers = readCustomers(m.Get("customers"))
	f.Products = readProducts(m.Get("products"))
	l.readContracts(&f, m.Need("contracts"))
	f.Lines = readLines(m.Need("lines"))
	f.Bundles = readBundles(m.Get("bundles"))
	guards := readGuards(m.Get("guards"))
	f.Guards = guards.Guards
	f.Freeze, f.CreditHold = guards.freeze, guards.creditHold
	f.Quotes = readQuotes(m.Get("quotes"), f.Guards)
	readApprove(&f, m.Get("approve"))
	f.Tell, f.TermEnds, f.Unused = readTell(m.Get("tell"))
	checkTickets(&f, m.Get("approve"))
	m.Close()
	l.refuseRivals(f)
	l.flows = append(l.flows, f)
}

func (l *loader) readFlowName(f *flowFile, n *strictyaml.Node) {
	f.Name, f.name = n.Text(), n.Pos()
	if !n.IsScalar() {
		return
	}
	if !nameRule.MatchString(f.Name) {
		n.Complain(nameHint, "%q is not a name for a flow", f.Name)
		return
	}
	for _, other := range l.flows {
		if other.Name == f.Name {
			n.Complain("give one of them another name", "flow %q is there already; the first is at %s", f.Name, other.name)
			return
		}
	}
}

// refuseRivals complains when another flow pairs the same accounts. A flow takes every subscription of its vendor, so two of them
// would bill each subscription twice, or undo each other.
func (l *loader) refuseRivals(f flowFile) {
	if f.Vendor == "" || f.PSA == "" {
		return
	}
	for _, other := range l.flows {
		if other.Name != f.Name && other.Vendor == f.Vendor && other.PSA == f.PSA {
			l.problems.Add(f.name, "remove one of them, or give it another account",
				"two flows claim the same lines: %q and %q (%s) both put the subscriptions of %s on contracts of %s",
				f.Name, other.Name, other.name, f.Vendor, f.PSA)
			return
		}
	}
}

// flowAccount reads the name of an account that stands on the given side.
func (l *loader) flowAccount(n *strictyaml.Node, role connectors.Role) string {
	if !n.IsScalar() {
		n.Text() // complains about the shape, if there is one
		return ""
	}
	name := n.Text()
	if len(l.accounts) == 0 {
		return name // that there are no accounts is complaint enough
	}
	system, exists := l.accounts[name]
	if !exists {
		n.Complain(diag.DidYouMean(name, slices.Collect(maps.Keys(l.accounts))), "no account %q in %s", name, l.config.File)
		return ""
	}
	if d, known := l.systems[system]; known && d.Role != role {
		n.Complain("name an account of the other side", "account %q is a %s (%s), not a %s", name, roleWord(d.Role), system, roleWord(role))
		return ""
	}
	return name
}

func roleWord(r connectors.Role) string {
	if r == connectors.RolePSA {
		return "PSA"
	}
	return string(r)
}

func readProducts(n *strictyaml.Node) engine.ProductRules {
	m := n.Map()
	match := m.Get("match")
	words := readMatch(match, "products", productMatches)
	if match.IsList() && len(words) > 0 && !slices.Contains(words, "key") {
		match.Complain("write match: [link, key], or remove the line", "products are always matched by their key")
	}
	rules := engine.ProductRules{MissingPSA: readMissingPSA(m)}
	m.Close()
	return rules
}

func readLines(n *strictyaml.Node) engine.LineRules {
	m := n.Map()
	rules := engine.LineRules{First: oneOf(m.Get("first"), plan.FirstHold, plan.FirstVendor, plan.FirstPSA, plan.FirstHold)}
	count := m.Get("count")
	rules.Count, rules.Group = readCount(count), readGroup(m.Get("group"))
	rules.MissingPSA = readMissingPSA(m)
	rules.Refused = oneOf(m.Get("refused"), plan.RefusalHold, plan.RefusalHold, plan.RefusalPutBack)
	fields := m.Need("fields")
	table, _ := model.TableOf(model.KindLine)
	rules.Fields = readFields(fields, table, engine.LineFields)
	if fields.IsMap() && len(rules.Fields) == 0 {
		fields.Complain("name one, like quantity: {owner: both}", "a flow in which no field follows does nothing")
	}
	refuseTyping(count, rules)
	m.Close()
	return rules
}

// readFields reads who owns which field; known are the fields that can follow the other side.
func readFields(n *strictyaml.Node, table model.Table, known []string) map[string]plan.FieldRule {
	rules := map[string]plan.FieldRule{}
	n.Map().Each(func(key, value *strictyaml.Node) {
		name := key.Text()
		field, _ := table.Field(name)
		if !slices.Contains(known, name) {
			key.Complain(diag.DidYouMean(name, known), "no field %q of a %s can follow the other side", name, table.Kind)
			field.Type = model.TypeQuantity // the rule itself is still checked, with every word allowed
		}
		rules[name] = readFieldRule(value, field)
	})
	return rules
}

func readFieldRule(n *strictyaml.Node, field model.Field) plan.FieldRule {
	m := n.Map()
	rule := plan.FieldRule{Owner: oneOf(m.Need("owner"), "", plan.OwnerVendor, plan.OwnerPSA, plan.OwnerBoth)}
	conflict := m.Get("conflict")
	rule.Conflict = oneOf(conflict, plan.ConflictHold, plan.ConflictHold, plan.ConflictVendor, plan.ConflictPSA, plan.ConflictHighest, plan.ConflictLowest)
	putBack := m.Get("put_back")
	rule.PutBack = putBack.Bool()
	m.Close()
	ordered := field.Type == model.TypeQuantity || field.Type == model.TypeMoney
	switch {
	case conflict.Present() && (rule.Owner == plan.OwnerVendor || rule.Owner == plan.OwnerPSA):
		conflict.Complain("remove it, or write owner: both", "only a field that both sides own can be in conflict")
	case !ordered && (rule.Conflict == plan.ConflictHighest || rule.Conflict == plan.ConflictLowest):
		conflict.Complain("write hold, vendor or psa", "%s is not a number, so it has no %s", field.Name, rule.Conflict)
	}
	if rule.PutBack && rule.Owner == plan.OwnerBoth {
		putBack.Complain("remove it, or name one owner", "a field that both sides own has no foreign edits to put back")
	}
	return rule
}

func readTell(n *strictyaml.Node) (rules engine.TellRules, termEnds []int, unused int) {
	m := n.Map()
	renewal := m.Get("renewal").Map()
	readTickets(&rules, m, renewal)
	termEnds = readTermEnds(renewal)
	unused = readUnused(m.Get("unused").Map())
	rules.Lines = oneOf(m.Get("lines"), engine.TellNote, engine.TellNote, engine.TellNothing)
	m.Close()
	return rules, termEnds, unused
}

// guards are the guards of a flow with those that depend on the time and on the PSA.
type guards struct {
	plan.Guards
	freeze     []plan.Freeze
	creditHold bool
}

func readGuards(n *strictyaml.Node) guards {
	m := n.Map()
	var g guards
	change := m.Get("per_change").Map()
	g.PerChange.Increase, g.PerChange.Decrease = quantity(change.Get("increase")), quantity(change.Get("decrease"))
	if s := change.Get("share"); s.Present() {
		g.PerChange.Share = percent(s)
	}
	g.PerChange.Cost, g.PerChange.Drop = money(change.Get("cost")), money(change.Get("drop"))
	change.Close()
	g.PerCustomer = readGroupLimit(m.Get("per_customer"), defaultPerCustomerShare)
	g.PerRun = readGroupLimit(m.Get("per_run"), defaultPerRunShare)
	g.Decrease = oneOf(m.Get("decrease"), plan.DecreaseWindow, plan.DecreaseWindow, plan.DecreaseHold)
	g.creditHold = oneOf(m.Get("credit_hold"), "none", "increase", "none") == "increase"
	g.freeze = readFreeze(m.Get("freeze"))
	g.Together = readTogether(m.Get("together"))
	g.Cancel = oneOf(m.Get("cancel"), plan.CancelHold, plan.CancelTermEnd, plan.CancelHold)
	m.Close()
	return g
}

// defaultTermEnds are the days before the end of a term at which an open decision is told.
var defaultTermEnds = []int{60, 30, 10}

// readTermEnds reads "tell: {renewal: {days: [60, 30, 10]}}".
func readTermEnds(renewal *strictyaml.Map) []int {
	list := renewal.Get("days")
	days := slices.Clone(defaultTermEnds)
	if list.Present() {
		days = nil
		for _, item := range list.List() {
			text := item.Text()
			day, err := strconv.Atoi(text)
			switch {
			case !item.IsScalar():
			case err != nil || day < 1 || day > 365:
				item.Complain("write days before the end of the term, like [60, 30, 10]", "%q is not a whole number from 1 to 365", text)
			case slices.Contains(days, day):
				item.Complain("remove one of them", "%d is in the list twice", day)
			default:
				days = append(days, day)
			}
		}
		if list.IsList() && len(list.List()) == 0 {
			list.Complain("name at least one, or remove the line for 60, 30 and 10", "the list is empty: every term would end in silence")
		}
	}
	renewal.Close()
	return days
}

func readGroupLimit(n *strictyaml.Node, share int) plan.GroupLimit {
	m := n.Map()
	limit := plan.GroupLimit{Share: share}
	if s := m.Get("share"); s.Present() {
		limit.Share = percent(s)
	}
	limit.Increase, limit.Decrease = quantity(m.Get("increase")), quantity(m.Get("decrease"))
	limit.Count, limit.Cost = atLeastOne(m.Get("count")), money(m.Get("cost"))
	limit.Drop, limit.Bill = money(m.Get("drop")), money(m.Get("bill"))
	m.Close()
	return limit
}

// readMissingPSA reads "missing: {psa: word}" where only the PSA side can lack something.
func readMissingPSA(m *strictyaml.Map) engine.Missing {
	missing := m.Get("missing").Map()
	defer missing.Close()
	return readMissing(missing.Get("psa"))
}

func readMissing(n *strictyaml.Node) engine.Missing {
	return oneOf(n, engine.MissingPropose, engine.MissingPropose, engine.MissingCreate, engine.MissingIgnore)
}

// oneOf is strictyaml's OneOf for the engine's words, with a default for an absent key.
func oneOf[T ~string](n *strictyaml.Node, absent T, allowed ...T) T {
	if !n.Present() {
		return absent
	}
	texts := make([]string, len(allowed))
	for i, a := range allowed {
		texts[i] = string(a)
	}
	return T(n.OneOf(texts...))
}

// readMatch reads what things are matched by; absent is everything known, in order.
func readMatch(n *strictyaml.Node, things string, known []string) []string {
	if !n.Present() {
		return slices.Clone(known)
	}
	var match []string
	items := n.List()
	for _, item := range items {
		word := item.Text()
		switch {
		case !item.IsScalar():
		case !slices.Contains(known, word):
			item.Complain(diag.DidYouMean(word, known), "%s cannot be matched by %q", things, word)
		case slices.Contains(match, word):
			item.Complain("remove one of them", "%q is in the list twice", word)
		default:
			match = append(match, word)
		}
	}
	if n.IsList() && len(items) == 0 {
		n.Complain("name at least one, or remove the line for the default", "the list is empty")
	}
	return match
}
