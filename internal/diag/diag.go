// Package diag holds complaints about files that people write. Each complaint names its place as file:line:column, says
// what is wrong, and offers the next step; a List keeps all of them so that one look mends everything.
package diag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file; Line and Column start at 1, 0 means unknown.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Problem is one complaint. Hint is the next step, without a full stop; it may be empty.
type Problem struct {
	Pos     Pos
	Message string
	Hint    string
}

func (p Problem) String() string {
	s := p.Message
	if p.Pos.File != "" {
		s = p.Pos.String() + ": " + s
	}
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// List collects complaints.
type List struct{ problems []Problem }

// Add records a complaint.
func (l *List) Add(pos Pos, hint, format string, args ...any) {
	l.problems = append(l.problems, Problem{pos, fmt.Sprintf(format, args...), hint})
}

// Problems returns the complaints sorted by place, each once.
func (l *List) Problems() []Problem {
	sorted := slices.Clone(l.problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.Compact(sorted)
}

// Empty reports whether nothing was complained about.
func (l *List) Empty() bool { return len(l.problems) == 0 }

// Err is nil without complaints; otherwise an *Error with all of them.
func (l *List) Err() error {
	if l.Empty() {
		return nil
	}
	return &Error{l.Problems()}
}

// Error is what a file that cannot be used returns: every complaint, one a line.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// IsBadFile reports whether err comes from a file that a person must mend.
func IsBadFile(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// DidYouMean is a hint naming the nearest known word, or the known words when none is near and they are few.
func DidYouMean(word string, known []string) string {
	best, bestDistance := "", 3
	if len(word) < 4 {
		bestDistance = 2
	}
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(known) == 0 || len(known) > 30 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known: " + strings.Join(sorted, ", ")
}

// distance counts the edits (insert, delete, replace, swap of neighbours) between two words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
