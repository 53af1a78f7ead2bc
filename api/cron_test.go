package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func cronIn(t testing.TB, spec, zone string) *Cron {
	t.Helper()
	in, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCron(spec, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Windows and polls go by the same clocks. Where they are put forward and back in 2026:
// Berlin by an hour, on March 29 at 02:00 and October 25 at 03:00; New York on March 8
// and November 1 at 02:00; Lord Howe by half an hour, on October 4 and April 5 at 02:00.
func TestCronByTheClock(t *testing.T) {
	const berlin, newYork, lordHowe = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
	for _, c := range []struct{ zone, spec, after, want string }{
		{berlin, "30 2 * * *", "2026-03-28T01:30:00Z", "Sun 03:30+02, Mon 02:30+02, Tue 02:30+02"},
		{berlin, "30 2 * * *", "2026-10-24T00:30:00Z", "Sun 02:30+02, Mon 02:30+01, Tue 02:30+01"},
		{berlin, "0 2,3 * * *", "2026-03-28T12:00:00Z", "Sun 03:00+02, Mon 02:00+02, Mon 03:00+02"},
		{berlin, "0,30 2 * * *", "2026-10-24T12:00:00Z", "Sun 02:00+02, Sun 02:30+02, Mon 02:00+01"},
		{berlin, "0 3 * * *", "2026-10-24T12:00:00Z", "Sun 03:00+01, Mon 03:00+01, Tue 03:00+01"},
		{berlin, "30 */2 * * *", "2026-03-29T00:00:00Z", "Sun 03:30+02, Sun 04:30+02, Sun 06:30+02"},
		{berlin, "*/30 * * * *", "2026-03-29T00:15:00Z", "Sun 01:30+01, Sun 03:00+02, Sun 03:30+02"},
		{berlin, "*/30 * * * *", "2026-10-25T00:15:00Z", "Sun 02:30+02, Sun 02:00+01, Sun 02:30+01, Sun 03:00+01"},
		{newYork, "30 2 * * *", "2026-03-07T12:00:00Z", "Sun 03:30-04, Mon 02:30-04, Tue 02:30-04"},
		{newYork, "30 1 * * *", "2026-10-31T12:00:00Z", "Sun 01:30-04, Mon 01:30-05, Tue 01:30-05"},
		{lordHowe, "15,30 2 * * *", "2026-10-03T00:00:00Z", "Sun 02:30+11, Sun 02:45+11, Mon 02:15+11"},
		{lordHowe, "45 1 * * *", "2026-04-04T00:00:00Z", "Sun 01:45+11, Mon 01:45+1030, Tue 01:45+1030"},
		{lordHowe, "0 * * * *", "2026-04-04T13:30:00Z", "Sun 01:00+11, Sun 02:00+1030, Sun 03:00+1030"},
		{"Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00Z", "Thu 12:00-10, Sat 12:00+14, Sun 12:00+14"}, // there was no Friday
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z", "Sun 01:00-02, Mon 00:00-02"},
		{newYork, "0 */12 * * *", "2040-12-30T17:00:00Z", "Mon 00:00-05, Mon 12:00-05, Tue 00:00-05"}, // a year of 366 days
		{"UTC", "0 0 29 2 *", "2026-01-01T00:00:00Z", "Tue 00:00Z, Sun 00:00Z"},
	} {
		cron, now := cronIn(t, c.spec, c.zone), when(t, c.after)
		var got []string
		for range strings.Count(c.want, ",") + 1 {
			now = cron.Next(now)
			got = append(got, now.In(cron.zone).Format("Mon 15:04Z07"))
			if _, seconds := now.In(cron.zone).Zone(); seconds%3600 != 0 {
				got[len(got)-1] = now.In(cron.zone).Format("Mon 15:04Z0700")
			}
		}
		if said := strings.Join(got, ", "); said != c.want {
			t.Errorf("%s in %s: %s, want %s", c.spec, c.zone, said, c.want)
		}
	}
}

// dumb walks through a span minute by minute, with an eye on the clock on the wall and
// a list of what it has shown.
func dumb(c *Cron, from, until time.Time) (times []time.Time) {
	wall := func(at time.Time) time.Time { return at.UTC().Add(offset(at.In(c.zone))) }
	matches := func(wall time.Time) bool { return c.wall.Next(wall.Add(-1)).Equal(wall) }
	shown := map[time.Time]bool{}
	at := from.Add(-50 * time.Hour)
	for before := wall(at); at.Before(until); at = at.Add(time.Minute) {
		now := wall(at)
		if matches(now) && (!shown[now] || c.hourly()) {
			times = append(times, at)
		}
		for missing := before.Add(time.Minute); missing.Before(now); missing = missing.Add(time.Minute) {
			if matches(missing) {
				times = append(times, at.Add(missing.Sub(before)-time.Minute))
			}
		}
		shown[now], before = true, now
	}
	slices.SortFunc(times, time.Time.Compare)
	times = slices.CompactFunc(times, time.Time.Equal)
	return slices.DeleteFunc(times, func(at time.Time) bool { return !at.After(from) || !at.Before(until) })
}

func TestCronSaysWhatADumbOneSays(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "America/Sao_Paulo", "Pacific/Apia",
		"Pacific/Chatham", "Antarctica/Troll", "Africa/Casablanca", "Asia/Pyongyang", "America/Caracas", "Africa/Juba", "Asia/Gaza"}
	specs := []string{"%d %d * * *", "%d * * * *", "%d,%[1]d %d,3 * * *", "*/7 %[2]d * * *", "%d */2 * * *", "*/20 * * * *", "%d %d * * 0", "* 0-3 * * 6,0", "%d 0-23 * * *", "%d 2 28-31 3,10 *"}
	for range 60 {
		zone, spec := zones[r.IntN(len(zones))], specs[r.IntN(len(specs))]
		spec, _, _ = strings.Cut(fmt.Sprintf(spec, r.IntN(60), r.IntN(5)), "%!")
		cron := cronIn(t, spec, zone)
		near := time.Unix(1_000_000_000+r.Int64N(1_500_000_000), 0).Truncate(time.Minute)
		if _, end := near.In(cron.zone).ZoneBounds(); !end.IsZero() {
			near = end
		}
		from := near.Add(-time.Duration(r.IntN(40)) * time.Hour).Truncate(time.Minute)
		until := from.Add(60 * time.Hour)
		var got []time.Time
		for at := cron.Next(from); at.Before(until); at = cron.Next(at) {
			got = append(got, at)
		}
		want := dumb(cron, from, until)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("seed %d: %q in %s from %s: %d times, want %d\n%v\n%v", seed, spec, zone, from, len(got), len(want), got, want)
		}
		for range 20 {
			now := from.Add(time.Duration(r.Int64N(int64(60 * time.Hour))))
			var last time.Time
			for _, at := range want {
				if !at.After(now) {
					last = at
				}
			}
			if found := cron.Last(from, now); !found.Equal(last) {
				t.Fatalf("seed %d: %q in %s: the last from %s to %s is %s, want %s", seed, spec, zone, from, now, found, last)
			}
		}
	}
}

// A pass asks each window that holds somebody back.
func BenchmarkWindows(b *testing.B) {
	for _, w := range []Window{
		{"0 22 * * 1-5", "4h", "Europe/Berlin"}, {"* * * * *", "168h", "Europe/Berlin"}, {"0 0 29 2 *", "1h", "Europe/Berlin"},
	} {
		b.Run(strings.ReplaceAll(w.Schedule, " ", "_"), func(b *testing.B) {
			openings := Windows{List: []Window{w}}.Openings()
			now := time.Date(2026, 10, 23, 2, 31, 0, 0, time.UTC)
			for b.Loop() {
				openings.At(now)
			}
		})
	}
}
