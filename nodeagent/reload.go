package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// settleTime is how long a reload may take before old processes are counted.
const settleTime = 60 * time.Millisecond

// A signal ends a program that has not come to handling it. How far it is cannot
// be seen: Go's runtime handles all signals long before the program does, and
// then exits. So it is given time, and kubelet's word that it is ready.
const (
	// defaultYouth is how long no program is signalled after its start.
	defaultYouth = 2 * time.Second
	// adult is when it is signalled, ready or not.
	adult = 30 * time.Second
)

// errYoung says that a program is to be told later.
var errYoung = errors.New("its program has just started, and is told as soon as it can take a signal")

// errOldProgram says that a reload did not make the program the new one.
var errOldProgram = errors.New("the old program runs on")

// reloadTarget finds whom to signal before anything is touched: a reload that
// could not be delivered must not leave a pod half changed.
func (a *Agent) reloadTarget(c *container, reload bool) (*process.Handle, error) {
	if !reload || c.want.Reload.Signal == "" {
		return nil, nil
	}
	target, err := a.signalled(c)
	if err != nil {
		return nil, err
	}
	age, err := target.Age()
	if err != nil {
		return nil, err
	}
	if age < a.options.Youth || !c.ready && age < adult {
		return nil, errYoung
	}
	return target.Open()
}

// signalled is the process that a reload's signal goes to.
func (a *Agent) signalled(c *container) (process.Process, error) {
	name := c.want.Reload.Process
	if name == "" {
		if first := process.Of([]int{c.rt.PID}); len(first) == 1 {
			return first[0], nil
		}
		return process.Process{}, fmt.Errorf("the first process of the container is gone, so nothing was changed: %w", process.ErrNotFound)
	}
	pids, err := swap.Processes(a.options.CgroupDir, c.rt.PID)
	if err != nil {
		return process.Process{}, err
	}
	found, err := process.Find(process.Of(pids), name)
	if err != nil {
		return found, fmt.Errorf("nobody to send %s to, so nothing was changed: %w", c.want.Reload.Signal, err)
	}
	return found, nil
}

// finishReload does what of a reload comes after the swap, and checks that it took
// if that is required. One that did not take is undone.
func (a *Agent) finishReload(ctx context.Context, c *container) error {
	if err := a.deliver(ctx, c); err != nil {
		return fmt.Errorf("the root is changed, but the reload failed: %w", err)
	}
	required := c.want.Reload.Require == api.RequireNewBinary && c.want.Image != ""
	wait := settleTime
	if required {
		wait = c.want.Reload.Timeout()
	}
	old, err := a.settle(ctx, c, wait)
	if err != nil {
		return err
	}
	if required && old > 0 {
		failure := fmt.Errorf("%w: %d of its processes still execute a file of an earlier root %s after the reload, and reload.require is NewBinary", errOldProgram, old, wait)
		if err := a.undo(ctx, c); err != nil {
			return fmt.Errorf("%w; going back to the root before failed: %w", failure, err)
		}
		return fmt.Errorf("%w; it is back on the root before", failure)
	}
	c.told = true
	return nil
}

// executor runs commands in containers.
type executor interface {
	Exec(ctx context.Context, c runtime.Container, args []string) error
}

// deliver runs the reload's command, or sends its request. Its signal has been
// sent in the swap.
func (a *Agent) deliver(ctx context.Context, c *container) error {
	reload := *c.want.Reload
	limited, cancel := context.WithTimeout(ctx, reload.Timeout())
	defer cancel()
	switch {
	case len(reload.Exec) > 0:
		return a.runtime.Exec(limited, c.rt, reload.Exec)
	case reload.HTTP != nil:
		return request(limited, c.rt.PID, *reload.HTTP)
	}
	return nil
}

// settle gives the program a moment to become the new one, and counts the
// processes that did not.
func (a *Agent) settle(ctx context.Context, c *container, wait time.Duration) (old int, err error) {
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		view, err := swap.Look(a.options.CgroupDir, c.rt.PID)
		if err != nil || view.OldProcesses == 0 || time.Now().After(end) || ctx.Err() != nil {
			return view.OldProcesses, err
		}
	}
}

// undo takes a container back to the root it was on before the swap, and tells
// the program again: some of its processes may have become the new one.
func (a *Agent) undo(ctx context.Context, c *container) error {
	labels, err := a.runtime.Labels(ctx, c.rt.ID)
	if err != nil {
		return err
	}
	if labels[reloadLabel] == "" {
		return errors.New("it has been on this one since before the reload was asked for")
	}
	source, err := a.earlierRoot(ctx, c, labels[reloadLabel])
	if err != nil {
		return err
	}
	target, err := a.reloadTarget(c, true)
	if err != nil && !errors.Is(err, errYoung) { // the reload may just have started it
		return err
	}
	if target != nil {
		defer target.Close()
	}
	if err := a.swapTo(ctx, c, goBack, source, target); err != nil {
		return err
	}
	if err := a.deliver(ctx, c); err != nil {
		return err
	}
	_, err = a.settle(ctx, c, settleTime)
	c.told = err == nil
	return err
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
