package connectwise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/trueup-sync/trueup/connectors"
)

// resource finds a kind that has an ability.
func (c *Connector) resource(op, kind string, ability connectors.Ability) (resource, error) {
	k, known := descriptor.Kind(kind)
	switch {
	case !known:
		return resource{}, c.fail(connectors.ClassInvalid, op, "", "", fmt.Sprintf("there is no kind %q", kind), "the kinds are "+strings.Join(descriptor.KindNames(), ", "))
	case !k.Can(ability):
		return resource{}, c.fail(connectors.ClassInvalid, op, "", "", fmt.Sprintf("a %s cannot be %s here", kind, pastOf[ability]), "do it in the PSA")
	}
	return resourceOf(kind), nil
}

var pastOf = map[connectors.Ability]string{
	connectors.AbilityList: "listed", connectors.AbilityRead: "read", connectors.AbilityCreate: "created",
	connectors.AbilityChange: "changed", connectors.AbilityEnd: "ended",
}

// number checks an id before it becomes part of a path.
func (c *Connector) number(op, what, id string) error {
	if _, err := strconv.ParseUint(id, 10, 31); err != nil {
		return c.fail(connectors.ClassInvalid, op, "", "", fmt.Sprintf("%q is not the id of %s", id, what), "ids are whole numbers")
	}
	return nil
}

// conditions narrow a kind to what the account looks at.
func (c *Connector) conditions(kind string) string {
	switch {
	case kind == kindCompany:
		return "deletedFlag=false"
	case kind == kindAgreement && len(c.types) > 0:
		quoted := make([]string, len(c.types))
		for i, name := range c.types {
			quoted[i] = quote(name)
		}
		return "type/name in (" + strings.Join(quoted, ",") + ")"
	case kind == kindOffered:
		return "opportunity/id>0"
	case kind == kindTicket:
		return "externalXRef like " + quote(ownTickets+"*")
	}
	return ""
}

// List implements connectors.Lister.
func (c *Connector) List(ctx context.Context, req connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
	op := "list " + req.Kind
	r, err := c.resource(op, req.Kind, connectors.AbilityList)
	if err != nil {
		return connectors.Listing{}, err
	}
	switch req.Kind {
	case kindAddition:
		return c.listAdditions(ctx, r, req.Parents, yield)
	case kindNote:
		return c.listNotes(ctx, r, req.Parents, yield)
	}
	if req.Kind == kindOffer {
		if err := c.readStatuses(ctx, op); err != nil {
			return connectors.Listing{}, err
		}
		c.mu.Lock()
		c.offers = true
		c.mu.Unlock()
	}
	var listing connectors.Listing
	f, err := c.all(ctx, search{path: r.path, conditions: c.conditions(r.kind), op: "list " + r.noun, counted: true}, func(o object, _ []byte) error {
		rec, err := c.record(r, "", o)
		if err != nil {
			// One record that cannot be read does not hide the others, but neither is it gone.
			listing.Gaps = append(listing.Gaps, connectors.Gap{Class: connectors.ClassOf(err), Reason: err.Error()})
			return nil
		}
		listing.Received++
		if r.kind == kindAgreement {
			c.stamped(rec)
		}
		return yield(rec)
	})
	if err != nil {
		return listing, c.missingCollection(err)
	}
	if why := f.short(); why != "" {
		listing.Gaps = append(listing.Gaps, connectors.Gap{Class: connectors.ClassTransient, Reason: fmt.Sprintf("the list of %s is short: %s; run again", r.noun, why)})
	} else if r.kind == kindCompany && f.received == 0 {
		listing.Gaps = append(listing.Gaps, connectors.Gap{Class: connectors.ClassAuth,
			Reason: "the PSA shows this API member no company at all, which is not believed; check its security role and the setting company"})
	}
	return listing, nil
}

// missingCollection turns a 404 on a list, which always exists, into what it means: the cloud answers so to wrong keys.
func (c *Connector) missingCollection(err error) error {
	var e *connectors.Error
	if !errors.As(err, &e) || e.Class != connectors.ClassMissing {
		return err
	}
	auth := *e
	auth.Class, auth.Hint = connectors.ClassAuth, "ConnectWise cloud answers 404 to wrong keys; "+hintKeys+", and codebase if it is set"
	return &auth
}

// batch is what one agreement's listing gave.
type batch struct {
	parent  string
	records []connectors.Record
	gaps    []connectors.Gap
	err     error
}

// tolerated is how many agreements may be refused or fail with a passing fault before the listing is given up: more of
// them is a fault of the account or of the PSA, not of an agreement.
const tolerated = 3

