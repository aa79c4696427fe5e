package memory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// limitedFor is how long a caller that asked too often has to wait.
const limitedFor = time.Minute

// connection is one connector: the edge between trueup and a World. It checks what it is asked before it asks the world.
type connection struct {
	world *World
	token connectors.Secret
}

func (c connection) Descriptor() connectors.Descriptor { return c.world.system.descriptor }

// Check signs in and says, for each kind, what may be done; a parent refused by the fault "partial" is a missing right.
func (c connection) Check(ctx context.Context) (connectors.Report, error) {
	if err := c.ask(ctx, "check", "", Request{Op: "check"}); err != nil {
		return connectors.Report{}, err
	}
	d := c.world.system.descriptor
	report := connectors.Report{Identity: "trueup at " + d.Title}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if f, ok := c.world.faults[Partial]; ok {
		for _, kind := range d.Kinds {
			if _, there := c.world.records[place{kind.Parent, f.value}]; there {
				report.Rights = append(report.Rights, connectors.Right{
					Name: "read " + kind.Name, Customer: f.value, Reason: "refused by the system; ask its administrator for this right",
				})
			}
		}
	}
	for _, kind := range d.Kinds {
		for _, ability := range kind.Abilities {
			report.Rights = append(report.Rights, connectors.Right{Name: string(ability) + " " + kind.Name, Granted: true})
		}
	}
	return report, nil
}

