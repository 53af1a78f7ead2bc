package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// What the dumb twin has to say about verdicts.

// unjust: a verdict that nothing is the reason of, or that is due and not passed,
// or that Git has lifted.
func unjust(c *cluster, p Plan) string {
	before, due := c.verdict, c.rollbackDue(p)
	lifted := before != nil && (before.Spec != c.spec || before.Revision != c.revision.ID || c.settledOn())
	switch {
	case before != nil && !lifted && p.Verdict != before:
		return "a verdict was given up, or passed again, though Git says the same"
	case lifted && p.Verdict == before:
		return "Git says something else, and the old verdict holds"
	case p.Verdict != nil && p.Verdict != before && strings.HasPrefix(p.Verdict.Reason, "analysis"):
		return c.unjustGate(p.Verdict)
	case (before == nil || lifted) && len(c.alive()) > 0 && due != (p.Verdict != nil):
		return fmt.Sprintf("a verdict is due: %t, and there is %+v", due, p.Verdict)
	case p.Verdict != nil && (p.Verdict.Spec != c.spec || p.Verdict.Revision != c.revision.ID || p.Verdict.Reason == ""):
		return fmt.Sprintf("about something else: %+v", p.Verdict)
	}
	return ""
}

// begun are those that were told of the revision, be it that the wish was lost.
func (c *cluster) begun() string {
	var uids []string
	for _, pod := range c.alive() {
		if pod.Desired.Revision == c.revision.ID || pod.Desired.Revision == "" && pod.on() == c.revision.ID {
			uids = append(uids, pod.UID)
		}
	}
	slices.Sort(uids)
	return strings.Join(uids, " ")
}

// rollbackDue: so many pods failed on the revision that nothing would go on, or
// that it was enough; and what there was before is known.
func (c *cluster) rollbackDue(p Plan) bool {
	if c.rollout.OnFailure != api.FailureRollback || c.suspended || c.settledOn() {
		return false
	}
	failed := c.count(c.speaksAgainst)
	total, threshold := len(c.alive()), 1
	if c.rollout.FailureThreshold.Set {
		threshold = c.rollout.FailureThreshold.Of(total)
	}
	for _, limit := range []int{c.rollout.MaxConcurrent.Of(total), c.rollout.MaxUnavailable.OfRoundedDown(total), c.shareBefore(p)} {
		threshold = min(threshold, max(1, limit))
	}
	known := len(c.revision.Files) == 0 || c.stable != nil && len(c.stable.Files) > 0
	return failed >= max(1, threshold) && c.begun() != "" && known
}

// shareBefore is how many should have been on the revision but for what the plan
// judges: one that goes back knows no steps any more.
func (c *cluster) shareBefore(p Plan) int {
	before := *c
	before.verdict, before.stands = nil, p.Progress
	if came := c.came(); p.Verdict != nil && p.Progress == nil {
		before.stands = &came
	}
	return before.share()
}

func (c *cluster) settledOn() bool { return c.stable != nil && c.stable.ID == c.revision.ID }

func (c *cluster) speaksAgainst(p *simPod) bool {
	if p.Desired.Revision == c.revision.ID {
		for _, is := range p.Observed.Containers {
			if p.Observed.Revision == c.revision.ID && is.State == api.StateFailed {
				return true
			}
		}
		if c.rollout.ProgressDeadlineSeconds > 0 && p.Desired.Ready && !p.Ready && c.now.Sub(p.ReadySince) >= c.rollout.ProgressDeadline() {
			return true
		}
		for _, s := range c.of(api.MomentPod, p) {
			if s == GateFailed && c.gated(p) {
				return true
			}
		}
	}
	return p.Refused && p.on() != c.revision.ID && c.isChosen(p)
}

// isChosen asks a plan: which of equals is chosen is told by rules of its own.
func (c *cluster) isChosen(p *simPod) bool {
	in := c.input()
	in.Verdict = nil
	return newWorld(in).chose(p.Pod)
}

// triedAgain: nobody is told of a revision under a verdict, be it that its images
// are only pulled ahead. A file that was replaced by hand is put right.
func triedAgain(c *cluster, p Plan) string {
	for _, a := range p.Actions {
		pod := c.byUID(a.UID)
		mends := pod.Desired.Revision == a.Revision.ID && pod.strayed()
		if p.Verdict != nil && a.Revision.ID == c.revision.ID && !mends {
			return a.String()
		}
	}
	return ""
}

func verdictUntold(c *cluster, p Plan) string {
	if p.Verdict == nil || len(c.alive()) == 0 {
		return ""
	}
	back := true
	for _, pod := range c.alive() {
		back = back && pod.Desired.Revision != c.revision.ID
	}
	subject := Subject(c.status(p), p.Hold)
	switch {
	case !strings.Contains(p.Message, p.Verdict.Reason):
		return fmt.Sprintf("%q does not say why", p.Message)
	case p.Phase == api.PhaseComplete || p.Phase == api.PhaseRolledBack && p.Verdict.Do != api.FailureRollback:
		return string(p.Phase)
	case p.Phase == api.PhaseRolledBack && !back:
		return "some were told of the revision and of nothing since"
	case p.Phase == api.PhaseRolledBack && !strings.Contains(subject, p.Verdict.Reason):
		return subject
	case p.Reached:
		return "reached"
	}
	return ""
}

// deadlineBy: somebody's deadline passes until then.
func (c *cluster) deadlineBy(at time.Time) bool {
	for _, p := range c.alive() {
		by := p.ReadySince.Add(c.rollout.ProgressDeadline())
		if c.rollout.ProgressDeadlineSeconds > 0 && !p.Ready && p.Desired.Ready && c.now.Before(by) && !at.Before(by) {
			return true
		}
	}
	return false
}
