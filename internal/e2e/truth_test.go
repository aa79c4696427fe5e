package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/model"
)

// kept is how many decimals of a price the PSA keeps.
const kept = 4

// world is a sandbox with trueup on it, over loopback.
type world struct {
	*installation
	t               *testing.T
	box             *sandbox.Sandbox
	truth           sandbox.Truth
	toVendor, toPSA *recorder
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Options{Customers: sandbox.MinComplete, PerCustomer: 2, Seed: seed,
		Start: time.Date(2031, time.March, 4, 10, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	vendor, psa := box.Accounts()
	vendorHTTP, toVendor := record(box.HTTP().Transport)
	psaHTTP, toPSA := record(box.HTTP().Transport)
	accounts := []account{
		{"microsoft", "partnercenter", vendor.Settings, vendor.Secrets, vendorHTTP},
		{"psa", "connectwise", psa.Settings, psa.Secrets, psaHTTP},
	}
	w := &world{t: t, box: box, truth: box.Truth(), toVendor: toVendor, toPSA: toPSA}
	w.installation = install(t, t.TempDir(), rules+loose, box.Now, newVault(), accounts...)
	return w
}

// Over awkward worlds: the first plan finds what the truth tells and nothing else; applied, it leaves every right pairing
// with one right line and everything else as it was; then there is nothing left to do, also after the store was lost.
func TestAgainstTheTruth(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{7, 11, 2031} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			first := w.must(t, engine.Options{})
			w.quiet("a plan")
			w.planned(first.Plan)

			before := w.lines()
			agreements := w.rows("agreement")
			done := w.must(t, engine.Options{Apply: true, Digest: first.Digest})
			if o := done.Outcome; o.Failed+o.Unknown+o.Skipped > 0 || o.Done != len(first.Plan.Changes) {
				t.Fatalf("not everything was done: %+v", o)
			}
			w.billedRight()
			w.onlyOursChanged(before, agreements)
			w.addsUp(done.Plan)

			w.toVendor.take()
			w.toPSA.take()
			for n, sweep := range []bool{false, true} {
				again := w.must(t, engine.Options{Apply: true, Sweep: sweep})
				if !again.Plan.Empty() {
					t.Errorf("plan %d is not empty:\n%s", n+2, text(again.Plan))
				}
				w.quiet(fmt.Sprintf("run %d", n+2))
			}

			links := w.links(t, model.KindLine)
			customers := w.links(t, model.KindCustomer)
			w.forget(t)
			found := w.must(t, engine.Options{Apply: true})
			if !found.Plan.Empty() {
				t.Errorf("the plan after a lost store is not empty:\n%s", text(found.Plan))
			}
			w.quiet("the run after a lost store")
			if diff := cmp.Diff(links, w.links(t, model.KindLine)); diff != "" {
				t.Errorf("links of lines after a lost store (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(customers, w.links(t, model.KindCustomer)); diff != "" {
				t.Errorf("links of customers after a lost store (-before +after):\n%s", diff)
			}
		})
	}
}

// quiet asserts that nothing was sent that changes anything.
func (w *world) quiet(what string) {
	w.t.Helper()
	if writes := append(w.toVendor.take(), w.toPSA.take()...); len(writes) > 0 {
		w.t.Errorf("%s sent %d writes: %v", what, len(writes), writes)
	}
}

