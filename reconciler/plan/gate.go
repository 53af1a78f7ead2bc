package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// GateState is how an analysis stands.
type GateState string

// The states. What is not known is running.
const (
	GateRunning      GateState = "Running"
	GateSuccessful   GateState = "Successful"
	GateFailed       GateState = "Failed"
	GateInconclusive GateState = "Inconclusive"
)

// Judged is what came of a gate so far; Reason says why it is not good.
type Judged struct {
	State  GateState
	Reason string
}

// Gate is one analysis at one moment of a rollout.
type Gate struct {
	Analysis string // by its name
	When     api.Moment
	// Pod that is judged, by name, and its UID; "" for the pods together.
	Pod, UID string
	// Step that it is, from 1; 0 for what is no step.
	Step int
	// Of is which pods have changed, between batches, or "none" at a step that was
	// come to before any had: that says nothing of those that have since.
	Of string
	// For is what Git asks. For anything else it is judged anew.
	For string
}

// Key tells gates apart.
func (g Gate) Key() string { return g.ID() + " " + g.For }

// uidLength is as much of a pod's UID as no other pod has.
const uidLength = 13

// ID tells apart the gates of what Git asks for.
func (g Gate) ID() string {
	words := []string{g.Analysis, string(g.When), g.UID[:min(len(g.UID), uidLength)], g.Of}
	if g.Step > 0 {
		words[2] = strconv.Itoa(g.Step)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// String is how people see a gate.
func (g Gate) String() string {
	switch g.When {
	case api.MomentBefore:
		return "analysis " + g.Analysis + " before the first pod"
	case api.MomentBetween:
		return "analysis " + g.Analysis + " between batches"
	case api.MomentAfter:
		return "analysis " + g.Analysis + " after the last pod"
	case api.MomentStep:
		return "analysis " + g.Analysis + " at step " + strconv.Itoa(g.Step)
	}
	return "analysis " + g.Analysis + " of pod " + g.Pod
}

// gatesAt are those of a moment. A revision that is proved passes none again, and
// one that was judged none any more.
func (w *world) gatesAt(m api.Moment, p Pod, of string) (gates []Gate) {
	if w.proved() || w.in.Verdict != nil {
		return nil
	}
	for _, a := range w.in.Rollout.Analysis {
		if a.At(m) {
			gates = append(gates, Gate{Analysis: a.Name, When: m, Pod: p.Name, UID: p.UID, Of: of, For: w.asked()})
		}
	}
	return gates
}

// asked is what Git asks for, in two digests.
func (w *world) asked() string { return strings.TrimSpace(w.in.Revision.ID + " " + w.in.Spec) }

// gatesAtStep is the one that a step is, if it is one.
func (w *world) gatesAtStep(step int) []Gate {
	a := w.steps()[step-1].Analysis
	if a == nil || w.in.Verdict != nil {
		return nil
	}
	g := Gate{Analysis: a.Name, When: api.MomentStep, Step: step, For: w.asked()}
	if !slices.ContainsFunc(w.pods, w.given) {
		g.Of = "none"
	}
	return []Gate{g}
}

// closed are those of some gates that have not been passed.
func (w *world) closed(gates []Gate) []Gate {
	return slices.DeleteFunc(slices.Clone(gates), func(g Gate) bool { return w.in.Gates[g.Key()].State == GateSuccessful })
}

// ofPod are the gates of a pod that was seen on the revision.
func (w *world) ofPod(p Pod) []Gate {
	if len(w.in.Rollout.Analysis) == 0 || p.Desired.Revision != w.in.Revision.ID || !p.on(w.in.Revision) {
		return nil
	}
	return w.gatesAt(api.MomentPod, p, "")
}

// gated: changed, and not past its gates. Such a pod keeps its place.
func (w *world) gated(p Pod) bool { return len(w.closed(w.ofPod(p))) > 0 }

// gateFailure is which of its gates a pod failed.
func (w *world) gateFailure(p Pod) string {
	for _, g := range w.ofPod(p) {
		if j := w.in.Gates[g.Key()]; j.State == GateFailed {
			return fmt.Sprintf("analysis %s failed: %s", g.Analysis, j.Reason)
		}
	}
	return ""
}

// gatesNext are those that the next pods wait at: before the first, and once those
// that have begun have settled, for all that have changed so far. Who failed has his
// place, and is not waited for.
func (w *world) gatesNext() (gates []Gate, waits string) {
	if len(w.in.Rollout.Analysis) == 0 {
		return nil, ""
	}
	given := w.those(w.given)
	if len(given) == 0 {
		gates = w.gatesAt(api.MomentBefore, Pod{}, "")
		return gates, judgedFirst(w.closed(gates))
	}
	gates = w.gatesAt(api.MomentBetween, Pod{}, together(given))
	if len(w.closed(gates)) == 0 {
		return gates, ""
	}
	if slices.ContainsFunc(given, func(p Pod) bool { return w.holding(p) && w.failing(p) == "" }) {
		return nil, w.settling(gates)
	}
	return gates, judgedFirst(w.closed(gates))
}

// together names a set of pods.
func together(pods []Pod) string {
	var uids []string
	for _, p := range pods {
		uids = append(uids, p.UID)
	}
	slices.Sort(uids)
	sum := sha256.Sum256([]byte(strings.Join(uids, " ")))
	return hex.EncodeToString(sum[:5])
}

// settling says for whom a gate between batches waits. Who only has to stay Ready is
// not named, as in inTheWay.
func (w *world) settling(gates []Gate) string {
	unsettled := w.those(func(p Pod) bool { return w.inDoubt(p) && w.failing(p) == "" })
	if len(unsettled) == 0 {
		return w.readyFirst()
	}
	return fmt.Sprintf("%s waits until these have %s: %s", gates[0], w.changed(), named(unsettled))
}

// atTheEnd are the gates of the revision once every pod is past its own.
func (w *world) atTheEnd() []Gate {
	if !w.complete(w.counts()) || slices.ContainsFunc(w.pods, w.gated) {
		return nil
	}
	return w.gatesAt(api.MomentAfter, Pod{}, "")
}

// gates are all that matter now, passed or not.
func (w *world) gates(next step) (gates []Gate) {
	for _, p := range w.pods {
		gates = append(gates, w.ofPod(p)...)
	}
	if !w.window.closed { // what was good hours ago says little
		gates = append(gates, next.gates...)
	}
	if w.underway() { // it is of those that have changed, as that of a pod is
		gates = append(gates, w.gatesAtStep(w.way.progress.Step)...)
	}
	return append(gates, w.atTheEnd()...)
}

// judgeGates is the verdict of a gate: nobody can tell, or what is measured of the
// pods together is bad. Pods that fail their own are counted with others that fail.
func (w *world) judgeGates(gates []Gate) *api.Verdict {
	for _, g := range gates {
		switch j := w.in.Gates[g.Key()]; {
		case j.State == GateInconclusive:
			v := w.verdict(api.FailurePause, fmt.Sprintf("%s is inconclusive: %s", g, j.Reason))
			v.Inconclusive = true
			return v
		case j.State == GateFailed && g.When != api.MomentPod:
			return w.gateVerdict(fmt.Sprintf("%s failed: %s", g, j.Reason))
		}
	}
	return nil
}

func (w *world) gateVerdict(reason string) *api.Verdict {
	stuck := w.stuck()
	switch {
	case w.in.Rollout.OnFailure != api.FailureRollback:
		return w.verdict(api.FailurePause, reason)
	case stuck != "":
		return w.verdict(api.FailurePause, reason+"; not rolled back: "+stuck)
	}
	return w.verdict(api.FailureRollback, reason)
}

// judgedFirst says at which gates pods wait; "" if there are none.
func judgedFirst(gates []Gate) string {
	var words []string
	for _, g := range gates {
		words = append(words, g.String())
	}
	if len(words) == 0 {
		return ""
	}
	return "judged first: " + strings.Join(words, ", ")
}

// analysesOf are the names of those that are taken of each pod, in words.
func (w *world) analysesOf(m api.Moment) string {
	var names []string
	for _, a := range w.in.Rollout.Analysis {
		if a.At(m) {
			names = append(names, a.Name)
		}
	}
	return strings.Join(names, ", ")
}
