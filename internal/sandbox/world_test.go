package sandbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/sandbox"
)

// company, agreement and addition are what the tests look at of the PSA's records.
type (
	ref     struct{ ID int }
	custom  struct{ Caption, Value string }
	company struct {
		ID            int
		Identifier    string
		Name, Website string
		Status        struct{ Name string }
		DeletedFlag   bool
		CustomFields  []custom
	}
	agreement struct {
		ID              int
		Company         ref
		Type            struct{ Name string }
		AgreementStatus string
	}
	addition struct {
		ID, AgreementID        int
		Product                ref
		Quantity, LessIncluded json.Number
		UnitCost               json.Number
		CancelledDate          string
		CustomFields           []custom
	}
	item struct {
		ID                     int
		ManufacturerPartNumber string
	}
)

// seen is a world as it is found in the two systems, without the truth's help.
type seen struct {
	box        *sandbox.Sandbox
	vendor     partnercentertest.State
	companies  map[int]company
	agreements map[int]agreement
	lines      map[int]addition
	keys       map[int]string // product key by catalog item
	items      map[string]int // catalog items by product key
	subs       map[string]partnercentertest.Subscription
	priced     map[string]bool
}

func look(t *testing.T, box *sandbox.Sandbox) seen {
	t.Helper()
	w := seen{box: box, vendor: box.Vendor().Dump(), companies: map[int]company{}, agreements: map[int]agreement{}, lines: map[int]addition{},
		keys: map[int]string{}, items: map[string]int{}, subs: map[string]partnercentertest.Subscription{}, priced: map[string]bool{}}
	dump := box.PSA().Dump()
	for _, c := range decode[company](t, dump["company"]) {
		w.companies[c.ID] = c
	}
	for _, a := range decode[agreement](t, dump["agreement"]) {
		w.agreements[a.ID] = a
	}
	for _, a := range decode[addition](t, dump["addition"]) {
		w.lines[a.ID] = a
	}
	for _, i := range decode[item](t, dump["catalogItem"]) {
		if i.ManufacturerPartNumber != "" {
			w.keys[i.ID] = i.ManufacturerPartNumber
			w.items[i.ManufacturerPartNumber]++
		}
	}
	for _, sub := range w.vendor.Subscriptions {
		w.subs[sub.ID] = sub
	}
	for _, p := range w.vendor.Prices {
		if p.Segment == "Commercial" && !p.Start.After(box.Now()) && (p.End.IsZero() || p.End.After(box.Now())) {
			w.priced[p.ProductID+":"+p.SkuID+" "+p.Term+" "+strings.ToLower(p.BillingPlan)] = true
		}
	}
	return w
}

func decode[T any](t *testing.T, records []map[string]any) []T {
	t.Helper()
	raw, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	var typed []T
	if err := json.Unmarshal(raw, &typed); err != nil {
		t.Fatal(err)
	}
	return typed
}

func value(fields []custom, caption string) string {
	for _, f := range fields {
		if f.Caption == caption {
			return f.Value
		}
	}
	return ""
}

func (a addition) named() string {
	return strings.ToLower(strings.TrimSpace(value(a.CustomFields, "Vendor Subscription Id")))
}

func (w seen) over(a addition) bool {
	return a.CancelledDate != "" && a.CancelledDate < w.box.Now().Format(time.DateOnly)
}

func productKey(sub partnercentertest.Subscription) string {
	parts := strings.Split(sub.OfferID, ":")
	if len(parts) != 3 {
		return sub.OfferID
	}
	return parts[0] + ":" + parts[1] + " " + sub.Term + " " + sub.BillingCycle
}

func billed(sub partnercentertest.Subscription) bool {
	return (sub.Status == "active" || sub.Status == "suspended") && !sub.Trial && sub.ProductType == "OnlineServicesNCE"
}

