package nodeagent

import (
	"context"
	"errors"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

const (
	stopLimit    = 250 * time.Millisecond
	stopAttempts = 3
)

// roots are what containers are put on, and how they are recognised.
type roots interface {
	PrepareRoot(ctx context.Context, c runtime.Container, image runtime.Image, labels map[string]string) (runtime.Root, error)
	RootAt(ctx context.Context, c runtime.Container, upper string) (runtime.Root, error)
	Root(ctx context.Context, key string) (runtime.Root, error)
}

// swap changes the root and says so in one line. What is to be delivered is noted
// before.
func (a *Agent) swap(ctx context.Context, c *container, do move, target *process.Handle) error {
	var pending map[string]string
	if c.want.Reload != nil {
		pending = map[string]string{reloadLabel: c.is.Key}
	} else if c.is.ReloadPending {
		pending = map[string]string{reloadLabel: ""}
	}
	source, err := a.source(ctx, c, do, pending)
	if err != nil {
		return err
	}
	return a.swapTo(ctx, c, do, source, target)
}

func (a *Agent) swapTo(ctx context.Context, c *container, do move, source swap.Source, target *process.Handle) error {
	a.swaps <- struct{}{} // a place is free soon: no swap lasts
	result, err := swapPatiently(ctx, swap.Request{
		PID: c.rt.PID, Root: source, Destinations: c.rt.Destinations,
		Carry: carried(c.want), Layer: a.carriedLayer(c.want, do), Signal: signalOf(c.want), Target: target,
		StageDir: a.options.StageDir, CgroupDir: a.options.CgroupDir, StopLimit: stopLimit, KnownFilters: c.rt.KnownFilters, At: a.options.At,
	})
	<-a.swaps
	a.metrics.swapped(do, result, err)
	a.stragglers.swapped(ctx, c, result)
	log := logging.From(ctx).WithField("container", c.want.Name).WithField("pid", c.rt.PID)
	if err != nil {
		log.WithError(err).Warnf("%s to %s failed after %s", do, imageName(c, do), result.Total.Round(time.Microsecond))
		return err
	}
	log.Infof("%s to %s: %d threads stopped for %s, %s in all%s", do, imageName(c, do), result.Stopped,
		result.StopTime.Round(time.Microsecond), result.Total.Round(time.Microsecond), result.Layer)
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

func imageName(c *container, do move) string {
	switch {
	case do == goBack:
		return "the root before"
	case c.want.Image == "":
		return "the container's own root"
	}
	return c.want.Image
}

// source is a new root on the wanted image, or the container's own root, once the
// container has the labels.
func (a *Agent) source(ctx context.Context, c *container, do move, labels map[string]string) (swap.Source, error) {
	if do == swapTo {
		root, err := a.runtime.PrepareRoot(ctx, c.rt, c.image, labels)
		return swap.Source{Filesystem: &root.Filesystem}, err
	}
	source, err := ownRoot(c)
	if err == nil && len(labels) > 0 {
		err = a.runtime.SetLabels(ctx, c.rt.ID, labels)
	}
	return source, err
}

// ownRoot is where the container's shim still has its own root mounted.
func ownRoot(c *container) (swap.Source, error) {
	shim, dir, err := c.rt.OwnRoot()
	return swap.Source{PID: shim, Path: dir}, err
}

// earlierRoot is one that the container was on before, with its writes.
func (a *Agent) earlierRoot(ctx context.Context, c *container, key string) (swap.Source, error) {
	if key == c.rt.SnapshotKey {
		return ownRoot(c)
	}
	root, err := a.runtime.Root(ctx, key)
	return swap.Source{Filesystem: &root.Filesystem}, err
}
