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

// A URL is whatever was asked for: a line of tabs once could not be read again.
func TestHistoryKeepsOddURLs(t *testing.T) {
	for _, url := range []string{"\t\n", "\n", " ", "\u2028\t", "\x00", "\xff", "- a: [", "#", "~", "\"", "\r\n\t x"} {
		h := history{origin}.with(applied{"v1", url})
		if again, err := parseHistory(h.String()); err != nil || !slices.Equal(again, h) {
			t.Errorf("%q is read again as %q, %v, from\n%s", url, again, err, h)
		}
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
