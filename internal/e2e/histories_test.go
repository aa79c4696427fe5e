package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/state"
)

var (
	soak     = flag.Int("soak", 0, "how many random histories TestHistories lives through; 0 for a few")
	soakSeed = flag.Uint64("soak.seed", 1, "the first seed of TestHistories")
)

// typed are the seats that people typed on either side of a pair since its sides were last equal; 0 for none.
type typed struct{ vendor, psa int }

// past is an office that lives through random edits, misbehaviours and deaths. It is the small brother, over HTTP, of internal/soak,
// which says what must hold.
type past struct {
	*office
	random *rand.Rand
	log    []string
	open   []typed // by pair
	billed map[string]int
	waits  map[string]int // decreases of which a part waits for the end of the term, by subscription
	bought int
	count  int
}

func (p *past) say(format string, args ...any) { p.log = append(p.log, fmt.Sprintf(format, args...)) }

// check closes what was typed for a pair whose sides are equal.
func (p *past) check(i int) {
	p.t.Helper()
	quantity, _, _ := p.office.billed(p.pairs[i])
	bought := p.office.bought(p.pairs[i])
	if quantity != bought.Quantity {
		return
	}
	t := p.open[i]
	p.open[i] = typed{}
	if t.vendor == 0 && t.psa != 0 && t.psa < quantity && bought.Next != nil && bought.Next.Quantity == t.psa {
		p.waits[p.pairs[i].id]++ // the vendor does not take all of them back now: the rest is scheduled for the end of the term
		return
	}
	if t.vendor != 0 && t.psa != 0 || t.vendor != 0 && t.vendor != quantity || t.psa != 0 && t.psa != quantity {
		p.t.Errorf("pair %d: people typed %+v (0: nothing), and both sides became %d", i, t, quantity)
	}
}

// edit types a number that nobody typed before.
func (p *past) edit() {
	i, onPSA := p.random.IntN(len(p.pairs)), p.random.IntN(2) == 0
	p.check(i)
	p.count++
	n := seats + p.count
	if below := seats - p.count; below > 0 && p.random.IntN(2) == 0 {
		n = below
	}
	p.say("pair %d, psa %t: %d seats", i, onPSA, n)
	if onPSA {
		p.bill(p.pairs[i], n)
		p.open[i].psa = n
		p.billed[p.pairs[i].id]++
		return
	}
	if n < p.office.bought(p.pairs[i]).Quantity { // the vendor may not take them back; there the number goes up
		n = seats + p.count
	}
	p.buy(p.pairs[i], n)
	p.open[i].vendor = n
	p.bought++
}

var errDied = errors.New("the process died")

// mortal is a store under which the process dies between two steps of the journal: before its nth write or after it.
type mortal struct {
	*state.Store
	n, seen int
	die     func()
	dead    bool
}

// step is a place to die at.
func (m *mortal) step() error {
	if m.seen++; m.seen == m.n {
		m.dead = true
		m.die()
	}
	if m.dead {
		return errDied
	}
	return nil
}

func (m *mortal) write(do func() error) error {
	if err := m.step(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return m.step()
}

func (m *mortal) Append(ctx context.Context, entries ...state.Entry) error {
	return m.write(func() error { return m.Store.Append(ctx, entries...) })
}

func (m *mortal) Settle(ctx context.Context, outcome state.Entry, snapshots []state.Snapshot, links []state.Link) error {
	return m.write(func() error { return m.Store.Settle(ctx, outcome, snapshots, links) })
}

// live runs the flow once. With killed above zero the process dies when its nth write leaves: that is done, and what the process
// would have kept of it is lost. With step above zero it dies at that step of the journal, and nothing leaves afterwards.
func (p *past) live(killed, step int) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	grave, seen := p.t.TempDir(), 0
	p.Workers = 1
	die := func() {
		if seen++; seen == killed {
			p.copyState(p.dir, grave)
			cancel()
		}
	}
	p.toVendor.onWrite, p.toPSA.onWrite = die, die
	m := &mortal{Store: p.Store, n: step}
	m.die = func() {
		p.copyState(p.dir, grave)
		cancel()
	}
	if step > 0 {
		p.Journal = m
	}
	p.pass(5 * time.Minute)
	result, err := p.run(ctx, engine.Options{Apply: true, Sweep: p.random.IntN(4) == 0})
	p.toVendor.onWrite, p.toPSA.onWrite, p.Journal = nil, nil, nil
	p.say("run, to die at write %d or step %d: %s, %d done, %v", killed, step, result.Run.State, result.Outcome.Done, err)
	if killed > 0 && seen >= killed || m.dead {
		if err := p.Store.Close(); err != nil {
			p.t.Fatal(err)
		}
		p.copyState(grave, p.dir)
		p.restart()
		if _, err := p.Store.AbandonRuns(p.t.Context(), "killed"); err != nil {
			p.t.Fatal(err)
		}
	}
	for i := range p.pairs {
		p.check(i)
	}
}

