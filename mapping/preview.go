package mapping

import (
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// PreviewLine is one mapped field of a record, with where its value comes from.
type PreviewLine struct {
	Field   string
	Value   model.Value   // not Known when nothing was delivered or the value could not be read
	Origin  Origin        // the rule, and its place in the mapping file
	Native  []NativeValue // what the rule looked at
	Problem string        // why there is no value, in a plain sentence; "" when all is well
}

// NativeValue is a native field as delivered; not Known when it was not.
type NativeValue struct {
	Field string
	Value model.Value
}

// Preview shows what a mapping makes of a native record: every mapped field of the noun, in documentation order, also
// those without a value. Where is not asked; ToModel says whether the record is one of the noun.
func (m *Mapping) Preview(kind model.Kind, rec connectors.Record) []PreviewLine {
	n, ok := m.byKind[kind]
	if !ok {
		return nil
	}
	lines := make([]PreviewLine, len(n.rules))
	for i, r := range n.rules {
		line := PreviewLine{Field: r.field.Name, Origin: r.origin}
		for _, name := range r.looksAt() {
			line.Native = append(line.Native, NativeValue{name, nativeValue(rec, name)})
		}
		v, err := r.read(rec)
		if err != nil {
			line.Problem = err.Error()
		}
		line.Value = v
		lines[i] = line
	}
	return lines
}

func (r *rule) looksAt() []string {
	if r.expression == nil {
		return []string{r.native.Name}
	}
	names := make([]string, len(r.expression.refs))
	for i, f := range r.expression.refs {
		names[i] = f.Name
	}
	return names
}
