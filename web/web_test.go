package web

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/apply"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/daemon"
	"github.com/trueup-sync/trueup/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2031, 3, 14, 12, 0, 0, 0, time.UTC)

// well is a daemon with which nothing is wrong.
func well() daemon.Health {
	return daemon.Health{
		Now: noon, Since: noon.Add(-time.Hour), Lease: true, Turned: 4 * time.Second, Looked: noon.Add(-30 * time.Second),
		Jobs: []daemon.JobHealth{
			{Kind: state.RunDiscovery, Name: "psa", Due: noon.Add(6 * time.Hour), Late: noon.Add(30 * time.Hour)},
			{Kind: state.RunFlow, Name: "cloud", Due: noon.Add(2 * time.Minute), Late: noon.Add(17 * time.Minute)},
		},
		Reads: []daemon.ReadHealth{{Account: "psa", Kind: "agreement", Complete: noon.Add(-6 * time.Hour), Until: noon.Add(19 * time.Hour)}},
		Feeds: []daemon.FeedHealth{{Account: "psa", Read: noon.Add(-90 * time.Second)}},
		Inbox: []daemon.InboxCount{{Flow: "cloud", Kind: "unmatched_customer", Open: 3}},
		Held:  map[string]int{"cloud": 2},
	}
}

func ask(t *testing.T, s *Server, method, path string) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return answer.Code, answer.Body.String()
}

func serve(h daemon.Health) *Server {
	health := func() daemon.Health { return h }
	return &Server{Health: health, Metrics: NewMetrics("v1.2.3", health), Log: zap.NewNop()}
}

// Each thing that can be wrong shows where it should: alive, ready, or only a warning.
func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		wrong    func(*daemon.Health)
		alive    bool
		ready    bool
		warnings int
		said     string // in what /readyz answers
	}{
		{"well", func(*daemon.Health) {}, true, true, 0, `"ready": true`},
		{"not begun", func(h *daemon.Health) { *h = daemon.Health{Now: noon} }, false, false, 0, "has not begun to work"},
		{"the loop hangs", func(h *daemon.Health) { h.Turned = 3 * time.Minute }, false, false, 0, "the loop has not come round for 3m0s"},
		{"no lease", func(h *daemon.Health) { h.Lease = false }, false, false, 0, "the lease cannot be renewed"},
		{"no state", func(h *daemon.Health) { h.Failure = "the disk is full" }, true, false, 0, "what trueup keeps cannot be read: the disk is full"},
		{"an old look", func(h *daemon.Health) { h.Looked = noon.Add(-4 * time.Minute) }, true, false, 0, "was not looked at since 2031-03-14 11:56 UTC"},
		{"stopping", func(h *daemon.Health) { h.Stopping = true }, true, false, 0, "trueup is stopping"},
		{"a missed schedule", func(h *daemon.Health) { h.Jobs[1].Late = noon.Add(-time.Minute) }, true, false, 0, "flow cloud was due at"},
		{"an old read", func(h *daemon.Health) { h.Reads[0].Until = noon.Add(-time.Second) }, true, false, 0, "psa agreement was last read completely at 2031-03-14 06:00 UTC"},
		{"never read", func(h *daemon.Health) { h.Reads[0].Complete = time.Time{} }, true, false, 0, "psa agreement was never read completely"},
		{"errors", func(h *daemon.Health) { h.Jobs[1].Errors, h.Jobs[1].Reason = 3, "the keys <are> refused" }, true, true, 1, "3 times in a row: the keys <are> refused"},
		{"an old secret", func(h *daemon.Health) {
			h.Secrets = []daemon.Credential{{Account: "microsoft", Setting: "refresh_token", Written: noon.AddDate(0, 0, -61), IdleDays: 90}}
		}, true, true, 1, "refresh_token of account microsoft was last used on 2031-01-12"},
		{"unknown writes", func(h *daemon.Health) { h.Unknown = 2 }, true, true, 1, "2 writes have no known outcome yet"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := well()
			c.wrong(&h)
			s := serve(h)
			status := map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable}
			if code, body := ask(t, s, http.MethodGet, "/healthz"); code != status[c.alive] || (body == "ok\n") != c.alive {
				t.Errorf("/healthz says %d %s", code, body)
			}
			code, body := ask(t, s, http.MethodGet, "/readyz")
			var answer struct {
				Ready             bool
				Reasons, Warnings []string
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatal(err)
			}
			if code != status[c.ready] || answer.Ready != c.ready || (len(answer.Reasons) == 0) != c.ready || len(answer.Warnings) != c.warnings {
				t.Errorf("/readyz says %d %s", code, body)
			}
			if !strings.Contains(body, c.said) {
				t.Errorf("/readyz does not say %q: %s", c.said, body)
			}
		})
	}
}

