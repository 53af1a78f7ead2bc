package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// reloadLabel stands on a container from before the pivot until its reload was
// delivered, so that an agent killed between the two delivers it again.
const reloadLabel = "hotpatch.dev/reload-pending"

const (
	stopLimit    = 250 * time.Millisecond
	stopAttempts = 3
	reloadLimit  = 10 * time.Second
	// settleTime is how long a reload may take before old processes are counted.
	settleTime = 60 * time.Millisecond
)

// container is one container of one pod on its way to where it should be.
type container struct {
	want     api.DesiredContainer
	revision string
	rt       runtime.Container
	is       situation
	view     swap.View
	image    runtime.Image // wanted, unpacked; zero for the own root
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
	want := c.want
	observed := api.ObservedContainer{Name: want.Name}
	if err := a.inspect(ctx, c, pod); err != nil {
		return observed, err
	}
	observed.ContainerID = "containerd://" + c.rt.ID
	bringErr := a.move(ctx, c)
	if err := a.look(ctx, c); err != nil {
		return observed, errors.Join(bringErr, err)
	}
	observed.Image = c.is.Image
	if c.is.OnOwn {
		observed.Image = ownImage(pod, want, c.is)
	}
	observed.OldProcesses, observed.StaleDirs = c.view.OldProcesses, c.view.StaleDirs
	// Also after a failure: each try makes a root. Whoever else is busy has made
	// one that is not mounted yet.
	c.prunable = !errors.Is(bringErr, swap.ErrBusy)
	if bringErr != nil {
		return observed, bringErr
	}
	observed.State = settled(want, c.is)
	return observed, nil
}

// ownImage is the image of a container on its own root: the desired one where
// the layers are the same, else what the runtime reported to kubelet.
func ownImage(pod *corev1.Pod, want api.DesiredContainer, is situation) string {
	if is.OwnIsImage {
		return want.Image
	}
	for _, s := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
		if s.Name == want.Name {
			return s.ImageID
		}
	}
	return ""
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

// inspect finds the container on the node, has the wanted image here, and looks
// at the root. The pod's status is not asked: it lags behind restarts.
func (a *Agent) inspect(ctx context.Context, c *container, pod *corev1.Pod) error {
	if !hasContainer(pod, c.want.Name) {
		return fmt.Errorf("the pod has no container %s; its containers are %s", c.want.Name, names(pod))
	}
	id, err := a.runtime.Find(ctx, string(pod.UID), c.want.Name)
	if err != nil {
		return err
	}
	if c.rt, err = a.runtime.Container(ctx, id); err != nil {
		return err
	}
	if c.rt.UserNamespace {
		return errors.New("the container has a user namespace, whose IDs a new root would not fit; it was left alone")
	}
	if c.want.Image != "" {
		if c.image, err = a.images.ready(ctx, c.want.Image); err != nil {
			return err
		}
	}
	c.is.OwnIsImage = c.image.Chain != "" && c.image.Chain == c.rt.Parent
	c.is.ReloadPending = c.rt.Labels[reloadLabel] != ""
	return a.look(ctx, c)
}

// look reads the container's root off the node.
func (a *Agent) look(ctx context.Context, c *container) (err error) {
	if c.view, err = swap.Look(a.options.CgroupDir, c.rt.PID); err != nil {
		return err
	}
	if c.rt.Labels, err = a.runtime.Labels(ctx, c.rt.ID); err != nil {
		return err
	}
	c.is.Image, c.is.OnOwn, err = a.runtime.RootImage(ctx, c.rt, c.view.UpperDir)
	return err
}

// move does what decide says.
func (a *Agent) move(ctx context.Context, c *container) error {
	do, reload := decide(c.want, c.is)
	if do == stay && !reload {
		return nil
	}
	target, err := a.reloadTarget(c, reload)
	if err != nil {
		return err
	}
	if target != nil {
		defer target.Close()
	}
	if do != stay {
		if err := a.swap(ctx, c, do, target); err != nil {
			return err
		}
	} else if target != nil {
		if err := target.Signal(signalOf(c.want)); err != nil {
			return err
		}
	}
	return a.finishReload(ctx, c, reload)
}

