package main

import (
	"context"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) runCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "run [FLOW...]",
		Short: "Run the flows on their schedules until told to stop (the daemon)",
		Long: `run works until it is interrupted: every account is read anew when its discover schedule says so, every flow runs on its
own schedule, and what was missed while nothing was running is caught up once. Flows with mode: write are applied within their
guards; the others only plan. With --once each flow runs one time.`,
		RunE: func(c *cobra.Command, names []string) error {
			if once {
				return a.withFlows(c.Context(), names, func(ctx context.Context, s *session, flow engine.Flow) error {
					result, err := a.runFlow(ctx, s, flow, engine.Options{Trigger: state.TriggerManual, Apply: flow.Mode == engine.ModeWrite})
					if err != nil {
						return err
					}
					return a.showOutcome(result)
				})
			}
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if !a.verbose {
				s.log = a.logAt(zapcore.InfoLevel)
				s.engine.Log = s.log
			}
			flows, err := s.pickFlows(names)
			if err != nil {
				return err
			}
			return a.daemon(s, flows).Run(c.Context())
		},
	}
	c.Flags().BoolVar(&once, "once", false, "run each flow once and end")
	return c
}

func (a *app) daemon(s *session, flows []engine.Flow) *daemon.Daemon {
	discovers := map[string]string{}
	for _, account := range s.Accounts {
		if account.Discover != "" {
			discovers[account.Name] = account.Discover
		}
	}
	return &daemon.Daemon{Engine: s.engine, Flows: flows, Discovers: discovers, Log: s.log,
		Ready: func() {
			a.say("trueup runs %d flows and %d discoveries; stop it with Ctrl-C", len(flows), len(discovers))
		}}
}
