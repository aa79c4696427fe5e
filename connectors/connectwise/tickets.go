package connectwise

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// ownTickets begins the external reference of tickets that trueup opened.
const ownTickets = "trueup-"

const (
	boards     = "/service/boards"
	statuses   = "/service/boards/%s/statuses"
	types      = "/service/boards/%s/types"
	priorities = "/service/priorities"
)

func (m member) labelled(table string) member {
	m.label = table
	return m
}

// unread is for what can be sent and is never delivered.
func (m member) unread() member { return m.by(func(object) model.Value { return model.Value{} }) }

var ticketMembers = []member{
	text("id", "Record id."),
	text("summary", "One line.").longest(100).writable().required(),
	text("company", "Id of the company.").from("company/id").id().create().required(),
	text("board", "Board by name.").from("board/name").labelled(boards).create().required(),
	text("status", "Status by its name on the board; the board's own first status when it is not given.").from("status/name").labelled(statuses).writable(),
	text("type", "Type by its name on the board.").from("type/name").labelled(types).create(),
	text("priority", "Priority by name; the PSA's own when it is not given.").from("priority/name").labelled(priorities).create(),
	text("externalXRef", "Reference of another system; trueup's begin with trueup-.").longest(100).create(),
	text("initialInternalAnalysis", "What it is opened with, for technicians only.").unread().create(),
	field("closedFlag", model.TypeBool, "Its status is one that closes it; derived by the PSA."),
	text("updatedBy", "Member who changed it last.").from("_info/updatedBy"),
	field("dateEntered", model.TypeInstant, "When it was made, UTC.").from("_info/dateEntered"),
}

var noteMembers = []member{
	text("id", "Record id."),
	text("text", "What it says.").create().required(),
	field("internalAnalysisFlag", model.TypeBool, "For technicians only. Notes that trueup writes are."),
	text("createdBy", "Member who wrote it."),
}

// label is a row of a setup table.
type label struct {
	id   json.Number
	name string
}

// labelled finds a row of a table of ticket labels by its name, whatever its case. One that is inactive is refused.
func (c *Connector) labelled(ctx context.Context, op string, m member, board, name string) (label, error) {
	path := m.label
	if strings.Contains(path, "%s") {
		if err := c.number(op, "a board", board); err != nil {
			return label{}, err
		}
		path = fmt.Sprintf(path, board)
	}
	var found, inactive label
	var known []string
	_, err := c.all(ctx, search{path: path, op: op, record: "(look up " + m.Name + ")"}, func(o object, _ []byte) error {
		id, _ := o["id"].(json.Number)
		row := label{id, clean(textOf(o["name"]))}
		same := strings.EqualFold(row.name, name)
		switch {
		case o["inactiveFlag"] == true || o["inactive"] == true:
			if same {
				inactive = row
			}
			return nil
		case same:
			found = row
		}
		known = append(known, row.name)
		return nil
	})
	slices.Sort(known)
	switch next := "name one of " + strings.Join(known, ", ") + ", or change it in the PSA"; {
	case err != nil:
		return label{}, err
	case found.id != "":
		return found, nil
	case inactive.id != "":
		return label{}, c.fail(connectors.ClassInvalid, op, "", m.Name, fmt.Sprintf("the %s %q is inactive in the PSA", m.Name, inactive.name), next)
	default:
		return label{}, c.fail(connectors.ClassInvalid, op, "", m.Name, fmt.Sprintf("the PSA has no %s named %q for this ticket", m.Name, name), next)
	}
}

// prepareTicket looks for the ticket it would make, by its external reference, and finds the ids of its labels.
func (c *Connector) prepareTicket(ctx context.Context, op string, r resource, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	if reference := given["externalXRef"].String(); reference != "" {
		o, err := c.first(ctx, op, r, "", "externalXRef="+quote(reference))
		if err != nil {
			return connectors.Record{}, false, err
		}
		if o != nil {
			rec, err := c.record(r, "", o)
			return rec, true, err
		}
	}
	board := ""
	for _, m := range r.members { // the board comes before what is looked up on it
		name := given[m.Name].String()
		if m.label == "" || name == "" {
			continue
		}
		found, err := c.labelled(ctx, op, m, board, name)
		if err != nil {
			return connectors.Record{}, false, err
		}
		if m.Name == "board" {
			board = string(found.id)
		}
		body[m.Name] = map[string]any{"id": found.id}
	}
	body["recordType"], body["automaticEmailContactFlag"] = "ServiceTicket", false
	return connectors.Record{}, false, nil
}

// prepareNote makes a note internal, and looks for one that says the same already: a create whose reply was lost made it.
func (c *Connector) prepareNote(ctx context.Context, r resource, parent string, given model.Fields, body map[string]any) (connectors.Record, bool, error) {
	body["internalAnalysisFlag"], body["detailDescriptionFlag"], body["resolutionFlag"] = true, false, false
	b := c.under(ctx, r, parent)
	if b.err != nil {
		return connectors.Record{}, false, b.err
	}
	if len(b.gaps) > 0 {
		return connectors.Record{}, false, c.fail(b.gaps[0].Class, "create note", under(r.kind, parent), "", "cannot tell whether it exists already: "+b.gaps[0].Reason, "try again")
	}
	for _, rec := range b.records {
		if rec.Fields["text"] == given["text"] {
			return rec, true, nil
		}
	}
	return connectors.Record{}, false, nil
}

// listNotes reads ticket after ticket; of all of them those that trueup opened.
func (c *Connector) listNotes(ctx context.Context, r resource, parents []string, yield func(connectors.Record) error) (connectors.Listing, error) {
	var listing connectors.Listing
	if parents == nil {
		tickets, err := c.List(ctx, connectors.ListRequest{Kind: kindTicket}, func(rec connectors.Record) error {
			parents = append(parents, rec.ID)
			return nil
		})
		if err != nil {
			return listing, err
		}
		listing.Gaps = tickets.Gaps
	}
	for _, parent := range parents {
		if err := c.number("list notes", "a ticket", parent); err != nil {
			return listing, err
		}
	}
	slices.SortFunc(parents, byNumber)
	return listing, c.each(ctx, r, slices.Compact(parents), func(b batch) error {
		switch class := connectors.ClassOf(b.err); {
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
		return nil
	})
}
