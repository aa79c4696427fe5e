package partnercenter

import (
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// meaning is what a vendor's code is to us. An empty message keeps the vendor's words.
type meaning struct {
	class   connectors.Class
	message string
	hint    string
}

// afterRenewal is how long Microsoft asks to wait when another operation holds the subscription.
const afterRenewal = 2 * time.Minute

// noRelationship answers for every customer that is not ours, or does not exist.
const noRelationship = "20002"

const (
	hintSchedule  = "schedule the smaller quantity for the renewal in Partner Center"
	hintLater     = "trueup reads it again and tries later"
	hintCustomer  = "open the customer in Partner Center and settle it there"
	hintRights    = "give the signed-in partner user the Admin agent role"
	hintSupport   = "ask Microsoft partner support, with the request id"
	hintReadAgain = "read the subscription again and decide anew"
)

// codes are the refusals that decide what happens next. https://learn.microsoft.com/partner-center/developer/error-codes
var codes = map[string]meaning{
	// Seats that may not go.
	"800090": {connectors.ClassInvalid, "seats cannot be removed now: their window is closed", hintSchedule},
	"900214": {connectors.ClassInvalid, "seats cannot be removed now: the hours for it have passed", hintSchedule},
	"900257": {connectors.ClassInvalid, "seats cannot be removed now: the 7 days for it have passed", hintSchedule},
	"800027": {connectors.ClassInvalid, "this product takes no change of quantity", "change it in Partner Center"},
	"800092": {connectors.ClassInvalid, "seats cannot be added: the subscription came through Software Assurance", "change it in Partner Center"},
	"800095": {connectors.ClassInvalid, "the quantity of this subscription is locked (trials are)", "convert the trial or wait for its end"},
	"900213": {connectors.ClassInvalid, "it cannot be cancelled any more: the hours for it have passed", "switch auto-renewal off instead"},
	"900117": {connectors.ClassInvalid, "it cannot be cancelled any more: the days for it have passed", "switch auto-renewal off instead"},
	// Limits.
	"2002":   {connectors.ClassInvalid, "the quantity is below the product's minimum or above its maximum", "choose a quantity inside the product's limits"},
	"900275": {connectors.ClassInvalid, "the quantity is outside the allowed range", "choose a quantity inside the product's limits"},
	"800067": {connectors.ClassInvalid, "the product allows no more seats in one subscription", "buy another subscription or another product"},
	"800088": {connectors.ClassInvalid, "the product allows no more seats in one subscription", "buy another subscription or another product"},
	"800089": {connectors.ClassInvalid, "the customer may not own that many of this product", "buy another product"},
	"900311": {connectors.ClassInvalid, "the subscription was updated too many times (about 1,200 are allowed)", hintSupport},
	// States.
	"2001":   {connectors.ClassInvalid, "the subscription is suspended: its quantity is locked", "reactivate it first"},
	"800091": {connectors.ClassInvalid, "the subscription is suspended and takes no changes", "reactivate it first"},
	"2011":   {connectors.ClassInvalid, "the subscription is deleted", "unlink it, or link the one that replaced it"},
	"2055":   {connectors.ClassStale, "it was changed by somebody else in the meantime", hintReadAgain},
	"800093": {connectors.ClassInvalid, "this subscription cannot renew by itself", "leave auto-renewal off"},
	"900277": {connectors.ClassInvalid, "the subscription is expiring and takes no more changes", "buy it anew if it is still needed"},
	"900279": {connectors.ClassInvalid, "the subscription takes no more changes", "look at it in Partner Center"},
	"900280": {connectors.ClassInvalid, "the subscription takes no changes at the moment", hintLater},
	// Something else is going on.
	"900278": {connectors.ClassTransient, "another operation on this subscription is not finished (a renewal can take a day)", hintLater},
	"800082": {connectors.ClassTransient, "the subscription is not ready to be changed yet", hintLater},
	"800014": {connectors.ClassTransient, "an adjustment of this order is not finished", hintLater},
	"800060": {connectors.ClassTransient, "an order is in progress", hintLater},
	"800064": {connectors.ClassTransient, "the cart is being processed", hintLater},
	// The customer.
	"900416":       {connectors.ClassAuth, "the customer's account is locked for transactions", hintCustomer},
	"800073":       {connectors.ClassAuth, "the customer's account is under review", hintCustomer},
	"800074":       {connectors.ClassAuth, "the customer's account is under review", hintCustomer},
	"800075":       {connectors.ClassAuth, "the customer's account was not approved", hintCustomer},
	"13605":        {connectors.ClassAuth, "the customer has not accepted the Microsoft Customer Agreement", "have it accepted, or confirm the acceptance in Partner Center"},
	noRelationship: {connectors.ClassAuth, "there is no reseller relationship with this customer", "ask the customer to accept a relationship, or leave the customer out"},
	"800023":       {connectors.ClassAuth, "the partner's credit line does not cover it", "settle invoices or ask Microsoft for more credit"},
	"800025":       {connectors.ClassAuth, "the partner's credit line does not cover it", "settle invoices or ask Microsoft for more credit"},
	"900121":       {connectors.ClassAuth, "the partner's credit limit is too low", "settle invoices or ask Microsoft for more credit"},
	"20003":        {connectors.ClassMissing, "there is no such subscription", "if it was bought within the last 15 minutes, wait; else unlink it"},
	"1000":         {connectors.ClassMissing, "it is not there", "if it was made within the last 15 minutes, wait; else unlink it"},
	"600002":       {connectors.ClassInvalid, "companies of this country have no registration number here", "empty the tax number on the company, or take it out of the mapping"},
	"600049":       {connectors.ClassInvalid, "the company's registration number is missing, and its country wants one", "fill in the tax number on the company in the PSA"},
	"600050":       {connectors.ClassInvalid, "the company's registration number has not the form that its country wants", "correct the tax number on the company in the PSA"},
	"600051":       {connectors.ClassInvalid, "the telephone number is missing, and the company's country wants one", "fill in the telephone number of the company or its contact in the PSA"},
	// The account.
	"2032":   {connectors.ClassAuth, "access is denied", hintRights},
	"900329": {connectors.ClassAuth, "this needs a signed-in partner user; an application alone is refused", "set refresh_token in this account"},
	"900308": {connectors.ClassAuth, "the signed-in partner user may not do this", hintRights},
	"900309": {connectors.ClassAuth, "a Conditional Access policy of the partner blocks it", "exempt the application or its network in Conditional Access"},
	"900150": {connectors.ClassAuth, "the signed-in partner user's role may not do this", hintRights},
	"900420": {connectors.ClassAuth, "the token was issued for another address", "check the settings api and sign_in"},
	"900124": {connectors.ClassAuth, "the partner has not accepted the Microsoft Partner Agreement", "have a global admin accept it in Partner Center"},
	// The service.
	"800003": {class: connectors.ClassTransient, hint: hintLater},
	"800094": {connectors.ClassTransient, "the service failed while changing the subscription", hintLater},
}

// faultOf gives a vendor's code its meaning. One we do not know keeps the class of its status and the vendor's words; with
// status 200 it is transient.
func faultOf(status int, code, description string) *connectors.Error {
	e := &connectors.Error{Code: code, Message: firstLine(description)}
	known, ok := codes[code]
	switch {
	case ok:
		e.Class, e.Hint = known.class, known.hint
		if known.message != "" {
			e.Message = known.message
			if said := firstLine(description); said != "" {
				e.Message += ` (Microsoft says "` + said + `")`
			}
		}
	case status == 200:
		e.Class = connectors.ClassTransient
	case status == 409:
		// A conflict here means that something else is going on, not that our knowledge is old.
		e.Class, e.Hint = connectors.ClassTransient, hintLater
	}
	if status == 409 && e.Class == connectors.ClassTransient {
		e.RetryAfter = afterRenewal
	}
	return e
}

// signInCodes are the refusals of the token service that a person can do something about.
var signInCodes = map[string]struct{ message, hint string }{
	"50076":   {"Microsoft wants multi-factor authentication for this user", "sign in again with multi-factor authentication and replace refresh_token"},
	"50079":   {"the user must first enrol in multi-factor authentication", "enrol, sign in again and replace refresh_token"},
	"50158":   {"Microsoft wants multi-factor authentication for this user", "sign in again with multi-factor authentication and replace refresh_token"},
	"53003":   {"a Conditional Access policy blocks the sign-in", "exempt the application or its network in Conditional Access"},
	"65001":   {"consent to the application is missing", "have a partner admin consent to the application, then replace refresh_token"},
	"700082":  {"the refresh token expired: it was not used for 90 days", "sign in again and replace refresh_token"},
	"700084":  {"the refresh token expired", "sign in again and replace refresh_token"},
	"50173":   {"the refresh token was revoked, by a new password for instance", "sign in again and replace refresh_token"},
	"7000215": {"the client secret is wrong", "check client_secret: it is the secret's value, not its id"},
	"7000222": {"the client secret expired", "make a new secret in the app registration and replace client_secret"},
	"700016":  {"the application is not known in this tenant", "check client_id and tenant"},
	"90002":   {"the tenant does not exist", "check tenant and sign_in"},
}
