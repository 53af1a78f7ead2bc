package sidecar

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watched is a process that the kernel stops before each step that others can
// see, by a seccomp filter: no step has to be made known to be found, and none
// can be forgotten.
type watched struct {
	cmd   *exec.Cmd
	pair  *os.File
	armed atomic.Bool   // from now on steps count
	steps []string      // taken since; to be read once over is closed
	over  chan struct{} // it has died, or is dying
}

// watchedCalls are the system calls that make steps.
var watchedCalls = []uint32{
	unix.SYS_OPENAT, unix.SYS_WRITE, unix.SYS_FSYNC, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT,
	unix.SYS_MKDIRAT, unix.SYS_SYMLINKAT, unix.SYS_CONNECT, unix.SYS_PIDFD_SEND_SIGNAL,
}

// notice is struct seccomp_notif, reply struct seccomp_notif_resp.
type (
	notice struct {
		id         uint64
		pid, flags uint32
		call, arch uint32
		ip         uint64
		args       [6]uint64
	}
	reply struct {
		id           uint64
		value        int64
		error, flags uint32
	}
)

const goOn = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE

// becomeWatched turns this process into the program, and hands the filter's
// listener to the one at the other end of file 3.
func becomeWatched(program []string) error {
	runtime.LockOSThread()
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, call := range watchedCalls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	unix.CloseOnExec(3)
	if err := unix.Sendmsg(3, []byte("."), unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	return unix.Exec(program[0], program, os.Environ())
}

// watch prepares a process that is killed before its step of that number.
func watch(t *testing.T, killAt int, program ...string) *watched {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{over: make(chan struct{}), pair: os.NewFile(uintptr(fds[1]), "pair")}
	w.cmd = exec.Command(os.Args[0], append([]string{"-test.run=^TestKilledBeforeEachStep$"}, program...)...)
	w.cmd.Env = append(os.Environ(), "SIDECAR_WATCHED=yes", "POD_NAME=game-0", "POD_NAMESPACE=default")
	w.cmd.ExtraFiles = []*os.File{w.pair}
	go func() {
		defer close(w.over)
		defer unix.Close(fds[0])
		if err := w.follow(fds[0], killAt); err != nil {
			t.Error(err)
		}
	}()
	return w
}

// follow lets the process go on from step to step until it is to die.
func (w *watched) follow(pair, killAt int) error {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return fmt.Errorf("no listener has come: %v", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	for {
		at, err := nextNotice(fds[0])
		if err != nil || at.id == 0 {
			return err
		}
		if name := at.String(); w.armed.Load() && name != "" {
			w.steps = append(w.steps, name)
			if len(w.steps) > killAt {
				return w.cmd.Process.Kill()
			}
		}
		answer := reply{id: at.id, flags: goOn}
		if err := ioctl(fds[0], unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
}

// nextNotice is where the process stands; its id is 0 once it has died.
func nextNotice(listener int) (at notice, err error) {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return at, err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents != 0 {
				return notice{}, nil
			}
			continue
		}
		err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&at))
		if err == nil || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINTR) {
			return at, err
		}
		at = notice{} // it was killed meanwhile
	}
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

var randomName = regexp.MustCompile(`[A-Z2-7]{26}`)

// String names the step, "" if it is none: files that are only read, wake-ups.
func (n notice) String() string {
	file := func(arg int) string {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[arg]))
		return link
	}
	name := ""
	switch n.call {
	case unix.SYS_OPENAT:
		if n.args[2]&unix.O_CREAT != 0 {
			name = "create " + n.text(1)
		}
	case unix.SYS_WRITE, unix.SYS_FSYNC:
		kind := map[uint32]string{unix.SYS_WRITE: "write ", unix.SYS_FSYNC: "fsync "}[n.call]
		if link := file(0); strings.HasPrefix(link, "/") {
			name = kind + filepath.Base(link)
		} else if strings.HasPrefix(link, "socket:") {
			name = kind + "socket"
		}
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		name = "rename to " + n.text(3)
	case unix.SYS_UNLINKAT:
		name = "remove " + n.text(1)
	case unix.SYS_MKDIRAT:
		name = "make directory " + n.text(1)
	case unix.SYS_SYMLINKAT:
		name = "link " + n.text(2)
	case unix.SYS_CONNECT:
		name = "connect"
	case unix.SYS_PIDFD_SEND_SIGNAL:
		name = fmt.Sprintf("signal %d", n.args[1])
	}
	return randomName.ReplaceAllString(name, "*")
}

// text is the string that an argument points to.
func (n notice) text(arg int) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", n.pid))
	if err != nil {
		return "?"
	}
	defer memory.Close()
	buf := make([]byte, 256)
	got, _ := memory.ReadAt(buf, int64(n.args[arg]))
	text, _, _ := strings.Cut(string(buf[:got]), "\x00")
	return text
}
