package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// hear takes what people said on tickets, and marks in the plan what somebody rejected. again says for which matters the status of a ticket is
// to be put back, and why: what it says cannot be taken, or is not enough.
func (e *Engine) hear(ctx context.Context, run *activeRun, w *world, opts Options, p *plan.Plan) (again map[string]string, err error) {
	again = map[string]string{}
	asks := plan.Asks(*p)
	if len(asks) == 0 || p.Undoes != "" {
		return again, nil
	}
	told := map[string]state.Told{}
	if opts.Apply && !opts.Offline && w.flow.Approve.Tickets && run.narrow == nil {
		if told, err = e.Store.Told(ctx, w.flow.Name); err != nil {
			return again, err
		}
	}
	for _, ask := range asks {
		digest := ask.Plan.Digest()
		if row := told[ask.Matter]; row.Digest != "" && row.Closed.IsZero() {
			why, err := e.hearTicket(ctx, run, w, row, digest)
			if err != nil {
				return again, err
			}
			if why != "" {
				again[ask.Matter] = why
			}
		}
		all, err := e.Store.Decisions(ctx, digest)
		if err != nil {
			return again, err
		}
		if _, rejected := state.Standing(all, e.Now()); len(rejected) > 0 {
			if p.Rejected == nil {
				p.Rejected = map[string]string{}
			}
			for _, h := range ask.Held {
				p.Rejected[h.Change.ID] = saidBy(rejected[0])
			}
		}
	}
	return again, nil
}

// hearTicket reads one ticket and keeps what its status says about a plan. The text is why the status is to be put back; "" leaves it.
func (e *Engine) hearTicket(ctx context.Context, run *activeRun, w *world, row state.Told, digest string) (string, error) {
	kind, ok := w.psa.NativeKind(model.KindTicket)
	reader, can := w.psa.Connector.(connectors.Reader)
	if !ok || !can {
		return "", fmt.Errorf("read ticket %s: the mapping of account %s has no ticket, or its system cannot be asked for one", row.Ticket, w.psa.Name)
	}
	rec, err := reader.Read(ctx, connectors.Ref{Kind: kind.Name, ID: row.Ticket})
	switch {
	case connectors.ClassOf(err) == connectors.ClassMissing:
		return "", e.Store.ForgetTold(ctx, row.Flow, row.Matter) // somebody deleted it; another is opened
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		e.Log.Warn("ticket not read; what it says is heard in the next run", zap.String("run", run.ID), zap.String("account", w.psa.Name), zap.String("ticket", row.Ticket), zap.Error(err))
		return "", nil
	}
	ticket, _, _ := w.psa.Mapping.ToModel(model.KindTicket, rec)
	d := state.Decision{Digest: digest, Flow: row.Flow, Reason: "ticket " + row.Ticket}
	switch status := ticket.Text("status"); {
	case strings.EqualFold(status, w.flow.Approve.Approved):
		d.Verdict, d.Expires = state.Approved, e.Now().Add(w.flow.Approve.Lasts())
	case strings.EqualFold(status, w.flow.Approve.Rejected):
		d.Verdict = state.Rejected
	default:
		return "", nil
	}
	all, err := e.Store.Decisions(ctx, digest)
	if err != nil {
		return "", err
	}
	approved, rejected := state.Standing(all, e.Now())
	stands := slices.ContainsFunc(slices.Concat(approved, rejected), func(s state.Decision) bool { return s.Verdict == d.Verdict && s.Reason == d.Reason })
	who, heard := ticket.Text("changed_by"), !rec.Changed.IsZero() && !rec.Changed.After(row.Heard)
	switch ours := who != "" && who == row.By; {
	case row.Digest != digest:
		return fmt.Sprintf("It moved since it was %s, so that does not count: what was asked was plan %s. Look at it as it is now, and set the status again.", d.Verdict, row.Digest), nil
	case stands && (heard || ours), heard && d.Verdict == state.Rejected:
		return "", nil // taken before
	case heard:
		return "It was approved, and the approval was used or has expired without it being done. Set the status again.", nil
	case ours:
		return "Who set the status cannot be told any more, since trueup wrote to this ticket afterwards. Set it again.", nil
	}
	d.Person = cmp.Or(who, "ticket "+row.Ticket) + "@" + w.psa.Name
	if _, err := e.Store.Decide(ctx, d); err != nil {
		return "", err
	}
	row.Heard = rec.Changed
	if err := e.Store.PutTold(ctx, row); err != nil || d.Verdict == state.Rejected {
		return "", err
	}
	all, err = e.Store.Decisions(ctx, digest)
	if approved, rejected = state.Standing(all, e.Now()); err == nil && len(rejected) == 0 && len(approved) < w.flow.Approvals {
		var names []string
		for _, a := range approved {
			names = append(names, a.Person)
		}
		return fmt.Sprintf("%d of %d people approved it (%s). Somebody else sets the status for the next approval.", len(approved), w.flow.Approvals, strings.Join(names, ", ")), nil
	}
	return "", err
}

// saidBy is who decided, when and why.
func saidBy(d state.Decision) string {
	text := fmt.Sprintf("%s at %s", d.Person, d.At.UTC().Format(time.RFC3339))
	if d.Reason != "" {
		text += fmt.Sprintf(" (%s)", d.Reason)
	}
	return text
}
