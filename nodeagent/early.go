package nodeagent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

const (
	// holdLimit is how long the start of a container may be held up.
	holdLimit = time.Second
	// startLimit is how long a container that was made is remembered: some never
	// come to be started.
	startLimit = time.Minute
)

// starts are told of while they happen, whosever containers they are.
type starts interface {
	Events(ctx context.Context) <-chan runtime.Event
	OwnerOf(ctx context.Context, id string) (runtime.Owner, bool)
	Made(ctx context.Context, id string) (runtime.Container, error)
}

// start is a container that should start on another image than its own. Its
// root is made while the runtime makes its namespaces: there are tens of
// milliseconds until its processes exist, and few from then on.
type start struct {
	pod       string
	made      time.Time
	want      api.DesiredContainer
	prepared  chan struct{} // closed when the rest is known
	container runtime.Container
	root      runtime.Root
	err       error
}

// watchContainers looks at a pod as soon as containerd has started a container
// of it, which the pod watch would tell up to a second later. One that starts
// anew, and should run on an image of ours, is held up to start on that image.
func (a *Agent) watchContainers(ctx context.Context) {
	starts := map[string]*start{}
	for event := range a.runtime.Events(ctx) {
		switch event.Stage {
		case runtime.Made:
			forget(starts)
			if s := a.foresee(ctx, event.ContainerID); s != nil {
				starts[event.ContainerID] = s
			}
		case runtime.Created:
			if s := starts[event.ContainerID]; s != nil {
				go a.startPatched(logging.With(ctx, "pod", s.pod), s, event.PID)
			}
			delete(starts, event.ContainerID)
		case runtime.Started:
			a.lookAtPodOf(ctx, event.ContainerID)
		}
	}
}

// forget drops those that have not come to be started.
func forget(starts map[string]*start) {
	maps.DeleteFunc(starts, func(_ string, s *start) bool { return time.Since(s.made) > startLimit })
}

// lookAtPodOf has the pod of a container looked at.
func (a *Agent) lookAtPodOf(ctx context.Context, containerID string) {
	owner, ok := a.runtime.OwnerOf(ctx, containerID)
	if !ok {
		return
	}
	if object, exists, err := a.pods.GetStore().GetByKey(owner.Pod); err == nil && exists {
		a.enqueue(object)
	}
}

// foresee is nil for a container that starts on its own image.
func (a *Agent) foresee(ctx context.Context, containerID string) *start {
	owner, ok := a.runtime.OwnerOf(ctx, containerID)
	if !ok {
		return nil
	}
	pod, err := a.pod(owner.Pod)
	if err != nil || pod == nil || string(pod.UID) != owner.UID || pod.DeletionTimestamp != nil {
		return nil
	}
	want, ok := wantsPatched(pod, owner.Name, "containerd://"+containerID)
	if !ok {
		return nil
	}
	s := &start{pod: owner.Pod, made: time.Now(), want: want, prepared: make(chan struct{})}
	go func() {
		defer close(s.prepared)
		limited, cancel := context.WithTimeout(ctx, holdLimit)
		defer cancel()
		s.err = a.prepareStart(limited, s, containerID)
	}()
	return s
}

// wantsPatched tells whether a container of a pod that starts anew is to run on
// an image that it ran on before: what it is to run on for the first time it
// gets in a pass, which can say what is in the way.
func wantsPatched(pod *corev1.Pod, name, id string) (want api.DesiredContainer, ok bool) {
	desired, _, err := asked(pod)
	if err != nil {
		return want, false
	}
	i := slices.IndexFunc(desired.Containers, func(c api.DesiredContainer) bool { return c.Name == name })
	if i < 0 || desired.Containers[i].Image == "" {
		return want, false
	}
	want = desired.Containers[i]
	was := known(observedOf(pod), desired.Revision, name)
	return want, was.State != "" && was.State != api.StateFailed && givenUp(endedSoon(was, id, time.Now())) == nil
}

// errOwnImage: it starts on what it should run on by itself.
var errOwnImage = errors.New("the image has the layers of the container's own")

func (a *Agent) prepareStart(ctx context.Context, s *start, containerID string) (err error) {
	image, err := a.images.puller.Present(ctx, s.want.Image)
	if err != nil {
		return err // pulling takes longer than a start may
	}
	if s.container, err = a.runtime.Made(ctx, containerID); err != nil {
		return err
	}
	if s.container.Parent == image.Chain {
		return errOwnImage
	}
	if s.container.UserNamespace {
		return errUserNamespace
	}
	if s.root, err = a.runtime.PrepareRoot(ctx, s.container, image, nil); err != nil || s.want.Reload == nil {
		return err
	}
	return a.runtime.SetLabels(ctx, containerID, map[string]string{toldLabel: toldOf(s.root.Key, s.want.Reload)}) // it starts there
}

// startPatched has a container whose processes were just created start on the
// image that it should run on. Where it is too late, or anything is not as it
// should be, it starts on its own image, and the pass that follows patches it.
func (a *Agent) startPatched(ctx context.Context, s *start, pid int) {
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	result, err := swap.Do(ctx, swap.Request{PID: pid, Carry: carried(s.want),
		Hold:     func(r *swap.Request) error { return s.fillIn(ctx, r) },
		StageDir: a.options.StageDir, CgroupDir: a.options.CgroupDir, StopLimit: stopLimit, At: a.options.At})
	log := logging.From(ctx).WithField("container", s.want.Name).WithField("pid", pid)
	switch {
	case errors.Is(err, errOwnImage):
	case err != nil:
		log.WithError(err).Info("it starts on its own image")
	default:
		a.metrics.early.Inc()
		log.Infof("it starts on %s, after %s", s.want.Image, result.Total.Round(time.Microsecond))
	}
}

// fillIn waits until the root is made.
func (s *start) fillIn(ctx context.Context, r *swap.Request) error {
	select {
	case <-s.prepared:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.Root, r.Destinations, r.Programs = swap.Source{Filesystem: &s.root.Filesystem}, s.container.Destinations, s.container.Programs()
	r.KnownFilters = s.container.KnownFilters
	return s.err
}
