package connectwise

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// firstSite is the name of the site that a new company's address is kept at.
const firstSite = "Main"

// communicationOf are the fields of a contact that travel as communication items, and the kind of item.
var communicationOf = map[string]string{"email": "Email", "phone": "Phone"}

// head is the member of the JSON that a looked-up field is part of.
func (m member) head() string {
	if m.at == "" {
		return m.Name
	}
	head, _, _ := strings.Cut(m.at, "/")
	return head
}

// prepareCompany finds a company that is already what was asked for, and otherwise gives the new one a short name, a site and a type.
func (c *Connector) prepareCompany(ctx context.Context, op string, r resource, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	name := given["name"].String()
	var same, other *connectors.Record
	s := search{path: r.path, conditions: "deletedFlag=false and name=" + quote(name), op: op}
	_, err := c.all(ctx, s, func(o object, _ []byte) error {
		rec, err := c.record(r, "", o)
		switch {
		case err != nil:
			return err
		case same == nil && keepsAll(rec.Fields[c.tenantField].String(), given[c.tenantField].String()):
			same = &rec
		case other == nil:
			other = &rec
		}
		return nil
	})
	switch {
	case err != nil:
		return connectors.Record{}, false, err
	case same != nil:
		return *same, true, nil
	case other != nil:
		return connectors.Record{}, false, c.fail(connectors.ClassInvalid, op, "", "name", fmt.Sprintf("company %s is called %q already, and keeps other tenant ids", other.ID, name),
			"link it if it is the same (trueup links add), or give one of them another name")
	}
	if given["identifier"].Blank() {
		body["identifier"] = identifierOf(name) // one that is taken is refused by the PSA: two names that look alike are a matter for a person
	}
	body["site"] = map[string]any{"name": firstSite}
	if typ := strings.TrimSpace(c.account.Settings["default_company_type"]); typ != "" {
		id, err := c.idNamed(ctx, op, text("types", "").named("/company/companies/types"), typ)
		if err != nil {
			return connectors.Record{}, false, err
		}
		body["types"] = []any{map[string]any{"id": id}}
	}
	return connectors.Record{}, false, nil
}

// keepsAll reports that a kept list of ids holds every id that was asked for, and that any was.
func keepsAll(kept, asked string) bool {
	split := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
	}
	have, want := split(kept), split(asked)
	return len(want) > 0 && !slices.ContainsFunc(want, func(id string) bool { return !slices.Contains(have, id) })
}