// planned compares the first plan with the truth, subscription by subscription.
func (w *world) planned(p plan.Plan) {
	t := w.t
	t.Helper()
	if len(p.Partial) > 0 {
		t.Fatalf("it read the world in part only: %v", p.Partial)
	}
	reported := map[plan.Reason]int{}
	treated, drift := map[string]sandbox.Expect{}, map[string]bool{}
	for _, f := range p.Findings {
		reported[f.Kind]++
	}
	for _, h := range p.Held {
		reported[h.Reason]++
		treated[h.Change.Pair.Vendor.ID] = sandbox.ExpectHold
	}
	if diff := cmp.Diff(w.truth.Expected, reported); diff != "" {
		t.Errorf("reported (-truth +trueup):\n%s", diff)
	}
	lines := map[string]string{}
	for _, c := range p.Changes {
		if c.Target.Kind != model.KindLine {
			continue
		}
		sub := c.Pair.Vendor.ID
		lines[sub] = c.Target.ID
		switch c.Op {
		case plan.OpCreate:
			treated[sub] = sandbox.ExpectCreate
			continue
		case plan.OpEnd:
			treated[sub] = sandbox.ExpectEnd
			drift[fmt.Sprintf("%s: line %s ends", sub, c.Target.ID)] = true
			continue
		}
		for _, f := range c.Fields {
			switch f.Field {
			case "quantity":
				drift[fmt.Sprintf("%s: line %s goes from %s to %s seats", sub, c.Target.ID, f.From, f.To)] = true
			case "unit_cost":
				cost, _ := f.To.Money()
				drift[fmt.Sprintf("%s: line %s costs %s %s", sub, c.Target.ID, cost.Amount().RoundBank(kept), cost.Currency())] = true
			case "subscription":
				treated[sub] = sandbox.ExpectAdopt
			default:
				t.Errorf("line %s: %s changes from %s to %s", c.Target.ID, f.Field, f.From, f.To)
			}
		}
	}
	planted := map[string]bool{}
	for _, d := range w.truth.Drift {
		what := fmt.Sprintf("%s: line %s ", d.Subscription, d.Line)
		switch d.Kind {
		case sandbox.DriftEnded:
			planted[what+"ends"] = true
		case sandbox.DriftCostOld:
			planted[what+"costs "+d.VendorCost+" GBP"] = true
		default:
			planted[what+fmt.Sprintf("goes from %d to %d seats", d.PSASeats, d.VendorSeats)] = true
		}
	}
	if diff := cmp.Diff(planted, drift); diff != "" {
		t.Errorf("drift (-planted +found):\n%s", diff)
	}
	for _, sub := range w.truth.Subscriptions {
		want := sub.Expect
		switch want {
		case sandbox.ExpectLinked, sandbox.ExpectPerson, sandbox.ExpectNothing, sandbox.ExpectUncertain:
			want = "" // nothing but plain drift is planned for these
		}
		if got := treated[sub.ID]; got != want {
			t.Errorf("subscription %s is treated as %q, the truth expects %s %s", sub.ID, got, sub.Expect, sub.Reason)
		}
		if line := lines[sub.ID]; line != "" && line != sub.Line {
			t.Errorf("subscription %s: line %s is written, its own is %q", sub.ID, line, sub.Line)
		}
	}
	keys := map[string]plan.Finding{}
	for _, f := range p.Findings {
		keys[f.Key] = f
	}
	for _, v := range w.truth.VendorOnly {
		if f := keys[plan.ChangeID("customer", w.flow.Name, v.Tenant)]; f.Kind != v.Reason || f.Next == "" {
			t.Errorf("tenant %s without a sure company: reported %q, the truth says %s", v.Tenant, f.Kind, v.Reason)
		}
	}
	for _, l := range w.truth.StrayLines {
		if f := keys[plan.ChangeID("stray", w.flow.Name, l.Line)]; f.Kind != l.Reason || f.Next == "" {
			t.Errorf("line %s without a subscription: reported %q, the truth says %s", l.Line, f.Kind, l.Reason)
		}
	}
}

// rows are the records of a kind as JSON, by id.
func (w *world) rows(kind string) map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	for _, id := range w.box.PSA().IDs(kind) {
		row, err := json.Marshal(w.box.PSA().Record(kind, id))
		if err != nil {
			w.t.Fatal(err)
		}
		rows[fmt.Sprint(id)] = string(row)
	}
	return rows
}

func (w *world) lines() map[string]string { return w.rows("addition") }

