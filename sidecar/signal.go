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

// signaller tells one process of new files by a signal.
type signaller struct {
	name   string
	signal unix.Signal
	wait   time.Duration
}

func newSignaller(c Signal) (*signaller, error) {
	if c.ProcessName == "" {
		return nil, errors.New("signal.processName is missing: name the process, as in 'nginx: master process nginx'")
	}
	number, err := process.Signal(c.SignalName)
	if err != nil {
		return nil, fmt.Errorf("signal.signalName: %w", err)
	}
	wait, err := waitOf(c.Wait, defaultWait)
	if err != nil {
		return nil, fmt.Errorf("signal.wait: %w", err)
	}
	return &signaller{name: c.ProcessName, signal: number, wait: wait}, nil
}

// tell signals the process, waiting for it to appear if it has not started.
func (s *signaller) tell(ctx context.Context, _ ask) error {
	err := patiently(ctx, s.wait, s.once)
	if errors.Is(err, process.ErrNotFound) && os.Getpid() == 1 { // alone in its PID namespace
		err = fmt.Errorf("%w; the pod needs shareProcessNamespace: true", err)
	}
	if err != nil {
		return fmt.Errorf("failed to signal process: %w", err)
	}
	return nil
}

func (s *signaller) once() error {
	err := s.send()
	if errors.Is(err, process.ErrNotFound) {
		return notYet{err}
	}
	return err
}

func (s *signaller) send() error {
	found, err := find(s.name)
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

// find is the running process of that name.
func find(name string) (process.Process, error) {
	all, err := process.All()
	if err != nil {
		return process.Process{}, err
	}
	return process.Find(all, name)
}
