package plain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"/usr/bin/käse 日本":          "/usr/bin/käse 日本",
		"\x1b[2Jcleared":            "?[2Jcleared",
		"one\ntwo\n":                "one; two",
		"a\x00b\rc\td\x7f":          "a?b?c?d?",
		"turned\u202earound\u200b.": "turned?around?.",
		"no\xffUTF-8":               "no?UTF-8",
	} {
		if got := Text(text, 100); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for limit := 3; limit < 24; limit++ {
		got := Text(strings.Repeat("日", 7), limit)
		if len(got) > limit || !utf8.ValidString(got) || (limit < 21) != strings.HasSuffix(got, "…") {
			t.Errorf("of %d bytes it is %q", limit, got)
		}
	}
}
