package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) stateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "Bring the state's schema up to date, back it up, restore it, move it to another database",
	}
	c.AddCommand(&cobra.Command{
		Use:   "migrate [STATE]",
		Short: "Bring the schema up to date and say what was applied",
		Long: `migrate brings the schema of the configured state up to date, or that of STATE: sqlite:FILE or a postgres:// URL. Every command that
opens a state does the same; this one only says so, and needs no working connection to anything else.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.openState(c.Context(), given)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			m := s.Migrated()
			return a.show(migratedJSON{m.From, m.To, append([]string{}, m.Applied...)}, func(w io.Writer) {
				for _, step := range m.Applied {
					fmt.Fprintf(w, "applied %s\n", step)
				}
				if m.From == m.To {
					fmt.Fprintf(w, "the schema is up to date, version %d\n", m.To)
				} else {
					fmt.Fprintf(w, "the schema was version %d and is version %d\n", m.From, m.To)
				}
			})
		},
	}, &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that is remembered, as it is at one moment, into a new file",
		Long: `backup writes everything that the configured state remembers into FILE, a new SQLite file, whatever database the state is in. It may run
beside the daemon. Where trueup.yaml names a tenant it holds what is that tenant's, otherwise all of all tenants. The file is read again and compared, and the journal's chain is verified in it, before it appears under its name. It holds customers'
names and amounts, and no secret. The vault and its key are files of their own: copy them too.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			s, err := openStore(c.Context(), cfg.State, cfg.Tenant)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			done, err := s.Backup(c.Context(), given[0], tenants(cfg)...)
			if err != nil {
				return fmt.Errorf("back the state up to %s: %w", given[0], err)
			}
			return a.showCopied(done, "the vault (trueup.vault, trueup.key) is not in it: copy it too, the key apart from the rest")
		},
	}, &cobra.Command{
		Use:   "restore FILE",
		Short: "Read a backup into the configured state, which must be empty",
		Long: `restore reads a backup, or any other state file of trueup, into the state that trueup.yaml names. That must be a file that is not there yet or a
database without anything remembered in it: nothing is overwritten. Where trueup.yaml names a tenant, this is about what is that tenant's. Look at trueup plan before you start the daemon.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return a.copyState(c.Context(), "sqlite:"+given[0]+"?mode=ro", cfg.State, false, "next: trueup plan", tenants(cfg)...)
		},
	}, &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Move the state to another database: SQLite to PostgreSQL or back",
		Long: `copy writes everything that FROM remembers into TO, which must be empty. Both are named as under state: in trueup.yaml: sqlite:FILE, or a
postgres:// URL whose password is ${env:NAME} or ${file:PATH}, in quotes because of the shell. FROM must not be in use. The journal
arrives with its numbers and hashes; everything is read again and compared, and every chain is verified, before it counts.`,
		Example: `  trueup state copy sqlite:trueup.db 'postgres://trueup:${env:DB_PASSWORD}@db.example.com/trueup'`,
		Args:    args(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, given []string) error {
			from, err := a.stateName("FROM", given[0])
			if err != nil {
				return err
			}
			to, err := a.stateName("TO", given[1])
			if err != nil {
				return err
			}
			if from == to {
				return usageError{errors.New("state copy: FROM and TO are the same")}
			}
			return a.copyState(c.Context(), from, to, true, "next: name the new one under state: in trueup.yaml, run trueup plan, and put the old one where nobody goes on with it")
		},
	})
	return c
}

// stateName reads the name of a state from the command line.
func (a *app) stateName(what, written string) (string, error) {
	return config.StateName(what, written, ".", a.env)
}

// openState opens the named state, or the configured one without its accounts.
func (a *app) openState(ctx context.Context, named []string) (*state.Store, error) {
	if len(named) == 1 {
		name, err := a.stateName("STATE", named[0])
		if err != nil {
			return nil, err
		}
		return openStore(ctx, name, "")
	}
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	return openStore(ctx, cfg.State, cfg.Tenant)
}

// tenants are those that a configuration may know of: its own, or all where it names none.
func tenants(cfg *config.Config) []string {
	if cfg.Tenant == "" {
		return nil
	}
	return []string{cfg.Tenant}
}

// openStore opens a tenant's store; that what was named is not there is a mistake in the configuration or on the command line.
func openStore(ctx context.Context, name, tenant string) (*state.Store, error) {
	s, err := state.Open(ctx, name, state.WithTenant(tenant))
	if errors.Is(err, state.ErrNoFolder) || errors.Is(err, state.ErrNotDatabase) || errors.Is(err, state.ErrNotFound) {
		return nil, usageError{err}
	}
	return s, err
}

// copyState copies between two states; moved says that the work goes on with the copy, so that nobody may be working on the first.
func (a *app) copyState(ctx context.Context, from, to string, moved bool, next string, of ...string) error {
	source, err := openStore(ctx, from, "")
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := openStore(ctx, to, "")
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	if moved {
		if err := source.Idle(ctx, of...); err != nil {
			return err
		}
	}
	if err := target.Idle(ctx, of...); err != nil {
		return err
	}
	done, err := state.Copy(ctx, source, target, of...)
	if err != nil {
		return err
	}
	return a.showCopied(done, next)
}

type migratedJSON struct {
	From    int64    `json:"from"`
	To      int64    `json:"to"`
	Applied []string `json:"applied"`
}

type copiedJSON struct {
	Rows     map[string]int64 `json:"rows"`
	Journals []journalJSON    `json:"journals"`
}

type journalJSON struct {
	Tenant string `json:"tenant"`
	Seq    int64  `json:"head_seq"`
	Hash   string `json:"head_hash"`
}

func (a *app) showCopied(done state.Copied, next string) error {
	out := copiedJSON{Rows: done.Rows, Journals: []journalJSON{}}
	for _, tenant := range slices.Sorted(maps.Keys(done.Journals)) {
		head := done.Journals[tenant]
		out.Journals = append(out.Journals, journalJSON{tenant, head.Seq, head.Hash})
	}
	err := a.show(out, func(w io.Writer) {
		rows := [][]string{{"table", "rows"}}
		for _, name := range slices.Sorted(maps.Keys(done.Rows)) {
			rows = append(rows, []string{name, fmt.Sprint(done.Rows[name])})
		}
		table(w, rows)
		for _, j := range out.Journals {
			of := ""
			if j.Tenant != "" {
				of = " of tenant " + j.Tenant
			}
			fmt.Fprintf(w, "journal%s: the chain holds, head %d:%s\n", of, j.Seq, j.Hash)
		}
	})
	if err == nil {
		a.say("copied and compared; %s", next)
	}
	return err
}
