// Package process finds processes by the names people use for them and signals
// them without ever hitting another: a name is never a part of a command line,
// and a pidfd holds on to the process, so that a PID used again is safe.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotFound says that no process has the name.
var ErrNotFound = errors.New("no such process")

// Process is one process as /proc shows it.
type Process struct {
	PID  int
	Comm string   // at most 15 bytes
	Args []string // a title set by the program is one argument
	// Started is when, in clock ticks since boot. With PID it names one
	// process for good.
	Started uint64
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
		if p, ok := read(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

func read(pid int) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	cmdline, err := os.ReadFile(dir + "/cmdline")
	if err != nil || len(cmdline) == 0 { // most are threads of the kernel
		return Process{}, false
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Process{}, false
	}
	comm, started, ok := parseStat(stat)
	args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	return Process{PID: pid, Comm: comm, Args: args, Started: started}, ok
}

// parseStat reads /proc/PID/stat: "12 (comm) S …" with the start time as the
// 22nd field. The command name may itself hold parentheses and spaces.
func parseStat(stat []byte) (comm string, started uint64, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", 0, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return "", 0, false
	}
	started, err := strconv.ParseUint(fields[19], 10, 64)
	return string(stat[open+1 : end]), started, err == nil
}

// Age is how long ago the process was started, to 10 ms.
func (p Process) Age() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all that Linux runs on
	return time.Duration(now.Nano()) - time.Duration(p.Started)*tick, nil
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
	case p.Args[0], filepath.Base(p.Args[0]), line:
		return true
	case p.Comm:
		return !p.wrapper()
	}
	return strings.HasPrefix(line, name+" ")
}

// wrapper tells whether the process is a shell running a script. Its command
// name is the script's file name, often that of the very program it starts; a
// signal meant for the program would end the shell, and the container with it.
func (p Process) wrapper() bool {
	shells := []string{"sh", "bash", "dash", "ash", "busybox"}
	program := filepath.Base(p.Args[0])
	return slices.Contains(shells, program) && p.Comm != program
}

// Find is the one process of that name, the oldest if it has forked copies of
// itself. The error is ErrNotFound if there is none.
func Find(processes []Process, name string) (Process, error) {
	var oldest *Process
	for i, p := range processes {
		if p.PID == os.Getpid() || !p.Named(name) {
			continue
		}
		if oldest == nil || p.Started < oldest.Started {
			oldest = &processes[i]
		}
	}
	if oldest == nil {
		return Process{}, fmt.Errorf("%w: none is named %q", ErrNotFound, name)
	}
	return *oldest, nil
}

// Signal parses a signal as kill(1) takes it: SIGHUP, HUP, 1 or SIGRTMIN+3.
func Signal(name string) (unix.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil && 0 < n && n <= 64 {
		return unix.Signal(n), nil
	}
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

// Handle is one process for good: after it has ended, or the handle was closed,
// signals go nowhere.
type Handle struct {
	PID  int
	file *os.File // whose number, once it is closed, may be another process's
}

// Open takes hold of a process.
func Open(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("take hold of process %d: %w", pid, err)
	}
	return &Handle{PID: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Open takes hold of the very process that was read. The error is ErrNotFound
// if it has ended since, even if its PID is in use again.
func (p Process) Open() (*Handle, error) {
	h, err := Open(p.PID)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("%w: %d has ended", ErrNotFound, p.PID)
	}
	if err != nil {
		return nil, err
	}
	if now, ok := read(p.PID); !ok || now.Started != p.Started {
		h.Close()
		return nil, fmt.Errorf("%w: %d has ended", ErrNotFound, p.PID)
	}
	return h, nil
}

// Signal sends a signal.
func (h *Handle) Signal(s unix.Signal) error {
	var sent error
	conn, err := h.file.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, 0) })
	}
	if err := errors.Join(err, sent); err != nil {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), h.PID, err)
	}
	return nil
}

// Close lets the process go.
func (h *Handle) Close() error { return h.file.Close() }

// Parent is the PID of a process's parent.
func Parent(pid int) (int, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return strconv.Atoi(fields[1])
}
