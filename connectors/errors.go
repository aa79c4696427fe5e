package connectors

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class sorts every failure by what to do about it.
type Class string

const (
	ClassTransient Class = "transient" // try later; nothing was changed
	ClassLimited   Class = "limited"   // asked too often; try after RetryAfter; nothing was changed
	ClassAuth      Class = "auth"      // credentials or rights; a person must act
	ClassInvalid   Class = "invalid"   // this record or value is refused; repeating it is useless
	ClassStale     Class = "stale"     // the record moved since it was read; read and decide again
	ClassMissing   Class = "missing"   // it is not there
	ClassUnknown   Class = "unknown"   // the write may or may not have happened; look before anything else
)

// Classes lists every class.
var Classes = []Class{ClassTransient, ClassLimited, ClassAuth, ClassInvalid, ClassStale, ClassMissing, ClassUnknown}

// Error is a failure at the edge. Its text names what was done to what, quotes the vendor and ends with the next step.
type Error struct {
	Class      Class
	Op         string        // what was being done: "change quantity"
	Record     string        // to what: "subscription a7c2… of customer 3b1e…"
	Field      string        // native field, when one is to blame
	Code       string        // the vendor's code
	Message    string        // the vendor's words or ours, in a plain sentence
	Hint       string        // the next step
	RetryAfter time.Duration // for ClassLimited and ClassTransient
	RequestID  string        // what the vendor's support asks for
	Err        error         // cause
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Record != "" {
		b.WriteString(" " + e.Record)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " (field %s)", e.Field)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	switch {
	case e.Message != "":
		b.WriteString(e.Message)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	default:
		b.WriteString(string(e.Class))
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " [code %s]", e.Code)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of any error; one that did not come from a connector is transient, except nil, which has none.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassTransient
}
