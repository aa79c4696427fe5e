//go:build unix

// Transcripts of the command line: testdata/*.txtar hold what is typed and what comes out. Each trueup in them is a process
// of its own, which speaks over HTTP with a sandbox inside the test. The commands of a transcript besides those of testscript:
//
//	sandbox [-customers N] ...        start a sandbox; write trueup.yaml, flows/ and secrets/ for it
//	exit CODE trueup ARG...           run it; it must end with that code and print no secret
//	killed N PATTERN trueup ARG...    kill it when that many lines of its log match
//	terminated CODE N PATTERN trueup ARG...   tell it to stop then; it must end with that code
//	start NAME PATTERN trueup ARG...  run it beside the transcript, and wait until its standard error matches
//	await NAME PATTERN                wait until it matches
//	end NAME CODE [SIGNAL]            send it TERM, INT or KILL, or nothing; it must end with that code, -1 for killed
//	lock, unlock                      another program holds trueup.db for itself
//	later                             let three minutes pass for what trueup.db says of living processes
//	misbehave SIDE NAME [VALUE]       a system fails in this way, until: behave SIDE
//	pair NAME                         choose another ordinary subscription and its line: $NAME_SUB $NAME_LINE $NAME_SEATS ...
//	stranger NAME                     choose a tenant that only its name connects with a company: $NAME_TENANT $NAME_COMPANY
//	seats SIDE ID N                   somebody changes the seats of a subscription (vendor) or line (psa)
//	edit BODY, add BODY               somebody does something else; the bodies of the control API
//	mark, lowered, writes SIDE N      from mark on: what was lowered or ended on either side, and how many writes it took
//	billed SIDE ID N                  the seats of a subscription or a line are N; 0 when it is cancelled
//	in-step                           every subscription stands on one line at most, and its line has its seats
//	replace FILE OLD NEW              mend a file
//	get VAR PATH, json PATH VALUE     a value of the JSON on stdout, like changes.0.fields.0.to
//	shape                             print the paths and types of the JSON on stdout
//	secretless FILE...                the bytes of these files, or of all in a folder, hold no secret
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// Transcripts wait for other processes, some of which wait on purpose, so more of them run at a time than there are cores.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"trueup": main,
		"trueup-small-disk": func() {
			smallDisk()
			main()
		},
	})
}

// raced are the transcripts whose processes look for data races when the test does. A process that does so takes five times as
// long to start and there are hundreds, so the others run the program as it is built for users.
var raced = []string{"daemon", "held"}

func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcripts(t, "testdata", func(*testscript.Env) error { return nil })
}

// transcripts runs those of a folder; setup prepares what only they need.
func transcripts(t *testing.T, dir string, setup func(*testscript.Env) error) {
	plain := ""
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		plain = t.TempDir()
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(plain, "trueup"), ".").CombinedOutput(); err != nil {
			t.Fatalf("build trueup: %v\n%s", err, out)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_TRANSCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")) // each of many processes would wait a second
			if name := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-"); plain != "" && !slices.Contains(raced, name) {
				e.Setenv("PATH", plain+string(filepath.ListSeparator)+e.Getenv("PATH"))
			}
			e.Values[deskKey{}] = &desk{running: map[string]*process{}, used: map[string]bool{}}
			return setup(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sandbox": cmdSandbox, "misbehave": cmdMisbehave, "behave": cmdBehave, "pair": cmdPair, "stranger": cmdStranger, "seats": cmdSeats, "edit": cmdEdit, "add": cmdAdd,
			"mark": cmdMark, "lowered": cmdLowered, "writes": cmdWrites, "billed": cmdBilled, "in-step": cmdInStep,
			"exit": cmdExit, "killed": cmdKilled, "terminated": cmdTerminated, "start": cmdStart, "await": cmdAwait, "end": cmdEnd, "later": cmdLater, "lock": cmdLock, "unlock": cmdUnlock,
			"replace": cmdReplace, "get": cmdGet, "json": cmdJSON, "shape": cmdShape, "secretless": cmdSecretless,
		},
	})
}

// smallDisk lets no file of this process grow beyond a few pages, which is what a full disk looks like to a program.
func smallDisk() {
	signal.Ignore(syscall.SIGXFSZ)
	size, err := strconv.ParseUint(os.Getenv("DISK"), 10, 63)
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot limit the size of files:", err)
		os.Exit(99)
	}
}

// refuseNot keeps transcripts from negating what has no negation.
func refuseNot(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("! makes no sense here")
	}
}

// need checks the number of arguments.
func need(ts *testscript.TestScript, args []string, least int, usage string) {
	if len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "exit CODE trueup ARG...")
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		code = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d instead of %s", code, args[0])
	}
	checkSecrets(ts, "standard output", ts.ReadFile("stdout"))
	checkSecrets(ts, "standard error", ts.ReadFile("stderr"))
}

