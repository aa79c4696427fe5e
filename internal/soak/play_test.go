package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// play is an MSP in memory that lives through a history.
type play struct {
	*oracle
	vendor, psa *memory.World
	flow        engine.Flow
	file        string
	engine      *engine.Engine
	now         time.Time
	asked       int   // requests of this run
	dieAt       int   // the request at which it dies; 0 for never
	died        bool  // in this run
	count       int64 // of what people typed
	orders      int
	tenants     []connectors.Ref
	subs        []connectors.Ref
	skus        []string
}

// errDied is what a process that is dead would see, if it could.
var errDied = errors.New("killed")

const flowName = "cloud"

func newPlay(dir string, h history) (*play, error) {
	p := &play{now: time.Date(2031, 3, 28, 9, 0, 0, 0, time.UTC), file: filepath.Join(dir, "trueup.db")}
	tell := func() time.Time { // the worlds look at their clock once for each request
		p.asked++
		if p.asked == p.dieAt {
			p.die()
		}
		return p.now
	}
	o := memory.Options{Now: tell, PageSize: 2}
	p.vendor = memory.NewVendor(o)
	if h.rounds {
		o.PriceDigits, o.TrimText = 2, true
	}
	p.psa = memory.NewPSA(o)
	p.oracle = newOracle(p.vendor, p.psa)
	p.flow = engine.Flow{
		Name: flowName, File: "flows/cloud.yaml", Vendor: "microsoft", PSA: "psa", Mode: engine.ModeWrite,
		Customers: engine.CustomerRules{Match: engine.MatchNames(), MissingPSA: engine.MissingCreate},
		Products:  engine.ProductRules{MissingPSA: engine.MissingCreate},
		Contracts: engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingCreate},
		Lines: engine.LineRules{First: plan.FirstVendor, MissingPSA: engine.MissingCreate, Fields: map[string]plan.FieldRule{
			"quantity":    {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold},
			"unit_cost":   {Owner: plan.OwnerVendor},
			"unit_price":  {Owner: plan.OwnerPSA},
			"description": {Owner: plan.OwnerVendor},
		}},
	}
	if err := statetest.Blank(p.file); err != nil {
		return p, err
	}
	if err := p.open(); err != nil {
		return p, err
	}
	for _, term := range []string{"P1Y", "P1M"} {
		p.skus = append(p.skus, "0007:0002 "+term+" monthly")
		err := p.add(p.vendor, connectors.Record{Kind: "price", ID: "0007:0002 " + term + " monthly", Fields: model.Fields{
			"sku": model.Text("0007:0002"), "termDuration": model.Text(term), "billingPlan": model.Text("monthly"), "skuTitle": model.Text("Business Premium"),
			"unitCostMonth": amount("16.1875 GBP"), "erpPriceMonth": amount("20.2 GBP")}}, nil)
		if err != nil {
			return p, err
		}
	}
	for i := range 2 {
		for _, s := range []step{{op: newTenant, n: 1}, {op: order, at: i}, {op: order, at: i, n: 1}} {
			if err := p.step(s); err != nil {
				return p, err
			}
		}
	}
	return p, p.run(engine.Options{Apply: true})
}

func amount(text string) model.Value {
	v, err := model.Parse(model.TypeMoney, text)
	if err != nil {
		panic(err)
	}
	return v
}

func (p *play) add(w *memory.World, rec connectors.Record, into *[]connectors.Ref) error {
	ref, err := w.Add(rec)
	if err == nil && into != nil {
		*into = append(*into, ref)
	}
	return err
}

// open starts trueup, as a daemon would: on the file that is there, ending the runs that its predecessor left.
func (p *play) open() error {
	clock := func() time.Time { return p.now }
	store, err := state.Open(context.Background(), "sqlite:"+p.file, state.WithClock(clock))
	if err != nil {
		return err
	}
	p.engine = &engine.Engine{Store: store, Log: zap.NewNop(), Now: clock, Location: time.UTC, Workers: 1, Accounts: map[string]*apply.Account{}}
	for name, world := range map[string]*memory.World{"microsoft": p.vendor, "psa": p.psa} {
		c := world.Connect()
		file := filepath.Join("..", "..", "engine", "testdata", c.Descriptor().System+".yaml")
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var problems diag.List
		m := mapping.Load(file, source, c.Descriptor(), &problems)
		if err := problems.Err(); err != nil {
			return err
		}
		p.engine.Accounts[name] = &apply.Account{Name: name, Connector: c, Mapping: m}
	}
	_, err = store.AbandonRuns(context.Background(), "killed")
	return err
}

// die ends the process: from now on it can keep nothing.
func (p *play) die() {
	p.died = true
	_ = p.engine.Store.Close() // what it says is of no use to the dead
}

// mortal is a store under which the process dies at a write, or somebody edits something.
type mortal struct {
	*state.Store
	writes         int
	before, after  int // the write before and after which something happens; 0 for never
	happen         func()
	over           bool // the process is dead
	dieOnHappening bool
}

