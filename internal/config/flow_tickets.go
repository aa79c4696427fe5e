package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// readApprove reads who approves what goes over the guards, how, and for how long.
func readApprove(f *flowFile, n *strictyaml.Node) {
	m := n.Map()
	f.Approvals = atLeastOne(m.Get("people"))
	by := m.Get("by")
	f.Approve.NoCLI = by.Present()
	for _, item := range by.List() {
		switch item.OneOf("cli", "ticket") {
		case "cli":
			f.Approve.NoCLI = false
		case "ticket":
			f.Approve.Tickets = true
		}
	}
	if by.IsList() && len(by.List()) == 0 {
		by.Complain("name cli, ticket or both, or remove the line for cli", "the list is empty, so nobody could approve anything")
	}
	f.Approve.Expires = span(m.Get("expires"))
	ticket := m.Get("ticket")
	words := ticket.Map()
	if f.Approve.Tickets {
		f.Approve.Approved, f.Approve.Rejected = word(words.Need("approved")), word(words.Need("rejected"))
		if !ticket.Present() {
			by.Complain(`write ticket: {approved: "Approved", rejected: "Rejected"} beside it, with the names of two statuses of the board`, "it is not said which status of a ticket approves")
		}
		if f.Approve.Approved != "" && strings.EqualFold(f.Approve.Approved, f.Approve.Rejected) {
			ticket.Complain("name two statuses", "the same status would approve and reject")
		}
	} else {
		words.Get("approved").Text()
		words.Get("rejected").Text()
		if ticket.Present() {
			ticket.Complain("write by: [cli, ticket], or remove it", "statuses of tickets approve nothing in this flow")
		}
	}
	words.Close()
	m.Close()
}

// word is a text that is not empty.
func word(n *strictyaml.Node) string {
	text := strings.TrimSpace(n.Text())
	if n.IsScalar() && text == "" {
		n.Complain("write the name as the PSA shows it", "it is empty")
	}
	return text
}

var spanRule = regexp.MustCompile(`^([1-9][0-9]{0,3}) (hours?|days?)$`)

// span reads how long something counts: 3 days, 12 hours. Zero when it is not said.
func span(n *strictyaml.Node) time.Duration {
	if !n.Present() {
		return 0
	}
	parts := spanRule.FindStringSubmatch(strings.TrimSpace(n.Text()))
	if parts == nil {
		if n.IsScalar() {
			n.Complain("write it like 3 days or 12 hours", "%q is not a time that something could count", n.Text())
		}
		return 0
	}
	count, _ := strconv.Atoi(parts[1]) // the pattern holds digits
	unit := time.Hour
	if strings.HasPrefix(parts[2], "day") {
		unit = 24 * time.Hour
	}
	return time.Duration(count) * unit
}

// ticketPurposes are the keys under tell: that may open tickets, beside renewal.
var ticketPurposes = []engine.Purpose{engine.TellHeld, engine.TellRefused, engine.TellUnmatched, engine.TellDrift}

// readTickets reads for which matters tickets are opened, and how they are labelled. renewal is read with its days.
func readTickets(rules *engine.TellRules, m *strictyaml.Map, renewal *strictyaml.Map) {
	rules.Tickets = map[engine.Purpose]engine.TicketRules{}
	for _, purpose := range ticketPurposes {
		block := m.Get(string(purpose))
		inner := block.Map()
		if ticket := inner.Get("ticket"); ticket.Present() {
			rules.Tickets[purpose] = readTicket(ticket)
		} else if block.IsMap() {
			block.Complain("write ticket: {board: Cloud, status: New, closed: Completed}, or remove it", "it says no way to tell people")
		}
		inner.Close()
	}
	if ticket := renewal.Get("ticket"); ticket.Present() {
		rules.Tickets[engine.TellRenewal] = readTicket(ticket)
	}
	if len(rules.Tickets) == 0 {
		rules.Tickets = nil
	}
	most := m.Get("open_tickets")
	rules.Most = atLeastOne(most)
	if most.Present() && len(rules.Tickets) == 0 {
		most.Complain("remove it, or say for what tickets are opened", "no tickets are opened by this flow")
	}
}

