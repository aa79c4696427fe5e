package partnercenter

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// Messages are verified as documented. https://learn.microsoft.com/partner-center/developer/partner-center-webhooks
const (
	// The one algorithm that is documented. A message that names another was not signed by the service we know.
	signatureAlgorithm = "rsa-sha256"
	smallestKey        = 2048 // bits
	signer             = "Microsoft Corporation"

	lateness = 48*time.Hour + time.Hour // messages come up to two days after the event
	skew     = 10 * time.Minute         // between the service's clock and ours

	maxCertificate   = 64 << 10 // bytes of what is downloaded
	maxIssuers       = 3        // certificates between that of the message and one that is trusted
	keepCertificates = 24 * time.Hour
	manyCertificates = 16
)

const eventUpdated = "subscription-updated"

// hooks verifies messages. Certificates are kept by their address, so that a message costs no request.
type hooks struct {
	hosts   map[string]*rest.Client // that certificates are fetched from, by scheme and host
	roots   *x509.CertPool          // nil for those of this machine
	between []*x509.Certificate     // that the account names besides roots
	asking  chan struct{}           // held while fetching
	fetches *rate.Limiter           // an address in a message is anybody's word until the message is verified

	mu   sync.Mutex
	kept map[string]kept
}

// kept is a certificate and those that lead to a root.
type kept struct {
	chain []*x509.Certificate
	at    time.Time
}

// newHooks reads the settings about webhooks.
func newHooks(a connectors.Account, common rest.Options) (*hooks, error) {
	refuse := func(setting, message, hint string) (*hooks, error) {
		return nil, &connectors.Error{Class: connectors.ClassInvalid, Op: "set up account", Record: a.Name, Message: "the setting " + setting + " " + message, Hint: hint}
	}
	h := &hooks{hosts: map[string]*rest.Client{}, asking: make(chan struct{}, 1), fetches: rate.NewLimiter(rate.Every(10*time.Second), 6), kept: map[string]kept{}}
	for text := range strings.SplitSeq(a.Settings["webhook_hosts"], ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
			return refuse("webhook_hosts", "holds something else than addresses of hosts", "write them like https://certificates.example.com, separated by commas")
		}
		o := common
		o.BaseURL, o.MaxBody, o.Retries = u.Scheme+"://"+strings.ToLower(u.Host), maxCertificate, -1
		h.hosts[o.BaseURL] = rest.New(o)
	}
	if text := a.Settings["webhook_roots"]; text != "" {
		certificates, err := readCertificates([]byte(text))
		if err != nil {
			return refuse("webhook_roots", "holds no certificates", "name a file of certificates in PEM form, as ${file:/path}")
		}
		h.roots = x509.NewCertPool()
		for _, c := range certificates {
			if c.CheckSignatureFrom(c) == nil {
				h.roots.AddCert(c)
			} else {
				h.between = append(h.between, c)
			}
		}
	}
	return h, nil
}

// event is the body of a message.
type event struct {
	EventName             string
	ResourceURI           string `json:"ResourceUri"`
	ResourceChangeUtcDate string
}

var subscriptionURI = regexp.MustCompile(`(?i)/customers/([0-9a-f-]{36})/subscriptions/([0-9a-f-]{36})$`)

// Hints implements connectors.Hinter. The signature is over the bytes of the body, so it is verified before anything in them is read.
func (c *Connector) Hints(ctx context.Context, m connectors.Message) (connectors.Told, error) {
	signature, at, err := c.signatureOf(m.Header)
	if err != nil {
		return connectors.Told{}, err
	}
	if err := c.verify(ctx, at, m.Body, signature); err != nil {
		return connectors.Told{}, err
	}
	return c.readEvent(m.Body)
}

func (c *Connector) refuseMessage(class connectors.Class, message string, err error) *connectors.Error {
	return &connectors.Error{Class: class, Op: "verify a webhook message", Record: "for " + c.account.Name, Message: message, Err: err,
		Hint: "nothing was done; the schedule finds whatever moved"}
}

// signatureOf reads what the headers say: the signature and where the certificate is.
func (c *Connector) signatureOf(h http.Header) (signature []byte, at *url.URL, err error) {
	text := h.Get("X-Ms-Signature")
	if text == "" {
		text = h.Get("Authorization")
	}
	scheme, encoded, _ := strings.Cut(text, " ")
	signature, err = base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	switch {
	case !strings.EqualFold(scheme, "Signature") || err != nil || len(signature) == 0:
		return nil, nil, c.refuseMessage(connectors.ClassAuth, "it carries no signature", nil)
	case !strings.EqualFold(h.Get("X-Ms-Signature-Algorithm"), signatureAlgorithm):
		return nil, nil, c.refuseMessage(connectors.ClassAuth, "it is signed by another algorithm than "+signatureAlgorithm, nil)
	}
	at, err = url.Parse(h.Get("X-Ms-Certificate-Url"))
	if err != nil || at.User != nil || at.RawQuery != "" || at.Fragment != "" || c.hooks.host(at) == nil || at.Scheme != "https" && !loopback(at) {
		return nil, nil, c.refuseMessage(connectors.ClassAuth, "its certificate is not on a host in webhook_hosts, or not behind https", nil)
	}
	return signature, at, nil
}

// host is how to ask an address, nil when it may not be asked.
func (h *hooks) host(u *url.URL) *rest.Client { return h.hosts[u.Scheme+"://"+strings.ToLower(u.Host)] }

func loopback(u *url.URL) bool {
	return u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
}

