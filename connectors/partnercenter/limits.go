package partnercenter

import "github.com/trueup-sync/trueup/connectors"

// rejects is what the service refuses or alters. None of it was seen by us in production yet, so each says where it is
// known from.
var rejects = []connectors.Reject{
	{What: "A change with less than the whole subscription in its body switches auto-renewal off and deletes what is scheduled for the renewal; the whole body is always sent.",
		Verified: "unverified (vendor documentation, update a subscription by id)"},
	{What: "A change of quantity inside the term deletes what is scheduled for the renewal; it is put back in a second request. When trueup is killed between the two, the next run schedules it again from what the contract line says.",
		Verified: "unverified (vendor documentation, create scheduled changes)"},
	{What: "Cancelling at the end of the term is sent as scheduledActions with TermEnd and Cancel, and renewing as scheduledNextTermInstructions with the availability of today; whether the service takes an availability that has lapsed by then is not known.",
		Verified: "unverified (member names from third-party clients, 2026)"},
	{What: "A subscription whose auto-renewal is off and that was not cancelled may go on month by month as an extended service term, up to 23 % dearer.",
		Verified: "unverified (distributors' notices of 2026)"},
	{What: "Seats can be removed only within 7 days after they came (purchase, renewal or a later increase, each with its own window); codes 800090, 900214, 900257.",
		Verified: "unverified (vendor documentation, subscription life cycle)"},
	{What: "Trials, suspended, expired, disabled and deleted subscriptions refuse a change of quantity; codes 800095, 2001, 800091, 900277, 900279, 2011.",
		Verified: "unverified (vendor documentation, error codes)"},
	{What: "Seats outside the product's minimum and maximum are refused; codes 2002, 900275, 800067, 800088.",
		Verified: "unverified (vendor documentation, error codes)"},
	{What: "A subscription takes about 1,200 changes in its life; code 900311.",
		Verified: "unverified (vendor documentation, error codes)"},
	{What: "While a renewal is queued, up to 24 hours after the term's end at midnight UTC, changes are refused with 409.",
		Verified: "unverified (vendor documentation, create a new subscription)"},
	{What: "A change can be answered 202 and show only later, up to 15 minutes; an order shows in lists up to 15 minutes late.",
		Verified: "unverified (vendor documentation, update a subscription by id, get orders)"},
	{What: "Pages of customers hold at most 500. Whether the page after exactly 500, 1,000, ... customers is offered is not known, so a full last page counts as a doubt, not as the end.",
		Verified: "unverified (public issue of the vendor's samples; the second half is our caution)"},
	{What: "The activity log reaches back 90 days and answers for 30 days at a time; it and the price sheet refuse an application without a user (900329).",
		Verified: "unverified (vendor documentation, auditing; published OpenAPI document)"},
	{What: "Whether unitPrice of a yearly term billed monthly is for the year, as assumed, is not documented.",
		Verified: "unverified (third-party importers)"},
	{What: "A billing profile is replaced whole, under the etag it was read with; an old etag is refused with 400 and code 2055. The company's own profile is read only.",
		Verified: "unverified (vendor documentation, customer resources)"},
	{What: "A domain is free when asking for it is answered 404. An address is taken as it is only when the service calls it Verified or VerifiedShippable.",
		Verified: "unverified (vendor documentation, verify domain availability, validate an address)"},
	{What: "A new customer may be missing from lists, and read as having no relationship, for some time; 15 minutes are assumed. Its first administrator's password is told once.",
		Verified: "unverified (vendor documentation, create a customer; the time is our guess)"},
	{What: "Some countries want a company registration number or a telephone number of a new customer; codes 600049, 600050, 600051, and 600002 where it is not taken.",
		Verified: "unverified (vendor documentation, error codes)"},
	{What: "Tokens for a retired audience are refused with 401 and code 900420. Only the global and US Government clouds are supported.",
		Verified: "unverified (community knowledge pack, 2026-06)"},
}
