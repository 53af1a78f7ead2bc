package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// What the dumb cluster and its twin know of gates.

// judged is what came of gates, the recorded ones included.
func (c *cluster) judged() map[string]Judged {
	judged := map[string]Judged{}
	maps.Copy(judged, Recorded(c.results))
	maps.Copy(judged, c.gates)
	return judged
}

// keep has what is over in the record, and forgets what came of other gates.
func (c *cluster) keep(p Plan) {
	kept := map[string]Judged{}
	for _, g := range p.Gates {
		if j, ok := c.gates[g.Key()]; ok {
			kept[g.Key()] = j
		}
	}
	c.gates, c.results = kept, p.Results
}

// judge has something come of those gates that a plan asks for and are running.
func (c *cluster) judge(j Judged, is func(Gate) bool) {
	p := Make(c.input())
	c.keep(p)
	for _, g := range p.Gates {
		if _, over := c.gates[g.Key()]; is(g) && !over {
			c.gates[g.Key()] = j
			if g.When == api.MomentStep && j.State == GateSuccessful {
				c.judgedAt[g.Step] = g.Analysis + " " + g.For
			}
			if g.When == api.MomentBetween && j.State == GateSuccessful {
				c.passed[g.Analysis] = c.begun()
			}
		}
	}
}

// unjustGate: a gate's verdict that is not what was measured, or not what Git has
// ordered for it.
func (c *cluster) unjustGate(v *api.Verdict) string {
	is := func(s GateState) bool {
		for _, j := range c.judged() {
			if j.State == s {
				return true
			}
		}
		return false
	}
	switch {
	case c.suspended || v.Inconclusive && v.Do != api.FailurePause || !v.Inconclusive && !is(GateFailed) || v.Inconclusive && !is(GateInconclusive):
		return fmt.Sprintf("%+v of %+v", v, c.judged())
	case v.Do == api.FailureRollback && c.rollout.OnFailure != api.FailureRollback:
		return "nobody asked for a rollback"
	}
	return ""
}

// of is what came of the gates of a moment, by analysis, or of those of a pod.
func (c *cluster) of(m api.Moment, p *simPod) map[string]GateState {
	states := map[string]GateState{}
	for _, a := range c.rollout.Analysis {
		if a.At(m) {
			states[a.Name] = GateRunning
		}
	}
	if len(states) == 0 {
		return nil
	}
	note := func(id string, is GateState) {
		words := strings.SplitN(id, " ", 3)
		if _, asked := states[words[0]]; asked && words[1] == string(m) && (p == nil || strings.HasPrefix(p.UID, words[2])) {
			states[words[0]] = is
		}
	}
	for key, j := range c.gates {
		if id, ok := strings.CutSuffix(key, " "+c.asksFor()); ok {
			note(id, j.State)
		}
	}
	if r := c.results; r != nil && r.For == c.asksFor() {
		for _, id := range r.Passed {
			note(id, GateSuccessful)
		}
		for id := range r.Failed {
			note(id, GateFailed)
		}
	}
	return states
}

// asksFor is what Git says, as gates have it.
func (c *cluster) asksFor() string { return strings.TrimSpace(c.revision.ID + " " + c.spec) }

func passed(states map[string]GateState) bool {
	for _, s := range states {
		if s != GateSuccessful {
			return false
		}
	}
	return true
}

// gated: told of the revision, on it, and not past its own gates.
func (c *cluster) gated(p *simPod) bool {
	return !c.settledOn() && c.verdict == nil && p.Desired.Revision == c.revision.ID && p.on() == c.revision.ID && !passed(c.of(api.MomentPod, p))
}

// pastAGate: a pod begins though the gates before it, or between, are not passed; or
// the revision is reached before the end of its gates.
func pastAGate(c *cluster, p Plan) string {
	if c.settledOn() {
		return ""
	}
	m := api.MomentBetween
	if c.begun() == "" {
		m = api.MomentBefore
	}
	for _, a := range p.Actions {
		begins := a.Kind == Apply && a.Revision.ID == c.revision.ID && c.byUID(a.UID).Desired.Revision != a.Revision.ID
		if begins && !passed(c.of(m, nil)) {
			return a.String()
		}
		for name := range c.of(api.MomentBetween, nil) {
			if begins && m == api.MomentBetween && c.passed[name] != c.begun() {
				return fmt.Sprintf("%s, but %s was passed for %q, not for %q", a, name, c.passed[name], c.begun())
			}
		}
	}
	if p.Reached && (!passed(c.of(api.MomentAfter, nil)) || slices.ContainsFunc(c.alive(), c.gated)) {
		return "reached"
	}
	return ""
}

// judgeSome has something come of one of the gates that are running.
func (h *history) judgeSome(t *rapid.T) {
	gates := slices.DeleteFunc(Make(h.input()).Gates, func(g Gate) bool { return h.gates[g.Key()].State != "" })
	if len(gates) == 0 {
		t.Skip("no gates")
	}
	which := rapid.SampledFrom(gates).Draw(t, "gate")
	state := rapid.SampledFrom([]GateState{GateSuccessful, GateSuccessful, GateFailed, GateInconclusive}).Draw(t, "state")
	h.judge(Judged{state, "so it was measured"}, func(g Gate) bool { return g == which })
}

// anyAnalysis is none as often as not.
var anyAnalysis = [][]api.Analysis{
	nil, nil, nil, {{Name: "smoke", When: []api.Moment{api.MomentPod}}}, {{Name: "errors", When: []api.Moment{api.MomentBetween}}},
	{{Name: "errors", When: []api.Moment{api.MomentBefore, api.MomentBetween, api.MomentAfter}}, {Name: "smoke", When: []api.Moment{api.MomentPod}}},
}
