package reconciler

import (
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// behind are the HotPatches that one waits for, as it names them.
func (l *loop) behind(t *tracked) (names []string) {
	h := t.accepted.HotPatch
	for _, key := range h.Dependencies() {
		if other := l.tracked[key]; other == nil || !other.finished() {
			names = append(names, strings.TrimPrefix(key, h.Metadata.Namespace+"/"))
		}
	}
	return names
}

// finished: Complete on what the newest commit asks for, and not only on what was
// in force before.
func (t *tracked) finished() bool {
	inForce := t.accepted != nil && t.wanted != nil && t.accepted.sameWish(t.wanted)
	return inForce && t.broken == nil && t.problem == nil &&
		t.record.Revision == t.accepted.revision.ID && t.record.Phase == api.PhaseComplete
}

// goOn has another pass follow if, in this one, something became Complete after
// those were planned that wait for it.
func (l *loop) goOn() {
	for _, t := range l.tracked {
		if len(t.waitsFor) > 0 && !slices.Equal(t.waitsFor, l.behind(t)) {
			l.trigger.fire(workEnded)
		}
	}
}
