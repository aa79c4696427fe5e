package connectwise

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

const (
	// One installation found nothing of today when asked since today, so every search looks a day further back; what was
	// told before is recognised.
	overlap = 24 * time.Hour
	// Stamps have whole seconds, and a line and its agreement are stamped one after the other.
	together = 2 * time.Second
)

// evidence says whether the stamp of an agreement shows that one of its additions was edited. It is learnt from full
// listings: an addition newer than its agreement proves that it does not, for good. An agreement that is as new as its
// newest addition speaks for it as long as there is no counter-example, if that addition was edited after it was made:
// records made together have the same stamps anyway. Evidence travels in the cursor, so it outlives a restart.
//
// Nothing is known about the stamp when an addition is deleted; only a full listing shows that.
type evidence struct {
	Stamps string `json:"stamps,omitempty"` // "", moves or stays
	Proof  string `json:"proof,omitempty"`
}

const (
	stampMoves = "moves"
	stampStays = "stays"
)

// merge keeps the stronger of two: a counter-example is final.
func (e evidence) merge(o evidence) evidence {
	if e.Stamps == stampStays || o.Stamps == "" {
		return e
	}
	return o
}

// scan is why additions must be listed whole; "" when the stamps can be trusted.
func (e evidence) scan() string {
	switch e.Stamps {
	case stampMoves:
		return ""
	case stampStays:
		return "the PSA does not show edited additions on their agreement: " + e.Proof
	}
	return "the PSA cannot list edited additions, and whether an agreement shows them is not known yet; a full listing may tell"
}

// lesson is what one full listing of additions showed.
type lesson struct {
	moves   string // an example
	suspect connectors.Record
	than    connectors.Record // the addition that is newer than suspect
}

func (l *lesson) add(agreement connectors.Record, additions []connectors.Record) {
	var newest connectors.Record
	for _, a := range additions {
		if a.Changed.After(newest.Changed) {
			newest = a
		}
	}
	if newest.Changed.IsZero() || agreement.Changed.IsZero() {
		return
	}
	age := newest.Changed.Sub(agreement.Changed)
	switch {
	case age > together && l.suspect.ID == "":
		l.suspect, l.than = agreement, newest
	case age.Abs() <= together && l.moves == "" && edited(newest) && edited(agreement):
		l.moves = fmt.Sprintf("agreement %s moved with its addition %s at %s", agreement.ID, newest.ID, newest.Changed.Format(stampLayout))
	}
}

// edited reports whether a record was changed after it was made.
func edited(rec connectors.Record) bool {
	made, ok := rec.Fields["dateEntered"].Time()
	return ok && rec.Changed.Sub(made) > together
}

