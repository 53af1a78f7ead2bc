package swap_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// inside runs f on a thread in a container's mount namespace.
func inside(t *testing.T, c *runtimetest.Container, f func() error) {
	t.Helper()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", c.PID))
	if err != nil {
		t.Fatal(err)
	}
	defer namespace.Close()
	if err := mount.Thread(func() error { return errors.Join(mount.Apart(), mount.Enter(namespace), f()) }); err != nil {
		t.Error(err)
	}
}

// What the container mounts where the new root waits must never become its root,
// and what it leads there must not be touched.
func TestWhatCoversTheNewRootIsNotTaken(t *testing.T) {
	tmpfs := mount.Filesystem{Type: "tmpfs", Source: "cover"}
	for how, c := range map[string]struct {
		step  string
		cover func() error
		words string
	}{
		"on it":   {"park", func() error { return mount.Mount(tmpfs, "/proc/tty") }, "has mounted something on /proc/tty"},
		"stopped": {"stop", func() error { return mount.Mount(tmpfs, "/proc/tty") }, "has mounted something on /proc/tty"},
		"symlink": {"compose", func() error {
			return errors.Join(mount.Mount(tmpfs, "/proc"), os.Symlink("/share", "/proc/tty"))
		}, "open /proc/tty in the container"},
		"hidden": {"park", func() error {
			return errors.Join(mount.Mount(tmpfs, "/proc"), os.Symlink("/share", "/proc/tty"))
		}, "has mounted something on /proc/tty"},
	} {
		t.Run(how, func(t *testing.T) {
			box := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
			before := mounts(t, box)
			req := patient(t, box, "v2")
			req.At = func(step string) {
				if step == c.step {
					aside(func() { inside(t, box, c.cover) })
				}
			}
			_, err := swap.Do(t.Context(), req)
			if err == nil || !strings.Contains(err.Error(), "nothing was changed: ") || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v", err)
			}
			for _, mounted := range mounts(t, box)[len(before):] {
				inside(t, box, func() error { return mount.Detach(mounted) })
			}
			if after := mounts(t, box); !slices.Equal(before, after) {
				t.Errorf("mounts were\n%s\nand are\n%s", before, after)
			}
			do(t, patient(t, box, "v2"))
			if got := views(t, box); got != "v2" {
				t.Errorf("the container is on %s", got)
			}
		})
	}
}

func TestAFirstProcessThatGoesElsewhereIsNotLeftBehind(t *testing.T) {
	for _, step := range []string{"inspect", "compose", "park"} {
		c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
		conn, req := c.Dial(t), patient(t, c, "v2")
		req.At = func(at string) {
			if at == step {
				aside(func() { conn.Must(t, "chroot /sub/dir") })
			}
		}
		refused(t, req, "is chrooted")
		if got := conn.Must(t, "read /version"); got != "v1" {
			t.Errorf("after %s, it is on %s", step, got)
		}
	}
}

// outside is a directory of the host that a container's symlinks lead to, and
// what tells whether it was touched.
func outside(t *testing.T) (dir string, state func() string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"inner", "dir", "driver", "proc/tty"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "inner/file"), "the host's")
	return dir, func() (all string) {
		if err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
			var st unix.Stat_t
			all += fmt.Sprintf("%s %v %v %o %d %v\n", name, err, unix.Lstat(name, &st), st.Mode, st.Nlink, st.Ctim)
			return nil
		}); err != nil {
			t.Error(err)
		}
		return all
	}
}

