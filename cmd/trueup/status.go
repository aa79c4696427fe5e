package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

type statusJSON struct {
	Accounts []accountStatus `json:"accounts"`
	Flows    []flowStatus    `json:"flows"`
	Unknown  int             `json:"writes_without_known_outcome"`
}

type accountStatus struct {
	daemon.AccountHealth
	System string       `json:"system"`
	Kinds  []kindStatus `json:"kinds"`
	Feed   time.Time    `json:"changes_read_at,omitzero"`
}

type kindStatus struct {
	Kind    string    `json:"kind"`
	Records int       `json:"records"`
	Swept   time.Time `json:"last_complete_read,omitzero"`
	Gaps    []string  `json:"gaps"`
}

type flowStatus struct {
	Flow  string  `json:"flow"`
	Mode  string  `json:"mode"`
	Links int     `json:"links"`
	Inbox int     `json:"inbox"`
	State string  `json:"state"`
	Last  runJSON `json:"last_run,omitzero"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how old the last good reads are, what the flows last did, and what waits",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			status, err := s.status(c.Context())
			if err != nil {
				return err
			}
			return a.show(status, func(w io.Writer) { writeStatus(w, status) })
		},
	}
}

func (s *session) status(ctx context.Context) (statusJSON, error) {
	out := statusJSON{Accounts: []accountStatus{}, Flows: []flowStatus{}}
	for _, ac := range s.Accounts {
		account := s.engine.Accounts[ac.Name]
		status := accountStatus{AccountHealth: daemon.AccountHealth{Account: ac.Name, Missing: []string{}}, System: ac.System, Kinds: []kindStatus{}}
		var reads []daemon.ReadHealth
		kinds, err := s.engine.WantedKinds(ctx, account)
		if err != nil {
			return out, err
		}
		if _, status.Feed, err = s.store.Cursor(ctx, ac.Name); err != nil {
			return out, err
		}
		for _, kind := range kinds {
			k := kindStatus{Kind: kind, Gaps: []string{}}
			if k.Records, err = s.store.CountRecords(ctx, ac.Name, kind); err != nil {
				return out, err
			}
			if k.Swept, _, err = s.store.Swept(ctx, ac.Name, kind); err != nil {
				return out, err
			}
			var gaps []connectors.Gap
			if gaps, err = s.store.Gaps(ctx, ac.Name, kind); err != nil {
				return out, err
			}
			for _, g := range gaps {
				k.Gaps = append(k.Gaps, g.Reason)
			}
			status.Kinds = append(status.Kinds, k)
			read := daemon.ReadHealth{Account: ac.Name, Kind: kind, Complete: k.Swept, Gaps: len(gaps)}
			if len(gaps) > 0 {
				read.Gap = gaps[0].Reason
			}
			reads = append(reads, read)
		}
		for _, health := range daemon.Accounts(reads) {
			status.AccountHealth = health
		}
		out.Accounts = append(out.Accounts, status)
	}
	for _, flow := range s.Flows {
		status, err := s.flowStatus(ctx, flow)
		if err != nil {
			return out, err
		}
		out.Flows = append(out.Flows, status)
	}
	open, err := s.store.OpenIntents(ctx, "")
	out.Unknown = len(open)
	return out, err
}

func (s *session) flowStatus(ctx context.Context, flow engine.Flow) (flowStatus, error) {
	out := flowStatus{Flow: flow.Name, Mode: string(flow.Mode), State: string(state.RunNotStarted)}
	last, ok, err := s.store.LastRun(ctx, state.RunFlow, flow.Name)
	if err != nil {
		return out, err
	}
	if ok {
		out.Last = runsJSON([]state.Run{last})[0]
		out.State = out.Last.State
	}
	findings, err := s.store.Findings(ctx, true, flow.Name)
	if err != nil {
		return out, err
	}
	out.Inbox = len(findings)
	for _, kind := range []model.Kind{model.KindCustomer, model.KindLine} {
		if err := s.store.Links(ctx, flow.Name, kind, func(state.Link) error { out.Links++; return nil }); err != nil {
			return out, err
		}
	}
	return out, nil
}

func writeStatus(w io.Writer, s statusJSON) {
	rows := [][]string{{"ACCOUNT", "LAST GOOD READ", "OLDEST KIND", "MISSING"}}
	for _, account := range s.Accounts {
		rows = append(rows, []string{account.Account, ago(account.Complete), account.Kind, cmp.Or(strings.Join(account.Missing, "; "), "nothing")})
	}
	table(w, rows)
	rows = [][]string{{"\nACCOUNT", "KIND", "RECORDS", "LAST COMPLETE READ", "MISSING"}}
	for _, account := range s.Accounts {
		for _, k := range account.Kinds {
			missing := ""
			if len(k.Gaps) > 0 {
				missing = fmt.Sprintf("%d gaps: %s", len(k.Gaps), k.Gaps[0])
			}
			rows = append(rows, []string{account.Account, k.Kind, fmt.Sprint(k.Records), ago(k.Swept), missing})
		}
	}
	table(w, rows)
	rows = [][]string{{"\nFLOW", "MODE", "STATE", "LINKS", "INBOX", "LAST RUN", "REASON"}}
	for _, f := range s.Flows {
		rows = append(rows, []string{f.Flow, f.Mode, f.State, fmt.Sprint(f.Links), fmt.Sprint(f.Inbox), ago(f.Last.Started), f.Last.Reason})
	}
	table(w, rows)
	if s.Unknown > 0 {
		fmt.Fprintf(w, "\n%d writes have no known outcome yet; the next run looks at them\n", s.Unknown)
	}
}

// ago is a moment for people: how long ago, and never when it never was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

type runJSON struct {
	ID       string         `json:"id"`
	Kind     string         `json:"kind"`
	Name     string         `json:"name"`
	State    string         `json:"state"`
	Reason   string         `json:"reason"`
	Trigger  string         `json:"trigger"`
	Started  time.Time      `json:"started"`
	Finished time.Time      `json:"finished,omitzero"`
	Counts   map[string]int `json:"counts"`
}

func runsJSON(runs []state.Run) []runJSON {
	out := []runJSON{}
	for _, r := range runs {
		counts := r.Counts
		if counts == nil {
			counts = map[string]int{}
		}
		out = append(out, runJSON{r.ID, string(r.Kind), r.Name, string(r.State), r.Reason, string(r.Trigger), r.Started, r.Finished, counts})
	}
	return out
}

func runRows(runs []state.Run) [][]string {
	rows := [][]string{{"RUN", "WHAT", "STATE", "STARTED", "TOOK", "COUNTS", "REASON"}}
	for _, r := range runs {
		took := "going on"
		if !r.Finished.IsZero() {
			took = r.Finished.Sub(r.Started).Round(time.Millisecond).String()
		}
		var counts []string
		for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
			counts = append(counts, fmt.Sprintf("%s %d", name, r.Counts[name]))
		}
		rows = append(rows, []string{r.ID, string(r.Kind) + " " + r.Name, string(r.State), r.Started.Local().Format(time.DateTime), took, strings.Join(counts, ", "), r.Reason})
	}
	return rows
}

func (a *app) runsCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "runs",
		Short: "List runs with their states, counts and reasons",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			runs, err := s.store.Runs(c.Context(), limit)
			if err != nil {
				return err
			}
			return a.show(runsJSON(runs), func(w io.Writer) { table(w, runRows(runs)) })
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many, newest first")
	c.AddCommand(&cobra.Command{
		Use:   "stop RUN",
		Short: "Ask a run in progress to stop; the write in flight is finished first",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.store.RequestStop(c.Context(), given[0]); err != nil {
				return err
			}
			a.say("asked run %s to stop", given[0])
			return nil
		},
	})
	return c
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version and the systems it speaks to",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo()
			for _, s := range all.Systems {
				v.Systems = append(v.Systems, s.Descriptor.System)
			}
			return a.show(v, func(w io.Writer) {
				fmt.Fprintf(w, "trueup %s (%s), systems: %s\n", v.Version, v.Go, strings.Join(v.Systems, ", "))
			})
		},
	}
}
