package swap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

func TestTheSignalArrivesOnce(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	for i := range 5 {
		req := request(t, c, v[[]string{"v2", "v1"}[i%2]])
		target, err := process.Open(c.PID)
		if err != nil {
			t.Fatal(err)
		}
		req.Target, req.Signal = target, unix.SIGHUP
		do(t, req)
		target.Close()
		eventually(t, func() string { return conn.Must(t, "hangups") }, fmt.Sprint(i+1))
	}
}

func eventually(t *testing.T, get func() string, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(runtimetest.Limit(3 * time.Second)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = get(); got == want {
			return
		}
	}
	t.Errorf("got %s, want %s", got, want)
}

func TestOldProcessesAreCountedUntilTheyReexec(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Env: []string{"REEXEC=1"}})
	do(t, request(t, c, v["v2"]))
	if n := look(t, c).OldProcesses; n != 1 {
		t.Errorf("%d old processes before the reload, want 1", n)
	}
	if err := unix.Kill(c.PID, unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			log, _ := os.ReadFile(c.Share + "/log")
			t.Logf("%s", log)
		}
	}()
	eventually(t, func() string { return fmt.Sprint(look(t, c).OldProcesses) }, "0")
	if got := views(t, c); got != "v2" {
		t.Errorf("the container is on %s", got)
	}
}

// A child that is just being forked keeps the old root unless everything stops.
func TestForkersLeaveNobodyBehind(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	for range 3 {
		conn.Must(t, "fork")
	}
	leavesNobodyBehind(t, c)
}

// Nor may one stay whose parent is not to be stopped, as it waits in the kernel.
func TestForkersThatWaitLeaveNobodyBehind(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	odd(t, c, "slow-forker", "/", "4")
	leavesNobodyBehind(t, c)
}

func leavesNobodyBehind(t *testing.T, c *runtimetest.Container) {
	t.Helper()
	for i := range 10 {
		req := request(t, c, v[[]string{"v2", "v1"}[i%2]])
		req.StopLimit = runtimetest.Limit(2 * time.Second) // where forkers have few processors to fork on
		do(t, req)
		if n := look(t, c).StaleDirs; n != 0 {
			t.Errorf("swap %d: %d processes stayed on the old root", i, n)
		}
	}
}

func TestATracedProcessIsRefused(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	traced, done := make(chan error), make(chan struct{})
	// A tracer is a thread, and must end: the first one of a program never does,
	// and the container could not be killed then.
	go mount.Thread(func() error {
		traced <- unix.PtraceSeize(c.PID)
		<-done
		return nil
	})
	if err := <-traced; err != nil {
		t.Fatal(err)
	}
	_, err := swap.Do(t.Context(), request(t, c, v["v2"]))
	if err == nil || !strings.Contains(err.Error(), "being traced") {
		t.Errorf("got %v", err)
	}
	close(done)
	if got := views(t, c); got != "v1" {
		t.Errorf("the container is on %s", got)
	}
}

// Without the host's cgroups nothing would be stopped, and all would look well.
func TestForeignCgroupsAreRefused(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	for name, prepare := range map[string]func(dir string) error{
		"none":  func(string) error { return nil },
		"empty": func(dir string) error { return fakeGroup(t, dir, c.PID, "") },
		"ours":  func(dir string) error { return fakeGroup(t, dir, c.PID, fmt.Sprintln(os.Getpid())) },
	} {
		req := request(t, c, v["v2"])
		req.CgroupDir = t.TempDir()
		if err := prepare(req.CgroupDir); err != nil {
			t.Fatal(err)
		}
		if _, err := swap.Do(t.Context(), req); err == nil || !strings.Contains(err.Error(), "cgroup") {
			t.Errorf("%s: got %v", name, err)
		}
		if got := views(t, c); got != "v1" {
			t.Fatalf("%s: the container is on %s", name, got)
		}
	}
}

// fakeGroup makes a container's group in a directory that is no cgroup
// filesystem.
func fakeGroup(t *testing.T, dir string, pid int, procs string) error {
	t.Helper()
	lines, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(lines)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		group := filepath.Join(dir, strings.ReplaceAll(fields[1], "name=", ""), fields[2])
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(procs), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func TestAContainerThatEndedIsAnError(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	req := request(t, c, v["v2"])
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := swap.Do(t.Context(), req); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
}

// listens waits for an answer; the last program's may be a hung up connection.
func listens(t *testing.T, c *runtimetest.Container) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err = c.Dial(t).Ask("hangups"); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// A program that executes itself anew looks ended for a moment; it never is.
func TestAProgramThatReexecsIsNotTakenForEnded(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Env: []string{"REEXEC=1"}})
	for range 40 {
		listens(t, c) // so it is told, and not ended by the signal
		before := start(c.PID)
		if err := unix.Kill(c.PID, unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		began, limit := time.Now(), runtimetest.Limit(3*time.Second)
		for now := before; now == before || now == "" || time.Since(began) < 30*time.Millisecond; now = start(c.PID) {
			if _, err := swap.Look("/sys/fs/cgroup", c.PID); err != nil {
				t.Fatal(err)
			}
			if time.Since(began) > limit {
				t.Fatalf("it did not execute itself anew within %s", limit)
			}
		}
	}
}

// start tells one program of a process from the next: what the kernel gave it to
// begin with, random bytes' place among it. It is empty on the way between two.
func start(pid int) string {
	given, _ := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	return string(given)
}