// linked finds which tenants are surely which company, by the rules a careful program has: a kept id, then a domain, and
// none of them twice.
func (w seen) linked() (companyOf map[string]int, doubt map[string]plan.Reason) {
	companyOf, doubt = map[string]int{}, map[string]plan.Reason{}
	find := func(is func(company) bool) (found []int) {
		for id, c := range w.companies {
			if !c.DeletedFlag && is(c) {
				found = append(found, id)
			}
		}
		return found
	}
	plain := func(name string) string {
		name = strings.ToLower(strings.NewReplacer(" & ", " and ", ".", "").Replace(strings.TrimSpace(name)))
		for _, form := range []string{" ltd", " limited"} {
			name = strings.TrimSuffix(name, form)
		}
		return name
	}
	for _, tenant := range w.vendor.Customers {
		byID := find(func(c company) bool {
			return slices.Contains(strings.Split(strings.ToLower(value(c.CustomFields, "Vendor Tenant Ids")), ","), tenant.ID)
		})
		byDomain := find(func(c company) bool {
			site := strings.ToLower(c.Website)
			site = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(site, "https://"), "http://"), "www.")
			site, _, _ = strings.Cut(site, "/")
			return site == tenant.Domain || slices.Contains(tenant.CustomDomains, site)
		})
		byName := find(func(c company) bool { return plain(c.Name) == plain(tenant.Name) })
		switch {
		case len(byID) == 1:
			companyOf[tenant.ID] = byID[0]
		case len(byID) > 1 || len(byDomain) > 1:
			doubt[tenant.ID] = plan.AmbiguousCustomer
		case len(byDomain) == 1:
			companyOf[tenant.ID] = byDomain[0]
		case len(byName) == 1:
			doubt[tenant.ID] = plan.NameOnly
		case len(byName) > 1:
			doubt[tenant.ID] = plan.AmbiguousCustomer
		default:
			doubt[tenant.ID] = plan.UnmatchedCustomer
		}
	}
	return companyOf, doubt
}

// judge finds what a careful program makes of every subscription, from the two systems alone.
func (w seen) judge(companyOf map[string]int) map[string]sandbox.Subscription {
	verdicts := map[string]sandbox.Subscription{}
	contracts := map[int][]int{} // active ones by company
	for id, a := range w.agreements {
		if a.Type.Name == "Cloud Services" && a.AgreementStatus == "Active" {
			contracts[a.Company.ID] = append(contracts[a.Company.ID], id)
		}
	}
	lines := map[int][]addition{} // by company
	stopped := map[string]bool{}  // subscriptions whose line somebody ended
	for _, l := range w.lines {
		a := w.agreements[l.AgreementID]
		switch {
		case !slices.Contains(contracts[a.Company.ID], a.ID):
		case w.over(l):
			stopped[l.named()] = true
		default:
			lines[a.Company.ID] = append(lines[a.Company.ID], l)
		}
	}
	named := map[string][]string{}
	for _, list := range lines {
		for _, l := range list {
			if id := l.named(); id != "" {
				named[id] = append(named[id], strconv.Itoa(l.ID))
			}
		}
	}
	free, wanting := map[string][]string{}, map[string]int{} // by company and product
	at := func(company int, key string) string { return fmt.Sprint(company, " ", key) }
	for company, list := range lines {
		for _, l := range list {
			if l.named() == "" {
				free[at(company, w.keys[l.Product.ID])] = append(free[at(company, w.keys[l.Product.ID])], strconv.Itoa(l.ID))
			}
		}
	}
	for id, sub := range w.subs {
		if company, sure := companyOf[sub.Customer]; sure && billed(sub) && len(named[id]) == 0 && !stopped[id] {
			wanting[at(company, productKey(sub))]++
		}
	}
	for id, sub := range w.subs {
		company, sure := companyOf[sub.Customer]
		place := at(company, productKey(sub))
		v := sandbox.Subscription{}
		switch {
		case sub.ProductType != "OnlineServicesNCE" || !billed(sub) && len(named[id]) == 0:
			v.Expect = sandbox.ExpectNothing
		case !sure:
			v.Expect = sandbox.ExpectUncertain
		case len(named[id]) > 1:
			v.Expect, v.Reason = sandbox.ExpectPerson, plan.DeclaredTwice
		case len(named[id]) == 1 && !billed(sub):
			v.Expect, v.Line = sandbox.ExpectEnd, named[id][0]
		case len(named[id]) == 1:
			v.Expect, v.Line = sandbox.ExpectLinked, named[id][0]
		case stopped[id]:
			v.Expect, v.Reason = sandbox.ExpectPerson, plan.EndedInPSA
		case len(free[place]) == 1 && wanting[place] == 1:
			v.Expect, v.Line = sandbox.ExpectAdopt, free[place][0]
		case len(free[place]) > 0:
			v.Expect, v.Reason = sandbox.ExpectPerson, plan.AmbiguousLine
		case !w.priced[productKey(sub)]:
			v.Expect, v.Reason = sandbox.ExpectHold, plan.NoPrice
		case w.items[productKey(sub)] > 1:
			v.Expect, v.Reason = sandbox.ExpectHold, plan.AmbiguousProduct
		case len(contracts[company]) > 1:
			v.Expect, v.Reason = sandbox.ExpectHold, plan.AmbiguousMatch
		default:
			v.Expect = sandbox.ExpectCreate
			if w.items[productKey(sub)] == 0 {
				v.Needs = append(v.Needs, "product")
			}
			if len(contracts[company]) == 0 {
				v.Needs = append(v.Needs, "contract")
			}
		}
		verdicts[id] = v
	}
	return verdicts
}

