package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/state"
)

// app is what every command shares: where to read and write, and the flags of the whole program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	configFile string
	json       bool
	verbose    bool
	http       *http.Client                                   // the demo's own transport; nil for the default
	observe    func(account string) func(connectors.Exchange) // told of every request; nil for nobody
}

// say prints a line for people.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// show prints data: the value as JSON with --json, otherwise what text writes.
func (a *app) show(value any, text func(w io.Writer)) error {
	if !a.json {
		text(a.stdout)
		return nil
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// table prints rows in aligned columns; the first row is the heading.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = t.Flush()
}

// load reads the configuration.
func (a *app) load() (*config.Config, error) {
	cfg, err := config.Load(a.configFile, all.Descriptors(), a.env, nil)
	if errors.Is(err, fs.ErrNotExist) && !diag.IsBadFile(err) {
		return nil, usageError{fmt.Errorf("%w; write one with trueup init, or look at trueup demo first", err)}
	}
	return cfg, err
}

// session is an open configuration: connectors, mappings, store and engine.
type session struct {
	*config.Config
	store  *state.Store
	engine *engine.Engine
	log    *zap.Logger
}

func (s *session) Close() {
	_ = s.store.Close()
	_ = s.log.Sync()
}

// open loads the configuration and opens everything it names. Nothing is asked of any system yet.
func (a *app) open(ctx context.Context) (*session, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	s := &session{Config: cfg, log: a.logger()}
	accounts, err := a.connect(cfg, s.log, s.turns)
	if err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, cfg.State, cfg.Tenant); err != nil {
		return nil, err
	}
	s.engine = &engine.Engine{Store: s.store, Accounts: accounts, Log: s.log, Now: time.Now, Location: cfg.Timezone}
	return s, nil
}

// connect makes the connectors with their mappings; all complaints about mappings come at once.
func (a *app) connect(cfg *config.Config, log *zap.Logger, turns func(account string) connectors.Turns) (map[string]*apply.Account, error) {
	accounts := map[string]*apply.Account{}
	var problems diag.List
	for _, ac := range cfg.Accounts {
		system, _ := all.Find(ac.System)
		var observe func(connectors.Exchange)
		if a.observe != nil {
			observe = a.observe(ac.Name)
		}
		var shared connectors.Turns
		if turns != nil {
			shared = turns(ac.Name)
		}
		connector, err := system.New(connectors.Account{Name: ac.Name, Settings: ac.Settings, Secrets: ac.Secrets, Vault: cfg.Vault, Budget: ac.Budget,
			HTTP: a.http, Log: log.Named(ac.Name), Now: time.Now, Location: cfg.Timezone, Observe: observe, Turns: shared})
		if err != nil {
			problems.Add(ac.Pos, "", "account %s: %s", ac.Name, err)
			continue
		}
		m, err := loadMapping(ac.System, ac.Mapping, &problems)
		if err != nil {
			return nil, err
		}
		accounts[ac.Name] = &apply.Account{Name: ac.Name, Connector: connector, Mapping: m}
	}
	return accounts, problems.Err()
}

// turns is the budget of an account that all processes on the session's store share.
func (s *session) turns(account string) connectors.Turns { return laterTurns{s, account} }

// laterTurns are the turns of an account in a store that is opened after the connectors are made.
type laterTurns struct {
	session *session
	account string
}

// Take implements connectors.Turns.
func (l laterTurns) Take(ctx context.Context, n int, interval time.Duration) (wait, hold time.Duration, sharers int, err error) {
	return l.session.store.Turns(l.account).Take(ctx, n, interval)
}

// Hold implements connectors.Turns.
func (l laterTurns) Hold(ctx context.Context, wait time.Duration) error {
	return l.session.store.Turns(l.account).Hold(ctx, wait)
}

// loadMapping reads an account's mapping, or the one that comes with its system.
func loadMapping(system, file string, problems *diag.List) (*mapping.Mapping, error) {
	descriptor := all.Descriptors()[system]
	name, source, err := mappingSource(system, file)
	if err != nil {
		return nil, err
	}
	return mapping.Load(name, source, descriptor, problems), nil
}

func mappingSource(system, file string) (name string, source []byte, err error) {
	if file == "" {
		name = "mappings/" + system + ".yaml"
		source, err = configs.FS.ReadFile(name)
		return "configs/" + name, source, err
	}
	source, err = os.ReadFile(file)
	if err != nil {
		return file, nil, fmt.Errorf("read mapping: %w", err)
	}
	return file, source, nil
}

// logger writes errors to standard error, or everything with --verbose. What went less than well a command says itself, once.
func (a *app) logger() *zap.Logger {
	level := zapcore.ErrorLevel
	if a.verbose {
		level = zapcore.DebugLevel
	}
	return a.logAt(level)
}

func (a *app) logAt(level zapcore.Level) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339TimeEncoder
	encoder.EncodeDuration = zapcore.StringDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(a.stderr), level))
}

// pickFlows returns the named flow, or all when no name is given.
func (s *session) pickFlows(names []string) ([]engine.Flow, error) {
	if len(names) == 0 {
		if len(s.Flows) == 0 {
			return nil, usageError{fmt.Errorf("%s names no flow", s.File)}
		}
		return s.Flows, nil
	}
	var flows []engine.Flow
	for _, name := range names {
		flow, ok := s.Flow(name)
		if !ok {
			var known []string
			for _, f := range s.Flows {
				known = append(known, f.Name)
			}
			return nil, usageError{fmt.Errorf("no flow %q in %s (%s)", name, s.File, diag.DidYouMean(name, known))}
		}
		flows = append(flows, flow)
	}
	return flows, nil
}
