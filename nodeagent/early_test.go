package nodeagent

import (
	"fmt"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

// Kubelet makes containers that it never starts; however many there are, the
// next one that starts does so on its patched root.
func TestContainersThatNeverStartDoNotKeepOthersFromIt(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"]})
	s.sees("r2", api.StatePatched)
	ctx, pod := runtimetest.Context(), getPod(t, s.kube)
	for i := range 80 {
		made, err := node.Client.NewContainer(ctx, fmt.Sprintf("never-started-%d", i), client.WithNewSpec(), client.WithContainerLabels(map[string]string{
			"io.cri-containerd.kind": "container", "io.kubernetes.pod.uid": string(pod.UID), "io.kubernetes.container.name": "main",
			"io.kubernetes.pod.name": pod.Name, "io.kubernetes.pod.namespace": pod.Namespace}))
		if err != nil {
			t.Fatal(err)
		}
		defer made.Delete(ctx)
	}
	if err := s.main.Kill(); err != nil {
		t.Fatal(err)
	}
	s.startAfter(200 * time.Millisecond)
	s.becomes("born", "v2")
}

func TestStartsAreForgotten(t *testing.T) {
	starts := map[string]*start{"old": {made: time.Now().Add(-2 * startLimit)}, "new": {made: time.Now()}}
	forget(starts)
	if len(starts) != 1 || starts["new"] == nil {
		t.Errorf("remembered are %v", starts)
	}
}
