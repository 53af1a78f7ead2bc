package plan

import (
	"slices"
	"time"
)

// window is what the rollout's windows say of the time of a plan.
type window struct {
	closed bool
	turns  time.Time // when that changes; zero: never
	opens  string    // the next, in words
}

// windowNow: what goes to the stable revision needs no window. A rollback would
// otherwise wait for one, and so would a pod that is new.
func (w *world) windowNow() window {
	if w.proved() {
		return window{}
	}
	open, turns, opens := w.in.Openings.At(w.in.Now)
	return window{!open, turns, opens}
}

// mayGo tells whether pods may begin to go to a revision now.
func (w *world) mayGo(to Revision) bool { return !w.window.closed || to.ID == w.stable.ID }

// allowed are the actions that may begin now.
func (w *world) allowed(actions []Action) []Action {
	return slices.DeleteFunc(actions, func(a Action) bool { return !w.mayGo(a.Revision) })
}

// shut: nothing begins now, and something would if a window were open.
func (w *world) shut(next step) bool {
	waits := func(p Pod) bool { return !w.given(p) || !p.hasFiles(w.told(p)) }
	return w.window.closed && len(next.actions) == 0 && slices.ContainsFunc(w.chosen, waits)
}

// outside says when it goes on, and names those that were told before.
func (w *world) outside() string {
	words := "outside of its window; none opens within five years"
	if w.window.opens != "" {
		words = "outside of its window; the next opens " + w.window.opens
	}
	return words + w.toldBefore()
}