// end lets the stand-ins behave, and judges.
func (p *past) end(behave []func()) {
	for _, off := range behave {
		off()
	}
	p.pass(2 * time.Hour) // over whatever they asked to wait for
	runs := 0
	result := p.sync(engine.Options{Sweep: true})
	for ; len(result.Plan.Changes) > 0 && runs < 3; runs++ {
		result = p.sync(engine.Options{})
	}
	if runs > 2 {
		p.t.Errorf("it does not settle:\n%s", text(result.Plan))
	}
	p.settled()
	held := map[string]bool{}
	for _, h := range result.Plan.Held {
		held[h.Change.Pair.Vendor.ID] = h.Detail != ""
	}
	for i, pair := range p.pairs {
		p.check(i)
		if quantity, last, _ := p.office.billed(pair); last != "" || quantity != p.office.bought(pair).Quantity && !held[pair.id] {
			p.t.Errorf("pair %d: %d seats are bought and %d billed until %q, and nothing is said of it:\n%s", i, p.office.bought(pair).Quantity, quantity, last, text(result.Plan))
		}
	}
	for id, n := range p.orders() {
		// A decrease that waits is one order more, and so is scheduling it again after each edit that the vendor takes at once.
		if n > p.billed[id]+p.waits[id]*(1+p.billed[id]) {
			p.t.Errorf("subscription %s: %d orders for %d edits of its line, of which %d wait", id, n, p.billed[id], p.waits[id])
		}
	}
	waits := 0
	for _, n := range p.waits {
		waits += n
	}
	if writes := p.psa.Writes() - p.before; writes > p.bought+waits {
		p.t.Errorf("%d writes to the PSA for %d edits at the vendor and %d decreases that wait", writes, p.bought, waits)
	}
}

// Random edits on both sides, while the stand-ins do all they can do wrong and trueup is killed: nothing is lost and nothing done twice.
func TestHistories(t *testing.T) {
	t.Parallel()
	n := *soak
	if n == 0 {
		n = 20
	}
	for seed := *soakSeed; seed < *soakSeed+uint64(n); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inOffice(t, plot{customers: 5, flow: rules + loose}, func(t *testing.T, o *office) {
				p := &past{office: o, random: rand.New(rand.NewPCG(seed, 0)), open: make([]typed, len(o.pairs)), billed: map[string]int{}, waits: map[string]int{}}
				o.before = o.psa.Writes()
				var behave []func()
				for range 4 + p.random.IntN(8) {
					switch what := p.random.IntN(10); {
					case what < 5:
						p.edit()
					case what < 7:
						tr := troubles[p.random.IntN(len(troubles))]
						p.say("%s", tr)
						behave = append(behave, o.misbehave(tr))
					case what < 8 && len(behave) > 0:
						p.say("the last trouble is over")
						behave[len(behave)-1]()
					default:
						if killed := p.random.IntN(4); killed > 0 || p.random.IntN(2) == 0 {
							p.live(killed, 0)
						} else {
							p.live(0, 1+p.random.IntN(8))
						}
					}
				}
				p.end(behave)
				if t.Failed() {
					t.Logf("seed %d:\n%s", seed, strings.Join(p.log, "\n"))
				}
			})
		})
	}
}
