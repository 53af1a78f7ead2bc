package swap_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

func TestAWorkingDirectoryBelowTheRootMovesAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "chdir /sub/dir")
	for i := range 6 {
		want := []string{"v2", "v3", "v1"}[i%3]
		result := do(t, request(t, c, v[want]))
		t.Logf("%d moved, %d threads stopped for %s", result.Moved, result.Stopped, result.StopTime)
		if got := conn.Must(t, "read version"); got != want || result.Moved != 1 {
			t.Errorf("the working directory reads %s on %s, %d were moved: %v", got, want, result.Moved, result.Stragglers)
		}
		if left := look(t, c).Stragglers; len(left) != 0 {
			t.Errorf("%v stayed behind", left)
		}
	}
}

// seen is what one thread of the waiter says, as its table has it.
type seen struct {
	Kind, Version [16]byte
	Trouble       [88]byte
	Rounds        int64
}

func word(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// waits has the waiter run in a container, with its directories in dir.
func waits(t testing.TB, c *runtimetest.Container, dir string, kinds ...string) {
	t.Helper()
	question := "start /waiter /share/waits " + dir
	for _, kind := range kinds {
		question += " " + kind
	}
	c.Dial(t).Must(t, question)
	for end := time.Now().Add(3 * time.Second); len(table(t, c)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(c.Share, "log"))
			t.Fatalf("the waiter does not wait: %s", log)
		}
	}
}

func table(t testing.TB, c *runtimetest.Container) (all []seen) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Share, "waits"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for r := bytes.NewReader(text); r.Len() > 0; {
		var s seen
		if err := binary.Read(r, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		if s.Rounds > 0 {
			all = append(all, s)
		}
	}
	return all
}

// awaitAll waits until every thread has come back from its call, found itself on
// a version, and nothing wrong.
func awaitAll(t testing.TB, c *runtimetest.Container, version string) {
	t.Helper()
	before := map[string]int64{}
	for _, s := range table(t, c) {
		before[word(s.Kind[:])] = s.Rounds
	}
	for end := time.Now().Add(runtimetest.Limit(10 * time.Second)); ; time.Sleep(5 * time.Millisecond) {
		wrong, late := "", []string{}
		for _, s := range table(t, c) {
			kind := word(s.Kind[:])
			if trouble := word(s.Trouble[:]); trouble != "" {
				t.Fatalf("%s: %s", kind, trouble)
			}
			if got := word(s.Version[:]); got != version {
				wrong += kind + " is on " + got + "; "
			}
			if s.Rounds < before[kind]+2 {
				wrong += kind + " does not come back; "
				late = append(late, kind)
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("on %s: %s%s", version, wrong, stands(t, c, late))
		}
	}
}

// stands tells where threads of the waiter stand: whether one has lost what it
// waits for, or the machine is busy.
func stands(t testing.TB, c *runtimetest.Container, kinds []string) (text string) {
	pids, err := swap.Processes("/sys/fs/cgroup", c.PID)
	if err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			name, _ := os.ReadFile(task + "/comm")
			if !slices.Contains(kinds, strings.TrimSpace(string(name))) {
				continue
			}
			for _, file := range []string{"status", "syscall", "stack"} {
				said, _ := os.ReadFile(task + "/" + file)
				text += fmt.Sprintf("\n%s/%s\n%s", task, file, said)
			}
		}
	}
	return text
}

func TestEveryKindOfThreadMovesAndNoticesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	waits(t, c, "/sub/dir")
	awaitAll(t, c, "v1")
	for i := range 12 {
		want := []string{"v2", "v3", "v1"}[i%3]
		result := do(t, patient(t, c, want))
		t.Logf("%d moved, %d threads stopped for %s", result.Moved, result.Stopped, result.StopTime)
		awaitAll(t, c, want)
		if len(result.Stragglers) != 0 || result.Moved != len(table(t, c)) {
			t.Errorf("%d of %d moved: %v", result.Moved, len(table(t, c)), result.Stragglers)
		}
	}
}

func TestASpinningThreadMoves(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	waits(t, c, "/sub/dir", "spin")
	for i := range 6 {
		want := []string{"v2", "v3", "v1"}[i%3]
		do(t, patient(t, c, want))
		awaitAll(t, c, want)
	}
}

