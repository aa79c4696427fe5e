package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Recent is what the flow did shortly before, so that many small steps, each within the limits, count as the one large step that they are.
// What people released over a limit must not be in it: they have looked at it.
type Recent struct {
	From time.Time // from when on it counts
	// Since is from when on it counts instead, by customer; under "" for the run as a whole. While something is held for what was done before,
	// this must stay where it was, or waiting would be enough to let it through.
	Since map[string]time.Time
	Done  []Done
}

// Done is a change that was made, or may have been.
type Done struct {
	Change
	At time.Time
}

// since is from when on it counts for a customer, "" for the run.
func (r Recent) since(customer string) time.Time {
	if at, named := r.Since[customer]; named {
		return at
	}
	return r.From
}

// steps are what counts for a customer, "" for the run, in the order in which it was done.
func (r Recent) steps(customer string) (steps []step) {
	since := r.since(customer)
	for _, d := range r.Done {
		if (customer == "" || d.Customer == customer) && !d.At.Before(since) {
			steps = append(steps, stepOf(d.Change))
		}
	}
	return asOne(steps)
}

// step is a change as the limits look at it.
type step struct {
	key     string         // the same for all changes of one thing
	counted bool           // it changes something that exists and is billed or paid for
	bills   bool           // it is a new line
	fewer   model.Quantity // seats; below zero for more
	effect  Effect
}

func stepOf(c Change) step {
	s := step{counted: counted(c), bills: c.Op == OpCreate && c.Target.Kind == model.KindLine, effect: c.Effect}
	// What is scheduled for the end of a term does not take back what is done inside it.
	s.key = ChangeID(string(c.Side), string(c.Target.Kind), c.Target.Parent, c.Target.ID, fmt.Sprint(c.Op == OpSchedule))
	if c.Op == OpCreate {
		s.key = c.ID
	}
	if from, to, seats := c.Seats(); seats && c.Op != OpCreate {
		s.fewer = from.Sub(to)
	}
	return s
}

// asOne adds the steps of one thing up: what went down and up again was not lowered. Amounts of different currencies stay apart.
func asOne(steps []step) []step {
	var sums []step
	at := map[string]int{}
	for _, s := range steps {
		i, known := at[s.key]
		if !known {
			at[s.key] = len(sums)
			sums = append(sums, s)
			continue
		}
		cost, costErr := sums[i].effect.Cost.Add(s.effect.Cost)
		bill, billErr := sums[i].effect.Bill.Add(s.effect.Bill)
		sums[i].fewer, s.fewer = sums[i].fewer.Add(s.fewer), model.Quantity{}
		if costErr != nil || billErr != nil {
			sums = append(sums, s)
			continue
		}
		sums[i].effect.Cost, sums[i].effect.Bill = cost, bill
	}
	return sums
}

func stepsOf(changes []Change) (steps []step) {
	for _, c := range changes {
		steps = append(steps, stepOf(c))
	}
	return steps
}

// seatsTaken are the seats that steps take away, whatever others add.
func seatsTaken(steps []step) (sum model.Quantity) {
	for _, s := range steps {
		if s.counted && s.fewer.Sign() > 0 {
			sum = sum.Add(s.fewer)
		}
	}
	return sum
}

// seatsAdded are the seats that steps add, whatever others take away.
func seatsAdded(steps []step) (sum model.Quantity) {
	for _, s := range steps {
		if s.counted && s.fewer.Sign() < 0 {
			sum = sum.Sub(s.fewer)
		}
	}
	return sum
}

