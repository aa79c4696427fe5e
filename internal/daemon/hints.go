package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
)

// Hints. A message that was verified, or a glance at what was edited, says where to look sooner. It waits in the store, each place once, until a run of
// its flow looks there and nowhere else; what comes meanwhile waits for one more look. Only flows that write on their own look: where a person decides
// nothing is in a hurry. A schedule goes first, and without any hint it finds everything.

// Sooner says how an account is looked at sooner than its schedule.
type Sooner struct {
	Webhook bool          // messages to /hooks/<account> are taken
	Every   time.Duration // how often it is asked what was edited; 0 for never
}

// What became of a message or glance, for who counts them.
const (
	HintTaken    = "taken"    // it was verified, and its places are looked at
	HintRepeated = "repeated" // it was seen before
	HintNothing  = "nothing"  // it was verified, and names no place that a flow looks at by itself
	HintUnknown  = "unknown"  // its place is nobody's here
	HintRefused  = "refused"  // it is not the system's, too old, or no message
	HintUnproven = "unproven" // it could not be verified now
	HintTooMany  = "too_many" // more came than can be kept; the sender tries again
	HintWatched  = "watched"  // places that a glance found
)

// ErrNoHook is returned for an account that takes no messages.
var ErrNoHook = errors.New("the account takes no messages")

// ErrTooMany is returned when more messages came than can be kept at once.
var ErrTooMany = errors.New("too many messages at once")

const (
	manyMessages = 1024             // that wait to be written down
	gather       = 500              // that are written down at once
	giveUpAsking = 15 * time.Minute // until a system that cannot be watched, or refuses us, is asked again
	slowDown     = time.Minute      // until one that failed is asked again

	// A flow looks at once now and then, and twice a second while messages do not end; each look takes all that wait.
	looksAtOnce    = 10
	looksPerSecond = 2
)

// hinting is what the daemon knows of its hints.
type hinting struct {
	messages chan heard
	waiting  chan struct{} // there may be hints to follow

	mu      sync.Mutex
	busy    map[string]int           // runs of a flow that look everywhere, waiting or at work here
	looking map[string]chan struct{} // runs that follow hints; closed when they end
	pace    map[string]*rate.Limiter // of looks
}

// heard is a message on its way to the store.
type heard struct {
	account string
	told    connectors.Told
}

func newHinting() *hinting {
	return &hinting{messages: make(chan heard, manyMessages), waiting: make(chan struct{}, 1),
		busy: map[string]int{}, looking: map[string]chan struct{}{}, pace: map[string]*rate.Limiter{}}
}

// Takes reports whether messages to an account are taken.
func (d *Daemon) Takes(account string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.work.Engine != nil && d.work.Sooner[account].Webhook && d.work.Engine.Accounts[account] != nil
}

// Receive verifies a message to an account and keeps what it says, which is followed later. Its errors are ErrNoHook, ErrTooMany and those of
// connectors.Hinter.
func (d *Daemon) Receive(ctx context.Context, account string, m connectors.Message) error {
	d.mu.Lock()
	work := d.work
	d.mu.Unlock()
	if !d.Takes(account) {
		return ErrNoHook
	}
	hinter, ok := work.Engine.Accounts[account].Connector.(connectors.Hinter)
	if !ok {
		return ErrNoHook
	}
	told, err := hinter.Hints(ctx, m)
	if err != nil {
		switch connectors.ClassOf(err) {
		case connectors.ClassTransient, connectors.ClassLimited:
			d.count(account, HintUnproven, 1)
		default:
			d.count(account, HintRefused, 1)
		}
		return err
	}
	select {
	case d.hints().messages <- heard{account, told}:
		return nil
	default:
		d.count(account, HintTooMany, 1)
		return ErrTooMany
	}
}

func (d *Daemon) hints() *hinting {
	d.hintsOnce.Do(func() { d.hinted = newHinting() })
	return d.hinted
}

func (d *Daemon) count(account, outcome string, n int) {
	if d.Heard != nil && n > 0 {
		d.Heard(account, outcome, n)
	}
}

// keepHints writes down what comes, many at once, until ctx ends.
func (d *Daemon) keepHints(ctx context.Context) {
	for {
		var batch []heard
		select {
		case <-ctx.Done():
			return
		case h := <-d.hints().messages:
			batch = append(batch, h)
		}
	more:
		for len(batch) < gather {
			select {
			case h := <-d.hints().messages:
				batch = append(batch, h)
			default:
				break more
			}
		}
		if err := d.give(ctx, batch); err != nil && ctx.Err() == nil {
			d.Log.Warn("hints could not be kept; the schedule finds whatever moved", zap.Int("messages", len(batch)), zap.Error(err))
		}
	}
}

