package swap_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// node is the tests' containerd, rt our connection to it.
var (
	node *runtimetest.Node
	rt   *runtime.Runtime
	v    = map[string]runtime.Image{} // "v1", "v2", "v3"
)

// limit for stopping is above the product's: that a machine stalls is not what is tested.
const limit = 2 * time.Second

// victim is the program that swaps once and is killed on the way.
var victim string

func TestMain(m *testing.M) {
	if order := os.Getenv(lookerEnv); order != "" {
		lookFromANamespace(order)
	}
	if os.Getenv("HOTPATCH_TEST_SLEEPER") != "" {
		time.Sleep(time.Minute)
		return
	}
	os.Exit(withNode(m))
}

func withNode(m *testing.M) int {
	var err error
	if node, err = runtimetest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := node.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
		}
	}()
	if rt, err = runtime.Open(node.Socket); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer rt.Close()
	programs, err := programs()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"v1", "v2", "v3"} {
		files := map[string]string{"version": name, "only-" + name: name, "sub/dir/version": name, "run/": "", "tmp/": "", "var/run": "→ /run"}
		maps.Copy(files, programs)
		if v[name], err = load(name, runtimetest.Image{Files: files}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// programs are those that test containers run beside their first one, by name.
// HOTPATCH_TEST_PROGRAMS names a folder that has them built already.
func programs() (map[string]string, error) {
	dir := os.Getenv("HOTPATCH_TEST_PROGRAMS")
	if dir == "" {
		dir = node.Dir
		if said, err := exec.Command("make", "-C", "testdata", "OUT="+dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the tests' programs: %w: %s", err, said)
		}
	}
	victim = filepath.Join(dir, "victim")
	built := map[string]string{}
	for _, name := range []string{"waiter", "odd", "hostile"} {
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		built[name] = string(program)
	}
	return built, nil
}

func load(name string, image runtimetest.Image) (runtime.Image, error) {
	ref, err := node.Import("test/"+name, image)
	if err != nil {
		return runtime.Image{}, err
	}
	return rt.Present(context.Background(), ref)
}

// request is a swap of a container to an image, on a root made for it.
func request(t testing.TB, c *runtimetest.Container, image runtime.Image) swap.Request {
	t.Helper()
	loaded := inspect(t, c)
	root, err := rt.PrepareRoot(context.Background(), loaded, image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return swap.Request{PID: c.PID, Root: swap.Source{Filesystem: &root.Filesystem}, Destinations: loaded.Destinations,
		StageDir: t.TempDir(), CgroupDir: "/sys/fs/cgroup", StopLimit: runtimetest.Limit(limit), KnownFilters: loaded.KnownFilters}
}

func inspect(t testing.TB, c *runtimetest.Container) runtime.Container {
	t.Helper()
	loaded, err := rt.Container(context.Background(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func do(t testing.TB, req swap.Request) swap.Result {
	t.Helper()
	result, err := swap.Do(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Death is how the process that swaps ends: at a step or moment ("": the
// beginning), or that long after; the first ones of a moment are let pass.
type Death struct {
	KillAt string
	After  time.Duration
	Skip   int
	Signal syscall.Signal // sent to a process just before; 0: none
	To     int
}

// kill swaps in another process that dies. It tells whether the swap had ended by
// then.
func kill(t testing.TB, req swap.Request, how Death) (finished bool) {
	t.Helper()
	var order, out bytes.Buffer
	if req.Hold != nil {
		if err := req.Hold(&req); err != nil {
			t.Fatal(err)
		}
	}
	if err := gob.NewEncoder(&order).Encode(struct {
		Request swap.Request
		Held    bool // Hold, which cannot be handed over, has filled it in
		Death   Death
	}{req, req.Hold != nil, how}); err != nil {
		t.Fatal(err)
	}
	said := order.Bytes()
	for {
		out.Reset()
		cmd := exec.Command(victim)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(said), &out, &out
		err := cmd.Run()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			break
		}
		// A process that a parallel test is just starting still has our lock.
		if !strings.Contains(out.String(), swap.ErrBusy.Error()) {
			t.Fatalf("not killed at %s: %v %s", how.KillAt, err, out.String())
		}
	}
	return strings.Contains(out.String(), "finished")
}

// views asks what the first process sees, and what a command executed in the
// container does; they must be the same.
func views(t testing.TB, c *runtimetest.Container) string {
	t.Helper()
	content, err := os.ReadFile(c.Root("/version"))
	if err != nil {
		t.Fatalf("the first process's view: %v", err)
	}
	version := string(content)
	for tries := 0; ; tries++ {
		err := rt.Exec(context.Background(), inspect(t, c), []string{"/server", "is", "/version", version})
		if err == nil {
			break
		}
		// A container may have covered its /proc, without which nothing is executed.
		if tries == 100 || !strings.Contains(err.Error(), "unable to start container process: open /proc/") {
			t.Fatalf("exec's view is another than the first process's: %v", err)
		}
	}
	if answer := c.Dial(t).Must(t, "read /version"); answer != version {
		t.Fatalf("the program reads %q, its root has %q", answer, version)
	}
	return version
}

// mounts is the container's mount table, by path.
func mounts(t testing.TB, c *runtimetest.Container) []string {
	t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for line := range strings.Lines(string(table)) {
		paths = append(paths, strings.Fields(line)[4])
	}
	return paths
}
