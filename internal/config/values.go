package config

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
	"github.com/trueup-sync/trueup/model"
)

// resolved is a value after its references were followed.
type resolved struct {
	text     string
	indirect bool // some of it was not in the file, so messages must not quote it
}

const sourceHint = "write ${env:NAME}, ${file:/path} or ${secret:name}"

var (
	reference  = regexp.MustCompile(`\$\{[^}]*\}?`)
	wellFormed = regexp.MustCompile(`^\$\{(?:(env):([A-Za-z_][A-Za-z0-9_]*)|(file):([^}]+)|(secret):([A-Za-z0-9._-]+))\}$`)
)

// maxSecretFile is far above any key or token; a larger file is a wrong path.
const maxSecretFile = 64 << 10

// resolve follows the references in a text; secret says that the vault may answer. Complaints are at the text's place.
func (l *loader) resolve(n *strictyaml.Node, secret bool) (resolved, bool) {
	if !n.IsScalar() {
		n.Text() // complains about the shape
		return resolved{}, false
	}
	source, good := n.Text(), true
	v := resolved{indirect: reference.MatchString(source)}
	v.text = reference.ReplaceAllStringFunc(source, func(ref string) string {
		text, ok := l.follow(n, ref, secret)
		good = good && ok
		return text
	})
	return v, good
}

func (l *loader) follow(n *strictyaml.Node, ref string, secret bool) (string, bool) {
	parts := wellFormed.FindStringSubmatch(ref)
	if parts == nil { // it is not quoted: somebody may have put the secret itself into the braces
		n.Complain(sourceHint, "this ${...} is not a reference that trueup knows")
		return "", false
	}
	switch {
	case parts[1] != "":
		return l.fromEnv(n, parts[2])
	case parts[3] != "":
		return l.fromFile(n, parts[4])
	case !secret:
		n.Complain("write ${env:NAME} or ${file:/path}", "${secret:%s} is for secret settings only", parts[6])
		return "", false
	}
	return l.fromVault(n, parts[6])
}

func (l *loader) fromEnv(n *strictyaml.Node, name string) (string, bool) {
	text, ok := l.env(name)
	switch {
	case !ok:
		n.Complain("set it where trueup is started", "the environment variable %s is not set", name)
		return "", false
	case text == "":
		n.Complain("give it a value where trueup is started", "the environment variable %s is empty", name)
		return "", false
	}
	return text, true
}

func (l *loader) fromFile(n *strictyaml.Node, name string) (string, bool) {
	path := l.path(name)
	file, err := os.Open(path)
	if err != nil {
		n.Complain("put the secret there, readable for the user that runs trueup", "the file %s cannot be read: %s", path, osReason(err))
		return "", false
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	switch {
	case err != nil:
		n.Complain("name a file that holds the value and nothing else", "the file %s cannot be read: %s", path, osReason(err))
		return "", false
	case len(content) > maxSecretFile:
		n.Complain("name a file that holds the value and nothing else", "the file %s is larger than %d KiB", path, maxSecretFile>>10)
		return "", false
	}
	// Editors end a file with a line end, and some start it with a byte order mark; neither belongs to the value.
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		n.Complain("put the value into it", "the file %s is empty", path)
		return "", false
	}
	return text, true
}

func (l *loader) fromVault(n *strictyaml.Node, name string) (string, bool) {
	if l.vault == nil {
		return "", false // the state was complained about, and the vault is beside it
	}
	value, ok, err := l.vault.Get(context.Background(), name)
	switch {
	case err != nil:
		n.Complain("", "the vault cannot be used: %s", err)
		return "", false
	case !ok || value.Reveal() == "":
		n.Complain("give the value once as ${env:NAME} or ${file:/path}; what the system replaces later is kept in the vault without your doing",
			"the vault holds no secret %q", name)
		return "", false
	}
	return value.Reveal(), true
}

