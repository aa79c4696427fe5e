package disaster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// play is a scenario while it goes on.
type play struct {
	dir, file string
	now       time.Time
	worlds    map[string]*memory.World // by side: vendor, psa
	witness   *witness
	engine    *engine.Engine
	flow      engine.Flow
	mappings  map[string]string // mapping text by side
	last      engine.Result
	lastErr   error
	wrote     string   // the last run that wrote something
	release   string   // the last plan with what the limits held in it
	said      []string // everything that runs told a person
	stores    int      // files that came after the first
	lost      bool     // the store was, and with it every link that no id rebuilds
	killed    bool     // in this run
}

var accounts = map[string]string{"vendor": "microsoft", "psa": "psa"}

func newPlay(dir string) (*play, error) {
	p := &play{dir: dir, file: filepath.Join(dir, "trueup.db"), now: firstDay, witness: &witness{}, flow: newFlow(), mappings: map[string]string{}}
	clock := func() time.Time { return p.now }
	p.worlds = map[string]*memory.World{
		"vendor": memory.NewVendor(memory.Options{Now: clock, PageSize: 2}),
		"psa":    memory.NewPSA(memory.Options{Now: clock, PageSize: 2, PriceDigits: 2, TrimText: true}),
	}
	for side := range p.worlds {
		source, err := os.ReadFile(filepath.Join("testdata", "mapping", "memory"+side+".yaml"))
		if err != nil {
			return p, err
		}
		p.mappings[side] = string(source)
	}
	file := filepath.Join("testdata", "world", "msp.yaml")
	source, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	var problems diag.List
	world := steps(strictyaml.Parse(file, source, &problems))
	if err := problems.Err(); err != nil {
		return p, err
	}
	if err := p.steps(world); err != nil {
		return p, err
	}
	if err := statetest.Blank(p.file); err != nil {
		return p, err
	}
	return p, p.open()
}

// open starts trueup on the store that is there, as a daemon would.
func (p *play) open() error {
	clock := func() time.Time { return p.now }
	store, err := state.Open(context.Background(), "sqlite:"+p.file, state.WithClock(clock))
	if err != nil {
		return err
	}
	p.engine = &engine.Engine{Store: store, Log: zap.NewNop(), Now: clock, Location: time.UTC, Workers: 1, Accounts: map[string]*apply.Account{}}
	for side := range p.worlds {
		if err := p.connect(side); err != nil {
			return err
		}
	}
	_, err = store.AbandonRuns(context.Background(), "killed")
	return err
}

func (p *play) connect(side string) error {
	c := watch(p.worlds[side], p.witness)
	var problems diag.List
	m := mapping.Load(c.Descriptor().System+".yaml", []byte(p.mappings[side]), c.Descriptor(), &problems)
	p.engine.Accounts[accounts[side]] = &apply.Account{Name: accounts[side], Connector: c, Mapping: m}
	return problems.Err()
}

func (p *play) close() error { return p.engine.Store.Close() }

func (p *play) steps(list []step) error {
	for _, s := range list {
		if err := p.step(s); err != nil {
			return fmt.Errorf("%s: %s %s: %w", s.pos, s.word, strings.Join(s.what, " "), err)
		}
	}
	return nil
}