func (m *mortal) write(do func() error) error {
	m.writes++
	if m.writes == m.before {
		m.happen()
		m.over = m.dieOnHappening
	}
	if m.over {
		return errDied
	}
	err := do()
	if m.writes == m.after {
		m.happen()
		if m.over = m.dieOnHappening; m.over {
			return errDied
		}
	}
	return err
}

func (m *mortal) Append(ctx context.Context, entries ...state.Entry) error {
	return m.write(func() error { return m.Store.Append(ctx, entries...) })
}

func (m *mortal) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	return m.write(func() error { return m.Store.Settle(ctx, outcome, snapshots, links) })
}

func (m *mortal) UpsertRecords(ctx context.Context, account string, records []connectors.Record, run string) (changed int, err error) {
	err = m.write(func() (err error) { changed, err = m.Store.UpsertRecords(ctx, account, records, run); return err })
	return changed, err
}

// run lets trueup run once and the oracle look. A run that died is followed by a new process.
func (p *play) run(opts engine.Options) error {
	p.now = p.now.Add(5 * time.Minute)
	p.asked, p.died = 0, false
	opts.Trigger = state.TriggerSchedule
	p.begins()
	result, err := p.engine.Run(context.Background(), p.flow, opts)
	p.last, p.lastErr = result, err
	ended := p.ends(p.now)
	if p.died {
		p.deaths++
		p.dieAt = 0
		p.engine.Journal = nil
		if err := p.open(); err != nil {
			return err
		}
	}
	return errors.Join(ended, p.look())
}

func (p *play) runWith(m *mortal, opts engine.Options) error {
	m.Store = p.engine.Store
	p.engine.Journal = m
	defer func() { p.engine.Journal = nil }()
	return p.run(opts)
}

// number is a number of seats that nobody typed before: by turns more and fewer than any other.
func (p *play) number() model.Value {
	p.count++
	if p.count%2 == 0 {
		return model.Int(1000 - p.count)
	}
	return model.Int(1000 + p.count)
}

func pick(refs []connectors.Ref, at int) (connectors.Ref, bool) {
	if len(refs) == 0 {
		return connectors.Ref{}, false
	}
	return refs[at%len(refs)], true
}

// step lets one thing happen.
func (p *play) step(s step) error {
	world := []*memory.World{p.vendor, p.psa}[s.side%2]
	switch s.op {
	case buy:
		return p.editSeats(p.vendor, p.subs, s.at)
	case bill:
		return p.editSeats(p.psa, p.lines(), s.at)
	case price, foreign:
		field := map[op]string{price: "unitPrice", foreign: "unitCost"}[s.op]
		if line, ok := pick(p.lines(), s.at); ok {
			p.count++
			v := amount(fmt.Sprintf("%d.25 GBP", 100+p.count))
			if s.op == price {
				p.paid[line.ID] = v
			} else {
				p.overtyped[line.ID] = append(p.overtyped[line.ID], p.now)
			}
			return p.psa.Edit(line, field, v)
		}
	case cost:
		p.count++
		return p.vendor.Edit(connectors.Ref{Kind: "price", ID: p.skus[s.at%len(p.skus)]}, "unitCostMonth", amount(fmt.Sprintf("%d.1875 GBP", p.count)))
	case rename:
		if sub, ok := pick(p.subs, s.at); ok {
			p.count++
			return p.vendor.Edit(sub, "offerName", model.Text(fmt.Sprintf("Business Premium %d ", p.count)))
		}
	case order:
		tenant, _ := pick(p.tenants, s.at)
		p.orders++
		id, seats := fmt.Sprintf("s-%d", p.orders), p.number()
		p.types(id, false, seats.String())
		p.committed[id] = s.n%3 == 0
		term := []string{"P1Y", "P1M"}[s.n%2]
		return p.add(p.vendor, connectors.Record{Kind: "subscription", Parent: tenant.ID, ID: id, Fields: model.Fields{
			"sku": model.Text("0007:0002"), "offerName": model.Text("Business Premium"), "quantity": seats, "termDuration": model.Text(term),
			"billingCycle": model.Text("monthly"), "effectiveStartDate": model.DayValue(model.NewDay(2031, 3, 5)), "commitmentEndDate": model.DayValue(model.NewDay(2032, 3, 4)),
			"refundableQuantity.totalQuantity": model.Int([]int64{0, 5000, 5000}[s.n%3])}}, &p.subs)
	case cancel, suspend:
		if sub, ok := pick(p.subs, s.at); ok {
			if p.deleted[sub.ID] {
				return nil
			}
			p.deleted[sub.ID] = s.op == cancel
			return p.vendor.Edit(sub, "status", model.Text(map[op]string{cancel: "deleted", suspend: "suspended"}[s.op]))
		}
	case remove:
		if sub, ok := pick(p.subs, s.at); ok && len(p.subs) > 1 {
			p.vanished[sub.ID] = true
			p.subs = append(p.subs[:s.at%len(p.subs):s.at%len(p.subs)], p.subs[s.at%len(p.subs)+1:]...)
			return p.vendor.Remove(sub)
		}
	case stopLine:
		if line, ok := pick(p.lines(), s.at); ok {
			p.endedByUser[line.ID] = true
			return p.psa.Edit(line, "cancelledDate", model.DayValue(model.DayOf(p.now).Add(-1)))
		}
	case newTenant:
		n := len(p.tenants) + 1
		id, domain := fmt.Sprintf("t-%d", n), fmt.Sprintf("c%d.example", n)
		if s.n%2 == 1 {
			if err := p.add(p.psa, connectors.Record{Kind: "company", Fields: model.Fields{"name": model.Text(fmt.Sprintf("Customer %d", n)), "website": model.Text(domain)}}, nil); err != nil {
				return err
			}
		}
		return p.add(p.vendor, connectors.Record{Kind: "customer", ID: id, Fields: model.Fields{
			"companyProfile.companyName": model.Text(fmt.Sprintf("Customer %d", n)), "companyProfile.tenantId": model.Text(id), "domains": model.List(domain)}}, &p.tenants)
	case misbehave:
		return p.misbehave(world, s)
	case behave:
		world.Behave(s.fault)
	case wait:
		p.now = p.now.Add(time.Duration(s.n) * time.Minute)
	case run:
		return p.run(engine.Options{Apply: true, Sweep: s.n%2 == 1})
	case dieBefore:
		return p.runWith(&mortal{before: s.n, happen: p.die, dieOnHappening: true}, engine.Options{Apply: true})
	case dieAfter:
		return p.runWith(&mortal{after: s.n, happen: p.die, dieOnHappening: true}, engine.Options{Apply: true})
	case dieAsking:
		p.dieAt = s.n
		err := p.run(engine.Options{Apply: true})
		p.dieAt = 0
		return err
	case editDuring:
		var failed error
		err := p.runWith(&mortal{after: s.n, happen: func() {
			if failed = p.editSeats(p.psa, p.lines(), s.at); s.side%2 == 0 {
				failed = errors.Join(failed, p.editSeats(p.vendor, p.subs, s.at))
			}
		}}, engine.Options{Apply: true})
		return errors.Join(failed, err)
	}
	return nil
}

