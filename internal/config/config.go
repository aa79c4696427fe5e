// Package config reads what a user writes: trueup.yaml and the flow files it names.
//
// Reading is strict and complains about everything at once. An unknown key, a repeated key, a word that is not allowed,
// an account or a field that does not exist: each is a line with file:line:column, what is wrong and the next step. All
// complaints come together as one *diag.Error; nothing is returned that was only half understood.
//
// # trueup.yaml
//
//	version: 1
//	state: sqlite:trueup.db        # where everything is remembered; this is the default. Or postgres://user@host/database
//	tenant: north                  # whose part of that; not written, there is only one
//	timezone: Europe/London        # billing days are calendar days here; schedules are read in it
//	listen: 8480                   # where the daemon tells of its health; not written, it listens nowhere
//	accounts:
//	  microsoft:                   # a name of your choice
//	    system: partnercenter
//	    settings:                  # the system's own; "trueup check" tells whether they work
//	      tenant: 11111111-2222-3333-4444-555555555555
//	      client_secret: ${env:MS_CLIENT_SECRET}
//	    discover: "0 6,18 * * *"   # when everything is read anew; this is the default
//	    mapping: my-mapping.yaml   # instead of the mapping that comes with trueup
//	    budget: {per_minute: 60, parallel: 2}
//	    hints:                     # look sooner than the schedule; not written, the schedule carries everything
//	      url: https://trueup.example.com/hooks/microsoft   # where the system sends its messages (webhooks)
//	      every: 5s                # ask so often what was edited, for systems that can be asked by one request
//	flows: [flows/*.yaml]
//
// Paths are relative to the folder of trueup.yaml. The value of state or of a setting may name where it is kept:
//
//	${env:NAME}     an environment variable
//	${file:/path}   a file, without the line ends at its end
//	${secret:name}  the vault beside the state, in which trueup keeps tokens that a system replaces
//
// The password of a PostgreSQL server must be such a reference, as in postgres://trueup:${env:DB_PASSWORD}@db.example.com/trueup, or the
// whole value is one; what stands inside a URL is escaped by trueup. The vault is then in the folder of trueup.yaml.
//
// tenant: is for a database that several configurations share, one for each company that is served. None sees, waits for or changes what is
// another's. Change it only for a state that is new: what was remembered under another name is not seen any more.
//
// A setting that the system calls secret must be exactly one of these, so that no secret stands in the file; the vault
// serves secret settings only. Inside { } such a value needs quotes, because braces mean something to YAML there.
//
// listen: is a port of this machine's loopback, or an address like 127.0.0.1:8480 or [::1]:8480. What it serves is read-only and
// holds no secret, but nobody has to sign in: an address that other machines can reach is refused unless a line
// listen_anywhere: true says that a firewall or a proxy decides who may look.
//
// hints: is for flows with mode: write; the others look when their schedule says so. The address is one that the system can reach, with https and a
// certificate, and leads to listen: through a proxy. It must end in /hooks/ and the account's name.
//
// # A flow file
//
//	version: 1
//	flow: microsoft-connectwise
//	vendor: microsoft              # accounts in trueup.yaml
//	psa: psa
//	schedule: "*/5 * * * *"        # default
//	mode: propose                  # default; observe, propose or write
//	customers:
//	  match: [link, tenant_ids, domains, tax_id, name]   # default; a name alone only proposes
//	  missing: {psa: propose, vendor: propose}           # default; propose, create or ignore
//	  new: {types: [Cloud Customer], statuses: [Active]} # with vendor: create, which companies; each waits for approval
//	  fields:                                            # default: none follows
//	    name: {owner: psa}                               # at the vendor it is the name on the bills
//	    billing_address: {owner: psa}                    # or single fields of it
//	    primary_contact: {owner: psa}
//	products:
//	  match: [link, key]                                 # the only choice: SKU, term and billing cycle together
//	  missing: {psa: propose}                            # default; propose, create or ignore
//	contracts:
//	  type: Cloud Services
//	  per: term                    # default: customer, one contract for all
//	  terms:                       # with per: term, which contract the lines of a term go on; the rest go on type
//	    - {term: P1M, type: Cloud Monthly}
//	    - {term: P1Y, billing_cycle: annual, type: Cloud Services, name: Microsoft yearly}
//	  missing: {psa: propose}      # default; propose, create or ignore
//	lines:
//	  first: hold                  # default; vendor, psa or hold: who is right when a pair is met for the first time
//	  count: purchased             # default; what a line bills, such as purchased - 5 or larger(assigned, agreed); see the guide on seats and shapes
//	  group: subscription          # default; or product: one line bills all subscriptions of a product
//	  missing: {psa: propose}      # default
//	  refused: hold                # default; put_back: what the vendor does not take is put back on the line
//	  fields:                      # what follows, of quantity, unit_cost, unit_price and description; the rest is left alone
//	    quantity: {owner: both, conflict: hold}          # conflict: hold is the default; vendor, psa, highest, lowest
//	    unit_cost: {owner: vendor, put_back: true}       # put_back: undo edits on the side that does not own it
//	bundles:                       # default: none. A line of that PSA product bills the parts in this ratio
//	  - {line: WORKPLACE, of: {"CFQ7TTC0LCHC:0002 P1Y monthly": 1, "CFQ7TTC0LH18:0001 P1M monthly": 2}}
//	guards:
//	  per_change: {increase: 25, decrease: 25, share: 60%, cost: 500 GBP, drop: 500 GBP}
//	  per_customer: {share: 50%, count: 20, cost: 1000 GBP, drop: 1000 GBP, bill: 2000 GBP}
//	  per_run: {share: 10%, count: 200, cost: 5000 GBP, drop: 5000 GBP, bill: 10000 GBP}
//	  together: 24h                # default: for how long what was done counts together with a plan; 1h to 168h, or run for the plan alone
//	  decrease: window             # default; hold
//	  cancel: hold                 # default; term_end
//	tell: {renewal: {days: [60, 30, 10]}}   # default: days before the end of a term at which an open decision is told
//	approve: {people: 2}           # default 1: how many different people must approve a plan that goes over the guards
//	tell:
//	  lines: note                  # default: a line tells what became of an edit, where the PSA has the field; or nothing
//
// A flow without guards still has three: per_customer.share is 50%, per_run.share is 10%, decrease is window and cancel is
// hold. The other limits apply only when written. A share is the part of the seats that may be lowered or ended at once; 100% takes the
// brake off. One seat never breaks a share, unless it is the last. increase and decrease are seats, count is changes to
// existing lines. The amounts are a month: cost is vendor cost added, drop is what customers would be billed or the vendor
// would charge less (each alone; what goes up elsewhere does not make up for it), bill is what customers would be billed more. New
// lines count in bill only, and only with mode: write, because in the other modes a person reviews the plan and its price. What the flow
// wrote in the time of together counts as if it were part of the plan, so that many small steps are seen as one; what people released
// does not count, and what went down and up again was not lowered.
package config

