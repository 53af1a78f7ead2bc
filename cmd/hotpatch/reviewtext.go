package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// What a review says to people. Markdown is for a comment on a pull request.

var reviewFormats = map[string]func(io.Writer, review) error{"text": textReview, "markdown": markdownReview, "json": jsonReview}

func jsonReview(w io.Writer, found review) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(found)
}

func textReview(w io.Writer, found review) error {
	var b strings.Builder
	for _, c := range found.Changes {
		fmt.Fprintf(&b, "%s: %s (%s)\n", c.title(), c.Change, c.File)
		for _, line := range c.lines(plainly) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if c.Pods != nil {
			fmt.Fprintf(&b, "  %s\n", c.Pods.summary())
			for i, p := range c.Pods.Order {
				fmt.Fprintf(&b, "    %d. %s on %s: %s → %s, %s\n", i+1, p.Name, p.Node, p.from(), p.to(), p.Reason)
			}
		}
		for _, note := range c.Notes {
			fmt.Fprintf(&b, "  note: %s\n", note)
		}
	}
	for _, r := range found.Refused {
		fmt.Fprintf(&b, "refused: %s\n", r)
	}
	fmt.Fprintf(&b, "%s, from %s to %s\n", found.summary(), short(found.Base), short(found.Head))
	_, err := io.WriteString(w, b.String())
	return err
}

// reviewMark lets CI find the comment that it made before.
const reviewMark = "<!-- hotpatch plan -->"

func markdownReview(w io.Writer, found review) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n### Hotpatch: %s\n", reviewMark, found.summary())
	if len(found.Refused) > 0 {
		fmt.Fprint(&b, "\n**Refused**, and what was there before stays:\n\n")
		for _, r := range found.Refused {
			fmt.Fprintf(&b, "- %s\n", verbatim(r.String()))
		}
	}
	for _, c := range found.Changes {
		fmt.Fprintf(&b, "\n#### %s: %s\n\n", verbatim(c.title()), c.Change)
		for _, line := range c.lines(verbatim) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
		for _, note := range c.Notes {
			fmt.Fprintf(&b, "- note: %s\n", verbatim(note))
		}
		c.Pods.markdown(&b)
	}
	fmt.Fprintf(&b, "\nFrom %s to %s.\n", short(found.Base), short(found.Head))
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *course) markdown(b *strings.Builder) {
	if c == nil {
		return
	}
	fmt.Fprintf(b, "\n%s\n", c.summary())
	if len(c.Order) == 0 {
		return
	}
	fmt.Fprint(b, "\n| | pod | node | from | to | why there |\n|---|---|---|---|---|---|\n")
	for i, p := range c.Order {
		fmt.Fprintf(b, "| %d | %s | %s | %s | %s | %s |\n", i+1, verbatim(p.Name), verbatim(p.Node), verbatim(p.from()), verbatim(p.to()), p.Reason)
	}
}

func plainly(text string) string { return text }

// verbatim keeps text of a pull request from being anything but text in Markdown.
func verbatim(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.NewReplacer("`", "'", "\n", " ", "\r", " ", "|", "\\|").Replace(text) + "`"
}

// summary is a review in one line.
func (found review) summary() string {
	names := map[string]bool{}
	for _, c := range found.Changes {
		names[c.HotPatch] = true
	}
	words := counted(len(names), "HotPatch") + " would change"
	switch {
	case len(names) == 0:
		words = "nothing would change"
	case len(names) > 1:
		words = fmt.Sprintf("%d HotPatches would change", len(names))
	}
	if n := len(found.Refused); n > 0 {
		words += fmt.Sprintf(", %d refused", n)
	}
	return words
}

func (c reviewed) title() string {
	if c.Cluster == "" {
		return c.HotPatch
	}
	return c.HotPatch + " on " + c.Cluster
}

// lines are what changes besides pods; as writes what comes from the pull request.
func (c reviewed) lines(as func(string) string) (lines []string) {
	for _, p := range c.Containers {
		lines = append(lines, fmt.Sprintf("container %s: %s → %s", as(p.Name), as(p.From.words()), as(p.To.words())))
	}
	for _, p := range c.Files {
		lines = append(lines, fmt.Sprintf("file %s: %s → %s", as(p.Name), as(p.From.words()), as(p.To.words())))
	}
	for _, f := range c.Fields {
		lines = append(lines, fmt.Sprintf("%s: %s → %s", as(f.Field), as(cmp.Or(f.From, "unset")), as(cmp.Or(f.To, "unset"))))
	}
	if c.Revision != "" {
		lines = append(lines, "revision "+c.Revision)
	}
	for _, hold := range c.Holds {
		lines = append(lines, as(hold))
	}
	return lines
}

func (v edition) words() string {
	switch {
	case v == edition{}:
		return "none"
	case v.Digest == "":
		return v.Name + " (digest not known)"
	}
	return fmt.Sprintf("%s (%.19s)", strings.TrimSuffix(v.Name, "@"+v.Digest), v.Digest) // sha256: and twelve digits
}

func (c *course) summary() string {
	seen := map[string]string{seenInCluster: "as the cluster is now", seenInRecord: "as was recorded last"}[c.SeenIn]
	if len(c.Order) < c.Change {
		return fmt.Sprintf("%d of %s would change, %s; the record names no pods of so many", c.Change, counted(c.Total, "pod"), seen)
	}
	return fmt.Sprintf("%d of %s would change, %s", c.Change, counted(c.Total, "pod"), seen)
}

func (p podTurn) from() string { return cmp.Or(p.From, "its own image") }
func (p podTurn) to() string   { return cmp.Or(p.To, "the new revision") }
