package connectwise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// operation is one step of a PATCH: the PSA wants bare paths and whole references.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// fits refuses a value before anything is sent.
func (c *Connector) fits(op, record string, r resource, name string, v model.Value, creating bool) error {
	k, _ := descriptor.Kind(r.kind)
	f, known := k.Field(name)
	switch {
	case !known:
		return c.fail(connectors.ClassInvalid, op, record, name, "there is no such field", "correct the mapping")
	case !f.Writable && !(creating && f.Create):
		return c.fail(connectors.ClassInvalid, op, record, name, "the PSA sets it itself, or it is fixed once the record is made", "take it out of the mapping")
	}
	if creating && v.Known() && v.Blank() {
		return nil
	}
	if m, ok := r.member(name); ok && m.ref {
		if _, err := strconv.ParseUint(v.String(), 10, 31); err != nil {
			return c.fail(connectors.ClassInvalid, op, record, name, fmt.Sprintf("%q is not a record id", v), "ids are whole numbers")
		}
	}
	if name == c.idField && r.kind == kindAddition {
		f.MaxLen = 50 // of the serial number, which stands in where the custom field is missing
	}
	if why, next := c.unfit(f, v); why != "" {
		return c.fail(connectors.ClassInvalid, op, record, name, why, next)
	}
	return nil
}

// Change implements connectors.Changer.
func (c *Connector) Change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	op, record := "change "+req.Ref.Kind, describe(req.Ref)
	r, err := c.resource(op, req.Ref.Kind, connectors.AbilityChange)
	if err != nil {
		return connectors.Record{}, err
	}
	names := slices.Sorted(maps.Keys(req.Edits))
	for _, name := range names {
		if err := c.fits(op, record, r, name, req.Edits[name].To, false); err != nil {
			return connectors.Record{}, err
		}
	}
	o, now, err := c.read(ctx, op, req.Ref, connectors.AbilityChange)
	if err != nil {
		return connectors.Record{}, err
	}
	var ops []operation
	custom, people := map[string]string{}, map[string]string{}
	wanted := model.Fields{}
	for _, name := range names {
		edit, have := req.Edits[name], c.Canonical(r.kind, name, now.Fields[name])
		from, to := c.Canonical(r.kind, name, edit.From), c.Canonical(r.kind, name, edit.To)
		if have == to {
			continue
		}
		if from.Known() && have != from && !(have.Blank() && from.Blank()) {
			return connectors.Record{}, c.fail(connectors.ClassStale, op, record, name,
				fmt.Sprintf("it was %q when it was read and is %q now", from, have), "read it and decide again")
		}
		wanted[name] = to
		switch m, declared := r.member(name); {
		case r.kind == kindContact && communicationOf[name] != "":
			people[name] = to.String()
		case declared && m.label != "":
			found, err := c.labelled(ctx, op, m, textOf(walk(o, "board/id")), to.String())
			if err != nil {
				return connectors.Record{}, err
			}
			wanted[name] = model.Text(found.name)
			ops = append(ops, operation{"replace", name, map[string]any{"id": found.id}})
		case declared && m.lookup != "":
			id, err := c.idNamed(ctx, op, m, to.String())
			if err != nil {
				return connectors.Record{}, err
			}
			ops = append(ops, operation{"replace", m.head(), map[string]any{"id": id}})
		case declared:
			ops = append(ops, operation{"replace", name, m.send(to)})
		default:
			custom[strings.TrimPrefix(name, customPrefix)] = to.String()
		}
	}
	if len(people) > 0 {
		list, _ := o["communicationItems"].([]any)
		items, err := c.communicationItems(ctx, op, list, people)
		if err != nil {
			return connectors.Record{}, err
		}
		ops = append(ops, operation{"replace", "communicationItems", items})
	}
	more, err := c.customOps(op, record, r.kind, o, custom)
	if err != nil {
		return connectors.Record{}, err
	}
	if ops = append(ops, more...); len(ops) == 0 {
		return now, nil
	}
	return c.patch(ctx, op, r, req.Ref, ops, wanted)
}

