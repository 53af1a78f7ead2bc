package swap

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// What the kernel answers itself when it interrupts a system call that can begin
// again; no program ever sees these.
const (
	restartSys       = -512
	restartNoIntr    = -513
	restartNoHand    = -514
	restartWithBlock = -516
)

// resumed are the registers with which a thread goes on by itself as the kernel
// would have let it: a system call that we interrupted begins again. This is how
// a program goes on if we die; else the kernel itself gets to do it.
func resumed(regs unix.PtraceRegs) unix.PtraceRegs {
	if int64(regs.Orig_rax) < 0 {
		return regs
	}
	switch int64(regs.Rax) {
	case restartSys, restartNoIntr, restartNoHand:
		return callAgain(regs)
	case restartWithBlock:
		return timedAgain(regs)
	}
	return regs
}

// timedAgain is for calls of which only the kernel knows how long they have
// waited, and forgets it when a signal's frame is left. One that says how long
// was left is let end; of the others, those that programs do not expect to end
// early begin again, and wait longer.
func timedAgain(regs unix.PtraceRegs) unix.PtraceRegs {
	sameRest := false
	switch regs.Orig_rax {
	case unix.SYS_POLL:
		return callAgain(regs)
	case unix.SYS_NANOSLEEP: // (time, rest)
		sameRest = regs.Rsi == 0 || regs.Rsi == regs.Rdi
	case unix.SYS_CLOCK_NANOSLEEP: // (clock, flags, time, rest)
		sameRest = regs.R10 == 0 || regs.R10 == regs.Rdx
	}
	if sameRest {
		return callAgain(regs)
	}
	regs.Rax = ^uint64(unix.EINTR - 1) // -EINTR
	return regs
}

func callAgain(regs unix.PtraceRegs) unix.PtraceRegs {
	regs.Rax = regs.Orig_rax
	regs.Rip -= callSize
	return regs
}

const callSize = 2 // of the instruction syscall

// Offsets in struct rt_sigframe of the kernel's, from the address that the
// handler returns to.
const (
	frameFlags   = 8
	frameStack   = frameFlags + 16 // stack_t
	frameContext = frameStack + 24 // struct sigcontext
	frameMask    = frameContext + 256
	frameState   = 512 // ours: where the floating point state lies, aligned to 64
)

// frame is what the kernel writes for a signal's handler to return through: a
// thread that returns through it is as it was.
func frame(base, resume uint64, regs unix.PtraceRegs, mask uint64, state []byte) []byte {
	b := make([]byte, frameState+len(state))
	le := binary.LittleEndian
	le.PutUint64(b, resume)
	const extended, ss, strictSS = 1, 2, 4
	le.PutUint64(b[frameFlags:], extended|ss|strictSS)
	// No such flags: the alternate stack, which we cannot ask for, is left alone.
	le.PutUint32(b[frameStack+8:], 0x5a)
	context := b[frameContext:]
	for i, value := range []uint64{regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15, regs.Rdi, regs.Rsi,
		regs.Rbp, regs.Rbx, regs.Rdx, regs.Rax, regs.Rcx, regs.Rsp, regs.Rip, regs.Eflags} {
		le.PutUint64(context[i*8:], value)
	}
	le.PutUint16(context[144:], uint16(regs.Cs))
	le.PutUint16(context[150:], uint16(regs.Ss))
	le.PutUint64(context[184:], base+frameState)
	le.PutUint64(b[frameMask:], mask)
	copy(b[frameState:], state)
	return b
}

// Offsets in the floating point state as XSAVE writes it.
const (
	stateReserved = 464 // what the kernel says of it in a signal's frame
	stateHeader   = 512
	stateLegacy   = stateHeader + 64
)

func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// signalState is the floating point state as a signal's frame has it, of what
// ptrace gives: only as long as what is in use, because the kernel takes no more
// than the program has leave for.
func signalState(saved []byte) ([]byte, error) {
	if len(saved) < stateLegacy {
		return nil, errors.New("its floating point state is not known")
	}
	le := binary.LittleEndian
	used := le.Uint64(saved[stateHeader:])
	size := uint32(stateLegacy)
	for i := uint32(2); i < 63; i++ {
		if used&(1<<i) != 0 {
			length, offset, _, _ := cpuid(0xd, i)
			size = max(size, offset+length)
		}
	}
	if int(size) > len(saved) || le.Uint64(saved[stateHeader+8:]) != 0 {
		return nil, errors.New("its floating point state is not known")
	}
	const magic1, magic2, x87, sse = 0x46505853, 0x46505845, 1, 2
	b := append(saved[:size:size], 0, 0, 0, 0)
	clear(b[stateReserved:stateHeader])
	le.PutUint32(b[stateReserved:], magic1)
	le.PutUint32(b[stateReserved+4:], size+4)
	le.PutUint64(b[stateReserved+8:], used|x87|sse)
	le.PutUint32(b[stateReserved+16:], size)
	le.PutUint32(b[size:], magic2)
	return b, nil
}
