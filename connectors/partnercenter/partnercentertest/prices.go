package partnercentertest

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Prices serves the host of the price sheets. A request that accepts deflate gets a ZIP archive with the CSV in it;
// any other gets the CSV. Both as the service does, the mark at the start of the file included.
func (s *Server) Prices() http.Handler {
	mux := http.NewServeMux()
	e := endpoint{user: true, serve: (*Server).priceSheet}
	mux.HandleFunc("GET /v1.0/sales/{sheet}/$value", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, AudiencePrices, e) })
	return mux
}

var sheetColumns = []string{
	"ChangeIndicator", "ProductTitle", "ProductId", "SkuId", "SkuTitle", "Publisher", "SkuDescription", "UnitOfMeasure", "TermDuration",
	"BillingPlan", "Market", "Currency", "UnitPrice", "PricingTierRangeMin", "PricingTierRangeMax", "EffectiveStartDate", "EffectiveEndDate",
	"Tags", "ERP Price", "Segment",
}

func (s *Server) priceSheet(c call) reply {
	want := fmt.Sprintf("pricesheets(Market='%s',PricesheetView='updatedlicensebased')", s.opt.Country)
	if _, none := s.misbehaving["no_price_sheet"]; none || c.PathValue("sheet") != want {
		return asJSON(http.StatusNotFound, map[string]any{"error": map[string]any{"code": "NotFound", "message": "The price sheet does not exist."}})
	}
	var sheet bytes.Buffer
	sheet.WriteString("\ufeff")
	w := csv.NewWriter(&sheet)
	rows := [][]string{sheetColumns}
	for _, p := range s.prices {
		end := p.End
		if end.IsZero() {
			end = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
		}
		rows = append(rows, []string{
			"Unchanged", p.ProductTitle, p.ProductID, p.SkuID, p.SkuTitle, "Microsoft Corporation", "", "", p.Term, p.BillingPlan,
			s.opt.Country, p.Currency, p.UnitPrice, p.TierMin, p.TierMax, sheetTime(p.Start), sheetTime(end), "License", p.ERPPrice, p.Segment,
		})
	}
	if err := w.WriteAll(rows); err != nil {
		panic(err) // a buffer takes everything
	}
	rep := reply{status: http.StatusOK, header: map[string]string{"Content-Type": "text/csv"}, body: sheet.Bytes()}
	if !strings.Contains(c.Header.Get("Accept-Encoding"), "deflate") {
		return rep
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	file, err := archive.Create("pricesheet.csv")
	if err == nil {
		_, err = file.Write(sheet.Bytes())
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	rep.body = packed.Bytes()
	return rep.with("Content-Type", "application/octet-stream")
}

func sheetTime(t time.Time) string { return t.UTC().Format("1/2/2006 3:04:05 PM") }
