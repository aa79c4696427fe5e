package web

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/state"
)

// Metric describes one metric. Labels hold names from trueup.yaml and small fixed sets of words, so their number is bounded.
type Metric struct {
	Name   string
	Type   string // gauge, counter or histogram
	Labels []string
	Help   string
}

// Table lists every metric of trueup's own. Those named go_ and process_ are the usual ones of a Go program.
var Table = []Metric{
	buildInfo, accountRead, lastGoodRead, changesRead, inboxOpen, held, writesUnknown, overdue, failedInARow, credentialAge,
	runsTotal, runDuration, requestsTotal, budgetLeft, changesTotal, messagesTotal, leaseHeld, looked, reloaded,
}

var (
	buildInfo     = Metric{"trueup_build_info", "gauge", []string{"version"}, "Always 1; its label is the version that runs."}
	accountRead   = Metric{"trueup_account_last_good_read_age_seconds", "gauge", []string{"account"}, "Seconds since the kind of an account that was read completely the longest ago was. Absent until all its kinds were once."}
	lastGoodRead  = Metric{"trueup_last_good_read_age_seconds", "gauge", []string{"account", "kind"}, "Seconds since all records of a kind were last read completely. Absent until they were once."}
	changesRead   = Metric{"trueup_changes_read_age_seconds", "gauge", []string{"account"}, "Seconds since an account was last asked what changed. Absent for systems that cannot tell."}
	inboxOpen     = Metric{"trueup_inbox", "gauge", []string{"flow", "kind"}, "Open findings by kind. The flow (daemon) holds those about trueup itself."}
	held          = Metric{"trueup_held", "gauge", []string{"flow"}, "Changes that are held for a person."}
	writesUnknown = Metric{"trueup_writes_unknown", "gauge", nil, "Writes whose outcome is not known yet; the next run looks at them."}
	overdue       = Metric{"trueup_schedule_overdue_seconds", "gauge", []string{"kind", "name"}, "Seconds by which a flow or discovery is missed: two more of its times and 15 minutes passed without a run that came to an end. 0 while the schedule is kept."}
	failedInARow  = Metric{"trueup_runs_failed_in_a_row", "gauge", []string{"kind", "name"}, "Runs that ended in error, one after the other, up to the last one."}
	credentialAge = Metric{"trueup_credential_idle_seconds", "gauge", []string{"account", "setting"}, "Seconds since a secret was replaced that its system forgets when it is not used."}
	runsTotal     = Metric{"trueup_runs_total", "counter", []string{"kind", "name", "state"}, "Runs by the state they ended in."}
	runDuration   = Metric{"trueup_run_duration_seconds", "histogram", []string{"kind", "name"}, "How long runs took."}
	requestsTotal = Metric{"trueup_requests_total", "counter", []string{"account", "class"}, "Requests sent to an account's system, repeats and sign-ins included, by the class of the failure; ok when it succeeded."}
	budgetLeft    = Metric{"trueup_budget_left", "gauge", []string{"account"}, "Requests that may still be sent in this minute within the account's budget."}
	changesTotal  = Metric{"trueup_changes_total", "counter", []string{"flow", "op", "outcome"}, "Changes that were to be written, by outcome: done, failed, unknown or skipped."}
	messagesTotal = Metric{"trueup_messages_total", "counter", []string{"account", "outcome"}, "Webhook messages by what became of them: taken, repeated, nothing (no flow looks there by itself), refused, unproven (could not be verified then) or too_many; and places: watched (found by a glance) and unknown (nobody's here)."}
	leaseHeld     = Metric{"trueup_lease_held", "gauge", nil, "1 while the daemon holds the lease of its state, 0 while it cannot renew it and begins no run."}
	looked        = Metric{"trueup_health_age_seconds", "gauge", nil, "Seconds since what these gauges say was read from the state; about 60 at most while all is well."}
	reloaded      = Metric{"trueup_configuration_current", "gauge", nil, "1 when the files are what runs, 0 when they were found wrong at the last SIGHUP and the old configuration stays."}
)

// Metrics counts what the daemon does. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	health   func() daemon.Health
	now      func() time.Time
	runs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	requests *prometheus.CounterVec
	changes  *prometheus.CounterVec
	messages *prometheus.CounterVec
	current  prometheus.Gauge

	mu      sync.Mutex
	budgets map[string]*budget
}

