package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// Load reads, checks and compiles one mapping file for the system d describes. Every fault is added to problems; the
// Mapping is nil when there was one.
func Load(name string, source []byte, d connectors.Descriptor, problems *diag.List) *Mapping {
	var found diag.List
	l := &loader{source: source, system: d, problems: &found}
	m := l.load(name)
	for _, p := range found.Problems() {
		problems.Add(p.Pos, p.Hint, "%s", p.Message)
	}
	if !found.Empty() {
		return nil
	}
	return m
}

// SystemOf is the system a mapping file names, "" when it names none: it tells which descriptor to load it with.
func SystemOf(source []byte) string {
	var ignored diag.List
	root := strictyaml.Parse("", source, &ignored)
	if !root.IsMap() {
		return ""
	}
	return root.Map().Get("system").Text()
}

type loader struct {
	source   []byte
	system   connectors.Descriptor
	problems *diag.List
}

func (l *loader) load(name string) *Mapping {
	root := strictyaml.Parse(name, l.source, l.problems)
	if root == nil {
		return nil
	}
	top := root.Map()
	top.Need("version").OneOf("1")
	top.Need("system").OneOf(l.system.System)
	m := &Mapping{system: l.system.System, byKind: map[model.Kind]*noun{}}
	records := top.Need("records")
	records.Map().Each(func(key, value *strictyaml.Node) {
		if n := l.noun(key, value); n != nil {
			m.byKind[n.kind] = n
		}
	})
	top.Close()
	for _, t := range model.Tables {
		if n, ok := m.byKind[t.Kind]; ok {
			m.nouns = append(m.nouns, n)
		}
	}
	return m
}

func (l *loader) noun(key, value *strictyaml.Node) *noun {
	table, known := model.TableOf(model.Kind(key.Text()))
	if !known {
		key.Complain(diag.DidYouMean(key.Text(), kindNames()), "unknown noun %q", key.Text())
	}
	entry := value.Map()
	from, where, fields, create := entry.Need("from"), entry.Get("where"), entry.Need("fields"), entry.Get("create")
	entry.Close()
	native, ok := l.system.Kind(from.Text())
	if from.IsScalar() && !ok {
		from.Complain(diag.DidYouMean(from.Text(), l.system.KindNames()), "%s has no records called %q", l.system.System, from.Text())
	}
	if !known || !ok {
		return nil
	}
	n := &noun{kind: table.Kind, native: native, byField: map[string]*rule{}, pos: key.Pos()}
	if where.Present() {
		if n.where = l.expression(where, native); n.where != nil && n.where.result != model.TypeBool {
			where.Complain("compare something, as in quantity > 0", "where must give true or false, not %s", n.where.result)
		}
	}
	writers := map[string]string{} // native field -> who writes it
	fields.Map().Each(func(key, value *strictyaml.Node) { l.field(n, table, writers, key, value) })
	for _, f := range table.Fields {
		if r, ok := n.byField[f.Name]; ok {
			n.rules = append(n.rules, r)
		}
	}
	if create.Present() {
		n.creates = true
		l.create(n, table, writers, create)
	}
	return n
}

func kindNames() []string {
	names := make([]string, len(model.Tables))
	for i, t := range model.Tables {
		names[i] = string(t.Kind)
	}
	return names
}

// field reads one entry under fields.
func (l *loader) field(n *noun, table model.Table, writers map[string]string, key, value *strictyaml.Node) {
	f, known := table.Field(key.Text())
	if !known {
		key.Complain(diag.DidYouMean(key.Text(), table.Names()), "unknown field %q of %s", key.Text(), table.Kind)
		return
	}
	r := &rule{field: f, origin: Origin{Pos: value.Pos()}}
	var as, words *strictyaml.Node
	var source *strictyaml.Node
	how := "from"
	if value.IsMap() {
		entry := value.Map()
		given := 0
		for _, word := range []string{"from", "both", "value"} {
			if node := entry.Get(word); node.Present() {
				how, source = word, node
				given++
			}
		}
		as, words = entry.Get("as"), entry.Get("words")
		entry.Close()
		if given != 1 {
			value.Complain("", "a field needs exactly one of from (read only), both (read and written) and value (an expression)")
			return
		}
	} else {
		source = value
	}
	r.twoWay = how == "both"
	typ, ok := l.origin(n, r, how, source)
	if !ok {
		return
	}
	r.origin.Rule = how + ": " + source.Text()
	if r.twoWay {
		l.claim(writers, r.native.Name, f.Name, source)
	}
	typ, ok = l.steps(r, typ, as, words)
	if !ok {
		return
	}
	if !l.fit(r, typ, value) {
		return
	}
	n.byField[f.Name] = r
}