// misbehave switches a fault on; "*" as its value stands for a parent of the records.
func (p *play) misbehave(w *memory.World, s step) error {
	p.faults++
	value := s.value
	if value == "*" {
		tenant, _ := pick(p.tenants, s.at)
		value = tenant.ID
		if w == p.psa {
			agreements := p.psa.Records("agreement")
			if len(agreements) == 0 {
				return nil
			}
			value = agreements[s.at%len(agreements)].ID
		}
	}
	p.missed = p.missed || s.fault == memory.FeedMisses
	return w.Misbehave(s.fault, value)
}

// settle switches all trouble off and lets trueup run until a run changes nothing; then the next must change nothing either.
func (p *play) settle(h history) (runs int, err error) {
	for _, w := range []*memory.World{p.vendor, p.psa} {
		for _, m := range w.Misbehaviours() {
			w.Behave(m.Name)
		}
	}
	for still := 0; still < 2; {
		before := p.total()
		// A feed that lost something does not say so: the daily sweep finds it.
		if err := p.run(engine.Options{Apply: true, Sweep: runs+still == 0 && (h.sweep || p.missed)}); err != nil {
			return runs, err
		}
		if p.lastErr != nil {
			return runs, fmt.Errorf("a run failed although nothing is wrong any more: %w", p.lastErr)
		}
		switch changed := len(p.last.Plan.Changes) > 0 || p.total() != before; {
		case !changed:
			still++
		case still > 0:
			return runs, fmt.Errorf("it was still and begins again:\n%s", text(p.last.Plan))
		case runs == 2:
			return runs, fmt.Errorf("it does not settle; the third run plans\n%s", text(p.last.Plan))
		default:
			runs++
		}
	}
	return runs, nil
}

// editSeats types a new number of seats into one of some records.
func (p *play) editSeats(w *memory.World, refs []connectors.Ref, at int) error {
	ref, ok := pick(refs, at)
	if !ok {
		return nil
	}
	sub := ref.ID
	if w == p.psa {
		rec, _ := w.Get(ref)
		sub = billed(rec)
	}
	if p.deleted[sub] {
		return nil
	}
	err := p.settled(sub)
	seats := p.number()
	p.types(sub, w == p.psa, seats.String())
	err = errors.Join(err, w.Edit(ref, "quantity", seats))
	p.watch(p.now)
	return err
}

// playOut lives through a history and returns its figures, or what was violated.
func playOut(dir string, h history) (figures, error) {
	p, err := newPlay(dir, h)
	if err == nil {
		err = p.out(h)
	}
	if p.engine != nil {
		err = errors.Join(err, p.engine.Store.Close())
	}
	return p.figures, err
}

func (p *play) out(h history) error {
	for i, s := range h.steps {
		if err := p.step(s); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, s, err)
		}
	}
	runs, err := p.settle(h)
	if err != nil {
		return err
	}
	p.runs = runs
	return p.judge(p.engine.Store)
}
