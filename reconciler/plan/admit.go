package plan

import (
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// unjudged: before a revision's first pod, its images are put before the
// cluster's admission controls. The stable revision was admitted once, and a
// pod's own image when the pod was made.
func (w *world) unjudged() bool {
	return w.in.Unjudged && !w.proved() && len(w.patched()) > 0 && !w.begun()
}

// admit has the images judged on the first of the pods that are to be told.
func (w *world) admit(next []Pod) []Action {
	if !w.unjudged() {
		return nil
	}
	return []Action{{Kind: Admit, Pod: next[0].Name, UID: next[0].UID, Revision: w.in.Revision,
		Reason: "the cluster's admission controls judge its images first"}}
}

// refused says why the images are not admitted; "" if they are, or if nobody
// wants to know.
func (w *world) refused() string {
	if w.in.Refusal == "" || !w.unjudged() || !w.awaited() {
		return ""
	}
	return w.in.Refusal + "; nothing was changed"
}

// judging: the images are being put before the admission controls.
func judging(actions []Action) bool {
	return slices.ContainsFunc(actions, func(a Action) bool { return a.Kind == Admit })
}

// patched are the containers that get another image.
func (w *world) patched() []api.DesiredContainer {
	return slices.DeleteFunc(slices.Clone(w.in.Revision.Containers), func(c api.DesiredContainer) bool { return c.Image == "" })
}
