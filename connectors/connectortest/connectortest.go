// Package connectortest is the suite that every connector passes. The scenarios say what package connectors promises, in
// the form of things that happen to a connector; each has a story that is printed when it fails.
//
// A connector's test file describes its world once and calls Run:
//
//	func TestConformance(t *testing.T) { // without t.Parallel: the scenario "leaks" needs the process to itself
//		connectortest.Run(t, connectortest.Subject{
//			New: func(t testing.TB, log *zap.Logger) connectortest.Instance {
//				fake := acmetest.New(acmetest.Options{PageSize: 2})
//				server := httptest.NewServer(fake.Handler())
//				t.Cleanup(server.Close)
//				wire := connectortest.NewWire(http.DefaultTransport.(*http.Transport).Clone(), nil)
//				t.Cleanup(wire.Close)
//				c, err := acme.New(connectors.Account{HTTP: wire.Client(), Log: log, ...})
//				...
//				faults := wire.Faults()
//				faults[connectortest.DropLastPage] = func(on bool) { ... }
//				return connectortest.Instance{
//					Connector: c,
//					Requests:  wire.Requests,
//					Answer:    wire.Answer,
//					Faults:    faults,
//					Effects:   fake.Writes,
//					Secrets:   []string{"planted-key-4711"},
//					Kinds: map[string]connectortest.Kind{
//						"company": {Ref: ..., Missing: ..., Count: func() int { return len(fake.Companies()) }},
//					},
//				}
//			},
//			Skips: map[string]string{connectortest.FaultIn200: "acme never answers 200 with a fault in it"},
//		})
//	}
//
// Every scenario gets a world of its own, with at least two records of each kind and more than one page of the kinds that
// have pages. What a subject cannot show is named in Skips with the reason, and printed; anything else that is missing is
// a failure, so that nothing is left out in silence.
//
// Scenarios about writes end as the whole product does: they read again, ask for the same values again, and count zero
// effects.
package connectortest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// Subject is a connector under test.
type Subject struct {
	// New makes a world and a connector to it that logs to log. It is called for each scenario.
	New func(t testing.TB, log *zap.Logger) Instance
	// Skips names what is left out, with the reason: a scenario ("feed"), a fault ("cap_pages"), or a declared field that
	// the world never delivers ("subscription.promotionId").
	Skips map[string]string
	// Statuses replaces the expected classes of a status, for systems that mean something else by it.
	Statuses map[int][]connectors.Class
	// KeysRemembered says that a write may be repeated with its key: the system, or the connector, knows it again.
	KeysRemembered bool
}

// Instance is a connector with its world, and the ways to do things behind its back. Requests, Effects and Kinds are needed.
type Instance struct {
	Connector connectors.Connector
	// Again makes another connector to the same world, as after a restart; nil uses the same one.
	Again func() connectors.Connector
	// Kinds has an entry for every kind of the descriptor.
	Kinds map[string]Kind
	// Requests counts what reached the wire. Effects counts what altered the world on a connector's behalf.
	Requests func() int
	Effects  func() int
	// Faults switches the named faults of this package on and off. The switches are used from several goroutines and must
	// not end the test.
	Faults map[string]func(on bool)
	// Answer makes the server answer every request with a status, or only the writes; 0 makes it behave again.
	Answer func(status int, writesOnly bool)
	// Secrets are texts planted in the account that must not be seen anywhere.
	Secrets []string
}

// Kind is what the suite has to know about one kind.
type Kind struct {
	Ref     connectors.Ref // a record that may be edited, changed and ended
	Missing connectors.Ref // names no record; for kinds that can be read
	Count   func() int     // records that a full listing has to tell; for kinds that can be listed
	// Edit sets EditField as a user of the system would; nil when no user can. EditField is writable where the kind has
	// a writable field.
	EditField string
	Edit      func(ref connectors.Ref, v model.Value)
	// Add makes a record as a user of the system would; nil when the fake has no way.
	Add func() connectors.Ref
	// Next is a value to change a field to, where the suite's own choice would not be taken.
	Next map[string]model.Value
	// Create is a request with every required field, without key; for kinds that can be created.
	Create func() connectors.CreateRequest
	// Last is a day on which Ref may end; for kinds that can end.
	Last model.Day
}

