package sidecar

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestHistoryIsTheSeeds(t *testing.T) {
	h, err := parseHistory("")
	if err != nil || h.String() != "hot_update:\n    OriginVersion: OriginUrl\n" {
		t.Errorf("%q %v", h, err)
	}
	if h, err = parseHistory("a: [b"); err == nil || len(h) != 1 {
		t.Errorf("%v %v", h, err)
	}
	got := h.with(applied{"v1", "http://a/index.html"}).String()
	if want := "hot_update:\n    OriginVersion: OriginUrl\n    v1: http://a/index.html\n"; got != want {
		t.Errorf("%q", got)
	}
}

// Whatever is applied in whatever order: what is written reads the same again,
// is bounded, keeps the origin first and the last applied last.
func TestHistoryKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := history{origin}
		for range rapid.IntRange(1, 60).Draw(t, "updates") {
			a := applied{Version: fmt.Sprintf("v%d", rapid.IntRange(0, 40).Draw(t, "version")), URL: rapid.String().Draw(t, "url")}
			h = h.with(a)
			if h[0] != origin || h[len(h)-1] != a || len(h) > maxHistory {
				t.Fatalf("after %v: %v", a, h)
			}
		}
		again, err := parseHistory(h.String())
		if err != nil || !slices.Equal(again, h) {
			t.Fatalf("read again: %v, %v; want %v", again, err, h)
		}
	})
}
