package partnercenter

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
	"github.com/trueup-sync/trueup/model"
)

// priceFields: https://learn.microsoft.com/partner-center/developer/get-a-price-sheet
var priceFields = []connectors.Field{
	{Name: "id", Type: model.TypeText, Doc: `"ProductId:SkuId TermDuration billing", for example "CFQ7TTC0LCHC:0002 P1Y monthly".`},
	{Name: "productTitle", Type: model.TypeText, Doc: "Product name."},
	{Name: "productId", Type: model.TypeText, Doc: "Product id."},
	{Name: "skuId", Type: model.TypeText, Doc: "SKU id within the product, leading zeros kept."},
	{Name: "sku", Type: model.TypeText, Doc: "ProductId:SkuId."},
	{Name: "skuTitle", Type: model.TypeText, Doc: "SKU name."},
	{Name: "termDuration", Type: model.TypeText, Doc: "P1M, P1Y or P3Y; empty for what has no term."},
	{Name: "billingPlan", Type: model.TypeText, Doc: "How often it is charged, lower case: monthly, annual, triennial."},
	{Name: "unitPrice", Type: model.TypeMoney, Doc: "What the partner pays for one seat and the whole term, as the sheet says."},
	{Name: "erpPrice", Type: model.TypeMoney, Doc: "Estimated retail price for one seat and the whole term, as the sheet says."},
	{Name: "unitCostMonth", Type: model.TypeMoney, Doc: "unitPrice divided by the months of the term, 10 decimals, half to even."},
	{Name: "erpPriceMonth", Type: model.TypeMoney, Doc: "erpPrice divided by the months of the term, 10 decimals, half to even."},
	{Name: "effectiveStart", Type: model.TypeDay, Doc: "First day of this price, UTC."},
	{Name: "segment", Type: model.TypeText, Doc: "Customer segment; only Commercial is read."},
	{Name: "currency", Type: model.TypeText, Doc: "Currency of both prices, ISO 4217."},
}

const monthPlaces = 10

// listPrices reads the price sheet. It stays packed in memory and is unpacked row by row; only rows in force are kept.
func (c *Connector) listPrices(ctx context.Context, yield func(connectors.Record) error) (connectors.Listing, error) {
	gap := func(class connectors.Class, reason string) connectors.Listing {
		return connectors.Listing{Gaps: []connectors.Gap{{Class: class, Reason: reason}}}
	}
	switch {
	case c.country == "":
		return gap(connectors.ClassInvalid, "prices were not read: the account has no country, and every market has its own price sheet; set country"), nil
	case c.appOnly:
		return gap(connectors.ClassAuth, "prices were not read: the price sheet needs a signed-in partner user; set refresh_token"), nil
	}
	op, name := "read price sheet", "of market "+c.country
	resp, err := c.prices.Do(ctx, rest.Request{
		Path: fmt.Sprintf("/v1.0/sales/pricesheets(Market='%s',PricesheetView='updatedlicensebased')/$value", url.PathEscape(c.country)),
		Header: http.Header{
			"Accept": {"*/*"}, "Client-Request-Id": {uuid.NewString()},
			"Accept-Encoding": {"deflate"}, // asks for a ZIP archive; the service means nothing else by it
		},
		Op: op, Record: name,
	})
	if err != nil {
		return connectors.Listing{}, err
	}
	fail := func(err error) error {
		return &connectors.Error{Class: connectors.ClassTransient, Op: op, Record: name + " in " + c.account.Name, Message: err.Error(), Err: err,
			Hint: "prices stay as they were; tell Microsoft's support if it stays"}
	}
	sheet, err := unpack(resp.Body)
	if err != nil {
		return connectors.Listing{}, fail(err)
	}
	defer func() { _ = sheet.Close() }() // reading only
	rows, bad, err := readSheet(sheet, c.account.Now().UTC())
	switch {
	case err != nil:
		return connectors.Listing{}, fail(err)
	case len(rows) == 0:
		return connectors.Listing{}, fail(errors.New("it has no commercial row that is in force today"))
	}
	var listing connectors.Listing
	if bad != "" {
		listing = gap(connectors.ClassInvalid, "some prices were not read: "+bad)
	}
	ids := make([]string, 0, len(rows))
	for id := range rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		listing.Received++
		if err := yield(rows[id].record()); err != nil {
			return listing, err
		}
	}
	return listing, nil
}

// unpack opens the CSV, which comes as it is or in a ZIP archive.
func unpack(body []byte) (io.ReadCloser, error) {
	start := bytes.TrimSpace(bytes.TrimPrefix(body[:min(len(body), 64)], []byte("\ufeff")))
	switch {
	case len(start) == 0:
		return nil, errors.New("the service sent an empty file")
	case start[0] == '<' || start[0] == '{':
		return nil, errors.New("the service sent something else than a price sheet")
	case !bytes.HasPrefix(body, []byte("PK\x03\x04")):
		return io.NopCloser(bytes.NewReader(body)), nil
	}
	archive, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("the archive cannot be opened: %w", err)
	}
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return strings.HasSuffix(strings.ToLower(f.Name), ".csv") })
	if i < 0 {
		return nil, errors.New("there is no CSV file in the archive")
	}
	return archive.File[i].Open()
}

