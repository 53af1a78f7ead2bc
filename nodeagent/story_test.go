package nodeagent

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
)

// story is a pod whose one container really runs, in a cluster that is not real.
type story struct {
	*testing.T
	env     []string
	kube    *fake.Clientset
	main    *runtimetest.Container
	options Options
	running *Agent // the last one
}

func tell(t *testing.T, env ...string) *story {
	t.Helper()
	pod := newPod("game-"+strings.ToLower(t.Name()), nil)
	pod.UID = types.UID("uid-" + t.Name())
	s := &story{T: t, env: env, kube: newCluster(pod), options: Options{NodeName: "node-1", Socket: node.Socket, Workers: 2, Youth: 20 * time.Millisecond,
		CarryLimit: layer.Limit{Bytes: 1 << 20, Entries: 100},
		StageDir:   filepath.Join(t.TempDir(), "stage"), CgroupDir: "/sys/fs/cgroup",
		SnapshotDir: filepath.Join(node.Dir, "root/io.containerd.snapshotter.v1.overlayfs/snapshots")}}
	s.start()
	return s
}

// start has the pod's container run, again after it ended.
func (s *story) start() {
	s.Helper()
	s.startAfter(0)
}

// startAfter has the container wait between its creation and its start.
func (s *story) startAfter(wait time.Duration) {
	s.Helper()
	pod := getPod(s.T, s.kube)
	s.main = node.Run(s.T, runtimetest.Spec{Image: refs["v1"], Pod: string(pod.UID), Name: "main", PodName: pod.Name, Env: s.env,
		Created: func(*runtimetest.Container) { time.Sleep(wait) }})
	s.patch(map[string]any{"status": map[string]any{"containerStatuses": []corev1.ContainerStatus{{Name: "main", ContainerID: "containerd://" + s.main.ID,
		ImageID: refs["v1"], Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}})
}

// agent works until it is stopped, which the end of the test does too.
func (s *story) agent() (stop func()) {
	s.Helper()
	a, err := New(s.options, s.kube)
	if err != nil {
		s.Fatal(err)
	}
	s.running = a
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.Errorf("the agent ended: %v", err)
		}
	}
	s.Cleanup(stop)
	return stop
}

// wants writes what the pod should run: a revision of one container.
func (s *story) wants(revision string, c api.DesiredContainer) {
	s.Helper()
	text, err := json.Marshal(api.Desired{HotPatch: "game", Revision: revision, Containers: []api.DesiredContainer{c}})
	if err != nil {
		s.Fatal(err)
	}
	s.patch(map[string]any{"metadata": map[string]any{"annotations": map[string]string{api.DesiredAnnotation: string(text)}}})
}

func (s *story) patch(change any) {
	s.Helper()
	body, err := json.Marshal(change)
	if err != nil {
		s.Fatal(err)
	}
	pod := getPod(s.T, s.kube)
	if _, err := s.kube.CoreV1().Pods(pod.Namespace).Patch(s.Context(), pod.Name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		s.Fatal(err)
	}
}

// sees waits until the agent has observed a state of the container, for a
// revision.
func (s *story) sees(revision string, state api.State) api.ObservedContainer {
	s.Helper()
	var is api.Observed
	for end := time.Now().Add(runtimetest.Limit(10 * time.Second)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		is = observedOf(getPod(s.T, s.kube))
		if is.Revision == revision && len(is.Containers) == 1 && is.Containers[0].State == state {
			return is.Containers[0]
		}
	}
	s.Fatalf("observed is %+v, not %s at %s", is, state, revision)
	return api.ObservedContainer{}
}

// says waits until the agent's message about the container holds some words.
func (s *story) says(revision, words string) api.ObservedContainer {
	s.Helper()
	var is api.Observed
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		is = observedOf(getPod(s.T, s.kube))
		if is.Revision == revision && len(is.Containers) == 1 && strings.Contains(is.Containers[0].Message, words) {
			return is.Containers[0]
		}
	}
	s.Fatalf("observed is %+v, and not %q at %s", is, words, revision)
	return api.ObservedContainer{}
}

// becomes waits for an answer of the program, which may end connections by
// becoming another one.
func (s *story) becomes(question, want string) {
	s.Helper()
	got := ""
	for end := time.Now().Add(runtimetest.Limit(3 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got, _ = s.main.Dial(s.T).Ask(question); got == want {
			return
		}
	}
	s.Errorf("%s: got %q, want %q", question, got, want)
}

// keeps waits until the container has that many roots of ours.
func (s *story) keeps(n int) {
	s.Helper()
	var roots []string
	for end := time.Now().Add(runtimetest.Limit(5 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if roots = s.roots(); len(roots) == n {
			return
		}
	}
	s.Errorf("roots %v are kept, want %d", roots, n)
}

// roots are the snapshots that the container's labels hold.
func (s *story) roots() []string {
	s.Helper()
	labels, err := rt.Labels(s.Context(), s.main.ID)
	if err != nil {
		s.Fatal(err)
	}
	maps.DeleteFunc(labels, func(key, _ string) bool { return !strings.HasPrefix(key, "containerd.io/gc.ref.snapshot.") })
	return slices.Sorted(maps.Values(labels))
}
