package nodeagent

import (
	"context"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// pruner removes roots that containers have left.
type pruner interface {
	Unused(ctx context.Context, c runtime.Container, uppers []string) (keys []string, err error)
	Remove(ctx context.Context, c runtime.Container, keys []string) error
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
		var held bool
		if held, err = a.holdsOld(c); err == nil && !held {
			err = a.runtime.Remove(ctx, c.rt, unused)
		}
	}
	if err != nil {
		logging.From(ctx).WithError(err).Warn("old roots stay until the next pass")
	}
}

func (a *Agent) holdsOld(c *container) (bool, error) {
	own, err := ownRoot(c)
	if err != nil {
		return false, err
	}
	return swap.HoldsOld(a.options.CgroupDir, c.rt.PID, own)
}
