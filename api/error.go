package api

import "strings"

// Error says what is wrong with one object: file, object, field, in words.
type Error struct {
	File   string // path in the repository, if known
	Object string // "HotPatch default/game"
	Field  string // "spec.rollout.partition"
	Reason string // what is wrong and what to do
}

func (e *Error) Error() string {
	var parts []string
	for _, p := range []string{e.File, e.Object, e.Field, e.Reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}
