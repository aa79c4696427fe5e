package sandbox_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/sandbox"
	"github.com/trueup-sync/trueup/internal/vault"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// product is trueup on a sandbox, with the printed settings and the flow and mappings that come with it.
func product(t *testing.T, box *sandbox.Sandbox) (*engine.Engine, engine.Flow) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shipped := func(name string) string {
		text, err := fs.ReadFile(configs.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	connection := box.Connection()
	var yaml strings.Builder
	yaml.WriteString("version: 1\nstate: sqlite:trueup.db\ntimezone: Europe/London\nflows: [flows/*.yaml]\naccounts:\n")
	for _, account := range []struct {
		name, system string
		settings     map[string]string
		budget       connectors.Budget
	}{{"microsoft", connection.Vendor.System, connection.Vendor.Settings, connection.Vendor.Budget},
		{"psa", connection.PSA.System, connection.PSA.Settings, connection.PSA.Budget}} {
		fmt.Fprintf(&yaml, "  %s:\n    system: %s\n    budget: {per_minute: %d, parallel: %d}\n    settings:\n", account.name, account.system, account.budget.PerMinute, account.budget.Parallel)
		for name, setting := range account.settings {
			fmt.Fprintf(&yaml, "      %s: %q\n", name, setting)
		}
	}
	write("trueup.yaml", yaml.String())
	write("flows/microsoft-connectwise.yaml", shipped("flows/microsoft-connectwise.yaml"))
	systems := map[string]connectors.System{"partnercenter": partnercenter.System, "connectwise": connectwise.System}
	descriptors := map[string]connectors.Descriptor{}
	for name, system := range systems {
		descriptors[name] = system.Descriptor
	}
	env := func(name string) (string, bool) { value, ok := connection.Env[name]; return value, ok }
	loaded, err := config.Load(filepath.Join(dir, "trueup.yaml"), descriptors, env, vault.Memory())
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(t.Context(), "sqlite:"+filepath.Join(dir, "trueup.db"), state.WithClock(box.Now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	e := &engine.Engine{Store: store, Accounts: map[string]*apply.Account{}, Log: zap.NewNop(), Now: box.Now, Location: loaded.Timezone}
	for _, a := range loaded.Accounts {
		connector, err := systems[a.System].New(connectors.Account{Name: a.Name, Settings: a.Settings, Secrets: a.Secrets, Vault: vault.Memory(),
			HTTP: box.HTTP(), Log: zap.NewNop(), Now: box.Now, Location: loaded.Timezone})
		if err != nil {
			t.Fatal(err)
		}
		var problems diag.List
		name := "mappings/" + a.System + ".yaml"
		m := mapping.Load(name, []byte(shipped(name)), connector.Descriptor(), &problems)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		e.Accounts[a.Name] = &apply.Account{Name: a.Name, Connector: connector, Mapping: m}
	}
	return e, loaded.Flows[0]
}

// The product itself, with what comes with it, finds what the truth tells and nothing else; and once it has done what its
// guards let through, it has nothing new to do.
func TestTheProductFindsTheTruth(t *testing.T) {
	t.Parallel()
	box := open(t, small())
	e, flow := product(t, box)
	flow.Mode = engine.ModeWrite
	result, err := e.Run(t.Context(), flow, engine.Options{Trigger: state.TriggerManual, Apply: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Outcome.Failures) > 0 {
		t.Fatalf("not everything could be done: %v", result.Outcome.Failures)
	}
	truth := box.Truth()
	if len(result.Plan.Partial) > 0 {
		t.Fatalf("it read the world in part only: %v", result.Plan.Partial)
	}

	// What would be done were there no guards.
	reported, creates, ends, changes, holds := map[plan.Reason]int{}, map[string]bool{}, map[string]string{}, map[string]plan.Change{}, map[string]plan.Reason{}
	for _, f := range result.Plan.Findings {
		reported[f.Kind]++
	}
	proposed := result.Plan.Changes
	for _, h := range result.Plan.Held {
		if _, told := truth.Expected[h.Reason]; told {
			reported[h.Reason]++
			holds[h.Change.Pair.Vendor.ID] = h.Reason
			continue
		}
		proposed = append(proposed, h.Change)
	}
	for _, c := range proposed {
		switch id := c.Pair.Vendor.ID; {
		case c.Pair.Kind != model.KindLine && c.Target.Kind != model.KindLine:
		case c.Op == plan.OpCreate:
			creates[id] = true
		case c.Op == plan.OpEnd:
			ends[id] = c.Target.ID
		default:
			changes[id] = c
		}
	}
	if diff := cmp.Diff(truth.Expected, reported); diff != "" {
		t.Errorf("reported (-truth +trueup):\n%s", diff)
	}

	links := map[string]string{}
	err = e.Store.Links(t.Context(), flow.Name, model.KindLine, func(l state.Link) error {
		links[l.Vendor.ID] = l.PSA.ID
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	drift := map[string]bool{}
	for _, d := range truth.Drift {
		drift[d.Subscription] = true
	}
	for _, sub := range truth.Subscriptions {
		paired := links[sub.ID]
		if c, changed := changes[sub.ID]; changed {
			paired = c.Pair.PSA.ID
		}
		right := sub.Line
		if sub.Expect != sandbox.ExpectLinked && sub.Expect != sandbox.ExpectAdopt {
			right = ""
		}
		if sub.Expect == sandbox.ExpectCreate {
			right = paired // made by now, unless a guard holds it
		}
		if paired != right {
			t.Errorf("subscription %s (%s) is paired with line %q, its right one is %q", sub.ID, sub.Expect, paired, right)
		}
		if creates[sub.ID] != (sub.Expect == sandbox.ExpectCreate) {
			t.Errorf("subscription %s: a line is created: %v, the truth expects %s", sub.ID, creates[sub.ID], sub.Expect)
		}
		if holds[sub.ID] != "" != (sub.Expect == sandbox.ExpectHold) || sub.Expect == sandbox.ExpectHold && holds[sub.ID] != sub.Reason {
			t.Errorf("subscription %s is held for %q, the truth says %s %q", sub.ID, holds[sub.ID], sub.Expect, sub.Reason)
		}
		if want := map[bool]string{true: sub.Line}[sub.Expect == sandbox.ExpectEnd]; ends[sub.ID] != want {
			t.Errorf("subscription %s ends line %q, want %q", sub.ID, ends[sub.ID], want)
		}
		for _, f := range changes[sub.ID].Fields {
			if differs := drift[sub.ID]; (f.Field == "quantity" || f.Field == "unit_cost") && !differs {
				t.Errorf("subscription %s: %s changes from %s to %s, and nothing drifted", sub.ID, f.Field, f.From, f.To)
			}
		}
		if _, changed := changes[sub.ID]; drift[sub.ID] && sub.Expect == sandbox.ExpectLinked && !changed {
			t.Errorf("subscription %s drifts and nothing is proposed", sub.ID)
		}
	}

	again, err := e.Run(t.Context(), flow, engine.Options{Trigger: state.TriggerManual, Sweep: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range again.Plan.Changes {
		t.Errorf("the second plan has a change, new or held before: %+v", c)
	}
}
