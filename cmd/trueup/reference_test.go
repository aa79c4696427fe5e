package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/docgen"
)

//go:generate go test -run ^TestReferenceIsUpToDate$ . -write-reference

var writeReference = flag.Bool("write-reference", false, "write docs/reference instead of comparing it")

// TestReferenceIsUpToDate makes the reference pages and compares them with those in the repository.
func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	const folder = "../../docs/reference"
	a := &app{stdout: io.Discard, stderr: io.Discard}
	pages, err := docgen.Reference(os.DirFS("../.."), a.root())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, page := range pages {
		known[page.Name] = true
		name := filepath.Join(folder, page.Name)
		if *writeReference {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(page.Text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatalf("%v; make generate writes it", err)
		}
		if diff := cmp.Diff(string(have), page.Text); diff != "" {
			t.Errorf("docs/reference/%s is stale; make generate writes it anew:\n%s", page.Name, diff)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("docs/reference/%s is not made from the code any more; delete it", e.Name())
		}
	}
}
