package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) discoverCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "discover [ACCOUNT...]",
		Short: "Read everything of the accounts anew; change nothing",
		RunE: func(c *cobra.Command, names []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			var known []string
			for _, account := range s.Accounts {
				known = append(known, account.Name)
			}
			if len(names) == 0 {
				names = known
			}
			var runs []state.Run
			failed := false
			for _, name := range names {
				if !slices.Contains(known, name) {
					return usageError{fmt.Errorf("no account %q in %s (%s)", name, s.File, diag.DidYouMean(name, known))}
				}
				p := newProgress(a.stderr)
				s.engine.Progress = p.tell
				run, err := s.engine.Discover(c.Context(), name, state.TriggerManual)
				p.done()
				switch {
				case err != nil:
					a.say("%s: %s", name, err)
					failed = true
				case run.State != state.RunCompleted:
					a.say("%s: %s: %s", name, run.State, run.Reason)
					failed = true
				}
				runs = append(runs, run)
			}
			if err := a.show(runsJSON(runs), func(w io.Writer) { table(w, runRows(runs)) }); err != nil {
				return err
			}
			if failed {
				return errSaid
			}
			return nil
		},
	}
}

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Check configuration, credentials and rights, customer by customer; change nothing",
		RunE: func(c *cobra.Command, names []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			accounts, err := a.connect(cfg, a.logger(), nil)
			if err != nil {
				return err
			}
			a.say("%s: accounts: %d, flows: %d, no complaint", cfg.File, len(cfg.Accounts), len(cfg.Flows))
			var known []string
			for _, ac := range cfg.Accounts {
				known = append(known, ac.Name)
			}
			for _, name := range names {
				if !slices.Contains(known, name) {
					return usageError{fmt.Errorf("no account %q in %s (%s)", name, cfg.File, diag.DidYouMean(name, known))}
				}
			}
			reports := []checkJSON{}
			failed := false
			for _, ac := range cfg.Accounts {
				if len(names) > 0 && !slices.Contains(names, ac.Name) {
					continue
				}
				report, err := accounts[ac.Name].Connector.Check(c.Context())
				out := checkOf(ac.Name, ac.System, report, err)
				failed = failed || err != nil || len(out.Missing) > 0
				reports = append(reports, out)
			}
			if err := a.show(reports, func(w io.Writer) { writeChecks(w, reports) }); err != nil {
				return err
			}
			if failed {
				return errSaid
			}
			return nil
		},
	}
}

type checkJSON struct {
	Account  string      `json:"account"`
	System   string      `json:"system"`
	Identity string      `json:"identity"`
	Error    string      `json:"error,omitempty"`
	Granted  int         `json:"granted"`
	Missing  []rightJSON `json:"missing"`
	Without  []rightJSON `json:"without,omitempty"` // not granted, and needed for some uses only
}

type rightJSON struct {
	Right    string `json:"right"`
	Customer string `json:"customer,omitempty"`
	Reason   string `json:"reason"`
}

func checkOf(account, system string, report connectors.Report, err error) checkJSON {
	out := checkJSON{Account: account, System: system, Identity: report.Identity, Missing: []rightJSON{}}
	if err != nil {
		out.Error = err.Error()
	}
	for _, right := range report.Rights {
		said := rightJSON{right.Name, right.Customer, right.Reason}
		switch {
		case right.Granted:
			out.Granted++
		case right.Optional:
			out.Without = append(out.Without, said)
		default:
			out.Missing = append(out.Missing, said)
		}
	}
	return out
}

func writeChecks(w io.Writer, reports []checkJSON) {
	for _, r := range reports {
		switch {
		case r.Error != "":
			fmt.Fprintf(w, "%s (%s): %s\n", r.Account, r.System, r.Error)
		case len(r.Missing) == 0:
			fmt.Fprintf(w, "%s (%s): ok, signed in as %s, all %d rights granted\n", r.Account, r.System, r.Identity, r.Granted)
		default:
			fmt.Fprintf(w, "%s (%s): signed in as %s, %d rights granted, %d missing\n", r.Account, r.System, r.Identity, r.Granted, len(r.Missing))
		}
		for _, m := range r.Missing {
			who := ""
			if m.Customer != "" {
				who = " for " + m.Customer
			}
			fmt.Fprintf(w, "  missing: %s%s: %s\n", m.Right, who, m.Reason)
		}
		for _, m := range r.Without {
			fmt.Fprintf(w, "  not granted, and needed for some uses only: %s: %s\n", m.Right, m.Reason)
		}
	}
}
