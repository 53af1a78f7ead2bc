package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// silence is how long a machine may take to say anything when it is not emulated.
const silence = time.Minute

// run boots a machine and reads its console until it ends. On KVM first where there
// is one; machines within machines have some on which a kernel never gets to run.
func (m *machine) run(ctx context.Context, pattern string) (r result) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, accelerator := range emulators[m.arch].accelerators {
		if r = m.boot(ctx, accelerator, pattern); r.platform != "" {
			break
		}
	}
	return r
}

// boot is one try. Unless it is emulated, a machine that says nothing is ended.
func (m *machine) boot(ctx context.Context, accelerator, pattern string) result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log, err := os.Create(m.log)
	if err != nil {
		return result{row: m.row, notRun: err}
	}
	defer log.Close()
	e := emulators[m.arch]
	cmd := exec.CommandContext(ctx, e.program, append(append(e.args, "-accel", accelerator), m.hardware(e.console, pattern)...)...)
	console, pipe := io.Pipe()
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, pipe), log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return result{row: m.row, notRun: err}
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		pipe.Close()
	}()
	heard := func() {}
	if accelerator != emulated {
		silent := time.AfterFunc(silence, func() { cancel(fmt.Errorf("it said nothing for %s", silence)) })
		heard = func() { silent.Stop() }
	}
	r := read(console, heard)
	r.row, r.log, r.took = m.row, m.log, time.Since(began)
	r.died = errors.Join(<-ended, context.Cause(ctx))
	return r
}

// hardware is a small machine without network, whose first serial line is ours.
func (m *machine) hardware(console, pattern string) []string {
	kernel := []string{"console=" + console, "quiet", "loglevel=1", "panic=-1", "GROUPS=" + m.cgroup, "CONFIG=" + m.config}
	if pattern != "" {
		kernel = append(kernel, "RUN="+pattern)
	}
	return []string{"-smp", "2", "-m", "2048", "-display", "none", "-vga", "none", "-nic", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", m.kernel, "-initrd", m.initramfs, "-append", strings.Join(kernel, " "),
		"-drive", "file=" + m.disk + ",if=virtio,format=raw,cache=unsafe"}
}

// read takes a machine's report off its console: lines of the guest's, at which
// heard is called, and how go test says which tests failed.
func read(console io.Reader, heard func()) (r result) {
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		switch said, ours := strings.CutPrefix(line, "vm: "); {
		case ours:
			heard()
			fmt.Println("  " + said)
			r.hear(said)
		case strings.HasPrefix(line, "--- PASS: "):
			r.passed++
		case strings.HasPrefix(line, "--- FAIL: "):
			r.failed = append(r.failed, strings.Fields(line)[2])
		case strings.HasPrefix(line, "--- SKIP: "):
			r.skipped = append(r.skipped, strings.Fields(line)[2])
		}
	}
	io.Copy(io.Discard, console) // a line too long must not stall the machine
	return r
}

func (r *result) hear(said string) {
	switch word, rest, _ := strings.Cut(said, " "); word {
	case "is":
		r.platform = rest
	case "passed":
		r.packages++
	case "failed":
		r.broken = append(r.broken, rest)
	case "done":
		r.done = true
	}
}
