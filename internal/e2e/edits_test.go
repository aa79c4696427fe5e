package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

// edit is what became of a pair on both sides since trueup last saw it, and the right outcome.
type edit struct {
	vendor, psa int // seats after the edits
	rule        plan.Conflict
	wantVendor  int
	wantPSA     int
	held        bool
	next        int // seats scheduled for the end of the term; 0 for nothing
}

// edits are the nine pairs of up, down and still under the default rule, and both sides changed under the other rules.
var edits = []edit{
	{seats, seats, plan.ConflictHold, seats, seats, false, 0},
	{seats, seats + 2, plan.ConflictHold, seats + 2, seats + 2, false, 0},
	{seats, seats - 2, plan.ConflictHold, seats - 2, seats - 2, false, 0},
	{seats + 3, seats, plan.ConflictHold, seats + 3, seats + 3, false, 0},
	{seats - 3, seats, plan.ConflictHold, seats - 3, seats - 3, false, 0},
	{seats + 3, seats + 2, plan.ConflictHold, seats + 3, seats + 2, true, 0},
	{seats + 3, seats - 2, plan.ConflictHold, seats + 3, seats - 2, true, 0},
	{seats - 3, seats + 2, plan.ConflictHold, seats - 3, seats + 2, true, 0},
	{seats - 3, seats - 2, plan.ConflictHold, seats - 3, seats - 2, true, 0},
	{seats + 3, seats + 3, plan.ConflictHold, seats + 3, seats + 3, false, 0},
	{seats - 3, seats - 3, plan.ConflictHold, seats - 3, seats - 3, false, 0},
	{seats + 3, seats + 2, plan.ConflictHighest, seats + 3, seats + 3, false, 0},
	{seats - 3, seats - 2, plan.ConflictHighest, seats - 2, seats - 2, false, 0},
	{seats + 3, seats - 2, plan.ConflictLowest, seats - 2, seats - 2, false, 0},
	{seats + 3, seats - 6, plan.ConflictLowest, seats - window, seats - window, false, seats - 6}, // nine fewer than are bought: the windows take back seven, the rest waits
	{seats - 3, seats + 2, plan.ConflictVendor, seats - 3, seats - 3, false, 0},
	{seats + 3, seats - 2, plan.ConflictPSA, seats - 2, seats - 2, false, 0},
	{seats - 3, seats + 2, plan.ConflictPSA, seats + 2, seats + 2, false, 0},
}

func (e edit) String() string {
	return fmt.Sprintf("vendor %d, psa %d, %s", e.vendor, e.psa, e.rule)
}

// accident is what happens while the edits are carried over.
type accident struct {
	name  string
	cause func(o *office) (after func()) // after the first run
}

var accidents = []accident{
	{"undisturbed", func(*office) func() { return func() {} }},
	{"every reply is lost", func(o *office) func() {
		return o.both("lost_reply")
	}},
	{"every write is answered with an error", func(o *office) func() {
		return o.both("error_after_commit")
	}},
	{"killed when the first intent was sent", func(o *office) func() { return o.killAt(1) }},
	{"killed when the last intent was sent", func(o *office) func() { return o.killAt(-1) }},
}

// Every edit has its right outcome by one write, none is an echo of another, and no accident makes it two.
func TestEditsOnEitherSide(t *testing.T) {
	t.Parallel()
	rulesInUse := map[plan.Conflict][]edit{}
	for _, e := range edits {
		rulesInUse[e.rule] = append(rulesInUse[e.rule], e)
	}
	for rule, edits := range rulesInUse {
		for i, a := range accidents {
			if i > 0 && rule != plan.ConflictHold {
				break // how a conflict was decided makes no difference to how it is written
			}
			t.Run(string(rule)+" "+a.name, func(t *testing.T) {
				t.Parallel()
				flow := strings.Replace(rules, "conflict: hold", "conflict: "+string(rule), 1) + loose
				inOffice(t, plot{customers: (len(edits) + 1) / 2, flow: flow}, func(t *testing.T, o *office) { o.carryOver(edits, a) })
			})
		}
	}
}

