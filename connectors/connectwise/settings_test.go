package connectwise

import (
	"net/http"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise/connectwisetest"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

func TestSite(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ site, want, refused string }{
		"bare API host":            {"api-eu.myconnectwise.net", "https://api-eu.myconnectwise.net", ""},
		"bare host of the screens": {"eu.myconnectwise.net", "https://api-eu.myconnectwise.net", ""},
		"address of the screens":   {"https://NA.myconnectwise.net/v4_6_release/services/x", "https://api-na.myconnectwise.net", ""},
		"staging":                  {"staging.connectwisedev.com", "https://api-staging.connectwisedev.com", ""},
		"own installation":         {"psa.example.com", "https://psa.example.com", ""},
		"own installation, port":   {"https://psa.example.com:8443/", "https://psa.example.com:8443", ""},
		"sandbox":                  {"http://127.0.0.1:8090", "http://127.0.0.1:8090", ""},
		"sandbox by name":          {"http://localhost:8090", "http://localhost:8090", ""},
		"plain http":               {"http://psa.example.com", "", "plain http"},
		"another scheme":           {"ftp://psa.example.com", "", "https"},
		"keys in the address":      {"https://user:secret@psa.example.com", "", "not a host"},
		"nothing":                  {"https://", "", "not a host"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := siteURL(test.site)
			switch {
			case test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)):
				t.Errorf("error %v, want one that says %q", err, test.refused)
			case test.refused == "" && (err != nil || got != test.want):
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ setting, value, want string }{
		"no company":      {"company", "", "company is missing"},
		"no currency":     {"currency", "", "currency is missing"},
		"not a currency":  {"currency", "pounds", `currency is "pounds"`},
		"plain http":      {"site", "http://psa.example.com", "plain http"},
		"unknown literal": {"date_literal", "iso", "datetime or date"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := connectwisetest.New(connectwisetest.Options{}).Account("http://127.0.0.1:1")
			account.Settings[test.setting] = test.value
			_, err := New(account)
			wantError(t, err, connectors.ClassInvalid, "", test.want)
		})
	}
	t.Run("no key", func(t *testing.T) {
		t.Parallel()
		account := connectwisetest.New(connectwisetest.Options{}).Account("http://127.0.0.1:1")
		delete(account.Secrets, "private_key")
		_, err := New(account)
		wantError(t, err, connectors.ClassInvalid, "", "private_key is missing")
	})
}

func TestOwnFieldsFollowTheSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setting("id_field", "Sub Id"), setting("tenant_field", "Tenants"))
	for kind, want := range map[string]string{kindAddition: "custom.Sub Id", kindCompany: "custom.Tenants"} {
		if k, _ := w.c.Descriptor().Kind(kind); k.Own != want {
			t.Errorf("%s keeps ids in %q, want %q", kind, k.Own, want)
		}
		if k, _ := System.Descriptor.Kind(kind); k.Own == want {
			t.Errorf("the descriptor of every account was changed to %q", want)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		status int
		body   string
		want   connectors.Error
	}{
		{"required field", 400, `{"code":"InvalidObject","message":"Addition object is invalid","errors":[{"code":"MissingRequiredField","message":"The product field is required.","resource":"Addition","field":"product"}]}`,
			connectors.Error{Class: connectors.ClassInvalid, Code: "InvalidObject", Field: "product", Message: "ConnectWise says: Addition object is invalid: The product field is required."}},
		{"duplicate", 400, `{"code":"InvalidObject","message":"Company object is invalid","errors":[{"code":"ObjectExists","message":"The identifier is in use.","field":"identifier"}]}`,
			connectors.Error{Class: connectors.ClassInvalid, Code: "ObjectExists", Field: "identifier", Message: "ConnectWise says: Company object is invalid: The identifier is in use.", Hint: "link the record that exists, or give another value"}},
		{"bad search", 400, `{"code":"ApiFindCondition","message":"x"}`, connectors.Error{Class: connectors.ClassInvalid, Code: "ApiFindCondition", Message: "ConnectWise says: x", Hint: "this PSA refuses the search; try the setting date_literal: date, and report the message"}},
		{"old form of refused keys", 400, `{"code":"ConnectWiseApi","message":"UserNotAuthenticated"}`, connectors.Error{Class: connectors.ClassAuth, Code: "ConnectWiseApi", Message: "ConnectWise says: UserNotAuthenticated", Hint: hintKeys}},
		{"refused keys", 401, `{"code":"Unauthorized","message":"Provided credentials are not valid.","errors":null}`, connectors.Error{Class: connectors.ClassAuth, Code: "Unauthorized", Message: "ConnectWise says: Provided credentials are not valid.", Hint: hintKeys}},
		{"no client id, or role", 403, `denied`, connectors.Error{Class: connectors.ClassAuth, Hint: hintRights}},
		{"gone", 404, "\ufeff" + `{"code":"NotFound","message":"Company 12 not found"}`, connectors.Error{Class: connectors.ClassMissing, Code: "NotFound", Message: "ConnectWise says: Company 12 not found", Hint: "it was deleted or merged, or this PSA does not offer it"}},
		{"gone, by a web server", 404, `<html>404</html>`, connectors.Error{Class: connectors.ClassMissing, Hint: "it was deleted or merged, or this PSA does not offer it"}},
		{"conflict", 409, `{"code":"Conflict","message":"busy"}`, connectors.Error{Class: connectors.ClassStale, Code: "Conflict", Message: "ConnectWise says: busy", Hint: "read it again and decide again"}},
		{"version", 406, ``, connectors.Error{Class: connectors.ClassInvalid, Hint: hintVersion}},
		{"media type", 415, ``, connectors.Error{Class: connectors.ClassInvalid, Hint: hintVersion}},
		{"too often", 429, `{"error":"ConnectWiseAPI","message":"slow down"}`, connectors.Error{Class: connectors.ClassLimited, Message: "ConnectWise says: slow down", Hint: "lower the account's budget (per_minute) when this stays"}},
		{"timeout inside", 500, `{"code":"InternalServerError","message":"Execution Timeout Expired"}`, connectors.Error{Code: "InternalServerError", Message: "ConnectWise says: Execution Timeout Expired", Hint: "the PSA had trouble; look at its status page when this stays"}},
		{"maintenance", 503, `<html>`, connectors.Error{Hint: "the PSA had trouble; look at its status page when this stays"}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := readFault(rest.Response{Status: test.status, Header: http.Header{}, Body: []byte(test.body)})
			if test.want.Hint == "" {
				test.want.Hint = "correct the value, or what the PSA asks for"
			}
			diff(t, "fault", test.want, *got)
		})
	}
}
