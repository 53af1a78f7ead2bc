package plan

import (
	"strings"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// converge has nothing go wrong any more, and expects the pods to be as they
// should be after few steps, for good.
func (h *history) converge(t *rapid.T) {
	h.heal()
	steps := 10 + 8*len(h.pods) + 6*len(h.rollout.Steps)
	for i := 0; ; i++ {
		p, before := h.plan(t), dump(h.input())
		h.act(p)
		h.judge(Judged{State: GateSuccessful}, func(Gate) bool { return true })
		h.workAll()
		switch same := dump(h.input()) == before; {
		case same && !p.Again.IsZero():
			h.now = p.Again
		case same && strings.Contains(p.Message, "until somebody runs hotpatch promote game"):
			h.promotion = api.Promotion{Revision: p.Progress.Revision, Step: p.Progress.Step}
		case same:
			h.settled(t, p)
			return
		case i > steps:
			t.Fatalf("no end after %d steps\n%s%s", steps, h.told(p), h.show())
		}
	}
}

// heal ends all faults that do not end by themselves.
func (h *history) heal() {
	h.remove()
	clear(h.unknown)
	h.gates, h.results = nil, nil // as where the record was lost: what failed is measured again
	h.suspended = false
	h.rollout.ProgressDeadlineSeconds = 0
	h.record()
	h.rollout.Window = api.Windows{}
	h.waitsFor, h.policy = nil, ""
	for _, p := range h.pods {
		p.refuse = ""
		h.play(p, false)
		h.place(p, "n1")
		if len(p.ContainerIDs) == 0 {
			h.restart(p)
		}
		h.setReady(p, true)
	}
}

// settled holds the end of a history to what was asked for.
func (h *history) settled(t *rapid.T, p Plan) {
	if wrong := h.unlikeAnEnd(p); wrong != "" {
		t.Fatalf("%s\n%s%s%s", wrong, h.told(p), h.show(), h.truth())
	}
}

// unlikeAnEnd says why a cluster where nothing happens any more is not what was
// asked for.
func (c *cluster) unlikeAnEnd(p Plan) string {
	if len(p.Actions) > 0 {
		return "there is still something to do, and it changes nothing"
	}
	if p.Phase != c.restful() {
		return "this should be " + string(c.restful())
	}
	if stopped := c.verdict != nil && c.verdict.Do == api.FailurePause; stopped {
		return "" // wherever pods were then
	}
	if len(p.Failures) > 0 {
		return "something has failed, and nothing says so"
	}
	if p.Counts.Updated != c.share() || p.Counts.Desired != c.share() {
		return "not as many are on the revision as should be"
	}
	for _, pod := range c.alive() {
		if pod.on() != c.revision.ID && !c.onStable(pod) {
			return pod.Name + " is neither on the revision nor on the stable one"
		}
	}
	return ""
}

// restful is the phase in which nothing is to be done.
func (c *cluster) restful() api.Phase {
	switch {
	case len(c.pods) == 0:
		return api.PhasePending
	case c.verdict != nil && c.verdict.Inconclusive:
		return api.PhasePaused
	case c.verdict != nil && c.verdict.Do == api.FailurePause:
		return api.PhaseDegraded
	case c.verdict != nil:
		return api.PhaseRolledBack
	case c.share() < len(c.pods):
		return api.PhasePaused
	}
	return api.PhaseComplete
}

// onStable: on the stable revision or, where there is none, the pod's own
// images, be it that nobody ever touched it.
func (c *cluster) onStable(p *simPod) bool {
	in := c.input()
	return p.on() == stableOf(in).ID || in.Stable == nil && p.Observed.Revision == ""
}
