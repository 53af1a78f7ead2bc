package swap

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From ptrace(2) and waitid(2); not among the constants of x/sys/unix.
const (
	waitAll = 0x40000000 // __WALL: threads too
	trapped = 4          // CLD_TRAPPED
)

// tracer stops threads with ptrace, because the kernel releases them if we die;
// a frozen cgroup would stay frozen. It belongs to one OS thread.
type tracer struct {
	proc    *os.File
	pids    func() ([]int, error) // of the container, read anew
	threads map[int]*thread
	seen    map[int]bool // threads of the container at the last look
	began   time.Time
}

// thread is one traced thread. A signal that arrived while it was being stopped
// is handed on at its release.
type thread struct {
	id, pid int
	stopped bool
	gone    bool
	signal  int
}

func newTracer(proc *os.File, pids func() ([]int, error)) *tracer {
	return &tracer{proc: proc, pids: pids, threads: map[int]*thread{}}
}

// stopAll stops thread after thread until a look finds none that is new: a
// thread may have made others before it stopped.
func (t *tracer) stopAll(limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		fresh, err := t.seizeNew(end)
		switch {
		case errors.Is(err, errEndless):
			return fmt.Errorf("%w: new ones appeared for %s without end", ErrNotStopped, limit)
		case err != nil:
			return err
		case len(fresh) == 0:
			return t.releaseStrangers()
		}
		for _, th := range fresh {
			if err := t.await(th, end); err != nil {
				return err
			}
		}
	}
}

func (t *tracer) stopped() int {
	n := 0
	for _, th := range t.threads {
		if th.stopped {
			n++
		}
	}
	return n
}

// errEndless: the time was up before a look had seen everyone.
var errEndless = errors.New("there are ever new threads")

// seizeNew takes hold of threads that are not held yet and asks them to stop.
func (t *tracer) seizeNew(end time.Time) ([]*thread, error) {
	pids, err := t.pids()
	if err != nil {
		return nil, err
	}
	var fresh []*thread
	t.seen = map[int]bool{}
	for _, pid := range pids {
		if time.Now().After(end) {
			return nil, errEndless
		}
		ids := listNumbers(t.proc, fmt.Sprintf("%d/task", pid))
		if len(ids) == 0 { // gone since it was listed, and may have made a child
			fresh = append(fresh, &thread{id: pid, pid: pid, gone: true})
		}
		for _, id := range ids {
			t.seen[id] = true
			if known := t.threads[id]; known != nil && !(known.gone && t.lives(id)) {
				continue
			}
			th, err := t.seize(pid, id)
			if err != nil {
				return nil, err
			}
			t.threads[id] = th
			fresh = append(fresh, th)
		}
	}
	return fresh, nil
}

// releaseStrangers lets go of who is no thread of the container: where processes
// come and go fast, a number that was read may be another's when it is seized.
// In the last look, with all of the container held, it is not seen.
func (t *tracer) releaseStrangers() error {
	for id, th := range t.threads {
		if th.gone || t.seen[id] {
			continue
		}
		delete(t.threads, id)
		switch {
		case !t.lives(id):
		case !th.stopped:
			return fmt.Errorf("thread %d is none of the container's and does not stop", id)
		default:
			if err := detach(id, th.signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("release thread %d: %w", id, err)
			}
		}
	}
	return nil
}

// seize takes hold of a thread. One that is gone by now calls for another look as
// well: it may have made a child since it was listed.
func (t *tracer) seize(pid, id int) (*thread, error) {
	if err := unix.PtraceSeize(id); err != nil {
		if !t.lives(id) {
			return &thread{id: id, pid: pid, gone: true}, nil
		}
		if by := t.tracedBy(id); by != "0" {
			return nil, fmt.Errorf("process %d is being traced (by process %s); end the debugger and try again", pid, by)
		}
		return nil, fmt.Errorf("stop thread %d of process %d: %w", id, pid, err)
	}
	if err := unix.PtraceInterrupt(id); err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("stop thread %d of process %d: %w", id, pid, err)
	}
	return &thread{id: id, pid: pid}, nil
}

