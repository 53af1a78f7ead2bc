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

// ends tells whether it has become finished, or is no more, since that was last
// asked.
func (t *tracked) ends() bool {
	before := t.ended
	t.ended = t.finished()
	return t.ended != before
}

// goOn has those looked at again that wait for others than when they were planned.
// Another pass follows for those that waited: in this one, something became Complete
// after they were planned.
func (l *loop) goOn() {
	for _, t := range l.tracked {
		if t.accepted == nil || slices.Equal(t.waitsFor, l.behind(t)) {
			continue
		}
		t.rests = false
		if len(t.waitsFor) > 0 {
			l.trigger.fire(workEnded)
		}
	}
}
