//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/sandbox"
)

// desk is what a transcript has at hand besides its files.
type desk struct {
	box     *sandbox.Sandbox
	running map[string]*process
	unlock  func()
	used    map[string]bool // lines that pair gave away
	before  seatCount       // at the last mark
	writes  map[string]int  // by side, at the last mark
}

type deskKey struct{}

func deskOf(ts *testscript.TestScript) *desk { return ts.Value(deskKey{}).(*desk) }

// secrets are the credentials of the sandbox, by name, in every form that travels.
func (d *desk) secrets() map[string]string {
	if d.box == nil {
		return nil
	}
	c := d.box.Connection()
	all := maps.Clone(c.Env)
	all["basic authorization"] = base64.StdEncoding.EncodeToString([]byte(c.PSA.Company + "+" + c.PSA.PublicKey + ":" + c.PSA.PrivateKey))
	return all
}

// sandboxOf is the sandbox of the transcript.
func sandboxOf(ts *testscript.TestScript) *sandbox.Sandbox {
	if d := deskOf(ts); d.box != nil {
		return d.box
	}
	ts.Fatalf("start a sandbox first")
	return nil
}

func cmdSandbox(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	var o sandbox.Options
	flags.IntVar(&o.Customers, "customers", 4, "")
	flags.IntVar(&o.PerCustomer, "subscriptions", 3, "")
	flags.Uint64Var(&o.Seed, "seed", 1, "")
	flags.DurationVar(&o.Latency, "latency", 0, "")
	mode := flags.String("mode", "propose", "")
	second := flags.Bool("second", false, "") // another account of the same tenant, and a flow for it
	ts.Check(flags.Parse(args))
	d := deskOf(ts)
	var err error
	d.box, err = sandbox.Start(context.Background(), o)
	ts.Check(err)
	ts.Defer(func() { _ = d.box.Close() })
	c := d.box.Connection()
	for name, value := range c.Env {
		ts.Setenv(name, value)
	}
	ts.Setenv("CONTROL", c.Control)
	accounts := accountYAML("microsoft", c.Vendor.System, c.Vendor.Settings, c.Vendor.Budget) + accountYAML("psa", c.PSA.System, c.PSA.Settings, c.PSA.Budget)
	flow := strings.Replace(demoFlow, "mode: write", "mode: "+*mode, 1)
	files := map[string]string{filepath.Join("flows", "microsoft-connectwise.yaml"): flow}
	if *second {
		ts.Setenv("SECOND_CLIENT_SECRET", c.Vendor.ClientSecret)
		c.Vendor.Settings["client_secret"] = "${env:SECOND_CLIENT_SECRET}"
		accounts += accountYAML("again", c.Vendor.System, c.Vendor.Settings, c.Vendor.Budget)
		files[filepath.Join("flows", "second.yaml")] = strings.NewReplacer("flow: microsoft-connectwise", "flow: second", "vendor: microsoft", "vendor: again").Replace(flow)
	}
	files["trueup.yaml"] = "version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\naccounts:\n" + accounts + "flows: [flows/*.yaml]\n"
	ts.Check(os.MkdirAll(ts.MkAbs("flows"), 0o750))
	for name, text := range files {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

func accountYAML(name, system string, settings map[string]string, budget connectors.Budget) string {
	text := fmt.Sprintf("  %s:\n    system: %s\n    budget: {per_minute: %d, parallel: %d}\n    settings:\n", name, system, budget.PerMinute, budget.Parallel)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		text += fmt.Sprintf("      %s: %q\n", key, settings[key])
	}
	return text
}

// control calls the control API, as anybody can with curl.
func control(ts *testscript.TestScript, method, path, body string) {
	box := sandboxOf(ts)
	request, err := http.NewRequestWithContext(context.Background(), method, box.Connection().Control+path, strings.NewReader(body))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	response, err := box.HTTP().Do(request)
	ts.Check(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	ts.Check(err)
	if response.StatusCode >= http.StatusMultipleChoices {
		ts.Fatalf("the sandbox refused %s %s %s: %s", method, path, body, text)
	}
}

func cmdMisbehave(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "misbehave SIDE NAME [VALUE]")
	value, err := json.Marshal(map[string]string{"value": strings.Join(args[2:], " ")})
	ts.Check(err)
	control(ts, http.MethodPost, "/v1/misbehave/"+args[0]+"/"+args[1], string(value))
}

func cmdBehave(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "behave SIDE")
	control(ts, http.MethodDelete, "/v1/misbehave/"+args[0], "")
}

