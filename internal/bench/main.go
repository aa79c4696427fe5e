//go:build unix

// Command bench measures trueup and prints figures; it asserts nothing. `make bench` runs it.
//
// What is measured is the built program, as its own process, so that time, processor seconds and peak memory are trueup's alone.
// The sandbox is another process; its control API tells which requests reached it. Planning runs alone, and so do the daemons that share
// a PostgreSQL server. The first sync mostly waits, so what only counts requests runs beside it. Machines are noisy: ratios and counts say more than seconds.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a folder with the built program in it.
type bench struct{ dir, binary string }

// part is one measurement. Rows and notes are filled by measuring.
type part struct {
	name    string
	alone   bool // nothing else runs meanwhile
	measure func(context.Context, *part) error
	rows    []row
	notes   []string
}

// row is one line of the table.
type row struct {
	what, aim string
	traffic   *traffic // nil when no system is asked
	ratio     float64  // to the floor; 0 where there is none
	records   int      // subscriptions looked at; 0 where a rate says nothing
	figures
}

func (p *part) add(r row) { p.rows = append(p.rows, r) }

func (p *part) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// run measures the named parts, or all. The folder is removed unless it was asked for.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	keep := flags.String("keep", "", "work in this folder and leave everything there, to look into a figure")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench [-keep folder] [plan] [first] [quiet] [changes] [scan] [daemons]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "trueup-bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	b := &bench{dir: dir, binary: filepath.Join(dir, "trueup")}
	parts := []*part{{name: "plan", alone: true, measure: b.planning}, {name: "daemons", alone: true, measure: b.daemons}, {name: "first", measure: b.firstSync}, {name: "quiet", measure: b.quiet},
		{name: "changes", measure: b.changes}, {name: "scan", measure: b.scan}, {name: "sooner", alone: true, measure: b.sooner}}
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(parts, func(p *part) bool { return p.name == name }) {
			return fmt.Errorf("no part %q; there are plan, first, quiet, changes, scan, sooner and daemons", name)
		}
	}
	parts = slices.DeleteFunc(parts, func(p *part) bool { return flags.NArg() > 0 && !slices.Contains(flags.Args(), p.name) })
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/trueup") //nolint:gosec // a folder of our own
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build trueup: %w", err)
	}
	if err := measure(ctx, parts); err != nil {
		return err
	}
	show(os.Stdout, parts)
	return nil
}

// measure does what runs alone, then the first sync beside the others, one after the other.
func measure(ctx context.Context, parts []*part) error {
	one := func(ctx context.Context, p *part) error {
		start := time.Now()
		fmt.Fprintf(os.Stderr, "bench: %s ...\n", p.name)
		if err := p.measure(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s took %s\n", p.name, time.Since(start).Round(time.Second))
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	var counting []*part
	for _, p := range parts {
		switch {
		case p.alone:
			if err := one(ctx, p); err != nil {
				return err
			}
		case p.name == "first":
			group.Go(func() error { return one(ctx, p) })
		default:
			counting = append(counting, p)
		}
	}
	group.Go(func() error {
		for _, p := range counting {
			if err := one(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

func show(w io.Writer, parts []*part) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "what\taim\trequests\tvendor\tPSA\tsign-in\twrites\twall s\tx floor\trows/s\tCPU s\tpeak MiB")
	or := func(format string, v any, there bool) string {
		if !there {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	var notes []string
	for _, p := range parts {
		for _, r := range p.rows {
			asked := "-\t-\t-\t-\t-"
			if c := r.traffic; c != nil {
				asked = fmt.Sprintf("%d\t%d\t%d\t%d\t%d", c.vendor+c.psa, c.vendor, c.psa, c.signIn, c.writes)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\t%s\t%.1f\t%d\n", r.what, r.aim, asked, r.wall.Seconds(), or("%.2f", r.ratio, r.ratio > 0),
				or("%.0f", float64(r.records)/r.wall.Seconds(), r.records > 0), r.cpu.Seconds(), r.peak>>20)
		}
		notes = append(notes, p.notes...)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n"))
}