// resolveSecret reads a secret setting. What is written in the file is never quoted.
func (l *loader) resolveSecret(n *strictyaml.Node, name string) (connectors.Secret, bool) {
	if !n.IsScalar() {
		n.Complain(sourceHint, "setting %q must be a single reference", name)
		return connectors.Secret{}, false
	}
	written := n.Text()
	if written == "" {
		n.Complain(sourceHint, "setting %q is empty", name)
		return connectors.Secret{}, false
	}
	if reference.FindString(written) != written {
		n.Complain(sourceHint, "setting %q is secret and must not stand in the file", name)
		return connectors.Secret{}, false
	}
	v, ok := l.resolve(n, true)
	return connectors.NewSecret(v.text), ok
}

func (l *loader) resolvePlain(n *strictyaml.Node, s connectors.Setting) (string, bool) {
	v, ok := l.resolve(n, false)
	switch {
	case !ok:
		return "", false
	case v.text == "":
		n.Complain("give it a value or remove the line", "setting %q is empty", s.Name)
		return "", false
	case len(s.Allowed) > 0 && !slices.Contains(s.Allowed, v.text):
		if v.indirect {
			n.Complain(diag.DidYouMean("", s.Allowed), "setting %q got a value that is not allowed", s.Name)
		} else {
			n.Complain(diag.DidYouMean(v.text, s.Allowed), "%q is not allowed for setting %q", v.text, s.Name)
		}
		return "", false
	}
	return v.text, true
}

// schedule checks a cron text and returns it.
func schedule(n *strictyaml.Node) string {
	const hint = `write five fields: minute hour day month weekday, like "*/5 * * * *"`
	text := n.Text()
	if !n.IsScalar() {
		return ""
	}
	if strings.Contains(text, "TZ=") {
		n.Complain("remove the time zone from it", "schedules are in the time zone of trueup.yaml")
		return ""
	}
	parsed, err := cron.ParseStandard(text)
	if err != nil {
		n.Complain(hint, "%q is not a schedule: %s", text, err)
		return ""
	}
	if every, ok := parsed.(cron.ConstantDelaySchedule); ok && every.Delay < time.Minute {
		n.Complain("write @every 1m or more", "%q is more often than once a minute", text)
		return ""
	}
	// Next looks five years ahead; the 30th of February is found out here instead of by waiting for it.
	if parsed.Next(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		n.Complain("choose a day that exists", "%q never comes", text)
		return ""
	}
	return text
}

// atLeastOne reads a whole number above zero; absent is 0.
func atLeastOne(n *strictyaml.Node) int {
	if !n.Present() || !n.IsScalar() {
		n.Text() // complains about the shape, if there is one
		return 0
	}
	i, err := strconv.Atoi(n.Text())
	if err != nil || i < 1 {
		n.Complain("write 1 or more, or remove the line for no limit of your own", "%q is not a whole number above zero", n.Text())
		return 0
	}
	return i
}

// percent reads "30%" as 30, from 1 to 100.
func percent(n *strictyaml.Node) int {
	text := n.Text()
	if !n.IsScalar() {
		return 0
	}
	digits, hasSign := strings.CutSuffix(text, "%")
	i, err := strconv.Atoi(strings.TrimSpace(digits))
	switch {
	case err == nil && !hasSign:
		n.Complain("write "+strconv.Itoa(i)+"%", "%q lacks its percent sign", text)
	case err != nil || i < 1 || i > 100:
		n.Complain("write it like 30%; 100% takes the brake off", "%q is not a whole percentage from 1%% to 100%%", text)
	default:
		return i
	}
	return 0
}

// money reads "500 GBP"; absent is nil.
func money(n *strictyaml.Node) *model.Money {
	text := n.Text()
	if !n.IsScalar() {
		return nil
	}
	m, err := model.ParseMoney(text)
	if err != nil {
		n.Complain("write it like 500 GBP", "%s", err)
		return nil
	}
	if m.Sign() < 0 {
		n.Complain("write 0 or more", "%q is below zero", text)
		return nil
	}
	return &m
}

// quantity reads a count of seats; absent is nil.
func quantity(n *strictyaml.Node) *model.Quantity {
	text := n.Text()
	if !n.IsScalar() {
		return nil
	}
	q, err := model.ParseQuantity(text)
	if err != nil {
		n.Complain("write a number of seats, like 25", "%s", err)
		return nil
	}
	if q.Sign() < 0 {
		n.Complain("write 0 or more", "%q is below zero", text)
		return nil
	}
	return &q
}
