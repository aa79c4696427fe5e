package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Verdict is what a person said about a plan.
type Verdict string

const (
	Approved Verdict = "approved"
	Rejected Verdict = "rejected"
)

// Decision is what one person said about one plan that goes over a flow's limits.
type Decision struct {
	ID      string // given by the store
	Digest  string
	Flow    string
	Person  string // who, as the machine knows them: user@host
	Verdict Verdict
	Reason  string    // in the person's words; may be empty
	At      time.Time // given by the store
	Expires time.Time // an approval counts until then; zero for a rejection, which stands until the same person approves
	Run     string    // the run that used an approval; "" while it was not used
	Used    time.Time
}

const decisionColumns = `id, digest, flow, person, verdict, reason, decided_at, expires_at, used_run, used_at`

func (d *Decision) row() []any {
	return []any{&d.ID, &d.Digest, &d.Flow, &d.Person, &d.Verdict, &d.Reason, moment{&d.At}, moment{&d.Expires}, &d.Run, moment{&d.Used}}
}

// ErrNotApproved refuses a plan that goes over the flow's limits and was not released by enough people.
var ErrNotApproved = errors.New("not approved")

// Decide keeps what a person said and returns it with its id and time. A later decision of the same person about the same plan
// replaces the earlier one; nothing is deleted.
func (s *Store) Decide(ctx context.Context, d Decision) (Decision, error) {
	if d.Digest == "" || d.Person == "" || d.Verdict != Approved && d.Verdict != Rejected {
		return d, fmt.Errorf("keep a decision about plan %q: it needs a digest, a person and a verdict", d.Digest)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return d, fmt.Errorf("make an id: %w", err)
	}
	d.ID, d.Reason, d.Run, d.Used = id.String(), storable(d.Reason), "", time.Time{}
	err = s.update(ctx, "keep a decision about plan "+d.Digest, func(t tx) error {
		switch d.At = t.now; {
		case d.Verdict == Rejected:
			d.Expires = time.Time{}
		case !d.Expires.After(d.At):
			return errors.New("the approval would end before it begins; give it a time in the future")
		}
		return t.insert(ctx, `decisions`, decisionColumns, ``, 1, func(int) []any { return d.row() })
	})
	return d, err
}

// Decisions are all decisions about a plan, oldest first.
func (s *Store) Decisions(ctx context.Context, digest string) (found []Decision, err error) {
	err = s.view(ctx, "read the decisions about plan "+digest, func(t tx) error {
		found, err = decisions(ctx, t, digest)
		return err
	})
	return found, err
}

// UseApproval lets one run apply one plan: it takes the approvals of at least so many different people (at least one) and marks
// them used, so that they count once. ErrNotApproved says how many are missing, or who rejected the plan; then nothing is used.
func (s *Store) UseApproval(ctx context.Context, digest string, people int, run string) ([]Decision, error) {
	var used []Decision
	err := s.update(ctx, "release plan "+digest, func(t tx) error {
		used = nil
		all, err := decisions(ctx, t, digest)
		if err != nil {
			return err
		}
		now := t.now
		approved, rejected := Standing(all, now)
		switch {
		case len(rejected) > 0:
			return fmt.Errorf("%w: %s rejected it (%s); it stands until the same person approves it", ErrNotApproved, rejected[0].Person, orNoReason(rejected[0].Reason))
		case len(approved) < max(people, 1):
			return fmt.Errorf("%w: %d of %d people approved it%s; approve it with trueup approve %s", ErrNotApproved, len(approved), max(people, 1), whyNot(all, now), digest)
		}
		for _, d := range approved {
			if _, err := t.exec(ctx, `UPDATE decisions SET used_run = ?, used_at = ? WHERE tenant = @tenant AND id = ?`, run, stamp(now), d.ID); err != nil {
				return err
			}
			d.Run, d.Used = run, now
			used = append(used, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return used, nil
}

// samePerson is what two names of one person have in common: who types at two machines, or at one and on a ticket, is one person.
func samePerson(name string) string {
	who, _, _ := strings.Cut(name, "@")
	return strings.ToLower(strings.TrimSpace(who))
}

// Standing are the decisions that count at a time, one of each person: the last one, unless it was used or has expired. A person is known by
// the name before the @: ann@desk at the command line and ann@psa on a ticket are not two people.
func Standing(all []Decision, now time.Time) (approved, rejected []Decision) {
	last := map[string]Decision{}
	var people []string
	for _, d := range all {
		who := samePerson(d.Person)
		if _, known := last[who]; !known {
			people = append(people, who)
		}
		last[who] = d
	}
	for _, person := range people {
		switch d := last[person]; {
		case d.Verdict == Rejected:
			rejected = append(rejected, d)
		case d.Used.IsZero() && d.Expires.After(now):
			approved = append(approved, d)
		}
	}
	return approved, rejected
}

// whyNot says why the newest approval does not count, when there is one.
func whyNot(all []Decision, now time.Time) string {
	if len(all) == 0 {
		return ""
	}
	switch d := all[len(all)-1]; {
	case !d.Used.IsZero():
		return fmt.Sprintf(" (the approval of %s was used by run %s, and counts once)", d.Person, d.Run)
	case !d.Expires.After(now):
		return fmt.Sprintf(" (the approval of %s expired at %s)", d.Person, d.Expires.Format(time.RFC3339))
	}
	return ""
}

func orNoReason(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return reason
}

func decisions(ctx context.Context, t tx, digest string) ([]Decision, error) {
	var found []Decision
	err := t.each(ctx, func(rows *sql.Rows) error {
		var d Decision
		err := rows.Scan(d.row()...)
		found = append(found, d)
		return err
	}, `SELECT `+decisionColumns+` FROM decisions WHERE tenant = @tenant AND digest = ? ORDER BY decided_at, id`, digest)
	return found, err
}
