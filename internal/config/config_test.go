package config_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/vault"
	"github.com/trueup-sync/trueup/model"
)

var update = flag.Bool("update", false, "write the complaints that come into testdata; read the difference before you keep it")

// planted stands wherever a secret could: in the environment, in files, in the vault and, wrongly, in the YAML.
const planted = "pl4nted-s3cret"

func systems() map[string]connectors.Descriptor {
	return map[string]connectors.Descriptor{
		"cloudshop": {System: "cloudshop", Role: connectors.RoleVendor, Settings: []connectors.Setting{
			{Name: "tenant", Required: true},
			{Name: "client_secret", Required: true, Secret: true},
			{Name: "refresh_token", Secret: true},
			{Name: "account_type", Default: "direct", Allowed: []string{"direct", "indirect_provider"}},
			{Name: "reseller"},
		}},
		"deskpsa": {System: "deskpsa", Role: connectors.RolePSA, Settings: []connectors.Setting{
			{Name: "site", Required: true},
			{Name: "private_key", Required: true, Secret: true},
		}},
	}
}

func env(name string) (string, bool) {
	value, ok := map[string]string{
		"SHOP_SECRET": planted,
		"PSA_KEY":     planted,
		"PSA_SITE":    "psa.example.com",
		"EMPTY":       "",
	}[name]
	return value, ok
}