// tripsTogether finds the first limit that a group's changes break only together with what was done before. It holds those that add to the figure.
func (l GroupLimit) tripsTogether(changes []Change, done []step, since time.Time, extent model.Quantity, unattended bool) *trip {
	if len(done) == 0 {
		return nil
	}
	t := l.trips(asOne(append(done[:len(done):len(done)], stepsOf(changes)...)), extent.Add(seatsTaken(done)), unattended)
	if t == nil {
		return nil
	}
	t.detail += fmt.Sprintf("; counted since %s, done already: %s", moment(since), already(t.limit, done))
	t.shorter = true
	adds := map[string]func(Change) bool{
		"share":    func(c Change) bool { return c.seatsLowered().Sign() > 0 },
		"decrease": func(c Change) bool { return c.seatsLowered().Sign() > 0 },
		"increase": func(c Change) bool { return stepOf(c).fewer.Sign() < 0 },
		"count":    counted,
		"cost":     func(c Change) bool { return c.Effect.Cost.Sign() > 0 },
		"drop":     func(c Change) bool { return c.Effect.Cost.Sign() < 0 || c.Effect.Bill.Sign() < 0 },
		"bill":     func(c Change) bool { return c.Effect.Bill.Sign() > 0 },
	}[t.limit]
	held := t.holds
	t.holds = func(c Change) bool { return held(c) && adds(c) }
	return t
}

// already is what was done before, as the figure of a limit.
func already(limit string, done []step) string {
	money := newSums()
	count := 0
	for _, s := range done {
		if s.counted {
			count++
		}
		money.add(s.effect)
	}
	var amounts []string
	for _, m := range sortedMoney(map[string]map[string]model.Money{"cost": money.cost, "drop": money.lessBill, "bill": money.bill}[limit]) {
		amounts = append(amounts, m.Display())
	}
	switch limit {
	case "share", "decrease":
		return fmt.Sprintf("%s seats", seatsTaken(done))
	case "increase":
		return fmt.Sprintf("%s seats", seatsAdded(done))
	case "count":
		return fmt.Sprintf("%d changes", count)
	}
	return cmp.Or(strings.Join(amounts, ", "), "a part of it")
}

// changeTogether is the limits on one change, counting what was done to the same thing before.
func (g Guards) changeTogether(c Change, done []step, since time.Time) (Held, bool) {
	now := stepOf(c)
	for _, before := range done {
		if before.key != now.key {
			continue
		}
		from, to, _ := c.Seats()
		all := asOne([]step{before, now})
		over := func(limit, format string, args ...any) (Held, bool) {
			return Held{c, OverChangeTogether, fmt.Sprintf(format, args...) + "; counted since " + moment(since),
				"check it, then release it for this plan with trueup approve, or raise guards.per_change." + limit + " or shorten guards.together in the flow"}, true
		}
		l, was := g.PerChange, from.Add(before.fewer)
		if len(all) == 1 { // one currency
			sums := newSums()
			sums.add(all[0].effect)
			if m, broken := exceeds(sums.cost, l.Cost); broken && c.Effect.Cost.Sign() > 0 {
				return over("cost", "it would cost %s", figures(m, "more", *l.Cost))
			}
			if m, what, broken := sums.dropped(l.Drop); broken && (c.Effect.Cost.Sign() < 0 || c.Effect.Bill.Sign() < 0) {
				return over("drop", "%s %s", what, figures(m, "less", *l.Drop))
			}
		}
		fewer := all[0].fewer
		raised := model.Quantity{}.Sub(fewer)
		switch {
		case l.Increase != nil && now.fewer.Sign() < 0 && raised.Cmp(*l.Increase) > 0:
			return over("increase", "%s seats would become %s: %s more, the limit is %s", was, to, raised, l.Increase)
		case l.Decrease != nil && now.fewer.Sign() > 0 && fewer.Cmp(*l.Decrease) > 0:
			return over("decrease", "%s seats would become %s: %s fewer, the limit is %s", was, to, fewer, l.Decrease)
		}
		if percent, broken := shareBroken(l.Share, fewer, was); broken && now.fewer.Sign() > 0 {
			return over("share", "%s seats would become %s: %s%% fewer, the limit is %d%%", was, to, percent, l.Share)
		}
	}
	return Held{}, false
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }
