package plan

import (
	"fmt"
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// Make decides.
func Make(in Input) Plan {
	in.Verdict = in.standing()
	w := newWorld(in)
	if len(w.pods) == 0 {
		return Plan{Phase: api.PhasePending, Message: w.empty(), Progress: in.Progress, Verdict: in.Verdict}
	}
	next := w.next()
	if in.Verdict = w.judge(next); in.Verdict != nil {
		w = newWorld(in) // in which other pods are held
		next = w.next()
	}
	p := Plan{Counts: w.counts(), Actions: next.actions, Progress: w.way.progress, Verdict: in.Verdict}
	p.Gates, p.Results = w.divide(w.gates(next))
	p.Rows, p.Failures = w.rows(next.passed)
	p.Deferred = w.deferred(next.passed)
	p.Warnings = w.warnings()
	p.Phase, p.Message, p.Hold = w.phase(next)
	p.Again = w.again(next)
	if p.Reached = w.finished(p.Counts) && len(p.Failures) == 0; p.Reached {
		p.Progress, p.Results = nil, nil
	}
	return p
}

// step is what to do now, or why what should start cannot, and the gates before
// that. Passed are pods that are passed over because they are protected.
type step struct {
	actions []Action
	waits   string
	back    string // why what should go back cannot, while others go on
	gates   []Gate
	passed  []Pod
	mends   bool     // files wait for a place to be put right in
	unready []string // nodes that do not have the images yet
}

func (w *world) next() step {
	if w.in.Suspended {
		return step{}
	}
	next := w.actions()
	mending, waits := w.mending(next.actions)
	next.actions, next.mends = w.allowed(oneEach(append(mending, next.actions...))), waits
	return next
}

// oneEach keeps the first action of each pod: the next plan has the others.
func oneEach(actions []Action) (kept []Action) {
	seen := map[string]bool{}
	for _, a := range actions {
		if !seen[a.UID] {
			kept = append(kept, a)
		}
		seen[a.UID] = true
	}
	return kept
}

// world is an input with its pods in order and divided: chosen pods should be
// on the revision, held ones stay on the stable one.
type world struct {
	in           Input
	stable       Revision
	pods         []Pod // counted, in the order in which they change
	chosen, held []Pod
	isChosen     map[string]bool // by UID
	tolerance    tolerance
	window       window
	way          way
}

func newWorld(in Input) *world {
	w := &world{in: in, stable: stableOf(in)}
	w.window = w.windowNow()
	for _, p := range in.Pods {
		if !p.Gone {
			w.pods = append(w.pods, p)
		}
	}
	w.pods = inOrder(w.pods, in.Rollout.Order)
	w.walk()
	want := len(w.pods) - w.hold()
	for _, p := range w.alreadyFirst() {
		if len(w.chosen) < want {
			w.chosen = append(w.chosen, p)
		} else {
			w.held = append(w.held, p)
		}
	}
	w.isChosen = byUID(w.chosen)
	w.tolerance = w.tolerate()
	return w
}

// stableOf is the revision to stay on and to go back to: without one, the pods'
// own images, with the reload that the new revision has for them.
func stableOf(in Input) Revision {
	if in.Stable != nil {
		return *in.Stable
	}
	var own []api.DesiredContainer
	for _, c := range in.Revision.Containers {
		own = append(own, api.DesiredContainer{Name: c.Name, Carry: c.Carry, Reload: c.Reload})
	}
	return Revision{ID: api.Revision(own, nil), Containers: own}
}

// hold is how many pods stay on the stable revision. Where that is the revision
// itself, there is nothing to hold back. A step keeps others from going, but takes
// none back that went.
func (w *world) hold() int {
	switch {
	case w.proved():
		return 0
	case w.rollingBack():
		return len(w.pods)
	}
	hold := w.holds(w.in.Rollout.Partition)
	if w.underway() {
		_, onTheWay := w.partitionAt(w.way.progress.Step)
		notGiven := len(w.pods) - len(w.those(w.given))
		hold = max(hold, min(onTheWay, notGiven))
	}
	return hold
}

// holds is how many pods a partition keeps back.
func (w *world) holds(partition api.IntOrPercent) int {
	total := len(w.pods)
	hold := partition.Of(total)
	if partition.Percent && partition.Value < 100 {
		hold = min(hold, total-1)
	}
	return max(hold, 0)
}

// alreadyFirst lists pods that were given the revision before others, so that a
// partition that is raised gives back the last ones.
func (w *world) alreadyFirst() []Pod {
	first := slices.DeleteFunc(slices.Clone(w.pods), func(p Pod) bool { return !w.given(p) })
	rest := slices.DeleteFunc(slices.Clone(w.pods), w.given)
	return append(first, w.shieldedLast(rest)...)
}

// given: the pod was asked to be on the revision, or is on it.
func (w *world) given(p Pod) bool {
	return p.Desired.Revision == w.in.Revision.ID || p.Desired.Revision == "" && p.on(w.in.Revision)
}

// actions are what to do now: what must go back goes back before anything goes
// on, and never both at once.
func (w *world) actions() step {
	back, wait := w.returning()
	if wait {
		return back
	}
	var next []Pod
	for _, p := range w.chosen {
		if !w.given(p) && p.running(w.in.Revision) || w.given(p) && p.Desired.Revision == "" && len(w.in.Revision.Containers) > 0 {
			next = append(next, p)
		}
	}
	next = w.past(next)
	if len(next) == 0 || w.in.Verdict != nil {
		return back
	}
	on := w.begin(next)
	on.passed, on.back = append(on.passed, back.passed...), back.waits
	return on
}

// begin has pods go on to the revision, once all is there that takes.
func (w *world) begin(next []Pod) step {
	if admit := w.admit(next); len(admit) > 0 {
		return step{actions: admit}
	}
	if prepare, unready := w.prepare(); len(unready) > 0 {
		return step{actions: prepare, unready: unready}
	}
	if w.ahead() {
		next = slices.DeleteFunc(next, func(p Pod) bool { return !w.given(p) })
	}
	if w.behindOthers() || len(next) == 0 {
		return step{}
	}
	gates, waits := w.gatesNext()
	if waits != "" {
		return step{waits: waits, gates: gates}
	}
	begin := w.start(next, w.in.Revision, func(p Pod) string {
		return fmt.Sprintf("%d of %d pods should be on it, %s", len(w.chosen), len(w.pods), w.why(p))
	})
	begin.gates = gates
	return begin
}

// why says what put a pod where it is in the order.
func (w *world) why(p Pod) string {
	switch {
	case p.born(w.in.Revision):
		return "and it was started on it: its agent is to look"
	case !p.Ready:
		return "those that are not Ready first"
	case len(w.in.Rollout.Order) > 0:
		return "in the order " + inWords(w.in.Rollout.Order)
	case p.Priority != 0:
		return fmt.Sprintf("its priority is %d", p.Priority)
	case p.Ordinal >= 0:
		return "the highest ordinal first"
	}
	return "by name"
}

// returning takes held pods back, and tells whether others wait for that: those
// that were given the revision first, then those that strayed. One that strayed
// and never got there may hold the place that the others need.
func (w *world) returning() (back step, wait bool) {
	given, strayed := w.astray()
	back = w.start(append(given, strayed...), w.stable, func(p Pod) string {
		if w.rollingBack() {
			return "rolled back: " + w.in.Verdict.Reason
		}
		if p.Desired.Revision == w.in.Revision.ID {
			return fmt.Sprintf("the partition %s keeps %d of %d pods back", w.in.Rollout.Partition, len(w.held), len(w.pods))
		}
		return "a held pod belongs on the stable revision"
	})
	onTheirWay := slices.DeleteFunc(slices.Clone(w.held), func(p Pod) bool { return !w.onItsWay(p) })
	if back.waits == "" && len(onTheirWay) > 0 {
		back.waits = "these go back first: " + named(onTheirWay)
	}
	return back, len(given)+len(back.actions)+len(onTheirWay) > 0
}

// astray are held pods that were given the revision, or belong on the stable
// one for another reason. A partition takes back the last one first; a rollback
// goes in the order of the rollout: who is not Ready is in a hurry.
func (w *world) astray() (given, strayed []Pod) {
	held := slices.Clone(w.held)
	if !w.rollingBack() {
		slices.Reverse(held)
	}
	for _, p := range held {
		switch {
		case p.Desired.Revision == w.in.Revision.ID:
			given = append(given, p)
		case w.strayed(p):
			strayed = append(strayed, p)
		}
	}
	return given, strayed
}

// strayed: the pod was asked for an older revision that did not reach every
// pod, or is new. Where there is no stable revision, a pod that nobody touched
// is on its own images.
func (w *world) strayed(p Pod) bool {
	switch {
	case p.Desired.Revision == w.stable.ID || !p.running(w.stable):
		return false
	case p.Desired.Revision != "":
		return true
	}
	return (w.in.Stable != nil || p.Observed.Revision != "") && !p.on(w.stable)
}

// onItsWay: told to go back, but its agent did not begin yet.
func (w *world) onItsWay(p Pod) bool {
	began := p.Observed.Revision != w.in.Revision.ID && !p.born(w.in.Revision)
	return p.Desired.Revision == w.stable.ID && !began && !p.on(w.stable)
}
