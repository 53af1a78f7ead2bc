package swap

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// stop stops every thread of the container. Without it a child that is just
// being forked would keep the old root.
func (s *swap) stop() error {
	pids, err := processes(s.proc, s.cgroups, s.PID)
	if err != nil {
		return err
	}
	running, err := pids()
	if err != nil {
		return err
	}
	if s.Hold == nil { // else every millisecond counts
		s.foresee(running)
	}
	s.tracer = newTracer(s.proc, pids)
	began := time.Now()
	if err := s.tracer.stopAll(s.StopLimit); err != nil {
		return err
	}
	s.tracer.began = began
	s.result.Stopped = s.tracer.stopped()
	s.seeApart()
	return nil
}

// foresee finds, while everything runs, what moving the working directories of
// these processes will take. What cannot be found is looked for once more then.
func (s *swap) foresee(pids []int) {
	const limit = time.Second // a container may have more processes than we have time
	s.tools = map[int]tools{}
	began := time.Now()
	for _, pid := range pids {
		if time.Since(began) > limit {
			return
		}
		root, err := mount.PlaceOf(int(s.proc.Fd()), fmt.Sprintf("%d/root", pid))
		cwd, err2 := mount.PlaceOf(int(s.proc.Fd()), fmt.Sprintf("%d/cwd", pid))
		if err != nil || err2 != nil || root == cwd { // the pivot moves the root itself
			continue
		}
		if found, err := s.findTools(fmt.Sprint(pid)); err == nil {
			s.tools[pid] = found
		}
	}
}

// pivot is the commit point: every process of the namespace that was on the old
// root is on the new one.
func (s *swap) pivot() error {
	if err := s.isOnRoot(); err != nil {
		return err
	}
	if err := s.isOnTop(); err != nil {
		return err
	}
	if err := mount.Start(s.tree); err != nil {
		return err
	}
	return mount.Pivot(".", park[1:])
}

// signal queues the reload while nothing runs, so that not one instruction of
// the old program runs on the new root before it is told.
func (s *swap) signal() error {
	if s.Target == nil {
		return nil
	}
	if err := s.Target.Signal(s.Signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// release lets the threads run on. The kernel does the same if we die.
func (s *swap) release() error {
	if s.tracer == nil {
		return nil
	}
	err := s.tracer.release()
	if !s.tracer.began.IsZero() {
		s.result.StopTime = time.Since(s.tracer.began)
	}
	s.tracer = nil
	return err
}

// clear takes away what is parked: the old root after the pivot, our tree when
// the swap is undone. What is still open keeps working.
func (s *swap) clear() error {
	if err := mount.Enter(s.container); err != nil {
		return err
	}
	if err := s.clearLeftovers(); err != nil {
		return fmt.Errorf("take the old root away: %w", err)
	}
	return nil
}
