package plan

import (
	"fmt"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// start applies a revision to as many of the pods as may change at once. A pod
// that failed keeps its place among them, so that a bad revision stops there.
// Whatever it is asked for next needs no other place: nothing else could mend it.
func (w *world) start(pods []Pod, to Revision, reason func(Pod) string) step {
	pace, next := w.pace(), step{}
	for _, p := range pods {
		if w.passes(p, to) {
			next.passed = append(next.passed, p)
		} else if pace.take(w, p) {
			next.actions = append(next.actions, Action{Kind: Apply, Pod: p.Name, UID: p.UID, Revision: to, Reason: reason(p)})
		} else if next.waits == "" {
			next.waits = pace.inTheWay(w, p)
		}
	}
	return next
}

// pace is how many pods change, hold a place and lack, and how many may.
type pace struct {
	changing, holding, atOnce int
	unavailable, mayLack      int
}

func (w *world) pace() *pace {
	total := len(w.pods)
	p := &pace{
		atOnce:  max(1, w.in.Rollout.MaxConcurrent.Of(total)),
		mayLack: max(1, w.in.Rollout.MaxUnavailable.OfRoundedDown(total)),
	}
	changing := func(p Pod) bool { return w.busy(p) && !w.spared(p) }
	p.changing, p.holding, p.unavailable = len(w.those(changing)), len(w.those(w.holding)), len(w.those(w.lacking))
	return p
}

// take counts a pod as changing, if one more may. One that holds a place after its
// last change has that place, but no more change than may at once.
func (p *pace) take(w *world, pod Pod) bool {
	keeps := w.proving(pod) || w.gated(pod)
	switch {
	case w.busy(pod) && !w.spared(pod):
		return true
	case keeps && p.changing >= p.atOnce, !keeps && p.holding >= p.atOnce, !w.lacking(pod) && p.unavailable >= p.mayLack:
		return false
	}
	p.changing++
	if !keeps {
		p.holding++
	}
	if !w.lacking(pod) {
		p.unavailable++
	}
	return true
}

// inTheWay says what holds a pod, with the names of those in its way. Who only
// has to stay Ready for some time is not named: such words would change, and be
// committed, only because time passes.
func (p *pace) inTheWay(w *world, pod Pod) string {
	r := w.in.Rollout
	unsettled := w.those(w.inDoubt)
	lacking := w.those(func(p Pod) bool { return !w.spared(p) && (w.busy(p) || w.gated(p)) || !p.Ready })
	switch {
	case len(unsettled) >= p.atOnce:
		return fmt.Sprintf("maxConcurrent %s holds the rest until these have %s: %s", r.MaxConcurrent, w.changed(), named(unsettled))
	case pod.Ready && len(lacking) >= p.mayLack:
		return fmt.Sprintf("maxUnavailable %s holds the rest while these are changing or not Ready: %s", r.MaxUnavailable, named(lacking))
	}
	return w.readyFirst()
}

// readyFirst is what there is to say where only time must pass.
func (w *world) readyFirst() string {
	return fmt.Sprintf("minReadySeconds %d holds the rest until pods that have changed have been Ready for so long", w.in.Rollout.MinReadySeconds)
}

// inDoubt: it holds a place, and not only for time to pass.
func (w *world) inDoubt(p Pod) bool {
	return !w.spared(p) && (w.busy(p) || w.gated(p) || w.proving(p) && !p.Ready)
}

// changed is what a pod must have done to give its place to another, in words.
func (w *world) changed() string {
	if proof := w.proof(); proof != "" {
		return "changed and " + proof
	}
	return "changed"
}

// proof is what is asked of a pod after it has changed, in words.
func (w *world) proof() string {
	var words []string
	if r := w.in.Rollout; r.MinReadySeconds > 0 {
		words = append(words, fmt.Sprintf("been Ready for %s", r.MinReady()))
	}
	if analyses := w.analysesOf(api.MomentPod); analyses != "" && !w.proved() {
		words = append(words, "passed analysis "+analyses)
	}
	return strings.Join(words, " and ")
}

// those are the pods of which something is true.
func (w *world) those(are func(Pod) bool) (pods []Pod) {
	for _, p := range w.pods {
		if are(p) {
			pods = append(pods, p)
		}
	}
	return pods
}

// lacking: people cannot count on the pod now.
func (w *world) lacking(p Pod) bool { return w.holding(p) || !p.Ready }

// holding a place of maxConcurrent.
func (w *world) holding(p Pod) bool {
	return !w.spared(p) && (w.busy(p) || w.proving(p) || w.gated(p))
}

// proving: on the revision, but not yet Ready there for as long as was asked for.
// The stable revision has proven itself: who is on it holds up nobody, least of
// all those that go back to it.
func (w *world) proving(p Pod) bool {
	return w.in.Rollout.MinReadySeconds > 0 && !w.proved() &&
		p.Desired.Revision == w.in.Revision.ID && p.on(w.in.Revision) && (!p.Ready || w.in.Now.Before(w.proven(p)))
}

// proven is when a pod that stays as it is has been Ready for long enough.
func (w *world) proven(p Pod) time.Time {
	since := p.ReadySince
	for _, seen := range p.seenOn(w.in.Revision) {
		if seen.After(since) {
			since = seen
		}
	}
	return since.Add(w.in.Rollout.MinReady())
}

// again is when what waits now may start though nothing has happened.
func (w *world) again(next step) (at time.Time) {
	if !w.complete(w.counts()) {
		at = w.window.turns
	}
	at = Earlier(Earlier(at, w.way.wait.until), w.unprotected(next.passed))
	if (next.waits != "" || next.back != "" || next.mends) && !w.window.closed {
		at = Earlier(at, w.nextProven())
	}
	for _, p := range w.pods {
		if w.late(p) && w.overdue(p) == "" {
			at = Earlier(at, w.deadline(p))
		}
	}
	return at
}

// nextProven is when the next pod has proven itself if it stays Ready; zero if
// none is about to.
func (w *world) nextProven() (at time.Time) {
	for _, p := range w.pods {
		if w.proving(p) && p.Ready {
			at = Earlier(at, w.proven(p))
		}
	}
	return at
}

// Earlier of two times, of which the zero one means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// busy: asked for something and not there, be it by a revision before this one.
func (w *world) busy(p Pod) bool {
	switch p.Desired.Revision {
	case "":
		return false
	case w.in.Revision.ID:
		return !p.on(w.in.Revision)
	case w.stable.ID:
		return !p.on(w.stable)
	}
	return !p.on(p.asked())
}