func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "edit BODY")
	control(ts, http.MethodPost, "/v1/edit", os.Expand(args[0], ts.Getenv))
}

func cmdAdd(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "add BODY")
	control(ts, http.MethodPost, "/v1/add", os.Expand(args[0], ts.Getenv))
}

func cmdSeats(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 3, "seats SIDE ID N")
	kind := map[string]string{"vendor": "subscription", "psa": "addition"}[args[0]]
	control(ts, http.MethodPost, "/v1/edit", fmt.Sprintf(`{"side": %q, "kind": %q, "id": %q, "set": {"quantity": %s}}`, args[0], kind, args[1], args[2]))
}

// cmdPair chooses an ordinary subscription on a line of its own, with nothing to say about either.
func cmdPair(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "pair NAME")
	d, truth := deskOf(ts), sandboxOf(ts).Truth()
	drifted := map[string]bool{}
	for _, drift := range truth.Drift {
		drifted[drift.Line] = true
	}
	for _, sub := range truth.Subscriptions {
		if sub.Expect != sandbox.ExpectLinked || sub.Status != "active" || sub.Seats < 5 || sub.Seats > 40 || drifted[sub.Line] || d.used[sub.Line] {
			continue
		}
		d.used[sub.Line] = true
		for name, value := range map[string]string{"SUB": sub.ID, "TENANT": sub.Tenant, "LINE": sub.Line, "COMPANY": sub.Company, "SEATS": strconv.Itoa(sub.Seats),
			"MORE": strconv.Itoa(sub.Seats + 2), "ONE": strconv.Itoa(sub.Seats + 1), "MUCH": strconv.Itoa(sub.Seats + 60), "PRODUCT": sub.Name} {
			ts.Setenv(args[0]+"_"+name, value)
		}
		return
	}
	ts.Fatalf("the sandbox has no other ordinary pair")
}

// cmdStranger chooses a tenant that only its name connects with a company.
func cmdStranger(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "stranger NAME")
	for _, v := range sandboxOf(ts).Truth().VendorOnly {
		if v.Reason == plan.NameOnly && v.Really != "" {
			ts.Setenv(args[0]+"_TENANT", v.Tenant)
			ts.Setenv(args[0]+"_COMPANY", v.Really)
			return
		}
	}
	ts.Fatalf("the sandbox has no such tenant; it has one from 8 customers on")
}

// seatCount is how many seats each subscription and each line has; what ended has none.
type seatCount struct{ vendor, psa map[string]int }

// link is the custom field that names a line's subscription.
const link = "Vendor Subscription Id"

func count(box *sandbox.Sandbox) (seats seatCount, lineOf map[string][]string) {
	seats, lineOf = seatCount{map[string]int{}, map[string]int{}}, map[string][]string{}
	for _, sub := range box.Vendor().Dump().Subscriptions {
		seats.vendor[sub.ID] = 0
		if sub.Status == "active" {
			seats.vendor[sub.ID] = sub.Quantity
		}
	}
	for _, line := range box.PSA().Dump()["addition"] {
		id := fmt.Sprint(line["id"])
		seats.psa[id] = 0
		if line["cancelledDate"] != nil {
			continue
		}
		seats.psa[id] = whole(line["quantity"])
		if sub := customField(line, link); sub != "" {
			lineOf[sub] = append(lineOf[sub], id)
		}
	}
	return seats, lineOf
}

