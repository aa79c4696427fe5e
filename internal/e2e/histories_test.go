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

// standing is how a pair stands at the vendor and in the PSA, and what the vendor may be asked.
type standing struct {
	bought, next, billed int // seats; next are those scheduled for the end of the term, 0 for none
	refundable           int // seats that the vendor takes back: counted here from what was bought and taken back, all within a week
	asked                int // seats that were scheduled and have to stay so, until somebody buys at the vendor, which deletes it
	orders               int // that trueup made
}

// floor is how far down the vendor lets the seats go today.
func (s standing) floor() int { return s.bought - s.refundable }

// past is an office that lives through random edits, misbehaviours and deaths. It is the small brother, over HTTP, of internal/soak,
// which says what must hold. It knows the vendor's rules by itself, and explains every order and every write by what people typed.
type past struct {
	*office
	random *rand.Rand
	log    []string
	open   []typed    // by pair
	stands []standing // by pair, as last looked at
	writes int        // to the PSA, as last counted
	count  int
}

func (p *past) say(format string, args ...any) { p.log = append(p.log, fmt.Sprintf(format, args...)) }

// begin looks at everything for the first time.
func (p *past) begin() {
	p.open, p.stands, p.writes = make([]typed, len(p.pairs)), make([]standing, len(p.pairs)), p.psa.Writes()
	for i := range p.pairs {
		p.stands[i] = p.look(i)
		p.stands[i].refundable = window
	}
}

// look is how a pair stands now, as far as that can be seen.
func (p *past) look(i int) standing {
	p.t.Helper()
	s := p.stands[i]
	bought := p.office.bought(p.pairs[i])
	s.refundable += bought.Quantity - s.bought
	s.bought, s.next, s.orders = bought.Quantity, 0, p.orders()[p.pairs[i].id]
	if bought.Next != nil {
		s.next = bought.Next.Quantity
	}
	s.billed, _, _ = p.office.billed(p.pairs[i])
	return s
}

// explain compares how all pairs stand after a run with how they stood before. There is one order for every number of seats that is bought or
// scheduled now, one more for what the vendor deleted with a change and was told again, and one write for every line that moved.
func (p *past) explain() {
	p.t.Helper()
	moved := 0
	for i := range p.pairs {
		was, is, t := p.stands[i], p.look(i), p.open[i]
		complain := func(format string, args ...any) {
			p.t.Helper()
			p.t.Errorf("pair %d: %s; typed %+v (0: nothing), it stood %+v and stands %+v", i, fmt.Sprintf(format, args...), t, was, is)
		}
		orders, next := 0, was.next
		if is.bought != was.bought {
			orders++
			switch {
			case is.next == 0:
				next = 0 // deleted with the change; asked tells that it has to come back
			case was.next != 0:
				orders++
			}
		}
		if is.next != next {
			orders++
		}
		if got := is.orders - was.orders; got != orders {
			complain("%d orders in one run, and %d are explained", got, orders)
		}
		both := t.vendor != 0 && t.psa != 0
		if is.bought != was.bought && (both || t.psa == 0 || is.bought != max(t.psa, was.floor())) {
			complain("the vendor sold %d seats, and nobody asked for that", is.bought)
		}
		switch {
		case is.next == was.next, is.next == 0:
		case is.next == was.asked: // told again
		case both || is.next != t.psa || is.next >= was.floor():
			complain("%d seats were scheduled for the end of the term, and nobody asked for that", is.next)
		default:
			is.asked = is.next
		}
		if is.billed != was.billed {
			moved++
			waits := t.vendor == 0 && t.psa != 0 && t.psa < is.bought && is.refundable == 0 && is.next == t.psa
			if is.billed != is.bought || !waits && (t.psa != 0 || t.vendor != is.bought) {
				complain("the line was set to %d seats", is.billed)
			}
		}
		p.stands[i] = is
		p.check(i)
	}
	if writes := p.psa.Writes() - p.writes; writes != moved {
		p.t.Errorf("%d writes to the PSA in one run, and %d lines moved", writes, moved)
	}
	p.writes = p.psa.Writes()
}

// check closes what was typed for a pair whose sides are equal.
func (p *past) check(i int) {
	p.t.Helper()
	s, t := p.stands[i], p.open[i]
	if s.bought != s.billed {
		return
	}
	p.open[i] = typed{}
	if t.vendor == 0 && t.psa != 0 && t.psa < s.bought && s.refundable == 0 && s.next == t.psa {
		return // the vendor takes back no more of them now: the rest waits for the end of the term
	}
	if t.vendor != 0 && t.psa != 0 || t.vendor != 0 && t.vendor != s.bought || t.psa != 0 && t.psa != s.bought {
		p.t.Errorf("pair %d: people typed %+v (0: nothing), and it became %+v", i, t, s)
	}
}

// edit types a number that nobody typed before.
func (p *past) edit() {
	i, onPSA := p.random.IntN(4), p.random.IntN(2) == 0 // a few pairs, so that one edit meets what became of another
	p.count++
	n := seats + p.count
	if below := seats - p.count; below > 0 && p.random.IntN(2) == 0 {
		n = below
	}
	p.say("pair %d, psa %t: %d seats", i, onPSA, n)
	if onPSA {
		p.bill(p.pairs[i], n)
		p.open[i].psa, p.stands[i].billed = n, n
		return
	}
	if n < p.office.bought(p.pairs[i]).Quantity { // the vendor may not take them back; there the number goes up
		n = seats + p.count
	}
	p.buy(p.pairs[i], n)
	p.open[i].vendor = n
	p.stands[i] = p.look(i)
	p.stands[i].asked = 0
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
	p.explain()
}

// end lets the stand-ins behave, and judges.
func (p *past) end(behave []func()) {
	for _, off := range behave {
		off()
	}
	p.pass(2 * time.Hour) // over whatever they asked to wait for
	runs := 0
	result := p.sync(engine.Options{Sweep: true})
	p.explain()
	for ; len(result.Plan.Changes) > 0 && runs < 3; runs++ {
		result = p.sync(engine.Options{})
		p.explain()
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
		s := p.stands[i]
		if _, last, _ := p.office.billed(pair); last != "" || s.billed != s.bought && !held[pair.id] {
			p.t.Errorf("pair %d stands %+v, billed until %q, and nothing is said of it:\n%s", i, s, last, text(result.Plan))
		}
		if s.next != s.asked {
			p.t.Errorf("pair %d stands %+v: what waits for the end of the term is not what is scheduled", i, s)
		}
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
				p := &past{office: o, random: rand.New(rand.NewPCG(seed, 0))}
				p.begin()
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
