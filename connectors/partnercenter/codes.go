package partnercenter

import (
	"net/http"
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

// unauthorized comes with status 401.
const unauthorized = "400"

// noRelationship answers for every customer that is not ours, or does not exist.
const noRelationship = "20002"

const (
	hintSchedule  = "schedule the smaller quantity for the renewal in Partner Center"
	hintLater     = "trueup reads it again and tries later"
	hintCustomer  = "open the customer in Partner Center and settle it there"
	hintRights    = "give the signed-in partner user the Admin agent role"
	hintPortal    = "do it in Partner Center"
	hintReport    = "this is a fault of trueup; please report it, with the request id"
	hintSupport   = "ask Microsoft partner support, with the request id"
	hintCatalogue = "choose another product or term for the renewal, or cancel at the end of the term"
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
	"400013": {connectors.ClassMissing, "the catalogue has no such product in this market", hintCatalogue},
	"400018": {connectors.ClassMissing, "the catalogue has no such SKU", hintCatalogue},
	"400019": {connectors.ClassStale, "it is not sold under that id any more", hintReadAgain},
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
	// The request.
	unauthorized: {connectors.ClassAuth, "access is denied", hintRights},
	"800001":     {connectors.ClassAuth, "the service found no token", "check the settings sign_in and api of this account"},
	"800002":     {connectors.ClassInvalid, "something in the request is not valid", hintReport},
	"3000":       {connectors.ClassInvalid, "a property in the request is not valid", hintReport},
	"900126":     {connectors.ClassInvalid, "the service does not know a word in the request", hintReport},
	"800042":     {connectors.ClassInvalid, "this is not supported", hintPortal},
	"900141":     {connectors.ClassInvalid, "this is not supported", hintPortal},
	"900127":     {connectors.ClassInvalid, "this is not supported in a sandbox", "try it in a production account"},
	"900322":     {connectors.ClassInvalid, "this product is not sold in a sandbox", "try it in a production account"},
	"900263":     {connectors.ClassInvalid, "this is not supported for legacy subscriptions", hintPortal},
	"900321":     {connectors.ClassInvalid, "this is not supported for a savings plan", hintPortal},
	"900316":     {connectors.ClassAuth, "this needs another kind of token", "set refresh_token in this account"},
	"800036":     {connectors.ClassStale, "a condition of the change does not hold any more", hintReadAgain},
	// What is sold.
	"2085":   {connectors.ClassInvalid, "the offer is not eligible for purchase", hintCatalogue},
	"2091":   {connectors.ClassInvalid, "the offer is no longer sold", hintCatalogue},
	"400072": {connectors.ClassInvalid, "this item is not available", hintCatalogue},
	"800020": {connectors.ClassInvalid, "it is not sold to this customer", hintCatalogue},
	"800028": {connectors.ClassInvalid, "it is no longer sold for that term", hintCatalogue},
	"800070": {connectors.ClassInvalid, "it is not sold in this country", hintCatalogue},
	"2030":   {connectors.ClassAuth, "the partner may not sell in this country", "enrol for the country in Partner Center"},
	"27006":  {connectors.ClassInvalid, "the customer may use no more of this offer", hintCatalogue},
	"27007":  {connectors.ClassInvalid, "the promotion is not valid, or not any more", "schedule it without the promotion"},
	"800121": {connectors.ClassInvalid, "the term is not valid", hintCatalogue},
	"900268": {connectors.ClassInvalid, "the term is not valid", hintCatalogue},
	"800084": {connectors.ClassTransient, "the service does not understand the term", hintLater},
	"800122": {connectors.ClassInvalid, "the new term may not be shorter than the present one", hintCatalogue},
	"900267": {connectors.ClassInvalid, "the new term may not be shorter than the present one", hintCatalogue},
	"900269": {connectors.ClassInvalid, "the billing cycle is not valid", hintCatalogue},
	"900270": {connectors.ClassInvalid, "the billing cycle is longer than the term", hintCatalogue},
	"900244": {connectors.ClassInvalid, "an end date of its own is only for New Commerce subscriptions", hintPortal},
	"900245": {connectors.ClassInvalid, "the end date does not lie in the next term, or is no month end", hintPortal},
	"900246": {connectors.ClassInvalid, "the end date fits no other subscription and no month end", hintPortal},
	// What does not change.
	"2006":   {connectors.ClassInvalid, "subscriptions for this offer take no changes", hintPortal},
	"2012":   {connectors.ClassInvalid, "the service finds no counterpart of the subscription in the directory", hintSupport},
	"2054":   {connectors.ClassInvalid, "the billing cycle of this subscription is changed with its order", hintPortal},
	"800080": {connectors.ClassInvalid, "the billing cycle of this subscription cannot be changed", hintPortal},
	"800097": {connectors.ClassInvalid, "the billing cycle of this subscription cannot be changed", hintPortal},
	"800072": {connectors.ClassTransient, "the subscription is not fully provisioned yet", hintLater},
	"800096": {connectors.ClassInvalid, "the status of this subscription cannot be changed", hintPortal},
	"800040": {connectors.ClassInvalid, "the status of this subscription cannot be changed like that", hintPortal},
	"800098": {connectors.ClassInvalid, "the partner on record cannot be changed", hintPortal},
	"800107": {connectors.ClassInvalid, "a trial cannot change its term", "convert the trial or wait for its end"},
	"800012": {connectors.ClassInvalid, "the subscription is not active", "look at it in Partner Center"},
	"800021": {connectors.ClassInvalid, "this is not a subscription that can be changed", "look at it in Partner Center"},
	"800081": {connectors.ClassInvalid, "the subscription must be activated first", "activate it in Partner Center"},
	"27009":  {connectors.ClassTransient, "an add-on cannot be active while its base is not", "reactivate the base first"},
	"800007": {connectors.ClassMissing, "nothing is known of how it was provisioned", "if it was bought within the last 15 minutes, wait"},
	"800037": {connectors.ClassMissing, "it is not there", "if it was made within the last 15 minutes, wait; else unlink it"},
	"800038": {connectors.ClassMissing, "nothing is known of its next billing", hintSupport},
	// Partners.
	"2071":   {connectors.ClassInvalid, "the partner id is not one of an adviser", "check the partner on record in Partner Center"},
	"2072":   {connectors.ClassInvalid, "the partner id is not valid as partner on record", "check the partner on record in Partner Center"},
	"800015": {connectors.ClassInvalid, "there is no such partner id", "check the setting reseller"},
	"800016": {connectors.ClassInvalid, "the partner id is not one of an indirect reseller", "check the setting reseller"},
	"800039": {connectors.ClassAuth, "the reseller's program status is not active", "settle the reseller's status in Partner Center"},
	"900123": {connectors.ClassAuth, "the indirect reseller has not accepted the Microsoft Partner Agreement", "have the reseller accept it"},
	"900149": {connectors.ClassAuth, "the program status of the partner is not active", "settle the partner's status in Partner Center"},
	"800069": {connectors.ClassAuth, "Microsoft's risk check refused it", hintSupport},
	"60003":  {connectors.ClassMissing, "there is no such tenant", "unlink the customer, or check its tenant id"},
	"900118": {connectors.ClassInvalid, "the customer id is not valid", "unlink the customer, or check its tenant id"},
	"900419": {connectors.ClassInvalid, "the customer may have no more subscriptions", hintSupport},
	// The service.
	"900192": {class: connectors.ClassTransient, hint: hintLater},
	"800003": {class: connectors.ClassTransient, hint: hintLater},
	"800094": {connectors.ClassTransient, "the service failed while changing the subscription", hintLater},
}

// faultOf gives a vendor's code its meaning. One we do not know keeps the class of its status and the vendor's words; with
// status 200 it is transient.
func faultOf(status int, code, description string) *connectors.Error {
	e := &connectors.Error{Code: code, Message: firstLine(description)}
	known, ok := codes[code]
	if !ok {
		known, ok = orderCodes[code]
	}
	switch {
	case ok && code == unauthorized && status != http.StatusUnauthorized: // its number is that of a status, and is met with others
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
