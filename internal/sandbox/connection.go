package sandbox

import (
	"cmp"
	"maps"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// Connection is everything a client needs to reach the sandbox. All credentials are invented.
type Connection struct {
	Vendor  VendorConnection  `json:"vendor"`
	PSA     PSAConnection     `json:"psa"`
	Control string            `json:"control"`           // address of the control API, always plain HTTP
	CAFile  string            `json:"ca_file,omitempty"` // PEM file of the CA to trust; "" without TLS
	Env     map[string]string `json:"env"`               // what the settings' ${env:...} refer to
	Seed    uint64            `json:"seed"`
	Started time.Time         `json:"started"` // what the sandbox's clock showed at first
}

// VendorConnection reaches Partner Center.
type VendorConnection struct {
	System       string            `json:"system"`
	API          string            `json:"api"`
	SignIn       string            `json:"sign_in"`
	Prices       string            `json:"prices"`
	Tenant       string            `json:"tenant"`
	ClientID     string            `json:"client_id"`
	ClientSecret string            `json:"client_secret"`
	RefreshToken string            `json:"refresh_token"`
	Country      string            `json:"country"`
	WebhookHosts string            `json:"webhook_hosts"` // that serve the certificates of messages
	Settings     map[string]string `json:"settings"`      // of an account in trueup.yaml

	Budget connectors.Budget `json:"budget"` // of that account: all that the stand-in takes
}

// PSAConnection reaches ConnectWise PSA.
type PSAConnection struct {
	System     string            `json:"system"`
	Site       string            `json:"site"`
	Company    string            `json:"company"`
	PublicKey  string            `json:"public_key"`
	PrivateKey string            `json:"private_key"`
	ClientID   string            `json:"client_id"`
	Currency   string            `json:"currency"`
	Settings   map[string]string `json:"settings"` // of an account in trueup.yaml

	Budget connectors.Budget `json:"budget"` // of that account: all that the stand-in takes
}

// The environment variables that the settings refer to.
const (
	envClientSecret = "TRUEUP_SANDBOX_CLIENT_SECRET" //nolint:gosec // a variable's name, no secret
	envRefreshToken = "TRUEUP_SANDBOX_REFRESH_TOKEN" //nolint:gosec // a variable's name, no secret
	envPublicKey    = "TRUEUP_SANDBOX_PUBLIC_KEY"
	envPrivateKey   = "TRUEUP_SANDBOX_PRIVATE_KEY"
)

// Connection says how to reach the sandbox. `trueup sandbox` prints it as one JSON object.
func (s *Sandbox) Connection() Connection {
	c := s.connection
	c.Env = maps.Clone(c.Env)
	c.Vendor.Settings, c.PSA.Settings = maps.Clone(c.Vendor.Settings), maps.Clone(c.PSA.Settings)
	return c
}

// connect fills the connection once the listeners have their ports.
func (s *Sandbox) connect(scheme string) {
	base := scheme + "://" + s.listeners[vendorSlot].Addr().String()
	site := scheme + "://" + s.listeners[psaSlot].Addr().String()
	settings, secrets := s.vendor.Settings(base), s.vendor.Secrets()
	account := s.psa.Account(site)
	s.connection.Vendor = VendorConnection{
		System: "partnercenter", API: settings["api"], SignIn: settings["sign_in"], Prices: settings["prices"],
		WebhookHosts: settings["webhook_hosts"], Tenant: settings["tenant"], ClientID: settings["client_id"], Country: settings["country"],
		ClientSecret: secrets["client_secret"].Reveal(), RefreshToken: secrets["refresh_token"].Reveal(),
	}
	s.connection.PSA = PSAConnection{
		System: "connectwise", Site: site, Company: account.Settings["company"], ClientID: account.Settings["client_id"],
		PublicKey: account.Secrets["public_key"].Reveal(), PrivateKey: account.Secrets["private_key"].Reveal(),
		Currency: s.options.Currency,
	}
	s.connection.Vendor.Budget, s.connection.PSA.Budget = budget(s.options.VendorPerMinute), budget(s.options.PSAPerMinute)
	s.connection.Control = "http://" + s.listeners[controlSlot].Addr().String()
	s.connection.Seed, s.connection.Started = s.options.Seed, s.options.Start
	s.connection.Env = map[string]string{
		envClientSecret: s.connection.Vendor.ClientSecret, envRefreshToken: s.connection.Vendor.RefreshToken,
		envPublicKey: s.connection.PSA.PublicKey, envPrivateKey: s.connection.PSA.PrivateKey,
	}
	s.connection.Vendor.Settings = with(s.vendorSettings(), map[string]string{
		"client_secret": "${env:" + envClientSecret + "}", "refresh_token": "${env:" + envRefreshToken + "}"})
	s.connection.PSA.Settings = with(s.psaSettings(), map[string]string{
		"public_key": "${env:" + envPublicKey + "}", "private_key": "${env:" + envPrivateKey + "}"})
}

// vendorSettings are the plain settings.
func (s *Sandbox) vendorSettings() map[string]string {
	v := s.connection.Vendor
	return map[string]string{"tenant": v.Tenant, "client_id": v.ClientID, "account_type": "direct", "country": v.Country,
		"api": v.API, "sign_in": v.SignIn, "prices": v.Prices, "webhook_hosts": v.WebhookHosts, "webhook_roots": s.vendor.Authority().PEM()}
}

func (s *Sandbox) psaSettings() map[string]string {
	settings := s.psa.Account(s.connection.PSA.Site).Settings
	return with(settings, map[string]string{"currency": s.options.Currency})
}

func with(settings, more map[string]string) map[string]string {
	settings = maps.Clone(settings)
	maps.Copy(settings, more)
	return settings
}

// budget is what a client should allow itself: all that the stand-in takes.
func budget(limit int) connectors.Budget {
	return connectors.Budget{PerMinute: cmp.Or(limit, noLimit), Parallel: 8}
}
