package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
)

// JournalState says where an intent stands. docs/journal.md draws how one state may follow another.
type JournalState string

const (
	JournalPlanned   JournalState = "planned"   // proposed; nothing may be sent yet
	JournalHeld      JournalState = "held"      // waits for a person
	JournalIntended  JournalState = "intended"  // may be sent from now on; committed before the call
	JournalSent      JournalState = "sent"      // the system accepted it; not yet read back
	JournalUnknown   JournalState = "unknown"   // the reply was lost; look before anything else
	JournalDone      JournalState = "done"      // read back and settled
	JournalFailed    JournalState = "failed"    // refused; nothing was changed
	JournalAbandoned JournalState = "abandoned" // given up; nothing was changed
)

// transitions is the state machine: which states may follow a state. "" is before the first entry.
//
// An intended change may have left already when the process died, so it is looked for like an unknown one. After looking, an
// unknown change that is not there may be intended again: the same intent, the same idempotency key.
var transitions = map[JournalState][]JournalState{
	"":               {JournalPlanned, JournalHeld, JournalIntended},
	JournalPlanned:   {JournalHeld, JournalIntended, JournalAbandoned},
	JournalHeld:      {JournalIntended, JournalAbandoned},
	JournalIntended:  {JournalSent, JournalUnknown, JournalDone, JournalFailed, JournalAbandoned},
	JournalSent:      {JournalUnknown, JournalDone, JournalFailed},
	JournalUnknown:   {JournalUnknown, JournalIntended, JournalDone, JournalFailed, JournalAbandoned},
	JournalDone:      {},
	JournalFailed:    {},
	JournalAbandoned: {},
}

// openStates are those in which a change may have reached a system without our knowing the outcome.
var openStates = []JournalState{JournalIntended, JournalSent, JournalUnknown}

// JournalStates lists every state, sorted.
func JournalStates() []JournalState {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(transitions)), func(s JournalState) bool { return s == "" })
}

// CanFollow reports whether an intent that stands at from may go to next; from is "" for a new intent.
func CanFollow(from, next JournalState) bool { return slices.Contains(transitions[from], next) }

// Entry is one line of the journal.
type Entry struct {
	Seq     int64     // given by the store: 1, 2, 3, ...
	At      time.Time // the store's clock when left zero
	Intent  string    // the id of the intended change; the same in all its entries
	State   JournalState
	Flow    string
	Run     string
	Plan    string // digest of the plan it comes from
	Link    string
	Account string // where the change goes
	Op      string // create, change, end
	Ref     connectors.Ref
	Body    json.RawMessage // the change: fields with from and to, and the reason
	Reply   string          // what the system answered, JSON or text; never a secret
	Class   connectors.Class
	Note    string // for people
	Hash    string // given by the store
}

const entryColumns = `seq, written_at, intent, state, flow, run, plan, link, account, op, ref_kind, ref_parent, ref_id, body, reply, class, note, hash`

func (e *Entry) row() []any {
	return []any{&e.Seq, moment{&e.At}, &e.Intent, &e.State, &e.Flow, &e.Run, &e.Plan, &e.Link, &e.Account, &e.Op,
		&e.Ref.Kind, &e.Ref.Parent, &e.Ref.ID, verbatim{&e.Body}, &e.Reply, &e.Class, &e.Note, &e.Hash}
}

// chain is the entry's hash: SHA-256 over the previous hash and every column before the hash, each as its length in bytes, a colon and its text,
// so that no text can pass for another division into columns.
func (e *Entry) chain(previous string) string {
	h := sha256.New()
	for _, text := range []string{previous, strconv.FormatInt(e.Seq, 10), stamp(e.At), e.Intent, string(e.State), e.Flow, e.Run, e.Plan,
		e.Link, e.Account, e.Op, e.Ref.Kind, e.Ref.Parent, e.Ref.ID, string(e.Body), e.Reply, string(e.Class), e.Note} {
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Append writes entries, all or none, in their order. ErrTransition refuses one that may not follow the last entry of its intent. What lets
// something be sent is refused with ErrOver when its run is over, and with ErrLockLost when this process was taken for dead (Join).
func (s *Store) Append(ctx context.Context, entries ...Entry) error {
	return s.update(ctx, "write the journal", func(t tx) error {
		now := t.now
		for _, e := range entries {
			if e.State == JournalIntended {
				if err := s.permit(ctx, t, e.Run, now); err != nil {
					return err
				}
			}
		}
		return appendEntries(ctx, t, entries, now)
	})
}

// Settle writes an outcome together with what it makes true: snapshots taken from the read-back, and links. All or none, in one
// transaction, so that no crash leaves an outcome without its memory.
func (s *Store) Settle(ctx context.Context, outcome Entry, snapshots []Snapshot, links []Link) error {
	return s.update(ctx, "settle intent "+outcome.Intent, func(t tx) error {
		now := t.now
		if err := appendEntries(ctx, t, []Entry{outcome}, now); err != nil {
			return err
		}
		if err := putLinks(ctx, t, links, now); err != nil {
			return err
		}
		return putSnapshots(ctx, t, snapshots, now)
	})
}

func appendEntries(ctx context.Context, t tx, entries []Entry, now time.Time) error {
	if len(entries) == 0 {
		return nil
	}
	var last Entry
	_, err := t.one(ctx, []any{&last.Seq, &last.Hash}, `SELECT seq, hash FROM journal WHERE tenant = @tenant ORDER BY seq DESC LIMIT 1`)
	if err != nil {
		return err
	}
	written := make([]Entry, len(entries))
	stands := make(map[string]Entry, len(entries))
	for i, e := range entries {
		if e.Intent == "" || len(e.Body) > 0 && !json.Valid(e.Body) {
			return fmt.Errorf("entry %d (intent %q): it needs an intent, and a body that is JSON or empty", i+1, e.Intent)
		}
		from, known := stands[e.Intent]
		if !known {
			if known, err = t.one(ctx, []any{&from.State, &from.Flow}, `SELECT state, flow FROM intents WHERE tenant = @tenant AND intent = ?`, e.Intent); err != nil {
				return err
			}
		}
		if known && e.Flow != from.Flow {
			return fmt.Errorf("intent %s belongs to flow %q and cannot go on in flow %q", e.Intent, from.Flow, e.Flow)
		}
		if !CanFollow(from.State, e.State) {
			return fmt.Errorf("intent %s: %w: from %q to %q; from there it may go to %v", e.Intent, ErrTransition, from.State, e.State, transitions[from.State])
		}
		e.Seq = last.Seq + 1
		if e.At.IsZero() {
			e.At = now
		}
		e.Reply, e.Note = storable(e.Reply), storable(e.Note)
		e.Hash = e.chain(last.Hash)
		written[i], stands[e.Intent], last = e, e, e
	}
	err = t.insert(ctx, `journal`, entryColumns, ``, len(written), func(i int) []any { return written[i].row() })
	if err != nil {
		return err
	}
	intents := slices.Sorted(maps.Keys(stands))
	return t.insert(ctx, `intents`, `intent, flow, state, seq`,
		`ON CONFLICT (tenant, intent) DO UPDATE SET state = excluded.state, seq = excluded.seq`, len(intents), func(i int) []any {
			e := stands[intents[i]]
			return []any{e.Intent, e.Flow, e.State, e.Seq}
		})
}

// storable drops what not every database keeps in a text: zero bytes and broken UTF-8, as a vendor's reply may hold.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// OpenIntents are the changes of a flow ("" for all) whose outcome is not known: the last entry of each intent that is intended, sent or unknown, oldest first.
func (s *Store) OpenIntents(ctx context.Context, flow string) ([]Entry, error) {
	query, args := `SELECT `+entryColumns+` FROM journal WHERE tenant = @tenant AND seq IN (SELECT seq FROM intents WHERE tenant = @tenant AND state IN `+marks(1, len(openStates)), []any{}
	for _, state := range openStates {
		args = append(args, state)
	}
	if flow != "" {
		query, args = query+` AND flow = ?`, append(args, flow)
	}
	return s.entries(ctx, "find open intents", query+`) ORDER BY seq`, args...)
}

// JournalFilter picks entries; empty fields do not filter.
type JournalFilter struct {
	Intent  string
	Link    string
	Run     string
	Account string
	Ref     connectors.Ref // of Account; its parent is compared only when filled
	Limit   int            // 0 for all
}

// Journal is the history of something, newest first.
func (s *Store) Journal(ctx context.Context, filter JournalFilter) ([]Entry, error) {
	query, args := `SELECT `+entryColumns+` FROM journal WHERE tenant = @tenant`, []any{}
	for _, f := range []struct{ column, value string }{
		{"intent", filter.Intent}, {"link", filter.Link}, {"run", filter.Run}, {"account", filter.Account},
		{"ref_kind", filter.Ref.Kind}, {"ref_parent", filter.Ref.Parent}, {"ref_id", filter.Ref.ID},
	} {
		if f.value != "" {
			query, args = query+` AND `+f.column+` = ?`, append(args, f.value)
		}
	}
	query += ` ORDER BY seq DESC`
	if filter.Limit > 0 {
		query, args = query+` LIMIT ?`, append(args, filter.Limit)
	}
	return s.entries(ctx, "read the journal", query, args...)
}

func (s *Store) entries(ctx context.Context, doing, query string, args ...any) ([]Entry, error) {
	var found []Entry
	err := s.view(ctx, doing, func(t tx) error {
		return t.each(ctx, func(rows *sql.Rows) error {
			var e Entry
			err := rows.Scan(e.row()...)
			found = append(found, e)
			return err
		}, query, args...)
	})
	return found, err
}

// Head is the end of the journal. Noted elsewhere, it proves later that nothing before it was changed or cut off.
type Head struct {
	Seq  int64
	Hash string
}

// VerifyJournal recomputes the chain from the first entry. ErrBroken names the first entry that is missing or is not as it was
// written. The head lets a caller notice what the chain cannot: entries cut off at the end.
func (s *Store) VerifyJournal(ctx context.Context) (Head, error) {
	var head Head
	err := s.view(ctx, "verify the journal", func(t tx) (err error) {
		head, err = verifyJournal(ctx, t)
		return err
	})
	return head, err
}

func verifyJournal(ctx context.Context, t tx) (Head, error) {
	var head Head
	err := t.each(ctx, func(rows *sql.Rows) error {
		var e Entry
		if err := rows.Scan(e.row()...); err != nil {
			return fmt.Errorf("%w at entry %d: it cannot be read: %w", ErrBroken, head.Seq+1, err)
		}
		switch {
		case e.Seq != head.Seq+1:
			return fmt.Errorf("%w at entry %d: it is missing, the next one is %d", ErrBroken, head.Seq+1, e.Seq)
		case e.Hash != e.chain(head.Hash):
			return fmt.Errorf("%w at entry %d (intent %s): it is not as it was written", ErrBroken, e.Seq, e.Intent)
		}
		head = Head{e.Seq, e.Hash}
		return nil
	}, `SELECT `+entryColumns+` FROM journal WHERE tenant = @tenant ORDER BY seq`)
	if err != nil {
		return head, err
	}
	return head, verifyIntents(ctx, t)
}

// verifyIntents compares the table of intents, which decides what may follow, with the journal it was made from.
func verifyIntents(ctx context.Context, t tx) error {
	for _, query := range []string{
		`SELECT intent, seq FROM intents i WHERE i.tenant = @tenant AND NOT EXISTS
			(SELECT 1 FROM journal j WHERE j.tenant = i.tenant AND j.seq = i.seq AND j.intent = i.intent AND j.state = i.state AND j.flow = i.flow) ORDER BY seq LIMIT 1`,
		`SELECT intent, seq FROM journal j WHERE j.tenant = @tenant AND NOT EXISTS
			(SELECT 1 FROM intents i WHERE i.tenant = j.tenant AND i.intent = j.intent AND i.seq >= j.seq) ORDER BY seq LIMIT 1`,
	} {
		var intent string
		var seq int64
		differs, err := t.one(ctx, []any{&intent, &seq}, query)
		if err != nil {
			return err
		}
		if differs {
			return fmt.Errorf("%w at entry %d: intent %s does not stand where the journal left it", ErrBroken, seq, intent)
		}
	}
	return nil
}

// verbatim keeps JSON byte for byte, as text.
type verbatim struct{ v *json.RawMessage }

func (r verbatim) Value() (driver.Value, error) { return string(*r.v), nil }

func (r verbatim) Scan(src any) error {
	text, err := scanned(src)
	*r.v = nil
	if text != "" {
		*r.v = json.RawMessage(text)
	}
	return err
}