// priceRow is a row in force.
type priceRow struct {
	productTitle, productID, skuID, skuTitle, term, billing, segment string
	unit, erp                                                        model.Money
	hasERP                                                           bool
	start                                                            time.Time
	tier                                                             model.Quantity // lower end of the price tier
}

func (r priceRow) id() string { return model.ProductKey(r.productID+":"+r.skuID, r.term, r.billing) }

// wins decides between two rows of the same id that are both in force: the lower tier, then the later start.
func (r priceRow) wins(o priceRow) bool {
	if order := r.tier.Cmp(o.tier); order != 0 {
		return order < 0
	}
	return r.start.After(o.start)
}

func (r priceRow) record() connectors.Record {
	f := model.Fields{
		"id": model.Text(r.id()), "productTitle": model.Text(r.productTitle), "productId": model.Text(r.productID), "skuId": model.Text(r.skuID),
		"sku": model.Text(r.productID + ":" + r.skuID), "skuTitle": model.Text(r.skuTitle), "termDuration": model.Text(r.term),
		"billingPlan": model.Text(r.billing), "unitPrice": model.MoneyValue(r.unit), "erpPrice": model.Empty(model.TypeMoney),
		"unitCostMonth": model.Empty(model.TypeMoney), "erpPriceMonth": model.Empty(model.TypeMoney),
		"effectiveStart": model.DayValue(model.DayOf(r.start)), "segment": model.Text(r.segment), "currency": model.Text(r.unit.Currency()),
	}
	months := int64(model.Term{Duration: r.term}.Months())
	if months > 0 {
		f["unitCostMonth"] = model.MoneyValue(r.unit.Over(months, monthPlaces))
	}
	if r.hasERP {
		f["erpPrice"] = model.MoneyValue(r.erp)
		if months > 0 {
			f["erpPriceMonth"] = model.MoneyValue(r.erp.Over(months, monthPlaces))
		}
	}
	return connectors.Record{Kind: kindPrice, ID: r.id(), Fields: f}
}

var neededColumns = []string{"producttitle", "productid", "skuid", "skutitle", "termduration", "billingplan", "currency", "unitprice", "effectivestartdate", "effectiveenddate"}

// readSheet keeps the commercial rows in force at now. bad describes rows that could not be read, "" when all could.
func readSheet(sheet io.Reader, now time.Time) (rows map[string]priceRow, bad string, err error) {
	r := csv.NewReader(sheet)
	r.LazyQuotes, r.FieldsPerRecord, r.ReuseRecord = true, -1, true
	header, err := r.Read()
	if err != nil {
		return nil, "", fmt.Errorf("its first line cannot be read: %w", err)
	}
	column := map[string]int{}
	for i, name := range header {
		column[strings.ToLower(strings.Trim(name, "\ufeff\"“” "))] = i
	}
	for _, name := range neededColumns {
		if _, ok := column[name]; !ok {
			return nil, "", fmt.Errorf("it has no column %s", name)
		}
	}
	rows = map[string]priceRow{}
	badRows := 0
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			return nil, "", fmt.Errorf("line %d cannot be read: %w", line, err)
		}
		cell := func(name string) string {
			if i, ok := column[name]; ok && i < len(cells) {
				return strings.Clone(strings.TrimSpace(cells[i]))
			}
			return ""
		}
		row, inForce, err := readRow(cell, now)
		switch {
		case err != nil:
			if badRows++; badRows == 1 {
				bad = fmt.Sprintf("line %d: %v", line, err)
			}
		case inForce:
			if known, ok := rows[row.id()]; !ok || row.wins(known) {
				rows[row.id()] = row
			}
		}
	}
	if badRows > 1 {
		bad += fmt.Sprintf(" (and %d more lines)", badRows-1)
	}
	return rows, bad, nil
}

func readRow(cell func(string) string, now time.Time) (row priceRow, inForce bool, err error) {
	row = priceRow{
		productTitle: cell("producttitle"), productID: cell("productid"), skuID: cell("skuid"), skuTitle: cell("skutitle"),
		term: cell("termduration"), billing: strings.ToLower(cell("billingplan")), segment: cell("segment"),
	}
	if row.segment == "" {
		row.segment = "Commercial" // older sheets had no other
	}
	if !strings.EqualFold(row.segment, "Commercial") {
		return row, false, nil
	}
	if row.start, err = sheetTime(cell("effectivestartdate")); err != nil {
		return row, false, err
	}
	end, err := sheetTime(cell("effectiveenddate"))
	if err != nil {
		return row, false, err
	}
	if row.start.After(now) || end.Before(now) {
		return row, false, nil
	}
	if row.productID == "" || row.skuID == "" {
		return row, false, errors.New("it names no product or SKU")
	}
	if tier := cell("pricingtierrangemin"); tier != "" {
		if row.tier, err = model.ParseQuantity(tier); err != nil {
			return row, false, fmt.Errorf("tier %q is not a number", tier)
		}
	}
	if row.unit, err = model.ParseMoney(cell("unitprice") + " " + cell("currency")); err != nil {
		return row, false, err
	}
	if erp := cell("erp price"); erp != "" {
		row.hasERP = true
		row.erp, err = model.ParseMoney(erp + " " + cell("currency"))
	}
	return row, err == nil, err
}

// sheetTime reads the sheet's American times, and ISO ones; UTC.
func sheetTime(s string) (time.Time, error) {
	for _, layout := range []string{"1/2/2006 3:04:05 PM", "1/2/2006", time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date", s)
}
