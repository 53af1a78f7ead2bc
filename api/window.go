package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	strictjson "sigs.k8s.io/json"
)

// Window is a time that comes again, in which pods may change.
type Window struct {
	// Schedule is when it opens: five cron fields, or @daily and the like.
	Schedule string `json:"schedule"`
	// Duration is how long it stays open, as time passes: "4h", "90m". At least a
	// minute, at most a week.
	Duration string `json:"duration"`
	// TimeZone of the schedule by its IANA name; default UTC.
	TimeZone string `json:"timeZone,omitempty"`
}

// Windows are one window or several, of which any may be open.
type Windows struct {
	List []Window

	wrong string // what stood there, if it was neither; Validate refuses it
}

// IsZero lets no windows be left out of JSON and YAML.
func (ws Windows) IsZero() bool { return len(ws.List) == 0 && ws.wrong == "" }

// MarshalJSON writes a list.
func (ws Windows) MarshalJSON() ([]byte, error) { return json.Marshal(ws.List) }

// UnmarshalJSON reads one window or a list. It takes in anything else too, for
// Validate to refuse: from here an error could not name the field.
func (ws *Windows) UnmarshalJSON(b []byte) error {
	*ws = Windows{}
	if string(b) == "null" {
		return nil
	}
	if !strings.HasPrefix(string(b), "[") {
		b = slices.Concat([]byte("["), b, []byte("]"))
	}
	strict, err := strictjson.UnmarshalStrict(b, &ws.List)
	switch {
	case err != nil:
		*ws = Windows{wrong: "want schedule, duration and timeZone, or a list of such"}
	case len(strict) > 0:
		ws.wrong = strings.ReplaceAll(strict[0].Error(), `"[0].`, `"`) + "; a window has schedule, duration and timeZone"
	case len(ws.List) == 0:
		ws.wrong = "is an empty list; leave it out, or give a window"
	}
	return nil
}

// Limits of a window.
const (
	minOpen = time.Minute
	maxOpen = 7 * 24 * time.Hour
)

// opening is a window in use.
type opening struct {
	schedule cron.Schedule // nil: it never opens
	open     time.Duration
	zone     *time.Location
}

// wrong is a mistake in one field of a window.
type wrong struct{ field, reason string }

// parse reads a window, or says what is wrong with it.
func (w Window) parse() (o opening, mistakes []wrong) {
	var err error
	say := func(field, reason string, args ...any) {
		mistakes = append(mistakes, wrong{field, fmt.Sprintf(reason, args...)})
	}
	if !anchored(w.Schedule) { // nor may the parser see it: it panics on a zone alone
		say("schedule", "want five cron fields such as \"0 22 * * 1-5\", got %q", w.Schedule)
	} else if o.schedule, err = cron.ParseStandard(w.Schedule); err != nil {
		say("schedule", "want five cron fields such as \"0 22 * * 1-5\", got %q", w.Schedule)
	} else if o.schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		say("schedule", "%q never comes", w.Schedule)
	}
	if o.open, err = time.ParseDuration(w.Duration); err != nil || o.open < minOpen || o.open > maxOpen {
		say("duration", "want 1m to 168h, such as 4h or 90m, got %q", w.Duration)
	}
	if o.zone, err = time.LoadLocation(w.TimeZone); err != nil || w.TimeZone == "Local" {
		say("timeZone", "want an IANA name such as Europe/Berlin, got %q", w.TimeZone)
	}
	return o, mistakes
}

// anchored: "@every 5h" counts from when somebody began to count, and a zone in
// the schedule would contradict the field timeZone.
func anchored(schedule string) bool {
	return !strings.HasPrefix(schedule, "@every") && !strings.Contains(schedule, "TZ=")
}

// Openings are windows that were read once, to be asked often.
type Openings []opening

// Openings reads windows. One that Validate has refused never opens.
func (ws Windows) Openings() (all Openings) {
	for _, w := range ws.List {
		o, mistakes := w.parse()
		if len(mistakes) > 0 {
			o = opening{}
		}
		all = append(all, o)
	}
	return all
}

// At tells whether a window is open, and until when; or when the next opens, and
// how people there say it. Without windows it is always open.
//
// It goes by the time alone and remembers nothing. A window whose opening was
// missed, because nobody was running, is open for what is left of it; one that was
// missed whole is not made up for.
func (all Openings) At(now time.Time) (open bool, until time.Time, words string) {
	if len(all) == 0 {
		return true, until, ""
	}
	for _, o := range all {
		if o.schedule == nil {
			continue
		}
		closes, opens := o.around(now)
		switch {
		case !closes.IsZero() && (!open || closes.After(until)):
			open, until, words = true, closes, ""
		case !open && !opens.IsZero() && (until.IsZero() || opens.Before(until)):
			until, words = opens, opens.In(o.zone).Format("Mon 2006-01-02 15:04 ")+o.zone.String()
		}
	}
	return open, until, words
}

// shift is more than any zone's clocks are put forward or back at once.
const shift = 25 * time.Hour

// around is when the window that is open now closes, zero if none is, and when
// the next one opens.
func (o opening) around(now time.Time) (closes, opens time.Time) {
	wall := onTheWall(now.In(o.zone)).Add(-o.open - shift)
	for {
		if wall = o.schedule.Next(wall); wall.IsZero() {
			return closes, opens // not within five years
		}
		at := o.moment(wall)
		if at.After(now) {
			return closes, at
		}
		if end := at.Add(o.open); end.After(now) {
			closes = end
		}
	}
}

// onTheWall is what a clock on the wall shows, as if it stood in UTC, where no
// hour is left out or comes twice.
func onTheWall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// moment is when the clocks of the zone show a time. Where it comes twice, because
// they are put back, that is the first time: the window opens once, not twice.
// Where it never comes, because they are put forward, it is when it would have come
// had nobody touched them (02:30 is 03:30 then): a window is not skipped. The
// window then lasts its duration, whatever the clocks do meanwhile.
func (o opening) moment(wall time.Time) time.Time {
	var standard time.Time
	for _, around := range []time.Duration{-shift, shift} {
		_, offset := wall.Add(around).In(o.zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if onTheWall(at.In(o.zone)).Equal(wall) {
			return at
		}
		if standard.IsZero() {
			standard = at
		}
	}
	return standard
}
