package connectwise

import (
	"strconv"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/model"
)

func texts(pairs ...string) model.Fields {
	fields := model.Fields{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = model.Text(pairs[i+1])
	}
	return fields
}

// A ticket says what it was given, for technicians only, and a second create finds it by its reference.
func TestTicketIsOpenedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company := strconv.Itoa(w.fake.IDs("company")[0])
	req := connectors.CreateRequest{Kind: kindTicket, Key: "k", Fields: texts("summary", "Waiting for approval", "company", company, "board", "cloud", "status", "in progress",
		"type", "Subscription", "priority", "high", "externalXRef", "trueup-abc", "initialInternalAnalysis", "14 to 60 seats")}
	made, err := w.c.Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := strconv.Atoi(made.ID)
	diff(t, "ticket", []string{"Cloud", "In Progress", "Subscription", "High", "false", "trueup-api"}, []string{made.Fields["board"].String(), made.Fields["status"].String(),
		made.Fields["type"].String(), made.Fields["priority"].String(), made.Fields["closedFlag"].String(), made.Fields["updatedBy"].String()})
	diff(t, "said", []string{"14 to 60 seats"}, w.fake.TicketNotes(id))
	if shown := w.fake.Record(kindTicket, id); shown["automaticEmailContactFlag"] != false || shown["initialInternalAnalysis"] != nil {
		t.Errorf("the PSA holds %v", shown)
	}
	writes := w.fake.Writes()
	again, err := w.c.Create(t.Context(), req)
	if err != nil || again.ID != made.ID || w.fake.Writes() != writes {
		t.Errorf("a second create made %s, want %s: %v", again.ID, made.ID, err)
	}

	note := connectors.CreateRequest{Kind: kindNote, Parent: made.ID, Key: "n", Fields: texts("text", "It changed")}
	for range 2 {
		if _, err := w.c.Create(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, "notes", []string{"14 to 60 seats", "It changed"}, w.fake.TicketNotes(id))

	ref := connectors.Ref{Kind: kindTicket, ID: made.ID}
	closed, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Key: "c", Edits: map[string]connectors.Edit{"status": {To: model.Text("completed")}}})
	if err != nil || closed.Fields["status"].String() != "Completed" || !closed.Fields["closedFlag"].True() {
		t.Errorf("closed: %v, %v", closed.Fields, err)
	}
	if err := w.fake.SetTicketStatus(id, "jdoe", "Approved"); err != nil {
		t.Fatal(err)
	}
	_, err = w.c.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Key: "s", Edits: map[string]connectors.Edit{"status": {From: model.Text("Completed"), To: model.Text("New")}}})
	wantError(t, err, connectors.ClassStale, "status", `it was "Completed"`)
	if now, err := w.c.Read(t.Context(), ref); err != nil || now.Fields["updatedBy"].String() != "jdoe" {
		t.Errorf("who approved it: %v, %v", now.Fields, err)
	}
}

// Labels are given by name; one that is not there or is inactive is refused with those that are, before anything is written.
func TestTicketLabelsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company := strconv.Itoa(w.fake.IDs("company")[0])
	for name, test := range map[string]struct{ field, value, says string }{
		"board":            {"board", "Clouds", "Cloud, Help Desk"},
		"inactive board":   {"board", "Old Board", "is inactive"},
		"status":           {"status", "Done", "Approved, Completed, In Progress, New, Rejected"},
		"inactive status":  {"status", "Waiting Vendor", "is inactive"},
		"of another board": {"type", "Request", "Subscription"},
		"inactive type":    {"type", "Licence", "is inactive"},
		"priority":         {"priority", "Urgent", "High, Low, Medium"},
	} {
		fields := texts("summary", "x", "company", company, "board", "Cloud", "externalXRef", "trueup-"+name)
		fields[test.field] = model.Text(test.value)
		_, err := w.c.Create(t.Context(), connectors.CreateRequest{Kind: kindTicket, Fields: fields, Key: name})
		wantError(t, err, connectors.ClassInvalid, test.field, test.says)
	}
	ticket := w.fake.AddTicket(connectwisetest.Ticket{Company: w.fake.IDs("company")[0], Board: "Help Desk", Summary: "x", ExternalXRef: "trueup-x"})
	ref := connectors.Ref{Kind: kindTicket, ID: strconv.Itoa(ticket)}
	_, err := w.c.Change(t.Context(), connectors.ChangeRequest{Ref: ref, Key: "k", Edits: map[string]connectors.Edit{"status": {To: model.Text("Approved")}}})
	wantError(t, err, connectors.ClassInvalid, "status", "Completed, New")
	if w.fake.Writes() != 0 {
		t.Errorf("%d writes", w.fake.Writes())
	}
}

// Other people's tickets are not read.
func TestOnlyOwnTicketsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	company := w.fake.IDs("company")[0]
	w.fake.AddTicket(connectwisetest.Ticket{Company: company, Board: "Cloud", Summary: "Held", ExternalXRef: "trueup-1", Notes: []string{"a", "b"}})
	other := w.fake.AddTicket(connectwisetest.Ticket{Company: company, Board: "Cloud", Summary: "Printer", Notes: []string{"private"}})
	var seen []string
	for _, kind := range []string{kindTicket, kindNote} {
		listing, err := w.c.List(t.Context(), connectors.ListRequest{Kind: kind}, func(rec connectors.Record) error {
			seen = append(seen, kind+" "+rec.Fields["summary"].String()+rec.Fields["text"].String())
			return nil
		})
		if err != nil || !listing.Complete() {
			t.Fatalf("list %s: %v, %v", kind, listing, err)
		}
	}
	diff(t, "listed", []string{"ticket Held", "ticketNote a", "ticketNote b"}, seen)
	for _, r := range w.fake.Requests() {
		if strings.Contains(r.Path, "tickets/"+strconv.Itoa(other)) {
			t.Errorf("%s %s was asked for", r.Method, r.Path)
		}
	}
}
