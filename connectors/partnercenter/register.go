package partnercenter

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// registration is what a partner is told of. There is one for a tenant, whoever made it.
// https://learn.microsoft.com/partner-center/developer/partner-center-webhooks
type registration struct {
	URL    string   `json:"webhookUrl"`
	Events []string `json:"webhookEvents"`
	// Without it the signature is in the Authorization header, which proxies like to take away.
	OwnHeader bool `json:"signatureTokenToMsSignatureHeader"`
}

const registrationPath = "/webhooks/v1/registration"

// Register implements connectors.Registrar. The tenant has one registration; that of another address is never replaced.
func (c *Connector) Register(ctx context.Context, r connectors.Registration) (connectors.Registered, error) {
	now, there, err := c.registered(ctx)
	if err != nil {
		return connectors.Registered{}, err
	}
	ours := there && now.URL == r.URL
	fail := func(message, hint string) (connectors.Registered, error) {
		return listed(now, there, r.URL), &connectors.Error{Class: connectors.ClassInvalid, Op: "register a webhook", Record: "in " + c.account.Name, Message: message, Hint: hint}
	}
	wanted, method, step := now, http.MethodPut, ""
	switch {
	case r.Remove && (!ours || !slices.Contains(now.Events, eventUpdated)), ours && !r.Remove && slices.Contains(now.Events, eventUpdated) && now.OwnHeader:
		return listed(now, there, r.URL), nil
	case r.Remove && len(now.Events) == 1:
		return fail("Partner Center cannot take a registration back, and changes of subscriptions are the only thing that this one is about", "take it away in Partner Center, under account settings")
	case r.Remove:
		wanted.Events = slices.DeleteFunc(slices.Clone(now.Events), func(e string) bool { return e == eventUpdated })
		step = "stop telling " + r.URL + " of changed subscriptions"
	case there && !ours:
		return fail(fmt.Sprintf("the tenant has one registration, and it is for %s", now.URL), "let that program pass the messages on to "+r.URL+", with their headers and their bodies as they are, or take its registration away first")
	default:
		if !there {
			method = http.MethodPost
		}
		wanted.URL, wanted.OwnHeader = r.URL, true
		if !slices.Contains(wanted.Events, eventUpdated) {
			wanted.Events = append(slices.Clone(wanted.Events), eventUpdated)
		}
		step = "tell " + r.URL + " of " + strings.Join(wanted.Events, ", ")
	}
	if r.Dry {
		done := listed(now, there, r.URL)
		done.Steps = []string{step}
		return done, nil
	}
	h := headers()
	h.Set("MS-RequestId", requestID(r.Key))
	if _, err := c.api.Do(ctx, rest.Request{Method: method, Path: registrationPath, Header: h, Body: wanted, Repeat: true, Op: "register", Record: "a webhook"}); err != nil {
		return connectors.Registered{}, err
	}
	if now, there, err = c.registered(ctx); err != nil {
		return connectors.Registered{}, &connectors.Error{Class: connectors.ClassUnknown, Op: "register", Record: "a webhook in " + c.account.Name,
			Message: "it was accepted, but could not be read afterwards", Hint: "look at trueup hooks", Err: err}
	}
	done := listed(now, there, r.URL)
	done.Steps = []string{step}
	return done, nil
}

// registered reads the tenant's registration.
func (c *Connector) registered(ctx context.Context) (now registration, there bool, err error) {
	resp, err := c.api.Do(ctx, rest.Request{Path: registrationPath, Header: headers(), Op: "read", Record: "the registration of webhooks"})
	if connectors.ClassOf(err) == connectors.ClassMissing {
		return now, false, nil
	}
	if err != nil {
		return now, false, err
	}
	return now, true, resp.Decode("read the registration of webhooks", &now)
}

func listed(now registration, there bool, url string) connectors.Registered {
	if !there {
		return connectors.Registered{}
	}
	return connectors.Registered{Hooks: []connectors.Hook{{ID: "registration", URL: now.URL, About: now.Events, Active: true, Ours: now.URL == url}}}
}