// addition is what is looked at of a line.
type addition struct {
	Agreement int             `json:"agreementId"`
	Quantity  decimal.Decimal `json:"quantity"`
	UnitCost  decimal.Decimal `json:"unitCost"`
	Last      string          `json:"cancelledDate"`
	Kept      string          `json:"custom.Vendor Subscription Id"`
}

func (w *world) addition(row string) addition {
	w.t.Helper()
	var a addition
	if err := json.Unmarshal([]byte(row), &a); err != nil {
		w.t.Fatal(err)
	}
	a.Kept = strings.ToLower(strings.TrimSpace(a.Kept))
	return a
}

// billedRight asserts that every right pairing has exactly one line, with the right quantity, on an agreement of its company.
func (w *world) billedRight() {
	t := w.t
	t.Helper()
	billing := map[string][]string{}
	all := w.lines()
	for id, row := range all {
		if a := w.addition(row); a.Kept != "" && a.Last == "" {
			billing[a.Kept] = append(billing[a.Kept], id)
		}
	}
	for _, sub := range w.truth.Subscriptions {
		lines := billing[sub.ID]
		switch sub.Expect {
		case sandbox.ExpectLinked, sandbox.ExpectAdopt, sandbox.ExpectCreate:
			if len(lines) != 1 || sub.Line != "" && lines[0] != sub.Line {
				t.Errorf("subscription %s (%s) is billed by lines %v, wanted one, %q", sub.ID, sub.Expect, lines, sub.Line)
				continue
			}
			a := w.addition(all[lines[0]])
			company := fmt.Sprint(w.box.PSA().Record("agreement", a.Agreement)["company"].(map[string]any)["id"])
			if !a.Quantity.Equal(decimal.NewFromInt(int64(sub.Seats))) || company != sub.Company {
				t.Errorf("subscription %s: %d seats of company %s are billed as %s to company %s", sub.ID, sub.Seats, sub.Company, a.Quantity, company)
			}
		case sandbox.ExpectEnd:
			if len(lines) != 0 || w.addition(all[sub.Line]).Last == "" {
				t.Errorf("subscription %s is over and lines %v bill it", sub.ID, lines)
			}
		case sandbox.ExpectHold, sandbox.ExpectNothing:
			if sub.Line == "" && len(lines) > 0 {
				t.Errorf("subscription %s (%s) is billed by lines %v", sub.ID, sub.Expect, lines)
			}
		}
	}
}

// onlyOursChanged asserts that lines and agreements which are none of ours are as they were, to the byte.
func (w *world) onlyOursChanged(before, agreements map[string]string) {
	t := w.t
	t.Helper()
	ours := map[string]bool{}
	for _, d := range w.truth.Drift {
		ours[d.Line] = true
	}
	for _, sub := range w.truth.Subscriptions {
		if sub.Expect == sandbox.ExpectAdopt {
			ours[sub.Line] = true
		}
	}
	touched := map[string]bool{}
	after := w.lines()
	for id, row := range after {
		if was, existed := before[id]; !existed || ours[id] {
			touched[fmt.Sprint(w.addition(row).Agreement)] = true
		} else if row != was {
			t.Errorf("line %s is none of ours and changed:\n%s", id, cmp.Diff(was, row))
		}
	}
	if len(after) < len(before) {
		t.Errorf("%d lines are left of %d", len(after), len(before))
	}
	for id, row := range w.rows("agreement") {
		if was, existed := agreements[id]; existed && !touched[id] && row != was {
			t.Errorf("agreement %s is none of ours and changed:\n%s", id, cmp.Diff(was, row))
		}
	}
	for _, id := range w.truth.OtherLines {
		if touched[fmt.Sprint(w.addition(after[id]).Agreement)] {
			t.Errorf("the agreement of line %s, of another type, was written on", id)
		}
	}
	for _, sub := range w.box.Vendor().Dump().Audit {
		if strings.HasPrefix(sub.User, "service@") {
			t.Errorf("something was changed at the vendor: %+v", sub)
		}
	}
}

