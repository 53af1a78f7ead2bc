// Package swap puts another root filesystem under the running processes of a
// container, with all they have open.
//
// The whole new mount tree is built aside; one pivot_root(2), with the
// processes stopped, is the only commit point. Before it nothing has changed,
// after it everything has, and a swap killed anywhere leaves at most a tree
// parked on /proc/tty, which the next swap of the container removes.
package swap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
)

// park is where the new tree waits and the old one is left: a directory on a
// private mount of every container, below read-only roots too.
const park = "/proc/tty"

// Source is what the new root is made of: a filesystem to mount, or a mount
// that another process sees at a path (the container's own root, which its
// shim still has).
type Source struct {
	Filesystem *mount.Filesystem
	PID        int
	Path       string
}

// Request is one swap.
type Request struct {
	PID  int // of the container's first process, on the host
	Root Source
	// Destinations of the container's mounts as its OCI spec writes them.
	Destinations []string
	// Carry lists paths that stay those of the old root.
	Carry []string
	// Layer has all else that the container wrote to its root copied onto a new
	// one, up to this much. Nil: it stays behind. The container's own root comes
	// back with its own writes, and takes none.
	Layer *layer.Limit
	// Signal is sent to Target (nil: nobody) while everything is stopped.
	Signal unix.Signal
	Target *process.Handle
	// StageDir is an empty directory of ours to build the tree on, CgroupDir the
	// root of the cgroup filesystem, StopLimit the longest time to wait for the
	// processes to stop.
	StageDir, CgroupDir string
	StopLimit           time.Duration
	// Hold is for a container that was created and has not started: it is stopped
	// first of all, and Hold fills in Root and Destinations meanwhile. Its program
	// then starts on the new root, of which Programs must have one. May be nil.
	Hold     func(*Request) error
	Programs []string
	// KnownFilters is how many seccomp filters processes have from the container
	// runtime that let chdir and rt_sigreturn pass. Who has more is not made to
	// call anything: a filter may end its process.
	KnownFilters int
	// At is called when a step is done, and at the Moments within one; tests kill
	// us there. May be nil.
	At func(step string)
}

// Result tells what was seen.
type Result struct {
	Stopped  int           // threads stopped
	StopTime time.Duration // from the first stop to the last release
	Moved    int           // working directories that the pivot had left behind
	Total    time.Duration
	Steps    map[string]time.Duration // how long each took, by its name
	Layer    *layer.Stats             // nil: none was to be copied
	// Stragglers stayed behind.
	Stragglers []Straggler
}

// Steps names the steps in their order.
var Steps = []string{"inspect", "stage", "clone", "carry", "compose", "park", "stop", "catch up", "pivot", "chdir", "signal", "release", "clear"}

// ErrBusy says that someone else is swapping the same container.
var ErrBusy = errors.New("another swap of this container is under way")

// ErrStarted says that a container was not held in time: its program runs.
var ErrStarted = errors.New("the container has started already")

// ErrNotStopped says that the container's processes could not be stopped within
// the limit.
var ErrNotStopped = errors.New("the processes did not stop in time")

// Do swaps. An error says whether the root was changed. Only one swap of a
// container runs at a time on a node, whoever runs it.
func Do(ctx context.Context, req Request) (Result, error) {
	s := &swap{Request: req, result: Result{Steps: map[string]time.Duration{}}}
	return s.watched(ctx, s.run)
}

// stepError is a failure with the step it happened in.
type stepError struct {
	step      string
	committed bool
	err       error
}

func (e *stepError) Error() string {
	outcome := "nothing was changed"
	if e.committed {
		outcome = "the root was changed"
	}
	const limit = 1000 // paths of the container stand in it
	return fmt.Sprintf("swap failed at step %s, %s: %s", e.step, outcome, plain.Text(e.err.Error(), limit))
}

func (e *stepError) Unwrap() error { return e.err }

// step is one part of the sequence. Undo takes back what Do left behind and may
// be nil where that dies with the thread.
type step struct {
	Name     string
	Do, Undo func() error
}

func (s *swap) steps(ctx context.Context) []step {
	if s.Hold != nil {
		return []step{
			{"inspect", s.inspect, nil},
			{"stop", s.stop, s.release},
			{"hold", s.fillIn, nil},
			{"stage", s.stage, nil},
			{"clone", s.clone, nil},
			{"compose", s.compose, nil},
			{"park", s.parkTree, s.unpark},
			{"pivot", s.pivot, nil},
			{"chdir", s.chdir, nil},
			{"release", s.release, nil},
			{"clear", s.clear, nil},
		}
	}
	return []step{
		{"inspect", s.inspect, nil},
		{"stage", s.stage, nil},
		{"clone", s.clone, nil},
		{"carry", func() error { return s.carryLayer(ctx) }, s.emptyRoot},
		{"compose", s.compose, nil},
		{"park", s.parkTree, s.unpark},
		{"stop", s.stop, s.release},
		{"catch up", func() error { return s.catchUp(ctx) }, nil},
		{"pivot", s.pivot, nil},
		{"chdir", s.chdir, nil},
		{"signal", s.signal, nil},
		{"release", s.release, nil},
		{"clear", s.clear, nil},
	}
}

// run goes through the steps. After the pivot there is no way back, only on:
// every later step is tried even if one fails.
func (s *swap) run(ctx context.Context) error {
	var done []step
	var failures []error
	committed := false
	for _, step := range s.steps(ctx) {
		s.enters(step.Name, committed)
		err, began := context.Cause(ctx), time.Now()
		if err == nil || committed {
			err = step.Do()
		}
		s.result.Steps[step.Name] = time.Since(began)
		if err != nil {
			failures = append(failures, &stepError{step: step.Name, committed: committed, err: err})
			if !committed {
				return errors.Join(append(failures, undo(append(done, step)))...)
			}
		}
		committed = committed || step.Name == "pivot"
		done = append(done, step)
		s.at(step.Name)
	}
	return errors.Join(failures...)
}

func (s *swap) at(moment string) {
	if s.At != nil {
		s.At(moment)
	}
}

func undo(done []step) error {
	var errs []error
	for i := len(done) - 1; i >= 0; i-- {
		if done[i].Undo != nil {
			errs = append(errs, done[i].Undo())
		}
	}
	return errors.Join(errs...)
}

// lock lets one swap of a container run at a time on this node. It lies on the
// container's mount namespace itself: no file is left behind, and the kernel
// takes it back when its holder dies.
func lock(namespace *os.File) error {
	err := unix.Flock(int(namespace.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return err
}
