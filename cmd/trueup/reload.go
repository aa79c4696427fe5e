package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/web"
)

// work is what a session gives a daemon to do.
func (s *session) work(flows []engine.Flow) daemon.Work {
	discovers, sooner := map[string]string{}, map[string]daemon.Sooner{}
	for _, account := range s.Accounts {
		sooner[account.Name] = daemon.Sooner{Webhook: account.Hints.URL != "", Every: account.Hints.Every}
		if account.Discover != "" {
			discovers[account.Name] = account.Discover
		}
	}
	return daemon.Work{Engine: s.engine, Flows: flows, Discovers: discovers, Credentials: s.credentials, Sooner: sooner}
}

// reloads reads the configuration again at each hangup, until ctx ends. One that is wrong changes nothing.
func (a *app) reloads(ctx context.Context, hangups <-chan os.Signal, s *session, names []string, changes chan<- daemon.Work, manager serviceManager, metrics *web.Metrics) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		manager.reloading()
		next, flows, err := a.reload(s, names)
		if err != nil {
			for complaint := range strings.Lines(err.Error()) {
				s.log.Error("the configuration is wrong, the old one stays", zap.String("complaint", strings.TrimSpace(complaint)))
			}
			metrics.Reloaded(false)
			manager.ready()
			continue
		}
		select {
		case changes <- next.work(flows):
			s = next
		case <-ctx.Done():
			return
		}
	}
}

// reload makes a session from the files as they are now, on the same store. Accounts whose connection did not change keep their
// connector, with its tokens and what it counts against its budget.
func (a *app) reload(s *session, names []string) (*session, []engine.Flow, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	if cfg.State != s.State || cfg.Tenant != s.Tenant || cfg.Listen != s.Listen {
		return nil, nil, fmt.Errorf("%s: state:, tenant: and listen: cannot change while trueup runs; restart it", cfg.File)
	}
	accounts, err := a.connect(cfg, s.log, s.turns)
	if err != nil {
		return nil, nil, err
	}
	for name, account := range accounts {
		before, known := s.Account(name)
		now, _ := cfg.Account(name)
		if known && sameConnection(before, now) && cfg.Timezone.String() == s.Timezone.String() {
			account.Connector = s.engine.Accounts[name].Connector
		}
	}
	next := &session{Config: cfg, store: s.store, log: s.log}
	next.engine = &engine.Engine{Store: s.store, Accounts: accounts, Log: s.log, Now: s.engine.Now, Location: cfg.Timezone}
	flows, err := next.pickFlows(names)
	return next, flows, err
}

func sameConnection(a, b config.AccountConfig) bool {
	if a.System != b.System || a.Budget != b.Budget || !maps.Equal(a.Settings, b.Settings) || len(a.Secrets) != len(b.Secrets) {
		return false
	}
	for name, secret := range a.Secrets {
		if other, ok := b.Secrets[name]; !ok || other.Reveal() != secret.Reveal() {
			return false
		}
	}
	return true
}

// credentials are the secrets that a system forgets when they are not used, and that the vault knows the age of.
func (s *session) credentials(ctx context.Context) ([]daemon.Credential, error) {
	vault, ok := s.Vault.(interface {
		Written(ctx context.Context, name string) (time.Time, bool, error)
	})
	if !ok {
		return nil, nil
	}
	var credentials []daemon.Credential
	for _, account := range s.Accounts {
		for _, setting := range all.Descriptors()[account.System].Settings {
			if setting.IdleDays == 0 || account.Secrets[setting.Name].Reveal() == "" {
				continue
			}
			at, kept, err := vault.Written(ctx, account.Name+"."+setting.Name)
			if err != nil {
				return nil, err
			}
			if kept {
				credentials = append(credentials, daemon.Credential{Account: account.Name, Setting: setting.Name, Written: at, IdleDays: setting.IdleDays})
			}
		}
	}
	return credentials, nil
}

// stateFile gives a check that the file in which everything is remembered is still the one that was opened. A file that was removed
// can still be written by who has it open, and nobody would find again what was written.
func stateFile(dsn string) func() error {
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	const next = "what is done from now on would be forgotten, so nothing more is begun; put the file back from a backup, or start with a new one: links are found again from the ids kept on both sides"
	opened, openErr := os.Stat(path)
	return func() error {
		now, err := os.Stat(path)
		switch {
		case openErr != nil:
			return fmt.Errorf("look at the state file: %w", openErr)
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the state file %s was removed while trueup ran; %s", path, next)
		case err != nil:
			return fmt.Errorf("look at the state file: %w", err)
		case !os.SameFile(opened, now):
			return fmt.Errorf("the state file %s was replaced by another while trueup ran; %s", path, next)
		}
		return nil
	}
}
