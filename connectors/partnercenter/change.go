package partnercenter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// The service may take this long until a change it accepted shows.
const settleTime = 15 * time.Minute

const maxLook = 30 * time.Second // between two looks

// keySpace makes MS-RequestId GUIDs out of our keys: the same key always gives the same GUID.
var keySpace = uuid.MustParse("5b0f9a56-6f38-4d0c-9a0e-7d1f0c6b2e11")

func requestID(key string) string { return uuid.NewSHA1(keySpace, []byte(key)).String() }

// change is one call of Change.
type change struct {
	*Connector
	ref   connectors.Ref
	edits map[string]connectors.Edit
	key   string
	op    string // change, schedule
	// today finds the id under which something is sold to the customer today; for schedule.
	today func(ctx context.Context, s sold) (string, error)
}

// Change sets the quantity, the nickname or auto-renewal of a subscription and returns it once the change shows. All edits
// travel in one request.
func (c *Connector) Change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	ch := change{Connector: c, ref: req.Ref, edits: req.Edits, key: req.Key, op: "change"}
	if req.Ref.Kind == kindCustomer {
		return ch.customer(ctx)
	}
	if req.Ref.Kind != kindSubscription {
		return connectors.Record{}, unknownKind("change", req.Ref.Kind)
	}
	if err := ch.validate(); err != nil {
		return connectors.Record{}, err
	}
	raw, before, wanted, err := ch.look(ctx)
	if err != nil || len(wanted) == 0 {
		return c.whole(ctx, before), err // at the target already: an earlier try of the same intent, or somebody else's
	}
	if err := ch.allowed(before, wanted); err != nil {
		return connectors.Record{}, err
	}
	if err := ch.send(ctx, edited(raw, wanted), ch.key); err != nil {
		return connectors.Record{}, err
	}
	now, after, err := ch.settle(ctx, "the change", func(rec connectors.Record) bool { return holds(rec, wanted) })
	if err != nil {
		return connectors.Record{}, err
	}
	if after, err = ch.restore(ctx, raw, before, now, after); err != nil {
		return connectors.Record{}, err
	}
	return c.whole(ctx, after), nil
}

func (ch change) fail(class connectors.Class, field, message, hint string) *connectors.Error {
	name := subscriptionName(ch.ref)
	if ch.ref.Kind == kindCustomer {
		name = "customer " + ch.ref.ID
	}
	return &connectors.Error{Class: class, Op: ch.op, Record: name + " in " + ch.account.Name, Field: field, Message: message, Hint: hint}
}

// validate refuses what could never be sent.
func (ch change) validate() error {
	kind, _ := descriptor.Kind(ch.ref.Kind)
	if ch.key == "" {
		return ch.fail(connectors.ClassInvalid, "", "it has no key to be recognised by when it is repeated", "this is a fault of trueup; please report it")
	}
	for _, name := range slices.Sorted(maps.Keys(ch.edits)) {
		field, ok := kind.Field(name)
		to := ch.edits[name].To
		switch {
		case !ok || !field.Writable:
			return ch.fail(connectors.ClassInvalid, name, "Partner Center does not let this be changed", "own the field on the vendor's side")
		case to.Type() != field.Type || to.Blank() && field.Type != model.TypeText:
			return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%q is not a value of type %s", to, field.Type), "")
		case name == "quantity":
			if q, _ := to.Quantity(); !q.Whole() || q.Sign() <= 0 || len(to.String()) > 9 {
				return ch.fail(connectors.ClassInvalid, name, fmt.Sprintf("%s is not a whole number of seats above zero", to), "seats are bought whole; to have none, let the subscription end")
			}
		}
	}
	return nil
}

// look reads the subscription, and says which values it does not hold yet.
func (ch change) look(ctx context.Context) (raw resource, before connectors.Record, wanted map[string]model.Value, err error) {
	if raw, before, err = ch.subscription(ctx, ch.ref); err != nil {
		return nil, connectors.Record{}, nil, err
	}
	wanted, err = ch.wanted(before)
	return raw, before, wanted, err
}

