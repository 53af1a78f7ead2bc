package reconciler

import (
	"context"
	"slices"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/gates"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// parallelMeasurements is how many are taken at once. They have slots of their own:
// one that hangs must not hold up what pods are told.
const parallelMeasurements = 16

// measurer takes measurements; it is *gates.Measurer.
type measurer interface {
	Measure(ctx context.Context, a api.Analysis, namespace string, pod gates.Pod) gates.Measured
}

// analyses measures, aside of the loop, for the gates that plans ask for. What is over
// goes into the record; the rest can be measured again.
type analyses struct {
	measurer measurer
	jobs     *jobs
	metrics  *metrics

	mu   sync.Mutex
	runs map[string]map[string]*measuring // by HotPatch, by gate
}

// measuring is a gate being judged. A measurement that ends after its gate was given
// up goes into one that nobody looks at.
type measuring struct {
	analysis api.Analysis
	run      gates.Run
}

func newAnalyses(m measurer, metrics *metrics, ended func()) *analyses {
	j := newJobs(newRetries(func() {}), ended)
	j.slots = make(chan struct{}, parallelMeasurements)
	return &analyses{measurer: m, jobs: j, metrics: metrics, runs: map[string]map[string]*measuring{}}
}

// judged is what came of the gates of a HotPatch so far, as recorded and since.
func (a *analyses) judged(t *tracked) map[string]plan.Judged {
	judged := plan.Recorded(t.record.Gates)
	a.mu.Lock()
	defer a.mu.Unlock()
	if judged == nil && len(a.runs[t.key]) > 0 {
		judged = map[string]plan.Judged{}
	}
	for key, m := range a.runs[t.key] {
		judged[key], _ = m.run.Stands(m.analysis)
	}
	return judged
}

// pursue starts the measurements that are due for the gates of a plan, and forgets
// other gates. It returns when the next is due, and whether some are under way.
func (a *analyses) pursue(ctx context.Context, t *tracked, pods []kube.Pod, asked []plan.Gate, now time.Time) (next time.Time, underway bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.runs[t.key]
	if len(asked) == 0 {
		delete(a.runs, t.key)
		return next, false
	}
	kept, at := map[string]*measuring{}, places(pods)
	for _, g := range asked {
		m := before[g.Key()]
		if m == nil {
			m = &measuring{analysis: analysisOf(t, g)}
		}
		kept[g.Key()] = m
		stands, due := m.run.Stands(m.analysis)
		switch {
		case stands.State != plan.GateRunning:
		case due.After(now):
			next = plan.Earlier(next, due)
		default:
			a.start(ctx, t, g, m, podOf(pods, at, g))
			underway = true
		}
	}
	a.runs[t.key] = kept
	return next, underway
}

// start takes one measurement, unless one is under way.
func (a *analyses) start(ctx context.Context, t *tracked, g plan.Gate, m *measuring, pod gates.Pod) {
	namespace := t.accepted.HotPatch.Metadata.Namespace
	a.jobs.start(ctx, t.key+" "+g.Key(), "", func(ctx context.Context) error {
		began := time.Now()
		got := a.measurer.Measure(ctx, m.analysis, namespace, pod)
		if ctx.Err() != nil {
			return nil // this process is the leader no more
		}
		a.metrics.measured(got.Outcome, time.Since(began))
		if got.Outcome != gates.Good {
			logging.From(ctx).WithField("pod", pod.Name).Infof("%s: %s", g, got.Why)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		m.run = m.run.After(got, time.Now())
		return nil
	})
}

// forget drops what was measured for a HotPatch.
func (a *analyses) forget(hotpatch string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.runs, hotpatch)
}

func (a *analyses) wait() { a.jobs.wait() }

// analysisOf is what a gate measures; a plan names none that Git does not have.
func analysisOf(t *tracked, g plan.Gate) api.Analysis {
	rollout := t.accepted.HotPatch.Spec.Rollout
	if g.Step > 0 {
		return *rollout.Steps[g.Step-1].Analysis
	}
	list := rollout.Analysis
	if i := slices.IndexFunc(list, func(a api.Analysis) bool { return a.Name == g.Analysis }); i >= 0 {
		return list[i]
	}
	return api.Analysis{Name: g.Analysis}
}

// podOf is the pod that a gate is about, as far as it is there.
func podOf(pods []kube.Pod, at map[string]int, g plan.Gate) gates.Pod {
	if i, ok := at[g.UID]; ok && g.UID != "" {
		return gates.Pod{Name: pods[i].Name, IP: pods[i].IP}
	}
	return gates.Pod{Name: g.Pod}
}
