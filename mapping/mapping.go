// Package mapping turns a system's native records into the model's words and back, as a YAML file says.
//
// A mapping file belongs to one system. For each model noun it names the native kind it comes from and says, field by
// field, where the value comes from:
//
//	version: 1
//	system: connectwise
//	records:
//	  line:                                  # a model noun
//	    from: addition                       # a native kind
//	    where: 'billCustomer != "NoCharge"'  # optional: only these records
//	    fields:
//	      start: effectiveDate               # read only
//	      quantity: {both: quantity}         # read and written
//	      bill: {both: billCustomer, words: {billable: Billable, do_not_bill: DoNotBill}}
//	      name: {value: 'trim(company.name)'}  # an expression, read only
//	      country: {from: country, as: upper}  # a converter, read only
//	    create:                              # sent when a record is created, and only then
//	      effectiveDate: {field: start}      # a model field; a text may be cut: {field: name, cut: 60}
//	      billCustomer: Billable             # a constant, where no two-way field has a value for it
//
// Every kind also offers id and, below another kind, parent: the record's own id and the id of the record it belongs
// to. Custom fields of the system are named with the kind's prefix (custom.Anything at all).
//
// Reading. Load reports every fault of the file at once, with its place; a Mapping that was returned is sound. A native
// field that was not delivered gives no model field; one known to be empty gives a known-empty field. A value that
// cannot be read is a Problem of that field alone: the field stays undelivered and the others still come. A text outside
// the words a model field allows is such a Problem too, unless unknown is one of those words; then it becomes unknown.
//
// Writing. Only two-way fields are ever written in a change, and a two-way field takes only converters that run both
// ways (see Converters), so writing back what was just read changes nothing. A creation sends the two-way fields that
// have a value, and the create section.
//
// Expressions are expr-lang expressions over the native fields, checked when the file is loaded. Texts, days and moments
// are texts (2031-02-28, and "" for none: they compare in calendar order); quantities and money are exact decimals with
// + - * / and comparisons, never floats; a division keeps ten decimals, half to even. What is computed from an empty
// quantity or money is empty, a comparison with it is false (and != true), and an empty true-or-false counts as false. An
// expression that looks at a field which was not delivered gives no value. See Functions for what may be called.
package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/model"
)

// Mapping is one system's file, checked and compiled. It is immutable and safe for concurrent use.
type Mapping struct {
	system string
	nouns  []*noun // in the model's order
	byKind map[model.Kind]*noun
}

// noun is one entry under records.
type noun struct {
	kind    model.Kind
	native  connectors.Kind
	where   *expression // nil: every record
	rules   []*rule     // in the model table's order
	byField map[string]*rule
	creates bool // the file has a create section
	create  []creation
	pos     diag.Pos
}

// rule gives one model field its value.
type rule struct {
	field      model.Field
	native     connectors.Field // for plain fields
	expression *expression      // instead of native
	twoWay     bool
	steps      []step
	origin     Origin
}

// creation gives one native field its value when a record is created.
type creation struct {
	native   connectors.Field
	constant model.Value // used when field is empty and no two-way field has a value
	field    string      // model field
	step     step        // from the model field's type to the native one
	cut      int         // letters kept; 0 for all
	pos      diag.Pos
}

// Origin says where a model field's value comes from.
type Origin struct {
	Pos    diag.Pos // the rule's place in the mapping file
	Rule   string   // the rule as one line of text
	Native string   // the native fields it looks at, separated by ", "
}

// Problem is a value that could not be read. The record's other fields are not affected.
type Problem struct {
	Kind    model.Kind
	ID      string      // native id of the record
	Field   string      // model field; "" when it is the where condition
	Native  string      // native fields it looks at
	Value   model.Value // the native value; not Known for expressions
	Pos     diag.Pos    // the rule's place in the mapping file
	Message string      // a plain sentence without a full stop
}

func (p Problem) String() string {
	what := "where"
	if p.Field != "" {
		what = "field " + p.Field
	}
	return fmt.Sprintf("%s: %s %s: %s: %s", p.Pos, p.Kind, p.ID, what, p.Message)
}

// System is the system the mapping is for.
func (m *Mapping) System() string { return m.system }

// Kinds lists the mapped model nouns in the model's order.
func (m *Mapping) Kinds() []model.Kind {
	kinds := make([]model.Kind, len(m.nouns))
	for i, n := range m.nouns {
		kinds[i] = n.kind
	}
	return kinds
}

// NativeKind is the native kind a noun is made from.
func (m *Mapping) NativeKind(kind model.Kind) (string, bool) {
	n, ok := m.byKind[kind]
	if !ok {
		return "", false
	}
	return n.native.Name, true
}

