// Package plain makes words that others have chosen fit to be shown. Names of
// processes, files and mounts, and what programs say, may hold codes that act on
// the terminal of whoever reads them, or end a line and begin one of their own.
package plain

import (
	"strings"
	"unicode"
)

// Text is a text in one line of at most limit bytes, of printable characters.
func Text(text string, limit int) string {
	const cut = "…"
	lines := strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "; ")
	shown := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(lines, "?"))
	if len(shown) <= limit {
		return shown
	}
	return strings.ToValidUTF8(shown[:limit-len(cut)], "") + cut
}
