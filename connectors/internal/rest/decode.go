package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
)

// Decode reads the body as one JSON value; numbers that go into an any become json.Number. Byte order marks and white space
// before it are skipped. The error is a *connectors.Error: unknown after a write, because the system said 2xx; otherwise
// transient for something that is not JSON (a page of a proxy, half a reply) and invalid for JSON of another shape.
func (r Response) Decode(op string, into any) error {
	body := trimStart(r.Body)
	fault := func(class connectors.Class, hint string, err error, format string, args ...any) *connectors.Error {
		e := &connectors.Error{Class: class, Op: op, Message: fmt.Sprintf(format, args...), Hint: hint, Err: err}
		cut := r.from.cutter()
		if r.from != nil {
			e.Record = r.from.record
			if r.from.write {
				e.Class, e.Hint = connectors.ClassUnknown, "read the record to see what was done"
			}
			if id := r.from.client.o.RequestID; id != nil {
				e.RequestID = id(r.Header)
			}
		}
		return cut.fault(e)
	}
	start := func() string { return excerpt(r.from.cutter(), body) }

	switch {
	case len(body) == 0:
		return fault(connectors.ClassTransient, "", nil, "the reply (status %d) is empty where JSON was expected", r.Status)
	case body[0] == '<':
		return fault(connectors.ClassTransient, "something in front of the system answered, or its address is wrong", nil,
			"the reply (status %d) is HTML or XML where JSON was expected: %s", r.Status, start())
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	err := dec.Decode(into)
	var shape *json.UnmarshalTypeError
	switch {
	case errors.As(err, &shape):
		e := fault(connectors.ClassInvalid, "", err, "the reply holds %s here where %s was expected",
			strings.Fields(shape.Value)[0], kindName(shape.Type))
		e.Field = shape.Field
		return e
	case err != nil:
		return fault(connectors.ClassTransient, "", err, "the reply (status %d, %d bytes) cannot be read as JSON: %v; it starts: %s",
			r.Status, len(r.Body), err, start())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fault(connectors.ClassTransient, "", nil, "the reply (status %d) has more after its JSON; it starts: %s", r.Status, start())
	}
	return nil
}

// kindName is what a Go type is called in JSON.
func kindName(t reflect.Type) string {
	if t == reflect.TypeFor[json.Number]() {
		return "number"
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	}
	return "number"
}
