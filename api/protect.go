package api

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Protection is what a pod says of itself while it must not be changed: a match
// is in progress, somebody works on it.
type Protection struct {
	// Label or Annotation of the pod, by name.
	Label      string `json:"label,omitempty"`
	Annotation string `json:"annotation,omitempty"`
	// Values that protect; none: any.
	Values []string `json:"values,omitempty"`
	// Deadline is how long after the rollout first wanted a pod it is changed
	// nevertheless: "30m", "6h". Without one it waits for as long as it takes.
	Deadline string `json:"deadline,omitempty"`
}

// Of tells whether a pod with these labels and annotations is protected.
func (p Protection) Of(labels, annotations map[string]string) bool {
	value, there := labels[p.Label]
	if p.Annotation != "" {
		value, there = annotations[p.Annotation]
	}
	return there && (len(p.Values) == 0 || slices.Contains(p.Values, value))
}

// Ends is when a pod that was first wanted at a time is changed nevertheless;
// zero: never.
func (p Protection) Ends(wanted time.Time) time.Time {
	d, err := time.ParseDuration(p.Deadline)
	if p.Deadline == "" || err != nil {
		return time.Time{} // Validate has refused what is no duration
	}
	return wanted.Add(d)
}

// String is what protects, as people say it.
func (p Protection) String() string {
	if p.Annotation != "" {
		return "annotation " + p.Annotation
	}
	return "label " + p.Label
}

// Annotations are the names of those that protections read.
func (r Rollout) Annotations() (names []string) {
	for _, p := range r.Protect {
		if p.Annotation != "" && !slices.Contains(names, p.Annotation) {
			names = append(names, p.Annotation)
		}
	}
	slices.Sort(names)
	return names
}

// qualifiedPattern is a label's or annotation's name, with its prefix if it has
// one.
var qualifiedPattern = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// maxDeadline is a month: whoever wants to wait longer wants no deadline.
const maxDeadline = 30 * 24 * time.Hour

func (v *validation) protect(protections []Protection) {
	for i, p := range protections {
		field := fmt.Sprintf("spec.rollout.protect[%d]", i)
		v.check((p.Label == "") != (p.Annotation == ""), field, "give either a label or an annotation, by name")
		v.check(p.Label == "" || qualifiedPattern.MatchString(p.Label), field+".label", "want a label's name such as game.kruise.io/gs-opsState, got %q", p.Label)
		v.check(p.Annotation == "" || qualifiedPattern.MatchString(p.Annotation), field+".annotation", "want an annotation's name such as example.org/match, got %q", p.Annotation)
		d, err := time.ParseDuration(p.Deadline)
		v.check(p.Deadline == "" || err == nil && time.Second <= d && d <= maxDeadline, field+".deadline", "want 1s to 720h, such as 30m, got %q", p.Deadline)
	}
}
