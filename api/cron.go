package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Cron is a schedule by the clocks of a time zone. Its times are those that a clock
// on the wall shows, and each counts once, also where people touch the clocks:
//
//   - A time that never comes, because they are put forward, counts when it would
//     have come had nobody touched them (02:30 is 03:30 then): nothing is skipped.
//   - A time that comes twice, because they are put back, counts the first time. Only
//     a schedule of every hour ("*/5 * * * *"), which names none, counts on in both:
//     it would stand still for an hour otherwise.
type Cron struct {
	wall *cron.SpecSchedule // asked in UTC, where no hour is left out or comes twice
	zone *time.Location
}

// ParseCron reads five cron fields, or @daily and the like. "@every 5h" is refused,
// as it counts from when somebody began to count; so is a zone among the fields.
func ParseCron(spec string, zone *time.Location) (*Cron, error) {
	var schedule cron.Schedule
	var err error
	if !strings.Contains(spec, "TZ=") { // the parser panics on a zone alone
		schedule, err = cron.ParseStandard(spec)
	}
	wall, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("want five cron fields such as \"0 22 * * 1-5\", got %q%s", spec, because(err))
	}
	if wall.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q never comes", spec)
	}
	return &Cron{wall, zone}, nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// Next is the first time after now, zero if there is none within five years.
//
// It looks at one stretch after the other in which nobody touches the clocks. Where
// they were put forward, the old ones count beside them for as long as they jumped;
// where they were put back, nothing counts until they are where they had been.
func (c *Cron) Next(now time.Time) time.Time {
	for from := now.Add(1); ; {
		start, end := c.stretch(from)
		was, is := offset(start.Add(-1)), offset(from.In(c.zone))
		next, jumped := c.by(is, from), start.Add((is - was).Abs())
		switch {
		case !from.Before(jumped):
		case is > was:
			if old := c.by(was, from); old.Before(jumped) && old.Before(next) {
				next = old
			}
		case !c.hourly():
			next = c.by(is, jumped)
		}
		if next.IsZero() || end.IsZero() || next.Before(end) {
			return next
		}
		from = end
		if near := next.Add(-shift); near.After(end) { // until then nothing comes by any clock
			from = near
		}
	}
}

// shift is more than any zone's clocks are put forward or back at once.
const shift = 25 * time.Hour

// Last is the last time after since that is not after now, zero if there is none.
func (c *Cron) Last(since, now time.Time) (last time.Time) {
	comes := func(since time.Time) bool {
		next := c.Next(since)
		if next.IsZero() || next.After(now) {
			return false
		}
		last = next
		return true
	}
	if !comes(since) {
		return last
	}
	for until := now; until.Sub(last) >= time.Second; { // nothing comes twice in one
		if middle := last.Add(until.Sub(last) / 2); !comes(middle) {
			until = middle
		}
	}
	return last
}

// stretch is a time around another in which nobody touches the clocks. Package time
// takes each year to end after 365 days: on the last of a leap year the end is past.
func (c *Cron) stretch(at time.Time) (start, end time.Time) {
	start, end = at.In(c.zone).ZoneBounds()
	if !end.IsZero() && !end.After(at) {
		end = at.Add(time.Hour)
	}
	return start, end
}

// by is the first time from then on by clocks of one offset, zero if there is none.
func (c *Cron) by(offset time.Duration, from time.Time) time.Time {
	wall := c.wall.Next(from.UTC().Add(offset - 1))
	if wall.IsZero() {
		return wall
	}
	return wall.Add(-offset)
}

const everyHour = 1<<24 - 1

func (c *Cron) hourly() bool { return c.wall.Hour&everyHour == everyHour }

// offset is by how much the clocks at a time and place are ahead of UTC.
func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}