// lay writes the files of a test into a folder, on top of good ones: a test shows only what it is about.
func lay(t *testing.T, files []txtar.File) (dir string) {
	t.Helper()
	dir = t.TempDir()
	good, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(good.Files, files...) {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func memory(t *testing.T) connectors.Vault {
	t.Helper()
	v := vault.Memory()
	if err := v.Put(t.Context(), "shop.refresh_token", connectors.NewSecret(planted)); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCustomersBothWays(t *testing.T) {
	t.Parallel()
	c, _ := load(t, txtar.File{Name: "flows/main.yaml", Data: []byte(`version: 1
flow: main
vendor: shop
psa: desk
customers:
  missing: {psa: create, vendor: create}
  new: {types: [Cloud Customer], statuses: [Active, Trial]}
  fields:
    name: {owner: psa}
    billing_address: {owner: psa, put_back: true}
    city: {owner: vendor}
    primary_contact: {owner: vendor}
contracts:
  type: Cloud Services
  per: term
  terms: [{term: P1M, type: Cloud Monthly}, {term: P1Y, billing_cycle: annual, type: Cloud Services, name: Yearly}]
lines: {fields: {quantity: {owner: both}}}
`)})
	psa, vendor := plan.FieldRule{Owner: plan.OwnerPSA, Conflict: plan.ConflictHold}, plan.FieldRule{Owner: plan.OwnerVendor, Conflict: plan.ConflictHold}
	address := plan.FieldRule{Owner: plan.OwnerPSA, Conflict: plan.ConflictHold, PutBack: true}
	customers := engine.CustomerRules{Match: engine.MatchNames(), MissingPSA: engine.MissingCreate, MissingVendor: engine.MissingCreate,
		NewTypes: []string{"Cloud Customer"}, NewStatuses: []string{"Active", "Trial"}, Contact: &vendor,
		Fields: map[string]plan.FieldRule{"name": psa, "address_line1": address, "address_line2": address, "city": vendor, "region": address, "postal_code": address, "country": address}}
	if diff := cmp.Diff(customers, c.Flows[0].Customers); diff != "" {
		t.Errorf("customers (-want +got):\n%s", diff)
	}
	contracts := engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingPropose, Terms: []engine.ContractTerm{
		{Term: "P1M", Type: "Cloud Monthly", Name: "Cloud Monthly"}, {Term: "P1Y", BillingCycle: "annual", Type: "Cloud Services", Name: "Yearly"}}}
	if diff := cmp.Diff(contracts, c.Flows[0].Contracts); diff != "" {
		t.Errorf("contracts (-want +got):\n%s", diff)
	}
}

// TestComplaints: each file in testdata/bad holds one fault, is named for it, and says in "want" what the user reads.
func TestComplaints(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			var files []txtar.File
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
				} else {
					files = append(files, f)
				}
			}
			dir := lay(t, files)
			c, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, memory(t))
			if !diag.IsBadFile(err) || c != nil {
				t.Fatalf("got %v, %v; want complaints about a file and nothing else", c, err)
			}
			got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
			if strings.Contains(got, planted) {
				t.Errorf("a complaint shows a secret:\n%s", got)
			}
			if *update {
				archive.Files = append(files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

func load(t *testing.T, files ...txtar.File) (c *config.Config, dir string) {
	t.Helper()
	dir = lay(t, files)
	c, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, memory(t))
	if err != nil {
		t.Fatal(err)
	}
	return c, dir
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	c, dir := load(t,
		txtar.File{Name: "key.txt", Data: []byte("\ufeff" + planted + "\r\n")},
		txtar.File{Name: "my.yaml", Data: []byte("anything")},
		txtar.File{Name: "trueup.yaml", Data: []byte(`version: 1
state: sqlite:data/main.db
timezone: Europe/London
tenant: north-1
accounts:
  shop:
    system: cloudshop
    settings:
      tenant: 007
      client_secret: ${env:SHOP_SECRET}
      refresh_token: ${secret:shop.refresh_token}
    discover: "@daily"
    mapping: my.yaml
    budget: {per_minute: 60, parallel: 2}
  desk:
    system: deskpsa
    settings: {site: "https://${env:PSA_SITE}/api", private_key: "${file:key.txt}"}
`)})
	if got, want := c.State, "sqlite:"+filepath.Join(dir, "data", "main.db"); got != want {
		t.Errorf("state: got %q, want %q", got, want)
	}
	if c.Tenant != "north-1" {
		t.Errorf("tenant: got %q", c.Tenant)
	}
	if got, want := c.StateDir, filepath.Join(dir, "data"); got != want {
		t.Errorf("folder of the state: got %q, want %q", got, want)
	}
	if c.Timezone.String() != "Europe/London" {
		t.Errorf("time zone: got %s", c.Timezone)
	}
	want := []config.AccountConfig{
		{
			Name: "desk", System: "deskpsa",
			Settings: map[string]string{"site": "https://psa.example.com/api"},
			Secrets:  map[string]connectors.Secret{"private_key": connectors.NewSecret(planted)},
			Discover: "0 6,18 * * *",
			Pos:      diag.Pos{File: c.File, Line: 15, Column: 3},
		},
		{
			Name: "shop", System: "cloudshop",
			Settings: map[string]string{"tenant": "007", "account_type": "direct"},
			Secrets: map[string]connectors.Secret{
				"client_secret": connectors.NewSecret(planted),
				"refresh_token": connectors.NewSecret(planted),
			},
			Discover: "@daily",
			Mapping:  filepath.Join(dir, "my.yaml"),
			Budget:   connectors.Budget{PerMinute: 60, Parallel: 2},
			Pos:      diag.Pos{File: c.File, Line: 6, Column: 3},
		},
	}
	if diff := cmp.Diff(want, c.Accounts, secretsByText); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if a, ok := c.Account("shop"); !ok || a.System != "cloudshop" {
		t.Errorf("account shop: got %v, %v", a, ok)
	}
	if _, ok := c.Account("other"); ok {
		t.Error("found an account that is not there")
	}
	if shown := fmt.Sprintf("%v %+v %#v", c, c.Accounts, c.Accounts); strings.Contains(shown, planted) {
		t.Errorf("printing the configuration shows a secret: %s", shown)
	}
}

var secretsByText = cmp.Comparer(func(a, b connectors.Secret) bool { return a.Reveal() == b.Reveal() })

func TestAFlowThatSaysLittleIsCautious(t *testing.T) {
	t.Parallel()
	c, dir := load(t, txtar.File{Name: "flows/main.yaml", Data: []byte(`version: 1
flow: main
vendor: shop
psa: desk
contracts: {type: Cloud Services}
lines: {fields: {quantity: {owner: both}}}
`)})
	want := engine.Flow{
		Name: "main", File: filepath.Join(dir, "flows", "main.yaml"), Vendor: "shop", PSA: "desk",
		Schedule: "*/5 * * * *", Mode: engine.ModePropose,
		Customers: engine.CustomerRules{
			Match:      []string{"link", "tenant_ids", "domains", "tax_id", "name"},
			MissingPSA: engine.MissingPropose, MissingVendor: engine.MissingPropose,
		},
		Products:  engine.ProductRules{MissingPSA: engine.MissingPropose},
		Contracts: engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingPropose},
		Lines: engine.LineRules{
			First: plan.FirstHold, MissingPSA: engine.MissingPropose, Refused: plan.RefusalHold,
			Fields: map[string]plan.FieldRule{"quantity": {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold}},
		},
		Guards:   plan.Guards{PerCustomer: plan.GroupLimit{Share: 50}, PerRun: plan.GroupLimit{Share: 10}, Together: 24 * time.Hour, Decrease: plan.DecreaseWindow, Cancel: plan.CancelHold},
		TermEnds: []int{60, 30, 10},
		Tell:     engine.TellRules{Lines: engine.TellNote},
	}
	if diff := cmp.Diff([]engine.Flow{want}, c.Flows, cmpopts.EquateEmpty(), cmpopts.EquateComparable(model.Day{})); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
}