// process is a trueup in the background whose standard error is read line by line.
type process struct {
	*exec.Cmd
	stdout bytes.Buffer
	ended  bool

	mu     sync.Mutex
	more   *sync.Cond // a line was read, or there are no more
	stderr strings.Builder
	done   bool
}

// start runs trueup and calls line with each line of standard error.
func start(ts *testscript.TestScript, args []string, line func(*process, string)) *process {
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[0])); err == nil {
			path = filepath.Join(dir, args[0])
			break
		}
	}
	p := &process{Cmd: exec.Command(path, args[1:]...)}
	p.more = sync.NewCond(&p.mu)
	p.Dir, p.Stdout = ts.MkAbs("."), &p.stdout
	p.Env = append(os.Environ(), "GORACE="+ts.Getenv("GORACE"))
	if box := deskOf(ts).box; box != nil {
		for name := range box.Connection().Env {
			p.Env = append(p.Env, name+"="+ts.Getenv(name))
		}
	}
	stderr, err := p.StderrPipe()
	ts.Check(err)
	ts.Check(p.Start())
	ts.Defer(func() {
		if !p.ended {
			_ = p.Process.Kill()
			p.wait()
		}
	})
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.stderr.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
			line(p, lines.Text())
			p.more.Broadcast()
		}
		p.mu.Lock()
		p.done = true
		p.mu.Unlock()
		p.more.Broadcast()
	}()
	return p
}

// await waits until standard error matches; false when it ended and never did.
func (p *process) await(pattern *regexp.Regexp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !pattern.MatchString(p.stderr.String()) {
		if p.done {
			return false
		}
		p.more.Wait()
	}
	return true
}

// wait ends with the exit code; -1 for a process that was killed.
func (p *process) wait() int {
	p.mu.Lock()
	for !p.done {
		p.more.Wait()
	}
	p.mu.Unlock()
	_ = p.Wait() // the exit code tells
	p.ended = true
	return p.ProcessState.ExitCode()
}

// tell makes the output of a process that ended the stdout and stderr of the transcript.
func (p *process) tell(ts *testscript.TestScript) {
	fmt.Fprint(ts.Stdout(), p.stdout.String())
	fmt.Fprint(ts.Stderr(), p.stderr.String())
	checkSecrets(ts, "standard output", p.stdout.String())
	checkSecrets(ts, "standard error", p.stderr.String())
}

func cmdKilled(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	if code := signalAfter(ts, os.Kill, args); code != -1 {
		ts.Fatalf("it ended by itself with %d before it could be killed", code)
	}
}

func cmdTerminated(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "terminated CODE N PATTERN trueup ARG...")
	if code := signalAfter(ts, syscall.SIGTERM, args[1:]); strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d instead of %s", code, args[0])
	}
}

func signalAfter(ts *testscript.TestScript, s os.Signal, args []string) int {
	need(ts, args, 3, "killed N PATTERN trueup ARG...")
	left, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern := regexp.MustCompile(args[1])
	p := start(ts, append(args[2:], "-v"), func(p *process, line string) {
		if pattern.MatchString(line) {
			if left--; left == 0 {
				_ = p.Process.Signal(s)
			}
		}
	})
	code := p.wait()
	p.tell(ts)
	if left > 0 {
		ts.Fatalf("it ended with %d, and %d lines too few matched %s", code, left, pattern)
	}
	return code
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 3, "start NAME PATTERN trueup ARG...")
	deskOf(ts).running[args[0]] = start(ts, args[2:], func(*process, string) {})
	cmdAwait(ts, false, args[:2])
}

// named is a process that was started and has not been ended.
func named(ts *testscript.TestScript, name string) *process {
	p := deskOf(ts).running[name]
	if p == nil {
		ts.Fatalf("%q was not started", name)
	}
	return p
}

func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "await NAME PATTERN")
	if p := named(ts, args[0]); !p.await(regexp.MustCompile("(?m)" + args[1])) {
		ts.Fatalf("%s ended with %d and never said %s: %s", args[0], p.wait(), args[1], p.stderr.String())
	}
}

var signals = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}

func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "end NAME CODE [SIGNAL]")
	p := named(ts, args[0])
	if len(args) > 2 {
		ts.Check(p.Process.Signal(signals[args[2]]))
	}
	code := p.wait()
	delete(deskOf(ts).running, args[0])
	p.tell(ts)
	if strconv.Itoa(code) != args[1] {
		ts.Fatalf("it ended with %d instead of %s", code, args[1])
	}
}