func whole(quantity any) int {
	n, err := strconv.Atoi(strings.TrimSuffix(fmt.Sprint(quantity), ".0"))
	if err != nil {
		panic(err) // the worlds of these tests hold whole seats
	}
	return n
}

func customField(record map[string]any, caption string) string {
	text, err := json.Marshal(record["customFields"])
	if err != nil {
		panic(err)
	}
	var fields []struct{ Caption, Value string }
	_ = json.Unmarshal(text, &fields) // numbers among the values are of other fields
	for _, f := range fields {
		if f.Caption == caption {
			return strings.ToLower(f.Value)
		}
	}
	return ""
}

// written counts the writes that each side was sent.
func written(box *sandbox.Sandbox) map[string]int {
	n := map[string]int{}
	for _, r := range box.Requests() {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(r.Path, "/oauth2/token") && !strings.HasPrefix(r.Path, "/v1/validations/") {
			n[r.Side]++
		}
	}
	return n
}

func cmdMark(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNot(ts, neg)
	d := deskOf(ts)
	d.before, _ = count(sandboxOf(ts))
	d.writes = written(d.box)
}

// cmdLowered fails when nothing was lowered or ended since the mark; with ! when something was.
func cmdLowered(ts *testscript.TestScript, neg bool, _ []string) {
	d := deskOf(ts)
	now, _ := count(sandboxOf(ts))
	var lowered []string
	for _, side := range []struct {
		name          string
		before, after map[string]int
	}{{"subscription", d.before.vendor, now.vendor}, {"line", d.before.psa, now.psa}} {
		for id, seats := range side.before {
			if after, there := side.after[id]; !there || after < seats {
				lowered = append(lowered, fmt.Sprintf("%s %s: %d -> %d", side.name, id, seats, after))
			}
		}
	}
	if (len(lowered) > 0) == neg {
		ts.Fatalf("lowered or ended: %q", lowered)
	}
}

func cmdWrites(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "writes SIDE N")
	d := deskOf(ts)
	if got := written(sandboxOf(ts))[args[0]] - d.writes[args[0]]; strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s was sent %d writes since the mark", args[0], got)
	}
}

func cmdBilled(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 3, "billed SIDE ID N")
	seats, _ := count(sandboxOf(ts))
	got, there := map[string]map[string]int{"vendor": seats.vendor, "psa": seats.psa}[args[0]][args[1]]
	if !there || strconv.Itoa(got) != args[2] {
		ts.Fatalf("%s %s has %d seats (there: %t)", args[0], args[1], got, there)
	}
}

// cmdInStep compares both sides: no subscription is on two lines, none that should be billed is on no line, and seats agree.
func cmdInStep(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNot(ts, neg)
	box := sandboxOf(ts)
	seats, lineOf := count(box)
	checked := 0
	for _, sub := range box.Truth().Subscriptions {
		lines := lineOf[strings.ToLower(sub.ID)]
		billed := sub.Expect == sandbox.ExpectLinked || sub.Expect == sandbox.ExpectCreate || sub.Expect == sandbox.ExpectAdopt
		switch {
		case len(lines) > 1 && sub.Expect != sandbox.ExpectPerson:
			ts.Fatalf("subscription %s is on the lines %v", sub.ID, lines)
		case !billed || sub.Status != "active":
		case len(lines) == 0:
			ts.Fatalf("subscription %s of tenant %s is on no line", sub.ID, sub.Tenant)
		case seats.vendor[sub.ID] != seats.psa[lines[0]]:
			ts.Fatalf("subscription %s has %d seats, line %s %d", sub.ID, seats.vendor[sub.ID], lines[0], seats.psa[lines[0]])
		default:
			checked++
		}
	}
	if checked < 5 {
		ts.Fatalf("only %d subscriptions were compared", checked)
	}
}