import (
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// Config is a trueup.yaml and its flows, checked and with defaults filled in.
type Config struct {
	File     string // as it was named to Load
	Dir      string // the folder of File; relative paths were resolved against it
	State    string // data source name of the store: sqlite:<path> or postgres://...; the latter may hold a password, so it is never shown
	Tenant   string // whose rows of the store; "" where it has only one
	StateDir string // the folder of the store, or of File when the store is a server; the vault is in it
	Timezone *time.Location
	Listen   string          // host:port on which the daemon serves its health and metrics; "" for nowhere
	Accounts []AccountConfig // sorted by name
	Flows    []engine.Flow   // in the order of their files
	Vault    connectors.Vault
}

// AccountConfig is one configured connection to a system.
type AccountConfig struct {
	Name     string
	System   string                       // a key of the systems given to Load
	Settings map[string]string            // plain settings, defaults filled in
	Secrets  map[string]connectors.Secret // secret settings
	Discover string                       // cron, in the configured time zone: when everything is read anew
	Mapping  string                       // path of a mapping file; "" for the mapping shipped with the system
	Budget   connectors.Budget            // zero for the system's own limits
	Hints    Hints
	Pos      diag.Pos // where the account is written
}

// Account finds an account by name.
func (c *Config) Account(name string) (AccountConfig, bool) {
	i := slices.IndexFunc(c.Accounts, func(a AccountConfig) bool { return a.Name == name })
	if i < 0 {
		return AccountConfig{}, false
	}
	return c.Accounts[i], true
}

// Flow finds a flow by name.
func (c *Config) Flow(name string) (engine.Flow, bool) {
	i := slices.IndexFunc(c.Flows, func(f engine.Flow) bool { return f.Name == name })
	if i < 0 {
		return engine.Flow{}, false
	}
	return c.Flows[i], true
}

const (
	defaultState    = "sqlite:trueup.db"
	defaultDiscover = "0 6,18 * * *"
)

// nameRule is what accounts and flows may be called; their names become parts of keys, metrics and messages.
var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const nameHint = "use small letters, digits, - and _, up to 63, starting with a letter or digit"

// loader carries what reading needs from file to file.
type loader struct {
	config   *Config
	systems  map[string]connectors.Descriptor
	env      func(string) (string, bool)
	vault    connectors.Vault
	problems diag.List
	accounts map[string]string // name -> system, "" when the system is not known; also accounts with complaints
	flows    []flowFile
}

// Load reads trueup.yaml at path and every flow file it names. systems are the known systems by name; env is usually
// os.LookupEnv. vault serves ${secret:name}; nil means the vault in the folder of the state, and either way
// Config.Vault is the one that was used. Every complaint about the files is in the returned *diag.Error.
func Load(path string, systems map[string]connectors.Descriptor, env func(string) (string, bool), vault connectors.Vault) (*Config, error) {
	l := &loader{
		config:   &Config{File: path, Dir: filepath.Dir(path)},
		systems:  systems,
		env:      env,
		vault:    vault,
		accounts: map[string]string{},
	}
	l.readConfig(path)
	if err := l.problems.Err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

func (l *loader) readConfig(path string) {
	source, err := os.ReadFile(path)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = `"trueup init" writes one to start from`
		}
		l.problems.Add(diag.Pos{File: path}, hint, "the configuration cannot be read: %s", osReason(err))
		return
	}
	root := l.parse(path, source)
	m := root.Map()
	if !root.IsMap() {
		return // said by parse or by Map; without keys there is no time zone to miss
	}
	l.version(m)
	l.readState(m.Get("state"))
	l.readTenant(m.Get("tenant"))
	l.readTimezone(root, m.Get("timezone"))
	l.readListen(m.Get("listen"), m.Get("listen_anywhere"))
	l.readAccounts(m.Need("accounts"))
	l.readFlows(m.Get("flows"))
	m.Close()
}

