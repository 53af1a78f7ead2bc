package reconciler

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// sight is a HotPatch with its pods, as they were seen in this pass.
type sight struct {
	*tracked
	pods     []kube.Pod
	err      error
	underway bool
}

// observeAll sees the pods of all that do not rest, and tells whether any has other
// pods than before.
func (l *loop) observeAll() (seen []sight, shifted bool) {
	underway := l.jobs.underway()
	for _, t := range l.order {
		if t.rests {
			continue
		}
		before := t.claimed
		pods, err := l.observe(t, underway)
		others := !slices.Equal(t.claimed, before)
		l.settle(t, others, err)
		seen = append(seen, sight{t, pods, err, t.underway(underway, pods)})
		shifted = shifted || others
	}
	return seen, shifted
}

// lookAt plans for what was seen, and hands on what there is to say of it.
func (l *loop) lookAt(seen []sight, all bool) {
	results, next, ended := map[string]result{}, time.Time{}, false
	for _, s := range seen {
		before := s.said.status
		l.look(s)
		if s.leaves && s.left(l.recorder.holds(s.key)) {
			l.drop(s.tracked)
			l.trigger.fire(resync) // so that it is recorded that it is no more
		}
		if s.record.Phase != "" {
			results[s.key] = s.said
			l.metrics.show(before, s.record)
		}
		ended = s.ends() || ended
	}
	if ended {
		l.goOn()
	}
	for _, t := range l.order {
		next = plan.Earlier(next, t.again)
	}
	l.alarm.set(next, func() { l.trigger.fire(timeCame) })
	l.recorder.submit(results, all)
	if all || len(results) > 0 {
		l.announcer.passed(l.known)
	}
}

// look plans for one HotPatch, starts what is to be done, and says how it stands.
func (l *loop) look(s sight) {
	t, now, idle, tries := s.tracked, time.Now(), !s.underway, s.tries
	t.waitsFor, t.again = nil, time.Time{}
	t.problem = cmp.Or(t.problem, s.err)
	var p *plan.Plan
	if s.err == nil && t.accepted != nil {
		p = l.plan(t, s.pods)
		tries.add(l.admission.judge(l.jobContext(t), t, s.pods, p.Actions))
		tries.add(l.executor.execute(l.jobContext(t), t.accepted.HotPatch.Metadata.Name, s.pods, p.Actions))
		due, measuring := l.analyses.pursue(l.jobContext(t), t, s.pods, p.Gates, now)
		t.hold, t.again = p.Hold, plan.Earlier(due, p.Again)
		idle = idle && !measuring
	}
	t.again = plan.Earlier(t.again, tries.due)
	rank := t.rank()
	t.record = t.status(l.options.Cluster, now, p)
	if t.rank() != rank && !l.reordered {
		l.reordered = true // another may have what this one was seen to have
		l.trigger.fire(workEnded)
	}
	said := result{t.record, t.subject(), t.awaits()}
	t.rests = idle && !tries.now && !t.leaves && t.record.Progress.Same(l.recorder.holds(t.key).Progress) && reflect.DeepEqual(said, t.said)
	t.said = said
}
