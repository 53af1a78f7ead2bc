package nodeagent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// pruner removes roots that containers have left.
type pruner interface {
	Unused(ctx context.Context, c runtime.Container, uppers []string) ([]runtime.Root, error)
	Remove(ctx context.Context, c runtime.Container, roots []runtime.Root) error
}

// prune removes roots that nobody uses any more from all the containers.
func (a *Agent) prune(ctx context.Context, looked []*container) {
	for _, c := range looked {
		if c.prunable {
			a.pruneOne(ctx, c)
		}
	}
}

// pruneOne removes them from one container. Failing to is no failure of the pod;
// the next pass tries again.
func (a *Agent) pruneOne(ctx context.Context, c *container) {
	unused, err := a.runtime.Unused(ctx, c.rt, c.view.UpperDirs)
	if err == nil && len(unused) > 0 { // else nobody need look at every open file
		var held []uint64
		if held, err = a.held(c); err == nil {
			unused = free(unused, held, a.devices.of(c.rt.ID))
			err = a.runtime.Remove(ctx, c.rt, unused)
		}
		if err == nil {
			a.devices.forget(c.rt.ID, unused)
		}
	}
	if err != nil {
		logging.From(ctx).WithError(err).Warn("old roots stay until the next pass")
	}
}

func (a *Agent) held(c *container) ([]uint64, error) {
	own, err := ownRoot(c)
	if err != nil {
		return nil, err
	}
	return swap.Held(a.options.CgroupDir, c.rt.PID, own)
}

// free are the roots that no process holds. A root that was left
// before this agent started has a device that is not known: it may be any held
// one that is not known either.
func free(unused []runtime.Root, held []uint64, known map[string]uint64) (roots []runtime.Root) {
	knownDevices := slices.Collect(maps.Values(known))
	strangers := slices.ContainsFunc(held, func(device uint64) bool { return !slices.Contains(knownDevices, device) })
	for _, root := range unused {
		device, isKnown := known[root.UpperDir()]
		isFree := isKnown && !slices.Contains(held, device) || !isKnown && !strangers
		if gone := root.UpperDir() == ""; gone || isFree {
			roots = append(roots, root)
		}
	}
	return roots
}

// devices remembers which file system each root was while it was a container's:
// of one that was left, a process that stayed on it shows no more than that.
type devices struct {
	mutex sync.Mutex
	by    map[string]*seenRoots // container's ID
}

type seenRoots struct {
	devices map[string]uint64 // by upper directory
	last    time.Time
}

// saw notes the root that a container is on.
func (d *devices) saw(id string, view swap.View, now time.Time) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for other, seen := range d.by { // those of containers that are gone
		if now.Sub(seen.last) > time.Hour {
			delete(d.by, other)
		}
	}
	if d.by == nil {
		d.by = map[string]*seenRoots{}
	}
	if d.by[id] == nil {
		d.by[id] = &seenRoots{devices: map[string]uint64{}}
	}
	d.by[id].last, d.by[id].devices[view.UpperDir] = now, view.Device
}

// of is what is known of a container's roots.
func (d *devices) of(id string) map[string]uint64 {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.by[id] == nil {
		return nil
	}
	return maps.Clone(d.by[id].devices)
}

// forget is for roots that are no more: the number may be another's soon.
func (d *devices) forget(id string, gone []runtime.Root) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, root := range gone {
		if d.by[id] != nil {
			delete(d.by[id].devices, root.UpperDir())
		}
	}
}