// customOps write custom fields: the whole array goes back, because what is left out of it is emptied.
func (c *Connector) customOps(op, record, kind string, o object, texts map[string]string) ([]operation, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	list, _ := o["customFields"].([]any)
	back, written := make([]any, 0, len(list)), map[string]bool{}
	for _, item := range list {
		value, caption := walk(item, "value"), textOf(walk(item, "caption"))
		if text, ok := texts[caption]; ok && !written[caption] {
			var err error
			if value, err = sendCustom(customField{kind: textOf(walk(item, "type"))}, text); err != nil {
				return nil, c.fail(connectors.ClassInvalid, op, record, customPrefix+caption, err.Error(), "map a fitting value")
			}
			written[caption] = true
		}
		back = append(back, map[string]any{"id": walk(item, "id"), "value": value})
	}
	var ops []operation
	if len(written) > 0 {
		ops = append(ops, operation{"replace", "customFields", back})
	}
	for _, caption := range slices.Sorted(maps.Keys(texts)) {
		switch {
		case written[caption]:
		case kind == kindAddition && customPrefix+caption == c.idField:
			ops = append(ops, operation{"replace", "serialNumber", texts[caption]})
		default:
			return nil, c.noCustomField(op, record, kind, caption)
		}
	}
	return ops, nil
}

func (c *Connector) noCustomField(op, record, kind, caption string) error {
	return c.fail(connectors.ClassInvalid, op, record, customPrefix+caption, fmt.Sprintf("the PSA has no custom field %q for this kind of record", caption),
		fmt.Sprintf("have an administrator add it to the %s screen, or name another", kind))
}

// patch sends operations and looks whether they took. The record that comes back is the truth; when it does not show what
// was sent it is read once more, because a PSA was seen to answer 200 and change nothing.
func (c *Connector) patch(ctx context.Context, op string, r resource, ref connectors.Ref, ops []operation, wanted model.Fields) (connectors.Record, error) {
	resp, err := c.do(ctx, rest.Request{Method: http.MethodPatch, Path: r.collection(ref.Parent) + "/" + ref.ID, Body: ops, Op: op, Record: describe(ref)})
	if err != nil {
		return connectors.Record{}, err
	}
	o, err := c.oneObject(resp, op, describe(ref))
	if err != nil {
		return connectors.Record{}, unknown(err)
	}
	c.signed(o)
	rec, err := c.record(r, ref.Parent, o)
	if err != nil {
		return connectors.Record{}, unknown(err)
	}
	if c.differs(r.kind, rec, wanted) == "" {
		return rec, nil
	}
	if _, rec, err = c.read(ctx, op, ref, connectors.AbilityRead); err != nil {
		return connectors.Record{}, unknown(err)
	}
	if name := c.differs(r.kind, rec, wanted); name != "" {
		return connectors.Record{}, c.fail(connectors.ClassInvalid, op, describe(ref), name,
			fmt.Sprintf("the PSA accepted the change but still holds %q, not %q", rec.Fields[name], wanted[name]),
			"a rule or workflow of the PSA may put it back; look at the record's audit trail")
	}
	return rec, nil
}

// differs names the first field that does not hold what was sent. A price may come back with fewer decimals.
func (c *Connector) differs(kind string, rec connectors.Record, wanted model.Fields) string {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		want, have := wanted[name], c.Canonical(kind, name, rec.Fields[name])
		if want == have || want.Blank() && have.Blank() {
			continue
		}
		if sent, ok := want.Money(); ok {
			kept, _ := have.Money()
			rounded := func(digits int32) bool {
				return kept.Amount().Equal(sent.Amount().RoundBank(digits)) || kept.Amount().Equal(sent.Amount().Round(digits))
			}
			if have.Known() && kept.Currency() == sent.Currency() && (rounded(2) || rounded(3)) {
				continue
			}
		}
		return name
	}
	return ""
}

// signed remembers the name of our API member: what it wrote bears its name.
func (c *Connector) signed(o object) {
	if name := textOf(walk(o, "_info/updatedBy")); name != "" {
		c.mu.Lock()
		c.member = name
		c.mu.Unlock()
	}
}

// unknown is for a failure after a write was accepted.
func unknown(err error) error {
	var e *connectors.Error
	if !errors.As(err, &e) {
		return err
	}
	after := *e
	after.Class, after.Hint = connectors.ClassUnknown, "the write was accepted; read the record to see what became of it"
	return &after
}

