package connectwise

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

const (
	// The version pins the shape of the answers.
	acceptHeader = "application/vnd.connectwise.com+json; version=2022.1"
	pageSize     = 1000
)

// authorize sets what every request carries.
func authorize(user, private, clientID string) func(context.Context, *http.Request) error {
	return func(_ context.Context, r *http.Request) error {
		r.SetBasicAuth(user, private)
		r.Header.Set("clientId", clientID)
		return nil
	}
}

// do sends a request below the API's path. A 404 on a tenant that answered before can mean that the tenant moved to
// another codebase: it is asked once, and when it did move the request is sent there. Nothing was done by a 404, so that
// holds for writes too.
func (c *Connector) do(ctx context.Context, req rest.Request) (rest.Response, error) {
	codebase, err := c.discover(ctx, "")
	if err != nil {
		return rest.Response{}, err
	}
	path := req.Path
	header := http.Header{"Accept": {acceptHeader}}
	for name, values := range req.Header {
		header[name] = values
	}
	req.Header = header
	for moved := false; ; moved = true {
		req.Path = "/" + codebase + "apis/3.0" + path
		resp, err := c.rest.Do(ctx, req)
		c.mu.Lock()
		worked := c.worked
		c.worked = worked || err == nil
		c.mu.Unlock()
		if err == nil || resp.Status != http.StatusNotFound || !worked || moved || c.pinned {
			return resp, err
		}
		next, derr := c.discover(ctx, codebase)
		if derr != nil || next == codebase {
			return resp, err
		}
		codebase = next
	}
}

// discover is the tenant's codebase, asked when it is not known or still the stale one.
func (c *Connector) discover(ctx context.Context, stale string) (string, error) {
	known := func() (string, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.codebase, c.codebase != stale && c.codebase != ""
	}
	if codebase, ok := known(); ok {
		return codebase, nil
	}
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		e := c.fail(connectors.ClassTransient, "look up the company at the login page", "", "", "stopped before it was finished", "")
		e.Err = ctx.Err()
		return "", e
	}
	if codebase, ok := known(); ok {
		return codebase, nil // somebody else asked meanwhile
	}
	company := c.account.Settings["company"]
	const op = "look up the company at the login page"
	resp, err := c.rest.Do(ctx, rest.Request{Path: "/login/companyinfo/" + url.PathEscape(strings.TrimSpace(company)), Op: op})
	if err != nil {
		return "", err
	}
	var info struct{ Codebase, CompanyName string }
	if err := resp.Decode(op, &info); err != nil {
		return "", err
	}
	if info.Codebase == "" {
		return "", c.fail(connectors.ClassAuth, op, "", "", fmt.Sprintf("the site does not know the company %q", company),
			"check the settings company (as typed at the login page, its case matters) and site")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.codebase, c.title = strings.Trim(info.Codebase, "/")+"/", info.CompanyName
	return c.codebase, nil
}

// object is one JSON object of the PSA, with exact numbers.
type object map[string]any

// getObject reads one record.
func (c *Connector) getObject(ctx context.Context, path, op, record string) (object, rest.Response, error) {
	resp, err := c.do(ctx, rest.Request{Path: path, Op: op, Record: record})
	if err != nil {
		return nil, resp, err
	}
	o, err := c.oneObject(resp, op, record)
	return o, resp, err
}

// oneObject reads a reply that should be one record. An error object that came with 200 is an error.
func (c *Connector) oneObject(resp rest.Response, op, record string) (object, error) {
	var o object
	if err := resp.Decode(op, &o); err != nil {
		return nil, err
	}
	if _, ok := o["id"].(json.Number); ok || o["count"] != nil || o["serverTimeZone"] != nil {
		return o, nil
	}
	return nil, c.faultIn200(resp, op, record)
}

func (c *Connector) faultIn200(resp rest.Response, op, record string) *connectors.Error {
	e := c.fail(connectors.ClassTransient, op, record, "", "the PSA answered 200 with something else than what was asked for",
		"try again; when it stays, look at the PSA's own status page")
	if fault := readFault(resp); fault != nil && fault.Message != "" {
		e.Code, e.Message = fault.Code, "the PSA answered 200 with an error in it: "+fault.Message
		if fault.Class == connectors.ClassAuth {
			e.Class, e.Hint = fault.Class, fault.Hint
		}
	}
	return e
}

// search says what to list.
type search struct {
	path, conditions string
	op, record       string
	counted          bool // compare with the server's count, even when the listing looks finished
}

// found is how a listing went.
type found struct {
	received int
	total    int // what the server counts; -1 when it was not asked
	at       time.Time
}

// short says why a listing is not complete, "" when it is.
func (f found) short() string {
	if f.total <= f.received {
		return ""
	}
	return fmt.Sprintf("the PSA counts %d records but sent %d", f.total, f.received)
}

var linkNext = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