// addsUp asserts that what is linked and what is reported sum to everything the vendor charges, in seats and in money.
func (w *world) addsUp(p plan.Plan) {
	t := w.t
	t.Helper()
	links := w.links(t, model.KindLine)
	state := w.box.Vendor().Dump()
	all := w.lines()
	costs := map[string]plan.Finding{}
	for _, f := range p.Findings {
		costs[f.Key] = f
	}
	var linkedSeats, openSeats, allSeats, linkedCost, openCost, allCost decimal.Decimal
	customers := map[string]decimal.Decimal{}
	for _, sub := range state.Subscriptions {
		if sub.Trial || sub.Status != "active" && sub.Status != "suspended" || sub.ProductType != "OnlineServicesNCE" {
			continue
		}
		seats := decimal.NewFromInt(int64(sub.Quantity))
		price := w.month(state.Prices, sub)
		line, linked := links[sub.ID]
		if linked {
			price = price.RoundBank(kept)
		}
		allSeats, allCost = allSeats.Add(seats), allCost.Add(seats.Mul(price))
		if linked {
			a := w.addition(all[line])
			linkedSeats, linkedCost = linkedSeats.Add(a.Quantity), linkedCost.Add(a.Quantity.Mul(a.UnitCost))
			continue
		}
		openSeats = openSeats.Add(seats)
		key := plan.ChangeID("customer", w.flow.Name, sub.Customer)
		if _, told := costs[key]; told {
			customers[key] = customers[key].Add(seats.Mul(price))
			continue
		}
		openCost = openCost.Add(seats.Mul(price))
		if !slices.ContainsFunc(p.Findings, func(f plan.Finding) bool { return strings.Contains(f.Detail+f.Next, sub.ID) }) &&
			!slices.ContainsFunc(p.Held, func(h plan.Held) bool { return h.Change.Pair.Vendor.ID == sub.ID }) {
			t.Errorf("subscription %s with %d seats is neither linked nor reported", sub.ID, sub.Quantity)
		}
	}
	for key, sum := range customers {
		if got := costs[key].Money.Amount(); !got.Equal(sum) {
			t.Errorf("%s: %s a month are reported, it is %s", costs[key].Title, got, sum)
		}
		openCost = openCost.Add(costs[key].Money.Amount())
	}
	if !linkedSeats.Add(openSeats).Equal(allSeats) {
		t.Errorf("%s seats are linked and %s open, the vendor charges %s", linkedSeats, openSeats, allSeats)
	}
	if !linkedCost.Add(openCost).Equal(allCost) {
		t.Errorf("%s a month are linked and %s open, the vendor charges %s", linkedCost, openCost, allCost)
	}
	if linkedSeats.IsZero() || openSeats.IsZero() || len(customers) == 0 {
		t.Errorf("%s seats linked, %s open, %d customers open: this shows nothing", linkedSeats, openSeats, len(customers))
	}
}

// month is what a seat costs a month by the price sheet; nothing where the sheet does not say.
func (w *world) month(prices []partnercentertest.Price, sub partnercentertest.Subscription) decimal.Decimal {
	w.t.Helper()
	now := w.box.Now()
	for _, p := range prices {
		if !strings.HasPrefix(sub.OfferID, p.ProductID+":"+p.SkuID+":") || p.Term != sub.Term || !strings.EqualFold(p.BillingPlan, sub.BillingCycle) ||
			now.Before(p.Start) || !p.End.IsZero() && !now.Before(p.End) {
			continue
		}
		price, err := decimal.NewFromString(p.UnitPrice)
		if err != nil {
			w.t.Fatal(err)
		}
		months := map[string]int64{"P1M": 1, "P1Y": 12, "P3Y": 36}[p.Term]
		return price.DivRound(decimal.NewFromInt(months), 10)
	}
	return decimal.Zero
}
