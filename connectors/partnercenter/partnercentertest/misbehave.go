package partnercentertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Misbehaviour is one way in which the server can be told to fail.
type Misbehaviour struct {
	Name  string
	Value string // what the value is: "", "times", "pages", "reads", "duration", "customer id", ...
	Doc   string
}

// A value named "times" is how often it happens before the server behaves again; without one it goes on until Behave.
const times = "times"

var misbehaviours = []Misbehaviour{
	{"async_patch", "reads", "A change is answered 202, and the old state is read that many times before the new one shows."},
	{"bom", "", "JSON bodies start with a byte-order mark."},
	{"cap_pages", "pages", "No customers are delivered after that many pages, and nothing says so."},
	{"drop_last_page", "", "The last page of customers is not offered."},
	{"empty_list", "kind", "Lists of that kind (customers, subscriptions) are empty although records exist."},
	{"error_after_commit", times, "A change is made and then answered 500."},
	{"expire_token", times, "A good access token is refused with 401."},
	{"fault_in_200", times, "A read is answered 200 with a fault in its body."},
	{"forbid_customer", "customer id", "Everything about this customer is refused with 403."},
	{"guid_case", "", "Ids are written in upper case."},
	{"html_error", times, "A gateway's HTML page with status 502 instead of an answer."},
	{"late_customer", "reads", "A customer that was just made is missing from that many lists of customers."},
	{"lost_items", "", "A page says how many items it has and delivers one fewer."},
	{"lost_reply", times, "A change is made and then the connection is dropped."},
	{"missing_items", times, "A read is answered 200 with a collection that has no items member."},
	{"no_audit", "", "The signed-in user may not read the activity log."},
	{"no_mfa", "", "Tokens lack the multi-factor claim."},
	{"no_price_sheet", "", "There is no price sheet."},
	{"pending_operation", times, "A change is refused with 409 because another operation runs."},
	{"repeat_page", "", "The next link of a list leads to the same page again, for ever."},
	{"revoke_refresh", "", "Refresh tokens are refused."},
	{"server_error", times, "A request is answered 500 without any work done."},
	{"slow", "duration", "Every answer takes that long (2s)."},
	{"stale_reads", "reads", "After a change the old state is read that many times."},
	{"throttle_storm", times, "A request is answered 429 with a second to wait."},
	{"unknown_status", "status", "Subscriptions have this status, which no document lists."},
}

// Misbehaviours is the list of names, sorted.
func Misbehaviours() []Misbehaviour { return slices.Clone(misbehaviours) }

// Misbehave starts a misbehaviour. The value's meaning is in the list; a wrong one is refused.
func (s *Server) Misbehave(name, value string) error {
	i := slices.IndexFunc(misbehaviours, func(m Misbehaviour) bool { return m.Name == name })
	if i < 0 {
		names := make([]string, len(misbehaviours))
		for i, m := range misbehaviours {
			names[i] = m.Name
		}
		return fmt.Errorf("misbehave: there is no misbehaviour %q (there are %s)", name, strings.Join(names, ", "))
	}
	var err error
	switch misbehaviours[i].Value {
	case "":
		if value != "" {
			err = fmt.Errorf("it takes no value")
		}
	case times:
		if value != "" {
			_, err = strconv.ParseUint(value, 10, 31)
		}
	case "pages", "reads":
		_, err = strconv.ParseUint(value, 10, 31)
	case "duration":
		_, err = time.ParseDuration(value)
	case "kind":
		if value != "customers" && value != "subscriptions" {
			err = fmt.Errorf("the value is customers or subscriptions")
		}
	default:
		if value == "" {
			err = fmt.Errorf("it needs a %s", misbehaviours[i].Value)
		}
	}
	if err != nil {
		return fmt.Errorf("misbehave %s=%q: %w", name, value, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misbehaving[name] = value
	return nil
}

// Behave ends a misbehaviour; ending one that is not on changes nothing.
func (s *Server) Behave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.misbehaving, name)
}

// once reports whether a misbehaviour happens now, and uses up one of its times.
func (s *Server) once(name string) bool {
	value, on := s.misbehaving[name]
	if !on {
		return false
	}
	if value == "" {
		return true
	}
	switch left := count(value); left {
	case 0:
		delete(s.misbehaving, name)
		return false
	case 1:
		delete(s.misbehaving, name)
	default:
		s.misbehaving[name] = strconv.Itoa(left - 1)
	}
	return true
}

// count and duration read values that Misbehave has checked.
func count(value string) int {
	n, _ := strconv.Atoi(value)
	return n
}

func duration(value string) time.Duration {
	d, _ := time.ParseDuration(value)
	return d
}