// hostMounts are the mounts of the host's namespace, but for temporary ones of
// others.
func hostMounts(t *testing.T) (all []string) {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	table, err := mount.Table(proc, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range table {
		if !strings.HasPrefix(e.Path, os.TempDir()) || strings.HasPrefix(e.Path, node.Dir) {
			all = append(all, fmt.Sprint(e))
		}
	}
	return all
}

// What mountpoints of the new image lead to is made inside of it, or refused.
func TestSymlinksOnTheWayToMountpoints(t *testing.T) {
	dir, state := outside(t)
	before := state()
	for name, c := range map[string]struct {
		files   map[string]string
		refused string
	}{
		"absolute": {map[string]string{"etc": "→ /../.." + dir, "config": "→ " + dir + "/inner"}, ""},
		"relative": {map[string]string{"etc": "→ ../../../../.." + dir, "var/run": "→ ../../../.." + dir + "/proc"}, ""},
		"magic":    {map[string]string{"var/run": "→ /proc/1/root" + dir}, "too many levels of symbolic links"},
		"circle":   {map[string]string{"etc": "→ /other", "other": "→ /etc"}, "too many levels of symbolic links"},
	} {
		c.files["version"] = "v4"
		image, err := load(name, runtimetest.Image{Files: c.files})
		if err != nil {
			t.Fatal(err)
		}
		box := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
		req := request(t, box, image)
		req.StopLimit = 10 * time.Second
		if c.refused != "" {
			refused(t, req, c.refused)
			continue
		}
		do(t, req)
		for path, want := range map[string]string{"/etc/hosts": "localhost", "/config/key": "value", "/var/run/secrets/token": "secret"} {
			if got := box.Dial(t).Must(t, "read "+path); got != want {
				t.Errorf("%s: %s is %q, not %q", name, path, got, want)
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("outside was\n%s\nand is\n%s", before, after)
	}
}

// A container that may mount has everything that a swap looks up change its place
// meanwhile.
func TestRacingLookUpsStayInside(t *testing.T) {
	upwards, err := load("upwards", runtimetest.Image{Files: map[string]string{"version": "v4", "run/": "", "tmp/": "", "sub/mounts/": "", "var/run": "→ ../../sub/../run"}})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Capable: true, Mounts: dirBinds(t)})
	dir, state := outside(t)
	before, mounted := state(), hostMounts(t)
	roots := []swap.Request{patient(t, c, "v2"), request(t, c, upwards), patient(t, c, "v3")}
	hostile(t, c, "race", "/../../../../../../../.."+dir)
	done, said := 0, map[string]int{}
	is := "v1"
	for i, began := 0, time.Now(); time.Since(began) < 5*time.Second; i++ {
		req, want := roots[i%len(roots)], []string{"v2", "v4", "v3"}[i%len(roots)]
		if i%8 == 0 {
			want = []string{"v1", "v2", "v3"}[i/8%3]
			req = carrying(patient(t, c, want))
		}
		req.Carry, req.StopLimit = []string{"/run", "/var/run", "/tmp", "/sub/mounts"}, 2*time.Second
		_, err := swap.Do(t.Context(), req)
		now, readErr := os.ReadFile(c.Root("/version"))
		if err := errors.Join(readErr, racedTo(is, string(now), want, err)); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			said[err.Error()]++
		} else {
			done++
		}
		is = string(now)
	}
	t.Logf("%d swaps, and", done)
	for words, times := range said {
		t.Logf("%d times: %s", times, words)
	}
	views(t, c)
	if after := state(); after != before {
		t.Errorf("outside was\n%s\nand is\n%s", before, after)
	}
	if now := hostMounts(t); !slices.Equal(mounted, now) {
		t.Errorf("the host's mounts were\n%s\nand are\n%s", strings.Join(mounted, "\n"), strings.Join(now, "\n"))
	}
}

// racedTo holds a swap to what it says.
func racedTo(was, is, want string, err error) error {
	switch {
	case err == nil && is == want:
		return nil
	case err != nil && strings.Contains(err.Error(), "nothing was changed: ") && is == was:
		return nil
	case err != nil && strings.Contains(err.Error(), "step clear, the root was changed: ") && is == want:
		return nil // covered once more, which the next one clears
	}
	return fmt.Errorf("it was on %s, is on %s and not %s: %w", was, is, want, err)
}

// silent mounts a filesystem whose server never answers, until it is ended.
func silent(t *testing.T, c *runtimetest.Container, on string) (end func()) {
	t.Helper()
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	inside(t, c, func() error {
		return mount.Mount(mount.Filesystem{Type: "fuse", Source: "silent", Options: []string{fmt.Sprintf("fd=%d", server.Fd()), "rootmode=40000", "user_id=0", "group_id=0"}}, on)
	})
	return func() { server.Close() }
}

// A network's filesystem whose server is away must not hold up other pods.
func TestServersThatDoNotAnswer(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	for _, on := range []string{"/sub", "/tmp"} {
		defer silent(t, c, on)()
	}
	req := request(t, c, v["v2"])
	req.Carry = []string{"/run", "/tmp"}
	bounded(t, 5*time.Second, func() { do(t, req) })
	if got := views(t, c); got != "v2" {
		t.Errorf("the container is on %s", got)
	}
	running := runtime.NumGoroutine()
	repaired, answer := repairedWithout(t, "/proc")
	end := silent(t, c, "/config") // on the way to /config/inner
	began := time.Now()
	refused(t, request(t, c, v["v3"]), "does not answer")
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := <-repaired; !errors.Is(err, swap.ErrStuck) {
		t.Errorf("the repair got %v", err)
	}
	answer()
	if _, err := swap.Do(t.Context(), request(t, c, v["v3"])); !errors.Is(err, swap.ErrBusy) {
		t.Errorf("another one got %v", err)
	}
	look(t, c)
	end()
	eventually(t, func() string { return fmt.Sprint(runtime.NumGoroutine() <= running) }, "true")
	if got := views(t, c); got != "v2" {
		t.Errorf("the container is on %s", got)
	}
	do(t, request(t, c, v["v3"]))
}

// repairedWithout repairs another container, one of whose filesystems is silent
// until it is ended.
func repairedWithout(t *testing.T, filesystem string) (repaired chan error, end func()) {
	t.Helper()
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	end = silent(t, c, filesystem)
	repaired = make(chan error, 1)
	go func() {
		_, err := swap.Repair(t.Context(), swap.Request{PID: c.PID, CgroupDir: "/sys/fs/cgroup", StopLimit: limit})
		repaired <- err
	}()
	return repaired, end
}