// wanted are the values not held yet. A field that holds neither the old nor the new value was changed by somebody else.
func (ch change) wanted(before connectors.Record) (map[string]model.Value, error) {
	wanted := map[string]model.Value{}
	for _, name := range slices.Sorted(maps.Keys(ch.edits)) {
		edit, now := ch.edits[name], before.Fields[name]
		switch {
		case now == edit.To, now.Blank() && edit.To.Known() && edit.To.Blank():
		case edit.From.Known() && now != edit.From:
			return nil, ch.fail(connectors.ClassStale, name, fmt.Sprintf("it holds %q and not %q any more", now, edit.From), hintReadAgain)
		default:
			wanted[name] = edit.To
		}
	}
	return wanted, nil
}

// allowed refuses a change of quantity that the service is known to refuse, with more to say about it.
func (ch change) allowed(before connectors.Record, wanted map[string]model.Value) error {
	to, ok := wanted["quantity"].Quantity()
	if !ok {
		return nil
	}
	refuse := func(message, hint string) error { return ch.fail(connectors.ClassInvalid, "quantity", message, hint) }
	status := before.Fields["status"].String()
	switch {
	case before.Fields["isTrial"].True():
		return refuse("it is a trial: the number of seats is locked", "convert the trial or wait for its end")
	case strings.EqualFold(status, "suspended"):
		return refuse("it is suspended: the number of seats is locked", "reactivate it first")
	case !strings.EqualFold(status, "active"):
		return refuse(fmt.Sprintf("its status is %q: only active subscriptions change their seats", status), "look at it in Partner Center")
	}
	now, ok := before.Fields["quantity"].Quantity()
	reducible, told := before.Fields["refundableQuantity.totalQuantity"].Quantity()
	if !ok || !told || to.Cmp(now) >= 0 || now.Sub(to).Cmp(reducible) <= 0 {
		return nil
	}
	floor := now.Sub(reducible)
	windows := "no window for removing seats is open"
	if open := before.Fields["refundable"].Items(); len(open) > 0 {
		windows = "open now: " + strings.Join(open, ", ")
	}
	hint := hintSchedule
	if end, ok := before.Fields["commitmentEndDate"].Day(); ok {
		hint += fmt.Sprintf("; the term ends after %s", end)
	}
	return refuse(fmt.Sprintf("%s seats cannot go down to %s now: the lowest possible is %s (%s)", now, to, floor, windows), hint)
}

// edited is the whole resource with new values in it.
func edited(raw resource, wanted map[string]model.Value) resource {
	body := raw.clone()
	for name, value := range wanted {
		text := []byte(value.String()) // numbers and booleans are their own JSON
		if value.Type() == model.TypeText {
			text, _ = json.Marshal(value.String()) // a text always marshals
		}
		body.set(name, text)
	}
	return body
}

func holds(rec connectors.Record, wanted map[string]model.Value) bool {
	for name, value := range wanted {
		if rec.Fields[name] != value {
			return false
		}
	}
	return true
}

// send is one write. It may be repeated, because the service knows it by its GUID.
func (ch change) send(ctx context.Context, body resource, key string) error {
	h := headers()
	h.Set("MS-RequestId", requestID(key))
	// New Commerce subscriptions carry no etag; legacy ones do, and answer 400 with code 2055 when it is old.
	var attributes struct {
		Etag string `json:"etag"`
	}
	if raw := body.get("attributes"); raw != nil && json.Unmarshal(raw, &attributes) == nil && attributes.Etag != "" {
		h.Set("If-Match", `"`+strings.Trim(attributes.Etag, `"`)+`"`)
	}
	_, err := ch.api.Do(ctx, rest.Request{
		Method: http.MethodPatch, Path: subscriptionPath(ch.ref), Header: h, Body: map[string]json.RawMessage(body), Repeat: true,
		Op: ch.op, Record: subscriptionName(ch.ref),
	})
	return err
}

