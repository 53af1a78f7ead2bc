package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

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
	opens *Cron // nil: it never does
	open  time.Duration
}

// wrong is a mistake in one field of a window.
type wrong struct{ field, reason string }

// parse reads a window, or says what is wrong with it.
func (w Window) parse() (o opening, mistakes []wrong) {
	var err error
	say := func(field, reason string, args ...any) {
		mistakes = append(mistakes, wrong{field, fmt.Sprintf(reason, args...)})
	}
	if o.open, err = time.ParseDuration(w.Duration); err != nil || o.open < minOpen || o.open > maxOpen {
		say("duration", "want 1m to 168h, such as 4h or 90m, got %q", w.Duration)
	}
	zone, err := time.LoadLocation(w.TimeZone)
	if err != nil || w.TimeZone == "Local" {
		say("timeZone", "want an IANA name such as Europe/Berlin, got %q", w.TimeZone)
	}
	if o.opens, err = ParseCron(w.Schedule, zone); err != nil {
		say("schedule", "%v", err)
	}
	return o, mistakes
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
		if o.opens == nil {
			continue
		}
		closes, opens := o.around(now)
		switch {
		case !closes.IsZero() && (!open || closes.After(until)):
			open, until, words = true, closes, ""
		case !open && !opens.IsZero() && (until.IsZero() || opens.Before(until)):
			zone := o.opens.zone
			until, words = opens, opens.In(zone).Format("Mon 2006-01-02 15:04 ")+zone.String()
		}
	}
	return open, until, words
}

// around is when the window that is open now closes, zero if none is, and when
// the next one opens. It lasts its duration, whatever the clocks do meanwhile.
func (o opening) around(now time.Time) (closes, opens time.Time) {
	if last := o.opens.Last(now.Add(-o.open), now); !last.IsZero() {
		closes = last.Add(o.open)
	}
	return closes, o.opens.Next(now)
}
