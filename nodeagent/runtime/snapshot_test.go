package runtime_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

func TestARootLivesAndDiesWithItsContainer(t *testing.T) {
	ref, err := node.Import("test/pinned", runtimetest.Image{Files: map[string]string{"version": "pinned"}})
	if err != nil {
		t.Fatal(err)
	}
	c := node.Run(t, runtimetest.Spec{Image: game})
	root := prepare(t, c, present(t, ref))
	loose := looseRoot(t, ref)
	if err := node.Client.ImageService().Delete(runtimetest.Context(), ref, images.SynchronousDelete()); err != nil {
		t.Fatal(err)
	}
	collect(t)
	restart(t)
	collect(t)
	if exists(t, loose) {
		t.Error("a root that nobody pinned was kept: no garbage was collected")
	}
	if !exists(t, root.Key) {
		t.Fatal("the root is gone, though its container runs")
	}
	if is, err := rt.RootAt(t.Context(), load(t, c), root.Filesystem.Option("upperdir")); err != nil || is.Key != root.Key || is.Image != ref {
		t.Errorf("the root is %+v: %v", is, err)
	}
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	collect(t)
	if exists(t, root.Key) {
		t.Error("the root was kept, though its container is gone")
	}
}

// looseRoot is a snapshot that garbage collection takes.
func looseRoot(t *testing.T, ref string) string {
	t.Helper()
	key := "loose-" + t.Name()
	if _, err := node.Client.SnapshotService("overlayfs").Prepare(runtimetest.Context(), key, present(t, ref).Chain); err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRootsAreToldApart(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game})
	root := prepare(t, c, present(t, game))
	is := load(t, c)
	mounts, err := node.Client.SnapshotService("overlayfs").Mounts(runtimetest.Context(), is.SnapshotKey)
	if err != nil {
		t.Fatal(err)
	}
	own := ""
	for _, option := range mounts[0].Options {
		if upper, ok := strings.CutPrefix(option, "upperdir="); ok {
			own = upper
		}
	}
	for _, want := range []struct{ upper, key, image, err string }{
		{upper: own, key: is.SnapshotKey},
		{upper: root.Filesystem.Option("upperdir"), key: root.Key, image: game},
		{upper: "/nowhere/fs", err: "none that we know"},
		{upper: "", err: "not an overlay"},
	} {
		found, err := rt.RootAt(t.Context(), is, want.upper)
		if found.Key != want.key || found.Image != want.image || (err == nil) != (want.err == "") {
			t.Errorf("%q is %+v: %v", want.upper, found, err)
		}
		if err != nil && (!strings.Contains(err.Error(), want.err) || !strings.Contains(err.Error(), c.ID)) {
			t.Errorf("%q: the error is %v", want.upper, err)
		}
	}
}

func TestWhatIsMountedIsNotUnused(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game})
	image := present(t, game)
	kept, unused, removed := prepare(t, c, image), prepare(t, c, image), prepare(t, c, image)
	own := load(t, c).SnapshotKey
	// As an agent leaves it that is killed between removing and forgetting.
	if err := node.Client.SnapshotService("overlayfs").Remove(runtimetest.Context(), removed.Key); err != nil {
		t.Fatal(err)
	}
	next, err := runtime.Open(node.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	for range 2 { // a second time changes nothing
		roots, err := next.Unused(t.Context(), load(t, c), []string{"/else/fs", kept.UpperDir()})
		for _, root := range roots {
			if (root.UpperDir() == "") != (root.Key == removed.Key) {
				t.Errorf("%s has its upper directory at %q", root.Key, root.UpperDir())
			}
		}
		if err := errors.Join(err, next.Remove(t.Context(), load(t, c), roots)); err != nil {
			t.Fatal(err)
		}
		if !exists(t, kept.Key) || !exists(t, own) || exists(t, unused.Key) {
			t.Errorf("mounted %v, own %v, unused %v", exists(t, kept.Key), exists(t, own), exists(t, unused.Key))
		}
		if pins := pins(t, c); !slices.Equal(pins, []string{kept.Key}) {
			t.Errorf("pinned are %v, want %s", pins, kept.Key)
		}
	}
}

// pins are the snapshots that a container's labels hold.
func pins(t *testing.T, c *runtimetest.Container) []string {
	t.Helper()
	labels := load(t, c).Labels
	maps.DeleteFunc(labels, func(label, _ string) bool { return !strings.HasPrefix(label, "containerd.io/gc.ref.snapshot.") })
	return slices.Sorted(maps.Values(labels))
}

func TestARootForNobodyIsNotKept(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game})
	is := load(t, c)
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	if root, err := rt.PrepareRoot(t.Context(), is, present(t, game), nil); err == nil {
		t.Errorf("a root was made: %+v", root)
	}
	collect(t)
	err := node.Client.SnapshotService("overlayfs").Walk(runtimetest.Context(), refuseKeysOf(t, c.ID))
	if err != nil {
		t.Fatal(err)
	}
}
