package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// annotator writes to pods; it is *kube.Cluster.
type annotator interface {
	Annotate(ctx context.Context, ref kube.Ref, annotations map[string]*string) error
}

// executor does what plans say, each pod by itself.
type executor struct {
	owner    func(hotpatch string) api.Owner
	pods     annotator
	sidecars *sidecars
	files    *files
	jobs     *jobs
	metrics  *metrics
}

func newExecutor(owner func(hotpatch string) api.Owner, pods annotator, sidecars *sidecars, files *files, jobs *jobs, metrics *metrics) *executor {
	return &executor{owner: owner, pods: pods, sidecars: sidecars, files: files, jobs: jobs, metrics: metrics}
}

// execute starts the actions of a plan for the HotPatch of that name, or says when
// they may be. Admission controls are asked by others.
func (e *executor) execute(ctx context.Context, name string, pods []kube.Pod, actions []plan.Action) (done tries) {
	if len(actions) == 0 {
		return done
	}
	at := places(pods)
	for _, action := range actions {
		if i, ok := at[action.UID]; ok && action.Kind != plan.Admit {
			done.note(e.start(ctx, name, pods[i], action))
		}
	}
	return done
}

// places are where pods are in a list, by UID: there may be thousands of both.
func places(pods []kube.Pod) map[string]int {
	at := make(map[string]int, len(pods))
	for i := range pods {
		at[pods[i].UID] = i
	}
	return at
}

func (e *executor) start(ctx context.Context, name string, pod kube.Pod, action plan.Action) (due time.Time) {
	ctx = logging.With(ctx, "pod", pod.Name, "revision", action.Revision.ID)
	return e.jobs.start(ctx, pod.UID, wish(action), func(ctx context.Context) error {
		logging.From(ctx).Info(action)
		err := e.act(ctx, name, pod, action)
		if errors.Is(err, kube.ErrChanged) || ctx.Err() != nil {
			return nil // whatever came in between brings a pass, which decides anew
		}
		if err != nil {
			logging.From(ctx).WithError(err).Warn("action failed, it will be tried again")
		}
		e.metrics.work.WithLabelValues(string(action.Kind), outcome(err, "done")).Inc()
		return err
	})
}

// wish names what an action makes of a pod.
func wish(a plan.Action) string { return string(a.Kind) + " " + a.Revision.ID }

func (e *executor) act(ctx context.Context, name string, pod kube.Pod, action plan.Action) error {
	if action.Kind == plan.Prepare {
		return e.prepare(ctx, name, pod, action.Revision)
	}
	return e.apply(ctx, name, pod, action)
}

func (e *executor) prepare(ctx context.Context, name string, pod kube.Pod, revision plan.Revision) error {
	patched := slices.DeleteFunc(slices.Clone(revision.Containers), func(c api.DesiredContainer) bool { return c.Image == "" })
	text, err := encode(api.Prepare{Revision: revision.ID, Containers: patched})
	if err != nil {
		return err
	}
	return e.tell(ctx, name, pod.Ref, map[string]*string{api.PrepareAnnotation: text})
}

// tell annotates a pod, which follows this reconciler from then on.
func (e *executor) tell(ctx context.Context, name string, ref kube.Ref, annotations map[string]*string) error {
	owner, err := encode(e.owner(name))
	if err != nil {
		return err
	}
	annotations[api.OwnerAnnotation] = owner
	return e.pods.Annotate(ctx, ref, annotations)
}