// verify shows that Microsoft signed the body. A certificate that does not fit may have been replaced at the same address, and is fetched once more.
func (c *Connector) verify(ctx context.Context, at *url.URL, body, signature []byte) error {
	now := c.account.Now()
	known, ok := c.hooks.get(at.String(), now)
	for {
		fresh := !ok
		if fresh {
			chain, err := c.certificates(ctx, at)
			if err != nil {
				return err
			}
			known = kept{chain, now}
		}
		err := c.trusted(known.chain)
		if err == nil {
			err = known.chain[0].CheckSignature(x509.SHA256WithRSA, body, signature)
		}
		switch {
		case err == nil:
			c.hooks.keep(at.String(), known)
			return nil
		case fresh || now.Sub(known.at) < time.Minute:
			return c.refuseMessage(connectors.ClassAuth, "its signature is not Microsoft's", err)
		}
		ok = false
	}
}

func (h *hooks) get(address string, now time.Time) (kept, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k, ok := h.kept[address]
	return k, ok && now.Sub(k.at) < keepCertificates
}

func (h *hooks) keep(address string, k kept) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) >= manyCertificates {
		clear(h.kept)
	}
	h.kept[address] = k
}

// trusted reports whether a chain of certificates leads to a root, is in force now and was given to Microsoft.
func (c *Connector) trusted(chain []*x509.Certificate) error {
	leaf, between := chain[0], x509.NewCertPool()
	for _, certificate := range slices.Concat(chain[1:], c.hooks.between) {
		between.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: c.hooks.roots, Intermediates: between, CurrentTime: c.account.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return err
	}
	key, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case !isRSA || key.N.BitLen() < smallestKey:
		return errors.New("its key is no RSA key of 2048 bits or more")
	case leaf.IsCA:
		return errors.New("its certificate is that of an authority")
	case !slices.Contains(leaf.Subject.Organization, signer) && !slices.Contains(leaf.Issuer.Organization, signer):
		return errors.New("its certificate was neither given to nor by " + signer)
	}
	return nil
}

// certificates fetches the certificate of a message, and those of its issuers where they are missing. One at a time, and not many a minute.
func (c *Connector) certificates(ctx context.Context, at *url.URL) ([]*x509.Certificate, error) {
	select {
	case c.hooks.asking <- struct{}{}:
		defer func() { <-c.hooks.asking }()
	case <-ctx.Done():
		return nil, c.refuseMessage(connectors.ClassTransient, "its certificate is being fetched", ctx.Err())
	}
	if known, ok := c.hooks.get(at.String(), c.account.Now()); ok && c.account.Now().Sub(known.at) < time.Minute {
		return known.chain, nil // somebody else fetched it meanwhile
	}
	chain, err := c.fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	for range maxIssuers {
		last := chain[len(chain)-1]
		var unknown x509.UnknownAuthorityError
		if !errors.As(c.trusted(chain), &unknown) {
			break
		}
		// What is fetched here proves itself by the root that it leads to, so it may come by plain http, as authorities publish it.
		i := slices.IndexFunc(last.IssuingCertificateURL, func(text string) bool {
			u, err := url.Parse(text)
			return err == nil && u.User == nil && c.hooks.host(u) != nil
		})
		if i < 0 {
			break
		}
		u, _ := url.Parse(last.IssuingCertificateURL[i])
		issuer, err := c.fetch(ctx, u)
		if err != nil {
			return nil, err
		}
		chain = append(chain, issuer...)
	}
	return chain, nil
}

func (c *Connector) fetch(ctx context.Context, at *url.URL) ([]*x509.Certificate, error) {
	if !c.hooks.fetches.AllowN(time.Now(), 1) {
		return nil, c.refuseMessage(connectors.ClassLimited, "too many certificates were fetched in the last minute", nil)
	}
	resp, err := c.hooks.host(at).Do(ctx, rest.Request{Path: at.EscapedPath(), Header: http.Header{"Accept": {"*/*"}}, Op: "fetch the certificate", Record: "of a webhook message"})
	if err != nil {
		if class := connectors.ClassOf(err); class == connectors.ClassTransient || class == connectors.ClassLimited {
			return nil, c.refuseMessage(connectors.ClassTransient, "its certificate cannot be fetched now", err)
		}
		return nil, c.refuseMessage(connectors.ClassAuth, "there is no certificate at the address that it names", err)
	}
	certificates, err := readCertificates(resp.Body)
	if err != nil {
		return nil, c.refuseMessage(connectors.ClassAuth, "what is at the address of its certificate is none", err)
	}
	return certificates, nil
}

// readCertificates reads PEM or DER.
func readCertificates(raw []byte) ([]*x509.Certificate, error) {
	if block, _ := pem.Decode(raw); block == nil {
		found, err := x509.ParseCertificates(raw)
		if err == nil && len(found) == 0 {
			err = errors.New("it is empty")
		}
		return found, err
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return found, nil
}

// readEvent reads a verified body. Which partner it was sent to it does not say; a customer that is not ours is known to nobody here.
func (c *Connector) readEvent(body []byte) (connectors.Told, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.EventName == "" {
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "it is no event", err)
	}
	changed, err := time.Parse(time.RFC3339Nano, e.ResourceChangeUtcDate)
	if err != nil {
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "it does not say when its event was", err)
	}
	now := c.account.Now()
	switch {
	case changed.Before(now.Add(-lateness)):
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "its event is more than two days old", nil)
	case changed.After(now.Add(skew)):
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "its event is in the future", nil)
	}
	sum := sha256.Sum256(body)
	told := connectors.Told{ID: hex.EncodeToString(sum[:]), Until: changed.Add(lateness).UTC()}
	if ids := subscriptionURI.FindStringSubmatch(e.ResourceURI); ids != nil && e.EventName == eventUpdated {
		told.Places = []connectors.Ref{{Kind: kindSubscription, Parent: strings.ToLower(ids[1]), ID: strings.ToLower(ids[2])}}
	}
	return told, nil
}
