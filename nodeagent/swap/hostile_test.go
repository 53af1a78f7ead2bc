package swap_test

import (
	"context"
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

	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// hostile has a container run a process that is out to have a swap go wrong.
func hostile(t *testing.T, c *runtimetest.Container, args ...string) {
	t.Helper()
	c.Dial(t).Must(t, "start /hostile "+strings.Join(args, " "))
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(c.Share, "hostile")); err == nil {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.Share, "log"))
	t.Fatalf("%v does not become ready: %s", args, log)
}

// refused has a swap fail, with nothing changed.
func refused(t *testing.T, req swap.Request, words string) {
	t.Helper()
	_, err := swap.Do(t.Context(), req)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed: ") || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want %s", err, words)
	}
}

// bounded runs f, and fails if that takes long, much memory, or leaves something
// running.
func bounded(t *testing.T, limit time.Duration, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	running, files, began := runtime.NumGoroutine(), count(t, "/proc/self/fd"), time.Now()
	f()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	used := (after.TotalAlloc - before.TotalAlloc) >> 20
	if took > runtimetest.Limit(limit) || used > 32 {
		t.Errorf("it took %s and %d MiB", took, used)
	}
	t.Logf("it took %s and %d MiB", took, used)
	eventually(t, func() string {
		return fmt.Sprint(runtime.NumGoroutine() <= running, count(t, "/proc/self/fd") <= files)
	}, "true true")
}

// Whoever may mount can make the table of mounts as large as the kernel lets it.
func TestManyMountsAreBounded(t *testing.T) {
	other := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	for what, c := range map[string]struct{ want, refusal string }{
		"10000 nested": {"v2", ""},
		"25000 nested": {"v1", "more mounts than the 20000"},
		"10000 flat":   {"v1", "mounts on its root, more than the 1000"},
	} {
		t.Run(what, func(t *testing.T) {
			box := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Capable: true})
			hostile(t, box, append([]string{"mounts"}, strings.Fields(what)...)...)
			before, req := len(mounts(t, box)), patient(t, box, "v2")
			bounded(t, time.Second, func() {
				if c.refusal != "" {
					refused(t, req, c.refusal)
				} else {
					do(t, req)
				}
			})
			bounded(t, time.Second, func() {
				if _, err := swap.Look("/sys/fs/cgroup", box.PID); errors.Is(err, mount.ErrTooMany) != (what == "25000 nested") {
					t.Errorf("looked at, it is %v", err)
				}
			})
			if got, after := views(t, box), len(mounts(t, box)); got != c.want || after != before {
				t.Errorf("the container is on %s with %d mounts of %d", got, after, before)
			}
			do(t, patient(t, other, "v2")) // a neighbour
		})
	}
}

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
		return all + strings.Join(hostMounts(t), "\n")
	}
}

// hostMounts are the mounts of the host's namespace, but for temporary ones of
// others and those of containers that come and go.
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

// A container that may mount has everything that a swap looks up change its place
// meanwhile.
func TestRacingLookUpsStayInside(t *testing.T) {
	image, err := load("upwards", runtimetest.Image{Files: map[string]string{"version": "v4", "run/": "", "tmp/": "", "var/run": "→ ../../sub/../run"}})
	if err != nil {
		t.Fatal(err)
	}
	v["upwards"] = image
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Capable: true, Mounts: dirBinds(t), Options: []oci.SpecOpts{oci.WithAddedCapabilities([]string{"CAP_SYS_CHROOT"})}})
	dir, state := outside(t)
	before := state()
	hostile(t, c, "race", "/../../../../../../../.."+dir)
	is, done, said := "v1", 0, map[string]int{}
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		to := map[string]string{"v1": "v2", "v2": "upwards", "v4": "v1"}[is]
		req := carrying(patient(t, c, to))
		req.Carry = []string{"/run", "/var/run", "/tmp", "/sub/mounts"}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := swap.Do(ctx, req)
		cancel()
		now, readErr := os.ReadFile(c.Root("/version"))
		changed := string(now) != is
		switch {
		case readErr != nil:
			t.Fatal(readErr)
		case err == nil && !changed, err != nil && changed != strings.Contains(err.Error(), "the root was changed"):
			t.Fatalf("from %s it is on %s: %v", is, now, err)
		case changed:
			done++
		}
		if err != nil {
			said[err.Error()]++
		}
		if is = string(now); changed {
			views(t, c)
		}
	}
	t.Logf("%d swaps, and", done)
	for words, times := range said {
		t.Logf("%d times %s", times, words)
	}
	if after := state(); after != before {
		t.Errorf("outside was\n%s\nand is\n%s", before, after)
	}
}
