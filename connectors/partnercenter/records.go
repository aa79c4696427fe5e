package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// List reads customers, subscriptions or prices. Subscriptions come customer by customer in the order of customer ids.
func (c *Connector) List(ctx context.Context, req connectors.ListRequest, yield func(connectors.Record) error) (connectors.Listing, error) {
	switch req.Kind {
	case kindCustomer:
		return c.listCustomers(ctx, yield)
	case kindSubscription:
		return c.listSubscriptions(ctx, req.Parents, yield)
	case kindPrice:
		return c.listPrices(ctx, yield)
	}
	return connectors.Listing{}, unknownKind("list", req.Kind)
}

// Read reads one customer, with its addresses, or one subscription.
func (c *Connector) Read(ctx context.Context, ref connectors.Ref) (connectors.Record, error) {
	switch ref.Kind {
	case kindCustomer:
		raw, err := c.get(ctx, "read", "customer "+ref.ID, customerPath(ref.ID))
		if err != nil {
			var e *connectors.Error
			if errors.As(err, &e) && e.Code == noRelationship {
				e.Class = connectors.ClassMissing // for us it is not there
			}
			return connectors.Record{}, err
		}
		return record(kindCustomer, "", customerMembers, raw)
	case kindSubscription:
		_, rec, err := c.subscription(ctx, ref)
		if err != nil {
			return rec, err
		}
		return c.whole(ctx, rec), nil
	}
	return connectors.Record{}, unknownKind("read", ref.Kind)
}

func unknownKind(op, kind string) error {
	return &connectors.Error{Class: connectors.ClassInvalid, Op: op, Record: kind, Message: "partnercenter cannot do this for this kind",
		Hint: "the kinds are " + strings.Join(descriptor.KindNames(), ", ")}
}

func customerPath(id string) string { return "/v1/customers/" + url.PathEscape(id) }

func subscriptionPath(ref connectors.Ref) string {
	return customerPath(ref.Parent) + "/subscriptions/" + url.PathEscape(ref.ID)
}

func subscriptionName(ref connectors.Ref) string {
	return "subscription " + ref.ID + " of customer " + ref.Parent
}

// get reads one resource. A fault that comes with status 200 is still a fault.
func (c *Connector) get(ctx context.Context, op, name, path string) (json.RawMessage, error) {
	resp, err := c.api.Do(ctx, rest.Request{Path: path, Header: headers(), Op: op, Record: name})
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := resp.Decode(op, &raw); err != nil {
		return nil, err
	}
	var probe struct {
		ID          string          `json:"id"`
		Code        json.RawMessage `json:"code"`
		Description string          `json:"description"`
	}
	err = json.Unmarshal(raw, &probe)
	switch {
	case err == nil && probe.ID != "":
		return raw, nil
	case err == nil && len(probe.Code) > 0:
		refusal := faultOf(resp.Status, strings.Trim(string(probe.Code), `"`), probe.Description)
		refusal.Op, refusal.Record = op, name
		return nil, refusal
	}
	return nil, &connectors.Error{Class: connectors.ClassTransient, Op: op, Record: name, Message: "the service answered without the record", Err: err}
}

// subscription reads one subscription, as received and as a record.
func (c *Connector) subscription(ctx context.Context, ref connectors.Ref) (resource, connectors.Record, error) {
	raw, err := c.get(ctx, "read", subscriptionName(ref), subscriptionPath(ref))
	if err != nil {
		return nil, connectors.Record{}, err
	}
	var r resource
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, connectors.Record{}, unreadable(subscriptionName(ref), err)
	}
	rec, err := record(kindSubscription, ref.Parent, subscriptionMembers, raw)
	return r, rec, err
}

func unreadable(name string, err error) error {
	return &connectors.Error{Class: connectors.ClassInvalid, Op: "read", Record: name, Message: "it cannot be understood: " + err.Error(), Err: err}
}

// record turns a resource into a record. Ids are lower case, because the service mixes them.
func record(kind, parent string, members []member, raw json.RawMessage) (connectors.Record, error) {
	o, err := decodeObject(raw)
	if err != nil {
		return connectors.Record{}, unreadable(kind, err)
	}
	id := strings.ToLower(o.text("id"))
	if id == "" {
		return connectors.Record{}, unreadable(kind, errors.New("it has no id"))
	}
	f, err := fields(members, o)
	if err != nil {
		return connectors.Record{}, unreadable(kind+" "+id, err)
	}
	return connectors.Record{Kind: kind, ID: id, Parent: strings.ToLower(parent), Fields: f}, nil
}

