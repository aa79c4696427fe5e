package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// The members and fields that say what happens when a term ends.
const (
	nextTerm     = "scheduledNextTermInstructions"
	nextQuantity = nextTerm + ".quantity"
	nextActions  = "scheduledActions"
	termEnd      = "termEndAction"
	nextProduct  = "nextProduct"
)

// The words of termEndAction.
const (
	actionRenew      = "renew"
	actionCancel     = "cancel"
	actionExtend     = "extend"
	actionTransition = "transition"
	actionOther      = "other"
)

// termRules: https://learn.microsoft.com/partner-center/developer/subscription-lifecycle
var termRules = connectors.TermRules{
	Terms: []model.Term{
		{Duration: "P1M", Billing: "monthly"}, {Duration: "P1Y", Billing: "monthly"}, {Duration: "P1Y", Billing: "annual"},
		{Duration: "P3Y", Billing: "monthly"}, {Duration: "P3Y", Billing: "annual"}, {Duration: "P3Y", Billing: "triennial"},
	},
	DecreaseHours: 168, CancelHours: 168, ExtendedPercent: 23, TrialFixed: true, SuspendedFixed: true, AddOnsFollow: true,
	Increase: "At any time while the subscription is active and paid for; prorated to the end of the charge cycle, the end of the term stays.",
	Limits:   "Each product has a smallest and a largest number of seats, such as 300, which the catalogue tells; beyond them the service refuses (2002, 900275, 800067, 800088).",
	AddOns: "New Commerce add-ons are subscriptions of their own. One that names its base is suspended and over with it, takes no change while it is not active, and, " +
		"as a caution of ours, has no more seats than it.",
	Suspended: "A suspended subscription is still charged and takes no change of seats; suspending switches auto-renewal off and deletes what was " +
		"scheduled for the end of the term.",
	Trials:     "A trial has a fixed number of seats; what follows it is always scheduled.",
	Promotions: "The price of a promotion holds until the end of the term. It is not carried into what trueup schedules; the service applies what is valid at the renewal.",
	Verified:   "unverified (vendor documentation, subscription life cycle; the extended term from distributors' notices of 2026)",
}

// nextTermAction is what is told to happen when the term ends; empty when nobody said. A renewal may be told by instructions alone.
func nextTermAction(o object) model.Value {
	for _, action := range o.objects(nextActions) {
		if !strings.EqualFold(action.text("scheduleType"), "TermEnd") {
			continue
		}
		switch strings.ToLower(action.text("actionType")) {
		case "cancel":
			return model.Text(actionCancel)
		case "renewtonewterm":
			return model.Text(actionRenew)
		case "renewtoextendedserviceterm":
			return model.Text(actionExtend)
		case "transition":
			return model.Text(actionTransition)
		}
		return model.Text(actionOther)
	}
	if v, ok := o.at(nextTerm); ok && v != nil {
		return model.Text(actionRenew)
	}
	return model.Text("")
}

