package nodeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

// passLimit bounds one pass over one pod, pulls included.
const passLimit = 15 * time.Minute

// pass has one pod as it should be, and writes what was observed. It returns
// when to look again; an error means as soon as the backoff lets.
func (a *Agent) pass(ctx context.Context, key string) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, passLimit)
	defer cancel()
	pod, err := a.pod(key)
	if err != nil || pod == nil || pod.DeletionTimestamp != nil {
		a.metrics.observed(key, api.Observed{})
		return 0, err
	}
	before := observedOf(pod)
	after := api.Observed{Revision: before.Revision, Containers: before.Containers}
	desired, prepare, err := asked(pod)
	if err != nil {
		return 0, a.refuse(ctx, pod, before, err)
	}
	a.sayPulling(ctx, pod, before, desired, prepare)
	after.Prepared = a.images.prepare(ctx, pod, prepare)
	var looked []*container
	if desired.Revision != "" {
		after.Revision = desired.Revision
		after.Containers, looked = a.bringAll(ctx, pod, before, desired)
	}
	a.metrics.observed(key, after)
	err = a.report(ctx, pod, before, after)
	a.prune(ctx, looked) // nobody waits for this
	if err != nil {
		return 0, err
	}
	return lookAgain(after), failureOf(after)
}

// maxMessage is how much of an error is written on the pod.
const maxMessage = 2000

// bringAll has each container where it should be. One that does not run now is
// no failure: its start brings the next pass.
func (a *Agent) bringAll(ctx context.Context, pod *corev1.Pod, before api.Observed, desired api.Desired) (seen []api.ObservedContainer, looked []*container) {
	for _, want := range desired.Containers {
		c := &container{want: want, was: known(before, desired.Revision, want.Name)}
		observed, err := a.bring(ctx, pod, c)
		if errors.Is(err, runtime.ErrGone) {
			logging.From(ctx).Infof("waiting for it to start: %v", err)
			observed = api.ObservedContainer{Name: want.Name, State: api.StateWaiting, InVain: endedSoon(c.was, "", time.Now())}
		} else if err != nil {
			observed.State, observed.Message = api.StateFailed, plain.Text(err.Error(), maxMessage)
		}
		seen, looked = append(seen, observed), append(looked, c)
	}
	return seen, looked
}

// known is what was observed of a container at a revision.
func known(o api.Observed, revision, container string) (was api.ObservedContainer) {
	if o.Revision != revision {
		return was
	}
	for _, c := range o.Containers {
		if c.Name == container {
			was = c
		}
	}
	return was
}

// asked reads what the pod's annotations ask for.
func asked(pod *corev1.Pod) (d api.Desired, p api.Prepare, err error) {
	for key, into := range map[string]any{api.DesiredAnnotation: &d, api.PrepareAnnotation: &p} {
		text := pod.Annotations[key]
		if text == "" {
			continue
		}
		if e := json.Unmarshal([]byte(text), into); e != nil {
			err = errors.Join(err, fmt.Errorf("annotation %s cannot be read: %w", key, e))
		}
	}
	return d, p, err
}

// refuse says on the pod why nothing was done; nothing was changed.
func (a *Agent) refuse(ctx context.Context, pod *corev1.Pod, before api.Observed, reason error) error {
	after := before
	after.Containers = nil
	for _, c := range before.Containers {
		c.State, c.Message = api.StateFailed, reason.Error()
		after.Containers = append(after.Containers, c)
	}
	if len(after.Containers) == 0 {
		after.Containers = []api.ObservedContainer{{State: api.StateFailed, Message: reason.Error()}}
	}
	logging.From(ctx).WithError(reason).Warn("left alone")
	return a.report(ctx, pod, before, after)
}

// sayPulling writes that images are being pulled, before they are.
func (a *Agent) sayPulling(ctx context.Context, pod *corev1.Pod, before api.Observed, d api.Desired, p api.Prepare) {
	absent := a.images.absent(ctx, slices.Concat(p.Containers, d.Containers))
	if len(absent) == 0 {
		return
	}
	pulling := before
	pulling.Prepared = nil
	for _, c := range absent {
		pulling.Prepared = append(pulling.Prepared, api.PreparedImage{Container: c.Name, Image: c.Image, State: api.StatePulling})
	}
	if err := a.report(ctx, pod, before, pulling); err != nil {
		logging.From(ctx).WithError(err).Warn("not told that images are being pulled")
	}
}

// failureOf is what failed, so that the pod is tried again; nil if nothing did.
func failureOf(o api.Observed) error {
	var errs []error
	for _, c := range o.Containers {
		if c.State == api.StateFailed {
			errs = append(errs, fmt.Errorf("container %s: %s", c.Name, c.Message))
		}
	}
	for _, p := range o.Prepared {
		if p.State == api.StateFailed {
			errs = append(errs, errors.New(p.Message))
		}
	}
	return errors.Join(errs...)
}

// lookAgain is when what was observed may have changed without anyone telling:
// old processes end, or become new ones.
func lookAgain(o api.Observed) time.Duration {
	for _, c := range o.Containers {
		if c.State == api.StateWaiting && c.Message != "" {
			return time.Second // it is to be told
		}
		if c.OldProcesses > 0 || c.StaleDirs > 0 {
			if time.Since(c.Time) < 10*time.Second {
				return time.Second
			}
			return time.Minute
		}
	}
	return 0
}