// await waits until a thread has stopped or ended. A thread that sleeps in the
// kernel without being interruptible (a vfork's parent, a dead disk) is let be,
// if it cannot make a child.
func (t *tracer) await(th *thread, end time.Time) error {
	for spins := 0; ; spins++ {
		late := time.Now().After(end) // before we look: on a busy node we may wait in between
		why, ended := heard(th.id)
		switch {
		case ended:
			th.gone = true
			return nil
		case why != 0:
			th.stopped = true
			if isSignal(why) {
				th.signal = why
			}
			return nil
		}
		if spins > 50 {
			switch t.state(th.id) {
			case 'D':
				if !t.isForking(th.id) {
					return nil
				}
			case 'Z', 'X', 0: // not told of while other threads of it still end
				th.gone = true
				return nil
			}
		}
		if late {
			return fmt.Errorf("%w: thread %d is in state %c", ErrNotStopped, th.id, t.state(th.id))
		}
		if spins > 20 {
			nap()
		}
	}
}

// isForking tells whether a thread that cannot be interrupted is on its way to a
// child. The kernel copies the root early, and then may wait (for memory, or for
// other processors) before the child is one that a pivot moves. Who cannot be
// looked at, or goes on meanwhile, may be forking.
func (t *tracer) isForking(id int) bool {
	stack, err := readAt(t.proc, fmt.Sprintf("%d/stack", id))
	return err != nil || len(stack) == 0 || bytes.Contains(stack, []byte("copy_process")) || t.state(id) != 'D'
}

// nap lets others run for a moment. Not time.Sleep: on a busy node it takes long
// until a goroutine that holds its thread has that again, and all wait for us.
func nap() { unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil) }

// heard tells why a thread has stopped, 0 if it has not, or that it ended. A stop
// is left to be told again: the kernel would take it for dealt with, and if we
// were killed then, forget the signal that the thread was about to get.
func heard(id int) (why int, ended bool) {
	var info unix.Siginfo
	options := unix.WEXITED | unix.WSTOPPED | unix.WNOHANG | unix.WNOWAIT | waitAll
	for {
		err := unix.Waitid(unix.P_PID, id, &info, options, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, true
		}
		break
	}
	child := (*childInfo)(unsafe.Pointer(&info))
	switch {
	case child.pid == 0:
		return 0, false
	case child.code != trapped: // its parent is told once we have heard
		unix.Wait4(id, nil, unix.WNOHANG|waitAll, nil)
		return 0, true
	}
	return int(child.status), false
}

// childInfo is siginfo_t as waitid fills it in on 64-bit machines.
type childInfo struct {
	_, _, code, _    int32
	pid, uid, status int32
}

// isSignal tells whether a thread stopped on its way to deliver a signal. A stop
// that was asked for has an event above the signal, one at a system call 0x80.
func isSignal(why int) bool { return why < 0x80 }

// release lets every thread run on, each with the signal it was about to get.
func (t *tracer) release() error {
	var errs []error
	last := time.Now().Add(time.Second) // the kernel lets go of the rest when we end
	for _, th := range t.threads {
		if th.gone {
			continue
		}
		if !th.stopped { // the stop we asked for must not hit it later
			t.await(th, earlier(last, time.Now().Add(20*time.Millisecond)))
		}
		if err := detach(th.id, th.signal); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("release thread %d: %w", th.id, err))
		}
	}
	return errors.Join(errs...)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// detach is PTRACE_DETACH with a signal, which x/sys/unix does not offer.
func detach(id, signal int) error {
	return ptrace(unix.PTRACE_DETACH, id, 0, uintptr(signal))
}

func ptrace(request, id int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(id), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// state is the letter in /proc/ID/stat, 0 if the thread is gone.
func (t *tracer) state(id int) byte {
	stat, err := readAt(t.proc, fmt.Sprintf("%d/stat", id))
	i := bytes.LastIndexByte(stat, ')')
	if err != nil || i < 0 || i+2 >= len(stat) {
		return 0
	}
	return stat[i+2]
}

func (t *tracer) lives(id int) bool {
	state := t.state(id)
	return state != 0 && state != 'Z' && state != 'X'
}

func (t *tracer) tracedBy(id int) string {
	status, _ := readAt(t.proc, fmt.Sprintf("%d/status", id))
	return cmp.Or(statusField(status, "TracerPid"), "0")
}
