package sidecar

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// gate answers GET /readyz: no until the files of an earlier life are in place,
// so that a startup probe keeps the main container from starting without them,
// but no longer than it may: a dead URL must not hold a pod for ever.
type gate struct {
	once   sync.Once
	opened chan struct{}
}

func newGate(hold time.Duration) *gate {
	g := &gate{opened: make(chan struct{})}
	if hold == 0 {
		g.open()
	}
	time.AfterFunc(hold, g.open)
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-g.opened:
		fmt.Fprintln(w, "ok")
	default:
		http.Error(w, "files of an earlier life are not in their places yet", http.StatusServiceUnavailable)
	}
}