// Schedule says with how many seats a subscription renews, or that it is cancelled at the end of its term, and returns it once that
// shows. An empty value withdraws it. Cancelling is told explicitly: with auto-renewal merely off, a paid extended term may follow.
func (c *Connector) Schedule(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	ch := change{Connector: c, ref: req.Ref, edits: req.Edits, key: req.Key, op: "schedule"}
	ch.today = func(ctx context.Context, s sold) (string, error) { return c.availability(ctx, req.Ref.Parent, s) }
	if req.Ref.Kind != kindSubscription {
		return connectors.Record{}, unknownKind("schedule", req.Ref.Kind)
	}
	if err := ch.schedulable(); err != nil {
		return connectors.Record{}, err
	}
	raw, before, wanted, err := ch.look(ctx)
	if err != nil || len(wanted) == 0 {
		return c.whole(ctx, before), err
	}
	body, err := ch.instructed(ctx, raw, before, wanted)
	if err != nil {
		return connectors.Record{}, err
	}
	if err := ch.send(ctx, body, ch.key); err != nil {
		return connectors.Record{}, err
	}
	_, after, err := ch.settle(ctx, "what was scheduled", func(rec connectors.Record) bool {
		for name, value := range wanted {
			if now := rec.Fields[name]; now != value && (!now.Blank() || !value.Blank()) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return connectors.Record{}, err
	}
	return c.whole(ctx, after), nil
}

// schedulable refuses what could never be scheduled.
func (ch change) schedulable() error {
	kind, _ := descriptor.Kind(kindSubscription)
	if ch.key == "" {
		return ch.fail(connectors.ClassInvalid, "", "it has no key to be recognised by when it is repeated", "this is a fault of trueup; please report it")
	}
	for _, name := range slices.Sorted(maps.Keys(ch.edits)) {
		field, ok := kind.Field(name)
		to := ch.edits[name].To
		q, _ := to.Quantity()
		switch {
		case !ok || !field.Scheduled:
			return ch.fail(connectors.ClassInvalid, name, "Partner Center does not let this be scheduled for the end of the term", "schedule "+nextQuantity+", "+nextProduct+" or "+termEnd)
		case to.Type() != field.Type:
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q is not a value of type %s", to, field.Type), "")
		case name == nextQuantity && !to.Blank() && (!q.Whole() || q.Sign() <= 0 || len(to.String()) > 9):
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%s is not a whole number of seats above zero", to), "to have none, cancel at the end of the term")
		case name == termEnd && !slices.Contains([]string{"", actionRenew, actionCancel, actionExtend}, to.String()):
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q cannot be scheduled by trueup", to), "write renew, cancel or extend, or do it in Partner Center")
		case name == nextProduct && !to.Blank():
			if _, err := parseProduct(to.String()); err != nil {
				return ch.fail(connectors.ClassInvalid, name, err.Error(), "write it as the price sheet does: ProductId:SkuId TermDuration billing")
			}
		}
	}
	return nil
}

// instructed is the whole resource with other instructions for the end of its term.
func (ch change) instructed(ctx context.Context, raw resource, before connectors.Record, wanted map[string]model.Value) (resource, error) {
	status := before.Fields["status"].String()
	switch {
	case before.Fields["isTrial"].True():
		return nil, ch.fail(connectors.ClassInvalid, "", "it is a trial", "convert the trial or wait for its end")
	case !strings.EqualFold(status, "active"):
		return nil, ch.fail(connectors.ClassInvalid, "", fmt.Sprintf("its status is %q: only an active subscription takes instructions for the end of its term", status), "look at it in Partner Center")
	}
	seats, asked := wanted[nextQuantity]
	product, other := wanted[nextProduct]
	action, told := wanted[termEnd]
	if !asked && (other && !product.Blank() || told && action.String() == actionRenew) {
		// With as many seats as are scheduled, or as there are.
		if seats = before.Fields[nextQuantity]; seats.Blank() {
			seats = before.Fields["quantity"]
		}
	}
	others, err := otherActions(raw)
	if err != nil {
		return nil, unreadable(subscriptionName(ch.ref), err)
	}
	body := raw.clone()
	body.drop(nextTerm)
	switch {
	case told && action.String() == actionCancel:
		others = append(others, json.RawMessage(`{"scheduleType":"TermEnd","actionType":"Cancel"}`))
	case told && action.String() == actionExtend:
		others = append(others, json.RawMessage(`{"scheduleType":"TermEnd","actionType":"RenewToExtendedServiceTerm"}`))
	case !seats.Blank():
		next, err := ch.instructions(ctx, raw, before, seats, product, other)
		if err != nil {
			return nil, err
		}
		body.set(nextTerm, next)
		body.set("autoRenewEnabled", json.RawMessage("true")) // without it instructions mean nothing
	}
	if len(others) == 0 {
		body.drop(nextActions)
		return body, nil
	}
	list, err := json.Marshal(others)
	body.set(nextActions, list)
	return body, err
}

// otherActions are the scheduled actions that are not about the end of the term, as received.
func otherActions(raw resource) (others []json.RawMessage, err error) {
	var all []json.RawMessage
	if list := raw.get(nextActions); list != nil {
		if err := json.Unmarshal(list, &all); err != nil {
			return nil, err
		}
	}
	for _, item := range all {
		o, err := decodeObject(item)
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(o.text("scheduleType"), "TermEnd") {
			others = append(others, item)
		}
	}
	return others, nil
}

// instructions are those that stand, with other seats; or else the product of today, or another one, for another term.
func (ch change) instructions(ctx context.Context, raw resource, before connectors.Record, seats, product model.Value, other bool) (json.RawMessage, error) {
	fail := func(err error) error {
		var refused *connectors.Error
		if errors.As(err, &refused) {
			return err
		}
		return ch.fail(connectors.ClassInvalid, nextProduct, err.Error(), "schedule it in Partner Center")
	}
	if standing := raw.get(nextTerm); standing != nil && !other {
		var next resource
		if err := json.Unmarshal(standing, &next); err != nil {
			return nil, fail(fmt.Errorf("what is scheduled cannot be understood: %w", err))
		}
		next.set("quantity", json.RawMessage(seats.String()))
		return json.Marshal(next)
	}
	today := model.ProductKey(before.Fields["sku"].String(), before.Fields["termDuration"].String(), strings.ToLower(before.Fields["billingCycle"].String()))
	key := today
	if !product.Blank() {
		key = product.String()
	}
	next, err := parseProduct(key)
	if err != nil {
		return nil, fail(err)
	}
	if next.availability, err = ch.today(ctx, next); err != nil {
		return nil, fail(err)
	}
	return json.Marshal(map[string]any{
		"product": map[string]string{"productId": next.product, "skuId": next.sku, "availabilityId": next.availability,
			"billingCycle": next.billing, "termDuration": next.term},
		"quantity": json.Number(seats.String()),
	})
}

// nextProductKey is what is scheduled for the renewal, as the price sheet names it.
func nextProductKey(o object) model.Value {
	text := func(name string) string { return o.text(nextTerm + ".product." + name) }
	if text("productId") == "" {
		return model.Text("")
	}
	return model.Text(model.ProductKey(text("productId")+":"+text("skuId"), text("termDuration"), strings.ToLower(text("billingCycle"))))
}
