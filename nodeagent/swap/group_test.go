package swap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