// all lists every page in id order. Rows that repeat or go back mean that a page was not the one asked for; that is an
// error, because then nothing can be said about what is missing.
func (c *Connector) all(ctx context.Context, s search, each func(object, []byte) error) (found, error) {
	f := found{total: -1}
	if s.counted {
		total, err := c.count(ctx, s)
		if err != nil {
			return f, err
		}
		f.total = total
	}
	query := url.Values{"pageSize": {strconv.Itoa(pageSize)}}
	if s.conditions != "" {
		query.Set("conditions", s.conditions)
	}
	header, page, last := http.Header{"pagination-type": {"forward-only"}}, 0, -1
	for {
		resp, err := c.do(ctx, rest.Request{Path: s.path, Query: query, Header: header, Op: s.op, Record: s.record})
		if err != nil {
			return f, err
		}
		rows, err := c.rows(resp, s)
		if err != nil {
			return f, err
		}
		if f.at.IsZero() {
			f.at = c.serverTime(resp)
		}
		next, linked := nextPage(resp)
		if page == 0 && last < 0 && next == "" && len(rows) > 0 && (linked || len(rows) >= pageSize || f.total > len(rows)) {
			// There is more, but no way forward: this server pages by number. Ask again from the start, in id order.
			page, header = 1, http.Header{}
			query.Set("orderBy", "id asc")
			query.Set("page", "1")
			continue
		}
		for _, raw := range rows {
			var row object
			if err := (rest.Response{Status: resp.Status, Body: raw}).Decode(s.op, &row); err != nil {
				return f, err
			}
			id := idOf(row)
			if id <= last {
				return f, c.fail(connectors.ClassTransient, s.op, s.record, "",
					fmt.Sprintf("page after page should climb in ids, but %d came after %d", id, last), "try again; something in between may be repeating pages")
			}
			last = id
			f.received++
			if err := each(row, raw); err != nil {
				return f, err
			}
		}
		switch {
		case page > 0 && len(rows) > 0 && (linked || len(rows) >= pageSize || f.received < f.total):
			page++
			query.Set("page", strconv.Itoa(page))
		case page == 0 && next != "" && len(rows) > 0:
			query.Set("pageId", next)
		default:
			if f.total < 0 && len(rows) >= pageSize {
				f.total, err = c.count(ctx, s)
			}
			return f, err
		}
	}
}

// nextPage reads the Link header: whether there is a next page and where it starts. Only the query of the link counts, its
// host can be a node behind a load balancer.
func nextPage(resp rest.Response) (pageID string, linked bool) {
	parts := linkNext.FindStringSubmatch(resp.Header.Get("Link"))
	if parts == nil {
		return "", false
	}
	link, err := url.Parse(parts[1])
	if err != nil {
		return "", true
	}
	return link.Query().Get("pageId"), true
}

// rows splits a reply into records.
func (c *Connector) rows(resp rest.Response, s search) ([]json.RawMessage, error) {
	var rows []json.RawMessage
	err := resp.Decode(s.op, &rows)
	if err == nil && rows != nil {
		return rows, nil
	}
	if err == nil || connectors.ClassOf(err) == connectors.ClassInvalid {
		return nil, c.faultIn200(resp, s.op, s.record)
	}
	return nil, err
}

// count asks the server how many records a search has.
func (c *Connector) count(ctx context.Context, s search) (int, error) {
	query := url.Values{}
	if s.conditions != "" {
		query.Set("conditions", s.conditions)
	}
	resp, err := c.do(ctx, rest.Request{Path: strings.TrimSuffix(s.path, "/") + "/count", Query: query, Op: s.op, Record: s.record})
	if err != nil {
		return 0, err
	}
	o, err := c.oneObject(resp, s.op, s.record)
	if err != nil {
		return 0, err
	}
	n, _ := o["count"].(json.Number)
	total, err := strconv.Atoi(string(n))
	if err != nil {
		return 0, c.faultIn200(resp, s.op, s.record)
	}
	return total, nil
}

// serverTime is the server's own clock where it shows it: change stamps are made with that clock.
func (c *Connector) serverTime(resp rest.Response) time.Time {
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return at.UTC()
	}
	return c.account.Now().UTC()
}

// fail makes an error of this account.
func (c *Connector) fail(class connectors.Class, op, record, field, message, hint string) *connectors.Error {
	return &connectors.Error{Class: class, Op: op, Record: strings.TrimSpace(record + " in " + c.account.Name), Field: field, Message: message, Hint: hint}
}

func idOf(o object) int {
	n, _ := o["id"].(json.Number)
	id, err := strconv.Atoi(string(n))
	if err != nil {
		return -1
	}
	return id
}

// quote writes text for a search condition.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// moment writes a moment for a search condition, in the form this PSA understands.
func (c *Connector) moment(at time.Time) string {
	if c.dateOnly {
		return "[" + at.UTC().Format(time.DateOnly) + "]"
	}
	return "[" + at.UTC().Format(stampLayout) + "]"
}
