package swap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// lookerEnv makes the test program look at a process from a cgroup namespace of
// its own.
const lookerEnv = "HOTPATCH_TEST_LOOKER"

// In a pod on cgroup v2 the agent has a cgroup namespace of its own, from which
// /proc shows the groups of others as /../…
func TestOurOwnCgroupNamespaceHidesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	c.Dial(t).Must(t, "spawn")
	group := "/sys/fs/cgroup/freezer/hotpatch-test"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		group = "/sys/fs/cgroup/hotpatch-test"
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(group)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=enter %d %s", lookerEnv, c.PID, group))
	out, err := cmd.CombinedOutput()
	if got := string(out); err != nil || got != "2 processes" {
		t.Errorf("got %s %v", got, err)
	}
}

// lookFromANamespace goes into a group, becomes itself in a namespace of it, and
// says how many processes the container of another has.
func lookFromANamespace(order string) {
	var what, group string
	var pid int
	if _, err := fmt.Sscan(order, &what, &pid, &group); err != nil {
		panic(err)
	}
	var err error
	if what == "enter" {
		os.Setenv(lookerEnv, fmt.Sprintf("look %d %s", pid, group))
		err = enterNamespace(group)
	} else {
		err = sayProcesses(pid)
	}
	if err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func enterNamespace(group string) error {
	runtime.LockOSThread() // the one that calls execve passes its namespaces on
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0o644); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

func sayProcesses(pid int) error {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return err
	}
	if !strings.Contains(string(groups), "/../") {
		return fmt.Errorf("this is no other namespace than the container's: %s", groups)
	}
	pids, err := swap.Processes("/sys/fs/cgroup", pid)
	fmt.Printf("%d processes", len(pids))
	return err
}

// groupOf is the directory of a process's cgroup.
func groupOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if fields[1] == "freezer" || fields[0] == "0" && fields[2] != "/" {
			return filepath.Join("/sys/fs/cgroup", fields[1], fields[2])
		}
	}
	t.Fatalf("process %d is in no cgroup of its own: %s", pid, text)
	return ""
}

// A privileged container may make cgroups below its own.
func TestProcessesInCgroupsOfTheirOwnMoveAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	pid := odd(t, c, "plain", "/sub/dir")
	group := filepath.Join(groupOf(t, c.PID), "service", "worker")
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if result := do(t, patient(t, c, "v2")); result.Moved != 1 || at(t, fmt.Sprint(pid)) != "v2" {
		t.Errorf("%d moved, it is at %s", result.Moved, at(t, fmt.Sprint(pid)))
	}
	if pids, err := swap.Processes("/sys/fs/cgroup", c.PID); err != nil || !slices.Contains(pids, pid) {
		t.Errorf("the container's processes are %v, %v; want %d among them", pids, err, pid)
	}
}

func TestTooManyCgroupsAreRefused(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	group := groupOf(t, c.PID)
	for i := range 300 {
		dir := filepath.Join(group, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(dir)
	}
	if _, err := swap.Do(t.Context(), patient(t, c, "v2")); err == nil || !strings.Contains(err.Error(), "more than 256 cgroups") {
		t.Errorf("got %v", err)
	}
	if is, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/version", c.PID)); err != nil || string(is) != "v1" {
		t.Errorf("it is on %s, %v", is, err)
	}
}
