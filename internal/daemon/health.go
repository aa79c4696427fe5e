package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
)

// Inbox is the name under which the daemon's own findings stand in the inbox; no flow can have it.
const Inbox = "(daemon)"

// The kinds of the daemon's own findings.
const (
	FindingMissed     = "missed_schedule" // a flow or discovery has not come to an end when it should have
	FindingFailing    = "failing_runs"    // runs end in error one after the other
	FindingOldRead    = "old_read"        // records have not been read completely for too long
	FindingCredential = "credential_age"  //nolint:gosec // the name of a finding: the system is about to forget a secret that is not used
)

// failing is how many runs in a row must end in error to become a finding.
const failing = 3

// Health is what is known of the daemon. It is made from the store once a minute, so that asking for it costs nothing and can
// harm nothing. Times are UTC.
type Health struct {
	Now      time.Time     // when it was asked for
	Since    time.Time     // when the daemon began to work; zero before
	Lease    bool          // the lease was renewed the last time
	Turned   time.Duration // since the loop came round the last time; it does at least every 20 seconds
	Stopping bool
	Looked   time.Time // when the store was last read; zero before the first time
	Failure  string    // why it could not be read since; "" when it was
	Jobs     []JobHealth
	Reads    []ReadHealth
	Feeds    []FeedHealth
	Inbox    []InboxCount
	Held     map[string]int // open findings that are held changes, by flow
	Unknown  int            // writes without a known outcome
	Secrets  []Credential
}

// JobHealth is a flow or discovery.
type JobHealth struct {
	Kind   state.RunKind
	Name   string
	Due    time.Time // when it should have begun after the last run that came to an end
	Late   time.Time // from then on it is missed
	Errors int       // runs in a row that ended in error
	Reason string    // of the last of them
}

// ReadHealth is one kind of record of an account.
type ReadHealth struct {
	Account, Kind string
	Complete      time.Time // when it was last read completely; zero for never
	Until         time.Time // from then on the read is too old
	Gaps          int       // parts that were not read the last time
	Gap           string    // why the first was not
	Partial       bool      // only parts are missing, like those of one customer; the rest was read
}

// FeedHealth is an account that tells what changed.
type FeedHealth struct {
	Account string
	Read    time.Time // when its changes were last read
}

// InboxCount is how many findings of a kind are open.
type InboxCount struct {
	Flow, Kind string
	Open       int
}

// Credential is a secret that a system forgets when it is not used.
type Credential struct {
	Account, Setting string
	Written          time.Time // when it was last replaced
	IdleDays         int       // how long it lasts after that
}

// Missed reports whether the job should have come to an end.
func (j JobHealth) Missed(now time.Time) bool { return !j.Due.IsZero() && now.After(j.Late) }

// Old reports whether the last complete read is too old.
func (r ReadHealth) Old(now time.Time) bool { return now.After(r.Until) }

// warning tells how near a secret is to being forgotten: 0 not yet, 1 after two thirds of its time, 2 after eight ninths.
func (c Credential) warning(now time.Time) int {
	idle := now.Sub(c.Written)
	whole := time.Duration(c.IdleDays) * 24 * time.Hour
	switch {
	case idle >= whole*8/9:
		return 2
	case idle >= whole*2/3:
		return 1
	}
	return 0
}

// Alive says why the daemon does not work, "" when it does.
func (h Health) Alive() string {
	switch {
	case h.Since.IsZero():
		return "the daemon has not begun to work"
	case h.Turned > state.LeaseTime:
		return fmt.Sprintf("the loop has not come round for %s", h.Turned.Round(time.Second))
	case !h.Lease:
		return "the lease cannot be renewed, so no run begins"
	}
	return ""
}

// NotReady says why what trueup knows should not be trusted now; none when it can be.
func (h Health) NotReady() []string {
	reasons := []string{}
	if dead := h.Alive(); dead != "" {
		reasons = append(reasons, dead)
	}
	switch {
	case h.Failure != "":
		reasons = append(reasons, "what trueup keeps cannot be read: "+h.Failure)
	case h.Since.IsZero():
	case h.Now.Sub(h.Looked) > 3*lookEvery:
		reasons = append(reasons, "the state was not looked at since "+stamp(h.Looked))
	}
	if h.Stopping {
		reasons = append(reasons, "trueup is stopping")
	}
	for _, j := range h.Jobs {
		if j.Missed(h.Now) {
			reasons = append(reasons, fmt.Sprintf("%s %s was due at %s and has not come to an end since", j.Kind, j.Name, stamp(j.Due)))
		}
	}
	for _, r := range h.Reads {
		switch {
		case r.Complete.IsZero():
			reasons = append(reasons, fmt.Sprintf("%s %s was never read completely%s", r.Account, r.Kind, r.why()))
		case r.Old(h.Now):
			reasons = append(reasons, fmt.Sprintf("%s %s was last read completely at %s%s", r.Account, r.Kind, stamp(r.Complete), r.why()))
		}
	}
	return reasons
}