func (l *loader) readTenant(n *strictyaml.Node) {
	if !n.Present() || !n.IsScalar() {
		n.Text() // complains about the shape, if there is one
		return
	}
	if l.config.Tenant = n.Text(); !nameRule.MatchString(l.config.Tenant) {
		n.Complain(nameHint, "%q is not a name for a tenant", l.config.Tenant)
	}
}

// bareReference finds ${ as an unquoted value inside { } or [ ], which YAML cannot read.
var bareReference = regexp.MustCompile(`^[^#"']*[{\[,](?:[^#"'{}]*:)?\s*(\$\{)`)

// parse is strictyaml.Parse; where that fails it also looks for the likeliest reason in our files.
func (l *loader) parse(path string, source []byte) *strictyaml.Node {
	root := strictyaml.Parse(path, source, &l.problems)
	if root != nil {
		return root
	}
	line := 0
	for text := range strings.Lines(string(source)) {
		line++
		if at := bareReference.FindStringSubmatchIndex(text); at != nil {
			l.problems.Add(diag.Pos{File: path, Line: line, Column: at[2] + 1}, `write "${env:NAME}", or put each setting on a line of its own`,
				"a ${...} inside { } or [ ] must be in quotes")
		}
	}
	return nil
}

func (l *loader) version(m *strictyaml.Map) {
	if n := m.Need("version"); n.IsScalar() && n.Text() != "1" {
		n.Complain("write version: 1", "version %q is not known to this trueup", n.Text())
	}
}

func (l *loader) readTimezone(root, n *strictyaml.Node) {
	const hint = "use a name like Europe/London"
	if !n.Present() {
		root.Complain(hint, `"timezone" is missing; it decides on which day something is billed`)
		return
	}
	name := n.Text()
	if !n.IsScalar() {
		return
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		n.Complain(hint, "%q is not a time zone", name)
		return
	}
	l.config.Timezone = location
}

