//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// perSecond is the budget of the first sync, for each side.
const perSecond = 40

// noBudget is so many requests a minute that nothing waits.
const noBudget = 60_000

// firstSync connects 500 customers with 10 subscriptions each, with a slow and limited sandbox.
func (b *bench) firstSync(ctx context.Context, p *part) error {
	s, err := b.start(ctx, "first", perSecond*60, "--customers", "500", "--subscriptions", "10", "--latency", "20ms",
		"--vendor-budget", fmt.Sprint(perSecond*60), "--psa-budget", fmt.Sprint(perSecond*60))
	if err != nil {
		return err
	}
	defer s.stop()
	f, t, err := b.again(ctx, s)
	if err != nil {
		return err
	}
	floor, larger := float64(t.vendor+t.psa)/perSecond, float64(max(t.vendor, t.psa))/perSecond
	p.add(row{what: "first sync, 500 customers x 10", aim: "1.15 x floor", traffic: &t, ratio: f.wall.Seconds() / floor, records: 5000, figures: f})
	p.note("first: 20 ms latency, %d requests/s for each side. The floor, %.0f s, is what the requests of both sides, reads and writes, take at that budget one side after",
		perSecond, floor)
	p.note("  the other: the vendor is read, then the PSA, then the PSA is written. The larger side's requests alone take %.0f s; the run took %.2f times that.", larger, f.wall.Seconds()/larger)
	return nil
}

// quiet runs when nothing changed, for worlds of different sizes. The largest has fewer subscriptions, because what takes long is
// to bring it in step.
func (b *bench) quiet(ctx context.Context, p *part) error {
	for _, size := range [][2]int{{100, 10}, {500, 10}, {2000, 2}} {
		s, err := b.synced(ctx, fmt.Sprintf("quiet-%d", size[0]), size[0], size[1])
		if err != nil {
			return err
		}
		f, t, err := b.again(ctx, s)
		s.stop()
		if err != nil {
			return err
		}
		p.add(row{what: fmt.Sprintf("nothing changed, %d customers x %d", size[0], size[1]), aim: "6 requests, 0 writes", traffic: &t, figures: f})
	}
	p.note("quiet: each run is a process of its own and signs in anew; a daemon keeps that, so its run asks the sign-in column less.")
	return nil
}

