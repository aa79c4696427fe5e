// Command trueup keeps what an MSP pays for, what it bills and what it runs true to each other.
//
// Data goes to standard output, words for people go to standard error, and --json gives the same content as JSON. Nothing
// is changed unless a command says so in its name (apply, run, links add). Exit codes: 0 in step or done, 1 failed or done
// in part, 2 bad configuration or usage, 3 something is held for a person.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // billing time zones work on machines without a zone database

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/internal/diag"
)

// The exit codes. They are decided here and nowhere else.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitHeld   = 3
)

func main() { os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: os.LookupEnv}
	root := a.root()
	root.InitDefaultCompletionCmd(args...)
	refuseUnknown(root)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exitCode(root.ExecuteContext(ctx))
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errHeld ends a command that did its work and left something for a person. Its words were already said.
var errHeld = errors.New("something is held for a person")

// errSaid ends a command whose failure was already explained.
var errSaid = errors.New("failed")

func (a *app) exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errHeld):
		return exitHeld
	case errors.Is(err, errSaid):
		return exitFailed
	case diag.IsBadFile(err):
		a.say("%s", err)
		return exitUsage
	case errors.As(err, &usage):
		a.say("trueup: %s", err)
		return exitUsage
	}
	a.say("trueup: %s", err)
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "trueup",
		Short: "Keeps vendor subscriptions and PSA contracts true to each other",
		Long: `trueup keeps what a managed service provider pays for (vendor subscriptions) and what it bills (PSA contracts)
true to each other, in both directions.

Nothing is changed unless a command says so: look with plan, change with apply. Start with: trueup demo`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
	}
	root.PersistentFlags().StringVarP(&a.configFile, "config", "c", "trueup.yaml", "configuration file")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print data as JSON")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log every request and decision to standard error")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(a.demoCommand(), a.initCommand(), a.checkCommand(), a.discoverCommand(), a.planCommand(), a.applyCommand(), a.approveCommand(), a.rejectCommand(), a.undoCommand(), a.runCommand(),
		a.statusCommand(), a.runsCommand(), a.linksCommand(), a.customersCommand(), a.inboxCommand(), a.renewalsCommand(), a.reportCommand(), a.whyCommand(), a.auditCommand(), a.stateCommand(), a.hooksCommand(), a.mappingCommand(), a.sandboxCommand(), a.versionCommand())
	return root
}

// refuseUnknown makes every command that only groups others refuse a word that is none of them; cobra would print the help
// and call it a success.
func refuseUnknown(c *cobra.Command) {
	var known []string
	for _, sub := range c.Commands() {
		known = append(known, sub.Name())
		refuseUnknown(sub)
	}
	if len(known) == 0 || c.Runnable() {
		return
	}
	c.DisableFlagsInUseLine = true
	c.Args = func(_ *cobra.Command, given []string) error {
		if len(given) == 0 {
			return nil
		}
		return usageError{fmt.Errorf("unknown command %q of %s (%s); see %s --help", given[0], c.CommandPath(), diag.DidYouMean(given[0], known), c.CommandPath())}
	}
	c.RunE = func(*cobra.Command, []string) error { return c.Help() }
}

// args checks the number of arguments as a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if err := check(c, given); err != nil {
			return usageError{fmt.Errorf("%s: %w; see %s --help", c.CommandPath(), err, c.CommandPath())}
		}
		return nil
	}
}
