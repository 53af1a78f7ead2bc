package swap

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// negative is an error as a register holds it.
func negative(errno int64) uint64 { return uint64(-errno) }

func TestInterruptedCallsGoOnAsTheyWould(t *testing.T) {
	const at = 0x1000
	eintr := negative(int64(unix.EINTR))
	for name, c := range map[string]struct {
		regs     unix.PtraceRegs
		rax, rip uint64
	}{
		"in the program":            {unix.PtraceRegs{Orig_rax: negative(1), Rax: 7}, 7, at},
		"in the program, odd value": {unix.PtraceRegs{Orig_rax: negative(1), Rax: negative(512)}, negative(512), at},
		"a call that has returned":  {unix.PtraceRegs{Orig_rax: unix.SYS_READ, Rax: 3}, 3, at},
		"one that has failed":       {unix.PtraceRegs{Orig_rax: unix.SYS_EPOLL_WAIT, Rax: eintr}, eintr, at},
		"read":                      {unix.PtraceRegs{Orig_rax: unix.SYS_READ, Rax: negative(512)}, unix.SYS_READ, at - 2},
		"futex":                     {unix.PtraceRegs{Orig_rax: unix.SYS_FUTEX, Rax: negative(513)}, unix.SYS_FUTEX, at - 2},
		"sigsuspend":                {unix.PtraceRegs{Orig_rax: unix.SYS_RT_SIGSUSPEND, Rax: negative(514)}, unix.SYS_RT_SIGSUSPEND, at - 2},
		"poll with a time":          {unix.PtraceRegs{Orig_rax: unix.SYS_POLL, Rax: negative(516)}, unix.SYS_POLL, at - 2},
		"futex with a time":         {unix.PtraceRegs{Orig_rax: unix.SYS_FUTEX, Rax: negative(516)}, eintr, at},
		"sleep, told the rest":      {unix.PtraceRegs{Orig_rax: unix.SYS_NANOSLEEP, Rax: negative(516), Rdi: 10, Rsi: 20}, eintr, at},
		"sleep for the rest":        {unix.PtraceRegs{Orig_rax: unix.SYS_NANOSLEEP, Rax: negative(516), Rdi: 10, Rsi: 10}, unix.SYS_NANOSLEEP, at - 2},
		"sleep, told nothing":       {unix.PtraceRegs{Orig_rax: unix.SYS_NANOSLEEP, Rax: negative(516), Rdi: 10}, unix.SYS_NANOSLEEP, at - 2},
		"sleep on a clock":          {unix.PtraceRegs{Orig_rax: unix.SYS_CLOCK_NANOSLEEP, Rax: negative(516), Rdx: 10, R10: 20}, eintr, at},
		"blind on a clock":          {unix.PtraceRegs{Orig_rax: unix.SYS_CLOCK_NANOSLEEP, Rax: negative(516), Rdx: 10}, unix.SYS_CLOCK_NANOSLEEP, at - 2},
		"begun again before":        {unix.PtraceRegs{Orig_rax: unix.SYS_RESTART_SYSCALL, Rax: negative(516)}, eintr, at},
	} {
		c.regs.Rip, c.regs.Rbx, c.regs.Rsp = at, 11, 12
		got := resumed(c.regs)
		if got.Rax != c.rax || got.Rip != c.rip {
			t.Errorf("%s: rax %d at %#x, want %d at %#x", name, int64(got.Rax), got.Rip, int64(c.rax), c.rip)
		}
		got.Rax, got.Rip = c.regs.Rax, c.regs.Rip
		if got != c.regs {
			t.Errorf("%s: other registers changed: %+v", name, got)
		}
	}
}

func TestWhoIsNotSixtyFourBitIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		regs  unix.PtraceRegs
		ready readiness
		why   string
	}{
		"32-bit":         {unix.PtraceRegs{Cs: 0x23, Orig_rax: 3}, unusable, "32-bit"},
		"x32":            {unix.PtraceRegs{Cs: 0x33, Orig_rax: 1<<30 | 3}, unusable, "x32"},
		"in a call":      {unix.PtraceRegs{Cs: 0x33, Orig_rax: 0}, inCall, ""},
		"with a time":    {unix.PtraceRegs{Cs: 0x33, Orig_rax: 7, Rax: negative(516)}, inTimed, ""},
		"in the program": {unix.PtraceRegs{Cs: 0x33, Orig_rax: negative(1), Rax: negative(516)}, running, ""},
	} {
		if ready, why := readinessOf(c.regs); ready != c.ready || !strings.Contains(why, c.why) || (why == "") != (c.why == "") {
			t.Errorf("%s: %d, %q", name, ready, why)
		}
	}
}

func TestTheStateInAFrameIsOnlyAsLongAsInUse(t *testing.T) {
	le := binary.LittleEndian
	saved := make([]byte, 16<<10)
	for i := range saved {
		saved[i] = byte(i)
	}
	clear(saved[stateHeader:stateLegacy])
	const avx = 1 << 2
	length, offset, _, _ := cpuid(0xd, 2)
	for name, c := range map[string]struct {
		used uint64
		size int
	}{"none": {0, 576}, "sse": {2, 576}, "avx": {avx | 3, max(576, int(offset+length))}} {
		le.PutUint64(saved[stateHeader:], c.used)
		b, err := signalState(append([]byte(nil), saved...))
		if err != nil || len(b) != c.size+4 {
			t.Errorf("%s: %d bytes, want %d and 4: %v", name, len(b), c.size, err)
			continue
		}
		words := []uint32{le.Uint32(b[464:]), le.Uint32(b[468:]), le.Uint32(b[472:]), le.Uint32(b[480:]), le.Uint32(b[c.size:])}
		want := []uint32{0x46505853, uint32(c.size + 4), uint32(c.used | 3), uint32(c.size), 0x46505845}
		for i := range want {
			if words[i] != want[i] {
				t.Errorf("%s: word %d is %#x, want %#x", name, i, words[i], want[i])
			}
		}
		if b[100] != 100 {
			t.Errorf("%s: the registers are not there", name)
		}
	}
	for name, b := range map[string][]byte{"too short": saved[:500], "shorter than used": saved[:600]} {
		le.PutUint64(saved[stateHeader:], avx)
		if _, err := signalState(b); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	le.PutUint64(saved[stateHeader+8:], 1<<63) // compacted
	if _, err := signalState(saved); err == nil {
		t.Error("a compacted state passes")
	}
}
