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
		if dump(h.input()) == before && !p.Again.IsZero() {
			h.now = p.Again
			continue
		}
		if dump(h.input()) == before && strings.Contains(p.Message, "until somebody runs hotpatch promote game") {
			h.promotion = api.Promotion{Revision: p.Progress.Revision, Step: p.Progress.Step}
			continue
		}
		if dump(h.input()) == before {
			h.settled(t, p)
			return
		}
		if i > steps {
			t.Fatalf("no end after %d steps\n%s%s", steps, h.told(p), h.show())
		}
	}
}

// heal ends all faults that do not end by themselves.
func (h *history) heal() {
	h.remove()
	clear(h.unknown)
	clear(h.gates) // as for a process that has just begun: what failed is measured again
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
	complain := func(what string) { t.Fatalf("%s\n%s%s%s", what, h.told(p), h.show(), h.truth()) }
	if len(p.Actions) > 0 {
		complain("there is still something to do, and it changes nothing")
	}
	if stopped := h.verdict != nil && h.verdict.Do == api.FailurePause; stopped {
		if p.Phase != h.restful() {
			complain("this should be " + string(h.restful()))
		}
		return // wherever pods were then
	}
	if p.Counts.Updated != h.share() || p.Counts.Desired != h.share() {
		complain("not as many are on the revision as should be")
	}
	if p.Phase != h.restful() || len(p.Failures) > 0 {
		complain("this should be " + string(h.restful()))
	}
	for _, pod := range h.alive() {
		if pod.on() != h.revision.ID && !h.onStable(pod) {
			complain(pod.Name + " is neither on the revision nor on the stable one")
		}
	}
}

// restful is the phase in which nothing is to be done.
func (h *history) restful() api.Phase {
	switch {
	case len(h.pods) == 0:
		return api.PhasePending
	case h.verdict != nil && h.verdict.Inconclusive:
		return api.PhasePaused
	case h.verdict != nil && h.verdict.Do == api.FailurePause:
		return api.PhaseDegraded
	case h.verdict != nil:
		return api.PhaseRolledBack
	case h.share() < len(h.pods):
		return api.PhasePaused
	}
	return api.PhaseComplete
}

// onStable: on the stable revision or, where there is none, the pod's own
// images, be it that nobody ever touched it.
func (h *history) onStable(p *simPod) bool {
	in := h.input()
	return p.on() == stableOf(in).ID || in.Stable == nil && p.Observed.Revision == ""
}
