package connectwisetest

import (
	"fmt"
	"regexp"
	"slices"
)

// The service desk: boards with their statuses and types, priorities, tickets and their notes.

var (
	deskPath     = regexp.MustCompile(`^service/(boards|tickets)/(\d+)/(statuses|types|notes)(/.*)?$`)
	deskParents  = map[string]string{"boards": "board", "tickets": "ticket"}
	deskChildren = map[string]string{"statuses": "boardStatus", "types": "boardType", "notes": "ticketNote"}
	noteKinds    = []string{"detailDescriptionFlag", "internalAnalysisFlag", "resolutionFlag"}
	levels       = []string{"Low", "Medium", "High"}
)

func deskTables() []*table {
	return []*table{
		{name: "board", title: "Board", path: "service/boards", module: "tickets", fields: []field{{name: "name", max: 50}, {name: "inactiveFlag", kind: flag}, {name: "projectFlag", kind: flag}}},
		{name: "boardStatus", title: "BoardStatus", module: "tickets", fields: []field{
			{name: "name", max: 50}, {name: "board", kind: ref, of: "board"}, {name: "inactive", kind: flag}, {name: "closedStatus", kind: flag}, {name: "defaultFlag", kind: flag},
		}},
		{name: "boardType", title: "BoardType", module: "tickets", fields: []field{
			{name: "name", max: 50}, {name: "board", kind: ref, of: "board"}, {name: "inactiveFlag", kind: flag}, {name: "defaultFlag", kind: flag},
		}},
		{name: "priority", title: "Priority", path: "service/priorities", module: "tickets", fields: []field{{name: "name", max: 50}, {name: "color"}, {name: "defaultFlag", kind: flag}}},
		{name: "ticket", title: "Ticket", path: "service/tickets", module: "tickets", shown: []string{"summary"}, writes: true, fields: []field{
			{name: "summary", max: 100, required: true}, {name: "recordType", allowed: []string{"ProjectIssue", "ProjectTicket", "ServiceTicket"}},
			{name: "board", kind: ref, of: "board"}, {name: "status", kind: ref, of: "boardStatus"}, {name: "company", kind: ref, of: "company", required: true},
			{name: "contact", kind: ref, of: "contact"}, {name: "type", kind: ref, of: "boardType"}, {name: "priority", kind: ref, of: "priority"},
			{name: "agreement", kind: ref, of: "agreement"}, {name: "severity", allowed: levels}, {name: "impact", allowed: levels},
			{name: "externalXRef", max: 100}, {name: "automaticEmailContactFlag", kind: flag},
			{name: "initialDescription", unshown: true}, {name: "initialInternalAnalysis", unshown: true}, {name: "initialResolution", unshown: true},
			{name: "closedFlag", kind: flag, derived: true},
		}},
		{name: "ticketNote", title: "ServiceNote", module: "tickets", shown: []string{"text"}, writes: true, fields: []field{
			{name: "text", required: true}, {name: "detailDescriptionFlag", kind: flag}, {name: "internalAnalysisFlag", kind: flag}, {name: "resolutionFlag", kind: flag},
			{name: "internalFlag", kind: flag}, {name: "externalFlag", kind: flag}, {name: "processNotifications", kind: flag},
			{name: "ticketId", kind: integer, derived: true}, {name: "dateCreated", kind: date, derived: true}, {name: "createdBy", derived: true},
		}},
	}
}

// seedDesk fills what every tenant has.
func (s *Server) seedDesk() {
	for _, name := range []string{"Low", "Medium", "High"} {
		s.insert(s.tables["priority"], &row{values: map[string]any{"name": name, "color": "Blue", "defaultFlag": name == "Medium"}})
	}
	s.AddBoard(Board{Name: "Help Desk", Statuses: []Status{{Name: "New"}, {Name: "Completed", Closes: true}}, Types: []string{"Request"}})
	s.AddBoard(Board{Name: "Cloud", Types: []string{"Subscription"}, InactiveTypes: []string{"Licence"}, Statuses: []Status{{Name: "New"}, {Name: "In Progress"},
		{Name: "Approved"}, {Name: "Rejected"}, {Name: "Completed", Closes: true}, {Name: "Waiting Vendor", Inactive: true}}})
	s.AddBoard(Board{Name: "Old Board", Inactive: true, Statuses: []Status{{Name: "New"}}})
}

// Board is a service board; its first status and its first type are its own defaults.
type Board struct {
	Name                 string
	Inactive             bool
	Statuses             []Status
	Types, InactiveTypes []string
}

// Status is a status of a board.
type Status struct {
	Name             string
	Closes, Inactive bool
}

// AddBoard seeds a board and returns its id.
func (s *Server) AddBoard(b Board) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	board := s.insert(s.tables["board"], &row{values: map[string]any{"name": b.Name, "inactiveFlag": b.Inactive, "projectFlag": false}}).id
	for i, status := range b.Statuses {
		s.insert(s.tables["boardStatus"], &row{parent: board, values: map[string]any{"name": status.Name, "board": board, "closedStatus": status.Closes, "inactive": status.Inactive, "defaultFlag": i == 0}})
	}
	for i, name := range slices.Concat(b.Types, b.InactiveTypes) {
		s.insert(s.tables["boardType"], &row{parent: board, values: map[string]any{"name": name, "board": board, "inactiveFlag": i >= len(b.Types), "defaultFlag": i == 0}})
	}
	return board
}

