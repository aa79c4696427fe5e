package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// demoMark begins every file that the demo writes and may overwrite.
const demoMark = "# Written by trueup demo; the next demo overwrites it.\n"

func (a *app) demoCommand() *cobra.Command {
	var o sandbox.Options
	var once bool
	var folder string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole product on a pretend MSP: no accounts, no network",
		Long: `demo starts the sandbox, connects to it over HTTP as to the real systems, and goes through the main job: discover, link, plan,
apply, and plan again with nothing left to do; then a seat count is changed by hand on either side and the other side follows. It
leaves the daemon running so that you can try things; --once ends by itself.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			d := &demo{app: a, folder: folder}
			return d.run(c.Context(), o, once)
		},
	}
	sandboxFlags(c.Flags(), &o)
	c.Flags().BoolVar(&once, "once", false, "end after the tour instead of leaving the daemon running")
	c.Flags().StringVar(&folder, "folder", "trueup-demo", "where the demo keeps its configuration and state; made anew each time")
	return c
}

// demo is the guided tour.
type demo struct {
	*app
	folder   string
	sandbox  *sandbox.Sandbox
	step     int
	lastLink string // the pair that was edited last
	lastLine string
}

func (d *demo) run(ctx context.Context, o sandbox.Options, once bool) (err error) {
	if err := d.clean(); err != nil {
		return err
	}
	if d.sandbox, err = sandbox.Start(ctx, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sandbox.Close()) }()
	d.title("A pretend MSP")
	d.tell("Two stand-ins are listening on this machine: Microsoft Partner Center at %s and ConnectWise PSA at %s.", d.sandbox.Connection().Vendor.API, d.sandbox.Connection().PSA.Site)
	d.tell("They refuse what the real ones refuse. trueup reaches them over HTTP like the real ones. What they hold:")
	overview, _, _ := strings.Cut(d.sandbox.Truth().Summary(), "\ndrift\n")
	fmt.Fprintln(d.stdout, indent(overview))
	if err := d.configure(); err != nil {
		return err
	}
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	flow := s.Flows[0]
	for _, scene := range []func(context.Context, *session, engine.Flow) error{d.check, d.discover, d.firstPlan, d.applyAll, d.nothingLeft, d.editPSA, d.editVendor, d.lowerLate, d.explain, d.acceptQuote} {
		if err := scene(ctx, s, flow); err != nil {
			return err
		}
	}
	if once {
		d.title("The end")
		d.tell("Everything stays in %s: look with trueup -c %s status. Without --once the daemon would keep running here.", d.folder, d.configFile)
		return nil
	}
	return d.leaveRunning(ctx, s)
}

// clean makes the folder anew. It only ever deletes a folder that a demo wrote.
func (d *demo) clean() error {
	d.configFile = filepath.Join(d.folder, "trueup.yaml")
	source, err := os.ReadFile(d.configFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		entries, err := os.ReadDir(d.folder)
		if err == nil && len(entries) > 0 {
			return usageError{fmt.Errorf("folder %s is not empty and no demo wrote it; name another one with --folder", d.folder)}
		}
	case err != nil:
		return err
	case !strings.HasPrefix(string(source), demoMark):
		return usageError{fmt.Errorf("%s was not written by a demo; name another folder with --folder", d.configFile)}
	}
	if err := os.RemoveAll(d.folder); err != nil {
		return fmt.Errorf("empty the demo's folder: %w", err)
	}
	return os.MkdirAll(filepath.Join(d.folder, "flows"), 0o750)
}

// configure writes the demo's configuration: what an MSP would write, with the sandbox's addresses.
func (d *demo) configure() error {
	connection := d.sandbox.Connection()
	var yaml strings.Builder
	yaml.WriteString(demoMark + "version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\naccounts:\n")
	secrets := map[string]string{}
	for name, value := range connection.Env {
		secrets["${env:"+name+"}"] = strings.ToLower(name)
		if err := os.WriteFile(filepath.Join(d.folder, strings.ToLower(name)), []byte(value+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the demo's credentials: %w", err)
		}
	}
	for _, account := range []struct {
		name, system string
		settings     map[string]string
		budget       connectors.Budget
	}{{"microsoft", connection.Vendor.System, connection.Vendor.Settings, connection.Vendor.Budget},
		{"psa", connection.PSA.System, connection.PSA.Settings, connection.PSA.Budget}} {
		fmt.Fprintf(&yaml, "  %s:\n    system: %s\n    budget: {per_minute: %d, parallel: %d}\n    settings:\n", account.name, account.system, account.budget.PerMinute, account.budget.Parallel)
		for _, key := range slices.Sorted(maps.Keys(account.settings)) {
			value := account.settings[key]
			if file, secret := secrets[value]; secret {
				value = "${file:" + file + "}"
			}
			fmt.Fprintf(&yaml, "      %s: %q\n", key, value)
		}
	}
	yaml.WriteString("flows: [flows/*.yaml]\n")
	if err := os.WriteFile(d.configFile, []byte(yaml.String()), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	return os.WriteFile(filepath.Join(d.folder, "flows", "microsoft-connectwise.yaml"), []byte(demoMark+demoFlow+demoQuotes), 0o600)
}

// demoFlow writes by itself, so that the daemon at the end follows edits.
const demoFlow = `version: 1
flow: microsoft-connectwise
vendor: microsoft
psa: psa
schedule: "* * * * *"
mode: write
customers:
  match: [link, tenant_ids, domains, tax_id, name]
  missing: {psa: propose, vendor: ignore}
products:  {missing: {psa: create}}
contracts: {type: Cloud Services, per: customer, missing: {psa: create}}
lines:
  first: vendor
  missing: {psa: create}
  fields:
    quantity:    {owner: both, conflict: hold}
    unit_cost:   {owner: vendor}
    unit_price:  {owner: psa}
guards:
  per_change:   {increase: 50, cost: 5000 GBP}
  per_customer: {share: 80%}
  per_run:      {share: 25%, cost: 50000 GBP}
`

func (d *demo) check(ctx context.Context, s *session, _ engine.Flow) error {
	d.title("Check: can we sign in, what may we do, for whom?")
	for _, ac := range s.Accounts {
		report, err := s.engine.Accounts[ac.Name].Connector.Check(ctx)
		if err != nil {
			return err
		}
		writeChecks(d.stdout, []checkJSON{checkOf(ac.Name, ac.System, report, nil)})
	}
	return nil
}

func (d *demo) discover(ctx context.Context, s *session, _ engine.Flow) error {
	d.title("Discover: read everything, and know whether it was everything")
	var runs []state.Run
	for _, ac := range s.Accounts {
		p := newProgress(d.stderr)
		s.engine.Progress = p.tell
		run, err := s.engine.Discover(ctx, ac.Name, state.TriggerManual)
		p.done()
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	table(d.stdout, runRows(runs))
	return nil
}

func (d *demo) firstPlan(ctx context.Context, s *session, flow engine.Flow) error {
	d.title("Plan: what would be written, why, and what it does to the bill")
	d.tell("Nothing is written yet. Subscriptions that nothing bills get a contract line; lines that differ follow; what is not certain is held.")
	result, err := d.runFlow(ctx, s, flow, engine.Options{})
	if err != nil {
		return err
	}
	return plan.Render(d.stdout, result.Plan, plan.FormatText, 4)
}

func (d *demo) applyAll(ctx context.Context, s *session, flow engine.Flow) error {
	d.title("Apply: each write is in the journal before it is sent, and read back after")
	start := time.Now()
	result, err := d.runFlow(ctx, s, flow, engine.Options{Apply: true})
	if err != nil {
		return err
	}
	if err := d.showOutcome(result); err != nil && !errors.Is(err, errHeld) {
		return err
	}
	d.tell("That took %s.", time.Since(start).Round(100*time.Millisecond))
	return nil
}

func (d *demo) nothingLeft(ctx context.Context, s *session, flow engine.Flow) error {
	d.title("Plan again: nothing left to do")
	return d.mustBeEmpty(ctx, s, flow)
}

// mustBeEmpty fails the demo when a plan still wants to write something.
func (d *demo) mustBeEmpty(ctx context.Context, s *session, flow engine.Flow) error {
	result, err := d.runFlow(ctx, s, flow, engine.Options{})
	if err != nil {
		return err
	}
	if !result.Plan.Empty() {
		_ = plan.Render(d.stdout, result.Plan, plan.FormatText, shortList)
		return errors.New("the second plan is not empty: this is a bug in trueup")
	}
	c := result.Plan.Counts
	fmt.Fprintf(d.stdout, "  %d pairs compared, %d in step, 0 changes; %d held and %d findings wait for a person (trueup inbox)\n", c.Pairs, c.InStep, len(result.Plan.Held), len(result.Plan.Findings))
	return nil
}

// editPSA changes a quantity on a contract, as a PSA user would, and lets the vendor follow.
func (d *demo) editPSA(ctx context.Context, s *session, flow engine.Flow) error {
	link, seats, err := d.somePair(ctx, s, flow, func(connectors.Record) bool { return true })
	if err != nil {
		return err
	}
	d.title("A PSA user adds two seats on a contract line")
	if err := d.edit(ctx, map[string]any{"side": "psa", "kind": "addition", "id": link.PSA.ID, "set": map[string]any{"quantity": seats + 2}}); err != nil {
		return err
	}
	return d.follow(ctx, s, flow, link, 1)
}

// lowerLate takes seats off a contract line after the vendor's window for them has closed.
func (d *demo) lowerLate(ctx context.Context, s *session, flow engine.Flow) error {
	link, seats, err := d.somePair(ctx, s, flow, func(sub connectors.Record) bool {
		reducible, told := sub.Fields["refundableQuantity.totalQuantity"].Quantity()
		return sub.Fields["termDuration"].String() == "P1Y" && sub.Fields["billingCycle"].String() == "monthly" && told && reducible.Sign() == 0 && sub.Fields["termEndAction"].Blank() && !sub.Fields["isTrial"].True() &&
			strings.EqualFold(sub.Fields["status"].String(), "active")
	})
	if errors.Is(err, errNoPair) {
		return nil // a small world may hold none
	}
	if err != nil {
		return err
	}
	d.title("A PSA user takes two seats off, long after the vendor's window has closed")
	if err := d.edit(ctx, map[string]any{"side": "psa", "kind": "addition", "id": link.PSA.ID, "set": map[string]any{"quantity": seats - 2}}); err != nil {
		return err
	}
	return d.follow(ctx, s, flow, link, 2)
}

// editVendor changes a quantity in the vendor's portal and lets the contract follow.
func (d *demo) editVendor(ctx context.Context, s *session, flow engine.Flow) error {
	link, seats, err := d.somePair(ctx, s, flow, func(connectors.Record) bool { return true })
	if err != nil {
		return err
	}
	d.title("Somebody adds a seat in the vendor's portal")
	if err := d.edit(ctx, map[string]any{"side": "vendor", "kind": "subscription", "parent": link.Vendor.Parent, "id": link.Vendor.ID, "set": map[string]any{"quantity": seats + 1}}); err != nil {
		return err
	}
	return d.follow(ctx, s, flow, link, 1)
}

// follow plans, applies, shows both sides and plans again.
func (d *demo) follow(ctx context.Context, s *session, flow engine.Flow, link state.Link, writes int) error {
	result, err := d.runFlow(ctx, s, flow, engine.Options{Apply: true})
	if err != nil {
		return err
	}
	for _, c := range result.Plan.Changes {
		for _, f := range c.Fields {
			fmt.Fprintf(d.stdout, "  %s in %s: %s · %s: %s %s -> %s (%s)\n", c.Op, c.Account, c.Customer, c.Label, f.Field, f.From, f.To, f.Reason.Sentence())
		}
		if c.AtEnd != nil {
			fmt.Fprintf(d.stdout, "    %s\n", c.AtEnd.Text())
		}
	}
	if result.Outcome.Done != writes {
		return fmt.Errorf("expected %d writes, there were %d: this is a bug in trueup", writes, result.Outcome.Done)
	}
	d.lastLink, d.lastLine = link.ID, link.PSA.ID
	line, err := s.engine.Accounts[link.PSA.Account].Connector.(connectors.Reader).Read(ctx, connectors.Ref{Kind: link.PSA.Kind, ID: link.PSA.ID, Parent: link.PSA.Parent})
	if err != nil {
		return err
	}
	if note := line.Fields["custom.Vendor Status"].String(); result.Told.Done > 0 {
		fmt.Fprintf(d.stdout, "  on the line in the PSA: %s\n", note)
	}
	return d.mustBeEmpty(ctx, s, flow)
}

func (d *demo) explain(ctx context.Context, s *session, _ engine.Flow) error {
	d.title("Why is this number what it is?")
	chains, err := s.engine.Why(ctx, s.Flows, d.lastLink)
	if err != nil {
		return err
	}
	for _, c := range chains {
		writeChain(d.stdout, c)
	}
	return nil
}

var errNoPair = errors.New("the sandbox holds no ordinary pair; use another --seed")

// somePair finds an ordinary linked pair with seats to spare, whose subscription fits.
func (d *demo) somePair(ctx context.Context, s *session, flow engine.Flow, fits func(sub connectors.Record) bool) (state.Link, int64, error) {
	seats := map[string]int64{}
	var ordinary []state.Link
	err := s.store.LinksWithMemory(ctx, flow.Name, model.KindLine, "", func(l state.Link, m state.Memory) error {
		vendor, psa := m.Vendor.Fields["quantity"], m.PSA.Fields["quantity"]
		if q, ok := psa.Quantity(); ok && vendor == psa && q.Int() >= 5 && q.Int() <= 20 {
			ordinary, seats[l.ID] = append(ordinary, l), q.Int()
		}
		return nil
	})
	if err != nil {
		return state.Link{}, 0, err
	}
	for _, l := range ordinary {
		stored, ok, err := s.store.Record(ctx, l.Vendor.Account, connectors.Ref{Kind: l.Vendor.Kind, ID: l.Vendor.ID, Parent: l.Vendor.Parent})
		if err != nil {
			return l, 0, err
		}
		if ok && fits(stored.Record) {
			return l, seats[l.ID], nil
		}
	}
	return state.Link{}, 0, errNoPair
}

// edit changes a record through the sandbox's control API, as anybody can with curl.
func (d *demo) edit(ctx context.Context, body map[string]any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	url := d.sandbox.Connection().Control + "/v1/edit"
	d.tell("curl %s --json '%s'", url, text)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := d.sandbox.HTTP().Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= 300 {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("the sandbox refused the edit: %s: %s", response.Status, answer)
	}
	return nil
}

// leaveRunning starts the daemon and says what to try.
func (d *demo) leaveRunning(ctx context.Context, s *session) error {
	d.title("Your turn")
	control := d.sandbox.Connection().Control
	d.tell("The daemon runs now and looks every five seconds. In another terminal, in this folder, try:")
	for _, line := range []string{
		fmt.Sprintf("go run ./cmd/trueup -c %s status", d.configFile),
		fmt.Sprintf("go run ./cmd/trueup -c %s inbox", d.configFile),
		fmt.Sprintf("go run ./cmd/trueup -c %s links", d.configFile),
		fmt.Sprintf("go run ./cmd/trueup -c %s why %s", d.configFile, d.lastLink),
		fmt.Sprintf("curl %s/v1/edit --json '{\"side\":\"psa\",\"kind\":\"addition\",\"id\":\"%s\",\"set\":{\"quantity\":21}}'", control, d.lastLine),
		fmt.Sprintf("curl %s/v1               # what the control API can do: edit, misbehave, move the clock", control),
		fmt.Sprintf("curl %s/v1/misbehave/vendor/fault_in_200 --json '{}'   # the vendor answers nonsense: the run says so, nothing is lowered", control),
		fmt.Sprintf("curl %s/v1/misbehave/vendor -X DELETE   # and is well again", control),
	} {
		d.tell("  %s", line)
	}
	d.tell("Stop with Ctrl-C.")
	s.engine.Progress = nil
	flows := slices.Clone(s.Flows)
	flows[0].Schedule = "@every 5s" // a flow file allows a minute at least; nobody wants to wait that long here
	worker := d.daemon(s, flows)
	last := ""
	worker.Finished = func(run state.Run, err error) {
		line := fmt.Sprintf("%s %s: %s %s", run.Kind, run.Name, run.State, run.Reason)
		if n := run.Counts["applied"]; n > 0 {
			line = fmt.Sprintf("%s: %d written", line, n)
		}
		if line != last || run.Counts["applied"] > 0 {
			d.tell("%s  %s", run.Finished.Local().Format(time.TimeOnly), line)
		}
		last = line
	}
	return worker.Run(ctx)
}

func (d *demo) title(text string) {
	d.step++
	fmt.Fprintf(d.stdout, "\n== %d. %s\n\n", d.step, text)
}

func (d *demo) tell(format string, args ...any) { fmt.Fprintf(d.stdout, format+"\n", args...) }

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
