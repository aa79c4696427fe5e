package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/vault"
)

// whole is a flow in which every key has a line of its own.
const whole = `version: 1
flow: main
vendor: shop
psa: desk
schedule: "*/5 * * * *"
mode: write
customers:
  match: [link, domains]
  missing:
    psa: create
    vendor: ignore
  fields:
    name: {owner: psa}
products:
  match: [key]
  missing: {psa: create}
contracts:
  type: Cloud Services
  per: customer
  missing: {psa: create}
lines:
  first: vendor
  count: purchased
  missing: {psa: create}
  fields:
    quantity: {owner: both, conflict: highest}
    unit_cost: {owner: vendor, put_back: true}
guards:
  per_change: {increase: 25, decrease: 5, share: 60%, cost: 500 GBP, drop: 0.01 GBP}
  per_customer: {share: 100%, count: 20, drop: 500 GBP}
  per_run: {cost: 0.01 GBP, bill: 500 GBP}
  together: 36h
  decrease: hold
  cancel: term_end
tell: {renewal: {days: [90, 14]}}
approve: {people: 2}
`

// values stand where others should.
var values = []string{"", "''", "x", "1", "0", "-1", "1e999999999", "99999999999999999999", "30%", "100%", "0%", "5 GBP", "-5 GBP", "1e999999999 GBP", "5 Pfund", "true", "[]", "[x]", "{}", "{x: 1}",
	"[1, 1]", "24h", "run", "0h", "1e9h", "hold", "write", "vendor", "both", "create", "\"* * * * *\"", "\"TZ=x * * * * *\"", "\"0 0 31 2 *\"", "${env:SHOP_SECRET}", "${file:/x}", "*a", "!!binary aGk=", "|\n    text", "~"}

var afterKey = regexp.MustCompile(`: [^\n]*`)

// A flow of which some values were exchanged for others, and some lines taken out, doubled or moved in, is loaded or complained about at a line
// that it has. One that is loaded is within what the engine can do.
func FuzzFlow(f *testing.F) {
	for _, seed := range []string{"", "\x00\x05\x02", "\x01\x1c\x06\x00\x1d\x0c", "\x02\x09\x00\x03\x0a\x00", "\x00\x1e\x15\x00\x1f\x16\x00\x20\x19", "\x00\x1a\x09\x00\x1b\x07"} {
		f.Add([]byte(seed))
	}
	good, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		lines := strings.Split(strings.TrimSuffix(whole, "\n"), "\n")
		for edit := range slices.Chunk(edits, 3) {
			if len(edit) < 3 || len(lines) < 2 {
				break
			}
			at, with := int(edit[1])%len(lines), values[int(edit[2])%len(values)]
			switch edit[0] % 5 {
			case 0:
				lines[at] = afterKey.ReplaceAllLiteralString(lines[at], ": "+with)
			case 1: // a value inside braces
				lines[at] = strings.Replace(lines[at], ": "+firstValue(lines[at]), ": "+with, 1)
			case 2:
				lines = slices.Delete(lines, at, at+1)
			case 3:
				lines = slices.Insert(lines, at, lines[at])
			case 4:
				lines[at] = "  " + lines[at]
			}
		}
		flow := strings.Join(lines, "\n") + "\n"
		dir := t.TempDir()
		write := func(name string, data []byte) {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("trueup.yaml", good.Files[0].Data)
		write("flows/main.yaml", []byte(flow))
		c, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems(), env, vault.Memory())
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v; want exactly one of them", c, err)
		}
		if err != nil {
			if !diag.IsBadFile(err) || !strings.Contains(err.Error(), "main.yaml:") {
				t.Errorf("got %v; want complaints about places in the flow\n%s", err, flow)
			}
			return
		}
		fl := c.Flows[0]
		g := fl.Guards
		if !slices.Contains([]engine.Mode{engine.ModeObserve, engine.ModePropose, engine.ModeWrite}, fl.Mode) || fl.Name == "" || fl.Schedule == "" || len(fl.Lines.Fields) == 0 || len(fl.TermEnds) == 0 ||
			g.Together < 0 || g.PerCustomer.Share < 1 || g.PerCustomer.Share > 100 || g.PerRun.Share < 1 || g.PerRun.Share > 100 || g.PerRun.Count < 0 || fl.Approvals < 0 {
			t.Errorf("loaded as %+v from\n%s", fl, flow)
		}
	})
}

// firstValue is the first value inside the braces of a line.
func firstValue(line string) string {
	_, inside, _ := strings.Cut(line, "{")
	_, value, _ := strings.Cut(inside, ": ")
	if end := strings.IndexAny(value, ",}"); end >= 0 {
		value = value[:end]
	}
	return value
}