// NewMetrics makes metrics of a daemon's health and of what is reported to them.
func NewMetrics(version string, health func() daemon.Health) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), health: health, now: time.Now, budgets: map[string]*budget{}}
	m.runs, m.requests, m.changes, m.messages = counter(runsTotal), counter(requestsTotal), counter(changesTotal), counter(messagesTotal)
	m.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: runDuration.Name, Help: runDuration.Help,
		Buckets: []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600}}, runDuration.Labels)
	m.current = prometheus.NewGauge(prometheus.GaugeOpts{Name: reloaded.Name, Help: reloaded.Help})
	m.current.Set(1)
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help, ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.runs, m.requests, m.changes, m.messages, m.duration, m.current, info, (*gauges)(m),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counter(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// handler answers at most a few scrapes at a time.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Finished counts a run.
func (m *Metrics) Finished(run state.Run) {
	if run.State == "" { // it could not even be recorded
		return
	}
	m.runs.WithLabelValues(string(run.Kind), run.Name, string(run.State)).Inc()
	if run.Finished.After(run.Started) {
		m.duration.WithLabelValues(string(run.Kind), run.Name).Observe(run.Finished.Sub(run.Started).Seconds())
	}
}

// Planned counts the changes that a run of a flow was to write.
func (m *Metrics) Planned(flow string, result engine.Result) {
	o := result.Outcome
	if o.Done+o.Failed+o.Unknown+o.Skipped == 0 {
		return
	}
	left := map[plan.Op]int{}
	for _, c := range result.Plan.Changes {
		left[c.Op]++
	}
	for _, f := range o.Failures {
		left[f.Change.Op]--
		outcome := "failed"
		switch {
		case f.Skipped:
			outcome = "skipped"
		case f.Class == connectors.ClassUnknown:
			outcome = "unknown"
		}
		m.changes.WithLabelValues(flow, string(f.Change.Op), outcome).Inc()
	}
	done := o.Done
	for _, op := range slices.Sorted(maps.Keys(left)) {
		// A run that was stopped did not come to its last changes: what was done is counted, whatever it was.
		n := min(left[op], done)
		done -= n
		m.changes.WithLabelValues(flow, string(op), "done").Add(float64(n))
	}
}

// Heard counts what became of messages and of what a glance found.
func (m *Metrics) Heard(account, outcome string, n int) {
	m.messages.WithLabelValues(account, outcome).Add(float64(n))
}

// Reloaded notes whether the files are what runs.
func (m *Metrics) Reloaded(good bool) { m.current.Set(truth(good)) }

// Observe counts the requests of an account.
func (m *Metrics) Observe(account string) func(connectors.Exchange) {
	return func(e connectors.Exchange) {
		class := string(e.Class)
		if class == "" {
			class = "ok"
		}
		m.requests.WithLabelValues(account, class).Inc()
		if e.PerMinute == 0 {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		b := m.budgets[account]
		if b == nil {
			b = &budget{}
			m.budgets[account] = b
		}
		b.perMinute = e.PerMinute
		b.spend(m.now())
	}
}

// budget counts the requests of the last minute by the second.
type budget struct {
	perMinute int
	seconds   [60]int64 // the second that a place counts
	sent      [60]int
}

func (b *budget) spend(now time.Time) {
	second := now.Unix()
	if i := second % 60; b.seconds[i] != second {
		b.seconds[i], b.sent[i] = second, 1
	} else {
		b.sent[i]++
	}
}

func (b *budget) left(now time.Time) int {
	used := 0
	for i, second := range b.seconds {
		if age := now.Unix() - second; age >= 0 && age < 60 {
			used += b.sent[i]
		}
	}
	return max(b.perMinute-used, 0)
}

// gauges are the metrics that are read when somebody asks.
type gauges Metrics

// Describe describes nothing: which gauges there are depends on the configuration, which may be reloaded.
func (*gauges) Describe(chan<- *prometheus.Desc) {}

// Collect reads the gauges.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(m Metric, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.Name, m.Help, m.Labels, nil), prometheus.GaugeValue, value, labels...)
	}
	h := g.health()
	age := func(t time.Time) float64 { return max(h.Now.Sub(t).Seconds(), 0) }
	gauge(leaseHeld, truth(h.Lease))
	g.mu.Lock()
	left := make(map[string]int, len(g.budgets))
	for account, b := range g.budgets {
		left[account] = b.left(g.now())
	}
	g.mu.Unlock()
	for account, n := range left {
		gauge(budgetLeft, float64(n), account)
	}
	for _, j := range h.Jobs {
		late := 0.0
		if j.Missed(h.Now) {
			late = age(j.Due)
		}
		gauge(overdue, late, string(j.Kind), j.Name)
		gauge(failedInARow, float64(j.Errors), string(j.Kind), j.Name)
	}
	if h.Looked.IsZero() {
		return
	}
	gauge(looked, age(h.Looked))
	gauge(writesUnknown, float64(h.Unknown))
	for _, r := range h.Reads {
		if !r.Complete.IsZero() {
			gauge(lastGoodRead, age(r.Complete), r.Account, r.Kind)
		}
	}
	for _, a := range daemon.Accounts(h.Reads) {
		if !a.Complete.IsZero() {
			gauge(accountRead, age(a.Complete), a.Account)
		}
	}
	for _, f := range h.Feeds {
		gauge(changesRead, age(f.Read), f.Account)
	}
	for _, c := range h.Inbox {
		gauge(inboxOpen, float64(c.Open), c.Flow, c.Kind)
	}
	for _, j := range h.Jobs {
		if j.Kind == state.RunFlow {
			gauge(held, float64(h.Held[j.Name]), j.Name)
		}
	}
	for _, c := range h.Secrets {
		gauge(credentialAge, age(c.Written), c.Account, c.Setting)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
