package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trueup-sync/trueup/connectors/partnercenter/partnercentertest"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/model"
	"github.com/trueup-sync/trueup/state"
)

// An indirect provider serves one of its resellers: that reseller's customers are kept in step, and nothing is read of the
// other's, nor of what the other sells to a shared customer.
func TestOnlyTheResellersCustomers(t *testing.T) {
	t.Parallel()
	const ours, theirs = "5550017", "5550018"
	fill := func(o *office) {
		us := o.vendor.AddReseller(partnercentertest.Reseller{Name: "Tasman IT", MPNID: ours})
		them := o.vendor.AddReseller(partnercentertest.Reseller{Name: "Cook Computing", MPNID: theirs})
		for n, r := range []partnercentertest.Reseller{us, us, them, them} {
			o.addCustomer(n, r.ID, r.MPNID)
		}
		// The first customer also buys one thing from the other reseller.
		if err := o.vendor.Edit(o.pairs[1].id, func(s *partnercentertest.Subscription) { s.PartnerID = theirs }); err != nil {
			o.t.Fatal(err)
		}
	}
	p := plot{flow: rules + loose, account: partnercentertest.IndirectProvider, settings: map[string]string{"reseller": ours}, fill: fill}
	inOffice(t, p, func(t *testing.T, o *office) {
		mine, others := o.pairs[:4], o.pairs[4:]
		shared := mine[1]
		links := o.links(t, model.KindLine)
		if len(links) != 3 || links[shared.id] != "" {
			t.Errorf("links %v, wanted the three subscriptions that the reseller sold", links)
		}
		for _, p := range o.pairs {
			o.buy(p, seats+2)
		}
		o.bill(others[0], seats+5)
		o.bill(shared, seats+5)
		before := o.psa.Writes()
		o.sync(engine.Options{})
		o.sync(engine.Options{Sweep: true})
		o.settled()
		for i, p := range o.pairs {
			want, followed := seats, slices.Contains(mine, p) && p != shared
			switch {
			case followed:
				want = seats + 2
			case p == others[0], p == shared:
				want = seats + 5
			}
			if quantity, last, _ := o.billed(p); quantity != want || last != "" {
				t.Errorf("pair %d: the line bills %d until %q, wanted %d", i, quantity, last, want)
			}
			if got := o.bought(p).Quantity; got != seats+2 {
				t.Errorf("pair %d: %d seats are bought, wanted %d", i, got, seats+2)
			}
		}
		if got := o.psa.Writes() - before; got != 3 {
			t.Errorf("%d lines were written, wanted 3", got)
		}
		for _, r := range o.vendor.Requests() {
			for _, p := range others {
				if strings.Contains(r.Path, p.tenant) {
					t.Fatalf("the other reseller's customer was asked about: %s %s", r.Method, r.Path)
				}
			}
		}
		var kept []string
		err := o.Store.Records(t.Context(), "microsoft", "customer", state.RecordFilter{IncludeGone: true}, func(r state.Stored) error {
			kept = append(kept, r.ID)
			return nil
		})
		if diff := cmp.Diff([]string{mine[0].tenant, mine[2].tenant}, kept); err != nil || diff != "" {
			t.Errorf("customers in the store (-want +got): %v\n%s", err, diff)
		}
	})
}
