package connectwisetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// siteName takes the name of a new company's first site out of the body, where a reference to a site that does not exist yet
// stands for it.
func siteName(t *table, object map[string]any) (string, error) {
	given, ok := object["site"].(map[string]any)
	if t.name != "company" || !ok || given["id"] != nil {
		return "Main", nil
	}
	name, _ := given["name"].(string)
	if name == "" || len(given) != 1 {
		return "", invalid(t.title, "site", "InvalidReference", "A new company's site is given by its name.")
	}
	delete(object, "site")
	return name, nil
}

// siteFields are what a company shows of its primary site.
var siteFields = []string{"addressLine1", "addressLine2", "city", "zip", "country", "phoneNumber"}

func (s *Server) addSite(company *row, name string) {
	if company.values["site"] != nil {
		return
	}
	site := s.insert(s.tables["site"], &row{parent: company.id, updated: company.updated, entered: company.entered,
		values: map[string]any{"name": name, "primaryAddressFlag": true, "defaultBillingFlag": true}})
	company.values["site"] = site.id
	s.keepSite(company)
}

// keepSite writes a company's address to its site: the screens show one and the same.
func (s *Server) keepSite(company *row) {
	site := s.tables["site"].rows[asID(company.values["site"])]
	if site == nil {
		return
	}
	for _, name := range siteFields {
		if value := company.values[name]; value != nil {
			site.values[name] = value
		} else {
			delete(site.values, name)
		}
	}
}

// makeDefault keeps a company and its default contact in agreement: there is one at most.
func (s *Server) makeDefault(contact *row) {
	company := s.tables["company"].rows[asID(contact.values["company"])]
	if company == nil {
		return
	}
	switch {
	case contact.values["defaultFlag"] == true:
		if other := s.tables["contact"].rows[asID(company.values["defaultContact"])]; other != nil && other != contact {
			other.values["defaultFlag"] = false
		}
		company.values["defaultContact"] = contact.id
	case asID(company.values["defaultContact"]) == contact.id:
		delete(company.values, "defaultContact")
	}
}

// communication checks a contact's items: each has a type that exists and fits its kind, and a value; new ones get an id.
func (s *Server) communication(t *table, f field, list []any) ([]any, error) {
	wrong := func(message string) error { return invalid(t.title, f.name, "InvalidObject", message) }
	flags := map[string]string{"Email": "emailFlag", "Phone": "phoneFlag", "Fax": "faxFlag"}
	kept, last := []any{}, 0
	for _, item := range list {
		object, _ := item.(map[string]any)
		last = max(last, asID(object["id"]))
	}
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, wrong("An item must be an object.")
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if !slices.Contains([]string{"id", "type", "value", "extension", "communicationType", "defaultFlag", "domain"}, name) {
				return nil, wrong("The " + name + " field of an item does not exist.")
			}
		}
		typ, _ := object["type"].(map[string]any)
		of := s.tables["communicationType"].rows[asID(typ["id"])]
		value, _ := object["value"].(string)
		kind, _ := object["communicationType"].(string)
		switch {
		case of == nil:
			return nil, wrong("The type of an item does not exist.")
		case value == "" || utf8.RuneCountInString(value) > 250:
			return nil, wrong("The value of an item must have 1 to 250 characters.")
		case flags[kind] == "" || of.values[flags[kind]] != true:
			return nil, wrong(fmt.Sprintf("The type %v is not for items of kind %q.", of.values["name"], kind))
		}
		object = maps.Clone(object)
		object["type"] = map[string]any{"id": of.id, "name": of.values["name"]}
		if object["id"] == nil {
			last++
			object["id"] = json.Number(fmt.Sprint(last))
		}
		kept = append(kept, object)
	}
	return kept, nil
}

// Merge does what the PSA's own screen does when two companies are one: everything of from goes to into, and from is gone.
// What into keeps in its own custom fields stays.
func (s *Server) Merge(from, into int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	companies := s.tables["company"]
	old := companies.rows[from]
	if old == nil || companies.rows[into] == nil || from == into {
		return fmt.Errorf("merge company %d into %d: both must be there", from, into)
	}
	for _, kind := range []string{"agreement", "contact"} {
		for _, r := range s.tables[kind].rows {
			if asID(r.values["company"]) == from {
				r.values["company"] = into
				r.updated, r.updatedBy = s.opts.Now().UTC(), "jdoe"
				if kind == "contact" {
					r.values["defaultFlag"] = false
				}
			}
		}
	}
	s.record(companies, old, "Deleted", "Company merged", "jdoe", "Client")
	delete(companies.rows, from)
	return nil
}
