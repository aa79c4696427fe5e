package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/state"
)

// hooksFlow is under what name registrations stand in the journal; no flow can have it.
const hooksFlow = "(hooks)"

type hookJSON struct {
	Account string   `json:"account"`
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	About   []string `json:"about"`
	Active  bool     `json:"active"`
	Ours    bool     `json:"ours"`
}

func (a *app) hooksCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "hooks [ACCOUNT...]",
		Short: "List the webhooks that systems send, and have them sent to hints.url",
		Long: `hooks lists what each account's system has registered to send messages about, and to whom. add and remove change that at the system, so
they only say what they would do unless --yes is given. What other programs registered is left alone. Every registration is in the journal.`,
		RunE: func(c *cobra.Command, names []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			hooks := []hookJSON{}
			for _, account := range s.Accounts {
				registrar, ok := s.engine.Accounts[account.Name].Connector.(connectors.Registrar)
				if !ok || len(names) > 0 && !slices.Contains(names, account.Name) {
					continue
				}
				found, err := registrar.Register(c.Context(), connectors.Registration{URL: account.Hints.URL, Remove: true, Dry: true})
				if err != nil && len(found.Hooks) == 0 {
					return err
				}
				hooks = append(hooks, hooksOf(account.Name, found)...)
			}
			return a.show(hooks, func(w io.Writer) {
				rows := [][]string{{"ACCOUNT", "ID", "ABOUT", "ACTIVE", "OURS", "SENT TO"}}
				for _, h := range hooks {
					rows = append(rows, []string{h.Account, h.ID, strings.Join(h.About, ", "), yesNo(h.Active), yesNo(h.Ours), h.URL})
				}
				table(w, rows)
			})
		},
	}
	for _, verb := range []struct {
		use, short string
		remove     bool
	}{
		{"add ACCOUNT", "Have the account's system send its messages to hints.url", false},
		{"remove ACCOUNT", "Have it send none to hints.url any more", true},
	} {
		var yes bool
		sub := &cobra.Command{Use: verb.use, Short: verb.short, Args: args(cobra.ExactArgs(1)), RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			return a.register(c.Context(), s, given[0], verb.remove, yes)
		}}
		sub.Flags().BoolVar(&yes, "yes", false, "do it; without it only what would be done is said")
		c.AddCommand(sub)
	}
	return c
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func hooksOf(account string, found connectors.Registered) (hooks []hookJSON) {
	for _, h := range found.Hooks {
		hooks = append(hooks, hookJSON{account, h.ID, h.URL, h.About, h.Active, h.Ours})
	}
	return hooks
}

// register looks, says what is to be done, and with yes does it through the journal.
func (a *app) register(ctx context.Context, s *session, name string, remove, yes bool) error {
	account, ok := s.Account(name)
	if !ok {
		return usageError{fmt.Errorf("no account %q in %s", name, s.File)}
	}
	registrar, ok := s.engine.Accounts[name].Connector.(connectors.Registrar)
	switch {
	case !ok:
		return usageError{fmt.Errorf("%s sends no messages", account.System)}
	case account.Hints.URL == "":
		return usageError{fmt.Errorf("account %s has no hints: {url: ...} in %s; messages have nowhere to go", name, s.File)}
	}
	r := connectors.Registration{URL: account.Hints.URL, Remove: remove, Dry: true}
	found, err := registrar.Register(ctx, r)
	if err != nil {
		return err
	}
	if err := s.settleHooks(ctx, name, len(found.Steps) == 0, remove); err != nil {
		return err
	}
	if len(found.Steps) > 0 && yes {
		if found, err = s.journalled(ctx, registrar, name, r, found.Steps); err != nil {
			return err
		}
	}
	for _, step := range found.Steps {
		if yes {
			a.say("done in %s: %s", name, step)
		} else {
			a.say("would in %s: %s", name, step)
		}
	}
	switch {
	case len(found.Steps) == 0:
		a.say("nothing to do: it is so already")
	case !yes:
		a.say("nothing was changed; add --yes to do it")
	}
	return a.show(hooksOf(name, found), func(io.Writer) {})
}

// journalled changes registrations. The intent is committed before the first request; when a reply is lost, the next command looks what
// became of it before it does anything.
func (s *session) journalled(ctx context.Context, registrar connectors.Registrar, account string, r connectors.Registration, steps []string) (connectors.Registered, error) {
	body, err := json.Marshal(map[string]any{"remove": r.Remove, "steps": steps})
	if err != nil {
		return connectors.Registered{}, fmt.Errorf("write down the registration: %w", err)
	}
	entry := state.Entry{Intent: uuid.NewString(), State: state.JournalIntended, Flow: hooksFlow, Account: account, Op: "register",
		Ref: connectors.Ref{Kind: "webhook", ID: r.URL}, Body: body, Note: strings.Join(steps, "; ")}
	if err := s.store.Append(ctx, entry); err != nil {
		return connectors.Registered{}, err
	}
	r.Dry, r.Key = false, entry.Intent
	done, err := registrar.Register(ctx, r)
	switch entry.Class = connectors.ClassOf(err); {
	case err == nil:
		entry.State = state.JournalDone
	case entry.Class == connectors.ClassUnknown || len(steps) > 1: // of several steps some may have been done
		entry.State, entry.Note = state.JournalUnknown, err.Error()
	default:
		entry.State, entry.Note = state.JournalFailed, err.Error()
	}
	if appendErr := s.store.Append(context.WithoutCancel(ctx), entry); err == nil {
		err = appendErr
	}
	return done, err
}

// settleHooks writes down what became of registrations whose outcome was not known, now that somebody looked.
func (s *session) settleHooks(ctx context.Context, account string, asWanted, remove bool) error {
	open, err := s.store.OpenIntents(ctx, hooksFlow)
	if err != nil {
		return err
	}
	for _, entry := range open {
		var was struct {
			Remove bool `json:"remove"`
		}
		if entry.Account != account || json.Unmarshal(entry.Body, &was) != nil {
			continue
		}
		entry.State, entry.Class, entry.Note = state.JournalAbandoned, "", "looked: it is not as it was asked for"
		if asWanted == (was.Remove == remove) {
			entry.State, entry.Note = state.JournalDone, "looked: it is as it was asked for"
		}
		entry.Seq, entry.Hash, entry.At = 0, "", time.Time{}
		if err := s.store.Append(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}
