package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// Evidence for a link, in the words shown to people.
const (
	howKept    = "kept link"
	howKeptID  = "kept id"
	howByHand  = "by hand"
	howCreated = "created"
	howMoved   = "its contract lines moved there"
	howMain    = "main contact"
)

// match is a way to recognise the same customer on both sides: the texts under which a record is filed.
type match struct {
	name  string
	how   string
	texts func(model.Record) []string
}

var matches = []match{
	{"tenant_ids", howKeptID, func(r model.Record) []string { return lowered(r.Fields["tenant_ids"].Items()) }},
	{"domains", "internet domain", func(r model.Record) []string {
		return slices.DeleteFunc(lowered(append(r.Fields["domains"].Items(), r.Fields["more_domains"].Items()...)), sharedDomain)
	}},
	{"tax_id", "tax number", func(r model.Record) []string { return plainCode(r.Text("tax_id")) }},
	{"name", "name", func(r model.Record) []string { return plainName(r.Text("name")) }},
}

// MatchNames are the words a flow may list under customers.match, the strongest first.
func MatchNames() []string {
	names := []string{"link"}
	for _, m := range matches {
		names = append(names, m.name)
	}
	return names
}

// linkCustomers decides which vendor customer is which PSA company. It never guesses: an evidence that points at two
// companies points at none, and a name alone only proposes.
func (e *Engine) linkCustomers(ctx context.Context, w *world) ([]*group, []plan.Finding, error) {
	kept := map[string]state.Link{}
	err := e.Store.Links(ctx, w.flow.Name, model.KindCustomer, func(l state.Link) error {
		kept[l.Vendor.ID] = l
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	indexes := map[string]map[string][]string{}
	for _, m := range matches {
		indexes[m.name] = map[string][]string{}
		for _, r := range w.psaCustomers {
			for _, text := range m.texts(r) {
				indexes[m.name][text] = append(indexes[m.name][text], r.ID)
			}
		}
	}
	groups := map[string]*group{}
	groupOf := func(id string) *group {
		if groups[id] == nil {
			groups[id] = &group{psa: w.psaByID[id], how: map[string]string{}, links: map[string]string{}, label: w.label(id)}
		}
		return groups[id]
	}
	var findings []plan.Finding
	listed := map[string]bool{}
	for _, tenant := range w.vendorCustomers {
		listed[tenant.ID] = true
		link, isKept := kept[tenant.ID]
		id, how, finding := link.PSA.ID, howKept, (*plan.Finding)(nil)
		switch _, there := w.psaByID[id]; {
		case !isKept:
			id, how, finding = w.matchCustomer(tenant, indexes, "")
		case !there:
			to, err := e.moved(ctx, w, tenant.ID)
			if err != nil {
				return nil, nil, err
			}
			if id, how = to, howMoved; to != "" {
				findings = append(findings, w.companyMoved(tenant, link.PSA.ID, to))
			} else {
				id, how, finding = w.matchCustomer(tenant, indexes, link.PSA.ID)
			}
		}
		if finding != nil {
			findings = append(findings, *finding)
		}
		if id == "" {
			continue
		}
		g := groupOf(id)
		g.tenants = append(g.tenants, tenant)
		g.how[tenant.ID] = how
		if isKept && link.PSA.ID == id {
			g.links[tenant.ID] = link.ID
			g.how[tenant.ID] = link.How
		}
	}
	for _, id := range slices.Sorted(maps.Keys(kept)) {
		link := kept[id]
		if _, there := w.psaByID[link.PSA.ID]; there && !listed[id] {
			g := groupOf(link.PSA.ID)
			g.lost = append(g.lost, model.Record{Kind: model.KindCustomer, ID: id})
		}
	}
	sorted := make([]*group, 0, len(groups))
	for _, r := range w.psaCustomers {
		if g := groups[r.ID]; g != nil {
			sorted = append(sorted, g)
		}
	}
	return sorted, findings, nil
}

// label is a customer's name, with its id where two share the name.
func (w *world) label(psaID string) string {
	name := w.psaByID[psaID].Text("name")
	if w.psaNames[name] > 1 {
		return fmt.Sprintf("%s (%s)", name, psaID)
	}
	return name
}

// matchCustomer tries the flow's ways to match, in order. gone is the company that it was linked with and that is not there any more: no
// other one is made for it, since somebody deleted it on purpose, or by mistake.
func (w *world) matchCustomer(tenant model.Record, indexes map[string]map[string][]string, gone string) (id, how string, finding *plan.Finding) {
	about := func(kind plan.Reason, detail, next string) *plan.Finding {
		return &plan.Finding{Key: plan.ChangeID("customer", w.flow.Name, tenant.ID), Kind: kind, Customer: tenant.Text("name"),
			Title:  fmt.Sprintf("%s customer %q: %s", w.vendor.Name, tenant.Text("name"), kind.Sentence()),
			Detail: detail, Next: next}
	}
	byHand := func(psaID string) string {
		return fmt.Sprintf("trueup links add %s %s %s", w.flow.Name, tenant.ID, psaID)
	}
	for _, m := range matches {
		if !slices.Contains(w.flow.Customers.Match, m.name) {
			continue
		}
		var found []string
		for _, text := range m.texts(tenant) {
			found = append(found, indexes[m.name][text]...)
		}
		slices.Sort(found)
		found = slices.Compact(found)
		switch {
		case len(found) == 0:
			continue
		case len(found) > 1:
			return "", "", about(plan.AmbiguousCustomer, fmt.Sprintf("%s points at %s", m.how, w.names(found)),
				"say which one it is: "+byHand("COMPANY_ID"))
		case m.name == "name":
			return "", "", about(plan.NameOnly, "company "+w.names(found)+" has the same name and nothing else in common",
				"if they are the same: "+byHand(found[0]))
		}
		return found[0], m.how, nil
	}
	if gone != "" {
		return "", "", about(plan.CompanyGone, fmt.Sprintf("company %s was deleted or merged away, and nothing points at another one", gone),
			"link it with another company: "+byHand("COMPANY_ID")+"; or forget the link, so that it counts as new: trueup links forget "+
				apply.LinkID(w.flow.Name, plan.PairRef{Kind: model.KindCustomer, Vendor: plan.Ref{Kind: model.KindCustomer, ID: tenant.ID}}))
	}
	switch w.flow.Customers.MissingPSA {
	case MissingIgnore:
		return "", "", nil
	case MissingCreate:
		w.newCustomers = append(w.newCustomers, tenant)
		return "", "", nil
	}
	return "", "", about(plan.UnmatchedCustomer, "no company in "+w.psa.Name+" has its tenant id, domain, tax number or name",
		"create the company, or link it: "+byHand("COMPANY_ID"))
}

func (w *world) names(ids []string) string {
	var parts []string
	for _, id := range ids {
		parts = append(parts, fmt.Sprintf("%q (%s)", w.psaByID[id].Text("name"), id))
	}
	return strings.Join(parts, " and ")
}

func lowered(items []string) []string {
	for i := range items {
		items[i] = strings.ToLower(items[i])
	}
	return items
}

// sharedDomain reports domains that say nothing about who owns them: the vendor's default domains and public mail.
func sharedDomain(domain string) bool {
	return strings.HasSuffix(domain, ".onmicrosoft.com") || slices.Contains(publicMail, domain)
}

var publicMail = []string{"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "gmx.de", "gmx.net", "web.de", "aol.com", "proton.me"}

// plainCode strips a tax number of what people add to it.
func plainCode(s string) []string {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	if len(s) < 5 {
		return nil
	}
	return []string{s}
}

// plainName is a company name without case, punctuation and legal form.
func plainName(s string) []string {
	s = strings.ToLower(strings.NewReplacer("&", " and ", ".", "", ",", " ", "-", " ", "'", "", "’", "").Replace(s))
	words := strings.Fields(s)
	for len(words) > 1 && slices.Contains(legalForms, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return nil
	}
	return []string{strings.Join(words, " ")}
}

var legalForms = []string{"ltd", "limited", "llc", "inc", "gmbh", "ag", "bv", "plc", "pty", "co", "corp", "corporation", "company", "kg", "sa", "srl", "sarl", "oy", "ab", "as"}

// pairing is a subscription and the line that bills it.
type pairing struct {
	sub    subscription
	line   *line
	link   string
	how    string
	memory state.Memory
	made   time.Time     // when trueup made the line; zero when somebody else did
	was    string        // the subscription that the link led to until now, when the vendor renewed it under another id
	doubt  *plan.Finding // why it is not certain that the subscription is over: another one may have taken its place
	shape  plan.Shape    // of the kept link
}

// linkLines finds the line of each of a group's subscriptions. A kept link comes first, then the subscription id kept on the
// line; a product alone counts only when it is the one line and the one subscription of that product.
func (e *Engine) linkLines(ctx context.Context, w *world, g *group) (pairs []pairing, alone []subscription, findings []plan.Finding, err error) {
	byID := map[string]*line{}
	bySubscription, overBySubscription := map[string][]*line{}, map[string]*line{}
	for i := range g.lines {
		l := &g.lines[i]
		byID[l.ID] = l
		switch id := strings.ToLower(strings.TrimSpace(l.Text("subscription"))); {
		case id == "":
		case l.ended(w.today):
			overBySubscription[id] = l
		default:
			bySubscription[id] = append(bySubscription[id], l)
		}
	}
	var links []keptLine
	for _, tenant := range g.known() {
		err = e.Store.LinksWithMemory(ctx, w.flow.Name, model.KindLine, tenant.ID, func(l state.Link, m state.Memory) error {
			links = append(links, keptLine{l, pairing{line: byID[l.PSA.ID], link: l.ID, how: l.How, memory: m, made: madeAt(l.How, l.Created), shape: plan.Shape(l.Shape)}})
			return nil
		})
		if err != nil {
			return nil, nil, nil, err
		}
	}
	findings = w.formShapes(g, links)
	kept := oneToOne(links, w.today)
	defer func() { g.stale = staleLinks(links, pairs, g) }()
	for _, sub := range g.subs { // whatever stands on a line, the kept link has it
		if p, isKept := kept[sub.ID]; isKept && p.line != nil && !p.line.shaped && !sub.shaped {
			p.line.claimed = true
		}
	}
	var unlinked []subscription
	for _, sub := range g.subs {
		if sub.shaped {
			continue
		}
		p, isKept := kept[sub.ID]
		p.sub = sub
		if isKept && p.line != nil && !p.line.shaped {
			pairs = append(pairs, p)
			if lines := bySubscription[strings.ToLower(sub.ID)]; len(lines) > 1 { // a line was copied together with its id
				findings = append(findings, twoLines(g, sub, lines))
			}
			continue
		}
		lines := bySubscription[strings.ToLower(sub.ID)]
		switch {
		case len(lines) > 1:
			findings = append(findings, twoLines(g, sub, lines))
			for _, l := range lines {
				l.claimed = true
			}
			continue
		case len(lines) == 0 && overBySubscription[strings.ToLower(sub.ID)] != nil && !sub.gone && billable(sub):
			findings = append(findings, endedInPSA(w, g, sub, overBySubscription[strings.ToLower(sub.ID)]))
			continue
		case len(lines) == 1 && !lines[0].claimed:
			lines[0].claimed = true
			pairs = append(pairs, pairing{sub: sub, line: lines[0], how: howKeptID})
			continue
		case isKept && !sub.gone && billable(sub):
			findings = append(findings, vanishedInPSA(w, g, sub, p.link))
			continue
		}
		unlinked = append(unlinked, sub)
	}
	unlinked, more := w.carryOn(g, pairs, unlinked)
	findings = append(findings, more...)
	adopted, alone, more := adopt(w, g, unlinked)
	return append(pairs, adopted...), alone, append(findings, more...), nil
}

// adopt pairs subscriptions with lines that existed before trueup: one subscription and one line of a product are the same
// thing; where there are more, a person says which is which.
func adopt(w *world, g *group, subs []subscription) (pairs []pairing, alone []subscription, findings []plan.Finding) {
	free := map[string][]*line{}
	for i := range g.lines {
		l := &g.lines[i]
		if l.claimed || l.ended(w.today) || l.Text("subscription") != "" {
			continue
		}
		key := w.psaProductByID[l.Text("product")].Text("key")
		free[key] = append(free[key], l)
	}
	count := map[string]int{}
	for _, sub := range subs {
		if billable(sub) && !sub.gone {
			count[sub.Text("product")]++
		}
	}
	for _, sub := range subs {
		if !billable(sub) || sub.gone {
			continue
		}
		key := sub.Text("product")
		switch lines := free[key]; {
		case len(lines) == 0:
			alone = append(alone, sub)
		case len(lines) == 1 && count[key] == 1:
			lines[0].claimed = true
			pairs = append(pairs, pairing{sub: sub, line: lines[0], how: "only line and only subscription of this product"})
		default:
			for _, l := range lines {
				l.claimed = true
			}
			findings = append(findings, ambiguousLines(w, g, sub, lines, count[key]))
		}
	}
	return pairs, alone, findings
}

// billable reports a subscription that the vendor charges for.
func billable(s subscription) bool {
	status := s.Text("status")
	return (status == model.StatusActive || status == model.StatusSuspended) && !s.Fields["trial"].True()
}

func ambiguousLines(w *world, g *group, sub subscription, lines []*line, subs int) plan.Finding {
	var ids []string
	for _, l := range lines {
		ids = append(ids, fmt.Sprintf("%s (%s seats)", l.ID, l.Text("quantity")))
	}
	return plan.Finding{Key: plan.ChangeID("ambiguous", w.flow.Name, sub.ID), Kind: plan.AmbiguousLine, Customer: g.label,
		Title:  fmt.Sprintf("%s, %s seats: which contract line bills it?", sub.Text("name"), sub.Text("quantity")),
		Detail: fmt.Sprintf("%d subscriptions and %d unlinked lines of product %s: line %s", subs, len(lines), sub.Text("product"), strings.Join(ids, ", ")),
		Next:   fmt.Sprintf("write %s into the line's subscription id, or end the lines that are not needed", sub.ID)}
}

func twoLines(g *group, sub subscription, lines []*line) plan.Finding {
	var ids []string
	for _, l := range lines {
		ids = append(ids, l.ID)
	}
	return plan.Finding{Key: plan.ChangeID("two lines", sub.ID), Kind: plan.DeclaredTwice, Customer: g.label,
		Title:  fmt.Sprintf("%s: %s", sub.Text("name"), plan.DeclaredTwice.Sentence()),
		Detail: fmt.Sprintf("subscription %s stands on lines %s", sub.ID, strings.Join(ids, " and ")),
		Next:   "take the id off one of them, or end it; where each bills a part, write part or rest into its seat rule"}
}

// endedInPSA is a line that somebody ended while the subscription goes on: a new one would bill what was stopped on purpose.
func endedInPSA(w *world, g *group, sub subscription, l *line) plan.Finding {
	return plan.Finding{Key: plan.ChangeID("ended in psa", sub.ID), Kind: plan.EndedInPSA, Customer: g.label,
		Title:  fmt.Sprintf("%s: %s", lineLabel(sub), plan.EndedInPSA.Sentence()),
		Detail: fmt.Sprintf("line %s ended on %s; subscription %s has %s seats at %s", l.ID, l.Text("end"), sub.ID, sub.Text("quantity"), w.vendor.Name),
		Next:   "cancel the subscription at the vendor, or open the line again"}
}

func vanishedInPSA(w *world, g *group, sub subscription, link string) plan.Finding {
	return plan.Finding{Key: plan.ChangeID("vanished", link), Kind: plan.VanishedInPSA, Customer: g.label,
		Title:  fmt.Sprintf("%s: %s", sub.Text("name"), plan.VanishedInPSA.Sentence()),
		Detail: fmt.Sprintf("subscription %s has %s seats at %s and no line bills it", sub.ID, sub.Text("quantity"), w.vendor.Name),
		Next:   fmt.Sprintf("cancel it at the vendor, or forget the link so that a new line is planned: trueup links forget %s", link)}
}
