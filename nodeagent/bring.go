package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// containers are those of a node, with the labels that we set on them.
type containers interface {
	Find(ctx context.Context, podUID, name, hint string) (runtime.Container, error)
	Container(ctx context.Context, id string) (runtime.Container, error)
	Labels(ctx context.Context, id string) (map[string]string, error)
	SetLabels(ctx context.Context, id string, labels map[string]string) error
}

// container is one container of one pod on its way to where it should be.
type container struct {
	want api.DesiredContainer
	was  api.ObservedContainer // at this revision, zero if it is new
	rt   runtime.Container
	is   situation
	view swap.View
	// image is the wanted one, unpacked; zero for the own root. Of what it says
	// a running container does not take what is ignored.
	image   runtime.Image
	ignored string
	// told: its program was told of the root that it is on.
	told bool
	// ready: kubelet says so of this very container.
	ready bool
	// inVain counts patches that came to nothing.
	inVain int
	// prunable: its root was looked at, and nobody else is mounting one.
	prunable bool
}

// bring has one container where it should be and returns what was then read
// off the node, also when that did not work; the error says why.
func (a *Agent) bring(ctx context.Context, pod *corev1.Pod, c *container) (api.ObservedContainer, error) {
	observed, err := a.attempt(ctx, c, pod)
	if err != nil && c.rt.ID != "" { // did it end under our hands?
		if _, gone := a.runtime.Container(ctx, c.rt.ID); errors.Is(gone, runtime.ErrGone) {
			err = gone
		}
	}
	return observed, err
}

func (a *Agent) attempt(ctx context.Context, c *container, pod *corev1.Pod) (api.ObservedContainer, error) {
	observed := api.ObservedContainer{Name: c.want.Name, InVain: c.was.InVain}
	if err := a.inspect(ctx, c, pod); err != nil {
		return observed, err
	}
	observed.ContainerID = "containerd://" + c.rt.ID
	c.inVain = endedSoon(c.was, observed.ContainerID, time.Now())
	repaired := a.repair(ctx, c)
	touched, moved := a.move(ctx, c)
	bringErr := errors.Join(repaired, moved)
	if errors.Is(bringErr, errOldProgram) {
		c.inVain++
	}
	observed.InVain = c.inVain
	if touched {
		if err := a.look(ctx, c); err != nil {
			return observed, errors.Join(bringErr, err)
		}
	}
	if c.told {
		bringErr = errors.Join(bringErr, a.noteTold(ctx, c))
	}
	observed.Image = c.is.Image
	if c.is.OnOwn {
		observed.Image = ownImage(pod, c.want, c.is)
	} else if c.is.Image == c.want.Image {
		observed.Ignored = c.ignored
	}
	observed.OldProcesses, observed.StaleDirs, observed.Stale = c.view.OldProcesses, c.view.StaleDirs, a.stragglers.say(c.rt.ID, c.view)
	// Also after a failure: each try makes a root. Whoever else is busy has made
	// one that is not mounted yet.
	c.prunable = !errors.Is(bringErr, swap.ErrBusy) && c.rt.Labels[reloadLabel] == ""
	switch {
	case errors.Is(bringErr, errYoung):
		observed.State, observed.Message = api.StateWaiting, errYoung.Error()
		return observed, nil
	case bringErr != nil:
		return observed, bringErr
	}
	observed.State = settled(c.want, c.is)
	return observed, nil
}

// ownImage is the image of a container on its own root: the desired one where
// the layers are the same, else what the runtime reported to kubelet.
func ownImage(pod *corev1.Pod, want api.DesiredContainer, is situation) string {
	if is.OwnIsImage {
		return want.Image
	}
	return statusImage(pod, want.Name)
}

// idOf is the ID by which containerd knows a container, if kubelet has told.
func idOf(status corev1.ContainerStatus) string {
	return strings.TrimPrefix(status.ContainerID, "containerd://")
}

// statusImage is the image that kubelet had a container started from.
func statusImage(pod *corev1.Pod, container string) string { return statusOf(pod, container).ImageID }

