package mapping

import "github.com/trueup-sync/trueup/model"

// AsWritten is what a two-way field will read as after v was written to it and the system altered the native value (rounded
// it, trimmed it, changed its case). A field that cannot be written, or a value that does not fit, comes back as it was.
func (m *Mapping) AsWritten(kind model.Kind, field string, v model.Value, alter func(native string, v model.Value) model.Value) model.Value {
	r := m.rule(kind, field)
	if r == nil || !r.twoWay || !v.Known() {
		return v
	}
	written, err := r.write(v)
	if err != nil {
		return v
	}
	read := alter(r.native.Name, written)
	for _, s := range r.steps {
		if read, err = s.forward(read); err != nil {
			return v
		}
	}
	return read
}
