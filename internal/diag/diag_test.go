package diag_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/internal/diag"
)

func TestComplaintsAreSortedByPlaceAndSaidOnce(t *testing.T) {
	t.Parallel()
	var l diag.List
	l.Add(diag.Pos{File: "b.yaml", Line: 1, Column: 1}, "", "second file")
	l.Add(diag.Pos{File: "a.yaml", Line: 10, Column: 2}, "do that", "line %d", 10)
	l.Add(diag.Pos{File: "a.yaml", Line: 9, Column: 7}, "", "column 7")
	l.Add(diag.Pos{File: "a.yaml", Line: 9, Column: 3}, "", "column 3")
	l.Add(diag.Pos{File: "a.yaml", Line: 10, Column: 2}, "do that", "line %d", 10)
	l.Add(diag.Pos{File: "a.yaml", Line: 2}, "", "no column")
	l.Add(diag.Pos{File: "a.yaml"}, "", "the whole file")
	l.Add(diag.Pos{}, "", "nowhere")
	want := `nowhere
a.yaml: the whole file
a.yaml:2: no column
a.yaml:9:3: column 3
a.yaml:9:7: column 7
a.yaml:10:2: line 10 (do that)
b.yaml:1:1: second file`
	if diff := cmp.Diff(want, l.Err().Error()); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

func TestNoComplaintsNoError(t *testing.T) {
	t.Parallel()
	var l diag.List
	if err := l.Err(); err != nil || !l.Empty() {
		t.Errorf("an empty list gives %v", err)
	}
}

func TestIsBadFile(t *testing.T) {
	t.Parallel()
	var l diag.List
	l.Add(diag.Pos{File: "a.yaml"}, "", "bad")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("the network is gone"), false},
		{l.Err(), true},
		{fmt.Errorf("load: %w", l.Err()), true},
	} {
		if got := diag.IsBadFile(c.err); got != c.want {
			t.Errorf("IsBadFile(%v): got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	fields := []string{"quantity", "unit_cost", "unit_price"}
	var crowd []string
	for i := range 31 {
		crowd = append(crowd, fmt.Sprintf("field_number_%d", i))
	}
	for _, c := range []struct {
		word  string
		known []string
		want  string
	}{
		{"quantiy", fields, `did you mean "quantity"?`},      // a letter lost
		{"quanttity", fields, `did you mean "quantity"?`},    // a letter too many
		{"quanitty", fields, `did you mean "quantity"?`},     // two letters swapped
		{"Quantity", fields, `did you mean "quantity"?`},     // case only
		{"unit_prize", fields, `did you mean "unit_price"?`}, // a letter replaced
		{"price", fields, "known: quantity, unit_cost, unit_price"},
		{"pas", []string{"psa", "vendor"}, `did you mean "psa"?`},
		{"xyz", []string{"psa"}, "known: psa"}, // short words must be close
		{"anything", crowd, ""},                // too many to list
		{"anything", nil, ""},
		{"", []string{"vendor", "psa"}, "known: psa, vendor"},
	} {
		if got := diag.DidYouMean(c.word, c.known); got != c.want {
			t.Errorf("DidYouMean(%q): got %q, want %q", c.word, got, c.want)
		}
	}
}