// synced starts a sandbox and runs until it is in step and the connectors know whether the change feeds can be trusted.
func (b *bench) synced(ctx context.Context, name string, customers, subscriptions int, misbehave ...string) (*sandbox, error) {
	s, err := b.start(ctx, name, noBudget, "--customers", fmt.Sprint(customers), "--subscriptions", fmt.Sprint(subscriptions))
	if err != nil {
		return nil, err
	}
	err = func() error {
		for _, path := range misbehave {
			if err := s.control(ctx, http.MethodPost, "/v1/misbehave/"+path, map[string]string{}, nil); err != nil {
				return err
			}
		}
		// The first run writes, the second reads what was written, and the third finds the feed as quiet as the day.
		for range 3 {
			if _, _, err := b.again(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// again runs the flow once more and counts what it asked.
func (b *bench) again(ctx context.Context, s *sandbox) (figures, traffic, error) {
	return b.counted(ctx, s, "run", "--once", "--json")
}

// counted runs a command and counts what it asked.
func (b *bench) counted(ctx context.Context, s *sandbox, command ...string) (figures, traffic, error) {
	if _, err := s.requests(ctx); err != nil {
		return figures{}, traffic{}, err
	}
	f, err := b.trueup(ctx, s.env, append([]string{"-c", s.config}, command...)...)
	if err != nil {
		return f, traffic{}, err
	}
	t, err := s.requests(ctx)
	return f, t, err
}

// changes edits k seat counts on one side, at k customers, and lets the other follow. Each time in a world of its own, because the
// vendor's connector looks at a customer again for twenty minutes after its activity log told of it.
func (b *bench) changes(ctx context.Context, p *part) error {
	for _, k := range []int{1, 10, 50} {
		for _, side := range []string{"vendor", "PSA"} {
			if err := b.change(ctx, p, k, side); err != nil {
				return err
			}
		}
	}
	p.note("changes: in 80 customers x 3. Planned is what is read to find the changes; applied is the run after it, which reads a record before and after each write")
	p.note("  and looks again at customers that the vendor's activity log told of in the last 20 minutes. A PSA agreement takes two requests: its lines and their count.")
	return nil
}

func (b *bench) change(ctx context.Context, p *part, k int, side string) error {
	s, err := b.synced(ctx, fmt.Sprintf("changes-%s-%d", side, k), 80, 3)
	if err != nil {
		return err
	}
	defer s.stop()
	pairs, err := b.pairs(ctx, s)
	if err != nil {
		return err
	}
	if len(pairs) < k {
		return fmt.Errorf("the world holds %d customers with a pair to edit, and %d are needed", len(pairs), k)
	}
	for _, pair := range pairs[:k] {
		edit := map[string]any{"side": "vendor", "kind": "subscription", "parent": pair.tenant, "id": pair.vendor, "set": map[string]int{"quantity": pair.seats + 1}}
		if side == "PSA" {
			edit = map[string]any{"side": "psa", "kind": "addition", "id": pair.psa, "set": map[string]int{"quantity": pair.seats + 1}}
		}
		if err := s.control(ctx, http.MethodPost, "/v1/edit", edit, nil); err != nil {
			return err
		}
	}
	f, planned, err := b.counted(ctx, s, "plan", "--json")
	if err != nil {
		return err
	}
	p.add(row{what: fmt.Sprintf("%d changed at the %s, planned", k, side), aim: fmt.Sprintf("%d reads", k+8), traffic: &planned, figures: f})
	f, applied, err := b.again(ctx, s)
	if err != nil {
		return err
	}
	p.add(row{what: fmt.Sprintf("%d changed at the %s, applied", k, side), aim: "-", traffic: &applied, figures: f})
	return nil
}

type pair struct {
	tenant, vendor, psa string
	seats               int
}

// pairs lists linked lines whose seats may be raised, one for each customer, so that k changes are at k customers.
func (b *bench) pairs(ctx context.Context, s *sandbox) ([]pair, error) {
	f, err := b.trueup(ctx, s.env, "-c", s.config, "links", "--json")
	if err != nil {
		return nil, err
	}
	var links []struct {
		Kind   string `json:"kind"`
		Tenant string `json:"vendor_parent"`
		Vendor string `json:"vendor"`
		PSA    string `json:"psa"`
	}
	if err := json.Unmarshal([]byte(f.stdout), &links); err != nil {
		return nil, err
	}
	var pairs []pair
	seen := map[string]bool{}
	for _, l := range links {
		if l.Kind != "line" || seen[l.Tenant] {
			continue
		}
		var sub struct {
			Quantity int    `json:"quantity"`
			MaxSeats int    `json:"max_seats"`
			Status   string `json:"status"`
			Trial    bool   `json:"trial"`
		}
		if err := s.control(ctx, http.MethodGet, "/v1/state/vendor/subscription/"+l.Vendor, nil, &sub); err != nil {
			return nil, err
		}
		var customer struct {
			Locked bool `json:"locked"` // for transactions: every write is refused
		}
		if err := s.control(ctx, http.MethodGet, "/v1/state/vendor/customer/"+l.Tenant, nil, &customer); err != nil {
			return nil, err
		}
		if sub.Status == "active" && !sub.Trial && !customer.Locked && (sub.MaxSeats == 0 || sub.Quantity < sub.MaxSeats) {
			seen[l.Tenant] = true
			pairs = append(pairs, pair{l.Tenant, l.Vendor, l.PSA, sub.Quantity})
		}
	}
	return pairs, nil
}

// scan measures a PSA whose agreements do not show that one of their additions was edited.
func (b *bench) scan(ctx context.Context, p *part) error {
	s, err := b.synced(ctx, "scan", 500, 2, "psa/stale_agreement_stamp")
	if err != nil {
		return err
	}
	defer s.stop()
	f, t, err := b.again(ctx, s)
	if err != nil {
		return err
	}
	p.add(row{what: "nothing changed, PSA's stamps cannot be trusted, 500 customers x 2", aim: "-", traffic: &t, figures: f})
	p.note("scan: an edited contract line does not show on its agreement, so the lines of every agreement are listed and counted: two requests for each.")
	return nil
}