// Ticket is a service ticket on a board, both by name; its status is the board's first when empty.
type Ticket struct {
	Company                 int
	Summary, Board, Status  string
	ExternalXRef, UpdatedBy string
	Notes                   []string
}

// AddTicket seeds a ticket with internal notes and returns its id.
func (s *Server) AddTicket(t Ticket) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := map[string]any{"summary": t.Summary, "company": t.Company}
	put(values, "externalXRef", t.ExternalXRef)
	s.refer(values, "board", "board", "name", t.Board)
	r := &row{values: values, custom: map[int]any{}, updatedBy: t.UpdatedBy}
	s.fillTicket(r, func(name string, value any) {
		if values[name] == nil {
			values[name] = value
		}
	})
	if t.Status != "" {
		values["status"] = s.onBoard("boardStatus", values["board"], func(o map[string]any) bool { return o["name"] == t.Status })
	}
	id := s.insert(s.tables["ticket"], r).id
	for _, text := range t.Notes {
		s.addNote(r, text, "internalAnalysisFlag")
	}
	return id
}

// SetTicketStatus changes a ticket's status by its name on its board, as the named person would.
func (s *Server) SetTicketStatus(id int, by, status string) error {
	s.mu.Lock()
	ticket := s.tables["ticket"].rows[id]
	if ticket == nil {
		s.mu.Unlock()
		return fmt.Errorf("set the status of ticket %d: there is none", id)
	}
	found := s.onBoard("boardStatus", ticket.values["board"], func(o map[string]any) bool { return o["name"] == status })
	s.mu.Unlock()
	return s.Edit("ticket", id, by, map[string]any{"status": map[string]any{"id": found}})
}

// TicketNotes are the texts of a ticket's notes, what it was opened with first.
func (s *Server) TicketNotes(id int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	notes := s.tables["ticketNote"]
	for _, n := range notes.ids() {
		if notes.rows[n].parent == id {
			texts = append(texts, fmt.Sprint(notes.rows[n].values["text"]))
		}
	}
	return texts
}

// onBoard is the first row of a board's table that fits; nil when there is none.
func (s *Server) onBoard(kind string, board any, fits func(map[string]any) bool) any {
	t := s.tables[kind]
	for _, id := range t.ids() {
		if t.rows[id].parent == asID(board) && fits(t.rows[id].values) {
			return id
		}
	}
	return nil
}

func isDefault(values map[string]any) bool { return values["defaultFlag"] == true }

// fillTicket gives a new ticket what was left out: the first board, the board's own status and type, the usual priority.
func (s *Server) fillTicket(r *row, fill func(string, any)) {
	fill("recordType", "ServiceTicket")
	fill("board", s.tables["board"].ids()[0])
	fill("status", s.onBoard("boardStatus", r.values["board"], isDefault))
	fill("type", s.onBoard("boardType", r.values["board"], isDefault))
	priorities := s.tables["priority"]
	for _, id := range priorities.ids() {
		if isDefault(priorities.rows[id].values) {
			fill("priority", id)
		}
	}
	fill("severity", "Medium")
	fill("impact", "Medium")
	fill("automaticEmailContactFlag", true)
}

// opened puts what a ticket was opened with among its notes.
func (s *Server) opened(ticket *row) {
	for i, name := range []string{"initialDescription", "initialInternalAnalysis", "initialResolution"} {
		if text, ok := ticket.values[name].(string); ok && text != "" {
			s.addNote(ticket, text, noteKinds[i])
		}
		delete(ticket.values, name)
	}
}

func (s *Server) addNote(ticket *row, text, kind string) {
	values := map[string]any{"text": text, kind: true}
	for _, name := range noteKinds {
		if values[name] == nil {
			values[name] = false
		}
	}
	s.insert(s.tables["ticketNote"], &row{parent: ticket.id, values: values, custom: map[int]any{}, updated: ticket.updated, entered: ticket.updated, updatedBy: ticket.updatedBy})
}

// closes reports that a ticket's status closes it.
func (s *Server) closes(ticket *row) bool {
	status := s.tables["boardStatus"].rows[asID(ticket.values["status"])]
	return status != nil && status.values["closedStatus"] == true
}

// consistentDesk checks what concerns more than one field of a ticket or a note.
func (s *Server) consistentDesk(t *table, r *row) error {
	if t.name == "ticketNote" {
		if !slices.ContainsFunc(noteKinds, func(name string) bool { return r.values[name] == true }) {
			return invalid(t.title, "detailDescriptionFlag", "MissingRequiredField", "One of detailDescriptionFlag, internalAnalysisFlag and resolutionFlag must be true.")
		}
		return nil
	}
	board := asID(r.values["board"])
	if s.tables["board"].rows[board].values["inactiveFlag"] == true {
		return invalid(t.title, "board", "InvalidReference", "The board is inactive.")
	}
	for _, part := range []struct{ field, of, inactive string }{{"status", "boardStatus", "inactive"}, {"type", "boardType", "inactiveFlag"}} {
		value := r.values[part.field]
		if value == nil {
			if part.field == "status" {
				return invalid(t.title, "status", "MissingRequiredField", "The status field is required.")
			}
			continue
		}
		switch chosen := s.tables[part.of].rows[asID(value)]; {
		case chosen.parent != board:
			return invalid(t.title, part.field, "InvalidReference", "The "+part.field+" does not belong to the board.")
		case chosen.values[part.inactive] == true:
			return invalid(t.title, part.field, "InvalidReference", "The "+part.field+" is inactive.")
		}
	}
	return nil
}
