package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/all"
	"github.com/trueup-sync/trueup/internal/diag"
	"github.com/trueup-sync/trueup/mapping"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

func (a *app) mappingCommand() *cobra.Command {
	c := &cobra.Command{Use: "mapping", Short: "Lint, test, preview and describe mapping files"}
	c.AddCommand(a.lintCommand(), a.mappingTestCommand(), a.previewCommand(), a.schemaCommand())
	return c
}

// mappingFile is a mapping with the tests beside it.
type mappingFile struct {
	name, testName string
	source, tests  []byte
}

// mappingFiles reads the named files, or those that come with trueup.
func mappingFiles(names []string) ([]mappingFile, error) {
	var files []mappingFile
	if len(names) == 0 {
		shipped, err := fs.Glob(configs.FS, "mappings/*.yaml")
		if err != nil {
			return nil, err
		}
		for _, name := range shipped {
			if strings.HasSuffix(name, ".test.yaml") {
				continue
			}
			source, err := configs.FS.ReadFile(name)
			if err != nil {
				return nil, err
			}
			test := strings.TrimSuffix(name, ".yaml") + ".test.yaml"
			tests, err := configs.FS.ReadFile(test)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			files = append(files, mappingFile{"configs/" + name, "configs/" + test, source, tests})
		}
		return files, nil
	}
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("read mapping: %w", err)}
		}
		test := strings.TrimSuffix(name, ".yaml") + ".test.yaml"
		tests, err := os.ReadFile(test)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read mapping tests: %w", err)
		}
		files = append(files, mappingFile{name, test, source, tests})
	}
	return files, nil
}

// compile loads a file for the system it names.
func (f mappingFile) compile(problems *diag.List) *mapping.Mapping {
	system := mapping.SystemOf(f.source)
	found, ok := all.Find(system)
	if !ok {
		var known []string
		for _, s := range all.Systems {
			known = append(known, s.Descriptor.System)
		}
		// Load says where and what; the descriptor of no system makes it name the word.
		if system != "" {
			problems.Add(diag.Pos{File: f.name}, diag.DidYouMean(system, known), "unknown system %q", system)
			return nil
		}
		found = connectors.System{}
	}
	return mapping.Load(f.name, f.source, found.Descriptor, problems)
}

func (a *app) lintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint [FILE...]",
		Short: "Check mapping files, or those that come with trueup; all complaints at once",
		RunE: func(_ *cobra.Command, names []string) error {
			files, err := mappingFiles(names)
			if err != nil {
				return err
			}
			var problems diag.List
			for _, f := range files {
				f.compile(&problems)
			}
			list := []string{}
			for _, p := range problems.Problems() {
				list = append(list, p.String())
			}
			if a.json {
				if err := a.show(map[string]any{"files": len(files), "problems": list}, nil); err != nil {
					return err
				}
			}
			if err := problems.Err(); err != nil {
				return err
			}
			a.say("%d mapping files, no complaint", len(files))
			return nil
		},
	}
}

func (a *app) mappingTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [FILE...]",
		Short: "Run the tests beside mapping files (NAME.test.yaml beside NAME.yaml)",
		RunE: func(_ *cobra.Command, names []string) error {
			files, err := mappingFiles(names)
			if err != nil {
				return err
			}
			var problems diag.List
			passed, failures := 0, []string{}
			for _, f := range files {
				m := f.compile(&problems)
				if m == nil {
					continue
				}
				if f.tests == nil {
					a.say("%s: no tests beside it (%s)", f.name, f.testName)
					continue
				}
				n, failed := mapping.RunTests(m, f.testName, f.tests, &problems)
				passed += n
				for _, failure := range failed {
					failures = append(failures, failure.String())
				}
			}
			if err := problems.Err(); err != nil {
				return err
			}
			err = a.show(map[string]any{"passed": passed, "failures": failures}, func(w io.Writer) {
				for _, f := range failures {
					fmt.Fprintln(w, f)
				}
				fmt.Fprintf(w, "%d passed, %d failed\n", passed, len(failures))
			})
			if err == nil && len(failures) > 0 {
				return errSaid
			}
			return err
		},
	}
}

func (a *app) previewCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "preview ACCOUNT NOUN [ID]",
		Short: "Show records of an account in the model's words, each value with the mapping line it came from",
		Args:  args(cobra.RangeArgs(2, 3)),
		RunE: func(c *cobra.Command, given []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			account, ok := s.engine.Accounts[given[0]]
			if !ok {
				return usageError{fmt.Errorf("no account %q in %s (%s)", given[0], s.File, diag.DidYouMean(given[0], slices.Collect(maps.Keys(s.engine.Accounts))))}
			}
			noun := model.Kind(given[1])
			kind, ok := account.NativeKind(noun)
			if !ok {
				var known []string
				for _, k := range account.Mapping.Kinds() {
					known = append(known, string(k))
				}
				return usageError{fmt.Errorf("the mapping of %s has no %q (%s)", account.Name, given[1], diag.DidYouMean(given[1], known))}
			}
			filter := state.RecordFilter{}
			if len(given) == 3 {
				filter.IDs = given[2:]
			}
			previews := []previewJSON{}
			errEnough := errors.New("enough")
			err = s.store.Records(c.Context(), account.Name, kind.Name, filter, func(stored state.Stored) error {
				previews = append(previews, previewOf(stored.ID, account.Mapping.Preview(noun, stored.Record)))
				if len(previews) == limit {
					return errEnough
				}
				return nil
			})
			if err != nil && !errors.Is(err, errEnough) {
				return err
			}
			if len(previews) == 0 {
				return fmt.Errorf("nothing like that was read of %s; run trueup discover %s first", account.Name, account.Name)
			}
			return a.show(previews, func(w io.Writer) {
				for _, p := range previews {
					fmt.Fprintf(w, "%s %s\n", noun, p.ID)
					rows := [][]string{}
					for _, line := range p.Fields {
						rows = append(rows, []string{"  " + line.Field, cmp.Or(line.Problem, line.Value), line.Place + ": " + line.Rule})
					}
					table(w, rows)
				}
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 1, "how many records")
	return c
}

type previewJSON struct {
	ID     string        `json:"id"`
	Fields []previewLine `json:"fields"`
}

type previewLine struct {
	Field   string        `json:"field"`
	Value   string        `json:"value"`
	Problem string        `json:"problem"` // why there is no value; "" when all is well
	Place   string        `json:"place"`   // of the rule, as file:line:column
	Rule    string        `json:"rule"`
	Native  []nativeValue `json:"native"`
}

type nativeValue struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

func previewOf(id string, lines []mapping.PreviewLine) previewJSON {
	out := previewJSON{ID: id, Fields: []previewLine{}}
	for _, l := range lines {
		native := []nativeValue{}
		for _, n := range l.Native {
			native = append(native, nativeValue{n.Field, n.Value.String()})
		}
		out.Fields = append(out.Fields, previewLine{l.Field, l.Value.String(), l.Problem, l.Origin.Pos.String(), l.Origin.Rule, native})
	}
	return out
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema SYSTEM",
		Short: "Print the JSON Schema of a system's mapping files, for editors",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			system, ok := all.Find(given[0])
			if !ok {
				known := slices.Sorted(func(yield func(string) bool) {
					for name := range all.Descriptors() {
						if !yield(name) {
							return
						}
					}
				})
				return usageError{fmt.Errorf("no system %q (%s)", given[0], diag.DidYouMean(given[0], known))}
			}
			schema, err := mapping.Schema(system.Descriptor)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n", schema)
			return err
		},
	}
}
