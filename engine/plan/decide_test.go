package plan

import (
	"os"
	"strings"
	"testing"

	"github.com/trueup-sync/trueup/model"
)

// tableRow is one line of the table in the package comment.
type tableRow struct{ vendor, psa, agree, result string }

// TestDecisionTable walks the table drawn in the package comment, so that the picture and the code cannot part.
func TestDecisionTable(t *testing.T) {
	t.Parallel()
	rows := readTable(t)
	if len(rows) != 7 {
		t.Fatalf("the package comment draws %d rows, expected 7", len(rows))
	}
	for _, row := range rows {
		for _, first := range []First{FirstVendor, FirstPSA, FirstHold} {
			t.Run(row.vendor+","+row.psa+","+row.agree+","+string(first), func(t *testing.T) {
				t.Parallel()
				vendor, psa := cellsFor(row)
				got := decide(FieldRule{Owner: OwnerBoth, Conflict: ConflictHold}, first, vendor, psa)
				if want := wanted(row, first); got.write != want.write || got.hold != want.hold {
					t.Errorf("row %+v: got %+v, want %+v", row, got, want)
				}
			})
		}
	}
}

func readTable(t *testing.T) (rows []tableRow) {
	t.Helper()
	source, err := os.ReadFile("plan.go")
	if err != nil {
		t.Fatal(err)
	}
	inTable := false
	for line := range strings.Lines(string(source)) {
		if !strings.HasPrefix(line, "//\t") {
			inTable = false
			continue
		}
		cells := strings.Split(strings.TrimPrefix(strings.TrimSpace(line), "//"), "|")
		if len(cells) != 4 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "vendor changed" {
			inTable = true
			continue
		}
		if inTable {
			rows = append(rows, tableRow{cells[0], cells[1], cells[2], cells[3]})
		}
	}
	return rows
}

// cellsFor builds values in which exactly what the row says is true.
func cellsFor(row tableRow) (vendor, psa cell) {
	vendor = cell{now: model.Int(10), memory: model.Int(10)}
	psa = cell{now: model.Int(10), memory: model.Int(10)}
	if row.vendor == "no memory" {
		vendor.memory, psa.memory = model.Value{}, model.Value{}
	}
	if row.vendor == "yes" {
		vendor.now = model.Int(12)
	}
	if row.psa == "yes" {
		psa.now = model.Int(7)
	}
	if row.vendor == "no memory" && row.agree == "no" {
		psa.now = model.Int(7)
	}
	if row.vendor == "yes" && row.psa == "yes" && row.agree == "yes" {
		psa.now = model.Int(12)
	}
	vendor.asOther, psa.asOther = vendor.now, psa.now
	return vendor, psa
}

func wanted(row tableRow, first First) verdict {
	switch row.result {
	case "nothing", "remember", "remember both, write nothing":
		return verdict{}
	case "write the PSA":
		return verdict{write: PSA}
	case "write the vendor":
		return verdict{write: Vendor}
	case "conflict: the field's rule; held by default":
		return verdict{write: PSA, hold: true}
	case "the flow's first rule (vendor, psa or hold)":
		switch first {
		case FirstVendor:
			return verdict{write: PSA}
		case FirstPSA:
			return verdict{write: Vendor}
		}
		return verdict{write: PSA, hold: true}
	}
	panic("unknown result in the drawn table: " + row.result)
}

func TestOwnershipFiltersTheTable(t *testing.T) {
	t.Parallel()
	ten, seven := model.Int(10), model.Int(7)
	still := cell{now: ten, memory: ten, asOther: ten}
	moved := cell{now: seven, memory: ten, asOther: seven}
	fresh := cell{now: seven, asOther: seven}
	freshTen := cell{now: ten, asOther: ten}
	emptied := cell{now: model.Empty(model.TypeText), memory: ten, asOther: model.Empty(model.TypeText)}
	kept := FieldRule{Owner: OwnerVendor, Keep: true}
	for _, c := range []struct {
		name        string
		rule        FieldRule
		vendor, psa cell
		want        verdict
	}{
		{"vendor owns, PSA edited: a finding", FieldRule{Owner: OwnerVendor}, still, moved, verdict{found: true, reason: ForeignEdit}},
		{"vendor owns, PSA edited, put back", FieldRule{Owner: OwnerVendor, PutBack: true}, still, moved, verdict{write: PSA, reason: ForeignPutBack}},
		{"PSA owns, vendor edited: a finding", FieldRule{Owner: OwnerPSA}, moved, still, verdict{found: true, reason: ForeignEdit}},
		{"vendor owns, vendor edited", FieldRule{Owner: OwnerVendor}, moved, still, verdict{write: PSA, reason: VendorChanged}},
		{"PSA owns, PSA edited", FieldRule{Owner: OwnerPSA}, still, moved, verdict{write: Vendor, reason: PSAChanged}},
		{"vendor owns, first meeting", FieldRule{Owner: OwnerVendor}, freshTen, fresh, verdict{write: PSA, reason: OwnerDiffers}},
		{"a kept id is not there yet", kept, freshTen, cell{now: model.Empty(model.TypeText), asOther: model.Empty(model.TypeText)}, verdict{write: PSA, reason: KeepID}},
		{"a kept id was emptied", kept, still, emptied, verdict{write: PSA, reason: KeepID}},
		{"a kept id was overwritten", kept, still, moved, verdict{write: PSA, reason: IDOverwritten}},
		{"PSA owns, first meeting", FieldRule{Owner: OwnerPSA}, freshTen, fresh, verdict{write: Vendor, reason: OwnerDiffers}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, first := range []First{FirstVendor, FirstPSA, FirstHold} {
				if got := decide(c.rule, first, c.vendor, c.psa); got != c.want {
					t.Errorf("first %s: got %+v, want %+v", first, got, c.want)
				}
			}
		})
	}
}

func TestConflictRules(t *testing.T) {
	t.Parallel()
	vendor := cell{now: model.Int(12), memory: model.Int(10), asOther: model.Int(12)}
	psa := cell{now: model.Int(7), memory: model.Int(10), asOther: model.Int(7)}
	for rule, want := range map[Conflict]Side{ConflictVendor: PSA, ConflictPSA: Vendor, ConflictHighest: PSA, ConflictLowest: Vendor} {
		got := decide(FieldRule{Owner: OwnerBoth, Conflict: rule}, FirstHold, vendor, psa)
		if got.write != want || got.hold || got.reason != RuleDecided {
			t.Errorf("%s: got %+v, want write %s", rule, got, want)
		}
	}
	text := cell{now: model.Text("b"), memory: model.Text("a"), asOther: model.Text("b")}
	other := cell{now: model.Text("c"), memory: model.Text("a"), asOther: model.Text("c")}
	if got := decide(FieldRule{Owner: OwnerBoth, Conflict: ConflictHighest}, FirstHold, text, other); !got.hold {
		t.Errorf("texts have no highest: got %+v, want held", got)
	}
}

// TestRoundingIsNotAChange: the PSA keeps two decimals of a price with five; that is agreement, not drift.
func TestRoundingIsNotAChange(t *testing.T) {
	t.Parallel()
	exact, rounded := parse(t, "19.12345 GBP"), parse(t, "19.12 GBP")
	vendor := cell{now: exact, asOther: rounded}
	psa := cell{now: rounded, asOther: rounded}
	if got := decide(FieldRule{Owner: OwnerVendor}, FirstVendor, vendor, psa); got != (verdict{}) {
		t.Errorf("got %+v, want nothing", got)
	}
}

func parse(t *testing.T, s string) model.Value {
	t.Helper()
	v, err := model.Parse(model.TypeMoney, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
