package reconciler

import (
	"sync"
	"time"

	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// moved are the scopes whose pods are not what they were. Informers tell of them
// from goroutines of their own.
type moved struct {
	mu     sync.Mutex
	scopes map[kube.Scope]bool
}

// add notes a scope; the zero Scope stands for any.
func (m *moved) add(scope kube.Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.scopes == nil {
		m.scopes = map[kube.Scope]bool{}
	}
	m.scopes[scope] = true
}

// take empties it.
func (m *moved) take() map[kube.Scope]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.scopes
	m.scopes = nil
	return taken
}

// wake has those looked at that rest no longer. A HotPatch rests once a look at it
// has said what the one before said and started nothing, and nothing of it is under
// way. Another look would say the same, until Git or one of its pods changes, or the
// time comes that its plan has named, or at which what failed is tried again: one in
// trouble rests as well. The resync, and whatever is in doubt, looks at all of them.
func (l *loop) wake(moved map[kube.Scope]bool, now time.Time) {
	for _, t := range l.order {
		due := !t.again.IsZero() && !now.Before(t.again)
		if due || len(moved) > 0 && t.accepted != nil && moved[t.accepted.scope] {
			t.rests = false
		}
	}
}

// wakeAll has everything looked at, and whose each pod is told anew.
func (l *loop) wakeAll() {
	l.order, l.claims, l.reordered, l.contested = l.inOrder(), claims{}, false, false
	for _, t := range l.order {
		t.rests = false
	}
}

// tries are when what has failed is tried again.
type tries struct {
	now bool      // something is being tried
	due time.Time // when the next may be; zero: none waits
}

// note adds what may be tried at a time, or is being tried, at the zero one.
func (t *tries) note(due time.Time) { t.add(tries{due.IsZero(), due}) }

func (t *tries) add(other tries) {
	t.now, t.due = t.now || other.now, plan.Earlier(t.due, other.due)
}

// underway tells whether anything is being done for a HotPatch or to its pods.
func (t *tracked) underway(jobs map[string]string, pods []kube.Pod) bool {
	if len(jobs) == 0 {
		return false
	}
	if _, asked := jobs[admissionJob(t.key)]; asked {
		return true
	}
	for _, pod := range pods {
		if _, told := jobs[pod.UID]; told {
			return true
		}
	}
	return false
}
