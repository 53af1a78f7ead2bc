package plan

import "hotpatch.dev/hotpatch/api"

// What the dumb twin knows of rollouts that go past pods that failed.

// enough is how many pods must fail until nobody else begins; 0: there is no such
// number.
func (c *cluster) enough() int {
	if c.rollout.OnFailure == api.FailureRollback || !c.rollout.FailureThreshold.Set || c.settledOn() {
		return 0
	}
	return max(1, c.rollout.FailureThreshold.Of(len(c.alive())))
}

// spared: it failed, and others have its place, unless it has one for something else.
func (c *cluster) spared(p *simPod) bool {
	elsewhere := p.Desired.Revision != c.revision.ID && p.changing()
	return c.enough() > 1 && !elsewhere && c.speaksAgainst(p) && c.count(c.speaksAgainst) < c.enough()
}

// pastTheThreshold: enough have failed, and somebody else begins.
func pastTheThreshold(c *cluster, p Plan) string {
	if c.enough() == 0 || c.count(c.speaksAgainst) < c.enough() {
		return ""
	}
	for _, a := range p.Actions {
		pod := c.byUID(a.UID)
		if a.Kind == Apply && a.Revision.ID == c.revision.ID && pod.Desired.Revision != a.Revision.ID && !c.speaksAgainst(pod) {
			return a.String()
		}
	}
	return ""
}