func TestAFlowThatSaysEverything(t *testing.T) {
	t.Parallel()
	c, dir := load(t, txtar.File{Name: "flows/main.yaml", Data: []byte(`version: 1
flow: main
vendor: shop
psa: desk
schedule: "30 7 * * 1-5"
mode: write
customers:
  match: [link, domains]
  missing: {psa: ignore, vendor: ignore}
  fields:
    name: {owner: psa, put_back: true}
products:
  match: [key]
  missing: {psa: create}
contracts: {type: Cloud Services, per: customer, missing: {psa: create}}
lines:
  first: vendor
  count: larger(purchased - 5, 10)
  group: product
  missing: {psa: create}
  refused: put_back
  fields:
    quantity: {owner: both, conflict: highest}
    unit_cost: {owner: vendor}
bundles:
  - {line: WORKPLACE, of: {"CFQ7TTC0LCHC:0002 P1Y monthly": 1, "CFQ7TTC0LH18:0001 P1M monthly": 2}}
guards:
  per_change: {increase: 25, decrease: 5, share: 60%, cost: 500 GBP, drop: 0.01 GBP}
  per_customer: {share: 100%, increase: 25, decrease: 5, count: 20, drop: 500 GBP}
  per_run: {cost: 0.01 GBP, bill: 500 GBP}
  together: 36h
  decrease: hold
  cancel: term_end
  credit_hold: increase
  freeze:
    - {from: 2031-12-20, to: 2032-01-02}
    - {days: [Friday, sunday], from: 17:30, to: 06:00}
quotes: {since: 2031-03-01, when: [Won, Signed], approve: guards, price_tolerance: 2%}
approve: {people: 2, by: [ticket], expires: 3 days, ticket: {approved: Approved, rejected: Rejected}}
tell:
  lines: nothing
  renewal: {days: [90, 14], ticket: {board: Sales, status: New, closed: Closed}}
  unused: {after: 30 days}
  held: {ticket: {board: Cloud, status: New, closed: Completed, type: Subscription, priority: High, company: "Us, the MSP"}}
  open_tickets: 7
`)})
	cost, cent := money(t, "500 GBP"), money(t, "0.01 GBP")
	increase, decrease := model.NewQuantity(25), model.NewQuantity(5)
	count, err := plan.ParseCount("larger(purchased - 5, 10)")
	if err != nil {
		t.Fatal(err)
	}
	want := engine.Flow{
		Name: "main", File: filepath.Join(dir, "flows", "main.yaml"), Vendor: "shop", PSA: "desk",
		Schedule: "30 7 * * 1-5", Mode: engine.ModeWrite,
		Customers: engine.CustomerRules{
			Match:      []string{"link", "domains"},
			MissingPSA: engine.MissingIgnore, MissingVendor: engine.MissingIgnore,
			Fields: map[string]plan.FieldRule{"name": {Owner: plan.OwnerPSA, Conflict: plan.ConflictHold, PutBack: true}},
		},
		Products:  engine.ProductRules{MissingPSA: engine.MissingCreate},
		Contracts: engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingCreate},
		Lines: engine.LineRules{
			First: plan.FirstVendor, MissingPSA: engine.MissingCreate, Refused: plan.RefusalPutBack, Count: count, Group: engine.GroupProduct,
			Fields: map[string]plan.FieldRule{
				"quantity":  {Owner: plan.OwnerBoth, Conflict: plan.ConflictHighest},
				"unit_cost": {Owner: plan.OwnerVendor, Conflict: plan.ConflictHold},
			},
		},
		Bundles: []engine.Bundle{{Product: "WORKPLACE", Of: []engine.BundlePart{{Product: "CFQ7TTC0LCHC:0002 P1Y monthly", Ratio: 1}, {Product: "CFQ7TTC0LH18:0001 P1M monthly", Ratio: 2}}}},
		Guards: plan.Guards{
			PerChange:   plan.ChangeLimit{Increase: &increase, Decrease: &decrease, Share: 60, Cost: &cost, Drop: &cent},
			PerCustomer: plan.GroupLimit{Share: 100, Increase: &increase, Decrease: &decrease, Count: 20, Drop: &cost},
			PerRun:      plan.GroupLimit{Share: 10, Cost: &cent, Bill: &cost},
			Together:    36 * time.Hour,
			Decrease:    plan.DecreaseHold,
			Cancel:      plan.CancelTermEnd,
		},
		TermEnds:  []int{90, 14},
		Unused:    30,
		Quotes:    engine.QuoteRules{Since: model.NewDay(2031, 3, 1), When: []string{"Won", "Signed"}, Approve: engine.ApproveGuards, Tolerance: 2},
		Approvals: 2,
		Approve:   engine.ApproveRules{NoCLI: true, Tickets: true, Approved: "Approved", Rejected: "Rejected", Expires: 72 * time.Hour},
		Freeze: []plan.Freeze{{From: model.NewDay(2031, 12, 20), To: model.NewDay(2032, 1, 2)},
			{Days: []time.Weekday{time.Friday, time.Sunday}, Begin: 17*60 + 30, End: 6 * 60}},
		CreditHold: true,
		Tell: engine.TellRules{Lines: engine.TellNothing, Most: 7, Tickets: map[engine.Purpose]engine.TicketRules{
			engine.TellRenewal: {Board: "Sales", Status: "New", Closed: "Closed"},
			engine.TellHeld:    {Board: "Cloud", Status: "New", Closed: "Completed", Type: "Subscription", Priority: "High", Company: "Us, the MSP"},
		}},
	}
	got, ok := c.Flow("main")
	if !ok {
		t.Fatal("no flow main")
	}
	byText := cmp.Options{
		cmp.Comparer(func(a, b model.Money) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b model.Quantity) bool { return a.String() == b.String() }),
		cmpopts.EquateComparable(model.Day{}),
	}
	if diff := cmp.Diff(want, got, byText); diff != "" {
		t.Errorf("flow (-want +got):\n%s", diff)
	}
}

