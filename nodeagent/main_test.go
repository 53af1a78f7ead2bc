package nodeagent

import (
	"context"
	"fmt"
	"os"
	"testing"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

// node is the tests' containerd, rt our connection to it, refs its images.
var (
	node *runtimetest.Node
	rt   *runtime.Runtime
	refs = map[string]string{} // "v1", "v2", "v3"
)

func TestMain(m *testing.M) { os.Exit(withNode(m)) }

func withNode(m *testing.M) int {
	if err := startNode(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := node.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "left behind:", err)
		}
	}()
	defer rt.Close()
	for name, env := range map[string][]string{"v1": nil, "v2": nil, "v3": nil, "v4": {"MODE=new"}} {
		ref, err := node.Import("test/"+name, runtimetest.Image{Env: env, Files: map[string]string{
			"version": name, "data/": "", "run/": "", "tmp/": "", "data/of": name}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		refs[name] = ref
	}
	return m.Run()
}

func startNode() (err error) {
	if node, err = runtimetest.Start(); err != nil {
		return err
	}
	if rt, err = runtime.Open(node.Socket); err != nil {
		return err
	}
	_, err = rt.Version(context.Background())
	return err
}
