package gitsource

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// How long a server may ask for silence, and how long it gets where it asks for too
// many questions but names no time.
const (
	longestSilence = time.Hour
	usualSilence   = time.Minute
)

// Silence is what hosts asked for that want to be left alone for a while. Whoever has
// the same one keeps it together: a host counts all that come from here. Its zero value
// is that none asked.
type Silence struct {
	mu    sync.Mutex
	hosts map[string]*answerError
}

// keep takes the later end of two: questions may be under way when the first is answered.
func (s *Silence) keep(host string, wrong *answerError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.hosts[host]; wrong.until.IsZero() || before != nil && wrong.until.Before(before.until) {
		return
	}
	if s.hosts == nil {
		s.hosts = map[string]*answerError{}
	}
	s.hosts[host] = wrong
}

// of is why a host is not asked now; nil if it may be.
func (s *Silence) of(host string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong := s.hosts[host]; wrong != nil && time.Now().Before(wrong.until) {
		return wrong
	}
	delete(s.hosts, host)
	return nil
}

// silenceFor reads Retry-After: seconds, or a date.
func silenceFor(asked string, now time.Time) time.Duration {
	silence := usualSilence
	if seconds, err := strconv.Atoi(asked); err == nil {
		silence = time.Duration(min(seconds, int(longestSilence/time.Second))) * time.Second
	} else if date, err := http.ParseTime(asked); err == nil {
		silence = date.Sub(now)
	}
	return min(max(silence, 0), longestSilence)
}
