//go:build race

package sandbox_test

import "time"

// limit is how long making a large world may take; the race detector takes ten times as long.
const limit = 20 * time.Second
