package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// The schedules of a month. The nights on which London changes its clocks leave out, or repeat, half past one.
const (
	twiceADay  = "0,2 */12 * * *" // and once more two minutes later
	everyNight = "30 1 * * *"
	every31st  = "30 6 31 * *"
)

// month is an MSP in a bubble, with a daemon that lives through a month of London's clocks.
type month struct {
	t           *testing.T
	month       time.Month    // of 2031
	offset      time.Duration // of London's clocks from those of the bubble
	location    *time.Location
	file        string
	vendor, psa *memory.World
	subs, lines []connectors.Ref
	seats       []int64 // that each pair should have in the end
	linking     int     // writes that the first run made: the tenants' ids, on their companies

	speaks func(account string, c connectors.Connector) connectors.Connector // what a connector can besides; nil for nothing
	more   func(*daemon.Daemon)                                              // sets more of the daemon; nil for nothing

	stop  context.CancelFunc
	ended chan error

	mu   sync.Mutex // guards the rest
	runs []state.Run
}

func (m *month) now() time.Time { return time.Now().Add(m.offset) }

// until lets time pass until London's clocks show a day and a time of day.
func (m *month) until(day, hour, minute int) {
	m.t.Helper()
	at := m.day(day, hour, minute)
	if !at.After(m.now()) {
		m.t.Fatalf("%s is over", at)
	}
	<-time.After(at.Sub(m.now()))
	synctest.Wait()
}

// day is a time in the month: day 32 of March is the first of April.
func (m *month) day(day, hour, minute int) time.Time {
	return time.Date(2031, m.month, day, hour, minute, 0, 0, m.location)
}