// ask is the door to the world: it logs the request and lets the faults that concern every request happen. Nothing has
// been done when it fails.
func (c connection) ask(ctx context.Context, op, record string, r Request) error {
	w := c.world
	gaveUp := func() error {
		class := connectors.ClassTransient
		if r.Key != "" && ctx.Err() != nil {
			class = connectors.ClassUnknown // a real system might have received it
		}
		return &connectors.Error{Class: class, Op: op, Record: record, Message: "stopped waiting for the system", Err: ctx.Err()}
	}
	if ctx.Err() != nil {
		return &connectors.Error{Class: connectors.ClassTransient, Op: op, Record: record, Message: "stopped before asking the system", Err: ctx.Err()}
	}
	w.mu.Lock()
	r.At = w.options.Now().UTC()
	w.requests = append(w.requests, r)
	var off chan struct{}
	if w.strikes(Slow) {
		off = w.faults[Slow].off
	}
	w.mu.Unlock()
	if off != nil {
		select {
		case <-ctx.Done():
			return gaveUp()
		case <-off:
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.options.Token != "" && c.token.Reveal() != w.options.Token {
		return &connectors.Error{Class: connectors.ClassAuth, Op: op, Record: record, Message: "the token was refused", Hint: "set the right token"}
	}
	return w.strike(op, record, RejectToken, Limited, Transient)
}

// kind finds a kind that has an ability.
func (c connection) kind(op, name string, a connectors.Ability) (connectors.Kind, error) {
	kind, ok := c.world.system.descriptor.Kind(name)
	if !ok || !kind.Can(a) {
		return kind, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Message: fmt.Sprintf("%s cannot %s %q",
			c.world.system.descriptor.System, a, name), Hint: "see the descriptor for what it can do"}
	}
	return kind, nil
}

// List asks page by page and compares what came with what the system says there is.
func (c connection) List(ctx context.Context, req connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
	op := "list " + req.Kind
	kind, err := c.kind(op, req.Kind, connectors.AbilityList)
	if err != nil {
		return connectors.Listing{}, err
	}
	if kind.Parent == "" && req.Parents != nil {
		return connectors.Listing{}, &connectors.Error{Class: connectors.ClassInvalid, Op: op, Message: req.Kind + " has no parent to list under"}
	}
	parents := req.Parents
	if parents == nil {
		c.world.mu.Lock()
		parents = c.world.parents(kind.Name)
		c.world.mu.Unlock()
	}
	var listing connectors.Listing
	for _, parent := range parents {
		gap, err := c.listUnder(ctx, op, kind, parent, &listing, yield)
		if err != nil {
			return listing, err
		}
		if gap != nil {
			listing.Gaps = append(listing.Gaps, *gap)
		}
	}
	if listing.Received == 0 && listing.Complete() {
		return c.doubtEmpty(ctx, op, listing)
	}
	return listing, nil
}

func (c connection) listUnder(ctx context.Context, op string, kind connectors.Kind, parent string, listing *connectors.Listing,
	yield func(connectors.Record) error) (*connectors.Gap, error) {
	w := c.world
	w.mu.Lock()
	_, there := w.records[place{kind.Parent, parent}]
	refused := w.faults[Partial] != nil && w.faults[Partial].value == parent
	w.mu.Unlock()
	switch {
	case kind.Parent != "" && !there:
		return &connectors.Gap{Parent: parent, Class: connectors.ClassMissing,
			Reason: fmt.Sprintf("%s %s is not there any more, so nothing under it was read; list %s again", kind.Parent, parent, kind.Parent)}, nil
	case kind.Parent != "" && refused:
		return &connectors.Gap{Parent: parent, Class: connectors.ClassAuth,
			Reason: fmt.Sprintf("reading %s of %s %s was refused; ask its administrator for this right", kind.Name, kind.Parent, parent)}, nil
	}
	received, sheet := 0, w.open(kind.Name, parent)
	for more := true; more; {
		if err := c.ask(ctx, op, "", Request{Op: "list", Kind: kind.Name, Parent: parent}); err != nil {
			return nil, err
		}
		var page []connectors.Record
		page, more = w.next(sheet)
		for _, rec := range page {
			if err := yield(rec); err != nil {
				return nil, err
			}
			received++
			listing.Received++
		}
	}
	if received != sheet.total {
		return &connectors.Gap{Parent: parent, Class: connectors.ClassTransient,
			Reason: fmt.Sprintf("the system says there are %d of %s but delivered %d; run again", sheet.total, kind.Name, received)}, nil
	}
	return nil, nil
}

// paging is one listing as the system keeps it: which records it holds is settled when it is opened, so that a removal
// between two pages does not shift another record out of sight.
type paging struct {
	kind   string
	ids    []string
	offset int
	total  int // records that the system says there are
}

func (w *World) open(kind, parent string) *paging {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.Clone(w.children[place{kind, parent}])
	if len(ids) > 0 && w.strikes(ShortList) {
		ids = ids[:len(ids)-1]
	}
	return &paging{kind: kind, ids: ids, total: len(ids)}
}

// next is a page, and whether to ask for another.
func (w *World) next(p *paging) (page []connectors.Record, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.strikes(EmptyList) {
		p.total = 0
		return nil, false
	}
	start, end := p.offset, min(p.offset+w.pageSize, len(p.ids))
	p.offset, more = end, end < len(p.ids)
	if !more && w.strikes(DropLastPage) {
		return nil, false
	}
	if f, ok := w.faults[CapPages]; ok {
		n, err := strconv.Atoi(f.value)
		if err != nil {
			n = 1
		}
		end = min(end, start+n)
	}
	for _, id := range p.ids[start:end] {
		rec, ok := w.records[place{p.kind, id}]
		if !ok {
			p.total--
			continue
		}
		page = append(page, handOut(rec))
	}
	return page, more
}

// doubtEmpty keeps an empty answer from being believed when the connection sees nothing at all: that is how a token
// without rights looks from outside.
func (c connection) doubtEmpty(ctx context.Context, op string, listing connectors.Listing) (connectors.Listing, error) {
	first := c.world.system.descriptor.Kinds[0]
	if err := c.ask(ctx, op, "", Request{Op: "list", Kind: first.Name}); err != nil {
		return listing, err
	}
	if page, _ := c.world.next(c.world.open(first.Name, "")); len(page) == 0 {
		listing.Gaps = append(listing.Gaps, connectors.Gap{Class: connectors.ClassAuth,
			Reason: fmt.Sprintf("not one %s can be seen, so this account has probably lost its rights; check the token", first.Name)})
	}
	return listing, nil
}

// Read reads one record.
func (c connection) Read(ctx context.Context, ref connectors.Ref) (connectors.Record, error) {
	op := "read " + ref.Kind
	if _, err := c.kind(op, ref.Kind, connectors.AbilityRead); err != nil {
		return connectors.Record{}, err
	}
	if err := c.ask(ctx, op, ref.ID, Request{Op: "read", Kind: ref.Kind, ID: ref.ID, Parent: ref.Parent}); err != nil {
		return connectors.Record{}, err
	}
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	return c.world.read(op, ref)
}

func (w *World) read(op string, ref connectors.Ref) (connectors.Record, error) {
	rec, ok := w.find(ref)
	if !ok {
		return rec, &connectors.Error{Class: connectors.ClassMissing, Op: op, Record: describe(ref), Message: "it is not there"}
	}
	return handOut(rec), nil
}

// Canonical rounds money and trims text as the world does.
func (c connection) Canonical(_, _ string, v model.Value) model.Value { return c.world.canonical(v) }

const cursorPrefix = "memory:"

// Changes follows the log of what happened. Records come whole; a record that is gone asks for a listing of its parent, or
// of its whole kind. The price sheet has no feed.
func (c connection) Changes(ctx context.Context, since string) (connectors.Changes, error) {
	if err := c.ask(ctx, "read changes", "", Request{Op: "changes"}); err != nil {
		return connectors.Changes{}, err
	}
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := connectors.Changes{Cursor: cursorPrefix + strconv.Itoa(len(w.events)), Scan: map[string]string{}}
	if w.system.descriptor.Role == connectors.RoleVendor {
		changes.Scan["price"] = "the price sheet has no change feed"
	}
	if since == "" {
		return changes, nil
	}
	number, ours := strings.CutPrefix(since, cursorPrefix)
	from, err := strconv.Atoi(number)
	if !ours || err != nil || from < 0 || from > len(w.events) || w.strikes(FeedForgets) {
		for _, kind := range w.system.descriptor.Kinds {
			changes.Scan[kind.Name] = "the change feed cannot go back to where we stopped"
		}
		return changes, nil
	}
	if w.strikes(FeedRepeats) {
		from = 0
	}
	for _, ref := range w.moved(from) {
		kind, _ := w.system.descriptor.Kind(ref.Kind)
		rec, there := w.find(ref)
		relist := connectors.Relist{Kind: ref.Kind, Parents: []string{ref.Parent}}
		asked := func(r connectors.Relist) bool { return r.Kind == ref.Kind && r.Parents[0] == ref.Parent }
		switch {
		case there:
			changes.Records = append(changes.Records, handOut(rec))
		case kind.Parent == "":
			changes.Scan[kind.Name] = "a record was removed, and the feed does not say which"
		case !slices.ContainsFunc(changes.Relist, asked):
			changes.Relist = append(changes.Relist, relist)
		}
	}
	return changes, nil
}

// moved are the records that the feed tells of since an event, each once, in the order of their last event.
func (w *World) moved(from int) []connectors.Ref {
	var refs []connectors.Ref
	seen := map[connectors.Ref]bool{}
	for _, e := range slices.Backward(w.events[from:]) {
		if !e.hidden && !seen[e.ref] {
			seen[e.ref] = true
			refs = append(refs, e.ref)
		}
	}
	slices.Reverse(refs)
	return refs
}
