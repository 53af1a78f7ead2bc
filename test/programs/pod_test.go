package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

// pod is one whose only container runs a program, watched by a real agent.
type pod struct {
	*testing.T
	*runtimetest.Container
	name  string
	kube  *fake.Clientset
	refs  map[string]string // of images, by version
	asked int
	began uint64 // the start of the container's first process
}

// run starts v1 of a program and an agent.
func run(t *testing.T, p program, ready func() error, mounts ...specs.Mount) *pod {
	t.Helper()
	name := strings.ToLower(t.Name())
	out := &pod{T: t, name: name, refs: p.images(t)}
	out.Container = node.Run(t, runtimetest.Spec{Image: out.refs["v1"], Pod: "uid-" + name, PodName: name, Name: "main", Ready: ready, Mounts: mounts})
	out.kube = fake.NewClientset(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name)},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true,
			ContainerID: "containerd://" + out.ID, ImageID: out.refs["v1"]}}},
	})
	out.began = out.first().Started
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the container's log:\n%s", out.log())
		}
	})
	out.agent()
	return out
}

// agent works until the test ends.
func (p *pod) agent() {
	p.Helper()
	agent, err := nodeagent.New(nodeagent.Options{NodeName: "node-1", Socket: node.Socket, Workers: 1,
		StageDir: filepath.Join(p.TempDir(), "stage"), CgroupDir: "/sys/fs/cgroup",
		SnapshotDir: filepath.Join(node.Dir, "root/io.containerd.snapshotter.v1.overlayfs/snapshots")}, p.kube)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	p.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.Errorf("the agent ended: %v", err)
		}
	})
}

// first is the container's first process; what is read of it tells it from any
// other for good.
func (p *pod) first() process.Process {
	p.Helper()
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if found := process.Of([]int{p.PID}); len(found) == 1 { // not while it executes itself anew
			return found[0]
		}
	}
	p.Fatalf("the container's first process, %d, is gone", p.PID)
	return process.Process{}
}

// becomes has the container on the image of a version, and returns what the
// agent has seen. v1 is its own root. The first process stays what it was.
func (p *pod) becomes(version string, reload *api.Reload, carry ...string) api.ObservedContainer {
	p.Helper()
	p.asked++
	want := api.DesiredContainer{Name: "main", Image: p.refs[version], Reload: reload, Carry: carry}
	state := api.StatePatched
	switch {
	case version == "v1":
		state = api.StateRestored
	case reload != nil:
		state = api.StateReloaded
	}
	revision := fmt.Sprint("r", p.asked)
	p.ask(api.Desired{HotPatch: "game", Revision: revision, Containers: []api.DesiredContainer{want}})
	is := p.sees("what was asked for", func(o api.Observed) bool {
		return o.Revision == revision && len(o.Containers) == 1 && o.Containers[0].State == state
	})
	if now := p.first(); now.Started != p.began {
		p.Fatalf("the first process is another one: %+v", now)
	}
	return is
}

// ask writes what the pod should run.
func (p *pod) ask(desired api.Desired) {
	p.Helper()
	text, err := json.Marshal(desired)
	if err != nil {
		p.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{api.DesiredAnnotation: string(text)}}})
	if err != nil {
		p.Fatal(err)
	}
	if _, err := p.kube.CoreV1().Pods("default").Patch(p.Context(), p.name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		p.Fatal(err)
	}
}

// sees waits until the agent has observed what holds.
func (p *pod) sees(what string, holds func(api.Observed) bool) api.ObservedContainer {
	p.Helper()
	var is api.Observed
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		pod, err := p.kube.CoreV1().Pods("default").Get(p.Context(), p.name, metav1.GetOptions{})
		if err != nil {
			p.Fatal(err)
		}
		is = api.Observed{}
		json.Unmarshal([]byte(pod.Annotations[api.ObservedAnnotation]), &is) // nothing at first
		if holds(is) {
			return is.Containers[0]
		}
	}
	p.Fatalf("observed is %+v, not %s", is, what)
	return api.ObservedContainer{}
}

// settles waits until so many processes execute an old file.
func (p *pod) settles(oldProcesses int) {
	p.Helper()
	p.sees(fmt.Sprint(oldProcesses, " old processes"), func(o api.Observed) bool { return o.Containers[0].OldProcesses == oldProcesses })
}

// log is what the container has said.
func (p *pod) log() string {
	text, err := os.ReadFile(filepath.Join(p.Share, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}
