package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// falls are the lines that a run may lower or end while a stand-in misbehaves.
type falls string

const (
	every  falls = "all: what fell was read well"
	none   falls = "none"
	others falls = "others: all but those of the first customer"
	listed falls = "listed: all but those of the customer that no page delivers"
)

// verdict is how a run ends while a stand-in misbehaves. says is in its one sentence, beside the account and the next step.
type verdict struct {
	state state.RunState
	falls falls
	says  string
}

var (
	fine     = verdict{state.RunCompleted, every, ""}
	harmless = verdict{state.RunCompleted, every, "and whatever else is wrong"} // tried together with others like it
	same     verdict                                                            // a sweep meets nothing else, so it is not tried
)

func fails(says string) verdict { return verdict{state.RunError, none, says} }

// trouble is one misbehaviour of a stand-in and what comes of it: in a run that follows the feeds, and in a full sweep where
// that meets something else.
type trouble struct {
	side, name, value string
	feed, sweep       verdict

	mode string // of a run: feed or sweep
	want verdict
}

func (tr trouble) String() string {
	return strings.Join([]string{tr.side, tr.name, tr.value, tr.mode}, " ")
}

func try(side, name, value string, feed, sweep verdict) trouble {
	return trouble{side: side, name: name, value: value, feed: feed, sweep: sweep}
}

// The first customer and its agreement; the id of the agreement is known when it is made.
const firstAgreement = "the first agreement"

var (
	refusedTwice = `customer 00000001-0000-4000-8000-000000000000 were not read`
	oneShort     = verdict{state.RunPartial, none, "may be incomplete: the service announced"}
	fullPage     = verdict{state.RunPartial, every, "the last page was full"}
	vanished     = verdict{state.RunHeld, listed, ""}
	shortPSA     = verdict{state.RunPartial, none, "is short: the PSA counts 2 records"}
	lostPSA      = func(n string) verdict { return verdict{state.RunPartial, every, n + " no known outcome yet"} }
	falsePSA     = func(f falls) verdict {
		return verdict{state.RunPartial, f, "accepted the change but still holds"}
	}
	forbidden = fails("You do not have security permission")
	storm     = "429 Too Many Requests"
	noItems   = "answered without a list of items"
	fault200  = "Unexpected service error"
)

