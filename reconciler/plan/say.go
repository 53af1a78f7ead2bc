package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

func (w *world) counts() api.Counts {
	c := api.Counts{Desired: len(w.chosen), Total: len(w.pods)}
	for _, p := range w.pods {
		updated := p.on(w.in.Revision)
		if updated {
			c.Updated++
		}
		if p.Ready {
			c.Ready++
		}
		if updated && p.Ready {
			c.UpdatedReady++
		}
	}
	return c
}

// rows are all pods by name, and those where something failed.
func (w *world) rows(passed []Pod) (rows, failures []api.PodRow) {
	over := byUID(passed)
	for _, p := range w.pods {
		row := w.row(p)
		if row.State == "Waiting" && over[p.UID] {
			row.State = "Protected"
		}
		rows = append(rows, row)
		if row.Message != "" {
			failures = append(failures, row)
		}
	}
	byName := func(a, b api.PodRow) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(rows, byName)
	slices.SortFunc(failures, byName)
	return rows, failures
}

func (w *world) row(p Pod) api.PodRow {
	row := api.PodRow{Name: p.Name, Node: p.Node, Ready: p.Ready, Revision: p.Observed.Revision, Message: w.failure(p)}
	switch {
	case row.Message != "":
		row.State = string(api.StateFailed)
	case p.on(w.in.Revision):
		row.State, row.Revision = p.state(), w.in.Revision.ID
	case p.Desired.Revision == w.in.Revision.ID:
		row.State, row.Reason = "Changing", p.Desired.Reason
	case w.chose(p):
		row.State = "Waiting"
	case p.Desired.Revision == w.stable.ID && !p.on(w.stable):
		row.State, row.Reason = "Returning", p.Desired.Reason
	default:
		row.State = "Held"
	}
	return row
}

// failure of a pod. Its sidecar refuses before the pod is asked for anything,
// and its last answer means nothing once the pod is where it should be.
func (w *world) failure(p Pod) string {
	if failure := cmp.Or(p.failure(), w.overdue(p), w.gateFailure(p)); failure != "" || p.SidecarError == "" || w.settled(p) {
		return failure
	}
	return p.SidecarError
}

func (w *world) settled(p Pod) bool {
	if w.chose(p) {
		return p.on(w.in.Revision)
	}
	return p.Desired.Revision != w.in.Revision.ID && !w.strayed(p)
}

func (w *world) chose(p Pod) bool { return w.isChosen[p.UID] }

// state of a pod that is where it should be, in one word.
func (p Pod) state() string {
	if len(p.Observed.Containers) == 0 && len(p.Files.Files) == 0 {
		return StateBorn
	}
	for _, c := range p.Observed.Containers {
		return string(c.State)
	}
	return string(api.FileUpdated)
}

// phase says how far it is, what is in the way, and what holds a rest back. On
// the way it says at which step.
func (w *world) phase(next step) (phase api.Phase, message, hold string) {
	phase, message, hold = w.stand(next)
	if w.underway() {
		message = w.step() + ": " + cmp.Or(message, w.way.wait.words)
		hold = cmp.Or(hold, w.step())
	}
	return phase, message, hold
}

// stand is the phase as the pods are now, whatever step that is.
func (w *world) stand(next step) (phase api.Phase, message, hold string) {
	if w.in.Verdict != nil {
		return w.sentenced(next)
	}
	trouble := w.trouble()
	switch {
	case trouble != "" && w.in.Suspended:
		return api.PhaseDegraded, trouble + "; " + w.suspended(), ""
	case trouble != "":
		return api.PhaseDegraded, trouble + w.noWayBack() + w.pausing(), ""
	case w.in.Suspended:
		return api.PhasePaused, w.suspended() + w.toldBefore(), "suspended"
	}
	c, partition := w.counts(), "partition "+w.in.Rollout.Partition.String()
	switch {
	case w.finished(c):
		return api.PhaseComplete, "", ""
	case w.shut(next):
		return api.PhasePaused, w.outside(), "outside of its window"
	case w.queued(next):
		return api.PhasePaused, w.forOthers(), "waits for " + strings.Join(w.in.WaitsFor, ", ")
	case w.deferring(next):
		return api.PhasePaused, w.protected(next.passed), fmt.Sprintf("%d protected", len(next.passed))
	case w.underway() && w.way.wait.rests && c.Updated >= c.Desired && w.resting(next.actions):
		return api.PhasePaused, w.way.wait.words, ""
	case !w.underway() && c.Updated >= c.Desired && c.Updated > 0 && len(w.held) > 0 && w.resting(next.actions):
		return api.PhasePaused, fmt.Sprintf("the %s keeps %d of %d pods on the stable revision", partition, len(w.held), len(w.pods)), partition
	case !w.underway() && c.Desired == 0 && w.resting(next.actions):
		return api.PhasePaused, fmt.Sprintf("the %s keeps every pod on the stable revision", partition), partition
	case slices.ContainsFunc(next.actions, func(a Action) bool { return a.Kind == Prepare }):
		return api.PhaseProgressing, "images are pulled ahead", ""
	case judging(next.actions):
		return api.PhaseProgressing, "the cluster's admission controls judge the images", ""
	}
	return api.PhaseProgressing, w.inTheMeantime(next), ""
}

