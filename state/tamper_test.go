package state_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/state"
)

// exported is an export of six entries, and the head after the fourth.
func exported(t testing.TB) (file string, fourth state.Head) {
	t.Helper()
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	for i := range 6 {
		if err := s.Append(ctx, intended(fmt.Sprintf("i%d", i+1))); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			var err error
			if fourth, err = s.VerifyJournal(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	if _, err := s.ExportJournal(ctx, &out); err != nil {
		t.Fatal(err)
	}
	return out.String(), fourth
}

func TestTamperedExportsAreNamed(t *testing.T) {
	t.Parallel()
	file, fourth := exported(t)
	if _, err := state.VerifyExport(strings.NewReader(file), fourth); err != nil {
		t.Fatalf("as it was written: %v", err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n") // the first line, six entries, the last line
	join := func(parts ...[]string) string {
		var all string
		for _, p := range parts {
			all += strings.Join(p, "")
		}
		return all + "\n"
	}
	shorter, _ := exportedShort(t, 3) // as if computed anew
	for _, c := range []struct {
		name string
		file string
		says []string
	}{
		{"a byte of a row changed", strings.Replace(file, `"intent":"i3"`, `"intent":"i9"`, 1), []string{"line 4", "entry 3", "not as it was written"}},
		{"a row removed", join(lines[:3], lines[4:]), []string{"line 4", "entry 3 is missing", "entry 4"}},
		{"the last row removed", join(lines[:6], lines[7:]), []string{"line 7", "entries 6 to 6 are missing at the end"}},
		{"a row removed and the next renumbered", strings.Replace(join(lines[:3], lines[4:]), `"seq":4`, `"seq":3`, 1), []string{"line 4", "entry 3", "not as it was written"}},
		{"rows swapped", join(lines[:2], lines[3:4], lines[2:3], lines[4:]), []string{"line 3", "entry 2 is missing or was moved", "entry 3"}},
		{"a row twice", join(lines[:3], lines[2:3], lines[3:]), []string{"line 4", "entry 2 is here again"}},
		{"a row appended at the end", join(lines[:7], []string{strings.Replace(lines[6], `"seq":6`, `"seq":7`, 1)}, lines[7:]), []string{"line 8", "entry 7", "not as it was written"}},
		{"a row appended after the end", file + lines[6], []string{"line 9", "follows the last line"}},
		{"cut off before the last line", strings.Join(lines[:5], ""), []string{"line 6", "after entry 4", "cut off"}},
		{"cut off in the middle of a row", file[:len(file)/2], []string{"should be here"}},
		{"cut off and ended anew", shorter, []string{"the journal ends at entry 3", "entry 4", "cut off"}},
		{"written with other spaces", strings.Replace(file, `"seq":2,`, `"seq": 2,`, 1), []string{"line 3", "entry 2 should be here"}},
		{"a member twice", strings.Replace(file, `"seq":2,`, `"note":"x","seq":2,`, 1), []string{"line 3"}},
		{"no first line", join(lines[1:]), []string{"line 1", "first line"}},
		{"the first line changed", strings.Replace(file, `"flows":["flow"]`, `"flows":["folw"]`, 1), []string{"line 8", "sum"}},
		{"empty", "", []string{"line 1", "first line"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.file == file {
				t.Fatal("nothing was changed")
			}
			_, err := state.VerifyExport(strings.NewReader(c.file), fourth)
			wantError(t, err, state.ErrBroken, c.says...)
		})
	}
	newer := strings.Replace(file, `"trueup_journal":1`, `"trueup_journal":2`, 1)
	if _, err := state.VerifyExport(strings.NewReader(newer), state.Head{}); err == nil || !strings.Contains(err.Error(), "newer trueup") {
		t.Errorf("a later version: %v", err)
	}
	other := state.Head{Seq: fourth.Seq, Hash: strings.Repeat("0", len(fourth.Hash))}
	_, err := state.VerifyExport(strings.NewReader(file), other)
	wantError(t, err, state.ErrBroken, "line 5", "entry 4", "noted")
}

// No single byte of an export can be another one.
func TestEveryByteOfAnExportCounts(t *testing.T) {
	t.Parallel()
	file, _ := exportedShort(t, 2)
	for i := range len(file) {
		changed := []byte(file)
		changed[i] ^= 1
		if _, err := state.VerifyExport(bytes.NewReader(changed), state.Head{}); err == nil {
			t.Fatalf("byte %d changed from %q to %q and nothing was said", i, file[i], changed[i])
		}
	}
}

// exportedShort is an export of n entries.
func exportedShort(t testing.TB, n int) (string, state.Head) {
	t.Helper()
	s := open(t, filepath.Join(t.TempDir(), "trueup.db"))
	for i := range n {
		if err := s.Append(t.Context(), intended(fmt.Sprintf("i%d", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	head, err := s.ExportJournal(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), head
}

// An export of a broken journal is evidence: it is written as it is, and the row is named.
func TestExportOfABrokenJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trueup.db")
	s := open(t, path)
	for _, intent := range []string{"i1", "i2", "i3"} {
		if err := s.Append(t.Context(), intended(intent)); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, raw(t, path), "DROP TRIGGER journal_never_changes", "UPDATE journal SET note = 'another' WHERE seq = 2")
	var out bytes.Buffer
	if _, err := s.ExportJournal(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	_, err := state.VerifyExport(&out, state.Head{})
	wantError(t, err, state.ErrBroken, "line 3", "entry 2", "i2")
}
