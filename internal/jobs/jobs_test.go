package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/jobs"
	"github.com/trueup-sync/trueup/state"
	"github.com/trueup-sync/trueup/state/statetest"
)

// database names an empty database for daemons to share; "" where there is no server.
func database(t *testing.T) string {
	t.Helper()
	server := os.Getenv("TRUEUP_TEST_POSTGRES")
	if server == "" {
		return ""
	}
	dsn, drop, err := statetest.Schema(context.Background(), server, fmt.Sprintf("jobs_%d_%d", os.Getpid(), time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// begin lets a daemon work on the queue of a database until the test ends. It has joined, so that others see it alive.
func begin(t *testing.T, dsn string, handlers map[jobs.Kind]jobs.Handler) *jobs.Queue {
	t.Helper()
	store, err := state.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := store.Join(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []jobs.Kind{jobs.Run, jobs.Part, jobs.Alert} {
		if handlers[kind] == nil {
			handlers[kind] = func(context.Context, jobs.Call) (any, error) { return nil, nil }
		}
	}
	queue, err := jobs.Open(t.Context(), store, jobs.Options{ID: lock.Token(), Poll: 100 * time.Millisecond, Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := queue.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-queue.Stopped()
		if err := errors.Join(lock.Release(context.Background()), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return queue
}

// patience is how long a test waits for what should come at once.
const patience = time.Minute

func receive[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return v
}

// A job is done once however often its key is queued, and its body and its try arrive.
func TestOnce(t *testing.T) {
	t.Parallel()
	calls := make(chan jobs.Call, 10)
	queue := begin(t, "sqlite:"+filepath.Join(t.TempDir(), "trueup.db"), map[jobs.Kind]jobs.Handler{jobs.Run: func(_ context.Context, c jobs.Call) (any, error) {
		calls <- c
		return nil, nil
	}})
	for _, key := range []string{"a", "a", "b", "a"} {
		if err := queue.Add(t.Context(), jobs.Job{Kind: jobs.Run, Key: key, Body: key}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for range 2 {
		c := receive(t, "a job", calls)
		got[string(c.Body)] += c.Try
	}
	if diff := cmp.Diff(map[string]int{`"a"`: 1, `"b"`: 1}, got); diff != "" || len(calls) > 0 {
		t.Errorf("jobs (-want +got), and %d more:\n%s", len(calls), diff)
	}
}

// What a daemon cannot do, another one does, and who waits for it gets the answer.
func TestHandedOn(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	if dsn == "" {
		t.Log("NOT TESTED: a job that is handed on, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	passed := make(chan int, 1000)
	queue := begin(t, dsn, map[jobs.Kind]jobs.Handler{jobs.Part: func(_ context.Context, c jobs.Call) (any, error) {
		passed <- c.Try
		return nil, jobs.Again{Err: errors.New("it is not in this configuration")}
	}})
	type outcome struct {
		answers []json.RawMessage
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		answers, err := queue.Do(t.Context(), jobs.Part, []string{"one"}, func(int, int) any { return "the part" })
		done <- outcome{answers, err}
	}()
	for range 2 { // the only daemon gets it again and again, and it does not count as tried
		if try := receive(t, "the part", passed); try != 1 {
			t.Errorf("it came as try %d", try)
		}
	}
	begin(t, dsn, map[jobs.Kind]jobs.Handler{jobs.Part: func(_ context.Context, c jobs.Call) (any, error) {
		return "done: " + string(c.Body), nil
	}})
	got := receive(t, "the answer", done)
	if got.err != nil || len(got.answers) != 1 || string(got.answers[0]) != `"done: \"the part\""` {
		t.Errorf("the answer is %s (%v)", got.answers, got.err)
	}
}

// Who waits for parts goes on at once when it is told to stop, and the parts are told.
func TestDoIsStopped(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	if dsn == "" {
		t.Log("NOT TESTED: parts of another daemon that are cancelled, because TRUEUP_TEST_POSTGRES names no server")
		return
	}
	began, told := make(chan struct{}, 1), make(chan error, 1)
	leader := begin(t, dsn, map[jobs.Kind]jobs.Handler{jobs.Part: func(context.Context, jobs.Call) (any, error) {
		return nil, jobs.Again{Err: errors.New("the other one does it")}
	}})
	begin(t, dsn, map[jobs.Kind]jobs.Handler{jobs.Part: func(ctx context.Context, _ jobs.Call) (any, error) {
		began <- struct{}{}
		<-ctx.Done()
		told <- context.Cause(ctx)
		return nil, ctx.Err()
	}})
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped on request")
	ended := make(chan error, 1)
	go func() {
		_, err := leader.Do(ctx, jobs.Part, []string{"one"}, func(int, int) any { return nil })
		ended <- err
	}()
	receive(t, "the part", began)
	at := time.Now()
	stop(stopped)
	if err := receive(t, "the end of waiting", ended); !errors.Is(err, stopped) {
		t.Errorf("waiting ended with %v", err)
	}
	receive(t, "the end of the part", told)
	if took := time.Since(at); took > 5*time.Second {
		t.Errorf("the part was told after %s", took)
	}
}
