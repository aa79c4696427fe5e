package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
)

// learner is a PSA whose listings teach something; mark is what it learnt.
type learner struct {
	whole
	since []string
}

type whole interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.Creator
	connectors.Changer
	connectors.Ender
	connectors.ChangeFeed
}

const mark = " learnt"

func (l *learner) Changes(ctx context.Context, since string) (connectors.Changes, error) {
	l.since = append(l.since, since)
	return l.whole.Changes(ctx, strings.TrimSuffix(since, mark))
}

func (l *learner) Learnt(cursor string) string { return cursor + mark }

// TestWhatListingsTeachIsKept: a run may be a process of its own, so the cursor that is kept carries what its listings taught.
func TestWhatListingsTeachIsKept(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	psa := &learner{whole: o.psa.Connect().(whole)}
	o.engine.Accounts["psa"] = o.account("psa", "memorypsa", psa)
	o.tenant("t-kea", "Kea", "kea.example")
	o.company("Kea", "kea.example")
	for range 2 {
		if _, err := o.run(engine.Options{Apply: true}); err != nil {
			t.Fatal(err)
		}
	}
	if last := psa.since[len(psa.since)-1]; !strings.HasSuffix(last, mark) {
		t.Errorf("the second run began at %q, without what the first one learnt", last)
	}
}