// The truth is told by the generator; here it is found again in the two systems, by somebody who only looks.
func TestTruthAgreesWithWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, o := range []sandbox.Options{small(), {Seed: 1}, {Seed: 2, Customers: 90, PerCustomer: 20}, {Seed: 3, Customers: 7}, {Seed: 4, Customers: 3, PerCustomer: 90}} {
		t.Run(fmt.Sprintf("%d customers with %d", o.Customers, o.PerCustomer), func(t *testing.T) {
			t.Parallel()
			box := open(t, o)
			w, truth := look(t, box), box.Truth()
			companyOf, doubt := w.linked()

			told := map[string]int{}
			for _, c := range truth.Customers {
				id, err := strconv.Atoi(c.Company)
				if err != nil || w.companies[id].Name != c.Name {
					t.Errorf("company %s is %q, the truth says %q", c.Company, w.companies[id].Name, c.Name)
				}
				for _, tenant := range c.Tenants {
					told[tenant.ID] = id
				}
			}
			if diff := cmp.Diff(companyOf, told); diff != "" {
				t.Errorf("sure links (-found +told):\n%s", diff)
			}
			toldDoubt, expected := map[string]plan.Reason{}, map[plan.Reason]int{}
			for _, v := range truth.VendorOnly {
				toldDoubt[v.Tenant] = v.Reason
				expected[v.Reason]++
			}
			if diff := cmp.Diff(doubt, toldDoubt); diff != "" {
				t.Errorf("tenants in doubt (-found +told):\n%s", diff)
			}

			verdicts := w.judge(companyOf)
			if len(verdicts) != len(truth.Subscriptions) {
				t.Errorf("%d subscriptions are there, the truth tells of %d", len(verdicts), len(truth.Subscriptions))
			}
			for _, sub := range truth.Subscriptions {
				want, there := verdicts[sub.ID], w.subs[sub.ID]
				got := sandbox.Subscription{Expect: sub.Expect, Reason: sub.Reason, Needs: sub.Needs, Line: sub.Line}
				if sub.Expect == sandbox.ExpectPerson || sub.Expect == sandbox.ExpectUncertain {
					got.Line = "" // nobody can find it by looking
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("subscription %s, %s (-found +told):\n%s", sub.ID, sub.Product, diff)
				}
				if sub.Seats != there.Quantity || sub.Tenant != there.Customer || sub.Product != productKey(there) || sub.Status != there.Status {
					t.Errorf("subscription %s is %+v, the truth says %+v", sub.ID, there, sub)
				}
				if sub.Reason != "" {
					expected[sub.Reason]++
				}
				charged := sub.Expect != sandbox.ExpectEnd && sub.Expect != sandbox.ExpectNothing
				soon := !there.TermEnd.After(truth.Start.AddDate(0, 0, 60))
				monthly := there.TermEnd.Before(there.TermStart.AddDate(0, 2, 0))
				if charged && soon && there.Status == "active" && there.Next == nil && !(monthly && there.AutoRenew) {
					expected[plan.UndecidedEnd]++
				}
			}
			w.checkDrift(t, truth)
			for _, l := range truth.StrayLines {
				expected[l.Reason]++
				id, err := strconv.Atoi(l.Line)
				if line := w.lines[id]; err != nil || line.named() != l.Named || strconv.Itoa(line.AgreementID) != l.Agreement {
					t.Errorf("stray line %+v is %+v", l, line)
				}
			}
			if diff := cmp.Diff(expected, truth.Expected); diff != "" {
				t.Errorf("expected reports (-counted +told):\n%s", diff)
			}
		})
	}
}