// inTheMeantime says what the rest waits for, and who was passed over.
func (w *world) inTheMeantime(next step) string {
	var words []string
	if waits := cmp.Or(next.waits, w.unfinished(), w.underWay(next), next.back); len(next.actions) == 0 && waits != "" {
		words = append(words, waits)
	}
	if len(next.passed) > 0 {
		words = append(words, w.protected(next.passed))
	}
	return strings.Join(words, "; ")
}

// underWay names nodes and pods whose agents have yet to do what they were told, and pods
// that nobody can tell anything: on a node that is gone they may stay so for ever.
func (w *world) underWay(next step) string {
	var words []string
	if len(next.unready) > 0 {
		words = append(words, "images are pulled ahead, and not there yet on: "+listed(slices.Sorted(slices.Values(next.unready))))
	}
	if busy := w.those(func(p Pod) bool { return w.busy(p) && !w.spared(p) }); len(busy) > 0 {
		words = append(words, "these were told and are not there yet: "+named(busy))
	}
	if still := w.those(func(p Pod) bool { return w.chose(p) && !w.given(p) && !p.running(w.in.Revision) }); len(still) > 0 {
		words = append(words, "these do not run and are told once they do: "+named(still))
	}
	return strings.Join(words, "; ")
}

const suspendedInGit = "suspended in Git"

// suspended says that it is, and by what.
func (w *world) suspended() string {
	if w.in.SuspendedBy != "" {
		return suspendedInGit + " by " + w.in.SuspendedBy
	}
	return suspendedInGit
}

// toldBefore names those that were told before nothing new might start, and may
// still get there.
func (w *world) toldBefore() string {
	if told := w.those(w.busy); len(told) > 0 {
		return "; told before and not there: " + named(told)
	}
	return ""
}

// empty is what there is to say without a pod.
func (w *world) empty() string {
	switch {
	case w.in.Suspended:
		return w.in.Target + " has no pod now; " + w.suspended()
	case w.behindOthers():
		return w.in.Target + " has no pod now; " + w.forOthers()
	}
	return w.in.Target + " has no pod now; what appears will be changed"
}

// mostNames is how many pods a sentence names.
const mostNames = 5

// named lists pods by name, whatever order they change in.
func named(pods []Pod) string {
	var names []string
	for _, p := range pods {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return listed(names)
}

// listed are some names, and how many more there are.
func listed(names []string) string {
	if more := len(names) - mostNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), more)
	}
	return strings.Join(names, ", ")
}

// complete: every pod is on the revision, and should be. Otherwise the end of
// held pods would make of an unfinished revision the stable one.
func (w *world) complete(c api.Counts) bool {
	return c.Updated == c.Total && len(w.held) == 0 && !w.underway()
}

// finished: complete, and nobody can fail any more for what was done.
func (w *world) finished(c api.Counts) bool {
	return w.complete(c) && w.in.Verdict == nil && w.unfinished() == ""
}

// unfinished says what may still end badly after every pod was seen there.
func (w *world) unfinished() string {
	if awaited := w.those(w.late); len(awaited) > 0 {
		return "these have changed and are to be Ready: " + named(awaited)
	}
	if gated := w.those(w.gated); len(gated) > 0 {
		return fmt.Sprintf("these have changed and are judged by analysis %s: %s", w.analysesOf(api.MomentPod), named(gated))
	}
	return judgedFirst(w.closed(w.atTheEnd()))
}

// resting: nothing is to be done, is being done, or waits for its turn to go
// back.
func (w *world) resting(actions []Action) bool {
	given, strayed := w.astray()
	return len(actions)+len(given)+len(strayed) == 0 && !slices.ContainsFunc(w.pods, func(p Pod) bool { return w.busy(p) || w.gated(p) })
}

// trouble is the first failure, in the order of the pods.
func (w *world) trouble() string {
	for _, p := range w.pods {
		if failure := w.failure(p); failure != "" {
			return fmt.Sprintf("pod %s: %s", p.Name, failure)
		}
	}
	return cmp.Or(w.refused(), w.unprepared())
}

// Subject is a status in one line, for the log of the status branch. Hold is the plan's.
func Subject(s api.HotPatchStatus, hold string) string {
	name, version := s.Metadata.Name, cmp.Or(s.Version(), s.Revision)
	head := fmt.Sprintf("%s: %d of %d on %s", name, s.Counts.Updated, s.Counts.Total, version)
	back := s.Verdict != nil && s.Verdict.Do == api.FailureRollback
	switch s.Phase {
	case api.PhasePending:
		return fmt.Sprintf("%s: waiting for pods to be on %s", name, version)
	case api.PhasePaused:
		return fmt.Sprintf("%s (%s)", head, cmp.Or(hold, "paused"))
	case api.PhaseProgressing:
		if back {
			return head + ", rolling back: " + s.Verdict.Reason
		}
		if hold != "" {
			return fmt.Sprintf("%s, changing (%s)", head, hold)
		}
		return head + ", changing"
	case api.PhaseDegraded:
		return head + ", trouble: " + s.Message
	case api.PhaseRolledBack:
		if back {
			return head + ", rolled back: " + s.Verdict.Reason
		}
		return head + ", rolled back"
	}
	return head
}
