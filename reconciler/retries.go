package reconciler

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Waiting times after failures: doubled from the first to the last, and moved
// by up to a fifth so that what failed together is not tried together.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 2 * time.Minute
	forgetting = time.Hour
)

// retries remembers what failed, by a key that names the thing and what it was
// to become, so that a new wish is never held back by an old failure.
type retries struct {
	backoff func(times int) time.Duration
	keeps   time.Duration // what nobody tries any more

	mu     sync.Mutex
	failed map[string]failure
	timer  *time.Timer
}

type failure struct {
	err   error
	times int
	due   time.Time
	told  bool // that it is due
}

// newRetries calls wake when something is due.
func newRetries(wake func()) *retries {
	r := &retries{backoff: backoff, keeps: forgetting, failed: map[string]failure{}}
	r.timer = time.AfterFunc(lastRetry, func() {
		r.tellDue()
		wake()
	})
	return r
}

func (r *retries) tellDue() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for key, f := range r.failed {
		f.told = f.told || !now.Before(f.due)
		r.failed[key] = f
	}
	r.schedule()
}

// hold returns the last error of a key while it is too early to try it again, and
// when it no longer is.
func (r *retries) hold(key string) (due time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.failed[key]
	if time.Now().Before(f.due) {
		return f.due, f.err
	}
	return due, nil
}

// last returns the last error of a key, due or not.
func (r *retries) last(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[key].err
}

// note remembers how an attempt ended and returns its error.
func (r *retries) note(key string, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.failed, key)
		return nil
	}
	f := r.failed[key]
	r.failed[key] = failure{err: err, times: f.times + 1, due: time.Now().Add(r.backoff(f.times))}
	r.schedule()
	return err
}

// schedule sets the timer to the earliest moment at which something is due that
// nobody was told of, be it just over, and forgets what nobody has tried for long.
func (r *retries) schedule() {
	now := time.Now()
	var next time.Time
	for key, f := range r.failed {
		switch {
		case now.Sub(f.due) > r.keeps:
			delete(r.failed, key)
		case !f.told && (next.IsZero() || f.due.Before(next)):
			next = f.due
		}
	}
	if !next.IsZero() {
		r.timer.Reset(time.Until(next))
	}
}

func backoff(times int) time.Duration {
	wait := lastRetry
	if times < 8 {
		wait = min(firstRetry<<times, lastRetry)
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}
