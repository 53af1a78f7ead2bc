package gitsource

import (
	"fmt"
	"math/rand/v2"
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
		schedule, err := cron.ParseStandard(spec)
		if err != nil {
			return nil, fmt.Errorf("cron spec %q: %w", spec, err)
		}
		return schedule, nil
	}
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