// checkDrift finds every difference of seats and costs between subscriptions and their lines, and compares.
func (w seen) checkDrift(t *testing.T, truth sandbox.Truth) {
	t.Helper()
	told := map[string]sandbox.Drift{}
	for _, d := range truth.Drift {
		if _, twice := told[d.Subscription]; twice {
			t.Errorf("subscription %s drifts twice", d.Subscription)
		}
		told[d.Subscription] = d
	}
	for _, sub := range truth.Subscriptions {
		id, err := strconv.Atoi(sub.Line)
		if err != nil {
			continue
		}
		line, d := w.lines[id], told[sub.ID]
		seats, err := strconv.Atoi(strings.TrimSuffix(string(line.Quantity), ".0"))
		if err != nil {
			t.Fatalf("line %d has %s seats", id, line.Quantity)
		}
		want := sandbox.Drift{Company: sub.Company, Subscription: sub.ID, Line: sub.Line, VendorSeats: sub.Seats, PSASeats: seats, VendorCost: d.VendorCost, PSACost: d.PSACost}
		switch {
		case sub.Expect == sandbox.ExpectEnd:
			want.Kind, want.VendorSeats = sandbox.DriftEnded, 0
		case seats > sub.Seats:
			want.Kind = sandbox.DriftSeatsMoreInPSA
		case seats < sub.Seats:
			want.Kind = sandbox.DriftSeatsLessInPSA
		case d.Kind == sandbox.DriftCostOld:
			want.Kind = sandbox.DriftCostOld
			if d.VendorCost == d.PSACost || strings.TrimSuffix(string(line.UnitCost), ".0") != d.PSACost {
				t.Errorf("line %d costs %s; the truth says %+v", id, line.UnitCost, d)
			}
		default:
			want = sandbox.Drift{}
		}
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("drift of %s (-found +told):\n%s", sub.ID, diff)
		}
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	t.Parallel()
	worlds := make([]string, 0, 3)
	for _, seed := range []uint64{7, 7, 8} {
		o := small()
		o.Seed = seed
		box := open(t, o)
		vendor := box.Vendor().Dump()
		vendor.Audit = nil // its ids are the only ones that nobody needs to predict
		raw, err := json.Marshal(map[string]any{"truth": box.Truth(), "vendor": vendor, "psa": box.PSA().Dump()})
		if err != nil {
			t.Fatal(err)
		}
		worlds = append(worlds, string(raw))
	}
	if worlds[0] != worlds[1] {
		t.Errorf("the same seed gave two worlds:\n%s", cmp.Diff(worlds[0], worlds[1]))
	}
	if worlds[0] == worlds[2] {
		t.Error("two seeds gave the same world")
	}
}

