package connectwise

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// Callbacks carry base64(HMAC-SHA256(SHA-256(signing key), body)) in a header, and in the body the address of the signing key. What is known of
// them comes from integrators: https://github.com/covenanttechnologysolutions/connectwise-rest
const (
	signatureHeader = "X-Content-Signature"

	lateness = 48 * time.Hour     // a record that changed longer ago is not news
	timeless = 7 * 24 * time.Hour // how long a message is remembered that does not say when it was

	// Stamps have whole seconds, so two edits in one second send the same message. Soon after it one that is seen again is followed as well.
	alike = 10 * time.Second

	maxKey   = 16 << 10 // bytes of what is downloaded
	keepKeys = 24 * time.Hour
	manyKeys = 8
)

// callbacks verifies messages. Keys are kept by their address.
type callbacks struct {
	hosts   map[string]*rest.Client // that keys are fetched from, by scheme and host: the PSA's own
	asking  chan struct{}           // held while fetching
	fetches *rate.Limiter           // an address in a message is anybody's word until the message is verified

	mu   sync.Mutex
	keys map[string]signingKey
}

type signingKey struct {
	hash [sha256.Size]byte
	at   time.Time
}

// newCallbacks knows the hosts of the PSA at site: of its API and of its screens. They are asked without our keys.
func newCallbacks(site string, common rest.Options) *callbacks {
	b := &callbacks{hosts: map[string]*rest.Client{}, asking: make(chan struct{}, 1), fetches: rate.NewLimiter(rate.Every(10*time.Second), 6), keys: map[string]signingKey{}}
	for _, base := range []string{site, strings.Replace(site, "://api-", "://", 1)} {
		o := common
		o.BaseURL, o.MaxBody, o.Retries, o.PerMinute, o.Parallel, o.Turns, o.Authorize = base, maxKey, -1, 0, 0, nil, nil
		b.hosts[base] = rest.New(o)
	}
	return b
}

// callback is the body of a message. Ids come as numbers and as texts; what it is about comes as a JSON text inside.
type callback struct {
	Action    string
	CompanyID json.RawMessage `json:"CompanyId"`
	Entity    *string
	ID        json.RawMessage
	Type      string
	Metadata  struct {
		KeyURL string `json:"key_url"`
	}
}

var wholeNumber = regexp.MustCompile(`^[1-9][0-9]{0,9}$`)

// Hints implements connectors.Hinter. Of the body only the address of the key is read before the signature is verified.
func (c *Connector) Hints(ctx context.Context, m connectors.Message) (connectors.Told, error) {
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSpace(m.Header.Get(signatureHeader)))
	if err != nil || len(signature) != sha256.Size {
		return connectors.Told{}, c.refuseMessage(connectors.ClassAuth, "it carries no signature", nil)
	}
	var body callback
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "it is no callback", err)
	}
	at, err := url.Parse(body.Metadata.KeyURL)
	if err != nil || at.User != nil || at.Fragment != "" || c.callbacks.host(at) == nil {
		return connectors.Told{}, c.refuseMessage(connectors.ClassAuth, "its signing key is not on the host of the setting site", nil)
	}
	if err := c.verify(ctx, at, m.Body, signature); err != nil {
		return connectors.Told{}, err
	}
	return c.readCallback(body, m.Body)
}

func (c *Connector) refuseMessage(class connectors.Class, message string, err error) *connectors.Error {
	e := c.fail(class, "verify a callback", "", "", message, "nothing was done; the schedule finds whatever moved")
	e.Err = err
	return e
}

func (b *callbacks) host(u *url.URL) *rest.Client {
	return b.hosts[u.Scheme+"://"+strings.ToLower(u.Host)]
}

// verify shows that the PSA signed the body. A key that does not fit may have been replaced, and is fetched once more.
func (c *Connector) verify(ctx context.Context, at *url.URL, body, signature []byte) error {
	now := c.account.Now()
	key, ok := c.callbacks.get(at.String(), now)
	for {
		fresh := !ok
		if fresh {
			var err error
			if key, err = c.signingKey(ctx, at); err != nil {
				return err
			}
		}
		mac := hmac.New(sha256.New, key.hash[:])
		mac.Write(body)
		switch {
		case hmac.Equal(mac.Sum(nil), signature):
			return nil
		case fresh || now.Sub(key.at) < time.Minute:
			return c.refuseMessage(connectors.ClassAuth, "its signature is not the PSA's", nil)
		}
		ok = false
	}
}

func (b *callbacks) get(address string, now time.Time) (signingKey, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, ok := b.keys[address]
	return key, ok && now.Sub(key.at) < keepKeys
}