// Nothing can be changed, and nothing else is there.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := serve(well())
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/metrics", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
		{http.MethodHead, "/readyz", http.StatusOK},
	} {
		if code, _ := ask(t, s, c.method, c.path); code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, code, c.want)
		}
	}
}

// What Prometheus gets, line by line, and nothing of trueup's own that Table does not list.
func TestMetrics(t *testing.T) {
	t.Parallel()
	h := well()
	h.Unknown = 1
	h.Jobs[0].Due, h.Jobs[0].Late, h.Jobs[0].Errors = noon.Add(-time.Hour), noon.Add(-time.Minute), 4
	h.Reads = append(h.Reads, daemon.ReadHealth{Account: "psa", Kind: "company"}, // never read completely, so the account was not either
		daemon.ReadHealth{Account: "microsoft", Kind: "customer", Complete: noon.Add(-time.Hour)},
		daemon.ReadHealth{Account: "microsoft", Kind: "price", Complete: noon.Add(-2 * time.Hour)})
	h.Secrets = []daemon.Credential{{Account: "microsoft", Setting: "refresh_token", Written: noon.AddDate(0, 0, -1), IdleDays: 90}}
	s := serve(h)
	clock := noon
	s.Metrics.now = func() time.Time { return clock }
	observe := s.Metrics.Observe("psa")
	for range 3 {
		observe(connectors.Exchange{PerMinute: 60, Took: time.Second})
	}
	clock = clock.Add(59 * time.Second)
	observe(connectors.Exchange{PerMinute: 60, Class: connectors.ClassLimited})
	observe(connectors.Exchange{Class: connectors.ClassAuth}) // a sign-in, which counts against no budget
	s.Metrics.Finished(state.Run{Kind: state.RunFlow, Name: "cloud", State: state.RunHeld, Started: noon, Finished: noon.Add(3 * time.Second)})
	s.Metrics.Finished(state.Run{}) // one that could not be recorded
	change := func(op plan.Op) plan.Change { return plan.Change{Op: op} }
	s.Metrics.Planned("cloud", engine.Result{ // proposed only
		Plan: plan.Plan{Changes: []plan.Change{change(plan.OpCreate)}}})
	s.Metrics.Planned("cloud", engine.Result{
		Plan: plan.Plan{Changes: []plan.Change{change(plan.OpCreate), change(plan.OpChange), change(plan.OpChange), change(plan.OpChange), change(plan.OpChange)}},
		Outcome: apply.Outcome{Done: 2, Failed: 1, Unknown: 1, Skipped: 1, Failures: []apply.Failure{
			{Change: change(plan.OpChange), Class: connectors.ClassInvalid}, {Change: change(plan.OpChange), Class: connectors.ClassUnknown},
			{Change: change(plan.OpCreate), Class: connectors.ClassTransient, Skipped: true},
		}}})
	s.Metrics.Heard("psa", daemon.HintTaken, 2)
	s.Metrics.Reloaded(false)

	code, body := ask(t, s, http.MethodGet, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	var got []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "trueup_") && !strings.Contains(line, "_bucket") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`trueup_account_last_good_read_age_seconds{account="microsoft"} 7200`,
		`trueup_build_info{version="v1.2.3"} 1`,
		`trueup_budget_left{account="psa"} 56`,
		`trueup_changes_read_age_seconds{account="psa"} 90`,
		`trueup_changes_total{flow="cloud",op="change",outcome="done"} 2`,
		`trueup_changes_total{flow="cloud",op="change",outcome="failed"} 1`,
		`trueup_changes_total{flow="cloud",op="change",outcome="unknown"} 1`,
		`trueup_changes_total{flow="cloud",op="create",outcome="done"} 0`,
		`trueup_changes_total{flow="cloud",op="create",outcome="skipped"} 1`,
		`trueup_configuration_current 0`,
		`trueup_credential_idle_seconds{account="microsoft",setting="refresh_token"} 86400`,
		`trueup_health_age_seconds 30`,
		`trueup_held{flow="cloud"} 2`,
		`trueup_inbox{flow="cloud",kind="unmatched_customer"} 3`,
		`trueup_last_good_read_age_seconds{account="microsoft",kind="customer"} 3600`,
		`trueup_last_good_read_age_seconds{account="microsoft",kind="price"} 7200`,
		`trueup_last_good_read_age_seconds{account="psa",kind="agreement"} 21600`,
		`trueup_lease_held 1`,
		`trueup_messages_total{account="psa",outcome="taken"} 2`,
		`trueup_requests_total{account="psa",class="auth"} 1`,
		`trueup_requests_total{account="psa",class="limited"} 1`,
		`trueup_requests_total{account="psa",class="ok"} 3`,
		`trueup_run_duration_seconds_count{kind="flow",name="cloud"} 1`,
		`trueup_run_duration_seconds_sum{kind="flow",name="cloud"} 3`,
		`trueup_runs_failed_in_a_row{kind="discovery",name="psa"} 4`,
		`trueup_runs_failed_in_a_row{kind="flow",name="cloud"} 0`,
		`trueup_runs_total{kind="flow",name="cloud",state="held"} 1`,
		`trueup_schedule_overdue_seconds{kind="discovery",name="psa"} 3600`,
		`trueup_schedule_overdue_seconds{kind="flow",name="cloud"} 0`,
		`trueup_writes_unknown 1`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	types := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (trueup_\S+) (\S+)$`).FindAllStringSubmatch(body, -1) {
		types[m[1]] = m[2]
	}
	listed := map[string]string{}
	for _, m := range Table {
		listed[m.Name] = m.Type
	}
	if diff := cmp.Diff(listed, types); diff != "" {
		t.Errorf("Table and what is served (-table +served):\n%s", diff)
	}

	clock = clock.Add(2 * time.Second) // the three of the first second are more than a minute old
	if _, body = ask(t, s, http.MethodGet, "/metrics"); !strings.Contains(body, `trueup_budget_left{account="psa"} 59`) {
		t.Error("the budget of a minute does not come back")
	}
}

// Before anything was read, what is not known is absent instead of zero.
func TestUnknownIsAbsent(t *testing.T) {
	t.Parallel()
	_, body := ask(t, serve(daemon.Health{Now: noon}), http.MethodGet, "/metrics")
	for _, name := range []string{"trueup_writes_unknown", "trueup_held", "trueup_health_age_seconds", "trueup_last_good_read_age_seconds"} {
		if strings.Contains(body, name) {
			t.Errorf("%s is served before it is known", name)
		}
	}
	if !strings.Contains(body, "trueup_lease_held 0") {
		t.Error("trueup_lease_held is not 0")
	}
}

// The server answers on its listener until it is told to stop, and then nobody is there.
func TestRun(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(well()).Run(ctx, listener) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(body) != "ok\n" {
		t.Errorf("it answers %q, %v", body, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if response, err = client.Do(request); err == nil {
		_ = response.Body.Close()
		t.Error("somebody still answers")
	}
}
