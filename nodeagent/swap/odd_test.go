package swap_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// odd has a container run a process that is hard to move in some way, and is its
// PID.
func odd(t *testing.T, c *runtimetest.Container, args ...string) int {
	t.Helper()
	c.Dial(t).Must(t, "start /odd "+strings.Join(args, " "))
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(c.Share, "odd")); err == nil && len(text) > 0 {
			return oldest(t, c, "odd")
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.Share, "log"))
	t.Fatalf("%v does not become ready: %s", args, log)
	return 0
}

func oldest(t *testing.T, c *runtimetest.Container, comm string) int {
	t.Helper()
	pids, err := swap.Processes("/sys/fs/cgroup", c.PID)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range slices.Sorted(slices.Values(pids)) {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(name)) == comm {
			return pid
		}
	}
	t.Fatalf("no process %s among %v", comm, process.Of(pids))
	return 0
}

// patient is a request that a busy machine does not fail.
func patient(t *testing.T, c *runtimetest.Container, version string) swap.Request {
	req := request(t, c, v[version])
	req.StopLimit = 10 * time.Second
	return req
}

// at is the version that a task's working directory has.
func at(t *testing.T, task string) string {
	t.Helper()
	version, err := os.ReadFile("/proc/" + task + "/cwd/version")
	if err != nil {
		return err.Error()
	}
	return string(version)
}

func TestOddProcessesMoveAlong(t *testing.T) {
	for how, more := range map[string]string{"plain": "", "threads": "1000", "forker": "400", "deep": "", "stopped": ""} {
		t.Run(how, func(t *testing.T) {
			c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
			pid := odd(t, c, how, "/sub/dir", more)
			for _, want := range []string{"v2", "v3"} {
				result := do(t, patient(t, c, want))
				t.Logf("%d moved, %d threads stopped for %s", result.Moved, result.Stopped, result.StopTime)
				if got := at(t, fmt.Sprint(pid)); got != want || len(result.Stragglers) > 0 {
					t.Errorf("it is at %s on %s: %v", got, want, result.Stragglers)
				}
				if how != "forker" && result.Moved != 1 {
					t.Errorf("%d moved", result.Moved)
				}
				if left := look(t, c).Stragglers; len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			}
			if state := field(t, pid, "State"); how == "stopped" && !strings.HasPrefix(state, "T") {
				t.Errorf("a stopped process is in state %s", state)
			}
		})
	}
}

func field(t *testing.T, pid int, name string) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\n"+name+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// The runtime's default filter is known to let it pass; a second one is not.
func TestWhoHasTheRuntimesFilterMoves(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Filtered: true, Capable: true}) // to unshare
	waits(t, c, "/sub/dir")
	req := patient(t, c, "v2")
	if req.KnownFilters != 1 {
		t.Fatalf("%d filters are known", req.KnownFilters)
	}
	req.KnownFilters = 0
	if result := do(t, req); result.Moved != 0 || len(result.Stragglers) != 1 {
		t.Errorf("%d moved, as if the filter was none", result.Moved)
	}
	for i, want := range []string{"v3", "v1", "v2"} {
		kill(t, patient(t, c, want), Death{KillAt: swap.Moments[i]})
		repair(t, patient(t, c, want))
		awaitAll(t, c, want)
	}
	pid := odd(t, c, "filter", "/sub/dir")
	result := do(t, patient(t, c, "v3"))
	if len(result.Stragglers) != 1 || result.Stragglers[0].PID != pid {
		t.Errorf("left behind: %v", result.Stragglers)
	}
	awaitAll(t, c, "v3")
}

func TestAStopThatTakesTooLongChangesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	pid := odd(t, c, "threads", "/sub/dir", "1000")
	req := request(t, c, v["v2"])
	req.StopLimit = time.Microsecond
	if _, err := swap.Do(t.Context(), req); !errors.Is(err, swap.ErrNotStopped) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	if got := views(t, c); got != "v1" || at(t, fmt.Sprint(pid)) != "v1" {
		t.Errorf("the container is on %s, its process at %s", got, at(t, fmt.Sprint(pid)))
	}
	if by := field(t, pid, "TracerPid"); by != "0" {
		t.Errorf("it is still held, by %s", by)
	}
}

