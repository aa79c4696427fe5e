package disaster

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/state"
)

// scenario is one file; the package comment says what its parts mean.
type scenario struct {
	file     string
	name     string
	incident string
	firstRun bool
	before   []step
	wrong    []step
	state    state.RunState
	says     string
	writes   int
	after    []step
	settles  state.RunState
	final    map[string]string
}

// step is one thing that happens. Exactly one of the words of stepWords names it.
type step struct {
	pos    diag.Pos
	word   string
	what   []string    // the words after it: a side, a kind or a fault, an id
	set    [][2]string // edit, add, flow: field and value
	under  string      // add: the parent's id
	value  string      // fault: its value
	with   string      // mapping: what stands there instead
	amid   []step      // run: what happens in the middle of it
	at     string      // run: where in the run that is, as its progress names it: "planning", "reading psa company"
	flow   string      // run: the name of another flow over the same accounts
	killed [2]string   // run: before or after, and which write to the journal
	stop   bool        // run: a person stops it while a system does not answer
	digest bool        // run: only the plan that the last run showed
	over   bool        // run: only the last plan with what the limits held in it
}

var stepWords = []string{"edit", "add", "remove", "fault", "behave", "clock", "store", "flow", "mapping", "approve", "run"}

// words is how many words a step's own text has; a mapping's has any number.
var words = map[string]int{"edit": 3, "add": 3, "remove": 3, "fault": 2, "behave": 2, "clock": 1, "store": 1, "approve": 1, "run": 1}

func loadScenario(file string) (scenario, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return scenario{}, err
	}
	var problems diag.List
	s := readScenario(filepath.Base(file), source, &problems)
	return s, problems.Err()
}

func readScenario(file string, source []byte, problems *diag.List) scenario {
	m := strictyaml.Parse(file, source, problems).Map()
	s := scenario{file: file, firstRun: true, settles: state.RunCompleted, final: map[string]string{}}
	s.name = sentence(m.Need("name"))
	s.incident = sentence(m.Need("incident"))
	if n := m.Get("first_run"); n.Present() {
		s.firstRun = n.Bool()
	}
	if n := m.Get("flow"); n.Present() {
		s.before = append(s.before, step{pos: n.Pos(), word: "flow", set: pairs(n)})
	}
	s.before = append(s.before, steps(m.Get("before"))...)
	s.wrong = steps(m.Need("wrong"))
	s.state = runState(m.Need("state"))
	s.says = sentence(m.Need("says"))
	if n := m.Get("writes"); n.Present() {
		s.writes = n.Int()
	}
	s.after = steps(m.Get("after"))
	if n := m.Get("settles"); n.Present() {
		s.settles = runState(n)
	}
	for _, p := range pairs(m.Get("final")) {
		s.final[p[0]] = p[1]
	}
	m.Close()
	return s
}

func sentence(n *strictyaml.Node) string {
	text := n.Text()
	if n.IsScalar() && len(strings.Fields(text)) < 3 {
		n.Complain("write a sentence that a support person understands", "%q is not a sentence", text)
	}
	return text
}

func runState(n *strictyaml.Node) state.RunState {
	return state.RunState(n.OneOf(string(state.RunCompleted), string(state.RunPartial), string(state.RunHeld), string(state.RunError), string(state.RunStopped)))
}

func pairs(n *strictyaml.Node) (list [][2]string) {
	n.Map().Each(func(key, value *strictyaml.Node) { list = append(list, [2]string{key.Text(), value.Text()}) })
	return list
}

func steps(n *strictyaml.Node) (list []step) {
	for _, item := range n.List() {
		list = append(list, readStep(item))
	}
	return list
}

func readStep(n *strictyaml.Node) step {
	m := n.Map()
	s := step{pos: n.Pos()}
	for _, word := range stepWords {
		own := m.Get(word)
		if !own.Present() {
			continue
		}
		if s.word != "" {
			own.Complain("write two steps", "a step is %s or %s", s.word, word)
		}
		s.word = word
		if word == "flow" {
			s.set = pairs(own)
			continue
		}
		if s.what = strings.Fields(own.Text()); words[word] > 0 && len(s.what) != words[word] {
			own.Complain("", "%s needs %d words, like {edit: vendor subscription s-kea}", word, words[word])
		}
	}
	switch s.word {
	case "edit":
		s.set = pairs(m.Need("set"))
	case "add":
		s.set, s.under = pairs(m.Need("set")), m.Get("under").Text()
	case "fault":
		s.value = m.Get("value").Text()
	case "mapping":
		s.with = m.Need("with").Text()
	case "run":
		s.amid, s.at, s.flow = steps(m.Get("amid")), m.Get("at").Text(), m.Get("as").Text()
		s.stop, s.digest, s.over = m.Get("stop").Bool(), m.Get("reviewed").Bool(), m.Get("released").Bool()
		s.killed[0], s.killed[1], _ = strings.Cut(m.Get("killed").Text(), " ")
	case "":
		n.Complain("write one of "+strings.Join(stepWords, ", "), "the step does nothing")
	}
	m.Close()
	return s
}

// newFlow is the usual flow: it writes on its own, and no limit helps it. What it did in the last day counts where a scenario sets one.
func newFlow() engine.Flow {
	return engine.Flow{
		Name: "cloud", File: "flows/cloud.yaml", Vendor: "microsoft", PSA: "psa", Mode: engine.ModeWrite, Guards: plan.Guards{Together: 24 * time.Hour},
		Customers: engine.CustomerRules{Match: engine.MatchNames(), MissingPSA: engine.MissingPropose},
		Products:  engine.ProductRules{MissingPSA: engine.MissingCreate},
		Contracts: engine.ContractRules{Type: "Cloud Services", MissingPSA: engine.MissingCreate},
		Lines: engine.LineRules{First: plan.FirstVendor, MissingPSA: engine.MissingCreate, Fields: map[string]plan.FieldRule{
			"quantity":    {Owner: plan.OwnerBoth, Conflict: plan.ConflictHold},
			"unit_cost":   {Owner: plan.OwnerVendor},
			"unit_price":  {Owner: plan.OwnerPSA},
			"description": {Owner: plan.OwnerVendor},
		}},
	}
}

// firstDay is when every scenario starts.
var firstDay = time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC)