func readTicket(n *strictyaml.Node) engine.TicketRules {
	m := n.Map()
	rules := engine.TicketRules{Board: word(m.Need("board")), Status: word(m.Need("status")), Closed: word(m.Need("closed"))}
	for key, into := range map[string]*string{"type": &rules.Type, "priority": &rules.Priority, "company": &rules.Company} {
		if v := m.Get(key); v.Present() {
			*into = word(v)
		}
	}
	m.Close()
	if rules.Status != "" && strings.EqualFold(rules.Status, rules.Closed) {
		n.Complain("name a status that closes a ticket as closed", "a ticket would have the same status open and closed")
	}
	return rules
}

// checkTickets complains about what approvals and tickets need of each other.
func checkTickets(f *flowFile, approve *strictyaml.Node) {
	if !f.Approve.Tickets {
		return
	}
	held, opened := f.Tell.Tickets[engine.TellHeld]
	switch {
	case !opened:
		approve.Complain("add tell: {held: {ticket: {...}}}", "tickets are to approve what is held, and none is opened for it")
	case f.Mode != engine.ModeWrite:
		approve.Complain("set mode: write, or take ticket out of approve.by", "a ticket approves what the next run then does by itself, and with mode: %s no run does anything by itself", f.Mode)
	case slices.ContainsFunc([]string{held.Status, held.Closed}, func(s string) bool {
		return s != "" && (strings.EqualFold(s, f.Approve.Approved) || strings.EqualFold(s, f.Approve.Rejected))
	}):
		approve.Complain("name statuses that only people set", "a status that trueup itself gives to tickets would approve or reject")
	}
}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// readFreeze reads the times in which nothing that costs is written: days of the calendar, or hours that come again every week.
func readFreeze(n *strictyaml.Node) []plan.Freeze {
	var windows []plan.Freeze
	for _, item := range n.List() {
		m := item.Map()
		from, to, days := m.Need("from"), m.Need("to"), m.Get("days")
		window := plan.Freeze{}
		begin, clock := clockTime(from.Text())
		if clock {
			window.Begin = begin
			end, ok := clockTime(to.Text())
			if !ok && to.IsScalar() {
				to.Complain("write both as times like 18:00, or both as days like 2031-12-20", "%q is not a time of day", to.Text())
			}
			window.End = end
			window.Days = readWeekdays(days)
		} else if from.IsScalar() && to.IsScalar() {
			window.From, window.To = freezeDay(from), freezeDay(to)
			if days.Present() {
				days.Complain("remove it, or write from and to as times like 18:00", "days of the week go with times of day only")
			}
			if !window.From.IsZero() && !window.To.IsZero() && window.To.Cmp(window.From) < 0 {
				to.Complain("exchange them", "it ends on %s, before it begins on %s", window.To, window.From)
			}
		}
		m.Close()
		windows = append(windows, window)
	}
	return windows
}

func freezeDay(n *strictyaml.Node) model.Day {
	day, err := model.ParseDay(n.Text())
	if err != nil {
		n.Complain("write a day like 2031-12-20, or a time of day like 18:00", "%q is neither a day nor a time of day", n.Text())
	}
	return day
}

var clockRule = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])$`)

// clockTime reads 18:00 as minutes after midnight; 24:00 is the end of the day.
func clockTime(text string) (minutes int, ok bool) {
	parts := clockRule.FindStringSubmatch(text)
	if parts == nil {
		return 0, false
	}
	hours, _ := strconv.Atoi(parts[1]) // the pattern holds digits
	more, _ := strconv.Atoi(parts[2])
	return hours*60 + more, hours*60+more <= 24*60
}

func readWeekdays(n *strictyaml.Node) []time.Weekday {
	var days []time.Weekday
	for _, item := range n.List() {
		i := slices.Index(weekdays, strings.ToLower(item.Text()))
		switch {
		case !item.IsScalar():
		case i < 0:
			item.Complain(diag.DidYouMean(item.Text(), weekdays), "%q is not a day of the week", item.Text())
		default:
			days = append(days, time.Weekday(i))
		}
	}
	if n.IsList() && len(n.List()) == 0 {
		n.Complain("name at least one, or remove the line for every day", "the list is empty")
	}
	return days
}
