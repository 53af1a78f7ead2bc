package runtime_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

// node is the tests' containerd, rt our connection to it, game an image there.
var (
	node *runtimetest.Node
	rt   *runtime.Runtime
	game string
)

func TestMain(m *testing.M) { os.Exit(withNode(m)) }

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
	if game, err = node.Import("test/game", runtimetest.Image{Files: map[string]string{"version": "game"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// load is a container as containerd has it now.
func load(t *testing.T, c *runtimetest.Container) runtime.Container {
	t.Helper()
	loaded, err := rt.Container(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func present(t *testing.T, ref string) runtime.Image {
	t.Helper()
	image, err := rt.Present(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// prepare makes a root on an image.
func prepare(t *testing.T, c *runtimetest.Container, image runtime.Image) runtime.Root {
	t.Helper()
	root, err := rt.PrepareRoot(t.Context(), load(t, c), image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// collect has containerd collect its garbage, and waits for it: the deletion of
// a lease is the only thing that does.
func collect(t *testing.T) {
	t.Helper()
	manager := node.Client.LeasesService()
	lease, err := manager.Create(runtimetest.Context(), leases.WithRandomID())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.Delete(runtimetest.Context(), lease, leases.SynchronousDelete); err != nil {
		t.Fatal(err)
	}
}

// exists tells whether a snapshot is there.
func exists(t *testing.T, key string) bool {
	t.Helper()
	_, err := node.Client.SnapshotService("overlayfs").Stat(runtimetest.Context(), key)
	if err != nil && !errdefs.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func restart(t *testing.T) {
	t.Helper()
	if err := node.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	if err := node.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Version(context.Background()); err != nil {
		t.Fatal(err)
	}
}
