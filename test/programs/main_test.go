package programs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/test/rootfs"
)

// node is the tests' containerd, packages what they take programs from.
var (
	node     *runtimetest.Node
	packages rootfs.Debian
)

func TestMain(m *testing.M) { os.Exit(withNode(m)) }

func withNode(m *testing.M) int {
	cache, err := filepath.Abs("../../.cluster/debs") // as for the demo's images
	packages = rootfs.Debian(cache)
	if err == nil {
		node, err = runtimetest.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := node.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
		}
	}()
	return m.Run()
}
