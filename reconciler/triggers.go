package reconciler

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// cause says why a pass runs; several may add up while one waits.
type cause uint8

const (
	newCommit   cause = 1 << iota // Git has something else than before
	podsChanged                   // so some pods are not what they were
	workEnded                     // a write or a call has come back
	retryDue                      // something that failed may be tried again
	resync                        // time has passed: look at everything again
	timeCame                      // at which something was to be planned again
)

// names of the causes, as metrics and logs have them.
var causeNames = map[cause]string{
	newCommit: "commit", podsChanged: "pods", workEnded: "work", retryDue: "retry", resync: "resync", timeCame: "time",
}

// names lists what is in c.
func (c cause) names() []string {
	var names []string
	for _, one := range slices.Sorted(maps.Keys(causeNames)) {
		if c&one != 0 {
			names = append(names, causeNames[one])
		}
	}
	return names
}

// trigger is a slot for one run of something. However often it is fired while a
// run is under way, one more run follows, and none is lost.
type trigger struct {
	mu     sync.Mutex
	causes cause
	wake   chan struct{}
}

func newTrigger() *trigger { return &trigger{wake: make(chan struct{}, 1)} }

func (t *trigger) fire(c cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.causes |= c
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// take empties the slot.
func (t *trigger) take() cause {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.causes
	t.causes = 0
	return c
}

// serve runs work once per filled slot until ctx ends.
func (t *trigger) serve(ctx context.Context, work func(context.Context, cause)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
			work(ctx, t.take())
		}
	}
}

// alarm rings at one moment, the last that it was set to.
type alarm struct{ timer *time.Timer }

// set forgets what was set before; at the zero time it never rings. It goes by
// the clock as it is now: one that is put back, or sleeps, is met by the resync.
func (a *alarm) set(at time.Time, ring func()) {
	a.stop()
	if !at.IsZero() {
		a.timer = time.AfterFunc(time.Until(at), ring)
	}
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// settle is how long a burst of pod events is gathered into one pass: agents
// write annotation, label and condition within a millisecond or two.
const settle = 3 * time.Millisecond

// debounce returns a function that calls f once, settle after the first of a
// burst of calls.
func debounce(f func()) func() {
	var mu sync.Mutex
	waiting := false
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if waiting {
			return
		}
		waiting = true
		time.AfterFunc(settle, func() {
			mu.Lock()
			waiting = false
			mu.Unlock()
			f()
		})
	}
}
