package disaster

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/trueup-sync/trueup/internal/diag"
)

//go:generate go test -run ^TestPageIsUpToDate$ . -write-page

var writePage = flag.Bool("write-page", false, "write docs/disasters.md instead of comparing it")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fewest is how many disasters the library promises.
const fewest = 60

func library(t *testing.T) []scenario {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "scenarios", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	names := map[string]string{}
	for _, file := range files {
		s, err := loadScenario(file)
		if err != nil {
			t.Error(err)
		}
		if other, twice := names[s.name]; twice {
			t.Errorf("%s and %s have the same name", s.file, other)
		}
		names[s.name] = s.file
		all = append(all, s)
	}
	if len(all) < fewest {
		t.Errorf("%d scenarios, the library promises %d", len(all), fewest)
	}
	return all
}

func TestDisasters(t *testing.T) {
	t.Parallel()
	for _, s := range library(t) {
		t.Run(strings.TrimSuffix(s.file, ".yaml"), func(t *testing.T) {
			t.Parallel()
			p, err := newPlay(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.close(); err != nil {
					t.Error(err)
				}
			}()
			live(t, p, s)
		})
	}
}

// live plays a scenario and looks at what must hold.
func live(t *testing.T, p *play, s scenario) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.steps(s.before))
	if s.firstRun {
		must(p.run(step{what: []string{"sweep"}}))
		must(p.lastErr)
	}
	want := p.seats()
	links, err := p.links()
	must(err)
	p.witness.reset()
	p.said = nil

	must(p.steps(s.wrong))
	tried, harm := p.witness.reset()
	for _, text := range harm {
		t.Errorf("while things were wrong: %s", text)
	}
	if len(tried) != s.writes {
		t.Errorf("%d writes were tried while things were wrong, expected %d:\n%s", len(tried), s.writes, strings.Join(tried, "\n"))
	}
	if p.last.Run.State != s.state {
		t.Errorf("the run is %s (%s), expected %s", p.last.Run.State, p.last.Run.Reason, s.state)
	}
	if told := strings.Join(p.said, "\n"); !strings.Contains(told, s.says) {
		t.Errorf("nobody was told %q; what was said:\n%s", s.says, told)
	}

	must(p.steps(s.after))
	for range 2 {
		must(p.run(step{what: []string{"incremental"}}))
		if tried, _ = p.witness.reset(); len(tried) == 0 && len(p.last.Plan.Changes) == 0 {
			break
		}
	}
	must(p.run(step{what: []string{"incremental"}}))
	tried, _ = p.witness.reset()
	if len(tried) > 0 || len(p.last.Plan.Changes) > 0 {
		t.Errorf("it does not settle; the third run tried %q and planned %+v", tried, p.last.Plan.Changes)
	}
	if p.last.Run.State != s.settles {
		t.Errorf("in the end the run is %s (%s), expected %s:\n%s", p.last.Run.State, p.last.Run.Reason, s.settles, strings.Join(p.said, "\n"))
	}
	maps.Copy(want, s.final)
	maps.DeleteFunc(want, func(_, seats string) bool { return seats == "gone" })
	if diff := cmp.Diff(want, p.seats()); diff != "" {
		t.Errorf("seats in the end (-expected +found):\n%s", diff)
	}
	if now, err := p.links(); err != nil || now < links && !p.lost {
		t.Errorf("%d links are left of %d (%v)", now, links, err)
	}
}

// A scenario that says too little, or something that nobody reads, is refused.
func TestScenariosAreStrict(t *testing.T) {
	t.Parallel()
	const good = "name: a thing went wrong\nincident: it was in the news\nwrong: [{run: sweep}]\nstate: completed\nsays: this is what happened\n"
	for _, tt := range []struct{ name, text, want string }{
		{"all there", good, ""},
		{"no incident", strings.Replace(good, "incident: it was in the news\n", "", 1), `"incident" is missing`},
		{"no sentence", strings.Replace(good, "says: this is what happened\n", "", 1), `"says" is missing`},
		{"empty sentence", strings.Replace(good, "this is what happened", "''", 1), "is not a sentence"},
		{"unknown key", good + "allow: lower\n", `unknown key "allow"`},
		{"unknown step", strings.Replace(good, "run: sweep", "pray: sweep", 1), "the step does nothing"},
		{"unknown key of a step", strings.Replace(good, "run: sweep", "run: sweep, value: 1", 1), `unknown key "value"`},
		{"two steps in one", strings.Replace(good, "run: sweep", "run: sweep, clock: 1h", 1), "a step is clock or run"},
		{"unknown state", strings.Replace(good, "completed", "fine", 1), `"fine" is not allowed here`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var problems diag.List
			readScenario("x.yaml", []byte(tt.text), &problems)
			switch err := problems.Err(); {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func page(all []scenario) string {
	var b strings.Builder
	b.WriteString("<!-- Generated from internal/disaster/testdata/scenarios; make generate writes it anew. -->\n\n# Disasters\n\n" +
		"What happened to somebody, played on every build against trueup, its journal and two systems that misbehave. In each, no write that lowers\n" +
		"seats, ends a line or takes an id off a record is even tried while things are wrong, a person reads why, and once the fault is mended\n" +
		"nothing is left to write after two runs at most. A number in brackets stands for the kind of suffering that the scenario is about.\n" +
		"To add one, write a file: the package comment of [internal/disaster](../internal/disaster/doc.go) says how.\n\n" +
		"| scenario | incident | run | what a person reads |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ").Replace
	for _, s := range all {
		b.WriteString("| [" + cell(s.name) + "](../internal/disaster/testdata/scenarios/" + s.file + ") | " + cell(s.incident) + " | " + string(s.state) + " | " + cell(s.says) + " |\n")
	}
	return b.String()
}

func TestPageIsUpToDate(t *testing.T) {
	t.Parallel()
	const file = "../../docs/disasters.md"
	text := page(library(t))
	if *writePage {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make generate writes it", err)
	}
	if diff := cmp.Diff(string(have), text); diff != "" {
		t.Errorf("%s is stale; make generate writes it anew:\n%s", file, diff)
	}
}
