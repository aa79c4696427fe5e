package connectors_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
)

// A secret is not seen, however it or a struct around it is printed. An unexported field is the hard case: fmt reads it
// without asking Format.
func TestSecretIsNotSeen(t *testing.T) {
	t.Parallel()
	const text = "planted-secret"
	type holder struct {
		Shown  connectors.Secret
		hidden connectors.Secret
	}
	s := connectors.NewSecret(text)
	h := holder{s, s}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for what, v := range map[string]any{"secret": s, "struct": h, "pointer": &h, "map": map[string]holder{"a": h}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, text) || strings.Contains(got, fmt.Sprintf("%x", text)) {
				t.Errorf("%s of a %s shows it: %s", verb, what, got)
			}
		}
	}
	if got := fmt.Sprint(s); got != "<secret>" {
		t.Errorf("prints as %q", got)
	}
	if b, err := json.Marshal(h); err == nil {
		t.Errorf("was marshalled: %s", b)
	}
	if s.Reveal() != text || h.hidden.Reveal() != text {
		t.Error("Reveal does not give the text")
	}
	if connectors.NewSecret("") != (connectors.Secret{}) || (connectors.Secret{}).Reveal() != "" {
		t.Error("the empty secret is not the zero Secret")
	}
}
