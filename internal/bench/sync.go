package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// perSecond is the budget of the first sync, for each side.
const perSecond = 40

// firstSync connects 500 customers with 10 subscriptions each, with a slow and limited sandbox. The floor is what the same requests take
// at the budget: both sides are read one after the other and then written, so their requests add up.
func (b *bench) firstSync(ctx context.Context) error {
	s, err := b.start(ctx, "first", perSecond*60, "--customers", "500", "--subscriptions", "10", "--latency", "20ms",
		"--vendor-budget", fmt.Sprint(perSecond*60), "--psa-budget", fmt.Sprint(perSecond*60))
	if err != nil {
		return err
	}
	defer s.stop()
	f, err := b.trueup(ctx, s.env, "-c", s.config, "run", "--once", "--json")
	if err != nil {
		return err
	}
	t, err := s.requests(ctx)
	if err != nil {
		return err
	}
	floor := float64(t.vendor+t.psa) / perSecond
	title("First sync of 500 customers x 10 subscriptions, 20 ms latency, %d requests/s for each side", perSecond)
	line("%s", f)
	line("%s", t)
	line("floor %.1f s, ratio %.2f (aim 1.15)", floor, f.wall.Seconds()/floor)
	return nil
}

// quiet runs when nothing changed, for worlds of different sizes.
func (b *bench) quiet(ctx context.Context) error {
	title("No-change run (aim: at most 6 requests and no write, whatever the size)")
	for _, customers := range []int{100, 500, 2000} {
		s, err := b.synced(ctx, fmt.Sprintf("quiet-%d", customers), customers)
		if err != nil {
			return err
		}
		f, t, err := b.again(ctx, s)
		s.stop()
		if err != nil {
			return err
		}
		line("%d customers: %s; %s", customers, t, f)
	}
	return nil
}

// synced starts a sandbox and runs until it is in step and the connectors know whether the change feeds can be trusted.
func (b *bench) synced(ctx context.Context, name string, customers int) (*sandbox, error) {
	s, err := b.start(ctx, name, 60000, "--customers", fmt.Sprint(customers), "--subscriptions", "10")
	if err != nil {
		return nil, err
	}
	for range 3 {
		if _, _, err := b.again(ctx, s); err != nil {
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

// again runs the flow once more and counts what it asked.
func (b *bench) again(ctx context.Context, s *sandbox) (figures, traffic, error) {
	if _, err := s.requests(ctx); err != nil {
		return figures{}, traffic{}, err
	}
	f, err := b.trueup(ctx, s.env, "-c", s.config, "run", "--once", "--json")
	if err != nil {
		return f, traffic{}, err
	}
	t, err := s.requests(ctx)
	return f, t, err
}

// changes edits k seat counts on one side and lets the other follow.
func (b *bench) changes(ctx context.Context) error {
	s, err := b.synced(ctx, "changes", 500)
	if err != nil {
		return err
	}
	defer s.stop()
	pairs, err := b.pairs(ctx, s)
	if err != nil {
		return err
	}
	title("k changes, 500 customers (aim: at most k + 8 reads; a read before and after each write comes on top)")
	seats := 100
	for _, k := range []int{1, 10, 50} {
		for _, side := range []string{"vendor", "psa"} {
			seats++
			for _, p := range pairs[:k] {
				edit := map[string]any{"side": "vendor", "kind": "subscription", "parent": p.tenant, "id": p.vendor, "set": map[string]int{"quantity": seats}}
				if side == "psa" {
					edit = map[string]any{"side": "psa", "kind": "addition", "id": p.psa, "set": map[string]int{"quantity": seats}}
				}
				if err := s.control(ctx, http.MethodPost, "/v1/edit", edit, nil); err != nil {
					return err
				}
			}
			f, err := b.trueup(ctx, s.env, "-c", s.config, "plan", "--json")
			if err != nil {
				return err
			}
			looked, err := s.requests(ctx)
			if err != nil {
				return err
			}
			_, t, err := b.again(ctx, s)
			if err != nil {
				return err
			}
			line("%d in the %s: planned with %d requests; applied with %s; %s", k, side, looked.vendor+looked.psa, t, f)
			pairs = pairs[k:]
		}
	}
	return nil
}

type pair struct{ tenant, vendor, psa string }

// pairs lists linked lines, one for each customer, so that k changes are at k customers.
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
		if l.Kind == "line" && !seen[l.Tenant] {
			seen[l.Tenant] = true
			pairs = append(pairs, pair{l.Tenant, l.Vendor, l.PSA})
		}
	}
	return pairs, nil
}

// scan measures a PSA whose agreements do not show that one of their additions was edited.
func (b *bench) scan(ctx context.Context) error {
	s, err := b.start(ctx, "scan", 60000, "--customers", "500", "--subscriptions", "10")
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.control(ctx, http.MethodPost, "/v1/misbehave/psa/stale_agreement_stamp", map[string]string{}, nil); err != nil {
		return err
	}
	for range 2 {
		if _, _, err := b.again(ctx, s); err != nil {
			return err
		}
	}
	f, t, err := b.again(ctx, s)
	if err != nil {
		return err
	}
	title("No-change run where the PSA's stamps cannot be trusted, 500 customers")
	line("%s; %s", t, f)
	return nil
}