// settle looks until the change shows. Whatever goes wrong here, the write was accepted: its outcome is unknown.
func (ch change) settle(ctx context.Context, what string, shows func(connectors.Record) bool) (resource, connectors.Record, error) {
	unknown := func(message string, err error) error {
		e := ch.fail(connectors.ClassUnknown, "", message, "read it again before deciding anything")
		e.Err = err
		return e
	}
	for waited, pause := time.Duration(0), time.Second; ; waited, pause = waited+pause, min(2*pause, maxLook) {
		raw, rec, err := ch.subscription(ctx, ch.ref)
		switch {
		case err == nil && shows(rec):
			return raw, rec, nil
		case err != nil && connectors.ClassOf(err) != connectors.ClassTransient:
			return nil, rec, unknown(what+" was accepted, but the subscription could not be read afterwards: "+err.Error(), err)
		case waited >= settleTime:
			return nil, rec, unknown(fmt.Sprintf("%s was accepted, but does not show after %s", what, settleTime), err)
		}
		if err := ch.wait(ctx, pause); err != nil {
			return nil, rec, unknown(what+" was accepted, but waiting for it to show was stopped", err)
		}
	}
}

// restore puts back what a change took along: a change of quantity deletes what was scheduled for the end of the term, and fields
// that nobody asked to change must keep their values. Nothing is put back when auto-renewal was meant to go on or off.
func (ch change) restore(ctx context.Context, raw resource, before connectors.Record, now resource, after connectors.Record) (connectors.Record, error) {
	if _, asked := ch.edits["autoRenewEnabled"]; asked {
		return after, nil
	}
	renews := before.Fields["autoRenewEnabled"].True()
	body, lost := now.clone(), []string{}
	for _, member := range []string{nextTerm, nextActions} {
		if raw.get(member) == nil || now.get(member) != nil || member == nextTerm && !renews {
			continue // without auto-renewal instructions for a next term mean nothing
		}
		body.set(member, raw.get(member))
		if len(lost) == 0 {
			lost = append(lost, "what was scheduled for the renewal")
		}
	}
	if renews && !after.Fields["autoRenewEnabled"].True() {
		lost = append(lost, "auto-renewal")
		body.set("autoRenewEnabled", json.RawMessage("true"))
	}
	if len(lost) == 0 {
		return after, nil
	}
	what := strings.Join(lost, " and ")
	err := ch.send(ctx, body, ch.key+" restore")
	if err == nil {
		_, after, err = ch.settle(ctx, "putting back "+what, func(rec connectors.Record) bool {
			for name, value := range before.Fields {
				if (name == "autoRenewEnabled" || name == termEnd || strings.HasPrefix(name, nextTerm) && renews) && rec.Fields[name] != value {
					return false
				}
			}
			return true
		})
	}
	if err != nil {
		// The change itself is done, but somebody has to know: it would be missed only at the renewal.
		e := ch.fail(connectors.ClassUnknown, "", "the change was made, but the service deleted "+what+" and it could not be put back: "+err.Error(),
			"set it again in Partner Center: "+scheduled(before))
		e.Err = err
		return connectors.Record{}, e
	}
	ch.account.Log.Info("put back what the service deleted with a change", zap.String("account", ch.account.Name),
		zap.String("subscription", ch.ref.ID), zap.String("customer", ch.ref.Parent), zap.String("what", what))
	return after, nil
}

// scheduled describes for a person what was to happen at the renewal.
func scheduled(rec connectors.Record) string {
	switch {
	case rec.Fields[termEnd].String() == actionCancel:
		return "cancel at the end of the term"
	case rec.Fields[nextQuantity].Blank():
		return "auto-renewal on"
	}
	parts := []string{rec.Fields[nextQuantity].String() + " seats"}
	for _, name := range []string{"productId", "skuId", "termDuration", "billingCycle"} {
		if v := rec.Fields[nextTerm+".product."+name]; !v.Blank() {
			parts = append(parts, v.String())
		}
	}
	return strings.Join(parts, ", ")
}
