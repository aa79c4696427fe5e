package model

import (
	"fmt"
	"time"
)

// Day is a calendar day, the unit of billing. It has no clock and no zone: the zone is applied once, where a moment
// becomes a day. The zero Day is "no day".
type Day struct {
	year  int
	month time.Month
	day   int
}

// NewDay makes a day; days outside the month roll over as in time.Date.
func NewDay(year int, month time.Month, day int) Day {
	return DayOf(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// DayOf is the day that t's own clock and zone show.
func DayOf(t time.Time) Day {
	y, m, d := t.Date()
	return Day{y, m, d}
}

// ParseDay reads 2031-02-28 and nothing else.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Day{}, fmt.Errorf("%q is not a day like 2031-02-28", s)
	}
	return DayOf(t), nil
}

// String is 2031-02-28, or "" for no day.
func (d Day) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day)
}

// IsZero reports "no day".
func (d Day) IsZero() bool { return d == Day{} }

// Midnight is the start of the day in loc.
func (d Day) Midnight(loc *time.Location) time.Time {
	return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, loc)
}

// Add moves by whole days.
func (d Day) Add(days int) Day { return NewDay(d.year, d.month, d.day+days) }

// AddMonths moves by calendar months; the 31st becomes the last day of a shorter month.
func (d Day) AddMonths(months int) Day {
	first := NewDay(d.year, d.month+time.Month(months), 1)
	last := NewDay(first.year, first.month+1, 0)
	return Day{first.year, first.month, min(d.day, last.day)}
}

// Cmp is -1, 0 or 1 as d is before, on or after o.
func (d Day) Cmp(o Day) int { return d.Midnight(time.UTC).Compare(o.Midnight(time.UTC)) }

// Until counts the days from d to o.
func (d Day) Until(o Day) int {
	return int(o.Midnight(time.UTC).Sub(d.Midnight(time.UTC)).Hours() / 24)
}

// MarshalText writes 2031-02-28.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; an empty text is no day.
func (d *Day) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*d = Day{}
		return nil
	}
	*d, err = ParseDay(string(b))
	return err
}
