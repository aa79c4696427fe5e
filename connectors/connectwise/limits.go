package connectwise

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// priceDigits is how many decimals of a price are kept. Integrators report two to four.
const priceDigits = 4

var rejects = []connectors.Reject{
	{What: "A catalog item of class Bundle cannot be an addition.", Verified: "unverified (integrators' documentation)"},
	{What: "Prices and costs keep at most four decimals; some tenants keep two. A rounded price is accepted.", Verified: "unverified (integrators report two to four)"},
	{What: "A company identifier has at most 25 characters and is unique, a name at most 50.", Verified: "unverified (vendor's API description 2022.1)"},
	{What: "Some tenants want an address, a site or a status before they make a company.", Verified: "unverified (comment in the vendor's API description)"},
	{What: "A ticket's summary and its external reference have at most 100 characters; its status and type are those of its board.", Verified: "unverified (vendor's API description 2022.1)"},
	{What: "What a ticket is opened with is not delivered any more afterwards; it stands among its notes.", Verified: "unverified (vendor's API description 2022.1)"},
	{What: "An agreement needs a contact of its company.", Verified: "unverified (vendor's API description 2025.1)"},
	{What: "Cancelled date is the last billed day, inclusive.", Verified: "unverified (one integrator's guide; look at one invoice of yours)"},
	{What: "Custom fields that are not in the array of a change lose their value; trueup always sends all of them.", Verified: "unverified (integrators' notes)"},
	{What: "Another product on an addition sets its price, cost, description and tax again; trueup does not change the product of a line.", Verified: "unverified (an integrator's source)"},
	{What: "Wrong keys or a wrong company are answered with 401, in the cloud also with 404; a missing client id with 403.", Verified: "unverified (integrators' notes)"},
	{What: "Products of opportunities are searched for with opportunity/id>0.", Verified: "unverified (grammar from an integrator's notes)"},
	{What: "On one own installation a search by change stamp understood only days; the setting date_literal is for that.", Verified: "unverified (an MSP's notes on 2026.3)"},
}

const (
	hintKeys    = "check company (its case matters), public_key, private_key and client_id of this account"
	hintRights  = "check client_id, and what the security role of the API member allows"
	hintVersion = "this PSA does not speak version 2022.1 of the API; it needs an update"
)

// readFault turns an error body into a class, a plain sentence and the next step. The vendor documents few codes, so the
// status decides first and the code refines.
func readFault(resp rest.Response) *connectors.Error {
	var body struct {
		Code, Message string
		Errors        []struct{ Code, Message, Field string }
	}
	e := &connectors.Error{}
	if err := resp.Decode("read the error", &body); err == nil {
		e.Code, e.Message = body.Code, strings.TrimSpace(body.Message)
		for _, detail := range body.Errors {
			e.Message = strings.TrimPrefix(strings.TrimSuffix(e.Message, ".")+": "+detail.Message, ": ")
			if e.Field == "" {
				e.Field = detail.Field
			}
			if detail.Code == "ObjectExists" {
				e.Code = detail.Code
			}
		}
		if e.Message != "" {
			e.Message = fmt.Sprintf("ConnectWise says: %s", e.Message)
		}
	}
	switch {
	case strings.Contains(e.Message, "UserNotAuthenticated"), e.Code == "Unauthorized", resp.Status == http.StatusUnauthorized:
		e.Class, e.Hint = connectors.ClassAuth, hintKeys
	case resp.Status == http.StatusForbidden:
		e.Class, e.Hint = connectors.ClassAuth, hintRights
	case e.Code == "ObjectExists":
		e.Class, e.Hint = connectors.ClassInvalid, "link the record that exists, or give another value"
	case e.Code == "ApiFindCondition":
		e.Class, e.Hint = connectors.ClassInvalid, "this PSA refuses the search; try the setting date_literal: date, and report the message"
	case resp.Status == http.StatusBadRequest:
		e.Class, e.Hint = connectors.ClassInvalid, "correct the value, or what the PSA asks for"
	case resp.Status == http.StatusNotFound:
		e.Class, e.Hint = connectors.ClassMissing, "it was deleted or merged, or this PSA does not offer it"
	case resp.Status == http.StatusNotAcceptable, resp.Status == http.StatusUnsupportedMediaType:
		e.Class, e.Hint = connectors.ClassInvalid, hintVersion
	case resp.Status == http.StatusConflict:
		e.Class, e.Hint = connectors.ClassStale, "read it again and decide again"
	case resp.Status == http.StatusTooManyRequests:
		e.Class, e.Hint = connectors.ClassLimited, "lower the account's budget (per_minute) when this stays"
	case resp.Status >= http.StatusInternalServerError:
		e.Hint = "the PSA had trouble; look at its status page when this stays"
	}
	return e
}