// origin finds what the rule reads, and its type.
func (l *loader) origin(n *noun, r *rule, how string, source *strictyaml.Node) (model.Type, bool) {
	if !source.IsScalar() {
		source.Complain("", "expected a native field or an expression")
		return "", false
	}
	if how == "value" {
		if r.expression = l.expression(source, n.native); r.expression == nil {
			return "", false
		}
		r.origin.Native = r.expression.native()
		return r.expression.result, true
	}
	native, ok := l.native(n.native, source)
	if !ok {
		return "", false
	}
	if r.twoWay && !native.Writable && !native.Scheduled {
		hint := "write from instead of both"
		if native.Create {
			hint = "write from here, and send it in the create section"
		}
		source.Complain(hint, "%s of %s cannot be changed, so it cannot be two-way", native.Name, n.native.Name)
		return "", false
	}
	r.native, r.origin.Native = native, native.Name
	return native.Type, true
}

func (l *loader) native(kind connectors.Kind, node *strictyaml.Node) (connectors.Field, bool) {
	f, ok := nativeField(kind, node.Text())
	if !ok {
		hint := nativeHint(node.Text(), kind)
		if strings.ContainsAny(node.Text(), " ()'\"+*/?") && !strings.HasPrefix(hint, "did you mean") {
			hint = "write {value: '...'} for an expression"
		}
		node.Complain(hint, "unknown field %q of %s", node.Text(), kind.Name)
	}
	return f, ok
}

// steps compiles as: and words:, and gives the type they end with.
func (l *loader) steps(r *rule, typ model.Type, as, words *strictyaml.Node) (model.Type, bool) {
	sound := true
	entries := []*strictyaml.Node{as}
	if as.IsList() {
		entries = as.List()
	}
	for _, entry := range entries {
		if !entry.Present() {
			continue
		}
		if !entry.IsScalar() {
			entry.Complain("write as: lower, or as: [trim, lower]", "expected the name of a converter")
			return "", false
		}
		s, twoWay, hint, err := compileConverter(entry.Text(), typ)
		if err != nil {
			entry.Complain(hint, "%s", err)
			return "", false
		}
		if r.twoWay && !twoWay {
			entry.Complain("write from instead of both, or use one of "+strings.Join(twoWayConverters(), ", "), "the converter %s runs one way only, so it cannot stand in a two-way field", entry.Text())
			sound = false
		}
		r.steps = append(r.steps, s)
		r.origin.Rule += ", as: " + entry.Text()
		typ = s.out
	}
	if words.Present() {
		table, ok := l.words(r, typ, words)
		sound = sound && ok
		r.steps = append(r.steps, table.step(typ, slices.Contains(r.field.Allowed, model.StatusUnknown)))
		r.origin.Rule += ", " + table.String()
		typ = model.TypeText
	}
	return typ, sound
}

func twoWayConverters() []string {
	var names []string
	for _, c := range Converters {
		if c.TwoWay {
			names = append(names, c.Name)
		}
	}
	return append(names, "words")
}

// words reads the table of words: one native word, or a list of them, for each of the model's.
func (l *loader) words(r *rule, typ model.Type, node *strictyaml.Node) (wordTable, bool) {
	table := wordTable{map[string]string{}, map[string]string{}}
	sound := true
	complain := func(at *strictyaml.Node, hint, format string, args ...any) {
		at.Complain(hint, format, args...)
		sound = false
	}
	if typ == model.TypeList || typ == model.TypeMoney {
		complain(node, "", "words cannot translate %s", typ)
		return table, false
	}
	node.Map().Each(func(key, value *strictyaml.Node) {
		word := key.Text()
		if r.field.Allowed != nil && !slices.Contains(r.field.Allowed, word) {
			complain(key, diag.DidYouMean(word, r.field.Allowed), "%q is not one of the words of %s", word, r.field.Name)
		}
		natives := []*strictyaml.Node{value}
		if value.IsList() {
			natives = value.List()
			if r.twoWay && len(natives) != 1 {
				complain(value, "write one word, or from instead of both", "a two-way field needs exactly one native word for each of its words")
			}
		}
		for _, native := range natives {
			v, err := model.Parse(typ, native.Text())
			switch {
			case err != nil:
				complain(native, "", "%s", err)
				continue
			case len(r.native.Allowed) > 0 && len(r.steps) == 0 && !slices.Contains(r.native.Allowed, v.String()):
				complain(native, diag.DidYouMean(v.String(), r.native.Allowed), "%s never holds %q", r.native.Name, v)
			}
			if other, taken := table.toModel[v.String()]; taken {
				complain(native, "remove one of them", "%q already means %s", v, other)
				continue
			}
			table.toModel[v.String()] = word
			table.toNative[word] = v.String()
		}
	})
	if len(table.toModel) == 0 && sound {
		complain(node, "write words: {billable: Billable}", "no words are given")
	}
	return table, sound
}

