package swap_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
)

var plenty = layer.Limit{Bytes: 64 << 20, Entries: 10000}

// carrying has a swap take the writable layer along.
func carrying(req swap.Request) swap.Request {
	req.Layer = &plenty
	return req
}

func TestTheWritableLayerComesAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	conn := c.Dial(t)
	for _, question := range []string{"write /sub/mine written", "chown /sub/mine", "write /sub/dir/version mine", "write /run/pid 1", "listen /tmp/socket", "write /share/x volume"} {
		conn.Must(t, question)
	}
	for _, err := range []error{os.Chmod(c.Root("/sub/mine"), 0o640|os.ModeSetuid), os.Remove(c.Root("/server")), unix.Mknod(c.Root("/null"), unix.S_IFCHR|0o640, 1<<8|3),
		os.Mkdir(c.Root("/sub/new"), 0o700), os.Symlink("/proc/1/root", c.Root("/sub/link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []string{"v2", "v3", "v3"} {
		req := carrying(request(t, c, v[to]))
		req.Carry = []string{"/run", "/var/run", "/tmp"}
		write(t, c.Root("/sub/early"), to)
		req.At = func(step string) {
			if step == "park" { // after all was copied
				aside(func() {
					write(t, c.Root("/sub/late"), to)
					write(t, c.Root("/sub/mine"), "written again")
					if err := os.Remove(c.Root("/sub/early")); err != nil {
						t.Error(err)
					}
				})
			}
		}
		result := do(t, req)
		t.Logf("to %s: stopped for %s, %s in all%s", to, result.StopTime, result.Total, result.Layer)
		for path, want := range map[string]string{"/version": to, "/only-" + to: to, "/sub/mine": "written again", "/sub/late": to, "/sub/dir/version": "mine", "/run/pid": "1", "/share/x": "volume"} {
			if got := conn.Must(t, "read "+path); got != want {
				t.Errorf("on %s, %s is %q, not %q", to, path, got, want)
			}
		}
		conn.Must(t, "dial /tmp/socket")
		var st unix.Stat_t
		if err := unix.Lstat(c.Root("/sub/mine"), &st); err != nil || st.Uid != 1234 || st.Mode != unix.S_IFREG|unix.S_ISUID|0o640 {
			t.Errorf("on %s, the file's owner is %d and its mode %o: %v", to, st.Uid, st.Mode, err)
		}
		for _, gone := range []string{"/server", "/sub/early"} {
			if _, err := os.Lstat(c.Root(gone)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("on %s, what the container deleted is there again: %s %v", to, gone, err)
			}
		}
		if result.Layer == nil || result.Layer.Entries < 6 || result.StopTime == 0 {
			t.Errorf("the swap to %s tells of %+v", to, result)
		}
	}
	if _, err := os.Lstat(c.Root("/only-v2")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of the image in between came along: %v", err)
	}
}

func TestFilesThatStayOpenAreNamed(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	for _, name := range []string{"/sub/save.db", "/run/log", "/share/volume"} {
		conn.Must(t, "open "+name)
	}
	req := carrying(request(t, c, v["v2"]))
	req.Carry = []string{"/run"}
	result := do(t, req)
	if got := result.Layer.Open; len(got) != 1 || got[0] != "/sub/save.db" {
		t.Errorf("open are %q", got)
	}
	if text := result.Layer.String(); !strings.Contains(text, "written to on the old root until opened anew: /sub/save.db") {
		t.Errorf("it reads %q", text)
	}
}

func TestItsOwnRootTakesNothingAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "write /sub/mine own")
	do(t, carrying(request(t, c, v["v2"])))
	conn.Must(t, "write /sub/mine later")
	conn.Must(t, "write /sub/more later")
	restore(t, c)
	if got := conn.Must(t, "read /sub/mine"); got != "own" {
		t.Errorf("its own file is %q", got)
	}
	if answer, _ := conn.Ask("read /sub/more"); !strings.HasPrefix(answer, "error") {
		t.Errorf("a write of the patched root is on its own: %s", answer)
	}
}

// Undoing such a swap must not empty a root that the container was on before.
func TestAUsedRootIsNotCopiedOver(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	req := request(t, c, v["v2"])
	do(t, req)
	conn.Must(t, "write /sub/mine written")
	restore(t, c)
	_, err := swap.Do(t.Context(), carrying(req))
	if err == nil || !strings.Contains(err.Error(), "at step carry, nothing was changed: the new root has been written to already") {
		t.Fatalf("got %v", err)
	}
	do(t, req)
	if got := conn.Must(t, "read /sub/mine"); got != "written" {
		t.Errorf("the write came back as %q", got)
	}
}

func TestReadOnlyRootsTakeTheLayerToo(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, ReadOnly: true})
	result := do(t, carrying(request(t, c, v["v2"])))
	if got := views(t, c); got != "v2" || result.Layer == nil || result.Layer.Entries != 0 {
		t.Errorf("the container is on %s, %v came along", got, result.Layer)
	}
}

func TestManyLayersAreMeasuredAgainst(t *testing.T) {
	files := map[string]string{"version": "many", "sub/x": "image"}
	many, err := load("many-old", runtimetest.Image{Files: files, Layers: 80})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: many.Ref})
	conn := c.Dial(t)
	conn.Must(t, "write /sub/x mine")
	conn.Must(t, "chown /layers/79")
	result := do(t, carrying(request(t, c, v["v2"])))
	if got := conn.Must(t, "read /sub/x"); got != "mine" {
		t.Errorf("/sub/x is %q", got)
	}
	if answer, _ := conn.Ask("read /layers/79"); !strings.HasPrefix(answer, "error") {
		t.Errorf("a file of the old image came along: %s (%s)", answer, result.Layer)
	}
}

// A swap that failed leaves the new root as it was, and the next try may use it.
func TestATooLargeLayerChangesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "write /sub/mine "+strings.Repeat("x", 5000))
	before := mounts(t, c)
	req := carrying(request(t, c, v["v2"]))
	req.Layer = &layer.Limit{Bytes: 4000, Entries: 10}
	_, err := swap.Do(context.Background(), req)
	if !errors.Is(err, layer.ErrTooLarge) || !strings.Contains(err.Error(), "at step carry, nothing was changed") {
		t.Fatalf("got %v", err)
	}
	req.Layer = &layer.Limit{Bytes: 6000, Entries: 10}
	req.At = func(step string) {
		if step == "stop" { // as a thread would that sleeps in the kernel
			aside(func() { write(t, c.Root("/sub/late"), strings.Repeat("x", 5000)) })
		}
	}
	if _, err := swap.Do(context.Background(), req); !errors.Is(err, layer.ErrTooLarge) || !strings.Contains(err.Error(), "at step catch up, nothing was changed") {
		t.Fatalf("got %v", err)
	}
	if left, err := os.ReadDir(req.Root.Filesystem.Option("upperdir")); err != nil || len(left) > 0 {
		t.Errorf("the new root has %v, %v", left, err)
	}
	if got, after := views(t, c), mounts(t, c); got != "v1" || strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("the container is on %s, with the mounts %s", got, after)
	}
	if err := os.Remove(c.Root("/sub/mine")); err != nil {
		t.Fatal(err)
	}
	req.At, req.Layer = nil, &plenty
	do(t, req)
	if answer, _ := conn.Ask("read /sub/mine"); !strings.HasPrefix(answer, "error") {
		t.Errorf("a file of the first try is there: %.80s", answer)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Error(err)
	}
}

// aside runs f on another thread than the swap's, which is in the container.
func aside(f func()) {
	var done sync.WaitGroup
	done.Go(f)
	done.Wait()
}