func TestAThreadWhoseFirstHasEndedMoves(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	pid := odd(t, c, "headless", "/sub/dir")
	result := do(t, patient(t, c, "v2"))
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) != 2 {
		t.Fatalf("%v, %v", tasks, err)
	}
	if got := at(t, strings.TrimPrefix(tasks[1], "/proc/")); got != "v2" || result.Moved != 1 {
		t.Errorf("it is at %s: %v", got, result.Stragglers)
	}
}

func TestWhoCannotMoveIsNamed(t *testing.T) {
	secret := specs.Mount{Source: t.TempDir(), Destination: "/secret", Type: "bind", Options: []string{"rbind", "rw"}}
	if err := os.Chmod(secret.Source, 0o700); err != nil {
		t.Fatal(err)
	}
	for how, c := range map[string]struct{ directory, why string }{
		"chroot":    {"/sub/dir", "is chrooted"},
		"namespace": {"/sub/dir", "has mounts of its own"},
		"filter":    {"/sub/dir", "has its working directory /sub/dir on an earlier root: its seccomp filters may forbid it"},
		"elsewhere": {"/sub/dir", "has its working directory /sub/dir on an earlier root: its stack is full"},
		"user":      {"/secret", "has its working directory /secret on an earlier root: chdir to /secret: permission denied"},
	} {
		t.Run(how, func(t *testing.T) {
			box := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: []specs.Mount{secret},
				Capable: true})
			pid := odd(t, box, how, c.directory)
			result := do(t, patient(t, box, "v2"))
			want := fmt.Sprintf("odd (%s) %s", strings.Fields(field(t, pid, "NSpid"))[1], c.why)
			if got := swap.Stragglers(result.Stragglers); got != want || result.Moved != 0 {
				t.Errorf("left behind: %q, want %q; %d moved", got, want, result.Moved)
			}
			if left := look(t, box); left.StaleDirs != 1 || left.Stragglers[0].PID != pid {
				t.Errorf("seen: %v", left.Stragglers)
			}
			repaired, err := swap.Repair(t.Context(), patient(t, box, "v2"))
			if stopped := how != "chroot" && how != "namespace"; err != nil || repaired.Moved != 0 || (repaired.Stopped > 0) != stopped {
				t.Errorf("a repair moved %d and stopped %d, %v", repaired.Moved, repaired.Stopped, err)
			}
			if err := unix.Kill(pid, 0); err != nil || strings.HasPrefix(field(t, pid, "State"), "Z") {
				t.Errorf("the process has ended: %v", err)
			}
			if got := views(t, box); got != "v2" {
				t.Errorf("the container is on %s", got)
			}
		})
	}
}

// The parent of a vfork cannot be stopped, and need not be: its child is moved
// at once, itself once it runs again.
func TestAParentThatWaitsForItsVforkMovesLater(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	parent := odd(t, c, "vfork", "/sub/dir")
	began := time.Now()
	result := do(t, request(t, c, v["v2"]))
	if len(result.Stragglers) != 1 || result.Stragglers[0].PID != parent || result.Moved != 1 {
		t.Errorf("%d moved, left behind: %v", result.Moved, result.Stragglers)
	}
	t.Logf("swapped in %s, stopped for %s", time.Since(began), result.StopTime)
	pids, err := swap.Processes("/sys/fs/cgroup", c.PID)
	if err != nil {
		t.Fatal(err)
	}
	child := slices.Max(pids)
	if got := at(t, fmt.Sprint(child)); got != "v2" {
		t.Errorf("the child is at %s", got)
	}
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return field(t, parent, "State")[:1] }, "S")
	if repair(t, patient(t, c, "v2")) != 1 || at(t, fmt.Sprint(parent)) != "v2" {
		t.Errorf("the parent is at %s", at(t, fmt.Sprint(parent)))
	}
}
