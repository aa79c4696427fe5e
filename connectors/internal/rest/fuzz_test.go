package rest

import (
	"net/http"
	"testing"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// A Retry-After is never in the past and never so long that trueup would stand still.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "5", "1.5", "-1", "NaN", "Inf", "1e300", "Wed, 05 Mar 2031 10:00:00 GMT", "Wednesday, 05-Mar-31 10:00:00 GMT", " 7 ", "0x10"} {
		f.Add(seed)
	}
	now := time.Date(2031, 3, 5, 9, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if d := retryAfter(header, now); d < 0 || d > maxWait {
			t.Errorf("%q says to wait %s", header, d)
		}
	})
}

// Whatever arrives where JSON was expected, it is decoded or it is a fault with a class and a text.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", `{"a":1}`, "\ufeff{\"a\":[1]}", "<html>", `{"a":"x"}`, `{"a":1}{`, "null", "[1,2", "\x00"} {
		f.Add(200, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var into struct {
			A float64 `json:"a"`
		}
		err := Response{Status: status, Header: http.Header{}, Body: body}.Decode("read", &into)
		if err == nil {
			return
		}
		if class := connectors.ClassOf(err); class != connectors.ClassTransient && class != connectors.ClassInvalid || err.Error() == "" {
			t.Errorf("%q is %s: %v", body, class, err)
		}
	})
}