func (o *office) carryOver(edits []edit, a accident) {
	t := o.t
	t.Helper()
	for i, e := range edits {
		if e.vendor != seats {
			o.buy(o.pairs[i], e.vendor)
		}
		if e.psa != seats {
			o.bill(o.pairs[i], e.psa)
		}
	}
	writes := o.psa.Writes()
	after := a.cause(o)
	o.sync(engine.Options{})
	after()
	o.sync(engine.Options{})
	o.settled()
	o.settled()
	wantOrders, wantWrites := map[string]int{}, 0
	for i, e := range edits {
		p := o.pairs[i]
		wantVendor, wantPSA := e.wantVendor, e.wantPSA
		if e.held { // nothing is written: each side keeps what it has
			wantVendor, wantPSA = e.vendor, e.psa
		}
		if quantity, last, _ := o.billed(p); quantity != wantPSA || last != "" {
			t.Errorf("%s: the line bills %d until %q, wanted %d", e, quantity, last, wantPSA)
		}
		if got := o.bought(p).Quantity; got != wantVendor {
			t.Errorf("%s: %d seats are bought, wanted %d", e, got, wantVendor)
		}
		if wantVendor != e.vendor {
			wantOrders[p.id]++
		}
		scheduled := 0
		if next := o.bought(p).Next; next != nil {
			scheduled = next.Quantity
		}
		if scheduled != e.next {
			t.Errorf("%s: %d seats are scheduled for the end of the term, wanted %d", e, scheduled, e.next)
		}
		if e.next > 0 {
			wantOrders[p.id]++
		}
		if wantPSA != e.psa {
			wantWrites++
		}
	}
	if diff := cmp.Diff(wantOrders, o.orders()); diff != "" {
		t.Errorf("orders at the vendor (-want +got):\n%s", diff)
	}
	if got := o.psa.Writes() - writes; got != wantWrites {
		t.Errorf("%d writes to the PSA, wanted %d", got, wantWrites)
	}
	held := map[string]bool{}
	for _, h := range o.settled().Plan.Held {
		held[h.Change.Pair.Vendor.ID] = true
	}
	for i, e := range edits {
		if held[o.pairs[i].id] != e.held {
			t.Errorf("%s: held for a person: %v, wanted %v", e, held[o.pairs[i].id], e.held)
		}
	}
}

// both turns a misbehaviour on at both stand-ins.
func (o *office) both(name string) (behave func()) {
	vendor, psa := o.misbehave(trouble{side: "vendor", name: name}), o.misbehave(trouble{side: "psa", name: name})
	return func() {
		vendor()
		psa()
	}
}

// killAt keeps what the state file holds when the nth write leaves, and starts trueup anew on that: what was sent then was
// done, and the process that sent it never heard of it. n of -1 is the last write.
func (o *office) killAt(n int) (after func()) {
	o.t.Helper()
	o.Workers = 1 // so that nothing else is written while the file is copied
	grave := o.t.TempDir()
	seen := 0
	keep := func() {
		if seen++; n < 0 || seen == n {
			o.copyState(o.dir, grave)
		}
	}
	o.toVendor.onWrite, o.toPSA.onWrite = keep, keep
	return func() {
		o.t.Helper()
		o.toVendor.onWrite, o.toPSA.onWrite = nil, nil
		if err := o.Store.Close(); err != nil {
			o.t.Fatal(err)
		}
		if seen > 0 {
			o.copyState(grave, o.dir)
		}
		o.restart()
		entries, err := o.Store.OpenIntents(o.t.Context(), o.flow.Name)
		if err != nil || len(entries) != min(seen, 1) {
			o.t.Fatalf("%d intents without outcome were found after the crash, wanted %d (%v)", len(entries), min(seen, 1), err)
		}
	}
}

// copyState copies a state file with its log; what the copy had before is gone.
func (o *office) copyState(from, to string) {
	o.t.Helper()
	old, err := filepath.Glob(filepath.Join(to, "trueup.db*"))
	if err != nil {
		o.t.Fatal(err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			o.t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(from, "trueup.db*"))
	if err != nil || len(files) == 0 {
		o.t.Fatalf("no state file in %s: %v", from, err)
	}
	for _, file := range files {
		in, err := os.Open(file)
		if err != nil {
			o.t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, filepath.Base(file)))
		if err != nil {
			o.t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			o.t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			o.t.Fatal(err)
		}
		_ = in.Close() // only read
	}
}

// Being told to stop while writes are on their way finishes those, starts no more, and the next run does the rest once.
func TestStoppedInTheMiddle(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 3, flow: rules + loose}, func(t *testing.T, o *office) {
		for i, p := range o.pairs {
			o.bill(p, seats+1+i%2)
		}
		o.Workers = 1
		stop := make(chan struct{})
		seen := 0
		o.toVendor.onWrite = func() {
			if seen++; seen == 2 {
				close(stop)
				<-time.After(time.Second) // the write takes a while; the run hears of the stop meanwhile
			}
		}
		ctx, cancel := contextUntil(t, stop)
		defer cancel()
		o.pass(5 * time.Minute)
		result, err := o.run(ctx, engine.Options{Apply: true})
		if err == nil || result.Run.State != "stopped" {
			t.Errorf("the run is %s (%v)", result.Run.State, err)
		}
		if made := len(o.orders()); made != 2 {
			t.Errorf("%d orders were made before the stop, wanted 2", made)
		}
		open, err := o.Store.OpenIntents(t.Context(), o.flow.Name)
		if err != nil || len(open) > 0 {
			t.Errorf("%d writes have no known outcome after a stop (%v)", len(open), err)
		}
		o.sync(engine.Options{})
		o.settled()
		want := map[string]int{}
		for _, p := range o.pairs {
			want[p.id] = 1
		}
		if diff := cmp.Diff(want, o.orders()); diff != "" {
			t.Errorf("orders at the vendor (-want +got):\n%s", diff)
		}
		if links := o.links(t, model.KindLine); len(links) != len(o.pairs) {
			t.Errorf("%d links of %d are left", len(links), len(o.pairs))
		}
	})
}
