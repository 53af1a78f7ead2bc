package api

import (
	"testing"
	"time"
)

func TestProtectionReadsWhatAPodSaysOfItself(t *testing.T) {
	const state = "game.kruise.io/gs-opsState"
	allocated := Protection{Label: state, Values: []string{"Allocated", "Maintaining"}}
	match := Protection{Annotation: "example.org/match"}
	for what, c := range map[string]struct {
		p                   Protection
		labels, annotations map[string]string
		want                bool
	}{
		"the value":                      {allocated, map[string]string{state: "Allocated"}, nil, true},
		"another that counts":            {allocated, map[string]string{state: "Maintaining"}, nil, true},
		"one that does not":              {allocated, map[string]string{state: "None"}, nil, false},
		"no such label":                  {allocated, nil, map[string]string{state: "Allocated"}, false},
		"any value":                      {match, nil, map[string]string{"example.org/match": "8234"}, true},
		"any value, none too":            {match, nil, map[string]string{"example.org/match": ""}, true},
		"no such annotation":             {match, map[string]string{"example.org/match": "8234"}, nil, false},
		"a pod that says nothing at all": {match, nil, nil, false},
	} {
		if got := c.p.Of(c.labels, c.annotations); got != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}

func TestProtectionEnds(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	if got := (Protection{Deadline: "90m"}).Ends(at); !got.Equal(at.Add(90 * time.Minute)) {
		t.Errorf("with a deadline: %s", got)
	}
	if got := (Protection{}).Ends(at); !got.IsZero() {
		t.Errorf("without one: %s", got)
	}
}

func TestDeferredPodsBelongToTheirRevision(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	s := HotPatchStatus{Revision: "r2", Deferred: []DeferredPod{{Name: "game-0", Since: at}}}
	if got := s.DeferredSince("r2"); len(got) != 1 || !got["game-0"].Equal(at) {
		t.Errorf("%v", got)
	}
	if got := s.DeferredSince("r3"); len(got) != 0 {
		t.Errorf("of another revision: %v", got)
	}
}
