package forge

import (
	"net/http"
	"strconv"
	"time"
)

// longestSilence is how long a forge may ask to be left alone.
const longestSilence = time.Hour

// silence is until when a forge wants not to be called, by its answer; zero if it
// does not mind. GitHub says so in headers of its own when too much was asked.
func silence(answer *http.Response, now time.Time) (until time.Time) {
	switch answer.StatusCode {
	case http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		return time.Time{}
	}
	after, spent := answer.Header.Get("Retry-After"), answer.Header.Get("X-RateLimit-Remaining") == "0"
	if seconds, err := strconv.Atoi(after); err == nil {
		until = now.Add(time.Duration(seconds) * time.Second)
	} else if date, err := http.ParseTime(after); err == nil {
		until = date
	} else if reset, err := strconv.ParseInt(answer.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && spent {
		until = time.Unix(reset, 0)
	}
	if latest := now.Add(longestSilence); until.After(latest) {
		return latest
	}
	return until
}