// The directory may be gone from the new image, or deleted before.
func TestADirectoryThatIsGoneIsLeftForTheNearest(t *testing.T) {
	less, err := load("less", runtimetest.Image{Files: map[string]string{"version": "less", "sub/version": "above"}})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	for _, step := range []struct {
		image runtime.Image
		at    string
	}{{v["v2"], "/sub/dir"}, {less, "/sub"}, {v["v3"], "/sub"}} {
		if step.image.Ref == v["v2"].Ref {
			conn.Must(t, "chdir /sub/dir")
		}
		result := do(t, request(t, c, step.image))
		if got := conn.Must(t, "cwd"); got != step.at || result.Moved != 1 {
			t.Errorf("on %s it is in %s, not %s; %d moved: %v", step.image.Ref, got, step.at, result.Moved, result.Stragglers)
		}
	}
	conn.Must(t, "mkdir /sub/short")
	conn.Must(t, "chdir /sub/short")
	conn.Must(t, "rmdir /sub/short")
	do(t, request(t, c, v["v2"]))
	if got := conn.Must(t, "cwd"); got != "/sub" {
		t.Errorf("it was in a directory that is deleted, and is in %s", got)
	}
}

// Mounts come along as copies; who is on one must go to its copy, or is on a
// mount that is nowhere.
func TestAWorkingDirectoryOnAMountMovesAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	bare, err := load("bare", runtimetest.Image{Files: map[string]string{"version": "bare"}}) // no symlink /var/run
	if err != nil {
		t.Fatal(err)
	}
	conn := c.Dial(t)
	conn.Must(t, "mkdir /tmp/work")
	for _, place := range []struct{ goes, is, onBare string }{
		{"/share", "/share", "/share"}, {"/config", "/config", "/config"}, {"/config/inner", "/config/inner", "/config/inner"},
		{"/var/run/secrets", "/run/secrets", "/var/run/secrets"}, {"/dev/shm", "/dev/shm", "/dev/shm"}, {"/tmp/work", "/tmp/work", "/tmp/work"},
		{"/proc/tty/driver", "/proc", "/proc"}, // where the new tree was parked
	} {
		conn.Must(t, "chdir "+place.goes)
		for _, on := range []struct {
			image runtime.Image
			want  string
		}{{v["v2"], place.is}, {bare, place.onBare}} {
			req := request(t, c, on.image)
			req.Carry = []string{"/tmp"}
			result := do(t, req)
			if got := conn.Must(t, "cwd"); got != on.want || len(result.Stragglers) > 0 || result.Moved != 1 {
				t.Errorf("in %s it is in %s, not %s; %d moved: %v", place.goes, got, on.want, result.Moved, result.Stragglers)
			}
			if left := look(t, c).Stragglers; len(left) > 0 {
				t.Errorf("in %s: left behind: %v", place.goes, left)
			}
		}
	}
}

// After a kill, and once the old root is no longer attached, too: then the kernel
// shows paths on a mount from its own root on.
func TestWhatAKilledSwapLeftIsPutRight(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	conn := c.Dial(t)
	for i, place := range []string{"/sub/dir", "/config/inner", "/run/secrets"} {
		for _, moment := range []string{"pivot", "chdir/written", "release"} {
			conn.Must(t, "chdir "+place)
			kill(t, request(t, c, v[[]string{"v2", "v3"}[i%2]]), Death{KillAt: moment})
			if moment != "release" && len(look(t, c).Stragglers) != 1 {
				t.Errorf("killed at %s in %s, it is not seen that it stayed: %+v", moment, place, look(t, c))
			}
			if !look(t, c).Parked {
				t.Errorf("killed at %s, nothing is seen to be parked", moment)
			}
			for range 2 { // the second finds nothing to do, and stops nobody
				if _, err := swap.Repair(t.Context(), patient(t, c, "v1")); err != nil {
					t.Fatal(err)
				}
			}
			if got := conn.Must(t, "cwd"); got != place {
				t.Errorf("killed at %s in %s, put right, it is in %s", moment, place, got)
			}
			if left := look(t, c); len(left.Stragglers) > 0 || left.Parked {
				t.Errorf("killed at %s in %s, left is %+v", moment, place, left)
			}
		}
	}
}
