package disaster

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/memory"
	"github.com/trueup-sync/trueup/model"
)

// witness stands between trueup and both systems and notes every write that is tried, whether it is done or not.
type witness struct {
	mu    sync.Mutex
	tried []string
	harm  []string // those that lower seats, end a line, or take an id off a record
}

func (w *witness) change(world *memory.World, req connectors.ChangeRequest) {
	rec, _ := world.Get(req.Ref)
	kind, _ := world.Connect().Descriptor().Kind(req.Ref.Kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	for field, edit := range req.Edits {
		text := fmt.Sprintf("%s %s: %s from %s to %s (it was to be %s)", req.Ref.Kind, req.Ref.ID, field, rec.Fields[field], edit.To, edit.From)
		w.tried = append(w.tried, text)
		if lower(edit.From, edit.To) || lower(rec.Fields[field], edit.To) || field == kind.Own && !keeps(rec.Fields[field], edit.To) {
			w.harm = append(w.harm, text)
		}
	}
}

func (w *witness) end(req connectors.EndRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("%s %s: end on %s", req.Ref.Kind, req.Ref.ID, req.Last)
	w.tried, w.harm = append(w.tried, text), append(w.harm, text)
}

func (w *witness) create(req connectors.CreateRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tried = append(w.tried, fmt.Sprintf("create %s under %q", req.Kind, req.Parent))
}

// reset forgets what was seen and returns it.
func (w *witness) reset() (tried, harm []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tried, harm = w.tried, w.harm
	w.tried, w.harm = nil, nil
	return tried, harm
}

// lower reports fewer seats. Amounts may fall: what the customer pays belongs to the PSA, so a write of it is seen by its being tried.
func lower(from, to model.Value) bool {
	before, ok := from.Quantity()
	after, known := to.Quantity()
	return ok && known && after.Cmp(before) < 0
}

// keeps reports that every id that stood in a field still does.
func keeps(from, to model.Value) bool {
	for id := range strings.SplitSeq(from.String(), ",") {
		if !strings.Contains(to.String(), strings.TrimSpace(id)) {
			return false
		}
	}
	return true
}

// reader is what both systems in memory can do.
type reader interface {
	connectors.Connector
	connectors.Lister
	connectors.Reader
	connectors.ChangeFeed
	connectors.Canonicalizer
}

// watchedVendor and watchedPSA have the abilities of the two systems in memory, and a witness.
type watchedVendor struct {
	reader
	world *memory.World
	*witness
}

type watchedPSA struct{ watchedVendor }

func (c watchedVendor) Change(ctx context.Context, req connectors.ChangeRequest) (connectors.Record, error) {
	c.change(c.world, req)
	return c.reader.(connectors.Changer).Change(ctx, req)
}

func (c watchedPSA) Create(ctx context.Context, req connectors.CreateRequest) (connectors.Record, error) {
	c.create(req)
	return c.reader.(connectors.Creator).Create(ctx, req)
}

func (c watchedPSA) End(ctx context.Context, req connectors.EndRequest) (connectors.Record, error) {
	c.end(req)
	return c.reader.(connectors.Ender).End(ctx, req)
}

func watch(world *memory.World, w *witness) connectors.Connector {
	c := watchedVendor{world.Connect().(reader), world, w}
	if c.Descriptor().Role == connectors.RolePSA {
		return watchedPSA{c}
	}
	return c
}
