package memory

import (
	"fmt"
	"strconv"

	"github.com/trueup-sync/trueup/connectors"
)

// Names of what a world can do wrong.
const (
	DropLastPage     = "drop_last_page"
	CapPages         = "cap_pages"
	EmptyList        = "empty_list"
	ShortList        = "short_list"
	Partial          = "partial"
	ErrorAfterCommit = "error_after_commit"
	LostBeforeCommit = "lost_before_commit"
	Transient        = "transient"
	Limited          = "limited"
	RejectToken      = "reject_token"
	Stale            = "stale"
	RefuseDecrease   = "refuse_decrease"
	Slow             = "slow"
	FeedRepeats      = "feed_repeats"
	FeedMisses       = "feed_misses"
	FeedForgets      = "feed_forgets"
)

// Misbehaviour is something a world can do wrong. Value says what the value of Misbehave means.
type Misbehaviour struct{ Name, Value, Doc string }

const times = "how many times; empty until Behave"

var misbehaviours = []Misbehaviour{
	{DropLastPage, times, "the last page of a listing is not delivered"},
	{CapPages, "records a page; empty for 1", "pages hold fewer records than asked for, without a word"},
	{EmptyList, times, "every list is empty and counts to zero, as for a token that lost its rights"},
	{ShortList, times, "a list leaves out its last record and does not count it either"},
	{Partial, "id of the parent", "the records under one parent are refused"},
	{ErrorAfterCommit, times, "a write is done and then answered with a failure"},
	{LostBeforeCommit, times, "a write is lost on the way and not answered"},
	{Transient, times, "requests fail; nothing is done"},
	{Limited, times, "requests are refused as too many; nothing is done"},
	{RejectToken, times, "credentials are refused"},
	{Stale, times, "a record that is being changed moved a moment ago"},
	{RefuseDecrease, times, "a lower quantity is refused"},
	{Slow, times, "requests are not answered until the caller gives up or Behave is called"},
	{FeedRepeats, times, "the change feed tells everything it knows again"},
	{FeedMisses, times, "the change feed loses what happens from now on"},
	{FeedForgets, times, "the change feed cannot follow any cursor it gave out"},
}

// fault is a misbehaviour that is switched on.
type fault struct {
	value string
	left  int           // strikes left; -1 for no end
	off   chan struct{} // closed by Behave
}

// Misbehaviours lists what a world can do wrong, each with its meaning.
func (w *World) Misbehaviours() []Misbehaviour { return append([]Misbehaviour(nil), misbehaviours...) }

// Misbehave switches a misbehaviour on; switching it on again replaces its value.
func (w *World) Misbehave(name, value string) error {
	f := &fault{value: value, left: -1, off: make(chan struct{})}
	i := indexOf(name)
	switch {
	case i < 0:
		return fmt.Errorf("no misbehaviour %q", name)
	case name == Partial && value == "":
		return fmt.Errorf("misbehaviour %q needs the %s", name, misbehaviours[i].Value)
	case name != Partial && value != "":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("misbehaviour %q: %q is not a count", name, value)
		}
		if name != CapPages {
			f.left = n
		}
	}
	w.Behave(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[name] = f
	return nil
}

// Behave switches a misbehaviour off and lets waiting requests go on. One that is not on is left alone.
func (w *World) Behave(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f, ok := w.faults[name]; ok {
		close(f.off)
		delete(w.faults, name)
	}
}

func indexOf(name string) int {
	for i, m := range misbehaviours {
		if m.Name == name {
			return i
		}
	}
	return -1
}

// strikes reports whether a fault happens now, and uses it up by one. The caller holds the lock.
func (w *World) strikes(name string) bool {
	f, ok := w.faults[name]
	if !ok || f.left == 0 {
		return false
	}
	if f.left > 0 {
		f.left--
	}
	return true
}

// strike is the error of the first of some faults that happens now. The caller holds the lock.
func (w *World) strike(op, record string, names ...string) error {
	for _, name := range names {
		if !w.strikes(name) {
			continue
		}
		e := &connectors.Error{Op: op, Record: record, Code: name}
		switch name {
		case RejectToken:
			e.Class, e.Message, e.Hint = connectors.ClassAuth, "the token was refused", "set a new token"
		case Limited:
			e.Class, e.Message, e.Hint = connectors.ClassLimited, "too many requests", "wait a minute"
			e.RetryAfter = limitedFor
		case Transient:
			e.Class, e.Message, e.Hint = connectors.ClassTransient, "the system is busy and did nothing", "try again later"
		case LostBeforeCommit, ErrorAfterCommit:
			e.Class, e.Message, e.Hint = connectors.ClassUnknown, "the reply was lost", "read the record before doing anything else"
		case Stale:
			e.Class, e.Message, e.Hint = connectors.ClassStale, "the record moved a moment ago", "read it and decide again"
		}
		return e
	}
	return nil
}
