package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// admitter asks a cluster's admission controls; it is *kube.Cluster.
type admitter interface {
	Admit(ctx context.Context, pod kube.Pod, images map[string]string) error
}

// Limits of one question. Webhooks may take half a minute.
const (
	admitTimeout = 40 * time.Second
	maxRefusal   = 500 // bytes of what they say
)

// admission has the cluster's own admission controls judge the images of new
// revisions, aside of the loop. What was admitted is remembered while this process
// runs; another asks again, unless some pod was told meanwhile.
type admission struct {
	cluster admitter
	jobs    *jobs
	metrics *metrics

	mu       sync.Mutex
	admitted map[string]string // what, by HotPatch
}

func newAdmission(cluster admitter, jobs *jobs, metrics *metrics) *admission {
	return &admission{cluster: cluster, jobs: jobs, metrics: metrics, admitted: map[string]string{}}
}

// question names what is judged: a revision, for the pods of a target.
func (a *accepted) question() string {
	return a.revision.ID + " on " + a.HotPatch.Spec.Target.String()
}

func admissionJob(key string) string { return "admission of " + key }

// verdict tells whether what is in force for a HotPatch is still to be judged, and
// what was last said against it.
func (a *admission) verdict(t *tracked) (unjudged bool, refusal string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.admitted[t.key] == t.accepted.question() {
		return false, ""
	}
	err := a.jobs.failed(admissionJob(t.key), t.accepted.question())
	if err == nil || errors.Is(err, kube.ErrChanged) {
		return true, ""
	}
	return true, plain.Text(err.Error(), maxRefusal)
}

// judge starts what a plan wants to have judged, or says when it may.
func (a *admission) judge(ctx context.Context, t *tracked, pods []kube.Pod, actions []plan.Action) (asked tries) {
	for _, action := range actions {
		if action.Kind != plan.Admit {
			continue
		}
		i := slices.IndexFunc(pods, func(p kube.Pod) bool { return p.UID == action.UID })
		if i < 0 {
			continue
		}
		question, key := t.accepted.question(), t.key
		asked.note(a.jobs.start(ctx, admissionJob(key), question, func(ctx context.Context) error {
			return a.ask(ctx, key, question, pods[i], action.Revision)
		}))
	}
	return asked
}

func (a *admission) ask(ctx context.Context, key, question string, pod kube.Pod, revision plan.Revision) error {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	images := map[string]string{}
	for _, c := range revision.Containers {
		images[c.Name] = c.Image
	}
	log := logging.From(ctx).WithField("pod", pod.Name).WithField("revision", revision.ID)
	err := a.cluster.Admit(ctx, pod, images)
	a.metrics.work.WithLabelValues(string(plan.Admit), outcome(err, "done")).Inc()
	if err != nil {
		log.WithError(err).Warn("new images are not admitted, nothing is changed; it will be tried again")
		return fmt.Errorf("revision %s: %w", revision.ID, err)
	}
	log.Info("the cluster's admission controls admit the new images")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.admitted[key] = question
	return nil
}

// forget what was admitted for a HotPatch that is gone.
func (a *admission) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.admitted, key)
}