// Create implements connectors.Creator.
func (c *Connector) Create(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	op := "create " + req.Kind
	r, err := c.resource(op, req.Kind, connectors.AbilityCreate)
	if err != nil {
		return connectors.Record{}, err
	}
	parent := ""
	if home := above[req.Kind]; home != "" {
		parent = req.Parent
		if err := c.number(op, "a parent "+home, parent); err != nil {
			return connectors.Record{}, err
		}
	}
	for _, m := range r.members {
		if m.Required && req.Fields[m.Name].Blank() {
			return connectors.Record{}, c.fail(connectors.ClassInvalid, op, "", m.Name, "it must be given", "map a value to it")
		}
	}
	body, custom, filled := map[string]any{}, map[string]string{}, model.Fields{}
	for _, name := range slices.Sorted(maps.Keys(req.Fields)) {
		v := c.Canonical(r.kind, name, req.Fields[name])
		if err := c.fits(op, "", r, name, v, true); err != nil {
			return connectors.Record{}, err
		}
		if v.Blank() {
			continue // what is empty is left to the PSA's defaults
		}
		filled[name] = v
		switch m, declared := r.member(name); {
		case !declared:
			custom[strings.TrimPrefix(name, customPrefix)] = v.String()
		case m.lookup == "" && m.label == "" && !(r.kind == kindContact && communicationOf[name] != ""):
			body[name] = m.send(v)
		}
	}
	if rec, done, err := c.prepare(ctx, op, r, parent, filled, body); err != nil || done {
		return rec, err
	}
	if err := c.addCustom(ctx, op, r, custom, body); err != nil {
		return connectors.Record{}, err
	}
	resp, err := c.do(ctx, rest.Request{Method: http.MethodPost, Path: r.collection(parent), Body: body, Op: op, Record: under(r.kind, parent)})
	if err != nil {
		return c.raced(ctx, op, r, filled, err)
	}
	o, err := c.oneObject(resp, op, under(r.kind, parent))
	if err != nil {
		return connectors.Record{}, unknown(err)
	}
	c.signed(o)
	rec, err := c.record(r, parent, o)
	if err != nil {
		return connectors.Record{}, unknown(err)
	}
	if rec, err = c.completeCustom(ctx, op, r, rec, o, custom); err != nil {
		return rec, err
	}
	return c.older(ctx, op, r, body, filled, rec)
}

// under names the place of a record in errors; "" when it lives alone.
func under(kind, parent string) string {
	if parent == "" {
		return ""
	}
	return "of " + above[kind] + " " + parent
}

// addCustom puts custom fields into the body of a create, as far as their ids are known. The id of a kind's custom field is
// known once any record of the kind was seen.
func (c *Connector) addCustom(ctx context.Context, op string, r resource, texts map[string]string, body map[string]any) error {
	if len(texts) == 0 {
		return nil
	}
	known, err := c.customFields(ctx, op, r)
	if err != nil {
		return err
	}
	list := []any{}
	for _, caption := range slices.Sorted(maps.Keys(texts)) {
		f, ok := known[caption]
		switch {
		case ok:
			value, err := sendCustom(f, texts[caption])
			if err != nil {
				return c.fail(connectors.ClassInvalid, op, "", customPrefix+caption, err.Error(), "map a fitting value")
			}
			list = append(list, map[string]any{"id": f.id, "value": value})
		case r.kind == kindAddition && customPrefix+caption == c.idField:
			body["serialNumber"] = texts[caption]
		case known != nil:
			return c.noCustomField(op, "", r.kind, caption)
		}
	}
	if len(list) > 0 {
		body["customFields"] = list
	}
	return nil
}

// customFields are a kind's custom fields by caption; nil when no record of the kind was ever seen.
func (c *Connector) customFields(ctx context.Context, op string, r resource) (map[string]customField, error) {
	c.mu.Lock()
	known := c.captions[r.kind]
	c.mu.Unlock()
	if known != nil || r.kind == kindAddition {
		return known, nil
	}
	if _, err := c.first(ctx, op, r, "", ""); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.captions[r.kind], nil
}