// step lets one thing happen.
func (p *play) step(s step) error {
	switch s.word {
	case "clock":
		d, err := time.ParseDuration(s.what[0])
		p.now = p.now.Add(d)
		return err
	case "store":
		return p.store(s.what[0])
	case "flow":
		return p.set(s.set)
	case "approve":
		_, err := p.engine.Store.Decide(context.Background(), state.Decision{Digest: p.release, Flow: p.flow.Name, Person: s.what[0],
			Verdict: state.Approved, Reason: "asked the customer", Expires: p.now.Add(engine.ApprovedFor)})
		return err
	case "run":
		return p.run(s)
	}
	if len(s.what) == 0 || p.worlds[s.what[0]] == nil {
		return errors.New("the first word is vendor or psa")
	}
	world := p.worlds[s.what[0]]
	switch s.word {
	case "edit":
		ref, err := refOf(world, s.what[1], s.what[2])
		if err != nil {
			return err
		}
		fields, err := values(world, s.what[1], s.set)
		for name, v := range fields {
			err = errors.Join(err, world.Edit(ref, name, v))
		}
		return err
	case "add":
		fields, err := values(world, s.what[1], s.set)
		if err != nil {
			return err
		}
		_, err = world.Add(connectors.Record{Kind: s.what[1], ID: s.what[2], Parent: s.under, Fields: fields})
		return err
	case "remove":
		ref, err := refOf(world, s.what[1], s.what[2])
		if err != nil {
			return err
		}
		return world.Remove(ref)
	case "fault":
		return world.Misbehave(s.what[1], s.value)
	case "behave":
		world.Behave(s.what[1])
		return nil
	}
	return p.remap(s.what[0], strings.Join(s.what[1:], " "), s.with)
}

// remap edits the mapping of a side, as an admin would.
func (p *play) remap(side, from, to string) error {
	if !strings.Contains(p.mappings[side], from) {
		return fmt.Errorf("the mapping has no %q", from)
	}
	p.mappings[side] = strings.ReplaceAll(p.mappings[side], from, to)
	return p.connect(side)
}

// refOf finds a record by its id alone.
func refOf(world *memory.World, kind, id string) (connectors.Ref, error) {
	for _, rec := range world.Records(kind) {
		if rec.ID == id {
			return connectors.Ref{Kind: kind, ID: id, Parent: rec.Parent}, nil
		}
	}
	return connectors.Ref{}, fmt.Errorf("no %s %s", kind, id)
}

func values(world *memory.World, kind string, set [][2]string) (model.Fields, error) {
	described, _ := world.Connect().Descriptor().Kind(kind)
	fields := model.Fields{}
	for _, pair := range set {
		field, ok := described.Field(pair[0])
		if !ok {
			return nil, fmt.Errorf("%s has no field %q", kind, pair[0])
		}
		v, err := model.Parse(field.Type, pair[1])
		if err != nil {
			return nil, err
		}
		fields[pair[0]] = v
	}
	return fields, nil
}

// store does to the state what disks and people do to it.
func (p *play) store(what string) error {
	backup := filepath.Join(p.dir, "backup.db")
	if err := p.close(); err != nil {
		return err
	}
	switch what {
	case "backup":
		if err := copyFile(p.file, backup); err != nil {
			return err
		}
	case "restore":
		p.stores++
		p.file = filepath.Join(p.dir, fmt.Sprintf("restored-%d.db", p.stores))
		if err := copyFile(backup, p.file); err != nil {
			return err
		}
	case "copy":
		p.stores++
		if err := p.copyStore(filepath.Join(p.dir, fmt.Sprintf("copied-%d.db", p.stores))); err != nil {
			return err
		}
	case "lost":
		p.lost = true
		p.stores++
		p.file = filepath.Join(p.dir, fmt.Sprintf("new-%d.db", p.stores))
	default:
		return fmt.Errorf("a store is backup, restore, copy or lost, not %q", what)
	}
	return p.open()
}

