package api

import (
	"testing"
	"time"
)

func berlin(schedule, duration string) Windows {
	return Windows{List: []Window{{Schedule: schedule, Duration: duration, TimeZone: "Europe/Berlin"}}}
}

// Clocks in Berlin are put forward on 2026-03-29 at 02:00 (+01:00) and back on
// 2026-10-25 at 03:00 (+02:00).
func TestWindowsByTheClock(t *testing.T) {
	nightly, weekdays := berlin("0 22 * * *", "4h"), berlin("0 22 * * 1-5", "4h")
	inTheGap, twice, overTheShift := berlin("30 2 * * *", "1h"), berlin("30 2 * * *", "1h"), berlin("0 1 * * *", "3h")
	lordHowe := Windows{List: []Window{{Schedule: "15,30 2 * * *", Duration: "20m", TimeZone: "Australia/Lord_Howe"}}}
	several := Windows{List: append(berlin("0 22 * * *", "1h").List, Window{Schedule: "0 12 * * *", Duration: "30m"})}
	for _, c := range []struct {
		what         string
		windows      Windows
		now          string
		open         bool
		until, words string
	}{
		{"none is always open", Windows{}, "2026-11-30T12:00:00Z", true, "", ""},
		{"a second before", nightly, "2026-11-30T21:59:59+01:00", false, "2026-11-30T22:00:00+01:00", "Mon 2026-11-30 22:00 Europe/Berlin"},
		{"at its opening", nightly, "2026-11-30T22:00:00+01:00", true, "2026-12-01T02:00:00+01:00", ""},
		{"over midnight", nightly, "2026-12-01T01:59:59+01:00", true, "2026-12-01T02:00:00+01:00", ""},
		{"at its end", nightly, "2026-12-01T02:00:00+01:00", false, "2026-12-01T22:00:00+01:00", "Tue 2026-12-01 22:00 Europe/Berlin"},
		{"over the weekend", weekdays, "2026-11-28T03:00:00+01:00", false, "2026-11-30T22:00:00+01:00", "Mon 2026-11-30 22:00 Europe/Berlin"},
		{"Friday's reaches into Saturday", weekdays, "2026-11-28T01:00:00+01:00", true, "2026-11-28T02:00:00+01:00", ""},
		{"the next of several, in its own words", several, "2026-11-30T09:00:00Z", false, "2026-11-30T12:00:00Z", "Mon 2026-11-30 12:00 UTC"},
		{"any of several", several, "2026-11-30T21:15:00Z", true, "2026-11-30T22:00:00Z", ""},
		{"overlapping ones close with the last", berlin("0 * * * *", "90m"), "2026-11-30T12:15:00+01:00", true, "2026-11-30T13:30:00+01:00", ""},

		{"an hour that never comes: not yet", inTheGap, "2026-03-29T01:59:59+01:00", false, "2026-03-29T03:30:00+02:00", "Sun 2026-03-29 03:30 Europe/Berlin"},
		{"opens when it would have come", inTheGap, "2026-03-29T03:30:00+02:00", true, "2026-03-29T04:30:00+02:00", ""},
		{"and the day after as ever", inTheGap, "2026-03-29T04:30:00+02:00", false, "2026-03-30T02:30:00+02:00", "Mon 2026-03-30 02:30 Europe/Berlin"},
		{"an hour that comes twice: the first time", twice, "2026-10-25T02:30:00+02:00", true, "2026-10-25T03:30:00+02:00", ""},
		{"and not again", twice, "2026-10-25T02:30:00+01:00", false, "2026-10-26T02:30:00+01:00", "Mon 2026-10-26 02:30 Europe/Berlin"},
		{"lasts its duration over a missing hour", overTheShift, "2026-03-29T04:59:59+02:00", true, "2026-03-29T05:00:00+02:00", ""},
		{"lasts its duration over a second hour", overTheShift, "2026-10-25T02:59:59+01:00", true, "2026-10-25T03:00:00+01:00", ""},
		{"half an hour that never comes, before one that comes", lordHowe, "2026-10-04T02:31:00+11:00", true, "2026-10-04T02:50:00+11:00", ""},
		{"to its end", lordHowe, "2026-10-04T03:04:59+11:00", true, "2026-10-04T03:05:00+11:00", ""},
		{"one of every hour opens in both that are the same", berlin("0 * * * *", "20m"), "2026-10-25T02:10:00+01:00", true, "2026-10-25T02:20:00+01:00", ""},

		// Whoever asks was not there before: nothing is remembered.
		{"missed by an hour, the rest is left", nightly, "2026-11-30T23:00:00+01:00", true, "2026-12-01T02:00:00+01:00", ""},
		{"missed whole, it is not made up for", berlin("0 0 1 12 *", "4h"), "2026-12-01T05:00:00+01:00", false, "2027-12-01T00:00:00+01:00", "Wed 2027-12-01 00:00 Europe/Berlin"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		open, until, words := c.windows.Openings().At(now.UTC())
		if open != c.open || !until.Equal(when(t, c.until)) || words != c.words {
			t.Errorf("%s: open %t until %s (%q), want %t until %s (%q)", c.what, open, until.Format(time.RFC3339), words, c.open, c.until, c.words)
		}
	}
}

func when(t *testing.T, text string) (at time.Time) {
	t.Helper()
	if text == "" {
		return at
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWindowIsOneOrAList(t *testing.T) {
	for doc, want := range map[string]int{
		`{"schedule": "@daily", "duration": "1h"}`:                                              1,
		`[{"schedule": "@daily", "duration": "1h"}, {"schedule": "@weekly", "duration": "1h"}]`: 2,
		`null`: 0,
	} {
		var ws Windows
		if err := ws.UnmarshalJSON([]byte(doc)); err != nil || ws.wrong != "" || len(ws.List) != want {
			t.Errorf("%s: %+v, %v", doc, ws, err)
		}
		again, err := ws.MarshalJSON()
		var same Windows
		if err != nil || want > 0 && (same.UnmarshalJSON(again) != nil || len(same.List) != want) {
			t.Errorf("%s: written as %s, %v", doc, again, err)
		}
	}
}

// What Validate refuses is not to open by mistake.
func TestRefusedWindowNeverOpens(t *testing.T) {
	ws := Windows{List: []Window{{Schedule: "whenever", Duration: "1h"}}}
	if open, until, words := ws.Openings().At(time.Now()); open || !until.IsZero() || words != "" {
		t.Errorf("open %t until %s (%q)", open, until, words)
	}
}
