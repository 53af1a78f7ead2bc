// Package process finds processes by the names people use for them and signals
// them without ever hitting another: by pidfd, so that a PID used again is safe.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotFound says that no process has the name.
var ErrNotFound = errors.New("no such process")

// Process is one process as /proc shows it.
type Process struct {
	PID  int
	Comm string   // at most 15 bytes
	Args []string // a title set by the program is one argument
}

// All lists the processes that can be seen.
func All() ([]Process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(dirs))
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		pids = append(pids, pid)
	}
	return Of(pids), nil
}

// Of reads the given processes; those that are gone, or are zombies or threads
// of the kernel, are left out.
func Of(pids []int) []Process {
	var out []Process
	for _, pid := range pids {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(cmdline) == 0 {
			continue
		}
		args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
		out = append(out, Process{PID: pid, Comm: strings.TrimSpace(string(comm)), Args: args})
	}
	return out
}

// Named tells whether name is this process's: its command name, its program as
// called or without directories, its whole command line, or the beginning of a
// title it gave itself ("nginx: master process nginx" of "nginx: master process
// nginx -g daemon off;"). A name that merely stands somewhere among the
// arguments, as in a wrapper shell's, is not the process's.
func (p Process) Named(name string) bool {
	if name == "" || len(p.Args) == 0 {
		return false
	}
	line := strings.TrimSpace(strings.Join(p.Args, " "))
	switch name {
	case p.Comm, p.Args[0], filepath.Base(p.Args[0]), line:
		return true
	}
	return strings.HasPrefix(line, name+" ")
}

// Find is the one process of that name, the oldest if it has forked copies of
// itself. The error is ErrNotFound if there is none.
func Find(processes []Process, name string) (Process, error) {
	self := os.Getpid()
	var found []Process
	for _, p := range processes {
		if p.PID != self && p.Named(name) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return Process{}, fmt.Errorf("%w: none is named %q", ErrNotFound, name)
	}
	oldest := found[0]
	for _, p := range found[1:] {
		if started(p.PID) < started(oldest.PID) {
			oldest = p
		}
	}
	return oldest, nil
}

// started is when a process started, in clock ticks since boot.
func started(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 1<<64 - 1
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks, _ := strconv.ParseUint(fields[19], 10, 64)
	return ticks
}

// Signal parses a signal's name: SIGHUP, HUP or SIGRTMIN+3.
func Signal(name string) (unix.Signal, error) {
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if s := unix.SignalNum(full); s != 0 {
		return s, nil
	}
	if offset, ok := strings.CutPrefix(full, "SIGRTMIN"); ok {
		n, err := strconv.Atoi("0" + strings.TrimPrefix(offset, "+"))
		if err == nil && n <= 30 {
			return unix.Signal(34 + n), nil
		}
	}
	return 0, fmt.Errorf("no signal is named %q", name)
}

// Handle is one process for good: after it has ended, signals go nowhere.
type Handle struct {
	PID int
	fd  int
}

// Open takes hold of a process.
func Open(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("take hold of process %d: %w", pid, err)
	}
	return &Handle{PID: pid, fd: fd}, nil
}

// Signal sends a signal.
func (h *Handle) Signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(h.fd, s, nil, 0); err != nil {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), h.PID, err)
	}
	return nil
}

// Close lets the process go.
func (h *Handle) Close() error { return unix.Close(h.fd) }