// identifierOf makes a company's short name: letters and digits of its name, as ConnectWise proposes it.
func identifierOf(name string) string {
	kept := make([]rune, 0, 25)
	for _, r := range name {
		if (unicode.IsLetter(r) || unicode.IsDigit(r)) && len(kept) < 25 {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return "Company"
	}
	return string(kept)
}

// prepareContact finds the person at the company, and otherwise turns e-mail and telephone into communication items.
func (c *Connector) prepareContact(ctx context.Context, op string, r resource, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	conditions := "company/id=" + given["company"].String() + " and inactiveFlag=false and firstName=" + quote(given["firstName"].String())
	var same *connectors.Record
	_, err := c.all(ctx, search{path: r.path, conditions: conditions, op: op}, func(o object, _ []byte) error {
		rec, err := c.record(r, "", o)
		if err == nil && same == nil && strings.EqualFold(rec.Fields["lastName"].String(), given["lastName"].String()) {
			same = &rec
		}
		return err
	})
	if err != nil || same != nil {
		if same == nil {
			same = &connectors.Record{}
		}
		return *same, err == nil, err
	}
	people := map[string]string{}
	for name := range communicationOf {
		if v := given[name]; !v.Blank() {
			people[name] = v.String()
		}
	}
	if len(people) > 0 {
		if body["communicationItems"], err = c.communicationItems(ctx, op, nil, people); err != nil {
			return connectors.Record{}, false, err
		}
	}
	return connectors.Record{}, false, nil
}

// communicationItems are a contact's items with some of them changed: the whole array travels, because what is left out of it is deleted.
func (c *Connector) communicationItems(ctx context.Context, op string, now []any, people map[string]string) ([]any, error) {
	items := []any{}
	written := map[string]bool{}
	chosen := map[string]int{} // the item that is read as the field: the default one, else the first
	for i, item := range now {
		kind := textOf(walk(item, "communicationType"))
		if _, found := chosen[kind]; !found || walk(item, "defaultFlag") == true {
			chosen[kind] = i
		}
	}
	for i, item := range now {
		kind := textOf(walk(item, "communicationType"))
		sent := map[string]any{"id": walk(item, "id"), "type": map[string]any{"id": walk(item, "type/id")}, "value": walk(item, "value"),
			"communicationType": kind, "defaultFlag": walk(item, "defaultFlag") == true}
		drop := false
		for name, value := range people {
			if communicationOf[name] == kind && chosen[kind] == i {
				sent["value"], written[name], drop = value, true, value == ""
			}
		}
		if !drop {
			items = append(items, sent)
		}
	}
	for _, name := range []string{"email", "phone"} {
		value, asked := people[name]
		if !asked || written[name] || value == "" {
			continue
		}
		typ, err := c.communicationType(ctx, op, communicationOf[name])
		if err != nil {
			return nil, err
		}
		items = append(items, map[string]any{"type": map[string]any{"id": typ}, "value": value, "communicationType": communicationOf[name], "defaultFlag": true})
	}
	return items, nil
}

// communicationType is the id of the PSA's default type of a kind of item, or of its first.
func (c *Connector) communicationType(ctx context.Context, op, kind string) (json.Number, error) {
	var found json.Number
	isDefault := false
	flag := strings.ToLower(kind) + "Flag"
	_, err := c.all(ctx, search{path: "/company/communicationTypes", op: op, record: "(look up how to write an item of kind " + kind + ")"}, func(o object, _ []byte) error {
		if o[flag] == true && (found == "" || !isDefault && o["defaultFlag"] == true) {
			found, _ = o["id"].(json.Number)
			isDefault = o["defaultFlag"] == true
		}
		return nil
	})
	if err == nil && found == "" {
		err = c.fail(connectors.ClassInvalid, op, "", strings.ToLower(kind), "the PSA has no communication type of kind "+kind, "have an administrator add one")
	}
	return found, err
}

// sameProduct is the catalog item that has the identifier, when it also has the part number: a create whose reply was lost made it, or a
// person did.
func (c *Connector) sameProduct(ctx context.Context, op string, r resource, given model.Fields) (connectors.Record, bool, error) {
	o, err := c.first(ctx, op, r, "", "identifier="+quote(given["identifier"].String()))
	if err != nil || o == nil {
		return connectors.Record{}, false, err
	}
	rec, err := c.record(r, "", o)
	part := given["manufacturerPartNumber"].String()
	return rec, err == nil && part != "" && rec.Fields["manufacturerPartNumber"].String() == part && !rec.Fields["inactiveFlag"].True(), err
}

// sameAgreement is the oldest agreement of the company with the name and the type that is not cancelled; nil when there is none.
func (c *Connector) sameAgreement(ctx context.Context, op string, r resource, given model.Fields, body map[string]any) (*connectors.Record, error) {
	typ := textOf(walk(body["type"], "id"))
	var same *connectors.Record
	s := search{path: r.path, conditions: "company/id=" + given["company"].String() + " and name=" + quote(given["name"].String()), op: op}
	_, err := c.all(ctx, s, func(o object, _ []byte) error {
		if textOf(walk(o, "type/id")) != typ || o["cancelledFlag"] == true {
			return nil
		}
		rec, err := c.record(r, "", o)
		if err == nil && (same == nil || byNumber(rec.ID, same.ID) < 0) {
			same = &rec
		}
		return err
	})
	return same, err
}

// raced looks for a catalog item that somebody made between looking for it and making it: the PSA refuses a second one of the identifier.
func (c *Connector) raced(ctx context.Context, op string, r resource, given model.Fields, refusal error) (connectors.Record, error) {
	if r.kind != kindProduct || connectors.ClassOf(refusal) != connectors.ClassInvalid {
		return connectors.Record{}, refusal
	}
	rec, same, err := c.sameProduct(ctx, op, r, given)
	if err != nil || !same {
		return connectors.Record{}, refusal
	}
	return rec, nil
}

// older looks again after making an agreement. Where somebody made the same one a moment before, the older one counts, whoever looks: lines
// never spread over two. The younger one is left, empty, and the next plan tells of two contracts.
func (c *Connector) older(ctx context.Context, op string, r resource, body map[string]any, given model.Fields, made connectors.Record) (connectors.Record, error) {
	if r.kind != kindAgreement {
		return made, nil
	}
	same, err := c.sameAgreement(ctx, op, r, given, body)
	if err != nil || same == nil || same.ID == made.ID {
		return made, nil // it was made; that nobody could look again is no reason to doubt it
	}
	c.account.Log.Warn("somebody made the same agreement at the same time; the older one is used, and the younger one is empty",
		zap.String("account", c.account.Name), zap.String("used", same.ID), zap.String("empty", made.ID))
	return *same, nil
}