// start is a new process on the store that is there; stops ends it.
func (m *month) start() {
	m.t.Helper()
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	store, err := state.Open(m.t.Context(), "sqlite:"+m.file, state.WithClock(m.now), state.WithWait(0))
	must(err)
	e := &engine.Engine{Store: store, Accounts: map[string]*apply.Account{}, Log: zap.NewNop(), Now: m.now, Location: m.location, Workers: 1}
	for name, world := range map[string]*memory.World{"microsoft": m.vendor, "psa": m.psa} {
		c := world.Connect()
		if m.speaks != nil {
			c = m.speaks(name, c)
		}
		file := filepath.Join("..", "..", "engine", "testdata", c.Descriptor().System+".yaml")
		source, err := os.ReadFile(file)
		must(err)
		var problems diag.List
		loaded := mapping.Load(file, source, c.Descriptor(), &problems)
		must(problems.Err())
		e.Accounts[name] = &apply.Account{Name: name, Connector: c, Mapping: loaded}
	}
	d := &daemon.Daemon{OpenQueue: atOnce,
		Engine: e, Discovers: map[string]string{"microsoft": everyNight, "psa": every31st}, Log: zap.NewNop(),
		Flows: []engine.Flow{{
			Name: "cloud", File: "flows/cloud.yaml", Vendor: "microsoft", PSA: "psa", Mode: engine.ModeWrite, Schedule: twiceADay,
			Customers: engine.CustomerRules{Match: engine.MatchNames()},
			Contracts: engine.ContractRules{Type: "Cloud Services"},
			Lines: engine.LineRules{First: plan.FirstVendor, MissingPSA: engine.MissingCreate, Fields: map[string]plan.FieldRule{
				"quantity": {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}, "unit_price": {Owner: plan.OwnerPSA}}},
		}},
		// Nobody else wants the lease here, and a month has many turns.
		Tick: 6 * time.Hour,
		Finished: func(run state.Run, err error) {
			if err != nil && !errors.Is(err, state.ErrRunning) {
				m.t.Errorf("%s %s at %s: %v", run.Kind, run.Name, m.now().In(m.location), err)
			}
			m.mu.Lock()
			m.runs = append(m.runs, run)
			m.mu.Unlock()
		},
	}
	if m.more != nil {
		m.more(d)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(m.t.Context())
	m.ended = make(chan error, 1)
	go func() { m.ended <- errors.Join(d.Run(ctx), store.Close()) }()
	synctest.Wait()
}

func (m *month) stops() {
	m.t.Helper()
	m.stop()
	if err := <-m.ended; err != nil {
		m.t.Errorf("the daemon ended with: %v", err)
	}
}

// buys and bills are edits by people; n is the pair.
func (m *month) buys(n int, seats int64)  { m.edit(m.vendor, m.subs[n], n, seats) }
func (m *month) bills(n int, seats int64) { m.edit(m.psa, m.lines[n], n, seats) }

func (m *month) edit(world *memory.World, ref connectors.Ref, n int, seats int64) {
	m.t.Helper()
	if err := world.Edit(ref, "quantity", model.Int(seats)); err != nil {
		m.t.Fatal(err)
	}
	m.seats[n] = seats
}

// fill makes two customers with two subscriptions each and the lines that bill them.
func (m *month) fill() {
	m.t.Helper()
	add := func(w *memory.World, rec connectors.Record) connectors.Ref {
		m.t.Helper()
		ref, err := w.Add(rec)
		if err != nil {
			m.t.Fatal(err)
		}
		return ref
	}
	money := func(text string) model.Value {
		v, err := model.Parse(model.TypeMoney, text)
		if err != nil {
			m.t.Fatal(err)
		}
		return v
	}
	const sku = "0007:0002"
	add(m.vendor, connectors.Record{Kind: "price", ID: sku + " P1Y monthly", Fields: model.Fields{"sku": model.Text(sku), "termDuration": model.Text("P1Y"),
		"billingPlan": model.Text("monthly"), "skuTitle": model.Text("Business Premium"), "unitCostMonth": money("16.1875 GBP"), "erpPriceMonth": money("20.2 GBP")}})
	item := add(m.psa, connectors.Record{Kind: "catalogItem", Fields: model.Fields{"identifier": model.Text(sku), "description": model.Text("Business Premium"),
		"vendorSku": model.Text(sku), "manufacturerPartNumber": model.Text(sku + " P1Y monthly")}})
	for c := range 2 {
		id, name, domain := fmt.Sprintf("t-%d", c), fmt.Sprintf("Customer %d", c), fmt.Sprintf("c%d.example", c)
		add(m.vendor, connectors.Record{Kind: "customer", ID: id, Fields: model.Fields{"companyProfile.companyName": model.Text(name),
			"companyProfile.tenantId": model.Text(id), "domains": model.List(domain)}})
		company := add(m.psa, connectors.Record{Kind: "company", Fields: model.Fields{"name": model.Text(name), "website": model.Text(domain)}})
		agreement := add(m.psa, connectors.Record{Kind: "agreement", Fields: model.Fields{"name": model.Text("Cloud"), "type": model.Text("Cloud Services"),
			"company": model.Text(company.ID), "startDate": model.DayValue(model.NewDay(2030, 1, 1))}})
		for s := range 2 {
			sub := fmt.Sprintf("s-%d%d", c, s)
			m.subs = append(m.subs, add(m.vendor, connectors.Record{Kind: "subscription", Parent: id, ID: sub, Fields: model.Fields{
				"sku": model.Text(sku), "offerName": model.Text("Business Premium"), "quantity": model.Int(10), "termDuration": model.Text("P1Y"), "billingCycle": model.Text("monthly"),
				"effectiveStartDate": model.DayValue(model.NewDay(2031, 1, 5)), "commitmentEndDate": model.DayValue(model.NewDay(2032, 1, 4)),
				"refundableQuantity.totalQuantity": model.Int(100)}}))
			m.lines = append(m.lines, add(m.psa, connectors.Record{Kind: "addition", Parent: agreement.ID, Fields: model.Fields{
				"product": model.Text(item.ID), "quantity": model.Int(10), "unitCost": money("16.1875 GBP"), "unitPrice": money("21 GBP"),
				"invoiceDescription": model.Text("Business Premium"), "custom.Vendor Subscription Id": model.Text(sub), "effectiveDate": model.DayValue(model.NewDay(2031, 1, 5))}}))
			m.seats = append(m.seats, 10)
		}
	}
}

// came counts the runs of a name by how they came to be, and says at which of London's times those of a kind began.
func (m *month) came(name string) (counts map[string]int, began []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts = map[string]int{}
	for _, r := range m.runs {
		if r.Name != name {
			continue
		}
		what := string(r.Trigger)
		if r.State != state.RunCompleted {
			what += ", " + string(r.State)
		}
		counts[what]++
		began = append(began, r.Started.In(m.location))
	}
	return counts, began
}

// A month of 31 days in which the clocks change, the daemon is down for 26 hours, and a run is still going on when it is due again: every run that
// the calendar names came once, every edit was carried over once, and both sides agree.
func TestAMonth(t *testing.T) {
	t.Parallel()
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		month   time.Month
		changes int // the day on which the clocks change
		hours   int // that the month has
	}{
		{"clocks are put forward", time.March, 30, 31*24 - 1},
		{"clocks are put back", time.October, 26, 31*24 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "trueup.db")
			if err := statetest.Blank(file); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				m := &month{t: t, month: tt.month, location: london, file: file}
				m.offset = time.Until(time.Date(2031, tt.month, 1, 0, 15, 0, 0, london))
				m.vendor, m.psa = memory.NewVendor(memory.Options{Now: m.now}), memory.NewPSA(memory.Options{Now: m.now, PriceDigits: 2})
				m.fill()
				if got := m.day(32, 0, 0).Sub(m.day(1, 0, 0)); got != time.Duration(tt.hours)*time.Hour {
					t.Fatalf("the month has %s", got)
				}
				m.live(tt.changes)
				m.judge()
			})
		})
	}
}