// Faults known to the suite.
const (
	DropLastPage      = "drop_last_page"     // the last page of a listing is not delivered
	CapPages          = "cap_pages"          // pages are smaller than asked for, without a word
	EmptyList         = "empty_list"         // lists come back empty
	PartialList       = "partial_list"       // the records under one parent are refused
	HTMLAnswer        = "html_answer"        // a proxy's page instead of data
	FaultIn200        = "fault_in_200"       // a failure in an answer that says success
	ErrorAfterCommit  = "error_after_commit" // writes are done, then answered with a server error
	LostReply         = "lost_reply"         // writes are done, then the connection drops
	LostBeforeCommit  = "lost_before_commit" // writes are sent and lost, then the connection drops
	Slow              = "slow"               // answers come never
	RejectCredentials = "reject_credentials" // nothing but refused credentials
	Limited           = "limited"            // nothing but "too many requests, come back in ten minutes"
)

var faults = []string{DropLastPage, CapPages, EmptyList, PartialList, HTMLAnswer, FaultIn200, ErrorAfterCommit, LostReply,
	LostBeforeCommit, Slow, RejectCredentials, Limited}

// scenario is one promise. It returns what was broken, so that the suite itself can be tested against broken connectors.
type scenario struct {
	name  string
	story string
	run   func(*bench) error
}

var scenarios = []scenario{
	{"leaks", "After listing, being stopped half way and giving up, nothing of a connector is left running.", leaks},
	{"descriptor", "The descriptor says what the code can do, no more and no less, and is well formed.", descriptor},
	{"fields", "What is delivered is what was declared: names, types, words, parents; and what is declared is delivered.", fields},
	{"check", "Check says who we are and which rights are missing, missing ones first, and changes nothing.", check},
	{"listing", "Two listings are equal, in order, and tell every record of the world once; also at the same time.", listing},
	{"listing-by-parent", "Listing under one parent tells exactly its part of the whole.", listingByParent},
	{"listing-stops", "An error from yield ends the listing at once and comes back.", listingStops},
	{"incomplete-listing", "A listing that misses records says so. A short list that claims to be whole ends contracts.", incompleteListing},
	{"read", "Each record that was listed can be read and is the same; one that is gone is missing.", read},
	{"feed", "What a user edits is told at least once, by a cursor of any age; a quiet system becomes quiet.", feed},
	{"change", "Each writable field can be changed on its own, reads back, and leaves the others alone. Asking again does nothing.", change},
	{"refuse-change", "What cannot be written is refused before anything is sent, and the field is named.", refuseChange},
	{"settle", "Desired states in a row: change what differs, read, and find nothing left to do.", settle},
	{"create", "A record is made once, needs its required fields, reads back, and is listed.", create},
	{"end", "Ending a record twice is ending it once.", end},
	{"schedule", "What is scheduled for the term end reads back, survives a change inside the term, can be withdrawn, and changes nothing now.", schedule},
	{"stale-write", "A field that a person changed after we read it is not overwritten.", staleWrite},
	{"lost-answer", "When the reply to a write is lost, the outcome is unknown and nothing is sent blindly again.", lostAnswer},
	{"auth", "Refused credentials are class auth everywhere, and nothing is written.", auth},
	{"limited", "Asked too often is class limited with the time to wait, and nothing is written.", limited},
	{"status-classes", "Each status means one thing to do. A write that a server failed on is unknown, not failed.", statusClasses},
	{"cancel", "A caller that gives up gets its answer at once, even when the system never answers.", cancel},
	{"secrets", "No planted secret is seen in an error, a log, a report, a descriptor or a printed connector.", secrets},
	{"canonical", "Saying what the system makes of a value twice is saying it once.", canonical},
}

