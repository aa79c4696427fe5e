//go:build !race

package sandbox_test

import "time"

// limit is how long making a large world may take.
const limit = 2 * time.Second
