package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// fillIn makes sure that a stopped container has not started, and has the rest of
// the request filled in while it waits.
func (s *swap) fillIn() error {
	_, table, err := mount.Root(s.proc, s.PID)
	if err != nil {
		return err
	}
	// The runtime's own program, which waits to become the container's, lies on
	// no mount of the container.
	program, _, err := mount.ID(int(s.proc.Fd()), fmt.Sprintf("%d/exe", s.PID), 0)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(table, func(e mount.Entry) bool { return e.ID == program }) {
		return ErrStarted
	}
	if err := s.Hold(&s.Request); err != nil {
		return err
	}
	return s.destinations()
}

// hasProgram refuses a root on which the container could not start: the runtime
// has looked its program up on the old one.
func (s *swap) hasProgram() error {
	if len(s.Programs) == 0 {
		return nil
	}
	for _, name := range s.Programs {
		f, err := existing(s.StageDir, name)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return fmt.Errorf("the new image has no %s to start", s.Programs[0])
}