// listAdditions reads agreement after agreement, several at once, and yields them in the order of their ids.
func (c *Connector) listAdditions(ctx context.Context, r resource, parents []string, yield func(connectors.Record) error) (connectors.Listing, error) {
	var listing connectors.Listing
	if parents == nil {
		above, err := c.List(ctx, connectors.ListRequest{Kind: kindAgreement}, func(rec connectors.Record) error {
			parents = append(parents, rec.ID)
			return nil
		})
		if err != nil {
			return listing, err
		}
		listing.Gaps = above.Gaps // of agreements nobody knows the additions either
	}
	for _, parent := range parents {
		if err := c.number("list additions", "an agreement", parent); err != nil {
			return listing, err
		}
	}
	slices.SortFunc(parents, byNumber)
	parents = slices.Compact(parents)
	failures := 0
	learned := lesson{}
	err := c.each(ctx, r, parents, func(b batch) error {
		switch class := connectors.ClassOf(b.err); {
		case (class == connectors.ClassTransient || class == connectors.ClassAuth) && ctx.Err() == nil && failures < tolerated:
			failures++
			fallthrough
		case class == connectors.ClassMissing, class == connectors.ClassInvalid:
			listing.Gaps = append(listing.Gaps, connectors.Gap{Parent: b.parent, Class: class, Reason: b.err.Error()})
			return nil
		case b.err != nil:
			return b.err
		}
		listing.Gaps = append(listing.Gaps, b.gaps...)
		for _, rec := range b.records {
			listing.Received++
			if err := yield(rec); err != nil {
				return err
			}
		}
		if agreement, ok := c.stampOf(b.parent); ok {
			learned.add(agreement, b.records)
		}
		return nil
	})
	if err != nil {
		return listing, err
	}
	return listing, c.conclude(ctx, learned)
}

// under reads the records of a kind under one parent.
func (c *Connector) under(ctx context.Context, r resource, parent string) batch {
	b := batch{parent: parent}
	s := search{path: r.collection(parent), op: "list " + r.noun, record: under(r.kind, parent), counted: true}
	f, err := c.all(ctx, s, func(o object, _ []byte) error {
		rec, err := c.record(r, parent, o)
		if err != nil {
			b.gaps = append(b.gaps, connectors.Gap{Parent: parent, Class: connectors.ClassOf(err), Reason: err.Error()})
			return nil
		}
		b.records = append(b.records, rec)
		return nil
	})
	b.err = err
	if why := f.short(); err == nil && why != "" {
		b.gaps = append(b.gaps, connectors.Gap{Parent: parent, Class: connectors.ClassTransient,
			Reason: fmt.Sprintf("the list of %s %s is short: %s; run again", r.noun, under(r.kind, parent), why)})
	}
	return b
}

// each fetches for every parent, as many at once as the account allows, and emits from this goroutine in the order of
// parents. At most that many results wait, so memory stays flat. It returns when nothing of it runs any more.
func (c *Connector) each(ctx context.Context, r resource, parents []string, emit func(batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	queue := make(chan chan batch, c.parallel)
	running.Go(func() {
		defer close(queue)
		for _, parent := range parents {
			slot := make(chan batch, 1)
			select {
			case queue <- slot:
			case <-ctx.Done():
				return
			}
			running.Go(func() { slot <- c.under(ctx, r, parent) })
		}
	})
	for slot := range queue {
		if err := emit(<-slot); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		e := c.fail(connectors.ClassTransient, "list "+r.noun, "", "", "stopped before it was finished", "")
		e.Err = err
		return e
	}
	return nil
}

// byNumber orders ids as numbers.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Read implements connectors.Reader. A deleted company is missing.
func (c *Connector) Read(ctx context.Context, ref connectors.Ref) (connectors.Record, error) {
	_, rec, err := c.read(ctx, "read "+ref.Kind, ref, connectors.AbilityRead)
	return rec, err
}

// read also gives the JSON, which a change of custom fields needs.
func (c *Connector) read(ctx context.Context, op string, ref connectors.Ref, ability connectors.Ability) (object, connectors.Record, error) {
	r, err := c.resource(op, ref.Kind, ability)
	if err != nil {
		return nil, connectors.Record{}, err
	}
	if err := c.number(op, "a "+ref.Kind, ref.ID); err != nil {
		return nil, connectors.Record{}, err
	}
	parent := ""
	if home := above[ref.Kind]; home != "" {
		parent = ref.Parent
		if err := c.number(op, "a parent "+home, parent); err != nil {
			return nil, connectors.Record{}, err
		}
	}
	o, _, err := c.getObject(ctx, r.collection(ref.Parent)+"/"+ref.ID, op, describe(ref))
	if err != nil {
		return nil, connectors.Record{}, err
	}
	if ref.Kind == kindCompany && o["deletedFlag"] == true {
		return nil, connectors.Record{}, c.fail(connectors.ClassMissing, op, describe(ref), "", "the company was deleted in the PSA", "link another one, or bring it back")
	}
	if ref.Kind == kindOffer {
		if err := c.knowStatus(ctx, op, o); err != nil {
			return nil, connectors.Record{}, err
		}
	}
	rec, err := c.record(r, parent, o)
	return o, rec, err
}

// describe names a record in errors.
func describe(ref connectors.Ref) string {
	return strings.TrimSpace(ref.ID + " " + under(ref.Kind, ref.Parent))
}