func money(t *testing.T, text string) model.Money {
	t.Helper()
	m, err := model.ParseMoney(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFlowsComeInFileOrderAndOnce(t *testing.T) {
	t.Parallel()
	flow := func(name string) []byte {
		return []byte("version: 1\nflow: " + name + "\nvendor: shop-" + name + "\npsa: desk\ncontracts: {type: " + name +
			"}\nlines: {fields: {quantity: {owner: both}}}\n")
	}
	source, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(source.Files[0].Data), "flows: [flows/*.yaml]", "flows: [flows/z.yaml, flows/*.yaml]", 1)
	for _, name := range []string{"first-named", "second"} {
		account := "accounts:\n  shop-" + name + ":\n    system: cloudshop\n    settings: {tenant: example, client_secret: \"${env:SHOP_SECRET}\"}\n"
		text = strings.Replace(text, "accounts:\n", account, 1)
	}
	c, _ := load(t,
		txtar.File{Name: "trueup.yaml", Data: []byte(text)},
		txtar.File{Name: "flows/z.yaml", Data: flow("first-named")},
		txtar.File{Name: "flows/b.yaml", Data: flow("second")},
	)
	var names []string
	for _, f := range c.Flows {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"second", "main", "first-named"}, names); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
}

// Without a vault in hand, Load opens the one beside the state, and a token stored there is found by the next start.
func TestTheVaultBesideTheState(t *testing.T) {
	t.Parallel()
	dir := lay(t, nil)
	path := filepath.Join(dir, "trueup.yaml")
	c, err := config.Load(path, systems(), env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Vault.Put(t.Context(), "shop.refresh_token", connectors.NewSecret("rotated")); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(source), "${env:SHOP_SECRET}", "${env:SHOP_SECRET}\n      refresh_token: ${secret:shop.refresh_token}", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = config.Load(path, systems(), env, nil)
	if err != nil {
		t.Fatal(err)
	}
	shop, _ := c.Account("shop")
	if got := shop.Secrets["refresh_token"].Reveal(); got != "rotated" {
		t.Errorf("refresh token: got %q, want the rotated one", got)
	}
}

type brokenVault struct{}

func (brokenVault) Get(context.Context, string) (connectors.Secret, bool, error) {
	return connectors.Secret{}, false, errors.New("the disk is on fire")
}
func (brokenVault) Put(context.Context, string, connectors.Secret) error { return nil }

func TestAVaultThatFailsIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	dir := lay(t, []txtar.File{{Name: "trueup.yaml", Data: []byte(`version: 1
timezone: Europe/London
accounts:
  desk:
    system: deskpsa
    settings: {site: psa.example.com, private_key: "${secret:desk}"}
`)}})
	_, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, brokenVault{})
	if err == nil || !strings.Contains(err.Error(), "trueup.yaml:6:52: the vault cannot be used: the disk is on fire") {
		t.Errorf("got %v; want the vault's own words and the place", err)
	}
}

func TestAMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(filepath.Join(t.TempDir(), "trueup.yaml"), systems(), env, vault.Memory())
	if !diag.IsBadFile(err) || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), "trueup init") {
		t.Errorf("got %v; want what is missing and what to do", err)
	}
}

// FuzzLoad: whatever stands in the two files, Load answers with a configuration or with complaints about files.
func FuzzLoad(f *testing.F) {
	good, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Files[0].Data, good.Files[1].Data)
	f.Add([]byte("version: 1\naccounts: {a: [}"), []byte("schedule: TZ=\n"))
	f.Add([]byte("state: ${\ntimezone: [x]\naccounts: {? [a] : b}"), []byte("lines: {fields: {quantity: x}}"))
	f.Fuzz(func(t *testing.T, main, flow []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"trueup.yaml": main, "flow.yaml": flow} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, vault.Memory())
		if (c == nil) == (err == nil) {
			t.Errorf("got %v and %v; want exactly one of them", c, err)
		}
		if err != nil && !diag.IsBadFile(err) {
			t.Errorf("got %v; want complaints about a file", err)
		}
	})
}

// A port alone is this machine only; other machines are let in by two lines, never by one.
func TestListen(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	main, _, _ := strings.Cut(strings.TrimPrefix(string(good), "-- trueup.yaml --\n"), "-- flows")
	for lines, want := range map[string]string{
		"":                                      "",
		"listen: 8480\n":                        "127.0.0.1:8480",
		"listen: :8480\n":                       "127.0.0.1:8480",
		"listen: 127.0.0.1:8480\n":              "127.0.0.1:8480",
		"listen: localhost:8480\n":              "localhost:8480",
		"listen: '[::1]:8480'\n":                "[::1]:8480",
		"listen: 8480\nlisten_anywhere: true\n": ":8480",
		"listen: 0.0.0.0:8480\nlisten_anywhere: true\n":   "0.0.0.0:8480",
		"listen: 192.0.2.7:8480\nlisten_anywhere: true\n": "192.0.2.7:8480",
		"listen: 8480\nlisten_anywhere: false\n":          "127.0.0.1:8480",
	} {
		c, _ := load(t, txtar.File{Name: "trueup.yaml", Data: []byte(main + lines)})
		if c.Listen != want {
			t.Errorf("%q listens on %q, want %q", lines, c.Listen, want)
		}
	}
}