// troubles has every misbehaviour of both stand-ins, once lasting and once passing where that makes a difference.
var troubles = []trouble{
	try("vendor", "async_patch", "1", harmless, same),
	try("vendor", "bom", "", harmless, same),
	try("vendor", "cap_pages", "1", vanished, vanished), // a short list that looks whole: customers are missing, which proves nothing
	try("vendor", "cap_pages", "2", fullPage, fullPage),
	try("vendor", "drop_last_page", "", fullPage, fullPage),
	try("vendor", "empty_list", "customers", fails("sees no customers at all"), fails("sees no customers at all")),
	try("vendor", "empty_list", "subscriptions", verdict{state.RunPartial, none, "an empty answer is not believed"}, verdict{state.RunPartial, none, "an empty answer is not believed"}),
	try("vendor", "error_after_commit", "1", fine, same), // repeated under the same id, and recognised
	try("vendor", "expire_token", "1", fine, same),
	try("vendor", "expire_token", "", fails("Access denied"), fails("Access denied")),
	try("vendor", "fault_in_200", "1", fails(fault200), verdict{state.RunPartial, every, fault200}),
	try("vendor", "fault_in_200", "", fails(fault200), fails(fault200)),
	try("vendor", "forbid_customer", id(1, 0), verdict{state.RunPartial, others, refusedTwice}, verdict{state.RunPartial, others, refusedTwice}),
	try("vendor", "guid_case", "", harmless, same),
	try("vendor", "html_error", "1", fine, same),
	try("vendor", "html_error", "", fails("502 Bad Gateway"), fails("502 Bad Gateway")),
	try("vendor", "lost_items", "", oneShort, oneShort),
	try("vendor", "lost_reply", "1", fine, same),
	try("vendor", "missing_items", "1", fails(noItems), verdict{state.RunPartial, every, noItems}),
	try("vendor", "missing_items", "", fails(noItems), fails(noItems)),
	try("vendor", "no_audit", "", fails("Insufficient privileges"), fails("Insufficient privileges")),
	try("vendor", "late_customer", "2", harmless, same), // met only by a customer that was just made: TestLostReplyOfANewCustomerMakesOne
	try("vendor", "late_orders", "15m", harmless, same), // met only by an order: TestALostCheckoutIsLookedFor
	try("vendor", "no_mfa", "", harmless, same),         // for trueup check to tell
	try("vendor", "no_price_sheet", "", fine, verdict{state.RunPartial, every, "read price sheet of market GB"}),
	try("vendor", "pending_operation", "1", verdict{state.RunPartial, every, "1 change failed"}, same),
	try("vendor", "repeat_page", "", fails("the same page again and again"), fails("the same page again and again")),
	try("vendor", "revoke_refresh", "", fails("the refresh token expired"), fails("the refresh token expired")),
	try("vendor", "server_error", "2", fine, same),
	try("vendor", "server_error", "", fails(fault200), fails(fault200)),
	try("vendor", "slow", "3s", harmless, same),
	try("vendor", "slow", "3m", fails("no answer within 2m0s"), same),
	try("vendor", "stale_reads", "2", fine, same),
	try("vendor", "throttle_storm", "3", fine, same),
	try("vendor", "throttle_storm", "", fails(storm), fails(storm)),
	try("vendor", "unknown_status", "hibernating", verdict{state.RunPartial, none, "a status that trueup does not know"}, verdict{state.RunPartial, none, "a status that trueup does not know"}),

	try("psa", "bom", "", harmless, same),
	try("psa", "cap_pages", "1", shortPSA, shortPSA),
	try("psa", "drop_last_page", "", shortPSA, shortPSA),
	try("psa", "empty_dates", "null", harmless, same),
	try("psa", "empty_dates", "text", harmless, same),
	try("psa", "empty_list", "", shortPSA, shortPSA),
	try("psa", "empty_list", "count", verdict{state.RunPartial, none, "an empty answer is not believed"}, fails("no company at all")),
	try("psa", "error_after_commit", "", lostPSA("8 changes have"), same),
	try("psa", "error_in_200", "", fails("200 with an error in it"), same),
	try("psa", "false_200", "1", falsePSA(every), same),
	try("psa", "false_200", "", falsePSA(none), same),
	try("psa", "forbid", "additions", forbidden, same),
	try("psa", "forbid", "agreements", forbidden, same),
	try("psa", "forbid", "catalog", forbidden, same),
	try("psa", "forbid", "companies", forbidden, same),
	try("psa", "forbid", "contacts", harmless, same), // not read here
	try("psa", "forbid", "system", harmless, same),   // for trueup check to tell
	try("psa", "html_error", "", fails("HTML or XML where JSON was expected"), same),
	try("psa", "html_error", "503", fails("503 Service Unavailable"), same),
	try("psa", "lost_reply", "1", lostPSA("1 change has"), same),
	try("psa", "refuse_agreement", firstAgreement, verdict{state.RunPartial, others, "list additions of agreement"}, verdict{state.RunPartial, others, "list additions of agreement"}),
	try("psa", "reject_keys", "", fails("Provided credentials are not valid"), same),
	try("psa", "reject_keys", "404", fails("answers 404 to wrong keys"), same),
	try("psa", "round_prices", "2", harmless, same),
	try("psa", "slow", "3s", harmless, same),
	try("psa", "slow", "3m", fails("no answer within 2m0s"), same),
	try("psa", "stale_agreement_stamp", "", harmless, same),
	try("psa", "switch_codebase", "v2026_2/", harmless, same),
	try("psa", "throttle_storm", "3 2", fine, same),
	try("psa", "throttle_storm", "", fails("Too many requests"), same),
}

// A misbehaviour that a stand-in learns is not tried here until somebody has said what should come of it.
func TestEveryMisbehaviourIsClassified(t *testing.T) {
	t.Parallel()
	shown, classified := map[string]bool{}, map[string]bool{}
	for _, m := range partnercentertest.Misbehaviours() {
		shown["vendor "+m.Name] = true
	}
	for _, m := range connectwisetest.Misbehaviours() {
		shown["psa "+m.Name] = true
	}
	for _, tr := range troubles {
		classified[tr.side+" "+tr.name] = true
	}
	if diff := cmp.Diff(shown, classified); diff != "" {
		t.Errorf("misbehaviours (-the stand-ins' +this test's table):\n%s", diff)
	}
}

// While a stand-in misbehaves, half of what is bought is cancelled or lowered, and the rest is raised on either side. No
// guard is set. Nothing falls because of a bad read; and when the stand-in behaves again, at most two runs do the rest, and
// in the end every change was made exactly once.
func TestNothingFallsWhenAStandInMisbehaves(t *testing.T) {
	t.Parallel()
	// An office costs more than a run. Runs that end in an error do nothing, so one office can have many of them; and what
	// is harmless is so together.
	offices := map[string][]trouble{}
	for _, tr := range troubles {
		for mode, want := range map[string]verdict{"feed": tr.feed, "sweep": tr.sweep} {
			tr.want, tr.mode = want, mode
			name := tr.String()
			switch {
			case want == same:
				continue
			case want == harmless:
				name = "harmless"
				for hasName(offices[name], tr) {
					name += " again"
				}
			case want.state == state.RunError:
				name = tr.side + " fails " + mode
			}
			offices[name] = append(offices[name], tr)
		}
	}
	for name, all := range offices {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 5, flow: rules + loose}, func(t *testing.T, o *office) {
				if all[0].want == harmless {
					o.suffer(all...)
				} else {
					for _, tr := range all {
						o.suffer(tr)
					}
				}
				o.settles()
			})
		})
	}
}

