package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/web"
)

func (a *app) runCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "run [FLOW...]",
		Short: "Run the flows on their schedules until told to stop (the daemon)",
		Long: `run works until it is interrupted: every account is read anew when its discover schedule says so, every flow runs on its
own schedule, and what was missed while nothing was running is caught up once. Flows with mode: write are applied within their
guards; the others only plan. With --once each flow runs one time.

SIGTERM and Ctrl-C let the writes in flight finish. SIGHUP reads trueup.yaml, the flows and the mappings again; when they are wrong
the log says every complaint and the old ones stay. With listen: in trueup.yaml it serves /healthz, /readyz and /metrics. Started by
systemd it says when it is ready, and feeds the watchdog while its loop turns.`,
		RunE: func(c *cobra.Command, names []string) error {
			if once {
				return a.withFlows(c.Context(), names, func(ctx context.Context, s *session, flow engine.Flow) error {
					result, err := a.runFlow(ctx, s, flow, engine.Options{Trigger: state.TriggerManual, Apply: flow.Mode == engine.ModeWrite})
					if err != nil {
						return err
					}
					err = a.showOutcome(result)
					if flow.Mode == engine.ModePropose {
						a.sayNext(flow, result)
					}
					return err
				})
			}
			return a.runDaemon(c.Context(), names)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "run each flow once and end")
	return c
}

// daemon makes the daemon of a session; what it does besides running is up to the caller.
func (a *app) daemon(s *session, flows []engine.Flow) *daemon.Daemon {
	work := s.work(flows)
	return &daemon.Daemon{Engine: work.Engine, Flows: work.Flows, Discovers: work.Discovers, Credentials: work.Credentials, Sooner: work.Sooner, Log: s.log,
		Intact: stateFile(s.State),
		Ready: func() {
			a.say("trueup runs %d flows and %d discoveries; stop it with Ctrl-C", len(work.Flows), len(work.Discovers))
		}}
}

// runDaemon runs the daemon with all that surrounds a service: health over HTTP, reloading, and the words systemd waits for.
func (a *app) runDaemon(ctx context.Context, names []string) error {
	hangups := make(chan os.Signal, 1) // before anything else: an unexpected SIGHUP ends a process
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	var worker *daemon.Daemon
	metrics := web.NewMetrics(versionInfo().Version, func() daemon.Health { return worker.Health() })
	a.observe = metrics.Observe
	s, err := a.open(ctx)
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
	worker = a.daemon(s, flows)
	changes := make(chan daemon.Work)
	worker.Changes = changes
	worker.Planned = metrics.Planned
	worker.Heard = metrics.Heard
	worker.Finished = func(run state.Run, _ error) { metrics.Finished(run) }

	var around sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		cancel()
		stopServing() // after the daemon: while writes in flight finish, it still tells how it is
		around.Wait()
	}()
	if s.Listen != "" {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
		if err != nil {
			return fmt.Errorf("listen: of %s cannot be used: %w; choose another port, or stop what uses it", s.File, err)
		}
		server := &web.Server{Health: worker.Health, Metrics: metrics, Log: s.log, Takes: worker.Takes, Hooks: worker.Receive}
		s.log.Info("health and metrics are served", zap.String("address", "http://"+listener.Addr().String()))
		around.Go(func() {
			if err := server.Run(serving, listener); err != nil {
				s.log.Error("health and metrics are not served any more; the flows go on", zap.Error(err))
			}
		})
	}

	manager := serviceManager{s.log}
	manager.watch(worker)
	said := worker.Ready
	worker.Ready = func() {
		said()
		manager.ready()
	}
	worker.Replaced = func(flows, discoveries int, err error) {
		metrics.Reloaded(err == nil)
		if err == nil {
			s.log.Info("the configuration was read again; runs in progress end with the old one", zap.Int("flows", flows), zap.Int("discoveries", discoveries))
		}
		manager.ready()
	}
	stop := context.AfterFunc(ctx, manager.stopping)
	defer stop()
	around.Go(func() { a.reloads(ctx, hangups, s, names, changes, manager, metrics) })
	return worker.Run(ctx)
}

// serviceManager is systemd, when it started us; otherwise nobody listens.
type serviceManager struct{ log *zap.Logger }

func (m serviceManager) say(words string) {
	if _, err := sd.SdNotify(false, words); err != nil {
		m.log.Warn("systemd could not be told", zap.Error(err))
	}
}

func (m serviceManager) ready()    { m.say(sd.SdNotifyReady) }
func (m serviceManager) stopping() { m.say(sd.SdNotifyStopping) }

func (m serviceManager) reloading() {
	m.say(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
}

// watch has the watchdog fed at each turn of the loop, and the loop turn often enough for it.
func (m serviceManager) watch(worker *daemon.Daemon) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the watchdog of systemd is not fed", zap.Error(err))
	}
	if err != nil || interval == 0 {
		return
	}
	worker.Turned = func() { m.say(sd.SdNotifyWatchdog) }
	worker.Tick = min(10*time.Second, interval/3)
}
