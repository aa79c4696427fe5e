package daemon

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// The days on which clocks change, and a few that have nothing to do with it. In London they are put forward on 30 March 2031 from
// 01:00 to 02:00 and back on 26 October 2031 from 02:00 to 01:00; in Santiago midnight itself is left out; on Lord Howe Island it is half
// an hour.
func TestNext(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, zone, spec, from string
		want                   []string // UTC
	}{
		{"an ordinary day", "Europe/London", "0 6,18 * * *", "2031-03-14T05:59:59Z", []string{"2031-03-14T06:00:00Z", "2031-03-14T18:00:00Z", "2031-03-15T06:00:00Z"}},
		{"left out in spring: an hour later", "Europe/London", "30 1 * * *", "2031-03-29T00:00:00Z", []string{"2031-03-29T01:30:00Z", "2031-03-30T01:30:00Z", "2031-03-31T00:30:00Z"}},
		{"asked right after the gap", "Europe/London", "30 1 * * *", "2031-03-30T01:10:00Z", []string{"2031-03-30T01:30:00Z", "2031-03-31T00:30:00Z"}},
		{"after the gap, the same day", "Europe/London", "0 2 * * *", "2031-03-29T12:00:00Z", []string{"2031-03-30T01:00:00Z", "2031-03-31T01:00:00Z"}},
		{"all of a left-out hour", "Europe/London", "*/30 1 * * *", "2031-03-30T00:00:00Z", []string{"2031-03-30T01:00:00Z", "2031-03-30T01:30:00Z", "2031-03-31T00:00:00Z"}},
		{"repeated in autumn: the first time", "Europe/London", "30 1 * * *", "2031-10-25T12:00:00Z", []string{"2031-10-26T00:30:00Z", "2031-10-27T01:30:00Z"}},
		{"asked between the two", "Europe/London", "30 1 * * *", "2031-10-26T01:10:00Z", []string{"2031-10-27T01:30:00Z"}},
		{"a day of the week", "Europe/London", "30 1 * * 0", "2031-10-20T00:00:00Z", []string{"2031-10-26T00:30:00Z", "2031-11-02T01:30:00Z"}},
		{"every ten minutes goes on through the repeated hour", "Europe/London", "*/20 * * * *", "2031-10-26T00:30:00Z",
			[]string{"2031-10-26T00:40:00Z", "2031-10-26T01:00:00Z", "2031-10-26T01:20:00Z", "2031-10-26T01:40:00Z", "2031-10-26T02:00:00Z"}},
		{"and over the gap", "Europe/London", "*/30 * * * *", "2031-03-30T00:15:00Z", []string{"2031-03-30T00:30:00Z", "2031-03-30T01:00:00Z", "2031-03-30T01:30:00Z"}},
		{"midnight that is left out", "America/Santiago", "0 0 * * *", "2031-09-06T12:00:00Z", []string{"2031-09-07T04:00:00Z", "2031-09-08T03:00:00Z"}},
		{"half an hour", "Australia/Lord_Howe", "15 2 * * *", "2031-10-03T16:00:00Z", []string{"2031-10-04T15:45:00Z", "2031-10-05T15:15:00Z"}},
		{"every so long", "Europe/London", "@every 90m", "2031-03-30T00:00:00Z", []string{"2031-03-30T01:30:00Z", "2031-03-30T03:00:00Z"}},
		{"the last day of February", "Europe/London", "0 6 29 2 *", "2031-01-01T00:00:00Z", []string{"2032-02-29T06:00:00Z"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := parseSchedule(c.spec, zone(t, c.zone))
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range c.want {
				at = s.next(at)
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s from %s (-want +got):\n%s", c.spec, c.from, diff)
			}
		})
	}
}

// Whatever the hour and the place, a daily schedule comes once on each calendar day of a year, also when it is asked from any moment.
func TestEachDayOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/London", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"} {
		location := zone(t, name)
		for _, spec := range []string{"0 0 * * *", "30 1 * * *", "15 2 * * *", "59 23 * * *"} {
			s, err := parseSchedule(spec, location)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			first := time.Date(2031, 1, 1, 12, 0, 0, 0, location)
			last := first.AddDate(1, 0, 0)
			for at := s.next(first); at.Before(last); at = s.next(at) {
				seen[at.Format(time.DateOnly)]++
				if again := s.next(at.Add(-7 * time.Minute)); !again.Equal(at) {
					t.Errorf("%s in %s: seven minutes before %s the next is %s", spec, name, at, again)
				}
			}
			for day := first.AddDate(0, 0, 1); day.Before(last); day = day.AddDate(0, 0, 1) {
				if n := seen[day.Format(time.DateOnly)]; n != 1 {
					t.Errorf("%s in %s comes %d times on %s", spec, name, n, day.Format(time.DateOnly))
				}
			}
		}
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]time.Duration{ // after the time it was due
		"*/5 * * * *":  15 * time.Minute,
		"*/20 * * * *": 40 * time.Minute,
		"0 6 * * *":    48 * time.Hour,
	} {
		s, err := parseSchedule(spec, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		due, late := s.late(time.Date(2031, 3, 14, 6, 0, 1, 0, time.UTC))
		if got := late.Sub(due); got != want {
			t.Errorf("%s is late %s after it was due, want %s", spec, got, want)
		}
	}
}
