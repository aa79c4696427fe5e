package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// Failure is a user-written test that did not hold.
type Failure struct {
	Pos     diag.Pos // the test's place
	Test    string
	Message string // one line for each difference
}

func (f Failure) String() string { return fmt.Sprintf("%s: %s: %s", f.Pos, f.Test, f.Message) }

// RunTests runs the tests users write beside a mapping, in <system>.test.yaml:
//
//	version: 1
//	tests:
//	  - name: a suspended subscription is still there
//	    kind: subscription                       # a model noun
//	    native: {id: a7c2, parent: 3b1e, quantity: 25, status: suspended}
//	    expect: {customer: 3b1e, quantity: 25}   # fields not named may be anything
//	    problems: [status]                       # optional: fields that must be refused
//	    change:                                  # optional: what a change of these fields writes
//	      fields: {quantity: 26}
//	      native: {quantity: 26}
//	  - name: trials are left out
//	    kind: subscription
//	    native: {isTrial: true}
//	    skipped: true                            # where says no
//	  - name: a new line
//	    kind: line
//	    create:                                  # what a creation from these fields sends, all of it
//	      fields: {quantity: 5}
//	      native: {quantity: 5, billCustomer: Billable}
//
// Values are written as they are typed: 007, 12.50 GBP, 2031-02-28, [one, two], and nothing at all for known to be
// empty. Each test that reads also writes every two-way field back and expects the native value it came from. A file
// that cannot be read adds to problems and no test of it counts.
func RunTests(m *Mapping, name string, source []byte, problems *diag.List) (passed int, failures []Failure) {
	var found diag.List
	tests := readTests(m, name, source, &found)
	for _, p := range found.Problems() {
		problems.Add(p.Pos, p.Hint, "%s", p.Message)
	}
	if !found.Empty() {
		return 0, nil
	}
	for _, t := range tests {
		if faults := t.run(m); len(faults) > 0 {
			failures = append(failures, Failure{t.pos, t.name, strings.Join(faults, "\n")})
			continue
		}
		passed++
	}
	return passed, failures
}

type userTest struct {
	pos            diag.Pos
	name           string
	kind           model.Kind
	native         *connectors.Record
	expect         model.Fields
	problems       []string
	skipped        bool
	change, create *exchange
}

// exchange is model fields and the native fields they become.
type exchange struct{ fields, native model.Fields }

func readTests(m *Mapping, name string, source []byte, problems *diag.List) []userTest {
	top := strictyaml.Parse(name, source, problems).Map()
	top.Need("version").OneOf("1")
	list := top.Need("tests")
	top.Close()
	var tests []userTest
	first := map[string]diag.Pos{}
	for _, node := range list.List() {
		t := readTest(m, node)
		if earlier, repeated := first[t.name]; repeated {
			node.Complain("give it another name", "a test called %q stands in line %d already", t.name, earlier.Line)
		}
		first[t.name] = t.pos
		tests = append(tests, t)
	}
	return tests
}

func readTest(m *Mapping, node *strictyaml.Node) userTest {
	entry := node.Map()
	t := userTest{pos: node.Pos(), name: entry.Need("name").Text()}
	kind := entry.Need("kind")
	native, expect, problems := entry.Get("native"), entry.Get("expect"), entry.Get("problems")
	skipped, change, create := entry.Get("skipped"), entry.Get("change"), entry.Get("create")
	entry.Close()
	n, ok := m.byKind[model.Kind(kind.Text())]
	if !ok {
		var known []string
		for _, k := range m.Kinds() {
			known = append(known, string(k))
		}
		kind.Complain(diag.DidYouMean(kind.Text(), known), "the mapping has no %q", kind.Text())
		return t
	}
	t.kind, t.skipped = n.kind, skipped.Bool()
	table, _ := model.TableOf(n.kind)
	if native.Present() {
		rec := connectors.Record{Kind: n.native.Name, Fields: n.readNative(native)}
		rec.ID, rec.Parent = rec.Fields[fieldID].String(), rec.Fields[fieldParent].String()
		t.native = &rec
	}
	t.expect = readModel(table, expect)
	if problems.Present() {
		t.problems = problems.Texts()
	}
	t.change, t.create = n.readExchange(table, change), n.readExchange(table, create)
	switch {
	case t.native == nil && t.change == nil && t.create == nil:
		node.Complain("add native, change or create", "the test does nothing")
	case t.native == nil && (expect.Present() || problems.Present() || skipped.Present()):
		node.Complain("add native", "there is no native record to read")
	case t.native != nil && !t.skipped && !expect.Present() && !problems.Present():
		node.Complain("add expect", "the test expects nothing")
	case t.skipped && (expect.Present() || problems.Present()):
		node.Complain("remove expect or skipped", "a skipped record has no fields to expect")
	}
	return t
}

func (n *noun) readExchange(table model.Table, node *strictyaml.Node) *exchange {
	if !node.Present() {
		return nil
	}
	entry := node.Map()
	fields, native := entry.Need("fields"), entry.Need("native")
	entry.Close()
	return &exchange{readModel(table, fields), n.readNative(native)}
}