// hasName reports whether a misbehaviour of this name is among others.
func hasName(all []trouble, tr trouble) bool {
	return slices.ContainsFunc(all, func(o trouble) bool { return o.side == tr.side && o.name == tr.name })
}

// fallen are how many of an office's five customers cancel their first subscription and lower the second. The others get two
// more seats on the first line, and three more of the second subscription.
const fallen = 3

// Whoever calls it again finds it done.
func (o *office) stir() {
	o.t.Helper()
	if o.stirred {
		return
	}
	o.stirred = true
	for i, p := range o.pairs {
		switch first := p.good == goods[0]; {
		case i < 2*fallen && first:
			o.cancel(p)
		case i < 2*fallen:
			o.buy(p, seats-3)
		case first:
			o.bill(p, seats+2)
		default:
			o.buy(p, seats+3)
		}
	}
	o.before = o.psa.Writes()
}

// suffer runs the flow while stand-ins misbehave, and judges what was done and said. They misbehave already while people
// edit, and behave afterwards.
func (o *office) suffer(all ...trouble) {
	o.t.Helper()
	for _, tr := range all {
		defer o.misbehave(tr)()
	}
	o.stir()
	if all[0].name == "revoke_refresh" {
		o.pass(2 * time.Hour) // until the access token has run out
	}
	o.pass(5 * time.Minute)
	result, _ := o.run(o.t.Context(), engine.Options{Apply: true, Sweep: all[0].mode == "sweep"}) // the run tells about its error
	for _, tr := range all {
		o.judge(tr, result)
	}
}

// settles asserts that at most two runs do what is left, and that everything that had to happen since stir did so once.
func (o *office) settles() {
	t := o.t
	t.Helper()
	runs := 0
	for runs < 2 && !o.sync(engine.Options{}).Plan.Empty() {
		runs++
	}
	if runs == 2 {
		o.settled()
	}
	for i, p := range o.pairs {
		quantity, last, _ := o.billed(p)
		bought := o.bought(p)
		wanted, ended := seats-3, false
		switch first := p.good == goods[0]; {
		case i < 2*fallen && first:
			wanted, ended = seats, true
		case i < 2*fallen:
		case first:
			wanted = seats + 2
		default:
			wanted = seats + 3
		}
		if quantity != wanted || bought.Quantity != wanted || (last != "") != ended || (bought.Status == "deleted") != ended {
			t.Errorf("pair %d: %d seats are bought (%s) and %d billed until %q; wanted %d, ended: %v", i, bought.Quantity, bought.Status, quantity, last, wanted, ended)
		}
	}
	// One write for every line that had to follow, and one order for every subscription.
	if writes := o.psa.Writes() - o.before; writes != 2*fallen+2 {
		t.Errorf("the PSA was written %d times; %d lines had to follow", writes, 2*fallen+2)
	}
	if diff := cmp.Diff(map[string]int{o.pairs[6].id: 1, o.pairs[8].id: 1}, o.orders()); diff != "" {
		t.Errorf("orders at the vendor (-want +got):\n%s", diff)
	}
}

// misbehave turns a misbehaviour on, and gives what turns it off.
func (o *office) misbehave(tr trouble) (behave func()) {
	o.t.Helper()
	value := tr.value
	if value == firstAgreement {
		value = strconv.Itoa(o.pairs[0].agreement)
	}
	on, off := o.vendor.Misbehave, o.vendor.Behave
	if tr.side == "psa" {
		on, off = o.psa.Misbehave, o.psa.Behave
	}
	if err := on(tr.name, value); err != nil {
		o.t.Fatal(err)
	}
	return func() { off(tr.name) }
}

