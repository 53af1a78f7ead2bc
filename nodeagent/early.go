package nodeagent

import (
	"context"
	"errors"
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
	// maxHeld is how many starts are held up at once; others are patched after
	// they started.
	maxHeld = 4
)

// watchTasks looks at a pod as soon as containerd has started a container of it,
// which the pod watch would tell up to a second later. One that was created, and
// should run on an image of ours, is held up to start on that image.
func (a *Agent) watchTasks(ctx context.Context) {
	held := make(chan struct{}, maxHeld)
	for event := range a.runtime.Events(ctx) {
		owner, ok := a.runtime.OwnerOf(ctx, event.ContainerID)
		if !ok {
			continue
		}
		if event.Started {
			if object, exists, err := a.pods.GetStore().GetByKey(owner.Pod); err == nil && exists {
				a.enqueue(object)
			}
			continue
		}
		select {
		case held <- struct{}{}:
			go func() {
				defer func() { <-held }()
				a.startPatched(logging.With(ctx, "pod", owner.Pod), owner, event)
			}()
		default:
		}
	}
}

// startPatched has a container that was just created start on the image that it
// should run on. There are only milliseconds until it starts; where they are
// over, or anything is not as it should be, it starts on its own image and the
// pass that follows patches it.
func (a *Agent) startPatched(ctx context.Context, owner runtime.Owner, event runtime.Event) {
	pod, err := a.pod(owner.Pod)
	if err != nil || pod == nil || string(pod.UID) != owner.UID || pod.DeletionTimestamp != nil {
		return
	}
	want, ok := a.wantsPatched(pod, owner.Name, "containerd://"+event.ContainerID)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, holdLimit)
	defer cancel()
	image, err := a.images.puller.Present(ctx, want.Image)
	if err != nil {
		return // it takes too long to pull
	}
	result, err := swap.Do(ctx, swap.Request{PID: event.PID, Carry: slices.Concat(defaultCarry, want.Carry),
		Hold:     func(r *swap.Request) error { return a.fillIn(ctx, r, event.ContainerID, image) },
		StageDir: a.options.StageDir, CgroupDir: a.options.CgroupDir, StopLimit: stopLimit, At: a.options.At})
	log := logging.From(ctx).WithField("container", want.Name).WithField("pid", event.PID)
	switch {
	case errors.Is(err, swap.ErrStarted), errors.Is(err, errOwnImage):
		log.Debug(err)
	case err != nil:
		log.WithError(err).Warn("it starts on its own image")
	default:
		a.metrics.early.Inc()
		log.Infof("it starts on %s, after %s", want.Image, result.Total.Round(time.Microsecond))
	}
}

// errOwnImage: it starts on what it should run on by itself.
var errOwnImage = errors.New("the image has the layers of the container's own")

func (a *Agent) fillIn(ctx context.Context, r *swap.Request, id string, image runtime.Image) error {
	container, err := a.runtime.Created(ctx, id)
	if err != nil {
		return err
	}
	if container.Parent == image.Chain {
		return errOwnImage
	}
	if container.UserNamespace {
		return errUserNamespace
	}
	root, err := a.runtime.PrepareRoot(ctx, container, image)
	if err != nil {
		return err
	}
	r.Root, r.Destinations, r.Programs = swap.Source{Filesystem: &root.Filesystem}, container.Destinations, container.Programs()
	return nil
}

// wantsPatched tells whether a container of a pod that starts anew is to run on
// an image that it ran on before: what it is to run on for the first time it
// gets in a pass, which can say what is in the way.
func (a *Agent) wantsPatched(pod *corev1.Pod, name, id string) (want api.DesiredContainer, ok bool) {
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
