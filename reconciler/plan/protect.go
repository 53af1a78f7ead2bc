package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// passes over a pod that is not to be changed now.
func (w *world) passes(p Pod, to Revision) bool { return w.shields(p, to) && w.mayGo(to) }

// shields a pod that is protected. One that is changing already is not any more,
// nor is one that is told of what it is on.
func (w *world) shields(p Pod, to Revision) bool {
	_, protected := w.protection(p)
	return protected && !w.busy(p) && !p.on(to)
}

// shieldedLast has the place of a protected pod be taken by the next: a canary, or
// what a partition lets go, need not wait for the end of a match.
func (w *world) shieldedLast(pods []Pod) []Pod {
	if len(w.in.Rollout.Protect) == 0 {
		return pods
	}
	shielded := func(p Pod) bool { return w.shields(p, w.in.Revision) }
	free := slices.DeleteFunc(slices.Clone(pods), shielded)
	return append(free, slices.DeleteFunc(slices.Clone(pods), func(p Pod) bool { return !shielded(p) })...)
}

// protection is what protects a pod: the first that is true of it and whose
// deadline has not passed.
func (w *world) protection(p Pod) (by api.Protection, protected bool) {
	since, deferred := w.since(p)
	for _, by := range w.in.Rollout.Protect {
		ends := by.Ends(since)
		if by.Of(p.Labels, p.Annotations) && (!deferred || ends.IsZero() || w.in.Now.Before(ends)) {
			return by, true
		}
	}
	return by, false
}

// since when the rollout wants a pod that it passed over. A pod that was made
// since then only has the name of that one. No deadline began later than now: a clock
// that was ahead would hold the rollout for as long.
func (w *world) since(p Pod) (since time.Time, deferred bool) {
	since, deferred = w.in.Deferred[p.Name]
	if now := w.earliest(p); since.After(now) {
		since = now
	}
	return since, deferred && !p.Created.After(since)
}

// earliest is when a deadline begins now: whatever our clock says, not before the pod
// was there.
func (w *world) earliest(p Pod) time.Time {
	now := w.in.Now.UTC().Truncate(time.Second)
	if p.Created.After(now) {
		return p.Created.UTC()
	}
	return now
}

// deferred are the pods that are passed over now, and those that were and are
// still wanted: a protection that ends for a moment, while another pod has the
// turn, does not begin the deadline anew.
func (w *world) deferred(passed []Pod) (pods []api.DeferredPod) {
	over := byUID(passed)
	for _, p := range w.pods {
		since, before := w.since(p)
		switch {
		case before && w.wants(p):
			pods = append(pods, api.DeferredPod{Name: p.Name, Since: since})
		case over[p.UID]:
			pods = append(pods, api.DeferredPod{Name: p.Name, Since: w.earliest(p)})
		}
	}
	slices.SortFunc(pods, func(a, b api.DeferredPod) int { return cmp.Compare(a.Name, b.Name) })
	return pods
}

// wants a pod to change that was not told yet.
func (w *world) wants(p Pod) bool {
	if w.chose(p) {
		return !w.given(p)
	}
	return p.Desired.Revision == w.in.Revision.ID || w.strayed(p)
}

// unprotected is when the next of the pods that are passed over may be changed
// though it is protected still; zero: never.
func (w *world) unprotected(passed []Pod) (at time.Time) {
	for _, p := range passed {
		since, deferred := w.since(p)
		if !deferred {
			since = w.earliest(p)
		}
		for _, by := range w.in.Rollout.Protect {
			if ends := by.Ends(since); by.Of(p.Labels, p.Annotations) && ends.After(w.in.Now) {
				at = Earlier(at, ends)
			}
		}
	}
	return at
}

// deferring: nothing is left to do now but for pods that are passed over.
func (w *world) deferring(next step) bool {
	return len(next.passed) > 0 && len(next.actions) == 0 && next.waits == "" && len(w.those(w.busy)) == 0
}

// protected says how many pods are passed over, for what, and which.
func (w *world) protected(passed []Pod) string {
	if len(passed) == 0 {
		return ""
	}
	var reasons []string
	for _, p := range passed {
		if by, _ := w.protection(p); !slices.Contains(reasons, by.String()) {
			reasons = append(reasons, by.String())
		}
	}
	slices.Sort(reasons)
	are := fmt.Sprintf("%d pods are", len(passed))
	if len(passed) == 1 {
		are = "1 pod is"
	}
	return fmt.Sprintf("%s protected by %s: %s", are, strings.Join(reasons, ", "), named(passed))
}

func byUID(pods []Pod) map[string]bool {
	uids := map[string]bool{}
	for _, p := range pods {
		uids[p.UID] = true
	}
	return uids
}
