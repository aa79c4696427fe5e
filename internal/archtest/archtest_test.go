package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/trueup-sync/trueup"

var standard = []string{"os", "time", "net/http", "database/sql"}

func TestRepository(t *testing.T) {
	t.Parallel()
	violations, err := Check(os.DirFS("../.."), module)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
}

// Each case is a tree of one file that breaks one rule, or a neighbour of it that does not.
func TestCheck(t *testing.T) {
	t.Parallel()
	imports := func(pkg string, paths ...string) string {
		var b strings.Builder
		b.WriteString("// Package " + pkg + " is here.\npackage " + pkg + "\n")
		for _, p := range paths {
			if !strings.Contains(p, ".") && !slices.Contains(standard, p) {
				p = module + "/" + p
			}
			b.WriteString("import _ \"" + p + "\"\n")
		}
		return b.String()
	}
	cases := map[string]struct {
		file, source string
		want         []string // each must begin a violation, in order; nil for none
	}{
		"model imports ours":            {"model/money.go", imports("model", "connectors"), []string{"model/money.go:3: model must not import connectors"}},
		"model imports a library":       {"model/money.go", imports("model", "github.com/shopspring/decimal"), nil},
		"plan imports model":            {"engine/plan/plan.go", imports("plan", "model"), nil},
		"plan imports connectors":       {"engine/plan/plan.go", imports("plan", "connectors"), []string{"engine/plan/plan.go:3: engine/plan must not import connectors"}},
		"plan opens files":              {"engine/plan/plan.go", imports("plan", "os"), []string{"engine/plan/plan.go:3: engine/plan must not import os"}},
		"plan speaks":                   {"engine/plan/plan.go", imports("plan", "net/http"), []string{"engine/plan/plan.go:3: engine/plan must not import net/http"}},
		"plan test reads its cases":     {"engine/plan/plan_test.go", imports("plan", "os"), nil},
		"engine reads configuration":    {"engine/run.go", imports("engine", "internal/config"), []string{"engine/run.go:3: engine must not import internal/config"}},
		"engine uses SQL":               {"engine/run.go", imports("engine", "database/sql"), []string{"engine/run.go:3: engine must not import database/sql"}},
		"engine names a vendor":         {"engine/run.go", imports("engine", "connectors/partnercenter"), []string{"engine/run.go:3: engine must not import connectors/partnercenter"}},
		"engine imports its rooms":      {"engine/run.go", imports("engine", "engine/plan", "engine/apply", "mapping", "connectors", "state", "model"), nil},
		"engine test uses memory":       {"engine/run_test.go", imports("engine", "connectors/memory"), nil},
		"contract imports a connector":  {"connectors/connectors.go", imports("connectors", "connectors/memory"), []string{"connectors/connectors.go:3: connectors must not import connectors/memory"}},
		"connector imports another":     {"connectors/one/one.go", imports("one", "connectors/two"), []string{"connectors/one/one.go:3: connectors/one must not import connectors/two"}},
		"connector imports engine":      {"connectors/one/one.go", imports("one", "engine"), []string{"connectors/one/one.go:3: connectors/one must not import engine"}},
		"connector imports plan":        {"connectors/one/one.go", imports("one", "engine/plan"), []string{"connectors/one/one.go:3: connectors/one must not import engine/plan"}},
		"connector imports mapping":     {"connectors/one/one.go", imports("one", "mapping"), []string{"connectors/one/one.go:3: connectors/one must not import mapping"}},
		"connector imports state":       {"connectors/one/one.go", imports("one", "state"), []string{"connectors/one/one.go:3: connectors/one must not import state"}},
		"connector imports SQL":         {"connectors/one/one.go", imports("one", "database/sql"), []string{"connectors/one/one.go:3: connectors/one must not import database/sql"}},
		"connector imports plumbing":    {"connectors/one/one.go", imports("one", "connectors/internal/rest", "connectors", "model"), nil},
		"connector test uses suite":     {"connectors/one/one_test.go", imports("one_test", "connectors/connectortest", "connectors/one", "connectors/one/onetest"), nil},
		"connector uses suite":          {"connectors/one/one.go", imports("one", "connectors/connectortest"), []string{"connectors/one/one.go:3: connectors/one must not import connectors/connectortest"}},
		"suite tests itself":            {"connectors/connectortest/suite_test.go", imports("connectortest", "connectors/memory"), nil},
		"suite knows a connector":       {"connectors/connectortest/suite.go", imports("connectortest", "connectors/memory"), []string{"connectors/connectortest/suite.go:3: connectors/connectortest must not import connectors/memory"}},
		"fake shares its connector":     {"connectors/one/onetest/fake.go", imports("onetest", "connectors/one"), []string{"connectors/one/onetest/fake.go:3: connectors/one/onetest must not import connectors/one"}},
		"fake uses plumbing":            {"connectors/one/onetest/fake.go", imports("onetest", "connectors/internal/rest"), []string{"connectors/one/onetest/fake.go:3: connectors/one/onetest must not import connectors/internal/rest"}},
		"plumbing knows a connector":    {"connectors/internal/rest/rest.go", imports("rest", "connectors/one"), []string{"connectors/internal/rest/rest.go:3: connectors/internal/rest must not import connectors/one"}},
		"the list":                      {"connectors/all/all.go", imports("all", "connectors/one", "connectors/two"), nil},
		"the list knows the engine":     {"connectors/all/all.go", imports("all", "engine"), []string{"connectors/all/all.go:3: connectors/all must not import engine"}},
		"mapping knows a connector":     {"mapping/mapping.go", imports("mapping", "connectors/one"), []string{"mapping/mapping.go:3: mapping must not import connectors/one"}},
		"mapping reads YAML":            {"mapping/mapping.go", imports("mapping", "internal/strictyaml", "internal/diag", "connectors", "model"), nil},
		"mapping knows plans":           {"mapping/mapping.go", imports("mapping", "engine/plan"), []string{"mapping/mapping.go:3: mapping must not import engine/plan"}},
		"state knows plans and SQL":     {"state/store.go", imports("state", "engine/plan", "connectors", "database/sql", "github.com/jmoiron/sqlx"), nil},
		"state has a suite":             {"state/statetest/suite.go", imports("statetest", "state", "model"), nil},
		"state knows the engine":        {"state/store.go", imports("state", "engine"), []string{"state/store.go:3: state must not import engine"}},
		"state knows mapping":           {"state/sqlite/store.go", imports("sqlite", "mapping"), []string{"state/sqlite/store.go:3: state/sqlite must not import mapping"}},
		"SQL elsewhere":                 {"internal/daemon/daemon.go", imports("daemon", "github.com/jmoiron/sqlx"), []string{"internal/daemon/daemon.go:3: internal/daemon must not import github.com/jmoiron/sqlx"}},
		"diag imports ours":             {"internal/diag/diag.go", imports("diag", "model"), []string{"internal/diag/diag.go:3: internal/diag must not import model"}},
		"strictyaml imports a loader":   {"internal/strictyaml/s.go", imports("strictyaml", "mapping"), []string{"internal/strictyaml/s.go:3: internal/strictyaml must not import mapping"}},
		"cmd wires everything":          {"cmd/trueup/main.go", strings.Replace(imports("main", "state", "engine", "connectors/all"), "Package main", "Command trueup", 1), nil},
		"no package comment":            {"web/web.go", "package web\n", []string{"web/web.go: package web has no comment"}},
		"package comment of a stranger": {"web/web.go", "// Package wed is here.\npackage web\n", []string{"web/web.go: package web has no comment"}},
		"test files need no comment":    {"web/web_test.go", "package web\n", nil},
		"longest file":                  {"web/web.go", imports("web") + strings.Repeat("\n", MaxLines-3), nil},
		"file too long":                 {"web/web.go", imports("web") + strings.Repeat("\n", MaxLines), []string{"web/web.go: 702 lines, the limit is 700"}},
		"test that sleeps":              {"web/web_test.go", "package web\nimport \"time\"\nfunc f() { time.Sleep(time.Second) }\n", []string{"web/web_test.go:3: time.Sleep in a test"}},
		"code that waits":               {"web/web.go", imports("web", "time") + "func f() { time.Sleep(1) }\n", nil},
		"test that skips":               {"web/web_test.go", "package web\nimport \"testing\"\nfunc TestX(t *testing.T) { t.Skip() }\n", []string{"web/web_test.go:3: t.Skip in a test"}},
		"float in the model":            {"model/rate.go", imports("model") + "type rate float64\n", []string{"model/rate.go:3: float64 in model"}},
		"float price":                   {"web/web.go", imports("web") + "type row struct { UnitPrice float64 }\n", []string{"web/web.go:3: UnitPrice is a float"}},
		"float cost by pointer":         {"web/web.go", imports("web") + "var cost *float64\n", []string{"web/web.go:3: cost is a float"}},
		"float amount in passing":       {"web/web.go", imports("web") + "func f(n int) { total := float64(n); _ = total }\n", []string{"web/web.go:3: total is a float"}},
		"float share of time":           {"web/web.go", imports("web") + "var seconds float64\n", nil},
		"decimal from a float":          {"web/web.go", imports("web", "github.com/shopspring/decimal") + "var d = decimal.NewFromFloat(0.1)\n", []string{"web/web.go:4: NewFromFloat"}},
		"hidden and test data folders":  {"web/testdata/web.go", "package web\n", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			violations, err := Check(fstest.MapFS{tc.file: {Data: []byte(tc.source)}}, module)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, v := range violations {
				text := v.String()
				if v.Reason == "" || !strings.HasSuffix(text, "("+v.Reason+")") {
					t.Errorf("%q does not say why", text)
				}
				if i < len(tc.want) && strings.HasPrefix(text, tc.want[i]) {
					text = tc.want[i]
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnreadableFileIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Check(fstest.MapFS{"web/web.go": {Data: []byte("package")}}, module)
	if err == nil {
		t.Fatal("a file that does not parse went unnoticed")
	}
}
