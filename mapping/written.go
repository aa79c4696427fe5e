package mapping

import (
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

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

// Reads is what one field reads as in a native record, whether or not the record is one of the noun; it is not Known when that cannot be told.
func (m *Mapping) Reads(kind model.Kind, field string, rec connectors.Record) model.Value {
	r := m.rule(kind, field)
	if r == nil {
		return model.Value{}
	}
	v, err := r.read(rec)
	if err != nil {
		return model.Value{}
	}
	return v
}
