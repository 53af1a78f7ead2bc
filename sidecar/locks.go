package sidecar

import (
	"context"
	"sync"
)

// locks let one update at a time at each file.
type locks struct {
	mu   sync.Mutex
	held map[string]*turn
}

// turn is the queue at one file.
type turn struct {
	free    chan struct{} // holds one token while nobody is at work
	waiting int           // those at work or in the queue
}

// lock waits for its turn, or until ctx ends.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	t := l.join(name)
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; l.leave(name) }, nil
	case <-ctx.Done():
		l.leave(name)
		return nil, context.Cause(ctx)
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