// completeCustom writes the custom fields whose ids were not known before the record was made.
func (c *Connector) completeCustom(ctx context.Context, op string, r resource, rec connectors.Record, o object, texts map[string]string) (connectors.Record, error) {
	missing, wanted := map[string]string{}, model.Fields{}
	for caption, text := range texts {
		if rec.Fields[customPrefix+caption].String() != clean(text) {
			missing[caption], wanted[customPrefix+caption] = text, model.Text(text)
		}
	}
	if len(missing) == 0 {
		return rec, nil
	}
	ref := connectors.Ref{Kind: rec.Kind, ID: rec.ID, Parent: rec.Parent}
	ops, err := c.customOps(op, describe(ref), r.kind, o, missing)
	if err == nil {
		if _, stands := missing[strings.TrimPrefix(c.idField, customPrefix)]; stands && r.kind == kindAddition && !rec.Fields["serialNumber"].Blank() {
			ops = append(ops, operation{"replace", "serialNumber", ""}) // it stood in; now the custom field holds the id
		}
		var done connectors.Record
		if done, err = c.patch(ctx, op, r, ref, ops, wanted); err == nil {
			return done, nil
		}
	}
	return rec, unknown(c.fail(connectors.ClassUnknown, op, describe(ref), "", "it was made, but its custom fields were not set: "+err.Error(), ""))
}

// first is the first record of a search, nil when there is none.
func (c *Connector) first(ctx context.Context, op string, r resource, parent, conditions string) (object, error) {
	query := map[string][]string{"pageSize": {"1"}, "orderBy": {"id asc"}}
	if conditions != "" {
		query["conditions"] = []string{conditions}
	}
	s := search{path: r.collection(parent), op: op, record: under(r.kind, parent)}
	resp, err := c.do(ctx, rest.Request{Path: s.path, Query: query, Op: op, Record: s.record})
	if err != nil {
		return nil, err
	}
	rows, err := c.rows(resp, s)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var o object
	if err := (rest.Response{Status: resp.Status, Body: rows[0]}).Decode(op, &o); err != nil {
		return nil, err
	}
	_, err = c.record(r, parent, o)
	return o, err
}

// defaultOf is the setting that names a row of a setup table when the record does not.
var defaultOf = map[string]string{"/procurement/subcategories/": "default_subcategory", "/procurement/types": "default_product_type"}

// prepare fills in what the PSA needs beyond what was given, and finds a record that is already what was asked for.
func (c *Connector) prepare(ctx context.Context, op string, r resource, parent string, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	for _, m := range r.members {
		if m.lookup == "" {
			continue
		}
		name, setting := given[m.Name].String(), defaultOf[m.lookup]
		if name == "" {
			name = strings.TrimSpace(c.account.Settings[setting])
		}
		if name == "" && m.spare {
			continue
		}
		if name == "" {
			return connectors.Record{}, false, c.fail(connectors.ClassInvalid, op, "", m.Name, "ConnectWise needs it", "map a value to it or set "+setting)
		}
		id, err := c.idNamed(ctx, op, m, name)
		if err != nil {
			return connectors.Record{}, false, err
		}
		body[m.head()] = map[string]any{"id": id}
	}
	switch r.kind {
	case kindCompany:
		return c.prepareCompany(ctx, op, r, given, body)
	case kindContact:
		return c.prepareContact(ctx, op, r, given, body)
	case kindProduct:
		if given["productClass"].String() == "Bundle" {
			return connectors.Record{}, false, c.fail(connectors.ClassInvalid, op, "", "productClass", "a Bundle cannot be an addition, so it is not made here", "choose Agreement")
		}
		if given["customerDescription"].Blank() {
			body["customerDescription"] = given["description"].String()
		}
		if given["productClass"].Blank() {
			body["productClass"] = "Agreement"
		}
		return c.sameProduct(ctx, op, r, given)
	case kindAgreement:
		return c.prepareAgreement(ctx, op, r, given, body)
	case kindAddition:
		if given["billCustomer"].Blank() {
			body["billCustomer"] = "Billable"
		}
		return c.sameAddition(ctx, r, parent, given)
	case kindTicket:
		return c.prepareTicket(ctx, op, r, given, body)
	case kindNote:
		return c.prepareNote(ctx, r, parent, given, body)
	}
	return connectors.Record{}, false, nil
}

