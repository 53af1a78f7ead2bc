package swap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	atCall   = 0x80 | int(unix.SIGTRAP) // a stop at a system call
	code32   = 0x23                     // the code segment of 32-bit programs
	callX32  = 1 << 30
	everyone = ^uint64(0)
)

// examine tells how well a stopped thread lends itself to a call, or why not.
func examine(th *thread) (readiness, string) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(th.id, &regs); err != nil {
		return unusable, "it has ended"
	}
	ready, why := readinessOf(regs)
	switch {
	case why != "":
	case dispatchesCalls(th.id):
		why = "it handles its system calls itself"
	case ready == running && inSequence(th.id):
		why = "it was in a sequence that must not be interrupted"
	}
	if why != "" {
		return unusable, why
	}
	return ready, ""
}

func readinessOf(regs unix.PtraceRegs) (readiness, string) {
	call := int64(regs.Orig_rax)
	switch {
	case regs.Cs == code32:
		return unusable, "it is a 32-bit program"
	case call >= 0 && call&callX32 != 0:
		return unusable, "it is an x32 program"
	case call >= 0 && int64(regs.Rax) == restartWithBlock:
		return inTimed, ""
	case call >= 0:
		return inCall, ""
	}
	return running, ""
}

// dispatchesCalls tells whether system calls from a foreign place are a signal
// to the program (prctl PR_SET_SYSCALL_USER_DISPATCH), which would end it.
func dispatchesCalls(id int) bool {
	var config struct{ mode, selector, offset, length uint64 }
	err := ptrace(unix.PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, id, unsafe.Sizeof(config), uintptr(unsafe.Pointer(&config)))
	return err == nil && config.mode != 0
}

// inSequence tells whether a thread may be inside a restartable sequence
// (rseq): led away and back, it would not notice that it was interrupted.
func inSequence(id int) bool {
	var config struct {
		pointer                uint64
		size, sign, flags, pad uint32
	}
	size := unsafe.Sizeof(config)
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_RSEQ_CONFIGURATION, uintptr(id), size, uintptr(unsafe.Pointer(&config)), 0, 0)
	if errno != 0 {
		return true // a kernel that does not tell
	}
	if config.pointer == 0 {
		return false
	}
	b := make([]byte, 8)
	const current = 8 // offset of rseq_cs
	if _, err := unix.PtracePeekData(id, uintptr(config.pointer+current), b); err != nil {
		return true
	}
	return binary.LittleEndian.Uint64(b) != 0
}

// guest is a thread that is led to call chdir. At every moment it could be let
// go, or we be killed, and it would be back where it was by itself: the way back
// is written before it is sent anywhere, as the frame of a signal's handler, in
// dead stack.
type guest struct {
	*thread
	m      *mover
	memory *os.File
	tools  tools
	was    unix.PtraceRegs
	mask   uint64 // of signals, as it was
	base   uint64 // of the frame
	path   uint64 // where the path is written
	masked bool   // all signals wait
	atCall bool   // stopped at the end of a call of ours
	lost   bool   // no longer stopped
}

// enter writes the way back. Nothing of it is read until chdir.
func (m *mover) enter(th *thread) (*guest, error) {
	g := &guest{thread: th, m: m}
	err := g.prepare()
	if err != nil && g.memory != nil {
		g.memory.Close()
	}
	m.at("chdir/written")
	return g, err
}

func (g *guest) prepare() (err error) {
	if g.memory, err = openMemory(g.m.proc, g.task(), unix.O_RDWR); err != nil {
		return err
	}
	if g.tools = g.m.tools[g.pid]; !g.tools.check(g.memory) {
		if g.tools, err = g.m.findTools(g.task()); err != nil {
			return err
		}
		g.m.tools[g.pid] = g.tools
	}
	state, err := g.read()
	if err != nil {
		return err
	}
	if top := g.was.Rsp &^ (page - 1); g.was.Rsp-top <= 128+8 && isOurs(g.memory, top-roomPages*page) {
		return errors.New("it is still on its way back from the last time")
	}
	if !g.canResume() {
		return errors.New("it was called in an unknown way")
	}
	from, err := g.m.scratch(g.thread, g.tools.stack, g.memory)
	if err != nil {
		return err
	}
	mark := from + roomPages*page
	g.base = mark + 128
	way := frame(g.base, g.tools.resume, resumed(g.was), g.mask, state)
	g.path = g.base + uint64(len(way))
	if g.path+unix.PathMax > from+scratchPages*page {
		return errors.New("its floating point state is too large")
	}
	if err := errors.Join(g.write(mark, scratchMark), g.write(g.base, way)); err != nil {
		return err
	}
	// No longer the mask that sigsuspend or ppoll have while they wait: were we killed,
	// a signal's handler would run on the way back, and the call wait for it for good.
	return g.setMask(g.mask)
}

