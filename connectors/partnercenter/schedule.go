package partnercenter

import (
	"context"
	"encoding/json"
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
	DecreaseHours: 168, CancelHours: 168, ExtendedPercent: 23,
	Increase: "At any time while the subscription is active and paid for; prorated to the end of the charge cycle, the end of the term stays.",
	Limits:   "Each product has a smallest and a largest number of seats, such as 300; they are found out by a refusal (2002, 900275, 800067, 800088).",
	AddOns:   "New Commerce add-ons are subscriptions of their own; the service refuses what their base does not carry.",
	Suspended: "A suspended subscription is still charged and takes no change of seats; suspending switches auto-renewal off and deletes what was " +
		"scheduled for the end of the term.",
	Trials:     "A trial has a fixed number of seats; what follows it is always scheduled.",
	Promotions: "A promotion is not carried into what trueup schedules; the service applies what is valid at the renewal.",
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
	ch := change{c, req.Ref, req.Edits, req.Key, "schedule"}
	if req.Ref.Kind != kindSubscription {
		return connectors.Record{}, unknownKind("schedule", req.Ref.Kind)
	}
	if err := ch.schedulable(); err != nil {
		return connectors.Record{}, err
	}
	raw, before, wanted, err := ch.look(ctx)
	if err != nil || len(wanted) == 0 {
		return c.withSeats(ctx, before), err
	}
	body, err := ch.instructed(raw, before, wanted)
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
	return c.withSeats(ctx, after), nil
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
			return ch.fail(connectors.ClassInvalid, name, "Partner Center does not let this be scheduled for the end of the term", "schedule "+nextQuantity+" or "+termEnd)
		case to.Type() != field.Type:
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q is not a value of type %s", to, field.Type), "")
		case name == nextQuantity && !to.Blank() && (!q.Whole() || q.Sign() <= 0 || len(to.String()) > 9):
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%s is not a whole number of seats above zero", to), "to have none, cancel at the end of the term")
		case name == termEnd && !slices.Contains([]string{"", actionRenew, actionCancel}, to.String()):
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q cannot be scheduled by trueup", to), "write renew or cancel, or do it in Partner Center")
		}
	}
	return nil
}

// instructed is the whole resource with other instructions for the end of its term.
func (ch change) instructed(raw resource, before connectors.Record, wanted map[string]model.Value) (resource, error) {
	status := before.Fields["status"].String()
	switch {
	case before.Fields["isTrial"].True():
		return nil, ch.fail(connectors.ClassInvalid, "", "it is a trial", "convert the trial or wait for its end")
	case !strings.EqualFold(status, "active"):
		return nil, ch.fail(connectors.ClassInvalid, "", fmt.Sprintf("its status is %q: only an active subscription takes instructions for the end of its term", status), "look at it in Partner Center")
	}
	seats, asked := wanted[nextQuantity]
	action, told := wanted[termEnd]
	if told && action.String() == actionRenew && !asked {
		seats = before.Fields["quantity"]
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
	case !seats.Blank():
		next, err := instructions(raw, before, seats)
		if err != nil {
			return nil, ch.fail(connectors.ClassInvalid, nextQuantity, err.Error(), "schedule it in Partner Center")
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

// instructions are those that stand, with other seats, or else the product of today for another term.
func instructions(raw resource, before connectors.Record, seats model.Value) (json.RawMessage, error) {
	if standing := raw.get(nextTerm); standing != nil {
		var next resource
		if err := json.Unmarshal(standing, &next); err != nil {
			return nil, fmt.Errorf("what is scheduled cannot be understood: %w", err)
		}
		next.set("quantity", json.RawMessage(seats.String()))
		return json.Marshal(next)
	}
	parts := strings.Split(before.Fields["offerId"].String(), ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("its offer %q names no product, SKU and availability", before.Fields["offerId"])
	}
	return json.Marshal(map[string]any{
		"product": map[string]string{"productId": parts[0], "skuId": parts[1], "availabilityId": parts[2],
			"billingCycle": before.Fields["billingCycle"].String(), "termDuration": before.Fields["termDuration"].String()},
		"quantity": json.Number(seats.String()),
	})
}
