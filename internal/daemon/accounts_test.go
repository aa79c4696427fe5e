package daemon

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnAccountIsAsOldAsTheOldestOfItsKinds(t *testing.T) {
	t.Parallel()
	nine := time.Date(2031, 3, 14, 9, 0, 0, 0, time.UTC)
	read := func(account, kind string, hours int, gaps ...string) ReadHealth {
		r := ReadHealth{Account: account, Kind: kind, Gaps: len(gaps)}
		if hours > 0 {
			r.Complete = nine.Add(-time.Duration(hours) * time.Hour)
		}
		if len(gaps) > 0 {
			r.Gap = gaps[0]
		}
		return r
	}
	got := Accounts([]ReadHealth{
		read("microsoft", "customer", 1), read("microsoft", "subscription", 7, "t-kea was refused", "t-moa was refused"), read("microsoft", "price", 3),
		read("psa", "company", 2), read("psa", "addition", 0), read("psa", "agreement", 0, "it is not allowed"),
		read("other", "company", 5),
	})
	want := []AccountHealth{
		{"microsoft", nine.Add(-7 * time.Hour), "subscription", []string{"subscription: t-kea was refused (and 1 more)"}},
		{"psa", time.Time{}, "addition", []string{"addition was never read completely", "agreement: it is not allowed"}},
		{"other", nine.Add(-5 * time.Hour), "company", []string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
