package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a daemon of the box, known by its PID and the moment it started,
// so that a PID used again is never taken for it.
type process struct {
	name  string
	pid   int
	start string
}

func pidFile(name string) string { return filepath.Join(runDir, name+".pid") }

// ensure starts a daemon unless it runs. It outlives this program.
func ensure(name, program string, args ...string) error {
	if p := running(name); p != nil {
		return nil
	}
	log, err := os.OpenFile(logFile(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	record := fmt.Sprintf("%d %s", cmd.Process.Pid, startTime(cmd.Process.Pid))
	go cmd.Wait() // a dead child must not look alive while we wait for others
	return os.WriteFile(pidFile(name), []byte(record), 0o644)
}

// running is the daemon of that name, nil if it is dead or never was.
func running(name string) *process {
	text, err := os.ReadFile(pidFile(name))
	if err != nil {
		return nil
	}
	p := &process{name: name}
	if _, err := fmt.Sscan(string(text), &p.pid, &p.start); err != nil || !p.alive() {
		return nil
	}
	return p
}

func (p *process) alive() bool { return p.start != "" && startTime(p.pid) == p.start }

// stop asks with SIGTERM, waits, and then does not ask.
func (p *process) stop(patience time.Duration) {
	syscall.Kill(p.pid, syscall.SIGTERM)
	for end := time.Now().Add(patience); p.alive() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	p.kill()
}

func (p *process) kill() {
	if p.alive() {
		syscall.Kill(p.pid, syscall.SIGKILL)
	}
	for end := time.Now().Add(5 * time.Second); p.alive() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// startTime is when a process started, in clock ticks since boot; "" if it is
// gone or a zombie.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// processes are all PIDs of this host for which match holds.
func processes(match func(pid int) bool) []*process {
	var out []*process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if start := startTime(pid); start != "" && match(pid) {
			out = append(out, &process{pid: pid, start: start})
		}
	}
	return out
}