// live lets the month pass.
func (m *month) live(changes int) {
	m.start() // all three are new to it and begin at once, at 00:15
	m.linking = m.psa.TotalEffects()
	m.until(3, 11, 10)
	m.buys(0, 12)
	m.until(5, 23, 50)
	m.bills(1, 7)

	// The run of 12:00 waits for an answer until 12:03; that of 12:02 finds it at work.
	m.until(8, 11, 30)
	m.bills(2, 15)
	if err := m.psa.Misbehave(memory.Slow, ""); err != nil {
		m.t.Fatal(err)
	}
	m.until(8, 12, 3)
	m.psa.Behave(memory.Slow)

	// 26 hours without a daemon, from the 14th 09:30: four runs of the flow and one night are missed.
	m.until(14, 9, 30)
	m.stops()
	m.until(14, 20, 0)
	m.buys(3, 11)
	m.until(15, 2, 0)
	m.bills(0, 9)
	m.until(15, 11, 30)
	m.start()

	// The night on which the clocks change.
	m.until(changes-1, 23, 30)
	m.buys(1, 8)
	m.until(changes, 1, 10)
	m.bills(2, 14)
	m.until(changes, 13, 0)
	m.buys(2, 13)

	m.until(31, 23, 10)
	m.bills(3, 17)
	m.until(32, 0, 1)
	m.stops()
}

// judge counts what came of it.
func (m *month) judge() {
	t := m.t
	t.Helper()
	for _, tt := range []struct {
		name string
		want map[string]int
	}{
		// 31 times 4, less two on the first, when nothing ran yet, and with midnight of the first of the next month. Four of them were missed, and one
		// found another at work. One began when the flow was new, one made up for the missed.
		{"cloud", map[string]int{"schedule": 31*4 - 2 + 1 - 4 - 1, "schedule, stopped": 1, "catch-up": 2}},
		{"microsoft", map[string]int{"schedule": 31 - 1, "catch-up": 2}},
		{"psa", map[string]int{"schedule": 1, "catch-up": 1}},
	} {
		counts, began := m.came(tt.name)
		if diff := cmp.Diff(tt.want, counts); diff != "" {
			t.Errorf("runs of %s (-calendar +daemon):\n%s", tt.name, diff)
		}
		if tt.name != "microsoft" {
			continue
		}
		days := map[int]int{}
		for _, at := range began {
			days[at.Day()]++
		}
		for day := 1; day <= 31; day++ {
			want := 1
			if day == 1 {
				want = 2 // when it was new, and at its time
			}
			if days[day] != want { // the 15th has the catch-up
				t.Errorf("discoveries on day %d: %d, wanted %d", day, days[day], want)
			}
		}
	}
	for i := range m.subs {
		sub, _ := m.vendor.Get(m.subs[i])
		line, _ := m.psa.Get(m.lines[i])
		want := model.Int(m.seats[i])
		if sub.Fields["quantity"] != want || line.Fields["quantity"] != want {
			t.Errorf("pair %d: %s seats are bought and %s billed, wanted %s", i, sub.Fields["quantity"], line.Fields["quantity"], want)
		}
	}
	// Nine edits, and each was written to the other side once.
	if got := []int{m.vendor.TotalEffects(), m.psa.TotalEffects() - m.linking}; !slices.Equal(got, []int{5, 4}) {
		t.Errorf("%v writes to the vendor and the PSA, wanted 5 and 4", got)
	}
}

// atOnceQueue does each job when it is queued. The real queue looks into the database every second or two, which a month has too many of.
type atOnceQueue struct {
	jobs.Options
	ctx     context.Context //nolint:containedctx // of Start, as a queue has it
	working sync.WaitGroup
	stopped chan struct{}
}

func atOnce(_ context.Context, _ *state.Store, o jobs.Options) (daemon.Queue, error) {
	return &atOnceQueue{Options: o, stopped: make(chan struct{})}, nil
}

func (q *atOnceQueue) Start(ctx context.Context) error {
	q.ctx = ctx
	go func() {
		<-ctx.Done()
		q.working.Wait()
		close(q.stopped)
	}()
	return nil
}

func (q *atOnceQueue) Stopped() <-chan struct{} { return q.stopped }

func (q *atOnceQueue) Add(_ context.Context, list ...jobs.Job) error {
	for _, j := range list {
		body, err := json.Marshal(j.Body)
		if err != nil {
			return err
		}
		q.working.Go(func() { _, _ = q.Handlers[j.Kind](q.ctx, jobs.Call{Body: body, Try: 1}) })
	}
	return nil
}

func (q *atOnceQueue) Do(context.Context, jobs.Kind, []string, func(i, try int) any) ([]json.RawMessage, error) {
	return nil, errors.New("a small world has no parts")
}

func (q *atOnceQueue) Tidy(context.Context) error { return nil }