// give keeps messages for the flows that look by themselves.
func (d *Daemon) give(ctx context.Context, batch []heard) error {
	d.mu.Lock()
	work := d.work
	d.mu.Unlock()
	messages := make([]state.Message, len(batch))
	for i, h := range batch {
		messages[i] = state.Message{Account: h.account, ID: h.told.ID, Expires: h.told.Until, Again: h.told.Again}
		for _, flow := range work.Flows {
			if flow.Mode != engine.ModeWrite || flow.Vendor != h.account && flow.PSA != h.account {
				continue
			}
			for _, ref := range h.told.Places {
				messages[i].Hints = append(messages[i].Hints, state.Hint{Flow: flow.Name, Account: h.account, Ref: ref})
			}
		}
	}
	fresh, err := work.Engine.Store.GiveHints(ctx, messages)
	if err != nil {
		return err
	}
	wake := false
	for i, m := range messages {
		outcome := HintTaken
		switch {
		case !fresh[i]:
			outcome = HintRepeated
		case len(m.Hints) == 0:
			outcome = HintNothing
		default:
			wake = true
		}
		if m.ID != "" {
			d.count(m.Account, outcome, 1)
		}
	}
	if wake {
		d.wake()
	}
	return nil
}

// wake has the loop look whether hints wait.
func (d *Daemon) wake() {
	select {
	case d.hints().waiting <- struct{}{}:
	default:
	}
}

// follows queues a look of each flow for which hints wait, and returns how long it is until one may be queued that came too soon after the last.
func (d *Daemon) follows(ctx context.Context) (until time.Duration) {
	until = d.tick()
	waiting, err := d.Engine.Store.WaitingHints(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Warn("hints cannot be read; the schedule finds whatever moved", zap.Error(err))
		}
		return until
	}
	now, h := d.now(), d.hints()
	queued := map[string]bool{}
	for _, hint := range waiting {
		if queued[hint.Flow] {
			continue
		}
		queued[hint.Flow] = true
		h.mu.Lock()
		if h.busy[hint.Flow] > 0 || h.looking[hint.Flow] != nil {
			h.mu.Unlock()
			continue // its end wakes us
		}
		if h.pace[hint.Flow] == nil {
			h.pace[hint.Flow] = rate.NewLimiter(looksPerSecond, looksAtOnce)
		}
		turn := h.pace[hint.Flow].Reserve()
		h.mu.Unlock()
		if wait := turn.Delay(); wait > 0 {
			turn.Cancel()
			until = min(until, wait)
			continue
		}
		key := fmt.Sprintf("flow %s hints of %s at %s", hint.Flow, hint.Given.UTC().Format(time.RFC3339Nano), now.UTC().Truncate(time.Second/looksPerSecond).Format(time.RFC3339Nano))
		err := d.queue.Add(ctx, jobs.Job{Kind: jobs.Run, Key: key, Body: runJob{state.RunFlow, hint.Flow, state.TriggerHint}})
		if err != nil && ctx.Err() == nil {
			d.Log.Warn("a look at what hints name could not be queued; the schedule finds whatever moved", zap.Error(err))
		}
	}
	return until
}

// follow looks where the hints of a flow name. It gives way to runs that look everywhere.
func (d *Daemon) follow(ctx context.Context, j *job) error {
	h := d.hints()
	h.mu.Lock()
	if h.busy[j.name] > 0 || h.looking[j.name] != nil {
		h.mu.Unlock()
		return nil
	}
	ended := make(chan struct{})
	h.looking[j.name] = ended
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.looking, j.name)
		h.mu.Unlock()
		close(ended)
		d.wake()
	}()
	store := d.Engine.Store
	if _, running, err := store.InProgress(ctx, state.RunFlow, j.name); running || err != nil {
		return err
	}
	waiting, err := store.WaitingHints(ctx)
	if err != nil {
		return err
	}
	mine := slices.DeleteFunc(waiting, func(w state.Hint) bool { return w.Flow != j.name })
	if len(mine) == 0 {
		return nil
	}
	if err := store.TakeHints(ctx, mine); err != nil {
		return err
	}
	if j.look == nil {
		return nil // the flow does not write on its own any more
	}
	places := make([]engine.Place, len(mine))
	for i, w := range mine {
		places[i] = engine.Place{Account: w.Account, Ref: w.Ref}
	}
	known, err := j.known(ctx, places)
	if err != nil {
		return err
	}
	for _, p := range places {
		if !slices.Contains(known, p) {
			d.count(p.Account, HintUnknown, 1)
		}
	}
	if len(known) == 0 {
		return nil
	}
	log := d.Log.With(zap.String("kind", string(j.kind)), zap.String("name", j.name), zap.String("trigger", string(state.TriggerHint)))
	run, err := j.look(ctx, known)
	if errors.Is(err, state.ErrRunning) { // another daemon was quicker: what it looks at may be something else
		_, err := store.GiveHints(ctx, []state.Message{{Hints: mine}})
		return err
	}
	if d.Finished != nil {
		d.Finished(run, err)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		log.Warn("a look at what hints name failed; the schedule finds whatever moved", zap.String("run", run.ID), zap.Error(err))
	case err == nil:
		log.Info("looked at what hints name", zap.String("run", run.ID), zap.Int("places", len(known)), zap.String("state", string(run.State)), zap.String("reason", run.Reason), zap.Any("counts", run.Counts))
	}
	return nil
}

