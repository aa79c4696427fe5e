package partnercenter

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/model"
)

// limits are how many seats of a product one subscription may have; not known where the catalogue does not say.
type limits struct{ least, most model.Value }

func skuPath(customer, product, sku string) string {
	return customerPath(customer) + "/products/" + url.PathEscape(product) + "/skus/" + url.PathEscape(sku)
}

// bound fills in the limits of a subscription's product. They are the same for every subscription of the product, so the catalogue is
// asked once. Where it does not answer for one they are not delivered; an error is one that the next customer would meet too.
// https://learn.microsoft.com/partner-center/developer/product-resources#sku
func (c *Connector) bound(ctx context.Context, rec connectors.Record) error {
	product, sku, ok := strings.Cut(rec.Fields["sku"].String(), ":")
	if !ok || rec.Kind != kindSubscription || !countable(rec) {
		return nil
	}
	c.using.Lock()
	defer c.using.Unlock()
	found, known := c.limits[product+":"+sku]
	if !known {
		raw, err := c.get(ctx, "read product", product+":"+sku, skuPath(rec.Parent, product, sku))
		switch {
		case err != nil && (ctx.Err() != nil || spoilsAll(err)):
			return err
		case err != nil && connectors.ClassOf(err) == connectors.ClassTransient:
			return nil // asked again with the next subscription
		case err != nil:
			c.account.Log.Info("the limits of a product are not known", zap.String("account", c.account.Name), zap.String("product", product+":"+sku), zap.Error(err))
		default:
			o, err := decodeObject(raw)
			if err != nil {
				return nil
			}
			found.least, _ = parseValue(model.TypeQuantity, o.text("minimumQuantity"))
			found.most, _ = parseValue(model.TypeQuantity, o.text("maximumQuantity"))
		}
		c.limits[product+":"+sku] = found
	}
	for name, v := range map[string]model.Value{"minimumQuantity": found.least, "maximumQuantity": found.most} {
		if !v.Blank() {
			rec.Fields[name] = v
		}
	}
	return nil
}

// sold is something that a renewal may be for.
type sold struct{ product, sku, term, billing, availability string }

// parseProduct reads "ProductId:SkuId TermDuration billing".
func parseProduct(key string) (sold, error) {
	parts := strings.Fields(key)
	if len(parts) == 3 {
		product, sku, ok := strings.Cut(parts[0], ":")
		if _, err := model.NewTerm(parts[1], parts[2]); err == nil && ok && product != "" && sku != "" && !strings.Contains(sku, ":") {
			return sold{product: product, sku: sku, term: parts[1], billing: parts[2]}, nil
		}
	}
	return sold{}, fmt.Errorf("%q names no product, SKU, term and billing cycle that could be renewed", key)
}

// availability is the id under which something is sold to a customer today. These ids change, so it is asked for each time.
// https://learn.microsoft.com/partner-center/developer/product-resources#availability
func (c *Connector) availability(ctx context.Context, customer string, s sold) (string, error) {
	name := s.product + ":" + s.sku
	found := ""
	_, err := c.pages(ctx, "read what is sold of", name, skuPath(customer, s.product, s.sku)+"/availabilities", nil, 0, func(raw json.RawMessage) error {
		o, err := decodeObject(raw)
		if err != nil {
			return unreadable("availability of "+name, err)
		}
		if purchasable, told := o.at("isPurchasable"); told && purchasable != true {
			return nil
		}
		for _, term := range o.objects("terms") {
			if strings.EqualFold(term.text("duration"), s.term) && strings.EqualFold(term.text("billingCycle"), s.billing) {
				found = cmp.Or(found, o.text("id"))
			}
		}
		return nil
	})
	if err == nil && found == "" {
		err = &connectors.Error{Class: connectors.ClassInvalid, Op: "read what is sold of", Record: name, Field: nextProduct,
			Message: fmt.Sprintf("it is not sold to this customer for %s, billed %s", s.term, s.billing), Hint: "choose another term or product, or cancel at the end of the term"}
	}
	return found, err
}
