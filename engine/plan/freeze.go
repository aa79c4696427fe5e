package plan

import (
	"slices"
	"time"

	"github.com/trueup-sync/trueup/model"
)

// Freeze is a time in which nothing that costs is written: some days of the calendar, or some hours that come again every week. All of it is
// in the time zone in which billing days are counted.
type Freeze struct {
	From, To model.Day // first and last day; zero for hours of the week

	// Hours of the week begin on the named days (on every day when none is named) at Begin and end at the next End, minutes after midnight by
	// the clock on the wall: through a night when End is not after Begin.
	Days       []time.Weekday
	Begin, End int
}

// FrozenUntil is the end of the freeze at a moment, through windows that touch or overlap; zero when there is none. now is in the time zone in
// which billing days are counted. A freeze without an end is said to end after a year.
func FrozenUntil(windows []Freeze, now time.Time) time.Time {
	until := now
	for moved := true; moved && until.Sub(now) < 366*24*time.Hour; {
		moved = false
		for _, w := range windows {
			if end := w.end(until); end.After(until) {
				until, moved = end, true
			}
		}
	}
	if until.Equal(now) {
		return time.Time{}
	}
	return until
}

// end is when the window that a moment is in ends; zero when it is in none.
func (w Freeze) end(at time.Time) time.Time {
	loc, today := at.Location(), model.DayOf(at)
	within := func(begin, end time.Time) bool { return !at.Before(begin) && at.Before(end) }
	if !w.From.IsZero() {
		if end := w.To.Add(1).Midnight(loc); within(w.From.Midnight(loc), end) {
			return end
		}
		return time.Time{}
	}
	for _, day := range []model.Day{today.Add(-1), today} {
		if len(w.Days) > 0 && !slices.Contains(w.Days, day.Midnight(time.UTC).Weekday()) {
			continue
		}
		last := day
		if w.End <= w.Begin {
			last = day.Add(1)
		}
		if end := wall(last, w.End, loc, time.Hour); within(wall(day, w.Begin, loc, -time.Hour), end) {
			return end
		}
	}
	return time.Time{}
}

// wall is the moment at which a clock on the wall shows a time on a day. A time that the clock skips in spring is as much later. Of two that it
// shows in autumn, further says which: the first an hour back, the second an hour on.
func wall(d model.Day, minutes int, loc *time.Location, further time.Duration) time.Time {
	day := d.Midnight(time.UTC)
	at := time.Date(day.Year(), day.Month(), day.Day(), minutes/60, minutes%60, 0, 0, loc)
	if other := at.Add(further); other.Format("15:04") == at.Format("15:04") {
		return other
	}
	return at
}
