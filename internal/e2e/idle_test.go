package e2e

import (
	"testing"
	"time"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/state"
)

// A thousand runs, every ten minutes through a week with its full sweeps, with nothing to do: nothing is sent.
func TestNothingIsWrittenWhenNothingHappens(t *testing.T) {
	t.Parallel()
	inOffice(t, plot{customers: 1, flow: rules + brakes}, func(t *testing.T, o *office) {
		before := o.psa.Writes()
		for range 1000 {
			o.pass(10 * time.Minute)
			result := o.must(t, engine.Options{Apply: true})
			if result.Run.State != state.RunCompleted || !result.Plan.Empty() {
				t.Fatalf("at %s the run %s: %s\n%s", time.Now(), result.Run.State, result.Run.Reason, text(result.Plan))
			}
			if result.Plan.Counts.InStep != result.Plan.Counts.Pairs || result.Plan.Counts.NotCompared > 0 {
				t.Fatalf("at %s not everything is in step: %+v", time.Now(), result.Plan.Counts)
			}
		}
		if writes := append(o.toVendor.take(), o.toPSA.take()...); len(writes) > 0 || o.psa.Writes() != before || len(o.orders()) > 0 {
			t.Errorf("%d writes in a thousand idle runs: %v", len(writes), writes)
		}
	})
}
