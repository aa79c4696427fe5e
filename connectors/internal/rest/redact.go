package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trueup-sync/trueup/connectors"
)

// cutter takes secrets out of texts; nil takes out nothing.
type cutter struct{ replace *strings.Replacer }

func newCutter(secrets []connectors.Secret) *cutter {
	var forms []string
	for _, s := range secrets {
		forms = append(forms, formsOf(s.Reveal())...)
	}
	forms = slices.DeleteFunc(forms, func(f string) bool { return f == "" })
	if len(forms) == 0 {
		return nil
	}
	// Longest first: at one place the replacer takes the first that fits.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, "<secret>")
	}
	return &cutter{strings.NewReplacer(pairs...)}
}

// formsOf lists how a secret can appear: as it is, escaped for URLs and JSON, and in base64 at any of the three places a
// byte can have in a group, because basic authentication encodes it behind a user name.
func formsOf(secret string) []string {
	if secret == "" {
		return nil
	}
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if quoted, err := json.Marshal(secret); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	forms = append(forms, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret))
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		forms = append(forms, encoding.EncodeToString([]byte(secret)))
		for before := range 3 {
			text := encoding.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, before), secret...))
			if (before+len(secret))%3 != 0 {
				text = text[:len(text)-1] // shared with what follows
			}
			text = text[min((before*8+5)/6, len(text)):] // shared with what comes before
			if len(text) >= 4 {
				forms = append(forms, text)
			}
		}
	}
	return forms
}

func (c *cutter) text(s string) string {
	if c == nil {
		return s
	}
	return c.replace.Replace(s)
}

// fault takes the secrets out of every text of an error, and of its cause.
func (c *cutter) fault(e *connectors.Error) *connectors.Error {
	for _, text := range []*string{&e.Op, &e.Record, &e.Field, &e.Code, &e.Message, &e.Hint, &e.RequestID} {
		*text = c.text(*text)
	}
	if e.Err != nil {
		e.Err = &cause{text: c.text(causeText(e.Err)), err: e.Err}
	}
	return e
}

// causeText is the text of an error without the URL that net/http puts in: it has the query in it.
func causeText(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return strings.ReplaceAll(err.Error(), u.Error(), u.Err.Error())
	}
	return err.Error()
}

// cause stands for an error whose text may hold secrets. It can be recognised by errors.Is but not unwrapped.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string        { return c.text }
func (c *cause) Is(target error) bool { return errors.Is(c.err, target) }

// excerpt is the start of a body as one line of text. Secrets go first: half a secret would not be recognised.
func excerpt(c *cutter, body []byte) string {
	const look, show = 64 << 10, 160
	text := c.text(strings.ToValidUTF8(string(body[:min(len(body), look)]), ""))
	text = strings.Join(strings.Fields(strings.TrimPrefix(text, "\ufeff")), " ")
	if len(text) <= show {
		return text
	}
	end := show
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// trimStart removes byte order marks and white space before a JSON text.
func trimStart(body []byte) []byte {
	for {
		trimmed := bytes.TrimPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("\ufeff"))
		if len(trimmed) == len(body) {
			return body
		}
		body = trimmed
	}
}
