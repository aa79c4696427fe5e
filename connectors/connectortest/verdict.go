package connectortest

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"pgregory.net/rapid"
)

// verdict lets a property be checked as a question: it keeps what was said instead of failing a test.
type verdict struct {
	name   string
	failed bool
	said   []string
}

func (v *verdict) Helper()                      {}
func (v *verdict) Name() string                 { return v.name }
func (v *verdict) Logf(format string, a ...any) { v.said = append(v.said, fmt.Sprintf(format, a...)) }
func (v *verdict) Log(a ...any)                 { v.said = append(v.said, fmt.Sprintln(a...)) }
func (v *verdict) Skipf(string, ...any)         { v.SkipNow() }
func (v *verdict) Skip(...any)                  { v.SkipNow() }
func (v *verdict) SkipNow()                     { runtime.Goexit() }
func (v *verdict) Errorf(f string, a ...any)    { v.Logf(f, a...); v.Fail() }
func (v *verdict) Error(a ...any)               { v.Log(a...); v.Fail() }
func (v *verdict) Fatalf(f string, a ...any)    { v.Logf(f, a...); v.FailNow() }
func (v *verdict) Fatal(a ...any)               { v.Log(a...); v.FailNow() }
func (v *verdict) FailNow()                     { v.Fail(); runtime.Goexit() }
func (v *verdict) Fail()                        { v.failed = true }
func (v *verdict) Failed() bool                 { return v.failed }

// ask checks a property and answers with what was said against it. It has a goroutine of its own, because a verdict that
// is final ends the goroutine.
func ask(name string, property func(*rapid.T)) error {
	v := &verdict{name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(v, property)
	}()
	<-done
	if !v.failed {
		return nil
	}
	return errors.New(strings.Join(v.said, "\n"))
}