// Run runs the suite. Call it from a test that is not parallel.
func Run(t *testing.T, s Subject) {
	t.Helper()
	if err := honest(&bench{T: t, subject: s}); err != nil {
		t.Errorf("the subject:\n%v", err)
	}
	for i, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			if reason, ok := s.Skips[sc.name]; ok {
				t.Logf("left out: %s", reason)
				return
			}
			if i > 0 { // the first one, leaks, counts the goroutines of the whole process
				t.Parallel()
			}
			if err := sc.run(&bench{T: t, subject: s}); err != nil {
				t.Errorf("%s\n%v", sc.story, err)
			}
		})
	}
}

// honest checks a subject's list of exceptions: known names, reasons, nothing that is supported after all.
func honest(b *bench) error {
	var c complaints
	in := b.fresh()
	skips := b.subject.Skips
	for _, name := range slices.Sorted(maps.Keys(skips)) {
		kind, field, isField := strings.Cut(name, ".")
		k, _ := in.descriptor.Kind(kind)
		switch {
		case skips[name] == "":
			c.add("skip %q has no reason", name)
		case in.Faults[name] != nil:
			c.add("fault %q is skipped, and yet there is a switch for it", name)
		case isField && slices.Contains(k.FieldNames(), field):
		case !slices.Contains(faults, name) && !slices.ContainsFunc(scenarios, func(sc scenario) bool { return sc.name == name }):
			c.add("skip %q is no scenario, fault or field", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Faults)) {
		if !slices.Contains(faults, name) {
			c.add("fault %q is not known to the suite", name)
		}
	}
	return c.err()
}

// bench is one scenario at work.
type bench struct {
	*testing.T
	subject Subject
}

// instance is an Instance with what the suite looks at all the time.
type instance struct {
	Instance
	descriptor connectors.Descriptor
	logs       *observer.ObservedLogs
}

func (b *bench) fresh() *instance {
	b.Helper()
	return b.freshFor(b.T)
}

func (b *bench) freshFor(t testing.TB) *instance {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	in := &instance{Instance: b.subject.New(t, zap.New(core)), logs: logs}
	if in.Connector == nil || in.Requests == nil || in.Effects == nil {
		t.Fatal("the subject's instance needs a Connector, Requests and Effects")
	}
	in.descriptor = in.Connector.Descriptor()
	for _, name := range in.descriptor.KindNames() {
		if _, ok := in.Kinds[name]; !ok {
			t.Fatalf("the subject says nothing about kind %q", name)
		}
	}
	return in
}

// fault finds the switch of a fault; nil when the subject skips it.
func (b *bench) fault(in *instance, name string) (func(bool), error) {
	if set := in.Faults[name]; set != nil {
		return set, nil
	}
	if reason, ok := b.subject.Skips[name]; ok {
		b.Logf("fault %s left out: %s", name, reason)
		return nil, nil
	}
	return nil, fmt.Errorf("the subject neither has the fault %q nor skips it with a reason", name)
}

// faulted runs f on a fresh instance for each of some faults, with the switch in f's hands. The instances are made one
// after the other, for New may end the test; what then happens to them happens at the same time, because it is mostly
// waiting.
func (b *bench) faulted(names []string, f func(in *instance, set func(bool)) error) error {
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		in := b.fresh()
		set, err := b.fault(in, name)
		if err != nil || set == nil {
			errs[i] = err
			continue
		}
		group.Go(func() { errs[i] = f(in, set) })
	}
	group.Wait()
	var c complaints
	for i, name := range names {
		c.wrap("with fault "+name, errs[i])
	}
	return c.err()
}

// complaints collects what is wrong, so that one run shows everything.
type complaints struct{ errs []error }

func (c *complaints) add(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *complaints) wrap(what string, err error) {
	if err != nil {
		c.add("%s: %w", what, err)
	}
}

func (c *complaints) err() error { return errors.Join(c.errs...) }

var keys atomic.Int64

// newKey is an idempotency key that was never used before in this process, in the form of a GUID.
func newKey() string { return fmt.Sprintf("c0ffee00-0000-4000-8000-%012d", keys.Add(1)) }
