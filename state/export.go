package state

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// An export is the journal as JSON lines: a first line that says what it is, a line for every entry with its hash, and a last line
// with the head. Bodies and replies are texts, byte for byte as they are hashed. A reader needs neither database nor configuration.

// exportVersion is the version of the export's format.
const exportVersion = 1

// ExportHeader is the first line.
type ExportHeader struct {
	Version  int       `json:"trueup_journal"`
	Tenant   string    `json:"tenant"` // "" where there is only one
	Flows    []string  `json:"flows"`  // every flow with an entry, sorted; the whole journal is always exported
	Exported time.Time `json:"exported_at"`
}

// exportEntry is a line for an entry: the columns that are hashed, in the order in which they are hashed.
type exportEntry struct {
	Seq       int64  `json:"seq"`
	At        string `json:"at"`
	Intent    string `json:"intent"`
	State     string `json:"state"`
	Flow      string `json:"flow"`
	Run       string `json:"run"`
	Plan      string `json:"plan"`
	Link      string `json:"link"`
	Account   string `json:"account"`
	Op        string `json:"op"`
	RefKind   string `json:"ref_kind"`
	RefParent string `json:"ref_parent"`
	RefID     string `json:"ref_id"`
	Body      string `json:"body"`
	Reply     string `json:"reply"`
	Class     string `json:"class"`
	Note      string `json:"note"`
	Hash      string `json:"hash"`
}

// exportFooter is the last line. Sum is SHA-256 over all lines before it, so that also the first line is covered.
type exportFooter struct {
	Head struct {
		Seq  int64  `json:"seq"`
		Hash string `json:"hash"`
	} `json:"head"`
	Count int64  `json:"count"`
	Sum   string `json:"sum"`
}

func (e *Entry) exported() exportEntry {
	return exportEntry{e.Seq, stamp(e.At), e.Intent, string(e.State), e.Flow, e.Run, e.Plan, e.Link, e.Account, e.Op,
		e.Ref.Kind, e.Ref.Parent, e.Ref.ID, string(e.Body), e.Reply, string(e.Class), e.Note, e.Hash}
}

// entry is the way back; ok is false when the time is not one that the store writes.
func (x exportEntry) entry() (Entry, bool) {
	at, err := time.Parse(stored, x.At)
	e := Entry{Seq: x.Seq, At: at, Intent: x.Intent, State: JournalState(x.State), Flow: x.Flow, Run: x.Run, Plan: x.Plan, Link: x.Link,
		Account: x.Account, Op: x.Op, Reply: x.Reply, Note: x.Note, Hash: x.Hash}
	e.Ref.Kind, e.Ref.Parent, e.Ref.ID, e.Class = x.RefKind, x.RefParent, x.RefID, connectors.Class(x.Class)
	if x.Body != "" {
		e.Body = json.RawMessage(x.Body)
	}
	return e, err == nil
}

// ExportJournal writes the whole journal as it is stored, entry by entry, and returns its head. It does not judge: a broken chain
// is exported as it is, and VerifyExport names the row.
func (s *Store) ExportJournal(ctx context.Context, w io.Writer) (Head, error) {
	var head Head
	err := s.view(ctx, "export the journal", func(t tx) error {
		now, err := t.dialect.time(ctx, t)
		if err != nil {
			return err
		}
		header := ExportHeader{Version: exportVersion, Tenant: t.tenant, Flows: []string{}, Exported: now}
		err = t.each(ctx, func(rows *sql.Rows) error {
			var flow string
			err := rows.Scan(&flow)
			header.Flows = append(header.Flows, flow)
			return err
		}, `SELECT DISTINCT flow FROM journal WHERE tenant = @tenant ORDER BY flow`)
		if err != nil {
			return err
		}
		sum := sha256.New()
		out := bufio.NewWriter(w)
		line := func(to io.Writer, v any) error {
			text, err := exportLine(v)
			if err == nil {
				_, err = to.Write(text)
			}
			if err != nil {
				return stopped{fmt.Errorf("write the export: %w", err)}
			}
			return nil
		}
		both := io.MultiWriter(out, sum)
		if err := line(both, header); err != nil {
			return err
		}
		var footer exportFooter
		err = t.each(ctx, func(rows *sql.Rows) error {
			var e Entry
			if err := rows.Scan(e.row()...); err != nil {
				return err
			}
			head = Head{e.Seq, e.Hash}
			footer.Count++
			return line(both, e.exported())
		}, `SELECT `+entryColumns+` FROM journal WHERE tenant = @tenant ORDER BY seq`)
		if err != nil {
			return err
		}
		footer.Head.Seq, footer.Head.Hash, footer.Sum = head.Seq, head.Hash, hex.EncodeToString(sum.Sum(nil))
		if err := line(out, footer); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return stopped{fmt.Errorf("write the export: %w", err)}
		}
		return nil
	})
	return head, err
}

