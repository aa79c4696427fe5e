package partnercenter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// Tokens are issued for these names, whatever address the requests take.
const (
	audienceAPI    = "https://api.partnercenter.microsoft.com"
	audiencePrices = "https://api.partner.microsoft.com"
)

const (
	pageSize = 500
	maxPages = 2000 // a million customers; more is a server that goes round in circles

	// A longer wait is handed back instead of slept: a queued renewal can hold a subscription for hours.
	maxRetryAfter = time.Minute
	maxSheet      = 128 << 20 // bytes of a packed price sheet, which is a few MB
)

func (c *Connector) connect(perMinute, retries int) (err error) {
	a := c.account
	secrets := []connectors.Secret{a.Secrets["client_secret"], a.Secrets["refresh_token"]}
	common := rest.Options{
		Account: a.Name, System: descriptor.System, HTTP: a.HTTP, Log: a.Log, Now: a.Now, Secrets: secrets,
		Retries: retries, MaxRetryAfter: maxRetryAfter, RequestID: supportIDs, Observe: a.Observe, Turns: a.Turns,
	}

	signIn := common
	signIn.BaseURL, signIn.Fault = a.Settings["sign_in"], signInFault
	c.signIn = rest.New(signIn)
	c.apiToken, c.priceToken = c.token(audienceAPI), c.token(audiencePrices)

	api := common
	api.BaseURL, api.Fault, api.PerMinute, api.Parallel = a.Settings["api"], fault, perMinute, c.parallel
	api.Authorize = c.authorize(c.apiToken)
	api.Reauthorize = func(context.Context) { c.apiToken.Forget() }
	c.api = rest.New(api)

	prices := common
	prices.BaseURL, prices.Fault, prices.MaxBody = a.Settings["prices"], fault, maxSheet
	prices.Authorize = c.authorize(c.priceToken)
	prices.Reauthorize = func(context.Context) { c.priceToken.Forget() }
	c.prices = rest.New(prices)

	c.hooks, err = newHooks(a, common)
	return err
}

// supportIDs is what Microsoft's support asks for.
func supportIDs(h http.Header) string {
	var ids []string
	for _, name := range []string{"MS-RequestId", "MS-CorrelationId", "MS-CV", "request-id"} {
		if id := h.Get(name); id != "" {
			ids = append(ids, name+" "+id)
		}
	}
	return strings.Join(ids, ", ")
}

func (c *Connector) authorize(token *rest.Token) func(context.Context, *http.Request) error {
	return func(ctx context.Context, r *http.Request) error {
		access, err := c.access(ctx, token)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+access.Reveal())
		return nil
	}
}

// access gives an access token, one sign-in at a time: two at once would each replace the refresh token the other uses.
func (c *Connector) access(ctx context.Context, token *rest.Token) (connectors.Secret, error) {
	select {
	case c.signing <- struct{}{}:
		defer func() { <-c.signing }()
	case <-ctx.Done():
		return connectors.Secret{}, &connectors.Error{Class: connectors.ClassTransient, Op: "sign in", Message: "stopped before it was finished", Err: ctx.Err()}
	}
	return token.Get(ctx)
}

// token signs in for one audience. An application alone has no refresh token and keeps nothing.
func (c *Connector) token(audience string) *rest.Token {
	o := rest.TokenOptions{Now: c.account.Now}
	if !c.appOnly {
		o.Vault, o.VaultKey, o.Initial = c.account.Vault, c.account.Name+".refresh_token", c.account.Secrets["refresh_token"]
	}
	o.Fetch = func(ctx context.Context, refresh connectors.Secret) (access connectors.Secret, expires time.Time, rotated connectors.Secret, err error) {
		return c.exchange(ctx, audience, refresh)
	}
	return rest.NewToken(o)
}

// exchange asks the token service. https://learn.microsoft.com/partner-center/developer/enable-secure-app-model
func (c *Connector) exchange(ctx context.Context, audience string, refresh connectors.Secret) (access connectors.Secret, expires time.Time, rotated connectors.Secret, err error) {
	form := url.Values{
		"client_id":     {c.account.Settings["client_id"]},
		"client_secret": {c.account.Secrets["client_secret"].Reveal()},
		"resource":      {audience},
		"grant_type":    {"client_credentials"},
	}
	if !c.appOnly {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", refresh.Reveal())
		form.Set("scope", "openid")
	}
	resp, err := c.signIn.Do(ctx, rest.Request{
		Method: http.MethodPost, Path: "/" + url.PathEscape(c.account.Settings["tenant"]) + "/oauth2/token",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   []byte(form.Encode()), Safe: true, Op: "sign in to", Record: strings.TrimPrefix(audience, "https://"),
	})
	if err != nil {
		return access, expires, rotated, err
	}
	var answer struct {
		AccessToken  string      `json:"access_token"`
		RefreshToken string      `json:"refresh_token"`
		ExpiresIn    json.Number `json:"expires_in"` // a text on this endpoint, a number on others
	}
	if err := resp.Decode("sign in", &answer); err != nil {
		return access, expires, rotated, err
	}
	seconds, err := strconv.ParseInt(answer.ExpiresIn.String(), 10, 32)
	if err != nil {
		return access, expires, rotated, &connectors.Error{Class: connectors.ClassTransient, Op: "sign in",
			Message: "the token service does not say how long the token is good for"}
	}
	return connectors.NewSecret(answer.AccessToken), c.account.Now().Add(time.Duration(seconds) * time.Second), connectors.NewSecret(answer.RefreshToken), nil
}

