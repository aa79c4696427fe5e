package config

import (
	"time"

	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// What the flow did counts together with what it is about to do for so long, unless its file says otherwise.
const (
	defaultTogether = 24 * time.Hour
	longestTogether = 7 * 24 * time.Hour
	togetherRun     = "run" // nothing but the run itself
)

// readTogether reads guards.together: whole hours, or run.
func readTogether(n *strictyaml.Node) time.Duration {
	if !n.Present() {
		return defaultTogether
	}
	text := n.Text()
	if !n.IsScalar() || text == togetherRun {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Hour != 0 || d < time.Hour || d > longestTogether {
		n.Complain("write hours like 24h, or run to count nothing but the run itself", "%q is not a time from 1h to 168h in whole hours", text)
		return 0
	}
	return d
}
