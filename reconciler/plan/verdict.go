package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// standing is the recorded verdict if it is about what Git says now. Whatever Git
// says otherwise has been said by a person, who wins over the machine at once.
func (in Input) standing() *api.Verdict {
	v := in.Verdict
	if v == nil || v.Revision != in.Revision.ID || v.Spec != in.Spec || v.Revision == stableOf(in).ID {
		return nil
	}
	return v
}

func (w *world) rollingBack() bool {
	return w.in.Verdict != nil && w.in.Verdict.Do == api.FailureRollback
}

// judge is the verdict that stands, or the one that is due now; nil if none is.
func (w *world) judge(next step) *api.Verdict {
	if w.in.Verdict != nil || w.in.Suspended || w.proved() {
		return w.in.Verdict
	}
	gates := w.judgeGates(w.gates(next))
	switch {
	case gates != nil:
		return gates
	case w.in.Rollout.OnFailure == api.FailureRollback && w.tooManyFailed() && w.stuck() == "":
		return w.verdict(api.FailureRollback, w.failures())
	}
	return nil
}

func (w *world) verdict(do api.FailurePolicy, reason string) *api.Verdict {
	return &api.Verdict{Do: do, Revision: w.in.Revision.ID, Spec: w.in.Spec, Reason: reason, Since: w.in.Now.UTC().Truncate(time.Second)}
}

// proved: it is the stable revision, and nobody goes back from that one.
func (w *world) proved() bool { return w.stable.ID == w.in.Revision.ID }

// tooManyFailed counts up to the threshold, or to what stops the rollout: as those
// that failed keep their places, no more would fail after that.
func (w *world) tooManyFailed() bool {
	most, pace := 1, w.pace()
	if threshold := w.in.Rollout.FailureThreshold; threshold.Set {
		most = threshold.Of(len(w.pods))
	}
	return len(w.failed()) >= max(1, min(most, pace.atOnce, pace.mayLack, len(w.chosen)))
}

func (w *world) failed() []Pod {
	return w.those(func(p Pod) bool { return w.failing(p) != "" })
}

func (w *world) failures() string {
	failed := w.failed()
	reason := fmt.Sprintf("pod %s: %s", failed[0].Name, w.failing(failed[0]))
	if more := len(failed) - 1; more > 0 {
		reason = fmt.Sprintf("%d pods failed; %s", len(failed), reason)
	}
	return reason
}

// failing is why a pod speaks against the revision. That its sidecar cannot be
// reached does not: nobody has tried the revision there.
func (w *world) failing(p Pod) string {
	if p.Desired.Revision == w.in.Revision.ID {
		if failure := cmp.Or(p.failure(), w.overdue(p), w.gateFailure(p)); failure != "" {
			return failure
		}
	}
	if p.Refused && w.chose(p) && !p.on(w.in.Revision) {
		return p.SidecarError
	}
	return ""
}

// overdue: the pod was Ready before it changed, and has not been for too long. As
// it was, its last transition is from after that, however often its container has
// been restarted since.
func (w *world) overdue(p Pod) string {
	if !w.late(p) || w.in.Now.Before(w.deadline(p)) {
		return ""
	}
	return fmt.Sprintf("was Ready before it changed, and then not for %s", w.in.Rollout.ProgressDeadline())
}

// late: not Ready since it was told of the revision, which has a deadline.
func (w *world) late(p Pod) bool {
	return w.in.Rollout.ProgressDeadlineSeconds > 0 && !w.proved() &&
		p.Desired.Revision == w.in.Revision.ID && p.Desired.Ready && !p.Ready
}

func (w *world) deadline(p Pod) time.Time { return p.ReadySince.Add(w.in.Rollout.ProgressDeadline()) }

// stuck is why nothing can be rolled back, "" if all can.
func (w *world) stuck() string {
	if !slices.ContainsFunc(w.pods, w.given) {
		return "no pod has changed"
	}
	for _, f := range w.in.Revision.Files {
		if !slices.ContainsFunc(w.stable.Files, func(s api.DesiredFile) bool { return s.Path == f.Path }) {
			return "nobody knows what file " + f.Path + " was before"
		}
	}
	return ""
}

// noWayBack says why a rollback that was asked for does not begin.
func (w *world) noWayBack() string {
	if w.in.Rollout.OnFailure != api.FailureRollback || w.proved() || !slices.ContainsFunc(w.pods, w.given) || !w.tooManyFailed() || w.stuck() == "" {
		return ""
	}
	return "; not rolled back: " + w.stuck()
}

// untilGit ends what is said of a verdict.
const untilGit = "; not tried again until Git says something else"

// sentenced is the phase under a verdict.
func (w *world) sentenced(next step) (phase api.Phase, message, hold string) {
	reason, suspended := w.in.Verdict.Reason, ""
	if w.in.Suspended {
		suspended = "; " + w.suspended()
	}
	trouble, back := w.astrayTrouble(), w.resting(next.actions)
	switch {
	case w.in.Verdict.Inconclusive:
		return api.PhasePaused, reason + untilGit + suspended, "inconclusive"
	case !w.rollingBack():
		return api.PhaseDegraded, reason + untilGit + suspended, ""
	case trouble != "":
		return api.PhaseDegraded, "rolling back: " + reason + "; " + trouble + suspended, ""
	case back:
		return api.PhaseRolledBack, reason + untilGit + suspended, ""
	case w.in.Suspended:
		return api.PhasePaused, w.suspended() + w.toldBefore() + "; to be rolled back: " + reason, "suspended"
	}
	if meanwhile := w.inTheMeantime(next); meanwhile != "" {
		reason += "; " + meanwhile
	}
	return api.PhaseProgressing, "rolling back: " + reason, ""
}

// astrayTrouble is what failed on the way back: who failed on the revision is the
// reason for all of it.
func (w *world) astrayTrouble() string {
	for _, p := range w.pods {
		if failure := w.failure(p); failure != "" && p.Desired.Revision != w.in.Revision.ID {
			return fmt.Sprintf("pod %s: %s", p.Name, failure)
		}
	}
	return ""
}
