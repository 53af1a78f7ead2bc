package sidecar

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience is how long a download may go on while a newer update of the same
// file waits: an upstream that hangs must not keep out the one that does not.
const patience = 10 * time.Second

var errGaveWay = errors.New("it took long and gave way to a newer update of the file")

// locks let one update at a time at each file, in the order they came.
type locks struct {
	mu   sync.Mutex
	held map[string]*turn
}

// turn is the queue at one file.
type turn struct {
	free    chan struct{}           // holds one token while nobody is at work
	waiting int                     // those at work or in the queue
	since   time.Time               // when the download under way began
	giveWay context.CancelCauseFunc // ends it; nil: there is none
}

// lock waits for its turn, or until ctx ends.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	t := l.join(name)
	for {
		select {
		case <-t.free:
			return func() { t.free <- struct{}{}; l.leave(name) }, nil
		case <-ctx.Done():
			l.leave(name)
			return nil, context.Cause(ctx)
		case <-time.After(patience / 10):
			l.hurry(t)
		}
	}
}

// hurry ends the download under way if it has had its time.
func (l *locks) hurry(t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.giveWay != nil && time.Since(t.since) >= patience {
		t.giveWay(errGaveWay)
	}
}

// mayGiveWay is the context of a download by the one whose turn it is; end is to
// be called after it.
func (l *locks) mayGiveWay(ctx context.Context, name string) (download context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.held[name]
	t.since, t.giveWay = time.Now(), cancel
	return ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		t.giveWay = nil
		cancel(nil)
	}
}

func (l *locks) join(name string) *turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*turn{}
	}
	t := l.held[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		l.held[name] = t
	}
	t.waiting++
	return t
}

func (l *locks) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.held[name]
	if t.waiting--; t.waiting == 0 {
		delete(l.held, name)
	}
}