func (n *noun) readNative(node *strictyaml.Node) model.Fields {
	fields := model.Fields{}
	node.Map().Each(func(key, value *strictyaml.Node) {
		f, ok := nativeField(n.native, key.Text())
		if !ok {
			key.Complain(nativeHint(key.Text(), n.native), "unknown field %q of %s", key.Text(), n.native.Name)
			return
		}
		readValue(fields, f.Name, f.Type, value)
	})
	return fields
}

func readModel(table model.Table, node *strictyaml.Node) model.Fields {
	fields := model.Fields{}
	node.Map().Each(func(key, value *strictyaml.Node) {
		f, ok := table.Field(key.Text())
		if !ok {
			key.Complain(diag.DidYouMean(key.Text(), table.Names()), "unknown field %q of %s", key.Text(), table.Kind)
			return
		}
		readValue(fields, f.Name, f.Type, value)
	})
	return fields
}

func readValue(fields model.Fields, name string, t model.Type, node *strictyaml.Node) {
	v, err := model.Parse(t, constantText(t, node))
	if err != nil {
		node.Complain("", "%s is %s: %s", name, t, err)
		return
	}
	fields[name] = v
}

// run returns the differences.
func (t userTest) run(m *Mapping) []string {
	var faults []string
	if t.native != nil {
		faults = t.read(m)
	}
	if t.change != nil {
		got, err := m.ToNative(t.kind, t.change.fields)
		faults = append(faults, differences("change writes", got, t.change.native, err)...)
	}
	if t.create != nil {
		got, err := m.NativeCreate(t.kind, t.create.fields)
		faults = append(faults, differences("create sends", got, t.create.native, err)...)
	}
	return faults
}

func (t userTest) read(m *Mapping) []string {
	rec, accepted, problems := m.ToModel(t.kind, *t.native)
	var faults []string
	for _, p := range problems {
		if !slices.Contains(t.problems, p.Field) {
			faults = append(faults, p.String())
		}
	}
	if accepted == t.skipped {
		return append(faults, map[bool]string{true: "the record was read, but should be skipped", false: "the record was skipped, but should be read"}[accepted])
	}
	for _, field := range t.problems {
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Field == field }) {
			faults = append(faults, fmt.Sprintf("%s is %s, but should be refused", field, show(rec.Fields[field])))
		}
	}
	for _, field := range sortedKeys(t.expect) {
		if got, want := rec.Fields[field], t.expect[field]; got != want {
			faults = append(faults, fmt.Sprintf("%s is %s, expected %s%s", field, show(got), show(want), m.because(t.kind, field)))
		}
	}
	if t.skipped {
		return faults
	}
	return append(faults, t.roundTrip(m, rec)...)
}

// roundTrip writes back what was read.
func (t userTest) roundTrip(m *Mapping, rec model.Record) []string {
	var faults []string
	for _, r := range m.byKind[t.kind].rules {
		v, delivered := rec.Fields[r.field.Name]
		if !r.twoWay || !delivered {
			continue
		}
		was := t.native.Fields[r.native.Name]
		got, err := r.write(v)
		switch {
		case err != nil:
			faults = append(faults, fmt.Sprintf("writing %s back fails: %s", r.field.Name, err))
		case got != was && !r.sameAgain(got, v):
			faults = append(faults, fmt.Sprintf("writing %s back changes %s from %s to %s%s", r.field.Name, r.native.Name, show(was), show(got), m.because(t.kind, r.field.Name)))
		}
	}
	return faults
}

// sameAgain excuses a converter that only puts entries into order.
func (r *rule) sameAgain(native, want model.Value) bool {
	if !slices.ContainsFunc(r.steps, func(s step) bool { return s.unordered }) {
		return false
	}
	got, err := r.read(connectors.Record{Fields: model.Fields{r.native.Name: native}})
	return err == nil && got == want
}

func (m *Mapping) because(kind model.Kind, field string) string {
	origin := m.Origin(kind, field)
	if origin.Rule == "" {
		return " (the mapping does not have this field)"
	}
	return fmt.Sprintf(" (%s, %s)", origin.Rule, origin.Pos)
}

func differences(what string, got, want model.Fields, err error) []string {
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, field := range sortedKeys(want) {
		if got[field] != want[field] {
			faults = append(faults, fmt.Sprintf("%s %s %s, expected %s", what, field, show(got[field]), show(want[field])))
		}
	}
	for _, field := range sortedKeys(got) {
		if _, expected := want[field]; !expected {
			faults = append(faults, fmt.Sprintf("%s %s %s, which is not expected", what, field, show(got[field])))
		}
	}
	return faults
}

func show(v model.Value) string {
	switch {
	case !v.Known():
		return "not delivered"
	case v.Type() == model.TypeText || v.Type() == model.TypeList || v.Blank():
		return strconv.Quote(strings.ReplaceAll(v.String(), "\n", ", "))
	}
	return v.String()
}