// statusOf is what kubelet says of a container, zero if it says nothing.
func statusOf(pod *corev1.Pod, container string) corev1.ContainerStatus {
	for _, s := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		if s.Name == container {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

func hasContainer(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers), func(c corev1.Container) bool { return c.Name == name })
}

func names(pod *corev1.Pod) string {
	var out []string
	for _, c := range pod.Spec.Containers {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

var errUserNamespace = errors.New("the container has a user namespace, whose IDs a new root would not fit; it was left alone")

// inspect finds the container on the node, has the wanted image here, and looks
// at the root. Which container that is the pod's status only hints at: it lags
// behind restarts.
func (a *Agent) inspect(ctx context.Context, c *container, pod *corev1.Pod) (err error) {
	if !hasContainer(pod, c.want.Name) {
		return fmt.Errorf("the pod has no container %s; its containers are %s", c.want.Name, names(pod))
	}
	status := statusOf(pod, c.want.Name)
	if c.rt, err = a.runtime.Find(ctx, string(pod.UID), c.want.Name, idOf(status)); err != nil {
		return err
	}
	if c.rt.UserNamespace {
		return errUserNamespace
	}
	if c.want.Image != "" {
		if c.image, err = a.images.ready(ctx, pod, c.want.Image); err != nil {
			return err
		}
		if c.ignored, err = a.images.compare(ctx, status.ImageID, c.image); err != nil {
			return err
		}
	}
	c.ready = status.Ready && idOf(status) == c.rt.ID
	c.is.OwnIsImage = c.image.Chain != "" && c.image.Chain == c.rt.Parent
	if err := a.lookAt(ctx, c); err != nil {
		return err
	}
	c.is.ReloadPending = c.rt.Labels[reloadLabel] != ""
	c.is.Told = c.rt.Labels[toldLabel] == toldOf(c.is.Key, c.want.Reload)
	return nil
}

// look reads the container's root off the node, with labels as they are now.
func (a *Agent) look(ctx context.Context, c *container) (err error) {
	if c.rt.Labels, err = a.runtime.Labels(ctx, c.rt.ID); err != nil {
		return err
	}
	return a.lookAt(ctx, c)
}

// lookAt reads the root of a container that was just loaded.
func (a *Agent) lookAt(ctx context.Context, c *container) (err error) {
	if c.view, err = swap.Look(a.options.CgroupDir, c.rt.PID); err != nil {
		return err
	}
	a.devices.saw(c.rt.ID, c.view, time.Now())
	root, err := a.runtime.RootAt(ctx, c.rt, c.view.UpperDir)
	c.is.Image, c.is.Key, c.is.OnOwn = root.Image, root.Key, root.Key == c.rt.SnapshotKey
	return err
}

// move does what decide says. Unless it was touched, the container is as it was
// when it was looked at.
func (a *Agent) move(ctx context.Context, c *container) (touched bool, err error) {
	do, reload := decide(c.want, c.is)
	if do == stay && !reload {
		return false, nil
	}
	if do == swapTo {
		if err := refusal(c.want, c.ignored); err != nil {
			return false, err
		}
	}
	if do == swapTo || do == stay && !c.is.ReloadPending {
		if err := givenUp(c.inVain); err != nil {
			return false, err
		}
	}
	target, err := a.reloadTarget(c, reload)
	young := errors.Is(err, errYoung)
	if err != nil && !young {
		return false, err
	}
	if target != nil {
		defer target.Close()
	}
	if do != stay {
		if err := a.swap(ctx, c, do, target); err != nil {
			return true, err
		}
		if do == swapTo && c.was.State != "" && c.was.ContainerID != "containerd://"+c.rt.ID {
			a.metrics.reapplied.Inc()
		}
	} else if target != nil {
		if err := target.Signal(signalOf(c.want)); err != nil {
			return true, err
		}
	}
	switch {
	case young:
		return true, errYoung
	case !reload:
		return true, nil
	}
	return true, a.finishReload(ctx, c)
}
