package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// What holds pods, or a revision, back: rules as in rules_test.go.

// protected: it says so, and the rollout has not wanted it for too long.
func (c *cluster) protected(p *simPod) bool {
	if len(c.rollout.Protect) == 0 || p.Labels["state"] != "playing" {
		return false
	}
	limit, err := time.ParseDuration(c.rollout.Protect[0].Deadline)
	i := slices.IndexFunc(c.deferred, func(d api.DeferredPod) bool { return d.Name == p.Name })
	return err != nil || i < 0 || c.now.Sub(c.deferred[i].Since) < limit
}

func notProtected(c *cluster, p Plan) string {
	for _, a := range p.Actions {
		pod := c.byUID(a.UID)
		changing := pod.Desired.Revision != "" && pod.Desired.Revision != pod.on()
		if a.Kind == Apply && c.protected(pod) && !changing && a.Revision.ID != pod.on() {
			return a.String()
		}
	}
	passed := []string{}
	for _, row := range p.Rows {
		if row.State == "Protected" {
			passed = append(passed, row.Name)
		}
	}
	calm := p.Phase == api.PhaseProgressing || p.Phase == api.PhasePaused
	if len(passed) > 0 && calm && !slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind != Apply }) && !strings.Contains(p.Message, "protected by label state") {
		return fmt.Sprintf("%q of %q", p.Message, passed)
	}
	return ""
}

func notDeferred(c *cluster, p Plan) string {
	for _, d := range p.Deferred {
		was := slices.IndexFunc(c.deferred, func(before api.DeferredPod) bool { return before == d })
		if was < 0 && !d.Since.Equal(c.now) {
			return fmt.Sprintf("%s since %s, and it is %s", d.Name, d.Since, c.now)
		}
	}
	for _, row := range p.Rows {
		listed := slices.ContainsFunc(p.Deferred, func(d api.DeferredPod) bool { return d.Name == row.Name })
		if row.State == "Protected" && !listed {
			return row.Name + " is not noted"
		}
	}
	return ""
}

// unprotectedBy a time: a deadline has passed for some pod.
func (h *history) unprotectedBy(now time.Time, deferred []api.DeferredPod) bool {
	for _, protection := range h.rollout.Protect {
		for _, d := range deferred {
			if ends := protection.Ends(d.Since); !ends.IsZero() && h.now.Before(ends) && !now.Before(ends) {
				return true
			}
		}
	}
	return false
}

// bear has a pod be one that was started on the image of a version.
func (c *cluster) bear(p *simPod, version string) {
	c.pulled[p.Node+" game:"+version] = true
	p.born, p.at, p.OwnImages = version, version, map[string]string{"main": "game:" + version}
}

// fresh: the revision is new, and no pod was told of it.
func (c *cluster) fresh() bool {
	return (c.stable == nil || c.stable.ID != c.revision.ID) && c.asked() == 0
}

func notBehindOthers(c *cluster, p Plan) string {
	for _, a := range p.Actions {
		if a.Kind == Apply && a.Revision.ID == c.revision.ID && c.fresh() && len(c.waitsFor) > 0 {
			return a.String()
		}
	}
	return ""
}

func notJudged(c *cluster, p Plan) string {
	open := c.judges && c.admitted != c.revision.ID && c.fresh()
	for _, a := range p.Actions {
		if open && a.Kind != Admit && a.Revision.ID == c.revision.ID && len(images(a.Revision)) > 0 {
			return a.String()
		}
		if !open && a.Kind == Admit {
			return a.String() + ", again"
		}
	}
	return ""
}