// read takes note of all that a thread has.
func (g *guest) read() (state []byte, err error) {
	if err := unix.PtraceGetRegs(g.id, &g.was); err != nil {
		return nil, fmt.Errorf("read its registers: %w", err)
	}
	if err := ptrace(unix.PTRACE_GETSIGMASK, g.id, unsafe.Sizeof(g.mask), uintptr(unsafe.Pointer(&g.mask))); err != nil {
		return nil, fmt.Errorf("read its signal mask: %w", err)
	}
	state = make([]byte, 32<<10)
	vector := unix.Iovec{Base: &state[0], Len: uint64(len(state))}
	if err := ptrace(unix.PTRACE_GETREGSET, g.id, unix.NT_X86_XSTATE, uintptr(unsafe.Pointer(&vector))); err != nil {
		return nil, fmt.Errorf("read its floating point state: %w", err)
	}
	// Without this the kernel would send the program SIGTRAP if we were killed
	// while it stands at a call.
	if err := unix.PtraceSetOptions(g.id, unix.PTRACE_O_TRACESYSGOOD); err != nil {
		return nil, err
	}
	return signalState(state[:vector.Len])
}

// canResume tells whether a call that is to begin again was made as 64-bit
// programs make them.
func (g *guest) canResume() bool {
	before := resumed(g.was).Rip
	if before == g.was.Rip {
		return true
	}
	b := make([]byte, callSize)
	n, _ := unix.Pread(int(g.memory.Fd()), b, int64(before))
	return bytes.Equal(b[:max(n, 0)], callCode[:callSize])
}

func (g *guest) write(at uint64, b []byte) error {
	if n, err := unix.Pwrite(int(g.memory.Fd()), b, int64(at)); n != len(b) {
		return fmt.Errorf("write to its stack: %w", err)
	}
	return nil
}

// chdir has the thread call it, and stops it again before anything else of the
// program runs. An error that is an Errno is the call's.
func (g *guest) chdir(to string) error {
	if err := g.write(g.path, append([]byte(to), 0)); err != nil {
		return err
	}
	regs := g.was
	regs.Rip, regs.Rsp, regs.Rax, regs.Rdi = g.tools.call, g.base, unix.SYS_CHDIR, g.path
	regs.Orig_rax = everyone // in no call: nothing begins again
	if err := unix.PtraceSetRegs(g.id, &regs); err != nil {
		return fmt.Errorf("set its registers: %w", err)
	}
	g.m.at("chdir/aimed")
	// After the registers, which bring the mask back if we are killed now.
	if err := g.setMask(everyone); err != nil {
		return err
	}
	g.masked = true
	g.m.at("chdir/masked")
	for _, moment := range []string{"chdir/entered", "chdir/called"} {
		if err := g.run(); err != nil {
			return err
		}
		g.m.at(moment)
	}
	g.atCall = true
	if err := unix.PtraceGetRegs(g.id, &regs); err != nil {
		return err
	}
	if result := int64(regs.Rax); result < 0 {
		return fmt.Errorf("chdir to %s: %w", shorten(to), unix.Errno(-result))
	}
	return nil
}

func (g *guest) setMask(mask uint64) error {
	if err := ptrace(unix.PTRACE_SETSIGMASK, g.id, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))); err != nil {
		return fmt.Errorf("set its signal mask: %w", err)
	}
	return nil
}

// run lets the thread run to the beginning or the end of a call. A process that
// someone has stopped stops once more before it does.
func (g *guest) run() error {
	const stops = 3
	for range stops {
		g.atCall = false
		if err := unix.PtraceSyscall(g.id, 0); err != nil {
			return fmt.Errorf("let it run: %w", err)
		}
		why, err := g.await()
		switch {
		case err != nil || why == atCall:
			return err
		case isSignal(why): // SIGSTOP: all others wait
			g.signal = why
			return errors.New("a signal came in between")
		}
	}
	return errors.New("it is being stopped")
}

func (g *guest) await() (why int, err error) {
	for spins := 0; ; spins++ {
		late := time.Now().After(g.m.end)
		why, ended := heard(g.id)
		switch {
		case ended:
			g.gone, g.lost = true, true
			return 0, errors.New("it has ended")
		case why != 0:
			return why, nil
		case late:
			g.stopped, g.lost = false, true // it goes its way back alone
			return 0, errors.New("the call does not return")
		case spins > 20:
			nap()
		}
	}
}

// leave puts the thread back to where it was stopped, in the midst of the system
// call it was in: the kernel lets that begin again, or fail with the signal that
// has come, as it always would.
func (g *guest) leave() error {
	defer g.memory.Close()
	if g.lost {
		return nil
	}
	if g.masked { // before the registers, which bring it back if we are killed now
		if err := g.setMask(g.mask); err != nil {
			return err
		}
	}
	if g.atCall { // else the kernel would not look at the call that is to begin again
		if err := unix.PtraceInterrupt(g.id); err != nil {
			return err
		}
	}
	err := unix.PtraceSetRegs(g.id, &g.was)
	g.m.at("chdir/left")
	return err
}