// ModelKinds lists the nouns made from a native kind, in the model's order; one native kind may feed several.
func (m *Mapping) ModelKinds(native string) []model.Kind {
	var kinds []model.Kind
	for _, n := range m.nouns {
		if n.native.Name == native {
			kinds = append(kinds, n.kind)
		}
	}
	return kinds
}

// Fields lists the mapped fields of a noun in documentation order.
func (m *Mapping) Fields(kind model.Kind) []string {
	n, ok := m.byKind[kind]
	if !ok {
		return nil
	}
	fields := make([]string, len(n.rules))
	for i, r := range n.rules {
		fields[i] = r.field.Name
	}
	return fields
}

// Writable reports whether a change may write the field.
func (m *Mapping) Writable(kind model.Kind, field string) bool {
	r := m.rule(kind, field)
	return r != nil && r.twoWay
}

// NativeField is the native field behind a model field; "" when it is not mapped or comes from an expression.
func (m *Mapping) NativeField(kind model.Kind, field string) string {
	r := m.rule(kind, field)
	if r == nil || r.expression != nil {
		return ""
	}
	return r.native.Name
}

// Origin says where a model field's value comes from; the zero Origin when it is not mapped.
func (m *Mapping) Origin(kind model.Kind, field string) Origin {
	r := m.rule(kind, field)
	if r == nil {
		return Origin{}
	}
	return r.origin
}

func (m *Mapping) rule(kind model.Kind, field string) *rule {
	n, ok := m.byKind[kind]
	if !ok {
		return nil
	}
	return n.byField[field]
}

// ToModel reads a native record as a noun. The bool is false when the record is not one of this noun: another native
// kind, or where said no. When where cannot be decided the bool is false and a Problem says why; such a record was
// neither accepted nor shown to be absent.
func (m *Mapping) ToModel(kind model.Kind, rec connectors.Record) (model.Record, bool, []Problem) {
	n, ok := m.byKind[kind]
	if !ok || n.native.Name != rec.Kind {
		return model.Record{}, false, nil
	}
	if accepted, problem := n.accepts(rec); !accepted {
		if problem != nil {
			return model.Record{}, false, []Problem{*problem}
		}
		return model.Record{}, false, nil
	}
	out := model.Record{Kind: kind, ID: rec.ID, Fields: make(model.Fields, len(n.rules))}
	var problems []Problem
	for _, r := range n.rules {
		v, err := r.read(rec)
		switch {
		case err != nil:
			problems = append(problems, r.problem(n, rec, err))
		case v.Known():
			out.Fields[r.field.Name] = v
		}
	}
	return out, true, problems
}

func (n *noun) accepts(rec connectors.Record) (bool, *Problem) {
	if n.where == nil {
		return true, nil
	}
	v, missing, err := n.where.eval(rec)
	if missing != "" {
		err = fmt.Errorf("%s was not delivered, so the condition cannot be decided", missing)
	}
	if err != nil {
		return false, &Problem{Kind: n.kind, ID: rec.ID, Native: n.where.native(), Pos: n.where.pos, Message: err.Error()}
	}
	return v.True(), nil
}

func (r *rule) problem(n *noun, rec connectors.Record, err error) Problem {
	p := Problem{Kind: n.kind, ID: rec.ID, Field: r.field.Name, Native: r.origin.Native, Pos: r.origin.Pos, Message: err.Error()}
	if r.expression == nil {
		p.Value = nativeValue(rec, r.native.Name)
	}
	return p
}

// nativeValue reads a field of a record, the record's own id and parent included.
func nativeValue(rec connectors.Record, name string) model.Value {
	switch name {
	case fieldID:
		return model.Text(rec.ID)
	case fieldParent:
		return model.Text(rec.Parent)
	}
	return rec.Fields[name]
}

// read gives the model value; a value that is not Known means that nothing was delivered.
func (r *rule) read(rec connectors.Record) (model.Value, error) {
	var v model.Value
	if r.expression != nil {
		var missing string
		var err error
		if v, missing, err = r.expression.eval(rec); err != nil || missing != "" {
			return model.Value{}, err
		}
	} else {
		v = nativeValue(rec, r.native.Name)
		if !v.Known() {
			return v, nil
		}
		if v.Type() != r.native.Type {
			return model.Value{}, fmt.Errorf("the connector delivered %s as %s, but declares it as %s", r.native.Name, v.Type(), r.native.Type)
		}
	}
	for _, s := range r.steps {
		var err error
		if v, err = s.forward(v); err != nil {
			return model.Value{}, err
		}
	}
	if r.field.Allowed == nil || v.Blank() || slices.Contains(r.field.Allowed, v.String()) {
		return v, nil
	}
	if slices.Contains(r.field.Allowed, model.StatusUnknown) {
		return model.Text(model.StatusUnknown), nil
	}
	return model.Value{}, fmt.Errorf("%q is not one of the words of %s (%s)", v, r.field.Name, strings.Join(r.field.Allowed, ", "))
}