// stamped remembers an agreement's stamp, so that a listing of its additions can teach something, whoever names the
// agreements. It may be old by then; conclude looks again before it believes a counter-example.
func (c *Connector) stamped(agreement connectors.Record) {
	kept := connectors.Record{Kind: agreement.Kind, ID: agreement.ID, Changed: agreement.Changed,
		Fields: model.Fields{"dateEntered": agreement.Fields["dateEntered"]}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamps[agreement.ID] = kept
}

func (c *Connector) stampOf(agreement string) (connectors.Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec, ok := c.stamps[agreement]
	return rec, ok
}

// conclude turns a lesson into evidence. A suspect agreement is read again first: the addition may have been edited while
// the listing ran.
func (c *Connector) conclude(ctx context.Context, l lesson) error {
	c.mu.Lock()
	settled := c.evidence.Stamps == stampStays
	c.mu.Unlock()
	var learned evidence
	switch {
	case settled:
		return nil
	case l.suspect.ID != "":
		agreement, err := c.Read(ctx, connectors.Ref{Kind: kindAgreement, ID: l.suspect.ID})
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return nil // nothing is learnt; the listing itself is good
		}
		c.stamped(agreement)
		if l.than.Changed.Sub(agreement.Changed) > together {
			learned = evidence{stampStays, fmt.Sprintf("addition %s was edited at %s, its agreement %s still says %s",
				l.than.ID, l.than.Changed.Format(stampLayout), agreement.ID, agreement.Changed.Format(stampLayout))}
		}
	case l.moves != "":
		learned = evidence{stampMoves, l.moves}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.evidence = c.evidence.merge(learned)
	return nil
}

// cursor is where a feed stands. Seen holds what was found in the overlap, by kind and id, with the digest of its content.
type cursor struct {
	Version  int               `json:"v"`
	Since    time.Time         `json:"since"`
	Seen     map[string]string `json:"seen,omitempty"`
	Evidence evidence          `json:"evidence,omitzero"`
	Offers   bool              `json:"offers,omitempty"` // opportunities and their products are followed: somebody listed them
}

// unsettled ends the digest of an agreement that was stamped in the second in which it was read: another edit in that
// second would not show, so its additions are told once more.
const unsettled = "~"

// Changes implements connectors.ChangeFeed: one search a kind, by change stamp.
func (c *Connector) Changes(ctx context.Context, since string) (connectors.Changes, error) {
	const op = "read changes"
	var was cursor
	if since != "" {
		if err := json.Unmarshal([]byte(since), &was); err != nil || was.Version != 1 || was.Since.IsZero() {
			return connectors.Changes{}, c.fail(connectors.ClassInvalid, op, "", "", "the cursor is not one of this connector", "start again without a cursor")
		}
	} else {
		was.Since = c.account.Now().UTC()
	}
	next := cursor{Version: 1, Seen: map[string]string{}, Offers: was.Offers || c.followsOffers()}
	changes := connectors.Changes{Scan: map[string]string{}}
	var moved []string
	var failed error
	answered := 0
	for _, r := range resources {
		switch {
		case r.kind == kindAddition, !next.Offers && (r.kind == kindOffer || r.kind == kindOffered):
			continue
		case r.kind == kindTicket, r.kind == kindNote:
			changes.Scan[r.kind] = "tickets are looked at one by one when they matter, so the feed does not ask for them"
			continue
		}
		conditions := "lastUpdated > " + c.moment(was.Since.Add(-overlap))
		if r.kind == kindAgreement && len(c.types) > 0 {
			conditions += " and " + c.conditions(r.kind)
		}
		if r.kind == kindOffered {
			conditions += " and " + c.conditions(r.kind)
		}
		stamped := map[string]time.Time{}
		f, err := c.all(ctx, search{path: r.path, conditions: conditions, op: op, record: "of " + r.noun}, func(o object, raw []byte) error {
			if r.kind == kindOffer {
				if err := c.knowStatus(ctx, op, o); err != nil {
					return err
				}
			}
			rec, err := c.record(r, "", o)
			if err != nil {
				changes.Scan[r.kind] = err.Error()
				return nil
			}
			key, digest := r.kind+":"+rec.ID, digestOf(raw)
			before := was.Seen[key]
			next.Seen[key], stamped[key] = digest, rec.Changed
			told := strings.TrimSuffix(before, unsettled) == digest
			switch {
			case told:
			case r.kind == kindCompany && o["deletedFlag"] == true:
				changes.Scan[kindCompany] = "company " + rec.ID + " was deleted"
			default:
				changes.Records = append(changes.Records, rec)
			}
			if r.kind == kindAgreement {
				c.stamped(rec)
			}
			if r.kind == kindAgreement && (!told || strings.HasSuffix(before, unsettled)) {
				moved = append(moved, rec.ID)
			}
			return nil
		})
		switch class := connectors.ClassOf(err); {
		case class == connectors.ClassAuth, class == connectors.ClassInvalid:
			// One kind that may not be searched does not hide the others.
			failed = err
			changes.Scan[r.kind] = err.Error()
			continue
		case err != nil:
			return connectors.Changes{}, c.missingCollection(err)
		}
		answered++
		if why := f.short(); why != "" {
			changes.Scan[r.kind] = "the list of changed " + r.noun + " is short: " + why
		}
		if next.Since.IsZero() {
			next.Since = f.at
		}
		for key, at := range stamped {
			if r.kind == kindAgreement && !at.Before(f.at.Truncate(time.Second)) {
				next.Seen[key] += unsettled
			}
		}
	}
	if answered == 0 {
		return connectors.Changes{}, failed
	}
	if since != "" && next.Since.Before(was.Since) {
		next.Since = was.Since // a server's clock that was put back does not move the cursor back
	}

	c.mu.Lock()
	next.Evidence = was.Evidence.merge(c.evidence)
	c.evidence = c.evidence.merge(was.Evidence)
	c.mu.Unlock()
	if why := cmp.Or(next.Evidence.scan(), changes.Scan[kindAgreement]); why != "" {
		changes.Scan[kindAddition] = why
	} else if len(moved) > 0 {
		slices.SortFunc(moved, byNumber)
		changes.Relist = []connectors.Relist{{Kind: kindAddition, Parents: moved}}
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return connectors.Changes{}, c.fail(connectors.ClassInvalid, op, "", "", "the cursor cannot be written: "+err.Error(), "report this")
	}
	if since == "" {
		return connectors.Changes{Cursor: string(raw)}, nil
	}
	changes.Cursor = string(raw)
	return changes, nil
}

// Learnt implements connectors.Learner: additions are listed after the feed was read.
func (c *Connector) Learnt(text string) string {
	var known cursor
	if err := json.Unmarshal([]byte(text), &known); err != nil {
		return text // not one of ours; Changes will say so
	}
	c.mu.Lock()
	known.Evidence, known.Offers = known.Evidence.merge(c.evidence), known.Offers || c.offers
	c.mu.Unlock()
	raw, err := json.Marshal(known)
	if err != nil {
		return text
	}
	return string(raw)
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}
