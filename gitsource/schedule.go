package gitsource

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when to poll next.
type Schedule interface {
	Next(now time.Time) time.Time
}

// ParseSchedule is a cron spec ("*/5 * * * *", "CRON_TZ=Asia/Shanghai 0 6 * * *",
// "@hourly") or, without one, an interval with a jitter of a tenth, so that many
// clusters do not ask a server all at once.
func ParseSchedule(interval time.Duration, spec string) (Schedule, error) {
	if spec != "" {
		return parseCron(spec)
	}
	if interval < time.Second {
		return nil, fmt.Errorf("poll interval %s: want at least a second", interval)
	}
	return every(interval), nil
}

// parseCron refuses what never comes: a poll would be due at once, without end.
func parseCron(spec string) (Schedule, error) {
	if strings.Contains(spec, "TZ=") && !strings.Contains(spec, " ") {
		return nil, fmt.Errorf("cron spec %q: want five cron fields after the time zone", spec) // it panics
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("cron spec %q: %w", spec, err)
	}
	if schedule.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("cron spec %q never comes", spec)
	}
	return schedule, nil
}

type every time.Duration

func (e every) Next(now time.Time) time.Time {
	d := time.Duration(e)
	return now.Add(d - d/10 + rand.N(d/5+1))
}
