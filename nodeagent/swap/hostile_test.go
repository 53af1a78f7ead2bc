package swap_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/containerd/containerd/v2/pkg/oci"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// hostile has a container run a process that is out to have a swap go wrong.
func hostile(t *testing.T, c *runtimetest.Container, args ...string) {
	t.Helper()
	c.Dial(t).Must(t, "start /hostile "+strings.Join(args, " "))
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
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
			bounded(t, 5*time.Second, func() {
				if c.refusal != "" {
					refused(t, req, c.refusal)
				} else {
					do(t, req)
				}
			})
			bounded(t, 5*time.Second, func() {
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

// Processes that fork without end may outrun a stop, which then changes nothing.
func TestForksWithoutEndAreGivenUpOn(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Options: []oci.SpecOpts{oci.WithPidsLimit(400)}})
	other := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	hostile(t, c, "bomb", "100")
	is := "v1"
	for i, limit := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond} {
		want := []string{"v2", "v3"}[i%2]
		req := request(t, c, v[want])
		req.StopLimit = limit
		bounded(t, limit+5*time.Second, func() {
			result, err := swap.Do(t.Context(), req)
			t.Logf("within %s: %d stopped for %s: %v", limit, result.Stopped, result.StopTime, err)
			if err != nil && !errors.Is(err, swap.ErrNotStopped) || err == nil && limit == time.Millisecond {
				t.Errorf("got %v", err)
			}
			now, readErr := os.ReadFile(c.Root("/version"))
			if err := errors.Join(readErr, racedTo(is, string(now), want, err)); err != nil {
				t.Error(err)
			}
			is = string(now)
			if left := look(t, c).Stragglers; len(left) > 0 {
				t.Errorf("on %s, left behind are %v", now, swap.Stragglers(left))
			}
		})
	}
	do(t, patient(t, other, "v2")) // a neighbour
}

// What a container's processes, directories and mounts are called is shown to
// people, on terminals.
func TestNamesDoNothingToATerminal(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Capable: true})
	hostile(t, c, "name")
	said := swap.Stragglers(do(t, patient(t, c, "v2")).Stragglers)
	for _, s := range look(t, c).Stragglers {
		said += s.String()
	}
	odd := c.Root("/sub/\x1b[31m\nall is well\\")
	if _, err := os.Stat(odd); err != nil {
		t.Errorf("its mount did not come along: %v", err)
	}
	image, err := load("odd name", runtimetest.Image{Files: map[string]string{"version": "v4", "sub/\x1b[31m\nall is well\\": "a file"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = swap.Do(t.Context(), request(t, c, image))
	if err == nil || !strings.Contains(err.Error(), "of another kind at /sub/?[31m; all is well") {
		t.Errorf("got %q", err)
	} else {
		said += err.Error()
	}
	if strings.Count(said, "?[2Jx") != 2 || strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("it says %q", said)
	}
	t.Logf("it says %s", said)
}

// Whoever opens a file that a process has a lease on waits for that, up to 45 s.
func TestLeasesAreNotWaitedFor(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	hostile(t, c, "lease", "/sub/leased")
	bounded(t, 5*time.Second, func() { refused(t, carrying(patient(t, c, "v2")), "a process has a lease on it") })
	if got := views(t, c); got != "v1" {
		t.Errorf("the container is on %s", got)
	}
	do(t, patient(t, c, "v2"))
}