// cmdLater moves what the store remembers of living processes into the past, as if three minutes had gone by.
func cmdLater(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNot(ts, neg)
	db, err := sql.Open("sqlite", ts.MkAbs("trueup.db"))
	ts.Check(err)
	defer func() { _ = db.Close() }()
	then := time.Now().Add(-3 * time.Minute).UTC().Format("2006-01-02T15:04:05.000000000Z")
	for _, change := range []string{`UPDATE runs SET alive_at = ? WHERE state = 'in progress'`, `UPDATE lease SET expires_at = ?`} {
		_, err := db.Exec(change, then)
		ts.Check(err)
	}
}

func cmdLock(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNot(ts, neg)
	db, err := sql.Open("sqlite", ts.MkAbs("trueup.db")+"?_txlock=exclusive")
	ts.Check(err)
	tx, err := db.BeginTx(context.Background(), nil)
	ts.Check(err)
	unlock := func() { _ = errors.Join(tx.Rollback(), db.Close()) }
	deskOf(ts).unlock = unlock
	ts.Defer(unlock) // the second time it does nothing
}

func cmdUnlock(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNot(ts, neg)
	deskOf(ts).unlock()
}

func cmdReplace(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 3, "replace FILE OLD NEW")
	text := ts.ReadFile(args[0])
	if strings.Count(text, args[1]) != 1 {
		ts.Fatalf("%s holds %q %d times instead of once", args[0], args[1], strings.Count(text, args[1]))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], strings.ReplaceAll(args[2], `\n`, "\n"), 1)), 0o600))
}

// answer decodes stdout, which must be one JSON value and nothing else.
func answer(ts *testscript.TestScript) any {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	if decoder.More() {
		ts.Fatalf("stdout is more than one JSON value")
	}
	return value
}

// at follows a path like changes.0.op through a JSON value; a last step len is the length.
func at(ts *testscript.TestScript, value any, path string) string {
	for _, step := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			found, ok := v[step]
			if !ok {
				ts.Fatalf("there is no %q in %v", step, slices.Sorted(keys(v)))
			}
			value = found
		case []any:
			n, err := strconv.Atoi(step)
			switch {
			case step == "len":
				value = len(v)
			case err != nil || n >= len(v):
				ts.Fatalf("there is no item %s of %d (path %s)", step, len(v), path)
			default:
				value = v[n]
			}
		default:
			ts.Fatalf("%v has no %q", value, step)
		}
	}
	return fmt.Sprint(value)
}

func keys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 2, "get VAR PATH")
	ts.Setenv(args[0], at(ts, answer(ts), args[1]))
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, 2, "json PATH VALUE")
	if got := at(ts, answer(ts), args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// cmdShape prints one line for each path of the JSON on stdout, with the types seen there, sorted. Maps whose keys are data
// are named as arguments.
func cmdShape(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	seen := map[string]map[string]bool{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		kind := "string"
		switch v := value.(type) {
		case map[string]any:
			kind = "object"
			last := path[strings.LastIndexByte(path, '.')+1:]
			for k, member := range v {
				if slices.Contains(args, last) {
					k = "*"
				}
				walk(path+"."+k, member)
			}
		case []any:
			kind = "list"
			for _, item := range v {
				walk(path+"[]", item)
			}
		case json.Number:
			kind = "number"
		case bool:
			kind = "boolean"
		case nil:
			kind = "null"
		}
		if seen[path] == nil {
			seen[path] = map[string]bool{}
		}
		seen[path][kind] = true
	}
	walk("", answer(ts))
	var lines []string
	for path, kinds := range seen {
		var names []string
		for kind := range kinds {
			names = append(names, kind)
		}
		slices.Sort(names)
		lines = append(lines, cmp.Or(path, ".")+" "+strings.Join(names, " or "))
	}
	slices.Sort(lines)
	fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
}

// cmdSecretless looks for secrets in files and in all files of folders.
func cmdSecretless(ts *testscript.TestScript, neg bool, args []string) {
	refuseNot(ts, neg)
	need(ts, args, 1, "secretless FILE...")
	for _, name := range args {
		files := 0
		ts.Check(filepath.WalkDir(ts.MkAbs(name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err == nil {
				files++
				checkSecrets(ts, path, string(content))
			}
			return err
		}))
		if files == 0 {
			ts.Fatalf("%s holds no file", name)
		}
	}
}

var issuedToken = regexp.MustCompile(`(access|refresh)-[0-9a-f]{8}-[0-9a-f]{4}-`)

// checkSecrets fails when a text holds a credential of the sandbox, or a token that it issued.
func checkSecrets(ts *testscript.TestScript, where, text string) {
	for name, secret := range deskOf(ts).secrets() {
		if strings.Contains(text, secret) {
			ts.Fatalf("%s holds the secret %s", where, name)
		}
	}
	if token := issuedToken.FindString(text); token != "" {
		ts.Fatalf("%s holds a token: %s…", where, token)
	}
}