// ToNative turns changed model fields into the native fields to write. It refuses the whole change when one of them is
// not two-way, naming the field and the rule's place.
func (m *Mapping) ToNative(kind model.Kind, fields model.Fields) (model.Fields, error) {
	n, ok := m.byKind[kind]
	if !ok {
		return nil, fmt.Errorf("write %s in %s: the mapping has no %s", kind, m.system, kind)
	}
	out := make(model.Fields, len(fields))
	for _, name := range sortedKeys(fields) {
		r, v := n.byField[name], fields[name]
		switch {
		case r == nil:
			return nil, fmt.Errorf("write %s.%s in %s: %s does not map it; add it there as {both: ...}", kind, name, m.system, n.pos)
		case !r.twoWay:
			return nil, fmt.Errorf("write %s.%s in %s: %s only reads it (%s); write {both: ...} there if the system takes it", kind, name, m.system, r.origin.Pos, r.origin.Rule)
		case !v.Known():
			return nil, fmt.Errorf("write %s.%s in %s: there is no value to write", kind, name, m.system)
		}
		native, err := r.write(v)
		if err != nil {
			return nil, fmt.Errorf("write %s.%s in %s (%s): %w", kind, name, m.system, r.origin.Pos, err)
		}
		out[r.native.Name] = native
	}
	return out, nil
}

func (r *rule) write(v model.Value) (model.Value, error) {
	if v.Type() != r.field.Type {
		return model.Value{}, fmt.Errorf("%q is %s, but the field is %s", v, v.Type(), r.field.Type)
	}
	for _, s := range slices.Backward(r.steps) {
		var err error
		if v, err = s.backward(v); err != nil {
			return model.Value{}, err
		}
	}
	return v, nil
}

// Creates reports whether a model field is sent when a record is created.
func (m *Mapping) Creates(kind model.Kind, field string) bool {
	n, ok := m.byKind[kind]
	if !ok || !n.creates {
		return false
	}
	r := n.byField[field]
	return r != nil && r.twoWay || slices.ContainsFunc(n.create, func(c creation) bool { return c.field == field })
}

// NativeCreate turns a model record into the native fields of a new one: the two-way fields that have a value, and the
// create section. Other fields of the record are not sent. It refuses when a field the system requires has no value.
func (m *Mapping) NativeCreate(kind model.Kind, fields model.Fields) (model.Fields, error) {
	n, ok := m.byKind[kind]
	if !ok {
		return nil, fmt.Errorf("create %s in %s: the mapping has no %s", kind, m.system, kind)
	}
	if !n.creates {
		return nil, fmt.Errorf("create %s in %s: the mapping does not say how; add a create section to %s", kind, m.system, n.pos)
	}
	out := make(model.Fields, len(fields))
	for _, r := range n.rules {
		v := fields[r.field.Name]
		if !r.twoWay || v.Blank() {
			continue
		}
		native, err := r.write(v)
		if err != nil {
			return nil, fmt.Errorf("create %s in %s: field %s (%s): %w", kind, m.system, r.field.Name, r.origin.Pos, err)
		}
		out[r.native.Name] = native
	}
	for _, c := range n.create {
		v := c.constant
		switch {
		case c.field == "" && !out[c.native.Name].Blank():
			continue
		case c.field != "":
			if v = fields[c.field]; v.Blank() {
				continue
			}
			var err error
			if v, err = c.step.forward(v); err != nil {
				return nil, fmt.Errorf("create %s in %s: field %s (%s): %w", kind, m.system, c.field, c.pos, err)
			}
			if letters := []rune(v.String()); c.cut > 0 && len(letters) > c.cut {
				v = model.Text(strings.TrimSpace(string(letters[:c.cut])))
			}
		}
		out[c.native.Name] = v
	}
	for _, f := range n.native.Fields {
		if f.Required && out[f.Name].Blank() {
			return nil, fmt.Errorf("create %s in %s: the system requires %s; %s", kind, m.system, f.Name, n.supplier(f.Name))
		}
	}
	return out, nil
}

// supplier says which model field would have given a native field its value.
func (n *noun) supplier(native string) string {
	for _, r := range n.rules {
		if r.twoWay && r.native.Name == native {
			return fmt.Sprintf("it comes from the model field %s (%s), which has no value", r.field.Name, r.origin.Pos)
		}
	}
	for _, c := range n.create {
		if c.native.Name == native {
			return fmt.Sprintf("it comes from the model field %s (%s), which has no value", c.field, c.pos)
		}
	}
	return "the mapping does not give it"
}
