package config

import (
	"errors"
	"strconv"
	"strings"

	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/internal/strictyaml"
)

// readCount reads "count: larger(assigned, agreed) - 5".
func readCount(n *strictyaml.Node) plan.Count {
	if !n.IsScalar() {
		n.Text() // complains about the shape, if there is one
		return plan.Count{}
	}
	count, err := plan.ParseCount(n.Text())
	if wrong := (*plan.CountError)(nil); errors.As(err, &wrong) {
		n.ComplainAt(wrong.At, wrong.Hint, "%s", wrong.Problem)
	}
	return count
}

// refuseTyping complains where numbers that are typed on a line are to reach the vendor, and the count does not say how.
func refuseTyping(n *strictyaml.Node, rules engine.LineRules) {
	rule, ruled := rules.Fields["quantity"]
	if ruled && rule.Owner != plan.OwnerVendor && !rules.Count.TwoWay() {
		n.Complain("write quantity: {owner: vendor} under fields; the agreed number is typed in its own field",
			"from %s nobody can tell how many seats to buy when the quantity is typed in the PSA", rules.Count)
	}
}

// readGroup reads which subscriptions of a customer one line bills.
func readGroup(n *strictyaml.Node) engine.Group {
	const each = "subscription"
	if group := oneOf(n, "", engine.GroupProduct, each); group != each {
		return group
	}
	return engine.GroupNone
}

// readBundles reads the PSA products whose lines bill several vendor products.
func readBundles(n *strictyaml.Node) []engine.Bundle {
	if !n.Present() {
		return nil
	}
	var bundles []engine.Bundle
	for _, item := range n.List() {
		m := item.Map()
		line, of := m.Need("line"), m.Need("of")
		b := engine.Bundle{Product: strings.TrimSpace(line.Text())}
		if line.IsScalar() && b.Product == "" {
			line.Complain("write the product key that the PSA's product carries", "the name of the bundle's product is empty")
		}
		for _, other := range bundles {
			if b.Product != "" && other.Product == b.Product {
				line.Complain("put the parts of both into one", "the bundle %q is in the list twice", b.Product)
			}
		}
		of.Map().Each(func(key, value *strictyaml.Node) {
			ratio, err := strconv.ParseInt(value.Text(), 10, 32)
			switch {
			case !value.IsScalar():
			case err != nil || ratio < 1:
				value.Complain("write a whole number of seats for each one on the line", "%q is not a whole number above zero", value.Text())
			case key.Text() == b.Product:
				key.Complain("name the vendor's products", "the bundle %q is a part of itself", b.Product)
			}
			b.Of = append(b.Of, engine.BundlePart{Product: key.Text(), Ratio: ratio})
		})
		if of.IsMap() && len(b.Of) == 0 {
			of.Complain(`write them like {"CFQ7TTC0LCHC:0002 P1Y monthly": 1}`, "the bundle %q has no parts", b.Product)
		}
		m.Close()
		bundles = append(bundles, b)
	}
	return bundles
}
