package gitsource

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Schedule says when to poll next.
type Schedule interface {
	Next(now time.Time) time.Time
}

// ParseSchedule is a cron spec ("*/5 * * * *", "CRON_TZ=Asia/Shanghai 0 6 * * *",
// "@hourly") or, without one, an interval with a jitter of a tenth, so that many
// clusters do not ask a server all at once; "@every 5m" is one, too.
func ParseSchedule(interval time.Duration, spec string) (Schedule, error) {
	if spec == "" {
		return parseEvery(interval)
	}
	if interval, ok := strings.CutPrefix(spec, "@every "); ok {
		d, err := time.ParseDuration(interval)
		if err != nil {
			return nil, fmt.Errorf("want an interval such as @every 5m, got %q", spec)
		}
		return parseEvery(d)
	}
	return parseZoned(spec)
}

// parseZoned goes by the clocks of the zone that a spec begins with, or else of this
// process.
func parseZoned(spec string) (Schedule, error) {
	name, fields, found := strings.Cut(strings.TrimPrefix(spec, "CRON_"), " ")
	name, zoned := strings.CutPrefix(name, "TZ=")
	if !found || !zoned {
		return api.ParseCron(spec, time.Local)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("want a time zone by its IANA name such as Europe/Berlin, got %q", name)
	}
	return api.ParseCron(strings.TrimSpace(fields), zone)
}

func parseEvery(interval time.Duration) (Schedule, error) {
	if interval < time.Second {
		return nil, fmt.Errorf("poll interval %s: want at least a second", interval)
	}
	return every(interval), nil
}

type every time.Duration

func (e every) Next(now time.Time) time.Time {
	d := time.Duration(e)
	return now.Add(d - d/10 + rand.N(d/5+1))
}
