package gitsource

import (
	"fmt"
	"strings"
)

// message is the subject, the body, and the trailers as git reads them.
func (c Change) message() string {
	var b strings.Builder
	b.WriteString(c.Subject + "\n")
	if c.Body != "" {
		b.WriteString("\n" + strings.TrimSpace(c.Body) + "\n")
	}
	if len(c.Trailers) > 0 {
		b.WriteString("\n")
	}
	for _, t := range c.Trailers {
		fmt.Fprintf(&b, "%s: %s\n", t[0], t[1])
	}
	return b.String()
}
