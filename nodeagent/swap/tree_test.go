package swap_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// dirBinds are mounts as kubelet makes them: a file, a directory that is
// read-only, one below it, one behind a symlink of the image.
func dirBinds(t *testing.T) []specs.Mount {
	t.Helper()
	dir := t.TempDir()
	bind := func(name, on string, options ...string) specs.Mount {
		return specs.Mount{Source: filepath.Join(dir, name), Destination: on, Type: "bind", Options: append([]string{"rbind"}, options...)}
	}
	for name, content := range map[string]string{"hosts": "localhost", "config/inner/place": "", "config/key": "value", "inner/deep": "deep", "secrets/token": "secret"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return []specs.Mount{bind("hosts", "/etc/hosts"), bind("config", "/config", "ro"), bind("inner", "/config/inner"), bind("secrets", "/var/run/secrets", "ro")}
}

func TestMountsComeAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	conn := c.Dial(t)
	for name, files := range map[string]map[string]string{
		"the same image":    {"var/run": "→ /run", "run/": ""},
		"no symlink":        {"version": ""}, // the mount goes where the spec says
		"a symlink to none": {"var/run": "→ ../run"},
	} {
		image, err := load("along", runtimetest.Image{Files: files})
		if err != nil {
			t.Fatal(err)
		}
		do(t, request(t, c, image))
		for path, want := range map[string]string{"/etc/hosts": "localhost", "/config/key": "value", "/config/inner/deep": "deep", "/var/run/secrets/token": "secret"} {
			if got := conn.Must(t, "read "+path); got != want {
				t.Errorf("%s: %s is %q, not %q", name, path, got, want)
			}
		}
	}
	for _, path := range []string{"/config/new", "/var/run/secrets/new", "/proc/sys/kernel/hostname"} {
		if answer, _ := conn.Ask("write " + path + " x"); !strings.Contains(answer, "read-only") {
			t.Errorf("writing %s: %s", path, answer)
		}
	}
	if answer, err := conn.Ask("read /proc/timer_list"); answer != "" || err != nil {
		t.Errorf("/proc/timer_list is no longer masked: %.80q %v", answer, err)
	}
	conn.Must(t, "write /config/inner/new x")
	conn.Must(t, "write /dev/shm/new x")
}

func TestReadOnlyRootStaysReadOnly(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, ReadOnly: true})
	do(t, request(t, c, v["v2"]))
	if got := views(t, c); got != "v2" {
		t.Fatalf("the container is on %s", got)
	}
	if answer, _ := c.Dial(t).Ask("write /new x"); !strings.Contains(answer, "read-only") {
		t.Errorf("writing on the new root: %s", answer)
	}
}

func TestTheNewRootTakesWrites(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	do(t, request(t, c, v["v2"]))
	conn := c.Dial(t)
	conn.Must(t, "write /sub/new x")
	conn.Must(t, "chown /sub/new")
}

func TestCarriedPathsStay(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "write /run/pid 1")
	conn.Must(t, "write /sub/state old")
	conn.Must(t, "listen /tmp/socket")
	for _, to := range []string{"v2", "v3"} {
		req := request(t, c, v[to])
		req.Carry = []string{"/run", "/var/run", "/tmp", "/sub/state", "/not/there"}
		do(t, req)
		if got := views(t, c); got != to {
			t.Fatalf("the container is on %s", got)
		}
		for path, want := range map[string]string{"/run/pid": "1", "/var/run/pid": "1", "/sub/state": "old", "/sub/dir/version": to} {
			if got := conn.Must(t, "read "+path); got != want {
				t.Errorf("on %s, %s is %q, not %q", to, path, got, want)
			}
		}
		conn.Must(t, "dial /tmp/socket")
	}
	conn.Must(t, "write /run/pid 2")
	conn.Must(t, "write /sub/state new")
}

func TestRestoreBringsTheOwnRootBack(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "write /sub/mine written")
	do(t, request(t, c, v["v2"]))
	if answer, _ := conn.Ask("read /sub/mine"); !strings.HasPrefix(answer, "error") {
		t.Fatalf("a write of the old root is on the new one: %s", answer)
	}
	restore(t, c)
	if got := views(t, c); got != "v1" {
		t.Fatalf("the container is on %s", got)
	}
	if got := conn.Must(t, "read /sub/mine"); got != "written" {
		t.Errorf("the write came back as %q", got)
	}
	is := inspect(t, c)
	if root, err := rt.RootAt(t.Context(), is, look(t, c).UpperDir); err != nil || root.Key != is.SnapshotKey {
		t.Errorf("the root is not the container's own: %+v, %v", root, err)
	}
	conn.Must(t, "write /sub/mine again")
	do(t, request(t, c, v["v2"]))
	restore(t, c)
	if got := conn.Must(t, "read /sub/mine"); got != "again" {
		t.Errorf("the second write came back as %q", got)
	}
}

func restore(t *testing.T, c *runtimetest.Container) {
	t.Helper()
	shim, dir, err := inspect(t, c).OwnRoot()
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, c, v["v1"])
	req.Root = swap.Source{PID: shim, Path: dir}
	do(t, req)
}

func look(t *testing.T, c *runtimetest.Container) swap.View {
	t.Helper()
	view, err := swap.Look("/sys/fs/cgroup", c.PID)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func TestManyLayers(t *testing.T) {
	many, err := load("many", runtimetest.Image{Files: map[string]string{"version": "many"}, Layers: 80})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	do(t, request(t, c, many))
	if got := views(t, c); got != "many" {
		t.Errorf("the container is on %s", got)
	}
	if root, err := rt.RootAt(t.Context(), inspect(t, c), look(t, c).UpperDir); err != nil || root.Image != many.Ref {
		t.Errorf("the root is seen as %+v: %v", root, err)
	}
}

func TestAnotherKindAtAMountpointIsRefused(t *testing.T) {
	odd, err := load("odd", runtimetest.Image{Files: map[string]string{"version": "odd", "share": "a file"}})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	_, err = swap.Do(t.Context(), request(t, c, odd))
	if err == nil || !strings.Contains(err.Error(), "/share") {
		t.Errorf("got %v", err)
	}
	if got := views(t, c); got != "v1" {
		t.Errorf("the container is on %s", got)
	}
}

// A mountpoint that the image makes a symlink out of its root stays inside.
func TestSymlinksOfTheImageDoNotLeadOut(t *testing.T) {
	outside := t.TempDir()
	evil, err := load("evil", runtimetest.Image{Files: map[string]string{"version": "evil", "share": "→ ../../../../../.." + outside + "/made"}})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	do(t, request(t, c, evil))
	if got := c.Dial(t).Must(t, "read "+outside+"/made/addr"); !strings.HasPrefix(got, "127.") {
		t.Errorf("the mount is not where the symlink points inside the container: %q", got)
	}
	if _, err := os.Lstat(outside + "/made"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("something was made outside the container: %v", err)
	}
}
