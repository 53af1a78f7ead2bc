package reconciler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// brake has each HotPatch held by what the newest commit suspends, whatever else
// of that commit can be used.
func (l *loop) brake() {
	for _, t := range l.tracked {
		t.brakes = l.known.brakes(t)
		t.unread = l.known.unread(t.brakes)
	}
}

// brakes on a HotPatch. One that it is held by, as its record says, is not let go
// because it cannot be read, or because something cannot that it may stand in.
func (r *rendered) brakes(t *tracked) (on []api.Suspension) {
	namespace, _, _ := strings.Cut(t.key, "/")
	readable := map[string]bool{}
	for _, s := range r.Suspensions {
		readable[s.Metadata.Name] = true
		if s.Over(namespace) {
			on = append(on, s.Suspension)
		}
	}
	for _, name := range t.record.SuspendedBy {
		if !readable[name] && (r.BrokenSuspensions[name] != nil || len(r.Failed) > 0) {
			on = append(on, api.Suspension{Metadata: api.Metadata{Name: name}})
		}
	}
	return on
}

// unread says which Suspensions hold nothing because they cannot be read:
// somebody wanted to brake.
func (r *rendered) unread(on []api.Suspension) (warnings []string) {
	for _, name := range slices.Sorted(maps.Keys(r.BrokenSuspensions)) {
		if !slices.Contains(brakeNames(on), name) {
			warnings = append(warnings, fmt.Sprintf("%v; it suspends nothing until it can be read", r.BrokenSuspensions[name]))
		}
	}
	return warnings
}

func brakeNames(brakes []api.Suspension) (names []string) {
	for _, b := range brakes {
		names = append(names, b.Metadata.Name)
	}
	return names
}

// inWords lists brakes for people.
func inWords(brakes []api.Suspension) string {
	var all []string
	for _, b := range brakes {
		all = append(all, b.String())
	}
	return strings.Join(all, ", ")
}