// Warnings are what somebody should look at although what trueup knows can be trusted.
func (h Health) Warnings() []string {
	warnings := []string{}
	for _, j := range h.Jobs {
		if j.Errors >= failing {
			warnings = append(warnings, fmt.Sprintf("%s %s ended in error %d times in a row: %s", j.Kind, j.Name, j.Errors, j.Reason))
		}
	}
	for _, r := range h.Reads {
		if r.Partial {
			warnings = append(warnings, fmt.Sprintf("%s %s is read in parts only%s", r.Account, r.Kind, r.why()))
		}
	}
	for _, c := range h.Secrets {
		if c.warning(h.Now) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s of account %s was last used on %s and is forgotten after %d days", c.Setting, c.Account, stamp(c.Written), c.IdleDays))
		}
	}
	if h.Unknown > 0 {
		warnings = append(warnings, fmt.Sprintf("%d writes have no known outcome yet", h.Unknown))
	}
	return warnings
}

func (r ReadHealth) why() string {
	switch r.Gaps {
	case 0:
		return ""
	case 1:
		return ": " + r.Gap
	}
	return fmt.Sprintf(": %s (and %d more)", r.Gap, r.Gaps-1)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// findings are what a person should know of the daemon.
func (h Health) findings() (found []state.Finding) {
	for _, j := range h.Jobs {
		if j.Missed(h.Now) {
			found = append(found, state.Finding{Key: fmt.Sprintf("missed-%s-%s", j.Kind, j.Name), Kind: FindingMissed,
				Title:  fmt.Sprintf("%s %s was due at %s and has not come to an end since", j.Kind, j.Name, stamp(j.Due)),
				Detail: "what it keeps in step may have moved since; nothing is written meanwhile" + ifAny("; the last attempt: ", j.Reason),
				Next:   "see trueup runs; a run that hangs is stopped with trueup runs stop RUN"})
		}
		if j.Errors >= failing {
			found = append(found, state.Finding{Key: fmt.Sprintf("failing-%s-%s", j.Kind, j.Name), Kind: FindingFailing,
				Title:  fmt.Sprintf("%s %s ends in error again and again", j.Kind, j.Name),
				Detail: j.Reason, Next: "mend the cause; it goes on by itself, and this goes away with the next good run"})
		}
	}
	for _, r := range h.Reads {
		if !r.Old(h.Now) {
			continue
		}
		since := "was never read completely"
		if !r.Complete.IsZero() {
			since = "was last read completely at " + stamp(r.Complete)
		}
		found = append(found, state.Finding{Key: fmt.Sprintf("read-%s-%s", r.Account, r.Kind), Kind: FindingOldRead,
			Title:  fmt.Sprintf("%s %s %s", r.Account, r.Kind, since),
			Detail: "what is missing there is neither lowered nor ended, and not compared" + r.why(),
			Next:   fmt.Sprintf("see trueup status and trueup check %s", r.Account)})
	}
	for _, c := range h.Secrets {
		level := c.warning(h.Now)
		if level == 0 {
			continue
		}
		urgent := ""
		if level == 2 {
			urgent = "soon "
		}
		found = append(found, state.Finding{Key: fmt.Sprintf("credential-%s-%s-%d", c.Account, c.Setting, level), Kind: FindingCredential,
			Title:  fmt.Sprintf("%s of account %s will %sbe forgotten by the system", c.Setting, c.Account, urgent),
			Detail: fmt.Sprintf("it was last replaced on %s and lasts %d days without being used, until %s", stamp(c.Written), c.IdleDays, stamp(c.Written.AddDate(0, 0, c.IdleDays))),
			Next:   fmt.Sprintf("use it once with trueup check %s, and see why no run does; after that day somebody must sign in again", c.Account)})
	}
	return found
}

func ifAny(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// Health is what is known now.
func (d *Daemon) Health() Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.health
	h.Now = d.now().UTC()
	if !d.turned.IsZero() {
		h.Turned = time.Since(d.turned)
	}
	h.Jobs = d.jobHealth()
	return h
}

// jobHealth tells of the jobs as they are now. The caller holds mu.
func (d *Daemon) jobHealth() []JobHealth {
	var list []JobHealth
	for _, j := range d.jobs {
		due, late := j.schedule.late(j.last)
		list = append(list, JobHealth{j.kind, j.name, due.UTC(), late.UTC(), j.errors, j.reason})
	}
	slices.SortFunc(list, func(a, b JobHealth) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return list
}

// look reads the store, and puts what a person should know into the inbox.
func (d *Daemon) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := d.examine(limited)
	d.mu.Lock()
	before := d.health.Failure
	d.health.Failure = ""
	if err != nil {
		d.health.Failure = err.Error()
	}
	d.mu.Unlock()
	if err != nil && before == "" && ctx.Err() == nil {
		d.Log.Error("the health of the daemon is not known", zap.Error(err))
	}
}

func (d *Daemon) examine(ctx context.Context) error {
	if err := d.hear(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	work, h, now := d.work, Health{Since: d.health.Since, Now: d.now().UTC(), Held: map[string]int{}}, d.now()
	if h.Since.IsZero() {
		h.Since = h.Now
	}
	discoveries := map[string]job{}
	for key, j := range d.jobs {
		if key.kind == state.RunDiscovery {
			discoveries[key.name] = *j
		}
	}
	h.Jobs = d.jobHealth()
	d.mu.Unlock()

	var err error
	for _, name := range slices.Sorted(maps.Keys(work.Engine.Accounts)) {
		discovery, scheduled := discoveries[name]
		if err := d.examineAccount(ctx, work, name, discovery, scheduled, &h); err != nil {
			return err
		}
	}
	open, err := work.Engine.Store.OpenIntents(ctx, "")
	if err != nil {
		return err
	}
	h.Unknown = len(open)
	if work.Credentials != nil {
		if h.Secrets, err = work.Credentials(ctx); err != nil {
			return err
		}
	}
	if d.several { // one of the daemons tells
		err = d.queue.Add(ctx, jobs.Job{Kind: jobs.Alert, Key: "alerts of " + stored(now.Truncate(lookEvery))})
	} else {
		err = d.tell(ctx, h.findings())
	}
	if err != nil {
		return err
	}
	findings, err := work.Engine.Store.Findings(ctx, true, "")
	if err != nil {
		return err
	}
	h.count(findings)
	h.Looked = now.UTC()
	d.mu.Lock()
	defer d.mu.Unlock()
	h.Lease, h.Stopping = d.health.Lease, d.health.Stopping
	d.health = h
	return nil
}

// sweptAnyway is how old a read may be where no discovery is scheduled: flows read everything anew after a day by themselves.
const sweptAnyway = 49 * time.Hour

func (d *Daemon) examineAccount(ctx context.Context, work Work, name string, discovery job, scheduled bool, h *Health) error {
	account, store := work.Engine.Accounts[name], work.Engine.Store
	kinds, err := work.Engine.WantedKinds(ctx, account)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		r := ReadHealth{Account: name, Kind: kind}
		if r.Complete, _, err = store.Swept(ctx, name, kind); err != nil {
			return err
		}
		gaps, err := store.Gaps(ctx, name, kind)
		if err != nil {
			return err
		}
		if r.Gaps = len(gaps); r.Gaps > 0 {
			r.Gap = gaps[0].Reason
		}
		from := r.Complete
		if from.IsZero() {
			from = h.Since
		}
		r.Until = from.Add(sweptAnyway)
		if scheduled {
			// Two more of its times may pass, and an hour for the reading itself.
			r.Until = discovery.schedule.next(discovery.schedule.next(from)).Add(time.Hour).UTC()
		}
		r.Partial = r.Gaps > 0 && !slices.ContainsFunc(gaps, func(g connectors.Gap) bool { return g.Parent == "" })
		h.Reads = append(h.Reads, r)
	}
	_, at, err := store.Cursor(ctx, name)
	if !at.IsZero() {
		h.Feeds = append(h.Feeds, FeedHealth{name, at})
	}
	return err
}

// count sorts the open findings.
func (h *Health) count(findings []state.Finding) {
	counts := map[InboxCount]int{}
	for _, f := range findings {
		counts[InboxCount{Flow: f.Flow, Kind: f.Kind}]++
		if strings.HasPrefix(f.Key, "held-") {
			h.Held[f.Flow]++
		}
	}
	for c, n := range counts {
		c.Open = n
		h.Inbox = append(h.Inbox, c)
	}
	slices.SortFunc(h.Inbox, func(a, b InboxCount) int { return cmp.Or(cmp.Compare(a.Flow, b.Flow), cmp.Compare(a.Kind, b.Kind)) })
}

// tell makes the daemon's part of the inbox what was found, and logs what is new and what is settled.
func (d *Daemon) tell(ctx context.Context, found []state.Finding) error {
	d.mu.Lock()
	before, first := d.told, d.told == nil
	d.mu.Unlock()
	if !first && slices.Equal(before, found) {
		return nil
	}
	if _, err := d.Engine.Store.SyncFindings(ctx, Inbox, "", found, nil); err != nil {
		return err
	}
	for _, f := range found {
		if !slices.ContainsFunc(before, func(b state.Finding) bool { return b.Key == f.Key }) {
			d.Log.Warn(f.Title, zap.String("kind", f.Kind), zap.String("detail", f.Detail), zap.String("next", f.Next))
		}
	}
	for _, b := range before {
		if !slices.ContainsFunc(found, func(f state.Finding) bool { return b.Key == f.Key }) {
			d.Log.Info("settled: "+b.Title, zap.String("kind", b.Kind))
		}
	}
	if found == nil {
		found = []state.Finding{}
	}
	d.mu.Lock()
	d.told = found
	d.mu.Unlock()
	return nil
}
