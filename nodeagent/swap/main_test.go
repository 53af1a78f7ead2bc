package swap_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
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

// victimEnv makes the test program swap once and die on the way: kill -9 of an
// agent needs a process of its own.
const victimEnv = "HOTPATCH_TEST_VICTIM"

type victim struct {
	Request swap.Request
	KillAt  string
}

func TestMain(m *testing.M) {
	if order := os.Getenv(victimEnv); order != "" {
		die(order)
	}
	if order := os.Getenv(lookerEnv); order != "" {
		lookFromANamespace(order)
	}
	os.Exit(withNode(m))
}

func die(order string) {
	var o victim
	if err := gob.NewDecoder(base64.NewDecoder(base64.StdEncoding, strings.NewReader(order))).Decode(&o); err != nil {
		panic(err)
	}
	o.Request.At = func(step string) {
		if step == o.KillAt {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err := swap.Do(context.Background(), o.Request)
	fmt.Println("still alive:", err)
	os.Exit(1)
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
	for _, name := range []string{"v1", "v2", "v3"} {
		if v[name], err = load(name, runtimetest.Image{Files: map[string]string{
			"version": name, "only-" + name: name, "sub/dir/version": name, "run/": "", "tmp/": "", "var/run": "→ /run"}}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
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
	root, err := rt.PrepareRoot(context.Background(), loaded, image)
	if err != nil {
		t.Fatal(err)
	}
	return swap.Request{PID: c.PID, Root: swap.Source{Filesystem: &root.Filesystem}, Destinations: loaded.Destinations,
		StageDir: t.TempDir(), CgroupDir: "/sys/fs/cgroup", StopLimit: runtimetest.Limit(250 * time.Millisecond)}
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

// kill swaps in another process that dies at a step.
func kill(t testing.TB, req swap.Request, step string) {
	t.Helper()
	var order, out bytes.Buffer
	if err := gob.NewEncoder(&order).Encode(victim{Request: req, KillAt: step}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+base64.StdEncoding.EncodeToString(order.Bytes()))
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("not killed at %s: %v %s", step, err, out.String())
	}
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
	if err := rt.Exec(context.Background(), inspect(t, c), []string{"/server", "is", "/version", version}); err != nil {
		t.Fatalf("exec's view is another than the first process's: %v", err)
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
