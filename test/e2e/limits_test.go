package e2e

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// lobby is asked whether a release may go on. The first answers are bad ones, as many
// as it was told; silent, it gives none.
type lobby struct {
	mu         sync.Mutex
	bad, asked int
	silent     bool
}

func (l *lobby) becomes(bad int, silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad, l.asked, l.silent = bad, 0, silent
}

func (l *lobby) wasAsked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

func (l *lobby) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.asked++
	good, silent := l.asked > l.bad, l.silent
	l.mu.Unlock()
	if silent {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"good": %t}`, good)
}

// A gate takes as many bad measurements as it has been allowed, and not one more; one
// that does not answer in time leaves the release to a person.
func TestGatesHaveLimits(t *testing.T) {
	t.Parallel()
	s := open(t)
	listener, err := net.Listen("tcp", "10.246.0.1:0")
	s.must(err)
	asks := &lobby{}
	server := &http.Server{Handler: asks}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	court := s.hall("court")
	court.policy("maxConcurrent: 100%", "maxUnavailable: 100%", fmt.Sprintf(
		"analysis: [{name: lobby, when: [before], http: {url: \"http://%s/\"}, success: result.good, count: 4, failureLimit: 2, interval: 1s, timeout: 2s}]", listener.Addr()))

	asks.becomes(2, false)
	court.edit("game-server:v1", "game-server:v2")
	s.push("Release v2, with two bad measurements of four")
	court.is(api.PhaseComplete, 4, 4, "")
	if asked := asks.wasAsked(); asked != 4 {
		t.Errorf("%d measurements were taken, want the four asked for", asked)
	}

	asks.becomes(3, false)
	court.edit("game-server:v2", "game-server:v3")
	s.push("Release v3, with three")
	court.is(api.PhaseDegraded, 0, 4, "analysis lobby before the first pod failed…")
	if asked := asks.wasAsked(); asked != 3 {
		t.Errorf("%d measurements were taken, want the end at the third that is bad", asked)
	}

	asks.becomes(0, true)
	court.edit("interval: 1s", "interval: 2s")
	s.push("Release v3, and nobody answers")
	began := time.Now()
	court.is(api.PhasePaused, 0, 4, "analysis lobby before the first pod is inconclusive…")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a measurement of two seconds at the most took %s", took)
	}
}