// readListen sets Listen. There is no signing in, so that other machines are let in only by a line that says so.
func (l *loader) readListen(n, anywhere *strictyaml.Node) {
	const hint = "write a port, like 8480, or an address with its port, like 127.0.0.1:8480"
	open := anywhere.Bool()
	if !n.Present() || !n.IsScalar() {
		n.Text() // complains about the shape, if there is one
		return
	}
	text := n.Text()
	if _, err := strconv.Atoi(text); err == nil {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || number == 0 {
		n.Complain(hint, "%q is not an address to listen on", n.Text())
		return
	}
	ip := net.ParseIP(host)
	switch {
	case host == "" && open:
	case host == "":
		host = "127.0.0.1"
	case host == "localhost" || ip != nil && ip.IsLoopback():
	case ip == nil:
		n.Complain("write a number like 127.0.0.1, or localhost", "%q is not an address of this machine", host)
		return
	case !open:
		n.Complain("listen on 127.0.0.1 and put a proxy before it, or write listen_anywhere: true when a firewall decides who may look",
			"%s can be reached from other machines, and nobody has to sign in there", n.Text())
		return
	}
	l.config.Listen = net.JoinHostPort(host, port)
}

func (l *loader) readAccounts(n *strictyaml.Node) {
	n.Map().Each(l.readAccount)
	if n.IsMap() && len(l.accounts) == 0 {
		n.Complain("add a vendor and a PSA, see configs/trueup.yaml", "no accounts")
	}
	slices.SortFunc(l.config.Accounts, func(a, b AccountConfig) int { return strings.Compare(a.Name, b.Name) })
}

func (l *loader) readAccount(key, n *strictyaml.Node) {
	account := AccountConfig{Name: key.Text(), Pos: key.Pos(), Discover: defaultDiscover}
	if !nameRule.MatchString(account.Name) {
		key.Complain(nameHint, "%q is not a name for an account", account.Name)
	}
	l.accounts[account.Name] = ""
	m := n.Map()
	systemNode := m.Need("system")
	settings := m.Get("settings")
	if systemNode.Present() {
		account.System = systemNode.Text()
	}
	if descriptor, ok := l.systems[account.System]; ok {
		l.accounts[account.Name] = account.System
		account.Settings, account.Secrets = l.readSettings(key, settings, descriptor)
	} else if systemNode.IsScalar() {
		systemNode.Complain(diag.DidYouMean(account.System, slices.Collect(maps.Keys(l.systems))), "no system %q", account.System)
	}
	if d := m.Get("discover"); d.Present() {
		account.Discover = schedule(d)
	}
	if f := m.Get("mapping"); f.Present() {
		account.Mapping = l.readMappingPath(f)
	}
	if b := m.Get("budget"); b.Present() {
		budget := b.Map()
		account.Budget.PerMinute = atLeastOne(budget.Get("per_minute"))
		account.Budget.Parallel = atLeastOne(budget.Get("parallel"))
		budget.Close()
	}
	account.Hints = l.readHints(account.Name, m.Get("hints"), l.systems[account.System])
	m.Close()
	l.config.Accounts = append(l.config.Accounts, account)
}

func (l *loader) readMappingPath(n *strictyaml.Node) string {
	if n.Text() == "" {
		if n.IsScalar() {
			n.Complain("name a file, or remove the line to use the mapping that comes with trueup", `"mapping" is empty`)
		}
		return ""
	}
	path := l.path(n.Text())
	info, err := os.Stat(path)
	switch {
	case err != nil:
		n.Complain("", "the mapping %s cannot be read: %s", path, osReason(err))
	case info.IsDir():
		n.Complain("name one file", "the mapping %s is a folder", path)
	}
	return path
}

// readSettings checks the settings against what the system says about them.
func (l *loader) readSettings(key, n *strictyaml.Node, d connectors.Descriptor) (map[string]string, map[string]connectors.Secret) {
	settings, secrets := map[string]string{}, map[string]connectors.Secret{}
	if n.Present() && !n.IsMap() { // what stands there is not quoted: it may be a secret
		n.Complain("write one name: value a line", "settings must be a map")
		return settings, secrets
	}
	m := n.Map()
	var missing []string
	for _, s := range d.Settings {
		value := m.Get(s.Name)
		switch {
		case value.Present() && s.Secret:
			if v, ok := l.resolveSecret(value, s.Name); ok {
				secrets[s.Name] = v
			}
		case value.Present():
			if v, ok := l.resolvePlain(value, s); ok {
				settings[s.Name] = v
			}
		case s.Required:
			missing = append(missing, s.Name)
		case s.Default != "" && !s.Secret:
			settings[s.Name] = s.Default
		}
	}
	for _, was := range []struct{ setting, key string }{{"requests_per_minute", "per_minute"}, {"parallel", "parallel"}} {
		if old := m.Get(was.setting); old.Present() {
			old.Complain("write budget: {"+was.key+": ...} beside system and settings", "the setting %s is the account's budget now", was.setting)
		}
	}
	m.Close()
	if len(missing) > 0 {
		key.Complain("add them under settings", "account %q lacks settings that %s needs: %s", key.Text(), d.System, strings.Join(missing, ", "))
	}
	return settings, secrets
}

// path resolves a path the user wrote.
func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(l.config.Dir, name)
}

// osReason is what the operating system said, without the path that the message already names.
func osReason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
