package state_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/trueup-sync/trueup/state"
)

// An export in which any bytes were replaced, or which is anything else, is not accepted; the one that was written is.
func FuzzVerifyExport(f *testing.F) {
	text, head := exported(f)
	written := []byte(text)
	f.Add(0, []byte(nil))
	f.Add(0, []byte("{"))
	f.Add(len(written)/2, []byte(`"`))
	f.Add(len(written)-1, []byte(" "))
	f.Add(len(written), []byte("\n"))
	f.Add(bytes.Index(written, []byte(`"seq":3`)), []byte(`"seq":4`))
	f.Add(bytes.LastIndex(written, []byte(`"hash"`)), []byte(`"Hash"`))
	f.Add(1, []byte("\\u0022"))
	f.Fuzz(func(t *testing.T, at int, with []byte) {
		at = int(uint(at) % uint(len(written)+1))
		file := append(bytes.Clone(written[:at]), with...)
		if end := at + len(with); end < len(written) {
			file = append(file, written[end:]...)
		}
		_, err := state.VerifyExport(bytes.NewReader(file), state.Head{})
		_, knowing := state.VerifyExport(bytes.NewReader(file), head)
		switch same := bytes.Equal(file, written); {
		case same && (err != nil || knowing != nil):
			t.Errorf("as it was written: %v, %v", err, knowing)
		case !same && err == nil:
			t.Errorf("accepted although bytes from %d on were changed to %q", at, with)
		case !same && knowing == nil:
			t.Errorf("accepted by the head although bytes from %d on were changed to %q", at, with)
		case !same && !errors.Is(err, state.ErrBroken) && err.Error() == "":
			t.Error("it does not say what is wrong")
		}
	})
}