// Every awkward kind that is promised has an example, and the example is what it is called.
func TestEveryAwkwardKindIsThere(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	w, truth := look(t, box), box.Truth()
	tenants := map[string]partnercentertest.Customer{}
	for _, c := range w.vendor.Customers {
		tenants[c.ID] = c
	}
	told := map[string]sandbox.Subscription{}
	for _, sub := range truth.Subscriptions {
		told[sub.ID] = sub
	}
	contracts := func(id string, status string) (n int) {
		for _, a := range w.agreements {
			if strconv.Itoa(a.Company.ID) == id && a.Type.Name == "Cloud Services" && a.AgreementStatus == status {
				n++
			}
		}
		return n
	}
	like := func(id string, same func(a, b partnercentertest.Subscription) bool) (n int) {
		for _, sub := range w.subs {
			if sub.Customer == w.subs[id].Customer && same(sub, w.subs[id]) {
				n++
			}
		}
		return n
	}
	number := func(id string) int {
		n, _ := strconv.Atoi(id)
		return n
	}
	sku := func(sub partnercentertest.Subscription) string {
		key, _, _ := strings.Cut(productKey(sub), " ")
		return key
	}
	names := map[string]int{}
	for _, c := range w.companies {
		if !c.DeletedFlag {
			names[c.Name]++
		}
	}
	is := map[string]func(id string) bool{
		"add_on":               func(id string) bool { _, base := w.subs[w.subs[id].Parent]; return base },
		"agreement_none":       func(id string) bool { return contracts(id, "Active") == 0 },
		"agreement_over":       func(id string) bool { return w.agreements[number(id)].AgreementStatus == "Expired" },
		"agreements_two":       func(id string) bool { return contracts(id, "Active") == 2 },
		"auto_renew_off":       func(id string) bool { return w.subs[id].Status == "active" && !w.subs[id].AutoRenew },
		"company_deleted":      func(id string) bool { return w.companies[number(id)].DeletedFlag },
		"company_on_hold":      func(id string) bool { return w.companies[number(id)].Status.Name == "Credit Hold" },
		"domain_shared":        func(id string) bool { return !strings.Contains(tenants[id].Domain, "onmicrosoft") },
		"domain_written_oddly": func(id string) bool { return strings.HasPrefix(w.companies[number(id)].Website, "HTTP://") },
		"ended":                func(id string) bool { return !billed(w.subs[id]) && !w.subs[id].Trial },
		"ended_still_billed":   func(id string) bool { return !billed(w.subs[id]) && told[id].Line != "" },
		"free": func(id string) bool {
			return slices.ContainsFunc(w.vendor.Prices, func(p partnercentertest.Price) bool {
				return p.UnitPrice == "0" && p.ProductID+":"+p.SkuID == sku(w.subs[id])
			})
		},
		"id_in_other_case": func(id string) bool {
			kept := value(w.lines[number(id)].CustomFields, "Vendor Subscription Id")
			_, there := w.subs[w.lines[number(id)].named()]
			return there && kept == strings.ToUpper(kept) && kept != strings.TrimSpace(kept)
		},
		"legacy":        func(id string) bool { return w.subs[id].ProductType == "OnlineServices" },
		"less_included": func(id string) bool { return w.lines[number(id)].LessIncluded == "2.0" },
		"line_ended": func(id string) bool {
			return w.over(w.lines[number(id)]) && billed(w.subs[w.lines[number(id)].named()])
		},
		"lines_ambiguous": func(id string) bool { return told[id].Reason == plan.AmbiguousLine },
		"locked":          func(id string) bool { return tenants[id].Locked },
		"name_only":       func(id string) bool { return strings.HasSuffix(tenants[id].Domain, ".onmicrosoft.com") },
		"name_twice":      func(id string) bool { return names[w.companies[number(id)].Name] == 2 },
		"name_unusual": func(id string) bool {
			return strings.ContainsFunc(w.companies[number(id)].Name, func(r rune) bool { return r > 127 || strings.ContainsRune(`&"'/\<%.`, r) })
		},
		"name_with_spaces": func(id string) bool { return strings.HasSuffix(tenants[id].Name, "  ") },
		"nickname":         func(id string) bool { return w.subs[id].FriendlyName != w.subs[id].OfferName },
		"nothing_bought": func(id string) bool {
			return tenants[id].ID == id && !slices.ContainsFunc(w.vendor.Subscriptions, func(s partnercentertest.Subscription) bool { return s.Customer == id })
		},
		"orphaned_line": func(id string) bool {
			_, there := w.subs[w.lines[number(id)].named()]
			return w.lines[number(id)].named() != "" && !there
		},
		"other_agreement": func(id string) bool {
			l := w.lines[number(id)]
			return w.agreements[l.AgreementID].Type.Name == "Managed Services" && w.keys[l.Product.ID] != ""
		},
		"price_changed": func(id string) bool {
			n := 0
			for _, p := range w.vendor.Prices {
				if p.ProductID+":"+p.SkuID+" "+p.Term+" "+strings.ToLower(p.BillingPlan) == id && p.TierMin == "" && p.Segment == "Commercial" {
					n++
				}
			}
			return n == 2
		},
		"price_missing":   func(id string) bool { return !w.priced[productKey(w.subs[id])] },
		"product_missing": func(id string) bool { return w.items[productKey(w.subs[id])] == 0 },
		"product_twice":   func(id string) bool { return w.items[productKey(w.subs[id])] == 2 },
		"same_sku_other_terms": func(id string) bool {
			return like(id, func(a, b partnercentertest.Subscription) bool { return sku(a) == sku(b) }) >= 3
		},
		"same_sku_same_term": func(id string) bool {
			return like(id, func(a, b partnercentertest.Subscription) bool { return productKey(a) == productKey(b) }) == 2
		},
		"scheduled": func(id string) bool { return w.subs[id].Next != nil && w.subs[id].Next.Quantity != w.subs[id].Quantity },
		"suspended": func(id string) bool { return w.subs[id].Status == "suspended" },
		"tenant_id_in_other_case": func(id string) bool {
			kept := value(w.companies[number(id)].CustomFields, "Vendor Tenant Ids")
			return kept != "" && kept == strings.ToUpper(kept)
		},
		"tenants_two": func(id string) bool {
			return slices.ContainsFunc(truth.Customers, func(c sandbox.Customer) bool { return c.Company == id && len(c.Tenants) == 2 })
		},
		"trial":     func(id string) bool { return w.subs[id].Trial },
		"two_lines": func(id string) bool { return told[id].Reason == plan.DeclaredTwice },
		"unmatched_line": func(id string) bool {
			l := w.lines[number(id)]
			return l.named() == "" && w.priced[w.keys[l.Product.ID]]
		},
		"window_closed": func(id string) bool {
			return !slices.ContainsFunc(w.subs[id].Batches, func(b partnercentertest.Batch) bool { return b.Until.After(box.Now()) })
		},
		"window_open": func(id string) bool {
			return slices.ContainsFunc(w.subs[id].Batches, func(b partnercentertest.Batch) bool { return b.Until.After(box.Now()) && b.Quantity >= 3 })
		},
	}
	for _, kind := range sandbox.AwkwardKinds {
		ids := truth.Awkward[kind.Name]
		if len(ids) == 0 {
			t.Errorf("%s: there is no example", kind.Name)
		}
		for _, id := range ids {
			if test := is[kind.Name]; test == nil || !test(id) {
				t.Errorf("%s: %s %s is not one", kind.Name, kind.Of, id)
			}
		}
	}
	if len(is) != len(sandbox.AwkwardKinds) || len(truth.Awkward) != len(sandbox.AwkwardKinds) {
		t.Errorf("%d kinds are documented, %d tested, %d made", len(sandbox.AwkwardKinds), len(is), len(truth.Awkward))
	}
}