// first lets a run that looks everywhere go before those that follow hints, and waits for one that is at work.
func (d *Daemon) first(ctx context.Context, key jobKey) (done func()) {
	if key.kind != state.RunFlow {
		return func() {}
	}
	h := d.hints()
	h.mu.Lock()
	h.busy[key.name]++
	looking := h.looking[key.name]
	h.mu.Unlock()
	if looking != nil {
		select {
		case <-looking:
		case <-ctx.Done():
		}
	}
	return func() {
		h.mu.Lock()
		h.busy[key.name]--
		h.mu.Unlock()
		d.wake()
	}
}

// watch asks accounts where something was edited, each as often as it is set, until ctx ends.
func (d *Daemon) watch(ctx context.Context) {
	next := map[string]time.Time{} // when an account is asked again
	var asking sync.WaitGroup
	defer asking.Wait()
	answers := make(chan struct {
		account string
		again   time.Time
	})
	for {
		d.mu.Lock()
		work, lease := d.work, d.health.Lease
		d.mu.Unlock()
		now := time.Now()
		wait := time.Hour
		for account, sooner := range work.Sooner {
			if sooner.Every <= 0 {
				continue
			}
			due, known := next[account]
			switch {
			case known && due.IsZero(): // being asked
				continue
			case known && due.After(now):
				wait = min(wait, due.Sub(now))
				continue
			case !lease:
				wait = min(wait, sooner.Every)
				continue
			}
			next[account] = time.Time{}
			asking.Go(func() {
				again := d.glance(ctx, work, account, sooner.Every, now)
				select {
				case answers <- struct {
					account string
					again   time.Time
				}{account, again}:
				case <-ctx.Done():
				}
			})
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case a := <-answers:
			next[a.account] = a.again
		case <-d.rewatch:
			clear(next)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// glance asks one account, and says when to ask again. Of several daemons one asks at a time.
func (d *Daemon) glance(ctx context.Context, work Work, account string, every time.Duration, now time.Time) (again time.Time) {
	again = now.Add(every)
	watcher, ok := work.Engine.Accounts[account].Connector.(connectors.Watcher)
	if !ok {
		return now.Add(giveUpAsking)
	}
	if d.several {
		slot := d.now().Truncate(every)
		fresh, err := work.Engine.Store.GiveHints(ctx, []state.Message{{Account: account, ID: "glance of " + stored(slot) + " " + slot.Format(".000000"), Expires: slot.Add(time.Minute + every)}})
		if err != nil || !fresh[0] {
			return again
		}
	}
	places, err := watcher.Watch(ctx)
	switch class := connectors.ClassOf(err); {
	case ctx.Err() != nil:
	case class == connectors.ClassInvalid || class == connectors.ClassAuth:
		d.Log.Warn("an account cannot be watched; the schedule finds whatever moved", zap.String("account", account), zap.Error(err))
		return now.Add(giveUpAsking)
	case err != nil:
		d.Log.Debug("an account could not be asked what was edited", zap.String("account", account), zap.Error(err))
		return now.Add(max(every, slowDown))
	case len(places) > 0:
		d.count(account, HintWatched, len(places))
		if err := d.give(ctx, []heard{{account, connectors.Told{Places: places}}}); err != nil && ctx.Err() == nil {
			d.Log.Warn("hints could not be kept; the schedule finds whatever moved", zap.Error(err))
		}
	}
	return again
}