// idNamed finds a row of a setup table by its name, whatever its case.
func (c *Connector) idNamed(ctx context.Context, op string, m member, name string) (json.Number, error) {
	var found json.Number
	var known []string
	_, err := c.all(ctx, search{path: m.lookup, op: op, record: "(look up " + m.Name + ")"}, func(o object, _ []byte) error {
		if o["inactiveFlag"] == true {
			return nil
		}
		have := clean(textOf(o["name"]))
		known = append(known, have)
		if strings.EqualFold(have, name) || strings.EqualFold(textOf(o["countryCode"]), name) {
			found, _ = o["id"].(json.Number)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if found == "" {
		slices.Sort(known)
		return "", c.fail(connectors.ClassInvalid, op, "", m.Name, fmt.Sprintf("the PSA has no %s named %q", m.Name, name),
			"it knows "+strings.Join(known, ", ")+"; name one of them or add it in the PSA")
	}
	return found, nil
}

// prepareAgreement looks for the agreement it would make and finds the contact it needs.
func (c *Connector) prepareAgreement(ctx context.Context, op string, r resource, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	company := given["company"].String()
	same, err := c.sameAgreement(ctx, op, r, given, body)
	if err != nil {
		return connectors.Record{}, false, err
	}
	if same != nil {
		return *same, true, nil
	}
	if given["endDate"].Blank() {
		body["noEndingDateFlag"] = true
	}
	if !given["contact"].Blank() {
		return connectors.Record{}, false, nil
	}
	o, _, err := c.getObject(ctx, "/company/companies/"+company, op, "for company "+company)
	if err != nil {
		return connectors.Record{}, false, err
	}
	contact := textOf(walk(o, "defaultContact/id"))
	if contact == "" {
		person, err := c.first(ctx, op, resourceOf(kindContact), "", "company/id="+company+" and inactiveFlag=false")
		if err != nil {
			return connectors.Record{}, false, err
		}
		if person == nil {
			return connectors.Record{}, false, c.fail(connectors.ClassInvalid, op, "for company "+company, "contact",
				"ConnectWise wants a contact on every agreement and the company has none", "add a contact to the company in the PSA")
		}
		contact = textOf(person["id"])
	}
	body["contact"] = map[string]any{"id": json.Number(contact)}
	return connectors.Record{}, false, nil
}

// sameAddition looks for a line that bills this product for this subscription and has no end: a create whose reply was lost
// made it.
func (c *Connector) sameAddition(ctx context.Context, r resource, parent string, given model.Fields) (connectors.Record, bool, error) {
	subscription := given[c.idField].String()
	if subscription == "" {
		return connectors.Record{}, false, nil
	}
	b := c.under(ctx, r, parent)
	if b.err != nil {
		return connectors.Record{}, false, b.err
	}
	if len(b.gaps) > 0 {
		return connectors.Record{}, false, c.fail(b.gaps[0].Class, "create addition", under(r.kind, parent), "",
			"cannot tell whether it exists already: "+b.gaps[0].Reason, "try again")
	}
	for _, rec := range b.records {
		if strings.EqualFold(rec.Fields[c.idField].String(), subscription) && rec.Fields["product"] == given["product"] && rec.Fields["cancelledDate"].Blank() {
			return rec, true, nil
		}
	}
	return connectors.Record{}, false, nil
}

// End implements connectors.Ender: the last billed day is the addition's cancelled date.
func (c *Connector) End(ctx context.Context, req connectors.EndRequest) (connectors.Record, error) {
	const op = "end addition"
	r, err := c.resource(op, req.Ref.Kind, connectors.AbilityEnd)
	if err != nil {
		return connectors.Record{}, err
	}
	refuse := func(class connectors.Class, message, hint string) (connectors.Record, error) {
		return connectors.Record{}, c.fail(class, op, describe(req.Ref), "cancelledDate", message, hint)
	}
	if req.Last.IsZero() {
		return refuse(connectors.ClassInvalid, "the last billed day is missing", "name the day")
	}
	_, now, err := c.read(ctx, op, req.Ref, connectors.AbilityEnd)
	if err != nil {
		return connectors.Record{}, err
	}
	last := model.DayValue(req.Last)
	if start, ok := now.Fields["effectiveDate"].Day(); ok && req.Last.Cmp(start) < 0 {
		return refuse(connectors.ClassInvalid, fmt.Sprintf("it cannot end on %s, before its first day %s", req.Last, start), "choose a later day")
	}
	if have, ok := now.Fields["cancelledDate"].Day(); ok {
		switch have.Cmp(req.Last) {
		case 0:
			return now, nil
		case -1:
			return refuse(connectors.ClassStale, fmt.Sprintf("it already ends on %s; a later day would bill again", have), "read it and decide again")
		}
	}
	m, _ := r.member("cancelledDate")
	return c.patch(ctx, op, r, req.Ref, []operation{{"replace", "cancelledDate", m.send(last)}}, model.Fields{"cancelledDate": last})
}