// customers reads all customers the account sees, sorted by id. They are few and small enough to be held.
func (c *Connector) customers(ctx context.Context) ([]connectors.Record, []connectors.Gap, error) {
	query := url.Values{}
	if c.reseller != "" {
		tenant, err := c.resellerTenant(ctx)
		if err != nil {
			return nil, nil, err
		}
		filter, err := json.Marshal(map[string]string{"Field": "IndirectReseller", "Value": tenant, "Operator": "starts_with"})
		if err != nil {
			return nil, nil, &connectors.Error{Class: connectors.ClassInvalid, Op: "list customers", Err: err}
		}
		query.Set("filter", string(filter))
	}
	var found []connectors.Record
	var gaps []connectors.Gap
	doubt, err := c.pages(ctx, "list customers", "", "/v1/customers", query, pageSize, func(raw json.RawMessage) error {
		rec, err := record(kindCustomer, "", customerMembers, raw)
		if err != nil {
			gaps = append(gaps, gapOf("", "one customer was skipped", err))
			return nil
		}
		found = append(found, rec)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if doubt != "" {
		gaps = append(gaps, connectors.Gap{Class: connectors.ClassTransient, Reason: "the list of customers may be incomplete: " + doubt})
	}
	if len(found) == 0 && len(gaps) == 0 {
		gaps = append(gaps, connectors.Gap{Class: connectors.ClassAuth, Reason: "the account sees no customers at all, which is taken for a missing right " +
			"and not for an empty partner; check tenant and account_type, and that the signed-in user is an Admin agent"})
	}
	slices.SortFunc(found, func(a, b connectors.Record) int { return strings.Compare(a.ID, b.ID) })
	// A customer added while paging can push another onto the next page.
	found = slices.CompactFunc(found, func(a, b connectors.Record) bool { return a.ID == b.ID })
	return found, gaps, nil
}

// resellerTenant finds the tenant id behind the reseller's MPN id, which the filter of customers wants.
func (c *Connector) resellerTenant(ctx context.Context) (string, error) {
	c.lookup.Lock()
	defer c.lookup.Unlock()
	if c.tenantOf != "" {
		return c.tenantOf, nil
	}
	name := "reseller " + c.reseller
	query := url.Values{"relationship_type": {"IsIndirectCloudSolutionProviderOf"}}
	_, err := c.pages(ctx, "look up", name, "/v1/relationships", query, 0, func(raw json.RawMessage) error {
		o, err := decodeObject(raw)
		if err != nil {
			return unreadable(name, err)
		}
		if o.text("mpnId") == c.reseller {
			c.tenantOf = o.text("id")
		}
		return nil
	})
	if err == nil && c.tenantOf == "" {
		err = &connectors.Error{Class: connectors.ClassInvalid, Op: "look up", Record: name, Message: "no indirect reseller of this partner has that MPN id",
			Hint: "check the setting reseller"}
	}
	return c.tenantOf, err
}

func (c *Connector) listCustomers(ctx context.Context, yield func(connectors.Record) error) (connectors.Listing, error) {
	found, gaps, err := c.customers(ctx)
	if err != nil {
		return connectors.Listing{}, err
	}
	listing := connectors.Listing{Gaps: gaps}
	for _, rec := range found {
		listing.Received++
		if err := yield(rec); err != nil {
			return listing, err
		}
	}
	return listing, nil
}

// gapOf describes what was not read, in a sentence.
func gapOf(parent, what string, err error) connectors.Gap {
	return connectors.Gap{Parent: parent, Class: connectors.ClassOf(err), Reason: what + ": " + err.Error()}
}

// batch is what one customer's list gave.
type batch struct {
	customer string
	records  []connectors.Record
	gaps     []connectors.Gap
	err      error
	stop     bool // it spoils the whole listing, not only this customer
}

// brokenInRow is how many customers may fail for reasons of the service, one after the other, before the listing gives up.
const brokenInRow = 5

// listSubscriptions asks for several customers at once, and hands on in order: at most twice as many customers as are
// asked at once are held.
func (c *Connector) listSubscriptions(ctx context.Context, parents []string, yield func(connectors.Record) error) (connectors.Listing, error) {
	var listing connectors.Listing
	if parents == nil {
		found, gaps, err := c.customers(ctx)
		if err != nil {
			return listing, err
		}
		listing.Gaps = gaps
		for _, rec := range found {
			parents = append(parents, rec.ID)
		}
	} else {
		parents = slices.Clone(parents)
		for i := range parents {
			parents[i] = strings.ToLower(parents[i])
		}
		slices.Sort(parents)
		parents = slices.Compact(parents)
	}

	asking, cancel := context.WithCancel(ctx)
	queue := make(chan chan batch, c.parallel)
	var group errgroup.Group
	group.SetLimit(c.parallel + 1) // one of them feeds the others
	group.Go(func() error {
		defer close(queue)
		for _, customer := range parents {
			result := make(chan batch, 1)
			select {
			case queue <- result:
			case <-asking.Done():
				return nil
			}
			group.Go(func() error {
				result <- c.subscriptionsOf(asking, customer)
				return nil
			})
		}
		return nil
	})
	err := drain(queue, &listing, yield)
	cancel()
	for range queue { // the feeder must not wait for us
	}
	_ = group.Wait() // failures travel in the batches
	if err == nil && ctx.Err() != nil {
		err = &connectors.Error{Class: connectors.ClassTransient, Op: "list subscriptions", Message: "stopped before it was finished", Err: ctx.Err()}
	}
	return listing, err
}

func drain(queue <-chan chan batch, listing *connectors.Listing, yield func(connectors.Record) error) error {
	answered, inRow := 0, 0 // customers the service answered for, if only with a refusal; failures since the last of them
	var broken error
	for result := range queue {
		b := <-result
		class := connectors.ClassOf(b.err)
		if b.err != nil && !b.stop && (class == connectors.ClassAuth || class == connectors.ClassMissing) || b.err == nil {
			answered, inRow = answered+1, 0
		} else {
			broken, inRow = b.err, inRow+1
		}
		if b.stop || inRow >= brokenInRow {
			return b.err
		}
		if b.err != nil {
			listing.Gaps = append(listing.Gaps, gapOf(b.customer, "subscriptions of customer "+b.customer+" were not read", b.err))
			continue
		}
		listing.Gaps = append(listing.Gaps, b.gaps...)
		for _, rec := range b.records {
			listing.Received++
			if err := yield(rec); err != nil {
				return err
			}
		}
	}
	if answered == 0 {
		return broken
	}
	return nil
}

// subscriptionsOf lists one customer's subscriptions.
func (c *Connector) subscriptionsOf(ctx context.Context, customer string) batch {
	b := batch{customer: customer}
	query := url.Values{}
	if c.reseller != "" {
		query.Set("mpn_id", c.reseller)
	}
	doubt, err := c.pages(ctx, "list subscriptions", "of customer "+customer, customerPath(customer)+"/subscriptions", query, 0, func(raw json.RawMessage) error {
		rec, err := record(kindSubscription, customer, subscriptionMembers, raw)
		if err != nil {
			b.gaps = append(b.gaps, gapOf(customer, "one subscription of customer "+customer+" was skipped", err))
			return nil
		}
		b.records = append(b.records, rec)
		return nil
	})
	if err != nil {
		b.err, b.stop = err, ctx.Err() != nil || spoilsAll(err)
		return b
	}
	if doubt != "" {
		b.gaps = append(b.gaps, connectors.Gap{Parent: customer, Class: connectors.ClassTransient,
			Reason: "the list of subscriptions of customer " + customer + " may be incomplete: " + doubt})
	}
	slices.SortFunc(b.records, func(x, y connectors.Record) int { return strings.Compare(x.ID, y.ID) })
	for _, rec := range b.records {
		if err := c.bound(ctx, rec); err != nil {
			b.err, b.stop = err, true
			return b
		}
	}
	if c.seats && len(b.records) > 0 {
		if err := c.countSeats(ctx, customer, b.records); err != nil {
			b.err, b.stop = err, true
		}
	}
	return b
}

// spoilsAll reports failures that the next customer would meet too: no sign-in, or asked too often.
func spoilsAll(err error) bool {
	var e *connectors.Error
	if !errors.As(err, &e) {
		return true
	}
	return e.Class == connectors.ClassLimited || errors.Is(e, errSignIn)
}

// errSignIn marks a refusal of our credentials, as opposed to one of our rights in one customer.
var errSignIn = errors.New(http.StatusText(http.StatusUnauthorized))
