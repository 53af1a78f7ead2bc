package plan

import (
	"fmt"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// way is where a rollout stands on its steps.
type way struct {
	progress *api.Progress // to be recorded; nil where there is no step to go
	wait     wait          // what keeps it at its step
}

// wait is what keeps a rollout at a step; the zero value keeps it nowhere.
type wait struct {
	words string    // what it waits for
	rests bool      // nothing is to be done meanwhile
	until time.Time // when it may end though nothing happens; zero: never
}

// waits is what keeps the rollout at a step. This is the one place that knows
// what kinds of steps there are. However one ends, the next begins only once the
// pods so far are where they should be: a canary that is gone by then proves
// nothing.
func (w *world) waits(at *api.Progress) wait {
	var waits wait
	step := w.steps()[at.Step-1]
	if step.Pause == nil {
		at.Since = time.Time{}
	}
	switch {
	case step.Pause != nil:
		waits = w.pause(at, *step.Pause)
	case step.Analysis != nil:
		waits = w.analysed(at.Step)
	default: // a partition is there when its pods are
	}
	if waits == (wait{}) {
		waits = w.unsettled(at.Step)
	}
	return waits
}

// pause waits for a person, or for a time that begins when the step does. What is said
// to have begun in the future began by a clock that was ahead, and begins now.
func (w *world) pause(at *api.Progress, p api.Pause) wait {
	if w.in.Promotion.Covers(at.Revision, at.Step) {
		return wait{}
	}
	if p.Duration == "" {
		return wait{words: "paused until somebody runs hotpatch promote " + w.in.HotPatch, rests: true}
	}
	if at.Since.IsZero() || at.Since.After(w.in.Now) {
		at.Since = w.in.Now.UTC().Truncate(time.Second)
	}
	if until := at.Since.Add(p.Lasts()); w.in.Now.Before(until) {
		return wait{words: "paused until " + until.UTC().Format("Mon 2006-01-02 15:04:05 MST"), rests: true, until: until}
	}
	return wait{}
}

// analysed waits until the analysis of a step has succeeded. That stands in the
// record with the next step: it is not measured again.
func (w *world) analysed(step int) wait {
	if closed := w.closed(w.gatesAtStep(step)); len(closed) > 0 {
		return wait{words: "judged by analysis " + closed[0].Analysis}
	}
	return wait{}
}

// unsettled: not as many pods as belong there were seen on the revision, have been
// Ready there for as long as was asked for, and have passed their gates.
func (w *world) unsettled(step int) wait {
	partition, hold := w.partitionAt(step)
	want := len(w.pods) - max(hold, w.holds(w.in.Rollout.Partition))
	there := w.those(func(p Pod) bool { return p.on(w.in.Revision) })
	proving := w.those(func(p Pod) bool { return w.proving(p) || w.gated(p) })
	doubtful := w.those(func(p Pod) bool { return p.on(w.in.Revision) && w.inDoubt(p) })
	switch {
	case len(there)-len(proving) >= want:
		return wait{}
	case len(there) < want:
		return wait{words: "partition " + partition.String()}
	case len(doubtful) > 0:
		return wait{words: fmt.Sprintf("these have changed and must have %s: %s", w.proof(), named(doubtful)), until: w.nextProven()}
	}
	return wait{words: fmt.Sprintf("pods that have changed must have been Ready for %s", w.in.Rollout.MinReady()), until: w.nextProven()}
}

// walk goes from where the record is past all that need not be waited for.
func (w *world) walk() {
	steps := w.steps()
	if len(steps) == 0 {
		return
	}
	at := w.resume()
	w.way = way{progress: &at}
	if w.in.Verdict != nil {
		return // it stays where it was judged
	}
	for at.Step <= len(steps) {
		if w.way.wait = w.waits(&at); w.way.wait != (wait{}) {
			return
		}
		at = api.Progress{Revision: at.Revision, Step: at.Step + 1, Passed: api.StepsID(steps[:at.Step])}
	}
}

// steps there are to go. To the stable revision there are none: going back is
// never staged. Nor is a beginning.
func (w *world) steps() []api.Step {
	if w.proved() || w.rollingBack() || w.begins() {
		return nil
	}
	return w.in.Rollout.Steps
}

// begins: Git says for the first time what all pods run anyway, so that there is
// nothing to try on a few of them.
func (w *world) begins() bool {
	foreign := func(p Pod) bool { return !p.native(w.in.Revision) }
	return w.in.Stable == nil && len(w.in.Revision.Files) == 0 && len(w.pods) > 0 && !slices.ContainsFunc(w.pods, foreign)
}

// resume is where the record has the rollout, or its beginning: of another
// revision, or if steps that it passed are not what they were.
func (w *world) resume() api.Progress {
	p, steps := w.in.Progress, w.steps()
	if p != nil && p.Revision == w.in.Revision.ID && 0 < p.Step && p.Step <= len(steps)+1 && p.Passed == api.StepsID(steps[:p.Step-1]) {
		return *p
	}
	return api.Progress{Revision: w.in.Revision.ID, Step: 1}
}

// underway: there are steps left.
func (w *world) underway() bool {
	return w.way.progress != nil && w.way.progress.Step <= len(w.steps())
}

// step is the one it is at, in words.
func (w *world) step() string {
	return fmt.Sprintf("step %d of %d", w.way.progress.Step, len(w.steps()))
}

// partitionAt is what a step holds back: the last partition up to it, and before
// there is one, all pods.
func (w *world) partitionAt(step int) (partition api.IntOrPercent, hold int) {
	partition = api.Percent(100)
	for _, s := range w.steps()[:step] {
		if s.Partition.Set {
			partition = s.Partition
		}
	}
	return partition, w.holds(partition)
}

// ahead: the record in Git does not know yet that the rollout has come so far.
// Until it does no other pod begins, so that a crash finds none that is further
// than the record.
func (w *world) ahead() bool {
	return w.way.progress != nil && !w.way.progress.Same(w.in.Recorded)
}
