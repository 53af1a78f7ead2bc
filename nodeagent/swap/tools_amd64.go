package swap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tools are instructions that a process has in its own code: nothing is written
// where it executes.
type tools struct {
	call   uint64 // a system call, and back to what stands on the stack
	resume uint64 // what the kernel has every signal handler return to
	stack  area   // of the first thread
}

var (
	callCode    = []byte{0x0f, 0x05, 0xc3}                              // syscall; ret
	resumeCodes = [][]byte{{0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05}, // mov $15,%rax; syscall
		{0xb8, 15, 0, 0, 0, 0x0f, 0x05}} // mov $15,%eax; syscall
)

// area is one line of /proc/PID/maps.
type area struct {
	from, to     uint64
	rights, name string
}

func areas(proc *os.File, task string) (all []area, err error) {
	text, err := readAt(proc, task+"/maps")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 6 { // it has no name
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		a := area{rights: fields[1], name: fields[5]}
		a.from, _ = strconv.ParseUint(from, 16, 64)
		a.to, _ = strconv.ParseUint(to, 16, 64)
		all = append(all, a)
	}
	return all, nil
}

// findTools searches a process, by one of its threads. That takes milliseconds,
// so it is done before anything is stopped, and checked again afterwards.
func (s *swap) findTools(task string) (t tools, err error) {
	all, err := areas(s.proc, task)
	if err != nil {
		return t, err
	}
	memory, err := openMemory(s.proc, task, unix.O_RDONLY)
	if err != nil {
		return t, err
	}
	defer memory.Close()
	for _, a := range all {
		switch {
		case a.name == "[stack]" && strings.HasPrefix(a.rights, "rw"):
			t.stack = a
		// Code without a file may be unmapped again by who made it.
		case strings.HasPrefix(a.rights, "r-x") && strings.HasPrefix(a.name, "/"):
			t.searchIn(memory, a)
		}
	}
	switch {
	case t.call == 0 || t.resume == 0:
		return t, errors.New("its program lacks the instructions for it")
	case t.stack.to == 0:
		return t, errors.New("it has no stack that is known")
	}
	return t, nil
}

func (t *tools) searchIn(memory *os.File, a area) {
	const chunk, overlap = 256 << 10, 16
	b := make([]byte, chunk)
	for at := a.from; at < a.to && (t.call == 0 || t.resume == 0); at += chunk - overlap {
		n, _ := unix.Pread(int(memory.Fd()), b[:min(chunk, a.to-at)], int64(at))
		if n <= 0 {
			return
		}
		t.search(b[:n], at)
	}
}

func (t *tools) search(code []byte, at uint64) {
	if i := bytes.Index(code, callCode); i >= 0 && t.call == 0 {
		t.call = at + uint64(i)
	}
	for _, resume := range resumeCodes {
		if i := bytes.Index(code, resume); i >= 0 && t.resume == 0 {
			t.resume = at + uint64(i)
		}
	}
}

// check tells whether the instructions are still there: the process may have
// become another program.
func (t tools) check(memory *os.File) bool {
	b := make([]byte, 9)
	var found tools
	for _, at := range []uint64{t.call, t.resume} {
		if n, _ := unix.Pread(int(memory.Fd()), b, int64(at)); n > 0 {
			found.search(b[:n], at)
		}
	}
	return t.call != 0 && found.call == t.call && found.resume == t.resume
}

// openMemory opens a task's memory: that of a process whose first thread has
// ended is only reached by its others.
func openMemory(proc *os.File, task string, mode int) (*os.File, error) {
	fd, err := unix.Openat(int(proc.Fd()), task+"/mem", mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: task + "/mem", Err: err}
	}
	return os.NewFile(uintptr(fd), "mem"), nil
}

const (
	page = 4096
	// scratchPages is a place to write: the lower part stays free, for the
	// handler of a signal that comes when we were just killed.
	scratchPages, roomPages = 10, 4
)

// scratchMark begins what we have written, to be used again and not to grow.
var scratchMark = []byte("hotpatch: dead stack, used for one chdir after a swap of the root")

// scratch finds memory that is nobody's, in the stack of the first thread, far
// below where that is: pages that were never touched, or were by us, or below
// the first thread's stack pointer. Not below another thread's: in Go or with
// coroutines that may be the memory of something else.
func (m *mover) scratch(th *thread, stack area, memory *os.File) (uint64, error) {
	const looked = 256 // pages, from the far end
	pages := min(looked, int(stack.to-stack.from)/page)
	touched := m.touched(th, stack.from, pages)
	limit := m.deadBelow(th.pid, stack)
	for first := 0; first+scratchPages <= pages; first++ {
		from := stack.from + uint64(first)*page
		untouched := touched != nil && !bytes.Contains(touched[first:first+scratchPages], []byte{1})
		if untouched {
			return from, nil
		}
		if (isOurs(memory, from) || from+scratchPages*page <= limit) && !m.inUse(th.pid, from) {
			return from, nil
		}
	}
	return 0, errors.New("its stack is full")
}

// inUse tells whether a thread may still be on its way back through a place, on
// which an agent that was killed had sent it.
func (m *mover) inUse(pid int, from uint64) bool {
	for _, th := range m.tracer.of(pid) {
		var regs unix.PtraceRegs
		switch {
		case th.gone:
		case !th.stopped || unix.PtraceGetRegs(th.id, &regs) != nil:
			return true // it cannot be told
		case regs.Rsp >= from && regs.Rsp < from+scratchPages*page:
			return true
		}
	}
	return false
}

func isOurs(memory *os.File, from uint64) bool {
	b := make([]byte, len(scratchMark))
	n, _ := unix.Pread(int(memory.Fd()), b, int64(from+roomPages*page))
	return bytes.Equal(b[:max(n, 0)], scratchMark)
}

// touched has a 1 for each page that holds, or held, anything; nil if unknown.
func (m *mover) touched(th *thread, from uint64, pages int) []byte {
	fd, err := unix.Openat(int(m.proc.Fd()), th.task()+"/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	b := make([]byte, pages*8)
	if n, err := unix.Pread(fd, b, int64(from/page*8)); err != nil || n != len(b) {
		return nil
	}
	const present, swapped, guard = 1 << 63, 1 << 62, 1 << 58
	out := make([]byte, pages)
	for i := range out {
		if binary.LittleEndian.Uint64(b[i*8:])&(present|swapped|guard) != 0 {
			out[i] = 1
		}
	}
	return out
}

// deadBelow is the address in the first thread's stack below which nothing
// lives: the kernel itself would put a signal's frame there. 0 if the first
// thread is on another stack.
func (m *mover) deadBelow(pid int, stack area) uint64 {
	const redZone, more = 128, page
	first := m.tracer.threads[pid]
	var regs unix.PtraceRegs
	if first == nil || !first.stopped || first.gone || unix.PtraceGetRegs(pid, &regs) != nil {
		return 0
	}
	if regs.Rsp < stack.from+redZone+more || regs.Rsp >= stack.to {
		return 0
	}
	return regs.Rsp - redZone - more
}