// fit adds the conversion to the model field's type.
func (l *loader) fit(r *rule, typ model.Type, value *strictyaml.Node) bool {
	s, identical, ok := implicit(typ, r.field.Type)
	switch {
	case !ok:
		value.Complain(fitHint(typ, r.field.Type), "%s is %s, but %s gives %s", r.field.Name, r.field.Type, r.origin.Rule, typ)
	case identical:
	case r.twoWay && s.write == nil:
		value.Complain("add as: split", "%s is %s and %s is %s: that converts one way only", r.field.Name, r.field.Type, r.native.Name, typ)
		return false
	default:
		r.steps = append(r.steps, s)
	}
	return ok
}

func fitHint(from, to model.Type) string {
	for _, c := range Converters {
		if c.Gives == to && slices.Contains(c.Takes, from) {
			return "add as: " + c.Name
		}
	}
	return ""
}

// claim notes who writes a native field; two writers would overwrite each other.
func (l *loader) claim(writers map[string]string, native, by string, at *strictyaml.Node) {
	if other, taken := writers[native]; taken {
		at.Complain("make one of them read only", "%s is written by %s already", native, other)
		return
	}
	writers[native] = by
}

// expression compiles a scalar; faults are placed inside it.
func (l *loader) expression(node *strictyaml.Node, kind connectors.Kind) *expression {
	if !node.IsScalar() {
		node.Complain("write it in quotes", "expected an expression")
		return nil
	}
	e, faults := compileExpression(node.Text(), kind)
	for _, f := range faults {
		l.problems.Add(insideScalar(l.source, node.Pos(), node.Text(), f.at), f.hint, "%s", f.message)
	}
	if e != nil {
		e.pos = node.Pos()
	}
	return e
}

// create reads the create section.
func (l *loader) create(n *noun, table model.Table, writers map[string]string, node *strictyaml.Node) {
	if !n.native.Can(connectors.AbilityCreate) {
		node.Complain("remove the section", "trueup cannot create %s in %s", n.native.Name, l.system.System)
		return
	}
	node.Map().Each(func(key, value *strictyaml.Node) {
		native, ok := l.native(n.native, key)
		if !ok {
			return
		}
		if !native.Writable && !native.Create {
			key.Complain("", "%s of %s cannot be written", native.Name, n.native.Name)
			return
		}
		c, ok := l.creation(table, native, value)
		if c.field != "" {
			l.claim(writers, native.Name, "create", key)
		}
		writers[native.Name] = "create"
		if ok {
			n.create = append(n.create, c)
		}
	})
	for _, f := range n.native.Fields {
		if _, given := writers[f.Name]; f.Required && !given {
			node.Complain(fmt.Sprintf("add %s: here", f.Name), "%s requires %s in a new %s", l.system.System, f.Name, n.native.Name)
		}
	}
}

func (l *loader) creation(table model.Table, native connectors.Field, value *strictyaml.Node) (creation, bool) {
	c := creation{native: native, pos: value.Pos()}
	if value.IsMap() {
		entry := value.Map()
		field, cut := entry.Need("field"), entry.Get("cut")
		entry.Close()
		f, ok := table.Field(field.Text())
		if !ok {
			if field.IsScalar() {
				field.Complain(diag.DidYouMean(field.Text(), table.Names()), "unknown field %q of %s", field.Text(), table.Kind)
			}
			return c, false
		}
		s, identical, ok := implicit(f.Type, native.Type)
		if !ok {
			field.Complain("", "%s is %s, but the model field %s is %s", native.Name, native.Type, f.Name, f.Type)
			return c, false
		}
		if identical {
			s.read = func(v model.Value) (model.Value, error) { return v, nil }
		}
		c.field, c.step = f.Name, s
		if cut.Present() {
			if c.cut = cut.Int(); native.Type != model.TypeText || c.cut < 1 {
				cut.Complain("write how many letters the system takes, as in cut: 60", "only a text can be cut, and to 1 letter or more")
				return c, false
			}
		}
		return c, true
	}
	v, err := model.Parse(native.Type, constantText(native.Type, value))
	switch {
	case err != nil:
		value.Complain("", "%s is %s: %s", native.Name, native.Type, err)
		return c, false
	case v.Blank():
		value.Complain("remove the line, or give a value", "%s is given nothing", native.Name)
	case len(native.Allowed) > 0 && !slices.Contains(native.Allowed, v.String()):
		value.Complain(diag.DidYouMean(v.String(), native.Allowed), "%s does not take %q", native.Name, v)
	case native.MaxLen > 0 && len([]rune(v.String())) > native.MaxLen:
		value.Complain("shorten it", "%s takes at most %d characters", native.Name, native.MaxLen)
	}
	c.constant = v
	return c, true
}

// constantText is a constant as model.Parse wants it; a list may be written as one.
func constantText(t model.Type, node *strictyaml.Node) string {
	if t == model.TypeList && node.IsList() {
		return strings.Join(node.Texts(), "\n")
	}
	return node.Text()
}
