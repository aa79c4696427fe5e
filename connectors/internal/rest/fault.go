package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// judge says what a reply means; nil for 2xx.
func (c *Client) judge(cl *call, resp Response) *connectors.Error {
	if resp.Status >= 200 && resp.Status <= 299 {
		return nil
	}
	fault := &connectors.Error{}
	if c.o.Fault != nil {
		if f := c.o.Fault(resp); f != nil {
			copied := *f
			fault = &copied
		}
	}
	if fault.Class == "" {
		fault.Class = classOf(resp.Status, cl.write)
	}
	if cl.write && fault.Class == connectors.ClassTransient && (resp.Status >= 500 || resp.Status == http.StatusRequestTimeout) {
		fault.Class = connectors.ClassUnknown
	}
	if fault.Message == "" {
		fault.Message, fault.Hint = c.describe(resp, fault.Hint)
	}
	if fault.Hint == "" {
		fault.Hint = nextStep(fault.Class, resp.Status)
	}
	if fault.RetryAfter == 0 && (fault.Class == connectors.ClassLimited || resp.Status >= 500) {
		fault.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), c.o.Now())
	}
	return fault
}

// nextStep is what to do about a failure for which neither the system nor its connector has better advice.
func nextStep(class connectors.Class, status int) string {
	switch {
	case class == connectors.ClassLimited:
		return "it is asked again later; lower the account's budget (per_minute) when this stays"
	case class == connectors.ClassUnknown:
		return "it may or may not have been done; read the record before trying again"
	case class == connectors.ClassTransient:
		return "it is tried again later; look at the system's status page when this stays"
	case status == http.StatusUnauthorized:
		return "check the credentials of this account"
	case class == connectors.ClassAuth:
		return "check the rights of this account"
	}
	return ""
}

// classOf is the class of a status when the system's body did not say more.
func classOf(status int, write bool) connectors.Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return connectors.ClassAuth
	case http.StatusNotFound, http.StatusGone:
		return connectors.ClassMissing
	case http.StatusConflict, http.StatusPreconditionFailed:
		return connectors.ClassStale
	case http.StatusTooManyRequests:
		return connectors.ClassLimited
	case http.StatusFound, http.StatusSeeOther:
		// "Done, see there" and "sign in over there" look the same.
		if write {
			return connectors.ClassUnknown
		}
		return connectors.ClassInvalid
	}
	if status >= 500 || status == http.StatusRequestTimeout {
		if write {
			return connectors.ClassUnknown
		}
		return connectors.ClassTransient
	}
	return connectors.ClassInvalid
}

// describe says in a sentence what came back, with the start of the body unless it is a page for browsers.
func (c *Client) describe(resp Response, hint string) (message, next string) {
	name := c.o.System
	if name == "" {
		name = "the system"
	}
	message = strings.TrimSpace(fmt.Sprintf("%s answered %d %s", name, resp.Status, http.StatusText(resp.Status)))
	if location := resp.Header.Get("Location"); location != "" && resp.Status >= 300 && resp.Status <= 399 {
		host := "another address"
		if u, err := url.Parse(location); err == nil && u.Host != "" {
			host = u.Host
		} else if err == nil {
			host = "another path of the same host"
		}
		if hint == "" {
			hint = "check the address in the settings of this account"
		}
		return message + ", a redirect to " + host + ", which is not followed", hint
	}
	if text := excerpt(c.cut, resp.Body); text != "" && !strings.HasPrefix(text, "<") {
		message += ": " + text
	}
	return message, hint
}

// maxWait bounds what a Retry-After may say, far above anything meant seriously.
const maxWait = 30 * 24 * time.Hour

// retryAfter reads seconds or an HTTP date; 0 when there is no wait in it.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}

// stopped is the failure of a call whose context ended.
func stopped(cause error) *connectors.Error {
	message := "stopped before it was finished"
	if errors.Is(cause, context.DeadlineExceeded) {
		message = "the time allowed for it ran out"
	}
	return &connectors.Error{Class: connectors.ClassTransient, Message: message, Err: cause}
}

// notSent is the failure of an attempt that did not get its turn.
func notSent(err error) *connectors.Error {
	var held *heldError
	if errors.As(err, &held) {
		return &connectors.Error{
			Class: connectors.ClassLimited, RetryAfter: held.wait, Message: held.Error(),
			Hint: "nothing was sent; it goes on by itself",
		}
	}
	return stopped(err)
}

// signInFault is the failure of an attempt for which Authorize found no credentials. The request itself was not sent, so a
// sign-in of unknown outcome is only transient here.
func signInFault(ctx context.Context, err error) *connectors.Error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return stopped(ctx.Err())
	}
	var inner *connectors.Error
	if !errors.As(err, &inner) {
		return &connectors.Error{Class: connectors.ClassTransient, Message: "cannot sign in: " + causeText(err), Err: err}
	}
	fault, plain := *inner, *inner
	plain.Code, plain.Hint, plain.Field = "", "", "" // the text of fault ends with them
	fault.Message, fault.Err = "cannot sign in: "+plain.Error(), err
	if fault.Class == connectors.ClassUnknown {
		fault.Class = connectors.ClassTransient
	}
	return &fault
}

// finish gives a failure its names and takes the secrets out.
func (cl *call) finish(fault *connectors.Error) *connectors.Error {
	e := *fault
	e.Op, e.Record = cl.req.Op, cl.record
	if e.Op == "" {
		e.Op = strings.ToLower(cl.req.Method)
	}
	if cl.doubt && e.Class != connectors.ClassUnknown {
		e.Class = connectors.ClassUnknown
		if e.Hint == "" {
			e.Hint = "an earlier attempt may have been done; read the record before trying again"
		}
	}
	if e.RequestID == "" && cl.client.o.RequestID != nil && cl.response.Header != nil {
		e.RequestID = cl.client.o.RequestID(cl.response.Header)
	}
	return cl.cutter().fault(&e)
}

// cutter also knows the credentials this call was sent with.
func (cl *call) cutter() *cutter {
	if cl == nil {
		return nil
	}
	if cl.bearer == "" {
		return cl.client.cut
	}
	return newCutter(append([]connectors.Secret{connectors.NewSecret(cl.bearer)}, cl.client.o.Secrets...))
}