// copyStore goes on with a copy, as trueup state copy makes one.
func (p *play) copyStore(file string) error {
	ctx := context.Background()
	from, err := state.Open(ctx, "sqlite:"+p.file)
	if err != nil {
		return err
	}
	to, err := state.Open(ctx, "sqlite:"+file)
	if err == nil {
		_, err = state.Copy(ctx, from, to)
		err = errors.Join(err, to.Close())
	}
	p.file = file
	return errors.Join(err, from.Close())
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// set changes the flow.
func (p *play) set(pairs [][2]string) error {
	for _, pair := range pairs {
		if err := p.setOne(pair[0], pair[1]); err != nil {
			return fmt.Errorf("%s: %w", pair[0], err)
		}
	}
	return nil
}

func (p *play) setOne(key, text string) error {
	f, g := &p.flow, &p.flow.Guards
	counts := map[string]*int{"customer_share": &g.PerCustomer.Share, "customer_count": &g.PerCustomer.Count, "run_share": &g.PerRun.Share, "run_count": &g.PerRun.Count,
		"change_share": &g.PerChange.Share, "approvals": &f.Approvals}
	amounts := map[string]**model.Money{"change_cost": &g.PerChange.Cost, "customer_cost": &g.PerCustomer.Cost, "run_cost": &g.PerRun.Cost,
		"change_drop": &g.PerChange.Drop, "customer_drop": &g.PerCustomer.Drop, "run_drop": &g.PerRun.Drop, "customer_bill": &g.PerCustomer.Bill, "run_bill": &g.PerRun.Bill}
	switch key {
	case "mode":
		f.Mode = engine.Mode(text)
	case "first":
		f.Lines.First = plan.First(text)
	case "missing_company":
		f.Customers.MissingPSA = engine.Missing(text)
	case "decrease":
		g.Decrease = plan.Decrease(text)
	case "credit_hold":
		f.CreditHold = text == "increase"
	case "freeze":
		from, to, _ := strings.Cut(text, " to ")
		first, fromErr := model.ParseDay(from)
		last, toErr := model.ParseDay(to)
		f.Freeze = []plan.Freeze{{From: first, To: last}}
		return errors.Join(fromErr, toErr)
	case "tickets": // the status that approves
		rules := engine.TicketRules{Board: "Cloud", Status: "New", Closed: "Completed"}
		f.Tell.Tickets = map[engine.Purpose]engine.TicketRules{engine.TellHeld: rules, engine.TellRefused: rules}
		f.Approve = engine.ApproveRules{Tickets: true, Approved: text, Rejected: "Rejected"}
	case "change_increase":
		q, err := model.ParseQuantity(text)
		g.PerChange.Increase = &q
		return err
	default:
		if into := amounts[key]; into != nil {
			m, err := model.ParseMoney(text)
			*into = &m
			return err
		}
		into := counts[key]
		if into == nil {
			return errors.New("a flow has no such key here")
		}
		n, err := strconv.Atoi(text)
		*into = n
		return err
	}
	return nil
}

// run lets trueup run once.
func (p *play) run(s step) error {
	p.now = p.now.Add(5 * time.Minute)
	opts := engine.Options{Trigger: state.TriggerSchedule, Apply: true}
	switch kind := s.what[0]; kind {
	case "incremental":
	case "sweep":
		opts.Sweep = true
	case "offline":
		opts.Offline = true
	case "plan":
		opts.Apply = false
	case "undo":
		opts.Undo = p.wrote
	default:
		return fmt.Errorf("a run is incremental, sweep, offline, plan or undo, not %q", kind)
	}
	if s.digest {
		opts.Digest = p.last.Digest
	}
	if s.over {
		opts.Digest = p.release
	}
	flow := p.flow
	flow.Name = cmp.Or(s.flow, flow.Name)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if s.stop {
		waiting := time.AfterFunc(100*time.Millisecond, func() { cancel(engine.ErrStopped) })
		defer waiting.Stop()
	}
	var once sync.Once
	var amidErr error
	p.engine.Progress = func(progress engine.Progress) {
		if strings.HasPrefix(progress.Step, cmp.Or(s.at, "planning")) {
			once.Do(func() { amidErr = p.steps(s.amid) })
		}
	}
	if s.killed[0] == "" {
		p.last, p.lastErr = p.engine.Run(ctx, flow, opts)
		p.hear()
		return amidErr
	}
	n, err := strconv.Atoi(s.killed[1])
	if err != nil || s.killed[0] != "before" && s.killed[0] != "after" {
		return fmt.Errorf("killed is like before 1 or after 2, not %q", strings.Join(s.killed[:], " "))
	}
	p.killed = false
	p.engine.Journal = &mortal{Store: p.engine.Store, at: n, before: s.killed[0] == "before", die: func() {
		p.killed = true
		_ = p.close() // what it says is of no use to the dead
	}}
	p.last, p.lastErr = p.engine.Run(ctx, flow, opts)
	if !p.killed {
		return errors.New("the run ended before it was killed")
	}
	return errors.Join(amidErr, p.open())
}

// hear keeps what the run told a person.
func (p *play) hear() {
	if p.last.Outcome.Done > 0 {
		p.wrote = p.last.Run.ID
	}
	if released, ok := plan.Release(p.last.Plan); ok {
		p.release = released.Digest()
	}
	said := []string{p.last.Run.Reason}
	if p.lastErr != nil {
		said = append(said, p.lastErr.Error())
	}
	for _, h := range p.last.Plan.Held {
		said = append(said, h.Change.Customer+", "+h.Change.Label+": held, "+h.Reason.Sentence()+": "+h.Detail+"; "+h.Next)
	}
	for _, f := range p.last.Plan.Findings {
		said = append(said, f.Title+": "+f.Detail+"; "+f.Next)
	}
	for _, f := range p.last.Outcome.Failures {
		said = append(said, "not done: "+f.Err.Error())
	}
	for _, c := range p.last.Plan.Changes {
		said = append(said, c.Customer+", "+c.Label+": "+c.Reason.Sentence())
	}
	if counts := p.last.Plan.Counts; p.lastErr == nil && counts.InStep == counts.Pairs && counts.NotCompared == 0 {
		said = append(said, fmt.Sprintf("all %d pairs are in step", counts.Pairs))
	}
	said = append(said, p.last.Plan.Partial...)
	for _, text := range said {
		if text != "" {
			p.said = append(p.said, text)
		}
	}
}

// seats are what every subscription and line holds, as a scenario names them.
func (p *play) seats() map[string]string {
	all := map[string]string{}
	for side, kind := range map[string]string{"vendor": "subscription", "psa": "addition"} {
		for _, rec := range p.worlds[side].Records(kind) {
			text := rec.Fields["quantity"].String()
			if end, ok := rec.Fields["cancelledDate"]; ok && !end.Blank() {
				text += ", ended " + end.String()
			}
			name := rec.ID
			if _, err := strconv.Atoi(name); err == nil { // made in the play: named for what it bills
				name = "of " + rec.Fields["custom.Vendor Subscription Id"].String()
			}
			all[side+" "+name] = text
		}
	}
	return all
}

// links counts what the store holds together.
func (p *play) links() (n int, err error) {
	for _, kind := range []model.Kind{model.KindCustomer, model.KindLine} {
		err = errors.Join(err, p.engine.Store.Links(context.Background(), p.flow.Name, kind, func(state.Link) error { n++; return nil }))
	}
	return n, err
}

var errKilled = errors.New("killed")

// mortal is a journal at one of whose writes the process is killed.
type mortal struct {
	*state.Store
	at     int
	before bool
	die    func()
	writes int
	dead   bool
}

func (m *mortal) write(do func() error) error {
	m.writes++
	if m.writes == m.at && m.before {
		m.dead = true
		m.die()
	}
	if m.dead {
		return errKilled
	}
	err := do()
	if m.writes == m.at {
		m.dead = true
		m.die()
		return errKilled
	}
	return err
}

func (m *mortal) Append(ctx context.Context, entries ...state.Entry) error {
	return m.write(func() error { return m.Store.Append(ctx, entries...) })
}

func (m *mortal) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	return m.write(func() error { return m.Store.Settle(ctx, outcome, snapshots, links) })
}

func (m *mortal) SettleTold(ctx context.Context, outcome state.Entry, told state.Told) error {
	return m.write(func() error { return m.Store.SettleTold(ctx, outcome, told) })
}