// judge looks at a run during which a stand-in misbehaved, and at what it did.
func (o *office) judge(tr trouble, result engine.Result) {
	o.t.Helper()
	want := tr.want
	complain := func(format string, args ...any) {
		o.t.Helper()
		o.t.Errorf(tr.String()+": "+format, args...)
	}
	account := map[string]string{"vendor": "microsoft", "psa": "psa"}[tr.side]
	run := result.Run
	if run.State != want.state {
		complain("the run is %s, wanted %s: %s\n%s", run.State, want.state, run.Reason, text(result.Plan))
	}
	switch run.State {
	case state.RunError, state.RunPartial:
		// One sentence with the account, the cause and, after a semicolon, what to do.
		if !strings.Contains(run.Reason, account) || !strings.Contains(run.Reason, want.says) || !strings.Contains(run.Reason, "; ") || strings.Contains(run.Reason, "\n") {
			complain("the run's sentence does not name %s, %q and a next step: %s", account, want.says, run.Reason)
		}
	case state.RunHeld:
		if len(result.Plan.Held) == 0 || !slices.ContainsFunc(o.pairs, func(p pair) bool { return strings.Contains(result.Plan.Held[0].Detail, p.id) }) || result.Plan.Held[0].Next == "" {
			complain("what is held is not named, or without a next step:\n%s", text(result.Plan))
		}
	}
	for i, p := range o.pairs {
		quantity, last, kept := o.billed(p)
		fell := quantity < seats || last != ""
		may := map[falls]bool{every: true, none: false, others: i >= 2, listed: i < 2*pages}[want.falls]
		if fell && !may {
			complain("line %d fell to %d seats, ending %q, and it was not well read", p.line, quantity, last)
		}
		if fell && i >= 2*fallen {
			complain("line %d fell to %d seats, ending %q, and it should not fall at all", p.line, quantity, last)
		}
		if kept != p.id {
			complain("line %d keeps the subscription id %q, not %q", p.line, kept, p.id)
		}
		if got := o.bought(p).Quantity; got < seats-3 || i >= 2*fallen && got < seats {
			complain("subscription %s was lowered to %d", p.id, got)
		}
	}
	links := o.links(o.t, model.KindLine)
	if want := slices.Sorted(slices.Values(o.ids())); !slices.Equal(slices.Sorted(maps.Keys(links)), want) {
		complain("the links are %v, and nothing was to be unlinked", links)
	}
	for _, p := range o.pairs {
		if links[p.id] != fmt.Sprint(p.line) {
			complain("subscription %s is linked with line %s, its own is %d", p.id, links[p.id], p.line)
		}
	}
}

func (o *office) ids() (ids []string) {
	for _, p := range o.pairs {
		ids = append(ids, p.id)
	}
	return ids
}

// A PSA that stops showing edited lines on their agreements hides edits from the feed. Nothing wrong is done meanwhile, the
// next sweep sees them, and from then on the feed is not believed.
func TestHiddenEditsAreSeenByTheSweep(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		// An edit that moved its agreement's stamp teaches that stamps can be trusted.
		o.bill(o.pairs[0], seats+1)
		o.sync(engine.Options{Sweep: true})
		if err := o.psa.Misbehave("stale_agreement_stamp", ""); err != nil {
			t.Fatal(err)
		}
		o.pass(48 * time.Hour) // what was told lately is told again, so let it be long ago
		o.settled()
		o.bill(o.pairs[2], seats+2)
		if result := o.settled(); result.Run.State != state.RunCompleted {
			t.Errorf("the run is %s: %s", result.Run.State, result.Run.Reason)
		}
		if result := o.sync(engine.Options{Sweep: true}); len(result.Plan.Changes) != 1 {
			t.Errorf("the sweep does not see the edit:\n%s", text(result.Plan))
		}
		o.bill(o.pairs[2], seats+3)
		o.sync(engine.Options{})
		if got := o.bought(o.pairs[2]).Quantity; got != seats+3 {
			t.Errorf("the vendor has %d seats: the feed was believed again", got)
		}
		if diff := cmp.Diff(map[string]int{o.pairs[0].id: 1, o.pairs[2].id: 2}, o.orders()); diff != "" {
			t.Errorf("orders at the vendor (-want +got):\n%s", diff)
		}
	})
}

// A PSA that keeps fewer decimals than it is given is not written again and again.
func TestRoundedPricesSettle(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 2, flow: rules + loose}, func(t *testing.T, o *office) {
		o.misbehave(trouble{side: "psa", name: "round_prices", value: "2"})
		g := goods[0]
		o.vendor.SetPrice(partnercentertest.Price{ProductID: g.product, SkuID: g.sku, ProductTitle: g.name, SkuTitle: g.name, Term: g.term,
			BillingPlan: g.billing, UnitPrice: "230.50", ERPPrice: g.erp, Start: time.Now().Add(-time.Hour)})
		before := o.psa.Writes()
		result := o.sync(engine.Options{Sweep: true})
		if got := o.psa.Writes() - before; got != 2 {
			t.Errorf("%d writes for 2 lines of the dearer product:\n%s", got, text(result.Plan))
		}
		if cost := fmt.Sprint(o.psa.Record("addition", o.pairs[0].line)["unitCost"]); cost != "19.21" {
			t.Errorf("the line costs %s, wanted 230.50 / 12 with two decimals", cost)
		}
		o.settled()
		o.pass(26 * time.Hour) // over a full sweep
		o.settled()
	})
}