// apply has the sidecar put the files in place, and then tells the agent.
func (e *executor) apply(ctx context.Context, name string, pod kube.Pod, action plan.Action) error {
	revision := action.Revision
	desired := api.Desired{HotPatch: name, Revision: revision.ID, Containers: revision.Containers, Files: e.located(revision.Files),
		Ready: wasReady(pod, revision), Reason: plain.Text(action.Reason, maxLine)}
	missing := missingFiles(pod, desired.Files)
	if len(missing) > 0 && pod.Owner.Namespace != e.owner(name).Namespace {
		// Two could have its sidecar called, and only then find who is to.
		if err := e.tell(ctx, name, pod.Ref, map[string]*string{}); err != nil {
			return err
		}
	}
	if err := e.updateFiles(ctx, pod, missing); err != nil {
		return err
	}
	text, err := encode(desired)
	if err != nil {
		return err
	}
	ref := pod.Ref
	if len(missing) > 0 {
		ref.Version = "" // the sidecar has just written to its pod
	}
	return e.tell(ctx, name, ref, map[string]*string{api.DesiredAnnotation: text, api.PrepareAnnotation: nil})
}

// wasReady tells whether a pod was Ready before it was first told of a revision.
func wasReady(pod kube.Pod, revision plan.Revision) bool {
	if pod.Desired.Revision == revision.ID {
		return pod.Desired.Ready
	}
	return pod.Ready
}

func (e *executor) updateFiles(ctx context.Context, pod kube.Pod, missing []api.DesiredFile) error {
	if len(missing) > 0 && pod.Sidecar == "" {
		return errors.New("the pod has no address yet, its sidecar cannot be called")
	}
	for _, file := range missing {
		if err := e.sidecars.update(ctx, pod.Sidecar, pod.UID, e.files.forCall(file)); err != nil {
			return err
		}
	}
	return nil
}

// located says where each file can be had: files of the repository are served
// by this process.
func (e *executor) located(wanted []api.DesiredFile) []api.DesiredFile {
	located := slices.Clone(wanted)
	for i, f := range located {
		if f.URL == "" {
			located[i].URL = e.files.url(f.SHA256, f.Path)
		}
	}
	return located
}

// missingFiles are those that the pod's sidecar has not reported as they should
// be.
func missingFiles(pod kube.Pod, wanted []api.DesiredFile) []api.DesiredFile {
	return slices.DeleteFunc(slices.Clone(wanted), func(f api.DesiredFile) bool {
		return slices.ContainsFunc(pod.Files.Files, func(o api.ObservedFile) bool {
			return o.Path == f.Path && o.Version == f.Version && o.SHA256 == f.SHA256 && o.State == api.FileUpdated
		})
	})
}

// overlay shows pods as they will be when the jobs under way have ended, so
// that they count as changing and are not told twice, and says why the last job
// of a pod failed; of the revisions, a refusal speaks against the first. What is
// under way must have been asked for before the pods were listed: a job that ends
// in between is then seen twice, not never.
func (e *executor) overlay(pods []kube.Pod, underway map[string]string, revisions ...string) {
	for i := range pods {
		pod := &pods[i]
		kind, revision, _ := strings.Cut(underway[pod.UID], " ")
		switch plan.Kind(kind) {
		case plan.Apply:
			if pod.Desired.Revision != revision {
				pod.Desired = api.Desired{Revision: revision}
			}
		case plan.Prepare:
			pod.Prepare = api.Prepare{Revision: revision}
		}
		for i, revision := range revisions {
			if err := e.jobs.failed(pod.UID, wish(plan.Action{Kind: plan.Apply, Revision: plan.Revision{ID: revision}})); err != nil {
				pod.SidecarError = err.Error()
				pod.Refused = pod.Refused || i == 0 && errors.As(err, new(refusal))
			}
		}
	}
}

// forgive forgets what failed for a revision: it is asked for anew, and what a sidecar
// said of it before is not to speak against it now.
func (e *executor) forgive(pods []kube.Pod, revision string) {
	for _, pod := range pods {
		e.jobs.forget(pod.UID, wish(plan.Action{Kind: plan.Apply, Revision: plan.Revision{ID: revision}}))
	}
}

func encode(value any) (*string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode annotation: %w", err)
	}
	s := string(text)
	return &s, nil
}
