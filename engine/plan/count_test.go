package plan_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/trueup-sync/trueup/engine/plan"
	"github.com/trueup-sync/trueup/model"
)

func count(t interface{ Fatal(...any) }, text string) plan.Count {
	c, err := plan.ParseCount(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCountsBill(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		count                       string
		purchased, assigned, agreed int64
		want                        int64
	}{
		{"purchased", 14, 9, 12, 14},
		{"assigned", 14, 9, 12, 9},
		{"agreed", 14, 9, 12, 12},
		{"purchased - 5", 14, 9, 12, 9},
		{"purchased - 5", 3, 3, 3, 0},
		{"purchased + 1", 14, 9, 12, 15},
		{"larger(purchased, 10)", 14, 9, 12, 14},
		{"larger(purchased, 10)", 8, 9, 12, 10},
		{"larger(purchased - 5, 10)", 12, 9, 12, 10},
		{"larger(assigned, agreed) - 5", 14, 9, 12, 7},
		{" larger( assigned ,agreed )-5+2 ", 14, 20, 12, 17},
		{"larger(larger(assigned, agreed), purchased)", 14, 9, 12, 14},
	} {
		got, missing := count(t, tt.count).Billed(plan.Seats{Purchased: model.Int(tt.purchased), Assigned: model.Int(tt.assigned), Agreed: model.Int(tt.agreed)})
		if missing != "" || got.Int() != tt.want {
			t.Errorf("%s of %d, %d, %d: got %s (%s), want %d", tt.count, tt.purchased, tt.assigned, tt.agreed, got, missing, tt.want)
		}
	}
	if _, missing := count(t, "larger(assigned, agreed)").Billed(plan.Seats{Purchased: model.Int(1), Assigned: model.Int(1)}); missing != "agreed" {
		t.Errorf("what is missing is %q, want agreed", missing)
	}
}

func TestCountsThatAreNone(t *testing.T) {
	t.Parallel()
	for text, at := range map[string]int{
		"": 0, "purchsed": 0, "larger(assigned, agreed) - allowance": 27, "purchased -": 11, "larger(assigned agreed)": 16, "larger(assigned)": 15, "larger(assigned, agreed": 23,
		"10": 0, "larger(3, 4)": 0, "purchased agreed": 10, "purchased - 1.5": 13, "purchased * 2": 10, "purchased - assigned": 12, "- 5": 0, "purchased - 99999999999": 12,
	} {
		_, err := plan.ParseCount(text)
		var wrong *plan.CountError
		if !errors.As(err, &wrong) || wrong.At != at || wrong.Hint == "" || wrong.Problem == "" {
			t.Errorf("%q: got %v at %+v, want a complaint at %d", text, err, wrong, at)
		}
	}
}

// What is purchased for a billed number is billed as that number, and nothing larger is.
func TestCountsGoBothWays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		count  string
		billed int64
		want   int64 // -1 for none
	}{
		{"purchased", 7, 7}, {"purchased - 5", 7, 12}, {"purchased - 5", 0, 5}, {"larger(purchased, 10)", 12, 12}, {"larger(purchased, 10)", 10, 10},
		{"larger(purchased, 10)", 9, -1}, {"larger(purchased - 2, 10) - 1", 11, 14}, {"purchased + 3", 2, -1}, {"assigned", 7, -1}, {"larger(purchased, agreed)", 7, -1},
	} {
		got, ok := count(t, tt.count).Purchased(model.NewQuantity(tt.billed))
		if ok != (tt.want >= 0) || ok && got.Int() != tt.want {
			t.Errorf("%s bills %d: got %s, %v; want %d", tt.count, tt.billed, got, ok, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := count(t, rapid.SampledFrom([]string{"purchased", "purchased - 5", "larger(purchased, 10)", "larger(purchased - 3, 4) + 1", "larger(purchased - 9, purchased - 2)"}).Draw(t, "count"))
		if again := count(t, c.String()); again.String() != c.String() {
			t.Fatalf("%s is written as %s", c, again)
		}
		bought := model.NewQuantity(rapid.Int64Range(0, 40).Draw(t, "purchased"))
		billed, _ := c.Billed(plan.Seats{Purchased: model.QuantityValue(bought)})
		back, ok := c.Purchased(billed)
		again, _ := c.Billed(plan.Seats{Purchased: model.QuantityValue(back)})
		if !ok || again.Cmp(billed) != 0 || back.Cmp(bought) < 0 {
			t.Fatalf("%s: %s are billed as %s, and that is %s (%v), billed as %s", c, bought, billed, back, ok, again)
		}
	})
}
