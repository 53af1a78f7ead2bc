package main

import (
	"strings"
	"testing"
)

func TestPlay(t *testing.T) {
	p := &player{ID: 7}
	w := world{Version: "v1", Text: "a green hill"}
	for _, c := range []struct{ line, want string }{
		{"join ann", "welcome ann, you are session 7"},
		{"score +1", "score 1"},
		{"score 41\r", "score 42"},
		{"look", "a green hill"},
		{"state", `{"session":7,"name":"ann","score":42,"version":"v1","build":"b"`},
		{"join", "error: who are you? join NAME"},
		{"score many", "error: how many points? score +1"},
		{"", "error: say join NAME, score +1, look or state"},
	} {
		if got := play(p, w, process{Version: w.Version, Build: "b"}, c.line); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}