// reloadTarget finds whom to signal before anything is touched: a reload that
// could not be delivered must not leave a pod half changed.
func (a *Agent) reloadTarget(c *container, reload bool) (*process.Handle, error) {
	if !reload || c.want.Reload.Signal == "" {
		return nil, nil
	}
	pid := c.rt.PID
	if name := c.want.Reload.Process; name != "" {
		pids, err := swap.Processes(a.options.CgroupDir, c.rt.PID)
		if err != nil {
			return nil, err
		}
		found, err := process.Find(process.Of(pids), name)
		if err != nil {
			return nil, fmt.Errorf("nobody to send %s to, so nothing was changed: %w", c.want.Reload.Signal, err)
		}
		pid = found.PID
	}
	return process.Open(pid)
}

// swap changes the root and says so in one line.
func (a *Agent) swap(ctx context.Context, c *container, do move, target *process.Handle) error {
	source, err := a.source(ctx, c, do)
	if err != nil {
		return err
	}
	if c.want.Reload != nil {
		if err := a.runtime.SetLabels(ctx, c.rt.ID, map[string]string{reloadLabel: c.revision}); err != nil {
			return err
		}
	}
	a.swaps <- struct{}{} // a place is free soon: no swap lasts
	result, err := swapPatiently(ctx, swap.Request{
		PID: c.rt.PID, Root: source, Destinations: c.rt.Destinations,
		Carry: slices.Concat(defaultCarry, c.want.Carry), Signal: signalOf(c.want), Target: target,
		StageDir: a.options.StageDir, CgroupDir: a.options.CgroupDir, StopLimit: stopLimit, At: a.options.At,
	})
	<-a.swaps
	a.metrics.swapped(do, result, err)
	log := logging.From(ctx).WithField("container", c.want.Name).WithField("pid", c.rt.PID)
	if err != nil {
		log.WithError(err).Warnf("%s to %s failed after %s", do, imageName(c), result.Total.Round(time.Microsecond))
		return err
	}
	log.Infof("%s to %s: %d threads stopped for %s, %s in all", do, imageName(c), result.Stopped,
		result.StopTime.Round(time.Microsecond), result.Total.Round(time.Microsecond))
	return nil
}

// swapPatiently tries again when processes did not stop in time, which on a busy
// node says little; nothing was changed then.
func swapPatiently(ctx context.Context, req swap.Request) (result swap.Result, err error) {
	for attempt := 1; ; attempt++ {
		result, err = swap.Do(ctx, req)
		if !errors.Is(err, swap.ErrNotStopped) || attempt == stopAttempts {
			return result, err
		}
		time.Sleep(time.Duration(attempt) * 20 * time.Millisecond)
	}
}

func imageName(c *container) string {
	if c.want.Image == "" {
		return "the container's own root"
	}
	return c.want.Image
}

// source is a new root on the wanted image, or the container's own root, which
// its shim still has mounted.
func (a *Agent) source(ctx context.Context, c *container, do move) (swap.Source, error) {
	if do == restore {
		return ownRoot(c)
	}
	root, err := a.runtime.PrepareRoot(ctx, c.rt, c.image)
	return swap.Source{Filesystem: &root.Filesystem}, err
}

func ownRoot(c *container) (swap.Source, error) {
	shim, dir, err := c.rt.OwnRoot()
	return swap.Source{PID: shim, Path: dir}, err
}

// finishReload runs the reload's command, notes that the reload was delivered,
// and gives the program a moment to become the new one.
func (a *Agent) finishReload(ctx context.Context, c *container, reload bool) error {
	if !reload {
		return nil
	}
	if len(c.want.Reload.Exec) > 0 {
		limited, cancel := context.WithTimeout(ctx, reloadLimit)
		defer cancel()
		if err := a.runtime.Exec(limited, c.rt, c.want.Reload.Exec); err != nil {
			return fmt.Errorf("the root is changed, but the reload failed: %w", err)
		}
	}
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		view, err := swap.Look(a.options.CgroupDir, c.rt.PID)
		if err != nil || view.OldProcesses == 0 {
			break
		}
	}
	return a.runtime.SetLabels(ctx, c.rt.ID, map[string]string{reloadLabel: ""})
}

// signalOf is the signal of a reload, 0 if it has none. Names were validated
// when the HotPatch was read.
func signalOf(want api.DesiredContainer) unix.Signal {
	if want.Reload == nil || want.Reload.Signal == "" {
		return 0
	}
	signal, _ := process.Signal(want.Reload.Signal)
	return signal
}
