package daemon

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule is a cron text read in a time zone.
//
// A time of day that the clocks leave out in spring comes once, as much later as they were put forward; one that they repeat in
// autumn comes once, the first time. A schedule that names no hours (every five minutes, every hour) follows real time: it
// leaves nothing out and goes on through the repeated hour.
type schedule struct {
	spec     cron.Schedule
	location *time.Location
}

func parseSchedule(text string, location *time.Location) (schedule, error) {
	spec, err := cron.ParseStandard(text)
	if err != nil {
		return schedule{}, fmt.Errorf("schedule %q: %w", text, err)
	}
	return schedule{spec, location}, nil
}

// shift is more than clocks are ever put forward or back.
const shift = 3 * time.Hour

// next is the first time after t; the zero time when there is none.
func (s schedule) next(t time.Time) time.Time {
	t = t.Round(0).In(s.location) // without the monotonic reading: what counts is what the clocks show
	spec, ok := s.spec.(*cron.SpecSchedule)
	if !ok || everyHour(spec) {
		return s.spec.Next(t)
	}
	// What the schedule names is looked for on a clock that is never changed, and then found on the real one.
	before := t.Add(-shift)
	wall := time.Date(before.Year(), before.Month(), before.Day(), before.Hour(), before.Minute(), before.Second(), 0, time.UTC)
	for {
		if wall = spec.Next(wall); wall.IsZero() {
			return wall
		}
		if at := s.instant(wall); at.After(t) {
			return at
		}
	}
}

func everyHour(spec *cron.SpecSchedule) bool {
	const all = 1<<24 - 1
	return spec.Hour&all == all
}

// instant is when clocks in the time zone show what wall shows.
func (s schedule) instant(wall time.Time) time.Time {
	shown := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, s.location)
	_, offset := shown.Add(-shift).Zone()
	first := wall.Add(-time.Duration(offset) * time.Second).In(s.location)
	if !showsSame(shown, wall) || showsSame(first, wall) {
		return first
	}
	return shown
}

func showsSame(t, wall time.Time) bool {
	return t.Hour() == wall.Hour() && t.Minute() == wall.Minute() && t.Day() == wall.Day()
}

// lateAfter is how long after its time a run may end at the earliest before it counts as missed.
const lateAfter = 15 * time.Minute

// late is when a job whose last run began at last is missed: two more of its times have passed by then, and a quarter of an hour.
func (s schedule) late(last time.Time) (due, late time.Time) {
	due = s.next(last)
	late = s.next(s.next(due))
	if quarter := due.Add(lateAfter); late.Before(quarter) {
		late = quarter
	}
	return due, late
}
