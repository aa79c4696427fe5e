package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/model"
)

// TestPutBack: only what the vendor does not take is put back, it joins what else is planned for the line, and nothing is lowered from an
// incomplete read.
func TestPutBack(t *testing.T) {
	t.Parallel()
	cost := func(s string) model.Value {
		v, err := model.Parse(model.TypeMoney, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	both := map[string]FieldRule{"quantity": {Owner: OwnerBoth, Conflict: ConflictHold}, "unit_cost": {Owner: OwnerVendor}}
	all := map[string]bool{"quantity": true, "unit_cost": true}
	pairOf := func(line int64, costNow string, complete bool) Pair {
		memory := model.Fields{"quantity": model.Int(14), "unit_cost": cost("16 GBP")}
		return Pair{
			Ref: PairRef{Kind: model.KindLine, Link: "l", VendorAccount: "microsoft", Vendor: Ref{Kind: model.KindSubscription, ID: "s"},
				PSAAccount: "psa", PSA: Ref{Kind: model.KindLine, ID: "7", Parent: "1"}},
			Rules: both, Complete: complete, UnitPrice: cost("20 GBP"), Reducible: model.Int(0),
			Vendor: End{Account: "microsoft", Now: model.Fields{"quantity": model.Int(14), "unit_cost": cost(costNow)}, Memory: memory, Writable: all},
			PSA:    End{Account: "psa", Now: model.Fields{"quantity": model.Int(line), "unit_cost": cost("16 GBP")}, Memory: memory, Writable: all},
		}
	}
	for _, c := range []struct {
		name   string
		pair   Pair
		refuse bool
		want   []string // fields of the one change, with their values after it
		bill   string
		held   Reason
	}{
		{"fewer than the vendor takes back", pairOf(10, "16 GBP", true), false, []string{"quantity 14"}, "80 GBP", ""},
		{"a cost that moved meanwhile", pairOf(10, "17 GBP", true), false, []string{"quantity 14", "unit_cost 17 GBP"}, "80 GBP", ""},
		{"more than the vendor sells", pairOf(90, "16 GBP", true), true, []string{"quantity 14"}, "-1520 GBP", ""},
		{"more than the vendor sells, read in part", pairOf(90, "16 GBP", false), true, nil, "", Incomplete},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := Input{Flow: "cloud", First: FirstVendor, Pairs: []Pair{c.pair}}
			p := Compute(in)
			if c.refuse {
				p.Refuse(p.Changes[0].ID, "no", "ask")
			}
			p.PutBack(in)
			var got []string
			for _, change := range p.Changes {
				if change.Side != PSA || change.Effect.Bill.String() != c.bill {
					t.Errorf("side %s, bill %s, want %s", change.Side, change.Effect.Bill, c.bill)
				}
				for _, f := range change.Fields {
					got = append(got, f.Field+" "+f.To.String())
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || len(p.Changes) > 1 {
				t.Errorf("%d changes (-want +got):\n%s", len(p.Changes), diff)
			}
			switch {
			case c.held == "" && len(p.Held) > 0:
				t.Errorf("held %+v", p.Held)
			case c.held != "" && (len(p.Held) != 1 || p.Held[0].Reason != c.held):
				t.Errorf("held %+v, want %s", p.Held, c.held)
			}
		})
	}
}

func TestPutBackLeavesWhatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	for _, reason := range []Reason{OverChangeLimit, ConflictHeld, InFlight, Incomplete, NotEditable} {
		pair := Pair{Ref: PairRef{Kind: model.KindLine, Link: "l", Vendor: Ref{Kind: model.KindSubscription, ID: "s"}},
			PSA: End{Writable: map[string]bool{"quantity": true}}}
		held := Held{Reason: reason, Change: Change{Op: OpChange, Side: Vendor, Target: pair.Ref.Vendor, Pair: pair.Ref,
			Fields: []FieldChange{{Field: "quantity", From: model.Int(14), To: model.Int(10), Reason: PSAChanged}}}}
		p := Plan{Held: []Held{held}}
		p.PutBack(Input{Pairs: []Pair{pair}})
		if len(p.Held) != 1 || len(p.Changes) != 0 {
			t.Errorf("%s: %d held, %d changes", reason, len(p.Held), len(p.Changes))
		}
	}
}
