package plan

import "fmt"

// start applies a revision to as many of the pods as may change at once. A pod
// that failed keeps its place among them, so that a bad revision stops there.
// Whatever it is asked for next needs no other place: nothing else could mend it.
func (w *world) start(pods []Pod, to Revision, reason func(Pod) string) step {
	pace, next := w.pace(), step{}
	for _, p := range pods {
		if held := pace.take(w, p); held == "" {
			next.actions = append(next.actions, Action{Kind: Apply, Pod: p.Name, UID: p.UID, Revision: to, Reason: reason(p)})
		} else if next.waits == "" {
			next.waits = held
		}
	}
	return next
}

// pace is how many pods change and lack, and how many may.
type pace struct {
	changing, atOnce     int
	unavailable, mayLack int
}

func (w *world) pace() *pace {
	total := len(w.pods)
	p := &pace{
		atOnce:  max(1, w.in.Rollout.MaxConcurrent.Of(total)),
		mayLack: max(1, w.in.Rollout.MaxUnavailable.OfRoundedDown(total)),
	}
	p.changing, p.unavailable = len(w.those(w.busy)), len(w.those(w.lacking))
	return p
}

// take counts a pod as changing, or says what holds it.
func (p *pace) take(w *world, pod Pod) (held string) {
	switch {
	case w.busy(pod):
		return ""
	case p.changing >= p.atOnce:
		return fmt.Sprintf("maxConcurrent %s holds the rest until these have changed: %s", w.in.Rollout.MaxConcurrent, named(w.those(w.busy)))
	case pod.Ready && p.unavailable >= p.mayLack:
		return fmt.Sprintf("maxUnavailable %s holds the rest while these are changing or not Ready: %s", w.in.Rollout.MaxUnavailable, named(w.those(w.lacking)))
	}
	p.changing++
	if pod.Ready {
		p.unavailable++
	}
	return ""
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
func (w *world) lacking(p Pod) bool { return w.busy(p) || !p.Ready }

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
	return !p.on(Revision{ID: p.Desired.Revision, Containers: p.Desired.Containers, Files: p.Desired.Files})
}
