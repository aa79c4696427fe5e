package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/trueup-sync/trueup/engine"
)

// progress shows how far a run is: a bar on a terminal, a line a step and every few seconds elsewhere.
type progress struct {
	w        io.Writer
	terminal bool

	mu   sync.Mutex
	step string
	bar  *progressbar.ProgressBar
	last engine.Progress
	said time.Time
}

const sayEvery = 5 * time.Second

func newProgress(w io.Writer) *progress {
	file, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

func (p *progress) tell(now engine.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Step != p.step {
		p.finish()
		p.step, p.said = now.Step, time.Now()
		if p.terminal {
			total := now.Total
			if total == 0 {
				total = -1
			}
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(now.Step),
				progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond))
		}
	}
	p.last = now
	switch {
	case p.bar != nil:
		_ = p.bar.Set(now.Done)
	case time.Since(p.said) > sayEvery:
		p.said = time.Now()
		p.line()
	}
}

// done ends the last step.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	p.step = ""
}

func (p *progress) finish() {
	switch {
	case p.step == "":
	case p.bar != nil:
		_ = p.bar.Finish()
		fmt.Fprintln(p.w)
	default:
		p.line()
	}
	p.bar = nil
}

func (p *progress) line() {
	if p.last.Total > 0 && p.last.Total >= p.last.Done {
		fmt.Fprintf(p.w, "  %s: %d of %d\n", p.step, p.last.Done, p.last.Total)
		return
	}
	fmt.Fprintf(p.w, "  %s: %d\n", p.step, p.last.Done)
}
