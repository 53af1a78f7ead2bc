package plan

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// Who goes back, when a partition is raised or a release is rolled back, in which
// order, and who need not.

// line is who comes to be on the revision before whom: those that have it, then the
// others, those in a match after all.
func (c *cluster) line() []*simPod {
	place := map[*simPod]string{}
	for _, pod := range c.alive() {
		switch {
		case c.has(pod):
			place[pod] = "0 "
		case !c.protected(pod) || pod.changing() || pod.on() == c.revision.ID:
			place[pod] = "1 "
		default:
			place[pod] = "2 "
		}
		place[pod] += c.turn(pod)
	}
	return slices.SortedFunc(slices.Values(c.alive()), func(a, b *simPod) int { return strings.Compare(place[a], place[b]) })
}

// sentBack tells whether a plan has a pod go to the stable revision, from wherever.
func (c *cluster) sentBack(p Plan, pod *simPod) bool {
	return slices.ContainsFunc(p.Actions, func(a Action) bool {
		return a.Kind == Apply && a.UID == pod.UID && a.Revision.ID != c.revision.ID && pod.Desired.Revision != a.Revision.ID
	})
}

// takenBack: a pod goes back that need not, being among the first that should be on
// the revision, or on the stable one already.
func takenBack(c *cluster, p Plan) string {
	if !slices.ContainsFunc(c.alive(), func(pod *simPod) bool { return c.sentBack(p, pod) }) {
		return ""
	}
	for i, pod := range c.line() {
		switch {
		case !c.sentBack(p, pod):
		case i < c.share():
			return fmt.Sprintf("%s, number %d of those that should be on it, of which there are %d", pod.Name, i+1, c.share())
		case pod.Desired.Revision == "" && c.onStable(pod):
			return pod.Name + ", which is there"
		}
	}
	return ""
}

// lastNotFirst: of Ready pods that must go back and could, one is told before another
// whose turn it is. By a partition the last that came goes first; a rollback goes in the
// order of the rollout.
func lastNotFirst(c *cluster, p Plan) string {
	if !slices.ContainsFunc(c.alive(), func(pod *simPod) bool { return c.sentBack(p, pod) }) {
		return ""
	}
	line := c.line()[c.share():]
	if c.verdict == nil || c.verdict.Do != api.FailureRollback {
		slices.Reverse(line)
	}
	waits := ""
	for _, pod := range line {
		calm := pod.Ready && pod.Desired.Revision == c.revision.ID && !c.protected(pod) && !pod.changing() && !c.proving(pod) && !c.gated(pod)
		switch goes := c.sentBack(p, pod); {
		case calm && goes && waits != "":
			return fmt.Sprintf("%s, and %s waits", pod.Name, waits)
		case calm && !goes && waits == "":
			waits = pod.Name
		}
	}
	return ""
}
