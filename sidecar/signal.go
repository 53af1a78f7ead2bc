package sidecar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/internal/process"
)

// lookAgain is the pause while a process has not appeared yet.
const lookAgain = 100 * time.Millisecond

// signaller tells one process of new files.
type signaller struct {
	name   string
	signal unix.Signal
	wait   time.Duration
}

// tell signals the process, waiting for it to appear if it has not started.
func (s *signaller) tell(ctx context.Context) error {
	deadline := time.Now().Add(s.wait)
	for {
		err := s.once()
		if !errors.Is(err, process.ErrNotFound) {
			return err
		}
		if time.Now().After(deadline) {
			return s.notFound(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookAgain):
		}
	}
}

func (s *signaller) once() error {
	found, err := s.find()
	if err != nil {
		return err
	}
	h, err := found.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Signal(s.signal)
}

func (s *signaller) find() (process.Process, error) {
	all, err := process.All()
	if err != nil {
		return process.Process{}, err
	}
	return process.Find(all, s.name)
}

func (s *signaller) notFound(err error) error {
	if os.Getpid() == 1 { // alone in its PID namespace
		return fmt.Errorf("%w after %s; the pod needs shareProcessNamespace: true", err, s.wait)
	}
	return fmt.Errorf("%w after %s", err, s.wait)
}
