package e2e

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// lobby is asked whether a release may go on. It answers with one word after the other,
// with the last of them for ever, and not at all where that is "".
type lobby struct {
	mu    sync.Mutex
	words []string
	asked int
}

// lobby opens at a URL, until the test ends.
func (s *scene) lobby() (l *lobby, url string) {
	s.Helper()
	l = &lobby{words: []string{""}}
	listener, err := net.Listen("tcp", "10.246.0.1:0")
	s.must(err)
	server := &http.Server{Handler: l}
	go server.Serve(listener)
	s.Cleanup(func() { server.Close() })
	return l, "http://" + listener.Addr().String() + "/"
}

func (l *lobby) says(words ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.words, l.asked = words, 0
}

// wasAsked says so many times, since it was to say something else.
func (s *scene) wasAsked(l *lobby, times int) {
	s.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked != times {
		s.Errorf("the lobby was asked %d times, want %d", l.asked, times)
	}
}

func (l *lobby) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	word := l.words[min(l.asked, len(l.words)-1)]
	l.asked++
	l.mu.Unlock()
	if word == "" {
		<-r.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"mood": %q}`, word)
}

// A gate takes as many bad measurements as it has been allowed, and not one more, and
// likewise such that say nothing: those, and one that does not answer in time, leave the
// release to a person.
func TestGatesHaveLimits(t *testing.T) {
	t.Parallel()
	s := open(t)
	lobby, url := s.lobby()
	court := s.hall("court")
	court.policy("maxConcurrent: 100%", "maxUnavailable: 100%", fmt.Sprintf(
		"analysis: [{name: lobby, when: [before], http: {url: %q}, success: result.mood == \"good\", failure: result.mood == \"bad\", count: 4, failureLimit: 2, inconclusiveLimit: 1, interval: 1s, timeout: 2s}]", url))

	lobby.says("bad", "odd", "bad", "good")
	court.edit("game-server:v1", "game-server:v2")
	s.push("Release v2, with two bad measurements of four, and one that says nothing")
	court.is(api.PhaseComplete, 4, 4, "")
	s.wasAsked(lobby, 4)

	lobby.says("bad", "bad", "bad", "good")
	court.edit("game-server:v2", "game-server:v3")
	s.push("Release v3, with three")
	court.is(api.PhaseDegraded, 0, 4, "analysis lobby before the first pod failed: 3 measurements, the last: result.mood == \"bad\" holds…")
	s.wasAsked(lobby, 3)

	lobby.says("good", "odd", "odd", "good")
	court.edit("timeout: 2s", "timeout: 3s")
	s.push("Release v3, with two that say nothing")
	court.is(api.PhasePaused, 0, 4, "analysis lobby before the first pod is inconclusive: 2 measurements, the last: neither success nor failure holds; not tried again until Git says something else")
	s.wasAsked(lobby, 3)

	lobby.says("")
	court.edit("inconclusiveLimit: 1, interval: 1s, timeout: 3s", "interval: 1s, timeout: 2s")
	s.push("Release v3, and nobody answers")
	began := time.Now()
	court.is(api.PhasePaused, 0, 4, "analysis lobby before the first pod is inconclusive: no end after 2s…")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a measurement of two seconds at the most took %s", took)
	}
}

// What is measured between batches holds the next one, each time: pods that have changed
// stay where they are. That nobody can tell takes none of them back, and is measured anew
// once a person has said something.
func TestGatesBetweenBatchesHoldTheNext(t *testing.T) {
	t.Parallel()
	s := open(t)
	lobby, url := s.lobby()
	square := s.hall("square")
	before := square.lives()
	gate := fmt.Sprintf("analysis: [{name: lobby, when: [between], http: {url: %q}, success: result.mood == \"good\", failure: result.mood == \"bad\", interval: 1s}]", url)
	square.policy("order: [ordinal-ascending]", "maxConcurrent: 1", "maxUnavailable: 1", gate)

	lobby.says("good", "bad", "good")
	square.edit("game-server:v1", "game-server:v2")
	s.push("Release v2, and the second batch is bad")
	square.is(api.PhaseDegraded, 2, 4, "analysis lobby between batches failed: result.mood == \"bad\" holds; not tried again until Git says something else")
	square.run("v2", "v2", "v1", "v1")
	s.wasAsked(lobby, 2)

	lobby.says("good", "good", "odd", "good")
	square.policy("order: [ordinal-ascending]", "maxConcurrent: 1", "maxUnavailable: 1", "onFailure: Rollback", gate)
	square.edit("game-server:v2", "game-server:v3")
	s.push("Release v3, and nobody can tell of the third")
	square.is(api.PhasePaused, 3, 4, "analysis lobby between batches is inconclusive: neither success nor failure holds; not tried again until Git says something else")
	square.run("v3", "v3", "v3", "v1")
	s.wasAsked(lobby, 3)

	lobby.says("good")
	square.edit("interval: 1s", "interval: 2s")
	s.push("Go on")
	square.is(api.PhaseComplete, 4, 4, "")
	s.wasAsked(lobby, 1)
	s.must(stage.SameLives(before, square.lives()))
}