// exportLine is the one form of a line; VerifyExport accepts no other.
func exportLine(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

// Export is what VerifyExport read.
type Export struct {
	ExportHeader
	Head  Head
	Count int64
}

// VerifyExport recomputes the chain of an export and returns what it holds. ErrBroken names the first line that is missing, moved,
// cut off or not as it was written, and what stands there. With a known head, the entry of that number must be there with that hash:
// this also notices what no chain can show by itself, a journal cut off or computed anew.
func VerifyExport(r io.Reader, known Head) (Export, error) {
	v := verifier{in: bufio.NewReader(r), known: known}
	err := v.all()
	return v.export, err
}

type verifier struct {
	in     *bufio.Reader
	line   int
	known  Head
	export Export
	seen   bool // the known head was found
}

func (v *verifier) broken(format string, args ...any) error {
	return fmt.Errorf("%w at line %d: %s", ErrBroken, v.line, fmt.Sprintf(format, args...))
}

// next is the next line with its end; it is empty at the end of the file.
func (v *verifier) next() ([]byte, error) {
	v.line++
	text, err := v.in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read line %d: %w", v.line, err)
	}
	return text, nil
}

// decodeLine decodes a line, which must be written exactly as an export writes it.
func decodeLine[T any](text []byte) (v T, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&v) != nil {
		return v, false
	}
	same, err := exportLine(v)
	return v, err == nil && bytes.Equal(same, text)
}

func (v *verifier) all() error {
	sum := sha256.New()
	text, err := v.next()
	if err != nil {
		return err
	}
	header, ok := decodeLine[ExportHeader](text)
	switch {
	case header.Version > exportVersion:
		return fmt.Errorf("the export is of version %d and this trueup reads version %d; use a newer trueup", header.Version, exportVersion)
	case !ok || header.Version != exportVersion:
		return v.broken("it is not the first line of an export, or not as it was written")
	}
	v.export.ExportHeader = header
	_, _ = sum.Write(text) // a hash takes everything
	for {
		if text, err = v.next(); err != nil {
			return err
		}
		if len(text) == 0 {
			return v.broken("the file ends after entry %d without its last line; it was cut off", v.export.Head.Seq)
		}
		if footer, ok := decodeLine[exportFooter](text); ok {
			return v.end(footer, hex.EncodeToString(sum.Sum(nil)))
		}
		row, ok := decodeLine[exportEntry](text)
		if !ok {
			return v.broken("entry %d should be here, and the line is not as an export writes it", v.export.Head.Seq+1)
		}
		if err := v.entry(row); err != nil {
			return err
		}
		_, _ = sum.Write(text)
	}
}

func (v *verifier) entry(row exportEntry) error {
	want := v.export.Head.Seq + 1
	e, ok := row.entry()
	switch {
	case row.Seq > want:
		return v.broken("entry %d is missing or was moved; entry %d is here", want, row.Seq)
	case row.Seq < want:
		return v.broken("entry %d is expected and entry %d is here again or was moved", want, row.Seq)
	case !ok || e.chain(v.export.Head.Hash) != row.Hash:
		return v.broken("entry %d (intent %s) is not as it was written", row.Seq, row.Intent)
	case row.Seq == v.known.Seq && row.Hash != v.known.Hash:
		return v.broken("entry %d does not have the hash that was noted; the journal was written anew up to there", row.Seq)
	}
	v.seen = v.seen || row.Seq == v.known.Seq
	v.export.Head = Head{row.Seq, row.Hash}
	v.export.Count++
	return nil
}

// end judges the last line and what follows it.
func (v *verifier) end(footer exportFooter, sum string) error {
	head := v.export.Head
	switch {
	case footer.Head.Seq > head.Seq:
		return v.broken("entries %d to %d are missing at the end", head.Seq+1, footer.Head.Seq)
	case footer.Head.Seq != head.Seq || footer.Head.Hash != head.Hash || footer.Count != v.export.Count:
		return v.broken("the last line names entry %d as the end and the file goes to entry %d; rows were added, or the line was changed", footer.Head.Seq, head.Seq)
	case footer.Sum != sum:
		return v.broken("the sum over the lines before it is another one; the first line or this one was changed")
	case v.known.Seq > 0 && !v.seen:
		return v.broken("the journal ends at entry %d, and entry %d was there when its head was noted; the end was cut off", head.Seq, v.known.Seq)
	}
	more, err := v.next()
	if err == nil && len(more) > 0 {
		return v.broken("something follows the last line")
	}
	return err
}

// VerifyHead checks that a head that was noted earlier is still in the stored journal.
func (s *Store) VerifyHead(ctx context.Context, known Head) error {
	return s.view(ctx, "look for the noted head", func(t tx) error {
		var hash string
		found, err := t.one(ctx, []any{&hash}, `SELECT hash FROM journal WHERE tenant = @tenant AND seq = ?`, known.Seq)
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("%w at entry %d: it was there when its head was noted and is not any more; the end was cut off", ErrBroken, known.Seq)
		case hash != known.Hash:
			return fmt.Errorf("%w at entry %d: it does not have the hash that was noted; the journal was written anew up to there", ErrBroken, known.Seq)
		}
		return nil
	})
}
