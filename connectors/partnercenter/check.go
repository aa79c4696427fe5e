package partnercenter

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// Check signs in, asks for everything that is read, customer by customer, and changes nothing. Whether seats may be
// changed cannot be found out without changing some.
func (c *Connector) Check(ctx context.Context) (connectors.Report, error) {
	if _, err := c.access(ctx, c.apiToken); err != nil {
		return connectors.Report{}, err
	}
	report := connectors.Report{Identity: "application " + c.account.Settings["client_id"] + " of tenant " + c.account.Settings["tenant"] + ", for a signed-in partner user"}
	if c.appOnly {
		report.Identity = "application " + c.account.Settings["client_id"] + " of tenant " + c.account.Settings["tenant"] + ", without a user"
	}
	add := func(right connectors.Right) { report.Rights = append(report.Rights, right) }

	if !c.appOnly {
		right, err := c.checkMFA(ctx)
		if err != nil {
			return connectors.Report{}, err
		}
		add(right)
	}
	found, gaps, err := c.customers(ctx)
	if stops(ctx, err) {
		return connectors.Report{}, err
	}
	list := granted("list customers", err)
	for _, gap := range gaps {
		list.Granted, list.Reason = false, gap.Reason
	}
	add(list)
	add(c.checkFeed(ctx))
	add(c.checkPrices(ctx))

	rights := make([]connectors.Right, len(found))
	var inUse []connectors.Right
	if c.seats {
		inUse = make([]connectors.Right, len(found))
	}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(c.parallel)
	for i, customer := range found {
		group.Go(func() error {
			b := c.subscriptionsOf(asking, customer.ID)
			if b.stop {
				return b.err
			}
			rights[i] = granted("read subscriptions", b.err)
			for _, gap := range b.gaps {
				rights[i].Granted, rights[i].Reason = false, gap.Reason
			}
			rights[i].Customer = customer.Fields["companyProfile.companyName"].String() + " (" + customer.ID + ")"
			if c.seats {
				_, err := c.consumed(asking, customer.ID)
				if stops(asking, err) {
					return err
				}
				inUse[i] = granted("read seats in use", err)
				inUse[i].Customer = rights[i].Customer
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return connectors.Report{}, err
	}
	report.Rights = append(append(report.Rights, rights...), inUse...)
	slices.SortStableFunc(report.Rights, func(a, b connectors.Right) int {
		switch {
		case a.Granted != b.Granted && b.Granted:
			return -1
		case a.Granted != b.Granted:
			return 1
		}
		return strings.Compare(a.Name+"\n"+a.Customer, b.Name+"\n"+b.Customer)
	})
	return report, nil
}

// granted turns the outcome of asking into a right.
func granted(name string, err error) connectors.Right {
	if err != nil {
		return connectors.Right{Name: name, Reason: err.Error()}
	}
	return connectors.Right{Name: name, Granted: true}
}

// stops reports failures that leave nothing to find out.
func stops(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || spoilsAll(err) || connectors.ClassOf(err) == connectors.ClassTransient)
}

// checkMFA asks whether the token carries the multi-factor claim, which Microsoft demands of users.
func (c *Connector) checkMFA(ctx context.Context) (connectors.Right, error) {
	right := connectors.Right{Name: "multi-factor sign-in", Granted: true}
	h := headers()
	h.Set("ValidateMfa", "true")
	resp, err := c.api.Do(ctx, rest.Request{Path: "/v1/customers", Query: url.Values{"size": {"1"}}, Header: h, Op: "check", Record: "multi-factor sign-in"})
	if err != nil {
		if stops(ctx, err) {
			return right, err
		}
		return connectors.Right{Name: right.Name, Reason: err.Error()}, nil
	}
	if strings.EqualFold(resp.Header.Get("isMfaCompliant"), "false") {
		right.Granted = false
		right.Reason = "the user behind the refresh token did not sign in with multi-factor authentication, which Microsoft enforces; sign in again with it and replace refresh_token"
	}
	return right, nil
}

func (c *Connector) checkFeed(ctx context.Context) connectors.Right {
	const name = "read the activity log"
	if c.appOnly {
		return connectors.Right{Name: name, Reason: "an application alone may not; everything is listed instead of only what changed; set refresh_token"}
	}
	_, err := c.api.Do(ctx, rest.Request{Path: "/v1/auditrecords", Query: url.Values{"startDate": {c.today().String()}, "size": {"1"}},
		Header: headers(), Op: "check", Record: "activity log"})
	return granted(name, err)
}

// checkPrices signs in for the price sheet without fetching it: it is large.
func (c *Connector) checkPrices(ctx context.Context) connectors.Right {
	const name = "read prices"
	switch {
	case c.appOnly:
		return connectors.Right{Name: name, Reason: "an application alone may not; set refresh_token"}
	case c.country == "":
		return connectors.Right{Name: name, Reason: "the account has no country, and every market has its own price sheet; set country"}
	}
	_, err := c.access(ctx, c.priceToken)
	return granted(name, err)
}
