package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/trueup-sync/trueup/connectors"
)

// listing reads the whole world twice, then several times at once: connectors are shared by everything that runs.
func listing(b *bench) error {
	var c complaints
	in := b.fresh()
	ctx := b.Context()
	for _, k := range in.kindsThat(connectors.AbilityList) {
		first, err := in.listAll(ctx, k.Name)
		if err != nil {
			return err
		}
		if in.Kinds[k.Name].Count == nil {
			return fmt.Errorf("the subject does not count %s", k.Name)
		}
		if want := in.Kinds[k.Name].Count(); len(first) != want || want < 2 {
			c.add("list %s tells %d records, the world holds %d (at least 2 are needed)", k.Name, len(first), want)
		}
		second, err := in.listAll(ctx, k.Name)
		c.wrap("list again", err)
		c.wrap("list "+k.Name+" twice", sameListing("second listing", first, second))
		var group errgroup.Group
		for range 4 {
			group.Go(func() error {
				parallel, err := in.listAll(ctx, k.Name)
				if err != nil {
					return err
				}
				return sameListing("listing beside others", first, parallel)
			})
		}
		c.wrap("list "+k.Name+" at the same time", group.Wait())
	}
	return c.err()
}

// listingByParent reads parent by parent, which is what a change feed asks for.
func listingByParent(b *bench) error {
	var c complaints
	in := b.fresh()
	ctx := b.Context()
	for _, k := range in.kindsThat(connectors.AbilityList) {
		if k.Parent == "" {
			continue
		}
		all, err := in.listAll(ctx, k.Name)
		if err != nil {
			return err
		}
		parent := in.Kinds[k.Name].Ref.Parent
		part, got, err := in.list(ctx, connectors.ListRequest{Kind: k.Name, Parents: []string{parent}})
		if err != nil || !got.Complete() {
			c.add("list %s under %s: error %v, gaps %+v", k.Name, parent, err, got.Gaps)
			continue
		}
		want := slices.DeleteFunc(slices.Clone(all), func(r connectors.Record) bool { return r.Parent != parent })
		c.wrap(fmt.Sprintf("list %s under %s", k.Name, parent), sameListing("its part of the whole", want, part))
		if len(want) == 0 || len(want) == len(all) {
			c.add("the subject needs %s under more than one parent", k.Name)
		}
	}
	return c.err()
}

// listingStops gives up after the first record.
func listingStops(b *bench) error {
	var c complaints
	in := b.fresh()
	enough := errors.New("enough")
	for _, k := range in.kindsThat(connectors.AbilityList) {
		told := 0
		_, err := in.Connector.(connectors.Lister).List(b.Context(), connectors.ListRequest{Kind: k.Name}, func(connectors.Record) error {
			told++
			return enough
		})
		if !errors.Is(err, enough) || told != 1 {
			c.add("list %s: yield refused the first record, was called %d times, and the error is %v", k.Name, told, err)
		}
	}
	return c.err()
}

// incompleteListing makes the system tell less than there is, in every way we have met. Whatever is missing has to be
// covered by a gap, or the whole listing has to fail; and a fault that hides nothing proves nothing, so each one has to be
// noticed for at least one kind. When the fault is over the listing is whole again.
func incompleteListing(b *bench) error {
	ctx := b.Context()
	troubles := []string{DropLastPage, CapPages, EmptyList, PartialList, HTMLAnswer, FaultIn200}
	return b.faulted(troubles, func(in *instance, set func(bool)) error {
		var c complaints
		noticed := false
		for _, k := range in.kindsThat(connectors.AbilityList) {
			all, err := in.listAll(ctx, k.Name)
			if err != nil {
				return err
			}
			set(true)
			said, err := believable(ctx, in, k.Name, all)
			set(false)
			c.wrap("list "+k.Name, err)
			noticed = noticed || said
			again, err := in.listAll(ctx, k.Name)
			c.wrap("afterwards", err)
			c.wrap("afterwards", sameListing("listing", all, again))
		}
		if !noticed && c.err() == nil {
			c.add("no listing was troubled: the subject needs more records than a page holds")
		}
		return c.err()
	})
}

// believable lists a kind and reports whether trouble was said. It is an error when something is missing from a part of
// the listing that claims to be whole.
func believable(ctx context.Context, in *instance, kind string, all []connectors.Record) (said bool, err error) {
	got, listing, err := in.list(ctx, connectors.ListRequest{Kind: kind})
	if err != nil {
		return true, hasClass("failed listing", err, connectors.Classes...)
	}
	var c complaints
	covered := map[string]bool{}
	for _, gap := range listing.Gaps {
		covered[gap.Parent] = true
		if gap.Reason == "" || !slices.Contains(connectors.Classes, gap.Class) {
			c.add("gap %+v needs a reason and a known class", gap)
		}
	}
	if listing.Received != len(got) {
		c.add("Received is %d, but %d records were yielded", listing.Received, len(got))
	}
	told := map[connectors.Ref]bool{}
	for _, rec := range got {
		told[refOf(rec)] = true
	}
	for _, rec := range all {
		if !told[refOf(rec)] && !covered[""] && !covered[rec.Parent] {
			c.add("%s %s under %q is missing, and nothing says so", kind, rec.ID, rec.Parent)
		}
	}
	return !listing.Complete(), c.err()
}

// read fetches, one by one, what was listed.
func read(b *bench) error {
	var c complaints
	in := b.fresh()
	ctx := b.Context()
	for _, k := range in.kindsThat(connectors.AbilityRead) {
		refs := []connectors.Ref{in.Kinds[k.Name].Ref}
		if k.Can(connectors.AbilityList) {
			records, err := in.listAll(ctx, k.Name)
			if err != nil {
				return err
			}
			for _, rec := range records {
				one, err := in.read(ctx, refOf(rec))
				c.wrap("read what was listed", err)
				if err == nil {
					c.wrap("read what was listed", sameFields("listed and read", rec, one))
				}
			}
			if !slices.Contains(refsOf(records), refs[0]) {
				c.add("the subject's Ref %+v is not in the listing", refs[0])
			}
		}
		_, err := in.read(ctx, in.Kinds[k.Name].Missing)
		c.wrap("read what is not there", hasClass("read "+k.Name, err, connectors.ClassMissing))
	}
	return c.err()
}
