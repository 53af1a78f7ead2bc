package swap

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Repair finishes what a swap that was killed after its pivot, or a process that
// could not be asked then, has left: working directories on an earlier root, and
// that root where it was parked. It stops only processes whose directory may
// move, and nobody if there are none. Of the request it needs PID, CgroupDir,
// StopLimit and KnownFilters.
func Repair(ctx context.Context, req Request) (Result, error) {
	s := &swap{Request: req}
	result, err := s.watched(ctx, s.repair)
	if err != nil {
		err = fmt.Errorf("move the working directories that stayed behind: %w", err)
	}
	return result, err
}

func (s *swap) repair(ctx context.Context) error {
	if err := s.claim(); err != nil {
		return err
	}
	s.enters("repair", false)
	if err := mount.Apart(); err != nil {
		return err
	}
	if err := mount.Enter(s.container); err != nil {
		return err
	}
	all, err := processes(s.proc, s.cgroups, s.PID)
	if err != nil {
		return err
	}
	stale, err := s.movable(all)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(stale) > 0 {
		if err := s.stopAndMove(stale); err != nil {
			return err
		}
	}
	return s.clearLeftovers()
}

// movable are the processes whose directory is on an earlier root, and which
// nothing that is known keeps there.
func (s *swap) movable(all func() ([]int, error)) (pids []int, err error) {
	pids, err = all()
	if err != nil {
		return nil, err
	}
	_, table, err := mount.Root(s.proc, s.PID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		task := staleTask(s.proc, table, pid)
		return task == "" || apart(s.proc, s.PID, task) != ""
	}), nil
}

// staleTask is a task of the process, by its path in /proc, whose working
// directory is on an earlier root; "" if there is none.
func staleTask(proc *os.File, table []mount.Entry, pid int) string {
	for _, id := range listNumbers(proc, fmt.Sprintf("%d/task", pid)) {
		if task := fmt.Sprintf("%d/task/%d", pid, id); isStale(proc, table, task) {
			return task
		}
	}
	return ""
}

func (s *swap) stopAndMove(pids []int) error {
	s.foresee(pids)
	s.tracer = newTracer(s.proc, func() ([]int, error) { return pids, nil })
	defer s.release()
	s.tracer.began = time.Now()
	if err := s.tracer.stopAll(s.StopLimit); err != nil {
		return err
	}
	s.result.Stopped = s.tracer.stopped()
	return s.chdir()
}
