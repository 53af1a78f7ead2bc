package plan

import (
	"fmt"
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// tolerance is what a threshold of failures does where Pause follows them; the zero
// value is that of a rollout without one.
type tolerance struct {
	spared map[string]bool // by UID: pods that failed, and give up their places
	spent  bool            // enough have failed
}

// tolerate: until enough pods have failed, a rollout goes past those that did. What
// it goes past holds no place that another could have: one bad node would stop all.
// Who is still on the way to somewhere else has a place for that.
func (w *world) tolerate() tolerance {
	r := w.in.Rollout
	if r.OnFailure == api.FailureRollback || !r.FailureThreshold.Set || w.proved() {
		return tolerance{}
	}
	failed := w.failed()
	if len(failed) >= max(1, r.FailureThreshold.Of(len(w.pods))) {
		return tolerance{spent: true}
	}
	elsewhere := func(p Pod) bool { return p.Desired.Revision != w.in.Revision.ID && w.busy(p) }
	return tolerance{spared: byUID(slices.DeleteFunc(failed, elsewhere))}
}

// spared: it failed, and the rollout goes past it.
func (w *world) spared(p Pod) bool { return w.tolerance.spared[p.UID] }

// past has pods that failed come last, and nobody else begin once enough have.
func (w *world) past(next []Pod) []Pod {
	if w.tolerance.spent {
		return slices.DeleteFunc(next, func(p Pod) bool { return w.failing(p) == "" })
	}
	if len(w.tolerance.spared) == 0 {
		return next
	}
	first := slices.DeleteFunc(slices.Clone(next), w.spared)
	return append(first, slices.DeleteFunc(next, func(p Pod) bool { return !w.spared(p) })...)
}

// pausing says that enough have failed.
func (w *world) pausing() string {
	if !w.tolerance.spent {
		return ""
	}
	return fmt.Sprintf("; nobody else begins, as failureThreshold %s is reached", w.in.Rollout.FailureThreshold)
}
