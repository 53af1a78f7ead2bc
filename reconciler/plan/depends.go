package plan

import (
	"slices"
	"strings"
)

// behindOthers: a revision that has not begun waits for other HotPatches. What
// has begun goes on, whatever becomes of them, and nobody waits to go to the
// stable revision.
func (w *world) behindOthers() bool {
	return len(w.in.WaitsFor) > 0 && !w.proved() && !w.begun()
}

// begun: some pod was told of the revision.
func (w *world) begun() bool {
	return slices.ContainsFunc(w.pods, func(p Pod) bool { return p.Desired.Revision == w.in.Revision.ID })
}

// queued: others come first, and that is all there is to wait for.
func (w *world) queued(next step) bool {
	return w.behindOthers() && len(next.actions) == 0 && next.waits == "" && w.awaited()
}

// awaited: some pod should go to the revision and was not told.
func (w *world) awaited() bool {
	return slices.ContainsFunc(w.chosen, func(p Pod) bool { return !w.given(p) })
}

// forOthers says for whom a revision waits.
func (w *world) forOthers() string {
	return "waits until these are Complete: " + strings.Join(w.in.WaitsFor, ", ")
}
