package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trueup-sync/trueup/internal/sandbox"
)

func sandboxFlags(flags *pflag.FlagSet, o *sandbox.Options) {
	flags.IntVar(&o.Customers, "customers", 120, "how many customers the pretend MSP has")
	flags.IntVar(&o.PerCustomer, "subscriptions", 12, "subscriptions of a customer, on average")
	flags.Uint64Var(&o.Seed, "seed", 1, "which world: the same seed gives the same one")
	flags.DurationVar(&o.Latency, "latency", 0, "how long each answer takes")
	flags.IntVar(&o.VendorPerMinute, "vendor-budget", 0, "requests a minute that Partner Center takes before it answers 429; 0 for no limit")
	flags.IntVar(&o.PSAPerMinute, "psa-budget", 0, "requests a minute that the PSA takes before it answers 429; 0 for no limit")
}

func (a *app) sandboxCommand() *cobra.Command {
	var o sandbox.Options
	var start string
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve a pretend Partner Center and ConnectWise PSA on this machine, to try things out",
		Long: `sandbox serves strict stand-ins of both systems on loopback, holding a realistic MSP, until it is interrupted. It prints one
JSON object with the addresses and (invented) credentials. A control API on its own port shows the state and the ground truth,
edits records as a user would, makes the systems misbehave and moves their clock; docs/sandbox.md describes it.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if start != "" {
				at, err := time.Parse(time.RFC3339, start)
				if err != nil {
					return usageError{fmt.Errorf("--start %q is not a moment like 2031-02-01T09:00:00Z", start)}
				}
				o.Start = at
			}
			s, err := sandbox.Start(c.Context(), o)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			encoder := json.NewEncoder(a.stdout)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(s.Connection()); err != nil {
				return err
			}
			a.say("the sandbox is running; stop it with Ctrl-C")
			<-c.Context().Done()
			return nil
		},
	}
	sandboxFlags(c.Flags(), &o)
	c.Flags().BoolVar(&o.AdditionCallbacks, "addition-callbacks", false, "the PSA sends the callback of an agreement when one of its additions is edited, which is not documented")
	c.Flags().BoolVar(&o.TLS, "tls", false, "serve HTTPS with a certificate of a CA made for this run; its file is in the JSON")
	c.Flags().StringVar(&o.Addr, "addr", "127.0.0.1:0", "loopback address; with a port, the PSA is one port and the control API two ports higher")
	c.Flags().StringVar(&start, "start", "", "what the sandbox's clock shows at first (RFC 3339); now when empty")
	return c
}