// signingKey fetches a key: one at a time, and not many a minute.
func (c *Connector) signingKey(ctx context.Context, at *url.URL) (signingKey, error) {
	b := c.callbacks
	select {
	case b.asking <- struct{}{}:
		defer func() { <-b.asking }()
	case <-ctx.Done():
		return signingKey{}, c.refuseMessage(connectors.ClassTransient, "its signing key is being fetched", ctx.Err())
	}
	now := c.account.Now()
	if key, ok := b.get(at.String(), now); ok && now.Sub(key.at) < time.Minute {
		return key, nil // somebody else fetched it meanwhile
	}
	if !b.fetches.AllowN(time.Now(), 1) {
		return signingKey{}, c.refuseMessage(connectors.ClassLimited, "too many signing keys were fetched in the last minute", nil)
	}
	resp, err := b.host(at).Do(ctx, rest.Request{Path: at.EscapedPath(), Query: at.Query(), Op: "fetch the signing key", Record: "of a callback"})
	if err != nil {
		if class := connectors.ClassOf(err); class == connectors.ClassTransient || class == connectors.ClassLimited {
			return signingKey{}, c.refuseMessage(connectors.ClassTransient, "its signing key cannot be fetched now", err)
		}
		return signingKey{}, c.refuseMessage(connectors.ClassAuth, "there is no signing key at the address that it names", err)
	}
	var answer struct {
		SigningKey string `json:"signing_key"`
	}
	if json.Unmarshal(bytes.TrimPrefix(resp.Body, []byte("\ufeff")), &answer) != nil || answer.SigningKey == "" {
		return signingKey{}, c.refuseMessage(connectors.ClassAuth, "what is at the address of its signing key is none", nil)
	}
	key := signingKey{sha256.Sum256([]byte(answer.SigningKey)), now}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.keys) >= manyKeys {
		clear(b.keys)
	}
	b.keys[at.String()] = key
	return key, nil
}

// readCallback reads a verified message.
func (c *Connector) readCallback(body callback, raw []byte) (connectors.Told, error) {
	id, company := strings.Trim(string(body.ID), `"`), strings.Trim(string(body.CompanyID), `"`)
	switch {
	case !strings.EqualFold(company, c.account.Settings["company"]):
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "it is of another company than this account", nil)
	case !wholeNumber.MatchString(id) || body.Type == "":
		return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "it does not say what it is about", nil)
	}
	sum := sha256.Sum256(raw)
	now := c.account.Now().UTC()
	told := connectors.Told{ID: hex.EncodeToString(sum[:]), Until: now.Add(timeless)}
	if body.Entity != nil {
		var entity object
		if json.Unmarshal([]byte(*body.Entity), &entity) == nil {
			if changed := stampOf(entity, "lastUpdated"); !changed.IsZero() {
				told.Until, told.Again = changed.Add(lateness), now.Sub(changed) < alike
			}
		}
		if told.Until.Before(now) {
			return connectors.Told{}, c.refuseMessage(connectors.ClassInvalid, "what it is about changed more than two days ago", nil)
		}
	}
	switch strings.ToLower(body.Type) {
	case "agreement":
		told.Places = []connectors.Ref{{Kind: kindAddition, Parent: id}}
	case "company":
		told.Places = []connectors.Ref{{Kind: kindCompany, ID: id}}
	}
	return told, nil
}

// watched is what Watch remembers of an agreement: its stamp, and whether another edit could hide in the same second.
type watched struct {
	stamp     time.Time
	unsettled bool
}

// Watch implements connectors.Watcher: one search for agreements by their change stamp, which moves when one of their additions is edited. There
// is no list of additions of all agreements. It looks a day back like every search here, and knows again what it told.
func (c *Connector) Watch(ctx context.Context) ([]connectors.Ref, error) {
	const op = "look for edited agreements"
	c.mu.Lock()
	before, since, stays := c.watched, c.watchedAt, c.evidence
	c.mu.Unlock()
	if stays.Stamps == stampStays {
		return nil, c.fail(connectors.ClassInvalid, op, "", "", stays.scan(), "leave hints.every out; the schedule finds whatever moved")
	}
	first := since.IsZero()
	if first {
		since = c.account.Now().UTC()
	}
	conditions := "lastUpdated > " + c.moment(since.Add(-overlap))
	if len(c.types) > 0 {
		conditions += " and " + c.conditions(kindAgreement)
	}
	query := url.Values{"conditions": {conditions}, "fields": {"id,_info"}, "pageSize": {"1000"}}
	resp, err := c.do(ctx, rest.Request{Path: resourceOf(kindAgreement).path, Query: query, Header: http.Header{"Pagination-Type": {"forward-only"}}, Op: op})
	if err != nil {
		return nil, c.missingCollection(err)
	}
	rows, err := c.rows(resp, search{op: op})
	if err != nil {
		return nil, err
	}
	at := c.serverTime(resp)
	next := map[string]watched{}
	var moved []connectors.Ref
	for _, raw := range rows {
		var row object
		if err := (rest.Response{Status: resp.Status, Body: raw}).Decode(op, &row); err != nil {
			return nil, err
		}
		id, stamp := textOf(row["id"]), stampOf(row, "lastUpdated")
		if !wholeNumber.MatchString(id) || stamp.IsZero() {
			continue
		}
		now := watched{stamp, !stamp.Before(at.Truncate(time.Second))}
		next[id] = now
		if was, known := before[id]; !first && (!known || was.unsettled || !was.stamp.Equal(stamp)) {
			moved = append(moved, connectors.Ref{Kind: kindAddition, Parent: id})
		}
		c.restamp(id, stamp)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.watchedAt = next, at
	return moved, nil
}

// restamp notes a new stamp of an agreement that is known, so that a listing of its additions is compared with what the PSA says now.
func (c *Connector) restamp(agreement string, stamp time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec, ok := c.stamps[agreement]; ok {
		rec.Changed = stamp
		c.stamps[agreement] = rec
	}
}