var signInCode = regexp.MustCompile(`AADSTS(\d+)`)

// signInFault reads a refusal of the token service.
func signInFault(r rest.Response) *connectors.Error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(bytes.TrimPrefix(r.Body, []byte("\ufeff")), &body) != nil || body.Error == "" {
		return nil
	}
	e := &connectors.Error{Class: connectors.ClassAuth, Err: errSignIn, Code: body.Error, Message: "Microsoft refused the sign-in: " + firstLine(body.Description),
		Hint: "check tenant, client_id, client_secret and refresh_token of this account"}
	if body.Error == "temporarily_unavailable" {
		e.Class, e.Err, e.Hint = connectors.ClassTransient, nil, ""
	}
	if m := signInCode.FindStringSubmatch(body.Description); m != nil {
		e.Code = "AADSTS" + m[1]
		if known, ok := signInCodes[m[1]]; ok {
			e.Message, e.Hint = known.message, known.hint
		}
	}
	return e
}

// fault reads a refusal of Partner Center. A body that is not its own form (a gateway's page, a throttling notice) leaves
// the class to the status.
func fault(r rest.Response) *connectors.Error {
	var body struct {
		Code        json.RawMessage `json:"code"`
		Description string          `json:"description"`
	}
	e := &connectors.Error{}
	if json.Unmarshal(bytes.TrimPrefix(r.Body, []byte("\ufeff")), &body) == nil && len(body.Code) > 0 {
		e = faultOf(r.Status, strings.Trim(string(body.Code), `"`), body.Description)
	}
	if r.Status == http.StatusUnauthorized {
		e.Err = errSignIn
	}
	return e
}

// firstLine keeps the sentence of a description that goes on with trace ids and times.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\r\n")
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(strings.TrimSpace(s), ".")
}

// headers are those of every request.
func headers() http.Header {
	return http.Header{
		"Ms-Requestid":                 {uuid.NewString()},
		"Ms-Correlationid":             {uuid.NewString()},
		"Ms-Contract-Version":          {"v1"},
		"X-Locale":                     {"en-US"},
		"Ms-Partnercenter-Application": {"trueup"},
	}
}

// envelope is a list. https://learn.microsoft.com/partner-center/developer/pagination
type envelope struct {
	TotalCount *json.Number       `json:"totalCount"` // items of this page
	Items      *[]json.RawMessage `json:"items"`
	Links      struct {
		Next *struct {
			URI     string `json:"uri"`
			Headers []struct {
				Key   string `json:"key"`
				Value string `json:"value"`
			} `json:"headers"`
		} `json:"next"`
	} `json:"links"`
	Code        json.RawMessage `json:"code"` // a fault that came with status 200
	Description string          `json:"description"`
}

// pages reads a list page by page. size is the page size asked for, 0 where the list takes none. doubt is why the list
// may be shorter than it should be, "" when nothing speaks for it.
func (c *Connector) pages(ctx context.Context, op, record, path string, query url.Values, size int, each func(json.RawMessage) error) (doubt string, err error) {
	if size > 0 {
		query.Set("size", strconv.Itoa(size))
	}
	request := rest.Request{Path: path, Query: query, Header: headers(), Op: op, Record: record}
	odd := func(message string) error {
		return &connectors.Error{Class: connectors.ClassTransient, Op: op, Record: record, Message: message,
			Hint: "nothing is concluded from this listing; tell Microsoft's support if it stays"}
	}
	seen := map[string]bool{}
	received, largest := 0, size
	var first json.RawMessage
	for page := 1; page <= maxPages; page++ {
		resp, err := c.api.Do(ctx, request)
		if err != nil {
			return "", err
		}
		var e envelope
		if err := resp.Decode(op, &e); err != nil {
			return "", err
		}
		if e.Items == nil {
			if len(e.Code) > 0 {
				refusal := faultOf(resp.Status, strings.Trim(string(e.Code), `"`), e.Description)
				refusal.Op, refusal.Record = op, record
				return "", refusal
			}
			return "", odd("the service answered without a list of items")
		}
		items := *e.Items
		if page > 1 && len(items) > 0 && bytes.Equal(items[0], first) {
			return "", odd("the service delivers the same page again and again")
		}
		if len(items) > 0 {
			first = items[0]
		}
		for _, item := range items {
			if err := each(item); err != nil {
				return "", err
			}
		}
		full := largest > 0 && len(items) >= largest
		if page == 1 && size > 0 {
			largest = max(len(items), 1) // the service's own page size, if it is smaller than ours
		}
		received += len(items)
		next := e.Links.Next
		if e.TotalCount != nil {
			total, err := strconv.Atoi(e.TotalCount.String())
			if err != nil || total < len(items) || next == nil && total != len(items) && total != received {
				doubt = fmt.Sprintf("the service announced %s items and delivered %d", e.TotalCount, len(items))
			}
		}
		if next == nil || next.URI == "" {
			if doubt == "" && full {
				doubt = fmt.Sprintf("the last page was full (%d items) and no further page was offered, so some may be missing", len(items))
			}
			return doubt, nil
		}
		mark := next.URI
		request.Path, request.Query, request.Header = "/v1"+next.URI, nil, headers()
		for _, h := range next.Headers {
			request.Header.Set(h.Key, h.Value)
			mark += "\n" + h.Key + ":" + h.Value
		}
		if seen[mark] {
			return "", odd("the link to the next page leads in a circle")
		}
		seen[mark] = true
	}
	return "", odd(fmt.Sprintf("the list does not end after %d pages", maxPages))
}
