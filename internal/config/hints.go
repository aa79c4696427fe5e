package config

import (
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// Hints say how an account is looked at sooner than its schedule.
type Hints struct {
	URL   string        // where the system reaches us with its messages; "" when none are taken
	Every time.Duration // how often it is asked what was edited; 0 for never
}

// often is how often a system may be asked at most.
const often = time.Second

// readHints reads what stands under hints: in an account.
func (l *loader) readHints(account string, n *strictyaml.Node, d connectors.Descriptor) (h Hints) {
	if !n.Present() {
		return h
	}
	m := n.Map()
	address, every := m.Get("url"), m.Get("every")
	if h.URL = address.Text(); address.IsScalar() {
		l.checkHookURL(account, address, d)
	}
	if text := every.Text(); every.IsScalar() {
		var err error
		if h.Every, err = time.ParseDuration(text); err != nil || h.Every < often {
			every.Complain("write it like 5s; a second is the least", "%q is not how often to ask", text)
		} else if d.System != "" && d.Sooner.Watch == "" {
			every.Complain("remove the line", "%s cannot be asked what was edited by one request", d.Title)
		}
	}
	if n.IsMap() && !address.Present() && !every.Present() {
		n.Complain("write url: or every:, or remove hints:", "hints: says nothing")
	}
	m.Close()
	return h
}

// checkHookURL complains about an address to which no system could send anything, or would in the open.
func (l *loader) checkHookURL(account string, n *strictyaml.Node, d connectors.Descriptor) {
	path := "/hooks/" + account
	u, err := url.Parse(n.Text())
	switch ip := net.ParseIP(hostOf(u)); {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, path):
		n.Complain("write it like https://trueup.example.com"+path, "%q is not an address that ends in %s", n.Text(), path)
	case u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()):
		n.Complain("put a proxy with a certificate before trueup", "%q does not begin with https://", n.Text())
	case d.System != "" && d.Sooner.Webhook == "":
		n.Complain("remove the line", "%s sends no messages", d.Title)
	case l.config.Listen == "":
		n.Complain("add listen: 8480 to "+l.config.File+", and let the proxy pass "+path+" on to it", "messages to %q reach nobody: trueup listens nowhere", n.Text())
	}
}

func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Hostname()
}