// The default world has the size and the mix that are promised.
func TestTheDefaultWorldIsAnMSP(t *testing.T) {
	t.Parallel()
	truth := open(t, sandbox.Options{Seed: 1}).Truth()
	lined := 0
	for _, sub := range truth.Subscriptions {
		if sub.Line != "" {
			lined++
		}
	}
	if n := len(truth.Subscriptions); n < 1300 || n > 1700 {
		t.Errorf("%d subscriptions, want about 1500", n)
	}
	if share := 100 * lined / len(truth.Subscriptions); share < 52 || share > 68 {
		t.Errorf("%d%% of the subscriptions have a line, want about 60%%", share)
	}
	summary := truth.Summary()
	for _, want := range []string{"adopt", "seats_more_in_psa", "only the name matches", "orphaned_line"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the summary does not mention %q", want)
		}
	}
}

func TestLargeWorlds(t *testing.T) {
	t.Parallel()
	box := open(t, sandbox.Options{Customers: 500, PerCustomer: 10})
	if n := len(box.Truth().Subscriptions); n < 9*500 {
		t.Errorf("500 customers have %d subscriptions", n)
	}
}

// Two seconds is too long to wait for a large world; go test -bench Worlds ./internal/sandbox shows how long it takes.
func BenchmarkLargeWorlds(b *testing.B) {
	for _, o := range []sandbox.Options{{Customers: 500, PerCustomer: 10}, {Customers: 2000}} {
		b.Run(fmt.Sprint(o.Customers, " customers"), func(b *testing.B) {
			for b.Loop() {
				box := open(b, o)
				if err := box.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTimeMoves(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	truth := box.Truth()
	renews := func() (n int) {
		for _, sub := range box.Vendor().Dump().Subscriptions {
			if sub.TermStart.After(start) {
				n++
			}
		}
		return n
	}
	if n := renews(); n != 0 {
		t.Errorf("%d subscriptions renewed before anything happened", n)
	}
	if err := box.Advance(40 * 24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if renews() == 0 {
		t.Error("after 40 days no monthly subscription renewed")
	}
	if err := box.Advance(-time.Hour); err == nil {
		t.Error("the clock went back")
	}
	if diff := cmp.Diff(truth, box.Truth()); diff != "" {
		t.Errorf("the truth moved with the clock:\n%s", diff)
	}
}
