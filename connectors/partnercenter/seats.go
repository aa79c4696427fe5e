package partnercenter

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// The words of the setting assigned, and the field that it fills.
const (
	assignedSkip  = "skip"
	assignedRead  = "read"
	fieldAssigned = "assigned"
)

// pool is what a customer holds of one product in its directory, whoever sold it.
type pool struct {
	active   model.Quantity // seats that may be used
	consumed model.Quantity // seats given to users; more than active after seats were taken away
}

// countSeats fills in how many seats of a customer's subscriptions are in use. A figure that cannot be had is not delivered: what a
// customer has bought is known without it. An error is one that the next customer would meet too.
func (c *Connector) countSeats(ctx context.Context, customer string, records []connectors.Record) error {
	unknown := func(err error) error {
		if ctx.Err() != nil || spoilsAll(err) {
			return err
		}
		c.account.Log.Info("seats in use are not known", zap.String("account", c.account.Name), zap.String("customer", customer), zap.Error(err))
		return nil
	}
	found := map[string]model.Value{}
	defer func() {
		c.using.Lock()
		c.inUse[customer] = found
		c.using.Unlock()
	}()
	pools, err := c.consumed(ctx, customer)
	if err != nil {
		return unknown(err)
	}
	sharing := map[string][]connectors.Record{}
	for _, rec := range records {
		if !countable(rec) {
			continue
		}
		id, err := c.directorySKU(ctx, rec)
		if err != nil {
			if err := unknown(err); err != nil {
				return err
			}
			continue
		}
		if _, held := pools[id]; held { // what was just bought may not be there yet
			sharing[id] = append(sharing[id], rec)
		}
	}
	for id, records := range sharing {
		for _, rec := range share(pools[id], records) {
			found[rec.ID] = rec.Fields[fieldAssigned]
		}
	}
	return nil
}

// countable reports a subscription whose seats can be given to users now. The seats of a suspended one are out of use.
func countable(rec connectors.Record) bool {
	return strings.EqualFold(rec.Fields["status"].String(), "active") && strings.HasPrefix(rec.Fields["productType.id"].String(), "OnlineServices")
}

// share lays the seats in use of one product on its subscriptions, those that end last first. Seats from elsewhere (another
// partner, bought directly) count as the last to be used: nothing that may be in use is called unused. More in use than there are
// is shown on the first.
func share(p pool, sharing []connectors.Record) []connectors.Record {
	slices.SortFunc(sharing, func(a, b connectors.Record) int {
		return cmp.Or(strings.Compare(b.Fields["commitmentEndDate"].String(), a.Fields["commitmentEndDate"].String()), strings.Compare(a.ID, b.ID))
	})
	left, over := p.consumed, model.Quantity{}
	if p.consumed.Cmp(p.active) > 0 {
		left, over = p.active, p.consumed.Sub(p.active)
	}
	for i, rec := range sharing {
		taken, _ := rec.Fields["quantity"].Quantity()
		if left.Cmp(taken) < 0 {
			taken = left
		}
		left = left.Sub(taken)
		if i == 0 {
			taken = taken.Add(over)
		}
		rec.Fields[fieldAssigned] = model.QuantityValue(taken)
	}
	return sharing
}

// consumed reads what a customer's directory holds, by the directory's SKU.
// https://learn.microsoft.com/partner-center/developer/get-a-list-of-available-licenses
func (c *Connector) consumed(ctx context.Context, customer string) (map[string]pool, error) {
	pools := map[string]pool{}
	name := "of customer " + customer
	doubt, err := c.pages(ctx, "read seats in use", name, customerPath(customer)+"/subscribedskus", nil, 0, func(raw json.RawMessage) error {
		o, err := decodeObject(raw)
		if err != nil {
			return unreadable("seats in use "+name, err)
		}
		active, err := model.ParseQuantity(o.text("activeUnits"))
		if err != nil {
			return unreadable("seats in use "+name, err)
		}
		used, err := model.ParseQuantity(o.text("consumedUnits"))
		if err != nil {
			return unreadable("seats in use "+name, err)
		}
		id := strings.ToLower(o.text("productSku.id"))
		pools[id] = pool{active: pools[id].active.Add(active), consumed: pools[id].consumed.Add(used)}
		return nil
	})
	if err == nil && doubt != "" {
		err = &connectors.Error{Class: connectors.ClassTransient, Op: "read seats in use", Record: name, Message: doubt, Hint: hintLater}
	}
	return pools, err
}

// directorySKU is the id under which the directory counts a subscription's seats; "" when the service names none. It is the same for
// every subscription of a product, so it is asked for once.
// https://learn.microsoft.com/partner-center/developer/get-subscription-provisioning-status
func (c *Connector) directorySKU(ctx context.Context, rec connectors.Record) (string, error) {
	c.using.Lock()
	defer c.using.Unlock()
	product := cmp.Or(rec.Fields["sku"].String(), rec.Fields["offerId"].String())
	if id, known := c.skuIDs[product]; known {
		return id, nil
	}
	ref := connectors.Ref{Kind: kindSubscription, ID: rec.ID, Parent: rec.Parent}
	var status struct {
		SkuID string `json:"skuId"`
	}
	resp, err := c.api.Do(ctx, rest.Request{Path: subscriptionPath(ref) + "/provisioningstatus", Header: headers(), Op: "read provisioning of", Record: subscriptionName(ref)})
	if err == nil {
		err = resp.Decode("read provisioning of", &status)
	}
	if err != nil {
		return "", err
	}
	if status.SkuID == "" {
		return "", nil // not provisioned yet, perhaps: asked again with the next listing
	}
	c.skuIDs[product] = strings.ToLower(status.SkuID)
	return c.skuIDs[product], nil
}

// whole adds to a subscription that was read alone what the service keeps elsewhere: the limits of its product, and the seats in use as the
// last listing of its customer had them, or else by listing the customer now. What cannot be had is not delivered.
func (c *Connector) whole(ctx context.Context, rec connectors.Record) connectors.Record {
	if err := c.bound(ctx, rec); err != nil {
		c.account.Log.Info("the limits of a product are not known", zap.String("account", c.account.Name), zap.String("subscription", rec.ID), zap.Error(err))
	}
	if !c.seats || !countable(rec) {
		return rec
	}
	remembered := func() (model.Value, bool) {
		c.using.Lock()
		defer c.using.Unlock()
		seats, known := c.inUse[rec.Parent][rec.ID]
		return seats, known
	}
	seats, known := remembered()
	if !known {
		c.subscriptionsOf(ctx, rec.Parent)
		seats, known = remembered()
	}
	if known {
		rec.Fields[fieldAssigned] = seats
	}
	return rec
}
