package partnercenter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// How the activity log is followed. It takes only days, so everything since the start of a day comes each time; what was
// told already is recognised by its id.
const (
	feedOverlap = time.Hour           // records can appear late; those from this long before the cursor are still new
	feedRange   = 30 * 24 * time.Hour // the service answers for at most this long
	feedFloor   = 24 * time.Hour      // on quiet days the cursor follows the clock at this distance, whatever our clock's fault

	// An order shows in lists up to 15 minutes after its record. Until then its customer is told of again and again.
	feedSettle = 20 * time.Minute

	// A list of customers shows nothing of their billing profiles, so those that changed are read alone, unless they are many.
	profileChanged = "update_customer_billing_profile"
	maxProfiles    = 50
)

// cursor is what is remembered between two looks. Callers see it as an opaque text.
type cursor struct {
	At     time.Time `json:"at"`     // nothing before this, less the overlap, is looked at again
	Looked time.Time `json:"looked"` // when the last look was
	Told   []string  `json:"told"`   // ids of records inside the overlap that need not be told again
}

// auditRecord: https://learn.microsoft.com/partner-center/developer/auditing-resources
type auditRecord struct {
	id, customer, resource, operation string
	at                                time.Time
	failed                            bool
}

// Changes reads the activity log. It covers customers and subscriptions; prices are to be listed once a day (UTC).
func (c *Connector) Changes(ctx context.Context, since string) (connectors.Changes, error) {
	now := c.account.Now().UTC()
	last, err := parseCursor(since)
	if err != nil {
		return connectors.Changes{}, &connectors.Error{Class: connectors.ClassInvalid, Op: "read changes", Record: "in " + c.account.Name,
			Message: "the cursor is not one of ours", Hint: "start with an empty cursor", Err: err}
	}
	next := cursor{At: now, Looked: now}
	told := connectors.Changes{Scan: map[string]string{}}
	scanAll := func(reason string) {
		told.Scan[kindCustomer], told.Scan[kindSubscription] = reason, reason
	}
	if since != "" && last.Looked.Format(time.DateOnly) != now.Format(time.DateOnly) {
		told.Scan[kindPrice] = "prices have no change feed; the sheet is read once a day"
	}
	switch {
	case c.appOnly:
		scanAll("the activity log needs a signed-in partner user; set refresh_token to read changes instead of everything")
	case since == "":
	case now.Sub(last.At) > feedRange-feedFloor:
		scanAll("the last look was on " + last.Looked.Format(time.DateOnly) + "; the activity log does not answer for that long")
	default:
		if next, err = c.follow(ctx, last, now, &told); err != nil {
			return connectors.Changes{}, err
		}
	}
	text, err := json.Marshal(next)
	if err != nil {
		return connectors.Changes{}, &connectors.Error{Class: connectors.ClassInvalid, Op: "keep cursor", Err: err}
	}
	told.Cursor = string(text)
	return told, nil
}

func parseCursor(since string) (cursor, error) {
	var last cursor
	if since == "" {
		return last, nil
	}
	err := json.Unmarshal([]byte(since), &last)
	if err == nil && last.At.IsZero() {
		err = fmt.Errorf("cursor without a time")
	}
	return last, err
}

// follow tells what the log holds since last.
func (c *Connector) follow(ctx context.Context, last cursor, now time.Time, told *connectors.Changes) (cursor, error) {
	from := last.At.Add(-feedOverlap)
	query := url.Values{"startDate": {from.Format(time.DateOnly)}}
	touched, left := map[string]time.Time{}, map[string]time.Time{} // customers and when, the last time
	profiles := map[string]bool{}
	customersMoved := false
	var settled []auditRecord
	doubt, err := c.pages(ctx, "read changes", "in the activity log", "/v1/auditrecords", query, pageSize, func(raw json.RawMessage) error {
		r, err := readAudit(raw)
		if err != nil {
			return err
		}
		if r.at.Before(from) {
			return nil
		}
		if now.Sub(r.at) > feedSettle {
			settled = append(settled, r)
		}
		if r.failed || slices.Contains(last.Told, r.id) {
			return nil
		}
		if r.touchesCustomer() {
			customersMoved = true
		}
		switch {
		case r.customer == "":
		case r.operation == profileChanged:
			profiles[r.customer] = true
		case r.gone():
			left[r.customer] = later(left[r.customer], r.at)
		case r.touchesSubscriptions(), c.seats && r.resource == "license": // seats were given to users
			touched[r.customer] = later(touched[r.customer], r.at)
		}
		return nil
	})
	if err != nil {
		return last, err
	}
	if doubt != "" {
		told.Scan[kindCustomer], told.Scan[kindSubscription] = "the activity log may be incomplete: "+doubt, "the activity log may be incomplete: "+doubt
	}
	// A customer that left cannot be asked any more.
	maps.DeleteFunc(touched, func(customer string, at time.Time) bool { return left[customer].After(at) })
	if len(profiles) > maxProfiles {
		customersMoved, profiles = true, nil
	}
	for _, customer := range slices.Sorted(maps.Keys(profiles)) {
		rec, err := c.Read(ctx, connectors.Ref{Kind: kindCustomer, ID: customer})
		switch class := connectors.ClassOf(err); {
		case err == nil:
			told.Records = append(told.Records, rec)
		case class != connectors.ClassMissing && class != connectors.ClassAuth: // those are told of in their own ways
			return last, err
		}
	}
	if customersMoved {
		told.Scan[kindCustomer] = "customers were added, removed or changed; listing them is one request for each 500"
	}
	if len(touched) > 0 && told.Scan[kindSubscription] == "" {
		told.Relist = []connectors.Relist{{Kind: kindSubscription, Parents: slices.Sorted(maps.Keys(touched))}}
	}

	next := cursor{At: last.At, Looked: now}
	for _, r := range settled {
		if r.at.After(next.At) && !r.at.After(now) {
			next.At = r.at
		}
	}
	if floor := now.Add(-feedFloor); next.At.Before(floor) {
		next.At = floor
	}
	for _, r := range settled {
		if !r.at.Before(next.At.Add(-feedOverlap)) {
			next.Told = append(next.Told, r.id)
		}
	}
	slices.Sort(next.Told)
	return next, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func readAudit(raw json.RawMessage) (auditRecord, error) {
	o, err := decodeObject(raw)
	if err != nil {
		return auditRecord{}, unreadable("activity record", err)
	}
	r := auditRecord{
		id: o.text("id"), customer: strings.ToLower(o.text("customerId")),
		resource: strings.ToLower(o.text("resourceType")), operation: strings.ToLower(o.text("operationType")),
		failed: strings.EqualFold(o.text("operationStatus"), "failed"),
	}
	if r.at, err = parseTime(o.text("operationDate")); err != nil {
		return r, unreadable("activity record "+r.id, err)
	}
	return r, nil
}

// touchesCustomer reports operations after which the list of customers may differ.
func (r auditRecord) touchesCustomer() bool {
	return r.operation != profileChanged && r.resource == "customer" || r.resource == "partner_relationship" || strings.Contains(r.operation, "_customer_partner") ||
		r.operation == "add_customer" || r.operation == "delete_customer"
}

// gone reports that the customer cannot be asked about any more.
func (r auditRecord) gone() bool {
	return r.operation == "remove_partner_customer_relationship" || r.operation == "delete_customer"
}

// touchesSubscriptions reports all but the operations that are known not to: asking once more is cheap.
func (r auditRecord) touchesSubscriptions() bool {
	switch r.resource {
	case "customer_user", "license", "invoice", "credit", "agreement", "mpn_association":
		return false
	}
	return true
}
